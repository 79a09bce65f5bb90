/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/lifecycle.h"

#include <http_config.h>
#include <http_core.h>
#include <http_log.h>

#include "httpd/cache.h"
#include "httpd/caching.h"
#include "httpd/checks.h"
#include "httpd/conceal.h"
#include "httpd/export.h"
#include "httpd/merged.h"
#include "httpd/ocsp.h"
#include "httpd/ocsp_directives.h"
#include "httpd/ocsp_process.h"
#include "httpd/peer.h"
#include "httpd/proxy_sections.h"
#include "httpd/reload.h"
#include "httpd/site.h"
#include "httpd/strict_path.h"
#include "httpd/strip.h"

APLOG_USE_MODULE(mtls_policy);

/* 1. Before a directive is read. */
int mtls_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    mtls_site_begin(pconf);
    mtls_strict_path_begin();
    mtls_caching_begin();
    mtls_conceal_begin();
    mtls_peer_begin();
    mtls_reload_begin(pconf);
    return mtls_cache_register(pconf) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* 2. All directives are read; `httpd -t` comes this far. */
int mtls_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc;

    (void)plog;
    mtls_merged_prepare(pconf);
    mtls_strip_prepare(pconf, mtls_site()->headers);
    mtls_export_prepare(s);
    if ((rc = mtls_cache_check(s)) != OK)
        return rc;
    rc = mtls_checks_config(pconf, ptemp, s);
    mtls_strict_path_prepare(s);
    return rc == OK ? mtls_ocsp_check(ptemp, s) : rc;
}

/* 3. The server starts, or is restarted. mod_ssl has made its SSL_CTXs (mtls_peer_init_server). */
int mtls_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rc;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK; /* the pass that only looks at the configuration */
    if ((rc = mtls_checks_start(s)) != OK)
        return rc;
    if (mtls_site_is_idle())
        return OK;
    mtls_proxy_sections_prepare(pconf, s);
    if ((rc = mtls_cache_open(pconf, s)) != OK)
        return rc;
    if ((rc = mtls_reload_start(pconf, ptemp, s)) != OK)
        return rc;
    return mtls_ocsp_process_start(pconf, s);
}

/* 4. In each child. */
void mtls_child_init(apr_pool_t *pchild, server_rec *s)
{
    mtls_cache_child(pchild, s);
    mtls_ocsp_process_child();
    mtls_ocsp_child(pchild, s);
    mtls_reload_child(pchild, s);
}
