/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/queue: responses that came without asking. They save an exchange, are kept for everybody,
 * and undo nothing. */

#include "desk.h"

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static mtls_ask_t ask_with(mtls_span_t offered)
{
    mtls_ask_t ask = desk_ask_of("1001");

    ask.offered = offered;
    return ask;
}

static mtls_ocsp_record_t cached(void)
{
    mtls_ocsp_record_t record;
    mtls_ask_t ask = desk_ask_of("1001");

    (void)mtls_ocsp_record_get(&desk.cache.store, pool, ask.key, &record);
    return record;
}

static void one_that_is_new_enough_saves_an_exchange(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, HOUR / 2);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(0);
    assert_span_equal(cached().response, good);
    assert_int_equal(cached().fetched_at, 0);
    assert_int_equal(cached().checked_at, 0);
    assert_int_equal(desk.changed, 0);
    /* Others have it, too, who were offered nothing. */
    ask = desk_ask_of("1001");
    desk_restart();
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(0);
}

static void nobody_has_to_wait_for_it_to_be_kept(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 0);
    ask = ask_with(good);
    desk_ask(&ask, 0);
    assert_exchanges(0);
    assert_span_equal(cached().response, good);
}

static void max_age_counts_from_when_it_was_made(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, HOUR - SECOND);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(0);
    desk_pass(SECOND);
    desk_ask(&ask, 1);
    assert_exchanges(1);
    desk_end_with(good); /* nothing newer: looked for now, so it serves as if it was fetched now */
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    desk_pass(HOUR - SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(1);
    desk_pass(SECOND);
    desk_ask(&ask, 2);
    assert_exchanges(2);
}

static void one_shown_again_and_again_does_not_hide_a_revocation(void **state)
{
    mtls_span_t good, revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 0);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    desk_pass(HOUR);
    revoked = desk_response("1001", REVOKED, 0);
    desk_ask(&ask, 1);
    desk_end_with(revoked);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, revoked);
    assert_int_equal(desk.changed, 1);
    desk_pass(HOUR / 2);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.changed, 1);
    assert_exchanges(1);
}

static void while_nobody_can_be_reached_it_is_answered_with(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 3 * HOUR);
    ask = ask_with(good);
    desk_ask(&ask, 1);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, good);
    assert_span_equal(cached().response, good);
    assert_int_equal(cached().checked_at, desk.now);
}

static void without_a_responder_it_is_as_new_as_it_gets(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 3 * HOUR);
    ask = ask_with(good);
    ask.urls = NULL;
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(cached().fetched_at, 0);
    ask.offered = mtls_span(NULL, 0);
    desk_pass(DAY);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_NO_RESPONDER);
}

static void a_revocation_is_known_at_once_and_to_all(void **state)
{
    mtls_span_t good, revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, HOUR / 2);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    revoked = desk_response("1001", REVOKED, 0);
    ask = ask_with(revoked); /* within the time in which an answer is repeated */
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_int_equal(desk.changed, 1);
    assert_span_equal(cached().revocation, revoked);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, revoked);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.changed, 1);
    assert_exchanges(0);
    /* Until a newer good comes, wherever from. */
    desk_pass(SECOND);
    good = desk_response("1001", GOOD, 0);
    ask = ask_with(good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(cached().revocation.len, 0);
    assert_int_equal(desk.changed, 2);
}

static void what_comes_during_an_exchange_counts(void **state)
{
    mtls_span_t good, revoked;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 60 * SECOND);
    revoked = desk_response("1001", REVOKED, 0);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    assert_exchanges(1);
    ask = ask_with(revoked);
    desk_ask(&ask, 2);
    assert_exchanges(1);
    desk_end_with(good); /* older */
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, revoked);
    assert_answer(desk_answer(2), MTLS_ANSWER_STATUS, revoked);
    assert_span_equal(cached().revocation, revoked);
    assert_int_equal(desk.changed, 1);
}

