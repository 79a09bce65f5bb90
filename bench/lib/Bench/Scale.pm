# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Scale;

# The rows of bench/scale. A row's `measure` returns the texts of its columns behind the first.

use strict;
use warnings;
use List::Util qw(max sum);
use Time::HiRes qw(sleep time);
use Bench::Crowd;
use Bench::First;
use Bench::Material qw(make_leaf make_leaves sha256_of spiffe_id write_crl write_list);
use Bench::Measure;
use Bench::Process qw(children cpu_seconds memory);
use Bench::Server;
use Bench::Setup qw(megabytes thousands);

use constant {
    CHILDREN   => 4,
    FEW        => 100,
    LOOK_UPS   => 10_000,
    CLIENTS    => 4,
    WATCHERS   => 4,
    CALM       => 3,          # seconds of load before a file changes, and after
    PATIENCE   => 120,        # seconds until a change has to be in force
    HANDSHAKES => 20,
};

# prefork: as many connections as children reach every child.
my $TUNING = join "\n", 'StartServers ' . CHILDREN, 'MinSpareServers 1',
    'MaxSpareServers ' . CHILDREN, 'MaxRequestWorkers ' . CHILDREN, 'MaxConnectionsPerChild 0';
my $EVENT = join "\n", 'StartServers 2', 'ServerLimit 2', 'ThreadsPerChild 8', 'ThreadLimit 8',
    'MaxRequestWorkers 16', 'MinSpareThreads 1', 'MaxSpareThreads 16', 'MaxConnectionsPerChild 0';

my ($env, $module, $option, $number);

sub parts {
    ($env, $module, $option) = @_;
    my ($values, $revoked) = map { thousands($option->{$_}) } qw(values revoked);
    return (
        {
            title   => 'file: lists',
            columns => [
                ['work', 32], ['file MB', 8], ['-t s', 6], ['start s', 8], ['parent MB', 10],
                ['all MB', 7], ['child MB', 9], ['reload s', 9], ['child MB', 9],
                ['held', 6], ['missing', 8], ['misses', 7],
            ],
            rows => [map { list_rows($_) } qw(spiffe sha256)],
            foot => <<"END",

-t, start: processor time. all: PSS of the parent and ${\CHILDREN} children that each served a request.
child: memory that a child shares with nobody, before and after a changed list is in force in it.
reload: processor time of a child. held, missing: instructions for one look-up of a value that is
in the list, and of one that is not; misses: reads beyond a cache of 8 MB for each.
END
        },
        {
            title   => "a CRL of $revoked revoked certificates",
            columns => [
                ['work', 32], ['start s', 8], ['parent MB', 10], ['all MB', 7], ['child MB', 9],
                ['reload s', 9], ['child MB', 9], ['first', 12], ['second', 12], ['resumed', 12],
                ['further', 8], ['first ms', 9],
            ],
            rows => [crl_rows()],
            foot => <<"END",

first, second, resumed: instructions of a connection with one request - the first full handshake of
a leaf in a child, its second, a resumed session; further: one more request. first ms: processor
time of the first kind.
END
        },
        {
            title   => 'files that change under load',
            columns => [
                ['work', 32], ['a second', 9], ['while', 7], ['after', 7], ['slowest', 8],
                ['while', 7], ['first s', 8], ['all s', 6], ['CPU s', 6],
            ],
            rows => [change_rows()],
            foot => <<"END",

${\CLIENTS} clients ask one request after the other of an event MPM with 2 children and
MTLSReloadInterval 1, and get 200 every time; ${\WATCHERS} more ask now and then for what the change allows or refuses.
a second, while, after: requests a second before the file changes, until the change is in force, and
from then on; slowest: the longest answer before and while (ms). first, all: seconds from the
rename of the file until the first and the last of the ${\WATCHERS} saw the change. CPU: processor time of
the children from the rename until then, requests included.
END
        },
    );
}

# ---- servers ----

sub server {
    my ($global, $vhost, %more) = @_;
    return Bench::Server->new(
        %$env,
        dir    => "$env->{dir}/scale-" . ++$number,
        global => $global,
        vhost  => $vhost,
        module => $module,
        %more,
    );
}

sub crowded {
    my ($server) = @_;
    $server->start;
    await('children', sub { children($server->{pid}) >= CHILDREN });
    return children($server->{pid});
}

sub await {
    my ($what, $done) = @_;
    my $end = time + PATIENCE;
    until ($done->()) {
        die "no $what in ${\PATIENCE} s\n" if time > $end;
        sleep 0.05;
    }
    return;
}

