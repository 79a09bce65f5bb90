# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Directives about backends that cannot mean anything, or stand where they could not hold, fail
# "httpd -t" with directive, value, what is allowed, file and line. Each refused text stands in a
# configuration that is fine without it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::ConfigCheck;
use MTLSTest::Files qw(files_dir replace_file);

my @modules = qw(
    authn_core authz_core authz_host alias dir headers log_config mime proxy proxy_http setenvif
    socache_shmcb mtls_policy ssl
);
my $dir    = files_dir('backend-config');
my $sha256 = 'ab' x 32;
replace_file("$dir/names",   "orders.internal\n");
replace_file("$dir/nothing", "# nobody\n");

sub configuration {
    my ($outside, $inside, $cas) = @_;
    $cas //= 'SSLProxyCACertificateFile "@PKI@/root.crt"';
    return <<"CONF";
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt"
    MTLSTrustDomain lab.carcano.corp
</MTLSTrustStore>
<MTLSTrustStore "more">
    MTLSAnchor "\@PKI\@/root.crt"
</MTLSTrustStore>
<MTLSPolicy "known">
    MTLSRequire subject.O Carcano
</MTLSPolicy>
$outside
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLProxyEngine on
$cas
$inside
</VirtualHost>
CONF
}

my $checker = MTLSTest::ConfigCheck->new(configuration => \&configuration, modules => \@modules);
sub refused  { return $checker->refused(@_) }
sub accepted { return $checker->accepted(@_) }

sub in_section {
    my ($section, @lines) = @_;
    my ($kind) = $section =~ /\A(\w+)/;
    return join "\n", "<$section>", @lines, "</$kind>";
}
sub in_proxy { return in_section('Proxy "https://orders.internal/"', @_) }

my $misplaced = qr/not allowed|cannot|only|may not/i;
my @all       = (
    'MTLSBackendTrust backends',
    'MTLSBackendRequire san.dns orders.internal',
    'MTLSBackendOCSP prefer chain',
    'MTLSBackendMode report'
);

# --- where they may stand -------------------------------------------------------------------------
my $sni = 'MTLSBackendSNI orders.internal';
accepted($_,      join "\n", @all) for qw(server vhost location);
accepted($_,      $sni) for qw(server vhost);
accepted('vhost', in_proxy(@all, $sni));
accepted('vhost', in_section('Proxy "*"',                              @all, $sni));
accepted('vhost', in_section('Proxy "balancer://orders"',              @all, $sni));
accepted('vhost', in_section('ProxyMatch "^https://orders\.internal"', @all, $sni));
accepted('vhost', in_section($_, @all))
    for 'LocationMatch "^/x"', 'Directory "/srv"', 'Files "x"', 'If "true"';
# To mod_proxy an IPv6 address in <Proxy> is a pattern: it never finds the section for a client.
for my $url ('https://[2001:db8::1]:8443/', 'http://[::1]/*', 'https://[fe80::1%25eth0]/') {
    accepted('vhost', in_section(qq{Proxy "$url"}, @all, $sni));
    refused('vhost', in_section(qq{Proxy "$url"}, @all, $_), 'pattern', $url, '<ProxyMatch>')
        for 'MTLSTrust more', 'MTLSMode authz', "<If \"true\">\nMTLSTrust more\n</If>";
}
accepted('vhost', in_section('Proxy "http://[a-f]:80/"',               @all, 'MTLSTrust more'));
accepted('vhost', in_section('ProxyMatch "^http://\\[::1\\]"',         @all, 'MTLSTrust more'));
refused('vhost', in_section($_, $sni), 'MTLSBackendSNI', '<Proxy>')
    for 'Location "/x"', 'LocationMatch "^/x"', 'Directory "/srv"', 'Files "x"', 'If "true"';
refused('vhost', in_section('Location "/x"', '<If "true">', $sni, '</If>'), 'MTLSBackendSNI');

for my $line (@all, $sni) {
    my ($directive) = $line =~ /\A(\w+)/;
    refused($_, $line, $directive, $misplaced) for qw(policy store);
    refused('vhost', in_section('Location "/x"', '<Limit GET>', $line, '</Limit>'),
        $directive, $misplaced);
}

