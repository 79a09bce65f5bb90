# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Ocsp;

# The rows of bench/ocsp: connections whose certificate has an OCSP status, with this module, with
# mod_ssl's SSLOCSPEnable and with nginx's ssl_ocsp, each against the same server without. A row's
# `measure` returns the texts of its columns behind the first.

use strict;
use warnings;
use List::Util qw(max sum);
use Time::HiRes qw(sleep time);
use Bench::Contenders qw(event responder bare mod_ssl without ours nginx has_nginx must);
use Bench::Crowd;
use Bench::First;
use Bench::Material qw(make_leaves);
use Bench::Measure;
use Bench::Process qw(children cpu_seconds memory youngest);
use Bench::Programs qw(clients);
use Bench::Setup qw(megabytes thousands);

use constant {
    LEAVES     => 40,
    JOBS       => 2,          # clients at a time
    SLICE      => 5,          # seconds of a round
    ROUNDS     => 12,
    FRESH      => 30,         # leaves
    DELAY      => 50,         # ms of a slow responder
    SHORT_LIFE => 4,          # seconds of a response that is renewed while a client is busy
    BUSY       => 9,          # seconds
    SLOWER     => 500,        # ms: longer than a busy machine keeps a request waiting by itself
    CROWD      => 1000,
    ENOUGH     => 240,        # seconds until a child has to be replaced
};

# One child, and after it another that has not seen anybody, while the cache has everything.
my $ONE_AFTER_ANOTHER = join "\n", 'StartServers 1', 'MinSpareServers 1', 'MaxSpareServers 1',
    'ServerLimit 1', 'MaxRequestWorkers 1', 'MaxConnectionsPerChild 0';
my $EVENT = event(2, 8);

my $DEFER = 'MTLSHandshake defer';

my ($env, $option, $growing);

sub parts {
    ($env, my $module, $option) = @_;
    Bench::Contenders::set_up($env, $module);
    return (
        {
            title   => 'Instructions a connection',
            columns => [
                ['work', 32], (map { [$_, 12] } @Bench::First::KINDS), ['+-', 7],
                ['first %', 8], ['second %', 8],
            ],
            rows => [instruction_rows()],
            foot => <<'END',

first, second, resumed: a full handshake of a leaf that the cache knows and the child does not, its
second, a resumed session, each with one request; further: one more request. %: what the row
above it costs in per cent of this one, which is what is left of the rate of handshakes.
END
        },
        {
            title   => 'Full handshakes with one request, the cache is warm',
            columns => [
                ['work', 32], ['ms', 6], ['with', 6], ['%', 6], ['from', 6], ['to', 6],
                ['CPU us', 8], ['with', 8], ['%', 6], ['from', 6], ['to', 6],
            ],
            rows => [rate_rows()],
            foot => <<"END",

${\JOBS} clients, ${\LEAVES} leaves, ${\ROUNDS} rounds of ${\SLICE} s in which the clients take all servers in turn.
ms: of a connection without and with OCSP, the lower decile (those that nothing else held up). CPU:
microseconds of processor time of the server for it. %: the rate of connections that follows, with
OCSP in per cent of without in the same round. Medians of the rounds; from, to: quartiles.
END
        },
        {
            title   => "A responder that takes ${\DELAY} ms",
            columns => [
                ['work', 32], ['first ms', 9], ['most', 7], ['next', 7], ['most', 7],
                ['other', 7], ['most', 7], ['asked', 6],
            ],
            rows => [latency_rows()],
            foot => <<"END",

${\FRESH} leaves nobody has seen. first: from connecting to the first answer; next: the next request;
other: the first answer of another connection. Medians and the longest. asked: how often the
responder was.
END
        },
        {
            title   => 'Renewals while clients are busy',
            columns => [
                ['work', 32], ['requests', 9], ['not 200', 8], ['slowest', 8], ['99.9 %', 7],
                ['waited', 7], ['asked', 6],
            ],
            rows => [renewal_rows()],
            foot => <<"END",

4 busy connections, ${\BUSY} s, one leaf, responses that end after ${\SHORT_LIFE} s from a responder that
takes ${\SLOWER} ms. Milliseconds. waited: requests that took as long as the responder, or longer.
END
        },
        {
            title   => thousands(CROWD) . ' clients with one leaf whose status nobody has',
            columns => [
                ['work', 32], ['asked', 6], ['200', 6], ['503', 6], ['none', 6],
                ['first ms', 9], ['all ms', 7], ['allowed', 8], ['tries', 6],
            ],
            rows => [crowd_rows()],
            foot => <<"END",

asked: how often the responder was. 200, 503, none: the first answer of each. first, all: until the
first and the last of them had an answer; allowed: until all had got 200, trying again every 100 ms;
tries: the most that one took.
END
        },
        {
            title   => 'Memory, one leaf after the other that nobody has seen',
            columns => [
                ['leaves', 32], ['child MB', 9], ['private', 8], ['asking MB', 10], ['private', 8],
                ['asked', 8],
            ],
            rows => [memory_rows()],
            foot => <<'END',

child: event MPM, one child with 8 threads; asking: the process that asks responders. RSS, and what
of it is shared with nobody.
END
        },
    );
}

