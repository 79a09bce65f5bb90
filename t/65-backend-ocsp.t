# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Revocation of backends by OCSP: what a responder says, what a backend staples, and both; on pooled
# connections, through trust stores, and with backends that really staple.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await         qw(await);
use MTLSTest::Crowd qw(in_parallel);
use MTLSTest::Daemon;
use MTLSTest::BackendChecks qw(gateway_directives passes refuses verdict_of verdict_lines);
use MTLSTest::Files         qw(files_dir replace_file pki_text);
use MTLSTest::Layout        qw(free_port);
use MTLSTest::Ocsp          qw(make_certificate response_for error_response);
use MTLSTest::Responder;
use MTLSTest::TLSBackend;
use MTLSPKI::Der qw(dns);
use POSIX        qw(strftime);
use Time::HiRes  qw(time);

use constant { CA => 'carc-i102l', OCSP_SIGNING => '1.3.6.1.5.5.7.3.9', HOUR => 3600 };

# Seconds a request may wait, where that is not what is tried and where it is; how often is tried
# what a machine that stands still for a moment can spoil.
use constant { PATIENT => 30, WAIT => 3, TURNS => 3 };

my $dir   = files_dir('backend-ocsp');
my @below = map {"b-ca-$_"} qw(good revoked);
my $ours  = MTLSTest::Responder->start(name => 'backends', cas => [CA, 'root', @below]);
my $other = MTLSTest::Responder->start(name => 'others', cas => [CA]);
my $mute  = MTLSTest::Responder->start(name => 'mute', cas => [CA], default => { http => 'hang' });
my $never = MTLSTest::Responder->start(name => 'never', cas => [CA]);
my $gone  = 'http://127.0.0.1:' . free_port() . '/';

# --- certificates, and what is stapled to them ----------------------------------------------------
sub certificate {
    my ($name, %o) = @_;
    return make_certificate(
        "b-$name",
        issuer  => CA,
        subject => [O => 'Carcano', CN => "backend $name"],
        san     => [dns('orders.internal')],
        eku     => ['serverAuth'],
        %o
    );
}

sub staple {
    my ($name, @response) = @_;
    my $der = @response == 1 ? $response[0] : response_for("b-$name", @response);
    replace_file("$dir/$name.staple", $der);
    return;
}

my %faces;

