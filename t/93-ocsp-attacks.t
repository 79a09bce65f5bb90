# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Who wants a revocation to be forgotten: with other bytes of the same certificate, with a cache that
# somebody else writes to or that was emptied, and by way of another store's responder.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Daemon;
use MTLSTest::Ocsp qw(make_certificate der_of response_for);
use MTLSTest::Responder;
use Digest::SHA  qw(sha1_hex sha256);
use File::Copy   qw(copy);
use MIME::Base64 qw(encode_base64);
use Math::BigInt ();
use IO::Socket::INET;
use Time::HiRes qw(time);

my $pki       = pki_dir();
my $responder = MTLSTest::Responder->start(name => 'attacked', default => { status => 'good' });
my $second    = MTLSTest::Responder->start(
    name    => 'second',
    default => { status => 'good', signer => 'x-signer', this => -10 }
);
my $redis = MTLSTest::Daemon->start('redis', 'attacked');

my @older = map {"older-$_"} 1 .. 4;
make_certificate("x-$_", ocsp => [$responder->url]) for qw(twice fleet cross), @older;
make_certificate(
    'x-signer',
    issuer  => 'self',
    eku     => ['1.3.6.1.5.5.7.3.9'],
    subject => [O => 'Carcano', CN => 'OCSP of another store']
);

my @modules = qw(
    authn_core authz_core alias headers log_config mime setenvif socache_shmcb socache_redis
    mtls_policy ssl
);

sub gateway {
    my ($name, $settings, $sections) = @_;
    my $hosts = join ' ', $responder->host, $second->host;
    return private(name => $name, modules => \@modules, config => <<"CONF");
MTLSOCSPResponderAllow $hosts
MTLSOCSPTimeout 20
MTLSOCSPWait 20
$settings
<Directory "\@Htdocs\@">
Require all granted
</Directory>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
AliasMatch "^/" "\@Htdocs\@/index.html"
$sections
</VirtualHost>
CONF
}
my $both = join "\n", map { "<Location \"/$_\">\nMTLSOCSP $_\n</Location>" } 'require', 'prefer';

sub outcome_at {
    my ($server, $path, $cert) = @_;
    return $server->tls(cert => $cert)->request($path);
}

sub files {
    my ($server) = @_;
    my @files = glob $server->dir . '/mtls_policy_revoked/*.der';
    return scalar @files;
}

# --- other bytes of the same certificate ----------------------------------------------------------
# Of an ECDSA signature (r, s) anybody makes (r, n - s), which is as good.
sub tlv {
    my ($tag, $content) = @_;
    my $n    = length $content;
    my $size = $n < 128 ? chr $n : $n < 256 ? pack('CC', 0x81, $n) : pack('Cn', 0x82, $n);
    return chr($tag) . $size . $content;
}

# (header, content) of the element at the front, and what follows it.
sub cut {
    my ($der)  = @_;
    my $length = ord substr $der, 1, 1;
    my $header = 2;
    if ($length & 0x80) {
        $header = 2 + ($length & 0x7f);
        $length = unpack 'N', substr "\0\0\0\0" . substr($der, 2, $header - 2), -4;
    }
    return (substr($der, 0, $header + $length), substr($der, $header, $length),
        substr $der, $header + $length);
}

sub other_signature {
    my ($signature) = @_;
    my (undef, $both_numbers) = cut($signature);
    my ($r, undef, $rest) = cut($both_numbers);
    my (undef, $s) = cut($rest);
    my $n = Math::BigInt->from_hex(
        'FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551');
    my $hex = $n->bsub(Math::BigInt->from_hex(unpack 'H*', $s))->to_hex;
    $hex = "0$hex" if length($hex) % 2;
    my $bytes = pack 'H*', $hex;
    $bytes = "\0$bytes" if ord($bytes) & 0x80;
    return tlv(0x30, $r . tlv(0x02, $bytes));
}

sub make_twin {
    my ($name, $twin) = @_;
    my (undef, $certificate) = cut(der_of($name));
    my ($tbs, undef, $rest)      = cut($certificate);
    my ($algorithm, undef, $bit) = cut($rest);
    my (undef, $signature) = cut($bit);
    my $der = tlv(0x30,
        $tbs . $algorithm . tlv(0x03, "\0" . other_signature(substr $signature, 1)));
    open my $in, '<', "$pki/$name-chain.crt" or die "$name: $!";
    my ($leaf, @others) = do { local $/; <$in> =~ /(-----BEGIN.*?-----END CERTIFICATE-----\n)/sg };
    open my $out, '>', "$pki/$twin-chain.crt" or die "$twin: $!";
    print $out "-----BEGIN CERTIFICATE-----\n", encode_base64($der), "-----END CERTIFICATE-----\n",
        @others;
    close $out                                or die "$twin: $!";
    copy("$pki/$name.key", "$pki/$twin.key") or die "$twin: $!";
    return sha1_hex($der);
}

