/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/value_list: the lines of a file, and large lists of values. */

#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/limits.h"
#include "policy/value_list.h"

/* Sanitizers make every access some times dearer; the boundaries that count lie lower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 100000
#else
#define MANY 1000000
#endif

/* ---- lines of list files ---- */

#define LINES(text) text, sizeof(text) - 1

static const struct lines_row {
    const char *name;
    const char *text;
    apr_size_t len;
    const char *joined; /* lines with "|" behind each */
    const char *words;
} line_files[] = {
    {"LF", LINES("a\nb\n"), "a|b|", NULL},
    {"last line without LF", LINES("a\nb"), "a|b|", NULL},
    {"CRLF", LINES("a\r\nb\r\n"), "a|b|", NULL},
    {"CR at the very end", LINES("a\r"), "a|", NULL},
    {"CR inside a line stays", LINES("a\rb\n"), "a\rb|", NULL},
    {"only the last CR goes", LINES("a\r\r\n"), "a\r|", NULL},
    {"empty file", LINES(""), "", NULL},
    {"only line ends", LINES("\n\r\n\n"), "", NULL},
    {"only a CR", LINES("\r"), "", NULL},
    {"only blanks", LINES(" \t "), "", NULL},
    {"surrounding blanks", LINES("  a b\t \n\tc\r\n"), "a b|c|", NULL},
    {"comments", LINES("# x\n  # y\na#b\n#\n"), "a#b|", NULL},
    {"one byte", LINES("a"), "a|", NULL},
    {"byte order mark",
     LINES("\xef\xbb\xbf"
           "a\n"),
     NULL, "line 1|byte order mark"},
    {"part of a byte order mark is text", LINES("\xef\xbb\n"), "\xef\xbb|", NULL},
    {"two bytes of a byte order mark are a whole file", LINES("\xef\xbb"), "\xef\xbb|", NULL},
    {"NUL", LINES("a\0b\n"), "", "NUL"},
    {"NUL at the end", LINES("a\n\0"), "", "NUL"},
    {"a wrong line is named by its number", LINES("a\n\n#\nbad\nb\n"), "a|", "line 4: refused"},
    {"a wrong last line", LINES("a\r\nbad"), "a|", "line 2: refused"},
};

static const char *join_line(void *baton, apr_pool_t *scratch, const char *line)
{
    const char **joined = baton;

    if (strcmp(line, "bad") == 0)
        return apr_pstrdup(scratch, "refused");
    *joined = apr_pstrcat(pool, *joined, line, "|", NULL);
    return NULL;
}

/* The text in memory that ends where the file ends. It must come out as it went in. */
static const char *walk(const char *text, apr_size_t len, const char **joined)
{
    char *copy = malloc(len ? len : 1);
    const char *error;

    assert_non_null(copy);
    memcpy(copy, text, len);
    *joined = "";
    error = mtls_lines_walk(pool, copy, len, join_line, joined);
    assert_memory_equal(copy, text, len);
    free(copy);
    return error;
}

static void lines_case(void **state)
{
    const struct lines_row *row = *state;
    const char *joined;

    assert_message(walk(row->text, row->len, &joined), row->words);
    if (row->joined)
        assert_string_equal(joined, row->joined);
}

static void no_bytes_at_all_are_an_empty_file(void **state)
{
    const char *joined = "";

    (void)state;
    assert_null(mtls_lines_walk(pool, NULL, 0, join_line, &joined));
    assert_string_equal(joined, "");
}

static const struct length_row {
    const char *name;
    int len;
    const char *end;
    const char *words;
} lengths[] = {
    {"the longest line", MTLS_MAX_LIST_LINE, "\n", NULL},
    {"the longest line without LF", MTLS_MAX_LIST_LINE, "", NULL},
    {"a line too long", MTLS_MAX_LIST_LINE + 1, "\n", "line 2|longer than 8192 bytes"},
    {"a line too long without LF", MTLS_MAX_LIST_LINE + 1, "", "line 2|longer than 8192 bytes"},
    {"a CR counts", MTLS_MAX_LIST_LINE, "\r\n", "line 2|longer than 8192 bytes"},
    {"the longest line with CRLF", MTLS_MAX_LIST_LINE - 1, "\r\n", NULL},
};

