# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Thousands of requests while stores and lists flip between two versions: no request fails, every
# verdict is that of one of the two, and in the end only that of the last. MTLS_FLIP_SECONDS sets
# how long the files flip.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Files qw(files_dir pki_text append_file replace_file rewrite_file mount_version);
use POSIX           ();
use Time::HiRes     qw(time sleep);

my $seconds = $ENV{MTLS_FLIP_SECONDS} || 8;
my $dir     = files_dir('flip');
my @cas     = (pki_text(qw(root.crt carc-i101l.crt)), pki_text('stranger-root.crt'));

# Long enough that writing one in place takes several writes; what matters stands at the end.
my $others  = join '', map {"somebody-$_\n"} 1 .. 4000;
my @members = ($others . "user-1\nuser-2\n", $others . "user-2\nuser-3\n");
my @revoked = (pki_text('carc-i101l-none.crl'), pki_text('carc-i101l-users.crl'));

# What each way of flipping does with its file. A list is rewritten in pieces, by a slow writer:
# half of one is a list, too, if nobody looks whether the writer is done.
my %flip = (
    'cas-rename'   => sub { replace_file("$dir/cas-rename", $cas[$_[0]]) },
    'cas-rewrite'  => sub { rewrite_file("$dir/cas-rewrite", pieces($cas[$_[0]], 700)) },
    'cas-mount'    => sub { mount_version("$dir/cas-mount.d", $_[1], file => $cas[$_[0]]) },
    'list-rename'  => sub { replace_file("$dir/list-rename", $members[$_[0]]) },
    'list-rewrite' => sub { rewrite_file("$dir/list-rewrite", pieces($members[$_[0]], 8000)) },
    'list-mount'   => sub { mount_version("$dir/list-mount.d", $_[1], file => $members[$_[0]]) },
    'crl-rename'   => sub { replace_file("$dir/crl-rename", $revoked[$_[0]]) },
);

# A writer that pauses for as long as the server waits is done as far as anybody can tell: twice
# 0.1 s is less than that.
my $slow_since;

sub pieces {
    my ($text, $size) = @_;
    my $last  = time;
    my $pause = sub {
        sleep 0.03;
        $slow_since //= $last if time - $last > 0.1;
        $last = time;
    };
    return map { ($_, $pause) } $text =~ /.{1,$size}/sg;
}

# In both versions: status and reason.
my %outcomes = (
    cas => {
        partner  => ['200 ok',               '403 chain_incomplete'],
        stranger => ['403 chain_incomplete', '200 ok']
    },
    list => {
        'user-1' => ['200 ok',               '403 subject_mismatch'],
        'user-2' => ['200 ok',               '200 ok'],
        'user-3' => ['403 subject_mismatch', '200 ok']
    },
    crl => { 'user-1' => ['200 ok', '403 revoked_crl'], 'user-3' => ['200 ok', '200 ok'] },
);

sub expected {
    my ($path, $cert) = @_;
    my ($kind) = $path =~ /\A(\w+)-/;
    return $outcomes{$kind}{$cert};
}

$flip{$_}->(0, 'v0') for sort keys %flip;

sub file_of { my ($name) = @_; return $name =~ /mount/ ? "$dir/$name.d/file" : "$dir/$name" }
my ($stores, $sections) = ('', '');
for my $name (sort keys %flip) {
    my $file = file_of($name);
    my $lines =
        $name =~ /\Acas/
        ? "MTLSAnchor \"$file\""
        : "MTLSAnchor \"\@PKI\@/ca-bundle.crt\"\nMTLSCRL \"$file\"\nMTLSCRLCheck leaf";
    if ($name =~ /\Alist/) {
        $sections .= "<Location \"/$name\">\nMTLSRequire subject.CN \"file:$file\"\n</Location>\n";
        next;
    }
    $stores   .= "<MTLSTrustStore \"$name\">\n$lines\n</MTLSTrustStore>\n";
    $sections .= "<Location \"/$name\">\nMTLSTrust $name\n</Location>\n";
}

my $children =
    join "\n",
    mpm() eq 'prefork'
    ? ('StartServers 8', 'MinSpareServers 4', 'MaxSpareServers 16', 'MaxRequestWorkers 24')
    : (
    'StartServers 3',
    'ServerLimit 3',
    'ThreadsPerChild 12',
    'ThreadLimit 12',
    'MinSpareThreads 36',
    'MaxSpareThreads 36',
    'MaxRequestWorkers 36'
    );
my $server = private(name => 'flip', processes => $children, config => <<"CONF");
MTLSReloadInterval 1
$stores
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
LogLevel mtls_policy:error
Header always set X-Reason "expr=%{reqenv:MTLS_REASON}"
$sections
</VirtualHost>
CONF

my $half_answer = 'list-rewrite 403 subject_mismatch';

