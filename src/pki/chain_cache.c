/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/chain_cache.h"

#include <stdlib.h>

#include <apr_thread_mutex.h>
#include <openssl/rand.h>

#include "pki/chain.h"
#include "policy/limits.h"

/* Each issuer has one of the places good results can go to, chosen by a hash no client can foresee;
 * refused certificates share one more. A place is sets of a few entries, of which the one used
 * longest ago is given up. */
#define REFUSED MTLS_CHAIN_CACHE_ISSUERS
#define PLACES  (MTLS_CHAIN_CACHE_ISSUERS + 1)
#define SETS    128
#define WAYS    (MTLS_CHAIN_CACHE_PER_ISSUER / SETS)

typedef struct entry_t {
    unsigned char sha256[MTLS_DIGEST_BYTES];
    apr_uint64_t used;
    mtls_chain_result_t result;
    mtls_chain_t chain;
    mtls_chain_link_t links[];
} entry_t;

struct mtls_chain_cache_t {
    apr_thread_mutex_t *lock;
    apr_uint64_t uses;
    unsigned int seed;
    entry_t *entries[PLACES][SETS][WAYS];
};

static apr_status_t free_entries(void *cache_)
{
    mtls_chain_cache_t *cache = cache_;
    entry_t **entry = &cache->entries[0][0][0];
    int i;

    for (i = 0; i < PLACES * SETS * WAYS; i++)
        free(entry[i]);
    free(cache);
    return APR_SUCCESS;
}

mtls_chain_cache_t *mtls_chain_cache_make(apr_pool_t *p)
{
    mtls_chain_cache_t *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    /* Before the mutex, so that it is done after the mutex has gone. */
    apr_pool_cleanup_register(p, cache, free_entries, apr_pool_cleanup_null);
    if (RAND_bytes((unsigned char *)&cache->seed, sizeof(cache->seed)) != 1 ||
        apr_thread_mutex_create(&cache->lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS)
        return NULL;
    return cache;
}

static entry_t **set_of(mtls_chain_cache_t *cache, const mtls_chain_key_t *key, int refused)
{
    unsigned int issuer = ((unsigned int)key->issuer ^ cache->seed) * 0x9E3779B1u;
    unsigned int place = refused ? REFUSED : (issuer >> 16) % MTLS_CHAIN_CACHE_ISSUERS;

    return cache->entries[place][key->sha256[0] % SETS];
}

static entry_t *find(mtls_chain_cache_t *cache, const mtls_chain_key_t *key, int refused)
{
    entry_t **set = set_of(cache, key, refused);
    int i;

    for (i = 0; i < WAYS; i++) {
        if (set[i] && memcmp(set[i]->sha256, key->sha256, MTLS_DIGEST_BYTES) == 0)
            return set[i];
    }
    return NULL;
}

static void copy_out(const entry_t *entry, apr_pool_t *p, mtls_chain_result_t *result)
{
    *result = entry->result;
    if (entry->result.chain)
        result->chain = mtls_chain_copy(p, entry->result.chain);
}

static int holds(const entry_t *entry, apr_time_t now)
{
    return entry && entry->result.from <= now && now < entry->result.valid_until;
}

int mtls_chain_cache_get(mtls_chain_cache_t *cache, const mtls_chain_key_t *key, apr_time_t now,
                         apr_pool_t *p, mtls_chain_result_t *result)
{
    entry_t *entry;
    int found;

    apr_thread_mutex_lock(cache->lock);
    entry = find(cache, key, 0);
    if (!holds(entry, now))
        entry = find(cache, key, 1);
    found = holds(entry, now);
    if (found) {
        entry->used = ++cache->uses;
        copy_out(entry, p, result);
    }
    apr_thread_mutex_unlock(cache->lock);
    return found;
}

static entry_t *make_entry(const mtls_chain_key_t *key, const mtls_chain_result_t *result)
{
    apr_size_t n = result->chain ? (apr_size_t)result->chain->n : 0;
    entry_t *entry = calloc(1, sizeof(*entry) + n * sizeof(entry->links[0]));

    if (!entry)
        return NULL;
    memcpy(entry->sha256, key->sha256, MTLS_DIGEST_BYTES);
    entry->result = *result;
    if (result->chain) {
        entry->chain = *result->chain;
        memcpy(entry->links, result->chain->links, n * sizeof(entry->links[0]));
        entry->chain.links = entry->links;
        entry->result.chain = &entry->chain;
    }
    return entry;
}

/* The entry of the same key, an empty one, or the one used longest ago. */
static entry_t **victim(entry_t **set, const mtls_chain_key_t *key)
{
    entry_t **oldest = &set[0];
    int i;

    for (i = 0; i < WAYS; i++) {
        if (set[i] && memcmp(set[i]->sha256, key->sha256, MTLS_DIGEST_BYTES) == 0)
            return &set[i];
    }
    for (i = 0; i < WAYS && *oldest; i++) {
        if (!set[i] || set[i]->used < (*oldest)->used)
            oldest = &set[i];
    }
    return oldest;
}

void mtls_chain_cache_put(mtls_chain_cache_t *cache, const mtls_chain_key_t *key,
                          const mtls_chain_result_t *result)
{
    entry_t *entry = make_entry(key, result), *before, **at;

    if (!entry)
        return;
    apr_thread_mutex_lock(cache->lock);
    at = victim(set_of(cache, key, result->reason != MTLS_OK), key);
    entry->used = ++cache->uses;
    before = *at;
    *at = entry;
    apr_thread_mutex_unlock(cache->lock);
    free(before);
}
