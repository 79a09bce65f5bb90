# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Daemon;

# A server of somebody else's (redis, memcached, uwsgi, nginx) in a process of its own, on loopback,
# that can be stopped and come back at the same port.

use strict;
use warnings;
use IO::Socket::INET;
use File::Basename   qw(dirname);
use POSIX            ();
use Time::HiRes      qw(sleep);
use MTLSTest::Await  qw(await);
use MTLSTest::Files  qw(files_dir replace_file);
use MTLSTest::Layout qw(free_port runtime_user source_dir);

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

    # One program that speaks three protocols: uwsgi at its port, fastcgi and scgi. Unless it is told
    # it leaves out variables beyond the 100th and gives up a gateway that pauses for four seconds.
    uwsgi => sub {
        my ($port, $dir, $more) = @_;
        my $program = program('uwsgi-core');
        my $plugins = dirname(dirname($program)) . '/lib/uwsgi/plugins';
        my $address = '127.0.0.1:';
        my @user    = $> == 0 ? ('--uid', (runtime_user())[0], '--gid', (runtime_user())[1]) : ();
        my @sockets = ('--socket' => "$address$port");
        push @sockets, "--$_-socket" => $address . port_of($more, $_) for qw(fastcgi scgi);
        return (
            $program, '--plugin-dir', $plugins, '--plugin', 'psgi', '--psgi', $more->{app},
            @sockets, '--buffer-size', 65_535, '--max-vars', 1000, '--die-on-term',
            '--disable-logging', '--socket-timeout', 60, @user
        );
    },

    # conf: a configuration in which @Port@ and @Dir@ are what they say
    nginx => sub {
        my ($port, $dir, $more) = @_;
        my $text = $more->{conf} =~ s/\@Port\@/$port/gr =~ s/\@Dir\@/$dir/gr;
        replace_file("$dir/nginx.conf", $text);
        return (program('nginx'), '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf");
    },
);

# Where a program is that may lie outside of PATH: /usr/sbin, and what bootstrap has unpacked.
sub program {
    my ($name)  = @_;
    my $ours    = source_dir() . '/../build/servers/usr';
    my @places  = (split(/:/, $ENV{PATH} // ''), '/usr/sbin', "$ours/bin", "$ours/sbin");
    my ($found) = grep { -x "$_/$name" } @places;
    return "$found/$name" if defined $found;
    die "$name is not installed\n";
}

sub port_of { my ($more, $name) = @_; return $more->{ports}{$name} //= free_port() }

# kind: a key of %COMMAND; name, when there are several of a kind; what else its command wants
sub start {
    my ($class, $kind, $name, %more) = @_;
    my $self = bless {
        kind => $kind,
        name => $name // $kind,
        port => free_port(),
        dir  => files_dir('daemon-' . ($name // $kind)),
        more => \%more
    }, $class;
    push @STARTED, $self;
    return $self->up;
}

# Without a name the one it has in any case.
sub port {
    my ($self, $name) = @_;
    return $self->{port} unless defined $name;
    return $self->{more}{ports}{$name} // die "$self->{kind} has no port $name\n";
}

sub pid { return $_[0]{pid} }

# At each of its ports, which it opens one after the other: a connection to the first.
sub accepts {
    my ($self) = @_;
    my $first;
    for my $port ($self->{port}, values %{ $self->{more}{ports} // {} }) {
        my $socket = IO::Socket::INET->new(
            PeerAddr => '127.0.0.1',
            PeerPort => $port,
            Proto    => 'tcp',
            Timeout  => 5
        ) or return;
        $first //= $socket;
    }
    return $first;
}

sub up {
    my ($self)  = @_;
    my @command = $COMMAND{ $self->{kind} }->(@$self{qw(port dir more)});
    my $pid     = fork // die "cannot fork: $!\n";
    if (!$pid) {
        POSIX::close($_) for 3 .. 255;    # connections of the test
        delete @ENV{qw(PERL5LIB PERL5OPT)};    # of the test: its folders may be closed to others
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
