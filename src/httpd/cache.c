/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/cache.h"

#include <ap_provider.h>
#include <http_log.h>
#include <util_mutex.h>

#include "httpd/checks.h"
#include "httpd/site.h"
#include "httpd/stapling_provider.h"

APLOG_USE_MODULE(mtls_policy);

#define NAME             "mtls-policy" /* also the mutex's: at most 16 characters */
#define STAPLING         "stapling"
#define DEFAULT_PROVIDER "shmcb"
#define DEFAULT_BYTES    "2097152"

static struct {
    mtls_socache_t *own; /* NULL: mod_ssl's stapling cache, or none */
    int stapling;        /* MTLSCache says so */
    mtls_socache_t *used;
    mtls_store_t store;
} cache;

const mtls_store_t *mtls_cache(void)
{
    return cache.used ? &cache.store : NULL;
}

apr_status_t mtls_cache_register(apr_pool_t *pconf)
{
    apr_status_t rv = mtls_stapling_begin(pconf);

    memset(&cache, 0, sizeof(cache));
    return rv == APR_SUCCESS ? ap_mutex_register(pconf, NAME, NULL, APR_LOCK_DEFAULT, 0) : rv;
}

const char *mtls_cache_configure(cmd_parms *cmd, const char *text)
{
    if (strcmp(text, STAPLING) == 0) {
        cache.stapling = 1;
        return NULL;
    }
    if (strncmp(text, STAPLING ":", strlen(STAPLING ":")) == 0)
        return "\"" STAPLING "\" takes no arguments: it is the cache that SSLStaplingCache names";
    if (strcmp(text, MTLS_SOCACHE_OURS) == 0 ||
        strncmp(text, MTLS_SOCACHE_OURS ":", strlen(MTLS_SOCACHE_OURS ":")) == 0)
        return "\"" MTLS_SOCACHE_OURS "\" is for SSLStaplingCache, whose cache is used by "
               "default, or with \"" STAPLING "\"";
    return mtls_socache_create(&cache.own, text, cmd->temp_pool, cmd->pool);
}

int mtls_cache_check(server_rec *s)
{
    if (!cache.stapling || mtls_stapling_cache())
        return OK;
    return mtls_checks_fail(s, mtls_site()->cache_where,
                            "MTLSCache " STAPLING ": there is no SSLStaplingCache of this module; "
                            "write SSLStaplingCache " MTLS_SOCACHE_OURS ":shmcb:/path(size)");
}

/* ---- the store ---- */

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
    if (p) {
        rv = mtls_socache_get(cache.used, key, data, len, p);
        apr_pool_destroy(p);
    }
    return rv == APR_SUCCESS;
}

static int cache_put(void *baton, mtls_span_t key, mtls_span_t data, apr_time_t expires)
{
    apr_pool_t *p = scratch();
    apr_status_t rv = APR_EGENERAL;

    (void)baton;
    if (p) {
        rv = mtls_socache_put(cache.used, key, data, expires, p);
        apr_pool_destroy(p);
    }
    return rv == APR_SUCCESS;
}

static void cache_remove(void *baton, mtls_span_t key)
{
    apr_pool_t *p = scratch();

    (void)baton;
    if (p) {
        (void)mtls_socache_remove(cache.used, key, p);
        apr_pool_destroy(p);
    }
}

/* ---- start ---- */

static int make_default(apr_pool_t *p, server_rec *s)
{
    const char *error, *text;

    if (!ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, DEFAULT_PROVIDER,
                            AP_SOCACHE_PROVIDER_VERSION)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "mtls_policy: mod_socache_shmcb is not loaded and MTLSCache names no other "
                     "provider: intermediates that only clients send are not remembered, and their "
                     "resumed sessions are refused as chain_incomplete");
        return OK;
    }
    text = apr_pstrcat(p, DEFAULT_PROVIDER ":", ap_runtime_dir_relative(p, "mtls_policy_cache"),
                       "(" DEFAULT_BYTES ")", NULL);
    error = mtls_socache_create(&cache.own, text, p, p);
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mtls_policy: MTLSCache (the default): %s",
                     error);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static apr_status_t close_own(void *unused)
{
    (void)unused;
    cache.used = NULL;
    mtls_socache_close(cache.own);
    return APR_SUCCESS;
}

static apr_status_t let_go(void *unused)
{
    (void)unused;
    cache.used = NULL;
    return APR_SUCCESS;
}

static int open_own(apr_pool_t *pconf, server_rec *s)
{
    if (!cache.own && make_default(pconf, s) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    if (!cache.own)
        return OK;
    if (mtls_socache_open(cache.own, NAME, NAME, s, pconf) != APR_SUCCESS)
        return HTTP_INTERNAL_SERVER_ERROR;
    cache.used = cache.own;
    apr_pool_cleanup_register(pconf, NULL, close_own, apr_pool_cleanup_null);
    return OK;
}

int mtls_cache_open(apr_pool_t *pconf, server_rec *s)
{
    cache.store.get = cache_get;
    cache.store.put = cache_put;
    cache.store.remove = cache_remove;
    if (cache.own || !mtls_stapling_is_open()) {
        if (cache.stapling)
            return mtls_checks_fail(s, mtls_site()->cache_where,
                                    "MTLSCache " STAPLING ": mod_ssl has not opened its cache");
        return open_own(pconf, s);
    }
    cache.used = mtls_stapling_cache();
    apr_pool_cleanup_register(pconf, NULL, let_go, apr_pool_cleanup_null);
    return OK;
}

void mtls_cache_child(apr_pool_t *pchild, server_rec *s)
{
    mtls_stapling_child(pchild, s);
    if (cache.own)
        mtls_socache_child(cache.own, pchild, s);
}
