/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/chain.h"

#include <apr_hash.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "pki/chain_cache.h"
#include "pki/path_checks.h"
#include "pki/special_crls.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

/* 112 bits: RSA and DH from 2048, EC from 224, no SHA-1 or MD5 signatures. */
#define SECURITY_LEVEL 2

/* The issuer that a resumed session lacks may turn up: another child may learn it meanwhile. */
#define RETRY_INCOMPLETE apr_time_from_sec(2)
/* Any other refusal is looked at again now and then, so that none outlives its cause for long. */
#define RETRY_REFUSED apr_time_from_sec(60)

void mtls_chain_warm_up(X509_STORE *certificates)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(certificates);
    int i;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x)
            X509_check_purpose(x, -1, 0);
    }
    ERR_clear_error();
}

const mtls_chain_t *mtls_chain_copy(apr_pool_t *p, const mtls_chain_t *chain)
{
    mtls_chain_t *copy = apr_pmemdup(p, chain, sizeof(*chain));

    copy->links = apr_pmemdup(p, chain->links, sizeof(*chain->links) * (apr_size_t)chain->n);
    return copy;
}

int mtls_chain_equal(const mtls_chain_t *a, const mtls_chain_t *b)
{
    return a->trust_store == b->trust_store && a->trust_domains == b->trust_domains &&
           a->exempt == b->exempt && a->n == b->n &&
           memcmp(a->links, b->links, sizeof(*a->links) * (apr_size_t)a->n) == 0;
}

int mtls_trust_store_anchors(const mtls_trust_store_t *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store->certificates);
    unsigned long flags = X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store->certificates));
    int i, anchors = 0;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x && (flags & X509_V_FLAG_PARTIAL_CHAIN))
            anchors++;
        else if (x && X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0)
            anchors++;
    }
    return anchors;
}

/* ---- OpenSSL's errors as reasons ---- */

/* A CA of the missing issuer's name is known, but with another key: an impostor, not a gap. */
static int issuer_name_is_known(X509_STORE_CTX *ctx)
{
    X509 *orphan = X509_STORE_CTX_get_current_cert(ctx);
    X509_NAME *name = orphan ? X509_get_issuer_name(orphan) : NULL;
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    STACK_OF(X509) * known;
    int i, found = 0;

    if (!name)
        return 0;
    known = X509_STORE_CTX_get1_certs(ctx, name);
    found = known && sk_X509_num(known) > 0;
    sk_X509_pop_free(known, X509_free);
    for (i = 0; !found && sent && i < sk_X509_num(sent); i++) {
        X509 *x = sk_X509_value(sent, i);
        found = X509_cmp(x, orphan) != 0 && X509_NAME_cmp(X509_get_subject_name(x), name) == 0;
    }
    return found;
}

static mtls_reason_t reason_of(int error, X509_STORE_CTX *ctx)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return issuer_name_is_known(ctx) ? MTLS_CHAIN_UNTRUSTED : MTLS_CHAIN_INCOMPLETE;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return MTLS_CHAIN_UNTRUSTED;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return MTLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return MTLS_NOT_YET_VALID;
    case X509_V_ERR_INVALID_PURPOSE:
        return MTLS_PURPOSE_MISMATCH;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
        return MTLS_CHAIN_WEAK;
    case X509_V_ERR_CERT_REVOKED:
        return MTLS_REVOKED_CRL;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
        return MTLS_CRL_UNAVAILABLE;
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_INVALID_CALL:
    case X509_V_ERR_STORE_LOOKUP:
    case X509_V_OK: /* a failure that claims to be none */
        return MTLS_INTERNAL_ERROR;
    default: /* also X509_V_ERR_UNSPECIFIED: more names and constraints than OpenSSL compares */
        return MTLS_CHAIN_INVALID;
    }
}

/* ---- until when an answer holds ---- */

static void sooner(apr_time_t *until, apr_time_t at, apr_time_t now)
{
    if (at > now && at < *until)
        *until = at;
}

