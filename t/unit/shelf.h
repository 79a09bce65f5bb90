/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Files in memory, and a trust store that is loaded out of them: for tests of pki/trust_store. */

#ifndef MTLS_UNIT_SHELF_H
#define MTLS_UNIT_SHELF_H

#include "suite.h"

#include "certificates.h"
#include "pki/trust_store.h"

/* Warnings go by the clock of the machine: dates are long over, or far ahead. */
#define LONG_AGO  apr_time_from_sec(APR_TIME_C(946684800))  /* 2000 */
#define AGO       apr_time_from_sec(APR_TIME_C(978307200))  /* 2001 */
#define FAR_AHEAD apr_time_from_sec(APR_TIME_C(3786912000)) /* 2090 */
#define HOUR      apr_time_from_sec(3600)

/* Root R1 has signed CARC I101L, the same renewed with another key, and Mute CA, which may not sign
 * lists; Root R2 has signed CARC I102L. The leaves: `leaf` (serial 1001) and `revoked` (2002) are
 * of CARC I101L, `direct` (3003) of Root R1, `stranger` (1001) of CARC I102L, `renewed_leaf` (3003)
 * and `renewed_revoked` (4004) of the renewed one. `device` is wrong in every respect, and its twin
 * differs from it in the serial only. */
typedef struct pki_t {
    issuer_t root, inter, other, other_inter, renewed, mute;
    X509 *leaf, *revoked, *direct, *stranger, *device, *device_twin, *mute_leaf, *renewed_leaf,
        *renewed_revoked;
} pki_t;
extern pki_t pki;

/* An empty server and a shelf of usual files, and the lines of a store: "anchor PATH...",
 * "intermediate", "allow", "responder", "crl", "check chain|leaf|off|missing-ok", "partial on",
 * "depth N", "domain NAME...". A path that ends in "/" or "*" is a pattern. */
void shelf_begin(const char *text);
void shelf_configure(const char *text);

/* The same, and loaded. */
void shelf_begin_loaded(const char *text);

/* Put something on the shelf, or something else instead; read what is there. */
void shelf_put(const char *path, mtls_span_t text);
void shelf_put_text(const char *path, const char *text);
void shelf_take_away(const char *path);
mtls_span_t shelf_text(const char *path);

/* Load as the server does, at first and whenever something may have changed. NULL or what is wrong
 * with the load as a whole. */
const char *shelf_load(void);

/* A load that goes well, and is thrown away: a file changed while it was read. */
void shelf_load_in_vain(void);

/* What the last load found wrong with a file (NULL: nothing), and what it warned of (NULL:
 * nothing); how often a file has been read. */
const char *shelf_error(const char *path);
const char *shelf_warnings(void);
int shelf_reads(const char *path);

/* The configuration is read anew, and nothing of it is in force; what a file held when it was kept
 * is its last good version then. */
void shelf_restart(void);
void shelf_keep(const char *path);

/* What is in force. */
mtls_live_t *shelf_live(void);
const mtls_trust_store_t *shelf_store(void);

/* Texts of files. */
mtls_span_t pem_of(X509 *x);
mtls_span_t list_of(const issuer_t *issuer, const char *serial);
mtls_span_t list_between(const issuer_t *issuer, const char *serial, apr_time_t from,
                         apr_time_t to);

/* Verify against what is in force; `sent` may be NULL. */
mtls_chain_result_t shelf_verify(X509 *x);
mtls_chain_result_t shelf_verify_with(X509 *x, X509 *sent, apr_time_t now);
const char *shelf_reason(X509 *x);

/* "leaf: ok, stranger+: revoked_crl": who (pki_t, "-" for "_") and the reason; "+": the issuer is
 * sent, too. */
void assert_verdicts(const char *expected);

#endif
