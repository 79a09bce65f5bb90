/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Included before everything else in the fuzz build (not in the replay): pool allocations become
 * allocations of their own, so that AddressSanitizer sees a byte read or written too far. */

#ifndef MTLS_FUZZ_EXACT_POOL_H
#define MTLS_FUZZ_EXACT_POOL_H

#define MTLS_FUZZ_EXACT_POOL

#define apr_palloc     exact_palloc
#define apr_pmemdup    exact_pmemdup
#define apr_pstrmemdup exact_pstrmemdup
#define apr_pstrdup    exact_pstrdup

#endif
