# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Proxied;

# What requests cost that go to a backend by TLS, and what its handshakes cost. Like Bench::Measure:
# first httpd runs as it is and has to allow one backend and to refuse another; then the gateway
# alone runs under callgrind.
#
# A row's `vhost` is given the port of the backend and the module's directives are in it. Its base
# is the same text without them, and without this module. `wrong` names the certificate of the
# backend that must be refused, `path` what is asked for, `global` and `modules` are as elsewhere.

use strict;
use warnings;
use Bench::Backend;
use Bench::Material qw(write_crl write_responses);
use Bench::Measure;
use Bench::Rows;

use constant {
    REQUESTS   => [50, 200, 50, 200],
    HANDSHAKES => [10, 40, 10, 40],
    WARM_UP    => 20,
    REVOKED    => 10_000,
    RULES      => 500,
    SECTIONS   => 100,
    LOCAL      => '/f.txt',
    REFUSED    => qr/^50[02]$/,           # by this module 502, by mod_ssl 500
};

our @MODULES = qw(proxy proxy_http);
my @BALANCER = qw(slotmem_shm proxy_balancer lbmethod_byrequests);

# ---- rows ----

sub documents { return 'f.txt' }

# Over one connection that is kept alive.
sub pooled {
    my ($env) = @_;
    my $trust = Bench::Rows::store($env->{pki}, 'backends');
    my @three = three($env->{pki});
    my %rules = (wrong => Bench::Backend::OTHER, global => $trust);
    return (
        { work => 'module loaded, no policy anywhere', vhost => proxied('') },
        { work => 'trust, name and pin in <Proxy>', %rules, vhost => proxied(in_proxy(@three)) },
        {
            work => 'trust, name and pin in <Location>', %rules,
            vhost => proxied(in_location(@three)),
        },
        { work => 'trust, name and pin in the vhost', %rules, vhost => proxied(lines(@three)) },
        {
            work => 'one each in vhost, <Location>, <Proxy>', %rules,
            vhost => proxied($three[0], in_location($three[1]), in_proxy($three[2])),
        },
        {
            work => 'all in <Proxy> of a balancer\'s member', %rules, modules => \@BALANCER,
            vhost => balanced(in_proxy(@three)),
        },
        {
            work => 'all in <Proxy>, and OCSP', wrong => Bench::Backend::REVOKED,
            prepare => sub { responses($env) }, settles => 2,
            global => "$trust\n" . Bench::Rows::responses("$env->{dir}/backend-responses"),
            vhost => proxied(in_proxy(@three, 'MTLSBackendOCSP require')),
        },
        { work => "${\RULES} rules in <Proxy>", %rules, vhost => proxied(in_proxy(many(@three))) },
        {
            work => "one of ${\SECTIONS} <Proxy>", %rules,
            vhost => proxied(many_sections(@three), in_proxy(@three)),
        },
        {
            work => "${\SECTIONS} <Proxy>, rules in <Location>", %rules,
            vhost => proxied(many_sections(@three), in_location(@three)),
        },
        {
            work => "${\SECTIONS} <Proxy> that have SSLProxy...", %rules,
            vhost =>
                proxied(many_sections('SSLProxyVerifyDepth 4', @three), in_proxy(@three)),
        },
        {
            work => "${\SECTIONS} <Proxy>, member of a balancer", %rules, modules => \@BALANCER,
            vhost => balanced(many_sections(@three), in_proxy(@three)),
        },
        {
            work => 'not proxied: no policy anywhere', path => sub { LOCAL }, vhost => proxied(''),
        },
        {
            work => 'not proxied: rules in the vhost', path => sub { LOCAL }, global => $trust,
            vhost => proxied(lines(@three)),
        },
    );
}

