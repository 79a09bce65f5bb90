/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Distinguished names as rules write them (RFC 4514) and the form in which two are compared. */

#ifndef MTLS_POLICY_NAME_H
#define MTLS_POLICY_NAME_H

#include "policy/facts.h"

/* The dotted OID of an attribute's short name, long name or OID, or NULL for an unknown one. */
typedef const char *(*mtls_oid_lookup_t)(apr_pool_t *p, const char *name);

/* Bytes that are equal for two names exactly when they have the same RDNs in the same order, an RDN
 * being a set. Lives in `p`. The attributes' rdn numbers must not decrease. */
mtls_span_t mtls_name_canonical(apr_pool_t *p, const mtls_name_attribute_t *attributes, int n);

/* Parse an RFC 4514 string (most specific RDN first) to the canonical bytes of the name; `reversed`
 * gets those of the same name written the other way round. Optional blanks around separators are
 * taken as RFC 2253 did. Returns NULL or, naming the place, what is wrong (in `p`). */
const char *mtls_name_parse(apr_pool_t *p, const char *text, mtls_oid_lookup_t oid_of,
                            mtls_span_t *canonical, mtls_span_t *reversed);

#endif
