# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Attacks on the judgement of backends: by a backend that becomes another one in the middle, by
# connections that were made for others, by ways on which mod_proxy looks for no section, by what
# clients write into a URL, by what a refusal does to those who are allowed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use MTLSTest;
use MTLSTest::Await         qw(await);
use MTLSTest::Backend;
use MTLSTest::BackendChecks qw(gateway_directives passes refuses unjudged verdict_of verdict_lines);
use MTLSTest::Files         qw(files_dir replace_file);
use MTLSTest::Layout        qw(more_modules free_port);
use MTLSTest::TLSBackend;
use Net::SSLeay;
use POSIX ();

my $pki    = pki_dir();
my $pages  = files_dir('backend-attacks');
my $folder = files_dir('backend-attacks-sockets');
my $h2     = mpm() ne 'prefork';
my $policy = "MTLSBackendTrust backends\nMTLSBackendRequire san.dns orders.internal";

# --- backends that become another in the middle of a request --------------------------------------
# TLS 1.2 lets a server ask for a new handshake, in which it may show another certificate. It also
# lets it send something before that handshake begins, so that what a gateway writes next goes
# through it.
sub ask_again {
    my ($ssl, $cert) = @_;
    Net::SSLeay::set_options($ssl, Net::SSLeay::OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION());
    Net::SSLeay::use_certificate_file($ssl, "$pki/$cert.crt", Net::SSLeay::FILETYPE_PEM());
    Net::SSLeay::use_PrivateKey_file($ssl, "$pki/$cert.key", Net::SSLeay::FILETYPE_PEM());
    Net::SSLeay::renegotiate($ssl);
    Net::SSLeay::do_handshake($ssl);
    return;
}

sub turning {
    my ($cert, $say, $answer) = @_;
    return sub {
        my ($handle, $owner) = @_;
        my ($head, $secret) = ('', '');
        while ($head !~ /\r\n\r\n/) { sysread($handle, $head, 65_536, length $head) or return }
        ask_again($owner->{ssl}, $cert) if $cert;
        print {$handle} $say;
        sysread $handle, $secret, 65_536 or return;
        $owner->note("secret $secret");
        print {$handle} $answer;
        return;
    };
}
my $go_on    = "HTTP/1.1 100 Continue\r\n\r\n";
my $answer   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
my $switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
my %faces;
for my $other ([same => 'backend-orders'], [other => 'backend-other']) {
    my ($name, $cert) = @$other;
    my %face = (cert => 'backend-orders', version => '1.2');
    $faces{"body-$name"} = { %face, serve => turning($cert, $go_on,    $answer) };
    $faces{"ws-$name"}   = { %face, serve => turning($cert, $switched, 'heard') };
}
# Not TLS 1.3: the tickets that come first there make mod_proxy_wstunnel stop, policy or not.
$faces{'ws-right'} = { cert => 'backend-orders', version => '1.2', serve => turning(undef, $switched, 'heard') };

# --- the backends ---------------------------------------------------------------------------------
my %cert = (right => 'backend-orders', wrong => 'backend-other');
my @ways = qw(member handler socket encoded dropped order wss url shared free);
for my $way (@ways) { $faces{"$way-$_"} = { cert => $cert{$_} } for keys %cert }
my $backend  = MTLSTest::TLSBackend->start('attacks', %faces);
my $recorded = "$pages/recorded";
my $remote   = MTLSTest::Backend->start(record => $recorded);

# What is sent to a socket of the file system goes on to a face.
my @relays;

sub relay {
    my ($file, $port) = @_;
    unlink $file;
    my $listener = IO::Socket::UNIX->new(Local => $file, Listen => 16) or die "cannot listen: $!\n";
    chmod 0777, $file;
    my $pid = fork // die "cannot fork: $!\n";
    if ($pid) { push @relays, $pid; return }
    $SIG{$_}   = 'DEFAULT' for qw(INT TERM HUP);
    $SIG{CHLD} = 'IGNORE';
    while (my $client = $listener->accept) {
        next if fork;
        alarm 3600;
        my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
            or POSIX::_exit(1);
        my $select = IO::Select->new($client, $server);
        while (1) {
            for my $from ($select->can_read) {
                sysread $from, my $piece, 65_536 or POSIX::_exit(0);
                syswrite $from == $client ? $server : $client, $piece;
            }
        }
    }
    POSIX::_exit(0);
}

