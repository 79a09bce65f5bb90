/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/glob, policy/matcher and policy/spiffe: one pattern against one value. */

#include "suite.h"

#include <stdlib.h>

#include <apr_atomic.h>
#include <apr_thread_proc.h>

#include "policy/glob.h"
#include "policy/limits.h"
#include "policy/matcher.h"
#include "policy/spiffe.h"

#define BYTES(text) text, sizeof(text) - 1

static const world_file_t files[] = {
    {"hosts", "# partners\r\n\r\n  A.example \r\nb.example\n", 0},
    {"hosts-bom",
     "\xef\xbb\xbf"
     "a.example\n",
     0},
    {"hosts-nul", "a.example\0b\n", 12},
    {"empty", "# nothing yet\n\n", 0},
    {"stars", "*.example\n", 0},
    {"forms",
     "glob:*.a.example\nsuffix:.b.example\nregex:x[0-9]+\\.example\neq:glob:x\n"
     "c.example\n",
     0},
    {"forms-file", "file:hosts\nz.example\n", 0},
    {"forms-file-empty", "file:empty\n", 0},
    {"forms-loop", "patterns:forms-loop\n", 0},
    {"forms-bad", "c.example\n\nregex:(\n", 0},
    {"networks", "192.0.2.0/24\n2001:db8::/32\n", 0},
    {"networks-bad", "192.0.2.0/24\n192.0.2.1/24\n", 0},
    {"serials", "00:1f\n20\n", 0},
    {"names", "CN=x,O=y\n", 0},
    {"ids", "spiffe://td/a\nspiffe://td/b\n", 0},
    {"id-patterns", "spiffe://td/a/*\nspiffe://td/b/**\n", 0},
    {"slow", "regex:(a+)+$\nb.example\n", 0},
    {NULL, NULL, 0},
};

/* ---- patterns ---- */

