/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Sources: whatever is read from files. How one is loaded, first while the configuration is read
 * and then whenever a file has changed (reload.h). */

#ifndef MTLS_HTTPD_WATCHED_H
#define MTLS_HTTPD_WATCHED_H

#include <httpd.h>
#include <http_config.h>

#include "httpd/look.h"
#include "policy/parse_env.h"

/* A file that was touched less than this ago may still be written to, within one tick of the file
 * system's clock. */
#define MTLS_FILE_QUIET apr_time_from_msec(250)

typedef struct mtls_watched_t {
    const char *where;
    mtls_load_fn load;
    const void *what;
    mtls_live_t *live;
    int secret; /* its texts are never written to a disk */
    mtls_look_t look;
    apr_uint64_t seen;     /* of everything it looks at, when it was last loaded */
    apr_uint64_t pending;  /* the same when it last differed, and was still being written to */
    apr_uint64_t in_force; /* the same when the version in force was loaded */
    int index;
} mtls_watched_t;

/* One load under way: the baton of its environment. */
typedef struct mtls_attempt_t {
    cmd_parms *cmd; /* while the configuration is read; else NULL */
    mtls_watched_t *source;
    mtls_look_t look;
    apr_hash_t *kept;             /* read these texts (name -> mtls_span_t *), not files; NULL */
    int again;                    /* what is there was no good: read last good versions */
    apr_uint64_t state;           /* what the source looks at, when it was found to be quiet */
    int changed;                  /* it is not that any more, or changed as it was read */
    apr_array_header_t *warnings; /* const char * */
} mtls_attempt_t;

/* Forget all sources, before the configuration is read. */
void mtls_watched_begin(apr_pool_t *pconf);

/* mtls_watched_t *, in the order of configuration. */
const apr_array_header_t *mtls_watched_all(void);

/* An environment for parsing a directive: files are read and become sources. */
mtls_parse_env_t mtls_watched_env(cmd_parms *cmd, const ap_directive_t *directive);

/* Load into a pool of its own, and put in force what is new and good; while the server runs that
 * can be a part. `error` lives as long as the look of the attempt. 0: nothing has come into force;
 * where something has changed meanwhile, an error says nothing.
 */
int mtls_watched_try(mtls_attempt_t *attempt, const char **error);

/* Keep what is in force (kept.h): the texts a look holds, and those it has not read again. Secrets
 * stay in the parent's memory. */
void mtls_watched_keep(const mtls_watched_t *source, const mtls_look_t *look, apr_uint64_t good);

/* The source now looks at what an attempt has looked at. */
void mtls_watched_take(mtls_watched_t *source, mtls_look_t *look);

#endif
