# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Measure;

# From a configuration to a number: first httpd runs as it is and has to allow and refuse what the
# row says; then it runs under callgrind, and the number of instructions is the slope between few
# and many requests, so that start-up, handshake and whatever happens once drop out.

use strict;
use warnings;
use Bench::Client;
use Bench::Server;

use constant {
    REQUESTS => [100, 400],
    WARM_UP  => 220,          # more than there are Locations: each is judged once before counting
    TIMES    => 2,            # slopes per measurement: their difference is the repeatability
};

my $THREE_HEADERS =
    qr/\[client\.bigpartner\.example\] \[[^\]]*O=Big Partner Foo SA[^\]]*\] \[[^\]]*MII/;

# Returns { mean, spread } in instructions per request.
sub slope {
    my ($server, $row, $which, $env) = @_;
    check($server, $row, $which, $env);
    my $slow = $which eq 'mod_ssl' ? $row->{slow_mod_ssl} : undef;
    my ($few, $many) = @{ $slow // REQUESTS };
    $server->start(callgrind => 1);
    drive_requests($server, $row, $env, [($few, $many) x TIMES]);
    $server->stop;
    return slopes_between($server, 1, ($few, $many) x TIMES);
}

# { mean, spread } of the slopes between few and many requests; the first of these counts begins at
# that mark.
sub slopes_between {
    my ($server, $mark, @counts) = @_;
    my @slopes;
    for (my $i = 0; $i < @counts; $i += 2) {
        my ($fewer, $more) = map { $server->instructions_after_mark($mark + $i + $_) } 0, 1;
        push @slopes, ($more - $fewer) / ($counts[$i + 1] - $counts[$i]);
    }
    my ($low, $high) = (sort { $a <=> $b } @slopes)[0, -1];
    return { mean => ($low + $high) / 2, spread => $high - $low };
}

sub check {
    my ($server, $row, $which, $env) = @_;
    my $refuses = $which eq 'base' ? undef : $row->{refuses};
    $server->start(check => 1);
    expect($server, $env, 'partner', path_of($row, 0), 200);
    expect($server, $env, $refuses, path_of($row, 0), 403) if $refuses;
    $server->stop;
    return if !$row->{headers} || $which eq 'base';
    my ($allowed) = grep { /^200 / } $server->access_log;
    die "the three headers did not arrive: $allowed\n"
        if $allowed !~ $THREE_HEADERS;
    return;
}

sub expect {
    my ($server, $env, $certificate, $path, $expected) = @_;
    my $client = client($server, $env, $certificate);
    my ($status) = $client->request(GET => $path);
    $client->close;
    die "$certificate got $status for $path, not $expected:\n" . $server->what_it_said
        if $status != $expected;
    return;
}

sub drive_requests {
    my ($server, $row, $env, $counts) = @_;
    my $client = client($server, $env, 'partner');
    my $n      = 0;
    my $ask    = sub { get($client, path_of($row, $n++)) for 1 .. $_[0] };
    $ask->($counts->[0] < REQUESTS->[0] ? $counts->[0] : WARM_UP);
    if ($row->{settles}) {
        sleep $row->{settles};
        $ask->(5);
    }
    mark($client);
    for my $count (@$counts) {
        $ask->($count);
        mark($client);
    }
    $client->close;
    return;
}

sub with_client {
    my ($server, $env, $do, $certificate, %session) = @_;
    my $client = client($server, $env, $certificate // 'partner', %session);
    $do->($client);
    $client->close;
    return;
}

sub client {
    my ($server, $env, $certificate, %session) = @_;
    return Bench::Client->connect(
        port => $server->{port}, pki => $env->{pki}, certificate => $certificate,
        chain => $env->{chain}, log => "$server->{dir}/client.log", %session,
    );
}

sub get {
    my ($client, $path) = @_;
    my ($status, $body) = $client->request(GET => $path);
    die "$status for $path while counting\n" if $status != 200 || $body ne "ok\n";
    return;
}

sub mark {
    my ($client) = @_;
    my ($status) = $client->request(OPTIONS => '/marker.txt');
    die "$status for a mark\n" if $status != 200;
    return;
}

sub path_of {
    my ($row, $n) = @_;
    return $row->{path} ? $row->{path}->($n) : '/api/f.txt';
}

1;
