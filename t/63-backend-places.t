# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Where a policy for backends may stand, and to what it applies: every way by which a request gets
# to a backend, with the policy in every place that is meant for it. Each way also leads to the
# wrong backend without a policy, so that what refuses is the policy and nothing else.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Ajp;
use MTLSTest::Await         qw(await);
use MTLSTest::BackendChecks qw(gateway_directives passes refuses unjudged verdict_of verdict_lines);
use MTLSTest::Files         qw(files_dir replace_file);
use MTLSTest::Layout        qw(more_modules);
use MTLSTest::TLSBackend;

my @places  = qw(if location locationmatch none proxy proxymatch);
my @ways    = qw(handler inside match pass perdir rewrite);
my $names   = 'orders.internal api.orders.internal';
my $policy  = "MTLSBackendTrust backends\nMTLSBackendRequire san.dns $names";
my %answers = (right => 'backend-orders', wrong => 'backend-other');

# A face for each way and place, so that a section for its URL is one for nothing else.
my @cases = map {
    my $way = $_;
    map { [$way, $_] } @places
} @ways;
my @groups = ('', 'member-', 'both-', map { "$_->[0]-$_->[1]-" } @cases);
my %faces  = (
    plain => { plain => 1 },
    ajp   => { plain => 1, serve => \&MTLSTest::Ajp::serve },
);
for my $group (@groups) {
    $faces{"$group$_"} = { cert => $answers{$_} } for keys %answers;
}
my $backend = MTLSTest::TLSBackend->start('places', %faces);

# https://127.0.0.1:PORT/NAME/
sub url {
    my ($face, $name) = @_;
    return $backend->url($face) . "/$name/";
}

# --- the ways: what leads from a path to a URL ----------------------------------------------------
my %way = (
    pass => sub {
        my ($path, $url) = @_;
        return "ProxyPass \"$path\" \"$url\"";
    },
    inside => sub {
        my ($path, $url) = @_;
        return "<Location \"$path\">\nProxyPass \"$url\"\n</Location>";
    },
    match => sub {
        my ($path, $url) = @_;
        return "ProxyPassMatch \"^$path(.*)\$\" \"$url\$1\"";
    },

    # takes the path of the file with it
    handler => sub {
        my ($path, $url) = @_;
        $url =~ s{/\z}{};
        return "<Location \"$path\">\nSetHandler \"proxy:$url\"\n</Location>";
    },
    rewrite => sub {
        my ($path, $url) = @_;
        return "RewriteRule \"^$path(.*)\" \"$url\$1\" [P]";
    },
    perdir => sub {
        my ($path, $url) = @_;
        $path =~ s{\A/}{};
        return "RewriteRule \"^$path(.*)\" \"$url\$1\" [P]";
    },
);

# --- the places: a section around the policy, for a path and the URL it leads to ------------------
my %place = (
    location      => sub { my ($path) = @_; return "Location \"$path\"" },
    locationmatch => sub { my ($path) = @_; return "LocationMatch \"^$path\"" },
    proxy         => sub { my (undef, $url) = @_; return "Proxy \"$url\"" },
    proxymatch    => sub { my (undef, $url) = @_; return 'ProxyMatch "^' . quotemeta($url) . '"' },
    if            => sub { my ($path) = @_; return "If \"%{REQUEST_URI} =~ m#^$path#\"" },
);
my ($lines, $directory) = ('', '');
for my $case (@cases) {
    my ($way, $place) = @$case;
    for my $face (qw(right wrong)) {
        my $path = "/$way-$place/$face/";
        my $url  = $backend->url("$way-$place-$face") . '/';
        my $line = $way{$way}->($path, $url) . "\n";
        if   ($way eq 'perdir') { $directory .= $line }
        else                    { $lines     .= $line }
        next if $place eq 'none';
        my $section = $place{$place}->($path, $url);
        my ($kind) = $section =~ /\A(\w+)/;
        $lines .= "<$section>\n$policy\n</$kind>\n";
    }
}

