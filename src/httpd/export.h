/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The identity of an allowed request, handed on: variables, headers, the user's name. */

#ifndef MTLS_HTTPD_EXPORT_H
#define MTLS_HTTPD_EXPORT_H

#include "httpd/request.h"

/* Make the variables of a request with state `rq` exactly what `told` says - the same state, or
 * that of the refused request it stands for - whoever else set some. */
void mtls_export_variables(request_rec *r, mtls_request_t *rq, const mtls_request_t *told);

/* Set the headers of an allowed request, and remove whatever else stands under our names in a
 * request with a verdict or a sub-request. Returns OK or the status to answer with. */
int mtls_export_headers(request_rec *r, mtls_request_t *rq);

/* Whether all that was set arrives whole where mod_proxy would leave out parts without a word:
 * DECLINED, or the status to answer with. */
int mtls_export_fits(request_rec *r, const mtls_request_t *rq);

/* Keep an incoming X-Forwarded-Client-Cert that may be appended to, before it is removed. */
void mtls_export_keep_incoming(request_rec *r);

/* Of a proxied request: give an AJP backend the variables where they are exported: it gets those
 * whose names start with AJP_, without that. */
void mtls_export_ajp(request_rec *r, const mtls_request_t *rq);

/* ssl_var_lookup: what is concealed (httpd/conceal.h), and SSL_CLIENT_VERIFY is true on a
 * connection that defers. NULL: not ours to answer. */
const char *mtls_export_ssl_var(apr_pool_t *p, server_rec *s, conn_rec *c, request_rec *r,
                                const char *name);

/* After the configuration was read: whether trailers are a matter at all. */
void mtls_export_prepare(const server_rec *main_server);

/* Keep trailers that are merged into the headers (MergeTrailers) from bringing our names back. */
void mtls_export_guard_trailers(request_rec *r);

/* The same for trailers of a body that was read early, for renegotiation or a login form. */
void mtls_export_strip_trailers(request_rec *r);

/* Register the input filter of mtls_export_guard_trailers(). */
void mtls_export_register(void);

#endif
