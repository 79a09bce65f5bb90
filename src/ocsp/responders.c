/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/responders.h"

#include <stdlib.h>

#include <apr_hash.h>
#include <apr_ring.h>

#include "ocsp/backoff.h"
#include "policy/limits.h"

/* One failure may be an accident. */
#define FAILURES   2
#define LONGEST    apr_time_from_sec(30)
#define HASH_FOR   apr_time_from_sec(24 * 3600)
#define WARN_AFTER apr_time_from_sec(60)

struct mtls_responder_t {
    APR_RING_ENTRY(mtls_responder_t) link;
    int under_way;        /* exchanges */
    int failures;         /* in a row */
    apr_time_t failed_at; /* the last that counted; 0: none */
    apr_time_t until;     /* it is left alone */
    int probing;          /* somebody finds out whether it is back */
    mtls_ocsp_hash_t hash;
    apr_time_t hash_until;
    apr_time_t warn_from;
    int told; /* that it fails */
    char url[];
};

struct mtls_responders_t {
    apr_hash_t *by_url;
    APR_RING_HEAD(mtls_responder_ring_t, mtls_responder_t) ring; /* asked for longest ago first */
    unsigned int count;
};

static void forget(mtls_responders_t *responders, mtls_responder_t *responder)
{
    apr_hash_set(responders->by_url, responder->url, APR_HASH_KEY_STRING, NULL);
    APR_RING_REMOVE(responder, link);
    responders->count--;
    free(responder);
}

static apr_status_t forget_all(void *baton)
{
    mtls_responders_t *responders = baton;

    while (!APR_RING_EMPTY(&responders->ring, mtls_responder_t, link))
        forget(responders, APR_RING_FIRST(&responders->ring));
    return APR_SUCCESS;
}

mtls_responders_t *mtls_responders_make(apr_pool_t *p)
{
    mtls_responders_t *responders = apr_pcalloc(p, sizeof(*responders));

    responders->by_url = apr_hash_make(p);
    APR_RING_INIT(&responders->ring, mtls_responder_t, link);
    apr_pool_cleanup_register(p, responders, forget_all, apr_pool_cleanup_null);
    return responders;
}

static void forget_oldest(mtls_responders_t *responders)
{
    mtls_responder_t *at;

    APR_RING_FOREACH(at, &responders->ring, mtls_responder_t, link)
    {
        if (!at->under_way) {
            forget(responders, at);
            return;
        }
    }
}

static mtls_responder_t *make(mtls_responders_t *responders, const char *url)
{
    apr_size_t size = strlen(url) + 1;
    mtls_responder_t *responder = calloc(1, sizeof(*responder) + size);

    if (!responder)
        return NULL;
    memcpy(responder->url, url, size);
    if (responders->count >= MTLS_MAX_OCSP_RESPONDERS)
        forget_oldest(responders);
    apr_hash_set(responders->by_url, responder->url, APR_HASH_KEY_STRING, responder);
    responders->count++;
    APR_RING_INSERT_TAIL(&responders->ring, responder, mtls_responder_t, link);
    return responder;
}

mtls_responder_t *mtls_responders_get(mtls_responders_t *responders, const char *url)
{
    mtls_responder_t *responder = apr_hash_get(responders->by_url, url, APR_HASH_KEY_STRING);

    if (!responder)
        return make(responders, url);
    APR_RING_REMOVE(responder, link);
    APR_RING_INSERT_TAIL(&responders->ring, responder, mtls_responder_t, link);
    return responder;
}

int mtls_responder_is_down(const mtls_responder_t *responder, apr_time_t now)
{
    return responder->failures >= FAILURES && (now < responder->until || responder->probing);
}

void mtls_responder_begin(mtls_responder_t *responder)
{
    responder->under_way++;
    if (responder->failures >= FAILURES)
        responder->probing = 1;
}

/* Of many exchanges that fail together one counts: those that had begun when it failed tell nothing
 * new. */
static mtls_responder_news_t fail(mtls_responder_t *responder, apr_time_t begun, apr_time_t now)
{
    if (responder->failures >= FAILURES && begun <= responder->failed_at)
        return MTLS_RESPONDER_NO_NEWS;
    responder->probing = 0;
    responder->failed_at = now;
    if (responder->failures < 1000)
        responder->failures++;
    if (responder->failures >= FAILURES)
        responder->until = now + mtls_backoff(responder->failures - FAILURES + 1, LONGEST);
    if (responder->told || !mtls_responder_warn(responder, now))
        return MTLS_RESPONDER_NO_NEWS;
    responder->told = 1;
    return MTLS_RESPONDER_FAILS;
}

mtls_responder_news_t mtls_responder_end(mtls_responder_t *responder, apr_time_t begun,
                                         mtls_responder_end_t how, apr_time_t now)
{
    int told = responder->told;

    responder->under_way--;
    switch (how) {
    case MTLS_RESPONDER_ANSWERED:
        responder->failures = 0;
        responder->until = 0;
        responder->probing = 0;
        responder->told = 0;
        return told ? MTLS_RESPONDER_IS_BACK : MTLS_RESPONDER_NO_NEWS;
    case MTLS_RESPONDER_NOT_ASKED:
        responder->probing = 0;
        return MTLS_RESPONDER_NO_NEWS;
    default:
        return fail(responder, begun, now);
    }
}

mtls_ocsp_hash_t mtls_responder_hash(const mtls_responder_t *responder, apr_time_t now, int *known)
{
    *known = now < responder->hash_until;
    return *known ? responder->hash : MTLS_OCSP_SHA256;
}

void mtls_responder_learn(mtls_responder_t *responder, mtls_ocsp_hash_t hash, apr_time_t now)
{
    responder->hash = hash;
    responder->hash_until = now + HASH_FOR;
}

int mtls_responder_warn(mtls_responder_t *responder, apr_time_t now)
{
    if (now < responder->warn_from)
        return 0;
    responder->warn_from = now + WARN_AFTER;
    return 1;
}
