/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The chains of a peer's certificate: what the versions of trust stores in force say of it.
 * Whatever stands here happens between mtls_peer_enter() and mtls_peer_leave(), or in the
 * handshake. */

#ifndef MTLS_HTTPD_PEER_CHAINS_H
#define MTLS_HTTPD_PEER_CHAINS_H

#include "httpd/peer.h"

/* Chains are of one leaf; the reference keeps another from having its address. */
void mtls_peer_chains_begin(mtls_peer_t *peer, X509 *leaf);

/* What the version of the store in force says of that leaf, found out now or before. `sent` are the
 * intermediates of a full handshake; NULL: the session was resumed, which carries the leaf only. */
const mtls_chain_result_t *mtls_peer_chain_for(mtls_peer_t *peer, const mtls_trust_handle_t *store,
                                               STACK_OF(X509) * sent, apr_time_t now);

/* A cleanup for a reference to a certificate. */
apr_status_t mtls_peer_free_leaf(void *x);

#endif
