# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# How sections merge, and the ways httpd goes from one resource to another: sub-requests, internal
# redirects, rewriting, local redirects of CGI, error pages.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my $server = private(name => 'sections', config => <<'CONF');
<MTLSPolicy "swiss">
    MTLSRequire subject.C CH
</MTLSPolicy>
# for every virtual host: what the main server says is inherited
<Location "/main-server">
    MTLSRequire subject.C CH
</Location>
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
<Directory "@Htdocs@">
    Require all granted
    Options FollowSymLinks
</Directory>

# --- merging: Directory, Location in the order written, If
<Directory "@Htdocs@/sub/merge">
    MTLSRequire subject.C CH
</Directory>
<Location "/sub/merge">
    MTLSRequire subject.O "Big Partner Foo SA"
    <If "%{QUERY_STRING} == 'strict'">
        MTLSRequire issuer.CN "CARC I101L"
    </If>
    <If "%{QUERY_STRING} == 'open'">
        MTLSMode off
    </If>
    <If "%{QUERY_STRING} == 'fresh'">
        MTLSInherit Off
        MTLSRequire subject.O "Other Partner SA"
    </If>
    # identity is empty this early: never a way in
    <If "%{mtls:subject.O} == 'Big Partner Foo SA'">
        MTLSMode off
    </If>
</Location>
<Location "/main-server">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>

AliasMatch "^/(?:order|nest|main-server|tenant-.)" "@Htdocs@/index.html"
<Location "/order/x">
    MTLSUsePolicy swiss
    MTLSDenyStatus 451
</Location>
<Location "/order">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSDenyStatus 404
</Location>
<LocationMatch "^/order/x/y">
    MTLSDenyStatus 410
</LocationMatch>
<LocationMatch "^/order/x/z">
    MTLSDenyStatus 409
</LocationMatch>
<Location "/order/x/z">
    MTLSDenyStatus 402
</Location>

<Location "/nest">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/nest/open">
    MTLSMode off
</Location>
<Location "/nest/open/shut">
    MTLSMode enforce
</Location>
<Location "/nest/child">
    MTLSRequire issuer.CN "CARC I101L"
</Location>

<Location "/tenant-a">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSDenyStatus 404
</Location>
<Location "/tenant-b">
    MTLSRequire subject.O "Other Partner SA"
</Location>

# --- sub-requests
<Location "/sub/secret">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/sub/guarded">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Directory "@Htdocs@/sub">
    Options +Includes +Indexes +MultiViews
    AddOutputFilter INCLUDES .shtml
    AddLanguage en .en
    AddLanguage de .de
    DirectoryIndex index.html
</Directory>
<Location "/sub/cgiindex/index.cgi">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</Location>
<Directory "@Htdocs@/sub/cgiindex">
    Options +ExecCGI
    AddHandler cgi-script .cgi
    DirectoryIndex index.cgi
</Directory>
<Location "/sub/dirindex/index.html">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Files "secret-entry.txt">
    MTLSRequire subject.O "Big Partner Foo SA"
</Files>
<Files "doc.html.de">
    MTLSRequire subject.O "Big Partner Foo SA"
</Files>

# --- redirects inside httpd
RewriteEngine on
RewriteRule "^/rw-to-secret$" "/sub/secret/page.html" [PT]
RewriteRule "^/rw-secret-to-free$" "/sub/free/page.html" [PT]
<Directory "@Htdocs@/sub/free">
    RewriteEngine on
    RewriteRule "^leads-to-secret$" "/sub/secret/page.html"
</Directory>
<Directory "@Htdocs@/sub/guarded">
    RewriteEngine on
    RewriteRule "^leads-to-free$" "/sub/free/page.html"
    RewriteRule "^leads-to-other$" "/tenant-b/page.html"
</Directory>
<Directory "@Htdocs@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
ErrorDocument 404 /sub/secret/page.html
</VirtualHost>
CONF

sub ask { my ($path, $cert, %o) = @_; return $server->get($path, cert => $cert, %o) }

