/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/reload.h"

#include <pthread.h>

#include <apr_hash.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_log.h>

#include "httpd/config.h"
#include "httpd/files.h"
#include "httpd/site.h"
#include "httpd/watcher.h"
#include "pki/oid.h"
#include "pki/pem_files.h"
#include "pki/x509_facts.h"

APLOG_USE_MODULE(mtls_policy);

/* A file that was touched less than this ago may still be written to. */
#define QUIET apr_time_from_msec(250)

/* How often the parent asks whether a child has found something good. */
#define FOLLOW apr_time_from_msec(200)

apr_uint32_t mtls_reload_generation;

/* A file, or a pattern, as it was at the last load. */
typedef struct entry_t {
    const char *name;
    apr_uint64_t state;
    mtls_text_t *text;         /* while loading */
    const char *error;         /* why its last good version stays; NULL */
    apr_array_header_t *paths; /* of a pattern; NULL: a file */
} entry_t;

/* What a source has looked at. Replaced as a whole by the next load. */
typedef struct look_t {
    apr_pool_t *p;
    apr_hash_t *entries; /* name -> entry_t * */
} look_t;

typedef struct source_t {
    const char *where;
    mtls_load_fn load;
    const void *what;
    mtls_live_t *live;
    look_t look;
    apr_uint64_t seen;    /* of everything it looks at, when it was last loaded */
    apr_uint64_t pending; /* the same when it last differed, and was still being written to */
    int index;            /* on the board */
} source_t;

/* One load under way: the baton of its environment. */
typedef struct attempt_t {
    cmd_parms *cmd; /* while the configuration is read; else NULL */
    source_t *source;
    look_t look;
    int use_kept;                 /* read the last good versions, after what is there was no good */
    apr_array_header_t *warnings; /* const char * */
} attempt_t;

/* Shared by all processes, so that a change is told once and not by every child. */
typedef struct board_t {
    apr_uint64_t told_good;
    apr_uint64_t told_bad;
    apr_uint32_t failures;
} board_t;

static struct {
    apr_pool_t *p;
    apr_array_header_t *sources; /* source_t * */
    int seconds;
    board_t *board;
    apr_thread_mutex_t *lock; /* one look at a time in a process */
    int in_child;
    server_rec *server;
} reload;

/* ---- what a load looks at ---- */

static int begin_look(look_t *look)
{
    if (apr_pool_create(&look->p, NULL) != APR_SUCCESS)
        return 0;
    look->entries = apr_hash_make(look->p);
    return 1;
}

static void release_texts(const look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        entry_t *entry = apr_hash_this_val(i);
        mtls_text_release(entry->text);
        entry->text = NULL;
    }
}

static void end_look(look_t *look)
{
    if (look->p)
        apr_pool_destroy(look->p);
    memset(look, 0, sizeof(*look));
}

static entry_t *find(const look_t *look, const char *name)
{
    return look->entries ? apr_hash_get(look->entries, name, APR_HASH_KEY_STRING) : NULL;
}

static entry_t *note(look_t *look, const char *name)
{
    entry_t *entry = find(look, name);

    if (entry)
        return entry;
    entry = apr_pcalloc(look->p, sizeof(*entry));
    entry->name = apr_pstrdup(look->p, name);
    entry->state = mtls_file_state(look->p, name, NULL);
    apr_hash_set(look->entries, entry->name, APR_HASH_KEY_STRING, entry);
    return entry;
}

/* What the last load had and this one, which failed early, did not come to. */
static void keep_entries(look_t *look, const look_t *before)
{
    apr_hash_index_t *i;

    for (i = before->entries ? apr_hash_first(NULL, before->entries) : NULL; i;
         i = apr_hash_next(i)) {
        const entry_t *old = apr_hash_this_val(i);
        entry_t *entry;
        if (find(look, old->name))
            continue;
        entry = note(look, old->name);
        entry->state = old->state;
        if (old->paths)
            entry->paths = apr_array_copy(look->p, old->paths);
    }
}

static apr_uint64_t names_state(const apr_array_header_t *paths, const char *error)
{
    apr_uint64_t state = error ? 2 : 1;
    int i;

    for (i = 0; i < paths->nelts && !error; i++)
        state = mtls_file_mix(state, APR_ARRAY_IDX(paths, i, const char *));
    return state;
}

