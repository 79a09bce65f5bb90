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

/* What a version of a trust store has to say of the certificate. */
typedef struct mtls_peer_chain_t {
    const mtls_trust_handle_t *store;
    apr_uint64_t serial; /* of the version */
    mtls_chain_result_t result;
    STACK_OF(X509) * path; /* the chain's certificates, once somebody asked; NULL */
} mtls_peer_chain_t;

/* What asking for OCSP statuses needs of a chain. */
typedef struct mtls_peer_path_t {
    const mtls_trust_spec_t *spec; /* of the store that verified it */
    STACK_OF(X509) * certificates; /* the leaf, its issuer, ..., the anchor */
    STACK_OF(X509) * responders;   /* trusted as they are for that store's CAs */
    const mtls_version_t *held[2]; /* versions these may be of (mtls_peer_path_done) */
    const mtls_trust_handle_t *store;
} mtls_peer_path_t;

typedef struct mtls_peer_t {
    SSL *ssl;
    mtls_purpose_t purpose;           /* whose certificate it is: a client's or a server's */
    const mtls_trust_handle_t *vhost; /* of a backend: the CAs mod_ssl has for it; NULL: none */
    int established;                  /* the handshake was seen to be done */
    apr_pool_t *p;                    /* with an allocator of its own; only under the lock */
    apr_thread_mutex_t *lock;
    int known;             /* the certificate was looked at */
    apr_time_t told_until; /* until when mod_ssl's verify result is what we made it */
    X509 *leaf;            /* a reference of ours; NULL: none presented */
    const mtls_facts_t *facts;
    const char *malformed;       /* why there are no facts */
    X509 *chain_leaf;            /* whose chains these are; a reference of ours */
    apr_array_header_t *chains;  /* mtls_peer_chain_t */
    X509 *remembered;            /* the leaf whose intermediates are remembered; not a reference */
    STACK_OF(X509) * recalled;   /* what is remembered of chain_leaf; NULL: nothing was found */
    apr_time_t recalled_at;      /* when that was asked */
    const mtls_facts_t *gateway; /* the server's own certificate, once somebody asked; NULL */
    /* Verdicts (verdict.c): by ordinal of the merged policy; what they share and keep. */
    struct mtls_tokens_t *tokens; /* (tokens.c); NULL: none yet */
    struct mtls_slot_t **slots;
    int slot_count;
    apr_size_t kept_exports;       /* bytes */
    const apr_array_header_t *env; /* mtls_variable_t: the identity of these two */
    const mtls_chain_t *env_chain;
    mtls_status_t env_status;
    const apr_array_header_t *allowed; /* the variables of an allowed request, of these two */
    const char *allowed_names;
    const apr_array_header_t *allowed_env;
    mtls_span_t staple; /* the OCSP response a server has stapled (ocsp.c); empty: none */
    int staple_told;    /* the log says that it is of no use */
} mtls_peer_t;

/* The peer of the request's connection (of an HTTP/2 stream's master) once its handshake is done;
 * NULL on plain HTTP, and on a TLS port spoken to in plain HTTP. */
mtls_peer_t *mtls_peer_of(request_rec *r);

/* The peer of a connection to a backend, whose handshake begins; NULL: out of memory. It belongs to
 * one thread at a time, and lives as long as the connection. */
mtls_peer_t *mtls_peer_make_backend(conn_rec *c, SSL *ssl);

/* Take and give back the lock, needed on HTTP/2 only. Entering also notices a certificate that
 * renegotiation or post-handshake authentication brought, and forgets what the old one had. */
void mtls_peer_lock_and_look(mtls_peer_t *peer, request_rec *r);

static inline void mtls_peer_enter(mtls_peer_t *peer, request_rec *r)
{
    /* The reference we hold keeps a new certificate from having the old one's address. */
    if (r->connection->master || !peer->known || SSL_get0_peer_certificate(peer->ssl) != peer->leaf)
        mtls_peer_lock_and_look(peer, r);
}

static inline void mtls_peer_leave(mtls_peer_t *peer, request_rec *r)
{
    if (r->connection->master)
        apr_thread_mutex_unlock(peer->lock);
}

/* What is known of the peer at `now`, its chain verified against the stores of `trust` (NULL: that
 * of the request's vhost). Inside enter/leave. */
void mtls_peer_evidence(mtls_peer_t *peer, request_rec *r, const mtls_trust_t *trust,
                        apr_time_t now, mtls_evidence_t *evidence);

/* The certificates of the evidence's chain, which is good; until mtls_peer_path_done(). 0: they are
 * not to be had. Inside enter/leave. */
int mtls_peer_path(mtls_peer_t *peer, const mtls_evidence_t *evidence, mtls_peer_path_t *path);
void mtls_peer_path_done(mtls_peer_path_t *path);

/* The URIs in the SAN of the certificate this server has shown to the peer; NULL: unknown. Inside
 * enter/leave. */
const mtls_values_t *mtls_peer_gateway_uris(mtls_peer_t *peer);

/* Whether the certificate may be one that mod_ssl would have refused in the handshake: this vhost
 * defers, or the one that made the handshake did (and the Host header then led here). */
int mtls_peer_defers(const mtls_peer_t *peer, const request_rec *r);

/* Let mod_ssl's verify result say what is true until `until`, on a connection that defers. A stream
 * of HTTP/2 touches it with TLS 1.2 only, where mod_ssl has set it for every request itself. */
void mtls_peer_tell_mod_ssl(mtls_peer_t *peer, request_rec *r, int openssl_error, apr_time_t until);

/* Whether mod_ssl's variable of that name tells of the certificate, and not only that it is there.
 */
int mtls_peer_is_told_by(const char *name);

/* What SSL_CLIENT_VERIFY has to say of a chain that failed; NULL for another name, and where there
 * is nothing to correct. On HTTP/2 mod_ssl tells what the handshake, or a stream, has left. */
const char *mtls_peer_verify_text(apr_pool_t *p, const char *name, int openssl_error);

/* The same for the variable of that name, where it is set. */
void mtls_peer_correct_variable(request_rec *r, int openssl_error);

/* Before a configuration is read: forget what the last one's mod_ssl gave. */
void mtls_peer_begin(void);

/* mod_ssl's hooks. */
int mtls_peer_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy);
int mtls_peer_init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx);

#endif
