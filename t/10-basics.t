# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# The outcome of a request: verdict, status, reason; how it is told to logs, pages and the client.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my $s = shared();

# --- allowed and refused --------------------------------------------------------------------------
{
    my $open = $s->get('/index.html');
    outcome_is($open, '200 - -', 'outside any policy nothing is decided');
    is($open->body, "public\n", 'and the page is served');
    denied($s->get('/partner/index.html'), 'no_certificate', 'no certificate');
    allowed(my $in = $s->get('/partner/index.html', cert => 'partner'), 'the right certificate');
    is($in->body, "content of partner\n", 'gets the page');
    is($in->rule, '-',                    'no rule failed');
    denied($s->get('/partner/index.html', cert => 'other-partner'),
        'subject_mismatch', 'another subject');
    allowed($s->get('/other/index.html', cert => 'other-partner'), 'who has a location of its own');
    denied($s->get('/partner/index.html', cert => 'partner-by-i102l'),
        'issuer_mismatch', 'the same subject of another issuer');
    denied($s->get('/partner/index.html', cert => 'self-signed'),
        'chain_untrusted', 'the same subject, self-signed');
    denied($s->get('/partner/nothing-here', cert => 'other-partner'),
        'subject_mismatch', 'refused before existence is told');
    outcome_is($s->get('/partner/nothing-here', cert => 'partner'),
        '404 allow ok', 'an allowed one is told');
}

# --- the rule that failed, as written -------------------------------------------------------------
{
    my $r = $s->get('/partner/', cert => 'other-partner');
    like($r->rule, qr/subject\.O .*Big Partner Foo SA/, 'MTLS_RULE is the rule as written');
    is($s->get('/status-404/', cert => 'partner')->policy,
        'partner-api', 'MTLS_POLICY names the policy, allowed');
    is($s->get('/status-404/', cert => 'other-partner')->policy, 'partner-api', 'and refused');
}

