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

/* Paths tried for one certificate: another CA of the same name, the other of two certificates of
 * one CA. Each try verifies a few signatures. */
#define MTLS_MAX_PATHS 8

/* Intermediates remembered for one leaf: a real chain has one to three. */
#define MTLS_MAX_REMEMBERED_CERTIFICATES 6
#define MTLS_MAX_REMEMBERED_BYTES        (12 * 1024)
/* Leaves remembered for one anchor, so that one CA's clients cannot push out another's. */
#define MTLS_REMEMBERED_PER_ANCHOR 256

/* Results of verified chains a child keeps for one version of a trust store: so many places for
 * issuers, each with so many leaves; some 400 bytes a leaf. */
#define MTLS_CHAIN_CACHE_ISSUERS    15
#define MTLS_CHAIN_CACHE_PER_ISSUER 1024

/* Files: lists, certificates, CRLs. */
#define MTLS_MAX_FILE_BYTES (256u * 1024 * 1024)
/* All texts of one source, kept for a restart. */
#define MTLS_MAX_KEPT_BYTES (1024 * 1024 * 1024)

/* Trust stores. */
#define MTLS_MAX_VERIFY_DEPTH       16
#define MTLS_MAX_STORE_FILES        4096
#define MTLS_MAX_STORE_CERTIFICATES 16384
/* Names of CAs a certificate request can carry are counted in two bytes (RFC 8446 4.2.4). */
#define MTLS_MAX_ADVERTISED_BYTES 60000

/* Rules. */
#define MTLS_MAX_RULE_DEPTH    8
#define MTLS_MAX_RULE_BYTES    (64 * 1024)
#define MTLS_MAX_LIST_LINE     8192
#define MTLS_MAX_PATTERN_LINES 1000

/* Steps (PCRE2's match() calls; pattern tokens x value bytes of a glob) a pattern may take for one
 * value: the small number for nothing, which any sane pattern over any sane name stays below; the
 * large one out of a budget that all rules of a policy share for one judgement. 1,000,000 steps are
 * some 30 ms. A certificate can carry thousands of names, a file thousands of patterns. */
#define MTLS_PATTERN_FREE_STEPS 1000
#define MTLS_PATTERN_MOST_STEPS 100000
#define MTLS_PATTERN_BUDGET     1000000
#define MTLS_REGEX_DEPTH_LIMIT  20000
#define MTLS_REGEX_HEAP_KIB     16384

/* Values of one attribute that patterns are tried on; lists and exact values know no such bound. */
#define MTLS_MAX_PATTERN_VALUES 128

/* Bytes of header texts a connection keeps for all its verdicts; what is beyond is made for each
 * request anew. Thousands of Locations can each export a header of 16 KB. */
#define MTLS_MAX_KEPT_EXPORTS (256 * 1024)

/* How long reading a request may take without the clock being asked again whether a verdict that
 * was remembered still holds (microseconds). mod_reqtimeout allows far less. */
#define MTLS_CLOCK_MARGIN (300 * APR_INT64_C(1000000))

/* Merged policies kept for re-use; more are computed for each request (slower, never wrong). */
#define MTLS_MAX_MERGED_POLICIES 4096

#endif
