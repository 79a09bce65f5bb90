/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/reload.h"

#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <ap_mpm.h>
#include <http_log.h>

#include "httpd/config.h"
#include "httpd/kept.h"
#include "httpd/readable.h"
#include "httpd/signals.h"
#include "httpd/watched.h"
#include "httpd/watcher.h"

APLOG_USE_MODULE(mtls_policy);

/* Errors of a source remembered as told. */
#define TOLD_BAD 8

apr_uint32_t mtls_reload_generation;

static const apr_uint32_t nothing_shared;
const apr_uint32_t *mtls_reload_shared = &nothing_shared;
apr_time_t mtls_reload_due;

/* Of each source, shared by all processes: a change is told once, and not by every child. */
typedef struct board_t {
    apr_uint64_t told_good;
    apr_uint64_t told_bad[TOLD_BAD]; /* an error's place is chosen by what it is */
    apr_uint32_t failures;
} board_t;

static struct {
    int seconds;
    board_t *board;
    apr_thread_mutex_t *lock; /* one look at a time in a process */
    server_rec *server;
} reload;

void mtls_reload_share(const apr_uint32_t *counter)
{
    mtls_reload_shared = counter ? counter : &nothing_shared;
}

/* ---- telling ---- */

/* At most so many names in one line. */
#define MOST_NAMES 4

static void add_name(apr_pool_t *p, const char **names, int *n, const char *name)
{
    if (++*n <= MOST_NAMES)
        *names = *names ? apr_pstrcat(p, *names, ", ", name, NULL) : name;
}

/* What is new or another, and what has gone; NULL: nothing, it was only read once more. */
static const char *names_of_changed(const mtls_attempt_t *attempt)
{
    const mtls_look_t *look = &attempt->look, *before = &attempt->source->look;
    const char *names = NULL;
    apr_hash_index_t *i;
    int n = 0;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        const mtls_entry_t *old = mtls_look_find(before, entry->name);
        if (!entry->paths && !entry->error && !(old && old->state == entry->state))
            add_name(look->p, &names, &n, entry->name);
    }
    for (i = apr_hash_first(NULL, before->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *old = apr_hash_this_val(i);
        if (!old->paths && !mtls_look_find(look, old->name))
            add_name(look->p, &names, &n, apr_pstrcat(look->p, old->name, " (gone)", NULL));
    }
    if (n > MOST_NAMES)
        names = apr_psprintf(look->p, "%s and %d more", names, n - MOST_NAMES);
    return names;
}

/* `first` of all processes. */
static void tell_good(const mtls_attempt_t *attempt, int first)
{
    const char *names = names_of_changed(attempt);
    int i;

    ap_log_error(APLOG_MARK, first && names ? APLOG_NOTICE : APLOG_DEBUG, 0, reload.server,
                 "mtls_policy: %s: reloaded: %s", attempt->source->where,
                 names ? names : "the same once more");
    for (i = 0; first && i < attempt->warnings->nelts; i++)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, reload.server, "mtls_policy: %s",
                     APR_ARRAY_IDX(attempt->warnings, i, const char *));
}

static apr_uint64_t *place_of_error(const mtls_watched_t *source, apr_uint64_t error)
{
    return &reload.board[source->index].told_bad[error % TOLD_BAD];
}

static apr_uint64_t error_of(const mtls_entry_t *entry)
{
    return mtls_file_mix(entry->state, entry->name);
}

