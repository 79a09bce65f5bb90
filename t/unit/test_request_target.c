/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/request_target: paths that httpd and a backend may read differently. */

#include "suite.h"

#include "policy/request_target.h"

#define PARAMS   MTLS_TARGET_MAY_HAVE_PARAMS
#define UNMERGED MTLS_TARGET_UNMERGED
#define RAW      MTLS_TARGET_SENT_RAW

/* `flaw` NULL: fine. The name is the target. */
struct target_row {
    const char *target;
    int how;
    const char *flaw;
    size_t at;
};

static const struct target_row targets[] = {
    /* what is plain to everybody */
    {"/", 0, NULL, 0},
    {"", 0, NULL, 0},
    {"/admin", 0, NULL, 0},
    {"/admin/x/", 0, NULL, 0},
    {"/admin/x.html", 0, NULL, 0},
    {"/.well-known/acme", 0, NULL, 0},
    {"/..a/...b/.c", 0, NULL, 0},
    {"/a%20b/c+d", 0, NULL, 0},
    {"/a b/c", 0, NULL, 0},
    {"/100%25", 0, NULL, 0},
    {"/100%25/x", 0, NULL, 0},
    {"/50%25%20off", 0, NULL, 0},
    {"/%61dmin", 0, NULL, 0},
    {"/v1/x:batch", 0, NULL, 0},
    {"/$metadata/a@b,c=d&e!(f)'*~", 0, NULL, 0},
    {"/J%C3%BCrgen/J\xC3\xBCrgen", 0, NULL, 0},
    {"/%FCber", 0, NULL, 0},
    {"/%E0%A4%B9/%F0%9F%98%80", 0, NULL, 0},
    {"//admin", 0, NULL, 0},
    {"/x//admin//", 0, NULL, 0},
    /* the query is not ours to judge */
    {"/x?a=;/..;/%2f%5c\\#%00//", UNMERGED | RAW, NULL, 0},
    {"?a=;", 0, NULL, 0},
    /* parameters */
    {"/admin;a=1/x", 0, "parameter", 6},
    {"/;a=b/admin/x", 0, "parameter", 1},
    {"/x/..;/admin/x", 0, "parameter", 5},
    {"/admin;", 0, "parameter", 6},
    {"/admin%3ba=1", 0, "encoded_semicolon", 6},
    {"/x/..%3B/admin", PARAMS, "encoded_semicolon", 5},
    {"/admin;a=1/x;b", PARAMS, NULL, 0},
    {"/admin;jsessionid=1?x", PARAMS, NULL, 0},
    {"/admin;", PARAMS, NULL, 0},
    {"/a;b;c", PARAMS, NULL, 0},
    {"/;a=b/admin/x", PARAMS, "parameter", 1},
    {"/x/..;/admin", PARAMS, "parameter", 5},
    {"/x/.;a/admin", PARAMS, "parameter", 4},
    {"/x/%2e%2E;/admin", PARAMS, "parameter", 9},
    {"/x/.%2e;/admin", PARAMS, "parameter", 7},
    {"/x/...;/admin", PARAMS, "parameter", 6},
    {"/x/a.;/admin", PARAMS, "parameter", 5},
    {"/x/a%20;/admin", PARAMS, "parameter", 7},
    {"/a;b=.", PARAMS, "trailing_dot", 6},
    {"/a;../x", PARAMS, "trailing_dot", 5},
    {"/a;b%2fc", PARAMS, "encoded_slash", 4},
    /* slashes of other kinds */
    {"/admin%2fx", 0, "encoded_slash", 6},
    {"/x%2F..%2Fadmin", 0, "encoded_slash", 2},
    {"/admin\\x", 0, "backslash", 6},
    {"/\\admin", 0, "backslash", 1},
    {"/admin%5Cx", 0, "backslash", 6},
    {"/admin%5cx", PARAMS, "backslash", 6},
    /* delimiters */
    {"/admin%3F/x", 0, "encoded_delimiter", 6},
    {"/admin%23", 0, "encoded_delimiter", 6},
    {"/admin#x", 0, "fragment", 6},
    {"/admin#x?y", 0, "fragment", 6},
    /* encodings */
    {"/%2561dmin", 0, "double_encoding", 1},
    {"/%25%36%31dmin", 0, "double_encoding", 1},
    {"/%25%361dmin", 0, "double_encoding", 1},
    {"/a%252fb", 0, "double_encoding", 2},
    {"/a%25u002fb", 0, "double_encoding", 2},
    {"/a%25%55002fb", 0, "double_encoding", 2},
    {"/a%2525", 0, "double_encoding", 2},
    {"/a%", 0, "bad_encoding", 2},
    {"/a%4", 0, "bad_encoding", 2},
    {"/a%4?1", 0, "bad_encoding", 2},
    {"/a%u0061", 0, "bad_encoding", 2},
    {"/a%g1", 0, "bad_encoding", 2},
    {"/a%-1b", 0, "bad_encoding", 2},
    {"/%c0%afadmin", 0, "overlong", 1},
    {"/%C1%1Cadmin", 0, "overlong", 1},
    {"/\xC0\xAF"
     "admin",
     0, "overlong", 1},
    {"/%e0%80%af", 0, "overlong", 1},
    {"/%f0%80%80%af", 0, "overlong", 1},
    {"/%f8%80%80%80%af", 0, "overlong", 1},
    {"/%fc%80%80%80%80%af", 0, "overlong", 1},
    {"/J\xC3\xBCrgen", RAW, "non_ascii", 2},
    {"/J%C3%BCrgen", RAW, NULL, 0},
    /* controls */
    {"/x%00", 0, "control", 2},
    {"/x%0d%0aInjected:%201", 0, "control", 2},
    {"/x%0A", 0, "control", 2},
    {"/x%09", 0, "control", 2},
    {"/x%1f", 0, "control", 2},
    {"/x%7f", 0, "control", 2},
    {"/x\x7f", 0, "control", 2},
    {"/x\ty", 0, "control", 2},
    /* dots and spaces at an end */
    {"/./admin", 0, "dot_segment", 2},
    {"/x/../admin", 0, "dot_segment", 5},
    {"/x/%2e%2e/admin", 0, "dot_segment", 9},
    {"/x/.%2E/admin", 0, "dot_segment", 7},
    {"/x/..", 0, "dot_segment", 5},
    {"/x/.?y", 0, "dot_segment", 4},
    {"/admin.", 0, "trailing_dot", 7},
    {"/admin./x", 0, "trailing_dot", 7},
    {"/admin%2e/x", 0, "trailing_dot", 9},
    {"/x/.../admin", 0, "trailing_dot", 6},
    {"/admin%20", 0, "trailing_space", 9},
    {"/admin%20/x", 0, "trailing_space", 9},
    {"/admin /x", 0, "trailing_space", 7},
    {"/%20/x", 0, "trailing_space", 4},
    {"/admin. /x", 0, "trailing_space", 8},
    {"/admin::$INDEX_ALLOCATION/x", 0, "stream", 7},
    {"/x.php:%24DATA", 0, "stream", 6},
    {"/admin%3a%24i30", 0, "stream", 6},
    /* empty segments */
    {"//admin", UNMERGED, "empty_segment", 1},
    {"/x//admin", UNMERGED, "empty_segment", 3},
    {"/x//", UNMERGED, "empty_segment", 3},
    {"/x/", UNMERGED, NULL, 0},
    {"/", UNMERGED, NULL, 0},
    {"//admin", RAW, "empty_segment", 1},
    {"/x//admin", RAW, "empty_segment", 3},
    /* absolute-form: the authority is not the path */
    {"http://gateway.test/admin", 0, NULL, 0},
    {"https://gateway.test", UNMERGED, NULL, 0},
    {"https://gateway.test/", UNMERGED, NULL, 0},
    {"https://gateway.test?x=;", 0, NULL, 0},
    {"https://gateway.test./x", 0, NULL, 0},
    {"https://gateway.test/..;/admin", 0, "parameter", 23},
    {"https://gateway.test//admin", UNMERGED, "empty_segment", 21},
    {"https://gateway.test#x", 0, "fragment", 20},
    {"/http://x;y/z", 0, "parameter", 9},
    /* what is neither is judged from its first byte */
    {"*", 0, NULL, 0},
    {"x;y", 0, "parameter", 1},
    {"a b://x;/y", 0, "parameter", 7},
};

