# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::BackendChecks;

# What the suites about certificates of backends have in common: a gateway that tells the reason of
# each answer in a header, and what is true whenever a backend is refused.

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT_OK = qw(gateway_directives verdict_of passes refuses unjudged verdict_lines);

# mod_ssl judges nothing by itself here: neither chain nor name nor dates.
sub gateway_directives {
    return <<'CONF';
SSLProxyEngine on
SSLProxyVerify none
SSLProxyCheckPeerName off
SSLProxyCheckPeerExpire off
ProxyTimeout 60
Header always set X-Backend-Reason "%{MTLS_BACKEND_REASON}e"
Header always set X-Backend-Rule "%{MTLS_BACKEND_RULE}e"
CONF
}

# "502 san_mismatch"; without a policy "200 -"
sub verdict_of {
    my ($r) = @_;
    my $reason = $r->header('X-Backend-Reason') // '(null)';
    return $r->status . ' ' . ($reason eq '(null)' ? '-' : $reason);
}

# What the error log says of the backend of this request.
sub verdict_lines {
    my ($r) = @_;
    return grep { /mtls_policy: backend verdict=/ } $r->errors;
}

sub says {
    my ($r, $expected, $title) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = is(verdict_of($r), $expected, $title);
    diag(join "\n", 'the error log says:', $r->errors) if !$ok;
    return $ok;
}

# reason (of report mode), face: the connections of it are no news any more
sub passes {
    my ($r, $title, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reason = $o{reason} // 'ok';
    my $ok     = says($r, "200 $reason", $title);
    my @lines  = verdict_lines($r);
    if ($reason eq 'ok') { is(scalar @lines, 0, "$title: nothing in the log") or diag(@lines) }
    else { like(join('', @lines), qr/verdict=report reason=$reason /, "$title: reported") }
    $o{backend}->fresh($o{face}) if $o{backend};
    return $ok;
}

# No policy for the backend applies.
sub unjudged { my ($r, $title) = @_; return says($r, '200 -', $title) }

# backend, face: what must have seen a connection without a byte, and its end; connections: how many
# of them (1)
sub refuses {
    my ($r, $reason, $title, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok    = says($r, "502 $reason", $title);
    my @lines = verdict_lines($r);
    is(scalar @lines, 1, "$title: one line in the log") or diag(@lines);
    like($lines[0] // '', qr/:warn\].* verdict=deny reason=$reason /, "$title: with the reason");
    if (my $backend = $o{backend}) {
        my $n = $o{connections} // 1;
        is(
            $backend->since($o{face}),
            "$n of $n closed, 0 bytes of HTTP",
            "$title: the backend got no byte"
        );
    }
    return $ok;
}

1;
