/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/glob.h"

#include <stdlib.h>

typedef enum token_kind_t { LITERAL = 0, SEGMENT, ANY } token_kind_t;

typedef struct token_t {
    token_kind_t kind;
    char byte;
} token_t;

struct mtls_glob_t {
    const token_t *tokens;
    apr_size_t n;
};

const char *mtls_glob_parse(apr_pool_t *p, mtls_span_t text, mtls_glob_t **glob)
{
    token_t *tokens = apr_palloc(p, sizeof(*tokens) * (text.len + 1));
    apr_size_t i, n = 0;
    int wild = 0;

    for (i = 0; i < text.len; i++) {
        token_t *t = &tokens[n++];
        t->kind = LITERAL;
        t->byte = text.data[i];
        if (t->byte != '*')
            continue;
        wild = 1;
        t->kind = SEGMENT;
        if (i + 1 < text.len && text.data[i + 1] == '*') {
            t->kind = ANY;
            i++;
        }
        if (i + 1 < text.len && text.data[i + 1] == '*')
            return "a glob has \"*\" or \"**\", no longer row of stars";
    }
    if (!wild)
        return "a glob without \"*\" is written as an exact value";
    *glob = apr_palloc(p, sizeof(**glob));
    (*glob)->tokens = tokens;
    (*glob)->n = n;
    return NULL;
}

static int separator(char c)
{
    return c == '.' || c == '/' || c == ':' || c == '@' || c == '?' || c == '#';
}

static int token_takes(const token_t *t, char c)
{
    switch (t->kind) {
    case LITERAL:
        return t->byte == c;
    case SEGMENT:
        return !separator(c);
    case ANY:
        return 1;
    default:
        return 0;
    }
}

apr_size_t mtls_glob_steps(const mtls_glob_t *glob, mtls_span_t value)
{
    return (glob->n + 1) * value.len; /* neither is longer than a certificate or a rule */
}

/* All ways at once (Thompson): reached[i] tells that the first i tokens can have taken the bytes
 * read so far. No way of stars can make that more than tokens x bytes. */
int mtls_glob_test(const mtls_glob_t *glob, mtls_span_t value)
{
    char *reached;
    apr_size_t i, v;
    int found;

    reached = calloc(glob->n + 1, 1);
    if (!reached)
        return -1;
    reached[0] = 1;
    for (v = 0; v < value.len; v++) {
        for (i = glob->n; i > 0; i--) { /* downwards: reached[i - 1] is still of the byte before */
            const token_t *t = &glob->tokens[i - 1];
            int repeats = t->kind != LITERAL && reached[i];
            reached[i] = (char)((reached[i - 1] || repeats) && token_takes(t, value.data[v]));
        }
        reached[0] = 0;
    }
    found = reached[glob->n];
    free(reached);
    return found;
}
