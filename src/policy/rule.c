/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/rule.h"

#include "policy/limits.h"
#include "policy/matcher.h"
#include "policy/measure.h"
#include "policy/spiffe.h"

struct mtls_rule_t {
    mtls_rule_kind_t kind;
    const char *text;
    const char *where;
    int depends_on_request;
    /* MTLS_RULE_ONE */
    int negated;
    int has_pattern; /* a regular expression or a glob */
    mtls_attribute_t attribute;
    apr_array_header_t *matchers; /* mtls_matcher_t * */
    apr_array_header_t *measures; /* mtls_measure_t */
    apr_array_header_t *texts;    /* const char *: the values as written */
    const void *expr;
    /* groups */
    apr_array_header_t *rules; /* const mtls_rule_t * */
};

/* ---- parsing ---- */

/* Split as httpd does: blanks separate, ' or " quote, a backslash escapes itself and the quote.
 * Unlike httpd a quote must be closed. `*at` moves behind the word. */
static const char *next_word(apr_pool_t *p, const char **at, char **word)
{
    const char *in = *at;
    char *out;
    char quote = '\0';

    *word = NULL;
    while (*in == ' ' || *in == '\t')
        in++;
    if (!*in)
        return NULL;
    *word = out = apr_palloc(p, strlen(in) + 1);
    if (*in == '"' || *in == '\'')
        quote = *in++;
    while (*in && (quote ? *in != quote : *in != ' ' && *in != '\t')) {
        if (*in == '\\' && (in[1] == '\\' || (quote && in[1] == quote)))
            in++;
        *out++ = *in++;
    }
    *out = '\0';
    if (quote && *in++ != quote)
        return apr_psprintf(p, "a quote (%c) is opened and never closed", quote);
    if (quote && *in && *in != ' ' && *in != '\t')
        return apr_psprintf(p, "a blank must follow the closing quote (%c)", quote);
    *at = in;
    return NULL;
}

static const char *parse_measure(mtls_parse_env_t *env, mtls_rule_t *rule, const char *text)
{
    mtls_measure_t *m = apr_array_push(rule->measures);

    if (rule->attribute.kind == MTLS_KIND_KEY)
        return mtls_measure_parse_key(env->p, text, m);
    return mtls_measure_parse_duration(env->p, text, m);
}

static const char *parse_value(mtls_parse_env_t *env, mtls_rule_t *rule, const char *text,
                               int *all_empty)
{
    mtls_matcher_spec_t spec = {rule->attribute.kind, rule->negated, env->purpose};
    mtls_matcher_t *matcher = NULL;
    const char *error;
    int empty = 0;

    APR_ARRAY_PUSH(rule->texts, const char *) = text;
    if (rule->attribute.kind == MTLS_KIND_KEY || rule->attribute.kind == MTLS_KIND_DURATION) {
        error = parse_measure(env, rule, text);
    } else {
        error = mtls_matcher_parse(env, spec, text, &matcher, &empty);
        APR_ARRAY_PUSH(rule->matchers, mtls_matcher_t *) = matcher;
        rule->has_pattern |= mtls_matcher_is_pattern(matcher);
    }
    *all_empty &= empty;
    return error ? apr_psprintf(env->p, "\"%s\": %s", text, error) : NULL;
}

/* A name that starts with its country or organisation and ends with its CN is the wrong way round.
 */
static void warn_of_reversed_name(mtls_parse_env_t *env, const mtls_rule_t *rule, const char *text)
{
    const char *last = strrchr(text, ',');

    if (rule->attribute.kind != MTLS_KIND_NAME || !last || !env->warn)
        return;
    last += 1 + strspn(last + 1, " ");
    if ((strncmp(text, "C=", 2) == 0 || strncmp(text, "DC=", 3) == 0 ||
         strncmp(text, "O=", 2) == 0) &&
        strncmp(last, "CN=", 3) == 0) {
        env->warn(env, apr_psprintf(env->p,
                                    "%s: \"%s\" looks reversed: RFC 4514 writes the CN first and "
                                    "the country last; as written it matches no usual certificate",
                                    rule->attribute.name, text));
    }
}

