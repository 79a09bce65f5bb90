/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/policy.h"

#include "policy/limits.h"
#include "policy/server_name.h"

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

/* Of a server: whether it is the one that was asked for. */
static mtls_reason_t judge_name(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                                const mtls_judge_t *judge)
{
    if (!judge->server_name || mtls_policy_names_peer(policy) ||
        mtls_server_name_matches(evidence->facts, *judge->server_name))
        return MTLS_OK;
    return MTLS_SAN_MISMATCH;
}

/* Step 5, the status. */
static mtls_reason_t judge_status(const mtls_ocsp_demand_t *demand, mtls_status_t status)
{
    mtls_reason_t reason = MTLS_OCSP_UNAVAILABLE;

    switch (status) {
    case MTLS_STATUS_GOOD:
    case MTLS_STATUS_EXEMPT:
        return MTLS_OK;
    case MTLS_STATUS_REVOKED:
        return MTLS_OCSP_REVOKED;
    case MTLS_STATUS_UNKNOWN:
        reason = MTLS_OCSP_UNKNOWN;
        break;
    case MTLS_STATUS_NO_RESPONDER:
        reason = MTLS_OCSP_NO_RESPONDER;
        break;
    default:
        break;
    }
    return demand->level == MTLS_DEMAND_PREFER ? MTLS_OK : reason;
}

static void ask_status(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                       const mtls_judge_t *judge, mtls_verdict_t *verdict)
{
    mtls_result_t *result = &verdict->result;
    apr_time_t until = judge->now;
    const char *hint = NULL;

    verdict->status = MTLS_STATUS_UNAVAILABLE;
    if (judge->status_of)
        verdict->status =
            judge->status_of(judge->baton, evidence, policy->ocsp.chain, &until, &hint);
    if (until < result->valid_until)
        result->valid_until = until;
    result->reason = judge_status(&policy->ocsp, verdict->status);
    if (result->reason != MTLS_OK)
        result->hint = hint;
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
    verdict->status = MTLS_STATUS_NOT_ASKED;
    if (result->reason != MTLS_OK)
        return;
    if ((result->reason = judge_name(policy, evidence, judge)) != MTLS_OK) {
        result->hint = "the certificate is not for the name of the server";
        return;
    }
    for (i = 0; i < policy->rules->nelts && result->reason == MTLS_OK; i++) {
        if (!mtls_rule_depends_on_request(rule_at(policy, i)))
            mtls_rule_test(rule_at(policy, i), evidence, judge, result);
    }
    verdict->failed_at = result->reason == MTLS_OK ? policy->rules->nelts : i - 1;
    if (result->reason == MTLS_OK && mtls_policy_asks(&policy->ocsp))
        ask_status(policy, evidence, judge, verdict);
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

int mtls_policy_names_peer(const mtls_policy_t *policy)
{
    int i, named = 0;

    for (i = 0; i < policy->rules->nelts; i++)
        named |= mtls_rule_names_peer(rule_at(policy, i));
    return named;
}
