# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What a response has to prove before it counts: signed by whom, for which certificate, when. And
# whom the gateway contacts at all, and for whose certificates.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Crowd qw(in_parallel ask_timed);
use MTLSTest::Ocsp  qw(make_certificate cert_id serial_hex);
use MTLSTest::Responder;

use constant { DAY => 86_400 };

my $responder = MTLSTest::Responder->start(
    name => 'proofs',
    cas  => [qw(carc-i101l carc-i102l lookalike-i101l)]
);

# --- who signs ------------------------------------------------------------------------------------
my @ocsp_signing = (eku => ['1.3.6.1.5.5.7.3.9']);
my $ca_name      = [O => 'Carcano', CN => 'CARC I101L'];
make_certificate('d-good',     @ocsp_signing);
make_certificate('d-no-eku',   eku => ['clientAuth']);
make_certificate('d-bare',     eku => undef);
make_certificate('d-any-eku',  eku => ['anyEKU']);
make_certificate('d-expired',  @ocsp_signing, from   => -3 * DAY, to => -DAY);
make_certificate('d-early',    @ocsp_signing, from   => DAY,      to => 3 * DAY);
make_certificate('d-other-ca', @ocsp_signing, issuer => 'carc-i102l');
make_certificate('d-root',     @ocsp_signing, issuer => 'root');
make_certificate('d-namesake', @ocsp_signing, issuer => 'lookalike-i101l');
make_certificate('d-self',     @ocsp_signing, issuer => 'self');
make_certificate('d-forged',   @ocsp_signing, issuer => 'self', subject => $ca_name);
make_certificate('d-below',    @ocsp_signing, issuer => 'carc-s201l');
make_certificate('d-stranger', @ocsp_signing, issuer => 'stranger-root');

sub signed_by { my ($name, @more) = @_; return { signer => $name, certs => [$name, @more] } }