static void warn_of_comment(mtls_parse_env_t *env, const mtls_rule_t *rule, const char *text)
{
    if (strcmp(text, "#") == 0 && env->warn) {
        env->warn(env, apr_psprintf(env->p,
                                    "%s: \"#\" and what follows are values: a line has no "
                                    "comment at its end",
                                    rule->attribute.name));
    }
}

static const char *parse_values(mtls_parse_env_t *env, mtls_rule_t *rule, const char *at)
{
    const char *error;
    char *word;
    int all_empty = 1;

    while ((error = next_word(env->p, &at, &word)) == NULL && word) {
        if ((error = parse_value(env, rule, word, &all_empty)) != NULL)
            return error;
        warn_of_reversed_name(env, rule, word);
        warn_of_comment(env, rule, word);
    }
    if (error)
        return error;
    if (rule->texts->nelts == 0)
        return apr_psprintf(env->p, "%s needs at least one value", rule->attribute.name);
    if (all_empty && !rule->negated)
        return apr_psprintf(env->p, "%s \"%s\": the list is empty, nothing could ever match",
                            rule->attribute.name, APR_ARRAY_IDX(rule->texts, 0, const char *));
    return NULL;
}

static const char *parse_expr(mtls_parse_env_t *env, mtls_rule_t *rule, const char *at)
{
    at += strspn(at, " \t");
    if (!*at)
        return "expr needs an expression";
    if (env->purpose != MTLS_PURPOSE_CLIENT)
        return "expr is about one request, and a connection to a backend serves many";
    if (!env->compile_expr)
        return "expressions cannot be used here";
    rule->depends_on_request = 1;
    return env->compile_expr(env, at, &rule->expr);
}

static const char *parse_attribute(mtls_parse_env_t *env, mtls_rule_t *rule, const char **at)
{
    const char *error;
    char *word;

    if ((error = next_word(env->p, at, &word)) != NULL)
        return error;
    if (word && strcmp(word, "not") == 0) {
        rule->negated = 1;
        if ((error = next_word(env->p, at, &word)) != NULL)
            return error;
    }
    if (!word)
        return "an attribute and a value are missing";
    if ((error = mtls_attribute_parse(env->p, word, env->oid_of, &rule->attribute)) != NULL)
        return error;
    if (rule->negated && rule->attribute.source == MTLS_SOURCE_SHA256)
        return "\"not sha256\" protects nothing: a signature can be encoded anew. Exclude by spki, "
               "or by issuer and serial";
    return NULL;
}

const char *mtls_rule_parse(mtls_parse_env_t *env, const char *text, mtls_rule_t **out)
{
    mtls_rule_t *rule = apr_pcalloc(env->p, sizeof(*rule));
    const char *error, *at = text;

    *out = rule;
    if (strlen(text) > MTLS_MAX_RULE_BYTES)
        return apr_psprintf(env->p, "a rule is at most %d bytes long; put the values into a file:",
                            MTLS_MAX_RULE_BYTES);
    rule->kind = MTLS_RULE_ONE;
    rule->text = apr_pstrdup(env->p, text);
    rule->where = env->where;
    rule->matchers = apr_array_make(env->p, 2, sizeof(mtls_matcher_t *));
    rule->measures = apr_array_make(env->p, 1, sizeof(mtls_measure_t));
    rule->texts = apr_array_make(env->p, 2, sizeof(const char *));
    if ((error = parse_attribute(env, rule, &at)) != NULL)
        return error;
    if (rule->attribute.kind == MTLS_KIND_EXPR)
        return parse_expr(env, rule, at);
    return parse_values(env, rule, at);
}

mtls_rule_t *mtls_rule_group(mtls_parse_env_t *env, mtls_rule_kind_t kind)
{
    mtls_rule_t *group = apr_pcalloc(env->p, sizeof(*group));

    group->kind = kind;
    group->text = kind == MTLS_RULE_ANY ? "<MTLSRequireAny>" : "<MTLSRequireAll>";
    group->where = env->where;
    group->rules = apr_array_make(env->p, 4, sizeof(const mtls_rule_t *));
    return group;
}

void mtls_rule_group_add(mtls_rule_t *group, const mtls_rule_t *rule)
{
    APR_ARRAY_PUSH(group->rules, const mtls_rule_t *) = rule;
    group->depends_on_request |= rule->depends_on_request;
}

