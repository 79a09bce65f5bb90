/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What httpd's children, which run as User and Group, can read of what the parent has read as root.
 */

#ifndef MTLS_HTTPD_READABLE_H
#define MTLS_HTTPD_READABLE_H

#include <apr_tables.h>

/* Those of `paths` (const char *) that the children will not be able to read; none where the server
 * does not change its user, or where that cannot be tried. In post_config only: the whole process
 * acts as that user for a moment. */
apr_array_header_t *mtls_unreadable_by_children(apr_pool_t *p, const apr_array_header_t *paths);

#endif
