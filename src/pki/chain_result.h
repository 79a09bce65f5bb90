/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What verifying a chain has found out. */

#ifndef MTLS_PKI_CHAIN_RESULT_H
#define MTLS_PKI_CHAIN_RESULT_H

#include "policy/facts.h"

typedef struct mtls_chain_result_t {
    mtls_reason_t reason;      /* MTLS_OK only for a chain that is good in every respect */
    const char *detail;        /* static text for the log; NULL when good */
    int openssl_error;         /* X509_V_OK exactly when reason is MTLS_OK */
    apr_time_t from;           /* when it was found out */
    apr_time_t valid_until;    /* from then on the answer must be asked anew */
    const mtls_chain_t *chain; /* only when good */
} mtls_chain_result_t;

#endif
