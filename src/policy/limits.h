/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Every bound of the module, each with its reason. What exceeds one is refused, never cut. */

#ifndef MTLS_POLICY_LIMITS_H
#define MTLS_POLICY_LIMITS_H

#include <apr.h>

/* Certificates. mod_ssl's default for a whole client chain is 100 KB, so these only bind where an
 * administrator raised that. */
#define MTLS_MAX_CERTIFICATE_BYTES (256 * 1024)
#define MTLS_MAX_SAN_ENTRIES       16384
#define MTLS_MAX_NAME_ATTRIBUTES   1024
#define MTLS_MAX_EXTENSIONS        256

/* Certificates a client may send beside its own; path building is quadratic in them. */
#define MTLS_MAX_CLIENT_CHAIN 16

/* Intermediates remembered for one leaf: a real chain has one to three. */
#define MTLS_MAX_REMEMBERED_CERTIFICATES 6
#define MTLS_MAX_REMEMBERED_BYTES        (12 * 1024)
/* Leaves remembered for one anchor, so that one CA's clients cannot push out another's. */
#define MTLS_REMEMBERED_PER_ANCHOR 256

/* Rules. */
#define MTLS_MAX_RULE_DEPTH      8
#define MTLS_MAX_RULE_BYTES      (64 * 1024)
#define MTLS_MAX_LIST_BYTES      (256u * 1024 * 1024)
#define MTLS_MAX_LIST_LINE       8192
#define MTLS_MAX_PATTERN_LINES   10000

/* PCRE2 steps for one value. 200,000 is a few milliseconds, and a linear pattern over the largest
 * name a certificate carries through TLS (100 KB) stays below it. */
#define MTLS_REGEX_MATCH_LIMIT 200000
#define MTLS_REGEX_DEPTH_LIMIT 20000
#define MTLS_REGEX_HEAP_KIB    16384

/* A glob is compared in (pattern tokens x value bytes) steps. */
#define MTLS_GLOB_STEP_LIMIT 4000000

/* How long reading a request may take without the clock being asked again whether a verdict that
 * was remembered still holds (microseconds). mod_reqtimeout allows far less. */
#define MTLS_CLOCK_MARGIN (300 * APR_INT64_C(1000000))

/* Merged policies kept for re-use; more are computed for each request (slower, never wrong). */
#define MTLS_MAX_MERGED_POLICIES 4096

#endif
