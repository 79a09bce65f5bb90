/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/server_name.h"

#include <arpa/inet.h>

#define MAX_NAME_BYTES  253
#define MAX_LABEL_BYTES 63
/* Of a name that a wildcard may stand for: with fewer one entry would be for a whole zone. */
#define LEAST_LABELS 3

/* ---- names ---- */

/* Internal hosts have underscores, whatever RFC 952 says. */
static int name_char(char c)
{
    return mtls_ascii_alnum(c) || c == '-' || c == '_';
}

/* Of a DNS name without a dot at its end; 0: it is none. */
static int count_labels(mtls_span_t name)
{
    apr_size_t i, begin = 0;
    int labels = 0;

    if (name.len == 0 || name.len > MAX_NAME_BYTES)
        return 0;
    for (i = 0; i <= name.len; i++) {
        if (i < name.len && name_char(name.data[i]))
            continue;
        if (i < name.len && name.data[i] != '.')
            return 0;
        if (i == begin || i - begin > MAX_LABEL_BYTES)
            return 0;
        labels++;
        begin = i + 1;
    }
    return labels;
}

static int is_hex(char c)
{
    char lower = mtls_ascii_lower(c);

    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f');
}

/* "127.1" and "0x7f.0.0.1" are addresses for a resolver, so they are no names here. No top-level
 * domain is a number (RFC 3696 2). */
static int ends_in_number(mtls_span_t name)
{
    apr_size_t i, begin = name.len;
    int decimal = 1, hex;

    while (begin > 0 && name.data[begin - 1] != '.')
        begin--;
    hex = name.len - begin >= 2 && name.data[begin] == '0' &&
          mtls_ascii_lower(name.data[begin + 1]) == 'x';
    for (i = begin; i < name.len; i++) {
        decimal &= name.data[i] >= '0' && name.data[i] <= '9';
        hex &= i < begin + 2 || is_hex(name.data[i]);
    }
    return decimal || hex;
}

/* What follows the first label, with its dot; empty where no wildcard may stand for the name. */
static mtls_span_t below_wildcard(mtls_span_t name)
{
    const char *dot;

    if (count_labels(name) < LEAST_LABELS || ends_in_number(name))
        return mtls_span("", 0);
    dot = memchr(name.data, '.', name.len);
    return mtls_span(dot, (apr_size_t)(name.data + name.len - dot));
}

mtls_span_t mtls_server_name_wildcard(apr_pool_t *p, mtls_span_t name)
{
    mtls_span_t below = below_wildcard(name);
    char *out;

    if (below.len == 0)
        return below;
    out = apr_palloc(p, below.len + 2);
    out[0] = '*';
    memcpy(out + 1, below.data, below.len);
    out[below.len + 1] = '\0';
    return mtls_span(out, below.len + 1);
}

/* The bytes of `name` were looked at, so that an entry which is equal holds no odd ones. */
static int is_entry(mtls_span_t entry, mtls_span_t name, mtls_span_t below)
{
    if (mtls_span_equal(entry, name))
        return 1;
    return below.len > 0 && entry.len == below.len + 1 && entry.data[0] == '*' &&
           mtls_span_ends(entry, below);
}

static int has_name(const mtls_values_t *entries, mtls_span_t name)
{
    char lower[MAX_NAME_BYTES];
    mtls_span_t below;
    apr_size_t n;
    int i;

    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (count_labels(name) == 0 || ends_in_number(name))
        return 0;
    for (n = 0; n < name.len; n++)
        lower[n] = mtls_ascii_lower(name.data[n]);
    name = mtls_span(lower, name.len);
    below = below_wildcard(name);
    for (i = 0; i < entries->n; i++) {
        if (is_entry(entries->v[i], name, below))
            return 1;
    }
    return 0;
}

/* ---- addresses ---- */

/* 4 or 16 bytes; 0: it is no address. */
static apr_size_t parse_address(mtls_span_t name, unsigned char bytes[16])
{
    int brackets = name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']';
    char text[INET6_ADDRSTRLEN];

    if (brackets)
        name = mtls_span(name.data + 1, name.len - 2);
    if (name.len == 0 || name.len >= sizeof(text) || memchr(name.data, '\0', name.len))
        return 0;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return 16;
    return !brackets && inet_pton(AF_INET, text, bytes) == 1 ? 4 : 0;
}

static int has_address(const mtls_values_t *entries, mtls_span_t address)
{
    int i;

    for (i = 0; i < entries->n; i++) {
        if (mtls_span_equal(entries->v[i], address))
            return 1;
    }
    return 0;
}

int mtls_server_name_matches(const mtls_facts_t *facts, mtls_span_t name)
{
    unsigned char bytes[16];
    apr_size_t len = parse_address(name, bytes);

    if (len > 0)
        return has_address(&facts->san[MTLS_SAN_IP], mtls_span((const char *)bytes, len));
    return has_name(&facts->san_folded[MTLS_SAN_DNS], name);
}
