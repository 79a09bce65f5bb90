# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# The five modes, policies by name, MTLSInherit, Require, MTLSUser and Satisfy.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my $s     = shared();
my @alice = (curl => ['-u', 'alice:secret']);
my @wrong = (curl => ['-u', 'alice:wrong']);

sub ask { my ($path, $cert, @o) = @_; return $s->get($path, vhost => 'modes', cert => $cert, @o) }

sub identity_in {
    my ($r) = @_;
    return $r->body =~ /^MTLS_(?:SUBJECT|SHA256|CERT|SERIAL)/m ? 'identity' : 'none';
}

sub remote_user { my ($r) = @_; return $r->body =~ /^REMOTE_USER=(.*)$/m ? $1 : undef }

# path => { certificate => [outcome, identity at the backend] }
my $no    = 'none';
my @modes = (
    '/mode/enforce' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch'],
        'self-signed'   => ['403 deny chain_untrusted'],
        expired         => ['403 deny expired']
    },
    '/mode/optional' => {
        none            => ['200 allow no_certificate', $no],
        partner         => ['200 allow ok',             'identity'],
        'other-partner' => ['403 deny subject_mismatch'],
        'self-signed'   => ['403 deny chain_untrusted'],
        expired         => ['403 deny expired'],
        'nul-in-cn'     => ['403 deny certificate_malformed']
    },
    '/mode/report' => {
        none            => ['200 report no_certificate',        $no],
        partner         => ['200 allow ok',                     'identity'],
        'other-partner' => ['200 report subject_mismatch',      $no],
        'self-signed'   => ['200 report chain_untrusted',       $no],
        expired         => ['200 report expired',               $no],
        'nul-in-cn'     => ['200 report certificate_malformed', $no]
    },
    '/mode/off' => {
        none          => ['200 - -', $no],
        partner       => ['200 - -', $no],
        'self-signed' => ['200 - -', $no],
        expired       => ['200 - -', $no]
    },
    '/mode/off/enforce' =>
        { none => ['403 deny no_certificate'], partner => ['200 allow ok', 'identity'] },
    '/mode/authz-unasked' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch']
    },
    '/mode/authz-granted' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch']
    },
    '/mode/authz-mtls' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch']
    },
    '/mode/authz-satisfy' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch']
    },
    '/mode/report-require' => {
        none            => ['403 report no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 report subject_mismatch']
    },

    '/policies/one' => {
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch'],
        none            => ['403 deny no_certificate']
    },
    '/policies/both' => {
        partner         => ['403 deny subject_mismatch'],
        'other-partner' => ['403 deny subject_mismatch']
    },
    '/policies/any' => {
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['200 allow ok', 'identity'],
        none            => ['403 deny no_certificate'],
        spiffe          => ['403 deny subject_mismatch'],
        'self-signed'   => ['403 deny chain_untrusted']
    },
    '/policies/any-and-rule' =>
        { partner => ['200 allow ok', 'identity'], 'no-ou' => ['403 deny subject_mismatch'] },

    '/inherit/here' => {
        none            => ['404 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['404 deny subject_mismatch']
    },
    '/inherit/on' => {
        partner            => ['200 allow ok', 'identity'],
        'partner-by-i102l' => ['404 deny issuer_mismatch'],
        'other-partner'    => ['404 deny subject_mismatch']
    },
    '/inherit/off' => {
        'other-partner' => ['200 allow ok', $no],
        partner         => ['403 deny subject_mismatch'],
        none            => ['403 deny no_certificate']
    },
    '/inherit/nothing' => { none => ['200 - -', $no], partner => ['200 - -', $no] },

    '/satisfy/any' => {
        none            => ['403 deny no_certificate'],
        partner         => ['200 allow ok', 'identity'],
        'other-partner' => ['403 deny subject_mismatch']
    },
);

