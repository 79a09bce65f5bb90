/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/policy.h"

#include "policy/limits.h"

mtls_policy_t *mtls_policy_make(apr_pool_t *p, const char *name)
{
    mtls_policy_t *policy = apr_pcalloc(p, sizeof(*policy));

    policy->name = name;
    policy->rules = apr_array_make(p, 4, sizeof(const mtls_rule_t *));
    return policy;
}

void mtls_policy_add(mtls_policy_t *policy, const mtls_rule_t *rule)
{
    APR_ARRAY_PUSH(policy->rules, const mtls_rule_t *) = rule;
    policy->depends_on_request |= mtls_rule_depends_on_request(rule);
}

static const mtls_rule_t *rule_at(const mtls_policy_t *policy, int i)
{
    return APR_ARRAY_IDX(policy->rules, i, const mtls_rule_t *);
}

/* Steps 1 to 3 of the contract's order: the connection, the certificate, its chain. */
static mtls_reason_t judge_certificate(const mtls_evidence_t *evidence)
{
    if (!evidence->tls)
        return MTLS_NO_TLS;
    if (!evidence->presented)
        return MTLS_NO_CERTIFICATE;
    if (!evidence->facts)
        return MTLS_CERTIFICATE_MALFORMED;
    if (evidence->chain_reason != MTLS_OK)
        return evidence->chain_reason;
    return evidence->chain ? MTLS_OK : MTLS_INTERNAL_ERROR;
}

void mtls_policy_judge(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                       const mtls_judge_t *judge, mtls_verdict_t *verdict)
{
    mtls_result_t *result = &verdict->result;
    int i;

    result->rule = NULL;
    result->hint = NULL;
    result->steps = MTLS_PATTERN_BUDGET;
    result->valid_until = evidence->valid_until;
    result->reason = judge_certificate(evidence);
    verdict->failed_at = 0;
    if (result->reason != MTLS_OK)
        return;
    for (i = 0; i < policy->rules->nelts && result->reason == MTLS_OK; i++) {
        if (!mtls_rule_depends_on_request(rule_at(policy, i)))
            mtls_rule_test(rule_at(policy, i), evidence, judge, result);
    }
    verdict->failed_at = result->reason == MTLS_OK ? policy->rules->nelts : i - 1;
}

void mtls_policy_finish(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                        const mtls_judge_t *judge, const mtls_verdict_t *verdict,
                        mtls_result_t *result)
{
    mtls_result_t rule_result;
    int i, steps = MTLS_PATTERN_BUDGET;

    *result = verdict->result;
    if (!policy->depends_on_request || judge_certificate(evidence) != MTLS_OK)
        return;
    for (i = 0; i < verdict->failed_at; i++) {
        if (!mtls_rule_depends_on_request(rule_at(policy, i)))
            continue;
        rule_result = verdict->result;
        rule_result.steps = steps;
        mtls_rule_test(rule_at(policy, i), evidence, judge, &rule_result);
        steps = rule_result.steps;
        if (rule_result.reason != MTLS_OK) {
            *result = rule_result;
            return;
        }
    }
}

int mtls_policy_binds_issuer(const mtls_policy_t *policy)
{
    int i, bound = 0;

    for (i = 0; i < policy->rules->nelts; i++)
        bound |= mtls_rule_binds_issuer(rule_at(policy, i));
    return bound;
}
