/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/special_crls.h"

#include <openssl/x509v3.h>

#include "pki/x509_facts.h"

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

/* A complete list of the same issuer and scope that was made later, and counts by now, has it all.
 */
static int is_superseded(const mtls_trust_store_t *store, const X509_CRL *crl, apr_time_t now)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store->certificates);
    int i;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509_CRL *other = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
        if (other && X509_CRL_get_ext_by_NID(other, NID_delta_crl, -1) < 0 &&
            is_current(other, now) &&
            X509_NAME_cmp(X509_CRL_get_issuer(other), X509_CRL_get_issuer(crl)) == 0 &&
            ASN1_TIME_compare(X509_CRL_get0_lastUpdate(other), X509_CRL_get0_lastUpdate(crl)) > 0 &&
            same_scope(other, crl))
            return 1;
    }
    return 0;
}

static mtls_reason_t ask_special(X509_CRL *crl, X509 *x, apr_time_t now)
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

mtls_reason_t mtls_special_crls_ask(const mtls_trust_store_t *store, X509 *x, apr_time_t now)
{
    mtls_reason_t reason = MTLS_OK;
    int i, n = store->special ? sk_X509_CRL_num(store->special) : 0;

    for (i = 0; i < n && reason == MTLS_OK; i++) {
        X509_CRL *crl = sk_X509_CRL_value(store->special, i);
        if (!is_superseded(store, crl, now))
            reason = ask_special(crl, x, now);
    }
    return reason;
}
