/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/value.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <apr_base64.h>

#include "policy/spiffe.h"

int mtls_kind_is_text(mtls_kind_t kind)
{
    switch (kind) {
    case MTLS_KIND_TEXT:
    case MTLS_KIND_DNS:
    case MTLS_KIND_EMAIL:
    case MTLS_KIND_URI:
        return 1;
    default:
        return 0;
    }
}

static mtls_span_t lower_from(apr_pool_t *p, mtls_span_t value, apr_size_t from)
{
    apr_size_t i;
    char *out;

    for (i = from; i < value.len && mtls_ascii_lower(value.data[i]) == value.data[i]; i++)
        ;
    if (i == value.len)
        return value;
    out = apr_pstrmemdup(p, value.data, value.len);
    for (; i < value.len; i++)
        out[i] = mtls_ascii_lower(out[i]);
    return mtls_span(out, value.len);
}

mtls_span_t mtls_value_fold(apr_pool_t *p, mtls_kind_t kind, mtls_span_t value)
{
    apr_size_t i;

    if (kind == MTLS_KIND_DNS)
        return lower_from(p, value, 0);
    if (kind == MTLS_KIND_EMAIL) {
        for (i = value.len; i > 0; i--) { /* the last "@": a local part may hold one, quoted */
            if (value.data[i - 1] == '@')
                return lower_from(p, value, i);
        }
    }
    return value;
}

