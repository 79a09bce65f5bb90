/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What a load has looked at - files, and patterns that stand for files - and how it was then. The
 * next look tells whether anything has changed. */

#ifndef MTLS_HTTPD_LOOK_H
#define MTLS_HTTPD_LOOK_H

#include <apr_hash.h>

#include "httpd/files.h"
#include "policy/span.h"

/* A file, or a pattern. */
typedef struct mtls_entry_t {
    const char *name;
    apr_uint64_t state;        /* before it was read */
    mtls_text_t *owner;        /* holds the text; NULL: it lives elsewhere, or there is none */
    mtls_span_t text;          /* of this version, while it is loaded; NULL data: not read */
    const char *error;         /* why its last good version stays; NULL */
    apr_array_header_t *paths; /* of a pattern, const char *; NULL: a file */
    int passing;               /* it could not be read now, for no fault of its own */
    int stays;                 /* its pattern has lost all files, which is told of the pattern */
} mtls_entry_t;

/* Replaced as a whole by the next load. */
typedef struct mtls_look_t {
    apr_pool_t *p;
    apr_hash_t *entries; /* name -> mtls_entry_t * */
} mtls_look_t;

/* 0: out of memory. */
int mtls_look_begin(mtls_look_t *look);
void mtls_look_end(mtls_look_t *look);

/* Give back the texts of files. */
void mtls_look_release(const mtls_look_t *look);

mtls_entry_t *mtls_look_find(const mtls_look_t *look, const char *name);

/* The entry of a file, made with the state the file has now. */
mtls_entry_t *mtls_look_note(mtls_look_t *look, const char *name);

/* A pattern and those of `paths` it stands for, from the index `from` on. */
void mtls_look_note_pattern(mtls_look_t *look, const char *pattern, const apr_array_header_t *paths,
                            int from, const char *error);

/* What the look before had and this one, which failed early, did not come to. */
void mtls_look_carry(mtls_look_t *look, const mtls_look_t *before);

/* A number for everything a look has seen, and the same for how it is now: they differ when
 * anything has changed. `touched` gets the latest change when it is later. */
apr_uint64_t mtls_look_seen(const mtls_look_t *look);
apr_uint64_t mtls_look_now(const mtls_look_t *look, apr_time_t *touched);

/* What this process may not even look at has not changed, as far as it can tell. */
void mtls_look_excuse(mtls_look_t *look);

#endif