static const struct match_row {
    const char *name;
    mtls_kind_t kind;
    const char *pattern;
    const char *value; /* as it stands in the certificate */
    apr_size_t len;
    mtls_match_t answer;
} matches[] = {
#define YES     MTLS_MATCHED_YES
#define NO      MTLS_MATCHED_NO
#define GAVE_UP MTLS_MATCHED_UNKNOWN
    {"exact", MTLS_KIND_TEXT, "admin", BYTES("admin"), YES},
    {"exact: case", MTLS_KIND_TEXT, "admin", BYTES("Admin"), NO},
    {"exact: longer", MTLS_KIND_TEXT, "admin", BYTES("admin2"), NO},
    {"exact: shorter", MTLS_KIND_TEXT, "admin", BYTES("admi"), NO},
    {"exact: NUL cuts nothing", MTLS_KIND_TEXT, "admin", BYTES("admin\0.evil"), NO},
    {"exact: blank at the end", MTLS_KIND_TEXT, "admin", BYTES("admin "), NO},
    {"exact: newline at the end", MTLS_KIND_TEXT, "admin", BYTES("admin\n"), NO},
    {"exact: a star is a star", MTLS_KIND_TEXT, "*", BYTES("admin"), NO},
    {"exact: homograph", MTLS_KIND_TEXT, "admin",
     BYTES("\xd0\xb0"
           "dmin"),
     NO},
    {"exact: zero-width", MTLS_KIND_TEXT, "admin", BYTES("ad\xe2\x80\x8bmin"), NO},
    {"eq: takes the rest", MTLS_KIND_TEXT, "eq:regex:.*", BYTES("regex:.*"), YES},
    {"eq: is no regex", MTLS_KIND_TEXT, "eq:regex:.*", BYTES("x"), NO},
    {"DNS exact ignores case", MTLS_KIND_DNS, "A.example", BYTES("a.EXAMPLE"), YES},
    {"DNS exact: trailing dot", MTLS_KIND_DNS, "a.example", BYTES("a.example."), NO},
    {"DNS: client's wildcard is text", MTLS_KIND_DNS, "a.example", BYTES("*.example"), NO},
    {"DNS: client's wildcard can be named", MTLS_KIND_DNS, "*.example", BYTES("*.example"), YES},
    {"DNS: exact star does not expand", MTLS_KIND_DNS, "*.example", BYTES("a.example"), NO},
    {"email: domain ignores case", MTLS_KIND_EMAIL, "Ops@A.example", BYTES("Ops@a.EXAMPLE"), YES},
    {"email: local part does not", MTLS_KIND_EMAIL, "Ops@a.example", BYTES("ops@a.example"), NO},
    {"URI: case counts", MTLS_KIND_URI, "https://a.example/x", BYTES("https://A.example/x"), NO},
    {"URI: trailing slash counts", MTLS_KIND_URI, "https://a.example/x",
     BYTES("https://a.example/x/"), NO},
    {"URI: percent-encoding counts", MTLS_KIND_URI, "https://a.example/x/y",
     BYTES("https://a.example/x%2Fy"), NO},
    {"eqi", MTLS_KIND_TEXT, "eqi:AdMin", BYTES("aDmIN"), YES},
    {"eqi: longer", MTLS_KIND_TEXT, "eqi:admin", BYTES("admins"), NO},
    {"eqi: ASCII only", MTLS_KIND_TEXT, "eqi:J\xc3\xbcrgen", BYTES("J\xc3\x9crgen"), NO},
    {"eqi: email's local part too", MTLS_KIND_EMAIL, "eqi:OPS@a.example", BYTES("ops@A.example"),
     YES},
    {"eqi: dotless i is no i", MTLS_KIND_TEXT, "eqi:admin", BYTES("adm\xc4\xb1n"), NO},

    {"prefix", MTLS_KIND_TEXT, "prefix:Big ", BYTES("Big Partner"), YES},
    {"prefix: itself", MTLS_KIND_TEXT, "prefix:Big", BYTES("Big"), YES},
    {"prefix: not at the start", MTLS_KIND_TEXT, "prefix:Big", BYTES("A Big"), NO},
    {"prefix: shorter value", MTLS_KIND_TEXT, "prefix:Big", BYTES("Bi"), NO},
    {"prefix of DNS ignores case", MTLS_KIND_DNS, "prefix:GW-", BYTES("gw-1.example"), YES},
    {"prefix of URI", MTLS_KIND_URI, "prefix:https://a.example/", BYTES("https://a.example/x"),
     YES},
    {"prefix of URI: look-alike host", MTLS_KIND_URI, "prefix:https://a.example/",
     BYTES("https://a.example.evil/"), NO},
    {"prefix of URI: user information", MTLS_KIND_URI, "prefix:https://a.example/",
     BYTES("https://a.example@evil/"), NO},
    {"prefix of URI: port", MTLS_KIND_URI, "prefix:https://a.example/",
     BYTES("https://a.example:1/"), NO},
    {"prefix of URN", MTLS_KIND_URI, "prefix:urn:example:", BYTES("urn:example:1"), YES},

    {"suffix", MTLS_KIND_TEXT, "suffix: SA", BYTES("Big Partner SA"), YES},
    {"suffix: not at the end", MTLS_KIND_TEXT, "suffix:SA", BYTES("SA Big"), NO},
    {"suffix of DNS", MTLS_KIND_DNS, "suffix:.A.example", BYTES("x.a.Example"), YES},
    {"suffix of DNS: several labels", MTLS_KIND_DNS, "suffix:.a.example", BYTES("x.y.a.example"),
     YES},
    {"suffix of DNS: the domain itself", MTLS_KIND_DNS, "suffix:.a.example", BYTES("a.example"),
     NO},
    {"suffix of DNS: look-alike", MTLS_KIND_DNS, "suffix:.a.example", BYTES("evila.example"), NO},
    {"suffix of DNS: nothing before", MTLS_KIND_DNS, "suffix:.a.example", BYTES(".a.example"), NO},
    {"suffix of email: domain", MTLS_KIND_EMAIL, "suffix:@A.example", BYTES("Ops@a.EXAMPLE"), YES},
    {"suffix of email: sub-domain is another", MTLS_KIND_EMAIL, "suffix:@a.example",
     BYTES("ops@b.a.example"), NO},
    {"suffix of email: sub-domains", MTLS_KIND_EMAIL, "suffix:.A.example", BYTES("ops@b.a.example"),
     YES},
    {"suffix of email: local part keeps its case", MTLS_KIND_EMAIL, "suffix:.Doe@a.example",
     BYTES("John.Doe@A.example"), YES},
    {"suffix of email: local part in another case", MTLS_KIND_EMAIL, "suffix:.Doe@a.example",
     BYTES("John.doe@a.example"), NO},

    {"glob", MTLS_KIND_TEXT, "glob:client-*", BYTES("client-7"), YES},
    {"glob: one or more", MTLS_KIND_TEXT, "glob:client-*", BYTES("client-"), NO},
    {"glob on DNS", MTLS_KIND_DNS, "glob:*.A.example", BYTES("x.a.EXAMPLE"), YES},
    {"glob on DNS: two labels", MTLS_KIND_DNS, "glob:*.a.example", BYTES("x.y.a.example"), NO},
    {"glob on DNS: two stars take two labels", MTLS_KIND_DNS, "glob:**.a.example",
     BYTES("x.y.a.example"), YES},
    {"glob on DNS: client's wildcard is one byte of text", MTLS_KIND_DNS, "glob:*.a.example",
     BYTES("*.a.example"), YES},
    {"glob on email", MTLS_KIND_EMAIL, "glob:*@A.example", BYTES("Ops@a.example"), YES},
    {"glob on email: star stops at the at sign", MTLS_KIND_EMAIL, "glob:*.example",
     BYTES("ops@a.example"), NO},
    {"glob on URI: star stops at the query", MTLS_KIND_URI, "glob:https://a.example/*/x",
     BYTES("https://a.example/?a/x"), NO},
    {"glob on URI: star stops at the port", MTLS_KIND_URI, "glob:https://*/x",
     BYTES("https://a:1/x"), NO},
    {"glob: other characters are literal", MTLS_KIND_TEXT, "glob:[a].?*", BYTES("[a].?x"), YES},
    {"glob: dot is no wildcard", MTLS_KIND_TEXT, "glob:a.*", BYTES("abc"), NO},
    {"glob: takes newlines as bytes", MTLS_KIND_TEXT, "glob:a*c", BYTES("a\nc"), YES},
    {"glob: NUL is a byte", MTLS_KIND_TEXT, "glob:a*", BYTES("a\0"), YES},

    {"regex", MTLS_KIND_TEXT, "regex:client-[0-9]+", BYTES("client-42"), YES},
    {"regex: anchored at the start", MTLS_KIND_TEXT, "regex:admin", BYTES("notadmin"), NO},
    {"regex: anchored at the end", MTLS_KIND_TEXT, "regex:admin", BYTES("administrator"), NO},
    {"regex: anchored over alternatives, first", MTLS_KIND_TEXT, "regex:a|b", BYTES("ax"), NO},
    {"regex: anchored over alternatives, last", MTLS_KIND_TEXT, "regex:a|b", BYTES("xb"), NO},
    {"regex: a)|(b does not escape the anchors", MTLS_KIND_TEXT, "regex:(a)|(b)", BYTES("ax"), NO},
    {"regex: shorter alternative first still fits", MTLS_KIND_TEXT, "regex:a|ab", BYTES("ab"), YES},
    {"regex: $ is not before a newline", MTLS_KIND_TEXT, "regex:^admin$", BYTES("admin\n"), NO},
    {"regex: $ is not before a newline and text", MTLS_KIND_TEXT, "regex:^admin$",
     BYTES("admin\nx"), NO},
    {"regex: $ of a look-ahead is not before a newline", MTLS_KIND_TEXT, "regex:(?s)(?=admin$).*",
     BYTES("admin\n"), NO},
    {"regex: multi-line mode does not help", MTLS_KIND_TEXT, "regex:(?m)^admin$", BYTES("admin\nx"),
     NO},
    {"regex: multi-line mode does not help before", MTLS_KIND_TEXT, "regex:(?m)^admin$",
     BYTES("x\nadmin"), NO},
    {"regex: \\Z is not before a newline", MTLS_KIND_TEXT, "regex:admin\\Z", BYTES("admin\n"), NO},
    {"regex: dot takes no newline", MTLS_KIND_TEXT, "regex:admin.*", BYTES("admin\nx"), NO},
    {"regex: accept verb does not cut", MTLS_KIND_TEXT, "regex:adm(*ACCEPT)in", BYTES("admXX"), NO},
    {"regex: \\K does not cut", MTLS_KIND_TEXT, "regex:x\\Kadmin", BYTES("xadminx"), NO},
    {"regex: case counts", MTLS_KIND_TEXT, "regex:admin", BYTES("ADMIN"), NO},
    {"regex: DNS ignores case", MTLS_KIND_DNS, "regex:A\\.example", BYTES("a.EXAMPLE"), YES},
    {"regex: UTF-8 characters", MTLS_KIND_TEXT, "regex:J.rgen", BYTES("J\xc3\xbcrgen"), YES},
    {"regex: empty value", MTLS_KIND_TEXT, "regex:.*", BYTES(""), YES},
    {"regex: empty pattern takes the empty value only", MTLS_KIND_TEXT, "regex:", BYTES("x"), NO},
    {"regex: value that is no UTF-8", MTLS_KIND_TEXT, "regex:.*", BYTES("\xff"), GAVE_UP},

    {"network", MTLS_KIND_IP, "192.0.2.0/24", BYTES("\xc0\x00\x02\xff"), YES},
    {"network: next", MTLS_KIND_IP, "192.0.2.0/24", BYTES("\xc0\x00\x03\x00"), NO},
    {"network: one address", MTLS_KIND_IP, "192.0.2.10", BYTES("\xc0\x00\x02\x0a"), YES},
    {"network: v4-mapped is no IPv4", MTLS_KIND_IP, "192.0.2.10",
     BYTES("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x0a"), NO},
    {"network: v4-mapped as such", MTLS_KIND_IP, "::ffff:192.0.2.10",
     BYTES("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x0a"), YES},
    {"network: all of IPv4 takes no IPv6", MTLS_KIND_IP, "0.0.0.0/0",
     BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), NO},
    {"network: five bytes", MTLS_KIND_IP, "0.0.0.0/0", BYTES("\xc0\x00\x02\x0a\x0a"), NO},

    {"file: folded values", MTLS_KIND_DNS, "file:hosts", BYTES("a.EXAMPLE"), YES},
    {"file: not in the list", MTLS_KIND_DNS, "file:hosts", BYTES("c.example"), NO},
    {"file: comment is no value", MTLS_KIND_DNS, "file:hosts", BYTES("# partners"), NO},
    {"file: star is text", MTLS_KIND_DNS, "file:stars", BYTES("a.example"), NO},
    {"file: star is text and matches itself", MTLS_KIND_DNS, "file:stars", BYTES("*.example"), YES},
    {"file: networks", MTLS_KIND_IP, "file:networks", BYTES("\xc0\x00\x02\x77"), YES},
    {"file: networks, another", MTLS_KIND_IP, "file:networks", BYTES("\xc0\x00\x03\x77"), NO},
    {"file: serials by value", MTLS_KIND_SERIAL, "file:serials", BYTES("1f"), YES},
    {"file: SPIFFE IDs", MTLS_KIND_SPIFFE, "file:ids", BYTES("spiffe://td/b"), YES},
    {"file: SPIFFE IDs, child", MTLS_KIND_SPIFFE, "file:ids", BYTES("spiffe://td/b/c"), NO},
    {"patterns: glob", MTLS_KIND_DNS, "patterns:forms", BYTES("x.a.example"), YES},
    {"patterns: suffix", MTLS_KIND_DNS, "patterns:forms", BYTES("x.b.example"), YES},
    {"patterns: regex", MTLS_KIND_DNS, "patterns:forms", BYTES("x12.example"), YES},
    {"patterns: eq", MTLS_KIND_DNS, "patterns:forms", BYTES("glob:x"), YES},
    {"patterns: exact", MTLS_KIND_DNS, "patterns:forms", BYTES("C.example"), YES},
    {"patterns: none", MTLS_KIND_DNS, "patterns:forms", BYTES("d.example"), NO},
    {"patterns: a file: line", MTLS_KIND_DNS, "patterns:forms-file", BYTES("b.example"), YES},
    {"patterns: SPIFFE child", MTLS_KIND_SPIFFE, "patterns:id-patterns", BYTES("spiffe://td/a/x"),
     YES},
    {"patterns: SPIFFE grandchild", MTLS_KIND_SPIFFE, "patterns:id-patterns",
     BYTES("spiffe://td/a/x/y"), NO},

    {"SPIFFE exact", MTLS_KIND_SPIFFE, "spiffe://td/a", BYTES("spiffe://td/a"), YES},
    {"SPIFFE exact: child", MTLS_KIND_SPIFFE, "spiffe://td/a", BYTES("spiffe://td/a/b"), NO},
    {"SPIFFE star: one segment", MTLS_KIND_SPIFFE, "spiffe://td/a/*", BYTES("spiffe://td/a/b"),
     YES},
    {"SPIFFE star: none", MTLS_KIND_SPIFFE, "spiffe://td/a/*", BYTES("spiffe://td/a"), NO},
    {"SPIFFE star: empty segment", MTLS_KIND_SPIFFE, "spiffe://td/a/*", BYTES("spiffe://td/a/"),
     NO},
    {"SPIFFE star: two segments", MTLS_KIND_SPIFFE, "spiffe://td/a/*", BYTES("spiffe://td/a/b/c"),
     NO},
    {"SPIFFE star: longer sibling", MTLS_KIND_SPIFFE, "spiffe://td/a/*", BYTES("spiffe://td/ab"),
     NO},
    {"SPIFFE two stars: two segments", MTLS_KIND_SPIFFE, "spiffe://td/a/**",
     BYTES("spiffe://td/a/b/c"), YES},
    {"SPIFFE two stars: none", MTLS_KIND_SPIFFE, "spiffe://td/a/**", BYTES("spiffe://td/a"), NO},
    {"SPIFFE two stars: other domain", MTLS_KIND_SPIFFE, "spiffe://td/**",
     BYTES("spiffe://td.evil/b"), NO},
};

