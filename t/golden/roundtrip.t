#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
#
# Certificates with every byte that means something to somebody, in every place of a name and of
# the alternative names: what a backend reads out of each format is what was put into the
# certificate, or it is not there. Run by `make check`.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha256_hex);
use File::Temp  qw(tempdir);

my $srcdir;
BEGIN { $srcdir = $ENV{srcdir} // '.' }
use lib "$srcdir/t/lib";
use MTLSTest::Formats qw(byte_sequence base64_der base64_list percent_decoded pem_der
    pem_certificates certificate_parts dn xfcc xfcc_readers aws_validity traefik_info
    traefik_san_type);

# A reader of names that is nobody's of this project.
my $explode = eval { require Net::LDAP::Util; \&Net::LDAP::Util::ldap_explode_dn };

my %TYPE = (
    '2.5.4.3'  => 'CN',
    '2.5.4.7'  => 'L',
    '2.5.4.10' => 'O',
    '2.5.4.11' => 'OU',
);

# ---- what was put in ----

my $dir = tempdir(CLEANUP => 1);
my (%subject, %san);
open my $truth, '-|', 't/golden/awkward', $dir or die "t/golden/awkward: $!";
while (<$truth>) {
    if (/^(\S+) subject (\d+) (\S+) ([0-9a-f]*)$/) {
        push @{ $subject{$1}[$2 - 1] }, [$3, pack 'H*', $4];
    } elsif (/^(\S+) (dns|uri|email) ([0-9a-f]*)$/) {
        push @{ $san{$1}{$2} }, pack 'H*', $3;
    } else {
        die "awkward said: $_";
    }
}
close $truth or die 'awkward failed';

# ---- what comes out ----

my (%formats, %of);
my @files = map { "$dir/$_.pem" } sort keys %subject;
open my $out, '-|', 't/golden/formats', '--by', 'spiffe://x/gw,";', '--by', 'spiffe://x/gw', @files
    or die "t/golden/formats: $!";
binmode $out;
my ($name, $format) = ('', '');
while (<$out>) {
    chomp;
    if    (/^# (.*)\.pem$/) { $name = $1 }
    elsif (/^== (.*)$/)     { $format = $1 }
    elsif ($format ne 'env' && /^([\w-]+): (.*)$/) {
        exists $of{$name}{$format}{$1} and die "$name: $1 twice";
        $of{$name}{$format}{$1} = $2;
    } elsif ($format ne 'env') {
        die "$name, $format: a line of a header that was split: $_";
    }
}
close $out or die 'formats failed';

# ---- how both are compared ----

my @problems;
my $exploded = 0;
sub check { my ($good, $what) = @_; push @problems, $what unless $good; return }

# As a list of RDNs in the order of RFC 4514, of which each is a set.
sub expected_dn {
    my ($rdns) = @_;
    return join ' , ', map {
        join ' + ', sort map { ($TYPE{ $_->[0] } // $_->[0]) . '=' . unpack 'H*', $_->[1] } @$_
    } reverse @$rdns;
}

sub utf8_string { my ($der) = @_; return substr $der, 2 }

sub read_dn {
    my ($text) = @_;
    return join ' , ', map {
        join ' + ', sort map {
            my ($type, $value) = @$_;
            "$type=" . unpack 'H*', ref $value ? utf8_string($$value) : $value
        } @$_
    } dn($text);
}

sub exploded_dn {
    my ($text) = @_;
    my $rdns = $explode->($text, casefold => 'none') or die "Net::LDAP::Util refuses $text\n";
    return join ' , ', map {
        my $rdn = $_;
        join ' + ', sort map {
            "$_=" . unpack 'H*', ref $rdn->{$_} ? utf8_string(${ $rdn->{$_} }) : $rdn->{$_}
        } keys %$rdn
    } @$rdns;
}

sub check_dn {
    my ($what, $text, $expected) = @_;
    check(read_dn($text) eq $expected, "$what is another name: $text");
    return unless $explode;
    check(exploded_dn($text) eq $expected, "Net::LDAP::Util reads $what otherwise: $text");
    $exploded++;
    return;
}

# ---- the formats ----

sub plain { my ($value) = @_; return $value =~ /\A[!#-\[\]-~]+\z/ }    # without " and \

# Nobody vouches for a SPIFFE ID here.
sub may_be_told { my ($type, $value) = @_; return $type ne 'uri' || $value !~ /\Aspiffe:/i }

sub check_xfcc {
    my ($text, $name, $der) = @_;
    my @shapes = map {
        join ',', map {
            join ';', map { "$_->[0]=" . ($_->[0] eq 'Subject' ? '' : $_->[1]) } @$_
        } xfcc($text, $_)
    } xfcc_readers();
    check($shapes[$_] eq $shapes[0], 'xfcc: readers see different parts') for 1 .. $#shapes;
    my @elements = xfcc($text);
    check(@elements == 1, 'xfcc: more than one element');
    my %pairs;
    push @{ $pairs{ $_->[0] } }, $_->[1] for @{ $elements[0] };
    check("@{ $pairs{Hash} }" eq sha256_hex($der),       'xfcc: Hash');
    check("@{ $pairs{By} }" eq 'spiffe://x/gw',          'xfcc: By');
    check(pem_der(percent_decoded($pairs{Cert}[0])) eq $der,  'xfcc: Cert');
    my @chain = pem_certificates(percent_decoded($pairs{Chain}[0]));
    check(@chain == 2 && $chain[0] eq $der && $chain[1] eq $der, 'xfcc: Chain');
    check(@{ $pairs{Subject} } == 1, 'xfcc: Subject');
    my @types = $pairs{Subject}[0] =~ /(\w+)=/g;
    check("@types" eq 'CN OU 7 OU L O' || "@types" eq 'CN OU 7 L OU O', "xfcc: types: @types");
    check_dn('xfcc: Subject', $pairs{Subject}[0], expected_dn($subject{$name}));
    for my $type (qw(uri dns)) {
        my @there = @{ $pairs{ uc $type } // [] };
        my @plain = grep { plain($_) && may_be_told($type, $_) } @{ $san{$name}{$type} // [] };
        check("@there" eq "@plain", "xfcc: $type: @there for @plain");
    }
    return;
}

sub check_traefik {
    my ($headers, $name, $der) = @_;
    check(base64_der($headers->{'X-Forwarded-Tls-Client-Cert'}) eq $der, 'traefik: certificate');
    my $info = traefik_info($headers->{'X-Forwarded-Tls-Client-Cert-Info'});
    my %order = (L => 0, O => 1, OU => 2, CN => 3);
    my @expected = map { "$TYPE{$_->[0]}=$_->[1]" }
        sort { $order{ $TYPE{ $a->[0] } } <=> $order{ $TYPE{ $b->[0] } } || $a->[1] cmp $b->[1] }
        grep { $TYPE{ $_->[0] } && $_->[1] =~ /\A[^ ](?:.*[^ ])?\z/s }
        grep { $_->[1] !~ /[\x00-\x1f\x7f"\\,;=]/ }
        map  { @$_ } @{ $subject{$name} };
    my @parts = map { "$_->[0]=$_->[1]" } sort {
        ($order{ $a->[0] } // 9) <=> ($order{ $b->[0] } // 9) || $a->[1] cmp $b->[1]
    } @{ $info->{Subject} // [] };
    check("@parts" eq "@expected", "traefik: Subject: @parts for @expected");
    check(!grep({ !may_be_told('uri', $_) } @{ $info->{SAN} // [] }), 'traefik: a SPIFFE ID');
    my %there;
    push @{ $there{ traefik_san_type($_) } }, $_ for @{ $info->{SAN} // [] };
    for my $type (sort keys %there) {
        my %known = map { $_ => 1 } @{ $san{$name}{$type} // [] };
        check($known{$_}, "traefik: $_ could be taken for $type") for @{ $there{$type} };
    }
    if (%{ $san{$name} // {} }) {
        check(scalar grep({ $_ eq 'last.example' } @{ $there{dns} // [] }), 'traefik: a good name');
    }
    return scalar @{ $info->{SAN} // [] };
}

sub check_google {
    my ($headers, $name, $der) = @_;
    my $parts = certificate_parts($der);
    my $subject = base64_der($headers->{'X-Client-Cert-Subject-Dn'});
    check($subject eq $parts->{subject}, 'google: subject');
    check(byte_sequence($headers->{'X-Client-Cert-Leaf'}) eq $der, 'google: leaf');
    my @lists = ([uri => 'X-Client-Cert-URI-SANs'], [dns => 'X-Client-Cert-DNSName-SANs']);
    for (@lists) {
        my ($type, $header) = @$_;
        my @there = base64_list($headers->{$header} // '');
        my @expected = grep { may_be_told($type, $_) } @{ $san{$name}{$type} // [] };
        check(join("\0", @there) eq join("\0", @expected), "google: $type");
    }
    return;
}

sub check_headers {
    my ($name) = @_;
    my $formats = $of{$name};
    my $der = byte_sequence($formats->{rfc9440}{'Client-Cert'});
    my $expected = expected_dn($subject{$name});
    for my $headers (values %$formats) {
        for my $header (keys %$headers) {
            # As HTTP hands it on.
            my $whole = $headers->{$header} =~ /\A[!-~](?:[ -~]*[!-~])?\z/;
            check($whole, "$header cannot be sent as it is");
        }
    }
    check_xfcc($formats->{'xfcc set by,hash,cert,chain,subject,uri,dns'}{'X-Forwarded-Client-Cert'},
        $name, $der);
    my $nginx = $formats->{'ingress-nginx'};
    check_dn('nginx: subject', $nginx->{'ssl-client-subject-dn'}, $expected);
    check_dn('nginx: issuer',  $nginx->{'ssl-client-issuer-dn'},  $expected);
    check(pem_der(percent_decoded($nginx->{'ssl-client-cert'})) eq $der, 'nginx: cert');
    my $aws = $formats->{'aws-alb'};
    check_dn('AWS: subject', $aws->{'X-Amzn-Mtls-Clientcert-Subject'}, $expected);
    check_dn('AWS: issuer',  $aws->{'X-Amzn-Mtls-Clientcert-Issuer'},  $expected);
    check(pem_der(percent_decoded($aws->{'X-Amzn-Mtls-Clientcert-Leaf'})) eq $der, 'AWS: leaf');
    my @dates = aws_validity($aws->{'X-Amzn-Mtls-Clientcert-Validity'});
    check("@dates" eq '2000-01-01T00:00:00Z 2049-01-01T00:00:00Z', 'AWS: validity');
    check_google($formats->{google}, $name, $der);
    return check_traefik($formats->{traefik}, $name, $der);
}

my ($compared, $traefik_names) = (0, 0);
for my $name (sort keys %subject) {
    @problems = ();
    eval { $traefik_names += check_headers($name); 1 } or push @problems, $@;
    is(join("\n", @problems), '', "$name comes back");
    $compared++;
}
cmp_ok($compared, '>=', 430, 'certificates were made and read');
cmp_ok($traefik_names, '>=', 500, 'Traefik has got names');
SKIP: {
    skip 'Net::LDAP::Util is not there', 1 unless $explode;
    cmp_ok($exploded, '>=', 5 * 430, 'Net::LDAP::Util has read the names, too');
}

done_testing();
