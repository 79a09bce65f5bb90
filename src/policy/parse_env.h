/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What parsing rules needs from outside: files, OIDs, expressions, and a place for warnings. The
 * lower layers do no I/O of their own. */

#ifndef MTLS_POLICY_PARSE_ENV_H
#define MTLS_POLICY_PARSE_ENV_H

#include <apr_tables.h>

#include "policy/name.h"

typedef struct mtls_parse_env_t mtls_parse_env_t;

struct mtls_parse_env_t {
    apr_pool_t *p;     /* what is parsed lives here */
    const char *where; /* "file:line" of the directive */
    void *baton;       /* of the functions below */
    mtls_oid_lookup_t oid_of;
    /* A whole list file, writable and ended by NUL, in p. NULL or what is wrong. */
    const char *(*read_file)(mtls_parse_env_t *env, const char *path, char **text, apr_size_t *len);
    /* Push the SHA-256 (mtls_span_t, MTLS_DIGEST_BYTES) of each certificate of a PEM file. */
    const char *(*read_certificates)(mtls_parse_env_t *env, const char *path,
                                     apr_array_header_t *digests);
    /* Compile an httpd expression. NULL where expressions cannot be had. */
    const char *(*compile_expr)(mtls_parse_env_t *env, const char *text, const void **expr);
    void (*warn)(mtls_parse_env_t *env, const char *text);
};

#endif
