/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A CA and a responder whose responses the target `ocsp` can prove, and which the seeds are made
 * with: their keys are no secrets, and their certificates are the same in every process. */

#ifndef MTLS_FUZZ_OCSP_WORLD_H
#define MTLS_FUZZ_OCSP_WORLD_H

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "policy/facts.h"

/* 2027-01-15T08:00:00Z, and the certificate in question. */
#define OCSP_WORLD_NOW    apr_time_from_sec(APR_TIME_C(1800000000))
#define OCSP_WORLD_SERIAL 0x1001
#define OCSP_WORLD_NONCE  "0123456789abcdef"

static inline EVP_PKEY *ocsp_world_key(int number)
{
    unsigned char bytes[32] = {0};

    bytes[0] = (unsigned char)number;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, sizeof(bytes));
}

static inline int ocsp_world_fill(X509 *x, EVP_PKEY *key, const char *cn)
{
    const time_t now = (time_t)apr_time_sec(OCSP_WORLD_NOW);
    BASIC_CONSTRAINTS ca = {.ca = 0xff};
    X509_NAME *name = X509_get_subject_name(x);

    return X509_set_version(x, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_UTF8STRING, (const unsigned char *)cn, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(x, name) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x), now - 86400) &&
           ASN1_TIME_set(X509_getm_notAfter(x), now + 86400) && X509_set_pubkey(x, key) == 1 &&
           X509_add1_ext_i2d(x, NID_basic_constraints, &ca, 1, 0) == 1 &&
           X509_sign(x, key, NULL) > 0;
}

/* A certificate of that name, signed by itself with the key of that number. NULL: OpenSSL could
 * not. */
static inline X509 *ocsp_world_certificate(const char *cn, int number)
{
    EVP_PKEY *key = ocsp_world_key(number);
    X509 *x = X509_new();
    int made = key && x && ocsp_world_fill(x, key, cn);

    EVP_PKEY_free(key);
    if (made)
        return x;
    X509_free(x);
    return NULL;
}

/* The CA, another one of its name, and a responder the administrator trusts. */
#define OCSP_WORLD_CA    "CA", 0
#define OCSP_WORLD_TWIN  "CA", 1
#define OCSP_WORLD_LOCAL "Local", 2

#endif
