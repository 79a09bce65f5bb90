# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Every attribute and every form of value, each with certificates it lets in and certificates it
# does not.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MIME::Base64 qw(encode_base64);
use MTLSTest;
use MTLSTest::RuleTable qw(run_table list_file);

my $arc = '1.3.6.1.4.1.55555';
my $pki = pki_dir();
make_pki('leaf', 'ends-in-an-hour', '--seconds', 3600);

my %sha256 = map { $_ => sha256_of($_) } qw(partner root carc-i101l);
my %spki   = map { $_ => spki_of($_) } qw(partner root carc-i101l carc-i102l);
my $colons = uc join ':', $sha256{partner} =~ /../g;
my $serial = serial_of('partner');
my $base64 = encode_base64(pack('H*', $spki{'carc-i101l'}), '');

my $names = list_file('names.txt', "# partners\n\n  client.bigpartner.example  \nno-ou\r\n");
my $others =
    list_file('others.txt', "somebody\nclient.bigpartner\nclient.bigpartner.example.evil\n");
my $empty = list_file('empty.txt', "# nobody\n");
my $patterns =
    list_file('patterns.txt', "# forms\nglob:*.bigpartner.example\nprefix:no-\neq:two-ou\n");
my $fingerprints = list_file('fingerprints.txt', "$colons\n");
my $big =
    list_file('big.txt', map({"client-$_.example\n"} 1 .. 20_000), "client.bigpartner.example\n");
my $raw_names = list_file('raw-names.txt', "regex:.*\nglob:**\n");

my @subjects = (
    'subject.CN client.bigpartner.example' => {
        partner         => 'ok',
        'other-partner' => 'subject_mismatch',
        none            => 'no_certificate',
        'no-cn'         => 'subject_mismatch',
        'upper-case-cn' => 'subject_mismatch',
        'printable-cn'  => 'ok'
    },
    'subject.commonName client.bigpartner.example' =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    'subject.2.5.4.3 client.bigpartner.example' =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    'subject.CN a b client.bigpartner.example' =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    'subject.O "Big Partner Foo SA"' =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch', 'two-o' => 'subject_ambiguous' },
    "subject.organizationName 'Big Partner Foo SA'" =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    'subject.C CH'   => { partner => 'ok', 'no-ou' => 'subject_mismatch' },
    'subject.OU API' => {
        partner    => 'ok',
        'two-ou'   => 'ok',
        'no-ou'    => 'subject_mismatch',
        'empty-ou' => 'subject_mismatch'
    },
    'subject.OU contractor' => { 'two-ou'          => 'ok', partner     => 'subject_mismatch' },
    'subject.DC carcano'    => { 'many-attributes' => 'ok', partner     => 'subject_mismatch' },
    'subject.DC corp'       => { 'many-attributes' => 'ok', partner     => 'subject_mismatch' },
    'subject.UID jdoe'      => { 'many-attributes' => 'ok', 'longer-dn' => 'subject_mismatch' },
    'subject.emailAddress ops@bigpartner.example' =>
        { 'many-attributes' => 'ok', partner => 'subject_mismatch' },
    'subject.serialNumber SN-42' => { 'many-attributes' => 'ok', partner => 'subject_mismatch' },
    'subject.2.5.4.97 VATCH-123.456.789' =>
        { 'many-attributes' => 'ok', partner => 'subject_mismatch' },
    'subject.ST Ticino' => { 'many-attributes' => 'ok', partner => 'subject_mismatch' },
    'subject "CN=client.bigpartner.example,OU=API,O=Big Partner Foo SA,C=CH"' => {
        partner        => 'ok',
        'longer-dn'    => 'subject_mismatch',
        'swapped-rdns' => 'subject_mismatch',
        'reversed-dn'  => 'subject_mismatch'
    },
    'subject "CN=multi+OU=API,O=Big Partner Foo SA"' =>
        { 'multi-value-rdn' => 'ok', partner => 'subject_mismatch' },
    'subject "OU=API+CN=multi,O=Big Partner Foo SA"' =>
        { 'multi-value-rdn' => 'ok', partner => 'subject_mismatch' },
    'subject "CN=multi,OU=API,O=Big Partner Foo SA"' => { 'multi-value-rdn' => 'subject_mismatch' },
    q{subject 'CN=quote-comma-in-o,O=Foo \"Bar\"\, Inc\; x=y\\\\\\\\'} =>
        { 'quote-comma-in-o' => 'ok', partner => 'subject_mismatch' },
    'issuer.CN "CARC I101L"' => { partner => 'ok', 'partner-by-i102l' => 'issuer_mismatch' },
    'issuer.O Carcano'       => { partner => 'ok', 'partner-by-i102l' => 'ok' },
    'issuer "CN=CARC I101L,O=Carcano"' => {
        partner            => 'ok',
        'partner-by-i102l' => 'issuer_mismatch',
        'by-s201l'         => 'issuer_mismatch'
    },
);

