/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* httpd expressions: the function %{mtls:ATTRIBUTE}, and the `expr` rules that may use it. */

#ifndef MTLS_HTTPD_EXPR_H
#define MTLS_HTTPD_EXPR_H

#include <ap_expr.h>

#include "httpd/config.h"

typedef struct mtls_expr_baton_t {
    request_rec *r;
    const mtls_evidence_t *evidence;
} mtls_expr_baton_t;

/* The hook that makes %{mtls:ATTRIBUTE} known to httpd. */
int mtls_expr_lookup(ap_expr_lookup_parms *parms);

/* mtls_expr_fn for rules; `baton` is an mtls_expr_baton_t. */
int mtls_expr_eval_rule(void *baton, const void *expr);

/* Evaluate a string expression for an allowed request; *absent tells that %{mtls:...} in it had no
 * value. NULL after an error. */
const char *mtls_expr_eval_text(request_rec *r, const ap_expr_info_t *expr, int *absent);

/* `text` cut into literals and %{mtls:...} that depend on nothing but the identity, or NULL when it
 * holds anything else. In `p`. */
apr_array_header_t *mtls_expr_pieces(apr_pool_t *p, const char *text);

#endif
