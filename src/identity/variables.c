/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/variables.h"

#include "identity/text.h"
#include "pki/oid.h"

/* Fields with one variable. */
static const struct {
    const char *variable;
    const char *field;
} single[] = {
    {"MTLS_SUBJECT", "subject"},       {"MTLS_ISSUER", "issuer"},
    {"MTLS_SERIAL", "serial"},         {"MTLS_SHA256", "sha256"},
    {"MTLS_SPKI_SHA256", "spki"},      {"MTLS_SPIFFE_ID", "spiffe"},
    {"MTLS_NOT_BEFORE", "not_before"}, {"MTLS_NOT_AFTER", "not_after"},
    {"MTLS_TRUST_STORE", "trust"},
};

/* Fields whose values are numbered from 0. */
static const struct {
    const char *variable;
    mtls_san_type_t type;
    mtls_source_t source;
} numbered[] = {
    {"MTLS_SAN_DNS_", MTLS_SAN_DNS, MTLS_SOURCE_SAN_DNS},
    {"MTLS_SAN_URI_", MTLS_SAN_URI, MTLS_SOURCE_SAN_URI},
    {"MTLS_SAN_EMAIL_", MTLS_SAN_EMAIL, MTLS_SOURCE_SAN_EMAIL},
    {"MTLS_SAN_IP_", MTLS_SAN_IP, MTLS_SOURCE_SAN_IP},
};

void mtls_variable_push(apr_array_header_t *out, const char *name, const char *value)
{
    mtls_variable_t *v;

    if (!value)
        return;
    v = apr_array_push(out);
    v->name = name;
    v->value = value;
}

static void push_single(apr_pool_t *p, const mtls_identity_t *identity, apr_array_header_t *out)
{
    mtls_field_t field;
    apr_size_t i;

    for (i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (mtls_field_parse(p, single[i].field, &field) == NULL)
            mtls_variable_push(out, single[i].variable,
                               mtls_field_value(p, &field, identity, MTLS_ENCODED));
    }
}

static void push_numbered(apr_pool_t *p, const mtls_identity_t *identity, apr_array_header_t *out)
{
    apr_size_t i;
    int n;

    for (i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++) {
        mtls_attribute_t a = {.source = numbered[i].source,
                              .kind =
                                  numbered[i].type == MTLS_SAN_IP ? MTLS_KIND_IP : MTLS_KIND_TEXT};
        for (n = 0; n < identity->evidence->facts->san[numbered[i].type].n; n++) {
            mtls_span_t value = mtls_attribute_text(p, &a, identity->evidence, n, identity->now);
            mtls_variable_push(out, apr_psprintf(p, "%s%d", numbered[i].variable, n),
                               mtls_text_encode(p, value, 0));
        }
    }
}

static int seen_before(const mtls_name_t *name, int index)
{
    int i;

    for (i = 0; i < index; i++) {
        if (strcmp(name->attributes[i].oid, name->attributes[index].oid) == 0)
            return 1;
    }
    return 0;
}

/* MTLS_SUBJECT_CN and the like, for every attribute type OpenSSL has a short name for. */
static void push_subject(apr_pool_t *p, const mtls_identity_t *identity, apr_array_header_t *out)
{
    const mtls_name_t *subject = &identity->evidence->facts->subject;
    mtls_field_t field;
    int i;

    for (i = 0; i < subject->n; i++) {
        const char *name = mtls_oid_short_name(subject->attributes[i].oid);
        if (!name || seen_before(subject, i) ||
            mtls_field_parse(p, apr_pstrcat(p, "subject.", name, NULL), &field) != NULL)
            continue;
        mtls_variable_push(out, apr_pstrcat(p, "MTLS_SUBJECT_", name, NULL),
                           mtls_field_value(p, &field, identity, MTLS_ENCODED));
    }
}

void mtls_identity_variables(apr_pool_t *p, const mtls_identity_t *identity,
                             apr_array_header_t *out)
{
    if (!identity->evidence || !identity->evidence->facts)
        return;
    push_single(p, identity, out);
    push_subject(p, identity, out);
    push_numbered(p, identity, out);
    mtls_variable_push(out, "MTLS_OCSP", mtls_field_status(identity->evidence));
    mtls_variable_push(out, "MTLS_CERT", mtls_text_pem(p, identity->evidence->facts->der));
}
