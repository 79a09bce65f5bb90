# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# CRLs of trust stores. What can be proven counts; everything else is crl_unavailable (503) or
# refused at start, never "not revoked".

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await     qw(await);
use MTLSTest::Files     qw(files_dir copy_pki);
use MTLSTest::RuleTable qw(run_table);

my $dir = files_dir('crls');
copy_pki(
    $dir,
    'mixed/root.crl'       => ['root.crl'],
    'mixed/carc-i101l.crl' => ['carc-i101l-der.crl'],
    'mixed/carc-i102l.crl' => ['carc-i102l.crl']
);

sub pki {
    return join ' ', map {"\"\@PKI\@/$_\""} @_;
}

# Root as anchor and its intermediates, with the named CRL files and lines.
sub store {
    my ($name, $crls, @lines) = @_;
    my $list = @$crls ? 'MTLSCRL ' . pki(map {"$_.crl"} @$crls) : '';
    return join "\n    ", "<MTLSTrustStore \"$name\">",
        'MTLSAnchor ' . pki('root.crt'), 'MTLSIntermediate ' . pki(
        map {"$_.crt"}
            qw(carc-i101l carc-i102l no-crlsign-ca
            revoked-intermediate)
        ),
        $list, @lines, "\n</MTLSTrustStore>\n";
}

my @leaf    = ('MTLSCRLCheck leaf');
my @forgive = ('MTLSCRLCheck leaf missing-ok');
my $stores  = join '', store('none', []),
    store('off',         ['carc-i101l'], 'MTLSCRLCheck off'),
    store('off-without', [],             'MTLSCRLCheck off'),

    # leaf and chain; chain is the default
    store('leaf',             ['carc-i101l'], @leaf), store('leaf-der', ['carc-i101l-der'], @leaf),
    store('chain',            ['root',     'carc-i101l']),
    store('chain-written',    ['root',     'carc-i101l'], 'MTLSCRLCheck chain'),
    store('chain-der',        ['root-der', 'carc-i101l-der']),
    store('chain-no-root',    ['carc-i101l']),
    store('chain-missing-ok', ['carc-i101l'], 'MTLSCRLCheck chain missing-ok'),
    store('several',          ['several-issuers']),
    store('folder',           [], "MTLSCRL \"$dir/mixed\""),
    store('glob',             [], "MTLSCRL \"$dir/mixed/*.crl\""),
    store(
    'lines', ['root'],
    'MTLSCRL ' . pki('carc-i101l-der.crl'),
    'MTLSCRL ' . pki('carc-i102l.crl')
    ),
    store('twice', ['carc-i101l', 'carc-i101l'], @leaf),

    # several lists of one issuer: the newest counts
    store('newer-last',  ['carc-i101l-older', 'carc-i101l'],       @leaf),
    store('newer-first', ['carc-i101l',       'carc-i101l-older'], @leaf),

    # no list, an old one, one that has not begun
    store('missing', ['carc-i102l'], @leaf), store('missing-ok', ['carc-i102l'], @forgive),
    store('expired',              ['carc-i101l-expired'],              @leaf),
    store('expired-missing-ok',   ['carc-i101l-expired'],              @forgive),
    store('expired-and-current',  [qw(carc-i101l-expired carc-i101l)], @leaf),
    store('expired-root',         [qw(root-expired carc-i101l)]),
    store('expired-root-leaf',    [qw(root-expired carc-i101l)], @leaf),
    store('future',               ['carc-i101l-future'],         @leaf),
    store('future-missing-ok',    ['carc-i101l-future'],         @forgive),
    store('strangers',            ['stranger-root'],             @leaf),
    store('strangers-missing-ok', ['stranger-root'],             @forgive),

    # intermediates and the root
    store('intermediate', [qw(root-revokes-intermediate revoked-intermediate carc-i101l)]),
    store('intermediate-leaf', [qw(root-revokes-intermediate revoked-intermediate carc-i101l)],
    @leaf),
    store('root-itself', [qw(root-revokes-itself carc-i101l)]),

    # holds, deltas, lists of others, parts of lists
    store('hold',                    ['carc-i101l-hold'],                    @leaf),
    store('base',                    ['carc-i101l-base'],                    @leaf),
    store('delta',                   [qw(carc-i101l-base carc-i101l-delta)], @leaf),
    store('delta-pem',               ['base-and-delta']),
    store('delta-removes',           [qw(carc-i101l-base-hold carc-i101l-delta-removes)], @leaf),
    store('delta-only',              ['carc-i101l-delta'],                                @leaf),
    store('delta-only-missing-ok',   ['carc-i101l-delta'],                                @forgive),
    store('delta-unlinked',          [qw(carc-i101l-base-alone carc-i101l-delta)],        @leaf),
    store('delta-expired',           [qw(carc-i101l-base carc-i101l-delta-expired)],      @leaf),
    store('delta-superseded',        [qw(carc-i101l carc-i101l-delta-expired)],           @leaf),
    store('indirect',                [qw(carc-i101l carc-i102l-indirect)],                @leaf),
    store('indirect-only',           ['carc-i102l-indirect'],                             @leaf),
    store('only-users',              ['carc-i101l-only-users'],                           @leaf),
    store('only-cas',                ['carc-i101l-only-cas'],                             @leaf),
    store('only-cas-missing-ok',     ['carc-i101l-only-cas'],                             @forgive),
    store('some-reasons',            ['carc-i101l-some-reasons'],                         @leaf),
    store('some-reasons-missing-ok', ['carc-i101l-some-reasons'],                         @forgive),
    store('elsewhere',               ['carc-i101l-elsewhere'],                            @leaf),

    # a CA with a new key under its old name: each key has a list of its own
    store(
    'rekeyed',
    [qw(carc-i101l carc-i101l-rekeyed)],
    'MTLSIntermediate ' . pki('carc-i101l-rekeyed.crt'), @leaf
    ),
    store('rekeyed-one', ['carc-i101l'], 'MTLSIntermediate ' . pki('carc-i101l-rekeyed.crt'),
    @leaf),
    store('rekeyed-one-missing-ok', ['carc-i101l'],
    'MTLSIntermediate ' . pki('carc-i101l-rekeyed.crt'), @forgive);

