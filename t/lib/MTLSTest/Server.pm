# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Server;

# A running httpd: the one t/TEST started, or one of a test's own with a configuration of its own.
# Requests go through the real curl; raw TLS is MTLSTest::TLS.
#
# In a configuration text @Port_NAME@ is a free port, @PKI@ the directory of certificates, @TLS@ the
# usual TLS directives of a virtual host, @Logs@, @Htdocs@ and @Module@ what they say.

use strict;
use warnings;
use File::Path  qw(make_path remove_tree);
use POSIX       ();
use Time::HiRes qw(time sleep);
use MTLSTest::Await qw(await);
use MTLSTest::Layout
    qw(run_dir pki_dir httpd module_path mpm load_modules runtime_user common_directives free_port);
use MTLSTest::Log;
use MTLSTest::Response;
use MTLSTest::TLS;

use constant START_WITHIN => 120;

my @STARTED;

sub shared {
    my ($class) = @_;
    my $file = run_dir() . '/conf/apache_test_config.pm';
    require $file;
    my $vars  = apache_test_config->new->{vars};
    my %ports = map { /\Aport_(.+)/ ? ($1 => $vars->{$_}) : () } keys %$vars;
    return bless {
        dir      => $vars->{t_logs},
        ports    => \%ports,
        log      => MTLSTest::Log->new($vars->{t_logs}),
        pid_file => $vars->{t_pid_file},
        htdocs   => $vars->{documentroot}
    }, $class;
}

# name, config; mpm, modules (order), early (text before the modules' directives), processes
# (directives of the MPM)
sub prepare {
    my ($class, %o) = @_;
    my $dir = run_dir() . "/logs/private/$o{name}";
    remove_tree($dir);
    make_path($dir);
    my ($user) = runtime_user();
    chown +(getpwnam $user)[2, 3], $dir if $> == 0;
    my $self = bless {
        name    => $o{name},
        dir     => $dir,
        ports   => {},
        mpm     => $o{mpm} || mpm(),
        log     => MTLSTest::Log->new($dir),
        htdocs  => $o{htdocs} // run_dir() . '/htdocs',
        options => \%o
    }, $class;
    $self->write_config($o{config});
    return $self;
}

