/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */
#ifndef MTLS_PKI_CRL_H
#define MTLS_PKI_CRL_H
#include <apr_tables.h>
#include <openssl/x509.h>
#include "policy/span.h"
typedef enum {
    MTLS_CRL_NOT_ITS_ISSUER,
    MTLS_CRL_MAY_NOT_SIGN,
    MTLS_CRL_BAD_SIGNATURE,
    MTLS_CRL_SIGNED
} mtls_crl_signed_t;
const char *mtls_crls_read(apr_pool_t *p, mtls_span_t bytes, apr_array_header_t *out);
mtls_crl_signed_t mtls_crl_signed_by(X509_CRL *crl, X509 *issuer);
#endif
