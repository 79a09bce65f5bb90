/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/xfcc.h"

#include <apr_cstr.h>
#include <apr_tables.h>

#include "identity/text.h"
#include "identity/vouched.h"

static const struct {
    const char *option;
    unsigned int bit;
} pairs_by_name[] = {
    {"hash", MTLS_XFCC_HASH},       {"cert", MTLS_XFCC_CERT}, {"chain", MTLS_XFCC_CHAIN},
    {"subject", MTLS_XFCC_SUBJECT}, {"uri", MTLS_XFCC_URI},   {"dns", MTLS_XFCC_DNS},
    {"by", MTLS_XFCC_BY},
};

static unsigned int bit_of(const char *option)
{
    apr_size_t i;

    for (i = 0; i < sizeof(pairs_by_name) / sizeof(pairs_by_name[0]); i++) {
        if (apr_cstr_casecmp(option, pairs_by_name[i].option) == 0)
            return pairs_by_name[i].bit;
    }
    return 0;
}

const char *mtls_xfcc_parse_pairs(apr_pool_t *p, const char *text, unsigned int *pairs)
{
    char *rest = apr_pstrdup(p, text), *word;
    unsigned int bit;

    *pairs = 0;
    while (rest) {
        word = rest;
        if ((rest = strchr(rest, ',')) != NULL)
            *rest++ = '\0';
        if ((bit = bit_of(word)) == 0)
            return apr_psprintf(p,
                                "\"%s\" is no part of " MTLS_XFCC_HEADER
                                "; allowed are set, append, and hash, cert, chain, subject, uri, "
                                "dns, by joined with commas",
                                word);
        if (*pairs & bit)
            return apr_psprintf(p, "%s stands there twice", word);
        *pairs |= bit;
    }
    return NULL;
}

/* ---- values that cannot be misread ---- */

/* Bytes that mean the same inside and outside of quotes, for readers that know backslash escapes
 * and for those that do not. */
static int is_plain(mtls_span_t value)
{
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return 0;
    }
    return value.len > 0;
}

static int needs_quotes(mtls_span_t value)
{
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        if (strchr(",;=", value.data[i]))
            return 1;
    }
    return 0;
}

static const char *quoted(apr_pool_t *p, const char *text)
{
    return apr_pstrcat(p, "\"", text, "\"", NULL);
}

static void push_pair(apr_array_header_t *out, const char *key, const char *value)
{
    APR_ARRAY_PUSH(out, const char *) = apr_pstrcat(out->pool, key, "=", value, NULL);
}

/* A value that could be misread is left out. */
static void push_value(apr_array_header_t *out, const char *key, mtls_span_t value)
{
    const char *text = apr_pstrmemdup(out->pool, value.data, value.len);

    if (is_plain(value))
        push_pair(out, key, needs_quotes(value) ? quoted(out->pool, text) : text);
}

static void push_values(apr_array_header_t *out, const char *key, const mtls_values_t *values)
{
    int i;

    for (i = 0; values && i < values->n; i++)
        push_value(out, key, values->v[i]);
}

/* A mesh takes a SPIFFE ID that stands here for the caller's. */
static void push_uris(apr_array_header_t *out, const mtls_identity_t *identity)
{
    const mtls_values_t *uris = &identity->evidence->facts->san[MTLS_SAN_URI];
    int i;

    for (i = 0; i < uris->n; i++) {
        if (mtls_vouched_uri(identity, uris->v[i]))
            push_value(out, "URI", uris->v[i]);
    }
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static char *put_hex(char *at, char c)
{
    static const char digits[] = "0123456789ABCDEF";

    *at++ = '\\';
    *at++ = digits[(unsigned char)c >> 4];
    *at++ = digits[(unsigned char)c & 15];
    return at;
}

/* The name with every special byte of a value as two hex digits (RFC 4514 2.4 allows that for all
 * of them): no quote and no pair of backslashes is left, which a reader could take for the end of
 * the value, and no "=" but that of a type, for one that looks for "CN=". */
static const char *subject(apr_pool_t *p, const mtls_name_t *name)
{
    const char *in = name->rfc2253;
    char *out = apr_palloc(p, 3 * strlen(in) + 1), *at = out;
    int in_value = 0;

    for (; *in; in++) {
        if (*in == '\\' && in[1] && !is_hex(in[1])) {
            at = put_hex(at, *++in);
        } else if (*in == '=' && in_value) {
            at = put_hex(at, '=');
        } else {
            in_value = *in == '=' || (in_value && *in != ',' && *in != '+');
            *at++ = *in;
        }
    }
    *at = '\0';
    return quoted(p, out);
}

static const char *pem(apr_pool_t *p, mtls_span_t der)
{
    return mtls_text_percent(p, mtls_span_of(mtls_text_pem(p, der)), "*-._");
}

static const char *chain(apr_pool_t *p, const mtls_identity_t *identity)
{
    apr_array_header_t *all = apr_array_make(p, identity->ca_count + 1, sizeof(const char *));
    int i;

    APR_ARRAY_PUSH(all, const char *) = pem(p, identity->evidence->facts->der);
    for (i = 0; i < identity->ca_count; i++)
        APR_ARRAY_PUSH(all, const char *) = pem(p, identity->cas[i]);
    return apr_array_pstrcat(p, all, 0);
}

const char *mtls_xfcc_element(apr_pool_t *p, unsigned int pairs, const mtls_identity_t *identity)
{
    const mtls_facts_t *facts = identity->evidence->facts;
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(const char *));

    if (pairs & MTLS_XFCC_BY)
        push_values(out, "By", identity->gateway_uris);
    if (pairs & MTLS_XFCC_HASH)
        push_pair(out, "Hash", mtls_value_hex(p, facts->sha256, MTLS_DIGEST_BYTES));
    if (pairs & MTLS_XFCC_CERT)
        push_pair(out, "Cert", quoted(p, pem(p, facts->der)));
    if (pairs & MTLS_XFCC_CHAIN)
        push_pair(out, "Chain", quoted(p, chain(p, identity)));
    if ((pairs & MTLS_XFCC_SUBJECT) && *facts->subject.rfc2253)
        push_pair(out, "Subject", subject(p, &facts->subject));
    if (pairs & MTLS_XFCC_URI)
        push_uris(out, identity);
    if (pairs & MTLS_XFCC_DNS)
        push_values(out, "DNS", &facts->san[MTLS_SAN_DNS]);
    return apr_array_pstrcat(p, out, ';');
}
