/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/strict_path.h"

#include <apr_fnmatch.h>
#include <http_core.h>
#include <http_request.h>

#include "httpd/checks.h"
#include "httpd/log.h"
#include "httpd/site.h"
#include "policy/request_target.h"

/* ---- where it is in force ---- */

static int has_policy(const server_rec *s, const server_rec *main_server)
{
    const apr_array_header_t *sections = mtls_site()->sections, *requires = mtls_site()->requires;
    int i, found = 0;

    for (i = 0; i < sections->nelts && !found; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        found = mtls_checks_applies(section, s, main_server) && mtls_section_is_policy(section);
    }
    for (i = 0; i < requires->nelts && !found; i++) {
        const mtls_require_t *require = APR_ARRAY_IDX(requires, i, const mtls_require_t *);
        found = require->server == s || require->server == main_server;
    }
    return found;
}

void mtls_strict_path_prepare(server_rec *main_server)
{
    server_rec *s;

    for (s = main_server; s; s = s->next) {
        mtls_server_t *server = mtls_server_of(s);
        server->paths = server->strict_path;
        if (server->paths == MTLS_STRICT_PATH_UNSET && has_policy(s, main_server))
            server->paths = MTLS_STRICT_PATH_PROXIED;
    }
}

/* ---- judging ---- */

static int merges_slashes(const request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);

    return core->merge_slashes != AP_CORE_CONFIG_OFF;
}

static int how_to_judge(const request_rec *r)
{
    int how = merges_slashes(r) ? 0 : MTLS_TARGET_UNMERGED;

    if (mtls_server_of(r->server)->paths == MTLS_STRICT_PATH_PARAMS)
        how |= MTLS_TARGET_MAY_HAVE_PARAMS;
    if (r->proxyreq && (apr_table_get(r->notes, "proxy-nocanon") != NULL ||
                        apr_table_get(r->notes, "proxy-noencode") != NULL))
        how |= MTLS_TARGET_SENT_RAW;
    return how;
}

static int is_fine(request_rec *r, const char *target)
{
    mtls_target_flaw_t flaw = MTLS_TARGET_UNJUDGED;
    apr_size_t at = 0;

    if (target)
        flaw = mtls_target_judge(mtls_span_of(target), how_to_judge(r), &at);
    if (flaw == MTLS_TARGET_FINE)
        return 1;
    mtls_log_target(r, target ? target : "", mtls_target_token(flaw), at);
    return 0;
}

/* The request whose target the client has sent: of a sub-request its main request, of an internal
 * redirect the one before. An error page is named by the configuration and stands for itself. */
static const request_rec *asked_for(const request_rec *r)
{
    for (; r->main || r->prev; r = r->main ? r->main : r->prev) {
        if (!r->main && ap_is_HTTP_ERROR(r->prev->status))
            break;
    }
    return r;
}

/* As httpd's own walk matches sections. */
static int matches(const core_dir_config *section, const char *path)
{
    apr_size_t len;

    if (section->r)
        return ap_regexec(section->r, path, 0, NULL, 0) == 0;
    if (section->d_is_fnmatch)
        return apr_fnmatch(section->d, path, APR_FNM_PATHNAME) == APR_SUCCESS;
    len = strlen(section->d);
    return strncmp(section->d, path, len) == 0 &&
           (len == 0 || section->d[len - 1] == '/' || path[len] == '/' || path[len] == '\0');
}

/* A backend that does not count parameters as part of the path must not find itself at a place
 * with other sections. */
static int params_lead_elsewhere(request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    const char *plain;
    int i;

    if (!r->uri || !strchr(r->uri, ';'))
        return 0;
    plain = mtls_target_without_params(r->pool, r->uri);
    for (i = 0; i < core->sec_url->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *);
        const core_dir_config *core_section = ap_get_core_module_config(section);
        if (matches(core_section, r->uri) != matches(core_section, plain))
            return 1;
    }
    return 0;
}

