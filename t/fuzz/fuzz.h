/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What every fuzz target has: the entry point, a pool for one input, and checks that end the
 * process with the place they stand at. */

#ifndef MTLS_FUZZ_H
#define MTLS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#ifdef MTLS_FUZZ_EXACT_POOL
void fuzz_forget(void);
#else
static inline void fuzz_forget(void)
{
}
#endif

static inline apr_pool_t *fuzz_begin(void)
{
    static int ready;
    apr_pool_t *p = NULL;

    if (!ready)
        ready = apr_initialize() == APR_SUCCESS;
    CHECK(apr_pool_create(&p, NULL) == APR_SUCCESS);
    return p;
}

static inline void fuzz_end(apr_pool_t *p)
{
    apr_pool_destroy(p);
    fuzz_forget();
}

#endif
