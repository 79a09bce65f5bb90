# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What statuses survive: older responses, responders that are gone for long, children and the
# fetching process killed, restarts under load, caches that are too small, broken or emptied. And
# responses made beforehand, in a folder.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Crowd qw(in_parallel ask_timed);
use MTLSTest::Files qw(files_dir replace_file rewrite_file append_file);
use MTLSTest::Ocsp  qw(make_certificate response_for error_response);
use MTLSTest::Responder;
use POSIX       ();
use Time::HiRes qw(time);

use constant { NEXT => 3, STALE => 4 };    # seconds

my $responder = MTLSTest::Responder->start(name => 'survival');
my $mortal    = MTLSTest::Responder->start(name => 'mortal');
my $folder    = files_dir('responses');

make_certificate("s-$_", ocsp => [$responder->url])
    for qw(replay forward equal killed busy small-1 small-2), map { "many-$_" } 1 .. 16;
make_certificate("m-$_", ocsp => [$mortal->url])
    for qw(stale fresh no-next no-next-old revoked good);
make_certificate("r-$_") for qw(good revoked later broken other short two);

sub vhost {
    my ($name, @lines) = @_;
    return join "\n", "Listen 127.0.0.1:\@Port_$name\@",
        "<VirtualHost 127.0.0.1:\@Port_$name\@>", 'ServerName gateway.test', '@TLS@',
        'AliasMatch "^/" "@Htdocs@/index.html"',
        'Header always set X-Reason "expr=%{reqenv:MTLS_REASON}"',
        'Header always set X-Ocsp "expr=%{reqenv:MTLS_OCSP}"',
        "<Location \"/\">\nMTLSExport env\n</Location>",
        @lines,
        map({ "<Location \"/$_\">\nMTLSOCSP $_\n</Location>" } 'require', 'prefer'),
        '</VirtualHost>', '';
}
my $hosts  = join ' ', map { $_->host } $responder, $mortal;
my $common = <<"CONF";
MTLSOCSPResponderAllow $hosts
MTLSOCSPTimeout 60
MTLSOCSPWait 30
MTLSOCSPSkew 0
<Directory "\@Htdocs\@">
Require all granted
</Directory>
CONF
my @modules = qw(
    authn_core authz_core alias headers log_config mime setenvif socache_shmcb socache_dbm
    mtls_policy ssl
);
my $children =
    join "\n",
    mpm() eq 'prefork'
    ? ('StartServers 6', 'MinSpareServers 4', 'MaxSpareServers 12', 'MaxRequestWorkers 24')
    : (
    'StartServers 2',
    'ServerLimit 4',
    'ThreadsPerChild 12',
    'ThreadLimit 12',
    'MinSpareThreads 12',
    'MaxSpareThreads 48',
    'MaxRequestWorkers 48'
    );
my $config = join '', "MTLSOCSPResponses \"$folder\"\n", $common,
    vhost('Main', 'MTLSOCSPMaxAge 1'), vhost('Steady'),
    vhost('Stale', 'MTLSOCSPStale 3600'), vhost('Brief', 'MTLSOCSPStale ' . STALE),
    vhost('Short', 'MTLSOCSPMaxAge 3'),
    vhost('Hasty', 'MTLSOCSPMaxAge 1', 'MTLSOCSPTimeout 2', 'MTLSOCSPWait 2');

# What is proven of these two has its time while other things are looked at.
$mortal->set_all(
    'm-stale'       => { status => 'good',    next => NEXT },
    'm-fresh'       => { status => 'good',    next => NEXT },
    'm-no-next'     => { status => 'good',    this => 0,   next => undef },
    'm-no-next-old' => { status => 'good',    this => -60, next => undef },
    'm-revoked'     => { status => 'revoked', next => NEXT },
    'm-good'        => { status => 'good' }
);
my $server = private(
    name      => 'ocsp-survival',
    modules   => \@modules,
    processes => $children,
    config    => $config
);

