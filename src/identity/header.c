/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/header.h"

void mtls_header_push(apr_array_header_t *out, const char *name, const char *value)
{
    mtls_header_t *header;

    if (!value || !*value)
        return;
    header = apr_array_push(out);
    header->name = name;
    header->value = value;
}
