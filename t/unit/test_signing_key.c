/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* identity/signing_key: which keys may sign, what is published of them, and that nothing but what
 * they signed is believed. */

#include "suite.h"

#include <stdlib.h>

#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "certificates.h"
#include "identity/signing_key.h"
#include "tokens.h"

#define FILE_NAME "key.pem"

/* Load the text of a file; NULL and the key, or what is wrong. */
static const char *load(const char *text, const char *kid, const mtls_signing_key_t **key)
{
    world_file_t *files = apr_pcalloc(pool, 2 * sizeof(*files));
    mtls_signing_key_spec_t spec = {FILE_NAME, kid};
    world_t *world = apr_pcalloc(pool, sizeof(*world));
    const void *data = NULL;
    const char *error;

    files[0].path = FILE_NAME;
    files[0].text = text;
    world_init(world, pool, files);
    error = mtls_signing_key_load(&world->env, &spec, &data);
    *key = data;
    assert_int_equal(error == NULL, data != NULL);
    return error;
}

static const mtls_signing_key_t *loaded(const char *text, const char *kid)
{
    const mtls_signing_key_t *key = NULL;

    assert_message(load(text, kid, &key), NULL);
    return key;
}

/* ---- keys that may ---- */

/* As good as any to look at; to make a real one of that size takes a minute. */
static const char *large_rsa_pem(int bits)
{
    static const char *const names[] = {"n",
                                        "e",
                                        "d",
                                        "rsa-factor1",
                                        "rsa-factor2",
                                        "rsa-exponent1",
                                        "rsa-exponent2",
                                        "rsa-coefficient1"};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *numbers[ROWS(names)];
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;
    const char *pem;
    size_t i;

    for (i = 0; i < ROWS(names); i++) {
        numbers[i] = BN_new();
        BN_set_bit(numbers[i], i == 0 ? bits - 1 : bits / 2);
        BN_set_bit(numbers[i], 0);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, names[i], numbers[i]), 1);
    }
    params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    pem = key_pem(pool, key);
    for (i = 0; i < ROWS(names); i++)
        BN_free(numbers[i]);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return pem;
}

static const struct good_row {
    const char *name;
    const char *group; /* NULL: RSA of so many bits */
    const char *alg;
    size_t coordinate; /* bytes */
    int traditional;
} good_keys[] = {
    {"RSA in PKCS#8", NULL, "RS256", 0, 0},       {"RSA in PKCS#1", NULL, "RS256", 0, 1},
    {"P-256 in PKCS#8", "P-256", "ES256", 32, 0}, {"P-256 in SEC 1", "P-256", "ES256", 32, 1},
    {"P-384 in PKCS#8", "P-384", "ES384", 48, 0}, {"P-384 in SEC 1", "P-384", "ES384", 48, 1},
    {"P-521 in PKCS#8", "P-521", "ES512", 66, 0}, {"P-521 in SEC 1", "P-521", "ES512", 66, 1},
};

static const char *pem_of(const struct good_row *row)
{
    EVP_PKEY *key = row->group ? key_on(pool, row->group) : key_get(KEY_RSA2048, 0);

    return row->traditional ? key_traditional_pem(pool, key) : key_pem(pool, key);
}

/* RFC 7518 6.2.2, 6.3.2 */
static void assert_is_public(const char *text)
{
    static const char *const known[] = {"kty", "crv", "x", "y", "e", "n", "use", "alg", "kid"};
    json_t *jwk = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
    const char *name;
    size_t i, found = 0;

    assert_non_null(jwk);
    for (i = 0; i < ROWS(known); i++)
        found += json_object_get(jwk, known[i]) != NULL;
    assert_int_equal(found, json_object_size(jwk));
    json_object_foreach(jwk, name, value) assert_true(json_is_string(value));
    json_decref(jwk);
}

static void assert_member(const char *text, const char *name, const char *expected)
{
    json_t *jwk = json_loads(text, 0, NULL);
    const char *value = json_string_value(json_object_get(jwk, name));

    assert_non_null(value);
    assert_string_equal(value, expected);
    json_decref(jwk);
}

static void assert_coordinates(const char *text, size_t bytes)
{
    json_t *jwk = json_loads(text, 0, NULL);
    const char *x = json_string_value(json_object_get(jwk, "x"));
    const char *y = json_string_value(json_object_get(jwk, "y"));

    assert_true(x && y);
    assert_int_equal(base64url_decode(pool, mtls_span_of(x)).len, bytes);
    assert_int_equal(base64url_decode(pool, mtls_span_of(y)).len, bytes);
    json_decref(jwk);
}