END {
    local $?;
    for my $pid (splice @relays) { kill TERM => $pid; waitpid $pid, 0 }
}
relay("$folder/$_", $backend->port("socket-$_")) for keys %cert;

# httpd as a backend: HTTP/2, and pages that are made of others.
my %site = map { $_ => free_port() } keys %cert;
replace_file("$pages/page.txt", "page\n");
replace_file("$pages/outer.txt",
    join "\n", (map {"[<!--#include virtual=\"/$_/page.txt\" -->]"} qw(in-wrong in-right open)),
    ('x' x 70) x 300, '');
replace_file("$pages/deep-$_.txt",
    "<!--#include virtual=\"/deep/deep-" . ($_ + 1) . ".txt\" -->\n" . 'y' x 9000)
    for 1 .. 8;
replace_file("$pages/deep-9.txt",
    '[<!--#include virtual="/in-right/page.txt" -->][<!--#include virtual="/in-wrong/page.txt" -->]');
my $sites = join '', map { <<"CONF" } sort keys %site;
Listen 127.0.0.1:$site{$_}
<VirtualHost 127.0.0.1:$site{$_}>
    ServerName $_.test
    SSLEngine on
    SSLCertificateFile "\@PKI\@/$cert{$_}-chain.crt"
    SSLCertificateKeyFile "\@PKI\@/$cert{$_}.key"
    @{[ $h2 ? 'Protocols h2 http/1.1' : '' ]}
    DocumentRoot "$pages"
    Header always set X-Site $_
    CustomLog "\@Logs\@/arrived" "$_ %U"
</VirtualHost>
CONF

# --- the gateway ----------------------------------------------------------------------------------
my $lines = '';

sub add { $lines .= join "\n", @_, ''; return }

sub section { my ($kind, $argument, @lines) = @_; return ("<$kind \"$argument\">", @lines, "</$kind>") }

