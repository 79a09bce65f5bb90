/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Directives of other modules, looked up in httpd's tree of the configuration: some of their
 * settings can be had nowhere else. */

#ifndef MTLS_HTTPD_CONFTREE_H
#define MTLS_HTTPD_CONFTREE_H

#include <httpd.h>

/* The arguments of the directive that is in force at the top level of a server (its own, else the
 * main server's); NULL when it is not there. */
const char *mtls_conftree_setting(const server_rec *s, const char *directive);

/* Whether a section of the server (or of the main server, whose sections all inherit) holds the
 * directive with arguments other than `except` (NULL: any). Top levels count too. */
int mtls_conftree_somewhere(const server_rec *s, const char *directive, const char *except);

/* The same without the top levels. */
int mtls_conftree_in_sections(const server_rec *s, const char *directive, const char *except);

/* Whether the directive stands anywhere with a text, in upper or lower case, in its arguments. From
 * pre_config on. */
int mtls_conftree_mentions(const char *directive, const char *text);

/* "file:line" of the first `Require not mtls...`, of one inside <RequireNone>, or of an
 * <AuthzProviderAlias> for one; NULL: none. */
const char *mtls_conftree_negated_require(apr_pool_t *p);

#endif