# --- one client -----------------------------------------------------------------------------------
# Its own connections, kept, closed and resumed; it stops when the file appears, or after so many
# requests. Prints how often it saw what, when it first met half of a list, and every other answer
# that is neither version's.
sub client {
    my ($cert, $version, %o) = @_;
    my @paths = grep { expected($_, $cert) } sort keys %flip;
    my (%seen, @wrong, $session, $half);
    my $asked = 0;
    while (!@wrong && ($o{requests} ? $asked < $o{requests} : !-e $o{until})) {
        my $tls = $server->tls(cert => $cert, version => $version, session => $session);
        push @wrong, 'handshake: ' . $tls->error if defined $tls->error;
        my $before = $asked;
        for my $i (0 .. 40) {
            last if @wrong;
            my $path = $paths[$i % @paths];
            my $r    = $tls->request("/$path");
            my $got  = $r->status . ' ' . ($r->header('X-Reason') // '');
            $seen{"$path $got"}++;
            $asked++;
            my $versions = expected($path, $cert);
            my @allowed  = $o{requests} ? $versions->[1] : @$versions;
            if (grep { $_ eq $got } @allowed) { }
            elsif ($o{until} && "$path $got" eq $half_answer) { $half //= time }
            else                                              { push @wrong, "$path: $got" }
            last if lc($r->header('Connection') // '') eq 'close';
        }
        $session = @wrong ? undef : $tls->session;
        $tls->close;
        append_file("$dir/asked", '.' x ($asked - $before)) if $o{until};
    }
    return join '', map({"seen $_ $seen{$_}\n"} sort keys %seen),
        map({"half $_\n"} $half // ()), map {"wrong $_\n"} @wrong;
}

my @clients = (
    ['partner',  '1.3'],
    ['partner',  '1.2'],
    ['stranger', '1.3'],
    ['user-1',   '1.3'],
    ['user-2',   '1.2'],
    ['user-3',   '1.3']
);

sub start_clients {
    my (%o) = @_;
    my @running;
    for my $client (@clients) {
        my $pid = open my $pipe, '-|';
        die "cannot fork: $!\n" unless defined $pid;
        if (!$pid) {
            print eval { client(@$client, %o) } // "wrong died: $@";
            close STDOUT;
            POSIX::_exit(0);
        }
        push @running, [$client, $pipe];
    }
    return @running;
}

# What they all saw, summed up: how many requests, and how often what.
sub await_clients {
    my ($what,  @running) = @_;
    my ($total, %seen)    = (0);
    for my $entry (@running) {
        my ($client, $pipe) = @$entry;
        my $text = do { local $/; <$pipe> }
            // '';
        close $pipe;
        my @wrong = $text =~ /^wrong (.*)/mg;
        push @wrong, map {"$half_answer: half of it"}
            grep { !defined $slow_since || $_ < $slow_since } $text =~ /^half (.*)/mg;
        is(join('; ', @wrong), '', "$what: $client->[0], TLS $client->[1]");
        while ($text =~ /^seen (.*) (\d+)$/mg) { $seen{"$client->[0] $1"} += $2; $total += $2 }
    }
    return ($total, \%seen);
}

# --- flipping -------------------------------------------------------------------------------------
# Who can tell that a version is in force: half of a list knows none of the users at its end.
sub who_tells {
    my ($name, $version) = @_;
    return $name =~ /\Acas/ ? 'partner' : $name =~ /\Alist/ && $version ? 'user-3' : 'user-1';
}

# In the child that takes the connection.
sub agrees {
    my ($tls, $name, $version) = @_;
    my $r = $tls->request("/$name");
    return $r->status . ' ' . ($r->header('X-Reason') // '') eq
        expected($name, who_tells($name, $version))->[$version];
}

sub in_force {
    my ($name, $version) = @_;
    return await(
        sub { agrees($server->tls(cert => who_tells($name, $version)), $name, $version) });
}

# Each time on other connections: a child of event whose threads are all busy closes what is idle, and
# a revoked certificate's is closed behind the answer.
sub in_force_everywhere {
    my ($name, $version) = @_;
    my @who = (cert => who_tells($name, $version));
    return await(
        sub {
            my @children = values %{ $server->one_in_each_child(3, '/list-rename', @who) };
            return 3 == grep { agrees($_, $name, $version) } @children;
        }
    );
}

# Two changes faster than anybody can follow, then one that is waited for. A slow machine is given
# more time for as many requests.
my @running = start_clients(until => "$dir/stop");
my $flips   = 0;
my $end     = time + $seconds;
my %met;    # by the waiting below; whether a client comes by in time is a matter of luck
while (time < $end || $flips % 6 != 3 || ((-s "$dir/asked") // 0) <= 2000 && time < $end + 240) {
    $flips++;
    $flip{$_}->($flips % 2, "v$flips") for sort keys %flip;
    if   ($flips % 3) { sleep 0.1 + rand 0.8 }
    else              { $met{$_}{ $flips % 2 } = in_force($_, $flips % 2) for sort keys %flip }
}
replace_file("$dir/stop", "stop\n");
my ($total, $seen) = await_clients('flipping', @running);
cmp_ok($total, '>', 2000, "$total requests while the files changed $flips times");
for my $name (sort keys %flip) {
    my ($cert) = $name =~ /\Acas/ ? 'partner' : 'user-1';
    my $versions = expected($name, $cert);
    for my $i (0, 1) {
        ok($seen->{"$cert $name $versions->[$i]"} || $met{$name}{$i},
            "$name: both versions were met: $cert $versions->[$i]");
    }
}

# --- and then: the last version, and nothing else --------------------------------------------------
ok(in_force_everywhere($_, 1), "$_: the last version is in force") for sort keys %flip;
my ($after) = await_clients('settled', start_clients(requests => 200));
cmp_ok($after, '>=', 1200, "$after requests, all answered by the last version");

is(scalar($server->log->matching(qr/exit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');
is(scalar($server->log->matching(qr/internal_error/)), 0, 'no internal error');

done_testing;
