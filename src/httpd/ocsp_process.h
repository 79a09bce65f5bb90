/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The one process of a server that asks responders, for all its children: nobody asks twice, a
 * child that is killed loses nothing, and a child of prefork keeps its single thread. The parent
 * starts it, and starts it again when it dies; it ends when nobody is left who could ask. */

#ifndef MTLS_HTTPD_OCSP_PROCESS_H
#define MTLS_HTTPD_OCSP_PROCESS_H

#include <httpd.h>

#include "policy/span.h"

/* post_config, where some MTLSOCSP asks for statuses. OK, or an error that was logged. */
int mtls_ocsp_process_start(apr_pool_t *pconf, server_rec *s);

/* A child begins: what only the process needs is closed. */
void mtls_ocsp_process_child(void);

/* Send an ask (ocsp/ask.h); `fd` (-1: none) goes with it, for the answer. Waits at most
 * `milliseconds` for room. 0: it was not sent. Any thread. */
int mtls_ocsp_process_send(mtls_span_t ask, int fd, int milliseconds);

/* The folder where proven revocations are kept; NULL: there is none. */
const char *mtls_ocsp_process_revocations(void);

/* Memory that all children share, for mtls_proofs_make(); NULL: there is none. */
void *mtls_ocsp_process_proofs(void);

/* What was looked for before this moment may have a newer status by now; 0: none. */
apr_time_t mtls_ocsp_process_recheck_from(void);

#endif
