#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
#
# What nginx itself says of a client's certificate - $ssl_client_s_dn, $ssl_client_i_dn and
# $ssl_client_escaped_cert, which ingress-nginx hands on - against the format that is named after
# it. Run by `make check`; skipped where there is no nginx.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use IO::Socket::INET;

my $srcdir;
BEGIN { $srcdir = $ENV{srcdir} // '.' }

my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin',
    'build/servers/usr/sbin';
plan skip_all => 'there is no nginx' unless $nginx;
plan skip_all => 'there is no IO::Socket::SSL' unless eval { require IO::Socket::SSL; 1 };

my $dir = tempdir(CLEANUP => 1);
my $pid;

END {
    my $status = $?;
    if ($pid) { kill TERM => $pid; waitpid $pid, 0 }
    $? = $status;
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub start_nginx {
    my ($port) = @_;
    open my $conf, '>', "$dir/nginx.conf" or die "nginx.conf: $!";
    print {$conf} <<"CONF";
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $dir/byte-061.pem;
        ssl_certificate_key $dir/key.pem;
        ssl_verify_client optional_no_ca;
        location / {
            return 200 "\$ssl_client_s_dn\\n\$ssl_client_i_dn\\n\$ssl_client_escaped_cert\\n";
        }
    }
}
CONF
    close $conf or die "nginx.conf: $!";
    $pid = fork // die "fork: $!";
    return if $pid;
    open STDERR, '>', "$dir/stderr.log";
    exec $nginx, '-p', $dir, '-c', "$dir/nginx.conf" or exit 1;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
    return $socket->sockport;
}

sub wait_for_nginx {
    my ($port) = @_;
    for (1 .. 2400) {
        return 1 if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        return 0 if waitpid($pid, 1) == $pid;    # WNOHANG
        select undef, undef, undef, 0.05;
    }
    return 0;
}

sub ask_nginx {
    my ($port, $name) = @_;
    my $tls = IO::Socket::SSL->new(
        PeerAddr        => '127.0.0.1',
        PeerPort        => $port,
        Timeout         => 60,
        SSL_verify_mode => 0,
        SSL_ca_file     => "$dir/byte-061.pem",    # else it loads those of the machine, each time
        SSL_cert_file   => "$dir/$name.pem",
        SSL_key_file    => "$dir/key.pem",
    ) or return 'no connection: ' . IO::Socket::SSL::errstr();
    print {$tls} "GET / HTTP/1.0\r\n\r\n";
    local $/;
    my $response = <$tls> // '';
    my ($body) = $response =~ m{\AHTTP/1\.[01] 200 .*?\r\n\r\n(.*)\z}s
        or return 'no answer: ' . substr $response, 0, 200;
    return $body;
}

# ---- what we say ----

open my $truth, '-|', 't/golden/awkward', $dir or die "t/golden/awkward: $!";
my %names = map { /^(\S+)/ ? ($1 => 1) : () } <$truth>;
close $truth or die 'awkward failed';
my @names = sort keys %names;

my %ours;
open my $out, '-|', 't/golden/formats', map { "$dir/$_.pem" } @names or die "t/golden/formats: $!";
my $name = '';
while (<$out>) {
    if (/^# (.*)\.pem$/) { $name = $1 }
    $ours{$name}{$1} = $2 if /^ssl-client-([a-z-]+): (.*)$/;
}
close $out or die 'formats failed';

# ---- what nginx says ----

# HTTP takes a blank at the end away, and a lone "#" is no value (RFC 4514): ours differ there.
sub mended {
    my ($dn) = @_;
    $dn =~ s/ \z/20/;
    $dn =~ s/((?:\A|(?<!\\)[,+])[A-Za-z0-9.]+=)#(?=[,+]|\z)/$1\\#/g;
    return $dn;
}

my $port = free_port();
start_nginx($port);
my $runs = wait_for_nginx($port);
ok($runs, 'nginx runs') or diag(`cat $dir/error.log $dir/stderr.log`);
my $asked = 0;
for my $name ($runs ? @names : ()) {
    my ($subject, $issuer, $certificate) = split /\n/, ask_nginx($port, $name), -1;
    my $ours = $ours{$name};
    is_deeply(
        [@{$ours}{qw(verify subject-dn issuer-dn cert)}],
        ['SUCCESS', mended($subject), mended($issuer // ''), $certificate],
        "$name: as nginx writes it"
    );
    $asked++;
}
cmp_ok($asked, '>=', 430, 'nginx was asked') if $runs;

done_testing();
