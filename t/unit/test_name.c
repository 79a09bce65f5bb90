/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/name: RFC 4514 strings and the form in which names are compared. */

#include "suite.h"

#include "policy/limits.h"
#include "policy/name.h"

static mtls_span_t canonical_of(const char *text)
{
    mtls_span_t canonical = {NULL, 0}, reversed = {NULL, 0};

    assert_message(mtls_name_parse(pool, text, world_oid, &canonical, &reversed), NULL);
    return canonical;
}

/* ---- two strings, the same name or not ---- */

static const struct pair_row {
    const char *name;
    const char *left;
    const char *right;
    int same;
} pairs[] = {
    {"same text is the same name", "CN=x,O=y,C=CH", "CN=x,O=y,C=CH", 1},
    {"order of RDNs counts", "CN=x,O=y,C=CH", "C=CH,O=y,CN=x", 0},
    {"order of RDNs counts for equal types", "OU=a,OU=b", "OU=b,OU=a", 0},
    {"blanks around separators do not count", "CN = x , O = y", "CN=x,O=y", 1},
    {"an escaped blank at the end counts", "CN=x\\ ,O=y", "CN=x,O=y", 0},
    {"an escaped blank at the start counts", "CN=\\ x", "CN=x", 0},
    {"two blanks inside are not one", "CN=a  b", "CN=a b", 0},
    {"case of values counts", "CN=X", "CN=x", 0},
    {"type by its long name", "commonName=x", "CN=x", 1},
    {"type by its OID", "2.5.4.3=x", "CN=x", 1},
    {"types differ", "CN=x", "O=x", 0},
    {"multi-valued RDN is a set", "CN=x+UID=y", "UID=y+CN=x", 1},
    {"multi-valued RDN with equal types is a set", "OU=a+OU=b+OU=c", "OU=c+OU=a+OU=b", 1},
    {"multi-valued RDN is not two RDNs", "CN=x+UID=y", "CN=x,UID=y", 0},
    {"multi-valued RDN misses a member", "CN=x+UID=y", "CN=x", 0},
    {"multi-valued RDN keeps repetitions", "OU=a+OU=a", "OU=a", 0},
    {"escaped comma is part of the value", "CN=a\\,O=b", "CN=a,O=b", 0},
    {"escaped comma equals its hex pair", "CN=a\\,b", "CN=a\\2cb", 1},
    {"escaped plus equals its hex pair", "CN=a\\+b", "CN=a\\2Bb", 1},
    {"all special characters may be escaped", "CN=\\\"\\+\\,\\;\\<\\>\\#\\=\\\\",
     "CN=\\22\\2b\\2c\\3b\\3c\\3e\\23\\3d\\5c", 1},
    {"equals sign needs no escape inside a value", "CN=a=b", "CN=a\\=b", 1},
    {"CN= inside another value is no CN", "L=Somewhere\\, CN=admin", "CN=admin,L=Somewhere", 0},
    {"hex pairs make UTF-8", "CN=Lu\\C4\\8Di\\C4\\87", "CN=Lu\xc4\x8di\xc4\x87", 1},
    {"NFC and NFD differ", "CN=J\xc3\xbcrgen", "CN=Ju\xcc\x88rgen", 0},
    {"escaped hash is text", "CN=\\#0c0161", "CN=#0c0161", 0},
    {"hexstring ignores case of digits", "CN=#0C0161", "CN=#0c0161", 1},
    {"hex pair of a blank at the end counts", "CN=x\\20", "CN=x\\ ", 1},
    {"a length cannot be imitated", "CN=a,O=b", "CN=a\\,2.5.4.10=1:b", 0},
    {"an empty value is not an absent one", "CN=,O=y", "O=y", 0},
    {"empty values are equal", "CN=,O=y", "CN= ,O=y", 1},
    {"slash inside a value is text", "CN=x/O=y", "CN=x,O=y", 0},
};

static void pair_case(void **state)
{
    const struct pair_row *row = *state;

    assert_int_equal(mtls_span_equal(canonical_of(row->left), canonical_of(row->right)), row->same);
}

/* ---- what is wrong ---- */

static const struct error_row {
    const char *name;
    const char *text;
    const char *words;
} errors[] = {
    {"empty", "", "empty"},
    {"legacy slashes", "/C=CH/O=y/CN=x", "RFC 4514|slashes"},
    {"only a comma", ",", "type is missing"},
    {"only an equals sign", "=x", "type is missing|character 1"},
    {"no equals sign", "CN", "\"=\" is missing|CN"},
    {"blank inside a type", "C N=x", "\"=\" is missing"},
    {"comma at the end", "CN=x,", "type is missing|character 6"},
    {"plus at the end", "CN=x+", "type is missing"},
    {"two commas", "CN=x,,O=y", "type is missing"},
    {"unknown type", "CM=x", "unknown attribute type \"CM\""},
    {"unknown type as second", "CN=x,XY=z", "unknown attribute type \"XY\""},
    {"type of odd characters", "C_N=x", "\"=\" is missing"},
    {"semicolon as separator", "CN=x;O=y", "escaped"},
    {"unescaped quotes", "CN=\"x\"", "escaped"},
    {"unescaped angle bracket", "CN=<x>", "escaped"},
    {"backslash at the end", "CN=x\\", "backslash"},
    {"backslash before one hex digit", "CN=x\\4", "backslash"},
    {"backslash before a letter", "CN=x\\n", "backslash"},
    {"escaped NUL", "CN=admin\\00.evil", "NUL"},
    {"hash without digits", "CN=#", "hex digits are missing"},
    {"hash with other text", "CN=#zz", "hex digits are missing"},
    {"odd number of hex digits", "CN=#0c016", "expected"},
    {"text behind a hexstring", "CN=#0c0161x", "expected"},
};

