# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# A resumed session carries the leaf and nothing else: no chain, no verification. The verdict must
# not differ.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Mortal qw(make_mortal until_refused);

my $s     = shared();
my @kinds = (
    ['TLS 1.2 session id', version => '1.2', tickets => 0],
    ['TLS 1.2 ticket',     version => '1.2', tickets => 1],
    ['TLS 1.3',            version => '1.3']
);

# A full handshake and a request, then the same again on its session. Returns both connections'
# responses.
sub full_and_resumed {
    my ($server, $kind, $path, %o) = @_;
    my ($name, @options) = @$kind;
    my $full    = $server->tls(@options, %o);
    my $first   = $full->request($path, host => $o{sni} // 'gateway.test');
    my $session = $full->session;
    $full->close;
    my $resumed = $server->tls(@options, %o, session => $session);
    return ($first, $resumed, $session);
}

# S1: an unverified certificate with the subject of an allowed one.
for my $kind (@kinds) {
    my $name = $kind->[0];
    for my $cert (qw(self-signed lookalike)) {
        my ($first, $resumed) = full_and_resumed($s, $kind, '/partner/index.html', cert => $cert);
        denied($first, 'chain_untrusted', "$name, $cert: full handshake");
        is($resumed->reused, 1, "$name, $cert: the session is resumed");
        denied($resumed->request('/partner/index.html'),
            'chain_untrusted', "$name, $cert: resumed, request $_")
            for 1, 2;
    }
    my ($first, $resumed) = full_and_resumed($s, $kind, '/partner/index.html', cert => 'partner');
    allowed($first, "$name: the real one, full handshake");
    is($resumed->reused, 1, "$name: resumed");
    allowed($resumed->request('/partner/index.html'), "$name: resumed, request $_") for 1, 2;
    denied($resumed->request('/other/index.html'),
        'subject_mismatch', "$name: resumed, another location's rule");
}

# S9: the session of a client without certificate.
for my $kind (@kinds) {
    my ($first, $resumed) = full_and_resumed($s, $kind, '/index.html');
    outcome_is($first, '200 - -', "$kind->[0]: a session without certificate");
    is($resumed->reused, 1, "$kind->[0]: resumed");
    denied($resumed->request('/partner/index.html'),
        'no_certificate', "$kind->[0]: at a location with a rule");
}

# S8: the intermediate came from the client in the full handshake only.
for my $kind (@kinds) {
    my ($first, $resumed) =
        full_and_resumed($s, $kind, '/partner/index.html', vhost => 'rootonly', cert => 'partner');
    allowed($first, "$kind->[0]: intermediate sent by the client");
    is($resumed->reused, 1, "$kind->[0]: resumed");
    allowed($resumed->request('/partner/index.html'),
        "$kind->[0]: the intermediate is remembered, its pin still checked");
    ($first, $resumed) = full_and_resumed(
        $s, $kind, '/partner/index.html',
        vhost => 'rootonly',
        cert  => 'partner-by-i102l'
    );
    denied($first, 'pin_mismatch', "$kind->[0]: another intermediate");
    is($resumed->reused, 1, "$kind->[0]: resumed");
    denied($resumed->request('/partner/index.html'),
        'pin_mismatch', "$kind->[0]: and refused as before");
    ($first, $resumed) = full_and_resumed(
        $s, $kind, '/partner/index.html',
        vhost => 'rootonly',
        cert  => 'lookalike'
    );
    denied($first, 'chain_untrusted', "$kind->[0]: a look-alike's intermediate");
    denied($resumed->request('/partner/index.html'),
        'chain_incomplete', "$kind->[0]: is not remembered: it led nowhere");
}

# A session whose full handshake never asked for a location under policy: nothing was verified then.
for my $kind (@kinds) {
    my ($first, $resumed) = full_and_resumed($s, $kind, '/index.html', cert => 'self-signed');
    outcome_is($first, '200 - -', "$kind->[0]: unverified certificate at an open page");
    denied($resumed->request('/partner/index.html'),
        'chain_untrusted', "$kind->[0]: resumed at a protected one");
    ($first, $resumed) =
        full_and_resumed($s, $kind, '/index.html', vhost => 'rootonly', cert => 'user-1');
    outcome_is($first, '200 - -', "$kind->[0]: certificate with intermediate at an open page");
    allowed($resumed->request('/partner/index.html'),
        "$kind->[0]: resumed at a protected one: the same verdict as a full handshake");
}

# S2: a session of one virtual host offered to another with other CAs; names that disagree.
for my $kind (@kinds) {
    my ($first, $resumed, $session) = full_and_resumed(
        $s, $kind, '/partner/index.html',
        vhost => 'named',
        sni   => 'a.test',
        cert  => 'partner'
    );
    allowed($first, "$kind->[0]: a.test");
    allowed($resumed->request('/partner/index.html', host => 'a.test'),
        "$kind->[0]: a.test resumed");
    my ($name, @options) = @$kind;
    my $at_b = $s->tls(
        @options,
        vhost   => 'named',
        sni     => 'b.test',
        cert    => 'partner',
        session => $session
    );
    if (defined $at_b->error) {
        pass("$name: the session of a.test is refused at b.test in the handshake");
    }
    else {
        my $r = $at_b->request('/partner/index.html', host => 'b.test');
        like(
            $r->outcome,
            qr/\A(?:421 - -|403 deny chain_(?:untrusted|incomplete))\z/,
            "$name: the session of a.test at b.test"
        );
        unlike($r->body, qr/content of partner/, "$name: b's content is not served");
    }
}
{
    my $tls = $s->tls(vhost => 'named', sni => 'a.test', cert => 'partner');
    my $r   = $tls->request('/partner/index.html', host => 'b.test');
    like(
        $r->outcome,
        qr/\A(?:421 - -|403 deny chain_(?:untrusted|incomplete))\z/,
        'SNI a.test, Host b.test'
    );
    unlike($r->body, qr/content of partner/, 'SNI a.test, Host b.test: b\'s content is not served');
    $tls = $s->tls(vhost => 'named', sni => undef, cert => 'stranger');
    $r   = $tls->request('/partner/index.html', host => 'b.test');
    like(
        $r->outcome,
        qr/\A(?:421 - -|403 deny chain_(?:untrusted|incomplete))\z/,
        'no SNI, Host b.test'
    );
    allowed(
        $s->tls(vhost => 'named', sni => 'b.test', cert => 'stranger')
            ->request('/partner/index.html', host => 'b.test'),
        'b.test trusts its own CA'
    );
    denied(
        $s->tls(vhost => 'named', sni => 'b.test', cert => 'partner')
            ->request('/partner/index.html', host => 'b.test'),
        'chain_incomplete',
        'and not that of a.test'
    );
    allowed(
        $s->tls(vhost => 'named', sni => 'a.test', cert => 'partner')
            ->request('/partner/index.html', host => "a.test:" . $s->port('named')),
        'Host with a port'
    );

    for my $host ('A.TEST', 'a.test.') {
        my $odd = $s->tls(vhost => 'named', sni => 'a.test')
            ->request('/partner/index.html', host => $host);
        like(
            $odd->outcome,
            qr/\A(?:403 deny no_certificate|4(?:00|21) - -)\z/,
            "Host $host without certificate"
        );
    }
}

# S6: a certificate that ends while a connection is open, and is resumed after its end.
{
    my (%open, %first, %session);
    my $end = make_mortal(
        'ends-soon',
        sub {
            for my $kind (@kinds) {
                my ($name, @options) = @$kind;
                $open{$name}  = $s->tls(@options, cert => 'ends-soon');
                $first{$name} = $open{$name}->request('/partner/index.html');
                my $tls = $s->tls(@options, cert => 'ends-soon');
                $tls->request('/partner/index.html');
                $session{$name} = $tls->session;
                $tls->close;
            }
        }
    );
    allowed($first{$_}, "$_: a certificate that ends soon, at first") for sort keys %first;
    my $watched = $open{'TLS 1.3'};
    my @others  = grep { $_ ne $watched } values %open;
    my ($last, $refused, $asked_allowed) = until_refused(
        $end,
        sub {    # those that nobody watches are closed when they are idle for long
            if (time < $end - 10) { $_->request('/partner/index.html') for @others }
            return $watched->request('/partner/index.html');
        }
    );
    denied($last, 'expired', 'TLS 1.3: refused once its end has come');
    cmp_ok($refused,       '>=', $end,     'not before its end');
    cmp_ok($asked_allowed, '<',  $end + 1, 'and whatever is asked for afterwards');
    is(lc($last->header('Connection') // ''), 'close', 'the connection is closed');
    ok($watched->at_end, 'for real');
    for my $name (grep { $_ ne 'TLS 1.3' } sort keys %open) {
        my $r = $open{$name}->request('/partner/index.html');
        denied($r, 'expired', "$name: the open connection is refused too");
        is(lc($r->header('Connection') // ''), 'close', "$name: and closed");
    }
    for my $kind (@kinds) {
        my ($name, @options) = @$kind;
        my $tls = $s->tls(@options, cert => 'ends-soon', session => $session{$name});
    SKIP: {
            is($tls->reused, 1, "$name: a session from before the end is resumed")
                or skip 'not resumed', 1;
            denied($tls->request('/partner/index.html'), 'expired', "$name: and refused");
        }
    }
    is($s->get('/partner/index.html', cert => 'ends-soon')->status,
        0, 'a full handshake is refused by mod_ssl');
    denied($s->get('/partner/index.html', vhost => 'defer', cert => 'ends-soon'),
        'expired', 'and told why where the handshake defers');
}

done_testing;
