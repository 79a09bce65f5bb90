/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Private keys that sign identity tokens (RFC 7515), and what is published of them (RFC 7517). */

#ifndef MTLS_IDENTITY_SIGNING_KEY_H
#define MTLS_IDENTITY_SIGNING_KEY_H

#include "policy/parse_env.h"

/* A key as configured; immutable then. */
typedef struct mtls_signing_key_spec_t {
    const char *file;
    const char *kid; /* NULL: the key's thumbprint (RFC 7638) */
} mtls_signing_key_spec_t;

/* A version of it. Immutable; any thread may sign. */
typedef struct mtls_signing_key_t {
    const char *kid;
    const char *alg; /* "RS256", "ES256", "ES384", "ES512" */
    const char *jwk; /* what is published: a JSON object without any private member */
    struct _cjose_jwk_int *private_key;
} mtls_signing_key_t;

/* NULL when `kid` may name a key, else what is wrong, in `p`. */
const char *mtls_signing_kid_check(apr_pool_t *p, const char *kid);

/* mtls_load_fn: read the one private key (mtls_signing_key_t) in the file of `what`
 * (mtls_signing_key_spec_t); it ends with env->p. A passphrase is never asked for. */
const char *mtls_signing_key_load(mtls_parse_env_t *env, const void *what, const void **data);

/* The compact serialization of `claims`, signed; in `p`. NULL: the library failed. */
const char *mtls_signing_key_sign(apr_pool_t *p, const mtls_signing_key_t *key, const char *claims);

/* The thumbprint of a public key (a JWK's text), in `p`; NULL: that is none. */
const char *mtls_jwk_thumbprint(apr_pool_t *p, const char *jwk);

#endif