# Each request makes a connection of its own. The first row is what the others are compared with.
sub handshakes {
    my ($env) = @_;
    my $pki   = $env->{pki};
    my $crl   = "$env->{dir}/backends.crl";
    my @three = three($pki);
    my $trust = Bench::Rows::store($pki, 'backends');
    my @check = ('SSLProxyVerify require', 'SSLProxyVerifyDepth 4', 'SSLProxyCheckPeerName on',
        qq(SSLProxyCACertificateFile "$pki/ca-bundle.crt"));
    my @crl = (prepare => sub { write_crl($pki, $crl, REVOKED, Bench::Backend::REVOKED) });
    my %other   = (wrong => Bench::Backend::OTHER);
    my %revoked = (wrong => Bench::Backend::REVOKED);
    return (
        { work => 'without this module', no_module => 1, vhost => sub { anew($_[0]) } },
        {
            work => 'mod_ssl: SSLProxyVerify, CheckPeerName', no_module => 1, %other,
            vhost => sub { anew($_[0], @check) },
        },
        {
            work => "the same, CRL of ${\REVOKED}", no_module => 1, %revoked, @crl,
            vhost => sub {
                anew($_[0], @check, 'SSLProxyCARevocationCheck leaf',
                    qq(SSLProxyCARevocationFile "$crl"));
            },
        },
        {
            work => 'trust store alone', %other, global => $trust,
            vhost => sub { anew($_[0], $three[0]) },
        },
        {
            work => 'trust, name and pin', %other, global => $trust,
            vhost => sub { anew($_[0], @three) },
        },
        {
            work => 'name and pin, beside mod_ssl\'s', %other,
            vhost => sub { anew($_[0], @check, @three[1, 2]) },
        },
        {
            work => "trust, name, pin, CRL of ${\REVOKED}", %revoked, @crl,
            global => Bench::Rows::store($pki, 'backends', qq(MTLSCRL "$crl")),
            vhost => sub { anew($_[0], @three) },
        },
        {
            work => 'trust, name, pin and OCSP', %revoked, prepare => sub { responses($env) },
            settles => 2,
            global => "$trust\n" . Bench::Rows::responses("$env->{dir}/backend-responses"),
            vhost => sub { anew($_[0], @three, 'MTLSBackendOCSP require') },
        },
    );
}

sub three {
    my ($pki) = @_;
    return ('MTLSBackendTrust backends', 'MTLSBackendRequire san.dns orders.internal',
        qq(MTLSBackendRequire issuer.cert "$pki/carc-i101l.crt"));
}

sub many {
    my (@rules) = @_;
    return (@rules,
        map { qq(MTLSBackendRequire not san.dns "blocked-$_.internal") } 4 .. RULES);
}

sub lines { my (@lines) = @_; return sub { join "\n", @lines } }

sub in_proxy {
    my (@lines) = @_;
    return sub { join "\n", qq(<Proxy "https://127.0.0.1:$_[0]/">), @lines, '</Proxy>' };
}

sub in_location { my (@lines) = @_; return sub { Bench::Rows::section(@lines) } }

# Of other backends, none of which is asked.
sub many_sections {
    my (@lines) = @_;
    return sub {
        join "\n",
            map { (qq(<Proxy "https://orders-$_.internal:8443/">), @lines, '</Proxy>') }
            2 .. SECTIONS;
    };
}

# Made with what holds of every proxied vhost, from texts or functions of the port.
sub vhost {
    my ($port, @parts) = @_;
    return join "\n", 'SSLProxyEngine on', 'SSLProxyVerify none', 'SSLProxyCheckPeerName off',
        'ProxyPreserveHost on', map { ref() ? $_->($port) : $_ } @parts;
}

sub proxied {
    my (@parts) = @_;
    return sub {
        my ($port) = @_;
        return vhost($port, @parts, qq(ProxyPass "/api" "https://127.0.0.1:$port/api"));
    };
}

sub balanced {
    my (@parts) = @_;
    return sub {
        my ($port) = @_;
        return vhost($port, @parts, 'ProxyPass "/api" "balancer://orders/api"',
            '<Proxy "balancer://orders">', qq(BalancerMember "https://127.0.0.1:$port"),
            '</Proxy>');
    };
}

