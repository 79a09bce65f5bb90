/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What a section exports, and to whom it listens. */

#ifndef MTLS_HTTPD_EXPORT_DIRECTIVES_H
#define MTLS_HTTPD_EXPORT_DIRECTIVES_H

#include "httpd/config.h"

/* Setters. */
const char *mtls_set_export(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *mtls_set_export_header(cmd_parms *cmd, void *dir, const char *name, const char *text);
const char *mtls_set_header_limit(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_trusted_proxy(cmd_parms *cmd, void *dir, const char *address);

#endif
