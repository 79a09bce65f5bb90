/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificates from PEM files, read whole and strictly: a file either gives all it holds or an
 * error that names what is wrong. */

#ifndef MTLS_PKI_PEM_FILES_H
#define MTLS_PKI_PEM_FILES_H

#include <apr_tables.h>
#include <openssl/x509.h>

#include "policy/span.h"

/* Called for every block, counted from 1; NULL or what is wrong with it. The bytes are gone when it
 * returns. */
typedef const char *(*mtls_pem_block_fn)(void *baton, int number, const char *type,
                                         mtls_span_t der);

/* Walk the blocks of a PEM file. A damaged or truncated one is an error; none at all is not. NULL
 * or what is wrong, in `p`. */
const char *mtls_pem_walk(apr_pool_t *p, mtls_span_t pem, mtls_pem_block_fn fn, void *baton);

/* Push an X509 * for each CERTIFICATE block of `pem`; freed when `p` ends. Anything else in PEM
 * (a private key, a truncated block) is an error. NULL or what is wrong, in `p`. */
const char *mtls_pem_certificates(apr_pool_t *p, mtls_span_t pem, apr_array_header_t *out);

#endif
