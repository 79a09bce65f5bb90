/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/span and policy/reason. */

#include "suite.h"

#include "policy/facts.h"

static void span_compares_bytes_and_length(void **state)
{
    (void)state;
    assert_true(mtls_span_equal(mtls_span("a\0b", 3), mtls_span("a\0b", 3)));
    assert_false(mtls_span_equal(mtls_span("a\0b", 3), mtls_span("a\0c", 3)));
    assert_false(mtls_span_equal(mtls_span("admin\0.evil", 11), mtls_span_of("admin")));
    assert_false(mtls_span_equal(mtls_span_of("admin"), mtls_span_of("admin ")));
    assert_true(mtls_span_equal(mtls_span(NULL, 0), mtls_span_of("")));
}

static void span_head_and_tail_need_their_whole_length(void **state)
{
    (void)state;
    assert_true(mtls_span_starts(mtls_span_of("abc"), mtls_span_of("ab")));
    assert_false(mtls_span_starts(mtls_span_of("a"), mtls_span_of("ab")));
    assert_true(mtls_span_ends(mtls_span_of("abc"), mtls_span_of("bc")));
    assert_false(mtls_span_ends(mtls_span_of("c"), mtls_span_of("bc")));
    assert_true(mtls_span_ends(mtls_span_of("abc"), mtls_span_of("")));
}

static void span_copy_is_ended_by_a_nul_behind_its_length(void **state)
{
    char from[] = {'x', 'y'};
    mtls_span_t copy = mtls_span_copy(pool, mtls_span(from, 2));

    (void)state;
    from[0] = 'z';
    assert_span_text(copy, "xy");
    assert_string_equal(copy.data, "xy");
    assert_int_equal(mtls_span_copy(pool, mtls_span(NULL, 0)).len, 0);
}

static void ascii_lower_touches_only_ascii_letters(void **state)
{
    int c;

    (void)state;
    for (c = -128; c < 128; c++) {
        char expected = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_int_equal(mtls_ascii_lower((char)c), expected);
    }
    assert_false(mtls_ascii_alnum('_'));
    assert_false(mtls_ascii_alnum((char)0xe9));
}

/* ---- reasons ---- */

static const struct {
    const char *name; /* the token */
    mtls_reason_t reason;
    mtls_outcome_t outcome;
    int closes;
} reasons[] = {
    {"internal_error", MTLS_INTERNAL_ERROR, MTLS_OUTCOME_FAULT, 0},
    {"ok", MTLS_OK, MTLS_OUTCOME_ALLOW, 0},
    {"no_tls", MTLS_NO_TLS, MTLS_OUTCOME_DENY, 0},
    {"no_certificate", MTLS_NO_CERTIFICATE, MTLS_OUTCOME_DENY, 0},
    {"certificate_malformed", MTLS_CERTIFICATE_MALFORMED, MTLS_OUTCOME_DENY, 0},
    {"chain_untrusted", MTLS_CHAIN_UNTRUSTED, MTLS_OUTCOME_DENY, 0},
    {"chain_incomplete", MTLS_CHAIN_INCOMPLETE, MTLS_OUTCOME_DENY, 0},
    {"chain_invalid", MTLS_CHAIN_INVALID, MTLS_OUTCOME_DENY, 0},
    {"chain_weak", MTLS_CHAIN_WEAK, MTLS_OUTCOME_DENY, 0},
    {"expired", MTLS_EXPIRED, MTLS_OUTCOME_DENY, 1},
    {"not_yet_valid", MTLS_NOT_YET_VALID, MTLS_OUTCOME_DENY, 0},
    {"purpose_mismatch", MTLS_PURPOSE_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"revoked_crl", MTLS_REVOKED_CRL, MTLS_OUTCOME_DENY, 1},
    {"crl_unavailable", MTLS_CRL_UNAVAILABLE, MTLS_OUTCOME_UNAVAILABLE, 0},
    {"subject_mismatch", MTLS_SUBJECT_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"subject_ambiguous", MTLS_SUBJECT_AMBIGUOUS, MTLS_OUTCOME_DENY, 0},
    {"issuer_mismatch", MTLS_ISSUER_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"pin_mismatch", MTLS_PIN_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"trust_mismatch", MTLS_TRUST_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"san_mismatch", MTLS_SAN_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"spiffe_invalid", MTLS_SPIFFE_INVALID, MTLS_OUTCOME_DENY, 0},
    {"spiffe_mismatch", MTLS_SPIFFE_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"serial_mismatch", MTLS_SERIAL_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"fingerprint_mismatch", MTLS_FINGERPRINT_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"eku_mismatch", MTLS_EKU_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"policy_oid_mismatch", MTLS_POLICY_OID_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"extension_mismatch", MTLS_EXTENSION_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"key_mismatch", MTLS_KEY_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"lifetime_mismatch", MTLS_LIFETIME_MISMATCH, MTLS_OUTCOME_DENY, 0},
    {"excluded", MTLS_EXCLUDED, MTLS_OUTCOME_DENY, 0},
    {"none_matched", MTLS_NONE_MATCHED, MTLS_OUTCOME_DENY, 0},
    {"expr_false", MTLS_EXPR_FALSE, MTLS_OUTCOME_DENY, 0},
    {"match_limit", MTLS_MATCH_LIMIT, MTLS_OUTCOME_DENY, 0},
    {"ocsp_revoked", MTLS_OCSP_REVOKED, MTLS_OUTCOME_DENY, 1},
    {"ocsp_unknown", MTLS_OCSP_UNKNOWN, MTLS_OUTCOME_DENY, 0},
    {"ocsp_no_responder", MTLS_OCSP_NO_RESPONDER, MTLS_OUTCOME_DENY, 0},
    {"ocsp_unavailable", MTLS_OCSP_UNAVAILABLE, MTLS_OUTCOME_UNAVAILABLE, 0},
    {"user_ambiguous", MTLS_USER_AMBIGUOUS, MTLS_OUTCOME_DENY, 0},
};

