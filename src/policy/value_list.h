/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Large lists of exact values, looked up in time that does not grow with the list. A list is made
 * by one thread, sealed, and never written to again: children that are forked share its memory. */

#ifndef MTLS_POLICY_VALUE_LIST_H
#define MTLS_POLICY_VALUE_LIST_H

#include "policy/value.h"

typedef struct mtls_value_list_t mtls_value_list_t;

/* Called for every line that holds something; NULL or what is wrong with it, which may stand in
 * `scratch`. `line` ends in NUL. It and what is in `scratch` may be gone when the next line comes.
 */
typedef const char *(*mtls_line_fn)(void *baton, apr_pool_t *scratch, const char *line);

/* Walk the lines of a list file (LF or CRLF; surrounding blanks, empty lines and lines that start
 * with "#" are ignored). Returns NULL or "line N: what is wrong" in `p`; the text is not changed.
 */
const char *mtls_lines_walk(apr_pool_t *p, const char *text, apr_size_t len, mtls_line_fn fn,
                            void *baton);

/* An empty list that lives as long as `p`. Its memory is not the pool's: it is given back when `p`
 * ends, and what growing leaves behind at once. */
mtls_value_list_t *mtls_value_list_make(apr_pool_t *p, mtls_kind_t kind);

/* Add a copy of a value in comparable form (mtls_value_parse); one that is there already changes
 * nothing. NULL or why it was not added (static text); the list is then as it was. */
const char *mtls_value_list_add(mtls_value_list_t *list, mtls_span_t value);

/* Give back the memory that was kept for growing. Nothing can be added any more. */
void mtls_value_list_seal(mtls_value_list_t *list);

int mtls_value_list_count(const mtls_value_list_t *list);

/* The memory the list takes. */
apr_size_t mtls_value_list_bytes(const mtls_value_list_t *list);

/* Whether the list holds `value`, or for MTLS_KIND_IP a network with the address `value`. May be
 * called by several threads at once. */
int mtls_value_list_has(const mtls_value_list_t *list, mtls_span_t value);

#endif
