/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Single entries of one of httpd's shared object caches: directly, or through a courier, so that a
 * cache on the network that is mute holds nobody up. */

#ifndef MTLS_HTTPD_SOCACHE_ENTRY_H
#define MTLS_HTTPD_SOCACHE_ENTRY_H

#include <httpd.h>
#include <ap_socache.h>

#include "httpd/courier.h"
#include "policy/span.h"

typedef struct mtls_entries_t {
    ap_socache_provider_t *provider;
    ap_socache_instance_t *instance;
    server_rec *server;
    mtls_courier_t *courier; /* NULL: none is needed */
} mtls_entries_t;

/* As the provider's own functions; APR_TIMEUP: it has not answered in time, and may yet do what it
 * was asked. The caller holds the lock, where the provider needs one. */
apr_status_t mtls_entry_get(const mtls_entries_t *entries, mtls_span_t key, unsigned char *data,
                            unsigned int *len, apr_pool_t *p);
apr_status_t mtls_entry_put(const mtls_entries_t *entries, mtls_span_t key, mtls_span_t data,
                            apr_time_t expires, apr_pool_t *p);
apr_status_t mtls_entry_remove(const mtls_entries_t *entries, mtls_span_t key, apr_pool_t *p);

#endif
