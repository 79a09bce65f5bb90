/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Rule text: parsed for clients and for servers, then judged against fixed evidence. The input is a
 * policy as t/unit/world.h writes it, one rule a line, and the name a server is asked for. */

#include "fuzz.h"

#include "../unit/world.h"
#include "policy/server_name.h"

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

/* The name is judged before the rules, and not where a rule has taken its place. */
static void judge_name(apr_pool_t *p, const mtls_policy_t *policy, mtls_span_t name)
{
    mtls_judge_t judge = {.now = WORLD_NOW, .server_name = &name};
    mtls_verdict_t verdict;
    peer_t peer;
    int named;

    peer_init(&peer, p);
    peer_add_san(&peer, p, MTLS_SAN_DNS, name); /* its own bytes are one, too */
    named = mtls_server_name_matches(&peer.facts, name) || mtls_policy_names_peer(policy);
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    if (named)
        CHECK(verdict.result.reason == MTLS_OK || verdict.result.rule);
    else
        CHECK(verdict.result.reason == MTLS_SAN_MISMATCH && !verdict.result.rule);
}

/* Whatever is taken for a DNS name or an address is short and of few characters. */
static void match_name(apr_pool_t *p, mtls_span_t name)
{
    apr_size_t i;
    peer_t peer;

    peer_init(&peer, p);
    peer_add_san(&peer, p, MTLS_SAN_DNS, name);
    if (!mtls_server_name_matches(&peer.facts, name))
        return;
    CHECK(name.len > 0 && name.len <= 253);
    for (i = 0; i < name.len; i++)
        CHECK(mtls_ascii_alnum(name.data[i]) || memchr("-_.:[]", name.data[i], 6));
}

static mtls_policy_t *parse(apr_pool_t *p, mtls_purpose_t purpose, const char *text)
{
    mtls_policy_t *policy = NULL;
    const char *error;
    world_t world;

    world_init(&world, p, files);
    world.env.purpose = purpose;
    error = world_policy(&world, text, &policy);
    CHECK(!error || *error);
    return error ? NULL : policy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    char *text = apr_pstrmemdup(p, (const char *)data, size);
    mtls_policy_t *client = parse(p, MTLS_PURPOSE_CLIENT, text);
    mtls_policy_t *server = parse(p, MTLS_PURPOSE_SERVER, text);

    if (client) {
        (void)mtls_policy_binds_issuer(client);
        judge_all(p, client);
        CHECK((server != NULL) == !client->depends_on_request);
    }
    if (server) {
        judge_all(p, server);
        judge_name(p, server, mtls_span((const char *)data, size));
        judge_name(p, server, mtls_span_of("a.bigpartner.example"));
    }
    match_name(p, mtls_span((const char *)data, size));
    fuzz_end(p);
    return 0;
}
