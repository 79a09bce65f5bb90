/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The last good texts of all that is read from files, in a folder of the server's runtime
 * directory. A process that comes late - an idle child, the parent at a restart - finds there what
 * the others have in force, also when the files themselves are broken by then. */

#ifndef MTLS_HTTPD_KEPT_H
#define MTLS_HTTPD_KEPT_H

#include <httpd.h>
#include <apr_hash.h>

#include "httpd/files.h"
#include "policy/span.h"

/* Texts by name (mtls_span_t *), slices of one file. */
typedef struct mtls_kept_t {
    apr_hash_t *texts;
    mtls_text_t *owner; /* holds the bytes; released with the pool it was read in */
    apr_uint64_t state; /* of the source when these were in force */
} mtls_kept_t;

/* post_config: make the folder of this run, for so many sources. 0: impossible, logged. */
int mtls_kept_start(apr_pool_t *pconf, server_rec *s, int count);

/* Write the texts of a source; those it had before and `texts` lacks stay where `names` has them.
 * 0: not written, logged. */
int mtls_kept_write(int index, apr_uint64_t state, apr_hash_t *texts, const apr_hash_t *names);

/* Keep a text that must not be written to a disk for the next restart, in the parent's memory; does
 * nothing in a child. */
void mtls_kept_secret(const char *name, mtls_span_t text);

/* What a child has kept of a source in this run; NULL: nothing. Not all its texts may be there. */
const mtls_kept_t *mtls_kept_read(apr_pool_t *p, int index);

/* A text of the run before, while the configuration is read for a restart; NULL: none. */
const mtls_span_t *mtls_kept_before(apr_pool_t *p, const char *name);

/* The configuration is read, and what was taken from the run before is written anew. */
void mtls_kept_forget_before(void);

/* Whether the server has run before: the configuration is read for a restart. */
int mtls_kept_is_restart(void);

#endif
