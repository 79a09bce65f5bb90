/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/client_cert.h"

#include <apr_tables.h>

#include "identity/text.h"

/* RFC 8941 3.3.5: base64 with its padding between colons. */
static const char *byte_sequence(apr_pool_t *p, mtls_span_t der)
{
    return apr_pstrcat(p, ":", mtls_text_base64(p, der), ":", NULL);
}

const char *mtls_client_cert(apr_pool_t *p, const mtls_identity_t *identity)
{
    return byte_sequence(p, identity->evidence->facts->der);
}

const char *mtls_client_cert_chain(apr_pool_t *p, const mtls_identity_t *identity)
{
    apr_array_header_t *list;
    int i;

    if (identity->ca_count <= 0)
        return NULL;
    list = apr_array_make(p, identity->ca_count, sizeof(const char *));
    for (i = 0; i < identity->ca_count; i++)
        APR_ARRAY_PUSH(list, const char *) =
            apr_pstrcat(p, i ? " " : "", byte_sequence(p, identity->cas[i]), NULL);
    return apr_array_pstrcat(p, list, ',');
}
