/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* MTLSOCSP and the settings of asking for statuses. */

#ifndef MTLS_HTTPD_OCSP_DIRECTIVES_H
#define MTLS_HTTPD_OCSP_DIRECTIVES_H

#include "httpd/config.h"

/* What is used where a server says nothing; seconds. */
#define MTLS_DEFAULT_OCSP_TIMEOUT 3
#define MTLS_DEFAULT_OCSP_WAIT    2
#define MTLS_DEFAULT_OCSP_MAX_AGE 3600
#define MTLS_DEFAULT_OCSP_STALE   0
#define MTLS_DEFAULT_OCSP_SKEW    300

/* The arguments of MTLSOCSP. NULL or what is wrong. */
const char *mtls_ocsp_demand_parse(apr_pool_t *p, const char *directive, const char *args,
                                   mtls_ocsp_demand_t *demand);

/* The address of a responder: NULL or what is wrong, in `p`. */
const char *mtls_ocsp_check_url(apr_pool_t *p, const char *url);

/* Setters. */
const char *mtls_set_ocsp(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_ocsp_seconds(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_ocsp_nonce(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_ocsp_allow(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_ocsp_proxy(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_ocsp_responses(cmd_parms *cmd, void *dir, const char *value);

/* check_config: what is configured must be allowed to be asked. */
int mtls_ocsp_check(apr_pool_t *ptemp, server_rec *main_server);

#endif
