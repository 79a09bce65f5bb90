/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Whether a request target can be read differently by httpd and by what stands behind it. Pure: it
 * looks at the bytes the client sent and at nothing else, and may be called on any thread. */

#ifndef MTLS_POLICY_REQUEST_TARGET_H
#define MTLS_POLICY_REQUEST_TARGET_H

#include "policy/span.h"

/* What is wrong with a path: enumerator and the token in logs. */
#define MTLS_TARGET_FLAWS(FLAW)                                                                    \
    FLAW(MTLS_TARGET_PARAMETER, "parameter")                 /* ";" */                             \
    FLAW(MTLS_TARGET_ENCODED_SEMICOLON, "encoded_semicolon") /* httpd hands on a plain ";" */      \
    FLAW(MTLS_TARGET_ENCODED_SLASH, "encoded_slash")         /* "%2f" */                           \
    FLAW(MTLS_TARGET_ENCODED_DELIMITER, "encoded_delimiter") /* "%3f", "%23" */                    \
    FLAW(MTLS_TARGET_FRAGMENT, "fragment")                   /* "#" */                             \
    FLAW(MTLS_TARGET_BACKSLASH, "backslash")                 /* raw or "%5c" */                    \
    FLAW(MTLS_TARGET_DOUBLE_ENCODING, "double_encoding")     /* "%25" and two hex digits */        \
    FLAW(MTLS_TARGET_BAD_ENCODING, "bad_encoding")           /* "%" without two hex digits */      \
    FLAW(MTLS_TARGET_OVERLONG, "overlong")                   /* UTF-8 longer than it needs be */   \
    FLAW(MTLS_TARGET_CONTROL, "control")                     /* raw or encoded */                  \
    FLAW(MTLS_TARGET_DOT_SEGMENT, "dot_segment")             /* "." or "..", raw or encoded */     \
    FLAW(MTLS_TARGET_TRAILING_DOT, "trailing_dot")           /* of a segment */                    \
    FLAW(MTLS_TARGET_TRAILING_SPACE, "trailing_space")       /* of a segment */                    \
    FLAW(MTLS_TARGET_STREAM, "stream")                       /* ":$", NTFS */                      \
    FLAW(MTLS_TARGET_EMPTY_SEGMENT, "empty_segment")         /* "//" */                            \
    FLAW(MTLS_TARGET_NON_ASCII, "non_ascii")                 /* raw */

typedef enum mtls_target_flaw_t {
    MTLS_TARGET_UNJUDGED = 0, /* nothing is known of it: to be refused */
#define MTLS_TARGET_FLAW(name, token) name,
    MTLS_TARGET_FLAWS(MTLS_TARGET_FLAW)
#undef MTLS_TARGET_FLAW
        MTLS_TARGET_FINE
} mtls_target_flaw_t;

/* How to judge; may be or'ed. */
enum {
    MTLS_TARGET_MAY_HAVE_PARAMS = 1, /* ";" behind a name is no flaw */
    MTLS_TARGET_UNMERGED = 2,        /* nobody merges "//": an empty segment is a flaw */
    MTLS_TARGET_SENT_RAW = 4 /* goes on as it came: so is a raw byte beyond ASCII, and "//" */
};

/* The path of a target in origin-form or absolute-form, up to "?": its first flaw, and where in the
 * target that is (bytes from 0), or MTLS_TARGET_FINE. */
mtls_target_flaw_t mtls_target_judge(mtls_span_t target, int how, apr_size_t *at);

/* "encoded_slash", ...; for what is no flaw "unjudged". Static text. */
const char *mtls_target_token(mtls_target_flaw_t flaw);

/* A decoded path with the parameters of its segments taken away, as servlet containers read it:
 * "/a;v=1/b" is "/a/b". In `p`. */
const char *mtls_target_without_params(apr_pool_t *p, const char *path);

#endif
