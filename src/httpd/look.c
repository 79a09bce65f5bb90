/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/look.h"

#include <string.h>

#include <apr_strings.h>

int mtls_look_begin(mtls_look_t *look)
{
    if (apr_pool_create(&look->p, NULL) != APR_SUCCESS)
        return 0;
    look->entries = apr_hash_make(look->p);
    return 1;
}

void mtls_look_release(const mtls_look_t *look)
{
    apr_hash_index_t *i;

    for (i = look->entries ? apr_hash_first(NULL, look->entries) : NULL; i; i = apr_hash_next(i)) {
        mtls_entry_t *entry = apr_hash_this_val(i);
        mtls_text_release(entry->owner);
        entry->owner = NULL;
        entry->text = mtls_span(NULL, 0);
    }
}

void mtls_look_end(mtls_look_t *look)
{
    if (look->p)
        apr_pool_destroy(look->p);
    memset(look, 0, sizeof(*look));
}

mtls_entry_t *mtls_look_find(const mtls_look_t *look, const char *name)
{
    return look->entries ? apr_hash_get(look->entries, name, APR_HASH_KEY_STRING) : NULL;
}

mtls_entry_t *mtls_look_note(mtls_look_t *look, const char *name)
{
    mtls_entry_t *entry = mtls_look_find(look, name);

    if (entry)
        return entry;
    entry = apr_pcalloc(look->p, sizeof(*entry));
    entry->name = apr_pstrdup(look->p, name);
    entry->state = mtls_file_state(look->p, name, NULL);
    apr_hash_set(look->entries, entry->name, APR_HASH_KEY_STRING, entry);
    return entry;
}

/* What the last load had and this one, which failed early, did not come to. */
void mtls_look_carry(mtls_look_t *look, const mtls_look_t *before)
{
    apr_hash_index_t *i;

    for (i = before->entries ? apr_hash_first(NULL, before->entries) : NULL; i;
         i = apr_hash_next(i)) {
        const mtls_entry_t *old = apr_hash_this_val(i);
        mtls_entry_t *entry;
        if (mtls_look_find(look, old->name))
            continue;
        entry = mtls_look_note(look, old->name);
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

static apr_uint64_t state_now(apr_pool_t *p, const mtls_entry_t *entry, apr_time_t *touched)
{
    apr_array_header_t *paths;
    const char *error;

    if (!entry->paths)
        return mtls_file_state(p, entry->name, touched);
    paths = apr_array_make(p, 8, sizeof(const char *));
    error = mtls_files_expand(p, entry->name, 1, paths);
    return names_state(paths, error);
}

/* A number that is another one when anything has changed. The order does not matter. */
apr_uint64_t mtls_look_now(const mtls_look_t *look, apr_time_t *touched)
{
    apr_uint64_t state = 1;
    apr_hash_index_t *i;
    apr_pool_t *scratch;

    if (!look->entries || apr_pool_create(&scratch, NULL) != APR_SUCCESS)
        return 0;
    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        state += mtls_file_mix(state_now(scratch, entry, touched), entry->name);
    }
    apr_pool_destroy(scratch);
    return state;
}

/* The same as the look has found it: before anything was read. */
apr_uint64_t mtls_look_seen(const mtls_look_t *look)
{
    apr_uint64_t state = 1;
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        const mtls_entry_t *entry = apr_hash_this_val(i);
        state += mtls_file_mix(entry->state, entry->name);
    }
    return state;
}

void mtls_look_note_pattern(mtls_look_t *look, const char *pattern, const apr_array_header_t *paths,
                            int from, const char *error)
{
    mtls_entry_t *entry = mtls_look_note(look, pattern);
    int i;

    entry->paths = apr_array_make(look->p, 8, sizeof(const char *));
    entry->error = error ? apr_pstrdup(look->p, error) : NULL;
    for (i = from; i < paths->nelts; i++) {
        mtls_entry_t *file = mtls_look_note(look, APR_ARRAY_IDX(paths, i, const char *));
        file->stays = error != NULL;
        APR_ARRAY_PUSH(entry->paths, const char *) = file->name;
    }
    entry->state = names_state(entry->paths, error);
}

void mtls_look_excuse(mtls_look_t *look)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, look->entries); i; i = apr_hash_next(i)) {
        mtls_entry_t *entry = apr_hash_this_val(i);
        if (mtls_file_state(look->p, entry->name, NULL) != MTLS_FILE_HIDDEN)
            continue;
        entry->state = state_now(look->p, entry, NULL);
        if (entry->paths)
            entry->error = "hidden"; /* told already */
    }
}
