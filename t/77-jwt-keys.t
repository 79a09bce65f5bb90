# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# The keys identity tokens are signed with: what is published of them, how they change while the
# server runs, what happens when a file breaks, and that they are written nowhere.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Find qw(find);
use JSON::PP   ();
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Backend;
use MTLSTest::ConfigCheck;
use MTLSTest::Files  qw(files_dir pki_text replace_file rewrite_file);
use MTLSTest::Layout qw(several_children);
use MTLSTest::Tokens qw(make_key kid_of key_set by_perl tokens_in thumbprint_of);
use POSIX       ();
use Time::HiRes qw(time sleep);

my $dir     = files_dir('jwt-keys');
my $backend = MTLSTest::Backend->start;
my $url     = 'http://127.0.0.1:' . $backend->port;

my %pem = map { $_ => make_key() } qw(one two three four);
my %kid = map { replace_file("$dir/$_.tmp", $pem{$_}); $_ => thumbprint_of("$dir/$_.tmp") } keys %pem;
unlink glob "$dir/*.tmp";

# As it should be: root's, readable for the children, for nobody else.
sub put {
    my ($name, $text) = @_;
    replace_file("$dir/.$name", $text);
    own("$dir/.$name");
    rename "$dir/.$name", "$dir/$name" or die "cannot rename: $!\n";
    return;
}

sub own {
    my ($path) = @_;
    chmod 0640, $path;
    chown 0, (getgrnam +(MTLSTest::Layout::runtime_user())[1])[2], $path if $> == 0;
    return;
}

my $children = several_children();

sub config {
    my (@lines) = @_;
    my $keys = join "\n", map {"MTLSSigningKey $_"} @lines;
    return <<"CONF";
LogLevel mtls_policy:debug
KeepAliveTimeout 300
MTLSReloadInterval 1
$keys
<MTLSTrustStore "kept">
    MTLSAnchor "\@PKI\@/root.crt"
</MTLSTrustStore>
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
    \@TLS\@
    ProxyPass "/orders" "$url/orders"
    <Location "/orders">
        MTLSTrust  vhost
        MTLSExport jwt aud=orders
    </Location>
</VirtualHost>
CONF
}

my $server;

sub start {
    my ($name, @lines) = @_;
    $server = private(name => $name, processes => $children, config => config(@lines));
    return;
}

sub published {
    my (%o) = @_;
    return key_set($server->get('/', vhost => 'keys', plain => 1, %o));
}

sub kids { my ($set) = @_; return join ' ', map { $_->{kid} } @{ $set->{keys} } }

sub token {
    my $r = $server->get('/orders', cert => 'partner');
    return (tokens_in($r->body))[0] // 'none: ' . $r->outcome;
}

sub is_good {
    my ($token, $keys) = @_;
    return scalar by_perl($token, keys => $keys, issuer => 'gateway.test', audience => 'orders');
}

# Put a key into a file, until every child has it: each says so in the log. A child of prefork looks
# when a request comes, and finds what has been there for a while.
use constant CHILDREN => 3;