static void length_case(void **state)
{
    const struct length_row *row = *state;
    char *line = malloc(MTLS_MAX_LIST_LINE + 2);
    const char *joined, *text;

    assert_non_null(line);
    memset(line, 'a', MTLS_MAX_LIST_LINE + 1);
    line[row->len] = '\0';
    text = apr_pstrcat(pool, "x\n", line, row->end, NULL);
    assert_message(walk(text, strlen(text), &joined), row->words);
    assert_int_equal(strlen(joined), row->words ? 2 : 2 + row->len + 1);
    free(line);
}

static const char *count_line(void *baton, apr_pool_t *scratch, const char *line)
{
    int *n = baton;

    assert_int_equal(atoi(line), ++*n);
    memset(apr_palloc(scratch, 1000), 'x', 1000); /* what parsing leaves behind */
    return *n == 5000 ? "the last" : NULL;
}

static void scratch_memory_may_go_between_any_lines(void **state)
{
    char *text = apr_palloc(pool, 64 * 1024), *end = text;
    int n = 0, i;

    (void)state;
    for (i = 1; i <= 5000; i++)
        end += sprintf(end, "%d\n", i);
    assert_message(mtls_lines_walk(pool, text, (apr_size_t)(end - text), count_line, &n),
                   "line 5000: the last");
    assert_int_equal(n, 5000);
}

/* ---- lists ---- */

static void add(mtls_value_list_t *list, mtls_span_t value)
{
    assert_message(mtls_value_list_add(list, value), NULL);
}

static mtls_value_list_t *list_of(mtls_kind_t kind, const char *const *texts)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, kind);
    mtls_span_t value;

    for (; *texts; texts++) {
        assert_message(mtls_value_parse(pool, kind, *texts, world_oid, &value, NULL), NULL);
        add(list, value);
    }
    return list;
}

static void list_finds_whole_values_only(void **state)
{
    static const char *const texts[] = {"alpha", "beta", "alpha", NULL};
    mtls_value_list_t *list = list_of(MTLS_KIND_TEXT, texts);

    (void)state;
    assert_int_equal(mtls_value_list_count(list), 2);
    assert_true(mtls_value_list_has(list, mtls_span_of("beta")));
    assert_false(mtls_value_list_has(list, mtls_span_of("bet")));
    assert_false(mtls_value_list_has(list, mtls_span_of("betaa")));
    assert_false(mtls_value_list_has(list, mtls_span_of("Beta")));
    assert_false(mtls_value_list_has(list, mtls_span("beta\0", 5)));
    assert_false(mtls_value_list_has(list, mtls_span_of("")));
}

static void an_empty_list_holds_nothing(void **state)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);

    (void)state;
    assert_false(mtls_value_list_has(list, mtls_span_of("")));
    assert_false(mtls_value_list_has(list, mtls_span(NULL, 0)));
    mtls_value_list_seal(list);
    assert_int_equal(mtls_value_list_count(list), 0);
    assert_false(mtls_value_list_has(list, mtls_span_of("a")));
    list = mtls_value_list_make(pool, MTLS_KIND_IP);
    mtls_value_list_seal(list);
    assert_false(mtls_value_list_has(list, mtls_span("\0\0\0\0", 4)));
}

static void an_empty_value_is_a_value(void **state)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);

    (void)state;
    add(list, mtls_span(NULL, 0));
    add(list, mtls_span_of(""));
    assert_int_equal(mtls_value_list_count(list), 1);
    assert_true(mtls_value_list_has(list, mtls_span_of("")));
    assert_false(mtls_value_list_has(list, mtls_span("\0", 1)));
    mtls_value_list_seal(list);
    assert_true(mtls_value_list_has(list, mtls_span(NULL, 0)));
}

static void a_value_may_hold_nuls(void **state)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);

    (void)state;
    add(list, mtls_span("a\0b", 3));
    add(list, mtls_span("a\0", 2));
    add(list, mtls_span("\0\0\0\0\0\0\0\0\0", 9));
    assert_int_equal(mtls_value_list_count(list), 3);
    assert_true(mtls_value_list_has(list, mtls_span("a\0b", 3)));
    assert_true(mtls_value_list_has(list, mtls_span("a\0", 2)));
    assert_false(mtls_value_list_has(list, mtls_span("a\0c", 3)));
    assert_false(mtls_value_list_has(list, mtls_span("a", 1)));
    assert_false(mtls_value_list_has(list, mtls_span("a\0\0", 3)));
    assert_true(mtls_value_list_has(list, mtls_span("\0\0\0\0\0\0\0\0\0", 9)));
    assert_false(mtls_value_list_has(list, mtls_span("\0\0\0\0\0\0\0\0", 8)));
    assert_false(mtls_value_list_has(list, mtls_span("\0\0\0\0\0\0\0\0\0\0", 10)));
}

