/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Globs over names: "*" is one or more bytes other than . / : @ ? #, "**" is one or more bytes.
 * Everything else stands for itself. */

#ifndef MTLS_POLICY_GLOB_H
#define MTLS_POLICY_GLOB_H

#include "policy/span.h"

typedef struct mtls_glob_t mtls_glob_t;

/* Parse in `p`; NULL or what is wrong. The bytes of `text` must outlive the glob. */
const char *mtls_glob_parse(apr_pool_t *p, mtls_span_t text, mtls_glob_t **glob);

/* How many steps a comparison with `value` takes at most. */
apr_size_t mtls_glob_steps(const mtls_glob_t *glob, mtls_span_t value);

/* 1 or 0 for the whole value, -1 without memory. */
int mtls_glob_test(const mtls_glob_t *glob, mtls_span_t value);

#endif
