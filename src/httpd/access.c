/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/access.h"

#include <http_log.h>
#include <http_request.h>

#include "httpd/backend.h"
#include "httpd/caching.h"
#include "httpd/conceal.h"
#include "httpd/export.h"
#include "httpd/log.h"
#include "httpd/peer.h"
#include "httpd/reload.h"
#include "httpd/site.h"
#include "httpd/strip.h"

APLOG_USE_MODULE(mtls_policy);

/* What Retry-After says when a status or a list could not be had. */
#define RETRY_AFTER_SECONDS "10"

/* ---- the verdict and its variables ---- */

/* Give the request a verdict (NULL: none) and its variables at once: httpd itself may refuse the
 * request later, before fixups. */
static void describe(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged,
                     const char *verdict, mtls_reason_t reason)
{
    const mtls_exports_t *exports = rq->granted ? rq->exports : NULL;

    rq->told = judged;
    rq->verdict = verdict;
    rq->reason = reason;
    if (judged == rq->granted && judged == rq->here && reason == MTLS_OK)
        rq->variables = judged->variables; /* made once for the connection */
    else
        rq->variables =
            mtls_verdict_variables(r->pool, judged, verdict, reason, exports ? exports->env : NULL);
    mtls_export_variables(r, rq, rq);
}

static void grant(mtls_request_t *rq, const mtls_judged_t *judged, const mtls_exports_t *exports)
{
    rq->granted = judged;
    rq->exports = exports;
    rq->granted_names = judged->decision.names;
}

void mtls_access_describe(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged)
{
    mtls_reason_t reason = judged->decision.reason;

    if (r->main)
        mtls_caching_sub_judged(r);
    if (reason == MTLS_OK && !mtls_access_grant(r, rq, judged))
        reason = MTLS_USER_AMBIGUOUS;
    describe(r, rq, judged, reason == MTLS_OK ? mtls_verdict_allow : mtls_verdict_deny, reason);
}

