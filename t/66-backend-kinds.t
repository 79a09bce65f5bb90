# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Other kinds of backends, and other ways to speak with them: nginx and httpd that ask for the
# gateway's certificate, HTTP/2, WebSocket, health checks, a proxy between, a map. Each with a right
# certificate and a wrong one, and the wrong one without a policy, too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Fcntl qw(O_RDWR O_CREAT);
use MTLSTest;
use MTLSTest::Await         qw(await);
use MTLSTest::BackendChecks qw(gateway_directives passes refuses unjudged verdict_of);
use MTLSTest::Daemon;
use MTLSTest::Files  qw(files_dir pki_text replace_file);
use MTLSTest::Layout qw(more_modules);
use MTLSTest::TLSBackend;
use SDBM_File;

my $dir     = files_dir('kinds');
my %answers = (right => 'backend-orders', wrong => 'backend-other');
my @faces   = sort keys %answers;
replace_file("$dir/gateway.pem", pki_text('partner.crt', 'partner.key'));

# --- backends -------------------------------------------------------------------------------------
my $NGINX = <<'CONF';
daemon off;
master_process off;
pid @Dir@/nginx.pid;
error_log @Dir@/error.log;
events { worker_connections 64; }
http {
    log_format ids '$http_x_test_id';
    access_log @Dir@/ids ids;
    client_body_temp_path @Dir@/body;
    proxy_temp_path @Dir@/proxy;
    fastcgi_temp_path @Dir@/fastcgi;
    uwsgi_temp_path @Dir@/uwsgi;
    scgi_temp_path @Dir@/scgi;
    server {
        listen 127.0.0.1:@Port@ ssl;
        ssl_certificate PKI/CERT-chain.crt;
        ssl_certificate_key PKI/CERT.key;
        ssl_client_certificate PKI/ca-bundle.crt;
        ssl_verify_client on;
        ssl_verify_depth 5;
        location / {
            add_header X-SNI $ssl_server_name always;
            add_header X-Peer $ssl_client_s_dn always;
            return 200 "nginx\n";
        }
    }
}
CONF

sub nginx {
    my ($face) = @_;
    my $conf = $NGINX =~ s/CERT/$answers{$face}/gr =~ s{PKI/}{pki_dir() . '/'}ger;
    return MTLSTest::Daemon->start('nginx', "kinds-$face", conf => $conf);
}
my %nginx = map { $_ => nginx($_) } @faces;
my $hosts = join '', map { <<"CONF" } @faces;
Listen 127.0.0.1:\@Port_$_\@
<VirtualHost 127.0.0.1:\@Port_$_\@>
    Protocols h2 http/1.1
    SSLEngine on
    SSLCertificateFile "\@PKI\@/$answers{$_}-chain.crt"
    SSLCertificateKeyFile "\@PKI\@/$answers{$_}.key"
    SSLCACertificateFile "\@PKI\@/ca-bundle.crt"
    SSLVerifyClient require
    SSLVerifyDepth 5
    Header always set X-SNI "%{SSL_TLS_SNI}s"
    Header always set X-Peer "%{SSL_CLIENT_S_DN}s"
    Header always set X-HTTP "expr=%{SERVER_PROTOCOL}"
</VirtualHost>
CONF
my $httpd = private(name => 'kinds-httpd', mpm => 'event', config => <<"CONF");
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
$hosts
CONF
my $between = private(
    name    => 'kinds-between',
    modules => [more_modules('proxy_connect')],
    config  => <<'CONF');
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ProxyRequests On
AllowCONNECT 1-65535
</VirtualHost>
CONF
my @groups  = qw(wss upgrade checked unchecked remote express);
my $backend = MTLSTest::TLSBackend->start(
    'kinds',
    plain => { plain => 1 },
    map {
        my $group = $_;
        map { ("$group-$_" => { cert => $answers{$_} }) } @faces
    } @groups
);

# --- the gateway ----------------------------------------------------------------------------------
my $policy = "MTLSBackendTrust backends\nMTLSBackendSNI orders.internal";
my $lines  = '';

# With a policy and without one; a worker of its own for each, by the path.
sub both_ways {
    my ($kind, $face, $url, $more) = @_;
    $more //= '';
    $lines .= <<"CONF";
ProxyPass "/$kind/$face/" "$url/judged/" $more
<Proxy "$url/judged/">
    $policy
</Proxy>
ProxyPass "/$kind-free/$face/" "$url/free/" $more
CONF
    return;
}
for my $face (@faces) {
    my $port = $httpd->port($face);
    both_ways('nginx',   $face, 'https://127.0.0.1:' . $nginx{$face}->port);
    both_ways('httpd',   $face, "https://127.0.0.1:$port");
    both_ways('h2',      $face, "h2://127.0.0.1:$port");
    both_ways('wss',     $face, $backend->url("wss-$face", 'wss'));
    both_ways('upgrade', $face, $backend->url("upgrade-$face"), 'upgrade=websocket');
    both_ways('remote',  $face, $backend->url("remote-$face"));
}

