/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/record. */

#include "suite.h"

#include "cache.h"
#include "ocsp/record.h"
#include "policy/limits.h"

#define EXPIRES (WORLD_NOW + WORLD_DAYS)
#define BESIDE  ":mtls:ocsp"
#define CLAIM   ":mtls:asks"

/* A byte of each kind, and a NUL first: keys are no text. */
static const unsigned char key[MTLS_OCSP_KEY_BYTES] = {
    0, 1, 2, 255, 254, 'm', 0, 'x', 10, 13, 32, 127, 128, 9, 8, '/', ':', 3, 4, 5};
static const unsigned char other_key[MTLS_OCSP_KEY_BYTES] = {0, 1, 2, 255};

static mtls_span_t key_span(void)
{
    return mtls_span((const char *)key, sizeof(key));
}

static mtls_span_t key_named(const char *name)
{
    char *at = apr_palloc(pool, sizeof(key) + strlen(name));

    memcpy(at, key, sizeof(key));
    memcpy(at + sizeof(key), name, strlen(name));
    return mtls_span(at, sizeof(key) + strlen(name));
}

static mtls_span_t filled(char c, apr_size_t len)
{
    char *at = apr_palloc(pool, len ? len : 1);

    memset(at, c, len);
    return mtls_span(at, len);
}

static void begin(cache_t *cache)
{
    cache_init(cache, pool, WORLD_NOW);
}

static mtls_ocsp_record_t sample(void)
{
    mtls_ocsp_record_t record = {.response = mtls_span_of("response"),
                                 .revocation = mtls_span_of("revocation"),
                                 .fetched_at = WORLD_NOW - 5,
                                 .checked_at = WORLD_NOW - 3};
    return record;
}

static int put(cache_t *cache, const mtls_ocsp_record_t *record)
{
    return mtls_ocsp_record_put(&cache->store, pool, key, record, EXPIRES);
}

static int get(cache_t *cache, mtls_ocsp_record_t *record)
{
    memset(record, 0x55, sizeof(*record));
    return mtls_ocsp_record_get(&cache->store, pool, key, record);
}

static void write_entry(cache_t *cache, mtls_span_t name, mtls_span_t data)
{
    assert_int_equal(cache->store.put(cache, name, data, EXPIRES), 1);
}

static void assert_record_equal(const mtls_ocsp_record_t *got, const mtls_ocsp_record_t *expected)
{
    assert_span_equal(got->response, expected->response);
    assert_span_equal(got->revocation, expected->revocation);
    assert_true(got->fetched_at == expected->fetched_at);
    assert_true(got->checked_at == expected->checked_at);
}

static void a_record_comes_back_whole(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(get(&cache, &out), 0);
    assert_int_equal(put(&cache, &in), 1);
    assert_int_equal(get(&cache, &out), 1);
    assert_record_equal(&out, &in);
    assert_int_equal(mtls_ocsp_record_get(&cache.store, pool, other_key, &out), 0);
    assert_true(cache_expires(&cache, key_span()) == EXPIRES);
    assert_true(cache_expires(&cache, key_named(BESIDE)) == EXPIRES);
}

/* Key and layout are mod_ssl's. */
static void mod_ssl_finds_what_we_have_stored(void **state)
{
    mtls_ocsp_record_t in = sample();
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    assert_span_equal(cache_entry(&cache, key_span()), mtls_span_of("\1response"));
}

static void we_find_what_mod_ssl_has_stored(void **state)
{
    mtls_ocsp_record_t out;
    cache_t cache;

    (void)state;
    begin(&cache);
    write_entry(&cache, key_span(), mtls_span_of("\1theirs"));
    assert_int_equal(get(&cache, &out), 1);
    assert_span_text(out.response, "theirs");
    assert_int_equal(out.revocation.len, 0);
    assert_true(out.fetched_at == 0 && out.checked_at == 0);
}

static void what_mod_ssl_writes_over_ours_has_no_time_of_ours(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    write_entry(&cache, key_span(), mtls_span_of("\1theirs"));
    assert_int_equal(get(&cache, &out), 1);
    assert_span_text(out.response, "theirs");
    assert_true(out.fetched_at == 0);
    assert_true(out.checked_at == in.checked_at);
    assert_span_equal(out.revocation, in.revocation);
}

static const struct main_row {
    const char *name;
    const char *data;
    unsigned int len;
} no_responses[] = {
    {"main: empty", "", 0},
    {"main: flag only", "\1", 1},
    {"main: an error mod_ssl remembers", "\0response", 9},
    {"main: another flag", "\2response", 9},
    {"main: no flag", "0\3\2\1\5", 5},
};

