# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::FastCGI;

# A FastCGI application in place of PHP: it answers with the variables it was given, as "name: value".

use strict;
use warnings;
use IO::Socket::INET;

# Types of records of the FastCGI specification.
use constant { TYPE_END => 3, TYPE_PARAMS => 4, TYPE_INPUT => 5, TYPE_OUTPUT => 6 };

# Returns its port.
sub start {
    my ($lab, $label) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 32)
        // die "no port for a FastCGI application: $!\n";
    $lab->spawn(sub {
        while (1) {
            my $peer = $listener->accept or next;
            eval { answer($peer, $label) };
            close $peer;
        }
    });
    return $listener->sockport;
}

sub bytes {
    my ($peer, $count) = @_;
    my $got = '';
    while (length $got < $count) {
        read($peer, $got, $count - length $got, length $got) or die "cut off\n";
    }
    return $got;
}

sub record {
    my ($peer) = @_;
    my (undef, $type, $id, $length, $padding) = unpack 'CCnnC', bytes($peer, 8);
    my $content = bytes($peer, $length);
    bytes($peer, $padding);
    return ($type, $id, $content);
}

# Names and values: each length is one byte, or four of which the first has its high bit set.
sub pairs {
    my ($text) = @_;
    my @pairs;
    while (length $text) {
        my @length = map {
            ord $text < 128
                ? unpack 'C', substr $text, 0, 1, ''
                : unpack('N', substr $text, 0, 4, '') & 0x7fff_ffff
        } 1 .. 2;
        push @pairs, [map { substr $text, 0, $_, '' } @length];
    }
    return @pairs;
}

sub answer {
    my ($peer, $label) = @_;
    local $SIG{ALRM} = sub { die "slow client\n" };
    alarm 60;
    binmode $peer;
    my ($params, $type, $id, $content) = ('');
    do {
        ($type, $id, $content) = record($peer);
        $params .= $content if $type == TYPE_PARAMS;
    } until $type == TYPE_INPUT && !length $content;
    my $body = join "\r\n", "backend: $label",
        (map { "$_->[0]: " . $_->[1] =~ s/\s+/ /gr } pairs($params)), '';
    my $text = "Content-Type: text/plain\r\n\r\n$body";
    $text = substr $text, 0, 65_000;
    print {$peer} pack('CCnnCx', 1, TYPE_OUTPUT, $id, length $text, 0), $text,
        pack('CCnnCx', 1, TYPE_OUTPUT, $id, 0, 0), pack('CCnnCxNCx3', 1, TYPE_END, $id, 8, 0, 0, 0);
    $peer->flush;
    alarm 0;
    return;
}

1;
