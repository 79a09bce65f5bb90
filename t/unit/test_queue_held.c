/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/queue: what is known already. Nothing older undoes it, a revocation holds until a newer good
 * is proved, and caches, folders, other gateways and clocks may do what they like. */

#include "desk.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static const mtls_span_t nothing = {NULL, 0};

/* Ask for 1001, and let the responder say this. */
static mtls_span_t fetch(int status, apr_interval_time_t age)
{
    mtls_ask_t ask = desk_ask_of("1001");
    mtls_span_t response = desk_response("1001", status, age);
    int before = desk.exchanges->nelts;

    desk_ask(&ask, 0);
    assert_exchanges(before + 1);
    desk_end_with(response);
    if (status == UNKNOWN)
        desk_end_with(response);
    return response;
}

static mtls_ocsp_record_t cached(void)
{
    mtls_ocsp_record_t record;
    mtls_ask_t ask = desk_ask_of("1001");

    (void)mtls_ocsp_record_get(&desk.cache.store, pool, ask.key, &record);
    return record;
}

static void put_cached(mtls_span_t response, mtls_span_t revocation, apr_time_t fetched_at)
{
    mtls_ocsp_record_t record = {response, revocation, fetched_at, fetched_at};
    mtls_ask_t ask = desk_ask_of("1001");

    assert_int_equal(
        mtls_ocsp_record_put(&desk.cache.store, pool, ask.key, &record, desk.now + 365 * DAY), 1);
}

static void lose_cache(void)
{
    apr_hash_clear(desk.cache.entries);
}

/* ---- older and newer ---- */

static void an_older_answer_does_not_undo_one_that_has_run_out(void **state)
{
    mtls_ask_t ask;
    mtls_span_t held;

    (void)state;
    desk_open(1);
    held = fetch(GOOD, 0);
    desk_pass(DAY + HOUR);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(desk_response_to(NULL, "1001", GOOD, DAY + 2 * HOUR)); /* run out as well */
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, held);
    assert_span_equal(cached().response, held);
    assert_int_equal(cached().fetched_at, WORLD_NOW);
    assert_int_equal(cached().checked_at, desk.now);
}

static void an_older_answer_that_is_fresh_does_not_replace_a_newer_one_either(void **state)
{
    ocsp_statement_t short_lived = {.from = WORLD_NOW, .to = WORLD_NOW + 2 * HOUR};
    ocsp_t spec = {.signer = NULL, .statements = &short_lived, .n = 1, .produced_at = WORLD_NOW};
    mtls_span_t held, older, newer;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    spec.signer = &desk.ca;
    held = ocsp_make(pool, &spec);
    older = desk_response("1001", GOOD, HOUR);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 0);
    desk_end_with(held);
    desk_pass(4 * HOUR); /* the held one has run out, the older one lasts a day */
    desk_ask(&ask, 1);
    desk_end_with(older);
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, held);
    assert_message(desk.last_warning, "older than the one that is known|" URL);
    desk_pass(2 * SECOND);
    newer = desk_response("1001", GOOD, 0);
    desk_ask(&ask, 2);
    desk_end_with(newer);
    assert_answer(desk_answer(2), MTLS_ANSWER_STATUS, newer);
}

static void while_the_newer_one_is_fresh_an_older_answer_confirms_it(void **state)
{
    mtls_span_t held, older;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    older = desk_response("1001", GOOD, HOUR);
    held = fetch(REVOKED, 0);
    desk_pass(2 * HOUR);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(older);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, held);
    assert_span_equal(cached().response, held);
    assert_span_equal(cached().revocation, held);
    assert_int_equal(cached().fetched_at, desk.now);
    assert_int_equal(cached().checked_at, desk.now);
    assert_int_equal(desk.changed, 1);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, held);
    assert_exchanges(2);
}

static void the_same_answer_again_counts_from_now_on(void **state)
{
    mtls_span_t held;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    held = fetch(GOOD, 0);
    desk_pass(2 * HOUR);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(held);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, held);
    assert_int_equal(cached().fetched_at, desk.now);
    desk_pass(MAX_AGE - SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, held);
    assert_exchanges(2);
    assert_int_equal(desk.changed, 0);
}

