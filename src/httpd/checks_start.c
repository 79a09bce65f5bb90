/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/checks.h"

#include <http_core.h>
#include <http_log.h>

#include "httpd/conftree.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

/* A policy where nothing ever asks for a certificate refuses everybody: surely not what was meant.
 * A section inherited from the main server may never be reached on this vhost; that is said only.
 */
static int check_asked(server_rec *s, const server_rec *owner, const char *where)
{
    static const char what[] = "a policy applies on a TLS virtual host where no SSLVerifyClient "
                               "asks for a certificate, neither in the virtual host nor in a "
                               "section";

    if (!mtls_server_of(s)->vhost || mtls_server_of(s)->asks_for_certificate ||
        mtls_conftree_somewhere(s, "SSLVerifyClient", "none"))
        return OK;
    if (owner == s)
        return mtls_checks_fail(s, where, what);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "mtls_policy: %s: %s (%s)", where, what,
                 s->server_hostname ? s->server_hostname : "main server");
    return OK;
}

/* mod_cache's quick handler answers from its store before any access check. */
static int check_cache(server_rec *s, const char *where)
{
    const char *quick = mtls_conftree_setting(s, "CacheQuickHandler");

    if (!mtls_conftree_somewhere(s, "CacheEnable", NULL) ||
        (quick && ap_cstr_casecmp(quick, "off") == 0))
        return OK;
    return mtls_checks_fail(s, where,
                            "a policy applies on a server where mod_cache answers before "
                            "any check is made: set \"CacheQuickHandler off\"");
}

static int check_defer(server_rec *s)
{
    const mtls_server_t *server = mtls_server_of(s);
    const char *verify;

    if (server->handshake != MTLS_HANDSHAKE_DEFER || !server->vhost)
        return OK;
    if (mtls_conftree_in_sections(s, "SSLVerifyClient", "optional_no_ca")) {
        return mtls_checks_fail(
            s, server->handshake_where,
            "MTLSHandshake defer: a section of this virtual host has an SSLVerifyClient of "
            "its own, which mod_ssl could not keep: say who may come in with MTLSRequire");
    }
    verify = mtls_conftree_setting(s, "SSLVerifyClient");
    if (verify && ap_cstr_casecmp(verify, "optional_no_ca") == 0)
        return check_cache(s, server->handshake_where);
    return mtls_checks_fail(
        s, server->handshake_where,
        "MTLSHandshake defer needs \"SSLVerifyClient optional_no_ca\" in the same virtual "
        "host: any other setting lets mod_ssl refuse in the handshake");
}

static int binds_issuer(const mtls_section_t *section)
{
    int i, k, bound = 0;

    for (i = 0; i < section->rules->nelts; i++)
        bound |= mtls_rule_binds_issuer(APR_ARRAY_IDX(section->rules, i, const mtls_rule_t *));
    for (i = 0; i < section->uses->nelts; i++) {
        const mtls_use_t *use = APR_ARRAY_IDX(section->uses, i, const mtls_use_t *);
        for (k = 0; k < use->policies->nelts; k++)
            bound |=
                mtls_policy_binds_issuer(APR_ARRAY_IDX(use->policies, k, const mtls_policy_t *));
    }
    return bound;
}

/* What the server itself says beside, and the main server before it. */
static int binds_issuer_above(const server_rec *s, const mtls_section_t *section)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    int i, bound = 0;

    for (i = 0; !section->drops_inherited && i < sections->nelts && !bound; i++) {
        const mtls_section_t *outer = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        bound = outer->is_top && (outer->server == s || !outer->server->is_virtual) &&
                binds_issuer(outer);
    }
    return bound;
}

static int anchors_of_store(const mtls_trust_handle_t *store)
{
    const mtls_version_t *version = store ? mtls_live_take(store->live) : NULL;
    int anchors = version ? mtls_trust_store_anchors(version->data) : 0;

    if (store)
        mtls_live_give_back(store->live, version);
    return anchors;
}

