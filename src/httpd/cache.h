/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The cache that all children share (MTLSCache): one of httpd's shared object caches, or mod_ssl's
 * stapling cache, behind the store interface of the lower layers. */

#ifndef MTLS_HTTPD_CACHE_H
#define MTLS_HTTPD_CACHE_H

#include <httpd.h>
#include <http_config.h>

#include "pki/store.h"

/* NULL: there is none, and nothing is remembered. Not for the parent process, whose connections to
 * a cache on the network all children would share. */
const mtls_store_t *mtls_cache(void);

/* pre_config: name the mutex, so that the Mutex directive knows it. */
apr_status_t mtls_cache_register(apr_pool_t *pconf);

/* "stapling" or "PROVIDER[:ARGS]"; NULL or what is wrong. While the configuration is read. */
const char *mtls_cache_configure(cmd_parms *cmd, const char *text);

/* check_config: OK, or an error that was logged. */
int mtls_cache_check(server_rec *s);

/* post_config, after mod_ssl's; and in each process that uses it. */
int mtls_cache_open(apr_pool_t *pconf, server_rec *s);
void mtls_cache_child(apr_pool_t *pchild, server_rec *s);

#endif
