# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Files;

# Files a server reads again when they change, and the ways in which people change them.

use strict;
use warnings;
use Exporter 'import';
use File::Basename   qw(dirname);
use File::Path       qw(make_path remove_tree);
use MTLSTest::Layout qw(run_dir pki_dir runtime_user);

our @EXPORT_OK =
    qw(files_dir pki_text replace_file rewrite_file append_file copy_pki mount_version);

# A new, empty directory the children of a server can read.
sub files_dir {
    my ($name) = @_;
    my $dir = run_dir() . "/logs/files/$name";
    remove_tree($dir);
    make_path($dir);
    return $dir;
}

# What the named files of the fixtures hold, one after the other.
sub pki_text {
    my (@names) = @_;
    my $text = '';
    for my $name (@names) {
        open my $fh, '<:raw', pki_dir() . "/$name" or die "cannot read $name: $!\n";
        local $/;
        $text .= <$fh>;
    }
    return $text;
}

sub write_pieces {
    my ($mode, $path, @pieces) = @_;
    make_path(dirname($path));
    open my $fh, $mode, $path or die "cannot write $path: $!\n";
    for my $piece (@pieces) {
        if (ref $piece) { $piece->(); next }
        syswrite($fh, $piece) // die "cannot write $path: $!\n" if length $piece;
    }
    close $fh or die "cannot write $path: $!\n";
    return $path;
}

# Whoever opens the file finds the old content or the new one: how it should be done.
sub replace_file {
    my ($path, $content) = @_;
    write_pieces('>:raw', "$path.new~", $content);
    rename "$path.new~", $path or die "cannot rename $path.new~: $!\n";
    return $path;
}

# The same inode: empty for a moment, then growing. Code among the pieces is called between them.
sub rewrite_file { my ($path, @pieces) = @_; return write_pieces('>:raw', $path, @pieces) }

sub append_file { my ($path, @pieces) = @_; return write_pieces('>>:raw', $path, @pieces) }

# Fixtures under names of their own: (file => [fixture, ...])
sub copy_pki {
    my ($dir, %files) = @_;
    replace_file("$dir/$_", pki_text(@{ $files{$_} })) for sort keys %files;
    return;
}

# As Kubernetes mounts a secret: FILE -> ..data/FILE, ..data -> ..VERSION, and a new version moves
# the second link. (file => content)
sub mount_version {
    my ($dir, $version, %files) = @_;
    make_path("$dir/..$version");
    replace_file("$dir/..$version/$_", $files{$_}) for keys %files;
    my $old = readlink "$dir/..data";
    symlink "..$version", "$dir/..data_tmp" or die "cannot link in $dir: $!\n";
    rename "$dir/..data_tmp", "$dir/..data" or die "cannot rename in $dir: $!\n";
    for my $file (keys %files) {
        symlink "..data/$file", "$dir/$file" unless -l "$dir/$file";
    }
    remove_tree("$dir/$old") if defined $old && $old ne "..$version";
    return;
}

1;
