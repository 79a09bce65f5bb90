/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Client-Cert and Client-Cert-Chain (RFC 9440). */

#ifndef MTLS_IDENTITY_CLIENT_CERT_H
#define MTLS_IDENTITY_CLIENT_CERT_H

#include "identity/field.h"

#define MTLS_CLIENT_CERT_HEADER       "Client-Cert"
#define MTLS_CLIENT_CERT_CHAIN_HEADER "Client-Cert-Chain"

/* The leaf as a Byte Sequence of RFC 8941, in `p`. */
const char *mtls_client_cert(apr_pool_t *p, const mtls_identity_t *identity);

/* The verified chain above it, up to and with the anchor, as a List of them, in `p`. NULL without a
 * chain: a certificate that a store allows as it is. */
const char *mtls_client_cert_chain(apr_pool_t *p, const mtls_identity_t *identity);

#endif
