# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Identity over every way a gateway hands on a request, as the backend got it: exactly one value,
# ours, whatever the client sends; none where nobody was allowed, and then no other trace of the
# certificate either.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Backends;
use MTLSTest::Seen;
use MTLSTest::Traces qw(base64_of traces_of);

my $backends = MTLSTest::Backends->start('transport');
my @schemes  = ($backends->schemes, 'cgi');
my $passes   = join '', map {qq{ProxyPass "/$_/" "} . $backends->url($_) . qq{"\n}} $backends->schemes;
my $handlers = join '', map {
    my $url = $backends->url($_) =~ s{/\z}{}r;
    qq{<LocationMatch "^/handler/(?:enforce|report)/$_">\n    SetHandler "proxy:$url"\n</LocationMatch>\n}
} qw(http uwsgi fcgi scgi ajp);
my $sections = <<"CONF";
SSLOptions +StdEnvVars +ExportCertData
$passes
AliasMatch "^/cgi/" "\@Htdocs\@/cgi-bin/env.cgi"
<LocationMatch "^/[a-z0-9]+/(?:enforce|optional|report|authz|off|none)">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-DN "%{mtls:subject}"
    MTLSExportHeader X-Client-URI "%{mtls:san.uri}"
    MTLSExportHeader X-Client-Cert "%{mtls:cert}"
    SetEnvIf X-Let-In 1 LET_IN=1
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/variables">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/optional">
    MTLSMode optional
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/[a-z]+/configured">
    SetEnv MTLS_SUBJECT_CN forged
    SetEnv MTLS_SAN_URI_0 forged
    SetEnv mtls_subject_o forged
    SetEnv AJP_MTLS_SUBJECT_CN forged
    SetEnv AJP_MTLS_SAN_URI_0 forged
    SetEnvIf X-From-Client (.+) MTLS_SAN_URI_1=$1 AJP_MTLS_SAN_URI_1=$1
    RequestHeader set X-Client-Name forged
    RequestHeader append X-Client-DN forged
    RequestHeader add X-Client-URI forged
</LocationMatch>
$handlers
<LocationMatch "^/[a-z0-9]+/report">
    MTLSMode report
    SSLUserName SSL_CLIENT_S_DN_CN
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/authz">
    MTLSMode authz
    <RequireAny>
        Require mtls
        Require env LET_IN
    </RequireAny>
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/off">
    MTLSMode off
</LocationMatch>
CONF
my $server = private(name => 'transport', config => <<"CONF");
<Directory "\@Htdocs\@">
    Require all granted
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
$sections
</VirtualHost>

Listen 127.0.0.1:\@Port_Merging\@
<VirtualHost 127.0.0.1:\@Port_Merging\@>
ServerName gateway.test
\@TLS\@
MergeTrailers On
$sections
</VirtualHost>

Listen 127.0.0.1:\@Port_Second\@
<VirtualHost 127.0.0.1:\@Port_Second\@>
ServerName second.test
\@TLS\@
MergeTrailers On
$passes
AliasMatch "^/cgi/" "\@Htdocs\@/cgi-bin/env.cgi"
</VirtualHost>
CONF

my $cn = 'client.bigpartner.example';
sub ask {
    my ($path, $cert, %o) = @_;
    return $server->tls(cert => $cert)->request($path, %o);
}

sub seen { my ($r) = @_; return MTLSTest::Seen->new($r->body) }

my @forged = map { ("$_: forged", "$_: forged-again") } qw(X-Client-Name X-Client-DN X-Client-URI
    X-Client-Cert);
my @lookalikes = map {"$_: forged"} qw(X_Client_Name X.Client.Name x-client_name X-CLIENT-NAME
    X_CLIENT-DN X-Client.Uri x_client_cert);
my @variables = map {"$_: pretended"} qw(MTLS-Subject-CN MTLS_SUBJECT_CN AJP-MTLS-Subject-CN
    AJP_MTLS_SUBJECT_CN REDIRECT_MTLS_SUBJECT_CN SSL_CLIENT_S_DN_CN);
my @named = ('Connection: X-Client-Name, x_client_dn', 'Connection: X-Client-Cert');

# --- exactly one value, ours, over every scheme ---------------------------------------------------
my $der    = base64_of('partner');
my $sha256 = sha256_of('partner');
for my $scheme (@schemes) {
    for my $case (
        ['as it is', []],
        ['forged',   [@forged]],
        ['all at once', [@lookalikes, @variables, @forged, @named, @lookalikes]]
        )
    {
        my ($name, $headers) = @$case;
        my $test = "$scheme, $name";
        my $r    = ask("/$scheme/enforce", 'partner', headers => $headers);
        allowed($r, "$test: allowed") or next;
        my $seen = seen($r);
        is($seen->joined('X-Client-Name'), $cn, "$test: the name, once");
        is(
            $seen->joined('X-Client-DN'),
            "CN=$cn,OU=API,O=Big Partner Foo SA,C=CH",
            "$test: the DN, once"
        );
        is($seen->joined('X-Client-Cert'), $der, "$test: the certificate, once and whole");
        is(scalar($seen->matching(qr/\AX.Client.URI\z/i)), 0, "$test: an absent value: no header");
        unlike($r->body, qr/forged|\(null\)/, "$test: nothing of theirs");
        next if !$backends->has_variables($scheme) && $scheme ne 'cgi';
        is($seen->env->{MTLS_SUBJECT_CN}, $cn, "$test: and the variable");
        is($seen->env->{MTLS_SHA256}, $sha256, "$test: and another");
    }
}

