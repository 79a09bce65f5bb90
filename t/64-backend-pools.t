# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Connections to backends that stay open and are used again: never for a policy, a name or a virtual
# host they were not judged for, nor after what they were judged by has changed; and used again, in
# fact, where nothing has.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await         qw(await);
use MTLSTest::BackendChecks qw(gateway_directives passes refuses unjudged verdict_of verdict_lines);
use MTLSTest::Files         qw(files_dir pki_text replace_file);
use MTLSTest::TLSBackend;

my $dir   = files_dir('pools');
my $names = 'san.dns orders.internal api.orders.internal';
my @faces = qw(shared named hosts alike posted turned once list crl anchor pin excluded kept);

# In TLS 1.2 a server may ask for a second handshake at any time, and then be somebody else.
sub turn_coat { my ($owner) = @_; return shake_again($owner, 'backend-other') }
sub stay_true { my ($owner) = @_; return shake_again($owner, 'backend-orders') }

sub shake_again {
    my ($owner, $cert) = @_;
    return if $owner->{turned}++;
    my $ssl  = $owner->{ssl};
    my $file = pki_dir() . "/$cert";
    Net::SSLeay::use_certificate_file($ssl, "$file.crt", Net::SSLeay::FILETYPE_PEM());
    Net::SSLeay::use_PrivateKey_file($ssl, "$file.key", Net::SSLeay::FILETYPE_PEM());
    Net::SSLeay::renegotiate($ssl);
    Net::SSLeay::do_handshake($ssl);
    return;
}

# A session that is resumed brings no certificate.
sub without_sessions {
    my ($ctx) = @_;
    Net::SSLeay::CTX_set_session_cache_mode($ctx, 0);
    Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_NO_TICKET());
    return;
}

sub other_certificate {
    my ($name) = @_;
    make_pki(
        'leaf',  'backend-renewed', '--issuer', 'carc-i102l',
        '--san', "dns:$name",       '--eku',    'serverAuth'
    );
    return;
}

# One answer a connection, which does not say that it is the last.
sub answer_once {
    my ($handle, $owner, @told) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) { sysread($handle, $head, 65_536, length $head) or return }
    print {$handle} join "\r\n", 'HTTP/1.1 200 OK', @told, 'Content-Length: 0', '', '';
    return;
}
my %turns = (
    cert          => 'backend-orders',
    version       => '1.2',
    after_request => \&turn_coat,
    context       => \&without_sessions
);
my $backend = MTLSTest::TLSBackend->start(
    'pools',
    (map { ($_ => { cert => 'backend-orders' }) } @faces),
    wrong    => { cert => 'backend-other' },
    reported => { cert => 'backend-other' },
    short    => { cert => 'backend-short' },
    renewed  => { cert => 'backend-renewed', serve   => \&answer_once },
    resumes  => { cert => 'backend-orders',  version => '1.2', after_request => \&turn_coat },
    (map { ($_ => {%turns}) } qw(turns turns_free)),
    stays => { %turns, after_request => \&stay_true }
);

# --- files that change ----------------------------------------------------------------------------
make_pki('crl', 'backend-orders-listed', '--issuer', 'carc-i102l', '--revoked', 'backend-orders');
my $spki     = spki_of('backend-orders');
my %versions = (
    list     => ["orders.internal\n",                    "billing.internal\n"],
    crl      => [pki_text('carc-i102l.crl'),             pki_text('backend-orders-listed.crl')],
    anchor   => [pki_text('root.crt', 'carc-i102l.crt'), pki_text('stranger-root.crt')],
    pin      => [pki_text('carc-i102l.crt'),             pki_text('carc-i101l.crt')],
    excluded => ["# nobody\n",                           "$spki\n"],
);
my %reason = (
    list     => 'san_mismatch',
    crl      => 'revoked_crl',
    anchor   => 'chain_incomplete',
    pin      => 'pin_mismatch',
    excluded => 'excluded'
);
replace_file("$dir/$_", $versions{$_}[0]) for keys %versions;
my %changing = (
    list   => "MTLSBackendTrust backends\nMTLSBackendRequire san.dns \"file:$dir/list\"",
    crl    => "MTLSBackendTrust listed\nMTLSBackendRequire $names",
    anchor => "MTLSBackendTrust changing\nMTLSBackendRequire $names",
    pin    => "MTLSBackendTrust backends\nMTLSBackendRequire $names\n"
        . "MTLSBackendRequire issuer.cert \"$dir/pin\"",
    excluded => "MTLSBackendTrust backends\nMTLSBackendRequire $names\n"
        . "MTLSBackendRequire not spki \"file:$dir/excluded\"",
);