for my $name (qw(same other)) {
add("ProxyPass \"/body-$name/\" \"" . $backend->url("body-$name") . '/"',
        "ProxyPass \"/ws-$name/\" \"" . $backend->url("ws-$name") . '/" upgrade=websocket',
        "ProxyPass \"/wss-$name/\" \"" . $backend->url("ws-$name", 'wss') . '/"',
        section('LocationMatch', "^/(?:body|ws|wss)-$name/", $policy));
}
for my $which (qw(right wrong)) {
    my %url = map { $_ => $backend->url("$_-$which") } @ways;

    # Sections that say who a backend must be, found for a member, ...
    for my $case (
        [member => $url{member}, "$url{member}/"],
        [socket => "unix:$folder/$which|https://socket-$which.internal", "unix:$folder/$which|https://socket-$which.internal/"],
        [encoded => $url{encoded}, "$url{encoded}/encoded/a b"],
        [dropped => $url{dropped}, "$url{dropped}/"]
        )
    {
        my ($way, $member, $section) = @$case;
        add(section('Proxy', "balancer://$way-$which", "BalancerMember \"$member\"", $way eq 'dropped' ? 'MTLSInherit Off' : ()),
            "ProxyPass \"/$way/$which/\" \"balancer://$way-$which/$way/\"");
        add(section("Proxy", $section, $policy));
    }
    add("ProxyPass \"/direct-socket/$which/\" \"unix:$folder/$which|https://socket-$which.internal/\"");

    # ... for WebSocket, and for a handler, where the Location has the last word.
    add("ProxyPass \"/wss/$which/\" \"" . $backend->url("wss-$which", 'wss') . '/"',
        section('Proxy', "$url{wss}/", $policy));
    add(section('Location', "/order-pass/$which/", $policy, 'MTLSBackendMode enforce', "ProxyPass \"$url{order}/\""),
        section('Location', "/order-handler/$which/", $policy, 'MTLSBackendMode enforce', "SetHandler \"proxy:$url{order}\""),
        section('Proxy', $url{order}, 'MTLSBackendMode report'));

    # What a client writes into the URL.
    add(section('Proxy', "$url{url}/", $policy));
    add(section('Location', "/free/$which/", "ProxyPass \"$url{free}/\""),
        section('Location', "/lost/$which/", $policy, "ProxyPass \"$url{free}/\""));

    # Members of the same balancer, over HTTP and HTTP/2; pages.
    add("ProxyPass \"/in-$which/\" \"https://127.0.0.1:$site{$which}/\"",
        section('Location', "/in-$which/", $policy));
}
add('ProxyPassMatch "^/url/(.*)" "https://$1"');
for my $scheme ('https', $h2 ? 'h2' : ()) {
    add(section('Proxy', "balancer://two-$scheme",
            (map {"BalancerMember \"$scheme://127.0.0.1:$site{$_}\" route=$_"} qw(right wrong)),
            'ProxySet stickysession=ROUTE'),
        "ProxyPass \"/two-$scheme/\" \"balancer://two-$scheme/\"",
        "ProxyPass \"/two-$scheme-open/\" \"balancer://two-$scheme/\"",
        section('Location', "/two-$scheme/", $policy));
}
add("ProxyPass \"/open/\" \"https://127.0.0.1:$site{wrong}/\"",
    "ProxyPass \"/deep/\" \"https://127.0.0.1:$site{right}/\"",
    "ProxyPass \"/page/\" \"https://127.0.0.1:$site{wrong}/\"",
    section('Location', '/deep/', $policy, 'Options +Includes', 'SetOutputFilter INCLUDES'),
    section('Location', '/page/in/',    $policy, 'ErrorDocument 502 /in-right/page.txt'),
    section('Location', '/page/again/', $policy, 'ErrorDocument 502 /in-wrong/page.txt'),
    section('Location', '/page/open/',  $policy, 'ErrorDocument 502 /open/page.txt'));

# One worker, sections with CAs of their own.
my $shared = $backend->url('shared-right');
my $socket = "unix:$folder/right|https://shared.internal";
my $judged = "MTLSBackendTrust vhost\nMTLSBackendRequire san.dns orders.internal";
add(section('Proxy', $shared, $judged),
    "ProxyPass \"/shared/\" \"$shared/\"",
    "<Proxy \"$socket\" enablereuse=on>", $judged, '</Proxy>',
    "RewriteRule \"^/shared-socket/(.*)\" \"$socket/\$1\" [P]");
for my $url ($shared, $socket) {
    add(section('Proxy', "$url/good/", 'SSLProxyCACertificateFile "@PKI@/root.crt"'),
        section('Proxy', "$url/bad/", 'SSLProxyCACertificateFile "@PKI@/stranger-root.crt"'));
}

# More sequences of sections than are kept.
my $conditions = join "\n",
    map {"<If \"-T req('X-Bit-$_')\">\nMTLSHeaderLimit 2000$_\n</If>"} 0 .. 12;
my $all    = gateway_directives();
my $config = <<"CONF";
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
<Directory "$pages">
    Require all granted
</Directory>
$sites
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
$all
RewriteEngine On
$lines
</VirtualHost>

Listen 127.0.0.1:\@Port_Many\@
<VirtualHost 127.0.0.1:\@Port_Many\@>
ServerName gateway.test
\@TLS\@
$all
ProxyPass "/right/" "@{[ $backend->url('free-right') ]}/"
ProxyPass "/wrong/" "@{[ $backend->url('free-wrong') ]}/"
<Location "/">
    $policy
</Location>
$conditions
</VirtualHost>

