# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What once let a revoked certificate back in, or ended the server, while files changed: a load that
# is thrown away, a folder that is away, a pipe, a broken file at a restart, somebody else who writes
# where last good versions are kept, lists that pile up.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Path qw(make_path);
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Files qw(files_dir pki_text replace_file rewrite_file);
use POSIX           qw(mkfifo);

my $dir     = files_dir('attacks');
my %crl     = (none => pki_text('carc-i101l-none.crl'), revoked => pki_text('carc-i101l.crl'));
my $anchors = pki_text('root.crt', 'carc-i101l.crt');

# Each store has files of its own: NAME/anchor, NAME/crl/a.crl.
my @stores = qw(dropped away missing-ok pipe restart planted);
for my $store (@stores) {
    make_path("$dir/$store/crl");
    replace_file("$dir/$store/anchor",    $anchors);
    replace_file("$dir/$store/crl/a.crl", $crl{none});
}

my $config = "MTLSReloadInterval 1\nDefaultRuntimeDir \"\@Logs\@\"\n";
for my $store (@stores) {
    my $check = $store eq 'missing-ok' ? 'leaf missing-ok' : 'leaf';
    $config .= <<"CONF";
<MTLSTrustStore "$store">
    MTLSAnchor "$dir/$store/anchor"
    MTLSCRL "$dir/$store/crl"
    MTLSCRLCheck $check
</MTLSTrustStore>
CONF
}
$config .= <<'CONF';
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
SSLVerifyClient optional_no_ca
Protocols http/1.1
<Directory "@Htdocs@">
    Require all granted
</Directory>
AliasMatch "^/" "@Htdocs@/index.html"
CONF
$config .= "<Location \"/$_\">\nMTLSTrust $_\n</Location>\n" for @stores;
$config .= "</VirtualHost>\n";

my $server = private(name => 'reload-attacks', config => $config);

sub ask {
    my ($store, $cert) = @_;
    my $tls = $server->tls(cert => $cert);
    my $r   = $tls->request("/$store");
    $tls->close;
    return $r;
}

# Told more often than so many times.
sub told {
    my ($pattern, $before) = @_;
    return await(sub { $server->log->matching($pattern) > ($before // 0) });
}

sub becomes {
    my ($store, $cert, $expected, $what) = @_;
    outcome_is(await_outcome($expected, sub { ask($store, $cert) }), $expected, "$store: $what");
    return;
}

# Asked so often that every child has had its turn.
sub stays {
    my ($store, $cert, $expected, $what) = @_;
    my %seen;
    $seen{ ask($store, $cert)->outcome }++ for 1 .. 12;
    is_deeply([sort keys %seen], [$expected], "$store: $what");
    return;
}

my $good    = '200 allow ok';
my $revoked = '403 deny revoked_crl';
my $unknown = '503 deny crl_unavailable';

for my $store (@stores) {
    stays($store, 'revoked', $good, 'no list names it yet');
    stays($store, 'partner', $good, 'nor the other');
}

# --- a load that fails as a whole takes nothing with it -------------------------------------------
replace_file("$dir/dropped/crl/a.crl", $crl{revoked});
replace_file("$dir/dropped/anchor",    pki_text('carc-i101l.crt'));
ok(told(qr/"dropped".*no trust anchor/), 'dropped: the load failed');
becomes('dropped', 'revoked', $revoked, 'the list counts while the anchors are wrong');
stays('dropped', 'partner', $good, 'which stay as they were');
my $reloaded = qr{"dropped".*reloaded: .*/dropped/anchor};
my $reloads  = $server->log->matching($reloaded);
replace_file("$dir/dropped/anchor", $anchors);
ok(told($reloaded, $reloads), 'dropped: the anchors are back');
stays('dropped', 'revoked', $revoked, 'the list that came meanwhile counts');
stays('dropped', 'partner', $good, 'and the other is let in');

# --- a folder that is away ------------------------------------------------------------------------
for my $store ('away', 'missing-ok') {
    replace_file("$dir/$store/crl/a.crl", $crl{revoked});
    becomes($store, 'revoked', $revoked, 'listed');
    rename "$dir/$store/crl", "$dir/$store/crl.away" or die $!;
    ok(told(qr/"$store".*the last good version stays/),
        "$store: told that it is away");
    stays($store, 'revoked', $revoked, 'still refused');
    stays($store, 'partner', $good,    'and the other is let in');
    rename "$dir/$store/crl.away", "$dir/$store/crl" or die $!;
}

# --- a pipe among the lists hangs nobody ----------------------------------------------------------
mkfifo("$dir/pipe/crl/pipe", oct 644) or die $!;
ok(told(qr{crl/pipe is not a regular file}), 'pipe: refused');
replace_file("$dir/pipe/crl/a.crl", $crl{revoked});
becomes('pipe', 'revoked', $revoked, 'the other lists change');

# --- a restart finds a file broken that changed since the start -----------------------------------
replace_file("$dir/restart/crl/a.crl", $crl{revoked});
becomes('restart', 'revoked', $revoked, 'listed since the start');
replace_file("$dir/restart/crl/README", "not a list\n");
rewrite_file("$dir/restart/crl/a.crl", substr $crl{revoked}, 0, length($crl{revoked}) / 2);
ok(told(qr{restart/crl/a\.crl.*the last good version stays}),
    'restart: told that it is broken');
stays('restart', 'revoked', $revoked, 'the running server keeps the list');

# --- what somebody else writes where last good versions are kept counts for nothing ---------------
replace_file("$dir/planted/crl/a.crl", $crl{revoked});
becomes('planted', 'revoked', $revoked, 'listed since the start');
my ($before, $after) = ($crl{revoked}, $crl{none});
$after .= ' ' x (length($before) - length $after);

# Written after the list has come into force, and renamed into its place as a whole.
sub plant {
    for my $file (grep {m{/\d+\z}} glob $server->dir . '/mtls_policy.*/newer/*') {
        my $kept = MTLSTest::Server::slurp($file);
        next if $kept !~ m{/planted/} || $kept !~ s/\Q$before\E/$after/;
        return rewrite_file($file, $kept);
    }
    return;
}
ok(await(\&plant), 'planted: a list without the revoked one lies among what is kept');
rewrite_file("$dir/planted/crl/a.crl", substr $crl{revoked}, 0, 100);

$server->graceful($config);
stays('restart', 'revoked', $revoked, 'after a restart');
stays('restart', 'partner', $good,    'after a restart the other is let in');
for (1 .. 12) { isnt(ask('planted', 'revoked')->status, 200, 'planted: not let in after a restart') }

# --- of lists that pile up the latest counts ------------------------------------------------------
replace_file("$dir/away/crl/a.crl", $crl{none});
becomes('away', 'revoked', $good, 'the list is empty again');

done_testing;
