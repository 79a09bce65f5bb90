/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* mod_mtls_policy: which client certificates may pass, Location by Location, after mod_ssl's
 * handshake. This file says at which moments the module acts, and in which order. */

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#include <mpm_common.h>
#include <mod_proxy.h>
#include <mod_ssl_openssl.h>

#include "httpd/access.h"
#include "httpd/authz.h"
#include "httpd/caching.h"
#include "httpd/conceal.h"
#include "httpd/config.h"
#include "httpd/directives.h"
#include "httpd/export.h"
#include "httpd/expr.h"
#include "httpd/lifecycle.h"
#include "httpd/peer.h"
#include "httpd/reload.h"
#include "httpd/stapling_provider.h"

static void register_hooks(apr_pool_t *p)
{
    static const char *const after_ssl[] = {"mod_ssl.c", NULL};
    static const char *const before_rewrite[] = {"mod_rewrite.c", NULL};
    static const char *const after_headers[] = {"mod_headers.c", "mod_env.c", NULL};

    /* Start. Our post_config needs what mod_ssl's made. */
    ap_hook_pre_config(mtls_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(mtls_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(mtls_post_config, after_ssl, NULL, APR_HOOK_LAST);
    ap_hook_child_init(mtls_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(mtls_reload_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_expr_lookup(mtls_expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_expr_lookup(mtls_conceal_expr_lookup, NULL, after_ssl, APR_HOOK_REALLY_FIRST);

    /* mod_ssl. */
    APR_OPTIONAL_HOOK(ssl, init_server, mtls_peer_init_server, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ssl, pre_handshake, mtls_peer_pre_handshake, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_ssl_var_lookup(mtls_export_ssl_var, NULL, NULL, APR_HOOK_REALLY_FIRST);

    /* Request. Names are stripped before anybody can read them; the access checker comes after
     * mod_ssl's, whose renegotiation may bring the certificate. */
    ap_hook_post_read_request(mtls_access_post_read_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(mtls_access_translate_name, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_check_access(mtls_access_checker, after_ssl, NULL, APR_HOOK_LAST,
                         AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authn(mtls_authz_check_user_id, NULL, NULL, APR_HOOK_MIDDLE,
                        AP_AUTH_INTERNAL_PER_CONF);
    mtls_authz_register(p);

    /* Fixups twice: check early, before anything acts on the request; export late, after whoever
     * else sets headers and variables. */
    ap_hook_fixups(mtls_access_fixups_first, NULL, before_rewrite, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(mtls_access_fixups_last, after_headers, NULL, APR_HOOK_REALLY_LAST);
    APR_OPTIONAL_HOOK(proxy, fixups, mtls_access_proxy_fixups, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_insert_error_filter(mtls_access_insert_error_filter, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(mtls_access_log_transaction, NULL, NULL, APR_HOOK_REALLY_FIRST);
    mtls_export_register();
    mtls_caching_register();
    mtls_stapling_register(p);

    /* More hooks come with what needs them, while the configuration is read (mtls_site_add_hooks):
     * MTLSStrictPath and the handler mtls-jwks, exported headers, and where mod_proxy, mod_headers
     * or mod_cache is loaded. */
}

AP_DECLARE_MODULE(mtls_policy) = {
    STANDARD20_MODULE_STUFF, mtls_dir_create, mtls_dir_merge, mtls_server_create,
    mtls_server_merge,       mtls_directives, register_hooks, AP_MODULE_FLAG_ALWAYS_MERGE};