static void a_good_signed_in_the_same_second_does_not_undo_a_revocation(void **state)
{
    mtls_span_t good, revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 0);
    revoked = fetch(REVOKED, 0);
    desk_pass(2 * HOUR);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, revoked);
    /* The other way round it is the revocation that counts. */
    desk_open(1);
    desk_ask(&ask, 0);
    good = desk_response("1001", GOOD, 0);
    revoked = desk_response("1001", REVOKED, 0);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 2);
    desk_end(&APR_ARRAY_IDX(desk.exchanges, 1, exchange_t), MTLS_FETCH_DONE, good, NULL);
    desk_pass(2 * HOUR);
    desk_ask(&ask, 3);
    desk_end_with(revoked);
    assert_answer(desk_answer(3), MTLS_ANSWER_STATUS, revoked);
}

/* ---- revocations ---- */

static const char *folder_path(void)
{
    char *path = apr_pstrdup(pool, "/tmp/mtls_test_queue_XXXXXX");

    assert_non_null(mkdtemp(path));
    return path;
}

/* The only one there; NULL: there is none. */
static const char *file_of(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    const char *name = NULL;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        assert_null(name);
        name = apr_pstrcat(pool, folder, "/", entry->d_name, NULL);
    }
    closedir(dir);
    return name;
}

static void remove_folder(const char *folder)
{
    const char *file = file_of(folder);

    if (file)
        assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_revocation_outlives_restart_cache_and_responder(void **state)
{
    const char *folder = folder_path();
    mtls_span_t revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    revoked = fetch(REVOKED, 0);
    assert_int_equal(desk.changed, 1);
    lose_cache();
    desk_restart();
    desk_pass(40 * DAY); /* and it has run out */
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, revoked);
    assert_span_equal(desk_answer(1)->record.revocation, revoked);
    assert_span_equal(cached().revocation, revoked); /* for all to see, and for long */
    assert_int_equal(cache_expires(&desk.cache, mtls_span((const char *)ask.key, 20)),
                     desk.now + 30 * DAY);
    /* Nor does it take a responder's URL to know. */
    lose_cache();
    desk_restart();
    apr_array_clear(ask.urls);
    assert_answer(desk_get(&ask), MTLS_ANSWER_NO_RESPONDER, revoked);
    remove_folder(folder);
}

static void a_newer_good_ends_a_revocation_everywhere(void **state)
{
    const char *folder = folder_path();
    mtls_span_t revoked, good;
    struct stat st;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    revoked = fetch(REVOKED, 0);
    assert_int_equal(stat(file_of(folder), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal((apr_size_t)st.st_size, revoked.len);
    desk_pass(2 * HOUR);
    good = fetch(GOOD, 0);
    assert_int_equal(desk.changed, 2);
    assert_span_equal(cached().response, good);
    assert_int_equal(cached().revocation.len, 0);
    assert_null(file_of(folder));
    lose_cache();
    desk_restart();
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, nothing);
    remove_folder(folder);
}

/* Of an ECDSA signature anybody can make another one: other bytes, other key, the same serial. */
static void a_revocation_holds_for_other_bytes_of_the_certificate(void **state)
{
    const char *folder = folder_path();
    mtls_span_t revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    revoked = fetch(REVOKED, 0);
    ask = desk_ask_of("1001");
    ask.key[0] ^= 1;
    desk_pass(2 * DAY);
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, revoked);
    assert_span_equal(desk_answer(1)->record.revocation, revoked);
    remove_folder(folder);
}

static void that_it_is_unknown_does_not_end_a_revocation(void **state)
{
    const char *folder = folder_path();
    mtls_span_t revoked, unknown, good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    revoked = fetch(REVOKED, 0);
    desk_pass(2 * HOUR);
    unknown = fetch(UNKNOWN, 0);
    assert_span_equal(cached().response, unknown);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.changed, 1);
    assert_non_null(file_of(folder));
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, unknown);
    assert_span_equal(desk_get(&ask)->record.revocation, revoked);
    desk_pass(2 * HOUR);
    good = fetch(GOOD, 0);
    assert_span_equal(cached().response, good);
    assert_int_equal(cached().revocation.len, 0);
    assert_null(file_of(folder));
    assert_int_equal(desk.changed, 2);
    remove_folder(folder);
}

