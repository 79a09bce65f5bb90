/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/tokens.h"

#include <stdlib.h>

#include <http_log.h>
#include <openssl/rand.h>

#include "httpd/peer.h"
#include "httpd/signing.h"
#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

/* What a token's claims follow from, but for its times and its number. Of the configuration, which
 * outlives every connection, the address will do; all else can change behind one. */
typedef struct cause_t {
    const mtls_jwt_spec_t *spec;
    const server_rec *server; /* its name, its keys */
    apr_uint64_t key;         /* the serial of the version that signs */
    unsigned char sha256[MTLS_DIGEST_BYTES];
    mtls_status_t status;
    int exempt;
    const char *trust_store; /* never NULL */
    const char *policies;    /* never NULL */
} cause_t;

typedef struct token_t {
    cause_t cause;
    char *bytes; /* the token and its NUL, then the texts of the cause; malloc() */
    apr_size_t len;
    apr_size_t size;
    apr_time_t from;
    apr_int64_t exp;
} token_t;

typedef struct mtls_tokens_t {
    token_t tokens[MTLS_MAX_TOKENS]; /* without bytes: a free place */
    apr_size_t size;                 /* of all */
} mtls_tokens_t;

/* A request for one. */
typedef struct demand_t {
    request_rec *r;
    mtls_peer_t *peer;
    const mtls_signer_t *signer;
    const mtls_identity_t *identity;
    cause_t cause;
    apr_time_t now, until;
} demand_t;

/* ---- what a connection keeps ---- */

static void forget(mtls_tokens_t *tokens, token_t *token)
{
    tokens->size -= token->size;
    free(token->bytes);
    memset(token, 0, sizeof(*token));
}

static apr_status_t forget_all(void *tokens_)
{
    mtls_tokens_t *tokens = tokens_;
    int i;

    for (i = 0; i < MTLS_MAX_TOKENS; i++)
        forget(tokens, &tokens->tokens[i]);
    return APR_SUCCESS;
}

static mtls_tokens_t *tokens_of(mtls_peer_t *peer)
{
    if (!peer->tokens) {
        peer->tokens = apr_pcalloc(peer->p, sizeof(*peer->tokens));
        apr_pool_cleanup_register(peer->p, peer->tokens, forget_all, apr_pool_cleanup_null);
    }
    return peer->tokens;
}

static int same_cause(const cause_t *a, const cause_t *b)
{
    return a->spec == b->spec && a->server == b->server && a->key == b->key &&
           memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0 && a->status == b->status &&
           a->exempt == b->exempt && strcmp(a->trust_store, b->trust_store) == 0 &&
           strcmp(a->policies, b->policies) == 0;
}

/* A backend needs the rest of its life; and the verdict may end earlier than it did. */
static int is_usable(const token_t *token, const demand_t *demand, apr_time_t now)
{
    apr_time_t half = (apr_time_from_sec(token->exp) - token->from) / 2;

    return now >= token->from && now < token->from + half &&
           token->exp <= mtls_jwt_exp(demand->cause.spec, now, demand->until);
}

static token_t *find(mtls_tokens_t *tokens, const cause_t *cause)
{
    int i;

    for (i = 0; i < MTLS_MAX_TOKENS; i++) {
        token_t *token = &tokens->tokens[i];
        if (token->bytes && same_cause(&token->cause, cause))
            return token;
    }
    return NULL;
}

/* A copy for the request; NULL: none that can be used. Under the peer's lock. */
static const char *copy_of_kept(const demand_t *demand, apr_time_t now)
{
    const token_t *token = demand->peer->tokens ? find(demand->peer->tokens, &demand->cause) : NULL;

    return token && is_usable(token, demand, now)
               ? apr_pstrmemdup(demand->r->pool, token->bytes, token->len)
               : NULL;
}

static token_t *oldest(mtls_tokens_t *tokens)
{
    token_t *found = NULL;
    int i;

    for (i = 0; i < MTLS_MAX_TOKENS; i++) {
        token_t *token = &tokens->tokens[i];
        if (token->bytes && (!found || token->from < found->from))
            found = token;
    }
    return found;
}

static token_t *free_place(mtls_tokens_t *tokens)
{
    int i;

    for (i = 0; i < MTLS_MAX_TOKENS; i++) {
        if (!tokens->tokens[i].bytes)
            return &tokens->tokens[i];
    }
    return NULL;
}

/* A place for `size` bytes; others go for it. */
static token_t *place_for(mtls_tokens_t *tokens, const cause_t *cause, apr_size_t size)
{
    token_t *before = find(tokens, cause), *place;

    if (before)
        forget(tokens, before);
    while ((place = free_place(tokens)) == NULL ||
           (tokens->size > 0 && tokens->size + size > MTLS_MAX_KEPT_EXPORTS))
        forget(tokens, oldest(tokens));
    return place;
}

static void fill(token_t *token, const demand_t *demand, const char *text, apr_size_t len)
{
    const cause_t *cause = &demand->cause;
    apr_size_t store = strlen(cause->trust_store) + 1, policies = strlen(cause->policies) + 1;

    memcpy(token->bytes, text, len + 1);
    memcpy(token->bytes + len + 1, cause->trust_store, store);
    memcpy(token->bytes + len + 1 + store, cause->policies, policies);
    token->cause = *cause;
    token->cause.trust_store = token->bytes + len + 1;
    token->cause.policies = token->bytes + len + 1 + store;
    token->len = len;
    token->from = demand->now;
}