sub put_everywhere {
    my ($name, $text) = @_;
    my $told = qr/reloaded: \S*\Q$name\E/;
    my $seen = () = $server->log->matching($told);
    put($name, $text);
    my $put = time;
    return await(
        sub {
            my @lines = $server->log->matching($told);
            my %pids  = map { /\[pid (\d+)\]/ ? ($1 => 1) : () } @lines[$seen .. $#lines];
            delete $pids{ $server->{pid} };
            return mpm() eq 'prefork' ? time > $put + 2 : keys %pids >= CHILDREN;
        }
    );
}

# A few requests, which several children answer.
sub all_sign_with {
    my ($name) = @_;
    return 5 == grep { (eval { kid_of(token()) } // '') eq $kid{$name} } 1 .. 5;
}

# What is told, by all processes.
sub told { return scalar(my @lines = $server->log->matching($_[0])) }

# A child of prefork looks for nobody but a client.
sub await_told {
    my ($words, $more_than) = @_;
    return await(
        sub {
            published() if mpm() eq 'prefork';
            return told($words) > $more_than;
        }
    );
}

# --- what is published ----------------------------------------------------------------------------
put('one.pem', $pem{one});
put('two.pem', $pem{two});
start('jwt-keys', "\"$dir/one.pem\"", "\"$dir/two.pem\" second");
{
    my $r = $server->get('/', vhost => 'keys', plain => 1);
    is($r->status,                  200,                        'the key set');
    is($r->header('Content-Type'),  'application/jwk-set+json', 'its type');
    is($r->header('Cache-Control'), 'public, max-age=300',      'and for how long it may be kept');
    my $set = key_set($r);
    is(kids($set), "$kid{one} second", 'all keys, in order, named by thumbprint or as they were');
    for my $jwk (@{ $set->{keys} }) {
        is(join(' ', sort keys %$jwk), 'alg crv kid kty use x y', 'no private member');
    }
    my $token = token();
    is(kid_of($token), $kid{one}, 'the first one signs');
    ok(is_good($token, $set), 'and what it signs is good');

    my $head = $server->get('/', vhost => 'keys', plain => 1, method => 'HEAD');
    is($head->status, 200, 'HEAD');
    unlike($head->body, qr/\{/, 'has no body');
    is($head->header('Content-Length'), length $r->body, 'but its length');
    my $tag = $r->header('ETag');
    like($tag, qr/\A"[\w-]{16}"\z/, 'an entity tag');
    is(
        $server->get('/', vhost => 'keys', plain => 1, headers => ["If-None-Match: $tag"])->status,
        304, 'that is recognized'
    );
    for my $method (qw(POST PUT DELETE PATCH OPTIONS PROPFIND)) {
        my $other = $server->get('/', vhost => 'keys', plain => 1, method => $method);
        is($other->status, 405, "$method is not allowed");
        my @allowed = sort grep { $_ ne 'TRACE' } split /, */, $other->header('Allow') // '';
        is("@allowed", 'GET HEAD', "$method: what is");
    }
}
$server->stop;

{
    my $several = private(name => 'jwt-hosts', config => <<"CONF");
MTLSSigningKey "$dir/one.pem"
SetHandler mtls-jwks
Listen 127.0.0.1:\@Port_Inherits\@
<VirtualHost 127.0.0.1:\@Port_Inherits\@>
</VirtualHost>
Listen 127.0.0.1:\@Port_Own\@
<VirtualHost 127.0.0.1:\@Port_Own\@>
    MTLSSigningKey "$dir/two.pem"
</VirtualHost>
CONF
    is(kids(key_set($several->get('/', vhost => 'inherits', plain => 1))),
        $kid{one}, 'a virtual host has the keys of the main server');
    is(kids(key_set($several->get('/', vhost => 'own', plain => 1))),
        $kid{two}, 'its own lines replace them');
    $several->stop;
    my $none = private(name => 'jwt-none', config => <<"CONF");
SetHandler mtls-jwks
Listen 127.0.0.1:\@Port_Own\@
<VirtualHost 127.0.0.1:\@Port_Own\@>
    MTLSSigningKey "$dir/two.pem"
</VirtualHost>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
</VirtualHost>
CONF
    is($none->get('/', plain => 1)->body, '{"keys":[]}', 'without a key the set is empty');
    is(kids(key_set($none->get('/', vhost => 'own', plain => 1))),
        $kid{two}, 'whatever another server has');
    $none->stop;
}

# --- a new key while the server runs --------------------------------------------------------------
start('jwt-reload', "\"$dir/one.pem\"");
my $parent  = $server->{pid};
my $follows = qr/\[pid $parent\].*reloaded:.*one\.pem/;
{
    my $connection = $server->tls(cert => 'partner');
    my $on = sub { (tokens_in($connection->request('/orders')->body))[0] };
    is(kid_of($on->()), $kid{one}, 'on an open connection the first key');
    ok(put_everywhere('one.pem', $pem{three}), 'every child reads it');
    ok(all_sign_with('three'), 'and signs with the new key');

    # The parent takes over what its children have loaded, in its own time. While it has not, a child
    # that prefork starts has nothing else if the file breaks.
    ok(mpm() ne 'prefork' || await_told($follows, 0), 'the parent follows');
    is(kid_of($on->()), $kid{three}, 'on the open connection as well');
    is(kids(published()), $kid{three}, 'and it is published');
    ok(is_good(token(), published()), 'with which its tokens are good');
}

# --- a file that breaks ---------------------------------------------------------------------------
sub stays {
    my ($what, $words, $break) = @_;
    my $before = told($words);
    $break->();
    ok(await_told($words, $before), "$what: is told")
        or diag(MTLSTest::Server::slurp($server->dir . '/error_log'));
    ok(all_sign_with('three'), "$what: the last good key signs");
    is(kids(published()), $kid{three}, "$what: and is published");
    return;
}
my $stays = 'last good version stays in force';
stays("a half-written key", qr/:error\].*one\.pem.*(?:damaged|cut off|no private key).*$stays/,
    sub { rewrite_file("$dir/one.pem", substr $pem{two}, 0, 120) });
stays('another sort of file', qr/:error\].*one\.pem holds a "CERTIFICATE".*$stays/,
    sub { put('one.pem', pki_text('root.crt')) });
stays('a weak key', qr/:error\].*one\.pem holds an RSA key of 1024 bits; allowed: .*$stays/,
    sub { put('one.pem', make_key(undef, qw(-algorithm RSA -pkeyopt rsa_keygen_bits:1024))) });
stays('an encrypted key', qr/:error\].*one\.pem holds a key that needs a passphrase.*$stays/,
    sub { put('one.pem', make_key(undef, qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256
        -aes256 -pass pass:x))) });
