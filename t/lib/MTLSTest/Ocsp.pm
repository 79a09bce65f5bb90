# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Ocsp;

# OCSP messages (RFC 6960) byte by byte: what a client asks, and any answer to it, right or wrong in
# whatever a test likes. Certificates with a responder's address in them, too.

use strict;
use warnings;
use Exporter 'import';
use MTLSTest::Layout qw(pki_dir source_dir);
use lib source_dir() . '/pki/lib';
use Digest::SHA  qw(sha1 sha256);
use MIME::Base64 qw(decode_base64);
use MTLSPKI::Der qw(tlv seq oid octets bits integer explicit uri extension);
use MTLSPKI::Issuer;

our @EXPORT_OK = qw(make_certificate ocsp_extensions serial_hex der_of issuer_of parse_request
    known_issuer error_response nonce response response_for cert_id);

my %HASH = (
    '2b0e03021a'         => ['sha1',   \&sha1],
    '608648016503040201' => ['sha256', \&sha256]
);
my %HASH_OID = (sha1 => '1.3.14.3.2.26', sha256 => '2.16.840.1.101.3.4.2.1');
my %CODE     = (
    successful => 0,
    malformed  => 1,
    internal   => 2,
    tryLater   => 3,
    sigRequire => 5,
    unauthor   => 6
);
use constant NONCE => '1.3.6.1.5.5.7.48.1.2';

# --- certificates ---------------------------------------------------------------------------------
my (%issuer_of, %serial_of);

# One more fixture, made on the spot. Besides what MTLSPKI::Issuer knows: ocsp (addresses for
# authorityInfoAccess). Leaves that have such an address share a key, which takes half the time.
my $shared_spki;

