/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What only the whole configuration can show. */

#ifndef MTLS_HTTPD_CHECKS_H
#define MTLS_HTTPD_CHECKS_H

#include "httpd/config.h"

/* check_config, so that `httpd -t` sees it too: resolve names, refuse what cannot mean anything.
 * OK, or an error that was logged. */
int mtls_checks_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server);

/* Whether some policy of the server may be judged by the CAs mod_ssl has loaded for it. */
int mtls_checks_believes_vhost(const server_rec *s);

/* post_config, after mod_ssl's: what only mod_ssl's set-up can show, and the warnings. */
int mtls_checks_start(server_rec *main_server);

#endif
