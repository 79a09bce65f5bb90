/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/verdict.h"

#include "httpd/expr.h"
#include "httpd/ocsp.h"
#include "httpd/peer.h"
#include "httpd/reload.h"
#include "identity/text.h"
#include "policy/limits.h"

/* What a connection remembers for one merged policy. */
typedef struct mtls_slot_t {
    const mtls_trust_handle_t *vhost; /* the server it was judged on */
    apr_uint32_t generation;          /* of what is read from files (reload.h) */
    apr_time_t from, valid_until;     /* of everything here */
    mtls_judged_t *judged;            /* its decision counts where none depends on the request */
    mtls_verdict_t *verdicts;         /* one for each policy */
    mtls_evidence_t *evidences;       /* by which it was judged */
} mtls_slot_t;

/* ---- from results to a decision ---- */

static const mtls_result_t *judge_group(const mtls_group_t *group, const mtls_result_t *results,
                                        int *which)
{
    int i;

    *which = group->first;
    for (i = group->first; group->any && i < group->first + group->n; i++) {
        if (results[i].reason == MTLS_OK) {
            *which = i;
            break;
        }
    }
    return &results[*which];
}

static const char *join(apr_pool_t *p, const char *names, const char *name)
{
    if (!name)
        return names;
    return names ? apr_pstrcat(p, names, " ", name, NULL) : name;
}

/* All groups must allow; the first that does not gives the reason. */
static void decide(apr_pool_t *p, const mtls_merged_t *merged, const mtls_result_t *results,
                   mtls_decision_t *decision)
{
    const mtls_result_t *result;
    int i, which, has_any = 0;

    decision->reason = MTLS_INTERNAL_ERROR;
    decision->rule = NULL;
    decision->hint = NULL;
    decision->names = merged->names;
    decision->which = 0;
    for (i = 0; i < merged->group_count; i++) {
        result = judge_group(&merged->groups[i], results, &which);
        has_any |= merged->groups[i].any;
        decision->reason = result->reason;
        if (i == 0 || result->reason != MTLS_OK)
            decision->which = which;
        if (result->reason != MTLS_OK) {
            decision->rule = result->rule;
            decision->hint = result->hint;
            return;
        }
    }
    if (has_any) { /* say which of the alternatives it was */
        decision->names = NULL;
        for (i = 0; i < merged->group_count; i++) {
            judge_group(&merged->groups[i], results, &which);
            decision->names = join(p, decision->names, merged->policies[which]->name);
        }
    }
}

static void report(apr_pool_t *p, const mtls_merged_t *merged, const mtls_result_t *results,
                   mtls_judged_t *judged)
{
    int i;

    for (i = merged->decisive; i < merged->total; i++) {
        judged->report = join(p, judged->report,
                              apr_pstrcat(p, merged->policies[i]->name, ":",
                                          mtls_reason_token(results[i].reason), NULL));
        judged->report_refuses |= results[i].reason != MTLS_OK;
    }
}

static const mtls_result_t *static_results(apr_pool_t *p, const mtls_merged_t *merged,
                                           const mtls_verdict_t *verdicts)
{
    mtls_result_t *results = apr_palloc(p, sizeof(*results) * (apr_size_t)(merged->total + 1));
    int i;

    for (i = 0; i < merged->total; i++)
        results[i] = verdicts[i].result;
    return results;
}

/* Somebody whose chain is good. */
static int is_identity(const mtls_evidence_t *evidence)
{
    return evidence->chain_reason == MTLS_OK && evidence->facts;
}

/* ---- variables ---- */

const char mtls_verdict_allow[] = "allow";
const char mtls_verdict_deny[] = "deny";
const char mtls_verdict_report[] = "report";

