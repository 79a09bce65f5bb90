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

/* Hex digits of a serial number that is written in decimal, which costs their square. RFC 5280 knows
 * 40 (4.1.2.2). */
#define MTLS_MAX_DECIMAL_DIGITS 1024

/* A header X-Forwarded-Client-Cert that may be appended to: many hops, or some with their chains. */
#define MTLS_MAX_XFCC_BYTES (64 * 1024)

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
/* Certificates of OCSP responders: they go with every question about a status. */
#define MTLS_MAX_STORE_RESPONDERS      32
#define MTLS_MAX_STORE_RESPONDER_BYTES (48 * 1024)
/* Names of CAs a certificate request can carry are counted in two bytes (RFC 8446 4.2.4). */
#define MTLS_MAX_ADVERTISED_BYTES 60000

/* OCSP responses. A usual one has 500 bytes, or 2 KB with its signer's certificate. */
#define MTLS_MAX_OCSP_BYTES        (64 * 1024)
#define MTLS_MAX_OCSP_STATEMENTS   64
#define MTLS_MAX_OCSP_CERTIFICATES 8
#define MTLS_MAX_OCSP_URLS         4 /* of one certificate */
#define MTLS_MAX_OCSP_URL_BYTES    2048
/* How far the clocks of responders may be off, whatever the configuration (microseconds). */
#define MTLS_MAX_OCSP_SKEW (3600 * APR_INT64_C(1000000))

/* Header fields of an answer over HTTP: some hundred bytes, behind a large CDN a few KB. */
#define MTLS_MAX_OCSP_HEADER_BYTES (16 * 1024)
/* Connections to one host at a time: no responder takes that for an attack, and one that takes
 * 50 ms still gives 320 answers a second. */
#define MTLS_OCSP_HOST_CONNECTIONS 16
/* MTLSOCSPResponses. A file costs its bytes, some 500 more, and a stat() at each look. */
#define MTLS_MAX_FOLDER_FILES 100000
#define MTLS_MAX_FOLDER_BYTES (512u * 1024 * 1024)
/* Of those that speak of one certificate so many count, the latest ones: whoever never removes old
 * files shall not have all of them proved again and again. */
#define MTLS_MAX_FOLDER_RESPONSES 64
/* Responses a process remembers the proof of; some 100 bytes each. */
#define MTLS_OCSP_PROOFS 4096

/* The process that fetches statuses remembers so many certificates, with the answers to the latest
 * questions and with failures: some 400 bytes each, and the responses, which are bounded together.
 */
#define MTLS_MAX_OCSP_JOBS             4096
#define MTLS_MAX_OCSP_REMEMBERED_BYTES (16 * 1024 * 1024)
/* Certificates that wait for an exchange with their responder: at 64 exchanges of 50 ms each the
 * last one waits a second. An ask has some 3 KB. Of them so many for which no request waits:
 * renewals must not keep those out. */
#define MTLS_MAX_OCSP_QUEUED 1024
#define MTLS_MAX_OCSP_BEHIND (MTLS_MAX_OCSP_QUEUED / 2)
/* Exchanges at a time. So many for the certificates of one issuer, while others wait and at most:
 * one responder that hangs must not stop the others' exchanges. */
#define MTLS_MAX_OCSP_FETCHES       64
#define MTLS_OCSP_FETCHES_OF_ONE    32
#define MTLS_OCSP_FETCHES_WITH_MORE (MTLS_MAX_OCSP_FETCHES / 4)
/* Requests that wait for an answer, in the whole server: more than its workers usually are. */
#define MTLS_MAX_OCSP_WAITERS 1024
/* URLs of responders of which is remembered what they understand and whether they answer. */
#define MTLS_MAX_OCSP_RESPONDERS 1024
/* Files of proven revocations: some 20 MB of a disk. */
#define MTLS_MAX_OCSP_REVOCATIONS 10000

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

/* Keys that sign tokens: below, RS256 is forbidden (RFC 7518 3.3); above, a signature takes more
 * than 10 ms. A kid stands in every token. */
#define MTLS_MIN_SIGNING_RSA_BITS 2048
#define MTLS_MAX_SIGNING_RSA_BITS 8192
#define MTLS_MAX_KID_BYTES        128

/* Tokens a connection keeps: for so many pairs of an audience and an identity in turn. Together
 * they have MTLS_MAX_KEPT_EXPORTS bytes at most; a usual one has 1 KB. */
#define MTLS_MAX_TOKENS 8

/* How long reading a request may take without the clock being asked again whether a verdict that
 * was remembered still holds (microseconds). mod_reqtimeout allows far less. */
#define MTLS_CLOCK_MARGIN (300 * APR_INT64_C(1000000))

/* Merged policies kept for re-use; more are computed for each request (slower, never wrong). */
#define MTLS_MAX_MERGED_POLICIES 4096

#endif
