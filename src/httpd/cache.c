/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/cache.h"

#include <ap_provider.h>
#include <ap_socache.h>
#include <http_log.h>
#include <util_mutex.h>

#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

#define MUTEX_TYPE       "mtls-policy" /* at most 16 characters */
#define DEFAULT_PROVIDER "shmcb"
#define DEFAULT_BYTES    "2097152"

static struct {
    ap_socache_provider_t *provider;
    ap_socache_instance_t *instance;
    apr_global_mutex_t *mutex; /* NULL: the provider needs none */
    server_rec *server;
    mtls_store_t store;
    int open;
} cache;

const mtls_store_t *mtls_cache(void)
{
    return cache.open ? &cache.store : NULL;
}

apr_status_t mtls_cache_register(apr_pool_t *pconf)
{
    memset(&cache, 0, sizeof(cache));
    return ap_mutex_register(pconf, MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0);
}

static const char *provider_names(apr_pool_t *p)
{
    apr_array_header_t *names =
        ap_list_provider_names(p, AP_SOCACHE_PROVIDER_GROUP, AP_SOCACHE_PROVIDER_VERSION);
    const char *text = "";
    int i;

    for (i = 0; i < names->nelts; i++) {
        text = apr_pstrcat(p, text, i ? ", " : "",
                           APR_ARRAY_IDX(names, i, ap_list_provider_names_t).provider_name, NULL);
    }
    return *text ? text : "none; load mod_socache_shmcb";
}

const char *mtls_cache_configure(cmd_parms *cmd, const char *text)
{
    const char *colon = strchr(text, ':');
    const char *name = colon ? apr_pstrmemdup(cmd->pool, text, (apr_size_t)(colon - text)) : text;
    const char *error;

    cache.provider =
        ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name, AP_SOCACHE_PROVIDER_VERSION);
    if (!cache.provider) {
        return apr_psprintf(cmd->pool, "\"%s\" is no shared object cache provider; there are: %s",
                            name, provider_names(cmd->pool));
    }
    error = cache.provider->create(&cache.instance, colon ? colon + 1 : NULL, cmd->temp_pool,
                                   cmd->pool);
    return error ? apr_psprintf(cmd->pool, "\"%s\": %s", text, error) : NULL;
}

/* ---- the store ---- */

static int lock(void)
{
    return !cache.mutex || apr_global_mutex_lock(cache.mutex) == APR_SUCCESS;
}

static void unlock(void)
{
    if (cache.mutex)
        apr_global_mutex_unlock(cache.mutex);
}

/* A pool for one operation: some providers allocate, and any thread may come. */
static apr_pool_t *scratch(void)
{
    apr_pool_t *p;

    return apr_pool_create(&p, NULL) == APR_SUCCESS ? p : NULL;
}

static int cache_get(void *baton, mtls_span_t key, unsigned char *data, unsigned int *len)
{
    apr_pool_t *p = scratch();
    apr_status_t rv = APR_EGENERAL;

    (void)baton;
    if (p && lock()) {
        rv = cache.provider->retrieve(cache.instance, cache.server, (const unsigned char *)key.data,
                                      (unsigned int)key.len, data, len, p);
        unlock();
    }
    if (p)
        apr_pool_destroy(p);
    return rv == APR_SUCCESS;
}

static int cache_put(void *baton, mtls_span_t key, mtls_span_t data, apr_time_t expires)
{
    apr_pool_t *p = scratch();
    apr_status_t rv = APR_EGENERAL;

    (void)baton;
    if (p && lock()) {
        rv = cache.provider->store(cache.instance, cache.server, (const unsigned char *)key.data,
                                   (unsigned int)key.len, expires, (unsigned char *)data.data,
                                   (unsigned int)data.len, p);
        unlock();
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_INFO, rv, cache.server,
                     "mtls_policy: the cache did not take an entry; a resumed session may need a "
                     "full handshake");
    }
    if (p)
        apr_pool_destroy(p);
    return rv == APR_SUCCESS;
}

static void cache_remove(void *baton, mtls_span_t key)
{
    apr_pool_t *p = scratch();

    (void)baton;
    if (p && lock()) {
        cache.provider->remove(cache.instance, cache.server, (const unsigned char *)key.data,
                               (unsigned int)key.len, p);
        unlock();
    }
    if (p)
        apr_pool_destroy(p);
}

/* ---- start ---- */

static int use_default(apr_pool_t *p, server_rec *s)
{
    const char *error;
    char *arguments;

    cache.provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, DEFAULT_PROVIDER,
                                        AP_SOCACHE_PROVIDER_VERSION);
    if (!cache.provider) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "mtls_policy: mod_socache_shmcb is not loaded and MTLSCache names no other "
                     "provider: intermediates that only clients send are not remembered, and their "
                     "resumed sessions are refused as chain_incomplete");
        return OK;
    }
    arguments = apr_pstrcat(p, ap_runtime_dir_relative(p, "mtls_policy_cache"),
                            "(" DEFAULT_BYTES ")", NULL);
    error = cache.provider->create(&cache.instance, arguments, p, p);
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "mtls_policy: MTLSCache " DEFAULT_PROVIDER ":%s (the default): %s", arguments,
                     error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static apr_status_t close_cache(void *unused)
{
    (void)unused;
    if (cache.open)
        cache.provider->destroy(cache.instance, cache.server);
    cache.open = 0;
    return APR_SUCCESS;
}

int mtls_cache_open(apr_pool_t *pconf, server_rec *s)
{
    static const struct ap_socache_hints hints = {64, 1200, apr_time_from_sec(3600)};
    apr_status_t rv;

    if (!cache.provider && (use_default(pconf, s) != OK))
        return HTTP_INTERNAL_SERVER_ERROR;
    if (!cache.provider)
        return OK;
    if (cache.provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE) {
        rv = ap_global_mutex_create(&cache.mutex, NULL, MUTEX_TYPE, NULL, s, pconf, 0);
        if (rv != APR_SUCCESS)
            return HTTP_INTERNAL_SERVER_ERROR; /* httpd has logged it */
    }
    rv = cache.provider->init(cache.instance, MUTEX_TYPE, &hints, s, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     "mtls_policy: MTLSCache: the cache \"%s\" "
                     "cannot be opened",
                     cache.provider->name);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    cache.server = s;
    cache.store.get = cache_get;
    cache.store.put = cache_put;
    cache.store.remove = cache_remove;
    cache.open = 1;
    apr_pool_cleanup_register(pconf, NULL, close_cache, apr_pool_cleanup_null);
    return OK;
}

void mtls_cache_child(apr_pool_t *pchild, server_rec *s)
{
    const char *file;
    apr_status_t rv;

    if (!cache.mutex)
        return;
    file = apr_global_mutex_lockfile(cache.mutex);
    rv = apr_global_mutex_child_init(&cache.mutex, file, pchild);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "mtls_policy: the cache's mutex cannot be used by this child; it remembers "
                     "nothing");
        cache.open = 0;
    }
}
