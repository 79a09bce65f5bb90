/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/queue: what fails is left alone for a while and comes back by itself; everything is bounded,
 * and nobody's certificates keep out those of others. */

#include "desk.h"

#include <malloc.h>

#include "policy/limits.h"

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED

static const mtls_span_t nothing = {NULL, 0};

static int end_at_once(const exchange_t *exchange, mtls_span_t body)
{
    desk_end((exchange_t *)(uintptr_t)exchange, body.len ? MTLS_FETCH_DONE : MTLS_FETCH_FAILED,
             body, body.len ? NULL : "it is down");
    return 1;
}

static int reply_unauthorized(const exchange_t *exchange)
{
    return end_at_once(exchange, ocsp_error(pool, OCSP_RESPONSE_STATUS_UNAUTHORIZED));
}

static int reply_down(const exchange_t *exchange)
{
    return end_at_once(exchange, nothing);
}

static mtls_ask_t numbered(int n)
{
    return desk_ask_of(apr_psprintf(pool, "%x", 0x10000 + n));
}

static mtls_ask_t others(int n)
{
    mtls_ask_t ask = numbered(n);

    ask.issuer = certificate_der(pool, desk.other_ca.x);
    return ask;
}

static exchange_t *exchange_at(int i)
{
    return &APR_ARRAY_IDX(desk.exchanges, i, exchange_t);
}

static int begun_for(const char *url)
{
    int i, n = 0;

    for (i = 0; i < desk.exchanges->nelts; i++)
        n += strcmp(exchange_at(i)->fetch.url, url) == 0;
    return n;
}

/* ---- failures of a certificate ---- */

/* Ask again and again: after how many seconds is the responder asked once more? */
static int seconds_left_alone(const mtls_ask_t *ask)
{
    int before = desk.exchanges->nelts, tenths = 0;

    while (desk.exchanges->nelts == before && tenths < 2000) {
        desk_pass(SECOND / 10);
        tenths++;
        assert_int_equal(desk_get(ask)->kind, MTLS_ANSWER_FAILED);
    }
    assert_int_equal(tenths % 10, 0);
    return tenths / 10;
}

static void a_certificate_that_fails_is_left_alone_ever_longer(void **state)
{
    static const int expected[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    mtls_ask_t ask;
    size_t i;

    (void)state;
    desk_open(1);
    desk.reply = reply_unauthorized;
    ask = desk_ask_of("1001");
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    for (i = 0; i < ROWS(expected); i++)
        assert_int_equal(seconds_left_alone(&ask), expected[i]);
    /* A success makes up for all of them. */
    desk_pass(60 * SECOND);
    desk.reply = NULL;
    desk_ask(&ask, 1);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
    desk_pass(2 * MAX_AGE);
    desk.reply = reply_unauthorized;
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    assert_int_equal(seconds_left_alone(&ask), 1);
}

static void no_number_of_failures_overflows(void **state)
{
    mtls_ask_t ask;
    int i, before;

    (void)state;
    desk_open(0);
    desk.reply = reply_unauthorized;
    ask = desk_ask_of("1001");
    for (i = 0; i < 1500; i++) {
        desk_get(&ask);
        assert_exchanges(2 * (i + 1));
        desk_pass(60 * SECOND);
    }
    desk_get(&ask);
    before = desk.exchanges->nelts;
    desk_pass(59 * SECOND);
    desk_get(&ask);
    assert_exchanges(before);
}

static void what_failed_at_one_responder_is_not_held_against_another(void **state)
{
    mtls_ask_t ask, other;

    (void)state;
    desk_open(1);
    desk.reply = reply_unauthorized;
    ask = desk_ask_of("1001");
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    desk.reply = NULL;
    other = desk_ask_of("1001"); /* of another virtual host, say */
    APR_ARRAY_IDX(other.urls, 0, mtls_ask_url_t).url = URL2;
    desk_ask(&other, 1);
    assert_exchanges(3);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_STATUS);
}

/* ---- responders that are down ---- */

