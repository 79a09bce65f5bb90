/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Answers and caches: what a policy has let through is kept from mod_cache, and no cache behind us
 * is told that an answer varies by a header that no client can send (RFC 9440 2.4). */

#ifndef MTLS_HTTPD_CACHING_H
#define MTLS_HTTPD_CACHING_H

#include "httpd/request.h"

/* Register the filters. */
void mtls_caching_register(void);

/* Before the configuration is read; and when a directive exports a header: what this needs of
 * hooks.
 */
void mtls_caching_begin(void);
void mtls_caching_exports(void);

/* A sub-request was judged, allowed or refused: what its main request answers is for this client
 * alone. */
void mtls_caching_sub_judged(request_rec *r);

#endif
