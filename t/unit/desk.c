/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "desk.h"

#include <openssl/ocsp.h>

desk_t desk;

/* ---- what the queue calls ---- */

static void read_request(exchange_t *exchange)
{
    const unsigned char *at = (const unsigned char *)exchange->fetch.request.data;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)exchange->fetch.request.len);
    ASN1_OBJECT *hash = NULL;
    int i;

    assert_non_null(request);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    assert_int_equal(OCSP_id_get0_info(NULL, &hash, NULL, NULL,
                                       OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0))),
                     1);
    exchange->hash = OBJ_obj2nid(hash) == NID_sha1 ? MTLS_OCSP_SHA1 : MTLS_OCSP_SHA256;
    i = OCSP_REQUEST_get_ext_by_NID(request, NID_id_pkix_OCSP_Nonce, -1);
    if (i >= 0) {
        /* An OCTET STRING in the extension's own (RFC 9654 2.1). */
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(request, i));
        exchange->nonce =
            mtls_span_copy(desk.p, mtls_span((const char *)ASN1_STRING_get0_data(value) + 2,
                                             (apr_size_t)ASN1_STRING_length(value) - 2));
    }
    OCSP_REQUEST_free(request);
}

void mtls_fetcher_start(mtls_fetcher_t *fetcher, const mtls_fetch_t *fetch)
{
    int i = desk.exchanges->nelts;
    exchange_t *exchange = apr_array_push(desk.exchanges);

    (void)fetcher;
    memset(exchange, 0, sizeof(*exchange));
    exchange->fetch = *fetch;
    exchange->fetch.url = apr_pstrdup(desk.p, fetch->url);
    exchange->under_way = 1;
    assert_true(fetch->deadline > desk.now && fetch->deadline <= desk.now + TIMEOUT);
    read_request(exchange);
    if (++desk.under_way > desk.most_under_way)
        desk.most_under_way = desk.under_way;
    if (desk.reply && desk.reply(exchange))
        assert_false(APR_ARRAY_IDX(desk.exchanges, i, exchange_t).under_way);
}

int mtls_fetcher_count(const mtls_fetcher_t *fetcher)
{
    (void)fetcher;
    return desk.under_way;
}

int mtls_fetcher_run(mtls_fetcher_t *fetcher, int fd, apr_interval_time_t most)
{
    (void)fetcher;
    (void)fd;
    (void)most;
    return 0;
}

int mtls_fetch_allows(const mtls_fetch_rules_t *rules, const char *url)
{
    assert_ptr_equal(rules, &desk.rules);
    return strcmp(url, OUTSIDE) != 0;
}

apr_array_header_t *mtls_folder_find(const mtls_folder_t *folder, apr_pool_t *p,
                                     const mtls_ocsp_subject_t *subject)
{
    (void)folder;
    assert_non_null(subject->issuer);
    return apr_array_copy(p, desk.folder);
}

static apr_time_t wall_clock(void)
{
    return desk.now;
}

static apr_time_t ticks(void)
{
    return desk.ticks;
}

static void take_line(void *baton, int level, const char *text)
{
    const char *at;

    assert_ptr_equal(baton, &desk);
    for (at = text; *at; at++)
        assert_true(*at >= ' ' && *at <= '~');
    assert_true(at > text);
    if (level == 4)
        apr_cpystrn(desk.last_warning, text, sizeof(desk.last_warning));
    if (level == 6)
        apr_cpystrn(desk.last_info, text, sizeof(desk.last_info));
    desk.warnings += level == 4;
    desk.infos += level == 6;
    desk.details += level == 7;
    assert_true(level == 4 || level == 6 || level == 7);
}

static void take_answer(void *baton, void *waiter, const mtls_answer_t *answer)
{
    answered_t *to = apr_array_push(desk.answers);

    assert_ptr_equal(baton, &desk);
    assert_non_null(waiter);
    to->waiter = waiter;
    to->answer = *answer;
    to->answer.record.response = mtls_span_copy(desk.p, answer->record.response);
    to->answer.record.revocation = mtls_span_copy(desk.p, answer->record.revocation);
}

static void take_change(void *baton)
{
    assert_ptr_equal(baton, &desk);
    desk.changed++;
}

/* ---- the world ---- */

static issuer_t make_ca(const char *cn, int key)
{
    certificate_t spec = {.subject = {{"CN", 0, cn, 0, 0}},
                          .key = key,
                          .extensions = {"basicConstraints=critical,CA:TRUE",
                                         "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"}};
    issuer_t issuer = {certificate_make(pool, &spec, NULL), key_get(KEY_P256, key)};

    return issuer;
}

void desk_restart(void)
{
    desk.queue = mtls_queue_make(desk.p, &desk.env);
    assert_non_null(desk.queue);
}

void desk_open(int store)
{
    memset(&desk, 0, sizeof(desk));
    desk.p = pool;
    desk.now = WORLD_NOW;
    desk.ticks = 12345 * SECOND;
    cache_init(&desk.cache, pool, desk.now);
    desk.exchanges = apr_array_make(pool, 64, sizeof(exchange_t));
    desk.answers = apr_array_make(pool, 64, sizeof(answered_t));
    desk.ca = make_ca("CA", 0);
    desk.other_ca = make_ca("Other CA", 1);
    desk.env.store = store ? &desk.cache.store : NULL;
    desk.env.fetcher = (mtls_fetcher_t *)(void *)&desk; /* only ever handed back */
    desk.env.rules = &desk.rules;
    desk.env.now = wall_clock;
    desk.env.ticks = ticks;
    desk.env.baton = &desk;
    desk.env.log = take_line;
    desk.env.answer = take_answer;
    desk.env.changed = take_change;
    desk_restart();
}