int mtls_access_grant(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged)
{
    const mtls_exports_t *exports =
        judged == rq->here ? judged->exports : mtls_verdict_exports(r, rq->merged, judged);

    if (exports && exports->ambiguous)
        return 0;
    grant(rq, judged, exports);
    return 1;
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

static void log_once(request_rec *r, mtls_request_t *rq)
{
    if (!rq->logged)
        mtls_log_refusal(r, rq);
    rq->logged = 1;
}

/* A connection whose certificate ended has nothing left to do; HTTP/2 has other streams. */
static void close_behind(request_rec *r, mtls_reason_t reason)
{
    if (mtls_reason_closes(reason) && !r->connection->master)
        r->connection->keepalive = AP_CONN_CLOSE;
}

/* `judged` says why. */
static int refuse(request_rec *r, mtls_request_t *rq, const mtls_judged_t *judged,
                  mtls_reason_t reason)
{
    rq->granted = NULL;
    rq->refused = 1;
    describe(r, rq, judged, mtls_verdict_deny, reason);
    log_once(r, rq);
    close_behind(r, reason);
    return status_of(rq, r);
}

int mtls_access_refuse(request_rec *r, mtls_request_t *rq, mtls_reason_t reason)
{
    return refuse(r, rq, rq->granted, reason);
}

/* ---- judging ---- */

mtls_reason_t mtls_access_reason(const mtls_request_t *rq)
{
    const mtls_judged_t *here = rq->here;

    if (!rq->merged || !rq->merged->under_policy || !here)
        return MTLS_INTERNAL_ERROR; /* nothing was proved here */
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
    rq->variables = NULL;
    rq->concealed = 0;
    rq->here = NULL;
    rq->merged = mtls_merged_of(r, dir);
    if (rq->merged && rq->merged->mode != MTLS_MODE_OFF) {
        rq->here = mtls_verdict_judge(r, rq->merged);
        if (r->main)
            mtls_caching_sub_judged(r);
        if (rq->here->report)
            mtls_log_report(r, rq->here);
    }
    return rq;
}

/* On a connection that defers: tell mod_ssl the truth, and outside any policy refuse whom the
 * vhost's CAs do not vouch for - a client mod_ssl itself would have refused in the handshake. */
static int check_deferred(request_rec *r, mtls_request_t *rq)
{
    const mtls_judged_t *judged = rq->here;
    int under_policy = rq->merged && rq->merged->under_policy;
    mtls_peer_t *peer = mtls_peer_of(r);

    if (!peer || !mtls_peer_defers(peer, r))
        return DECLINED;
    if (!under_policy || !rq->merged->only_vhost)
        judged = mtls_verdict_judge(r, mtls_merged_chain_alone());
    rq->deferred_error = judged->evidence.chain_error;
    mtls_peer_tell_mod_ssl(peer, r, judged->evidence.chain_error, judged->evidence.valid_until);
    if (under_policy || judged->decision.reason == MTLS_OK ||
        judged->decision.reason == MTLS_NO_CERTIFICATE ||
        (rq->merged && rq->merged->mode == MTLS_MODE_OFF))
        return DECLINED;
    return refuse(r, rq, judged, judged->decision.reason);
}

/* mod_ssl's word is put right before httpd walks the sections, too: an <If> may ask for it, and the
 * session's is of some earlier day. */
static void tell_before_walk(request_rec *r)
{
    mtls_peer_t *peer = mtls_peer_of(r);
    const mtls_judged_t *judged;

    if (!peer || r->request_time < peer->told_until || !mtls_peer_defers(peer, r))
        return;
    judged = mtls_verdict_judge(r, mtls_merged_chain_alone());
    mtls_peer_tell_mod_ssl(peer, r, judged->evidence.chain_error, judged->evidence.valid_until);
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

/* A sub-request ends and its memory may become another's: its mark must not outlive it. When it has
 * taken its main request's place, httpd keeps its pool as long as that one's. */
static apr_status_t forget_sub(void *main_state)
{
    ((mtls_request_t *)main_state)->consulted_for_sub = NULL;
    return APR_SUCCESS;
}

void mtls_access_consulted(request_rec *r)
{
    mtls_request_t *rq;

    mtls_request_of(r)->consulted_for = r->per_dir_config;
    if (!r->main) /* whose place this sub-request may take (DirectoryIndex) */
        return;
    rq = mtls_request_of(r->main);
    rq->consulted_for_sub = r->per_dir_config;
    apr_pool_cleanup_register(r->pool, rq, forget_sub, apr_pool_cleanup_null);
}

/* The mode decides what a refusal means. DECLINED lets the request go on, as nobody. */
static int apply_mode(request_rec *r, mtls_request_t *rq, mtls_reason_t reason, int last_chance)
{
    switch (rq->merged->mode) {
    case MTLS_MODE_OPTIONAL:
        if (reason != MTLS_NO_CERTIFICATE)
            return refuse(r, rq, rq->here, reason);
        describe(r, rq, rq->here, mtls_verdict_allow, reason);
        return DECLINED;
    case MTLS_MODE_REPORT:
        if (reason == MTLS_INTERNAL_ERROR)
            return refuse(r, rq, rq->here, reason);
        describe(r, rq, rq->here, mtls_verdict_report, reason);
        log_once(r, rq);
        return DECLINED;
    case MTLS_MODE_AUTHZ:
        if (last_chance && !authz_was_consulted(r))
            return refuse(r, rq, rq->here, reason);
        if (!rq->granted) /* by a policy that Require named */
            describe(r, rq, rq->here, mtls_verdict_deny, reason);
        return DECLINED;
    default:
        return refuse(r, rq, rq->here, reason);
    }
}

/* Judge and act; the same in the access checker and, against whatever got round it, in fixups. */
static int enforce(request_rec *r, int last_chance)
{
    const mtls_dir_t *dir = mtls_dir_of(r);
    mtls_request_t *rq;
    mtls_reason_t reason;
    int status;

    if (!dir->of_clients && !mtls_site()->defers && !mtls_request_peek(r))
        return DECLINED;
    rq = mtls_access_judge(r);
    if (rq->settled == dir)
        return DECLINED;
    if (mtls_site()->defers && (status = check_deferred(r, rq)) != DECLINED)
        return status;
    if (!rq->merged || !rq->merged->under_policy) {
        if (!rq->verdict && rq->here && rq->here->report)
            describe(r, rq, rq->here, NULL, MTLS_INTERNAL_ERROR);
    } else if ((reason = mtls_access_reason(rq)) != MTLS_OK) {
        status = apply_mode(r, rq, reason, last_chance);
        if (!last_chance && r->user)
            mtls_conceal_user(r);
        return status;
    } else {
        if (!rq->granted)
            grant(rq, rq->here, rq->here->exports); /* not ambiguous: that is a reason */
        describe(r, rq, rq->here, mtls_verdict_allow, MTLS_OK);
    }
    rq->settled = dir;
    return DECLINED;
}

/* ---- hooks ---- */

/* A refusal of httpd's own, below a verdict of ours. */
static int refused_by_httpd(const request_rec *r, const mtls_request_t *rq)
{
    return rq && rq->verdict == mtls_verdict_deny && !rq->passed &&
           (r->status == HTTP_FORBIDDEN || r->status == HTTP_UNAUTHORIZED);
}

/* With MTLSMode authz httpd refuses, by a page of its own or by one it redirects to. */
void mtls_access_insert_error_filter(request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    if (refused_by_httpd(r, rq))
        close_behind(r, rq->reason);
}

int mtls_access_post_read_request(request_rec *r)
{
    if (r->prev)
        mtls_access_insert_error_filter(r->prev);
    if (mtls_site()->appends)
        mtls_export_keep_incoming(r);
    mtls_strip_request(r);
    mtls_reload_on_request(r->request_time);
    if (mtls_site()->defers && !r->connection->master)
        tell_before_walk(r);
    return DECLINED;
}

/* TRACE and "OPTIONS *" are answered before any access checker runs, and without fixups. */
int mtls_access_translate_name(request_rec *r)
{
    if (r->method_number == M_TRACE || (r->method_number == M_OPTIONS && strcmp(r->uri, "*") == 0))
        return enforce(r, 1);
    return DECLINED;
}

int mtls_access_checker(request_rec *r)
{
    if (mtls_site()->merges_trailers)
        mtls_export_strip_trailers(r);
    return enforce(r, 0);
}

/* httpd skips authorization for a request that comes from one with the same configuration: what
 * Require mtls-policy granted there holds here. */
static void inherit_grant(request_rec *r, mtls_request_t *rq)
{
    const request_rec *from = r->prev ? r->prev : r->main;
    const mtls_request_t *before;

    if (rq->granted || rq->verdict || !from)
        return;
    before = mtls_request_peek(from);
    if (!before || !before->granted || from->per_dir_config != r->per_dir_config)
        return;
    mtls_access_describe(r, rq, before->granted);
}

/* `Satisfy Any` ignores a refusal of the access checker, and httpd skips it for sub-requests and
 * internal redirects with the same configuration. Nothing ignores fixups. */
int mtls_access_fixups_first(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);
    int status;

    if (!rq || rq->settled != mtls_dir_of(r)) {
        status = enforce(r, 1);
        if (status != DECLINED || (rq = mtls_request_peek(r)) == NULL)
            return status;
    }
    inherit_grant(r, rq);
    if (rq->granted && !r->user && rq->merged && rq->merged->user && rq->exports)
        r->user = (char *)rq->exports->user;
    return DECLINED;
}

/* The request's own verdict; an error page tells why its request was refused instead, not how the
 * page itself was judged. */
static const mtls_request_t *told_by(const request_rec *r, const mtls_request_t *rq)
{
    const mtls_request_t *refused = r->prev ? mtls_request_refused(r->prev) : NULL;

    return refused ? refused : rq;
}

int mtls_access_fixups_last(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);
    int status;

    if (mtls_site()->merges_trailers) {
        mtls_export_strip_trailers(r);
        mtls_export_guard_trailers(r);
    }
    if (!rq && !r->prev && !r->main && !mtls_dir_of(r)->of_clients) {
        mtls_conceal_unjudged(r);
        return DECLINED; /* nothing of ours, and nothing it could have from another request */
    }
    /* DirectoryIndex lets a sub-request take this one's place meanwhile. */
    if ((!rq || rq->dir != mtls_dir_of(r)) && (status = enforce(r, 1)) != DECLINED)
        return status;
    if (!rq)
        rq = mtls_request_of(r);
    rq->passed = 1;
    if (!rq->granted || r->prev)
        mtls_conceal_rest(r, rq);
    mtls_export_variables(r, rq, told_by(r, rq));
    if (rq->deferred_error)
        mtls_peer_correct_variable(r, rq->deferred_error);
    if (mtls_request_proxied(r))
        mtls_export_ajp(r, rq);
    if (r->main || (rq->verdict && mtls_site()->headers->nelts > 0)) {
        status = mtls_export_headers(r, rq);
        return status == OK ? mtls_export_fits(r, rq) : status;
    }
    return DECLINED;
}