sub anew {
    my ($port, @lines) = @_;
    return vhost($port, @lines,
        qq(ProxyPass "/api" "https://127.0.0.1:$port/api" disablereuse=on));
}

sub responses {
    my ($env) = @_;
    write_responses($env->{pki}, "$env->{dir}/backend-responses", Bench::Backend::GOOD,
        Bench::Backend::REVOKED);
    return;
}

# The text of the row's configuration, and the same without what is this module's.
sub text {
    my ($row, $port, $ours) = @_;
    my $text = $row->{vhost}->($port);
    return $ours ? $text : $text =~ s/^MTLS.*\n?//gmr;
}

# ---- measuring ----

# Returns { mean, spread } in instructions a request. `make_server` makes one from a configuration.
sub requests {
    my ($env, $backend, $row, $ours, $make_server) = @_;
    check($env, $backend, $row, $make_server) if $ours && $row->{wrong};
    my $server = $make_server->(text($row, $backend->port_of(Bench::Backend::GOOD), $ours));
    return count($server, $env, $backend, $row, REQUESTS, 1);
}

# { first, each }: of a handshake in a child that has made none, and of those after it.
sub connections {
    my ($env, $backend, $row, $make_server) = @_;
    check($env, $backend, $row, $make_server) if $row->{wrong};
    my $server = $make_server->(text($row, $backend->port_of(Bench::Backend::GOOD), 1));
    my $each   = count($server, $env, $backend, $row, HANDSHAKES, 0);
    return { each => $each, first => { mean => $server->instructions_after_mark(1), spread => 0 } };
}

# The right backend is allowed, the wrong one is not.
sub check {
    my ($env, $backend, $row, $make_server) = @_;
    for my $certificate (Bench::Backend::GOOD, $row->{wrong}) {
        my $server = $make_server->(text($row, $backend->port_of($certificate), 1));
        $server->start(check => 1);
        my ($status) = eval { ask_once($server, $env, '/api/f.txt') };
        my $error = $@;
        $server->stop;
        die $error if $error;
        my $good = $certificate eq Bench::Backend::GOOD ? $status == 200 : $status =~ REFUSED;
        die "$status with $certificate:\n" . $server->what_it_said if !$good;
    }
    $backend->connections(1);
    return;
}

sub ask_once {
    my ($server, $env, $path) = @_;
    my $client = Bench::Measure::client($server, $env, 'partner');
    my ($status) = $client->request(GET => $path);
    $client->close;
    return $status;
}

sub count {
    my ($server, $env, $backend, $row, $counts, $kept) = @_;
    my $sent = 0;
    $server->start(callgrind => 1);
    Bench::Measure::with_client($server, $env,
        sub { $sent = drive($_[0], Bench::Measure::path_of($row, 0), $row->{settles}, $counts) });
    $server->stop;
    my $proxied = $row->{path} ? 0 : $sent;
    my $made    = $backend->connections($proxied);
    my $wanted  = $kept && $proxied ? 1 : $proxied;
    die "$sent requests made $made connections to the backend\n" if $made != $wanted;
    return Bench::Measure::slopes_between($server, 3, @$counts);
}

# The first mark comes before the first request, the third before those that are counted. Returns
# how many requests there were.
sub drive {
    my ($client, $path, $settles, $counts) = @_;
    my $sent = 0;
    my $ask  = sub {
        for (1 .. $_[0]) {
            Bench::Measure::get($client, $path);
            $sent++;
        }
    };
    Bench::Measure::mark($client);
    $ask->(1);
    Bench::Measure::mark($client);
    $ask->(WARM_UP);
    if ($settles) {
        sleep $settles;
        $ask->(5);
    }
    for my $count (@$counts) {
        Bench::Measure::mark($client);
        $ask->($count);
    }
    Bench::Measure::mark($client);
    return $sent;
}

1;
