/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/peer_chains.h"

#include "httpd/cache.h"
#include "pki/chain_path.h"
#include "pki/remembered.h"
#include "pki/x509_facts.h"

#define RECALL_AGAIN apr_time_from_sec(2)

apr_status_t mtls_peer_free_leaf(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

/* Chains are of one leaf; the reference keeps another from having its address. */
void mtls_peer_chains_begin(mtls_peer_t *peer, X509 *leaf)
{
    if (peer->chain_leaf == leaf && peer->chains)
        return;
    X509_up_ref(leaf);
    apr_pool_cleanup_register(peer->p, leaf, mtls_peer_free_leaf, apr_pool_cleanup_null);
    peer->chain_leaf = leaf;
    peer->recalled = NULL;
    peer->recalled_at = 0;
    peer->chains = apr_array_make(peer->p, 2, sizeof(mtls_peer_chain_t));
}

static apr_status_t free_recalled(void *recalled)
{
    sk_X509_pop_free(recalled, X509_free);
    return APR_SUCCESS;
}

/* What is remembered of the leaf, asked once for all stores; where there is nothing, again after a
 * while: another child may have learnt it. */
static STACK_OF(X509) * recall(mtls_peer_t *peer, apr_time_t now)
{
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    apr_pool_t *scratch;

    if (peer->recalled || !mtls_cache() || now - peer->recalled_at < RECALL_AGAIN ||
        !mtls_x509_digests(peer->chain_leaf, sha256, spki) ||
        apr_pool_create(&scratch, peer->p) != APR_SUCCESS)
        return peer->recalled;
    peer->recalled_at = now;
    peer->recalled = mtls_recall(mtls_cache(), scratch, sha256);
    if (peer->recalled)
        apr_pool_cleanup_register(peer->p, peer->recalled, free_recalled, apr_pool_cleanup_null);
    apr_pool_destroy(scratch);
    return peer->recalled;
}

/* `sent` are the intermediates of a full handshake; NULL: the session was resumed, which carries
 * the leaf only. */
static void verify(mtls_peer_t *peer, apr_pool_t *p, const mtls_trust_store_t *store,
                   STACK_OF(X509) * sent, mtls_chain_result_t *result)
{
    mtls_chain_ask_t ask = {peer->chain_leaf, sent, peer->purpose, result->from};

    mtls_chain_verify(p, store, &ask, result);
    /* Untrusted: a configured CA of the name may have another key. */
    if ((result->reason == MTLS_CHAIN_INCOMPLETE || result->reason == MTLS_CHAIN_UNTRUSTED) &&
        !sent && peer->purpose == MTLS_PURPOSE_CLIENT &&
        (ask.untrusted = recall(peer, ask.now)) != NULL)
        mtls_chain_verify(p, store, &ask, result);
}

static mtls_peer_chain_t *place_of(mtls_peer_t *peer, const mtls_trust_handle_t *store)
{
    mtls_peer_chain_t *chain;
    int i;

    for (i = 0; i < peer->chains->nelts; i++) {
        chain = &APR_ARRAY_IDX(peer->chains, i, mtls_peer_chain_t);
        if (chain->store == store)
            return chain;
    }
    chain = apr_array_push(peer->chains);
    memset(chain, 0, sizeof(*chain));
    chain->store = store;
    return chain;
}

static apr_status_t free_path(void *path)
{
    sk_X509_pop_free(path, X509_free);
    return APR_SUCCESS;
}

/* Take a result over; a chain that is the same as before stays the same object, so that asking
 * again and again costs a connection no memory. */
static void take_result(mtls_peer_t *peer, mtls_peer_chain_t *chain,
                        const mtls_chain_result_t *result)
{
    const mtls_chain_t *before = chain->result.chain;

    chain->result = *result;
    if (result->chain && before && mtls_chain_equal(before, result->chain))
        chain->result.chain = before;
    else if (result->chain)
        chain->result.chain = mtls_chain_copy(peer->p, result->chain);
    if (chain->path && chain->result.chain != before) {
        apr_pool_cleanup_run(peer->p, chain->path, free_path);
        chain->path = NULL;
    }
}

/* What the version of the store in force says of the leaf, found out now or before. */
const mtls_chain_result_t *mtls_peer_chain_for(mtls_peer_t *peer, const mtls_trust_handle_t *store,
                                               STACK_OF(X509) * sent, apr_time_t now)
{
    const mtls_version_t *version = mtls_live_take(store->live);
    mtls_peer_chain_t *chain = place_of(peer, store);
    mtls_chain_result_t result = {.reason = MTLS_INTERNAL_ERROR,
                                  .openssl_error = X509_V_ERR_UNSPECIFIED,
                                  .from = now,
                                  .valid_until = now};
    apr_pool_t *scratch;

    if (version && chain->serial == version->serial && chain->result.from <= now &&
        now < chain->result.valid_until) {
        mtls_live_give_back(store->live, version);
        return &chain->result;
    }
    chain->serial = version ? version->serial : 0;
    if (version && apr_pool_create(&scratch, peer->p) == APR_SUCCESS) {
        verify(peer, scratch, version->data, sent, &result);
        take_result(peer, chain, &result);
        apr_pool_destroy(scratch);
    } else {
        chain->result = result;
    }
    mtls_live_give_back(store->live, version);
    return &chain->result;
}

/* How far a certificate got with a store: what is told is the failure of the store it is most
 * likely meant for. */
static int progress(mtls_reason_t reason)
{
    switch (reason) {
    case MTLS_OK:
        return 3;
    case MTLS_CHAIN_INCOMPLETE:
        return 0;
    case MTLS_CHAIN_UNTRUSTED:
        return 1;
    default:
        return 2;
    }
}

static void take_evidence(mtls_evidence_t *evidence, const mtls_trust_handle_t *store,
                          const mtls_chain_result_t *result, int first)
{
    if (result->valid_until < evidence->valid_until)
        evidence->valid_until = result->valid_until;
    if (!first && progress(result->reason) <= progress(evidence->chain_reason))
        return;
    evidence->chain_reason = result->reason;
    evidence->chain = result->chain;
    evidence->chain_error = result->openssl_error;
    evidence->chain_detail = result->detail;
    evidence->store = store;
}

void mtls_peer_evidence(mtls_peer_t *peer, request_rec *r, const mtls_trust_t *trust,
                        apr_time_t now, mtls_evidence_t *evidence)
{
    const mtls_trust_handle_t *store, *vhost = peer->purpose == MTLS_PURPOSE_SERVER
                                                   ? peer->vhost
                                                   : mtls_server_of(r->server)->vhost;
    int i, asked = 0, n = trust ? trust->n : 1;

    memset(evidence, 0, sizeof(*evidence));
    evidence->tls = 1;
    evidence->presented = peer->leaf != NULL;
    evidence->facts = peer->facts;
    evidence->valid_until = MTLS_FOREVER;
    evidence->status = MTLS_STATUS_NOT_ASKED;
    if (!peer->leaf)
        return;
    evidence->chain_reason = MTLS_CHAIN_UNTRUSTED;
    evidence->chain_error = X509_V_ERR_CERT_UNTRUSTED;
    evidence->chain_detail = peer->malformed;
    for (i = 0; i < n && evidence->chain_reason != MTLS_OK; i++) {
        store = trust && trust->stores[i] ? trust->stores[i] : vhost;
        if (store) /* none: the Host header chose a vhost without TLS, which trusts nobody */
            take_evidence(evidence, store,
                          mtls_peer_chain_for(peer, store, SSL_get_peer_cert_chain(peer->ssl), now),
                          !asked++);
    }
    if (peer->malformed)
        evidence->chain_detail = peer->malformed;
}

static STACK_OF(X509) *
    path_of(mtls_peer_t *peer, mtls_peer_chain_t *chain, const mtls_trust_store_t *store)
{
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(peer->ssl);

    if (chain->path)
        return chain->path;
    chain->path =
        mtls_chain_path(store, peer->chain_leaf, sent ? sent : peer->recalled, chain->result.chain);
    if (chain->path)
        apr_pool_cleanup_register(peer->p, chain->path, free_path, apr_pool_cleanup_null);
    return chain->path;
}

int mtls_peer_path(mtls_peer_t *peer, const mtls_evidence_t *evidence, mtls_peer_path_t *path)
{
    const mtls_trust_store_t *store, *responders;
    mtls_peer_chain_t *chain;

    memset(path, 0, sizeof(*path));
    if (evidence->chain_reason != MTLS_OK || !evidence->store || !peer->chain_leaf)
        return 0;
    chain = place_of(peer, evidence->store);
    if (chain->result.chain != evidence->chain)
        return 0;
    path->store = evidence->store;
    path->spec = evidence->store->spec;
    if ((path->held[0] = mtls_live_take(evidence->store->live)) == NULL)
        return 0;
    store = responders = path->held[0]->data;
    if (evidence->store->responders) {
        path->held[1] = mtls_live_take(evidence->store->responders);
        responders = path->held[1] ? path->held[1]->data : NULL;
    }
    path->responders = responders ? responders->responders : NULL;
    path->certificates = path_of(peer, chain, store);
    if (path->certificates)
        return 1;
    mtls_peer_path_done(path);
    return 0;
}

void mtls_peer_path_done(mtls_peer_path_t *path)
{
    if (path->held[0])
        mtls_live_give_back(path->store->live, path->held[0]);
    if (path->held[1])
        mtls_live_give_back(path->store->responders, path->held[1]);
    memset(path, 0, sizeof(*path));
}
