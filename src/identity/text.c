/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/text.h"

#include <apr_base64.h>

static const char digits[] = "0123456789ABCDEF";

static char *put_percent(char *at, char c)
{
    *at++ = '%';
    *at++ = digits[(unsigned char)c >> 4];
    *at++ = digits[(unsigned char)c & 15];
    return at;
}

typedef enum ends_t { ENDS_DO_NOT_MATTER = 0, ENDS_ARE_BARE } ends_t;

/* Control, non-ASCII and `reserved` bytes as "%" and two hex digits. Blanks at bare ends, too: HTTP
 * takes them away (RFC 9110 5.5), and " admin" must not become "admin". */
static const char *encode(apr_pool_t *p, mtls_span_t value, const char *reserved, ends_t ends)
{
    char *out = apr_palloc(p, 3 * value.len + 1);
    char *at = out;
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        int lost = c == ' ' && ends == ENDS_ARE_BARE && (i == 0 || i + 1 == value.len);
        if (c >= 0x20 && c < 0x7f && !strchr(reserved, c) && !lost)
            *at++ = (char)c;
        else
            at = put_percent(at, (char)c);
    }
    *at = '\0';
    return out;
}

const char *mtls_text_percent(apr_pool_t *p, mtls_span_t value, const char *kept)
{
    char *out = apr_palloc(p, 3 * value.len + 1);
    char *at = out;
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (mtls_ascii_alnum(c) || (c && strchr(kept, c)))
            *at++ = c;
        else
            at = put_percent(at, c);
    }
    *at = '\0';
    return out;
}

const char *mtls_text_encode(apr_pool_t *p, mtls_span_t value, int joined)
{
    return encode(p, value, joined ? "%," : "%", ENDS_ARE_BARE);
}

const char *mtls_text_encode_quoted(apr_pool_t *p, mtls_span_t value)
{
    return encode(p, value, "%\"\\", ENDS_DO_NOT_MATTER);
}

const char *mtls_text_encode_control(apr_pool_t *p, const char *text)
{
    const char *at = text;

    while (*at >= 0x20 && *at < 0x7f)
        at++;
    return *at ? encode(p, mtls_span_of(text), "", ENDS_DO_NOT_MATTER) : text;
}

const char *mtls_text_base64(apr_pool_t *p, mtls_span_t bytes)
{
    char *out = apr_palloc(p, (apr_size_t)apr_base64_encode_len((int)bytes.len));

    apr_base64_encode_binary(out, (const unsigned char *)bytes.data, (int)bytes.len);
    return out;
}

const char *mtls_text_base64url(apr_pool_t *p, mtls_span_t bytes)
{
    char *out = (char *)mtls_text_base64(p, bytes), *at;

    for (at = out; *at && *at != '='; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    *at = '\0';
    return out;
}

const char *mtls_text_pem(apr_pool_t *p, mtls_span_t der)
{
    const char *base64 = mtls_text_base64(p, der);
    apr_size_t len = strlen(base64), at;
    char *lines = apr_palloc(p, len + len / 64 + 2);
    char *out = lines;

    for (at = 0; at < len; at += 64) {
        apr_size_t n = len - at < 64 ? len - at : 64;
        memcpy(out, base64 + at, n);
        out[n] = '\n';
        out += n + 1;
    }
    *out = '\0';
    return apr_pstrcat(p, "-----BEGIN CERTIFICATE-----\n", lines, "-----END CERTIFICATE-----\n",
                       NULL);
}

const char *mtls_text_time(apr_pool_t *p, apr_time_t at)
{
    apr_time_exp_t t;

    apr_time_exp_gmt(&t, at);
    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", t.tm_year + 1900, t.tm_mon + 1,
                        t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}
