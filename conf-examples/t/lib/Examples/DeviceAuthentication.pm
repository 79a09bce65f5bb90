# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::DeviceAuthentication;

# What conf-examples/device-authentication.conf promises.

use strict;
use warnings;
use Examples qw(ask start log_of_the_example warnings_at_start);
use Test::More;

use constant DAY => 86_400;

my %NOBODY = ('X-Device-Kind' => undef, 'X-Device-Serial' => undef);

# ---- makers and their devices ----

sub ca {
    my ($lab, $name, $issuer, $organisation, $cn) = @_;
    return $lab->make("edge-$name", ca => 1, issuer => $issuer eq 'self' ? $issuer : "edge-$issuer",
        subject => [O => $organisation, CN => $cn]);
}

sub device {
    my ($lab, $name, $issuer, $organisation, %more) = @_;
    return $lab->make("edge-$name", issuer => "edge-$issuer",
        subject => [O => $organisation, OU => $more{OU} // 'Device', serialNumber => uc $name]);
}

sub make_devices {
    my ($lab) = @_;
    ca($lab, 'camera-root', 'self', 'Cyclops Cameras', 'Cyclops Root');
    ca($lab, 'camera-ca', 'camera-root', 'Cyclops Cameras', 'Cyclops Issuing');
    ca($lab, 'camera-old', 'camera-root', 'Cyclops Cameras', 'Cyclops Issuing 2019');
    ca($lab, 'camera-sub', 'camera-ca', 'Cyclops Cameras', 'Cyclops Sub');
    device($lab, 'camera', 'camera-ca', 'Cyclops Cameras', OU => 'Camera');
    device($lab, 'camera-lost', 'camera-ca', 'Cyclops Cameras', OU => 'Camera');
    device($lab, 'camera-2', 'camera-ca', 'Cyclops Cameras', OU => 'Camera');
    device($lab, 'recorder', 'camera-ca', 'Cyclops Cameras', OU => 'Recorder');
    device($lab, 'camera-of-old', 'camera-old', 'Cyclops Cameras', OU => 'Camera');
    device($lab, 'camera-of-sub', 'camera-sub', 'Cyclops Cameras', OU => 'Camera');

    ca($lab, 'aquila-root', 'self', 'Aquila Meters', 'Aquila Root');
    ca($lab, 'aquila-ca', 'aquila-root', 'Aquila Meters', 'Aquila Issuing');
    ca($lab, 'borealis-root', 'self', 'Borealis', 'Borealis Root');
    device($lab, 'meter', 'aquila-ca', 'Aquila Meters');
    device($lab, 'meter-lost', 'aquila-ca', 'Aquila Meters');
    device($lab, 'meter-b', 'borealis-root', 'Borealis');
    device($lab, 'meter-b-lost', 'borealis-root', 'Borealis');
    device($lab, 'meter-false', 'borealis-root', 'Aquila Meters');

    ca($lab, 'lift-root', 'self', 'Lifts', 'Lift Root');
    ca($lab, 'lift-ca', 'lift-root', 'Lifts', 'Lift Issuing');
    ca($lab, 'lift-other', 'lift-root', 'Lifts', 'Lift Other');
    device($lab, 'lift', 'lift-ca', 'Lifts');
    device($lab, 'lift-by-other', 'lift-other', 'Lifts');
    return;
}

# ---- what they hand in, as the head of the example describes it ----

sub camera_crl {
    my ($lab, %more) = @_;
    return $lab->crl('edge-camera-ca', revoked => ['edge-camera-lost'], %more);
}

sub lay_out {
    my ($lab) = @_;
    make_devices($lab);
    $lab->install('trust/cameras/chain.pem', map { "edge-camera-$_" } qw(ca old root));
    $lab->write_file('trust/cameras/crl/root.pem',
        $lab->crl('edge-camera-root', revoked => ['edge-camera-old']));
    $lab->write_file('trust/cameras/crl/ca.pem', camera_crl($lab));
    $lab->write_file('trust/cameras/crl/old.pem', $lab->crl('edge-camera-old'));
    $lab->install('trust/meters/ca/aquila-root.pem', 'edge-aquila-root');
    $lab->install('trust/meters/ca/aquila-issuing.pem', 'edge-aquila-ca');
    $lab->install('trust/meters/ca/borealis-root.pem', 'edge-borealis-root');
    $lab->write_file('trust/meters/crl/aquila.der',
        der($lab, $lab->crl('edge-aquila-ca', revoked => ['edge-meter-lost'])));
    $lab->install('trust/lifts/issuing-ca.pem', 'edge-lift-ca');
    $lab->write_file('trust/blocked-keys', "# nobody yet\n");
    return;
}

sub der {
    my ($lab, $pem) = @_;
    my $file = $lab->write_file('list.pem', $pem);
    return ($lab->run(qw(openssl crl -outform DER -in), $file))[0];
}

# ---- requests ----

sub run {
    my ($lab) = @_;
    lay_out($lab);
    my ($url) = start($lab, 'device-authentication.conf', TRUST => $lab->dir . '/trust',
        RELOAD_SECONDS => 1, map { (uc($_) . '_URL' => 'http://127.0.0.1:' . $lab->start_echo($_)) }
            qw(website devices));
    ask($lab, $url, website_rows(), camera_rows(), meter_rows(), lift_rows(), firmware_rows());
    is_deeply([warnings_at_start($lab)], [], 'nothing to warn of at start');
    reload($lab, $url);
    block($lab, $url);
    like(log_of_the_example($lab), qr{^\S+ CAMERA \[.*"GET /cameras/ [^"]+" 200 verdict=allow}m,
        'the log names the device');
    return;
}

sub website_rows {
    return (
        ['website: nobody', '/', undef, '200 -', server => 'website', backend => \%NOBODY],
        ['website: whatever is shown', '/', 'self-signed', '200 -', server => 'website'],
        ['website: nobody is told', '/', 'edge-camera', '200 -', backend => \%NOBODY],
        ['website: forged', '/', undef, '200 -', backend => \%NOBODY,
            headers => ['X-Device-Kind: cameras', 'X_Device_Serial: 1']],
        ['another spelling ends at the website', '/Cameras/', undef, '200 -',
            server => 'website'],
        ['a roundabout path ends nowhere', '/x/../cameras/', undef, '400 -', path_as_is => 1],
    );
}

sub camera_rows {
    my $path = '/cameras/';
    my %known = ('X-Device-Kind' => 'cameras', 'X-Device-Serial' => 'CAMERA');
    return (
        ['cameras: no certificate', $path, undef, '403 no_certificate',
            page => qr/Reason: no_certificate\n/],
        ['cameras: a camera', $path, 'edge-camera', '200 ok', server => 'devices',
            backend => \%known, user => 'CAMERA'],
        ['cameras: forged', $path, 'edge-camera', '200 ok', backend => \%known,
            headers => ['X-Device-Kind: lifts', 'X_Device_Serial: 1']],
        ['cameras: its intermediate came with the chain', $path, 'edge-camera', '200 ok',
            leaf_only => 1],
        ['cameras: another device of the maker', $path, 'edge-recorder', '403 subject_mismatch'],
        ['cameras: revoked', $path, 'edge-camera-lost', '403 revoked_crl',
            page => qr/Reason: revoked_crl\n/],
        ['cameras: of a CA that is revoked', $path, 'edge-camera-of-old', '403 revoked_crl'],
        ['cameras: of a CA one step too deep', $path, 'edge-camera-of-sub', '403 chain_invalid'],
        ['cameras: a meter', $path, 'edge-meter', '403 chain_incomplete'],
        ['cameras: a session made by a meter', $path, 'edge-meter', '403 chain_incomplete',
            resume => '/meters/', session => 'Resumed'],
        ['cameras: a session made elsewhere', $path, 'edge-camera', '200 ok',
            resume => '/firmware/', session => 'Resumed'],
    );
}

sub meter_rows {
    my $path = '/meters/';
    return (
        ['meters: the first maker', $path, 'edge-meter', '200 ok',
            backend => { 'X-Device-Kind' => 'meters' }],
        ['meters: the second, which has no CRL', $path, 'edge-meter-b', '200 ok'],
        ['meters: revoked by the first', $path, 'edge-meter-lost', '403 revoked_crl'],
        ['meters: one maker speaks for the other', $path, 'edge-meter-false',
            '403 none_matched'],
        ['meters: a camera', $path, 'edge-camera', '403 chain_incomplete'],
    );
}

sub lift_rows {
    my $path = '/lifts/';
    return (
        ['lifts: issued by the CA in the file', $path, 'edge-lift', '200 ok',
            backend => { 'X-Device-Kind' => 'lifts' }],
        ['lifts: which need not be sent', $path, 'edge-lift', '200 ok', leaf_only => 1],
        ['lifts: another CA of the same root', $path, 'edge-lift-by-other',
            '403 chain_incomplete'],
    );
}

sub firmware_rows {
    my $path = '/firmware/';
    return (
        (map { ["firmware: $_->[0]", $path, "edge-$_->[0]", '200 ok',
            backend => { 'X-Device-Kind' => $_->[1] }] }
            ['camera', 'cameras'], ['meter-b', 'meters'], ['lift', 'lifts']),
        ['firmware: revoked stays revoked', $path, 'edge-camera-lost', '403 revoked_crl'],
        ['firmware: a stranger', $path, 'stranger-with-root', '403 chain_untrusted'],
    );
}

# ---- what changes while it runs ----

sub reload {
    my ($lab, $url) = @_;
    my @camera = ('/cameras/', 'edge-camera');
    my $both = camera_crl($lab, revoked => ['edge-camera-lost', 'edge-camera']);
    ask($lab, $url, ['before', @camera, '200 ok']);
    $lab->write_file('trust/cameras/crl/ca.pem', $both);
    ask($lab, $url,
        ['a new CRL lists it', @camera, '403 revoked_crl', until => 1],
        ['at every path', '/firmware/', 'edge-camera', '403 revoked_crl', until => 1],
        ['also with a session made where nobody minds', '/cameras/', 'edge-camera',
            '403 revoked_crl', until => 1, resume => '/', session => 'Resumed'],
        ['and no other', '/cameras/', 'edge-camera-2', '200 ok']);

    $lab->write_file('trust/cameras/crl/ca.pem', camera_crl($lab, age => 30 * DAY, to => -DAY));
    ask($lab, $url, ['a CRL that ran out', '/cameras/', 'edge-camera-2', '503 crl_unavailable',
        until => 1, page => qr/Reason: crl_unavailable\n/]);
    $lab->write_file('trust/cameras/crl/ca.pem', camera_crl($lab));
    ask($lab, $url, ['the CRL without it', @camera, '200 ok', until => 1]);
    return;
}

sub block {
    my ($lab, $url) = @_;
    my @lost = ('/meters/', 'edge-meter-b-lost');
    ask($lab, $url, ['lost, and nobody knows yet', @lost, '200 ok']);
    $lab->write_file('trust/blocked-keys', '# lost in March' . "\n"
        . $lab->spki_of('edge-meter-b-lost') . "\n");
    ask($lab, $url,
        ['its key is blocked', @lost, '403 excluded', until => 1],
        ['the others come in', '/meters/', 'edge-meter-b', '200 ok']);
    return;
}

1;
