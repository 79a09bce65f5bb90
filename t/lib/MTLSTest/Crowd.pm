# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Crowd;

# Clients side by side: processes that each do something.

use strict;
use warnings;
use Exporter 'import';
use JSON::PP    ();
use POSIX       ();
use Time::HiRes qw(time);

our @EXPORT_OK = qw(in_parallel ask_timed);

# Runs code($item) for each item in a process of its own, at most so many at a time. Returns what
# each returned (a reference JSON can carry), in the order of the items.
sub in_parallel {
    my ($most, $code, @items) = @_;
    my (@results, @running);
    my $collect = sub {
        my ($n, $pid, $pipe) = @{ shift @running };
        my $text = do { local $/; <$pipe> };
        close $pipe;
        $results[$n] = eval { JSON::PP->new->decode($text) } // { error => "nothing came: $text" };
    };
    for my $n (0 .. $#items) {
        $collect->() if @running >= $most;
        my $pid = open my $pipe, '-|';
        die "cannot fork: $!\n" unless defined $pid;
        if (!$pid) {
            my $result = eval { $code->($items[$n]) } // { error => "$@" };
            print JSON::PP->new->encode($result);
            close STDOUT;
            POSIX::_exit(0);
        }
        push @running, [$n, $pid, $pipe];
    }
    $collect->() while @running;
    return @results;
}

# One request on a connection of its own: outcome (status and reason as the server shows it in
# X-Reason) and the seconds it took after the handshake.
sub ask_timed {
    my ($server, $path, %o) = @_;
    my $tls  = $server->tls(%o);
    my $from = time;
    my $r    = $tls->request($path);
    return {
        outcome => $r->status . ' ' . ($r->header('X-Reason') // ''),
        seconds => time - $from,
        error   => $tls->error
    };
}

1;
