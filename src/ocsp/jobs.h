/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The books of the queue: certificates, in what state their asking is, who waits for which, and
 * whose turn is next. Everything is bounded, and no issuer takes more than its share. One thread.
 */

#ifndef MTLS_OCSP_JOBS_H
#define MTLS_OCSP_JOBS_H

#include <stddef.h> /* offsetof: without it APR's rings subtract null pointers */

#include <apr_hash.h>
#include <apr_ring.h>

#include "ocsp/ask.h"
#include "policy/limits.h"

typedef struct mtls_jobs_t mtls_jobs_t;
typedef struct mtls_job_issuer_t mtls_job_issuer_t;
typedef struct mtls_waiter_t mtls_waiter_t;

typedef enum mtls_job_state_t {
    MTLS_JOB_IDLE = 0, /* only remembered */
    MTLS_JOB_QUEUED,   /* waits for its turn */
    MTLS_JOB_HELD_OFF, /* somebody else asks for the same certificate */
    MTLS_JOB_RUNNING,  /* it has its turn */
    MTLS_JOB_TAKEN     /* none of these: it is just being looked at */
} mtls_job_state_t;

/* One certificate of one issuer. */
typedef struct mtls_job_t {
    APR_RING_ENTRY(mtls_job_t) link; /* of the list of its state */
    unsigned char id[MTLS_DIGEST_BYTES];
    mtls_job_issuer_t *issuer;
    mtls_job_state_t state;
    APR_RING_HEAD(mtls_job_waiters_t, mtls_waiter_t) waiters;
    int behind; /* queued while nobody waits */

    /* What the queue remembers of its latest round. */
    mtls_answer_t answer; /* its spans are in one block of malloc'd memory, `memory` */
    char *memory;
    apr_size_t memory_bytes;
    mtls_status_t status;       /* the last that was proved */
    apr_time_t looked;          /* when everything was looked at; 0: not worth repeating (ticks) */
    int failures;               /* in a row */
    apr_time_t until;           /* not to be asked for before (ticks) */
    mtls_answer_kind_t failure; /* what is answered until then */
    unsigned char urls[MTLS_DIGEST_BYTES]; /* who was asked then */

    struct mtls_round_t *round; /* NULL when idle */
    apr_time_t due;             /* of one that is held off (ticks) */
} mtls_job_t;

typedef APR_RING_HEAD(mtls_job_ring, mtls_job_t) mtls_job_ring_t;

/* One issuer's part of everything. */
struct mtls_job_issuer_t {
    APR_RING_ENTRY(mtls_job_issuer_t) link; /* of those with queued jobs */
    unsigned char id[MTLS_DIGEST_BYTES];
    unsigned int jobs, waiters;
    unsigned int queued; /* jobs that wait for their turn, held off or not */
    unsigned int running;
    mtls_job_ring_t waited; /* queued, and somebody waits for them */
    mtls_job_ring_t behind; /* queued, and nobody does */
};

struct mtls_waiter_t {
    APR_RING_ENTRY(mtls_waiter_t) link;  /* of the job's, or of those that are free */
    APR_RING_ENTRY(mtls_waiter_t) order; /* of all who wait, the first to come first */
    void *who;
    mtls_job_t *job;
};

struct mtls_jobs_t {
    apr_hash_t *by_id, *issuers;
    unsigned int count, queued, running, waiting;
    apr_size_t remembered;                                      /* bytes */
    mtls_job_ring_t idle;                                       /* used longest ago first */
    mtls_job_ring_t held_off;                                   /* in the order of `due` */
    mtls_job_ring_t active;                                     /* running */
    APR_RING_HEAD(mtls_issuer_ring_t, mtls_job_issuer_t) turns; /* issuers with queued jobs */
    APR_RING_HEAD(mtls_waiter_ring_t, mtls_waiter_t) order;
    struct mtls_job_waiters_t free;
    mtls_waiter_t places[MTLS_MAX_OCSP_WAITERS];
};

mtls_jobs_t *mtls_jobs_make(apr_pool_t *p);

/* The job of an ask, a new one if need be (then an idle one may have been forgotten for it). NULL:
 * there is no room. */
mtls_job_t *mtls_jobs_get(mtls_jobs_t *jobs, const mtls_ask_t *ask);

/* Copy what the answer holds, for a job that is not idle; 0: out of memory, then nothing of it is
 * remembered. */
int mtls_jobs_remember(mtls_jobs_t *jobs, mtls_job_t *job, const mtls_answer_t *answer);

#endif
