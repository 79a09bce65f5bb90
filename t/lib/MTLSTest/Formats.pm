# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Formats;

# What a backend does with the headers that carry an identity: readers written from the grammars of
# those who defined them, and from nothing of ours. They die on what the grammar does not allow.

use strict;
use warnings;
use Exporter 'import';
use MIME::Base64 qw(decode_base64);
use Socket       qw(inet_pton AF_INET AF_INET6);

our @EXPORT_OK = qw(byte_sequence byte_sequences dn xfcc xfcc_readers traefik_info
    traefik_san_type aws_validity percent_decoded pem_der base64_der base64_list certificate_parts
    pem_certificates next_tlv);

# ---- bytes ----

sub base64_der {
    my ($text) = @_;
    $text =~ m{\A(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\z}
        or die "no base64: $text\n";
    return decode_base64($text);
}

sub base64_list {
    my ($text) = @_;
    return map { base64_der($_) } split /,/, $text, -1;
}

sub percent_decoded {
    my ($text) = @_;
    $text =~ /%(?![0-9A-Fa-f]{2})/ and die "a percent sign without its digits: $text\n";
    $text =~ s/%(..)/chr hex $1/ge;
    return $text;
}

# RFC 7468, strictly: the DER of every certificate of a text that holds nothing else.
sub pem_certificates {
    my ($text) = @_;
    my @found;
    while ($text =~ m{\G-----BEGIN[ ]CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)
                      -----END[ ]CERTIFICATE-----\n}gcx) {
        (my $body = $1) =~ tr/\n//d;
        push @found, base64_der($body);
    }
    @found && pos $text == length $text or die "no PEM: $text\n";
    return @found;
}

sub pem_der {
    my ($text) = @_;
    my ($der, @more) = pem_certificates($text);
    @more and die "more than one certificate\n";
    return $der;
}

# ---- RFC 8941: Byte Sequences ----

sub byte_sequence {
    my ($text) = @_;
    $text =~ m{\A:([A-Za-z0-9+/=]*):\z} or die "no Byte Sequence: $text\n";
    return base64_der($1);
}

sub byte_sequences {
    my ($text) = @_;
    return map { byte_sequence($_) } split /[ \t]*,[ \t]*/, $text, -1;
}

# ---- RFC 4514: RDNs, each a list of [type, value]; the value of a hexstring is a reference ----