# --- certificates and what is answered for them: name, reason under require, response -------------
my $year_9999 = '99991231235959Z';
my @rows      = (
    ['direct',            'ok',               {}],
    ['by-name',           'ok',               { by_name => 1 }],
    ['ca-sent-along',     'ok',               { certs   => ['carc-i101l'] }],
    ['delegate',          'ok',               signed_by('d-good')],
    ['delegate-by-name',  'ok',               { %{ signed_by('d-good') }, by_name => 1 }],
    ['delegate-revokes',  'ocsp_revoked',     { %{ signed_by('d-good') }, status  => 'revoked' }],
    ['delegate-absent',   'ocsp_unavailable', { signer   => 'd-good' }],
    ['other-key',         'ocsp_unavailable', { key      => 'carc-i102l' }],
    ['garbled',           'ocsp_unavailable', { garbled  => 1 }],
    ['trailing',          'ocsp_unavailable', { trailing => "\0\0" }],
    ['no-eku',            'ocsp_unavailable', signed_by('d-no-eku')],
    ['bare',              'ocsp_unavailable', signed_by('d-bare')],
    ['any-eku',           'ocsp_unavailable', signed_by('d-any-eku')],
    ['expired-delegate',  'ocsp_unavailable', signed_by('d-expired')],
    ['early-delegate',    'ocsp_unavailable', signed_by('d-early')],
    ['other-ca-delegate', 'ocsp_unavailable', signed_by('d-other-ca', 'carc-i102l')],
    ['root-delegate',     'ocsp_unavailable', signed_by('d-root',     'root')],
    ['namesake-delegate', 'ocsp_unavailable', signed_by('d-namesake', 'lookalike-i101l')],
    ['self-delegate',     'ocsp_unavailable', signed_by('d-self')],
    ['forged-ca',         'ocsp_unavailable', signed_by('d-forged')],
    ['sub-delegate',      'ocsp_unavailable', signed_by('d-below',    'carc-s201l')],
    ['stranger-delegate', 'ocsp_unavailable', signed_by('d-stranger', 'stranger-root')],
    ['leaf-signs',        'ocsp_unavailable', signed_by('p-leaf-signs')],
    ['other-ca',          'ocsp_unavailable', signed_by('carc-i102l')],
    ['namesake-ca',       'ocsp_unavailable', signed_by('lookalike-i101l')],
    ['the-root',          'ocsp_unavailable', signed_by('root')],

    # for which certificate
    ['revoked',       'ocsp_revoked',     { status    => 'revoked' }],
    ['hold',          'ocsp_revoked',     { status    => 'revoked', reason     => 6 }],
    ['revoked-later', 'ocsp_revoked',     { status    => 'revoked', revoked_at => 3600 }],
    ['unknown',       'ocsp_unknown',     { status    => 'unknown' }],
    ['sha1-only',     'ok',               { sha1_only => 1 }],
    ['other-serial',  'ocsp_unavailable', { wrong     => [{}, 'partner'] }],
    [
        'other-issuer', 'ocsp_unavailable',
        { wrong => [{ name => 'carc-i102l', key => 'carc-i102l' }] }
    ],
    ['other-name-hash', 'ocsp_unavailable', { wrong => [{ name => 'carc-i102l' }] }],
    ['other-key-hash',  'ocsp_unavailable', { wrong => [{ key  => 'lookalike-i101l' }] }],
    ['second-of-two',  'ok',           { others_of => [['partner', 'revoked']] }],
    ['second-revoked', 'ocsp_revoked', { others_of => [['partner', 'good']], status => 'revoked' }],

    # when
    ['expired',        'ocsp_unavailable', { this     => -7200, next => -3600 }],
    ['future',         'ocsp_unavailable', { this     => 3000,  next => 9000 }],
    ['backwards',      'ocsp_unavailable', { this     => -10,   next => -20 }],
    ['produced-ahead', 'ocsp_unavailable', { produced => 3000 }],
    ['within-skew',    'ok',               { this     => 100,   next => 4000, produced => 100 }],
    ['just-run-out',   'ok',               { this     => -7200, next => -100 }],
    ['9999',        'ok',               { next => $year_9999 }],
    ['this-9999',   'ocsp_unavailable', { this => $year_9999, next => $year_9999, produced => 0 }],
    ['no-date',     'ocsp_unavailable', { next => '20261332000000Z' }],
    ['no-next',     'ok',               { next => undef }],
    ['no-next-old', 'ocsp_unavailable', { next => undef, this => -7200 }],

    # how it is said
    ['chunked',        'ok', { http      => 'chunked' }],
    ['post-only',      'ok', { post_only => 1 }],
    ['many-addresses', 'ok', {}],
);

