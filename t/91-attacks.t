# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Ways round a policy that somebody has found: each one as it was done.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Backend;
use POSIX ();

my $backend = MTLSTest::Backend->start;
my $server  = private(name => 'attacks', config => <<"CONF");
<MTLSPolicy "partner-api">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
<MTLSPolicy "other-api">
    MTLSRequire subject.O "Other Partner SA"
</MTLSPolicy>
MTLSStripHeader X-Client-Name
<Directory "\@Htdocs\@">
    Require all granted
    Options FollowSymLinks Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory "\@Htdocs\@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
<Directory "\@Htdocs\@/sub/either">
    DirectoryIndex a.html b.html
    <Files "a.html">
        Require mtls
    </Files>
    <Files "b.html">
        MTLSUsePolicy partner-api
        MTLSMode authz
        Require all granted
    </Files>
</Directory>
<Directory "\@Htdocs\@/sub/guarded">
    RewriteEngine on
    RewriteRule "^leads-to-cgi\$" "/target/env"
</Directory>
<Location "/sub/guarded">
    MTLSUsePolicy other-api
    MTLSMode authz
    MTLSExport env
    Require mtls-policy partner-api
</Location>
Alias "/target/env" "\@Htdocs\@/cgi-bin/env.cgi"
<Location "/target">
    MTLSMode off
    MTLSExport none
</Location>
<Location "/slow">
    MTLSRequire san.dns "regex:([a-z0-9.-]+)+[!?]" "regex:([a-z0-9.-]+)+[*?]"
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Defer\@
<VirtualHost 127.0.0.1:\@Port_Defer\@>
ServerName gateway.test
\@TLS\@
MTLSHandshake defer
Protocols h2 http/1.1
AliasMatch "^/verify" "\@Htdocs\@/index.html"
<LocationMatch "^/verify">
    MTLSMode off
</LocationMatch>
<Location "/verify-required">
    Require expr "%{SSL_CLIENT_VERIFY} == 'SUCCESS'"
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Asks\@
<VirtualHost 127.0.0.1:\@Port_Asks\@>
ServerName gateway.test
\@TLS\@
SSLVerifyClient none
MergeTrailers On
ProxyPass "/asks" "http://127.0.0.1:@{[ $backend->port ]}/asks"
<Location "/asks">
    SSLVerifyClient optional_no_ca
</Location>
</VirtualHost>
CONF

# What one section's Require was asked says nothing about another's, whatever became of the first.
{
    my $name    = 'DirectoryIndex past a section that asked Require mtls';
    my $by_name = $server->get('/sub/either/b.html');
    denied($by_name, 'no_certificate', 'the page by its name');
    for my $round (1 .. 5) {
        my $r = $server->get('/sub/either/');
        is($r->status, 403, "$name, round $round: refused");
        unlike($r->body, qr/content of either/, "$name, round $round: nothing of it is shown");
    }
    like(
        $server->get('/sub/either/', cert => 'partner')->body,
        qr/content of either/,
        "$name: allowed with the certificate"
    );
}

# Where authz let a request in for another reason, its verdict and identity stay with it.
{
    my $r = $server->get('/sub/guarded/leads-to-cgi', cert => 'partner');
    is($r->status, 200, 'redirected out of an authz section');
    unlike(
        $r->body,
        qr/^MTLS_(?:CERT|SUBJECT|ISSUER|SAN)/m,
        'its identity is not exported to a target that exports none'
    );
    is($server->get('/sub/guarded/leads-to-cgi')->status, 403, 'without certificate: refused');
}

# SSL_CLIENT_VERIFY on a vhost that defers, for whoever asks and over whatever protocol.
for my $tls ('1.2', '1.3') {
    for my $http (mpm() eq 'prefork' ? '1.1' : ('1.1', '2')) {
        my @how = (vhost => 'defer', tls => $tls, http => $http);
        my $r   = $server->get('/verify-required', cert => 'self-signed', @how);
        is($r->status, 403, "self-signed, TLS $tls, HTTP/$http: Require expr on SSL_CLIENT_VERIFY");
        isnt($server->get('/verify', cert => 'self-signed', @how)->verify,
            'SUCCESS', "self-signed, TLS $tls, HTTP/$http: SSL_CLIENT_VERIFY in the log");
        is($server->get('/verify-required', cert => 'partner', @how)->status,
            200, "partner, TLS $tls, HTTP/$http: Require expr on SSL_CLIENT_VERIFY");
    }
}

