# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSPKI::Issuer;

# Turns the description of a certificate into NAME.crt, NAME.key and NAME-chain.crt.

use strict;
use warnings;
use Digest::SHA  qw(sha1 sha256);
use MIME::Base64 qw(encode_base64 decode_base64);
use MTLSPKI::Der qw(tlv seq oid octets bits integer boolean explicit name time_of extension);

use constant { HOUR => 3600, DAY => 86_400 };

my %SIGNATURE_OID = (
    'ec-sha256'  => '1.2.840.10045.4.3.2',
    'ec-sha1'    => '1.2.840.10045.4.1',
    'rsa-sha256' => '1.2.840.113549.1.1.11',
    'rsa-sha1'   => '1.2.840.113549.1.1.5',
);

sub new {
    my ($class, $dir) = @_;
    return bless { dir => $dir }, $class;
}

sub path { my ($self, $file) = @_; return "$self->{dir}/$file" }

sub run {
    my (@command) = @_;
    open my $pipe, '-|', @command or die "cannot run $command[0]: $!\n";
    binmode $pipe;
    my $output = do { local $/; <$pipe> };
    close $pipe or die "failed: @command\n";
    return $output;
}

sub write_file {
    my ($self, $file, @content) = @_;
    my $path = $self->path($file);
    open my $fh, '>:raw', "$path.new" or die "cannot write $path: $!\n";
    print {$fh} @content;
    close $fh or die "cannot write $path: $!\n";
    rename "$path.new", $path or die "cannot rename $path.new: $!\n";
    return;
}

sub read_file {
    my ($self, $file) = @_;
    open my $fh, '<:raw', $self->path($file) or die 'cannot read ' . $self->path($file) . ": $!\n";
    local $/;
    return scalar <$fh>;
}

