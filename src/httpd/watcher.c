/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/watcher.h"

#include <unistd.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "httpd/signals.h"

typedef struct watcher_t {
    pid_t pid;
    apr_thread_t *thread;
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *wake;
    int stop; /* under the lock */
    apr_interval_time_t interval;
    void (*look)(void);
} watcher_t;

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *watcher_)
{
    watcher_t *w = watcher_;

    apr_thread_mutex_lock(w->lock);
    while (!w->stop) {
        apr_thread_cond_timedwait(w->wake, w->lock, w->interval);
        if (w->stop)
            break;
        apr_thread_mutex_unlock(w->lock);
        w->look();
        apr_thread_mutex_lock(w->lock);
    }
    apr_thread_mutex_unlock(w->lock);
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

static apr_status_t stop(void *watcher_)
{
    watcher_t *w = watcher_;
    apr_status_t rv;

    if (w->pid != getpid()) /* a child has its parent's pools, not its threads */
        return APR_SUCCESS;
    apr_thread_mutex_lock(w->lock);
    w->stop = 1;
    apr_thread_cond_signal(w->wake);
    apr_thread_mutex_unlock(w->lock);
    apr_thread_join(&rv, w->thread);
    return APR_SUCCESS;
}

/* Signals are for the MPM's own threads: prefork leaves a child from inside a handler. */
static apr_status_t start_without_signals(watcher_t *w, apr_pool_t *p)
{
    sigset_t before;
    apr_status_t rv;

    if (!mtls_signals_hold(&before))
        return APR_EGENERAL;
    rv = apr_thread_create(&w->thread, NULL, run, w, p);
    /* Before anything in the pool ends, also in pools below it; and before a signal can end it. */
    if (rv == APR_SUCCESS)
        apr_pool_pre_cleanup_register(p, w, stop);
    mtls_signals_release(&before);
    return rv;
}

apr_status_t mtls_watcher_start(apr_pool_t *p, apr_interval_time_t interval, void (*look)(void))
{
    watcher_t *w = apr_pcalloc(p, sizeof(*w));
    apr_status_t rv;

    w->pid = getpid();
    w->interval = interval;
    w->look = look;
    if ((rv = apr_thread_mutex_create(&w->lock, APR_THREAD_MUTEX_DEFAULT, p)) != APR_SUCCESS ||
        (rv = apr_thread_cond_create(&w->wake, p)) != APR_SUCCESS ||
        (rv = start_without_signals(w, p)) != APR_SUCCESS)
        return rv;
    return APR_SUCCESS;
}