my $revoked = { revoked => 'revoked_crl', partner => 'ok' };
my @rows    = (
    'none'             => { revoked                    => 'ok' },
    'off'              => { revoked                    => 'ok' },
    'off-without'      => { revoked                    => 'ok' },
    'leaf'             => { %$revoked, 'other-partner' => 'crl_unavailable', expired => 'expired' },
    'leaf-der'         => $revoked,
    'chain'            => { %$revoked, 'by-root' => 'ok', 'other-partner' => 'crl_unavailable' },
    'chain-written'    => $revoked,
    'chain-der'        => $revoked,
    'chain-no-root'    => { revoked => 'revoked_crl', partner => 'crl_unavailable' },
    'chain-missing-ok' => { %$revoked, 'other-partner' => 'ok', 'by-root' => 'ok' },
    'several'          => { %$revoked, 'other-partner' => 'ok', 'by-root' => 'ok' },
    'folder'           => { %$revoked, 'other-partner' => 'ok' },
    'glob'             => { %$revoked, 'other-partner' => 'ok' },
    'lines'            => { %$revoked, 'other-partner' => 'ok' },
    'twice'            => $revoked,

    'missing'              => { partner => 'crl_unavailable', 'other-partner' => 'ok' },
    'missing-ok'           => { partner => 'ok', revoked => 'ok', 'other-partner' => 'ok' },
    'expired'              => { partner => 'crl_unavailable' },
    'expired-missing-ok'   => { partner => 'crl_unavailable', 'other-partner' => 'ok' },
    'expired-and-current'  => $revoked,
    'expired-root'         => { partner => 'crl_unavailable' },
    'expired-root-leaf'    => $revoked,
    'future'               => { partner => 'crl_unavailable' },
    'future-missing-ok'    => { partner => 'crl_unavailable', 'other-partner' => 'ok' },
    'strangers'            => { partner => 'crl_unavailable' },
    'strangers-missing-ok' => { partner => 'ok' },

    'intermediate'      => { %$revoked, 'by-revoked-intermediate' => 'revoked_crl' },
    'intermediate-leaf' => { %$revoked, 'by-revoked-intermediate' => 'ok' },
    'root-itself'       => { partner => 'revoked_crl' },

    'hold'          => { 'user-2' => 'revoked_crl', 'user-3' => 'ok' },
    'base'          => { 'user-2' => 'revoked_crl', 'user-3' => 'ok' },
    'delta'         => { 'user-2' => 'revoked_crl', 'user-3' => 'revoked_crl', 'user-1' => 'ok' },
    'delta-pem'     => { 'user-2' => 'revoked_crl', 'user-3' => 'revoked_crl', 'user-1' => 'ok' },
    'delta-removes' => { 'user-2' => 'ok',          'user-1' => 'ok' },
    'delta-only'    =>
        { 'user-1' => 'crl_unavailable', 'user-3' => ['revoked_crl', 'crl_unavailable'] },
    'delta-only-missing-ok' =>
        { 'user-1' => 'crl_unavailable', 'user-3' => ['revoked_crl', 'crl_unavailable'] },
    'delta-unlinked' =>
        { 'user-2' => 'revoked_crl', 'user-3' => ['revoked_crl', 'crl_unavailable'] },
    'delta-expired'    => { 'user-1' => 'crl_unavailable', 'user-2' => 'revoked_crl' },
    'delta-superseded' => { %$revoked, 'user-1' => 'ok', 'user-3' => 'ok' },
    'indirect'         => { 'revoked-elsewhere' => 'revoked_crl', 'listed-elsewhere' => 'ok' },
    'indirect-only'    => {
        'revoked-elsewhere' => 'revoked_crl',
        'listed-elsewhere'  => 'ok',
        'partner'           => 'crl_unavailable'
    },
    'only-users'              => $revoked,
    'only-cas'                => { partner => 'crl_unavailable' },
    'only-cas-missing-ok'     => { partner => 'crl_unavailable' },
    'some-reasons'            => { partner => 'crl_unavailable' },
    'some-reasons-missing-ok' => { partner => 'crl_unavailable' },
    'elsewhere'               => { partner => 'crl_unavailable' },

    'newer-last'  => { %$revoked, 'user-1' => 'ok' },
    'newer-first' => { %$revoked, 'user-1' => 'ok' },

    'rekeyed' => { %$revoked, 'partner-by-rekeyed' => 'revoked_crl', 'user-by-rekeyed' => 'ok' },

    # RFC 5280 knows an issuer by its name: a list it signs with one key holds for the other's, too
    'rekeyed-one' => { %$revoked, 'user-by-rekeyed' => 'ok' },
);

