/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/queue: who is asked, when, and what counts. Responders, clocks, cache and folder are the
 * test's own (desk.h). */

#include "desk.h"

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static const mtls_span_t nothing = {NULL, 0};

/* ---- single flight ---- */

static void a_thousand_waiters_take_one_exchange(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;
    int i;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    good = desk_response("1001", GOOD, 0);
    for (i = 1; i <= 1000; i++)
        desk_ask(&ask, i);
    assert_exchanges(1);
    assert_int_equal(desk.answers->nelts, 0);
    assert_string_equal(desk_exchange()->fetch.url, URL);
    desk_end_with(good);
    assert_int_equal(desk.answers->nelts, 1000);
    for (i = 1; i <= 1000; i++)
        assert_answer(desk_answer(i), MTLS_ANSWER_STATUS, good);
    assert_exchanges(1);
    assert_int_equal(desk.warnings, 0);
}

static void what_was_fetched_is_in_the_cache(void **state)
{
    mtls_ocsp_record_t record;
    mtls_span_t good;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    good = desk_response("1001", GOOD, HOUR);
    desk_ask(&ask, 0);
    desk_end_with(good);
    assert_int_equal(mtls_ocsp_record_get(&desk.cache.store, pool, ask.key, &record), 1);
    assert_span_equal(record.response, good);
    assert_int_equal(record.revocation.len, 0);
    assert_int_equal(record.fetched_at, desk.now);
    assert_int_equal(record.checked_at, desk.now);
    assert_int_equal(cache_expires(&desk.cache, mtls_span((const char *)ask.key, 20)),
                     desk.now - HOUR + DAY + DAY);
    assert_int_equal(desk.answers->nelts, 0);
}

static void a_status_that_is_not_due_takes_no_exchange(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    good = desk_response("1001", GOOD, 0);
    desk_ask(&ask, 0);
    desk_end_with(good);
    desk_pass(MAX_AGE - SECOND);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
    assert_exchanges(1);
    desk_pass(SECOND);
    desk_ask(&ask, 0);
    assert_exchanges(2);
}

static void a_status_is_renewed_at_half_of_its_life(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    ask.limits.max_age = 30 * DAY;
    desk_ask(&ask, 0);
    desk_end_with(desk_response("1001", GOOD, 0));
    desk_pass(DAY / 2 - SECOND);
    desk_ask(&ask, 0);
    assert_exchanges(1);
    desk_pass(SECOND);
    desk_ask(&ask, 0);
    assert_exchanges(2);
}

/* ---- what responders answer ---- */

static mtls_span_t (*body_of)(const exchange_t *exchange);

static int reply_with_body(const exchange_t *exchange)
{
    mtls_span_t body = body_of(exchange);

    desk_end((exchange_t *)(uintptr_t)exchange, body.len ? MTLS_FETCH_DONE : MTLS_FETCH_FAILED,
             body, body.len ? NULL : "it is down");
    return 1;
}

static mtls_span_t body_good(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1001", GOOD, 0);
}

static mtls_span_t body_revoked(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1001", REVOKED, 0);
}

static mtls_span_t body_unknown(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1001", UNKNOWN, 0);
}

static mtls_span_t body_try_later(const exchange_t *exchange)
{
    (void)exchange;
    return ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER);
}

static mtls_span_t body_unauthorized(const exchange_t *exchange)
{
    (void)exchange;
    return ocsp_error(pool, OCSP_RESPONSE_STATUS_UNAUTHORIZED);
}

static mtls_span_t body_garbage(const exchange_t *exchange)
{
    (void)exchange;
    return mtls_span_of("<html>");
}

static mtls_span_t body_down(const exchange_t *exchange)
{
    (void)exchange;
    return mtls_span(NULL, 0);
}

static mtls_span_t body_other_serial(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1002", GOOD, 0);
}

static mtls_span_t body_other_signer(const exchange_t *exchange)
{
    ocsp_t spec = {.signer = &desk.other_ca, .issuer = desk.ca.x};

    (void)exchange;
    return ocsp_make(pool, &spec);
}

static mtls_span_t body_run_out(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1001", GOOD, DAY + HOUR);
}

static mtls_span_t body_ahead(const exchange_t *exchange)
{
    return desk_response_to(exchange, "1001", GOOD, -600 * SECOND);
}

static mtls_span_t body_unknown_to_sha256(const exchange_t *exchange)
{
    return exchange->hash == MTLS_OCSP_SHA256 ? body_unknown(exchange) : body_good(exchange);
}