const apr_array_header_t *mtls_verdict_variables(apr_pool_t *p, const mtls_judged_t *judged,
                                                 const char *verdict, mtls_reason_t reason,
                                                 const apr_array_header_t *env)
{
    const mtls_decision_t *d = &judged->decision;
    apr_array_header_t *out = apr_array_make(p, 5, sizeof(mtls_variable_t));

    if (verdict) {
        mtls_variable_push(out, "MTLS_VERDICT", verdict);
        mtls_variable_push(out, "MTLS_REASON", mtls_reason_token(reason));
        mtls_variable_push(out, "MTLS_RULE",
                           d->rule && reason == d->reason ? mtls_rule_text(d->rule) : NULL);
        mtls_variable_push(out, "MTLS_POLICY", d->names);
    }
    mtls_variable_push(out, "MTLS_REPORT", judged->report);
    if (env)
        apr_array_cat(out, env);
    return out;
}

static const apr_array_header_t *allowed_variables(apr_pool_t *p, const mtls_judged_t *judged)
{
    return mtls_verdict_variables(p, judged, mtls_verdict_allow, MTLS_OK,
                                  judged->exports ? judged->exports->env : NULL);
}

/* Those of an allowed request are the same wherever the same named policies, mostly none, allowed
 * the same identity: made once for them all. */
static void keep_variables(mtls_peer_t *peer, mtls_judged_t *judged)
{
    const apr_array_header_t *env = judged->exports ? judged->exports->env : NULL;

    if (judged->decision.reason != MTLS_OK)
        return;
    if (!peer->allowed || peer->allowed_names != judged->decision.names ||
        peer->allowed_env != env) {
        peer->allowed = allowed_variables(peer->p, judged);
        peer->allowed_names = judged->decision.names;
        peer->allowed_env = env;
        peer->kept_exports += (apr_size_t)peer->allowed->nelts * sizeof(mtls_variable_t);
    }
    judged->variables = peer->allowed;
}

/* ---- another policy's grant ---- */

const mtls_exports_t *mtls_verdict_exports(request_rec *r, const mtls_merged_t *merged,
                                           const mtls_judged_t *judged)
{
    mtls_peer_t *peer = mtls_peer_of(r);
    const mtls_exports_t *exports;

    if (!merged || !peer || !is_identity(&judged->evidence))
        return NULL;
    mtls_peer_enter(peer, r);
    exports = mtls_exports_make(r->pool, peer, merged, &judged->evidence, judged->now);
    mtls_peer_leave(peer, r);
    return exports;
}

/* ---- judging ---- */

/* The evidence for each policy: its stores may be others than its neighbour's. */
static void gather(mtls_peer_t *peer, request_rec *r, const mtls_merged_t *merged, apr_time_t now,
                   mtls_evidence_t *evidences)
{
    int i;

    for (i = 0; i < merged->total; i++) {
        if (i > 0 && merged->policies[i]->trust == merged->policies[i - 1]->trust)
            evidences[i] = evidences[i - 1];
        else
            mtls_peer_evidence(peer, r, merged->policies[i]->trust, now, &evidences[i]);
    }
}

/* For a status that only a report needs nobody waits. */
static void judge_policies(const mtls_merged_t *merged, mtls_ocsp_round_t *round, mtls_slot_t *slot)
{
    mtls_judge_t judge = {.now = round->now, .status_of = mtls_ocsp_status, .baton = round};
    int i;

    slot->valid_until = MTLS_FOREVER;
    for (i = 0; i < merged->total; i++) {
        round->may_wait = i < merged->decisive;
        mtls_policy_judge(merged->policies[i], &slot->evidences[i], &judge, &slot->verdicts[i]);
        slot->evidences[i].status = slot->verdicts[i].status;
        if (slot->verdicts[i].result.valid_until < slot->valid_until)
            slot->valid_until = slot->verdicts[i].result.valid_until;
    }
}

static mtls_judged_t *make_judged(apr_pool_t *p, apr_time_t now)
{
    mtls_judged_t *judged = apr_pcalloc(p, sizeof(*judged));

    judged->now = now;
    return judged;
}

