/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/log.h"

#include <http_log.h>

#include "identity/text.h"
#include "policy/value.h"

APLOG_USE_MODULE(mtls_policy);

/* httpd cuts log lines at about 8 KB; long values are cut first, and say so. */
#define MAX_VALUE 512

static const char *escaped(request_rec *r, const char *value)
{
    apr_size_t len = strlen(value);

    if (len <= MAX_VALUE)
        return mtls_text_encode_quoted(r->pool, mtls_span(value, len));
    return apr_pstrcat(r->pool, mtls_text_encode_quoted(r->pool, mtls_span(value, MAX_VALUE)),
                       "[...]", NULL);
}

static const char *pair(request_rec *r, const char *key, const char *value)
{
    if (!value)
        return "";
    return apr_psprintf(r->pool, " %s=\"%s\"", key, escaped(r, value));
}

static const char *certificate(request_rec *r, const mtls_facts_t *facts)
{
    if (!facts)
        return "";
    return apr_pstrcat(
        r->pool, " sha256=", mtls_value_hex(r->pool, facts->sha256, MTLS_DIGEST_BYTES),
        pair(r, "subject", facts->subject.rfc4514), pair(r, "issuer", facts->issuer.rfc4514),
        " serial=", escaped(r, facts->serial), NULL);
}

/* The line of an error page that is refused like the page it stands for would say nothing new. */
static int level_of(const request_rec *r, const mtls_request_t *rq)
{
    const mtls_request_t *before = mtls_request_refused(r->prev);

    return before && before->reason == rq->reason ? APLOG_DEBUG : APLOG_WARNING;
}

void mtls_log_refusal(request_rec *r, const mtls_request_t *rq)
{
    static const mtls_judged_t nothing;
    const mtls_judged_t *told = rq->told ? rq->told : &nothing;
    const mtls_rule_t *rule = told->decision.reason == rq->reason ? told->decision.rule : NULL;
    const char *detail = told->decision.hint;

    if (!detail && (told->evidence.chain_reason != MTLS_OK || !told->evidence.facts))
        detail = told->evidence.chain_detail;
    ap_log_rerror(APLOG_MARK, level_of(r, rq), 0, r,
                  "mtls_policy: verdict=%s reason=%s%s%s%s%s%s "
                  "method=%s uri=\"%s\"",
                  rq->verdict, mtls_reason_token(rq->reason),
                  pair(r, "rule", rule ? mtls_rule_text(rule) : NULL),
                  pair(r, "at", rule ? mtls_rule_where(rule) : NULL),
                  pair(r, "policy", told->decision.names), pair(r, "detail", detail),
                  certificate(r, told->evidence.facts), escaped(r, r->method), escaped(r, r->uri));
}

void mtls_log_backend(request_rec *r, const mtls_backend_verdict_t *verdict, const char *word,
                      mtls_span_t authority)
{
    const char *detail = verdict->hint;

    if (!detail && verdict->evidence.chain_reason != MTLS_OK)
        detail = verdict->evidence.chain_detail;
    ap_log_rerror(
        APLOG_MARK, APLOG_WARNING, 0, r,
        "mtls_policy: backend verdict=%s reason=%s%s%s%s%s backend=\"%s\"%s method=%s uri=\"%s\"",
        word, mtls_reason_token(verdict->reason),
        pair(r, "rule", verdict->rule ? mtls_rule_text(verdict->rule) : NULL),
        pair(r, "at", verdict->rule ? mtls_rule_where(verdict->rule) : NULL),
        pair(r, "detail", detail), certificate(r, verdict->evidence.facts),
        escaped(r, apr_pstrmemdup(r->pool, authority.data, authority.len)),
        pair(r, "name", verdict->name.len ? verdict->name.data : NULL), escaped(r, r->method),
        escaped(r, r->uri));
}

void mtls_log_target(request_rec *r, const char *target, const char *flaw, apr_size_t at)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "mtls_policy: strict_path=%s at=%" APR_SIZE_T_FMT " method=%s uri=\"%s\"", flaw,
                  at, escaped(r, r->method), escaped(r, target));
}

void mtls_log_report(request_rec *r, const mtls_judged_t *judged)
{
    if (!judged->report_refuses)
        return;
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "mtls_policy: verdict=report report=\"%s\"%s "
                  "method=%s uri=\"%s\"",
                  escaped(r, judged->report), certificate(r, judged->evidence.facts),
                  escaped(r, r->method), escaped(r, r->uri));
}
