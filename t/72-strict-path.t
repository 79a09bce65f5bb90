# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# MTLSStrictPath: whatever way leads to a backend, the backend never sees a path without a
# certificate that it could read as the protected one. It answers with the target it was sent, and
# this suite reads that target in every way a backend is known to.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Path qw(make_path);
use MTLSTest;
use MTLSTest::Backend;
use MTLSTest::Files  qw(files_dir replace_file);
use MTLSTest::Layout qw(load_modules);

my $backend = MTLSTest::Backend->start;
my $to      = 'http://127.0.0.1:' . $backend->port;
my $htdocs  = files_dir('strict-path');
replace_file("$htdocs/page.html", 'a file');
replace_file("$htdocs/good.shtml", '[<!--#include virtual="/public/included" -->]');
replace_file("$htdocs/bad.shtml",  '[<!--#include virtual="/public/x;y" -->]');
make_path("$htdocs/errors");

# The first line is the MPM, which is loaded already.
my (undef, $modules) = split /\n/,
    load_modules(undef, qw(slotmem_shm proxy_balancer lbmethod_byrequests)), 2;

# --- ways to a backend ----------------------------------------------------------------------------
my %way = (
    pass    => qq(ProxyPass "/" "$to/"),
    nocanon => qq(ProxyPass "/" "$to/" nocanon),
    encoded => qq(ProxyPass "/" "$to/" mapping=encoded),
    servlet => qq(ProxyPass "/" "$to/" mapping=servlet),
    match   => qq(ProxyPassMatch "^/(.*)\$" "$to/\$1"),
    balancer =>
        qq(<Proxy "balancer://b">\nBalancerMember "$to"\n</Proxy>\nProxyPass "/" "balancer://b/"),
    rewrite => qq(RewriteEngine On\nRewriteRule "^/(.*)\$" "$to/\$1" [P]),
    noescape => qq(RewriteEngine On\nRewriteRule "^/(.*)\$" "$to/\$1" [P,NE]),
    request => qq(RewriteEngine On\nRewriteCond "%{THE_REQUEST}" "^\\S+ (\\S+)"\n)
        . qq(RewriteRule "^" "$to%1" [P,NE]),
    directory => qq(<Directory "$htdocs">\nRewriteEngine On\nRewriteRule "(.*)" "$to/\$1" [P]\n)
        . '</Directory>',
    handler => qq(<LocationMatch "^/">\nSetHandler "proxy:$to"\n</LocationMatch>),
);
my %slashes = (
    ''       => '',
    nodecode => 'AllowEncodedSlashes NoDecode',
    decode   => 'AllowEncodedSlashes On',
    unmerged => 'MergeSlashes Off',
    both     => "MergeSlashes Off\nAllowEncodedSlashes NoDecode",
);
my %setting = (
    default => '',
    on      => 'MTLSStrictPath On',
    params  => 'MTLSStrictPath params',
    off     => 'MTLSStrictPath Off'
);

my @hosts;
my $vhosts = '';

sub vhost {
    my ($name, $text) = @_;
    $vhosts .= <<"CONF";
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName $name.test
\@TLS\@
Protocols h2 http/1.1
$text
<Directory "$htdocs">
    Require all granted
    Options FollowSymLinks Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
</VirtualHost>
CONF
    return;
}

my $policy = qq(<Location "/admin">\nMTLSRequire subject.O "Big Partner Foo SA"\n</Location>);
for my $way (sort keys %way) {
    for my $slash (sort keys %slashes) {
        next if $slash && $way !~ /\A(?:pass|nocanon|match|noescape|directory)\z/;
        for my $setting (sort keys %setting) {
            next if $slash && $setting eq 'on' && $way =~ /\A(?:match|directory)\z/;
            my $name = join '-', $setting, $way, $slash || ();
            vhost($name, join "\n", $setting{$setting}, $slashes{$slash}, $way{$way}, $policy);
            push @hosts, [$name, $setting, $way, $slash];
        }
    }
}

