/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* OCSP requests and responses (RFC 6960, RFC 9919, nonce: RFC 9654): how to ask, and what an answer
 * proves. Nothing here keeps anything or talks to anybody. Any thread. */

#ifndef MTLS_PKI_OCSP_MESSAGE_H
#define MTLS_PKI_OCSP_MESSAGE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <openssl/x509.h>

#include "policy/facts.h"
#include "policy/status.h"

typedef enum mtls_ocsp_hash_t { MTLS_OCSP_SHA256 = 0, MTLS_OCSP_SHA1 } mtls_ocsp_hash_t;

/* Whose status. The issuer is the certificate that signed it in a verified chain. */
typedef struct mtls_ocsp_subject_t {
    const ASN1_INTEGER *serial;
    X509 *issuer;
    const STACK_OF(X509) * responders; /* locally trusted for this issuer; NULL: none */
} mtls_ocsp_subject_t;

#define MTLS_OCSP_NONCE_BYTES 32 /* RFC 9654 2.1 */

typedef struct mtls_ocsp_request_t {
    mtls_span_t der;
    mtls_span_t nonce; /* empty: none */
} mtls_ocsp_request_t;

/* A request for one certificate (RFC 9919 3.1.1), in `p`. 0: OpenSSL could not. */
int mtls_ocsp_request(apr_pool_t *p, const mtls_ocsp_subject_t *subject, mtls_ocsp_hash_t hash,
                      int with_nonce, mtls_ocsp_request_t *request);

/* A CertID (RFC 6960 4.1.1) as bytes: the hash's name, issuerNameHash, issuerKeyHash and the DER of
 * serialNumber. Equal for equal CertIDs, and for no others. For files of responses, which are
 * looked up by it. In `p`; empty: OpenSSL could not. */
mtls_span_t mtls_ocsp_certid_key(apr_pool_t *p, const mtls_ocsp_subject_t *subject,
                                 mtls_ocsp_hash_t hash);

/* Call `found` with the key of each CertID a response speaks of, proved or not: the very bytes
 * mtls_ocsp_certid_key() makes of that subject and hash. CertIDs of other hashes are left out: they
 * prove nothing here. NULL or what is wrong with the response; static text. */
const char *mtls_ocsp_response_keys(apr_pool_t *p, mtls_span_t der,
                                    void (*found)(void *baton, mtls_span_t key), void *baton);

/* What a response has proved of the subject. The signature, the signer's authority and the CertID
 * are right; whether it is fresh is another question, asked anew at every moment. */
typedef struct mtls_ocsp_proof_t {
    mtls_status_t status; /* GOOD, REVOKED or UNKNOWN */
    apr_time_t this_update;
    apr_time_t next_update; /* 0: the response has none */
    apr_time_t produced_at;
    apr_time_t signer_from; /* the signer's certificate. When the issuer itself has signed: 0 and */
    apr_time_t signer_until; /* MTLS_FOREVER, for its dates are the chain's to judge */
} mtls_ocsp_proof_t;

/* What became of a response, for whoever thinks of asking again. */
typedef enum mtls_ocsp_outcome_t {
    MTLS_OCSP_NOT_PROVED = 0, /* malformed, not signed by who may sign it, wrong nonce, ... */
    MTLS_OCSP_NOT_ANSWERED,   /* tryLater, unauthorized, ...: RFC 6960 4.2.1 responseStatus */
    MTLS_OCSP_OTHER_CERTID,   /* it does not speak of the subject */
    MTLS_OCSP_PROVED
} mtls_ocsp_outcome_t;

/* What a response is held against, besides its subject. */
typedef struct mtls_ocsp_terms_t {
    apr_time_t now;
    mtls_span_t sent_nonce; /* empty: none was sent, or the response comes from a cache */
    int need_nonce;         /* a nonce was sent and must be in the response; with none sent: 0 */
} mtls_ocsp_terms_t;

/* Judge a whole OCSPResponse: only with MTLS_OCSP_PROVED `proof` is more than zeroes; else `detail`
 * gets static text for the log. What was proved once is proved again later: its age is not looked
 * at. Dates more than MTLS_MAX_OCSP_SKEW ahead of `now` are nonsense and refused, so that no
 * responder's wrong clock makes a response that is newer than all that follow.
 * Of several statements about the subject in one response the worst counts (revoked, unknown,
 * good), with the dates of the one with the latest thisUpdate: a response that contradicts itself
 * never does better than its worst part, and is not taken for older than it is. */
mtls_ocsp_outcome_t mtls_ocsp_prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                    const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                    const char **detail);

typedef struct mtls_ocsp_limits_t {
    apr_interval_time_t skew;
    apr_interval_time_t max_age; /* how long a response without nextUpdate lasts */
} mtls_ocsp_limits_t;

/* Whether the proof is of use at `now`: NULL, or why not (static text). Skew is allowed on both
 * sides of the response's own dates, none on those of the signer's certificate. */
const char *mtls_ocsp_stale(const mtls_ocsp_proof_t *proof, const mtls_ocsp_limits_t *limits,
                            apr_time_t now);

/* The moment from which mtls_ocsp_stale() calls it run out, without skew: the earlier of the
 * response's end and that of its signer's certificate. */
apr_time_t mtls_ocsp_ends(const mtls_ocsp_proof_t *proof, const mtls_ocsp_limits_t *limits);

/* Whether `a` is to be believed over `b`: later thisUpdate, then later producedAt; with both equal
 * the one that revokes and the other does not. */
int mtls_ocsp_newer(const mtls_ocsp_proof_t *a, const mtls_ocsp_proof_t *b);

/* The http and https addresses of OCSP responders a certificate names (authorityInfoAccess), in
 * `p`: const char *. Others, with blanks, control bytes or a NUL, or longer than
 * MTLS_MAX_OCSP_URL_BYTES, are left out. The first MTLS_MAX_OCSP_URLS. */
apr_array_header_t *mtls_ocsp_urls(apr_pool_t *p, X509 *x);

#endif
