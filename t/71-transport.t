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
use MIME::Base64 qw(encode_base64);
use MTLSTest::Backends;
use MTLSTest::Files;
use MTLSTest::H2;
use MTLSTest::Seen;
use MTLSTest::Traces qw(base64_of traces_of);

my $backends = MTLSTest::Backends->start('transport');
my $upgraded = MTLSTest::Backend->start;
my @schemes  = ($backends->schemes, 'cgi');
my $passes   = join '',
    map { qq{ProxyPass "/$_/" "} . $backends->url($_) . qq{"\n} } $backends->schemes;
my $handlers = join '', map {
    my $url   = $backends->url($_) =~ s{/\z}{}r;
    my $place = "^/handler/(?:enforce|report)/$_";
    qq{<LocationMatch "$place">\n    SetHandler "proxy:$url"\n</LocationMatch>\n}
} qw(http uwsgi fcgi scgi ajp);
my $key = MTLSTest::Files::replace_file(
    MTLSTest::Files::files_dir('transport-key') . '/signing.key',
    openssl(qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256))
);
chmod 0600, $key;
my $sections = <<"CONF";
SSLOptions +StdEnvVars +ExportCertData
ProxyIOBufferSize 65536
$passes
ProxyPass "/ws/" "ws://127.0.0.1:@{[ $backends->echo->port ]}/"
ProxyPass "/upgrade/" "http://127.0.0.1:@{[ $upgraded->port ]}/" upgrade=websocket
AliasMatch "^/cgi/" "\@Htdocs\@/cgi-bin/env.cgi"
<LocationMatch "^/[a-z0-9]+/(?:enforce|optional|report|authz|off|none)">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-DN "%{mtls:subject}"
    MTLSExportHeader X-Client-URI "%{mtls:san.uri}"
    MTLSExportHeader X-Client-Cert "%{mtls:cert}"
    MTLSHeaderLimit 32768
    SetEnvIf X-Let-In 1 LET_IN=1
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/formats">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExport rfc9440 chain
    MTLSExport xfcc set hash,cert,chain,subject,uri,dns,by
    MTLSExport google
    MTLSExport aws-alb
    MTLSExport ingress-nginx
    MTLSExport traefik
    MTLSExport jwt aud=backend
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/formats/report">
    MTLSMode report
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/formats/optional">
    MTLSMode optional
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/variables">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/user">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    AuthType MTLS
    AuthName certificates
    MTLSUser subject.CN
    Require valid-user
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/report/explicit">
    RequestHeader set X-DN "%{SSL_CLIENT_S_DN}s"
    RequestHeader set X-CN "expr=%{SSL_CLIENT_S_DN_CN}"
    RequestHeader set X-Serial "%{SSL_CLIENT_M_SERIAL}s"
    RequestHeader set X-PEM "%{SSL_CLIENT_CERT}s"
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/report/basic">
    SSLOptions +FakeBasicAuth
    AuthType Basic
    AuthName staff
    AuthUserFile "\@Logs\@/users"
    Require valid-user
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/optional">
    MTLSMode optional
</LocationMatch>
<LocationMatch "^/[a-z0-9]+/[a-z]+/configured">
    SetEnv MTLS_SUBJECT_CN forged
    SetEnv MTLS_SAN_URI_0 forged
    SetEnv mtls_subject_o forged
    SetEnv MTLS-SUBJECT_O forged
    SetEnv mtls.subject.ou forged
    SetEnv AJP_MTLS_SUBJECT_CN forged
    SetEnv AJP_MTLS_SAN_URI_0 forged
    SetEnvIf X-From-Client (.+) MTLS_SAN_URI_1=\$1 AJP_MTLS_SAN_URI_1=\$1
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
MTLSSigningKey "$key"

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
<LocationMatch "^/[a-z0-9]+/small">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExportHeader X-Client-DN "%{mtls:subject}"
</LocationMatch>
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
my @lookalikes = map { "$_: forged" } qw(X_Client_Name X.Client.Name x-client_name X-CLIENT-NAME
    X_CLIENT-DN X-Client.Uri x_client_cert);
