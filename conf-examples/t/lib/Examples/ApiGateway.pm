# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::ApiGateway;

# What conf-examples/api-gateway.conf promises: each service gets its own format and no other one,
# whatever the client sends.

use strict;
use warnings;
use Examples qw(ask start examples log_of_the_example warnings_at_start);
use Examples::FastCGI;
use Examples::Tokens;
use Loopback qw(free_port);
use MTLSPKI::Der qw(dns uri);
use Test::More;

my $CN      = 'client.bigpartner.example';
my $DN      = "CN=$CN,OU=API,O=Big Partner Foo SA,C=CH";
my $ISSUER  = 'CN=CARC I101L,O=Carcano';
my $EDGE_ID = 'spiffe://lab.carcano.corp/ns/edge/sa/envoy';

# All that this server can set, so a service that gets one of these gets no other.
my @AMZN = map { "X-Amzn-Mtls-Clientcert$_" }
    '', qw(-Serial-Number -Issuer -Subject -Validity -Leaf);
my @NGINX = map { "ssl-client-$_" } qw(verify cert subject-dn issuer-dn);
my @NAMES = (qw(Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-Client-Identity X-Partner
    X-Real-User), @AMZN, @NGINX);
my %NOTHING = map { $_ => undef } @NAMES;
my @FORGED = map { ("$_: forged", lc($_ =~ tr/-/_/r) . ': forged') } @NAMES;

# ---- certificates ----

sub make_certificates {
    my ($lab) = @_;
    my %mesh = (issuer => 'api-mesh-root', eku => [qw(serverAuth clientAuth)]);
    $lab->make('api-mesh-root', ca => 1, issuer => 'self',
        subject => [O => 'Lab', CN => 'Mesh Root']);
    $lab->make('api-edge', %mesh, subject => [O => 'Lab', CN => 'edge'], san => [uri($EDGE_ID)]);
    $lab->make('api-other-svid', %mesh, subject => [O => 'Lab', CN => 'other'],
        san => [uri('spiffe://lab.carcano.corp/ns/edge/sa/other')]);
    $lab->make('api-many-names',
        subject => [O => 'Big Partner Foo SA', CN => 'many.bigpartner.example'],
        san => [map { dns("service-$_.department.bigpartner.example") } 1 .. 200]);
    $lab->install('trust/partners/carcano.pem', qw(root carc-i101l carc-i102l));
    $lab->install('trust/mesh/root.pem', 'api-mesh-root');
    return;
}

sub der { my ($lab, $name) = @_; return ':' . $lab->base64_of($name) . ':' }

# PEM as URLs write it, but for the characters given.
sub escaped_pem {
    my ($lab, $name, $safe) = @_;
    my ($pem) = $lab->read_file($lab->pki . "/$name.crt")
        =~ /(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)/s;
    return $pem =~ s/([^A-Za-z0-9._~$safe-])/sprintf '%%%02X', ord $1/ger;
}

# ---- the servers ----

