/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Files that are read whole, and how to tell that one has changed. */

#ifndef MTLS_HTTPD_FILES_H
#define MTLS_HTTPD_FILES_H

#include <apr_tables.h>
#include <apr_time.h>

/* The text of a file, counted and not of any pool. */
typedef struct mtls_text_t {
    int holders;
    int secret; /* wiped when it is released */
    apr_size_t len;
    char data[]; /* ended by NUL */
} mtls_text_t;

void mtls_text_release(mtls_text_t *text);

/* Read a regular file of at most MTLS_MAX_FILE_BYTES. The caller holds the text. NULL or what is
 * wrong, in `p`; `passing` gets whether that may be over the next moment, and is no fault of the
 * file. */
const char *mtls_file_read(apr_pool_t *p, const char *path, mtls_text_t **text, int *passing);

/* A number that is another one when the file may have another content; 0: it is not there,
 * MTLS_FILE_HIDDEN: this process may not know. `touched` gets the time of its last change when that
 * is later. */
#define MTLS_FILE_HIDDEN 1
apr_uint64_t mtls_file_state(apr_pool_t *p, const char *path, apr_time_t *touched);

/* Mix a text into a number as above. */
apr_uint64_t mtls_file_mix(apr_uint64_t seed, const char *text);

/* Push the names (const char *) a file, a glob or a directory stands for, in order. `listed`: it
 * was a glob or a directory before. NULL or what is wrong, in `p`. */
const char *mtls_files_expand(apr_pool_t *p, const char *pattern, int listed,
                              apr_array_header_t *paths);

#endif