static mtls_matcher_t *parse(mtls_kind_t kind, const char *pattern, const char **error, int *empty)
{
    mtls_matcher_t *matcher = NULL;
    world_t *world = apr_palloc(pool, sizeof(*world));

    world_init(world, pool, files);
    *error = mtls_matcher_parse(&world->env, (mtls_matcher_spec_t){.kind = kind}, pattern, &matcher,
                                empty);
    return matcher;
}

/* The value in memory of its own size, in the form facts have it. */
static mtls_match_t test(const mtls_matcher_t *matcher, mtls_kind_t kind, mtls_span_t value)
{
    mtls_span_t folded = mtls_value_fold(pool, kind, value);
    char *exact = malloc(folded.len ? folded.len : 1);
    int steps = MTLS_PATTERN_BUDGET;
    mtls_match_t answer;

    memcpy(exact, folded.data, folded.len);
    answer = mtls_matcher_test(matcher, mtls_span(exact, folded.len), &steps);
    free(exact);
    return answer;
}

static void match_case(void **state)
{
    const struct match_row *row = *state;
    const char *error;
    int empty = 0;
    mtls_matcher_t *matcher = parse(row->kind, row->pattern, &error, &empty);

    assert_message(error, NULL);
    assert_false(empty);
    assert_int_equal(test(matcher, row->kind, mtls_span(row->value, row->len)), row->answer);
}

