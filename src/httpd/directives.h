/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The table of directives. */

#ifndef MTLS_HTTPD_DIRECTIVES_H
#define MTLS_HTTPD_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

extern const command_rec mtls_directives[];

#endif
