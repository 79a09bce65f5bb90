/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What a certificate is to prove: that its owner is a client of ours, or a server we speak to. */

#ifndef MTLS_POLICY_PURPOSE_H
#define MTLS_POLICY_PURPOSE_H

typedef enum mtls_purpose_t { MTLS_PURPOSE_CLIENT = 0, MTLS_PURPOSE_SERVER } mtls_purpose_t;

#endif