# --- balancers ------------------------------------------------------------------------------------
for my $face (qw(right wrong)) {
    my $member = $backend->url("member-$face");
    my $both   = $backend->url("both-$face");
    $lines .= <<"CONF";
<Proxy "balancer://section-$face">
    BalancerMember "@{[ $backend->url($face) ]}"
    $policy
</Proxy>
<Proxy "balancer://location-$face">
    BalancerMember "@{[ $backend->url($face) ]}"
</Proxy>
<Location "/balancer-location/$face/">
    $policy
</Location>
<Proxy "balancer://member-$face">
    BalancerMember "$member"
</Proxy>
<Proxy "$member">
    $policy
</Proxy>
<Proxy "balancer://both-$face">
    BalancerMember "$both"
    MTLSBackendTrust backends
    MTLSBackendSNI orders.internal
</Proxy>
<Proxy "$both">
    MTLSBackendRequire subject.CN backend
</Proxy>
<Proxy "balancer://none-$face">
    BalancerMember "@{[ $backend->url($face) ]}"
</Proxy>
CONF
    $lines .= "ProxyPass \"/balancer-$_/$face/\" \"balancer://$_-$face/\"\n"
        for qw(section location member both none);
}

# Two members, of which one is refused: the other is not tried in its place, and none is out of use.
$lines .= <<"CONF";
<Proxy "balancer://mixed">
    BalancerMember "@{[ $backend->url('right') ]}" route=right
    BalancerMember "@{[ $backend->url('wrong') ]}" route=wrong
    ProxySet stickysession=ROUTE
    $policy
</Proxy>
ProxyPass "/mixed/" "balancer://mixed/"
CONF

# --- merging --------------------------------------------------------------------------------------
my @merging = (

    # Rules add up, ...
    [
        'rules-both-hold', 'right',
        ["MTLSBackendRequire san.dns $names"],
        ['MTLSBackendTrust backends', 'MTLSBackendRequire subject.CN backend'],
        '200 ok'
    ],
    [
        'rules-of-proxy-fail', 'right',
        ['MTLSBackendRequire san.dns billing.internal'],
        ['MTLSBackendTrust backends', "MTLSBackendRequire san.dns $names"],
        '502 san_mismatch'
    ],
    [
        'rules-of-location-fail', 'right',
        ["MTLSBackendRequire san.dns $names"],
        ['MTLSBackendTrust backends', 'MTLSBackendRequire subject.CN nobody'],
        '502 subject_mismatch'
    ],

    # ... of the rest the later section's counts: a Location comes after a Proxy.
    [
        'trust-later-good', 'right',
        ['MTLSBackendTrust stranger', 'MTLSBackendSNI orders.internal'],
        ['MTLSBackendTrust backends'],
        '200 ok'
    ],
    [
        'trust-later-bad', 'right',
        ['MTLSBackendTrust backends', 'MTLSBackendSNI orders.internal'],
        ['MTLSBackendTrust stranger'],
        '502 chain_incomplete'
    ],
    [
        'mode-later-enforces',               'wrong',
        ['MTLSBackendMode report', $policy], ['MTLSBackendMode enforce'],
        '502 san_mismatch'
    ],
    ['mode-later-reports', 'wrong', [$policy], ['MTLSBackendMode report'],  '200 san_mismatch'],
    ['mode-alone',         'wrong', [],        ['MTLSBackendMode report'],  '200 -'],
    ['sni-alone',          'wrong', ['MTLSBackendSNI orders.internal'], [], '200 -'],
    ['ocsp-off-alone',     'wrong', [],                         ['MTLSBackendOCSP off'], '200 -'],
    ['mode-before',        'wrong', ['MTLSBackendMode report'], [$policy], '200 san_mismatch'],

    # MTLSInherit Off drops all of it.
    ['inherit-off', 'wrong', [$policy], ['MTLSInherit Off'], '200 -'],
    [
        'inherit-off-own',
        'wrong',
        [$policy, 'MTLSBackendRequire subject.CN orders.internal'],
        [
            'MTLSInherit Off',
            'MTLSBackendTrust backends',
            'MTLSBackendRequire san.dns billing.internal'
        ],
        '200 ok'
    ],
    [
        'inherit-off-mode',         'wrong',
        ['MTLSBackendMode report'], ['MTLSInherit Off', $policy],
        '502 san_mismatch'
    ],
    [
        'inherit-off-sni',                  'right',
        ['MTLSBackendSNI orders.internal'], ['MTLSInherit Off', 'MTLSBackendTrust backends'],
        '502 san_mismatch'
    ],
    ['client-mode-off', 'wrong', [$policy], ['MTLSMode off'], '502 san_mismatch'],
);
for my $case (@merging) {
    my ($name, $face, $in_proxy, $in_location) = @$case;
    my $url = url($face, $name);
    $lines .= join "\n", "ProxyPass \"/$name/\" \"$url\"", "<Proxy \"$url\">", @$in_proxy,
        '</Proxy>', "<Location \"/$name/\">", @$in_location, '</Location>', '';
}