static void reason_row(void **state)
{
    size_t i = (size_t)((const char *)*state - (const char *)reasons) / sizeof(reasons[0]);

    assert_string_equal(mtls_reason_token(reasons[i].reason), reasons[i].name);
    assert_int_equal(mtls_reason_outcome(reasons[i].reason), reasons[i].outcome);
    assert_int_equal(mtls_reason_closes(reasons[i].reason), reasons[i].closes);
}

static void every_reason_has_a_row_and_a_token_of_its_own(void **state)
{
    int i, j;

    (void)state;
    assert_int_equal(ROWS(reasons), MTLS_REASON_COUNT);
    for (i = 0; i < MTLS_REASON_COUNT; i++) {
        for (j = 0; j < i; j++)
            assert_string_not_equal(mtls_reason_token((mtls_reason_t)i),
                                    mtls_reason_token((mtls_reason_t)j));
    }
}

static void zeroed_and_unknown_reasons_are_faults(void **state)
{
    static const int odd[] = {0, -1, MTLS_REASON_COUNT, 4711};
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(odd); i++) {
        assert_string_equal(mtls_reason_token((mtls_reason_t)odd[i]), "internal_error");
        assert_int_equal(mtls_reason_outcome((mtls_reason_t)odd[i]), MTLS_OUTCOME_FAULT);
        assert_int_equal(mtls_reason_closes((mtls_reason_t)odd[i]), 0);
    }
}

static void only_ok_allows(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < MTLS_REASON_COUNT; i++)
        assert_int_equal(mtls_reason_outcome((mtls_reason_t)i) == MTLS_OUTCOME_ALLOW, i == MTLS_OK);
}

int main(void)
{
    SUITE_CASE(span_compares_bytes_and_length);
    SUITE_CASE(span_head_and_tail_need_their_whole_length);
    SUITE_CASE(span_copy_is_ended_by_a_nul_behind_its_length);
    SUITE_CASE(ascii_lower_touches_only_ascii_letters);
    SUITE_TABLE(reason_row, reasons);
    SUITE_CASE(every_reason_has_a_row_and_a_token_of_its_own);
    SUITE_CASE(zeroed_and_unknown_reasons_are_faults);
    SUITE_CASE(only_ok_allows);
    return suite_run("basics", 41);
}
