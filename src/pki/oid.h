/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Names of object identifiers, from OpenSSL's table. */

#ifndef MTLS_PKI_OID_H
#define MTLS_PKI_OID_H

#include <openssl/objects.h>

#include "policy/name.h"

/* mtls_oid_lookup_t: short name, long name or dotted OID to the dotted OID, in `p`; NULL. Changes
 * no global table. */
const char *mtls_oid_of_name(apr_pool_t *p, const char *name);

/* The dotted form of an object, in `p`; NULL for an absurd one. */
const char *mtls_oid_text(apr_pool_t *p, const ASN1_OBJECT *object);

/* The short name of a dotted OID when it is made of letters, digits and "_" only; else NULL. */
const char *mtls_oid_short_name(const char *oid);

#endif