# WebSocket by the module that is for nothing else.
Listen 127.0.0.1:\@Port_Tunnel\@
<VirtualHost 127.0.0.1:\@Port_Tunnel\@>
ServerName gateway.test
\@TLS\@
$all
ProxyWebsocketFallbackToProxyHttp off
ProxyPass "/ws-right/" "@{[ $backend->url('ws-right', 'wss') ]}/"
ProxyPass "/ws-other/" "@{[ $backend->url('ws-other', 'wss') ]}/"
<Location "/">
    $policy
</Location>
</VirtualHost>

# Forward proxies with another behind them.
Listen 127.0.0.1:\@Port_Forward\@
<VirtualHost 127.0.0.1:\@Port_Forward\@>
ServerName gateway.test
$all
ProxyRequests On
AllowCONNECT 443
ProxyRemote * "http://127.0.0.1:@{[ $remote->port ]}"
<Proxy "*">
    $policy
</Proxy>
</VirtualHost>
Listen 127.0.0.1:\@Port_Open\@
<VirtualHost 127.0.0.1:\@Port_Open\@>
ServerName gateway.test
$all
ProxyRequests On
AllowCONNECT 443
ProxyRemote * "http://127.0.0.1:@{[ $remote->port ]}"
</VirtualHost>
CONF
my %started = (
    name => 'backend-attacks',

    # It is its own backend, and pages in pages take a thread for each.
    $h2
    ? (processes => join "\n",
        'StartServers 1',     'ServerLimit 4',      'ThreadsPerChild 25',
        'MinSpareThreads 20', 'MaxSpareThreads 75', 'MaxRequestWorkers 100')
    : (),
    modules =>
        [more_modules(qw(proxy_balancer slotmem_shm lbmethod_byrequests proxy_connect))],
);
my $server = private(%started, config => $config);

sub face { return (backend => $backend, face => $_[0]) }

# --- another certificate in the middle of a request -----------------------------------------------
# What the last connection of a face has heard after it had asked for a new handshake.
sub secret_of {
    my ($face) = @_;
    my $last;
    await(sub { $last = ($backend->connections($face))[-1]; return $last && $last->{closed} });
    $backend->fresh($face);
    return $last->{secret} // 'none';
}

for my $name (qw(same other)) {
my $r = $server->get(
        "/body-$name/x",
        method  => 'POST',
        body    => 'SECRET',
        headers => ['Expect: 100-continue']
    );
    if ($name eq 'same') { passes($r, 'the same certificate before the body') }
    else                 { refuses($r, 'san_mismatch', 'another certificate before the body') }
    is(secret_of("body-$name"), $name eq 'same' ? 'SECRET' : 'none', "$name: the body");
    for my $way (qw(ws wss)) {
my $title = "$name certificate in a WebSocket, $way";
        my $tls   = $server->tls;
        my $id    = $tls->send_head("/$way-$name/x",
            headers => ['Connection: Upgrade', 'Upgrade: websocket']);
        if ($name eq 'same') {
            ok($tls->until_match(qr{\AHTTP/1\.1 101 .*\r\n\r\n}s), "$title: switched");
            $tls->send('SECRET');
            ok($tls->until_match(qr/heard\z/), "$title: answered");
        }
        else {
            refuses($tls->read_response('GET', $id), 'san_mismatch', $title);
        }
        $tls->close;
        is(secret_of("ws-$name"), $name eq 'same' ? 'SECRET' : 'none', "$title: what was said");
    }
}

# The module of the tunnel reads without waiting: there a second handshake ends it, whoever is
# there by then.
for my $face (qw(ws-right ws-other)) {
    my $title = "a tunnel, $face";
    my $tls   = $server->tls(vhost => 'tunnel');
    $tls->send_head("/$face/x", headers => ['Connection: Upgrade', 'Upgrade: websocket']);
    my $up = $tls->until_match(qr{\AHTTP/1\.1 101 .*\r\n\r\n}s);
    $tls->send('SECRET') if $up;
    is($tls->until_match(qr/heard\z/) ? 'heard' : 'not heard', $face eq 'ws-right' ? 'heard' : 'not heard', $title);
    $tls->close;
    is(secret_of($face), $face eq 'ws-right' ? 'SECRET' : 'none', "$title: what was said");
}

