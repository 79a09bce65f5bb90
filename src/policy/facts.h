/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What is known of a peer: filled in by pki/, read by everything else. Immutable once made; all of
 * it lives in the pool it was made in. Times are apr_time_t (microseconds since 1970, UTC). */

#ifndef MTLS_POLICY_FACTS_H
#define MTLS_POLICY_FACTS_H

#include <apr_time.h>

#include "policy/reason.h"
#include "policy/span.h"
#include "policy/status.h"

#define MTLS_DIGEST_BYTES 32 /* SHA-256 */

/* "Never changes": the valid_until of what no passing of time can alter. */
#define MTLS_FOREVER ((apr_time_t)APR_INT64_MAX)

typedef struct mtls_values_t {
    const mtls_span_t *v;
    int n;
} mtls_values_t;

/* One AttributeTypeAndValue of a distinguished name. */
typedef struct mtls_name_attribute_t {
    const char *oid;   /* dotted */
    mtls_span_t value; /* UTF-8 without NUL; of no string: "#" and the hex of its DER */
    int is_der;
    int rdn; /* which RDN it stands in, counted in DER order */
} mtls_name_attribute_t;

typedef struct mtls_name_t {
    const mtls_name_attribute_t *attributes; /* in DER order */
    int n;
    mtls_span_t canonical; /* mtls_name_canonical() */
    const char *rfc4514;   /* printable ASCII */
    const char *rfc2253;   /* the same as other gateways write it (pki/name_text.h) */
    mtls_span_t der;
} mtls_name_t;

typedef enum mtls_san_type_t {
    MTLS_SAN_DNS = 0,
    MTLS_SAN_URI,
    MTLS_SAN_EMAIL,
    MTLS_SAN_IP, /* 4 or 16 bytes */
    MTLS_SAN_UPN,
    MTLS_SAN_TYPES
} mtls_san_type_t;

typedef struct mtls_extension_t {
    const char *oid;
    mtls_span_t text; /* of a simple string, else "hex:" and the lower-case hex of its DER */
} mtls_extension_t;

typedef struct mtls_key_t {
    const char *type;  /* "rsa", "ec", "ed25519", "ed448", "dsa", "unknown" */
    const char *curve; /* of "ec": OpenSSL's short name, else "" */
    int bits;
} mtls_key_t;

typedef struct mtls_facts_t {
    mtls_span_t der;
    unsigned char sha256[MTLS_DIGEST_BYTES];
    unsigned char spki_sha256[MTLS_DIGEST_BYTES];
    mtls_name_t subject;
    mtls_name_t issuer;
    const char *serial; /* lower-case hex without leading zeros, "-" before a negative one */
    apr_time_t not_before;
    apr_time_t not_after; /* the last second that counts, as the certificate has it */
    mtls_values_t san[MTLS_SAN_TYPES];
    mtls_values_t san_folded[MTLS_SAN_TYPES]; /* DNS and the domain of an email in lower case */
    mtls_values_t eku;                        /* dotted OIDs */
    mtls_values_t policies;                   /* dotted OIDs */
    const mtls_extension_t *extensions;
    int extension_count;
    mtls_key_t key;
    int is_ca;
    int signs_certificates; /* keyUsage keyCertSign or cRLSign is present and set */
} mtls_facts_t;

typedef struct mtls_chain_link_t {
    unsigned char sha256[MTLS_DIGEST_BYTES];
    unsigned char spki_sha256[MTLS_DIGEST_BYTES];
} mtls_chain_link_t;

/* The verified chain above the leaf: links[0] signed it, links[n - 1] is the trust anchor. */
typedef struct mtls_chain_t {
    const char *trust_store;
    const char *const *trust_domains; /* SPIFFE domains of that store, ended by NULL; may be NULL */
    const mtls_chain_link_t *links;
    int n;
    int exempt; /* the store allows exactly this certificate; n is 0 */
} mtls_chain_t;

struct mtls_trust_handle_t;

/* Everything a policy is judged by. Zeroed memory is the evidence of nobody. */
typedef struct mtls_evidence_t {
    int tls;                   /* a finished TLS handshake, of which we hold the state */
    int presented;             /* a certificate whose private key the client proved */
    const mtls_facts_t *facts; /* NULL: none, or malformed */
    mtls_reason_t chain_reason;
    const mtls_chain_t *chain; /* set only when chain_reason is MTLS_OK */
    const char *chain_detail;  /* static text for the log; NULL: none */
    int chain_error;           /* OpenSSL's of the chain; 0: it is good, or none was presented */
    apr_time_t valid_until;    /* until when chain_reason holds */
    const struct mtls_trust_handle_t *store; /* whose chain it is, for the layers above; or NULL */
    mtls_status_t status;                    /* what the policy that was judged by this was told */
} mtls_evidence_t;

#endif