static void the_bytes_are_copied(void **state)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);
    char value[] = "alpha";

    (void)state;
    add(list, mtls_span_of(value));
    value[0] = 'b';
    assert_true(mtls_value_list_has(list, mtls_span_of("alpha")));
    assert_false(mtls_value_list_has(list, mtls_span_of(value)));
}

/* A length is written in one byte up to 127, in two up to 16383, and so on. */
static void every_length_is_found(void **state)
{
    static const apr_size_t sizes[] = {
        0,   1,   2,    7,    8,     9,     15,    16,    126,   127,     128,     129,
        255, 256, 8191, 8192, 16383, 16384, 16385, 65535, 65536, 2097151, 2097152, 2097153};
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);
    const apr_size_t most = 2097153;
    char *bytes = malloc(most);
    size_t i;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'a', most);
    for (i = 0; i < ROWS(sizes); i++)
        add(list, mtls_span(bytes, sizes[i]));
    mtls_value_list_seal(list);
    assert_int_equal(mtls_value_list_count(list), ROWS(sizes));
    for (i = 0; i < ROWS(sizes); i++)
        assert_true(mtls_value_list_has(list, mtls_span(bytes, sizes[i])));
    assert_false(mtls_value_list_has(list, mtls_span(bytes, 3)));
    assert_false(mtls_value_list_has(list, mtls_span(bytes, 130)));
    for (i = 1; i < ROWS(sizes); i++) { /* the last byte counts as much as the others */
        bytes[sizes[i] - 1] = 'b';
        assert_false(mtls_value_list_has(list, mtls_span(bytes, sizes[i])));
        bytes[sizes[i] - 1] = 'a';
    }
    free(bytes);
}

static void what_is_too_long_is_refused_unread(void **state)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);

    (void)state;
    add(list, mtls_span_of("alpha"));
    assert_message(mtls_value_list_add(list, mtls_span("x", (apr_size_t)-1)), "more than 4 GB");
    assert_message(mtls_value_list_add(list, mtls_span("x", APR_UINT32_MAX)), "more than 4 GB");
    assert_message(mtls_value_list_add(list, mtls_span("x", APR_UINT32_MAX - 10)),
                   "more than 4 GB");
    assert_int_equal(mtls_value_list_count(list), 1);
    assert_true(mtls_value_list_has(list, mtls_span_of("alpha")));
    assert_false(mtls_value_list_has(list, mtls_span_of("x")));
    add(list, mtls_span_of("x"));
    assert_true(mtls_value_list_has(list, mtls_span_of("x")));
}

static void a_sealed_list_takes_nothing_more(void **state)
{
    static const char *const texts[] = {"alpha", "beta", NULL};
    mtls_value_list_t *list = list_of(MTLS_KIND_TEXT, texts);
    apr_size_t before = mtls_value_list_bytes(list);

    (void)state;
    mtls_value_list_seal(list);
    assert_true(mtls_value_list_bytes(list) < before);
    before = mtls_value_list_bytes(list);
    mtls_value_list_seal(list);
    assert_int_equal(mtls_value_list_bytes(list), before);
    assert_message(mtls_value_list_add(list, mtls_span_of("gamma")), "complete");
    assert_int_equal(mtls_value_list_count(list), 2);
    assert_true(mtls_value_list_has(list, mtls_span_of("alpha")));
    assert_true(mtls_value_list_has(list, mtls_span_of("beta")));
    assert_false(mtls_value_list_has(list, mtls_span_of("gamma")));
}

static mtls_span_t number(char *text, int n)
{
    return mtls_span(text, (apr_size_t)sprintf(text, "%d", n));
}

