# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSPKI::Fixtures;

# The certificates the tests use, each named by its defect. Order matters only in that a CA comes
# before what it issues. Unless a row says otherwise a leaf has a P-256 key, lives 30 days, is
# issued by carc-i101l, has keyUsage digitalSignature and extendedKeyUsage clientAuth.

use strict;
use warnings;
use utf8;
use Exporter 'import';
use MTLSPKI::Der qw(tlv seq oid octets integer boolean utf8 printable t61 bmp universal ia5 explicit
    dns uri email ip upn othername dirname extension hex_to_bytes);

our @EXPORT_OK = qw(fixtures bundles crls);

use constant { DAY => 86_400, YEAR => 365 * 86_400 };

my @PARTNER =
    (C => 'CH', O => 'Big Partner Foo SA', OU => 'API', CN => 'client.bigpartner.example');
my @PARTNER_SAN =
    (dns('client.bigpartner.example'), email('ops@bigpartner.example'), ip("\xc0\0\2\x0a"));
my $SPIFFE_ID = 'spiffe://lab.carcano.corp/ns/prod/sa/orders';
my $ARC       = '1.3.6.1.4.1.55555';    # made-up private arc for extensions and policies

sub bytes { my ($text) = @_; utf8::encode($text); return $text }

sub cn { my ($value) = @_; return [O => 'Big Partner Foo SA', CN => $value] }

sub authorities {
    return (
        root => { ca => 1, issuer => 'self', subject => [O => 'Carcano', CN => 'Carcano Root R1'] },
        'carc-i101l' =>
            { ca => 1, issuer => 'root', subject => [O => 'Carcano', CN => 'CARC I101L'] },
        'carc-i102l' =>
            { ca => 1, issuer => 'root', subject => [O => 'Carcano', CN => 'CARC I102L'] },
        'lookalike-root' =>
            { ca => 1, issuer => 'self', subject => [O => 'Carcano', CN => 'Carcano Root R1'] },
        'lookalike-i101l' => {
            ca      => 1,
            issuer  => 'lookalike-root',
            subject => [O => 'Carcano', CN => 'CARC I101L']
        },
        'stranger-root' =>
            { ca => 1, issuer => 'self', subject => [O => 'Stranger', CN => 'Stranger Root'] },
        'second-root' =>
            { ca => 1, issuer => 'self', subject => [O => 'Carcano', CN => 'Carcano Root R2'] },
        'carc-i101l-renewed' => {
            ca      => 1,
            issuer  => 'root',
            key     => 'same-as:carc-i101l',
            subject => [O => 'Carcano', CN => 'CARC I101L']
        },
        'carc-i101l-rekeyed' =>
            { ca => 1, issuer => 'root', subject => [O => 'Carcano', CN => 'CARC I101L'] },
        'carc-i101l-cross' => {
            ca      => 1,
            issuer  => 'second-root',
            key     => 'same-as:carc-i101l',
            subject => [O => 'Carcano', CN => 'CARC I101L']
        },
        'carc-s201l' =>
            { ca => 1, issuer => 'carc-i101l', subject => [O => 'Carcano', CN => 'CARC S201L'] },
    );
}

sub broken_authorities {
    my $ca = sub {
        my ($cn, %more) = @_;
        return { ca => 1, issuer => 'root', subject => [O => 'Carcano', CN => $cn], %more };
    };
    return (
        'expired-intermediate'  => $ca->('CARC I103L', from    => -30 * DAY, to => -DAY),
        'pathlen-zero-ca'       => $ca->('CARC I104L', pathlen => 0),
        'pathlen-below-ca'      => $ca->('CARC S204L', issuer  => 'pathlen-zero-ca'),
        'no-certsign-ca'        => $ca->('CARC I105L', ku      => ['cRLSign']),
        'server-eku-ca'         => $ca->('CARC I106L', eku     => ['serverAuth']),
        'critical-extension-ca' =>
            $ca->('CARC I107L', extra => [extension("$ARC.99", octets('x'), 1)]),
        'name-constraints-ca' => $ca->(
            'CARC I108L',
            extra => [extension('2.5.29.30', seq(explicit(0, seq(dns('partner.example')))), 1)]
        ),
        'rsa-1024-ca'           => $ca->('CARC I109L', key  => 'rsa:1024'),
        'sha1-signed-ca'        => $ca->('CARC I110L', hash => 'sha1'),
        'lookalike-keyid-i101l' => {
            ca          => 1,
            issuer      => 'lookalike-root',
            subject     => [O => 'Carcano', CN => 'CARC I101L'],
            copy_key_id => 'carc-i101l'
        },
    );
}