/* The dates of a certificate are the moments its part of the answer can change. notAfter is the
 * last second of validity for RFC 5280 and the first of expiry for OpenSSL, which we follow. */
static void sooner_of(apr_time_t *until, const X509 *x, apr_time_t now)
{
    apr_time_t at;

    if (mtls_x509_time(X509_get0_notBefore(x), &at))
        sooner(until, at, now);
    if (mtls_x509_time(X509_get0_notAfter(x), &at))
        sooner(until, at, now);
}

static void sooner_of_crls(apr_time_t *until, X509_STORE_CTX *ctx, X509 *x, apr_time_t now)
{
    STACK_OF(X509_CRL) *crls = X509_STORE_CTX_get1_crls(ctx, X509_get_issuer_name(x));
    apr_time_t at;
    int i;

    for (i = 0; crls && i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        if (mtls_x509_time(X509_CRL_get0_lastUpdate(crl), &at))
            sooner(until, at, now);
        if (mtls_x509_time(X509_CRL_get0_nextUpdate(crl), &at))
            sooner(until, at, now);
    }
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
}

static void sooner_of_moments(apr_time_t *until, const apr_array_header_t *moments, apr_time_t now)
{
    int i;

    for (i = 0; moments && i < moments->nelts; i++)
        sooner(until, APR_ARRAY_IDX(moments, i, apr_time_t), now);
}

static apr_time_t good_until(X509_STORE_CTX *ctx, const mtls_trust_store_t *store,
                             const STACK_OF(X509) * verified, apr_time_t now)
{
    unsigned long flags = X509_VERIFY_PARAM_get_flags(X509_STORE_CTX_get0_param(ctx));
    apr_time_t until = MTLS_FOREVER;
    int i;

    for (i = 0; i < sk_X509_num(verified); i++) {
        sooner_of(&until, sk_X509_value(verified, i), now);
        if (flags & X509_V_FLAG_CRL_CHECK)
            sooner_of_crls(&until, ctx, sk_X509_value(verified, i), now);
    }
    if (flags & X509_V_FLAG_CRL_CHECK)
        sooner_of_moments(&until, store->crl_moments, now);
    return until;
}

static apr_time_t refused_until(X509_STORE_CTX *ctx, const mtls_trust_store_t *store, X509 *leaf,
                                apr_time_t now)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    STACK_OF(X509) *built = X509_STORE_CTX_get0_chain(ctx);
    apr_time_t until = now + RETRY_REFUSED;
    int i;

    sooner_of(&until, leaf, now);
    for (i = 0; sent && i < sk_X509_num(sent); i++)
        sooner_of(&until, sk_X509_value(sent, i), now);
    for (i = 0; built && i < sk_X509_num(built); i++)
        sooner_of(&until, sk_X509_value(built, i), now);
    sooner_of_moments(&until, store->crl_moments, now);
    return until;
}

/* ---- revocation ---- */

#define CRL_FLAGS (X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)

/* What OpenSSL's callbacks need of one verification. */
typedef struct verification_t {
    const mtls_trust_store_t *store;
    const mtls_chain_ask_t *ask;
    unsigned long crl_flags; /* kept back until the signatures are proved */
    X509_STORE_CTX_verify_fn verify;
} verification_t;

/* OpenSSL would ask the CRLs first: anybody who writes an issuer's name into a certificate could
 * then have us work through that issuer's list. */
static int verify_signatures_first(X509_STORE_CTX *ctx)
{
    verification_t *v = X509_STORE_CTX_get_app_data(ctx);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    int verified = v->verify(ctx);

    if (verified != 1 || !v->crl_flags)
        return verified;
    if (X509_VERIFY_PARAM_set_flags(param, v->crl_flags) != 1)
        return 0;
    return X509_STORE_CTX_get_check_revocation(ctx)(ctx);
}

