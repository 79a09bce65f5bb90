/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "paths.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509v3.h>

#include "pki/x509_facts.h"

/* ---- making one certificate ---- */

/* An issuer whose key certificates.c need not know how to sign with: everything is signed anew. */
static const issuer_t *stand_in(const issuer_t *issuer)
{
    issuer_t *out = apr_palloc(pool, sizeof(*out));

    out->x = issuer ? issuer->x : NULL;
    out->key = key_get(KEY_P256, 7);
    return issuer ? out : NULL;
}

void path_sign(X509 *x, EVP_PKEY *key, const char *md)
{
    int pure = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");

    assert_true(X509_sign(x, key, pure ? NULL : EVP_get_digestbyname(md ? md : "SHA256")) > 0);
}

static void set_date(ASN1_TIME *at, const char *text)
{
    if (!text)
        return;
    assert_int_equal(ASN1_STRING_set(at, text + 1, -1), 1);
    at->type = *text == 'U' ? V_ASN1_UTCTIME : V_ASN1_GENERALIZEDTIME;
}

static void extend(certificate_t *spec, const char *name, const char *usual, const char *changed)
{
    const char *value = changed ? changed : usual;
    int n = 0;

    while (spec->extensions[n])
        n++;
    if (value && strcmp(value, "-") != 0)
        spec->extensions[n] = apr_pstrcat(pool, name, value, NULL);
}

static void extend_all(certificate_t *spec, const part_t *part, int ca, const issuer_t *issuer)
{
    int i;

    extend(spec, "basicConstraints=", ca ? "critical,CA:TRUE" : "CA:FALSE", part->constraints);
    extend(spec, "keyUsage=", ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature",
           part->usage);
    extend(spec, "extendedKeyUsage=", ca ? NULL : "clientAuth", part->eku);
    extend(spec, "subjectAltName=", NULL, part->san);
    if (ca && !part->no_key_ids)
        extend(spec, "subjectKeyIdentifier=", "hash", NULL);
    if (issuer && !part->no_key_ids && X509_get0_subject_key_id(issuer->x))
        extend(spec, "authorityKeyIdentifier=", "keyid:always", NULL);
    for (i = 0; i < 3; i++)
        extend(spec, "", NULL, part->extra[i]);
}

static apr_status_t drop_certificate(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

/* As it comes off the wire, with nothing of how it was made left in memory. */
X509 *path_read_again(X509 *x)
{
    mtls_span_t der = certificate_der(pool, x);
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *out = d2i_X509(NULL, &at, (long)der.len);

    assert_non_null(out);
    apr_pool_cleanup_register(pool, out, drop_certificate, apr_pool_cleanup_null);
    return out;
}

/* A certificate and its key; `issuer` NULL: signed by itself. */
issuer_t path_make(const part_t *part, place_t place, const issuer_t *issuer)
{
    static const char *const names[] = {"Root R1", "CARC I101L", "client"};
    certificate_t spec = {
        .subject = {{"O", 0, "Carcano", 0, 0}, {"CN", 0, part->cn ? part->cn : names[place], 0, 0}},
        .serial = part->serial,
        .key_kind = part->kind,
        .key = part->key ? part->key : (int)place,
        .version1 = part->version1};
    issuer_t out = {NULL, key_get(spec.key_kind, spec.key)};
    int i;

    if (!part->version1)
        extend_all(&spec, part, place != LEAF, issuer);
    out.x = certificate_make(pool, &spec, stand_in(issuer));
    if (part->own_key) {
        out.key = part->own_key();
        assert_int_equal(X509_set_pubkey(out.x, out.key), 1);
    }
    set_date(X509_getm_notBefore(out.x), part->from);
    set_date(X509_getm_notAfter(out.x), part->to);
    for (i = 0; i < 2 && part->raw[i].oid; i++)
        certificate_add_raw(out.x, part->raw[i].oid, part->raw[i].critical, part->raw[i].der,
                            part->raw[i].len, key_get(KEY_P256, 7));
    path_sign(out.x, issuer ? issuer->key : out.key, part->md);
    out.x = path_read_again(out.x);
    return out;
}

/* ---- keys that are no everyday ones ---- */

static apr_status_t drop_key(void *key)
{
    EVP_PKEY_free(key);
    return APR_SUCCESS;
}

static EVP_PKEY *kept(EVP_PKEY *key)
{
    assert_non_null(key);
    apr_pool_cleanup_register(pool, key, drop_key, apr_pool_cleanup_null);
    return key;
}

EVP_PKEY *path_key_ed448(void)
{
    return kept(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
}

EVP_PKEY *path_key_p224(void)
{
    return kept(EVP_EC_gen("P-224"));
}

EVP_PKEY *path_key_secp256k1(void)
{
    return kept(EVP_EC_gen("secp256k1"));
}

EVP_PKEY *path_key_rsa2052(void)
{
    return kept(EVP_RSA_gen(2052));
}

EVP_PKEY *path_key_explicit_p256(void)
{
    EVP_PKEY *key = kept(EVP_EC_gen("P-256"));

    assert_int_equal(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"),
                     1);
    return key;
}

static EVP_PKEY *from_numbers(const char *type, int selection, const char *const *names,
                              BIGNUM *const *numbers)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;
    int i;

    for (i = 0; names[i]; i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, names[i], numbers[i]), 1);
    params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, selection, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* DSA in the group of RFC 5114 2.3: 2048 bits, so that nothing but its kind is wrong with it. */
EVP_PKEY *path_key_dsa2048(void)
{
    static const char *const names[] = {"p", "q", "g", NULL};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DHX", NULL);
    OSSL_PARAM group[] = {OSSL_PARAM_utf8_string("group", (char *)(uintptr_t) "dh_2048_256", 0),
                          OSSL_PARAM_END};
    EVP_PKEY *dh = NULL, *params, *key = NULL;
    BIGNUM *numbers[3] = {NULL, NULL, NULL};
    int i;

    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(ctx, group), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &dh), 1);
    EVP_PKEY_CTX_free(ctx);
    for (i = 0; i < 3; i++)
        assert_int_equal(EVP_PKEY_get_bn_param(dh, names[i], &numbers[i]), 1);
    params = from_numbers("DSA", EVP_PKEY_KEY_PARAMETERS, names, numbers);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(params);
    EVP_PKEY_free(dh);
    for (i = 0; i < 3; i++)
        BN_free(numbers[i]);
    return kept(key);
}

