/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Bytes and a length: the only form in which a value from a certificate travels (it may hold
 * NULs, and it ends where its length says). A span never owns its bytes. */

#ifndef MTLS_POLICY_SPAN_H
#define MTLS_POLICY_SPAN_H

#include <string.h>

#include <apr_pools.h>
#include <apr_strings.h>

typedef struct mtls_span_t {
    const char *data;
    apr_size_t len;
} mtls_span_t;

static inline mtls_span_t mtls_span(const char *data, apr_size_t len)
{
    mtls_span_t s = {data, len};
    return s;
}

static inline mtls_span_t mtls_span_of(const char *text)
{
    return mtls_span(text, strlen(text));
}

static inline int mtls_span_equal(mtls_span_t a, mtls_span_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline int mtls_span_starts(mtls_span_t s, mtls_span_t head)
{
    return s.len >= head.len && memcmp(s.data, head.data, head.len) == 0;
}

static inline int mtls_span_ends(mtls_span_t s, mtls_span_t tail)
{
    return s.len >= tail.len && memcmp(s.data + s.len - tail.len, tail.data, tail.len) == 0;
}

/* A copy in `p`; NUL-terminated behind its length, so it can be printed when it holds no NUL. */
static inline mtls_span_t mtls_span_copy(apr_pool_t *p, mtls_span_t s)
{
    return mtls_span(apr_pstrmemdup(p, s.data ? s.data : "", s.len), s.len);
}

/* ASCII only and independent of the locale: other bytes are the caller's to compare exactly. */
static inline char mtls_ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

static inline int mtls_ascii_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#endif