static int issued_a_crl(const mtls_trust_store_t *store, const X509_NAME *issuer)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store->certificates);
    int i;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
        /* A list with an issuing distribution point may stand for other issuers, too. */
        if (crl && (X509_NAME_cmp(X509_CRL_get_issuer(crl), issuer) == 0 ||
                    X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) >= 0))
            return 1;
    }
    return 0;
}

/* The status of an anchor is no part of its path (RFC 5280 6.1): only a list that names it counts.
 * With missing-ok an issuer nobody gave a list of is no obstacle; a list that cannot be proved or
 * has run out is one. */
static int may_be_unknown(X509_STORE_CTX *ctx, const mtls_trust_store_t *store, int error)
{
    const X509 *x = X509_STORE_CTX_get_current_cert(ctx);

    if (reason_of(error, ctx) != MTLS_CRL_UNAVAILABLE)
        return 0;
    if (X509_STORE_CTX_get_error_depth(ctx) == sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) - 1)
        return 1;
    return error == X509_V_ERR_UNABLE_TO_GET_CRL && store->crl_missing_ok && x &&
           !issued_a_crl(store, X509_get_issuer_name(x));
}

static int judge_error(int ok, X509_STORE_CTX *ctx)
{
    const verification_t *v = X509_STORE_CTX_get_app_data(ctx); /* none in the path of a CRL */

    if (ok || !v || !may_be_unknown(ctx, v->store, X509_STORE_CTX_get_error(ctx)))
        return ok;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

/* ---- verification ---- */

static void refuse(mtls_chain_result_t *result, mtls_reason_t reason, int error, const char *detail)
{
    result->reason = reason;
    result->openssl_error = error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
    result->detail = detail;
}

static void allow(mtls_chain_result_t *result, const mtls_chain_t *chain, apr_time_t until)
{
    result->chain = chain;
    result->valid_until = until;
    result->openssl_error = X509_V_OK;
    result->detail = NULL;
    result->reason = MTLS_OK;
}

/* The links of the chain above the leaf; NULL when a certificate cannot be hashed. */
static const mtls_chain_t *make_chain(apr_pool_t *p, const mtls_trust_store_t *store,
                                      const STACK_OF(X509) * verified)
{
    int i, n = verified ? sk_X509_num(verified) - 1 : 0;
    mtls_chain_link_t *links = apr_pcalloc(p, sizeof(*links) * (apr_size_t)(n + 1));
    mtls_chain_t *chain = apr_pcalloc(p, sizeof(*chain));

    for (i = 0; i < n; i++) {
        if (!mtls_x509_digests(sk_X509_value(verified, i + 1), links[i].sha256,
                               links[i].spki_sha256))
            return NULL;
    }
    chain->trust_store = store->name;
    chain->trust_domains = store->domains;
    chain->links = links;
    chain->n = n;
    chain->exempt = !verified;
    return chain;
}

/* Where a certificate lists purposes, OpenSSL also takes the "server gated crypto" of the last
 * century for a server's. For a client it takes clientAuth alone. */
static int has_purpose(const STACK_OF(X509) * verified, mtls_purpose_t purpose)
{
    int i;

    for (i = 0; purpose == MTLS_PURPOSE_SERVER && i < sk_X509_num(verified); i++) {
        X509 *x = sk_X509_value(verified, i);
        if ((X509_get_extension_flags(x) & EXFLAG_XKUSAGE) &&
            !(X509_get_extended_key_usage(x) & XKU_SSL_SERVER))
            return 0;
    }
    return 1;
}

/* What X509_verify_cert() does not refuse and we do. */
static void check_path(const mtls_chain_ask_t *ask, const STACK_OF(X509) * verified,
                       mtls_chain_result_t *result)
{
    mtls_reason_t reason;
    const char *refusal = mtls_path_refusal(verified, &reason);

    if (sk_X509_num(verified) < 2)
        refuse(result, MTLS_CHAIN_INVALID, X509_V_ERR_CERT_UNTRUSTED,
               "the certificate is itself a trust anchor");
    else if (X509_get_extension_flags(ask->leaf) & EXFLAG_CA)
        refuse(result, MTLS_PURPOSE_MISMATCH, X509_V_ERR_INVALID_PURPOSE,
               "the certificate is a CA's");
    else if (!has_purpose(verified, ask->purpose))
        refuse(result, MTLS_PURPOSE_MISMATCH, X509_V_ERR_INVALID_PURPOSE,
               X509_verify_cert_error_string(X509_V_ERR_INVALID_PURPOSE));
    else if (refusal)
        refuse(result, reason, X509_V_ERR_APPLICATION_VERIFICATION, refusal);
}

static void check_revoked(const verification_t *v, const STACK_OF(X509) * verified,
                          mtls_chain_result_t *result)
{
    int i, last = sk_X509_num(verified) - 1;
    int n = v->crl_flags & X509_V_FLAG_CRL_CHECK_ALL ? last + 1 : 1;
    mtls_reason_t reason = MTLS_OK;

    for (i = 0; v->crl_flags && i < n && reason == MTLS_OK; i++) {
        reason = mtls_special_crls_ask(v->store, sk_X509_value(verified, i),
                                       sk_X509_value(verified, i + 1), result->from);
        if (i == last && reason == MTLS_CRL_UNAVAILABLE)
            reason = MTLS_OK; /* an anchor's own status is no part of the path */
    }
    if (reason == MTLS_REVOKED_CRL)
        refuse(result, reason, X509_V_ERR_CERT_REVOKED, "certificate revoked");
    else if (reason != MTLS_OK)
        refuse(result, reason, X509_V_ERR_CRL_HAS_EXPIRED, "CRL has expired");
}

static void verified_chain(apr_pool_t *p, X509_STORE_CTX *ctx, const verification_t *v,
                           mtls_chain_result_t *result)
{
    const STACK_OF(X509) *verified = X509_STORE_CTX_get0_chain(ctx);
    const mtls_chain_t *chain = NULL;

    result->detail = NULL;
    if (!verified || sk_X509_num(verified) < 1)
        refuse(result, MTLS_INTERNAL_ERROR, X509_V_ERR_UNSPECIFIED, "no chain was built");
    else
        check_path(v->ask, verified, result);
    if (!result->detail)
        check_revoked(v, verified, result);
    if (!result->detail && (chain = make_chain(p, v->store, verified)) != NULL)
        allow(result, chain, good_until(ctx, v->store, verified, result->from));
}

/* Said once for all: what the store's own parameters may say of a purpose does not count. */
static int set_purpose(X509_VERIFY_PARAM *param, mtls_purpose_t purpose)
{
    switch (purpose) {
    case MTLS_PURPOSE_CLIENT:
        return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) == 1 &&
               X509_VERIFY_PARAM_set_trust(param, X509_TRUST_SSL_CLIENT) == 1;
    case MTLS_PURPOSE_SERVER:
        return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1 &&
               X509_VERIFY_PARAM_set_trust(param, X509_TRUST_SSL_SERVER) == 1;
    default:
        return 0;
    }
}

