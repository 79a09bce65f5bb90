# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Identity tokens: what they say, how long they last, and that nobody else can make one. Backends
# verify with two stock libraries that share nothing with the one that signs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA      qw(hmac_sha256);
use JSON::PP         ();
use MIME::Base64     qw(encode_base64url decode_base64url);
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Backend;
use MTLSTest::Files  qw(files_dir);
use MTLSTest::Tokens qw(make_key parts_of with_parts claims_of kid_of key_set by_perl by_python
    verified_by_both refused_by_both tokens_in thumbprint_of);
use Time::HiRes qw(time sleep);

my $dir     = files_dir('jwt');
my $backend = MTLSTest::Backend->start;
my $url     = 'http://127.0.0.1:' . $backend->port;

my %keys = (
    es256 => [],
    es384 => [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-384)],
    es512 => [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-521)],
    rs256 => [qw(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)],
);
for my $name (sort keys %keys) {
    make_key("$dir/$name.pem", @{ $keys{$name} });
    chmod 0640, "$dir/$name.pem";
    chown 0, (getgrnam +(MTLSTest::Layout::runtime_user())[1])[2], "$dir/$name.pem" if $> == 0;
}

# One virtual host a kind of key.
my $vhosts = join '', map { <<"CONF" } grep { $_ ne 'es256' } sort keys %keys;
Listen 127.0.0.1:\@Port_$_\@
<VirtualHost 127.0.0.1:\@Port_$_\@>
    ServerName $_.test
    \@TLS\@
    MTLSSigningKey "$dir/$_.pem"
    ProxyPass "/orders" "$url/orders"
    <Location "/orders">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders
    </Location>
    <Location "/orders/uri">
        MTLSExport jwt aud=orders sub=san.uri
    </Location>
    <Location "/keys">
        SetHandler mtls-jwks
    </Location>
</VirtualHost>
CONF

my $server = private(name => 'jwt', config => <<"CONF");
LogLevel debug
MTLSSigningKey "$dir/es256.pem"
<MTLSTrustStore "partners">
    MTLSAnchor "\@PKI\@/ca-bundle.crt"
</MTLSTrustStore>
<MTLSPolicy "by-partners">
    MTLSTrust partners
</MTLSPolicy>
<MTLSPolicy "by-vhost">
    MTLSTrust vhost
</MTLSPolicy>
$vhosts
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
<Directory "\@Htdocs\@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
Listen 127.0.0.1:\@Port_Keys\@
<VirtualHost 127.0.0.1:\@Port_Keys\@>
    ServerName gateway.test
    <Location "/">
        SetHandler mtls-jwks
    </Location>
</VirtualHost>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
    ServerName gateway.test
    ServerAlias other.test
    UseCanonicalName Off
    \@TLS\@
    Protocols h2 http/1.1
    MTLSTrustDomain lab.carcano.corp
    ProxyPass "/cgi-bin" "!"
    ProxyPass "/" "$url/"
    <Location "/orders">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders
    </Location>
    <Location "/cgi-bin">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders
    </Location>
    <Location "/named">
        MTLSTrust  vhost
        MTLSExport jwt aud=stock aud=https://stock.test/ sub=san.uri iss=https://gateway.test/ \\
            header=X-Who ttl=300
    </Location>
    <Location "/names">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders sub=san.dns
    </Location>
    <Location "/two">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders
        MTLSExport jwt aud=stock header=X-Who
    </Location>
    <Location "/two/none">
        MTLSExport none
    </Location>
    <Location "/short">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders ttl=4
    </Location>
    <Location "/day">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders ttl=86400
    </Location>
    <Location "/shared">
        MTLSExport jwt aud=orders
    </Location>
    <Location "/shared/partners">
        MTLSUsePolicy by-partners
    </Location>
    <Location "/shared/vhost">
        MTLSUsePolicy by-vhost
    </Location>
    <Location "/limited">
        MTLSTrust       vhost
        MTLSExport      jwt aud=orders
        MTLSHeaderLimit 256
    </Location>
    <Location "/optional">
        MTLSTrust  vhost
        MTLSMode   optional
        MTLSExport jwt aud=orders
    </Location>
    <Location "/report">
        MTLSRequire subject.O "Big Partner Foo SA"
        MTLSMode   report
        MTLSExport jwt aud=orders
    </Location>