sub write_config {
    my ($self, $config) = @_;
    my %o = %{ $self->{options} };
    my ($user, $group) = runtime_user();
    my $text = join "\n", "ServerRoot \"$self->{dir}\"", "PidFile \"$self->{dir}/httpd.pid\"",
        'ServerName gateway.test', ($> == 0 ? ("User $user", "Group $group") : ()),
        load_modules($self->{mpm}, @{ $o{modules} // [] }), common_directives($self->{dir}),
        'DocumentRoot "@Htdocs@"', 'TypesConfig /dev/null', 'AddType text/html .html',
        'AddType text/plain .txt', $o{processes} // default_processes($self->{mpm}), $config;
    open my $fh, '>', "$self->{dir}/httpd.conf"
        or die "cannot write the configuration of $self->{name}: $!\n";
    print {$fh} $self->expand($text), "\n";
    close $fh or die "cannot write the configuration of $self->{name}: $!\n";
    return;
}

sub default_processes {
    my ($mpm) = @_;
    return join "\n",
        $mpm eq 'prefork'
        ? ('StartServers 4', 'MinSpareServers 2', 'MaxSpareServers 8', 'MaxRequestWorkers 24')
        : (
        'StartServers 1',
        'ServerLimit 4',
        'ThreadsPerChild 12',
        'MinSpareThreads 4',
        'MaxSpareThreads 48',
        'MaxRequestWorkers 48'
        );
}

sub expand {
    my ($self, $text) = @_;
    my $pki = pki_dir();
    my $tls = <<"TLS";
SSLEngine on
SSLCertificateFile "$pki/server-chain.crt"
SSLCertificateKeyFile "$pki/server.key"
SSLCACertificateFile "$pki/ca-bundle.crt"
SSLVerifyClient optional_no_ca
SSLVerifyDepth 10
TLS
    my %fixed = (
        PKI    => $pki,
        TLS    => $tls,
        Logs   => $self->{dir},
        Htdocs => $self->{htdocs},
        Module => module_path()
    );
    1 while $text =~ s/\@(\w+)\@/$self->token($1, \%fixed)/e;
    return $text;
}

sub token {
    my ($self, $name, $fixed) = @_;
    return $fixed->{$name} if exists $fixed->{$name};
    my ($port) = $name =~ /\APort_(\w+)/ or die "unknown token \@$name\@\n";
    return $self->{ports}{ lc $port } //= free_port();
}

sub command {
    my ($self, @more) = @_;
    return (httpd(), '-d', $self->{dir}, '-f', "$self->{dir}/httpd.conf", @more);
}

# What "httpd -t" says of a configuration: exit status and text.
sub check {
    my ($class, %o) = @_;
    my $self = $class->prepare(%o);
    return $self->run_command('-t');
}

sub run_command {
    my ($self, @arguments) = @_;
    my $output = "$self->{dir}/command.out";
    my $pid    = fork // die "cannot fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', $output and open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        exec $self->command(@arguments) or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($? >> 8 || $? & 127, slurp($output));
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return '';
    local $/;
    return <$fh> // '';
}

# Starts and waits until every port accepts; dies with the error log when it does not.
sub start {
    my ($class, %o) = @_;
    my $self = $class->prepare(%o);
    return $self->launch // die "httpd \"$o{name}\" did not start:\n" . $self->failure_text;
}

# For configurations that only the start refuses: exit status and what was said.
sub start_refused {
    my ($class, %o) = @_;
    my $self = $class->prepare(%o);
    if ($self->launch) { $self->stop; return (0, $self->failure_text) }
    return ($self->{exit_status}, $self->failure_text);
}

sub failure_text {
    my ($self) = @_;
    my @lines = split /^/, slurp("$self->{dir}/command.out") . slurp("$self->{dir}/error_log");
    return join '', @lines > 60 ? @lines[-60 .. -1] : @lines;
}

# A port may still be held by a client's connection that has just been closed: tried again.
sub launch {
    my ($self) = @_;
    my $deadline = time + START_WITHIN;
    while (1) {
        return $self if $self->launch_once($deadline);
        return if time > $deadline || slurp("$self->{dir}/command.out") !~ /could not bind/;
        sleep 1;
    }
}

sub launch_once {
    my ($self, $deadline) = @_;
    my $before = $self->times_resumed;
    my $pid    = fork // die "cannot fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', "$self->{dir}/command.out" and open STDERR, '>&', \*STDOUT
            or POSIX::_exit(126);
        open STDIN, '<', '/dev/null';
        POSIX::setpgid(0, 0);    # httpd signals its whole process group when it ends
        exec $self->command('-DFOREGROUND') or POSIX::_exit(127);
    }
    @$self{qw(pid owner)} = ($pid, $$);
    push @STARTED, $self;
    while (time < $deadline) {
        if (waitpid($pid, POSIX::WNOHANG()) == $pid) {
            $self->{exit_status} = $? >> 8 || $? & 127;
            delete $self->{pid};
            return;
        }
        return $self if $self->times_resumed > $before && $self->all_ports_accept;
        sleep 0.02;
    }
    $self->stop;
    return;
}

# It is said when a generation has its children and can be told to restart.
sub times_resumed {
    my ($self) = @_;
    my $times = () = $self->{log}->matching('resuming normal operations');
    return $times;
}

sub all_ports_accept {
    my ($self) = @_;
    my $config = slurp("$self->{dir}/httpd.conf");
    my @listening =
        grep { $config =~ /^\s*Listen\s+127\.0\.0\.1:$_\b/m } values %{ $self->{ports} };
    for my $port (@listening) {
        IO::Socket::INET->new(
            PeerAddr => '127.0.0.1',
            PeerPort => $port,
            Proto    => 'tcp',
            Timeout  => 5
        ) or return 0;
    }
    return scalar @listening;
}

# A child that SIGTERM meets while it is still being made leaves from inside the handler, and where
# that was in the middle of malloc() httpd crashes by itself: such children are waited for, and the
# server is stopped gracefully at first.
sub stop {
    my ($self) = @_;
    return if !$self->{pid} || $self->{owner} != $$;
    $self->await_children;
    my $pid = delete $self->{pid};
    for my $step ([WINCH => 1], [TERM => 60], [KILL => 60]) {
        my ($signal, $seconds) = @$step;
        kill $signal => $signal eq 'KILL' ? -$pid : $pid;
        my $deadline = time + $seconds;
        do {
            if (waitpid($pid, POSIX::WNOHANG()) != 0) {
                kill KILL => -$pid;    # children it has given up
                return;
            }
            sleep 0.01;
        } while (time < $deadline);
    }
    return;
}

# New configuration, graceful restart, wait until the new generation is in charge. Children of the
# old one may still serve what they have begun.
sub graceful {
    my ($self, $config) = @_;
    $self->write_config($config) if defined $config;
    return $self->restart('USR1');
}

# HUP ends the old children at once, USR1 lets them finish: connections that come from now on are
# for the new ones.
sub restart {
    my ($self, $signal) = @_;
    $self->await_children;
    my $before   = $self->times_resumed;
    my @old      = children_of($self->{pid});
    my $deadline = time + START_WITHIN;
    kill $signal => $self->{pid};
    until ($self->times_resumed > $before) {
        die "httpd \"$self->{name}\" died at the restart:\n" . $self->failure_text
            if waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
        die "no restart:\n" . $self->failure_text if time > $deadline;
        sleep 0.02;
    }
    my $listening = $self->listening_sockets;
    await(sub { !grep { holds_one($_, $listening) } @old });
    return 1;
}

# Until no child is still being made: one that is has its sockets already, but no threads. Those of
# prefork never have any.
sub await_children {
    my ($self) = @_;
    return if $self->{mpm} eq 'prefork';
    my $listening = $self->listening_sockets;
    await(
        sub {
            !grep { @{ [glob "/proc/$_/task/*"] } == 1 && holds_one($_, $listening) }
                children_of($self->{pid});
        }
    );
    return;
}

sub children_of {
    my ($parent) = @_;
    return grep { slurp("/proc/$_/stat") =~ /\) \S $parent / } map {m{(\d+)}} glob '/proc/[0-9]*';
}

