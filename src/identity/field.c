/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/field.h"

#include <apr_tables.h>

#include "identity/text.h"
#include "pki/oid.h"

static const struct {
    const char *name;
    mtls_field_kind_t kind;
} table[] = {
    {"not_before", MTLS_FIELD_NOT_BEFORE},
    {"not_after", MTLS_FIELD_NOT_AFTER},
    {"cert", MTLS_FIELD_CERT},
    {"cert.pem", MTLS_FIELD_CERT_PEM},
    {"ocsp", MTLS_FIELD_OCSP},
    {"verdict", MTLS_FIELD_VERDICT},
    {"reason", MTLS_FIELD_REASON},
    {"policy", MTLS_FIELD_POLICY},
};

const char *mtls_field_parse(apr_pool_t *p, const char *name, mtls_field_t *field)
{
    const char *error;
    apr_size_t i;

    memset(field, 0, sizeof(*field));
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(name, table[i].name) == 0) {
            field->kind = table[i].kind;
            return NULL;
        }
    }
    if ((error = mtls_attribute_parse(p, name, mtls_oid_of_name, &field->attribute)) != NULL) {
        return apr_pstrcat(p, error,
                           ", and verdict, reason, policy, not_before, not_after, cert, "
                           "cert.pem, ocsp",
                           NULL);
    }
    if (field->attribute.kind == MTLS_KIND_EXPR)
        return "expr has no value";
    field->kind = MTLS_FIELD_ATTRIBUTE;
    return NULL;
}

int mtls_field_depends_on_request(const mtls_field_t *field)
{
    switch (field->kind) {
    case MTLS_FIELD_VERDICT:
    case MTLS_FIELD_REASON:
    case MTLS_FIELD_POLICY:
        return 1;
    case MTLS_FIELD_ATTRIBUTE:
        return field->attribute.source == MTLS_SOURCE_REMAINING;
    default:
        return 0;
    }
}

int mtls_field_count(const mtls_field_t *field, const mtls_identity_t *identity)
{
    if (field->kind == MTLS_FIELD_ATTRIBUTE)
        return identity->evidence ? mtls_attribute_text_count(&field->attribute, identity->evidence)
                                  : 0;
    if (field->kind == MTLS_FIELD_OCSP)
        return identity->evidence && mtls_field_status(identity->evidence) ? 1 : 0;
    return 1;
}

static const char *attribute_value(apr_pool_t *p, const mtls_attribute_t *attribute,
                                   const mtls_identity_t *identity, mtls_encoding_t encoding)
{
    int i, n = mtls_attribute_text_count(attribute, identity->evidence);
    int joined = n > 1 || mtls_attribute_is_list(attribute);
    apr_array_header_t *parts = apr_array_make(p, n > 0 ? n : 1, sizeof(const char *));

    for (i = 0; i < n; i++) {
        mtls_span_t raw = mtls_attribute_text(p, attribute, identity->evidence, i, identity->now);
        APR_ARRAY_PUSH(parts, const char *) = encoding == MTLS_RAW
                                                  ? apr_pstrmemdup(p, raw.data, raw.len)
                                                  : mtls_text_encode(p, raw, joined);
    }
    return n > 0 ? apr_array_pstrcat(p, parts, ',') : NULL;
}

const char *mtls_field_status(const mtls_evidence_t *evidence)
{
    if (evidence->chain && evidence->chain->exempt)
        return mtls_status_token(MTLS_STATUS_EXEMPT);
    return mtls_status_token(evidence->status);
}

static const char *certificate_value(apr_pool_t *p, const mtls_field_t *field,
                                     const mtls_identity_t *identity, mtls_encoding_t encoding)
{
    const mtls_facts_t *facts = identity->evidence->facts;
    const char *pem;

    switch (field->kind) {
    case MTLS_FIELD_ATTRIBUTE:
        return attribute_value(p, &field->attribute, identity, encoding);
    case MTLS_FIELD_NOT_BEFORE:
        return mtls_text_time(p, facts->not_before);
    case MTLS_FIELD_NOT_AFTER:
        return mtls_text_time(p, facts->not_after);
    case MTLS_FIELD_CERT:
        return mtls_text_base64(p, facts->der);
    case MTLS_FIELD_CERT_PEM:
        pem = mtls_text_pem(p, facts->der);
        return encoding == MTLS_RAW ? pem : mtls_text_encode(p, mtls_span_of(pem), 0);
    case MTLS_FIELD_OCSP:
        return mtls_field_status(identity->evidence);
    default:
        return NULL;
    }
}

const char *mtls_field_value(apr_pool_t *p, const mtls_field_t *field,
                             const mtls_identity_t *identity, mtls_encoding_t encoding)
{
    switch (field->kind) {
    case MTLS_FIELD_VERDICT:
        return identity->verdict;
    case MTLS_FIELD_REASON:
        return identity->reason;
    case MTLS_FIELD_POLICY:
        return identity->policies;
    default:
        return identity->evidence ? certificate_value(p, field, identity, encoding) : NULL;
    }
}
