/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/turns.h"

/* ---- states ---- */

static int has_turns(const mtls_job_issuer_t *issuer)
{
    return !APR_RING_EMPTY(&issuer->waited, mtls_job_t, link) ||
           !APR_RING_EMPTY(&issuer->behind, mtls_job_t, link);
}

static void enter_turns(mtls_jobs_t *jobs, mtls_job_t *job)
{
    mtls_job_issuer_t *issuer = job->issuer;

    if (!has_turns(issuer))
        APR_RING_INSERT_TAIL(&jobs->turns, issuer, mtls_job_issuer_t, link);
    job->behind = APR_RING_EMPTY(&job->waiters, mtls_waiter_t, link);
    if (job->behind)
        APR_RING_INSERT_TAIL(&issuer->behind, job, mtls_job_t, link);
    else
        APR_RING_INSERT_TAIL(&issuer->waited, job, mtls_job_t, link);
}

static void leave_turns(mtls_job_t *job)
{
    APR_RING_REMOVE(job, link);
    if (!has_turns(job->issuer))
        APR_RING_REMOVE(job->issuer, link);
}

static void leave(mtls_jobs_t *jobs, mtls_job_t *job)
{
    switch (job->state) {
    case MTLS_JOB_QUEUED:
        leave_turns(job);
        jobs->queued--;
        job->issuer->queued--;
        break;
    case MTLS_JOB_HELD_OFF:
        APR_RING_REMOVE(job, link);
        jobs->queued--;
        job->issuer->queued--;
        break;
    case MTLS_JOB_RUNNING:
        APR_RING_REMOVE(job, link);
        jobs->running--;
        job->issuer->running--;
        break;
    default:
        APR_RING_REMOVE(job, link);
        break;
    }
}

static void enter(mtls_jobs_t *jobs, mtls_job_t *job, mtls_job_state_t state, mtls_job_ring_t *ring)
{
    leave(jobs, job);
    job->state = state;
    APR_RING_INSERT_TAIL(ring, job, mtls_job_t, link);
}

void mtls_turns_take(mtls_jobs_t *jobs, mtls_job_t *job)
{
    enter(jobs, job, MTLS_JOB_TAKEN, &jobs->active);
}

void mtls_turns_idle(mtls_jobs_t *jobs, mtls_job_t *job)
{
    enter(jobs, job, MTLS_JOB_IDLE, &jobs->idle);
}

void mtls_turns_hold_off(mtls_jobs_t *jobs, mtls_job_t *job, apr_time_t due)
{
    enter(jobs, job, MTLS_JOB_HELD_OFF, &jobs->held_off);
    job->due = due;
    jobs->queued++;
    job->issuer->queued++;
}

void mtls_turns_queue(mtls_jobs_t *jobs, mtls_job_t *job)
{
    leave(jobs, job);
    job->state = MTLS_JOB_QUEUED;
    enter_turns(jobs, job);
    jobs->queued++;
    job->issuer->queued++;
}

mtls_job_t *mtls_turns_held_off(const mtls_jobs_t *jobs)
{
    return APR_RING_EMPTY(&jobs->held_off, mtls_job_t, link) ? NULL
                                                             : APR_RING_FIRST(&jobs->held_off);
}

/* ---- whose turn it is ---- */

/* The newest of some issuer's queued jobs that nobody waits for. There are as many places to wait
 * as the queue is long: who is to be displaced for fairness was displaced there, and his job is one
 * of these then. */
static mtls_job_t *queue_victim(const mtls_jobs_t *jobs)
{
    mtls_job_issuer_t *at;

    APR_RING_FOREACH(at, &jobs->turns, mtls_job_issuer_t, link)
    {
        if (!APR_RING_EMPTY(&at->behind, mtls_job_t, link))
            return APR_RING_LAST(&at->behind);
    }
    return NULL;
}

int mtls_turns_has_room(mtls_jobs_t *jobs, const mtls_job_t *job, mtls_job_t **victim)
{
    *victim = NULL;
    if (APR_RING_EMPTY(&job->waiters, mtls_waiter_t, link))
        return jobs->queued < MTLS_MAX_OCSP_BEHIND;
    if (jobs->queued < MTLS_MAX_OCSP_QUEUED)
        return 1;
    *victim = queue_victim(jobs);
    return 0;
}

