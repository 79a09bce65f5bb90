/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/signing_key.h"

#include <stdlib.h>

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "identity/text.h"
#include "pki/pem_files.h"
#include "policy/limits.h"

#define ALLOWED                                                                                    \
    "allowed: a private key in PEM, without a passphrase: RSA of 2048 to 8192 bits, or EC on "     \
    "P-256, P-384 or P-521"

#define NOT_ONE_KEY "holds a key whose public half does not verify what it signs"

/* ---- out of the file ---- */

typedef struct reader_t {
    apr_pool_t *p;
    EVP_PKEY *key; /* the reader's */
} reader_t;

static int is_private_key(const char *type)
{
    return strcmp(type, "PRIVATE KEY") == 0 || strcmp(type, "RSA PRIVATE KEY") == 0 ||
           strcmp(type, "EC PRIVATE KEY") == 0;
}

/* "openssl ecparam -genkey" writes EC PARAMETERS before the key, which has them as well. */
static const char *take_block(void *baton, int number, const char *type, mtls_span_t der)
{
    const unsigned char *begin = (const unsigned char *)der.data, *at = begin;
    reader_t *in = baton;
    const char *error = NULL;

    (void)number;
    if (strcmp(type, "EC PARAMETERS") == 0)
        return NULL;
    if (strstr(type, "ENCRYPTED"))
        return "holds a key that needs a passphrase";
    if (!is_private_key(type))
        return apr_psprintf(in->p, "holds a \"%s\" where only a private key belongs", type);
    if (in->key)
        return "holds more than one private key";
    in->key = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    if (!in->key || at != begin + der.len)
        error = "holds a private key that cannot be read";
    OPENSSL_cleanse((void *)der.data, der.len); /* the copy of the reader of PEM */
    ERR_clear_error();
    return error;
}

/* RFC 1421's encryption is a header inside the block: its body is no key then. */
static int is_encrypted(mtls_span_t pem)
{
    const char *end = pem.data + pem.len, *at = pem.data;

    for (; at && end - at > 10; at = memchr(at + 1, 'P', (apr_size_t)(end - at - 1))) {
        if (memcmp(at, "Proc-Type:", 10) == 0)
            return 1;
    }
    return 0;
}

static const char *read_key(apr_pool_t *p, mtls_span_t pem, EVP_PKEY **key)
{
    reader_t in = {p, NULL};
    const char *error = is_encrypted(pem) ? "holds a key that needs a passphrase"
                                          : mtls_pem_walk(p, pem, take_block, &in);

    if (!error && !in.key)
        error = "holds no private key in PEM";
    if (error) {
        EVP_PKEY_free(in.key);
        in.key = NULL;
    }
    *key = in.key;
    return error;
}

/* ---- as a JWK ---- */

/* Curves with the bytes of a coordinate and the algorithm (RFC 7518 3.4). */
static const struct {
    const char *group;
    cjose_jwk_ec_curve curve;
    int bytes;
    const char *alg;
} curves[] = {
    {"prime256v1", CJOSE_JWK_EC_P_256, 32, "ES256"},
    {"secp384r1", CJOSE_JWK_EC_P_384, 48, "ES384"},
    {"secp521r1", CJOSE_JWK_EC_P_521, 66, "ES512"},
};
#define CURVES (sizeof(curves) / sizeof(curves[0]))

/* A number of the key in big-endian bytes, padded to `bytes` (0: as long as it is). */
typedef struct number_t {
    const char *name;
    uint8_t *bytes;
    size_t len;
} number_t;

static int take_number(EVP_PKEY *key, number_t *number, int bytes)
{
    BIGNUM *n = NULL;
    int ok = 0;

    if (EVP_PKEY_get_bn_param(key, number->name, &n) == 1) {
        number->len = (size_t)(bytes ? bytes : BN_num_bytes(n));
        number->bytes = malloc(number->len + 1);
        ok = number->bytes && BN_bn2binpad(n, number->bytes, (int)number->len) >= 0;
    }
    BN_clear_free(n);
    return ok;
}

static int take_numbers(EVP_PKEY *key, number_t *numbers, size_t n, int bytes)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (!take_number(key, &numbers[i], bytes))
            return 0;
    }
    return 1;
}

static void forget_numbers(number_t *numbers, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (numbers[i].bytes)
            OPENSSL_cleanse(numbers[i].bytes, numbers[i].len);
        free(numbers[i].bytes);
    }
}