# What a page, a rewriting or an error leads to.
vhost('inside', <<"CONF");
$policy
ProxyPass "/public" "$to/public"
RewriteEngine On
RewriteRule "^/before/(.*)" "/public/\$1" [PT]
<Directory "$htdocs">
    RewriteEngine On
    RewriteRule "^moved/(.*)" "/public/\$1"
    RewriteRule "^to-admin/(.*)" "/admin/\$1"
</Directory>
ProxyPass "/admin" "$to/admin"
<Location "/moved/closed">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
CONF
vhost('errors', <<"CONF");
$policy
ProxyPass "/public" "$to/public"
ProxyPass "/errors" "$to/errors"
ErrorDocument 400 /errors/of-backend
CONF
vhost('open',     qq(ProxyPass "/public" "$to/public"));
vhost('open-on',  qq(MTLSStrictPath On\nProxyPass "/public" "$to/public"));
vhost('required', qq(ProxyPass "/public" "$to/public"\n)
        . qq(<Location "/required">\nRequire mtls-policy partner\n</Location>));
vhost('static', "MTLSStrictPath On\n$policy");
vhost('off-policy', qq(ProxyPass "/public" "$to/public"\n)
        . qq(<Location "/admin">\nMTLSRequire subject.C CH\nMTLSMode off\n</Location>));
vhost('sessions', <<"CONF");
MTLSStrictPath params
$policy
ProxyPass "/" "$to/"
<Location "/public/shop">
    SetEnv SHOP 1
</Location>
CONF

my $server = private(name => 'strict-path', htdocs => $htdocs, config => <<"CONF");
$modules
ProxyTimeout 30
<MTLSPolicy "partner">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
Listen 127.0.0.1:\@Port_Main\@
$vhosts
CONF

# --- asking ---------------------------------------------------------------------------------------
my %connection;

