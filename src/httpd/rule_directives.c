/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/rule_directives.h"

#include "httpd/ocsp_directives.h"
#include "httpd/site.h"
#include "httpd/watched.h"
#include "httpd/trust_directives.h"
#include "policy/limits.h"

/* ---- rules and groups ---- */

static void warn_of_rule(mtls_parse_env_t *env, const char *text)
{
    APR_ARRAY_PUSH(mtls_site()->warnings, const char *) =
        apr_psprintf(env->p, "%s: MTLSRequire %s", env->where, text);
}

static mtls_parse_env_t make_env(cmd_parms *cmd, const ap_directive_t *directive)
{
    mtls_parse_env_t env = mtls_watched_env(cmd, directive);

    env.warn = warn_of_rule;
    return env;
}

static const char *parse_rule(cmd_parms *cmd, const ap_directive_t *directive, const char *args,
                              const mtls_rule_t **out)
{
    mtls_parse_env_t env = make_env(cmd, directive);
    mtls_rule_t *rule = NULL;
    const char *error = mtls_rule_parse(&env, args, &rule);

    *out = rule;
    return error ? apr_pstrcat(cmd->pool, "MTLSRequire: ", error, NULL) : NULL;
}

static const char *parse_group(cmd_parms *cmd, const ap_directive_t *directive,
                               mtls_rule_kind_t kind, int depth, const mtls_rule_t **out);

static const char *parse_member(cmd_parms *cmd, const ap_directive_t *d, int depth,
                                const mtls_rule_t **out)
{
    if (ap_cstr_casecmp(d->directive, "MTLSRequire") == 0)
        return parse_rule(cmd, d, d->args, out);
    if (ap_cstr_casecmp(d->directive, "<MTLSRequireAny") == 0)
        return parse_group(cmd, d, MTLS_RULE_ANY, depth + 1, out);
    if (ap_cstr_casecmp(d->directive, "<MTLSRequireAll") == 0)
        return parse_group(cmd, d, MTLS_RULE_ALL, depth + 1, out);
    return apr_psprintf(cmd->pool,
                        "%s is not allowed here; allowed: MTLSRequire, "
                        "<MTLSRequireAny>, <MTLSRequireAll>",
                        d->directive);
}

static const char *parse_group(cmd_parms *cmd, const ap_directive_t *directive,
                               mtls_rule_kind_t kind, int depth, const mtls_rule_t **out)
{
    mtls_parse_env_t env = make_env(cmd, directive);
    mtls_rule_t *group = mtls_rule_group(&env, kind);
    const ap_directive_t *d;
    const mtls_rule_t *rule = NULL;
    const char *error;

    *out = group;
    if (strcmp(directive->args, ">") != 0)
        return apr_psprintf(cmd->pool, "%s> takes no arguments", directive->directive);
    if (depth > MTLS_MAX_RULE_DEPTH)
        return apr_psprintf(cmd->pool, "groups stand at most %d deep in each other",
                            MTLS_MAX_RULE_DEPTH);
    for (d = directive->first_child; d; d = d->next) {
        if ((error = parse_member(cmd, d, depth, &rule)) != NULL) {
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

static const char *wrong_context(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
}

static void add_rule(cmd_parms *cmd, void *dir, const mtls_rule_t *rule)
{
    APR_ARRAY_PUSH(mtls_section_of(cmd, dir)->rules, const mtls_rule_t *) = rule;
}

const char *mtls_set_require(cmd_parms *cmd, void *dir, const char *args)
{
    const mtls_rule_t *rule = NULL;
    const char *error = wrong_context(cmd);

    if (error || (error = parse_rule(cmd, cmd->directive, args, &rule)) != NULL)
        return error;
    add_rule(cmd, dir, rule);
    return NULL;
}

static const char *set_group(cmd_parms *cmd, void *dir, mtls_rule_kind_t kind)
{
    const mtls_rule_t *group = NULL;
    const char *error = wrong_context(cmd);

    if (error || (error = parse_group(cmd, cmd->directive, kind, 1, &group)) != NULL)
        return error;
    add_rule(cmd, dir, group);
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
    const mtls_rule_t *rule = NULL;
    const char *error;

    if (ap_cstr_casecmp(d->directive, "MTLSTrust") == 0 && policy->trust)
        return "MTLSTrust is set already in this policy; name all stores on one line";
    if (ap_cstr_casecmp(d->directive, "MTLSTrust") == 0)
        return mtls_trust_parse(cmd, d, d->args, &policy->trust);
    if (ap_cstr_casecmp(d->directive, "MTLSOCSP") == 0 && policy->ocsp.level != MTLS_DEMAND_UNSET)
        return "MTLSOCSP is set already in this policy";
    if (ap_cstr_casecmp(d->directive, "MTLSOCSP") == 0)
        return mtls_ocsp_demand_parse(cmd->pool, d->args, &policy->ocsp);
    if (ap_cstr_casecmp(d->directive, "MTLSRequire") != 0 &&
        ap_cstr_casecmp(d->directive, "<MTLSRequireAny") != 0 &&
        ap_cstr_casecmp(d->directive, "<MTLSRequireAll") != 0)
        return apr_psprintf(cmd->pool,
                            "%s is not allowed inside <MTLSPolicy>; allowed: MTLSTrust, "
                            "MTLSOCSP, MTLSRequire, <MTLSRequireAny>, <MTLSRequireAll>",
                            d->directive);
    if ((error = parse_member(cmd, d, 0, &rule)) == NULL)
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