/* `id` stands for what is wrong. Only the first process that finds it says so. */
static void tell_error(const mtls_watched_t *source, const char *error, apr_uint64_t id)
{
    board_t *board = &reload.board[source->index];
    int first = __atomic_exchange_n(place_of_error(source, id), id, __ATOMIC_ACQ_REL) != id;
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

/* What was wrong and is not any more would be told again. */
static void forget_errors(const mtls_attempt_t *attempt)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, attempt->source->look.entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *old = apr_hash_this_val(i);
        const mtls_entry_t *entry = mtls_look_find(&attempt->look, old->name);
        apr_uint64_t id = error_of(old);
        if (old->error && !(entry && entry->error))
            __atomic_compare_exchange_n(place_of_error(attempt->source, id), &id, 0, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
}

/* `error` is that of the whole load; files can have theirs while others count. */
static void tell_bad(const mtls_attempt_t *attempt, const char *error, apr_uint64_t state)
{
    apr_hash_index_t *i;

    forget_errors(attempt);
    if (error)
        tell_error(attempt->source, error, state);
    for (i = apr_hash_first(NULL, attempt->look.entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        if (is_new_error(attempt, entry))
            tell_error(attempt->source, entry->error, error_of(entry));
    }
}

/* ---- looking ---- */

/* A child of prefork has one thread, and the C library serves it faster for that: it looks when a
 * request has come. */
static int is_threaded(void)
{
    int threaded = 0;

    return ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS && threaded;
}

/* Say that a state is in force, for the others; `told` is what had been said before this process
 * began to read. A slow one must not speak over a later version: it is heard if nobody else was
 * meanwhile, or if the files still are what it has read. 0: somebody had said it, or it is not. */
static int tell_state(const mtls_attempt_t *attempt, apr_uint64_t state, apr_uint64_t told)
{
    apr_uint64_t *board = &reload.board[attempt->source->index].told_good;

    if (told == state)
        return 0;
    if (__atomic_compare_exchange_n(board, &told, state, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return 1;
    return mtls_look_now(&attempt->look, NULL) == mtls_look_seen(&attempt->look) &&
           __atomic_exchange_n(board, state, __ATOMIC_ACQ_REL) != state;
}

/* Something new is in force. The first process that says so keeps it for the others, if it is
 * `whole`: what a part has lost would be missing at a restart. */
static void came_into_force(mtls_attempt_t *attempt, apr_uint64_t state, apr_uint64_t told,
                            int whole)
{
    mtls_watched_t *source = attempt->source;
    int again = state == mtls_look_seen(&source->look); /* read once more for being so new */
    int first = tell_state(attempt, state, told);

    source->in_force = state;
    __atomic_add_fetch(&mtls_reload_generation, 1, __ATOMIC_RELEASE);
    if (whole && (first || source->secret)) /* what nobody writes each process has for itself */
        mtls_watched_keep(source, &attempt->look, state);
    tell_good(attempt, first && !again);
}

static void load_again(mtls_watched_t *source, apr_uint64_t state)
{
    mtls_attempt_t attempt = {.source = source, .state = state};
    apr_uint64_t told = __atomic_load_n(&reload.board[source->index].told_good, __ATOMIC_ACQUIRE);
    const char *error = NULL;

    if (!mtls_look_begin(&attempt.look))
        return;
    attempt.warnings = apr_array_make(attempt.look.p, 2, sizeof(const char *));
    if (mtls_watched_try(&attempt, &error))
        came_into_force(&attempt, state, told, !error);
    if (attempt.changed) { /* as if nobody had looked */
        mtls_look_release(&attempt.look);
        mtls_look_end(&attempt.look);
        source->seen = source->pending = 0;
        return;
    }
    tell_bad(&attempt, error, state);
    if (error)
        mtls_look_carry(&attempt.look, &source->look);
    mtls_look_release(&attempt.look);
    mtls_watched_take(source, &attempt.look);
}

/* This process has missed a version that others have in force, and the files are not that any more:
 * an idle child of prefork, the parent. What is broken now must not bring back what is older. */
static void catch_up(mtls_watched_t *source, apr_uint64_t good)
{
    mtls_attempt_t attempt = {.source = source};
    const char *error = NULL;
    const mtls_kept_t *kept;

    if (!mtls_look_begin(&attempt.look))
        return;
    kept = mtls_kept_read(attempt.look.p, source->index);
    if (kept && kept->state == good) {
        attempt.kept = kept->texts;
        attempt.warnings = apr_array_make(attempt.look.p, 2, sizeof(const char *));
        if (mtls_watched_try(&attempt, &error)) {
            source->in_force = good;
            __atomic_add_fetch(&mtls_reload_generation, 1, __ATOMIC_RELEASE);
        }
    }
    mtls_look_end(&attempt.look); /* its texts are the kept file's */
}

/* Whether what is there now need not be left alone for a moment before it counts. A new child has
 * what the parent had, which may be older than anything the others have left: it takes what one of
 * them has loaded in just this state, and a key in any, of which no half can be taken for a whole.
 */
static int may_hurry(const mtls_watched_t *source, apr_uint64_t state, apr_uint64_t good)
{
    return good && good != source->in_force && (state == good || source->secret);
}

/* Looking itself may take long. */
static int is_quiet(apr_time_t touched, apr_time_t before, apr_time_t after)
{
    return touched <= before - MTLS_FILE_QUIET || touched >= after + MTLS_FILE_QUIET;
}

/* A change counts once the file has been left alone for a moment, or did not change between two
 * looks (the clock of a file server may differ from ours). */
static void look_at(mtls_watched_t *source)
{
    apr_time_t before = apr_time_now(), touched = 0;
    apr_uint64_t state = mtls_look_now(&source->look, &touched);
    apr_time_t after = apr_time_now();
    apr_uint64_t good = __atomic_load_n(&reload.board[source->index].told_good, __ATOMIC_ACQUIRE);

    if (state == source->seen)
        return;
    if (good && good != source->in_force && good != state)
        catch_up(source, good);
    if (!may_hurry(source, state, good) && state != source->pending &&
        !is_quiet(touched, before, after)) {
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
        look_at(APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *));
    apr_thread_mutex_unlock(reload.lock);
    if (mtls_reload_due)
        mtls_reload_due = apr_time_now() + apr_time_from_sec(reload.seconds) / 2;
}

/* The parent takes over what a child has found good, and nothing else: it may read files that they
 * cannot. Its next children begin with that. */
static void follow(mtls_watched_t *source)
{
    apr_uint64_t good = __atomic_load_n(&reload.board[source->index].told_good, __ATOMIC_ACQUIRE);

    if (!good || good == source->in_force)
        return;
    if (mtls_look_now(&source->look, NULL) == good)
        load_again(source, good);
    else
        catch_up(source, good);
}

int mtls_reload_monitor(apr_pool_t *p, server_rec *s)
{
    int i;

    (void)p;
    (void)s;
    for (i = 0; reload.board && i < mtls_watched_all()->nelts; i++)
        follow(APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *));
    return DECLINED;
}

/* In a request of prefork, where SIGTERM is open: what a look has begun it ends. */
void mtls_reload_look(void)
{
    sigset_t before;
    int held = mtls_signals_hold(&before);

    look_at_all();
    if (held)
        mtls_signals_release(&before);
}

/* ---- start ---- */

void mtls_reload_begin(apr_pool_t *pconf)
{
    memset(&reload, 0, sizeof(reload));
    mtls_reload_due = 0;
    reload.seconds = MTLS_DEFAULT_RELOAD_SECONDS;
    mtls_watched_begin(pconf);
}

void mtls_reload_set_interval(int seconds)
{
    reload.seconds = seconds;
}

static apr_status_t forget_board(void *unused)
{
    (void)unused;
    reload.board = NULL;
    reload.lock = NULL;
    return APR_SUCCESS;
}

/* What is in force in all processes, for those that come later. */
static apr_status_t start_board(apr_pool_t *pconf)
{
    const apr_array_header_t *sources = mtls_watched_all();
    apr_size_t bytes = sizeof(board_t) * (apr_size_t)sources->nelts;
    apr_status_t rv;
    apr_shm_t *shm;

    if ((rv = apr_shm_create(&shm, bytes, NULL, pconf)) != APR_SUCCESS ||
        (rv = apr_thread_mutex_create(&reload.lock, APR_THREAD_MUTEX_DEFAULT, pconf)) !=
            APR_SUCCESS)
        return rv;
    reload.board = apr_shm_baseaddr_get(shm);
    memset(reload.board, 0, bytes);
    apr_pool_cleanup_register(pconf, NULL, forget_board, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static void keep_all(apr_pool_t *pconf, server_rec *s)
{
    int i, kept = mtls_kept_start(pconf, s, mtls_watched_all()->nelts);

    for (i = 0; i < mtls_watched_all()->nelts; i++) {
        const mtls_watched_t *source = APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *);
        if (kept || source->secret)
            mtls_watched_keep(source, &source->look, source->in_force);
        mtls_look_release(&source->look);
    }
    mtls_kept_forget_before();
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
    keep_all(pconf, s);
    if (mtls_watched_all()->nelts == 0 || reload.seconds == 0)
        return OK;
    for (i = 0; i < mtls_watched_all()->nelts; i++)
        warn_of_unreadable(ptemp, s, APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *));
    if ((rv = start_board(pconf)) == APR_SUCCESS)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                 "mtls_policy: what is read from files cannot be watched; \"MTLSReloadInterval 0\" "
                 "does without");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Of what root has read and the children's User may not see, the start has warned. */
static void excuse_all(void)
{
    int i;

    for (i = 0; i < mtls_watched_all()->nelts; i++) {
        mtls_watched_t *source = APR_ARRAY_IDX(mtls_watched_all(), i, mtls_watched_t *);
        int same = source->seen == mtls_look_seen(&source->look);
        mtls_look_excuse(&source->look);
        if (same)
            source->seen = mtls_look_seen(&source->look);
    }
}

void mtls_reload_child(apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv;

    reload.server = s;
    if (!reload.board)
        return;
    excuse_all();
    look_at_all();
    if (!is_threaded()) {
        mtls_reload_due = apr_time_now() + apr_time_from_sec(reload.seconds) / 2;
        return;
    }
    /* Twice in an interval: once to see a change, once more to see that it is complete. */
    rv = mtls_watcher_start(pchild, apr_time_from_sec(reload.seconds) / 2, look_at_all);
    if (rv != APR_SUCCESS)
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "mtls_policy: this child cannot watch files: it keeps what it has read");
}
