#!/usr/bin/env perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
#
# What must stay true of the sources whatever changes in them. Run by `make check`, which passes
# srcdir, CC, NM and the include flags. Every guard has a floor: one that sees too little fails.
use strict;
use warnings;
use Test::More;
use File::Find;

my $srcdir = $ENV{srcdir} // '.';
my $cc     = $ENV{GUARD_CC} // 'cc';
my $flags  = $ENV{GUARD_CPPFLAGS} // '';

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

my @sources = "$srcdir/mod_mtls_policy.c";
find(sub { push @sources, $File::Find::name if /\.[ch]\z/ }, "$srcdir/src");
@sources = sort @sources;
my %folder_of = map { $_ => m{/src/(\w+)/} ? $1 : 'top' } @sources;
cmp_ok(scalar @sources, '>=', 60, 'the sources were found');

# ---- layers: includes point one way ----

my $httpd = qr{^(?:httpd|http_\w+|ap_\w+|mod_\w+|util_\w+|scoreboard|mpm_common)\.h$};
my %may = (
    policy   => {own => [qw(policy)],                             outside => qr{^(?:apr_\w+\.h|pcre2\.h|arpa/inet\.h|\w+\.h)$}},
    pki      => {own => [qw(policy pki)],                         outside => qr{^(?:apr_\w+\.h|openssl/\w+\.h|\w+\.h)$}},
    identity => {own => [qw(policy pki identity)],                outside => qr{^(?:apr_\w+\.h|(?:openssl|cjose)/\w+\.h|\w+\.h)$}},
    ocsp     => {own => [qw(policy pki ocsp)],                    outside => qr{^(?:apr_\w+\.h|openssl/\w+\.h|curl/curl\.h|(?:arpa|net|netinet|sys)/\w+\.h|\w+\.h)$}},
    httpd    => {own => [qw(policy pki identity ocsp httpd)],     outside => qr{^.*$}},
    top      => {own => [qw(httpd)],                              outside => qr{^.*$}},
);
my $includes = 0;
for my $file (@sources) {
    my $rule = $may{$folder_of{$file}};
    ok($rule, "$file stands in a known folder") or next;
    my $text = slurp($file);
    while ($text =~ /^\s*#\s*include\s*([<"])([^>"]+)[>"]/mg) {
        my ($kind, $name) = ($1, $2);
        $includes++;
        if ($kind eq '"') {
            my ($room) = $name =~ m{^(\w+)/};
            ok(defined $room && grep({ $_ eq $room } @{$rule->{own}}), "$file may include \"$name\"");
        } else {
            ok($name =~ $rule->{outside}
                   && ($folder_of{$file} =~ /^(?:httpd|top)$/ || $name !~ $httpd),
               "$file may include <$name>");
        }
    }
}
cmp_ok($includes, '>=', 150, 'includes were read');

# ---- layers: what the libraries need from outside ----

my %needs_not = (
    libpolicy   => qr{^(?:ap_|SSL_|X509|ASN1_|OPENSSL_|EVP_|OBJ_|BIO_|ERR_|curl_)},
    libpki      => qr{^(?:ap_|SSL_|curl_)},
    libidentity => qr{^(?:ap_|SSL_|curl_)},
    libocsp     => qr{^(?:ap_|SSL_)},
);
for my $library (sort keys %needs_not) {
    my @symbols = map { (split)[-1] } grep { / U / } `nm -u .libs/$library.a 2>/dev/null | sed 's/^/ U /'`;
    cmp_ok(scalar @symbols, '>=', 10, "$library was read");
    is_deeply([grep { $_ =~ $needs_not{$library} } @symbols], [], "$library needs nothing from above");
}

# ---- headers are self-contained ----

my @headers = grep { /\.h\z/ } @sources;
for my $header (@headers) {
    (my $name = $header) =~ s{^\Q$srcdir\E/src/}{};
    my $out = `printf '#include "$name"\\n#include "$name"\\n' | $cc -std=gnu11 -fsyntax-only -x c -Wall -Wextra -I$srcdir/src $flags - 2>&1`;
    is($? == 0 ? $out : "$out (status $?)", '', "$name compiles alone, and twice");
}
cmp_ok(scalar @headers, '>=', 30, 'headers were found');

