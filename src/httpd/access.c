/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/access.h"

#include <http_log.h>
#include <http_request.h>

#include "httpd/export.h"
#include "httpd/log.h"
#include "httpd/peer.h"
#include "httpd/strip.h"

APLOG_USE_MODULE(mtls_policy);

/* What Retry-After says when a status or a list could not be had. */
#define RETRY_AFTER_SECONDS "10"

/* ---- variables of the verdict ---- */

static void set_variable(mtls_request_t *rq, const char *name, const char *value)
{
    if (!value)
        return;
    rq->variables[rq->variable_count].name = name;
    rq->variables[rq->variable_count].value = value;
    rq->variable_count++;
}

/* Give the request a verdict (NULL: none), and its variables at once: httpd itself may refuse the
 * request later, before fixups. */
static void describe(request_rec *r, mtls_request_t *rq, const char *verdict, mtls_reason_t reason)
{
    const mtls_decision_t *d = &rq->here.decision;

    rq->verdict = verdict;
    rq->reason = reason;
    rq->variable_count = 0;
    set_variable(rq, "MTLS_VERDICT", verdict);
    set_variable(rq, "MTLS_REASON", verdict ? mtls_reason_token(reason) : NULL);
    set_variable(rq, "MTLS_RULE", d->rule && reason == d->reason ? mtls_rule_text(d->rule) : NULL);
    set_variable(rq, "MTLS_POLICY", verdict ? d->names : NULL);
    set_variable(rq, "MTLS_REPORT", rq->here.report);
    mtls_export_variables(r, rq);
}

void mtls_access_describe(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged)
{
    rq->here.decision = judged->decision;
    describe(r, rq, judged->decision.reason == MTLS_OK ? mtls_verdict_allow : mtls_verdict_deny,
             judged->decision.reason);
}

/* ---- refusing ---- */

static int status_of(const mtls_request_t *rq, request_rec *r)
{
    const mtls_merged_t *m = rq->merged;

    switch (mtls_reason_outcome(rq->reason)) {
    case MTLS_OUTCOME_DENY:
        return m ? m->deny_status : HTTP_FORBIDDEN;
    case MTLS_OUTCOME_UNAVAILABLE:
        apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER_SECONDS);
        return m ? m->unavailable_status : HTTP_SERVICE_UNAVAILABLE;
    default:
        return HTTP_INTERNAL_SERVER_ERROR;
    }
}

static int refuse(request_rec *r, mtls_request_t *rq)
{
    if (!rq->logged)
        mtls_log_refusal(r, rq);
    rq->logged = 1;
    /* A connection whose certificate ended has nothing left to do; HTTP/2 has other streams. */
    if (mtls_reason_closes(rq->reason) && !r->connection->master)
        r->connection->keepalive = AP_CONN_CLOSE;
    return status_of(rq, r);
}

int mtls_access_refuse(request_rec *r, mtls_request_t *rq, mtls_reason_t reason)
{
    rq->granted = NULL;
    describe(r, rq, mtls_verdict_deny, reason);
    return refuse(r, rq);
}

/* ---- judging ---- */

void mtls_access_grant(mtls_request_t *rq, const mtls_judged_t *judged)
{
    rq->granted = judged;
    rq->granted_names = judged->decision.names;
}

mtls_reason_t mtls_access_reason(const mtls_request_t *rq)
{
    const mtls_judged_t *here = &rq->here;

    if (!rq->merged || !rq->merged->under_policy)
        return MTLS_INTERNAL_ERROR; /* nothing was proved here */
    if (here->decision.reason == MTLS_OK && rq->merged->user &&
        (!here->exports || !here->exports->user))
        return MTLS_USER_AMBIGUOUS;
    return here->decision.reason;
}