my @pins = (
    "issuer.cert $pki/carc-i101l.crt" =>
        { partner => 'ok', 'partner-by-i102l' => 'pin_mismatch', 'by-s201l' => 'pin_mismatch' },
    "issuer.cert $pki/carc-i101l.crt $pki/carc-i102l.crt" =>
        { partner => 'ok', 'partner-by-i102l' => 'ok', 'by-s201l' => 'pin_mismatch' },
    "issuer.cert $pki/ca-bundle.crt" =>
        { partner => 'ok', 'by-root' => 'ok', 'by-s201l' => 'pin_mismatch' },
    "chain.cert $pki/carc-i101l.crt" =>
        { partner => 'ok', 'by-s201l' => 'ok', 'partner-by-i102l' => 'pin_mismatch' },
    "chain.cert $pki/root.crt"            => { partner => 'ok', 'by-root' => 'ok' },
    "chain.cert $pki/partner.crt"         => { partner => 'pin_mismatch' },
    "anchor.cert $pki/root.crt"           => { partner => 'ok', 'by-s201l' => 'ok' },
    "anchor.cert $pki/carc-i101l.crt"     => { partner => 'pin_mismatch' },
    "anchor.cert $pki/lookalike-root.crt" => { partner => 'pin_mismatch' },
    "issuer.spki $spki{'carc-i101l'}" => { partner => 'ok', 'partner-by-i102l' => 'pin_mismatch' },
    "issuer.spki $base64"             => { partner => 'ok', 'partner-by-i102l' => 'pin_mismatch' },
    "chain.spki $spki{'carc-i101l'}"  =>
        { partner => 'ok', 'by-s201l' => 'ok', 'by-root' => 'pin_mismatch' },
    "anchor.spki $spki{root}"         => { partner => 'ok', 'by-s201l' => 'ok' },
    "anchor.spki $spki{'carc-i101l'}" => { partner => 'pin_mismatch' },
    "spki $spki{partner}"     => { partner => 'ok',       'partner-by-i102l' => 'pin_mismatch' },
    "not spki $spki{partner}" => { partner => 'excluded', 'partner-by-i102l' => 'ok' },
    "sha256 $sha256{partner}" => { partner => 'ok', 'partner-by-i102l' => 'fingerprint_mismatch' },
    "sha256 $colons"          => { partner => 'ok', 'other-partner'    => 'fingerprint_mismatch' },
    "sha256 file:$fingerprints" => { partner => 'ok', 'other-partner' => 'fingerprint_mismatch' },
    "serial $serial"            => { partner => 'ok', 'other-partner' => 'serial_mismatch' },
    'serial '
        . lc $serial =>
        { partner => 'ok', 'serial-same-as-partner' => 'ok', 'other-partner' => 'serial_mismatch' },
    "serial 00$serial" => { partner => 'ok', 'other-partner' => 'serial_mismatch' },
    ["MTLSRequire issuer.CN \"CARC I101L\"", "MTLSRequire serial $serial"] =>
        { partner => 'ok', 'serial-same-as-partner' => 'issuer_mismatch' },
    ["MTLSRequire not serial $serial", 'MTLSRequire subject.C CH'] =>
        { partner => 'excluded', 'other-partner' => 'ok' },
    'serial 00'   => { 'serial-zero' => 'ok', partner => 'serial_mismatch' },
    'trust vhost' => {
        partner              => 'ok',
        'stranger-with-root' => 'chain_untrusted',
        stranger             => 'chain_incomplete'
    },
);