sub make_certificate {
    my ($name, %o) = @_;
    my $urls = delete $o{ocsp};
    if ($urls && !$o{ca} && !$o{key}) {
        $o{key}  = 'same-as:partner';
        $o{spki} = $shared_spki //= MTLSPKI::Issuer->new(pki_dir())->spki('partner');
    }
    $o{extra} = [@{ $o{extra} // [] }, ocsp_extensions(@$urls)] if $urls;
    MTLSPKI::Issuer->new(pki_dir())->make($name, \%o);
    $issuer_of{$name} = $o{issuer} // 'carc-i101l';
    $serial_of{$name} = $o{serial} if exists $o{serial};
    return $name;
}

sub ocsp_extensions {
    my (@urls) = @_;
    my @access = map { seq(oid('1.3.6.1.5.5.7.48.1'), uri($_)) } @urls;
    return extension('1.3.6.1.5.5.7.1.1', seq(@access));
}

sub serial_bytes { my ($name) = @_; return $serial_of{$name} // MTLSPKI::Issuer::serial_of($name) }
sub serial_hex   { my ($name) = @_; return unpack 'H*', serial_bytes($name) }
sub issuer_of    { my ($name) = @_; return $issuer_of{$name} // 'carc-i101l' }

my %der;

sub der_of {
    my ($name) = @_;
    return $der{$name} //= do {
        my $pem = MTLSPKI::Issuer->new(pki_dir())->read_file("$name.crt");
        decode_base64($pem =~ s/-----[^-]+-----//gr);
    };
}

# --- DER, read ------------------------------------------------------------------------------------
# Tag, content, whole element; the rest of the bytes.
sub take {
    my ($bytes) = @_;
    my ($tag, $length) = unpack 'CC', $bytes;
    die "no DER\n" unless defined $length;
    my $head = 2;
    if ($length & 0x80) {
        my $n = $length & 0x7f;
        die "no DER\n" if !$n || $n > 3 || length $bytes < 2 + $n;
        $length = unpack 'N', "\0" x (4 - $n) . substr $bytes, 2, $n;
        $head += $n;
    }
    die "no DER\n" if length $bytes < $head + $length;
    return (
        [$tag, substr($bytes, $head, $length), substr($bytes, 0, $head + $length)],
        substr $bytes,
        $head + $length
    );
}

sub elements {
    my ($bytes) = @_;
    my @list;
    while (length $bytes) { (my $one, $bytes) = take($bytes); push @list, $one }
    return @list;
}

# { id (CertID, DER), hash, name, key, serial (hex), nonce (Extension, DER, or undef) }
sub parse_request {
    my ($der)     = @_;
    my ($request) = take($der);
    my ($tbs)     = elements($request->[1]);
    my @parts     = elements($tbs->[1]);
    my ($list)    = grep { $_->[0] == 0x30 } @parts;
    my ($first)   = elements($list->[1]);
    my ($id)      = elements($first->[1]);
    my ($algorithm, $name, $key, $serial) = elements($id->[1]);
    my ($hash) = elements($algorithm->[1]);
    my %parsed = (
        der    => $der,
        id     => $id->[2],
        hash   => ($HASH{ unpack 'H*', $hash->[1] } // die "another hash\n")->[0],
        name   => $name->[1],
        key    => $key->[1],
        serial => unpack('H*', $serial->[1])
    );
    my $nonce_oid = oid(NONCE);

    for my $wrapped (grep { $_->[0] == 0xa2 } @parts) {
        for my $extension (elements((elements($wrapped->[1]))[0][1])) {
            $parsed{nonce} = $extension->[2] if index($extension->[1], $nonce_oid) == 0;
        }
    }
    return \%parsed;
}

# --- issuers --------------------------------------------------------------------------------------
my %issuer;

sub issuer {
    my ($name) = @_;
    return $issuer{$name} //= do {
        my $pki    = MTLSPKI::Issuer->new(pki_dir());
        my $facts  = $pki->identity($name);
        my ($spki) = take($pki->spki($name));
        my ($key)  = (elements($spki->[1]))[1];
        +{ %$facts, key => substr $key->[1], 1 };
    };
}

# Which of these CAs a request asks about: the one whose name and key both match.
sub known_issuer {
    my ($request, @names) = @_;
    my %digest = map { @$_ } values %HASH;
    my $digest = $digest{ $request->{hash} };
    for my $name (@names) {
        my $ca = issuer($name);
        return $name
            if $digest->($ca->{name}) eq $request->{name}
            && $digest->($ca->{key}) eq $request->{key};
    }
    return;
}

sub cert_id {
    my ($ca, $serial, $hash, %wrong) = @_;
    my %digest = map { @$_ } values %HASH;
    my $digest = $digest{ $hash //= 'sha1' };
    return seq(
        seq(oid($HASH_OID{$hash}), tlv(0x05)),
        octets($digest->(issuer($wrong{name} // $ca)->{name})),
        octets($digest->(issuer($wrong{key}  // $ca)->{key})),
        integer($serial)
    );
}

# --- answers --------------------------------------------------------------------------------------
# responseStatus without anything else: five bytes.
sub error_response {
    my ($code) = @_;
    return seq(tlv(0x0a, chr($CODE{$code} // die "no status $code\n")));
}

sub generalized_time {
    my ($epoch) = @_;
    return tlv(0x18, $epoch) if $epoch =~ /[^0-9.-]/;
    my ($s, $m, $h, $day, $month, $year) = gmtime $epoch;
    return tlv(0x18, sprintf '%04d%02d%02d%02d%02d%02dZ', $year + 1900,
        $month + 1, $day, $h, $m, $s);
}

# RFC 9654 2.1
sub nonce { my ($bytes) = @_; return extension(NONCE, octets($bytes)) }

# Seconds from now, or a GeneralizedTime as it is.
sub moment {
    my ($offset) = @_;
    return generalized_time($offset =~ /[^0-9.-]/ ? $offset : int time + $offset);
}

sub cert_status {
    my ($o) = @_;
    my $status = $o->{status} // 'good';
    return tlv(0x80)          if $status eq 'good';
    return tlv(0x82)          if $status eq 'unknown';
    die "no status $status\n" if $status ne 'revoked';
    return explicit(
        1,
        moment($o->{revoked_at} // -60),
        defined $o->{reason} ? explicit(0, tlv(0x0a, chr $o->{reason})) : ()
    );
}

sub single {
    my ($id, $o) = @_;
    my $next = exists $o->{next} ? $o->{next} : 3600;
    return seq(
        $id, cert_status($o),
        moment($o->{this} // -1),
        defined $next ? explicit(0, moment($next)) : ()
    );
}

# A whole response for a CertID (DER). status (good, revoked, unknown), reason, this, next (seconds
# from now; next undef: none), produced; signer (name of its certificate and key), key (another key
# than the signer's), certs (names sent along), by_name; id (another CertID), others (more single
# responses, [CertID, options], before ours); nonce (Extension, DER), garbled (a signature that is
# not one), trailing (bytes behind).
sub response {
    my ($id, %o) = @_;
    my $signer = $o{signer} // die "nobody signs\n";
    my $facts  = issuer($signer);
    my $who =
        $o{by_name}
        ? explicit(1, $facts->{name})
        : explicit(2, octets(sha1($facts->{key})));
    my $data = seq(
        $who,
        moment($o{produced} // $o{this} // 0),
        seq((map { single(@$_) } @{ $o{others} // [] }), single($o{id} // $id, \%o)),
        $o{nonce} ? explicit(1, seq($o{nonce})) : ()
    );
    my $algorithm = MTLSPKI::Issuer::signature_algorithm($facts->{family}, 'sha256');
    my $signature = MTLSPKI::Issuer->new(pki_dir())->sign($data, $o{key} // $signer, 'sha256');
    substr($signature, -1) ^= "\1" if $o{garbled};
    my $basic = seq($data, $algorithm, bits($signature),
        $o{certs} ? explicit(0, seq(map { der_of($_) } @{ $o{certs} })) : ());
    return seq(tlv(0x0a, "\0"), explicit(0, seq(oid('1.3.6.1.5.5.7.48.1.1'), octets($basic))))
        . ($o{trailing} // '');
}

# The response a responder would give for a certificate of ours.
sub response_for {
    my ($cert, %o) = @_;
    my $ca = $o{issuer} // issuer_of($cert);
    return response(cert_id($ca, serial_bytes($cert), $o{hash}), signer => $ca, %o);
}

1;
