/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/checks.h"

#include <http_core.h>
#include <http_log.h>

#include "httpd/conftree.h"
#include "httpd/merged.h"
#include "httpd/signing.h"
#include "httpd/site.h"

APLOG_USE_MODULE(mtls_policy);

#define FAILED HTTP_INTERNAL_SERVER_ERROR

int mtls_checks_fail(server_rec *s, const char *where, const char *what)
{
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, s, "mtls_policy: %s: %s", where, what);
    return FAILED;
}

/* To the console for `httpd -t`, where no log is open; else to the error log. */
void mtls_checks_say_warnings(server_rec *s)
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
    return mtls_checks_fail(s, where,
                            apr_psprintf(p, "%s: there is no policy \"%s\"; there are: %s",
                                         directive, name, policy_list(p)));
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
            return mtls_checks_fail(
                s, trust->where,
                apr_psprintf(pconf, "%s: there is no trust store \"%s\"; there are: %s",
                             trust->directive, name, store_list(pconf)));
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

int mtls_checks_applies(const mtls_section_t *section, const server_rec *s,
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
    const char *directive;     /* of the rules */
    int of_backends;
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

static const mtls_trust_t *backend_trust(const mtls_section_t *section)
{
    return section->backend ? section->backend->trust : NULL;
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
        const mtls_trust_t *trust = check->of_backends ? backend_trust(section) : section->trust;
        if (trust && mtls_checks_applies(section, check->s, check->main_server))
            found = trust_lists(check->s, trust, domain);
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
        return apr_psprintf(check->p, "%s spiffe needs MTLSTrustDomain %s%s", check->directive,
                            check->trust ? "in a trust store of " : "on ",
                            check->trust ? check->trust->where : server);
    return apr_psprintf(check->p,
                        "%s spiffe: the trust domain \"%.*s\" is not in the "
                        "MTLSTrustDomain of %s: its CAs may not vouch for it",
                        check->directive, (int)domain.len, domain.data,
                        check->trust ? apr_pstrcat(check->p, "a trust store that ",
                                                   check->trust->where, " names", NULL)
                                     : server);
}

static const char *check_trust_name(void *baton, const char *name)
{
    rule_check_t *check = baton;

    return strcmp(name, "vhost") == 0 || mtls_site_store(name)
               ? NULL
               : apr_psprintf(check->p, "%s trust: there is no trust store \"%s\"; there are: %s",
                              check->directive, name, store_list(check->p));
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
            return mtls_checks_fail(check->s, mtls_rule_where(rule), error);
    }
    return OK;
}

static int check_policy_rules(apr_pool_t *p, server_rec *s, const mtls_policy_t *policy)
{
    rule_check_t check = {p, s, NULL, 0, policy->trust, "MTLSRequire", 0};

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
    rule_check_t check = {p, s, main_server, 1, section->trust, "MTLSRequire", 0};
    rule_check_t of_backends = {p, s, main_server, 1, backend_trust(section), "MTLSBackendRequire",
                                1};
    int rc;

    if ((rc = check_rules(&check, section->rules)) != OK ||
        (section->backend && (rc = check_rules(&of_backends, section->backend->rules)) != OK) ||
        (rc = check_uses(p, s, section->uses)) != OK)
        return rc;
    return check_uses(p, s, section->reports);
}

static int names_store(const mtls_trust_t *trust)
{
    int i, named = 0;

    for (i = 0; trust && i < trust->n; i++)
        named |= trust->stores[i] != NULL;
    return named;
}

/* Somebody has to vouch for backends: a trust store, or the CAs mod_ssl has for them (its
 * certificates for backends bring theirs along). */
