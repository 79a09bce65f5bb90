/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain_cache: what was found out is found again while it holds, and nothing takes the place
 * of what it must not. Places are chosen by a hash with a seed of each cache's own, so cases on
 * bounds look at what any seed must give. */

#include "suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/x509_vfy.h>

#include "pki/chain_cache.h"
#include "policy/limits.h"

#define SECOND APR_USEC_PER_SEC
#define AT(s)  (WORLD_NOW + (s)*SECOND)

/* One more than there can be entries in a set, whatever the layout. */
#define CROWD (4 * MTLS_CHAIN_CACHE_PER_ISSUER)

static mtls_chain_cache_t *cache_make(void)
{
    mtls_chain_cache_t *cache = mtls_chain_cache_make(pool);

    assert_non_null(cache);
    return cache;
}

/* A digest that is spread like one of SHA-256: `number` alone chooses the first bytes. */
static mtls_chain_key_t key_of(unsigned long issuer, unsigned long number)
{
    mtls_chain_key_t key;
    size_t i;

    memset(&key, 0, sizeof(key));
    key.issuer = issuer;
    for (i = 0; i < sizeof(number); i++)
        key.sha256[i] = (unsigned char)(number >> (8 * i));
    return key;
}

static const char *const domains[] = {"lab.carcano.corp", NULL};

typedef struct good_t {
    mtls_chain_result_t result;
    mtls_chain_t chain;
    mtls_chain_link_t links[3];
} good_t;

/* A good result whose links say `number`. */
static const mtls_chain_result_t *good(good_t *g, unsigned long number, apr_time_t from,
                                       apr_time_t until)
{
    size_t i;

    memset(g, 0, sizeof(*g));
    for (i = 0; i < ROWS(g->links); i++) {
        memset(g->links[i].sha256, (int)(number + i) & 0xff, MTLS_DIGEST_BYTES);
        memset(g->links[i].spki_sha256, (int)(number + i + 7) & 0xff, MTLS_DIGEST_BYTES);
    }
    g->chain.trust_store = "partners";
    g->chain.trust_domains = domains;
    g->chain.links = g->links;
    g->chain.n = 1 + (int)(number % ROWS(g->links));
    g->result.reason = MTLS_OK;
    g->result.chain = &g->chain;
    g->result.from = from;
    g->result.valid_until = until;
    return &g->result;
}

static mtls_chain_result_t refused(mtls_reason_t reason, apr_time_t from, apr_time_t until)
{
    mtls_chain_result_t result = {.reason = reason,
                                  .detail = "refused",
                                  .openssl_error = X509_V_ERR_UNSPECIFIED,
                                  .from = from,
                                  .valid_until = until};

    return result;
}

static void put_good(mtls_chain_cache_t *cache, unsigned long issuer, unsigned long number)
{
    mtls_chain_key_t key = key_of(issuer, number);
    good_t *g = malloc(sizeof(*g)); /* gone before it is looked for */

    assert_non_null(g);
    mtls_chain_cache_put(cache, &key, good(g, number, AT(0), AT(100)));
    free(g);
}

static void put_refused(mtls_chain_cache_t *cache, unsigned long issuer, unsigned long number)
{
    mtls_chain_key_t key = key_of(issuer, number);
    mtls_chain_result_t result = refused(MTLS_CHAIN_UNTRUSTED, AT(0), AT(60));

    mtls_chain_cache_put(cache, &key, &result);
}

static int get(mtls_chain_cache_t *cache, unsigned long issuer, unsigned long number,
               apr_time_t now, mtls_chain_result_t *result)
{
    mtls_chain_key_t key = key_of(issuer, number);

    memset(result, 0x55, sizeof(*result));
    return mtls_chain_cache_get(cache, &key, now, pool, result);
}

static int has(mtls_chain_cache_t *cache, unsigned long issuer, unsigned long number)
{
    mtls_chain_result_t result;

    return get(cache, issuer, number, AT(1), &result);
}

static unsigned long count(mtls_chain_cache_t *cache, unsigned long issuer, unsigned long n)
{
    unsigned long i, found = 0;

    for (i = 0; i < n; i++)
        found += (unsigned long)has(cache, issuer, i);
    return found;
}

/* ---- hits and misses ---- */

static void an_empty_cache_has_nothing(void **state)
{
    mtls_chain_cache_t *cache = cache_make();

    (void)state;
    assert_false(has(cache, 1, 1));
    assert_false(has(cache, 0, 0));
}

