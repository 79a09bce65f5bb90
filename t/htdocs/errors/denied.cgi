#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

use strict;
use warnings;

print "Content-Type: text/plain\r\n\r\nreason=", $ENV{MTLS_REASON} // 'none', ' verdict=',
    $ENV{MTLS_VERDICT} // 'none', ' rule=', $ENV{MTLS_RULE} // 'none', "\n";
