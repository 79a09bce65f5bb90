# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::RuleTable;

# Tables of rules and certificates against a real server: every rule gets a Location of its own,
# every certificate one keep-alive connection that visits the Locations in turn.
#
#     run_table(name => 'rules', rows => [
#         'subject.CN client.example' => { partner => 'ok', stranger => 'chain_incomplete' }, ...
#
# A row is one rule without "MTLSRequire", or a list of whole lines. An expectation is a reason;
# "ok" is the only one that is answered 200. A certificate written "name:leaf" is sent without its
# intermediates.
#
# server: text outside the virtual host; directives: text inside it; version: of TLS.

use strict;
use warnings;
use Exporter 'import';
use File::Path qw(make_path);
use MTLSTest;

our @EXPORT_OK = qw(run_table list_file);

# A file for "file:" and "patterns:" values; to be made before the server starts.
sub list_file {
    my ($name, @content) = @_;
    my $dir = run_dir() . '/logs/lists';
    make_path($dir);
    open my $fh, '>:raw', "$dir/$name" or die "cannot write $dir/$name: $!\n";
    print {$fh} @content;
    close $fh or die "cannot write $dir/$name: $!\n";
    return "$dir/$name";
}

sub lines_of {
    my ($rule) = @_;
    return ref $rule ? @$rule : $rule =~ /\A(?:MTLS|<)/ ? $rule : "MTLSRequire $rule";
}

sub configuration {
    my ($rows, %o) = @_;
    my ($server, $directives) = map { $o{$_} // '' } qw(server directives);
    my $locations = '';
    for my $i (0 .. @$rows / 2 - 1) {
        $locations .= join "\n    ", "<Location \"/rule-$i\">", lines_of($rows->[2 * $i]);
        $locations .= "\n</Location>\n";
    }
    return <<"CONF";
$server
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/all-intermediates.crt"
SSLCipherSuite ALL:\@SECLEVEL=0
$directives
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/rule-" "\@Htdocs\@/index.html"
$locations
</VirtualHost>
CONF
}

# By certificate, one connection at a time: under prefork a connection that is kept holds a process.
sub run_table {
    my (%o)    = @_;
    my @rows   = @{ $o{rows} };
    my $server = private(name => $o{name}, config => configuration(\@rows, %o));
    my %visits;
    for my $i (0 .. @rows / 2 - 1) {
        push @{ $visits{$_} }, [$i, $rows[2 * $i], $rows[2 * $i + 1]{$_}]
            for keys %{ $rows[2 * $i + 1] };
    }
    for my $cert (sort keys %visits) {
        visit($server, [$cert, defined $o{version} ? (version => $o{version}) : ()],
            @{ $visits{$cert} });
    }
    return $server;
}

sub visit {
    my ($server, $client, @visits) = @_;
    my ($cert, @options) = @$client;
    my ($name, $send)    = split /:/, $cert;
    my $tls;
    for my $visit (@visits) {
        my ($i, $rule, $reason) = @$visit;
        my $text = join ' ', lines_of($rule);
        $text = substr($text, 0, 90) . '...' if length $text > 93;
        $tls //= $server->tls(
            cert    => $name eq 'none' ? undef : $name,
            send    => $send // 'chain',
            ciphers => 'ALL:@SECLEVEL=0',
            @options
        );
        my $response = $tls->request("/rule-$i");
        outcome_is($response, outcome_of($reason), "$cert: $text");
        undef $tls if $tls->error || ($response->header('Connection') // '') eq 'close';
    }
    return;
}

1;
