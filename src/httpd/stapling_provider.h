/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A socache provider, "mtls_policy", that stands before another one: with `SSLStaplingCache
 * mtls_policy:PROVIDER[:ARGS]` mod_ssl's stapling cache runs through this module, which so can use
 * it too. It says that it needs no mutex, and locks inside: mod_ssl's would cover its own calls
 * only. */

#ifndef MTLS_HTTPD_STAPLING_PROVIDER_H
#define MTLS_HTTPD_STAPLING_PROVIDER_H

#include "httpd/socache.h"

/* While the module is loaded. */
void mtls_stapling_register(apr_pool_t *p);

/* pre_config: names the mutex, and forgets what an earlier configuration had. */
apr_status_t mtls_stapling_begin(apr_pool_t *pconf);

/* What stands behind SSLStaplingCache; NULL: none of ours. Opened by mod_ssl in its post_config. */
mtls_socache_t *mtls_stapling_cache(void);

/* Whether mod_ssl has opened it. */
int mtls_stapling_is_open(void);

/* In each process that uses it. */
void mtls_stapling_child(apr_pool_t *pchild, server_rec *s);

#endif