# --- sections that mod_proxy does not look for ----------------------------------------------------
for my $way (qw(member socket encoded dropped direct-socket order-pass order-handler)) {
    my $face = $way =~ s/direct-|-(?:pass|handler)//gr;
    my $file = $way eq 'encoded' ? 'a%20b' : 'x';
    passes($server->get("/$way/right/$file"), "allowed, $way", face("$face-right"));
    refuses($server->get("/$way/wrong/$file"), 'san_mismatch', "refused, $way", face("$face-wrong"));
}
my @upgrade = (headers => ['Connection: Upgrade', 'Upgrade: websocket']);
refuses($server->get('/wss/wrong/x', @upgrade), 'san_mismatch', 'wss: under a section for https', face('wss-wrong'));
is(scalar verdict_lines($server->get('/wss/right/x', @upgrade)), 0, 'wss: the right one is not refused');
cmp_ok(($backend->fresh('wss-right'))[0]{bytes}, '>', 0, 'wss: and hears the request');
{
    my ($exit, $said) = MTLSTest::Server->check(
        %started,
        name   => 'backend-attacks-if',
        config => $config =~ s/^RewriteEngine On$/<Proxy "https:\/\/x.internal\/">\n<If "true">\nMTLSBackendTrust backends\n<\/If>\n<\/Proxy>/mr
    );
    isnt($exit, 0, '<If> in <Proxy>: no start');
    like($said, qr/MTLSBackendTrust .*<If>/, '<If> in <Proxy>: why');
}

# --- what a client writes into the URL ------------------------------------------------------------
my %at = map { $_ => '127.0.0.1:' . $backend->port("url-$_") } keys %cert;
for my $how (['', ''], ['user@', ''], ['user:word@', ''], ['127.0.0.2@', ''], ['a%3F@', ''], ['a%23@', '']) {
    my ($before, $behind) = @$how;
    passes($server->get("/url/$before$at{right}$behind/x"), "URL with \"$before\", allowed", face('url-right'));
    refuses($server->get("/url/$before$at{wrong}$behind/x"),
        'san_mismatch', "URL with \"$before\"", face('url-wrong'));
}
for my $odd ('%3Fx', '%23x', ';x', '%0Ax', '%22') {
    my $r = $server->get("/url/$at{wrong}$odd/x");
    like($r->status, qr/\A(?:400|403|404|50[02])\z/, "URL with \"$odd\": refused");
    unlike(join('', $r->errors), qr/\n.*\n.*verdict=.*\n/, "URL with \"$odd\": the log is whole");
    is(scalar(() = $backend->fresh('url-wrong')), 0, "URL with \"$odd\": nobody is called");
}

# --- connections that were made for others --------------------------------------------------------
for my $way (qw(shared shared-socket)) {
    for my $turn (1 .. 3) {
        is(verdict_of($server->get("/$way/good/x")), '200 ok', "$way, own CAs, turn $turn");
        is(verdict_of($server->get("/$way/bad/x")),
            '502 chain_incomplete', "$way, the other section's CAs, turn $turn");
    }
}

# Whatever a client makes of conditions: where policies are too many to be kept, they are judged anew.
{
    my ($tls, $ok) = ($server->tls(vhost => 'many'), 0);
    my $n = 4200;
    for my $k (1 .. $n) {
        my @bits = map {"X-Bit-$_: 1"} grep { $k >> $_ & 1 } 0 .. 12;
        $ok += verdict_of($tls->request('/right/x', headers => \@bits)) eq '200 ok';
    }
    is($ok, $n, 'more sequences of sections than are kept: all allowed');
    $backend->fresh("free-$_") for keys %cert;
    my %more = (vhost => 'many', headers => [map {"X-Bit-$_: 1"} 0 .. 12]);
    refuses($server->get('/wrong/x', %more), 'san_mismatch', 'and judged', face('free-wrong')) for 1 .. 2;
    passes($server->get('/right/x', %more), 'and judged, allowed', face('free-right')) for 1 .. 2;
    $tls->close;
}

