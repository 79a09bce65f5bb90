# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What cannot mean anything fails "httpd -t", naming the directive, the value, what is allowed, file
# and line. Each refused text stands in a configuration that is fine without it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::ConfigCheck;
use MTLSTest::RuleTable qw(list_file);

my @modules = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic alias dir headers
    log_config mime setenvif socache_shmcb mtls_policy ssl
);
my $pki     = pki_dir();
my $empty   = list_file('nobody.txt',         "# nobody\n");
my $names   = list_file('somebody.txt',       "somebody\n");
my $text    = list_file('no-certificate.txt', "this is no certificate\n");
my $nothing = list_file('nothing.pem',        '');
my $sha256  = sha256_of('partner');
my $sha1    = 'ab' x 20;

sub lines {
    return join '', map {"$_\n"} @_;
}

sub configuration {
    my ($outside, $inside) = @_;
    return <<"CONF";
<MTLSPolicy "known">
    MTLSRequire subject.O Carcano
</MTLSPolicy>
$outside
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
MTLSTrustDomain lab.carcano.corp
$inside
</VirtualHost>
CONF
}

# For what is started and not only looked at.
sub in_location {
    my ($directives) = @_;
    return configuration('', "<Location \"/x\">\n$directives\n</Location>");
}

my $checker = MTLSTest::ConfigCheck->new(configuration => \&configuration, modules => \@modules);
sub check    { return $checker->check(@_) }
sub refused  { return $checker->refused(@_) }
sub accepted { return $checker->accepted(@_) }