static int set_parameters(X509_STORE_CTX *ctx, verification_t *v)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

    if (!set_purpose(param, v->ask->purpose) || X509_STORE_CTX_set_app_data(ctx, v) != 1)
        return 0;
    X509_VERIFY_PARAM_set_depth(param, v->store->depth);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_time(param, (time_t)apr_time_sec(v->ask->now));
    /* Rules read the common name: where host names are constrained it counts as one, too. */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT);
    v->crl_flags = X509_VERIFY_PARAM_get_flags(param) & CRL_FLAGS;
    v->verify = X509_STORE_CTX_get_verify(ctx);
    X509_STORE_CTX_set_verify(ctx, verify_signatures_first);
    X509_STORE_CTX_set_verify_cb(ctx, judge_error);
    if (v->store->special && sk_X509_CRL_num(v->store->special) > 0)
        X509_STORE_CTX_set0_crls(ctx, v->store->special);
    return X509_VERIFY_PARAM_clear_flags(param, X509_V_FLAG_NO_CHECK_TIME |
                                                    X509_V_FLAG_IGNORE_CRITICAL | CRL_FLAGS) == 1;
}

/* The CA certificate a path has failed by, or over: another one of the same name may do better. A
 * certificate that is revoked, or not known not to be, is no reason to look for another way. */
