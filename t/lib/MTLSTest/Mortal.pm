# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Mortal;

# A certificate that ends while a test looks.

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(time sleep);
use Time::Piece ();
use MTLSTest;

our @EXPORT_OK = qw(make_mortal until_refused);

use constant { SHORT => 6, LONG => 200, TO_SPARE => 2 };

sub end_of {
    my ($name) = @_;
    my ($date) = openssl('x509', '-in', pki_dir() . "/$name.crt", '-noout', '-enddate') =~
        /=(.*\S)\s+GMT/;
    return Time::Piece->strptime($date, '%b %d %H:%M:%S %Y')->epoch;
}

# Makes the certificate and calls the code that does with it what has to be done while it lives.
# Where that took too long, both are done again with a longer life. Returns when it ends.
sub make_mortal {
    my ($name, $code) = @_;
    for (my $life = SHORT;; $life *= 2) {
        make_pki('leaf', $name, '--seconds', $life, '--subject', 'O=Big Partner Foo SA',
            '--subject', "CN=$name");
        my $end = end_of($name);
        $code->();
        return $end if time < $end - TO_SPARE || $life > LONG;
    }
}

# Asks until the answer is not 200. Returns that answer, when it had come, and when what was still
# answered with 200 was asked for.
sub until_refused {
    my ($end, $ask) = @_;
    my $asked_allowed = 0;
    while (1) {
        my $asked = time;
        my $r     = $ask->();
        return ($r, time, $asked_allowed) if $r->status != 200 || $asked > $end + 10;
        $asked_allowed = $asked;
        sleep 0.05;
    }
}

1;
