/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The attributes rules and expressions name: one table of names, kinds and reasons, and the values
 * a peer has for one. */

#ifndef MTLS_POLICY_ATTRIBUTE_H
#define MTLS_POLICY_ATTRIBUTE_H

#include "policy/value.h"

typedef enum mtls_source_t {
    MTLS_SOURCE_NONE = 0,
    MTLS_SOURCE_SUBJECT_ATTRIBUTE,
    MTLS_SOURCE_ISSUER_ATTRIBUTE,
    MTLS_SOURCE_SUBJECT,
    MTLS_SOURCE_ISSUER,
    MTLS_SOURCE_ISSUER_CERT,
    MTLS_SOURCE_CHAIN_CERT,
    MTLS_SOURCE_ANCHOR_CERT,
    MTLS_SOURCE_ISSUER_SPKI,
    MTLS_SOURCE_CHAIN_SPKI,
    MTLS_SOURCE_ANCHOR_SPKI,
    MTLS_SOURCE_SPKI,
    MTLS_SOURCE_TRUST,
    MTLS_SOURCE_SHA256,
    MTLS_SOURCE_SERIAL,
    MTLS_SOURCE_SAN_DNS,
    MTLS_SOURCE_SAN_URI,
    MTLS_SOURCE_SAN_EMAIL,
    MTLS_SOURCE_SAN_IP,
    MTLS_SOURCE_SAN_UPN,
    MTLS_SOURCE_SPIFFE,
    MTLS_SOURCE_EKU,
    MTLS_SOURCE_POLICY,
    MTLS_SOURCE_EXTENSION,
    MTLS_SOURCE_KEY,
    MTLS_SOURCE_LIFETIME,
    MTLS_SOURCE_REMAINING,
    MTLS_SOURCE_EXPR
} mtls_source_t;

typedef struct mtls_attribute_t {
    mtls_source_t source;
    mtls_kind_t kind;
    mtls_reason_t mismatch; /* the reason when no value satisfies a rule */
    const char *name;       /* as written */
    const char *oid;        /* of a DN attribute or an extension */
    int may_repeat;         /* else a second value makes the certificate ambiguous */
} mtls_attribute_t;

/* Parse an attribute's name. NULL or, in `p`, what is wrong, with the names there are. */
const char *mtls_attribute_parse(apr_pool_t *p, const char *text, mtls_oid_lookup_t oid_of,
                                 mtls_attribute_t *attribute);

/* How many values the peer has for it, and the index-th one in the form rules compare (`folded`)
 * or as the certificate has it. Attributes whose values are not bytes (key, lifetime, remaining,
 * expr) have none here. The evidence's certificate must be there; its chain may be absent. */
int mtls_attribute_count(const mtls_attribute_t *attribute, const mtls_evidence_t *evidence);
mtls_span_t mtls_attribute_value(const mtls_attribute_t *attribute, const mtls_evidence_t *evidence,
                                 int index, int folded);

/* Whether a certificate may well have several values, so that one with a comma must not look like
 * two. */
int mtls_attribute_is_list(const mtls_attribute_t *attribute);

/* The index-th value as text: digests in lower hex, IP addresses as usual, names in RFC 4514, key
 * as type:curve or type:bits, lifetime and remaining in seconds. Raw bytes otherwise. In `p`. */
int mtls_attribute_text_count(const mtls_attribute_t *attribute, const mtls_evidence_t *evidence);
mtls_span_t mtls_attribute_text(apr_pool_t *p, const mtls_attribute_t *attribute,
                                const mtls_evidence_t *evidence, int index, apr_time_t now);

#endif