static void main_case(void **state)
{
    const struct main_row *row = *state;
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    begin(&cache);
    write_entry(&cache, key_span(), mtls_span(row->data, row->len));
    assert_int_equal(get(&cache, &out), 0);
    assert_int_equal(out.response.len, 0);
    assert_int_equal(put(&cache, &in), 1);
    write_entry(&cache, key_span(), mtls_span(row->data, row->len));
    assert_int_equal(get(&cache, &out), 1);
    in.response.len = 0;
    in.fetched_at = 0;
    assert_record_equal(&out, &in);
}

static void a_record_cut_anywhere_loses_what_is_cut_only(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    mtls_span_t whole;
    apr_size_t len;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    whole = cache_entry(&cache, key_named(BESIDE));
    assert_true(whole.len > in.revocation.len + 16);
    for (len = 0; len < whole.len; len++) {
        write_entry(&cache, key_named(BESIDE), mtls_span(whole.data, len));
        assert_int_equal(get(&cache, &out), 1);
        assert_span_equal(out.response, in.response);
        assert_true(out.revocation.len < in.revocation.len);
        if (len < whole.len - in.revocation.len)
            assert_true(out.fetched_at == 0 && out.checked_at == 0 && !out.revocation.len);
        else
            assert_true(out.fetched_at == in.fetched_at && out.checked_at == in.checked_at);
    }
}

static void a_record_of_another_format_is_none(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    mtls_span_t changed;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    changed = mtls_span_copy(pool, cache_entry(&cache, key_named(BESIDE)));
    ((char *)changed.data)[0]++;
    write_entry(&cache, key_named(BESIDE), changed);
    assert_int_equal(get(&cache, &out), 1);
    in.revocation.len = 0;
    in.fetched_at = in.checked_at = 0;
    assert_record_equal(&out, &in);
}

static void a_time_before_1970_is_none(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    in.fetched_at = -1;
    in.checked_at = APR_INT64_MIN;
    assert_int_equal(put(&cache, &in), 1);
    assert_int_equal(get(&cache, &out), 1);
    assert_true(out.fetched_at == 0 && out.checked_at == 0);
    in.fetched_at = in.checked_at = APR_INT64_MAX; /* whoever reads it thinks about the future */
    assert_int_equal(put(&cache, &in), 1);
    assert_int_equal(get(&cache, &out), 1);
    assert_true(out.fetched_at == APR_INT64_MAX && out.checked_at == APR_INT64_MAX);
}

static const struct part_row {
    const char *name;
    apr_size_t response, revocation;
    int stored;
} parts[] = {
    {"size: nothing but times", 0, 0, 1},
    {"size: response only", 1, 0, 1},
    {"size: revocation only", 0, 1, 1},
    {"size: largest response", MTLS_MAX_OCSP_BYTES, 0, 1},
    {"size: largest revocation", 1, MTLS_MAX_OCSP_BYTES, 1},
    {"size: both largest", MTLS_MAX_OCSP_BYTES, MTLS_MAX_OCSP_BYTES, 1},
    {"size: response too large", MTLS_MAX_OCSP_BYTES + 1, 1, 0},
    {"size: revocation too large", 1, MTLS_MAX_OCSP_BYTES + 1, 0},
};

static void part_case(void **state)
{
    const struct part_row *row = *state;
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    begin(&cache);
    in.response = filled('r', row->response);
    in.revocation = filled('v', row->revocation);
    assert_int_equal(put(&cache, &in), row->stored);
    assert_int_equal(get(&cache, &out), row->stored);
    if (!row->stored) {
        assert_int_equal(cache.puts, 0);
        return;
    }
    if (!row->response)
        in.fetched_at = 0;
    assert_record_equal(&out, &in);
}

/* Written by somebody else. */
static void entries_that_are_too_large_are_none(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    mtls_span_t head;
    char *large;
    cache_t cache;

    (void)state;
    begin(&cache);
    in.revocation.len = 0;
    assert_int_equal(put(&cache, &in), 1);
    head = cache_entry(&cache, key_named(BESIDE));
    large = apr_pcalloc(pool, head.len + MTLS_MAX_OCSP_BYTES + 1);
    memcpy(large, head.data, head.len);
    write_entry(&cache, key_named(BESIDE), mtls_span(large, head.len + MTLS_MAX_OCSP_BYTES + 1));
    assert_int_equal(get(&cache, &out), 1);
    assert_true(out.revocation.len == 0 && out.checked_at == 0);
    large[0] = 1;
    write_entry(&cache, key_span(), mtls_span(large, MTLS_MAX_OCSP_BYTES + 1));
    assert_int_equal(get(&cache, &out), 1);
    assert_int_equal(out.response.len, MTLS_MAX_OCSP_BYTES);
    write_entry(&cache, key_span(), mtls_span(large, MTLS_MAX_OCSP_BYTES + 2));
    assert_int_equal(get(&cache, &out), 0);
}

