/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A few threads of a process that do what may take for ever, so that whoever wants it done can walk
 * away: httpd's modules for caches on the network wait without a limit for one that accepts
 * connections and says nothing. */

#ifndef MTLS_HTTPD_COURIER_H
#define MTLS_HTTPD_COURIER_H

#include <pthread.h>

#include <apr_pools.h>
#include <apr_time.h>

typedef struct mtls_courier_t mtls_courier_t;

/* The head of an errand, which is one block of malloc(). */
typedef struct mtls_errand_t {
    void (*work)(struct mtls_errand_t *job); /* by one of the threads */
    /* The courier's. */
    struct mtls_errand_t *next;
    pthread_cond_t done;
    int state;
} mtls_errand_t;

/* In the process that is to use it, after the last fork. NULL: it cannot be. Threads are made when
 * they are needed; they end with `p`, but for those that are held up then. */
mtls_courier_t *mtls_courier_make(apr_pool_t *p);

/* Have an errand done. 1: it is; the caller frees it. 0: it was not done in time, and is no longer
 * the caller's. Any thread. */
int mtls_courier_run(mtls_courier_t *courier, mtls_errand_t *job, apr_interval_time_t within);

#endif
