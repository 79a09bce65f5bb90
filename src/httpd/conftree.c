/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/conftree.h"

#include <apr_lib.h>
#include <http_config.h>

#include "httpd/config.h"

static int is(const ap_directive_t *d, const char *name)
{
    return ap_cstr_casecmp(d->directive, name) == 0;
}

/* The first directive at the top level of a server; for a virtual host the inside of its block. */
static const ap_directive_t *top_of(const server_rec *s)
{
    const ap_directive_t *d;

    if (!s->is_virtual)
        return ap_conftree;
    for (d = ap_conftree; d; d = d->next) {
        if (is(d, "<VirtualHost") && d->line_num == (int)s->defn_line_number && d->filename &&
            s->defn_name && strcmp(d->filename, s->defn_name) == 0)
            return d->first_child;
    }
    return NULL;
}

static const char *last_at(const ap_directive_t *d, const char *directive)
{
    const char *found = NULL;

    for (; d; d = d->next) {
        if (is(d, directive))
            found = d->args;
    }
    return found;
}

const char *mtls_conftree_setting(const server_rec *s, const char *directive)
{
    const char *found = s->is_virtual ? last_at(top_of(s), directive) : NULL;

    return found ? found : last_at(ap_conftree, directive);
}

static int below(const ap_directive_t *d, const char *directive, const char *except)
{
    for (; d; d = d->next) {
        if (is(d, directive) && (!except || ap_cstr_casecmp(d->args, except) != 0))
            return 1;
        if (!is(d, "<VirtualHost") && below(d->first_child, directive, except))
            return 1;
    }
    return 0;
}

int mtls_conftree_somewhere(const server_rec *s, const char *directive, const char *except)
{
    return below(top_of(s), directive, except) ||
           (s->is_virtual && below(ap_conftree, directive, except));
}

static int requires_mtls(const char *args, int *negated)
{
    *negated = ap_cstr_casecmpn(args, "not", 3) == 0 && apr_isspace(args[3]);
    if (*negated)
        args += 3;
    while (apr_isspace(*args))
        args++;
    return ap_cstr_casecmpn(args, "mtls", 4) == 0 &&
           (!args[4] || apr_isspace(args[4]) || ap_cstr_casecmpn(args + 4, "-policy", 7) == 0);
}

static const ap_directive_t *negated_below(const ap_directive_t *d, int in_none)
{
    const ap_directive_t *found;
    int negated;

    for (; d; d = d->next) {
        if (is(d, "Require") && requires_mtls(d->args, &negated) && (negated || in_none))
            return d;
        found = negated_below(d->first_child, in_none || is(d, "<RequireNone"));
        if (found)
            return found;
    }
    return NULL;
}

const char *mtls_conftree_negated_require(apr_pool_t *p)
{
    const ap_directive_t *d = negated_below(ap_conftree, 0);

    return d ? mtls_where(p, d) : NULL;
}