static void a_good_replayed_into_the_cache_does_not_end_a_revocation(void **state)
{
    const char *folder = folder_path();
    mtls_span_t revoked, replayed;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    replayed = desk_response("1001", GOOD, HOUR);
    revoked = fetch(REVOKED, 0);
    ask = desk_ask_of("1001");
    put_cached(replayed, nothing, desk.now);
    desk_pass(SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_span_equal(cached().response, revoked);
    assert_span_equal(cached().revocation, revoked);
    /* Whoever has only the file knows as well; everybody is told, for the cache said otherwise. */
    put_cached(replayed, nothing, desk.now);
    desk_restart();
    assert_int_equal(desk.changed, 1);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_int_equal(desk.changed, 2);
    assert_span_equal(cached().response, revoked);
    assert_exchanges(1);
    remove_folder(folder);
}

static void a_file_that_proves_nothing_is_no_revocation(void **state)
{
    const char *folder = folder_path();
    const char *name;
    mtls_span_t good, texts[3];
    mtls_ask_t ask;
    size_t i;

    (void)state;
    desk_open(1);
    desk.env.revocations = folder;
    desk_restart();
    fetch(REVOKED, 0);
    name = file_of(folder);
    assert_non_null(name);
    desk.changed = 0;
    ask = desk_ask_of("1001");
    texts[0] = mtls_span_of("garbage");
    texts[1] = desk_response("1002", REVOKED, 0);
    texts[2] = desk_response("1001", GOOD, 0); /* only revocations lie there */
    for (i = 0; i < ROWS(texts); i++) {
        FILE *out = fopen(name, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(texts[i].data, 1, texts[i].len, out), texts[i].len);
        assert_int_equal(fclose(out), 0);
        lose_cache();
        desk_restart();
        desk_ask(&ask, (int)i + 1);
        good = desk_response("1001", GOOD, -SECOND);
        desk_end_with(good);
        assert_answer(desk_answer((int)i + 1), MTLS_ANSWER_STATUS, good);
        assert_int_equal(desk.changed, 0);
    }
    remove_folder(folder);
}

static void a_folder_that_takes_nothing_is_complained_about(void **state)
{
    mtls_span_t revoked;

    (void)state;
    desk_open(1);
    desk.env.revocations = "/nonexistent/folder";
    desk_restart();
    revoked = fetch(REVOKED, 0);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.warnings, 1);
    assert_message(desk.last_warning, "may be forgotten|/nonexistent/folder|No such file");
}

/* ---- who is told of changes ---- */

static void changes_are_told_and_nothing_else(void **state)
{
    static const struct {
        int status, changed;
    } steps[] = {{GOOD, 0},    {GOOD, 0},    {UNKNOWN, 1}, {GOOD, 2},
                 {REVOKED, 3}, {REVOKED, 3}, {GOOD, 4}};
    size_t i;

    (void)state;
    desk_open(1);
    for (i = 0; i < ROWS(steps); i++) {
        fetch(steps[i].status, 0);
        assert_int_equal(desk.changed, steps[i].changed);
        desk_pass(2 * HOUR);
    }
}

static void a_change_that_another_gateway_has_found_is_told(void **state)
{
    mtls_span_t revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    fetch(GOOD, 0);
    desk_pass(MAX_AGE);
    revoked = desk_response("1001", REVOKED, 0);
    put_cached(revoked, revoked, desk.now);
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_int_equal(desk.changed, 1);
    assert_exchanges(1);
}

/* ---- caches ---- */

static void what_another_process_has_stored_is_enough(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;
    int puts;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    good = desk_response("1001", GOOD, HOUR / 2);
    put_cached(good, nothing, desk.now);
    puts = desk.cache.puts;
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(0);
    assert_int_equal(desk.cache.puts, puts);
}

/* A new process finds what everybody has known for long. */
static void what_the_cache_says_already_is_no_change(void **state)
{
    mtls_span_t revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    revoked = desk_response("1001", REVOKED, 0);
    put_cached(revoked, revoked, desk.now);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_int_equal(desk.changed, 0);
    desk_restart();
    put_cached(desk_response("1001", GOOD, HOUR), nothing, desk.now);
    desk_pass(2 * HOUR);
    fetch(UNKNOWN, 0);
    assert_int_equal(desk.changed, 1);
}

