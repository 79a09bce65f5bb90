/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/vouched.h"

#include "policy/spiffe.h"

int mtls_vouched_id(const mtls_identity_t *identity, mtls_span_t *id)
{
    const mtls_evidence_t *evidence = identity->evidence;
    mtls_span_t domain;

    return mtls_spiffe_of(evidence->facts, id, &domain) == MTLS_SVID_VALID && evidence->chain &&
           mtls_spiffe_domain_trusted(evidence->chain, domain);
}

/* Schemes are compared without case (RFC 3986 3.1), so readers may do that, too. */
static int is_spiffe(mtls_span_t uri)
{
    static const char scheme[] = "spiffe:";
    apr_size_t i;

    for (i = 0; i < sizeof(scheme) - 1; i++) {
        if (i >= uri.len || mtls_ascii_lower(uri.data[i]) != scheme[i])
            return 0;
    }
    return 1;
}

int mtls_vouched_uri(const mtls_identity_t *identity, mtls_span_t uri)
{
    mtls_span_t id;

    return !is_spiffe(uri) || (mtls_vouched_id(identity, &id) && mtls_span_equal(uri, id));
}
