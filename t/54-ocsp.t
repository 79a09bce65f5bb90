# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What a certificate's OCSP status decides, by Location, policy and trust store; on HTTP/2, on
# resumed sessions and on connections that are open when it is revoked.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Files qw(files_dir replace_file);
use MTLSTest::H2;
use MTLSTest::Layout qw(free_port);
use MTLSTest::Ocsp   qw(make_certificate);
use MTLSTest::Responder;
use MTLSTest::Streams qw(many);
use Time::HiRes       qw(time);

my @cas   = qw(root carc-i101l carc-i102l stranger-root);
my @below = map { "o-ca-$_" } qw(good revoked unknown down);
my $ours  = MTLSTest::Responder->start(name => 'ours',  cas => [@cas, @below]);
my $other = MTLSTest::Responder->start(name => 'other', cas => [@cas]);
my $gone  = 'http://127.0.0.1:' . free_port() . '/';

# --- certificates ---------------------------------------------------------------------------------
# The gateway remembers what clients sent besides their certificates in a bounded number of places
# by the certificate's hash. Two of these in one place would be luck, and no matter of OCSP.
my %taken;

sub client {
    my ($name, $status, %o) = @_;
    do { make_certificate("o-$name", ocsp => [$ours->url], %o) }
        while $taken{ substr sha256_of("o-$name"), 2, 2 }++;
    $ours->set("o-$name", status => $status) if defined $status;
    return;
}

client($_, $_)     for qw(good revoked unknown);
client($_, 'good') for qw(ruled stream late-h2 late-require late-prefer idle nowait overridden);
client("resume-$_",     'good') for qw(id ticket tls13);
client('whole',         undef);
client('hold',          'revoked', reason => 6);
client('down',          undef,     ocsp   => [$gone]);
client('none',          undef,     ocsp   => undef);
client('silent',        undef,     ocsp   => undef);
client('local',         undef,     ocsp   => undef);
client('local-revoked', undef,     ocsp   => undef);
client('crossed',       undef,     ocsp   => undef);
client('partner',       undef,     ocsp   => undef, issuer => 'stranger-root');
client('legacy',        'revoked', issuer => 'self');
client('first-down',    'good',    ocsp   => [$gone, $ours->url]);

for my $ca (@below) {
    my ($status) = $ca =~ /-(\w+)\z/;
    my $url = $status eq 'down' ? $gone : $ours->url;
    make_certificate(
        $ca,
        issuer  => 'root',
        ca      => 1,
        subject => [O => 'Carcano', CN => $ca],
        ocsp    => [$url]
    );
    $ours->set($ca, status => $status) if $status ne 'down';
    client("below-$status", 'good', issuer => $ca);
}
client($_, 'good', issuer => 'o-ca-good')
    for qw(late-below below-resume-id below-resume-ticket below-resume-tls13);

my @signer = (issuer => 'self', eku => ['1.3.6.1.5.5.7.3.9']);
make_certificate('o-local-signer',   @signer, subject => [O => 'Carcano',  CN => 'OCSP']);
make_certificate('o-partner-signer', @signer, subject => [O => 'Stranger', CN => 'OCSP']);
$other->set_all(
    'o-none'          => { status => 'good' },
    'o-overridden'    => { status => 'good' },
    'o-local'         => { status => 'good',    signer => 'o-local-signer' },
    'o-local-revoked' => { status => 'revoked', signer => 'o-local-signer' },
    'o-crossed'       => { status => 'good',    signer => 'o-partner-signer' },
    'o-partner'       => { status => 'good',    signer => 'o-partner-signer' }
);
$ours->set('o-overridden', status => 'revoked');

# --- the server -----------------------------------------------------------------------------------
my $partner = 'MTLSRequire subject.O "Big Partner Foo SA"';

