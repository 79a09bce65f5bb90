/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* One pattern of a rule against one value of a certificate. */

#ifndef MTLS_POLICY_MATCHER_H
#define MTLS_POLICY_MATCHER_H

#include "policy/parse_env.h"
#include "policy/value_list.h"

typedef struct mtls_matcher_t mtls_matcher_t;

typedef enum mtls_match_t {
    MTLS_MATCHED_UNKNOWN = 0, /* gave up: neither yes nor no, and never taken for either */
    MTLS_MATCHED_NO,
    MTLS_MATCHED_YES
} mtls_match_t;

/* What the values are, whether a list of none may take the place of one that had some, and whose
 * certificates are looked at: an exact host name also stands for the wildcard entries of a server's
 * certificate that are for it, and of a client's only for itself. */
typedef struct mtls_matcher_spec_t {
    mtls_kind_t kind;
    int may_become_empty;
    mtls_purpose_t purpose;
} mtls_matcher_spec_t;

/* Parse one VALUE (exact, or eqi: prefix: suffix: glob: regex: file: patterns: eq:). `empty` is set
 * to 1 when it is a list without values. `text` must live as long as env->p. NULL or what is wrong,
 * in env->p. */
const char *mtls_matcher_parse(mtls_parse_env_t *env, mtls_matcher_spec_t spec, const char *text,
                               mtls_matcher_t **matcher, int *empty);

/* `value` as it stands in the certificate's facts, folded (mtls_value_fold). `steps` is the budget
 * for patterns that take long (MTLS_PATTERN_BUDGET), and shrinks. Thread-safe. */
mtls_match_t mtls_matcher_test(const mtls_matcher_t *matcher, mtls_span_t value, int *steps);

/* Whether values are tried against a regular expression or a glob. */
int mtls_matcher_is_pattern(const mtls_matcher_t *matcher);

/* Whether `value`, a canonical name, is what the pattern says when read the other way round. */
int mtls_matcher_is_reversed(const mtls_matcher_t *matcher, mtls_span_t value);

#endif