# --- nobody: no header, not an empty one, whatever was sent ---------------------------------------
for my $scheme (@schemes) {
    for my $place ('optional', 'report', 'authz', 'off', 'open') {
        my $test = "$scheme, no certificate, $place";
        my $r    = ask("/$scheme/$place", undef,
            headers => ['X-Let-In: 1', @lookalikes, @forged, @named]);
        is($r->status, 200, "$test: passes") or next;
        my $seen = seen($r);
        is(join(' ', map { $_->[0] } $seen->matching(qr/\AX.Client/i)), '', "$test: no header");
        unlike($r->body, qr/forged|\(null\)/, "$test: nothing of theirs");
        is(join(' ', grep {/\AMTLS_(?:SUBJECT|ISSUER|CERT|S)/} sort keys %{ $seen->env }),
            '', "$test: no variable");
    }
    denied(ask("/$scheme/enforce", undef, headers => [@forged]),
        'no_certificate', "$scheme, no certificate, enforce");
}

# --- a certificate that is refused and lets the request pass: nothing else tells of it ------------
for my $scheme (@schemes) {
    for my $cert ('other-partner', 'self-signed') {
        my $reason = $cert eq 'self-signed' ? 'chain_untrusted' : 'subject_mismatch';
        for my $case (['report', 'report'], ['authz', 'deny']) {
            my ($place, $verdict) = @$case;
            my $test = "$scheme, $cert, $place";
            my $r    = ask("/$scheme/$place", $cert, headers => ['X-Let-In: 1', @forged, @named]);
            outcome_is($r, "200 $verdict $reason", "$test: passes") or next;
            is(traces_of($cert, seen($r)), '', "$test: no trace of the certificate");
        }
        denied(ask("/$scheme/enforce",  $cert), $reason, "$scheme, $cert, enforce");
        denied(ask("/$scheme/optional", $cert), $reason, "$scheme, $cert, optional");
    }
    for my $place ('report', 'authz', 'optional') {
        my $r = ask("/$scheme/$place", 'partner', headers => [@forged, @named]);
        is($r->status, 200, "$scheme, an allowed certificate, $place");
        is(seen($r)->joined('X-Client-Name'), $cn, "$scheme, an allowed certificate, $place: named");
    }
}

