/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/live.h"

#include <apr_thread_mutex.h>

struct mtls_live_t {
    apr_thread_mutex_t *lock;
    mtls_version_t *current;
    apr_uint64_t serials;
};

static void put_down(mtls_live_t *live, mtls_version_t *version)
{
    int readers;

    apr_thread_mutex_lock(live->lock);
    readers = --version->readers;
    apr_thread_mutex_unlock(live->lock);
    if (readers == 0 && version->p)
        apr_pool_destroy(version->p);
}

static apr_status_t end(void *live_)
{
    mtls_live_t *live = live_;

    if (live->current)
        put_down(live, live->current);
    live->current = NULL;
    return APR_SUCCESS;
}

mtls_live_t *mtls_live_make(apr_pool_t *p)
{
    mtls_live_t *live = apr_pcalloc(p, sizeof(*live));

    if (apr_thread_mutex_create(&live->lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS)
        return NULL;
    apr_pool_cleanup_register(p, live, end, apr_pool_cleanup_null);
    return live;
}

static void put_in_force(mtls_live_t *live, mtls_version_t *version, const void *data)
{
    mtls_version_t *before;

    version->data = data;
    version->readers = 1;
    apr_thread_mutex_lock(live->lock);
    version->serial = ++live->serials;
    before = live->current;
    live->current = version;
    apr_thread_mutex_unlock(live->lock);
    if (before)
        put_down(live, before);
}

mtls_live_t *mtls_live_fixed(apr_pool_t *p, const void *data)
{
    mtls_live_t *live = mtls_live_make(p);

    if (live) /* a version without a pool of its own */
        put_in_force(live, apr_pcalloc(p, sizeof(mtls_version_t)), data);
    return live;
}

void mtls_live_replace(mtls_live_t *live, apr_pool_t *p, const void *data)
{
    mtls_version_t *version = apr_pcalloc(p, sizeof(*version));

    version->p = p;
    put_in_force(live, version, data);
}

const mtls_version_t *mtls_live_take(mtls_live_t *live)
{
    mtls_version_t *version;

    apr_thread_mutex_lock(live->lock);
    version = live->current;
    if (version)
        version->readers++;
    apr_thread_mutex_unlock(live->lock);
    return version;
}

void mtls_live_give_back(mtls_live_t *live, const mtls_version_t *version)
{
    if (version) /* ours to count, the reader's to read */
        put_down(live, (mtls_version_t *)version);
}

apr_uint64_t mtls_live_serial(mtls_live_t *live)
{
    apr_uint64_t serial;

    apr_thread_mutex_lock(live->lock);
    serial = live->current ? live->current->serial : 0;
    apr_thread_mutex_unlock(live->lock);
    return serial;
}