static mtls_span_t body_unknown_to_sha256_only(const exchange_t *exchange)
{
    return exchange->hash == MTLS_OCSP_SHA256 ? body_unknown(exchange)
                                              : body_unauthorized(exchange);
}

static mtls_span_t body_sha1_only(const exchange_t *exchange)
{
    return exchange->hash == MTLS_OCSP_SHA256 ? body_unauthorized(exchange) : body_good(exchange);
}

static mtls_span_t body_sha1_only_garbage(const exchange_t *exchange)
{
    return exchange->hash == MTLS_OCSP_SHA256 ? body_garbage(exchange) : body_good(exchange);
}

static mtls_span_t body_sha1_only_http_error(const exchange_t *exchange)
{
    return exchange->hash == MTLS_OCSP_SHA256 ? body_down(exchange) : body_revoked(exchange);
}

typedef struct outcome_t {
    const char *name;
    mtls_span_t (*body)(const exchange_t *exchange);
    mtls_answer_kind_t kind;
    mtls_status_t status; /* what the record of the answer proves */
    int exchanges;
    int warnings;
} outcome_t;

static const outcome_t outcomes[] = {
    {"good", body_good, MTLS_ANSWER_STATUS, MTLS_STATUS_GOOD, 1, 0},
    {"revoked", body_revoked, MTLS_ANSWER_STATUS, MTLS_STATUS_REVOKED, 1, 0},
    {"unknown, to both CertIDs", body_unknown, MTLS_ANSWER_STATUS, MTLS_STATUS_UNKNOWN, 2, 0},
    {"unknown to SHA-256, good to SHA-1", body_unknown_to_sha256, MTLS_ANSWER_STATUS,
     MTLS_STATUS_GOOD, 2, 0},
    {"unknown to SHA-256, SHA-1 unauthorized", body_unknown_to_sha256_only, MTLS_ANSWER_FAILED,
     MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"SHA-256 unauthorized, good to SHA-1", body_sha1_only, MTLS_ANSWER_STATUS, MTLS_STATUS_GOOD, 2,
     0},
    {"garbage for SHA-256, good to SHA-1", body_sha1_only_garbage, MTLS_ANSWER_STATUS,
     MTLS_STATUS_GOOD, 2, 0},
    {"an HTTP error for SHA-256, revoked to SHA-1", body_sha1_only_http_error, MTLS_ANSWER_STATUS,
     MTLS_STATUS_REVOKED, 2, 0},
    {"tryLater", body_try_later, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"unauthorized", body_unauthorized, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"garbage", body_garbage, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"down", body_down, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"of another serial", body_other_serial, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"by another signer", body_other_signer, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"run out", body_run_out, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
    {"ahead of time", body_ahead, MTLS_ANSWER_FAILED, MTLS_STATUS_UNAVAILABLE, 2, 1},
};

/* Of the usual certificate. */
static mtls_status_t proved(mtls_span_t response)
{
    mtls_ask_t ask = desk_ask_of("1001");
    mtls_ocsp_terms_t terms = {.now = desk.now};
    mtls_ocsp_subject_t subject;
    mtls_ocsp_proof_t proof;
    const char *detail;

    assert_int_equal(mtls_ask_subject(pool, &ask, &subject), 1);
    if (mtls_ocsp_prove(&subject, response, &terms, &proof, &detail) != MTLS_OCSP_PROVED)
        return MTLS_STATUS_UNAVAILABLE;
    return proof.status;
}

static void outcome_case(void **state)
{
    const outcome_t *row = *state;
    const mtls_answer_t *answer;
    mtls_ask_t ask;

    desk_open(1);
    ask = desk_ask_of("1001");
    body_of = row->body;
    desk.reply = reply_with_body;
    answer = desk_get(&ask);
    assert_int_equal(answer->kind, row->kind);
    assert_int_equal(proved(answer->record.response), row->status);
    assert_int_equal(answer->record.revocation.len > 0, row->status == MTLS_STATUS_REVOKED);
    assert_exchanges(row->exchanges);
    assert_int_equal(desk.warnings, row->warnings);
    if (row->warnings && row->body != body_down)
        assert_message(desk.last_warning, URL "|no status of the certificate with SHA-1 31303031");
    assert_int_equal(desk.changed, row->status == MTLS_STATUS_REVOKED);
    /* What has failed leaves nothing, and nothing is asked again at once. */
    assert_int_equal(cache_count(&desk.cache, mtls_span_of("1001")),
                     row->status == MTLS_STATUS_UNAVAILABLE ? 0 : 2);
    assert_int_equal(desk_get(&ask)->kind, row->kind);
    assert_exchanges(row->exchanges);
}

/* ---- which CertID ---- */

static mtls_span_t body_sha1_only_any(const exchange_t *exchange)
{
    static const char *serials[] = {"1001", "1002", "1003", "1004"};
    int n = desk.exchanges->nelts;

    /* Two exchanges for the first serial, one for each of the others. */
    return exchange->hash == MTLS_OCSP_SHA256
               ? body_unauthorized(exchange)
               : desk_response_to(exchange, serials[n <= 2 ? 0 : n - 2], GOOD, 0);
}

static void what_a_responder_understands_is_remembered_for_a_day(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    body_of = body_sha1_only_any;
    desk.reply = reply_with_body;
    ask = desk_ask_of("1001");
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_STATUS);
    assert_exchanges(2);
    ask = desk_ask_of("1002");
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_STATUS);
    assert_exchanges(3);
    desk_pass(DAY - SECOND);
    ask = desk_ask_of("1003");
    assert_int_equal(desk_get(&ask)->kind, MTLS_ANSWER_STATUS);
    assert_exchanges(4);
    assert_int_equal(APR_ARRAY_IDX(desk.exchanges, 3, exchange_t).hash, MTLS_OCSP_SHA1);
    desk_pass(2 * DAY);
    desk.reply = NULL;
    ask = desk_ask_of("1004");
    desk_ask(&ask, 0);
    assert_int_equal(desk_exchange()->hash, MTLS_OCSP_SHA256);
}