static void a_dead_responder_is_probed_by_one_exchange_at_a_time(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    desk.reply = reply_down;
    for (i = 0; i < 100; i++) {
        ask = numbered(i);
        assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    }
    assert_exchanges(4); /* two certificates, two CertIDs */
    desk.reply = NULL;
    desk_pass(SECOND - 1);
    ask = numbered(100);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    assert_exchanges(4);
    desk_pass(1);
    for (i = 101; i < 200; i++) {
        ask = numbered(i);
        desk_ask(&ask, i);
    }
    assert_exchanges(5);
    assert_int_equal(desk.under_way, 1);
    assert_int_equal(desk.answers->nelts, 101 + 98);
    assert_null(desk_answer(101));
    assert_answer(desk_answer(102), MTLS_ANSWER_FAILED, nothing);
    /* It answers: everybody may ask again. */
    desk_end_with(ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER));
    assert_message(desk.last_info, URL "|answers again");
    desk_pass(SECOND);
    for (i = 201; i < 205; i++) {
        ask = numbered(i);
        desk_ask(&ask, i);
    }
    assert_int_equal(desk.under_way, 5); /* with the second CertID of the probe */
}

static void a_dead_responder_is_left_alone_ever_longer(void **state)
{
    static const int expected[] = {1, 2, 4, 8, 16, 30, 30, 30};
    mtls_ask_t ask;
    int n = 0;
    size_t i;

    (void)state;
    desk_open(1);
    desk.reply = reply_down;
    ask = numbered(n++);
    desk_get(&ask);
    ask = numbered(n++);
    desk_get(&ask);
    for (i = 0; i < ROWS(expected); i++) {
        int before = desk.exchanges->nelts;
        desk_pass(expected[i] * SECOND - 1);
        ask = numbered(n++);
        desk_get(&ask);
        assert_exchanges(before);
        desk_pass(1);
        ask = numbered(n++);
        desk_get(&ask);
        assert_exchanges(before + 2);
    }
    /* One line when it begins, one when it ends. */
    assert_int_equal(desk.warnings, 1);
    assert_int_equal(desk.infos, 0);
    desk_pass(30 * SECOND);
    desk.reply = NULL;
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
    assert_int_equal(desk.warnings, 1);
    assert_int_equal(desk.infos, 1);
}

static void many_exchanges_that_fail_together_are_one_failure(void **state)
{
    mtls_ask_t ask;
    int i, before;

    (void)state;
    desk_open(1);
    for (i = 0; i < 10; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    assert_int_equal(desk.under_way, 10);
    desk_pass(2 * SECOND); /* no time is left for the other CertID */
    while (desk.under_way)
        desk_end_failed();
    assert_int_equal(desk.warnings, 1);
    before = desk.exchanges->nelts;
    desk_pass(SECOND);
    ask = numbered(100);
    desk_ask(&ask, 0);
    assert_exchanges(before + 1);
}

static void those_in_the_queue_of_a_responder_that_dies_are_told_at_once(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < 200; i++) {
        ask = numbered(i);
        desk_ask(&ask, i + 1);
    }
    assert_int_equal(desk.answers->nelts, 0);
    desk_pass(2 * SECOND); /* no time is left for the other CertID */
    desk_end(exchange_at(0), MTLS_FETCH_FAILED, nothing, "x");
    assert_int_equal(desk.answers->nelts, 1);
    desk_end(exchange_at(1), MTLS_FETCH_FAILED, nothing, "x");
    assert_int_equal(desk.under_way, MTLS_OCSP_FETCHES_OF_ONE - 1); /* one more began between */
    assert_int_equal(desk.answers->nelts, 200 - desk.under_way);
    for (i = 0; i < desk.answers->nelts; i++)
        assert_int_equal(APR_ARRAY_IDX(desk.answers, i, answered_t).answer.kind,
                         MTLS_ANSWER_FAILED);
}

static void what_is_down_for_one_issuer_is_asked_for_another(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    desk.reply = reply_down;
    for (i = 0; i < 3; i++) {
        ask = numbered(i);
        desk_get(&ask);
    }
    assert_exchanges(4); /* not for the third */
    desk.reply = NULL;
    ask = others(0);
    desk_ask(&ask, 0);
    assert_exchanges(5);
}