static int claims_more(void *baton, mtls_span_t name, unsigned char *data, unsigned int *len)
{
    (void)baton;
    (void)name;
    memset(data, 1, *len);
    *len += 1;
    return 1;
}

static void a_cache_that_claims_more_than_fits_is_not_believed(void **state)
{
    mtls_ocsp_record_t out;
    cache_t cache;

    (void)state;
    begin(&cache);
    cache.store.get = claims_more;
    assert_int_equal(get(&cache, &out), 0);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, key), 0);
}

static void a_revocation_is_written_first(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    in.revocation.len = 0;
    in.response = filled('r', 2000);
    assert_int_equal(put(&cache, &in), 1);
    cache.most = 1000; /* the response will not fit any more */
    in.response = filled('s', 2000);
    in.revocation = mtls_span_of("revocation");
    assert_int_equal(put(&cache, &in), 0);
    assert_int_equal(get(&cache, &out), 1);
    assert_span_text(out.revocation, "revocation");
    assert_span_equal(out.response, filled('r', 2000));
    assert_true(out.fetched_at == 0); /* it is not the one that was fetched then */
}

static void a_cache_that_takes_nothing_says_so(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    cache.full = 1;
    assert_int_equal(put(&cache, &in), 0);
    cache.full = 0;
    assert_int_equal(put(&cache, &in), 1);
    cache.gone = 1;
    assert_int_equal(get(&cache, &out), 0);
    assert_int_equal(put(&cache, &in), 0);
}

static void without_a_response_the_old_one_stays(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    in.response.len = 0;
    in.revocation.len = 0;
    assert_int_equal(put(&cache, &in), 1);
    assert_int_equal(get(&cache, &out), 1);
    assert_span_text(out.response, "response");
    assert_int_equal(out.revocation.len, 0);
}

/* ---- claims ---- */

static const unsigned char me[MTLS_OCSP_CLAIMANT_BYTES] = {1, 0, 2};
static const unsigned char you[MTLS_OCSP_CLAIMANT_BYTES] = {1, 0, 3};

static void a_claim_holds_others_off_until_it_runs_out(void **state)
{
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, me, WORLD_NOW + 100), 1);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, me), 0);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, you), 1);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, other_key, you), 0);
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, you, WORLD_NOW + 100), 0);
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, me, WORLD_NOW + 200), 1);
    cache.now = WORLD_NOW + 150;
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, you), 1);
    cache.now = WORLD_NOW + 200;
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, you, WORLD_NOW + 300), 1);
    mtls_ocsp_record_release(&cache.store, key);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, me), 0);
}

static void a_cache_that_is_gone_holds_nobody_off(void **state)
{
    cache_t cache;

    (void)state;
    begin(&cache);
    cache.gone = 1;
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, me, EXPIRES), 1);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, you), 0);
    cache.gone = 0;
    write_entry(&cache, key_named(CLAIM), mtls_span_of("short"));
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, me, EXPIRES), 1);
    assert_int_equal(mtls_ocsp_record_claimed_by_other(&cache.store, key, you), 1);
}

static void claims_and_records_do_not_touch_each_other(void **state)
{
    mtls_ocsp_record_t in = sample(), out;
    cache_t cache;

    (void)state;
    begin(&cache);
    assert_int_equal(put(&cache, &in), 1);
    assert_int_equal(mtls_ocsp_record_claim(&cache.store, key, me, EXPIRES), 1);
    mtls_ocsp_record_release(&cache.store, key);
    assert_int_equal(get(&cache, &out), 1);
    assert_record_equal(&out, &in);
}

int main(void)
{
    SUITE_CASE(a_record_comes_back_whole);
    SUITE_CASE(mod_ssl_finds_what_we_have_stored);
    SUITE_CASE(we_find_what_mod_ssl_has_stored);
    SUITE_CASE(what_mod_ssl_writes_over_ours_has_no_time_of_ours);
    SUITE_TABLE(main_case, no_responses);
    SUITE_CASE(a_record_cut_anywhere_loses_what_is_cut_only);
    SUITE_CASE(a_record_of_another_format_is_none);
    SUITE_CASE(a_time_before_1970_is_none);
    SUITE_TABLE(part_case, parts);
    SUITE_CASE(entries_that_are_too_large_are_none);
    SUITE_CASE(a_cache_that_claims_more_than_fits_is_not_believed);
    SUITE_CASE(a_revocation_is_written_first);
    SUITE_CASE(a_cache_that_takes_nothing_says_so);
    SUITE_CASE(without_a_response_the_old_one_stays);
    SUITE_CASE(a_claim_holds_others_off_until_it_runs_out);
    SUITE_CASE(a_cache_that_is_gone_holds_nobody_off);
    SUITE_CASE(claims_and_records_do_not_touch_each_other);
    return suite_run("record", 28);
}