sub ordinary {
    return (
        server => {
            issuer  => 'carc-i102l',
            subject => [O => 'Carcano', CN => 'gateway.test'],
            eku     => ['serverAuth'],
            san     => [
                (map { dns($_) } qw(localhost gateway.test a.test b.test *.vhosts.test)),
                ip("\x7f\0\0\1")
            ]
        },
        partner => { subject => \@PARTNER, san => \@PARTNER_SAN },
        spiffe  => {
            issuer  => 'carc-i102l',
            subject => [O => 'Carcano', CN => 'orders'],
            san     => [uri($SPIFFE_ID)],
            eku     => [qw(serverAuth clientAuth)]
        },
        'other-partner' => {
            issuer  => 'carc-i102l',
            subject => [C => 'CH', O => 'Other Partner SA', CN => 'client.other.example'],
            san => [dns('client.other.example'), email('ops@other.example'), ip("\xc6\x33\x64\7")]
        },
        'partner-by-i102l' =>
            { issuer => 'carc-i102l', subject => \@PARTNER, san => \@PARTNER_SAN },
        'partner-by-renewed' =>
            { issuer => 'carc-i101l-renewed', subject => \@PARTNER, san => \@PARTNER_SAN },
        'partner-by-rekeyed' =>
            { issuer => 'carc-i101l-rekeyed', subject => \@PARTNER, san => \@PARTNER_SAN },
        'partner-by-cross' =>
            { issuer => 'carc-i101l-cross', subject => \@PARTNER, san => \@PARTNER_SAN },
        'by-s201l'        => { issuer => 'carc-s201l', subject => \@PARTNER, san => \@PARTNER_SAN },
        'by-root'         => { issuer => 'root',       subject => \@PARTNER, san => \@PARTNER_SAN },
        'many-attributes' => {
            subject => [
                DC                     => 'corp',
                DC                     => 'carcano',
                C                      => 'CH',
                ST                     => 'Ticino',
                L                      => 'Lugano',
                O                      => 'Big Partner Foo SA',
                OU                     => 'API',
                OU                     => 'Orders',
                organizationIdentifier => 'VATCH-123.456.789',
                serialNumber           => 'SN-42',
                emailAddress           => 'ops@bigpartner.example',
                UID                    => 'jdoe',
                CN                     => 'many.bigpartner.example'
            ],
            san => [
                dns('one.bigpartner.example'),
                dns('two.bigpartner.example'),
                uri('https://bigpartner.example/api?x=1,2'),
                email('Ops@BigPartner.example'),
                ip("\xc0\0\2\x0b"),
                ip(hex_to_bytes('20010db8000000000000000000000001')),
                upn('jdoe@corp.example')
            ],
            extra => [
                extension("$ARC.1",    utf8('gold')),
                extension("$ARC.2",    seq(integer("\7"))),
                extension('2.5.29.32', seq(seq(oid("$ARC.10.1")), seq(oid("$ARC.10.2"))))
            ],
        },
        'uri-san'       => { san     => [uri('https://bigpartner.example/api/orders')] },
        upn             => { san     => [upn('jdoe@corp.example')] },
        'ipv6-san'      => { san     => [ip(hex_to_bytes('20010db8000000000000000000000001'))] },
        'no-ou'         => { subject => [O => 'Big Partner Foo SA', CN => 'no-ou'] },
        'ou-contractor' =>
            { subject => [O => 'Big Partner Foo SA', OU => 'contractor', CN => 'ou-contractor'] },
        'two-ou' => {
            subject => [O => 'Big Partner Foo SA', OU => 'API', OU => 'contractor', CN => 'two-ou']
        },
        'empty-ou' => { subject => [O => 'Big Partner Foo SA', OU => \utf8(''), CN => 'empty-ou'] },
        'long-lived'             => { from => -DAY, to => 10 * YEAR },
        'not-after-2060'         => { from => -DAY, to => 40 * YEAR },
        'serial-same-as-partner' =>
            { issuer => 'carc-i102l', serial => MTLSPKI::Issuer::serial_of('partner') },
        (map { ("user-$_" => { subject => [O => 'Big Partner Foo SA', CN => "user-$_"] }) } 1 .. 4),
    );
}

