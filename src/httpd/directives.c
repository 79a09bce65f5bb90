/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/directives.h"

#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "httpd/backend_directives.h"
#include "httpd/cache.h"
#include "httpd/export_directives.h"
#include "httpd/ocsp_directives.h"
#include "httpd/rule_directives.h"
#include "httpd/signing.h"
#include "httpd/site.h"
#include "httpd/strict_path.h"
#include "httpd/trust_directives.h"

APLOG_USE_MODULE(mtls_policy);

/* Sections of every kind and the servers' top level; never .htaccess. */
#define SECTION (RSRC_CONF | ACCESS_CONF)

/* In <Limit> a directive would silently hold for all methods. */
static const char *wrong_section(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
}

static const char *unknown(cmd_parms *cmd, const char *value, const char *allowed)
{
    return apr_psprintf(cmd->pool, "%s: unknown value \"%s\"; allowed: %s", cmd->cmd->name, value,
                        allowed);
}

/* ---- sections ---- */

static const char *set_mode(cmd_parms *cmd, void *dir, const char *value)
{
    static const struct {
        const char *name;
        mtls_mode_t mode;
    } modes[] = {
        {"enforce", MTLS_MODE_ENFORCE}, {"optional", MTLS_MODE_OPTIONAL},
        {"report", MTLS_MODE_REPORT},   {"authz", MTLS_MODE_AUTHZ},
        {"off", MTLS_MODE_OFF},
    };
    const char *error = wrong_section(cmd);
    apr_size_t i;

    if (error)
        return error;
    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (ap_cstr_casecmp(value, modes[i].name) == 0) {
            mtls_section_of(cmd, dir)->mode = modes[i].mode;
            return NULL;
        }
    }
    return unknown(cmd, value, "enforce, optional, report, authz, off");
}

static const char *set_inherit(cmd_parms *cmd, void *dir, int on)
{
    const char *error = wrong_section(cmd);

    if (!error)
        mtls_section_of(cmd, dir)->drops_inherited = !on;
    return error;
}

static const char *parse_status(cmd_parms *cmd, const char *value, int last, int *status)
{
    const char *error = wrong_section(cmd);

    if (error)
        return error;
    *status = strlen(value) == 3 && strspn(value, "0123456789") == 3 ? atoi(value) : 0;
    if (*status < 400 || *status > last) {
        *status = 0;
        return unknown(cmd, value,
                       last == 499 ? "a status from 400 to 499" : "a status from 400 to 599");
    }
    /* httpd answers 500 in place of a status it has no line for. */
    if (*status != HTTP_INTERNAL_SERVER_ERROR &&
        ap_index_of_response(*status) == ap_index_of_response(HTTP_INTERNAL_SERVER_ERROR)) {
        *status = 0;
        return unknown(cmd, value, "a status httpd knows, such as 403, 404, 451 or 503");
    }
    return NULL;
}

static const char *set_deny_status(cmd_parms *cmd, void *dir, const char *value)
{
    return parse_status(cmd, value, 499, &mtls_section_of(cmd, dir)->deny_status);
}

static const char *set_unavailable_status(cmd_parms *cmd, void *dir, const char *value)
{
    return parse_status(cmd, value, 599, &mtls_section_of(cmd, dir)->unavailable_status);
}

/* Names of policies are resolved when the whole configuration was read. */
static const char *add_use(cmd_parms *cmd, apr_array_header_t *uses, int argc, char *const argv[],
                           int may_any)
{
    mtls_use_t *use = apr_pcalloc(cmd->pool, sizeof(*use));
    int i = 0;

    if (may_any && argc > 0 && ap_cstr_casecmp(argv[0], "any") == 0)
        use->any = ++i;
    if (i >= argc)
        return apr_psprintf(cmd->pool, "%s needs the name of a policy", cmd->cmd->name);
    use->directive = cmd->cmd->name;
    use->where = mtls_where(cmd->pool, cmd->directive);
    use->names = apr_array_make(cmd->pool, argc, sizeof(const char *));
    use->policies = apr_array_make(cmd->pool, argc, sizeof(const mtls_policy_t *));
    for (; i < argc; i++)
        APR_ARRAY_PUSH(use->names, const char *) = apr_pstrdup(cmd->pool, argv[i]);
    APR_ARRAY_PUSH(uses, mtls_use_t *) = use;
    return NULL;
}

