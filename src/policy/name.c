/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/name.h"

#include <stdlib.h>

#include <apr_lib.h>
#include <apr_tables.h>

#include "policy/limits.h"

static int compare_attributes(const void *left, const void *right)
{
    const mtls_name_attribute_t *a = left, *b = right;
    apr_size_t shorter = a->value.len < b->value.len ? a->value.len : b->value.len;
    int order = a->rdn - b->rdn;

    if (order == 0)
        order = strcmp(a->oid, b->oid);
    if (order == 0)
        order = a->is_der - b->is_der;
    if (order == 0)
        order = memcmp(a->value.data, b->value.data, shorter);
    if (order == 0)
        order = (a->value.len > b->value.len) - (a->value.len < b->value.len);
    return order;
}

mtls_span_t mtls_name_canonical(apr_pool_t *p, const mtls_name_attribute_t *attributes, int n)
{
    mtls_name_attribute_t *sorted;
    apr_size_t size = 1;
    char *out, *at;
    int i;

    if (n == 0)
        return mtls_span("", 0);
    sorted = apr_pmemdup(p, attributes, sizeof(*sorted) * (apr_size_t)n);
    qsort(sorted, (apr_size_t)n, sizeof(*sorted), compare_attributes);
    for (i = 0; i < n; i++)
        size += strlen(sorted[i].oid) + sorted[i].value.len + 32;
    at = out = apr_palloc(p, size);
    for (i = 0; i < n; i++) {
        /* Lengths come before bytes, so no value can imitate a separator. */
        char kind = sorted[i].is_der ? '#' : '=';
        char join = (i > 0 && sorted[i].rdn == sorted[i - 1].rdn) ? '+' : ',';
        at += apr_snprintf(at, size - (apr_size_t)(at - out), "%c%s%c%" APR_SIZE_T_FMT ":", join,
                           sorted[i].oid, kind, sorted[i].value.len);
        memcpy(at, sorted[i].value.data, sorted[i].value.len);
        at += sorted[i].value.len;
    }
    return mtls_span(out, (apr_size_t)(at - out));
}

typedef struct reader_t {
    apr_pool_t *p;
    const char *start;
    const char *at;
} reader_t;

static const char *wrong(const reader_t *in, const char *what)
{
    return apr_psprintf(in->p, "%s at character %d of the distinguished name", what,
                        (int)(in->at - in->start) + 1);
}

