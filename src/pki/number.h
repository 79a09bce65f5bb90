/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Numbers of any size as text. */

#ifndef MTLS_PKI_NUMBER_H
#define MTLS_PKI_NUMBER_H

#include <apr_pools.h>

/* A number written in hex, with "-" before a negative one, in decimal, in `p`. NULL when it is no
 * number, or has more than MTLS_MAX_DECIMAL_DIGITS hex digits. */
const char *mtls_number_decimal(apr_pool_t *p, const char *hex);

#endif