sub ask {
    my ($path, $cert, $vhost) = @_;
    return $server->tls(cert => $cert, vhost => $vhost // 'main')->request($path);
}

sub becomes {
    my ($reason, $what, $path, $cert, $vhost) = @_;
    my $expected = outcome_of($reason);
    return outcome_is(await_outcome($expected, sub { ask($path, $cert, $vhost) }), $expected,
        $what);
}

# The responder has been asked so often again for all of these, with requests going on.
sub asked_again {
    my ($from, $before, $times) = @_;
    my @certs = sort keys %$before;
    return ok(
        await(
            sub {
                my @left = grep { $from->requests($_) < $before->{$_} + $times } @certs;
                ask('/prefer', $_) for @left;
                return !@left;
            }
        ),
        "@certs: asked for again"
    );
}

# --- without nextUpdate, and past it --------------------------------------------------------------
# When the responder was asked about a certificate last: what it said then ends NEXT seconds later,
# or a second before, since it counts in whole ones. Until somebody is sure of it one is asked for
# again.
sub last_asked { my ($cert) = @_; return ((reverse $mortal->asked($cert))[0] // {})->{at} }

sub is_over {
    my ($cert) = @_;
    my $end = last_asked($cert) + NEXT + 1;
    return ok(await(sub { time > $end }), "$cert: past its nextUpdate");
}

becomes('ok',           'MTLSOCSPStale: good', '/require', 'm-stale',   'stale');
becomes('ok',           'without it: good',    '/require', 'm-fresh',   'steady');
becomes('ok',           'no nextUpdate: good', '/require', 'm-no-next', 'short');
becomes('ocsp_revoked', 'revoked',             '/require', 'm-revoked');
becomes('ok',           'good for an hour',    '/require', 'm-good');
outcome_is(
    ask('/require', 'm-no-next-old', 'short'),
    outcome_of('ocsp_unavailable'),
    'no nextUpdate, and older than MTLSOCSPMaxAge'
);
$mortal->down;
becomes('ocsp_unavailable', 'no nextUpdate: good no longer than MTLSOCSPMaxAge',
    '/require', 'm-no-next', 'short');
becomes('ocsp_unavailable', 'past nextUpdate', '/require', 'm-fresh', 'steady');
is_over('m-stale');
my $stale = ask('/require', 'm-stale', 'stale');
outcome_is($stale, outcome_of('ok'), 'past nextUpdate, MTLSOCSPStale');
is($stale->header('X-Ocsp'), 'good', 'it counts as good');
becomes('ocsp_unavailable', 'past MTLSOCSPStale', '/require', 'm-stale', 'brief');
cmp_ok(time - last_asked('m-stale'), '>=', NEXT - 1 + STALE, 'not before its time');
outcome_is(ask('/prefer', 'm-stale', 'brief'), outcome_of('ok'), 'prefer passes');
is_over('m-revoked');
outcome_is(
    ask('/prefer', 'm-revoked'),
    outcome_of('ocsp_revoked'),
    'a revocation past its nextUpdate still is one'
);

# --- a revocation is not forgotten, whatever is restarted -----------------------------------------
for my $restart (['a graceful restart', 'USR1'], ['a restart', 'HUP']) {
    my ($what, $signal) = @$restart;
    $server->restart($signal);
    outcome_is(
        ask('/prefer', 'm-revoked'),
        outcome_of('ocsp_revoked'),
        "$what, responder down, time $_"
    ) for 1 .. 6;
}
$server->stop;
$server->launch or die $server->failure_text;
outcome_is(
    ask('/prefer', 'm-revoked'),
    outcome_of('ocsp_revoked'),
    "stopped and started, responder down, time $_"
) for 1 .. 6;
outcome_is(ask('/require', 'm-revoked'), outcome_of('ocsp_revoked'), 'require, too');
$mortal->set('m-revoked', status => 'good')->up;
becomes('ok', 'until a newer good one is proven', '/require', 'm-revoked');
becomes('ok', 'the responder is there for all again', '/require', "m-$_", 'steady')
    for qw(stale fresh);

# --- older responses ------------------------------------------------------------------------------
# `replay`: good, revoked, the same good one again. `equal`: the same, all of one second. `forward`:
# good, and a revocation that is older.
my $date = POSIX::strftime('%Y%m%d%H%M%SZ', gmtime time - 30);
my %good = (
    's-replay'  => { status => 'good', this => -100 },
    's-equal'   => { status => 'good', this => $date, produced => $date },
    's-forward' => { status => 'good', this => -10 }
);
my @certs = sort keys %good;
$responder->set_all(%good);
outcome_is(ask('/require', $_), outcome_of('ok'), "$_: good at first") for @certs;
$responder->set_all(
    's-replay'  => { status => 'revoked', this => -50 },
    's-equal'   => { status => 'revoked', this => $date, produced => $date },
    's-forward' => { status => 'revoked', this => -100 }
);
my %before = map { $_ => $responder->requests($_) } @certs;
becomes('ocsp_revoked', "$_: revoked", '/require', $_) for 's-replay', 's-equal';
asked_again($responder, \%before, 1);
$responder->set_all(%good);
%before = map { $_ => $responder->requests($_) } @certs;
asked_again($responder, \%before, 2);

for my $path ('/require', '/prefer') {
    outcome_is(
        ask($path, 's-replay'),
        outcome_of('ocsp_revoked'),
        "$path: the older good one does not count"
    );
    outcome_is(
        ask($path, 's-equal'),
        outcome_of('ocsp_revoked'),
        "$path: nor one of the same second"
    );
    outcome_is(ask($path, 's-forward'), outcome_of('ok'), "$path: nor an older revocation");
}
$responder->set($_, status => 'good', this => -1)     for 's-replay', 's-equal';
becomes('ok', "$_: a newer good one", '/require', $_) for 's-replay', 's-equal';

# --- responses made beforehand --------------------------------------------------------------------
outcome_is(
    ask('/require', 'r-good'),
    outcome_of('ocsp_unavailable'),
    'MTLSOCSPResponses: nothing there'
);
outcome_is(ask('/prefer', 'r-good'), outcome_of('ok'), 'prefer passes');
replace_file("$folder/good.der", response_for('r-good', this => -100));
becomes('ok', 'a file is dropped in', '/require', 'r-good');
outcome_is(ask('/require', 'r-good', $_), outcome_of('ok'), "for every virtual host: $_")
    for qw(steady stale short);
replace_file("$folder/anything.der",
    response_for('r-revoked', status => 'revoked', hash => 'sha256'));
becomes('ocsp_revoked', 'a revoked one, by SHA-256', '/prefer', 'r-revoked');
my $tls = $server->tls(cert => 'r-good', vhost => 'steady');
outcome_is($tls->request('/prefer'), outcome_of('ok'), 'a connection');
replace_file("$folder/good.der", response_for('r-good', status => 'revoked', this => -50));
my $expected = outcome_of('ocsp_revoked');
outcome_is(await_outcome($expected, sub { $tls->request('/prefer') }),
    $expected, 'a revocation is dropped in: on the same connection');
ok($tls->at_end, 'which is closed');
outcome_is(ask($_, 'r-good'), $expected, "a revocation is dropped in: $_")
    for '/require', '/prefer';
replace_file("$folder/good.der",  response_for('r-good',  this => -100));
replace_file("$folder/later.der", response_for('r-later', this => -100));
becomes('ok', 'another file, later', '/require', 'r-later');
outcome_is(ask('/prefer', 'r-good'), $expected, 'the older good one does not count');
unlink "$folder/good.der";
replace_file(
    "$folder/two.der",
    response_for(
        'r-two',
        others => [
            [
                MTLSTest::Ocsp::cert_id(
                    'carc-i101l', pack('H*', MTLSTest::Ocsp::serial_hex('r-short'))
                ),
                {}
            ]
        ]
    )
);
becomes('ok', 'a file for two certificates', '/require', "r-$_") for qw(two short);
outcome_is(ask('/prefer', 'r-good'), $expected, 'what was revoked stays it without its file');
replace_file("$folder/broken.der",   'this is no response');
replace_file("$folder/error.der",    error_response('tryLater'));
replace_file("$folder/other.der",    response_for('r-other', key => 'carc-i102l'));
replace_file("$folder/r-broken.txt", response_for('r-broken'));
ok(await(sub { $server->log->matching(qr{broken\.der}) }), 'a broken file is logged');
outcome_is(ask('/require', "r-$_"), outcome_of('ocsp_unavailable'), "not from such a file: $_")
    for qw(other broken);
my $response = response_for('r-broken');
my $half     = int(length($response) / 2);
rewrite_file("$folder/r-broken.der", substr $response, 0, $half);
ok(await(sub { $server->log->matching(qr{r-broken\.der}) }), 'half a file');
outcome_is(ask('/require', 'r-broken'), outcome_of('ocsp_unavailable'), 'does not count');
append_file("$folder/r-broken.der", substr $response, $half);
becomes('ok', 'until the rest is there', '/require', 'r-broken');

# --- processes die --------------------------------------------------------------------------------
sub processes {
    my ($single) = @_;
    my @found;
    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $stat or next;
        my $line = <$fh> // next;
        my ($pid, $parent, $threads) = $line =~ /\A(\d+) \(.*\) \S (\d+)(?: \S+){15} (\d+)/ or next;
        push @found, $pid if $parent == $server->{pid} && ($threads == 1) == $single;
    }
    return @found;
}

SKIP: {
    skip 'every child of prefork has one thread', 1 if mpm() eq 'prefork';
    my $gate = files_dir('killed') . '/gate';
    $responder->set('s-killed', status => 'good', gate => [$gate]);
    my @waiting = map { $server->tls(cert => 's-killed', vhost => 'steady') } 1 .. 6;
    $_->send_head('/require') for @waiting;
    ok(await(sub { $responder->requests('s-killed') }), 'a status is asked for');
    my @children = processes(0);
    cmp_ok(scalar @children, '>=', 1, 'children wait for it');
    kill KILL => @children;
    replace_file($gate, "open\n");
    outcome_is(
        await_outcome(
            outcome_of('ok'),
            sub {
                eval { ask('/require', 's-killed', 'steady') } // MTLSTest::Response->new;
            }
        ),
        outcome_of('ok'),
        'the children are killed: others have it'
    );
    is($responder->requests('s-killed'), 1, 'and it was asked for once');

    # A child that is just being made has one thread, too.
    my $fetching;
    ok(await(sub { my @now = processes(1); $fetching = $now[0]; return @now == 1 }),
        'there is a process that asks responders, one');
    $responder->set('s-busy', http => 'hang');
    my $busy = $server->tls(cert => 's-busy', vhost => 'hasty');
    my $id   = $busy->send_head('/require');
    ok(await(sub { $responder->requests('s-busy') }), 'it asks');
    kill KILL => $fetching;
    outcome_is($busy->read_response('GET', $id),
        outcome_of('ocsp_unavailable'), 'it is killed: nobody waits for nothing');
    $responder->set('s-busy', status => 'good');
    becomes('ok', 'another one asks', '/require', 's-busy');
    outcome_is(ask('/prefer',  'r-good'),  $expected,        'it knows what was revoked');
    outcome_is(ask('/require', 'r-later'), outcome_of('ok'), 'and what is good');
    ok(await(sub { my @now = processes(1); return @now == 1 && $now[0] != $fetching }),
        'there is another one');
}

# --- graceful restarts under load -----------------------------------------------------------------
{
    my $stop = files_dir('restarts') . '/stop';
    $responder->set('s-small-1', status => 'good');
    $responder->set('s-small-2', status => 'revoked');
    outcome_is(ask('/require', 's-small-1'), outcome_of('ok'),           'load: good');
    outcome_is(ask('/require', 's-small-2'), outcome_of('ocsp_revoked'), 'load: revoked');
    my $pid = open my $pipe, '-|';
    die "cannot fork: $!\n" unless defined $pid;
    if (!$pid) {
        my %seen = map { %{$_} } in_parallel(
            4,
            sub {
                my ($cert, $path) = @{ $_[0] };
                my %count;
                while (!-e $stop) {
                    my $r = eval { ask_timed($server, $path, cert => $cert) };
                    $count{ "$cert $path " . ($r ? $r->{error} // $r->{outcome} : $@) }++;
                }
                return \%count;
            },
            ['s-small-1', '/require'],
            ['s-small-1', '/prefer'],
            ['s-small-2', '/require'],
            ['s-small-2', '/prefer']
        );
        print map { "$_\n" } sort keys %seen;
        close STDOUT;
        POSIX::_exit(0);
    }
    $server->graceful for 1 .. 4;
    replace_file($stop, "stop\n");
    my @seen = <$pipe>;
    close $pipe;
    chomp @seen;
    is_deeply(
        \@seen,
        [
            's-small-1 /prefer 200 ok',
            's-small-1 /require 200 ok',
            's-small-2 /prefer 403 ocsp_revoked',
            's-small-2 /require 403 ocsp_revoked'
        ],
        'four graceful restarts under load: every answer is right'
    );
}
is(scalar($server->log->matching(qr/AddressSanitizer|runtime error|Assertion|Segmentation/)),
    0, 'nothing died by itself');
$server->stop;

# --- caches that are no good ----------------------------------------------------------------------
$responder->set("s-many-$_", status => $_ % 4 ? 'good' : 'revoked') for 1 .. 16;
my $dbm = files_dir('broken-cache');
chown +(getpwnam +(MTLSTest::Layout::runtime_user())[0])[2, 3], $dbm if $> == 0;
for my $cache ('shmcb:@Logs@/tiny(20000)', "dbm:$dbm/cache") {
    my ($kind) = split /:/, $cache;
    $server = private(
        name      => "ocsp-$kind",
        modules   => \@modules,
        processes => $children,
        config    => "MTLSCache $cache\n" . $common . vhost('Main')
    );
    for my $round (1 .. 2) {
        my @results = in_parallel(
            2,    # fewer than may wait in a child
            sub { ask_timed($server, $_[0][1], cert => $_[0][0]) },
            map {
                my $n = $_;
                map { ["s-many-$n", $_] } '/require', '/prefer'
            } 1 .. 16
        );
        my @wrong = grep {
            $results[$_]{outcome} ne ((int($_ / 2) + 1) % 4 ? '200 ok' : '403 ocsp_revoked')
        } 0 .. $#results;
        is(scalar @wrong, 0, "$cache: 16 certificates, round $round")
            or diag(join '; ', map { "$_: $results[$_]{outcome}" } @wrong);
        next if $kind ne 'dbm' || $round == 2;
        for my $file (glob "$dbm/*") {
            open my $fh, '+<:raw', $file or die "cannot open $file: $!\n";
            print {$fh} map { chr($_ * 11 & 255) } 1 .. -s $file || 1;
            close $fh;
        }
    }
    is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
        0, "$cache: no child died");
    $server->stop;
}

done_testing;
