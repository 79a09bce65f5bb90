# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::TrustConfigs;

# What conf-examples/trust-configs.conf promises.

use strict;
use warnings;
use Examples qw(ask start log_of_the_example warnings_at_start);
use MTLSPKI::Der qw(dns);
use Test::More;

use constant DAY => 86_400;

my %NOBODY = map { $_ => undef } qw(X-Client-Cert-Trust-Config X-Client-Cert-Hash
    X-Client-Cert-DNSName-SANs X-Client-Cert-Valid-Not-After);

sub device {
    my ($lab, $name, $dns, %more) = @_;
    return $lab->make("trust-$name", issuer => 'trust-device-root', san => [dns($dns)],
        subject => [O => 'Example Devices', CN => $name], %more);
}

# As the head of the example describes the folder.
sub lay_out {
    my ($lab) = @_;
    $lab->make('trust-device-root', ca => 1, issuer => 'self',
        subject => [O => 'Example Devices', CN => 'Device Root']);
    my %alone = (issuer => 'self', eku => ['serverAuth'], from => -30 * DAY, to => -DAY);
    device($lab, 'new', 'new.devices.example.com');
    device($lab, 'astray', 'new.elsewhere.example');
    device($lab, 'old-1', 'old-1.devices.example.com', %alone);
    device($lab, 'old-2', 'old-2.elsewhere.example', %alone);
    device($lab, 'twin', 'old-1.devices.example.com', %alone,
        subject => [O => 'Example Devices', CN => 'old-1']);
    $lab->make('trust-ed25519', key => 'ed25519');
    $lab->make('trust-no-eku', eku => undef);

    $lab->install('trust/partners/anchors/root.pem', 'root');
    $lab->install('trust/partners/anchors/second.pem', 'second-root');
    $lab->install('trust/partners/intermediates/i101l.pem', 'carc-i101l');
    $lab->install('trust/devices/root.pem', 'trust-device-root');
    $lab->install("trust/devices/allowed/$_.pem", "trust-$_") for qw(old-1 old-2);
    return;
}