/* Anybody can undo "encryption" with the exponent 1. Good for a leaf only: it cannot sign. */
EVP_PKEY *path_key_rsa_of_exponent_1(void)
{
    static const char *const names[] = {"n", "e", NULL};
    BIGNUM *numbers[2] = {NULL, BN_new()};
    EVP_PKEY *key;

    assert_int_equal(EVP_PKEY_get_bn_param(key_get(KEY_RSA2048, 0), "n", &numbers[0]), 1);
    assert_int_equal(BN_set_word(numbers[1], 1), 1);
    key = from_numbers("RSA", EVP_PKEY_PUBLIC_KEY, names, numbers);
    BN_free(numbers[0]);
    BN_free(numbers[1]);
    return kept(key);
}

/* ---- judging ---- */

static apr_status_t drop_store(void *store)
{
    X509_STORE_free(store);
    return APR_SUCCESS;
}

void scene_init(scene_t *scene)
{
    scene->anchors = X509_STORE_new();
    assert_non_null(scene->anchors);
    apr_pool_cleanup_register(pool, scene->anchors, drop_store, apr_pool_cleanup_null);
    scene->configured = stack_of(pool, NULL);
    scene->sent = stack_of(pool, NULL);
    scene->leaf = NULL;
    scene->now = WORLD_NOW;
    scene->depth = MTLS_DEFAULT_VERIFY_DEPTH;
}

void scene_trust(scene_t *scene, X509 *x)
{
    assert_int_equal(X509_STORE_add_cert(scene->anchors, x), 1);
}

static void push(STACK_OF(X509) * stack, X509 *x)
{
    assert_int_equal(X509_up_ref(x), 1);
    assert_true(sk_X509_push(stack, x) > 0);
}

void scene_configure(scene_t *scene, X509 *x)
{
    push(scene->configured, x);
}

void scene_offer(scene_t *scene, X509 *x)
{
    push(scene->sent, x);
}

/* The verdict of facts and chain, as a request gets it. */
mtls_chain_result_t scene_judge(const scene_t *scene)
{
    mtls_trust_store_t store = {.name = "partners",
                                .certificates = scene->anchors,
                                .helpers = scene->configured,
                                .depth = scene->depth};
    mtls_chain_result_t result;
    const char *error = NULL;

    memset(&result, 0, sizeof(result));
    if (!mtls_x509_facts(pool, scene->leaf, &error)) {
        result.reason = MTLS_CERTIFICATE_MALFORMED;
        result.detail = error;
        return result;
    }
    mtls_chain_verify(
        pool, &store,
        &(mtls_chain_ask_t){scene->leaf, scene->sent, MTLS_PURPOSE_CLIENT, scene->now}, &result);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(result.chain != NULL, result.reason == MTLS_OK);
    assert_int_equal(result.detail == NULL, result.reason == MTLS_OK);
    return result;
}

void scene_expect(const scene_t *scene, const char *reason, const char *words)
{
    mtls_chain_result_t result = scene_judge(scene);

    if (strcmp(mtls_reason_token(result.reason), reason) != 0)
        fail_msg("got %s (%s), expected %s", mtls_reason_token(result.reason),
                 result.detail ? result.detail : "no detail", reason);
    if (words)
        assert_message(result.detail, words);
}

static void set_path(scene_t *scene, const struct path_row *row)
{
    issuer_t root = path_make(&row->root, ROOT, NULL);
    issuer_t inter = path_make(&row->inter, INTER, &root);

    scene_init(scene);
    scene->leaf = path_make(&row->leaf, LEAF, &inter).x;
    if (row->now)
        scene->now = apr_time_from_sec(row->now);
    if (row->partial)
        X509_STORE_set_flags(scene->anchors, X509_V_FLAG_PARTIAL_CHAIN);
    scene_trust(scene, row->partial ? inter.x : root.x);
    if (!row->partial)
        scene_offer(scene, inter.x);
}

void path_case(void **state)
{
    const struct path_row *row = *state;
    scene_t scene;

    set_path(&scene, row);
    scene_expect(&scene, row->reason, row->detail);
}
