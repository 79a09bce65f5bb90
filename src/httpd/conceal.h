/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A request that goes on although its certificate was not allowed (MTLSMode report, another login,
 * an error page) goes on as nobody's: what httpd and mod_ssl would tell of the certificate by
 * themselves is taken away as well. */

#ifndef MTLS_HTTPD_CONCEAL_H
#define MTLS_HTTPD_CONCEAL_H

#include <ap_expr.h>

#include "httpd/request.h"

/* Before the configuration is read: what mod_headers would pass on is taken away before it runs. */
void mtls_conceal_begin(void);

/* In the access checker, after mod_ssl's and before anybody authenticates: a user's name that is
 * there by now is SSLUserName's, out of the certificate. */
void mtls_conceal_user(request_rec *r);

/* In fixups, after mod_ssl's: SSL_CLIENT_... variables except SSL_CLIENT_VERIFY, FakeBasicAuth's
 * header; in any internal redirect, our own variables of the request it comes from. */
void mtls_conceal_rest(request_rec *r, mtls_request_t *rq);

/* In fixups, for a request no section of ours says anything about: an AJP backend is not to be sent
 * a certificate that nobody has verified. */
void mtls_conceal_unjudged(request_rec *r);

/* Whether mod_ssl's variable of that name tells of the client's certificate and is not to be told
 * to the backend of this request; mod_proxy_ajp asks for one on its own. */
int mtls_conceal_ssl_var(request_rec *r, const mtls_request_t *rq, const char *name);

/* The hook that has %{SSL_CLIENT_...} and %{SSL:...} of expressions ask us first. */
int mtls_conceal_expr_lookup(ap_expr_lookup_parms *parms);

#endif
