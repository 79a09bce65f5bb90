/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/live: a version is replaced as a whole while readers keep the one they have. */

#include "suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "policy/live.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS 2000
#else
#define ROUNDS 20000
#endif

/* What a version holds. Its memory is the heap's, so that a sanitizer sees whoever reads it after
 * its pool has gone; both halves are the same as long as it lives. */
typedef struct content_t {
    unsigned long number;
    unsigned long twin;
} content_t;

static atomic_int alive;

static apr_status_t bury(void *content_)
{
    content_t *content = content_;

    content->twin = ~content->number;
    free(content);
    atomic_fetch_sub(&alive, 1);
    return APR_SUCCESS;
}

static apr_pool_t *content_make(unsigned long number, const void **data)
{
    content_t *content = malloc(sizeof(*content));
    apr_pool_t *p;

    assert_non_null(content);
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    content->number = content->twin = number;
    apr_pool_cleanup_register(p, content, bury, apr_pool_cleanup_null);
    atomic_fetch_add(&alive, 1);
    *data = content;
    return p;
}

static void put(mtls_live_t *live, unsigned long number)
{
    const void *data;
    apr_pool_t *p = content_make(number, &data);

    mtls_live_replace(live, p, data);
}

static unsigned long number_of(const mtls_version_t *version)
{
    const content_t *content = version->data;

    assert_int_equal(content->number, content->twin);
    return content->number;
}

static mtls_live_t *begin(void)
{
    mtls_live_t *live = mtls_live_make(pool);

    assert_non_null(live);
    atomic_store(&alive, 0);
    return live;
}

/* ---- one thread ---- */

static void nothing_is_in_force_at_first(void **state)
{
    mtls_live_t *live = begin();

    (void)state;
    assert_null(mtls_live_take(live));
    assert_int_equal(mtls_live_serial(live), 0);
    mtls_live_give_back(live, NULL);
}

static void what_was_put_is_in_force(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *version;

    (void)state;
    put(live, 7);
    version = mtls_live_take(live);
    assert_non_null(version);
    assert_int_equal(number_of(version), 7);
    assert_int_equal(version->serial, mtls_live_serial(live));
    mtls_live_give_back(live, version);
    assert_int_equal(atomic_load(&alive), 1);
}

static void serials_grow_and_none_comes_twice(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *version;
    apr_uint64_t before = 0;
    unsigned long i;

    (void)state;
    for (i = 1; i <= 100; i++) {
        put(live, i);
        version = mtls_live_take(live);
        assert_true(version->serial > before);
        assert_int_equal(version->serial, mtls_live_serial(live));
        before = version->serial;
        mtls_live_give_back(live, version);
        assert_int_equal(mtls_live_serial(live), before); /* reading changes none */
    }
}

static void a_version_nobody_reads_goes_when_it_is_replaced(void **state)
{
    mtls_live_t *live = begin();

    (void)state;
    put(live, 1);
    assert_int_equal(atomic_load(&alive), 1);
    put(live, 2);
    assert_int_equal(atomic_load(&alive), 1);
    put(live, 3);
    assert_int_equal(atomic_load(&alive), 1);
}

static void a_reader_keeps_the_version_it_has(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *old, *new;

    (void)state;
    put(live, 1);
    old = mtls_live_take(live);
    put(live, 2);
    new = mtls_live_take(live);
    assert_int_equal(number_of(old), 1);
    assert_int_equal(number_of(new), 2);
    assert_true(old->serial < new->serial);
    assert_int_equal(mtls_live_serial(live), new->serial);
    assert_int_equal(atomic_load(&alive), 2);
    mtls_live_give_back(live, old);
    assert_int_equal(atomic_load(&alive), 1);
    mtls_live_give_back(live, new);
    assert_int_equal(atomic_load(&alive), 1); /* it is in force */
}

static void a_version_goes_with_its_last_reader(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *readers[5];
    size_t i;

    (void)state;
    put(live, 1);
    for (i = 0; i < ROWS(readers); i++)
        readers[i] = mtls_live_take(live);
    put(live, 2);
    for (i = 0; i < ROWS(readers); i++) {
        assert_int_equal(atomic_load(&alive), 2);
        assert_int_equal(number_of(readers[i]), 1);
        mtls_live_give_back(live, readers[i]);
    }
    assert_int_equal(atomic_load(&alive), 1);
}

static void several_old_versions_live_side_by_side(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *versions[10];
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(versions); i++) {
        put(live, i);
        versions[i] = mtls_live_take(live);
    }
    assert_int_equal(atomic_load(&alive), ROWS(versions));
    for (i = 0; i < ROWS(versions); i++)
        assert_int_equal(number_of(versions[i]), i);
    for (i = 0; i < ROWS(versions); i += 2)
        mtls_live_give_back(live, versions[i]);
    assert_int_equal(atomic_load(&alive), ROWS(versions) / 2);
    for (i = 1; i < ROWS(versions); i += 2) {
        assert_int_equal(number_of(versions[i]), i);
        mtls_live_give_back(live, versions[i]);
    }
    assert_int_equal(atomic_load(&alive), 1);
}

static void what_is_in_force_goes_with_its_pool(void **state)
{
    apr_pool_t *p;
    mtls_live_t *live;

    (void)state;
    atomic_store(&alive, 0);
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    live = mtls_live_make(p);
    assert_non_null(live);
    put(live, 1);
    put(live, 2);
    assert_int_equal(atomic_load(&alive), 1);
    apr_pool_destroy(p);
    assert_int_equal(atomic_load(&alive), 0);
}

static void nothing_in_force_is_no_trouble_at_the_end(void **state)
{
    apr_pool_t *p;

    (void)state;
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    assert_non_null(mtls_live_make(p));
    apr_pool_destroy(p);
}