# --- merging --------------------------------------------------------------------------------------
my $page = '/sub/merge/page.html';
for my $row (
    [$page, undef, '403 deny no_certificate', undef], [$page, 'partner', '200 allow ok', undef],
    [$page,          'no-ou',            '403 deny subject_mismatch', qr/subject\.C .*CH/],
    [$page,          'other-partner',    '403 deny subject_mismatch', qr/subject\.O .*Big Partner/],
    [$page,          'partner-by-i102l', '200 allow ok',              undef],
    ["$page?strict", 'partner',          '200 allow ok',              undef],
    ["$page?strict", 'partner-by-i102l', '403 deny issuer_mismatch',  qr/issuer\.CN .*CARC I101L/],
    ["$page?strict", 'other-partner',    '403 deny subject_mismatch', qr/subject\.O/],
    ["$page?open",   undef,              '200 - -',                   undef],
    ["$page?fresh",  'other-partner',    '200 allow ok',              undef],
    ["$page?fresh",  'partner',          '403 deny subject_mismatch', qr/Other Partner SA/],

    ['/main-server/', 'no-ou',         '403 deny subject_mismatch', qr/subject\.C/],
    ['/main-server/', 'other-partner', '403 deny subject_mismatch', qr/subject\.O/],
    ['/main-server/', 'partner',       '200 allow ok',              undef],

    ['/nest',           'partner-by-i102l', '200 allow ok',              undef],
    ['/nest/child',     'partner-by-i102l', '403 deny issuer_mismatch',  qr/issuer\.CN/],
    ['/nest/child',     'other-partner',    '403 deny subject_mismatch', qr/subject\.O/],
    ['/nest/child',     'partner', '200 allow ok', undef], ['/nest/open', undef, '200 - -', undef],
    ['/nest/open/shut', undef,           '403 deny no_certificate',   undef],
    ['/nest/open/shut', 'other-partner', '403 deny subject_mismatch', qr/subject\.O/],
    ['/nest/open/shut', 'partner',       '200 allow ok',              undef],

    # the order written decides, not the length of the path or the kind of section
    ['/order',     'other-partner', '404 deny subject_mismatch', undef],
    ['/order/x',   'other-partner', '404 deny subject_mismatch', undef],
    ['/order/x',   'no-ou',         '404 deny subject_mismatch', qr/subject\.C/],
    ['/order/x/y', 'other-partner', '410 deny subject_mismatch', undef],
    ['/order/x/z', 'other-partner', '402 deny subject_mismatch', undef],
    ['/order/x/z', 'partner',       '200 allow ok',              undef],

    ['/tenant-a', 'other-partner', '404 deny subject_mismatch', undef],
    ['/tenant-a', 'partner',       '200 allow ok',              undef],
    ['/tenant-b', 'partner',       '403 deny subject_mismatch', undef],
    ['/tenant-b', 'other-partner', '200 allow ok',              undef],
    )
{
    my ($path, $cert, $outcome, $rule) = @$row;
    my $r    = ask($path, $cert);
    my $name = "$path: " . ($cert // 'no certificate');
    outcome_is($r, $outcome, $name);
    like($r->rule, $rule, "$name: the rule") if $rule;
}

# --- sub-requests (P7) ----------------------------------------------------------------------------
sub denials_with {
    my ($r, $reason) = @_;
    return scalar grep {/reason="?$reason\b/} $r->denials;
}

{
    my $none = ask('/sub/include.shtml', undef);
    is($none->status, 200, 'mod_include: the page itself is open');
    unlike($none->body, qr/content of sub\/secret/, 'mod_include: what it includes is not');
    like($none->body, qr/content of sub\/free/, 'mod_include: the open part is');
    is(denials_with($none, 'no_certificate'), 1, 'mod_include: logged with its reason');
    my $other = ask('/sub/include.shtml', 'other-partner');
    unlike($other->body, qr/content of sub\/secret/, 'mod_include: another subject');
    is(denials_with($other, 'subject_mismatch'), 1, 'mod_include: another subject, logged');
    like(
        ask('/sub/include.shtml', 'partner')->body,
        qr/content of sub\/secret/,
        'mod_include: the right one'
    );
    my $outer = ask('/sub/guarded/outer.shtml', 'partner');
    allowed($outer, 'mod_include: a guarded page');
    like($outer->body, qr/guarded:inner/,
        'mod_include: including another under the same configuration');
    denied(ask('/sub/guarded/outer.shtml', 'other-partner'),
        'subject_mismatch', 'mod_include: the guarded page refused');

    my $index = ask('/sub/dirindex/', undef);
    is($index->status, 403, 'DirectoryIndex: refused');
    unlike($index->body, qr/content of the index/, 'DirectoryIndex: no content');
    is(denials_with($index, 'no_certificate'), 1, 'DirectoryIndex: logged with its reason');
    my $in = ask('/sub/dirindex/', 'partner');
    is($in->status, 200, 'DirectoryIndex: allowed');
    like($in->body, qr/content of the index/, 'DirectoryIndex: content');
    allowed($in, 'DirectoryIndex: the verdict is logged');

    my $cgi = ask('/sub/cgiindex/', 'partner', headers => ['X-Client-Name: forged']);
    allowed($cgi, 'DirectoryIndex: a CGI');
    like(
        $cgi->body,
        qr/^MTLS_SUBJECT_CN=client\.bigpartner\.example$/m,
        'DirectoryIndex: a CGI gets the identity in its environment'
    );
    is(join('|', $cgi->body =~ /^HTTP_X_CLIENT_NAME=(.*)$/mg),
        'client.bigpartner.example', 'DirectoryIndex: and in its header');
    is(ask('/sub/cgiindex/', 'other-partner')->status, 403, 'DirectoryIndex: a CGI, refused');

    my $list = ask('/sub/listing/', undef);
    is($list->status, 200, 'autoindex: the list is open');
    like($list->body, qr/open-entry/, 'autoindex: open entry');
    unlike($list->body, qr/secret-entry/, 'autoindex: the protected entry is hidden');
    like(ask('/sub/listing/', 'partner')->body,
        qr/secret-entry/, 'autoindex: and shown to who may read it');
    denied(ask('/sub/listing/secret-entry.txt', undef),
        'no_certificate', 'autoindex: the entry itself');

    my @german = (headers => ['Accept-Language: de']);
    my $views  = ask('/sub/views/doc.html', undef, @german);
    unlike($views->body, qr/content in German/, 'MultiViews: the protected variant is not served');
    like(
        ask('/sub/views/doc.html', 'partner', @german)->body,
        qr/content in German/,
        'MultiViews: but to who may read it'
    );
    denied(ask('/sub/views/doc.html.de', undef),
        'no_certificate', 'MultiViews: the variant by name');
}

# --- internal redirects (P6, P8, P9) --------------------------------------------------------------
{
    denied(ask('/rw-to-secret', undef),
        'no_certificate', 'rewritten before the check: judged by the target');
    allowed(ask('/rw-to-secret', 'partner'), 'rewritten before the check: allowed');
    outcome_is(ask('/rw-secret-to-free', undef), '200 - -', 'rewritten to an open target');

    my $secret = ask('/sub/free/leads-to-secret', undef);
    denied($secret, 'no_certificate', 'rewritten per directory: the target decides');
    is(scalar(my @lines = $secret->denials), 1, 'rewritten per directory: logged once');
    unlike($secret->body, qr/content of/, 'rewritten per directory: no content');
    allowed(ask('/sub/free/leads-to-secret', 'partner'), 'rewritten per directory: allowed');

    denied(ask('/sub/guarded/leads-to-free', undef),
        'no_certificate', 'rewritten from a guarded place: the origin decides too');
    is(ask('/sub/guarded/leads-to-free', 'partner')->status,
        200, 'rewritten from a guarded place: allowed');
    denied(ask('/sub/guarded/leads-to-other', 'other-partner'),
        'subject_mismatch', 'origin refuses, target would allow');
    denied(ask('/sub/guarded/leads-to-other', 'partner'),
        'subject_mismatch', 'origin allows, target refuses');

    my $local = ask('/cgi-bin/redirect.cgi?/sub/secret/page.html', undef);
    denied($local, 'no_certificate', 'local redirect of CGI: judged by the target');
    unlike($local->body, qr/content of/, 'local redirect of CGI: no content');
    my $in = ask('/cgi-bin/redirect.cgi?/sub/secret/page.html', 'partner');
    allowed($in, 'local redirect of CGI: allowed');
    like($in->body, qr/content of sub\/secret/, 'local redirect of CGI: content');
    is(ask('/cgi-bin/redirect.cgi?/sub/free/page.html', undef)->status,
        200, 'local redirect of CGI to an open page');

    my $missing = ask('/no-such-page', undef);
    is($missing->status, 404, 'an error page under policy, for a request that is not');
    unlike($missing->body, qr/content of/, 'is not shown without certificate');
    like(ask('/no-such-page', 'partner')->body, qr/content of sub\/secret/, 'but with one');
}

# --- a path by any of its spellings ---------------------------------------------------------------
for my $path (
    '/sub/secret/page.html',   '//sub/secret/page.html',
    '/sub//secret/page.html',  '/./sub/secret/page.html',
    '/sub/./secret/page.html', '/x/../sub/secret/page.html',
    '/sub/%73ecret/page.html', '/sub/free/../secret/page.html',
    '/sub/free/%2e%2e/secret/page.html'
    )
{
    denied(ask($path, undef), 'no_certificate', "$path without certificate");
    allowed(ask($path, 'partner'), "$path allowed");
}

done_testing;
