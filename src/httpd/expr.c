/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/expr.h"

#include <http_log.h>
#include <apr_strings.h>

#include "httpd/request.h"

APLOG_USE_MODULE(mtls_policy);

/* Inside a policy's own rules the values are the certificate's bytes, to be compared; everywhere
 * else they may end in a header, so they are encoded. */
static const char *evaluate_field(ap_expr_eval_ctx_t *ctx, const void *field, const char *arg)
{
    mtls_request_t *rq = ctx->r ? mtls_request_peek(ctx->r) : NULL;
    mtls_identity_t identity = mtls_request_identity(rq);
    mtls_encoding_t encoding = MTLS_ENCODED;
    const char *value;

    (void)arg;
    if (rq && rq->rule_evidence) {
        identity.evidence = rq->rule_evidence;
        identity.now = apr_time_now();
        encoding = MTLS_RAW;
    }
    value = mtls_field_value(ctx->p, field, &identity, encoding);
    if (rq && (!value || !*value))
        rq->absent = 1;
    return value ? value : "";
}

int mtls_expr_lookup(ap_expr_lookup_parms *parms)
{
    mtls_field_t *field;
    const char *error;

    if (parms->type != AP_EXPR_FUNC_STRING || ap_cstr_casecmp(parms->name, "mtls") != 0)
        return DECLINED;
    field = apr_palloc(parms->pool, sizeof(*field));
    error = parms->arg ? mtls_field_parse(parms->pool, parms->arg, field)
                       : "the attribute must be written out";
    if (error) {
        *parms->err =
            apr_psprintf(parms->ptemp, "%%{mtls:%s}: %s", parms->arg ? parms->arg : "", error);
        return !OK;
    }
    *parms->func = (const void *)evaluate_field;
    *parms->data = field;
    return OK;
}

int mtls_expr_eval_rule(void *baton_, const void *expr)
{
    mtls_expr_baton_t *baton = baton_;
    mtls_request_t *rq = mtls_request_of(baton->r);
    const char *error = NULL;
    int value;

    rq->rule_evidence = baton->evidence;
    value = ap_expr_exec(baton->r, expr, &error);
    rq->rule_evidence = NULL;
    if (value < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, baton->r,
                      "mtls_policy: an expression of a rule failed: %s",
                      ap_escape_logitem(baton->r->pool, error ? error : "unknown error"));
    }
    return value;
}

const char *mtls_expr_eval_text(request_rec *r, const ap_expr_info_t *expr, int *absent)
{
    mtls_request_t *rq = mtls_request_of(r);
    const char *error = NULL, *text;

    rq->absent = 0;
    text = ap_expr_str_exec(r, expr, &error);
    *absent = rq->absent;
    if (error) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "mtls_policy: the text of a header failed: %s",
                      ap_escape_logitem(r->pool, error));
        return NULL;
    }
    return text;
}

static void push_literal(apr_pool_t *p, apr_array_header_t *pieces, const char *from,
                         const char *to)
{
    mtls_piece_t *piece;

    if (from == to)
        return;
    piece = apr_array_push(pieces);
    memset(piece, 0, sizeof(*piece));
    piece->literal = apr_pstrmemdup(p, from, (apr_size_t)(to - from));
}

apr_array_header_t *mtls_expr_pieces(apr_pool_t *p, const char *text)
{
    static const char open[] = "%{mtls:";
    apr_array_header_t *pieces = apr_array_make(p, 4, sizeof(mtls_piece_t));
    const char *at = text, *found, *close;
    mtls_piece_t *piece;

    /* A backslash escapes and a "$" refers back in httpd's expressions: left to them. */
    if (strpbrk(text, "\\$"))
        return NULL;
    while ((found = strstr(at, "%{")) != NULL) {
        close = strchr(found, '}');
        if (strncmp(found, open, sizeof(open) - 1) != 0 || !close)
            return NULL;
        push_literal(p, pieces, at, found);
        piece = apr_array_push(pieces);
        memset(piece, 0, sizeof(*piece));
        found += sizeof(open) - 1;
        if (mtls_field_parse(p, apr_pstrmemdup(p, found, (apr_size_t)(close - found)),
                             &piece->field) != NULL ||
            mtls_field_depends_on_request(&piece->field))
            return NULL;
        at = close + 1;
    }
    push_literal(p, pieces, at, at + strlen(at));
    return pieces;
}
