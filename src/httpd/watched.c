/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/watched.h"

#include <apr_strings.h>
#include <http_log.h>

#include "httpd/config.h"
#include "httpd/kept.h"
#include "httpd/site.h"
#include "pki/oid.h"
#include "pki/pem_files.h"
#include "pki/x509_facts.h"

APLOG_USE_MODULE(mtls_policy);

static struct {
    apr_pool_t *p;
    apr_array_header_t *all; /* mtls_watched_t * */
} sources;

/* ---- the environment of a load ---- */

static const char *full_name(apr_pool_t *p, const char *path)
{
    return *path ? ap_server_root_relative(p, path) : NULL;
}

/* The text to use in place of the file; NULL: the file's own. */
static const mtls_span_t *kept_text(const mtls_attempt_t *attempt, const char *name)
{
    if (attempt->kept)
        return apr_hash_get(attempt->kept, name, APR_HASH_KEY_STRING);
    return attempt->again ? mtls_kept_before(sources.p, name) : NULL;
}

static const char *read_entry(const mtls_attempt_t *attempt, apr_pool_t *p, mtls_entry_t *entry)
{
    const mtls_span_t *kept = kept_text(attempt, entry->name);
    const char *error;
    if (entry->text.data)
        return NULL;
    if (kept) {
        entry->text = *kept;
        return NULL;
    }
    if (attempt->kept)
        return apr_pstrcat(p, entry->name, " is not among what is kept", NULL);
    if ((error = mtls_file_read(p, entry->name, &entry->owner, &entry->passing)) != NULL)
        return error;
    entry->owner->secret = attempt->source && attempt->source->secret;
    entry->text = mtls_span(entry->owner->data, entry->owner->len);
    return NULL;
}

static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    mtls_attempt_t *attempt = env->baton;
    const char *full = full_name(env->p, path), *error;
    mtls_entry_t *entry;

    if (!full)
        return apr_psprintf(env->p, "\"%s\" is not the name of a file", path);
    entry = mtls_look_note(&attempt->look, full);
    if ((error = read_entry(attempt, env->p, entry)) != NULL)
        return error;
    *text = entry->text;
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
    mtls_attempt_t *attempt = env->baton;
    const char *error = NULL;

    if (!attempt->cmd)
        return "expressions cannot be used here";
    /* A rule must not be something else on Tuesdays because a module recorded a variable. */
    *expr = ap_expr_parse_cmd(attempt->cmd, text, AP_EXPR_FLAG_DONT_VARY, &error, NULL);
    return error ? apr_psprintf(env->p, "expr: %s", error) : NULL;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    mtls_attempt_t *attempt = env->baton;
    apr_array_header_t *warnings = attempt->cmd ? mtls_site()->warnings : attempt->warnings;

    APR_ARRAY_PUSH(warnings, const char *) =
        apr_psprintf(attempt->cmd ? attempt->cmd->pool : env->p, "%s: %s", env->where, text);
}

/* A name that stands for itself alone is a file's, and no pattern's. */
static int is_itself(const char *full, const apr_array_header_t *paths, int from)
{
    return paths->nelts == from + 1 && strcmp(APR_ARRAY_IDX(paths, from, const char *), full) == 0;
}

static const char *pattern_name(apr_pool_t *p, const char *pattern)
{
    return apr_pstrcat(p, "pattern:", pattern, NULL);
}

/* The names are kept one after the other, each with its NUL. */
static void push_names(apr_pool_t *p, const mtls_span_t *names, apr_array_header_t *paths)
{
    const char *at = names->data;

    for (; at < names->data + names->len; at += strlen(at) + 1)
        APR_ARRAY_PUSH(paths, const char *) = apr_pstrdup(p, at);
}

/* What the pattern last stood for; 0: not known. */
static int expand_as_before(mtls_parse_env_t *env, const char *full, apr_array_header_t *paths)
{
    const mtls_attempt_t *attempt = env->baton;
    const mtls_entry_t *before = mtls_look_find(&attempt->source->look, full);
    const char *name = pattern_name(env->p, full);
    const mtls_span_t *names = NULL;

    if (attempt->kept)
        names = apr_hash_get(attempt->kept, name, APR_HASH_KEY_STRING);
    else if (before && before->paths)
        apr_array_cat(paths, before->paths);
    else if (attempt->cmd)
        names = mtls_kept_before(sources.p, name);
    if (names)
        push_names(env->p, names, paths);
    return names || (before && before->paths && !attempt->kept);
}

