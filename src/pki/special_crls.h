/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Deltas and indirect CRLs. OpenSSL consults them where certificate and lists point at each other
 * just so, and lets a delta run out. What one of them says against a certificate counts in any
 * case.
 */

#ifndef MTLS_PKI_SPECIAL_CRLS_H
#define MTLS_PKI_SPECIAL_CRLS_H

#include "pki/chain.h"

/* MTLS_REVOKED_CRL, MTLS_CRL_UNAVAILABLE, or MTLS_OK where none of them has anything to say against
 * `x`, which `issuer` (NULL: not known) has signed. One that a later complete list of the same key
 * has superseded says nothing. Any thread. */
mtls_reason_t mtls_special_crls_ask(const mtls_trust_store_t *store, X509 *x, X509 *issuer,
                                    apr_time_t now);

#endif