sub finish {
    undef $growing;
    Bench::Contenders::tear_down();
    return;
}

sub median { return quantile(0.5, @_) }

sub quantile {
    my ($part, @values) = @_;
    @values = sort { $a <=> $b } @values;
    my $at   = $part * $#values;
    my $low  = int $at;
    my $high = $low < $#values ? $low + 1 : $low;
    return $values[$low] + ($at - $low) * ($values[$high] - $values[$low]);
}

# ---- instructions ----

sub instruction_rows {
    my @one = (tuning => $ONE_AFTER_ANOTHER);
    my @rows = (
        ['httpd', sub { bare(@one) }],
        ['SSLOCSPEnable leaf', sub { mod_ssl(0, @one) }, above => 'httpd'],
        ['one subject rule', sub { without(@one) }, refuses => 'other-partner'],
        [
            'MTLSOCSP require', sub { ours(0, wait => 60, @one) }, refuses => 'revoked',
            above => 'one subject rule',
        ],
        [
            'one subject rule, defer',
            sub { without(vhost => $DEFER, @one) },
            refuses => 'other-partner',
        ],
        [
            'MTLSOCSP require, defer', sub { ours(0, wait => 60, vhost => $DEFER, @one) },
            refuses => 'revoked', above => 'one subject rule, defer',
        ],
    );
    my %known;
    my @all = map {
        my ($work, $make, %row) = @$_;
        { work => $work, measure => sub { measure_costs(\%known, $work, $make, %row) } }
    } @rows;
    return @all if !has_nginx();
    return (@all, map {
        my ($work, $delay, $above) = @$_;
        { work => $work, measure => sub { measure_nginx(\%known, $work, $delay, $above) } }
    } ['nginx', undef, undef], ['ssl_ocsp leaf, shared cache', 0, 'nginx']);
}

sub measure_costs {
    my ($known, $work, $make, %row) = @_;
    my $server = $make->();
    my $costs = Bench::First::costs($server, $env, $row{refuses},
        before => sub { use_up_first_child($server, @_) });
    $known->{$work} = { map { $_ => $costs->{$_}{mean} } keys %$costs };
    my ($spread) = sort { $b <=> $a } map { $_->{spread} } values %$costs;
    my @texts = map { thousands($costs->{$_}{mean}) } @Bench::First::KINDS;
    return (@texts, thousands($spread), per_cent($known, $work, $row{above}));
}

