/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/peer.h"

#include <http_connection.h>
#include <http_log.h>
#include <http_ssl.h>
#include <apr_strings.h>

#include "httpd/advertise.h"
#include "httpd/cache.h"
#include "httpd/checks.h"
#include "httpd/conftree.h"
#include "httpd/peer_chains.h"
#include "httpd/site.h"
#include "pki/chain_cache.h"
#include "pki/remembered.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

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

/* The server an SSL_CTX belongs to. */
static int server_index(void)
{
    static int made = -1;

    if (made < 0)
        made = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return made;
}

/* The CAs of an SSL_CTX for connections to backends. */
static int proxy_index(void)
{
    static int made = -1;

    if (made < 0)
        made = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return made;
}

/* The one whose settings the handshake was made with; NULL: none of ours. */
static const mtls_server_t *handshake_server(const SSL *ssl)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), server_index());
}

/* With memory of its own, so that what it holds can be given back. */
static mtls_peer_t *make_peer(conn_rec *c, SSL *ssl)
{
    mtls_peer_t *peer = apr_pcalloc(c->pool, sizeof(*peer));
    apr_allocator_t *allocator;

    peer->ssl = ssl;
    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return NULL;
    if (apr_pool_create_ex(&peer->p, c->pool, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, peer->p);
    if (apr_thread_mutex_create(&peer->lock, APR_THREAD_MUTEX_DEFAULT, peer->p) != APR_SUCCESS)
        return NULL;
    return peer;
}

int mtls_peer_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    mtls_peer_t *peer;

    if (is_proxy || c->outgoing || mtls_site_is_idle() || (peer = make_peer(c, ssl)) == NULL)
        return DECLINED; /* without a peer every policy refuses */
    ap_set_module_config(c->conn_config, &mtls_policy_module, peer);
    SSL_set_ex_data(ssl, peer_index(), peer);
    return DECLINED;
}

static apr_status_t free_ssl(void *ssl)
{
    SSL_free(ssl);
    return APR_SUCCESS;
}

/* mod_ssl gives its SSL away when a handshake fails or a connection ends; what still comes through
 * the gate then must find it. */
mtls_peer_t *mtls_peer_make_backend(conn_rec *c, SSL *ssl)
{
    mtls_peer_t *peer = make_peer(c, ssl);

    if (!peer || SSL_up_ref(ssl) != 1)
        return NULL;
    apr_pool_cleanup_register(c->pool, ssl, free_ssl, apr_pool_cleanup_null);
    peer->purpose = MTLS_PURPOSE_SERVER;
    peer->vhost = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), proxy_index());
    return peer;
}

/* ---- the handshake ---- */

/* What several stores have built of the leaf's chain, as one: a leaf has one record. */
typedef struct union_t {
    mtls_chain_t chain;
    mtls_chain_link_t links[MTLS_MAX_REMEMBERED_CERTIFICATES + 1];
} union_t;

static int has_link(const union_t *all, const mtls_chain_link_t *link)
{
    int i;

    for (i = 0; i < all->chain.n; i++) {
        if (memcmp(all->links[i].sha256, link->sha256, MTLS_DIGEST_BYTES) == 0)
            return 1;
    }
    return 0;
}

/* All but the anchor, which no client needs to send. */
static void add_links(union_t *all, const mtls_chain_t *chain)
{
    int i;

    for (i = 0; i < chain->n - 1 && all->chain.n < MTLS_MAX_REMEMBERED_CERTIFICATES; i++) {
        if (!has_link(all, &chain->links[i]))
            all->links[all->chain.n++] = chain->links[i];
    }
}

/* `anchor` gives the record its place. */
static void remember(const mtls_peer_t *peer, STACK_OF(X509) * sent, union_t *all,
                     const mtls_chain_t *anchor)
{
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    apr_pool_t *scratch;

    if (!anchor || all->chain.n == 0 || !mtls_x509_digests(peer->chain_leaf, sha256, spki) ||
        apr_pool_create(&scratch, peer->p) != APR_SUCCESS)
        return;
    all->links[all->chain.n++] = anchor->links[anchor->n - 1];
    all->chain.links = all->links;
    mtls_remember(mtls_cache(), scratch, sha256, &all->chain, sent, apr_time_now());
    apr_pool_destroy(scratch);
}