# Two policies over one worker.
my $h2 = 'h2://127.0.0.1:' . $httpd->port('right');
$lines .= <<"CONF";
<Proxy "$h2">
    ProxySet keepalive=on
</Proxy>
RewriteEngine On
RewriteRule "^/shared/(.*)" "$h2/shared/\$1" [P]
<Proxy "$h2/shared/good">
    $policy
</Proxy>
<Proxy "$h2/shared/bad">
    MTLSBackendTrust backends
    MTLSBackendRequire san.dns billing.internal
</Proxy>
CONF

# mod_proxy_express looks the backend of a host up in a map.
tie my %map, 'SDBM_File', "$dir/map", O_RDWR | O_CREAT, 0644 or die "$dir/map: $!\n";
$map{"$_.vhosts.test"} = $backend->url("express-$_") for @faces;
untie %map;
my $express = join "\n", map { '<Proxy "' . $backend->url("express-$_") . "\">\n$policy\n</Proxy>" }
    @faces;
my $check  = 'hcmethod=GET hcuri=/health hcinterval=200ms hcpasses=1 hcfails=1';
my $remote = 'http://127.0.0.1:' . $between->port('main');
my $server = private(
    name    => 'kinds',
    modules => [
        more_modules(
            qw(proxy_balancer slotmem_shm lbmethod_byrequests proxy_hcheck proxy_connect
                proxy_express)
        )
    ],
    config => <<"CONF");
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
SSLProxyMachineCertificateFile "$dir/gateway.pem"
$lines
@{[ map { 'ProxyRemote "' . $backend->url("remote-$_") . "\" \"$remote\"\n" } @faces ]}
ProxyRemote "@{[ $backend->url('plain', 'http') ]}" "$remote"
ProxyPass "/remote-http/" "@{[ $backend->url('plain', 'http') ]}/judged/"
ProxyPass "/remote-http-free/" "@{[ $backend->url('plain', 'http') ]}/free/"
<Location "/remote-http/">
    MTLSBackendTrust backends
</Location>
<Proxy "balancer://checked" lbmethod=byrequests>
    BalancerMember "@{[ $backend->url('checked-right') ]}" $check
    BalancerMember "@{[ $backend->url('checked-wrong') ]}" $check
    $policy
</Proxy>
ProxyPass "/checked/" "balancer://checked/"
<Proxy "balancer://unchecked" lbmethod=byrequests>
    BalancerMember "@{[ $backend->url('unchecked-right') ]}" $check
    BalancerMember "@{[ $backend->url('unchecked-wrong') ]}" $check
</Proxy>
ProxyPass "/unchecked/" "balancer://unchecked/"
</VirtualHost>
Listen 127.0.0.1:\@Port_Express\@
<VirtualHost 127.0.0.1:\@Port_Express\@>
ServerName express.vhosts.test
\@TLS\@
@{[ gateway_directives() ]}
ProxyExpressEnable on
ProxyExpressDBMFile "$dir/map"
ProxyExpressDBMType sdbm
$express
</VirtualHost>
CONF

# --- nginx, httpd, HTTP/2 -------------------------------------------------------------------------
sub nginx_has {
    my ($face, $id) = @_;
    open my $fh, '<', "$nginx{$face}{dir}/ids" or return 0;
    return scalar grep { /\A\Q$id\E\n/ } <$fh>;
}
my %has = (
    nginx => \&nginx_has,
    map {
        ($_ => sub { $httpd->log->knows($_[1]) })
    } qw(httpd h2)
);

for my $kind (qw(nginx httpd h2)) {
    for my $turn (1, 2) {
        my $r = $server->get("/$kind/right/");
        passes($r, "$kind, turn $turn");
        is($r->header('X-SNI'), 'orders.internal', "$kind, turn $turn: SNI");
        like($r->header('X-Peer'), qr/client\.bigpartner\.example/, "$kind, turn $turn: our name");
        is($r->header('X-HTTP'), 'HTTP/2.0', 'over HTTP/2') if $kind eq 'h2';
        my $wrong = $server->get("/$kind/wrong/", method => 'POST', body => 'x');
        refuses($wrong, 'san_mismatch', "$kind, turn $turn");

        # Once this one has arrived the one before it would have, too.
        my $free = $server->get("/$kind-free/wrong/");
        unjudged($free, "$kind without a policy, turn $turn");
        ok(await(sub { $has{$kind}->('wrong', $free->id) }), "$kind: it arrived");
        ok(!$has{$kind}->('wrong', $wrong->id),              "$kind: what was refused did not");
    }
}

for my $path (qw(good bad free good good free bad bad good)) {
    my $r = $server->get("/shared/$path");
    if ($path eq 'bad') {
        refuses($r, 'san_mismatch', 'h2, another policy over the same worker');
        next;
    }
    is(verdict_of($r), $path eq 'good' ? '200 ok' : '200 -', "h2, shared worker, $path");
    ok(await(sub { $httpd->log->knows($r->id) }), "h2, shared worker, $path: it arrived");
}
is(
    scalar(grep { $_->{request} =~ m{/shared/bad} } map { @$_ } values %{ $httpd->log->{access} }),
    0,
    'h2, shared worker: what was refused did not'
);

