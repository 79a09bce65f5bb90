/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* lookup KIND FILE COUNT: look up COUNT values of a list, spread over the whole of it, and as many
 * that it does not hold. Under callgrind with --toggle-collect=present and =absent the counters say
 * what a look-up costs, without the reading of the list. KIND: spiffe, sha256. */

#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/matcher.h"

int present(const mtls_matcher_t *matcher, const mtls_span_t *values, int n);
int absent(const mtls_matcher_t *matcher, const mtls_span_t *values, int n);

static void fail(const char *what)
{
    fprintf(stderr, "lookup: %s\n", what);
    exit(1);
}

static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    FILE *in = fopen(path, "rb");
    char *bytes;
    long size;

    if (!in || fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 0)
        return "cannot be read";
    rewind(in);
    bytes = apr_palloc(env->p, (apr_size_t)size);
    if (fread(bytes, 1, (apr_size_t)size, in) != (apr_size_t)size)
        return "cannot be read";
    *text = mtls_span(bytes, (apr_size_t)size);
    fclose(in);
    return NULL;
}

static int found(const mtls_matcher_t *matcher, const mtls_span_t *values, int n)
{
    int i, steps = 0, yes = 0;

    for (i = 0; i < n; i++)
        yes += mtls_matcher_test(matcher, values[i], &steps) == MTLS_MATCHED_YES;
    return yes;
}

/* Two names for one thing, so that each has counters of its own. */
__attribute__((noinline)) int present(const mtls_matcher_t *matcher, const mtls_span_t *values,
                                      int n)
{
    return found(matcher, values, n);
}

__attribute__((noinline)) int absent(const mtls_matcher_t *matcher, const mtls_span_t *values,
                                     int n)
{
    return found(matcher, values, n);
}

/* Every `count`-th line in comparable form; with `spoil` a value that no line holds. */
static mtls_span_t *sample(mtls_parse_env_t *env, mtls_kind_t kind, const char *path, int count,
                           int spoil)
{
    mtls_span_t *values = apr_pcalloc(env->p, sizeof(*values) * (apr_size_t)count);
    mtls_span_t text = {"", 0};
    apr_size_t line, lines;
    char *at;
    int i;

    if (read_file(env, path, &text) != NULL || text.len == 0)
        fail("no list");
    line = (apr_size_t)(strchr(text.data, '\n') - text.data) + 1; /* all are equally long */
    lines = text.len / line;
    for (i = 0; i < count; i++) {
        at = apr_pstrmemdup(env->p, text.data + (apr_size_t)i * 7919 % lines * line, line - 1);
        if (spoil)
            at[line - 3] = at[line - 3] == 'f' ? 'e' : 'f';
        if (mtls_value_parse(env->p, kind, at, NULL, &values[i], NULL) != NULL)
            fail("a line cannot be parsed");
    }
    return values;
}

/* So that what is counted as a miss is the list's, not that of the values looked up. */
static void touch(const mtls_span_t *values, int n)
{
    volatile char seen = 0;
    apr_size_t at;
    int i;

    for (i = 0; i < n; i++) {
        for (at = 0; at < values[i].len; at++)
            seen = (char)(seen ^ values[i].data[at]);
    }
}

int main(int argc, char **argv)
{
    mtls_parse_env_t env = {.where = "lookup", .read_file = read_file};
    mtls_matcher_t *matcher = NULL;
    int count = argc == 4 ? atoi(argv[3]) : 0, empty = 0;
    mtls_span_t *held, *missing;
    const char *error;
    mtls_kind_t kind;

    if (count < 1)
        fail("usage: lookup spiffe|sha256 FILE COUNT");
    kind = strcmp(argv[1], "spiffe") == 0 ? MTLS_KIND_SPIFFE : MTLS_KIND_SHA256;
    apr_initialize();
    apr_pool_create(&env.p, NULL);
    error = mtls_matcher_parse(&env, (mtls_matcher_spec_t){kind, 0},
                               apr_pstrcat(env.p, "file:", argv[2], NULL), &matcher, &empty);
    if (error)
        fail(error);
    held = sample(&env, kind, argv[2], count, 0);
    missing = sample(&env, kind, argv[2], count, 1);
    touch(held, count);
    touch(missing, count);
    if (present(matcher, held, count) != count || absent(matcher, missing, count) != 0)
        fail("wrong answer");
    apr_pool_destroy(env.p);
    return 0;
}