static void a_good_result_is_found_as_it_was(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t result;
    good_t g;

    (void)state;
    put_good(cache, 1, 5);
    assert_true(get(cache, 1, 5, AT(1), &result));
    good(&g, 5, AT(0), AT(100));
    assert_int_equal(result.reason, MTLS_OK);
    assert_int_equal(result.openssl_error, X509_V_OK);
    assert_null(result.detail);
    assert_true(result.from == AT(0) && result.valid_until == AT(100));
    assert_non_null(result.chain);
    assert_int_equal(result.chain->n, 3);
    assert_memory_equal(result.chain->links, g.links, 3 * sizeof(g.links[0]));
    assert_string_equal(result.chain->trust_store, "partners");
    assert_ptr_equal(result.chain->trust_domains, domains);
    assert_false(result.chain->exempt);
}

static void a_refusal_is_found_as_it_was(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t result = refused(MTLS_REVOKED_CRL, AT(0), AT(60));
    mtls_chain_key_t key = key_of(1, 5);

    (void)state;
    mtls_chain_cache_put(cache, &key, &result);
    assert_true(get(cache, 1, 5, AT(1), &result));
    assert_string_equal(mtls_reason_token(result.reason), "revoked_crl");
    assert_int_equal(result.openssl_error, X509_V_ERR_UNSPECIFIED);
    assert_string_equal(result.detail, "refused");
    assert_null(result.chain);
    assert_true(result.from == AT(0) && result.valid_until == AT(60));
}

/* Every bit of the digest counts. */
static void another_digest_is_another_key(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_key_t key = key_of(1, 5);
    mtls_chain_result_t result;
    good_t g;
    size_t i;

    (void)state;
    mtls_chain_cache_put(cache, &key, good(&g, 5, AT(0), AT(100)));
    for (i = 0; i < 8 * sizeof(key.sha256); i++) {
        key.sha256[i / 8] = (unsigned char)(key.sha256[i / 8] ^ (1u << (i % 8)));
        assert_false(mtls_chain_cache_get(cache, &key, AT(1), pool, &result));
        key.sha256[i / 8] = (unsigned char)(key.sha256[i / 8] ^ (1u << (i % 8)));
    }
    assert_true(mtls_chain_cache_get(cache, &key, AT(1), pool, &result));
}

/* The digest is over the leaf, and so over its issuer: the hash of it chooses a place only. */
static void the_issuer_changes_no_answer(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t result;
    unsigned long issuer;

    (void)state;
    put_good(cache, 1, 5);
    for (issuer = 0; issuer < 100; issuer++) {
        if (get(cache, issuer, 5, AT(1), &result))
            assert_memory_equal(result.chain->links[0].sha256, "\5\5\5\5", 4);
    }
}

static void the_same_key_again_replaces(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_key_t key = key_of(1, 5);
    mtls_chain_result_t result;
    unsigned long i;
    good_t g;

    (void)state;
    for (i = 0; i < 100; i++) { /* never a second entry, so none of the others is given up */
        mtls_chain_cache_put(cache, &key, good(&g, i, AT(0), AT(100) + (apr_time_t)i));
        assert_true(get(cache, 1, 5, AT(1), &result));
        assert_true(result.valid_until == AT(100) + (apr_time_t)i);
        assert_int_equal(result.chain->n, 1 + (int)(i % 3));
    }
}

/* ---- time ---- */

static const struct time_row {
    const char *name;
    apr_time_t from, until, now;
    int found;
} times[] = {
    {"time: the moment it was found out", AT(0), AT(100), AT(0), 1},
    {"time: later", AT(0), AT(100), AT(50), 1},
    {"time: the last microsecond", AT(0), AT(100), AT(100) - 1, 1},
    {"time: valid_until itself", AT(0), AT(100), AT(100), 0},
    {"time: after it", AT(0), AT(100), AT(101), 0},
    {"time: a clock that was set back by a microsecond", AT(0), AT(100), AT(0) - 1, 0},
    {"time: a clock that was set back by a year", AT(0), AT(100), AT(-365 * 86400), 0},
    {"time: a clock at zero", AT(0), AT(100), 0, 0},
    {"time: for ever", AT(0), MTLS_FOREVER, AT(100000000), 1},
    {"time: for ever, before it", AT(0), MTLS_FOREVER, AT(-1), 0},
    {"time: no longer than a moment", AT(0), AT(0), AT(0), 0},
};

