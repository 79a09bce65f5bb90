/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/peer.h"

#include <http_connection.h>
#include <http_log.h>
#include <http_ssl.h>
#include <apr_strings.h>

#include "httpd/cache.h"
#include "httpd/site.h"
#include "pki/remembered.h"
#include "pki/x509_facts.h"

APLOG_USE_MODULE(mtls_policy);

/* ---- mod_ssl's hooks ---- */

/* The peer of an SSL. */
static int peer_index(void)
{
    static int made = -1;

    if (made < 0)
        made = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return made;
}

/* Marks the SSL_CTX of a vhost that defers. */
static int defers_index(void)
{
    static int made = -1;

    if (made < 0)
        made = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return made;
}

int mtls_peer_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    apr_allocator_t *allocator;
    mtls_peer_t *peer;

    if (is_proxy || c->outgoing || mtls_site_is_idle())
        return DECLINED;
    peer = apr_pcalloc(c->pool, sizeof(*peer));
    peer->ssl = ssl;
    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return DECLINED; /* without a peer every policy refuses */
    if (apr_pool_create_ex(&peer->p, c->pool, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return DECLINED;
    }
    apr_allocator_owner_set(allocator, peer->p);
    if (apr_thread_mutex_create(&peer->lock, APR_THREAD_MUTEX_DEFAULT, peer->p) != APR_SUCCESS)
        return DECLINED;
    ap_set_module_config(c->conn_config, &mtls_policy_module, peer);
    SSL_set_ex_data(ssl, peer_index(), peer);
    return DECLINED;
}

static void drop_sent(mtls_peer_t *peer)
{
    sk_X509_pop_free(peer->verified, X509_free);
    sk_X509_pop_free(peer->sent, X509_free);
    peer->verified = peer->sent = NULL;
}

static apr_status_t drop_sent_at_end(void *peer)
{
    drop_sent(peer);
    return APR_SUCCESS;
}

/* Keep what the client sent of a good chain until the handshake is done: only then has it proved
 * that the leaf is its own. */
static void keep_sent(mtls_peer_t *peer, STACK_OF(X509) * verified, STACK_OF(X509) * sent)
{
    if (!mtls_cache() || !verified || sk_X509_num(verified) < 3 || !sent)
        return;
    drop_sent(peer);
    peer->verified = X509_chain_up_ref(verified);
    peer->sent = X509_chain_up_ref(sent);
    apr_pool_cleanup_register(peer->p, peer, drop_sent_at_end, apr_pool_cleanup_null);
}