stays('no file', qr/:error\].*one\.pem.*No such file.*$stays/, sub { unlink "$dir/one.pem" });
{
    # Looks at the file go on all the while: the debug lines of the others show it.
    ok(await_told(qr/one\.pem.*No such file/, 1), 'the others have seen it, too');
    is(told(qr/:error\].*one\.pem.*No such file/), 1, 'it was told once');
}

# --- a restart with a file that is broken ---------------------------------------------------------
my $followed = told($follows);
ok(put_everywhere('one.pem', $pem{four}), 'a good file again');
ok(all_sign_with('four'), 'signs');
ok(await_told($follows, $followed), 'the parent follows');
put('one.pem', "nothing\n");
for my $signal (qw(USR1 HUP)) {
    ok($server->restart($signal), "$signal with a broken file");
    ok(told(qr/:warn\].*one\.pem holds no private key in PEM; the last good version stays/),
        "$signal: a warning");
    ok(all_sign_with('four'), "$signal: the last good key signs");
    is(kids(published()), $kid{four}, "$signal: and is published");
}

# --- written nowhere (L4) -------------------------------------------------------------------------
{
    my @lines = grep { length > 30 } map { split /\n/ } values %pem;
    my ($files, @found) = 0;
    find(
        {
            no_chdir => 1,
            wanted   => sub {
                return if !-f $_;
                my $text = MTLSTest::Server::slurp($_);
                $files++;
                push @found, $_ if $text =~ /PRIVATE KEY/ || grep { index($text, $_) >= 0 } @lines;
            }
        },
        $server->dir
    );
    my @kept = glob $server->dir . '/mtls_policy.*/1';
    ok(@kept, 'what the server keeps of other files is there') or diag($files);
    is_deeply(\@found, [], 'none of them holds a key, or a part of one');
    my $logs = MTLSTest::Server::slurp($server->dir . '/error_log');
    unlike($logs, qr/eyJ[A-Za-z0-9_-]{20}/, 'nor do the logs hold a token');
}
$server->stop;

