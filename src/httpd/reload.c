/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/reload.h"

#include <pthread.h>

#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_log.h>

#include "httpd/config.h"
#include "httpd/readable.h"
#include "httpd/watched.h"
#include "httpd/watcher.h"

APLOG_USE_MODULE(mtls_policy);

/* How often the parent asks whether a child has found something good. */
#define FOLLOW apr_time_from_msec(200)

apr_uint32_t mtls_reload_generation;

/* Of each source, shared by all processes: a change is told once, and not by every child. */
typedef struct board_t {
    apr_uint64_t told_good;
    apr_uint64_t told_bad;
    apr_uint32_t failures;
} board_t;

static struct {
    int seconds;
    board_t *board;
    apr_thread_mutex_t *lock; /* one look at a time in a process */
    int in_child;
    server_rec *server;
} reload;

/* ---- telling ---- */

static const char *names_of_changed(const mtls_attempt_t *attempt)
{
    const char *names = NULL;
    apr_hash_index_t *i;
    int n = 0;

    for (i = apr_hash_first(NULL, attempt->look.entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        const mtls_entry_t *before = mtls_look_find(&attempt->source->look, entry->name);
        if (entry->paths || entry->error || (before && before->state == entry->state))
            continue;
        if (++n <= 3)
            names =
                names ? apr_pstrcat(attempt->look.p, names, ", ", entry->name, NULL) : entry->name;
    }
    if (n > 3)
        names = apr_psprintf(attempt->look.p, "%s and %d more", names, n - 3);
    return names ? names : "files have gone";
}

static void tell_good(const mtls_attempt_t *attempt, apr_uint64_t state)
{
    board_t *board = &reload.board[attempt->source->index];
    int i, first = __atomic_exchange_n(&board->told_good, state, __ATOMIC_ACQ_REL) != state;

    /* Read once more because it was so new: nothing to tell where it has stayed the same. */
    first = first && state != mtls_look_seen(&attempt->source->look);
    ap_log_error(APLOG_MARK, first ? APLOG_NOTICE : APLOG_DEBUG, 0, reload.server,
                 "mtls_policy: %s: reloaded: %s", attempt->source->where,
                 names_of_changed(attempt));
    for (i = 0; first && i < attempt->warnings->nelts; i++)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, reload.server, "mtls_policy: %s",
                     APR_ARRAY_IDX(attempt->warnings, i, const char *));
}

static void tell_error(const mtls_watched_t *source, const char *error, int first)
{
    board_t *board = &reload.board[source->index];
    unsigned int failures =
        first ? __atomic_add_fetch(&board->failures, 1, __ATOMIC_ACQ_REL) : board->failures;

    ap_log_error(APLOG_MARK, first ? APLOG_ERR : APLOG_DEBUG, 0, reload.server,
                 "mtls_policy: %s: %s; the last good version stays in force (failures: %u)",
                 source->where, error, failures);
}

/* Found in this load, and not in the one before already. */
static int is_new_error(const mtls_attempt_t *attempt, const mtls_entry_t *entry)
{
    const mtls_entry_t *before = mtls_look_find(&attempt->source->look, entry->name);

    return entry->error && !(before && before->error && before->state == entry->state);
}

/* `error` is that of the whole load; files can have theirs while others count. */
static void tell_bad(const mtls_attempt_t *attempt, const char *error, apr_uint64_t state)
{
    board_t *board = &reload.board[attempt->source->index];
    apr_hash_index_t *i;
    int any = error != NULL, first;

    for (i = apr_hash_first(NULL, attempt->look.entries); i; i = apr_hash_next(i))
        any |= is_new_error(attempt, apr_hash_this_val(i));
    if (!any)
        return;
    first = __atomic_exchange_n(&board->told_bad, state, __ATOMIC_ACQ_REL) != state;
    if (error)
        tell_error(attempt->source, error, first);
    for (i = apr_hash_first(NULL, attempt->look.entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        if (is_new_error(attempt, entry))
            tell_error(attempt->source, entry->error, first);
    }
}

/* ---- looking ---- */

static void load_again(mtls_watched_t *source, apr_uint64_t state)
{
    mtls_attempt_t attempt = {NULL, source, {NULL, NULL}, 0, NULL};
    const char *error = NULL;
    int made;

    if (!mtls_look_begin(&attempt.look))
        return;
    attempt.warnings = apr_array_make(attempt.look.p, 2, sizeof(const char *));
    made = mtls_watched_try(&attempt, &error);
    if (made)
        __atomic_add_fetch(&mtls_reload_generation, 1, __ATOMIC_RELEASE);
    if (made)
        tell_good(&attempt, state);
    tell_bad(&attempt, error, state);
    if (!error && !reload.in_child)
        mtls_watched_keep_texts(&attempt.look);
    if (error)
        mtls_look_carry(&attempt.look, &source->look);
    mtls_watched_take(source, &attempt.look);
}

/* A change counts once the file has been left alone for a moment, or did not change between two
 * looks (the clock of a file server may differ from ours). */
static void look_at(mtls_watched_t *source, apr_time_t now)
{
    apr_time_t touched = 0;
    apr_uint64_t state = mtls_look_now(&source->look, &touched);

    if (state == source->seen)
        return;
    if (state != source->pending && touched > now - MTLS_FILE_QUIET &&
        touched < now + MTLS_FILE_QUIET) {
        source->pending = state;
        return;
    }
    load_again(source, state);
}

static void look_at_all(void)
{
    int i;

    apr_thread_mutex_lock(reload.lock);
    for (i = 0; i < mtls_watched_all()->nelts; i++)
        look_at(APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *), apr_time_now());
    apr_thread_mutex_unlock(reload.lock);
}

