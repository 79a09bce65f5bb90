#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
#
# The formats of every certificate of t/pki, and of t/golden, against what the openssl command says
# of it. Run by `make check`.
use strict;
use warnings;
use Test::More;
use Digest::SHA  qw(sha256 sha256_hex);
use Math::BigInt;

my $srcdir;
BEGIN { $srcdir = $ENV{srcdir} // '.' }
use lib "$srcdir/t/lib";
use MTLSTest::Formats qw(byte_sequence byte_sequences base64_der base64_list percent_decoded pem_der
    pem_certificates certificate_parts next_tlv xfcc traefik_info);

my $pki = 't/pki/out';
system($^X, "$srcdir/t/pki/make-pki", $pki) == 0 or BAIL_OUT('make-pki failed');

sub output_of {
    my (@command) = @_;
    open my $out, '-|', @command or die "$command[0]: $!";
    binmode $out;
    local $/;
    my $text = <$out> // '';
    close $out or die "@command failed";
    return $text;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

# What openssl prints of the first certificate of a file.
sub openssl {
    my ($file) = @_;
    my $text = output_of(
        qw(openssl x509 -noout -in), $file,
        qw(-serial -subject -issuer -nameopt RFC2253 -dates -dateopt iso_8601)
    );
    my %said = $text =~ /^(\w+)=(.*)$/mg;
    return \%said;
}

sub headers_of {
    my ($block) = @_;
    my %of;
    while ($block =~ /^== (.*)\n((?:(?!==).*\n)*)/mg) {
        my ($format, $lines) = ($1, $2);
        next if $format eq 'env';
        my %headers = $lines =~ /^([\w-]+): (.*)$/mg;
        $of{$format} = \%headers;
    }
    return \%of;
}

# HTTP takes a blank at the end away, so it is written otherwise there.
sub over_http {
    my ($dn) = @_;
    $dn =~ s/ \z/20/;
    return length $dn ? $dn : undef;
}

sub google_time { my ($t) = @_; $t =~ s/ /T/; $t =~ s/Z\z/+00:00/; return $t }
sub aws_time    { my ($t) = @_; $t =~ s/ /T/; return $t }

# What openssl does not read, either.
sub without_trailer {
    my ($der) = @_;
    my (undef, $whole) = next_tlv(\$der, 0);
    return substr $der, 0, $whole;
}

# [name of the test, what we say, what is expected]: a certificate with a difference fails once.
sub comparisons {
    my ($file, $of) = @_;
    my $said = openssl($file);
    my ($leaf, @above) = map { without_trailer($_) } pem_certificates(slurp($file));
    my $parts = certificate_parts($leaf);
    my @between = @above[0 .. $#above - 1];
    my ($nginx, $aws, $google) = @{$of}{qw(ingress-nginx aws-alb google)};
    my $xfcc = $of->{'xfcc set by,hash,cert,chain,subject,uri,dns'}{'X-Forwarded-Client-Cert'};
    my %pair = map { @$_ } @{ (xfcc($xfcc))[0] };
    my ($traefik, $info) =
        @{ $of->{traefik} }{qw(X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info)};
    my ($from, $to) = @{$said}{qw(notBefore notAfter)};
    my $rfc = $of->{'rfc9440 chain'};
    # Without a chain it is one that is allowed as it is: nobody has verified its issuer.
    my $issuer = @above ? over_http($said->{issuer}) : undef;

    return (
        ['nginx subject', $nginx->{'ssl-client-subject-dn'}, over_http($said->{subject})],
        ['nginx issuer',  $nginx->{'ssl-client-issuer-dn'},  $issuer],
        ['nginx cert', pem_der(percent_decoded($nginx->{'ssl-client-cert'})), $leaf],
        ['AWS subject', $aws->{'X-Amzn-Mtls-Clientcert-Subject'}, over_http($said->{subject})],
        ['AWS issuer',  $aws->{'X-Amzn-Mtls-Clientcert-Issuer'},  $issuer],
        ['AWS serial', $aws->{'X-Amzn-Mtls-Clientcert-Serial-Number'}, $said->{serial}],
        [
            'AWS validity', $aws->{'X-Amzn-Mtls-Clientcert-Validity'},
            sprintf 'NotBefore=%s;NotAfter=%s', map { aws_time($_) } $from, $to
        ],
        ['AWS leaf', pem_der(percent_decoded($aws->{'X-Amzn-Mtls-Clientcert-Leaf'})), $leaf],
        ['RFC 9440 leaf', byte_sequence($rfc->{'Client-Cert'}), $leaf],
        [
            'RFC 9440 chain',
            join(' ', map { sha256_hex($_) } byte_sequences($rfc->{'Client-Cert-Chain'} // '')),
            join(' ', map { sha256_hex($_) } @above)
        ],
        ['google hash', base64_der($google->{'X-Client-Cert-Hash'}), sha256($leaf)],
        ['google serial', uc $google->{'X-Client-Cert-Serial-Number'}, $said->{serial}],
        ['google subject', name_of($google->{'X-Client-Cert-Subject-Dn'}), $parts->{subject}],
        [
            'google issuer', name_of($google->{'X-Client-Cert-Issuer-Dn'}),
            @above ? $parts->{issuer} : "0\0"
        ],
        ['google verified', $google->{'X-Client-Cert-Chain-Verified'}, @above ? 'true' : 'false'],
        ['google from', $google->{'X-Client-Cert-Valid-Not-Before'}, google_time($from)],
        ['google to',   $google->{'X-Client-Cert-Valid-Not-After'},  google_time($to)],
        ['google leaf', byte_sequence($google->{'X-Client-Cert-Leaf'}), $leaf],
        ['xfcc hash',   $pair{Hash}, sha256_hex($leaf)],
        ['xfcc cert',   pem_der(percent_decoded($pair{Cert})), $leaf],
        [
            'xfcc chain', join(' ', pem_certificates(percent_decoded($pair{Chain}))),
            join(' ', $leaf, @above)
        ],
        ['traefik certificates', join(' ', base64_list($traefik)), join(' ', $leaf, @between)],
        [
            'traefik serial', traefik_info($info)->{SerialNumber},
            Math::BigInt->from_hex($said->{serial} =~ s/-//r)->bstr
                =~ s/\A/$said->{serial} =~ m{-} ? '-' : ''/er
        ],
    );
}

# A name without attributes is left out; its DER is an empty SEQUENCE.
sub name_of {
    my ($base64) = @_;
    return defined $base64 ? base64_der($base64) : "0\0";
}

my @files = (glob("$pki/*-chain.crt"), glob("$srcdir/t/golden/*.pem"));
my %file_of = map { m{([^/]+)\z} ? ($1 => $_) : () } @files;
my (@compared, @refused);
for my $block (split /^(?=# )/m, output_of('t/golden/formats', @files)) {
    my ($name) = $block =~ /\A# (.*)\n/ or next;
    if ($block =~ /^refused: /m) {
        push @refused, $name;
        next;
    }
    my $of = headers_of($block);
    my @wrong = eval {
        map { $_->[0] } grep { ($_->[1] // '(none)') ne ($_->[2] // '(none)') }
            comparisons($file_of{$name}, $of);
    };
    is($@ || join(', ', @wrong), '', "$name: every format says what openssl says");
    push @compared, $name;
}
cmp_ok(scalar @compared, '>=', 150, 'certificates were compared');
note(scalar(@refused), ' malformed: ', join ' ', @refused);
cmp_ok(scalar @refused, '<', 40, 'most of them are well-formed');

done_testing();
