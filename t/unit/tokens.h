/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Private keys as files, and a verifier of tokens that shares nothing with the code that signs
 * them: OpenSSL's signatures, and a strict base64url of its own. */

#ifndef MTLS_UNIT_TOKENS_H
#define MTLS_UNIT_TOKENS_H

#include <apr_pools.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "policy/span.h"

/* A new key of an EC group; freed with `p`. */
EVP_PKEY *key_on(apr_pool_t *p, const char *group);

/* A private key in PKCS#8 PEM, or of the traditional form of its type. */
const char *key_pem(apr_pool_t *p, EVP_PKEY *key);
const char *key_traditional_pem(apr_pool_t *p, EVP_PKEY *key);

/* Bytes of base64url; NULL data: not canonical. */
mtls_span_t base64url_decode(apr_pool_t *p, mtls_span_t text);

/* A part of a token (0 header, 1 claims) as JSON; the caller's. NULL: none. */
json_t *token_part(apr_pool_t *p, const char *token, int part);

/* Whether a key that is published (a JWK's text) proves the token: its kid and alg are the key's,
 * its signature is good. */
int token_is_good(apr_pool_t *p, const char *token, const char *jwk);

#endif
