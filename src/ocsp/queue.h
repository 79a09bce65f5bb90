/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Who is asked for which certificate, and when again: at most one exchange for a certificate at a
 * time however many wait for it, a bounded number of exchanges and of certificates waiting for
 * theirs, failures remembered for a short, growing time. No issuer's certificates keep out those of
 * others. Of one process (the fetching one), one thread. */

#ifndef MTLS_OCSP_QUEUE_H
#define MTLS_OCSP_QUEUE_H

#include "ocsp/ask.h"
#include "ocsp/fetch.h"
#include "ocsp/folder.h"

typedef struct mtls_queue_t mtls_queue_t;

/* What a queue needs from outside. */
typedef struct mtls_queue_env_t {
    const mtls_store_t *store; /* NULL: no cache; answers go to those who wait all the same */
    mtls_fetcher_t *fetcher;
    void *proofs;                    /* memory for mtls_proofs_make(); NULL: its own */
    const unsigned char *who;        /* of its claims, MTLS_OCSP_CLAIMANT_BYTES: who comes after a
                                        process that died has the same; NULL: anybody */
    const mtls_fetch_rules_t *rules; /* those of the fetcher */
    const mtls_folder_t *folder; /* NULL: no MTLSOCSPResponses. Whoever owns it looks for changes */
    const char *revocations;     /* a folder of ours where proven revocations outlive restarts and
                                    caches, one file a certificate; NULL: nowhere */
    apr_time_t (*now)(void);     /* the wall clock */
    apr_time_t (*ticks)(void);   /* a clock that nobody sets, of any origin but above 0; NULL: the
                                    system's monotonic one */
    void *baton;                 /* of the functions below */
    /* Text for the error log, printable ASCII; `level` is APLOG-like: 4 warning, 6 info, 7 debug.
     */
    void (*log)(void *baton, int level, const char *text);
    /* Answer somebody who waits (mtls_queue_ask), who is forgotten already. It must not ask. */
    void (*answer)(void *baton, void *waiter, const mtls_answer_t *answer);
    /* A status was proved that is no longer what it was: everybody judges anew. */
    void (*changed)(void *baton);
} mtls_queue_env_t;

/* In `p`; what `env` points to must last as long, the fetcher must not be run any longer. NULL: out
 * of memory. */
mtls_queue_t *mtls_queue_make(apr_pool_t *p, const mtls_queue_env_t *env);

/* `ask` is copied. With ask->wait somebody waits, `waiter`, who is answered once: at once when the
 * answer is known or cannot be had, else when it is. */
void mtls_queue_ask(mtls_queue_t *queue, const mtls_ask_t *ask, void *waiter);

/* A waiter has gone away; the exchange goes on. */
void mtls_queue_forget(mtls_queue_t *queue, void *waiter);

/* Do what has become due; how long until the next time (for mtls_fetcher_run), seconds at most. */
apr_interval_time_t mtls_queue_run(mtls_queue_t *queue);

#endif
