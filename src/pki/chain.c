/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/chain.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "pki/x509_facts.h"
#include "policy/limits.h"

/* 112 bits: RSA and DH from 2048, EC from 224, no SHA-1 or MD5 signatures. */
#define SECURITY_LEVEL 2

/* A missing issuer may turn up: another child may have learnt the intermediate meanwhile. */
#define RETRY_INCOMPLETE apr_time_from_sec(2)
/* Any other refusal is looked at again now and then, so that none outlives its cause for long. */
#define RETRY_REFUSED apr_time_from_sec(60)

int mtls_chain_contains(const STACK_OF(X509) * certificates, const X509 *x)
{
    int i;

    for (i = 0; certificates && i < sk_X509_num(certificates); i++) {
        if (X509_cmp(sk_X509_value(certificates, i), x) == 0)
            return 1;
    }
    return 0;
}

int mtls_trust_store_anchors(const mtls_trust_store_t *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store->certificates);
    int i, anchors = 0;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x && X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0)
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
    case X509_V_ERR_UNSPECIFIED:
    case X509_V_OK: /* a failure that claims to be none */
        return MTLS_INTERNAL_ERROR;
    default:
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

static apr_time_t good_until(X509_STORE_CTX *ctx, const STACK_OF(X509) * verified, apr_time_t now)
{
    unsigned long flags = X509_VERIFY_PARAM_get_flags(X509_STORE_CTX_get0_param(ctx));
    apr_time_t until = MTLS_FOREVER;
    int i;

    for (i = 0; i < sk_X509_num(verified); i++) {
        sooner_of(&until, sk_X509_value(verified, i), now);
        if (flags & X509_V_FLAG_CRL_CHECK)
            sooner_of_crls(&until, ctx, sk_X509_value(verified, i), now);
    }
    return until;
}

static apr_time_t refused_until(mtls_reason_t reason, X509_STORE_CTX *ctx, X509 *leaf,
                                apr_time_t now)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    STACK_OF(X509) *built = X509_STORE_CTX_get0_chain(ctx);
    apr_time_t until = now + (reason == MTLS_CHAIN_INCOMPLETE ? RETRY_INCOMPLETE : RETRY_REFUSED);
    int i;

    sooner_of(&until, leaf, now);
    for (i = 0; sent && i < sk_X509_num(sent); i++)
        sooner_of(&until, sk_X509_value(sent, i), now);
    for (i = 0; built && i < sk_X509_num(built); i++)
        sooner_of(&until, sk_X509_value(built, i), now);
    return until;
}

/* ---- verification ---- */

static void refuse(mtls_chain_result_t *result, mtls_reason_t reason, int error, const char *detail)
{
    result->reason = reason;
    result->openssl_error = error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
    result->detail = detail;
}

/* The links of the chain above the leaf; NULL when a certificate cannot be hashed. */
static const mtls_chain_t *make_chain(apr_pool_t *p, const mtls_trust_store_t *store,
                                      const STACK_OF(X509) * verified)
{
    int i, n = sk_X509_num(verified) - 1;
    mtls_chain_link_t *links = apr_pcalloc(p, sizeof(*links) * (apr_size_t)n);
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
    return chain;
}

/* What X509_verify_cert() does not refuse and we do. */
static void check_leaf(X509 *leaf, const STACK_OF(X509) * verified, mtls_chain_result_t *result)
{
    if (sk_X509_num(verified) < 2)
        refuse(result, MTLS_CHAIN_INVALID, X509_V_ERR_CERT_UNTRUSTED,
               "the certificate is itself a trust anchor");
    else if (X509_get_extension_flags(leaf) & EXFLAG_CA)
        refuse(result, MTLS_PURPOSE_MISMATCH, X509_V_ERR_INVALID_PURPOSE,
               "the certificate is a CA's");
}

static void verified_chain(apr_pool_t *p, X509_STORE_CTX *ctx, const mtls_trust_store_t *store,
                           X509 *leaf, apr_time_t now, mtls_chain_result_t *result)
{
    STACK_OF(X509) *verified = X509_STORE_CTX_get1_chain(ctx);

    result->detail = NULL;
    if (!verified || sk_X509_num(verified) < 1)
        refuse(result, MTLS_INTERNAL_ERROR, X509_V_ERR_UNSPECIFIED, "no chain was built");
    else
        check_leaf(leaf, verified, result);
    if (!result->detail && (result->chain = make_chain(p, store, verified)) != NULL) {
        result->valid_until = good_until(ctx, verified, now);
        result->openssl_error = X509_V_OK;
        result->reason = MTLS_OK;
        result->verified = verified;
        return;
    }
    sk_X509_pop_free(verified, X509_free);
}

static int set_parameters(X509_STORE_CTX *ctx, const mtls_trust_store_t *store, apr_time_t now)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

    if (X509_STORE_CTX_set_default(ctx, "ssl_client") != 1)
        return 0;
    X509_VERIFY_PARAM_set_depth(param, store->depth);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_time(param, (time_t)apr_time_sec(now));
    return X509_VERIFY_PARAM_clear_flags(param, X509_V_FLAG_NO_CHECK_TIME |
                                                    X509_V_FLAG_IGNORE_CRITICAL) == 1;
}

void mtls_chain_verify(apr_pool_t *p, const mtls_trust_store_t *store, X509 *leaf,
                       STACK_OF(X509) * untrusted, apr_time_t now, mtls_chain_result_t *result)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int error;

    memset(result, 0, sizeof(*result));
    refuse(result, MTLS_INTERNAL_ERROR, X509_V_ERR_OUT_OF_MEM, "out of memory");
    result->valid_until = now;
    if (!ctx || X509_STORE_CTX_init(ctx, store->certificates, leaf, untrusted) != 1 ||
        !set_parameters(ctx, store, now))
        goto done;
    if (untrusted && sk_X509_num(untrusted) > MTLS_MAX_CLIENT_CHAIN + 1) {
        refuse(result, MTLS_CHAIN_INVALID, X509_V_ERR_CERT_CHAIN_TOO_LONG,
               "the client sent too many certificates");
        result->valid_until = MTLS_FOREVER;
        goto done;
    }
    if (X509_verify_cert(ctx) == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK) {
        verified_chain(p, ctx, store, leaf, now, result);
    } else {
        error = X509_STORE_CTX_get_error(ctx);
        refuse(result, reason_of(error, ctx), error, X509_verify_cert_error_string(error));
    }
    if (result->reason != MTLS_OK)
        result->valid_until = refused_until(result->reason, ctx, leaf, now);
done:
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
}
