/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/socache.h"

#include <ap_provider.h>
#include <http_log.h>
#include <util_mutex.h>

#include "httpd/socache_entry.h"

APLOG_USE_MODULE(mtls_policy);

/* mod_socache_dbm refuses entries of 950 bytes and more, whatever the library could do. Behind it
 * each value has a first byte: WHOLE, or HEAD, four bytes of length, and pieces under keys of their
 * own (the key, then two bytes of their number). Half the size it takes: its library keeps pairs in
 * pages of 1 KB, and gives up where two of one page cannot be parted. */
#define WHOLE       'w'
#define HEAD        'h'
#define PIECE_BYTES 440
#define HEAD_BYTES  5
#define MOST_PIECES 256
#define PIECE_KEY   128 /* bytes of a key with its number */

/* A provider on the network that failed is left alone for so long: asked for each request it would
 * cost every one its timeouts, and the log a line. */
#define PAUSE apr_time_from_sec(5)

/* memcached takes a lifetime of more than 30 days for a date, long gone. */
#define MOST_LIFE apr_time_from_sec(29 * 86400)

/* Of reading and of writing: a cache that is full still gives. */
typedef struct health_t {
    int failed;            /* and it was said */
    apr_time_t paused_for; /* until then */
} health_t;

struct mtls_socache_t {
    const char *text; /* as configured */
    mtls_entries_t entries;
    apr_global_mutex_t *mutex; /* NULL: the provider needs none */
    int in_pieces;
    int open;
    health_t reading, writing;
};

/* ---- configuration ---- */

static const char *provider_names(apr_pool_t *p)
{
    apr_array_header_t *names =
        ap_list_provider_names(p, AP_SOCACHE_PROVIDER_GROUP, AP_SOCACHE_PROVIDER_VERSION);
    const char *text = "", *name;
    int i;

    for (i = 0; i < names->nelts; i++) {
        name = APR_ARRAY_IDX(names, i, ap_list_provider_names_t).provider_name;
        if (strcmp(name, MTLS_SOCACHE_OURS) != 0)
            text = apr_pstrcat(p, text, *text ? ", " : "", name, NULL);
    }
    return *text ? text : "none; load mod_socache_shmcb";
}

const char *mtls_socache_create(mtls_socache_t **cache, const char *text, apr_pool_t *ptemp,
                                apr_pool_t *p)
{
    const char *colon = strchr(text, ':');
    const char *name = colon ? apr_pstrmemdup(p, text, (apr_size_t)(colon - text)) : text;
    mtls_socache_t *made = apr_pcalloc(p, sizeof(*made));
    const char *error;

    *cache = NULL;
    if (strcmp(name, MTLS_SOCACHE_OURS) != 0)
        made->entries.provider =
            ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name, AP_SOCACHE_PROVIDER_VERSION);
    if (!made->entries.provider)
        return apr_psprintf(p,
                            "\"%s\" is no shared object cache provider that can be used here; "
                            "there are: %s",
                            name, provider_names(ptemp));
    error =
        made->entries.provider->create(&made->entries.instance, colon ? colon + 1 : NULL, ptemp, p);
    if (error)
        return apr_psprintf(p, "\"%s\": %s", text, error);
    made->text = apr_pstrdup(p, text);
    made->in_pieces = strcmp(made->entries.provider->name, "dbm") == 0;
    *cache = made;
    return NULL;
}

const char *mtls_socache_name(const mtls_socache_t *cache)
{
    return cache->entries.provider->name;
}

/* ---- start ---- */

apr_status_t mtls_socache_open(mtls_socache_t *cache, const char *name, const char *namespace,
                               server_rec *s, apr_pool_t *pconf)
{
    static const struct ap_socache_hints hints = {64, 1500, apr_time_from_sec(3600)};
    apr_status_t rv = APR_SUCCESS;

    if (cache->entries.provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE)
        rv = ap_global_mutex_create(&cache->mutex, NULL, name, NULL, s, pconf, 0);
    if (rv == APR_SUCCESS)
        rv = cache->entries.provider->init(cache->entries.instance, namespace, &hints, s, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     "mtls_policy: the cache \"%s\" cannot be opened", cache->text);
        return rv;
    }
    cache->entries.server = s;
    cache->open = 1;
    return APR_SUCCESS;
}

void mtls_socache_close(mtls_socache_t *cache)
{
    if (cache->open)
        cache->entries.provider->destroy(cache->entries.instance, cache->entries.server);
    cache->open = 0;
}

/* Only what is not in this machine is without a lock. */
static int is_remote(const mtls_socache_t *cache)
{
    return !(cache->entries.provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE);
}

/* What comes after the end of a child's pool does without the cache. */
static apr_status_t forget_courier(void *cache_)
{
    mtls_socache_t *cache = cache_;

    cache->open = 0;
    cache->entries.courier = NULL;
    return APR_SUCCESS;
}

