# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::BackendMTLS;

# What conf-examples/backend-mtls.conf promises, with its two backends: a real httpd and a real
# nginx, each with the configuration that lies in conf-examples/backend/.

use strict;
use warnings;
use Examples qw(ask start start_as examples log_of_the_example warnings_at_start);
use Loopback qw(free_port);
use MTLSPKI::Der qw(dns);
use MTLSTest::Daemon;
use MTLSTest::Layout qw(runtime_user);
use Test::More;

use constant DAY => 86_400;

my $O       = 'Example Petstore';
my @SERVERS = qw(examplepetstore.com api.examplepetstore.com);

# ---- the CA, and what it has issued ----

sub machine {
    my ($lab, $name, $dns, %more) = @_;
    return $lab->make("pets-$name", issuer => 'pets-ca', eku => ['serverAuth'], san => [dns($dns)],
        subject => [O => $O, CN => $dns], %more);
}

sub make_certificates {
    my ($lab) = @_;
    $lab->make('pets-root', ca => 1, issuer => 'self', subject => [O => $O, CN => 'Root']);
    my @ca = (ca => 1, subject => [O => $O, CN => 'Machines']);
    $lab->make('pets-ca', issuer => 'pets-root', @ca);
    $lab->make('pets-lookalike-root', ca => 1, issuer => 'self',
        subject => [O => $O, CN => 'Root']);
    $lab->make('pets-lookalike', issuer => 'pets-lookalike-root', @ca);

    machine($lab, 'httpd', $SERVERS[0]);
    machine($lab, $_, $SERVERS[1]) for qw(nginx renewed);
    machine($lab, 'billing',   'billing.examplepetstore.com');
    machine($lab, 'cn-only',   $SERVERS[1], san => undef);
    machine($lab, 'stranger',  $SERVERS[1], issuer => 'stranger-root');
    machine($lab, 'impostor',  $SERVERS[1], issuer => 'pets-lookalike');
    machine($lab, 'expired',   $SERVERS[1], from => -30 * DAY, to => -DAY);
    machine($lab, 'ed25519',   $SERVERS[1], key => 'ed25519');
    machine($lab, 'client',    $SERVERS[1], eku => ['clientAuth']);

    my @client = (eku => ['clientAuth']);
    machine($lab, 'gateway', 'gateway.examplepetstore.com', @client);
    machine($lab, 'printer', 'printer.examplepetstore.com', @client);
    return;
}

sub client_file {
    my ($lab, $name) = @_;
    my @parts = map { $lab->read_file($lab->pki . "/pets-$_") } "$name.crt", "$name.key", 'ca.crt';
    return $lab->write_file("client/$name.pem", join '', @parts);
}

sub revoke {
    my ($lab, @names) = @_;
    $lab->write_file('petstore/crl/ca.pem', $lab->crl('pets-ca', revoked => \@names));
    return;
}

# As the heads of the examples describe the folders.
sub lay_out {
    my ($lab) = @_;
    make_certificates($lab);
    $lab->install('petstore/root.pem', 'pets-root');
    $lab->install('petstore/intermediates/machines.pem', 'pets-ca');
    $lab->install('gateway-root.pem', 'pets-root');
    $lab->write_file('petstore/crl/root.pem', $lab->crl('pets-root'));
    revoke($lab);
    return;
}

# ---- the backends ----

sub start_httpd {
    my ($lab) = @_;
    my ($port, $dir, $pki) = (free_port(), $lab->dir, $lab->pki);
    $lab->start_httpd('petstore-httpd',
        include => examples() . '/backend/petstore-httpd.conf',
        listen  => [$port],
        define  => {
            BACKEND_PORT => $port, BACKEND_CERT => "$pki/pets-httpd-chain.crt",
            BACKEND_KEY => "$pki/pets-httpd.key", GATEWAY_ROOT => "$dir/gateway-root.pem",
            APP_URL => 'http://127.0.0.1:' . $lab->start_echo('behind the httpd'),
            BACKEND_LOG => "$dir/petstore-httpd.log",
        });
    return $port;
}