static void a_cache_that_loses_everything_costs_no_exchange(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = fetch(GOOD, 0);
    lose_cache();
    desk_pass(SECOND);
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_span_equal(cached().response, good); /* it is there again */
    assert_int_equal(cached().fetched_at, WORLD_NOW);
    assert_exchanges(1);
}

typedef struct cache_fault_t {
    const char *name;
    int full, gone, none;
} cache_fault_t;

static const cache_fault_t cache_faults[] = {
    {"a cache that takes nothing", 1, 0, 0},
    {"a cache that has gone", 0, 1, 0},
    {"no cache", 0, 0, 1},
};

static void cache_fault_case(void **state)
{
    const cache_fault_t *row = *state;
    mtls_span_t good;
    mtls_ask_t ask;

    desk_open(!row->none);
    desk.cache.full = row->full;
    desk.cache.gone = row->gone;
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    good = desk_response("1001", GOOD, 0);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    desk_pass(SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(1);
    desk_pass(2 * HOUR);
    desk_ask(&ask, 2);
    desk_end_failed();
    assert_answer(desk_answer(2), MTLS_ANSWER_FAILED, good);
    assert_int_equal(desk_answer(2)->record.fetched_at, WORLD_NOW);
    assert_int_equal(desk_answer(2)->record.checked_at, desk.now);
}

static void put_raw(const char *key, mtls_span_t data)
{
    assert_int_equal(
        desk.env.store->put(desk.env.store->baton, mtls_span(key, 20), data, desk.now + DAY), 1);
}

static void what_is_corrupt_in_the_cache_is_not_there(void **state)
{
    ocsp_t forged = {.signer = NULL};
    mtls_span_t bad[4], good;
    char *with_flag;
    mtls_ask_t ask;
    size_t i;

    (void)state;
    desk_open(1);
    forged.signer = &desk.other_ca;
    forged.issuer = desk.ca.x;
    bad[0] = mtls_span_of("\1garbage");
    bad[1] = mtls_span("\0", 1);
    bad[2] = mtls_span("\1", 1);
    good = ocsp_make(pool, &forged);
    with_flag = apr_palloc(pool, good.len + 1);
    with_flag[0] = 1;
    memcpy(with_flag + 1, good.data, good.len);
    bad[3] = mtls_span(with_flag, good.len + 1);
    for (i = 0; i < ROWS(bad); i++) {
        lose_cache();
        desk_restart();
        ask = desk_ask_of("1001");
        put_raw((const char *)ask.key, bad[i]);
        desk_ask(&ask, (int)i + 1);
        good = desk_response("1001", GOOD, 0);
        desk_end_with(good);
        assert_answer(desk_answer((int)i + 1), MTLS_ANSWER_STATUS, good);
        assert_span_equal(cached().response, good);
    }
}

static void a_response_that_lies_ahead_is_not_held_against_one_of_now(void **state)
{
    mtls_span_t ahead, good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ahead = desk_response("1001", GOOD, -1800 * SECOND); /* proved, and beyond the skew */
    put_cached(ahead, nothing, desk.now);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    good = desk_response("1001", GOOD, 0);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    assert_span_equal(cached().response, good);
}

static void a_record_is_kept_longer_the_more_it_is_needed(void **state)
{
    mtls_ask_t ask;
    mtls_span_t key;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    key = mtls_span((const char *)ask.key, MTLS_OCSP_KEY_BYTES);
    ask.stale = 5 * DAY;
    desk_ask(&ask, 0);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(cache_expires(&desk.cache, key), desk.now + DAY + DAY + 5 * DAY);
    desk_pass(2 * HOUR);
    fetch(REVOKED, 0);
    assert_int_equal(cache_expires(&desk.cache, key), desk.now + DAY + 30 * DAY);
}

static void an_endless_response_is_not_kept_for_ever(void **state)
{
    ocsp_statement_t endless = {.from = WORLD_NOW, .to_text = "99991231235959Z"};
    ocsp_t spec = {.statements = &endless, .n = 1};
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    spec.signer = &desk.ca;
    ask = desk_ask_of("1001");
    desk_ask(&ask, 0);
    desk_end_with(ocsp_make(pool, &spec));
    assert_true(cache_expires(&desk.cache, mtls_span((const char *)ask.key, 20)) <=
                desk.now + 32 * DAY);
    desk_pass(MAX_AGE);
    desk_ask(&ask, 0);
    assert_exchanges(2);
}

/* ---- MTLSOCSPResponses ---- */

static void put_file(mtls_span_t response)
{
    APR_ARRAY_PUSH(desk.folder, mtls_span_t) = response;
}

static void open_with_folder(void)
{
    desk_open(1);
    desk.folder = apr_array_make(pool, 2, sizeof(mtls_span_t));
    desk.env.folder = (mtls_folder_t *)(void *)desk.folder; /* only ever handed back */
    desk_restart();
}

static void a_file_is_an_answer_without_an_exchange(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    open_with_folder();
    good = desk_response("1001", GOOD, HOUR);
    put_file(mtls_span_of("garbage"));
    put_file(desk_response("1001", GOOD, 2 * HOUR));
    put_file(good);
    put_file(desk_response("1002", REVOKED, 0));
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_span_equal(cached().response, good);
    assert_int_equal(cached().fetched_at, desk.now);
    desk_pass(SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(cached().fetched_at, desk.now - SECOND);
    assert_int_equal(cached().checked_at, desk.now);
    assert_exchanges(0);
}

static void a_file_wins_when_it_is_newer_and_loses_when_it_is_older(void **state)
{
    mtls_span_t good, older, revoked;
    mtls_ask_t ask;

    (void)state;
    open_with_folder();
    older = desk_response("1001", REVOKED, HOUR);
    good = fetch(GOOD, 0);
    put_file(older);
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(desk_get(&ask)->record.revocation.len, 0);
    /* No moment passes between a file's coming and the next answer. */
    desk_pass(1);
    revoked = desk_response("1001", REVOKED, -SECOND);
    put_file(revoked);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.changed, 1);
    assert_exchanges(1);
}

static void without_a_responder_the_folder_is_as_new_as_it_gets(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    open_with_folder();
    good = desk_response("1001", GOOD, 0);
    put_file(good);
    ask = desk_ask_of("1001");
    apr_array_clear(ask.urls);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    desk_pass(20 * HOUR);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(cached().fetched_at, desk.now);
    desk_pass(5 * HOUR); /* it has run out */
    assert_answer(desk_get(&ask), MTLS_ANSWER_NO_RESPONDER, good);
    assert_exchanges(0);
}

static void with_a_responder_a_file_is_renewed_like_any_status(void **state)
{
    mtls_span_t good, newer;
    mtls_ask_t ask;

    (void)state;
    open_with_folder();
    good = desk_response("1001", GOOD, 0);
    put_file(good);
    ask = desk_ask_of("1001");
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    desk_pass(MAX_AGE);
    desk_ask(&ask, 1);
    newer = desk_response("1001", GOOD, 0);
    desk_end_with(newer);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, newer);
    desk_pass(MAX_AGE);
    desk_ask(&ask, 2);
    desk_end_failed();
    assert_answer(desk_answer(2), MTLS_ANSWER_FAILED, newer);
}

