#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Every file of conf-examples/ is loaded as it stands, on a real httpd, and asked with curl: for
# each thing it promises one request that is allowed and one that is refused. So is the first
# virtual host of README.md.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../../demo/lib";
use Examples qw(ask start examples log_of_the_example);
use Examples::ApiGateway;
use Examples::BackendMTLS;
use Examples::DeviceAuthentication;
use Examples::MutualTLS;
use Examples::TrustConfigs;
use File::Basename qw(basename);
use Loopback qw(free_port);
use Test::More;

my %TESTS = (
    'api-gateway.conf'           => \&Examples::ApiGateway::run,
    'backend-mtls.conf'          => \&Examples::BackendMTLS::run,
    'device-authentication.conf' => \&Examples::DeviceAuthentication::run,
    'mutual-tls-and-ocsp-stapling.conf' => \&Examples::MutualTLS::run,
    'public-and-protected.conf'  => \&public_and_protected,
    'restricted-partner.conf'    => \&restricted_partner,
    'trust-configs.conf'         => \&Examples::TrustConfigs::run,
);

my $CN = 'client.bigpartner.example';

# ---- public-and-protected.conf ----

sub public_and_protected {
    my ($lab) = @_;
    my ($url, $plain) = start($lab, 'public-and-protected.conf',
        map { (uc($_) . '_URL' => 'http://127.0.0.1:' . $lab->start_echo($_)) }
            qw(website orders reports));
    my %none = map { $_ => undef } qw(X-Client-Name X-Client-Issuer X-Client-SHA256);
    my ($orders, $reports, $health) = map { "/protected/$_" } qw(orders/1 reports/ health);

    ask($lab, $url,
        ['public without a certificate', '/', undef, '200 -', server => 'website',
            backend => \%none],
        ['public with one: nobody is told', '/', 'partner', '200 -', backend => \%none],
        ['public, with a certificate the CA does not vouch for', '/', 'self-signed',
            '403 chain_untrusted', page => qr/Reason: chain_untrusted\n/],

        ['orders without a certificate', $orders, undef, '403 no_certificate',
            page => qr/Reason: no_certificate\n/],
        ['orders with one', $orders, 'partner', '200 ok', server => 'orders'],
        ['reports without a certificate', $reports, undef, '403 no_certificate'],
        ['reports with one', $reports, 'partner', '200 ok', server => 'reports'],
        ['any certificate of the CA will do', $orders, 'other-partner', '200 ok'],
        ['a client that forgot its intermediate', $orders, 'partner', '200 ok', leaf_only => 1],
        ['expired', $orders, 'expired', '403 expired', page => qr/Reason: expired\n/],
        ['made for a server', $orders, 'wrong-purpose', '403 purpose_mismatch'],
        ['self-signed', $orders, 'self-signed', '403 chain_untrusted'],
        ['a CA that took the name of ours', $orders, 'lookalike', '403 chain_untrusted'],

        ['open inside protected', $health, undef, '200 -', server => 'website', backend => \%none],
        ['open inside protected, whatever is shown', $health, 'expired', '200 -'],
        ['its neighbour is not', "$health-not", undef, '403 no_certificate'],
        ['another spelling ends at the website', '/Protected/orders/1', undef, '200 -',
            server => 'website', backend => \%none],
        ['a roundabout path ends nowhere', '/x/../protected/orders/1', undef, '400 -',
            path_as_is => 1],
        ['nor is it allowed with a certificate', '/x/../protected/orders/1', 'partner', '400 -',
            path_as_is => 1],
        ['nor does a second slash help', '//protected/orders/1', undef, '403 no_certificate'],
        ['the error page is open to all', '/errors/refused.html', 'expired', '200 -',
            page => qr/not for you/],
    );
    ask($lab, $url, identity_rows($lab, $orders));
    ask($lab, $url, transport_rows($orders));

    my $moved = $lab->request('gateway', "$plain/protected/orders/1", method => 'HEAD');
    my ($to) = $moved->{body} =~ /^Location: (.*)\r$/m;
    is("$moved->{status} $to", '301 https://gateway.test/protected/orders/1',
        'plain HTTP is sent to TLS');
    like(log_of_the_example($lab),
        qr{"GET /protected/orders/1 [^"]+" 403 verdict=deny reason=expired$}m,
        'the log says why, also where the error page answered');
    return;
}

