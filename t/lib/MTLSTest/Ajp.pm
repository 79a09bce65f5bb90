# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Ajp;

# A servlet container as far as its connector goes: reads an AJP/1.3 request to the last attribute
# and answers with what it has read. The head looks like HTTP's; below it stands one NAME=value a
# line, with the names Tomcat's request has for them.
#
#     MTLSTest::Backend->start(serve => \&MTLSTest::Ajp::serve)

use strict;
use warnings;

use constant { FORWARD_REQUEST => 2, CPING        => 10 };
use constant { SEND_BODY_CHUNK => 3, SEND_HEADERS => 4, END_RESPONSE => 5, GET_BODY_CHUNK => 6 };
use constant { CPONG       => 9, ARE_DONE  => 0xFF, REQ_ATTRIBUTE => 0x0A, SSL_KEY_SIZE   => 0x0B };
use constant { NULL_STRING => 0xFFFF, MOST => 8186 };

# Methods and headers that have a number, from 1 on.
my @METHODS = qw(OPTIONS GET HEAD POST PUT DELETE TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK
    UNLOCK ACL REPORT VERSION-CONTROL CHECKIN CHECKOUT UNCHECKOUT SEARCH MKWORKSPACE UPDATE LABEL
    MERGE BASELINE_CONTROL MKACTIVITY);
my @HEADERS = qw(Accept Accept-Charset Accept-Encoding Accept-Language Authorization Connection
    Content-Type Content-Length Cookie Cookie2 Host Pragma Referer User-Agent);
my %ATTRIBUTES = (
    1    => 'context',
    2    => 'servlet_path',
    3    => 'remote_user',
    4    => 'auth_type',
    5    => 'query_string',
    6    => 'jvm_route',
    7    => 'ssl_cert',
    8    => 'ssl_cipher',
    9    => 'ssl_session',
    0x0C => 'secret',
    0x0D => 'stored_method'
);

# ---- bytes ----

sub read_exactly {
    my ($client, $n) = @_;
    my $bytes = '';
    while (length $bytes < $n) {
        sysread($client, $bytes, $n - length $bytes, length $bytes) or return;
    }
    return $bytes;
}

# One packet of the gateway; undef at the end of the connection.
sub read_packet {
    my ($client) = @_;
    my ($magic, $length) = unpack 'nn', read_exactly($client, 4) // return;
    $magic == 0x1234 or die "not AJP\n";
    return read_exactly($client, $length);
}

sub take_byte  { my ($in) = @_; return unpack 'C', substr $$in, 0, 1, '' }
sub take_short { my ($in) = @_; return unpack 'n', substr $$in, 0, 2, '' }

sub take_string {
    my ($in) = @_;
    my $length = take_short($in);
    return if $length == NULL_STRING;
    my $text = substr $$in, 0, $length, '';
    take_byte($in) == 0 or die "a string without its end\n";
    return $text;
}

sub string { my ($text) = @_; return pack('n', length $text) . "$text\0" }

sub send_packet {
    my ($client, $type, $payload) = @_;
    syswrite $client, pack('a2nC', 'AB', 1 + length $payload, $type) . $payload;
    return;
}

# ---- a request ----

sub read_headers {
    my ($in) = @_;
    my @headers;
    for (1 .. take_short($in)) {
        my $name =
            (unpack 'n', $$in) >> 8 == 0xA0
            ? $HEADERS[(take_short($in) & 0xFF) - 1]
            : take_string($in);
        push @headers, [$name, take_string($in)];
    }
    return @headers;
}

sub read_attributes {
    my ($in) = @_;
    my @attributes;
    while ((my $code = take_byte($in)) != ARE_DONE) {
        if ($code == REQ_ATTRIBUTE) {
            my $name = take_string($in);
            push @attributes, [$name, take_string($in)];
        }
        elsif ($code == SSL_KEY_SIZE) { push @attributes, ['ssl_key_size', take_short($in)] }
        else {
            push @attributes, [$ATTRIBUTES{$code} // die("attribute $code\n"), take_string($in)];
        }
    }
    length $$in and die "bytes behind the end\n";
    return @attributes;
}

sub read_request {
    my ($packet) = @_;
    my $in = \$packet;
    take_byte($in) == FORWARD_REQUEST or die "not a request\n";
    my %request = (method => $METHODS[take_byte($in) - 1]);
    $request{$_}         = take_string($in) for qw(protocol uri address host name);
    $request{port}       = take_short($in);
    $request{ssl}        = take_byte($in);
    $request{headers}    = [read_headers($in)];
    $request{attributes} = [read_attributes($in)];
    my ($stored) = map { $_->[1] } grep { $_->[0] eq 'stored_method' } @{ $request{attributes} };
    $request{method} = $stored // $request{method};
    return \%request;
}

# The first piece of a body of known length comes unasked, everything else on demand.
sub read_body {
    my ($client, $request) = @_;
    my %header = map { lc $_->[0] => $_->[1] } @{ $request->{headers} };
    my $length = $header{'content-length'} // 0;
    my $known  = defined $header{'content-length'};
    my $body   = '';
    return $body if !$length && !defined $header{'transfer-encoding'};
    while (1) {
        send_packet($client, GET_BODY_CHUNK, pack 'n', MOST) if !$known || length $body;
        my $packet = read_packet($client) // last;
        my $n      = take_short(\$packet);
        last if !$n;
        $body .= substr $packet, 0, $n;
        last if $known && length $body >= $length;
    }
    return $body;
}

# ---- the answer ----

sub text_of {
    my ($request, $body) = @_;
    my $head = join "\r\n", "$request->{method} $request->{uri} $request->{protocol}",
        map({ "$_->[0]: $_->[1]" } @{ $request->{headers} }), '', '';
    my @lines = map { "$_->[0]=$_->[1]" } @{ $request->{attributes} };
    return join "\n", $head . join("\n", @lines), 'body=' . length $body, '';
}

sub answer {
    my ($client, $request, $text) = @_;
    my @seen     = map { $_->[1] } grep { lc $_->[0] eq 'x-client-name' } @{ $request->{headers} };
    my %fields   = ('Content-Type' => 'text/plain', 'X-Seen' => join '|', @seen);
    my ($status) = $request->{uri} =~ m{/status/([2-5]\d\d)};
    send_packet(
        $client, SEND_HEADERS,
        pack('n', $status // 200) . string('As-Asked') . pack('n', scalar keys %fields) . join '',
        map { string($_) . string($fields{$_}) } sort keys %fields
    );
    while ($request->{method} ne 'HEAD' && length $text) {
        my $piece = substr $text, 0, 8000, '';
        send_packet($client, SEND_BODY_CHUNK, pack('n', length $piece) . "$piece\0");
    }
    send_packet($client, END_RESPONSE, "\1");
    return;
}

sub serve {
    my ($client) = @_;
    while (defined(my $packet = read_packet($client))) {
        if (ord $packet == CPING) { send_packet($client, CPONG, ''); next }
        my $request = read_request($packet);
        answer($client, $request, text_of($request, read_body($client, $request)));
    }
    return;
}

1;