static int judge(request_rec *r)
{
    const request_rec *first = asked_for(r);

    if (!is_fine(r, first->unparsed_uri))
        return HTTP_BAD_REQUEST;
    if (first != r && !is_fine(r, r->unparsed_uri))
        return HTTP_BAD_REQUEST;
    return DECLINED;
}

/* What goes to a backend. In a forward proxy's requests the path is another server's matter. */
static int judge_proxied(request_rec *r)
{
    mtls_strict_path_t paths = mtls_server_of(r->server)->paths;

    if (paths == MTLS_STRICT_PATH_UNSET || paths == MTLS_STRICT_PATH_OFF ||
        r->proxyreq == PROXYREQ_PROXY)
        return DECLINED;
    return judge(r);
}

/* ---- hooks, in the order of the phases: each later one sees more of what is proxied ---- */

/* On and params: every request, before httpd decodes its path. */
static int judge_target(request_rec *r)
{
    mtls_strict_path_t paths = mtls_server_of(r->server)->paths;

    if ((paths != MTLS_STRICT_PATH_ON && paths != MTLS_STRICT_PATH_PARAMS) || r->main || r->prev ||
        r->proxyreq == PROXYREQ_PROXY || r->method_number == M_CONNECT)
        return DECLINED;
    return judge(r);
}

/* What ProxyPass or a server's RewriteRule sends to a backend, before anybody looks at a
 * certificate. */
static int judge_mapped(request_rec *r)
{
    if (mtls_server_of(r->server)->paths == MTLS_STRICT_PATH_PARAMS && params_lead_elsewhere(r)) {
        mtls_log_target(r, r->uri, "parameter_section", strcspn(r->uri, ";"));
        return HTTP_BAD_REQUEST;
    }
    return r->proxyreq ? judge_proxied(r) : DECLINED;
}

/* Whatever else is about to be sent to one: a directory's RewriteRule, SetHandler. */
static int judge_handled(request_rec *r)
{
    if (!r->proxyreq && (!r->handler || strncmp(r->handler, "proxy:", 6) != 0))
        return DECLINED;
    return judge_proxied(r);
}

static void add_hook_for_targets(void)
{
    ap_hook_pre_translate_name(judge_target, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

static void add_hook_for_mapped(void)
{
    ap_hook_map_to_storage(judge_mapped, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

static void add_hook_for_handled(void)
{
    static const char *const before_cache[] = {"mod_cache.c", NULL};

    ap_hook_handler(judge_handled, NULL, before_cache, APR_HOOK_REALLY_FIRST);
}

void mtls_strict_path_begin(void)
{
    if (!ap_find_linked_module("mod_proxy.c"))
        return;
    mtls_site_add_hooks(add_hook_for_mapped);
    mtls_site_add_hooks(add_hook_for_handled);
}

/* On and params hold for what is not proxied, too. */
static void hold_everywhere(void)
{
    if (!mtls_site()->judges_targets)
        mtls_site_add_hooks(add_hook_for_targets);
    if (!mtls_site()->judges_targets && !ap_find_linked_module("mod_proxy.c"))
        mtls_site_add_hooks(add_hook_for_mapped);
    mtls_site()->judges_targets = 1;
}

const char *mtls_set_strict_path(cmd_parms *cmd, void *dir, const char *value)
{
    mtls_server_t *server = mtls_server_of(cmd->server);

    (void)dir;
    if (ap_cstr_casecmp(value, "on") == 0)
        server->strict_path = MTLS_STRICT_PATH_ON;
    else if (ap_cstr_casecmp(value, "off") == 0)
        server->strict_path = MTLS_STRICT_PATH_OFF;
    else if (ap_cstr_casecmp(value, "params") == 0)
        server->strict_path = MTLS_STRICT_PATH_PARAMS;
    else
        return apr_psprintf(
            cmd->pool, "MTLSStrictPath: unknown value \"%s\"; allowed: On, Off, params", value);
    if (server->strict_path != MTLS_STRICT_PATH_OFF)
        hold_everywhere();
    return NULL;
}
