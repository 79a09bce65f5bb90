/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/backend.h"

#include <apr_fnmatch.h>
#include <http_log.h>

#include "httpd/log.h"
#include "httpd/request.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

/* ---- <Proxy> sections ---- */

/* One that says something of backends, as mod_proxy would match it. */
typedef struct mtls_proxy_section_t {
    const proxy_dir_conf *proxy;
    mtls_dir_t *dir;
} mtls_proxy_section_t;

static apr_array_header_t *sections_of(apr_pool_t *p, const proxy_server_conf *conf,
                                       const module *proxy)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(mtls_proxy_section_t));
    int i;

    for (i = 0; i < conf->sec_proxy->nelts; i++) {
        const ap_conf_vector_t *section =
            APR_ARRAY_IDX(conf->sec_proxy, i, const ap_conf_vector_t *);
        mtls_proxy_section_t found = {ap_get_module_config(section, proxy),
                                      ap_get_module_config(section, &mtls_policy_module)};
        if (found.dir && found.dir->own && found.dir->own->backend) /* NULL: nothing of ours */
            APR_ARRAY_PUSH(out, mtls_proxy_section_t) = found;
    }
    return out->nelts > 0 ? out : NULL;
}

void mtls_backend_start(apr_pool_t *pconf, server_rec *main_server)
{
    const module *proxy = ap_find_linked_module("mod_proxy.c");
    server_rec *s;

    for (s = main_server; s && proxy && mtls_site()->judges_backends; s = s->next)
        mtls_server_of(s)->proxies =
            sections_of(pconf, ap_get_module_config(s->module_config, proxy), proxy);
}

/* The bytes of `url` before its path. */
static apr_size_t authority_end(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (apr_size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

/* mod_proxy compares bytes, but schemes and hosts are the same in any case. */
static int begins_with(const char *url, const char *prefix)
{
    apr_size_t n = strlen(prefix), authority = authority_end(url);

    if (n <= authority)
        return strncasecmp(url, prefix, n) == 0;
    return strncasecmp(url, prefix, authority) == 0 &&
           strncmp(url + authority, prefix + authority, n - authority) == 0;
}

static int is_about(const proxy_dir_conf *proxy, const char *url)
{
    if (proxy->r)
        return ap_regexec(proxy->r, url, 0, NULL, 0) == 0;
    if (proxy->p_is_fnmatch)
        return apr_fnmatch(proxy->p, url, 0) == APR_SUCCESS;
    return begins_with(url, proxy->p);
}

/* The same URL with its default port written, or not written: a section may name it either way. */
static const char *other_spelling(apr_pool_t *p, const char *url)
{
    apr_size_t end = authority_end(url);
    const char *port = apr_pstrmemdup(p, url, end);

    if (end > 4 && strcmp(port + end - 4, ":443") == 0)
        return apr_pstrcat(p, apr_pstrmemdup(p, url, end - 4), url + end, NULL);
    return apr_pstrcat(p, port, ":443", url + end, NULL);
}

static int has(const mtls_dir_t *dir, const mtls_section_t *section)
{
    int i;

    for (i = 0; i < dir->n; i++) {
        if (dir->sections[i] == section)
            return 1;
    }
    return 0;
}

/* Where mod_proxy has looked for <Proxy> sections itself, what MTLSInherit Off has dropped of them
 * stays dropped. Only then is it known that it has looked. */
int mtls_backend_fixups(request_rec *r)
{
    const mtls_dir_t *dir = mtls_dir_of(r);

    if (r->proxyreq && dir->n > 0 && dir->sections[0]->drops_inherited &&
        strncmp(r->filename, "proxy:", 6) == 0)
        mtls_request_of(r)->walked = r->filename + 6;
    return DECLINED;
}

/* mod_proxy looks for <Proxy> sections by the URL it was given: not by that of the member a
 * balancer has chosen, and not at all where a handler or a rule in a directory names the URL. They
 * are about what is contacted, so they hold all the same. */
static const mtls_dir_t *add_sections(request_rec *r, const mtls_dir_t *dir, const char *url)
{
    const apr_array_header_t *proxies = mtls_server_of(r->server)->proxies;
    const mtls_request_t *rq = mtls_request_peek(r);
    const char *other = NULL;
    int i;

    for (i = 0; proxies && i < proxies->nelts; i++) {
        const mtls_proxy_section_t *section = &APR_ARRAY_IDX(proxies, i, mtls_proxy_section_t);
        if (has(dir, section->dir->own) ||
            (rq && rq->walked && is_about(section->proxy, rq->walked)))
            continue;
        other = other ? other : other_spelling(r->pool, url);
        if (is_about(section->proxy, url) || is_about(section->proxy, other))
            dir = mtls_dir_merge(r->pool, (void *)(apr_uintptr_t)dir, section->dir);
    }
    return dir;
}

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
    const mtls_dir_t *dir = add_sections(r, mtls_dir_of(r), url);
    const mtls_merged_t *merged = mtls_merged_of(r, dir);
    const char *host = strstr(url, "://");
    mtls_errand_t made = {.r = r,
                          .dir_conf = r->per_dir_config,
                          .backend = merged ? merged->backend : NULL,
                          .kept = !merged || merged->ordinal != MTLS_UNSET};

    made.authority = host ? mtls_span(host + 3, authority_end(url) - (apr_size_t)(host + 3 - url))
                          : mtls_span_of(url);
    return made;
}

static const mtls_errand_t *begin_errand(request_rec *r, const char *url)
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

static void end_errand(const request_rec *r)
{
    int i;

    for (i = errands.n - 1; i >= 0; i--) {
        if (errands.all[i].r == r)
            errands.n = i;
    }
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
    if (good) {
        apr_table_unset(r->subprocess_env, rule_name);
        mtls_request_of(r)->backend_refused = 0; /* by a first try, or another member */
        return 1;
    }
    if (verdict->rule)
        apr_table_setn(r->subprocess_env, rule_name, mtls_rule_text(verdict->rule));
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
    const mtls_errand_t *errand;

    (void)worker;
    (void)conf;
    (void)proxyhost;
    (void)proxyport;
    errand = begin_errand(r, url);
    if (!errand->backend || !errand->backend->policy || has_tls(url) ||
        mtls_backend_admit(r, errand->backend, &plain, errand->authority))
        return DECLINED;
    return HTTP_BAD_GATEWAY;
}

int mtls_backend_request_status(int *status, request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    end_errand(r);
    if (rq && rq->backend_refused && *status != OK && *status != DONE)
        *status = HTTP_BAD_GATEWAY;
    return OK;
}
