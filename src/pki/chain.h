/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The chain of a certificate to a trust store, verified by us at the time of the request: never
 * taken from what a handshake, or the session it began, once said. */

#ifndef MTLS_PKI_CHAIN_H
#define MTLS_PKI_CHAIN_H

#include <openssl/x509.h>

#include "policy/facts.h"

/* The default depth of a store: certificates between leaf and anchor. */
#define MTLS_DEFAULT_VERIFY_DEPTH 10

/* Immutable after start. */
typedef struct mtls_trust_store_t {
    const char *name;
    X509_STORE *certificates; /* anchors, intermediates, CRLs and CRL flags; a reference of ours */
    int depth;
    const char *const *domains; /* SPIFFE trust domains, ended by NULL; may be NULL */
} mtls_trust_store_t;

typedef struct mtls_chain_result_t {
    mtls_reason_t reason;      /* MTLS_OK only for a chain that is good in every respect */
    const char *detail;        /* static text for the log; NULL when good */
    int openssl_error;         /* X509_V_OK exactly when reason is MTLS_OK */
    apr_time_t valid_until;    /* from then on the answer must be asked anew */
    const mtls_chain_t *chain; /* in `p`; only when good */
    STACK_OF(X509) * verified; /* leaf to anchor; the caller frees it; only when good */
} mtls_chain_result_t;

/* Verify `leaf` for the client purpose (RFC 5280 6.1, OpenSSL security level 2, every date at
 * `now`). `untrusted` helps to build the chain, may be NULL and is not changed. Any thread. */
void mtls_chain_verify(apr_pool_t *p, const mtls_trust_store_t *store, X509 *leaf,
                       STACK_OF(X509) * untrusted, apr_time_t now, mtls_chain_result_t *result);

/* Whether `x` (by its bytes) is one of `certificates`; NULL holds none. */
int mtls_chain_contains(const STACK_OF(X509) * certificates, const X509 *x);

/* How many self-signed CA certificates a store holds in memory. */
int mtls_trust_store_anchors(const mtls_trust_store_t *store);

#endif
