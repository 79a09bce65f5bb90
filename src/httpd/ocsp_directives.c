/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/ocsp_directives.h"

#include <apr_file_info.h>

#include "httpd/checks.h"
#include "httpd/site.h"
#include "ocsp/fetch.h"

/* ---- MTLSOCSP ---- */

const char *mtls_ocsp_demand_parse(apr_pool_t *p, const char *directive, const char *args,
                                   mtls_ocsp_demand_t *demand)
{
    const char *level = ap_getword_conf(p, &args), *extent = ap_getword_conf(p, &args);

    if (ap_cstr_casecmp(level, "off") == 0)
        demand->level = MTLS_DEMAND_OFF;
    else if (ap_cstr_casecmp(level, "prefer") == 0)
        demand->level = MTLS_DEMAND_PREFER;
    else if (ap_cstr_casecmp(level, "require") == 0)
        demand->level = MTLS_DEMAND_REQUIRE;
    else
        return apr_psprintf(p,
                            "%s: unknown value \"%s\"; allowed: off, prefer, require, and "
                            "behind the last two: chain",
                            directive, level);
    demand->chain = ap_cstr_casecmp(extent, "chain") == 0;
    if ((*extent && !demand->chain) || *args)
        return apr_psprintf(p, "%s %s: unknown value \"%s\"; allowed there: chain", directive,
                            level, *args ? args : extent);
    if (demand->chain && demand->level == MTLS_DEMAND_OFF)
        return apr_psprintf(p, "%s off chain: nothing is asked, so nothing of a chain", directive);
    mtls_site()->asks_status |= demand->level != MTLS_DEMAND_OFF;
    return NULL;
}

const char *mtls_set_ocsp(cmd_parms *cmd, void *dir, const char *args)
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
    mtls_ocsp_demand_t demand = {MTLS_DEMAND_UNSET, 0};

    if (!error)
        error = mtls_ocsp_demand_parse(cmd->pool, cmd->cmd->name, args, &demand);
    if (!error && mtls_section_of(cmd, dir)->ocsp.level != MTLS_DEMAND_UNSET)
        error = "MTLSOCSP is set already in this section";
    if (!error)
        mtls_section_of(cmd, dir)->ocsp = demand;
    return error;
}

/* ---- settings of a server ---- */

static const struct {
    const char *name;
    apr_size_t offset;
    int least, most;
} seconds[] = {
    {"MTLSOCSPTimeout", offsetof(mtls_ocsp_settings_t, timeout), 1, 60},
    {"MTLSOCSPWait", offsetof(mtls_ocsp_settings_t, wait), 0, 60},
    {"MTLSOCSPMaxAge", offsetof(mtls_ocsp_settings_t, max_age), 1, 604800},
    {"MTLSOCSPStale", offsetof(mtls_ocsp_settings_t, stale), 0, 2592000},
    {"MTLSOCSPSkew", offsetof(mtls_ocsp_settings_t, skew), 0, 3600},
};

static const char *set_setting(cmd_parms *cmd, int *setting, int value)
{
    if (*setting != MTLS_UNSET)
        return apr_psprintf(cmd->pool, "%s is set already in this server", cmd->cmd->name);
    *setting = value;
    return NULL;
}

const char *mtls_set_ocsp_seconds(cmd_parms *cmd, void *dir, const char *value)
{
    mtls_ocsp_settings_t *settings = &mtls_server_of(cmd->server)->ocsp;
    apr_size_t i = 0;
    int n;

    (void)dir;
    while (strcmp(seconds[i].name, cmd->cmd->name) != 0)
        i++;
    n = *value && strlen(value) <= 7 && !value[strspn(value, "0123456789")] ? atoi(value) : -1;
    if (n < seconds[i].least || n > seconds[i].most)
        return apr_psprintf(cmd->pool, "%s: unknown value \"%s\"; allowed: seconds from %d to %d",
                            cmd->cmd->name, value, seconds[i].least, seconds[i].most);
    return set_setting(cmd, (int *)(void *)((char *)settings + seconds[i].offset), n);
}

