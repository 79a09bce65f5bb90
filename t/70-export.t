# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What backends learn: exactly one value, ours, whatever the client sends; nothing where nothing was
# allowed. The HTTP backend answers with the bytes it received; the others are recorded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MIME::Base64 qw(encode_base64);
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Backend;

my $backend = MTLSTest::Backend->start;
my $records = run_dir() . '/logs';
my %binary =
    map { $_ => MTLSTest::Backend->start(record => "$records/record-$_") } qw(fcgi scgi uwsgi ajp);

my $exports = <<'CONF';
MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-DN "%{mtls:subject}"
    MTLSExportHeader X-Client-DNS "%{mtls:san.dns}"
    MTLSExportHeader X-Client-URI "%{mtls:san.uri}"
    MTLSExportHeader X-Client-Info \
        "%{mtls:verdict}/%{mtls:reason} of %{mtls:subject.O} at %{REQUEST_URI}"
CONF

my $proxies = join '',
    map { "ProxyPass \"/$_\" \"http://127.0.0.1:" . $backend->port . "/$_\"\n" }
    qw(http optional report authz open closed limited cert none user);
$proxies .= join '', map {
          "ProxyPass \"/$_\" \"$_://127.0.0.1:"
        . $binary{$_}->port
        . "/$_\"\n"
        . "ProxyPass \"/report-$_\" \"$_://127.0.0.1:"
        . $binary{$_}->port
        . "/$_\"\n"
} qw(fcgi scgi uwsgi ajp);

my $partner = 'MTLSRequire subject.O "Big Partner Foo SA"';
my $server  = private(name => 'export', config => <<"CONF");
MTLSStripHeader X-Remote-User
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
<Directory "\@Htdocs\@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
ProxyTimeout 30

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
MergeTrailers On
$proxies
ProxyPass "/ws" "ws://127.0.0.1:@{[ $backend->port ]}/ws"
ProxyPass "/upgrade" "http://127.0.0.1:@{[ $backend->port ]}/upgrade" upgrade=websocket
<LocationMatch "^/(?:http|ws|upgrade|fcgi|scgi|uwsgi|ajp)">
    $partner
    $exports
</LocationMatch>
<LocationMatch "^/(?:fcgi|scgi|uwsgi|ajp)">
    MTLSExport env
</LocationMatch>
<LocationMatch "^/report-">
    $partner
    MTLSMode report
    MTLSExport env
    $exports
</LocationMatch>
<Location "/cert">
    $partner
    MTLSExportHeader X-Client-Cert "%{mtls:cert}"
    MTLSExportHeader X-Client-SHA256 "%{mtls:sha256}"
    MTLSExportHeader X-Client-Not-After "%{mtls:not_after}"
</Location>
<Location "/optional">
    $partner
    MTLSMode optional
    $exports
</Location>
<Location "/report">
    $partner
    MTLSMode report
    $exports
</Location>
<Location "/authz">
    $partner
    MTLSMode authz
    $exports
    <RequireAny>
        Require mtls
        Require env LET_IN
    </RequireAny>
    SetEnvIf X-Let-In 1 LET_IN=1
</Location>
<Location "/none">
    $partner
    MTLSExport none
</Location>
<Location "/user">
    $partner
    MTLSMode optional
    Header always set X-Reply "expr=%{mtls:reason}:%{mtls:subject.CN}"
    RequestHeader set X-Mine "expr=%{mtls:subject.CN}"
    <If "%{mtls:subject.CN} != ''">
        Header always set X-Early "identity in If"
    </If>
</Location>
<Location "/cgi-bin">
    $partner
    MTLSExport env
    $exports
</Location>
<Location "/cgi-bin/none">
    MTLSExport none
</Location>
Alias "/cgi-bin/none" "\@Htdocs\@/cgi-bin/env.cgi"
<Location "/cgi-bin/redirect.cgi">
    MTLSMode off
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Limited\@
<VirtualHost 127.0.0.1:\@Port_Limited\@>
ServerName gateway.test
\@TLS\@
MTLSHeaderLimit 1024
$proxies
<Location "/limited">
    $partner
    $exports
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Plain\@
<VirtualHost 127.0.0.1:\@Port_Plain\@>
ServerName gateway.test
ProxyPass "/" "http://127.0.0.1:@{[ $backend->port ]}/"
</VirtualHost>
CONF

my $cn = 'client.bigpartner.example';
my @forged =
    map {"$_: forged"} qw(X-Client-Name X-Client-DN X-Client-DNS X-Client-Info X-Remote-User);
