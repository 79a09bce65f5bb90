/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The hooks of a request, in the order of its way through httpd. */

#ifndef MTLS_HTTPD_ACCESS_H
#define MTLS_HTTPD_ACCESS_H

#include "httpd/request.h"

int mtls_access_post_read_request(request_rec *r);
int mtls_access_translate_name(request_rec *r);
int mtls_access_checker(request_rec *r);
int mtls_access_fixups_first(request_rec *r);
int mtls_access_fixups_last(request_rec *r);
int mtls_access_proxy_fixups(request_rec *r);
void mtls_access_insert_error_filter(request_rec *r);
int mtls_access_log_transaction(request_rec *r);

/* Judge the request under its location's policies unless that was done; never NULL. Used by the
 * authorization providers, which may run first. */
mtls_request_t *mtls_access_judge(request_rec *r);

/* Let a judgement's identity be the request's. 0: it names nobody, or
 * several, where the location asks for one name. */
int mtls_access_grant(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged);

/* What this location's policies said, and MTLSUser with them; MTLS_OK only under a policy. */
mtls_reason_t mtls_access_reason(const mtls_request_t *rq);

/* Require mtls or mtls-policy has been evaluated. */
void mtls_access_consulted(request_rec *r);

/* Let a location without policies of its own have the verdict of a required one. */
void mtls_access_describe(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged);

/* Refuse a request that was granted: its variables, its one log line, its connection where that
 * must not go on. Returns the status to answer with. */
int mtls_access_refuse(request_rec *r, mtls_request_t *rq, mtls_reason_t reason);

#endif