static apr_status_t free_leaf(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

/* Keep the answer for the connection's first request. The handshake is the connection's own thread,
 * and no request is under way. */
static void keep_chain(mtls_peer_t *peer, X509 *leaf, const mtls_trust_store_t *store,
                       const mtls_chain_result_t *result)
{
    X509_up_ref(leaf);
    apr_pool_cleanup_register(peer->p, leaf, free_leaf, apr_pool_cleanup_null);
    peer->handshake_leaf = leaf;
    peer->handshake_chain.store = store;
    peer->handshake_chain.result = *result;
    peer->handshake_chain.result.verified = NULL;
}

/* A resumed session has the leaf only: try with what is remembered of its full handshake. */
static void verify_remembered(apr_pool_t *p, X509 *leaf, const mtls_trust_store_t *store,
                              apr_time_t now, mtls_chain_result_t *result)
{
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    const mtls_store_t *cache = mtls_cache();
    STACK_OF(X509) * recalled;
    apr_pool_t *scratch;

    if (!cache || !mtls_x509_digests(leaf, sha256, spki) ||
        apr_pool_create(&scratch, p) != APR_SUCCESS)
        return;
    recalled = mtls_recall(cache, scratch, sha256);
    if (recalled) {
        mtls_chain_verify(p, store, leaf, recalled, now, result);
        if (result->reason == MTLS_OK) /* sessions can be resumed for ever: keep what they need */
            mtls_remember(cache, scratch, result->verified, recalled, now, result->valid_until);
    }
    sk_X509_pop_free(recalled, X509_free);
    apr_pool_destroy(scratch);
}

/* mod_ssl's callback notes that a certificate was let pass ("GENEROUS"), which it does not forget
 * on this connection whatever becomes of the verify result. */
static void tell_callback(X509_STORE_CTX_verify_cb callback, X509_STORE_CTX *ctx, X509 *leaf)
{

    X509_STORE_CTX_set_error_depth(ctx, 0);
    X509_STORE_CTX_set_current_cert(ctx, leaf);
    if (callback)
        callback(0, ctx);
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
}

/* A resumed session brings the verify result of its own day. If the certificate is no longer good,
 * say so now, in the connection's own thread, before mod_ssl or a stream reads it. */
static void judge_resumed(SSL *ssl, mtls_peer_t *peer)
{
    const mtls_server_t *server = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), defers_index());
    X509 *leaf = server && SSL_session_reused(ssl) ? SSL_get1_peer_certificate(ssl) : NULL;
    X509_STORE_CTX *ctx = leaf ? X509_STORE_CTX_new() : NULL;
    mtls_chain_result_t result;

    if (ctx && X509_STORE_CTX_init(ctx, server->store->certificates, leaf, NULL) == 1) {
        mtls_chain_verify(peer->p, server->store, leaf, NULL, apr_time_now(), &result);
        if (result.reason == MTLS_CHAIN_INCOMPLETE)
            verify_remembered(peer->p, leaf, server->store, apr_time_now(), &result);
        keep_chain(peer, leaf, server->store, &result);
        sk_X509_pop_free(result.verified, X509_free);
        if (result.reason != MTLS_OK) {
            X509_STORE_CTX_set_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx(), ssl);
            tell_callback(SSL_get_verify_callback(ssl), ctx, leaf);
            SSL_set_verify_result(ssl, X509_V_ERR_CERT_UNTRUSTED);
        }
    }
    X509_STORE_CTX_free(ctx);
    X509_free(leaf);
}

/* mod_ssl's, which ours goes on to. */
static void (*ssl_info_callback)(const SSL *ssl, int where, int value);

void mtls_peer_begin(void)
{
    ssl_info_callback = NULL;
}

/* The session may be resumed, which carries the leaf only, before any request of this connection
 * needs the chain: so remember now. */
static void handshake_info(const SSL *ssl, int where, int value)
{
    mtls_peer_t *peer = SSL_get_ex_data(ssl, peer_index());
    apr_pool_t *p;

    if (ssl_info_callback)
        ssl_info_callback(ssl, where, value);
    if (!(where & SSL_CB_HANDSHAKE_DONE) || !peer)
        return;
    if (!peer->handshake_leaf) /* sending a ticket is "done" once more */
        judge_resumed((SSL *)ssl, peer);
    if (!peer->verified || !peer->sent)
        return;
    if (apr_pool_create(&p, NULL) == APR_SUCCESS) {
        mtls_remember(mtls_cache(), p, peer->verified, peer->sent, apr_time_now(), MTLS_FOREVER);
        apr_pool_destroy(p);
    }
    drop_sent(peer);
}

/* MTLSHandshake defer: the handshake takes any certificate whose key the client proved; whether it
 * is good is said at the request. The result left here is the truth about a good one, and for any
 * other the one error mod_ssl lets pass that no success can be mistaken for. */
static void verify_deferred(mtls_peer_t *peer, const mtls_server_t *server, X509_STORE_CTX *ctx)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    mtls_chain_result_t result;

    mtls_chain_verify(peer->p, server->store, leaf, sent, apr_time_now(), &result);
    keep_chain(peer, leaf, server->store, &result);
    if (result.reason != MTLS_OK) {
        tell_callback(X509_STORE_CTX_get_verify_cb(ctx), ctx, leaf);
        return;
    }
    keep_sent(peer, result.verified, sent);
    sk_X509_pop_free(result.verified, X509_free);
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
}

