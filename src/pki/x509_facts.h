/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A certificate read strictly into facts. What is ambiguous or badly encoded is refused as a whole,
 * never cut or skipped (RFC 5280 4.1, 4.2). */

#ifndef MTLS_PKI_X509_FACTS_H
#define MTLS_PKI_X509_FACTS_H

#include <openssl/x509.h>

#include "policy/facts.h"

/* The facts of `x`, in `p`, which must outlive them; nothing of `x` is kept. NULL when the
 * certificate is malformed; `error` then says why (static or in `p`, no text of the certificate).
 * Any thread; `x` may be shared. */
const mtls_facts_t *mtls_x509_facts(apr_pool_t *p, X509 *x, const char **error);

/* The certificate's DER, in `p`. 0 when OpenSSL fails. */
int mtls_x509_der(apr_pool_t *p, X509 *x, mtls_span_t *der);

/* SHA-256 of the certificate and of its SubjectPublicKeyInfo. 0 when OpenSSL fails. */
int mtls_x509_digests(X509 *x, unsigned char *certificate, unsigned char *spki);

/* A time of a certificate; 0 when it is none. */
int mtls_x509_time(const ASN1_TIME *at, apr_time_t *out);

#endif