my @san = (
    'san.dns client.bigpartner.example' => {
        partner         => 'ok',
        'other-partner' => 'san_mismatch',
        'no-ou'         => 'san_mismatch',
        'dns-as-cn'     => 'san_mismatch'
    },
    'san.dns Client.BigPartner.EXAMPLE' => { partner => 'ok', 'other-partner' => 'san_mismatch' },
    'san.dns good.example.com'          => {
        'good-dns-san'         => 'ok',
        'upper-case-dns-san'   => 'ok',
        'trailing-dot-dns-san' => 'san_mismatch'
    },
    'san.dns two.bigpartner.example' => { 'many-attributes' => 'ok', partner => 'san_mismatch' },
    'san.dns suffix:.bigpartner.example' =>
        { partner => 'ok', 'many-attributes' => 'ok', 'other-partner' => 'san_mismatch' },
    'san.uri https://bigpartner.example/api/orders' => {
        'uri-san'            => 'ok',
        'uri-case'           => 'san_mismatch',
        'uri-percent'        => 'san_mismatch',
        'uri-trailing-slash' => 'san_mismatch',
        'uri-port'           => 'san_mismatch',
        'uri-userinfo'       => 'san_mismatch',
        partner              => 'san_mismatch'
    },
    'san.uri prefix:https://bigpartner.example/' => {
        'uri-san'         => 'ok',
        'uri-longer-host' => 'san_mismatch',
        'uri-userinfo'    => 'san_mismatch',
        'uri-port'        => 'san_mismatch',
        'two-uri-sans'    => 'ok'
    },
    'san.uri spiffe://lab.carcano.corp/ns/prod/sa/orders' =>
        { spiffe => 'ok', 'spiffe-query' => 'san_mismatch' },
    'san.email ops@bigpartner.example' => {
        partner           => 'ok',
        'other-partner'   => 'san_mismatch',
        'email-in-dn'     => 'san_mismatch',
        'many-attributes' => 'san_mismatch'
    },
    'san.email Ops@bigpartner.example' => { 'many-attributes' => 'ok', partner => 'san_mismatch' },
    'san.email suffix:@bigpartner.example' =>
        { partner => 'ok', 'many-attributes' => 'ok', 'other-partner' => 'san_mismatch' },
    'san.ip 192.0.2.10' => {
        partner            => 'ok',
        'other-partner'    => 'san_mismatch',
        'v4-mapped-ip-san' => 'san_mismatch'
    },
    'san.ip 192.0.2.0/24' =>
        { partner => 'ok', 'many-attributes' => 'ok', 'other-partner' => 'san_mismatch' },
    'san.ip 192.0.2.10/32' => { partner => 'ok', 'many-attributes' => 'san_mismatch' },
    'san.ip 0.0.0.0/0'     => { partner => 'ok', 'ipv6-san'        => 'san_mismatch' },
    'san.ip 2001:db8::/32' =>
        { 'ipv6-san' => 'ok', 'many-attributes' => 'ok', partner => 'san_mismatch' },
    'san.ip 2001:db8::1'        => { 'ipv6-san' => 'ok', partner => 'san_mismatch' },
    'san.upn jdoe@corp.example' => {
        upn                 => 'ok',
        'many-attributes'   => 'ok',
        partner             => 'san_mismatch',
        'othername-unknown' => 'san_mismatch'
    },
);

my @spiffe = (
    'spiffe spiffe://lab.carcano.corp/ns/prod/sa/orders' => {
        spiffe                  => 'ok',
        'spiffe-with-dns'       => 'ok',
        'spiffe-no-key-usage'   => 'ok',
        'spiffe-other-path'     => 'spiffe_mismatch',
        'spiffe-longer-path'    => 'spiffe_mismatch',
        'spiffe-foreign-domain' => 'spiffe_mismatch',
        'spiffe-longer-domain'  => 'spiffe_mismatch',
        partner                 => 'spiffe_mismatch',
        map({ ("spiffe-$_" => 'spiffe_invalid') }
            qw(query fragment trailing-slash dot-segments upper-case-domain upper-case-scheme port
                userinfo percent no-path root-path double-slash keycertsign)),
        'two-uri-sans' => 'spiffe_invalid'
    },
    'spiffe spiffe://lab.carcano.corp/ns/prod/sa/*' => {
        spiffe                  => 'ok',
        'spiffe-other-path'     => 'ok',
        'spiffe-longer-path'    => 'spiffe_mismatch',
        'spiffe-trailing-slash' => 'spiffe_invalid'
    },
    'spiffe spiffe://lab.carcano.corp/ns/prod/**' =>
        { spiffe => 'ok', 'spiffe-longer-path' => 'ok', 'spiffe-dot-segments' => 'spiffe_invalid' },
    'spiffe spiffe://lab.carcano.corp/ns/prod/sa/orders/**' =>
        { 'spiffe-longer-path' => 'ok', spiffe => 'spiffe_mismatch' },
);