int mtls_rule_group_count(const mtls_rule_t *group)
{
    return group->rules->nelts;
}

static const mtls_rule_t *child(const mtls_rule_t *group, int i)
{
    return APR_ARRAY_IDX(group->rules, i, const mtls_rule_t *);
}

/* ---- what configuration checks ask ---- */

int mtls_rule_depends_on_request(const mtls_rule_t *rule)
{
    return rule->depends_on_request;
}

const char *mtls_rule_text(const mtls_rule_t *rule)
{
    return rule->text;
}

const char *mtls_rule_where(const mtls_rule_t *rule)
{
    return rule->where;
}

static int binds(const mtls_attribute_t *attribute)
{
    return attribute->mismatch == MTLS_ISSUER_MISMATCH ||
           attribute->mismatch == MTLS_PIN_MISMATCH || attribute->mismatch == MTLS_TRUST_MISMATCH ||
           attribute->source == MTLS_SOURCE_SPIFFE || attribute->source == MTLS_SOURCE_SHA256;
}

int mtls_rule_binds_issuer(const mtls_rule_t *rule)
{
    int i, bound = 0;

    if (rule->kind == MTLS_RULE_ONE)
        return !rule->negated && binds(&rule->attribute);
    for (i = 0; i < rule->rules->nelts; i++)
        bound += mtls_rule_binds_issuer(child(rule, i));
    return rule->kind == MTLS_RULE_ALL ? bound > 0 : bound == rule->rules->nelts;
}

static int names(const mtls_attribute_t *attribute)
{
    return attribute->mismatch == MTLS_SAN_MISMATCH || attribute->source == MTLS_SOURCE_SPIFFE ||
           attribute->source == MTLS_SOURCE_SHA256 || attribute->source == MTLS_SOURCE_SPKI;
}

int mtls_rule_names_peer(const mtls_rule_t *rule)
{
    int i, naming = 0;

    if (rule->kind == MTLS_RULE_ONE)
        return !rule->negated && names(&rule->attribute);
    for (i = 0; i < rule->rules->nelts; i++)
        naming += mtls_rule_names_peer(child(rule, i));
    return naming > 0 && (rule->kind == MTLS_RULE_ALL || naming == rule->rules->nelts);
}

/* The i-th value as written, without the "eq:" that only says how to read it. */
static const char *exact_text(const mtls_rule_t *rule, int i)
{
    const char *text = APR_ARRAY_IDX(rule->texts, i, const char *);

    return strncmp(text, "eq:", 3) == 0 ? text + 3 : text;
}

const char *mtls_rule_spiffe_domains(const mtls_rule_t *rule,
                                     const char *(*fn)(void *baton, mtls_span_t domain),
                                     void *baton)
{
    const char *error = NULL;
    mtls_span_t domain = {"", 0};
    int i;

    if (rule->kind != MTLS_RULE_ONE) {
        for (i = 0; i < rule->rules->nelts && !error; i++)
            error = mtls_rule_spiffe_domains(child(rule, i), fn, baton);
        return error;
    }
    if (rule->attribute.source != MTLS_SOURCE_SPIFFE)
        return NULL;
    for (i = 0; i < rule->texts->nelts && !error; i++) {
        if (mtls_spiffe_parse(mtls_span_of(exact_text(rule, i)), 1, &domain) != NULL)
            domain.len = 0;
        error = fn(baton, domain);
    }
    return error;
}

const char *mtls_rule_trust_names(const mtls_rule_t *rule,
                                  const char *(*fn)(void *baton, const char *name), void *baton)
{
    const char *error = NULL;
    int i;

    if (rule->kind != MTLS_RULE_ONE) {
        for (i = 0; i < rule->rules->nelts && !error; i++)
            error = mtls_rule_trust_names(child(rule, i), fn, baton);
        return error;
    }
    for (i = 0; rule->attribute.source == MTLS_SOURCE_TRUST && i < rule->texts->nelts && !error;
         i++)
        error = fn(baton, exact_text(rule, i));
    return error;
}

/* ---- judging ---- */

static void refuse(mtls_result_t *result, mtls_reason_t reason, const mtls_rule_t *rule)
{
    result->reason = reason;
    result->rule = rule;
    result->hint = NULL;
}

