/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* MTLSStrictPath: 400 for request targets that httpd and a backend may read differently. The hooks
 * come in the order of the phases; each later one sees more of what is proxied, and nothing reaches
 * a backend without the last. */

#ifndef MTLS_HTTPD_STRICT_PATH_H
#define MTLS_HTTPD_STRICT_PATH_H

#include "httpd/config.h"

/* After the configuration was read and names of policies are resolved: what holds on a server that
 * says nothing. */
void mtls_strict_path_prepare(server_rec *main_server);

/* On and params: every request, before httpd decodes its path. */
int mtls_strict_path_pre_translate_name(request_rec *r);

/* What ProxyPass or a server's RewriteRule sends to a backend, before anybody looks at a
 * certificate. */
int mtls_strict_path_map_to_storage(request_rec *r);

/* Whatever else is about to be sent to one: a directory's RewriteRule, SetHandler. */
int mtls_strict_path_handler(request_rec *r);

#endif
