# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Loopback;

# A real httpd, backends that show what they received, and curl, all on 127.0.0.1, for the demo and
# for the test of conf-examples/. A configuration file under test holds only what its reader came
# for; what every httpd needs besides (modules, ports, logs, a user) is written here around it.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(basename dirname);
use lib map { dirname(abs_path(__FILE__)) . "/../../t/$_" } qw(lib pki/lib);
use MTLSPKI::Issuer;
use MTLSTest::Layout qw(httpd module_path load_modules runtime_user free_port);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Scalar::Util qw(weaken);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(received free_port);

use constant { START_SECONDS => 120, STOP_SECONDS => 60, LOG_SECONDS => 60, CURL_SECONDS => 120,
    RELOAD_SECONDS => 120, CLIENT_SECONDS => 60 };

my @MODULES = qw(
    authn_core authz_core alias env filter include lbmethod_byrequests log_config mime mtls_policy
    proxy proxy_balancer proxy_fcgi proxy_http slotmem_shm socache_shmcb ssl http2
);

# One line for every request of every vhost. A case is found by the X-Case header curl sent.
my %LOGGED = (
    case     => '%{X-Case}i',
    status   => '%>s',
    protocol => '%H',
    session  => '%{SSL_SESSION_RESUMED}x',
    verdict  => '%{MTLS_VERDICT}e',
    reason   => '%{MTLS_REASON}e',
    peer     => '%{MTLS_BACKEND_REASON}e',
    policy   => '%{MTLS_POLICY}e',
    report   => '%{MTLS_REPORT}e',
    user     => '%u',
);

# Servers must not outlive us, also where a signal ends us: exit, and END stops them.
my @RUNNING;
my @SIGNALS = qw(INT TERM HUP PIPE);
$SIG{$_} = sub { exit 1 } for @SIGNALS;
END { local $?; $_ && $_->DESTROY for @RUNNING }

sub new {
    my ($class) = @_;
    my $top = abs_path(dirname(__FILE__) . '/../..');
    my $self = bless {
        top    => $top,
        dir    => tempdir('mtls-policy-XXXXXX', TMPDIR => 1),
        pki    => $ENV{MTLS_PKI} // "$top/build/pki",
        owner  => $$,
        cases  => 0,
        pids   => [],
    }, $class;
    weaken($RUNNING[@RUNNING] = $self);
    module_path();    # dies when it is not built
    # Started as root, httpd's children and what they read belong to another user.
    chmod 0755, $self->{dir};
    make_path($self->{pki});
    $self->{pki} = abs_path($self->{pki});
    system("$top/t/pki/make-pki", $self->{pki}) == 0 or die "t/pki/make-pki failed\n";
    return $self;
}

sub dir { return $_[0]{dir} }
sub pki { return $_[0]{pki} }

# Certificates that somebody else has made, by the names make-pki gives to files.
sub use_pki { my ($self, $folder) = @_; $self->{pki} = $folder; return }

sub write_file {
    my ($self, $name, $text) = @_;
    my $file = "$self->{dir}/$name";
    make_path(dirname($file));
    # Whoever reads meanwhile has the old bytes or the new ones; a folder that is read as a whole
    # passes over names that begin with a dot.
    my $new = dirname($file) . '/.' . basename($file) . '.new';
    open my $out, '>', $new or die "$new: $!\n";
    print {$out} $text;
    close $out or die "$new: $!\n";
    rename $new, $file or die "$file: $!\n";
    return $file;
}

# A file of trust stores: certificates of the PKI, one after the other.
sub install {
    my ($self, $name, @certificates) = @_;
    return $self->write_file($name,
        join '', map { $self->read_file("$self->{pki}/$_.crt") } @certificates);
}

sub remove_file {
    my ($self, $name) = @_;
    unlink "$self->{dir}/$name" or die "$name: $!\n";
    return;
}

sub read_file {
    my ($self, $file) = @_;
    open my $in, '<', $file or return '';
    local $/ = undef;
    return scalar(<$in>) // '';
}

# ---- httpd ----