# A connection to each child, at which one request got `status`.
sub connect_all {
    my ($server, $certificate, $status) = @_;
    my @clients = map { Bench::Measure::client($server, $env, $certificate) } 1 .. CHILDREN;
    for my $client (@clients) {
        my ($got) = $client->request(GET => '/api/f.txt');
        die "$certificate got $got, not $status:\n" . $server->what_it_said if $got != $status;
    }
    return @clients;
}

sub mean { return sum(@_) / @_ }

sub memory_now {
    my ($server) = @_;
    my @children = map { memory($_) } children($server->{pid});
    my $parent = memory($server->{pid});
    return {
        parent => $parent->{rss},
        all    => sum(map { $_->{pss} } $parent, @children),
        child  => mean(map { $_->{private} } @children),
    };
}

# What a server takes, and what its children do when `change` has changed the file: the certificate
# `turns` then gets `after` instead of `before`. (start s, parent, all, child; reload s, child)
sub resources {
    my ($server, %row) = @_;
    my @children = crowded($server);
    my $start = cpu_seconds($server->{pid});
    $_->close for connect_all($server, $row{allowed}, 200);
    my @waiting = connect_all($server, $row{turns}, $row{before});
    my $memory  = memory_now($server);
    my @texts   = (sprintf('%.2f', $start), map { megabytes($memory->{$_}) } qw(parent all child));
    return (@texts, '', '') if !$row{change};
    my $spent = sum(map { cpu_seconds($_) } @children);
    $row{change}->();
    for my $client (@waiting) {
        await("$row{after} for $row{turns}",
            sub { ($client->request(GET => '/api/f.txt'))[0] == $row{after} });
    }
    $spent = (sum(map { cpu_seconds($_) } @children) - $spent) / @children;
    my $now = memory_now($server);
    $_->close for @waiting;
    $server->stop;
    return (@texts, sprintf('%.2f', $spent), megabytes($now->{child}));
}

# ---- lists ----

sub list_rows {
    my ($kind) = @_;
    my $what = { spiffe => 'SPIFFE IDs', sha256 => 'fingerprints' }->{$kind};
    return map {
        my $count = $_;
        { work => thousands($count) . " $what", measure => sub { measure_list($kind, $count) } }
    } FEW, $option->{values} / 10, $option->{values};
}

sub leaf_of_list {
    my ($kind, $name) = @_;
    my $id = spiffe_id($name eq 'listed' ? 9_000_001 : 9_000_002);
    make_leaf($env->{pki}, $name, $id) if !-e "$env->{pki}/$name.crt";
    return $kind eq 'spiffe' ? $id : sha256_of($env->{pki}, $name);
}

sub list_server {
    my ($kind, $file, %more) = @_;
    return server(
        'MTLSReloadInterval 1',
        join("\n",
            'MTLSTrustDomain lab.carcano.corp', '<Location "/api">',
            qq(MTLSRequire $kind "file:$file"), '</Location>'),
        tuning => $TUNING,
        %more
    );
}

sub measure_list {
    my ($kind, $count) = @_;
    my $file = "$env->{dir}/list.txt";
    my ($listed, $other) = map { leaf_of_list($kind, $_) } qw(listed unlisted);
    write_list($file, $kind, $count, $listed);
    my $megabytes = megabytes(-s $file);
    my $server    = list_server($kind, $file);
    my $test      = sprintf '%.2f', $server->config_test;
    my @look_ups  = look_ups($kind, $file);
    my @resources = resources(
        $server,
        allowed => 'listed',
        turns   => 'unlisted',
        before  => 403,
        after   => 200,
        change  => sub { write_list($file, $kind, $count + 1, $listed, $other) },
    );
    unlink $file;
    return ($megabytes, $test, @resources, @look_ups);
}