static void good_case(void **state)
{
    const struct good_row *row = *state;
    const mtls_signing_key_t *key = loaded(pem_of(row), NULL);

    assert_string_equal(key->alg, row->alg);
    assert_is_public(key->jwk);
    assert_member(key->jwk, "alg", row->alg);
    assert_member(key->jwk, "use", "sig");
    assert_member(key->jwk, "kid", key->kid);
    assert_member(key->jwk, "kty", row->group ? "EC" : "RSA");
    assert_string_equal(key->kid, mtls_jwk_thumbprint(pool, key->jwk));
    assert_int_equal(strlen(key->kid), 43);
    if (row->group)
        assert_coordinates(key->jwk, row->coordinate);
    assert_true(token_is_good(pool, mtls_signing_key_sign(pool, key, "{\"a\":1}"), key->jwk));
}

/* A number that begins with zeros is as long as the others: one in 256 has one, so look until it is
 * seen. */
static void short_numbers_are_padded(void **state)
{
    int i, short_x = 0;

    (void)state;
    for (i = 0; i < 20000 && !short_x; i++) {
        EVP_PKEY *made = EVP_EC_gen("P-256");
        const mtls_signing_key_t *key;
        BIGNUM *x = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(made, "qx", &x), 1);
        short_x = BN_num_bytes(x) < 32;
        BN_free(x);
        if (short_x) {
            key = loaded(key_pem(pool, made), NULL);
            assert_coordinates(key->jwk, 32);
            assert_true(token_is_good(pool, mtls_signing_key_sign(pool, key, "{}"), key->jwk));
        }
        EVP_PKEY_free(made);
    }
    assert_true(short_x);
}

/* R and S of signatures, too. */
static void every_signature_is_good(void **state)
{
    static const char *const groups[] = {"P-256", "P-384", "P-521"};
    size_t g;
    int i;

    (void)state;
    for (g = 0; g < ROWS(groups); g++) {
        const mtls_signing_key_t *key = loaded(key_pem(pool, key_on(pool, groups[g])), NULL);
        for (i = 0; i < 200; i++)
            assert_true(token_is_good(
                pool, mtls_signing_key_sign(pool, key, apr_psprintf(pool, "{\"i\":%d}", i)),
                key->jwk));
    }
}

static void parameters_before_the_key_do_no_harm(void **state)
{
    EVP_PKEY *key = key_on(pool, "P-256");
    static const char parameters[] = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                                     "-----END EC PARAMETERS-----\n";

    (void)state;
    loaded(apr_pstrcat(pool, parameters, key_traditional_pem(pool, key), NULL), NULL);
}

/* ---- names of keys ---- */

static void a_kid_can_be_given(void **state)
{
    const char *pem = key_pem(pool, key_on(pool, "P-256"));
    const mtls_signing_key_t *key = loaded(pem, "2026-11");
    json_t *header;

    (void)state;
    assert_string_equal(key->kid, "2026-11");
    assert_member(key->jwk, "kid", "2026-11");
    header = token_part(pool, mtls_signing_key_sign(pool, key, "{}"), 0);
    assert_string_equal(json_string_value(json_object_get(header, "kid")), "2026-11");
    assert_string_equal(json_string_value(json_object_get(header, "typ")), "JWT");
    assert_int_equal(json_object_size(header), 3);
    json_decref(header);
}

/* Its old key is remembered under that name. */
static void another_key_of_the_same_name_is_warned_of(void **state)
{
    EVP_PKEY *one = key_on(pool, "P-256"), *other = key_on(pool, "P-256");
    world_file_t files[2] = {{FILE_NAME, key_pem(pool, one), 0}, {NULL, NULL, 0}};
    mtls_signing_key_spec_t named = {FILE_NAME, "k"}, unnamed = {FILE_NAME, NULL};
    const void *data = NULL;
    world_t world;

    (void)state;
    world_init(&world, pool, files);
    assert_null(mtls_signing_key_load(&world.env, &named, &data));
    world.env.before = data;
    assert_null(mtls_signing_key_load(&world.env, &named, &data));
    assert_null(world.warning);
    files[0].text = key_pem(pool, other);
    assert_null(mtls_signing_key_load(&world.env, &unnamed, &data));
    assert_null(world.warning);
    assert_null(mtls_signing_key_load(&world.env, &named, &data));
    assert_message(world.warning, FILE_NAME "|another key|\"k\"");
}