/* Under the peer's lock. The memory is not the pool's: a connection may live for days. */
static void keep(const demand_t *demand, const char *text, apr_int64_t exp)
{
    const cause_t *cause = &demand->cause;
    mtls_tokens_t *tokens = tokens_of(demand->peer);
    apr_size_t len = strlen(text);
    apr_size_t size = len + strlen(cause->trust_store) + strlen(cause->policies) + 3;
    char *bytes = size <= MTLS_MAX_KEPT_EXPORTS ? malloc(size) : NULL;
    token_t *token;

    if (!bytes)
        return;
    token = place_for(tokens, cause, size);
    token->bytes = bytes;
    token->size = size;
    token->exp = exp;
    tokens->size += size;
    fill(token, demand, text, len);
}

/* ---- making one ---- */

static const char *failed(const demand_t *demand, const char *what, mtls_reason_t *reason)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, demand->r,
                  "mtls_policy: no identity token can be made: %s", what);
    *reason = MTLS_INTERNAL_ERROR;
    return NULL;
}

static const char *sign(demand_t *demand, const char *claims)
{
    const mtls_version_t *version = mtls_live_take(demand->signer->live);
    const char *token = NULL;

    if (version) {
        demand->cause.key = version->serial; /* it may be newer than what was looked for */
        token = mtls_signing_key_sign(demand->r->pool, version->data, claims);
    }
    mtls_live_give_back(demand->signer->live, version);
    return token;
}

/* Outside the lock: a signature takes its time. */
static const char *make(demand_t *demand, apr_int64_t *exp, mtls_reason_t *reason)
{
    const mtls_jwt_spec_t *spec = demand->cause.spec;
    request_rec *r = demand->r;
    mtls_jwt_terms_t terms = {.spec = spec, .issuer = spec->issuer};
    const char *claims, *token;

    if (!terms.issuer)
        terms.issuer = r->server->server_hostname; /* never what the client calls it */
    terms.iat = apr_time_sec(demand->now);
    terms.exp = *exp = mtls_jwt_exp(spec, demand->now, demand->until);
    if (!terms.issuer)
        return failed(demand, "the server has no name (ServerName, or iss=)", reason);
    if (RAND_bytes(terms.jti, sizeof(terms.jti)) != 1)
        return failed(demand, "no random numbers are to be had", reason);
    if (!mtls_jwt_subject(r->pool, spec, demand->identity).data) {
        *reason = MTLS_USER_AMBIGUOUS;
        return NULL;
    }
    if ((claims = mtls_jwt_claims(r->pool, &terms, demand->identity)) == NULL)
        return failed(demand, "its claims cannot be written", reason);
    token = sign(demand, claims);
    return token ? token : failed(demand, "it cannot be signed", reason);
}

static cause_t cause_of(const demand_t *demand, const mtls_jwt_spec_t *spec)
{
    const mtls_evidence_t *evidence = demand->identity->evidence;
    cause_t cause = {.spec = spec, .server = demand->r->server};

    cause.key = mtls_live_serial(demand->signer->live);
    memcpy(cause.sha256, evidence->facts->sha256, sizeof(cause.sha256));
    cause.status = evidence->status;
    cause.exempt = evidence->chain && evidence->chain->exempt;
    cause.trust_store = evidence->chain ? evidence->chain->trust_store : "";
    cause.policies = demand->identity->policies ? demand->identity->policies : "";
    return cause;
}

/* What another stream has made meanwhile is this one's as well, whichever of them came first. */
static const char *make_and_keep(demand_t *demand, mtls_reason_t *reason)
{
    apr_int64_t exp = 0;
    const char *token = make(demand, &exp, reason), *other;

    if (!token || !demand->peer)
        return token;
    mtls_peer_enter(demand->peer, demand->r);
    other = copy_of_kept(demand, apr_time_now());
    if (!other)
        keep(demand, token, exp);
    mtls_peer_leave(demand->peer, demand->r);
    return other ? other : token;
}

const char *mtls_token_of(request_rec *r, const mtls_jwt_spec_t *spec,
                          const mtls_identity_t *identity, apr_time_t until, mtls_reason_t *reason)
{
    demand_t demand = {.r = r,
                       .peer = mtls_peer_of(r),
                       .signer = mtls_signing_first(r->server),
                       .identity = identity,
                       .now = apr_time_now(),
                       .until = until};
    const char *token = NULL;

    *reason = MTLS_INTERNAL_ERROR;
    if (!demand.signer)
        return failed(&demand, "the server has no MTLSSigningKey", reason);
    if (!identity->evidence || !identity->evidence->facts)
        return failed(&demand, "nobody was verified", reason);
    demand.cause = cause_of(&demand, spec);
    if (demand.peer) {
        mtls_peer_enter(demand.peer, r);
        token = copy_of_kept(&demand, demand.now);
        mtls_peer_leave(demand.peer, r);
    }
    if (!token)
        token = make_and_keep(&demand, reason);
    if (token)
        *reason = MTLS_OK;
    return token;
}
