/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/chain_path.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "pki/x509_facts.h"

static int is_link(const X509 *x, const mtls_chain_link_t *link)
{
    unsigned char sha256[MTLS_DIGEST_BYTES];

    return X509_digest(x, EVP_sha256(), sha256, NULL) == 1 &&
           memcmp(sha256, link->sha256, sizeof(sha256)) == 0;
}

/* Names are compared first: a store can hold thousands of certificates. */
static X509 *find(const STACK_OF(X509) * certificates, const X509_NAME *name,
                  const mtls_chain_link_t *link)
{
    int i;

    for (i = 0; certificates && i < sk_X509_num(certificates); i++) {
        X509 *x = sk_X509_value(certificates, i);
        if (X509_NAME_cmp(X509_get_subject_name(x), name) == 0 && is_link(x, link)) {
            X509_up_ref(x);
            return x;
        }
    }
    return NULL;
}

/* Among the anchors, also those OpenSSL loads from a directory when they are asked for. */
static X509 *find_anchor(const mtls_trust_store_t *store, X509 *leaf, const X509_NAME *name,
                         const mtls_chain_link_t *link)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *known = NULL;
    X509 *found = NULL;

    if (ctx && X509_STORE_CTX_init(ctx, store->certificates, leaf, NULL) == 1) {
        known = X509_STORE_CTX_get1_certs(ctx, name);
        found = find(known, name, link);
    }
    sk_X509_pop_free(known, X509_free);
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return found;
}

static X509 *find_issuer(const mtls_trust_store_t *store, X509 *x, const STACK_OF(X509) * untrusted,
                         const mtls_chain_link_t *link)
{
    const X509_NAME *name = X509_get_issuer_name(x);
    X509 *found = find(untrusted, name, link);

    if (!found)
        found = find(store->helpers, name, link);
    return found ? found : find_anchor(store, x, name, link);
}

static int push(STACK_OF(X509) * path, X509 *x)
{
    if (x && sk_X509_push(path, x) > 0)
        return 1;
    X509_free(x);
    return 0;
}

STACK_OF(X509) * mtls_chain_path(const mtls_trust_store_t *store, X509 *leaf,
                                 const STACK_OF(X509) * untrusted, const mtls_chain_t *chain)
{
    STACK_OF(X509) *path = sk_X509_new_null();
    int i, ok;

    if (!path)
        return NULL;
    X509_up_ref(leaf);
    ok = push(path, leaf);
    for (i = 0; i < chain->n && ok; i++)
        ok = push(path, find_issuer(store, sk_X509_value(path, i), untrusted, &chain->links[i]));
    if (ok)
        return path;
    sk_X509_pop_free(path, X509_free);
    return NULL;
}
