/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/proxy_sections.h"

#include <arpa/inet.h>

#include <apr_fnmatch.h>
#include <apr_hash.h>
#include <http_log.h>
#include <mod_proxy.h>

#include "httpd/request.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

/* A section as mod_proxy would match it, and as it is meant. */
typedef struct mtls_proxy_section_t {
    const proxy_dir_conf *proxy;
    const char *pattern; /* of URLs, as a shell has it; NULL: a prefix or a regular expression */
    mtls_span_t written; /* what mod_proxy compares */
    mtls_span_t prefix;  /* of URLs, scheme and host in one spelling */
    mtls_span_t host;    /* in that; empty: it may be about several hosts */
    mtls_dir_t *dir;     /* what it says of backends; NULL: nothing */
} mtls_proxy_section_t;

/* No more than that are looked through faster than a host is looked up. */
#define FEW_SECTIONS 8

/* ---- URLs ---- */

/* The bytes of `url` before its path. */
static apr_size_t authority_end(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (apr_size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

/* Where "[address]" or "[address%zone]" is in a URL whose host is an IPv6 address: the opening
 * bracket, or NULL; `len` gets the bytes of the address in there, `address` what they stand for. */
static const char *ipv6_of(const char *url, apr_size_t *len, struct in6_addr *address)
{
    const char *host = strstr(url, "://");
    char text[INET6_ADDRSTRLEN];

    if (!host || host[3] != '[')
        return NULL;
    *len = strcspn(host + 4, "%]");
    if (!strchr(host, ']') || *len >= sizeof(text))
        return NULL;
    apr_cpystrn(text, host + 4, *len + 1);
    return inet_pton(AF_INET6, text, address) == 1 ? host + 3 : NULL;
}

/* mod_proxy compares bytes, but schemes and hosts are the same in any case, and IPv6 addresses in
 * any spelling. */
static const char *in_one_spelling(apr_pool_t *p, const char *url)
{
    apr_size_t i, end = strstr(url, "://") ? authority_end(url) : strlen(url), len;
    char *copy = apr_pstrdup(p, url), text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *at;

    for (i = 0; i < end; i++)
        copy[i] = mtls_ascii_lower(copy[i]);
    if ((at = ipv6_of(copy, &len, &address)) == NULL ||
        !inet_ntop(AF_INET6, &address, text, sizeof(text)))
        return copy;
    return apr_pstrcat(p, apr_pstrmemdup(p, copy, (apr_size_t)(at - copy)), "[", text, at + 1 + len,
                       NULL);
}

/* The host, with its brackets; empty: there is none, or it may go on. */
static mtls_span_t host_of(const char *url)
{
    const char *host = strstr(url, "://");
    apr_size_t len;

    if (!host)
        return mtls_span("", 0);
    host += 3;
    len = strcspn(host, *host == '[' ? "]" : ":/?#");
    return host[len] ? mtls_span(host, len) : mtls_span("", 0);
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

/* What a URL may look like where a section names it; all have the same host. */
typedef struct spellings_t {
    mtls_span_t all[8];
    int n;
} spellings_t;

static void add_spelling(apr_pool_t *p, const char *url, spellings_t *out)
{
    out->all[out->n++] = mtls_span_of(url);
    if (ap_strchr_c(url, '%'))
        out->all[out->n++] = mtls_span_of(decoded(p, url));
}

/* To a section, WebSocket and HTTP/2 over TLS are what is contacted as https, too. */
static void spell(apr_pool_t *p, const char *url, spellings_t *out)
{
    const char *lower = in_one_spelling(p, url);

    out->n = 0;
    add_spelling(p, lower, out);
    add_spelling(p, other_port(p, lower), out);
    if (strncmp(lower, "wss:", 4) != 0 && strncmp(lower, "h2:", 3) != 0)
        return;
    lower = apr_pstrcat(p, "https", strchr(lower, ':'), NULL);
    add_spelling(p, lower, out);
    add_spelling(p, other_port(p, lower), out);
}

static int begins_with(mtls_span_t url, mtls_span_t prefix)
{
    return prefix.len > 0 && prefix.len <= url.len &&
           url.data[prefix.len - 1] == prefix.data[prefix.len - 1] && /* mostly enough */
           memcmp(url.data, prefix.data, prefix.len) == 0;
}

static int matches(const ap_regex_t *regex, const char *pattern, const char *url)
{
    return regex ? ap_regexec(regex, url, 0, NULL, 0) == 0
                 : apr_fnmatch(pattern, url, 0) == APR_SUCCESS;
}

static int is_prefix(const mtls_proxy_section_t *section)
{
    return !section->proxy->r && !section->pattern;
}

static int is_matched(const mtls_proxy_section_t *section, const char *url)
{
    return !is_prefix(section) && matches(section->proxy->r, section->pattern, url);
}

/* By mod_proxy itself, byte for byte. */
static int was_found(const mtls_proxy_section_t *section, mtls_span_t walked)
{
    return section->proxy->r || section->proxy->p_is_fnmatch
               ? matches(section->proxy->r, section->proxy->p, walked.data)
               : begins_with(walked, section->written);
}

static int is_about(const mtls_proxy_section_t *section, const char *url,
                    const spellings_t *spellings)
{
    int i, found = was_found(section, mtls_span_of(url));

    for (i = 0; i < spellings->n && !found; i++)
        found = is_prefix(section) ? begins_with(spellings->all[i], section->prefix)
                                   : is_matched(section, spellings->all[i].data);
    return found;
}

/* ---- at start ---- */

/* Of "unix:/path|https://host/" what is left when mod_proxy has taken the socket off. */
static const char *prefix_of(const proxy_dir_conf *proxy)
{
    const char *bar = ap_strchr_c(proxy->p, '|');

    return ap_cstr_casecmpn(proxy->p, "unix:", 5) == 0 && bar ? bar + 1 : proxy->p;
}

/* To mod_proxy the brackets of an IPv6 address are a pattern for one letter of it: nobody writes
 * them for that. */
static const char *pattern_of(apr_pool_t *p, const proxy_dir_conf *proxy)
{
    struct in6_addr address;
    const char *at, *pattern = proxy->p;
    apr_size_t len;

    if (proxy->r || !proxy->p_is_fnmatch)
        return NULL;
    if (strstr(pattern, "://"))
        pattern = in_one_spelling(p, pattern);
    if ((at = ipv6_of(pattern, &len, &address)) == NULL)
        return pattern;
    len = strcspn(at + 1, "]");
    pattern = apr_pstrcat(p, apr_pstrmemdup(p, pattern, (apr_size_t)(at - pattern)), "\\[",
                          apr_pstrmemdup(p, at + 1, len), "\\", at + 1 + len, NULL);
    return apr_fnmatch_test(pattern) ? pattern : NULL;
}

static void warn_of_lost(const proxy_dir_conf *proxy)
{
    struct in6_addr address;
    apr_size_t len;

    if (proxy->p_is_fnmatch && ipv6_of(proxy->p, &len, &address))
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                     "mtls_policy: <Proxy \"%s\">: mod_proxy takes the brackets of an IPv6 address "
                     "for a pattern and never finds this section: what mod_ssl's directives in it "
                     "say does not hold. <ProxyMatch> with \"\\[\" is found",
                     proxy->p);
}

const char *mtls_proxy_sections_lost(const cmd_parms *cmd)
{
    struct in6_addr address;
    const ap_directive_t *d;
    apr_size_t len;

    for (d = cmd->directive->parent; d; d = d->parent) {
        if (ap_cstr_casecmp(d->directive, "<Proxy") == 0 && ipv6_of(d->args, &len, &address))
            return d->args;
    }
    return NULL;
}

static void add_section(apr_pool_t *p, mtls_server_t *server, const ap_conf_vector_t *section,
                        const module *proxy)
{
    const module *ssl = ap_find_linked_module("mod_ssl.c");
    mtls_dir_t *dir = ap_get_module_config(section, &mtls_policy_module);
    mtls_proxy_section_t found = {.proxy = ap_get_module_config(section, proxy)};

    found.written = mtls_span_of(found.proxy->p);
    found.prefix = mtls_span_of(in_one_spelling(p, prefix_of(found.proxy)));
    found.pattern = pattern_of(p, found.proxy);
    found.host = is_prefix(&found) ? host_of(found.prefix.data) : mtls_span("", 0);
    if (ssl && ap_get_module_config(section, ssl)) { /* NULL: no directive of that module */
        APR_ARRAY_PUSH(server->tls_proxies, mtls_proxy_section_t) = found;
        warn_of_lost(found.proxy);
    }
    if (!dir || !dir->own)
        return;
    found.dir = dir;
    dir->own->is_of_proxy = 1;
    if (dir->own->backend)
        APR_ARRAY_PUSH(server->proxies, mtls_proxy_section_t) = found;
}

/* Those that may be about that host, in the order of the configuration. */
static apr_array_header_t *of_host(apr_pool_t *p, const apr_array_header_t *all, mtls_span_t host)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(mtls_proxy_section_t));
    int i;

    for (i = 0; i < all->nelts; i++) {
        const mtls_proxy_section_t *section = &APR_ARRAY_IDX(all, i, mtls_proxy_section_t);
        if (section->host.len == 0 || mtls_span_equal(section->host, host))
            APR_ARRAY_PUSH(out, mtls_proxy_section_t) = *section;
    }
    return out;
}