/* ---- what is wrong ---- */

static const struct error_row {
    const char *name;
    mtls_kind_t kind;
    const char *pattern;
    const char *words;
} errors[] = {
    {"prefix: empty", MTLS_KIND_TEXT, "prefix:", "empty"},
    {"suffix: empty", MTLS_KIND_TEXT, "suffix:", "empty"},
    {"prefix of URI without the authority's slash", MTLS_KIND_URI, "prefix:https://a.example",
     "past|authority"},
    {"prefix of URI: only a scheme", MTLS_KIND_URI, "prefix:https://", "past|authority"},
    {"prefix of URI: empty authority", MTLS_KIND_URI, "prefix:https:///x", "past|authority"},
    {"prefix of URI: half a scheme", MTLS_KIND_URI, "prefix:https", "past|authority"},
    {"prefix of URI: scheme and colon", MTLS_KIND_URI, "prefix:https:", "past|authority"},
    {"prefix of URI: one slash", MTLS_KIND_URI, "prefix:https:/a/", "past|authority"},
    {"suffix of DNS without dot", MTLS_KIND_DNS, "suffix:a.example", "starts with \".\""},
    {"suffix of DNS with at sign", MTLS_KIND_DNS, "suffix:@a.example", "starts with \".\""},
    {"suffix of email without dot or at", MTLS_KIND_EMAIL, "suffix:a.example", "\"@\" or \".\""},
    {"glob without star", MTLS_KIND_TEXT, "glob:admin", "exact value"},
    {"glob empty", MTLS_KIND_TEXT, "glob:", "exact value"},
    {"glob with three stars", MTLS_KIND_TEXT, "glob:a***", "stars"},
    {"glob with five stars", MTLS_KIND_TEXT, "glob:*****", "stars"},
    {"regex: open parenthesis", MTLS_KIND_TEXT, "regex:(a", "regular expression|character"},
    {"regex: close parenthesis", MTLS_KIND_TEXT, "regex:a)|(b", "regular expression"},
    {"regex: \\C", MTLS_KIND_TEXT, "regex:\\C", "regular expression"},
    {"regex: pattern that is no UTF-8", MTLS_KIND_TEXT, "regex:\xff", "regular expression"},
    {"regex: callout to nowhere", MTLS_KIND_TEXT, "regex:(?1)", "regular expression"},
    {"pattern on a whole name", MTLS_KIND_NAME, "prefix:CN=x", "compared exactly|prefix:"},
    {"pattern on a pin", MTLS_KIND_PIN, "regex:.*", "compared exactly|regex:"},
    {"pattern on an address", MTLS_KIND_IP, "glob:192.*", "compared exactly|glob:"},
    {"pattern on a SPIFFE ID", MTLS_KIND_SPIFFE, "suffix:/x", "compared exactly|suffix:"},
    {"pattern on an OID", MTLS_KIND_OID, "eqi:clientauth", "compared exactly|eqi:"},
    {"SPIFFE: another scheme", MTLS_KIND_SPIFFE, "https://td/a", "spiffe://"},
    {"SPIFFE: no path", MTLS_KIND_SPIFFE, "spiffe://td", "has a path"},
    {"SPIFFE: wildcard in the middle", MTLS_KIND_SPIFFE, "spiffe://td/*/b", "last segment"},
    {"SPIFFE: wildcard as domain", MTLS_KIND_SPIFFE, "spiffe://*/b", "trust domain"},
    {"SPIFFE: part of a segment", MTLS_KIND_SPIFFE, "spiffe://td/a*", "path segment"},
    {"file: missing", MTLS_KIND_DNS, "file:nowhere", "nowhere|cannot be read"},
    {"file: without a name", MTLS_KIND_DNS, "file:", "cannot be read"},
    {"file: byte order mark", MTLS_KIND_DNS, "file:hosts-bom", "hosts-bom|line 1|byte order mark"},
    {"file: NUL", MTLS_KIND_DNS, "file:hosts-nul", "hosts-nul|NUL"},
    {"file: a wrong line", MTLS_KIND_IP, "file:networks-bad", "networks-bad|line 2|prefix"},
    {"file: names where serials belong", MTLS_KIND_SERIAL, "file:hosts", "line 3|hex"},
    {"patterns: missing", MTLS_KIND_DNS, "patterns:nowhere", "nowhere|cannot be read"},
    {"patterns: itself", MTLS_KIND_DNS, "patterns:forms-loop", "line 1|patterns:"},
    {"patterns: a wrong line", MTLS_KIND_DNS, "patterns:forms-bad", "line 3|regular expression"},
    {"certificates: missing", MTLS_KIND_CERTIFICATE, "nowhere.pem", "nowhere.pem"},
};

static void error_case(void **state)
{
    const struct error_row *row = *state;
    const char *error;
    int empty;

    (void)parse(row->kind, row->pattern, &error, &empty);
    assert_message(error, row->words);
}

/* ---- bounds ---- */

static mtls_span_t repeated(char c, apr_size_t n)
{
    char *out = apr_palloc(pool, n);

    memset(out, c, n);
    return mtls_span(out, n);
}

static void a_regex_that_explodes_gives_up(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_TEXT, "regex:(a+)+$", &error, &empty);
    mtls_span_t value = repeated('a', 65536);

    (void)state;
    assert_null(error);
    ((char *)(uintptr_t)value.data)[65535] = '!';
    assert_int_equal(test(m, MTLS_KIND_TEXT, value), MTLS_MATCHED_UNKNOWN);
    assert_int_equal(test(m, MTLS_KIND_TEXT, mtls_span_of("aaa")), MTLS_MATCHED_YES);
}

static void a_regex_that_recurses_gives_up(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_TEXT, "regex:(a(?1)?b?)+", &error, &empty);

    (void)state;
    assert_null(error);
    assert_int_not_equal(test(m, MTLS_KIND_TEXT, repeated('a', 65536)), MTLS_MATCHED_NO);
    assert_int_equal(test(m, MTLS_KIND_TEXT, mtls_span_of("c")), MTLS_MATCHED_NO);
}

static void a_pattern_cannot_raise_the_limit(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m =
        parse(MTLS_KIND_TEXT, "regex:(*LIMIT_MATCH=4000000000)(a+)+$", &error, &empty);
    mtls_span_t value = repeated('a', 4096);

    (void)state;
    assert_null(error);
    ((char *)(uintptr_t)value.data)[4095] = '!';
    assert_int_equal(test(m, MTLS_KIND_TEXT, value), MTLS_MATCHED_UNKNOWN);
}