# at: ours (the default), gone, none, mute (a URL for each: one that fails is left alone for a
# while), never; says: what our responder does; staple: options of a response, or its bytes; more
# fields of the face
sub backend {
    my ($name, %o) = @_;
    my %address = (
        ours  => [$ours->url],
        gone  => [$gone],
        none  => undef,
        mute  => [$mute->url("/$name/")],
        never => [$never->url]
    );
    certificate($name, ocsp => $address{ $o{at} // 'ours' }, %{ $o{certificate} // {} });
    my $responder = ($o{at} // '') eq 'mute' ? $mute : $ours;
    $responder->set("b-$name", ref $o{says} ? %{ $o{says} } : (status => $o{says})) if $o{says};
    $faces{$name} = { cert => "b-$name", %{ $o{face} // {} } };
    if (defined(my $what = $o{staple})) {
        staple($name, ref $what eq 'CODE' ? $what->("b-$name") : ref $what ? @$what : $what);
        $faces{$name}{staple} = "$dir/$name.staple";
    }
    return;
}

certificate('signer',  eku => [OCSP_SIGNING], san => undef);
certificate('nobody',  eku => ['serverAuth'], san => undef);
certificate('another', ocsp => [$ours->url]);

my @old     = (this => -3 * HOUR, next => HOUR);           # longer ago than twice MTLSOCSPMaxAge
my @elderly = (this => -HOUR * 3 / 2, next => 2 * HOUR);   # longer ago than once

# name, backend, reason with require, with prefer, how often the responder is asked
my @table = (

    # nothing is stapled
    [good      => { says => 'good' },    'ok',               'ok',           1],
    [revoked   => { says => 'revoked' }, 'ocsp_revoked',     'ocsp_revoked', 1],
    [unknown   => { says => 'unknown' }, 'ocsp_unknown',     'ok',           undef],
    [down      => { at   => 'gone' },    'ocsp_unavailable', 'ok',           undef],
    [silent    => { at   => 'none' },    'ocsp_no_responder', 'ok',          undef],
    [openssl   => { says => { openssl => 1, status => 'good' } }, 'ok', 'ok', 1],
    ['openssl-revoked' => { says => { openssl => 1, status => 'revoked' } },
        'ocsp_revoked', 'ocsp_revoked', 1
    ],

    # a stapled response is enough
    ['s-good'        => { says => 'good',  staple => [] }, 'ok', 'ok', 0],
    ['s-good-down'   => { at   => 'gone',  staple => [] }, 'ok', 'ok', undef],
    ['s-good-silent' => { at   => 'none',  staple => [] }, 'ok', 'ok', undef],
    ['s-good-12'     => { at   => 'gone',  staple => [], face => { version => '1.2' } },
        'ok', 'ok', undef
    ],
    ['s-sha256'    => { at => 'gone', staple => [hash => 'sha256'] }, 'ok', 'ok', undef],
    ['s-delegated' => { at => 'gone', staple => [signer => 'b-signer', certs => ['b-signer']] },
        'ok', 'ok', undef
    ],
    ['s-revoked'      => { says => 'good', staple => [status => 'revoked'] },
        'ocsp_revoked', 'ocsp_revoked', 0
    ],
    ['s-revoked-down' => { at => 'gone', staple => [status => 'revoked'] },
        'ocsp_revoked', 'ocsp_revoked', undef
    ],
    ['s-revoked-12' =>
            { at => 'gone', staple => [status => 'revoked'], face => { version => '1.2' } },
        'ocsp_revoked', 'ocsp_revoked', undef
    ],
    ['s-hold' => { at => 'none', staple => [status => 'revoked', reason => 6] },
        'ocsp_revoked', 'ocsp_revoked', undef
    ],
    ['s-revoked-over' => { at => 'none', staple => [status => 'revoked', this => -50 * HOUR,
                next => -HOUR] }, 'ocsp_revoked', 'ocsp_revoked', undef
    ],

    # an old good one is shown again: what the responder says now counts, where it can be had
    ['s-old'         => { says => 'good',    staple => [@old] }, 'ok',           'ok',           1],
    ['s-old-revoked' => { says => 'revoked', staple => [@old] }, 'ocsp_revoked', 'ocsp_revoked', 1],
    ['s-old-down'    => { at   => 'gone',    staple => [@old] }, 'ok',           'ok', undef],
    ['s-old-silent'  => { at   => 'none',    staple => [@old] }, 'ok',           'ok', undef],
    ['s-old-other'   => { says => { error => 'tryLater' }, staple => [@old] }, 'ok', 'ok', undef],
);

# One that is of no use changes nothing: twice each, once without and once with a responder.
my %useless = (
    garbage  => ['garbage',             ''],
    empty    => ["0\0",                 ''],
    large    => ["\x30\x82" x 30_000,   ''],
    foreign  => [sub { response_for('b-another') }, 'does not speak of this certificate'],
    issuer   => [sub { response_for($_[0], issuer => 'carc-i101l') }, 'does not speak of'],
    over     => [[this => -2 * HOUR, next => -HOUR], 'nextUpdate has passed'],
    ahead    => [[this => HOUR / 2, next => HOUR],   'lies in the future'],
    unknown  => [[status => 'unknown'],              'does not know the certificate'],
    key      => [[key => 'stranger-root'],           ''],
    forged   => [[key => 'stranger-root', status => 'revoked'], ''],
    garbled  => [[garbled => 1],                     ''],
    trailing => [[trailing => "\0"],                 ''],
    nobody   => [[signer => 'b-nobody', certs => ['b-nobody']], ''],
    itself   => [sub { response_for($_[0], signer => $_[0], certs => [$_[0]]) }, ''],
    later    => [sub { error_response('tryLater') }, ''],
    trust    => [sub { error_response('unauthor') }, ''],
);
my %words;
for my $kind (sort keys %useless) {
    my ($staple, $words) = @{ $useless{$kind} };
    push @table,
        ["x-$kind" => { says => 'good', staple => $staple }, 'ok', 'ok', 1],
        ["y-$kind" => { at   => 'gone', staple => $staple }, 'ocsp_unavailable', 'ok', undef];
    $words{"y-$kind"} = $words;
}
backend($_->[0], %{ $_->[1] }) for @table;

# Below CAs that have a status of their own; a stapled response speaks of the leaf alone.
for my $ca (@below) {
    my ($status) = $ca =~ /-(\w+)\z/;
    make_certificate(
        $ca,
        issuer  => 'root',
        ca      => 1,
        subject => [O => 'Carcano', CN => $ca],
        ocsp    => [$ours->url]
    );
    $ours->set($ca, status => $status);
    backend("below-$status", at => 'gone', staple => [], certificate => { issuer => $ca });
}

# For what comes after the table.
backend($_, says => 'good') for qw(late late-also idle idle-also);
backend('loopback',   at => 'never');
backend('s-loopback', at => 'never', staple => []);
backend($_, at => 'mute') for map { ("crowd-$_", "unhurried-$_") } 1 .. TURNS;
backend("hung-$_", at => 'mute', says => { status => 'good', next => 3 ** $_ }) for 1 .. TURNS;
backend($_, says => 'revoked') for qw(overridden ruled);
backend($_, at   => 'none')    for qw(configured local);
backend('behind',         says => 'revoked', staple => [@elderly]);
backend('behind-control', says => 'good',    staple => [@elderly]);
backend($_, at => 'gone', staple => []) for qw(shared flip fading);
backend('nonce',         says => 'good', staple => []);
backend('nonce-down',    at   => 'gone', staple => []);
backend('nonce-revoked', at   => 'gone', staple => [status => 'revoked']);
$faces{unstapled} = { cert => 'b-shared' };
make_certificate(
    'b-local-signer',
    issuer  => 'self',
    eku     => [OCSP_SIGNING],
    subject => [O => 'Carcano', CN => 'OCSP']
);
$other->set_all(
    'b-overridden' => { status => 'good' },
    'b-configured' => { status => 'good' },
    'b-local'      => { status => 'good', signer => 'b-local-signer' }
);

my $backend = MTLSTest::TLSBackend->start('stapling', %faces);

# --- the gateway ----------------------------------------------------------------------------------
my @names = sort keys %faces;

sub passes_of {
    my ($path, @which) = @_;
    return join '', map {
        my $more = /\A(?:flip|shared|unstapled)\z/ ? ' disablereuse=on' : '';
        "ProxyPass \"/$path/$_\" \"@{[$backend->url($_)]}/\"$more\n"
    } @which;
}

my %section = (
    require        => ['MTLSBackendOCSP require'],
    prefer         => ['MTLSBackendOCSP prefer'],
    off            => ['MTLSBackendOCSP off'],
    unasked        => [],
    chain          => ['MTLSBackendOCSP require chain'],
    'prefer-chain' => ['MTLSBackendOCSP prefer chain'],
    report         => ['MTLSBackendOCSP require', 'MTLSBackendMode report'],
    configured     => ['MTLSBackendTrust configured', 'MTLSBackendOCSP require'],
    override       => ['MTLSBackendTrust override', 'MTLSBackendOCSP require'],
    local          => ['MTLSBackendTrust local', 'MTLSBackendOCSP require'],
    ruled => ['MTLSBackendRequire san.dns billing.internal', 'MTLSBackendOCSP require'],
);

sub gateway_host {
    my ($name, @lines) = @_;
    my $sections = join '',
        map { join "\n", "<Location \"/$_\">", @{ $section{$_} }, "</Location>\n" }
        sort keys %section;
    return join "\n", "Listen 127.0.0.1:\@Port_$name\@",
        "<VirtualHost 127.0.0.1:\@Port_$name\@>", 'ServerName gateway.test', '@TLS@',
        gateway_directives(), 'MTLSBackendTrust backends', 'MTLSBackendSNI orders.internal',
        @lines, $sections, (map { passes_of($_, @names) } sort keys %section),
        '</VirtualHost>', '';
}

my $anchors =
    "MTLSAnchor \"\@PKI\@/root.crt\" \"\@PKI\@/carc-i102l.crt\"\nMTLSTrustDomain lab.carcano.corp";
my $stores = <<"CONF";
<MTLSTrustStore "backends">
$anchors
</MTLSTrustStore>
<MTLSTrustStore "configured">
$anchors
MTLSOCSPResponder @{[$other->url]}
</MTLSTrustStore>
<MTLSTrustStore "override">
$anchors
MTLSOCSPResponder @{[$other->url]} override
</MTLSTrustStore>
<MTLSTrustStore "local">
$anchors
MTLSOCSPResponder @{[$other->url]} override
MTLSOCSPResponderCertificate "\@PKI\@/b-local-signer.crt"
</MTLSTrustStore>
CONF
my ($gone_host) = $gone =~ m{//(.*)/};
my $allow = join ' ', 'MTLSOCSPResponderAllow', $gone_host,
    map { $_->host } $ours, $other, $mute, $never;
my $bounds = "MTLSOCSPTimeout @{[PATIENT]}\nMTLSOCSPWait @{[PATIENT]}\n";

# One child, so that a request finds the connections of those before it.
my @one_child =
    mpm() eq 'prefork'
    ? ()
    : (processes =>
        "StartServers 1\nServerLimit 1\nThreadsPerChild 24\nMaxRequestWorkers 24");
our $server = private(
    name => 'backend-ocsp',
    @one_child,
    config => join("\n", $allow, $bounds, $stores,
        gateway_host('Main'),
        gateway_host('Nonce', 'MTLSOCSPNonce require'),
        gateway_host('Short', 'MTLSOCSPMaxAge 1', 'MTLSOCSPSkew 0'),
        gateway_host('Brief', 'MTLSOCSPSkew 0', "MTLSOCSPWait @{[WAIT]}\nMTLSOCSPTimeout 8"))
);

sub ask {
    my ($section, $name, %o) = @_;
    return $server->get("/$section/$name", vhost => $o{vhost} // 'main', cert => 'partner');
}

sub judged {
    my ($section, $name, $reason, $title, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = ask($section, $name, %o);
    $reason eq 'ok'
        ? passes($r, $title, backend => $backend, face => $name)
        : refuses($r, $reason, $title, backend => $backend, face => $name);
    return $r;
}

# --- the table ------------------------------------------------------------------------------------
for my $row (@table) {
    my ($name, undef, $require, $prefer, $asked) = @$row;
    my $r = judged('require', $name, $require, "require: $name");
    if (defined $words{$name}) {
        my @told = grep {/is of no use/} $r->errors;
        is(scalar @told, 1, "$name: the log tells of it once");
        like($told[0] // '', qr/:info\].*of no use: .*\Q$words{$name}\E/, "$name: and why");
    }
    judged('prefer', $name, $prefer, "prefer: $name");
    if ($name =~ /revoked/) {
        judged('off',     $name, 'ok',     "off: $name");
        judged('require', $name, $require, "require: $name, with that connection in the pool");
    }
    is($ours->requests("b-$name"), $asked, "$name: the responder was asked") if defined $asked;
}
is(scalar(grep {/of no use/} ask('require', 's-good')->errors), 0, 'what is of use is no news');

# --- modes, rules, chains -------------------------------------------------------------------------
judged('unasked', 'revoked',   'ok', 'nothing asks for a status');
judged('unasked', 's-revoked', 'ok', 'nothing asks for a status, and a revocation is stapled');
passes(ask('report', 'good'), 'report mode: good');
passes(ask('report', 'revoked'),   'report mode: revoked',         reason => 'ocsp_revoked');
passes(ask('report', 's-revoked'), 'report mode: stapled',         reason => 'ocsp_revoked');
passes(ask('report', 'down'),      'report mode: nobody can tell', reason => 'ocsp_unavailable');
$backend->fresh($_) for qw(good revoked s-revoked down);
judged('ruled', 'ruled', 'san_mismatch', 'a rule fails first');
is($ours->requests('b-ruled'), 0, 'and nobody is asked');

judged('require',      'below-good',    'ok',           'below a good CA');
judged('chain',        'below-good',    'ok',           'below a good CA: chain');
judged('require',      'below-revoked', 'ok',           'below a revoked CA: the leaf is good');
judged('chain',        'below-revoked', 'ocsp_revoked', 'below a revoked CA: chain');
judged('prefer-chain', 'below-revoked', 'ocsp_revoked', 'below a revoked CA: prefer chain');
is($ours->requests('b-ca-good'), 1, 'the CA was asked for once');

# --- trust stores and their responders ------------------------------------------------------------
judged('require',    'configured', 'ocsp_no_responder', 'no responder is named');
judged('configured', 'configured', 'ok',                'the store names one');
judged('override',   'overridden', 'ok',                'the store overrides');
is($ours->requests('b-overridden'), 0, 'the one that is named is not asked');
judged('configured', 'local', 'ocsp_unavailable', 'a signer whom this store does not know');
judged('local',      'local', 'ok',               'and one that does');

# --- a nonce is required: what is stapled has none ------------------------------------------------
my @nonce = (vhost => 'nonce');
judged('require', 'nonce-down',    'ocsp_unavailable', 'MTLSOCSPNonce require: stapled', @nonce);
judged('require', 'nonce',         'ok',               'the responder has our nonce',    @nonce);
judged('require', 'nonce-revoked', 'ocsp_revoked',     'a revocation is stapled',        @nonce);
judged('require', 'nonce-down',    'ok',               'no nonce is required: stapled');
is($ours->requests('b-nonce'), 1, 'who was asked');

# --- what is stapled is kept for everybody --------------------------------------------------------
judged('require', 'unstapled', 'ocsp_unavailable', 'nobody knows');
judged('require', 'shared',    'ok',               'the same certificate, stapled');
ok(await(sub { ask('require', 'unstapled')->status == 200 }),
    'it is known then where nothing is stapled');
passes(ask('require', 'unstapled'), 'and counts');

# --- an elderly one serves while the responder is asked -------------------------------------------
passes(ask('require', $_), "$_: stapled an hour and a half ago") for qw(behind behind-control);
ok(await(sub { verdict_of(ask('require', 'behind')) eq '502 ocsp_revoked' }),
    'refused as soon as the responder has told');
$backend->since('behind');
judged('require', 'behind', 'ocsp_revoked', 'whatever is stapled');
await(sub { $ours->requests('b-behind-control') });
passes(ask('require', 'behind-control'), 'still good');
is($ours->requests("b-$_"), 1, "$_: asked once") for qw(behind behind-control);

# --- older and newer ------------------------------------------------------------------------------
# Seconds of their own, however long all of it takes.
my $recently = time - 600;

sub flipped {
    my ($reason, $title, @response) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    if (@response > 1) {
        my %o = (revoked_at => -100, @response);
        $o{$_} = strftime('%Y%m%d%H%M%SZ', gmtime $recently + $o{$_})
            for grep { defined $o{$_} } qw(revoked_at this produced);
        @response = %o;
    }
    staple('flip', @response);
    return judged('require', 'flip', $reason, $title);
}
flipped('ok',           'good',                             this => -60);
flipped('ocsp_revoked', 'revoked',                          this => -40, status => 'revoked');
flipped('ocsp_revoked', 'the good one of before',           this => -60);
flipped('ocsp_revoked', 'a good one before the revocation', this => -45, produced => -1);
flipped('ok',           'a good one after it',              this => -30);
flipped('ocsp_revoked', 'revoked again',                    this => -20, status => 'revoked');
flipped('ocsp_revoked', 'nothing of use any more',          'garbage');
$server->restart('HUP');
flipped('ocsp_revoked', 'a restart does not forget it',      this => -25, produced => -1);
flipped('ok',           'a good one after it, once restarted', this => -5);

# --- pooled connections ---------------------------------------------------------------------------
my @short = (vhost => 'short');
my %first;
for my $name (qw(late late-also)) {
    my $r = ask('require', $name, @short);
    passes($r, "$name: good");
    $first{$name} = $r->header('X-Connection');
    $r = ask('require', $name, @short);
    passes($r, "$name: good again");
    is($r->header('X-Connection'), $first{$name}, "$name: on the same connection")
        if mpm() ne 'prefork';
}
$ours->set('b-late', status => 'revoked');
my $last;
ok(
    await(
        sub {
            $last = ask('require', 'late', @short);
            return verdict_of($last) ne '200 ok';
        }
    ),
    'revoked while the connection is pooled'
);
refuses($last, 'ocsp_revoked', 'revoked while the connection is pooled');
$backend->fresh('late');
judged('require', 'late', 'ocsp_revoked', 'new connections, too', @short);
judged('prefer', 'late', 'ocsp_revoked', 'new connections, too: prefer', @short);
passes(ask('require', 'late-also', @short), 'its neighbour is still good');
$ours->set('b-late', status => 'good', this => 0);
ok(await(sub { verdict_of(ask('require', 'late', @short)) eq '200 ok' }), 'until it is good again');

# What ends soon may be over already on a machine that stands still: then it is tried with one that
# ends later.
sub in_time {
    my ($try) = @_;
    for my $turn (1 .. TURNS) {
        my $r = $try->($turn);
        return $r if verdict_of($r) ne '502 ocsp_unavailable' || $turn == TURNS;
    }
}

# What was stapled runs out on a pooled connection; a new one brings a newer one.
$last = in_time(
    sub {
        staple('fading', this => -1, next => 3 ** $_[0]);
        return ask('require', 'fading', @short);
    }
);
passes($last, 'stapled for some seconds');
ok(await(sub { verdict_of(ask('require', 'fading', @short)) eq '502 ocsp_unavailable' }),
    'it has run out');
staple('fading', this => 0, next => HOUR);
ok(await(sub { verdict_of(ask('require', 'fading', @short)) eq '200 ok' }), 'there is a newer one');

# Nobody has asked for twice MTLSOCSPMaxAge: the first request waits for the news.
for my $name (qw(idle idle-also)) {
    passes(ask('prefer', $name, @short), "$name: good");
}
my $from = time;
$ours->set('b-idle', status => 'revoked');
await(sub { time > $from + 3 });
refuses(ask('prefer', 'idle', @short), 'ocsp_revoked', 'revoked while the connection was idle');
passes(ask('prefer', 'idle-also', @short), 'its neighbour is still good');

# --- how long is waited ---------------------------------------------------------------------------
# A machine that stands still meanwhile is slower than it should be now and then, and the module
# would be each time.
my @brief = (vhost => 'brief');

# A request waits once, whatever becomes of its connections.
{
    my $took;
    for my $n (1 .. TURNS) {
        my $r = ask('require', "hung-$n", @brief);
        next if verdict_of($r) eq '502 ocsp_unavailable' && $n < TURNS;    # as in in_time()
        $from = time;
        passes($r, "$n: good for some seconds");
        $mute->set("b-hung-$n", http => 'hang');
        await(sub { time > $from + 3 ** $n });
        $from = time;
        $last = ask('require', "hung-$n", @brief);
        $took = time - $from;
        refuses($last, 'ocsp_unavailable', "$n: run out, and the responder hangs");
        cmp_ok($took, '>', WAIT - 0.5, "$n: it waits");
        last if $took < 2 * WAIT;
    }
    cmp_ok($took, '<', 2 * WAIT, 'once');
}

# Nobody waits for what is only reported.
{
    my $took;
    for my $n (1 .. TURNS) {
        $from = time;
        passes(
            ask('report', "unhurried-$n"),
            "report mode, $n: nobody knows yet",
            reason => 'ocsp_unavailable'
        );
        $took = time - $from;
        ok(await(sub { $mute->requests("b-unhurried-$n") }), 'the responder is asked');
        last if $took < PATIENT;
    }
    cmp_ok($took, '<', PATIENT, 'but nobody waits');
}

# --- the mass of waiting --------------------------------------------------------------------------
# A quarter of the workers may wait; others are answered at once.
{
    my ($n, $crowded) = (0, 0);
    while (!$crowded && $n++ < TURNS) {
        my @results = in_parallel(
            20,
            sub {
                my $begun = time;
                my $r     = ask('require', "crowd-$n", @brief);
                return { verdict => verdict_of($r), seconds => time - $begun };
            },
            1 .. 20
        );
        my $slow    = grep { $_->{seconds} >= WAIT - 1 } @results;
        my %verdict = map  { $_->{verdict} => 1 } @results;
        is(join(' ', sort keys %verdict), '502 ocsp_unavailable', "a crowd, $n: all are refused");
        cmp_ok($slow, '>=', 1, "a crowd, $n: some have waited");
        $crowded = $server->log->matching(qr/requests wait for OCSP statuses already/)
            || mpm() eq 'prefork';    # makes new children first, and a request waits for those
    }
    ok($crowded, 'the others have not');
    $mute->set("b-crowd-$n", status => 'good');
    ok(await(sub { verdict_of(ask('require', "crowd-$n", @brief)) eq '200 ok' }),
        'until the responder is well');
}

# --- nobody on loopback is asked unless somebody has said so --------------------------------------
{
    local $server = private(
        name   => 'backend-ocsp-closed',
        config => join "\n", $bounds, $stores, gateway_host('Main')
    );
    $backend->fresh($_) for @names;
    judged('require',    'loopback',   'ocsp_no_responder', 'a responder on loopback is not asked');
    judged('prefer',     'loopback',   'ok',                'prefer');
    judged('configured', 'configured', 'ok',                'one that the store names is');
    judged('require',    's-loopback', 'ok',                'what is stapled needs nobody');
    is($never->connections, 0, 'nobody was asked');
}

# --- real servers that staple ---------------------------------------------------------------------
# The gateway must not ask their responder, so what it knows is what they staple.
my $stapler = MTLSTest::Responder->start(name => 'stapler', cas => [CA]);
for my $status (qw(good revoked)) {
    certificate("httpd-$status", ocsp => [$stapler->url]);
    $stapler->set("b-httpd-$status", openssl => 1, status => $status);
    certificate("nginx-$status", ocsp => [$stapler->url]);
    staple("nginx-$status", status => $status);
}
certificate('nginx-plain', ocsp => [$stapler->url]);
replace_file("$dir/$_.pem", pki_text("b-$_.crt", CA . '.crt'))
    for qw(httpd-good httpd-revoked nginx-good nginx-revoked nginx-plain);

sub stapling_host {
    my ($name) = @_;
    return <<"CONF";
Listen 127.0.0.1:\@Port_$name\@
<VirtualHost 127.0.0.1:\@Port_$name\@>
SSLEngine on
SSLCertificateFile "$dir/httpd-$name.pem"
SSLCertificateKeyFile "\@PKI\@/b-httpd-$name.key"
SSLUseStapling On
AliasMatch "^/" "\@Htdocs\@/index.html"
</VirtualHost>
CONF
}
my $httpd = private(
    name   => 'stapling-httpd',
    config => join "\n",
    'SSLStaplingCache shmcb:@Logs@/stapling(131072)',
    "<Directory \"\@Htdocs\@\">\nRequire all granted\n</Directory>",
    stapling_host('good'), stapling_host('revoked')
);
my %url = map { ("httpd-$_" => 'https://127.0.0.1:' . $httpd->port($_)) } qw(good revoked);
for my $name (qw(good revoked plain)) {
    my $stapling =
        $name eq 'plain' ? '' : "ssl_stapling on; ssl_stapling_file $dir/nginx-$name.staple;";
    my $nginx = MTLSTest::Daemon->start(
        'nginx',
        "stapling-$name",
        conf => <<"CONF");
daemon off;
master_process off;
pid \@Dir\@/pid;
events { }
http {
    access_log off;
    server {
        listen 127.0.0.1:\@Port\@ ssl;
        ssl_certificate $dir/nginx-$name.pem;
        ssl_certificate_key @{[pki_dir()]}/b-nginx-$name.key;
        $stapling
        location / { return 200 "nginx\n"; }
    }
}
CONF
    $url{"nginx-$name"} = 'https://127.0.0.1:' . $nginx->port;
}
{
    local $server = private(
        name   => 'backend-ocsp-real',
        config => join "\n",
        'MTLSOCSPResponderAllow ocsp.example',
        $bounds,
        $stores =~ s/^MTLSOCSPResponder .*\n//mgr,
        gateway_host(
            'Main',
            map {
                my $name = $_;
                map {"ProxyPass \"/$_/$name\" \"$url{$name}/\""} qw(require prefer)
            } sort keys %url
        )
    );
    for my $row (
        ['httpd-good',    'ok',                'ok'],
        ['httpd-revoked', 'ocsp_revoked',      'ocsp_revoked'],
        ['nginx-good',    'ok',                'ok'],
        ['nginx-revoked', 'ocsp_revoked',      'ocsp_revoked'],
        ['nginx-plain',   'ocsp_no_responder', 'ok'],
        )
    {
        my ($name, $require, $prefer) = @$row;
        for (['require', $require], ['prefer', $prefer]) {
            my ($section, $reason) = @$_;
            my $r = ask($section, $name);
            $reason eq 'ok'
                ? passes($r, "$section: $name")
                : refuses($r, $reason, "$section: $name");
        }
    }
    is($stapler->requests('b-nginx-plain'), 0, 'the gateway has not asked their responder');
    cmp_ok($stapler->requests('b-httpd-good'), '>=', 1, 'httpd has');
}

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');

done_testing;
