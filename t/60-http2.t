# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# HTTP/2: streams of one connection run side by side in several threads, each judged by its own
# Location.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
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
my $entry = $s->get('/cgi-bin/env.cgi', method => 'POST', body => 'x' x 100_000, @h2)->entry;
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
        my $mark = "h2-$$-" . ($cert // 'none');
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
    make_pki('leaf', 'ends-soon-h2', '--seconds', 3, '--subject', 'O=Big Partner Foo SA',
        '--subject', 'CN=ends-soon-h2');
    my $port = $s->port('main');
    my $base = "https://gateway.test:$port/partner/index.html";

    # --rate spaces the requests of one curl over time, on one connection.
    my @urls = map {"$base?h2-end-$$-$_."} 1 .. 12;
    open my $pipe, '-|', 'curl', '-q', '-sS', '--http2', '--rate', '120/m', '--max-time', 20,
        '--cacert', pki_dir() . '/root.crt', '--connect-to', "gateway.test:$port:127.0.0.1:$port",
        '--cert',   pki_dir() . '/ends-soon-h2-chain.crt', '--key', pki_dir() . '/ends-soon-h2.key',
        '-w',       '%{num_connects} %{http_code}\n', map({ ('-o', '/dev/null', $_) } @urls)
        or die "cannot run curl: $!\n";
    my @lines = map { chomp; $_ } <$pipe>;
    close $pipe;
    is($lines[0], '1 200', 'HTTP/2, a certificate of 3 seconds: at first');
    like($lines[-1], qr/\A[01] (?:403|000)\z/, 'in the end refused');
    my $last = (grep { $_->{reason} ne '' && $_->{status} eq '403' }
            map { $s->log->find_request("h2-end-$$-$_.") } 8 .. 10)[0];
    is($last->{reason},                                  'expired', 'with its reason');
    is(scalar(grep {/\A\d 200\z/} @lines[8 .. $#lines]), 0,         'and never again let in');
}

done_testing;
