# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What cannot mean anything in what is said of OCSP fails "httpd -t" with directive, value, what is
# allowed, file and line. Each refused text stands in a configuration that is fine without it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::ConfigCheck;
use MTLSTest::Files qw(files_dir pki_text replace_file);

my @modules = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic alias dir headers
    log_config mime setenvif socache_shmcb socache_dbm mtls_policy ssl
);
my $dir    = files_dir('ocsp-config');
my $pki    = pki_dir();
my $anchor = "MTLSAnchor \"$pki/root.crt\"";

replace_file("$dir/nothing", '');
replace_file("$dir/text",    "this is no certificate\n");
replace_file("$dir/half",    substr pki_text('root.crt'), 0, 300);
mkdir "$dir/empty" or die "cannot make $dir/empty: $!\n";

sub configuration {
    my ($outside, $inside) = @_;
    return <<"CONF";
<MTLSTrustStore "partners">
    $anchor
</MTLSTrustStore>
$outside
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
$inside
</VirtualHost>
CONF
}

my $checker = MTLSTest::ConfigCheck->new(configuration => \&configuration, modules => \@modules);
sub refused  { return $checker->refused(@_) }
sub accepted { return $checker->accepted(@_) }

my $misplaced = qr/not allowed|cannot|only|may not/i;

# --- MTLSOCSP -------------------------------------------------------------------------------------
my $levels = qr/off, prefer, require/;
refused($_, 'MTLSOCSP yes',        'MTLSOCSP', 'yes', $levels) for qw(location vhost policy server);
refused('location', 'MTLSOCSP',    'MTLSOCSP', $levels);
refused('location', "MTLSOCSP $_", 'MTLSOCSP', (split / /, $_)[-1], 'chain')
    for 'require leaf', 'prefer chains', 'require chain more';
refused('location', 'MTLSOCSP off chain',                'MTLSOCSP', 'off chain');
refused('location', 'MTLSOCSP ""',                       'MTLSOCSP', $levels);
refused('location', "MTLSOCSP require\nMTLSOCSP prefer", 'MTLSOCSP', qr/already|twice/);
refused('vhost',    "MTLSOCSP require\nMTLSOCSP prefer", 'MTLSOCSP', qr/already|twice/);
refused('policy',   "MTLSOCSP require\nMTLSOCSP off",    'MTLSOCSP', qr/already|twice/);
refused('store',    "$anchor\nMTLSOCSP require",                             'MTLSOCSP');
refused('location', "<MTLSRequireAny>\nMTLSOCSP require\n</MTLSRequireAny>", 'MTLSOCSP');
refused('location', "<Limit GET>\nMTLSOCSP require\n</Limit>", 'MTLSOCSP', $misplaced);

# --- numbers --------------------------------------------------------------------------------------
# name => the largest and, where 0 is none, the smallest
my %numbers = (
    MTLSOCSPTimeout => [60, 1],
    MTLSOCSPWait    => [60],
    MTLSOCSPMaxAge  => [604_800, 1],
    MTLSOCSPStale   => [2_592_000],
    MTLSOCSPSkew    => [3600],
);
for my $name (sort keys %numbers) {
    my ($most, $least) = @{ $numbers{$name} };
    $least //= 0;
    my @bad = ($most + 1, $least - 1, '3s');
    push @bad, 'soon', '1.5', '0x10', '99999999999', '+5' if $name eq 'MTLSOCSPWait';
    refused('vhost',    "$name $_",         $name, $_, qr/\b$least to $most\b/) for @bad;
    refused('location', "$name $most",      $name, $misplaced);
    refused('store',    "$anchor\n$name 5", $name);
    refused('vhost',    "$name 5\n$name 5", $name, 'already');
}
refused('vhost',    "MTLSOCSPWait$_",   'MTLSOCSPWait') for '', ' ""', ' 1 2';
refused('policy',   'MTLSOCSPWait 1',   'MTLSOCSPWait');
refused('vhost',    "MTLSOCSPNonce $_", 'MTLSOCSPNonce', $_, 'off, on, require') for 'yes', '1';
refused('vhost',    'MTLSOCSPNonce',    'MTLSOCSPNonce');
refused('vhost',    "MTLSOCSPNonce on\nMTLSOCSPNonce off", 'MTLSOCSPNonce', 'already');
refused('location', 'MTLSOCSPNonce on',                    'MTLSOCSPNonce', $misplaced);

