/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "tokens.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

/* ---- keys ---- */

static apr_status_t free_key(void *key)
{
    EVP_PKEY_free(key);
    return APR_SUCCESS;
}

static EVP_PKEY *owned(apr_pool_t *p, EVP_PKEY *key)
{
    if (!key)
        abort();
    apr_pool_cleanup_register(p, key, free_key, apr_pool_cleanup_null);
    return key;
}

EVP_PKEY *key_on(apr_pool_t *p, const char *group)
{
    return owned(p, EVP_EC_gen(group));
}

static const char *text_of(apr_pool_t *p, BIO *out)
{
    char *data;
    long len = BIO_get_mem_data(out, &data);
    const char *text = apr_pstrmemdup(p, data, (apr_size_t)len);

    BIO_free(out);
    return text;
}

const char *key_pem(apr_pool_t *p, EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());

    if (PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        abort();
    return text_of(p, out);
}

const char *key_traditional_pem(apr_pool_t *p, EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());

    if (PEM_write_bio_PrivateKey_traditional(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        abort();
    return text_of(p, out);
}

/* ---- base64url ---- */

static int value_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

mtls_span_t base64url_decode(apr_pool_t *p, mtls_span_t text)
{
    char *out = apr_palloc(p, text.len + 1);
    unsigned int bits = 0, have = 0;
    apr_size_t i, len = 0;

    for (i = 0; i < text.len; i++) {
        int v = value_of(text.data[i]);
        if (v < 0)
            return mtls_span(NULL, 0);
        bits = (bits << 6 | (unsigned int)v) & 0xffffff;
        if ((have += 6) >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have);
        }
    }
    /* What is left over must be no whole character, and zero. */
    return have >= 6 || (bits & ((1u << have) - 1)) ? mtls_span(NULL, 0) : mtls_span(out, len);
}

/* ---- tokens ---- */

/* The three parts of a token, no more and no less. */
static int split(const char *token, mtls_span_t *parts)
{
    int i;

    for (i = 0; i < 3; i++) {
        apr_size_t len = strcspn(token, ".");
        parts[i] = mtls_span(token, len);
        token += len;
        if (i < 2 && *token++ != '.')
            return 0;
    }
    return !*token && parts[2].len > 0;
}

json_t *token_part(apr_pool_t *p, const char *token, int part)
{
    mtls_span_t parts[3], text;

    if (!split(token, parts) || !(text = base64url_decode(p, parts[part])).data)
        return NULL;
    return json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
}

static mtls_span_t member(apr_pool_t *p, const json_t *jwk, const char *name)
{
    const char *text = json_string_value(json_object_get(jwk, name));

    return text ? base64url_decode(p, mtls_span_of(text)) : mtls_span(NULL, 0);
}

static BIGNUM *number(apr_pool_t *p, const json_t *jwk, const char *name)
{
    mtls_span_t bytes = member(p, jwk, name);

    return bytes.data ? BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.len, NULL) : NULL;
}

static EVP_PKEY *key_of_params(apr_pool_t *p, const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key ? owned(p, key) : NULL;
}

static EVP_PKEY *rsa_key(apr_pool_t *p, const json_t *jwk)
{
    BIGNUM *n = number(p, jwk, "n"), *e = number(p, jwk, "e");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (n && e && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        key = key_of_params(p, "RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

static EVP_PKEY *ec_key(apr_pool_t *p, const json_t *jwk)
{
    const char *crv = json_string_value(json_object_get(jwk, "crv"));
    mtls_span_t x = member(p, jwk, "x"), y = member(p, jwk, "y");
    char *point = apr_palloc(p, 1 + x.len + y.len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (crv && x.data && x.len == y.len) {
        point[0] = POINT_CONVERSION_UNCOMPRESSED;
        memcpy(point + 1, x.data, x.len);
        memcpy(point + 1 + x.len, y.data, y.len);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, crv, 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                             1 + x.len + y.len) == 1)
            key = key_of_params(p, "EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return key;
}

/* RFC 7518 3.4: R and S side by side, where OpenSSL takes DER. */
static mtls_span_t ecdsa_der(apr_pool_t *p, EVP_PKEY *key, mtls_span_t raw)
{
    const int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    const unsigned char *bytes = (const unsigned char *)raw.data;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    unsigned char *der = NULL;
    mtls_span_t out = mtls_span(NULL, 0);
    int len;

    if (raw.len == 2 * (apr_size_t)half &&
        ECDSA_SIG_set0(signature, BN_bin2bn(bytes, half, NULL),
                       BN_bin2bn(bytes + half, half, NULL)) == 1 &&
        (len = i2d_ECDSA_SIG(signature, &der)) > 0)
        out = mtls_span_copy(p, mtls_span((char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    ECDSA_SIG_free(signature);
    return out;
}

static const EVP_MD *digest_of(const char *alg)
{
    if (strcmp(alg, "RS256") == 0 || strcmp(alg, "ES256") == 0)
        return EVP_sha256();
    if (strcmp(alg, "ES384") == 0)
        return EVP_sha384();
    return strcmp(alg, "ES512") == 0 ? EVP_sha512() : NULL;
}

static int verify(EVP_PKEY *key, const EVP_MD *md, mtls_span_t signature, mtls_span_t text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
             EVP_DigestVerify(ctx, (const unsigned char *)signature.data, signature.len,
                              (const unsigned char *)text.data, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static int proves(apr_pool_t *p, const mtls_span_t *parts, const json_t *jwk, const char *alg)
{
    const int is_ec = alg[0] == 'E';
    EVP_PKEY *key = is_ec ? ec_key(p, jwk) : rsa_key(p, jwk);
    mtls_span_t signature = base64url_decode(p, parts[2]);

    if (!key || !digest_of(alg) || !signature.data)
        return 0;
    if (is_ec)
        signature = ecdsa_der(p, key, signature);
    return signature.data && verify(key, digest_of(alg), signature,
                                    mtls_span(parts[0].data, parts[0].len + 1 + parts[1].len));
}

static int same_text(const json_t *a, const json_t *b, const char *name)
{
    const json_t *value = json_object_get(a, name);

    return json_is_string(value) && json_equal(value, json_object_get(b, name));
}

int token_is_good(apr_pool_t *p, const char *token, const char *text)
{
    json_t *jwk = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *header = token_part(p, token, 0), *claims = token_part(p, token, 1);
    mtls_span_t parts[3];
    int ok = 0;

    if (jwk && header && json_is_object(claims) && split(token, parts) &&
        same_text(header, jwk, "alg") && same_text(header, jwk, "kid"))
        ok = proves(p, parts, jwk, json_string_value(json_object_get(jwk, "alg")));
    json_decref(jwk);
    json_decref(header);
    json_decref(claims);
    return ok;
}