sub run {
    my ($lab) = @_;
    lay_out($lab);
    my ($url) = start($lab, 'trust-configs.conf', TRUST => $lab->dir . '/trust',
        RELOAD_SECONDS => 1, BACKEND_URL => 'http://127.0.0.1:' . $lab->start_echo('api'));
    ask($lab, $url, partner_rows($lab), device_rows($lab), whole_host_rows($lab), open_rows($lab),
        session_rows());
    my @said = warnings_at_start($lab);
    is(scalar @said, 1, 'one warning at start') or diag(@said);
    like($said[0], qr/report/, 'it is about the section that only reports');
    like(names_sent($lab, $url), qr/Device Root.*Carcano Root R2|Carcano Root R2.*Device Root/s,
        'the names of the CAs of both are in the certificate request');
    reload($lab, $url);
    like(log_of_the_example($lab), qr{"GET /devices/ [^"]+" 403 verdict=deny reason=}, 'the log');
    return;
}

sub partner_rows {
    my ($lab) = @_;
    my $path = '/partners/';
    my %known = ('X-Client-Cert-Trust-Config' => 'partners',
        'X-Client-Cert-Hash' => $lab->sha256_of('partner'),
        'X-Client-Cert-DNSName-SANs' => 'client.bigpartner.example');
    return (
        ['partners: no certificate', $path, undef, '403 no_certificate',
            page => qr/Reason: no_certificate\n/],
        ['partners: one of theirs', $path, 'partner', '200 ok', backend => \%known],
        ['partners: forged headers', $path, 'partner', '200 ok', backend => \%known,
            headers => [map { ("$_: forged", lc($_ =~ tr/-/_/r) . ': forged') } keys %NOBODY]],
        ['partners: the other root', $path, 'partner-by-cross', '200 ok'],
        ['partners: the intermediate is known', $path, 'partner', '200 ok', leaf_only => 1],
        ['partners: this one is not', $path, 'other-partner', '403 chain_incomplete',
            leaf_only => 1],
        ['partners: unless it is sent', $path, 'other-partner', '200 ok'],
        ['partners: expired', $path, 'expired', '403 expired', page => qr/Reason: expired\n/],
        ['partners: a CA that took the name of ours', $path, 'lookalike-with-root',
            '403 chain_untrusted'],
        ['partners: no purpose in the certificate', $path, 'trust-no-eku', '403 eku_mismatch'],
        ['partners: a key that is not on the list', $path, 'trust-ed25519', '403 key_mismatch'],
        ['partners: one that is', $path, 'ec-p384', '200 ok'],
        ['partners: a device', $path, 'trust-new', '403 chain_incomplete'],
        ['partners: a device that is let in by itself', $path, 'trust-old-1',
            '403 chain_untrusted'],
    );
}

sub device_rows {
    my ($lab) = @_;
    my $path = '/devices/';
    return (
        ['devices: one of the CA', $path, 'trust-new', '200 ok',
            backend => { 'X-Client-Cert-Trust-Config' => 'devices' }],
        ['devices: a name of somewhere else', $path, 'trust-astray', '403 san_mismatch'],
        ['devices: self-signed and expired, let in by itself', $path, 'trust-old-1', '200 ok',
            backend => { 'X-Client-Cert-Trust-Config' => 'devices',
                'X-Client-Cert-Hash' => $lab->sha256_of('trust-old-1') }],
        ['devices: rules hold for these as well', $path, 'trust-old-2', '403 san_mismatch'],
        ['devices: the same names with another key', $path, 'trust-twin', '403 chain_untrusted'],
        ['devices: a partner', $path, 'partner', '403 chain_incomplete',
            page => qr/Reason: chain_incomplete\n/],
        ['devices: no certificate', $path, undef, '403 no_certificate'],
    );
}

sub whole_host_rows {
    my ($lab) = @_;
    return (
        ['elsewhere: no certificate', '/', undef, '403 no_certificate'],
        ['elsewhere: a partner', '/', 'partner', '200 ok',
            backend => { 'X-Client-Cert-Trust-Config' => 'partners' }],
        ['elsewhere: a device', '/', 'trust-new', '200 ok',
            backend => { 'X-Client-Cert-Trust-Config' => 'devices' }],
        ['elsewhere: an old device', '/', 'trust-old-1', '200 ok'],
        ['elsewhere: a stranger', '/', 'stranger-with-root', '403 chain_untrusted'],
    );
}

sub open_rows {
    my ($lab) = @_;
    my $path = '/telemetry/';
    return (
        ['telemetry: nobody', $path, undef, '200 no_certificate', backend => \%NOBODY],
        ['telemetry: a partner is nobody here', $path, 'partner', '200 chain_incomplete',
            backend => \%NOBODY],
        ['telemetry: a device', $path, 'trust-new', '200 ok',
            backend => { 'X-Client-Cert-Trust-Config' => 'devices' }],
        ['telemetry: forged headers', $path, undef, '200 no_certificate', backend => \%NOBODY,
            headers => [map { "$_: forged" } keys %NOBODY]],
        ['healthz', '/healthz', undef, '200 -'],
        ['healthz, whatever is shown', '/healthz', 'expired', '200 -'],
        ['its neighbour is not open', '/healthz-not', undef, '403 no_certificate'],
    );
}

# A session that one path made is judged by the trust config of the path where it arrives.
sub session_rows {
    my %resumed = (session => 'Resumed');
    return (
        ['session of /devices at /devices', '/devices/', 'trust-new', '200 ok',
            resume => '/devices/', %resumed],
        ['session of /devices at /partners', '/partners/', 'trust-new', '403 chain_incomplete',
            resume => '/devices/', %resumed],
        ['session of /partners at /devices', '/devices/', 'partner', '403 chain_incomplete',
            resume => '/partners/', %resumed],
        ['an old device, resumed', '/devices/', 'trust-old-1', '200 ok',
            resume => '/devices/', %resumed],
        ['its twin, resumed', '/devices/', 'trust-twin', '403 chain_untrusted',
            resume => '/devices/', %resumed],
        ['HTTP/2', '/devices/', 'trust-new', '200 ok', http2 => 1, protocol => 'HTTP/2.0'],
        ['HTTP/2, the other trust config', '/partners/', 'trust-new', '403 chain_incomplete',
            http2 => 1, protocol => 'HTTP/2.0'],
    );
}

sub names_sent {
    my ($lab, $url) = @_;
    my ($port) = $url =~ /:(\d+)\z/;
    return ($lab->run(qw(openssl s_client -tls1_2 -connect), "127.0.0.1:$port"))[0];
}

sub reload {
    my ($lab, $url) = @_;
    my @old = ('/devices/', 'trust-old-1');
    $lab->remove_file('trust/devices/allowed/old-1.pem');
    ask($lab, $url,
        ['its file is gone: refused', @old, '403 chain_untrusted', until => 1],
        ['the other one is still let in', '/devices/', 'trust-old-2', '403 san_mismatch']);
    $lab->install('trust/devices/allowed/old-1.pem', 'trust-old-1');
    ask($lab, $url, ['its file is back', @old, '200 ok', until => 1]);

    ask($lab, $url, ['a CA nobody knows', '/partners/', 'stranger', '403 chain_incomplete']);
    $lab->install('trust/partners/anchors/third.pem', 'stranger-root');
    ask($lab, $url,
        ['one more root in the folder', '/partners/', 'stranger', '200 ok', until => 1],
        ['not for devices', '/devices/', 'stranger', '403 chain_incomplete']);
    return;
}

1;