void mtls_socache_child(mtls_socache_t *cache, apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;

    if (!cache->open)
        return;
    if (cache->mutex) {
        rv = apr_global_mutex_child_init(&cache->mutex, apr_global_mutex_lockfile(cache->mutex),
                                         pchild);
    } else if ((cache->entries.courier = mtls_courier_make(pchild)) != NULL) {
        apr_pool_pre_cleanup_register(pchild, cache, forget_courier);
    } else {
        rv = APR_ENOMEM;
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "mtls_policy: the cache \"%s\" cannot be used by this child, which does "
                     "without",
                     cache->text);
        cache->open = 0;
    }
}

/* ---- failures ---- */

static int is_paused(const health_t *health)
{
    apr_time_t until = __atomic_load_n(&health->paused_for, __ATOMIC_RELAXED);

    return until && apr_time_now() < until && until - apr_time_now() <= PAUSE;
}

static void pause_it(health_t *health)
{
    __atomic_store_n(&health->paused_for, apr_time_now() + PAUSE, __ATOMIC_RELAXED);
}

/* One line when it begins and one when it ends, of each process. */
static void note(mtls_socache_t *cache, health_t *health, apr_status_t rv)
{
    const char *doing = health == &cache->reading ? "give" : "take";
    int failed = rv != APR_SUCCESS;

    if (failed && is_remote(cache)) /* a full shmcb is as quick as an empty one */
        pause_it(health);
    if (rv == APR_TIMEUP) /* it is mute */
        pause_it(health == &cache->reading ? &cache->writing : &cache->reading);
    if (__atomic_exchange_n(&health->failed, failed, __ATOMIC_ACQ_REL) == failed)
        return;
    if (failed)
        ap_log_error(APLOG_MARK, is_remote(cache) ? APLOG_WARNING : APLOG_INFO, rv,
                     cache->entries.server,
                     "mtls_policy: the cache \"%s\" does not %s entries; what would be shared "
                     "with other children is not",
                     cache->text, doing);
    else
        ap_log_error(APLOG_MARK, is_remote(cache) ? APLOG_NOTICE : APLOG_INFO, 0,
                     cache->entries.server, "mtls_policy: the cache \"%s\" %ss entries again",
                     cache->text, doing);
}

/* ---- the lock ---- */

static int lock(const mtls_socache_t *cache)
{
    return cache->open && (!cache->mutex || apr_global_mutex_lock(cache->mutex) == APR_SUCCESS);
}

static void unlock(const mtls_socache_t *cache)
{
    if (cache->mutex)
        apr_global_mutex_unlock(cache->mutex);
}

/* ---- values in pieces ---- */

static mtls_span_t piece_key(char *out, mtls_span_t key, unsigned int number)
{
    memcpy(out, key.data, key.len);
    out[key.len] = (char)(number >> 8);
    out[key.len + 1] = (char)number;
    return mtls_span(out, key.len + 2);
}

static apr_status_t get_pieces(mtls_socache_t *cache, mtls_span_t key, unsigned char *data,
                               unsigned int total, apr_pool_t *p)
{
    char name[PIECE_KEY];
    apr_status_t rv = APR_SUCCESS;
    unsigned int at = 0, number, len;

    for (number = 0; at < total && rv == APR_SUCCESS; number++, at += len) {
        len = total - at;
        rv = mtls_entry_get(&cache->entries, piece_key(name, key, number), data + at, &len, p);
        if (rv == APR_SUCCESS && len == 0)
            rv = APR_NOTFOUND;
    }
    return rv;
}

static apr_status_t get_value(mtls_socache_t *cache, mtls_span_t key, unsigned char *data,
                              unsigned int *len, apr_pool_t *p)
{
    unsigned char first[PIECE_BYTES + 1];
    unsigned int n = sizeof(first), total;
    apr_status_t rv = mtls_entry_get(&cache->entries, key, first, &n, p);

    if (rv != APR_SUCCESS || n < 1 || n > sizeof(first))
        return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
    if (first[0] == WHOLE && n - 1 <= *len) {
        memcpy(data, first + 1, n - 1);
        *len = n - 1;
        return APR_SUCCESS;
    }
    if (first[0] != HEAD || n != HEAD_BYTES || key.len + 2 > PIECE_KEY)
        return APR_NOTFOUND;
    total = (unsigned int)first[1] << 24 | (unsigned int)first[2] << 16 |
            (unsigned int)first[3] << 8 | (unsigned int)first[4];
    if (total > *len)
        return APR_ENOSPC;
    *len = total;
    return get_pieces(cache, key, data, total, p);
}

/* Pieces first: a head is whole. Pieces of two writers may be mixed, which makes a value that
 * proves nothing. */
