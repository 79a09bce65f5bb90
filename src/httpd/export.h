/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The identity of an allowed request, handed on: variables, headers, the user's name. */

#ifndef MTLS_HTTPD_EXPORT_H
#define MTLS_HTTPD_EXPORT_H

#include "httpd/request.h"

/* Make the request's MTLS_* variables exactly what a state says - its own, or that of the refused
 * request it stands for - whoever else set some. */
void mtls_export_variables(request_rec *r, const mtls_request_t *told);

/* Set the headers of an allowed request; remove ours from a sub-request that got its parent's.
 * Returns OK or the status to answer with. */
int mtls_export_headers(request_rec *r, const mtls_request_t *rq);

/* Give an AJP backend the variables: it gets those whose names start with AJP_, without that. */
void mtls_export_ajp(request_rec *r, const mtls_request_t *rq);

/* ssl_var_lookup: a proxied request under policy whose identity is not exported has no client
 * certificate to show either. mod_proxy_ajp would send it unasked. NULL: not ours to answer. */
const char *mtls_export_ssl_var(apr_pool_t *p, server_rec *s, conn_rec *c, request_rec *r,
                                const char *name);

/* Keep trailers that are merged into the headers (MergeTrailers) from bringing our names back. */
void mtls_export_guard_trailers(request_rec *r);

/* Register the input filter of mtls_export_guard_trailers(). */
void mtls_export_register(void);

#endif