static void kids_are_plain_words(void **state)
{
    (void)state;
    assert_message(mtls_signing_kid_check(pool, "key-1:2026/11"), NULL);
    assert_message(mtls_signing_kid_check(pool, ""), "kid|allowed");
    assert_message(mtls_signing_kid_check(pool, "a b"), "kid|allowed");
    assert_message(mtls_signing_kid_check(pool, "a\"b"), "kid|allowed");
    assert_message(mtls_signing_kid_check(pool, "a\\b"), "kid|allowed");
    assert_message(mtls_signing_kid_check(pool, "caf\xc3\xa9"), "kid|allowed");
    assert_message(mtls_signing_kid_check(pool, apr_psprintf(pool, "%0128d", 1)), NULL);
    assert_message(mtls_signing_kid_check(pool, apr_psprintf(pool, "%0129d", 1)), "kid|allowed");
}

/* RFC 7638 3.1 */
static void the_thumbprint_is_that_of_the_rfc(void **state)
{
    static const char jwk[] =
        "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zw"
        "u1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6"
        "Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD"
        "08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"
        "KnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}";

    (void)state;
    assert_string_equal(mtls_jwk_thumbprint(pool, jwk),
                        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_null(mtls_jwk_thumbprint(pool, "{}"));
    assert_null(mtls_jwk_thumbprint(pool, "no JSON"));
}

static void a_name_depends_on_the_key_alone(void **state)
{
    EVP_PKEY *one = key_on(pool, "P-256"), *other = key_on(pool, "P-256");
    const char *kid = loaded(key_pem(pool, one), NULL)->kid;

    (void)state;
    assert_string_equal(kid, loaded(key_traditional_pem(pool, one), NULL)->kid);
    assert_string_not_equal(kid, loaded(key_pem(pool, other), NULL)->kid);
}

/* ---- keys that may not ---- */

static void assert_refused(const char *text, const char *words)
{
    const mtls_signing_key_t *key;

    assert_message(load(text, NULL, &key), words);
    assert_message(load(text, NULL, &key), FILE_NAME);
}

static void weak_and_foreign_keys_are_refused(void **state)
{
    EVP_PKEY *short_rsa = EVP_RSA_gen(2040);

    (void)state;
    assert_refused(key_pem(pool, key_get(KEY_RSA1024, 0)), "RSA key of 1024 bits|allowed|2048");
    assert_refused(key_pem(pool, short_rsa), "RSA key of 2040 bits|allowed");
    assert_refused(large_rsa_pem(8200), "RSA key of 8200 bits|allowed");
    assert_refused(key_pem(pool, key_get(KEY_ED25519, 0)), "ED25519|allowed|P-256");
    assert_refused(key_pem(pool, key_get(KEY_P192, 0)), "another curve|allowed|P-384");
    assert_refused(key_pem(pool, key_on(pool, "secp256k1")), "another curve|allowed");
    EVP_PKEY_free(short_rsa);
}

static const char *encrypted(EVP_PKEY *key, int traditional)
{
    static unsigned char passphrase[] = "secret";
    BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    char *data;
    long len;

    if (traditional)
        assert_int_equal(PEM_write_bio_PrivateKey_traditional(out, key, EVP_aes_128_cbc(),
                                                              passphrase, 6, NULL, NULL),
                         1);
    else
        assert_int_equal(
            PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), passphrase, 6, NULL, NULL), 1);
    len = BIO_get_mem_data(out, &data);
    text = apr_pstrmemdup(pool, data, (apr_size_t)len);
    BIO_free(out);
    return text;
}

/* Nobody is asked: there is no terminal to ask at, and a start that waits is no start. */
static void encrypted_keys_are_refused(void **state)
{
    (void)state;
    assert_refused(encrypted(key_get(KEY_P256, 0), 0), "passphrase");
    assert_refused(encrypted(key_get(KEY_P256, 0), 1), "passphrase");
    assert_refused(encrypted(key_get(KEY_RSA2048, 0), 1), "passphrase");
}

static const char *public_pem(EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    char *data;
    long len;

    assert_int_equal(PEM_write_bio_PUBKEY(out, key), 1);
    len = BIO_get_mem_data(out, &data);
    text = apr_pstrmemdup(pool, data, (apr_size_t)len);
    BIO_free(out);
    return text;
}