/* The parent takes over what a child has found good, and nothing else: it may read files that they
 * cannot. Its next children begin with that, and a restart falls back on it. */
static void follow(mtls_watched_t *source)
{
    const board_t *board = &reload.board[source->index];
    apr_uint64_t good = __atomic_load_n(&board->told_good, __ATOMIC_ACQUIRE);

    if (good != source->pending && good != source->seen && good) {
        source->pending = good;
        if (mtls_look_now(&source->look, NULL) == good)
            load_again(source, good);
    }
}

static void follow_all(void)
{
    int i;

    apr_thread_mutex_lock(reload.lock);
    for (i = 0; i < mtls_watched_all()->nelts && !reload.in_child; i++)
        follow(APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *));
    apr_thread_mutex_unlock(reload.lock);
}

static apr_status_t forget_lock(void *unused)
{
    (void)unused;
    reload.lock = NULL;
    return APR_SUCCESS;
}

/* ---- start ---- */

void mtls_reload_begin(apr_pool_t *pconf)
{
    memset(&reload, 0, sizeof(reload));
    reload.seconds = MTLS_DEFAULT_RELOAD_SECONDS;
    mtls_watched_begin(pconf);
}

void mtls_reload_set_interval(int seconds)
{
    reload.seconds = seconds;
}

/* The parent's thread must not be in the middle of anything while a child is forked, which would
 * have locks that nobody gives back. */
static void before_fork(void)
{
    if (reload.lock && !reload.in_child)
        apr_thread_mutex_lock(reload.lock);
}

static void after_fork(void)
{
    if (reload.lock && !reload.in_child)
        apr_thread_mutex_unlock(reload.lock);
}

static apr_status_t start_in_parent(apr_pool_t *pconf)
{
    static int forks_wait;
    apr_size_t bytes = sizeof(board_t) * (apr_size_t)mtls_watched_all()->nelts;
    apr_status_t rv;
    apr_shm_t *shm;

    if ((rv = apr_shm_create(&shm, bytes, NULL, pconf)) != APR_SUCCESS ||
        (rv = apr_thread_mutex_create(&reload.lock, APR_THREAD_MUTEX_DEFAULT, pconf)) !=
            APR_SUCCESS)
        return rv;
    reload.board = apr_shm_baseaddr_get(shm);
    memset(reload.board, 0, bytes);
    apr_pool_cleanup_register(pconf, NULL, forget_lock, apr_pool_cleanup_null);
    /* Once for each time the module is loaded: its data, and so the mark, go with it. */
    if (!forks_wait && pthread_atfork(before_fork, after_fork, after_fork) != 0)
        return APR_ENOMEM;
    forks_wait = 1;
    return mtls_watcher_start(pconf, FOLLOW, follow_all);
}

/* What the children cannot read they cannot read again; so far they have what root has read. */
static void warn_of_unreadable(apr_pool_t *ptemp, server_rec *s, const mtls_watched_t *source)
{
    apr_array_header_t *paths = apr_array_make(ptemp, 8, sizeof(const char *)), *unreadable;
    apr_hash_index_t *i;
    int k;

    for (i = apr_hash_first(ptemp, source->look.entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        APR_ARRAY_PUSH(paths, const char *) = entry->name;
    }
    unreadable = mtls_unreadable_by_children(ptemp, paths);
    for (k = 0; k < unreadable->nelts; k++)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "mtls_policy: %s: the children's User cannot read %s: changes of it will only "
                     "be in force after a restart",
                     source->where, APR_ARRAY_IDX(unreadable, k, const char *));
}

int mtls_reload_start(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv;
    int i;

    reload.server = s;
    mtls_files_set_running();
    if (mtls_watched_all()->nelts == 0 || reload.seconds == 0)
        return OK;
    for (i = 0; i < mtls_watched_all()->nelts; i++)
        warn_of_unreadable(ptemp, s, APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *));
    if ((rv = start_in_parent(pconf)) == APR_SUCCESS)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                 "mtls_policy: what is read from files cannot be watched; \"MTLSReloadInterval 0\" "
                 "does without");
    return HTTP_INTERNAL_SERVER_ERROR;
}

void mtls_reload_child(apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv;

    reload.server = s;
    reload.in_child = 1;
    if (!reload.board)
        return;
    look_at_all();
    /* Twice in an interval: once to see a change, once more to see that it is complete. */
    rv = mtls_watcher_start(pchild, apr_time_from_sec(reload.seconds) / 2, look_at_all);
    if (rv != APR_SUCCESS)
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "mtls_policy: this child cannot watch files: it keeps what it has read");
}
