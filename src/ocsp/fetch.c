/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/fetch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <apr_hash.h>

#include "ocsp/exchange.h"
#include "policy/limits.h"

/* No exchange takes longer, whatever the clock says. */
#define MAX_TIME apr_time_from_sec(3600)

/* URLs whose responder took POST where it had refused GET, as hashes. Of two with one hash the
 * other one is asked with POST first, and that is all. */
#define POSTERS 256

typedef struct entry_t {
    mtls_exchange_t x;
    mtls_fetch_t fetch;
    apr_int64_t ends; /* by the monotonic clock */
    int second;       /* the other method is being tried */
    struct entry_t *next, **link;
} entry_t;

struct mtls_fetcher_t {
    apr_pool_t *p;
    mtls_exchange_model_t model;
    CURLM *multi;
    entry_t *first;
    int count;
    unsigned int posters[POSTERS];
};

static apr_int64_t monotonic_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* ---- who wants POST ---- */

static unsigned int *poster(mtls_fetcher_t *f, const char *url, unsigned int *hash)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    *hash = apr_hashfunc_default(url, &len);
    if (*hash == 0)
        *hash = 1;
    return &f->posters[*hash % POSTERS];
}

static int wants_post(mtls_fetcher_t *f, const char *url)
{
    unsigned int hash, *place = poster(f, url, &hash);

    return *place == hash;
}

/* `entry` has an answer: was its method the right one? */
static void learn(mtls_fetcher_t *f, const entry_t *entry, int right)
{
    unsigned int hash, *place = poster(f, entry->fetch.url, &hash);

    if (right && entry->second && entry->x.post)
        *place = hash;
    else if (!right && entry->x.post && *place == hash)
        *place = 0;
}

/* ---- beginning and end ---- */

static void unlink_entry(mtls_fetcher_t *f, entry_t *entry)
{
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    f->count--;
}

static void link_entry(mtls_fetcher_t *f, entry_t *entry)
{
    entry->next = f->first;
    entry->link = &f->first;
    if (f->first)
        f->first->link = &entry->next;
    f->first = entry;
    f->count++;
}

/* Tell, and forget. `entry` is in no list any more, so `done` may start others. */
static void tell(mtls_fetcher_t *f, entry_t *entry, mtls_fetch_outcome_t outcome, const char *error)
{
    mtls_span_t body = {NULL, 0};

    mtls_exchange_end(&entry->x, f->multi);
    if (outcome == MTLS_FETCH_DONE)
        body = mtls_span(entry->x.body, entry->x.len);
    entry->fetch.done(entry->fetch.baton, outcome, body, error);
    apr_pool_destroy(entry->x.p);
}

static void fail(mtls_fetcher_t *f, entry_t *entry, const char *error)
{
    mtls_exchange_t *x = &entry->x;
    mtls_fetch_outcome_t outcome = MTLS_FETCH_FAILED;

    if (x->refused && x->opened == 0 && !entry->second) {
        outcome = MTLS_FETCH_FORBIDDEN;
        error = apr_psprintf(x->p, "is not to be contacted: %s", x->refused);
    }
    tell(f, entry, outcome, apr_psprintf(x->p, "%s: %s", entry->fetch.url, error));
}

static int begin(mtls_fetcher_t *f, entry_t *entry)
{
    const apr_int64_t left = entry->ends - monotonic_now();

    return left > 0 && mtls_exchange_begin(&entry->x, f->multi, left);
}

void mtls_fetcher_start(mtls_fetcher_t *f, const mtls_fetch_t *fetch)
{
    apr_interval_time_t left = fetch->deadline - apr_time_now();
    const char *error;
    entry_t *entry;
    apr_pool_t *p;

    apr_pool_create(&p, f->p);
    entry = apr_pcalloc(p, sizeof(*entry));
    entry->fetch = *fetch;
    entry->ends = monotonic_now() + (left > MAX_TIME ? MAX_TIME : left);
    entry->x.p = p;
    entry->x.model = &f->model;
    entry->x.fetch = &entry->fetch;
    entry->x.post = wants_post(f, fetch->url);
    error = mtls_exchange_forbidden(p, f->model.rules, fetch);
    if (error) {
        error = apr_psprintf(p, "%s: %s", mtls_exchange_printable(p, fetch->url), error);
        tell(f, entry, MTLS_FETCH_FORBIDDEN, error);
    } else if (left <= 0) {
        fail(f, entry, "no time is left to ask");
    } else if (!begin(f, entry)) {
        fail(f, entry, "libcurl could not begin");
    } else {
        link_entry(f, entry);
    }
}

/* ---- the loop ---- */

