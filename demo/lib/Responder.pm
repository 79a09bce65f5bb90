# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Responder;

# A CA's OCSP responder on 127.0.0.1. What it says comes from `openssl ocsp` and its list of what was
# issued and what revoked; left to itself, that program would listen on every address.

use strict;
use warnings;
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64);

# ca: a CA of the PKI; state: certificate => "good" or "revoked". Others are unknown to it.
sub start {
    my ($class, $lab, %arg) = @_;
    my $self = bless { lab => $lab, ca => $lab->pki . "/$arg{ca}" }, $class;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 32)
        // die "no port for a responder: $!\n";
    $self->{port} = $listener->sockport;
    $self->set(%{ $arg{state} });
    $self->{pid} = $lab->spawn(sub {
        while (1) {
            my $peer = $listener->accept or next;
            eval { $self->answer($peer) };
            close $peer;
        }
    });
    return $self;
}

sub host { return "127.0.0.1:$_[0]{port}" }
sub url  { return 'http://' . $_[0]->host . '/' }
sub stop { my ($self) = @_; $self->{lab}->stop($self->{pid}); return }

# The list as `openssl ca` keeps it.
sub set {
    my ($self, %state) = @_;
    $self->{state} = { %{ $self->{state} // {} }, %state };
    my $list = '';
    for my $name (sort keys %{ $self->{state} }) {
        my $revoked = $self->{state}{$name} eq 'revoked';
        $list .= join("\t", $revoked ? 'R' : 'V', '491231235959Z',
            $revoked ? '260101000000Z' : '', $self->{lab}->serial_of($name), 'unknown', "/CN=$name")
            . "\n";
    }
    $self->{lab}->write_file('ocsp/index.txt', $list);
    return;
}

# The request of a POST, or of a GET (RFC 6960 A.1).
sub request {
    my ($peer) = @_;
    my ($target, $length, $body) = ('', 0, '');
    while (defined(my $line = <$peer>)) {
        last if $line eq "\r\n";
        $target = $1 if $line =~ m{\AGET /(\S+)};
        $length = $1 if $line =~ /\AContent-Length: *(\d+)/i;
    }
    return decode_base64($target =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger) if $target;
    read $peer, $body, $length;
    return $body;
}

sub answer {
    my ($self, $peer) = @_;
    local $SIG{ALRM} = sub { die "slow client\n" };
    alarm 60;
    my ($lab, $ca) = @{$self}{qw(lab ca)};
    my $asked = $lab->write_file('ocsp/request.der', request($peer));
    my $dir = $lab->dir . '/ocsp';
    my ($said) = $lab->run(qw(openssl ocsp -ndays 1 -index), "$dir/index.txt", '-CA', "$ca.crt",
        '-rsigner', "$ca.crt", '-rkey', "$ca.key", '-reqin', $asked, '-respout', '-');
    print {$peer} "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n",
        "Connection: close\r\nContent-Length: ", length $said, "\r\n\r\n", $said;
    alarm 0;
    return;
}

1;
