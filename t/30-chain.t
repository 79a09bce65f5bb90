# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# The chain is verified by the module: what is refused, with which reason, and what pins hold on to.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my %spki = map { $_ => spki_of($_) } qw(carc-i101l root second-root);

sub vhost {
    my ($name, $cas, $rules) = @_;
    return <<"CONF";
Listen 127.0.0.1:\@Port_$name\@
<VirtualHost 127.0.0.1:\@Port_$name\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/$cas"
SSLCipherSuite ALL:\@SECLEVEL=0
MTLSHandshake defer
AliasMatch "^/" "\@Htdocs\@/index.html"
$rules
</VirtualHost>
CONF
}

my $server = private(
    name   => 'chain',
    config => join '',
    "<Directory \"\@Htdocs\@\">\nRequire all granted\n</Directory>\n",
    vhost('Bundle',   'ca-bundle.crt', 'MTLSRequire trust vhost'),
    vhost('Rootonly', 'root.crt',      <<"RULES"),
<Location "/">
    MTLSRequire trust vhost
</Location>
<Location "/by-cert">
    MTLSRequire issuer.cert "\@PKI\@/carc-i101l.crt"
</Location>
<Location "/by-spki">
    MTLSRequire issuer.spki $spki{'carc-i101l'}
</Location>
<Location "/by-name">
    MTLSRequire issuer "CN=CARC I101L,O=Carcano"
</Location>
RULES
    vhost('Bothroots', 'both-roots.crt', <<"RULES"),
<Location "/first">
    MTLSRequire anchor.spki $spki{root}
</Location>
<Location "/second">
    MTLSRequire anchor.spki $spki{'second-root'}
</Location>
RULES
);

sub reasons {
    my ($vhost, %expected) = @_;
    for my $cert (sort keys %expected) {
        my ($name, $send) = split /:/, $cert;
        my $tls = $server->tls(
            vhost   => $vhost,
            cert    => $name,
            send    => $send // 'chain',
            ciphers => 'ALL:@SECLEVEL=0'
        );
        my $r    = $tls->request('/');
        my $want = $expected{$cert} eq 'ok' ? '200 allow ok' : "403 deny $expected{$cert}";
        outcome_is($r, $want, "$vhost: $cert");
    }
    return;
}

reasons(
    'bundle',
    partner         => 'ok',
    'partner:leaf'  => 'ok',
    'by-root'       => 'ok',
    'by-s201l'      => 'ok',
    'by-s201l:leaf' => 'chain_incomplete',

    # a root nobody trusts; a name somebody knows with a key nobody knows (C1, C5)
    stranger                => 'chain_incomplete',
    'stranger-with-root'    => 'chain_untrusted',
    'self-signed'           => 'chain_untrusted',
    'self-signed-ca'        => 'chain_untrusted',
    'self-issued-root-name' => 'chain_untrusted',
    lookalike               => 'chain_untrusted',
    'lookalike:leaf'        => 'chain_untrusted',
    'lookalike-with-root'   => 'chain_untrusted',
    'lookalike-keyid'       => 'chain_untrusted',
    'lookalike-keyid:leaf'  => 'chain_untrusted',
    'lookalike-no-keyid'    => 'chain_untrusted',

    # time (C12)
    expired                   => 'expired',
    'not-yet-valid'           => 'not_yet_valid',
    'by-expired-intermediate' => 'expired',
    'not-after-2060'          => 'ok',

    # purpose (C6, C7)
    'wrong-purpose'           => 'purpose_mismatch',
    'eku-server-only'         => 'purpose_mismatch',
    'eku-email-only'          => 'purpose_mismatch',
    'eku-private-only'        => 'purpose_mismatch',
    'eku-any'                 => 'purpose_mismatch',
    'eku-none'                => 'ok',
    'eku-client-and-server'   => 'ok',
    'ku-no-digital-signature' => 'purpose_mismatch',
    'ku-none'                 => 'ok',
    'ca-leaf'                 => 'purpose_mismatch',
    'by-server-eku-ca'        => 'purpose_mismatch',

    # what a chain may not be (C5, C8, and path length, CA flag, key usage, name constraints)
    'unknown-critical-extension' => 'chain_invalid',
    'unknown-extension'          => 'ok',
    'by-critical-extension-ca'   => 'chain_invalid',
    'pathlen-exceeded'           => 'chain_invalid',
    'pathlen-kept'               => 'ok',
    'issued-by-leaf'             => 'chain_invalid',
    'by-no-certsign-ca'          => 'chain_invalid',
    'name-constraints-violated'  => 'chain_invalid',
    'name-constraints-kept'      => 'ok',

    # strength (C11), even where the handshake was told not to care
    'rsa-1024'          => 'chain_weak',
    'rsa-2048'          => 'ok',
    'sha1-signed'       => 'chain_weak',
    'by-rsa-1024-ca'    => 'chain_weak',
    'by-sha1-signed-ca' => 'chain_weak',

    # odd keys and numbers (C13, C16)
    ed25519           => 'ok',
    ed448             => 'chain_weak',
    'serial-zero'     => 'ok',
    'serial-negative' => 'ok',
    'serial-30-bytes' => 'ok',
    'v1-leaf'         => 'ok',

    # ambiguous or broken (C14)
    map({ $_ => 'certificate_malformed' } qw(
            duplicate-san-extension duplicate-eku-extension garbage-san-extension
            garbage-eku-extension trailing-bytes-in-san nul-in-cn
    )),
    'good-dns-san' => 'ok',
);