static int was_listed(mtls_parse_env_t *env, const char *full)
{
    const mtls_attempt_t *attempt = env->baton;
    const mtls_entry_t *before = mtls_look_find(&attempt->source->look, full);

    return (before && before->paths) ||
           (attempt->cmd && mtls_kept_before(sources.p, pattern_name(env->p, full)));
}

static const char *expand(mtls_parse_env_t *env, const char *pattern, apr_array_header_t *paths,
                          int *listed)
{
    mtls_attempt_t *attempt = env->baton;
    const char *full = full_name(env->p, pattern), *error = NULL;
    int from = paths->nelts;

    if (!full)
        return apr_psprintf(env->p, "\"%s\" is not the name of a file", pattern);
    if ((!attempt->kept && !attempt->again) || !expand_as_before(env, full, paths))
        error = mtls_files_expand(env->p, full, was_listed(env, full), paths);
    *listed = error || !is_itself(full, paths, from);
    if (!*listed) {
        mtls_look_note(&attempt->look, full);
        return NULL;
    }
    if (error && attempt->cmd && mtls_kept_before(sources.p, full)) {
        *listed = 0; /* it was a file */
        APR_ARRAY_PUSH(paths, const char *) = full;
        return NULL;
    }
    if (error && !expand_as_before(env, full, paths))
        return error;
    mtls_look_note_pattern(&attempt->look, full, paths, from, error);
    return NULL;
}

static apr_uint64_t state(mtls_parse_env_t *env, const char *path)
{
    mtls_attempt_t *attempt = env->baton;

    return attempt->kept || attempt->again ? 0 : mtls_look_note(&attempt->look, path)->state;
}

/* The mark goes on, so that the next load knows as well. */
static int is_bad(mtls_parse_env_t *env, const char *path)
{
    mtls_attempt_t *attempt = env->baton;
    const mtls_entry_t *before = mtls_look_find(&attempt->source->look, path);
    mtls_entry_t *entry = mtls_look_note(&attempt->look, path);

    if (attempt->kept || attempt->again)
        return 0;
    if (!entry->error && before && before->error && !before->passing &&
        before->state == entry->state)
        entry->error = apr_pstrdup(attempt->look.p, before->error);
    return entry->stays || entry->error;
}

static void forget_text(mtls_entry_t *entry)
{
    mtls_text_release(entry->owner);
    entry->owner = NULL;
    entry->text = mtls_span(NULL, 0);
}

static void found(mtls_parse_env_t *env, const char *path, const char *error)
{
    mtls_attempt_t *attempt = env->baton;
    mtls_entry_t *entry = mtls_look_note(&attempt->look, path);

    entry->error = error ? apr_pstrdup(attempt->look.p, error) : NULL;
    if (error && entry->owner) /* what was read is not what is in force */
        forget_text(entry);
}

static int last_good(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    mtls_attempt_t *attempt = env->baton;
    const mtls_span_t *kept = attempt->cmd ? mtls_kept_before(sources.p, path) : NULL;
    mtls_entry_t *entry = mtls_look_note(&attempt->look, path);

    if (!kept)
        return 0;
    forget_text(entry);
    entry->text = *text = *kept;
    return 1;
}

