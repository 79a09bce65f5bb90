/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/stapling_provider.h"

#include <ap_provider.h>
#include <http_log.h>
#include <util_mutex.h>

APLOG_USE_MODULE(mtls_policy);

#define MUTEX_TYPE "mtls-stapling" /* at most 16 characters */

/* What mod_ssl calls its stapling cache; it names other caches of its own, and other modules
 * theirs. */
#define THEIR_NAME "mod_ssl-staple"

struct ap_socache_instance_t {
    mtls_socache_t *behind;
    int open;
};

/* Of the configuration that is being read or in force. mod_ssl keeps its pointer over restarts:
 * once SSLStaplingCache is gone it calls us with an instance that is no more. */
static ap_socache_instance_t *current;

static int is_gone(const ap_socache_instance_t *instance)
{
    return !current || instance != current;
}

static const char *create(ap_socache_instance_t **instance, const char *arg, apr_pool_t *ptemp,
                          apr_pool_t *p)
{
    ap_socache_instance_t *made = apr_pcalloc(p, sizeof(*made));
    const char *error;

    *instance = made;
    if (!arg || !*arg)
        return "\"mtls_policy\" stands before another cache: "
               "mtls_policy:PROVIDER[:ARGS], as in mtls_policy:shmcb:/path(size)";
    error = mtls_socache_create(&made->behind, arg, ptemp, p);
    if (error)
        return apr_pstrcat(p, "mtls_policy: ", error, NULL);
    current = made;
    return NULL;
}

static apr_status_t init(ap_socache_instance_t *instance, const char *namespace,
                         const struct ap_socache_hints *hints, server_rec *s, apr_pool_t *p)
{
    apr_status_t rv;

    (void)hints; /* ours are for records of clients, too */
    if (is_gone(instance))
        return APR_SUCCESS; /* an error would end the server */
    if (strcmp(namespace, THEIR_NAME) != 0) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "mtls_policy: the cache provider \"mtls_policy\" is for SSLStaplingCache, "
                     "not for \"%s\"",
                     namespace);
        return APR_EINVAL;
    }
    rv = mtls_socache_open(instance->behind, MUTEX_TYPE, namespace, s, p);
    instance->open = rv == APR_SUCCESS;
    return rv;
}

static void destroy(ap_socache_instance_t *instance, server_rec *s)
{
    (void)s;
    if (is_gone(instance))
        return;
    instance->open = 0;
    mtls_socache_close(instance->behind);
}

static apr_status_t store(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                          unsigned int idlen, apr_time_t expiry, unsigned char *data,
                          unsigned int datalen, apr_pool_t *p)
{
    (void)s;
    if (is_gone(instance))
        return APR_EGENERAL;
    return mtls_socache_put(instance->behind, mtls_span((const char *)id, idlen),
                            mtls_span((const char *)data, datalen), expiry, p);
}

static apr_status_t retrieve(ap_socache_instance_t *instance, server_rec *s,
                             const unsigned char *id, unsigned int idlen, unsigned char *data,
                             unsigned int *datalen, apr_pool_t *p)
{
    (void)s;
    if (is_gone(instance))
        return APR_NOTFOUND;
    return mtls_socache_get(instance->behind, mtls_span((const char *)id, idlen), data, datalen, p);
}

static apr_status_t drop(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                         unsigned int idlen, apr_pool_t *p)
{
    (void)s;
    if (is_gone(instance))
        return APR_NOTFOUND;
    return mtls_socache_remove(instance->behind, mtls_span((const char *)id, idlen), p);
}

static void status(ap_socache_instance_t *instance, request_rec *r, int flags)
{
    if (!is_gone(instance))
        mtls_socache_status(instance->behind, r, flags);
}

typedef struct walk_t {
    ap_socache_instance_t *instance;
    server_rec *server;
    ap_socache_iterator_t *iterator;
    void *baton;
} walk_t;

static apr_status_t each(void *walk_, mtls_span_t key, mtls_span_t data, apr_pool_t *p)
{
    const walk_t *walk = walk_;

    return walk->iterator(walk->instance, walk->server, walk->baton,
                          (const unsigned char *)key.data, (unsigned int)key.len,
                          (const unsigned char *)data.data, (unsigned int)data.len, p);
}

static apr_status_t iterate(ap_socache_instance_t *instance, server_rec *s, void *baton,
                            ap_socache_iterator_t *iterator, apr_pool_t *p)
{
    walk_t walk = {instance, s, iterator, baton};

    if (is_gone(instance))
        return APR_SUCCESS;
    return mtls_socache_each(instance->behind, each, &walk, p);
}

static const ap_socache_provider_t provider = {
    MTLS_SOCACHE_OURS, 0, create, init, destroy, store, retrieve, drop, status, iterate};

void mtls_stapling_register(apr_pool_t *p)
{
    ap_register_provider(p, AP_SOCACHE_PROVIDER_GROUP, MTLS_SOCACHE_OURS,
                         AP_SOCACHE_PROVIDER_VERSION, &provider);
}

apr_status_t mtls_stapling_begin(apr_pool_t *pconf)
{
    current = NULL;
    return ap_mutex_register(pconf, MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0);
}

mtls_socache_t *mtls_stapling_cache(void)
{
    return current ? current->behind : NULL;
}

int mtls_stapling_is_open(void)
{
    return current && current->open;
}

void mtls_stapling_child(apr_pool_t *pchild, server_rec *s)
{
    if (mtls_stapling_is_open())
        mtls_socache_child(current->behind, pchild, s);
}
