# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Backend;

# A backend that answers a request with the very bytes it received, so that a test sees what the
# gateway sent. "binary" only records, for protocols that are not HTTP.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();

use constant { PATIENCE => 10, QUIET => 0.3 };

my @STARTED;

sub start {
    my ($class, %o) = @_;
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => 0,
        Listen    => 16,
        Proto     => 'tcp'
    ) or die "cannot listen: $!\n";
    my $self = bless { port => $listener->sockport, record => $o{record} }, $class;
    my $pid  = fork // die "cannot fork: $!\n";
    if (!$pid) {
        $SIG{CHLD} = 'IGNORE';
        while (my $client = $listener->accept) {
            next if fork;
            eval { $self->{record} ? record($client, $self->{record}) : echo($client) };
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    push @STARTED, $self;
    return $self;
}

sub port { return $_[0]{port} }

sub echo {
    my ($client) = @_;
    my $buffer = '';
    while (1) {
        while ($buffer !~ /\r\n\r\n/) {
            sysread($client, $buffer, 65_536, length $buffer) or return;
        }
        $buffer =~ s/\A(.*?\r\n\r\n)//s;
        my $head     = $1;
        my ($length) = $head =~ /^content-length:\s*(\d+)/mi;
        my $body     = '';
        if ($head =~ /^transfer-encoding:\s*chunked/mi) {
            while ($buffer !~ /(?:\A|\r\n)0\r\n(?:.*\r\n)?\r\n/s) {
                sysread($client, $buffer, 65_536, length $buffer) or last;
            }
            ($body, $buffer) = ($buffer, '');
        }
        while (length $buffer < ($length // 0)) {
            sysread($client, $buffer, 65_536, length $buffer) or last;
        }
        $body .= substr $buffer, 0, $length // 0, '';
        my $text = $head . $body;
        if ($head =~ /^upgrade:\s*websocket/mi) {
            print {$client}
"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n$text";
            return;
        }
        print {$client} "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
            . length($text)
            . "\r\n\r\n$text";
    }
    return;
}

sub record {
    my ($client, $file) = @_;
    my $select = IO::Select->new($client);
    my ($all, $wait) = ('', PATIENCE);
    while ($select->can_read($wait)) {
        sysread($client, $all, 65_536, length $all) or last;
        $wait = QUIET;
    }
    open my $fh, '>:raw', "$file.new" or return;
    print {$fh} $all;
    close $fh;
    rename "$file.new", $file;
    return;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill TERM => $pid;
    waitpid $pid, 0;
    return;
}

END { local $?; $_->stop for @STARTED }

1;
