/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Distinguished names as text. */

#ifndef MTLS_PKI_NAME_TEXT_H
#define MTLS_PKI_NAME_TEXT_H

#include <apr_pools.h>
#include <openssl/x509.h>

/* The name by RFC 4514, in `p`: printable ASCII that can be the value of a header, most specific
 * RDN first. `rfc2253` gets OpenSSL's XN_FLAG_RFC2253, which other gateways use: it differs in
 * attributes of types OpenSSL has no name for, whose strings it writes as "#" and the hex of their
 * DER; where there is none, it is the same text. NULL when OpenSSL fails. */
const char *mtls_name_text(apr_pool_t *p, const X509_NAME *name, const char **rfc2253);

#endif
