/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Values of X-Forwarded-Client-Cert that an upstream sent: what counts as a list must be split
 * alike by every kind of reader, or the element that is appended could be hidden or doubled. */

#include "fuzz.h"

#include <string.h>

#include <apr_strings.h>

#include "identity/xfcc.h"
#include "policy/limits.h"

typedef enum reader_t {
    KNOWS_QUOTE_ESCAPES, /* \" only */
    KNOWS_ALL_ESCAPES    /* \ and any byte */
} reader_t;

/* How many separators stand outside of quotes; their places are added up in *places. -1: quotes do
 * not match. */
static int split(mtls_span_t value, reader_t reader, size_t *places)
{
    int quoted = 0, n = 0;
    size_t i;

    *places = 0;
    for (i = 0; i < value.len; i++) {
        char c = value.data[i], next = i + 1 < value.len ? value.data[i + 1] : '\0';
        if (quoted && c == '\\' && (reader == KNOWS_ALL_ESCAPES || next == '"')) {
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == ',' || c == ';')) {
            n++;
            *places += (i + 1) * (c == ',' ? 1 : 2);
        }
    }
    return quoted ? -1 : n;
}

static void check_list(apr_pool_t *p, mtls_span_t value)
{
    static const char ours[] = "Hash=00;Subject=\"CN=a\\2Cb\"";
    size_t some, all, i;
    char *both = apr_palloc(p, value.len + 1 + sizeof(ours));

    for (i = 0; i < value.len; i++)
        CHECK(value.data[i] >= 0x20 && value.data[i] < 0x7f);
    CHECK(value.len > 0 && value.data[0] != ' ' && value.data[value.len - 1] != ' ');
    CHECK(split(value, KNOWS_QUOTE_ESCAPES, &some) == split(value, KNOWS_ALL_ESCAPES, &all));
    CHECK(split(value, KNOWS_QUOTE_ESCAPES, &some) >= 0 && some == all);
    memcpy(both, value.data, value.len);
    both[value.len] = ',';
    memcpy(both + value.len + 1, ours, sizeof(ours));
    if (value.len + sizeof(ours) <= MTLS_MAX_XFCC_BYTES)
        CHECK(mtls_xfcc_is_list(mtls_span(both, value.len + sizeof(ours))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    mtls_span_t value = mtls_span((const char *)data, size);
    unsigned int pairs = 0;
    const char *error;

    if (mtls_xfcc_is_list(value))
        check_list(p, value);
    error = mtls_xfcc_parse_pairs(p, apr_pstrmemdup(p, value.data, value.len), &pairs);
    CHECK(error ? *error != '\0' : pairs > 0 && pairs <= 0x7f);
    fuzz_end(p);
    return 0;
}