/* A second try, within the same deadline. 0: there is none. */
static int try_other_method(mtls_fetcher_t *f, entry_t *entry)
{
    mtls_exchange_t *x = &entry->x;
    const mtls_exchange_t fresh = {.model = x->model, .p = x->p, .fetch = x->fetch, .post = 1};

    if (x->post || !x->other_method)
        return 0;
    entry->second = 1;
    mtls_exchange_end(x, f->multi);
    *x = fresh;
    return begin(f, entry);
}

static void finish(mtls_fetcher_t *f, entry_t *entry, CURLcode code)
{
    const char *error = mtls_exchange_fault(&entry->x, code);

    if (!error || entry->x.other_method)
        learn(f, entry, !error);
    if (error && try_other_method(f, entry))
        return;
    unlink_entry(f, entry);
    if (error)
        fail(f, entry, error);
    else
        tell(f, entry, MTLS_FETCH_DONE, NULL);
}

static int collect(mtls_fetcher_t *f)
{
    CURLMsg *message;
    int left, finished = 0;

    while ((message = curl_multi_info_read(f->multi, &left)) != NULL) {
        char *entry = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &entry);
        finish(f, (entry_t *)(void *)entry, message->data.result);
        finished = 1;
    }
    return finished;
}

static int expire(mtls_fetcher_t *f)
{
    const apr_int64_t now = monotonic_now();
    entry_t *entry, *next;
    int expired = 0;

    for (entry = f->first; entry; entry = next) {
        next = entry->next;
        if (entry->ends > now)
            continue;
        unlink_entry(f, entry);
        fail(f, entry, apr_psprintf(entry->x.p, "timed out %s", mtls_exchange_phase(&entry->x)));
        expired = 1;
    }
    return expired;
}

/* libcurl makes threads to look up names, and they must not be given signals that are meant to wake
 * this one: it would sleep on. */
static int work(mtls_fetcher_t *f)
{
    sigset_t all, before;
    int running;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    curl_multi_perform(f->multi, &running);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return collect(f) | expire(f);
}

static int wait_ms(const mtls_fetcher_t *f, apr_interval_time_t most)
{
    const apr_int64_t now = monotonic_now();
    const entry_t *entry;

    for (entry = f->first; entry; entry = entry->next) {
        if (entry->ends - now < most)
            most = entry->ends - now;
    }
    if (most > MAX_TIME)
        most = MAX_TIME;
    return most <= 0 ? 0 : (int)((most + 999) / 1000);
}

int mtls_fetcher_run(mtls_fetcher_t *f, int fd, apr_interval_time_t most)
{
    struct curl_waitfd extra = {fd, CURL_WAIT_POLLIN, 0};
    struct pollfd readable = {fd, POLLIN, 0};

    if (work(f))
        most = 0;
    if (curl_multi_poll(f->multi, &extra, fd >= 0, wait_ms(f, most), NULL) != CURLM_OK)
        poll(&readable, 1, 10); /* out of memory: no reason to spin */
    work(f);
    return fd >= 0 && poll(&readable, 1, 0) > 0;
}

int mtls_fetcher_count(const mtls_fetcher_t *f)
{
    return f->count;
}

/* ---- the fetcher ---- */

static apr_status_t end_all(void *baton)
{
    mtls_fetcher_t *f = baton;

    for (; f->first; f->first = f->first->next)
        mtls_exchange_end(&f->first->x, f->multi);
    f->count = 0;
    mtls_exchange_model_free(&f->model);
    curl_multi_cleanup(f->multi);
    return APR_SUCCESS;
}

/* CURLOPT_QUICK_EXIT is 7.87's; without AsynchDNS one name would stop all exchanges. */
static int is_fit(void)
{
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

    return version->version_num >= 0x075700 && (version->features & CURL_VERSION_ASYNCHDNS) != 0;
}

mtls_fetcher_t *mtls_fetcher_make(apr_pool_t *p, const mtls_fetch_rules_t *rules)
{
    mtls_fetcher_t *f = apr_pcalloc(p, sizeof(*f));
    const long hosts = rules->proxy ? 0 : MTLS_OCSP_HOST_CONNECTIONS;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !is_fit())
        return NULL;
    f->p = p;
    f->multi = curl_multi_init();
    if (f->multi && mtls_exchange_model_make(&f->model, rules) &&
        curl_multi_setopt(f->multi, CURLMOPT_MAX_HOST_CONNECTIONS, hosts) == CURLM_OK) {
        /* Before the pools of what is under way, which are children of `p`, go. */
        apr_pool_pre_cleanup_register(p, f, end_all);
        return f;
    }
    end_all(f);
    return NULL;
}
