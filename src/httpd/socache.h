/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* One of httpd's shared object caches ("PROVIDER[:ARGS]"), made safe to use: with a lock where its
 * provider needs one, values of any size, and a pause after it failed. */

#ifndef MTLS_HTTPD_SOCACHE_H
#define MTLS_HTTPD_SOCACHE_H

#include <httpd.h>
#include <ap_socache.h>

#include "policy/span.h"

typedef struct mtls_socache_t mtls_socache_t;

/* The provider that others may name, but that may not stand behind itself. */
#define MTLS_SOCACHE_OURS "mtls_policy"

/* While the configuration is read. NULL or what is wrong with `text`. Lives in `p`. */
const char *mtls_socache_create(mtls_socache_t **cache, const char *text, apr_pool_t *ptemp,
                                apr_pool_t *p);

/* "shmcb", ... */
const char *mtls_socache_name(const mtls_socache_t *cache);

/* post_config. `name`, which is also that of the mutex, is at most 16 characters; `namespace` is
 * what the cache knows us by, and may be the same. An error is logged. Ended by
 * mtls_socache_close(), once. */
apr_status_t mtls_socache_open(mtls_socache_t *cache, const char *name, const char *namespace,
                               server_rec *s, apr_pool_t *pconf);
void mtls_socache_close(mtls_socache_t *cache);

/* In each process that uses it, which the parent must not do: its connections would be all its
 * children's. */
void mtls_socache_child(mtls_socache_t *cache, apr_pool_t *pchild, server_rec *s);

/* Any thread; `p` is for what the provider allocates. APR_NOTFOUND also while it is paused. */
apr_status_t mtls_socache_get(mtls_socache_t *cache, mtls_span_t key, unsigned char *data,
                              unsigned int *len, apr_pool_t *p);
apr_status_t mtls_socache_put(mtls_socache_t *cache, mtls_span_t key, mtls_span_t data,
                              apr_time_t expires, apr_pool_t *p);
apr_status_t mtls_socache_remove(mtls_socache_t *cache, mtls_span_t key, apr_pool_t *p);

/* mod_status; each entry of a cache that can tell (else APR_ENOTIMPL). */
void mtls_socache_status(mtls_socache_t *cache, request_rec *r, int flags);
typedef apr_status_t (*mtls_socache_each_fn)(void *baton, mtls_span_t key, mtls_span_t data,
                                             apr_pool_t *p);
apr_status_t mtls_socache_each(mtls_socache_t *cache, mtls_socache_each_fn each, void *baton,
                               apr_pool_t *p);

#endif