my @lookalikes = map {"$_: forged"} qw(
    X_Client_Name X.Client.Name x-client_name X-CLIENT-NAME X-Client.Name X_CLIENT-DN
    X.Remote.User
);

# Values of a header in what the backend received, comparing names as CGI does.
sub values_of {
    my ($text, $name) = @_;
    my ($head) = split /\r\n\r\n/, $text;
    my @values;
    for my $line (split /\r\n/, $head) {
        my ($n, $value) = $line =~ /\A([^:]+): ?(.*)\z/ or next;
        push @values, $value if lc($n =~ s/[^A-Za-z0-9]/_/gr) eq lc($name =~ s/[^A-Za-z0-9]/_/gr);
    }
    return @values;
}

sub one_value {
    my ($r, $name, $expected, $test) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(join('|', values_of($r->body, $name)), $expected, $test);
}

sub raw {
    my ($path, $cert, @headers) = @_;
    return $server->tls(cert => $cert)->request($path, headers => \@headers);
}

# --- what arrives ---------------------------------------------------------------------------------
{
    my $r = $server->get('/http/x', cert => 'partner');
    allowed($r, 'allowed');
    one_value($r, 'X-Client-Name', $cn,                                       'the name');
    one_value($r, 'X-Client-DN',   "CN=$cn,OU=API,O=Big Partner Foo SA,C=CH", 'the DN');
    one_value($r, 'X-Client-DNS',  $cn,                                       'the DNS name');
    one_value($r, 'X-Client-URI',  '', 'an absent attribute gives no header');
    one_value(
        $r, 'X-Client-Info',
        'allow/ok of Big Partner Foo SA at /http/x',
        'text and other expressions'
    );
    unlike($r->body, qr/\(null\)|NONE/, 'no (null)');
    my $cert = $server->get('/cert', cert => 'partner');
    my $der  = openssl('x509', '-in', pki_dir() . '/partner.crt', '-outform', 'DER');
    one_value(
        $cert, 'X-Client-Cert',
        encode_base64($der, ''),
        'the certificate, base64 of its DER on one line'
    );
    one_value($cert, 'X-Client-SHA256', sha256_of('partner'), 'its SHA-256');
    like(
        (values_of($cert->body, 'X-Client-Not-After'))[0],
        qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/,
        'its end'
    );
    my $many = $server->get('/http', cert => 'many-attributes');
    like(
        (values_of($many->body, 'X-Client-DNS'))[0],
        qr/\Aone\.bigpartner\.example, ?two\.bigpartner\.example\z/,
        'several values'
    );
    one_value($server->get('/none', cert => 'partner'),
        'X-Client-Name', '', 'no export where none is asked for');
}

# --- %{mtls:...} wherever httpd takes expressions -------------------------------------------------
{
    my $r = $server->get('/user', cert => 'partner');
    is($r->header('X-Reply'), "ok:$cn", 'in mod_headers, for a response');
    one_value($r, 'X-Mine', $cn, 'in mod_headers, for a request');
    is($r->header('X-Early'), undef, 'in If it is empty: nothing is decided yet');
    my $nobody = $server->get('/user');
    is($nobody->header('X-Reply'),
        'no_certificate:', 'without certificate there is a reason and no name');
    my $other = $server->get('/user', cert => 'other-partner');
    denied($other, 'subject_mismatch', 'refused');
    is($other->header('X-Reply'), 'subject_mismatch:', 'no name of who was refused');
}

