/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What only the whole configuration can show. */

#ifndef MTLS_HTTPD_CHECKS_H
#define MTLS_HTTPD_CHECKS_H

#include "httpd/config.h"

/* check_config, so that `httpd -t` sees it too: resolve names, refuse what cannot mean anything.
 * OK, or an error that was logged. */
int mtls_checks_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server);

/* Parts of both: log what is wrong and return an error; whether a section is the server's or one it
 * inherits; whether what is trusted is the same on every server; the warnings of parsing, to the
 * console for `httpd -t` (NULL), where no log is open. */
int mtls_checks_fail(server_rec *s, const char *where, const char *what);
int mtls_checks_applies(const mtls_section_t *section, const server_rec *s,
                        const server_rec *main_server);
int mtls_checks_names_no_vhost(const mtls_trust_t *trust);
void mtls_checks_say_warnings(server_rec *s);

/* Whether some policy of the server may be judged by the CAs mod_ssl has loaded for it. */
int mtls_checks_believes_vhost(const server_rec *s);

/* The stores (const mtls_trust_handle_t *) that policies of the server, and of the main server that
 * it inherits, name. */
apr_array_header_t *mtls_checks_stores(apr_pool_t *p, const server_rec *s);

/* post_config, after mod_ssl's: what only mod_ssl's set-up can show, and the warnings. */
int mtls_checks_start(server_rec *main_server);

#endif
