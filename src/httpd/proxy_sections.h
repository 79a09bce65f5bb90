/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* <Proxy> sections, found by the URL that is really contacted. */

#ifndef MTLS_HTTPD_PROXY_SECTIONS_H
#define MTLS_HTTPD_PROXY_SECTIONS_H

#include "httpd/config.h"

/* The <Proxy> section a directive stands in, as it is written, if mod_proxy never finds it: its URL
 * has an IPv6 address, whose brackets are a pattern there. NULL: there is no such section. */
const char *mtls_proxy_sections_lost(const cmd_parms *cmd);

/* post_config: which sections say something of backends, and which have directives of mod_ssl. */
void mtls_proxy_sections_prepare(apr_pool_t *pconf, server_rec *main_server);

/* Early in fixups: by which URL mod_proxy itself has looked for sections. */
int mtls_proxy_sections_fixups(request_rec *r);

/* `dir` and what sections about `url` add to it; in r->pool. */
const mtls_dir_t *mtls_proxy_sections_add(request_rec *r, const mtls_dir_t *dir, const char *url);

/* A bit for each section by which mod_ssl is set up for the request's connections; in r->pool. */
mtls_span_t mtls_proxy_sections_tls(const request_rec *r);

#endif