# --- forged, look-alike, Connection (H1, H2, H3, H4, P11) -----------------------------------------
for my $case (
    ['exact names', \@forged],
    ['look-alikes', \@lookalikes],
    ['both twice',  [@forged, @lookalikes, @forged]]
    )
{
    my ($name, $headers) = @$case;
    for my $place (
        ['/http',     'partner',       $cn],
        ['/optional', undef,           ''],
        ['/optional', 'partner',       $cn],
        ['/report',   undef,           ''],
        ['/report',   'other-partner', ''],
        ['/report',   'partner',       $cn],
        ['/authz',    'partner',       $cn],
        ['/open',     undef,           ''],
        ['/open',     'partner',       ''],
        ['/none',     'partner',       '']
        )
    {
        my ($path, $cert, $value) = @$place;
        my $r    = raw($path, $cert, @$headers);
        my $test = "$name at $path with " . ($cert // 'no certificate');
        is($r->status, 200, $test);
        one_value($r, 'X-Client-Name', $value, "$test: exactly ours");
        unlike($r->body, qr/forged/, "$test: nothing of theirs");
    }
    my $plain =
        $server->get('/open', vhost => 'plain', plain => 1, headers => [map {$_} @$headers]);
    is($plain->status, 200, "$name on a plain vhost without any directive");
    unlike($plain->body, qr/forged/, "$name on a plain vhost: removed");
    like($plain->body, qr/^x-test-id:/mi, "$name on a plain vhost: other headers stay");
}
for my $tokens (
    'X-Client-Name',
    'x-client-name, X-Client-DN',
    'keep-alive, X_Client_Name',
    'X-Client-Name, close',
    'X.Client.Name'
    )
{
    my $r = raw('/http', 'partner', "Connection: $tokens");
    allowed($r, "Connection: $tokens");
    one_value($r, 'X-Client-Name', $cn, "Connection: $tokens: the header arrives");
    one_value(
        $r, 'X-Client-DN',
        "CN=$cn,OU=API,O=Big Partner Foo SA,C=CH",
        "Connection: $tokens: and the other"
    );
}
{
    my $r = raw('/http', 'partner', 'X-Other: 1', 'Connection: X-Other');
    one_value($r, 'X-Other', '', 'other Connection tokens work as before');
    my $authz = raw('/authz', 'other-partner', 'X-Let-In: 1', @forged);
    is($authz->status, 200, 'let in by something else than the certificate');
    one_value($authz, 'X-Client-Name', '', 'and without identity');
    denied(raw('/http', 'other-partner', @forged),
        'subject_mismatch', 'refused, forged headers or not');
}

# --- delimiters, controls, encodings (H5, H7) -----------------------------------------------------
for my $row (
    ['crlf-in-cn',          "$cn%0D%0AX-Client-Name: admin"],
    ['percent-in-cn',       '100%2541%250d%250a'],
    ['utf8-cn',             'J%C3%BCrgen'],
    ['bmpstring-cn',        'J%C3%BCrgen'],
    ['trailing-newline-cn', "$cn%0A"],
    ['escape-in-cn',        '%1B[31mred%1B]0;title%07'],
    ['comma-in-cn',         'admin,CN=root'],
    ['script-in-cn',        '<script>alert(1)</script>']
    )
{
    my ($cert, $value) = @$row;
    my $r = $server->get('/http', cert => $cert);
    allowed($r, "$cert: allowed");
    is(join('|', values_of($r->body, 'X-Client-Name')), $value, "$cert: one header, encoded");
}
{
    my $r = $server->get('/http', cert => 'comma-in-uri-san');
    like(
        (values_of($r->body, 'X-Client-URI'))[0],
        qr{\Ahttps://bigpartner\.example/a%2Cb, ?https://bigpartner\.example/c\z},
        'a comma inside one of several values'
    );
    my $crlf = $server->get('/http', cert => 'crlf-in-uri-san');
    is(
        join('|', values_of($crlf->body, 'X-Client-URI')),
        'https://bigpartner.example/%0D%0AX-Client-Name: admin',
        'CRLF in a URI'
    );
    is(scalar(values_of($crlf->body, 'X-Client-Name')), 1, 'makes no second header');
}

# --- size (H8) ------------------------------------------------------------------------------------
{
    is($server->get('/limited', vhost => 'limited', cert => 'dn-12k')->status,
        431, 'MTLSHeaderLimit: a value beyond it');
    allowed($server->get('/limited', vhost => 'limited', cert => 'partner'),
        'MTLSHeaderLimit: a value within it');
    my $r = $server->get('/http', cert => 'dn-12k');
    allowed($r, 'a DN of 12 KB below the default limit');
    cmp_ok(length((values_of($r->body, 'X-Client-DN'))[0]), '>', 12_000, 'arrives whole');
    my $large = $server->tls(cert => 'dn-64k')->request('/http');
    is($large->status, 431, 'a DN of 64 KB: never forwarded without its identity');
    unlike($large->body, qr/X-Test-Id/i, 'and the backend was not asked');
    cmp_ok(scalar(my @lines = $large->errors), '>=', 1, 'it is logged');
}

# --- trailers (H9) --------------------------------------------------------------------------------
{
    for my $case (['/http', 'partner', $cn], ['/optional', undef, '']) {
        my ($path, $cert, $value) = @$case;
        my $tls = $server->tls(cert => $cert);
        my $id  = $tls->send_head(
            $path,
            method  => 'POST',
            headers => ['Transfer-Encoding: chunked', 'Trailer: X-Client-Name']
        );
        $tls->send("5\r\nhello\r\n0\r\nX-Client-Name: forged\r\nX-Remote-User: forged\r\n\r\n");
        my $r = $tls->read_response('POST', $id);
        is($r->status, 200, "trailers at $path");
        one_value($r, 'X-Client-Name', $value, "trailers at $path: ours only");
        unlike($r->body =~ s/^trailer:.*//mir, qr/forged/, "trailers at $path: nothing of theirs");
    }
    my $tls = $server->tls(cert => 'partner');
    my $id  = $tls->send_head(
        '/cgi-bin/env.cgi',
        method  => 'POST',
        headers => ['Transfer-Encoding: chunked']
    );
    $tls->send("5\r\nhello\r\n0\r\nX-Client-Name: forged\r\n\r\n");
    my $r = $tls->read_response('POST', $id);
    allowed($r, 'trailers to CGI');
    like($r->body, qr/^body=5$/m, 'trailers to CGI: body');
    unlike($r->body, qr/forged/, 'trailers to CGI: ignored');
}

# --- CGI ------------------------------------------------------------------------------------------
{
    my $r = raw(
        '/cgi-bin/env.cgi', 'many-attributes', @forged, @lookalikes,
        'MTLS-Subject: forged',
        'Mtls_Verdict: forged'
    );
    allowed($r, 'CGI');
    my %env = map { /\A([^=]+)=(.*)\z/ ? ($1 => $2) : () } split /\n/, $r->body;
    is($env{HTTP_X_CLIENT_NAME}, 'many.bigpartner.example', 'CGI: the header, once and ours');
    my $sha256   = sha256_of('many-attributes');
    my %expected = (
        MTLS_VERDICT     => 'allow',
        MTLS_REASON      => 'ok',
        MTLS_ISSUER      => 'CN=CARC I101L,O=Carcano',
        MTLS_SUBJECT_CN  => 'many.bigpartner.example',
        MTLS_SUBJECT_O   => 'Big Partner Foo SA',
        MTLS_SUBJECT_C   => 'CH',
        MTLS_SHA256      => $sha256,
        MTLS_SPKI_SHA256 => spki_of('many-attributes'),
        MTLS_SAN_DNS_0   => 'one.bigpartner.example',
        MTLS_SAN_DNS_1   => 'two.bigpartner.example',
        MTLS_SAN_EMAIL_0 => 'Ops@BigPartner.example',
        MTLS_SAN_IP_0    => '192.0.2.11',
        MTLS_SAN_IP_1    => '2001:db8::1',
        MTLS_TRUST_STORE => 'vhost',
    );
    is($env{$_},                    $expected{$_}, "CGI: $_") for sort keys %expected;
    is(lc($env{MTLS_SERIAL} // ''), lc serial_of('many-attributes'), 'CGI: MTLS_SERIAL');
    like(
        $env{MTLS_SUBJECT},
        qr/\ACN=many\.bigpartner\.example,UID=jdoe,.*,DC=carcano,DC=corp\z/,
        'CGI: MTLS_SUBJECT in RFC 4514'
    );
    like($env{MTLS_SUBJECT_OU} // $env{MTLS_SUBJECT_OU_0} // '',
        qr/API/, 'CGI: an attribute that repeats');
    like($env{MTLS_NOT_BEFORE}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'CGI: MTLS_NOT_BEFORE');
    like($r->body,              qr/^MTLS_CERT=-----BEGIN CERTIFICATE-----/m, 'CGI: MTLS_CERT');
    is($env{MTLS_SPIFFE_ID}, undef, 'CGI: no SPIFFE ID where there is none');
    is(
        scalar(
            grep { /\A(?:MTLS_|HTTP_X_CLIENT|HTTP_X_REMOTE)/ && $env{$_} =~ /forged/ } keys %env
        ),
        0,
        'CGI: nothing forged in our names'
    );
    my $none = $server->get('/cgi-bin/none', cert => 'partner');
    allowed($none, 'CGI, MTLSExport none');
    unlike($none->body, qr/^MTLS_SUBJECT/m, 'CGI, MTLSExport none: no identity in the environment');
    like($none->body, qr/^MTLS_VERDICT=allow$/m, 'CGI, MTLSExport none: but the verdict');
    my $local = $server->get('/cgi-bin/redirect.cgi?/cgi-bin/env.cgi', cert => 'partner');
    allowed($local, 'CGI after a local redirect (P8)');
    like(
        $local->body,
        qr/^HTTP_X_CLIENT_NAME=\Q$cn\E$/m,
        'CGI after a local redirect: the header once'
    );
    denied($server->get('/cgi-bin/redirect.cgi?/cgi-bin/env.cgi'),
        'no_certificate', 'local redirect to it without certificate');
}

# --- WebSocket (S20) ------------------------------------------------------------------------------
for my $path ('/ws', '/upgrade') {
    my @upgrade = (
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    );
    denied(raw($path, undef,           @upgrade), 'no_certificate', "$path: refused before 101");
    denied(raw($path, 'other-partner', @upgrade),
        'subject_mismatch', "$path: another subject refused before 101");
    my $tls = $server->tls(cert => 'partner');
    my $id  = MTLSTest::TLS::next_id();
    $tls->send(
        join "\r\n",
        "GET $path HTTP/1.1",
        'Host: gateway.test',
        "X-Test-Id: $id",
        @upgrade, @forged, 'Connection: X-Client-Name',
        '', ''
    );
    my $head = $tls->read_response('HEAD', $id);
    is($head->status, 101, "$path: allowed, 101");
    my $echo = $tls->read_to_end;
    is(join('|', values_of($echo, 'X-Client-Name')), $cn, "$path: our header arrived once");
    unlike($echo, qr/forged/, "$path: nothing forged");
}

# --- the binary protocols -------------------------------------------------------------------------
for my $scheme (sort keys %binary) {
    my $file     = "$records/record-$scheme";
    my $received = sub {
        my ($path, $cert) = @_;
        unlink $file;
        raw($path, $cert, @forged, @lookalikes, 'Connection: X-Client-Name');
        await(sub { -e $file });
        return MTLSTest::Server::slurp($file);
    };
    my $bytes = $received->("/$scheme", 'partner');
    like($bytes, qr/\Q$cn\E/, "$scheme: our value arrived");
    like(
        $bytes,
        $scheme eq 'ajp' ? qr/X-Client-Name/i : qr/HTTP_X_CLIENT_NAME/,
        "$scheme: under its name"
    );
    like(
        $bytes,
        $scheme eq 'ajp' ? qr/AJP_MTLS_SUBJECT|MTLS_SUBJECT/ : qr/MTLS_SUBJECT/,
        "$scheme: and the environment"
    );
    unlike($bytes, qr/forged/, "$scheme: nothing forged");
    $bytes = $received->("/report-$scheme", 'other-partner');
    cmp_ok(length $bytes, '>', 50, "$scheme: report mode lets pass");
    unlike(
        $bytes,
        qr/forged|client\.other\.example|MTLS_SUBJECT|-----BEGIN|MII[A-Za-z0-9+\/]{40}/,
        "$scheme: report mode leaks nothing of the certificate"
    );
}

# --- HTTP/2 in front ------------------------------------------------------------------------------
SKIP: {
    skip 'prefork has no HTTP/2', 6 if mpm() eq 'prefork';
    my $r =
        $server->get('/http', cert => 'partner', http => '2', headers => [@forged, @lookalikes]);
    allowed($r, 'HTTP/2');
    one_value($r, 'X-Client-Name', $cn, 'HTTP/2: exactly ours');
    unlike($r->body, qr/forged/, 'HTTP/2: nothing forged');
    my $port   = $server->port('main');
    my $upload = $server->dir . '/upload';
    open my $fh, '>', $upload or die "cannot write $upload: $!\n";
    print {$fh} 'hello';
    close $fh;
    open my $pipe, '-|', 'nghttp', '-y', '--no-dep', '-d', $upload, '--trailer',
        'x-client-name: forged', '--cert', pki_dir() . '/partner-chain.crt', '--key',
        pki_dir() . '/partner.key', '-H', ':authority: gateway.test', "https://127.0.0.1:$port/http"
        or die "cannot run nghttp: $!\n";
    my $body = do { local $/; <$pipe> }
        // '';
    close $pipe;
    is(join('|', values_of($body, 'X-Client-Name')), $cn, 'HTTP/2 trailers: ours only');
    unlike($body, qr/forged/, 'HTTP/2 trailers: nothing of theirs');
    my $open = $server->get('/open', http => '2', headers => [@forged, @lookalikes]);
    unlike($open->body, qr/forged/, 'HTTP/2: removed at an open location');
}

done_testing;
