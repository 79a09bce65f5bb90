# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Traces;

# Whether what a backend has received gives a certificate away, in whatever way.

use strict;
use warnings;
use Exporter 'import';
use MIME::Base64 qw(encode_base64);
use MTLSTest;

our @EXPORT_OK = qw(base64_of traces_of signs_in);

my %signs;

# Its DER, in one line.
sub base64_of {
    my ($cert) = @_;
    return encode_base64(openssl('x509', '-in', pki_dir() . "/$cert.crt", '-outform', 'DER'), '');
}

sub common_name {
    my ($cert) = @_;
    my ($cn)   = openssl('x509', '-in', pki_dir() . "/$cert.crt",
        '-noout', '-subject', '-nameopt', 'multiline') =~ /commonName\s*= (.*)/;
    return $cn;
}

sub signs_of {
    my ($cert) = @_;
    return $signs{$cert} //= {
        certificate => substr(base64_of($cert), -60),
        serial      => serial_of($cert),
        sha256      => sha256_of($cert),
        name        => common_name($cert)
    };
}

# What of a certificate stands in a text: '' for nothing.
sub signs_in {
    my ($cert, $text) = @_;
    my $plain = lc $text =~ s/%0A|%20|\s//gr;
    my $sign  = signs_of($cert);
    return join ' ', grep { index($plain, lc $sign->{$_}) >= 0 } sort keys %$sign;
}

# The same of a MTLSTest::Seen, and variables and headers that only an allowed one has.
sub traces_of {
    my ($cert, $seen) = @_;
    my @names = grep { /\A(?:REDIRECT_)*(?:SSL_CLIENT_(?!VERIFY)|MTLS_(?:SUBJECT|ISSUER|CERT|S))/ }
        sort keys %{ $seen->env };
    return join ' ', grep { $_ ne '' } signs_in($cert, $seen->text), @names,
        map { $_->[0] } $seen->matching(qr/\AX.Client/i);
}

1;
