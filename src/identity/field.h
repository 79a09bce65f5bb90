/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What %{mtls:NAME} and the exported identity can name: every attribute of rules, and what is known
 * of the request's verdict. Further export formats are built from the same fields. */

#ifndef MTLS_IDENTITY_FIELD_H
#define MTLS_IDENTITY_FIELD_H

#include "policy/attribute.h"

typedef enum mtls_field_kind_t {
    MTLS_FIELD_NONE = 0,
    MTLS_FIELD_ATTRIBUTE,
    MTLS_FIELD_NOT_BEFORE,
    MTLS_FIELD_NOT_AFTER,
    MTLS_FIELD_CERT,
    MTLS_FIELD_CERT_PEM,
    MTLS_FIELD_OCSP,
    MTLS_FIELD_VERDICT,
    MTLS_FIELD_REASON,
    MTLS_FIELD_POLICY
} mtls_field_kind_t;

typedef struct mtls_field_t {
    mtls_field_kind_t kind;
    mtls_attribute_t attribute; /* MTLS_FIELD_ATTRIBUTE */
} mtls_field_t;

/* Who called, as an allowed request has proved it. */
typedef struct mtls_identity_t {
    const mtls_evidence_t *evidence; /* NULL: nobody */
    apr_time_t now;
    const char *verdict; /* NULL where there is none */
    const char *reason;
    const char *policies;
    const mtls_span_t *cas; /* DER of the verified chain: cas[0] signed the leaf, the last one is
                               the anchor; none for a certificate a store allows as it is */
    int ca_count;
    const mtls_values_t *gateway_uris; /* URI SANs of the gateway's own certificate; may be NULL */
} mtls_identity_t;

typedef enum mtls_encoding_t {
    MTLS_ENCODED = 0, /* safe in a header or a variable (mtls_text_encode) */
    MTLS_RAW          /* the certificate's bytes, for comparison only */
} mtls_encoding_t;

/* NULL or, in `p`, what is wrong. */
const char *mtls_field_parse(apr_pool_t *p, const char *name, mtls_field_t *field);

/* Whether two requests with the same evidence and policy can see different values. */
int mtls_field_depends_on_request(const mtls_field_t *field);

/* The value, several joined by a comma; NULL when the identity has none. In `p`. */
const char *mtls_field_value(apr_pool_t *p, const mtls_field_t *field,
                             const mtls_identity_t *identity, mtls_encoding_t encoding);

/* What OCSP said of the identity ("good", "exempt", ...); NULL where nobody asked. */
const char *mtls_field_status(const mtls_evidence_t *evidence);

/* How many values the field has. */
int mtls_field_count(const mtls_field_t *field, const mtls_identity_t *identity);

#endif