# --- attributes and values (N5, N20, G5, G6) ------------------------------------------------------
my @rules = (
    ['nonsense x',           '"nonsense"', 'subject.', 'san.dns', 'spiffe', 'lifetime'],
    ['subject.NoSuchName x', 'NoSuchName', 'OID'],
    ['subject. x',                                'subject.'],
    ['san.dnsname x',                             'san.dnsname', 'san.dns'],
    ['Subject.CN x',                              'Subject.CN'],
    ['subject.CN',                                qr/value/i],
    ['not',                                       qr/attribute/i],
    ['not not subject.CN x',                      'not'],
    ['subject.CN "open',                          'quote'],
    ['subject.CN "a"b',                           'quote'],
    ['subject.CN regex:(',                        'regex:('],
    ['subject.CN regex:a{2,1}',                   'regex:a{2,1}'],
    ['subject.CN prefix:',                        'prefix:'],
    ['subject.CN file:',                          'file:'],
    ['subject.CN file:/nonexistent/list',         '/nonexistent/list'],
    ["subject.CN file:$empty",                    $empty,   'not'],
    ["subject.CN patterns:$empty",                $empty,   'not'],
    ["not sha256 $sha256",                        'sha256', 'spki', 'serial'],
    ['sha256 abcd',                               'abcd',                              '64 hex'],
    ["sha256 $sha1",                              $sha1,                               'SHA-256'],
    ["sha256 file:$names",                        'somebody',                          '64 hex'],
    ['serial xyz',                                'xyz',                               'hex'],
    ['san.ip 300.1.2.3',                          '300.1.2.3',                         '192.0.2.'],
    ['san.ip 10.0.0.0/33',                        '10.0.0.0/33',                       'prefix'],
    ['san.ip 10.0.0.1/8',                         '10.0.0.1/8',                        'bits'],
    ['san.uri prefix:https://bigpartner.example', 'prefix:https://bigpartner.example', '/'],
    ['san.dns suffix:bigpartner.example',         'suffix:bigpartner.example',         '"."'],
    ['san.email suffix:bigpartner.example',       'suffix:bigpartner.example',         '"@"'],
    ['spiffe https://bigpartner.example/x',       'https://bigpartner.example/x',      'spiffe://'],
    ['spiffe spiffe://lab.carcano.corp',          'spiffe://lab.carcano.corp',         'path'],
    ['spiffe spiffe://lab.carcano.corp/*/x',      'last segment'],
    ['spiffe spiffe://other.corp/x',              'other.corp', 'MTLSTrustDomain'],
    ['eku nonsense',                              'nonsense',   'OID'],
    ['policy 1.2.x',                              '1.2.x',      'OID'],
    ['ext.nonsense x',                            'nonsense',   'OID'],
    ['key rsa>=many',                             'rsa>=many'],
    ['key nonsense',                              'nonsense', 'rsa'],
    ['lifetime 90',                               '90',       '<='],
    ['lifetime <=90years',                        '<=90years'],
    ['remaining soon',                            'soon', '>='],
    ['expr %{HTTP:X-Tenant} ===',                 qr/expr/],
    ['expr',                                      qr/expr/],
    ['subject "/C=CH/O=Big Partner Foo SA/CN=x"', '/C=CH', 'RFC 4514'],
    ['subject "CN=x,O"',                          'CN=x,O'],
    ['subject glob:CN=*',                         'glob:CN=*'],
    ['issuer.cert /nonexistent/ca.pem',           '/nonexistent/ca.pem'],
    ["issuer.cert $text",                         $text],
    ["issuer.cert $nothing",                      $nothing],
    ['issuer.spki nonsense',                      'nonsense', '64 hex', 'base64'],
    ['trust partners',                            'partners', 'vhost'],
);
refused('location', "MTLSRequire $_->[0]", 'MTLSRequire', @$_[1 .. $#$_]) for @rules;

accepted('location', "MTLSRequire $_")
    for 'subject.CN x', 'subject.organizationIdentifier x', 'not subject.CN x',
    "not subject.CN file:$empty", "sha256 $sha256", 'serial 0A:0b', 'san.ip 10.0.0.0/8',
    'san.uri prefix:https://bigpartner.example/', 'san.dns suffix:.bigpartner.example',
    'san.email suffix:@bigpartner.example',       'spiffe spiffe://lab.carcano.corp/ns/*',
    'eku clientAuth', 'key rsa>=3072 ec>=256 ed25519', 'lifetime <=90d', 'remaining >=7d',
    'expr %{HTTP:X-Tenant} == "a"', 'subject "CN=x,O=y,C=CH"', "issuer.cert $pki/carc-i101l.crt",
    'trust vhost',                  'ext.1.2.3 hex:0500',      "issuer.spki $sha256",
    'subject.CN "with \\"quotes\\" and \\\\ in it"';

# --- the other directives -------------------------------------------------------------------------
my @others = (
    [
        location => 'MTLSMode sometimes',
        'MTLSMode', 'sometimes', 'enforce', 'optional', 'report', 'authz', 'off'
    ],
    [location => 'MTLSMode',                     'MTLSMode'],
    [location => 'MTLSInherit Maybe',            'MTLSInherit',           qr/On|Off/i],
    [location => 'MTLSDenyStatus 200',           'MTLSDenyStatus',        '200',   qr/4\d\d/],
    [location => 'MTLSDenyStatus 503',           'MTLSDenyStatus',        '503',   qr/4\d\d/],
    [location => 'MTLSDenyStatus often',         'MTLSDenyStatus',        'often', qr/4\d\d/],
    [location => 'MTLSUnavailableStatus 200',    'MTLSUnavailableStatus', '200'],
    [location => 'MTLSUser nonsense',            'MTLSUser',      'nonsense',       'subject.'],
    [location => 'MTLSUser subject.CN suffix=x', 'MTLSUser',      'suffix=x',       'prefix='],
    [location => 'MTLSUsePolicy unknown-policy', 'MTLSUsePolicy', 'unknown-policy', 'known'],
    [location => 'MTLSUsePolicy known unknown-policy', 'MTLSUsePolicy', 'unknown-policy'],
    [location => 'MTLSUsePolicy any',                  'MTLSUsePolicy'],
    [location => 'MTLSReportPolicy unknown-policy', 'MTLSReportPolicy', 'unknown-policy', 'known'],
    [location => 'Require mtls-policy unknown-policy', 'mtls-policy',   'unknown-policy'],
    [location => 'Require mtls-policy',                'mtls-policy'],
    [location => 'Require mtls nonsense',              'mtls', 'nonsense'],
    [location => 'MTLSExport nonsense',                'MTLSExport', 'nonsense', 'none', 'env'],
    [location => 'MTLSExportHeader X-Name',            'MTLSExportHeader'],
    [location => 'MTLSExportHeader "Bad Name" "x"',    'MTLSExportHeader', 'Bad Name'],
    [location => 'MTLSExportHeader X-Name: "x"',       'MTLSExportHeader', 'X-Name:'],
    [
        location => 'MTLSExportHeader X-Name "%{mtls:subject.CN"',
        'MTLSExportHeader', '%{mtls:subject.CN'
    ],
    [location => 'MTLSExportHeader X-Name "%{mtls:nonsense}"', 'MTLSExportHeader', 'nonsense'],
    map({ [location => "MTLSExportHeader $_ \"x\"", 'MTLSExportHeader', $_] }
        qw(Host Authorization Cookie Content-Length Transfer-Encoding Connection Upgrade TE
            Expect Content-Type)),
    [vhost  => 'MTLSHeaderLimit big',              'MTLSHeaderLimit', 'big'],
    [vhost  => 'MTLSHeaderLimit -1',               'MTLSHeaderLimit', '-1'],
    [server => 'MTLSStripHeader Host',             'MTLSStripHeader', 'Host'],
    [server => 'MTLSStripHeader "Bad Name"',       'MTLSStripHeader', 'Bad Name'],
    [vhost  => 'MTLSHandshake later',              'MTLSHandshake',   'later', 'defer', 'mod_ssl'],
    [vhost  => 'MTLSTrustDomain Lab.Carcano.corp', 'MTLSTrustDomain', 'Lab.Carcano.corp', 'lower'],
    [
        vhost => 'MTLSTrustDomain spiffe://lab.carcano.corp',
        'MTLSTrustDomain', 'spiffe://lab.carcano.corp'
    ],
    [server => 'MTLSCache nonsense', 'MTLSCache', 'nonsense', 'shmcb'],
    [server => 'MTLSCache shmcb:/nonexistent/dir/cache(banana)', 'MTLSCache'],
    [
        server => "<MTLSPolicy \"known\">\nMTLSRequire subject.C CH\n</MTLSPolicy>",
        'MTLSPolicy', 'known', qr/twice|already|duplicate/i
    ],
    [server   => "<MTLSPolicy>\nMTLSRequire subject.C CH\n</MTLSPolicy>",  'MTLSPolicy', qr/name/i],
    [server   => "<MTLSPolicy \"x\">\nMTLSMode off\n</MTLSPolicy>",        'MTLSMode'],
    [server   => "<MTLSPolicy \"x\">\nMTLSUsePolicy known\n</MTLSPolicy>", 'MTLSUsePolicy'],
    [server   => "<MTLSPolicy \"x\">\nRequire all granted\n</MTLSPolicy>", 'Require'],
    [location => "<MTLSRequireAny>\n</MTLSRequireAny>",                    'MTLSRequireAny'],
    [
        location => "<MTLSRequireAny>\n<MTLSRequireAll>\n</MTLSRequireAll>\n</MTLSRequireAny>",
        'MTLSRequireAll'
    ],
    [location => "<MTLSRequireAny>\nMTLSMode off\n</MTLSRequireAny>", 'MTLSMode'],
    [location => "<MTLSRequireAny>\nMTLSRequire subject.C CH",        'MTLSRequireAny'],
    [
        location => "<MTLSRequireAny nonsense>\nMTLSRequire subject.C CH\n</MTLSRequireAny>",
        'MTLSRequireAny'
    ],
    [location => "<MTLSRequireAny>\nMTLSRequire nonsense CH\n</MTLSRequireAny>", 'nonsense'],
    [policy   => 'MTLSRequire spiffe https://x.example/',                        'spiffe://'],

    # in the wrong place
    map({ [location => $_, (split)[0], qr/not allowed|cannot|only/i] } 'MTLSHandshake defer',
        'MTLSTrustDomain x.example',
        'MTLSCache shmcb',
        'MTLSStripHeader X-A',
        "<MTLSPolicy \"inner\">\nMTLSRequire subject.C CH\n</MTLSPolicy>"),
    [
        vhost => "<MTLSPolicy \"inner\">\nMTLSRequire subject.C CH\n</MTLSPolicy>",
        'MTLSPolicy', qr/not allowed|cannot|only/i
    ],
    [vhost => 'MTLSCache shmcb',     'MTLSCache',       qr/not allowed|cannot|only/i],
    [vhost => 'MTLSStripHeader X-A', 'MTLSStripHeader', qr/not allowed|cannot|only/i],
);
refused(@$_) for @others;

accepted(@$_)
    for [location => 'MTLSMode optional'], [location => 'MTLSInherit Off'],
    [location => "MTLSDenyStatus 404\nMTLSUnavailableStatus 503"],
    [location => 'MTLSUser subject.CN prefix=mtls:'], [location => 'MTLSUsePolicy any known'],
    [location => 'MTLSReportPolicy known'], [location => "MTLSUsePolicy known\nRequire mtls"],
    [location => 'Require mtls-policy known'],
    [location => "MTLSExport none\nMTLSExportHeader X-Name \"%{mtls:subject.CN}\""],
    [vhost    => 'MTLSHeaderLimit 8192'], [server => 'MTLSStripHeader X-A X-B'],
    [vhost    => 'MTLSHandshake defer'],  [server => 'MTLSCache shmcb'],
    [
    location => join "\n",
    '<MTLSRequireAny>', 'MTLSRequire subject.C CH',  '<MTLSRequireAll>', 'MTLSRequire subject.O x',
    'MTLSRequire subject.OU y', '</MTLSRequireAll>', '</MTLSRequireAny>'
    ],
    [policy => 'MTLSRequire subject.C CH'];

# Without mod_proxy there are no backends.
for my $directive ('MTLSBackendTrust x', 'MTLSBackendRequire san.dns x', 'MTLSBackendOCSP prefer',
    'MTLSBackendSNI x', 'MTLSBackendMode report')
{
    my ($word) = $directive =~ /(MTLS\w+)/;
    my ($exit, $output) = check('vhost', $directive);
    isnt($exit, 0, "$directive: refused");
    like($output, qr/$word needs mod_proxy, which is not loaded/, "$directive: needs mod_proxy");
}

# Endless and odd texts neither crash nor hang.
for my $odd (
    'subject.CN ' . ('a ' x 20_000),
    'subject.CN ' . ('x' x 60_000),
    'subject.CN "regex:' . ('(' x 2_000) . '"',
    'subject.CN glob:' . ('*' x 5_000),
    'subject.' . ('1.' x 5_000) . '1 x',
    'san.ip ' . ('1' x 5_000)
    )
{
    my ($exit, $output) = check('location', "MTLSRequire $odd");
    ok(
        $exit == 0 || $exit == 1,
        'a rule of '
            . length($odd)
            . ' bytes ('
            . substr($odd, 0, 30)
            . '): accepted or refused, no crash'
    ) or diag($output);
}

# --- what only the start can see ------------------------------------------------------------------
sub start {
    my ($name, $vhost) = @_;
    return MTLSTest::Server->start_refused(
        name    => $name,
        modules => \@modules,
        config  => lines(
            'Listen 127.0.0.1:@Port_Main@',
            '<VirtualHost 127.0.0.1:@Port_Main@>',
            'ServerName gateway.test',
            $vhost,
            '</VirtualHost>'
        )
    );
}
my $keys = lines(
    'SSLEngine on',
    "SSLCertificateFile \"$pki/server-chain.crt\"",
    "SSLCertificateKeyFile \"$pki/server.key\"",
    "SSLCACertificateFile \"$pki/ca-bundle.crt\""
);
my $location = "<Location \"/x\">\nMTLSRequire subject.C CH\n</Location>\n";
for my $row (
    ['nobody asks for a certificate', "$keys$location",                qr/SSLVerifyClient/],
    ['SSLVerifyClient none', "${keys}SSLVerifyClient none\n$location", qr/SSLVerifyClient/],
    [
        'defer with optional',
        "${keys}SSLVerifyClient optional\nMTLSHandshake defer\n$location",
        qr/MTLSHandshake.*optional_no_ca|optional_no_ca.*MTLSHandshake/s
    ],
    [
        'defer with require',
        "${keys}SSLVerifyClient require\nMTLSHandshake defer\n$location",
        qr/optional_no_ca/
    ],
    ['defer without SSLVerifyClient', "${keys}MTLSHandshake defer\n", qr/optional_no_ca/],
    [
        'Require not mtls',
        lines(
            "${keys}SSLVerifyClient optional_no_ca",
            '<Location "/x">',
            'MTLSRequire subject.C CH',
            '<RequireAll>',
            'Require all granted',
            'Require not mtls',
            '</RequireAll>',
            '</Location>'
        ),
        qr/mtls/
    ],
    [
        'a CA file that is missing',
        "$keys$location" =~ s/ca-bundle/no-such-bundle/r . "SSLVerifyClient optional_no_ca\n",
        qr/no-such-bundle/
    ],
    [
        'a CA file without certificates',
        ($keys =~ s{SSLCACertificateFile "[^"]+"}{SSLCACertificateFile "$nothing"}r)
            . "SSLVerifyClient optional_no_ca\n$location",
        qr/CA|nothing\.pem/
    ],
    )
{
    my ($name, $vhost, $words) = @$row;
    my ($exit, $output) = start('start-refused', $vhost);
    isnt($exit, 0, "$name: the start fails");
    like($output, $words, "$name: and says why");
}
for my $row (
    ['optional_no_ca', "${keys}SSLVerifyClient optional_no_ca\n$location"],
    ['optional',       "${keys}SSLVerifyClient optional\n$location"],
    ['require',        "${keys}SSLVerifyClient require\n$location"],
    ['defer',          "${keys}SSLVerifyClient optional_no_ca\nMTLSHandshake defer\n$location"],
    [
        'asked for in a section',
        "$keys$location<Location \"/x\">\nSSLVerifyClient optional\n</Location>\n"
    ],
    ['no policy, no SSLVerifyClient', $keys],
    ['a plain vhost under policy',    $location]
    )
{
    my ($exit, $output) = start('start-accepted', $row->[1]);
    is($exit, 0, "$row->[0]: starts") or diag($output);
}

# --- one file for two virtual hosts: each is looked at with its own settings ---------------------------
{
    my $template = run_dir() . '/logs/template.inc';
    open my $fh, '>', $template or die "cannot write $template: $!\n";
    print {$fh} lines(
        '<VirtualHost 127.0.0.1:${TEMPLATE_PORT}>',
        'ServerName gateway.test', $keys,
        'SSLVerifyClient ${TEMPLATE_VERIFY}',
        'MTLSHandshake defer', $location, '</VirtualHost>'
    );
    close $fh;
    for my $row (
        ['optional_no_ca', 'optional_no_ca', 1],
        ['optional_no_ca', 'require',        0],
        ['require',        'optional_no_ca', 0]
    ) {
        my ($first, $second, $starts) = @$row;
        my ($exit, $output) = MTLSTest::Server->start_refused(
            name    => 'template',
            modules => \@modules,
            config  => lines(
                'Listen 127.0.0.1:@Port_Main@',
                'Listen 127.0.0.1:@Port_Second@',
                'Define TEMPLATE_PORT @Port_Main@',
                "Define TEMPLATE_VERIFY $first",
                "Include \"$template\"",
                'Define TEMPLATE_PORT @Port_Second@',
                "Define TEMPLATE_VERIFY $second",
                "Include \"$template\""
            )
        );
        if ($starts) { is($exit, 0, "a file included twice, $first and $second: starts") or diag($output) }
        else {
            isnt($exit, 0, "a file included twice, $first and $second: refused");
            like($output, qr/optional_no_ca/, 'and says what defer needs');
        }
    }
}

# --- warnings at start ----------------------------------------------------------------------------
{
    my $server = MTLSTest::Server->start(
        name    => 'warnings',
        modules => \@modules,
        config  => in_location(<<'CONF'));
MTLSRequire subject "C=CH,O=Big Partner Foo SA,CN=client.bigpartner.example"
MTLSMode report
CONF
    like(
        join("\n", $server->log->matching(qr/\[mtls_policy:warn\]/)),
        qr/C=CH,O=Big Partner.*revers|revers.*C=CH,O=Big Partner/,
        'a DN written in reverse is warned about'
    );
    like(join("\n", $server->log->matching(qr/\[mtls_policy:warn\]/)),
        qr/report/, 'and so is report mode');
    $server->stop;
    my $several = MTLSTest::Server->start(
        name    => 'several-anchors',
        modules => \@modules,
        config  => in_location('MTLSRequire subject.O "Big Partner Foo SA"') =~
            s/(?=MTLSTrustDomain)/SSLCACertificateFile "\@PKI\@\/both-roots.crt"\n/r
    );
    like(join("\n", $several->log->matching(qr/\[mtls_policy:warn\]/)),
        qr/anchor|CAs/, 'several anchors and no rule on the issuer');
    $several->stop;
    my $pinned = MTLSTest::Server->start(
        name    => 'several-anchors-pinned',
        modules => \@modules,
        config  => in_location(
            "MTLSRequire subject.O \"Big Partner Foo SA\"\nMTLSRequire anchor.cert $pki/root.crt")
            =~ s/(?=MTLSTrustDomain)/SSLCACertificateFile "\@PKI\@\/both-roots.crt"\n/r
    );
    is(join("\n", $pinned->log->matching(qr/\[mtls_policy:warn\]/)),
        '', 'several anchors and a rule that names one: no warning');
    $pinned->stop;
    my $quiet = MTLSTest::Server->start(
        name    => 'no-warnings',
        modules => \@modules,
        config  => in_location(<<'CONF') =~ s{ca-bundle}{root}r);
MTLSRequire subject "CN=client.bigpartner.example,O=Big Partner Foo SA,C=CH"
MTLSRequire issuer.CN "CARC I101L"
CONF
    is(join("\n", $quiet->log->matching(qr/\[mtls_policy:warn\]/)),
        '', 'nothing is warned about without need');
}

# --- .htaccess (P14) ------------------------------------------------------------------------------
{
    my $docs = run_dir() . '/logs/lists/docs';
    require File::Path;
    File::Path::make_path($docs);
    my $write = sub {
        open my $fh, '>', "$docs/$_[0]" or die "cannot write $docs/$_[0]: $!\n";
        print {$fh} $_[1];
        close $fh;
    };
    $write->('index.html', "a page\n");
    my $server = MTLSTest::Server->start(
        name    => 'htaccess',
        modules => \@modules,
        htdocs  => $docs,
        config  => configuration(
            '', "<Directory \"$docs\">\nAllowOverride All\nRequire all granted\n</Directory>"
        )
    );
    $write->('.htaccess', "# nothing\n");
    is($server->get('/index.html')->status, 200, '.htaccess is read');
    for my $line (
        'MTLSMode off',
        'MTLSRequire subject.C CH',
        'MTLSExportHeader X-A "%{mtls:cert}"',
        'MTLSUsePolicy known',
        'MTLSUser subject.CN',
        'MTLSInherit Off',
        'MTLSExport env'
        )
    {
        $write->('.htaccess', "$line\n");
        my $r = $server->get('/index.html');
        is($r->status, 500, ".htaccess: $line");
        like(join("\n", $r->errors), qr/not allowed here/, ".htaccess: $line: not allowed here");
    }
}

done_testing;