# What the file under test cannot know: where this run may write and listen.
sub configuration {
    my ($self, $name, %arg) = @_;
    my $home = "$self->{dir}/$name";
    my %define = %{ $arg{define} // {} };
    my ($user, $group) = runtime_user();
    my $format = join '\t', map { "$_=$LOGGED{$_}" } sort keys %LOGGED;
    return join "\n",
        "ServerRoot $home", "ServerName localhost", "PidFile $home/httpd.pid",
        "DefaultRuntimeDir $home", "Mutex file:$home default", "ErrorLog $home/error.log",
        'LogLevel warn', 'TypesConfig /dev/null', 'AddType text/html .html',
        load_modules(undef, @MODULES),
        ($> == 0 ? ("User $user", "Group $group") : ()),
        "SSLSessionCache shmcb:$home/sessions(512000)",
        'SSLStaplingErrorCacheTimeout 1',    # a responder that was slow is asked again
        (map { "Listen 127.0.0.1:$_" } @{ $arg{listen} }),
        "GlobalLog $home/cases.log \"$format\"",
        (map { "Define $_ \"$define{$_}\"" } sort keys %define),
        "Include $arg{include}", '';
}

# Returns when the port answers; dies with what httpd said when it does not.
sub start_httpd {
    my ($self, $name, %arg) = @_;
    make_path("$self->{dir}/$name");
    my $conf = $self->write_file("$name/httpd.conf", $self->configuration($name, %arg));
    my $said = "$self->{dir}/$name/stderr";
    my @command = (httpd(), '-d', "$self->{dir}/$name", '-f', $conf, '-DFOREGROUND');
    my $pid = $self->spawn(sub {
        open STDERR, '>', $said;
        open STDOUT, '>&', \*STDERR;
        exec @command or POSIX::_exit(127);
    });
    eval { $self->wait_until_it_answers($pid, @{ $arg{listen} }); 1 } or die $@,
        "$arg{include}:\n", map { $self->read_file($_) } $said, "$self->{dir}/$name/error.log";
    return $pid;
}

sub wait_until_it_answers {
    my ($self, $pid, @ports) = @_;
    for my $port (@ports) {
        $self->await(START_SECONDS, sub {
            die "httpd ended at start\n" if waitpid($pid, POSIX::WNOHANG()) != 0;
            return answers($port);
        }) or die "httpd does not answer on port $port\n";
    }
    return;
}

sub answers {
    my ($port) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2);
}

sub await {
    my ($self, $seconds, $condition) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        my $value = $condition->();
        return $value if $value;
        sleep 0.02;
    }
    return;
}

# What MTLSRequire issuer.spki wants, from openssl: the pin must not come from the code it tests.
sub spki_of {
    my ($self, $name) = @_;
    my $key = "openssl x509 -in '$self->{pki}/$name.crt' -noout -pubkey";
    my $sum = qx{$key | openssl pkey -pubin -outform DER | openssl dgst -sha256};
    return $sum =~ /([0-9a-f]{64})\s*\z/ ? $1 : die "no public key in $name.crt\n";
}

sub serial_of {
    my ($self, $name) = @_;
    my $said = qx{openssl x509 -in '$self->{pki}/$name.crt' -noout -serial};
    return $said =~ /=([0-9A-F]+)/ ? $1 : die "no certificate in $name.crt\n";
}

sub sha256_of {
    my ($self, $name) = @_;
    my $sum = qx{openssl x509 -in '$self->{pki}/$name.crt' -outform DER | openssl dgst -sha256};
    return $sum =~ /([0-9a-f]{64})\s*\z/ ? $1 : die "no certificate in $name.crt\n";
}

# The certificate as base64 of its DER, on one line.
sub base64_of {
    my ($self, $name) = @_;
    my ($text) = $self->read_file("$self->{pki}/$name.crt")
        =~ /-----BEGIN CERTIFICATE-----(.*?)-----END/s or die "no certificate in $name.crt\n";
    return $text =~ s/\s+//gr;
}

# One more certificate, for a test that needs a twin of an existing one.
sub make_leaf {
    my ($self, $name, @options) = @_;
    system("$self->{top}/t/pki/make-pki", $self->{pki}, 'leaf', $name, @options) == 0
        or die "t/pki/make-pki leaf $name failed\n";
    return $name;
}

# A key for MTLSSigningKey: the children read it again when it changes, and nobody else may.
sub make_token_key {
    my ($self, $name) = @_;
    my $file = $self->write_file($name, '');
    chmod 0640, $file;
    chown 0, scalar getgrnam((runtime_user())[1]), $file if $> == 0;
    system("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 >'$file' 2>/dev/null")
        == 0 or die "openssl genpkey failed\n";
    return $file;
}

