/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/strip.h"

#include <apr_strings.h>

#include "policy/span.h"

/* Lengths of our names as bits, so that most headers cost one look; longer names share the last. */
#define LENGTH_BITS 64

static struct {
    const char *const *names;
    int n;
    apr_uint64_t lengths;
} ours;

static apr_uint64_t length_bit(apr_size_t len)
{
    return APR_UINT64_C(1) << (len < LENGTH_BITS ? len : LENGTH_BITS - 1);
}

int mtls_strip_same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (mtls_ascii_lower(*a) == mtls_ascii_lower(*b))
            continue;
        if (mtls_ascii_alnum(*a) || mtls_ascii_alnum(*b))
            return 0;
    }
    return *a == *b;
}

/* Headers of HTTP itself, whose meaning to httpd or the backend is fixed. */
static const char *const http_names[] = {
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Cookie2",
    "Date",
    "Expect",
    "From",
    "Host",
    "HTTP2-Settings",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Proxy",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Via",
};

const char *mtls_strip_check_name(apr_pool_t *p, const char *name)
{
    apr_size_t i;

    if (!*name ||
        name[strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] ||
        !mtls_ascii_alnum(*name))
        return apr_psprintf(p, "\"%s\" is not the name of a header", name);
    for (i = 0; i < sizeof(http_names) / sizeof(http_names[0]); i++) {
        if (mtls_strip_same_name(name, http_names[i]))
            return apr_psprintf(p,
                                "\"%s\" is a header of HTTP itself (%s); choose a name of your "
                                "own, such as X-Client-DN",
                                name, http_names[i]);
    }
    return NULL;
}

void mtls_strip_prepare(apr_pool_t *pconf, const apr_array_header_t *names)
{
    int i;

    ours.names = apr_pmemdup(pconf, names->elts, (apr_size_t)(names->nelts * names->elt_size));
    ours.n = names->nelts;
    ours.lengths = 0;
    for (i = 0; i < ours.n; i++)
        ours.lengths |= length_bit(strlen(ours.names[i]));
}

int mtls_strip_is_ours(const char *name)
{
    int i;

    if (!(ours.lengths & length_bit(strlen(name))))
        return 0;
    for (i = 0; i < ours.n; i++) {
        if (mtls_strip_same_name(name, ours.names[i]))
            return 1;
    }
    return 0;
}

/* One pass finds nothing for almost every request; only then is the table changed. */
void mtls_strip_table(apr_table_t *headers)
{
    const apr_array_header_t *elements = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)(void *)elements->elts;
    int i;

    for (i = 0; ours.n > 0 && i < elements->nelts; i++) {
        if (mtls_strip_is_ours(e[i].key)) {
            apr_table_unset(headers, e[i].key);
            i = -1; /* the table was shifted */
        }
    }
}

static void strip_connection(request_rec *r)
{
    const char *value = apr_table_get(r->headers_in, "Connection");
    const char *kept = NULL;
    char *list, *token, *state = NULL;
    int removed = 0;

    if (!value)
        return;
    list = apr_pstrdup(r->pool, value);
    for (token = apr_strtok(list, ", \t", &state); token;
         token = apr_strtok(NULL, ", \t", &state)) {
        if (mtls_strip_is_ours(token))
            removed = 1;
        else
            kept = kept ? apr_pstrcat(r->pool, kept, ", ", token, NULL) : token;
    }
    if (removed && kept)
        apr_table_setn(r->headers_in, "Connection", kept);
    else if (removed)
        apr_table_unset(r->headers_in, "Connection");
}

void mtls_strip_request(request_rec *r)
{
    if (ours.n == 0)
        return;
    mtls_strip_table(r->headers_in);
    strip_connection(r);
}
