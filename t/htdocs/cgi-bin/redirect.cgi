#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# A local redirect to the path in the query.
use strict;
use warnings;

my ($target) = ($ENV{QUERY_STRING} // '') =~ m{\A(/[\w./-]*)\z};
print 'Location: ', $target // '/', "\r\n\r\n";
