/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A queue with a world around it for unit tests: responders, a folder, two clocks and a cache in
 * memory. It takes the place of ocsp/fetch and ocsp/folder. One at a time. */

#ifndef MTLS_UNIT_DESK_H
#define MTLS_UNIT_DESK_H

#include "cache.h"
#include "ocsp.h"
#include "ocsp/queue.h"
#include "suite.h"

#define SECOND  apr_time_from_sec(1)
#define HOUR    (3600 * SECOND)
#define DAY     (24 * HOUR)
#define URL     "http://ocsp.example/"
#define URL2    "http://second.example/"
#define OUTSIDE "http://not-allowed.example/"
#define MAX_AGE HOUR
#define TIMEOUT (3 * SECOND)

/* An exchange that was begun. */
typedef struct exchange_t {
    mtls_fetch_t fetch;
    mtls_ocsp_hash_t hash; /* of the CertID in the request */
    mtls_span_t nonce;     /* empty: none */
    int under_way;
} exchange_t;

typedef struct answered_t {
    void *waiter;
    mtls_answer_t answer; /* a copy */
} answered_t;

typedef struct desk_t {
    apr_pool_t *p;
    apr_time_t now, ticks;
    cache_t cache;
    mtls_queue_env_t env;
    mtls_fetch_rules_t rules;
    mtls_queue_t *queue;
    /* Answers an exchange at once, from within its start, when it returns 1. NULL: it stays under
     * way. */
    int (*reply)(const exchange_t *exchange);
    apr_array_header_t *exchanges; /* exchange_t: all that were ever begun */
    int under_way, most_under_way;
    apr_array_header_t *answers; /* answered_t */
    apr_array_header_t *folder;  /* mtls_span_t: what every look finds there; NULL: no folder */
    int changed;
    int warnings, infos, details; /* lines of the log by level */
    char last_warning[1024], last_info[1024];
    issuer_t ca, other_ca;
} desk_t;

extern desk_t desk;

/* Begin anew, in the pool of the case. `store` 0: without a cache. */
void desk_open(int store);
/* The queue anew, as after a restart; the rest of the world stays. */
void desk_restart(void);
/* Time passes; or somebody sets the wall clock. */
void desk_pass(apr_interval_time_t time);
void desk_set_clock(apr_time_t now);

/* An ask for the certificate with this serial (hex) of `desk.ca`, at URL, with nobody waiting. */
mtls_ask_t desk_ask_of(const char *serial);
void desk_add_url(mtls_ask_t *ask, const char *url);

/* Ask, with a waiter of that number above 0; 0: nobody waits. */
void desk_ask(const mtls_ask_t *ask, int waiter);

/* The answer a waiter has got, which is the only one he has; NULL: none yet. */
const mtls_answer_t *desk_answer(int waiter);

/* Ask with a waiter of one's own, who gets his answer at once or before long: what he got. */
const mtls_answer_t *desk_get(const mtls_ask_t *ask);

/* The latest exchange that is under way; its end. */
exchange_t *desk_exchange(void);
void desk_end(exchange_t *exchange, mtls_fetch_outcome_t outcome, mtls_span_t body,
              const char *error);
void desk_end_with(mtls_span_t body);
void desk_end_failed(void);

/* A response of the CA about a serial. thisUpdate lies `age` back from desk.now, nextUpdate a day
 * after thisUpdate. */
mtls_span_t desk_response(const char *serial, int status, apr_interval_time_t age);
mtls_span_t desk_response_to(const exchange_t *exchange, const char *serial, int status,
                             apr_interval_time_t age);

/* Assertions. */
void assert_answer(const mtls_answer_t *answer, mtls_answer_kind_t kind, mtls_span_t response);
void assert_exchanges(int count);

#endif
