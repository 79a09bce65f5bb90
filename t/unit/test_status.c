/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/status, and the last step of policy/policy: what a status means to a policy. */

#include "suite.h"

/* What mtls_status_fn answers, and what it was asked. */
typedef struct oracle_t {
    mtls_status_t status;
    apr_time_t until;
    int asked;
    int chain;
} oracle_t;

static mtls_status_t answer(void *oracle_, const mtls_evidence_t *evidence, int chain,
                            apr_time_t *valid_until, const char **hint)
{
    oracle_t *oracle = oracle_;

    assert_int_equal(evidence->chain_reason, MTLS_OK);
    oracle->asked++;
    oracle->chain = chain;
    *valid_until = oracle->until;
    *hint = "a hint";
    return oracle->status;
}

static int expr_with_oracle(void *oracle, const void *expr)
{
    (void)oracle;
    return world_eval(NULL, expr);
}

static mtls_policy_t *policy_of(const char *rules, mtls_demand_t level, int chain)
{
    world_t *world = apr_palloc(pool, sizeof(*world));
    mtls_policy_t *policy = NULL;

    world_init(world, pool, NULL);
    assert_message(world_policy(world, rules, &policy), NULL);
    policy->ocsp.level = level;
    policy->ocsp.chain = chain;
    return policy;
}

static mtls_result_t judged(const mtls_policy_t *policy, const peer_t *peer, oracle_t *oracle,
                            mtls_verdict_t *verdict)
{
    mtls_judge_t judge = {
        .now = WORLD_NOW, .eval_expr = expr_with_oracle, .status_of = answer, .baton = oracle};
    mtls_result_t result;

    memset(verdict, 0x55, sizeof(*verdict));
    memset(&result, 0x55, sizeof(result));
    mtls_policy_judge(policy, &peer->evidence, &judge, verdict);
    mtls_policy_finish(policy, &peer->evidence, &judge, verdict, &result);
    return result;
}

/* ---- every demand with every status ---- */

struct demand_row {
    const char *name;
    mtls_demand_t level;
    mtls_status_t status;
    const char *reason;
    int asked;
};

static const struct demand_row demands[] = {
    {"unset does not ask", MTLS_DEMAND_UNSET, MTLS_STATUS_REVOKED, "ok", 0},
    {"off does not ask", MTLS_DEMAND_OFF, MTLS_STATUS_REVOKED, "ok", 0},
    {"prefer: good", MTLS_DEMAND_PREFER, MTLS_STATUS_GOOD, "ok", 1},
    {"prefer: exempt", MTLS_DEMAND_PREFER, MTLS_STATUS_EXEMPT, "ok", 1},
    {"prefer: revoked", MTLS_DEMAND_PREFER, MTLS_STATUS_REVOKED, "ocsp_revoked", 1},
    {"prefer: unknown", MTLS_DEMAND_PREFER, MTLS_STATUS_UNKNOWN, "ok", 1},
    {"prefer: no responder", MTLS_DEMAND_PREFER, MTLS_STATUS_NO_RESPONDER, "ok", 1},
    {"prefer: unavailable", MTLS_DEMAND_PREFER, MTLS_STATUS_UNAVAILABLE, "ok", 1},
    {"require: good", MTLS_DEMAND_REQUIRE, MTLS_STATUS_GOOD, "ok", 1},
    {"require: exempt", MTLS_DEMAND_REQUIRE, MTLS_STATUS_EXEMPT, "ok", 1},
    {"require: revoked", MTLS_DEMAND_REQUIRE, MTLS_STATUS_REVOKED, "ocsp_revoked", 1},
    {"require: unknown", MTLS_DEMAND_REQUIRE, MTLS_STATUS_UNKNOWN, "ocsp_unknown", 1},
    {"require: no responder", MTLS_DEMAND_REQUIRE, MTLS_STATUS_NO_RESPONDER, "ocsp_no_responder",
     1},
    {"require: unavailable", MTLS_DEMAND_REQUIRE, MTLS_STATUS_UNAVAILABLE, "ocsp_unavailable", 1},
    {"require: an answer nobody gave", MTLS_DEMAND_REQUIRE, MTLS_STATUS_NOT_ASKED,
     "ocsp_unavailable", 1},
    {"require: outside the table", MTLS_DEMAND_REQUIRE, (mtls_status_t)77, "ocsp_unavailable", 1},
    {"outside the table: good", (mtls_demand_t)77, MTLS_STATUS_GOOD, "ok", 1},
    {"outside the table: unavailable refuses", (mtls_demand_t)77, MTLS_STATUS_UNAVAILABLE,
     "ocsp_unavailable", 1},
};