static cjose_jwk_t *rsa_jwk(EVP_PKEY *key)
{
    number_t n[] = {
        {OSSL_PKEY_PARAM_RSA_E, NULL, 0},         {OSSL_PKEY_PARAM_RSA_N, NULL, 0},
        {OSSL_PKEY_PARAM_RSA_D, NULL, 0},         {OSSL_PKEY_PARAM_RSA_FACTOR1, NULL, 0},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, NULL, 0},   {OSSL_PKEY_PARAM_RSA_EXPONENT1, NULL, 0},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, NULL, 0}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, NULL, 0}};
    cjose_jwk_t *jwk = NULL;

    if (take_numbers(key, n, sizeof(n) / sizeof(n[0]), 0)) {
        cjose_jwk_rsa_keyspec spec = {
            n[0].bytes, n[0].len, n[1].bytes, n[1].len, n[2].bytes, n[2].len, n[3].bytes, n[3].len,
            n[4].bytes, n[4].len, n[5].bytes, n[5].len, n[6].bytes, n[6].len, n[7].bytes, n[7].len};
        jwk = cjose_jwk_create_RSA_spec(&spec, NULL);
    }
    forget_numbers(n, sizeof(n) / sizeof(n[0]));
    return jwk;
}

static cjose_jwk_t *ec_jwk(EVP_PKEY *key, size_t row)
{
    number_t n[] = {{OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0},
                    {OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0},
                    {OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0}};
    cjose_jwk_t *jwk = NULL;

    if (take_numbers(key, n, sizeof(n) / sizeof(n[0]), curves[row].bytes)) {
        cjose_jwk_ec_keyspec spec = {curves[row].curve, n[0].bytes, n[0].len, n[1].bytes,
                                     n[1].len,          n[2].bytes, n[2].len};
        jwk = cjose_jwk_create_EC_spec(&spec, NULL);
    }
    forget_numbers(n, sizeof(n) / sizeof(n[0]));
    return jwk;
}

/* The private number beside another key's point: the library would go by the number. */
static int has_two_halves(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static size_t curve_of(EVP_PKEY *key)
{
    char group[64] = "";
    size_t row;

    if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
        return CURVES;
    for (row = 0; row < CURVES && strcmp(group, curves[row].group) != 0; row++)
        ;
    return row;
}

/* NULL or why such a key may not sign. */
static const char *import_key(apr_pool_t *p, EVP_PKEY *key, mtls_signing_key_t *out)
{
    const int bits = EVP_PKEY_get_bits(key);
    const char *type = EVP_PKEY_get0_type_name(key);
    size_t row;

    if (EVP_PKEY_is_a(key, "RSA")) {
        if (bits < MTLS_MIN_SIGNING_RSA_BITS || bits > MTLS_MAX_SIGNING_RSA_BITS)
            return apr_psprintf(p, "holds an RSA key of %d bits; " ALLOWED, bits);
        out->alg = CJOSE_HDR_ALG_RS256;
        out->private_key = rsa_jwk(key);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        if ((row = curve_of(key)) == CURVES)
            return "holds an EC key on another curve; " ALLOWED;
        if (!has_two_halves(key))
            return NOT_ONE_KEY;
        out->alg = curves[row].alg;
        out->private_key = ec_jwk(key, row);
    } else {
        return apr_psprintf(p, "holds a key of the type %s, with which tokens cannot be signed; %s",
                            type ? type : "unknown", ALLOWED);
    }
    return out->private_key ? NULL : "holds a key that the JOSE library does not take";
}

/* ---- what is published ---- */

/* What makes up a public key (RFC 7638 3.2). Nothing else of a JWK ever leaves this file. */
static json_t *public_members(const char *text)
{
    static const char *const members[] = {"kty", "crv", "x", "y", "e", "n"};
    json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *out = json_object();
    size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(all, members[i]);
        if (json_is_string(value))
            json_object_set(out, members[i], value);
    }
    json_decref(all);
    return out;
}

static const char *thumbprint(apr_pool_t *p, const json_t *members)
{
    char *text = json_dumps(members, JSON_COMPACT | JSON_SORT_KEYS);
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    const char *out = NULL;

    if (text && json_object_get(members, "kty") &&
        EVP_Digest(text, strlen(text), sha256, NULL, EVP_sha256(), NULL) == 1)
        out = mtls_text_base64url(p, mtls_span((const char *)sha256, sizeof(sha256)));
    free(text);
    return out;
}

const char *mtls_jwk_thumbprint(apr_pool_t *p, const char *jwk)
{
    json_t *members = public_members(jwk);
    const char *out = thumbprint(p, members);

    json_decref(members);
    return out;
}

static const char *published(apr_pool_t *p, json_t *members, const mtls_signing_key_t *key)
{
    const char *out = NULL;
    char *text = NULL;

    if (json_object_set_new(members, "use", json_string("sig")) == 0 &&
        json_object_set_new(members, "alg", json_string(key->alg)) == 0 &&
        json_object_set_new(members, "kid", json_string(key->kid)) == 0)
        text = json_dumps(members, JSON_COMPACT);
    if (text)
        out = apr_pstrdup(p, text);
    free(text);
    return out;
}

