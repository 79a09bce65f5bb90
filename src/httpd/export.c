/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/export.h"

#include <http_core.h>
#include <http_log.h>
#include <util_filter.h>

#include "httpd/access.h"
#include "httpd/conceal.h"
#include "httpd/expr.h"
#include "httpd/fastcgi.h"
#include "httpd/peer.h"
#include "httpd/site.h"
#include "httpd/strip.h"
#include "httpd/tokens.h"
#include "identity/text.h"
#include "identity/xfcc.h"

APLOG_USE_MODULE(mtls_policy);

#define PREFIX        "MTLS_"
#define AJP_PREFIX    "AJP_MTLS_"
#define TRAILER_GUARD "MTLS_POLICY_TRAILERS"

/* ---- variables ---- */

/* As CGI compares names: SetEnv takes "mtls-subject", and a CGI gets MTLS_SUBJECT. */
static int has_prefix(const char *name, const char *prefix)
{
    for (; *prefix; name++, prefix++) {
        if (*prefix == '_' ? mtls_ascii_alnum(*name) || !*name
                           : mtls_ascii_lower(*name) != mtls_ascii_lower(*prefix))
            return 0;
    }
    return 1;
}

/* Whether our variables are as they went in, and nobody has added one since that may be of our
 * prefix. What was removed or put in order before them would have moved them. */
static int untouched(const apr_table_t *env, const mtls_request_t *rq)
{
    const apr_array_header_t *elements = apr_table_elts(env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)(const void *)elements->elts;
    const apr_table_entry_t *end = e + elements->nelts;
    const mtls_variable_t *v = (const mtls_variable_t *)(const void *)rq->variables->elts;
    int n = rq->variables->nelts;

    if (elements->nelts < rq->env_first + n)
        return 0;
    for (e += rq->env_first; n > 0; n--, e++, v++) {
        if (e->key != v->name || e->val != v->value)
            return 0;
    }
    for (; e < end; e++) {
        if ((*e->key | 0x20) == 'm') /* put all in order, rather than look closer */
            return 0;
    }
    return 1;
}

static int is_variable(const char *name)
{
    return has_prefix(name, PREFIX);
}

static int is_ajp_variable(const char *name)
{
    return has_prefix(name, AJP_PREFIX);
}

static __attribute__((noinline)) void put_variables(request_rec *r, mtls_request_t *rq,
                                                    const mtls_request_t *told)
{
    static const apr_array_header_t none;
    const apr_array_header_t *variables = told->variables ? told->variables : &none;
    const mtls_variable_t *v = (const mtls_variable_t *)(const void *)variables->elts;
    apr_table_t *env = r->subprocess_env;
    int i;

    if (apr_table_elts(env)->nelts > 0)
        mtls_request_remove_variables(r, is_variable);
    rq->env = env;
    rq->env_variables = variables;
    rq->env_first = apr_table_elts(env)->nelts;
    for (i = variables->nelts; i > 0; i--, v++)
        apr_table_addn(env, v->name, v->value);
}

void mtls_export_variables(request_rec *r, mtls_request_t *rq, const mtls_request_t *told)
{
    if (told != rq || rq->env != r->subprocess_env || !rq->variables ||
        rq->env_variables != rq->variables || !untouched(rq->env, rq))
        put_variables(r, rq, told);
}

void mtls_export_ajp(request_rec *r, const mtls_request_t *rq)
{
    const mtls_variable_t *v;
    int i;

    mtls_request_remove_variables(r, is_ajp_variable);
    /* Tomcat refuses requests with attributes it was not told of. */
    if (!rq->granted || !rq->exports || !rq->exports->env)
        return;
    if (!mtls_request_for_ajp(r))
        return;
    for (i = 0; rq->variables && i < rq->variables->nelts; i++) {
        v = &APR_ARRAY_IDX(rq->variables, i, const mtls_variable_t);
        apr_table_addn(r->subprocess_env, apr_pstrcat(r->pool, "AJP_", v->name, NULL), v->value);
    }
}

