/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* SPIFFE IDs by the rules of SPIFFE-ID.md and the leaf rules of X509-SVID.md. */

#ifndef MTLS_POLICY_SPIFFE_H
#define MTLS_POLICY_SPIFFE_H

#include "policy/facts.h"

/* NULL when `id` is a SPIFFE ID with a path (a workload's), else what is wrong. `domain` gets the
 * trust domain, a part of `id`. A pattern's last segment may be "*" or "**". */
const char *mtls_spiffe_parse(mtls_span_t id, int pattern, mtls_span_t *domain);

/* NULL when `domain` is a trust domain's name, else what is wrong. */
const char *mtls_spiffe_domain_parse(mtls_span_t domain);

typedef enum mtls_svid_t {
    MTLS_SVID_INVALID = 0, /* claims a SPIFFE ID but breaks a rule */
    MTLS_SVID_NONE,        /* makes no such claim */
    MTLS_SVID_VALID
} mtls_svid_t;

/* The SPIFFE ID of a certificate (X509-SVID 2 and 5.2): exactly one URI SAN, a workload's ID, no
 * CA, no certificate or CRL signing. `id` and `domain` are set for MTLS_SVID_VALID only. */
mtls_svid_t mtls_spiffe_of(const mtls_facts_t *facts, mtls_span_t *id, mtls_span_t *domain);

/* Whether the anchors of a verified chain may vouch for a trust domain. */
int mtls_spiffe_domain_trusted(const mtls_chain_t *chain, mtls_span_t domain);

#endif
