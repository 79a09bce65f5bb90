/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* httpd/courier: what is done in time, what is left, and what is left of that. */

#include "suite.h"

#include <stdlib.h>

#include <apr_thread_proc.h>

#include "httpd/courier.h"

#define MSEC         apr_time_from_msec(1)
#define PATIENCE     apr_time_from_sec(20)
#define MOST_THREADS 4

/* ---- a gate, behind which jobs are held up ---- */

typedef struct gate_t {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int open;
    int inside; /* jobs that wait at it */
    int through;
} gate_t;

static gate_t gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1, 0, 0};

static void gate_set(int open)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_await(const int *counter, int n)
{
    pthread_mutex_lock(&gate.lock);
    while (*counter != n)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static int gate_inside(void)
{
    int n;

    pthread_mutex_lock(&gate.lock);
    n = gate.inside;
    pthread_mutex_unlock(&gate.lock);
    return n;
}

/* ---- jobs ---- */

typedef struct task_t {
    mtls_errand_t job;
    int held; /* at the gate */
    int in, out;
} task_t;

static void work(mtls_errand_t *job)
{
    task_t *task = (task_t *)job;

    pthread_mutex_lock(&gate.lock);
    if (task->held) {
        gate.inside++;
        pthread_cond_broadcast(&gate.changed);
        while (!gate.open)
            pthread_cond_wait(&gate.changed, &gate.lock);
        gate.inside--;
    }
    task->out = task->in + 1;
    gate.through++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* What came of it; -1: it was not done in time. */
static int run(mtls_courier_t *courier, int in, int held, apr_interval_time_t within)
{
    task_t *task = calloc(1, sizeof(*task));
    int out;

    assert_non_null(task);
    task->job.work = work;
    task->in = in;
    task->held = held;
    if (!mtls_courier_run(courier, &task->job, within))
        return -1;
    out = task->out;
    free(task);
    return out;
}

/* At least n threads. On a busy machine a job may be taken out of the queue before one comes to it,
 * or come to the gate after it was left. */
static void hold_up(mtls_courier_t *courier, int n)
{
    gate_set(0);
    while (gate_inside() < n)
        assert_int_equal(run(courier, 1, 1, 20 * MSEC), -1);
}

static mtls_courier_t *begin(apr_pool_t **p)
{
    mtls_courier_t *courier;

    assert_int_equal(apr_pool_create(p, pool), APR_SUCCESS);
    courier = mtls_courier_make(*p);
    assert_non_null(courier);
    gate.open = 1;
    gate.inside = gate.through = 0;
    return courier;
}

static void jobs_are_done(void **state)
{
    apr_pool_t *p;
    mtls_courier_t *courier = begin(&p);
    int i;

    (void)state;
    for (i = 0; i < 1000; i++)
        assert_int_equal(run(courier, i, 0, PATIENCE), i + 1);
    apr_pool_destroy(p);
}

static void a_courier_without_jobs_ends(void **state)
{
    apr_pool_t *p;

    (void)state;
    (void)begin(&p);
    apr_pool_destroy(p);
}

static void a_job_that_is_held_up_is_left(void **state)
{
    apr_pool_t *p;
    mtls_courier_t *courier = begin(&p);

    (void)state;
    hold_up(courier, 1);
    assert_int_equal(run(courier, 2, 0, PATIENCE), 3); /* another thread does this one */
    gate_set(1);
    gate_await(&gate.inside, 0);
    assert_int_equal(run(courier, 3, 1, PATIENCE), 4);
    apr_pool_destroy(p);
}

/* Nobody waits for threads that have been held up for as long as one would wait. */
static void with_all_threads_held_up_nobody_waits(void **state)
{
    apr_pool_t *p;
    mtls_courier_t *courier = begin(&p);
    apr_time_t begun;
    int i;

    (void)state;
    hold_up(courier, MOST_THREADS);
    assert_int_equal(run(courier, 1, 0, 20 * MSEC), -1); /* still in the queue, and taken out */
    begun = apr_time_now();
    for (i = 0; i < 1000; i++)
        assert_int_equal(run(courier, 1, 0, 30 * MSEC), -1);
    assert_true(apr_time_now() - begun < 1000 * 30 * MSEC / 2);
    gate_set(1);
    gate_await(&gate.inside, 0);
    while (run(courier, 1, 0, PATIENCE) != 2)
        ; /* once one of them is back */
    apr_pool_destroy(p);
}

static void the_end_does_not_wait_for_what_is_held_up(void **state)
{
    static mtls_courier_t *courier; /* what is left of it stays */
    apr_pool_t *p;

    (void)state;
    courier = begin(&p);
    hold_up(courier, 1);
    apr_pool_destroy(p); /* or would never come back */
    assert_int_equal(run(courier, 1, 0, PATIENCE), -1); /* what is left of it takes nothing */
    gate_set(1);
    gate_await(&gate.inside, 0);
}

/* ---- many at once ---- */

#define CALLERS 16

static void *APR_THREAD_FUNC call_a_lot(apr_thread_t *thread, void *courier)
{
    intptr_t wrong = 0;
    int i;

    for (i = 0; i < 2000; i++) {
        int out = run(courier, i, 0, i % 7 ? PATIENCE : 0);
        wrong += out != i + 1 && (i % 7 || out != -1);
    }
    apr_thread_exit(thread, (apr_status_t)wrong);
    return NULL;
}

static void any_thread_may_come(void **state)
{
    apr_pool_t *p;
    mtls_courier_t *courier = begin(&p);
    apr_thread_t *threads[CALLERS];
    apr_status_t wrong;
    int i;

    (void)state;
    for (i = 0; i < CALLERS; i++)
        assert_int_equal(apr_thread_create(&threads[i], NULL, call_a_lot, courier, pool), 0);
    for (i = 0; i < CALLERS; i++) {
        assert_int_equal(apr_thread_join(&wrong, threads[i]), 0);
        assert_int_equal(wrong, 0);
    }
    apr_pool_destroy(p);
}

int main(void)
{
    SUITE_CASE(jobs_are_done);
    SUITE_CASE(a_courier_without_jobs_ends);
    SUITE_CASE(a_job_that_is_held_up_is_left);
    SUITE_CASE(with_all_threads_held_up_nobody_waits);
    SUITE_CASE(the_end_does_not_wait_for_what_is_held_up);
    SUITE_CASE(any_thread_may_come);
    return suite_run("courier", 6);
}
