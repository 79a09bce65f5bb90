/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* How a round of the queue ends: what is left in the cache, what is remembered, who is answered.
 * The job is idle then, its round is gone. One thread. */

#ifndef MTLS_OCSP_ENDING_H
#define MTLS_OCSP_ENDING_H

#include "ocsp/jobs.h"
#include "ocsp/round.h"

/* How long what was found out a moment ago is said again without another look. */
#define REPEAT_FOR apr_time_from_msec(250)

struct mtls_queue_t {
    const mtls_queue_env_t *env;
    apr_pool_t *p;
    mtls_jobs_t *jobs;
    mtls_round_env_t rounds;
    unsigned char who[MTLS_OCSP_CLAIMANT_BYTES];
    int working;                        /* something below mtls_queue_...() goes through `landed` */
    mtls_round_t *landed, **landed_end; /* whose exchanges have ended, in that order */
};

/* Answer those who wait for the job. */
void mtls_ending_answer(mtls_queue_t *queue, mtls_job_t *job, const mtls_answer_t *answer);

/* Without having looked for something newer; and having done that as far as it could be. */
void mtls_ending_leave(mtls_queue_t *queue, mtls_job_t *job, mtls_answer_kind_t kind);
void mtls_ending_checked(mtls_queue_t *queue, mtls_job_t *job, mtls_answer_kind_t kind);

/* An exchange has brought something. */
void mtls_ending_good(mtls_queue_t *queue, mtls_job_t *job);

/* None has, and nobody is left to ask: this certificate is left alone for a while. */
void mtls_ending_failed(mtls_queue_t *queue, mtls_job_t *job);

/* There is none that may be asked: what the folder holds is as new as it gets. */
void mtls_ending_unasked(mtls_queue_t *queue, mtls_job_t *job);

/* All responders are to be left alone for a while: no failure of this certificate's. */
void mtls_ending_later(mtls_queue_t *queue, mtls_job_t *job);

#endif
