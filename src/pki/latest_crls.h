/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What the latest CRLs of a store say, whether OpenSSL consults them or not: it prefers an older
 * list that is still current to a newer one that has run out, lets a delta run out, and looks at
 * deltas and indirect lists only where certificate and lists point at each other just so. */

#ifndef MTLS_PKI_LATEST_CRLS_H
#define MTLS_PKI_LATEST_CRLS_H

#include "pki/chain.h"

/* MTLS_REVOKED_CRL, MTLS_CRL_UNAVAILABLE, or MTLS_OK where none of them has anything to say against
 * `x`. One that a later complete list of the same key has superseded says nothing. Any thread. */
mtls_reason_t mtls_latest_crls_ask(const mtls_trust_store_t *store, X509 *x, apr_time_t now);

/* Whether two lists have the same issuing distribution point, or none. */
int mtls_crls_same_scope(const X509_CRL *a, const X509_CRL *b);

#endif