static apr_uint64_t state_now(apr_pool_t *p, const entry_t *entry, apr_time_t *touched)
{
    apr_array_header_t *paths;
    const char *error;

    if (!entry->paths)
        return mtls_file_state(p, entry->name, touched);
    paths = apr_array_make(p, 8, sizeof(const char *));
    error = mtls_files_expand(p, entry->name, paths);
    return names_state(paths, error);
}

/* A number that is another one when anything has changed. The order does not matter. */
static apr_uint64_t state_of_all(const look_t *look, apr_time_t *touched)
{
    apr_uint64_t state = 1;
    apr_hash_index_t *i;
    apr_pool_t *scratch;

    if (!look->entries || apr_pool_create(&scratch, NULL) != APR_SUCCESS)
        return 0;
    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const entry_t *entry = apr_hash_this_val(i);
        state += mtls_file_mix(state_now(scratch, entry, touched), entry->name);
    }
    apr_pool_destroy(scratch);
    return state;
}

/* The same as the look has found it: before anything was read. */
static apr_uint64_t state_seen(const look_t *look)
{
    apr_uint64_t state = 1;
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const entry_t *entry = apr_hash_this_val(i);
        state += mtls_file_mix(entry->state, entry->name);
    }
    return state;
}

/* ---- the environment of a load ---- */

static const char *full_name(apr_pool_t *p, const char *path)
{
    return *path ? ap_server_root_relative(p, path) : NULL;
}

static const char *read_entry(const attempt_t *attempt, apr_pool_t *p, entry_t *entry)
{
    mtls_text_t *kept = attempt->use_kept ? mtls_files_kept(entry->name) : NULL;

    if (entry->text)
        return NULL;
    if (!kept)
        return mtls_file_read(p, entry->name, &entry->text);
    entry->text = kept;
    kept->holders++;
    return NULL;
}

static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    attempt_t *attempt = env->baton;
    const char *full = full_name(env->p, path), *error;
    entry_t *entry;

    if (!full)
        return apr_psprintf(env->p, "\"%s\" is not the name of a file", path);
    entry = note(&attempt->look, full);
    if ((error = read_entry(attempt, env->p, entry)) != NULL)
        return error;
    *text = mtls_span(entry->text->data, entry->text->len);
    return NULL;
}

static const char *push_digests(apr_pool_t *p, const apr_array_header_t *certificates,
                                apr_array_header_t *digests)
{
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    int i;

    for (i = 0; i < certificates->nelts; i++) {
        if (!mtls_x509_digests(APR_ARRAY_IDX(certificates, i, X509 *), sha256, spki))
            return apr_psprintf(p, "certificate %d cannot be hashed", i + 1);
        APR_ARRAY_PUSH(digests, mtls_span_t) =
            mtls_span_copy(p, mtls_span((char *)sha256, sizeof(sha256)));
    }
    return NULL;
}

static const char *read_certificates(mtls_parse_env_t *env, const char *path,
                                     apr_array_header_t *digests)
{
    apr_array_header_t *certificates = apr_array_make(env->p, 4, sizeof(X509 *));
    mtls_span_t text = {"", 0};
    const char *error = read_file(env, path, &text);

    if (error)
        return error;
    if ((error = mtls_pem_certificates(env->p, text, certificates)) == NULL)
        error = push_digests(env->p, certificates, digests);
    return error ? apr_psprintf(env->p, "%s %s", path, error) : NULL;
}

static const char *compile_expr(mtls_parse_env_t *env, const char *text, const void **expr)
{
    attempt_t *attempt = env->baton;
    const char *error = NULL;

    if (!attempt->cmd)
        return "expressions cannot be used here";
    /* A rule must not be something else on Tuesdays because a module recorded a variable. */
    *expr = ap_expr_parse_cmd(attempt->cmd, text, AP_EXPR_FLAG_DONT_VARY, &error, NULL);
    return error ? apr_psprintf(env->p, "expr: %s", error) : NULL;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    attempt_t *attempt = env->baton;
    apr_array_header_t *warnings = attempt->cmd ? mtls_site()->warnings : attempt->warnings;

    APR_ARRAY_PUSH(warnings, const char *) =
        apr_psprintf(attempt->cmd ? attempt->cmd->pool : env->p, "%s: %s", env->where, text);
}