static apr_status_t put_value(mtls_socache_t *cache, mtls_span_t key, mtls_span_t data,
                              apr_time_t expires, apr_pool_t *p)
{
    char name[PIECE_KEY], first[PIECE_BYTES + 1] = {WHOLE};
    apr_status_t rv = APR_SUCCESS;
    unsigned int number;
    apr_size_t at = 0, n;

    if (data.len < sizeof(first)) {
        memcpy(first + 1, data.data, data.len);
        return mtls_entry_put(&cache->entries, key, mtls_span(first, data.len + 1), expires, p);
    }
    if (data.len > (apr_size_t)MOST_PIECES * PIECE_BYTES || key.len + 2 > PIECE_KEY)
        return APR_ENOSPC;
    for (number = 0; at < data.len && rv == APR_SUCCESS; number++, at += n) {
        n = data.len - at < PIECE_BYTES ? data.len - at : PIECE_BYTES;
        rv = mtls_entry_put(&cache->entries, piece_key(name, key, number),
                            mtls_span(data.data + at, n), expires, p);
    }
    first[0] = HEAD;
    for (number = 0; number < 4; number++)
        first[1 + number] = (char)(data.len >> (8 * (3 - number)));
    return rv == APR_SUCCESS
               ? mtls_entry_put(&cache->entries, key, mtls_span(first, HEAD_BYTES), expires, p)
               : rv;
}

/* ---- use ---- */

apr_status_t mtls_socache_get(mtls_socache_t *cache, mtls_span_t key, unsigned char *data,
                              unsigned int *len, apr_pool_t *p)
{
    unsigned int most = *len;
    apr_status_t rv;

    if (is_paused(&cache->reading) || !lock(cache))
        return APR_NOTFOUND;
    rv = cache->in_pieces ? get_value(cache, key, data, len, p)
                          : mtls_entry_get(&cache->entries, key, data, len, p);
    unlock(cache);
    if (rv == APR_SUCCESS && *len > most)
        rv = APR_EGENERAL;
    /* What is missing, or too large for the caller, says nothing of the cache. */
    if (rv != APR_NOTFOUND && rv != APR_ENOMEM && rv != APR_ENOSPC && is_remote(cache))
        note(cache, &cache->reading, rv);
    return rv;
}

/* Caches on the network count in whole seconds, and take nothing for none. */
static apr_time_t lifetime(const mtls_socache_t *cache, apr_time_t expires)
{
    apr_time_t now = apr_time_now();

    if (expires > now + MOST_LIFE)
        return now + MOST_LIFE;
    return is_remote(cache) ? expires + apr_time_from_sec(1) : expires;
}

apr_status_t mtls_socache_put(mtls_socache_t *cache, mtls_span_t key, mtls_span_t data,
                              apr_time_t expires, apr_pool_t *p)
{
    apr_status_t rv;

    if (expires <= apr_time_now())
        return APR_EINVAL;
    if (is_paused(&cache->writing) || !lock(cache))
        return APR_EGENERAL;
    expires = lifetime(cache, expires);
    rv = cache->in_pieces ? put_value(cache, key, data, expires, p)
                          : mtls_entry_put(&cache->entries, key, data, expires, p);
    unlock(cache);
    note(cache, &cache->writing, rv);
    if (rv == APR_SUCCESS && is_remote(cache))
        note(cache, &cache->reading, APR_SUCCESS); /* a miss does not tell */
    return rv;
}

/* A head without its pieces is enough to be rid of both. */
apr_status_t mtls_socache_remove(mtls_socache_t *cache, mtls_span_t key, apr_pool_t *p)
{
    apr_status_t rv;

    if (is_paused(&cache->writing) || !lock(cache))
        return APR_EGENERAL;
    rv = mtls_entry_remove(&cache->entries, key, p);
    unlock(cache);
    if (rv == APR_TIMEUP)
        note(cache, &cache->writing, rv);
    return rv;
}

/* ---- all entries ---- */

void mtls_socache_status(mtls_socache_t *cache, request_rec *r, int flags)
{
    if (!lock(cache))
        return;
    cache->entries.provider->status(cache->entries.instance, r, flags);
    unlock(cache);
}

typedef struct each_t {
    mtls_socache_each_fn fn;
    void *baton;
} each_t;

static apr_status_t each_entry(ap_socache_instance_t *instance, server_rec *s, void *each_,
                               const unsigned char *id, unsigned int idlen,
                               const unsigned char *data, unsigned int datalen, apr_pool_t *p)
{
    const each_t *each = each_;

    (void)instance;
    (void)s;
    return each->fn(each->baton, mtls_span((const char *)id, idlen),
                    mtls_span((const char *)data, datalen), p);
}

apr_status_t mtls_socache_each(mtls_socache_t *cache, mtls_socache_each_fn fn, void *baton,
                               apr_pool_t *p)
{
    each_t each = {fn, baton};
    apr_status_t rv;

    if (cache->in_pieces)
        return APR_ENOTIMPL;
    if (!lock(cache))
        return APR_EGENERAL;
    rv = cache->entries.provider->iterate(cache->entries.instance, cache->entries.server, &each,
                                          each_entry, p);
    unlock(cache);
    return rv;
}