static void time_case(void **state)
{
    const struct time_row *row = *state;
    mtls_chain_result_t bad = refused(MTLS_EXPIRED, row->from, row->until), result;
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_key_t key = key_of(1, 5), other = key_of(1, 6);
    good_t g;

    mtls_chain_cache_put(cache, &key, good(&g, 5, row->from, row->until));
    mtls_chain_cache_put(cache, &other, &bad);
    assert_int_equal(get(cache, 1, 5, row->now, &result), row->found);
    assert_int_equal(get(cache, 1, 6, row->now, &result), row->found);
}

/* What is over stays until its place is needed; a clock that is set right finds it again. */
static void a_miss_forgets_nothing(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t result;

    (void)state;
    put_good(cache, 1, 5);
    assert_false(get(cache, 1, 5, AT(-1), &result));
    assert_false(get(cache, 1, 5, AT(200), &result));
    assert_true(get(cache, 1, 5, AT(1), &result));
}

/* A certificate is good, then it has expired: each answer holds in its own time. */
static void good_and_refused_of_one_key_each_hold_in_their_time(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t bad = refused(MTLS_EXPIRED, AT(100), AT(160)), result;
    mtls_chain_key_t key = key_of(1, 5);

    (void)state;
    put_good(cache, 1, 5);
    mtls_chain_cache_put(cache, &key, &bad);
    assert_true(get(cache, 1, 5, AT(99), &result));
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_true(get(cache, 1, 5, AT(100), &result));
    assert_string_equal(mtls_reason_token(result.reason), "expired");
    assert_false(get(cache, 1, 5, AT(160), &result));
    assert_true(get(cache, 1, 5, AT(50), &result));
    assert_string_equal(mtls_reason_token(result.reason), "ok");
}

/* A missing intermediate turns up: the refusal runs out and the good one follows. */
static void a_refusal_that_ran_out_hides_nothing(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t bad = refused(MTLS_CHAIN_INCOMPLETE, AT(-2), AT(0)), result;
    mtls_chain_key_t key = key_of(1, 5);

    (void)state;
    mtls_chain_cache_put(cache, &key, &bad);
    assert_false(get(cache, 1, 5, AT(0), &result));
    put_good(cache, 1, 5);
    assert_true(get(cache, 1, 5, AT(0), &result));
    assert_string_equal(mtls_reason_token(result.reason), "ok");
}

/* ---- places ---- */

static void refused_never_push_out_good_ones(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long i, n = MTLS_CHAIN_CACHE_PER_ISSUER;

    (void)state;
    for (i = 0; i < n; i++)
        put_good(cache, 1, i);
    assert_int_equal(count(cache, 1, n), n);
    for (i = n; i < n + 20000; i++) {
        put_refused(cache, 1, i);
        put_refused(cache, i, i);
    }
    assert_int_equal(count(cache, 1, n), n);
}

static void good_ones_never_push_out_refused_ones(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t result;
    unsigned long i;

    (void)state;
    put_refused(cache, 1, 5);
    for (i = 6; i < CROWD; i++)
        put_good(cache, i % 100, i);
    assert_true(get(cache, 1, 5, AT(1), &result));
    assert_string_equal(mtls_reason_token(result.reason), "chain_untrusted");
}

static void refused_ones_are_bounded(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long i;

    (void)state;
    for (i = 0; i < CROWD; i++)
        put_refused(cache, i % 100, i);
    for (i = 0; i < CROWD - MTLS_CHAIN_CACHE_PER_ISSUER; i++)
        assert_false(has(cache, i % 100, i));
    for (; i < CROWD; i++)
        assert_true(has(cache, i % 100, i));
}

static void one_issuer_has_so_many_entries(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long i;

    (void)state;
    for (i = 0; i < MTLS_CHAIN_CACHE_PER_ISSUER; i++)
        put_good(cache, 1, i);
    assert_int_equal(count(cache, 1, MTLS_CHAIN_CACHE_PER_ISSUER), MTLS_CHAIN_CACHE_PER_ISSUER);
    for (; i < CROWD; i++)
        put_good(cache, 1, i);
    assert_int_equal(count(cache, 1, CROWD), MTLS_CHAIN_CACHE_PER_ISSUER);
}

