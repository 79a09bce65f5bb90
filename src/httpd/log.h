/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Lines of the error log: key=value, every value of a certificate or a client escaped. */

#ifndef MTLS_HTTPD_LOG_H
#define MTLS_HTTPD_LOG_H

#include "httpd/request.h"

/* The one line of a refusal, or of what report mode let pass. */
void mtls_log_refusal(request_rec *r, const mtls_request_t *rq);

/* A backend that was refused, or that report mode let pass (`word`); `authority` is "host:port". */
void mtls_log_backend(request_rec *r, const mtls_backend_verdict_t *verdict, const char *word,
                      mtls_span_t authority);

/* The one line of a request target that is refused: what is wrong with it, and at which byte. */
void mtls_log_target(request_rec *r, const char *target, const char *flaw, apr_size_t at);

/* What MTLSReportPolicy would have refused. */
void mtls_log_report(request_rec *r, const mtls_judged_t *judged);

#endif
