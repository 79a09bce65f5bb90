/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What is replaced as a whole while readers keep the version they have: a list of values, a trust
 * store. A version is never changed once it is in force. */

#ifndef MTLS_POLICY_LIVE_H
#define MTLS_POLICY_LIVE_H

#include <apr_pools.h>

typedef struct mtls_live_t mtls_live_t;

/* One version. A reader holds it between mtls_live_take() and mtls_live_give_back(). */
typedef struct mtls_version_t {
    const void *data;
    apr_uint64_t serial; /* no two versions of one mtls_live_t have the same */
    apr_pool_t *p;       /* ends with the last reader */
    int readers;         /* and one for being in force; under the lock */
} mtls_version_t;

/* Without a version. It lives in `p`, and so does the version then in force: no reader may be left
 * when `p` ends. NULL: out of memory. */
mtls_live_t *mtls_live_make(apr_pool_t *p);

/* What is never replaced: `data` lives as long as `p`. */
mtls_live_t *mtls_live_fixed(apr_pool_t *p, const void *data);

/* Put `data`, which lives in `p`, in force; `p` is destroyed when the last reader has gone. One
 * thread at a time. */
void mtls_live_replace(mtls_live_t *live, apr_pool_t *p, const void *data);

/* The version in force; NULL when there is none. Any thread. */
const mtls_version_t *mtls_live_take(mtls_live_t *live);
void mtls_live_give_back(mtls_live_t *live, const mtls_version_t *version);

/* The serial of the version in force; 0: none. Any thread. */
apr_uint64_t mtls_live_serial(mtls_live_t *live);

#endif
