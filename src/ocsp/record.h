/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What the shared cache holds of a certificate's status. The first record has mod_ssl's stapling
 * cache's own key and layout, so that either finds what the other has stored: SHA-1 of the
 * certificate's DER; a flag byte (1: it was good when it was stored), then the OCSPResponse. What
 * else is to be known lies beside it under a key of its own. Nothing read here is believed: whoever
 * uses a response proves it first. Any thread. */

#ifndef MTLS_OCSP_RECORD_H
#define MTLS_OCSP_RECORD_H

#include <apr_pools.h>

#include "pki/store.h"

#define MTLS_OCSP_KEY_BYTES 20 /* SHA-1 */

typedef struct mtls_ocsp_record_t {
    mtls_span_t response;   /* OCSPResponse; empty: none */
    mtls_span_t revocation; /* the latest one that proves a revocation, kept where mod_ssl cannot
                               write over it; empty: none */
    apr_time_t fetched_at;  /* of `response`; 0: not known, mod_ssl has stored it */
    apr_time_t checked_at;  /* when a newer one was last looked for, found or not; 0: never */
} mtls_ocsp_record_t;

/* 1, and a record in `p`; 0: there is nothing. A part that makes no sense is as good as none. */
int mtls_ocsp_record_get(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                         mtls_ocsp_record_t *record);

/* 0: the cache did not take it, or not as a whole. An empty `response` leaves the one that lies
 * there; an empty `revocation` means that there is none any more. */
int mtls_ocsp_record_put(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                         const mtls_ocsp_record_t *record, apr_time_t expires);

#define MTLS_OCSP_CLAIMANT_BYTES 16

/* "Somebody is asking for this one": processes and gateways that share the cache hold off until it
 * expires. Advisory: two may claim at once. `who` is MTLS_OCSP_CLAIMANT_BYTES that name the
 * claimant. 0: somebody else has claimed it; a cache that takes nothing holds nobody off. */
int mtls_ocsp_record_claim(const mtls_store_t *store, const unsigned char *key,
                           const unsigned char *who, apr_time_t expires);
int mtls_ocsp_record_claimed_by_other(const mtls_store_t *store, const unsigned char *key,
                                      const unsigned char *who);
void mtls_ocsp_record_release(const mtls_store_t *store, const unsigned char *key);

#endif