/* Each value is looked for after each addition: the table grows somewhere in between. */
static void a_list_is_whole_at_every_size(void **state)
{
    char text[16];
    int n, i;

    (void)state;
    for (n = 1; n <= 300; n++) {
        mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);
        for (i = 0; i < n; i++) {
            add(list, number(text, i));
            add(list, number(text, i / 2));
        }
        if (n % 2)
            mtls_value_list_seal(list);
        assert_int_equal(mtls_value_list_count(list), n);
        for (i = 0; i < 2 * n; i++)
            assert_int_equal(mtls_value_list_has(list, number(text, i)), i < n);
    }
}

static void lists_end_with_their_pool(void **state)
{
    apr_pool_t *p = NULL;
    mtls_value_list_t *list;
    char text[16];
    int i;

    (void)state;
    assert_int_equal(apr_pool_create(&p, pool), APR_SUCCESS);
    list = mtls_value_list_make(p, MTLS_KIND_TEXT);
    for (i = 0; i < 1000; i++)
        add(list, number(text, i));
    apr_pool_destroy(p); /* a leak would be told by AddressSanitizer */
}

/* ---- networks ---- */

static void list_of_networks_finds_addresses(void **state)
{
    static const char *const texts[] = {"192.0.2.0/25", "198.51.100.7", "2001:db8::/33", NULL};
    mtls_value_list_t *list = list_of(MTLS_KIND_IP, texts);

    (void)state;
    assert_true(mtls_value_list_has(list, mtls_span("\xc0\x00\x02\x7f", 4)));
    assert_false(mtls_value_list_has(list, mtls_span("\xc0\x00\x02\x80", 4)));
    assert_true(mtls_value_list_has(list, mtls_span("\xc6\x33\x64\x07", 4)));
    assert_false(mtls_value_list_has(list, mtls_span("\xc6\x33\x64\x08", 4)));
    assert_true(
        mtls_value_list_has(list, mtls_span("\x20\x01\x0d\xb8\x7f\0\0\0\0\0\0\0\0\0\0\1", 16)));
    assert_false(
        mtls_value_list_has(list, mtls_span("\x20\x01\x0d\xb8\x80\0\0\0\0\0\0\0\0\0\0\1", 16)));
}

static void list_of_networks_refuses_odd_addresses(void **state)
{
    static const char *const texts[] = {"0.0.0.0/0", "::/0", NULL};
    mtls_value_list_t *list = list_of(MTLS_KIND_IP, texts);
    char bytes[20] = {0};
    apr_size_t len;

    (void)state;
    for (len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(mtls_value_list_has(list, mtls_span(bytes, len)), len == 4 || len == 16);
}

static void one_network_of_every_length(void **state)
{
    char ones[16], network[MTLS_NETWORK_BYTES];
    int bits;

    (void)state;
    memset(ones, 0xff, sizeof(ones));
    for (bits = 0; bits <= 128; bits++) {
        mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_IP);
        mtls_span_t address = mtls_span(ones, bits <= 32 ? 4 : 16);
        char other[16];
        add(list, mtls_span(network, mtls_value_network(address, bits, network)));
        assert_true(mtls_value_list_has(list, address));
        memcpy(other, ones, sizeof(other));
        if (bits > 0)
            other[(bits - 1) / 8] = (char)(other[(bits - 1) / 8] ^ (0x80 >> ((bits - 1) % 8)));
        assert_int_equal(mtls_value_list_has(list, mtls_span(other, address.len)), bits == 0);
    }
}