isnt(make_twin('x-twice', 'x-twin'), sha1_hex(der_of('x-twice')), 'a twin of other bytes');
my $server = gateway('ocsp-twin', '', $both);
outcome_is(outcome_at($server, '/require', 'x-twin'), outcome_of('ok'), 'which is as good');
$server->stop;
$responder->set('x-twice', status => 'revoked');
$server->launch;
outcome_is(outcome_at($server, '/prefer', 'x-twice'), outcome_of('ocsp_revoked'), 'revoked');
$responder->down;
outcome_is(outcome_at($server, '/prefer', 'x-twin'),
    outcome_of('ocsp_revoked'), 'its twin is, too, whoever can be asked');
$responder->up;
$server->stop;

# --- a cache that somebody else writes to, and that loses what it had -----------------------------
sub redis {
    my (@words) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $redis->port)
        or die "redis: $!";
    print $socket '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $socket->flush;
    my $line = <$socket>;
    return $line if $line !~ /^\*(\d+)/;
    my @got;
    for (1 .. $1) {
        my ($length) = <$socket> =~ /^\$(\d+)/;
        read $socket, my ($bytes), $length + 2;
        push @got, substr $bytes, 0, $length;
    }
    return @got;
}

my $cache = 'MTLSCache redis:127.0.0.1:' . $redis->port;
my ($one, $two) = map { gateway("ocsp-fleet-$_", $cache, $both) } 1, 2;

# A cache that does not answer within half a second is not used: then the next one.
my ($name, $older, $main, $beside);
for (@older) {
    $name  = "x-$_";
    $older = response_for($name, this => -100);
    $responder->set($name, status => 'revoked', this => -50);
    outcome_is(await_outcome(outcome_of('ocsp_revoked'), sub { outcome_at($one, '/require', $name) }),
        outcome_of('ocsp_revoked'), 'revoked');
    my $hash = sha1_hex(der_of($name));
    await(
        sub {
            ($main, $beside) =
                sort { length $a <=> length $b } grep {/\Q$hash\E/i} redis('KEYS', '*');
            return $beside;
        },
        seconds => 10
    ) and last;
}
ok($main && $beside, 'the cache holds it, and what lies beside');
my $now   = int(time * 1e6);
my $times = pack 'NN', $now >> 32, $now & 0xffffffff;
redis('SET', $main,   "\1$older");
redis('SET', $beside, "\1$times$times" . sha256($older));
outcome_is(outcome_at($one, '/require', $name),
    outcome_of('ocsp_revoked'), 'an older good in the cache undoes nothing');

$responder->set('x-fleet', status => 'revoked');
outcome_is(outcome_at($one, '/prefer', 'x-fleet'), outcome_of('ocsp_revoked'), 'asked by one');
outcome_is(outcome_at($two, '/prefer', 'x-fleet'),
    outcome_of('ocsp_revoked'), 'the other has it out of the cache');
ok(await(sub { files($two) }), 'and keeps it');
redis('FLUSHALL');
$responder->down;
outcome_is(outcome_at($_, '/prefer', 'x-fleet'),
    outcome_of('ocsp_revoked'), 'the cache is empty, and nobody can be asked')
    for $one, $two;
$responder->up;
$_->stop for $one, $two;

# --- what another store's responder says ----------------------------------------------------------
my $stores = join '', map {
    my $own = $_ == 1 ? '' : 'MTLSOCSPResponder ' . $second->url . <<"OWN";
 override
MTLSOCSPResponderCertificate "$pki/x-signer.crt"
OWN
    <<"STORE" } 1, 2;
<MTLSTrustStore t$_>
MTLSAnchor "$pki/root.crt"
MTLSIntermediate "$pki/carc-i101l.crt"
$own</MTLSTrustStore>
STORE
my $sections = join "\n",
    map { "<Location \"/t$_\">\nMTLSTrust t$_\nMTLSOCSP prefer\n</Location>" } 1, 2;
$server = gateway('ocsp-cross', "MTLSOCSPMaxAge 1\n$stores", $sections);
$responder->set('x-cross', status => 'revoked', this => -50);
outcome_is(outcome_at($server, '/t1', 'x-cross'), outcome_of('ocsp_revoked'), 'the CA revokes');
outcome_is(await_outcome(outcome_of('ok'), sub { outcome_at($server, '/t2', 'x-cross') }),
    outcome_of('ok'), 'a responder that only another store believes does not');
ok(await(sub { files($server) }), 'the revocation is kept');
$responder->down;
$server->stop;
$server->launch;
outcome_is(outcome_at($server, '/t1', 'x-cross'),
    outcome_of('ocsp_revoked'), 'and undoes nothing for the first');
$server->stop;

done_testing();
