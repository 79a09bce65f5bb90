/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Require mtls, Require mtls-policy, AuthType MTLS. */

#ifndef MTLS_HTTPD_AUTHZ_H
#define MTLS_HTTPD_AUTHZ_H

#include <httpd.h>

void mtls_authz_register(apr_pool_t *p);

/* check_user_id of AuthType MTLS. */
int mtls_authz_check_user_id(request_rec *r);

#endif
