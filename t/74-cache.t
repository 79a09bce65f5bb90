# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Caches: an answer made for one client is never given to another, neither by mod_cache nor, through
# Vary, by a cache on the client's side. Everything here is marked as cacheable for all.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Path qw(make_path);
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Backend;
use MTLSTest::Files  qw(files_dir replace_file);
use MTLSTest::Layout qw(load_modules runtime_user);

my $backend = MTLSTest::Backend->start;
my $to      = 'http://127.0.0.1:' . $backend->port;
my $htdocs  = files_dir('cache');
my $store   = files_dir('cache-store');
chown +(getpwnam +(runtime_user())[0])[2, 3], $store if $> == 0;

# Pages with something before what they include: that much is sent, and stored, before the included
# request is looked at.
replace_file("$htdocs/$_->[0].shtml", "before [<!--#include virtual=\"$_->[1]\" -->] after\n")
    for ['open', '/public/included'], ['guarded', '/two/included'], ['refused', '/two/included'],
    ['held', '/two/included'],
    ['named', '/named/included'];
replace_file("$htdocs/index.html", 'a file');

# Answers with the lines of its query.
make_path("$htdocs/cgi-bin");
replace_file("$htdocs/cgi-bin/say.cgi", <<'CGI');
#!/usr/bin/perl
my $text = $ENV{QUERY_STRING};
$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
print "Content-Type: text/plain\r\n", (map {"$_\r\n"} split /\n/, $text), "\r\n",
    $text =~ /304/ ? '' : "said by $ENV{REQUEST_METHOD}\n";
CGI
chmod 0755, "$htdocs/cgi-bin/say.cgi";

my (undef, $modules) = split /\n/,
    load_modules(undef, qw(cache cache_disk slotmem_shm proxy_balancer)), 2;
my $places = 'public two optional report authz named mixed';
my $proxies = join "\n", map {qq(ProxyPass "/$_" "$to/$_")} split ' ', $places;

my $config = <<"CONF";
$modules
ProxyTimeout 30
<MTLSPolicy "anybody">
    MTLSRequire subject.O "Big Partner Foo SA" "Other Partner SA"
</MTLSPolicy>
<Directory "$htdocs">
    Require all granted
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory "$htdocs/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
CacheQuickHandler off
CacheRoot "$store"
CacheEnable disk "/"
CacheHeader On
CacheIgnoreNoLastMod On
CacheIgnoreCacheControl On
CacheStorePrivate On
<Location "/held.shtml">
    CacheReadSize 65536
</Location>
<LocationMatch "^/(?!own|proxied|open)">
    Header always set Cache-Control "public, max-age=600"
</LocationMatch>
$proxies
<LocationMatch "^/(two|optional|report|authz)">
    MTLSUsePolicy anybody
    MTLSExportHeader X-Client-Name "%{mtls:subject.O}"
</LocationMatch>
<Location "/optional">
    MTLSMode optional
</Location>
<Location "/report">
    MTLSMode report
</Location>
<Location "/authz">
    MTLSMode authz
    Require mtls
</Location>
<Location "/named">
    MTLSExportHeader X-Client-Name "%{mtls:subject.O}"
    Require mtls-policy anybody
</Location>
<Location "/mixed">
    <If "%{HTTP:X-Guarded} == 'yes'">
        MTLSUsePolicy anybody
    </If>
</Location>

# What varies. CacheDisable: these are about caches of others.
Alias "/own" "$htdocs/cgi-bin/say.cgi"
Alias "/open" "$htdocs/cgi-bin/say.cgi"
ProxyPass "/proxied" "http://127.0.0.1:\@Port_Origin\@/cgi-bin/say.cgi"
ProxyPass "/headers" "$to/headers"
<LocationMatch "^/(own|proxied|headers)">
    CacheDisable on
    MTLSUsePolicy anybody
    MTLSMode optional
    MTLSExport rfc9440
    MTLSExportHeader X-Client-Name "%{mtls:subject.O}"
</LocationMatch>
<Location "/open">
    CacheDisable on
</Location>
<Location "/headers">
    Header always set Vary "Accept, Client-Cert"
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Origin\@
<VirtualHost 127.0.0.1:\@Port_Origin\@>
ServerName origin.test
</VirtualHost>
CONF
my $server = private(name => 'cache', htdocs => $htdocs, config => $config);