my $SPECIAL = qr{[ #="+,;<>\\]};

sub dn_value {
    my ($text) = @_;
    return \pack 'H*', $1 if $$text =~ /\G#((?:[0-9A-Fa-f]{2})+)(?=[,+]|\z)/gc;
    my $begin = pos $$text;
    my $value = '';
    while ($$text =~ /\G(?:([^\\"+,;<>\0])|\\([0-9A-Fa-f]{2})|\\($SPECIAL))/gc) {
        $value .= $1 // (defined $2 ? chr hex $2 : $3);
    }
    my $raw = substr $$text, $begin, pos($$text) - $begin;
    $raw =~ /\A[ #]/              and die "an unescaped blank or # leads: $raw\n";
    $raw =~ /(?:\A|[^\\])[ ]\z/   and die "an unescaped blank trails: $raw\n";
    $raw =~ /[^\x20-\x7e]/        and die "a byte that is no printable ASCII\n";
    return $value;
}

sub dn {
    my ($text) = @_;
    my @rdns = ([]);
    pos($text) = 0;
    while (1) {
        $text =~ /\G([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)=/gc
            or die 'no attribute type at ' . substr($text, pos $text) . "\n";
        push @{ $rdns[-1] }, [$1, dn_value(\$text)];
        if    ($text =~ /\G\+/gc) { next }
        elsif ($text =~ /\G,/gc)  { push @rdns, [] }
        elsif (pos $text == length $text) { return @rdns }
        else { die 'neither , nor + at ' . substr($text, pos $text) . "\n" }
    }
}

# ---- XFCC, as Envoy documents it: a list of elements, each a list of [key, value] ----

# How readers differ: in what a backslash means between quotes.
my %ESCAPE = (
    documented => qr/\\(")/,     # \" is a quote, anything else stands for itself
    unescaping => qr/\\(.)/s,    # as in every other quoted string
    naive      => qr/(?!)/,      # there are none
);

sub xfcc_readers { return sort keys %ESCAPE }

sub xfcc {
    my ($text, $reader) = @_;
    my $escape   = $ESCAPE{ $reader // 'documented' };
    my @elements = ([]);
    pos($text) = 0;
    while (1) {
        $text =~ /\G(By|Hash|Cert|Chain|Subject|URI|DNS)=/gci
            or die 'no key at ' . substr($text, pos $text, 40) . "\n";
        my ($key, $value) = ($1, '');
        if ($text =~ /\G"/gc) {
            $value .= $1 while $text =~ /\G$escape/gc || $text =~ /\G([^"])/gcs;
            $text =~ /\G"/gc or die "a quote is not closed\n";
        } elsif ($text =~ /\G([^",;=\s]*)/gc) {
            $value = $1;
        }
        push @{ $elements[-1] }, [$key, $value];
        if    ($text =~ /\G;/gc) { next }
        elsif ($text =~ /\G,/gc) { push @elements, [] }
        elsif (pos $text == length $text) { return @elements }
        else { die 'neither , nor ; at ' . substr($text, pos $text, 40) . "\n" }
    }
}

# ---- Traefik: fields of the one certificate; those of names and SAN are lists ----

sub traefik_info {
    my ($text) = @_;
    $text =~ /\A[A-Za-z0-9\-_.~%+]*\z/ or die "not escaped for a URL: $text\n";
    $text =~ tr/+/ /;
    $text = percent_decoded($text);
    my %fields;
    for my $field (split /;/, $text, -1) {
        $field =~ /\A(Subject|Issuer|SerialNumber|NB|NA|SAN)="([^"]+)"\z/s
            or die "no field: $field\n";
        exists $fields{$1} and die "twice: $1\n";
        $fields{$1} = $2;
    }
    for my $name (grep { exists $fields{$_} } qw(Subject Issuer)) {
        $fields{$name} = [
            map { /\A(DC|C|ST|L|O|OU|SN|CN)=(.+)\z/s ? [$1, $2] : die "no part: $_\n" }
                split /,/, $fields{$name}, -1
        ];
    }
    $fields{SAN} = [split /,/, $fields{SAN}, -1] if exists $fields{SAN};
    return \%fields;
}

# What a reader takes an entry for that has nothing but its text.
sub traefik_san_type {
    my ($text) = @_;
    return 'ip'    if defined inet_pton(AF_INET, $text) || defined inet_pton(AF_INET6, $text);
    return 'ip'    if $text =~ /\A(?:(?:0[xX][0-9A-Fa-f]*|[0-9]+)(?:\.|\z))+\z/;    # inet_aton()
    return 'email' if $text =~ /@/;
    return 'uri'   if $text =~ m{\A[A-Za-z][A-Za-z0-9+.-]*:};
    return 'dns'   if $text =~ /\A[A-Za-z0-9*_.-]+\z/;
    return 'none';
}

# ---- AWS ----

sub aws_validity {
    my ($text) = @_;
    my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;
    $text =~ /\ANotBefore=($time);NotAfter=($time)\z/ or die "no validity: $text\n";
    return ($1, $2);
}

# ---- DER, as far as it takes to find the parts of a certificate ----

# How long the head of the element at a place is, and how long the whole of it.
sub next_tlv {
    my ($der, $at) = @_;
    my $length = ord substr $$der, $at + 1, 1;
    my $head   = 2;
    if ($length & 0x80) {
        my $n = $length & 0x7f;
        $length = hex unpack 'H*', substr $$der, $at + 2, $n;
        $head += $n;
    }
    return ($head, $head + $length);
}

# The DER of the names of issuer and subject, and the bytes of the serial number.
sub certificate_parts {
    my ($der) = @_;
    my ($head) = next_tlv(\$der, 0);
    my $at = $head;
    ($head) = next_tlv(\$der, $at);
    $at += $head;
    my @parts;
    for (0 .. 6) {
        my (undef, $whole) = next_tlv(\$der, $at);
        push @parts, substr $der, $at, $whole;
        $at += $whole;
    }
    shift @parts if ord $parts[0] == 0xa0;    # the version
    my ($serial, undef, $issuer, undef, $subject) = @parts;
    my ($skip) = next_tlv(\$serial, 0);
    return { serial => substr($serial, $skip), issuer => $issuer, subject => $subject };
}

1;
