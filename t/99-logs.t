# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# After all the attacks: what the logs of every server must not hold (L1, L4), and that no child
# died.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my $key      = MTLSTest::Server::slurp(pki_dir() . '/server.key');
my ($secret) = $key =~ /\n([A-Za-z0-9+\/=]{40,})/;
my @files    = (
    run_dir() . '/logs/error_log',
    run_dir() . '/logs/access_log',
    glob run_dir() . '/logs/private/*/*_log'
);
cmp_ok(scalar @files, '>=', 2, 'there are logs to look at');

my %forbidden = (
    'bytes that are not printable ASCII' => qr/[^\x20-\x7e\t]/,
    'a private key'                      => qr/BEGIN [A-Z ]*PRIVATE KEY|\Q$secret\E/,
    'a certificate'                      => qr/-----BEGIN|MII[A-Za-z0-9+\/]{60}/,
    'a child that died'               => qr/exit signal (?!Killed)|AddressSanitizer|runtime error:|Assertion/,
    'an internal error of the module' => qr/reason="?internal_error/,
);
my $lines = 0;

for my $name (sort keys %forbidden) {
    my @found;
    for my $file (@files) {
        open my $fh, '<:raw', $file or next;
        while (<$fh>) {
            chomp;
            $lines++;
            push @found, "$file: " . substr($_, 0, 200) if /$forbidden{$name}/;
        }
    }
    is(scalar @found, 0, "no log holds $name")
        or diag(join "\n", @found[0 .. ($#found > 4 ? 4 : $#found)]);
}
cmp_ok($lines, '>', 100, 'and they were not empty');

done_testing;