static mtls_parse_env_t make_env(mtls_attempt_t *attempt, apr_pool_t *p, const char *where)
{
    mtls_parse_env_t env = {.p = p, .where = where, .baton = attempt, .oid_of = mtls_oid_of_name};

    env.now = apr_time_now();
    env.read_file = read_file;
    env.read_certificates = read_certificates;
    env.compile_expr = compile_expr;
    env.warn = warn;
    env.expand = expand;
    env.state = state;
    env.is_bad = is_bad;
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
    if (apr_pool_create_ex(&p, NULL, apr_pool_abort_get(sources.p), allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, p);
    return p;
}

/* Whether a file holds, read once more, what the load has read of it. */
static int is_unchanged(apr_pool_t *p, const mtls_entry_t *entry)
{
    mtls_text_t *text = NULL;
    int passing, same;

    if (!entry->owner || mtls_file_read(p, entry->name, &text, &passing) != NULL)
        return 0;
    text->secret = entry->owner->secret;
    same = text->len == entry->text.len && memcmp(text->data, entry->text.data, text->len) == 0;
    mtls_text_release(text);
    return same;
}

/* A key that is touched all the time and holds what it held is no reason to sign with an older one;
 * of what else is read, the files have to be what they were, also when they were found to be quiet:
 * a change that begins between that and the reading may be half done. */
static int is_what_was_read(const mtls_attempt_t *attempt)
{
    const mtls_look_t *look = &attempt->look;
    apr_hash_index_t *i;
    int same = attempt->source->secret;

    if (mtls_look_now(look, NULL) == mtls_look_seen(look) &&
        mtls_look_now(&attempt->source->look, NULL) == attempt->state)
        return 1;
    for (i = apr_hash_first(NULL, look->entries); i && same; i = apr_hash_next(i))
        same = is_unchanged(look->p, apr_hash_this_val(i));
    return same;
}

/* Load into a pool of its own, and put in force what is new and good. `error` lives as long as the
 * look of the attempt. 0: nothing has come into force. */
int mtls_watched_try(mtls_attempt_t *attempt, const char **error)
{
    mtls_watched_t *source = attempt->source;
    const mtls_version_t *before = mtls_live_take(source->live);
    const void *data = NULL;
    apr_pool_t *p = make_pool();
    mtls_parse_env_t env = make_env(attempt, p, source->where);

    *error = "out of memory";
    if (p) {
        env.before = before ? before->data : NULL;
        env.again = before != NULL || mtls_kept_is_restart();
        env.kept = attempt->kept != NULL || attempt->again;
        *error = source->load(&env, source->what, &data);
    }
    mtls_live_give_back(source->live, before);
    if (*error)
        *error = apr_pstrdup(attempt->look.p, *error);
    /* While the server runs, what changed as it was read is read again at the next look. */
    attempt->changed = !attempt->cmd && !attempt->kept && !is_what_was_read(attempt);
    if ((*error && attempt->cmd) || attempt->changed)
        data = NULL;
    if (data)
        mtls_live_replace(source->live, p, data);
    else if (p)
        apr_pool_destroy(p);
    return data != NULL;
}

static const mtls_span_t *names_of(apr_pool_t *p, const mtls_entry_t *entry)
{
    mtls_span_t *names = apr_palloc(p, sizeof(*names));
    apr_size_t len = 0;
    char *at;
    int i;

    for (i = 0; i < entry->paths->nelts; i++)
        len += strlen(APR_ARRAY_IDX(entry->paths, i, const char *)) + 1;
    at = apr_palloc(p, len + 1);
    *names = mtls_span(at, len);
    for (i = 0; i < entry->paths->nelts; i++) {
        const char *path = APR_ARRAY_IDX(entry->paths, i, const char *);
        at = apr_cpystrn(at, path, strlen(path) + 1) + 1;
    }
    return names;
}

static void keep_secrets(const mtls_look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        if (entry->text.data)
            mtls_kept_secret(entry->name, entry->text);
    }
}

