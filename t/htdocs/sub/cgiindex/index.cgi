#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Prints its environment, one NAME=value a line, and the length of the body it was sent.
use strict;
use warnings;

my $body = do { local $/; <STDIN> }
    // '';
print "Content-Type: text/plain\r\n\r\n";
print "$_=$ENV{$_}\n" for sort keys %ENV;
print 'body=', length $body, "\n";