sub run {
    my ($lab) = @_;
    make_certificates($lab);
    my $key = $lab->make_token_key('token.key');
    my $reports = free_port();
    my ($url) = start($lab, 'api-gateway.conf', TRUST => $lab->dir . '/trust', TOKEN_KEY => $key,
        EDGE_ADDRESS => '127.0.0.2', MESH_DOMAIN => 'lab.carcano.corp', EDGE_ID => $EDGE_ID,
        REPORTS_URL => "http://127.0.0.1:$reports",
        LEGACY_URL => 'fcgi://127.0.0.1:' . Examples::FastCGI::start($lab, 'legacy') . '/srv/legacy',
        map { (uc($_) . '_URL' => 'http://127.0.0.1:' . $lab->start_echo($_)) }
            qw(orders mesh sso billing));
    Examples::Tokens::start_service($lab, $reports, "$url/jwks.json");
    ask($lab, $url, orders_rows($lab), mesh_rows($lab), sso_rows($lab), legacy_rows($lab),
        reports_rows($lab), billing_rows($lab), whole_host_rows());
    is_deeply([warnings_at_start($lab)], [], 'nothing to warn of at start');
    like(log_of_the_example($lab), qr{^\S+ \Q$CN\E \[.*"GET /legacy/ [^"]+" 200 verdict=allow}m,
        'the log names the user');
    Examples::Tokens::check_service($lab, $key, $reports);
    return;
}

# ---- requests ----

sub orders_rows {
    my ($lab) = @_;
    my $path = '/orders/1';
    my %known = (%NOTHING, 'Client-Cert' => der($lab, 'partner'),
        'Client-Cert-Chain' => der($lab, 'carc-i101l') . ', ' . der($lab, 'root'));
    return (
        ['orders: no certificate', $path, undef, '403 no_certificate',
            page => qr/Reason: no_certificate\n/],
        ['orders: a partner', $path, 'partner', '200 ok', server => 'orders', backend => \%known],
        ['orders: the chain is the verified one', $path, 'partner', '200 ok', leaf_only => 1,
            backend => \%known],
        ['orders: forged', $path, 'partner', '200 ok', headers => \@FORGED, backend => \%known],
        ['orders: named in Connection', $path, 'partner', '200 ok', backend => \%known,
            headers => ['Connection: Client-Cert, Client-Cert-Chain']],
        ['orders: on HTTP/2', $path, 'partner', '200 ok', http2 => 1, protocol => 'HTTP/2.0',
            headers => \@FORGED, backend => \%known],
        ['orders: with a resumed session', $path, 'partner', '200 ok', resume => 1,
            session => 'Resumed', backend => \%known],
        ['orders: expired', $path, 'expired', '403 expired'],
        ['orders: of the mesh', $path, 'api-edge', '403 chain_incomplete'],
        ['orders: a certificate too large for a header', $path, 'api-many-names', '431 ok'],
        ['where no header has to hold it', '/legacy/', 'api-many-names', '200 ok',
            server => 'legacy'],
    );
}

sub mesh_rows {
    my ($lab) = @_;
    my ($path, $header) = ('/mesh/cart', 'X-Forwarded-Client-Cert');
    my $ours = 'Hash=' . $lab->sha256_of('api-edge') . qq(;Subject="CN=edge,O=Lab";URI=$EDGE_ID);
    my $theirs = 'Hash=' . 'ab' x 32 . ';Subject="CN=shop, the one,O=Partner";URI=urn:shop:7';
    my @from_edge = ('api-edge', '200 ok', server => 'mesh', from => '127.0.0.2');
    my $sees = sub { return (backend => { %NOTHING, $header => $_[0] }) };
    return (
        ['mesh: no certificate', $path, undef, '403 no_certificate'],
        ['mesh: a partner', $path, 'partner', '403 chain_incomplete'],
        ['mesh: another one of the mesh', $path, 'api-other-svid', '403 spiffe_mismatch'],
        ['mesh: the edge, for itself', $path, @from_edge, $sees->($ours)],
        ['mesh: the edge, for somebody', $path, @from_edge, headers => ["$header: $theirs"],
            $sees->("$theirs,$ours")],
        ['mesh: from another address, nobody is believed', $path, 'api-edge', '200 ok',
            headers => ["$header: $theirs"], $sees->($ours)],
        ['mesh: what is no list is dropped', $path, @from_edge,
            headers => [qq($header: Hash=00;Subject="CN=never ended)], $sees->($ours)],
        ['mesh: a second header of another spelling', $path, @from_edge,
            headers => ["x_forwarded_client_cert: $theirs"], $sees->($ours)],
        ['elsewhere the edge\'s list does not count', '/sso/', undef, '200 no_certificate',
            from => '127.0.0.2', headers => ["$header: $theirs"], backend => \%NOTHING],
    );
}

sub sso_rows {
    my ($lab) = @_;
    my $path = '/sso/realms/';
    my %known = (%NOTHING, 'ssl-client-verify' => 'SUCCESS', 'ssl-client-subject-dn' => $DN,
        'ssl-client-issuer-dn' => $ISSUER, 'ssl-client-cert' => escaped_pem($lab, 'partner', ''));
    return (
        ['sso: nobody', $path, undef, '200 no_certificate', server => 'sso',
            backend => \%NOTHING],
        ['sso: nobody who says he is somebody', $path, undef, '200 no_certificate',
            headers => \@FORGED, backend => \%NOTHING],
        ['sso: a partner', $path, 'partner', '200 ok', backend => \%known],
        ['sso: forged', $path, 'partner', '200 ok', headers => \@FORGED, backend => \%known],
        ['sso: a bad certificate is worse than none', $path, 'expired', '403 expired'],
    );
}

sub legacy_rows {
    my ($lab) = @_;
    my $path = '/legacy/';
    my %known = (MTLS_SUBJECT_CN => $CN, MTLS_ISSUER => $ISSUER, MTLS_SUBJECT => $DN,
        MTLS_SHA256 => $lab->sha256_of('partner'), MTLS_TRUST_STORE => 'partners',
        REMOTE_USER => $CN, map { ('HTTP_' . uc($_ =~ tr/-/_/r) => undef) } @NAMES);
    return (
        ['legacy: no certificate', $path, undef, '403 no_certificate'],
        ['legacy: a partner', $path, 'partner', '200 ok', server => 'legacy', user => $CN,
            backend => \%known],
        ['legacy: forged', $path, 'partner', '200 ok', backend => \%known,
            headers => [@FORGED, 'MTLS-Subject-CN: forged', 'MTLS_SUBJECT_CN: forged']],
        ['legacy: no name, no user', $path, 'no-cn', '403 user_ambiguous'],
    );
}

sub reports_rows {
    my ($lab) = @_;
    my $path = '/reports/2026';
    my %known = (iss => 'https://gateway.test', aud => 'reports', sub => $DN,
        trust_store => 'partners', policy => 'partner');
    return (
        ['reports: no certificate', $path, undef, '403 no_certificate'],
        ['reports: a partner, by word of a token', $path, 'partner', '200 ok',
            server => 'reports', backend => \%known],
        ['reports: forged', $path, 'partner', '200 ok', headers => \@FORGED, backend => \%known],
        ['reports: on HTTP/2', $path, 'partner', '200 ok', http2 => 1, protocol => 'HTTP/2.0',
            backend => \%known],
        ['the keys are there for everybody', '/jwks.json', undef, '200 -',
            page => qr/"keys"\s*:\s*\[\s*\{/],
        ['and nothing else in them', '/jwks.json', 'expired', '200 -',
            page => qr/\A(?!.*"d"\s*:)/s],
    );
}

sub billing_rows {
    my ($lab) = @_;
    my $path = '/billing/';
    my %known = (%NOTHING, 'X-Partner' => 'Big Partner Foo SA',
        'X-Amzn-Mtls-Clientcert-Serial-Number' => $lab->serial_of('partner'),
        'X-Amzn-Mtls-Clientcert-Issuer' => $ISSUER, 'X-Amzn-Mtls-Clientcert-Subject' => $DN,
        'X-Amzn-Mtls-Clientcert-Validity' => validity($lab, 'partner'),
        'X-Amzn-Mtls-Clientcert-Leaf' => escaped_pem($lab, 'partner', '+=/'));
    return (
        ['billing: no certificate', $path, undef, '403 no_certificate'],
        ['billing: a partner', $path, 'partner', '200 ok', server => 'billing',
            backend => \%known],
        ['billing: forged', $path, 'partner', '200 ok', headers => \@FORGED, backend => \%known],
        ['billing: another partner', $path, 'other-partner', '200 ok',
            backend => { 'X-Partner' => 'Other Partner SA' }],
    );
}

# The dates as openssl has them.
sub validity {
    my ($lab, $name) = @_;
    my ($said) = $lab->run(qw(openssl x509 -noout -dates -dateopt iso_8601 -in),
        $lab->pki . "/$name.crt");
    my @dates = $said =~ /=(\S+) (\S+Z)/g;
    return "NotBefore=$dates[0]T$dates[1];NotAfter=$dates[2]T$dates[3]";
}

sub whole_host_rows {
    return (
        ['elsewhere: nobody', '/admin', undef, '403 no_certificate'],
        ['elsewhere: a partner, but there is nothing', '/admin', 'partner', '404 ok'],
        ['one service by the name of another', '/orders/..;/billing/', 'partner', '400 -',
            path_as_is => 1],
        ['by an encoded slash', '/orders/..%2fbilling/', 'partner', '400 -', path_as_is => 1],
        ['the plain name', '/billing/', 'partner', '200 ok', server => 'billing'],
    );
}

1;
