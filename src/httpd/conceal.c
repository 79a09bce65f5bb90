/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/conceal.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>

#include "httpd/conftree.h"
#include "httpd/peer.h"
#include "httpd/site.h"
#include "httpd/site.h"
#include "httpd/strip.h"

#define REDIRECT     "REDIRECT_"
#define OURS         "MTLS_"
#define OURS_FOR_AJP "AJP_MTLS_"
#define HEADER       "HTTP_"
#define CLIENT_CERT  "SSL_CLIENT_CERT"

static int begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* An error page is as its request was. */
static int is_nobodys(const request_rec *r, const mtls_request_t *rq)
{
    return !rq->granted && (rq->verdict || mtls_request_refused(r));
}

/* ---- variables ---- */

static int tells_of_certificate(const char *name)
{
    while (begins(name, REDIRECT))
        name += sizeof(REDIRECT) - 1;
    return mtls_peer_is_told_by(name);
}

/* Our variables of the request this one was redirected from, and our headers, if it was a CGI. */
static int ours_of_before(const char *name)
{
    if (!begins(name, REDIRECT))
        return 0;
    while (begins(name, REDIRECT))
        name += sizeof(REDIRECT) - 1;
    return begins(name, OURS) || begins(name, OURS_FOR_AJP) ||
           (begins(name, HEADER) && mtls_strip_is_ours(name + sizeof(HEADER) - 1));
}

/* ---- headers ---- */

/* FakeBasicAuth makes a login of the subject ("/C=CH/CN=x" with the password "password"), which
 * mod_ssl lets no client send. */
static int is_fake_login(apr_pool_t *p, const char *authorization)
{
    const char *rest = authorization;
    const char *user;

    if (ap_cstr_casecmp(ap_getword_white(p, &rest), "Basic") != 0)
        return 0;
    rest = ap_pbase64decode(p, rest);
    user = ap_getword_nulls(p, &rest, ':');
    return user[0] == '/' && strcmp(rest, "password") == 0;
}

/* ---- hooks ---- */

void mtls_conceal_user(request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    if (rq && rq->verdict && !rq->granted)
        r->user = NULL;
}

void mtls_conceal_rest(request_rec *r, mtls_request_t *rq)
{
    const char *authorization;

    if (r->prev)
        mtls_request_remove_variables(r, ours_of_before);
    if (!is_nobodys(r, rq))
        return;
    rq->concealed = 1;
    mtls_request_remove_variables(r, tells_of_certificate);
    authorization = apr_table_get(r->headers_in, "Authorization");
    if (authorization && is_fake_login(r->pool, authorization)) {
        apr_table_unset(r->headers_in, "Authorization");
        if (r->user && r->user[0] == '/')
            r->user = NULL;
    }
}

void mtls_conceal_unjudged(request_rec *r)
{
    if (mtls_request_for_ajp(r) && !mtls_site_is_idle())
        mtls_request_of(r)->passed = 1;
}

/* A servlet container takes what it is sent for verified. Where certificates do not matter nobody
 * has; where no policy speaks the vhost's CAs are asked, since mod_ssl may have been told to let
 * anything in (optional_no_ca). */
static int is_unverified(request_rec *r, const mtls_request_t *rq)
{
    if (rq->merged && rq->merged->mode == MTLS_MODE_OFF)
        return 1;
    return mtls_verdict_judge(r, mtls_merged_chain_alone())->decision.reason != MTLS_OK;
}

int mtls_conceal_ssl_var(request_rec *r, const mtls_request_t *rq, const char *name)
{
    if (!mtls_peer_is_told_by(name))
        return 0;
    /* Only once the request has passed: until then the administrator's own rules may ask. */
    if (rq->concealed)
        return 1;
    return rq->passed && !rq->verdict && begins(name, CLIENT_CERT) && mtls_request_for_ajp(r) &&
           is_unverified(r, rq);
}

/* ---- before mod_headers, which may pass on what mod_ssl has told ---- */

static int conceal_early(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    if (!rq && !r->prev)
        return DECLINED;
    if (!rq)
        rq = mtls_request_of(r);
    if (!rq->granted || r->prev)
        mtls_conceal_rest(r, rq);
    return DECLINED;
}

static void add_early(void)
{
    static const char *const after_ssl[] = {"mod_ssl.c", NULL};
    static const char *const before_headers[] = {"mod_headers.c", NULL};

    ap_hook_fixups(conceal_early, after_ssl, before_headers, APR_HOOK_MIDDLE);
}

/* What .htaccess files say is not known before a request. */
static int htaccess_may_set_headers(void)
{
    return mtls_conftree_mentions("AllowOverride", "All") ||
           mtls_conftree_mentions("AllowOverride", "FileInfo") ||
           mtls_conftree_mentions("AllowOverrideList", "RequestHeader");
}

void mtls_conceal_begin(void)
{
    if (ap_find_linked_module("mod_headers.c") &&
        (mtls_conftree_mentions("RequestHeader", "SSL") || htaccess_may_set_headers()))
        mtls_site_add_hooks(add_early);
}

/* ---- expressions ---- */

/* mod_ssl's own variables and function would not ask us. */
static const char *ssl_variable(ap_expr_eval_ctx_t *ctx, const char *name)
{
    const mtls_request_t *rq = ctx->r ? mtls_request_peek(ctx->r) : NULL;

    if (rq && mtls_conceal_ssl_var(ctx->r, rq, name))
        return "";
    return ap_ssl_var_lookup(ctx->p, ctx->s, ctx->c, ctx->r, name);
}

static const char *evaluate_variable(ap_expr_eval_ctx_t *ctx, const void *name)
{
    return ssl_variable(ctx, name);
}

static const char *evaluate_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    (void)data;
    return name ? ssl_variable(ctx, name) : NULL;
}

int mtls_conceal_expr_lookup(ap_expr_lookup_parms *parms)
{
    if (!ap_find_linked_module("mod_ssl.c"))
        return DECLINED;
    if (parms->type == AP_EXPR_FUNC_VAR && mtls_peer_is_told_by(parms->name)) {
        *parms->func = (const void *)evaluate_variable;
        *parms->data = apr_pstrdup(parms->pool, parms->name);
        return OK;
    }
    if (parms->type == AP_EXPR_FUNC_STRING && ap_cstr_casecmp(parms->name, "SSL") == 0) {
        *parms->func = (const void *)evaluate_function;
        *parms->data = NULL;
        return OK;
    }
    return DECLINED;
}
