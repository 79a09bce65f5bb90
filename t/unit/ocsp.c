/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "world.h"

#define MUST(condition) must((condition) ? 1 : 0, #condition, __LINE__)

static void must(int ok, const char *what, int line)
{
    if (!ok) {
        fprintf(stderr, "ocsp.c:%d: %s\n", line, what);
        ERR_print_errors_fp(stderr);
        abort();
    }
}

#define HOUR apr_time_from_sec(3600)

/* ---- parts ---- */

static ASN1_TIME *time_of(apr_time_t given, apr_time_t usual)
{
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)apr_time_sec(given ? given : usual));

    MUST(at);
    return at;
}

static void overwrite(const ASN1_GENERALIZEDTIME *at, const char *text)
{
    if (text)
        MUST(ASN1_STRING_set((ASN1_STRING *)(uintptr_t)at, text, (int)strlen(text)));
}

static ASN1_INTEGER *serial_of(const char *hex)
{
    BIGNUM *value = NULL;
    ASN1_INTEGER *number;

    MUST(BN_hex2bn(&value, hex ? hex : "1001"));
    number = BN_to_ASN1_INTEGER(value, NULL);
    BN_free(value);
    MUST(number);
    return number;
}

static OCSP_CERTID *certid_of(const ocsp_statement_t *spec, X509 *issuer)
{
    ASN1_INTEGER *serial = serial_of(spec->serial);
    const EVP_MD *hash = EVP_get_digestbynid(spec->hash ? spec->hash : NID_sha256);
    OCSP_CERTID *id;

    MUST(hash);
    id = OCSP_cert_id_new(hash, X509_get_subject_name(issuer), X509_get0_pubkey_bitstr(issuer),
                          serial);
    ASN1_INTEGER_free(serial);
    MUST(id);
    return id;
}

static int reason_of(const char *name)
{
    static const char *const names[] = {
        "unspecified",   "keyCompromise",        "CACompromise",    "affiliationChanged",
        "superseded",    "cessationOfOperation", "certificateHold", "",
        "removeFromCRL", "privilegeWithdrawn",   "AACompromise"};
    size_t i;

    for (i = 0; name && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return (int)i;
    }
    MUST(!name);
    return -1;
}

static const mtls_span_t asn1_null = {"\5", 2};
static const ocsp_extension_t nonce_extension = {.oid = "1.3.6.1.5.5.7.48.1.2"};

static X509_EXTENSION *extension_of(const ocsp_extension_t *spec, mtls_span_t der)
{
    ASN1_OBJECT *object = OBJ_txt2obj(spec->oid, 0);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    MUST(object && value &&
         ASN1_OCTET_STRING_set(value, (const unsigned char *)der.data, (int)der.len));
    extension = X509_EXTENSION_create_by_OBJ(NULL, object, spec->critical, value);
    MUST(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return extension;
}

/* To a statement, or with none to the response. */
static void add_extension(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single,
                          const ocsp_extension_t *spec, mtls_span_t der)
{
    int i;

    for (i = 0; spec->oid && i < 1 + spec->twice; i++) {
        X509_EXTENSION *extension = extension_of(spec, der);
        MUST(single ? OCSP_SINGLERESP_add_ext(single, extension, -1)
                    : OCSP_BASICRESP_add_ext(basic, extension, -1));
        X509_EXTENSION_free(extension);
    }
}

static void add_statement(OCSP_BASICRESP *basic, const ocsp_statement_t *spec, X509 *issuer)
{
    OCSP_CERTID *id = certid_of(spec, spec->issuer ? spec->issuer : issuer);
    ASN1_TIME *from = time_of(spec->from, WORLD_NOW - HOUR);
    ASN1_TIME *to = spec->to == OCSP_NONE ? NULL : time_of(spec->to, WORLD_NOW + WORLD_DAYS);
    ASN1_TIME *revoked = time_of(spec->revoked_at, WORLD_NOW - WORLD_DAYS);
    ASN1_GENERALIZEDTIME *in_revoked = NULL, *in_from = NULL, *in_to = NULL;
    OCSP_SINGLERESP *single =
        OCSP_basic_add1_status(basic, id, spec->status, reason_of(spec->reason), revoked, from, to);

    MUST(single);
    (void)OCSP_single_get0_status(single, NULL, &in_revoked, &in_from, &in_to);
    overwrite(in_from, spec->from_text);
    overwrite(in_to, spec->to_text);
    overwrite(in_revoked, spec->revoked_text);
    add_extension(basic, single, &spec->extension, asn1_null);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(revoked);
    OCSP_CERTID_free(id);
}

/* A GeneralizedTime that OpenSSL only reads out. */
static void set_produced(const OCSP_BASICRESP *basic, const ocsp_t *spec)
{
    ASN1_TIME *at = time_of(spec->produced_at, WORLD_NOW - HOUR);
    ASN1_GENERALIZEDTIME *text = ASN1_TIME_to_generalizedtime(at, NULL);

    MUST(text);
    overwrite(OCSP_resp_get0_produced_at(basic), (const char *)ASN1_STRING_get0_data(text));
    overwrite(OCSP_resp_get0_produced_at(basic), spec->produced_text);
    ASN1_GENERALIZEDTIME_free(text);
    ASN1_TIME_free(at);
}

/* ---- the whole ---- */

static void sign(OCSP_BASICRESP *basic, const ocsp_t *spec)
{
    const unsigned long flags = OCSP_NOCERTS | OCSP_NOTIME | (spec->by_key ? OCSP_RESPID_KEY : 0);
    int own = EVP_PKEY_get_base_id(spec->signer->key) == EVP_PKEY_ED25519;
    const EVP_MD *digest =
        own ? NULL : EVP_get_digestbynid(spec->digest ? spec->digest : NID_sha256);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key = NULL;

    MUST(ctx && (own || digest));
    MUST(EVP_DigestSignInit(ctx, &key, digest, NULL, spec->signer->key) == 1);
    if (spec->pss)
        MUST(EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_PSS_PADDING) == 1);
    MUST(OCSP_basic_sign_ctx(basic, spec->signer->x, ctx, NULL, flags) == 1);
    EVP_MD_CTX_free(ctx);
}

