/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/ending.h"

#include "ocsp/asking.h"
#include "ocsp/backoff.h"
#include "ocsp/turns.h"

/* How long failures of one certificate are remembered, at most. */
#define LONGEST       apr_time_from_sec(60)
#define MOST_FAILURES 1000 /* that are counted */

static apr_time_t ticks(const mtls_queue_t *queue)
{
    return queue->rounds.ticks();
}

void mtls_ending_answer(mtls_queue_t *queue, mtls_job_t *job, const mtls_answer_t *answer)
{
    void *waiter;

    while ((waiter = mtls_turns_answered(queue->jobs, job)) != NULL)
        queue->env->answer(queue->env->baton, waiter, answer);
}

/* The same ask gets the same answer for so long, whatever else is asked about the certificate. */
static void leave_alone(const mtls_queue_t *queue, mtls_job_t *job, mtls_answer_kind_t kind,
                        apr_interval_time_t delay)
{
    job->until = ticks(queue) + delay;
    job->failure = kind;
    memcpy(job->urls, job->round->urls, sizeof(job->urls));
}

void mtls_ending_leave(mtls_queue_t *queue, mtls_job_t *job, mtls_answer_kind_t kind)
{
    mtls_round_t *round = job->round;
    mtls_answer_t answer = {.kind = kind};

    job->status = mtls_round_settle(round, job->status);
    if (round->claimed)
        mtls_ocsp_record_release(queue->env->store, round->ask.key);
    answer.record = mtls_held_record(&round->held);
    if (job->state != MTLS_JOB_TAKEN)
        mtls_turns_take(queue->jobs, job);
    if (mtls_jobs_remember(queue->jobs, job, &answer) && kind != MTLS_ANSWER_BUSY)
        job->looked = ticks(queue);
    job->round = NULL;
    mtls_turns_idle(queue->jobs, job);
    mtls_ending_answer(queue, job, &answer);
    mtls_round_end(round);
}

/* Something newer was looked for as far as it could be. */
void mtls_ending_checked(mtls_queue_t *queue, mtls_job_t *job, mtls_answer_kind_t kind)
{
    mtls_round_t *round = job->round;

    round->held.checked_at = queue->env->now();
    mtls_ending_leave(queue, job, kind);
}

void mtls_ending_good(mtls_queue_t *queue, mtls_job_t *job)
{
    job->failures = 0;
    job->until = 0;
    mtls_ending_checked(queue, job, MTLS_ANSWER_STATUS);
}

/* There is none that may be asked: what the folder holds is as new as it gets. */
void mtls_ending_unasked(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_round_t *round = job->round;

    if (round->from_folder)
        round->held.fetched_at = queue->env->now();
    mtls_ending_checked(queue, job,
                        mtls_round_is_fresh(round) ? MTLS_ANSWER_STATUS : MTLS_ANSWER_NO_RESPONDER);
}

/* All responders are to be left alone for a while: no failure of this certificate's. */
void mtls_ending_later(mtls_queue_t *queue, mtls_job_t *job)
{
    leave_alone(queue, job, MTLS_ANSWER_FAILED, REPEAT_FOR);
    mtls_ending_checked(queue, job, MTLS_ANSWER_FAILED);
}

/* Nobody is left to ask. */
void mtls_ending_failed(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_asking_t result = mtls_asking_result(job->round);
    mtls_answer_kind_t kind = MTLS_ANSWER_FAILED;

    if (result == MTLS_ASKING_LATER) {
        mtls_ending_later(queue, job);
        return;
    }
    if (result == MTLS_ASKING_NOBODY)
        kind = MTLS_ANSWER_NO_RESPONDER;
    if (job->failures < MOST_FAILURES)
        job->failures++;
    leave_alone(queue, job, kind, mtls_backoff(job->failures, LONGEST));
    if (kind == MTLS_ANSWER_NO_RESPONDER)
        mtls_ending_unasked(queue, job);
    else
        mtls_ending_checked(queue, job, kind);
}
