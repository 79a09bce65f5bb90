/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What parsing rules needs from outside: files, OIDs, expressions, and a place for warnings. The
 * lower layers do no I/O of their own. */

#ifndef MTLS_POLICY_PARSE_ENV_H
#define MTLS_POLICY_PARSE_ENV_H

#include <apr_tables.h>
#include <apr_time.h>

#include "policy/live.h"
#include "policy/name.h"
#include "policy/purpose.h"

typedef struct mtls_parse_env_t mtls_parse_env_t;

/* Read what `what` describes into `data`, in env->p. Called once while the configuration is read,
 * and again whenever a file it has read has changed. NULL or what is wrong, in env->p; where there
 * is a version before, `data` can be what is good all the same. */
typedef const char *(*mtls_load_fn)(mtls_parse_env_t *env, const void *what, const void **data);

struct mtls_parse_env_t {
    apr_pool_t *p;     /* what is parsed lives here */
    const char *where; /* "file:line" of the directive */
    void *baton;       /* of the functions below */
    int secret;        /* what is watched holds secrets: its texts are never written anywhere */
    /* Whose certificates the rules are about. */
    mtls_purpose_t purpose;
    mtls_oid_lookup_t oid_of;
    /* A whole file, which lasts until the load function returns. NULL or what is wrong. */
    const char *(*read_file)(mtls_parse_env_t *env, const char *path, mtls_span_t *text);
    /* Push the SHA-256 (mtls_span_t, MTLS_DIGEST_BYTES) of each certificate of a PEM file. */
    const char *(*read_certificates)(mtls_parse_env_t *env, const char *path,
                                     apr_array_header_t *digests);
    /* Compile an httpd expression. NULL where expressions cannot be had. */
    const char *(*compile_expr)(mtls_parse_env_t *env, const char *text, const void **expr);
    void (*warn)(mtls_parse_env_t *env, const char *text);
    /* Load now, and again when a file changes. `what` must live as long as `live`, which does as
     * long as env->p. NULL where that is part of a larger load already. */
    const char *(*watch)(mtls_parse_env_t *env, mtls_load_fn load, const void *what,
                         mtls_live_t **live);

    /* Of a load function: */
    apr_time_t now;
    int again; /* the server has run before: a list without values was not meant */
    int kept;  /* the texts are those of last good versions, which were */
    /* The data in force, which stays if this load fails; NULL: none. */
    const void *before;
    /* The files a name or a pattern stands for (const char *), in order; `listed` gets whether it
     * is a pattern. NULL or what is wrong. */
    const char *(*expand)(mtls_parse_env_t *env, const char *pattern, apr_array_header_t *paths,
                          int *listed);
    /* A number that is another one when the file may have changed; 0: it is not there. */
    apr_uint64_t (*state)(mtls_parse_env_t *env, const char *path);
    /* Whether the file was found bad before and has not changed since. */
    int (*is_bad)(mtls_parse_env_t *env, const char *path);
    /* Tell how a file was found: NULL, or why its last good version stays in force. */
    void (*found)(mtls_parse_env_t *env, const char *path, const char *error);
    /* The text of a file's last good version, where this is the first load after a restart. 0:
     * there is none. */
    int (*last_good)(mtls_parse_env_t *env, const char *path, mtls_span_t *text);
};

#endif