# ---- every source is built ----

my $makefile = slurp("$srcdir/Makefile.am");
for my $file (@sources) {
    (my $name = $file) =~ s{^\Q$srcdir\E/}{};
    like($makefile, qr{(?<![\w/])\Q$name\E(?!\w)}, "$name is in Makefile.am");
}

# ---- directives and reasons are those of the documents ----

my %declared;
for my $file (grep { /\.c\z/ } @sources) {
    my $text = slurp($file);
    $declared{$1} = 1 while $text =~ /AP_INIT_\w+\(\s*"(<?MTLS\w+)"/g;
}
cmp_ok(scalar(keys %declared), '>=', 18, 'directives were found');
my $directives = slurp("$srcdir/docs/directives.md");
my %documented = map { $_ => 1 } $directives =~ /^#+ +`?(<?MTLS\w+)/mg;
is_deeply([sort keys %documented], [sort keys %declared],
          'docs/directives.md has a heading for each directive, and for no other');
for my $name (sort keys %declared) {
    my ($section) = $directives =~ /^#+ +`?\Q$name\E\b(.*?)(?=^#+ +`?<?MTLS|\z)/ms;
    for my $word (qw(Syntax Default Context Example)) {
        like($section // '', qr/\b$word/i, "$name: the documentation has its $word");
    }
}

my $table = slurp("$srcdir/src/policy/reason.h");
my @tokens = $table =~ /^\s*X\(\w+,\s*"(\w+)"/mg;
cmp_ok(scalar @tokens, '>=', 30, 'reasons were found');
my @headings = slurp("$srcdir/docs/reasons.md") =~ /^### +`(\w+)`/mg;
is_deeply([sort @headings], [sort @tokens],
          'docs/reasons.md has a heading for each reason, and for no other');

# ---- formats are those of the documents ----

my $formats = slurp("$srcdir/docs/formats.md");
my @words = grep { $_ ne 'none' }
    slurp("$srcdir/src/identity/format.c") =~ /^\s*\{"([\w-]+)", MTLS_FORMAT_/mg;
cmp_ok(scalar @words, '>=', 8, 'formats were found');
my ($one_by_one) = $formats =~ /^## The formats one by one$(.*?)^## /ms;
is_deeply([sort(($one_by_one // '') =~ /^### `([\w-]+)`/mg)], [sort @words],
          'docs/formats.md has a section for each format, and for no other');
my @names = map { /^\s*\{"([A-Za-z]+(?:-[A-Za-z]+)+)",/mg, /^#define \w+_HEADER\s+"([\w-]+)"/mg }
    map { slurp($_) } grep { m{/src/identity/} } @sources;
cmp_ok(scalar @names, '>=', 30, 'headers of formats were found');
like($formats, qr/(?<![\w-])\Q$_\E(?![\w-])/, "docs/formats.md knows $_") for @names;

# ---- names that prove nothing ----

for my $file (grep { /\.c\z/ } @sources) {
    my $text = slurp($file);
    unlike($text, qr/OCSP_NOVERIFY|OCSP_NOCHECKS|OCSP_TRUSTOTHER/, "$file skips no check of OCSP");
    next if $file =~ m{/peer\.c$}; # corrects what mod_ssl says, and believes none of it
    unlike($text, qr/SSL_get_verify_result|"SSL_CLIENT_VERIFY"/,
           "$file does not ask what the handshake said");
}

# ---- functions stay readable ----

my $functions = 0;
for my $file (grep { /\.c\z/ } @sources) {
    my ($line, $start, $name) = (0, 0, '');
    for (split /\n/, slurp($file)) {
        $line++;
        $name  = $1 if /^[a-z].*?(\w+)\(/ && !/;\s*$/;
        $start = $line if /^\{/;
        if (/^\}/ && $start) {
            $functions++;
            my $length = $line - $start;
            fail("$file: $name has $length lines") if $length > 62;
            $start = 0;
        }
    }
}
cmp_ok($functions, '>=', 300, "$functions functions, none longer than sixty lines");

done_testing();