mtls_request_t *mtls_access_judge(request_rec *r)
{
    mtls_request_t *rq = mtls_request_of(r);
    const mtls_dir_t *dir = mtls_dir_of(r);

    if (rq->dir == dir)
        return rq;
    rq->dir = dir;
    rq->granted = NULL;
    rq->verdict = NULL;
    rq->merged = mtls_merged_of(r);
    if (!rq->merged || rq->merged->mode == MTLS_MODE_OFF) {
        memset(&rq->here, 0, sizeof(rq->here));
        return rq;
    }
    mtls_verdict_judge(r, rq->merged, &rq->here);
    if (rq->here.report)
        mtls_log_report(r, rq);
    return rq;
}

/* On a vhost that defers: tell mod_ssl the truth, and outside any policy refuse whom the vhost's
 * CAs do not vouch for - a client mod_ssl itself would have refused in the handshake. */
static int check_deferred(request_rec *r, mtls_request_t *rq)
{
    int off = rq->merged && rq->merged->mode == MTLS_MODE_OFF;
    mtls_judged_t chain;

    if (!mtls_peer_defers(r))
        return DECLINED;
    if (rq->merged && rq->merged->under_policy) {
        rq->deferred_error = rq->here.openssl_error;
        mtls_peer_tell_mod_ssl(r, rq->deferred_error);
        return DECLINED;
    }
    mtls_verdict_judge(r, NULL, &chain);
    rq->deferred_error = chain.openssl_error;
    mtls_peer_tell_mod_ssl(r, rq->deferred_error);
    if (off || chain.decision.reason == MTLS_OK || chain.decision.reason == MTLS_NO_CERTIFICATE)
        return DECLINED;
    rq->here = chain;
    return mtls_access_refuse(r, rq, chain.decision.reason);
}

/* Whether Require mtls or mtls-policy had its say under this configuration, for this request or
 * the one it comes from (httpd then skips authorization). */
static int authz_was_consulted(const request_rec *r)
{
    const ap_conf_vector_t *config = r->per_dir_config;
    const mtls_request_t *rq;

    for (; r; r = r->prev ? r->prev : r->main) {
        rq = mtls_request_peek(r);
        if (rq && (rq->consulted_for == config || rq->consulted_for_sub == config))
            return 1;
    }
    return 0;
}

void mtls_access_consulted(request_rec *r)
{
    mtls_request_of(r)->consulted_for = r->per_dir_config;
    if (r->main) /* whose place this sub-request may take (DirectoryIndex) */
        mtls_request_of(r->main)->consulted_for_sub = r->per_dir_config;
}

/* The mode decides what a refusal means. The result is OK for a request that may go on. */
static int apply_mode(request_rec *r, mtls_request_t *rq, mtls_reason_t reason, int last_chance)
{
    switch (rq->merged->mode) {
    case MTLS_MODE_OPTIONAL:
        if (reason != MTLS_NO_CERTIFICATE)
            return mtls_access_refuse(r, rq, reason);
        describe(r, rq, mtls_verdict_allow, reason); /* as nobody */
        return OK;
    case MTLS_MODE_REPORT:
        if (reason == MTLS_INTERNAL_ERROR)
            return mtls_access_refuse(r, rq, reason);
        describe(r, rq, mtls_verdict_report, reason);
        if (!rq->logged)
            mtls_log_refusal(r, rq);
        rq->logged = 1;
        return OK;
    case MTLS_MODE_AUTHZ:
        if (last_chance && !authz_was_consulted(r))
            return mtls_access_refuse(r, rq, reason);
        describe(r, rq, mtls_verdict_deny, reason);
        return OK;
    default:
        return mtls_access_refuse(r, rq, reason);
    }
}