while (my ($path, $expected) = splice @modes, 0, 2) {
    for my $cert (sort keys %$expected) {
        my ($outcome, $identity) = @{ $expected->{$cert} };
        my $r = ask($path, $cert eq 'none' ? undef : $cert);
        outcome_is($r, $outcome, "$path: $cert");
        is(identity_in($r), $identity // $no, "$path: $cert: identity");
    }
}

# --- what report mode leaves in the logs ----------------------------------------------------------
{
    my $r = ask('/mode/report', 'other-partner');
    outcome_is($r, '200 report subject_mismatch', 'report mode');
    my @lines = $r->denials;
    is(scalar @lines, 1, 'report mode: one line');
    like($lines[0], qr/verdict="?report\b.*reason="?subject_mismatch\b/, 'that says so');
    is(scalar ask('/mode/report', 'partner')->denials,
        0, 'report mode: nothing for what would be allowed');
    my @warnings = $s->log->matching(qr/\[mtls_policy:warn\].*report/i);
    cmp_ok(scalar @warnings, '>=', 1, 'a warning at start about report mode');
    ok(scalar(grep { m{/mode/report} || /modes\.inc:\d+/ } @warnings), 'names the section');
}

# --- authz and other logins -----------------------------------------------------------------------
{
    outcome_is(
        ask('/mode/authz-any', undef),
        '401 deny no_certificate',
        'certificate or login: neither'
    );
    outcome_is(
        ask('/mode/authz-any', 'other-partner'),
        '401 deny subject_mismatch',
        'certificate or login: the wrong certificate'
    );
    outcome_is(
        ask('/mode/authz-any', undef, @wrong),
        '401 deny no_certificate',
        'certificate or login: the wrong password'
    );
    my $login = ask('/mode/authz-any', undef, @alice);
    is($login->status, 200,              'certificate or login: login');
    is($login->reason, 'no_certificate', 'certificate or login: login, the reason is still told');
    is(remote_user($login), 'alice',     'certificate or login: the user is who logged in');
    is(identity_in($login), 'none',      'certificate or login: and no identity of a certificate');
    my $both = ask('/mode/authz-any', 'other-partner', @alice);
    is($both->status,      200,    'certificate or login: login beside a wrong certificate');
    is(identity_in($both), 'none', 'certificate or login: whose identity is not exported');
    my $partner = ask('/mode/authz-any', 'partner');
    allowed($partner, 'certificate or login: certificate');
    is(identity_in($partner), 'identity', 'certificate or login: its identity');
}

# --- Require mtls-policy --------------------------------------------------------------------------
for my $row (
    ['/require/one',      'partner',       200, 'identity'],
    ['/require/one',      'other-partner', 403, 'none'],
    ['/require/one',      undef,           403, 'none'],
    ['/require/one',      'self-signed',   403, 'none'],
    ['/require/one',      'expired',       403, 'none'],
    ['/require/either',   'partner',       200, 'identity'],
    ['/require/either',   'other-partner', 200, 'identity'],
    ['/require/either',   'spiffe',        403, 'none'],
    ['/require/either',   undef,           403, 'none'],
    ['/require/or-login', 'partner',       200, 'identity'],
    ['/require/or-login', 'other-partner', 401, 'none'],
    ['/require/or-login', undef,           401, 'none']
    )
{
    my ($path, $cert, $status, $identity) = @$row;
    my $r = ask($path, $cert);
    is($r->status,      $status,   "$path: " . ($cert // 'no certificate'));
    is(identity_in($r), $identity, "$path: " . ($cert // 'no certificate') . ': identity');
}
{
    my $login = ask('/require/or-login', undef, @alice);
    is($login->status,      200,     '/require/or-login: login');
    is(remote_user($login), 'alice', '/require/or-login: user');
    like(
        ask('/require/either', 'other-partner')->body,
        qr/^MTLS_SUBJECT_O=Other Partner SA$/m,
        'the policy that granted is the one exported'
    );
    outcome_is(
        ask('/require/enforced', 'other-partner'),
        '403 deny subject_mismatch',
        'Require mtls under enforce'
    );
    allowed(ask('/require/enforced', 'partner'), 'Require mtls under enforce, allowed');
    outcome_is(
        ask('/require/or-address', undef),
        '403 deny no_certificate',
        'an address that RequireAny lets in does not replace the certificate'
    );
    outcome_is(
        ask('/require/or-address', 'other-partner'),
        '403 deny subject_mismatch',
        'nor a right one'
    );
    allowed(ask('/require/or-address', 'partner'), 'RequireAny with an address, allowed');
}

# --- policies -------------------------------------------------------------------------------------
{
    is(ask('/policies/one', 'partner')->policy, 'partner-api', 'MTLS_POLICY: one');
    like(ask('/policies/any', 'other-partner')->policy,
        qr/other-api/, 'MTLS_POLICY: of several the one that allowed');
    my $staged = ask('/policies/staged', 'partner');
    allowed($staged, 'MTLSReportPolicy never decides');
    is($staged->report, 'other-api:subject_mismatch', 'but tells what it would have said');
    like(
        join("\n", $staged->errors),
        qr/other-api.*subject_mismatch|subject_mismatch.*other-api/,
        'and logs it'
    );
    my $refused = ask('/policies/staged', 'other-partner');
    denied($refused, 'subject_mismatch', 'nor does it allow');
    like($refused->report, qr/\A(?:other-api:ok|-)\z/, 'what it would have allowed');
    my $only = ask('/policies/only-reported', undef);
    is($only->status, 200, 'a location with nothing but MTLSReportPolicy is open');
    is($only->report, 'other-api:no_certificate', 'and reported');
}

# --- MTLSUser -------------------------------------------------------------------------------------
my $cn = 'client.bigpartner.example';
for my $row (
    ['/user/plain',  'partner', $cn],
    ['/user/prefix', 'partner', "mtls:$cn"],
    ['/user/ou',     'partner', 'API'],
    ['/user/dns',    'partner', $cn],
    ['/user/valid',  'partner', $cn],
    ['/user/named',  'partner', $cn]
    )
{
    my ($path, $cert, $user) = @$row;
    my $r = ask($path, $cert);
    allowed($r, "$path: $cert");
    is(remote_user($r), $user, "$path: REMOTE_USER");
    is($r->user,        $user, "$path: %u in the log");
}
for my $row (
    ['/user/plain',       undef,             '403 deny no_certificate'],
    ['/user/valid',       undef,             '403 deny no_certificate'],
    ['/user/valid',       'self-signed',     '403 deny chain_untrusted'],
    ['/user/ou',          'two-ou',          '403 deny user_ambiguous'],
    ['/user/ou',          'no-ou',           '403 deny user_ambiguous'],
    ['/user/dns',         'many-attributes', '403 deny user_ambiguous'],
    ['/user/plain',       'no-cn',           '403 deny user_ambiguous'],
    ['/user/plain',       'two-cn',          '403 deny user_ambiguous'],
    ['/user/valid',       'no-cn',           '403 deny user_ambiguous'],
    ['/mode/report-user', 'partner',         '200 allow ok']
    )
{
    my ($path, $cert, $outcome) = @$row;
    outcome_is(ask($path, $cert), $outcome, "$path: " . ($cert // 'no certificate'));
}
{
    my $named = ask('/user/named', 'user-1');
    like($named->status, qr/\A40[13]\z/, 'Require user: another certificate is refused by httpd');
    is($named->verdict, 'allow', 'though the policy allowed it');
    for my $cert (undef, 'other-partner') {
        my $r = ask('/mode/report-user', $cert);
        like($r->status, qr/\A40[13]\z/,
            'AuthType MTLS stays strict in report mode: ' . ($cert // 'no certificate'));
        is($r->reason, $cert ? 'subject_mismatch' : 'no_certificate', 'with the reason');
    }
    is(ask('/user/basic', 'partner')->status,
        401, 'MTLSUser does not satisfy the valid-user of Basic');
    my $r = ask('/user/basic', 'partner', @alice);
    is($r->status,      200,     'with a login beside the certificate');
    is(remote_user($r), 'alice', 'the login is the user');
    is(
        ask('/user/basic', undef, @alice)->outcome,
        '403 deny no_certificate',
        'a login without certificate does not satisfy the policy'
    );
    my $fake = ask('/user/valid', undef, @alice);
    denied($fake, 'no_certificate', 'credentials for Basic do not satisfy AuthType MTLS');
    my $both = ask('/user/valid', 'partner', @alice);
    is(remote_user($both), $cn, 'and do not replace its user');
}

# --- Satisfy Any with a login ---------------------------------------------------------------------
{
    outcome_is(
        ask('/satisfy/any-login', undef, @alice),
        '403 deny no_certificate',
        'Satisfy Any: a login does not replace the certificate'
    );
    outcome_is(
        ask('/satisfy/any-login', 'other-partner', @alice),
        '403 deny subject_mismatch',
        'Satisfy Any: nor does it beside a wrong one'
    );
    allowed(ask('/satisfy/any-login', 'partner', @alice), 'Satisfy Any: certificate and login');
}

# --- over HTTP/2 the modes are the same -----------------------------------------------------------
SKIP: {
    skip 'prefork has no HTTP/2', 4 if mpm() eq 'prefork';
    outcome_is(
        ask('/mode/enforce', undef, http => '2'),
        '403 deny no_certificate',
        'HTTP/2: enforce'
    );
    outcome_is(
        ask('/mode/report', 'other-partner', http => '2'),
        '200 report subject_mismatch',
        'HTTP/2: report'
    );
    outcome_is(
        ask('/mode/authz-any', undef, http => '2'),
        '401 deny no_certificate',
        'HTTP/2: authz'
    );
    is(remote_user(ask('/user/valid', 'partner', http => '2')), $cn, 'HTTP/2: MTLSUser');
}

done_testing;