static void a_linear_regex_reads_64_kb(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_TEXT, "regex:[a-z]+", &error, &empty);

    (void)state;
    assert_null(error);
    assert_int_equal(test(m, MTLS_KIND_TEXT, repeated('a', 65536)), MTLS_MATCHED_YES);
    m = parse(MTLS_KIND_TEXT, "regex:(?:[a-z]-?)+", &error, &empty); /* a level a byte */
    assert_int_equal(test(m, MTLS_KIND_TEXT, repeated('a', 4096)), MTLS_MATCHED_YES);
    assert_int_not_equal(test(m, MTLS_KIND_TEXT, repeated('a', 65536)), MTLS_MATCHED_NO);
}

static void a_list_that_gives_up_on_one_pattern_still_finds_another(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_TEXT, "patterns:slow", &error, &empty);
    mtls_span_t value = repeated('a', 4096);

    (void)state;
    assert_null(error);
    ((char *)(uintptr_t)value.data)[4095] = '!';
    assert_int_equal(test(m, MTLS_KIND_TEXT, value), MTLS_MATCHED_UNKNOWN);
    assert_int_equal(test(m, MTLS_KIND_TEXT, mtls_span_of("b.example")), MTLS_MATCHED_YES);
}

static void a_glob_of_many_stars_is_polynomial(void **state)
{
    mtls_glob_t *glob;
    char *pattern = apr_palloc(pool, 201);
    int i;

    (void)state;
    for (i = 0; i < 100; i++)
        memcpy(pattern + 2 * i, "a*", 2);
    pattern[200] = '\0';
    assert_null(mtls_glob_parse(pool, mtls_span_of(pattern), &glob));
    assert_int_equal(mtls_glob_test(glob, repeated('a', 10000)), 1);
    assert_int_equal(mtls_glob_test(glob, repeated('b', 10000)), 0);
    assert_true(mtls_glob_steps(glob, repeated('a', 10000)) > 1000000);
}

static mtls_match_t spend(const char *pattern, mtls_span_t value, int *steps)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_TEXT, pattern, &error, &empty);

    assert_null(error);
    return mtls_matcher_test(m, value, steps);
}

static void patterns_that_take_long_share_a_budget(void **state)
{
    static const char *const patterns[] = {"regex:(?:[a-z]-?)+", "glob:a*a*a*"};
    size_t i;
    int steps, n;

    (void)state;
    for (i = 0; i < ROWS(patterns); i++) {
        steps = MTLS_PATTERN_BUDGET;
        for (n = 0; n < 100; n++) /* short ones cost nothing */
            assert_int_equal(spend(patterns[i], mtls_span_of("aaaaaaaa"), &steps),
                             MTLS_MATCHED_YES);
        assert_int_equal(steps, MTLS_PATTERN_BUDGET);
        for (n = 0; steps >= MTLS_PATTERN_MOST_STEPS && n < 1000; n++)
            assert_int_equal(spend(patterns[i], repeated('a', 4096), &steps), MTLS_MATCHED_YES);
        assert_true(n > 1 && n <= MTLS_PATTERN_BUDGET / MTLS_PATTERN_MOST_STEPS);
        assert_int_equal(spend(patterns[i], repeated('a', 4096), &steps), MTLS_MATCHED_UNKNOWN);
        assert_int_equal(spend(patterns[i], mtls_span_of("aaaaaaaa"), &steps), MTLS_MATCHED_YES);
        assert_int_equal(spend("a", mtls_span_of("a"), &steps), MTLS_MATCHED_YES);
    }
}

static void a_glob_beyond_the_most_steps_gives_up(void **state)
{
    int steps = MTLS_PATTERN_BUDGET;

    (void)state;
    assert_int_equal(spend("glob:a*", repeated('a', MTLS_PATTERN_MOST_STEPS / 3), &steps),
                     MTLS_MATCHED_YES);
    assert_int_equal(spend("glob:a*", repeated('a', MTLS_PATTERN_MOST_STEPS / 3 + 1), &steps),
                     MTLS_MATCHED_UNKNOWN);
}

static void an_unparsed_matcher_gives_up(void **state)
{
    const char *error;
    int empty;
    mtls_matcher_t *m = parse(MTLS_KIND_NONE, "x", &error, &empty);

    (void)state;
    assert_non_null(error);
    assert_int_not_equal(test(m, MTLS_KIND_NONE, mtls_span_of("y")), MTLS_MATCHED_YES);
}

static void lists_without_values_say_so(void **state)
{
    static const char *const patterns[] = {"file:empty", "patterns:empty",
                                           "patterns:forms-file-empty"};
    const char *error;
    size_t i;
    int empty;

    (void)state;
    for (i = 0; i < ROWS(patterns); i++) {
        mtls_matcher_t *m = parse(MTLS_KIND_DNS, patterns[i], &error, &empty);
        assert_null(error);
        assert_true(empty);
        assert_int_equal(test(m, MTLS_KIND_DNS, mtls_span_of("a.example")), MTLS_MATCHED_NO);
    }
}

static void certificates_are_compared_by_digest(void **state)
{
    const char *error;
    int empty, none = 0; /* no budget: these cost nothing */
    mtls_matcher_t *m = parse(MTLS_KIND_CERTIFICATE, "two.pem", &error, &empty);

    (void)state;
    assert_null(error);
    assert_int_equal(mtls_matcher_test(m, repeated(0x11, 32), &none), MTLS_MATCHED_YES);
    assert_int_equal(mtls_matcher_test(m, repeated(0x33, 32), &none), MTLS_MATCHED_YES);
    assert_int_equal(mtls_matcher_test(m, repeated(0x22, 32), &none), MTLS_MATCHED_NO);
    assert_int_equal(mtls_matcher_test(m, repeated(0x11, 31), &none), MTLS_MATCHED_NO);
}

static void a_reversed_name_is_recognised(void **state)
{
    const char *error;
    int empty, none = 0; /* no budget: these cost nothing */
    mtls_matcher_t *m = parse(MTLS_KIND_NAME, "C=CH,O=y,CN=x", &error, &empty);
    mtls_span_t usual, reversed;

    (void)state;
    assert_null(error);
    assert_null(mtls_name_parse(pool, "CN=x,O=y,C=CH", world_oid, &usual, &reversed));
    assert_true(mtls_matcher_is_reversed(m, usual));
    assert_false(mtls_matcher_is_reversed(m, reversed));
    assert_int_equal(mtls_matcher_test(m, reversed, &none), MTLS_MATCHED_YES);
    assert_int_equal(mtls_matcher_test(m, usual, &none), MTLS_MATCHED_NO);
}