# --- backends without TLS -------------------------------------------------------------------------
my %untold = (
    http  => $backend->url('plain', 'http'),
    fcgi  => $backend->url('plain', 'fcgi'),
    scgi  => $backend->url('plain', 'scgi'),
    uwsgi => $backend->url('plain', 'uwsgi'),
    ws    => $backend->url('plain', 'ws'),
    h2c   => $backend->url('plain', 'h2c'),
    ajp   => $backend->url('ajp',   'ajp'),
);
for my $scheme (sort keys %untold) {
    $lines .= "ProxyPass \"/$_/$scheme/\" \"$untold{$scheme}/\" timeout=2\n"
        for qw(no-tls no-tls-report open);
    $lines .=
          "<Location \"/no-tls-proxy/$scheme/\">\nSetHandler \"proxy:$untold{$scheme}\"\n"
        . "</Location>\n"
        if $scheme =~ /\A(?:http|fcgi|ajp)\z/;
}
my $socket = files_dir('places-socket') . '/no.sock';
$lines .= "ProxyPass \"/$_/unix/\" \"unix:$socket|http://unix.internal/\"\n" for qw(no-tls open);

# --- beside a policy for clients; in a page that includes others ----------------------------------
my $pages = files_dir('places-pages');
replace_file("$pages/502.html", "a page of ours\n");
replace_file("$pages/$_.shtml", "<!--#include virtual=\"/pass-proxy/$_/x\" -->\nend of page\n")
    for qw(right wrong);
for my $face (qw(right wrong)) {
    $lines .= "ProxyPass \"/twofold/$face/\" \"@{[ url($face, 'twofold') ]}\"\n";
}
$lines .= <<"CONF";
<Location "/twofold/">
    MTLSRequire subject.O "Big Partner Foo SA"
    $policy
</Location>
CONF

# --- the gateway ----------------------------------------------------------------------------------
my $all    = gateway_directives() . 'MTLSBackendMode enforce';
my $server = private(
    name    => 'places',
    modules => [more_modules(qw(proxy_balancer slotmem_shm lbmethod_byrequests proxy_connect))],
    config  => <<"CONF");
CustomLog "\@Logs\@/reasons" \\
    "%{X-Test-Id}i %>s %{MTLS_BACKEND_REASON}e [%{MTLS_BACKEND_RULE}e]"
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
<MTLSTrustStore "stranger">
    MTLSAnchor "\@PKI\@/stranger-root.crt"
</MTLSTrustStore>
<Directory "$pages">
    Require all granted
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory "\@Htdocs\@">
    Require all granted
    RewriteEngine On
    $directory
</Directory>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
$all
RewriteEngine On
$lines
<Location "/no-tls/">
    $policy
