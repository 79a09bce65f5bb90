/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The keys a server signs identity tokens with (MTLSSigningKey), and the handler that publishes
 * their public halves. */

#ifndef MTLS_HTTPD_SIGNING_H
#define MTLS_HTTPD_SIGNING_H

#include <httpd.h>
#include <http_config.h>

#include "identity/signing_key.h"

/* A line of MTLSSigningKey. */
typedef struct mtls_signer_t {
    const char *where;
    mtls_signing_key_spec_t spec;
    mtls_live_t *live; /* mtls_signing_key_t */
} mtls_signer_t;

/* The directive, with which the handler mtls-jwks is there. */
const char *mtls_set_signing_key(cmd_parms *cmd, void *dir, const char *file, const char *kid);

/* The one of a server that signs, its first; NULL: it has none. Others are published only. */
const mtls_signer_t *mtls_signing_first(const server_rec *s);

#endif
