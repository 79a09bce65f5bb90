/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Identity tokens of a connection (MTLSExport jwt): made once, used until half of their life is
 * over. */

#ifndef MTLS_HTTPD_TOKENS_H
#define MTLS_HTTPD_TOKENS_H

#include <httpd.h>

#include "identity/jwt.h"

/* The token of `identity` for this request, in r->pool; it ends at `until` at the latest. NULL:
 * `reason` is why the request must be refused: MTLS_USER_AMBIGUOUS, or MTLS_INTERNAL_ERROR, of
 * which the cause is logged. Outside of mtls_peer_enter() and mtls_peer_leave(); any thread. */
const char *mtls_token_of(request_rec *r, const mtls_jwt_spec_t *spec,
                          const mtls_identity_t *identity, apr_time_t until, mtls_reason_t *reason);

#endif
