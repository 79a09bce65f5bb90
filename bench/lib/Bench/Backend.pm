# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Backend;

# The backend of the proxied rows: a stock httpd with children, never under callgrind. It has three
# ports, each with a certificate of its own: the one that is right, one with other names, and a
# revoked one. Its log tells which requests came over a connection that was used before.

use strict;
use warnings;
use parent qw(-norequire Bench::Server);
use Bench::Material qw(make_backend);
use Bench::Server;

use constant {
    GOOD     => 'backend',
    OTHER    => 'backend-of-others',
    REVOKED  => 'backend-once-revoked',
    DEADLINE => 10,                       # seconds for a request to be in the log
    POLL     => 0.05,
};

my @NAMES = qw(gateway.test orders.internal);

sub new {
    my ($class, %env) = @_;
    make_backend($env{pki}, GOOD,    1, @NAMES);
    make_backend($env{pki}, REVOKED, 1, @NAMES);
    make_backend($env{pki}, OTHER,   0, 'billing.internal');
    my $dir  = "$env{dir}/backend";
    my $self = $class->SUPER::new(
        %env,
        dir         => $dir,
        certificate => GOOD,
        tuning      => "StartServers 4\nMaxRequestWorkers 16",
        vhost       => "SSLVerifyClient none\nCustomLog $dir/requests.log %k",
    );
    $self->{ports} = { map { $_ => Bench::Server::_free_port() } OTHER, REVOKED };
    $self->{global} = join '', map { $self->_face($_) } OTHER, REVOKED;
    $self->{seen} = 0;
    return $self->start;
}

sub port_of {
    my ($self, $certificate) = @_;
    return $self->{ports}{$certificate} // $self->{port};
}

# How many of the `count` requests since the last call came first on their connection.
sub connections {
    my ($self, $count) = @_;
    my $end = time + DEADLINE;
    my @lines;
    while ((@lines = $self->_requests) < $self->{seen} + $count) {
        die "the backend has seen @{[@lines - $self->{seen}]} requests, not $count\n"
            if time > $end;
        select undef, undef, undef, POLL;
    }
    my @new = @lines[$self->{seen} .. $#lines];
    $self->{seen} = @lines;
    return scalar grep { $_ == 0 } @new;
}

sub _requests {
    my ($self) = @_;
    open my $in, '<', "$self->{dir}/requests.log" or return;
    return <$in>;
}

sub _face {
    my ($self, $certificate) = @_;
    my ($port, $pki) = ($self->{ports}{$certificate}, $self->{pki});
    return <<"END";
Listen 127.0.0.1:$port
<VirtualHost 127.0.0.1:$port>
    DocumentRoot "$self->{htdocs}"
    <Directory "$self->{htdocs}">
        Require all granted
    </Directory>
    SSLEngine On
    SSLCertificateFile "$pki/$certificate-chain.crt"
    SSLCertificateKeyFile "$pki/$certificate.key"
</VirtualHost>
END
}

1;