static X509 *dead_end(X509_STORE_CTX *ctx, int error)
{
    const STACK_OF(X509) *built = X509_STORE_CTX_get0_chain(ctx);
    int depth = X509_STORE_CTX_get_error_depth(ctx), n = built ? sk_X509_num(built) : 0;
    mtls_reason_t reason = reason_of(error, ctx);

    if (reason == MTLS_REVOKED_CRL || reason == MTLS_CRL_UNAVAILABLE ||
        reason == MTLS_INTERNAL_ERROR)
        return NULL;
    if (error == X509_V_ERR_CERT_SIGNATURE_FAILURE)
        depth++; /* the key was that of the certificate above */
    else if (reason == MTLS_CHAIN_INCOMPLETE || reason == MTLS_CHAIN_UNTRUSTED)
        depth = n - 1;
    return depth > 0 && depth < n ? sk_X509_value(built, depth) : NULL;
}

/* Configured intermediates come before those a client sends. NULL: out of memory. */
static STACK_OF(X509) * helpers_of(const mtls_trust_store_t *store, STACK_OF(X509) * untrusted)
{
    int i, configured = store->helpers ? sk_X509_num(store->helpers) : 0;
    int sent = untrusted ? sk_X509_num(untrusted) : 0;
    STACK_OF(X509) *helpers = sk_X509_new_reserve(NULL, configured + sent);

    for (i = 0; helpers && i < configured; i++)
        sk_X509_push(helpers, sk_X509_value(store->helpers, i));
    for (i = 0; helpers && i < sent; i++)
        sk_X509_push(helpers, sk_X509_value(untrusted, i));
    return helpers;
}

/* One path. `bad` gets the helper that may be left out to find another one; NULL: there is none. */
static void verify_path(apr_pool_t *p, verification_t v, STACK_OF(X509) * helpers,
                        mtls_chain_result_t *result, X509 **bad)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int error;

    *bad = NULL;
    if (!ctx || X509_STORE_CTX_init(ctx, v.store->certificates, v.ask->leaf, helpers) != 1 ||
        !set_parameters(ctx, &v))
        goto done;
    if (X509_verify_cert(ctx) == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK) {
        verified_chain(p, ctx, &v, result);
    } else {
        error = X509_STORE_CTX_get_error(ctx);
        refuse(result, reason_of(error, ctx), error, X509_verify_cert_error_string(error));
        *bad = dead_end(ctx, error);
    }
    if (result->reason != MTLS_OK)
        result->valid_until = refused_until(ctx, v.store, v.ask->leaf, result->from);
done:
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
}

static int take_out(STACK_OF(X509) * helpers, const X509 *x)
{
    int i;

    for (i = 0; x && i < sk_X509_num(helpers); i++) {
        if (sk_X509_value(helpers, i) == x) {
            sk_X509_delete(helpers, i);
            return 1;
        }
    }
    return 0;
}

/* OpenSSL takes the first CA of the right name, and does not come back from a dead end: while a CA
 * is renewed there are two. The reason of the first path is told when none is good. */
static void verify(apr_pool_t *p, const mtls_trust_store_t *store, const mtls_chain_ask_t *ask,
                   STACK_OF(X509) * helpers, mtls_chain_result_t *result)
{
    const verification_t v = {store, ask, 0, NULL};
    mtls_chain_result_t other = *result;
    X509 *bad = NULL;
    int tries;

    verify_path(p, v, helpers, result, &bad);
    for (tries = 1; tries < MTLS_MAX_PATHS && take_out(helpers, bad); tries++) {
        mtls_chain_result_t next = other;
        verify_path(p, v, helpers, &next, &bad);
        if (next.reason == MTLS_OK || next.reason == MTLS_REVOKED_CRL ||
            next.reason == MTLS_CRL_UNAVAILABLE)
            *result = next; /* all signatures of this path are proved */
        else if (next.valid_until < result->valid_until)
            result->valid_until = next.valid_until;
    }
}