# path => directives, what each certificate gets: a reason and MTLS_OCSP, or a whole outcome
my @table = (
    '/require' => ['MTLSOCSP require'],
    {
        good         => 'ok good',
        'first-down' => 'ok good',
        revoked      => 'ocsp_revoked',
        hold         => 'ocsp_revoked',
        unknown      => 'ocsp_unknown',
        silent       => 'ocsp_no_responder',
        down         => 'ocsp_unavailable',
        'below-good' => 'ok good',
        nobody       => 'no_certificate'
    },
    '/prefer' => ['MTLSOCSP prefer'],
    {
        good    => 'ok good',
        revoked => 'ocsp_revoked',
        hold    => 'ocsp_revoked',
        unknown => 'ok unknown',
        silent  => 'ok no_responder',
        down    => 'ok unavailable',
        nobody  => 'no_certificate'
    },
    '/off' => ['MTLSOCSP off', $partner],
    { good => 'ok -', revoked => 'ok -', unknown => 'ok -', silent => 'ok -', down => 'ok -' },
    '/unasked' => [$partner],
    { good => 'ok -', revoked => 'ok -' },

    # intermediates too
    '/chain' => ['MTLSOCSP require chain'],
    {
        'below-good'    => 'ok good',
        'below-revoked' => 'ocsp_revoked',
        'below-unknown' => 'ocsp_unknown',
        'below-down'    => 'ocsp_unavailable',
        good            => 'ocsp_no_responder',
        revoked         => 'ocsp_revoked'
    },
    '/prefer-chain' => ['MTLSOCSP prefer chain'],
    {
        'below-good'    => 'ok good',
        'below-revoked' => 'ocsp_revoked',
        'below-unknown' => 'ok unknown',
        'below-down'    => 'ok unavailable',
        good            => 'ok no_responder',
        revoked         => 'ocsp_revoked'
    },
    '/leaf-only' => ['MTLSOCSP require'],
    { 'below-revoked' => 'ok good', 'below-unknown' => 'ok good', 'below-down' => 'ok good' },

    # named policies are judged with their own
    '/strict' => ['MTLSUsePolicy strict'],
    { good => 'ok good', revoked => 'ocsp_revoked', unknown => 'ocsp_unknown' },
    '/off-strict' => ['MTLSOCSP off', 'MTLSUsePolicy strict'],
    { good => 'ok good', revoked => 'ocsp_revoked', unknown => 'ocsp_unknown' },
    '/require-plain' => ['MTLSOCSP require', 'MTLSUsePolicy plain'],
    { good => 'ok good', revoked => 'ocsp_revoked', unknown => 'ocsp_unknown' },
    '/lenient' => ['MTLSUsePolicy lenient'],
    { revoked => 'ocsp_revoked', unknown => 'ok unknown', silent => 'ok no_responder' },
    '/both' => ['MTLSUsePolicy lenient strict'],
    { good => 'ok good', unknown => 'ocsp_unknown', silent => 'ocsp_no_responder' },
    '/any' => ['MTLSUsePolicy any strict lenient'],
    { good => 'ok good', revoked => 'ocsp_revoked', unknown => 'ok unknown' },
    '/any-plain' => ['MTLSUsePolicy any strict plain'],
    { good => 'ok good', revoked => 'ok -' },
    '/report-policy' => [$partner, 'MTLSReportPolicy strict'],
    { good => 'ok -', revoked => 'ok -' },

    # the later section's counts
    '/merge' => ['MTLSOCSP require'],
    { good => 'ok good', unknown => 'ocsp_unknown' },
    '/merge/prefer' => ['MTLSOCSP prefer'],
    { revoked => 'ocsp_revoked', unknown => 'ok unknown' },
    '/merge/off' => ['MTLSOCSP off', $partner],
    { revoked => 'ok -', unknown => 'ok -' },
    '/merge/chain' => ['MTLSOCSP require chain'],
    { 'below-revoked' => 'ocsp_revoked', 'below-good' => 'ok good' },
    '/merge/keep' => [$partner],
    { good => 'ok good', unknown => 'ocsp_unknown', revoked => 'ocsp_revoked' },
    '/merge/alone' => ['MTLSInherit Off', $partner],
    { revoked => 'ok -' },

    # modes and statuses
    '/report' => ['MTLSMode report', 'MTLSOCSP require'],
    {
        good    => 'ok good',
        revoked => '200 report ocsp_revoked',
        unknown => '200 report ocsp_unknown',
        down    => '200 report ocsp_unavailable',
        silent  => '200 report ocsp_no_responder'
    },
    '/optional' => ['MTLSMode optional', 'MTLSOCSP require'],
    {
        nobody  => '200 allow no_certificate',
        good    => 'ok good',
        revoked => 'ocsp_revoked',
        down    => 'ocsp_unavailable'
    },
    '/authz-unasked' => ['MTLSMode authz', 'MTLSOCSP require'],
    { good => 'ok good', revoked => 'ocsp_revoked', down => 'ocsp_unavailable' },
    '/authz' => ['MTLSMode authz', 'MTLSOCSP require', 'Require mtls'],
    {
        good    => 'ok good',
        revoked => 'ocsp_revoked',
        unknown => 'ocsp_unknown',
        down    => '403 deny ocsp_unavailable'
    },
    '/authz-policy' => ['MTLSMode authz', 'Require mtls-policy strict'],
    { good => 'ok good', revoked => 'ocsp_revoked' },
    '/statuses' => ['MTLSOCSP require', 'MTLSDenyStatus 404', 'MTLSUnavailableStatus 429'],
    {
        good    => 'ok good',
        revoked => '404 deny ocsp_revoked',
        unknown => '404 deny ocsp_unknown',
        down    => '429 deny ocsp_unavailable'
    },

    # trust stores and their responders
    '/configured' => ['MTLSTrust configured', 'MTLSOCSP require'],
    { none => 'ok good', good => 'ok good' },
    '/override' => ['MTLSTrust override', 'MTLSOCSP require'],
    { overridden => 'ok good' },
    '/local' => ['MTLSTrust local', 'MTLSOCSP require'],
    { local => 'ok good', 'local-revoked' => 'ocsp_revoked' },
    '/not-local' => ['MTLSTrust configured', 'MTLSOCSP require'],
    {
        local           => 'ocsp_unavailable',
        crossed         => 'ocsp_unavailable',
        'local-revoked' => 'ocsp_unavailable'
    },
    '/not-local-prefer' => ['MTLSTrust configured', 'MTLSOCSP prefer'],
    { local => 'ok unavailable', 'local-revoked' => 'ok unavailable' },
    '/two-stores' => ['MTLSTrust partners configured', 'MTLSOCSP require'],
    { partner => 'ok good', crossed => 'ocsp_unavailable', local => 'ocsp_unavailable' },
    '/exempt' => ['MTLSTrust legacy', 'MTLSOCSP require chain'],
    { legacy => 'ok exempt', good => 'chain_incomplete' },
);

