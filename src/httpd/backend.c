/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/backend.h"

#include <http_log.h>

#include "httpd/log.h"
#include "httpd/proxy_sections.h"
#include "httpd/request.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

/* ---- errands ---- */

/* A response may hold a sub-request that is proxied, too, and so on. */
#define MAX_ERRANDS 8

/* Those this thread is on, the last one first to end. By value: mod_proxy does not tell us of every
 * end, and what is left over must point to nothing that is looked at. */
static __thread struct {
    mtls_errand_t all[MAX_ERRANDS];
    int n;
} errands;

mtls_errand_t *mtls_backend_errand(void)
{
    return errands.n > 0 ? &errands.all[errands.n - 1] : NULL;
}

mtls_errand_t mtls_backend_errand_of(request_rec *r, const char *url)
{
    const mtls_dir_t *dir = mtls_proxy_sections_add(r, mtls_dir_of(r), url);
    const mtls_merged_t *merged = mtls_merged_of(r, dir);
    const char *host = strstr(url, "://");
    mtls_errand_t made = {.r = r,
                          .dir_conf = r->per_dir_config,
                          .backend = merged ? merged->backend : NULL,
                          .kept = !merged || merged->ordinal != MTLS_UNSET};

    made.authority = host ? mtls_span(host + 3, strcspn(host + 3, "/?#")) : mtls_span_of(url);
    made.tls_sections = mtls_proxy_sections_tls(r);
    return made;
}

static mtls_errand_t *begin_errand(request_rec *r, const char *url)
{
    mtls_errand_t *top = mtls_backend_errand();

    if (top && top->r == r) { /* another member, or another try, of the same request */
        errands.n--;
    } else if (errands.n == MAX_ERRANDS) {
        memmove(errands.all, errands.all + 1, sizeof(errands.all) - sizeof(errands.all[0]));
        errands.n--;
    }
    top = &errands.all[errands.n++];
    *top = mtls_backend_errand_of(r, url);
    return top;
}

/* A handler that answers 503 (HTTP/2's) has mod_proxy take the worker out of service; what one
 * section refuses another may well allow. */
static void pardon_worker(const mtls_errand_t *errand)
{
    if (!errand->was_in_error)
        errand->worker->s->status &= ~(unsigned int)PROXY_WORKER_IN_ERROR;
}

static void end_errand(const request_rec *r, int refused)
{
    int i;

    for (i = errands.n - 1; i >= 0; i--) {
        if (errands.all[i].r != r)
            continue;
        if (refused)
            pardon_worker(&errands.all[i]);
        errands.n = i;
    }
}

/* Whether a backend of the request was refused before, so that this is another try. */
static int was_refused(const request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    return rq && rq->backend_refused;
}

/* ---- what is said ---- */

static const char reason_name[] = "MTLS_BACKEND_REASON";
static const char rule_name[] = "MTLS_BACKEND_RULE";

void mtls_backend_tell_last(request_rec *first, request_rec *last)
{
    const char *reason, *rule;

    for (; first && first != last; first = first->next) {
        reason = apr_table_get(first->subprocess_env, reason_name);
        rule = apr_table_get(first->subprocess_env, rule_name);
        if (!reason || (apr_table_get(last->subprocess_env, reason_name) &&
                        strcmp(reason, mtls_reason_token(MTLS_OK)) == 0))
            continue;
        apr_table_setn(last->subprocess_env, reason_name, reason);
        if (rule)
            apr_table_setn(last->subprocess_env, rule_name, rule);
        return;
    }
}

int mtls_backend_admit(request_rec *r, const mtls_backend_t *backend,
                       const mtls_backend_verdict_t *verdict, mtls_span_t authority)
{
    int good = verdict->reason == MTLS_OK, reported = backend->mode == MTLS_MODE_REPORT;

    apr_table_setn(r->subprocess_env, reason_name, mtls_reason_token(verdict->reason));
    if (good && was_refused(r)) /* a first try of HTTP/2's handler was */
        apr_table_unset(r->subprocess_env, rule_name);
    if (good)
        return 1;
    if (verdict->rule)
        apr_table_setn(r->subprocess_env, rule_name, mtls_rule_text(verdict->rule));
    if (reported || !was_refused(r)) /* HTTP/2's handler tries twice */
        mtls_log_backend(r, verdict, reported ? "report" : "deny", authority);
    if (reported && verdict->reason != MTLS_INTERNAL_ERROR)
        return 1;
    mtls_request_of(r)->backend_refused = 1;
    return 0;
}

/* ---- hooks ---- */

static int has_tls(const char *url)
{
    return ap_cstr_casecmpn(url, "https:", 6) == 0 || ap_cstr_casecmpn(url, "wss:", 4) == 0 ||
           ap_cstr_casecmpn(url, "h2:", 3) == 0;
}

int mtls_backend_scheme_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                                char *url, const char *proxyhost, apr_port_t proxyport)
{
    static const mtls_backend_verdict_t plain = {
        .reason = MTLS_NO_TLS, .hint = "a backend without TLS proves nothing of itself"};
    mtls_errand_t *errand;

    (void)conf;
    (void)proxyhost;
    (void)proxyport;
    if (was_refused(r))
        return HTTP_BAD_GATEWAY;
    errand = begin_errand(r, url);
    errand->worker = worker;
    errand->was_in_error = (worker->s->status & PROXY_WORKER_IN_ERROR) != 0;
    if (!errand->backend || !errand->backend->policy || has_tls(url) ||
        mtls_backend_admit(r, errand->backend, &plain, errand->authority))
        return DECLINED;
    return HTTP_BAD_GATEWAY;
}

int mtls_backend_request_status(int *status, request_rec *r)
{
    end_errand(r, was_refused(r));
    if (was_refused(r) && *status != OK && *status != DONE)
        *status = HTTP_BAD_GATEWAY;
    return OK;
}