# Instructions of one look-up: of what the list holds, of what it does not; cache misses.
sub look_ups {
    my ($kind, $file) = @_;
    my $counts = "$env->{dir}/look-ups";
    my @callgrind = (
        'valgrind', '--tool=callgrind', '--quiet', '--vgdb=no', '--cache-sim=yes',
        "--log-file=$counts.log", '--I1=32768,8,64', '--D1=32768,8,64', '--LL=8388608,16,64',
        "--callgrind-out-file=$counts",
        map { ("--toggle-collect=$_", "--dump-after=$_") } qw(present absent)
    );
    run(@callgrind, look_up_program(), $kind, $file, LOOK_UPS);
    my @totals = map { totals("$counts.$_") } 1, 2;
    return (map { thousands($_->{Ir} / LOOK_UPS) } @totals),
        sprintf '%.1f', sum(map { $_->{DLmr} // 0 } @totals) / (2 * LOOK_UPS);
}

sub look_up_program {
    my $program = "$env->{dir}/lookup";
    return $program if -e $program;
    (my $library = $module) =~ s{[^/]+\z}{libpolicy.a};
    my ($apr, $util) = map { `apxs -q $_` =~ /(\S+)/ } qw(APR_CONFIG APU_CONFIG);
    my @flags = map { split ' ', `$_` } "$apr --cppflags --includes", "$util --link-ld --libs",
        "$apr --link-ld --libs", 'pcre2-config --libs8';
    run('cc', '-std=gnu11', '-O2', '-o', $program, "-I$env->{top}/src",
        "$env->{top}/bench/lib/lookup.c", $library, @flags);
    return $program;
}

sub run {
    my (@command) = @_;
    system(@command) == 0 or die "failed: @command\n";
    return;
}

# event => count
sub totals {
    my ($file) = @_;
    open my $in, '<', $file or die "callgrind wrote no $file: $!\n";
    my (@events, %total);
    while (my $line = <$in>) {
        @events = split ' ', $1 if $line =~ /^events: (.+)/;
        @total{@events} = split ' ', $1 if $line =~ /^(?:totals|summary): (.+)/;
    }
    unlink $file;
    return \%total;
}

# ---- CRLs ----

my $RULE = "<Location \"/api\">\nMTLSRequire subject.O \"Big Partner Foo SA\"\n</Location>";

sub crl_rows {
    my $crl = "$env->{dir}/large.crl";
    my $ssl = "SSLCARevocationFile \"$crl\"\nSSLCARevocationCheck chain";
    return map {
        my ($work, %row) = @$_;
        { work => $work, measure => sub { measure_crl($crl, %row) } }
    } (
        ['without this module, no CRL', vhost => '', module => undef],
        ['without this module, mod_ssl\'s', vhost => $ssl, module => undef, large => 1],
        ['vhost\'s store, no CRL', vhost => $RULE],
        ['vhost\'s store, mod_ssl\'s CRL', vhost => "$ssl\n$RULE", large => 1],
        ['trust store, no CRL', store => '', vhost => "MTLSTrust partners\n$RULE"],
        [
            'trust store, MTLSCRL',
            store => "MTLSCRL \"$crl\"", vhost => "MTLSTrust partners\n$RULE",
            large => 1, change => 1,
        ],
        [
            'trust store, MTLSCRL, defer',
            store => "MTLSCRL \"$crl\"", large => 1,
            vhost => "MTLSHandshake defer\nMTLSTrust partners\n$RULE",
        ],
    );
}

sub store_of {
    my ($name, @lines) = @_;
    return join "\n", 'MTLSReloadInterval 1', "<MTLSTrustStore \"$name\">",
        qq(MTLSAnchor "$env->{pki}/ca-bundle.crt"), @lines, '</MTLSTrustStore>';
}

sub measure_crl {
    my ($crl, %row) = @_;
    write_crl($env->{pki}, $crl, $option->{revoked}) if !-e $crl;
    my ($last) = make_leaves($env->{pki}, 1);
    my $global = defined $row{store} ? store_of('partners', $row{store}) : '';
    my %module = exists $row{module} ? (module => $row{module}) : ();
    my $make   = sub { server($global, $row{vhost} // '', %module, @_) };
    my @resources = resources(
        $make->(tuning => $TUNING),
        allowed => 'partner',
        turns   => $last,
        before  => 200,
        after   => 403,
        change  => $row{change} && sub { write_crl($env->{pki}, $crl, $option->{revoked}, $last) },
    );
    unlink $crl if $row{change};
    write_crl($env->{pki}, $crl, $option->{revoked}) if !-e $crl;
    my $ms    = processor_ms($make->());
    my $costs = Bench::First::costs($make->(), $env, refused(%row),
        slow => $row{large});
    return (@resources, (map { thousands($costs->{$_}{mean}) } @Bench::First::KINDS), $ms);
}

# A certificate that proves that something is looked at; undef where mod_ssl ends the handshake.
sub refused {
    my (%row) = @_;
    return $row{store} ? 'revoked' : exists $row{module} || $row{large} ? undef : 'other-partner';
}

# Processor time of a first connection of a leaf.
sub processor_ms {
    my ($server) = @_;
    my @leaves = make_leaves($env->{pki}, HANDSHAKES + 1);
    my $get = sub { Bench::Measure::get($_[0], '/api/f.txt') };
    $server->start;
    Bench::Measure::with_client($server, $env, $get, shift @leaves);
    my $spent = cpu_seconds($server->{pid});
    Bench::Measure::with_client($server, $env, $get, $_) for @leaves;
    $spent = cpu_seconds($server->{pid}) - $spent;
    $server->stop;
    return sprintf '%.2f', 1000 * $spent / @leaves;
}

# ---- changes under load ----

sub change_rows {
    return (
        {
            work    => thousands(FEW) . ' SPIFFE IDs',
            measure => sub { measure_list_change(FEW) },
        },
        {
            work    => thousands($option->{values}) . ' SPIFFE IDs',
            measure => sub { measure_list_change($option->{values}) },
        },
        {
            work    => 'CRL of ' . thousands($option->{revoked}),
            measure => sub { measure_crl_change() },
        },
    );
}

sub measure_list_change {
    my ($count) = @_;
    my $file = "$env->{dir}/change.txt";
    my ($listed, $other) = map { leaf_of_list('spiffe', $_) } qw(listed unlisted);
    write_list($file, 'spiffe', $count, $listed);
    my $server = list_server('spiffe', $file, tuning => $EVENT, mpm => 'event');
    return under_load(
        $server,
        allowed => 'listed',
        turns   => 'unlisted',
        before  => 403,
        after   => 200,
        prepare => sub { write_list("$file.next", 'spiffe', $count + 1, $listed, $other) },
        change  => sub { rename "$file.next", $file or die "$file: $!\n" },
    );
}

sub measure_crl_change {
    my $crl = "$env->{dir}/change.crl";
    my ($leaf) = make_leaves($env->{pki}, 1);
    write_crl($env->{pki}, $crl, $option->{revoked});
    my $server = server(
        store_of('partners', "MTLSCRL \"$crl\""),
        "MTLSTrust partners\n$RULE",
        tuning => $EVENT, mpm => 'event'
    );
    return under_load(
        $server,
        allowed => 'partner',
        turns   => $leaf,
        before  => 200,
        after   => 403,
        prepare => sub { write_crl($env->{pki}, "$crl.next", $option->{revoked}, $leaf) },
        change  => sub { rename "$crl.next", $crl or die "$crl: $!\n" },
    );
}

# Busy clients with the certificate `allowed` get 200 all the time; watching ones with `turns` get
# `before`, and `after` when `change` is in force.
sub under_load {
    my ($server, %row) = @_;
    $server->start;
    $row{prepare}->();
    my $busy     = Bench::Crowd->new($server, $env, $row{allowed}, CLIENTS);
    my $watching = Bench::Crowd->new($server, $env, $row{turns}, WATCHERS, 1);
    sleep CALM;
    my $spent   = sum(map { cpu_seconds($_) } children($server->{pid}));
    my $changed = time;
    $row{change}->();
    await('change seen by all clients', sub { $watching->is_done });
    $spent = sum(map { cpu_seconds($_) } children($server->{pid})) - $spent;
    sleep CALM;
    my $ended   = time;
    my @turned  = sort { $a <=> $b } map { turned($_, $row{before}, $row{after}) } $watching->stop;
    my @clients = $busy->stop;
    $server->stop;
    my @calm   = ($changed - CALM + 1, $changed);
    my @while  = ($changed, $turned[-1]);
    my @failed = grep { $_->[2] != 200 } map { @$_ } @clients;
    die scalar(@failed), " requests failed, the first with $failed[0][2]\n" if @failed;
    return (
        rate(\@clients, @calm), rate(\@clients, @while), rate(\@clients, $turned[-1], $ended),
        slowest(\@clients, @calm), slowest(\@clients, @while),
        (map { sprintf '%.1f', $_ - $changed } @turned[0, -1]), sprintf '%.2f', $spent
    );
}

# When a watching client saw the change.
sub turned {
    my ($requests, $before, $after) = @_;
    my @statuses = map { $_->[2] } @$requests;
    die "a client got $statuses[0] and then $statuses[-1], not $before and $after\n"
        if $statuses[0] != $before || $statuses[-1] != $after;
    return $requests->[-1][0] + $requests->[-1][1];
}

sub within {
    my ($clients, $from, $to) = @_;
    return grep { $_->[0] >= $from && $_->[0] + $_->[1] <= $to } map { @$_ } @$clients;
}

sub rate {
    my ($clients, $from, $to) = @_;
    return thousands(scalar(() = within($clients, $from, $to)) / ($to - $from));
}

sub slowest {
    my ($clients, $from, $to) = @_;
    my @inside = grep { $_->[0] + $_->[1] > $from && $_->[0] < $to } map { @$_ } @$clients;
    return sprintf '%.1f', 1000 * max(map { $_->[1] } @inside);
}

1;
