/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A header for a backend, finished: printable ASCII. */

#ifndef MTLS_IDENTITY_HEADER_H
#define MTLS_IDENTITY_HEADER_H

#include <apr_tables.h>

typedef struct mtls_header_t {
    const char *name;
    const char *value;
} mtls_header_t;

/* Push a header; one without a value (NULL or empty) is left out: absent, never empty. */
void mtls_header_push(apr_array_header_t *out, const char *name, const char *value);

#endif
