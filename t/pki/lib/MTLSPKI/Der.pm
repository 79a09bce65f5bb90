# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSPKI::Der;

# A DER writer that refuses nothing. openssl's own tools will not issue most of what an attacker
# sends (an embedded NUL, a UPN of the wrong type, a second SAN extension), so certificates are put
# together here byte by byte; openssl only makes the keys and signs.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(tlv seq set oid octets bits integer boolean utf8 printable ia5 t61 bmp universal
    explicit dns uri email ip upn othername dirname name time_of extension hex_to_bytes
    point_of);

my %OID = (
    CN                     => '2.5.4.3',
    SN                     => '2.5.4.4',
    serialNumber           => '2.5.4.5',
    C                      => '2.5.4.6',
    L                      => '2.5.4.7',
    ST                     => '2.5.4.8',
    O                      => '2.5.4.10',
    OU                     => '2.5.4.11',
    title                  => '2.5.4.12',
    GN                     => '2.5.4.42',
    organizationIdentifier => '2.5.4.97',
    DC                     => '0.9.2342.19200300.100.1.25',
    UID                    => '0.9.2342.19200300.100.1.1',
    emailAddress           => '1.2.840.113549.1.9.1',
    clientAuth             => '1.3.6.1.5.5.7.3.2',
    serverAuth             => '1.3.6.1.5.5.7.3.1',
    emailProtection        => '1.3.6.1.5.5.7.3.4',
    anyEKU                 => '2.5.29.37.0',
    UPN                    => '1.3.6.1.4.1.311.20.2.3',
    SmtpUTF8Mailbox        => '1.3.6.1.5.5.7.8.9',
);

sub length_octets {
    my ($n) = @_;
    return chr $n if $n < 0x80;
    (my $bytes = pack 'N', $n) =~ s/\A\0+//;
    return chr(0x80 | length $bytes) . $bytes;
}

sub tlv {
    my ($tag, @parts) = @_;
    my $body = join '', @parts;
    return chr($tag) . length_octets(length $body) . $body;
}

sub seq       { return tlv(0x30, @_) }
sub set       { return tlv(0x31, sort @_) }
sub octets    { return tlv(0x04, @_) }
sub boolean   { return tlv(0x01, $_[0] ? "\xff" : "\0") }
sub utf8      { return tlv(0x0c, @_) }
sub printable { return tlv(0x13, @_) }
sub t61       { return tlv(0x14, @_) }
sub ia5       { return tlv(0x16, @_) }

sub universal {
    return tlv(0x1c, map { pack 'N', $_ } @_);
}

sub bmp {
    return tlv(0x1e, map { pack 'n', $_ } @_);
}
sub explicit { my ($n, @parts) = @_; return tlv(0xa0 | $n, @parts) }

# Content octets as they are: negative, zero and oversized numbers are fixtures.
sub integer { return tlv(0x02, @_) }

sub bits { my ($bytes, $unused) = @_; return tlv(0x03, chr($unused // 0), $bytes) }

sub hex_to_bytes { my ($hex) = @_; $hex =~ tr/0-9a-fA-F//cd; return pack 'H*', $hex }

sub oid {
    my ($text) = @_;
    my ($first, $second, @rest) = split /\./, $OID{$text} // $text;
    return tlv(0x06, map { base128($_) } 40 * $first + $second, @rest);
}

sub base128 {
    my ($n) = @_;
    my @bytes = ($n & 0x7f);
    unshift @bytes, 0x80 | ($n & 0x7f) while $n >>= 7;
    return join '', map {chr} @bytes;
}

sub dns     { return tlv(0x82, @_) }
sub email   { return tlv(0x81, @_) }
sub uri     { return tlv(0x86, @_) }
sub ip      { return tlv(0x87, @_) }
sub dirname { return explicit(4, name(@_)) }

sub othername { my ($type, $value) = @_; return explicit(0, oid($type), explicit(0, $value)) }
sub upn       { return othername('UPN', utf8(@_)) }

# (CN => 'x', OU => ref to ready-made DER value): one RDN each. [CN => 'x', OU => 'y']: one RDN of
# several values.
sub name {
    my (@parts) = @_;
    my @rdns;
    while (@parts) {
        my $item = shift @parts;
        push @rdns, set(ref $item ? attributes(@$item) : attributes($item, shift @parts));
    }
    return seq(@rdns);
}

sub attributes {
    my (@parts) = @_;
    my @out;
    while (my ($type, $value) = splice @parts, 0, 2) {
        push @out, seq(oid($type), attribute_value($type, $value));
    }
    return @out;
}

sub attribute_value {
    my ($type, $value) = @_;
    return $$value           if ref $value;
    return printable($value) if $type eq 'C'  || $type eq 'serialNumber';
    return ia5($value)       if $type eq 'DC' || $type eq 'emailAddress';
    return utf8($value);
}

# RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
sub time_of {
    my ($epoch) = @_;
    my ($s, $m, $h, $day, $month, $year) = gmtime $epoch;
    $year += 1900;
    my $rest = sprintf '%02d%02d%02d%02d%02dZ', $month + 1, $day, $h, $m, $s;
    return $year < 2050
        ? tlv(0x17, sprintf('%02d', $year % 100) . $rest)
        : tlv(0x18, sprintf('%04d', $year) . $rest);
}

# A DistributionPointName that is nothing but a URI, tagged as in a DistributionPoint and in an
# issuingDistributionPoint alike.
sub point_of {
    my ($text) = @_;
    return explicit(0, explicit(0, uri("http://crl.carcano.test/$text.crl")));
}

sub extension {
    my ($type, $value, $critical) = @_;
    return seq(oid($type), $critical ? boolean(1) : (), octets($value));
}

1;
