/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What is exported with every allowed request of a connection, made once. */

#ifndef MTLS_HTTPD_EXPORTS_H
#define MTLS_HTTPD_EXPORTS_H

#include "httpd/merged.h"
#include "httpd/peer.h"
#include "identity/variables.h"

/* Never changes once made. */
typedef struct mtls_exports_t {
    const char *user;                  /* MTLSUser; NULL: not exactly one value */
    int ambiguous;                     /* MTLSUser is asked for, or a token, and nobody is named */
    const char **headers;              /* one for each of the merged policy's; an entry is NULL for
                                          an absent attribute, and for what is made for every request */
    const apr_array_header_t *formats; /* mtls_header_t: of MTLSExport */
    const char *xfcc;                  /* our element, to be appended; NULL: it is in `formats` */
    const apr_array_header_t *env;     /* mtls_variable_t; NULL: not exported */
    apr_size_t bytes;                  /* of all headers */
    const char *too_large;             /* the header over MTLSHeaderLimit; NULL: none */
    int incomplete;                    /* the chain's certificates could not be had */
} mtls_exports_t;

/* What `merged` exports of a peer whose chain is good. In `p`: the peer's pool, or one that lives
 * shorter. Inside mtls_peer_enter() and _leave(). */
mtls_exports_t *mtls_exports_make(apr_pool_t *p, mtls_peer_t *peer, const mtls_merged_t *merged,
                                  const mtls_evidence_t *evidence, apr_time_t now);

/* The user's name for exactly one value of MTLSUser, else NULL. */
const char *mtls_exports_user(apr_pool_t *p, const mtls_user_t *user,
                              const mtls_identity_t *identity);

#endif
