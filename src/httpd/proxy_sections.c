/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/proxy_sections.h"

#include <apr_fnmatch.h>
#include <mod_proxy.h>

#include "httpd/request.h"
#include "httpd/site.h"

/* A section as mod_proxy would match it. */
typedef struct mtls_proxy_section_t {
    const proxy_dir_conf *proxy;
    const char *prefix; /* of URLs, where it is neither a regex nor a pattern */
    mtls_dir_t *dir;    /* what it says of backends; NULL: nothing */
} mtls_proxy_section_t;

#define MAX_TOLD_APART 64

/* ---- at start ---- */

/* Of "unix:/path|https://host/" what is left when mod_proxy has taken the socket off. */
static const char *prefix_of(const proxy_dir_conf *proxy)
{
    const char *bar = ap_strchr_c(proxy->p, '|');

    return ap_cstr_casecmpn(proxy->p, "unix:", 5) == 0 && bar ? bar + 1 : proxy->p;
}

static void add_section(mtls_server_t *server, const ap_conf_vector_t *section, const module *proxy)
{
    const module *ssl = ap_find_linked_module("mod_ssl.c");
    mtls_dir_t *dir = ap_get_module_config(section, &mtls_policy_module);
    mtls_proxy_section_t found = {.proxy = ap_get_module_config(section, proxy)};

    found.prefix = prefix_of(found.proxy);
    if (ssl && ap_get_module_config(section, ssl)) /* NULL: no directive of that module */
        APR_ARRAY_PUSH(server->tls_proxies, mtls_proxy_section_t) = found;
    found.dir = dir;
    if (dir && dir->own && dir->own->backend)
        APR_ARRAY_PUSH(server->proxies, mtls_proxy_section_t) = found;
}

void mtls_proxy_sections_prepare(apr_pool_t *pconf, server_rec *main_server)
{
    const module *proxy = ap_find_linked_module("mod_proxy.c");
    const proxy_server_conf *conf;
    mtls_server_t *server;
    server_rec *s;
    int i;

    for (s = main_server; s && proxy && mtls_site()->judges_backends; s = s->next) {
        server = mtls_server_of(s);
        server->proxies = apr_array_make(pconf, 4, sizeof(mtls_proxy_section_t));
        server->tls_proxies = apr_array_make(pconf, 4, sizeof(mtls_proxy_section_t));
        conf = ap_get_module_config(s->module_config, proxy);
        for (i = 0; i < conf->sec_proxy->nelts; i++)
            add_section(server, APR_ARRAY_IDX(conf->sec_proxy, i, const ap_conf_vector_t *), proxy);
    }
}

/* ---- URLs ---- */

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

static int is_about(const mtls_proxy_section_t *section, const char *url)
{
    if (section->proxy->r)
        return ap_regexec(section->proxy->r, url, 0, NULL, 0) == 0;
    if (section->proxy->p_is_fnmatch)
        return apr_fnmatch(section->proxy->p, url, 0) == APR_SUCCESS;
    return begins_with(url, section->prefix);
}

/* The same URL with its default port written, or not written: a section may name it either way. */
static const char *other_port(apr_pool_t *p, const char *url)
{
    apr_size_t end = authority_end(url);

    if (end > 4 && strncmp(url + end - 4, ":443", 4) == 0)
        return apr_pstrcat(p, apr_pstrmemdup(p, url, end - 4), url + end, NULL);
    return apr_pstrcat(p, apr_pstrmemdup(p, url, end), ":443", url + end, NULL);
}

/* As it was before mod_proxy has encoded it, which is how sections are written. */
static const char *decoded(apr_pool_t *p, const char *url)
{
    char *copy = apr_pstrdup(p, url);

    return ap_unescape_url_keep2f(copy, 1) == OK ? copy : url;
}

/* What a URL may look like where a section names it. */
typedef struct spellings_t {
    const char *all[8];
    int n;
} spellings_t;

static void spell(apr_pool_t *p, const char *url, spellings_t *out)
{
    const char *other = other_port(p, url);

    out->all[out->n++] = url;
    out->all[out->n++] = other;
    if (!ap_strchr_c(url, '%'))
        return;
    out->all[out->n++] = decoded(p, url);
    out->all[out->n++] = decoded(p, other);
}

