/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/rule_directives.h"

#include "httpd/backend_directives.h"
#include "httpd/ocsp_directives.h"
#include "httpd/site.h"
#include "httpd/watched.h"
#include "httpd/trust_directives.h"
#include "policy/limits.h"

/* ---- rules and groups ---- */

/* The directive of a rule about a client's certificate, or about a server's. */
static const char *directive_of(mtls_purpose_t purpose)
{
    return purpose == MTLS_PURPOSE_SERVER ? "MTLSBackendRequire" : "MTLSRequire";
}

static void warn_of_rule(mtls_parse_env_t *env, const char *text)
{
    APR_ARRAY_PUSH(mtls_site()->warnings, const char *) =
        apr_psprintf(env->p, "%s: %s %s", env->where, directive_of(env->purpose), text);
}

static mtls_parse_env_t make_env(cmd_parms *cmd, const ap_directive_t *directive)
{
    mtls_parse_env_t env = mtls_watched_env(cmd, directive);

    env.warn = warn_of_rule;
    return env;
}

static const char *parse_rule(cmd_parms *cmd, const ap_directive_t *directive,
                              mtls_purpose_t purpose, const mtls_rule_t **out)
{
    mtls_parse_env_t env = make_env(cmd, directive);
    mtls_rule_t *rule = NULL;
    const char *error;

    env.purpose = purpose;
    error = mtls_rule_parse(&env, directive->args, &rule);
    *out = rule;
    return error ? apr_pstrcat(cmd->pool, directive_of(purpose), ": ", error, NULL) : NULL;
}

/* Whose certificate a group is about: its first rule says it, and all others must agree. */
static mtls_purpose_t purpose_of(const ap_directive_t *directive)
{
    const ap_directive_t *d;

    for (d = directive; d; d = d->first_child) {
        if (ap_cstr_casecmp(d->directive, directive_of(MTLS_PURPOSE_SERVER)) == 0)
            return MTLS_PURPOSE_SERVER;
    }
    return MTLS_PURPOSE_CLIENT;
}

/* Where a rule stands: whose certificate it is about, and how deep in groups. */
typedef struct place_t {
    mtls_purpose_t purpose;
    int depth;
} place_t;

static const char *parse_group(cmd_parms *cmd, const ap_directive_t *directive,
                               mtls_rule_kind_t kind, place_t place, const mtls_rule_t **out);

static const char *parse_member(cmd_parms *cmd, const ap_directive_t *d, place_t place,
                                const mtls_rule_t **out)
{
    place_t inner = {place.purpose, place.depth + 1};

    if (ap_cstr_casecmp(d->directive, directive_of(place.purpose)) == 0)
        return parse_rule(cmd, d, place.purpose, out);
    if (ap_cstr_casecmp(d->directive, "<MTLSRequireAny") == 0)
        return parse_group(cmd, d, MTLS_RULE_ANY, inner, out);
    if (ap_cstr_casecmp(d->directive, "<MTLSRequireAll") == 0)
        return parse_group(cmd, d, MTLS_RULE_ALL, inner, out);
    return apr_psprintf(cmd->pool,
                        "%s is not allowed here; allowed: %s, <MTLSRequireAny>, <MTLSRequireAll>",
                        d->directive, directive_of(place.purpose));
}

static const char *parse_group(cmd_parms *cmd, const ap_directive_t *directive,
                               mtls_rule_kind_t kind, place_t place, const mtls_rule_t **out)
{
    mtls_parse_env_t env = make_env(cmd, directive);
    mtls_rule_t *group = mtls_rule_group(&env, kind);
    const ap_directive_t *d;
    const mtls_rule_t *rule = NULL;
    const char *error;

    *out = group;
    if (strcmp(directive->args, ">") != 0)
        return apr_psprintf(cmd->pool, "%s> takes no arguments", directive->directive);
    if (place.depth > MTLS_MAX_RULE_DEPTH)
        return apr_psprintf(cmd->pool, "groups stand at most %d deep in each other",
                            MTLS_MAX_RULE_DEPTH);
    for (d = directive->first_child; d; d = d->next) {
        if ((error = parse_member(cmd, d, place, &rule)) != NULL) {
            if (!cmd->err_directive || cmd->err_directive == cmd->directive)
                cmd->err_directive = d;
            return error;
        }
        mtls_rule_group_add(group, rule);
    }
    if (mtls_rule_group_count(group) == 0)
        return apr_psprintf(cmd->pool, "%s> is empty: it could never hold", directive->directive);
    return NULL;
}

static const char *wrong_context(cmd_parms *cmd, mtls_purpose_t purpose)
{
    return purpose == MTLS_PURPOSE_SERVER
               ? mtls_backend_begin(cmd)
               : ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
}

static void add_rule(cmd_parms *cmd, void *dir, mtls_purpose_t purpose, const mtls_rule_t *rule)
{
    apr_array_header_t *rules = purpose == MTLS_PURPOSE_SERVER
                                    ? mtls_backend_section_of(cmd, dir)->rules
                                    : mtls_section_of(cmd, dir)->rules;

    APR_ARRAY_PUSH(rules, const mtls_rule_t *) = rule;
}