static void error_case(void **state)
{
    const struct error_row *row = *state;
    mtls_span_t canonical, reversed;

    assert_message(mtls_name_parse(pool, row->text, world_oid, &canonical, &reversed), row->words);
}

/* ---- strings against names as certificates have them ---- */

static mtls_name_attribute_t attribute(const char *oid, const char *value, int rdn)
{
    mtls_name_attribute_t a = {oid, mtls_span_of(value), *value == '#', rdn};

    return a;
}

static void string_equals_the_name_of_a_certificate(void **state)
{
    mtls_name_attribute_t der[] = {
        attribute("2.5.4.6", "CH", 0),
        attribute("2.5.4.10", "a, b", 1),
        attribute("2.5.4.3", "x", 2),
        attribute("0.9.2342.19200300.100.1.1", "y", 2),
    };

    (void)state;
    assert_span_equal(canonical_of("UID=y+CN=x,O=a\\, b,C=CH"), mtls_name_canonical(pool, der, 4));
}

static void text_that_looks_like_a_hexstring_is_not_one(void **state)
{
    mtls_name_attribute_t text = {"2.5.4.3", mtls_span_of("#0c0161"), 0, 0};
    mtls_name_attribute_t der = {"2.5.4.3", mtls_span_of("#0c0161"), 1, 0};

    (void)state;
    assert_span_equal(canonical_of("CN=\\#0c0161"), mtls_name_canonical(pool, &text, 1));
    assert_span_equal(canonical_of("CN=#0C0161"), mtls_name_canonical(pool, &der, 1));
}

static void reversed_is_the_name_written_the_other_way_round(void **state)
{
    mtls_span_t canonical, reversed;

    (void)state;
    assert_null(mtls_name_parse(pool, "C=CH,O=y,UID=z+CN=x", world_oid, &canonical, &reversed));
    assert_span_equal(reversed, canonical_of("CN=x+UID=z,O=y,C=CH"));
    assert_span_equal(canonical, canonical_of("C=CH,O=y,CN=x+UID=z"));
}

static void the_empty_name_equals_nothing_that_can_be_written(void **state)
{
    (void)state;
    assert_int_equal(mtls_name_canonical(pool, NULL, 0).len, 0);
    assert_true(canonical_of("CN=").len > 0);
}

static void attributes_are_bounded(void **state)
{
    char *text = apr_palloc(pool, 5 * (MTLS_MAX_NAME_ATTRIBUTES + 2) + 1), *at = text;
    mtls_span_t canonical, reversed;
    int i;

    (void)state;
    for (i = 0; i < MTLS_MAX_NAME_ATTRIBUTES; i++, at += 5)
        memcpy(at, i ? ",OU=a" : " OU=a", 5);
    *at = '\0';
    assert_message(mtls_name_parse(pool, text, world_oid, &canonical, &reversed), NULL);
    memcpy(at, ",OU=a", 6);
    assert_message(mtls_name_parse(pool, text, world_oid, &canonical, &reversed),
                   "too many attributes");
}

static void a_value_of_64_kb_is_compared_to_its_last_byte(void **state)
{
    char *left = apr_palloc(pool, 65600), *right;

    (void)state;
    memcpy(left, "CN=", 3);
    memset(left + 3, 'a', 65536);
    left[3 + 65536] = '\0';
    right = apr_pstrdup(pool, left);
    assert_span_equal(canonical_of(left), canonical_of(right));
    right[3 + 65535] = 'b';
    assert_false(mtls_span_equal(canonical_of(left), canonical_of(right)));
}

int main(void)
{
    SUITE_TABLE(pair_case, pairs);
    SUITE_TABLE(error_case, errors);
    SUITE_CASE(string_equals_the_name_of_a_certificate);
    SUITE_CASE(text_that_looks_like_a_hexstring_is_not_one);
    SUITE_CASE(reversed_is_the_name_written_the_other_way_round);
    SUITE_CASE(the_empty_name_equals_nothing_that_can_be_written);
    SUITE_CASE(attributes_are_bounded);
    SUITE_CASE(a_value_of_64_kb_is_compared_to_its_last_byte);
    return suite_run("name", 60);
}