sub identity_rows {
    my ($lab, $path) = @_;
    my %ours = ('X-Client-Name' => $CN, 'X-Client-Issuer' => 'CN=CARC I101L,O=Carcano',
        'X-Client-SHA256' => $lab->sha256_of('partner'));
    my @forged = map { ("$_: forged", lc($_ =~ tr/-/_/r) . ': forged') }
        keys %ours, 'X-SSL-Client-S-DN', 'X-Forwarded-Client-Cert';
    my %legacy = ('X-SSL-Client-S-DN' => undef, 'X-Forwarded-Client-Cert' => undef);
    my %none = map { $_ => undef } keys %ours;
    return (
        ['the service learns who came', $path, 'partner', '200 ok', backend => \%ours],
        ['forged beside ours', $path, 'partner', '200 ok', headers => \@forged,
            backend => { %ours, %legacy }],
        ['forged on a public page', '/', undef, '200 -', headers => \@forged,
            backend => { %none, %legacy }],
        ['named in Connection', $path, 'partner', '200 ok', backend => \%ours,
            headers => ['Connection: X-Client-Name, X-Client-Issuer']],
        ['no name in the certificate, no header', $path, 'no-cn', '200 ok',
            backend => { 'X-Client-Name' => undef, 'X-Client-SHA256' => $lab->sha256_of('no-cn') }],
    );
}

sub transport_rows {
    my ($path) = @_;
    return (
        ['HTTP/2 with a certificate', $path, 'partner', '200 ok', http2 => 1,
            protocol => 'HTTP/2.0', server => 'orders'],
        ['HTTP/2 without', $path, undef, '403 no_certificate', http2 => 1, protocol => 'HTTP/2.0'],
        ['resumed session', $path, 'partner', '200 ok', resume => 1, session => 'Resumed'],
        ['resumed session, self-signed', $path, 'self-signed', '403 chain_untrusted',
            resume => 1, session => 'Resumed'],
    );
}

# ---- restricted-partner.conf ----