static void all_issuers_together_have_so_many_entries(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long issuer, i, found = 0;

    (void)state;
    for (issuer = 0; issuer < 60; issuer++) {
        for (i = 0; i < MTLS_CHAIN_CACHE_PER_ISSUER; i++)
            put_good(cache, issuer * 2654435761u, issuer << 16 | i);
    }
    for (issuer = 0; issuer < 60; issuer++) {
        for (i = 0; i < MTLS_CHAIN_CACHE_PER_ISSUER; i++)
            found += (unsigned long)has(cache, issuer * 2654435761u, issuer << 16 | i);
    }
    assert_true(found <= MTLS_CHAIN_CACHE_ISSUERS * MTLS_CHAIN_CACHE_PER_ISSUER);
    assert_true(found >= MTLS_CHAIN_CACHE_PER_ISSUER * 5); /* and the places are used */
}

/* One CA issues as many good certificates as it likes. What another has loses only where the two
 * share a place, and they lose or keep all of it: a place is an issuer's as a whole. */
static void an_issuer_pushes_out_nobody_of_another_place(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long issuer, i;
    int kept = 0, lost = 0;

    (void)state;
    for (issuer = 1; issuer <= 60; issuer++) /* each in sets of its own */
        for (i = 0; i < 2; i++)
            put_good(cache, issuer * 2654435761u, 2 * issuer + i);
    for (i = 1000; i < 1000 + CROWD; i++)
        put_good(cache, 4711, i);
    for (issuer = 1; issuer <= 60; issuer++) {
        int first = has(cache, issuer * 2654435761u, 2 * issuer);
        assert_int_equal(first, has(cache, issuer * 2654435761u, 2 * issuer + 1));
        kept += first;
        lost += !first;
    }
    /* One in fifteen shares it, by the seed; that 31 of 60 do is no chance. */
    assert_true(kept > lost);
}

static void the_one_used_longest_ago_is_given_up(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    unsigned long i, round;

    (void)state;
    /* Numbers that agree in what chooses a set, so all of them want the same few entries. */
    put_good(cache, 1, 0);
    for (round = 1; round < 200; round++) {
        put_good(cache, 1, round << 8);
        assert_true(has(cache, 1, 0)); /* used in every round, so it stays */
        assert_true(has(cache, 1, round << 8));
    }
    for (i = 1, round = 0; i < 200; i++)
        round += (unsigned long)has(cache, 1, i << 8);
    assert_true(round >= 1 && round < 200 - 1);
    for (i = 199; i > 199 - round; i--) /* the youngest are those that are left */
        assert_true(has(cache, 1, i << 8));
    for (i = 1; i <= 200; i++) /* not used any more, it goes */
        put_good(cache, 1, (1000 + i) << 8);
    assert_false(has(cache, 1, 0));
}

/* ---- copies ---- */

static void a_copy_does_not_depend_on_the_cache(void **state)
{
    mtls_chain_cache_t *cache;
    mtls_chain_result_t result;
    unsigned long i;
    apr_pool_t *p;
    good_t g;

    (void)state;
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    cache = mtls_chain_cache_make(p);
    assert_non_null(cache);
    put_good(cache, 1, 5);
    assert_true(get(cache, 1, 5, AT(1), &result));
    for (i = 6; i < CROWD; i++)
        put_good(cache, 1, i);
    assert_false(has(cache, 1, 5));
    good(&g, 5, AT(0), AT(100));
    assert_memory_equal(result.chain->links, g.links, 3 * sizeof(g.links[0]));
    apr_pool_destroy(p);
    assert_int_equal(result.chain->n, 3);
    assert_memory_equal(result.chain->links, g.links, 3 * sizeof(g.links[0]));
    assert_string_equal(result.chain->trust_store, "partners");
}

/* Nobody changes what is kept through what was handed out or in. */
static void a_copy_is_the_callers(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    mtls_chain_result_t first, second;
    mtls_chain_key_t key = key_of(1, 5);
    good_t g;

    (void)state;
    mtls_chain_cache_put(cache, &key, good(&g, 5, AT(0), AT(100)));
    memset(&g, 0xff, sizeof(g));
    assert_true(get(cache, 1, 5, AT(1), &first));
    memset((void *)(uintptr_t)first.chain->links, 0xee, 3 * sizeof(g.links[0]));
    ((mtls_chain_t *)(uintptr_t)first.chain)->n = 0;
    assert_true(get(cache, 1, 5, AT(1), &second));
    good(&g, 5, AT(0), AT(100));
    assert_int_equal(second.chain->n, 3);
    assert_memory_equal(second.chain->links, g.links, 3 * sizeof(g.links[0]));
    assert_ptr_not_equal(second.chain, first.chain);
}

