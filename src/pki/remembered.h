/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Intermediates a client sent in a full handshake, remembered for exactly its leaf, so that a
 * resumed session - which carries the leaf only - is judged alike in any child. What is remembered
 * helps to build a chain and is never trusted: it is verified anew like any certificate a client
 * sends, so a cache that somebody else can write changes no verdict to "good". */

#ifndef MTLS_PKI_REMEMBERED_H
#define MTLS_PKI_REMEMBERED_H

#include <openssl/x509.h>

#include "pki/store.h"
#include "policy/facts.h"

/* Remember those of the leaf's verified chain that the client sent, when there are any. */
void mtls_remember(const mtls_store_t *store, apr_pool_t *p, const unsigned char *leaf_sha256,
                   const mtls_chain_t *chain, const STACK_OF(X509) * sent, apr_time_t now);

/* What is remembered for the leaf with this SHA-256; the caller frees it. NULL: nothing. */
STACK_OF(X509) * mtls_recall(const mtls_store_t *store, apr_pool_t *p, const unsigned char *sha256);

#endif
