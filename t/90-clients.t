# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# S26: many clients at once, over keep-alive, resumed and HTTP/2 connections, 10,000 requests in
# all, most of them to a backend. Every answer must carry the name of the one who asked and of
# nobody else, in every format. MTLS_CLIENT_REQUESTS sets how many requests each client sends.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MIME::Base64 qw(decode_base64url);
use MTLSTest;
use MTLSTest::Backend;
use MTLSTest::Files qw(files_dir replace_file);
use POSIX           ();

my $requests = $ENV{MTLS_CLIENT_REQUESTS} || ($ENV{MTLS_SANITIZED} ? 250 : 840);
my $backend  = MTLSTest::Backend->start;
my $key      = replace_file(files_dir('clients-key') . '/signing.key',
    openssl(qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)));
chmod 0600, $key;
my $only = join "\n", map {
    (
        "<Location \"/only-$_\">",
        "    MTLSRequire subject.CN user-$_",
        '</Location>',
        "Alias \"/only-$_\" \"\@Htdocs\@/name.shtml\""
    )
} 1 .. 4;
my $server = private(name => 'clients', config => <<"CONF");
MTLSSigningKey "$key"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
LogLevel warn
<Directory "\@Htdocs\@">
    Require all granted
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
ProxyPass "/backend" "http://127.0.0.1:@{[ $backend->port ]}/backend"
Alias "/name" "\@Htdocs\@/name.shtml"
<LocationMatch "^/(?:name|backend)">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSExport env
    MTLSExport xfcc set hash
    MTLSExport jwt aud=clients
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</LocationMatch>
$only
</VirtualHost>
CONF

my %name_of = map { sha256_of("user-$_") => "user-$_" } 1 .. 4;

# Whom a backend was told of: "user-1" when the header, the hash and the token say so.
sub told {
    my ($text)   = @_;
    my ($header) = $text =~ /^X-Client-Name: (\S+)\r$/m;
    my ($hash)   = $text =~ /^X-Forwarded-Client-Cert: Hash=([0-9a-f]+)\r$/m;
    my ($claims) = $text =~ /^X-Client-Identity: [\w-]+\.([\w-]+)\.[\w-]+\r$/m;
    my ($cn)     = decode_base64url($claims // '') =~ /"sub":"CN=([\w-]+)/;
    my %names    = map { $_ // 'nobody' => 1 } $header, $name_of{ $hash // '' }, $cn;
    return join ' and ', sort keys %names;
}

# One client: its own connections, its own name in every answer. Prints what went wrong. A server
# with many clients may close a connection on which nothing is under way: nothing is answered there.
sub client {
    my ($n, $version) = @_;
    my @wrong;
    my ($tls, $session, $done, $closed) = (undef, undef, 0, 0);
    while ($done < $requests) {
        $tls = $server->tls(cert => "user-$n", version => $version, session => $session);
        return "client $n: " . $tls->error if defined $tls->error;
        for my $i (1 .. 1 + $done % 37) {
            my $other = 1 + ($n + $i) % 4;
            my ($path, $status) =
                  $i % 10 == 3 ? ("/only-$other", $other == $n ? 200 : 403)
                : $i % 10 == 6 ? ('/name',        200)
                :                ('/backend', 200);
            my $r = $tls->request($path);
            if ($i > 1 && $r->head eq '' && $r->body eq '') {
                return "client $n: closed again and again" if ++$closed > $requests / 10;
                last;
            }
            $done++;
            my $name =
                $path eq '/backend' ? told($r->body) : $r->body =~ /\Aname=(\S+)\n/ ? $1 : '';
            push @wrong, "client $n at $path: " . $r->status if $r->status != $status;
            push @wrong, "client $n at $path: $name" if $path !~ /only/ && $name ne "user-$n";
        }
        $session = $tls->session;
        $tls->close;
    }
    return join '; ', @wrong[0 .. ($#wrong > 3 ? 3 : $#wrong)];
}

my @children;
for my $n (1 .. 4) {
    for my $version ('1.2', '1.3') {
        my $pid = open my $pipe, '-|';
        die "cannot fork: $!\n" unless defined $pid;
        if (!$pid) {
            print eval { client($n, $version) } // "client $n died: $@";
            close STDOUT;
            POSIX::_exit(0);
        }
        push @children, [$n, $version, $pipe];
    }
}
for my $child (@children) {
    my ($n, $version, $pipe) = @$child;
    my $wrong = do { local $/; <$pipe> }
        // '';
    close $pipe;
    is($wrong, '', "user-$n over TLS $version: $requests requests, each answered in its own name");
}

SKIP: {
    skip 'prefork has no HTTP/2', 4 if mpm() eq 'prefork';
    my $port    = $server->port('main');
    my $answers = $server->dir . '/answers';
    mkdir $answers or die "cannot make $answers: $!\n";
    my @pipes;
    for my $n (1 .. 4) {
        my $config = $server->dir . "/h2-$n.config";
        open my $fh, '>', $config or die "cannot write $config: $!\n";
        print {$fh}
            map {
            my $path = $_ % 5 ? 'backend' : 'name';
            "url = \"https://gateway.test:$port/$path?$_\"\noutput = \"$answers/$n-$_\"\n"
            } 1 .. $requests;
        close $fh;
        open my $pipe, '-|', 'curl', '-q', '-sS', '--no-progress-meter', '-Z', '--parallel-max',
            40, '--http2', '--max-time', 240, '--cacert', pki_dir() . '/root.crt', '--connect-to',
            "gateway.test:$port:127.0.0.1:$port", '--cert', pki_dir() . "/user-$n-chain.crt",
            '--key',                              pki_dir() . "/user-$n.key", '--config', $config
            or die "cannot run curl: $!\n";
        push @pipes, [$n, $pipe];
    }
    for my $entry (@pipes) {
        my ($n, $pipe) = @$entry;
        1 while <$pipe>;
        close $pipe;
        my %seen;
        for my $file (glob "$answers/$n-*") {
            my $text = MTLSTest::Server::slurp($file);
            $seen{ $text =~ /\Aname=(\S+)\n\z/ ? $1 : told($text) }++;
        }
        is(
            join(' ', map { "$_ $seen{$_}" } sort keys %seen),
            "user-$n $requests",
            "user-$n over HTTP/2: $requests streams, each answered in its own name"
        );
    }
}

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');
is(scalar($server->log->matching(qr/reason="?internal_error/)), 0, 'no internal error');

done_testing;
