# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# MTLSAllowCertificate: exactly these certificates are valid, whatever their chain, dates, purpose
# and CRLs; what the policy asks of them still holds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Files     qw(files_dir copy_pki);
use MTLSTest::RuleTable qw(run_table);

my %sha256 = map { $_ => sha256_of($_) } qw(device-self-signed device-second);
my %spki   = map { $_ => spki_of($_) } qw(device-self-signed device-second root);
my $serial = serial_of('device-self-signed');

my $dir = files_dir('allowed');
copy_pki($dir, 'devices/a.crt' => ['device-second.crt'], 'devices/b.crt' => ['stranger.crt']);

sub store {
    my ($name, @lines) = @_;
    return "<MTLSTrustStore \"$name\">\n@lines\n</MTLSTrustStore>\n";
}

sub pki {
    return join ' ', map {"\"\@PKI\@/$_\""} @_;
}
sub allow { return 'MTLSAllowCertificate ' . pki(@_) . "\n" }

my $stores = join '',
    store('devices', allow('device-self-signed.crt')),
    store('bundle',  allow('devices.crt')),
    store('folder',  "MTLSAllowCertificate \"$dir/devices\""),
    store('glob',    "MTLSAllowCertificate \"$dir/devices/a*\""), store(
    'odd',
    allow(
        qw(device-expired.crt device-future.crt device-server-only.crt device-weak.crt expired.crt
            not-yet-valid.crt wrong-purpose.crt stranger.crt lookalike.crt sha1-signed.crt
            unknown-critical-extension.crt issued-by-leaf.crt)
    )
    ),
    store(
    'revoked',
    allow('revoked.crt'),
    'MTLSAnchor ' . pki('ca-bundle.crt') . "\n",
    'MTLSCRL ' . pki('carc-i101l.crl') . "\nMTLSCRLCheck leaf\n"
    ),
    store('both',        allow('device-self-signed.crt'),         'MTLSAnchor ' . pki('root.crt')),
    store('spiffe',      allow(qw(device-spiffe.crt spiffe.crt)), 'MTLSTrustDomain edge.example'),
    store('spiffe-none', allow('device-spiffe.crt')),
    store('partners',    'MTLSAnchor ' . pki('root.crt'));

# A rule about "device-self-signed", who is only allowed, and its reason.
sub about {
    my (%reason_of) = @_;
    return map {
        (['MTLSTrust devices', "MTLSRequire $_"] => { 'device-self-signed' => $reason_of{$_} })
    } sort keys %reason_of;
}

