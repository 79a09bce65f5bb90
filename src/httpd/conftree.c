/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/conftree.h"

#include <http_config.h>

#include "httpd/config.h"

static int is(const ap_directive_t *d, const char *name)
{
    return ap_cstr_casecmp(d->directive, name) == 0;
}

static int defined_by(const server_rec *s, const char *file, int line)
{
    return s->is_virtual && s->defn_name && file && (int)s->defn_line_number == line &&
           strcmp(s->defn_name, file) == 0;
}

/* How many virtual hosts the same lines have defined before this one: a file can be included more
 * than once. httpd's list of servers is in reverse order of reading. */
static int rank_of(const server_rec *s)
{
    const server_rec *earlier;
    int rank = 0;

    for (earlier = s->next; earlier; earlier = earlier->next)
        rank += defined_by(earlier, s->defn_name, (int)s->defn_line_number);
    return rank;
}

/* The first directive at the top level of a server; for a virtual host the inside of its block. */
static const ap_directive_t *top_of(const server_rec *s)
{
    const ap_directive_t *d;
    int rank;

    if (!s->is_virtual)
        return ap_conftree;
    rank = rank_of(s);
    for (d = ap_conftree; d; d = d->next) {
        if (is(d, "<VirtualHost") && defined_by(s, d->filename, d->line_num) && rank-- == 0)
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

/* The same, but not at the top level itself. */
static int in_sections(const ap_directive_t *d, const char *directive, const char *except)
{
    for (; d; d = d->next) {
        if (!is(d, "<VirtualHost") && below(d->first_child, directive, except))
            return 1;
    }
    return 0;
}

int mtls_conftree_in_sections(const server_rec *s, const char *directive, const char *except)
{
    return in_sections(top_of(s), directive, except) ||
           (s->is_virtual && in_sections(ap_conftree, directive, except));
}

int mtls_conftree_somewhere(const server_rec *s, const char *directive, const char *except)
{
    return below(top_of(s), directive, except) ||
           (s->is_virtual && below(ap_conftree, directive, except));
}

static int mentions(const ap_directive_t *d, const char *directive, const char *text)
{
    for (; d; d = d->next) {
        if ((is(d, directive) && ap_strcasestr(d->args, text)) ||
            mentions(d->first_child, directive, text))
            return 1;
    }
    return 0;
}

int mtls_conftree_mentions(const char *directive, const char *text)
{
    return mentions(ap_conftree, directive, text);
}

static int is_our_provider(const char *name)
{
    return ap_cstr_casecmp(name, "mtls") == 0 || ap_cstr_casecmp(name, "mtls-policy") == 0;
}

/* Whether a Require line asks for one of ours; its words are read as mod_authz_core reads them. */
static int requires_ours(apr_pool_t *p, const char *args, int *negated)
{
    const char *word = ap_getword_conf(p, &args);

    *negated = ap_cstr_casecmp(word, "not") == 0;
    return is_our_provider(*negated ? ap_getword_conf(p, &args) : word);
}

static int aliases_ours(apr_pool_t *p, const ap_directive_t *d)
{
    const char *args = d->args;

    return is(d, "<AuthzProviderAlias") && is_our_provider(ap_getword_conf(p, &args));
}

/* An alias could be negated under any name, so there are none of ours. */
static const ap_directive_t *negated_below(apr_pool_t *p, const ap_directive_t *d, int in_none)
{
    const ap_directive_t *found;
    int negated;

    for (; d; d = d->next) {
        if (is(d, "Require") && requires_ours(p, d->args, &negated) && (negated || in_none))
            return d;
        if (aliases_ours(p, d))
            return d;
        found = negated_below(p, d->first_child, in_none || is(d, "<RequireNone"));
        if (found)
            return found;
    }
    return NULL;
}

const char *mtls_conftree_negated_require(apr_pool_t *p)
{
    const ap_directive_t *d = negated_below(p, ap_conftree, 0);

    return d ? mtls_where(p, d) : NULL;
}
