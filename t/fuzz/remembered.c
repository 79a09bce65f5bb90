/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Records of remembered intermediates, as a cache that somebody else wrote would give them. */

#include "fuzz.h"

#include <string.h>

#include <openssl/err.h>

#include "pki/remembered.h"
#include "policy/limits.h"

typedef struct input_t {
    const uint8_t *data;
    size_t size;
} input_t;

static int get(void *baton, mtls_span_t key, unsigned char *data, unsigned int *len)
{
    const input_t *in = baton;

    (void)key;
    if (in->size > *len)
        return 0;
    memcpy(data, in->data, in->size);
    *len = (unsigned int)in->size;
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char leaf[MTLS_DIGEST_BYTES] = {1};
    apr_pool_t *p = fuzz_begin();
    input_t in = {data, size};
    mtls_store_t store = {&in, get, NULL, NULL};
    STACK_OF(X509) *found = mtls_recall(&store, p, leaf);

    CHECK(!found || sk_X509_num(found) <= MTLS_MAX_REMEMBERED_CERTIFICATES);
    CHECK(ERR_peek_error() == 0);
    sk_X509_pop_free(found, X509_free);
    fuzz_end(p);
    return 0;
}
