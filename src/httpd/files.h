/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Files that are read whole: how to tell that one has changed, and the last good version of each
 * for a restart that finds it broken. */

#ifndef MTLS_HTTPD_FILES_H
#define MTLS_HTTPD_FILES_H

#include <apr_tables.h>
#include <apr_time.h>

/* The text of a file, counted and not of any pool. */
typedef struct mtls_text_t {
    int holders;
    apr_size_t len;
    char data[]; /* ended by NUL */
} mtls_text_t;

void mtls_text_release(mtls_text_t *text);

/* Read a regular file of at most MTLS_MAX_FILE_BYTES. The caller holds the text. NULL or what is
 * wrong, in `p`. */
const char *mtls_file_read(apr_pool_t *p, const char *path, mtls_text_t **text);

/* A number that is another one when the file may have another content; 0: it is not there.
 * `touched` gets the time of its last change when that is later. */
apr_uint64_t mtls_file_state(apr_pool_t *p, const char *path, apr_time_t *touched);

/* Mix a text into a number as above. */
apr_uint64_t mtls_file_mix(apr_uint64_t seed, const char *text);

/* Push the names (const char *) a file, a glob or a directory stands for, in order. NULL or what is
 * wrong, in `p`. */
const char *mtls_files_expand(apr_pool_t *p, const char *pattern, apr_array_header_t *paths);

/* The last good version of a file, and the last good expansion of a pattern, of this server since
 * it was first started. Only the parent keeps them. */
void mtls_files_keep(const char *path, mtls_text_t *text);
mtls_text_t *mtls_files_kept(const char *path);
void mtls_files_keep_paths(apr_pool_t *p, const char *pattern, const apr_array_header_t *paths);
int mtls_files_kept_paths(apr_pool_t *p, const char *pattern, apr_array_header_t *paths);

/* Whether the server has run before with what was kept: the configuration is read for a restart. */
int mtls_files_running(void);
void mtls_files_set_running(void);

#endif