static int somebody_vouches(const server_rec *s)
{
    static const char *const directives[] = {
        "SSLProxyCACertificateFile", "SSLProxyCACertificatePath", "SSLProxyMachineCertificateFile",
        "SSLProxyMachineCertificatePath", "SSLProxyMachineCertificateChainFile"};
    const apr_array_header_t *sections = mtls_site()->sections;
    apr_size_t k;
    int i;

    for (i = 0; i < sections->nelts; i++) {
        if (names_store(backend_trust(APR_ARRAY_IDX(sections, i, mtls_section_t *))))
            return 1;
    }
    for (; s; s = s->is_virtual ? NULL : s->next) { /* virtual hosts inherit a main server's */
        for (k = 0; k < sizeof(directives) / sizeof(directives[0]); k++) {
            if (mtls_conftree_somewhere(s, directives[k], NULL))
                return 1;
        }
    }
    return 0;
}

static int check_vouched(server_rec *s, const mtls_section_t *section)
{
    const mtls_backend_section_t *backend = section->backend;

    if (!backend || section->server != s ||
        (backend->rules->nelts == 0 && !backend->trust && !mtls_policy_asks(&backend->ocsp)) ||
        somebody_vouches(s))
        return OK;
    return mtls_checks_fail(s, section->where,
                            "nobody vouches for backends here: MTLSBackendTrust names no trust "
                            "store, and there is no SSLProxyCACertificateFile");
}

static int check_signer(apr_pool_t *p, server_rec *s, const mtls_section_t *section)
{
    int i;

    for (i = 0; section->formats && i < section->formats->nelts; i++) {
        if (APR_ARRAY_IDX(section->formats, i, mtls_format_t).kind != MTLS_FORMAT_JWT ||
            mtls_signing_first(s))
            continue;
        return mtls_checks_fail(
            s, section->where,
            apr_psprintf(p,
                         "MTLSExport jwt needs a key to sign with: there is no "
                         "MTLSSigningKey on %s, where this section applies",
                         s->is_virtual ? s->server_hostname : "the main server"));
    }
    return OK;
}

static int check_found(apr_pool_t *p, const mtls_section_t *section)
{
    if (!section->lost)
        return OK;
    return mtls_checks_fail(
        section->server, section->where,
        apr_psprintf(p,
                     "in <Proxy %s nothing would hold for clients: mod_proxy takes the brackets of "
                     "an IPv6 address for a pattern and never finds the section. Write it into a "
                     "<Location>, or into a <ProxyMatch> with \"\\[\" and \"\\]\"",
                     section->lost));
}

static int check_section(apr_pool_t *p, server_rec *main_server, const mtls_section_t *section)
{
    server_rec *s;
    int rc;

    if ((rc = check_found(p, section)) != OK)
        return rc;
    for (s = main_server; s; s = s->next) {
        if (!mtls_checks_applies(section, s, main_server))
            continue;
        if ((rc = check_section_on(p, s, main_server, section)) != OK ||
            (rc = check_signer(p, s, section)) != OK || (rc = check_vouched(s, section)) != OK)
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

int mtls_checks_names_no_vhost(const mtls_trust_t *trust)
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
    rule_check_t check = {p, main_server, main_server, 0, NULL, "MTLSRequire", 0};
    apr_hash_index_t *i;
    const char *error;
    int k;

    for (i = apr_hash_first(p, mtls_site()->policies); i; i = apr_hash_next(i)) {
        const mtls_named_policy_t *named = apr_hash_this_val(i);
        for (k = 0; k < named->policy->rules->nelts; k++) {
            const mtls_rule_t *rule = APR_ARRAY_IDX(named->policy->rules, k, const mtls_rule_t *);
            error = mtls_rule_trust_names(rule, check_trust_name, &check);
            if (!error && mtls_checks_names_no_vhost(named->policy->trust)) {
                check.trust = named->policy->trust;
                error = mtls_rule_spiffe_domains(rule, check_domain, &check);
            }
            if (error)
                return mtls_checks_fail(main_server, mtls_rule_where(rule), error);
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
        return mtls_checks_fail(main_server, negated,
                                "Require not mtls (also through <RequireNone> or an "
                                "<AuthzProviderAlias>): a refusal proves nothing about "
                                "who is calling; write the rule as \"MTLSRequire not "
                                "...\"");
    mtls_site()->balances_fastcgi = mtls_conftree_mentions("BalancerMember", "fcgi:");
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
        mtls_checks_say_warnings(NULL);
    return OK;
}