sub restricted_partner {
    my ($lab) = @_;
    my $pki = $lab->pki;
    # Clients bring their intermediate, so that a renewed one is seen.
    my ($url) = start($lab, 'restricted-partner.conf',
        BACKEND_URL => 'http://127.0.0.1:' . $lab->start_echo('service'),
        CLIENT_CA_FILE => "$pki/root.crt", CARC_I101L_FILE => "$pki/carc-i101l.crt",
        CARC_I101L_SPKI => $lab->spki_of('carc-i101l'));
    my $known = { 'X-Client-Name' => $CN };
    my $unknown = { 'X-Client-Name' => undef };

    ask($lab, $url,
        ['public', '/', undef, '200 -', server => 'service', backend => $unknown],
        ['no certificate', '/restricted/', undef, '403 no_certificate',
            page => qr/Reason: no_certificate\n/],
        ['the partner', '/restricted/', 'partner', '200 ok', server => 'service',
            backend => $known, user => $CN],
        ['forged name', '/restricted/', 'partner', '200 ok', backend => $known,
            headers => ['X-Client-Name: admin', 'X_Client_Name: admin']],
        ['forged name, public page', '/', undef, '200 -', backend => $unknown,
            headers => ['X-Client-Name: admin', 'X_Client_Name: admin']],
        ['another organisation', '/restricted/', 'other-partner', '403 subject_mismatch',
            page => qr/Reason: subject_mismatch\n/],
        ['the right name from another CA', '/restricted/', 'partner-by-i102l',
            '403 issuer_mismatch', page => qr/Reason: issuer_mismatch\n/],
        ['the CA\'s name with another key', '/restricted/', 'partner-by-rekeyed',
            '403 pin_mismatch'],
        ['the CA renewed, same key', '/restricted/', 'partner-by-renewed', '200 ok'],
        ['a CA outside our root that took the name', '/restricted/', 'lookalike',
            '403 chain_untrusted'],
        ['expired', '/restricted/', 'expired', '403 expired', page => qr/Reason: expired\n/],

        ['pinned to the CA certificate', '/restricted/payments/', 'partner', '200 ok'],
        ['pinned to the CA certificate, the CA renewed', '/restricted/payments/',
            'partner-by-renewed', '403 pin_mismatch'],
    );
    ask($lab, $url, regex_rows($lab));
    ask($lab, $url, staged_rows());
    like(log_of_the_example($lab), qr{^\S+ \Q$CN\E \[.*"GET /restricted/ [^"]+" 200 reason=ok }m,
        'the log names the user');
    return;
}

sub regex_rows {
    my ($lab) = @_;
    my $client = sub {
        my ($name, %change) = @_;
        my %field = (CN => $CN, OU => ['API'], email => 'ops@bigpartner.example', %change);
        return $lab->make_leaf("example-$name", '--issuer', 'carc-i101l',
            '--subject', 'O=Big Partner Foo SA', (map { ('--subject', "OU=$_") } @{ $field{OU} }),
            '--subject', "CN=$field{CN}", '--san', "email:$field{email}");
    };
    my $path = '/restricted/orders/';
    return (
        ['an API client', $path, 'partner', '200 ok'],
        ['a batch client', $path,
            $client->('batch', CN => 'batch-12.bigpartner.example'), '200 ok'],
        ['the other unit', $path, $client->('orders', OU => ['Orders']), '200 ok'],
        ['a name the expression does not describe', $path,
            $client->('batch-x', CN => 'batch-x.bigpartner.example'), '403 subject_mismatch'],
        ['more before it', $path, $client->('before', CN => "evil-$CN"), '403 subject_mismatch'],
        ['more after it', $path, $client->('after', CN => "$CN.evil"), '403 subject_mismatch'],
        ['another unit', $path, $client->('unit', OU => ['Sales']), '403 subject_mismatch'],
        ['no unit at all', $path, $client->('no-unit', OU => []), '403 subject_mismatch'],
        ['mail of another domain', $path,
            $client->('mail', email => 'ops@notbigpartner.example'), '403 san_mismatch'],
        ['a contractor', $path,
            $client->('contractor', OU => ['API', 'contractor']), '403 excluded'],
        ['outside orders those may come in', '/restricted/', 'example-contractor', '200 ok'],
    );
}

sub staged_rows {
    return (
        ['a policy to come would refuse this one', '/restricted/', 'long-lived', '200 ok',
            report => 'short-lived:lifetime_mismatch'],
    );
}

# ---- the first virtual host of README.md ----

# Taken from there, with this run's port and files for those of the text.
sub first_virtual_host {
    my ($lab) = @_;
    my ($port, $pki) = (free_port(), $lab->pki);
    my ($vhost) = $lab->read_file(examples() . '/../README.md') =~ /^```apache\n(.*?)^```/ms;
    my %ours = ('server-chain.pem' => 'server-chain.crt', 'server.key' => 'server.key',
        'client-ca.pem' => 'ca-bundle.crt');
    $vhost =~ s{\*:443}{*:$port} or die "README.md has no vhost on *:443\n";
    $vhost =~ s{/etc/ssl/gateway/(\S+)}{$pki/$ours{$1}}g;
    $lab->write_file('docs/protected/index.txt', "hello\n");
    $lab->write_file('docs/index.txt', "hello\n");
    my $docs = $lab->dir . '/docs';
    $lab->start_httpd('gateway', listen => [$port],
        include => $lab->write_file('vhost.conf', "DocumentRoot $docs\n$vhost"));
    ask($lab, "https://localhost:$port",
        ['README: public', '/index.txt', undef, '200 -'],
        ['README: no certificate', '/protected/index.txt', undef, '403 no_certificate'],
        ['README: issued by CARC I101L', '/protected/index.txt', 'partner', '200 ok'],
        ['README: another CA', '/protected/index.txt', 'other-partner', '403 issuer_mismatch'],
    );
    return;
}

# ---- all of them ----

is_deeply([sort keys %TESTS], [sort map { basename($_) } glob examples() . '/*.conf'],
    'every example has a test, every test an example');

sub run {
    my ($name, $code) = @_;
    note($name);
    my $lab = Loopback->new;
    eval { $code->($lab); 1 } or fail($name), diag($@);
    diag('logs and configuration: ' . $lab->keep) if !Test::More->builder->is_passing;
    return;
}

run($_, $TESTS{$_}) for sort keys %TESTS;
run('README.md', \&first_virtual_host);
done_testing();
