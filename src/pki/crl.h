/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificate revocation lists. OpenSSL's own form keeps each entry as an object and hashes the
 * whole list for every verification; with 500,000 entries that is some hundred MB, and a share of
 * a second per handshake. A list read here keeps its DER, an index of the serial numbers, one
 * digest and the keys it was verified with. X509_verify_cert() uses it like any other.
 *
 * A list that is read here calls code of this file: it must be freed before the module is unloaded,
 * and so must not be kept over a restart of the server. Keep the bytes instead. */

#ifndef MTLS_PKI_CRL_H
#define MTLS_PKI_CRL_H

#include <apr_tables.h>
#include <openssl/x509.h>

#include "policy/span.h"

/* Push an X509_CRL * for each list of a file in PEM (several) or DER (exactly one), read whole and
 * strictly; freed when `p` ends (X509_CRL_up_ref keeps one longer). What could not be judged later
 * is refused here: a list without nextUpdate, with an extension that is critical and unknown, or
 * twice there, or not readable. NULL or what is wrong, in `p`. */
const char *mtls_crls_read(apr_pool_t *p, mtls_span_t bytes, apr_array_header_t *out);

typedef enum mtls_crl_signed_t {
    MTLS_CRL_NOT_ITS_ISSUER = 0, /* another name */
    MTLS_CRL_MAY_NOT_SIGN,       /* its keyUsage lacks cRLSign */
    MTLS_CRL_BAD_SIGNATURE,      /* or no key that could be used */
    MTLS_CRL_SIGNED
} mtls_crl_signed_t;

/* Whether the certificate `issuer` has the name `crl` was issued by, may sign it, and did. After a
 * change of keys several certificates have that name, and one of them did. Any thread. */
mtls_crl_signed_t mtls_crl_signed_by(X509_CRL *crl, X509 *issuer);

/* How many serial numbers a list that was read here holds, or entries any other. */
apr_size_t mtls_crl_count(const X509_CRL *crl);

#endif
