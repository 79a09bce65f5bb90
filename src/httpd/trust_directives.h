/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Setters of the directives that say whom to trust. */

#ifndef MTLS_HTTPD_TRUST_DIRECTIVES_H
#define MTLS_HTTPD_TRUST_DIRECTIVES_H

#include "httpd/config.h"

const char *mtls_set_trust_store(cmd_parms *cmd, void *dir, const char *args);
const char *mtls_set_trust(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *mtls_set_responder(cmd_parms *cmd, void *dir, const char *url, const char *override);
const char *mtls_set_responder_certificates(cmd_parms *cmd, void *dir, int argc,
                                            char *const argv[]);
const char *mtls_set_trust_domain(cmd_parms *cmd, void *dir, const char *value);
const char *mtls_set_reload_interval(cmd_parms *cmd, void *dir, const char *value);

/* For what means something inside <MTLSTrustStore> only. */
const char *mtls_set_outside_store(cmd_parms *cmd, void *dir, const char *args);

/* The MTLSTrust line of a <MTLSPolicy>; its names are resolved with all others. */
const char *mtls_trust_parse(cmd_parms *cmd, const ap_directive_t *directive, const char *args,
                             const mtls_trust_t **trust);

/* The stores the directive names; resolved with all others. NULL or what is wrong. */
const char *mtls_trust_of(cmd_parms *cmd, int argc, char *const argv[], const mtls_trust_t **trust);

/* Whether `name` can be that of a store or policy; else what is wrong with it. */
const char *mtls_check_name(apr_pool_t *p, const char *directive, const char *name);

/* The one name of a section's opening line: `NAME>`. NULL or what is wrong. */
const char *mtls_section_name(cmd_parms *cmd, const char *args, const char **name);

#endif