# --- rotation under load --------------------------------------------------------------------------
# A backend that has read the keys, and reads them again only every second: it never meets a token
# it cannot verify. Only files change.
put('previous.pem', $pem{one});
put('current.pem',  $pem{one});
put('next.pem',     $pem{two});
start('jwt-rotation', map {"\"$dir/$_.pem\""} qw(current next previous));
{
    my $stop   = "$dir/stop";
    my @counts = map { load($stop, $_) } 1 .. 3;
    ok(await(sub { -s "$dir/load.1" && -s "$dir/load.2" && -s "$dir/load.3" }), 'load');
    is(kids(published()), "$kid{one} $kid{two}", 'what two files hold is published once');
    for my $step (['one', 'two', 'three'], ['two', 'three', 'four']) {
        my ($old, $new, $later) = @$step;
        put_everywhere('previous.pem', $pem{$old}) if $old ne 'one';
        ok(put_everywhere('current.pem', $pem{$new}), "$new is current");
        ok(all_sign_with($new), "$new signs");
        is(kids(published()), "$kid{$new} $kid{$old}", "$old is published still");
        ok(put_everywhere('next.pem', $pem{$later}), "$later is next");
        is(kids(published()), "$kid{$new} $kid{$later} $kid{$old}", "$later is published");
        my $now = time;
        ok(await(sub { 3 == grep { MTLSTest::Server::slurp("$dir/load.$_") > $now } 1 .. 3 }),
            'every backend has read the keys');
    }
    replace_file($stop, 'now');
    for my $pipe (@counts) {
        my ($good, $bad, $why) = split /\t/, <$pipe> // "0\t1\tdied", 3;
        cmp_ok($good, '>', 10, "$good good tokens");
        is($bad, 0, 'and none that a backend could not verify') or diag($why);
        close $pipe;
    }
}
$server->stop;

# A backend with its client: requests all the time, keys read again after a second; when it last asked
# for them stands in a file. It ends when it is told to, with some tokens at least.
sub load {
    my ($stop, $number) = @_;
    my $pid = open my $pipe, '-|';
    die "cannot fork: $!\n" if !defined $pid;
    return $pipe if $pid;
    my ($good, $bad, $why, $keys, $asked) = (0, 0, '', undef, 0);
    my $request = sub {
        if (time > $asked + 1) {
            my $now = time;
            $keys  = published();
            $asked = $now;
            replace_file("$dir/load.$number", $asked);
        }
        my $token = token();
        my (undef, $error) =
            by_perl($token, keys => $keys, issuer => 'gateway.test', audience => 'orders');
        return $good++ if !$error;
        my $kid = eval { kid_of($token) } // $token;
        die "$error: $kid of " . kids($keys) . ', read ' . (time - $asked) . " s ago;";
    };
    until (-e $stop && ($good > 10 || $bad)) {
        eval { $request->(); 1 } or $bad++, $why .= $@ =~ s/\s+/ /gr;
    }
    print "$good\t$bad\t$why\n";
    close STDOUT;
    POSIX::_exit(0);
}

# --- a new child ----------------------------------------------------------------------------------
# It is forked by a parent that has not followed yet, while the file does not come to rest.
{
    put('fresh.pem', $pem{one});
    $server = private(
        name      => 'jwt-new-child',
        processes => join("\n",
            mpm() eq 'prefork'
            ? ('StartServers 1', 'MinSpareServers 1', 'MaxSpareServers 1', 'MaxRequestWorkers 1')
            : ('StartServers 1', 'ServerLimit 1', 'ThreadsPerChild 8', 'MaxRequestWorkers 8')),
        config => config("\"$dir/fresh.pem\"")
    );
    is(kids(published()), $kid{one}, 'a key');
    put('fresh.pem', $pem{two});
    ok(await(sub { kids(published()) eq $kid{two} }), 'another one is in force in the only child');
    my $toucher = fork // die "cannot fork: $!\n";
    if (!$toucher) {
        my $until = time + 60;
        while (time < $until) { utime undef, undef, "$dir/fresh.pem" }
        POSIX::_exit(0);
    }
    my $children = sub {
        my $parent = $server->{pid};
        return split ' ', MTLSTest::Server::slurp("/proc/$parent/task/$parent/children");
    };
    my @old = $children->();
    my %old = map { $_ => 1 } @old;
    kill KILL => @old;    # with a threaded MPM mod_cgid's daemon is the second
    ok(await(sub { my @new = $children->(); @new == @old && !grep { $old{$_} } @new }), 'it dies');
    is(kids(published()), $kid{two}, 'which begins with the key the old one had, not with the first');
    kill KILL => $toucher;
    waitpid $toucher, 0;
    $server->stop;
}

