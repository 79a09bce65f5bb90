/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/checks.h"

#include <http_core.h>
#include <http_log.h>

#include "httpd/conftree.h"
#include "httpd/merged.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

#define FAILED HTTP_INTERNAL_SERVER_ERROR

static int fail(server_rec *s, const char *where, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, s, "mtls_policy: %s: %s", where, what);
    return FAILED;
}

/* To the console for `httpd -t`, where no log is open; else to the error log. */
static void say_warnings(server_rec *s)
{
    const apr_array_header_t *warnings = mtls_site()->warnings;
    int i;

    for (i = 0; i < warnings->nelts; i++) {
        ap_log_error(APLOG_MARK, APLOG_WARNING | (s ? 0 : APLOG_STARTUP), 0, s, "mtls_policy: %s",
                     APR_ARRAY_IDX(warnings, i, const char *));
    }
}

/* ---- names ---- */

static const char *policy_list(apr_pool_t *p)
{
    const char *names = NULL;
    apr_hash_index_t *i;

    for (i = apr_hash_first(p, mtls_site()->policies); i; i = apr_hash_next(i)) {
        const char *name = apr_hash_this_key(i);
        names = names ? apr_pstrcat(p, names, ", ", name, NULL) : name;
    }
    return names ? names : "none";
}

static int unknown_policy(apr_pool_t *p, server_rec *s, const char *where, const char *directive,
                          const char *name)
{
    return fail(s, where,
                apr_psprintf(p, "%s: there is no policy \"%s\"; there are: %s", directive, name,
                             policy_list(p)));
}

static int resolve_uses(apr_pool_t *p, server_rec *s, const apr_array_header_t *uses)
{
    int i, k;

    for (i = 0; i < uses->nelts; i++) {
        mtls_use_t *use = APR_ARRAY_IDX(uses, i, mtls_use_t *);
        apr_array_clear(use->policies);
        for (k = 0; k < use->names->nelts; k++) {
            const char *name = APR_ARRAY_IDX(use->names, k, const char *);
            const mtls_policy_t *policy = mtls_site_policy(name);
            if (!policy)
                return unknown_policy(p, s, use->where, use->directive, name);
            APR_ARRAY_PUSH(use->policies, const mtls_policy_t *) = policy;
        }
    }
    return OK;
}

static int resolve_requires(apr_pool_t *p)
{
    const apr_array_header_t *requires = mtls_site()->requires;
    int i;

    for (i = 0; i < requires->nelts; i++) {
        mtls_require_t *require = APR_ARRAY_IDX(requires, i, mtls_require_t *);
        const mtls_policy_t *policy = mtls_site_policy(require->name);
        if (!policy)
            return unknown_policy(p, require->server, require->where, "Require mtls-policy",
                                  require->name);
        require->merged = mtls_merged_single(policy);
    }
    return OK;
}

static const char *store_list(apr_pool_t *p)
{
    const char *names = "vhost";
    apr_hash_index_t *i;

    for (i = apr_hash_first(p, mtls_site()->stores); i; i = apr_hash_next(i))
        names = apr_pstrcat(p, names, ", ", (const char *)apr_hash_this_key(i), NULL);
    return names;
}

static void use_store(const mtls_trust_handle_t *store)
{
    apr_array_header_t *used = mtls_site()->used;
    int i;

    for (i = 0; i < used->nelts; i++) {
        if (APR_ARRAY_IDX(used, i, const mtls_trust_handle_t *) == store)
            return;
    }
    APR_ARRAY_PUSH(used, const mtls_trust_handle_t *) = store;
}

static int resolve_trust(apr_pool_t *pconf, server_rec *s, mtls_trust_t *trust)
{
    int i;

    trust->n = trust->names->nelts;
    trust->stores = apr_pcalloc(pconf, sizeof(*trust->stores) * (apr_size_t)trust->n);
    for (i = 0; i < trust->n; i++) {
        const char *name = APR_ARRAY_IDX(trust->names, i, const char *);
        if (strcmp(name, "vhost") == 0)
            continue;
        if ((trust->stores[i] = mtls_site_store(name)) == NULL)
            return fail(s, trust->where,
                        apr_psprintf(pconf,
                                     "MTLSTrust: there is no trust store \"%s\"; there are: %s",
                                     name, store_list(pconf)));
        use_store(trust->stores[i]);
    }
    return OK;
}

static int resolve_trusts(apr_pool_t *pconf, server_rec *s)
{
    const apr_array_header_t *trusts = mtls_site()->trusts;
    int i, rc = OK;

    for (i = 0; i < trusts->nelts && rc == OK; i++)
        rc = resolve_trust(pconf, s, APR_ARRAY_IDX(trusts, i, mtls_trust_t *));
    return rc;
}

/* ---- rules against the server they apply to ---- */

static int applies_to(const mtls_section_t *section, const server_rec *s,
                      const server_rec *main_server)
{
    return section->server == s || section->server == main_server;
}

