# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest;

# What a suite needs: "use MTLSTest;" brings Test::More, the shared server and the assertions.

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use MTLSTest::Layout qw(pki_dir make_pki mpm run_dir source_dir);
use MTLSTest::Server;
use MTLSTest::TLS;

our @EXPORT = (
    @Test::More::EXPORT,
    qw(shared private outcome_is outcome_of allowed denied pki_dir make_pki mpm run_dir source_dir
        spki_of sha256_of serial_of openssl)
);

sub shared { return MTLSTest::Server->shared }

sub private { my (%o) = @_; return MTLSTest::Server->start(%o) }

# Status, verdict and reason together: "403 deny no_certificate".
sub outcome_is {
    my ($response, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = is($response->outcome, $expected, $name);
    diag(join "\n", 'the error log says:', $response->errors) if !$ok;
    return $ok;
}

# The whole outcome a reason leads to by default; "ok" is the only one that is answered 200.
sub outcome_of {
    my ($reason) = @_;
    return
          $reason eq 'ok'             ? '200 allow ok'
        : $reason =~ /_unavailable\z/ ? "503 deny $reason"
        :                               "403 deny $reason";
}

sub allowed {
    my ($response, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return outcome_is($response, '200 allow ok', $name);
}

sub denied {
    my ($response, $reason, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return outcome_is($response, "403 deny $reason", $name);
}

sub openssl {
    my (@arguments) = @_;
    open my $pipe, '-|', 'openssl', @arguments or die "cannot run openssl: $!\n";
    binmode $pipe;
    local $/;
    my $output = <$pipe>;
    close $pipe or die "openssl @arguments failed\n";
    return $output;
}

# Lower-case hex, made by openssl and not by what is tested.
sub sha256_of {
    my ($name) = @_;
    my ($hex) =
        openssl('x509', '-in', pki_dir() . "/$name.crt", '-noout', '-fingerprint', '-sha256') =~
        /=([0-9A-F:]+)/;
    return lc $hex =~ tr/://dr;
}

sub spki_of {
    my ($name) = @_;
    require Digest::SHA;
    return Digest::SHA::sha256_hex(
        openssl('pkey', '-in', pki_dir() . "/$name.key", '-pubout', '-outform', 'DER'));
}

sub serial_of {
    my ($name) = @_;
    my ($hex) =
        openssl('x509', '-in', pki_dir() . "/$name.crt", '-noout', '-serial') =~ /=(-?[0-9A-F]+)/;
    return $hex;
}

1;