static void note_expansion(look_t *look, const char *pattern, const apr_array_header_t *paths,
                           int from, const char *error)
{
    entry_t *entry = note(look, pattern);
    int i;

    entry->paths = apr_array_make(look->p, 8, sizeof(const char *));
    entry->error = error ? apr_pstrdup(look->p, error) : NULL;
    for (i = from; i < paths->nelts; i++) {
        const entry_t *file = note(look, APR_ARRAY_IDX(paths, i, const char *));
        APR_ARRAY_PUSH(entry->paths, const char *) = file->name;
    }
    entry->state = names_state(entry->paths, error);
}

/* A name that stands for itself alone is a file's, and no pattern's. */
static int is_itself(const char *full, const apr_array_header_t *paths, int from)
{
    return paths->nelts == from + 1 && strcmp(APR_ARRAY_IDX(paths, from, const char *), full) == 0;
}

static const char *expand(mtls_parse_env_t *env, const char *pattern, apr_array_header_t *paths)
{
    attempt_t *attempt = env->baton;
    const char *full = full_name(env->p, pattern), *error;
    const entry_t *before;
    int from = paths->nelts;

    if (!full)
        return apr_psprintf(env->p, "\"%s\" is not the name of a file", pattern);
    error = mtls_files_expand(env->p, full, paths);
    if (!error && is_itself(full, paths, from)) {
        note(&attempt->look, full);
        return NULL;
    }
    before = find(&attempt->source->look, full);
    if (error && before && before->paths)
        apr_array_cat(paths, before->paths);
    else if (error && !mtls_files_kept_paths(env->p, full, paths))
        return error;
    note_expansion(&attempt->look, full, paths, from, error);
    return NULL;
}

static int changed(mtls_parse_env_t *env, const char *path)
{
    attempt_t *attempt = env->baton;
    const entry_t *before = find(&attempt->source->look, path);
    entry_t *entry = note(&attempt->look, path);

    return !before || before->state != entry->state;
}

static void found(mtls_parse_env_t *env, const char *path, const char *error)
{
    attempt_t *attempt = env->baton;
    entry_t *entry = note(&attempt->look, path);

    entry->error = error ? apr_pstrdup(attempt->look.p, error) : NULL;
}

static int last_good(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    attempt_t *attempt = env->baton;
    const mtls_text_t *kept = attempt->cmd ? mtls_files_kept(path) : NULL;

    if (kept)
        *text = mtls_span(kept->data, kept->len);
    return kept != NULL;
}

static mtls_parse_env_t make_env(attempt_t *attempt, apr_pool_t *p, const char *where)
{
    mtls_parse_env_t env = {.p = p, .where = where, .baton = attempt, .oid_of = mtls_oid_of_name};

    env.read_file = read_file;
    env.read_certificates = read_certificates;
    env.compile_expr = compile_expr;
    env.warn = warn;
    env.expand = expand;
    env.changed = changed;
    env.found = found;
    env.last_good = last_good;
    return env;
}

/* ---- loading ---- */

/* A pool with memory of its own, which goes back to the system with it. */
static apr_pool_t *make_pool(void)
{
    apr_allocator_t *allocator;
    apr_pool_t *p;

    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return NULL;
    if (apr_pool_create_ex(&p, NULL, apr_pool_abort_get(reload.p), allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, p);
    return p;
}

/* Load into a pool of its own, and put in force what is new and good. `error` lives as long as the
 * look of the attempt. 0: nothing has come into force. */
static int try_load(attempt_t *attempt, const char **error)
{
    source_t *source = attempt->source;
    const mtls_version_t *before = mtls_live_take(source->live);
    const void *data = NULL;
    apr_pool_t *p = make_pool();
    mtls_parse_env_t env = make_env(attempt, p, source->where);

    *error = "out of memory";
    if (p) {
        env.before = before ? before->data : NULL;
        env.again = before != NULL || (mtls_files_running() && !attempt->use_kept);
        *error = source->load(&env, source->what, &data);
    }
    mtls_live_give_back(source->live, before);
    if (*error)
        *error = apr_pstrdup(attempt->look.p, *error);
    /* While the server runs, what changed as it was read is read again at the next look. */
    if (*error ||
        (!attempt->cmd && state_of_all(&attempt->look, NULL) != state_seen(&attempt->look)))
        data = NULL;
    if (data)
        mtls_live_replace(source->live, p, data);
    else if (p)
        apr_pool_destroy(p);
    return data != NULL;
}

/* Whatever was read well is what a later restart falls back on. */
static void keep_texts(const look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i && !reload.in_child; i = apr_hash_next(i)) {
        const entry_t *entry = apr_hash_this_val(i);
        if (entry->text && !entry->error)
            mtls_files_keep(entry->name, entry->text);
        if (entry->paths && !entry->error)
            mtls_files_keep_paths(look->p, entry->name, entry->paths);
    }
}