my (@table, @either);
while (my ($store, $expected) = splice @rows, 0, 2) {
    my %certain = map { ref $expected->{$_} ? () : ($_ => $expected->{$_}) } keys %$expected;
    push @table, ["MTLSTrust $store"] => \%certain;
    push @either, map { [@table / 2 - 1, $store, $_, $expected->{$_}] }
        grep { ref $expected->{$_} } sort keys %$expected;
}
for my $version ('1.2', '1.3') {
    my $server = run_table(
        name       => 'crls-' . $version =~ tr/.//dr,
        rows       => \@table,
        server     => $stores,
        directives => 'MTLSHandshake defer',
        version    => $version
    );

    # Where the list is not one RFC 5280 lets anybody use, both ways of refusing will do.
    for my $row (@either) {
        my ($i, $store, $cert, $reasons) = @$row;
        my $any = join '|', map { outcome_of($_) } @$reasons;
        like($server->get("/rule-$i", cert => $cert, tls => $version)->outcome,
            qr/\A(?:$any)\z/, "$cert: MTLSTrust $store");
    }
    if ($version eq '1.3') {
        my $warnings = join "\n", $server->log->matching(qr/\[mtls_policy:warn\]/);
        like($warnings, qr/carc-i101l-expired\.crl/, 'an expired CRL is warned about at start');
        like($warnings, qr/root-expired\.crl/,       'and another');
        unlike($warnings, qr{/carc-i101l\.crl}, 'a current one is not');
    }
}