# --- WebSocket ------------------------------------------------------------------------------------
my @upgrade = (
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
);

sub websocket {
    my ($path) = @_;
    my $tls    = $server->tls;
    my $id     = $tls->send_head($path, headers => \@upgrade);
    my $r      = $tls->read_response('HEAD', $id);
    return ($r, $r->status == 101 ? $tls->read_to_end : '');
}
for my $kind (qw(wss upgrade)) {
    for my $case (["/$kind/right/x", 'right', 'ok'], ["/$kind-free/wrong/x", 'wrong', undef]) {
        my ($path, $face, $reason) = @$case;
        my ($r, $echo) = websocket($path);
        is($r->status, 101, "$path: 101") or diag($r->errors);
        like(
            $echo,
            qr{\AGET /(?:judged|free)/x .*^upgrade: websocket\r$}mis,
            "$path: bytes of the tunnel"
        );
        is($server->log->entry($r->id)->{status}, 101, "$path: logged");
        $backend->fresh("$kind-$face");
    }
    my ($r) = websocket("/$kind/wrong/x");
    refuses($r, 'san_mismatch', "$kind", backend => $backend, face => "$kind-wrong");
    passes($server->get("/upgrade/right/x"), "upgrade=websocket, a request without an upgrade")
        if $kind eq 'upgrade';
}
refuses(
    $server->get('/upgrade/wrong/x'),
    'san_mismatch', 'upgrade=websocket, a request without an upgrade',
    backend => $backend,
    face    => 'upgrade-wrong'
);

# --- a proxy between ------------------------------------------------------------------------------
# TLS is with the backend, through CONNECT.
{
    my $r = $server->get('/remote/right/x');
    passes($r, 'a proxy between');
    is($r->header('X-SNI'), 'orders.internal', 'a proxy between: SNI');
    $backend->fresh('remote-right');
    refuses(
        $server->get('/remote/wrong/x', method => 'POST', body => 'x'),
        'san_mismatch', 'a proxy between',
        backend => $backend,
        face    => 'remote-wrong'
    );
    unjudged($server->get('/remote-free/wrong/x'), 'a proxy between, no policy');
    is(
        $between->log->find_request('CONNECT 127.0.0.1:' . $backend->port('remote-wrong'))
            ->{status},
        200,
        'a proxy between: through CONNECT'
    );
    is($server->get('/remote-http-free/x')->status, 200, 'http through a proxy, no policy');
    my $asked = $backend->requests('plain');
    refuses($server->get('/remote-http/x'), 'no_tls', 'http through a proxy');
    is($backend->requests('plain'), $asked, 'http through a proxy: nothing arrives');
}

# --- a map of backends ----------------------------------------------------------------------------
{
    my ($right, $wrong) =
        map { $server->get('/x', vhost => 'express', host => "$_.vhosts.test") } @faces;
    passes($right, 'a backend out of a map');
    like($right->header('X-Connection'), qr/\Aexpress-right /, '... which is that of the host');
    refuses($wrong, 'san_mismatch', 'a wrong one', backend => $backend, face => 'express-wrong');
}

# --- health checks --------------------------------------------------------------------------------
# They, too, say nothing to a wrong backend; which is out of service then.
{
    ok(await(sub { $backend->requests('checked-right') >= 2 }), 'the right member is checked');
    ok(
        await(
            sub {
                2 <= grep { $_->{closed} } $backend->connections('checked-wrong');
            }
        ),
        'so is the wrong one'
    );
    ok(await(sub { $backend->requests("unchecked-$_") >= 2 }), "without a policy: $_ is asked")
        for @faces;
    my $refused = qr/mtls_policy: backend verdict=deny reason=san_mismatch .*check/;
    ok(await(sub { scalar $server->log->matching($refused) }),
        'the refusal of a check is in the log');
    my $disabled = quotemeta $backend->url('checked-wrong');
    ok(await(sub { scalar $server->log->matching(qr/[Hh]ealth check DISABLING $disabled/) }),
        'the wrong member is out of service');
    for my $turn (1 .. 4) {
        my $r = $server->get('/checked/x');
        is(verdict_of($r), '200 ok', "a checked balancer, turn $turn");
        like($r->header('X-Connection'), qr/\Achecked-right /, '... by the right member');
    }
    is_deeply([grep { $_->{bytes} } $backend->connections('checked-wrong')],
        [], 'no byte of HTTP has come to the wrong one');
    my %by =
        map { my $r = $server->get('/unchecked/x'); ($r->header('X-Connection') =~ /-(\w+)/) => 1 }
        1 .. 6;
    is_deeply([sort keys %by], \@faces, 'without a policy both answer');
}

done_testing;
