/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Whose turn is next, and who waits for whom. Bounded, and no issuer takes more than its share as
 * long as others want theirs. One thread. */

#ifndef MTLS_OCSP_TURNS_H
#define MTLS_OCSP_TURNS_H

#include "ocsp/jobs.h"

/* Whether one more may wait for its turn. 0: not before `*victim` has given way (it is to be made
 * idle), or not at all where that is NULL. */
int mtls_turns_has_room(mtls_jobs_t *jobs, const mtls_job_t *job, mtls_job_t **victim);

/* Put a job into another state. */
void mtls_turns_take(mtls_jobs_t *jobs, mtls_job_t *job);
void mtls_turns_idle(mtls_jobs_t *jobs, mtls_job_t *job);
void mtls_turns_queue(mtls_jobs_t *jobs, mtls_job_t *job);
void mtls_turns_hold_off(mtls_jobs_t *jobs, mtls_job_t *job, apr_time_t due);

/* The one whose turn it is, now running; it is the caller's to put it elsewhere. NULL: none. */
mtls_job_t *mtls_turns_next(mtls_jobs_t *jobs);

/* The one that has been held off longest; NULL: none. */
mtls_job_t *mtls_turns_held_off(const mtls_jobs_t *jobs);

/* Somebody waits. 0: too many do. `*victim`, who is no more in the books, has to be told so when it
 * is not NULL: he gave way to an issuer of which fewer wait. */
int mtls_turns_wait(mtls_jobs_t *jobs, mtls_job_t *job, void *waiter, void **victim);

/* One of those who wait for the job, who is no more in the books then; NULL: none. */
void *mtls_turns_answered(mtls_jobs_t *jobs, mtls_job_t *job);

void mtls_turns_forget(mtls_jobs_t *jobs, void *waiter);

#endif