sub per_cent {
    my ($known, $work, $above) = @_;
    my ($with, $without) = @$known{ $work, $above // '' };
    return if !$without;
    return map { defined $without->{$_} ? sprintf '%.1f', 100 * $without->{$_} / $with->{$_} : '' }
        qw(first second);
}

# The first child asks for the status of every leaf, and has to go.
sub use_up_first_child {
    my ($server, @leaves) = @_;
    my $get = sub { Bench::Measure::get($_[0], '/api/f.txt') };
    Bench::Measure::with_client($server, $env, $get, $_) for @leaves;
    my $first = youngest($server->{pid});
    kill 'TERM', $first;
    my $end = time + ENOUGH;
    while ((youngest($server->{pid}) // $first) == $first) {
        die "no second child\n" if time > $end;
        sleep 0.1;
    }
    return;
}

# nginx has no function that could be a mark: each figure is the difference between two runs.
sub measure_nginx {
    my ($known, $work, $delay, $above) = @_;
    my ($few, $many) = map { nginx_run($delay, $_) } 4, 14;
    my $second = ($many->{total} - $few->{total}) / 10;
    $known->{$work} = { second => $second };
    return ('', thousands($second), '', '', '', per_cent($known, $work, $above));
}

sub nginx_run {
    my ($delay, $rounds) = @_;
    my @leaves = make_leaves($env->{pki}, 3);
    my $server = nginx($delay);
    my $get = sub { Bench::Measure::get($_[0], '/api/f.txt') };
    $server->start(callgrind => 1);
    for my $round (1 .. $rounds + 1) {
        Bench::Measure::with_client($server, $env, $get, $_) for $round == 1 ? @leaves : $leaves[0];
    }
    $server->stop;
    return { total => $server->instructions };
}

# ---- rate ----

my $rates;

sub rate_rows {
    my @pairs = (
        ['mod_ssl: SSLOCSPEnable leaf', sub { bare(@_) }, sub { mod_ssl(0, @_) }],
        ['MTLSOCSP require', sub { without(@_) }, sub { ours(0, @_) }],
        [
            'MTLSOCSP require, defer',
            sub { without(vhost => $DEFER, @_) }, sub { ours(0, vhost => $DEFER, @_) },
        ],
        has_nginx() ? ['nginx: ssl_ocsp leaf', sub { nginx() }, sub { nginx(0) }] : (),
    );
    return map {
        my $n = $_;
        { work => $pairs[$n][0], measure => sub { rate_texts(rates(@pairs)->[$n]) } }
    } 0 .. $#pairs;
}

# All servers run at the same time, and the clients take them in turn, connection by connection:
# what else the machine does slows down all of them alike.
sub rates {
    my (@pairs) = @_;
    return $rates if $rates;
    my @leaves = make_leaves($env->{pki}, LEAVES);
    my @all = map { my $pair = $_; map { warm_server($_, @leaves) } @$pair[1, 2] } @pairs;
    must($all[2 * $_ + 1], 'revoked', 0) for 0 .. $#pairs;
    my @rounds = map { [one_round(\@all, @leaves)] } 1 .. ROUNDS;
    $_->stop for @all;
    return $rates = [
        map {
            my $n = $_;
            my ($without, $with) = map { my $at = 2 * $n + $_; [map { $_->[$at] } @rounds] } 0, 1;
            { without => $without, with => $with }
        } 0 .. $#pairs
    ];
}

sub warm_server {
    my ($make, @leaves) = @_;
    my $server = $make->(tuning => $EVENT, mpm => 'event')->start;
    clients($env, 'rate', $server->{port}, 2, JOBS, @leaves);
    must($server, $leaves[0], 1);
    return $server;
}

# For each server [ms of a connection, processor time of one in us].
sub one_round {
    my ($servers, @leaves) = @_;
    my $cpu    = sub { sum(map { cpu_seconds($_) } children($_[0]{pid})) };
    my @before = map { $cpu->($_) } @$servers;
    my $ports  = join ',', map { $_->{port} } @$servers;
    my @lines  = clients($env, 'rate', $ports, SLICE, JOBS, @leaves);
    return map {
        my ($good, $bad, undef, $decile) = @{ $lines[$_] };
        die "$bad connections failed:\n" . $servers->[$_]->what_it_said if $bad || !$good;
        [$decile, 1e6 * ($cpu->($servers->[$_]) - $before[$_]) / $good]
    } 0 .. $#$servers;
}

sub rate_texts {
    my ($found) = @_;
    my @texts;
    for my $what (0, 1) {
        my @without = map { $_->[$what] } @{ $found->{without} };
        my @with    = map { $_->[$what] } @{ $found->{with} };
        my @ratios  = map { 100 * $without[$_] / $with[$_] } 0 .. $#with;
        push @texts, (map { sprintf $what ? '%.0f' : '%.2f', median(@$_) } \@without, \@with),
            map { sprintf '%.1f', quantile($_, @ratios) } 0.5, 0.25, 0.75;
    }
    return @texts;
}

# ---- latency ----

sub latency_rows {
    my @event = (tuning => $EVENT, mpm => 'event');
    my @rows = (
        ['httpd', sub { bare(@event) }],
        ['mod_ssl: SSLOCSPEnable leaf', sub { mod_ssl(DELAY, @event) }],
        ['one subject rule', sub { without(@event) }],
        ['MTLSOCSP require', sub { ours(DELAY, @event) }],
        has_nginx()
        ? (['nginx', sub { nginx() }], ['nginx: ssl_ocsp leaf', sub { nginx(DELAY) }])
        : (),
    );
    return map {
        my ($work, $make) = @$_;
        { work => $work, measure => sub { measure_latency($make->()) } }
    } @rows;
}

sub measure_latency {
    my ($server) = @_;
    $server->start;
    my $before = responder()->answered;
    my @lines = clients($env, 'fresh', $server->{port}, FRESH, 1);
    my $asked = responder()->answered - $before;
    $server->stop;
    my ($bad) = grep { $_->[0] != 200 } @lines;
    die "a leaf got $bad->[0]:\n" . $server->what_it_said if $bad;
    return (
        map {
            my $column = $_;
            my @values = map { $_->[$column] } @lines;
            map { sprintf '%.1f', $_ } median(@values), max(@values)
        } 1 .. 3
    ), $asked;
}

# ---- renewals ----

sub renewal_rows {
    my @event = (tuning => $EVENT, mpm => 'event');
    my %short = (life => SHORT_LIFE, vhost => 'MTLSOCSPSkew 0');
    return map {
        my ($work, $make) = @$_;
        { work => $work, measure => sub { measure_renewals($make->()) } }
    } ['one subject rule', sub { without(@event) }],
        ['MTLSOCSP require', sub { ours(SLOWER, %short, @event) }];
}

sub measure_renewals {
    my ($server) = @_;
    $server->start;
    my $get = sub { Bench::Measure::get($_[0], '/api/f.txt') };
    Bench::Measure::with_client($server, $env, $get, 'partner');
    my $before = responder()->answered;
    my $crowd  = Bench::Crowd->new($server, $env, 'partner', 4);
    sleep BUSY;
    my @connections = $crowd->stop;
    my $asked = responder()->answered - $before;
    $server->stop;
    shift @$_ for @connections;    # with its handshake
    my @requests = map { @$_ } @connections;
    my @times    = map { 1000 * $_->[1] } @requests;
    return (
        thousands(scalar @requests), scalar(() = grep { $_->[2] != 200 } @requests),
        sprintf('%.1f', max(@times)), sprintf('%.1f', quantile(0.999, @times)),
        scalar(() = grep { $_ >= SLOWER } @times), $asked
    );
}

# ---- a crowd ----

sub crowd_rows {
    my @event = (tuning => event(16, 64), mpm => 'event');
    my @rows = (
        ['MTLSOCSP require, handshakes done', 'after',  sub { ours(DELAY, @event) }],
        ['MTLSOCSP require',                  'before', sub { ours(DELAY, @event) }],
        ['mod_ssl: SSLOCSPEnable leaf',       'before', sub { mod_ssl(DELAY, @event) }],
        has_nginx() ? ['nginx: ssl_ocsp leaf', 'before', sub { nginx(DELAY) }] : (),
    );
    return map {
        my ($work, $when, $make) = @$_;
        { work => $work, measure => sub { measure_crowd($make->(), $when) } }
    } @rows;
}

sub measure_crowd {
    my ($server, $when) = @_;
    $server->start;
    my $before = responder()->answered;
    my @lines  = clients($env, 'together', $server->{port}, CROWD, $when);
    my $asked  = responder()->answered - $before;
    $server->stop;
    my @never = grep { $_->[2] < 0 } @lines;
    die scalar(@never), " clients were never allowed:\n" . $server->what_it_said if @never;
    my %first;
    $first{ $_->[1] }++ for @lines;
    my @answered = sort { $a <=> $b } map { $_->[0] } @lines;
    return ($asked, (map { $first{$_} // 0 } 200, 503, 0),
        (map { sprintf '%.0f', $_ } @answered[0, -1], max(map { $_->[2] } @lines)),
        max(map { $_->[3] } @lines));
}

# ---- memory ----

sub memory_rows {
    my @steps = grep { $_ <= $option->{leaves} } 100, 4096, 10_000, $option->{leaves};
    @steps = grep { $_ } map { $_ && $steps[$_] == $steps[$_ - 1] ? 0 : $steps[$_] } 0 .. $#steps;
    my $done = 0;
    return map {
        my $count = $_;
        {
            work    => thousands($count),
            measure => sub {
                my $more = $count - $done;
                $done = $count;
                return measure_memory($more);
            },
        }
    } @steps;
}

sub measure_memory {
    my ($more) = @_;
    $growing //= do {
        my $server = ours(0, tuning => event(1, 8), mpm => 'event')->start;
        { server => $server, before => responder()->answered };
    };
    clients($env, 'fresh', $growing->{server}{port}, $more, JOBS);
    my %by_threads = map { scalar(() = glob "/proc/$_/task/*") => memory($_) }
        children($growing->{server}{pid});
    my ($asking, $child) = map { $by_threads{$_} } sort { $a <=> $b } keys %by_threads;
    return (map { megabytes($_) } @$child{qw(rss private)}, @$asking{qw(rss private)}),
        thousands(responder()->answered - $growing->{before});
}

1;