# --- one line in the error log --------------------------------------------------------------------
{
    my $r     = $s->get('/partner/index.html?q=1', cert => 'other-partner');
    my @lines = $r->denials;
    is(scalar @lines, 1, 'a denial is one line');
    my $line = $lines[0] // '';
    like($line, qr/\[mtls_policy:warn\]/,                 'of level warn');
    like($line, qr/\bverdict="?deny\b/,                   'verdict');
    like($line, qr/\breason="?subject_mismatch\b/,        'reason');
    like($line, qr/\brule=.*subject\.O.*extra\.conf:\d+/, 'the rule with file and line');
    my $sha256 = sha256_of('other-partner');
    like($line, qr/\bsha256="?$sha256\b/,                                 'SHA-256 of the leaf');
    like($line, qr/\bsubject=.*client\.other\.example.*Other Partner SA/, 'subject');
    my $serial = serial_of('other-partner');
    like($line, qr/\bserial="?(?:0x)?$serial\b/i, 'serial');
    like($line, qr/\bmethod="?GET\b/,             'method');
    like($line, qr{\buri="?/partner/index\.html}, 'uri');
    is(scalar $s->get('/partner/', cert => 'partner')->denials,
        0, 'an allowed request is no denial');
    my $none = $s->get('/partner/');
    is(scalar(my @none = $none->denials), 1, 'without a certificate one line too');
    like($none[0], qr/reason="?no_certificate/, 'with its reason');
}

# --- nothing of the certificate reaches the client (L2, L5) ---------------------------------------
for my $cert (qw(other-partner script-in-cn crlf-in-cn escape-in-cn)) {
    my $r = $s->get('/other/', cert => $cert eq 'other-partner' ? 'partner' : $cert);
    denied($r, 'subject_mismatch', "$cert: refused");
    unlike(
        $r->head . $r->body,
        qr/script>alert|bigpartner|Big Partner|CARC|X-Client-Name|subject_mismatch/i,
        "$cert: no certificate text, no policy, in head or body"
    );
}

# --- statuses -------------------------------------------------------------------------------------
outcome_is(
    $s->get('/status-404/', cert => 'other-partner'),
    '404 deny subject_mismatch',
    'MTLSDenyStatus 404'
);
outcome_is($s->get('/status-451/'), '451 deny no_certificate', 'MTLSDenyStatus 451');
allowed(
    $s->get('/status-404/index.html', cert => 'partner'),
    'MTLSDenyStatus does not touch the allowed'
);

# --- error pages ----------------------------------------------------------------------------------
for my $kind (
    ['ssi', 'reason=subject_mismatch verdict=deny'],
    ['cgi', 'reason=subject_mismatch verdict=deny rule=']
    )
{
    my ($name, $text) = @$kind;
    my $r = $s->get("/error-$name/", cert => 'other-partner');
    denied($r, 'subject_mismatch', "ErrorDocument $name: the original reason is logged");
    like($r->body, qr/\A\Q$text\E/, "ErrorDocument $name: the page knows the reason");
    is(scalar(my @lines = $r->denials), 1, "ErrorDocument $name: logged once");
    my $none = $s->get("/error-$name/");
    denied($none, 'no_certificate', "ErrorDocument $name: no certificate");
    like($none->body, qr/\Areason=no_certificate/, "ErrorDocument $name: the page knows that too");
    allowed($s->get("/error-$name/index.html", cert => 'partner'), "ErrorDocument $name: allowed");
}
{
    my $r = $s->get('/error-text/', cert => 'other-partner');
    denied($r, 'subject_mismatch', 'ErrorDocument text');
    is($r->body, 'a text of the administrator', 'is sent');
    for my $path ('/error-guarded/', '/error-itself/') {
        my $guarded = $s->get($path, cert => 'partner-by-i102l');
        denied($guarded, 'issuer_mismatch',
            "$path: an error page that is refused itself: the original reason wins");
        unlike($guarded->body, qr/content of/, "$path: and its content is not sent");
    }
    my $mine = $s->get('/error-guarded/', cert => 'other-partner');
    denied($mine, 'subject_mismatch', 'an error page under a policy that allows');
    is($mine->body, "content of other\n", 'is sent');
}

# --- the environment of CGI -----------------------------------------------------------------------
{
    my $r = $s->get('/cgi-bin/env.cgi', cert => 'partner');
    allowed($r, 'CGI');
    like($r->body, qr/^MTLS_VERDICT=allow$/m, 'CGI sees the verdict');
    like($r->body, qr/^MTLS_REASON=ok$/m,     'and the reason');
    unlike(
        $r->body,
        qr/^MTLS_(?:SUBJECT|CERT|SHA256)/m,
        'but no identity where MTLSExport env is not set'
    );
}

# --- every method (P10) ---------------------------------------------------------------------------
{
    my @methods = qw(GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND MKCOL LOCK TRACE BREW);
    my $none    = $s->tls;
    for my $method (@methods) {
        denied($none->request('/partner/index.html', method => $method),
            'no_certificate', "$method without certificate");
    }
    my $other = $s->tls(cert => 'other-partner');
    for my $method (@methods) {
        denied($other->request('/partner/index.html', method => $method),
            'subject_mismatch', "$method, other subject");
    }
    my %answer = (GET => 200, HEAD => 200, OPTIONS => 200, TRACE => 200, BREW => 501);
    for my $method (sort keys %answer) {
        outcome_is(
            $s->tls(cert => 'partner')->request('/partner/index.html', method => $method),
            "$answer{$method} allow ok",
            "$method allowed"
        );
    }
    my $preflight = $none->request(
        '/partner/index.html',
        method  => 'OPTIONS',
        headers => ['Origin: https://evil.example', 'Access-Control-Request-Method: PUT']
    );
    denied($preflight, 'no_certificate', 'a CORS preflight is no exception');
    denied($none->request('/partner/index.html', headers => ['X-HTTP-Method-Override: OPTIONS']),
        'no_certificate', 'nor is a method override');
}
{
    denied($s->tls(vhost => 'whole')->request('*', method => 'OPTIONS'),
        'no_certificate', 'OPTIONS * of a vhost under policy');
    outcome_is($s->tls(vhost => 'whole', cert => 'partner')->request('*', method => 'OPTIONS'),
        '200 allow ok', 'OPTIONS * allowed');
    denied($s->tls(vhost => 'whole')->request('/index.html'),
        'no_certificate', 'a rule directly in the vhost covers all of it');
    allowed($s->tls(vhost => 'whole', cert => 'partner')->request('/index.html'), 'allowed there');
}

# --- HTTP/1.0 and HTTP/0.9 (P16) ------------------------------------------------------------------
outcome_is(
    $s->tls->request('/partner/index.html', http => '1.0'),
    '403 deny no_certificate',
    'HTTP/1.0 refused'
);
outcome_is($s->tls(cert => 'partner')->request('/partner/index.html', http => '1.0'),
    '200 allow ok', 'HTTP/1.0 allowed');
for my $case ([undef, '403 deny no_certificate', 'refused'], ['partner', '200 allow ok', 'allowed'])
{
    my ($cert, $expected, $name) = @$case;
    my $tls  = $s->tls(cert => $cert, sni => undef);
    my $mark = 'zero-nine-' . ($cert // 'none');
    $tls->send("GET /partner/index.html?$mark\r\n");
    my $text  = $tls->read_to_end;
    my $entry = $s->log->find_request($mark);
    is(join(' ', @$entry{qw(status verdict reason)}), $expected, "HTTP/0.9 $name");
    is(
        $text =~ /content of partner/ ? 'content' : 'no content',
        $cert                         ? 'content' : 'no content',
        "HTTP/0.9 $name: what was sent"
    );
}

# --- plain HTTP (S17, P18, G10) -------------------------------------------------------------------
{
    denied($s->get('/partner/index.html', vhost => 'plain', plain => 1),
        'no_tls', 'plain HTTP is no_tls, not declined');
    denied($s->get('/optional/index.html', vhost => 'plain', plain => 1),
        'no_tls', 'plain HTTP under MTLSMode optional');
    outcome_is(
        $s->get('/report/index.html', vhost => 'plain', plain => 1),
        '200 report no_tls',
        'plain HTTP under report'
    );
    outcome_is($s->get('/index.html', vhost => 'plain', plain => 1),
        '200 - -', 'plain HTTP outside the policy');
    my $wrong = $s->get('/partner/index.html', plain => 1);
    is($wrong->status, 400, 'plain HTTP spoken to the TLS port');
    unlike($wrong->body, qr/content of partner/, 'gets nothing');
    my $upgrade = $s->get(
        '/partner/index.html',
        vhost   => 'plain',
        plain   => 1,
        headers => ['Connection: Upgrade', 'Upgrade: TLS/1.2']
    );
    denied($upgrade, 'no_tls', 'an Upgrade to TLS changes nothing');
}

# --- request bodies (S18, S19) --------------------------------------------------------------------
{
    my @expect = (method => 'POST', headers => ['Content-Length: 5', 'Expect: 100-continue']);
    my $tls    = $s->tls;
    my $id     = $tls->send_head('/cgi-bin/env.cgi', @expect);
    my $r      = $tls->read_response('POST', $id);
    denied($r, 'no_certificate', 'Expect: 100-continue is answered by the refusal, not by 100');

    $tls = $s->tls(cert => 'partner');
    $id  = $tls->send_head('/cgi-bin/env.cgi', @expect);
    is($tls->read_response('POST', $id)->status, 100, 'allowed: 100 Continue');
    $tls->send('12345');
    $r = $tls->read_response('POST', $id);
    allowed($r, 'and then the answer');
    like($r->body, qr/^body=5$/m, 'the body arrived whole');

    my $large = 'x' x 1_000_000;
    $r = $s->tls(cert => 'partner')->request('/cgi-bin/env.cgi', method => 'POST', body => $large);
    allowed($r, 'a large POST');
    like($r->body, qr/^body=1000000$/m, 'of which nothing was consumed');
    denied(
        $s->tls(cert => 'other-partner')
            ->request('/cgi-bin/env.cgi', method => 'POST', body => 'x' x 10_000),
        'subject_mismatch',
        'a POST that is refused'
    );
}

# --- keep-alive (S10) -----------------------------------------------------------------------------
{
    my $tls = $s->tls;
    denied($tls->request('/partner/index.html'), 'no_certificate', "request $_ on one connection")
        for 1 .. 3;
    outcome_is($tls->request('/index.html'), '200 - -', 'the open page on the same connection');
    $tls = $s->tls(cert => 'partner');
    my @piped = map { [$_, MTLSTest::TLS::next_id()] } '/partner/index.html', '/other/index.html',
        '/index.html', '/partner/index.html';
    $tls->send(join '',
        map {"GET $_->[0] HTTP/1.1\r\nHost: gateway.test\r\nX-Test-Id: $_->[1]\r\n\r\n"} @piped);
    my @expected = ('200 allow ok', '403 deny subject_mismatch', '200 - -', '200 allow ok');
    outcome_is($tls->read_response('GET', $piped[$_][1]), $expected[$_], "pipelined: $piped[$_][0]")
        for 0 .. $#piped;
    $tls = $s->tls(cert => 'other-partner');

    for my $round (1, 2) {
        denied($tls->request('/partner/index.html'),
            'subject_mismatch', "each location has its own verdict, round $round: refused");
        allowed($tls->request('/other/index.html'), "round $round: allowed");
    }
}

done_testing;