static void skip_blanks(reader_t *in)
{
    while (*in->at == ' ')
        in->at++;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = mtls_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *read_type(reader_t *in, mtls_oid_lookup_t oid_of, const char **oid)
{
    const char *begin = in->at;
    char *name;

    while (mtls_ascii_alnum(*in->at) || *in->at == '.' || *in->at == '-')
        in->at++;
    if (in->at == begin)
        return wrong(in, "an attribute type is missing");
    name = apr_pstrmemdup(in->p, begin, (apr_size_t)(in->at - begin));
    skip_blanks(in);
    if (*in->at != '=')
        return wrong(in, apr_psprintf(in->p, "\"=\" is missing after \"%s\"", name));
    in->at++;
    skip_blanks(in);
    *oid = oid_of(in->p, name);
    return *oid ? NULL : wrong(in, apr_psprintf(in->p, "unknown attribute type \"%s\"", name));
}

/* hexstring = SHARP 1*hexpair */
static const char *read_hexstring(reader_t *in, mtls_span_t *value)
{
    const char *begin = in->at++;
    char *out;
    apr_size_t i, len;

    while (hex_digit(in->at[0]) >= 0 && hex_digit(in->at[1]) >= 0)
        in->at += 2;
    len = (apr_size_t)(in->at - begin);
    if (len == 1)
        return wrong(in, "hex digits are missing after \"#\"");
    out = apr_pstrmemdup(in->p, begin, len);
    for (i = 0; i < len; i++)
        out[i] = mtls_ascii_lower(out[i]);
    *value = mtls_span(out, len);
    skip_blanks(in);
    return NULL;
}

/* One escaped character (after the backslash). */
static const char *read_pair(reader_t *in, char *out)
{
    int high = hex_digit(in->at[0]);

    if (in->at[0] && strchr("\\\"+,;<> #=", in->at[0])) {
        *out = *in->at++;
        return NULL;
    }
    if (high < 0 || hex_digit(in->at[1]) < 0)
        return wrong(in, "a backslash must precede a special character or two hex digits");
    *out = (char)(high * 16 + hex_digit(in->at[1]));
    if (*out == '\0')
        return wrong(in, "a NUL can match no certificate");
    in->at += 2;
    return NULL;
}

static const char *read_string(reader_t *in, mtls_span_t *value)
{
    char *out = apr_palloc(in->p, strlen(in->at) + 1);
    apr_size_t len = 0, kept = 0; /* kept: without unescaped blanks at the end */
    const char *error;

    while (*in->at && !strchr(",+", *in->at)) {
        if (strchr(";<>\"", *in->at))
            return wrong(in, "\" ; < > must be escaped with a backslash");
        if (*in->at == '\\') {
            in->at++;
            if ((error = read_pair(in, &out[len])) != NULL)
                return error;
            kept = ++len;
            continue;
        }
        out[len++] = *in->at;
        if (*in->at++ != ' ')
            kept = len;
    }
    out[kept] = '\0';
    *value = mtls_span(out, kept);
    return NULL;
}

static const char *read_attributes(reader_t *in, mtls_oid_lookup_t oid_of,
                                   apr_array_header_t *attributes)
{
    const char *error;
    int rdn = 0;

    for (;;) {
        mtls_name_attribute_t *a = apr_array_push(attributes);
        skip_blanks(in);
        a->rdn = rdn;
        if ((error = read_type(in, oid_of, &a->oid)) != NULL)
            return error;
        a->is_der = *in->at == '#';
        error = a->is_der ? read_hexstring(in, &a->value) : read_string(in, &a->value);
        if (error)
            return error;
        if (!*in->at)
            return NULL;
        if (*in->at == ',')
            rdn++;
        else if (*in->at != '+')
            return wrong(in, "\",\" or \"+\" expected");
        in->at++;
        if (attributes->nelts >= MTLS_MAX_NAME_ATTRIBUTES)
            return wrong(in, "too many attributes");
    }
}

/* Renumber from the other end: RFC 4514 writes the RDN that DER has last first. */
static mtls_span_t canonical_reverse(apr_pool_t *p, const apr_array_header_t *attributes)
{
    int i, n = attributes->nelts;
    const mtls_name_attribute_t *a = (const mtls_name_attribute_t *)(void *)attributes->elts;
    mtls_name_attribute_t *turned = apr_palloc(p, sizeof(*turned) * (apr_size_t)n);

    for (i = 0; i < n; i++) {
        turned[i] = a[n - 1 - i];
        turned[i].rdn = a[n - 1].rdn - turned[i].rdn;
    }
    return mtls_name_canonical(p, turned, n);
}

const char *mtls_name_parse(apr_pool_t *p, const char *text, mtls_oid_lookup_t oid_of,
                            mtls_span_t *canonical, mtls_span_t *reversed)
{
    reader_t in = {p, text, text};
    apr_array_header_t *attributes = apr_array_make(p, 8, sizeof(mtls_name_attribute_t));
    const char *error;

    if (*text == '/')
        return "write the distinguished name as RFC 4514 has it (CN=x,O=y,C=CH), not with slashes";
    if (!*text)
        return "the distinguished name is empty";
    if ((error = read_attributes(&in, oid_of, attributes)) != NULL)
        return error;
    *canonical = canonical_reverse(p, attributes);
    *reversed = mtls_name_canonical(p, (mtls_name_attribute_t *)(void *)attributes->elts,
                                    attributes->nelts);
    return NULL;
}
