/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* One rule: `[not] ATTRIBUTE VALUE ...`, or a group of rules. Parsed once, immutable then. */

#ifndef MTLS_POLICY_RULE_H
#define MTLS_POLICY_RULE_H

#include "policy/attribute.h"
#include "policy/parse_env.h"

typedef enum mtls_rule_kind_t {
    MTLS_RULE_NONE = 0,
    MTLS_RULE_ONE,
    MTLS_RULE_ANY,
    MTLS_RULE_ALL
} mtls_rule_kind_t;

typedef struct mtls_rule_t mtls_rule_t;

/* Evaluate a compiled httpd expression: 1, 0, or -1 for an error. */
typedef int (*mtls_expr_fn)(void *baton, const void *expr);

/* The OCSP status of the evidence's leaf, with `chain` of its whole chain; `valid_until` gets how
 * long that holds, `hint` static text for the log or NULL. */
typedef mtls_status_t (*mtls_status_fn)(void *baton, const mtls_evidence_t *evidence, int chain,
                                        apr_time_t *valid_until, const char **hint);

/* What judging needs beside the evidence. */
typedef struct mtls_judge_t {
    apr_time_t now;
    mtls_expr_fn eval_expr;   /* NULL: an expression is a fault (MTLS_INTERNAL_ERROR) */
    mtls_status_fn status_of; /* NULL: no status is known */
    /* Of a server: what its certificate must be for, see mtls_policy_judge(). NULL: of a client. */
    const mtls_span_t *server_name;
    void *baton;
} mtls_judge_t;

/* The result of one rule. Zeroed, it is a refusal. */
typedef struct mtls_result_t {
    mtls_reason_t reason;
    const mtls_rule_t *rule; /* the rule that refused; the group for none_matched */
    apr_time_t valid_until;  /* until when time alone cannot change it */
    const char *hint;        /* static text for the log, or NULL */
    int steps;               /* what is left of MTLS_PATTERN_BUDGET */
} mtls_result_t;

/* Parse the arguments of MTLSRequire; of env->purpose depends what a host name stands for, and
 * whether there are expressions. NULL or what is wrong, in env->p. */
const char *mtls_rule_parse(mtls_parse_env_t *env, const char *text, mtls_rule_t **rule);

/* A group (MTLS_RULE_ANY or MTLS_RULE_ALL); then add its rules in order. */
mtls_rule_t *mtls_rule_group(mtls_parse_env_t *env, mtls_rule_kind_t kind);
void mtls_rule_group_add(mtls_rule_t *group, const mtls_rule_t *rule);
int mtls_rule_group_count(const mtls_rule_t *group);

/* Whether the answer can differ between two requests of one connection (it holds an expr). */
int mtls_rule_depends_on_request(const mtls_rule_t *rule);

/* Whether the rule ties the certificate to one of several anchors. */
int mtls_rule_binds_issuer(const mtls_rule_t *rule);

/* Whether the rule says whose certificate it is: by an alternative name, a SPIFFE ID, or the
 * certificate or key itself. */
int mtls_rule_names_peer(const mtls_rule_t *rule);

/* Call `fn` with the trust domain of every spiffe pattern, an empty one for a list (whose domains
 * are judged at run time); stops at the first error. */
const char *mtls_rule_spiffe_domains(const mtls_rule_t *rule,
                                     const char *(*fn)(void *baton, mtls_span_t domain),
                                     void *baton);

/* Call `fn` with every trust store the rule names; stops at the first error. */
const char *mtls_rule_trust_names(const mtls_rule_t *rule,
                                  const char *(*fn)(void *baton, const char *name), void *baton);

/* The rule as written, and where ("file:line"). */
const char *mtls_rule_text(const mtls_rule_t *rule);
const char *mtls_rule_where(const mtls_rule_t *rule);

/* Judge one rule. The evidence has facts and a verified chain. Thread-safe. */
void mtls_rule_test(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                    const mtls_judge_t *judge, mtls_result_t *result);

#endif