</Location>
<Location "/no-tls-proxy/">
    $policy
</Location>
<Location "/no-tls-report/">
    $policy
    MTLSBackendMode report
</Location>
Alias "/pages/" "$pages/"
ProxyPass "/page/" "@{[ url('wrong', 'page') ]}"
<Location "/page/">
    $policy
    ErrorDocument 502 /pages/502.html
</Location>
</VirtualHost>

# The whole of a virtual host; what stands in the server before it.
MTLSBackendMode report
Listen 127.0.0.1:\@Port_Whole\@
<VirtualHost 127.0.0.1:\@Port_Whole\@>
ServerName gateway.test
\@TLS\@
$all
MTLSBackendTrust backends
MTLSBackendSNI orders.internal
ProxyPass "/right/" "@{[ url('right', 'whole') ]}"
ProxyPass "/wrong/" "@{[ url('wrong', 'whole') ]}"
ProxyPass "/free/"  "@{[ url('wrong', 'free') ]}"
ProxyPass "/named/" "@{[ url('wrong', 'named') ]}"
<Proxy "@{[ url('wrong', 'named') ]}">
    MTLSBackendSNI billing.internal
</Proxy>
<Location "/free/">
    MTLSInherit Off
</Location>
</VirtualHost>
Listen 127.0.0.1:\@Port_Inherits\@
<VirtualHost 127.0.0.1:\@Port_Inherits\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
MTLSBackendTrust backends
ProxyPass "/wrong/" "@{[ url('wrong', 'inherits') ]}"
</VirtualHost>

# For whatever any section of <Proxy> matches.
Listen 127.0.0.1:\@Port_Star\@
<VirtualHost 127.0.0.1:\@Port_Star\@>
ServerName gateway.test
\@TLS\@
$all
ProxyPass "/right/" "@{[ url('right', 'star') ]}"
ProxyPass "/wrong/" "@{[ url('wrong', 'star') ]}"
<Proxy "*">
    $policy
</Proxy>
</VirtualHost>

# Forward proxies.
Listen 127.0.0.1:\@Port_Forward\@
<VirtualHost 127.0.0.1:\@Port_Forward\@>
ServerName gateway.test
$all
ProxyRequests On
AllowCONNECT 1-65535
<Proxy "*">
    $policy
</Proxy>
</VirtualHost>
Listen 127.0.0.1:\@Port_Open\@
<VirtualHost 127.0.0.1:\@Port_Open\@>
ServerName gateway.test
$all
ProxyRequests On
AllowCONNECT 1-65535
</VirtualHost>
CONF

# --- every way, every place -----------------------------------------------------------------------
sub face { return (backend => $backend, face => $_[0]) }

for my $case (@cases) {
    my ($way, $place) = @$case;
    my $title = "$way, policy in $place";
    my ($right, $wrong) = map { $server->get("/$way-$place/$_/x") } qw(right wrong);
    if ($place eq 'none') { unjudged($_, "$way, no policy") for $right, $wrong; next }
    passes($right, $title, face("$way-$place-right"));
    refuses($wrong, 'san_mismatch', $title, face("$way-$place-wrong"));
}
for my $place (qw(section location member both)) {
    my $of = $place =~ /\A(?:member|both)\z/ ? "$place-" : '';
    passes($server->get("/balancer-$place/right/x"), "balancer, $place", face("${of}right"));
    refuses(
        $server->get("/balancer-$place/wrong/x"),
        'san_mismatch', "balancer, $place",
        face("${of}wrong")
    );
}
unjudged($server->get("/balancer-none/$_/x"), "balancer, no policy, $_") for qw(right wrong);
$backend->fresh($_) for qw(right wrong);

