# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# SSLStaplingCache mtls_policy:PROVIDER: mod_ssl's stapling cache runs through this module, which
# uses it, too. The responder is `openssl ocsp`.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Daemon;
use MTLSTest::Files qw(files_dir pki_text replace_file);
use MTLSTest::Ocsp qw(make_certificate);
use MTLSTest::Responder;
use IO::Socket::INET;
use POSIX ();

my $responder =
    MTLSTest::Responder->start(name => 'stapling', cas => ['carc-i102l'], default => { openssl => 1 });
my $dir = files_dir('stapling');

# A server's certificate of its own for each server: mod_ssl's requests are counted.
my $made = 0;

sub server_certificate {
    my $name = make_certificate(
        'stapled-' . ++$made,
        issuer  => 'carc-i102l',
        subject => [O => 'Carcano', CN => 'gateway.test'],
        eku     => ['serverAuth'],
        ocsp    => [$responder->url]
    );
    $responder->set($name, status => 'good', openssl => 1);
    replace_file("$dir/$name.pem", pki_text("$name.crt", 'carc-i102l.crt'));
    return $name;
}

my @modules = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic alias dir env headers
    log_config mime setenvif socache_shmcb socache_dbm socache_redis socache_memcache
);

# stapling (SSLStaplingCache), cache (MTLSCache), session (SSLSessionCache), cert
sub configuration {
    my (%o) = @_;
    my @lines = map { $o{ $_->[1] } ? "$_->[0] $o{$_->[1]}" : () }
        ['SSLStaplingCache', 'stapling'], ['MTLSCache', 'cache'], ['SSLSessionCache', 'session'];
    my $cert = $o{cert}
        ? "SSLCertificateFile \"$dir/$o{cert}.pem\"\nSSLCertificateKeyFile \"\@PKI\@/$o{cert}.key\""
        : '';
    my $use  = $o{stapling} && !$o{idle} ? 'SSLUseStapling On' : '';
    my $tail = join "\n", @lines;
    return <<"CONF";
$tail
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
$cert
$use
SSLCACertificateFile "\@PKI\@/root.crt"
Protocols http/1.1
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSRequire issuer.cert "\@PKI\@/carc-i101l.crt"
</Location>
</VirtualHost>
CONF
}

# What is stapled: "good", "revoked", or "" for nothing. A child that has served its one connection
# may take another before it goes, and close it.
sub stapled {
    my ($server) = @_;
    my $text;
    await(sub { $text = s_client($server); return $text !~ /no peer certificate available/ });
    return '' if $text =~ /OCSP response: no response sent/;
    return $text =~ /OCSP Response Status: successful.*Cert Status: (\w+)/s ? $1 : "?: $text";
}

sub s_client {
    my ($server) = @_;
    my $pid = open my $pipe, '-|' // die "cannot fork: $!\n";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'openssl', 's_client', '-connect', '127.0.0.1:' . $server->port('main'), '-servername',
            'gateway.test', '-status', '-CAfile', pki_dir() . '/root.crt'
            or POSIX::_exit(127);
    }
    my $text = do { local $/; <$pipe> }
        // '';
    close $pipe;
    return $text;
}

# Every child serves one connection, so the next one is always served by another.
sub one_each {
    my ($mpm) = @_;
    return join "\n", 'StartServers 3', 'MaxRequestWorkers 12', 'MaxConnectionsPerChild 1',
        $mpm eq 'prefork'
        ? ('MinSpareServers 2', 'MaxSpareServers 6')
        : (
        'ServerLimit 12',
        'ThreadsPerChild 1',
        'ThreadLimit 1',
        'MinSpareThreads 2',
        'MaxSpareThreads 6'
        );
}

sub with_modules {
    my (@more) = @_;
    return [@modules, @more, 'mtls_policy', 'ssl'];
}

my %daemon = map { $_ => MTLSTest::Daemon->start($_, "stapling-$_") } qw(redis memcached);

sub behind {
    my ($name) = @_;
    return
          $name eq 'redis'    ? "redis:127.0.0.1:" . $daemon{redis}->port
        : $name eq 'memcache' ? "memcache:127.0.0.1:" . $daemon{memcached}->port
        : $name eq 'dbm'      ? 'dbm:@Logs@/stapling.dbm'
        :                       "$name:\@Logs\@/stapling(512000)";
}

