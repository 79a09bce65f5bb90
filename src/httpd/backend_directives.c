/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/backend_directives.h"

#include <apr_dso.h>
#include <mod_ssl_openssl.h>

#include "httpd/backend.h"
#include "httpd/backend_gate.h"
#include "httpd/ocsp_directives.h"
#include "httpd/proxy_sections.h"
#include "httpd/site.h"
#include "httpd/trust_directives.h"
#include "policy/value.h"

#define MAX_SNI 253 /* a name in DNS (RFC 1035 2.3.4) */

typedef void (*hook_scheme_handler_fn)(proxy_HOOK_scheme_handler_t *handler,
                                       const char *const *before, const char *const *after,
                                       int order);

/* This hook of mod_proxy's is no optional one: it is registered by a function of its own, and this
 * module is loaded with or without mod_proxy. NULL: that is not loaded. */
static hook_scheme_handler_fn find_hook(apr_pool_t *p)
{
    const module *proxy = ap_find_linked_module("mod_proxy.c");
    apr_dso_handle_t *dso = proxy ? proxy->dynamic_load_handle : NULL;
    apr_dso_handle_sym_t hook = NULL;

    if (proxy && (dso || apr_dso_load(&dso, NULL, p) == APR_SUCCESS) &&
        apr_dso_sym(&hook, dso, "proxy_hook_scheme_handler") != APR_SUCCESS)
        hook = NULL;
    return (hook_scheme_handler_fn)hook;
}

static hook_scheme_handler_fn hook_scheme_handler;

static void add_hooks(void)
{
    static const char *const before_ssl[] = {"mod_ssl.c", NULL};

    mtls_backend_gate_register();
    hook_scheme_handler(mtls_backend_scheme_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(proxy, request_status, mtls_backend_request_status, NULL, NULL,
                      APR_HOOK_REALLY_LAST);
    ap_hook_fixups(mtls_proxy_sections_fixups, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_ssl_bind_outgoing(mtls_backend_bind, NULL, before_ssl, APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(ssl, pre_handshake, mtls_backend_pre_handshake, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ssl, proxy_post_handshake, mtls_backend_post_handshake, NULL, NULL,
                      APR_HOOK_REALLY_LAST);
}

mtls_backend_section_t *mtls_backend_section_of(cmd_parms *cmd, void *dir)
{
    mtls_section_t *section = mtls_section_of_backends(cmd, dir);

    if (!section->backend) {
        section->backend = apr_pcalloc(cmd->pool, sizeof(*section->backend));
        section->backend->rules = apr_array_make(cmd->pool, 2, sizeof(const mtls_rule_t *));
    }
    return section->backend;
}

/* Whether the directive stands inside such a section. */
static int is_inside(const cmd_parms *cmd, const char *const names[])
{
    const ap_directive_t *d;
    int i;

    for (d = cmd->directive->parent; d; d = d->parent) {
        for (i = 0; names[i]; i++) {
            if (ap_cstr_casecmp(d->directive, names[i]) == 0)
                return 1;
        }
    }
    return 0;
}

static const char *const proxy_sections[] = {"<Proxy", "<ProxyMatch", NULL};
static const char *const conditions[] = {"<If", "<ElseIf", "<Else", NULL};

const char *mtls_backend_begin(cmd_parms *cmd)
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);

    if (!error && is_inside(cmd, proxy_sections) && is_inside(cmd, conditions))
        return apr_psprintf(cmd->pool,
                            "%s is not allowed in <If> inside <Proxy>: nothing would ask the "
                            "condition for a balancer's member",
                            cmd->cmd->name);

    if (error || mtls_site()->judges_backends)
        return error;
    if ((hook_scheme_handler = find_hook(cmd->pool)) == NULL)
        return apr_psprintf(cmd->pool, "%s needs mod_proxy, which is not loaded", cmd->cmd->name);
    mtls_site_add_hooks(add_hooks);
    mtls_site()->judges_backends = 1;
    return NULL;
}

static const char *twice(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s is set already in this section", cmd->cmd->name);
}

const char *mtls_set_backend_trust(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *error = mtls_backend_begin(cmd);

    if (error)
        return error;
    if (mtls_backend_section_of(cmd, dir)->trust)
        return apr_psprintf(cmd->pool, "%s; name all stores on one line", twice(cmd));
    return mtls_trust_of(cmd, argc, argv, &mtls_backend_section_of(cmd, dir)->trust);
}

const char *mtls_set_backend_ocsp(cmd_parms *cmd, void *dir, const char *args)
{
    mtls_ocsp_demand_t demand = {MTLS_DEMAND_UNSET, 0};
    const char *error = mtls_backend_begin(cmd);

    if (!error)
        error = mtls_ocsp_demand_parse(cmd->pool, cmd->cmd->name, args, &demand);
    if (!error && mtls_backend_section_of(cmd, dir)->ocsp.level != MTLS_DEMAND_UNSET)
        error = twice(cmd);
    if (!error)
        mtls_backend_section_of(cmd, dir)->ocsp = demand;
    return error;
}

/* A host name as TLS sends it (RFC 6066 3): in ASCII, without a dot at its end, no address. */
static int is_host_name(const char *name)
{
    apr_size_t len = strlen(name);
    apr_ipsubnet_t *address;
    apr_pool_t *scratch;
    int is_address;

    if (len == 0 || len > MAX_SNI || name[0] == '.' || name[len - 1] == '.' || strstr(name, "..") ||
        name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                          "0123456789-._")])
        return 0;
    if (apr_pool_create(&scratch, NULL) != APR_SUCCESS)
        return 0;
    is_address = apr_ipsubnet_create(&address, name, NULL, scratch) == APR_SUCCESS;
    apr_pool_destroy(scratch);
    return !is_address;
}

const char *mtls_set_backend_sni(cmd_parms *cmd, void *dir, const char *name)
{
    const char *error = mtls_backend_begin(cmd);

    if (error)
        return error;
    /* It belongs to where a connection goes, not to what is asked there. */
    if (cmd->path && !is_inside(cmd, proxy_sections))
        return "MTLSBackendSNI is allowed in <Proxy> and for a whole server only";
    if (!is_host_name(name))
        return apr_psprintf(cmd->pool,
                            "MTLSBackendSNI: unknown value \"%s\"; allowed: a host name, not an "
                            "address",
                            name);
    if (mtls_backend_section_of(cmd, dir)->sni)
        return twice(cmd);
    mtls_backend_section_of(cmd, dir)->sni = apr_pstrdup(cmd->pool, name);
    return NULL;
}

const char *mtls_set_backend_mode(cmd_parms *cmd, void *dir, const char *value)
{
    const char *error = mtls_backend_begin(cmd);
    mtls_mode_t mode = MTLS_MODE_UNSET;

    if (error)
        return error;
    if (ap_cstr_casecmp(value, "enforce") == 0)
        mode = MTLS_MODE_ENFORCE;
    else if (ap_cstr_casecmp(value, "report") == 0)
        mode = MTLS_MODE_REPORT;
    else
        return apr_psprintf(
            cmd->pool, "MTLSBackendMode: unknown value \"%s\"; allowed: enforce, report", value);
    mtls_backend_section_of(cmd, dir)->mode = mode;
    return NULL;
}
