# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# A session made under one Location's store and resumed under another's, on another virtual host, in
# another child, or after a store has changed: what counts is the store where it arrives, now.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Files qw(files_dir pki_text replace_file);

my @kinds = (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
);
my $dir = files_dir('resumption');
replace_file("$dir/tickets",     pack 'C*', map { $_ * 13 & 255 } 1 .. 80);
replace_file("$dir/moving.pem",  pki_text('root.crt'));
replace_file("$dir/allowed.pem", pki_text('device-self-signed.crt'));
replace_file("$dir/list.crl",    pki_text('carc-i101l-none.crl'));

my $stores = <<"CONF";
MTLSReloadInterval 1
<MTLSTrustStore "roots">
    MTLSAnchor "\@PKI\@/root.crt"
</MTLSTrustStore>
<MTLSTrustStore "second">
    MTLSAnchor "\@PKI\@/second-root.crt"
</MTLSTrustStore>
<MTLSTrustStore "crossed">
    MTLSAnchor "\@PKI\@/second-root.crt"
    MTLSIntermediate "\@PKI\@/carc-i101l-cross.crt"
</MTLSTrustStore>
<MTLSTrustStore "strangers">
    MTLSAnchor "\@PKI\@/stranger-root.crt"
</MTLSTrustStore>
<MTLSTrustStore "moving">
    MTLSAnchor "$dir/moving.pem"
</MTLSTrustStore>
<MTLSTrustStore "allowed">
    MTLSAllowCertificate "$dir/allowed.pem"
</MTLSTrustStore>
<MTLSTrustStore "listed">
    MTLSAnchor "\@PKI\@/ca-bundle.crt"
    MTLSCRL "$dir/list.crl"
    MTLSCRLCheck leaf
</MTLSTrustStore>
<MTLSTrustStore "intermediate">
    MTLSAnchor "\@PKI\@/carc-i101l.crt"
    MTLSPartialChain On
</MTLSTrustStore>
CONF

my $locations = join '',
    map {"<Location \"/$_\">\n    MTLSTrust $_\n</Location>\n"}
    qw(roots second crossed strangers moving allowed listed intermediate);

# The virtual host's own CAs vouch for nobody here: whatever is remembered is the stores' doing.
sub vhost {
    my ($name, @lines) = @_;
    return join "\n", '<VirtualHost 127.0.0.1:@Port_Main@>', "ServerName $name", '@TLS@',
        'SSLCACertificateFile "@PKI@/device-root.crt"', 'MTLSHandshake defer',
        'Protocols http/1.1', @lines, '</VirtualHost>', '';
}

sub configuration {
    my (%o) = @_;
    my @keys = $o{keep_tickets} ? "SSLSessionTicketKeyFile \"$dir/tickets\"" : ();
    return join '', $stores, "<Directory \"\@Htdocs\@\">\nRequire all granted\n</Directory>\n",
        "AliasMatch \"^/\" \"\@Htdocs\@/index.html\"\n", "Listen 127.0.0.1:\@Port_Main\@\n",
        vhost(
        'gateway.test', @keys,
        "<Location \"/open\">\nMTLSMode off\n</Location>",
        $locations =~ s/MTLSTrust roots$/MTLSTrust @{[ $o{roots} \/\/ 'roots' ]}/mr
        ),
        vhost('a.test', @keys, 'MTLSTrust roots'), vhost('b.test', @keys, 'MTLSTrust strangers'),
        vhost('c.vhosts.test', @keys, 'MTLSTrust roots', 'MTLSRequire subject.CN nobody');
}