static void what_is_no_private_key_is_refused(void **state)
{
    certificate_t spec = {.subject = {{"CN", 0, "x", 0, 0}}};
    const char *certificate = certificate_pem(pool, certificate_make(pool, &spec, NULL)).data;
    const char *pem = key_pem(pool, key_get(KEY_P256, 0));

    (void)state;
    assert_refused("", "no private key");
    assert_refused("nothing\n", "no private key");
    assert_refused(public_pem(key_get(KEY_P256, 0)), "PUBLIC KEY|only a private key");
    assert_refused(certificate, "CERTIFICATE|only a private key");
    assert_refused(apr_pstrcat(pool, pem, certificate, NULL), "CERTIFICATE|only a private key");
    assert_refused(apr_pstrcat(pool, pem, key_pem(pool, key_get(KEY_P256, 1)), NULL),
                   "more than one");
    assert_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                   "cannot be read");
}

/* A file that is being written: wherever it ends, there is no key yet. */
static void half_a_file_is_refused(void **state)
{
    const char *pem = key_pem(pool, key_get(KEY_P256, 0));
    const char *end = strstr(pem, "-----END PRIVATE KEY-----");
    apr_size_t len;

    (void)state;
    loaded(pem, NULL);
    for (len = 0; len < (apr_size_t)(end - pem) + 25; len++)
        assert_refused(apr_pstrmemdup(pool, pem, len), FILE_NAME);
}

/* The private number of one key beside the public point of another. */
static void halves_of_two_keys_are_refused(void **state)
{
    EVP_PKEY *one = key_on(pool, "P-256"), *other = key_on(pool, "P-256");
    unsigned char *der = NULL, point[65], foreign[65];
    int len = i2d_PrivateKey(one, &der);
    size_t n;
    BIO *out = BIO_new(BIO_s_mem());
    char *data, *at;

    (void)state;
    assert_int_equal(EVP_PKEY_get_octet_string_param(one, "pub", point, sizeof(point), &n), 1);
    assert_int_equal(EVP_PKEY_get_octet_string_param(other, "pub", foreign, sizeof(foreign), &n),
                     1);
    at = memmem(der, (size_t)len, point, sizeof(point));
    assert_non_null(at);
    memcpy(at, foreign, sizeof(foreign));
    assert_true(PEM_write_bio(out, "EC PRIVATE KEY", "", der, len) > 0);
    n = (size_t)BIO_get_mem_data(out, &data);
    assert_refused(apr_pstrmemdup(pool, data, n), "public half|verify");
    BIO_free(out);
    OPENSSL_free(der);
}

/* The same of RSA: another modulus. */
static void rsa_of_two_keys_is_refused(void **state)
{
    EVP_PKEY *one = key_get(KEY_RSA2048, 0), *other = key_get(KEY_RSA2048, 1);
    unsigned char *der = NULL, modulus[256], foreign[256], *at;
    int len = i2d_PrivateKey(one, &der);
    BIGNUM *n = NULL, *m = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    char *data;
    size_t size;

    (void)state;
    assert_int_equal(EVP_PKEY_get_bn_param(one, "n", &n), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(other, "n", &m), 1);
    assert_int_equal(BN_bn2binpad(n, modulus, sizeof(modulus)), sizeof(modulus));
    assert_int_equal(BN_bn2binpad(m, foreign, sizeof(foreign)), sizeof(foreign));
    at = memmem(der, (size_t)len, modulus, sizeof(modulus));
    assert_non_null(at);
    memcpy(at, foreign, sizeof(foreign));
    assert_true(PEM_write_bio(out, "RSA PRIVATE KEY", "", der, len) > 0);
    size = (size_t)BIO_get_mem_data(out, &data);
    assert_refused(apr_pstrmemdup(pool, data, size), "public half|verify");
    BIO_free(out);
    BN_free(n);
    BN_free(m);
    OPENSSL_free(der);
}

/* What is said of a bad file is logged: it must hold nothing of the file. */
static void errors_tell_nothing_of_the_key(void **state)
{
    char *pem = apr_pstrdup(pool, key_pem(pool, key_get(KEY_P256, 0))), *line;
    const mtls_signing_key_t *key;
    const char *error;

    (void)state;
    pem[60] = '*';
    error = load(pem, NULL, &key);
    assert_non_null(error);
    strtok(pem, "\n");
    while ((line = strtok(NULL, "\n")) != NULL && strncmp(line, "-----", 5) != 0)
        assert_null(strstr(error, line));
}

/* ---- tokens that were touched ---- */

static const char *const claims = "{\"iss\":\"gateway.test\",\"sub\":\"CN=x\",\"exp\":1800000060}";