/* The source now looks at what the attempt has looked at. */
static void take_look(source_t *source, look_t *look)
{
    release_texts(look);
    end_look(&source->look);
    source->look = *look;
    source->seen = state_seen(look);
    source->pending = 0;
}

static apr_status_t forget_source(void *source)
{
    end_look(&((source_t *)source)->look);
    return APR_SUCCESS;
}

/* ---- while the configuration is read ---- */

static void warn_of_kept(mtls_parse_env_t *env, const look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const entry_t *entry = apr_hash_this_val(i);
        if (entry->error)
            warn(env,
                 apr_pstrcat(env->p, entry->error, "; the last good version stays in force", NULL));
    }
}

/* At a restart the last good version of what cannot be read takes its place: a server that runs
 * must not end because a file is being written. */
static const char *load_first(mtls_parse_env_t *env, source_t *source)
{
    attempt_t attempt = {((attempt_t *)env->baton)->cmd, source, {NULL, NULL}, 0, NULL};
    const char *error = "out of memory", *again = NULL;
    apr_time_t touched = 0;

    if (!begin_look(&attempt.look))
        return error;
    if (!try_load(&attempt, &error)) {
        attempt.use_kept = 1;
        release_texts(&attempt.look);
        if (try_load(&attempt, &again))
            warn(env, apr_pstrcat(env->p, error, "; the last good version stays in force", NULL));
    }
    error = mtls_live_serial(source->live) ? NULL : apr_pstrdup(env->p, error);
    if (!error && !attempt.use_kept)
        keep_texts(&attempt.look);
    if (!error)
        warn_of_kept(env, &attempt.look);
    take_look(source, &attempt.look);
    state_of_all(&source->look, &touched);
    if (touched > apr_time_now() - QUIET)
        source->seen = 0; /* it may still be written to, within the clock's last tick */
    return error;
}

static const char *watch(mtls_parse_env_t *env, mtls_load_fn load, const void *what,
                         mtls_live_t **live)
{
    source_t *source = apr_pcalloc(reload.p, sizeof(*source));
    const char *error;

    source->where = env->where;
    source->load = load;
    source->what = what;
    source->live = *live = mtls_live_make(env->p);
    source->index = reload.sources->nelts;
    if (!source->live)
        return "out of memory";
    apr_pool_cleanup_register(reload.p, source, forget_source, apr_pool_cleanup_null);
    if ((error = load_first(env, source)) == NULL)
        APR_ARRAY_PUSH(reload.sources, source_t *) = source;
    return error;
}

mtls_parse_env_t mtls_reload_env(cmd_parms *cmd, const ap_directive_t *directive)
{
    attempt_t *attempt = apr_pcalloc(cmd->pool, sizeof(*attempt));
    mtls_parse_env_t env = make_env(attempt, cmd->pool, mtls_where(cmd->pool, directive));

    attempt->cmd = cmd;
    env.watch = watch;
    return env;
}

/* ---- while the server runs ---- */

