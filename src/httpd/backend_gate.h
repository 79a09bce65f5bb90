/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The gate on every connection to a backend: nothing of a request passes until the certificate on
 * the other end was judged by what applies to this very request. */

#ifndef MTLS_HTTPD_BACKEND_GATE_H
#define MTLS_HTTPD_BACKEND_GATE_H

#include <mod_ssl_openssl.h>

#include "httpd/config.h"

/* Register the filters, once for a process. */
void mtls_backend_gate_register(void);

/* mod_proxy takes a connection for a request, gives it back, or makes a new one. Before mod_ssl's.
 */
int mtls_backend_bind(conn_rec *c, ap_conf_vector_t *dir_conf, int tls);

/* mod_ssl's hooks of connections to backends. */
int mtls_backend_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy);
int mtls_backend_post_handshake(conn_rec *c, SSL *ssl);

#endif
