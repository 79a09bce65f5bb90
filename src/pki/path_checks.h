/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What OpenSSL takes of a path and we do not: keys of odd kinds, and names that its check of name
 * constraints (RFC 5280 4.2.1.10) reads in another way than everybody else. */

#ifndef MTLS_PKI_PATH_CHECKS_H
#define MTLS_PKI_PATH_CHECKS_H

#include <openssl/x509.h>

#include "policy/reason.h"

/* Look at a path, leaf to anchor, that X509_verify_cert() has just found good. NULL where nothing
 * is wrong with it; else static text for the log and, in `reason`, MTLS_CHAIN_WEAK or
 * MTLS_CHAIN_INVALID. Any thread. The work is bounded by what OpenSSL allowed before: names times
 * constraints, at most 2^20. */
const char *mtls_path_refusal(const STACK_OF(X509) * verified, mtls_reason_t *reason);

#endif
