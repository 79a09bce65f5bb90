/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A thread that looks around every so often, stops at once and takes no signals. */

#ifndef MTLS_HTTPD_WATCHER_H
#define MTLS_HTTPD_WATCHER_H

#include <apr_pools.h>
#include <apr_time.h>

/* Call `look` every `interval` in a thread of this process, which takes no signals, until `p` ends;
 * a call that is under way is waited for. A child that is forked meanwhile has no such thread. */
apr_status_t mtls_watcher_start(apr_pool_t *p, apr_interval_time_t interval, void (*look)(void));

#endif
