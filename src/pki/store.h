/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A cache that processes share, as the lower layers see it. What it returns is proof of nothing. */

#ifndef MTLS_PKI_STORE_H
#define MTLS_PKI_STORE_H

#include <apr_time.h>

#include "policy/span.h"

/* Every function may be called by any thread. */
typedef struct mtls_store_t {
    void *baton;
    /* Fill `data` with at most *len bytes; *len gets how many there are. 0: no such entry, or it
     * is longer. */
    int (*get)(void *baton, mtls_span_t key, unsigned char *data, unsigned int *len);
    /* 0: the cache did not take it. */
    int (*put)(void *baton, mtls_span_t key, mtls_span_t data, apr_time_t expires);
    void (*remove)(void *baton, mtls_span_t key);
} mtls_store_t;

#endif
