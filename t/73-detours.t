# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Ways to a backend that are not straight: internal redirects, error pages, rewriting, members of a
# balancer that fail, forward proxies. What arrives is what the last location exports, once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Backend;
use MTLSTest::Backends;
use MTLSTest::Layout qw(free_port);
use MTLSTest::Seen;
use MTLSTest::Traces qw(base64_of signs_in traces_of);

my $backends = MTLSTest::Backends->start('detours');
my $dead     = free_port();

# Takes the request and says nothing.
my $closer = MTLSTest::Backend->start(
    serve => sub {
        my ($client) = @_;
        sysread $client, my $some, 65_536;
    }
)->port;

my $echo   = 'http://127.0.0.1:' . $backends->echo->port;
my $passes = join '',
    map { qq{ProxyPass "/$_/" "} . $backends->url($_) . qq{"\n} } $backends->schemes;
my @balanced = qw(http https h2c fcgi scgi uwsgi ajp);

# The second member is asked only when the first cannot be.
sub balancer {
    my ($name, $scheme, $first) = @_;
    my ($url, $path) = $backends->url($scheme) =~ m{\A([^/]+//[^/]+)(/.*)\z};
    return <<"CONF";
<Proxy "balancer://$name">
    BalancerMember "$first" lbset=0
    BalancerMember "$url" lbset=1
</Proxy>
ProxyPass "/$name/" "balancer://$name$path"
CONF
}
my $balancers = join '',
    map({ (
            balancer("dead-$_", $_, "$_://127.0.0.1:$dead"),
            balancer("lost-$_", $_, "$_://127.0.0.1:$dead")
    ) } @balanced),
    balancer('closes-ajp',  'ajp',  "ajp://127.0.0.1:$closer"),
    balancer('closes-http', 'http', "http://127.0.0.1:$closer");
my $modules = join "\n",
    map { "LoadModule ${_}_module \"" . MTLSTest::Layout::apxs('LIBEXECDIR') . "/mod_$_.so\"" }
    qw(slotmem_shm proxy_balancer lbmethod_byrequests proxy_connect);

my @pages = qw(http fcgi ajp);
my $pages = join '', map {
    my $scheme = $_;
    (
        qq{<Location "/http/enforce/page-$scheme">\n},
        "    ErrorDocument 403 /$scheme/free/status/403\n</Location>\n",
        map {
            (
                qq{<LocationMatch "^/(?:gone|http)/enforce/sorry-$scheme-$_">\n},
"    ErrorDocument 503 /$scheme/$_/status/503\n    ErrorDocument 500 /$scheme/$_/status/503\n",
                "</LocationMatch>\n"
            )
        } qw(enforce serial other free)
    );
} @pages;
my $rewrites = join "\n    ",
    map { qq{RewriteRule "/section/$_\$" "} . $backends->url($_) . qq{section" [P]} }
    qw(http h2c fcgi scgi uwsgi ajp);

my $server = private(name => 'detours', config => <<"CONF");
$modules
<Directory "\@Htdocs\@">
    Require all granted
    Options FollowSymLinks
</Directory>
<Directory "\@Htdocs\@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
@{[ MTLSTest::Backends::directives() ]}
ProxyIOBufferSize 65536

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
SSLOptions +StdEnvVars +ExportCertData
$passes
$balancers
<Proxy "balancer://ill">
    BalancerMember "$echo" lbset=0
    BalancerMember "http://127.0.0.1:@{[ MTLSTest::Backend->start->port ]}" lbset=1
    ProxySet failonstatus=503
</Proxy>
ProxyPass "/ill/" "balancer://ill/"
ProxyPass "/gone/" "http://127.0.0.1:$dead/" retry=0
<LocationMatch "^/[a-z0-9-]+/enforce">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-Cert "%{mtls:cert}"
</LocationMatch>
<LocationMatch "^/[a-z0-9-]+/other">
    MTLSRequire subject.O "Other Partner SA"
    MTLSMode report
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</LocationMatch>
<LocationMatch "^/[a-z0-9-]+/serial">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport none
    MTLSExportHeader X-Client-Serial "%{mtls:serial}"
</LocationMatch>
<Location "/refused">
    MTLSRequire subject.O "Another Partner"
</Location>
<Location "/start">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-Start "%{mtls:sha256}"
</Location>
Alias "/start/" "\@Htdocs\@/cgi-bin/"
Alias "/free/"  "\@Htdocs\@/cgi-bin/"

# Error pages from backends: /X/enforce/page-Y is refused with a page of Y's, /gone/Z/sorry-Y fails
# and has one, with what Z exports there
$pages
<Location "/http/enforce/page-itself">
    ErrorDocument 403 /http/enforce/page-itself
</Location>
ProxyErrorOverride On 500

# Rewriting: by the server, by a section, by one that rewrites to another
RewriteEngine on
RewriteRule "^/rewritten/([a-z0-9]+)\$" "/\$1/enforce" [PT]
<Location "/section">
    RewriteEngine on
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    $rewrites
</Location>
<Location "/first">
    RewriteEngine on
    MTLSRequire subject.O "Other Partner SA" "Big Partner Foo SA"
    MTLSExportHeader X-Client-Start "%{mtls:sha256}"
    RewriteRule "/first/([a-z0-9]+)\$" "/\$1/enforce" [L]
</Location>
<Directory "\@Htdocs\@/sub/free">
    DirectoryIndex /http/enforce/index
</Directory>
<Directory "\@Htdocs\@/sub/listing">
    DirectoryIndex disabled
    FallbackResource /ajp/enforce/fallback
</Directory>
</VirtualHost>

Listen 127.0.0.1:\@Port_Forward\@
<VirtualHost 127.0.0.1:\@Port_Forward\@>
ServerName forward.test
\@TLS\@
ProxyRequests On
AllowCONNECT @{[ $backends->echo->port ]}
MTLSRequire subject.O "Big Partner Foo SA"
MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</VirtualHost>
CONF

my $cn     = 'client.bigpartner.example';
my $serial = serial_of('partner');
my $sha256 = sha256_of('partner');
my @forged = map { ("$_: forged", $_ =~ s/-/_/gr . ': forged') } qw(X-Client-Name X-Client-Cert
    X-Client-Serial X-Client-Start);

sub ask {
    my ($path, $cert, %o) = @_;
    return $server->tls(vhost => $o{vhost}, cert => $cert)
        ->request($path, %o,
        headers => [@forged, 'Connection: X-Client-Name', @{ $o{headers} // [] }]);
}

sub seen { my ($r) = @_; return MTLSTest::Seen->new($r->body) }

# Our headers in what a backend got: "name" for the whole name once, and so on, in order.
sub headers_in {
    my ($r) = @_;
    my $seen = seen($r);
    my %expected =
        ('X-Client-Name' => $cn, 'X-Client-Serial' => lc $serial, 'X-Client-Start' => $sha256);
    my @found;
    for my $name (sort keys %expected) {
        my @values = $seen->values($name) or next;
        push @found, lc "@values" eq $expected{$name} ? $name =~ s/.*-//r : "$name: @values";
    }
    return lc join ' ', @found, $r->body =~ /forged/ ? 'forged' : ();
}

sub ours_of_before {
    my ($r) = @_;
    return join ' ', grep { /\A(?:REDIRECT_)+(?:AJP_)?MTLS_/ } sort keys %{ seen($r)->env };
}

# --- a CGI's local redirect (P8, P9) --------------------------------------------------------------
for my $scheme ($backends->schemes) {
    my $test = "local redirect to $scheme";
    my $r    = ask("/free/redirect.cgi?/$scheme/enforce", 'partner');
    allowed($r, "$test: allowed there");
    is(headers_in($r), 'name', "$test: its header, once");
    denied(ask("/free/redirect.cgi?/$scheme/enforce"), 'no_certificate', "$test: refused there");
    $r = ask("/start/redirect.cgi?/$scheme/serial", 'partner');
    allowed($r, "$test, which exports something else");
    is(headers_in($r), 'serial',
        "$test, which exports something else: that, and nothing of before");
    is(ours_of_before($r),            '',    "$test: no variables of before");
    is(seen($r)->env->{MTLS_SUBJECT}, undef, "$test, which exports no variables: there are none");
    $r = ask("/start/redirect.cgi?/$scheme/other", 'partner');
    outcome_is($r, '200 report subject_mismatch', "$test, which would refuse it");
    is(traces_of('partner', seen($r)), '', "$test, which would refuse it: no trace");
    is(ours_of_before($r),             '', "$test, which would refuse it: no variables of before");
}

# --- error pages ----------------------------------------------------------------------------------
for my $scheme (@pages) {
    for my $cert (undef, 'other-partner', 'self-signed') {
        my $test = "$scheme, page of a refusal, " . ($cert // 'no certificate');
        my $r    = ask("/http/enforce/page-$scheme", $cert);
        is($r->status, 403, $test);
        like($r->body, qr{/free/}, "$test: from the backend");
        is(headers_in($r),             '', "$test: no header");
        is(traces_of($cert, seen($r)), '', "$test: no trace of the certificate") if $cert;
    }
    for my $case (['enforce', 'name'], ['serial', 'serial'], ['other', ''], ['free', '']) {
        my ($place, $expected) = @$case;
        my $test = "$scheme, page of a failure, $place";
        my $r    = ask("/gone/enforce/sorry-$scheme-$place", 'partner');
        is($r->status,                     503,       $test);
        is(headers_in($r),                 $expected, "$test: what the page's location exports");
        is(ours_of_before($r),             '',        "$test: no variables of before");
        is(traces_of('partner', seen($r)), '',        "$test: no trace") if $place eq 'other';
        $r = ask("/http/enforce/sorry-$scheme-$place/status/500", 'partner');
        like($r->status, qr/\A50[03]\z/, "$test, of the backend's own error");
        is(headers_in($r), $expected, "$test, of the backend's own error: what is exported there");
    }
}
{
    my $r = ask('/http/enforce/page-itself', 'other-partner');
    denied($r, 'subject_mismatch', 'a page that is refused itself');
    unlike($r->body, qr{GET /}, 'a page that is refused itself: built in');
    is(scalar(my @lines = $r->denials), 1, 'a page that is refused itself: one line in the log');
}

# --- rewriting, DirectoryIndex (P6, P7) -----------------------------------------------------------
for my $scheme (qw(http h2c fcgi scgi uwsgi ajp)) {
    for my $way ('rewritten', 'section', 'first') {
        next if "$scheme $way" eq 'uwsgi section';    # mod_rewrite knows no URL of that scheme
        my $test = "$scheme, $way";
        my $r    = ask("/$way/$scheme", 'partner');
        allowed($r, "$test: allowed");
        is(headers_in($r),                   'name', "$test: its header, once");
        is(seen($r)->env->{MTLS_SUBJECT_CN}, $cn,    "$test: and the variable")
            if $backends->has_variables($scheme);
        denied(ask("/$way/$scheme"), 'no_certificate', "$test: refused without certificate");
        denied(ask("/$way/$scheme", 'other-partner'),
            'subject_mismatch', "$test: and another subject");
    }
}
for my $path ('/sub/free/', '/sub/listing/none') {
    my $r = ask($path, 'partner');
    allowed($r, "$path leads to a backend");
    is(headers_in($r),     'name', "$path leads to a backend: its header, once");
    is(ask($path)->status, 403,    "$path leads to a backend: refused without certificate");
}

# --- members that fail (H19) ----------------------------------------------------------------------
for my $scheme (@balanced) {
    my $test = "$scheme, the first member refuses connections";
    for my $round (1 .. 2) {
        my $r = ask("/dead-$scheme/enforce", 'partner');
        allowed($r, "$test: another answers");
        is(headers_in($r),                    'name',               "$test: the header, once");
        is(seen($r)->joined('X-Client-Cert'), base64_of('partner'), "$test: and the other");
        is(seen($r)->env->{MTLS_SUBJECT_CN},  $cn,                  "$test: and the variable")
            if $backends->has_variables($scheme);
    }
    denied(ask("/dead-$scheme/enforce"), 'no_certificate', "$test: refused without certificate");
    my $r = ask("/lost-$scheme/other", 'partner');
    outcome_is($r, '200 report subject_mismatch', "$test: report");
    is(traces_of('partner', seen($r)), '', "$test: report: no trace of the certificate");
}
for my $scheme ('ajp', 'http') {
    my $test = "$scheme, the first member closes the connection";
    my $r    = ask("/closes-$scheme/enforce", 'partner');
    like($r->status, qr/\A(?:200|50[02])\z/, "$test: an answer or an error");
    is(headers_in($r), 'name', "$test: the header, once") if $r->status == 200;
}
{
    my $r = ask('/ill/enforce/status/503', 'partner');
    is($r->status,     503,    'a member that is ill: says so');
    is(headers_in($r), 'name', 'a member that is ill: was told');
    $r = ask('/ill/enforce', 'partner');
    allowed($r, 'a member that is ill: another answers');
    is(headers_in($r), 'name', 'a member that is ill: another is told, too');
}

# --- forward proxies and absolute targets (P13) ---------------------------------------------------
{
    my $url = "$echo/forward";
    my @to  = (vhost => 'forward', host => $echo =~ s{.*/}{}r);
    denied(ask($url, undef, @to), 'no_certificate', 'a forward proxy without certificate');
    my $r = ask($url, 'partner', @to);
    allowed($r, 'a forward proxy');
    is(headers_in($r), 'name', 'a forward proxy: the header, once');
    denied(ask($to[3], undef, @to, method => 'CONNECT'),
        'no_certificate', 'CONNECT without certificate');
    my $tls = $server->tls(vhost => 'forward', cert => 'partner');
    my $id  = $tls->send_head($to[3], host => $to[3], method => 'CONNECT');
    is($tls->read_response('HEAD', $id)->status, 200, 'CONNECT');

    for my $target ('https://gateway.test', 'http://gateway.test', 'http://elsewhere.test') {
        denied(ask("$target/http/enforce"), 'no_certificate', "$target without certificate");
        $r = ask("$target/http/enforce", 'partner');
        allowed($r, $target);
        is(headers_in($r), 'name', "$target: the header, once");
    }
    $r = ask('gateway.test:443', undef, method => 'CONNECT');
    like($r->status, qr/\A40[035]\z/, 'CONNECT where nothing is forwarded');
}

# --- what clients are shown (L2, L3, L5) ----------------------------------------------------------
for my $case (
    ['/http/enforce/x', 'other-partner', 403],
    ['/gone/enforce/x', 'partner',       503],
    ['/gone/enforce/x', 'script-in-cn',  503],
    ['/refused/x',      'script-in-cn',  403]
    )
{
    my ($path, $cert, $status) = @$case;
    my $r    = ask($path, $cert);
    my $test = "the page of $status at $path for $cert";
    is($r->status,                           $status, $test);
    is(signs_in($cert, $r->head . $r->body), '',      "$test: nothing of the certificate");
    unlike(
        $r->head . $r->body,
        qr/CARC|Big Partner|subject\.|MTLS|script>/i,
        "$test: nothing of the policy"
    );
}

done_testing;
