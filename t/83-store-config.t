# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What cannot mean anything in a trust store, or in what names one, fails "httpd -t" with directive,
# value, what is allowed, file and line. Each refused text stands in a configuration that is fine
# without it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::ConfigCheck;
use MTLSTest::Files qw(files_dir pki_text replace_file copy_pki);

my @modules = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic alias dir headers
    log_config mime setenvif socache_shmcb mtls_policy ssl
);
my $dir    = files_dir('config');
my $pki    = pki_dir();
my $root   = "\"$pki/root.crt\"";
my $anchor = "MTLSAnchor $root";

sub pki {
    return join ' ', map {"\"$pki/$_\""} @_;
}

my $half = pki_text('root.crt');
replace_file("$dir/nothing",   '');
replace_file("$dir/blank",     "\n\n");
replace_file("$dir/text",      "this is no certificate\n");
replace_file("$dir/half",      substr $half,         0, length($half) / 2);
replace_file("$dir/one-half",  $half . substr $half, 0, length($half) / 2);
replace_file("$dir/no-base64", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
replace_file("$dir/binary",    openssl('x509', '-in', "$pki/root.crt", '-outform', 'DER'));
replace_file("$dir/half.crl",  substr pki_text('carc-i101l.crl'),     0, 200);
replace_file("$dir/half-der",  substr pki_text('carc-i101l-der.crl'), 0, 200);
replace_file("$dir/names",     "somebody\n");
mkdir "$dir/empty"  or die "cannot make $dir/empty: $!\n";
mkdir "$dir/hidden" or die "cannot make $dir/hidden: $!\n";
copy_pki($dir, 'hidden/.ca.pem' => ['root.crt'], 'mixed/ca.pem' => ['root.crt']);
replace_file("$dir/mixed/readme.txt", "these are our CAs\n");
symlink "$dir/gone", "$dir/dangling" or die "cannot link: $!\n";

sub configuration {
    my ($outside, $inside) = @_;
    return <<"CONF";
<MTLSTrustStore "partners">
    MTLSAnchor $root
</MTLSTrustStore>
<MTLSTrustStore "lab">
    MTLSAnchor $root
    MTLSTrustDomain lab.carcano.corp
</MTLSTrustStore>
<MTLSPolicy "known">
    MTLSRequire subject.O Carcano
</MTLSPolicy>
$outside
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
MTLSTrustDomain vhost.carcano.corp
$inside
</VirtualHost>
CONF
}

my $checker = MTLSTest::ConfigCheck->new(configuration => \&configuration, modules => \@modules);
sub refused  { return $checker->refused(@_) }
sub accepted { return $checker->accepted(@_) }

my $misplaced = qr/not allowed|cannot|only|may not/i;

# --- files ----------------------------------------------------------------------------------------
# One reader for all of them: the others are asked for less.
my @bad_files = qw(no-such-file nothing text half no-such-*.pem empty
    blank one-half no-base64 binary dangling hidden no-such-dir/*.pem);
for my $directive (qw(MTLSAnchor MTLSIntermediate MTLSAllowCertificate)) {
    my $first  = $directive eq 'MTLSAnchor';
    my $beside = $first ? '' : "\n$anchor";
    refused('store', "$directive$beside",             $directive, qr/value|argument/);
    refused('store', "$directive \"$dir/$_\"$beside", $directive, "$dir/$_")
        for $first ? @bad_files : @bad_files[0 .. 5];
    refused('store', "$directive " . pki($_) . $beside, $directive, $_)
        for $first ? ('certificate-and-key.crt', 'carc-i101l.crl') : 'certificate-and-key.crt';
    refused('store', "$directive $root \"$dir/mixed\"$beside", $directive, "$dir/mixed/readme.txt");
    refused($_,      "$directive $root", $directive, $misplaced) for qw(server location);
}
for my $file (qw(partner.crt device-self-signed.crt ca-and-leaf.crt)) {
    refused('store', 'MTLSAnchor ' . pki($file), 'MTLSAnchor', $file, 'MTLSAllowCertificate');
    refused('store', "MTLSPartialChain On\nMTLSAnchor " . pki($file),
        'MTLSAnchor', $file, 'MTLSAllowCertificate');
    refused('store', "$anchor\nMTLSIntermediate " . pki($file), 'MTLSIntermediate', $file);
}

refused(
    'store',                'MTLSAllowCertificate ' . pki('device-duplicate-extension.crt'),
    'MTLSAllowCertificate', 'device-duplicate-extension.crt',
    qr/extension occurs twice/
);

# --- a store that could never vouch for anybody ---------------------------------------------------
refused('server', "<MTLSTrustStore \"bare\">\n</MTLSTrustStore>",
    'MTLSTrustStore', 'bare', qr/MTLSAnchor/);
refused('store', 'MTLSAnchor ' . pki('carc-i101l.crt'), 'tested', qr/anchor/, 'MTLSPartialChain');
refused('store', 'MTLSAnchor ' . pki('carc-i101l.crt') . "\nMTLSPartialChain Off",
    'tested', qr/anchor/, 'MTLSPartialChain');
refused('store', 'MTLSIntermediate ' . pki('carc-i101l.crt'), 'tested', qr/anchor/);
refused('store', 'MTLSTrustDomain x.example',                 'tested', qr/anchor/);

# --- the section itself ---------------------------------------------------------------------------
refused('server', "<MTLSTrustStore>\n$anchor\n</MTLSTrustStore>", 'MTLSTrustStore', qr/name/i);
for my $name ('a b', 'a/b', 'a,b', 'pärtner', '', '*', 'vhost') {
    refused('server', "<MTLSTrustStore \"$name\">\n$anchor\n</MTLSTrustStore>", 'MTLSTrustStore',
        $name eq 'vhost'
        ? ('vhost', qr/reserved|mod_ssl|virtual host/)
        : qr/letters|exactly one name/);
}
refused('server', "<MTLSTrustStore a b>\n$anchor\n</MTLSTrustStore>", 'MTLSTrustStore');
refused(
    'server',
    "<MTLSTrustStore \"partners\">\n$anchor\n</MTLSTrustStore>",
    'MTLSTrustStore',
    'partners',
    qr/twice|already|duplicate/i,
    qr/httpd\.conf:\d+.*httpd\.conf.*\d+|line \d+.*httpd\.conf:\d+|httpd\.conf:\d+.*line \d+/s
);
refused('server', "<MTLSTrustStore \"open\">\n$anchor", 'MTLSTrustStore');
for my $where (qw(vhost location policy store)) {
    refused($where, "<MTLSTrustStore \"inner\">\n$anchor\n</MTLSTrustStore>",
        'MTLSTrustStore', $misplaced);
}
for my $line (
    'MTLSRequire subject.C CH',
    'MTLSTrust partners',
    'MTLSMode off',
    'MTLSUsePolicy known',
    'Require all granted',
    'MTLSReloadInterval 5',
    'MTLSAdvertiseCAs On',
    'SSLEngine on',
    'MTLSAnchr x'
    )
{
    my ($word) = split / /, $line;
    refused('store', "$anchor\n$line", $word);
}

# --- CRLs -----------------------------------------------------------------------------------------
sub with_crl {
    my ($crl, @more) = @_;
    return join "\n", $anchor, 'MTLSIntermediate ' . pki(qw(carc-i101l.crt no-crlsign-ca.crt)),
        "MTLSCRL $crl", @more;
}
refused('store', "$anchor\nMTLSCRL",      'MTLSCRL', qr/value|argument/);
refused('store', with_crl("\"$dir/$_\""), 'MTLSCRL', "$dir/$_")
    for qw(no-such-file nothing blank text half.crl half-der empty no-such-*.crl dangling);
refused('store', with_crl(pki($_->[0])), 'MTLSCRL', @$_)
    for ['carc-i101l-no-next-update.crl', qr/nextUpdate/],
    ['carc-i101l-wrong-key.crl', qr/signature/,    'CARC I101L'],
    ['lookalike-i101l.crl',      qr/signature/,    'CARC I101L'],
    ['no-crlsign-ca.crl', qr/cRLSign|key ?usage/i, 'CARC I111L'], ['carc-i101l-trailing.crl'],
    ['two-der.crl'], ['certificate-as.crl'], ['carc-i101l-critical.crl', qr/critical/],
    ['root.crt'];
refused('store', with_crl("\"$dir/mixed\""), 'MTLSCRL', "$dir/mixed/");
for my $value ('sometimes', 'missing-ok', 'chain nonsense', 'none', 'leaf missing-ok more') {
    refused(
        'store', with_crl(pki('root.crl'), "MTLSCRLCheck $value"),
        'MTLSCRLCheck',
        (split / /, $value)[-1],
        $value =~ /more/ ? () : qr/chain.*leaf.*off|missing-ok/
    );
}
refused('store', with_crl(pki('root.crl'), 'MTLSCRLCheck'), 'MTLSCRLCheck');
refused('store', "$anchor\nMTLSCRLCheck $_", 'MTLSCRLCheck', 'MTLSCRL')
    for 'chain', 'leaf', 'chain missing-ok', 'leaf missing-ok';
refused($_, 'MTLSCRL ' . pki('root.crl'), 'MTLSCRL',      $misplaced) for qw(server vhost location);
refused($_, 'MTLSCRLCheck leaf',          'MTLSCRLCheck', $misplaced) for qw(server vhost location);

# --- the rest of a store --------------------------------------------------------------------------
refused('store', "$anchor\nMTLSVerifyDepth $_", 'MTLSVerifyDepth', $_, qr/0 to 16|0\.\.16/)
    for '-1', '17', 'many', '1.5', '3x', '99999999999';
refused('store', "$anchor\nMTLSVerifyDepth",        'MTLSVerifyDepth');
refused('store', "$anchor\nMTLSVerifyDepth 1 2",    'MTLSVerifyDepth');
refused('store', "$anchor\nMTLSPartialChain Maybe", 'MTLSPartialChain', qr/On, Off|On or Off/);
refused('store', "$anchor\nMTLSTrustDomain Lab.Carcano.corp",
    'MTLSTrustDomain', 'Lab.Carcano.corp', 'lower');
refused(
    'store',           "$anchor\nMTLSTrustDomain spiffe://lab.carcano.corp",
    'MTLSTrustDomain', 'spiffe://lab.carcano.corp'
);
refused($_, 'MTLSVerifyDepth 3',   'MTLSVerifyDepth',  $misplaced) for qw(vhost policy);
refused($_, 'MTLSPartialChain On', 'MTLSPartialChain', $misplaced) for qw(vhost policy);

# Said twice, they would contradict each other.
refused('store', "$anchor\n$_->[0]\n$_->[1]", (split / /, $_->[0])[0], 'already')
    for ['MTLSVerifyDepth 3', 'MTLSVerifyDepth 4'],
    ['MTLSPartialChain On', 'MTLSPartialChain Off'];
refused('store', with_crl(pki('root.crl'), 'MTLSCRLCheck leaf', 'MTLSCRLCheck chain'),
    'MTLSCRLCheck', 'already');
refused('server', "MTLSReloadInterval 5\nMTLSReloadInterval 6", 'MTLSReloadInterval', 'already');

# --- naming stores --------------------------------------------------------------------------------
for my $where (qw(location vhost policy server)) {
    refused($where, 'MTLSTrust no-such-store',
        'MTLSTrust', 'no-such-store', 'partners', 'lab', 'vhost');
    refused($where, 'MTLSTrust partners Partners', 'MTLSTrust', 'Partners', 'partners');
    refused($where, 'MTLSTrust', 'MTLSTrust', qr/value|argument|name/);
}
refused($_, "MTLSTrust partners\nMTLSTrust lab", 'MTLSTrust', 'already')
    for qw(location vhost policy);
refused('location', "<MTLSRequireAny>\nMTLSTrust partners\n</MTLSRequireAny>", 'MTLSTrust');
refused('location', "<Limit GET>\nMTLSTrust partners\n</Limit>", 'MTLSTrust', $misplaced);
refused($_, 'MTLSRequire trust no-such-store',
    'MTLSRequire', 'no-such-store', 'partners', 'lab', 'vhost')
    for qw(location policy);
refused(
    'location',      "MTLSTrust partners\nMTLSRequire not trust no-such-store",
    'no-such-store', 'partners'
);

# --- trust domains: some store of the policy must vouch for them ----------------------------------
my $spiffe = 'MTLSRequire spiffe spiffe://lab.carcano.corp/**';
refused('location', $spiffe,                             'lab.carcano.corp', 'MTLSTrustDomain');
refused('location', "$spiffe\nMTLSTrust partners",       'lab.carcano.corp', 'MTLSTrustDomain');
refused('location', "$spiffe\nMTLSTrust partners vhost", 'lab.carcano.corp', 'MTLSTrustDomain');
refused('policy',   "$spiffe\nMTLSTrust partners",       'lab.carcano.corp', 'MTLSTrustDomain');
refused(
    'location',           "MTLSRequire spiffe spiffe://vhost.carcano.corp/**\nMTLSTrust lab",
    'vhost.carcano.corp', 'MTLSTrustDomain'
);
refused('location',
    "MTLSRequire spiffe spiffe://lab.carcano.corp/** spiffe://x.example/**\nMTLSTrust lab",
    'x.example', 'MTLSTrustDomain');

# --- server-wide ----------------------------------------------------------------------------------
refused('server', "MTLSReloadInterval $_", 'MTLSReloadInterval', $_, '86400')
    for '-1', '86401', 'soon', '1.5', '10s', '99999999999';
refused('server', 'MTLSReloadInterval',   'MTLSReloadInterval');
refused($_,       'MTLSReloadInterval 5', 'MTLSReloadInterval', $misplaced) for qw(vhost location);
refused('server',   'MTLSAdvertiseCAs Maybe', 'MTLSAdvertiseCAs', qr/On, Off|On or Off/);
refused('location', 'MTLSAdvertiseCAs On',    'MTLSAdvertiseCAs', $misplaced);

# --- what is fine, all at once --------------------------------------------------------------------
my $output = accepted('server', <<"CONF");
MTLSReloadInterval 0
<MTLSTrustStore all.of_it-1>
    MTLSAnchor           "$pki/ca-bundle.crt" "$dir/mixed/*.pem"
    MTLSAnchor           "$pki/second-root.crt" $root
    MTLSIntermediate     "$pki/both-i101l.crt"
    MTLSIntermediate     "$pki/carc-i101l.crt"
    MTLSCRL              "$pki/several-issuers.crl" "$pki/carc-i101l-der.crl"
    MTLSCRL              "$pki/stranger-root.crl"
    MTLSCRLCheck         LEAF missing-ok
    MTLSAllowCertificate "$pki/devices.crt" "$pki/expired.crt"
    MTLSTrustDomain      lab.carcano.corp edge.example
    MTLSVerifyDepth      16
    MTLSPartialChain     Off
</MTLSTrustStore>
<MTLSTrustStore "depth-0">
    $anchor
    MTLSVerifyDepth 0
    MTLSCRLCheck off
</MTLSTrustStore>
<MTLSTrustStore "devices">
    MTLSAllowCertificate "$pki/device-self-signed.crt"
</MTLSTrustStore>
<MTLSTrustStore "partial">
    MTLSAnchor "$pki/carc-i101l.crt"
    MTLSPartialChain on
</MTLSTrustStore>
<MTLSTrustStore "Partners">
    $anchor
    MTLSCRL "$pki/root-expired.crl" "$pki/base-and-delta.crl" "$pki/carc-i102l-indirect.crl"
</MTLSTrustStore>
<MTLSPolicy "trust-alone">
    MTLSTrust devices vhost
</MTLSPolicy>
<MTLSPolicy "before-it-is-defined">
    MTLSTrust later
    MTLSRequire trust later partners
</MTLSPolicy>
<MTLSTrustStore "later">
    $anchor
</MTLSTrustStore>
MTLSAdvertiseCAs On
MTLSTrust partners
CONF
unlike($output, qr/carc-i101l-der/, 'nothing is said of a current CRL');
accepted('location', <<"CONF");
MTLSTrust partners lab vhost
MTLSRequire spiffe spiffe://lab.carcano.corp/** spiffe://vhost.carcano.corp/*
MTLSRequire trust lab vhost
MTLSUsePolicy known
CONF
accepted('vhost',  "MTLSTrust lab\nMTLSAdvertiseCAs Off\n$spiffe");
accepted('server', 'MTLSReloadInterval 86400');

# --- .htaccess ------------------------------------------------------------------------------------
{
    my $docs = "$dir/docs";
    replace_file("$docs/index.html", "a page\n");
    my $server = MTLSTest::Server->start(
        name    => 'store-htaccess',
        modules => \@modules,
        htdocs  => $docs,
        config  => configuration(
            '', "<Directory \"$docs\">\nAllowOverride All\nRequire all granted\n</Directory>"
        )
    );
    replace_file("$docs/.htaccess", "# nothing\n");
    is($server->get('/index.html')->status, 200, '.htaccess is read');
    for my $line (
        'MTLSTrust partners',
        'MTLSReloadInterval 1',
        'MTLSAdvertiseCAs On',
        "<MTLSTrustStore \"x\">\n$anchor\n</MTLSTrustStore>"
        )
    {
        replace_file("$docs/.htaccess", "$line\n");
        my $r = $server->get('/index.html');
        is($r->status, 500, ".htaccess: $line");
        like(join("\n", $r->errors), qr/not allowed here/, ".htaccess: $line: not allowed here");
    }
}

done_testing;
