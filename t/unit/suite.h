/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Tables of cases as cmocka tests: one row is one case, its first member is its name, and the name
 * says what the case proves. Every case gets a pool of its own. */

#ifndef MTLS_UNIT_SUITE_H
#define MTLS_UNIT_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/span.h"
#include "world.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* The pool of the case that runs. */
extern apr_pool_t *pool;

/* Add a case; `fn` gets `row` in *state. */
void suite_add(const char *name, CMUnitTestFunction fn, const void *row);

/* Add all rows of a table whose first member is `const char *name`. */
void suite_add_rows(CMUnitTestFunction fn, const void *rows, size_t size, size_t n);
#define SUITE_TABLE(fn, table) suite_add_rows(fn, table, sizeof((table)[0]), ROWS(table))
#define SUITE_CASE(fn)         suite_add(#fn, fn, NULL)

/* Run what was added; the exit status of main(). Fails when there are fewer cases than `floor`: a
 * table that went blind must not pass. */
int suite_run(const char *group, size_t floor);

/* Assertions that print both sides. */
void assert_span_equal(mtls_span_t got, mtls_span_t expected);
void assert_span_text(mtls_span_t got, const char *expected);

/* NULL `words`: there must be no message. Else the message must hold all of them, "|" between. */
void assert_message(const char *message, const char *words);

#endif
