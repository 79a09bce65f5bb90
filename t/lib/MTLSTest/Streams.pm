# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Streams;

# Many streams of one HTTP/2 connection, side by side.

use strict;
use warnings;
use Exporter 'import';
use MTLSTest::Layout qw(pki_dir);

our @EXPORT_OK = qw(many);

# curl asks for all paths over one connection, each with a mark that finds its line in the access
# log ("$mark-$n."). Returns "2 200" (version of HTTP, status) by number, and how many connections
# there were.
sub many {
    my ($server, $cert, $mark, @paths) = @_;
    my $port   = $server->port('main');
    my $base   = "https://gateway.test:$port";
    my $config = $server->dir . "/curl-$$.config";
    open my $fh, '>', $config or die "cannot write $config: $!\n";
    my $n = 0;
    print {$fh}
        map { sprintf "url = \"%s%s?%s-%d.\"\noutput = \"/dev/null\"\n", $base, $_, $mark, $n++ }
        @paths;
    close $fh;
    my @auth =
        $cert ? ('--cert', pki_dir() . "/$cert-chain.crt", '--key', pki_dir() . "/$cert.key") : ();
    open my $pipe, '-|', 'curl', '-q', '-sS', '--no-progress-meter', '-Z', '--parallel-max', 50,
        '--http2', '--max-time', 240, '--cacert', pki_dir() . '/root.crt', '--connect-to',
        "gateway.test:$port:127.0.0.1:$port", @auth, '-w',
        '%{http_version} %{num_connects} %{http_code} %{url_effective}\n', '--config', $config
        or die "cannot run curl: $!\n";
    my @lines = <$pipe>;
    close $pipe;
    unlink $config;
    my (%status, $connections);

    for (@lines) {
        my ($version, $connects, $code, $number) = m{\A(\S+) (\d+) (\d+) .*-(\d+)\.$} or next;
        $status{$number} = "$version $code";
        $connections += $connects;
    }
    return (\%status, $connections);
}

1;