static void lists_of_names_compare_names(void **state)
{
    const char *error;
    int empty, none = 0; /* no budget: these cost nothing */
    mtls_matcher_t *m = parse(MTLS_KIND_NAME, "file:names", &error, &empty);
    mtls_span_t same, other;

    (void)state;
    assert_null(error);
    assert_null(mtls_name_parse(pool, "commonName = x, O = y", world_oid, &same, &other));
    assert_int_equal(mtls_matcher_test(m, same, &none), MTLS_MATCHED_YES);
    assert_int_equal(mtls_matcher_test(m, other, &none), MTLS_MATCHED_NO);
}

/* ---- lists that change ---- */

static world_t *watched_world(const world_file_t *first)
{
    world_t *world = apr_palloc(pool, sizeof(*world));

    world_init(world, pool, first);
    world_watch(world);
    return world;
}

static mtls_matcher_t *parse_in(world_t *world, const char *pattern, int may_become_empty)
{
    mtls_matcher_t *matcher = NULL;
    int empty = 0;

    assert_message(mtls_matcher_parse(
                       &world->env,
                       (mtls_matcher_spec_t){MTLS_KIND_DNS, may_become_empty, MTLS_PURPOSE_CLIENT},
                       pattern, &matcher, &empty),
                   NULL);
    return matcher;
}

/* Which of the names a matcher takes, each followed by a blank. */
static const char *taken(const mtls_matcher_t *matcher)
{
    static const char *const names[] = {"a.example", "b.example", "c.example", "x.d.example"};
    const char *all = "";
    size_t i;

    for (i = 0; i < ROWS(names); i++) {
        if (test(matcher, MTLS_KIND_DNS, mtls_span_of(names[i])) == MTLS_MATCHED_YES)
            all = apr_pstrcat(pool, all, names[i], " ", NULL);
    }
    return all;
}

#define A    "a.example\n"
#define B    "b.example\n"
#define FORM "glob:*.d.example\n"

/* A list, what it holds first and then, and what it takes then: what was before when the new
 * content is refused. `first` of NULL: it is not there. `other` is a second file. */
static const struct reload_row {
    const char *name;
    const char *pattern;
    const char *first, *first_other;
    const char *then, *then_other;
    int may_become_empty; /* it stands under `not` */
    const char *taken;
    const char *words;
} reloads[] = {
    {"reload: file", "file:list", A, NULL, B, NULL, 0, "b.example ", NULL},
    {"reload: file, the same", "file:list", A, NULL, A, NULL, 0, "a.example ", NULL},
    {"reload: file grows", "file:list", A, NULL, A B, NULL, 0, "a.example b.example ", NULL},
    {"reload: file shrinks", "file:list", A B, NULL, B, NULL, 0, "b.example ", NULL},
    {"reload: file is gone", "file:list", A, NULL, NULL, NULL, 0, "a.example ",
     "list|cannot be read"},
    {"reload: file of nothing", "file:list", A, NULL, "", NULL, 0, "a.example ", "list|is empty"},
    {"reload: file of nothing, under not", "file:list", A, NULL, "", NULL, 1, "a.example ",
     "list|is empty"},
    {"reload: file of comments", "file:list", A, NULL, "# none\n", NULL, 0, "a.example ",
     "list|holds no value"},
    {"reload: file of comments, under not", "file:list", A, NULL, "# none\n", NULL, 1, "", NULL},
    {"reload: file of blanks", "file:list", A, NULL, " \n", NULL, 0, "a.example ",
     "list|holds no value"},
    {"reload: file of blanks, under not", "file:list", A, NULL, " \n", NULL, 1, "", NULL},
    {"reload: file that was of comments", "file:list", "# none\n", NULL, A, NULL, 1, "a.example ",
     NULL},
    {"reload: file that stays one of comments", "file:list", "# none\n", NULL, "#\n", NULL, 1, "",
     NULL},
    {"reload: file with a byte order mark", "file:list", A, NULL, "\xef\xbb\xbf" B, NULL, 0,
     "a.example ", "list|line 1|byte order mark"},

    {"reload: patterns", "patterns:list", A, NULL, FORM B, NULL, 0, "b.example x.d.example ", NULL},
    {"reload: patterns are gone", "patterns:list", FORM, NULL, NULL, NULL, 0, "x.d.example ",
     "list|cannot be read"},
    {"reload: patterns of nothing", "patterns:list", FORM, NULL, "", NULL, 0, "x.d.example ",
     "list|is empty"},
    {"reload: patterns of nothing, under not", "patterns:list", FORM, NULL, "", NULL, 1,
     "x.d.example ", "list|is empty"},
    {"reload: patterns of comments", "patterns:list", FORM, NULL, "#\n", NULL, 0, "x.d.example ",
     "list|holds no value"},
    {"reload: patterns of comments, under not", "patterns:list", FORM, NULL, "#\n", NULL, 1, "",
     NULL},
    {"reload: patterns with a wrong line", "patterns:list", FORM, NULL, B "regex:(\n" A, NULL, 0,
     "x.d.example ", "list|line 2|regular expression"},
    {"reload: patterns name themselves", "patterns:list", FORM, NULL, "patterns:list\n", NULL, 0,
     "x.d.example ", "list|line 1|patterns:"},

    {"reload: nested file", "patterns:list", FORM "file:other\n", A, FORM "file:other\n", B, 0,
     "b.example x.d.example ", NULL},
    {"reload: nested file comes", "patterns:list", FORM, A, FORM "file:other\n", A, 0,
     "a.example x.d.example ", NULL},
    {"reload: nested file goes", "patterns:list", FORM "file:other\n", A, FORM, NULL, 0,
     "x.d.example ", NULL},
    {"reload: nested file is gone", "patterns:list", FORM "file:other\n", A, B "file:other\n", NULL,
     0, "a.example x.d.example ", "line 2|other|cannot be read"},
    {"reload: nested file of nothing", "patterns:list", FORM "file:other\n", A, FORM "file:other\n",
     "", 0, "a.example x.d.example ", "line 2|other|is empty"},
    {"reload: nested file of nothing, under not", "patterns:list", FORM "file:other\n", A,
     FORM "file:other\n", "", 1, "a.example x.d.example ", "line 2|other|is empty"},
    {"reload: nested file of comments", "patterns:list", FORM "file:other\n", A,
     FORM "file:other\n", "#\n", 0, "a.example x.d.example ", "line 2|other|holds no value"},
    {"reload: nested file of comments, under not", "patterns:list", FORM "file:other\n", A,
     FORM "file:other\n", "#\n", 1, "x.d.example ", NULL},
    {"reload: nested file alone, of comments", "patterns:list", "file:other\n", A, "file:other\n",
     "#\n", 0, "a.example ", "other|holds no value"},
    {"reload: nested file alone, of comments, under not", "patterns:list", "file:other\n", A,
     "file:other\n", "#\n", 1, "", NULL},
};

