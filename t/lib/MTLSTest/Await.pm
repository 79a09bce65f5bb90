# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Await;

# Waiting for what a server does in its own time: for a condition, never for a while.

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(await await_outcome);

# Seconds; shorter is for looking into a failure.
use constant { PATIENCE => $ENV{MTLS_TEST_PATIENCE} || 90, PAUSE => 0.05 };

# Until the code returns something true, which is returned; false when patience runs out.
# seconds, pause: others than the usual
sub await {
    my ($code, %o) = @_;
    my $deadline = time + ($o{seconds} // PATIENCE);
    while (1) {
        my $last   = time > $deadline;
        my $result = $code->();
        return $result if $result || $last;
        sleep $o{pause} // PAUSE;
    }
}

# The response of the code once its outcome is the expected one, else the last.
sub await_outcome {
    my ($expected, $code) = @_;
    my $last;
    await(sub { $last = $code->(); return $last->outcome eq $expected });
    return $last;
}

1;