# --- a refused member -----------------------------------------------------------------------------
for my $turn (1 .. 3) {
    my $asked = $backend->requests('right');
    my @wrong = (headers => ['Cookie: ROUTE=x.wrong']);
    refuses(
        $server->get('/mixed/x', @wrong, method => 'POST', body => 'body'),
        'san_mismatch', "a refused member, turn $turn",
        face('wrong')
    );
    is($backend->requests('right'), $asked, 'the other member is not asked');
    passes(
        $server->get('/mixed/x', headers => ['Cookie: ROUTE=x.right']),
        "the other member, turn $turn",
        face('right')
    );
}

# --- merging --------------------------------------------------------------------------------------
for my $case (@merging) {
    my ($name, $face, undef, undef, $expected) = @$case;
    my $r = $server->get("/$name/x");
    is(verdict_of($r), $expected, "merging: $name")
        or diag(join "\n", $r->errors);
    my $refused = $expected =~ /\A502/;
    is($backend->since($face), '1 of 1 closed, 0 bytes of HTTP', "merging: $name: no byte")
        if $refused;
    $backend->fresh($face);
}

# --- the server, a virtual host, <Proxy "*"> ------------------------------------------------------
{
    my @whole = (vhost => 'whole');
    my $r     = $server->get('/right/x', @whole);
    passes($r, 'virtual host', face('right'));
    is($r->header('X-SNI'), 'orders.internal', 'virtual host: SNI');
    refuses($server->get('/wrong/x', @whole), 'san_mismatch', 'virtual host', face('wrong'));
    $r = $server->get('/free/x', @whole);
    unjudged($r, 'virtual host, MTLSInherit Off');
    is($r->header('X-SNI'), '', 'virtual host, MTLSInherit Off: no SNI either');
    $backend->fresh('wrong');
    $r = $server->get('/named/x', @whole);
    passes($r, 'SNI of <Proxy> before that of the virtual host', face('wrong'));
    is($r->header('X-SNI'), 'billing.internal', '... and sent');
    passes(
        $server->get('/wrong/x', vhost => 'inherits'),
        'the mode of the server holds in virtual hosts',
        reason => 'san_mismatch',
        face('wrong')
    );
    passes($server->get('/right/x', vhost => 'star'), '<Proxy "*">', face('right'));
    refuses($server->get('/wrong/x', vhost => 'star'), 'san_mismatch', '<Proxy "*">',
        face('wrong'));
}

# --- report mode ----------------------------------------------------------------------------------
{
    my $r = $server->get('/mode-later-reports/x');
    passes($r, 'report mode', reason => 'san_mismatch', face('wrong'));
    is($r->header('X-Backend-Rule'), "san.dns $names", 'report mode: the rule in the environment');
    my @lines = verdict_lines($r);
    is(scalar @lines, 1, 'report mode: one line');
    like(
        $lines[0],
        qr/:warn\].* verdict=report reason=san_mismatch rule=/,
        'report mode: a warning'
    );
}