static void what_comes_during_an_exchange_that_fails_counts(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    good = desk_response("1001", GOOD, 60 * SECOND);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    ask = ask_with(good);
    desk_ask(&ask, 0);
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, good);
    assert_span_equal(cached().response, good);
}

static void one_of_the_folder_stays_what_it_is(void **state)
{
    mtls_span_t older, newer;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    older = desk_response("1001", GOOD, 3 * HOUR);
    newer = desk_response("1001", GOOD, 2 * HOUR);
    desk.folder = apr_array_make(pool, 1, sizeof(mtls_span_t));
    APR_ARRAY_PUSH(desk.folder, mtls_span_t) = older;
    desk.env.folder = (mtls_folder_t *)(void *)&desk;
    desk_restart();
    ask = ask_with(newer);
    ask.urls = NULL;
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, newer);
    assert_int_equal(cached().fetched_at, 0); /* it has come from somewhere else */
    ask = ask_with(older);
    ask.urls = NULL;
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, newer);
}

static void where_a_nonce_is_required_the_responder_is_asked(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = ask_with(desk_response("1001", GOOD, 0));
    ask.nonce = 2;
    desk_ask(&ask, 1);
    assert_exchanges(1);
    assert_int_equal(cached().response.len, 0);
    ask = ask_with(desk_response("1001", REVOKED, 0));
    ask.nonce = 2;
    desk_ask(&ask, 0);
    desk_end_failed();
    desk_end_failed();
    assert_span_equal(desk_answer(1)->record.revocation, ask.offered);
}

/* ---- of no use ---- */

typedef struct useless_row_t {
    const char *name;
    const char *serial; /* NULL: `bytes` */
    const char *bytes;
    int status;
    apr_interval_time_t age;
    int other_ca;
} useless_row_t;

static const useless_row_t useless[] = {
    {"garbage", NULL, "garbage", 0, 0, 0},
    {"another certificate's", "1002", NULL, GOOD, 0, 0},
    {"another issuer's", "1001", NULL, GOOD, 0, 1},
    {"a revocation of another issuer's", "1001", NULL, REVOKED, 0, 1},
    {"one that has run out", "1001", NULL, GOOD, DAY + HOUR, 0},
    {"one that does not know the certificate", "1001", NULL, UNKNOWN, 0, 0},
    {"one that is not in force yet", "1001", NULL, GOOD, -HOUR / 2, 0},
};

static mtls_span_t useless_response(const useless_row_t *row)
{
    if (!row->serial)
        return mtls_span_of(row->bytes);
    return ocsp_simple(pool, row->other_ca ? &desk.other_ca : &desk.ca, row->serial, row->status,
                       desk.now - row->age, desk.now - row->age + DAY);
}

static void useless_case(void **state)
{
    mtls_span_t good;
    mtls_ask_t ask;

    desk_open(1);
    ask = ask_with(useless_response(*state));
    good = desk_response("1001", GOOD, HOUR / 2);
    desk_ask(&ask, 1);
    assert_exchanges(1); /* the responder is asked as ever */
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    assert_span_equal(cached().response, good);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_int_equal(desk.changed, 0);
    assert_exchanges(1);
}

int main(void)
{
    SUITE_CASE(one_that_is_new_enough_saves_an_exchange);
    SUITE_CASE(nobody_has_to_wait_for_it_to_be_kept);
    SUITE_CASE(max_age_counts_from_when_it_was_made);
    SUITE_CASE(one_shown_again_and_again_does_not_hide_a_revocation);
    SUITE_CASE(while_nobody_can_be_reached_it_is_answered_with);
    SUITE_CASE(without_a_responder_it_is_as_new_as_it_gets);
    SUITE_CASE(a_revocation_is_known_at_once_and_to_all);
    SUITE_CASE(what_comes_during_an_exchange_counts);
    SUITE_CASE(what_comes_during_an_exchange_that_fails_counts);
    SUITE_CASE(one_of_the_folder_stays_what_it_is);
    SUITE_CASE(where_a_nonce_is_required_the_responder_is_asked);
    SUITE_TABLE(useless_case, useless);
    return suite_run("queue_offer", 18);
}
