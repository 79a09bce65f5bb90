/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* One time that the queue takes care of a certificate: what is known of it already, and what is
 * left behind for others when it is over. The exchanges are ocsp/asking. One thread. */

#ifndef MTLS_OCSP_ROUND_H
#define MTLS_OCSP_ROUND_H

#include "ocsp/ask.h"
#include "ocsp/held.h"
#include "ocsp/lookup.h"
#include "ocsp/queue.h"
#include "ocsp/responders.h"
#include "ocsp/revocations.h"

/* What all rounds of a queue share. */
typedef struct mtls_round_env_t {
    const mtls_queue_env_t *env;
    apr_time_t (*ticks)(void);
    mtls_proofs_t *proofs; /* NULL: everything is proved anew */
    mtls_responders_t *responders;
    mtls_revocations_t *revocations; /* NULL: none are kept */
    apr_pool_t *scratch;             /* cleared at each look */
} mtls_round_env_t;

typedef struct mtls_round_t {
    const mtls_round_env_t *env;
    apr_pool_t *p;       /* of the round, with everything below */
    mtls_queue_t *queue; /* the queue's own: this and the next two */
    struct mtls_job_t *job;
    struct mtls_round_t *next; /* whose exchange ended after this one's */
    mtls_ask_t ask;
    mtls_ocsp_subject_t subject;
    unsigned char urls[MTLS_DIGEST_BYTES]; /* who is to be asked */
    const char *issuer;                    /* a name for it, of hex digits */

    mtls_held_t held;
    mtls_status_t before;      /* what the cache alone said */
    mtls_ocsp_record_t cached; /* its times only */
    int cache_is_right;        /* it has the bytes of what is held */
    int from_folder;           /* it stands in MTLSOCSPResponses now */
    int file_is_right;         /* as has the file */
    int file_counts;           /* it has proved a revocation of this certificate */
    mtls_span_t file;

    int claimed;           /* others who share the cache are told to hold off */
    int claim_over;        /* nobody else's claim is looked at any more */
    apr_time_t hold_until; /* how long to hold off for somebody else (ticks) */

    /* The exchanges. */
    apr_time_t deadline; /* of all together (ticks) */
    int url;             /* which one is its turn */
    int tried;           /* CertIDs it was asked with: bits of mtls_ocsp_hash_t */
    mtls_ocsp_hash_t hash;
    mtls_ocsp_request_t request;
    mtls_responder_t *responder;
    apr_time_t begun; /* ticks */
    mtls_fetch_t fetch;
    mtls_span_t unknown; /* a responder has proved, for SHA-1, that it knows nothing */
    mtls_ocsp_proof_t unknown_proof;
    int contacted, forbidden, left_alone; /* URLs */

    /* How the latest one ended. */
    mtls_fetch_outcome_t outcome;
    mtls_span_t body;
    const char *error;
} mtls_round_t;

/* In a pool of its own, a child of `p`; mtls_round_end() or `p` ends it. The ask is copied. NULL:
 * it is not about certificates. */
mtls_round_t *mtls_round_make(apr_pool_t *p, const mtls_round_env_t *env, const mtls_ask_t *ask);
void mtls_round_end(mtls_round_t *round);

/* Whom an ask would have asked, as SHA-256 in `digest`. */
void mtls_round_urls(const mtls_ask_t *ask, unsigned char *digest);

/* Look at everything there is: what was remembered, the cache, the folders, what the ask brought.
 */
void mtls_round_look(mtls_round_t *round, const mtls_ocsp_record_t *remembered);

/* One that came for the same certificate while the round goes on. Copied where it is news. */
void mtls_round_offer(mtls_round_t *round, mtls_span_t der);

/* Whether what is held is fresh; and not even due for renewal. */
int mtls_round_is_fresh(const mtls_round_t *round);
int mtls_round_is_served(const mtls_round_t *round);

/* It has been looked for something newer: leave what is held where others find it. `known` is the
 * status that was last told; the one that is held is returned, `changed` is called where they
 * differ. */
mtls_status_t mtls_round_settle(mtls_round_t *round, mtls_status_t known);

/* A line of the log: whatever is not printable ASCII becomes "?", what is too long is cut. */
void mtls_round_log(const mtls_round_t *round, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
