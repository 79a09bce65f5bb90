/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The OCSP status of a peer: looked up in the shared cache while a request is judged, asked for
 * where that is due, and waited for outside every lock where nothing else would do. */

#ifndef MTLS_HTTPD_OCSP_H
#define MTLS_HTTPD_OCSP_H

#include "httpd/peer.h"

/* One judgement of a request: what its statuses need, and what became of it. */
typedef struct mtls_ocsp_round_t {
    request_rec *r; /* for health checks a made-up one: pool, server, connection, headers_in */
    mtls_peer_t *peer;
    apr_time_t now;
    int may_wait;                /* for the policy that is being judged */
    apr_interval_time_t *waited; /* how long the request has waited in rounds like this one; NULL:
                                    there are no others */
    int asked;                   /* what was worth waiting for has been asked for */
    apr_array_header_t *wanted;  /* what is worth waiting for; NULL: nothing */
} mtls_ocsp_round_t;

/* mtls_status_fn; the baton is an mtls_ocsp_round_t. Inside mtls_peer_enter() and _leave(). */
mtls_status_t mtls_ocsp_status(void *round, const mtls_evidence_t *evidence, int chain,
                               apr_time_t *valid_until, const char **hint);

/* The OCSPResponse that the peer, a server, has stapled to its certificate in the handshake;
 * copied. From then on it takes part in every look at the status of the leaf, where it counts for
 * as much as it proves (ocsp/offer.h); one that is of no use changes nothing and is in the log,
 * once for each response. Empty: it sent none. Inside mtls_peer_enter() and _leave(), or
 * before anybody else knows the peer. */
void mtls_ocsp_offer(mtls_peer_t *peer, mtls_span_t response);

/* Ask for what is wanted, and wait for it as long as a request may. 1: judge again. Outside of
 * mtls_peer_enter() and _leave(). */
int mtls_ocsp_wait(mtls_ocsp_round_t *round);

/* A child begins. */
void mtls_ocsp_child(apr_pool_t *pchild, server_rec *s);

#endif
