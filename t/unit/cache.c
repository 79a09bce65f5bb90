/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "cache.h"

typedef struct entry_t {
    mtls_span_t data;
    apr_time_t expires;
} entry_t;

static entry_t *find(const cache_t *cache, mtls_span_t key)
{
    return apr_hash_get(cache->entries, key.data, (apr_ssize_t)key.len);
}

static int get(void *baton, mtls_span_t key, unsigned char *data, unsigned int *len)
{
    cache_t *cache = baton;
    const entry_t *e = find(cache, key);

    cache->gets++;
    if (cache->gone || !e || e->expires <= cache->now || e->data.len > *len)
        return 0;
    memcpy(data, e->data.data, e->data.len);
    *len = (unsigned int)e->data.len;
    return 1;
}

static int put(void *baton, mtls_span_t key, mtls_span_t data, apr_time_t expires)
{
    cache_t *cache = baton;
    entry_t *e = apr_palloc(cache->p, sizeof(*e));

    cache->puts++;
    if (cache->gone || cache->full || data.len > cache->most)
        return 0;
    e->data = mtls_span_copy(cache->p, data);
    e->expires = expires;
    apr_hash_set(cache->entries, mtls_span_copy(cache->p, key).data, (apr_ssize_t)key.len, e);
    return 1;
}

static void drop(void *baton, mtls_span_t key)
{
    cache_t *cache = baton;

    if (!cache->gone)
        apr_hash_set(cache->entries, key.data, (apr_ssize_t)key.len, NULL);
}

void cache_init(cache_t *cache, apr_pool_t *p, apr_time_t now)
{
    memset(cache, 0, sizeof(*cache));
    cache->store.baton = cache;
    cache->store.get = get;
    cache->store.put = put;
    cache->store.remove = drop;
    cache->p = p;
    cache->entries = apr_hash_make(p);
    cache->now = now;
    cache->most = 1024 * 1024;
}

mtls_span_t cache_entry(const cache_t *cache, mtls_span_t key)
{
    const entry_t *e = find(cache, key);

    return e ? e->data : mtls_span(NULL, 0);
}

apr_time_t cache_expires(const cache_t *cache, mtls_span_t key)
{
    const entry_t *e = find(cache, key);

    return e ? e->expires : 0;
}

static int holds(mtls_span_t key, mtls_span_t part)
{
    for (; key.len >= part.len; key.data++, key.len--) {
        if (mtls_span_starts(key, part))
            return 1;
        if (key.len == 0)
            break;
    }
    return 0;
}

int cache_count(const cache_t *cache, mtls_span_t part)
{
    apr_hash_index_t *i;
    int n = 0;

    for (i = apr_hash_first(cache->p, cache->entries); i; i = apr_hash_next(i)) {
        const void *key;
        apr_ssize_t len;
        void *entry;
        apr_hash_this(i, &key, &len, &entry);
        n += holds(mtls_span(key, (apr_size_t)len), part) &&
             ((entry_t *)entry)->expires > cache->now;
    }
    return n;
}