# --- trust ----------------------------------------------------------------------------------------
accepted('location', "MTLSBackendTrust $_") for 'vhost', 'backends more', 'vhost backends';
refused('location', 'MTLSBackendTrust',            'MTLSBackendTrust');
refused('location', 'MTLSBackendTrust nobody',     'MTLSBackendTrust', 'nobody');
refused('location', 'MTLSBackendTrust ""',         'MTLSBackendTrust');
refused('location', 'MTLSBackendTrust backends x', 'MTLSBackendTrust', 'x');
refused(
    'location',         "MTLSBackendTrust backends\nMTLSBackendTrust more",
    'MTLSBackendTrust', qr/already|one line/
);
accepted('location', "MTLSBackendTrust backends\nMTLSTrust more");

# --- somebody has to vouch ------------------------------------------------------------------------
my $without = MTLSTest::ConfigCheck->new(
    configuration => sub { configuration(@_[0, 1], '') },
    modules       => \@modules
);
for my $line (
    'MTLSBackendTrust backends vhost',
    'MTLSBackendTrust vhost',
    'MTLSBackendRequire san.dns orders.internal',
    'MTLSBackendOCSP require'
    )
{
    my $named = $line =~ /backends/;
    $without->refused('location', $line, qr/vouch/, 'SSLProxyCACertificateFile') if !$named;
    $without->accepted('location', $line)                                        if $named;
    accepted('location', $line);
    next if $line =~ /Trust/;
    $without->accepted('location', "MTLSBackendTrust backends\n$line");
}
$without->accepted('location', $_) for 'MTLSBackendOCSP off', 'MTLSBackendMode report';
$without->accepted('vhost', in_proxy('MTLSBackendSNI orders.internal'));

# --- the name -------------------------------------------------------------------------------------
accepted('vhost', in_proxy("MTLSBackendSNI $_"))
    for 'orders', 'ORDERS.internal', 'orders_v2.internal', 'xn--bcher-kva.example',
    ('a' x 63) . '.internal', '1.orders.internal';
for my $name (
    '127.0.0.1',               '::1',
    '[::1]',                   '2001:db8::1',
    '10.0.0.0/8',              'orders.internal:8443',
    'https://orders.internal', 'orders.internal/',
    '*.orders.internal',       'orders..internal',
    '.orders.internal',        'orders.internal.',
    '"orders internal"',       "b\xc3\xbccher.example",
    "\"orders\\tinternal\"",   'a%00b',
    'user@orders.internal',    'a.' x 130 . 'b'
    )
{
    refused('vhost', in_proxy("MTLSBackendSNI $name"), 'MTLSBackendSNI', qr/host name|address/);
}
refused('vhost', in_proxy('MTLSBackendSNI'),         'MTLSBackendSNI');
refused('vhost', in_proxy('MTLSBackendSNI ""'),      'MTLSBackendSNI');
refused('vhost', in_proxy('MTLSBackendSNI one two'), 'MTLSBackendSNI');
refused('vhost', in_proxy('MTLSBackendSNI a', 'MTLSBackendSNI b'), 'MTLSBackendSNI', qr/already/);

# --- mode, OCSP -----------------------------------------------------------------------------------
accepted('location', "MTLSBackendMode $_") for qw(enforce report Report);
refused('location', "MTLSBackendMode $_", 'MTLSBackendMode', $_, qr/enforce, report/)
    for qw(off optional authz on log);
refused('location', 'MTLSBackendMode',                'MTLSBackendMode');
refused('location', 'MTLSBackendMode enforce report', 'MTLSBackendMode');
accepted('location', "MTLSBackendOCSP $_") for 'off', 'prefer', 'require', 'require chain';
refused('location', "MTLSBackendOCSP $_", 'MTLSBackendOCSP')
    for '', 'on', 'require leaf', 'require chain chain', 'chain';
refused(
    'location',        "MTLSBackendOCSP prefer\nMTLSBackendOCSP require",
    'MTLSBackendOCSP', qr/already/
);

# --- rules ----------------------------------------------------------------------------------------
my $trust = 'MTLSBackendTrust backends';
accepted('location', "MTLSBackendRequire $_")
    for 'san.dns a.internal b.internal', 'not san.dns *.internal', "san.dns \"file:$dir/names\"",
    'san.uri prefix:https://orders.internal/', 'san.ip 10.0.0.0/8', 'issuer.CN x', 'key ec>=256',
    "sha256 $sha256", "spki $sha256", 'subject.CN orders';