static void target_case(void **state)
{
    const struct target_row *row = *state;
    size_t len = strlen(row->target);
    char *exact = apr_pstrmemdup(pool, row->target, len);
    apr_size_t at = 12345;
    mtls_target_flaw_t flaw = mtls_target_judge(mtls_span(exact, len), row->how, &at);

    if (!row->flaw) {
        assert_int_equal(flaw, MTLS_TARGET_FINE);
        return;
    }
    assert_string_equal(mtls_target_token(flaw), row->flaw);
    assert_int_equal(at, row->at);
}

/* What one setting lets pass, a stricter one may refuse; never the other way round. */
static void settings_only_add(void **state)
{
    static const struct {
        int loose, strict;
    } pairs[] = {{PARAMS, 0}, {0, UNMERGED}, {0, RAW}, {UNMERGED, UNMERGED | RAW}};
    size_t i, k, refused = 0;
    apr_size_t at;

    (void)state;
    for (i = 0; i < ROWS(targets); i++) {
        mtls_span_t target = mtls_span_of(targets[i].target);
        for (k = 0; k < ROWS(pairs); k++) {
            if (mtls_target_judge(target, pairs[k].loose, &at) == MTLS_TARGET_FINE)
                continue;
            refused++;
            assert_int_not_equal(mtls_target_judge(target, pairs[k].strict, &at), MTLS_TARGET_FINE);
        }
    }
    assert_true(refused > 200);
}