# On a connection that is kept as long as the server keeps it, and no longer than the same host is
# asked: a hundred of them may be more than a child takes.
sub ask {
    my ($host, $path, $cert) = @_;
    delete @connection{ grep { !/\A\Q$host\E / } keys %connection };
    my $key = $host . ' ' . ($cert // '');
    my $r;
    for (1, 2) {
        $connection{$key} //= $server->tls(sni => "$host.test", cert => $cert);
        $r = $connection{$key}->request($path, host => "$host.test");
        last if $r->status;
        delete $connection{$key};    # it was closed meanwhile
    }
    delete $connection{$key} if ($r->header('Connection') // '') =~ /close/i;
    return $r;
}

sub asked { my ($r) = @_; return ($r->body =~ /\A[A-Z]+ (.*) HTTP\/1\.[01]\r\n/)[0] }

# The token our line of the error log names; none where we did not refuse the path.
sub flaw {
    my ($r) = @_;
    my @lines = grep {/strict_path=/} $r->errors;
    return @lines ? join '|', map {/strict_path=(\w+) at=\d+ method=\w+ uri="/} @lines : 'none';
}

sub refused {
    my ($r, $flaw, $test) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($r->status . ' ' . flaw($r), "400 $flaw", $test);
}

# --- how backends read a path ---------------------------------------------------------------------
sub decode    { my ($p) = @_; $p =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge; return $p }
sub no_params { my ($p) = @_; $p =~ s/;[^\/]*//g;                      return $p }
sub cut       { my ($p) = @_; $p =~ s/[?#\0].*//s;                     return $p }
sub turn      { my ($p) = @_; $p =~ tr{\\}{/};                         return $p }
sub merge     { my ($p) = @_; $p =~ s{/+}{/}g;                         return $p }

sub trim {
    my ($p) = @_;
    return join '/', map { /\A\.\.?\z/ ? $_ : s/[. ]+\z//r } split m{/}, $p, -1;
}

sub shorten {
    my ($p) = @_;
    $p =~ s/[\xC0\xC1]([\x80-\xBF])/chr(0x40 * (ord($&) & 1) | ord($1) & 0x3F)/ge;
    return $p =~ s/\xE0\x80([\x80-\xBF])/chr(ord($1) & 0x3F)/ger;
}

sub resolve {
    my ($p) = @_;
    my @out;
    for my $segment (split m{/}, $p, -1) {
        next if $segment eq '.';
        if ($segment eq '..') { pop @out if @out > 1; next }
        push @out, $segment;
    }
    return join '/', @out;
}

# Every step may be taken or left out; every result is a way to read the path.
sub readings {
    my ($target) = @_;
    my %seen = ((split /[?#]/, $target)[0] // '' => 1);
    my @steps = (
        \&no_params, \&decode, \&cut,     \&no_params, \&decode, \&shorten,
        \&turn,      \&cut,    \&no_params, \&merge,   \&trim,   \&resolve
    );
    for my $step (@steps) { $seen{ $step->($_) } = 1 for keys %seen }
    return keys %seen;
}

# SetHandler sends the name of a file.
sub is_protected {
    my ($target) = @_;
    return grep {m{\A(?:\Q$htdocs\E)?/+admin(?:/|\z)}} readings($target);
}

# --- the reader reads -----------------------------------------------------------------------------
ok(is_protected($_), "read as protected: $_")
    for '/admin', '/admin;a=1/x', '/;a=b/admin/x', '/x/..;/admin/x', '/admin%3F/x', '/admin%23',
    '/%2561dmin', '/admin.', '/admin%20', '/admin%5Cx', '/%5cadmin', '//admin', '/./admin',
    '/x/../admin', '/x/%2e%2e/admin', '/%61dmin', '/admin%2fx', '/x%2f..%2fadmin', '/admin%00x',
    '/x/%2e%2e%3b/admin', '/x%c0%af..%c0%afadmin', '/admin/../public';
ok(!is_protected($_), "not read as protected: $_")
    for '/', '/public', '/public/admin', '/administrator', '/x/admin/..', '/Admin/x';

# --- paths: with what is wrong ('' : nothing), where the backend gets what httpd has decoded ------
# and without a certificate
my @paths = (
    ['/Admin/x',                     ''],
    ['/admin;a=1/x',                 'parameter'],
    ['/;a=b/admin/x',                'parameter'],
    ['/x/..;/admin/x',               'parameter'],
    ['/admin;/x',                    'parameter'],
    ['/x/%2e%2E;a/admin',            'parameter'],
    ['/x/..%3b/admin',               'encoded_semicolon'],
    ['/admin%3ba=1/x',               'encoded_semicolon'],
    ['/admin%3F/x',                  'encoded_delimiter'],
    ['/admin%23',                    'encoded_delimiter'],
    ['/%2561dmin',                   'double_encoding'],
    ['/%25%36%31dmin',               'double_encoding'],
    ['/x/%252e%252e/admin',          'double_encoding'],
    ['/admin.',                      'trailing_dot'],
    ['/admin./x',                    'trailing_dot'],
    ['/admin%2e',                    'trailing_dot'],
    ['/admin%20',                    'trailing_space'],
    ['/admin%20/x',                  'trailing_space'],
    ['/admin%5Cx',                   'backslash'],
    ['/admin\\x',                    'backslash'],
    ['/\\admin',                     'backslash'],
    ['/%5cadmin',                    'backslash'],
    ['/./admin',                     'dot_segment'],
    ['/x/../admin',                  'dot_segment'],
    ['/x/%2e%2e/admin',              'dot_segment'],
    ['/admin/../public',             'dot_segment'],
    ['/admin%00/x',                  'not found'],
    ['/admin%09',                    'control'],
    ['/admin%0d%0aX-Client-Name:%20root', 'control'],
    ['/x%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET%20/admin', 'control'],
    ['/x%c0%af..%c0%afadmin',        'overlong'],
    ['/%e0%80%afadmin',              'overlong'],
    ['/admin::$INDEX_ALLOCATION/x',  'stream'],
    ['/%61dmin',                     'policy'],
    ['/admin/x',                     'policy'],
    ['/admin',                       'policy'],
    ['//admin',                      'policy'],
    ['/admin%2fx',                   'not found'],
    ['/x%2f..%2fadmin',              'not found'],
    ['/public/x',                    ''],
    ['/public/a%20b/100%25',         ''],
    ['/public/J%C3%BCrgen/',         ''],
    ['/public/x:y@z$a,b=c&d',        ''],
);

# Once it is decoded, a "%" is taken for an escape again, and a space is not encoded again.
sub httpd_refuses {
    my ($path, $way, $slash) = @_;
    return $path =~ /%2[05]/ && ($slash =~ /nodecode|both/ || $way eq 'noescape');
}

# --- without a certificate: the backend never sees what it could read as protected ----------------
my %got;
for my $host (@hosts) {
    my ($name, $setting, $way, $slash) = @$host;
    my (@wrong, @unlogged);
    for my $row (@paths) {
        my ($path, $flaw) = @$row;
        my $r    = ask($name, $path);
        my $seen = $r->status == 200 ? asked($r) // '' : undef;
        $got{$setting}{ $r->status }++;
        push @wrong, "$path is answered " . $r->status
            if $r->status !~ /\A(?:200|400|403|404)\z/;
        if (defined $seen && is_protected($seen)) {
            $got{$setting}{protected}++;
            push @wrong, "$path reaches the backend as $seen" if $setting ne 'off';
        }
        next if $setting eq 'off';
        push @unlogged, $path
            if $r->status == 400 && flaw($r) eq 'none' && !httpd_refuses($path, $way, $slash);
        push @wrong, "$path is answered " . $r->status
            if $r->status != 200 && $flaw eq '' && !httpd_refuses($path, $way, $slash);
    }
    is(join("\n", @wrong), '', "$name: nothing reaches what a certificate protects");
    is(join("\n", @unlogged), '', "$name: every refused path is in the log")
        if $setting ne 'off';
}
cmp_ok($got{off}{protected}, '>=', 100, 'Off: it does, so the tests above can fail');
is($got{$_}{protected} // 0, 0, "$_: it does not") for qw(default on params);
cmp_ok($got{$_}{400}, '>=', 500, "$_: paths were refused")       for qw(default on params);
cmp_ok($got{$_}{200}, '>=', 100, "$_: paths were not refused")   for qw(default on params);

# --- each path, what is said of it, with and without a certificate --------------------------------
for my $way (qw(pass match balancer rewrite)) {
    for my $row (@paths) {
        my ($path, $flaw) = @$row;
        my $test = "default-$way: $path";
        my $r    = ask("default-$way", $path);
        my $with = ask("default-$way", $path, 'partner');
        if ($flaw eq '') {
            is($r->status, 200, "$test passes");
        }
        elsif ($flaw eq 'policy') {
            denied($r, 'no_certificate', "$test: what httpd reads as protected is");
            allowed($with, "$test: with a certificate it is allowed");
        }
        elsif ($flaw eq 'not found') {
            is($r->status . ' ' . flaw($r), '404 none', "$test: httpd itself");
        }
        elsif ($way eq 'rewrite' && $path =~ /%3F/) {
            is($r->status . ' ' . flaw($r), '403 none', "$test: mod_rewrite itself");
        }
        else {
            refused($r,    $flaw, "$test is refused");
            refused($with, $flaw, "$test is refused, certificate or not");
            unlike($r->body, qr/strict_path|admin|public|\Q$flaw\E/,
                "$test: the page says nothing");
        }
    }
}

# --- the late ways: what is known only behind the access check ------------------------------------
for my $way (qw(directory handler)) {
    for my $row (['/x;y', 'parameter'], ['/public/x%5cy', 'backslash'], ['/a./x', 'trailing_dot']) {
        refused(ask("default-$way", $row->[0]), $row->[1], "default-$way: $row->[0]");
    }
    denied(ask("default-$way", '/admin/x;y'),
        'no_certificate', "default-$way: a refused certificate is answered first");
    refused(ask("default-$way", '/admin/x;y', 'partner'),
        'parameter', "default-$way: then the path");
    refused(ask("on-$way", '/admin/x;y'), 'parameter', "on-$way: On looks at the path first");
    allowed(ask("default-$way", '/admin/x', 'partner'), "default-$way: allowed");
}

# --- what each setting adds -----------------------------------------------------------------------
refused(ask('default-nocanon',       '/x//y'),       'empty_segment', 'nocanon: //');
refused(ask('default-pass-unmerged', '/x//y'),       'empty_segment', 'MergeSlashes Off: //');
refused(ask('default-pass-unmerged', '//admin'),     'empty_segment', 'MergeSlashes Off: //admin');
is(ask('default-pass', '/x//y')->status, 200, 'otherwise httpd merges');
is(asked(ask('default-pass', '/x//y')), '/x/y', 'for the backend, too');
refused(ask('default-nocanon', "/J\xC3\xBCrgen"), 'non_ascii', 'nocanon: raw bytes');
is(asked(ask('default-pass', "/J\xC3\xBCrgen")), '/J%C3%BCrgen', 'otherwise httpd encodes them');
refused(ask('default-pass-nodecode', '/x%2fy'), 'encoded_slash', 'AllowEncodedSlashes NoDecode');
refused(ask('default-pass-decode',   '/x%2Fy'), 'encoded_slash', 'AllowEncodedSlashes On');
refused(ask('on-pass',               '/x%2Fy'), 'encoded_slash', 'On: before httpd answers 404');
is(asked(ask('off-nocanon-nodecode', '/x%2fy')), '/x%2fy', 'Off: it passes');
is(ask('default-encoded', '/x%4')->status,  400, 'a bad escape: httpd itself');
is(ask('default-nocanon', '/x%u41')->status, 400, 'a bad escape, nocanon');
is(ask('default-nocanon', '/admin#x')->status, 400, 'a fragment');

# --- params ---------------------------------------------------------------------------------------
is(asked(ask('params-pass', '/public/x;v=1/y;z')), '/public/x;v=1/y;z', 'params: they pass');
refused(ask('default-pass', '/public/x;v=1'), 'parameter', 'params: not by default');
refused(ask('params-pass',  '/x/..;/y'),      'parameter', 'params: behind .. never');
refused(ask('params-pass',  '/;v=1/y'),       'parameter', 'params: behind nothing never');
refused(ask('params-pass', '/admin;v=1/x'), 'parameter_section',
    'params: not where they lead past a section');
refused(ask('params-pass', '/admin;v=1/x', 'partner'), 'parameter_section', 'certificate or not');
denied(ask('params-pass', '/admin/x;v=1'), 'no_certificate', 'params: inside a section it judges');
allowed(ask('params-pass', '/admin/x;v=1', 'partner'), 'params: and allows');
refused(ask('sessions', '/public/shop;s=1'), 'parameter_section', 'params: any section counts');
is(ask('sessions', '/public/shop/;s=1')->status . flaw(ask('sessions', '/public/shop/;s=1')),
    '400parameter', 'params: an empty name');
is(ask('sessions', '/public/shop/x;s=1')->status, 200, 'params: within the section');
denied(ask('off-servlet', '/admin;v=1/x'), 'no_certificate', 'mapping=servlet: httpd reads it');
denied(ask('params-servlet', '/admin;v=1/x'), 'no_certificate', 'mapping=servlet with params');
allowed(ask('params-servlet', '/admin;v=1/x', 'partner'), 'mapping=servlet with params: allowed');

# --- where it is in force -------------------------------------------------------------------------
is(asked(ask('open', '/public/x;y')), '/public/x;y', 'a virtual host without policy');
refused(ask('open-on',  '/public/x;y'), 'parameter', 'On without policy');
refused(ask('required', '/public/x;y'), 'parameter', 'Require mtls-policy is one');
is(asked(ask('off-policy', '/public/x;y')), '/public/x;y', 'a policy that is off is none');
is(ask('inside', '/page.html')->status, 200, 'a file');
is(ask('inside', '/page.html;x')->status . flaw(ask('inside', '/page.html;x')),
    '404none', 'by default what is not proxied is not judged');
refused(ask('static', '/page.html;x'), 'parameter', 'On judges everything');
is(ask('static', '/page.html?a=;b/..;/%2f')->status, 200, 'but not the query');
refused(ask('static', 'https://static.test/page.html;x'), 'parameter', 'absolute-form');
is(ask('static', 'https://static.test/page.html')->status, 200, 'absolute-form: allowed');
refused(ask('default-pass', 'https://default-pass.test/admin;x'), 'parameter',
    'absolute-form, proxied');
is(asked(ask('default-pass', 'https://default-pass.test/public')), '/public',
    'absolute-form, proxied: allowed');
{
    my $r = $server->tls(sni => 'static.test')
        ->request('*', method => 'OPTIONS', host => 'static.test');
    is($r->status, 200, 'OPTIONS *');
}

# --- inside: redirects, sub-requests, error pages -------------------------------------------------
is(asked(ask('inside', '/moved/x')),  '/public/x', 'a directory rewrites');
is(asked(ask('inside', '/before/x')), '/public/x', 'a server rewrites');
refused(ask('inside', '/moved/x%5cy'),  'backslash', 'rewritten by a directory: the first target');
refused(ask('inside', '/before/x%5cy'), 'backslash', 'rewritten by a server');
denied(ask('inside', '/to-admin/x'), 'no_certificate', 'rewritten into what is protected');
allowed(ask('inside', '/to-admin/x', 'partner'), 'rewritten into what is protected: allowed');
denied(ask('inside', '/moved/closed/x'), 'no_certificate', 'rewritten out of what is protected');
allowed(ask('inside', '/moved/closed/x', 'partner'),
    'rewritten out of what is protected: allowed');
like(ask('inside', '/good.shtml')->body, qr{\A\[GET /public/included HTTP}, 'a page includes');
unlike(ask('inside', '/bad.shtml')->body, qr{GET /}, 'a page does not include a refused path');
{
    # mod_proxy gives the page the status the backend has sent.
    my $r = ask('errors', '/public/x;y');
    is(flaw($r), 'parameter', 'with an error page from a backend: refused once');
    is(asked($r), '/errors/of-backend', 'the page is fetched');
}

# --- HTTP/2 ---------------------------------------------------------------------------------------
SKIP: {
    skip 'mod_http2 does not run under prefork', 1 if mpm() eq 'prefork';
    for my $way (qw(pass nocanon directory)) {
        for my $path (
            '/x/..;/admin/x', '/x;y', '/x%5cy', '/x/..%3b/admin', '/%2561dmin', '/x./y',
            '/x/../y', '/x%0d%0a', '/x%c0%af..%c0%afadmin'
            )
        {
            my $r = $server->get($path, host => "default-$way.test", http => '2', curl => ['-k']);
            like($r->status . ' ' . flaw($r), qr/\A400 (?!none)\w+\z/, "HTTP/2, $way: $path");
        }
        my $r = $server->get('/public/x', host => "default-$way.test", http => '2', curl => ['-k']);
        is($r->status . ' ' . (asked($r) // ''), '200 /public/x', "HTTP/2, $way: allowed");
        like($r->head, qr{\AHTTP/2 }, "HTTP/2, $way: it really was");
    }
}

# --- configuration --------------------------------------------------------------------------------
for my $row (
    ['MTLSStrictPath maybe', 'MTLSStrictPath: unknown value "maybe"; allowed: On, Off, params'],
    ['MTLSStrictPath', 'takes one argument'],
    [qq(<Location "/x">\nMTLSStrictPath On\n</Location>), 'not allowed'],
    )
{
    my ($exit, $output) =
        MTLSTest::Server->check(name => 'strict-path-check', config => "Listen 1\n$row->[0]");
    isnt($exit, 0, "httpd -t refuses: $row->[0]");
    like($output, qr/\Q$row->[1]\E/, "httpd -t says why: $row->[0]");
}
for my $value (qw(On off PARAMS)) {
    my ($exit, $output) = MTLSTest::Server->check(
        name   => 'strict-path-check',
        config => "Listen 1\nMTLSStrictPath $value"
    );
    is($exit, 0, "httpd -t accepts: MTLSStrictPath $value") or diag($output);
}

done_testing;