/* The first address eats up the time: the second one, which was given what is left, is not to
 * blame. */
static void who_had_no_time_is_not_down(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < 5; i++) {
        ask = numbered(i);
        APR_ARRAY_IDX(ask.urls, 0, mtls_ask_url_t).url = apr_psprintf(pool, "http://slow%d/", i);
        desk_add_url(&ask, URL);
        desk_ask(&ask, i + 1);
        desk_pass(TIMEOUT - SECOND);
        desk_end_failed();
        assert_string_equal(desk_exchange()->fetch.url, URL);
        desk_pass(SECOND);
        desk_end_failed();
        assert_answer(desk_answer(i + 1), MTLS_ANSWER_FAILED, nothing);
    }
    ask = numbered(100);
    desk_ask(&ask, 0);
    assert_string_equal(desk_exchange()->fetch.url, URL);
}

static void who_insists_on_a_nonce_fails_alone(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    ask.nonce = 2;
    good = desk_response("1001", GOOD, 0); /* without one */
    desk_ask(&ask, 1);
    desk_end_with(good);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, nothing);
    ask.nonce = 0;
    desk_ask(&ask, 2);
    desk_end_with(good);
    assert_answer(desk_answer(2), MTLS_ANSWER_STATUS, good);
}

static void the_next_url_is_taken_while_one_is_down(void **state)
{
    mtls_ask_t ask;
    int i, before;

    (void)state;
    desk_open(1);
    desk.reply = reply_down;
    for (i = 0; i < 2; i++) {
        ask = numbered(i);
        desk_get(&ask);
    }
    before = begun_for(URL);
    desk.reply = NULL;
    ask = desk_ask_of("1001");
    desk_add_url(&ask, URL2);
    desk_ask(&ask, 1);
    assert_int_equal(begun_for(URL), before);
    assert_int_equal(begun_for(URL2), 1);
    desk_end_with(desk_response("1001", GOOD, 0));
    assert_int_equal(desk_answer(1)->kind, MTLS_ANSWER_STATUS);
}

static void a_responder_that_comes_and_goes_does_not_fill_the_log(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < 50; i++) {
        desk.reply = i % 2 ? reply_unauthorized : reply_down;
        ask = numbered(i);
        desk_get(&ask);
        desk_pass(SECOND / 2);
    }
    assert_int_equal(desk.warnings, 1);
    assert_true(desk.infos <= 1);
    assert_true(desk.details >= 50);
    desk_pass(60 * SECOND);
    desk.reply = reply_down;
    ask = numbered(1000);
    desk_get(&ask);
    assert_int_equal(desk.warnings, 2);
}

static void an_outage_is_told_though_the_responder_was_complained_about_before(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    desk.reply = reply_unauthorized;
    ask = numbered(0);
    desk_get(&ask);
    assert_int_equal(desk.warnings, 1);
    desk.reply = reply_down;
    for (i = 1; i < 100; i++) {
        desk_pass(2 * SECOND);
        ask = numbered(i);
        desk_get(&ask);
    }
    assert_int_equal(desk.warnings, 2);
    desk_pass(30 * SECOND);
    desk.reply = reply_unauthorized;
    ask = numbered(100);
    desk_get(&ask);
    assert_int_equal(desk.infos, 1);
}

static void what_stands_in_the_log_is_plain_and_short(void **state)
{
    char *url = apr_pstrcat(pool, "http://ocsp.example/", NULL);
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    url = apr_palloc(pool, 2001);
    memset(url, 'x', 2000);
    memcpy(url, "http://o\r\n\x1b[2J\xff/", 16);
    url[2000] = '\0';
    ask = desk_ask_of("1001");
    APR_ARRAY_IDX(ask.urls, 0, mtls_ask_url_t).url = url;
    desk.reply = reply_unauthorized; /* desk.c looks at each byte */
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_FAILED);
    assert_message(desk.last_warning, "http://o???[2J?/xxx|: no status");
    assert_true(strlen(desk.last_warning) < 700);
    desk_pass(60 * SECOND);
    desk.reply = NULL;
    desk_ask(&ask, 1);
    desk_end(desk_exchange(), MTLS_FETCH_FAILED, nothing, url);
    desk_end(desk_exchange(), MTLS_FETCH_FAILED, nothing, url);
    assert_message(desk.last_warning, "http://o???[2J?/xxx");
    assert_true(strlen(desk.last_warning) < 700);
}