static const char *set_use_policy(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *error = wrong_section(cmd);

    return error ? error : add_use(cmd, mtls_section_of(cmd, dir)->uses, argc, argv, 1);
}

static const char *set_report_policy(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *error = wrong_section(cmd);

    return error ? error : add_use(cmd, mtls_section_of(cmd, dir)->reports, argc, argv, 0);
}

static const char *set_user(cmd_parms *cmd, void *dir, const char *attribute, const char *option)
{
    mtls_user_t *user = apr_pcalloc(cmd->pool, sizeof(*user));
    const char *error = wrong_section(cmd);

    if (error)
        return error;
    if ((error = mtls_field_parse(cmd->pool, attribute, &user->field)) != NULL)
        return apr_psprintf(cmd->pool, "MTLSUser: %s", error);
    if (mtls_field_depends_on_request(&user->field))
        return apr_psprintf(cmd->pool, "MTLSUser: \"%s\" names nobody", attribute);
    if (option && strncmp(option, "prefix=", 7) != 0)
        return unknown(cmd, option, "prefix=TEXT");
    user->prefix = option ? apr_pstrdup(cmd->pool, option + 7) : NULL;
    mtls_section_of(cmd, dir)->user = user;
    return NULL;
}

/* ---- servers ---- */

static const char *set_handshake(cmd_parms *cmd, void *dir, const char *value)
{
    mtls_server_t *server = mtls_server_of(cmd->server);

    (void)dir;
    if (ap_cstr_casecmp(value, "defer") == 0)
        server->handshake = MTLS_HANDSHAKE_DEFER;
    else if (ap_cstr_casecmp(value, "mod_ssl") == 0)
        server->handshake = MTLS_HANDSHAKE_MOD_SSL;
    else
        return unknown(cmd, value, "defer, mod_ssl");
    server->handshake_where = mtls_where(cmd->pool, cmd->directive);
    mtls_site()->defers |= server->handshake == MTLS_HANDSHAKE_DEFER;
    return NULL;
}

static const char *set_advertise(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    mtls_server_of(cmd->server)->advertise = on;
    return NULL;
}

static const char *set_cache(cmd_parms *cmd, void *dir, const char *value)
{
    mtls_site_t *site = mtls_site();
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (error)
        return error;
    if (site->cache_where)
        return apr_psprintf(cmd->pool, "MTLSCache is set already at %s", site->cache_where);
    site->cache_where = mtls_where(cmd->pool, cmd->directive);
    error = mtls_cache_configure(cmd, value);
    return error ? apr_psprintf(cmd->pool, "MTLSCache: %s", error) : NULL;
}

static const char *set_strip_header(cmd_parms *cmd, void *dir, const char *name)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (!error && (error = mtls_site_strip(cmd->pool, name)) != NULL)
        error = apr_psprintf(cmd->pool, "MTLSStripHeader: %s", error);
    return error;
}

