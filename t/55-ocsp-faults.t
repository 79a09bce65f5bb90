# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Responders that fail in every way: `require` refuses, `prefer` refuses only a proven revocation,
# nobody is held past MTLSOCSPWait, the responder is asked once however many wait, and when it is
# well again so is everything. MTLS_OCSP_CLIENTS sets how many wait for one status.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Select;
use MTLSTest;
use MTLSTest::Await  qw(await);
use MTLSTest::Crowd  qw(in_parallel ask_timed);
use MTLSTest::Layout qw(free_port);
use MTLSTest::Ocsp   qw(make_certificate);
use MTLSTest::Responder;
use Time::HiRes qw(time);

use constant {
    WAIT         => 1,
    PATIENT      => 6,
    HELD_AT_MOST => 3,
    CROWD        => $ENV{MTLS_OCSP_CLIENTS} || 200,
    DELAY        => 1,
    WORKERS      => 96,
    CLIENTS      => 16                                # at a time: fewer than may wait
};

my $responder = MTLSTest::Responder->start(name => 'faulty');
my $lost      = MTLSTest::Responder->start(name => 'lost');
my $gone_port = free_port();

# name => what is wrong; where not with the responder that is asked, its address
my %fault = (
    hang         => { http  => 'hang' },
    slow         => { delay => 10 },
    drip         => { http  => 'drip' },
    half         => { http  => 'half' },
    huge         => { http  => 'huge' },
    endless      => { http  => 'endless' },
    html         => { http  => 'html' },
    garbage      => { http  => 'garbage' },
    nonsense     => { http  => 'nonsense' },
    empty        => { http  => 'empty' },
    redirect     => { http  => 'redirect' },
    'wrong-type' => { http  => 'wrong_type' },
    gzip         => { http  => 'gzip' },
    reset        => { http  => 'reset' },
    'not-found'  => { http  => 'status:404' },
    broken       => { http  => 'status:500' },
    'try-later'  => { error => 'tryLater' },
    unauthorized => { error => 'unauthor' },
    malformed    => { error => 'malformed' },
    internal     => { error => 'internal' },
    'sign-first' => { error => 'sigRequire' },
);
my %address = (
    refuse    => "http://127.0.0.1:$gone_port/",
    'no-name' => 'http://ocsp.no-such-host.invalid/'
);
my @faults = sort keys %fault;
my @all    = (@faults, sort keys %address);

