/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/traefik.h"

#include <apr_tables.h>

#include "identity/text.h"
#include "identity/vouched.h"
#include "pki/number.h"

const char *mtls_traefik_certificates(apr_pool_t *p, const mtls_identity_t *identity)
{
    apr_array_header_t *all = apr_array_make(p, identity->ca_count + 1, sizeof(const char *));
    int i;

    APR_ARRAY_PUSH(all, const char *) = mtls_text_base64(p, identity->evidence->facts->der);
    for (i = 0; i + 1 < identity->ca_count; i++)
        APR_ARRAY_PUSH(all, const char *) = mtls_text_base64(p, identity->cas[i]);
    return apr_array_pstrcat(p, all, ',');
}

/* ---- names ---- */

/* The order in which Traefik writes a name's attributes. */
static const struct {
    const char *oid;
    const char *key;
    int subject_only;
    int once;
} parts[] = {
    {"0.9.2342.19200300.100.1.25", "DC", 0, 0},
    {"2.5.4.6", "C", 0, 0},
    {"2.5.4.8", "ST", 0, 0},
    {"2.5.4.7", "L", 0, 0},
    {"2.5.4.10", "O", 0, 0},
    {"2.5.4.11", "OU", 1, 0},
    {"2.5.4.5", "SN", 0, 1},
    {"2.5.4.3", "CN", 0, 1},
};

/* Whether nothing in it can end the value, or begin another one. */
static int is_safe(mtls_span_t value)
{
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c < 0x20 || c == 0x7f || strchr("\"\\,;", c))
            return 0;
    }
    return value.len > 0;
}

/* The same for a part of a name: nothing in it looks like a part of its own, or is trimmed away. */
static int is_safe_part(const mtls_name_attribute_t *a)
{
    return !a->is_der && is_safe(a->value) && !memchr(a->value.data, '=', a->value.len) &&
           a->value.data[0] != ' ' && a->value.data[a->value.len - 1] != ' ';
}

static int count(const mtls_name_t *name, const char *oid)
{
    int i, n = 0;

    for (i = 0; i < name->n; i++)
        n += strcmp(name->attributes[i].oid, oid) == 0;
    return n;
}

static const char *name_text(apr_pool_t *p, const mtls_name_t *name, int is_subject)
{
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(const char *));
    apr_size_t part;
    int i;

    for (part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
        if ((parts[part].subject_only && !is_subject) ||
            (parts[part].once && count(name, parts[part].oid) > 1))
            continue;
        for (i = 0; i < name->n; i++) {
            const mtls_name_attribute_t *a = &name->attributes[i];
            if (strcmp(a->oid, parts[part].oid) == 0 && is_safe_part(a))
                APR_ARRAY_PUSH(out, const char *) = apr_pstrcat(
                    p, parts[part].key, "=", apr_pstrmemdup(p, a->value.data, a->value.len), NULL);
        }
    }
    return apr_array_pstrcat(p, out, ',');
}

/* ---- alternative names: each only in a shape that no other type has ---- */

static int all_of(mtls_span_t value, const char *allowed)
{
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        if (!mtls_ascii_alnum(value.data[i]) && !strchr(allowed, value.data[i]))
            return 0;
    }
    return value.len > 0;
}

/* A host name whose last label does not begin with a digit: an IPv4 address ends in one, however it
 * is written. */
static int is_dns(mtls_span_t value)
{
    apr_size_t at = value.len;

    if (!all_of(value, "-._*"))
        return 0;
    if (value.data[at - 1] == '.')
        at--;
    while (at > 0 && value.data[at - 1] != '.')
        at--;
    return value.data[at] != '.' && !(value.data[at] >= '0' && value.data[at] <= '9');
}

static int is_email(mtls_span_t value)
{
    const char *at = memchr(value.data, '@', value.len);

    return at && at > value.data && at + 1 < value.data + value.len &&
           all_of(mtls_span(value.data, (apr_size_t)(at - value.data)), "!#$%&'*+-=?^_`{|}~.") &&
           all_of(mtls_span(at + 1, value.len - (apr_size_t)(at + 1 - value.data)), "-.");
}