# --- a second virtual host that knows nothing of all this -----------------------------------------
for my $scheme (@schemes) {
    for my $cert (undef, 'partner') {
        my $test = "$scheme, a second vhost, " . ($cert // 'no certificate');
        my $r    = $server->tls(vhost => 'second', cert => $cert)->request("/$scheme/enforce",
            headers => [@lookalikes, @forged, @named, 'X-Other: stays']);
        is($r->status, 200, "$test: open") or next;
        unlike($r->body, qr/forged/, "$test: nobody sends our names");
        is(seen($r)->joined('X-Other'), 'stays', "$test: other headers are theirs");
    }
}

# --- methods (P10) --------------------------------------------------------------------------------
for my $scheme (@schemes) {
    for my $method (qw(HEAD OPTIONS PROPFIND DELETE BREW)) {
        next if $scheme eq 'cgi' && $method =~ /HEAD|OPTIONS/;    # it says nothing there
        my $test = "$scheme, $method";
        my $ask  = sub {
            my ($place, $cert) = @_;
            my $r = ask("/$scheme/$place", $cert, method => $method, headers => [@forged, @named]);
            return ($r, $method eq 'HEAD' ? $r->header('X-Seen') : seen($r)->joined('X-Client-Name'));
        };
        denied(($ask->('enforce'))[0], 'no_certificate', "$test: refused without certificate");
        my ($r, $name) = $ask->('enforce', 'partner');
        if ($scheme eq 'httpd' || $scheme eq 'h2') {
            next if $method =~ /HEAD|OPTIONS/;                    # the CGI there, neither
        }
        allowed($r, "$test: allowed");
        is($name, $cn, "$test: ours");
        ($r, $name) = $ask->('optional');
        is($r->status . " $name", '200 ', "$test: and no header of nobody");
    }
}
for my $method ('TRACE', 'OPTIONS') {
    denied(ask('/http/enforce', undef, method => $method, headers => ['Max-Forwards: 0', @forged]),
        'no_certificate', "$method that shall go no further: refused without certificate");
    my $r = ask('/http/enforce', 'partner',
        method => $method, headers => ['Max-Forwards: 0', @forged]);
    is($r->status, 200, "$method that shall go no further: allowed");
    unlike($r->body, qr/forged/, "$method that shall go no further: shows nothing forged");
}
{
    my $r = ask('/http/enforce', 'partner', method => 'TRACE', headers => [@lookalikes, @forged]);
    allowed($r, 'TRACE to the backend');
    unlike($r->body, qr/forged/, 'TRACE to the backend: nothing forged');
    denied(ask('/http/enforce', undef, method => 'TRACE'), 'no_certificate', 'TRACE without certificate');
}

# --- bodies: trailers, chunks, Expect -------------------------------------------------------------
for my $scheme (@schemes) {
    for my $case (['enforce', 'partner', $cn], ['optional', undef, '']) {
        my ($place, $cert, $value) = @$case;
        my $test = "$scheme, trailers, $place";
        my $tls  = $server->tls(cert => $cert, vhost => 'merging');
        my $id   = $tls->send_head(
            "/$scheme/$place",
            method  => 'POST',
            headers => ['Transfer-Encoding: chunked', 'Trailer: X-Client-Name, X-Client-URI']
        );
        $tls->send("5\r\nhello\r\n0\r\n"
                . join("\r\n", @lookalikes, 'X-Client-Name: forged', 'X-Client-URI: forged', '', ''));
        my $r = $tls->read_response('POST', $id);
        if ($scheme =~ /\A(?:scgi|uwsgi)\z/) {
            is($r->status, 411, "$test: the protocol has no way for it");
            next;
        }
        is($r->status, 200, "$test: passes") or next;
        is(seen($r)->joined('X-Client-Name'), $value, "$test: ours only");
        unlike($r->body =~ s/^(?:http_)?trailer[:=].*//mir, qr/forged/, "$test: nothing of theirs");
        like($r->body, qr/hello|^body=5$|^CONTENT_LENGTH=5$/m, "$test: with the body") or diag $r->body;
    }
    my $tls = $server->tls;
    $tls->request("/$scheme/enforce", headers => ['Content-Length: 5', 'Expect: 100-continue'], method => 'POST')
        ->status == 403
        or fail("$scheme, Expect: 100-continue: the first answer is the refusal");
    $tls = $server->tls(cert => 'partner');
    my $id = $tls->send_head(
        "/$scheme/enforce",
        method  => 'POST',
        headers => ['Content-Length: 5', 'Expect: 100-continue', @forged]
    );
    my $r = $tls->read_response('HEAD', $id);
    is($r->status, 100, "$scheme, Expect: 100-continue, allowed") or next;
    $tls->send('hello');
    $r = $tls->read_response('POST', $id);
    allowed($r, "$scheme, Expect: 100-continue: with the body");
    is(seen($r)->joined('X-Client-Name'), $cn, "$scheme, Expect: 100-continue: ours");
}

# --- what the configuration sets under the same names (H11) ---------------------------------------
for my $scheme (@schemes) {
    for my $case (['enforce', 'partner', $cn], ['optional', undef, ''], ['report', 'other-partner', '']) {
        my ($place, $cert, $value) = @$case;
        my $test = "$scheme, the same names in the configuration, $place";
        my $r    = ask("/$scheme/$place/configured", $cert, headers => ['X-From-Client: forged']);
        is($r->status, 200, "$test: passes") or next;
        my $seen = seen($r);
        is($seen->joined('X-Client-Name'), $value, "$test: the header is ours");
        is($seen->joined('X-Client-URI'), '', "$test: there is none for an absent value");
        is($seen->joined('X-Client-DN'), $value ? "CN=$cn,OU=API,O=Big Partner Foo SA,C=CH" : '', "$test: nothing is added to ours");
        is(join(' ', grep { /\A(?:REDIRECT_)*MTLS_/i && $seen->env->{$_} =~ /forged/ } sort keys %{ $seen->env }), '', "$test: nor are variables");
    }
}

# --- proxied by SetHandler ------------------------------------------------------------------------
for my $scheme (qw(http uwsgi fcgi scgi ajp)) {
    my $test = "$scheme by SetHandler";
    my $r    = ask("/handler/enforce/$scheme", 'partner', headers => [@lookalikes, @forged, @named]);
    allowed($r, "$test: allowed") or next;
    my $seen = seen($r);
    is($seen->joined('X-Client-Name'), $cn, "$test: the name, once");
    unlike($r->body, qr/forged/, "$test: nothing of theirs");
    is($seen->env->{MTLS_SUBJECT_CN}, $cn, "$test: and the variable") if $scheme ne 'http';
    denied(ask("/handler/enforce/$scheme"), 'no_certificate', "$test: refused without certificate");
    $r = ask("/handler/report/$scheme", 'other-partner', headers => [@forged]);
    outcome_is($r, '200 report subject_mismatch', "$test: report");
    is(traces_of('other-partner', seen($r)), '', "$test: report: no trace of the certificate");
}

done_testing;