my %name = (partner => 'Big Partner Foo SA', 'other-partner' => 'Other Partner SA');

# Whom the answer was made for.
sub made_for { my ($r) = @_; return ($r->body =~ /^x-test-id: ?(\S+)/mi)[0] // 'nobody' }
sub told     { my ($r) = @_; return ($r->body =~ /^x-client-name: ?([^\r\n]*)/mi)[0] // '' }

# The answer is the client's own: made for this very request, with this client's name.
sub own {
    my ($path, $cert, $test, @more) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $server->get($path, cert => $cert, @more);
    is(join(' ', $r->status, made_for($r), $r->header('X-Cache') // 'uncached'),
        '200 ' . $r->id . ' uncached', "$test: its own");
    return $r;
}

sub own_identity {
    my ($path, $cert, $test, @more) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(told(own($path, $cert, $test, @more)), $cert ? $name{$cert} : '', "$test: its name");
    return;
}

# Asks until the answer comes from the cache: a client that goes once it has read Content-Length
# bytes keeps its own from being stored.
sub kept {
    my ($path, @more) = @_;
    my %asked;
    await(sub {
        my $r = $server->get($path, @more);
        $asked{ $r->id } = 1;
        return ($r->header('X-Cache') // '') =~ /\AHIT\b/;
    });
    return \%asked;
}

# What the cache had: made for one of those who asked before.
sub from_cache {
    my ($r, $asked, $test) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($cache) = split ' ', $r->header('X-Cache') // '-';
    is("@{[ $r->status ]} $cache", '200 HIT', "$test: from the cache");
    return ok($asked->{ made_for($r) }, "$test: made for somebody else")
        || diag(made_for($r));
}

# --- mod_cache: what is open to all is cached -----------------------------------------------------
my @versions = mpm() eq 'prefork' ? ('1.1') : ('1.1', '2');
for my $http (@versions) {
    my $path  = "/public/$http";
    my $first = $server->get($path, http => $http);
    is($first->status . ' ' . made_for($first), '200 ' . $first->id, "$http, open: made");
    my %asked = ($first->id => 1, %{ kept($path, http => $http) });
    for my $cert (undef, 'partner', 'other-partner') {
        from_cache($server->get($path, cert => $cert, http => $http),
            \%asked, "$http, open, for " . ($cert // 'nobody'));
    }
}

# --- mod_cache: what is under policy is not -------------------------------------------------------
for my $http (@versions) {
    my @http = (http => $http);
    for my $place (qw(two authz named)) {
        my $path = "/$place/$http";
        is($server->get($path, @http)->status, 403, "$http, $place: refused first");
        for my $cert ('partner', 'other-partner', 'partner', 'other-partner') {
            own_identity($path, $cert, "$http, $place, $cert", @http);
        }
        my $nobody = $server->get($path, @http);
        is($nobody->status, 403, "$http, $place: refused after it was answered");
        unlike($nobody->body, qr/x-client-name/i, "$http, $place: and nobody is told");
        own_identity($path, 'partner', "$http, $place: allowed after a refusal", @http);
    }
    for my $place (qw(optional report)) {
        my $path = "/$place/$http";
        for my $cert (undef, 'partner', 'other-partner', undef, 'partner') {
            own_identity($path, $cert, "$http, $place, " . ($cert // 'nobody'), @http);
        }
    }
}
{
    my @guarded = (headers => ['X-Guarded: yes']);
    my $open    = $server->get('/mixed/x');
    is($open->status, 200, 'under policy at times: open');
    my %asked = ($open->id => 1, %{ kept('/mixed/x') });
    own('/mixed/x', 'partner', 'under policy at times: not from the cache', @guarded);
    denied($server->get('/mixed/x', @guarded), 'no_certificate', 'under policy at times: refused');
    from_cache($server->get('/mixed/x'), \%asked, 'under policy at times: open');
}
{
    my $head = $server->get('/two/head', cert => 'partner', method => 'HEAD');
    is($head->status, 200, 'HEAD');
    is($head->entry->{request} =~ /\AHEAD / ? 1 : 0, 1, 'HEAD is logged as such');
    my $post = $server->get('/two/post', cert => 'partner', method => 'POST', body => 'x');
    is($post->status, 200, 'POST');
    like($post->body, qr/\APOST /, 'POST reaches the backend as such');
}

# --- mod_cache: pages that include something ------------------------------------------------------
{
    my $first = $server->get('/open.shtml', cert => 'partner');
    like($first->body, qr/\Abefore \[GET .*\] after\n\z/s, 'a page including what is open');
    my $again = $server->get('/open.shtml');
    is($again->body, $first->body, 'is cached');
    for my $page (['guarded', 'partner', undef, 'other-partner'], ['refused', undef, 'partner'],
        ['named', 'partner', undef, 'other-partner'], ['held', 'partner', undef, 'partner'])
    {
        my ($name, @certs) = @$page;
        for my $cert (@certs, @certs) {
            my $r    = $server->get("/$name.shtml", cert => $cert);
            my $test = "a page including what is under policy ($name), for " . ($cert // 'nobody');
            like($r->body, qr/\Abefore \[.+\] after\n\z/s, "$test: whole");
            is(told($r), $cert ? $name{$cert} : '', $test);
        }
    }
}

# --- mod_cache: its quick handler ------------------------------------------------------------------
for my $line ('', 'CacheQuickHandler on') {
    (my $quick = $config) =~ s/^CacheQuickHandler off$/$line/m;
    my ($exit, $text) =
        MTLSTest::Server->start_refused(name => 'cache-quick', htdocs => $htdocs, config => $quick);
    isnt($exit, 0, "a start with the quick handler is refused ($line)");
    like($text, qr/mtls_policy:.*set "CacheQuickHandler off"/, "and says why ($line)");
}

# --- Vary -----------------------------------------------------------------------------------------
my @vary = (
    ['',                                          undef],
    ['Vary: Client-Cert',                         '*'],
    ['Vary: client-CERT',                         '*'],
    ['Vary: Client-Cert-Chain',                   '*'],
    ['Vary: Accept-Encoding, Client-Cert',        '*'],
    ["Vary: Client-Cert ,\tAccept-Encoding",      '*'],
    ["Vary: Accept-Encoding\nVary: Client-Cert",  '*'],
    ["Vary: Client-Cert\nVary: Accept-Encoding",  '*'],
    ["Vary: Client-Cert\nVary: Client-Cert",      '*'],
    ['Vary: X-Client-Name',                       '*'],
    ['Vary: *',                                   '*'],
    ['Vary: Accept-Encoding',                     'Accept-Encoding'],
    ['Vary: Accept, Accept-Language',             'Accept,Accept-Language'],
    ['Vary: Client-Certificate, Not-Client-Cert', 'Client-Certificate,Not-Client-Cert'],
);

sub query {
    my ($text) = @_;
    return $text =~ s/([^A-Za-z0-9:-])/sprintf '%%%02X', ord $1/ger;
}

# httpd itself takes the blanks out.
sub vary {
    my ($r) = @_;
    my $vary = $r->header('Vary');
    return defined $vary ? $vary =~ s/[ \t]+//gr : undef;
}

for my $row (@vary) {
    my ($said, $expected) = @$row;
    my $shown = $said =~ s/\n/ | /r;
    for my $place (qw(own proxied)) {
        for my $cert (undef, 'partner') {
            for my $http (@versions) {
                my $test = "/$place, HTTP/$http, " . ($cert // 'nobody') . ": $shown";
                my @ask  = (cert => $cert, http => $http);
                my $r    = $server->get("/$place?" . query($said), @ask);
                is($r->status . ' ' . $r->body, "200 said by GET\n", $test);
                is(vary($r), $expected, "$test: Vary");
                $r = $server->get("/$place?" . query("Status: 304\nETag: \"x\"\n$said"), @ask);
                is($r->status,         304,       "$test, not modified");
                is(vary($r), $expected, "$test, not modified: Vary");
            }
        }
    }
    my %seen;    # httpd itself names nothing twice
    my $list = join ',', grep { !$seen{ lc $_ }++ } map {split /[ \t]*,[ \t]*/} $said =~ /^Vary: (.*)$/mg;
    my $open = $server->get('/open?' . query($said));
    is(vary($open), length $list ? $list : undef, "nothing exported: $shown");
}
is($server->get('/headers/x', cert => 'partner')->header('Vary'), '*', 'a Vary of mod_headers');
is($server->get('/own?' . query("Status: 404\nVary: Client-Cert"))->header('Vary'),
    '*', 'an error of a script');

done_testing;
