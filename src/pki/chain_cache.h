/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Results of chains that were verified already, of one version of a trust store and for all threads
 * of a child. Bounded: an issuer's certificates have some of the places only, which a few others
 * may share, and one that was refused never has the place of a good one. */

#ifndef MTLS_PKI_CHAIN_CACHE_H
#define MTLS_PKI_CHAIN_CACHE_H

#include <apr_pools.h>

#include "pki/chain_result.h"

typedef struct mtls_chain_cache_t mtls_chain_cache_t;

/* What a result depends on beside the store and the time. */
typedef struct mtls_chain_key_t {
    unsigned char sha256[MTLS_DIGEST_BYTES]; /* over the leaf, the purpose and all helpers */
    unsigned long issuer;                    /* a hash of the leaf's issuer name */
} mtls_chain_key_t;

/* Lives in `p`. NULL: out of memory. */
mtls_chain_cache_t *mtls_chain_cache_make(apr_pool_t *p);

/* 1 and a result that holds at `now`, its chain in `p`; 0: there is none. Any thread. */
int mtls_chain_cache_get(mtls_chain_cache_t *cache, const mtls_chain_key_t *key, apr_time_t now,
                         apr_pool_t *p, mtls_chain_result_t *result);

/* Any thread. */
void mtls_chain_cache_put(mtls_chain_cache_t *cache, const mtls_chain_key_t *key,
                          const mtls_chain_result_t *result);

#endif
