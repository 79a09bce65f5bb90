/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/ask.h"

#include <openssl/err.h>

/* Both messages begin with a letter. A number is eight bytes, a span four bytes of length and its
 * own; both big-endian. */
#define ASK    'Q'
#define ANSWER 'A'

/* What follows the letter in an answer's place for the revocation. */
#define REVOCATION_FOLLOWS 0
#define REVOCATION_SAME    1 /* it is the response */

/* ---- writing ---- */

typedef struct writer_t {
    char *data;
    apr_size_t used;
    int full; /* something did not fit: all of it is for nothing */
} writer_t;

static writer_t writer_make(apr_pool_t *p, apr_size_t size)
{
    writer_t w = {apr_palloc(p, size < MTLS_ASK_MAX_BYTES ? size : MTLS_ASK_MAX_BYTES), 0,
                  size > MTLS_ASK_MAX_BYTES};

    return w;
}

static void write_bytes(writer_t *w, const void *data, apr_size_t len)
{
    if (w->full)
        return;
    if (len)
        memcpy(w->data + w->used, data, len);
    w->used += len;
}

static void write_number(writer_t *w, apr_int64_t number)
{
    unsigned char bytes[8];
    int i;

    for (i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((apr_uint64_t)number >> (56 - 8 * i));
    write_bytes(w, bytes, sizeof(bytes));
}

static void write_span(writer_t *w, mtls_span_t span)
{
    unsigned char len[4] = {(unsigned char)(span.len >> 24), (unsigned char)(span.len >> 16),
                            (unsigned char)(span.len >> 8), (unsigned char)span.len};

    write_bytes(w, len, sizeof(len));
    write_bytes(w, span.data, span.len);
}

static mtls_span_t written(const writer_t *w)
{
    return w->full ? mtls_span(NULL, 0) : mtls_span(w->data, w->used);
}

/* ---- reading ---- */

typedef struct reader_t {
    mtls_span_t rest;
    int bad; /* something was missing: nothing of it counts */
} reader_t;

static const char *read_bytes(reader_t *r, apr_size_t len)
{
    const char *at = r->rest.data;

    if (r->bad || len > r->rest.len) {
        r->bad = 1;
        return NULL;
    }
    r->rest.data += len;
    r->rest.len -= len;
    return at;
}

/* One of `least` to `most`. */
static apr_int64_t read_number(reader_t *r, apr_int64_t least, apr_int64_t most)
{
    const char *at = read_bytes(r, 8);
    apr_uint64_t bits = 0;
    apr_int64_t number;
    int i;

    for (i = 0; at && i < 8; i++)
        bits = bits << 8 | (unsigned char)at[i];
    number = (apr_int64_t)bits;
    if (number < least || number > most)
        r->bad = 1;
    return r->bad ? 0 : number;
}

static mtls_span_t read_span(reader_t *r)
{
    const unsigned char *at = (const unsigned char *)read_bytes(r, 4);
    const char *data = NULL;
    apr_size_t len = 0;

    if (at) {
        len = (apr_size_t)at[0] << 24 | (apr_size_t)at[1] << 16 | (apr_size_t)at[2] << 8 | at[3];
        data = read_bytes(r, len);
    }
    return data ? mtls_span(data, len) : mtls_span(NULL, 0);
}

static int read_to_its_end(const reader_t *r)
{
    return !r->bad && r->rest.len == 0;
}

/* ---- asks ---- */

static int count(const apr_array_header_t *array)
{
    return array ? array->nelts : 0;
}

static apr_size_t ask_size(const mtls_ask_t *ask)
{
    apr_size_t size = 1 + MTLS_OCSP_KEY_BYTES + 8 * 8 + 4 + ask->serial.len + 4 + ask->issuer.len +
                      4 + ask->offered.len;
    int i;

    for (i = 0; i < count(ask->responders); i++)
        size += 4 + APR_ARRAY_IDX(ask->responders, i, mtls_span_t).len;
    for (i = 0; i < count(ask->urls); i++)
        size += 8 + 4 + strlen(APR_ARRAY_IDX(ask->urls, i, mtls_ask_url_t).url);
    return size;
}

mtls_span_t mtls_ask_encode(apr_pool_t *p, const mtls_ask_t *ask)
{
    writer_t w = writer_make(p, ask_size(ask));
    int i;

    if (count(ask->responders) > MTLS_ASK_MAX_RESPONDERS || count(ask->urls) > MTLS_ASK_MAX_URLS)
        w.full = 1;
    write_bytes(&w, (const char[]){ASK}, 1);
    write_bytes(&w, ask->key, sizeof(ask->key));
    write_number(&w, ask->limits.skew);
    write_number(&w, ask->limits.max_age);
    write_number(&w, ask->stale);
    write_number(&w, ask->timeout);
    write_number(&w, ask->nonce);
    write_number(&w, ask->wait);
    write_span(&w, ask->serial);
    write_span(&w, ask->issuer);
    write_span(&w, ask->offered);
    write_number(&w, count(ask->responders));
    for (i = 0; i < count(ask->responders); i++)
        write_span(&w, APR_ARRAY_IDX(ask->responders, i, mtls_span_t));
    write_number(&w, count(ask->urls));
    for (i = 0; i < count(ask->urls); i++) {
        write_number(&w, APR_ARRAY_IDX(ask->urls, i, mtls_ask_url_t).configured);
        write_span(&w, mtls_span_of(APR_ARRAY_IDX(ask->urls, i, mtls_ask_url_t).url));
    }
    return written(&w);
}

static void read_responders(reader_t *r, mtls_ask_t *ask)
{
    int n = (int)read_number(r, 0, MTLS_ASK_MAX_RESPONDERS);

    while (n-- > 0 && !r->bad)
        APR_ARRAY_PUSH(ask->responders, mtls_span_t) = read_span(r);
}

static void read_urls(reader_t *r, apr_pool_t *p, mtls_ask_t *ask)
{
    int n = (int)read_number(r, 0, MTLS_ASK_MAX_URLS);

    while (n-- > 0 && !r->bad) {
        mtls_ask_url_t *url = apr_array_push(ask->urls);
        mtls_span_t text;
        url->configured = (int)read_number(r, 0, 1);
        text = read_span(r);
        url->url = mtls_span_copy(p, text).data;
        /* A text that would end before its length is another address than was meant. */
        if (text.len == 0 || strlen(url->url) != text.len)
            r->bad = 1;
    }
}

int mtls_ask_decode(apr_pool_t *p, mtls_span_t bytes, mtls_ask_t *ask)
{
    reader_t r = {bytes, bytes.len > MTLS_ASK_MAX_BYTES};
    const char *letter = read_bytes(&r, 1), *key = read_bytes(&r, MTLS_OCSP_KEY_BYTES);

    memset(ask, 0, sizeof(*ask));
    if (!letter || !key || *letter != ASK)
        return 0;
    memcpy(ask->key, key, sizeof(ask->key));
    ask->responders = apr_array_make(p, 1, sizeof(mtls_span_t));
    ask->urls = apr_array_make(p, 1, sizeof(mtls_ask_url_t));
    ask->limits.skew = read_number(&r, 0, MTLS_ASK_MAX_INTERVAL);
    ask->limits.max_age = read_number(&r, 0, MTLS_ASK_MAX_INTERVAL);
    ask->stale = read_number(&r, 0, MTLS_ASK_MAX_INTERVAL);
    ask->timeout = read_number(&r, 0, MTLS_ASK_MAX_INTERVAL);
    ask->nonce = (int)read_number(&r, 0, 2);
    ask->wait = (int)read_number(&r, 0, 1);
    ask->serial = read_span(&r);
    ask->issuer = read_span(&r);
    ask->offered = read_span(&r);
    read_responders(&r, ask);
    read_urls(&r, p, ask);
    if (read_to_its_end(&r) && ask->serial.len && ask->issuer.len)
        return 1;
    memset(ask, 0, sizeof(*ask));
    return 0;
}

/* ---- answers ---- */

mtls_span_t mtls_answer_encode(apr_pool_t *p, const mtls_answer_t *answer)
{
    mtls_span_t response = answer->record.response, revocation = answer->record.revocation;
    int same = mtls_span_equal(response, revocation);
    apr_size_t size = 1 + 4 * 8 + 4 + 4;
    writer_t w;

    if (same)
        revocation = mtls_span(NULL, 0);
    if (revocation.len && size + response.len + revocation.len > MTLS_ASK_MAX_BYTES)
        response = mtls_span(NULL, 0); /* what refuses is what must arrive */
    w = writer_make(p, size + response.len + revocation.len);
    write_bytes(&w, (const char[]){ANSWER}, 1);
    write_number(&w, answer->kind);
    write_number(&w, answer->record.fetched_at);
    write_number(&w, answer->record.checked_at);
    write_number(&w, same ? REVOCATION_SAME : REVOCATION_FOLLOWS);
    write_span(&w, response);
    write_span(&w, revocation);
    return written(&w);
}

int mtls_answer_decode(mtls_span_t bytes, mtls_answer_t *answer)
{
    reader_t r = {bytes, bytes.len > MTLS_ASK_MAX_BYTES};
    const char *letter = read_bytes(&r, 1);
    mtls_ocsp_record_t *record = &answer->record;
    int same;

    memset(answer, 0, sizeof(*answer));
    if (!letter || *letter != ANSWER)
        return 0;
    answer->kind = (mtls_answer_kind_t)read_number(&r, MTLS_ANSWER_FAILED, MTLS_ANSWER_BUSY);
    record->fetched_at = read_number(&r, 0, APR_INT64_MAX);
    record->checked_at = read_number(&r, 0, APR_INT64_MAX);
    same = read_number(&r, REVOCATION_FOLLOWS, REVOCATION_SAME) == REVOCATION_SAME;
    record->response = read_span(&r);
    record->revocation = read_span(&r);
    if (same && record->revocation.len)
        r.bad = 1;
    if (same)
        record->revocation = record->response;
    if (read_to_its_end(&r))
        return 1;
    memset(answer, 0, sizeof(*answer));
    return 0;
}

/* ---- what an ask is about ---- */

static apr_status_t free_serial(void *serial)
{
    ASN1_INTEGER_free(serial);
    return APR_SUCCESS;
}

static apr_status_t free_certificate(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

static apr_status_t free_stack(void *stack)
{
    sk_X509_free(stack);
    return APR_SUCCESS;
}

static X509 *certificate(apr_pool_t *p, mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data, *end = at + der.len;
    X509 *x = der.len ? d2i_X509(NULL, &at, (long)der.len) : NULL;

    if (x)
        apr_pool_cleanup_register(p, x, free_certificate, apr_pool_cleanup_null);
    return x && at == end ? x : NULL;
}

static ASN1_INTEGER *serial_of(apr_pool_t *p, mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data, *end = at + der.len;
    ASN1_INTEGER *serial = der.len ? d2i_ASN1_INTEGER(NULL, &at, (long)der.len) : NULL;

    if (serial)
        apr_pool_cleanup_register(p, serial, free_serial, apr_pool_cleanup_null);
    return serial && at == end ? serial : NULL;
}

/* The stack borrows what `p` frees. NULL: one is no certificate. */
static STACK_OF(X509) * certificates(apr_pool_t *p, const apr_array_header_t *ders)
{
    STACK_OF(X509) *stack = sk_X509_new_null();
    int i;

    if (!stack)
        return NULL;
    apr_pool_cleanup_register(p, stack, free_stack, apr_pool_cleanup_null);
    for (i = 0; i < ders->nelts; i++) {
        X509 *x = certificate(p, APR_ARRAY_IDX(ders, i, mtls_span_t));
        if (!x || !sk_X509_push(stack, x))
            return NULL;
    }
    return stack;
}

int mtls_ask_subject(apr_pool_t *p, const mtls_ask_t *ask, mtls_ocsp_subject_t *subject)
{
    int whole;

    memset(subject, 0, sizeof(*subject));
    subject->serial = serial_of(p, ask->serial);
    subject->issuer = certificate(p, ask->issuer);
    whole = subject->serial && subject->issuer;
    if (whole && count(ask->responders)) {
        subject->responders = certificates(p, ask->responders);
        whole = subject->responders != NULL;
    }
    if (!whole)
        memset(subject, 0, sizeof(*subject));
    ERR_clear_error();
    return whole;
}
