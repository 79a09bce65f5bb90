/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What is known of the responders themselves, by issuer and URL: which CertIDs they understand, and
 * whether they are to be left alone for a while. Bounded: who was not asked for longest is
 * forgotten. All times are ticks of a clock that nobody sets. One thread. */

#ifndef MTLS_OCSP_RESPONDERS_H
#define MTLS_OCSP_RESPONDERS_H

#include <stddef.h> /* as in ocsp/jobs.h */

#include "pki/ocsp_message.h"

typedef struct mtls_responders_t mtls_responders_t;
typedef struct mtls_responder_t mtls_responder_t;

mtls_responders_t *mtls_responders_make(apr_pool_t *p);

/* Valid until the next call, or between mtls_responder_begin() and mtls_responder_end(). NULL: out
 * of memory. */
mtls_responder_t *mtls_responders_get(mtls_responders_t *responders, const char *url);

/* Whether it is to be left alone: it failed twice in a row a moment ago, or somebody is just
 * finding out whether it is back. */
int mtls_responder_is_down(const mtls_responder_t *responder, apr_time_t now);

/* An exchange with it begins; and ends. */
typedef enum mtls_responder_news_t {
    MTLS_RESPONDER_NO_NEWS = 0,
    MTLS_RESPONDER_FAILS,  /* it did not before; told once a minute at most */
    MTLS_RESPONDER_IS_BACK /* the first answer after that was told */
} mtls_responder_news_t;

typedef enum mtls_responder_end_t {
    MTLS_RESPONDER_NOT_REACHED = 0,
    MTLS_RESPONDER_ANSWERED, /* whatever the answer proves */
    MTLS_RESPONDER_NOT_ASKED /* nobody was contacted, or it is asked once more at once */
} mtls_responder_end_t;

void mtls_responder_begin(mtls_responder_t *responder);
mtls_responder_news_t mtls_responder_end(mtls_responder_t *responder, apr_time_t begun,
                                         mtls_responder_end_t how, apr_time_t now);

/* The CertID to begin with. `known`: an answer has proved that it is understood. */
mtls_ocsp_hash_t mtls_responder_hash(const mtls_responder_t *responder, apr_time_t now, int *known);
void mtls_responder_learn(mtls_responder_t *responder, mtls_ocsp_hash_t hash, apr_time_t now);

/* Whether a warning about its answers is due: one a minute. */
int mtls_responder_warn(mtls_responder_t *responder, apr_time_t now);

#endif