static const world_file_t *two_files(const char *list, const char *other)
{
    world_file_t *out = apr_pcalloc(pool, 3 * sizeof(*out));
    int n = 0;

    if (list)
        out[n++] = (world_file_t){"list", list, 0};
    if (other)
        out[n++] = (world_file_t){"other", other, 0};
    return out;
}

static void reload_case(void **state)
{
    const struct reload_row *row = *state;
    world_t *world = watched_world(two_files(row->first, row->first_other));
    mtls_matcher_t *m = parse_in(world, row->pattern, row->may_become_empty);
    const char *before = taken(m);

    assert_message(world_reload(world), NULL);
    assert_string_equal(taken(m), before);
    world->files = two_files(row->then, row->then_other);
    assert_message(world_reload(world), row->words);
    assert_string_equal(taken(m), row->taken);
    world->files = two_files(row->first, row->first_other);
    assert_message(world_reload(world), NULL); /* and back */
    assert_string_equal(taken(m), before);
}

static void each_list_keeps_its_own_version(void **state)
{
    world_t *world = watched_world(two_files(A, A));
    mtls_matcher_t *list, *other;

    (void)state;
    list = parse_in(world, "file:list", 0);
    other = parse_in(world, "file:other", 0);
    world->files = two_files("", B);
    assert_message(world_reload(world), "list|is empty");
    assert_string_equal(taken(list), "a.example ");
    assert_string_equal(taken(other), "b.example ");
}

/* What was emptied by whoever writes it is no list at a restart either; one that never held a
 * value is what the administrator says. */
static void a_file_of_nothing_is_refused_at_a_restart(void **state)
{
    static const char *const patterns[] = {"file:list", "patterns:list"};
    mtls_matcher_t *matcher;
    world_t *world;
    size_t i;
    int empty;

    (void)state;
    for (i = 0; i < ROWS(patterns); i++) {
        world = watched_world(two_files("", NULL));
        world->env.again = 1;
        assert_message(
            mtls_matcher_parse(&world->env,
                               (mtls_matcher_spec_t){MTLS_KIND_DNS, 1, MTLS_PURPOSE_CLIENT},
                               patterns[i], &matcher, &empty),
            "list|is empty");
        world->files = two_files("#\n", NULL);
        matcher = parse_in(world, patterns[i], 1);
        assert_string_equal(taken(matcher), "");
    }
}

/* A file that the lines of another name is part of that load: one source, read once each time. */
static void a_nested_file_is_no_source_of_its_own(void **state)
{
    world_t *world = watched_world(two_files(FORM "file:other\n", A));
    mtls_matcher_t *m = parse_in(world, "patterns:list", 0);

    (void)state;
    assert_string_equal(taken(m), "a.example x.d.example ");
    assert_int_equal(world->sources->nelts, 1);
    assert_int_equal(world->files_read, 2);
    assert_message(world_reload(world), NULL);
    assert_int_equal(world->files_read, 4);
}

static void pinned_certificates_are_loaded_again(void **state)
{
    world_t *world = watched_world(NULL);
    mtls_matcher_t *m = NULL;
    int empty, none = 0;

    (void)state;
    assert_message(mtls_matcher_parse(&world->env,
                                      (mtls_matcher_spec_t){.kind = MTLS_KIND_CERTIFICATE},
                                      "two.pem", &m, &empty),
                   NULL);
    assert_int_equal(world->sources->nelts, 1);
    assert_message(world_reload(world), NULL);
    assert_int_equal(mtls_matcher_test(m, repeated(0x11, 32), &none), MTLS_MATCHED_YES);
    assert_int_equal(mtls_matcher_test(m, repeated(0x22, 32), &none), MTLS_MATCHED_NO);
}

typedef struct tester_t {
    apr_thread_t *thread;
    const mtls_matcher_t *matcher;
    apr_uint32_t *stop;
    int wrong, tests;
} tester_t;