sub keys_and_signatures {
    return (
        'rsa-2048'          => { key    => 'rsa:2048' },
        'rsa-3072'          => { key    => 'rsa:3072' },
        'rsa-1024'          => { key    => 'rsa:1024' },
        'ec-p384'           => { key    => 'ec:P-384' },
        'ec-p192'           => { key    => 'ec:prime192v1' },
        ed25519             => { key    => 'ed25519' },
        ed448               => { key    => 'ed448' },
        'sha1-signed'       => { hash   => 'sha1' },
        'by-rsa-1024-ca'    => { issuer => 'rsa-1024-ca' },
        'by-sha1-signed-ca' => { issuer => 'sha1-signed-ca' },

        # No key that fits exists: for parsers only.
        'unknown-key-algorithm' =>
            { spki => seq(seq(oid("$ARC.7.7")), tlv(0x03, "\0key bits of nobody knows what")) },
        'gost-key-algorithm' => {
            spki => seq(
                seq(oid('1.2.643.7.1.1.1.1'), seq(oid('1.2.643.7.1.2.1.1.1'))),
                tlv(0x03, "\0" . octets('k' x 64))
            )
        },
    );
}

sub refused_chains {
    return (
        revoked => { subject => \@PARTNER, san => \@PARTNER_SAN },
        expired => { subject => \@PARTNER, san => \@PARTNER_SAN, from => -30 * DAY, to => -DAY },
        'not-yet-valid' =>
            { subject => \@PARTNER, san => \@PARTNER_SAN, from => DAY, to => 30 * DAY },
        'by-expired-intermediate' => { issuer => 'expired-intermediate', subject => \@PARTNER },
        'self-signed'    => { issuer => 'self', subject => \@PARTNER, san => \@PARTNER_SAN },
        'self-signed-ca' =>
            { issuer => 'self', ca => 1, subject => \@PARTNER, san => \@PARTNER_SAN },
        'self-issued-root-name' =>
            { issuer => 'self', subject => [O => 'Carcano', CN => 'Carcano Root R1'] },
        lookalike => { issuer => 'lookalike-i101l', subject => \@PARTNER, san => \@PARTNER_SAN },
        'lookalike-keyid' =>
            { issuer => 'lookalike-keyid-i101l', subject => \@PARTNER, san => \@PARTNER_SAN },
        'lookalike-no-keyid' => {
            issuer     => 'lookalike-i101l',
            subject    => \@PARTNER,
            san        => \@PARTNER_SAN,
            no_key_ids => 1
        },
        stranger => { issuer => 'stranger-root', subject => \@PARTNER, san => \@PARTNER_SAN },

        # A root is not sent unless it is the point.
        'stranger-with-root' => {
            issuer    => 'stranger-root',
            send_root => 'stranger-root',
            subject   => \@PARTNER,
            san       => \@PARTNER_SAN
        },
        'lookalike-with-root' => {
            issuer    => 'lookalike-i101l',
            send_root => 'lookalike-root',
            subject   => \@PARTNER,
            san       => \@PARTNER_SAN
        },
        'issued-by-leaf' =>
            { issuer => 'partner', subject => [O => 'Big Partner Foo SA', CN => 'admin'] },
        'pathlen-exceeded'         => { issuer => 'pathlen-below-ca',      subject => \@PARTNER },
        'pathlen-kept'             => { issuer => 'pathlen-zero-ca',       subject => \@PARTNER },
        'by-no-certsign-ca'        => { issuer => 'no-certsign-ca',        subject => \@PARTNER },
        'by-server-eku-ca'         => { issuer => 'server-eku-ca',         subject => \@PARTNER },
        'by-critical-extension-ca' => { issuer => 'critical-extension-ca', subject => \@PARTNER },
        'name-constraints-kept'    =>
            { issuer => 'name-constraints-ca', san => [dns('a.partner.example')] },
        'name-constraints-violated' =>
            { issuer => 'name-constraints-ca', san => [dns('a.other.example')] },
        'ca-leaf' => {
            ca      => 1,
            from    => -DAY,
            to      => 30 * DAY,
            ku      => [qw(digitalSignature keyCertSign)],
            eku     => ['clientAuth'],
            subject => \@PARTNER,
            san     => \@PARTNER_SAN
        },
        'wrong-purpose'   => { subject => \@PARTNER, san => \@PARTNER_SAN, eku => ['serverAuth'] },
        'eku-server-only' => { eku     => ['serverAuth'] },
        'eku-email-only'  => { eku     => ['emailProtection'] },
        'eku-client-and-server'      => { eku   => [qw(clientAuth serverAuth)] },
        'eku-any'                    => { eku   => ['anyEKU'] },
        'eku-none'                   => { eku   => undef },
        'eku-private-only'           => { eku   => ["$ARC.20"] },
        'ku-none'                    => { ku    => undef },
        'ku-no-digital-signature'    => { ku    => ['keyEncipherment'] },
        'unknown-critical-extension' => { extra => [extension("$ARC.99", octets('x'), 1)] },
        'unknown-extension'          => { extra => [extension("$ARC.99", octets('x'))] },
    );
}