/* To a section, WebSocket and HTTP/2 over TLS are what is contacted as https, too. */
static void spell_all(apr_pool_t *p, const char *url, spellings_t *out)
{
    out->n = 0;
    spell(p, url, out);
    if (ap_cstr_casecmpn(url, "wss:", 4) == 0 || ap_cstr_casecmpn(url, "h2:", 3) == 0)
        spell(p, apr_pstrcat(p, "https", strchr(url, ':'), NULL), out);
}

static int is_about_any(const mtls_proxy_section_t *section, const spellings_t *spellings)
{
    int i;

    for (i = 0; i < spellings->n; i++) {
        if (is_about(section, spellings->all[i]))
            return 1;
    }
    return 0;
}

/* ---- requests ---- */

int mtls_proxy_sections_fixups(request_rec *r)
{
    if (r->proxyreq && mtls_server_of(r->server)->tls_proxies->nelts > 0 &&
        strncmp(r->filename, "proxy:", 6) == 0)
        mtls_request_of(r)->walked = apr_pstrdup(r->pool, r->filename + 6);
    return DECLINED;
}

int mtls_proxy_sections_tls(const request_rec *r, apr_uint64_t *which)
{
    const apr_array_header_t *sections = mtls_server_of(r->server)->tls_proxies;
    const mtls_request_t *rq = mtls_request_peek(r);
    int i;

    *which = 0;
    if (sections->nelts > MAX_TOLD_APART)
        return 0;
    for (i = 0; rq && rq->walked && i < sections->nelts; i++) {
        if (is_about(&APR_ARRAY_IDX(sections, i, mtls_proxy_section_t), rq->walked))
            *which |= APR_UINT64_C(1) << i;
    }
    return 1;
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

static int is_of_proxies(const mtls_section_t *section, const apr_array_header_t *proxies)
{
    int i;

    for (i = 0; i < proxies->nelts; i++) {
        if (APR_ARRAY_IDX(proxies, i, mtls_proxy_section_t).dir->own == section)
            return 1;
    }
    return 0;
}

/* Behind what the server and <Proxy> sections say, before <Location> and the rest: where they would
 * be, had mod_proxy found them. */
static const mtls_dir_t *insert(apr_pool_t *p, const mtls_dir_t *dir, mtls_dir_t *extra,
                                const apr_array_header_t *proxies)
{
    mtls_dir_t before = {.sections = dir->sections}, behind = {.n = dir->n};

    while (before.n < dir->n &&
           (dir->sections[before.n]->is_top || is_of_proxies(dir->sections[before.n], proxies)))
        before.n++;
    behind.sections = dir->sections + before.n;
    behind.n = dir->n - before.n;
    return apr_pmemdup(p, mtls_dir_merge(p, mtls_dir_merge(p, &before, extra), &behind),
                       sizeof(mtls_dir_t));
}

/* mod_proxy looks for <Proxy> sections by the URL it was given: not by that of the member a
 * balancer has chosen, and not at all where a handler or a rule in a directory names the URL. They
 * are about what is contacted, so they hold all the same. */
const mtls_dir_t *mtls_proxy_sections_add(request_rec *r, const mtls_dir_t *dir, const char *url)
{
    const apr_array_header_t *proxies = mtls_server_of(r->server)->proxies;
    spellings_t spellings = {.n = 0};
    mtls_dir_t none = {.n = 0}, *extra = &none;
    int i;

    for (i = 0; i < proxies->nelts; i++) {
        const mtls_proxy_section_t *section = &APR_ARRAY_IDX(proxies, i, mtls_proxy_section_t);
        if (has(dir, section->dir->own))
            continue;
        if (spellings.n == 0)
            spell_all(r->pool, url, &spellings);
        if (is_about_any(section, &spellings))
            extra = mtls_dir_merge(r->pool, extra, section->dir);
    }
    return extra->n > 0 ? insert(r->pool, dir, extra, proxies) : dir;
}