# --- addresses ------------------------------------------------------------------------------------
my @bad_urls = (
    'ocsp.example',               'ftp://ocsp.example/',
    'file:///etc/passwd',         'http://',
    'http:///path',               'http://user@ocsp.example/',
    'http://ocsp.example:0/',     'http://ocsp.example:x/',
    'http://ocsp.example:99999/', 'http://ocsp.example/#x',
    'http://[::1/',               'ldap://ocsp.example/',
    '"http://ocsp.example/a b"',
);
for my $url (@bad_urls) {
    my $shown = $url =~ tr/"//dr;
    refused('server', "MTLSOCSPProxy $url", 'MTLSOCSPProxy', $shown);
    next if $url !~ /file|user|#/;
    refused('store', "$anchor\nMTLSOCSPResponder $url", 'MTLSOCSPResponder', $shown);
    refused('vhost', "MTLSOCSPResponder $url",          'MTLSOCSPResponder', $shown);
}
for my $where (['store', "$anchor\n"], ['vhost', '']) {
    my ($context, $before) = @$where;
    my $url = 'http://ocsp.example/';
    refused($context, "${before}MTLSOCSPResponder $url overrides",
        'MTLSOCSPResponder', 'overrides', 'override');
    refused($context, "${before}MTLSOCSPResponder",                    'MTLSOCSPResponder');
    refused($context, "${before}MTLSOCSPResponder $url override more", 'MTLSOCSPResponder');
    refused($context, "${before}MTLSOCSPResponder $url\nMTLSOCSPResponder http://two.example/",
        'MTLSOCSPResponder', 'already');
    refused($context, "${before}MTLSOCSPResponderCertificate", 'MTLSOCSPResponderCertificate');
    refused(
        $context,
        "${before}MTLSOCSPResponderCertificate \"$dir/$_\"",
        'MTLSOCSPResponderCertificate', "$dir/$_"
    ) for qw(no-such-file nothing text half empty no-such-*.crt);
}
refused($_, 'MTLSOCSPResponder http://ocsp.example/', 'MTLSOCSPResponder', $misplaced)
    for 'location', 'policy';
refused(
    $_,
    "MTLSOCSPResponderCertificate \"$pki/root.crt\"",
    'MTLSOCSPResponderCertificate', $misplaced
) for 'location', 'policy';