# --- what cannot sign fails "httpd -t" ------------------------------------------------------------
put('good.pem',      $pem{one});
put('again.pem',     $pem{two});
put('weak.pem',      make_key(undef, qw(-algorithm RSA -pkeyopt rsa_keygen_bits:1024)));
put('ed25519.pem',   make_key(undef, qw(-algorithm ED25519)));
put('k1.pem',        make_key(undef, qw(-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1)));
put('encrypted.pem', make_key(undef, qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256
    -pass pass:x)));
put('half.pem',   substr $pem{one}, 0, 100);
put('empty.pem',  '');
put('cert.pem',   pki_text('root.crt'));
put('both.pem',   $pem{one} . $pem{two});
put('public.pem', openssl('pkey', '-in', "$dir/good.pem", '-pubout'));
put('open.pem',   $pem{three});
chmod 0644, "$dir/open.pem";

my $check = MTLSTest::ConfigCheck->new;
my $section = "<Location \"/a\">\nMTLSTrust vhost\nMTLSExport jwt aud=a\n</Location>";
my $key     = "MTLSSigningKey \"$dir/good.pem\"";
$check->accepted(@$_) for ['server', $key], ['vhost', $key], ['vhost', "$key\n$section"],
    ['vhost', "$key name-1\nMTLSSigningKey \"$dir/again.pem\" name-2"];
for my $case (
    ['weak',      'RSA key of 1024 bits', 'allowed: a private key in PEM', '2048 to 8192 bits'],
    ['ed25519',   'ED25519', 'allowed:', 'P-256, P-384 or P-521'],
    ['k1',        'another curve', 'allowed:'],
    ['encrypted', 'needs a passphrase'],
    ['half',      'half.pem'],
    ['empty',     'holds no private key in PEM'],
    ['cert',      'holds a "CERTIFICATE" where only a private key belongs'],
    ['both',      'more than one private key'],
    ['public',    'holds a "PUBLIC KEY" where only a private key belongs'],
    ['missing',   'No such file']
    )
{
    my ($name, @words) = @$case;
    $check->refused($_, "MTLSSigningKey \"$dir/$name.pem\"", 'MTLSSigningKey', "$name.pem", @words)
        for qw(server vhost);
}
$check->refused('vhost', "$key\n$key", 'named already at');
$check->refused('vhost', "$key k\nMTLSSigningKey \"$dir/again.pem\" k", 'the kid "k" is that of');
$check->refused('vhost', "$key \"a b\"", 'kid "a b"', 'allowed');
$check->refused('location', $key, 'not allowed');
$check->refused('vhost', $section, 'MTLSExport jwt needs a key', 'MTLSSigningKey', 'gateway.test');
$check->refused('server', $section, 'MTLSExport jwt needs a key', 'the main server');
$check->refused('vhost', "<Location \"/a\">\nMTLSTrust vhost\nMTLSExport jwt ttl=60\n</Location>",
    'aud is missing');
$check->refused('vhost',
    "$key\n<Location \"/a\">\nMTLSTrust vhost\nMTLSExport jwt aud=a header=Authorization\n</Location>",
    'Authorization');
like($check->accepted('vhost', "MTLSSigningKey \"$dir/open.pem\""),
    qr/MTLSSigningKey: everybody on this machine may read.*open\.pem/, 'a warning of who may read');
unlike($check->accepted('vhost', $key), qr/everybody/, 'none where the file is as it should be');

done_testing();