/* ---- fairness and bounds ---- */

static void one_issuer_does_not_take_all_exchanges(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < 2 * MTLS_MAX_OCSP_FETCHES; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    assert_int_equal(desk.under_way, MTLS_OCSP_FETCHES_OF_ONE);
    for (i = 0; i < 2 * MTLS_MAX_OCSP_FETCHES; i++) {
        ask = others(i);
        desk_ask(&ask, 0);
    }
    assert_int_equal(desk.under_way, MTLS_OCSP_FETCHES_OF_ONE + MTLS_OCSP_FETCHES_WITH_MORE);
    /* Whatever ends, neither gets more than the other. */
    for (i = 0; i < MTLS_OCSP_FETCHES_OF_ONE; i++)
        desk_end(exchange_at(i), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(desk.under_way, 2 * MTLS_OCSP_FETCHES_WITH_MORE);
}

/* Of `issuers` issuers more than can be asked for at a time. */
static void all_exchanges_together_have_a_bound(void **state)
{
    const int issuers = MTLS_MAX_OCSP_FETCHES / MTLS_OCSP_FETCHES_WITH_MORE + 2;
    mtls_ask_t ask;
    int i, k;

    (void)state;
    desk_open(1);
    for (k = 0; k < issuers; k++) {
        certificate_t spec = {.subject = {{"CN", 0, apr_itoa(pool, k), 0, 0}}};
        X509 *issuer = certificate_make(pool, &spec, NULL);
        for (i = 0; i < MTLS_OCSP_FETCHES_WITH_MORE; i++) {
            ask = numbered(1000 * k + i);
            ask.issuer = certificate_der(pool, issuer);
            desk_ask(&ask, 0);
        }
    }
    assert_int_equal(desk.under_way, MTLS_MAX_OCSP_FETCHES);
    while (desk.under_way)
        desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(desk.most_under_way, MTLS_MAX_OCSP_FETCHES);
    assert_exchanges(issuers * MTLS_OCSP_FETCHES_WITH_MORE);
}

static void the_one_who_comes_last_is_served_next(void **state)
{
    mtls_ask_t ask;
    int i, before;

    (void)state;
    desk_open(1);
    for (i = 0; i < 500; i++) {
        ask = numbered(i);
        desk_ask(&ask, i + 1);
    }
    before = begun_for(URL);
    for (i = 0; i < 100; i++) {
        ask = others(i);
        APR_ARRAY_IDX(ask.urls, 0, mtls_ask_url_t).url = URL2;
        desk_ask(&ask, 1000 + i);
    }
    assert_int_equal(begun_for(URL2), MTLS_OCSP_FETCHES_WITH_MORE);
    for (i = 0; i < 4; i++)
        desk_end(exchange_at(i), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(begun_for(URL), before); /* it still has more than its share */
    for (i = 0; i < 4; i++)
        desk_end(exchange_at(before + i), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(begun_for(URL2), MTLS_OCSP_FETCHES_WITH_MORE + 4);
    assert_int_equal(begun_for(URL), before);
}

static void who_waits_goes_before_renewals(void **state)
{
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < 300; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    ask = desk_ask_of("1001");
    APR_ARRAY_IDX(ask.urls, 0, mtls_ask_url_t).url = URL2;
    desk_ask(&ask, 1);
    ask = numbered(200); /* was queued before; now somebody waits */
    desk_ask(&ask, 2);
    assert_int_equal(begun_for(URL2), 0);
    desk_end(exchange_at(0), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(begun_for(URL2), 1);
    /* Who has gone away is a renewal like others. */
    mtls_queue_forget(desk.queue, (void *)(intptr_t)2);
    desk_end(exchange_at(1), MTLS_FETCH_FORBIDDEN, nothing, "x");
    i = desk.exchanges->nelts;
    assert_memory_equal(exchange_at(i - 1)->fetch.url, URL, strlen(URL));
    assert_null(desk_answer(2));
}

static void who_waits_gets_into_a_full_queue_until_it_is_full_of_such(void **state)
{
    mtls_ask_t ask;
    int i, first = MTLS_OCSP_FETCHES_OF_ONE + MTLS_MAX_OCSP_BEHIND;

    (void)state;
    desk_open(1);
    for (i = 0; i < first; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    for (i = 0; i < MTLS_MAX_OCSP_QUEUED; i++) {
        ask = numbered(10000 + i);
        desk_ask(&ask, i + 1);
    }
    assert_int_equal(desk.answers->nelts, 0);
    ask = numbered(20000);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_BUSY);
    assert_exchanges(MTLS_OCSP_FETCHES_OF_ONE);
    /* Being turned away is no failure. */
    desk_end(exchange_at(0), MTLS_FETCH_FORBIDDEN, nothing, "x");
    desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(desk.answers->nelts, 2);
    desk_ask(&ask, 10000);
    assert_null(desk_answer(10000));
    assert_exchanges(MTLS_OCSP_FETCHES_OF_ONE + 2);
}

/* Those for which another gateway asks stand in the queue as well, and give way to nobody. */
static void a_queue_full_of_other_gateways_claims_is_full(void **state)
{
    static const unsigned char somebody[MTLS_OCSP_CLAIMANT_BYTES] = "somebody else";
    mtls_ask_t ask;
    int i;

    (void)state;
    desk_open(1);
    for (i = 0; i < MTLS_MAX_OCSP_QUEUED; i++) {
        ask = numbered(i);
        assert_int_equal(
            mtls_ocsp_record_claim(&desk.cache.store, ask.key, somebody, desk.now + DAY), 1);
        desk_ask(&ask, 1);
        mtls_queue_forget(desk.queue, (void *)(intptr_t)1);
    }
    assert_exchanges(0);
    ask = numbered(20000);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_BUSY);
    desk_ask(&ask, 0);
    assert_exchanges(0);
}

static void another_issuer_gets_into_a_full_queue(void **state)
{
    mtls_ask_t ask;
    int i, busy = 0, half = MTLS_MAX_OCSP_QUEUED / 2;

    (void)state;
    desk_open(1);
    for (i = 0; i < MTLS_OCSP_FETCHES_OF_ONE; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    for (i = 0; i < MTLS_MAX_OCSP_QUEUED; i++) {
        ask = numbered(100 + i);
        desk_ask(&ask, i + 1);
    }
    assert_int_equal(desk.answers->nelts, 0);
    /* Waiters are as many as the queue is long here: those of the crowd give way to the others, and
     * what nobody waits for any more does. */
    for (i = 0; i < half + 4; i++) {
        ask = others(i);
        desk_ask(&ask, 5000 + i);
    }
    for (i = 0; i < half + 4; i++) {
        const mtls_answer_t *answer = desk_answer(5000 + i);
        busy += answer != NULL && answer->kind == MTLS_ANSWER_BUSY;
    }
    assert_int_equal(busy, 4); /* their half is theirs, no more */
    for (i = 0; i < 100; i++)
        assert_null(desk_answer(i + 1)); /* who came first stays */
    assert_answer(desk_answer(MTLS_MAX_OCSP_QUEUED), MTLS_ANSWER_BUSY, nothing);
}

static void renewals_take_half_of_the_queue(void **state)
{
    mtls_ask_t ask;
    int i, most = MTLS_OCSP_FETCHES_OF_ONE + MTLS_MAX_OCSP_BEHIND;

    (void)state;
    desk_open(1);
    for (i = 0; i < 2 * most; i++) {
        ask = numbered(i);
        desk_ask(&ask, 0);
    }
    desk.reply = reply_unauthorized;
    while (desk.under_way)
        desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, "x");
    assert_int_equal(desk.exchanges->nelts, MTLS_OCSP_FETCHES_OF_ONE + 2 * MTLS_MAX_OCSP_BEHIND);
}

static void one_issuer_does_not_take_all_places_to_wait(void **state)
{
    mtls_ask_t ask, other;
    int i, half = MTLS_MAX_OCSP_WAITERS / 2;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    for (i = 1; i <= MTLS_MAX_OCSP_WAITERS; i++)
        desk_ask(&ask, i);
    assert_int_equal(desk.answers->nelts, 0);
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_BUSY);
    other = others(1);
    for (i = 1; i <= half; i++) {
        desk_ask(&other, 10000 + i);
        assert_int_equal(desk.answers->nelts, 1 + i);
        /* The last of the crowd make room. */
        assert_answer(desk_answer(MTLS_MAX_OCSP_WAITERS + 1 - i), MTLS_ANSWER_BUSY, nothing);
    }
    assert_int_equal(desk_get(&other)->kind, MTLS_ANSWER_BUSY);
    desk_end(exchange_at(0), MTLS_FETCH_DONE, desk_response("1001", GOOD, 0), NULL);
    for (i = 1; i <= half; i++)
        assert_int_equal(desk_answer(i)->kind, MTLS_ANSWER_STATUS);
}

static void one_issuer_does_not_make_others_certificates_forgotten(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;
    int i;

    (void)state;
    desk_open(0); /* so that nothing else remembers */
    ask = desk_ask_of("1001");
    desk_ask(&ask, 0);
    good = desk_response("1001", GOOD, 0);
    desk_end_with(good);
    for (i = 0; i < MTLS_MAX_OCSP_JOBS + 200; i++) {
        mtls_ask_t flood = others(i);
        apr_array_clear(flood.urls);
        desk_ask(&flood, 0);
    }
    desk_pass(SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(1);
    /* Its own are forgotten, the oldest first. */
    for (i = 0; i < MTLS_MAX_OCSP_JOBS; i++) {
        mtls_ask_t flood = numbered(i);
        apr_array_clear(flood.urls);
        desk_ask(&flood, 0);
    }
    desk_ask(&ask, 0);
    assert_exchanges(2);
}

static void answers_that_are_remembered_have_a_bound(void **state)
{
    mtls_ask_t ask;
    ocsp_t spec = {.n = 0};
    mtls_span_t large;
    int i, n = MTLS_MAX_OCSP_REMEMBERED_BYTES / (60 * 1024) + 20, forgotten = 0;

    (void)state;
    desk_open(0);
    for (i = 0; i < n; i++) {
        const char *serial = apr_psprintf(pool, "%x", 0x10000 + i);
        ocsp_statement_t statement = {.serial = serial};
        X509 *filler;
        certificate_t filling = {.subject = {{"CN", 0, "F", 0, 0}}};
        spec.signer = &desk.ca;
        spec.statements = &statement;
        spec.n = 1;
        if (i == 0) {
            filler = certificate_make(pool, &filling, NULL);
            certificate_add_raw(filler, "1.3.6.1.4.1.99999.2", 0, apr_pcalloc(pool, 60 * 1024),
                                60 * 1024, key_get(KEY_P256, 0));
            spec.certificates[0] = filler;
        }
        large = ocsp_make(pool, &spec);
        assert_true(large.len > 60 * 1024);
        ask = numbered(i);
        desk_ask(&ask, 0);
        desk_end_with(large);
    }
    desk_pass(SECOND);
    for (i = 0; i < n; i++) {
        int before = desk.exchanges->nelts;
        ask = numbered(i);
        desk_ask(&ask, 0);
        if (desk.exchanges->nelts > before) {
            forgotten++;
            desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, "x");
        }
    }
    assert_in_range(forgotten, 20, 60);
}

/* ---- memory ---- */

/* Bytes that are in use; 0 where the allocator does not tell. */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static int reply_now(const exchange_t *exchange)
{
    static mtls_span_t body;

    if (!body.len || desk.exchanges->nelts == 1)
        body = ocsp_error(pool, OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    return end_at_once(exchange, body);
}

/* Asks of all kinds: known certificates, new ones, waiters, failures. The test's own lists are
 * emptied as it goes, and its certificates are made before. */
static void flood(apr_array_header_t *asks, int rounds)
{
    int i, k;

    for (k = 0; k < rounds; k++) {
        for (i = 0; i < asks->nelts; i++) {
            mtls_ask_t ask = APR_ARRAY_IDX(asks, i, mtls_ask_t);
            apr_pool_t *scratch;
            apr_pool_create(&scratch, pool);
            desk.p = scratch;
            memcpy(ask.key, &k, sizeof(k));
            ask.wait = i % 3 == 0;
            mtls_queue_ask(desk.queue, &ask, &ask);
            apr_array_clear(desk.exchanges);
            apr_array_clear(desk.answers);
            desk_pass(SECOND / 100);
            desk.p = pool;
            apr_pool_destroy(scratch);
        }
    }
}

/* Of an issuer of its own each, and about no certificate. */
static void flood_with_issuers(int n)
{
    int i;

    for (i = 0; i < n; i++) {
        mtls_ask_t ask = {.timeout = TIMEOUT, .limits = {0, MAX_AGE}};
        ask.serial = mtls_span("x", 1);
        ask.issuer = mtls_span((const char *)&i, sizeof(i));
        mtls_queue_ask(desk.queue, &ask, NULL);
    }
}

static void a_flood_of_asks_takes_no_more_memory_than_its_bounds(void **state)
{
    apr_array_header_t *asks = apr_array_make(pool, 200, sizeof(mtls_ask_t));
    size_t before, after;
    int i;

    (void)state;
    desk_open(0);
    desk.reply = reply_now;
    for (i = 0; i < 200; i++)
        APR_ARRAY_PUSH(asks, mtls_ask_t) = i % 2 ? numbered(i) : others(i);
    flood(asks, 24); /* more than are remembered */
    flood_with_issuers(2 * MTLS_MAX_OCSP_JOBS);
    before = in_use();
    flood(asks, 24);
    flood_with_issuers(2 * MTLS_MAX_OCSP_JOBS);
    after = in_use();
    if (after > before + 256 * 1024)
        fail_msg("%lu bytes, then %lu", (unsigned long)before, (unsigned long)after);
}

int main(void)
{
    SUITE_CASE(a_certificate_that_fails_is_left_alone_ever_longer);
    SUITE_CASE(no_number_of_failures_overflows);
    SUITE_CASE(what_failed_at_one_responder_is_not_held_against_another);
    SUITE_CASE(a_dead_responder_is_probed_by_one_exchange_at_a_time);
    SUITE_CASE(a_dead_responder_is_left_alone_ever_longer);
    SUITE_CASE(many_exchanges_that_fail_together_are_one_failure);
    SUITE_CASE(those_in_the_queue_of_a_responder_that_dies_are_told_at_once);
    SUITE_CASE(what_is_down_for_one_issuer_is_asked_for_another);
    SUITE_CASE(who_had_no_time_is_not_down);
    SUITE_CASE(who_insists_on_a_nonce_fails_alone);
    SUITE_CASE(the_next_url_is_taken_while_one_is_down);
    SUITE_CASE(a_responder_that_comes_and_goes_does_not_fill_the_log);
    SUITE_CASE(an_outage_is_told_though_the_responder_was_complained_about_before);
    SUITE_CASE(what_stands_in_the_log_is_plain_and_short);
    SUITE_CASE(one_issuer_does_not_take_all_exchanges);
    SUITE_CASE(all_exchanges_together_have_a_bound);
    SUITE_CASE(the_one_who_comes_last_is_served_next);
    SUITE_CASE(who_waits_goes_before_renewals);
    SUITE_CASE(who_waits_gets_into_a_full_queue_until_it_is_full_of_such);
    SUITE_CASE(a_queue_full_of_other_gateways_claims_is_full);
    SUITE_CASE(another_issuer_gets_into_a_full_queue);
    SUITE_CASE(renewals_take_half_of_the_queue);
    SUITE_CASE(one_issuer_does_not_take_all_places_to_wait);
    SUITE_CASE(one_issuer_does_not_make_others_certificates_forgotten);
    SUITE_CASE(answers_that_are_remembered_have_a_bound);
    SUITE_CASE(a_flood_of_asks_takes_no_more_memory_than_its_bounds);
    return suite_run("queue_limits", 26);
}