const char *mtls_set_ocsp_nonce(cmd_parms *cmd, void *dir, const char *value)
{
    static const char *const values[] = {"off", "on", "require"};
    int i;

    (void)dir;
    for (i = 0; i < 3; i++) {
        if (ap_cstr_casecmp(value, values[i]) == 0)
            return set_setting(cmd, &mtls_server_of(cmd->server)->ocsp.nonce, i);
    }
    return apr_psprintf(cmd->pool, "MTLSOCSPNonce: unknown value \"%s\"; allowed: off, on, require",
                        value);
}

/* ---- server-wide ---- */

const char *mtls_ocsp_check_url(apr_pool_t *p, const char *url)
{
    const char *error = mtls_fetch_parse_url(p, url, NULL, NULL);

    return error ? apr_psprintf(p, "\"%s\" %s", url, error) : NULL;
}

const char *mtls_set_ocsp_allow(cmd_parms *cmd, void *dir, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    mtls_site_t *site = mtls_site();
    mtls_fetch_host_t host;

    (void)dir;
    if (error)
        return error;
    if ((error = mtls_fetch_parse_host(cmd->pool, value, &host)) != NULL)
        return apr_psprintf(cmd->pool, "MTLSOCSPResponderAllow: \"%s\" %s", value, error);
    if (!site->ocsp.allow) {
        site->ocsp.allow = apr_array_make(site->p, 4, sizeof(mtls_fetch_host_t));
        site->ocsp.allow_where = mtls_where(cmd->pool, cmd->directive);
    }
    APR_ARRAY_PUSH(site->ocsp.allow, mtls_fetch_host_t) = host;
    return NULL;
}

const char *mtls_set_ocsp_proxy(cmd_parms *cmd, void *dir, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (!error && mtls_site()->ocsp.proxy)
        error = "MTLSOCSPProxy is set already";
    if (!error && (error = mtls_ocsp_check_url(cmd->pool, value)) != NULL)
        error = apr_psprintf(cmd->pool, "MTLSOCSPProxy: %s", error);
    if (!error)
        mtls_site()->ocsp.proxy = apr_pstrdup(cmd->pool, value);
    return error;
}

const char *mtls_set_ocsp_responses(cmd_parms *cmd, void *dir, const char *value)
{
    const char *path = ap_server_root_relative(cmd->pool, value);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_finfo_t info;

    (void)dir;
    if (error)
        return error;
    if (mtls_site()->ocsp.responses)
        return "MTLSOCSPResponses is set already";
    if (!path || apr_stat(&info, path, APR_FINFO_TYPE, cmd->temp_pool) != APR_SUCCESS ||
        info.filetype != APR_DIR)
        return apr_psprintf(cmd->pool, "MTLSOCSPResponses: \"%s\" is no directory", value);
    mtls_site()->ocsp.responses = path;
    return NULL;
}

/* ---- what is configured against what is allowed ---- */

static int check_responder(apr_pool_t *ptemp, server_rec *s, const mtls_trust_spec_t *spec)
{
    const mtls_site_t *site = mtls_site();
    mtls_fetch_rules_t rules = {.allow = site->ocsp.allow};

    if (!spec || !spec->responder || !site->ocsp.allow ||
        mtls_fetch_allows(&rules, spec->responder))
        return OK;
    return mtls_checks_fail(
        s, spec->responder_where,
        apr_psprintf(
            ptemp,
            "MTLSOCSPResponder %s: MTLSOCSPResponderAllow (%s) does not name this host, so "
            "it would never be asked",
            spec->responder, site->ocsp.allow_where));
}

int mtls_ocsp_check(apr_pool_t *ptemp, server_rec *main_server)
{
    apr_hash_index_t *i;
    server_rec *s;
    int rc = OK;

    for (i = apr_hash_first(ptemp, mtls_site()->stores); i && rc == OK; i = apr_hash_next(i)) {
        const mtls_trust_handle_t *store = apr_hash_this_val(i);
        rc = check_responder(ptemp, main_server, store->spec);
    }
    for (s = main_server; s && rc == OK; s = s->next)
        rc = check_responder(ptemp, s, mtls_server_of(s)->responder);
    return rc;
}