# A certificate or CA as t/pki/lib/MTLSPKI/Fixtures.pm describes them.
sub make {
    my ($self, $name, %description) = @_;
    MTLSPKI::Issuer->new($self->{pki})->make($name, \%description);
    return $name;
}

# The text of a CRL: issuer, revoked => [names], to => seconds until nextUpdate.
sub crl {
    my ($self, $issuer, %description) = @_;
    my $name = "made-$$";
    MTLSPKI::Issuer->new($self->{pki})
        ->make_crl($name, { issuer => $issuer, to => 86_400, %description });
    my $text = $self->read_file("$self->{pki}/$name.crl");
    unlink "$self->{pki}/$name.crl";
    return $text;
}

# ---- processes ----

# In a process group of its own: Ctrl-C and a resized terminal are for us, not for httpd, to which
# they mean other things.
sub spawn {
    my ($self, $code) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for @SIGNALS;
        $code->();
        POSIX::_exit(0);
    }
    push @{ $self->{pids} }, $pid;
    return $pid;
}

sub alive {
    my ($self) = @_;
    return !grep { waitpid($_, POSIX::WNOHANG()) != 0 } @{ $self->{pids} };
}

# Those given, or all.
sub stop {
    my ($self, @given) = @_;
    my %stop = map { $_ => 1 } @given ? @given : @{ $self->{pids} };
    my @pids = grep { $stop{$_} } @{ $self->{pids} };
    @{ $self->{pids} } = grep { !$stop{$_} } @{ $self->{pids} };
    for my $pid (reverse @pids) {
        next if waitpid($pid, POSIX::WNOHANG()) != 0;
        kill TERM => $pid;
        $self->await(STOP_SECONDS, sub { waitpid($pid, POSIX::WNOHANG()) != 0 })
            or kill KILL => $pid and waitpid $pid, 0;
    }
    return;
}

# After a failure somebody wants to read the logs.
sub keep { my ($self) = @_; $self->{kept} = 1; return $self->{dir} }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $@);
    $self->stop;
    remove_tree($self->{dir}) if !$self->{kept};
    return;
}

# ---- OCSP responders ----

# A program that answers on a port, run in a folder; dies when it does not.
sub start_responder {
    my ($self, $port, $folder, @command) = @_;
    my $said = "$self->{dir}/responder.log";
    my $pid = $self->spawn(sub {
        chdir $folder or POSIX::_exit(127);
        open STDERR, '>>', $said;
        open STDOUT, '>&', \*STDERR;
        exec @command or POSIX::_exit(127);
    });
    $self->await(START_SECONDS, sub {
        die "the responder ended: ", $self->read_file($said)
            if waitpid($pid, POSIX::WNOHANG()) != 0;
        return answers($port);
    }) or die "no responder answers on port $port\n";
    return $pid;
}

# ---- a backend that answers with the head of the request exactly as it arrived ----

sub start_echo {
    my ($self, $label) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 32)
        // die "no port for a backend: $!\n";
    $self->spawn(sub {
        while (1) {
            my $peer = $listener->accept or next;
            eval { echo($peer, $label) };
            close $peer;
        }
    });
    return $listener->sockport;
}

sub echo {
    my ($peer, $label) = @_;
    local $SIG{ALRM} = sub { die "slow client\n" };
    alarm CLIENT_SECONDS;
    my $head = '';
    while (defined(my $line = <$peer>)) {
        last if $line eq "\r\n";
        $head .= $line;
    }
    my $body = "backend: $label\r\n$head";
    print {$peer} "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n",
        'Content-Length: ', length $body, "\r\n\r\n", $head =~ /\AHEAD / ? '' : $body;
    alarm 0;
    return;
}

