# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::MutualTLS;

# What conf-examples/mutual-tls-and-ocsp-stapling.conf promises, with a CA and a responder of cfssl.

use strict;
use warnings;
use Examples qw(ask start examples log_of_the_example warnings_at_start);
use Loopback qw(free_port);
use Test::More;

use constant START_SECONDS => 120;

my $ORGANISATION = 'Big Partner Foo SA';
my $CN           = 'client.bigpartner.example';
my $EMAIL        = 'ops@bigpartner.example';

# ---- the CA ----

sub ca {
    my ($lab, @command) = @_;
    my $folder = $lab->dir . '/ca';
    system('sh', '-c', 'cd "$0" && exec "$@"', $folder, examples() . '/cfssl/ca', @command) == 0
        or die "cfssl/ca @command failed\n";
    return;
}

# Its files under the names that the other examples' have, where curl_arguments() looks for them.
sub install {
    my ($lab, @names) = @_;
    my $from = $lab->dir . '/ca';
    for my $name (@names) {
        $lab->write_file("pki/$name$_->[1]", $lab->read_file("$from/$name$_->[0]"))
            for ['.pem', '.crt'], ['-chain.pem', '-chain.crt'], ['-key.pem', '.key'];
    }
    $lab->write_file('pki/root.crt', $lab->read_file("$from/root.pem"));
    $lab->use_pki($lab->dir . '/pki');
    return;
}

sub client {
    my ($lab, $ca, $name, %field) = @_;
    my %f = (CN => $CN, O => $ORGANISATION, OU => 'API', email => $EMAIL, %field);
    ca($lab, 'client', $ca, $name, @f{qw(CN O OU email)});
    return $name;
}

sub make_ca {
    my ($lab, $port) = @_;
    mkdir $lab->dir . '/ca';
    local $ENV{OCSP_URL} = "http://127.0.0.1:$port";
    ca($lab, 'root');
    ca($lab, 'issuing', @$_) for ['carc-i101l', 'CARC I101L'], ['carc-i102l', 'CARC I102L'],
        ['lookalike', 'CARC I101L'];
    ca($lab, 'server', 'carc-i101l', 'server', 'localhost');
    my @clients = (
        (map { client($lab, 'carc-i101l', $_) } qw(partner partner-2 partner-3 lost stranger)),
        client($lab, 'carc-i101l', 'other',      O     => 'Other Partner SA'),
        client($lab, 'carc-i102l', 'by-i102l'),
        client($lab, 'lookalike',  'by-lookalike'),
        client($lab, 'carc-i101l', 'batch',      CN    => 'batch-12.bigpartner.example'),
        client($lab, 'carc-i101l', 'more-after', CN    => "$CN.evil"),
        client($lab, 'carc-i101l', 'sales',      OU    => 'Sales'),
        client($lab, 'carc-i101l', 'mail',       email => 'ops@notbigpartner.example'),
    );
    ca($lab, 'status', 'carc-i101l', 'lost', 'revoked');
    # The responder knows nothing of this one.
    unlink $lab->dir . '/ca/responses/stranger-response.der';
    install($lab, qw(server carc-i101l), @clients);
    return;
}

# ---- the responder ----

sub start_responder {
    my ($lab, $port) = @_;
    return $lab->start_responder($port, $lab->dir . '/ca', examples() . '/cfssl/ca',
        'serve', '127.0.0.1', $port);
}

# ---- requests ----

