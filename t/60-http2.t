# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# HTTP/2: streams of one connection run side by side in several threads, each judged by its own
# Location.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::H2;
use MTLSTest::Mortal  qw(make_mortal until_refused);
use MTLSTest::Streams qw(many);

plan skip_all => 'mod_http2 does not run under prefork' if mpm() eq 'prefork';

my $s  = shared();
my @h2 = (http => '2');

# --- the same verdicts ----------------------------------------------------------------------------
denied($s->get('/partner/index.html', @h2), 'no_certificate', 'no certificate');
my $in = $s->get('/partner/index.html', cert => 'partner', @h2);
allowed($in, 'allowed');
like($in->head, qr{\AHTTP/2 200}, 'it really was HTTP/2');
denied($s->get('/partner/index.html', cert => 'other-partner', @h2),
    'subject_mismatch', 'another subject');
denied($s->get('/partner/index.html', cert => 'self-signed', @h2), 'chain_untrusted',
    'self-signed');
denied($s->get('/partner/index.html', vhost => 'defer', cert => 'expired', @h2),
    'expired', 'expired, deferred');

for my $method (qw(HEAD POST OPTIONS PROPFIND TRACE BREW)) {
    denied($s->get('/partner/index.html', cert => 'other-partner', method => $method, @h2),
        'subject_mismatch', "$method");
}
for my $page (
    ['ssi', 'reason=subject_mismatch verdict=deny'],
    ['cgi', 'reason=subject_mismatch verdict=deny']
    )
{
    my $r = $s->get("/error-$page->[0]/", cert => 'other-partner', @h2);
    denied($r, 'subject_mismatch', "ErrorDocument $page->[0]");
    like($r->body, qr/\A\Q$page->[1]\E/, "ErrorDocument $page->[0]: knows the reason");
}

# curl sees the reset that follows a refusal before the body was read, or the answer, whichever is
# first.
my $refused = $s->get('/cgi-bin/env.cgi', method => 'POST', body => 'x' x 100_000, @h2);
my $entry   = $s->log->entry($refused->id);
is("@$entry{qw(status verdict reason)}", '403 deny no_certificate', 'a POST with a body');
my $post =
    $s->get('/cgi-bin/env.cgi', cert => 'partner', method => 'POST', body => 'x' x 100_000, @h2);
allowed($post, 'a POST with a body, allowed');
like($post->body, qr/^body=100000$/m, 'whose body arrived');

# --- many streams (S12) ---------------------------------------------------------------------------
{
    my @paths =
        map { $_ % 2 ? '/partner/index.html' : $_ % 4 ? '/other/index.html' : '/index.html' }
        0 .. 199;
    for my $case (
        ['partner',       '2 200', '2 403', 'subject_mismatch', 'ok'],
        ['other-partner', '2 403', '2 200', 'ok',               'subject_mismatch'],
        [undef,           '2 403', '2 403', 'no_certificate',   'no_certificate']
        )
    {
        my ($cert, $at_partner, $at_other, $reason_other, $reason_partner) = @$case;
        my $name = $cert // 'no certificate';
        my $mark = "h2-$^T-$$-" . ($cert // 'none');
        my ($status, $connections) = many($s, $cert, $mark, @paths);
        is(scalar keys %$status, scalar @paths, "$name: 200 streams answered");
        is($connections,         1,             "$name: over one connection");
        my @wrong = grep {
            my $want =
                $paths[$_] =~ /partner/ ? $at_partner : $paths[$_] =~ /other/ ? $at_other : '2 200';
            ($status->{$_} // 'none') ne $want
        } 0 .. $#paths;
        is("@wrong", '', "$name: each by its own location");
        my ($logged_partner, $logged_other) =
            map { my $n = $_; $s->log->find_request("$mark-$n.")->{reason} } 101, 102;
        is($logged_partner, $reason_partner, "$name: reason at /partner");
        is($logged_other,   $reason_other,   "$name: reason at /other");
    }
}

# --- another authority on the same connection (S13) -----------------------------------------------
{
    my @named = (vhost => 'named', host => 'a.test', cert => 'partner', @h2);
    allowed($s->get('/partner/index.html', @named), 'a.test');
    my $r = $s->get('/partner/index.html', @named, headers => ['Host: b.test']);
    like(
        $r->outcome,
        qr/\A(?:421 - -|403 deny chain_(?:untrusted|incomplete))\z/,
        ':authority b.test on the connection of a.test'
    );
    unlike($r->body, qr/content of partner/, 'gets nothing of b.test');
}

# --- a certificate that ends while the connection is open -----------------------------------------
{
    my ($h2, $first);
    my $end = make_mortal(
        'ends-soon-h2',
        sub {
            my $tls = $s->tls(cert => 'ends-soon-h2', alpn => ['h2']);
            $h2    = MTLSTest::H2->new($tls, $s->log);
            $first = $h2->request('/partner/index.html');
        }
    );
    allowed($first, 'HTTP/2, a certificate that ends soon: at first');
    my ($last, $refused, $asked_allowed) =
        until_refused($end, sub { $h2->request('/partner/index.html') });
    denied($last, 'expired', 'in the end refused on the same connection');
    cmp_ok($refused,       '>=', $end,     'not before its end');
    cmp_ok($asked_allowed, '<',  $end + 1, 'and whatever is asked for afterwards');
    my $r = $s->get('/partner/index.html', cert => 'ends-soon-h2', @h2);
    is($r->status, 0, 'and never again let in');
}

done_testing;
