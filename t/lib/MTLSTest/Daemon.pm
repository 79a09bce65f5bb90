# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Daemon;

# redis-server or memcached in a process of its own, on loopback, that can be stopped and come back
# at the same port.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX            ();
use Time::HiRes      qw(sleep);
use MTLSTest::Await  qw(await);
use MTLSTest::Files  qw(files_dir);
use MTLSTest::Layout qw(free_port runtime_user);

my @STARTED;
my %COMMAND = (
    redis => sub {
        my ($port, $dir) = @_;
        return (
            'redis-server', '--port',      $port,          '--bind', '127.0.0.1',
            '--save',       '',            '--appendonly', 'no',     '--dir',
            $dir,           '--daemonize', 'no'
        );
    },
    memcached => sub {
        my ($port) = @_;
        return ('memcached', '-l', '127.0.0.1', '-p', $port, '-U', 0, '-u', (runtime_user())[0]);
    },
);

# kind: redis or memcached
sub start {
    my ($class, $kind, $name) = @_;
    my $self = bless {
        kind => $kind,
        name => $name // $kind,
        port => free_port(),
        dir  => files_dir('daemon-' . ($name // $kind))
    }, $class;
    push @STARTED, $self;
    return $self->up;
}

sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }

sub accepts {
    my ($self) = @_;
    return IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $self->{port},
        Proto    => 'tcp',
        Timeout  => 2
    );
}

sub up {
    my ($self)  = @_;
    my @command = $COMMAND{ $self->{kind} }->($self->{port}, $self->{dir});
    my $pid     = fork // die "cannot fork: $!\n";
    if (!$pid) {
        POSIX::close($_) for 3 .. 255;    # connections of the test
        open STDIN, '<', '/dev/null'
            and open STDOUT, '>>', "$self->{dir}/log"
            and open STDERR, '>&', \*STDOUT
            or POSIX::_exit(126);
        exec @command or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    await(sub { $self->accepts || waitpid($pid, POSIX::WNOHANG()) == $pid });
    $self->accepts or die "$self->{kind} does not listen, see $self->{dir}/log\n";
    return $self;
}

# What it knew is gone, too.
sub down {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return $self;
    kill KILL => $pid;
    waitpid $pid, 0;
    return $self;
}

# It accepts connections, and says nothing.
sub freeze { my ($self) = @_; kill STOP => $self->{pid}; return $self }
sub thaw   { my ($self) = @_; kill CONT => $self->{pid}; return $self }

END { local $?; $_->down for @STARTED }

1;