static void index_hosts(apr_pool_t *p, mtls_server_t *server)
{
    int i;

    server->proxies_by_host = apr_hash_make(p);
    server->proxies_anywhere = of_host(p, server->proxies, mtls_span("", 0));
    for (i = 0; i < server->proxies->nelts; i++) {
        mtls_span_t host = APR_ARRAY_IDX(server->proxies, i, mtls_proxy_section_t).host;
        apr_ssize_t len = (apr_ssize_t)host.len;
        if (len > 0 && !apr_hash_get(server->proxies_by_host, host.data, len))
            apr_hash_set(server->proxies_by_host, host.data, len,
                         of_host(p, server->proxies, host));
    }
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
            add_section(pconf, server, APR_ARRAY_IDX(conf->sec_proxy, i, const ap_conf_vector_t *),
                        proxy);
        index_hosts(pconf, server);
    }
}

/* ---- requests ---- */

int mtls_proxy_sections_fixups(request_rec *r)
{
    if (r->proxyreq && mtls_server_of(r->server)->tls_proxies->nelts > 0 &&
        strncmp(r->filename, "proxy:", 6) == 0)
        mtls_request_of(r)->walked = apr_pstrdup(r->pool, r->filename + 6);
    return DECLINED;
}

mtls_span_t mtls_proxy_sections_tls(const request_rec *r)
{
    const apr_array_header_t *sections = mtls_server_of(r->server)->tls_proxies;
    const mtls_request_t *rq = mtls_request_peek(r);
    apr_size_t bytes = ((apr_size_t)sections->nelts + 7) / 8;
    unsigned char *bits;
    mtls_span_t walked;
    int i;

    if (bytes == 0 || !rq || !rq->walked)
        return mtls_span("", 0);
    bits = apr_pcalloc(r->pool, bytes);
    walked = mtls_span_of(rq->walked);
    for (i = 0; i < sections->nelts; i++) {
        if (was_found(&APR_ARRAY_IDX(sections, i, mtls_proxy_section_t), walked))
            bits[i / 8] |= (unsigned char)(1U << (i % 8));
    }
    return mtls_span((const char *)bits, bytes);
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

/* Behind what the server and <Proxy> sections say, before <Location> and the rest: where they would
 * be, had mod_proxy found them. */
static const mtls_dir_t *insert(apr_pool_t *p, const mtls_dir_t *dir, mtls_dir_t *extra)
{
    mtls_dir_t before = {.sections = dir->sections}, behind = {.n = dir->n};

    while (before.n < dir->n &&
           (dir->sections[before.n]->is_top || dir->sections[before.n]->is_of_proxy))
        before.n++;
    behind.sections = dir->sections + before.n;
    behind.n = dir->n - before.n;
    return apr_pmemdup(p, mtls_dir_merge(p, mtls_dir_merge(p, &before, extra), &behind),
                       sizeof(mtls_dir_t));
}

/* Those that may be about the URL. */
static const apr_array_header_t *candidates(apr_pool_t *p, const mtls_server_t *server,
                                            const char *url)
{
    const apr_array_header_t *found;
    mtls_span_t host;

    if (server->proxies->nelts <= FEW_SECTIONS)
        return server->proxies;
    host = host_of(in_one_spelling(p, url));
    if (host.len == 0)
        return server->proxies;
    found = apr_hash_get(server->proxies_by_host, host.data, (apr_ssize_t)host.len);
    return found ? found : server->proxies_anywhere;
}

/* mod_proxy looks for <Proxy> sections by the URL it was given: not by that of the member a
 * balancer has chosen, and not at all where a handler or a rule in a directory names the URL. They
 * are about what is contacted, so they hold all the same. */
const mtls_dir_t *mtls_proxy_sections_add(request_rec *r, const mtls_dir_t *dir, const char *url)
{
    const apr_array_header_t *proxies = candidates(r->pool, mtls_server_of(r->server), url);
    spellings_t spellings = {.n = 0};
    mtls_dir_t none = {.n = 0}, *extra = &none;
    int i;

    for (i = 0; i < proxies->nelts; i++) {
        const mtls_proxy_section_t *section = &APR_ARRAY_IDX(proxies, i, mtls_proxy_section_t);
        if (has(dir, section->dir->own))
            continue;
        if (spellings.n == 0)
            spell(r->pool, url, &spellings);
        if (is_about(section, url, &spellings))
            extra = mtls_dir_merge(r->pool, extra, section->dir);
    }
    return extra->n > 0 ? insert(r->pool, dir, extra) : dir;
}
