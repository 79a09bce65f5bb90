/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* One HTTP exchange with a responder, as libcurl is to do it: its settings, what is checked while
 * it runs, and what came of it. One thread. */

#ifndef MTLS_OCSP_EXCHANGE_H
#define MTLS_OCSP_EXCHANGE_H

#include <curl/curl.h>

#include "ocsp/fetch.h"

/* What all exchanges have in common. */
typedef struct mtls_exchange_model_t {
    const mtls_fetch_rules_t *rules;
    CURL *easy;
    struct curl_slist *get_headers, *post_headers;
} mtls_exchange_model_t;

typedef struct mtls_exchange_t {
    const mtls_exchange_model_t *model;
    apr_pool_t *p;
    const mtls_fetch_t *fetch;
    CURL *easy;
    int post;            /* in: to be asked with POST; out: it is */
    int other_method;    /* the answer was none: the other method is worth a try */
    int looks_up;        /* a name has begun to be looked up */
    int opened;          /* addresses that were contacted */
    const char *refused; /* one that was not to be; NULL: none */
    const char *wrong;   /* why we ended it; NULL: we did not */
    apr_size_t header_bytes;
    char *body;
    apr_size_t len, room;
    char said[CURL_ERROR_SIZE]; /* by libcurl */
} mtls_exchange_t;

/* 0: libcurl cannot do what is needed. */
int mtls_exchange_model_make(mtls_exchange_model_t *model, const mtls_fetch_rules_t *rules);
void mtls_exchange_model_free(mtls_exchange_model_t *model);

/* Why the rules let nobody be contacted for this URL, as far as it says by itself; NULL: they do.
 * In `p`, or static. */
const char *mtls_exchange_forbidden(apr_pool_t *p, const mtls_fetch_rules_t *rules,
                                    const mtls_fetch_t *fetch);

/* Give it to `multi`; mtls_exchange_end() is due even after 0: libcurl could not. */
int mtls_exchange_begin(mtls_exchange_t *x, CURLM *multi, apr_interval_time_t left);
void mtls_exchange_end(mtls_exchange_t *x, CURLM *multi);

/* What is wrong with an exchange that libcurl has finished, in x->p; NULL: x->body is a response,
 * as far as HTTP tells. */
const char *mtls_exchange_fault(mtls_exchange_t *x, CURLcode code);

/* What is waited for, for the log. Static text. */
const char *mtls_exchange_phase(const mtls_exchange_t *x);

/* Text of others, for the log: bounded, printable ASCII. */
const char *mtls_exchange_printable(apr_pool_t *p, const char *text);

#endif
