# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Responders that fail in every way: `require` refuses, `prefer` refuses only a proven revocation,
# nobody is held past MTLSOCSPWait, the responder is asked once however many wait, and when it is
# well again so is everything. MTLS_OCSP_CLIENTS sets how many wait for one status.
#
# Faults that last do so for longer than a client has patience: that it has an answer says that it
# was not held. A gate is what a responder waits for before it answers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Select;
use MTLSTest;
use MTLSTest::Await  qw(await);
use MTLSTest::Crowd  qw(in_parallel ask_timed);
use MTLSTest::Files  qw(files_dir replace_file);
use MTLSTest::Layout qw(free_port);
use MTLSTest::Ocsp   qw(make_certificate);
use MTLSTest::Responder;
use Time::HiRes qw(time);

use constant {
    WAIT    => 1,
    PATIENT => 60,
    CROWD   => $ENV{MTLS_OCSP_CLIENTS} || 200,
    WORKERS => 96,
    CLIENTS => 16                                # at a time: fewer than may wait
};

my $responder = MTLSTest::Responder->start(name => 'faulty');
my $lost      = MTLSTest::Responder->start(name => 'lost');
my $gone_port = free_port();
my $gates     = files_dir('gates');

# name => what is wrong; where not with the responder that is asked, its address
my %fault = (
    hang         => { http  => 'hang' },
    slow         => { delay => 600 },
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
make_certificate("c-$_", ocsp => [$responder->url("/c-$_/")])
    for qw(crowd expired bound well held curt);
make_certificate("l-$_", ocsp => [$lost->url]) for qw(good brief revoked new);
$responder->set_all(map { ("f-$_" => $fault{$_}) } @faults);
$responder->set_all(map { ("g-$_" => { status => 'revoked', this => -60 }) } @faults);
$responder->set_all(map { ("h-$_" => { status => 'good', next => 6 }) } qw(hang try-later reset));
$responder->set_all('c-well' => { status => 'good' }, 'c-curt' => { http => 'hang' });
$responder->set('c-held', status => 'good', gate => ["$gates/held"]);
$lost->set_all(
    'l-good'    => { status => 'good' },
    'l-brief'   => { status => 'good', next => 4 },
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
MTLSOCSPTimeout 30
MTLSOCSPWait @{[WAIT]}
MTLSOCSPMaxAge 1
MTLSOCSPSkew 0
<Directory "\@Htdocs\@">
Require all granted
</Directory>
CONF
my @long    = ('MTLSOCSPTimeout ' . PATIENT, 'MTLSOCSPMaxAge 3600');
my @patient = ('MTLSOCSPWait ' . PATIENT,    @long);
my $server  = private(
    name      => 'ocsp-faults',
    processes => $children,
    config    => join '',
    $bounds, vhost('Main'), vhost('Curt', 'MTLSOCSPTimeout 1'),
    vhost('Held', @long), vhost('Patient', @patient)
);

# Outcomes of one request for each of these certificates, side by side: [certificate, path, vhost].
sub ask_all {
    my (@what) = @_;
    return in_parallel(
        CLIENTS,
        sub {
            my ($cert, $path, $vhost) = @{ $_[0] };
            return ask_timed($server, $path, cert => $cert, vhost => $vhost // 'main');
        },
        @what
    );
}

sub all_are {
    my ($path, $expected, $what, @certs) = @_;
    my @results = ask_all(map { [$_, $path] } @certs);
    for my $i (0 .. $#certs) {
        is($results[$i]{outcome}, $expected, "$what: $certs[$i] at $path, and not held");
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
my $about = qr/\[mtls_policy:\w+\].*127\.0\.0\.1:@{[$responder->port]}/;
ok(await(sub { $server->log->matching($about) }), 'the error log tells of a responder that fails');

# The responder is given as long as MTLSOCSPTimeout says, and its answer is of use to the next.
for my $row (['/require', '503 ocsp_unavailable'], ['/prefer', '200 ok']) {
    my ($path, $expected) = @$row;
    my ($held) = ask_all(['c-held', $path, 'held']);
    is($held->{outcome}, $expected, "$path: held for MTLSOCSPWait, not for MTLSOCSPTimeout");
}
replace_file("$gates/held", "open\n");
ok(await(sub { (ask_all(['c-held', '/require', 'held']))[0]{outcome} eq '200 ok' }),
    'answered at last');
is($responder->requests('c-held'), 1, 'which was asked once in all this time');

# One that has been given up is asked again.
my ($curt) = ask_all(['c-curt', '/require', 'curt']);
is($curt->{outcome}, '503 ocsp_unavailable', 'a responder that hangs');
$responder->set('c-curt', status => 'good');
all_become('/require', '200 ok', 'is given up after MTLSOCSPTimeout', 'c-curt');

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
all_become('/require', '200 ok', 'good', @fading);
$responder->set_all(map { ("h-$_" => $fault{$_}) } qw(hang try-later reset));
all_become('/require', '503 ocsp_unavailable', 'good, failing, run out', @fading);
all_are('/prefer', '200 ok', 'good, failing, run out', @fading);

# --- all of it is well again ----------------------------------------------------------------------
# Connections that would hang for MTLSOCSPTimeout are closed.
$responder->down;
my @well = ((map { "f-$_" } @faults), @fading);
$responder->set_all(map { ($_ => { status => 'good' }) } @well, @proven);
$responder->up;
all_become('/require', '200 ok', 'well again', @well, @proven);
$address{refuse} = MTLSTest::Responder->start(name => 'was-down', port => $gone_port);
$address{refuse}->set('f-refuse', status => 'good');
all_become('/require', '200 ok', 'up at last', 'f-refuse');

# --- a responder that goes away altogether, and comes back ----------------------------------------
all_become('/require', '200 ok',           'before', 'l-good', 'l-brief');
all_become('/require', '403 ocsp_revoked', 'before', 'l-revoked');
$lost->down;
all_are('/require', '503 ocsp_unavailable', 'gone',            'l-new');
all_are('/prefer',  '200 ok',               'gone',            'l-new');
all_are('/require', '200 ok',               'gone, but known', 'l-good');
all_become('/require', '503 ocsp_unavailable', 'gone, known no longer', 'l-brief');
all_are('/prefer', '403 ocsp_revoked', 'gone', 'l-revoked');
$lost->up;
all_become('/require', '200 ok', 'back', 'l-new', 'l-good', 'l-brief');
all_are('/require', '403 ocsp_revoked', 'back', 'l-revoked');

# --- many wait for one status ---------------------------------------------------------------------
# So many clients, in four processes; none of them reads before all of its own have asked. How often
# which answer came. Each of these files is there when three clients of a process have asked.
my @asked_by = map {"$gates/asked-$_"} 1 .. 4;

sub crowd {
    my ($path, $cert) = @_;
    unlink @asked_by;
    my @results = in_parallel(
        4,
        sub {
            my ($asked) = @_;
            my (@sent, %count);
            for my $n (1 .. CROWD / 4) {
                my $tls = $server->tls(cert => $cert, vhost => 'patient');
                push @sent, [$tls, $tls->send_head($path)];
                replace_file($asked, "yes\n") if $n == 3;
            }
            $count{ answer_of(@$_) }++ for @sent;
            return \%count;
        },
        @asked_by
    );
    my %count;
    for my $result (@results) { $count{$_} += $result->{$_} for keys %$result }
    return \%count;
}

sub answer_of {
    my ($tls, $id) = @_;
    my $r = $tls->read_response('GET', $id);
    return $r->status . ' ' . ($r->header('X-Reason') // '');
}

# Good, and past its end. MTLSOCSPMaxAge being long, nobody asks again before somebody wants it.
sub let_expire {
    my ($cert) = @_;
    $responder->set($cert, status => 'good', this => -5, next => 3);
    ok(
        await(
            sub {
                my $r = ask_timed($server, '/require', cert => $cert, vhost => 'patient');
                return $r->{outcome} eq '200 ok';
            }
        ),
        "$cert: about to expire"
    );
    my ($last) = reverse $responder->asked($cert);
    ok(await(sub { time > $last->{at} + 4 }), "$cert: expired");
    return;
}

for my $cert ('c-crowd', 'c-expired') {
    let_expire($cert) if $cert eq 'c-expired';
    $responder->set($cert, status => 'good', gate => \@asked_by);
    my $before = $responder->requests($cert);
    my $many   = "$cert: " . CROWD . ' clients';
    is_deeply(crowd('/prefer',  $cert), { '200 ok' => CROWD }, "$many: prefer passes");
    is_deeply(crowd('/require', $cert), { '200 ok' => CROWD }, "$many: good for all");
    is($responder->requests($cert) - $before, 1, "$cert: the responder was asked once");
}

# --- how many may wait ----------------------------------------------------------------------------
SKIP: {
    skip 'threads only', 1 if mpm() eq 'prefork';
    my @well = (cert => 'c-well', vhost => 'patient');
    my $most = WORKERS / 4;
    is(ask_timed($server, '/require', @well)->{outcome}, '200 ok', 'a good one');
    $responder->set('c-bound', status => 'revoked', gate => ["$gates/bound"]);
    my @tls = map { $server->tls(cert => 'c-bound', vhost => 'patient', version => '1.2') }
        1 .. $most + 10;
    my @ids = map { $_->send_head('/require') } @tls;

    # On TLS 1.2 nothing but an answer can be read.
    my $select = IO::Select->new(map { $_->{socket} } @tls);
    my $ready  = await(sub { my @ready = $select->can_read(0); return @ready >= 10 && @ready });
    is($ready, 10, 'no more than a quarter of the workers waits: the others are answered at once');
    is(ask_timed($server, '/require', @well)->{outcome}, '200 ok', 'others are served meanwhile');
    replace_file("$gates/bound", "open\n");
    my %count;
    $count{ answer_of($tls[$_], $ids[$_]) }++ for 0 .. $#tls;
    is_deeply(
        \%count,
        { '503 ocsp_unavailable' => 10, '403 ocsp_revoked' => $most },
        'those who waited have what the responder says'
    );
    is($responder->requests('c-bound'), 1, 'one request for them all');
}

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');
is(scalar($server->log->matching(qr/internal_error/)), 0, 'no internal error');

done_testing;