/* Every byte, raw and encoded, in the middle of a segment: the refused ones are exactly these. */
static void every_byte(void **state)
{
    char text[16], refused_raw[257] = "", refused_encoded[800] = "";
    apr_size_t at;
    int c;

    (void)state;
    for (c = 1; c < 256; c++) {
        apr_snprintf(text, sizeof(text), "/a%cb", c);
        if (c >= 0x20 && c < 0x7f && c != '?' &&
            mtls_target_judge(mtls_span_of(text), 0, &at) != MTLS_TARGET_FINE)
            strcat(refused_raw, apr_pstrmemdup(pool, text + 2, 1));
        if ((c < 0x20 || c == 0x7f) &&
            mtls_target_judge(mtls_span_of(text), 0, &at) != MTLS_TARGET_CONTROL)
            fail_msg("a raw %02x passes", (unsigned)c);
    }
    for (c = 0; c < 256; c++) {
        apr_snprintf(text, sizeof(text), "/a%%%02Xb", (unsigned)c);
        if (mtls_target_judge(mtls_span_of(text), 0, &at) != MTLS_TARGET_FINE && c >= 0x20)
            strcat(refused_encoded, apr_pstrmemdup(pool, text + 2, 3));
        else if (c < 0x20)
            assert_int_equal(mtls_target_judge(mtls_span_of(text), 0, &at), MTLS_TARGET_CONTROL);
    }
    assert_string_equal(refused_raw, "#%;\\");
    assert_string_equal(refused_encoded, "%23%2F%3B%3F%5C%7F%C0%C1");
}

static void a_nul_ends_nothing(void **state)
{
    apr_size_t at = 0;

    (void)state;
    assert_int_equal(mtls_target_judge(mtls_span("/a\0/..;", 7), 0, &at), MTLS_TARGET_CONTROL);
    assert_int_equal(at, 2);
}

static void parameters_are_taken_away(void **state)
{
    (void)state;
    assert_string_equal(mtls_target_without_params(pool, "/a;v=1/b;c"), "/a/b");
    assert_string_equal(mtls_target_without_params(pool, "/a/b"), "/a/b");
    assert_string_equal(mtls_target_without_params(pool, "/a;x;y/"), "/a/");
    assert_string_equal(mtls_target_without_params(pool, ""), "");
}

static void tokens_are_total(void **state)
{
    (void)state;
    assert_string_equal(mtls_target_token(MTLS_TARGET_PARAMETER), "parameter");
    assert_string_equal(mtls_target_token(MTLS_TARGET_UNJUDGED), "unjudged");
    assert_string_equal(mtls_target_token((mtls_target_flaw_t)77), "unjudged");
}

int main(void)
{
    SUITE_TABLE(target_case, targets);
    SUITE_CASE(settings_only_add);
    SUITE_CASE(every_byte);
    SUITE_CASE(a_nul_ends_nothing);
    SUITE_CASE(parameters_are_taken_away);
    SUITE_CASE(tokens_are_total);
    return suite_run("request_target", 110);
}