void mtls_watched_keep(const mtls_watched_t *source, const mtls_look_t *look, apr_uint64_t good)
{
    apr_hash_t *texts, *names;
    apr_hash_index_t *i;
    apr_pool_t *p;

    if (source->secret) {
        keep_secrets(look);
        return;
    }
    if (apr_pool_create(&p, NULL) != APR_SUCCESS)
        return;
    texts = apr_hash_make(p);
    names = apr_hash_make(p);
    for (i = apr_hash_first(p, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        const char *name = entry->paths ? pattern_name(p, entry->name) : entry->name;
        apr_hash_set(names, name, APR_HASH_KEY_STRING, "");
        if (entry->paths)
            apr_hash_set(texts, name, APR_HASH_KEY_STRING, names_of(p, entry));
        else if (entry->text.data)
            apr_hash_set(texts, name, APR_HASH_KEY_STRING, &entry->text);
    }
    mtls_kept_write(source->index, good, texts, names);
    apr_pool_destroy(p);
}

/* Something could not be read for no fault of its own: the next look tries again. */
static int is_passing(const mtls_look_t *look)
{
    apr_hash_index_t *i;
    int passing = 0;

    for (i = apr_hash_first(NULL, look->entries); i && !passing; i = apr_hash_next(i))
        passing = ((const mtls_entry_t *)apr_hash_this_val(i))->passing;
    return passing;
}

/* The source now looks at what the attempt has looked at. */
void mtls_watched_take(mtls_watched_t *source, mtls_look_t *look)
{
    mtls_look_release(&source->look);
    mtls_look_end(&source->look);
    source->look = *look;
    source->seen = is_passing(look) ? 0 : mtls_look_seen(look);
    source->pending = 0;
}

static apr_status_t forget_source(void *source)
{
    mtls_look_release(&((mtls_watched_t *)source)->look);
    mtls_look_end(&((mtls_watched_t *)source)->look);
    return APR_SUCCESS;
}

/* ---- while the configuration is read ---- */

static void warn_of_kept(mtls_parse_env_t *env, const mtls_look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        if (entry->error)
            warn(env,
                 apr_pstrcat(env->p, entry->error, "; the last good version stays in force", NULL));
    }
}

/* At a restart the last good version of what cannot be read takes its place: a server that runs
 * must not end because a file is being written. */
static const char *load_first(mtls_parse_env_t *env, mtls_watched_t *source)
{
    mtls_attempt_t attempt = {.cmd = ((mtls_attempt_t *)env->baton)->cmd, .source = source};
    const char *error = "out of memory", *again = NULL;
    apr_time_t touched = 0;

    if (!mtls_look_begin(&attempt.look))
        return error;
    if (!mtls_watched_try(&attempt, &error) && mtls_kept_is_restart()) {
        attempt.again = 1;
        mtls_look_release(&attempt.look);
        if (mtls_watched_try(&attempt, &again))
            warn(env, apr_pstrcat(env->p, error, "; the last good version stays in force", NULL));
    }
    error = mtls_live_serial(source->live) ? NULL : apr_pstrdup(env->p, error);
    if (!error)
        warn_of_kept(env, &attempt.look);
    mtls_watched_take(source, &attempt.look); /* with its texts, which are kept at the start */
    source->in_force = mtls_look_seen(&source->look);
    mtls_look_now(&source->look, &touched);
    if (touched > apr_time_now() - MTLS_FILE_QUIET)
        source->seen = 0; /* it may still be written to, within the clock's last tick */
    return error;
}

static const char *watch(mtls_parse_env_t *env, mtls_load_fn load, const void *what,
                         mtls_live_t **live)
{
    mtls_watched_t *source = apr_pcalloc(sources.p, sizeof(*source));
    const char *error;

    source->where = env->where;
    source->load = load;
    source->what = what;
    source->live = *live = mtls_live_make(env->p);
    source->secret = env->secret;
    source->index = sources.all->nelts;
    if (!source->live)
        return "out of memory";
    apr_pool_cleanup_register(sources.p, source, forget_source, apr_pool_cleanup_null);
    if ((error = load_first(env, source)) == NULL)
        APR_ARRAY_PUSH(sources.all, mtls_watched_t *) = source;
    return error;
}

mtls_parse_env_t mtls_watched_env(cmd_parms *cmd, const ap_directive_t *directive)
{
    mtls_attempt_t *attempt = apr_pcalloc(cmd->pool, sizeof(*attempt));
    mtls_parse_env_t env = make_env(attempt, cmd->pool, mtls_where(cmd->pool, directive));

    attempt->cmd = cmd;
    env.watch = watch;
    return env;
}

void mtls_watched_begin(apr_pool_t *pconf)
{
    sources.p = pconf;
    sources.all = apr_array_make(pconf, 8, sizeof(mtls_watched_t *));
}

const apr_array_header_t *mtls_watched_all(void)
{
    return sources.all;
}
