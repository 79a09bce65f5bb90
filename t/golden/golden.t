#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
#
# What backends get of a set of certificates, in every format, byte for byte; and the answers that
# the specifications and the documentation of other gateways give for theirs. Run by `make check`.
# GOLDEN_ACCEPT=1 writes the expected texts anew: read the difference before it is committed.
use strict;
use warnings;
use Test::More;
use Digest::SHA  qw(sha256 sha256_hex);
use MIME::Base64 qw(encode_base64);

my $srcdir;
BEGIN { $srcdir = $ENV{srcdir} // '.' }
use lib "$srcdir/t/lib";
use MTLSTest::Formats qw(byte_sequence byte_sequences percent_decoded pem_certificates pem_der
    traefik_info);

my $golden = "$srcdir/t/golden";

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

sub formats_of {
    my ($name) = @_;
    open my $out, '-|', 't/golden/formats', '--by', 'spiffe://lab.carcano.corp/gateway',
        '--domain', 'lab.carcano.corp', "$golden/$name.pem"
        or die "t/golden/formats: $!";
    binmode $out;
    local $/;
    my $text = <$out>;
    close $out or die "t/golden/formats failed for $name";
    return $text;
}

# ---- byte for byte ----

my %text;
my @names = qw(partner device legacy rfc9440 seattle cheese);
for my $name (@names) {
    $text{$name} = formats_of($name);
    if ($ENV{GOLDEN_ACCEPT}) {
        open my $out, '>:raw', "$golden/$name.txt" or die "$name.txt: $!";
        print {$out} $text{$name};
        close $out or die "$name.txt: $!";
    }
    is($text{$name}, slurp("$golden/$name.txt"), "$name: every format is as it was");
    is(() = $text{$name} =~ /^== (?:rfc9440|xfcc|google|aws-alb|ingress-nginx|traefik|env)$/mg, 7,
        "$name: all formats are there");
}

# The headers of one format.
sub headers {
    my ($name, $format) = @_;
    my ($part) = $text{$name} =~ /^== \Q$format\E\n(.*?)^(?===)/ms or die "$name has no $format";
    return { $part =~ /^([\w-]+): (.*)$/mg };
}

# ---- RFC 9440, appendix A ----

my $figures = slurp("$golden/rfc9440.figures");
$figures =~ s/\n //g;    # lines of the figure are folded with one blank
my %figure = $figures =~ /^([\w-]+): (.*)$/mg;
is(scalar keys %figure, 2, 'the figures of RFC 9440 are there');
is_deeply(headers('rfc9440', 'rfc9440 chain'), \%figure,
    'RFC 9440: both headers are those of its example');
is_deeply(
    headers('rfc9440', 'rfc9440'),
    { 'Client-Cert' => $figure{'Client-Cert'} },
    'RFC 9440: without its chain'
);
my ($leaf, @above) = pem_certificates(slurp("$golden/rfc9440.pem"));
is(length $leaf, 428, 'RFC 9440: the certificate has its length');
is(length $figure{'Client-Cert'}, 574, 'RFC 9440: so has the header');
is(
    sha256_hex($leaf),
    'bfaf1f7e070f9fa8dd62905f158da73f84a1136624fbafcc9393c8f7287a69eb',
    'RFC 9440: and its digest'
);
ok(byte_sequence($figure{'Client-Cert'}) eq $leaf, 'RFC 9440: the header is the certificate');
is_deeply(
    [map { sha256_hex($_) } byte_sequences($figure{'Client-Cert-Chain'})],
    [map { sha256_hex($_) } @above],
    'RFC 9440: the chain is what stands above it'
);
my $google = headers('rfc9440', 'google');
is($google->{'X-Client-Cert-Hash'}, 'v68ffgcPn6jdYpBfFY2nP4ShE2Yk+6/Mk5PI9yh6aes=',
    'RFC 9440: its digest as Google writes it');
is($google->{'X-Client-Cert-Leaf'}, $figure{'Client-Cert'}, 'google: the leaf is that of RFC 9440');
is($google->{'X-Client-Cert-Chain'}, $figure{'Client-Cert-Chain'}, 'google: so is the chain');

# ---- the examples of other gateways ----

my $aws = headers('seattle', 'aws-alb');
my %documented = (
    'X-Amzn-Mtls-Clientcert-Serial-Number' => '03A5B1',
    'X-Amzn-Mtls-Clientcert-Issuer' =>
        'CN=rootcamtls.com,OU=rootCA,O=mTLS,L=Seattle,ST=Washington,C=US',
    'X-Amzn-Mtls-Clientcert-Subject'  => 'CN=client_.com,OU=client-3,O=mTLS,ST=Washington,C=US',
    'X-Amzn-Mtls-Clientcert-Validity' =>
        'NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z',
);
is($aws->{$_}, $documented{$_}, "$_ is that of the documentation") for sort keys %documented;
like(
    $aws->{'X-Amzn-Mtls-Clientcert-Leaf'},
    qr{\A-----BEGIN%20CERTIFICATE-----%0AMII[\w+/%]+={0,2}%0A-----END%20CERTIFICATE-----%0A\z},
    'X-Amzn-Mtls-Clientcert-Leaf has the form of the documentation'
);

my $info = percent_decoded(
    headers('cheese', 'traefik')->{'X-Forwarded-Tls-Client-Cert-Info'} =~ tr/+/ /r);
is(
    $info,
    'Subject="DC=org,DC=cheese,C=FR,C=US,ST=Cheese org state,ST=Cheese com state,L=TOULOUSE,'
        . 'L=LYON,O=Cheese,O=Cheese 2,OU=Simple Signing Section,OU=Simple Signing Section 2,'
        . 'CN=*.cheese.com";'
        . 'Issuer="DC=org,DC=cheese,C=FR,C=US,O=Cheese,O=Cheese 2,CN=Simple Signing CA 2";'
        . 'SerialNumber="1";NB="1544094616";NA="1607166616";'
        . 'SAN="*.cheese.org,*.cheese.net,*.cheese.com,test@cheese.org,test@cheese.net,10.0.1.0,'
        . '10.0.1.2"',
    'X-Forwarded-Tls-Client-Cert-Info is that of the documentation'
);

# ---- what is left out ----

my $all = join '', values %text;
unlike($all, qr/\(null\)|^[\w-]+: ?$/m, 'no header is empty or "(null)"');
is(headers('device', 'traefik')->{'X-Forwarded-Tls-Client-Cert-Info'} =~ /SAN%3D%22([^%]+)/ && $1,
    'urn', 'traefik: an alternative name that could be another stays away');
my $device = traefik_info(headers('device', 'traefik')->{'X-Forwarded-Tls-Client-Cert-Info'});
is_deeply($device->{SAN}, ['urn:dev:mac:0024befffe804ff1'], 'traefik: and only those stay');
my $legacy = headers('legacy', 'xfcc set by,hash,cert,chain,subject,uri,dns');
my ($chain) = $legacy->{'X-Forwarded-Client-Cert'} =~ /;Chain="([^"]*)"/;
is(scalar(pem_certificates(percent_decoded($chain))),
    1, 'xfcc: the chain of a certificate that is allowed as it is is itself');

done_testing();