for my $row (@rows) {
    my ($name, undef, $spec) = @$row;
    my $cert = "p-$name";
    make_certificate($cert,
        ocsp => $name eq 'many-addresses'
        ? ['ldap://127.0.0.1/', 'file:///etc/passwd', "ht\ntp://x/", $responder->url]
        : [$responder->url("/$name/")]);
    my %o = %$spec;
    if (my $wrong = delete $o{wrong}) {
        my ($hashes, $of) = @$wrong;
        $o{id} = cert_id('carc-i101l', pack('H*', serial_hex($of // $cert)), 'sha256', %$hashes);
    }
    if (my $others = delete $o{others_of}) {
        $o{others} = [
            map {
                my ($of, $status) = @$_;
                [
                    cert_id('carc-i101l', pack('H*', serial_hex($of)), 'sha256'),
                    { status => $status }
                ]
            } @$others
        ];
    }
    $responder->set($cert, %o);
}

# O8: two CAs of one name, and one serial.
my $twin = "\x41" . 'twins have it';
for my $ca ('carc-i101l', 'lookalike-i101l') {
    make_certificate(
        "p-twin-$_-$ca",
        issuer => $ca,
        serial => "$twin $_",
        ocsp   => [$responder->url]
    ) for 'a', 'b';
}
$responder->set('p-twin-a-carc-i101l',      status => 'good');
$responder->set('p-twin-a-lookalike-i101l', status => 'revoked');
$responder->set('p-twin-b-carc-i101l',      status => 'revoked');
$responder->set('p-twin-b-lookalike-i101l', status => 'good');

# O9: somebody else's certificates with a victim's serial.
make_certificate("p-victim$_", ocsp => [$responder->url]) for '', '-2';
my $victims = pack 'H*', serial_hex('p-victim');
make_certificate('p-self-signed', issuer => 'self', serial => $victims, ocsp => [$responder->url]);
make_certificate(
    'p-stranger',
    issuer => 'stranger-root',
    serial => $victims,
    ocsp   => [$responder->url]
);
make_certificate(
    'p-impostor',
    issuer => 'lookalike-i101l',
    serial => $victims,
    ocsp   => [$responder->url]
);
make_certificate(
    'p-outdated',
    serial => $victims,
    from   => -3 * DAY,
    to     => -DAY,
    ocsp   => [$responder->url]
);
$responder->set($_, status => 'good') for qw(p-victim p-outdated);

# nonces
make_certificate("p-nonce-$_", ocsp => [$responder->url]) for qw(right none wrong on-none on-wrong);
$responder->set('p-nonce-right', status => 'good');
$responder->set("p-nonce-$_",    status => 'good', no_nonce    => 1) for qw(none on-none);
$responder->set("p-nonce-$_",    status => 'good', other_nonce => 1) for qw(wrong on-wrong);

# --- addresses: none of them is ever connected to -------------------------------------------------
my $quiet   = MTLSTest::Responder->start(name => 'quiet', default => { status => 'good' });
my $port    = $quiet->port;
my %address = (
    loopback       => "http://127.0.0.1:$port/",
    'another-one'  => "http://127.8.9.10:$port/",
    localhost      => "http://localhost:$port/",
    short          => "http://127.1:$port/",
    number         => "http://2130706433:$port/",
    hex            => "http://0x7f000001:$port/",
    octal          => "http://0177.0.0.1:$port/",
    any            => "http://0.0.0.0:$port/",
    'any-6'        => "http://[::]:$port/",
    'loopback-6'   => "http://[::1]:$port/",
    mapped         => "http://[::ffff:127.0.0.1]:$port/",
    'mapped-hex'   => "http://[::ffff:7f00:1]:$port/",
    compatible     => "http://[::127.0.0.1]:$port/",
    'link-local'   => "http://169.254.169.254/latest/meta-data/",
    'link-local-6' => "http://[fe80::1]:$port/",
    user           => "http://ocsp.example\@127.0.0.1:$port/",
    upper          => "HTTP://LOCALHOST:$port/",
    dot            => "http://localhost.:$port/",
    https          => "https://127.0.0.1:$port/",
    file           => 'file:///etc/passwd',
    gopher         => "gopher://127.0.0.1:$port/_GET%20/",
    ftp            => "ftp://127.0.0.1:$port/",
    ldap           => "ldap://127.0.0.1:$port/",
    'crlf'         => "http://127.0.0.1:$port/\r\nHost: x",
    nul            => "http://127.0.0.1:$port/\0.example/",
    empty          => '',
    nothing        => 'http://',
    relative       => '/ocsp',
    long           => "http://127.0.0.1:$port/" . 'x' x 9000,
);
make_certificate("a-$_", ocsp => [$address{$_}]) for sort keys %address;

# --- the servers ----------------------------------------------------------------------------------
sub vhost {
    my ($name, @lines) = @_;
    return join "\n", "Listen 127.0.0.1:\@Port_$name\@",
        "<VirtualHost 127.0.0.1:\@Port_$name\@>", 'ServerName gateway.test', '@TLS@',
        'MTLSHandshake defer',
        'AliasMatch "^/" "@Htdocs@/index.html"',
        'Header always set X-Reason "expr=%{reqenv:MTLS_REASON}"', @lines,
        map({ "<Location \"/$_\">\nMTLSOCSP $_\n</Location>" } 'require', 'prefer'),
        "<Location \"/namesakes\">\nMTLSTrust namesakes\nMTLSOCSP require\n</Location>",
        '</VirtualHost>', '';
}
my $everybody = <<'CONF';
MTLSOCSPTimeout 60
MTLSOCSPWait 30
<Directory "@Htdocs@">
Require all granted
</Directory>
<MTLSTrustStore "namesakes">
MTLSAnchor "@PKI@/root.crt" "@PKI@/lookalike-root.crt"
MTLSIntermediate "@PKI@/carc-i101l.crt" "@PKI@/lookalike-i101l.crt"
</MTLSTrustStore>
CONF
my $server = private(
    name   => 'ocsp-proofs',
    config => join '',
    'MTLSOCSPResponderAllow ' . $responder->host . "\n", $everybody, vhost('Main'),
    vhost('NonceOn', 'MTLSOCSPNonce on'), vhost('NonceRequired', 'MTLSOCSPNonce require')
);

# --- the table ------------------------------------------------------------------------------------
my @results = in_parallel(
    2,
    sub {
        my $cert = "p-$_[0][0]";
        my %r;
        for my $path ('require', 'prefer') {
            my $asked = ask_timed($server, "/$path", cert => $cert);
            $r{$path} = $asked->{error} // $asked->{outcome};
        }
        return \%r;
    },
    @rows
);
for my $i (0 .. $#rows) {
    my ($name, $reason) = @{ $rows[$i] };
    my ($status) = outcome_of($reason) =~ /\A(\d+)/;
    is($results[$i]{require}, "$status $reason", "$name: require");
    is(
        $results[$i]{prefer},
        $reason eq 'ocsp_revoked' ? '403 ocsp_revoked' : '200 ok',
        "$name: prefer"
    );
    cmp_ok($responder->requests("p-$name"), '>=', 1, "$name: the responder was asked");
}
is_deeply(
    [map { $_->{hash} } $responder->asked('p-sha1-only')],
    ['sha256', 'sha1'],
    'SHA-256 first, then SHA-1'
);
is_deeply(
    [map { $_->{method} } $responder->asked('p-post-only')],
    ['GET', 'POST'],
    'POST where GET is not understood'
);

# --- the same name, the same serial ---------------------------------------------------------------
for my $row (
    ['a-carc-i101l',      'ok'],
    ['a-lookalike-i101l', 'ocsp_revoked'],
    ['a-carc-i101l',      'ok'],
    ['b-carc-i101l',      'ocsp_revoked'],
    ['b-lookalike-i101l', 'ok'],
    ['b-carc-i101l',      'ocsp_revoked']
    )
{
    my ($twin, $reason) = @$row;
    outcome_is($server->tls(cert => "p-twin-$twin")->request('/namesakes'),
        outcome_of($reason), "twins: $twin");
}

# --- who is not trusted is not asked about --------------------------------------------------------
my $before = $responder->connections;
for my $row (
    ['p-self-signed', 'chain_untrusted'],
    ['p-stranger',    'chain_incomplete'],
    ['p-impostor',    'chain_untrusted'],
    ['p-outdated',    'expired']
    )
{
    my ($cert, $reason) = @$row;
    for my $path ('/require', '/prefer') {
        my $tls = $server->tls(cert => $cert);
        next if defined $tls->error;    # what mod_ssl itself refuses
        outcome_is($tls->request($path), outcome_of($reason), "$cert at $path");
    }
}
is($responder->connections, $before, 'for none of them the responder was contacted');
allowed($server->tls(cert => 'p-victim')->request('/require'), 'whose serial they had: good');
$responder->set('p-victim-2', status => 'revoked');
denied($server->tls(cert => 'p-victim-2')->request('/require'), 'ocsp_revoked', 'and another');

# --- nonces ---------------------------------------------------------------------------------------
for my $row (
    ['right',    'noncerequired', 'ok'],
    ['none',     'noncerequired', 'ocsp_unavailable'],
    ['wrong',    'noncerequired', 'ocsp_unavailable'],
    ['on-none',  'nonceon',       'ok'],
    ['on-wrong', 'nonceon',       'ocsp_unavailable']
    )
{
    my ($name, $vhost, $reason) = @$row;
    outcome_is($server->tls(cert => "p-nonce-$name", vhost => $vhost)->request('/require'),
        outcome_of($reason), "$vhost: nonce: $name");
}
{
    my %seen = map { ($_->{nonce} // 'none') => 1 }
        map { $responder->asked("p-nonce-$_") } qw(right none wrong on-none on-wrong);
    cmp_ok(scalar keys %seen, '>=', 5, 'each request has a nonce of its own');
    ok(!$seen{none}, 'and all have one');
    is(($responder->asked('p-direct'))[0]{nonce}, undef, 'unless it is off');
}
is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');
$server->stop;

# --- without MTLSOCSPResponderAllow ---------------------------------------------------------------
my $careful = private(name => 'ocsp-careful', config => $everybody . vhost('Main'));
make_certificate('a-own', ocsp => ['http://127.0.0.1:' . $careful->port('main') . '/']);
$quiet->set("a-$_", status => 'good') for keys %address;
for my $name (sort(keys %address), 'own') {
    my $tls = $careful->tls(cert => "a-$name");
    my $r   = $tls->request('/require');
    outcome_is($r,                       outcome_of('ocsp_no_responder'), "$name: not contacted");
    outcome_is($tls->request('/prefer'), outcome_of('ok'),                "$name: prefer passes");
}
is($quiet->connections, 0, 'no connection was made');
$careful->stop;

# --- with it: those, and no others ----------------------------------------------------------------
my $listed    = MTLSTest::Responder->start(name => 'listed', default => { status => 'good' });
my $listed_at = 'localhost:' . $listed->port;
make_certificate('a-listed',      ocsp => ["http://$listed_at/x/"]);
make_certificate('a-listed-else', ocsp => ['http://localhost:' . $quiet->port . '/']);
make_certificate('a-redirects',   ocsp => ["http://$listed_at/"]);
make_certificate('a-proxied',     ocsp => ['http://ocsp.carcano.test/some/path']);
make_certificate('a-unlisted',    ocsp => ['http://other.carcano.test/']);
$listed->set('a-listed',    status => 'good');
$listed->set('a-redirects', http   => 'redirect');
$listed->set('a-proxied',   status => 'good');
my $strict = private(
    name   => 'ocsp-listed',
    config => join '',
    "MTLSOCSPResponderAllow $listed_at\n",
    $everybody, vhost('Main')
);
allowed($strict->tls(cert => 'a-listed')->request('/require'), 'a host in the list');
denied($strict->tls(cert => 'a-listed-else')->request('/require'),
    'ocsp_no_responder', 'another port of it');
denied($strict->tls(cert => 'a-loopback')->request('/require'),
    'ocsp_no_responder', 'the same machine by another name');
outcome_is(
    $strict->tls(cert => 'a-redirects')->request('/require'),
    outcome_of('ocsp_unavailable'),
    'a redirect'
);
is(scalar(grep { $_->{target} =~ /again/ } $listed->asked), 0, 'is not followed');
is($quiet->connections,                                     0, 'nobody else was contacted');
$strict->stop;

# --- MTLSOCSPProxy --------------------------------------------------------------------------------
my $proxied = private(
    name   => 'ocsp-proxied',
    config => join '',
    'MTLSOCSPProxy ' . $listed->url =~ s{/\z}{}r . "\n",
    "MTLSOCSPResponderAllow ocsp.carcano.test\n", $everybody, vhost('Main')
);
allowed($proxied->tls(cert => 'a-proxied')->request('/require'), 'through MTLSOCSPProxy');
like(
    ($listed->asked('a-proxied'))[0]{target},
    qr{\Ahttp://ocsp\.carcano\.test(?::80)?/some/path},
    'by the whole address'
);
denied($proxied->tls(cert => 'a-unlisted')->request('/require'),
    'ocsp_no_responder', 'the list counts for it, too');
is($listed->requests('a-unlisted'), 0, 'the proxy was not asked');

done_testing;