sub malformed {
    my @san = (dns('a.example'));
    return (
        'v1-leaf'                 => { version => 1 },
        'duplicate-san-extension' => {
            san   => [dns('evil.example')],
            extra => [extension('2.5.29.17', seq(dns('good.example')))]
        },
        'duplicate-eku-extension' => {
            eku   => ['emailProtection'],
            extra => [extension('2.5.29.37', seq(oid('clientAuth')))]
        },
        'garbage-san-extension' =>
            { extra => [extension('2.5.29.17', "\x30\x84\xff\xff\xff\xff")] },
        'trailing-bytes-in-san' => { extra => [extension('2.5.29.17', seq(@san) . "\0\0")] },
        'empty-san-extension'   => { san   => [] },
        'garbage-eku-extension' =>
            { eku => undef, extra => [extension('2.5.29.37', "\x04\x03abc")] },
        'trailing-bytes'  => { trailing => "\0trailing" },
        'serial-zero'     => { serial   => "\0" },
        'serial-negative' => { serial   => "\xf1\x02\x03" },
        'serial-30-bytes' => { serial   => "\x7f" . ("\xab" x 29) },
        'serial-padded'   => { serial   => "\0\0\x12\x34" },
    );
}

sub subjects {
    return (
        'nul-in-cn' => { subject => cn("admin\0.evil.example") },
        'two-cn'    => {
            subject => [
                O  => 'Big Partner Foo SA',
                CN => 'client.bigpartner.example',
                CN => 'evil.example'
            ]
        },
        'two-o'    => { subject => [O => 'Big Partner Foo SA', O => 'Evil SA', CN => 'two-o'] },
        'no-cn'    => { subject => [C => 'CH', O => 'Big Partner Foo SA',      OU => 'API'] },
        'empty-cn' => { subject => cn(\utf8('')) },
        'empty-subject' =>
            { subject => [], san => [dns('client.bigpartner.example')], san_critical => 1 },
        'invalid-utf8-cn'     => { subject => cn("J\xfcrgen") },
        'overlong-utf8-cn'    => { subject => cn("adm\xc1\xa9n") },
        'utf8-cn'             => { subject => cn(bytes('Jürgen')) },
        'nfd-cn'              => { subject => cn(bytes("Ju\x{308}rgen")) },
        'bmpstring-cn'        => { subject => cn(\bmp(map {ord} split //, 'Jürgen')) },
        'odd-bmpstring-cn'    => { subject => cn(\tlv(0x1e, "\0J\0")) },
        't61-cn'              => { subject => cn(\t61("J\xfcrgen")) },
        'universal-cn'        => { subject => cn(\universal(map {ord} split //, 'Jürgen')) },
        'printable-cn'        => { subject => cn(\printable('client.bigpartner.example')) },
        'surrogate-bmp-cn'    => { subject => cn(\bmp(0xd83d, ord 'x')) },
        'ia5-high-byte-cn'    => { subject => cn(\ia5("J\xfcrgen")) },
        'printable-nul-cn'    => { subject => cn(\printable("admin\0.evil.example")) },
        'octet-string-cn'     => { subject => cn(\octets('client.bigpartner.example')) },
        'integer-cn'          => { subject => cn(\integer("\7")) },
        'newline-in-cn'       => { subject => cn("client.bigpartner.example\nx") },
        'trailing-newline-cn' => { subject => cn("client.bigpartner.example\n") },
        'crlf-in-cn'    => { subject => cn("client.bigpartner.example\r\nX-Client-Name: admin") },
        'escape-in-cn'  => { subject => cn("\e[31mred\e]0;title\a") },
        'script-in-cn'  => { subject => cn('<script>alert(1)</script>') },
        'percent-in-cn' => { subject => cn('100%41%0d%0a') },
        'quote-comma-in-o' =>
            { subject => [O => 'Foo "Bar", Inc; x=y\\', CN => 'quote-comma-in-o'] },
        'comma-in-cn'     => { subject => cn('admin,CN=root') },
        'multi-value-rdn' =>
            { subject => [O => 'Big Partner Foo SA', [CN => 'multi', OU => 'API']] },
        'cn-inside-l' => {
            subject => [
                O  => 'Big Partner Foo SA',
                L  => 'Somewhere, CN = admin',
                L  => 'x/CN=admin',
                CN => 'nobody'
            ]
        },
        'cn-only-inside-l' =>
            { subject => [O => 'Big Partner Foo SA', L => 'Somewhere, CN=admin'] },
        'reversed-dn' => {
            subject => [
                CN => 'client.bigpartner.example',
                OU => 'API',
                O  => 'Big Partner Foo SA',
                C  => 'CH'
            ]
        },
        'swapped-rdns' => {
            subject => [
                C  => 'CH',
                OU => 'API',
                O  => 'Big Partner Foo SA',
                CN => 'client.bigpartner.example'
            ]
        },
        'longer-dn'       => { subject => [@PARTNER, UID => 'extra'] },
        'upper-case-cn'   => { subject => cn('CLIENT.BIGPARTNER.EXAMPLE') },
        'cn-with-prefix'  => { subject => cn('evil-client.bigpartner.example') },
        'cn-with-suffix'  => { subject => cn('client.bigpartner.example.evil') },
        'inner-spaces-cn' => { subject => cn('client  bigpartner') },
        'homograph-cn'    => { subject => cn(bytes("cli\x{435}nt.bigpartner.example")) },
        'zero-width-cn'   => { subject => cn(bytes("client\x{200b}.bigpartner.example")) },
        'rtl-in-cn'       => { subject => cn(bytes("client\x{202e}elpmaxe")) },
        'email-in-dn'     => {
            subject => [
                O            => 'Big Partner Foo SA',
                CN           => 'email-in-dn',
                emailAddress => 'ops@bigpartner.example'
            ]
        },
        'ldap-filter-cn' => { subject => cn('x)(uid=*') },
        'cn-64k'         => { subject => cn(('a' x 65_530) . '!') },
        'dn-12k'         => {
            subject => [
                O => 'Big Partner Foo SA',
                (map { (OU => sprintf('unit %03d ', $_) . 'x' x 111) } 1 .. 100), CN => 'dn-12k'
            ]
        },
        'dn-64k' => {
            subject => [
                O => 'Big Partner Foo SA',
                (map { (OU => sprintf('unit %03d ', $_) . 'x' x 111) } 1 .. 500), CN => 'dn-64k'
            ]
        },
    );
}

sub alternative_names {
    my $good = 'good.example.com';
    return (
        'nul-in-dns-san'       => { san     => [dns("good.example.com\0.evil.example")] },
        'nul-in-uri-san'       => { san     => [uri("https://good.example.com/\0evil")] },
        'nul-in-email-san'     => { san     => [email("admin\@good.example.com\0.evil.example")] },
        'empty-dns-san'        => { san     => [dns('')] },
        'non-ascii-dns-san'    => { san     => [dns("g\xf6od.example.com")] },
        'newline-in-dns-san'   => { san     => [dns("good.example.com\n")] },
        'trailing-dot-dns-san' => { san     => [dns('good.example.com.')] },
        'upper-case-dns-san'   => { san     => [dns('GOOD.Example.COM')] },
        'wildcard-dns-san'     => { san     => [dns('*.example.com')] },
        'good-dns-san'         => { san     => [dns($good)] },
        'dns-as-email'         => { san     => [email($good)] },
        'dns-as-uri'           => { san     => [uri($good)] },
        'dns-as-upn'           => { san     => [upn($good)] },
        'dns-as-dirname'       => { san     => [dirname(CN => $good)] },
        'dns-as-cn'            => { subject => cn($good) },
        'email-as-uri'         => { san     => [uri('ops@bigpartner.example')] },
        'email-as-dns'         => { san     => [dns('ops@bigpartner.example')] },
        'dns-text-in-uri'      => { san     => [uri("http://evil.example/, DNS:$good")] },
        'dns-text-in-email'    => { san     => [email("x, DNS:$good")] },
        'dns-text-in-dns'      => { san     => [dns("evil.example, DNS:$good")] },
        'upn-wrong-type'       => { san => [othername('UPN',     octets('jdoe@corp.example'))] },
        'upn-ia5'              => { san => [othername('UPN',     ia5('jdoe@corp.example'))] },
        'upn-integer'          => { san => [othername('UPN',     integer("\7"))] },
        'othername-unknown'    => { san => [othername("$ARC.30", utf8('jdoe@corp.example'))] },
        'smtputf8mailbox'      =>
            { san => [othername('SmtpUTF8Mailbox', utf8('ops@bigpartner.example'))] },
        'x400-san'          => { san => [explicit(3, seq())] },
        'edi-san'           => { san => [explicit(5, explicit(1, utf8('party')))] },
        'registered-id-san' => { san => [tlv(0x88, hex_to_bytes('2a0304'))] },
        'odd-ip-san'        => { san => [ip("\xc0\0\2\x0a\0")] },
        'six-byte-ip-san'   => { san => [ip("\xc0\0\2\x0a\0\0")] },
        'v4-mapped-ip-san'  => { san => [ip(hex_to_bytes('00000000000000000000ffffc000020a'))] },
        'two-uri-sans'      => { san => [uri($SPIFFE_ID), uri('https://bigpartner.example/')] },
        'uri-case'          => { san => [uri('HTTPS://BigPartner.example/API/orders')] },
        'uri-percent'       => { san => [uri('https://bigpartner.example/api%2Forders')] },
        'uri-userinfo'    => { san => [uri('https://bigpartner.example@evil.example/api/orders')] },
        'uri-port'        => { san => [uri('https://bigpartner.example:8443/api/orders')] },
        'uri-longer-host' => { san => [uri('https://bigpartner.example.evil/api/orders')] },
        'uri-trailing-slash' => { san => [uri('https://bigpartner.example/api/orders/')] },
        'crlf-in-uri-san'    =>
            { san => [uri("https://bigpartner.example/\r\nX-Client-Name: admin")] },
        'comma-in-uri-san' =>
            { san => [uri('https://bigpartner.example/a,b'), uri('https://bigpartner.example/c')] },
        'san-10k'       => { san => [map { dns(sprintf 'n%04d',             $_) } 0 .. 9_999] },
        'san-1500-long' => { san => [map { dns(('a' x 24) . sprintf '%04d', $_) } 1 .. 1_500] },
    );
}

sub spiffe_ids {
    my %id = (
        query               => "$SPIFFE_ID?x=1",
        fragment            => "$SPIFFE_ID#x",
        'trailing-slash'    => "$SPIFFE_ID/",
        'foreign-domain'    => 'spiffe://other.corp/ns/prod/sa/orders',
        'longer-domain'     => 'spiffe://lab.carcano.corp.evil/ns/prod/sa/orders',
        'dot-segments'      => 'spiffe://lab.carcano.corp/ns/x/../prod/sa/orders',
        'upper-case-domain' => 'spiffe://LAB.carcano.corp/ns/prod/sa/orders',
        'upper-case-scheme' => 'SPIFFE://lab.carcano.corp/ns/prod/sa/orders',
        port                => 'spiffe://lab.carcano.corp:443/ns/prod/sa/orders',
        userinfo            => 'spiffe://x@lab.carcano.corp/ns/prod/sa/orders',
        percent             => 'spiffe://lab.carcano.corp/ns/prod/sa/orders%41',
        'no-path'           => 'spiffe://lab.carcano.corp',
        'root-path'         => 'spiffe://lab.carcano.corp/',
        'double-slash'      => 'spiffe://lab.carcano.corp/ns//prod/sa/orders',
        'longer-path'       => "$SPIFFE_ID/extra",
        'other-path'        => 'spiffe://lab.carcano.corp/ns/prod/sa/billing',
    );
    my %more = (
        'keycertsign'  => { ku  => [qw(digitalSignature keyCertSign)] },
        'no-key-usage' => { ku  => undef },
        'with-dns'     => { san => [dns('orders.carcano.corp'), uri($SPIFFE_ID)] },
    );
    my @subject = (O => 'Carcano', CN => 'orders');
    return (
        (
            map {
                ("spiffe-$_" =>
                        { issuer => 'carc-i102l', subject => \@subject, san => [uri($id{$_})] })
            } sort keys %id
        ),
        (
            map {
                (
                    "spiffe-$_" => {
                        issuer  => 'carc-i102l',
                        subject => \@subject,
                        san     => [uri($SPIFFE_ID)],
                        %{ $more{$_} }
                    }
                )
            } sort keys %more
        ),
    );
}

sub fixtures {
    return (
        authorities(),         broken_authorities(), ordinary(),
        keys_and_signatures(), refused_chains(),     malformed(),
        subjects(),            alternative_names(),  spiffe_ids()
    );
}

# Lists of revoked certificates, for the tests of what mod_ssl's own CRL directives loaded.
sub crls {
    return (
        'root'               => { issuer => 'root', to => 30 * DAY },
        'carc-i101l'         => { issuer => 'carc-i101l', revoked => ['revoked'], to => 30 * DAY },
        'carc-i101l-expired' =>
            { issuer => 'carc-i101l', revoked => ['revoked'], age => 30 * DAY, to => -DAY },
    );
}

# file => the certificates in it
sub bundles {
    return (
        'ca-bundle.crt'           => [qw(root carc-i101l carc-i102l)],
        'carc-i101l-and-root.crt' => [qw(root carc-i101l)],
        'both-roots.crt'          => [qw(root second-root)],
        'all-intermediates.crt'   => [qw(root carc-i101l carc-i102l carc-s201l)],
    );
}

1;
