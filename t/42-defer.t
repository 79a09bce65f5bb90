# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# MTLSHandshake defer: what mod_ssl would refuse in the handshake arrives and is told why;
# SSL_CLIENT_VERIFY and "Require ssl-verify-client" stay truthful, on full and resumed sessions,
# under policy or not.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my $s     = shared();
my @kinds = (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
);

# certificate => reason under policy; undef: the vhost's CAs vouch for it
my %refused = (
    expired                      => 'expired',
    'not-yet-valid'              => 'not_yet_valid',
    'wrong-purpose'              => 'purpose_mismatch',
    'self-signed'                => 'chain_untrusted',
    lookalike                    => 'chain_untrusted',
    stranger                     => 'chain_incomplete',
    'pathlen-exceeded'           => 'chain_invalid',
    'ca-leaf'                    => 'purpose_mismatch',
    'unknown-critical-extension' => 'chain_invalid',
    'rsa-1024'                   => 'chain_weak',
    'by-expired-intermediate'    => 'expired',
);

# Intermediates that did not lead to a valid chain are not remembered, so a resumed session is
# refused earlier.
my %refused_resumed =
    (%refused, map { $_ => 'chain_incomplete' } qw(by-expired-intermediate pathlen-exceeded));

sub connection {
    my ($kind, %o)       = @_;
    my (undef, @options) = @$kind;
    return $s->tls(vhost => 'defer', @options, ciphers => 'ALL:@SECLEVEL=0', %o);
}

# One connection per request: some of the refusals close it.
sub both_ways {
    my ($kind, $cert, $path) = @_;
    my $first   = connection($kind, cert => $cert);
    my $full    = $first->request($path);
    my $session = $first->session;
    $first->close;
    my $second = connection($kind, cert => $cert, session => $session);
    return ($full, $second->request($path), $second->reused);
}

for my $kind (@kinds) {
    my $name = $kind->[0];
    for my $cert (sort keys %refused) {
        next if $cert eq 'rsa-1024' && $name ne 'TLS 1.3';    # once is enough
        my ($full, $resumed, $reused) = both_ways($kind, $cert, '/partner/index.html');
        denied($full, $refused{$cert}, "$name, $cert: refused with its reason");
        like($full->verify, qr/\A(?:FAILED:|GENEROUS\z)/,
            "$name, $cert: SSL_CLIENT_VERIFY does not say SUCCESS");
        is($reused, 1, "$name, $cert: resumed");
        denied($resumed, $refused_resumed{$cert}, "$name, $cert: refused on the resumed session");
        like($resumed->verify, qr/\A(?:FAILED:|GENEROUS\z)/,
            "$name, $cert: SSL_CLIENT_VERIFY, resumed");
    }
    my ($full, $resumed, $reused) = both_ways($kind, 'partner', '/partner/index.html');
    allowed($full, "$name, partner: allowed");
    is($full->verify, 'SUCCESS', "$name, partner: SSL_CLIENT_VERIFY");
    is($reused,       1,         "$name, partner: resumed");
    allowed($resumed, "$name, partner: allowed on the resumed session");
    is($resumed->verify, 'SUCCESS', "$name, partner: SSL_CLIENT_VERIFY, resumed");
    ($full, $resumed) = both_ways($kind, undef, '/index.html');
    is($_->verify, 'NONE', "$name: SSL_CLIENT_VERIFY without certificate") for $full, $resumed;
    is($_->status, 200,    "$name: an open page without certificate")      for $full, $resumed;
}

# Outside any policy: a certificate nobody vouches for is refused, unless MTLSMode off says it does
# not matter.
for my $kind (@kinds) {
    my $name = $kind->[0];
    for my $cert (qw(expired self-signed wrong-purpose lookalike)) {
        my ($full, $resumed, $reused) = both_ways($kind, $cert, '/index.html');
        is($full->status,    403, "$name, $cert: outside any policy");
        is($reused,          1,   "$name, $cert: resumed");
        is($resumed->status, 403, "$name, $cert: outside any policy, resumed");
        isnt($_->verify, 'SUCCESS', "$name, $cert: SSL_CLIENT_VERIFY") for $full, $resumed;
        ($full, $resumed) = both_ways($kind, $cert, '/off/index.html');
        is($_->status, 200, "$name, $cert: where MTLSMode is off") for $full, $resumed;
        isnt($_->verify, 'SUCCESS', "$name, $cert: SSL_CLIENT_VERIFY where MTLSMode is off")
            for $full, $resumed;
    }
    my ($full, $resumed) = both_ways($kind, 'partner', '/index.html');
    is($_->status, 200, "$name, partner: outside any policy") for $full, $resumed;
}

# Require ssl-verify-client asks mod_ssl, which is told the truth.
for my $kind (@kinds) {
    my $name = $kind->[0];
    for my $path ('/verified/index.html', '/off/verified/index.html') {
        my ($full, $resumed) = both_ways($kind, 'partner', $path);
        is($_->status, 200, "$name, $path: partner") for $full, $resumed;
        for my $cert (qw(expired self-signed wrong-purpose stranger)) {
            ($full, $resumed) = both_ways($kind, $cert, $path);
            is($_->status, 403, "$name, $path: $cert") for $full, $resumed;
        }
        ($full, $resumed) = both_ways($kind, undef, $path);
        is($_->status, 403, "$name, $path: no certificate") for $full, $resumed;
    }
    my $tls = connection($kind, cert => 'self-signed');
    is($tls->request('/off/verified/index.html')->status, 403, "$name: keep-alive, request $_")
        for 1 .. 3;
    $tls = connection($kind, cert => 'partner');
    is($tls->request('/off/verified/index.html')->status,
        200, "$name: keep-alive allowed, request $_")
        for 1 .. 3;
}

if (mpm() ne 'prefork') {
    is($s->get('/off/verified/index.html', vhost => 'defer', cert => $_, http => '2')->status,
        403, "HTTP/2: Require ssl-verify-client refuses everyone, as in stock httpd: $_")
        for qw(partner self-signed);
    is($s->get('/index.html', vhost => 'defer', cert => 'partner', http => '2')->status,
        200, 'HTTP/2: outside any policy');
    is($s->get('/index.html', vhost => 'defer', cert => 'self-signed', http => '2')->status,
        403, 'HTTP/2: outside any policy, refused');
    is($s->get('/off/index.html', vhost => 'defer', cert => 'self-signed', http => '2')->status,
        200, 'HTTP/2: where MTLSMode is off');
}

done_testing;
