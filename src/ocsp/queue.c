/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/queue.h"

#include <time.h>

#include <openssl/rand.h>

#include "ocsp/asking.h"
#include "ocsp/ending.h"
#include "ocsp/turns.h"
#include "policy/limits.h"

/* How often the cache is asked whether somebody else's claim has gone, and for how many
 * certificates at a time: a cache may be a server elsewhere. */
#define POLL_EVERY    apr_time_from_msec(50)
#define POLLS_A_TIME  32
#define CLAIM_MARGIN  apr_time_from_sec(1)
#define LONGEST_SLEEP apr_time_from_sec(10)

/* Free memory the queue keeps for the next round. */
#define KEPT_BYTES (1024 * 1024)

static apr_time_t monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + 1;
}

static apr_time_t ticks(const mtls_queue_t *queue)
{
    return queue->rounds.ticks();
}

mtls_queue_t *mtls_queue_make(apr_pool_t *parent, const mtls_queue_env_t *env)
{
    apr_allocator_t *allocator;
    mtls_queue_t *queue;
    apr_pool_t *p;

    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return NULL;
    apr_allocator_max_free_set(allocator, KEPT_BYTES);
    if (apr_pool_create_ex(&p, parent, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, p);
    queue = apr_pcalloc(p, sizeof(*queue));
    queue->env = env;
    queue->p = p;
    queue->landed_end = &queue->landed;
    queue->jobs = mtls_jobs_make(p);
    queue->rounds.env = env;
    queue->rounds.ticks = env->ticks ? env->ticks : monotonic;
    queue->rounds.proofs = mtls_proofs_make(p, env->proofs);
    queue->rounds.responders = mtls_responders_make(p);
    if (env->revocations)
        queue->rounds.revocations = mtls_revocations_make(p, env->revocations, env->now());
    apr_pool_create(&queue->rounds.scratch, p);
    if (env->who)
        memcpy(queue->who, env->who, sizeof(queue->who));
    if (queue->rounds.proofs && (env->who || RAND_bytes(queue->who, sizeof(queue->who)) == 1))
        return queue;
    apr_pool_destroy(p);
    return NULL;
}

/* ---- exchanges ---- */

static void work(mtls_queue_t *queue);

/* From the fetcher; possibly while the exchange is being started. */
static void exchange_done(void *baton, mtls_fetch_outcome_t outcome, mtls_span_t body,
                          const char *error)
{
    mtls_round_t *round = baton;
    mtls_queue_t *queue = round->queue;

    round->outcome = outcome;
    round->body = mtls_span_copy(round->p, body);
    round->error = error ? apr_pstrdup(round->p, error) : NULL;
    round->next = NULL;
    *queue->landed_end = round;
    queue->landed_end = &round->next;
    work(queue);
}

static void start_next(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_round_t *round = job->round;

    if (!mtls_asking_next(round)) {
        mtls_ending_failed(queue, job);
        return;
    }
    round->fetch.done = exchange_done;
    round->fetch.baton = round;
    mtls_fetcher_start(queue->env->fetcher, &round->fetch);
}

static int is_claimed_by_other(const mtls_queue_t *queue, const mtls_round_t *round)
{
    return mtls_ocsp_record_claimed_by_other(queue->env->store, round->ask.key, queue->who);
}

/* 0: another gateway is asking, and this one waits for what it gets. */
static int claim(mtls_queue_t *queue, mtls_job_t *job, mtls_round_t *round)
{
    apr_time_t expires = queue->env->now() + round->ask.timeout + CLAIM_MARGIN;

    if (!queue->env->store)
        return 1;
    round->claimed = mtls_ocsp_record_claim(queue->env->store, round->ask.key, queue->who, expires);
    if (round->claimed || round->claim_over)
        return 1;
    round->hold_until = ticks(queue) + round->ask.timeout / 2;
    mtls_turns_hold_off(queue->jobs, job, ticks(queue) + POLL_EVERY);
    return 0;
}

static void launch(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_round_t *round = job->round;

    if (!claim(queue, job, round))
        return;
    round->deadline = ticks(queue) + round->ask.timeout;
    start_next(queue, job);
}

static mtls_job_t *next_landed(mtls_queue_t *queue)
{
    mtls_round_t *round = queue->landed;

    if (!round)
        return NULL;
    queue->landed = round->next;
    if (!queue->landed)
        queue->landed_end = &queue->landed;
    return round->job;
}

/* Everything that can be done without waiting. Entered once: what begins or ends meanwhile is taken
 * up by the one that is at it, however deep in it that happens. */
static void work(mtls_queue_t *queue)
{
    mtls_job_t *job;

    if (queue->working)
        return;
    queue->working = 1;
    for (;;) {
        if ((job = next_landed(queue)) != NULL) {
            if (mtls_asking_take(job->round))
                mtls_ending_good(queue, job);
            else
                start_next(queue, job);
        } else if ((job = mtls_turns_next(queue->jobs)) != NULL) {
            launch(queue, job);
        } else {
            break;
        }
    }
    queue->working = 0;
}

/* ---- asks ---- */

static void answer_one(const mtls_queue_t *queue, void *waiter, mtls_answer_kind_t kind,
                       const mtls_job_t *job)
{
    mtls_answer_t answer = {.kind = kind};

    if (job)
        answer.record = job->answer.record;
    queue->env->answer(queue->env->baton, waiter, &answer);
}

/* Whether the job failed a moment ago, asking the same responders. */
static int is_left_alone(const mtls_queue_t *queue, const mtls_job_t *job,
                         const unsigned char *urls)
{
    return ticks(queue) < job->until && memcmp(job->urls, urls, sizeof(job->urls)) == 0;
}

/* Something that what was said last did not know of. */
static int brings_news(const mtls_job_t *job, const mtls_ask_t *ask)
{
    return ask->offered.len > 0 && !mtls_span_equal(ask->offered, job->answer.record.response) &&
           !mtls_span_equal(ask->offered, job->answer.record.revocation);
}

/* Files of a folder count from the moment they are found, so there is always a look at it. */
static int is_repeated(const mtls_queue_t *queue, const mtls_job_t *job, const mtls_ask_t *ask)
{
    unsigned char urls[MTLS_DIGEST_BYTES];

    if (queue->env->folder || brings_news(job, ask) || !job->looked ||
        ticks(queue) - job->looked >= REPEAT_FOR)
        return 0;
    if (job->answer.kind == MTLS_ANSWER_STATUS)
        return 1;
    mtls_round_urls(ask, urls);
    return is_left_alone(queue, job, urls) && job->answer.kind == job->failure;
}

/* Get into the queue. Somebody else's job may have to leave it. */
static void enqueue(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_job_t *victim;

    if (!mtls_turns_has_room(queue->jobs, job, &victim)) {
        if (!victim) {
            mtls_ending_leave(queue, job, MTLS_ANSWER_BUSY);
            return;
        }
        mtls_ending_leave(queue, victim, MTLS_ANSWER_BUSY);
    }
    mtls_turns_queue(queue->jobs, job);
}

/* What is there may do; else whether and when to ask. 1: the round goes on. */
static int consider(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_round_t *round = job->round;

    mtls_round_look(round, &job->answer.record);
    if (mtls_round_is_served(round)) {
        /* The folder was the place to look for something newer. */
        if (queue->env->folder)
            round->held.checked_at = queue->env->now();
        mtls_ending_leave(queue, job, MTLS_ANSWER_STATUS);
        return 0;
    }
    if (is_left_alone(queue, job, round->urls)) {
        if (job->failure == MTLS_ANSWER_NO_RESPONDER)
            mtls_ending_unasked(queue, job);
        else
            mtls_ending_checked(queue, job, job->failure);
        return 0;
    }
    return 1;
}

static void begin(mtls_queue_t *queue, mtls_job_t *job, const mtls_ask_t *ask)
{
    mtls_round_t *round = mtls_round_make(queue->p, &queue->rounds, ask);

    if (!round) {
        mtls_answer_t failed = {.kind = MTLS_ANSWER_FAILED};
        mtls_ending_answer(queue, job, &failed);
        return;
    }
    round->queue = queue;
    round->job = job;
    job->round = round;
    mtls_turns_take(queue->jobs, job);
    if (!consider(queue, job))
        return;
    switch (mtls_asking_begins(round)) {
    case MTLS_ASKING_NOW:
        enqueue(queue, job);
        break;
    case MTLS_ASKING_LATER:
        mtls_ending_later(queue, job);
        break;
    default:
        mtls_ending_unasked(queue, job);
        break;
    }
}

void mtls_queue_ask(mtls_queue_t *queue, const mtls_ask_t *ask, void *waiter)
{
    mtls_job_t *job = mtls_jobs_get(queue->jobs, ask);
    void *victim = NULL;

    if (!job || (ask->wait && !mtls_turns_wait(queue->jobs, job, waiter, &victim))) {
        if (ask->wait)
            answer_one(queue, waiter, MTLS_ANSWER_BUSY, job);
        return;
    }
    if (victim)
        answer_one(queue, victim, MTLS_ANSWER_BUSY, NULL);
    if (job->state == MTLS_JOB_IDLE) {
        if (is_repeated(queue, job, ask))
            mtls_ending_answer(queue, job, &job->answer);
        else
            begin(queue, job, ask);
    } else if (job->round && ask->offered.len) {
        mtls_round_offer(job->round, ask->offered);
    }
    work(queue);
}

void mtls_queue_forget(mtls_queue_t *queue, void *waiter)
{
    mtls_turns_forget(queue->jobs, waiter);
}

/* ---- what becomes due ---- */

/* The other's claim has gone, or it has taken too long. */
static void resume(mtls_queue_t *queue, mtls_job_t *job)
{
    mtls_round_t *round = job->round;

    round->claim_over = 1;
    mtls_turns_take(queue->jobs, job);
    if (consider(queue, job))
        enqueue(queue, job);
}

static void poll_claims(mtls_queue_t *queue)
{
    apr_time_t now = ticks(queue);
    mtls_job_t *job;
    int i;

    for (i = 0; i < POLLS_A_TIME; i++) {
        const mtls_round_t *round;
        if ((job = mtls_turns_held_off(queue->jobs)) == NULL || job->due > now)
            return;
        round = job->round;
        if (now < round->hold_until && is_claimed_by_other(queue, round))
            mtls_turns_hold_off(queue->jobs, job, now + POLL_EVERY);
        else
            resume(queue, job);
    }
}

apr_interval_time_t mtls_queue_run(mtls_queue_t *queue)
{
    const mtls_job_t *job;
    apr_interval_time_t rest = LONGEST_SLEEP;

    poll_claims(queue);
    work(queue);
    if ((job = mtls_turns_held_off(queue->jobs)) != NULL)
        rest = job->due - ticks(queue);
    return rest < 0 ? 0 : rest < LONGEST_SLEEP ? rest : LONGEST_SLEEP;
}