# openssl's words about the response the server staples.
sub stapled {
    my ($lab, $url) = @_;
    my ($address) = $url =~ m{//(.*)};
    my ($said) = $lab->run('sh', '-c', "openssl s_client -connect $address -status "
        . '-CAfile "$0" -verify_return_error </dev/null', $lab->pki . '/root.crt');
    return $said;
}

sub staple {
    my ($lab, $url) = @_;
    # The first handshake asks the responder; mod_ssl may give up on it when the machine is slow.
    my $said = $lab->await(START_SECONDS, sub {
        my $text = stapled($lab, $url);
        return $text =~ /OCSP Response Status: successful/ && $text;
    }) // stapled($lab, $url);
    like($said, qr/OCSP Response Status: successful \(0x0\)/, 'the server staples a response');
    like($said, qr/Cert Status: good/, 'which says that its certificate is good');
    like($said, qr/Verify return code: 0 \(ok\)/, 'and the certificate is ours');
    return;
}

sub rows {
    my %good = ('X-Client-Name' => $CN, 'X-Client-Status' => 'good');
    my %nobody = map { $_ => undef } keys %good;
    my $path = '/restricted/';
    return (
        ['public', '/', undef, '200 -', backend => \%nobody],
        ['public, whatever is shown', '/', 'lost', '200 -', backend => \%nobody],
        ['no certificate', $path, undef, '403 no_certificate'],
        ['the partner', $path, 'partner', '200 ok', backend => \%good, user => $CN],
        ['forged', $path, 'partner', '200 ok', backend => \%good,
            headers => ['X-Client-Name: admin', 'X_Client_Status: good']],
        ['a resumed session', $path, 'partner', '200 ok', resume => '/', session => 'Resumed',
            backend => \%good],
        ['HTTP/2', $path, 'partner', '200 ok', http2 => 1, protocol => 'HTTP/2.0'],
        ['another organisation', $path, 'other', '403 subject_mismatch',
            page => qr/Reason: subject_mismatch\n/],
        ['the right organisation from another CA', $path, 'by-i102l', '403 issuer_mismatch'],
        ['a CA below our root that took the name', $path, 'by-lookalike', '403 pin_mismatch'],
        ['revoked', $path, 'lost', '403 ocsp_revoked', page => qr/Reason: ocsp_revoked\n/],
        ['revoked, where the status is only preferred', "${path}prices/", 'lost',
            '403 ocsp_revoked'],
        ['the responder does not know it', $path, 'stranger', '503 ocsp_unavailable'],
        ['where it is only preferred', "${path}prices/", 'stranger', '200 ok',
            backend => { 'X-Client-Status' => 'unavailable' }],
    );
}

sub regex_rows {
    my $path = '/restricted/orders/';
    return (
        ['an API client', $path, 'partner', '200 ok'],
        ['a batch client', $path, 'batch', '200 ok'],
        ['more after the name', $path, 'more-after', '403 subject_mismatch'],
        ['another unit', $path, 'sales', '403 subject_mismatch'],
        ['mail of another domain', $path, 'mail', '403 san_mismatch'],
    );
}

# ---- what changes while it runs ----

sub revoke {
    my ($lab, $url, $port, $responder) = @_;
    my @partner = ('/restricted/', 'partner', '403 ocsp_revoked');
    ca($lab, 'status', 'carc-i101l', 'partner', 'revoked');
    $lab->stop($responder);
    $responder = start_responder($lab, $port);
    ask($lab, $url,
        ['the partner is revoked', @partner, until => 1, page => qr/Reason: ocsp_revoked\n/],
        ['with a resumed session', @partner, until => 1, resume => '/', session => 'Resumed'],
        ['on HTTP/2', @partner, until => 1, http2 => 1, protocol => 'HTTP/2.0'],
        ['where the status is only preferred', '/restricted/prices/', 'partner',
            '403 ocsp_revoked', until => 1],
        ['the public page stays public', '/', 'partner', '200 -'],
        ['its other certificate is good', '/restricted/', 'partner-2', '200 ok', until => 1]);
    return $responder;
}

sub responder_down {
    my ($lab, $url, $port, $responder) = @_;
    my @new = ('/restricted/', 'partner-3');
    $lab->stop($responder);
    ask($lab, $url,
        ['responder down: a status that is known serves on', '/restricted/', 'partner-2',
            '200 ok', backend => { 'X-Client-Status' => 'good' }],
        ['one that is not', @new, '503 ocsp_unavailable',
            page => qr/Reason: ocsp_unavailable\n/],
        ['may be asked for again', @new, '503 ocsp_unavailable', method => 'HEAD',
            page => qr/^Retry-After: \d+\r$/m],
        ['where it is only preferred', '/restricted/prices/', 'partner-3', '200 ok',
            backend => { 'X-Client-Status' => 'unavailable' }],
        ['revoked stays revoked', '/restricted/prices/', 'partner', '403 ocsp_revoked']);
    like(stapled($lab, $url), qr/Cert Status: good/, 'the staple is still there');
    start_responder($lab, $port);
    ask($lab, $url, ['responder up again: nobody does anything', @new, '200 ok', until => 1,
        backend => { 'X-Client-Status' => 'good' }]);
    return;
}

# What cfssl/ca says of its folder responses/: it will do without any responder.
sub closed_network {
    my ($lab) = @_;
    my ($port, $dir, $pki) = (free_port(), $lab->dir, $lab->pki);
    my $conf = $lab->write_file('closed.conf', <<"CONF");
DocumentRoot $dir/docs
MTLSOCSPResponses $dir/ca/responses
MTLSOCSPResponderAllow none.invalid
<VirtualHost *:$port>
    SSLEngine             on
    SSLCertificateFile    $pki/server-chain.crt
    SSLCertificateKeyFile $pki/server.key
    SSLCACertificateFile  $dir/ca/root.pem
    SSLVerifyClient       optional_no_ca
    MTLSHandshake         defer
    MTLSOCSP              require
</VirtualHost>
CONF
    $lab->write_file('docs/index.txt', "hello\n");
    $lab->start_httpd('closed', listen => [$port], include => $conf);
    my @mine = ("https://localhost:$port/index.txt", certificate => 'partner-3');
    my $said = sub {
        my ($expected, @request) = @_;
        my $got = $lab->request_until($expected, 'closed', @request);
        return "$got->{status} $got->{reason}";
    };
    is($said->('200 ok', @mine), '200 ok', 'closed network: out of the folder');
    my @other = ($mine[0], certificate => 'stranger');
    is($said->('403 ocsp_no_responder', @other), '403 ocsp_no_responder',
        'closed network: what is not in it');
    ca($lab, 'status', 'carc-i101l', 'partner-3', 'revoked');
    is($said->('403 ocsp_revoked', @mine), '403 ocsp_revoked',
        'closed network: a new file, and no restart');
    return;
}

sub run {
    my ($lab) = @_;
    my $port = free_port();
    make_ca($lab, $port);
    my $responder = start_responder($lab, $port);
    my ($url) = start($lab, 'mutual-tls-and-ocsp-stapling.conf', CA => $lab->dir . '/ca',
        CARC_I101L_SPKI => $lab->spki_of('carc-i101l'),
        BACKEND_URL => 'http://127.0.0.1:' . $lab->start_echo('service'),
        OCSP_URL => "http://127.0.0.1:$port", OCSP_HOST => "127.0.0.1:$port",
        OCSP_CACHE => $lab->dir . '/gateway/ocsp', OCSP_MAX_AGE => 1);
    staple($lab, $url);
    # A request does not wait for a slow responder for long, and the next one has the status.
    ask($lab, $url, map { [@$_, until => 1] } rows(), regex_rows());
    my @warnings = warnings_at_start($lab);
    my $unknown  = qr/mtls_policy: OCSP: .*the responder says unauthorized/;
    ok(scalar(grep {/$unknown/} @warnings),
        'the log has the one that the responder does not know');
    is_deeply([grep { !/$unknown|OCSP: .*timed out/ } @warnings], [],
        'and nothing else to warn of');
    $responder = revoke($lab, $url, $port, $responder);
    responder_down($lab, $url, $port, $responder);
    like(log_of_the_example($lab),
        qr{^\S+ \Q$CN\E \[.*"GET /restricted/ [^"]+" 200 reason=ok status=good$}m,
        'the log names the user and the status');
    closed_network($lab);
    return;
}

1;