/* The next issuer that may have one more exchange and has a job somebody waits for, or else any. */
static mtls_job_issuer_t *next_issuer(const mtls_jobs_t *jobs, int waited)
{
    int alone = APR_RING_FIRST(&jobs->turns) == APR_RING_LAST(&jobs->turns);
    unsigned int most = alone ? MTLS_OCSP_FETCHES_OF_ONE : MTLS_OCSP_FETCHES_WITH_MORE;
    mtls_job_issuer_t *at;

    APR_RING_FOREACH(at, &jobs->turns, mtls_job_issuer_t, link)
    {
        if (at->running < most && (!waited || !APR_RING_EMPTY(&at->waited, mtls_job_t, link)))
            return at;
    }
    return NULL;
}

mtls_job_t *mtls_turns_next(mtls_jobs_t *jobs)
{
    mtls_job_issuer_t *issuer;
    mtls_job_t *job;

    if (jobs->running >= MTLS_MAX_OCSP_FETCHES)
        return NULL;
    if ((issuer = next_issuer(jobs, 1)) == NULL && (issuer = next_issuer(jobs, 0)) == NULL)
        return NULL;
    APR_RING_REMOVE(issuer, link);
    APR_RING_INSERT_TAIL(&jobs->turns, issuer, mtls_job_issuer_t, link);
    job = APR_RING_EMPTY(&issuer->waited, mtls_job_t, link) ? APR_RING_FIRST(&issuer->behind)
                                                            : APR_RING_FIRST(&issuer->waited);
    enter(jobs, job, MTLS_JOB_RUNNING, &jobs->active);
    jobs->running++;
    issuer->running++;
    return job;
}

/* ---- who waits ---- */

static void *release(mtls_jobs_t *jobs, mtls_waiter_t *waiter)
{
    APR_RING_REMOVE(waiter, link);
    APR_RING_REMOVE(waiter, order);
    APR_RING_INSERT_TAIL(&jobs->free, waiter, mtls_waiter_t, link);
    jobs->waiting--;
    waiter->job->issuer->waiters--;
    waiter->job = NULL;
    return waiter->who;
}

/* A queued job has got or lost those who wait for it: it goes into the other list of its issuer. */
static void move_turn(mtls_jobs_t *jobs, mtls_job_t *job)
{
    if (job->state != MTLS_JOB_QUEUED ||
        job->behind == APR_RING_EMPTY(&job->waiters, mtls_waiter_t, link))
        return;
    leave_turns(job);
    enter_turns(jobs, job);
}

/* The last to come of an issuer for which more than half of all wait. */
static mtls_waiter_t *waiting_victim(const mtls_jobs_t *jobs, const mtls_job_issuer_t *newcomer)
{
    mtls_waiter_t *at;

    for (at = APR_RING_LAST(&jobs->order);
         at != APR_RING_SENTINEL(&jobs->order, mtls_waiter_t, order);
         at = APR_RING_PREV(at, order)) {
        if (at->job->issuer != newcomer && at->job->issuer->waiters > MTLS_MAX_OCSP_WAITERS / 2)
            return at;
    }
    return NULL;
}

int mtls_turns_wait(mtls_jobs_t *jobs, mtls_job_t *job, void *who, void **victim)
{
    mtls_waiter_t *waiter;

    *victim = NULL;
    if (jobs->waiting >= MTLS_MAX_OCSP_WAITERS) {
        mtls_job_t *of;
        if ((waiter = waiting_victim(jobs, job->issuer)) == NULL)
            return 0;
        of = waiter->job;
        *victim = release(jobs, waiter);
        move_turn(jobs, of);
    }
    waiter = APR_RING_FIRST(&jobs->free);
    APR_RING_REMOVE(waiter, link);
    waiter->who = who;
    waiter->job = job;
    APR_RING_INSERT_TAIL(&job->waiters, waiter, mtls_waiter_t, link);
    APR_RING_INSERT_TAIL(&jobs->order, waiter, mtls_waiter_t, order);
    jobs->waiting++;
    job->issuer->waiters++;
    move_turn(jobs, job);
    return 1;
}

void *mtls_turns_answered(mtls_jobs_t *jobs, mtls_job_t *job)
{
    if (APR_RING_EMPTY(&job->waiters, mtls_waiter_t, link))
        return NULL;
    return release(jobs, APR_RING_FIRST(&job->waiters));
}

void mtls_turns_forget(mtls_jobs_t *jobs, void *who)
{
    mtls_waiter_t *at;

    APR_RING_FOREACH(at, &jobs->order, mtls_waiter_t, order)
    {
        if (at->who == who) {
            mtls_job_t *job = at->job;
            release(jobs, at);
            move_turn(jobs, job);
            return;
        }
    }
}