# --- every provider, in several children ----------------------------------------------------------
# A cache on the network that is slow to answer is left alone for a while, and the responder is
# asked instead: all of it is done again then.
for my $name ('shmcb', map {"mtls_policy:$_"} qw(shmcb dbm redis memcache)) {
    my $provider = $name =~ s/.*://r;
    my $ours     = $name =~ /:/;
    my ($cert, $server);
    await(
        sub {
            $server->stop if $server;
            $cert   = server_certificate();
            $server = private(
                name      => "stapling-$name" =~ tr/:/-/r,
                modules   => with_modules(),
                processes => one_each(mpm()),
                config    => configuration(
                    cert     => $cert,
                    stapling => ($ours ? 'mtls_policy:' : '') . behind($provider)
                )
            );
            is(stapled($server), 'good', "$name: a response is stapled") for 1 .. 5;
            return $provider !~ /redis|memcache/ || $responder->requests($cert) == 1;
        }
    );
    is($responder->requests($cert), 1, "$name: it was asked for once");

    # A child that has had its one connection may still close another one unanswered.
    for (1, 2) {
        my $r;
        await(sub { $r = $server->tls(cert => 'partner')->request('/partner'); $r->status });
        allowed($r, "$name: clients are judged as ever");
    }
    $server->stop;
}

# --- MPMs, restarts -------------------------------------------------------------------------------
for my $mpm (qw(event worker prefork)) {
    my $cert = server_certificate();
    my %o    = (cert => $cert, stapling => 'mtls_policy:' . behind('shmcb'));
    my $server = private(
        name    => "stapling-$mpm",
        mpm     => $mpm,
        modules => with_modules(),
        config  => configuration(%o)
    );
    is(stapled($server),            'good', "$mpm: a response is stapled");
    is($responder->requests($cert), 1,      "$mpm: asked for once");
    $server->graceful for 1 .. 3;
    is(stapled($server), 'good', "$mpm: after three graceful restarts");
    $server->restart('HUP');
    is(stapled($server), 'good', "$mpm: after a restart");

    # The line goes while mod_ssl remembers it, and comes back.
    $server->graceful(configuration(%o, stapling => undef));
    is(await(sub { stapled($server) eq '' }), 1, "$mpm: after a restart without stapling");
    $server->graceful(configuration(%o, stapling => undef));
    $server->graceful(configuration(%o));
    ok(await(sub { stapled($server) eq 'good' }), "$mpm: and back");
    allowed($server->get('/partner', cert => 'partner'), "$mpm: clients are judged as ever");
    is(scalar($server->log->matching(qr/segfault|\bexit signal|Assertion/i)),
        0, "$mpm: no child died");
    $server->stop;
}

# --- wherever the module is loaded ----------------------------------------------------------------
for my $order (['mtls_policy', @modules, 'ssl'], [@modules, 'ssl', 'mtls_policy']) {
    my $cert   = server_certificate();
    my $server = private(
        name    => 'stapling-order',
        modules => $order,
        config  => configuration(cert => $cert, stapling => 'mtls_policy:' . behind('shmcb'))
    );
    is(stapled($server), 'good', "loaded from $order->[0] to $order->[-1]: stapled");
    allowed($server->get('/partner', cert => 'partner'), 'and a client is judged');
    $server->stop;
}

# --- one cache for both ---------------------------------------------------------------------------
# What lies in redis, by the names under which it lies.
sub redis_keys {
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $daemon{redis}->port,
        Timeout  => 5
    ) or die "redis is not there\n";
    print {$socket} "FLUSHALL\r\n" if $_[0];
    print {$socket} "KEYS *\r\nQUIT\r\n";
    local $/;
    return join ' ', <$socket> =~ /(mod_ssl-staple:\S+|mtls-policy:\S+)/g;
}
my $leaf_hex = unpack 'H*', ':mtls:leaf';

