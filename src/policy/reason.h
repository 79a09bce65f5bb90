/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The reasons a request can end with: one table for the enum, the log, the environment and the
 * documentation (docs/reasons.md is held equal to it by a test). */

#ifndef MTLS_POLICY_REASON_H
#define MTLS_POLICY_REASON_H

/* What a refusal means to the client (the HTTP layer turns it into a status). */
typedef enum mtls_outcome_t {
    MTLS_OUTCOME_FAULT = 0,   /* ours: 500 */
    MTLS_OUTCOME_DENY,        /* MTLSDenyStatus */
    MTLS_OUTCOME_UNAVAILABLE, /* MTLSUnavailableStatus: the client may come back */
    MTLS_OUTCOME_ALLOW
} mtls_outcome_t;

/* X(enumerator, token, outcome, close the HTTP/1 connection after the response) */
#define MTLS_REASON_TABLE(X)                                                                       \
    X(INTERNAL_ERROR, "internal_error", FAULT, 0)                                                  \
    X(OK, "ok", ALLOW, 0)                                                                          \
    X(NO_TLS, "no_tls", DENY, 0)                                                                   \
    X(NO_CERTIFICATE, "no_certificate", DENY, 0)                                                   \
    X(CERTIFICATE_MALFORMED, "certificate_malformed", DENY, 0)                                     \
    X(CHAIN_UNTRUSTED, "chain_untrusted", DENY, 0)                                                 \
    X(CHAIN_INCOMPLETE, "chain_incomplete", DENY, 0)                                               \
    X(CHAIN_INVALID, "chain_invalid", DENY, 0)                                                     \
    X(CHAIN_WEAK, "chain_weak", DENY, 0)                                                           \
    X(EXPIRED, "expired", DENY, 1)                                                                 \
    X(NOT_YET_VALID, "not_yet_valid", DENY, 0)                                                     \
    X(PURPOSE_MISMATCH, "purpose_mismatch", DENY, 0)                                               \
    X(REVOKED_CRL, "revoked_crl", DENY, 1)                                                         \
    X(CRL_UNAVAILABLE, "crl_unavailable", UNAVAILABLE, 0)                                          \
    X(SUBJECT_MISMATCH, "subject_mismatch", DENY, 0)                                               \
    X(SUBJECT_AMBIGUOUS, "subject_ambiguous", DENY, 0)                                             \
    X(ISSUER_MISMATCH, "issuer_mismatch", DENY, 0)                                                 \
    X(PIN_MISMATCH, "pin_mismatch", DENY, 0)                                                       \
    X(TRUST_MISMATCH, "trust_mismatch", DENY, 0)                                                   \
    X(SAN_MISMATCH, "san_mismatch", DENY, 0)                                                       \
    X(SPIFFE_INVALID, "spiffe_invalid", DENY, 0)                                                   \
    X(SPIFFE_MISMATCH, "spiffe_mismatch", DENY, 0)                                                 \
    X(SERIAL_MISMATCH, "serial_mismatch", DENY, 0)                                                 \
    X(FINGERPRINT_MISMATCH, "fingerprint_mismatch", DENY, 0)                                       \
    X(EKU_MISMATCH, "eku_mismatch", DENY, 0)                                                       \
    X(POLICY_OID_MISMATCH, "policy_oid_mismatch", DENY, 0)                                         \
    X(EXTENSION_MISMATCH, "extension_mismatch", DENY, 0)                                           \
    X(KEY_MISMATCH, "key_mismatch", DENY, 0)                                                       \
    X(LIFETIME_MISMATCH, "lifetime_mismatch", DENY, 0)                                             \
    X(EXCLUDED, "excluded", DENY, 0)                                                               \
    X(NONE_MATCHED, "none_matched", DENY, 0)                                                       \
    X(EXPR_FALSE, "expr_false", DENY, 0)                                                           \
    X(MATCH_LIMIT, "match_limit", DENY, 0)                                                         \
    X(OCSP_REVOKED, "ocsp_revoked", DENY, 1)                                                       \
    X(OCSP_UNKNOWN, "ocsp_unknown", DENY, 0)                                                       \
    X(OCSP_NO_RESPONDER, "ocsp_no_responder", DENY, 0)                                             \
    X(OCSP_UNAVAILABLE, "ocsp_unavailable", UNAVAILABLE, 0)                                        \
    X(USER_AMBIGUOUS, "user_ambiguous", DENY, 0)

typedef enum mtls_reason_t {
#define MTLS_REASON_ENUM(name, token, outcome, close) MTLS_##name,
    MTLS_REASON_TABLE(MTLS_REASON_ENUM)
#undef MTLS_REASON_ENUM
        MTLS_REASON_COUNT
} mtls_reason_t;

/* The token of a reason; "internal_error" for a value outside the table. Static text. */
const char *mtls_reason_token(mtls_reason_t reason);

/* MTLS_OUTCOME_FAULT for a value outside the table. */
mtls_outcome_t mtls_reason_outcome(mtls_reason_t reason);

/* Whether the connection must not outlive the response. */
int mtls_reason_closes(mtls_reason_t reason);

#endif