const command_rec mtls_directives[] = {
    AP_INIT_RAW_ARGS("MTLSRequire", mtls_set_require, NULL, SECTION,
                     "[not] ATTRIBUTE VALUE [VALUE ...]"),
    AP_INIT_RAW_ARGS("<MTLSRequireAny", mtls_set_require_any, NULL, SECTION,
                     "rules of which one must hold"),
    AP_INIT_RAW_ARGS("<MTLSRequireAll", mtls_set_require_all, NULL, SECTION,
                     "rules that must all hold"),
    AP_INIT_RAW_ARGS("<MTLSPolicy", mtls_set_policy, NULL, RSRC_CONF, "a named policy"),
    AP_INIT_TAKE_ARGV("MTLSUsePolicy", set_use_policy, NULL, SECTION, "[any] NAME [NAME ...]"),
    AP_INIT_TAKE_ARGV("MTLSReportPolicy", set_report_policy, NULL, SECTION, "NAME [NAME ...]"),
    AP_INIT_TAKE1("MTLSMode", set_mode, NULL, SECTION, "enforce, optional, report, authz or off"),
    AP_INIT_FLAG("MTLSInherit", set_inherit, NULL, SECTION,
                 "Off drops everything of this module that was inherited"),
    AP_INIT_TAKE1("MTLSDenyStatus", set_deny_status, NULL, SECTION, "status of refusals (403)"),
    AP_INIT_TAKE1("MTLSUnavailableStatus", set_unavailable_status, NULL, SECTION,
                  "status while revocation cannot be checked (503)"),
    AP_INIT_TAKE12("MTLSUser", set_user, NULL, SECTION, "ATTRIBUTE [prefix=TEXT]"),
    AP_INIT_TAKE_ARGV("MTLSExport", mtls_set_export, NULL, SECTION, "FORMAT [options]"),
    AP_INIT_ITERATE("MTLSTrustedProxy", mtls_set_trusted_proxy, NULL, SECTION,
                    "addresses of proxies whose X-Forwarded-Client-Cert is kept"),
    AP_INIT_TAKE2("MTLSExportHeader", mtls_set_export_header, NULL, SECTION,
                  "NAME and text with %{mtls:ATTRIBUTE}"),
    AP_INIT_TAKE1("MTLSHandshake", set_handshake, NULL, RSRC_CONF, "defer or mod_ssl"),
    AP_INIT_RAW_ARGS("<MTLSTrustStore", mtls_set_trust_store, NULL, RSRC_CONF,
                     "a named trust store"),
    AP_INIT_RAW_ARGS("MTLSAnchor", mtls_set_outside_store, NULL, RSRC_CONF,
                     "files, globs or directories of trust anchors and intermediates"),
    AP_INIT_RAW_ARGS("MTLSIntermediate", mtls_set_outside_store, NULL, RSRC_CONF,
                     "files, globs or directories of intermediates"),
    AP_INIT_RAW_ARGS("MTLSCRL", mtls_set_outside_store, NULL, RSRC_CONF,
                     "files, globs or directories of CRLs"),
    AP_INIT_RAW_ARGS("MTLSCRLCheck", mtls_set_outside_store, NULL, RSRC_CONF,
                     "chain, leaf or off, and missing-ok"),
    AP_INIT_RAW_ARGS("MTLSAllowCertificate", mtls_set_outside_store, NULL, RSRC_CONF,
                     "files, globs or directories of certificates allowed as they are"),
    AP_INIT_RAW_ARGS("MTLSVerifyDepth", mtls_set_outside_store, NULL, RSRC_CONF,
                     "certificates between a leaf and its anchor (10)"),
    AP_INIT_RAW_ARGS("MTLSPartialChain", mtls_set_outside_store, NULL, RSRC_CONF,
                     "On makes intermediates among the anchors anchors, too"),
    AP_INIT_TAKE_ARGV("MTLSTrust", mtls_set_trust, NULL, SECTION, "NAME [NAME ...]"),
    AP_INIT_ITERATE("MTLSTrustDomain", mtls_set_trust_domain, NULL, RSRC_CONF,
                    "SPIFFE trust domains of the vhost's CAs, or of a trust store's"),
    AP_INIT_FLAG("MTLSAdvertiseCAs", set_advertise, NULL, RSRC_CONF,
                 "On names the CAs of trust stores in the certificate request"),
    AP_INIT_TAKE1("MTLSReloadInterval", mtls_set_reload_interval, NULL, RSRC_CONF,
                  "seconds after which a changed file is in force (10)"),
    AP_INIT_TAKE1("MTLSHeaderLimit", mtls_set_header_limit, NULL, SECTION,
                  "bytes of an exported header's value (16384)"),
    AP_INIT_RAW_ARGS("MTLSOCSP", mtls_set_ocsp, NULL, SECTION, "off, prefer or require [chain]"),
    AP_INIT_TAKE12("MTLSOCSPResponder", mtls_set_responder, NULL, RSRC_CONF, "URL [override]"),
    AP_INIT_TAKE_ARGV("MTLSOCSPResponderCertificate", mtls_set_responder_certificates, NULL,
                      RSRC_CONF,
                      "files of certificates of responders that are trusted as they are"),
    AP_INIT_ITERATE("MTLSOCSPResponderAllow", mtls_set_ocsp_allow, NULL, RSRC_CONF,
                    "HOST[:PORT] ...: the only responders ever asked"),
    AP_INIT_TAKE1("MTLSOCSPTimeout", mtls_set_ocsp_seconds, NULL, RSRC_CONF,
                  "seconds a responder may take in all (3)"),
    AP_INIT_TAKE1("MTLSOCSPWait", mtls_set_ocsp_seconds, NULL, RSRC_CONF,
                  "seconds a request may wait for a status (2)"),
    AP_INIT_TAKE1("MTLSOCSPMaxAge", mtls_set_ocsp_seconds, NULL, RSRC_CONF,
                  "seconds after which a status is asked for again (3600)"),
    AP_INIT_TAKE1("MTLSOCSPStale", mtls_set_ocsp_seconds, NULL, RSRC_CONF,
                  "seconds a good status may serve past its end (0)"),
    AP_INIT_TAKE1("MTLSOCSPSkew", mtls_set_ocsp_seconds, NULL, RSRC_CONF,
                  "seconds clocks may differ (300)"),
    AP_INIT_TAKE1("MTLSOCSPNonce", mtls_set_ocsp_nonce, NULL, RSRC_CONF, "off, on or require"),
    AP_INIT_TAKE1("MTLSOCSPProxy", mtls_set_ocsp_proxy, NULL, RSRC_CONF, "URL of an HTTP proxy"),
    AP_INIT_TAKE1("MTLSOCSPResponses", mtls_set_ocsp_responses, NULL, RSRC_CONF,
                  "a directory of responses made beforehand"),
    AP_INIT_TAKE1("MTLSStrictPath", mtls_set_strict_path, NULL, RSRC_CONF,
                  "On, Off or params: 400 for paths a backend may read differently"),
    AP_INIT_TAKE_ARGV("MTLSBackendTrust", mtls_set_backend_trust, NULL, SECTION,
                      "NAME [NAME ...]: trust stores for certificates of backends"),
    AP_INIT_RAW_ARGS("MTLSBackendRequire", mtls_set_backend_require, NULL, SECTION,
                     "[not] ATTRIBUTE VALUE [VALUE ...] of a backend's certificate"),
    AP_INIT_RAW_ARGS("MTLSBackendOCSP", mtls_set_backend_ocsp, NULL, SECTION,
                     "off, prefer or require [chain]"),
    AP_INIT_TAKE1("MTLSBackendSNI", mtls_set_backend_sni, NULL, SECTION,
                  "the name a backend is asked for, and must bear"),
    AP_INIT_TAKE1("MTLSBackendMode", mtls_set_backend_mode, NULL, SECTION, "enforce or report"),
    AP_INIT_TAKE1("MTLSCache", set_cache, NULL, RSRC_CONF, "stapling | PROVIDER[:ARGS]"),
    AP_INIT_TAKE12("MTLSSigningKey", mtls_set_signing_key, NULL, RSRC_CONF,
                   "FILE [kid]: a private key for identity tokens; the first one signs"),
    AP_INIT_ITERATE("MTLSStripHeader", set_strip_header, NULL, RSRC_CONF,
                    "headers clients may never send"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
