/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Large lists of exact values, looked up in time that does not grow with the list. */

#ifndef MTLS_POLICY_VALUE_LIST_H
#define MTLS_POLICY_VALUE_LIST_H

#include "policy/value.h"

typedef struct mtls_value_list_t mtls_value_list_t;

/* Called for every line that holds something; NULL or what is wrong with it. The line ends in NUL.
 */
typedef const char *(*mtls_line_fn)(void *baton, const char *line);

/* Walk the lines of a list file (LF or CRLF; surrounding blanks, empty lines and lines that start
 * with "#" are ignored). Returns NULL or "line N: what is wrong" in `p`. `text` must stay writable
 * and outlive what `fn` keeps of a line. */
const char *mtls_lines_walk(apr_pool_t *p, char *text, apr_size_t len, mtls_line_fn fn,
                            void *baton);

mtls_value_list_t *mtls_value_list_make(apr_pool_t *p, mtls_kind_t kind);

/* Add a value in comparable form (mtls_value_parse); its bytes must outlive the list. */
void mtls_value_list_add(mtls_value_list_t *list, mtls_span_t value);

int mtls_value_list_count(const mtls_value_list_t *list);

/* Whether the list holds `value`, or for MTLS_KIND_IP a network with the address `value`. May be
 * called by several threads at once. */
int mtls_value_list_has(const mtls_value_list_t *list, mtls_span_t value);

#endif
