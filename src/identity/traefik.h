/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The two headers of Traefik's PassTLSClientCert. */

#ifndef MTLS_IDENTITY_TRAEFIK_H
#define MTLS_IDENTITY_TRAEFIK_H

#include "identity/field.h"

/* The leaf and the intermediates of its verified chain, without the anchor: base64 joined with
 * commas, in `p`. */
const char *mtls_traefik_certificates(apr_pool_t *p, const mtls_identity_t *identity);

/* Subject, Issuer, SerialNumber, NB, NA and SAN of the leaf, in `p`. The format has no escapes and
 * does not tell the types of alternative names, so a value that holds a quote, a backslash, a
 * comma, a semicolon or a control byte is left out. So are, of a name, a value with "=" or with a
 * blank at an end, and a second CN or serialNumber with the first; of the alternative names one
 * that could be taken for one of another type, and a SPIFFE ID nobody vouches for. No issuer of a
 * certificate that is allowed as it is: nobody has verified it. */
const char *mtls_traefik_info(apr_pool_t *p, const mtls_identity_t *identity);

#endif