# --- resumed sessions; a list that runs out while a connection is open ----------------------------
my $config =
    "KeepAliveTimeout 600\n"
    . store('leaf', ['carc-i101l'], @leaf)
    . store('soon',            ['soon'], @leaf)
    . store('soon-missing-ok', ['soon'], @forgive)
    . <<'CONF';
<Directory "@Htdocs@">
    Require all granted
</Directory>
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
AliasMatch "^/" "@Htdocs@/index.html"
<Location "/leaf">
    MTLSTrust leaf
</Location>
<Location "/soon">
    MTLSTrust soon
</Location>
<Location "/soon-missing-ok">
    MTLSTrust soon-missing-ok
</Location>
<Location "/status">
    MTLSTrust soon
    MTLSUnavailableStatus 429
</Location>
</VirtualHost>
CONF

# A connection that has been let in by a list that runs out soon; it lives longer where the server
# takes long to start.
my ($server, $open, $first, $life);
for my $seconds (5, 15, 45, 120) {
    $life = $seconds;
    make_pki('crl', 'soon', '--issuer', 'carc-i101l', '--seconds', $life, '--revoked', 'revoked');
    $server->stop if $server;
    $server = private(name => 'crls-time', config => $config);
    $open   = $server->tls(cert => 'partner');
    $first  = $open->request('/soon');
    last if $first->status == 200;
}
allowed($first, 'a list that runs out soon, at first');

my @kinds = (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
);
for my $kind (@kinds) {
    my ($name, @options) = @$kind;
    for my $row (['revoked', 'revoked_crl'], ['partner', 'ok']) {
        my ($cert, $reason) = @$row;
        my $first = $server->tls(@options, cert => $cert);
        my $full  = $first->request('/leaf');
        outcome_is($full, outcome_of($reason), "$name: $cert, full");
        my $session = $first->session;
        $first->close;
        my $again = $server->tls(@options, cert => $cert, session => $session);
        is($again->reused, 1, "$name: $cert: resumed");
        my $resumed = $again->request('/leaf');
        outcome_is($resumed, outcome_of($reason), "$name: $cert, resumed");
        next if $reason eq 'ok';
        is(lc($_->header('Connection') // ''), 'close', "$name: $cert: closed") for $full, $resumed;
    }
}
{
    my $last;
    for (0 .. $life / 30) {
        last if await(sub { $last = $open->request('/soon'); return $last->status != 200 });
    }
    outcome_is($last, '503 deny crl_unavailable', 'the open connection, once its list has run out');
    like($last->header('Retry-After') // '', qr/\A\d+\z/, 'with Retry-After');
    outcome_is(
        $server->get('/soon-missing-ok', cert => 'partner'),
        '503 deny crl_unavailable',
        'missing-ok forgives no list that has run out'
    );
    my $other = $server->get('/status', cert => 'partner');
    outcome_is($other, '429 deny crl_unavailable', 'MTLSUnavailableStatus');
    like($other->header('Retry-After') // '', qr/\A\d+\z/, 'with Retry-After, too');
    allowed($server->get('/leaf', cert => 'partner'), 'a store with a current list goes on');
}

done_testing;
