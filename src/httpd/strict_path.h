/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* MTLSStrictPath: 400 for request targets that httpd and a backend may read differently. */

#ifndef MTLS_HTTPD_STRICT_PATH_H
#define MTLS_HTTPD_STRICT_PATH_H

#include "httpd/config.h"

/* After the configuration was read and names of policies are resolved: what holds on a server that
 * says nothing. */
void mtls_strict_path_prepare(server_rec *main_server);

/* Before the configuration is read: nothing reaches a backend unjudged from now on. */
void mtls_strict_path_begin(void);

/* The directive. */
const char *mtls_set_strict_path(cmd_parms *cmd, void *dir, const char *value);

#endif
