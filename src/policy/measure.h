/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Values that are measured, not compared as bytes: keys ("rsa>=3072", "ec:prime256v1") and
 * durations ("<=90d"). */

#ifndef MTLS_POLICY_MEASURE_H
#define MTLS_POLICY_MEASURE_H

#include "policy/facts.h"

typedef enum mtls_compare_t {
    MTLS_COMPARE_NONE = 0,
    MTLS_COMPARE_ANY, /* "rsa": the type alone */
    MTLS_COMPARE_LESS,
    MTLS_COMPARE_AT_MOST,
    MTLS_COMPARE_AT_LEAST,
    MTLS_COMPARE_MORE
} mtls_compare_t;

typedef struct mtls_measure_t {
    const char *type;  /* key: lower case */
    const char *curve; /* key: of "ec:CURVE", else NULL */
    mtls_compare_t compare;
    apr_int64_t amount; /* key: bits; duration: seconds */
} mtls_measure_t;

/* NULL or what is wrong, with what is allowed, in `p`. */
const char *mtls_measure_parse_key(apr_pool_t *p, const char *text, mtls_measure_t *measure);
const char *mtls_measure_parse_duration(apr_pool_t *p, const char *text, mtls_measure_t *measure);

int mtls_measure_key(const mtls_measure_t *measure, const mtls_key_t *key);
int mtls_measure_seconds(const mtls_measure_t *measure, apr_int64_t seconds);

/* When the answer for the time left until `end` changes after `now`; MTLS_FOREVER when it has. */
apr_time_t mtls_measure_turns(const mtls_measure_t *measure, apr_time_t end, apr_time_t now);

#endif
