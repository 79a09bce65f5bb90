/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The chain of a certificate to a trust store, verified by us at the time of the request: never
 * taken from what a handshake, or the session it began, once said. */

#ifndef MTLS_PKI_CHAIN_H
#define MTLS_PKI_CHAIN_H

#include <apr_tables.h>
#include <openssl/x509.h>

#include "pki/chain_result.h"
#include "policy/purpose.h"

/* The default depth of a store: certificates between leaf and anchor. */
#define MTLS_DEFAULT_VERIFY_DEPTH 10

/* One version of a trust store. Immutable but for its cache. */
typedef struct mtls_trust_store_t {
    const char *name;                      /* this and the domains outlive every version */
    const char *const *domains;            /* SPIFFE trust domains, ended by NULL; may be NULL */
    X509_STORE *certificates;              /* anchors, CRLs and their flags; a reference of ours */
    STACK_OF(X509) * helpers;              /* configured intermediates; never trusted; NULL: none */
    const struct apr_hash_t *allowed;      /* SHA-256 of certificates allowed as they are; NULL */
    const apr_array_header_t *crl_moments; /* apr_time_t: when a CRL begins or ends; NULL */
    STACK_OF(X509_CRL) * special;          /* its deltas and indirect CRLs; NULL: none */
    STACK_OF(X509) * responders;           /* OCSP responders trusted as they are; NULL: none */
    STACK_OF(X509_CRL) * crls;             /* all its CRLs; NULL: they are not ours to look at */
    const struct apr_hash_t *signers;      /* X509_CRL * -> the X509 * whose key has signed it */
    int depth;
    int crl_missing_ok;               /* an issuer without any CRL is no obstacle */
    struct mtls_chain_cache_t *cache; /* NULL: nothing is remembered */
} mtls_trust_store_t;

/* What is asked of a store. */
typedef struct mtls_chain_ask_t {
    X509 *leaf;
    STACK_OF(X509) * untrusted; /* helps to build the chain; may be NULL; is not changed */
    mtls_purpose_t purpose;     /* of the whole chain */
    apr_time_t now;             /* every date is looked at then */
} mtls_chain_ask_t;

/* Verify a chain (RFC 5280 6.1, OpenSSL security level 2). Clients and servers may be asked for in
 * turn: the store's cache keeps them apart. Any thread. */
void mtls_chain_verify(apr_pool_t *p, const mtls_trust_store_t *store, const mtls_chain_ask_t *ask,
                       mtls_chain_result_t *result);

/* Have OpenSSL look at the extensions of all certificates of a store now, while one thread runs,
 * and not when the first chains are verified. */
void mtls_chain_warm_up(X509_STORE *certificates);

/* A copy in `p`. */
const mtls_chain_t *mtls_chain_copy(apr_pool_t *p, const mtls_chain_t *chain);

/* Whether two chains of one leaf are the same. */
int mtls_chain_equal(const mtls_chain_t *a, const mtls_chain_t *b);

/* How many anchors a store holds in memory: CAs that signed themselves, with partial chains any. */
int mtls_trust_store_anchors(const mtls_trust_store_t *store);

#endif
