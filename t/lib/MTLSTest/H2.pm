# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::H2;

# An HTTP/2 connection that stays open between requests for as long as a test likes, which no
# command-line client offers. It knows just enough to ask; the answer is read from the server's log.

use strict;
use warnings;
use MTLSTest::Response;
use MTLSTest::Await qw(await);

use constant { DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7 };
use constant { END_STREAM => 1, ACK => 1, END_HEADERS => 4 };

my $counter = 0;

# An opened MTLSTest::TLS connection (alpn => ['h2']), and the log of its server.
sub new {
    my ($class, $tls, $log) = @_;
    my $self = bless { tls => $tls, log => $log, stream => -1 }, $class;
    $tls->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, ''));
    return $self;
}

# RFC 9113 4.1
sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

# RFC 7541 6.2.2: literal, not indexed, new name; lengths stay below 127.
sub fields {
    my (@pairs) = @_;
    my $block = '';
    while (my ($name, $value) = splice @pairs, 0, 2) {
        $block .= "\0" . chr(length $name) . $name . chr(length $value) . $value;
    }
    return $block;
}

sub next_frame {
    my ($self) = @_;
    my $tls = $self->{tls};
    while (length $tls->{buffer} < 9) { $tls->fill or return }
    my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $tls->take(9);
    my $length = $high << 16 | $low;
    while (length $tls->{buffer} < $length) { $tls->fill or return }
    return ($type, $flags, $stream, $tls->take($length));
}

# One request with more fields, until its stream ends. Returns what it was ended by (DATA, HEADERS,
# RST_STREAM, GOAWAY; undef: the connection), the body and its id.
sub exchange {
    my ($self, $path, @more) = @_;
    my $id     = sprintf 'h2-%d-%d-%d', $^T, $$, ++$counter;
    my $stream = $self->{stream} += 2;
    my $body   = '';
    $self->{tls}->send(
        frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            $stream,
            fields(
                ':method'    => 'GET',
                ':scheme'    => 'https',
                ':path'      => $path,
                ':authority' => 'gateway.test',
                'x-test-id'  => $id,
                @more
            )
        )
    );
    while (my ($type, $flags, $on, $payload) = $self->next_frame) {
        $self->{tls}->send(frame($type, ACK, 0, $type == PING ? $payload : ''))
            if ($type == SETTINGS || $type == PING) && !($flags & ACK);
        return ($type, $body, $id) if $type == GOAWAY;
        next                       if $on != $stream || $on == 0;
        $body .= $payload          if $type == DATA;
        return ($type, $body, $id)
            if $type == RST_STREAM || $type <= HEADERS && $flags & END_STREAM;
    }
    return (undef, $body, $id);
}

# The same; status, verdict and reason are those of the access log.
sub request {
    my ($self, $path, @more) = @_;
    my ($by,   $body, $id)   = $self->exchange($path, @more);

    # mod_http2 may not log a stream before something else happens on the connection.
    await(
        sub {
            return 1 if $self->{log}->knows($id);
            return !$self->{tls}->send(frame(PING, 0, 0, "\0" x 8));
        }
    );
    my $entry = $self->{log}->entry($id);
    return MTLSTest::Response->new(
        id     => $id,
        log    => $self->{log},
        status => $entry->{status} // 0,
        body   => $body
    );
}

1;