void desk_set_clock(apr_time_t now)
{
    desk.now = desk.cache.now = now;
}

void desk_pass(apr_interval_time_t time)
{
    desk.ticks += time;
    desk_set_clock(desk.now + time);
}

/* ---- asks and answers ---- */

static mtls_span_t serial_der(const char *hex)
{
    BIGNUM *number = NULL;
    ASN1_INTEGER *serial;
    unsigned char *der = NULL;
    mtls_span_t span;
    int len;

    assert_true(BN_hex2bn(&number, hex) > 0);
    serial = BN_to_ASN1_INTEGER(number, NULL);
    len = i2d_ASN1_INTEGER(serial, &der);
    assert_true(len > 0);
    span = mtls_span_copy(desk.p, mtls_span((const char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return span;
}

void desk_add_url(mtls_ask_t *ask, const char *url)
{
    mtls_ask_url_t *to = apr_array_push(ask->urls);

    to->url = url;
    to->configured = 0;
}

mtls_ask_t desk_ask_of(const char *serial)
{
    mtls_ask_t ask = {.serial = serial_der(serial),
                      .issuer = certificate_der(desk.p, desk.ca.x),
                      .limits = {300 * SECOND, MAX_AGE},
                      .timeout = TIMEOUT};

    apr_cpystrn((char *)ask.key, serial, sizeof(ask.key));
    ask.urls = apr_array_make(desk.p, 2, sizeof(mtls_ask_url_t));
    desk_add_url(&ask, URL);
    return ask;
}

void desk_ask(const mtls_ask_t *ask, int waiter)
{
    mtls_ask_t with = *ask;

    with.wait = waiter > 0;
    mtls_queue_ask(desk.queue, &with, (void *)(intptr_t)waiter);
}

const mtls_answer_t *desk_answer(int waiter)
{
    const mtls_answer_t *found = NULL;
    int i;

    for (i = 0; i < desk.answers->nelts; i++) {
        const answered_t *at = &APR_ARRAY_IDX(desk.answers, i, answered_t);
        if (at->waiter != (void *)(intptr_t)waiter)
            continue;
        assert_null(found);
        found = &at->answer;
    }
    return found;
}

const mtls_answer_t *desk_get(const mtls_ask_t *ask)
{
    static int waiter = 1000000;
    const mtls_answer_t *answer;

    desk_ask(ask, ++waiter);
    answer = desk_answer(waiter);
    assert_non_null(answer);
    return answer;
}

exchange_t *desk_exchange(void)
{
    int i;

    for (i = desk.exchanges->nelts - 1; i >= 0; i--) {
        if (APR_ARRAY_IDX(desk.exchanges, i, exchange_t).under_way)
            return &APR_ARRAY_IDX(desk.exchanges, i, exchange_t);
    }
    fail_msg("no exchange is under way");
    return NULL;
}

void desk_end(exchange_t *exchange, mtls_fetch_outcome_t outcome, mtls_span_t body,
              const char *error)
{
    mtls_fetch_t fetch = exchange->fetch; /* the array may grow meanwhile */

    assert_int_equal(exchange->under_way, 1);
    exchange->under_way = 0;
    desk.under_way--;
    fetch.done(fetch.baton, outcome, body, error);
}

void desk_end_with(mtls_span_t body)
{
    desk_end(desk_exchange(), MTLS_FETCH_DONE, body, NULL);
}

void desk_end_failed(void)
{
    exchange_t *exchange = desk_exchange();

    desk_end(exchange, MTLS_FETCH_FAILED, mtls_span(NULL, 0),
             apr_pstrcat(desk.p, exchange->fetch.url, ": refused", NULL));
}

mtls_span_t desk_response_to(const exchange_t *exchange, const char *serial, int status,
                             apr_interval_time_t age)
{
    ocsp_statement_t statement = {.serial = serial,
                                  .status = status,
                                  .from = desk.now - age,
                                  .to = desk.now - age + DAY,
                                  .revoked_at = desk.now - age - DAY};
    ocsp_t spec = {
        .signer = &desk.ca, .statements = &statement, .n = 1, .produced_at = desk.now - age};

    if (exchange && exchange->hash == MTLS_OCSP_SHA1)
        statement.hash = NID_sha1;
    if (exchange)
        spec.nonce = exchange->nonce;
    return ocsp_make(desk.p, &spec);
}

mtls_span_t desk_response(const char *serial, int status, apr_interval_time_t age)
{
    return desk_response_to(NULL, serial, status, age);
}

void assert_answer(const mtls_answer_t *answer, mtls_answer_kind_t kind, mtls_span_t response)
{
    assert_non_null(answer);
    assert_int_equal(answer->kind, kind);
    if (!mtls_span_equal(answer->record.response, response))
        fail_msg("another response of %lu bytes, expected %lu",
                 (unsigned long)answer->record.response.len, (unsigned long)response.len);
}

void assert_exchanges(int count)
{
    assert_int_equal(desk.exchanges->nelts, count);
}