static void a_file_ends_the_wait_after_a_failure(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    open_with_folder();
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, nothing);
    assert_answer(desk_get(&ask), MTLS_ANSWER_FAILED, nothing);
    good = desk_response("1001", GOOD, 0);
    put_file(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(2);
}

/* ---- other gateways ---- */

static const unsigned char somebody[MTLS_OCSP_CLAIMANT_BYTES] = "somebody else";

static void claim_for_somebody(const mtls_ask_t *ask, apr_interval_time_t time)
{
    assert_int_equal(mtls_ocsp_record_claim(&desk.cache.store, ask->key, somebody, desk.now + time),
                     1);
}

static void what_another_gateway_asks_for_is_waited_for(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    claim_for_somebody(&ask, TIMEOUT);
    desk_ask(&ask, 1);
    desk_ask(&ask, 2);
    assert_exchanges(0);
    for (i = 0; i < 20; i++) {
        assert_int_equal(mtls_queue_run(desk.queue), apr_time_from_msec(50));
        desk_pass(apr_time_from_msec(50));
    }
    assert_null(desk_answer(1));
    good = desk_response("1001", GOOD, 0);
    put_cached(good, nothing, desk.now);
    mtls_ocsp_record_release(&desk.cache.store, ask.key);
    (void)mtls_queue_run(desk.queue);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    assert_answer(desk_answer(2), MTLS_ANSWER_STATUS, good);
    assert_exchanges(0);
    assert_true(mtls_queue_run(desk.queue) >= SECOND);
}