# --- the gateway ----------------------------------------------------------------------------------
my $good = "MTLSBackendTrust backends\nMTLSBackendRequire $names";
my $bad  = "MTLSBackendTrust backends\nMTLSBackendRequire san.dns billing.internal";
my $url  = sub { $backend->url($_[0]) . '/' };
my ($passes, $sections) = ('', '');

# place => [face, policy]
my %at = (
    one        => ['shared',     $good],
    two        => ['shared',     $bad],
    three      => ['shared',     "$good\nMTLSBackendRequire subject.O Carcano"],
    free       => ['shared',     ''],
    w_free     => ['wrong',      ''],
    w_one      => ['wrong',      $good],
    w_two      => ['wrong',      $bad],
    r_report   => ['reported',   "$good\nMTLSBackendMode report"],
    r_one      => ['reported',   $good],
    post       => ['posted',     $good],
    post_bad   => ['posted',     $bad],
    turns      => ['turns',      $good],
    stays      => ['stays',      $good],
    resumes    => ['resumes',    $good],
    turns_free => ['turns_free', ''],
    short      => ['short',      $good],
    renewed    => ['renewed',    $good],
    kept       => ['kept',       $good],
    (map { ($_ => [$_, $changing{$_}]) } keys %changing),
);
for my $place (sort keys %at) {
    my ($face, $policy) = @{ $at{$place} };
    $passes   .= "ProxyPass \"/$place/\" \"@{[ $url->($face) ]}\"\n";
    $sections .= "<Location \"/$place/\">\n$policy\n</Location>\n";
}

# One worker for both: those of ProxyPass would be two.
my $named = $backend->url('named');
my $hosts = $backend->url('hosts');
my $once  = $backend->url('once');
my $one_child =
    mpm() eq 'prefork'
    ? ''
    : "StartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25";

# Connections are told apart by what mod_ssl is set up by, however many sections do that.
my $others = join "\n",
    map {"<Proxy \"https://other-$_.internal/\">\nSSLProxyVerifyDepth 2\n</Proxy>"} 1 .. 70;
my $server = private(
    name => 'pools',
    ($one_child ? (processes => $one_child) : ()),
    config => <<"CONF");
KeepAliveTimeout 300
MTLSReloadInterval 1
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
<MTLSTrustStore "listed">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
    MTLSCRL "$dir/crl"
    MTLSCRLCheck leaf
</MTLSTrustStore>
<MTLSTrustStore "changing">
    MTLSAnchor "$dir/anchor"
</MTLSTrustStore>

# Inherited by all virtual hosts, which so have the same worker.
ProxyPass "/hosts/" "$hosts/"
ProxyPass "/alike/" "@{[ $backend->url('alike') ]}/"
<Location "/alike/">
    MTLSBackendRequire $names
</Location>

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
$passes
ProxyPass "/once/" "$once/" disablereuse=on
<Location "/once/">
    $good
</Location>
<Proxy "$named">
    ProxySet keepalive=on
</Proxy>
RewriteEngine On
RewriteRule "^/named/(.*)" "$named/\$1" [P]
<Proxy "$named/first">
    MTLSBackendTrust backends
    MTLSBackendSNI orders.internal
