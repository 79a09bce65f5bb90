# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Setup;

# What every command of bench/ needs before it can measure: a directory, documents, certificates,
# and where httpd is.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

our @EXPORT_OK = qw(prepare versions thousands megabytes table write_file);

my $top = dirname(abs_path(__FILE__)) . '/../../..';

# keep: directory to make and to leave, or undef; documents: paths below the document root.
sub prepare {
    my ($keep, @documents) = @_;
    mkdir $keep or die "$keep: $!\n" if defined $keep;
    my $dir = abs_path($keep // tempdir('mtls-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1));
    chmod 0755, $dir or die "$dir: $!\n";    # httpd has to reach the documents when it is not root
    my $htdocs = "$dir/htdocs";
    for my $document (map { "$htdocs/$_" } @documents) {
        make_folder(dirname($document));
        write_file($document, "ok\n");
    }
    my $pki = "$dir/pki";
    system("$top/t/pki/make-pki", $pki) == 0 or die "t/pki/make-pki failed\n";
    return {
        dir     => $dir,
        htdocs  => $htdocs,
        pki     => $pki,
        chain   => "$pki/carc-i101l.crt",
        libexec => apxs('LIBEXECDIR'),
        httpd   => apxs('SBINDIR') . '/' . apxs('PROGNAME'),
        top     => $top,
    };
}

sub make_folder {
    my ($folder) = @_;
    return if -d $folder;
    make_folder(dirname($folder));
    mkdir $folder or die "$folder: $!\n";
    return;
}

sub write_file {
    my ($file, @text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} @text;
    close $out or die "$file: $!\n";
    return;
}

sub apxs {
    my ($variable) = @_;
    my $value = `apxs -q $variable`;
    die "apxs -q $variable failed\n" if $? || $value !~ /\S/;
    chomp $value;
    return $value;
}

sub versions {
    my ($env) = @_;
    my ($httpd)    = `$env->{httpd} -v` =~ m{version: *(\S+)};
    my ($openssl)  = `openssl version` =~ m{^(OpenSSL \S+)};
    my ($valgrind) = `valgrind --version` =~ m{(\S+)};
    return join ', ', grep { defined } $httpd, $openssl, $valgrind;
}

sub thousands {
    my $text = sprintf '%.0f', $_[0];
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

sub megabytes {
    my ($bytes) = @_;
    return sprintf $bytes < 99.95e6 ? '%.1f' : '%.0f', $bytes / 1e6;
}

# One line of a table: the first column is flush left, the others flush right. `columns` holds
# [title, width] pairs. Without values: the head.
sub table {
    my ($columns, @values) = @_;
    my $line = join ' ', map {
        my ($title, $width) = @{ $columns->[$_] };
        my $text = @values ? $values[$_] // '' : $title;
        $_ ? sprintf "%${width}s", $text : sprintf "%-${width}s", $text;
    } 0 .. $#$columns;
    $line =~ s/ +\z//;
    return @values ? "$line\n" : "$line\n" . '-' x length($line) . "\n";
}

1;