static const char *names_of_changed(const attempt_t *attempt)
{
    const char *names = NULL;
    apr_hash_index_t *i;
    int n = 0;

    for (i = apr_hash_first(NULL, attempt->look.entries); i; i = apr_hash_next(i)) {
        const entry_t *entry = apr_hash_this_val(i);
        const entry_t *before = find(&attempt->source->look, entry->name);
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

static void tell_good(const attempt_t *attempt, apr_uint64_t state)
{
    board_t *board = &reload.board[attempt->source->index];
    int i, first = __atomic_exchange_n(&board->told_good, state, __ATOMIC_ACQ_REL) != state;

    /* Read once more because it was so new: nothing to tell where it has stayed the same. */
    first = first && state != state_seen(&attempt->source->look);
    ap_log_error(APLOG_MARK, first ? APLOG_NOTICE : APLOG_DEBUG, 0, reload.server,
                 "mtls_policy: %s: reloaded: %s", attempt->source->where,
                 names_of_changed(attempt));
    for (i = 0; first && i < attempt->warnings->nelts; i++)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, reload.server, "mtls_policy: %s",
                     APR_ARRAY_IDX(attempt->warnings, i, const char *));
}

static void tell_error(const source_t *source, const char *error, int first)
{
    board_t *board = &reload.board[source->index];
    unsigned int failures =
        first ? __atomic_add_fetch(&board->failures, 1, __ATOMIC_ACQ_REL) : board->failures;

    ap_log_error(APLOG_MARK, first ? APLOG_ERR : APLOG_DEBUG, 0, reload.server,
                 "mtls_policy: %s: %s; the last good version stays in force (failures: %u)",
                 source->where, error, failures);
}

/* Found in this load, and not in the one before already. */
static int is_new_error(const attempt_t *attempt, const entry_t *entry)
{
    const entry_t *before = find(&attempt->source->look, entry->name);

    return entry->error && !(before && before->error && before->state == entry->state);
}

/* `error` is that of the whole load; files can have theirs while others count. */
static void tell_bad(const attempt_t *attempt, const char *error, apr_uint64_t state)
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
        const entry_t *entry = apr_hash_this_val(i);
        if (is_new_error(attempt, entry))
            tell_error(attempt->source, entry->error, first);
    }
}

static void load_again(source_t *source, apr_uint64_t state)
{
    attempt_t attempt = {NULL, source, {NULL, NULL}, 0, NULL};
    const char *error = NULL;
    int made;

    if (!begin_look(&attempt.look))
        return;
    attempt.warnings = apr_array_make(attempt.look.p, 2, sizeof(const char *));
    made = try_load(&attempt, &error);
    if (made)
        __atomic_add_fetch(&mtls_reload_generation, 1, __ATOMIC_RELEASE);
    if (made)
        tell_good(&attempt, state);
    tell_bad(&attempt, error, state);
    if (!error)
        keep_texts(&attempt.look);
    else
        keep_entries(&attempt.look, &source->look);
    take_look(source, &attempt.look);
}

/* A change counts once the file has been left alone for a moment, or did not change between two
 * looks (the clock of a file server may differ from ours). */
static void look_at(source_t *source, apr_time_t now)
{
    apr_time_t touched = 0;
    apr_uint64_t state = state_of_all(&source->look, &touched);

    if (state == source->seen)
        return;
    if (state != source->pending && touched > now - QUIET && touched < now + QUIET) {
        source->pending = state;
        return;
    }
    load_again(source, state);
}

static void look_at_all(void)
{
    int i;

    apr_thread_mutex_lock(reload.lock);
    for (i = 0; i < reload.sources->nelts; i++)
        look_at(APR_ARRAY_IDX(reload.sources, i, source_t *), apr_time_now());
    apr_thread_mutex_unlock(reload.lock);
}

/* The parent takes over what a child has found good, and nothing else: it may read files that they
 * cannot. Its next children begin with that, and a restart falls back on it. */
static void follow(source_t *source)
{
    const board_t *board = &reload.board[source->index];
    apr_uint64_t good = __atomic_load_n(&board->told_good, __ATOMIC_ACQUIRE);

    if (good != source->pending && good != source->seen && good) {
        source->pending = good;
        if (state_of_all(&source->look, NULL) == good)
            load_again(source, good);
    }
}

static void follow_all(void)
{
    int i;

    apr_thread_mutex_lock(reload.lock);
    for (i = 0; i < reload.sources->nelts && !reload.in_child; i++)
        follow(APR_ARRAY_IDX(reload.sources, i, source_t *));
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
    reload.p = pconf;
    reload.seconds = MTLS_DEFAULT_RELOAD_SECONDS;
    reload.sources = apr_array_make(pconf, 8, sizeof(source_t *));
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
    apr_size_t bytes = sizeof(board_t) * (apr_size_t)reload.sources->nelts;
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

int mtls_reload_start(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv;

    reload.server = s;
    mtls_files_set_running();
    if (reload.sources->nelts == 0 || reload.seconds == 0)
        return OK;
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