/* Where rules stand, and what they may be judged by. */
typedef struct rule_check_t {
    apr_pool_t *p;
    server_rec *s;
    server_rec *main_server;
    int in_section;            /* whose trust may come from another section */
    const mtls_trust_t *trust; /* its own; NULL: not said */
} rule_check_t;

static int lists(const char *const *domains, mtls_span_t domain)
{
    for (; *domains; domains++) {
        if (domain.len == 0 || mtls_span_equal(domain, mtls_span_of(*domains)))
            return 1;
    }
    return 0;
}

static int vhost_lists(const server_rec *s, mtls_span_t domain)
{
    const apr_array_header_t *domains = mtls_server_of(s)->trust_domains;
    int i;

    for (i = 0; domains && i < domains->nelts; i++) {
        if (domain.len == 0 ||
            mtls_span_equal(domain, mtls_span_of(APR_ARRAY_IDX(domains, i, const char *))))
            return 1;
    }
    return 0;
}

static int trust_lists(const server_rec *s, const mtls_trust_t *trust, mtls_span_t domain)
{
    int i, found = 0;

    for (i = 0; i < trust->n && !found; i++) {
        found =
            trust->stores[i]
                ? lists((const char *const *)(void *)trust->stores[i]->spec->domains->elts, domain)
                : vhost_lists(s, domain);
    }
    return found;
}

/* Some store that may judge the rule can vouch for the domain. Which sections will merge is known
 * with a request only; at run time it is the store that verified that must list it. */
static int may_be_vouched_for(const rule_check_t *check, mtls_span_t domain)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    int i, found = 0;

    if (check->trust)
        return trust_lists(check->s, check->trust, domain);
    for (i = 0; check->in_section && i < sections->nelts && !found; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (section->trust && applies_to(section, check->s, check->main_server))
            found = trust_lists(check->s, section->trust, domain);
    }
    return found || vhost_lists(check->s, domain);
}

static const char *check_domain(void *baton, mtls_span_t domain)
{
    rule_check_t *check = baton;
    const char *server = check->s->server_hostname ? check->s->server_hostname : "the main server";

    if (may_be_vouched_for(check, domain))
        return NULL;
    if (domain.len == 0)
        return apr_psprintf(check->p, "MTLSRequire spiffe needs MTLSTrustDomain %s%s",
                            check->trust ? "in a trust store of " : "on ",
                            check->trust ? check->trust->where : server);
    return apr_psprintf(check->p,
                        "MTLSRequire spiffe: the trust domain \"%.*s\" is not in the "
                        "MTLSTrustDomain of %s: its CAs may not vouch for it",
                        (int)domain.len, domain.data,
                        check->trust ? apr_pstrcat(check->p, "a trust store that ",
                                                   check->trust->where, " names", NULL)
                                     : server);
}

static const char *check_trust_name(void *baton, const char *name)
{
    rule_check_t *check = baton;

    return strcmp(name, "vhost") == 0 || mtls_site_store(name)
               ? NULL
               : apr_psprintf(check->p,
                              "MTLSRequire trust: there is no trust store \"%s\"; there are: %s",
                              name, store_list(check->p));
}

static int check_rules(rule_check_t *check, const apr_array_header_t *rules)
{
    const char *error;
    int i;

    for (i = 0; i < rules->nelts; i++) {
        const mtls_rule_t *rule = APR_ARRAY_IDX(rules, i, const mtls_rule_t *);
        error = mtls_rule_spiffe_domains(rule, check_domain, check);
        if (!error)
            error = mtls_rule_trust_names(rule, check_trust_name, check);
        if (error)
            return fail(check->s, mtls_rule_where(rule), error);
    }
    return OK;
}

static int check_policy_rules(apr_pool_t *p, server_rec *s, const mtls_policy_t *policy)
{
    rule_check_t check = {p, s, NULL, 0, policy->trust};

    return check_rules(&check, policy->rules);
}

static int check_uses(apr_pool_t *p, server_rec *s, const apr_array_header_t *uses)
{
    int i, k, rc;

    for (i = 0; i < uses->nelts; i++) {
        const mtls_use_t *use = APR_ARRAY_IDX(uses, i, const mtls_use_t *);
        for (k = 0; k < use->policies->nelts; k++) {
            rc = check_policy_rules(p, s, APR_ARRAY_IDX(use->policies, k, const mtls_policy_t *));
            if (rc != OK)
                return rc;
        }
    }
    return OK;
}

static int check_section_on(apr_pool_t *p, server_rec *s, server_rec *main_server,
                            const mtls_section_t *section)
{
    rule_check_t check = {p, s, main_server, 1, section->trust};
    int rc;

    if ((rc = check_rules(&check, section->rules)) != OK ||
        (rc = check_uses(p, s, section->uses)) != OK)
        return rc;
    return check_uses(p, s, section->reports);
}

static int check_section(apr_pool_t *p, server_rec *main_server, const mtls_section_t *section)
{
    server_rec *s;
    int rc;

    for (s = main_server; s; s = s->next) {
        if (applies_to(section, s, main_server) &&
            (rc = check_section_on(p, s, main_server, section)) != OK)
            return rc;
    }
    return OK;
}