my @rows = (
    ['MTLSTrust devices'] => {
        'device-self-signed'    => 'ok',
        'device-impostor'       => 'chain_untrusted',
        'device-reissued'       => 'chain_untrusted',
        'device-second'         => 'chain_untrusted',
        'by-device-self-signed' => 'chain_incomplete',
        'partner'               => 'chain_incomplete',
        'device'                => 'chain_incomplete',
        'none'                  => 'no_certificate'
    },
    ['MTLSTrust bundle'] => {
        'device-self-signed' => 'ok',
        'device-second'      => 'ok',
        'device-impostor'    => 'chain_untrusted'
    },
    ['MTLSTrust folder'] =>
        { 'device-second' => 'ok', 'stranger' => 'ok', 'device-self-signed' => 'chain_untrusted' },
    ['MTLSTrust glob'] => { 'device-second' => 'ok', 'stranger' => 'chain_incomplete' },

    # chain, dates, purpose, strength and CRLs do not matter
    ['MTLSTrust odd'] => {
        'device-expired'             => 'ok',
        'device-future'              => 'ok',
        'device-server-only'         => 'ok',
        'device-weak'                => 'ok',
        'expired'                    => 'ok',
        'not-yet-valid'              => 'ok',
        'wrong-purpose'              => 'ok',
        'stranger'                   => 'ok',
        'lookalike'                  => 'ok',
        'sha1-signed'                => 'ok',
        'unknown-critical-extension' => 'ok',
        'issued-by-leaf'             => 'ok',
        'partner'                    => 'chain_incomplete'
    },
    ['MTLSTrust revoked'] => { 'revoked' => 'ok', 'partner' => 'ok' },
    ['MTLSTrust both']    => {
        'device-self-signed' => 'ok',
        'partner'            => 'ok',
        'device-second'      => 'chain_untrusted',
        'expired'            => 'expired'
    },

    # beside other stores
    ['MTLSTrust partners devices', 'MTLSRequire trust devices'] =>
        { 'device-self-signed' => 'ok', 'partner' => 'trust_mismatch' },
    ['MTLSTrust devices vhost'] => {
        'device-self-signed' => 'ok',
        'partner'            => 'ok',
        'device-second'      => 'chain_untrusted'
    },
    ['MTLSRequire trust vhost'] => { 'device-self-signed' => 'chain_untrusted', 'partner' => 'ok' },

    # rules that look at the certificate itself
    about(
        'subject.CN device-0042'                                 => 'ok',
        'subject.CN device-0043'                                 => 'subject_mismatch',
        'subject "CN=device-0042,O=Edge Devices"'                => 'ok',
        'subject "CN=device-0042,O=Edge"'                        => 'subject_mismatch',
        'not subject.CN device-0042'                             => 'excluded',
        'not subject.CN device-0043'                             => 'ok',
        'san.dns device-0042.edge.example'                       => 'ok',
        'san.dns suffix:.carcano.corp'                           => 'san_mismatch',
        "serial $serial"                                         => 'ok',
        'serial 01'                                              => 'serial_mismatch',
        "sha256 $sha256{'device-self-signed'}"                   => 'ok',
        "sha256 $sha256{'device-second'}"                        => 'fingerprint_mismatch',
        "spki $spki{'device-self-signed'}"                       => 'ok',
        "spki $spki{'device-second'}"                            => 'pin_mismatch',
        'eku clientAuth'                                         => 'ok',
        'eku serverAuth'                                         => 'eku_mismatch',
        'key ec:prime256v1'                                      => 'ok',
        'key rsa>=2048'                                          => 'key_mismatch',
        'lifetime <=90d'                                         => 'ok',
        'lifetime <=1d'                                          => 'lifetime_mismatch',
        'remaining >=7d'                                         => 'ok',
        'remaining >=90d'                                        => 'lifetime_mismatch',
        'ext.1.3.6.1.4.1.55555.1 gold'                           => 'ok',
        'ext.1.3.6.1.4.1.55555.1 silver'                         => 'extension_mismatch',
        'policy 1.2.3'                                           => 'policy_oid_mismatch',
        'trust devices'                                          => 'ok',
        'trust vhost'                                            => 'trust_mismatch',
        'not trust devices'                                      => 'excluded',
        'expr %{mtls:subject.CN} == "device-0042"'               => 'ok',
        'expr %{mtls:issuer} == "CN=device-0042,O=Edge Devices"' => 'expr_false',
        'expr %{mtls:issuer} == ""'                              => 'ok',
        'expr %{mtls:anchor.spki} == ""'                         => 'ok',

        # and those that look at who vouches for it: nobody does
        'issuer.CN device-0042'                                      => 'issuer_mismatch',
        'issuer "CN=device-0042,O=Edge Devices"'                     => 'issuer_mismatch',
        'issuer.CN glob:**'                                          => 'issuer_mismatch',
        'issuer.cert "@PKI@/device-self-signed.crt"'                 => 'pin_mismatch',
        'chain.cert "@PKI@/device-self-signed.crt" "@PKI@/root.crt"' => 'pin_mismatch',
        'anchor.cert "@PKI@/device-self-signed.crt"'                 => 'pin_mismatch',
        "issuer.spki $spki{'device-self-signed'}"                    => 'pin_mismatch',
        "chain.spki $spki{'device-self-signed'}"                     => 'pin_mismatch',
        "anchor.spki $spki{'device-self-signed'}"                    => 'pin_mismatch',
        'not issuer.CN device-0042'                                  => 'ok',
        'not issuer "CN=device-0042,O=Edge Devices"'                 => 'ok',
        "not issuer.spki $spki{'device-self-signed'}"                => 'ok',
        "not chain.spki $spki{'device-self-signed'}"                 => 'ok',
        "not anchor.spki $spki{'device-self-signed'}"                => 'ok',
        'not anchor.cert "@PKI@/device-self-signed.crt"'             => 'ok',
    ),
    [
        'MTLSTrust devices',
        '<MTLSRequireAny>',
        'MTLSRequire issuer.CN device-0042',
        'MTLSRequire trust devices',
        '</MTLSRequireAny>'
    ] => { 'device-self-signed' => 'ok' },
    [
        'MTLSTrust devices',
        '<MTLSRequireAny>',
        'MTLSRequire issuer.CN device-0042',
        'MTLSRequire chain.spki ' . $spki{root},
        '</MTLSRequireAny>'
    ] => { 'device-self-signed' => 'none_matched' },

    # issued by a CA and allowed: the CA does not count here either
    ['MTLSTrust revoked', 'MTLSRequire issuer.CN "CARC I101L"'] =>
        { 'revoked' => 'issuer_mismatch', 'partner' => 'ok' },
    ['MTLSTrust revoked', "MTLSRequire anchor.spki $spki{root}"] =>
        { 'revoked' => 'pin_mismatch', 'partner' => 'ok' },

    # time goes on for rules
    ['MTLSTrust odd', 'MTLSRequire remaining >=1s'] =>
        { 'device-expired' => 'lifetime_mismatch', 'device-server-only' => 'ok' },

    # trust domains
    ['MTLSTrust spiffe', 'MTLSRequire spiffe spiffe://edge.example/device/*'] =>
        { 'device-spiffe' => 'ok', 'spiffe' => 'spiffe_mismatch' },
    ['MTLSTrust spiffe-none spiffe', 'MTLSRequire spiffe spiffe://edge.example/device/*'] =>
        { 'device-spiffe' => 'spiffe_mismatch' },
);

