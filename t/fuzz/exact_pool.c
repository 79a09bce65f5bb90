/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The functions exact_pool.h puts in the place of APR's; freed when an input is done. */

#include <stdlib.h>
#include <string.h>

#include <apr_pools.h>
#include <apr_strings.h>

#include "fuzz.h"

static void **taken;
static size_t count, room;

void *exact_palloc(apr_pool_t *p, apr_size_t size)
{
    (void)p;
    if (count == room) {
        room = room ? 2 * room : 1024;
        taken = realloc(taken, room * sizeof(*taken));
        CHECK(taken);
    }
    taken[count] = malloc(size);
    CHECK(taken[count]);
    return taken[count++];
}

void *exact_pmemdup(apr_pool_t *p, const void *m, apr_size_t n)
{
    return memcpy(exact_palloc(p, n), m, n);
}

char *exact_pstrmemdup(apr_pool_t *p, const char *s, apr_size_t n)
{
    char *out = exact_palloc(p, n + 1);

    memcpy(out, s, n);
    out[n] = '\0';
    return out;
}

char *exact_pstrdup(apr_pool_t *p, const char *s)
{
    return s ? exact_pstrmemdup(p, s, strlen(s)) : NULL;
}

void fuzz_forget(void)
{
    while (count > 0)
        free(taken[--count]);
}
