/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A policy: rules in order, judged against the evidence. The only place that grants. */

#ifndef MTLS_POLICY_POLICY_H
#define MTLS_POLICY_POLICY_H

#include "policy/rule.h"

struct mtls_trust_t;

/* How much a policy asks of the OCSP status (MTLSOCSP). */
typedef enum mtls_demand_t {
    MTLS_DEMAND_UNSET = 0, /* not said: nothing is asked */
    MTLS_DEMAND_OFF,
    MTLS_DEMAND_PREFER, /* only a proven revocation refuses */
    MTLS_DEMAND_REQUIRE /* only a proven good status allows */
} mtls_demand_t;

typedef struct mtls_ocsp_demand_t {
    mtls_demand_t level;
    int chain; /* of every certificate below the anchor, not the leaf's alone */
} mtls_ocsp_demand_t;

/* Whether any status is asked for; a level outside the table asks. */
static inline int mtls_policy_asks(const mtls_ocsp_demand_t *demand)
{
    return demand->level != MTLS_DEMAND_UNSET && demand->level != MTLS_DEMAND_OFF;
}

typedef struct mtls_policy_t {
    const char *name;                 /* NULL: what sections say directly */
    const struct mtls_trust_t *trust; /* whose anchors count, for the layers above; NULL: the
                                         virtual host's */
    apr_array_header_t *rules;        /* const mtls_rule_t *, in the order of configuration */
    mtls_ocsp_demand_t ocsp;
    int depends_on_request;
} mtls_policy_t;

/* What the rules that do not depend on the request said, for a connection to remember. Zeroed, it
 * is a refusal. */
typedef struct mtls_verdict_t {
    mtls_result_t result;
    int failed_at;        /* index of the rule that refused, or the number of rules */
    mtls_status_t status; /* MTLS_STATUS_NOT_ASKED unless everything before the status held */
} mtls_verdict_t;

mtls_policy_t *mtls_policy_make(apr_pool_t *p, const char *name);
void mtls_policy_add(mtls_policy_t *policy, const mtls_rule_t *rule);

/* Judge everything but the rules that depend on the request. Thread-safe; allocates nothing.
 * With judge->server_name the certificate must be for that name (mtls_server_name_matches), unless
 * rules say whose it is (mtls_policy_names_peer); MTLS_SAN_MISMATCH without a rule otherwise. */
void mtls_policy_judge(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                       const mtls_judge_t *judge, mtls_verdict_t *verdict);

/* The final result for one request: `verdict` is what mtls_policy_judge said, not older than its
 * valid_until. Only for policies that depend on the request does this do any work. */
void mtls_policy_finish(const mtls_policy_t *policy, const mtls_evidence_t *evidence,
                        const mtls_judge_t *judge, const mtls_verdict_t *verdict,
                        mtls_result_t *result);

/* Whether a rule ties certificates to one of several anchors. */
int mtls_policy_binds_issuer(const mtls_policy_t *policy);

/* Whether a rule says whose certificate it is, so that no other name need be compared. */
int mtls_policy_names_peer(const mtls_policy_t *policy);

#endif