# --- what a refusal does to others ----------------------------------------------------------------
for my $scheme ('https', $h2 ? 'h2' : ()) {
    my %by = map { $_ => { headers => ["Cookie: ROUTE=x.$_"] } } keys %cert;
    for my $turn (1 .. 2) {
        my $r = $server->get("/two-$scheme-open/page.txt", %{ $by{wrong} });
        unjudged($r, "$scheme, turn $turn: open to the wrong member");
        is($r->header('X-Site'), 'wrong', "$scheme, turn $turn: which answers");
        refuses($server->get("/two-$scheme/page.txt", %{ $by{wrong} }),
            'san_mismatch', "$scheme, turn $turn: refused");
        passes($server->get("/two-$scheme/page.txt", %{ $by{right} }), "$scheme, turn $turn: the right one");
    }
}

# --- requests inside of requests ------------------------------------------------------------------
{
    my $r = $server->get('/deep/outer.txt');
    is(verdict_of($r), '200 ok', 'a page of pages');
    like($r->body, qr/\A\[\[an error.*?\]\]\n\[page\n\]\n\[page\n\]\n/s, 'a page of pages: what is allowed is in it');
    like($r->body, qr/x{70}\n\z/, 'a page of pages: its end, too');
    is(scalar verdict_lines($r), 1, 'a page of pages: one is refused');
    # Each of them takes a thread, or a process, of the gateway, which is the backend, too.
    my $first = $h2 ? 1 : 7;
    $r = $server->get("/deep/deep-$first.txt");
    is(verdict_of($r), '200 ok', 'pages in pages in pages');
    like($r->body, qr/\A\[page\n\]\[\[an error[^\[\]]*\]\]/, 'pages in pages in pages: allowed and refused');
}
for my $case ([in => '200 ok', 'right'], [again => '502 san_mismatch', ''], [open => '200 -', 'wrong']) {
    my ($name, $expected, $site) = @$case;
    my $r = $server->get("/page/$name/x");
    is(verdict_of($r), $expected, "error page of a backend, $name");
    is($r->header('X-Site') // '', $site, "error page of a backend, $name: whose");
}
{
    my $log;
    await(
        sub {
            $log = MTLSTest::TLSBackend::Handle::slurp($server->dir . '/arrived');
            return $log =~ m{^wrong /page\.txt$}m;
        }
    );
    unlike($log, qr{^wrong /(?!page\.txt)}m, 'the wrong site got what was open only');
    like($log, qr{^wrong /page\.txt$}m, 'which arrived');
}

# --- forward proxies ------------------------------------------------------------------------------
sub forward {
    my ($vhost, $line, $host) = @_;
    unlink $recorded;
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port($vhost))
        or die "cannot connect: $!\n";
    print {$client} "$line HTTP/1.1\r\nHost: $host\r\nX-Secret: 1\r\nConnection: close\r\n\r\n";
    $client->shutdown(1) if $line !~ /^CONNECT/;
    my $status = await(sub { my $n = sysread $client, my $head, 4096; $n && (split / /, $head)[1] || 'closed' });
    return ($status, MTLSTest::TLSBackend::Handle::slurp($recorded));
}
for my $line ('CONNECT x.internal:443', 'GET http://x.internal/', 'GET ftp://x.internal/', 'GET HTTP://X.internal/') {
    my ($status, $got) = forward('forward', $line, 'x.internal');
    is($status, 502, "$line: refused");
    is($got, '', "$line: nothing is sent");
    (undef, $got) = forward('open', $line, 'x.internal');
    like($got, qr/x\.internal/i, "$line: sent without a policy");
}
done_testing;
