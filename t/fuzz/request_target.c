/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Paths of request targets: one that is found to be fine reads the same in every way a backend may
 * read it. The first byte says how to judge. */

#include "fuzz.h"

#include <string.h>

#include "policy/request_target.h"

#define HOW_MASK (MTLS_TARGET_MAY_HAVE_PARAMS | MTLS_TARGET_UNMERGED | MTLS_TARGET_SENT_RAW)

static int hex(int c)
{
    const char *digits = "0123456789abcdef", *at;

    c = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;
    at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Once, as far as it goes. */
static char *decoded(apr_pool_t *p, const char *path, size_t len, size_t *out_len)
{
    char *out = apr_palloc(p, len + 1);
    size_t i, n = 0;

    for (i = 0; i < len; i++) {
        if (path[i] == '%' && i + 2 < len && hex(path[i + 1]) >= 0 && hex(path[i + 2]) >= 0) {
            out[n++] = (char)(hex(path[i + 1]) * 16 + hex(path[i + 2]));
            i += 2;
        } else {
            out[n++] = path[i];
        }
    }
    out[n] = '\0';
    *out_len = n;
    return out;
}

static size_t slashes(const char *path, size_t len)
{
    size_t i, n = 0;

    for (i = 0; i < len; i++)
        n += path[i] == '/';
    return n;
}

static void check_segment(const char *segment, size_t len)
{
    if (len == 0)
        return;
    CHECK(segment[len - 1] != '.' && segment[len - 1] != ' ');
    CHECK(segment[0] != ';');
    CHECK(!(len > 2 && memcmp(segment, "..;", 3) == 0));
}

/* What is fine has the same segments before and after decoding, and nothing is left to decode. */
static void check_fine(apr_pool_t *p, const char *path, size_t len, int how)
{
    size_t n, i, begin = 0, again_len;
    char *once = decoded(p, path, len, &n);
    char *again = decoded(p, once, n, &again_len);

    CHECK(again_len == n && memcmp(once, again, n) == 0);
    CHECK(slashes(path, len) == slashes(once, n));
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)once[i];
        CHECK(c >= 0x20 && c != 0x7f && c != '\\' && c != '?' && c != '#' && c != 0xc0 &&
              c != 0xc1);
        CHECK(c != ';' || (how & MTLS_TARGET_MAY_HAVE_PARAMS));
        if (c == '/') {
            check_segment(once + begin, i - begin);
            CHECK(i == 0 || i != begin || !(how & ~MTLS_TARGET_MAY_HAVE_PARAMS));
            begin = i + 1;
        }
    }
    check_segment(once + begin, n - begin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    mtls_target_flaw_t flaw = MTLS_TARGET_UNJUDGED;
    apr_size_t at = 0;
    char *text, *query;
    int how, other;

    if (size > 0) {
        how = data[0] & HOW_MASK;
        text = apr_pstrmemdup(p, (const char *)data + 1, size - 1);
        flaw = mtls_target_judge(mtls_span(text, size - 1), how, &at);
        CHECK(flaw != MTLS_TARGET_UNJUDGED && at <= size - 1);
        CHECK((strcmp(mtls_target_token(flaw), "unjudged") == 0) == (flaw == MTLS_TARGET_FINE));
        query = memchr(text, '?', size - 1);
        if (flaw == MTLS_TARGET_FINE && text[0] == '/')
            check_fine(p, text, query ? (size_t)(query - text) : size - 1, how);
        /* What is fine stays so where more is allowed. */
        for (other = 0; flaw == MTLS_TARGET_FINE && other <= HOW_MASK; other++) {
            if ((other & ~how & ~MTLS_TARGET_MAY_HAVE_PARAMS) == 0 &&
                (how & ~other & MTLS_TARGET_MAY_HAVE_PARAMS) == 0)
                CHECK(mtls_target_judge(mtls_span(text, size - 1), other, &at) == MTLS_TARGET_FINE);
        }
    }
    fuzz_end(p);
    return 0;
}
