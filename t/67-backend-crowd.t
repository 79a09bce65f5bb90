# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Many clients at a time, over connections to backends that are given from one request to the next:
# each request is judged by its own section's policy, whatever happens beside it, also while what
# policies are made of changes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await         qw(await);
use MTLSTest::BackendChecks qw(gateway_directives verdict_of);
use MTLSTest::Crowd         qw(in_parallel);
use MTLSTest::Files         qw(files_dir replace_file);
use MTLSTest::Layout        qw(several_children);
use MTLSTest::Streams       qw(many);
use MTLSTest::TLSBackend;

use constant { CLIENTS => 8, ROUNDS => 10 };

my $dir     = files_dir('crowd');
my $backend = MTLSTest::TLSBackend->start(
    'crowd',
    right    => { cert => 'backend-orders' },
    wrong    => { cert => 'backend-other' },
    changing => { cert => 'backend-orders' }
);
my $right = $backend->url('right');
my $names = 'MTLSBackendRequire san.dns orders.internal';
replace_file("$dir/names", "orders.internal\n");

# One worker for all that leads to "right".
my $server = private(
    name      => 'crowd',
    processes => several_children(),
    config    => <<"CONF");
MTLSReloadInterval 1
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
@{[ gateway_directives() ]}
<Proxy "$right">
    ProxySet keepalive=on
</Proxy>
RewriteEngine On
RewriteRule "^/right/(.*)" "$right/\$1" [P]
<Proxy "$right/good">
    MTLSBackendTrust backends
    $names
</Proxy>
<Proxy "$right/bad">
    MTLSBackendTrust backends
    MTLSBackendRequire san.dns billing.internal
</Proxy>
<Proxy "$right/named">
    MTLSBackendTrust backends
    MTLSBackendSNI api.orders.internal
</Proxy>
<Proxy "$right/misnamed">
    MTLSBackendTrust backends
    MTLSBackendSNI billing.internal
</Proxy>
ProxyPass "/wrong/" "@{[ $backend->url('wrong') ]}/"
<Location "/wrong/good">
    MTLSBackendTrust backends
    $names
</Location>
ProxyPass "/changing/" "@{[ $backend->url('changing') ]}/"
<Location "/changing/">
    MTLSBackendTrust backends
    MTLSBackendRequire san.dns "file:$dir/names"
</Location>
</VirtualHost>
CONF

my %expected = (
    '/right/good'     => '200 ok',
    '/right/bad'      => '502 san_mismatch',
    '/right/named'    => '200 ok',
    '/right/misnamed' => '502 san_mismatch',
    '/right/free'     => '200 -',
    '/wrong/good'     => '502 san_mismatch',
    '/wrong/free'     => '200 -',
);
my @paths   = sort keys %expected;
my %sni     = ('/right/named' => 'api.orders.internal');
my $allowed = grep { /\A200/ } values %expected;

# Each client in an order of its own; returns what was not as it should be.
sub client {
    my ($number) = @_;
    srand $number;
    my ($tls, %odd);
    for my $round (1 .. ROUNDS) {
        for my $path (sort { $a->[1] <=> $b->[1] } map { [$_, rand] } @paths) {
            $tls = $server->tls if !$tls || $tls->error;
            my $body = "body $number.$round of $path->[0]";
            my $r    = $tls->request($path->[0], method => 'POST', body => $body);
            my $seen = verdict_of($r);
            my $sni  = $sni{ $path->[0] } // '';
            $seen .= ' of another request' if $r->status == 200 && $r->body !~ /\Q$body\E\z/;
            $seen .= ' by another name'    if $r->status == 200 && $r->header('X-SNI') ne $sni;
            $odd{"$path->[0] $seen"}++ if $seen ne $expected{ $path->[0] };
            $tls = undef if !$r->status || lc($r->header('Connection') // '') eq 'close';
        }
    }
    return \%odd;
}

sub odd_ones {
    my (@results) = @_;
    my %all;
    for my $result (@results) {
        $all{$_} += $result->{$_} =~ /\A\d+\z/ ? $result->{$_} : 1 for keys %$result;
    }
    return \%all;
}

sub all_requests { return $backend->requests('right') + $backend->requests('wrong') }

# --- HTTP/1.1 -------------------------------------------------------------------------------------
is_deeply(odd_ones(in_parallel(CLIENTS, \&client, 1 .. CLIENTS)),
    {}, CLIENTS . ' clients: every verdict, body and name is that of its request');
is(all_requests(), CLIENTS * ROUNDS * $allowed, 'the backends have seen what was allowed, no more');
my @connections = map { $backend->connections($_) } qw(right wrong);
cmp_ok(scalar(grep { $_->{requests} > 1 } @connections), '>', 0, 'over connections used again');

# --- HTTP/2 in front: streams side by side --------------------------------------------------------
SKIP: {
    skip 'prefork has no HTTP/2', 2 if mpm() eq 'prefork';
    my $before   = all_requests();
    my @asked    = map { $paths[$_ % @paths] } 0 .. 279;
    my ($status) = many($server, undef, 'crowd', @asked);
    my %wrong;
    for my $n (0 .. $#asked) {
        my ($expected) = $expected{ $asked[$n] } =~ /\A(\d+)/;
        my $got = $status->{$n} // 'nothing';
        $wrong{"$asked[$n] $got"}++ if $got ne "2 $expected";
    }
    is_deeply(\%wrong, {}, 'streams of one connection: every status is that of its request');
    my $good = grep { $expected{$_} =~ /\A200/ } @asked;
    is(all_requests() - $before, $good, '... and no more has arrived');
}

# --- while a list changes -------------------------------------------------------------------------
# Either verdict may be right meanwhile; in the end the last one is, everywhere.
sub changing {
    my ($number) = @_;
    my %seen = map { $_ => 0 } qw(good bad odd);
    for my $n (1 .. 80) {
        my $v = verdict_of($server->tls->request("/changing/$number/$n"));
        $seen{ $v eq '200 ok' ? 'good' : $v eq '502 san_mismatch' ? 'bad' : "odd: $v" }++;
        replace_file("$dir/names", $n % 40 < 20 ? "billing.internal\n" : "orders.internal\n")
            if $number == 1 && $n % 20 == 0;
    }
    return \%seen;
}
my %sum;
for my $seen (in_parallel(4, \&changing, 1 .. 4)) { $sum{$_} += $seen->{$_} for keys %$seen }
is(join(' ', grep { /odd/ && $sum{$_} } sort keys %sum),
    '', 'while a list changes: no other verdict');
is($backend->requests('changing'), $sum{good}, '... and what has arrived was allowed');

for my $case (['billing.internal', '502 san_mismatch'], ['orders.internal', '200 ok']) {
    my ($name, $expected) = @$case;
    replace_file("$dir/names", "$name\n");
    my $in_a_row = 0;
    my $is_so    = sub { return verdict_of($server->tls->request('/changing/x')) eq $expected };
    await(
        sub {
            $in_a_row = 0;
            $in_a_row++ while $in_a_row < 20 && $is_so->();
            return $in_a_row >= 20;
        }
    );
    cmp_ok($in_a_row, '>=', 20, "in the end: $expected, by every child");
}

done_testing;