static void satisfied(mtls_result_t *result)
{
    result->reason = MTLS_OK;
    result->rule = NULL;
    result->hint = NULL;
}

static void hold_until(mtls_result_t *result, apr_time_t until)
{
    if (until < result->valid_until)
        result->valid_until = until;
}

/* Whether a value matches one of the alternatives. */
static mtls_match_t match_value(const mtls_rule_t *rule, mtls_span_t value, int *steps)
{
    mtls_match_t found = MTLS_MATCHED_NO;
    int i;

    for (i = 0; i < rule->matchers->nelts; i++) {
        switch (
            mtls_matcher_test(APR_ARRAY_IDX(rule->matchers, i, mtls_matcher_t *), value, steps)) {
        case MTLS_MATCHED_YES:
            return MTLS_MATCHED_YES;
        case MTLS_MATCHED_NO:
            break;
        default:
            found = MTLS_MATCHED_UNKNOWN;
        }
    }
    return found;
}

static mtls_match_t match_values(const mtls_rule_t *rule, const mtls_evidence_t *evidence, int n,
                                 int *steps)
{
    mtls_match_t found = MTLS_MATCHED_NO;
    int i;

    if (rule->has_pattern && n > MTLS_MAX_PATTERN_VALUES)
        return MTLS_MATCHED_UNKNOWN;
    for (i = 0; i < n; i++) {
        switch (match_value(rule, mtls_attribute_value(&rule->attribute, evidence, i, 1), steps)) {
        case MTLS_MATCHED_YES:
            return MTLS_MATCHED_YES;
        case MTLS_MATCHED_NO:
            break;
        default:
            found = MTLS_MATCHED_UNKNOWN;
        }
    }
    return found;
}

static int says_reverse(const mtls_rule_t *rule, const mtls_evidence_t *evidence)
{
    mtls_span_t name = mtls_attribute_value(&rule->attribute, evidence, 0, 1);
    int i;

    for (i = 0; i < rule->matchers->nelts; i++) {
        if (mtls_matcher_is_reversed(APR_ARRAY_IDX(rule->matchers, i, mtls_matcher_t *), name))
            return 1;
    }
    return 0;
}

/* The one place where a found match becomes an answer. An absent attribute (n == 0) satisfies no
 * rule and triggers no "not". */
static void conclude(const mtls_rule_t *rule, int n, mtls_match_t match, mtls_result_t *result)
{
    if (n > 0 && match != MTLS_MATCHED_YES && match != MTLS_MATCHED_NO)
        refuse(result, MTLS_MATCH_LIMIT, rule);
    else if (rule->negated && n > 0 && match == MTLS_MATCHED_YES)
        refuse(result, MTLS_EXCLUDED, rule);
    else if (!rule->negated && (n == 0 || match != MTLS_MATCHED_YES))
        refuse(result, rule->attribute.mismatch, rule);
    else
        satisfied(result);
}

static void test_values(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                        mtls_result_t *result)
{
    int n = mtls_attribute_count(&rule->attribute, evidence);

    if (n > 1 && !rule->attribute.may_repeat) {
        refuse(result, MTLS_SUBJECT_AMBIGUOUS, rule);
        return;
    }
    conclude(rule, n, match_values(rule, evidence, n, &result->steps), result);
    if (result->reason != MTLS_OK && n > 0 && rule->attribute.kind == MTLS_KIND_NAME &&
        says_reverse(rule, evidence))
        result->hint = "the certificate has this name in the reverse order";
}

static void test_spiffe(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                        mtls_result_t *result)
{
    mtls_span_t id = {"", 0}, domain = {"", 0};

    switch (mtls_spiffe_of(evidence->facts, &id, &domain)) {
    case MTLS_SVID_NONE:
        conclude(rule, 0, MTLS_MATCHED_NO, result);
        break;
    case MTLS_SVID_VALID:
        /* An ID of a domain these anchors may not vouch for is nobody's ID: it satisfies no rule,
         * and it is no way round a "not" either. */
        if (mtls_spiffe_domain_trusted(evidence->chain, domain)) {
            conclude(rule, 1, match_value(rule, id, &result->steps), result);
        } else {
            refuse(result, MTLS_SPIFFE_MISMATCH, rule);
            result->hint = "the trust domain is not in MTLSTrustDomain";
        }
        break;
    default:
        refuse(result, MTLS_SPIFFE_INVALID, rule);
    }
}

