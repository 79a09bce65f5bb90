# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples;

# How an example is started and asked: one row for each thing it promises.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use Loopback qw(received free_port);
use Test::More;

our @EXPORT_OK = qw(ask start start_as examples log_of_the_example warnings_at_start);

my $EXAMPLES = abs_path(dirname(__FILE__) . '/../..');
my @LOGGED = qw(report user protocol session);

sub examples { return $EXAMPLES }

# [what is promised, path, certificate, "STATUS REASON", how ...]
#   server   which backend must have answered       backend  header => value that arrived there
#   page     what the answer must match             report, user, protocol, session   from the log
#   of_backend   REASON is why the backend was refused    gateway   another one than "gateway"
#   until    asked again until it is so: a file was changed, and each child of httpd sees that by
#            itself
sub ask {
    my ($lab, $url, @rows) = @_;
    for my $row (@rows) {
        my ($promise, $path, $certificate, $expected, %how) = @$row;
        subtest $promise => sub {
            my @request = ($how{gateway} // 'gateway', $url . $path, certificate => $certificate, %how);
            my $got = $how{until} ? $lab->request_until($expected, @request)
                : $lab->request(@request);
            is("$got->{status} $got->{reason}", $expected, 'status and reason')
                or diag($got->{complaint});
            is((received($got, 'backend'))[0], $how{server}, 'answered by') if exists $how{server};
            like($got->{body}, $how{page}, 'page') if $how{page};
            unlike($got->{body}, qr/big ?partner/i, 'no certificate text') if $how{page};
            for my $name (sort keys %{ $how{backend} // {} }) {
                my @want = grep { defined } $how{backend}{$name};
                is_deeply([received($got, $name)], \@want, "the backend received $name");
            }
            is($got->{$_}, $how{$_}, $_) for grep { exists $how{$_} } @LOGGED;
        };
    }
    return;
}

sub start { my ($lab, $file, %more) = @_; return start_as($lab, 'gateway', "$EXAMPLES/$file", %more) }

sub start_as {
    my ($lab, $name, $file, %more) = @_;
    my ($gateway, $plain) = (free_port(), free_port());
    my $pki = $lab->pki;
    $lab->start_httpd($name,
        include => $file,
        listen  => [$gateway, $plain],
        define  => {
            GATEWAY_NAME => 'gateway.test', GATEWAY_PORT => $gateway, PLAIN_PORT => $plain,
            SERVER_CERT => "$pki/server-chain.crt", SERVER_KEY => "$pki/server.key",
            CLIENT_CA_FILE => "$pki/ca-bundle.crt", ERROR_PAGES => error_pages($lab),
            GATEWAY_LOG => $lab->dir . "/$name.log", %more,
        });
    return ("https://localhost:$gateway", "http://localhost:$plain");
}

# Where a child of httpd that is not root may read them.
sub error_pages {
    my ($lab) = @_;
    my $text = $lab->read_file("$EXAMPLES/errors/refused.html");
    $lab->write_file('errors/refused.html', $text);
    return $lab->dir . '/errors';
}

sub log_of_the_example { my ($lab) = @_; return $lab->read_file($lab->dir . '/gateway.log') }

# What the module had to say at start, once a request was answered: a port answers before all is
# said. What is said of a request names its client.
sub warnings_at_start {
    my ($lab) = @_;
    my @lines = split /\n/, $lab->read_file($lab->dir . '/gateway/error.log');
    return grep { /\[mtls_policy:(?:warn|error)\]/ && !/ \[(?:client|remote) / } @lines;
}

1;