for my $row (
    [undef,      'mtls_policy:', qr/mod_ssl-staple:[0-9a-f]{64}$leaf_hex/, 'the default is its'],
    ['stapling', 'mtls_policy:', qr/mod_ssl-staple:[0-9a-f]{64}$leaf_hex/, 'MTLSCache stapling'],
    ['shmcb',    'mtls_policy:', qr/\A(?!.*$leaf_hex)/,                    'MTLSCache shmcb'],
    ['redis',    '',             qr/mtls-policy:[0-9a-f]{64}$leaf_hex/,    'MTLSCache redis']
    )
{
    my ($cache, $prefix, $expected, $what) = @$row;
    my $cert = server_certificate();
    redis_keys('flush');
    my $server = private(
        name      => 'stapling-shared',
        modules   => with_modules(),
        processes => one_each(mpm()),
        config    => configuration(
            cert     => $cert,
            stapling => $prefix . behind('redis'),
            cache    => defined $cache ? $cache eq 'redis' ? behind('redis') : $cache : undef
        )
    );
    is(stapled($server), 'good', "$what: a response is stapled");
    my ($full, $resumed, $reused);
    await(
        sub {
            my $first = $server->tls(version => '1.3', cert => 'partner');
            $full = $first->request('/partner');
            $full->status or return;
            my $session = $first->session;
            $first->close;
            my $second = $server->tls(version => '1.3', cert => 'partner', session => $session);
            $resumed = $second->request('/partner');
            $reused  = $second->reused;
            return $reused && $resumed->outcome eq '200 allow ok' && $full->pid ne $resumed->pid;
        }
    );
    allowed($full, "$what: an intermediate from the client");
    is($reused, 1, "$what: a session is resumed");
    isnt($resumed->pid, $full->pid, "$what: in another child");
    allowed($resumed, "$what: which knows the intermediate");
    my $stapled = qr/mod_ssl-staple:[0-9a-fA-F]{40}(?: |\z)/;
    my $keys;
    await(sub { $keys = redis_keys(); return $keys =~ $stapled || !stapled($server) });
    like($keys, $expected, "$what: where it is remembered");
    like($keys, $stapled,  "$what: and the response beside");
    $server->stop;
}

# --- what cannot be meant -------------------------------------------------------------------------
for my $row (
    [{ stapling => 'mtls_policy' },  'mtls_policy:PROVIDER'],
    [{ stapling => 'mtls_policy:' }, 'mtls_policy:PROVIDER'],
    [{ stapling => 'mtls_policy:nonesuch:x' },            '"nonesuch"', 'dbm, ', 'shmcb'],
    [{ stapling => 'mtls_policy:mtls_policy:shmcb:x' },   '"mtls_policy"'],
    [{ stapling => 'mtls_policy:shmcb:@Logs@/x(many)' },  'not numerical'],
    [{ stapling => 'mtls_policy:redis' },                 'server names required'],
    [{ cache    => 'stapling' },                          'MTLSCache', 'SSLStaplingCache'],
    [{ cache    => 'stapling', stapling => 'shmcb:@Logs@/x(512000)' }, 'SSLStaplingCache'],
    [{ cache    => 'stapling:x' },                        'MTLSCache', 'no arguments'],
    [{ cache    => 'mtls_policy:shmcb' },                 'MTLSCache', '"stapling"'],
    [{ cache    => 'mtls_policy' },                       'MTLSCache', '"stapling"'],
    [{ cache    => 'nonesuch' },                          'MTLSCache', '"nonesuch"', 'shmcb']
    )
{
    my ($options, @words) = @$row;
    my ($exit, $output) = MTLSTest::Server->check(
        name    => 'stapling-config',
        modules => with_modules(),
        config  => configuration(%$options, idle => 1)
    );
    my $name = join ', ', map {"$_ $options->{$_}"} sort keys %$options;
    isnt($exit, 0, "$name: refused");
    like($output, qr/\Q$_\E/,            "$name: says $_") for @words;
    like($output, qr/httpd\.conf[: ]|line \d+/, "$name: says where");
}
for my $options (
    { stapling => 'mtls_policy:shmcb:@Logs@/x(512000)' },
    { stapling => 'mtls_policy:shmcb:@Logs@/x(512000)', cache => 'stapling' },
    { stapling => 'mtls_policy:shmcb' },
    { stapling => 'mtls_policy:shmcb:@Logs@/x(512000)', cache => 'shmcb' },
    { cache    => 'redis:127.0.0.1:1' }
    )
{
    my ($exit, $output) = MTLSTest::Server->check(
        name    => 'stapling-config',
        modules => with_modules(),
        config  => configuration(%$options, idle => 1)
    );
    my $name = join ', ', map {"$_ $options->{$_}"} sort keys %$options;
    is($exit, 0, "$name: accepted") or diag($output);
}

# It is for stapling alone: sessions would land in what clients' statuses are looked for in.
{
    my ($exit, $said) = MTLSTest::Server->start_refused(
        name    => 'stapling-sessions',
        modules => with_modules(),
        config  => configuration(session => 'mtls_policy:shmcb:@Logs@/x(512000)')
    );
    isnt($exit, 0, 'SSLSessionCache mtls_policy: refused at the start');
    like($said, qr/is for SSLStaplingCache, not for "mod_ssl-sess"/, 'and why');
}

done_testing;
