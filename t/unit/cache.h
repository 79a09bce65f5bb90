/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A cache in memory behind the store interface, with a clock of its own. */

#ifndef MTLS_UNIT_CACHE_H
#define MTLS_UNIT_CACHE_H

#include <apr_hash.h>

#include "pki/store.h"

typedef struct cache_t {
    mtls_store_t store;
    apr_pool_t *p;
    apr_hash_t *entries;
    apr_time_t now;
    apr_size_t most; /* bytes of an entry that it takes */
    int full;        /* it takes nothing */
    int gone;        /* it gives nothing and takes nothing */
    int gets, puts;  /* calls */
} cache_t;

void cache_init(cache_t *cache, apr_pool_t *p, apr_time_t now);

/* What lies there, run out or not; empty: nothing. */
mtls_span_t cache_entry(const cache_t *cache, mtls_span_t key);

/* When it runs out; 0: there is none. */
apr_time_t cache_expires(const cache_t *cache, mtls_span_t key);

/* Live entries whose keys hold these bytes. */
int cache_count(const cache_t *cache, mtls_span_t part);

#endif
