/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/files.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include <httpd.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "policy/limits.h"

/* ---- texts ---- */

void mtls_text_release(mtls_text_t *text)
{
    if (!text || --text->holders > 0)
        return;
    if (text->secret)
        OPENSSL_cleanse(text->data, text->len);
    free(text);
}

static const char *read_all(apr_pool_t *p, apr_file_t *file, mtls_text_t *text, int *passing)
{
    apr_size_t got = 0;
    apr_status_t rv = apr_file_read_full(file, text->data, text->len, &got);
    char why[120];

    *passing = rv != APR_SUCCESS;
    if (rv == APR_EOF)
        return "has become shorter while it was read";
    return rv == APR_SUCCESS ? NULL : apr_pstrdup(p, apr_strerror(rv, why, sizeof(why)));
}

static const char *read_open(apr_pool_t *p, apr_file_t *file, mtls_text_t **text, int *passing)
{
    const char *error;
    apr_finfo_t info;
    apr_status_t rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);

    if (rv != APR_SUCCESS || info.filetype != APR_REG)
        return "is not a regular file";
    if (info.size > (apr_off_t)MTLS_MAX_FILE_BYTES)
        return apr_psprintf(p, "is larger than %u bytes", MTLS_MAX_FILE_BYTES);
    *text = malloc(sizeof(**text) + (apr_size_t)info.size + 1);
    *passing = !*text;
    if (!*text)
        return "does not fit into memory";
    (*text)->holders = 1;
    (*text)->secret = 0;
    (*text)->len = (apr_size_t)info.size;
    (*text)->data[info.size] = '\0';
    if ((error = (*text)->len ? read_all(p, file, *text, passing) : NULL) != NULL) {
        mtls_text_release(*text);
        *text = NULL;
    }
    return error;
}

const char *mtls_file_read(apr_pool_t *p, const char *path, mtls_text_t **text, int *passing)
{
    const char *error;
    apr_file_t *file;
    apr_status_t rv;
    char why[120];

    *text = NULL;
    *passing = 0;
    rv = apr_file_open(&file, path, APR_READ | APR_BINARY | APR_FOPEN_NONBLOCK, APR_OS_DEFAULT, p);
    /* Whatever is not plainly the file's own: no descriptors, no memory, a server that is away. */
    *passing = rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv) && !APR_STATUS_IS_EACCES(rv) &&
               !APR_STATUS_IS_ENOTDIR(rv) && rv != ELOOP && rv != ENXIO;
    if (rv != APR_SUCCESS)
        return apr_psprintf(p, "%s: %s", path, apr_strerror(rv, why, sizeof(why)));
    error = read_open(p, file, text, passing);
    apr_file_close(file);
    return error ? apr_psprintf(p, "%s %s", path, error) : NULL;
}

/* ---- states ---- */

static apr_uint64_t mix(apr_uint64_t seed, apr_uint64_t value)
{
    apr_uint64_t h = (seed ^ value) * APR_UINT64_C(0x9E3779B97F4A7C15);

    return h ^ (h >> 29);
}

apr_uint64_t mtls_file_mix(apr_uint64_t seed, const char *text)
{
    for (; *text; text++)
        seed = mix(seed, (unsigned char)*text);
    return mix(seed, 0x100);
}

apr_uint64_t mtls_file_state(apr_pool_t *p, const char *path, apr_time_t *touched)
{
    apr_finfo_t info;
    apr_uint64_t state;
    apr_status_t rv = apr_stat(
        &info, path,
        APR_FINFO_IDENT | APR_FINFO_SIZE | APR_FINFO_MTIME | APR_FINFO_CTIME | APR_FINFO_PROT, p);

    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_EACCES(rv) ? MTLS_FILE_HIDDEN : 0;
    if (touched && info.mtime > *touched)
        *touched = info.mtime;
    if (touched && info.ctime > *touched)
        *touched = info.ctime;
    state = mix(1, (apr_uint64_t)info.device);
    state = mix(state, (apr_uint64_t)info.inode);
    state = mix(state, (apr_uint64_t)info.size);
    state = mix(state, (apr_uint64_t)info.mtime);
    state = mix(state, (apr_uint64_t)info.ctime);
    return state > MTLS_FILE_HIDDEN ? state : MTLS_FILE_HIDDEN + 1;
}

/* ---- patterns ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int is_file(apr_pool_t *p, const char *path)
{
    apr_finfo_t info;

    return apr_stat(&info, path, APR_FINFO_TYPE, p) != APR_SUCCESS || info.filetype != APR_DIR;
}

/* Every file but hidden ones, which is where Kubernetes and editors keep what is not meant. */
static const char *expand_directory(apr_pool_t *p, const char *folder, apr_array_header_t *paths)
{
    int first = paths->nelts;
    apr_finfo_t info;
    apr_dir_t *dir;
    apr_status_t rv = apr_dir_open(&dir, folder, p);
    char why[120];

    if (rv != APR_SUCCESS)
        return apr_psprintf(p, "%s: %s", folder, apr_strerror(rv, why, sizeof(why)));
    while ((rv = apr_dir_read(&info, APR_FINFO_NAME, dir)) == APR_SUCCESS || rv == APR_INCOMPLETE) {
        const char *path;
        if (info.name[0] == '.')
            continue;
        path = ap_make_full_path(p, folder, info.name);
        if (is_file(p, path))
            APR_ARRAY_PUSH(paths, const char *) = path;
    }
    apr_dir_close(dir);
    qsort(paths->elts + (apr_size_t)first * sizeof(const char *), (size_t)(paths->nelts - first),
          sizeof(const char *), compare_names);
    return paths->nelts > first ? NULL : apr_psprintf(p, "%s holds no file", folder);
}

static const char *expand_glob(apr_pool_t *p, const char *pattern, apr_array_header_t *paths)
{
    int first = paths->nelts;
    glob_t found;
    size_t i;

    memset(&found, 0, sizeof(found));
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (i = 0; i < found.gl_pathc; i++) {
            if (is_file(p, found.gl_pathv[i]))
                APR_ARRAY_PUSH(paths, const char *) = apr_pstrdup(p, found.gl_pathv[i]);
        }
    }
    globfree(&found);
    return paths->nelts > first ? NULL : apr_psprintf(p, "%s matches no file", pattern);
}

const char *mtls_files_expand(apr_pool_t *p, const char *pattern, int listed,
                              apr_array_header_t *paths)
{
    apr_finfo_t info;
    apr_status_t rv = apr_stat(&info, pattern, APR_FINFO_TYPE, p);
    char why[120];

    if (rv == APR_SUCCESS && info.filetype == APR_DIR)
        return expand_directory(p, pattern, paths);
    if (rv != APR_SUCCESS && apr_fnmatch_test(pattern))
        return expand_glob(p, pattern, paths);
    if (listed) /* a directory that has gone is no file */
        return rv == APR_SUCCESS
                   ? apr_psprintf(p, "%s was a directory and is one no more", pattern)
                   : apr_psprintf(p, "%s: %s", pattern, apr_strerror(rv, why, sizeof(why)));
    APR_ARRAY_PUSH(paths, const char *) = apr_pstrdup(p, pattern);
    return NULL;
}
