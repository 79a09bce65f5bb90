/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Files of CRLs. Whatever OpenSSL finds in a list that was read must be found by us as well. */

#include "fuzz.h"

#include <apr_tables.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/crl.h"

/* The same list in OpenSSL's own form, from its encoding. */
static X509_CRL *plain_copy(X509_CRL *crl)
{
    X509_CRL *copy = X509_CRL_dup(crl);

    CHECK(copy && X509_CRL_match(crl, copy) == 0);
    return copy;
}

static void check_entries(X509_CRL *crl, X509_CRL *copy)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(copy);
    int i, n = sk_X509_REVOKED_num(entries);

    CHECK(mtls_crl_count(crl) <= (apr_size_t)(n > 0 ? n : 0));
    for (i = 0; i < n; i++) {
        const ASN1_INTEGER *serial =
            X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
        X509_REVOKED *found = NULL;
        int plain = X509_CRL_get0_by_serial(copy, NULL, serial);
        int ours = X509_CRL_get0_by_serial(crl, &found, serial);
        CHECK(ours == plain || (ours == 1 && plain == 2));
        CHECK((ours != 0) == (found != NULL));
    }
}

static void check_list(X509_CRL *crl, EVP_PKEY *key)
{
    X509_CRL *copy = plain_copy(crl);

    check_entries(crl, copy);
    CHECK(X509_CRL_get0_nextUpdate(crl));
    CHECK((X509_CRL_verify(crl, key) == 1) == (X509_CRL_verify(copy, key) == 1));
    CHECK((X509_CRL_verify(crl, key) == 1) == (X509_CRL_verify(copy, key) == 1));
    X509_CRL_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *key;
    apr_pool_t *p = fuzz_begin();
    apr_array_header_t *out = apr_array_make(p, 2, sizeof(X509_CRL *));
    const char *error = mtls_crls_read(p, mtls_span((const char *)data, size), out);
    int i;

    if (!key)
        key = EVP_EC_gen("P-256");
    CHECK(key && ERR_peek_error() == 0);
    CHECK(error || out->nelts > 0);
    for (i = 0; i < out->nelts; i++)
        check_list(APR_ARRAY_IDX(out, i, X509_CRL *), key);
    ERR_clear_error();
    fuzz_end(p);
    return 0;
}