static int publish(apr_pool_t *p, const char *kid, mtls_signing_key_t *key)
{
    char *text = cjose_jwk_to_json(key->private_key, false, NULL);
    json_t *members = text ? public_members(text) : NULL;

    if (members) {
        key->kid = kid ? kid : thumbprint(p, members);
        key->jwk = key->kid ? published(p, members, key) : NULL;
    }
    json_decref(members);
    free(text);
    return key->jwk != NULL;
}

/* ---- signing ---- */

static cjose_header_t *make_header(const mtls_signing_key_t *key)
{
    cjose_header_t *header = cjose_header_new(NULL);

    if (header && cjose_header_set(header, CJOSE_HDR_ALG, key->alg, NULL) &&
        cjose_header_set(header, CJOSE_HDR_KID, key->kid, NULL) &&
        cjose_header_set(header, "typ", "JWT", NULL))
        return header;
    cjose_header_release(header);
    return NULL;
}

const char *mtls_signing_key_sign(apr_pool_t *p, const mtls_signing_key_t *key, const char *claims)
{
    cjose_header_t *header = make_header(key);
    cjose_jws_t *jws = NULL;
    const char *text = NULL, *out = NULL;

    if (header)
        jws =
            cjose_jws_sign(key->private_key, header, (const uint8_t *)claims, strlen(claims), NULL);
    if (jws && cjose_jws_export(jws, &text, NULL))
        out = apr_pstrdup(p, text);
    if (jws)
        cjose_jws_release(jws);
    if (header)
        cjose_header_release(header);
    ERR_clear_error();
    return out;
}

/* What is published must verify what is signed: a file can hold the halves of two keys. */
static int is_consistent(apr_pool_t *p, const mtls_signing_key_t *key)
{
    cjose_jwk_t *public_key = cjose_jwk_import(key->jwk, strlen(key->jwk), NULL);
    const char *token = mtls_signing_key_sign(p, key, "{}");
    cjose_jws_t *jws = token ? cjose_jws_import(token, strlen(token), NULL) : NULL;
    int ok = public_key && jws && cjose_jws_verify(jws, public_key, NULL);

    if (jws)
        cjose_jws_release(jws);
    if (public_key)
        cjose_jwk_release(public_key);
    ERR_clear_error();
    return ok;
}

/* ---- loading ---- */

const char *mtls_signing_kid_check(apr_pool_t *p, const char *kid)
{
    const char *at = kid;

    while (*at > 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
        at++;
    if (at > kid && !*at && at - kid <= MTLS_MAX_KID_BYTES)
        return NULL;
    return apr_psprintf(p,
                        "the kid \"%s\" cannot be used; allowed: 1 to %d characters of printable "
                        "ASCII without blanks, \" and \\",
                        kid, MTLS_MAX_KID_BYTES);
}

static apr_status_t release_key(void *key)
{
    cjose_jwk_release(key);
    return APR_SUCCESS;
}

static const char *make_key(apr_pool_t *p, mtls_span_t pem, const char *kid,
                            mtls_signing_key_t *out)
{
    EVP_PKEY *key = NULL;
    const char *error = read_key(p, pem, &key);

    if (!error)
        error = import_key(p, key, out);
    EVP_PKEY_free(key);
    if (error)
        return error;
    apr_pool_cleanup_register(p, out->private_key, release_key, apr_pool_cleanup_null);
    if (!publish(p, kid, out))
        return "holds a key that cannot be published";
    return is_consistent(p, out) ? NULL : NOT_ONE_KEY;
}

/* Whoever has read the key set still takes the old key for the one of that name. */
static void warn_of_name(mtls_parse_env_t *env, const mtls_signing_key_spec_t *spec,
                         const mtls_signing_key_t *key)
{
    const mtls_signing_key_t *before = env->before;

    if (spec->kid && before && strcmp(before->jwk, key->jwk) != 0)
        env->warn(env,
                  apr_psprintf(env->p,
                               "%s holds another key, of the same name \"%s\": backends refuse "
                               "its tokens until they read the key set again",
                               spec->file, spec->kid));
}

const char *mtls_signing_key_load(mtls_parse_env_t *env, const void *what, const void **data)
{
    const mtls_signing_key_spec_t *spec = what;
    mtls_signing_key_t *key = apr_pcalloc(env->p, sizeof(*key));
    mtls_span_t pem = {"", 0};
    const char *error = env->read_file(env, spec->file, &pem);

    if (error)
        return error;
    if ((error = make_key(env->p, pem, spec->kid, key)) != NULL)
        return apr_psprintf(env->p, "%s %s", spec->file, error);
    warn_of_name(env, spec, key);
    *data = key;
    return NULL;
}