static const char *base64url(const char *bytes, apr_size_t len)
{
    char *out = apr_palloc(pool, len * 2 + 8), *at;

    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)bytes, (int)len);
    for (at = out; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? '\0' : *at;
    return out;
}

static const struct touched_row {
    const char *name;
    const char *group;
} touched[] = {
    {"no byte of a token of RS256 may change", NULL},
    {"no byte of a token of ES256 may change", "P-256"},
    {"no byte of a token of ES384 may change", "P-384"},
    {"no byte of a token of ES512 may change", "P-521"},
};

static const mtls_signing_key_t *key_of(const struct touched_row *row)
{
    return loaded(key_pem(pool, row->group ? key_on(pool, row->group) : key_get(KEY_RSA2048, 0)),
                  NULL);
}

static void touched_case(void **state)
{
    const mtls_signing_key_t *key = key_of(*state);
    const char *token = mtls_signing_key_sign(pool, key, claims);
    char *copy = apr_pstrdup(pool, token);
    apr_size_t i;

    assert_true(token_is_good(pool, token, key->jwk));
    for (i = 0; token[i]; i++) {
        copy[i] = token[i] == 'A' ? 'B' : 'A';
        assert_false(token_is_good(pool, copy, key->jwk));
        copy[i] = token[i];
    }
    assert_true(token_is_good(pool, copy, key->jwk));
    for (i = 0; token[i]; i++)
        assert_false(token_is_good(pool, apr_pstrmemdup(pool, token, i), key->jwk));
    assert_false(token_is_good(pool, apr_pstrcat(pool, token, "A", NULL), key->jwk));
    assert_false(token_is_good(pool, apr_pstrcat(pool, token, ".e30", NULL), key->jwk));
}

static void another_key_proves_nothing(void **state)
{
    const mtls_signing_key_t *one = loaded(key_pem(pool, key_on(pool, "P-256")), "same");
    const mtls_signing_key_t *other = loaded(key_pem(pool, key_on(pool, "P-256")), "same");
    const char *token = mtls_signing_key_sign(pool, one, claims);

    (void)state;
    assert_true(token_is_good(pool, token, one->jwk));
    assert_false(token_is_good(pool, token, other->jwk));
}

static void no_signature_is_no_token(void **state)
{
    const mtls_signing_key_t *key = loaded(key_pem(pool, key_on(pool, "P-256")), "k");
    const char *token = mtls_signing_key_sign(pool, key, claims);
    const char *middle = strchr(token, '.'), *last = strrchr(token, '.');
    const char *none = "{\"alg\":\"none\",\"kid\":\"k\",\"typ\":\"JWT\"}";
    char zeros[64] = {0};

    (void)state;
    none = base64url(none, strlen(none));
    assert_false(
        token_is_good(pool, apr_pstrmemdup(pool, token, (apr_size_t)(last - token) + 1), key->jwk));
    assert_false(token_is_good(
        pool,
        apr_pstrcat(pool, none, apr_pstrmemdup(pool, middle, (apr_size_t)(last - middle) + 1),
                    NULL),
        key->jwk));
    assert_false(
        token_is_good(pool,
                      apr_pstrcat(pool, apr_pstrmemdup(pool, token, (apr_size_t)(last - token) + 1),
                                  base64url(zeros, sizeof(zeros)), NULL),
                      key->jwk));
}

int main(void)
{
    SUITE_TABLE(good_case, good_keys);
    SUITE_CASE(short_numbers_are_padded);
    SUITE_CASE(every_signature_is_good);
    SUITE_CASE(parameters_before_the_key_do_no_harm);
    SUITE_CASE(a_kid_can_be_given);
    SUITE_CASE(another_key_of_the_same_name_is_warned_of);
    SUITE_CASE(kids_are_plain_words);
    SUITE_CASE(the_thumbprint_is_that_of_the_rfc);
    SUITE_CASE(a_name_depends_on_the_key_alone);
    SUITE_CASE(weak_and_foreign_keys_are_refused);
    SUITE_CASE(encrypted_keys_are_refused);
    SUITE_CASE(what_is_no_private_key_is_refused);
    SUITE_CASE(half_a_file_is_refused);
    SUITE_CASE(halves_of_two_keys_are_refused);
    SUITE_CASE(rsa_of_two_keys_is_refused);
    SUITE_CASE(errors_tell_nothing_of_the_key);
    SUITE_TABLE(touched_case, touched);
    SUITE_CASE(another_key_proves_nothing);
    SUITE_CASE(no_signature_is_no_token);
    return suite_run("signing_key", 28);
}
