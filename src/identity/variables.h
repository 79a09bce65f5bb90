/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The identity as environment variables (MTLSExport env). */

#ifndef MTLS_IDENTITY_VARIABLES_H
#define MTLS_IDENTITY_VARIABLES_H

#include <apr_tables.h>

#include "identity/field.h"

typedef struct mtls_variable_t {
    const char *name;
    const char *value;
} mtls_variable_t;

/* Push a variable (mtls_variable_t); one without a value is left out. */
void mtls_variable_push(apr_array_header_t *out, const char *name, const char *value);

/* Push the variables of an identity, in `p`; an absent attribute has none. Values are encoded
 * (mtls_text_encode) but for MTLS_CERT, which is PEM with its line ends. */
void mtls_identity_variables(apr_pool_t *p, const mtls_identity_t *identity,
                             apr_array_header_t *out);

#endif