# Each has a responder of its own, as far as the gateway can see.
make_certificate("f-$_", ocsp => [$address{$_} // $responder->url("/f-$_/")]) for @all;
make_certificate("g-$_", ocsp => [$responder->url("/g-$_/")])                 for @faults;
make_certificate("h-$_", ocsp => [$responder->url("/h-$_/")]) for qw(hang try-later reset);
make_certificate("c-$_", ocsp => [$responder->url("/c-$_/")]) for qw(crowd expired bound well);
make_certificate("l-$_", ocsp => [$lost->url])                for qw(good revoked new);
$responder->set_all(map { ("f-$_" => $fault{$_}) } @faults);
$responder->set_all(map { ("g-$_" => { status => 'revoked', this => -60 }) } @faults);
$responder->set_all(map { ("h-$_" => { status => 'good', next => 3 }) } qw(hang try-later reset));
$responder->set_all('c-well' => { status => 'good' });
$lost->set_all(
    'l-good'    => { status => 'good', next => 4 },
    'l-revoked' => { status => 'revoked' },
    'l-new'     => { status => 'good' }
);

my $allow = join ' ', $responder->host, $lost->host, "127.0.0.1:$gone_port",
    'ocsp.no-such-host.invalid';
my $children =
    join "\n",
    mpm() eq 'prefork'
    ? ('StartServers 16', 'MinSpareServers 8', 'MaxSpareServers 32', 'MaxRequestWorkers 64')
    : (
    'StartServers 1',
    'ServerLimit 1',
    'ThreadLimit ' . WORKERS,
    'ThreadsPerChild ' . WORKERS,
    'MinSpareThreads 1',
    'MaxSpareThreads ' . WORKERS,
    'MaxRequestWorkers ' . WORKERS,
    mpm() eq 'event' ? 'AsyncRequestWorkerFactor 20' : ()
    );

sub vhost {
    my ($name, @lines) = @_;
    return join "\n", "Listen 127.0.0.1:\@Port_$name\@",
        "<VirtualHost 127.0.0.1:\@Port_$name\@>", 'ServerName gateway.test', '@TLS@',
        'AliasMatch "^/" "@Htdocs@/index.html"',
        'Header always set X-Reason "expr=%{reqenv:MTLS_REASON}"', @lines,
        map({ "<Location \"/$_\">\nMTLSOCSP $_\n</Location>" } 'require', 'prefer'),
        '</VirtualHost>', '';
}
my $bounds = <<"CONF";
MTLSOCSPResponderAllow $allow
MTLSOCSPTimeout 1
MTLSOCSPWait @{[WAIT]}
MTLSOCSPMaxAge 1
MTLSOCSPSkew 0
<Directory "\@Htdocs\@">
Require all granted
</Directory>
CONF
my @patient = ('MTLSOCSPWait ' . PATIENT, 'MTLSOCSPTimeout 3', 'MTLSOCSPMaxAge 3600');
my $server  = private(
    name      => 'ocsp-faults',
    processes => $children,
    config    => join '',
    $bounds, vhost('Main'), vhost('Patient', @patient)
);

# Outcomes of one request for each of these certificates, side by side: [certificate, path].
sub ask_all {
    my (@what) = @_;
    return in_parallel(
        CLIENTS,
        sub {
            my ($cert, $path) = @{ $_[0] };
            return ask_timed($server, $path, cert => $cert);
        },
        @what
    );
}

sub all_are {
    my ($path, $expected, $what, @certs) = @_;
    my @results = ask_all(map { [$_, $path] } @certs);
    for my $i (0 .. $#certs) {
        is($results[$i]{outcome}, $expected, "$what: $certs[$i] at $path");
        cmp_ok($results[$i]{seconds}, '<', HELD_AT_MOST, "$what: $certs[$i] at $path: not held");
    }
    return;
}

# Until all of them have got there.
sub all_become {
    my ($path, $expected, $what, @certs) = @_;
    my %left = map { $_ => '' } @certs;
    await(
        sub {
            my @still   = sort keys %left;
            my @results = ask_all(map { [$_, $path] } @still);
            for my $i (0 .. $#still) {
                $left{ $still[$i] } = $results[$i]{outcome};
                delete $left{ $still[$i] } if $results[$i]{outcome} eq $expected;
            }
            return !%left;
        }
    );
    is($left{$_} // $expected, $expected, "$what: $_ at $path") for @certs;
    return;
}

# --- a status nobody has, and the responder fails -------------------------------------------------
my @new = map { "f-$_" } @all;
all_are('/require', '503 ocsp_unavailable', 'never known', @new);
all_are('/prefer',  '200 ok',               'never known', @new);
{
    my $r = $server->tls(cert => 'f-unauthorized')->request('/require');
    outcome_is($r, '503 deny ocsp_unavailable', 'again, from what is remembered of the failure');
    like($r->header('Retry-After') // '', qr/\A[1-9]\d*\z/, 'with Retry-After');
}
my @about = $server->log->matching(qr/\[mtls_policy:\w+\].*127\.0\.0\.1:@{[$responder->port]}/);
cmp_ok(scalar @about, '>=', 1, 'the error log tells of a responder that fails');

# --- a revocation that was proven, and the responder fails ----------------------------------------
my @proven = map { "g-$_" } @faults;
all_become('/prefer', '403 ocsp_revoked', 'revoked', @proven);
$responder->set_all(map { ("g-$_" => $fault{$_}) } @faults);
my %before = map { $_ => $responder->requests($_) } @proven;
ok(
    await(
        sub {
            my @unasked = grep { $responder->requests($_) <= $before{$_} } @proven;
            ask_all(map { [$_, '/prefer'] } @unasked) if @unasked;
            return !@unasked;
        }
    ),
    'revoked: all were asked for once more'
);
all_are('/prefer',  '403 ocsp_revoked', 'revoked, then failing', @proven);
all_are('/require', '403 ocsp_revoked', 'revoked, then failing', @proven);

# --- a good one that has run out, and the responder fails -----------------------------------------
my @fading = map { "h-$_" } qw(hang try-later reset);
$responder->set_all(map { ("h-$_" => { status => 'good', next => 3 }) } qw(hang try-later reset));
all_become('/require', '200 ok', 'good', @fading);
$responder->set_all(map { ("h-$_" => $fault{$_}) } qw(hang try-later reset));
all_become('/require', '503 ocsp_unavailable', 'good, failing, run out', @fading);
all_are('/prefer', '200 ok', 'good, failing, run out', @fading);

# --- all of it is well again ----------------------------------------------------------------------
my @well = ((map { "f-$_" } @faults), @fading);
$responder->set_all(map { ($_ => { status => 'good' }) } @well, @proven);
all_become('/require', '200 ok', 'well again', @well, @proven);
$address{refuse} = MTLSTest::Responder->start(name => 'was-down', port => $gone_port);
$address{refuse}->set('f-refuse', status => 'good');
all_become('/require', '200 ok', 'up at last', 'f-refuse');

# --- a responder that goes away altogether, and comes back ----------------------------------------
all_become('/require', '200 ok',           'before', 'l-good');
all_become('/require', '403 ocsp_revoked', 'before', 'l-revoked');
$lost->down;
all_are('/require', '503 ocsp_unavailable', 'gone',            'l-new');
all_are('/prefer',  '200 ok',               'gone',            'l-new');
all_are('/require', '200 ok',               'gone, but known', 'l-good');
all_become('/require', '503 ocsp_unavailable', 'gone, known no longer', 'l-good');
all_are('/prefer', '403 ocsp_revoked', 'gone', 'l-revoked');
$lost->up;
all_become('/require', '200 ok', 'back', 'l-new', 'l-good');
all_are('/require', '403 ocsp_revoked', 'back', 'l-revoked');

# --- many wait for one status ---------------------------------------------------------------------
# So many clients, in four processes; none of them reads before all of its own have asked. How often
# which answer came, and how many had asked before the responder could have answered.
sub crowd {
    my ($path, $cert) = @_;
    my $until   = time + DELAY;
    my @results = in_parallel(
        4,
        sub {
            my (@sent, %count);
            my $early = 0;
            for (1 .. CROWD / 4) {
                my $tls = $server->tls(cert => $cert, vhost => 'patient');
                push @sent, [$tls, $tls->send_head($path)];
                $early++ if time < $until;
            }
            $count{ answer_of(@$_) }++ for @sent;
            return { count => \%count, early => $early };
        },
        1 .. 4
    );
    my (%count, $early);
    for my $result (@results) {
        $early += $result->{early} // 0;
        $count{$_} += $result->{count}{$_} for keys %{ $result->{count} };
    }
    return (\%count, $early);
}

sub answer_of {
    my ($tls, $id) = @_;
    my $r = $tls->read_response('GET', $id);
    return $r->status . ' ' . ($r->header('X-Reason') // '');
}

for my $cert ('c-crowd', 'c-expired') {
    if ($cert eq 'c-expired') {
        $responder->set($cert, status => 'good', this => -5, next => 4);
        my $known = ask_timed($server, '/require', cert => $cert, vhost => 'patient');
        is($known->{outcome}, '200 ok', "$cert: about to expire");
        my $expires = time + 5;
        await(sub { time > $expires });
    }
    $responder->set($cert, status => 'good', delay => DELAY);
    my $before = $responder->requests($cert);
    my ($count, $early) = crowd('/prefer', $cert);
    is_deeply($count, { '200 ok' => CROWD }, "$cert: " . CROWD . ' clients: prefer passes');
    cmp_ok($early, '>=', 12, "$cert: $early of them before the answer can have come");
    ($count) = crowd('/require', $cert);
    is_deeply($count, { '200 ok' => CROWD }, "$cert: " . CROWD . ' clients: good for all');
    is($responder->requests($cert) - $before, 1, "$cert: the responder was asked once");
}

# --- how many may wait ----------------------------------------------------------------------------
SKIP: {
    skip 'threads only', 1 if mpm() eq 'prefork';
    my @well = (cert => 'c-well', vhost => 'patient');
    is(ask_timed($server, '/require', @well)->{outcome}, '200 ok', 'a good one');
    $responder->set('c-bound', http => 'hang');
    my $from = time;
    my @tls  = map { $server->tls(cert => 'c-bound', vhost => 'patient', version => '1.2') }
        1 .. WORKERS / 4 + 10;
    my @ids = map { $_->send_head('/require') } @tls;

    # On TLS 1.2 nothing but an answer can be read.
    my $select   = IO::Select->new(map { $_->{socket} } @tls);
    my $answered = await(sub { my @ready = $select->can_read(0); return @ready >= 10 && @ready });
    cmp_ok($answered,    '>=', 10,   'no more than a quarter of the workers waits');
    cmp_ok($answered,    '<',  @tls, 'some do');
    cmp_ok(time - $from, '<',  2,    'the others are answered at once');
    my $well = ask_timed($server, '/require', @well);
    is($well->{outcome}, '200 ok', 'others are served meanwhile');
    cmp_ok($well->{seconds}, '<', 1, 'without waiting');
    my %count;
    $count{ $tls[$_]->read_response('GET', $ids[$_])->status }++ for 0 .. $#tls;
    is_deeply(\%count, { 503 => scalar @tls }, 'all are refused in the end');
    cmp_ok(time - $from, '<', PATIENT + 2, 'within the wait');
    is($responder->requests('c-bound'), 1, 'one request for them all');
}

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');
is(scalar($server->log->matching(qr/internal_error/)), 0, 'no internal error');

done_testing;
