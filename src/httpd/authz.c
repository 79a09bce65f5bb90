/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/authz.h"

#include <ap_provider.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mod_auth.h>

#include "httpd/access.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

/* ---- Require mtls ---- */

static authz_status check_mtls(request_rec *r, const char *line, const void *parsed)
{
    mtls_request_t *rq = mtls_access_judge(r);

    (void)line;
    (void)parsed;
    mtls_access_consulted(r);
    if (mtls_access_reason(rq) != MTLS_OK)
        return AUTHZ_DENIED;
    mtls_access_grant(r, rq, rq->here);
    return AUTHZ_GRANTED;
}

/* .htaccess allows Require; ours would be read while requests run, and unchecked. */
static const char *in_htaccess(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_HTACCESS)
               ? "Require mtls and Require mtls-policy are not allowed in .htaccess files"
               : NULL;
}

static const char *parse_mtls(cmd_parms *cmd, const char *line, const void **parsed)
{
    const char *error = in_htaccess(cmd);

    *parsed = NULL;
    if (error)
        return error;
    if (!*line)
        return NULL;
    return apr_psprintf(cmd->pool,
                        "Require mtls takes no arguments (\"%s\"); a named policy is "
                        "required with Require mtls-policy NAME",
                        line);
}

/* ---- Require mtls-policy ---- */

static authz_status check_policy(request_rec *r, const char *line, const void *parsed)
{
    const apr_array_header_t *names = parsed;
    mtls_request_t *rq = mtls_access_judge(r);
    const mtls_judged_t *judged;
    int i;

    (void)line;
    mtls_access_consulted(r);
    for (i = 0; i < names->nelts; i++) {
        const mtls_require_t *require = APR_ARRAY_IDX(names, i, const mtls_require_t *);
        if (!require->merged) /* unresolved: the check of the configuration did not run */
            continue;
        judged = mtls_verdict_judge(r, require->merged);
        if (!rq->merged || !rq->merged->under_policy ||
            (judged->decision.reason == MTLS_OK && rq->verdict == mtls_verdict_deny))
            mtls_access_describe(r, rq, judged);
        if (judged->decision.reason == MTLS_OK && mtls_access_grant(r, rq, judged))
            return AUTHZ_GRANTED;
    }
    return AUTHZ_DENIED;
}

static const char *parse_policy(cmd_parms *cmd, const char *line, const void **parsed)
{
    apr_array_header_t *names = apr_array_make(cmd->pool, 2, sizeof(mtls_require_t *));
    mtls_require_t *require;
    const char *name, *error = in_htaccess(cmd);

    if (error)
        return error;
    while (*line && *(name = ap_getword_conf(cmd->pool, &line))) {
        require = apr_pcalloc(cmd->pool, sizeof(*require));
        require->name = name;
        require->where = mtls_where(cmd->pool, cmd->directive);
        require->server = cmd->server;
        APR_ARRAY_PUSH(names, mtls_require_t *) = require;
        APR_ARRAY_PUSH(mtls_site()->requires, mtls_require_t *) = require;
    }
    *parsed = names;
    return names->nelts ? NULL : "Require mtls-policy needs the name of a policy";
}

static const authz_provider mtls_provider = {check_mtls, parse_mtls};
static const authz_provider policy_provider = {check_policy, parse_policy};

void mtls_authz_register(apr_pool_t *p)
{
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "mtls", AUTHZ_PROVIDER_VERSION,
                              &mtls_provider, AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "mtls-policy", AUTHZ_PROVIDER_VERSION,
                              &policy_provider, AP_AUTH_INTERNAL_PER_CONF);
}

/* ---- AuthType MTLS ---- */

/* Without MTLSUser the user is the whole subject. */
static const char *user_of(request_rec *r, const mtls_request_t *rq)
{
    static const mtls_user_t subject = {
        {MTLS_FIELD_ATTRIBUTE, {.source = MTLS_SOURCE_SUBJECT, .kind = MTLS_KIND_NAME}}, NULL};
    mtls_identity_t identity = mtls_request_identity(rq);

    return mtls_exports_user(r->pool, rq->merged && rq->merged->user ? rq->merged->user : &subject,
                             &identity);
}

int mtls_authz_check_user_id(request_rec *r)
{
    const char *type = ap_auth_type(r);
    mtls_request_t *rq;
    const char *user;

    if (!type || ap_cstr_casecmp(type, "MTLS") != 0)
        return DECLINED;
    rq = mtls_access_judge(r);
    if (!rq->granted && mtls_access_reason(rq) == MTLS_OK)
        mtls_access_grant(r, rq, rq->here);
    if (!rq->granted) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "mtls_policy: AuthType MTLS: no policy "
                      "allowed this request, so it has no user");
        return HTTP_FORBIDDEN; /* there is no other way to log in here, so no challenge */
    }
    if ((user = user_of(r, rq)) == NULL)
        return mtls_access_refuse(r, rq, MTLS_USER_AMBIGUOUS);
    r->user = (char *)user;
    r->ap_auth_type = (char *)"MTLS";
    return OK;
}
