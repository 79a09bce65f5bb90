/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* An OCSPResponse read strictly (RFC 6960 4.2.1): what is ambiguous, badly encoded or not
 * understood refuses the response as a whole. Whether anybody may have signed it is asked in
 * ocsp_signer. Any thread; what goes wrong is left in OpenSSL's queue of errors. */

#ifndef MTLS_PKI_OCSP_RESPONSE_H
#define MTLS_PKI_OCSP_RESPONSE_H

#include <apr_time.h>
#include <openssl/ocsp.h>

#include "pki/ocsp_message.h"
#include "policy/span.h"

/* One SingleResponse. */
typedef struct mtls_ocsp_statement_t {
    const OCSP_CERTID *certid; /* the response's */
    mtls_status_t status;
    apr_time_t this_update;
    apr_time_t next_update; /* 0: none */
} mtls_ocsp_statement_t;

/* A response, or its responseStatus in `detail` with MTLS_OCSP_NOT_ANSWERED, or what is wrong with
 * it and MTLS_OCSP_NOT_PROVED (both static text). MTLS_OCSP_PROVED proves no more here than that
 * *basic can be read: free it with OCSP_BASICRESP_free(). */
mtls_ocsp_outcome_t mtls_ocsp_response_open(mtls_span_t der, OCSP_BASICRESP **basic,
                                            const char **detail);

/* NULL, or what is wrong with the response's own extensions and producedAt. */
const char *mtls_ocsp_response_read(OCSP_BASICRESP *basic, apr_time_t *produced_at);

/* NULL, or what is wrong with statement `i`. */
const char *mtls_ocsp_response_statement(OCSP_BASICRESP *basic, int i,
                                         mtls_ocsp_statement_t *statement);

/* Hold the response's nonce (RFC 9654) against the one that was sent. NULL or what is wrong. */
const char *mtls_ocsp_response_nonce(OCSP_BASICRESP *basic, mtls_span_t sent, int needed);

#endif