# The values of a header as start_echo's backend received them; as CGI would compare, because
# X_Client_Name is X-Client-Name to many a program.
sub received {
    my ($got, $name) = @_;
    my $like = join '[^A-Za-z0-9]', map { quotemeta } split /-/, $name;
    return map { s/\A\s+|\s+\z//gr } $got->{body} =~ /^$like:(.*)$/gim;
}

# ---- curl ----

# arg: certificate (a name of the PKI), leaf_only, headers [..], http2, method, path_as_is,
#   resume (1, or the path of the request that makes the TLS session), from (our own address),
#   of_backend (the reason is that of the backend, not of the client)
sub curl_arguments {
    my ($self, $url, %arg) = @_;
    # The root alone: given an intermediate, OpenSSL would send it for a client that has none.
    my @with = ('--cacert', "$self->{pki}/root.crt");
    if (my $name = $arg{certificate}) {
        my $chain = $arg{leaf_only} ? '' : '-chain';
        push @with, '--cert', "$self->{pki}/$name$chain.crt", '--key', "$self->{pki}/$name.key";
    }
    push @with, $arg{http2} ? '--http2' : '--http1.1';
    push @with, '--path-as-is' if $arg{path_as_is};
    push @with, '--interface', $arg{from} if $arg{from};
    push @with, $arg{method} eq 'HEAD' ? '--head' : ('-X', $arg{method}) if $arg{method};
    push @with, map { ('-H', $_) } @{ $arg{headers} // [] };
    # The first answer closes the connection; the second request has to resume the TLS session.
    my $first = $url;
    $first =~ s{\A(\w+://[^/]+).*}{$1$arg{resume}}s if ($arg{resume} // '') =~ m{\A/};
    push @with, '-H', 'Connection: close', '-o', '/dev/null', $first if $arg{resume};
    return (@with, $url);
}

# Sends the request; returns what curl saw and what the server logged about it.
sub request {
    my ($self, $server, $url, %arg) = @_;
    my $case = ++$self->{cases};
    my @command = ('curl', '-q', '-sS', '--noproxy', '*', '--max-time', CURL_SECONDS,
        '-H', "X-Case: $case", '-w', "\n%{http_code}", $self->curl_arguments($url, %arg));
    my ($output, $complaint) = $self->run(@command);
    my $status = $output =~ s/\n(\d{3})\z// ? $1 : '000';
    $output =~ s/\A\n\d{3}// if $arg{resume};
    my $logged = $self->logged($server, $case, $status eq '000' ? 0 : $arg{resume} ? 2 : 1);
    my $reason = $logged->{ $arg{of_backend} ? 'peer' : 'reason' };
    return { %{$logged}, reason => $reason, status => $status, body => $output,
        complaint => $complaint };
}

# The same request again until status and reason are those expected: what a file says is in force
# some time after it was changed. Returns the last answer and how many seconds it took.
sub request_until {
    my ($self, $expected, @request) = @_;
    my ($got, $begun) = (undef, time);
    $self->await(RELOAD_SECONDS, sub {
        $got = $self->request(@request);
        return "$got->{status} $got->{reason}" eq $expected;
    });
    return { %{$got}, seconds => time - $begun };
}

# The first line of the module's in a server's error log that matches, once it is there; names of
# files shortened to what a reader wants to know.
sub said {
    my ($self, $server, $pattern) = @_;
    return $self->await(RELOAD_SECONDS, sub {
        my ($line) = grep { /mtls_policy: / && $_ =~ $pattern }
            split /\n/, $self->read_file("$self->{dir}/$server/error.log");
        $line = ($line // '') =~ s/\A.*?(?=mtls_policy: )//r;
        return $line =~ s{(?:\Q$self->{dir}\E|\Q$self->{top}\E)/}{}gr;
    });
}

sub run {
    my ($self, @command) = @_;
    my $said = "$self->{dir}/curl.stderr";
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open STDERR, '>', $said;
        exec @command or POSIX::_exit(127);
    }
    local $/ = undef;
    my $output = <$out> // '';
    close $out;
    return ($output, $self->read_file($said));
}

# The log is written after the answer has left, so wait for it. A request that never became one (a
# handshake that failed) has no line; its reason is then "?" and no expectation is met.
sub logged {
    my ($self, $server, $case, $count) = @_;
    my $file = "$self->{dir}/$server/cases.log";
    my @lines;
    $self->await(LOG_SECONDS, sub {
        @lines = grep { /^case=\Q$case\E\t/ } split /\n/, $self->read_file($file);
        return @lines >= $count;
    });
    my %none = map { $_ => '?' } keys %LOGGED;
    my %last = map { /\A(\w+)=(.*)\z/s ? ($1, $2) : () } split /\t/, $lines[-1] // '';
    return { %none, %last };
}

1;