static const struct network_row {
    const char *name;
    mtls_span_t bytes;
} no_networks[] = {
    {"no network: nothing", {NULL, 0}},
    {"no network: one byte", {"\4", 1}},
    {"no network: an address alone", {"\xc0\0\2\1", 4}},
    {"no network: IPv4 of 33 bits", {"\x04\x21\xc0\0\2\1", 6}},
    {"no network: IPv4 of 255 bits", {"\x04\xff\xc0\0\2\1", 6}},
    {"no network: IPv6 of 129 bits", {"\x10\x81\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 18}},
    {"no network: family of another length", {"\x10\x20\xc0\0\2\1", 6}},
    {"no network: family unknown", {"\x05\x20\xc0\0\2\1\0", 7}},
};

static void no_network_case(void **state)
{
    const struct network_row *row = *state;
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_IP);

    assert_message(mtls_value_list_add(list, row->bytes), "not an address");
    assert_int_equal(mtls_value_list_count(list), 0);
}

/* ---- a million ---- */

static mtls_span_t spiffe_id(char *text, int n)
{
    return mtls_span(text,
                     (apr_size_t)sprintf(text, "spiffe://prod.example/ns/%d/sa/svc-%d", n % 97, n));
}

/* 32 bytes that differ everywhere, as digests do. */
static mtls_span_t digest(char *bytes, int n)
{
    apr_uint64_t x = (apr_uint64_t)n * APR_UINT64_C(0x9e3779b97f4a7c15) + 1;
    int i;

    for (i = 0; i < 4; i++) {
        x ^= x >> 29;
        x *= APR_UINT64_C(0xbf58476d1ce4e5b9);
        memcpy(bytes + 8 * i, &x, 8);
    }
    return mtls_span(bytes, 32);
}

static const struct million_row {
    const char *name;
    mtls_span_t (*value)(char *bytes, int n);
} millions[] = {
    {"a million SPIFFE IDs", spiffe_id},
    {"a million digests", digest},
};

static mtls_value_list_t *make_million(const struct million_row *row)
{
    mtls_value_list_t *list = mtls_value_list_make(pool, MTLS_KIND_TEXT);
    char bytes[64];
    int i;

    for (i = 0; i < MANY; i++)
        add(list, row->value(bytes, i));
    for (i = 0; i < MANY; i += 10)
        add(list, row->value(bytes, i));
    mtls_value_list_seal(list);
    assert_int_equal(mtls_value_list_count(list), MANY);
    return list;
}

static void million_case(void **state)
{
    const struct million_row *row = *state;
    mtls_value_list_t *list = make_million(row);
    apr_size_t values = 0;
    char bytes[64];
    int i;

    for (i = 0; i < MANY; i++) {
        mtls_span_t value = row->value(bytes, i);
        values += value.len;
        if (!mtls_value_list_has(list, value))
            fail_msg("value %d is missing", i);
        bytes[value.len - 1] ^= 0x40;
        if (mtls_value_list_has(list, value))
            fail_msg("value %d: a near miss was found", i);
        bytes[value.len - 1] ^= 0x40;
        if (mtls_value_list_has(list, mtls_span(bytes, value.len - 1)) && row->value == digest)
            fail_msg("value %d: its beginning was found", i);
        if (mtls_value_list_has(list, row->value(bytes, MANY + i)))
            fail_msg("value %d was found and never added", MANY + i);
    }
    /* Beside the bytes: a byte of length, at most two slots a value. */
    assert_true(mtls_value_list_bytes(list) <= values + 10u * MANY);
}

static void *look_up_all(void *list)
{
    char bytes[64];
    int i;

    for (i = 0; i < MANY / 10; i++) {
        if (!mtls_value_list_has(list, spiffe_id(bytes, i)) ||
            mtls_value_list_has(list, spiffe_id(bytes, MANY + i)))
            return "wrong";
    }
    return NULL;
}

static void threads_look_up_at_once(void **state)
{
    mtls_value_list_t *list = make_million(&millions[0]);
    pthread_t threads[4];
    void *result;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up_all, list), 0);
    for (i = 0; i < ROWS(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

int main(void)
{
    SUITE_TABLE(lines_case, line_files);
    SUITE_CASE(no_bytes_at_all_are_an_empty_file);
    SUITE_TABLE(length_case, lengths);
    SUITE_CASE(scratch_memory_may_go_between_any_lines);
    SUITE_CASE(list_finds_whole_values_only);
    SUITE_CASE(an_empty_list_holds_nothing);
    SUITE_CASE(an_empty_value_is_a_value);
    SUITE_CASE(a_value_may_hold_nuls);
    SUITE_CASE(the_bytes_are_copied);
    SUITE_CASE(every_length_is_found);
    SUITE_CASE(what_is_too_long_is_refused_unread);
    SUITE_CASE(a_sealed_list_takes_nothing_more);
    SUITE_CASE(a_list_is_whole_at_every_size);
    SUITE_CASE(lists_end_with_their_pool);
    SUITE_CASE(list_of_networks_finds_addresses);
    SUITE_CASE(list_of_networks_refuses_odd_addresses);
    SUITE_CASE(one_network_of_every_length);
    SUITE_TABLE(no_network_case, no_networks);
    SUITE_TABLE(million_case, millions);
    SUITE_CASE(threads_look_up_at_once);
    return suite_run("value_list", 50);
}
