/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/trust_directives.h"

#include "httpd/ocsp_directives.h"
#include "httpd/reload.h"
#include "httpd/site.h"
#include "httpd/watched.h"
#include "policy/limits.h"
#include "policy/spiffe.h"

#define VHOST "vhost"

/* ---- names ---- */

const char *mtls_check_name(apr_pool_t *p, const char *directive, const char *name)
{
    if (*name && !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789._-")])
        return NULL;
    return apr_psprintf(p, "%s \"%s\">: a name is made of letters, digits, \".\", \"_\" and \"-\"",
                        directive, name);
}

const char *mtls_section_name(cmd_parms *cmd, const char *args, const char **name)
{
    const char *end = ap_strrchr_c(args, '>');
    const char *inner = end ? apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args)) : "";

    *name = ap_getword_conf(cmd->pool, &inner);
    if (!**name || *inner)
        return apr_psprintf(cmd->pool, "%s> takes exactly one name: %s \"partners\">",
                            cmd->cmd->name, cmd->cmd->name);
    return mtls_check_name(cmd->pool, cmd->cmd->name, *name);
}

/* ---- inside <MTLSTrustStore> ---- */

typedef const char *(*member_fn)(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value);

static const char *add_files(cmd_parms *cmd, mtls_trust_spec_t *spec, mtls_store_part_t part,
                             const char *value)
{
    APR_ARRAY_PUSH(spec->files[part], const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *add_anchor(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    return add_files(cmd, spec, MTLS_STORE_ANCHOR, value);
}

static const char *add_intermediate(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    return add_files(cmd, spec, MTLS_STORE_INTERMEDIATE, value);
}

static const char *add_allowed(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    return add_files(cmd, spec, MTLS_STORE_ALLOWED, value);
}

static const char *add_crl(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    return add_files(cmd, spec, MTLS_STORE_CRL, value);
}

static const char *set_crl_check(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    if (spec->crl_check != MTLS_CRL_CHECK_UNSET && ap_cstr_casecmp(value, "missing-ok") == 0)
        spec->crl_missing_ok = 1;
    else if (spec->crl_check != MTLS_CRL_CHECK_UNSET)
        return apr_psprintf(cmd->pool, "unknown value \"%s\"; allowed there: missing-ok", value);
    else if (ap_cstr_casecmp(value, "chain") == 0)
        spec->crl_check = MTLS_CRL_CHECK_CHAIN;
    else if (ap_cstr_casecmp(value, "leaf") == 0)
        spec->crl_check = MTLS_CRL_CHECK_LEAF;
    else if (ap_cstr_casecmp(value, "off") == 0)
        spec->crl_check = MTLS_CRL_CHECK_OFF;
    else
        return apr_psprintf(cmd->pool,
                            "unknown value \"%s\"; allowed: chain, leaf or off, and behind it "
                            "missing-ok",
                            value);
    return NULL;
}

static const char *add_domain(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    const char *error = mtls_spiffe_domain_parse(mtls_span_of(value));

    if (error)
        return apr_psprintf(cmd->pool, "\"%s\": %s", value, error);
    APR_ARRAY_PUSH(spec->domains, const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_depth(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    if (strlen(value) > 2 || strspn(value, "0123456789") != strlen(value) ||
        atoi(value) > MTLS_MAX_VERIFY_DEPTH)
        return apr_psprintf(cmd->pool, "unknown value \"%s\"; allowed: a number from 0 to %d",
                            value, MTLS_MAX_VERIFY_DEPTH);
    spec->depth = atoi(value);
    return NULL;
}

static const char *set_partial_chain(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    spec->partial_chain = ap_cstr_casecmp(value, "on") == 0;
    if (spec->partial_chain || ap_cstr_casecmp(value, "off") == 0)
        return NULL;
    return apr_psprintf(cmd->pool, "unknown value \"%s\"; allowed: On, Off", value);
}

static const char *set_responder(cmd_parms *cmd, mtls_trust_spec_t *spec, const char *value)
{
    if (!spec->responder) {
        spec->responder = apr_pstrdup(cmd->pool, value);
        spec->responder_where = spec->where;
        return mtls_ocsp_check_url(cmd->pool, value);
    }
    spec->responder_overrides = ap_cstr_casecmp(value, "override") == 0;
    return spec->responder_overrides
               ? NULL
               : apr_psprintf(cmd->pool, "unknown value \"%s\"; allowed there: override", value);
}

static const char *add_responder_certificate(cmd_parms *cmd, mtls_trust_spec_t *spec,
                                             const char *value)
{
    return add_files(cmd, spec, MTLS_STORE_RESPONDER, value);
}

static const struct {
    const char *name;
    member_fn set;
    int most; /* values on a line; 0: any number */
} members[] = {
    {"MTLSAnchor", add_anchor, 0},
    {"MTLSIntermediate", add_intermediate, 0},
    {"MTLSCRL", add_crl, 0},
    {"MTLSCRLCheck", set_crl_check, 2},
    {"MTLSAllowCertificate", add_allowed, 0},
    {"MTLSTrustDomain", add_domain, 0},
    {"MTLSVerifyDepth", set_depth, 1},
    {"MTLSPartialChain", set_partial_chain, 1},
    {"MTLSOCSPResponder", set_responder, 2},
    {"MTLSOCSPResponderCertificate", add_responder_certificate, 0},
};

/* The same directive stands before in the section. */
static int is_repeated(const cmd_parms *cmd, const ap_directive_t *d)
{
    const ap_directive_t *earlier;

    for (earlier = cmd->directive->first_child; earlier != d; earlier = earlier->next) {
        if (ap_cstr_casecmp(earlier->directive, d->directive) == 0)
            return 1;
    }
    return 0;
}

static const char *set_values(cmd_parms *cmd, mtls_trust_spec_t *spec, const ap_directive_t *d,
                              apr_size_t member)
{
    const char *args = d->args, *value, *error = *args ? NULL : "needs a value";
    int n = 0;

    if (members[member].most && is_repeated(cmd, d))
        error = "is set already";
    while (*args && !error) {
        value = ap_getword_conf(cmd->pool, &args);
        if (!*value || (members[member].most && ++n > members[member].most))
            error = apr_psprintf(cmd->pool, "wrong number of values (\"%s\")", d->args);
        else
            error = members[member].set(cmd, spec, value);
    }
    return error ? apr_psprintf(cmd->pool, "%s: %s", members[member].name, error) : NULL;
}

static const char *unknown_member(cmd_parms *cmd, const ap_directive_t *d)
{
    const char *names = NULL;
    apr_size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        names =
            names ? apr_pstrcat(cmd->pool, names, ", ", members[i].name, NULL) : members[i].name;
    return apr_psprintf(cmd->pool, "%s is not allowed inside <MTLSTrustStore>; allowed: %s",
                        d->directive, names);
}

static const char *set_member(cmd_parms *cmd, mtls_trust_spec_t *spec, const ap_directive_t *d)
{
    apr_size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (ap_cstr_casecmp(d->directive, members[i].name) == 0)
            return set_values(cmd, spec, d, i);
    }
    return unknown_member(cmd, d);
}

static const char *set_members(cmd_parms *cmd, mtls_trust_spec_t *spec)
{
    const ap_directive_t *d;
    const char *error;

    for (d = cmd->directive->first_child; d; d = d->next) {
        if ((error = set_member(cmd, spec, d)) != NULL) {
            cmd->err_directive = d;
            return error;
        }
    }
    return NULL;
}

/* ---- <MTLSTrustStore NAME> ---- */

static mtls_trust_spec_t *make_spec(cmd_parms *cmd, const char *name)
{
    mtls_trust_spec_t *spec = apr_pcalloc(cmd->pool, sizeof(*spec));
    int part;

    spec->name = name;
    spec->where = mtls_where(cmd->pool, cmd->directive);
    spec->depth = MTLS_DEFAULT_VERIFY_DEPTH;
    spec->domains = apr_array_make(cmd->pool, 4, sizeof(const char *));
    for (part = 0; part < MTLS_STORE_PARTS; part++)
        spec->files[part] = apr_array_make(cmd->pool, 4, sizeof(const char *));
    return spec;
}

static const char *check_spec(const mtls_trust_spec_t *spec)
{
    if (spec->crl_check != MTLS_CRL_CHECK_UNSET && spec->crl_check != MTLS_CRL_CHECK_OFF &&
        spec->files[MTLS_STORE_CRL]->nelts == 0)
        return "MTLSCRLCheck without any MTLSCRL would refuse everybody";
    if (spec->crl_check == MTLS_CRL_CHECK_OFF && spec->crl_missing_ok)
        return "MTLSCRLCheck off missing-ok: nothing is checked, so nothing can be missing";
    return NULL;
}

static const char *check_new_name(cmd_parms *cmd, const char *name)
{
    const mtls_trust_handle_t *before = mtls_site_store(name);

    if (strcmp(name, VHOST) == 0)
        return "<MTLSTrustStore>: \"" VHOST "\" is the name of the CAs mod_ssl loads for each "
               "virtual host";
    if (before)
        return apr_psprintf(cmd->pool, "<MTLSTrustStore \"%s\"> is defined already at %s", name,
                            before->spec->where);
    return NULL;
}

static const char *load_store(cmd_parms *cmd, mtls_trust_spec_t *spec)
{
    mtls_trust_handle_t *handle = apr_pcalloc(cmd->pool, sizeof(*handle));
    mtls_parse_env_t env = mtls_watched_env(cmd, cmd->directive);
    const char *error;

    env.where = apr_psprintf(cmd->pool, "%s: <MTLSTrustStore \"%s\">", env.where, spec->name);
    handle->spec = spec;
    if ((error = env.watch(&env, mtls_trust_store_load, spec, &handle->live)) == NULL)
        apr_hash_set(mtls_site()->stores, spec->name, APR_HASH_KEY_STRING, handle);
    return error;
}

const char *mtls_set_trust_store(cmd_parms *cmd, void *dir, const char *args)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    mtls_trust_spec_t *spec;
    const char *name;

    (void)dir;
    if (error || (error = mtls_section_name(cmd, args, &name)) != NULL ||
        (error = check_new_name(cmd, name)) != NULL)
        return error;
    spec = make_spec(cmd, name);
    if ((error = set_members(cmd, spec)) != NULL)
        return error;
    if ((error = check_spec(spec)) == NULL) {
        APR_ARRAY_PUSH(spec->domains, const char *) = NULL;
        error = load_store(cmd, spec);
    }
    return error ? apr_psprintf(cmd->pool, "<MTLSTrustStore \"%s\">: %s", name, error) : NULL;
}

const char *mtls_set_outside_store(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    (void)args;
    return apr_psprintf(cmd->pool, "%s is allowed inside <MTLSTrustStore> only", cmd->cmd->name);
}

/* ---- MTLSTrust ---- */

static const char *make_trust(cmd_parms *cmd, const ap_directive_t *directive,
                              apr_array_header_t *names, const mtls_trust_t **out)
{
    mtls_trust_t *trust = apr_pcalloc(cmd->pool, sizeof(*trust));
    int i, k;

    *out = trust;
    if (names->nelts == 0)
        return apr_pstrcat(cmd->pool, directive->directive, " needs the name of a trust store",
                           NULL);
    for (i = 0; i < names->nelts; i++) {
        for (k = 0; k < i; k++) {
            if (strcmp(APR_ARRAY_IDX(names, i, const char *),
                       APR_ARRAY_IDX(names, k, const char *)) == 0)
                return apr_psprintf(cmd->pool, "%s names \"%s\" twice", directive->directive,
                                    APR_ARRAY_IDX(names, i, const char *));
        }
    }
    trust->directive = directive->directive;
    trust->where = mtls_where(cmd->pool, directive);
    trust->names = names;
    APR_ARRAY_PUSH(mtls_site()->trusts, mtls_trust_t *) = trust;
    return NULL;
}

const char *mtls_trust_parse(cmd_parms *cmd, const ap_directive_t *directive, const char *args,
                             const mtls_trust_t **trust)
{
    apr_array_header_t *names = apr_array_make(cmd->pool, 2, sizeof(const char *));

    while (*args)
        APR_ARRAY_PUSH(names, const char *) = ap_getword_conf(cmd->pool, &args);
    return make_trust(cmd, directive, names, trust);
}

const char *mtls_trust_of(cmd_parms *cmd, int argc, char *const argv[], const mtls_trust_t **trust)
{
    apr_array_header_t *names = apr_array_make(cmd->pool, 2, sizeof(const char *));
    const mtls_trust_t *made = NULL;
    const char *error;
    int i;

    for (i = 0; i < argc; i++)
        APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    if ((error = make_trust(cmd, cmd->directive, names, &made)) == NULL)
        *trust = made;
    return error;
}

const char *mtls_set_trust(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);

    if (error)
        return error;
    if (mtls_section_of(cmd, dir)->trust)
        return apr_psprintf(cmd->pool,
                            "MTLSTrust is set already at %s; name all stores on one line",
                            mtls_section_of(cmd, dir)->trust->where);
    return mtls_trust_of(cmd, argc, argv, &mtls_section_of(cmd, dir)->trust);
}

/* ---- servers ---- */

/* What a server says of the responders for mod_ssl's CAs. */
static mtls_trust_spec_t *responder_of(cmd_parms *cmd)
{
    mtls_server_t *server = mtls_server_of(cmd->server);

    if (!server->responder) {
        server->responder = make_spec(cmd, VHOST);
        server->responder->only_responders = 1;
        APR_ARRAY_PUSH(server->responder->domains, const char *) = NULL;
    }
    return server->responder;
}

const char *mtls_set_responder(cmd_parms *cmd, void *dir, const char *url, const char *override)
{
    mtls_trust_spec_t *spec = responder_of(cmd);
    const char *error;

    (void)dir;
    if (spec->responder)
        return apr_psprintf(cmd->pool, "MTLSOCSPResponder is set already at %s",
                            spec->responder_where);
    error = set_responder(cmd, spec, url);
    spec->responder_where = mtls_where(cmd->pool, cmd->directive);
    if (!error && override)
        error = set_responder(cmd, spec, override);
    return error ? apr_psprintf(cmd->pool, "MTLSOCSPResponder: %s", error) : NULL;
}

const char *mtls_set_responder_certificates(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mtls_trust_spec_t *spec = responder_of(cmd);
    mtls_trust_handle_t *handle = apr_pcalloc(cmd->pool, sizeof(*handle));
    mtls_parse_env_t env = mtls_watched_env(cmd, cmd->directive);
    const char *error;
    int i;

    (void)dir;
    if (mtls_server_of(cmd->server)->responders)
        return "MTLSOCSPResponderCertificate is set already in this server; name all files on one "
               "line";
    for (i = 0; i < argc; i++)
        add_responder_certificate(cmd, spec, argv[i]);
    if (argc == 0)
        return "MTLSOCSPResponderCertificate needs the name of a file";
    handle->spec = spec;
    if ((error = env.watch(&env, mtls_trust_store_load, spec, &handle->live)) != NULL)
        return apr_psprintf(cmd->pool, "MTLSOCSPResponderCertificate: %s", error);
    mtls_server_of(cmd->server)->responders = handle;
    return NULL;
}

const char *mtls_set_trust_domain(cmd_parms *cmd, void *dir, const char *value)
{
    mtls_server_t *server = mtls_server_of(cmd->server);
    const char *error = mtls_spiffe_domain_parse(mtls_span_of(value));

    (void)dir;
    if (error)
        return apr_psprintf(cmd->pool, "MTLSTrustDomain: \"%s\": %s", value, error);
    if (!server->trust_domains)
        server->trust_domains = apr_array_make(cmd->pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(server->trust_domains, const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

const char *mtls_set_reload_interval(cmd_parms *cmd, void *dir, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    mtls_site_t *site = mtls_site();

    (void)dir;
    if (error)
        return error;
    if (site->interval_where)
        return apr_psprintf(cmd->pool, "MTLSReloadInterval is set already at %s",
                            site->interval_where);
    if (!*value || strlen(value) > 5 || strspn(value, "0123456789") != strlen(value) ||
        atoi(value) > 86400)
        return apr_psprintf(cmd->pool,
                            "MTLSReloadInterval: unknown value \"%s\"; allowed: seconds from 0 "
                            "(never) to 86400",
                            value);
    site->interval_where = mtls_where(cmd->pool, cmd->directive);
    mtls_reload_set_interval(atoi(value));
    return NULL;
}
