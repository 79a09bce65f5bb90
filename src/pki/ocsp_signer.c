/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/ocsp_signer.h"

#include <string.h>

#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "pki/path_checks.h"
#include "pki/x509_facts.h"

/* OpenSSL's level of 112 bits: RSA from 2048, curves from 224, no SHA-1 in certificates. */
#define SECURITY_LEVEL 2

/* ---- algorithms ---- */

static int is_strong_digest(int nid)
{
    switch (nid) {
    case NID_sha224:
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
    case NID_sha3_224:
    case NID_sha3_256:
    case NID_sha3_384:
    case NID_sha3_512:
        return 1;
    default:
        return 0;
    }
}

/* RSASSA-PSS names its digest in the parameters (RFC 4055 3.1); without one it is SHA-1. */
static int is_strong_pss(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *name = NULL;
    const void *value = NULL;
    RSA_PSS_PARAMS *parameters;
    int type = V_ASN1_UNDEF, strong;

    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    parameters =
        type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS)) : NULL;
    if (parameters && parameters->hashAlgorithm)
        X509_ALGOR_get0(&name, NULL, NULL, parameters->hashAlgorithm);
    strong = name && is_strong_digest(OBJ_obj2nid(name));
    RSA_PSS_PARAMS_free(parameters);
    return strong;
}

static int is_strong(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *name = NULL;
    int digest = NID_undef, key = NID_undef, nid;

    X509_ALGOR_get0(&name, NULL, NULL, algorithm);
    nid = OBJ_obj2nid(name);
    if (nid == NID_ED25519)
        return 1;
    if (nid == NID_rsassaPss)
        return is_strong_pss(algorithm);
    return OBJ_find_sigid_algs(nid, &digest, &key) == 1 && is_strong_digest(digest);
}

/* ---- candidates ---- */

/* Whether the response says that `x` has signed it. */
static int is_named(const OCSP_BASICRESP *basic, const X509 *x)
{
    const ASN1_OCTET_STRING *by_key = NULL;
    const X509_NAME *by_name = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (OCSP_resp_get0_id(basic, &by_key, &by_name) != 1)
        return 0;
    if (by_name)
        return X509_NAME_cmp(X509_get_subject_name(x), by_name) == 0;
    return by_key && X509_pubkey_digest(x, EVP_sha1(), digest, &len) == 1 &&
           ASN1_STRING_length(by_key) == (int)len &&
           memcmp(ASN1_STRING_get0_data(by_key), digest, len) == 0;
}

static const char *check_dates(X509 *x, mtls_ocsp_proof_t *proof)
{
    if (!mtls_x509_time(X509_get0_notBefore(x), &proof->signer_from) ||
        !mtls_x509_time(X509_get0_notAfter(x), &proof->signer_until))
        return "a date of the signer's certificate cannot be read";
    if (proof->produced_at < proof->signer_from)
        return "its signer's certificate was not yet valid";
    if (proof->produced_at - proof->signer_until >= apr_time_from_sec(1))
        return "its signer's certificate had expired";
    return NULL;
}

/* A store with one certificate that is trusted for what it is. Dates are not its business: those of
 * the signer are held against producedAt, those of the issuer belong to the chain. */
static X509_STORE *store_of(X509 *anchor)
{
    X509_STORE *store = X509_STORE_new();

    if (store && X509_STORE_add_cert(store, anchor) == 1 &&
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME) == 1) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(store), SECURITY_LEVEL);
        return store;
    }
    X509_STORE_free(store);
    return NULL;
}

static STACK_OF(X509) * stack_of(X509 *x)
{
    STACK_OF(X509) *stack = sk_X509_new_null();

    if (stack && sk_X509_push(stack, x) > 0)
        return stack;
    sk_X509_free(stack);
    return NULL;
}

/* What chains may not have, keys of odd kinds for one, `x` and `issuer` (NULL: there is none above
 * `x`) may not have either. */
static int is_usual(X509 *x, X509 *issuer)
{
    STACK_OF(X509) *path = stack_of(x);
    mtls_reason_t reason;
    int usual =
        path && (!issuer || sk_X509_push(path, issuer) > 0) && !mtls_path_refusal(path, &reason);

    sk_X509_free(path);
    return usual;
}

/* OpenSSL's own judgement: the signature over the response, and the path from the signer, which is
 * `x` and no other, to the issuer. The response's certificates are no part of it. */
static int is_verified(OCSP_BASICRESP *basic, X509 *x, X509 *issuer)
{
    X509_STORE *store = store_of(issuer);
    STACK_OF(X509) *signers = stack_of(x);
    int verified = store && signers &&
                   OCSP_basic_verify(basic, signers, store,
                                     OCSP_NOINTERN | OCSP_NOCHAIN | OCSP_NOEXPLICIT) == 1;

    sk_X509_free(signers);
    X509_STORE_free(store);
    return verified;
}