/* Judge and act; the same in the access checker and, against whatever got round it, in fixups. */
static int enforce(request_rec *r, int last_chance)
{
    mtls_request_t *rq = mtls_access_judge(r);
    mtls_reason_t reason;
    int status = check_deferred(r, rq);

    if (status != DECLINED)
        return status;
    if (!rq->merged || !rq->merged->under_policy) {
        if (!rq->verdict)
            describe(r, rq, NULL, MTLS_INTERNAL_ERROR);
        return DECLINED;
    }
    reason = mtls_access_reason(rq);
    if (reason != MTLS_OK) {
        status = apply_mode(r, rq, reason, last_chance);
        return status == OK ? DECLINED : status;
    }
    if (!rq->granted)
        mtls_access_grant(rq, &rq->here);
    describe(r, rq, mtls_verdict_allow, MTLS_OK);
    return DECLINED;
}

/* ---- hooks ---- */

int mtls_access_post_read_request(request_rec *r)
{
    mtls_strip_request(r);
    mtls_peer_tell_before_walk(r);
    return DECLINED;
}

/* TRACE and "OPTIONS *" are answered before any access checker runs, and without fixups. */
int mtls_access_translate_name(request_rec *r)
{
    if (r->method_number == M_TRACE ||
        (r->method_number == M_OPTIONS && strcmp(r->uri, "*") == 0))
        return enforce(r, 1);
    return DECLINED;
}

int mtls_access_checker(request_rec *r)
{
    return enforce(r, 0);
}

/* httpd skips authorization for a request that comes from one with the same configuration: what
 * Require mtls-policy granted there holds here. */
static void inherit_grant(request_rec *r, mtls_request_t *rq)
{
    const request_rec *from = r->prev ? r->prev : r->main;
    const mtls_request_t *before = from ? mtls_request_peek(from) : NULL;

    if (rq->granted || !before || !before->granted || before->verdict == mtls_verdict_deny ||
        from->per_dir_config != r->per_dir_config || rq->verdict)
        return;
    mtls_access_describe(r, rq, before->granted);
    mtls_access_grant(rq, before->granted);
}

/* `Satisfy Any` ignores a refusal of the access checker, and httpd skips it for sub-requests and
 * internal redirects with the same configuration. Nothing ignores fixups. */
int mtls_access_fixups_first(request_rec *r)
{
    int status = enforce(r, 1);
    mtls_request_t *rq;

    if (status != DECLINED)
        return status;
    rq = mtls_request_of(r);
    inherit_grant(r, rq);
    if (rq->granted && !r->user && rq->merged && rq->merged->user && rq->here.exports)
        r->user = (char *)rq->here.exports->user;
    return DECLINED;
}

int mtls_access_fixups_last(request_rec *r)
{
    mtls_request_t *rq = mtls_request_of(r);
    const mtls_request_t *refused = mtls_request_refused(r->prev);
    int status;

    /* DirectoryIndex lets a sub-request take this one's place meanwhile. */
    if (rq->dir != mtls_dir_of(r) && (status = enforce(r, 1)) != DECLINED)
        return status;
    /* An error page tells why its request was refused, not how the page itself was judged. */
    mtls_export_variables(r, refused ? refused : rq);
    mtls_peer_correct_variable(r, rq->deferred_error);
    mtls_export_ajp(r, rq);
    mtls_export_guard_trailers(r);
    return mtls_export_headers(r, rq) == OK ? DECLINED : HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

/* mod_proxy has removed what the client named in `Connection`; ours must not be among it. */
int mtls_access_proxy_fixups(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    return rq && mtls_export_headers(r, rq) != OK ? HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE : OK;
}

/* "%{VAR}e" reads the last request of an internal redirect: give that one what the log must tell. */
int mtls_access_log_transaction(request_rec *r)
{
    const mtls_request_t *told;
    request_rec *last = r;

    if (!r->next)
        return DECLINED;
    while (last->next)
        last = last->next;
    told = mtls_request_refused(last);
    if (!told && (told = mtls_request_peek(last)) != NULL && !told->verdict)
        told = NULL;
    if (!told)
        told = mtls_request_peek(r);
    if (told)
        mtls_export_variables(last, told);
    return DECLINED;
}