static void what_is_fixed_has_a_version_and_no_pool_of_its_own(void **state)
{
    static const content_t content = {4711, 4711};
    mtls_live_t *live = mtls_live_fixed(pool, &content);
    const mtls_version_t *first, *second;

    (void)state;
    assert_non_null(live);
    first = mtls_live_take(live);
    second = mtls_live_take(live);
    assert_ptr_equal(first, second);
    assert_ptr_equal(first->data, &content);
    assert_null(first->p);
    assert_int_equal(mtls_live_serial(live), first->serial);
    assert_int_not_equal(first->serial, 0);
    mtls_live_give_back(live, first);
    mtls_live_give_back(live, second);
    first = mtls_live_take(live);
    assert_int_equal(number_of(first), 4711);
    mtls_live_give_back(live, first);
}

static void a_version_can_hold_nothing(void **state)
{
    mtls_live_t *live = begin();
    const mtls_version_t *version;
    apr_pool_t *p;

    (void)state;
    assert_int_equal(apr_pool_create(&p, NULL), APR_SUCCESS);
    mtls_live_replace(live, p, NULL);
    version = mtls_live_take(live);
    assert_non_null(version); /* a version of nothing is not no version */
    assert_null(version->data);
    assert_int_not_equal(mtls_live_serial(live), 0);
    mtls_live_give_back(live, version);
}

/* ---- threads ---- */

typedef struct hammer_t {
    mtls_live_t *live;
    atomic_int stop;
    atomic_int ready;
    atomic_int wrong;
    atomic_ulong reads;
} hammer_t;

/* Sees whole versions only, and never an older one than before. */
static int read_once(hammer_t *h, apr_uint64_t *seen, const mtls_version_t *kept)
{
    const mtls_version_t *version = mtls_live_take(h->live);
    const content_t *content = version ? version->data : NULL;
    int wrong = !content || content->number != content->twin || version->serial < *seen;

    if (kept) {
        content = kept->data;
        wrong += content->number != content->twin;
    }
    if (version)
        *seen = version->serial;
    wrong += mtls_live_serial(h->live) < *seen;
    mtls_live_give_back(h->live, version);
    atomic_fetch_add(&h->reads, 1);
    return wrong;
}

static void *read_often(void *hammer)
{
    hammer_t *h = hammer;
    const mtls_version_t *kept = NULL;
    apr_uint64_t seen = 0;
    unsigned int i;

    atomic_fetch_add(&h->ready, 1);
    for (i = 0; !atomic_load(&h->stop); i++) {
        if (i % 64 == 0) { /* hold on to one for a while */
            mtls_live_give_back(h->live, kept);
            kept = mtls_live_take(h->live);
        }
        atomic_fetch_add(&h->wrong, read_once(h, &seen, kept));
    }
    mtls_live_give_back(h->live, kept);
    return NULL;
}

static void threads_read_while_versions_come_and_go(void **state)
{
    hammer_t h = {.live = begin()};
    pthread_t threads[4];
    unsigned long i;
    void *result;

    (void)state;
    put(h.live, 0);
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &h), 0);
    while (atomic_load(&h.ready) < (int)ROWS(threads))
        sched_yield();
    for (i = 1; i <= ROUNDS; i++)
        put(h.live, i);
    while (atomic_load(&h.reads) < ROUNDS)
        sched_yield();
    atomic_store(&h.stop, 1);
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_join(threads[i], &result), 0);
    assert_int_equal(atomic_load(&h.wrong), 0);
    assert_int_equal(atomic_load(&alive), 1);
    assert_int_equal(mtls_live_serial(h.live), ROUNDS + 1);
}

/* The last reader may be any thread, also one that never saw the version come. */
static void *give_back_all(void *baton)
{
    const mtls_version_t **versions = ((void **)baton)[0];
    mtls_live_t *live = ((void **)baton)[1];
    int i;

    for (i = 0; i < 500; i++)
        mtls_live_give_back(live, versions[i]);
    return NULL;
}

static void another_thread_may_give_back(void **state)
{
    static const mtls_version_t *versions[2][500];
    mtls_live_t *live = begin();
    void *batons[2][2] = {{versions[0], live}, {versions[1], live}};
    pthread_t threads[2];
    unsigned long i;
    void *result;

    (void)state;
    for (i = 0; i < ROWS(versions[0]); i++) {
        put(live, i);
        versions[0][i] = mtls_live_take(live);
        versions[1][i] = mtls_live_take(live);
    }
    assert_int_equal(atomic_load(&alive), ROWS(versions[0]));
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, give_back_all, batons[i]), 0);
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_join(threads[i], &result), 0);
    assert_int_equal(atomic_load(&alive), 1);
}

int main(void)
{
    SUITE_CASE(nothing_is_in_force_at_first);
    SUITE_CASE(what_was_put_is_in_force);
    SUITE_CASE(serials_grow_and_none_comes_twice);
    SUITE_CASE(a_version_nobody_reads_goes_when_it_is_replaced);
    SUITE_CASE(a_reader_keeps_the_version_it_has);
    SUITE_CASE(a_version_goes_with_its_last_reader);
    SUITE_CASE(several_old_versions_live_side_by_side);
    SUITE_CASE(what_is_in_force_goes_with_its_pool);
    SUITE_CASE(nothing_in_force_is_no_trouble_at_the_end);
    SUITE_CASE(what_is_fixed_has_a_version_and_no_pool_of_its_own);
    SUITE_CASE(a_version_can_hold_nothing);
    SUITE_CASE(threads_read_while_versions_come_and_go);
    SUITE_CASE(another_thread_may_give_back);
    return suite_run("live", 13);
}