static void two_caches_share_nothing(void **state)
{
    mtls_chain_cache_t *one = cache_make(), *other = cache_make();

    (void)state;
    put_good(one, 1, 5);
    assert_true(has(one, 1, 5));
    assert_false(has(other, 1, 5));
}

/* ---- threads ---- */

#define THREADS 4
#define KEYS    600ul /* more than fit where many want the same entries */

typedef struct worker_t {
    pthread_t thread;
    mtls_chain_cache_t *cache;
    apr_pool_t *p;
    unsigned int seed;
    unsigned long hits, wrong;
} worker_t;

static unsigned int next(worker_t *w)
{
    w->seed = w->seed * 1103515245u + 12345u;
    return w->seed >> 8;
}

/* Odd numbers are good, even ones refused. */
static int is_right(const mtls_chain_result_t *result, unsigned long number)
{
    good_t g;

    if (number % 2 == 0)
        return result->reason == MTLS_CHAIN_UNTRUSTED && !result->chain;
    good(&g, number, AT(0), AT(100));
    return result->reason == MTLS_OK && result->chain->n == g.chain.n &&
           memcmp(result->chain->links, g.links, (size_t)g.chain.n * sizeof(g.links[0])) == 0;
}

static void *use_often(void *worker)
{
    worker_t *w = worker;
    mtls_chain_result_t result, bad = refused(MTLS_CHAIN_UNTRUSTED, AT(0), AT(60));
    good_t g;
    int i;

    for (i = 0; i < 10000; i++) {
        unsigned long number = next(w) % KEYS;
        mtls_chain_key_t key = key_of(number % 3, number << 8 | number % 40);
        if (mtls_chain_cache_get(w->cache, &key, AT(1), w->p, &result)) {
            w->hits++;
            w->wrong += !is_right(&result, number);
        } else {
            mtls_chain_cache_put(w->cache, &key,
                                 number % 2 ? good(&g, number, AT(0), AT(100)) : &bad);
        }
        if (i % 100 == 0)
            apr_pool_clear(w->p);
    }
    return NULL;
}

static void threads_share_a_cache(void **state)
{
    mtls_chain_cache_t *cache = cache_make();
    worker_t workers[THREADS];
    void *result;
    size_t i;

    (void)state;
    memset(workers, 0, sizeof(workers));
    for (i = 0; i < THREADS; i++) {
        workers[i].cache = cache;
        workers[i].seed = (unsigned int)i + 1;
        assert_int_equal(apr_pool_create(&workers[i].p, NULL), APR_SUCCESS);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, use_often, &workers[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, &result), 0);
        assert_true(workers[i].hits > 0);
        assert_int_equal(workers[i].wrong, 0);
        apr_pool_destroy(workers[i].p);
    }
}

int main(void)
{
    SUITE_CASE(an_empty_cache_has_nothing);
    SUITE_CASE(a_good_result_is_found_as_it_was);
    SUITE_CASE(a_refusal_is_found_as_it_was);
    SUITE_CASE(another_digest_is_another_key);
    SUITE_CASE(the_issuer_changes_no_answer);
    SUITE_CASE(the_same_key_again_replaces);
    SUITE_TABLE(time_case, times);
    SUITE_CASE(a_miss_forgets_nothing);
    SUITE_CASE(good_and_refused_of_one_key_each_hold_in_their_time);
    SUITE_CASE(a_refusal_that_ran_out_hides_nothing);
    SUITE_CASE(refused_never_push_out_good_ones);
    SUITE_CASE(good_ones_never_push_out_refused_ones);
    SUITE_CASE(refused_ones_are_bounded);
    SUITE_CASE(one_issuer_has_so_many_entries);
    SUITE_CASE(all_issuers_together_have_so_many_entries);
    SUITE_CASE(an_issuer_pushes_out_nobody_of_another_place);
    SUITE_CASE(the_one_used_longest_ago_is_given_up);
    SUITE_CASE(a_copy_does_not_depend_on_the_cache);
    SUITE_CASE(a_copy_is_the_callers);
    SUITE_CASE(two_caches_share_nothing);
    SUITE_CASE(threads_share_a_cache);
    return suite_run("chain_cache", 31);
}