my @variables = map { "$_: pretended" } qw(MTLS-Subject-CN MTLS_SUBJECT_CN AJP-MTLS-Subject-CN
    AJP_MTLS_SUBJECT_CN REDIRECT_MTLS_SUBJECT_CN SSL_CLIENT_S_DN_CN);
my @named = ('Connection: X-Client-Name, x_client_dn', 'Connection: X-Client-Cert');

# --- exactly one value, ours, over every scheme ---------------------------------------------------
my $der    = base64_of('partner');
my $sha256 = sha256_of('partner');
for my $scheme (@schemes) {
    for my $case (
        ['as it is',    []],
        ['forged',      [@forged]],
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
        is($seen->env->{MTLS_SUBJECT_CN}, $cn,     "$test: and the variable");
        is($seen->env->{MTLS_SHA256},     $sha256, "$test: and another");
    }
}

# --- nobody: no header, not an empty one, whatever was sent ---------------------------------------
for my $scheme (@schemes) {
    for my $place ('optional', 'report', 'authz', 'off', 'open') {
        my $test = "$scheme, no certificate, $place";
        my $r =
            ask("/$scheme/$place", undef, headers => ['X-Let-In: 1', @lookalikes, @forged, @named]);
        is($r->status, 200, "$test: passes") or next;
        my $seen = seen($r);
        is(join(' ', map { $_->[0] } $seen->matching(qr/\AX.Client/i)), '', "$test: no header");
        unlike($r->body, qr/forged|\(null\)/, "$test: nothing of theirs");
        is(join(' ', grep { /\AMTLS_(?:SUBJECT|ISSUER|CERT|S)/ } sort keys %{ $seen->env }),
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
        is(seen($r)->joined('X-Client-Name'), $cn,
            "$scheme, an allowed certificate, $place: named");
    }
}

# --- a second virtual host that knows nothing of all this -----------------------------------------
for my $scheme (@schemes) {
    for my $cert (undef, 'partner') {
        my $test = "$scheme, a second vhost, " . ($cert // 'no certificate');
        my $r =
            $server->tls(vhost => 'second', cert => $cert)
            ->request("/$scheme/enforce",
            headers => [@lookalikes, @forged, @named, 'X-Other: stays']);
        is($r->status, 200, "$test: open") or next;
        unlike($r->body, qr/forged/, "$test: nobody sends our names");
        is(seen($r)->joined('X-Other'), 'stays', "$test: other headers are theirs");
    }
}

# --- AJP sends SSL_CLIENT_CERT by itself, and a servlet container takes it for verified -----------
for my $vhost ('main', 'second') {
    for my $case (['self-signed', ''], ['lookalike', ''], ['other-partner', 'ssl_cert']) {
        my ($cert, $expected) = @$case;
        my $test = "ajp, no policy, vhost $vhost, $cert";
        my $r    = $server->tls(vhost => $vhost, cert => $cert)->request('/ajp/open');
        is($r->status, 200, $test) or next;
        is(join(' ', grep { $_ eq 'ssl_cert' } keys %{ seen($r)->env }),
            $expected, "$test: what the backend gets of it");
    }
}
is(seen(ask('/ajp/off', 'other-partner'))->env->{ssl_cert},
    undef, 'ajp, mode off: nobody has verified any');
like(seen(ask('/ajp/enforce', 'partner'))->env->{ssl_cert},
    qr/\A-----BEGIN/, 'ajp, allowed: it gets the certificate');

# --- methods (P10) --------------------------------------------------------------------------------
for my $scheme (@schemes) {
    for my $method (qw(HEAD OPTIONS PROPFIND DELETE BREW)) {
        next if $scheme eq 'cgi' && $method =~ /HEAD|OPTIONS/;    # it says nothing there
        my $test = "$scheme, $method";
        my $ask  = sub {
            my ($place, $cert) = @_;
            my $r = ask("/$scheme/$place", $cert, method => $method, headers => [@forged, @named]);
            return ($r,
                $method eq 'HEAD' ? $r->header('X-Seen') : seen($r)->joined('X-Client-Name'));
        };
        denied(($ask->('enforce'))[0], 'no_certificate', "$test: refused without certificate");
        my ($r, $name) = $ask->('enforce', 'partner');
        if ($scheme eq 'httpd' || $scheme eq 'h2') {
            next if $method =~ /HEAD|OPTIONS/;    # the CGI there, neither
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
    my $r = ask(
        '/http/enforce', 'partner',
        method  => $method,
        headers => ['Max-Forwards: 0', @forged]
    );
    is($r->status, 200, "$method that shall go no further: allowed");
    unlike($r->body, qr/forged/, "$method that shall go no further: shows nothing forged");
}
{
    my $r = ask('/http/enforce', 'partner', method => 'TRACE', headers => [@lookalikes, @forged]);
    allowed($r, 'TRACE to the backend');
    unlike($r->body, qr/forged/, 'TRACE to the backend: nothing forged');
    denied(ask('/http/enforce', undef, method => 'TRACE'),
        'no_certificate', 'TRACE without certificate');
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
            headers => ['Transfer-Encoding: chunked', 'Trailer: X-Client-Name, X-Client-URI'],
            at_once => "5\r\nhello\r\n0\r\n"
                . join("\r\n", @lookalikes, 'X-Client-Name: forged', 'X-Client-URI: forged', '', '')
        );
        my $r = $tls->read_response('POST', $id);
        if ($scheme =~ /\A(?:scgi|uwsgi)\z/) {
            is($r->status, 411, "$test: the protocol has no way for it");
            next;
        }
        is($r->status,                        200,    "$test: passes") or next;
        is(seen($r)->joined('X-Client-Name'), $value, "$test: ours only");
        unlike($r->body =~ s/^(?:http_)?trailer[:=].*//mir, qr/forged/, "$test: nothing of theirs");

        # uwsgi's FastCGI reads no body of unknown length.
        like($r->body, qr/hello|^body=5$/m, "$test: with the body") if $scheme ne 'fcgi';
    }
    my @expecting =
        (method => 'POST', headers => ['Content-Length: 5', 'Expect: 100-continue', @forged]);
    denied(ask("/$scheme/enforce", undef, @expecting),
        'no_certificate', "$scheme, Expect: 100-continue: refused before anything else");
    next if $scheme =~ /\Ah2/;    # mod_proxy_http2 may wait for the body without asking for it
    my $tls = $server->tls(cert => 'partner');
    my $id  = $tls->send_head("/$scheme/enforce", @expecting);
    my $r   = $tls->read_response('HEAD', $id);
    is($r->status, 100, "$scheme, Expect: 100-continue, allowed") or next;
    $tls->send('hello');
    $r = $tls->read_response('POST', $id);
    allowed($r, "$scheme, Expect: 100-continue: with the body");
    is(seen($r)->joined('X-Client-Name'), $cn, "$scheme, Expect: 100-continue: ours");
}

# --- what the configuration sets under the same names (H11) ---------------------------------------
for my $scheme (@schemes) {
    for my $case (
        ['enforce',  'partner',       $cn],
        ['optional', undef,           ''],
        ['report',   'other-partner', '']
        )
    {
        my ($place, $cert, $value) = @$case;
        my $test = "$scheme, the same names in the configuration, $place";
        my $r    = ask("/$scheme/$place/configured", $cert, headers => ['X-From-Client: forged']);
        is($r->status, 200, "$test: passes") or next;
        my $seen = seen($r);
        is($seen->joined('X-Client-Name'), $value, "$test: the header is ours");
        is($seen->joined('X-Client-URI'),  '',     "$test: there is none for an absent value");
        is(
            $seen->joined('X-Client-DN'),
            $value ? "CN=$cn,OU=API,O=Big Partner Foo SA,C=CH" : '',
            "$test: nothing is added to ours"
        );
        is(
            join(' ',
                grep { /\A(?:REDIRECT_)*MTLS_/i && $seen->env->{$_} =~ /forged/ }
                sort keys %{ $seen->env }),
            '',
            "$test: nor are variables"
        );
    }
}

# --- proxied by SetHandler ------------------------------------------------------------------------
for my $scheme (qw(http uwsgi fcgi scgi ajp)) {
    my $test = "$scheme by SetHandler";
    my $r = ask("/handler/enforce/$scheme", 'partner', headers => [@lookalikes, @forged, @named]);
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

# --- logins that mod_ssl makes of a certificate (H20) ---------------------------------------------
MTLSTest::Files::replace_file($server->dir . '/users',
    '/C=CH/O=Other Partner SA/CN=client.other.example:' . openssl(qw(passwd -apr1 password)));
for my $scheme (@schemes) {
    my $test = "$scheme, FakeBasicAuth";
    my $r    = ask("/$scheme/report/basic", 'other-partner');
    outcome_is($r, '200 report subject_mismatch', "$test, report") or next;
    is(traces_of('other-partner', seen($r)), '', "$test, report: no trace of the certificate");
    unlike($r->body, qr/authorization|^(?:REMOTE|remote)_user=/mi, "$test, report: no login");
    for my $login ('admin:password', '/C=CH/CN=admin:password') {
        my $header = 'Authorization: Basic ' . encode_base64($login, '');
        $test = "$scheme, a client sends $login";
        $r    = ask("/$scheme/user", undef, headers => [$header]);
        denied($r, 'no_certificate', "$test, no certificate: refused");
        $r = ask("/$scheme/optional", undef, headers => [$header]);
        is($r->status, 200, "$test, no certificate, optional");
        unlike($r->body, qr/^(?:MTLS_SUBJECT|remote_user=|REMOTE_USER=)/m, "$test: is nobody");
        next if $login =~ m{\A/};    # mod_ssl refuses that
        $r = ask("/$scheme/user", 'partner', headers => [$header]);
        allowed($r, "$test, and a certificate");
        is($r->user, $cn, "$test, and a certificate: the user is the certificate's");
        next if !$backends->has_variables($scheme);
        my $env = seen($r)->env;
        is($env->{REMOTE_USER} // $env->{remote_user},
            $cn, "$test, and a certificate: for the backend, too");
    }
}

# What mod_headers and expressions ask mod_ssl for.
for my $scheme (@schemes) {
    my $test = "$scheme, mod_ssl's words in RequestHeader";
    my $r    = ask("/$scheme/report/explicit", 'other-partner');
    outcome_is($r, '200 report subject_mismatch', "$test, report");
    is(traces_of('other-partner', seen($r)), '', "$test, report: no trace of the certificate");
    like(seen(ask("/$scheme/report/explicit", 'partner'))->joined('X-Serial'),
        qr/\A[0-9A-F]{16,}\z/, "$test, allowed: there");
}

# --- whose certificate (H14) ----------------------------------------------------------------------
{
    my $both = MTLSTest::Files::replace_file($server->dir . '/both.crt',
        MTLSTest::Files::pki_text('partner-chain.crt', 'user-1.crt'));
    for my $version ('1.2', '1.3') {
        my $tls = MTLSTest::TLS->connect(
            sni     => 'gateway.test',
            port    => $server->port('main'),
            log     => $server->log,
            cert    => $both,
            key     => pki_dir() . '/partner.key',
            version => $version
        );
        my $r = $tls->request('/http/enforce');
        allowed($r, "somebody else's certificate behind one's own, TLS $version");
        is(seen($r)->joined('X-Client-Name'), $cn,  "... it is one's own, TLS $version");
        is(seen($r)->joined('X-Client-Cert'), $der, "... in every header, TLS $version");
    }
}

# --- sizes (H8, H12): whole, or the request does not get there ------------------------------------
my %too_small = (ajp => 400, fcgi => 431, scgi => 500, uwsgi => 500);
for my $scheme (@schemes) {
    my $test = "$scheme, a DN of 12 KB";
    my $r    = ask("/$scheme/enforce", 'dn-12k');
    if ($too_small{$scheme}) {
        is($r->status, $too_small{$scheme}, "$test, its certificate and all variables: refused");
        unlike($r->body, qr/dn-12k/, '... and does not get there in part');
        my @lines = grep { /mod_proxy_fcgi can send/ } $r->errors;
        is(scalar @lines, $scheme eq 'fcgi' ? 1 : 0, '... of which we log what nobody else would');
    }
    else {
        allowed($r, $test);
        my $seen = seen($r);
        cmp_ok(length $seen->joined('X-Client-DN'), '>', 12_000, "$test: arrives whole");
        is($seen->joined('X-Client-Name'), 'dn-12k',            "$test: with the name");
        is($seen->joined('X-Client-Cert'), base64_of('dn-12k'), "$test: and the certificate");
    }
    $r = $server->tls(cert => 'dn-12k', vhost => 'second')->request("/$scheme/small");
    if ($scheme eq 'ajp') { is($r->status, 400, "$test alone: too large for AJP's usual packets") }
    else {
        allowed($r, "$test alone");
        cmp_ok(length seen($r)->joined('X-Client-DN'), '>', 12_000, "$test alone: arrives whole");
    }
    $r = $server->tls(cert => 'dn-64k')->request("/$scheme/enforce");
    is($r->status, 431, "$scheme, a DN of 64 KB: refused");
    next if !$backends->has_variables($scheme);
    $r = $server->tls(cert => 'dn-64k')->request("/$scheme/variables");
    if ($too_small{$scheme}) {
        is($r->status, $too_small{$scheme}, "$scheme, a DN of 64 KB as a variable: refused");
        unlike($r->body, qr/MTLS_/, '... and does not get there without it');
    }
    else {
        allowed($r, "$scheme, a DN of 64 KB as a variable");
        cmp_ok(length seen($r)->env->{MTLS_SUBJECT}, '>', 60_000, '... arrives whole');
    }
}

# --- all formats, the same over every scheme ------------------------------------------------------
my $ours = qr/\A(?:X.Client|Client.Cert|X.Forwarded.(?:Client|Tls)|ssl.client|X.Amzn)/i;

sub formats {
    my ($r) = @_;
    my %found;
    for my $header (seen($r)->matching($ours)) {
        my ($name, $value) = (MTLSTest::Seen::cgi_name($header->[0]), $header->[1]);
        $value =~ s/\.[\w-]+\.[\w-]+\z/.../ if $name eq 'X_CLIENT_IDENTITY';    # one a connection
        push @{ $found{$name} }, $value;
    }
    return { map { $_ => join '|', @{ $found{$_} } } keys %found };
}
my $reference = formats(ask('/http/formats', 'partner'));
is($reference->{CLIENT_CERT}, ":$der:", 'RFC 9440 as it stands in the RFC');
like($reference->{X_FORWARDED_CLIENT_CERT},
    qr/\AHash=$sha256;/, 'Envoy\'s element begins as it does');
like($reference->{X_CLIENT_IDENTITY}, qr/\AeyJ[\w-]+\.\.\.\z/, 'a token is there');
cmp_ok(scalar keys %$reference, '>=', 25, 'and all the others');
my @formats = map { my $name = lc tr/_/-/r; ("$name: forged", lc "$_: forged", "$name: forged") }
    sort keys %$reference;
my @more = map { "$_: forged" } qw(X-Client-Cert-SPIFFE X-Client-Cert-Issuer-DN Client-Cert-Chain
    X-Amzn-Mtls-Clientcert X.Forwarded.Client.Cert);
my $named = 'Connection: ' . join ', ', map { lc tr/_/-/r } sort keys %$reference;

for my $scheme (@schemes) {
    my $test = "$scheme, all formats";
    my $r    = ask("/$scheme/formats", 'partner');
    allowed($r, $test) or next;
    is_deeply(formats($r), $reference, "$test: the same as over http");
    $r = ask("/$scheme/formats", 'partner', headers => [@formats, $named]);
    allowed($r, "$test, forged");
    is_deeply(formats($r), $reference, "$test, forged: the same");
    for my $case (['optional', undef], ['report', undef], ['report', 'other-partner']) {
        my ($place, $cert) = @$case;
        my $about = "$test, $place, " . ($cert // 'no certificate');
        $r = ask("/$scheme/formats/$place", $cert, headers => [@formats, $named]);
        is($r->status, 200, $about);
        is_deeply(formats($r), {}, "$about: none");
        unlike($r->body, qr/forged/, "$about: nothing of theirs");
        is(traces_of($cert, seen($r)), '', "$about: no trace of the certificate") if $cert;
    }
    unlike(ask("/$scheme/formats/optional", undef, headers => [@more])->body,
        qr/forged/, "$test: nor what a format may leave out");
}

# --- WebSocket (S20) ------------------------------------------------------------------------------
my @upgrade = (
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
);
for my $way (qw(ws upgrade)) {
    denied(ask("/$way/formats", undef, headers => \@upgrade),
        'no_certificate', "$way: refused before 101");
    for my $case (['formats', 'partner', $reference], ['formats/optional', undef, {}]) {
        my ($place, $cert, $expected) = @$case;
        my $test = "$way, $place";
        my $tls  = $server->tls(cert => $cert);
        my $id   = $tls->send_head("/$way/$place", headers => [@upgrade, @formats, $named]);
        is($tls->read_response('HEAD', $id)->status, 101, "$test: 101") or next;
        my $echo = MTLSTest::Response->from_text("HTTP/1.1 200 OK\r\n\r\n" . $tls->read_to_end);
        is_deeply(formats($echo), $expected, "$test: what the backend got");
        unlike($echo->body, qr/forged/, "$test: nothing of theirs");
    }
}

# --- HTTP/2 in front ------------------------------------------------------------------------------
SKIP: {
    skip 'prefork has no HTTP/2', 1 if mpm() eq 'prefork';
    for my $scheme (@schemes) {
        my $h2 = MTLSTest::H2->new($server->tls(cert => 'partner', alpn => ['h2']), $server->log);
        my $r  = $h2->request("/$scheme/enforce",
            map { lc, 'forged' } qw(X-Client-Name x_client_name X-Client-DN x.client.cert));
        allowed($r, "$scheme, HTTP/2");
        is(seen($r)->joined('X-Client-Name'), $cn,  "$scheme, HTTP/2: ours");
        is(seen($r)->joined('X-Client-Cert'), $der, "$scheme, HTTP/2: in every header");
        unlike($r->body, qr/forged/, "$scheme, HTTP/2: nothing of theirs");
        $h2 = MTLSTest::H2->new($server->tls(alpn => ['h2']), $server->log);
        $r  = $h2->request("/$scheme/optional",
            map { lc, 'forged' } qw(X-Client-Name x_client_name X-Client-DN x.client.cert));
        is($r->status, 200, "$scheme, HTTP/2, no certificate, optional");
        unlike($r->body, qr/forged|x.client/i,
            "$scheme, HTTP/2, no certificate, optional: no header");
    }

    # RFC 9113 8.2.1: such a request is malformed (H10).
    for my $name (
        'X-Client-Name', ':x-client-name',
        'x-client-name ',
        "x-client-name\r\nx-client-name"
        )
    {
        my $h2 = MTLSTest::H2->new($server->tls(cert => 'partner', alpn => ['h2']), $server->log);
        my ($by, $body) = $h2->exchange('/http/enforce', $name => 'forged');
        my $shown = $name =~ s/[^!-~]/?/gr;
        unlike($body, qr/forged|x-client-name/i,
            "HTTP/2, a field named $shown: does not reach a backend");
    }
    my $h2 = MTLSTest::H2->new($server->tls(cert => 'partner', alpn => ['h2']), $server->log);
    my ($by, $body) = $h2->exchange('/http/enforce', 'x-client-nam' => 'sent');
    like($body, qr/^x-client-nam: sent\r$/mi, 'HTTP/2, a field of a good name: does');
}

done_testing;