/* mod_proxy has removed what the client named in `Connection`; ours must not be among it. */
int mtls_access_proxy_fixups(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    return rq ? mtls_export_headers(r, rq) : OK;
}

/* Refusals of Require mtls and mtls-policy are httpd's own; their reason is ours to log. */
static void log_refused_by_httpd(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    if (refused_by_httpd(r, rq))
        log_once(r, rq);
}

/* "%{VAR}e" reads the last request of an internal redirect: give that one what the log must tell.
 */
static void tell_last(request_rec *first, request_rec *last)
{
    const mtls_request_t *told = mtls_request_refused(last);

    /* A refusal of httpd's own, below a verdict of ours, tells its reason as well. */
    if (!told && (told = mtls_request_peek(first)) != NULL && !told->logged)
        told = NULL;
    if (!told && (told = mtls_request_peek(last)) != NULL && !told->verdict)
        told = NULL;
    if (!told)
        told = mtls_request_peek(first);
    if (told)
        mtls_export_variables(last, mtls_request_of(last), told);
}

int mtls_access_log_transaction(request_rec *r)
{
    request_rec *last;

    for (last = r; last->next; last = last->next)
        log_refused_by_httpd(last);
    log_refused_by_httpd(last);
    if (last != r) {
        tell_last(r, last);
        if (mtls_site()->judges_backends)
            mtls_backend_tell_last(r, last);
    }
    return DECLINED;
}