/* In place of X509_verify_cert(); without `defer` exactly that. */
static int verify_in_handshake(X509_STORE_CTX *ctx, void *server_)
{
    const mtls_server_t *server = server_;
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    mtls_peer_t *peer = ssl ? SSL_get_ex_data(ssl, peer_index()) : NULL;
    int verified;

    if (server->handshake == MTLS_HANDSHAKE_DEFER) {
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
        if (peer)
            verify_deferred(peer, server, ctx);
        return 1;
    }
    verified = X509_verify_cert(ctx);
    if (peer && verified == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK)
        keep_sent(peer, X509_STORE_CTX_get0_chain(ctx), X509_STORE_CTX_get0_untrusted(ctx));
    return verified;
}

static apr_status_t free_store(void *store)
{
    X509_STORE_free(store);
    return APR_SUCCESS;
}

int mtls_peer_init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    mtls_server_t *server = mtls_server_of(s);
    mtls_trust_store_t *store;
    const char **domains;
    int i;

    if (is_proxy)
        return DECLINED;
    store = apr_pcalloc(p, sizeof(*store));
    store->name = "vhost";
    store->depth = MTLS_DEFAULT_VERIFY_DEPTH;
    store->certificates = SSL_CTX_get_cert_store(ctx);
    X509_STORE_up_ref(store->certificates);
    apr_pool_cleanup_register(p, store->certificates, free_store, apr_pool_cleanup_null);
    if (server->trust_domains) {
        domains = apr_pcalloc(p, sizeof(*domains) * (apr_size_t)(server->trust_domains->nelts + 1));
        for (i = 0; i < server->trust_domains->nelts; i++)
            domains[i] = APR_ARRAY_IDX(server->trust_domains, i, const char *);
        store->domains = domains;
    }
    server->store = store;
    server->asks_for_certificate = (SSL_CTX_get_verify_mode(ctx) & SSL_VERIFY_PEER) != 0;
    if (mtls_site_is_idle())
        return DECLINED;
    peer_index(); /* made here, where one thread runs */
    defers_index();
    SSL_CTX_set_cert_verify_callback(ctx, verify_in_handshake, server);
    if (SSL_CTX_get_info_callback(ctx)) /* mod_ssl sets one where its log level asks for it */
        ssl_info_callback = SSL_CTX_get_info_callback(ctx);
    SSL_CTX_set_info_callback(ctx, handshake_info);
    if (server->handshake == MTLS_HANDSHAKE_DEFER)
        SSL_CTX_set_ex_data(ctx, defers_index(), server);
    return DECLINED;
}

/* ---- the peer ---- */

mtls_peer_t *mtls_peer_of(request_rec *r)
{
    conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    mtls_peer_t *peer = ap_get_module_config(c->conn_config, &mtls_policy_module);

    /* The state is there from before the handshake on, also when the client then spoke plain HTTP
     * to the TLS port: that alone is not TLS. */
    if (!peer || __atomic_load_n(&peer->established, __ATOMIC_RELAXED))
        return peer;
    if (!ap_ssl_conn_is_ssl(c) || !SSL_is_init_finished(peer->ssl))
        return NULL;
    __atomic_store_n(&peer->established, 1, __ATOMIC_RELAXED);
    return peer;
}

static void look_at_certificate(mtls_peer_t *peer, request_rec *r)
{
    peer->known = 1;
    peer->facts = NULL;
    peer->malformed = NULL;
    memset(peer->chains, 0, sizeof(peer->chains));
    peer->slots = NULL;
    peer->slot_count = 0;
    peer->env = NULL;
    peer->allowed = NULL;
    peer->next_chain = 1;
    peer->told_until = 0;
    peer->leaf = SSL_get1_peer_certificate(peer->ssl);
    if (!peer->leaf)
        return;
    apr_pool_cleanup_register(peer->p, peer->leaf, free_leaf, apr_pool_cleanup_null);
    if (peer->leaf == peer->handshake_leaf)
        peer->chains[0] = peer->handshake_chain;
    peer->facts = mtls_x509_facts(peer->p, peer->leaf, &peer->malformed);
    if (!peer->facts) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "mtls_policy: certificate refused: %s",
                      peer->malformed ? peer->malformed : "out of memory");
    }
}

