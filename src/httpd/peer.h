/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The peer of a connection: the certificate it proved and the chain of that certificate. The only
 * place that talks to mod_ssl, and it never asks mod_ssl whether a certificate was good.
 *
 * The streams of an HTTP/2 connection share one peer and run in several threads. Whatever changes a
 * peer happens between mtls_peer_enter() and mtls_peer_leave(); what is handed out lives as long as
 * the connection and is never changed. */

#ifndef MTLS_HTTPD_PEER_H
#define MTLS_HTTPD_PEER_H

#include <apr_thread_mutex.h>
#include <mod_ssl_openssl.h>

#include "httpd/config.h"

/* Vhosts one connection can meet (name-based, several on one certificate). */
#define MTLS_PEER_STORES 4

typedef struct mtls_peer_chain_t {
    const mtls_trust_store_t *store;
    mtls_chain_result_t result;
} mtls_peer_chain_t;

typedef struct mtls_peer_t {
    SSL *ssl;
    int established;          /* the handshake was seen to be done */
    apr_pool_t *p;            /* with an allocator of its own; only under the lock */
    apr_thread_mutex_t *lock;
    int known;                /* the certificate was looked at */
    int deferred;             /* its handshake was made by a vhost with MTLSHandshake defer */
    X509 *leaf;               /* a reference of ours; NULL: none presented */
    const mtls_facts_t *facts;
    const char *malformed;    /* why there are no facts */
    /* What a handshake that was deferred found out, of which certificate. */
    X509 *handshake_leaf; /* a reference of ours */
    mtls_peer_chain_t handshake_chain;
    mtls_peer_chain_t chains[MTLS_PEER_STORES];
    int next_chain;
    struct mtls_slot_t **slots; /* verdicts, by ordinal of the merged policy (verdict.c) */
    int slot_count;
} mtls_peer_t;

/* The peer of the request's connection (of an HTTP/2 stream's master) once its handshake is done;
 * NULL on plain HTTP, and on a TLS port spoken to in plain HTTP. */
mtls_peer_t *mtls_peer_of(request_rec *r);

/* Take and give back the lock, needed on HTTP/2 only. Entering also notices a certificate that
 * renegotiation or post-handshake authentication brought, and forgets what the old one had. */
void mtls_peer_enter(mtls_peer_t *peer, request_rec *r);
void mtls_peer_leave(mtls_peer_t *peer, request_rec *r);

/* What is known of the peer at `now`, its chain verified against the store of the request's vhost.
 * Inside enter/leave. */
const mtls_chain_result_t *mtls_peer_evidence(mtls_peer_t *peer, request_rec *r, apr_time_t now,
                                              mtls_evidence_t *evidence);

/* Whether the certificate may be one that mod_ssl would have refused in the handshake: this vhost
 * defers, or the one that made the handshake did (and the Host header then led here). */
int mtls_peer_defers(request_rec *r);

/* Let mod_ssl's verify result say what is true, on a connection that defers. HTTP/1 only: a stream
 * must not touch the connection's SSL. */
void mtls_peer_tell_mod_ssl(request_rec *r, int openssl_error);

/* The same for the variable SSL_CLIENT_VERIFY, which on HTTP/2 tells what the handshake, or mod_ssl
 * since, has left in the connection. */
void mtls_peer_correct_variable(request_rec *r, int openssl_error);

/* mod_ssl's hooks. */
int mtls_peer_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy);
int mtls_peer_init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx);

#endif