/* A scheme that is no group of an IPv6 address, and nothing that looks like an email. */
static int is_uri(mtls_span_t value)
{
    const char *colon = memchr(value.data, ':', value.len);
    mtls_span_t scheme = mtls_span(value.data, colon ? (apr_size_t)(colon - value.data) : 0);
    apr_size_t i;
    int letters = 0;

    if (!all_of(scheme, "+-.") || memchr(value.data, '@', value.len))
        return 0;
    for (i = 0; i < scheme.len; i++)
        letters +=
            mtls_ascii_lower(scheme.data[i]) > 'f' && mtls_ascii_lower(scheme.data[i]) <= 'z';
    return letters > 0;
}

static void push_sans(apr_array_header_t *out, const mtls_identity_t *identity,
                      mtls_san_type_t type)
{
    static const mtls_source_t sources[MTLS_SAN_TYPES] = {[MTLS_SAN_DNS] = MTLS_SOURCE_SAN_DNS,
                                                          [MTLS_SAN_URI] = MTLS_SOURCE_SAN_URI,
                                                          [MTLS_SAN_EMAIL] = MTLS_SOURCE_SAN_EMAIL,
                                                          [MTLS_SAN_IP] = MTLS_SOURCE_SAN_IP};
    static int (*const fits[MTLS_SAN_TYPES])(mtls_span_t) = {[MTLS_SAN_DNS] = is_dns,
                                                             [MTLS_SAN_URI] = is_uri,
                                                             [MTLS_SAN_EMAIL] = is_email,
                                                             [MTLS_SAN_IP] = is_safe};
    mtls_attribute_t a = {.source = sources[type],
                          .kind = type == MTLS_SAN_IP ? MTLS_KIND_IP : MTLS_KIND_TEXT};
    int i;

    for (i = 0; i < identity->evidence->facts->san[type].n; i++) {
        mtls_span_t text = mtls_attribute_text(out->pool, &a, identity->evidence, i, identity->now);
        if (is_safe(text) && fits[type](text) &&
            (type != MTLS_SAN_URI || mtls_vouched_uri(identity, text)))
            APR_ARRAY_PUSH(out, const char *) = apr_pstrmemdup(out->pool, text.data, text.len);
    }
}

static const char *san_text(apr_pool_t *p, const mtls_identity_t *identity)
{
    static const mtls_san_type_t order[] = {MTLS_SAN_DNS, MTLS_SAN_EMAIL, MTLS_SAN_IP,
                                            MTLS_SAN_URI};
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    apr_size_t i;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        push_sans(out, identity, order[i]);
    return apr_array_pstrcat(p, out, ',');
}

/* ---- the whole ---- */

static void push_field(apr_array_header_t *out, const char *key, const char *value)
{
    if (value && *value)
        APR_ARRAY_PUSH(out, const char *) = apr_pstrcat(out->pool, key, "=\"", value, "\"", NULL);
}

static const char *unix_time(apr_pool_t *p, apr_time_t at)
{
    return apr_psprintf(p, "%" APR_TIME_T_FMT, apr_time_sec(at));
}

/* As Go's url.QueryEscape: a blank becomes "+". */
static const char *query_escape(apr_pool_t *p, const char *text)
{
    char *out = (char *)(uintptr_t)mtls_text_percent(p, mtls_span_of(text), "-_.~ "), *at;

    for (at = out; (at = strchr(at, ' ')) != NULL;)
        *at++ = '+';
    return out;
}

const char *mtls_traefik_info(apr_pool_t *p, const mtls_identity_t *identity)
{
    const mtls_facts_t *facts = identity->evidence->facts;
    apr_array_header_t *out = apr_array_make(p, 6, sizeof(const char *));

    push_field(out, "Subject", name_text(p, &facts->subject, 1));
    if (!identity->evidence->chain || !identity->evidence->chain->exempt)
        push_field(out, "Issuer", name_text(p, &facts->issuer, 0));
    push_field(out, "SerialNumber", mtls_number_decimal(p, facts->serial));
    push_field(out, "NB", unix_time(p, facts->not_before));
    push_field(out, "NA", unix_time(p, facts->not_after));
    push_field(out, "SAN", san_text(p, identity));
    return query_escape(p, apr_array_pstrcat(p, out, ';'));
}