static void when_another_gateway_gets_nothing_this_one_asks(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    claim_for_somebody(&ask, TIMEOUT);
    desk_ask(&ask, 1);
    desk_pass(apr_time_from_msec(60));
    mtls_ocsp_record_release(&desk.cache.store, ask.key);
    (void)mtls_queue_run(desk.queue);
    assert_exchanges(1);
    assert_int_equal(desk_exchange()->fetch.deadline, desk.now + TIMEOUT);
}

static void another_gateway_that_hangs_is_waited_for_half_as_long_as_an_exchange(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    claim_for_somebody(&ask, DAY);
    desk_ask(&ask, 1);
    desk_pass(TIMEOUT / 2 - 1);
    (void)mtls_queue_run(desk.queue);
    assert_exchanges(0);
    desk_pass(apr_time_from_msec(50));
    (void)mtls_queue_run(desk.queue);
    assert_exchanges(1);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
    /* Its claim is its own. */
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&desk.cache.store, ask.key,
                                                       (const unsigned char *)"me, not somebody"),
                     1);
}

static void others_are_held_off_while_one_asks(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 0);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&desk.cache.store, ask.key, somebody), 1);
    desk_pass(TIMEOUT);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&desk.cache.store, ask.key, somebody), 1);
    desk_pass(2 * SECOND); /* this process has died */
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&desk.cache.store, ask.key, somebody), 0);
    desk_restart();
    desk_ask(&ask, 0);
    desk_end_failed();
    desk_end_failed();
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&desk.cache.store, ask.key, somebody), 0);
}

static void many_claims_are_looked_at_a_few_at_a_time(void **state)
{
    mtls_ask_t ask;
    int i, gets;

    (void)state;
    desk_open(1);
    for (i = 0; i < 200; i++) {
        ask = desk_ask_of(apr_psprintf(pool, "%x", 0x2000 + i));
        claim_for_somebody(&ask, DAY);
        desk_ask(&ask, 0);
    }
    desk_pass(apr_time_from_msec(50));
    gets = desk.cache.gets;
    assert_int_equal(mtls_queue_run(desk.queue), 0);
    assert_int_equal(desk.cache.gets - gets, 32);
    for (i = 0; i < 5; i++)
        assert_int_equal(mtls_queue_run(desk.queue), 0);
    assert_int_equal(mtls_queue_run(desk.queue), apr_time_from_msec(50));
    assert_int_equal(desk.cache.gets - gets, 200);
    assert_exchanges(0);
}

/* ---- clocks ---- */

static void a_clock_set_back_does_not_stop_the_asking(void **state)
{
    mtls_ask_t ask;
    mtls_span_t held;

    (void)state;
    desk_open(1);
    held = fetch(GOOD, 4 * HOUR);
    ask = desk_ask_of("1001");
    desk_set_clock(desk.now - 2 * HOUR);
    desk_pass(SECOND);
    /* When it was fetched is not known any more: it counts from its thisUpdate. */
    desk_ask(&ask, 1);
    assert_exchanges(2);
    desk_end_with(held);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, held);
    assert_int_equal(cached().fetched_at, desk.now);
}

static void failures_are_forgotten_by_the_time_that_passes(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    desk_set_clock(desk.now + DAY); /* that is not time */
    assert_answer(desk_get(&ask), MTLS_ANSWER_FAILED, nothing);
    assert_exchanges(2);
    desk_set_clock(desk.now - 365 * DAY);
    desk_pass(2 * SECOND);
    desk_ask(&ask, 2);
    assert_exchanges(3);
}