</Proxy>
<Proxy "$named/second">
    MTLSBackendTrust backends
    MTLSBackendSNI api.orders.internal
</Proxy>
$others
<Proxy "$named/third">
    MTLSBackendTrust backends
    MTLSBackendSNI billing.internal
</Proxy>
$sections
<Location "/hosts/">
    $good
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Other\@
<VirtualHost 127.0.0.1:\@Port_Other\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
<Location "/hosts/">
    $bad
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Third\@
<VirtualHost 127.0.0.1:\@Port_Third\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
MTLSBackendTrust backends
MTLSBackendSNI api.orders.internal
</VirtualHost>

# The same policy, and other CAs: what "vhost" is.
Listen 127.0.0.1:\@Port_Carcano\@
<VirtualHost 127.0.0.1:\@Port_Carcano\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
SSLProxyCACertificateFile "\@PKI\@/ca-bundle.crt"
</VirtualHost>
Listen 127.0.0.1:\@Port_Stranger\@
<VirtualHost 127.0.0.1:\@Port_Stranger\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
SSLProxyCACertificateFile "\@PKI\@/stranger-root.crt"
</VirtualHost>
CONF

# One connection of a client for all: so one child of prefork, with its pools, answers.
my %client;

sub ask {
    my ($path, %o) = @_;
    my $vhost = delete $o{vhost} // 'main';
    my $tls   = $client{$vhost} //= $server->tls(vhost => $vhost);
    my $r     = $tls->request($path, %o);
    delete $client{$vhost}
        if $tls->error || !$r->status || lc($r->header('Connection') // '') eq 'close';
    return $r;
}

sub connection { my ($r) = @_; return $r->header('X-Connection') // 'none' }

# --- used again -----------------------------------------------------------------------------------
{
    my @seen = map { my $r = ask("/kept/$_"); passes($r, "kept, $_"); connection($r) } 1 .. 8;
    is_deeply(\@seen, [('kept ' . ($seen[0] =~ /(\d+)/)[0]) x 8], 'one connection for all');
    is(scalar(my @all = $backend->connections('kept')), 1, 'and no other was made');
    @seen = map { my $r = ask("/once/$_"); passes($r, "disablereuse, $_"); connection($r) } 1 .. 3;
    my %different = map { $_ => 1 } @seen;
    is(scalar keys %different, 3, 'disablereuse: one connection each');
}

# --- two sections, one worker ---------------------------------------------------------------------
# Whatever came before: what is refused never adds to what the backend has seen.
my $asked = 0;
for my $turn (1 .. 4) {
    for my $place (qw(one two free two three one two)) {
        my $r     = ask("/$place/$turn");
        my $title = "/$place/, turn $turn";
        if    ($place eq 'two')  { refuses($r, 'san_mismatch', $title) }
        elsif ($place eq 'free') { unjudged($r, $title) }
        else                     { passes($r, $title) }
        $asked++ if $place ne 'two';
        is($backend->requests('shared'), $asked, "$title: what the backend has seen");
    }
}
{
    my @same = map { connection(ask("/$_/same")) } qw(one one one);
    is_deeply(\@same, [($same[0]) x 3], 'after all that a connection stays with its policy');
    my @all = $backend->connections('shared');
    is_deeply([grep { $_->{sni} ne '' } @all], [], 'no SNI where none is asked for');
}

# A connection that was made for nobody in particular is judged when somebody asks.
for my $case (
    ['w_free', '200 -'],
    ['w_one',  '502 san_mismatch'],
    ['w_free', '200 -'],
    ['w_two',  '200 ok'],
    ['w_one',  '502 san_mismatch'],
    ['w_two',  '200 ok'],
    ['w_free', '200 -'],
    ['w_one',  '502 san_mismatch'],
    )
{
    my ($place, $expected) = @$case;
    my $before = $backend->requests('wrong');
    my $r      = ask("/$place/x");
    is(verdict_of($r), $expected, "the other certificate: /$place/") or diag($r->errors);
    is(
        $backend->requests('wrong') - $before,
        $expected =~ /\A200/ ? 1 : 0,
        "the other certificate: /$place/: what the backend has seen"
    );
}
for my $place (qw(r_report r_one r_report r_one)) {
    my $before = $backend->requests('reported');
    my $r      = ask("/$place/x");
    if ($place eq 'r_one') { refuses($r, 'san_mismatch', 'enforced after reported') }
    else                   { passes($r, 'reported', reason => 'san_mismatch') }
    is(
        $backend->requests('reported') - $before,
        $place eq 'r_one' ? 0 : 1,
        'what the backend has seen'
    );
}
{
    my @lines = map { verdict_lines(ask("/r_report/$_")) } 1 .. 3;
    is(scalar @lines, 3, 'reported on a connection that is used again: one line a request');
}

# --- two names, one worker ------------------------------------------------------------------------
{
    my %sni = (first => 'orders.internal', second => 'api.orders.internal');
    for my $place (qw(first second second first third second first third)) {
        my $r = ask("/named/$place");
        if ($place eq 'third') { refuses($r, 'san_mismatch', 'a third name'); next }
        passes($r, "name of $place");
        is($r->header('X-SNI'), $sni{$place}, "name of $place: SNI of its connection");
    }
    my @same = map { connection(ask('/named/first')) } 1 .. 3;
    is_deeply(\@same, [($same[0]) x 3], 'the same name: the same connection');
}

# --- virtual hosts with the same worker -----------------------------------------------------------
for my $turn (1 .. 3) {
    my $r = ask('/hosts/x');
    passes($r, "first virtual host, turn $turn");
    is($r->header('X-SNI'), '', "first virtual host, turn $turn: SNI");
    my $before = $backend->requests('hosts');
    refuses(ask('/hosts/x', vhost => 'other'), 'san_mismatch', "second virtual host, turn $turn");
    is($backend->requests('hosts'), $before, "second virtual host, turn $turn: nothing arrived");
    $r = ask('/hosts/x', vhost => 'third');
    passes($r, "third virtual host, turn $turn");
    is($r->header('X-SNI'), 'api.orders.internal', "third virtual host, turn $turn: SNI");
}

for my $turn (1 .. 3) {
    passes(ask('/alike/x', vhost => 'carcano'), "the same policy, the right CAs, turn $turn");
    my $before = $backend->requests('alike');
    refuses(ask('/alike/x', vhost => 'stranger'),
        'chain_incomplete', "the same policy, other CAs, turn $turn");
    is($backend->requests('alike'), $before, "the same policy, other CAs: nothing arrived");
}

# --- bodies ---------------------------------------------------------------------------------------
my $body = join '', map { sprintf "line %06d of a body\n", $_ } 1 .. 12_000;

replace_file("$dir/body", $body);

sub posted {
    my ($path, %how) = @_;
    my @headers = $how{expect} ? 'Expect: 100-continue' : 'Expect:';
    push @headers, 'Transfer-Encoding: chunked' if $how{chunked};
    return $server->get(
        $path,
        method  => 'POST',
        body    => "\@$dir/body",
        headers => \@headers
    );
}
for my $how ({}, { expect => 1 }, { chunked => 1 }) {
    my $name = join(' ', sort keys %$how) || 'plain';
    for my $place (qw(post post_bad post post post_bad post)) {
        my $before = $backend->requests('posted');
        my $r      = posted("/$place/x", %$how);
        my $title  = "a body ($name) for /$place/";
        if ($place eq 'post_bad') {
            refuses($r, 'san_mismatch', $title);
            is($backend->requests('posted'), $before, "$title: nothing arrived");
            next;
        }
        passes($r, $title);
        ok(index($r->body, $how->{chunked} ? substr($body, 0, 1000) : $body) > 0,
            "$title: arrived whole");
        is($backend->requests('posted'), $before + 1, "$title: once");
    }
}

# --- a second handshake ---------------------------------------------------------------------------
{
    for my $n (1, 2) {
        my $r = $server->get("/turns/$n");
        refuses($r, 'san_mismatch', "somebody else since a second handshake, $n");
        unlike($r->body, qr{GET /turns}, '... nor anything of it');
    }
    my @all = $backend->connections('turns');
    is_deeply([map { $_->{requests} } @all], [1, 1], 'nothing more is sent there');
    my @same = map { ask("/stays/$_") } 1, 2;
    passes($same[$_], 'still the same since a second handshake') for 0, 1;
    is(connection($same[1]), connection($same[0]), '... on the same connection');
    unjudged($server->get("/turns_free/$_"), "without a policy nobody minds, $_") for 1, 2;
    my $first = ask('/resumes/1');
    passes($first, 'a second handshake of the same session');
    my $second = ask('/resumes/2');
    passes($second, '... and a request after it');
    is(connection($second), connection($first), '... on the same connection');
}

# --- a connection that is made anew ---------------------------------------------------------------
# The backend closes after each answer, and has another certificate the next time. Until it has
# closed a request could go to where nobody listens any more.
sub ask_anew {
    my ($path) = @_;
    $backend->since('renewed');
    return ask($path);
}
for my $turn (1, 2) {
    other_certificate('orders.internal');
    passes(ask_anew("/renewed/$_"), "turn $turn: its certificate, request $_") for 1, 2;
    other_certificate('billing.internal');
    my $asked = $backend->requests('renewed');
    refuses(ask_anew("/renewed/$_"), 'san_mismatch', "turn $turn: another one, request $_")
        for 1, 2;
    is($backend->requests('renewed'), $asked, "turn $turn: nothing arrives");
}

# --- what it was judged by has changed ------------------------------------------------------------
sub until_it_is {
    my ($path, $expected, $title) = @_;
    my $r;
    await(sub { $r = ask($path); return verdict_of($r) eq $expected });
    is(verdict_of($r), $expected, $title) or diag(join "\n", $r->errors);
    return $r;
}
for my $file (sort keys %changing) {
    my $before = ask("/$file/x");
    passes($before, "$file: at first");
    is(connection(ask("/$file/x")), connection($before), "$file: used again");
    for my $round (1, 2) {
        replace_file("$dir/$file", $versions{$file}[1]);
        until_it_is("/$file/x", "502 $reason{$file}", "$file: changed, round $round");
        my $asked = $backend->requests($file);
        refuses(ask("/$file/$_"), $reason{$file}, "$file: changed, request $_") for 1 .. 3;
        is($backend->requests($file), $asked, "$file: nothing arrives any more");
        replace_file("$dir/$file", $versions{$file}[0]);
        my $r = until_it_is("/$file/x", '200 ok', "$file: changed back, round $round");
        is(connection(ask("/$file/x")), connection($r), "$file: used again");
    }
}
is(
    connection(ask('/kept/still')),
    'kept ' . ($backend->connections('kept'))[0]{number},
    'what no change concerns keeps its connection'
) or diag(explain [$backend->connections('kept')]);

# --- a certificate that ends while its connection is open -----------------------------------------
{
    my $r;
    for my $seconds (6, 12, 24) {    # a machine that stands still needs one that ends later
        make_pki(
            'leaf',      'backend-short', '--issuer', 'carc-i102l',
            '--seconds', $seconds,        '--san',    'dns:orders.internal',
            '--eku',     'serverAuth'
        );
        $r = ask('/short/x');
        last if verdict_of($r) ne '502 expired';
    }
    passes($r, 'a certificate that is about to end');
    until_it_is('/short/x', '502 expired', '... has ended');
    my $asked = $backend->requests('short');
    refuses(ask('/short/x'), 'expired', 'an expired one');
    is($backend->requests('short'), $asked, 'nothing arrives any more');
}

is(scalar($server->log->matching(qr/MTLSBackendMode report: this section refuses no backend/)),
    1, 'a warning at start names the section in report mode');
done_testing;
