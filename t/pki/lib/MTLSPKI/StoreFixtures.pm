# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSPKI::StoreFixtures;

# What the tests of trust stores need besides MTLSPKI::Fixtures: more CAs, devices that sign for
# themselves, and lists of revoked certificates of every kind, each named by its defect.

use strict;
use warnings;
use Exporter 'import';
use MTLSPKI::Der
    qw(tlv seq octets bits uri dns explicit extension name point_of boolean hex_to_bytes);

our @EXPORT_OK = qw(store_fixtures store_bundles store_crls);

use constant { DAY => 86_400 };

my @PARTNER =
    (C => 'CH', O => 'Big Partner Foo SA', OU => 'API', CN => 'client.bigpartner.example');
my $ARC = '1.3.6.1.4.1.55555';

sub authorities {
    my $ca = sub {
        my ($issuer, $o, $cn, %more) = @_;
        return { ca => 1, issuer => $issuer, subject => [O => $o, CN => $cn], %more };
    };
    return (
        'device-root'   => $ca->('self',        'Edge Devices', 'Edge Device Root'),
        'device-ca'     => $ca->('device-root', 'Edge Devices', 'Edge Device CA'),
        'root-renewed'  => $ca->('self', 'Carcano', 'Carcano Root R1', key => 'same-as:root'),
        'no-crlsign-ca' => $ca->('root', 'Carcano', 'CARC I111L',      ku  => ['keyCertSign']),
        'revoked-intermediate' => $ca->('root', 'Carcano', 'CARC I112L'),
        'expired-root'         =>
            $ca->('self', 'Carcano', 'Carcano Root R0', from => -30 * DAY, to => -DAY),
    );
}

# A certificate that says who else lists it when it is revoked (RFC 5280 4.2.1.13).
sub listed_by_i102l {
    my $point =
        seq(point_of('indirect'), tlv(0xa2, explicit(4, name(O => 'Carcano', CN => 'CARC I102L'))));
    return (subject => \@PARTNER, extra => [extension('2.5.29.31', seq($point))]);
}

sub certificates {
    return (
        'by-no-crlsign-ca'        => { issuer => 'no-crlsign-ca',        subject => \@PARTNER },
        'by-revoked-intermediate' => { issuer => 'revoked-intermediate', subject => \@PARTNER },
        'by-expired-root'         => { issuer => 'expired-root',         subject => \@PARTNER },
        'user-by-rekeyed'         => { issuer => 'carc-i101l-rekeyed',   subject => \@PARTNER },
        'listed-elsewhere'        => { listed_by_i102l() },
        'revoked-elsewhere'       => { listed_by_i102l() },
    );
}

sub devices {
    my $device = sub {
        my ($cn, %more) = @_;
        return { issuer => 'self', subject => [O => 'Edge Devices', CN => $cn], %more };
    };
    return (
        device => {
            issuer  => 'device-ca',
            subject => [O => 'Edge Devices', OU => 'Sensors', CN => 'device-0001'],
            san     => [dns('device-0001.edge.example')]
        },
        'device-self-signed' => $device->(
            'device-0042',
            san   => [dns('device-0042.edge.example')],
            extra => [extension("$ARC.1", tlv(0x0c, 'gold'))]
        ),

        # its subject with another key, its key in another certificate
        'device-impostor'    => $device->('device-0042', san => [dns('device-0042.edge.example')]),
        'device-reissued'    => $device->('device-0042', key => 'same-as:device-self-signed'),
        'device-second'      => $device->('device-0043'),
        'device-expired'     => $device->('device-0044', from => -30 * DAY, to => -DAY),
        'device-future'      => $device->('device-0045', from => DAY),
        'device-server-only' => $device->('device-0046', eku  => ['serverAuth']),
        'device-weak'        => $device->('device-0047', key  => 'rsa:1024'),
        'device-spiffe'      =>
            $device->('device-0048', san => [uri('spiffe://edge.example/device/0048')]),
        'device-duplicate-extension' => $device->(
            'device-0049',
            san   => [dns('device-0049.edge.example')],
            extra => [extension('2.5.29.17', seq(dns('admin.edge.example')))]
        ),
        'by-device-self-signed' =>
            { issuer => 'device-self-signed', subject => [O => 'Edge Devices', CN => 'admin'] },
    );
}

sub store_fixtures { return (authorities(), certificates(), devices()) }

sub scopes {
    my %month = (issuer => 'carc-i101l', revoked => ['revoked'], to => 30 * DAY);
    my $flag  = sub { return tlv(0x80 | $_[0], "\xff") };
    return (
        'carc-i101l-only-users'   => { %month, scope => [$flag->(1)] },
        'carc-i101l-only-cas'     => { %month, scope => [$flag->(2)],          revoked => [] },
        'carc-i101l-some-reasons' => { %month, scope => [tlv(0x83, "\6\x40")], revoked => [] },
        'carc-i101l-elsewhere'    => { %month, scope => [point_of('elsewhere')] },
        'carc-i102l-indirect'     => {
            %month,
            issuer  => 'carc-i102l',
            scope   => [point_of('indirect'), $flag->(4)],
            revoked => [{ name => 'revoked-elsewhere', issuer => 'carc-i101l' }]
        },
    );
}

