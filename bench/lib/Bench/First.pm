# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::First;

# What connections cost until their requests are cheap: the first full handshake of a leaf in a
# child, its second, a resumed session - each with one request and the end of the connection -, and
# a further request. All four from one run of httpd under callgrind, each as the slope between a few
# and many.

use strict;
use warnings;
use List::Util qw(sum);
use Bench::Material qw(make_leaves);
use Bench::Measure;

# Two slopes for each figure: their difference is the repeatability.
use constant {
    CONNECTIONS      => [4, 14, 4, 14],
    FEWER            => [2, 6, 2, 6],
    SLOW_CONNECTIONS => [2, 6],
    REQUESTS         => [100, 400, 100, 400],
};

our @KINDS = qw(first second resumed further);

# Returns { KIND => { mean, spread } } in instructions. `refuses` names a certificate that must be
# refused, undef none. `slow`: fewer connections, where each costs hundreds of millions. `before`:
# called when the server runs under callgrind, with the leaves; then there are fewer, too.
sub costs {
    my ($server, $env, $refuses, %how) = @_;
    my $connections = $how{slow} ? SLOW_CONNECTIONS : $how{before} ? FEWER : CONNECTIONS;
    my @leaves = make_leaves($env->{pki}, 1 + sum(@$connections));
    check($server, $env, $refuses, $leaves[-1]);
    $server->start(callgrind => 1);
    $how{before}->(@leaves) if $how{before};
    my @steps = steps($connections);
    drive($server, $env, \@leaves, \@steps);
    $server->stop;
    return slopes($server, \@steps);
}

# [kind, how many, number of the first leaf]
sub steps {
    my ($connections) = @_;
    my @steps;
    for my $kind (qw(first second resumed)) {
        my $next = 0;
        for my $count (@$connections) {
            push @steps, [$kind, $count, $next];
            $next += $count;
        }
    }
    return (@steps, map { ['further', $_, 0] } @{ +REQUESTS });
}

sub check {
    my ($server, $env, $refuses, $leaf) = @_;
    my $path    = Bench::Measure::path_of({}, 0);
    my $session = "$server->{dir}/check.session";
    my $get     = sub { Bench::Measure::get($_[0], $path) };
    $server->start(check => 1);
    Bench::Measure::with_client($server, $env, $get, $leaf, session_out => $session);
    Bench::Measure::with_client($server, $env, $get, $leaf, session_in  => $session);
    Bench::Measure::expect($server, $env, $refuses, $path, 403) if $refuses;
    $server->stop;
    my @resumed = map { /(\w+)\z/ ? $1 : '' } grep { /^200 / } $server->access_log;
    die "sessions were '@resumed', not 'Initial Resumed'\n" if "@resumed" ne 'Initial Resumed';
    return;
}

sub drive {
    my ($server, $env, $leaves, $steps) = @_;
    my $path    = Bench::Measure::path_of({}, 0);
    my $get     = sub { Bench::Measure::get($_[0], $path) };
    my $session = "$server->{dir}/drive.session";
    # What happens once, to a child and to a session, is not counted.
    Bench::Measure::with_client($server, $env, $get, $leaves->[-1], @$_)
        for [session_out => $session], [session_in => $session], [session_in => $session];
    my @connect = map {
        my ($kind, $count, $from) = @$_;
        $kind eq 'further' ? ()
            : sub {
            for my $n ($from .. $from + $count - 1) {
                Bench::Measure::with_client($server, $env, $get,
                    $kind eq 'resumed'
                    ? ($leaves->[-1], session_in => $session)
                    : ($leaves->[$n]));
            }
            }
    } @$steps;
    my $mark = sub {
        Bench::Measure::with_client($server, $env, \&Bench::Measure::mark, $leaves->[-1]);
    };
    $mark->();
    for my $do (@connect) {
        $do->();
        $mark->();
    }
    drive_further($server, $env, $leaves->[-1], $get, grep { $_->[0] eq 'further' } @$steps);
    return;
}

sub drive_further {
    my ($server, $env, $leaf, $get, @steps) = @_;
    return if !@steps;
    Bench::Measure::with_client($server, $env, sub {
        my ($client) = @_;
        $get->($client) for 1 .. 20;
        Bench::Measure::mark($client);
        for my $step (@steps) {
            $get->($client) for 1 .. $step->[1];
            Bench::Measure::mark($client);
        }
    }, $leaf);
    return;
}

sub slopes {
    my ($server, $steps) = @_;
    my (%cost, %slopes);
    my $n = 1;    # the counts before the first mark are the start
    for my $i (0 .. $#$steps) {
        my ($kind, $count) = @{ $steps->[$i] };
        $n++ if $kind eq 'further' && $steps->[$i - 1][0] ne 'further';    # a mark of its own
        my $instructions = $server->instructions_after_mark($n++);
        if ($cost{$kind}) {
            my ($few, $before) = @{ delete $cost{$kind} };
            push @{ $slopes{$kind} }, ($instructions - $before) / ($count - $few);
        }
        else {
            $cost{$kind} = [$count, $instructions];
        }
    }
    return { map { $_ => summary(@{ $slopes{$_} }) } keys %slopes };
}

sub summary {
    my ($low, $high) = (sort { $a <=> $b } @_)[0, -1];
    return { mean => ($low + $high) / 2, spread => $high - $low };
}

1;