/* "a" is in the one version and "b" in the other, "c" in both and "d" in none. */
static void *APR_THREAD_FUNC test_often(apr_thread_t *thread, void *baton)
{
    tester_t *t = baton;

    while (!apr_atomic_read32(t->stop) || t->tests < 100) {
        int steps = MTLS_PATTERN_BUDGET;
        t->wrong +=
            mtls_matcher_test(t->matcher, mtls_span_of("c.example"), &steps) != MTLS_MATCHED_YES;
        t->wrong +=
            mtls_matcher_test(t->matcher, mtls_span_of("d.example"), &steps) != MTLS_MATCHED_NO;
        t->wrong += mtls_matcher_test(t->matcher, mtls_span_of("a.example"), &steps) ==
                    MTLS_MATCHED_UNKNOWN;
        t->tests++;
    }
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

static void threads_test_while_lists_change(void **state)
{
    static const char *const patterns[] = {"file:list", "patterns:list", "file:list",
                                           "patterns:list"};
    world_t *world = watched_world(two_files(A "c.example\n", NULL));
    apr_uint32_t stop = 0;
    tester_t testers[4];
    apr_status_t status;
    size_t i;

    (void)state;
    memset(testers, 0, sizeof(testers));
    for (i = 0; i < ROWS(testers); i++) {
        testers[i].matcher = parse_in(world, patterns[i], 0);
        testers[i].stop = &stop;
    }
    for (i = 0; i < ROWS(testers); i++)
        assert_int_equal(apr_thread_create(&testers[i].thread, NULL, test_often, &testers[i], pool),
                         0);
    for (i = 0; i < 300; i++) {
        world->files = two_files(i % 2 ? A "c.example\n" : B "c.example\n", NULL);
        assert_message(world_reload(world), NULL);
    }
    apr_atomic_set32(&stop, 1);
    for (i = 0; i < ROWS(testers); i++) {
        assert_int_equal(apr_thread_join(&status, testers[i].thread), 0);
        assert_int_equal(testers[i].wrong, 0);
    }
}

/* ---- SPIFFE IDs ---- */

#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A255 A64 A64 A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct spiffe_row {
    const char *name;
    const char *id;
    apr_size_t len;
    const char *words;
} ids[] = {
    {"id: usual", BYTES("spiffe://lab.carcano.corp/ns/prod/sa/orders"), NULL},
    {"id: all characters of a path", BYTES("spiffe://td/aZ09._-"), NULL},
    {"id: IPv4-looking domain", BYTES("spiffe://192.0.2.1/a"), NULL},
    {"id: three dots are a segment", BYTES("spiffe://td/..."), NULL},
    {"id: longest domain", BYTES("spiffe://" A255 "/a"), NULL},
    {"id: domain too long", BYTES("spiffe://" A255 "a/a"), "255"},
    {"id: empty", BYTES(""), "starts with spiffe://"},
    {"id: only the scheme", BYTES("spiffe://"), "trust domain is empty"},
    {"id: scheme in upper case", BYTES("SPIFFE://td/a"), "starts with spiffe://"},
    {"id: https", BYTES("https://td/a"), "starts with spiffe://"},
    {"id: no domain", BYTES("spiffe:///a"), "trust domain is empty"},
    {"id: domain in upper case", BYTES("spiffe://TD/a"), "trust domain"},
    {"id: port", BYTES("spiffe://td:80/a"), "trust domain"},
    {"id: user information", BYTES("spiffe://me@td/a"), "trust domain"},
    {"id: percent-encoded domain", BYTES("spiffe://t%64/a"), "trust domain"},
    {"id: no path", BYTES("spiffe://td"), "path"},
    {"id: root path", BYTES("spiffe://td/"), "empty segment"},
    {"id: trailing slash", BYTES("spiffe://td/a/"), "empty segment"},
    {"id: two slashes", BYTES("spiffe://td//a"), "empty segment"},
    {"id: dot segment", BYTES("spiffe://td/a/./b"), "segment"},
    {"id: dot-dot segment", BYTES("spiffe://td/ns/x/../admin"), "segment"},
    {"id: query", BYTES("spiffe://td/a?b"), "path segment"},
    {"id: query without path", BYTES("spiffe://td?b"), "trust domain"},
    {"id: fragment", BYTES("spiffe://td/a#b"), "path segment"},
    {"id: percent-encoded slash", BYTES("spiffe://td/a%2Fb"), "path segment"},
    {"id: blank", BYTES("spiffe://td/a b"), "path segment"},
    {"id: UTF-8", BYTES("spiffe://td/\xc3\xbc"), "path segment"},
    {"id: NUL", BYTES("spiffe://td/a\0b"), "path segment"},
    {"id: NUL in the domain", BYTES("spiffe://td\0.evil/a"), "trust domain"},
    {"id: star is no ID", BYTES("spiffe://td/*"), "path segment"},
};

static void spiffe_case(void **state)
{
    const struct spiffe_row *row = *state;
    char *exact = malloc(row->len ? row->len : 1);
    mtls_span_t domain;
    const char *error;

    memcpy(exact, row->id, row->len);
    error = mtls_spiffe_parse(mtls_span(exact, row->len), 0, &domain);
    free(exact);
    assert_message(error, row->words);
}

static void an_id_may_be_2048_bytes_long(void **state)
{
    char *id = apr_palloc(pool, 2049);
    mtls_span_t domain;

    (void)state;
    memset(id, 'a', 2049);
    memcpy(id, "spiffe://td/", 12);
    assert_null(mtls_spiffe_parse(mtls_span(id, 2048), 0, &domain));
    assert_span_text(domain, "td");
    assert_message(mtls_spiffe_parse(mtls_span(id, 2049), 0, &domain), "2048");
}

static void an_svid_has_one_uri_and_signs_nothing(void **state)
{
    peer_t peer;
    mtls_span_t id = {NULL, 0}, domain = {NULL, 0};

    (void)state;
    peer_init(&peer, pool);
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_VALID);
    assert_span_text(id, "spiffe://lab.carcano.corp/ns/prod/sa/orders");
    assert_span_text(domain, "lab.carcano.corp");
    peer.facts.is_ca = 1;
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_INVALID);
    peer.facts.is_ca = 0;
    peer.facts.signs_certificates = 1;
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_INVALID);
    peer.facts.signs_certificates = 0;
    peer_add_san(&peer, pool, MTLS_SAN_URI, mtls_span_of("https://a.example/"));
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_INVALID);
}

static void another_uri_makes_no_claim_and_a_wrong_one_is_invalid(void **state)
{
    peer_t peer;
    mtls_span_t id, domain;

    (void)state;
    peer_init(&peer, pool);
    peer.san[MTLS_SAN_URI][0] = mtls_span_of("https://a.example/");
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_NONE);
    peer.san[MTLS_SAN_URI][0] = mtls_span_of("SPIFFE://td/a");
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_INVALID);
    peer.san[MTLS_SAN_URI][0] = mtls_span_of("spiffe:td");
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_INVALID);
    peer.facts.san[MTLS_SAN_URI].n = 0;
    assert_int_equal(mtls_spiffe_of(&peer.facts, &id, &domain), MTLS_SVID_NONE);
}

int main(void)
{
    SUITE_TABLE(match_case, matches);
    SUITE_TABLE(error_case, errors);
    SUITE_CASE(a_regex_that_explodes_gives_up);
    SUITE_CASE(a_regex_that_recurses_gives_up);
    SUITE_CASE(a_pattern_cannot_raise_the_limit);
    SUITE_CASE(a_linear_regex_reads_64_kb);
    SUITE_CASE(a_list_that_gives_up_on_one_pattern_still_finds_another);
    SUITE_CASE(a_glob_of_many_stars_is_polynomial);
    SUITE_CASE(patterns_that_take_long_share_a_budget);
    SUITE_CASE(a_glob_beyond_the_most_steps_gives_up);
    SUITE_CASE(an_unparsed_matcher_gives_up);
    SUITE_CASE(lists_without_values_say_so);
    SUITE_CASE(certificates_are_compared_by_digest);
    SUITE_CASE(a_reversed_name_is_recognised);
    SUITE_CASE(lists_of_names_compare_names);
    SUITE_TABLE(reload_case, reloads);
    SUITE_CASE(each_list_keeps_its_own_version);
    SUITE_CASE(a_file_of_nothing_is_refused_at_a_restart);
    SUITE_CASE(a_nested_file_is_no_source_of_its_own);
    SUITE_CASE(pinned_certificates_are_loaded_again);
    SUITE_CASE(threads_test_while_lists_change);
    SUITE_TABLE(spiffe_case, ids);
    SUITE_CASE(an_id_may_be_2048_bytes_long);
    SUITE_CASE(an_svid_has_one_uri_and_signs_nothing);
    SUITE_CASE(another_uri_makes_no_claim_and_a_wrong_one_is_invalid);
    return suite_run("matcher", 230);
}