static void a_responder_that_has_learned_sha256_is_not_asked_in_vain(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    body_of = body_sha1_only;
    desk.reply = reply_with_body;
    ask = desk_ask_of("1001");
    desk_get(&ask);
    desk.reply = NULL;
    ask = desk_ask_of("1002");
    desk_ask(&ask, 1);
    assert_int_equal(desk_exchange()->hash, MTLS_OCSP_SHA1);
    desk_end_with(desk_response_to(desk_exchange(), "1002", UNKNOWN, 0));
    assert_int_equal(desk_exchange()->hash, MTLS_OCSP_SHA256);
    good = desk_response("1002", GOOD, 0);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
}

static void that_sha1_is_unknown_counts_when_sha256_brings_nothing(void **state)
{
    mtls_span_t unknown;
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    body_of = body_sha1_only;
    desk.reply = reply_with_body;
    ask = desk_ask_of("1001");
    desk_get(&ask);
    desk.reply = NULL;
    ask = desk_ask_of("1002");
    desk_ask(&ask, 1);
    unknown = desk_response_to(desk_exchange(), "1002", UNKNOWN, 0);
    desk_end_with(unknown);
    desk_end_failed();
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, unknown);
}

/* ---- which responder ---- */

static void responders_are_asked_in_their_order(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    APR_ARRAY_IDX(ask.urls, 0, mtls_ask_url_t).configured = 1;
    desk_add_url(&ask, OUTSIDE);
    desk_add_url(&ask, URL2);
    desk_ask(&ask, 1);
    assert_string_equal(desk_exchange()->fetch.url, URL);
    assert_int_equal(desk_exchange()->fetch.configured, 1);
    desk_end_with(body_garbage(NULL));
    desk_end_with(body_garbage(NULL));
    assert_string_equal(desk_exchange()->fetch.url, URL2);
    assert_int_equal(desk_exchange()->fetch.configured, 0);
    good = desk_response("1001", GOOD, 0);
    desk_end_with(good);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    assert_exchanges(3);
}

static void without_anybody_to_ask_there_is_no_responder(void **state)
{
    mtls_ask_t none, outside, both;

    (void)state;
    desk_open(1);
    none = desk_ask_of("1001");
    apr_array_clear(none.urls);
    assert_answer(desk_get(&none), MTLS_ANSWER_NO_RESPONDER, nothing);
    outside = none;
    outside.urls = apr_array_make(pool, 1, sizeof(mtls_ask_url_t));
    desk_add_url(&outside, OUTSIDE);
    assert_answer(desk_get(&outside), MTLS_ANSWER_NO_RESPONDER, nothing);
    assert_exchanges(0);
    assert_message(desk.last_warning, OUTSIDE "|MTLSOCSPResponderAllow does not name it");
    desk_pass(SECOND);
    assert_answer(desk_get(&outside), MTLS_ANSWER_NO_RESPONDER, nothing);
    assert_int_equal(desk.warnings, 1);
    /* And nothing of that is held against one who knows whom to ask. */
    both = outside;
    both.urls = apr_array_copy(pool, outside.urls);
    desk_add_url(&both, URL);
    desk_ask(&both, 0);
    assert_exchanges(1);
}