void mtls_peer_lock_and_look(mtls_peer_t *peer, request_rec *r)
{
    if (r->connection->master)
        apr_thread_mutex_lock(peer->lock);
    if (!r->connection->master || !peer->known)
        look_at_certificate(peer, r);
}

static void verify_chain(mtls_peer_t *peer, const mtls_trust_store_t *store, apr_time_t now,
                         mtls_chain_result_t *result)
{
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(peer->ssl);

    mtls_chain_verify(peer->p, store, peer->leaf, sent, now, result);
    if (result->reason == MTLS_CHAIN_INCOMPLETE && !sent)
        verify_remembered(peer->p, peer->leaf, store, now, result);
    sk_X509_pop_free(result->verified, X509_free);
    result->verified = NULL;
}

static mtls_peer_chain_t *chain_for(mtls_peer_t *peer, const mtls_trust_store_t *store,
                                    apr_time_t now)
{
    mtls_peer_chain_t *chain = NULL;
    int i;

    for (i = 0; i < MTLS_PEER_STORES && !chain; i++) {
        if (peer->chains[i].store == store)
            chain = &peer->chains[i];
    }
    if (chain && now < chain->result.valid_until)
        return chain;
    if (!chain) {
        chain = &peer->chains[peer->next_chain];
        peer->next_chain = (peer->next_chain + 1) % MTLS_PEER_STORES;
    }
    chain->store = store;
    verify_chain(peer, store, now, &chain->result);
    return chain;
}

const mtls_chain_result_t *mtls_peer_evidence(mtls_peer_t *peer, request_rec *r, apr_time_t now,
                                              mtls_evidence_t *evidence)
{
    const mtls_trust_store_t *store = mtls_server_of(r->server)->store;
    const mtls_peer_chain_t *chain;

    memset(evidence, 0, sizeof(*evidence));
    evidence->tls = 1;
    evidence->presented = peer->leaf != NULL;
    evidence->facts = peer->facts;
    evidence->valid_until = MTLS_FOREVER;
    if (!peer->leaf)
        return NULL;
    evidence->chain_reason = MTLS_CHAIN_UNTRUSTED;
    if (!store) /* the Host header chose a vhost without TLS, which trusts nobody */
        return NULL;
    chain = chain_for(peer, store, now);
    evidence->chain_reason = chain->result.reason;
    evidence->chain = chain->result.chain;
    evidence->valid_until = chain->result.valid_until;
    return &chain->result;
}

int mtls_peer_defers(const mtls_peer_t *peer, const request_rec *r)
{
    return mtls_server_of(r->server)->handshake == MTLS_HANDSHAKE_DEFER ||
           SSL_CTX_get_ex_data(SSL_get_SSL_CTX(peer->ssl), defers_index()) != NULL;
}

void mtls_peer_tell_mod_ssl(mtls_peer_t *peer, request_rec *r, int openssl_error, apr_time_t until)
{
    /* A stream only makes it worse, never better: mod_ssl with TLS 1.2 has just now, in this very
     * thread, put OK there itself, and a certificate may have ended since the handshake. */
    if (r->connection->master && openssl_error == X509_V_OK)
        return;
    mtls_peer_enter(peer, r);
    if (SSL_get_verify_result(peer->ssl) != openssl_error)
        SSL_set_verify_result(peer->ssl, openssl_error);
    peer->told_until = until;
    mtls_peer_leave(peer, r);
}

const char *mtls_peer_verify_text(apr_pool_t *p, const char *name, int openssl_error)
{
    if (openssl_error == X509_V_OK || strcmp(name, "SSL_CLIENT_VERIFY") != 0)
        return NULL;
    return apr_pstrcat(p, "FAILED:", X509_verify_cert_error_string(openssl_error), NULL);
}

void mtls_peer_correct_variable(request_rec *r, int openssl_error)
{
    const char *said = apr_table_get(r->subprocess_env, "SSL_CLIENT_VERIFY");

    if (said && openssl_error != X509_V_OK)
        apr_table_setn(r->subprocess_env, "SSL_CLIENT_VERIFY",
                       mtls_peer_verify_text(r->pool, "SSL_CLIENT_VERIFY", openssl_error));
}