accepted('location', "$trust\nMTLSBackendRequire spiffe spiffe://lab.carcano.corp/orders");
for my $case (
    ['',                                  qr/./],
    ['san.dns',                           'san.dns'],
    ['san.dsn orders.internal',           'san.dsn'],
    ['not',                               qr/./],
    ['san.ip 10.0.0.0/33',                '10.0.0.0/33'],
    ['san.dns regex:(',                   'regex:('],
    ["san.dns \"file:$dir/gone\"",        "$dir/gone"],
    ["san.dns \"file:$dir/nothing\"",     "$dir/nothing"],
    ['spki abc',                          'abc'],
    ["not sha256 $sha256",                'spki'],
    ['key rsa>=x',                        'rsa>=x'],
    ['trust nobody',                      'nobody'],
    ['spiffe spiffe://other.corp/orders', 'MTLSTrustDomain'],
    ['expr "%{REQUEST_URI} == \'/\'"',    'expr'],
    ['expr true',                         'expr'],
    )
{
    my ($rule, @words) = @$case;
    refused('location', "MTLSBackendRequire $rule", 'MTLSBackendRequire', @words);
}
refused('vhost', in_proxy('MTLSBackendRequire expr true'), 'MTLSBackendRequire', 'expr');

# --- groups: about one side -----------------------------------------------------------------------
my $mixed =
    ['MTLSBackendRequire san.dns a.internal', 'MTLSBackendRequire san.uri https://b.internal/'];
accepted('location', in_section('MTLSRequireAny', @$mixed));
accepted('vhost',    in_proxy(in_section('MTLSRequireAny', @$mixed)));
accepted(
    'location',
    in_section(
        'MTLSRequireAny', $mixed->[0],
        in_section('MTLSRequireAll', $mixed->[1], 'MTLSBackendRequire issuer.CN x')
    )
);
refused('location', in_section('MTLSRequireAny', $mixed->[0], 'MTLSRequire subject.O x'),
    qr/MTLS(?:Backend)?Require/);
refused('location', in_section('MTLSRequireAny', 'MTLSRequire subject.O x', $mixed->[0]),
    qr/MTLS(?:Backend)?Require/);
refused('location', in_section('MTLSRequireAny', $mixed->[0], 'MTLSBackendRequire expr true'),
    'MTLSBackendRequire', 'expr');

# --- what starts ----------------------------------------------------------------------------------
# Sections of mod_proxy that say nothing of ours stand beside those that do.
{
    my $server = private(
        name    => 'backend-config-start',
        modules => \@modules,
        config  => configuration('', <<'CONF'));
<Proxy "https://one.internal/">
    SSLProxyVerify require
</Proxy>
<Proxy "https://two.internal/">
    MTLSBackendTrust backends
</Proxy>
<Proxy "https://three.internal/">
    ProxySet keepalive=on
</Proxy>
<ProxyMatch "^https://four">
    Require all granted
</ProxyMatch>
CONF
    is($server->get('/')->status, 200, 'a server with such sections starts and answers');
    $server->stop;
}

# --- .htaccess ------------------------------------------------------------------------------------
{
    my $docs = files_dir('backend-htaccess');
    replace_file("$docs/fine/x.txt",     "fine\n");
    replace_file("$docs/fine/.htaccess", "Header set X-Fine yes\n");
    my @refused = (@all, $sni);
    for my $n (0 .. $#refused) {
        replace_file("$docs/$n/x.txt",     "text\n");
        replace_file("$docs/$n/.htaccess", "$refused[$n]\n");
    }
    my $server = private(
        name    => 'backend-config-htaccess',
        modules => \@modules,
        config  => configuration('', <<"CONF"));
Alias "/h/" "$docs/"
<Directory "$docs">
    AllowOverride All
    Require all granted
</Directory>
CONF
    is($server->get('/h/fine/x.txt')->status, 200, '.htaccess: of others, read');
    for my $n (0 .. $#refused) {
        my $r = $server->get("/h/$n/x.txt");
        is($r->status, 500, ".htaccess: $refused[$n]");
        like(join('', $r->errors), qr/MTLSBackend\w+ not allowed here/, '... and said why');
    }
}

done_testing;