static const char *set_rule(cmd_parms *cmd, void *dir, mtls_purpose_t purpose)
{
    const mtls_rule_t *rule = NULL;
    const char *error = wrong_context(cmd, purpose);

    if (error || (error = parse_rule(cmd, cmd->directive, purpose, &rule)) != NULL)
        return error;
    add_rule(cmd, dir, purpose, rule);
    return NULL;
}

const char *mtls_set_require(cmd_parms *cmd, void *dir, const char *args)
{
    (void)args;
    return set_rule(cmd, dir, MTLS_PURPOSE_CLIENT);
}

const char *mtls_set_backend_require(cmd_parms *cmd, void *dir, const char *args)
{
    (void)args;
    return set_rule(cmd, dir, MTLS_PURPOSE_SERVER);
}

static const char *set_group(cmd_parms *cmd, void *dir, mtls_rule_kind_t kind)
{
    place_t place = {purpose_of(cmd->directive->first_child), 1};
    const mtls_rule_t *group = NULL;
    const char *error = wrong_context(cmd, place.purpose);

    if (error || (error = parse_group(cmd, cmd->directive, kind, place, &group)) != NULL)
        return error;
    add_rule(cmd, dir, place.purpose, group);
    return NULL;
}

const char *mtls_set_require_any(cmd_parms *cmd, void *dir, const char *args)
{
    (void)args;
    return set_group(cmd, dir, MTLS_RULE_ANY);
}

const char *mtls_set_require_all(cmd_parms *cmd, void *dir, const char *args)
{
    (void)args;
    return set_group(cmd, dir, MTLS_RULE_ALL);
}

/* ---- <MTLSPolicy NAME> ---- */

/* A policy holds trust and rules: what a section says beside them has no meaning here. */
static const char *add_member(cmd_parms *cmd, const ap_directive_t *d, mtls_policy_t *policy)
{
    static const place_t place = {MTLS_PURPOSE_CLIENT, 0};
    const mtls_rule_t *rule = NULL;
    const char *error;

    if (ap_cstr_casecmp(d->directive, "MTLSTrust") == 0 && policy->trust)
        return "MTLSTrust is set already in this policy; name all stores on one line";
    if (ap_cstr_casecmp(d->directive, "MTLSTrust") == 0)
        return mtls_trust_parse(cmd, d, d->args, &policy->trust);
    if (ap_cstr_casecmp(d->directive, "MTLSOCSP") == 0 && policy->ocsp.level != MTLS_DEMAND_UNSET)
        return "MTLSOCSP is set already in this policy";
    if (ap_cstr_casecmp(d->directive, "MTLSOCSP") == 0)
        return mtls_ocsp_demand_parse(cmd->pool, d->directive, d->args, &policy->ocsp);
    if (ap_cstr_casecmp(d->directive, "MTLSRequire") != 0 &&
        ap_cstr_casecmp(d->directive, "<MTLSRequireAny") != 0 &&
        ap_cstr_casecmp(d->directive, "<MTLSRequireAll") != 0)
        return apr_psprintf(cmd->pool,
                            "%s is not allowed inside <MTLSPolicy>; allowed: MTLSTrust, "
                            "MTLSOCSP, MTLSRequire, <MTLSRequireAny>, <MTLSRequireAll>",
                            d->directive);
    if ((error = parse_member(cmd, d, place, &rule)) == NULL)
        mtls_policy_add(policy, rule);
    return error;
}

static const char *add_members(cmd_parms *cmd, mtls_policy_t *policy)
{
    const ap_directive_t *d;
    const char *error;

    for (d = cmd->directive->first_child; d; d = d->next) {
        if ((error = add_member(cmd, d, policy)) != NULL) {
            if (!cmd->err_directive || cmd->err_directive == cmd->directive)
                cmd->err_directive = d;
            return error;
        }
    }
    if (policy->rules->nelts == 0 && !policy->trust && !mtls_policy_asks(&policy->ocsp))
        return apr_psprintf(cmd->pool, "<MTLSPolicy \"%s\"> is empty", policy->name);
    return NULL;
}

const char *mtls_set_policy(cmd_parms *cmd, void *dir, const char *args)
{
    mtls_named_policy_t *named = apr_pcalloc(cmd->pool, sizeof(*named)), *before;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *name;

    (void)dir;
    if (error || (error = mtls_section_name(cmd, args, &name)) != NULL)
        return error;
    if (ap_cstr_casecmp(name, "any") == 0)
        return "<MTLSPolicy>: \"any\" is a word of MTLSUsePolicy, not a name";
    before = apr_hash_get(mtls_site()->policies, name, APR_HASH_KEY_STRING);
    if (before)
        return apr_psprintf(cmd->pool, "<MTLSPolicy \"%s\"> is defined already at %s", name,
                            before->where);
    named->where = mtls_where(cmd->pool, cmd->directive);
    named->policy = mtls_policy_make(cmd->pool, name);
    apr_hash_set(mtls_site()->policies, name, APR_HASH_KEY_STRING, named);
    return add_members(cmd, named->policy);
}
