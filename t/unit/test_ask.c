/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/ask: what goes in comes out, and nothing else is taken for it. */

#include "suite.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "certificates.h"
#include "ocsp/ask.h"

#define SECOND apr_time_from_sec(1)

/* ---- things to send ---- */

static X509 *ca(const char *cn, int key)
{
    certificate_t spec = {.subject = {{"CN", 0, cn, 0, 0}}, .key = key};

    return certificate_make(pool, &spec, NULL);
}

static mtls_span_t serial_der(long number)
{
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    unsigned char *der = NULL;
    mtls_span_t span;
    int len;

    assert_int_equal(ASN1_INTEGER_set(serial, number), 1);
    len = i2d_ASN1_INTEGER(serial, &der);
    assert_true(len > 0);
    span = mtls_span_copy(pool, mtls_span((char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    ASN1_INTEGER_free(serial);
    return span;
}

static void add_url(mtls_ask_t *ask, const char *url, int configured)
{
    mtls_ask_url_t *to = apr_array_push(ask->urls);

    to->url = url;
    to->configured = configured;
}

static mtls_ask_t full_ask(void)
{
    mtls_ask_t ask = {.serial = serial_der(0x1001), .issuer = certificate_der(pool, ca("CA", 1))};
    int i;

    for (i = 0; i < MTLS_OCSP_KEY_BYTES; i++)
        ask.key[i] = (unsigned char)(200 + i);
    ask.responders = apr_array_make(pool, 2, sizeof(mtls_span_t));
    APR_ARRAY_PUSH(ask.responders, mtls_span_t) = certificate_der(pool, ca("R1", 2));
    APR_ARRAY_PUSH(ask.responders, mtls_span_t) = certificate_der(pool, ca("R2", 3));
    ask.urls = apr_array_make(pool, 2, sizeof(mtls_ask_url_t));
    add_url(&ask, "http://ocsp.example/a", 1);
    add_url(&ask, "http://[::1]:8080/", 0);
    ask.offered = mtls_span_of("offered");
    ask.limits.skew = 300 * SECOND;
    ask.limits.max_age = 3600 * SECOND;
    ask.stale = 60 * SECOND;
    ask.timeout = 3 * SECOND + 7;
    ask.nonce = 2;
    ask.wait = 1;
    return ask;
}

static mtls_span_t encoded(const mtls_ask_t *ask)
{
    mtls_span_t bytes = mtls_ask_encode(pool, ask);

    assert_true(bytes.len > 0);
    return bytes;
}

/* A copy that ends where the heap block ends: sanitizers and valgrind see what lies behind it. */
static mtls_span_t exact(mtls_span_t bytes)
{
    char *block = malloc(bytes.len ? bytes.len : 1);

    assert_non_null(block);
    if (bytes.len)
        memcpy(block, bytes.data, bytes.len);
    return mtls_span(block, bytes.len);
}

static int decodes(mtls_span_t bytes)
{
    mtls_span_t block = exact(bytes);
    mtls_ask_t ask;
    int ok = mtls_ask_decode(pool, block, &ask);

    if (!ok)
        assert_true(ask.urls == NULL && ask.issuer.len == 0 && ask.timeout == 0);
    free((char *)block.data);
    return ok;
}

static int answer_decodes(mtls_span_t bytes)
{
    mtls_span_t block = exact(bytes);
    mtls_answer_t answer;
    int ok = mtls_answer_decode(block, &answer);

    if (!ok)
        assert_true(answer.kind == MTLS_ANSWER_FAILED && answer.record.response.len == 0 &&
                    answer.record.revocation.len == 0);
    free((char *)block.data);
    return ok;
}

/* ---- asks ---- */

static void assert_same_ask(const mtls_ask_t *a, const mtls_ask_t *b)
{
    int i;

    assert_memory_equal(a->key, b->key, MTLS_OCSP_KEY_BYTES);
    assert_span_equal(a->serial, b->serial);
    assert_span_equal(a->issuer, b->issuer);
    assert_span_equal(a->offered, b->offered);
    assert_int_equal(a->responders->nelts, b->responders->nelts);
    for (i = 0; i < a->responders->nelts; i++)
        assert_span_equal(APR_ARRAY_IDX(a->responders, i, mtls_span_t),
                          APR_ARRAY_IDX(b->responders, i, mtls_span_t));
    assert_int_equal(a->urls->nelts, b->urls->nelts);
    for (i = 0; i < a->urls->nelts; i++) {
        const mtls_ask_url_t *x = &APR_ARRAY_IDX(a->urls, i, mtls_ask_url_t);
        const mtls_ask_url_t *y = &APR_ARRAY_IDX(b->urls, i, mtls_ask_url_t);
        assert_string_equal(x->url, y->url);
        assert_int_equal(x->configured, y->configured);
    }
    assert_int_equal(a->limits.skew, b->limits.skew);
    assert_int_equal(a->limits.max_age, b->limits.max_age);
    assert_int_equal(a->stale, b->stale);
    assert_int_equal(a->timeout, b->timeout);
    assert_int_equal(a->nonce, b->nonce);
    assert_int_equal(a->wait, b->wait);
}

static void an_ask_arrives_as_it_was_sent(void **state)
{
    mtls_ask_t ask = full_ask(), got;
    mtls_ocsp_subject_t subject;

    (void)state;
    assert_int_equal(mtls_ask_decode(pool, encoded(&ask), &got), 1);
    assert_same_ask(&got, &ask);
    assert_int_equal(mtls_ask_subject(pool, &got, &subject), 1);
    assert_int_equal(ASN1_INTEGER_get(subject.serial), 0x1001);
    assert_span_equal(certificate_der(pool, subject.issuer), ask.issuer);
    assert_int_equal(sk_X509_num(subject.responders), 2);
    assert_span_equal(certificate_der(pool, sk_X509_value(subject.responders, 1)),
                      APR_ARRAY_IDX(ask.responders, 1, mtls_span_t));
}

static void an_ask_may_be_without_urls_and_responders(void **state)
{
    mtls_ask_t ask = full_ask(), got;
    mtls_ocsp_subject_t subject;

    (void)state;
    ask.responders = NULL;
    ask.urls = NULL;
    ask.wait = ask.nonce = 0;
    ask.offered = mtls_span(NULL, 0);
    assert_int_equal(mtls_ask_decode(pool, encoded(&ask), &got), 1);
    assert_int_equal(got.offered.len, 0);
    assert_int_equal(got.urls->nelts, 0);
    assert_int_equal(got.responders->nelts, 0);
    assert_int_equal(got.wait, 0);
    assert_int_equal(mtls_ask_subject(pool, &got, &subject), 1);
    assert_null(subject.responders);
}

static void an_ask_cut_anywhere_is_none(void **state)
{
    mtls_ask_t ask = full_ask();
    mtls_span_t bytes = encoded(&ask);
    apr_size_t len;

    (void)state;
    for (len = 0; len < bytes.len; len++) {
        if (decodes(mtls_span(bytes.data, len)))
            fail_msg("%lu of %lu bytes", (unsigned long)len, (unsigned long)bytes.len);
    }
    assert_int_equal(decodes(bytes), 1);
}

static void bytes_behind_an_ask_are_refused(void **state)
{
    mtls_ask_t ask = full_ask();
    mtls_span_t bytes = encoded(&ask);
    char *longer = apr_pcalloc(pool, bytes.len + 1);

    (void)state;
    memcpy(longer, bytes.data, bytes.len);
    assert_int_equal(decodes(mtls_span(longer, bytes.len + 1)), 0);
}

/* Whatever one byte is, nothing outside is read, and no number leaves its bounds. */
static void a_changed_byte_breaks_nothing(void **state)
{
    mtls_ask_t ask = full_ask(), got;
    mtls_span_t bytes = encoded(&ask);
    char *changed = apr_pmemdup(pool, bytes.data, bytes.len);
    const int flips[] = {1, 0x7f, 0x80, 0xff};
    apr_size_t at, i;
    int refused = 0;

    (void)state;
    for (at = 0; at < bytes.len; at++) {
        for (i = 0; i < ROWS(flips); i++) {
            mtls_span_t block;
            changed[at] = (char)(bytes.data[at] ^ flips[i]);
            block = exact(mtls_span(changed, bytes.len));
            if (mtls_ask_decode(pool, block, &got)) {
                assert_true(got.nonce >= 0 && got.nonce <= 2 && (got.wait | 1) == 1);
                assert_true(got.timeout >= 0 && got.limits.skew >= 0 && got.limits.max_age >= 0);
                assert_true(got.urls->nelts <= MTLS_ASK_MAX_URLS);
            } else {
                refused++;
            }
            free((char *)block.data);
        }
        changed[at] = bytes.data[at];
    }
    assert_true(refused > 200);
}

typedef struct bad_ask_t {
    const char *name;
    void (*spoil)(mtls_ask_t *ask);
} bad_ask_t;

static void negative_timeout(mtls_ask_t *ask)
{
    ask->timeout = -1;
}
static void endless_timeout(mtls_ask_t *ask)
{
    ask->timeout = APR_INT64_MAX;
}
static void negative_skew(mtls_ask_t *ask)
{
    ask->limits.skew = -1;
}
static void endless_max_age(mtls_ask_t *ask)
{
    ask->limits.max_age = APR_INT64_MAX;
}
static void endless_stale(mtls_ask_t *ask)
{
    ask->stale = MTLS_ASK_MAX_INTERVAL + 1;
}
static void unknown_nonce(mtls_ask_t *ask)
{
    ask->nonce = 3;
}
static void unknown_wait(mtls_ask_t *ask)
{
    ask->wait = 2;
}
static void unknown_configured(mtls_ask_t *ask)
{
    APR_ARRAY_IDX(ask->urls, 1, mtls_ask_url_t).configured = -1;
}
static void empty_url(mtls_ask_t *ask)
{
    APR_ARRAY_IDX(ask->urls, 1, mtls_ask_url_t).url = "";
}
static void no_serial(mtls_ask_t *ask)
{
    ask->serial.len = 0;
}
static void no_issuer(mtls_ask_t *ask)
{
    ask->issuer.len = 0;
}

static const bad_ask_t bad_asks[] = {
    {"a negative timeout is none", negative_timeout},
    {"an endless timeout is none", endless_timeout},
    {"a negative skew is none", negative_skew},
    {"an endless maximal age is none", endless_max_age},
    {"an endless stale time is none", endless_stale},
    {"a nonce of no meaning", unknown_nonce},
    {"a wait of no meaning", unknown_wait},
    {"a URL of nobody", unknown_configured},
    {"an empty URL", empty_url},
    {"no serial", no_serial},
    {"no issuer", no_issuer},
};

static void bad_ask_case(void **state)
{
    const bad_ask_t *row = *state;
    mtls_ask_t ask = full_ask();

    assert_int_equal(decodes(encoded(&ask)), 1);
    row->spoil(&ask);
    assert_int_equal(decodes(encoded(&ask)), 0);
}

static void a_url_with_a_nul_is_refused(void **state)
{
    mtls_ask_t ask = full_ask();
    mtls_span_t bytes = encoded(&ask);
    char *changed = apr_pmemdup(pool, bytes.data, bytes.len);

    (void)state;
    changed[bytes.len - 3] = '\0'; /* the last thing is the second URL */
    assert_int_equal(decodes(mtls_span(changed, bytes.len)), 0);
    changed[bytes.len - 3] = 'x';
    assert_int_equal(decodes(mtls_span(changed, bytes.len)), 1);
}

static void too_much_of_something_is_not_encoded(void **state)
{
    mtls_ask_t ask = full_ask();
    int i;

    (void)state;
    for (i = ask.urls->nelts; i < MTLS_ASK_MAX_URLS; i++)
        add_url(&ask, "http://ocsp.example/", 0);
    assert_int_equal(decodes(encoded(&ask)), 1);
    add_url(&ask, "http://ocsp.example/", 0);
    assert_int_equal(mtls_ask_encode(pool, &ask).len, 0);

    ask = full_ask();
    for (i = ask.responders->nelts; i < MTLS_ASK_MAX_RESPONDERS; i++)
        APR_ARRAY_PUSH(ask.responders, mtls_span_t) = ask.serial;
    assert_int_equal(decodes(encoded(&ask)), 1);
    APR_ARRAY_PUSH(ask.responders, mtls_span_t) = ask.serial;
    assert_int_equal(mtls_ask_encode(pool, &ask).len, 0);
}

static void an_ask_is_as_large_as_it_may_be_and_no_larger(void **state)
{
    mtls_ask_t ask = full_ask();
    apr_size_t rest;

    (void)state;
    rest = MTLS_ASK_MAX_BYTES - encoded(&ask).len;
    ask.issuer = mtls_span(apr_pcalloc(pool, MTLS_ASK_MAX_BYTES), ask.issuer.len + rest);
    assert_int_equal(encoded(&ask).len, MTLS_ASK_MAX_BYTES);
    assert_int_equal(decodes(encoded(&ask)), 1);
    ask.issuer.len++;
    assert_int_equal(mtls_ask_encode(pool, &ask).len, 0);
}

/* ---- what an ask is about ---- */

static mtls_span_t with_a_byte_more(mtls_span_t der)
{
    char *longer = apr_pcalloc(pool, der.len + 1);

    memcpy(longer, der.data, der.len);
    return mtls_span(longer, der.len + 1);
}

static int has_subject(const mtls_ask_t *ask)
{
    mtls_ocsp_subject_t subject;
    int ok = mtls_ask_subject(pool, ask, &subject);

    if (!ok)
        assert_true(!subject.serial && !subject.issuer && !subject.responders);
    assert_int_equal(ERR_peek_error(), 0);
    return ok;
}

static void a_subject_is_made_of_whole_certificates(void **state)
{
    mtls_ask_t good = full_ask(), ask;

    (void)state;
    assert_int_equal(has_subject(&good), 1);
    ask = good;
    ask.issuer = with_a_byte_more(good.issuer);
    assert_int_equal(has_subject(&ask), 0);
    ask = good;
    ask.issuer.len--;
    assert_int_equal(has_subject(&ask), 0);
    ask = good;
    ask.serial = with_a_byte_more(good.serial);
    assert_int_equal(has_subject(&ask), 0);
    ask.serial = mtls_span_of("1001");
    assert_int_equal(has_subject(&ask), 0);
    ask = full_ask();
    APR_ARRAY_IDX(ask.responders, 1, mtls_span_t).len--;
    assert_int_equal(has_subject(&ask), 0);
}

/* ---- answers ---- */

static mtls_answer_t full_answer(void)
{
    mtls_answer_t answer = {.kind = MTLS_ANSWER_STATUS};

    answer.record.response = mtls_span_of("the response");
    answer.record.revocation = mtls_span_of("a revocation");
    answer.record.fetched_at = WORLD_NOW;
    answer.record.checked_at = WORLD_NOW + 1;
    return answer;
}

static void assert_arrives(const mtls_answer_t *answer)
{
    mtls_span_t bytes = mtls_answer_encode(pool, answer);
    mtls_answer_t got;

    assert_true(bytes.len > 0);
    assert_int_equal(mtls_answer_decode(bytes, &got), 1);
    assert_int_equal(got.kind, answer->kind);
    assert_int_equal(got.record.fetched_at, answer->record.fetched_at);
    assert_int_equal(got.record.checked_at, answer->record.checked_at);
    assert_span_equal(got.record.response, answer->record.response);
    assert_span_equal(got.record.revocation, answer->record.revocation);
}

static void an_answer_arrives_as_it_was_sent(void **state)
{
    mtls_answer_t answer = full_answer();
    int kind;

    (void)state;
    for (kind = MTLS_ANSWER_FAILED; kind <= MTLS_ANSWER_BUSY; kind++) {
        answer.kind = (mtls_answer_kind_t)kind;
        assert_arrives(&answer);
    }
    answer.record.revocation = mtls_span(NULL, 0);
    assert_arrives(&answer);
    memset(&answer, 0, sizeof(answer));
    assert_arrives(&answer);
}

static void the_same_response_travels_once(void **state)
{
    mtls_answer_t answer = full_answer();

    (void)state;
    answer.record.response = mtls_span(apr_pcalloc(pool, 64 * 1024), 64 * 1024);
    answer.record.revocation = mtls_span(apr_pcalloc(pool, 64 * 1024), 64 * 1024);
    assert_arrives(&answer);
    assert_true(mtls_answer_encode(pool, &answer).len < 65 * 1024);
}

static void of_two_that_do_not_fit_the_revocation_goes(void **state)
{
    mtls_answer_t answer = full_answer(), got;
    char *revocation = apr_pcalloc(pool, 64 * 1024);

    (void)state;
    revocation[0] = 'r';
    answer.record.response = mtls_span(apr_pcalloc(pool, 64 * 1024), 64 * 1024);
    answer.record.revocation = mtls_span(revocation, 64 * 1024);
    assert_int_equal(mtls_answer_decode(mtls_answer_encode(pool, &answer), &got), 1);
    assert_int_equal(got.record.response.len, 0);
    assert_span_equal(got.record.revocation, answer.record.revocation);

    answer.record.response.len = answer.record.revocation.len = 40 * 1024;
    assert_arrives(&answer);
    answer.record.response.len = 2 * MTLS_ASK_MAX_BYTES; /* never read: it does not fit */
    answer.record.revocation.len = 0;
    assert_int_equal(mtls_answer_encode(pool, &answer).len, 0);
}

static void an_answer_cut_or_longer_is_none(void **state)
{
    mtls_answer_t answer = full_answer();
    mtls_span_t bytes = mtls_answer_encode(pool, &answer);
    apr_size_t len;

    (void)state;
    for (len = 0; len < bytes.len; len++)
        assert_int_equal(answer_decodes(mtls_span(bytes.data, len)), 0);
    assert_int_equal(answer_decodes(bytes), 1);
    assert_int_equal(answer_decodes(with_a_byte_more(bytes)), 0);
}

static void an_answer_of_no_meaning_is_none(void **state)
{
    mtls_answer_t answer = full_answer();
    mtls_ask_t ask = full_ask();

    (void)state;
    assert_int_equal(answer_decodes(encoded(&ask)), 0);
    assert_int_equal(decodes(mtls_answer_encode(pool, &answer)), 0);
    answer.kind = (mtls_answer_kind_t)(MTLS_ANSWER_BUSY + 1);
    assert_int_equal(answer_decodes(mtls_answer_encode(pool, &answer)), 0);
    answer = full_answer();
    answer.record.fetched_at = -1;
    assert_int_equal(answer_decodes(mtls_answer_encode(pool, &answer)), 0);
    answer.record.fetched_at = 0;
    answer.record.checked_at = APR_INT64_MIN;
    assert_int_equal(answer_decodes(mtls_answer_encode(pool, &answer)), 0);
}

int main(void)
{
    SUITE_CASE(an_ask_arrives_as_it_was_sent);
    SUITE_CASE(an_ask_may_be_without_urls_and_responders);
    SUITE_CASE(an_ask_cut_anywhere_is_none);
    SUITE_CASE(bytes_behind_an_ask_are_refused);
    SUITE_CASE(a_changed_byte_breaks_nothing);
    SUITE_TABLE(bad_ask_case, bad_asks);
    SUITE_CASE(a_url_with_a_nul_is_refused);
    SUITE_CASE(too_much_of_something_is_not_encoded);
    SUITE_CASE(an_ask_is_as_large_as_it_may_be_and_no_larger);
    SUITE_CASE(a_subject_is_made_of_whole_certificates);
    SUITE_CASE(an_answer_arrives_as_it_was_sent);
    SUITE_CASE(the_same_response_travels_once);
    SUITE_CASE(of_two_that_do_not_fit_the_revocation_goes);
    SUITE_CASE(an_answer_cut_or_longer_is_none);
    SUITE_CASE(an_answer_of_no_meaning_is_none);
    return suite_run("ask", 25);
}