static int anchors_of_trust(const server_rec *s, const mtls_trust_t *trust)
{
    const mtls_trust_handle_t *vhost = mtls_server_of(s)->vhost;
    int i, anchors = 0;

    if (!trust)
        return anchors_of_store(vhost);
    for (i = 0; i < trust->n; i++)
        anchors += anchors_of_store(trust->stores[i] ? trust->stores[i] : vhost);
    return anchors;
}

/* The trust of a section that says nothing of it itself, as far as that can be told. */
static const mtls_trust_t *inherited_trust(const server_rec *s, const mtls_section_t *section)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    const mtls_trust_t *trust = NULL;
    int i;

    for (i = 0; !section->drops_inherited && i < sections->nelts; i++) {
        const mtls_section_t *outer = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (outer->is_top && outer->trust &&
            (outer->server == s || (!trust && !outer->server->is_virtual)))
            trust = outer->trust;
    }
    return trust;
}

static int trusts_vhost(const mtls_trust_t *trust)
{
    return !mtls_checks_names_no_vhost(trust);
}

static int any_trusts_vhost(const apr_array_header_t *uses)
{
    int i, k, found = 0;

    for (i = 0; i < uses->nelts; i++) {
        const mtls_use_t *use = APR_ARRAY_IDX(uses, i, const mtls_use_t *);
        for (k = 0; k < use->policies->nelts; k++)
            found |= trusts_vhost(APR_ARRAY_IDX(use->policies, k, const mtls_policy_t *)->trust);
    }
    return found;
}

static int requires_vhost(const server_rec *s)
{
    const apr_array_header_t *requires = mtls_site()->requires;
    int i, found = 0;

    for (i = 0; i < requires->nelts && !found; i++) {
        const mtls_require_t *require = APR_ARRAY_IDX(requires, i, const mtls_require_t *);
        const mtls_policy_t *policy = mtls_site_policy(require->name);
        found = policy && trusts_vhost(policy->trust) &&
                (require->server == s || !require->server->is_virtual);
    }
    return found;
}

int mtls_checks_believes_vhost(const server_rec *s)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    int i, found = mtls_server_of(s)->handshake == MTLS_HANDSHAKE_DEFER || requires_vhost(s);

    for (i = 0; i < sections->nelts && !found; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (section->server != s && section->server->is_virtual)
            continue;
        if (mtls_section_judges(section))
            found = trusts_vhost(section->trust ? section->trust : inherited_trust(s, section));
        found |= any_trusts_vhost(section->uses) || any_trusts_vhost(section->reports);
    }
    return found;
}

static int has_store(const apr_array_header_t *stores, const mtls_trust_handle_t *store)
{
    int i;

    for (i = 0; i < stores->nelts; i++) {
        if (APR_ARRAY_IDX(stores, i, const mtls_trust_handle_t *) == store)
            return 1;
    }
    return 0;
}

static void use(apr_array_header_t *stores, const mtls_trust_t *trust)
{
    int i;

    for (i = 0; trust && i < trust->n; i++) {
        if (trust->stores[i] && !has_store(stores, trust->stores[i]))
            APR_ARRAY_PUSH(stores, const mtls_trust_handle_t *) = trust->stores[i];
    }
}

static void use_policies(apr_array_header_t *stores, const apr_array_header_t *uses)
{
    int i, k;

    for (i = 0; i < uses->nelts; i++) {
        const mtls_use_t *line = APR_ARRAY_IDX(uses, i, const mtls_use_t *);
        for (k = 0; k < line->policies->nelts; k++)
            use(stores, APR_ARRAY_IDX(line->policies, k, const mtls_policy_t *)->trust);
    }
}

apr_array_header_t *mtls_checks_stores(apr_pool_t *p, const server_rec *s)
{
    apr_array_header_t *stores = apr_array_make(p, 4, sizeof(const mtls_trust_handle_t *));
    const apr_array_header_t *sections = mtls_site()->sections, *requires = mtls_site()->requires;
    int i;

    for (i = 0; i < sections->nelts; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (section->server != s && section->server->is_virtual)
            continue;
        use(stores, section->trust);
        use_policies(stores, section->uses);
    }
    for (i = 0; i < requires->nelts; i++) {
        const mtls_require_t *require = APR_ARRAY_IDX(requires, i, const mtls_require_t *);
        const mtls_policy_t *policy = mtls_site_policy(require->name);
        if (policy && (require->server == s || !require->server->is_virtual))
            use(stores, policy->trust);
    }
    return stores;
}