/* ---- what mod_ssl tells of a certificate ---- */

const char *mtls_export_ssl_var(apr_pool_t *p, server_rec *s, conn_rec *c, request_rec *r,
                                const char *name)
{
    const mtls_request_t *rq = r ? mtls_request_peek(r) : NULL;

    (void)s;
    (void)c;
    if (!rq)
        return NULL;
    if (mtls_conceal_ssl_var(r, rq, name))
        return "";
    return mtls_peer_verify_text(p, name, rq->deferred_error);
}

/* ---- headers ---- */

static int too_large(request_rec *r, const char *name)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "mtls_policy: the value of header %s is larger than MTLSHeaderLimit; the request "
                  "is refused, not forwarded without it",
                  name);
    return HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

/* The text of a header that is made for every request; NULL: none. */
static const char *request_text(request_rec *r, const mtls_export_header_t *header)
{
    int absent = 0;
    const char *text = mtls_expr_eval_text(r, header->expr, &absent);

    return text && *text && !absent ? mtls_text_encode_control(r->pool, text) : NULL;
}

/* ---- X-Forwarded-Client-Cert of an upstream ---- */

/* The other end of the connection itself: what mod_remoteip believes is no proof. */
static int is_trusted_proxy(const request_rec *r, const mtls_merged_t *m)
{
    const conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    int i;

    for (i = 0; m->proxies && i < m->proxies->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(m->proxies, i, apr_ipsubnet_t *), c->client_addr))
            return 1;
    }
    return 0;
}

void mtls_export_keep_incoming(request_rec *r)
{
    const char *value;

    if (r->prev || r->main)
        return;
    value = apr_table_get(r->headers_in, MTLS_XFCC_HEADER);
    if (value && mtls_xfcc_is_list(mtls_span_of(value)))
        mtls_request_of(r)->incoming_xfcc = value;
}

/* What came with the request that all others here stem from. */
static const char *incoming(const request_rec *r)
{
    const mtls_request_t *rq;

    while (r->prev || r->main)
        r = r->prev ? r->prev : r->main;
    rq = mtls_request_peek(r);
    return rq ? rq->incoming_xfcc : NULL;
}

static int append_xfcc(request_rec *r, const mtls_merged_t *m, const char *element)
{
    const char *before = is_trusted_proxy(r, m) ? incoming(r) : NULL;
    const char *value = before ? apr_pstrcat(r->pool, before, ",", element, NULL) : element;

    if (strlen(value) > (apr_size_t)m->header_limit)
        return too_large(r, MTLS_XFCC_HEADER);
    apr_table_setn(r->headers_in, MTLS_XFCC_HEADER, value);
    return OK;
}

/* ---- all headers ---- */

static int set_formats(request_rec *r, const mtls_merged_t *m, const mtls_exports_t *exports)
{
    int i;

    for (i = 0; i < exports->formats->nelts; i++) {
        const mtls_header_t *header = &APR_ARRAY_IDX(exports->formats, i, const mtls_header_t);
        apr_table_setn(r->headers_in, header->name, header->value);
    }
    return exports->xfcc ? append_xfcc(r, m, exports->xfcc) : OK;
}

static int set_tokens(request_rec *r, mtls_request_t *rq)
{
    const apr_array_header_t *formats = rq->merged->formats;
    mtls_identity_t identity = mtls_request_identity(rq);
    mtls_reason_t reason;
    const char *token;
    int i;

    for (i = 0; formats && i < formats->nelts; i++) {
        const mtls_jwt_spec_t *spec = APR_ARRAY_IDX(formats, i, const mtls_format_t).jwt;
        if (!spec || mtls_merged_writes(rq->merged, spec->header))
            continue;
        reason = MTLS_INTERNAL_ERROR;
        token = mtls_token_of(r, spec, &identity, mtls_verdict_until(rq->granted), &reason);
        if (!token)
            return mtls_access_refuse(r, rq, reason);
        if (strlen(token) > (apr_size_t)rq->merged->header_limit)
            return too_large(r, spec->header);
        apr_table_setn(r->headers_in, spec->header, token);
    }
    return OK;
}

