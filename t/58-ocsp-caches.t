# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Where statuses are kept: httpd's providers, one cache of several gateways, and mod_ssl's stapling
# cache behind our provider, where either uses what the other has stored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Crowd qw(in_parallel ask_timed);
use MTLSTest::Daemon;
use MTLSTest::Ocsp qw(make_certificate);
use MTLSTest::Responder;

my $responder = MTLSTest::Responder->start(name => 'caches', default => { status => 'good' });

sub client {
    my ($name, %answer) = @_;
    make_certificate($name, ocsp => [$responder->url]);
    $responder->set($name, status => 'good', %answer);
    return $name;
}

my $children =
    join "\n",
    mpm() eq 'prefork'
    ? ('StartServers 4', 'MinSpareServers 4', 'MaxSpareServers 8', 'MaxRequestWorkers 16')
    : (
    'StartServers 3',
    'ServerLimit 3',
    'ThreadsPerChild 12',
    'ThreadLimit 12',
    'MinSpareThreads 36',
    'MaxSpareThreads 36',
    'MaxRequestWorkers 36'
    );

sub gateway {
    my ($name, %o) = @_;
    my $allow = $responder->host;
    my @tls =
        $o{certificate}
        ? (
        "SSLCertificateFile \"\@PKI\@/$o{certificate}-chain.crt\"",
        "SSLCertificateKeyFile \"\@PKI\@/$o{certificate}.key\""
        )
        : ();
    my $tls = join "\n", @tls;
    return private(
        name      => "ocsp-$name",
        processes => $children,
        modules   => [
            qw(authn_core authz_core alias headers log_config mime setenvif socache_shmcb socache_dbm
                socache_redis socache_memcache mtls_policy ssl)
        ],
        config => <<"CONF");
$o{server}
MTLSOCSPResponderAllow $allow
MTLSOCSPTimeout 60
MTLSOCSPWait 30
MTLSOCSPMaxAge @{[ $o{max_age} // 3600 ]}
<Directory "\@Htdocs\@">
Require all granted
</Directory>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
@{[ $o{certificate} ? "SSLEngine on\n$tls\nSSLCACertificateFile \"\@PKI\@/ca-bundle.crt\"\nSSLVerifyClient optional_no_ca\nSSLVerifyDepth 10" : '@TLS@' ]}
AliasMatch "^/" "\@Htdocs\@/index.html"
Header always set X-Reason "expr=%{reqenv:MTLS_REASON}"
<Location "/require">
MTLSOCSP require
</Location>
<Location "/prefer">
MTLSOCSP prefer
</Location>
</VirtualHost>
CONF
}

sub require_is {
    my ($gateway, $cert, $reason, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return outcome_is($gateway->tls(cert => $cert)->request('/require'), outcome_of($reason),
        $what);
}

sub no_child_died {
    my ($gateway, $what) = @_;
    return is(
        scalar($gateway->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
        0, "$what: no child died");
}

# --- every provider: what one child knows, all know -----------------------------------------------
my $redis     = MTLSTest::Daemon->start('redis');
my $memcached = MTLSTest::Daemon->start('memcached');
my %provider  = (
    shmcb    => 'shmcb:@Logs@/statuses(512000)',
    dbm      => 'dbm:@Logs@/statuses.dbm',
    memcache => 'memcache:127.0.0.1:' . $memcached->port,
);
for my $kind (sort keys %provider) {
    my $cert    = client("k-$kind");
    my $revoked = client("k-$kind-revoked", status => 'revoked');
    my $gateway = gateway($kind, server => "MTLSCache $provider{$kind}");
    my %pid;
    await(
        sub {
            my $r = $gateway->tls(cert => $cert)->request('/require');
            $pid{ $r->pid }{ $r->outcome }++ if $r->status;
            return keys %pid >= 2;
        }
    );
    is_deeply(
        [map { sort keys %$_ } values %pid],
        [('200 allow ok') x keys %pid],
        "$kind: good in several children"
    );
    is($responder->requests($cert), 1, "$kind: asked for once");
    require_is($gateway, $revoked, 'ocsp_revoked', "$kind: revoked, time $_") for 1 .. 4;
    is($responder->requests($revoked), 1, "$kind: asked for once");
    if ($kind eq 'memcache') {
        $memcached->down;
        require_is($gateway, client('k-memcache-down'), 'ok', 'memcached is gone: a new one');
        require_is($gateway, $revoked, 'ocsp_revoked',        'memcached is gone: a revoked one');
        $memcached->up;
        my $again = client('k-memcache-again');
        ok(
            await(
                sub {
                    my $before = $responder->requests($again);
                    $gateway->tls(cert => $again)->request('/require') for 1 .. 4;
                    return $before && $responder->requests($again) == $before;
                }
            ),
            'memcached is back, and used'
        );
    }
    no_child_died($gateway, $kind);
    $gateway->stop;
}

# --- two gateways and one redis -------------------------------------------------------------------
# RESP: one command, one answer (a bulk string, or a list of them).
sub redis {
    my (@words) = @_;
    my $socket = $redis->accepts or die "redis is not there\n";
    binmode $socket;
    print {$socket} '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    my $read;
    $read = sub {
        my $line = <$socket> // die "redis says nothing\n";
        my ($type, $value) = $line =~ /\A([*\$+:-])(.*)\r\n/ or die "redis says $line\n";
        return $value                        if $type =~ /[+:-]/;
        return map { $read->() } 1 .. $value if $type eq '*';
        return                               if $value < 0;
        read $socket, my $bytes, $value + 2;
        return substr $bytes, 0, $value;
    };
    return $read->();
}

# Lines that redis keeps for what this does.
sub keys_of {
    my ($code) = @_;
    my %before = map { $_ => 1 } redis('KEYS', '*');
    $code->();
    return sort grep { !$before{$_} } redis('KEYS', '*');
}

# The certificates of what is done are asked for once, whichever gateway they come to. A cache on
# the network that is slow to answer is left alone for a while: then all of it is done again, with
# others.
sub once_each {
    my ($code, $what) = @_;
    my ($try, @certs) = (0);
    await(
        sub {
            @certs = $code->(++$try);
            return !grep { $responder->requests($_) != 1 } @certs;
        }
    );
    is($responder->requests($_), 1, "$_: asked for once, $what") for @certs;
    return;
}

{
    my $cache = 'MTLSCache redis:127.0.0.1:' . $redis->port;
    my ($one, $two) = map { gateway("redis-$_", server => $cache) } 1, 2;
    my ($good, $revoked, @of_good, @of_revoked);
    once_each(
        sub {
            my ($try) = @_;
            $good       = client("k-redis-$try");
            $revoked    = client("k-redis-revoked-$try", status => 'revoked');
            @of_good    = keys_of(sub { require_is($one, $good, 'ok', 'the first gateway: good') });
            @of_revoked = keys_of(
                sub { require_is($one, $revoked, 'ocsp_revoked', 'the first gateway: revoked') });
            for my $n (1 .. 4) {
                require_is($two, $good,    'ok',           "the second gateway: good, time $n");
                require_is($two, $revoked, 'ocsp_revoked', "the second gateway: revoked, time $n");
            }
            return ($good, $revoked);
        },
        'for two gateways'
    );
    cmp_ok(scalar @of_good, '>=', 1, 'redis has it');
    once_each(
        sub {
            my ($try) = @_;
            my $slow = client("k-redis-slow-$try", delay => 0.7);
            my @results =
                in_parallel(8, sub { ask_timed($_[0], '/prefer', cert => $slow) },
                ($one, $two) x 4);
            is_deeply([map { $_->{outcome} } @results], [('200 ok') x 8], 'both at once');
            require_is($_, $slow, 'ok', 'both know it') for $one, $two;
            return $slow;
        },
        'for both at once'
    );

    # What anybody may have written there proves nothing.
    my ($value) = map { redis('GET', $_) } grep { length redis('GET', $_) > 200 } @of_good;
    ok(defined $value, 'a good response, as redis keeps it');
    redis('SET', $_, $value) for @of_revoked;
    require_is($_, $revoked, 'ocsp_revoked', 'under the key of a revoked certificate')
        for $one, $two;
    my $foreign = client('k-redis-foreign');
    my @theirs  = keys_of(sub { require_is($one, $foreign, 'ok', 'good') });
    $responder->set($foreign, status => 'revoked');
    redis('SET', $_, "\1" . 'x' x 300) for @theirs;
    require_is($two, $foreign, 'ocsp_revoked', 'rubbish: asked for again');
    redis('SET', $_, '') for redis('KEYS', '*');
    require_is($two, $good,    'ok',           'nothing at all: asked for again');
    require_is($one, $revoked, 'ocsp_revoked', 'nothing at all: what was revoked still is');

    # gone, and back
    $redis->down;
    require_is($one, $good,                  'ok',           'redis is gone: known before');
    require_is($one, client('k-redis-gone'), 'ok',           'redis is gone: new');
    require_is($two, $revoked,               'ocsp_revoked', 'redis is gone: revoked');
    require_is($one, client('k-redis-gone-2'), 'ok', 'redis is gone: once more');
    $redis->up;
    ok(
        await(
            sub {
                my $new = client('k-redis-back-' . int rand 1e9);
                return if $one->tls(cert => $new)->request('/require')->status != 200;
                return if $two->tls(cert => $new)->request('/require')->status != 200;
                return $responder->requests($new) == 1;
            }
        ),
        'redis is back: the gateways share again'
    );
    require_is($_, $revoked, 'ocsp_revoked', 'redis is back: revoked') for $one, $two;
    no_child_died($_, 'redis')                                         for $one, $two;
    $_->stop                                                           for $one, $two;
}
$redis->down;
$memcached->down;

# --- one cache with mod_ssl's stapling ------------------------------------------------------------
my @server_names = (MTLSPKI::Der::dns('gateway.test'), MTLSPKI::Der::dns('localhost'));
for my $n (1 .. 3) {
    make_certificate(
        "k-server-$n",
        eku  => [qw(serverAuth clientAuth)],
        san  => \@server_names,
        ocsp => [$responder->url]
    );
}
$responder->set("k-server-$_", status => 'good') for 1, 2;
$responder->set('k-server-3', status => 'revoked');

sub stapled {
    my ($gateway) = @_;
    my $port = $gateway->port('main');
    my $text =
`openssl s_client -connect 127.0.0.1:$port -servername gateway.test -status </dev/null 2>&1`;
    return $text =~ /Cert Status: (\w+)/ ? $1 : 'nothing';
}
for my $cache ('MTLSCache stapling', '') {
    my $with = $cache || 'by default';
    for my $n ($cache ? (1, 2, 3) : 1) {
        my $cert    = "k-server-$n";
        my $before  = $responder->requests($cert);
        my $gateway = gateway(
            "stapling-$n",
            certificate => $cert,
            server      => join "\n",
            'SSLStaplingCache mtls_policy:shmcb:@Logs@/stapling(512000)', 'SSLUseStapling On',
            'SSLStaplingReturnResponderErrors On',                        $cache
        );
        if ($n == 1) {
            is(stapled($gateway), 'good', "$with: mod_ssl staples");
            require_is($gateway, $cert, 'ok', "$with: what mod_ssl has stored is of use");
        }
        elsif ($n == 2) {
            require_is($gateway, $cert, 'ok', "$with: a client with the server's certificate");
            is(stapled($gateway), 'good', "$with: mod_ssl staples what we have stored");
        }
        else {
            is(stapled($gateway), 'revoked', "$with: mod_ssl staples its own revocation");
            require_is($gateway, $cert, 'ocsp_revoked', "$with: and we refuse it");
        }
        is($responder->requests($cert) - $before, 1, "$with: the responder was asked once")
            if $n < 3;
        require_is($gateway, client("k-stapling-$n-" . length $cache), 'ok',
            "$with: other clients");
        is(stapled($gateway), $n == 3 ? 'revoked' : 'good', "$with: mod_ssl staples");
        no_child_died($gateway, $with);
        $gateway->stop;
    }
}

done_testing;