static mtls_span_t encode(apr_pool_t *p, OCSP_RESPONSE *response)
{
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    mtls_span_t out;

    MUST(len > 0);
    out = mtls_span_copy(p, mtls_span((const char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    return out;
}

mtls_span_t ocsp_make(apr_pool_t *p, const ocsp_t *spec)
{
    static const ocsp_statement_t usual;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_RESPONSE *response;
    int i;

    MUST(basic);
    for (i = 0; i < (spec->n ? spec->n : 1); i++)
        add_statement(basic, spec->n ? &spec->statements[i] : &usual,
                      spec->issuer ? spec->issuer : spec->signer->x);
    if (spec->nonce.len > 0)
        MUST(OCSP_basic_add1_nonce(basic, (unsigned char *)(uintptr_t)spec->nonce.data,
                                   (int)spec->nonce.len));
    if (spec->nonce_der.len > 0)
        add_extension(basic, NULL, &nonce_extension, spec->nonce_der);
    add_extension(basic, NULL, &spec->extension, asn1_null);
    set_produced(basic, spec);
    for (i = 0; i < OCSP_MAX_CERTIFICATES && spec->certificates[i]; i++)
        MUST(OCSP_basic_add1_cert(basic, spec->certificates[i]));
    sign(basic, spec);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    MUST(response);
    OCSP_BASICRESP_free(basic);
    return encode(p, response);
}

mtls_span_t ocsp_error(apr_pool_t *p, int status)
{
    OCSP_RESPONSE *response = OCSP_response_create(status, NULL);

    MUST(response);
    return encode(p, response);
}

mtls_span_t ocsp_simple(apr_pool_t *p, const issuer_t *issuer, const char *serial, int status,
                        apr_time_t from, apr_time_t to)
{
    const ocsp_statement_t statement = {.serial = serial, .status = status, .from = from, .to = to};
    const ocsp_t spec = {.signer = issuer, .statements = &statement, .n = 1, .produced_at = from};

    return ocsp_make(p, &spec);
}

issuer_t ocsp_delegate(apr_pool_t *p, const issuer_t *issuer, int key)
{
    const certificate_t spec = {
        .subject = {{"CN", 0, "Responder", 0, 0}},
        .serial = "D1",
        .key = key,
        .extensions = {"extendedKeyUsage=OCSPSigning", "keyUsage=critical,digitalSignature"}};
    issuer_t by = {certificate_make(p, &spec, issuer), key_get(KEY_P256, key)};

    return by;
}

mtls_span_t ocsp_patched(apr_pool_t *p, mtls_span_t der, mtls_span_t find, mtls_span_t replace)
{
    apr_size_t at = 0;
    mtls_span_t out;
    char *bytes;

    while (at + find.len <= der.len && memcmp(der.data + at, find.data, find.len) != 0)
        at++;
    MUST(at + find.len <= der.len);
    out.len = der.len - find.len + replace.len;
    out.data = bytes = apr_palloc(p, out.len);
    memcpy(bytes, der.data, at);
    memcpy(bytes + at, replace.data, replace.len);
    memcpy(bytes + at + replace.len, der.data + at + find.len, der.len - at - find.len);
    return out;
}
