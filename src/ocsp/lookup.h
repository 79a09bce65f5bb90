/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The status of a certificate as a child sees it: out of the shared cache, proved, and whether it
 * is time to ask. Nothing here waits or talks to a responder. Any thread. */

#ifndef MTLS_OCSP_LOOKUP_H
#define MTLS_OCSP_LOOKUP_H

#include "ocsp/record.h"
#include "pki/ocsp_message.h"

/* Responses proved already, for all threads of a process, or for all processes of a server: what
 * one of them has proved the others need not. Bounded. What failed is not remembered: it takes no place
 * from what did not. */
typedef struct mtls_proofs_t mtls_proofs_t;

/* How much memory processes that share them need, and its beginning, before they are forked. It is
 * as trustworthy as they are: none but the server's own may write there. 0: OpenSSL could not. */
apr_size_t mtls_proofs_bytes(void);
int mtls_proofs_begin(void *memory);

/* Lives in `p`; `memory` NULL: of this process alone. NULL: out of memory. */
mtls_proofs_t *mtls_proofs_make(apr_pool_t *p, void *memory);

/* mtls_ocsp_prove() for a response out of a cache, or what it said before of the same response,
 * serial, issuer and responders. 1: it is proved; 0: it is not, and `proof` is zeroes. Without
 * `proofs` (NULL) everything is proved anew. */
int mtls_proofs_ask(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                    apr_time_t now, mtls_ocsp_proof_t *proof);

/* What a record is judged by. */
typedef struct mtls_lookup_terms_t {
    apr_time_t now;
    mtls_ocsp_limits_t limits;
    apr_interval_time_t stale; /* MTLSOCSPStale */
    apr_time_t recheck_from;   /* records that were looked for before are due; 0: none */
    int asked; /* a newer one was just asked for and could not be had: nothing is due, and a good
                  one may serve past its end */
} mtls_lookup_terms_t;

/* What to do about a status. */
typedef enum mtls_lookup_due_t {
    MTLS_DUE_NOT = 0,
    MTLS_DUE_BEHIND, /* ask for a newer one while this one serves */
    MTLS_DUE_WAIT    /* nothing serves, or nobody has looked for too long: worth waiting for */
} mtls_lookup_due_t;

typedef struct mtls_lookup_t {
    mtls_status_t status; /* what counts if nothing newer can be had: UNAVAILABLE, GOOD, REVOKED or
                             UNKNOWN */
    mtls_lookup_due_t due;
    apr_time_t valid_until; /* ask the cache again then; always after `now` */
} mtls_lookup_t;

/* Judge a record (NULL: there is none). A revocation counts until a newer good is proved, however
 * old it is, and is never worth waiting for: a denial can be given at once. */
void mtls_lookup_judge(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject,
                       const mtls_ocsp_record_t *record, const mtls_lookup_terms_t *terms,
                       mtls_lookup_t *lookup);

/* When a newer response is to be asked for: half of the life it had when it was fetched, or
 * MTLSOCSPMaxAge after that, whichever is first; for UNKNOWN after a minute at most. Where the time
 * of fetching is not known, or lies ahead of `now`, the response's thisUpdate stands for it. */
apr_time_t mtls_lookup_renew_at(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                                const mtls_ocsp_limits_t *limits, apr_time_t now);

#endif
