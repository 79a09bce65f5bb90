# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Client;

# One TLS connection with a client certificate, driven through `openssl s_client`, so that nothing
# but the openssl command is needed. Requests are never pipelined: httpd holds back its writes while
# a next request is already waiting, and that would measure something no keep-alive client sees.

use strict;
use warnings;
use Errno ();
use IPC::Open3 qw(open3);
use Symbol qw(gensym);

# Seconds for one response: under callgrind httpd is 50 times slower.
use constant DEADLINE => 600;

# port, pki, chain, log; certificate: its name; session_out, session_in: files of a TLS session
sub connect {
    my ($class, %arg) = @_;
    my ($pki, $cert) = ($arg{pki}, $arg{certificate});
    my @command = (
        'openssl', 's_client', '-quiet', '-connect', "127.0.0.1:$arg{port}",
        '-servername', 'gateway.test', '-CAfile', "$pki/root.crt", '-verify_return_error',
        '-cert', "$pki/$cert.crt", '-key', "$pki/$cert.key", '-cert_chain', $arg{chain},
        $arg{session_out} ? ('-sess_out', $arg{session_out}) : (),
        $arg{session_in}  ? ('-sess_in',  $arg{session_in})  : (),
    );
    my ($in, $out, $err) = (undef, undef, gensym);
    open my $log, '>>', $arg{log} or die "$arg{log}: $!\n";
    my $pid = open3($in, $out, '>&' . fileno $log, @command);
    binmode $_ for $in, $out;
    return bless { pid => $pid, in => $in, out => $out, buffer => '' }, $class;
}

# Sends one request and waits for the whole response. Returns status, body.
sub request {
    my ($self, $method, $path) = @_;
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "no answer to $method $path in ${\DEADLINE} s\n" };
    alarm DEADLINE;
    my @answer = eval { $self->_exchange($method, $path) };
    my $error  = $@;
    alarm 0;
    die $error if $error;
    return @answer;
}

sub _exchange {
    my ($self, $method, $path) = @_;
    my $text = join "\r\n", "$method $path HTTP/1.1", 'Host: gateway.test', 'User-Agent: bench',
        'Accept: */*', '', '';
    my $sent = syswrite $self->{in}, $text;
    die "cannot send $method $path: connection is gone\n" if !defined $sent;
    my $head = $self->_take_head;
    my ($status) = $head =~ m{\AHTTP/1\.1 (\d{3})} or die "not an HTTP response: $head\n";
    my ($length) = $head =~ m{^Content-Length: *(\d+)}mi;
    return ($status, $self->_take($length // 0));
}

sub close {
    my ($self) = @_;
    return if !$self->{pid};
    CORE::close $self->{in};
    kill 'TERM', $self->{pid};
    waitpid delete $self->{pid}, 0;
    CORE::close $self->{out};
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->close;
    return;
}

sub _take_head {
    my ($self) = @_;
    $self->_fill while index($self->{buffer}, "\r\n\r\n") < 0;
    return $self->_take(index($self->{buffer}, "\r\n\r\n") + 4);
}

sub _take {
    my ($self, $length) = @_;
    $self->_fill while length $self->{buffer} < $length;
    return substr $self->{buffer}, 0, $length, '';
}

sub _fill {
    my ($self) = @_;
    my $read;
    do {
        $read = sysread $self->{out}, $self->{buffer}, 65536, length $self->{buffer};
    } while (!defined $read && $!{EINTR});
    die "the server closed the connection\n" if !$read;
    return;
}

1;
