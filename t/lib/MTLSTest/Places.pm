# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Places;

# Where a run writes: into t/, unless that is read-only or httpd's children could not reach it.

use strict;
use warnings;
use File::Path qw(make_path);
use File::Spec;
use POSIX            ();
use MTLSTest::Layout qw(source_dir runtime_user);

sub choose {
    return $ENV{MTLS_RUN_DIR}
        if defined $ENV{MTLS_RUN_DIR} && (-d $ENV{MTLS_RUN_DIR} || make_path($ENV{MTLS_RUN_DIR}));
    return source_dir() if -w source_dir() && reachable(source_dir());
    my $dir = File::Spec->tmpdir . "/mod_mtls_policy-tests-$>";
    mkdir $dir, 0755;
    my @stat = lstat $dir;
    die "$dir is not ours; set MTLS_RUN_DIR\n" unless @stat && -d _ && !-l _ && $stat[4] == $>;
    return $dir;
}

# Tried as that account, because modes alone do not tell.
sub reachable {
    my ($dir) = @_;
    return 1 if $> != 0;
    my ($uid, $gid) = (getpwnam +(runtime_user())[0])[2, 3];
    my $pid = fork // return 0;
    if (!$pid) {
        $) = "$gid $gid";
        POSIX::setgid($gid);
        POSIX::setuid($uid);
        POSIX::_exit(-x $dir && -r _ ? 0 : 1);
    }
    waitpid $pid, 0;
    return $? == 0;
}

1;