static int same_evidence(const mtls_evidence_t *a, const mtls_evidence_t *b)
{
    return a->facts == b->facts && a->chain == b->chain && a->chain_reason == b->chain_reason &&
           a->chain_error == b->chain_error && a->chain_detail == b->chain_detail &&
           a->status == b->status;
}

static int same_decision(const mtls_decision_t *a, const mtls_decision_t *b)
{
    return a->reason == b->reason && a->rule == b->rule && a->hint == b->hint &&
           a->names == b->names && a->which == b->which;
}

static int has_exports(const mtls_judged_t *judged)
{
    return judged->exports && !judged->exports->incomplete;
}

/* Whom MTLSUser or a token's `sub` cannot name is not let in. */
static void name_or_refuse(const mtls_exports_t *exports, mtls_decision_t *decision)
{
    if (decision->reason == MTLS_OK && exports && exports->ambiguous)
        decision->reason = MTLS_USER_AMBIGUOUS;
}

/* What goes with a judgement that is new. */
static void complete(apr_pool_t *p, mtls_peer_t *peer, const mtls_merged_t *merged,
                     const mtls_judged_t *before, mtls_judged_t *judged)
{
    if (peer && is_identity(&judged->evidence) &&
        (merged->decided_per_request || judged->decision.reason == MTLS_OK)) {
        judged->exports =
            before && has_exports(before) && same_evidence(&before->evidence, &judged->evidence)
                ? before->exports
                : mtls_exports_make(p, peer, merged, &judged->evidence, judged->now);
    }
    name_or_refuse(judged->exports, &judged->decision);
    if (merged->decided_per_request || !peer)
        return;
    if (p == peer->p)
        keep_variables(peer, judged);
    else if (judged->decision.reason == MTLS_OK)
        judged->variables = allowed_variables(p, judged);
}

/* Judge all policies over the evidence in `judged`, which lives as long as the request. A slot
 * keeps the judgement it has where nothing has changed, so that asking again and again costs no
 * memory. */
static void evaluate(apr_pool_t *p, mtls_ocsp_round_t *round, const mtls_merged_t *merged,
                     mtls_judged_t *judged, mtls_slot_t *slot)
{
    mtls_judged_t *before = slot->judged;
    request_rec *r = round->r;
    mtls_judged_t *kept;

    round->now = judged->now;
    if (round->peer)
        gather(round->peer, r, merged, judged->now, slot->evidences);
    judge_policies(merged, round, slot);
    if (!merged->decided_per_request) {
        /* Nothing of this lives on with the slot but pointers into the configuration. */
        decide(r->pool, merged, static_results(r->pool, merged, slot->verdicts), &judged->decision);
    }
    judged->evidence = slot->evidences[judged->decision.which];
    judged->until = slot->valid_until;
    if (before && same_evidence(&before->evidence, &judged->evidence))
        name_or_refuse(before->exports, &judged->decision);
    if (before && same_evidence(&before->evidence, &judged->evidence) &&
        same_decision(&before->decision, &judged->decision) &&
        (has_exports(before) || !before->exports)) {
        __atomic_store_n(&before->until, judged->until, __ATOMIC_RELAXED);
        return;
    }
    kept = apr_pmemdup(p, judged, sizeof(*judged));
    if (round->peer && p == round->peer->p) /* a status can come and go all day */
        round->peer->kept_exports += sizeof(*kept) + sizeof(mtls_exports_t);
    complete(p, round->peer, merged, before, kept);
    slot->judged = kept;
}

static mtls_slot_t *make_slot(apr_pool_t *p, const mtls_merged_t *merged)
{
    mtls_slot_t *slot = apr_pcalloc(p, sizeof(*slot));

    slot->verdicts = apr_pcalloc(p, sizeof(*slot->verdicts) * (apr_size_t)(merged->total + 1));
    slot->evidences = apr_pcalloc(p, sizeof(*slot->evidences) * (apr_size_t)(merged->total + 1));
    return slot;
}