# In the order of a CA's calendar: the complete list three days ago, the deltas since.
sub deltas {
    my %month = (issuer => 'carc-i101l', to => 30 * DAY);
    my %base  = (%month, number => 5, age  => 3 * DAY);
    my %delta = (%month, number => 6, base => 5);
    my $hold  = { name => 'user-2', reason => 6 };
    return (
        'carc-i101l-base'          => { %base,  freshest => 1, revoked => ['user-2'] },
        'carc-i101l-base-hold'     => { %base,  freshest => 1, revoked => [$hold] },
        'carc-i101l-base-alone'    => { %base,  revoked  => ['user-2'] },
        'carc-i101l-delta'         => { %delta, revoked  => ['user-3'] },
        'carc-i101l-delta-removes' => { %delta, revoked  => [{ name => 'user-2', reason => 8 }] },
        'carc-i101l-delta-expired' => { %delta, revoked => ['user-3'], age => 2 * DAY, to => -DAY },
    );
}

sub store_crls {
    my %month = (issuer => 'carc-i101l', revoked => ['revoked'], to => 30 * DAY);
    return (
        scopes(),
        deltas(),
        'carc-i102l'         => { issuer => 'carc-i102l',    to => 30 * DAY },
        'stranger-root'      => { issuer => 'stranger-root', to => 30 * DAY },
        'carc-i101l-none'    => { %month, revoked => [] },
        'carc-i101l-users'   => { %month, revoked => [qw(user-1 user-2)] },
        'carc-i101l-older'   => { %month, revoked => ['user-1'], age => 2 * DAY },
        'carc-i101l-rekeyed' =>
            { %month, issuer => 'carc-i101l-rekeyed', revoked => ['partner-by-rekeyed'] },
        'carc-i101l-der'  => { %month, der => 1 },
        'root-der'        => { issuer => 'root', to => 30 * DAY, der => 1 },
        'carc-i101l-hold' => { %month, revoked => [{ name => 'user-2', reason => 6 }] },

        # lists nobody may rely on
        'carc-i101l-no-next-update' => { %month, to      => undef },
        'carc-i101l-future'         => { %month, age     => -DAY },
        'carc-i101l-wrong-key'      => { %month, revoked => [], signer   => 'lookalike-i101l' },
        'lookalike-i101l'           => { %month, revoked => [], issuer   => 'lookalike-i101l' },
        'no-crlsign-ca'             => { %month, revoked => [], issuer   => 'no-crlsign-ca' },
        'carc-i101l-trailing'       => { %month, der     => 1,  trailing => "\0trailing" },
        'carc-i101l-critical'       =>
            { %month, revoked => [], extra => [extension("$ARC.98", octets('x'), 1)] },

        # of the root: an intermediate is revoked; the root lists itself
        'root-revokes-intermediate' =>
            { issuer => 'root', revoked => ['revoked-intermediate'], to => 30 * DAY },
        'root-revokes-itself'  => { issuer => 'root', revoked => ['root'], to => 30 * DAY },
        'root-expired'         => { issuer => 'root', age     => 30 * DAY, to => -DAY },
        'revoked-intermediate' => { issuer => 'revoked-intermediate', to => 30 * DAY },
    );
}

# file => the files it is made of, one after the other
sub store_bundles {
    return (
        'intermediates-first.crt' => [qw(carc-i102l.crt carc-i101l.crt root.crt)],
        'two-estates.crt'         =>
            [qw(stranger-root.crt carc-i101l.crt root.crt device-root.crt device-ca.crt)],
        'same-certificate-twice.crt' => [qw(root.crt carc-i101l.crt root.crt carc-i101l.crt)],
        'both-i101l.crt'             => [qw(carc-i101l.crt carc-i101l-cross.crt)],
        'ca-and-leaf.crt'            => [qw(root.crt partner.crt)],
        'devices.crt'                => [qw(device-self-signed.crt device-second.crt)],
        'certificate-and-key.crt'    => [qw(root.crt server.key)],
        'several-issuers.crl'        => [qw(root.crl carc-i101l.crl carc-i102l.crl)],
        'two-der.crl'                => [qw(carc-i101l-der.crl root-der.crl)],
        'base-and-delta.crl'         => [qw(root.crl carc-i101l-base.crl carc-i101l-delta.crl)],
        'certificate-as.crl'         => [qw(carc-i101l.crt)],
    );
}

1;