# The client is trusted for nothing it sends: intermediates only help to build.
reasons(
    'rootonly',
    partner              => 'ok',
    'other-partner'      => 'ok',
    'by-root'            => 'ok',
    'by-s201l'           => 'ok',
    lookalike            => 'chain_untrusted',
    'stranger-with-root' => 'chain_untrusted',
    stranger             => 'chain_incomplete',
    expired              => 'expired',
    'pathlen-exceeded'   => 'chain_invalid'
);
make_pki('leaf', 'never-seen', '--issuer', 'carc-i101l');
reasons('rootonly', 'never-seen:leaf' => 'chain_incomplete');

# C3: the intermediate renewed with the same key passes a key pin and a name, not a certificate pin;
# the same name with a new key passes only the name.
my %renewal = (
    'partner'            => { 'by-cert' => 'ok',           'by-spki' => 'ok', 'by-name' => 'ok' },
    'partner-by-renewed' => { 'by-cert' => 'pin_mismatch', 'by-spki' => 'ok', 'by-name' => 'ok' },
    'partner-by-rekeyed' =>
        { 'by-cert' => 'pin_mismatch', 'by-spki' => 'pin_mismatch', 'by-name' => 'ok' },
    'partner-by-i102l' => {
        'by-cert' => 'pin_mismatch',
        'by-spki' => 'pin_mismatch',
        'by-name' => 'issuer_mismatch'
    },
);
for my $cert (sort keys %renewal) {
    for my $path (sort keys %{ $renewal{$cert} }) {
        my $reason = $renewal{$cert}{$path};
        outcome_is(
            $server->get("/$path", vhost => 'rootonly', cert => $cert),
            $reason eq 'ok' ? '200 allow ok' : "403 deny $reason",
            "intermediate renewed: $cert /$path"
        );
    }
}

# C4: with two possible anchors the verified chain decides, the same one every time.
for my $round (1 .. 3) {
    allowed($server->get('/second', vhost => 'bothroots', cert => 'partner-by-cross'),
        "cross-signed: its anchor, round $round");
    denied($server->get('/first', vhost => 'bothroots', cert => 'partner-by-cross'),
        'pin_mismatch', "cross-signed: the other anchor, round $round");
    allowed($server->get('/first', vhost => 'bothroots', cert => 'partner'),
        "straight: its anchor, round $round");
    denied($server->get('/second', vhost => 'bothroots', cert => 'partner'),
        'pin_mismatch', "straight: the other anchor, round $round");
}

# MTLSHandshake mod_ssl, the default, leaves the handshake alone.
{
    my $shared = shared();
    for my $cert (qw(expired not-yet-valid wrong-purpose)) {
        my $r = $shared->get('/partner/index.html', cert => $cert);
        is($r->status, 0, "without defer the handshake refuses $cert");
        isnt($r->curl, 0, "$cert: no HTTP at all");
    }
    denied($shared->get('/partner/index.html', cert => 'self-signed'),
        'chain_untrusted', 'but lets a self-signed one through');
    denied($shared->get('/partner/index.html', cert => 'lookalike'),
        'chain_untrusted', 'and a look-alike');
    outcome_is($shared->get('/index.html', cert => 'self-signed'),
        '200 - -', 'outside any policy that is nobody\'s business');
}

# Closing: expired ends an HTTP/1 connection, another reason does not.
{
    my $tls = $server->tls(vhost => 'bundle', cert => 'expired');
    my $r   = $tls->request('/');
    denied($r, 'expired', 'expired');
    is(lc($r->header('Connection') // ''), 'close', 'says Connection: close');
    ok($tls->at_end, 'and closes');
    $tls = $server->tls(vhost => 'bundle', cert => 'wrong-purpose');
    $r   = $tls->request('/');
    denied($r, 'purpose_mismatch', 'another reason');
    isnt(lc($r->header('Connection') // ''), 'close', 'keeps the connection');
    denied($tls->request('/'), 'purpose_mismatch', 'which goes on');
}

done_testing;