# nginx has no variables for this: this run's ports and files for those of the text.
sub nginx_conf {
    my ($lab, $port) = @_;
    my $dir  = $lab->dir . '/nginx';
    my $app  = $lab->start_echo('behind the nginx');
    my $text = $lab->read_file(examples() . '/backend/petstore-nginx.conf');
    my %ours = ('listen      8443' => "listen 127.0.0.1:$port",
        '/var/log/nginx/' => "$dir/", '/etc/ssl/petstore/' => "$dir/",
        'http://127.0.0.1:8080' => "http://127.0.0.1:$app");
    for my $theirs (sort keys %ours) {
        $text =~ s/\Q$theirs\E/$ours{$theirs}/g or die "petstore-nginx.conf has no $theirs\n";
    }
    my ($user, $group) = runtime_user();
    my $account = $> == 0 ? "user $user $group;" : '';
    my $paths = join ' ', map { "${_}_temp_path $dir/$_;" }
        qw(client_body proxy fastcgi uwsgi scgi);
    my $other = "server { listen 127.0.0.1:$port ssl; server_name other.example;\n"
        . "ssl_certificate $dir/server-chain.pem; ssl_certificate_key $dir/server.key; }";
    return "daemon off; pid $dir/pid; error_log $dir/error.log; $account\n"
        . "events { }\nhttp { $paths\n$text\n$other\n}\n";
}

sub install_certificate {
    my ($lab, $name) = @_;
    $lab->write_file("nginx/$_->[0]", $lab->read_file($lab->pki . "/pets-$name$_->[1]"))
        for ['server-chain.pem', '-chain.crt'], ['server.key', '.key'];
    return;
}

sub start_nginx {
    my ($lab) = @_;
    my ($port, $dir) = (free_port(), $lab->dir . '/nginx');
    install_certificate($lab, 'nginx');
    $lab->install('nginx/gateway-root.pem', 'pets-root');
    my $conf = $lab->write_file('nginx/nginx.conf', nginx_conf($lab, $port));
    my $pid = $lab->start_responder($port, $dir, MTLSTest::Daemon::program('nginx'),
        '-e', "$dir/error.log", '-p', $dir, '-c', $conf);
    return ($port, $pid);
}

# ---- requests ----

# By way of one of the two; "STATUS REASON" tells how that backend was judged.
sub by {
    my ($route, $promise, $expected, %how) = @_;
    my $host = delete $how{host} // 'examplepetstore.com';
    return [$promise, '/pets/7', undef, $expected, of_backend => 1, %how,
        headers => ["Host: $host", "Cookie: PETSTORE=.$route"]];
}

sub good_rows {
    my %told = (Host => 'examplepetstore.com');
    return (
        by('one', 'the httpd', '200 ok', server => 'behind the httpd', backend => \%told),
        by('two', 'the nginx, by its other name', '200 ok', server => 'behind the nginx',
            backend => \%told),
        by('one', 'HTTP/2 of the client', '200 ok', http2 => 1, protocol => 'HTTP/2.0',
            server => 'behind the httpd'),
        by('two', 'an nginx with several servers minds the Host', '421 ok',
            host => 'elsewhere.example'),
    );
}

# The nginx comes back with another certificate, on the same address.
sub certificates {
    my ($lab, $url, $nginx) = @_;
    for my $row (
        ['another name',                     'billing',  '502 san_mismatch'],
        ['the name in the CN only',          'cn-only',  '502 san_mismatch'],
        ['another CA',                       'stranger', '502 chain_incomplete'],
        ['a CA that took the name of ours',  'impostor', '502 chain_untrusted'],
        ['expired',                          'expired',  '502 expired'],
        ['a client\'s certificate',          'client',   '502 purpose_mismatch'],
        ['a key that is not on the list',    'ed25519',  '502 key_mismatch'],
    ) {
        my ($promise, $certificate, $expected) = @$row;
        for my $turn ([$promise, $certificate, $expected], ['its own again', 'nginx', '200 ok']) {
            install_certificate($lab, $turn->[1]);
            kill HUP => $nginx;
            ask($lab, $url, by('two', "$turn->[0]: $turn->[2]", $turn->[2], until => 1));
        }
        ask($lab, $url, by('one', 'the other backend is not touched', '200 ok'));
    }
    return;
}

