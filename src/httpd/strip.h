/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Names of headers that only this server may send to a backend: removed from every request before
 * anything else sees it. Names are compared as CGI does: case ignored, every non-alphanumeric
 * equal. */

#ifndef MTLS_HTTPD_STRIP_H
#define MTLS_HTTPD_STRIP_H

#include <httpd.h>
#include <apr_tables.h>

/* NULL when `name` may be exported and stripped, else why not, in `p`. */
const char *mtls_strip_check_name(apr_pool_t *p, const char *name);

int mtls_strip_same_name(const char *a, const char *b);

/* Make the table of names ready; after the configuration was read. */
void mtls_strip_prepare(apr_pool_t *pconf, const apr_array_header_t *names);

/* Whether clients may not send a header of that name, spelt as CGI cannot tell from ours. */
int mtls_strip_is_ours(const char *name);

/* Remove our names from the request's headers, and from `Connection`, where they would make the
 * proxy drop what we set ourselves. */
void mtls_strip_request(request_rec *r);

/* Remove our names from a table of headers. */
void mtls_strip_table(apr_table_t *headers);

#endif