# 'ec', 'ec:secp384r1', 'rsa:1024', 'ed448', or 'same-as:NAME' for a renewed certificate.
sub make_key {
    my ($self, $name, $kind) = @_;
    my ($family, $detail) = split /:/, $kind, 2;
    return $self->write_file("$name.key", $self->read_file("$detail.key")) if $family eq 'same-as';
    my @args =
          $family eq 'ec'  ? ('EC', '-pkeyopt', 'ec_paramgen_curve:' . ($detail // 'P-256'))
        : $family eq 'rsa' ? ('RSA', '-pkeyopt', "rsa_keygen_bits:$detail")
        :                    ($family);
    return $self->write_file("$name.key", run('openssl', 'genpkey', '-quiet', '-algorithm', @args));
}

sub spki {
    my ($self, $name) = @_;
    return run('openssl', 'pkey', '-in', $self->path("$name.key"), '-pubout', '-outform', 'DER');
}

# The subjectPublicKey bits are the last element of a SubjectPublicKeyInfo whatever the algorithm,
# and an identifier need only be unique: the hash of the whole structure will do.
sub key_id { my ($spki) = @_; return sha1($spki) }

sub key_usage {
    my (@names) = @_;
    my %bit = (
        digitalSignature => 0,
        nonRepudiation   => 1,
        keyEncipherment  => 2,
        dataEncipherment => 3,
        keyAgreement     => 4,
        keyCertSign      => 5,
        cRLSign          => 6
    );
    my $octet = 0;
    $octet |= 0x80 >> $bit{$_} for @names;
    my $unused = 0;
    $unused++ until $octet & (1 << $unused);
    return bits(chr $octet, $unused);
}

sub basic_constraints {
    my ($ca, $pathlen) = @_;
    return seq($ca ? boolean(1) : (), defined $pathlen ? integer(chr $pathlen) : ());
}

# The same name always gets the same serial, so that a test may write it down.
sub serial_of {
    my ($name) = @_;
    my $bytes  = substr sha256("serial $name"), 0, 16;
    return chr(0x40 | (0x3f & ord $bytes)) . substr $bytes, 1;
}

sub extensions {
    my ($self, $d, $spki) = @_;
    my @list;
    push @list, extension('2.5.29.19', basic_constraints($d->{ca}, $d->{pathlen}), 1) if $d->{ca};
    push @list, extension('2.5.29.15', key_usage(@{ $d->{ku} }),                   1) if $d->{ku};
    push @list, extension('2.5.29.37', seq(map { oid($_) } @{ $d->{eku} })) if $d->{eku};
    push @list, extension('2.5.29.14', octets($d->{key_id}))                unless $d->{no_key_ids};
    push @list, extension('2.5.29.35', seq(tlv(0x80, $d->{issuer_key_id}))) unless $d->{no_key_ids};
    push @list, extension('2.5.29.17', seq(@{ $d->{san} }), $d->{san_critical}) if $d->{san};
    return (@list, @{ $d->{extra} // [] });
}

sub defaults {
    my ($name, $description) = @_;
    my %d = (
        key     => 'ec',
        issuer  => 'carc-i101l',
        hash    => 'sha256',
        serial  => serial_of($name),
        from    => -HOUR,
        to      => 30 * DAY,
        version => 3,
        %$description,
    );
    @d{qw(from to)} = (-DAY, 3650 * DAY) if $d{ca} && !exists $description->{to};
    $d{ku}  = $d{ca} ? [qw(keyCertSign cRLSign)] : ['digitalSignature'] unless exists $d{ku};
    $d{eku} = $d{ca} ? undef                     : ['clientAuth']       unless exists $d{eku};
    return \%d;
}

# What the certificates below need to know of their issuer is kept beside its key, so that a leaf
# can be made later, on the spot, by another process.
sub save_identity {
    my ($self, $name, %identity) = @_;
    return $self->write_file(".$name.identity",
        map { "$_=" . encode_base64($identity{$_}, '') . "\n" } sort keys %identity);
}

sub identity {
    my ($self, $name) = @_;
    return {
        map { my ($k, $v) = split /=/, $_, 2; ($k => decode_base64($v)) } split /\n/,
        $self->read_file(".$name.identity")
    };
}

sub signature_algorithm {
    my ($family, $hash) = @_;
    my $oid = $SIGNATURE_OID{"$family-$hash"} or die "no signature $family-$hash\n";
    return seq(oid($oid), $family eq 'rsa' ? tlv(0x05) : ());
}

sub to_be_signed {
    my ($self, $d, $issuer, $algorithm, $spki) = @_;
    my $now        = time;
    my @extensions = $d->{version} == 3 ? explicit(3, seq($self->extensions($d, $spki))) : ();
    return seq(
        $d->{version} == 3 ? explicit(0, integer("\2")) : (),      integer($d->{serial}),
        $algorithm,                                                $issuer->{name},
        seq(time_of($now + $d->{from}), time_of($now + $d->{to})), $d->{name},
        $spki,                                                     @extensions,
    );
}

sub sign {
    my ($self, $tbs, $issuer_name, $hash) = @_;
    my $file = ".tbs.$$";
    $self->write_file($file, $tbs);
    my $signature = run('openssl', 'dgst', "-$hash", '-sign', $self->path("$issuer_name.key"),
        $self->path($file));
    unlink $self->path($file);
    return $signature;
}

sub pem {
    my ($der, $what) = @_;
    $what //= 'CERTIFICATE';
    my $text = encode_base64($der, '');
    $text =~ s/(.{1,64})/$1\n/g;
    return "-----BEGIN $what-----\n$text-----END $what-----\n";
}

# An entry of a list: the name of a certificate, or { name, reason (RFC 5280 5.3.1), issuer (of the
# certificate, where the list is another's) }.
sub crl_entry {
    my ($self, $entry) = @_;
    my %e          = ref $entry ? %$entry : (name => $entry);
    my @extensions = (
        defined $e{reason} ? extension('2.5.29.21', tlv(0x0a, chr $e{reason})) : (),
        $e{issuer}
        ? extension('2.5.29.29', seq(explicit(4, $self->identity($e{issuer})->{name})), 1)
        : ()
    );
    return seq(
        integer(serial_of($e{name})),
        time_of(time - HOUR), @extensions ? seq(@extensions) : ()
    );
}

sub crl_extensions {
    my ($self, $d) = @_;
    my @list = (
        extension('2.5.29.35', seq(tlv(0x80, $self->identity($d->{issuer})->{key_id}))),
        extension('2.5.29.20', integer(chr($d->{number} // 1)))
    );
    push @list, extension('2.5.29.27', integer(chr $d->{base}), 1)          if $d->{base};
    push @list, extension('2.5.29.28', seq(@{ $d->{scope} }),   1)          if $d->{scope};
    push @list, extension('2.5.29.46', seq(seq(MTLSPKI::Der::point_of('delta')))) if $d->{freshest};
    return explicit(0, seq(@list, @{ $d->{extra} // [] }));
}

# A list of revoked certificates (RFC 5280 5.1): issuer, entries of the revoked, seconds until
# nextUpdate (undef: none), age; number, base (a delta), scope (issuingDistributionPoint), freshest;
# signer (another's key), der, trailing.
sub make_crl {
    my ($self, $name, $d) = @_;
    my $issuer    = $self->identity($d->{issuer});
    my $signer    = $d->{signer} // $d->{issuer};
    my $algorithm = signature_algorithm($self->identity($signer)->{family}, 'sha256');
    my $now       = time;
    my @revoked   = map { $self->crl_entry($_) } @{ $d->{revoked} // [] };
    my $tbs       = seq(
        integer("\1"),
        $algorithm,
        $issuer->{name},
        time_of($now - ($d->{age} // HOUR)),
        defined $d->{to} ? time_of($now + $d->{to}) : (),
        @revoked         ? seq(@revoked)            : (),
        $self->crl_extensions($d)
    );
    my $der = seq($tbs, $algorithm, bits($self->sign($tbs, $signer, 'sha256')))
        . ($d->{trailing} // '');
    $self->write_file("$name.crl", $d->{der} ? $der : pem($der, 'X509 CRL'));
    return;
}

sub make {
    my ($self, $name, $description) = @_;
    my $d           = defaults($name, $description);
    my $self_signed = $d->{issuer} eq 'self';
    my $issuer_name = $self_signed ? $name : $d->{issuer};
    $self->make_key($name, $d->{key});
    my $spki = $d->{spki} // $self->spki($name);
    $d->{name} = $d->{subject_der}
        // name(@{ $d->{subject} // [O => 'Big Partner Foo SA', CN => $name] });
    $d->{key_id} = $d->{copy_key_id} ? $self->identity($d->{copy_key_id})->{key_id} : key_id($spki);
    my $family = $d->{key} =~ /\Arsa/ ? 'rsa' : 'ec';
    $family = $self->identity($d->{key} =~ s/same-as://r)->{family} if $d->{key} =~ /\Asame-as:/;
    my $issuer =
        $self_signed
        ? { name => $d->{name}, key_id => $d->{key_id}, family => $family }
        : $self->identity($issuer_name);
    $d->{issuer_key_id} = $issuer->{key_id};
    my $algorithm   = signature_algorithm($issuer->{family}, $d->{hash});
    my $tbs         = $self->to_be_signed($d, $issuer, $algorithm, $spki);
    my $certificate = seq($tbs, $algorithm, bits($self->sign($tbs, $issuer_name, $d->{hash})));
    my $pem         = pem($certificate . ($d->{trailing} // ''));
    $self->write_file("$name.crt", $pem);
    my $above = $self_signed ? '' : $issuer->{chain};
    $self->write_file("$name-chain.crt", $pem, $above,
        $d->{send_root} ? $self->read_file("$d->{send_root}.crt") : ());

    # A root is not sent: the server has it or does not trust it.
    $self->save_identity(
        $name,
        name   => $d->{name},
        key_id => $d->{key_id},
        family => $family,
        chain  => $self_signed ? '' : $pem . $above
    );
    return;
}

1;