my $locations = '';
for (my $i = 0 ; $i < @table ; $i += 3) {
    $locations .=
        "<Location \"$table[$i]\">\n" . join("\n", @{ $table[$i + 1] }) . "\n</Location>\n";
}

sub vhost {
    my ($name, @lines) = @_;
    return join "\n", "Listen 127.0.0.1:\@Port_$name\@",
        "<VirtualHost 127.0.0.1:\@Port_$name\@>", 'ServerName gateway.test', '@TLS@',
        'Protocols h2 http/1.1',
        'AliasMatch "^/" "@Htdocs@/index.html"',
        'Header always set X-Ocsp "expr=%{reqenv:MTLS_OCSP}"',
        'Header always set X-Ocsp-Function "expr=%{mtls:ocsp}"',
        "<Location \"/\">\nMTLSExport env\n</Location>", @lines, '</VirtualHost>', '';
}

my ($ours_at, $other_at) = ($ours->host, $other->host);
my $anchors     = "MTLSAnchor \"\@PKI\@/root.crt\"\nMTLSIntermediate \"\@PKI\@/carc-i101l.crt\"";
my ($gone_host) = $gone =~ m{//(.*)/};
my $config      = join "\n", <<"CONF",
MTLSOCSPResponderAllow $ours_at $other_at
MTLSOCSPResponderAllow $gone_host
# Connections and sessions are used again after all that others do.
KeepAliveTimeout 300
Timeout 300
SSLSessionCacheTimeout 3600
MTLSOCSPTimeout 60
MTLSOCSPWait 30
<MTLSTrustStore "configured">
$anchors
MTLSOCSPResponder http://$other_at/
</MTLSTrustStore>
<MTLSTrustStore "override">
$anchors
MTLSOCSPResponder http://$other_at/ocsp override
</MTLSTrustStore>
<MTLSTrustStore "local">
$anchors
MTLSOCSPResponder http://$other_at/ override
MTLSOCSPResponderCertificate "\@PKI\@/o-local-signer.crt"
</MTLSTrustStore>
<MTLSTrustStore "partners">
MTLSAnchor "\@PKI\@/stranger-root.crt"
MTLSOCSPResponder http://$other_at/
MTLSOCSPResponderCertificate "\@PKI\@/o-partner-signer.crt"
</MTLSTrustStore>
<MTLSTrustStore "legacy">
MTLSAllowCertificate "\@PKI\@/o-legacy.crt"
</MTLSTrustStore>
<MTLSPolicy "strict">
MTLSOCSP require
</MTLSPolicy>
<MTLSPolicy "lenient">
MTLSOCSP prefer
</MTLSPolicy>
<MTLSPolicy "plain">
$partner
</MTLSPolicy>
<Directory "\@Htdocs\@">
Require all granted
</Directory>
CONF
    vhost('Main', $locations,
    "<Location \"/ruled\">\nMTLSRequire subject.O Nobody\nMTLSOCSP require\n</Location>"),
    vhost(
    'Whole',
    'MTLSOCSP require',
    "MTLSOCSPResponder http://$other_at/ override",
    "<Location \"/open\">\nMTLSMode off\n</Location>"
    ),
    vhost(
    'Short',
    'MTLSOCSPMaxAge 1',
    "<Location \"/require\">\nMTLSOCSP require\n</Location>",
    "<Location \"/prefer\">\nMTLSOCSP prefer\n</Location>"
    ),
    vhost('NoWait', 'MTLSOCSPWait 0', 'MTLSOCSP require'),
    vhost(
    'ShortChain',
    'MTLSOCSPMaxAge 1',
    'MTLSOCSP require chain',
    "<Location \"/open\">\nMTLSMode off\n</Location>"
    );
my $server = private(name => 'ocsp', config => $config);

# --- the table ------------------------------------------------------------------------------------
my %visits;
while (my ($path, $directives, $of) = splice @table, 0, 3) {
    push @{ $visits{$_} }, [$path, $of->{$_}] for keys %$of;
}
for my $cert (sort keys %visits) {
    my $tls;
    for my $visit (@{ $visits{$cert} }) {
        my ($path, $expected) = @$visit;
        my ($reason, $ocsp) = $expected =~ /\A\d/ ? ($expected) : split / /, $expected;
        $tls //= $server->tls(cert => $cert eq 'nobody' ? undef : "o-$cert");
        my $r = $tls->request($path);
        outcome_is($r, $reason =~ / / ? $reason : outcome_of($reason), "$path: $cert");
        if ($reason eq 'ok') {
            my $shown = $ocsp eq '-' ? '' : $ocsp;
            is($r->header('X-Ocsp')          // '', $shown, "$path: $cert: MTLS_OCSP");
            is($r->header('X-Ocsp-Function') // '', $shown, "$path: $cert: %{mtls:ocsp}");
        }
        my $closed = lc($r->header('Connection') // '') eq 'close';
        is(
            $closed                                       ? 'closed' : 'open',
            $reason =~ /revoked/ && $r->verdict eq 'deny' ? 'closed' : 'open',
            "$path: $cert: connection"
        ) if $r->status < 500;
        if ($reason =~ /unavailable/ && $r->verdict eq 'deny' && $path ne '/authz') {
            like($r->header('Retry-After') // '', qr/\A[1-9]\d*\z/, "$path: $cert: Retry-After");
        }
        if ($r->verdict eq 'deny' && $cert ne 'nobody') {
            my @lines = $r->denials;
            is(scalar @lines, 1, "$path: $cert: one line in the error log");
            my ($token) = $reason =~ /(\w+)\z/;
            like($lines[0] // '', qr/reason="?$token\b.*sha256=/, "$path: $cert: which says so");
        }
        undef $tls if $tls->error || $closed;
    }
}
is($server->tls(cert => 'o-revoked')->request('/report-policy')->report,
    'strict:ocsp_revoked', 'MTLSReportPolicy');

# --- who was asked --------------------------------------------------------------------------------
is($ours->requests('o-good'),         1,        'a good certificate: asked for once in all this');
is($ours->requests('o-revoked'),      1,        'a revoked one, too');
is($ours->requests('o-ca-good'),      1,        'and a CA, for several of its certificates');
is($other->requests('o-good'),        0,        'who names a responder is not asked for elsewhere');
is($ours->requests('o-overridden'),   0,        'override: nor there');
is($other->requests('o-overridden'),  1,        'but at the one configured');
is($ours->requests('o-legacy'),       0,        'an exempt certificate is not asked for');
is(($ours->asked('o-good'))[0]{hash}, 'sha256', 'by SHA-256');
is(($ours->asked('o-good'))[0]{method}, 'GET',  'a short request by GET');
like(($other->asked('o-overridden'))[0]{target}, qr{\A/ocsp/[^/]}, 'below the path configured');
{
    my $tls = $server->tls(cert => 'o-ruled');
    denied($tls->request('/ruled'), 'subject_mismatch', 'a rule fails first');
    is($ours->requests('o-ruled'), 0, 'and nobody is asked');
    $tls = $server->tls(cert => 'lookalike');
    denied($tls->request('/require'), 'chain_untrusted', 'so does the chain');
}
outcome_is(
    $server->tls(cert => 'o-whole', vhost => 'whole')->request('/'),
    outcome_of('ocsp_unavailable'),
    'a virtual host under MTLSOCSP: its own responder says nothing'
);
is($ours->requests('o-whole'), 0, 'and no other is asked');
$other->set('o-whole', status => 'good');
allowed(
    await_outcome(
        outcome_of('ok'), sub { $server->tls(cert => 'o-whole', vhost => 'whole')->request('/') }
    ),
    'until it does'
);
denied($server->tls(cert => 'o-revoked', vhost => 'whole')->request('/x'),
    'ocsp_revoked', 'what is known of a certificate counts in every virtual host');

# --- what OpenSSL's own responder says ------------------------------------------------------------
for my $row (['good', 'ok'], ['revoked', 'ocsp_revoked'], ['unknown', 'ocsp_unknown']) {
    my ($status, $reason) = @$row;
    client("openssl-$status");
    $ours->set("o-openssl-$status", openssl => 1, status => $status);
    outcome_is($server->tls(cert => "o-openssl-$status")->request('/require'),
        outcome_of($reason), "openssl ocsp: $status");
}

# --- HTTP/2 ---------------------------------------------------------------------------------------
SKIP: {
    skip 'httpd has no HTTP/2 under prefork', 6 if mpm() eq 'prefork';
    my ($status, $connections) =
        many($server, 'o-stream', 'ocsp-p', map { ('/prefer', '/ruled') } 1 .. 12);
    is(scalar(grep { $status->{$_} eq ($_ % 2 ? '2 403' : '2 200') } keys %$status),
        24, 'streams of one connection, each by its Location');
    is($connections, 1, 'one connection');
    allowed(
        await_outcome(
            outcome_of('ok'), sub { $server->tls(cert => 'o-stream')->request('/require') }
        ),
        'the status is known'
    );
    ($status) = many($server, 'o-stream', 'ocsp-r', ('/require') x 24);
    is(scalar(grep { $status->{$_} eq '2 200' } keys %$status), 24, 'for all streams');
    is($ours->requests('o-stream'), 1, 'one request to the responder for all of them');
    ($status) = many($server, 'o-revoked', 'ocsp-x', map { ('/require', '/off') } 1 .. 6);
    is(scalar(grep { $status->{$_} eq ($_ % 2 ? '2 200' : '2 403') } keys %$status),
        12, 'a revoked one: refused where OCSP counts');
}

# --- good for now ---------------------------------------------------------------------------------
# Connections that stay open, and sessions; then everything is revoked at once.
my @kinds = (
    ['id',     'TLS 1.2 id',     version => '1.2', tickets => 0],
    ['ticket', 'TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['tls13',  'TLS 1.3',        version => '1.3']
);
my %open;
for my $path ('require', 'prefer') {
    $open{$path} = $server->tls(cert => "o-late-$path", vhost => 'short');
    allowed($open{$path}->request("/$path"), "$path: good");
}
my $h2 =
    mpm() eq 'prefork'
    ? undef
    : MTLSTest::H2->new($server->tls(cert => 'o-late-h2', vhost => 'short', alpn => ['h2']),
    $server->log);
outcome_is($h2->request('/require'), '200 allow ok', 'HTTP/2: good') if $h2;
my $idle      = $server->tls(cert => 'o-idle', vhost => 'short');
my $idle_from = time;
allowed($idle->request('/prefer'), 'a connection that will be idle');
my $below = $server->tls(cert => 'o-late-below', vhost => 'shortchain');
allowed($below->request('/'), 'below a good CA');

my @sessions;    # [name, path, options to resume it]
for my $kind (@kinds) {
    my ($id, $name, @options) = @$kind;
    for my $row (["o-resume-$id", 'short', '/require'], ["o-below-resume-$id", 'shortchain', '/']) {
        my ($cert, $vhost, $path) = @$row;
        my @to    = (@options, cert => $cert, vhost => $vhost);
        my $first = $server->tls(@to);
        allowed($first->request($path), "$name, $vhost: good");
        my $session = $first->session;
        $first->close;
        my $again = $server->tls(@to, session => $session);
        is($again->reused, 1, "$name, $vhost: resumed");
        allowed($again->request($path), "$name, $vhost: still good, without an intermediate sent");
        push @sessions, ["$name, $vhost", $path, @to, session => $session];
    }
}

# --- revoked while the connection is open, and behind a session -----------------------------------
my $expected = outcome_of('ocsp_revoked');
$ours->set_all(map { ($_ => { status => 'revoked' }) }
        qw(o-late-require o-late-prefer o-late-h2 o-idle),
    map { ("o-resume-$_->[0]", "o-below-resume-$_->[0]") } @kinds);
for my $path ('require', 'prefer') {
    my $r = await_outcome($expected, sub { $open{$path}->request("/$path") });
    outcome_is($r, $expected, "$path: revoked on the same connection");
    is(lc($r->header('Connection') // ''), 'close', "$path: which is closed");
    ok($open{$path}->at_end, "$path: really");
}
outcome_is(await_outcome($expected, sub { $h2->request('/require') }),
    $expected, 'HTTP/2: revoked while the connection is open')
    if $h2;
for my $row (@sessions) {
    my ($name, $path, @to) = @$row;
    my $reused;
    my $r = await_outcome(
        $expected,
        sub {
            my $tls = $server->tls(@to);
            $reused = $tls->reused;
            return $tls->request($path);
        }
    );
    outcome_is($r, $expected, "$name: revoked, on a resumed session");
    is($reused, 1, "$name: it was resumed");
}

# First asked for on a resumed session: never in the handshake.
for my $kind (@kinds) {
    my ($id, $name, @options) = @$kind;
    client("open-$id", undef, issuer => 'o-ca-good');
    my @to    = (@options, cert => "o-open-$id", vhost => 'shortchain');
    my $first = $server->tls(@to);
    is($first->request('/open')->outcome, '200 - -', "$name: a page for all");
    is($ours->requests("o-open-$id"),     0,         "$name: nobody was asked in the handshake");
    my $session = $first->session;
    $first->close;
    $ours->set("o-open-$id", status => 'revoked');
    my $again = $server->tls(@to, session => $session);
    is($again->reused, 1, "$name: resumed");
    denied($again->request('/'), 'ocsp_revoked', "$name: a revoked one is found on resumption");
}

# A CA is revoked: those below it are refused, on sessions of before as well.
{
    my $session = $below->session;
    $ours->set('o-ca-good', status => 'revoked');
    outcome_is(await_outcome($expected, sub { $below->request('/') }),
        $expected, 'below a CA that was revoked: the same connection');
    my $again = $server->tls(cert => 'o-late-below', vhost => 'shortchain', session => $session);
    is($again->reused, 1, 'a session of before');
    denied($again->request('/'), 'ocsp_revoked',
        'below a CA that was revoked: a session of before');
    denied($server->tls(cert => 'o-below-good')->request('/chain'),
        'ocsp_revoked', 'and elsewhere: chain');
    allowed($server->tls(cert => 'o-below-good')->request('/require'),
        'but not for the leaf alone');
}

# Nobody asked meanwhile: the first request waits for the news.
await(sub { time > $idle_from + 3 });
denied($idle->request('/prefer'), 'ocsp_revoked', 'revoked while the connection was idle');

# --- MTLSOCSPWait 0 -------------------------------------------------------------------------------
my $gate = files_dir('nowait') . '/gate';
$ours->set('o-nowait', status => 'good', gate => [$gate]);
outcome_is(
    $server->tls(cert => 'o-nowait', vhost => 'nowait')->request('/'),
    outcome_of('ocsp_unavailable'),
    'MTLSOCSPWait 0: nobody waits for the responder'
);
replace_file($gate, "open\n");
allowed(
    await_outcome(
        outcome_of('ok'), sub { $server->tls(cert => 'o-nowait', vhost => 'nowait')->request('/') }
    ),
    'but it was asked for'
);
is($ours->requests('o-nowait'), 1, 'once');

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');

done_testing;
