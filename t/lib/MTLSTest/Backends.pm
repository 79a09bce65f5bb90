# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Backends;

# Real backends, one for each way a gateway hands on a request: httpd over HTTP/1, TLS and HTTP/2,
# nginx, uwsgi with its FastCGI, SCGI and uwsgi sides, an AJP connector. Each answers with what it
# got; see MTLSTest::Seen.

use strict;
use warnings;
use MTLSTest::Ajp;
use MTLSTest::Backend;
use MTLSTest::Daemon;
use MTLSTest::Files qw(files_dir replace_file);
use MTLSTest::Server;

# Without master: one process, to be stopped as one.
my $NGINX = <<'CONF';
daemon off;
master_process off;
pid @Dir@/nginx.pid;
error_log @Dir@/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path @Dir@/body;
    proxy_temp_path @Dir@/proxy;
    fastcgi_temp_path @Dir@/fastcgi;
    uwsgi_temp_path @Dir@/uwsgi;
    scgi_temp_path @Dir@/scgi;
    underscores_in_headers on;
    ignore_invalid_headers off;
    large_client_header_buffers 4 64k;
    keepalive_requests 100000;
    server {
        listen 127.0.0.1:@Port@;
        location / {
            add_header X-Nginx "$http_x_client_name" always;
            proxy_http_version 1.1;
            proxy_pass http://127.0.0.1:ECHO;
        }
    }
}
CONF

# The application of uwsgi's three sides.
my $APP = <<'PSGI';
my $app = sub {
    my ($env) = @_;
    my $length = 0;
    while ($env->{'psgi.input'}->read(my $piece, 65_536)) { $length += length $piece }
    my @lines = map {"$_=$env->{$_}\n"} grep { /\A[A-Z]/ && !ref $env->{$_} } sort keys %$env;
    my @head  = ('Content-Type' => 'text/plain', 'X-Seen' => $env->{HTTP_X_CLIENT_NAME} // '');
    my ($status) = "$env->{SCRIPT_NAME}$env->{PATH_INFO}" =~ m{/status/([2-5]\d\d)};
    @lines = () if $env->{REQUEST_METHOD} eq 'HEAD';
    return [$status // 200, \@head, [@lines ? (@lines, "body=$length\n") : ()]];
};
$app;
PSGI

# Below /raw/ httpd hands on to the backend that echoes bytes, below /cgi/ a CGI prints variables.
my $HTTPD = <<'CONF';
LimitRequestFieldSize 100000
KeepAliveTimeout 600
H2Direct on
ProxyPass "/raw/" "http://127.0.0.1:ECHO/"
AliasMatch "^/cgi/" "@Htdocs@/cgi-bin/env.cgi"
<Directory "@Htdocs@/cgi-bin">
    Require all granted
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
Listen 127.0.0.1:@Port_Plain@
<VirtualHost 127.0.0.1:@Port_Plain@>
    Protocols h2c http/1.1
</VirtualHost>
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
    Protocols h2 http/1.1
    SSLEngine on
    SSLCertificateFile "@PKI@/server-chain.crt"
    SSLCertificateKeyFile "@PKI@/server.key"
</VirtualHost>
CONF

# What all of them need to be reached; inherited by virtual hosts.
sub directives {
    return <<'CONF';
SSLProxyEngine on
SSLProxyVerify require
SSLProxyVerifyDepth 5
SSLProxyCACertificateFile "@PKI@/root.crt"
SSLProxyCheckPeerName off
ProxyTimeout 30
CONF
}

# By what a test calls them. "echo" is behind some of the others, too.
sub start {
    my ($class, $name) = @_;
    my $echo  = MTLSTest::Backend->start;
    my $ajp   = MTLSTest::Backend->start(serve => \&MTLSTest::Ajp::serve);
    my $port  = $echo->port;
    my $app   = replace_file(files_dir("$name-app") . '/app.psgi', $APP);
    my $uwsgi = MTLSTest::Daemon->start('uwsgi', "$name-uwsgi", app  => $app);
    my $nginx = MTLSTest::Daemon->start('nginx', "$name-nginx", conf => $NGINX =~ s/ECHO/$port/gr);
    my $httpd = MTLSTest::Server->start(
        name   => "$name-httpd",
        mpm    => 'event',
        config => $HTTPD =~ s/ECHO/$port/gr
    );
    my ($plain, $tls) = map { '127.0.0.1:' . $httpd->port($_) } qw(plain main);
    my %url = (
        http  => "http://127.0.0.1:$port/",
        httpd => "http://$plain/cgi/",
        https => "https://$tls/raw/",
        h2c   => "h2c://$plain/raw/",
        h2    => "h2://$tls/cgi/",
        nginx => 'http://127.0.0.1:' . $nginx->port . '/',
        uwsgi => 'uwsgi://127.0.0.1:' . $uwsgi->port . '/',
        fcgi  => 'fcgi://127.0.0.1:' . $uwsgi->port('fastcgi') . '/',
        scgi  => 'scgi://127.0.0.1:' . $uwsgi->port('scgi') . '/',
        ajp   => 'ajp://127.0.0.1:' . $ajp->port . '/',
    );
    return bless { url => \%url, echo => $echo, parts => [$ajp, $uwsgi, $nginx, $httpd] }, $class;
}

sub schemes { my ($self) = @_; return sort keys %{ $self->{url} } }
sub url     { my ($self, $scheme) = @_; return $self->{url}{$scheme} }
sub echo    { my ($self) = @_; return $self->{echo} }

# Variables arrive as such where the protocol has a place for them.
sub has_variables { my ($self, $scheme) = @_; return $scheme =~ /\A(?:fcgi|scgi|uwsgi|ajp|cgi)\z/ }

1;
