/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The certificates of a chain that was verified already: of the chain itself only digests are kept
 * for every connection, and only some ask for more. */

#ifndef MTLS_PKI_CHAIN_PATH_H
#define MTLS_PKI_CHAIN_PATH_H

#include "pki/chain.h"

/* The leaf, its issuer, and so on to the anchor: exactly those of `chain`, each found by its
 * SHA-256 in the store or among `untrusted` (what the client sent, or what is remembered of it; may
 * be NULL). Each is a reference of its own; the caller frees the stack with sk_X509_pop_free().
 * NULL: one is not there any more, or out of memory. Any thread. */
STACK_OF(X509) * mtls_chain_path(const mtls_trust_store_t *store, X509 *leaf,
                                 const STACK_OF(X509) * untrusted, const mtls_chain_t *chain);

#endif