/* The slot of a merged policy; the table grows to the ordinals that occur. */
static mtls_slot_t *slot_of(mtls_peer_t *peer, const mtls_merged_t *merged)
{
    int ordinal = merged->ordinal;

    if (ordinal >= peer->slot_count) {
        int count = peer->slot_count ? peer->slot_count : 8;
        struct mtls_slot_t **slots;
        while (count <= ordinal)
            count *= 2;
        slots = apr_pcalloc(peer->p, sizeof(*slots) * (apr_size_t)count);
        if (peer->slot_count)
            memcpy(slots, peer->slots, sizeof(*slots) * (apr_size_t)peer->slot_count);
        peer->slots = slots;
        peer->slot_count = count;
    }
    if (!peer->slots[ordinal])
        peer->slots[ordinal] = make_slot(peer->p, merged);
    return peer->slots[ordinal];
}

/* A trust store was replaced after it had verified the chain, and before that was exported. */
static int misses_chain(const mtls_slot_t *slot)
{
    return slot->judged->exports && slot->judged->exports->incomplete;
}

/* Everything anew. */
static const mtls_slot_t *renew(mtls_ocsp_round_t *round, const mtls_merged_t *merged)
{
    mtls_peer_t *peer = round->peer;
    request_rec *r = round->r;
    int kept = merged->ordinal != MTLS_UNSET && peer->kept_exports < MTLS_MAX_KEPT_EXPORTS;
    apr_pool_t *p = kept ? peer->p : r->pool;
    mtls_slot_t *slot = kept ? slot_of(peer, merged) : make_slot(p, merged);
    mtls_judged_t *judged = make_judged(r->pool, apr_time_now());
    const mtls_exports_t *before = slot->judged ? slot->judged->exports : NULL;

    slot->vhost = mtls_server_of(r->server)->vhost;
    do {
        slot->valid_until = 0;
        slot->from = judged->now;
        slot->generation = mtls_reload_now(); /* before anything is looked at */
        evaluate(p, round, merged, judged, slot);
    } while (misses_chain(slot) && slot->generation != mtls_reload_now());
    if (kept && slot->judged->exports && slot->judged->exports != before)
        peer->kept_exports += slot->judged->exports->bytes;
    return slot;
}

/* Whether a moment is still to come. The clock is only asked near it: a request is read in less
 * than the margin, and asking costs more than the rest of a remembered verdict. */
static int is_ahead(const request_rec *r, apr_time_t moment)
{
    return (r->request_time && r->request_time < moment - MTLS_CLOCK_MARGIN) ||
           apr_time_now() < moment;
}

/* Whether the clock has been set back since then: moments to come mean nothing any more. */
static int was_set_back(const request_rec *r, apr_time_t since)
{
    return r->request_time && r->request_time < since - MTLS_CLOCK_MARGIN;
}

/* One look, one comparison of times. NULL: nothing that still holds. Under the peer's lock. */
static const mtls_slot_t *remembered(mtls_peer_t *peer, request_rec *r, const mtls_merged_t *merged)
{
    mtls_slot_t *slot = NULL;

    if (merged->ordinal >= 0 && merged->ordinal < peer->slot_count)
        slot = peer->slots[merged->ordinal];
    if (slot && slot->vhost == mtls_server_of(r->server)->vhost &&
        slot->generation == mtls_reload_now() && !was_set_back(r, slot->from) &&
        is_ahead(r, slot->valid_until))
        return slot;
    return NULL;
}

/* The same, or everything anew: what another stream has found out meanwhile will do. */
static const mtls_slot_t *look_up(mtls_ocsp_round_t *round, const mtls_merged_t *merged)
{
    const mtls_slot_t *slot = remembered(round->peer, round->r, merged);

    return slot ? slot : renew(round, merged);
}

/* Where the policy that decided believes another store than the one remembered, the identity is as
 * that store proved it. */
static void take_deciding_evidence(request_rec *r, const mtls_merged_t *merged,
                                   const mtls_evidence_t *evidence, mtls_judged_t *judged)
{
    if (same_evidence(&judged->evidence, evidence))
        return;
    judged->evidence = *evidence;
    judged->exports = mtls_verdict_exports(r, merged, judged);
}