# --- who may be asked -----------------------------------------------------------------------------
my $hosts = 'MTLSOCSPResponderAllow';
for my $bad (
    'http://ocsp.example', 'ocsp.example/', 'ocsp.example:0',    'ocsp.example:99999',
    'ocsp.example:http',   '*.example',     'user@ocsp.example', '"ocsp example"',
    '[::1',                ':80'
    )
{
    refused('server', "$hosts $bad", $hosts, $bad =~ tr/"//dr);
}
refused('server', $hosts,                         $hosts);
refused($_,       "$hosts ocsp.example",          $hosts, $misplaced) for qw(vhost location);
refused('store',  "$anchor\n$hosts ocsp.example", $hosts);
refused(
    'server',
"$hosts ocsp.example\n<MTLSTrustStore \"asking\">\n$anchor\nMTLSOCSPResponder http://other.example/\n</MTLSTrustStore>",
    'MTLSOCSPResponder',
    'http://other.example/',
    $hosts
);
refused(
    'server',
"$hosts ocsp.example:8080\n<MTLSTrustStore \"asking\">\n$anchor\nMTLSOCSPResponder http://ocsp.example/\n</MTLSTrustStore>",
    'MTLSOCSPResponder',
    'http://ocsp.example/',
    $hosts
);
refused($_, 'MTLSOCSPProxy http://proxy.example:3128', 'MTLSOCSPProxy', $misplaced)
    for qw(vhost location);
refused(
    'server',        "MTLSOCSPProxy http://a.example:1\nMTLSOCSPProxy http://b.example:2",
    'MTLSOCSPProxy', 'already'
);

# --- folders and caches ---------------------------------------------------------------------------
refused('server', "MTLSOCSPResponses \"$dir/$_\"", 'MTLSOCSPResponses', "$dir/$_")
    for 'no-such-folder', 'text';
refused('server', 'MTLSOCSPResponses', 'MTLSOCSPResponses');
refused(
    'server',            "MTLSOCSPResponses \"$dir/empty\"\nMTLSOCSPResponses \"$dir\"",
    'MTLSOCSPResponses', 'already'
);
refused($_, "MTLSOCSPResponses \"$dir/empty\"", 'MTLSOCSPResponses', $misplaced)
    for qw(vhost location);
refused('server', 'MTLSCache stapling', 'MTLSCache', 'stapling', 'SSLStaplingCache');
refused('server', 'MTLSCache nonsense:x',                    'MTLSCache',        'nonsense');
refused('server', 'MTLSCache redis:127.0.0.1:1',             'MTLSCache',        'redis');
refused('server', 'SSLStaplingCache mtls_policy:nonsense:x', 'SSLStaplingCache', 'nonsense');
refused('server', 'SSLStaplingCache mtls_policy',            'SSLStaplingCache');

# --- what is fine, all at once --------------------------------------------------------------------
accepted('server', <<"CONF");
MTLSOCSPTimeout 60
MTLSOCSPWait 0
MTLSOCSPMaxAge 604800
MTLSOCSPStale 2592000
MTLSOCSPSkew 0
MTLSOCSPNonce require
MTLSOCSPProxy http://proxy.example:3128
MTLSOCSPResponses "$dir/empty"
MTLSOCSPResponderAllow ocsp.example other.example:8080 192.0.2.1
MTLSOCSPResponderAllow [2001:db8::1]:80 OCSP.Partner.example
SSLStaplingCache mtls_policy:shmcb:\@Logs\@/stapling(512000)
MTLSCache stapling
<MTLSTrustStore "asking">
    $anchor
    MTLSOCSPResponder http://ocsp.example/path?query override
    MTLSOCSPResponderCertificate "$pki/partner.crt" "$pki/carc-i101l.crt"
</MTLSTrustStore>
<MTLSTrustStore "asking-partner">
    $anchor
    MTLSOCSPResponder https://ocsp.partner.example
</MTLSTrustStore>
<MTLSPolicy "status-alone">
    MTLSOCSP require chain
</MTLSPolicy>
CONF
accepted('vhost', <<"CONF");
MTLSOCSP Prefer Chain
MTLSOCSPTimeout 1
MTLSOCSPWait 60
MTLSOCSPMaxAge 1
MTLSOCSPStale 0
MTLSOCSPSkew 3600
MTLSOCSPNonce OFF
MTLSOCSPResponder http://[2001:db8::1]:8080/ocsp OVERRIDE
MTLSOCSPResponderCertificate "$pki/partner.crt"
<Location "/x">
    MTLSOCSP off
</Location>
CONF
accepted('location', 'MTLSOCSP require');

# --- .htaccess ------------------------------------------------------------------------------------
{
    my $docs = "$dir/docs";
    replace_file("$docs/index.html", "a page\n");
    my $server = MTLSTest::Server->start(
        name    => 'ocsp-htaccess',
        modules => \@modules,
        htdocs  => $docs,
        config  => configuration(
            '', "<Directory \"$docs\">\nAllowOverride All\nRequire all granted\n</Directory>"
        )
    );
    for my $line (
        'MTLSOCSP off',
        'MTLSOCSPWait 1',
        'MTLSOCSPNonce off',
        'MTLSOCSPResponder http://ocsp.example/',
        'MTLSOCSPResponderAllow ocsp.example',
        'MTLSOCSPProxy http://proxy.example:1',
        "MTLSOCSPResponses \"$dir/empty\""
        )
    {
        replace_file("$docs/.htaccess", "$line\n");
        my $r = $server->get('/index.html');
        is($r->status, 500, ".htaccess: $line");
        like(join("\n", $r->errors), qr/not allowed here/, ".htaccess: $line: not allowed here");
    }
}

done_testing;