/* The session may be resumed, which carries the leaf only, before any request of this connection
 * needs the chain: so find out now which stores it leads to, and remember what the client sent. The
 * handshake is done: the client has proved that the leaf is its own. */
static void remember_sent(mtls_peer_t *peer, SSL *ssl)
{
    const mtls_server_t *server = handshake_server(ssl);
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    const mtls_chain_result_t *result;
    const mtls_chain_t *first = NULL;
    union_t all = {.chain = {.n = 0}};
    int i;

    if (!server || !leaf || !sent || sk_X509_num(sent) == 0 || !mtls_cache() ||
        peer->remembered == leaf)
        return;
    mtls_peer_chains_begin(peer, leaf);
    peer->remembered = leaf;
    for (i = server->believes_vhost ? -1 : 0; i < server->stores->nelts; i++) {
        const mtls_trust_handle_t *store =
            i < 0 ? server->vhost : APR_ARRAY_IDX(server->stores, i, const mtls_trust_handle_t *);
        result = mtls_peer_chain_for(peer, store, sent, apr_time_now());
        if (result->reason != MTLS_OK || result->chain->n == 0)
            continue;
        first = first ? first : result->chain;
        add_links(&all, result->chain);
    }
    remember(peer, sent, &all, first);
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
static void judge_resumed(SSL *ssl, mtls_peer_t *peer, const mtls_server_t *server)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    X509_STORE_CTX *ctx = leaf ? X509_STORE_CTX_new() : NULL;
    X509_STORE *certificates = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));

    if (ctx && X509_STORE_CTX_init(ctx, certificates, leaf, NULL) == 1) {
        mtls_peer_chains_begin(peer, leaf);
        if (mtls_peer_chain_for(peer, server->vhost, NULL, apr_time_now())->reason != MTLS_OK) {
            X509_STORE_CTX_set_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx(), ssl);
            tell_callback(SSL_get_verify_callback(ssl), ctx, leaf);
            SSL_set_verify_result(ssl, X509_V_ERR_CERT_UNTRUSTED);
        }
    }
    X509_STORE_CTX_free(ctx);
}

/* mod_ssl's, which ours goes on to. */
static void (*ssl_info_callback)(const SSL *ssl, int where, int value);

void mtls_peer_begin(void)
{
    ssl_info_callback = NULL;
}

static void handshake_info(const SSL *ssl_, int where, int value)
{
    SSL *ssl = (SSL *)ssl_; /* const is the callback's, the handshake is ours */
    mtls_peer_t *peer = SSL_get_ex_data(ssl, peer_index());
    const mtls_server_t *server = handshake_server(ssl);

    if (ssl_info_callback)
        ssl_info_callback(ssl, where, value);
    if (!(where & SSL_CB_HANDSHAKE_DONE) || !peer)
        return;
    if (!SSL_session_reused(ssl))
        remember_sent(peer, ssl);
    else if (server && server->handshake == MTLS_HANDSHAKE_DEFER && !peer->chain_leaf)
        judge_resumed(ssl, peer, server); /* sending a ticket is "done" once more */
}

/* What the client sent beside the leaf; the caller frees the stack. NULL: out of memory. */
static STACK_OF(X509) * sent_of(X509_STORE_CTX *ctx)
{
    STACK_OF(X509) *untrusted = X509_STORE_CTX_get0_untrusted(ctx);
    STACK_OF(X509) *sent = untrusted ? sk_X509_dup(untrusted) : sk_X509_new_null();

    if (sent && sk_X509_num(sent) > 0 && sk_X509_value(sent, 0) == X509_STORE_CTX_get0_cert(ctx))
        sk_X509_shift(sent);
    return sent;
}

