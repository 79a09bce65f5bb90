# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Material;

# Certificates, large lists and large CRLs beyond those of t/pki.

use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use File::Basename qw(dirname);
use lib dirname(abs_path(__FILE__)) . '/../../../t/pki/lib';
use MTLSPKI::Der ();
use MTLSPKI::Issuer ();

our @EXPORT_OK = qw(make_backend make_leaf make_leaves sha256_of write_list write_crl
    write_responses spiffe_id);

use constant {
    DOMAIN     => 'lab.carcano.corp',
    MONTH      => 30 * 86_400,
    NEVER      => '491231235959Z',
    REVOKED_AT => '251121000000Z',
};

my @PARTNER = (C => 'CH', O => 'Big Partner Foo SA', OU => 'API');

# The n-th SPIFFE ID of the lists, all equally long; those of certificates are beyond 9,000,000.
sub spiffe_id { return sprintf 'spiffe://%s/ns/prod/sa/service-%07d', DOMAIN, $_[0] }

# A leaf of carc-i101l with the partner's subject and key, and `uri` as its SAN.
sub make_leaf {
    my ($pki, $name, $uri) = @_;
    MTLSPKI::Issuer->new($pki)->make($name, {
        key     => 'same-as:partner',
        subject => [@PARTNER, CN => $name],
        san     => [defined $uri ? MTLSPKI::Der::uri($uri) : MTLSPKI::Der::dns("$name.example")],
    });
    return $name;
}

sub make_leaves {
    my ($pki, $count) = @_;
    return map { -e "$pki/leaf-$_.crt" ? "leaf-$_" : make_leaf($pki, "leaf-$_") } 1 .. $count;
}

# The certificate of a backend, issued by carc-i101l for these DNS names; `here`: and for 127.0.0.1.
sub make_backend {
    my ($pki, $name, $here, @names) = @_;
    MTLSPKI::Issuer->new($pki)->make($name, {
        subject => [O => 'Carcano', CN => $name],
        eku     => ['serverAuth'],
        san     => [
            $here ? MTLSPKI::Der::ip("\x7f\0\0\1") : (),
            map { MTLSPKI::Der::dns($_) } @names
        ],
    });
    return $name;
}

sub sha256_of {
    my ($pki, $name) = @_;
    my $text = `openssl x509 -in '$pki/$name.crt' -noout -fingerprint -sha256`;
    my ($digest) = $text =~ /=([0-9A-F:]+)/ or die "openssl x509 failed for $name\n";
    return lc $digest =~ tr/://dr;
}

# `count` values in all: those of `extra`, and as many others as it takes. Written beside and
# renamed, as whoever replaces a file in use should.
sub write_list {
    my ($file, $kind, $count, @extra) = @_;
    my $value = $kind eq 'spiffe' ? \&spiffe_id : sub { sha256_hex("value $_[0]") };
    open my $out, '>', "$file.new" or die "$file.new: $!\n";
    print {$out} $value->($_), "\n" for 1 .. $count - @extra;
    print {$out} "$_\n" for @extra;
    close $out or die "$file.new: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
    return;
}

# A list of `count` revoked certificates by carc-i101l, serials of 16 random bytes, among them the
# certificate `revoked` and those named; in front of it the root's own list, so that a check of the
# whole chain finds what it needs.
sub write_crl {
    my ($pki, $file, $count, @names) = @_;
    my $issuer = MTLSPKI::Issuer->new($pki);
    my @revoked = ('revoked', @names, map { "number $_" } 2 + @names .. $count);
    $issuer->make_crl('.large', { issuer => 'carc-i101l', revoked => \@revoked, to => MONTH });
    open my $out, '>', "$file.new" or die "$file.new: $!\n";
    print {$out} map { $issuer->read_file($_) } 'root.crl', '.large.crl';
    close $out or die "$file.new: $!\n";
    unlink "$pki/.large.crl";
    rename "$file.new", $file or die "$file: $!\n";
    return;
}

# A folder of OCSP responses as `openssl ocsp` makes them, good for a day: for these leaves of
# carc-i101l, and for that CA itself. Leaves whose name ends in `revoked` are.
sub write_responses {
    my ($pki, $folder, @leaves) = @_;
    return if -d $folder;
    mkdir $folder or die "$folder: $!\n";
    chmod 0755, $folder or die "$folder: $!\n";
    write_response($pki, "$folder/$_.der", 'carc-i101l', $_) for @leaves;
    write_response($pki, "$folder/carc-i101l.der", 'root', 'carc-i101l');
    sleep 1;    # what was written just now is read a little later only
    return;
}

sub write_response {
    my ($pki, $file, $ca, $name) = @_;
    my $serial = `openssl x509 -in '$pki/$name.crt' -noout -serial`;
    my ($hex) = $serial =~ /=([0-9A-F]+)/ or die "openssl x509 failed for $name\n";
    open my $index, '>', "$file.index" or die "$file.index: $!\n";
    print {$index} join("\t", $name =~ /revoked\z/ ? ('R', NEVER, REVOKED_AT) : ('V', NEVER, ''),
        $hex, 'unknown', "/CN=$name\n");
    close $index or die "$file.index: $!\n";
    my @ca = ('-issuer', "$pki/$ca.crt", '-serial', "0x$hex");
    openssl('ocsp', @ca, '-reqout', "$file.request", '-no_nonce');
    openssl('ocsp', '-index', "$file.index", '-CA', "$pki/$ca.crt", '-rsigner', "$pki/$ca.crt",
        '-rkey', "$pki/$ca.key", '-reqin', "$file.request", '-respout', $file, '-ndays', 1);
    unlink map { "$file.$_" } qw(index request);
    utime((time - 3600) x 2, $file) or die "$file: $!\n";    # a new file may be looked at twice
    return;
}

sub openssl {
    my (@arguments) = @_;
    system("openssl @arguments >/dev/null 2>&1") == 0 or die "openssl @arguments failed\n";
    return;
}

1;
