/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* SPIFFE IDs that may be told to a backend: it takes one for the workload's identity, wherever it
 * stands. */

#ifndef MTLS_IDENTITY_VOUCHED_H
#define MTLS_IDENTITY_VOUCHED_H

#include "identity/field.h"

/* Whether the certificate has a SPIFFE ID for whose trust domain its trust store may vouch; `id` is
 * then set, a part of the facts. */
int mtls_vouched_id(const mtls_identity_t *identity, mtls_span_t *id);

/* Whether a URI of the certificate may be told: one of another scheme, or that ID. */
int mtls_vouched_uri(const mtls_identity_t *identity, mtls_span_t uri);

#endif
