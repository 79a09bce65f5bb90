# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Nginx;

# nginx with one TLS server that demands a client certificate: what httpd is compared with.

use strict;
use warnings;
use parent qw(-norequire Bench::Server);
use Bench::Server;
use Bench::Setup qw(write_file);

# dir, pki, htdocs: as of Bench::Server; more: directives of the server
sub find {
    for my $folder (split(/:/, $ENV{PATH} // ''), '/usr/sbin', '/usr/local/sbin') {
        return "$folder/nginx" if -x "$folder/nginx";
    }
    return;
}

sub version {
    my $program = find() or return;
    my ($version) = `$program -v 2>&1` =~ m{(nginx/\S+)};
    return $version;
}

# callgrind: one process, whose count `instructions` returns once it has stopped.
sub start {
    my ($self, %how) = @_;
    my $dir = $self->{dir};
    $self->{port} = Bench::Server::_free_port();
    $self->_write_config(!$how{callgrind});
    my @command = (find(), '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf");
    unshift @command, 'valgrind', '--tool=callgrind', '--quiet', '--vgdb=no',
        "--callgrind-out-file=$dir/counts"
        if $how{callgrind};
    $self->_launch(@command);
    return $self;
}

sub instructions {
    my ($self) = @_;
    return $self->instructions_in("$self->{dir}/counts");
}

sub _write_config {
    my ($self, $master) = @_;
    my ($dir, $pki) = @$self{qw(dir pki)};
    my $process = $master ? "worker_processes 2;\n" : "master_process off;\n";
    my $user    = $> == 0 ? "user www-data www-data;\n" : '';
    my $folders = join '', map { "    ${_}_temp_path $dir/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    write_file("$dir/nginx.conf", <<"END");
daemon off;
${user}${process}pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 4096; }
http {
    access_log off;
$folders    keepalive_requests 1000000;
    keepalive_timeout 300s;
    server {
        listen 127.0.0.1:$self->{port} ssl backlog=4096;
        root $self->{htdocs};
        ssl_certificate $pki/server-chain.crt;
        ssl_certificate_key $pki/server.key;
        ssl_client_certificate $pki/ca-bundle.crt;
        ssl_verify_client on;
        ssl_verify_depth 4;
        $self->{more}
    }
}
END
    return;
}

1;