/* What a request alone can say - expressions, alternatives, reports - over what its connection
 * remembers. Outside the lock: an expression may take long. */
static const mtls_judged_t *finish(request_rec *r, const mtls_merged_t *merged,
                                   const mtls_slot_t *slot, mtls_judged_t *judged)
{
    mtls_result_t *results =
        apr_pcalloc(r->pool, sizeof(*results) * (apr_size_t)(merged->total + 1));
    int i;

    for (i = 0; i < merged->total; i++) {
        mtls_expr_baton_t baton = {r, &slot->evidences[i]};
        mtls_judge_t judge = {
            .now = apr_time_now(), .eval_expr = mtls_expr_eval_rule, .baton = &baton};
        mtls_policy_finish(merged->policies[i], &slot->evidences[i], &judge, &slot->verdicts[i],
                           &results[i]);
    }
    decide(r->pool, merged, results, &judged->decision);
    report(r->pool, merged, results, judged);
    take_deciding_evidence(r, merged, &slot->evidences[judged->decision.which], judged);
    name_or_refuse(judged->exports, &judged->decision);
    if (judged->decision.reason == MTLS_OK)
        judged->variables = allowed_variables(r->pool, judged);
    return judged;
}

/* Plain HTTP: the same judgement over no evidence. */
static const mtls_judged_t *judge_nobody(request_rec *r, const mtls_merged_t *merged)
{
    mtls_slot_t *slot = make_slot(r->pool, merged);
    mtls_ocsp_round_t round = {.r = r};

    evaluate(r->pool, &round, merged, make_judged(r->pool, apr_time_now()), slot);
    return merged->decided_per_request ? finish(r, merged, slot, slot->judged) : slot->judged;
}

/* What the connection knows, or finds out now, copied into `copy` where a request has its say
 * (NULL: it has none). */
static mtls_judged_t *judge_once(mtls_ocsp_round_t *round, const mtls_merged_t *merged,
                                 mtls_slot_t *copy)
{
    apr_size_t n = (apr_size_t)merged->total;
    const mtls_slot_t *slot;
    mtls_judged_t *judged;

    mtls_peer_enter(round->peer, round->r);
    slot = look_up(round, merged);
    judged = slot->judged;
    if (copy) {
        memcpy(copy->verdicts, slot->verdicts, sizeof(*copy->verdicts) * n);
        memcpy(copy->evidences, slot->evidences, sizeof(*copy->evidences) * n);
        judged = apr_pmemdup(round->r->pool, judged, sizeof(*judged));
    }
    mtls_peer_leave(round->peer, round->r);
    return judged;
}

/* A status that nobody has yet may be worth waiting for, and then all is judged once more. */
static const mtls_judged_t *judge_anew(mtls_peer_t *peer, request_rec *r,
                                       const mtls_merged_t *merged)
{
    mtls_slot_t *copy = merged->decided_per_request ? make_slot(r->pool, merged) : NULL;
    mtls_ocsp_round_t round = {.r = r, .peer = peer};
    mtls_judged_t *judged = judge_once(&round, merged, copy);

    if (mtls_ocsp_wait(&round))
        judged = judge_once(&round, merged, copy);
    return copy ? finish(r, merged, copy, judged) : judged;
}

const mtls_judged_t *mtls_verdict_judge(request_rec *r, const mtls_merged_t *merged)
{
    mtls_peer_t *peer = mtls_peer_of(r);
    const mtls_judged_t *judged;
    const mtls_slot_t *slot;

    if (!peer)
        return judge_nobody(r, merged);
    if (merged->decided_per_request)
        return judge_anew(peer, r, merged);
    mtls_peer_enter(peer, r);
    slot = remembered(peer, r, merged);
    judged = slot ? slot->judged : NULL;
    mtls_peer_leave(peer, r);
    return judged ? judged : judge_anew(peer, r, merged);
}
