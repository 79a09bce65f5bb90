/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The names of CAs a certificate request carries (MTLSAdvertiseCAs). */

#ifndef MTLS_HTTPD_ADVERTISE_H
#define MTLS_HTTPD_ADVERTISE_H

#include <openssl/ssl.h>

#include "httpd/config.h"

/* Have the SSL_CTX of a server ask with the names of the CAs in the stores its policies believe,
 * beside those mod_ssl has put there. OK, or an error that was logged. */
int mtls_advertise_init(server_rec *s, apr_pool_t *p, SSL_CTX *ctx);

#endif
