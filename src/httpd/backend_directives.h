/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Setters of the directives about backends. */

#ifndef MTLS_HTTPD_BACKEND_DIRECTIVES_H
#define MTLS_HTTPD_BACKEND_DIRECTIVES_H

#include "httpd/config.h"

/* What the section a directive is in says of backends, made when it is the first to do so. */
mtls_backend_section_t *mtls_backend_section_of(cmd_parms *cmd, void *dir);

/* Before anything else of such a directive: whether it may stand here. NULL or what is wrong. */
const char *mtls_backend_begin(cmd_parms *cmd);

const char *mtls_set_backend_trust(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *mtls_set_backend_ocsp(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_backend_sni(cmd_parms *cmd, void *dir, const char *name);
const char *mtls_set_backend_mode(cmd_parms *cmd, void *dir, const char *value);

#endif
