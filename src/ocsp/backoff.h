/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* How long to leave alone what has failed. */

#ifndef MTLS_OCSP_BACKOFF_H
#define MTLS_OCSP_BACKOFF_H

#include <apr_time.h>

/* A second after the first failure in a row, twice as long after each further one, up to `most`.
 * Any number of failures is safe. */
static inline apr_interval_time_t mtls_backoff(int failures, apr_interval_time_t most)
{
    int doublings = failures < 1 ? 0 : failures > 16 ? 16 : failures - 1;
    apr_interval_time_t delay = apr_time_from_sec(1) << doublings;

    return delay < most ? delay : most;
}

#endif
