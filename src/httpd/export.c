/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/export.h"

#include <http_core.h>
#include <http_log.h>
#include <util_filter.h>

#include "httpd/expr.h"
#include "httpd/peer.h"
#include "httpd/site.h"
#include "httpd/strip.h"
#include "identity/text.h"

APLOG_USE_MODULE(mtls_policy);

#define PREFIX        "MTLS_"
#define AJP_PREFIX    "AJP_MTLS_"
#define TRAILER_GUARD "MTLS_POLICY_TRAILERS"

/* ---- variables ---- */

static int has_prefix(const char *name, const char *prefix, apr_size_t len)
{
    return ((*name ^ *prefix) & ~0x20) == 0 && ap_cstr_casecmpn(name, prefix, len) == 0;
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

static void remove_prefixed(apr_table_t *env, const char *prefix, apr_size_t len)
{
    const apr_array_header_t *elements = apr_table_elts(env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)(const void *)elements->elts;
    int i;

    for (i = 0; i < elements->nelts; i++) {
        if (has_prefix(e[i].key, prefix, len)) {
            apr_table_unset(env, e[i].key);
            i = -1; /* the table was shifted */
        }
    }
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
        remove_prefixed(env, PREFIX, sizeof(PREFIX) - 1);
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

    if (!r->filename)
        return;
    remove_prefixed(r->subprocess_env, AJP_PREFIX, sizeof(AJP_PREFIX) - 1);
    if (!strstr(r->filename, "ajp:") && !strstr(r->filename, "balancer:"))
        return;
    for (i = 0; rq->variables && i < rq->variables->nelts; i++) {
        v = &APR_ARRAY_IDX(rq->variables, i, const mtls_variable_t);
        apr_table_addn(r->subprocess_env, apr_pstrcat(r->pool, "AJP_", v->name, NULL), v->value);
    }
}

const char *mtls_export_ssl_var(apr_pool_t *p, server_rec *s, conn_rec *c, request_rec *r,
                                const char *name)
{
    const mtls_request_t *rq = r ? mtls_request_peek(r) : NULL;

    (void)s;
    (void)c;
    if (!rq)
        return NULL;
    if (r->proxyreq && rq->verdict && !rq->granted &&
        strncmp(name, "SSL_CLIENT_CERT", sizeof("SSL_CLIENT_CERT") - 1) == 0)
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

int mtls_export_headers(request_rec *r, const mtls_request_t *rq)
{
    const mtls_merged_t *m = rq->merged;
    const mtls_exports_t *exports = rq->exports;
    int i;

    if (r->main)
        mtls_strip_table(r->headers_in);
    if (!rq->granted || !m || m->header_count == 0 || !exports)
        return OK;
    if (exports->too_large)
        return too_large(r, exports->too_large);
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

    return core->merge_trailers == AP_MERGE_TRAILERS_ENABLE && mtls_site()->headers->nelts > 0 &&
           !r->main;
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
