/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/latest_crls.h"

#include <apr_hash.h>
#include <openssl/x509v3.h>

#include "pki/x509_facts.h"

int mtls_crls_same_scope(const X509_CRL *a, const X509_CRL *b)
{
    int i = X509_CRL_get_ext_by_NID(a, NID_issuing_distribution_point, -1);
    int k = X509_CRL_get_ext_by_NID(b, NID_issuing_distribution_point, -1);

    if (i < 0 || k < 0)
        return i < 0 && k < 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(a, i)),
                                 X509_EXTENSION_get_data(X509_CRL_get_ext(b, k))) == 0;
}

static int has_begun(const X509_CRL *crl, apr_time_t now)
{
    apr_time_t from;

    return mtls_x509_time(X509_CRL_get0_lastUpdate(crl), &from) && from <= now;
}

static X509 *signer_of(const mtls_trust_store_t *store, const X509_CRL *crl)
{
    return apr_hash_get((apr_hash_t *)store->signers, &crl, sizeof(crl));
}

/* Two CAs can have one name. */
static int same_signer(const mtls_trust_store_t *store, const X509_CRL *a, const X509_CRL *b)
{
    X509 *x = signer_of(store, a), *y = signer_of(store, b);

    if (!x || !y)
        return x == y;
    return EVP_PKEY_eq(X509_get0_pubkey(x), X509_get0_pubkey(y)) == 1;
}

/* A complete list of the same issuer and scope that was made later, and has begun, has it all. */
static int is_superseded(const mtls_trust_store_t *store, const X509_CRL *crl, apr_time_t now)
{
    int i;

    for (i = 0; i < sk_X509_CRL_num(store->crls); i++) {
        const X509_CRL *other = sk_X509_CRL_value(store->crls, i);
        if (X509_CRL_get_ext_by_NID(other, NID_delta_crl, -1) < 0 &&
            X509_NAME_cmp(X509_CRL_get_issuer(other), X509_CRL_get_issuer(crl)) == 0 &&
            ASN1_TIME_compare(X509_CRL_get0_lastUpdate(other), X509_CRL_get0_lastUpdate(crl)) > 0 &&
            has_begun(other, now) && mtls_crls_same_scope(other, crl) &&
            same_signer(store, other, crl))
            return 1;
    }
    return 0;
}

/* A delta has taken an entry back (removeFromCRL). */
static int is_removed(const mtls_trust_store_t *store, const X509_CRL *crl, X509 *x, apr_time_t now)
{
    X509_REVOKED *entry = NULL;
    int i;

    for (i = 0; i < sk_X509_CRL_num(store->crls); i++) {
        X509_CRL *delta = sk_X509_CRL_value(store->crls, i);
        if (X509_CRL_get_ext_by_NID(delta, NID_delta_crl, -1) >= 0 &&
            X509_NAME_cmp(X509_CRL_get_issuer(delta), X509_CRL_get_issuer(crl)) == 0 &&
            ASN1_TIME_compare(X509_CRL_get0_lastUpdate(delta), X509_CRL_get0_lastUpdate(crl)) > 0 &&
            has_begun(delta, now) && mtls_crls_same_scope(delta, crl) &&
            same_signer(store, delta, crl) && X509_CRL_get0_by_cert(delta, &entry, x) == 2)
            return 1;
    }
    return 0;
}

static mtls_reason_t ask(X509_CRL *crl, X509 *x, apr_time_t now)
{
    X509_REVOKED *entry = NULL;
    apr_time_t until = 0;

    if (X509_CRL_get0_by_cert(crl, &entry, x) == 1)
        return MTLS_REVOKED_CRL;
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(x)) != 0)
        return MTLS_OK;
    return mtls_x509_time(X509_CRL_get0_nextUpdate(crl), &until) && now < until
               ? MTLS_OK
               : MTLS_CRL_UNAVAILABLE;
}

/* Revoked before not known. */
static mtls_reason_t worse(mtls_reason_t a, mtls_reason_t b)
{
    if (a == MTLS_REVOKED_CRL || b == MTLS_REVOKED_CRL)
        return MTLS_REVOKED_CRL;
    return a == MTLS_OK ? b : a;
}

mtls_reason_t mtls_latest_crls_ask(const mtls_trust_store_t *store, X509 *x, apr_time_t now)
{
    mtls_reason_t reason = MTLS_OK;
    int i, n = store->crls ? sk_X509_CRL_num(store->crls) : 0;

    for (i = 0; i < n && reason != MTLS_REVOKED_CRL; i++) {
        X509_CRL *crl = sk_X509_CRL_value(store->crls, i);
        mtls_reason_t said = has_begun(crl, now) ? ask(crl, x, now) : MTLS_OK;
        if (said == MTLS_REVOKED_CRL && is_removed(store, crl, x, now))
            said = MTLS_OK;
        if (said != MTLS_OK && !is_superseded(store, crl, now))
            reason = worse(reason, said);
    }
    return reason;
}
