/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/courier.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* One look-up takes less than a millisecond. */
#define MOST_THREADS 4
/* What the end of a process may take for threads that are held up. */
#define END_WITHIN apr_time_from_msec(200)

enum { QUEUED = 0, RUNNING, DONE, LEFT };

struct mtls_courier_t {
    pthread_mutex_t lock;
    pthread_condattr_t monotonic;
    pthread_cond_t wake, ended; /* there is a job, or the end; a thread has gone */
    mtls_errand_t *first, **last;
    int queued, idle, threads, stop;
    apr_time_t last_done; /* by the monotonic clock */
    pid_t pid;
};

/* Wall clocks jump. */
static apr_time_t monotonic_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

static struct timespec timespec_of(apr_time_t at)
{
    struct timespec t = {.tv_sec = (time_t)apr_time_sec(at),
                         .tv_nsec = (long)apr_time_usec(at) * 1000};

    return t;
}

/* ---- a thread ---- */

static mtls_errand_t *take(mtls_courier_t *courier)
{
    mtls_errand_t *job = courier->first;

    courier->first = job->next;
    if (!courier->first)
        courier->last = &courier->first;
    courier->queued--;
    job->state = RUNNING;
    return job;
}

static void drop(mtls_errand_t *job)
{
    pthread_cond_destroy(&job->done);
    free(job);
}

static void *run_jobs(void *courier_)
{
    mtls_courier_t *courier = courier_;
    mtls_errand_t *job;

    pthread_mutex_lock(&courier->lock);
    while (!courier->stop) {
        if (!courier->first) {
            courier->idle++;
            pthread_cond_wait(&courier->wake, &courier->lock);
            courier->idle--;
            continue;
        }
        job = take(courier);
        pthread_mutex_unlock(&courier->lock);
        job->work(job);
        pthread_mutex_lock(&courier->lock);
        courier->last_done = monotonic_now();
        if (job->state == LEFT)
            drop(job);
        else {
            job->state = DONE;
            pthread_cond_signal(&job->done);
        }
    }
    courier->threads--;
    pthread_cond_signal(&courier->ended);
    pthread_mutex_unlock(&courier->lock);
    return NULL;
}

/* Signals are for the MPM's own threads: prefork leaves a child from inside a handler. */
static int add_thread(mtls_courier_t *courier)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    int made = 0;

    sigfillset(&all);
    if (pthread_attr_init(&detached) != 0)
        return 0;
    if (pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0 &&
        pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
        made = pthread_create(&thread, &detached, run_jobs, courier) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&detached);
    courier->threads += made;
    return made;
}

/* ---- whoever wants something done ---- */

static void enqueue(mtls_courier_t *courier, mtls_errand_t *job)
{
    job->state = QUEUED;
    job->next = NULL;
    *courier->last = job;
    courier->last = &job->next;
    courier->queued++;
}

static void unlink_job(mtls_courier_t *courier, mtls_errand_t *job)
{
    mtls_errand_t **at = &courier->first;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (!*at)
        courier->last = at;
    courier->queued--;
}

/* Whether all threads are held up: then waiting is in vain. */
static int is_stuck(const mtls_courier_t *courier, apr_interval_time_t within)
{
    return courier->stop || (courier->threads == MOST_THREADS && !courier->idle &&
                             monotonic_now() - courier->last_done > within);
}

static int wait_for(mtls_courier_t *courier, mtls_errand_t *job, apr_interval_time_t within)
{
    struct timespec until = timespec_of(monotonic_now() + within);
    int rc = 0;

    while (job->state != DONE && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&job->done, &courier->lock, &until);
    if (job->state == DONE)
        return 1;
    if (job->state == RUNNING) {
        job->state = LEFT;
        return 0;
    }
    unlink_job(courier, job);
    drop(job);
    return 0;
}

int mtls_courier_run(mtls_courier_t *courier, mtls_errand_t *job, apr_interval_time_t within)
{
    int done = 0;

    if (pthread_cond_init(&job->done, &courier->monotonic) != 0) {
        free(job);
        return 0;
    }
    pthread_mutex_lock(&courier->lock);
    if (is_stuck(courier, within)) {
        drop(job);
    } else {
        enqueue(courier, job);
        if (courier->queued > courier->idle && courier->threads < MOST_THREADS)
            (void)add_thread(courier); /* else one that is there comes to it, or time runs out */
        pthread_cond_signal(&courier->wake);
        done = wait_for(courier, job, within);
    }
    pthread_mutex_unlock(&courier->lock);
    if (done)
        pthread_cond_destroy(&job->done);
    return done;
}

/* ---- begin and end ---- */

/* prefork may come here out of a signal handler, in the middle of mtls_courier_run(): nothing here
 * may wait for long. */
static apr_status_t end(void *courier_)
{
    mtls_courier_t *courier = courier_;
    struct timespec until = timespec_of(monotonic_now() + END_WITHIN);
    struct timespec wall = timespec_of(apr_time_now() + END_WITHIN);
    int rc = 0, left;

    if (courier->pid != getpid())
        return APR_SUCCESS;
    if (pthread_mutex_timedlock(&courier->lock, &wall) != 0)
        return APR_SUCCESS;
    courier->stop = 1;
    pthread_cond_broadcast(&courier->wake);
    while (courier->threads && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&courier->ended, &courier->lock, &until);
    left = courier->threads;
    pthread_mutex_unlock(&courier->lock);
    if (left)
        return APR_SUCCESS; /* they may yet come back for it */
    pthread_cond_destroy(&courier->wake);
    pthread_cond_destroy(&courier->ended);
    pthread_condattr_destroy(&courier->monotonic);
    pthread_mutex_destroy(&courier->lock);
    free(courier);
    return APR_SUCCESS;
}

mtls_courier_t *mtls_courier_make(apr_pool_t *p)
{
    mtls_courier_t *courier = calloc(1, sizeof(*courier));

    if (!courier)
        return NULL;
    if (pthread_condattr_init(&courier->monotonic) != 0 ||
        pthread_condattr_setclock(&courier->monotonic, CLOCK_MONOTONIC) != 0 ||
        pthread_mutex_init(&courier->lock, NULL) != 0 ||
        pthread_cond_init(&courier->wake, &courier->monotonic) != 0 ||
        pthread_cond_init(&courier->ended, &courier->monotonic) != 0) {
        free(courier);
        return NULL;
    }
    courier->last = &courier->first;
    courier->last_done = monotonic_now();
    courier->pid = getpid();
    /* Before anything in the pool ends, also in pools below it. */
    apr_pool_pre_cleanup_register(p, courier, end);
    return courier;
}
