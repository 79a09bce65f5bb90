# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Crowd;

# Several clients that ask at the same time, each a process of its own with one connection. Busy
# ones ask without a pause and note when each request was sent, how long it took and what came back;
# watching ones ask now and then until the answer is another than their first.

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(sleep time);
use Bench::Measure;

use constant PAUSE => 0.02;

# Starts `count` clients with `certificate`; `watch`: those that wait for another answer.
sub new {
    my ($class, $server, $env, $certificate, $count, $watch) = @_;
    my $self = bless { files => [], pids => [] }, $class;
    for my $n (1 .. $count) {
        my $file = "$server->{dir}/crowd.$certificate.$n";
        my $pid  = fork // die "fork: $!\n";
        if (!$pid) {
            my $ok = eval { ask($server, $env, $certificate, $file, $watch); 1 };
            print STDERR $@ if !$ok;
            POSIX::_exit($ok ? 0 : 1);
        }
        push @{ $self->{pids} },  $pid;
        push @{ $self->{files} }, $file;
    }
    return $self;
}

# Until TERM comes, or a watching client sees what it waits for.
sub ask {
    my ($server, $env, $certificate, $file, $watch) = @_;
    my $on = 1;
    local $SIG{TERM} = sub { $on = 0 };
    open my $out, '>', "$file.new" or die "$file.new: $!\n";
    my $client = Bench::Measure::client($server, $env, $certificate);
    my $path   = Bench::Measure::path_of({}, 0);
    my $first;
    while ($on) {
        my $sent = time;
        my ($status) = $client->request(GET => $path);
        printf {$out} "%.6f %.6f %d\n", $sent, time - $sent, $status;
        $first //= $status;
        last if $watch && $status != $first;
        sleep PAUSE if $watch;
    }
    $client->close;
    close $out or die "$file.new: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
    return;
}

# Whether every client has ended by itself.
sub is_done {
    my ($self) = @_;
    return !grep { !-e $_ } @{ $self->{files} };
}

# Ends the clients. Returns for each the list of [sent, seconds, status].
sub stop {
    my ($self) = @_;
    my $failed = $self->_end;
    die "$failed client(s) failed\n" if $failed;
    return map { [ read_file($_) ] } @{ $self->{files} };
}

sub _end {
    my ($self) = @_;
    my $failed = 0;
    for my $pid (splice @{ $self->{pids} }) {
        kill 'TERM', $pid;
        waitpid $pid, 0;
        $failed++ if $?;
    }
    return $failed;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->_end;
    return;
}

sub read_file {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    return map { [split] } <$in>;
}

1;
