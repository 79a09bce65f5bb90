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

our @EXPORT_OK = qw(make_leaf make_leaves sha256_of write_list write_crl spiffe_id);

use constant { DOMAIN => 'lab.carcano.corp', MONTH => 30 * 86_400 };

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

1;
