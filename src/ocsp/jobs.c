/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/jobs.h"

#include <stdlib.h>

#include <apr_hash.h>
#include <openssl/evp.h>

#include "policy/limits.h"

/* ---- who is who ---- */

static int add(EVP_MD_CTX *ctx, const void *data, apr_size_t len)
{
    apr_uint64_t n = len;

    /* The length before each part: no two lists of parts are the same bytes. */
    return EVP_DigestUpdate(ctx, &n, sizeof(n)) == 1 && EVP_DigestUpdate(ctx, data, len) == 1;
}

/* All that decides what is proved: nobody's answer is another's, whatever key the ask gives. */
static int identify(const mtls_ask_t *ask, unsigned char *id, unsigned char *issuer)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int i, n = ask->responders ? ask->responders->nelts : 0;
    int good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
               add(ctx, ask->key, sizeof(ask->key)) &&
               add(ctx, ask->issuer.data, ask->issuer.len) &&
               add(ctx, ask->serial.data, ask->serial.len);

    for (i = 0; i < n && good; i++) {
        mtls_span_t responder = APR_ARRAY_IDX(ask->responders, i, mtls_span_t);
        good = add(ctx, responder.data, responder.len);
    }
    good = good && EVP_DigestFinal_ex(ctx, id, NULL) == 1 &&
           EVP_Digest(ask->issuer.data, ask->issuer.len, issuer, NULL, EVP_sha256(), NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static mtls_job_issuer_t *issuer_get(mtls_jobs_t *jobs, const unsigned char *id)
{
    mtls_job_issuer_t *issuer = apr_hash_get(jobs->issuers, id, MTLS_DIGEST_BYTES);

    if (issuer || (issuer = calloc(1, sizeof(*issuer))) == NULL)
        return issuer;
    memcpy(issuer->id, id, MTLS_DIGEST_BYTES);
    APR_RING_INIT(&issuer->waited, mtls_job_t, link);
    APR_RING_INIT(&issuer->behind, mtls_job_t, link);
    apr_hash_set(jobs->issuers, issuer->id, MTLS_DIGEST_BYTES, issuer);
    return issuer;
}

static void issuer_release(mtls_jobs_t *jobs, mtls_job_issuer_t *issuer)
{
    if (issuer->jobs > 0)
        return;
    apr_hash_set(jobs->issuers, issuer->id, MTLS_DIGEST_BYTES, NULL);
    free(issuer);
}

/* ---- memory ---- */

static void forget_answer(mtls_jobs_t *jobs, mtls_job_t *job)
{
    jobs->remembered -= job->memory_bytes;
    free(job->memory);
    job->memory = NULL;
    job->memory_bytes = 0;
    memset(&job->answer, 0, sizeof(job->answer));
    job->looked = 0;
}

/* An idle one. */
static void forget_job(mtls_jobs_t *jobs, mtls_job_t *job)
{
    forget_answer(jobs, job);
    apr_hash_set(jobs->by_id, job->id, MTLS_DIGEST_BYTES, NULL);
    APR_RING_REMOVE(job, link);
    jobs->count--;
    job->issuer->jobs--;
    issuer_release(jobs, job->issuer);
    free(job);
}

static apr_status_t forget_all(void *baton)
{
    mtls_jobs_t *jobs = baton;
    apr_hash_index_t *i;
    void *found;

    for (i = apr_hash_first(NULL, jobs->by_id); i; i = apr_hash_next(i)) {
        apr_hash_this(i, NULL, NULL, &found);
        free(((mtls_job_t *)found)->memory);
        free(found);
    }
    for (i = apr_hash_first(NULL, jobs->issuers); i; i = apr_hash_next(i)) {
        apr_hash_this(i, NULL, NULL, &found);
        free(found);
    }
    return APR_SUCCESS;
}

mtls_jobs_t *mtls_jobs_make(apr_pool_t *p)
{
    mtls_jobs_t *jobs = apr_pcalloc(p, sizeof(*jobs));
    apr_size_t i;

    jobs->by_id = apr_hash_make(p);
    jobs->issuers = apr_hash_make(p);
    APR_RING_INIT(&jobs->idle, mtls_job_t, link);
    APR_RING_INIT(&jobs->held_off, mtls_job_t, link);
    APR_RING_INIT(&jobs->active, mtls_job_t, link);
    APR_RING_INIT(&jobs->turns, mtls_job_issuer_t, link);
    APR_RING_INIT(&jobs->order, mtls_waiter_t, order);
    APR_RING_INIT(&jobs->free, mtls_waiter_t, link);
    for (i = 0; i < MTLS_MAX_OCSP_WAITERS; i++)
        APR_RING_INSERT_TAIL(&jobs->free, &jobs->places[i], mtls_waiter_t, link);
    apr_pool_cleanup_register(p, jobs, forget_all, apr_pool_cleanup_null);
    return jobs;
}

/* Which idle job is forgotten for a new one of `issuer`: one of its own once it has half of all. */
static mtls_job_t *expendable(mtls_jobs_t *jobs, const mtls_job_issuer_t *issuer)
{
    int own = issuer->jobs >= MTLS_MAX_OCSP_JOBS / 2;
    mtls_job_t *at;

    APR_RING_FOREACH(at, &jobs->idle, mtls_job_t, link)
    {
        if (!own || at->issuer == issuer)
            return at;
    }
    return NULL;
}

static mtls_job_t *make_job(mtls_jobs_t *jobs, const unsigned char *id, mtls_job_issuer_t *issuer)
{
    mtls_job_t *old, *job = NULL;

    if (jobs->count >= MTLS_MAX_OCSP_JOBS) {
        if ((old = expendable(jobs, issuer)) == NULL)
            return NULL;
        issuer->jobs++; /* or it goes with its last job */
        forget_job(jobs, old);
        issuer->jobs--;
    }
    if ((job = calloc(1, sizeof(*job))) == NULL)
        return NULL;
    memcpy(job->id, id, MTLS_DIGEST_BYTES);
    job->issuer = issuer;
    issuer->jobs++;
    APR_RING_INIT(&job->waiters, mtls_waiter_t, link);
    apr_hash_set(jobs->by_id, job->id, MTLS_DIGEST_BYTES, job);
    jobs->count++;
    APR_RING_INSERT_TAIL(&jobs->idle, job, mtls_job_t, link);
    return job;
}

mtls_job_t *mtls_jobs_get(mtls_jobs_t *jobs, const mtls_ask_t *ask)
{
    unsigned char id[MTLS_DIGEST_BYTES], issuer_id[MTLS_DIGEST_BYTES];
    mtls_job_issuer_t *issuer;
    mtls_job_t *job;

    if (!identify(ask, id, issuer_id))
        return NULL;
    job = apr_hash_get(jobs->by_id, id, MTLS_DIGEST_BYTES);
    if (job || (issuer = issuer_get(jobs, issuer_id)) == NULL)
        return job;
    job = make_job(jobs, id, issuer);
    issuer_release(jobs, issuer);
    return job;
}

int mtls_jobs_remember(mtls_jobs_t *jobs, mtls_job_t *job, const mtls_answer_t *answer)
{
    mtls_span_t response = answer->record.response, revocation = answer->record.revocation;
    int same = mtls_span_equal(response, revocation);
    apr_size_t bytes = response.len + (same ? 0 : revocation.len);
    char *memory = malloc(bytes ? bytes : 1);

    forget_answer(jobs, job);
    if (!memory)
        return 0;
    if (response.len)
        memcpy(memory, response.data, response.len);
    if (!same && revocation.len)
        memcpy(memory + response.len, revocation.data, revocation.len);
    job->memory = memory;
    job->memory_bytes = bytes;
    job->answer = *answer;
    job->answer.record.response = mtls_span(memory, response.len);
    job->answer.record.revocation =
        same ? job->answer.record.response : mtls_span(memory + response.len, revocation.len);
    jobs->remembered += bytes;
    while (jobs->remembered > MTLS_MAX_OCSP_REMEMBERED_BYTES &&
           !APR_RING_EMPTY(&jobs->idle, mtls_job_t, link))
        forget_job(jobs, APR_RING_FIRST(&jobs->idle));
    return 1;
}
