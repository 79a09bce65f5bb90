# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Server;

# One httpd on a free loopback port: a single prefork process (-X), plain or under callgrind, or a
# parent with children where a row says `tuning`.
#
# Under callgrind the counters are written out and set back to nought whenever httpd enters
# ap_send_http_options(): an OPTIONS request of the client is a mark on the instruction counter.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Bench::Setup qw(write_file);

use constant {
    MARK_FUNCTION => 'ap_send_http_options',
    DEADLINE      => 900,                      # seconds to start or to stop under callgrind
    POLL          => 0.05,
};

my @MODULES = qw(authz_core headers mime env log_config socache_shmcb watchdog ssl);
my $BUILT_IN = qr/^(?:log_config|watchdog)$/;           # in httpd itself on some systems

# dir: directory to work in; libexec: httpd's modules; module: path of mod_mtls_policy.so or undef;
# global, vhost: configuration text of the row; pki: directory of certificates; mpm: prefork unless
# given; tuning: how many children; modules: names beside the usual ones; certificate: its name
sub new {
    my ($class, %arg) = @_;
    my $self = bless {%arg}, $class;
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    # httpd leaves root before callgrind writes its counts
    chmod 0777, $self->{dir} or die "$self->{dir}: $!\n";
    return $self;
}

sub start {
    my ($self, %how) = @_;
    $self->{port} = _free_port();
    $self->_write_config;
    my @command = ($self->{httpd}, $self->{tuning} ? '-DFOREGROUND' : '-X', '-f',
        "$self->{dir}/httpd.conf");
    push @command, '-D', 'CHECK' if $how{check};
    if ($how{callgrind}) {
        unshift @command, 'valgrind', '--tool=callgrind', '--quiet', '--vgdb=no',
            '--dump-before=' . MARK_FUNCTION, "--callgrind-out-file=$self->{dir}/counts";
    }
    $self->_launch(@command);
    # callgrind has tried whether it can write, as root; a child does so again, as somebody else
    unlink "$self->{dir}/counts" if $how{callgrind};
    return $self;
}

sub stop {
    my ($self) = @_;
    my $pid = $self->{pid} or return;
    my $next = 0;
    my $gone = eval {
        $self->_await('stop', sub {
            return 1 if !$self->{pid};
            if (time >= $next) {
                # Again and again: of one that comes just before accept() httpd only takes note.
                kill 'TERM', $pid;
                $next = time + 2;
            }
            return 0;
        });
        1;
    };
    if (!$gone && $self->{pid}) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        delete $self->{pid};
    }
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->stop;
    return;
}

# Runs `httpd -t`. Returns the seconds of processor time it took.
sub config_test {
    my ($self) = @_;
    $self->{port} //= _free_port();
    $self->_write_config;
    my @before = times;
    system("$self->{httpd} -t -f $self->{dir}/httpd.conf >>$self->{dir}/console.log 2>&1") == 0
        or die "httpd -t failed:\n" . $self->what_it_said;
    my @after = times;
    return $after[2] + $after[3] - $before[2] - $before[3];
}

# Instructions between mark $n and mark $n+1, once the server has stopped.
sub instructions_after_mark {
    my ($self, $n) = @_;
    return $self->instructions_in("$self->{dir}/counts." . ($n + 1));
}

sub instructions_in {
    my ($self, $file) = @_;
    open my $in, '<', $file or die "callgrind wrote no $file: $!\n";
    while (my $line = <$in>) {
        return $1 if $line =~ /^(?:totals|summary): (\d+)/;
    }
    die "$file has no total\n";
}

sub access_log {
    my ($self) = @_;
    open my $in, '<', "$self->{dir}/access.log" or return;
    my @lines = <$in>;
    chomp @lines;
    return @lines;
}

sub what_it_said {
    my ($self) = @_;
    my $text = '';
    for my $file (map { "$self->{dir}/$_" } qw(console.log error.log)) {
        open my $in, '<', $file or next;
        my @lines = <$in>;
        splice @lines, 0, @lines - 8 if @lines > 8;
        $text .= join '', map { "    $_" } @lines;
    }
    return $text;
}

sub _launch {
    my ($self, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;    # prefork ends its children by ending its whole process group
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/console.log";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $self->_await('start', sub { _listening($self->{port}) });
    return;
}

sub _write_config {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $load = '';
    for my $name ('mpm_' . ($self->{mpm} // 'prefork'), @MODULES, @{ $self->{modules} // [] })
    {
        my $file = "$self->{libexec}/mod_$name.so";
        next if $name =~ $BUILT_IN && !-e $file;
        $load .= "LoadModule ${name}_module $file\n";
    }
    $load .= "LoadModule mtls_policy_module $self->{module}\n" if $self->{module};
    my $user = $> == 0 ? "User www-data\nGroup www-data\n" : '';
    my $certificate = $self->{certificate} // 'server';
    write_file("$dir/httpd.conf", <<"END");
${load}${user}ServerRoot "$dir"
DefaultRuntimeDir "$dir"
PidFile "$dir/httpd.pid"
ErrorLog "$dir/error.log"
LogLevel warn
ServerName gateway.test
TypesConfig /dev/null
Listen 127.0.0.1:$self->{port}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
Timeout 300
<IfDefine CHECK>
    CustomLog "$dir/access.log" "%>s [%{X-Client-CN}i] [%{X-Client-Subject}i] \\
[%{X-Client-Cert}i] %{SSL_SESSION_RESUMED}x"
</IfDefine>
${\($self->{tuning} // '')}
$self->{global}
<VirtualHost 127.0.0.1:$self->{port}>
    DocumentRoot "$self->{htdocs}"
    <Directory "$self->{htdocs}">
        Require all granted
    </Directory>
    SSLEngine On
    SSLCertificateFile "$self->{pki}/$certificate-chain.crt"
    SSLCertificateKeyFile "$self->{pki}/$certificate.key"
    SSLCACertificateFile "$self->{pki}/ca-bundle.crt"
    SSLVerifyClient optional_no_ca
    SSLVerifyDepth 4
$self->{vhost}
</VirtualHost>
END
    return;
}

sub _await {
    my ($self, $what, $done) = @_;
    my $end = time + DEADLINE;
    while (!$done->()) {
        my $pid = $self->{pid};
        if ($pid && waitpid($pid, WNOHANG) == $pid) {
            delete $self->{pid};
            next if $what eq 'stop';
            die "httpd ended with status $? instead of serving:\n" . $self->what_it_said;
        }
        die "httpd did not $what in ${\DEADLINE} s:\n" . $self->what_it_said if time > $end;
        select undef, undef, undef, POLL;
    }
    return;
}

sub _free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1)
        or die "no free port on 127.0.0.1: $@\n";
    return $socket->sockport;
}

sub _listening {
    my ($port) = @_;
    return defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1);
}

1;
