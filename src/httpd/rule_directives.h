/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* MTLSRequire, its groups, and <MTLSPolicy>. */

#ifndef MTLS_HTTPD_RULE_DIRECTIVES_H
#define MTLS_HTTPD_RULE_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

const char *mtls_set_require(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_backend_require(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_require_any(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_require_all(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_policy(cmd_parms *cmd, void *dir, const char *args);

#endif