/* In place of X509_verify_cert(), MTLSHandshake defer: the handshake takes any certificate whose
 * key the client proved; whether it is good is said at the request. The result left here is the
 * truth about a good one, and for any other the one error mod_ssl lets pass that no success can be
 * mistaken for. */
static int verify_deferred(X509_STORE_CTX *ctx, void *server_)
{
    const mtls_server_t *server = server_;
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    mtls_peer_t *peer = ssl ? SSL_get_ex_data(ssl, peer_index()) : NULL;
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    STACK_OF(X509) *sent = sent_of(ctx);

    X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
    if (peer && sent) {
        mtls_peer_chains_begin(peer, leaf);
        if (mtls_peer_chain_for(peer, server->vhost, sent, apr_time_now())->reason == MTLS_OK)
            X509_STORE_CTX_set_error(ctx, X509_V_OK);
        else
            tell_callback(X509_STORE_CTX_get_verify_cb(ctx), ctx, leaf);
    }
    sk_X509_free(sent);
    return 1;
}

static apr_status_t free_store(void *store)
{
    X509_STORE_free(store);
    return APR_SUCCESS;
}

/* The store mod_ssl has made for the vhost, or for what it proxies, as one of ours. */
static const mtls_trust_handle_t *make_vhost(apr_pool_t *p, const server_rec *s, SSL_CTX *ctx,
                                             int reads_folders)
{
    const mtls_server_t *server = mtls_server_of(s);
    mtls_trust_handle_t *handle = apr_pcalloc(p, sizeof(*handle));
    mtls_trust_spec_t *spec = apr_pcalloc(p, sizeof(*spec));
    mtls_trust_store_t *store = apr_pcalloc(p, sizeof(*store));

    spec->name = store->name = "vhost";
    spec->depth = store->depth = MTLS_DEFAULT_VERIFY_DEPTH;
    spec->domains = server->trust_domains ? apr_array_copy(p, server->trust_domains)
                                          : apr_array_make(p, 1, sizeof(const char *));
    spec->responder = server->responder ? server->responder->responder : NULL;
    spec->responder_where = server->responder ? server->responder->responder_where : NULL;
    spec->responder_overrides = server->responder && server->responder->responder_overrides;
    handle->responders = server->responders ? server->responders->live : NULL;
    APR_ARRAY_PUSH(spec->domains, const char *) = NULL;
    store->domains = (const char *const *)(void *)spec->domains->elts;
    store->certificates = SSL_CTX_get_cert_store(ctx);
    mtls_chain_warm_up(store->certificates);
    X509_STORE_up_ref(store->certificates);
    apr_pool_cleanup_register(p, store->certificates, free_store, apr_pool_cleanup_null);
    if (!reads_folders)
        store->cache = mtls_chain_cache_make(p); /* OpenSSL adds to what comes from folders */
    handle->spec = spec;
    handle->live = mtls_live_fixed(p, store);
    return handle->live ? handle : NULL;
}

/* Of a vhost, or of a section that has SSLProxy directives of its own. */
static void init_proxy(const server_rec *s, apr_pool_t *p, SSL_CTX *ctx)
{
    int reads_folders = mtls_conftree_somewhere(s, "SSLProxyCARevocationPath", NULL) ||
                        mtls_conftree_somewhere(s, "SSLProxyCACertificatePath", NULL);

    SSL_CTX_set_ex_data(ctx, proxy_index(),
                        (void *)(apr_uintptr_t)make_vhost(p, s, ctx, reads_folders));
}

