# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# A session resumed in another child, and a session resumed after the configuration has changed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await     qw(await await_outcome);
use MTLSTest::RuleTable qw(list_file);

my @kinds = (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
);
my $tickets = list_file('tickets.key', pack 'C*', map { $_ * 7 & 255 } 1 .. 80);

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

my $pinned_partner = join "\n", 'MTLSRequire subject.O "Big Partner Foo SA"',
    'MTLSRequire issuer.cert "@PKI@/carc-i101l.crt"';

sub configuration {
    my (%o)   = @_;
    my $rules = $o{rules} // $pinned_partner;
    my $cas   = $o{cas}   // 'root.crt';
    my $keys  = $o{keep_tickets} ? "SSLSessionTicketKeyFile \"$tickets\"" : '';
    my $cache = $o{cache}        ? "MTLSCache $o{cache}"                  : '';
    return <<"CONF";
$cache
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/$cas"
$keys
Protocols http/1.1
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/partner">
    $rules
</Location>
</VirtualHost>
CONF
}

# Until the two connections were served by different children. A child that has had its one
# connection may still close another one unanswered: neither is one then.
sub in_another_child {
    my ($server, $kind, $cert, $path) = @_;
    my ($name,   @options) = @$kind;
    my ($full,   $resumed, $reused);
    await(
        sub {
            my $first = $server->tls(@options, cert => $cert);
            $full = $first->request($path);
            $full->status or return;
            my $session = $first->session;
            $first->close;
            my $second = $server->tls(@options, cert => $cert, session => $session);
            $resumed = $second->request('/partner');
            $resumed->status or return;
            $reused = $second->reused;
            return $reused && $full->pid ne $resumed->pid;
        }
    );
    isnt($resumed->pid, $full->pid, "$name, $cert: served by another child");
    is($reused, 1, "$name, $cert: resumed there");
    return ($full, $resumed);
}

for my $cache (undef, 'shmcb:@Logs@/mtls_cache(512000)', 'dbm:@Logs@/mtls_cache.dbm') {
    my $with   = $cache ? (split /:/, $cache)[0] : 'default';
    my $server = private(
        name      => "children-$with",
        processes => $one_each,
        config    => configuration(cache => $cache)
    );
    for my $kind ($with eq 'default' ? @kinds : $kinds[2]) {
        my $name = "cache $with, $kind->[0]";
        my ($full, $resumed) = in_another_child($server, $kind, 'partner', '/partner');
        allowed($full,    "$name: intermediate from the client");
        allowed($resumed, "$name: the other child knows it");
        ($full, $resumed) = in_another_child($server, $kind, 'partner-by-i102l', '/partner');
        denied($full,    'pin_mismatch', "$name: another intermediate");
        denied($resumed, 'pin_mismatch', "$name: refused by the other child for the same reason");
        ($full, $resumed) = in_another_child($server, $kind, 'lookalike', '/partner');
        denied($full,    'chain_untrusted',  "$name: a look-alike");
        denied($resumed, 'chain_incomplete', "$name: refused by the other child too");
        ($full, $resumed) = in_another_child($server, $kind, 'user-1', '/open');
        is($full->status, 200, "$name: an open page in the full handshake");
        allowed($resumed, "$name: the other child judges as the first would have");
    }
    $server->stop;
}

# S4: what a session was made under does not count, only what is in force now.
{
    my $server = private(name => 'restart', config => configuration(keep_tickets => 1));
    my %session;
    my $open = $server->tls(cert => 'partner');
    allowed($open->request('/partner'), 'before the restart');
    for my $kind (@kinds) {
        my ($name, @options) = @$kind;
        my $tls = $server->tls(@options, cert => 'partner');
        allowed($tls->request('/partner'), "$name: before the restart");
        $session{$name} = $tls->session;
        $tls->close;
    }
    my $resumed_somewhere = 0;
    my $after             = sub {
        my ($what, $expected, %o) = @_;
        $server->graceful(configuration(%o, keep_tickets => 1));
        for my $kind (@kinds) {
            my ($name, @options) = @$kind;
            my $tls;
            my $r = await_outcome(    # a child of the old generation may still take one
                $expected,
                sub {
                    $tls = $server->tls(@options, cert => 'partner', session => $session{$name});
                    return $tls->request('/partner');
                }
            );
            outcome_is($r, $expected, "$name: after $what");
            $resumed_somewhere += $tls->reused;
            $session{$name} = $tls->session if !$tls->error;
        }
    };
    $after->(
        'a change of the rules',
        '403 deny subject_mismatch',
        rules => 'MTLSRequire subject.O "Other Partner SA"'
    );
    $after->('changing them back', '200 allow ok');
    $after->(
        'a change of the CAs', '403 deny chain_incomplete',
        cas   => 'stranger-root.crt',
        rules => 'MTLSRequire subject.O "Big Partner Foo SA"'
    );
    $after->('changing them back', '200 allow ok');
    cmp_ok($resumed_somewhere, '>=', 1,
        'at least once a session survived the restart, so the test tested something');
}

done_testing;
