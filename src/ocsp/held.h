/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The best of several responses about one certificate, all of them proved: nothing is believed over
 * something newer, and a revocation holds until a newer good is proved. Any thread. */

#ifndef MTLS_OCSP_HELD_H
#define MTLS_OCSP_HELD_H

#include "ocsp/record.h"
#include "pki/ocsp_message.h"

/* Zeroed: nothing is held. The spans are whoever's who added them. */
typedef struct mtls_held_t {
    mtls_span_t response; /* the newest; empty: none */
    mtls_ocsp_proof_t proof;
    apr_time_t fetched_at;  /* 0: not known */
    apr_time_t checked_at;  /* when a newer one was last looked for; 0: not known */
    mtls_span_t revocation; /* the newest that revokes */
    mtls_ocsp_proof_t revoked;
    mtls_ocsp_proof_t good; /* of the newest that is good */
} mtls_held_t;

/* One response more, and what it has proved. */
void mtls_held_add(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof,
                   apr_time_t fetched_at);

/* One that was fetched just now, and is not older than what is held: it takes its place. */
void mtls_held_renew(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof,
                     apr_time_t now);

/* What all of them together say; MTLS_STATUS_UNAVAILABLE: nothing. */
mtls_status_t mtls_held_status(const mtls_held_t *held);

/* For the cache and for those who ask. */
mtls_ocsp_record_t mtls_held_record(const mtls_held_t *held);

/* The bytes into `p`, out of pools that do not last. */
void mtls_held_keep(mtls_held_t *held, apr_pool_t *p);

#endif