static void a_forbidden_address_is_no_responder(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    desk_add_url(&ask, URL2);
    desk_ask(&ask, 1);
    desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, URL ": loopback");
    assert_string_equal(desk_exchange()->fetch.url, URL2);
    desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, URL2 ": loopback");
    assert_answer(desk_answer(1), MTLS_ANSWER_NO_RESPONDER, nothing);
    assert_exchanges(2); /* nor with the other CertID */
    assert_int_equal(desk.warnings, 2);
    assert_message(desk.last_warning, URL2 ": loopback");
    assert_answer(desk_get(&ask), MTLS_ANSWER_NO_RESPONDER, nothing);
    desk_pass(SECOND / 2);
    assert_answer(desk_get(&ask), MTLS_ANSWER_NO_RESPONDER, nothing);
    assert_exchanges(2);
    desk_pass(2 * SECOND);
    desk_ask(&ask, 2);
    desk_end(desk_exchange(), MTLS_FETCH_FORBIDDEN, nothing, URL ": loopback");
    desk_end_failed();
    desk_end_failed();
    assert_answer(desk_answer(2), MTLS_ANSWER_FAILED, nothing);
}

static void all_exchanges_have_one_deadline(void **state)
{
    mtls_ask_t ask;
    apr_time_t deadline;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    desk_add_url(&ask, URL2);
    desk_ask(&ask, 1);
    deadline = desk_exchange()->fetch.deadline;
    assert_int_equal(deadline, desk.now + TIMEOUT);
    desk_pass(SECOND);
    desk_end_with(body_garbage(NULL));
    assert_int_equal(desk_exchange()->fetch.deadline, deadline);
    desk_pass(SECOND);
    desk_set_clock(desk.now - HOUR); /* it is the time that passes */
    desk_end_with(body_garbage(NULL));
    assert_string_equal(desk_exchange()->fetch.url, URL2);
    assert_int_equal(desk_exchange()->fetch.deadline, deadline - HOUR);
    desk_pass(SECOND);
    desk_end_with(body_garbage(NULL));
    assert_answer(desk_answer(1), MTLS_ANSWER_FAILED, nothing);
    assert_exchanges(3);
}

static void without_time_nobody_is_asked(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    ask.timeout = 0;
    assert_answer(desk_get(&ask), MTLS_ANSWER_FAILED, nothing);
    assert_exchanges(0);
    desk_pass(SECOND); /* nor is that held against the certificate */
    ask.timeout = 1;
    desk_ask(&ask, 0);
    assert_exchanges(1);
}

/* ---- nonces ---- */

static mtls_span_t nonce_seen;

static mtls_span_t body_without_nonce(const exchange_t *exchange)
{
    nonce_seen = exchange->nonce;
    return desk_response("1001", GOOD, 0);
}

static mtls_span_t body_with_nonce(const exchange_t *exchange)
{
    nonce_seen = exchange->nonce;
    return body_good(exchange);
}

static mtls_span_t body_with_other_nonce(const exchange_t *exchange)
{
    exchange_t other = *exchange;

    nonce_seen = exchange->nonce;
    other.nonce = mtls_span_of("0123456789abcdef0123456789abcdef");
    return body_good(&other);
}

typedef struct nonce_t {
    const char *name;
    int nonce;
    mtls_span_t (*body)(const exchange_t *exchange);
    mtls_answer_kind_t kind;
} nonce_t;

static const nonce_t nonces[] = {
    {"no nonce", 0, body_without_nonce, MTLS_ANSWER_STATUS},
    {"no nonce, another one in the answer", 0, body_with_other_nonce, MTLS_ANSWER_STATUS},
    {"a nonce that comes back", 1, body_with_nonce, MTLS_ANSWER_STATUS},
    {"a nonce that does not", 1, body_without_nonce, MTLS_ANSWER_STATUS},
    {"another nonce comes back", 1, body_with_other_nonce, MTLS_ANSWER_FAILED},
    {"a required nonce that comes back", 2, body_with_nonce, MTLS_ANSWER_STATUS},
    {"a required nonce that does not", 2, body_without_nonce, MTLS_ANSWER_FAILED},
    {"another nonce than the required one", 2, body_with_other_nonce, MTLS_ANSWER_FAILED},
};

