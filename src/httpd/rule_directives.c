/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/rule_directives.h"

#include <http_log.h>

#include "httpd/site.h"
#include "pki/oid.h"
#include "pki/pem_files.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

/* ---- what parsing needs from outside ---- */

static const char *read_all(apr_pool_t *p, apr_file_t *file, const char *path, apr_size_t size,
                            char **text)
{
    apr_size_t got = 0;
    apr_status_t rv;
    char why[120];

    *text = apr_palloc(p, size + 1);
    rv = apr_file_read_full(file, *text, size, &got);
    if (rv != APR_SUCCESS && !(rv == APR_EOF && got == size))
        return apr_psprintf(p, "%s: %s", path, apr_strerror(rv, why, sizeof(why)));
    (*text)[size] = '\0';
    return NULL;
}

static const char *read_file(mtls_parse_env_t *env, const char *path, char **text, apr_size_t *len)
{
    const char *full = ap_server_root_relative(env->p, path);
    const char *error = NULL;
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv;
    char why[120];

    if (!*path || !full)
        return apr_psprintf(env->p, "\"%s\" is not the name of a file", path);
    rv = apr_file_open(&file, full, APR_READ | APR_BINARY, APR_OS_DEFAULT, env->p);
    if (rv != APR_SUCCESS)
        return apr_psprintf(env->p, "%s: %s", full, apr_strerror(rv, why, sizeof(why)));
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
    if (rv != APR_SUCCESS || info.filetype != APR_REG)
        error = apr_psprintf(env->p, "%s is not a regular file", full);
    else if (info.size > (apr_off_t)MTLS_MAX_LIST_BYTES)
        error = apr_psprintf(env->p, "%s is larger than %u bytes", full, MTLS_MAX_LIST_BYTES);
    else
        error = read_all(env->p, file, full, (apr_size_t)info.size, text);
    *len = error ? 0 : (apr_size_t)info.size;
    apr_file_close(file);
    return error;
}

static const char *read_certificates(mtls_parse_env_t *env, const char *path,
                                     apr_array_header_t *digests)
{
    apr_array_header_t *certificates = apr_array_make(env->p, 4, sizeof(X509 *));
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    apr_size_t len = 0;
    char *text = NULL;
    const char *error = read_file(env, path, &text, &len);
    int i;

    if (error)
        return error;
    if ((error = mtls_pem_certificates(env->p, mtls_span(text, len), certificates)) != NULL)
        return apr_psprintf(env->p, "%s %s", path, error);
    for (i = 0; i < certificates->nelts; i++) {
        if (!mtls_x509_digests(APR_ARRAY_IDX(certificates, i, X509 *), sha256, spki))
            return apr_psprintf(env->p, "%s: certificate %d cannot be hashed", path, i + 1);
        APR_ARRAY_PUSH(digests, mtls_span_t) =
            mtls_span_copy(env->p, mtls_span((char *)sha256, sizeof(sha256)));
    }
    return NULL;
}

static const char *compile_expr(mtls_parse_env_t *env, const char *text, const void **expr)
{
    cmd_parms *cmd = env->baton;
    const char *error = NULL;

    /* A rule must not be something else on Tuesdays because a module recorded a variable. */
    *expr = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_DONT_VARY, &error, NULL);
    return error ? apr_psprintf(env->p, "expr: %s", error) : NULL;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    APR_ARRAY_PUSH(mtls_site()->warnings, const char *) =
        apr_psprintf(env->p, "%s: MTLSRequire %s", env->where, text);
}

static mtls_parse_env_t make_env(cmd_parms *cmd, const ap_directive_t *directive)
{
    mtls_parse_env_t env = {cmd->pool,    mtls_where(cmd->pool, directive),
                            cmd,          mtls_oid_of_name,
                            read_file,    read_certificates,
                            compile_expr, warn};
    return env;
}

/* ---- rules and groups ---- */

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

static const char *policy_name(cmd_parms *cmd, const char *args, const char **name)
{
    const char *end = ap_strrchr_c(args, '>');
    const char *inner = end ? apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args)) : "";

    *name = ap_getword_conf(cmd->pool, &inner);
    if (!**name || *inner)
        return "<MTLSPolicy> takes exactly one name: <MTLSPolicy \"partner-api\">";
    if ((*name)[strspn(*name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                              "0123456789._-")])
        return apr_psprintf(cmd->pool,
                            "<MTLSPolicy \"%s\">: a name is made of letters, digits, "
                            "\".\", \"_\" and \"-\"",
                            *name);
    if (ap_cstr_casecmp(*name, "any") == 0)
        return "<MTLSPolicy>: \"any\" is a word of MTLSUsePolicy, not a name";
    return NULL;
}

/* A policy holds rules only: what a section says beside them has no meaning here. */
static const char *check_members(cmd_parms *cmd)
{
    const ap_directive_t *d;

    for (d = cmd->directive->first_child; d; d = d->next) {
        if (ap_cstr_casecmp(d->directive, "MTLSRequire") != 0 &&
            ap_cstr_casecmp(d->directive, "<MTLSRequireAny") != 0 &&
            ap_cstr_casecmp(d->directive, "<MTLSRequireAll") != 0) {
            cmd->err_directive = d;
            return apr_psprintf(cmd->pool,
                                "%s is not allowed inside <MTLSPolicy>; allowed: "
                                "MTLSRequire, <MTLSRequireAny>, <MTLSRequireAll>",
                                d->directive);
        }
    }
    return NULL;
}

static const char *parse_members(cmd_parms *cmd, mtls_policy_t *policy)
{
    const ap_directive_t *d;
    const mtls_rule_t *rule = NULL;
    const char *error = check_members(cmd);

    for (d = cmd->directive->first_child; d && !error; d = d->next) {
        if ((error = parse_member(cmd, d, 0, &rule)) != NULL) {
            if (!cmd->err_directive || cmd->err_directive == cmd->directive)
                cmd->err_directive = d;
            return error;
        }
        mtls_policy_add(policy, rule);
    }
    if (!error && policy->rules->nelts == 0)
        error = apr_psprintf(cmd->pool, "<MTLSPolicy \"%s\"> is empty", policy->name);
    return error;
}

const char *mtls_set_policy(cmd_parms *cmd, void *dir, const char *args)
{
    mtls_named_policy_t *named = apr_pcalloc(cmd->pool, sizeof(*named)), *before;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *name;

    (void)dir;
    if (error || (error = policy_name(cmd, args, &name)) != NULL)
        return error;
    before = apr_hash_get(mtls_site()->policies, name, APR_HASH_KEY_STRING);
    if (before)
        return apr_psprintf(cmd->pool, "<MTLSPolicy \"%s\"> is defined already at %s", name,
                            before->where);
    named->where = mtls_where(cmd->pool, cmd->directive);
    named->policy = mtls_policy_make(cmd->pool, name);
    apr_hash_set(mtls_site()->policies, name, APR_HASH_KEY_STRING, named);
    return parse_members(cmd, named->policy);
}
