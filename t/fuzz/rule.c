/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Rule text: parsed, then judged against fixed evidence. The input is a policy as t/unit/world.h
 * writes it, one rule a line. */

#include "fuzz.h"

#include "../unit/world.h"

static const world_file_t files[] = {
    {"hosts", "a.example\n# b\n\r\n*.example\n", 0},
    {"empty", "# nothing\n", 0},
    {"forms", "glob:*.example\nregex:[a-z]+\\.example\nsuffix:.b.example\n", 0},
    {"networks", "192.0.2.0/24\n2001:db8::/32\n", 0},
    {NULL, NULL, 0},
};

static mtls_reason_t judged(const mtls_policy_t *policy, const peer_t *peer, mtls_result_t *result)
{
    mtls_judge_t judge = {.now = WORLD_NOW, .eval_expr = world_eval};
    mtls_verdict_t verdict;

    memset(&verdict, 0, sizeof(verdict));
    mtls_policy_judge(policy, &peer->evidence, &judge, &verdict);
    mtls_policy_finish(policy, &peer->evidence, &judge, &verdict, result);
    CHECK(result->valid_until <= peer->evidence.valid_until);
    CHECK((int)result->reason >= 0 && result->reason < MTLS_REASON_COUNT);
    CHECK(verdict.failed_at >= 0 && verdict.failed_at <= policy->rules->nelts);
    return result->reason;
}

static void judge_all(apr_pool_t *p, const mtls_policy_t *policy)
{
    mtls_result_t result;
    peer_t peer;

    peer_init(&peer, p);
    if (judged(policy, &peer, &result) != MTLS_OK)
        CHECK(result.rule && mtls_rule_text(result.rule));
    peer_add_san(&peer, p, MTLS_SAN_DNS, mtls_span("a\0b", 3));
    peer_add_san(&peer, p, MTLS_SAN_URI, mtls_span("", 0));
    peer.facts.subject.n = 0;
    (void)judged(policy, &peer, &result);
    peer.evidence.chain_reason = MTLS_CHAIN_INCOMPLETE;
    CHECK(judged(policy, &peer, &result) == MTLS_CHAIN_INCOMPLETE);
    memset(&peer.evidence, 0, sizeof(peer.evidence));
    CHECK(judged(policy, &peer, &result) == MTLS_NO_TLS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    char *text = apr_pstrmemdup(p, (const char *)data, size);
    mtls_policy_t *policy = NULL;
    const char *error;
    world_t world;

    world_init(&world, p, files);
    error = world_policy(&world, text, &policy);
    CHECK(!error || *error);
    if (!error) {
        (void)mtls_policy_binds_issuer(policy);
        judge_all(p, policy);
    }
    fuzz_end(p);
    return 0;
}