# What /proc calls the sockets that listen on ports of ours, as keys.
sub listening_sockets {
    my ($self) = @_;
    my %ours = map { (sprintf('%04X', $_) => 1) } values %{ $self->{ports} };
    my @rows = map {[split]} split /\n/, slurp('/proc/net/tcp');
    my ($local, $state, $inode) = (1, 3, 9);
    return { map { ("socket:[$_->[$inode]]" => 1) }
            grep { ($_->[$local] // '') =~ /:(\w+)\z/ && $ours{$1} && $_->[$state] eq '0A' } @rows };
}

sub holds_one {
    my ($pid, $sockets) = @_;
    return grep { $sockets->{ readlink // '' } } glob "/proc/$pid/fd/*";
}

# So that an interrupted test stops its servers, too.
$SIG{$_} = sub { exit 1 }
    for qw(INT TERM HUP);

END { local $?; $_->stop for @STARTED }

sub port { my ($self, $name) = @_; return $self->{ports}{ lc $name } // die "no port $name\n" }
sub log  { my ($self) = @_; return $self->{log} }
sub dir  { my ($self) = @_; return $self->{dir} }

# One request by curl. vhost (name of the port), cert, send ('chain' or 'leaf'), host, method,
# headers, body, http ('1.0', '2'), tls ('1.2', '1.3'), plain (no TLS), curl (more arguments), id
my $counter = 0;

sub get {
    my ($self, $path, %o) = @_;
    my $id   = $o{id} // sprintf 'curl-%d-%d-%d', $^T, $$, ++$counter;
    my $base = "$self->{dir}/curl.$$";
    my @command =
        ('curl', curl_arguments($self, $path, $id, %o), '-D', "$base.head", '-o', "$base.body");
    unlink "$base.head", "$base.body";
    open my $pipe, '-|', @command or die "cannot run curl: $!\n";
    my $written = do { local $/; <$pipe> }
        // '';
    close $pipe;
    my $exit    = $? >> 8;
    my $head    = slurp("$base.head");
    my $interim = () = $head =~ m{^HTTP/1\.1 1\d\d}mg;
    $head =~ s{\AHTTP/1\.1 1\d\d.*?\r\n\r\n}{}s while $head =~ m{\AHTTP/1\.1 1\d\d};
    my $response = MTLSTest::Response->from_text(
        $head . slurp("$base.body"),
        id      => $id,
        log     => $self->{log},
        curl    => $exit,
        interim => $interim
    );
    unlink "$base.head", "$base.body";
    return $response;
}

sub curl_arguments {
    my ($self, $path, $id, %o) = @_;
    my $host   = $o{host} // 'gateway.test';
    my $port   = $self->port($o{vhost} // 'main');
    my $scheme = $o{plain} ? 'http' : 'https';
    my @a      = (
        '-q',           '-sS', '--max-time', 120, '--path-as-is', '-H', "X-Test-Id: $id",
        '--connect-to', "$host:$port:127.0.0.1:$port"
    );
    push @a, '--stderr', '/dev/null'             unless $ENV{MTLS_TEST_VERBOSE};
    push @a, '--cacert', pki_dir() . '/root.crt' unless $o{plain};
    if (my $cert = $o{cert}) {
        my $file = pki_dir() . "/$cert" . (($o{send} // 'chain') eq 'leaf' ? '.crt' : '-chain.crt');
        push @a, '--cert', $file, '--key', pki_dir() . "/$cert.key";
    }
    push @a, '--tls-max', '1.2' if ($o{tls} // '') eq '1.2';
    push @a, '--tlsv1.3' if ($o{tls} // '') eq '1.3';
    push @a,
          ($o{http} // '1.1') eq '2' ? '--http2'
        : ($o{http} // '') eq '1.0'  ? '--http1.0'
        :                              '--http1.1';
    push @a, ($o{method} eq 'HEAD' ? '-I' : ('-X', $o{method})) if $o{method};
    push @a, map { ('-H', $_) } @{ $o{headers} // [] };
    push @a, '--data-binary', $o{body} if defined $o{body};
    return (@a, @{ $o{curl} // [] }, "$scheme://$host:$port$path");
}

# A raw TLS connection to one of the ports; certificates by the name of the fixture.
sub tls {
    my ($self, %o) = @_;
    my $cert = delete $o{cert};
    if (defined $cert) {
        $o{cert} = pki_dir() . "/$cert" . (($o{send} // 'chain') eq 'leaf' ? '.crt' : '-chain.crt');
        $o{key}  = pki_dir() . "/$cert.key";

  # A session ticket holds the certificate and has to stay below 64 KB: OpenSSL's server gives up on
  # more.
        %o = (version => '1.2', tickets => 0, %o) if -s $o{cert} > 80_000;
    }
    return MTLSTest::TLS->connect(
        sni => 'gateway.test',
        %o,
        port => $self->port($o{vhost} // 'main'),
        log  => $self->{log}
    );
}

# An open connection for each of so many children, by the number of the process; all have had the
# path asked for. A child of worker may take all connections while it has a thread for them, so those
# that are too many stay open until all children have been met. All threads are more than SPARE.
use constant SPARE => 30;

sub one_in_each_child {
    my ($self, $children, $path, %o) = @_;
    my (%in, @spare);
    await(
        sub {
            my $tls = $self->tls(%o);
            my $pid = $tls->request($path)->pid or return;
            if   ($in{$pid}) { push @spare, $tls }
            else             { $in{$pid} = $tls }
            @spare = () if @spare == SPARE;
            return keys %in >= $children;
        }
    );
    return \%in;
}

1;
