/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/special_crls.h"

#include <apr_hash.h>
#include <openssl/x509v3.h>

#include "pki/x509_facts.h"

/* Two CAs can have one name. One that nobody configured has signed says what it says. */
static int signed_by(const mtls_trust_store_t *store, const X509_CRL *crl, X509 *issuer)
{
    X509 *signer = apr_hash_get((apr_hash_t *)store->signers, &crl, sizeof(crl));

    return !signer || !issuer ||
           EVP_PKEY_eq(X509_get0_pubkey(signer), X509_get0_pubkey(issuer)) == 1;
}

static int same_scope(const X509_CRL *a, const X509_CRL *b)
{
    int i = X509_CRL_get_ext_by_NID(a, NID_issuing_distribution_point, -1);
    int k = X509_CRL_get_ext_by_NID(b, NID_issuing_distribution_point, -1);

    if (i < 0 || k < 0)
        return i < 0 && k < 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(a, i)),
                                 X509_EXTENSION_get_data(X509_CRL_get_ext(b, k))) == 0;
}

static int is_current(const X509_CRL *crl, apr_time_t now)
{
    apr_time_t from, to;

    return mtls_x509_time(X509_CRL_get0_lastUpdate(crl), &from) && from <= now &&
           mtls_x509_time(X509_CRL_get0_nextUpdate(crl), &to) && now < to;
}

/* A complete list of the same issuer, key and scope that was made later, and counts by now, has it
 * all. */
static int is_superseded(const mtls_trust_store_t *store, const X509_CRL *crl, apr_time_t now)
{
    X509 *signer = apr_hash_get((apr_hash_t *)store->signers, &crl, sizeof(crl));
    int i;

    for (i = 0; i < sk_X509_CRL_num(store->crls); i++) {
        const X509_CRL *other = sk_X509_CRL_value(store->crls, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(other), X509_CRL_get_issuer(crl)) == 0 &&
            ASN1_TIME_compare(X509_CRL_get0_lastUpdate(other), X509_CRL_get0_lastUpdate(crl)) > 0 &&
            X509_CRL_get_ext_by_NID(other, NID_delta_crl, -1) < 0 && is_current(other, now) &&
            same_scope(other, crl) && signed_by(store, other, signer))
            return 1;
    }
    return 0;
}

static int is_indirect(const X509_CRL *crl)
{
    return X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) < 0;
}

/* A delta that has run out leaves open what has happened since; one of a narrower scope may not be
 * about this certificate. */
static int has_run_out(const X509_CRL *crl, apr_time_t now)
{
    apr_time_t until = 0;

    if (X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) >= 0)
        return 0;
    return !mtls_x509_time(X509_CRL_get0_nextUpdate(crl), &until) || now >= until;
}

static mtls_reason_t ask(const mtls_trust_store_t *store, X509_CRL *crl, X509 *x, X509 *issuer,
                         apr_time_t now)
{
    X509_REVOKED *entry = NULL;

    if (!is_indirect(crl) && !signed_by(store, crl, issuer))
        return MTLS_OK;
    if (X509_CRL_get0_by_cert(crl, &entry, x) == 1)
        return MTLS_REVOKED_CRL;
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(x)) == 0 &&
        has_run_out(crl, now))
        return MTLS_CRL_UNAVAILABLE;
    return MTLS_OK;
}

mtls_reason_t mtls_special_crls_ask(const mtls_trust_store_t *store, X509 *x, X509 *issuer,
                                    apr_time_t now)
{
    mtls_reason_t reason = MTLS_OK;
    int i, n = store->special ? sk_X509_CRL_num(store->special) : 0;

    for (i = 0; i < n && reason != MTLS_REVOKED_CRL; i++) {
        X509_CRL *crl = sk_X509_CRL_value(store->special, i);
        mtls_reason_t said = ask(store, crl, x, issuer, now);
        if (said != MTLS_OK && !is_superseded(store, crl, now))
            reason = said;
    }
    return reason;
}