my @usage = (
    'eku clientAuth'        => { partner                 => 'ok', 'eku-none' => 'eku_mismatch' },
    'eku 1.3.6.1.5.5.7.3.2' => { partner                 => 'ok', 'eku-none' => 'eku_mismatch' },
    'eku serverAuth'        => { 'eku-client-and-server' => 'ok', partner    => 'eku_mismatch' },
    'not eku serverAuth'    =>
        { partner => 'ok', 'eku-client-and-server' => 'excluded', 'eku-none' => 'ok' },
    "policy $arc.10.2"          => { 'many-attributes' => 'ok', partner => 'policy_oid_mismatch' },
    "ext.$arc.1 gold"           => { 'many-attributes' => 'ok', partner => 'extension_mismatch' },
    "ext.$arc.1 silver"         => { 'many-attributes' => 'extension_mismatch' },
    "ext.$arc.2 hex:3003020107" => { 'many-attributes' => 'ok', partner => 'extension_mismatch' },
    'key rsa>=3072'             =>
        { 'rsa-3072' => 'ok', 'rsa-2048' => 'key_mismatch', partner => 'key_mismatch' },
    'key ec>=256'       => { partner   => 'ok', 'ec-p384' => 'ok', 'rsa-3072' => 'key_mismatch' },
    'key ec>=384'       => { 'ec-p384' => 'ok', partner   => 'key_mismatch' },
    'key ec:prime256v1' => { partner   => 'ok', 'ec-p384' => 'key_mismatch' },
    'key ed25519'       => { ed25519 => 'ok', partner => 'key_mismatch', ed448 => 'chain_weak' },
    'key rsa>=2048 ec>=256' => { partner => 'ok', 'rsa-2048' => 'ok', ed25519 => 'key_mismatch' },
    'lifetime <=90d'        => {
        partner          => 'ok',
        'long-lived'     => 'lifetime_mismatch',
        'not-after-2060' => 'lifetime_mismatch'
    },
    'remaining >=7d' =>
        { partner => 'ok', 'ends-in-an-hour' => 'lifetime_mismatch', 'not-after-2060' => 'ok' },
);

my @forms = (
    'subject.CN eqi:CLIENT.bigpartner.example' =>
        { partner => 'ok', 'upper-case-cn' => 'ok', 'cn-with-suffix' => 'subject_mismatch' },
    'subject.CN prefix:client.'  => { partner => 'ok', 'cn-with-prefix' => 'subject_mismatch' },
    'subject.CN suffix:.example' => { partner => 'ok', 'cn-with-suffix' => 'subject_mismatch' },
    'subject.CN glob:*.bigpartner.example' =>
        { partner => 'ok', 'cn-with-suffix' => 'subject_mismatch', 'cn-with-prefix' => 'ok' },
    'subject.CN glob:*.example' =>
        { partner => 'subject_mismatch', 'other-partner' => 'subject_mismatch' },
    'subject.CN glob:**.example' =>
        { partner => 'ok', 'other-partner' => 'ok', 'cn-with-suffix' => 'subject_mismatch' },
    'subject.CN "regex:client\\.[a-z]+\\.example"' => {
        partner          => 'ok',
        'other-partner'  => 'ok',
        'cn-with-suffix' => 'subject_mismatch',
        'cn-with-prefix' => 'subject_mismatch'
    },
    'subject.CN "regex:nobody|client\\.bigpartner\\.example"' => {
        partner          => 'ok',
        'cn-with-suffix' => 'subject_mismatch',
        'cn-with-prefix' => 'subject_mismatch'
    },
    'subject.CN eq:client.bigpartner.example' =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    'subject.CN eq:prefix:client.' => { partner => 'subject_mismatch' },
    "subject.CN file:$names"       => {
        partner         => 'ok',
        'no-ou'         => 'ok',
        'other-partner' => 'subject_mismatch',
        'two-ou'        => 'subject_mismatch'
    },
    "subject.CN file:$others"       => { 'cn-with-suffix' => 'ok', partner => 'subject_mismatch' },
    "subject.CN file:$big"          => { partner => 'ok', 'other-partner'  => 'subject_mismatch' },
    "subject.CN file:$raw_names"    => { partner => 'subject_mismatch' },
    "subject.CN patterns:$patterns" => {
        partner         => 'ok',
        'no-ou'         => 'ok',
        'two-ou'        => 'ok',
        'other-partner' => 'subject_mismatch'
    },
    "subject.CN file:$others client.bigpartner.example" =>
        { partner => 'ok', 'other-partner' => 'subject_mismatch' },
    "not subject.CN file:$names" =>
        { partner => 'excluded', 'no-ou' => 'excluded', 'other-partner' => 'ok' },
    "not subject.CN file:$empty" => { partner => 'ok' },
);