/* ---- who may sign ---- */

/* (a) The issuer itself. */
static const char *refuse_issuer(OCSP_BASICRESP *basic, X509 *issuer, mtls_ocsp_proof_t *proof)
{
    if (!is_usual(issuer, NULL) || !is_verified(basic, issuer, issuer))
        return "it is not signed by the issuer that it names as its signer";
    proof->signer_from = 0;
    proof->signer_until = MTLS_FOREVER;
    return NULL;
}

/* What a delegate's certificate has to be whatever path leads to it. A CA's would be one that its
 * own issuer never meant for this: extended key usage there restricts what lies below it. And
 * nobody vouches for himself. */
static const char *refuse_delegate_usage(X509 *x, const mtls_ocsp_subject_t *subject)
{
    uint32_t flags = X509_get_extension_flags(x);

    if (!(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x) & XKU_OCSP_SIGN))
        return "its signer's certificate is not for OCSPSigning";
    if (!(X509_get_key_usage(x) & KU_DIGITAL_SIGNATURE)) /* all bits without the extension */
        return "its signer's certificate is not for digital signatures";
    if (flags & EXFLAG_CA)
        return "its signer's certificate is a CA's";
    if (ASN1_INTEGER_cmp(X509_get0_serialNumber(x), subject->serial) == 0)
        return "its signer speaks for itself";
    return NULL;
}

/* (b) A delegate: issued directly, and with the same key, by the one who has issued the subject. */
static const char *refuse_delegate(OCSP_BASICRESP *basic, X509 *x,
                                   const mtls_ocsp_subject_t *subject, mtls_ocsp_proof_t *proof)
{
    EVP_PKEY *key = X509_get0_pubkey(subject->issuer);
    const char *refusal;

    /* Also when an extension of either cannot be read. */
    if (X509_check_issued(subject->issuer, x) != X509_V_OK || !key || X509_verify(x, key) != 1)
        return "its signer's certificate is not of the same issuer";
    if ((refusal = refuse_delegate_usage(x, subject)) != NULL ||
        (refusal = check_dates(x, proof)) != NULL)
        return refusal;
    if (!is_usual(x, subject->issuer) || !is_verified(basic, x, subject->issuer))
        return "its signature, or its signer's certificate, cannot be verified";
    return NULL;
}

static int is_acceptable(X509 *x)
{
    X509_STORE *store = store_of(x);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int acceptable =
        store && ctx && X509_STORE_CTX_init(ctx, store, x, NULL) == 1 && X509_verify_cert(ctx) == 1;

    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return acceptable && is_usual(x, NULL);
}

/* (c) A certificate the administrator trusts for this: what it says of itself does not matter, but
 * its key has to be strong, and it has to be in force. */
static const char *refuse_local(const OCSP_BASICRESP *basic, X509 *x, mtls_ocsp_proof_t *proof)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    const char *refusal = check_dates(x, proof);

    if (refusal)
        return refusal;
    if (!key || !is_acceptable(x))
        return "its signer's certificate has a weak key or a critical extension that is not known";
    if (ASN1_item_verify(ASN1_ITEM_rptr(OCSP_RESPDATA), OCSP_resp_get0_tbs_sigalg(basic),
                         OCSP_resp_get0_signature(basic), OCSP_resp_get0_respdata(basic), key) != 1)
        return "it is not signed by the responder that it names as its signer";
    return NULL;
}

/* Several certificates may have the name a response gives: the first one that may sign, and has,
 * counts. The reason of the last that was looked at is told. */
const char *mtls_ocsp_signer_refusal(OCSP_BASICRESP *basic, const mtls_ocsp_subject_t *subject,
                                     mtls_ocsp_proof_t *proof)
{
    const STACK_OF(X509) *sent = OCSP_resp_get0_certs(basic);
    const char *refusal = "its signer is not known";
    int i;

    if (!is_strong(OCSP_resp_get0_tbs_sigalg(basic)))
        return "it is signed with a weak or unknown algorithm";
    if (is_named(basic, subject->issuer))
        refusal = refuse_issuer(basic, subject->issuer, proof);
    for (i = 0; refusal && subject->responders && i < sk_X509_num(subject->responders); i++) {
        X509 *x = sk_X509_value(subject->responders, i);
        if (is_named(basic, x))
            refusal = refuse_local(basic, x, proof);
    }
    for (i = 0; refusal && i < sk_X509_num(sent); i++) {
        X509 *x = sk_X509_value(sent, i);
        if (is_named(basic, x))
            refusal = refuse_delegate(basic, x, subject, proof);
    }
    return refusal;
}
