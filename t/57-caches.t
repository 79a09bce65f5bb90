# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# MTLSCache on each of httpd's providers, while it is there, gone, back, and mute. What the children
# share here are intermediates that clients sent (t/45-children.t has them in full).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Daemon;
use MTLSTest::Files qw(files_dir);
use Time::HiRes     qw(time);

use constant REST => 5;    # seconds for which a cache that fails is left alone

my @modules = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic alias dir env headers
    log_config mime setenvif socache_shmcb socache_dbm socache_redis socache_memcache mtls_policy
    ssl
);

# Every child serves one connection, so the next one is always served by another.
my $one_each = join "\n", 'StartServers 3', 'MaxRequestWorkers 12', 'MaxConnectionsPerChild 1',
    mpm() eq 'prefork'
    ? ('MinSpareServers 2', 'MaxSpareServers 6')
    : (
    'ServerLimit 12',
    'ThreadsPerChild 1',
    'ThreadLimit 1',
    'MinSpareThreads 2',
    'MaxSpareThreads 6'
    );

sub configuration {
    my ($cache) = @_;
    return <<"CONF";
MTLSCache $cache
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/root.crt"
Protocols http/1.1
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSRequire issuer.cert "\@PKI\@/carc-i101l.crt"
</Location>
</VirtualHost>
CONF
}

# A full handshake, in which the client sends its intermediate, and a resumed one in another child
# (in the same one with `same`); both outcomes. A child that has had its one connection may still
# close another one unanswered: that is tried again.
sub both {
    my ($server, %o) = @_;
    my ($full, $resumed, $reused);
    await(
        sub {
            my $first = $server->tls(version => '1.3', cert => 'partner');
            $full = $first->request('/partner');
            $full->status or return;
            my $session = $first->session;
            $first->close;
            my $second = $server->tls(version => '1.3', cert => 'partner', session => $session);
            $resumed = $second->request('/partner');
            $reused  = $second->reused;
            $second->close;
            return $reused && $resumed->status && ($o{same} || $full->pid ne $resumed->pid);
        }
    );
    is($reused, 1, "$o{name}: a session was resumed");
    return map { $_->outcome } $full, $resumed;
}

# With `across` in two children. A cache on the network that is slow to answer is left alone for a
# while, and used again after it.
sub shared_again {
    my ($server, $name, %o) = @_;
    my @got;
    await(
        sub {
            my $first = $server->tls(version => '1.3', cert => 'partner');
            my $full  = $first->request('/partner');
            $got[0] = $full->outcome;
            my $session = $first->session;
            $first->close;
            my $second = $server->tls(version => '1.3', cert => 'partner', session => $session);
            my $resumed = $second->request('/partner');
            $got[1] = $resumed->outcome;
            return
                   $second->reused
                && "@got" eq '200 allow ok 200 allow ok'
                && (!$o{across} || $full->pid ne $resumed->pid);
        }
    );
    is("@got", '200 allow ok 200 allow ok', "$name: shared");
    return;
}

# What a server with one child says of a cache: that it does not give (or take) entries, and that it
# does again.
sub said {
    my ($server, $what) = @_;
    return $server->log->matching(qr/the cache "\w+:\S+" (?:does not $what|${what}s) entries/);
}

sub failures {
    my ($server, $what) = @_;
    return scalar(() = $server->log->matching(qr/the cache "\w+:\S+" does not $what entries/));
}

# How often it says the same twice.
sub told_again {
    my ($server, $what) = @_;
    my @fails = map { /does not/ ? 1 : 0 } said($server, $what);
    return scalar grep { $fails[$_] == $fails[$_ - 1] } 1 .. $#fails;
}

# --- in this machine ------------------------------------------------------------------------------
# A folder that only root can write to: the parent makes the file, its children use it.
my $roots = files_dir('caches');
for my $cache ('shmcb:@Logs@/cache(512000)', 'dbm:@Logs@/cache.dbm', "dbm:$roots/cache.dbm") {
    my $name   = $cache =~ /\Adbm:\// ? 'dbm in a folder of root' : (split /:/, $cache)[0];
    my $server = private(
        name      => 'caches-local',
        modules   => \@modules,
        processes => $one_each,
        config    => configuration($cache)
    );
    is(join(' ', both($server, name => $name)), '200 allow ok 200 allow ok', "$name: shared");
    $server->graceful;
    is(join(' ', both($server, name => $name)),
        '200 allow ok 200 allow ok',
        "$name: shared after a restart"
    );
    is(scalar($server->log->matching(qr/Permission denied|socache\w*:(?:error|crit)/)),
        0, "$name: and nothing to complain about");
    $server->stop;
}

# --- on the network -------------------------------------------------------------------------------
for my $kind (qw(redis memcached)) {
    my $daemon   = MTLSTest::Daemon->start($kind, "caches-$kind");
    my $provider = $kind eq 'redis' ? 'redis' : 'memcache';
    my $server   = private(
        name      => "caches-$kind",
        modules   => \@modules,
        processes => $one_each,
        config    => configuration("$provider:127.0.0.1:" . $daemon->port)
    );
    shared_again($server, $kind, across => 1);
    $daemon->down;
    is(join(' ', both($server, name => "$kind gone")),
        '200 allow ok 403 deny chain_incomplete',
        "$kind gone: not shared, and refused for it"
    );
    $daemon->up;
    shared_again($server, "$kind back");
    $server->stop;

    # One child: what it says, and how long it keeps asking.
    $server = private(
        name      => "caches-$kind-one",
        modules   => \@modules,
        processes => mpm() eq 'prefork'
        ? "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\nMaxRequestWorkers 1"
        : "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8",
        config => configuration("$provider:127.0.0.1:" . $daemon->port)
    );
    shared_again($server, "$kind, one child");
    $daemon->down;
    my $gone = time;
    for my $try (1 .. 10) {
        is(join(' ', both($server, name => "$kind gone, $try", same => 1)),
            '200 allow ok 403 deny chain_incomplete',
            "$kind gone, one child: $try"
        );
    }
    ok(scalar(failures($server, qr/give|take/)), "$kind gone: it is said");
    my @theirs = $server->log->matching(qr/scache_\w+:/);
    cmp_ok(
        scalar @theirs, '<=',
        6 + 2 * int((time - $gone) / REST),
        "$kind gone: httpd's module is not asked each time"
    );
    $daemon->up;
    shared_again($server, "$kind back, one child");
    unlike((said($server, 'take'))[-1] // '', qr/does not/, "$kind back: it is said");
    my $failures = failures($server, qr/give|take/);

    # It accepts connections, and says nothing: httpd's modules would wait for ever.
    $daemon->freeze;
    for my $try (1 .. 10) {
        like(
            join(' ', both($server, name => "$kind mute, $try", same => 1)),
            qr/\A200 allow ok (?:200 allow ok|403 deny chain_incomplete)\z/,
            "$kind mute: $try"
        );
    }
    cmp_ok(failures($server, qr/give|take/), '>', $failures, "$kind mute: it is said");
    $daemon->thaw;
    shared_again($server, "$kind says something again");
    is(told_again($server, $_), 0, "$kind: each time once: $_") for 'give', 'take';

    # Nor does the end of a child wait.
    $daemon->freeze;
    both($server, name => "$kind mute before the end", same => 1);
    $server->stop;
    is(scalar($server->log->matching(qr/segfault|\bexit signal|Assertion|sending a SIGKILL/i)),
        0, "$kind mute: the server stops, and no child died or was killed");
    $daemon->thaw;
    $daemon->down;
}

done_testing;