static void test_key(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                     mtls_result_t *result)
{
    int i, found = 0;

    for (i = 0; i < rule->measures->nelts; i++)
        found |= mtls_measure_key(&APR_ARRAY_IDX(rule->measures, i, mtls_measure_t),
                                  &evidence->facts->key);
    conclude(rule, 1, found ? MTLS_MATCHED_YES : MTLS_MATCHED_NO, result);
}

static void test_duration(const mtls_rule_t *rule, const mtls_evidence_t *evidence, apr_time_t now,
                          mtls_result_t *result)
{
    const mtls_facts_t *f = evidence->facts;
    int i, found = 0, remaining = rule->attribute.source == MTLS_SOURCE_REMAINING;
    apr_int64_t seconds = apr_time_sec(f->not_after - (remaining ? now : f->not_before));

    for (i = 0; i < rule->measures->nelts; i++) {
        const mtls_measure_t *m = &APR_ARRAY_IDX(rule->measures, i, mtls_measure_t);
        found |= mtls_measure_seconds(m, seconds);
        if (remaining)
            hold_until(result, mtls_measure_turns(m, f->not_after, now));
    }
    conclude(rule, 1, found ? MTLS_MATCHED_YES : MTLS_MATCHED_NO, result);
}

static void test_expr(const mtls_rule_t *rule, const mtls_judge_t *judge, mtls_result_t *result)
{
    int value = judge->eval_expr ? judge->eval_expr(judge->baton, rule->expr) : -1;

    if (value < 0)
        refuse(result, MTLS_INTERNAL_ERROR, rule);
    else
        conclude(rule, 1, value > 0 ? MTLS_MATCHED_YES : MTLS_MATCHED_NO, result);
}

static void test_one(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                     const mtls_judge_t *judge, mtls_result_t *result)
{
    switch (rule->attribute.kind) {
    case MTLS_KIND_EXPR:
        test_expr(rule, judge, result);
        break;
    case MTLS_KIND_SPIFFE:
        test_spiffe(rule, evidence, result);
        break;
    case MTLS_KIND_KEY:
        test_key(rule, evidence, result);
        break;
    case MTLS_KIND_DURATION:
        test_duration(rule, evidence, judge->now, result);
        break;
    default:
        test_values(rule, evidence, result);
    }
}

static void test_all(const mtls_rule_t *group, const mtls_evidence_t *evidence,
                     const mtls_judge_t *judge, mtls_result_t *result)
{
    int i;

    refuse(result, MTLS_INTERNAL_ERROR, group); /* an empty group proves nothing */
    for (i = 0; i < group->rules->nelts; i++) {
        mtls_rule_test(child(group, i), evidence, judge, result);
        if (result->reason != MTLS_OK)
            return;
    }
}

/* One line that holds is enough; a fault or a given-up match in the others is told only when none
 * does. */
static void test_any(const mtls_rule_t *group, const mtls_evidence_t *evidence,
                     const mtls_judge_t *judge, mtls_result_t *result)
{
    mtls_reason_t reason = MTLS_NONE_MATCHED;
    int i;

    for (i = 0; i < group->rules->nelts; i++) {
        mtls_rule_test(child(group, i), evidence, judge, result);
        if (result->reason == MTLS_OK)
            return;
        if (result->reason == MTLS_INTERNAL_ERROR || result->reason == MTLS_MATCH_LIMIT)
            reason = result->reason;
    }
    refuse(result, reason, group);
}

void mtls_rule_test(const mtls_rule_t *rule, const mtls_evidence_t *evidence,
                    const mtls_judge_t *judge, mtls_result_t *result)
{
    switch (rule->kind) {
    case MTLS_RULE_ONE:
        test_one(rule, evidence, judge, result);
        break;
    case MTLS_RULE_ALL:
        test_all(rule, evidence, judge, result);
        break;
    case MTLS_RULE_ANY:
        test_any(rule, evidence, judge, result);
        break;
    default:
        refuse(result, MTLS_INTERNAL_ERROR, rule);
    }
}