/* ---- what is known already ---- */

static int is_allowed(const mtls_trust_store_t *store, const unsigned char *sha256)
{
    return store->allowed &&
           apr_hash_get((apr_hash_t *)store->allowed, sha256, MTLS_DIGEST_BYTES) != NULL;
}

/* Everything a result depends on but the store and the time. */
static int make_key(const unsigned char *leaf_sha256, const mtls_chain_ask_t *ask,
                    mtls_chain_key_t *key)
{
    const unsigned char purpose = (unsigned char)ask->purpose;
    unsigned char sha256[MTLS_DIGEST_BYTES];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int i, ok;

    ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(md, leaf_sha256, MTLS_DIGEST_BYTES) == 1;
    for (i = 0; ok && ask->untrusted && i < sk_X509_num(ask->untrusted); i++) {
        ok = X509_digest(sk_X509_value(ask->untrusted, i), EVP_sha256(), sha256, NULL) == 1 &&
             EVP_DigestUpdate(md, sha256, sizeof(sha256)) == 1;
    }
    ok = ok && EVP_DigestUpdate(md, &purpose, sizeof(purpose)) == 1 &&
         EVP_DigestFinal_ex(md, key->sha256, NULL) == 1;
    EVP_MD_CTX_free(md);
    key->issuer = X509_issuer_name_hash(ask->leaf);
    return ok;
}

static void verify_once(apr_pool_t *p, const mtls_trust_store_t *store, const mtls_chain_ask_t *ask,
                        const unsigned char *sha256, mtls_chain_result_t *result)
{
    STACK_OF(X509) * helpers;
    mtls_chain_key_t key;
    int cached = store->cache && make_key(sha256, ask, &key);

    if (cached && mtls_chain_cache_get(store->cache, &key, result->from, p, result))
        return;
    if ((helpers = helpers_of(store, ask->untrusted)) == NULL)
        return;
    verify(p, store, ask, helpers, result);
    sk_X509_free(helpers);
    if (result->reason == MTLS_CHAIN_INCOMPLETE && !ask->untrusted)
        sooner(&result->valid_until, result->from + RETRY_INCOMPLETE, result->from);
    if (cached)
        mtls_chain_cache_put(store->cache, &key, result);
}

void mtls_chain_verify(apr_pool_t *p, const mtls_trust_store_t *store, const mtls_chain_ask_t *ask,
                       mtls_chain_result_t *result)
{
    unsigned char sha256[MTLS_DIGEST_BYTES];
    const mtls_chain_t *chain;

    memset(result, 0, sizeof(*result));
    refuse(result, MTLS_INTERNAL_ERROR, X509_V_ERR_OUT_OF_MEM, "out of memory");
    result->from = result->valid_until = ask->now;
    if (X509_digest(ask->leaf, EVP_sha256(), sha256, NULL) != 1)
        return;
    if (is_allowed(store, sha256)) {
        if ((chain = make_chain(p, store, NULL)) != NULL)
            allow(result, chain, MTLS_FOREVER);
    } else if (ask->untrusted && sk_X509_num(ask->untrusted) > MTLS_MAX_CLIENT_CHAIN + 1) {
        refuse(result, MTLS_CHAIN_INVALID, X509_V_ERR_CERT_CHAIN_TOO_LONG,
               ask->purpose == MTLS_PURPOSE_CLIENT ? "the client sent too many certificates"
                                                   : "the server sent too many certificates");
        result->valid_until = MTLS_FOREVER;
    } else {
        verify_once(p, store, ask, sha256, result);
    }
}
