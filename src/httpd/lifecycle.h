/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* From the first look at the configuration to a running child. */

#ifndef MTLS_HTTPD_LIFECYCLE_H
#define MTLS_HTTPD_LIFECYCLE_H

#include <httpd.h>

int mtls_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);
int mtls_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
int mtls_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
void mtls_child_init(apr_pool_t *pchild, server_rec *s);

#endif