static void demand_case(void **state)
{
    const struct demand_row *row = *state;
    oracle_t oracle = {row->status, WORLD_NOW + WORLD_DAYS, 0, -1};
    mtls_verdict_t verdict;
    mtls_result_t result;
    peer_t peer;

    peer_init(&peer, pool);
    result = judged(policy_of("subject.C CH", row->level, 0), &peer, &oracle, &verdict);
    assert_string_equal(mtls_reason_token(result.reason), row->reason);
    assert_int_equal(oracle.asked, row->asked);
    if (result.reason == MTLS_OK)
        assert_null(result.hint);
    else
        assert_string_equal(result.hint, "a hint");
    assert_int_equal(verdict.status, row->asked ? row->status : MTLS_STATUS_NOT_ASKED);
}

/* ---- the order of judging ---- */

static void nobody_asks_before_chain_and_rules_hold(void **state)
{
    oracle_t oracle = {MTLS_STATUS_REVOKED, MTLS_FOREVER, 0, -1};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    assert_int_equal(
        judged(policy_of("subject.C DE", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).reason,
        MTLS_SUBJECT_MISMATCH);
    peer.evidence.chain_reason = MTLS_EXPIRED;
    assert_int_equal(
        judged(policy_of("subject.C CH", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).reason,
        MTLS_EXPIRED);
    assert_int_equal(oracle.asked, 0);
    assert_int_equal(verdict.status, MTLS_STATUS_NOT_ASKED);
}

static void an_expression_comes_before_the_status(void **state)
{
    oracle_t oracle = {MTLS_STATUS_REVOKED, MTLS_FOREVER, 0, -1};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    assert_int_equal(
        judged(policy_of("expr false", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).reason,
        MTLS_EXPR_FALSE);
    assert_int_equal(
        judged(policy_of("expr true", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).reason,
        MTLS_OCSP_REVOKED);
}

static void the_chain_is_asked_for_where_the_policy_says_so(void **state)
{
    oracle_t oracle = {MTLS_STATUS_GOOD, MTLS_FOREVER, 0, -1};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    judged(policy_of("", MTLS_DEMAND_PREFER, 1), &peer, &oracle, &verdict);
    assert_int_equal(oracle.chain, 1);
    judged(policy_of("", MTLS_DEMAND_PREFER, 0), &peer, &oracle, &verdict);
    assert_int_equal(oracle.chain, 0);
}

static void the_verdict_holds_as_long_as_the_status(void **state)
{
    oracle_t oracle = {MTLS_STATUS_GOOD, WORLD_NOW + 5, 0, -1};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    assert_true(
        judged(policy_of("", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).valid_until ==
        WORLD_NOW + 5);
    oracle.until = MTLS_FOREVER;
    assert_true(
        judged(policy_of("", MTLS_DEMAND_REQUIRE, 0), &peer, &oracle, &verdict).valid_until ==
        peer.evidence.valid_until);
}

static void without_anybody_to_ask_nothing_is_known(void **state)
{
    mtls_judge_t judge = {.now = WORLD_NOW};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    mtls_policy_judge(policy_of("", MTLS_DEMAND_REQUIRE, 0), &peer.evidence, &judge, &verdict);
    assert_int_equal(verdict.result.reason, MTLS_OCSP_UNAVAILABLE);
    assert_true(verdict.result.valid_until <= WORLD_NOW);
}

/* ---- tokens ---- */

static void tokens_are_those_of_the_documentation(void **state)
{
    (void)state;
    assert_string_equal(mtls_status_token(MTLS_STATUS_UNAVAILABLE), "unavailable");
    assert_string_equal(mtls_status_token(MTLS_STATUS_GOOD), "good");
    assert_string_equal(mtls_status_token(MTLS_STATUS_REVOKED), "revoked");
    assert_string_equal(mtls_status_token(MTLS_STATUS_UNKNOWN), "unknown");
    assert_string_equal(mtls_status_token(MTLS_STATUS_NO_RESPONDER), "no_responder");
    assert_string_equal(mtls_status_token(MTLS_STATUS_EXEMPT), "exempt");
    assert_null(mtls_status_token(MTLS_STATUS_NOT_ASKED));
    assert_null(mtls_status_token((mtls_status_t)77));
}

int main(void)
{
    SUITE_TABLE(demand_case, demands);
    SUITE_CASE(nobody_asks_before_chain_and_rules_hold);
    SUITE_CASE(an_expression_comes_before_the_status);
    SUITE_CASE(the_chain_is_asked_for_where_the_policy_says_so);
    SUITE_CASE(the_verdict_holds_as_long_as_the_status);
    SUITE_CASE(without_anybody_to_ask_nothing_is_known);
    SUITE_CASE(tokens_are_those_of_the_documentation);
    return suite_run("status", 24);
}