/* All must allow the same certificate, so the policy with the fewest anchors counts. */
static int fewest_anchors(const server_rec *s, const mtls_section_t *section)
{
    const mtls_trust_t *trust = section->trust ? section->trust : inherited_trust(s, section);
    int i, k, n, fewest = -1;

    if (mtls_section_judges(section) || trust)
        fewest = anchors_of_trust(s, trust);
    for (i = 0; i < section->uses->nelts; i++) {
        const mtls_use_t *use = APR_ARRAY_IDX(section->uses, i, const mtls_use_t *);
        for (k = 0; k < use->policies->nelts; k++) {
            n = anchors_of_trust(s, APR_ARRAY_IDX(use->policies, k, const mtls_policy_t *)->trust);
            fewest = fewest < 0 || n < fewest ? n : fewest;
        }
    }
    return fewest;
}

static void warn_of_anchors(server_rec *s, const mtls_section_t *section)
{
    int anchors;

    if (section->server != s || binds_issuer(section) || binds_issuer_above(s, section) ||
        (anchors = fewest_anchors(s, section)) < 2)
        return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "mtls_policy: %s: the trust store has %d anchors and the policy has no issuer, "
                 "chain, anchor, trust or spiffe rule: any of those CAs could issue what it asks "
                 "for",
                 section->where, anchors);
}

/* mod_ssl refuses in the handshake whom its own CAs do not vouch for, before a store is asked. */
static void warn_of_handshake(server_rec *s, const mtls_section_t *section)
{
    const char *verify = mtls_conftree_setting(s, "SSLVerifyClient");

    if (!section->trust || section->server != s || !mtls_server_of(s)->vhost || !verify ||
        (ap_cstr_casecmp(verify, "optional") != 0 && ap_cstr_casecmp(verify, "require") != 0))
        return;
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, s,
        "mtls_policy: %s: with \"SSLVerifyClient %s\" mod_ssl refuses in the handshake "
        "whom its own CAs do not vouch for, whatever MTLSTrust says: use \"SSLVerifyClient "
        "optional_no_ca\"",
        section->trust->where, verify);
}

/* What a policy, wherever it is written, needs of a server it applies to. */
static int check_policy(server_rec *s, const server_rec *owner, const char *where)
{
    int rc = check_asked(s, owner, where);

    return rc == OK ? check_cache(s, where) : rc;
}

static int check_required(server_rec *s, const server_rec *main_server)
{
    const apr_array_header_t *requires = mtls_site()->requires;
    int i, rc = OK;

    for (i = 0; i < requires->nelts && rc == OK; i++) {
        const mtls_require_t *require = APR_ARRAY_IDX(requires, i, const mtls_require_t *);
        if (require->server == s || require->server == main_server)
            rc = check_policy(s, require->server, require->where);
    }
    return rc;
}

static int check_start(server_rec *s, const server_rec *main_server)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    const mtls_section_t *section;
    int i, rc = check_defer(s);

    for (i = 0; i < sections->nelts && rc == OK; i++) {
        section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (!mtls_checks_applies(section, s, main_server) || !mtls_section_is_policy(section))
            continue;
        rc = check_policy(s, section->server, section->where);
        warn_of_anchors(s, section);
        warn_of_handshake(s, section);
    }
    return rc == OK ? check_required(s, main_server) : rc;
}

int mtls_checks_start(server_rec *main_server)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    server_rec *s;
    int i, rc = OK;

    mtls_checks_say_warnings(main_server);
    for (s = main_server; s && rc == OK; s = s->next)
        rc = check_start(s, main_server);
    for (i = 0; i < sections->nelts && rc == OK; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (section->mode == MTLS_MODE_REPORT) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, section->server,
                         "mtls_policy: %s: MTLSMode report: this section refuses nobody",
                         section->where);
        }
        if (section->backend && section->backend->mode == MTLS_MODE_REPORT) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, section->server,
                         "mtls_policy: %s: MTLSBackendMode report: this section refuses no backend",
                         section->where);
        }
    }
    return rc;
}