# --- backends without TLS -------------------------------------------------------------------------
for my $scheme (sort keys %untold) {
    my $face = $scheme eq 'ajp' ? 'ajp' : 'plain';
    my @how =
        $scheme eq 'ws'
        ? (headers => ['Connection: Upgrade', 'Upgrade: websocket'])
        : ();
    my $number = () = $backend->connections($face);
    $server->get("/open/$scheme/x", @how);
    my $heard = sub {
        my @all = $backend->connections($face);
        return grep { $_->{bytes} } @all[$number .. $#all];
    };
    ok(await($heard), "$scheme without a policy: bytes arrive");
    $backend->settle($face);
    $backend->fresh($face);
    for my $path ('no-tls', $scheme =~ /\A(?:http|fcgi|ajp)\z/ ? 'no-tls-proxy' : ()) {
        my $r = $server->get("/$path/$scheme/x", @how);
        refuses($r, 'no_tls', "$scheme, $path");
        is($backend->heard_since($face), '0 bytes of HTTP', "$scheme, $path: no byte");
    }
    next if $scheme ne 'http';
    passes(
        $server->get("/no-tls-report/$scheme/x", @how),
        "$scheme, report mode",
        reason => 'no_tls',
        face($face)
    );
}
refuses($server->get('/no-tls/unix/x'), 'no_tls', 'a socket');
isnt(verdict_of($server->get('/open/unix/x')), '502 no_tls', 'a socket, without a policy');

# --- forward proxies ------------------------------------------------------------------------------
my $forwarded = 0;

sub forward {
    my ($vhost, $line) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $server->port($vhost),
        Timeout  => 10
    ) or die "cannot connect: $!\n";
    my $id = "forward-$$-" . ++$forwarded;
    print {$socket} "$line HTTP/1.0\r\nHost: forward.test\r\nX-Test-Id: $id\r\n\r\n";
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 60;
    my $text = '';
    while ($text !~ /\r\n\r\n/) { sysread($socket, $text, 65_536, length $text) or last }
    alarm 0;
    return MTLSTest::Response->from_text($text, id => $id, log => $server->log);
}
for my $face (qw(right wrong)) {
    my $port = $backend->port($face);
    $backend->fresh($face);
    refuses(forward('forward', "CONNECT 127.0.0.1:$port"), 'no_tls', "CONNECT to $face");
    is($backend->heard_since($face), '0 bytes of HTTP', "CONNECT to $face: no byte");
    is(forward('open', "CONNECT 127.0.0.1:$port")->status, 200, "CONNECT to $face, no policy");
    $backend->settle($face);
    $backend->fresh($face);
    my $r = forward('open', "GET https://127.0.0.1:$port/x");
    unjudged($r, "forward proxy to $face, no policy");
    $backend->fresh($face);
}
passes(forward('forward', 'GET ' . $backend->url('right') . '/x'), 'forward proxy', face('right'));
refuses(
    forward('forward', 'GET ' . $backend->url('wrong') . '/x'),
    'san_mismatch', 'forward proxy',
    face('wrong')
);

# --- a policy for clients, too --------------------------------------------------------------------
{
    my $r = $server->get('/twofold/right/x', cert => 'partner');
    allowed($r, 'client and backend are right');
    passes($r, 'client and backend are right', face('right'));
    $r = $server->get('/twofold/wrong/x', cert => 'partner');
    outcome_is($r, '502 allow ok', 'the client is right, the backend is not');
    refuses($r, 'san_mismatch', 'the client is right, the backend is not', face('wrong'));
    for my $face (qw(right wrong)) {
        $r = $server->get("/twofold/$face/x");
        denied($r, 'no_certificate', "a client without certificate, $face backend");
        is(verdict_of($r),         '403 -',                          '... which is not asked');
        is($backend->since($face), '0 of 0 closed, 0 bytes of HTTP', '... nor connected to');
    }
}

# --- pages and logs -------------------------------------------------------------------------------
{
    my $r = $server->get('/page/x');
    is($r->status, 502,                'ErrorDocument: the status');
    is($r->body,   "a page of ours\n", 'ErrorDocument: the page');
    my $log   = $server->dir . '/reasons';
    my $entry = sub {
        my ($request) = @_;
        my $line = await(
            sub {
                open my $fh, '<', $log or die "cannot read $log: $!\n";
                my ($found) = grep { index($_, $request->id . ' ') == 0 && /\n\z/ } <$fh>;
                return $found;
            }
        );
        return ($line // '') =~ s/\A\S+ |\n\z//gr;
    };
    is($entry->($r), "502 san_mismatch [san.dns $names]", 'ErrorDocument: the log');
    is(
        $entry->($server->get('/pass-proxy/wrong/x')),
        "502 san_mismatch [san.dns $names]",
        'a refused one in the log'
    );
    is($entry->($server->get('/pass-proxy/right/x')), '200 ok [-]', 'an allowed one in the log');
    is($entry->($server->get('/pass-none/wrong/x')),  '200 - [-]',  'and one without a policy');
}

done_testing;