const char *mtls_value_hex(apr_pool_t *p, const void *bytes, apr_size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;
    char *out = apr_palloc(p, 2 * len + 1);
    apr_size_t i;

    for (i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

/* Hex digits of `text` without colons between pairs, in lower case; NULL when it is none. */
static char *plain_hex(apr_pool_t *p, const char *text)
{
    char *out = apr_palloc(p, strlen(text) + 1);
    apr_size_t n = 0;

    for (; *text; text++) {
        char c = mtls_ascii_lower(*text);
        if (c == ':' && n > 0 && n % 2 == 0 && text[1] && text[1] != ':')
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return NULL;
        out[n++] = c;
    }
    out[n] = '\0';
    return out;
}

/* Of a digit that was checked. */
static unsigned int hex_digit(char c)
{
    return c <= '9' ? (unsigned int)(c - '0') : (unsigned int)((c | 0x20) - 'a') + 10;
}

static mtls_span_t bytes_of_hex(apr_pool_t *p, const char *hex)
{
    apr_size_t i, n = strlen(hex) / 2;
    char *out = apr_palloc(p, n + 1);

    for (i = 0; i < n; i++)
        out[i] = (char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return mtls_span(out, n);
}

static const char *parse_base64_digest(apr_pool_t *p, const char *text, mtls_span_t *value)
{
    apr_size_t i, len = strlen(text);
    char *padded;
    char out[3 * 44 / 4 + 1];

    if (len == 44 && text[43] == '=')
        len = 43;
    if (len != 43)
        return "a SHA-256 is written as 64 hex digits (colons allowed) or 44 base64 characters";
    for (i = 0; i < len; i++) {
        if (!mtls_ascii_alnum(text[i]) && text[i] != '+' && text[i] != '/')
            return "not base64";
    }
    padded = apr_psprintf(p, "%.43s=", text);
    if (apr_base64_decode_binary((unsigned char *)out, padded) != MTLS_DIGEST_BYTES)
        return "not the base64 of 32 bytes";
    *value = mtls_span_copy(p, mtls_span(out, MTLS_DIGEST_BYTES));
    return NULL;
}

static const char *parse_digest(apr_pool_t *p, const char *text, int base64, mtls_span_t *value)
{
    const char *hex = plain_hex(p, text);

    if (hex && strlen(hex) == 2 * MTLS_DIGEST_BYTES) {
        *value = bytes_of_hex(p, hex);
        return NULL;
    }
    if (base64)
        return parse_base64_digest(p, text, value);
    if (hex && strlen(hex) == 40)
        return "this is a SHA-1; only SHA-256 (64 hex digits) is taken";
    return "a SHA-256 is written as 64 hex digits, with or without colons";
}

static const char *parse_serial(apr_pool_t *p, const char *text, mtls_span_t *value)
{
    int negative = *text == '-';
    const char *hex = plain_hex(p, text + negative);

    if (!hex || !*hex)
        return "a serial number is written in hex digits, with or without colons";
    while (hex[0] == '0' && hex[1])
        hex++;
    *value = mtls_span_of(negative ? apr_pstrcat(p, "-", hex, NULL) : hex);
    return NULL;
}

apr_size_t mtls_value_network(mtls_span_t address, int bits, char *out)
{
    apr_size_t i;

    out[0] = (char)address.len;
    out[1] = (char)bits;
    for (i = 0; i < address.len; i++) {
        int kept = bits - (int)i * 8;
        int mask = kept >= 8 ? 0xff : kept <= 0 ? 0 : (0xff << (8 - kept)) & 0xff;
        out[2 + i] = (char)(address.data[i] & mask);
    }
    return address.len + 2;
}

static const char *parse_network(apr_pool_t *p, const char *text, mtls_span_t *value)
{
    static const char usage[] = "an IP address or CIDR network is written like 192.0.2.7, "
                                "192.0.2.0/24 or 2001:db8::/32";
    const char *slash = strchr(text, '/');
    const char *host = slash ? apr_pstrmemdup(p, text, (apr_size_t)(slash - text)) : text;
    unsigned char bytes[16];
    int family = strchr(host, ':') ? AF_INET6 : AF_INET;
    char *out = apr_palloc(p, MTLS_NETWORK_BYTES);
    char whole[MTLS_NETWORK_BYTES];
    mtls_span_t address;
    long bits;

    if (inet_pton(family, host, bytes) != 1)
        return usage;
    address = mtls_span((const char *)bytes, family == AF_INET6 ? 16 : 4);
    bits = (long)address.len * 8;
    if (slash) {
        if (!slash[1] || slash[1 + strspn(slash + 1, "0123456789")] || strlen(slash + 1) > 3)
            return usage;
        bits = strtol(slash + 1, NULL, 10);
        if (bits > (long)address.len * 8)
            return "the prefix length is longer than the address";
    }
    *value = mtls_span(out, mtls_value_network(address, (int)bits, out));
    mtls_value_network(address, (int)address.len * 8, whole);
    if (memcmp(whole + 2, out + 2, address.len) != 0)
        return "the network has bits set behind its prefix length";
    return NULL;
}

const char *mtls_value_parse(apr_pool_t *p, mtls_kind_t kind, const char *text,
                             mtls_oid_lookup_t oid_of, mtls_span_t *value, mtls_span_t *reversed)
{
    mtls_span_t unused;
    const char *oid;

    switch (kind) {
    case MTLS_KIND_TEXT:
    case MTLS_KIND_URI:
    case MTLS_KIND_TRUST:
        *value = mtls_span_of(text);
        return NULL;
    case MTLS_KIND_DNS:
    case MTLS_KIND_EMAIL:
        *value = mtls_value_fold(p, kind, mtls_span_of(text));
        return NULL;
    case MTLS_KIND_IP:
        return parse_network(p, text, value);
    case MTLS_KIND_NAME:
        return mtls_name_parse(p, text, oid_of, value, reversed ? reversed : &unused);
    case MTLS_KIND_SHA256:
        return parse_digest(p, text, 0, value);
    case MTLS_KIND_PIN:
        return parse_digest(p, text, 1, value);
    case MTLS_KIND_SERIAL:
        return parse_serial(p, text, value);
    case MTLS_KIND_OID:
        oid = oid_of(p, text);
        *value = mtls_span_of(oid ? oid : "");
        return oid ? NULL : "not an OID or the name of one";
    case MTLS_KIND_SPIFFE:
        *value = mtls_span_of(text);
        return mtls_spiffe_parse(*value, 0, &unused);
    default:
        return "this attribute takes no such value";
    }
}