static int set_headers(request_rec *r, const mtls_merged_t *m, const mtls_exports_t *exports)
{
    int i;

    for (i = 0; i < m->header_count; i++) {
        const char *text = exports->headers[i];
        if (!m->headers[i]->pieces) {
            text = request_text(r, m->headers[i]);
            if (text && strlen(text) > (apr_size_t)m->header_limit)
                return too_large(r, m->headers[i]->name);
        }
        if (text)
            apr_table_setn(r->headers_in, m->headers[i]->name, text);
    }
    return OK;
}

/* TRACE, in whatever spelling a backend knows it, would tell the client what only the backend is to
 * know. */
static int echoes(const request_rec *r)
{
    return mtls_ascii_lower(*r->method) == 't' &&
           (ap_cstr_casecmp(r->method, "TRACE") == 0 || ap_cstr_casecmp(r->method, "TRACK") == 0);
}

int mtls_export_headers(request_rec *r, mtls_request_t *rq)
{
    const mtls_merged_t *m = rq->merged;
    const mtls_exports_t *exports = rq->exports;
    int status;

    /* A sub-request has its parent's; the configuration may have set others under our names. */
    if (r->main || rq->verdict)
        mtls_strip_table(r->headers_in);
    if (!rq->granted || !m || !m->exports_headers || !exports || echoes(r))
        return OK;
    if (exports->too_large)
        return too_large(r, exports->too_large);
    if (exports->incomplete) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "mtls_policy: the certificates of the verified chain, which this section "
                      "exports, could not be had");
        return mtls_access_refuse(r, rq, MTLS_INTERNAL_ERROR);
    }
    if (exports->formats && (status = set_formats(r, m, exports)) != OK)
        return status;
    if (m->exports_tokens && (status = set_tokens(r, rq)) != OK)
        return status;
    return set_headers(r, m, exports);
}

int mtls_export_fits(request_rec *r, const mtls_request_t *rq)
{
    const char *lost = mtls_request_proxied(r) ? mtls_fastcgi_loses(r, rq) : NULL;

    if (!lost)
        return DECLINED;
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "mtls_policy: %s is larger than mod_proxy_fcgi can send; the request is refused, "
                  "not forwarded without it",
                  lost);
    return HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

/* ---- trailers ---- */

static apr_status_t guard_trailers(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                   apr_read_type_e block, apr_off_t bytes)
{
    apr_table_t *before = f->r->headers_in;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    mtls_request_t *rq = mtls_request_peek(f->r);

    /* Merging makes a new table of headers and trailers. */
    if (f->r->headers_in != before) {
        mtls_strip_request(f->r);
        if (rq && mtls_export_headers(f->r, rq) != OK)
            return APR_EGENERAL;
    }
    return rv;
}

static int merges_trailers(const request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);

    return core->merge_trailers == AP_MERGE_TRAILERS_ENABLE && !r->main;
}

void mtls_export_prepare(const server_rec *main_server)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        const core_server_config *core = ap_get_core_module_config(s->module_config);
        if (core->merge_trailers == AP_MERGE_TRAILERS_ENABLE && mtls_site()->headers->nelts > 0)
            mtls_site()->merges_trailers = 1;
    }
}

void mtls_export_strip_trailers(request_rec *r)
{
    if (merges_trailers(r))
        mtls_strip_request(r);
}

void mtls_export_guard_trailers(request_rec *r)
{
    if (merges_trailers(r))
        ap_add_input_filter(TRAILER_GUARD, NULL, r, r->connection);
}

void mtls_export_register(void)
{
    ap_register_input_filter(TRAILER_GUARD, guard_trailers, NULL, AP_FTYPE_RESOURCE);
}