</VirtualHost>
CONF

my $JSON   = JSON::PP->new->canonical;
my $keys   = key_set($server->get('/', vhost => 'keys', plain => 1));
my %backend = (
    keys     => $keys,
    url      => 'http://127.0.0.1:' . $server->port('keys') . '/',
    issuer   => 'gateway.test',
    audience => 'orders'
);

# The one token a backend got on a path.
sub token {
    my ($path, %o) = @_;
    my $r = $server->get($path, cert => 'partner', %o);
    allowed($r, "$path: allowed");
    my @tokens = tokens_in($r->body, $o{header});
    is(scalar @tokens, 1, "$path: one token");
    return $tokens[0] // '';
}

# --- what a token says ----------------------------------------------------------------------------
# One that does not end while the verifiers start.
is(verified_by_both(token('/day'), %backend), 'verified', 'both libraries have started');
{
    my $before = int time;
    my $token  = token('/orders/1');
    my ($header, $claims) = parts_of($token);
    is($JSON->encode($header), $JSON->encode({ alg => 'ES256', typ => 'JWT', kid => $header->{kid} }),
        'the header has alg, kid and typ');
    is($header->{kid}, thumbprint_of("$dir/es256.pem"), 'the kid is the thumbprint of the key');
    is(verified_by_both($token, %backend), 'verified', 'both libraries verify it');
    my ($iat, $exp, $jti) = delete @$claims{qw(iat exp jti)};
    ok($iat >= $before && $iat <= time, 'iat is now');
    is($exp - $iat, 60, 'exp is a minute later');
    like($jti, qr/\A[A-Za-z0-9_-]{22}\z/, 'jti has 128 bits');
    is($JSON->encode($claims), $JSON->encode({
        iss => 'gateway.test',
        sub => 'CN=client.bigpartner.example,OU=API,O=Big Partner Foo SA,C=CH',
        aud => 'orders',
        cnf => { 'x5t#S256' => encode_base64url(pack 'H*', sha256_of('partner')) },
        san => { dns => ['client.bigpartner.example'], email => ['ops@bigpartner.example'],
            ip => ['192.0.2.10'] },
        trust_store => 'vhost'
    }), 'and who called, with the certificate that openssl knows by the same fingerprint (H17)');
}
{
    my $r = $server->get('/named', cert => 'spiffe');
    allowed($r, 'everything said');
    my ($token) = tokens_in($r->body, 'X-Who');
    my $claims = claims_of($token);
    is($claims->{iss}, 'https://gateway.test/', 'iss as it was said');
    is($JSON->encode($claims->{aud}), '["stock","https://stock.test/"]', 'two audiences');
    is($claims->{sub}, $claims->{san}{uri}[0], 'sub is the URI');
    is($claims->{exp} - $claims->{iat}, 300, 'the ttl');
    for my $audience (@{ $claims->{aud} }) {
        my ($verified, $why) = by_python($token, %backend,
            issuer => 'https://gateway.test/', audience => $audience);
        ok($verified, "good for $audience") or diag($why);
    }
    my ($verified) = by_python($token, %backend, issuer => 'https://gateway.test/');
    ok(!$verified, 'and for nobody else');
}
{
    my $token = token('/orders/host', host => 'other.test', curl => ['-k']);
    is(claims_of($token)->{iss}, 'gateway.test', 'iss is not what the client calls the host');
    my $r = $server->get('/cgi-bin/env.cgi', cert => 'partner');
    allowed($r, 'CGI');
    my ($seen) = $r->body =~ /^HTTP_X_CLIENT_IDENTITY=(\S+)$/m;
    is(verified_by_both($seen // '', %backend), 'verified', 'CGI gets it as well');
}

# --- every kind of key ----------------------------------------------------------------------------
for my $name (qw(es384 es512 rs256)) {
    my $set   = $server->get('/keys', vhost => $name, curl => ['-k']);
    my $r     = $server->get('/orders', vhost => $name, cert => 'partner', curl => ['-k']);
    my ($token) = tokens_in($r->body);
    MTLSTest::Files::replace_file("$dir/$name.json", $set->body);
    is((parts_of($token))[0]{alg}, uc $name, "$name signs");
    is(
        verified_by_both($token, keys => key_set($set), url => "file://$dir/$name.json",
            issuer => "$name.test", audience => 'orders'),
        'verified', "$name: both libraries verify it"
    );
    is(refused_by_both($token, %backend, issuer => "$name.test"),
        'refused', "$name: with the keys of another virtual host it is nothing");
}

# --- H16: what is not exactly as it was signed ----------------------------------------------------
{
    my $token = token('/day/h16');
    my ($header, $claims, $signature) = parts_of($token);
    my ($jwk) = grep { $_->{kid} eq $header->{kid} } @{ $keys->{keys} };
    my $pem   = openssl('pkey', '-in', "$dir/es256.pem", '-pubout');
    my $own   = make_key("$dir/foreign.pem");
    my $sign  = sub {
        my ($path) = @_;
        return sub {
            my ($text) = @_;
            require Crypt::PK::ECC;
            return Crypt::PK::ECC->new($path)->sign_message_rfc7518($text, 'SHA256');
        };
    };
    is(verified_by_both(with_parts($header, $claims, $sign->("$dir/es256.pem")), %backend),
        'verified', 'what is signed here with the key itself is taken');

    my %forged = (
        'alg none' => with_parts({ %$header, alg => 'none' }, $claims, ''),
        'alg None' => with_parts({ %$header, alg => 'None' }, $claims, ''),
        'no signature'        => $token =~ s/[^.]*\z//r,
        'a signature of zeros' => $token =~ s/[^.]*\z/encode_base64url("\0" x 64)/er,
        'another key'         => with_parts($header, $claims, $sign->("$dir/foreign.pem")),
        'another key, named'  => with_parts({ %$header, kid => 'foreign' }, $claims,
            $sign->("$dir/foreign.pem")),
        'no kid' => with_parts({ alg => 'ES256' }, $claims, $sign->("$dir/foreign.pem")),
        'a key in the token' => with_parts({ %$header, jwk => foreign_jwk("$dir/foreign.pem") },
            $claims, $sign->("$dir/foreign.pem")),
        (map { my $name = $_; my $change = { sub => 'CN=admin', exp => $claims->{exp} + 3600,
               aud => 'stock', iss => 'evil.test' }->{$name};
               ("another $name" => with_parts($header, { %$claims, $name => $change }, $signature)) }
            qw(sub exp aud iss)),
        (map { my ($what, $secret) = @$_;
               ("HS256 with $what" => with_parts({ %$header, alg => 'HS256' }, $claims,
                   sub { hmac_sha256($_[0], $secret) })) }
            ['the public key in PEM', $pem], ['the JWK', $JSON->encode($jwk)],
            ['x of the JWK', $jwk->{x}], ['nothing', '']),
    );
    for my $name (sort keys %forged) {
        is(refused_by_both($forged{$name}, %backend), 'refused', "H16 $name");
    }
    is(verified_by_both($token, %backend), 'verified', 'H16 its twin, untouched');
    is(refused_by_both($token, %backend, audience => 'stock'), 'refused', 'H16 for another backend');
    is(refused_by_both($token, %backend, issuer => 'evil.test'), 'refused', 'H16 of another issuer');
    my $others = key_set($server->get('/keys', vhost => 'rs256', curl => ['-k']));
    my ($taken, $why) = by_perl($token, %backend, keys => $others);
    ok(!$taken && $why =~ /kid/, 'H16 a kid that is not published') or diag($why);
}

sub foreign_jwk {
    my ($path) = @_;
    require Crypt::PK::ECC;
    return Crypt::PK::ECC->new($path)->export_key_jwk('public', 1);
}

# --- H16: what a client sends ---------------------------------------------------------------------
{
    my $mine   = token('/orders/mine', cert => 'user-1');
    my @forged = map {"$_: $mine"} qw(X-Client-Identity X_Client_Identity x.client.identity
        X-CLIENT-IDENTITY X-Client_Identity X-Who X_Who);
    for my $case (
        ['/orders/f', 'partner', 1], ['/optional', undef, 0], ['/optional', 'partner', 1],
        ['/report', undef, 0], ['/report', 'other-partner', 0], ['/report', 'partner', 1],
        ['/open', undef, 0], ['/open', 'partner', 0], ['/two/none', 'partner', 0]
        )
    {
        my ($path, $cert, $count) = @$case;
        my $name = "$path with " . ($cert // 'no certificate');
        my $r    = $server->tls(cert => $cert)->request($path,
            headers => [@forged, 'Connection: X-Client-Identity, X-Who']);
        is($r->status, 200, $name);
        my @tokens = tokens_in($r->body);
        is(scalar @tokens, $count, "$name: as many tokens as there should be");
        ok(index($r->body, $mine) < 0, "$name: not the client's");
        is((claims_of($tokens[0]))->{cnf}{'x5t#S256'},
            encode_base64url(pack 'H*', sha256_of('partner')), "$name: the certificate's own")
            if $count;
        unlike($r->body, qr/X.Who/i, "$name: nor in the other header");
    }
}

# --- a SPIFFE ID that nobody vouches for ----------------------------------------------------------
{
    my @at     = (vhost => 'rs256', cert => 'spiffe', curl => ['-k']);
    my $claims = claims_of((tokens_in($server->get('/orders', @at)->body))[0]);
    ok($claims->{cnf} && !exists $claims->{spiffe_id} && !exists $claims->{san}{uri},
        'where no trust store lists its domain, it is in no claim');
    denied($server->get('/orders/uri', @at), 'user_ambiguous', 'and names nobody');
}

# --- who cannot be named, what is too large -------------------------------------------------------
{
    my $one = $server->get('/names', cert => 'partner');
    allowed($one, 'one DNS name');
    is(claims_of((tokens_in($one->body))[0])->{sub}, 'client.bigpartner.example', 'names the client');
    denied($server->get('/names', cert => 'many-attributes'), 'user_ambiguous', 'two name nobody');
    denied($server->get('/named', cert => 'partner'), 'user_ambiguous', 'none names nobody');
    my $large = $server->get('/limited', cert => 'partner');
    is($large->status, 431, 'a token over MTLSHeaderLimit');
    my $r = $server->get('/two', cert => 'partner');
    allowed($r, 'two tokens');
    is(claims_of((tokens_in($r->body))[0])->{aud},          'orders', 'one for the one');
    is(claims_of((tokens_in($r->body, 'X-Who'))[0])->{aud}, 'stock',  'and one for the other');
}

# --- once a connection and lifetime ---------------------------------------------------------------
sub jti {
    my ($connection, $path) = @_;
    my $r = $connection->request($path);
    return claims_of((tokens_in($r->body))[0])->{jti};
}
{
    my $connection = $server->tls(cert => 'partner');
    my $first      = jti($connection, '/orders/a');
    is(jti($connection, '/orders/b'), $first, 'the same token for the next request');
    my $day = jti($connection, '/day');
    isnt($day, $first, 'another section has another');
    is(jti($connection, '/orders/c'), $first, 'and this one its own again');
    is(jti($connection, '/day'),      $day,   'as has the other');
    my $other = $server->tls(cert => 'partner');
    isnt(jti($other, '/orders/a'), $first, 'another connection has another');
    my %seen = map { (jti($server->tls(cert => 'partner'), '/orders/x') => 1) } 1 .. 20;
    is(scalar keys %seen, 20, 'no two connections have the same');
}
{
    # One line of MTLSExport, and what allowed the request is another thing each time.
    my $connection = $server->tls(cert => 'partner');
    my %jti;
    for my $by (qw(partners vhost partners vhost)) {
        my $r      = $connection->request("/shared/$by");
        my $claims = claims_of((tokens_in($r->body))[0]);
        is("$claims->{policy} $claims->{trust_store}", "by-$by $by", "the token says $by");
        $jti{ $claims->{jti} }++;
    }
    is(join(' ', sort values %jti), '2 2', 'two tokens, each used twice');
}
{
    my $connection = $server->tls(cert => 'partner');
    my ($least, %until) = 99;
    await(
        sub {
            my $asked  = time;    # what comes later is not the module's time alone
            my $r      = $connection->request('/short');
            my $claims = claims_of((tokens_in($r->body))[0]);
            my $left   = $claims->{exp} - $asked;
            $least = $left if $left < $least;
            $until{ $claims->{jti} } = $claims->{exp};
            return keys %until >= 4;
        }
    );
    is(scalar keys %until, 4, 'a short token is renewed again and again');
    cmp_ok($least, '>', 1.2, 'never when little of it is left') or diag(explain(\%until));
    my @ends = sort { $a <=> $b } values %until;
    cmp_ok($ends[-1] - $ends[0], '>=', 3, 'and each ends later');
}
{
    # One that was over before both had looked at it is no answer.
    my ($token, $said);
    await(
        sub {
            $token = token('/short');
            $said  = verified_by_both($token, %backend);
            return $said eq 'verified' || time < claims_of($token)->{exp};
        }
    );
    is($said, 'verified', 'a short one is good at first');
    ok(await(sub { refused_by_both($token, %backend) eq 'refused' }), 'and refused when it is over');
    my ($claims, $why) = by_python($token, %backend);
    like($why, qr/Expired/, 'as expired');
    cmp_ok(time, '>=', claims_of($token)->{exp}, 'not before');
}

# --- streams of one connection --------------------------------------------------------------------
if (mpm() ne 'prefork') {
    my $port   = $server->port('main');
    my $output = "$dir/streams";
    mkdir $output;
    my @urls = map { ('-o', "$output/$_", "https://gateway.test:$port/day/s$_") } 1 .. 60;
    my @command = (
        'curl', '-q', '-sS', '--no-progress-meter', '-Z', '--parallel-max', 50, '--http2', '--max-time', 240,
        '--cacert', pki_dir() . '/root.crt', '--connect-to', "gateway.test:$port:127.0.0.1:$port",
        '--cert', pki_dir() . '/partner-chain.crt', '--key', pki_dir() . '/partner.key',
        '-w', '%{num_connects}\n', @urls
    );
    open my $pipe, '-|', @command or die "cannot run curl: $!\n";
    my $connections = 0;
    $connections += $_ while <$pipe>;
    close $pipe;
    is($?, 0, 'sixty streams');
    my (%jti, $good);
    for my $n (1 .. 60) {
        my ($token) = tokens_in(MTLSTest::Server::slurp("$output/$n"));
        $jti{ claims_of($token)->{jti} }++;
        $good++ if by_perl($token, %backend);
    }
    is($good, 60, 'sixty good tokens');
    cmp_ok(scalar keys %jti, '<=', $connections, 'one for each connection curl has made');
    cmp_ok($connections, '<', 30, 'which are few');
}

# --- never longer than the certificate ------------------------------------------------------------
{
    make_pki('leaf', 'jwt-soon', '--issuer', 'carc-i101l', '--seconds', 600,
        '--subject', 'CN=soon', '--san', 'dns:soon.test');
    my ($end) = openssl('x509', '-in', pki_dir() . '/jwt-soon.crt', '-noout', '-enddate')
        =~ /=(.*)/;
    my $not_after = `date -d '$end' +%s` + 0;
    my $r = $server->get('/day', cert => 'jwt-soon');
    allowed($r, 'a certificate that ends soon');
    my $claims = claims_of((tokens_in($r->body))[0]);
    cmp_ok($claims->{exp}, '<=', $not_after, 'exp is not after notAfter');
    cmp_ok($claims->{exp}, '>',  $not_after - 5, 'but there');
    my $long = claims_of(token('/day'));
    is($long->{exp} - $long->{iat}, 86_400, 'one that lasts has the whole ttl');
}

# --- L4: nothing of it in the logs ----------------------------------------------------------------
{
    my $token  = token('/orders/l4');
    my $logs   = join '', map { MTLSTest::Server::slurp($_) } glob $server->dir . '/*_log';
    my ($body) = (split /\./, $token)[1];
    cmp_ok(length $logs, '>', 5000, 'there are logs');
    ok(index($logs, $body) < 0, 'the token is not in them');
    unlike($logs, qr/eyJ[A-Za-z0-9_-]{20}/, 'nor is any other');
    unlike($logs, qr/PRIVATE KEY/, 'nor a key');
    for my $name (sort keys %keys) {
        my @lines = grep { length > 30 } split /\n/, MTLSTest::Server::slurp("$dir/$name.pem");
        ok(!(grep { index($logs, $_) >= 0 } @lines), "nor a line of $name");
    }
}

$server->stop;
done_testing();