my @logic = (
    'not subject.OU contractor' => {
        partner         => 'ok',
        'ou-contractor' => 'excluded',
        'two-ou'        => 'excluded',
        'no-ou'         => 'ok',
        'empty-ou'      => 'ok'
    },
    ['MTLSRequire subject.OU API', 'MTLSRequire not subject.OU contractor'] =>
        { partner => 'ok', 'two-ou' => 'excluded', 'no-ou' => 'subject_mismatch' },
    ['MTLSRequire subject.O "Big Partner Foo SA"', 'MTLSRequire issuer.CN "CARC I101L"'] => {
        partner            => 'ok',
        'partner-by-i102l' => 'issuer_mismatch',
        'other-partner'    => 'subject_mismatch'
    },
    ['MTLSRequire issuer.CN "CARC I101L"', 'MTLSRequire subject.O "Big Partner Foo SA"'] =>
        { 'other-partner' => 'issuer_mismatch' },
    [
        '<MTLSRequireAny>',
        '    MTLSRequire subject.O "Other Partner SA"',
        '    MTLSRequire san.dns client.bigpartner.example',
        '</MTLSRequireAny>'
    ] => { partner => 'ok', 'other-partner' => 'ok', 'no-ou' => 'none_matched' },
    [
        '<MTLSRequireAny>',
        '    <MTLSRequireAll>',
        '        MTLSRequire subject.O "Big Partner Foo SA"',
        '        MTLSRequire issuer.CN "CARC I101L"',
        '    </MTLSRequireAll>',
        '    MTLSRequire subject.O "Other Partner SA"',
        '</MTLSRequireAny>'
    ] => { partner => 'ok', 'other-partner' => 'ok', 'partner-by-i102l' => 'none_matched' },
    [
        '<MTLSRequireAny>',
        '    MTLSRequire subject.O "Other Partner SA"',
        '    MTLSRequire subject.O "Big Partner Foo SA"',
        '</MTLSRequireAny>',
        'MTLSRequire not subject.OU contractor'
    ] => { partner => 'ok', 'ou-contractor' => 'excluded', spiffe => 'none_matched' },
    'expr %{REQUEST_METHOD} == "GET"' => { partner => 'ok', none => 'no_certificate' },
    'expr %{REQUEST_METHOD} == "PUT"' => { partner => 'expr_false' },
    'expr %{mtls:subject.O} == "Big Partner Foo SA"' =>
        { partner => 'ok', 'other-partner' => 'expr_false' },
    'expr %{mtls:subject.CN} =~ /^client\\./ && %{mtls:issuer.CN} == "CARC I101L"' =>
        { partner => 'ok', 'partner-by-i102l' => 'expr_false' },
    'expr %{HTTP:X-Test-Id} =~ /^raw-/'                => { partner => 'ok' },
    'expr %{SSL_CLIENT_VERIFY} == "nonsense" || false' => { partner => 'expr_false' },
);

my $server = run_table(
    name       => 'rules',
    directives => 'MTLSTrustDomain lab.carcano.corp',
    rows       => [@subjects, @pins, @san, @spiffe, @usage, @forms, @logic]
);

# What depends on the request is not remembered on the connection.
{
    my $other = private(name => 'rules-expr', config => <<'CONF');
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
@TLS@
ServerName gateway.test
<Directory "@Htdocs@">
    Require all granted
</Directory>
<Location "/">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSRequire expr %{HTTP:X-Tenant} == "a"
</Location>
</VirtualHost>
CONF
    my $tls = $other->tls(cert => 'partner');
    for my $round (1, 2) {
        allowed(
            $tls->request('/', headers => ['X-Tenant: a']),
            "an expression on the request, round $round: true"
        );
        denied($tls->request('/', headers => ['X-Tenant: b']), 'expr_false', "round $round: false");
    }
}

done_testing;
