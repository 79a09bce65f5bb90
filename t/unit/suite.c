/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>

#define MAX_CASES 2000

apr_pool_t *pool;

static struct CMUnitTest cases[MAX_CASES];
static size_t case_count;

static int set_up(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    pool = NULL;
    return 0;
}

void suite_add(const char *name, CMUnitTestFunction fn, const void *row)
{
    struct CMUnitTest test = {name, fn, set_up, tear_down, (void *)(uintptr_t)row};

    if (case_count >= MAX_CASES) {
        fprintf(stderr, "more than %d cases\n", MAX_CASES);
        exit(1);
    }
    cases[case_count++] = test;
}

void suite_add_rows(CMUnitTestFunction fn, const void *rows, size_t size, size_t n)
{
    const char *row = rows;
    size_t i;

    for (i = 0; i < n; i++, row += size) {
        const char *name;
        memcpy(&name, row, sizeof(name));
        suite_add(name, fn, row);
    }
}

int suite_run(const char *group, size_t floor)
{
    int failed;

    if (case_count < floor) {
        fprintf(stderr, "%s: %lu cases, at least %lu expected\n", group, (unsigned long)case_count,
                (unsigned long)floor);
        return 1;
    }
    if (apr_initialize() != APR_SUCCESS)
        return 1;
    failed = _cmocka_run_group_tests(group, cases, case_count, NULL, NULL);
    apr_terminate();
    return failed ? 1 : 0;
}

void assert_span_equal(mtls_span_t got, mtls_span_t expected)
{
    if (!mtls_span_equal(got, expected))
        fail_msg("got \"%.*s\" (%lu bytes), expected \"%.*s\" (%lu bytes)", (int)got.len, got.data,
                 (unsigned long)got.len, (int)expected.len, expected.data,
                 (unsigned long)expected.len);
}

void assert_span_text(mtls_span_t got, const char *expected)
{
    assert_span_equal(got, mtls_span_of(expected));
}

void assert_message(const char *message, const char *words)
{
    char *word, *rest;

    if (!words) {
        if (message)
            fail_msg("unexpected: %s", message);
        return;
    }
    if (!message)
        fail_msg("accepted, expected a message with: %s", words);
    rest = apr_pstrdup(pool, words);
    while ((word = apr_strtok(rest, "|", &rest)) != NULL) {
        if (!strstr(message, word))
            fail_msg("\"%s\" is missing in: %s", word, message);
    }
}
