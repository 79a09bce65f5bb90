# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Backend;

# A backend that answers a request with the very bytes it received, so that a test sees what the
# gateway sent; the status is 200, or NNN where the path holds /status/NNN. With "record" it only
# records, and with "serve" it is whatever that code makes of a connection.
# MTLSTest::TLSBackend answers so behind TLS.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use MTLSTest::Seen;

use constant { PATIENCE => 25, QUIET => 1 };

my @STARTED;

sub start {
    my ($class, %o) = @_;
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => 0,
        Listen    => 16,
        Proto     => 'tcp'
    ) or die "cannot listen: $!\n";
    my $self  = bless { port => $listener->sockport }, $class;
    my $serve = $o{serve} // ($o{record} ? sub { record($_[0], $o{record}) } : \&echo);
    my $pid   = fork      // die "cannot fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        $SIG{CHLD} = $SIG{PIPE} = 'IGNORE';
        while (1) {
            my $client = $listener->accept or next;
            next if fork // 1;
            eval { $serve->($client) };
            POSIX::_exit(0);
        }
    }
    $self->{pid} = $pid;
    push @STARTED, $self;
    return $self;
}

sub port { return $_[0]{port} }

sub echo {
    my ($client, @told) = @_;
    my $buffer = '';
    while (1) {
        while ($buffer !~ /\r\n\r\n/) {
            sysread($client, $buffer, 65_536, length $buffer) or return;
        }
        $buffer =~ s/\A(.*?\r\n\r\n)//s;
        my $head     = $1;
        my ($length) = $head =~ /^content-length:\s*(\d+)/mi;
        my $body     = '';
        print {$client} "HTTP/1.1 100 Continue\r\n\r\n" if $head =~ /^expect:\s*100-continue/mi;
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
        my $seen = MTLSTest::Seen->new($head)->joined('X-Client-Name');
        my ($status) = $head =~ m{\A\S+ \S*/status/([2-5]\d\d)};
        print {$client} join "\r\n", 'HTTP/1.1 ' . ($status // 200) . ' As-Asked',
            'Content-Type: text/plain',
            "X-Seen: $seen", @told, 'Content-Length: ' . length $text, '',
            $head =~ /\AHEAD / ? '' : $text;
    }
    return;
}

sub record {
    my ($client, $file) = @_;
    my $select = IO::Select->new($client);
    my ($all, $wait) = ('', PATIENCE);
    while (!is_whole($all) && $select->can_read($wait)) {
        sysread($client, $all, 65_536, length $all) or last;
        $wait = QUIET if speaks_http($all);
    }
    open my $fh, '>:raw', "$file.new" or return;
    print {$fh} $all;
    close $fh;
    rename "$file.new", $file;
    return;
}

sub speaks_http { my ($bytes) = @_; return $bytes =~ /\A[A-Z]+ / }

# Whether it is a request of a binary protocol to its last byte, without a body: AJP, FastCGI with
# the empty record that ends the body, uwsgi, SCGI. HTTP never is, for more may follow.
sub is_whole {
    my ($bytes) = @_;
    return length $bytes >= 4 + unpack('x2n', $bytes) if $bytes =~ /\A\x12\x34../s;
    return $bytes =~ /\x01\x05..\0\0..\z/s            if $bytes =~ /\A\x01\x01/;
    return length $bytes >= 4 + unpack('xv', $bytes)  if $bytes =~ /\A\0.../s;
    return $bytes =~ /\A(\d+):/ && length $bytes >= $+[0] + $1 + 1;
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
