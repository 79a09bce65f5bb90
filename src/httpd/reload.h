/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Files that change while the server runs: every child loads the sources (watched.h) they belong to
 * again, and so does the parent, whose next children begin with what it has. A new version replaces
 * the old one as a whole, or not at all. */

#ifndef MTLS_HTTPD_RELOAD_H
#define MTLS_HTTPD_RELOAD_H

#include <httpd.h>
#include <http_config.h>

#define MTLS_DEFAULT_RELOAD_SECONDS 10

/* Grows with every version that comes into force in this process. What was judged under an older
 * number is judged again. */
extern apr_uint32_t mtls_reload_generation;

/* What grows for all processes at once, when an OCSP status is no longer what it was. */
extern const apr_uint32_t *mtls_reload_shared;

/* Let it be `counter`, in memory all processes share; NULL: there is nothing of the kind. */
void mtls_reload_share(const apr_uint32_t *counter);

static inline apr_uint32_t mtls_reload_now(void)
{
    return __atomic_load_n(&mtls_reload_generation, __ATOMIC_ACQUIRE) +
           __atomic_load_n(mtls_reload_shared, __ATOMIC_ACQUIRE);
}

/* When a process without a thread for it is to look again; 0: never. */
extern apr_time_t mtls_reload_due;
void mtls_reload_look(void);

/* A request has come. */
static inline void mtls_reload_on_request(apr_time_t now)
{
    if (mtls_reload_due && now >= mtls_reload_due)
        mtls_reload_look();
}

/* The parent's idle moments (hook monitor). */
int mtls_reload_monitor(apr_pool_t *p, server_rec *s);

/* Forget all sources, before the configuration is read. */
void mtls_reload_begin(apr_pool_t *pconf);

/* Every so many seconds; 0: never. */
void mtls_reload_set_interval(int seconds);

/* post_config: from now on changes are noticed. OK, or an error that was logged. */
int mtls_reload_start(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);

/* A child begins: with what is in the files now, not when the parent last looked. */
void mtls_reload_child(apr_pool_t *pchild, server_rec *s);

#endif