run_table(
    name       => 'allowed',
    rows       => \@rows,
    server     => $stores,
    directives => 'MTLSHandshake defer'
);

# --- resumed sessions, and what backends learn ----------------------------------------------------
my $second = private(name => 'allowed-export', config => $stores . <<'CONF');
<Directory "@Htdocs@">
    Require all granted
</Directory>
<Directory "@Htdocs@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
<Location "/devices">
    MTLSTrust devices
</Location>
<Location "/open">
    MTLSTrust both
</Location>
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
SSLCipherSuite ALL:@SECLEVEL=0
MTLSHandshake defer
AliasMatch "^/" "@Htdocs@/cgi-bin/env.cgi"
MTLSExport env
<Location "/odd">
    MTLSTrust odd
</Location>
</VirtualHost>
Listen 127.0.0.1:@Port_Modssl@
<VirtualHost 127.0.0.1:@Port_Modssl@>
ServerName gateway.test
@TLS@
SSLCipherSuite ALL:@SECLEVEL=0
AliasMatch "^/" "@Htdocs@/index.html"
<Location "/odd">
    MTLSTrust odd
</Location>
</VirtualHost>
CONF

for my $kind (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
    )
{
    my ($name, @options) = @$kind;
    for my $row (
        ['/devices', 'device-self-signed', 'ok'],
        ['/devices', 'device-impostor',    'chain_untrusted'],
        ['/odd',     'device-expired',     'ok']
        )
    {
        my ($path, $cert, $reason) = @$row;
        my @client = (@options, cert => $cert, ciphers => 'ALL:@SECLEVEL=0');
        my $first  = $second->tls(@client);
        outcome_is($first->request($path), outcome_of($reason), "$name: $path: $cert, full");
        my $session = $first->session;
        $first->close;
        my $again = $second->tls(@client, session => $session);
        outcome_is($again->request($path), outcome_of($reason), "$name: $path: $cert, resumed");
        is($again->reused, 1, "$name: $cert: it was resumed");
    }
}

my %env = map { /\A(\w+)=(.*)/ ? ($1 => $2) : () } split /\n/,
    $second->get('/devices', cert => 'device-self-signed')->body;
is($env{MTLS_TRUST_STORE}, 'devices',     'MTLS_TRUST_STORE');
is($env{MTLS_OCSP},        'exempt',      'MTLS_OCSP');
is($env{MTLS_SUBJECT_CN},  'device-0042', 'MTLS_SUBJECT_CN');
ok(!exists $env{MTLS_ISSUER}, 'MTLS_ISSUER is absent');
%env = map { /\A(\w+)=(.*)/ ? ($1 => $2) : () } split /\n/,
    $second->get('/open', cert => 'partner')->body;
is($env{MTLS_TRUST_STORE}, 'both', 'a certificate with a chain in the same store');
is($env{MTLS_ISSUER},      'CN=CARC I101L,O=Carcano', 'has an issuer');
isnt($env{MTLS_OCSP} // '', 'exempt', 'and is not exempt');

# Without defer mod_ssl has its say in the handshake.
for my $row (['device-expired', 0], ['device-server-only', 0], ['lookalike', 200],
    ['stranger', 200])
{
    my ($cert, $status) = @$row;
    my $tls = $second->tls(vhost => 'modssl', cert => $cert, ciphers => 'ALL:@SECLEVEL=0');
    is(defined $tls->error ? 0 : $tls->request('/odd')->status,
        $status, "without defer: $cert: " . ($status ? 'allowed' : 'refused in the handshake'));
}

done_testing;
