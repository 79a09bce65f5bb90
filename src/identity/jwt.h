/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The identity as the claims of a token (RFC 7519), bound to the certificate (RFC 8705 3.1). */

#ifndef MTLS_IDENTITY_JWT_H
#define MTLS_IDENTITY_JWT_H

#include <apr_tables.h>

#include "identity/field.h"

#define MTLS_JWT_DEFAULT_HEADER "X-Client-Identity"
#define MTLS_JWT_DEFAULT_TTL    60
#define MTLS_JWT_MAX_TTL        86400
#define MTLS_JTI_BYTES          16

/* MTLSExport jwt aud=... [header=...] [iss=...] [sub=...] [ttl=...] */
typedef struct mtls_jwt_spec_t {
    const char *header;
    apr_array_header_t *audiences; /* const char *; at least one */
    const char *issuer;            /* NULL: the server's name */
    mtls_field_t sub;
    int ttl; /* seconds */
} mtls_jwt_spec_t;

/* What a token says beside who called. */
typedef struct mtls_jwt_terms_t {
    const mtls_jwt_spec_t *spec;
    const char *issuer;
    apr_int64_t iat, exp; /* seconds since 1970 */
    unsigned char jti[MTLS_JTI_BYTES];
} mtls_jwt_terms_t;

/* Parse the words after "jwt". The header's name is not looked at: what may be exported is known
 * above. NULL or, in `p`, what is wrong. */
const char *mtls_jwt_parse(apr_pool_t *p, int argc, char *const argv[], mtls_jwt_spec_t *spec);

/* When a token made at `now` ends (seconds since 1970): with its ttl or with what it says, at
 * `until`, whichever is first. A token lives for one second at least, or nobody could use it. */
apr_int64_t mtls_jwt_exp(const mtls_jwt_spec_t *spec, apr_time_t now, apr_time_t until);

/* Whom the token is about: the one value of the spec's `sub`. NULL data: there is none, there are
 * several, or it is no text that JSON could carry. In `p`. */
mtls_span_t mtls_jwt_subject(apr_pool_t *p, const mtls_jwt_spec_t *spec,
                             const mtls_identity_t *identity);

/* The claims as JSON, in `p`; NULL: without a subject, or out of memory. */
const char *mtls_jwt_claims(apr_pool_t *p, const mtls_jwt_terms_t *terms,
                            const mtls_identity_t *identity);

#endif