# A body that mod_ssl buffers before it asks for a certificate has its trailers merged early.
for my $cert (undef, 'partner') {
    my $tls = $server->tls(vhost => 'asks', version => '1.2', cert => $cert);
    my $id  = $tls->send_head('/asks', method => 'POST', headers => ['Transfer-Encoding: chunked']);
    $tls->send("5\r\nhello\r\n0\r\nX-Client-Name: forged\r\n\r\n");
    my $r = $tls->read_response('POST', $id);
    is($r->status, 200, 'renegotiation with a body, ' . ($cert // 'no certificate'));
    unlike($r->body, qr/forged/,
              'renegotiation with a body, '
            . ($cert // 'no certificate')
            . ': the trailer does not become a header');
}

# The seconds a process has computed for.
sub computed {
    my ($pid) = @_;
    my @stat = split ' ', MTLSTest::Server::slurp("/proc/$pid/stat") =~ s/.*\)//sr;
    return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# A regex that explodes on every one of many names: bounded for all of them together. Without a bound
# it would be minutes.
{
    my $tls  = $server->tls(cert => 'san-1500-long');
    my $pid  = $tls->request('/name.shtml')->pid;
    my $took = -computed($pid);
    my $r    = $tls->request('/slow');
    $took += computed($pid);
    outcome_is($r, '403 deny ' . $r->reason, 'a regex that explodes on each of 1,500 names');
    like($r->reason, qr/\A(?:match_limit|san_mismatch)\z/, 'is refused for it');
    cmp_ok($took, '<', $ENV{MTLS_SANITIZED} ? 20 : 2, 'in bounded time');
    is($r->pid, $pid, 'of the process that was asked');
}

# Negation of the providers, in every way of writing it.
for my $row (
    ['Require not mtls',          ''],
    ['Require not "mtls"',        ''],
    ['Require "not" mtls',        ''],
    ['Require not mtls-policy p', ''],
    ['Require not alias',         "<AuthzProviderAlias mtls-policy alias p>\n</AuthzProviderAlias>"]
    )
{
    my ($require, $alias) = @$row;
    my ($exit, $output) =
        MTLSTest::Server->start_refused(name => 'attacks-negated', config => <<"CONF");
<MTLSPolicy "p">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
$alias
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
<Location "/x">
    MTLSUsePolicy p
    MTLSMode authz
    <RequireAll>
        $require
        Require all granted
    </RequireAll>
</Location>
</VirtualHost>
CONF
    isnt($exit, 0, "$require: the start fails");
    like($output, qr/mtls/, "$require: and says why");
}

# A vhost that defers lets everybody through the handshake, so a section that asks mod_ssl for more
# has to be refused at the start or on every request, not on the first one only.
{
    my $required = sub {
        my ($mode) = @_;
        return MTLSTest::Server->prepare(name => 'attacks-required', config => <<"CONF");
<MTLSPolicy "p">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
MTLSHandshake defer
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/asks">
    SSLVerifyClient require
    $mode
</Location>
</VirtualHost>
CONF
    };
    for my $mode ('MTLSMode off', "MTLSUsePolicy p\n    MTLSMode report") {
        my $other = $required->($mode);
        my $name  = 'SSLVerifyClient require in a section of a vhost that defers, '
            . ($mode =~ s/.*\n\s*//r);
        my $tls = $other->launch && $other->tls(version => '1.2', cert => 'self-signed');
        my @statuses =
            $tls ? map({ $tls->error ? 0 : $tls->request('/asks')->status } 1 .. 3) : ('no start');
        is(scalar(grep { $_ eq '200' } @statuses),
            0, "$name: a self-signed certificate is never let in (@statuses)");
        $other->stop;
    }
}

# What mod_cache answers before any check is not looked at by any policy: refused at the start.
{
    my @modules = qw(
        authn_core authz_core authz_host authz_user alias dir headers log_config mime setenvif
        socache_shmcb cache cache_socache mtls_policy ssl
    );
    for my $protection ('MTLSUsePolicy p', 'Require mtls-policy p') {
        my $start = sub {
            my ($quick) = @_;
            return MTLSTest::Server->start_refused(
                name    => 'attacks-cache',
                modules => \@modules,
                config  => <<"CONF");
<MTLSPolicy "p">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
CacheSocache shmcb
CacheEnable socache /cached
CacheQuickHandler $quick
<Location "/cached">
    $protection
</Location>
</VirtualHost>
CONF
        };
        my ($exit, $output) = $start->('on');
        isnt($exit, 0, "CacheQuickHandler on before $protection: the start fails");
        like($output, qr/CacheQuickHandler/,
            "CacheQuickHandler on before $protection: and says why");
        ($exit, $output) = $start->('off');
        is($exit, 0, "CacheQuickHandler off before $protection: starts") or diag($output);
    }
}

done_testing;
