/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/xfcc.h"

#include "policy/limits.h"

/* RFC 9110 5.6.1: what two lines of a header become is joined with ", ". */
static void skip_blanks(mtls_span_t *in)
{
    while (in->len > 0 && *in->data == ' ') {
        in->data++;
        in->len--;
    }
}

static char next(const mtls_span_t *in)
{
    return in->len > 0 ? *in->data : '\0';
}

static void skip(mtls_span_t *in, apr_size_t n)
{
    in->data += n;
    in->len -= n;
}

static int same_letters(const char *a, const char *b, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (mtls_ascii_lower(a[i]) != mtls_ascii_lower(b[i]))
            return 0;
    }
    return 1;
}

static int take_key(mtls_span_t *in)
{
    static const char *const keys[] = {
        "By=", "Hash=", "Cert=", "Chain=", "Subject=", "URI=", "DNS="};
    apr_size_t i, len;

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        len = strlen(keys[i]);
        if (in->len >= len && same_letters(in->data, keys[i], len)) {
            skip(in, len);
            return 1;
        }
    }
    return 0;
}

/* Behind the opening quote. A backslash before a quote makes it part of the value; before anything
 * else it stands for itself (Envoy writes the escapes of RFC 2253 so). Two of them would end the
 * value for one reader and not for another. */
static int take_quoted(mtls_span_t *in)
{
    char c;

    for (;;) {
        c = next(in);
        if (c < 0x20 || c >= 0x7f)
            return 0;
        skip(in, 1);
        if (c == '"')
            return 1;
        if (c != '\\')
            continue;
        c = next(in);
        if (c < 0x20 || c >= 0x7f || c == '\\')
            return 0;
        skip(in, 1);
    }
}

static void take_plain(mtls_span_t *in)
{
    char c;

    while ((c = next(in)) > 0x20 && c < 0x7f && !strchr("\"\\,;", c))
        skip(in, 1);
}

static int take_pair(mtls_span_t *in)
{
    if (!take_key(in))
        return 0;
    if (next(in) == '"') {
        skip(in, 1);
        return take_quoted(in);
    }
    take_plain(in);
    return 1;
}

int mtls_xfcc_is_list(mtls_span_t value)
{
    mtls_span_t in = value;
    char c;

    if (value.len > MTLS_MAX_XFCC_BYTES)
        return 0;
    while (take_pair(&in)) {
        if (in.len == 0)
            return 1;
        c = next(&in);
        skip(&in, 1);
        if (c == ',')
            skip_blanks(&in);
        else if (c != ';')
            return 0;
    }
    return 0;
}