static void a_revocation_holds_whatever_the_clock_says(void **state)
{
    mtls_ask_t ask;
    mtls_span_t revoked;

    (void)state;
    desk_open(1);
    revoked = fetch(REVOKED, 0);
    ask = desk_ask_of("1001");
    desk_set_clock(WORLD_NOW - 10 * DAY);
    desk_pass(SECOND);
    desk_ask(&ask, 1);
    desk_end_with(desk_response("1001", GOOD, 0)); /* older than the revocation */
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_FAILED);
    assert_span_equal(desk_answer(1)->record.revocation, revoked);
    assert_span_equal(cached().revocation, revoked);
    desk_set_clock(WORLD_NOW + 10 * DAY);
    desk_pass(2 * SECOND);
    desk_ask(&ask, 2);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(2)->kind, MTLS_ANSWER_STATUS);
    assert_int_equal(desk_answer(2)->record.revocation.len, 0);
}

static void without_ticks_the_system_has_some(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    desk.env.ticks = NULL;
    desk_restart();
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
}

int main(void)
{
    SUITE_CASE(an_older_answer_does_not_undo_one_that_has_run_out);
    SUITE_CASE(an_older_answer_that_is_fresh_does_not_replace_a_newer_one_either);
    SUITE_CASE(while_the_newer_one_is_fresh_an_older_answer_confirms_it);
    SUITE_CASE(the_same_answer_again_counts_from_now_on);
    SUITE_CASE(a_good_signed_in_the_same_second_does_not_undo_a_revocation);
    SUITE_CASE(a_revocation_outlives_restart_cache_and_responder);
    SUITE_CASE(a_newer_good_ends_a_revocation_everywhere);
    SUITE_CASE(a_revocation_holds_for_other_bytes_of_the_certificate);
    SUITE_CASE(that_it_is_unknown_does_not_end_a_revocation);
    SUITE_CASE(a_good_replayed_into_the_cache_does_not_end_a_revocation);
    SUITE_CASE(a_file_that_proves_nothing_is_no_revocation);
    SUITE_CASE(a_folder_that_takes_nothing_is_complained_about);
    SUITE_CASE(changes_are_told_and_nothing_else);
    SUITE_CASE(a_change_that_another_gateway_has_found_is_told);
    SUITE_CASE(what_another_process_has_stored_is_enough);
    SUITE_CASE(what_the_cache_says_already_is_no_change);
    SUITE_CASE(a_cache_that_loses_everything_costs_no_exchange);
    SUITE_TABLE(cache_fault_case, cache_faults);
    SUITE_CASE(what_is_corrupt_in_the_cache_is_not_there);
    SUITE_CASE(a_response_that_lies_ahead_is_not_held_against_one_of_now);
    SUITE_CASE(a_record_is_kept_longer_the_more_it_is_needed);
    SUITE_CASE(an_endless_response_is_not_kept_for_ever);
    SUITE_CASE(a_file_is_an_answer_without_an_exchange);
    SUITE_CASE(a_file_wins_when_it_is_newer_and_loses_when_it_is_older);
    SUITE_CASE(without_a_responder_the_folder_is_as_new_as_it_gets);
    SUITE_CASE(with_a_responder_a_file_is_renewed_like_any_status);
    SUITE_CASE(a_file_ends_the_wait_after_a_failure);
    SUITE_CASE(what_another_gateway_asks_for_is_waited_for);
    SUITE_CASE(when_another_gateway_gets_nothing_this_one_asks);
    SUITE_CASE(another_gateway_that_hangs_is_waited_for_half_as_long_as_an_exchange);
    SUITE_CASE(others_are_held_off_while_one_asks);
    SUITE_CASE(many_claims_are_looked_at_a_few_at_a_time);
    SUITE_CASE(a_clock_set_back_does_not_stop_the_asking);
    SUITE_CASE(failures_are_forgotten_by_the_time_that_passes);
    SUITE_CASE(a_revocation_holds_whatever_the_clock_says);
    SUITE_CASE(without_ticks_the_system_has_some);
    return suite_run("queue_held", 38);
}