int mtls_peer_init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    mtls_server_t *server = mtls_server_of(s);

    if (is_proxy) {
        if (mtls_site()->judges_backends)
            init_proxy(s, p, ctx);
        return DECLINED;
    }
    server->vhost = make_vhost(p, s, ctx,
                               mtls_conftree_setting(s, "SSLCARevocationPath") ||
                                   mtls_conftree_setting(s, "SSLCACertificatePath"));
    server->believes_vhost = mtls_checks_believes_vhost(s);
    server->stores = mtls_checks_stores(p, s);
    server->asks_for_certificate = (SSL_CTX_get_verify_mode(ctx) & SSL_VERIFY_PEER) != 0;
    if (mtls_site_is_idle() || !server->vhost)
        return DECLINED;
    peer_index(); /* made here, where one thread runs */
    SSL_CTX_set_ex_data(ctx, server_index(), server);
    if (SSL_CTX_get_info_callback(ctx)) /* mod_ssl sets one where its log level asks for it */
        ssl_info_callback = SSL_CTX_get_info_callback(ctx);
    SSL_CTX_set_info_callback(ctx, handshake_info);
    if (server->handshake == MTLS_HANDSHAKE_DEFER)
        SSL_CTX_set_cert_verify_callback(ctx, verify_deferred, server);
    return mtls_advertise_init(s, p, ctx);
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
    peer->slots = NULL;
    peer->slot_count = 0;
    peer->env = NULL;
    peer->allowed = NULL;
    peer->told_until = 0;
    peer->leaf = SSL_get1_peer_certificate(peer->ssl);
    if (!peer->leaf)
        return;
    apr_pool_cleanup_register(peer->p, peer->leaf, mtls_peer_free_leaf, apr_pool_cleanup_null);
    mtls_peer_chains_begin(peer, peer->leaf);
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

const mtls_values_t *mtls_peer_gateway_uris(mtls_peer_t *peer)
{
    X509 *own = SSL_get_certificate(peer->ssl);
    const char *malformed = NULL;

    if (!peer->gateway && own)
        peer->gateway = mtls_x509_facts(peer->p, own, &malformed);
    return peer->gateway ? &peer->gateway->san[MTLS_SAN_URI] : NULL;
}

int mtls_peer_defers(const mtls_peer_t *peer, const request_rec *r)
{
    const mtls_server_t *server = handshake_server(peer->ssl);

    return mtls_server_of(r->server)->handshake == MTLS_HANDSHAKE_DEFER ||
           (server && server->handshake == MTLS_HANDSHAKE_DEFER);
}

void mtls_peer_tell_mod_ssl(mtls_peer_t *peer, request_rec *r, int openssl_error, apr_time_t until)
{
    /* A stream only makes it worse, never better: mod_ssl with TLS 1.2 has just now, in this very
     * thread, put OK there itself, and a certificate may have ended since the handshake. */
    if (r->connection->master && openssl_error == X509_V_OK)
        return;
    mtls_peer_enter(peer, r);
    /* Read only to see whether there is anything to put right; nothing is concluded from it. */
    if (SSL_get_verify_result(peer->ssl) != openssl_error)
        SSL_set_verify_result(peer->ssl, openssl_error);
    peer->told_until = until;
    mtls_peer_leave(peer, r);
}

int mtls_peer_is_told_by(const char *name)
{
    return strncmp(name, "SSL_CLIENT_", sizeof("SSL_CLIENT_") - 1) == 0 &&
           strcmp(name, "SSL_CLIENT_VERIFY") != 0;
}

const char *mtls_peer_verify_text(apr_pool_t *p, const char *name, int openssl_error)
{
    if (openssl_error == X509_V_OK || strcmp(name, "SSL_CLIENT_VERIFY") != 0)
        return NULL;
    return apr_pstrcat(p, "FAILED:", X509_verify_cert_error_string(openssl_error), NULL);
}

/* The variable is others' to read and ours to make true: what stood there decides nothing. */
void mtls_peer_correct_variable(request_rec *r, int openssl_error)
{
    const char *said = apr_table_get(r->subprocess_env, "SSL_CLIENT_VERIFY");

    if (said && openssl_error != X509_V_OK)
        apr_table_setn(r->subprocess_env, "SSL_CLIENT_VERIFY",
                       mtls_peer_verify_text(r->pool, "SSL_CLIENT_VERIFY", openssl_error));
}