static void nonce_case(void **state)
{
    const nonce_t *row = *state;
    mtls_ask_t ask;

    desk_open(1);
    ask = desk_ask_of("1001");
    ask.nonce = row->nonce;
    body_of = row->body;
    desk.reply = reply_with_body;
    assert_int_equal(desk_get(&ask)->kind, row->kind);
    assert_int_equal(nonce_seen.len, row->nonce ? MTLS_OCSP_NONCE_BYTES : 0);
}

/* ---- identity ---- */

static void one_key_for_two_certificates_is_two_jobs(void **state)
{
    mtls_ask_t ask, other_serial, other_issuer, other_responder;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    other_serial = desk_ask_of("1002");
    memcpy(other_serial.key, ask.key, sizeof(ask.key));
    other_issuer = ask;
    other_issuer.issuer = certificate_der(pool, desk.other_ca.x);
    other_responder = ask;
    other_responder.responders = apr_array_make(pool, 1, sizeof(mtls_span_t));
    APR_ARRAY_PUSH(other_responder.responders, mtls_span_t) = other_issuer.issuer;
    desk_ask(&ask, 1);
    desk_ask(&other_serial, 2);
    desk_ask(&other_issuer, 3);
    desk_ask(&other_responder, 4);
    assert_exchanges(4);
    good = desk_response("1001", GOOD, 0);
    desk_end(&APR_ARRAY_IDX(desk.exchanges, 0, exchange_t), MTLS_FETCH_DONE, good, NULL);
    assert_answer(desk_answer(1), MTLS_ANSWER_STATUS, good);
    assert_null(desk_answer(2));
    assert_null(desk_answer(3));
    assert_null(desk_answer(4));
    desk_end(&APR_ARRAY_IDX(desk.exchanges, 1, exchange_t), MTLS_FETCH_DONE, good, NULL);
    desk_end_with(good); /* with SHA-1 */
    assert_answer(desk_answer(2), MTLS_ANSWER_FAILED, nothing);
    /* What lies in the cache under this key is of no use to the others. */
    desk_pass(2 * SECOND);
    desk_ask(&other_serial, 5);
    assert_null(desk_answer(5));
}

static void an_ask_about_nothing_fails_at_once(void **state)
{
    mtls_ask_t ask;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    ask.issuer.len--;
    assert_answer(desk_get(&ask), MTLS_ANSWER_FAILED, nothing);
    assert_answer(desk_get(&ask), MTLS_ANSWER_FAILED, nothing);
    desk_ask(&ask, 0);
    assert_exchanges(0);
}

static void who_has_gone_gets_no_answer(void **state)
{
    mtls_ask_t ask;
    mtls_span_t good;

    (void)state;
    desk_open(1);
    ask = desk_ask_of("1001");
    desk_ask(&ask, 1);
    desk_ask(&ask, 2);
    mtls_queue_forget(desk.queue, (void *)(intptr_t)1);
    mtls_queue_forget(desk.queue, (void *)(intptr_t)77);
    good = desk_response("1001", GOOD, 0);
    desk_end_with(good);
    assert_null(desk_answer(1));
    assert_answer(desk_answer(2), MTLS_ANSWER_STATUS, good);
    mtls_queue_forget(desk.queue, (void *)(intptr_t)2);
    assert_answer(desk_get(&ask), MTLS_ANSWER_STATUS, good);
}

int main(void)
{
    SUITE_CASE(a_thousand_waiters_take_one_exchange);
    SUITE_CASE(what_was_fetched_is_in_the_cache);
    SUITE_CASE(a_status_that_is_not_due_takes_no_exchange);
    SUITE_CASE(a_status_is_renewed_at_half_of_its_life);
    SUITE_TABLE(outcome_case, outcomes);
    SUITE_CASE(what_a_responder_understands_is_remembered_for_a_day);
    SUITE_CASE(a_responder_that_has_learned_sha256_is_not_asked_in_vain);
    SUITE_CASE(that_sha1_is_unknown_counts_when_sha256_brings_nothing);
    SUITE_CASE(responders_are_asked_in_their_order);
    SUITE_CASE(without_anybody_to_ask_there_is_no_responder);
    SUITE_CASE(a_forbidden_address_is_no_responder);
    SUITE_CASE(all_exchanges_have_one_deadline);
    SUITE_CASE(without_time_nobody_is_asked);
    SUITE_TABLE(nonce_case, nonces);
    SUITE_CASE(one_key_for_two_certificates_is_two_jobs);
    SUITE_CASE(an_ask_about_nothing_fails_at_once);
    SUITE_CASE(who_has_gone_gets_no_answer);
    return suite_run("queue", 39);
}
