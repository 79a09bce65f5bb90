# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Process;

# What the kernel says about a process: memory, processor time, children. Linux only.

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT_OK = qw(children youngest memory cpu_seconds);

sub children {
    my ($pid) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $file or next;       # ended meanwhile
        my ($child, $parent) = (<$in> // '') =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @found, $child if $parent == $pid;
    }
    @found = sort { $a <=> $b } @found;
    return @found;
}

# The child that was started last.
sub youngest {
    my ($pid) = @_;
    my %started;
    for my $child (children($pid)) {
        open my $in, '<', "/proc/$child/stat" or next;
        my ($behind_name) = (<$in> // '') =~ /\) (.+)/ or next;
        $started{$child} = (split ' ', $behind_name)[19];
    }
    my ($last) = sort { $started{$b} <=> $started{$a} || $b <=> $a } keys %started;
    return $last;
}

# { rss, pss, private } in bytes. Of a page that n processes share, PSS counts the n-th part: the
# sum over all processes is what they take together. Private is what a process shares with nobody.
sub memory {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/smaps_rollup" or die "/proc/$pid/smaps_rollup: $!\n";
    my %kb = map { /^(\w+): +(\d+) kB/ ? ($1, $2) : () } <$in>;
    my %bytes = (
        rss     => $kb{Rss},
        pss     => $kb{Pss},
        private => $kb{Private_Clean} + $kb{Private_Dirty},
    );
    $_ *= 1024 for values %bytes;
    return \%bytes;
}

# Processor time of all threads that a process has now.
sub cpu_seconds {
    my ($pid) = @_;
    my $nanoseconds = 0;
    for my $file (glob "/proc/$pid/task/*/schedstat") {
        open my $in, '<', $file or next;       # a thread that ended
        my ($spent) = split ' ', <$in> // next;
        $nanoseconds += $spent;
    }
    return $nanoseconds / 1e9;
}

1;