sub revocation {
    my ($lab, $url, $nginx) = @_;
    revoke($lab, 'pets-nginx');
    ask($lab, $url,
        by('two', 'revoked, over a connection that is open', '502 revoked_crl', until => 1),
        by('one', 'the other backend is not', '200 ok'));
    install_certificate($lab, 'renewed');
    kill HUP => $nginx;
    ask($lab, $url, by('two', 'with a new certificate', '200 ok', until => 1));
    return;
}

# ---- the gateway as its backends see it ----

# The same gateway, without a certificate of its own and with that of another machine.
sub other_gateways {
    my ($lab, %define) = @_;
    my $text = $lab->read_file(examples() . '/backend-mtls.conf');
    $text =~ s/^\s*SSLProxyMachineCertificateFile .*\n//m or die "no certificate to take away\n";
    my ($bare) = start_as($lab, 'bare', $lab->write_file('bare.conf', $text), %define);
    ask($lab, $bare,
        by('one', 'without its certificate: the httpd', '403 ok', gateway => 'bare'),
        by('two', 'without its certificate: the nginx', '400 ok', gateway => 'bare',
            page => qr/No required SSL certificate/));
    my ($printer) = start_as($lab, 'printer', examples() . '/backend-mtls.conf', %define,
        GATEWAY_CLIENT => client_file($lab, 'printer'));
    ask($lab, $printer,
        by('one', 'with that of another machine: the httpd', '403 ok', gateway => 'printer'),
        by('two', 'with that of another machine: the nginx', '403 ok', gateway => 'printer'));

    my ($httpd, $nginx) = map { my $log = $_; sub { logs($lab, $log, @_) } }
        'petstore-httpd.log', 'nginx/petstore.log';
    $httpd->(qr/ 200 sni=examplepetstore\.com reason=ok$/m, 'the log of the httpd: ours');
    $httpd->(qr/ 403 sni=\S+ reason=no_certificate$/m, 'one without');
    $httpd->(qr/ 403 sni=\S+ reason=san_mismatch$/m, 'another');
    $nginx->(qr/ 200 sni=examplepetstore\.com verify=SUCCESS subject="CN=gateway\./,
        'the log of the nginx: ours');
    $nginx->(qr/ 400 sni=\S+ verify=NONE/, 'one without');
    $nginx->(qr/ 403 sni=\S+ verify=SUCCESS subject="CN=printer\./, 'another');
    return;
}

# A log is written after the answer has left.
sub logs {
    my ($lab, $log, $pattern, $what) = @_;
    my $text;
    $lab->await(60, sub { ($text = $lab->read_file($lab->dir . "/$log")) =~ $pattern });
    like($text, $pattern, $what);
    return;
}

sub run {
    my ($lab) = @_;
    lay_out($lab);
    my $httpd = start_httpd($lab);
    my ($port, $nginx) = start_nginx($lab);
    my %define = (TRUST => $lab->dir . '/petstore', RELOAD_SECONDS => 1,
        GATEWAY_CLIENT => client_file($lab, 'gateway'),
        BACKEND_1_URL => "https://127.0.0.1:$httpd", BACKEND_2_URL => "https://127.0.0.1:$port");
    my ($url) = start($lab, 'backend-mtls.conf', %define);
    ask($lab, $url, good_rows());
    is_deeply([warnings_at_start($lab)], [], 'nothing to warn of at start');
    other_gateways($lab, %define);
    certificates($lab, $url, $nginx);
    revocation($lab, $url, $nginx);
    like(log_of_the_example($lab), qr/" 502 route=two backend=san_mismatch$/m, 'the log');
    return;
}

1;
