/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The kinds of values rules compare, and the one form in which a kind is compared: the same
 * function brings the text of a rule, a line of a list and nothing else into it. What comes from a
 * certificate is in that form already (facts.h). */

#ifndef MTLS_POLICY_VALUE_H
#define MTLS_POLICY_VALUE_H

#include "policy/name.h"

typedef enum mtls_kind_t {
    MTLS_KIND_NONE = 0,
    MTLS_KIND_TEXT,
    MTLS_KIND_DNS,
    MTLS_KIND_EMAIL,
    MTLS_KIND_URI,
    MTLS_KIND_IP,     /* compared as family, prefix length and masked address */
    MTLS_KIND_NAME,   /* a whole DN, compared in canonical form */
    MTLS_KIND_SHA256, /* 32 bytes, written in hex */
    MTLS_KIND_PIN,    /* 32 bytes, written in hex or base64 */
    MTLS_KIND_SERIAL, /* hex without leading zeros */
    MTLS_KIND_OID,    /* dotted */
    MTLS_KIND_TRUST,  /* name of a trust store */
    MTLS_KIND_SPIFFE,
    MTLS_KIND_CERTIFICATE, /* written as a file's name, compared by SHA-256 */
    MTLS_KIND_KEY,
    MTLS_KIND_DURATION,
    MTLS_KIND_EXPR
} mtls_kind_t;

/* Whether values of this kind take prefix:, suffix:, glob:, regex: and eqi: (else exact only). */
int mtls_kind_is_text(mtls_kind_t kind);

/* The comparable form of `text`, in `p`; NULL or, in `p`, what is wrong with it. For
 * MTLS_KIND_NAME `reversed` gets the same name written the other way round (may be NULL). */
const char *mtls_value_parse(apr_pool_t *p, mtls_kind_t kind, const char *text,
                             mtls_oid_lookup_t oid_of, mtls_span_t *value, mtls_span_t *reversed);

/* `value` with the case folded that the kind ignores: a DNS name, the domain of an email address.
 * Returns `value` itself where nothing changes. */
mtls_span_t mtls_value_fold(apr_pool_t *p, mtls_kind_t kind, mtls_span_t value);

/* The comparable form of a network: `address` of 4 or 16 bytes, its first `bits` bits. `out` has
 * room for MTLS_NETWORK_BYTES; returns the length. */
#define MTLS_NETWORK_BYTES 18
apr_size_t mtls_value_network(mtls_span_t address, int bits, char *out);

/* Lower-case hex of bytes, in `p`. */
const char *mtls_value_hex(apr_pool_t *p, const void *bytes, apr_size_t len);

#endif