sub session_of {
    my ($server, $kind, $cert, $path, $outcome, %o) = @_;
    my ($name, @options) = @$kind;
    my $tls = $server->tls(@options, cert => $cert, %o);
    my $r   = $tls->request($path, host => $o{sni} // 'gateway.test');
    outcome_is($r, $outcome, "$name: $cert at $path, full");
    my $session = $tls->session;
    $tls->close;
    return ($session, $r);
}

sub resume {
    my ($server, $kind, $cert, $session, %o) = @_;
    my ($name, @options) = @$kind;
    my $tls = $server->tls(@options, cert => $cert, session => $session, %o);
    is($tls->reused, 1, "$name: $cert: resumed");
    return $tls;
}

# --- another Location -----------------------------------------------------------------------------
my $server = private(name => 'stores-resumed', config => configuration(keep_tickets => 1));
my %reason = (
    partner => {
        roots        => 'ok',
        second       => 'chain_incomplete',
        crossed      => 'ok',
        strangers    => 'chain_incomplete',
        intermediate => 'ok',
        allowed      => 'chain_incomplete',
        listed       => 'ok'
    },
    stranger => { roots => 'chain_incomplete', strangers => 'ok', listed => 'chain_incomplete' },
    'device-self-signed' => { allowed => 'ok',              roots  => 'chain_untrusted' },
    lookalike            => { roots   => 'chain_untrusted', second => 'chain_incomplete' },
);

# On a resumed session nobody sends an intermediate: a look-alike's is not remembered, so all that
# is left of it is a leaf whose issuer's name nobody has.
my %resumed_reason = (lookalike => { roots => 'chain_incomplete' });
for my $kind (@kinds) {
    my $name = $kind->[0];
    for my $cert (sort keys %reason) {
        for my $first ('open', sort keys %{ $reason{$cert} }) {
            my $expected  = $first eq 'open' ? '200 - -' : outcome_of($reason{$cert}{$first});
            my ($session) = session_of($server, $kind, $cert, "/$first", $expected);
            my $tls       = resume($server, $kind, $cert, $session);
            for my $second (sort keys %{ $reason{$cert} }) {
                my $want = outcome_of($resumed_reason{$cert}{$second} // $reason{$cert}{$second});
                outcome_is($tls->request("/$second"),
                    $want, "$name: $cert: session of /$first at /$second");
            }
        }
    }
    my ($session) = session_of($server, $kind, 'partner', '/open', '200 - -');
    my $nobody = resume($server, $kind, 'partner', $session);
    outcome_is($nobody->request("/$_->[0]"), outcome_of($_->[1]), "$name: there and back: /$_->[0]")
        for ['roots', 'ok'], ['strangers', 'chain_incomplete'], ['roots', 'ok'],
        ['second', 'chain_incomplete'], ['crossed', 'ok'];
}

# --- another virtual host (S2, S3) ----------------------------------------------------------------
my $safe = qr/\A(?:421 - -|403 deny chain_(?:incomplete|untrusted))\z/;
for my $kind (@kinds) {
    my ($name, @options) = @$kind;
    my ($session) =
        session_of($server, $kind, 'partner', '/', outcome_of('ok'), sni => 'a.test');
    outcome_is(
        resume($server, $kind, 'partner', $session, sni => 'a.test')
            ->request('/', host => 'a.test'),
        outcome_of('ok'),
        "$name: a.test on its own session"
    );
    for my $to (['b.test', $safe], ['c.vhosts.test', qr/\A(?:421 - -|403 deny subject_mismatch)\z/])
    {
        my ($host, $outcomes) = @$to;
        my $tls = $server->tls(@options, cert => 'partner', session => $session, sni => $host);
        if (defined $tls->error) { pass("$name: the session of a.test is refused by $host"); next }
        my $r = $tls->request('/', host => $host);
        like($r->outcome, $outcomes, "$name: the session of a.test at $host");
    }
    my $tls = $server->tls(@options, cert => 'partner', session => $session, sni => 'a.test');
    like($tls->request('/', host => 'b.test')->outcome,
        $safe, "$name: the session of a.test, SNI a.test, Host b.test");
    $tls = $server->tls(@options, cert => 'partner', session => $session, sni => undef);
    like(defined $tls->error ? '421 - -' : $tls->request('/', host => 'b.test')->outcome,
        $safe, "$name: the session of a.test, no SNI, Host b.test");
    outcome_is(
        $server->tls(@options, cert => 'stranger', sni => 'b.test')->request('/', host => 'b.test'),
        outcome_of('ok'),
        "$name: b.test has its own clients"
    );
}

# --- after a store has changed (S4) ---------------------------------------------------------------
{
    my %session;
    for my $kind (@kinds) {
        my $name = $kind->[0];
        for my $row (
            ['moving',  'partner',            'ok'],
            ['moving',  'stranger',           'chain_incomplete'],
            ['allowed', 'device-self-signed', 'ok'],
            ['listed',  'revoked',            'ok']
            )
        {
            my ($path, $cert, $reason) = @$row;
            ($session{$name}{$cert}) =
                session_of($server, $kind, $cert, "/$path", outcome_of($reason));
        }
    }
    my $survived = 0;
    my $after    = sub {
        my ($what, $path, $cert, $reason) = @_;
        my $expected = outcome_of($reason);
        for my $kind (@kinds) {
            my ($name, @options) = @$kind;
            my $reused;
            my $r = await_outcome(
                $expected,
                sub {
                    my $tls =
                        $server->tls(@options, cert => $cert, session => $session{$name}{$cert});
                    $reused = $tls->reused;
                    return $tls->request("/$path");
                }
            );
            outcome_is($r, $expected, "$name: $what: $cert at /$path");
            if ($what =~ /restart/) { $survived += $reused }
            else                    { is($reused, 1, "$name: $what: on its old session") }
        }
    };
    replace_file("$dir/moving.pem",  pki_text('stranger-root.crt'));
    replace_file("$dir/allowed.pem", pki_text('device-second.crt'));
    replace_file("$dir/list.crl",    pki_text('carc-i101l.crl'));
    $after->('another anchor',  'moving',  'partner',            'chain_incomplete');
    $after->('another anchor',  'moving',  'stranger',           'ok');
    $after->('not allowed now', 'allowed', 'device-self-signed', 'chain_untrusted');
    $after->('revoked now',     'listed',  'revoked',            'revoked_crl');
    replace_file("$dir/moving.pem",  pki_text('root.crt'));
    replace_file("$dir/allowed.pem", pki_text('device-self-signed.crt'));
    replace_file("$dir/list.crl",    pki_text('carc-i101l-none.crl'));
    $after->('its anchor again',  'moving',  'partner',            'ok');
    $after->('its anchor again',  'moving',  'stranger',           'chain_incomplete');
    $after->('allowed again',     'allowed', 'device-self-signed', 'ok');
    $after->('not revoked again', 'listed',  'revoked',            'ok');

    # and after a restart with another store in the section
    ($session{ $_->[0] }{partner}) = session_of($server, $_, 'partner', '/roots', outcome_of('ok'))
        for @kinds;
    $server->graceful(configuration(roots => 'strangers', keep_tickets => 1));
    $after->('a restart with another store', 'roots', 'partner', 'chain_incomplete');
    $server->graceful(configuration(keep_tickets => 1));
    $after->('a restart with its store again', 'roots', 'partner', 'ok');

    # httpd forgets the sessions it keeps itself, and not under every MPM do tickets live on.
    cmp_ok($survived, '>=', 1, 'sessions survived a restart, so that something was tested')
        if mpm() eq 'event';
    is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
        0, 'no child died');
    $server->stop;
}

# --- another child --------------------------------------------------------------------------------
my $one_each =
    join "\n", 'StartServers 3', 'MaxRequestWorkers 12', 'MaxConnectionsPerChild 1',
    mpm() eq 'prefork'
    ? ('MinSpareServers 2', 'MaxSpareServers 6')
    : (
    'ServerLimit 12',
    'ThreadsPerChild 1',
    'ThreadLimit 1',
    'MinSpareThreads 2',
    'MaxSpareThreads 6'
    );
my $scattered = private(
    name      => 'stores-children',
    processes => $one_each,
    config    => configuration()
);
for my $kind (@kinds) {
    my ($name, @options) = @$kind;
    for my $row (
        ['partner',   'open',      '200 - -', roots     => 'ok'],
        ['user-1',    'strangers', undef,     roots     => 'ok'],
        ['user-2',    'roots',     undef,     second    => 'chain_incomplete'],
        ['user-2',    'roots',     undef,     crossed   => 'ok'],
        ['stranger',  'open',      '200 - -', strangers => 'ok'],
        ['lookalike', 'open',      '200 - -', roots     => 'chain_incomplete']
        )
    {
        my ($cert, $first, $outcome, $second, $reason) = @$row;
        my ($full, $resumed, $reused);

        # A child that has had its one connection may still close another one unanswered.
        await(
            sub {
                my $tls = $scattered->tls(@options, cert => $cert);
                $full = $tls->request("/$first");
                $full->status or return;
                my $session = $tls->session;
                $tls->close;
                my $again = $scattered->tls(@options, cert => $cert, session => $session);
                $resumed = $again->request("/$second");
                $resumed->status or return;
                $reused = $again->reused;
                return $reused && $full->pid ne $resumed->pid;
            }
        );
        isnt($resumed->pid, $full->pid, "$name: $cert: another child");
        is($reused, 1, "$name: $cert: resumed there");
        outcome_is($full, $outcome // outcome_of('chain_incomplete'), "$name: $cert: /$first, full")
            if $first ne 'roots';
        outcome_is($resumed, outcome_of($reason),
            "$name: $cert: session of /$first at /$second in another child");
    }
}

done_testing;