static int check_requires(apr_pool_t *p, server_rec *main_server)
{
    const apr_array_header_t *requires = mtls_site()->requires;
    const mtls_require_t *require;
    server_rec *s;
    int i, rc;

    for (i = 0; i < requires->nelts; i++) {
        require = APR_ARRAY_IDX(requires, i, const mtls_require_t *);
        for (s = main_server; s; s = s->next) {
            if (require->server != s && require->server != main_server)
                continue;
            if ((rc = check_policy_rules(p, s, mtls_site_policy(require->name))) != OK)
                return rc;
        }
    }
    return OK;
}

/* Whether what is trusted is the same wherever the policy is used. */
static int names_no_vhost(const mtls_trust_t *trust)
{
    int i;

    for (i = 0; trust && i < trust->n; i++) {
        if (!trust->stores[i])
            return 0;
    }
    return trust != NULL;
}

/* Named policies that nobody uses are looked at as well: a typo must not wait for its first use. */
static int check_named(apr_pool_t *p, server_rec *main_server)
{
    rule_check_t check = {p, main_server, main_server, 0, NULL};
    apr_hash_index_t *i;
    const char *error;
    int k;

    for (i = apr_hash_first(p, mtls_site()->policies); i; i = apr_hash_next(i)) {
        const mtls_named_policy_t *named = apr_hash_this_val(i);
        for (k = 0; k < named->policy->rules->nelts; k++) {
            const mtls_rule_t *rule = APR_ARRAY_IDX(named->policy->rules, k, const mtls_rule_t *);
            error = mtls_rule_trust_names(rule, check_trust_name, &check);
            if (!error && names_no_vhost(named->policy->trust)) {
                check.trust = named->policy->trust;
                error = mtls_rule_spiffe_domains(rule, check_domain, &check);
            }
            if (error)
                return fail(main_server, mtls_rule_where(rule), error);
        }
    }
    return OK;
}

int mtls_checks_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server)
{
    const apr_array_header_t *sections = mtls_site()->sections;
    const char *negated = mtls_conftree_negated_require(ptemp);
    int i, rc;

    if (negated)
        return fail(main_server, negated,
                    "Require not mtls (also through <RequireNone> or an "
                    "<AuthzProviderAlias>): a refusal proves nothing about "
                    "who is calling; write the rule as \"MTLSRequire not "
                    "...\"");
    if ((rc = resolve_trusts(pconf, main_server)) != OK || (rc = resolve_requires(ptemp)) != OK)
        return rc;
    for (i = 0; i < sections->nelts; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if ((rc = resolve_uses(ptemp, section->server, section->uses)) != OK ||
            (rc = resolve_uses(ptemp, section->server, section->reports)) != OK ||
            (rc = check_section(ptemp, main_server, section)) != OK)
            return rc;
    }
    if ((rc = check_named(ptemp, main_server)) != OK ||
        (rc = check_requires(ptemp, main_server)) != OK)
        return rc;
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST)
        say_warnings(NULL);
    return OK;
}

/* ---- at start ---- */

static int is_policy(const mtls_section_t *section)
{
    return (section->rules->nelts > 0 || section->uses->nelts > 0 || section->trust) &&
           section->mode != MTLS_MODE_OFF;
}

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
        return fail(s, where, what);
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
    return fail(s, where,
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
        return fail(s, server->handshake_where,
                    "MTLSHandshake defer: a section of this virtual host has an SSLVerifyClient of "
                    "its own, which mod_ssl could not keep: say who may come in with MTLSRequire");
    }
    verify = mtls_conftree_setting(s, "SSLVerifyClient");
    if (verify && ap_cstr_casecmp(verify, "optional_no_ca") == 0)
        return check_cache(s, server->handshake_where);
    return fail(s, server->handshake_where,
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
    return !names_no_vhost(trust);
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
        if (section->trust || section->rules->nelts)
            found = trusts_vhost(section->trust ? section->trust : inherited_trust(s, section));
        found |= any_trusts_vhost(section->uses) || any_trusts_vhost(section->reports);
    }
    return found;
}

/* All must allow the same certificate, so the policy with the fewest anchors counts. */
static int fewest_anchors(const server_rec *s, const mtls_section_t *section)
{
    const mtls_trust_t *trust = section->trust ? section->trust : inherited_trust(s, section);
    int i, k, n, fewest = -1;

    if (section->rules->nelts || trust)
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
        if (!applies_to(section, s, main_server) || !is_policy(section))
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

    say_warnings(main_server);
    for (s = main_server; s && rc == OK; s = s->next)
        rc = check_start(s, main_server);
    for (i = 0; i < sections->nelts && rc == OK; i++) {
        const mtls_section_t *section = APR_ARRAY_IDX(sections, i, mtls_section_t *);
        if (section->mode == MTLS_MODE_REPORT) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, section->server,
                         "mtls_policy: %s: MTLSMode report: this section refuses nobody",
                         section->where);
        }
    }
    return rc;
}
