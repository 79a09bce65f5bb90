/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* OCSP responses: as they come, and signed anew by the CA, so that what lies behind the signature
 * is reached as well. */

#include "fuzz.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "ocsp_world.h"
#include "pki/ocsp_message.h"

static struct {
    X509 *ca, *twin; /* one name, two keys */
    STACK_OF(X509) * responders;
    EVP_PKEY *key;
    ASN1_INTEGER *serial, *other_serial;
} world;

static void world_begin(void)
{
    if (world.ca)
        return;
    world.ca = ocsp_world_certificate(OCSP_WORLD_CA);
    world.twin = ocsp_world_certificate(OCSP_WORLD_TWIN);
    world.responders = sk_X509_new_null();
    CHECK(sk_X509_push(world.responders, ocsp_world_certificate(OCSP_WORLD_LOCAL)) == 1);
    world.key = ocsp_world_key(0);
    world.serial = ASN1_INTEGER_new();
    world.other_serial = ASN1_INTEGER_new();
    CHECK(world.ca && world.twin && world.key && world.serial && world.other_serial);
    CHECK(ASN1_INTEGER_set(world.serial, OCSP_WORLD_SERIAL) == 1);
    CHECK(ASN1_INTEGER_set(world.other_serial, OCSP_WORLD_SERIAL + 1) == 1);
}

static mtls_ocsp_outcome_t prove(X509 *issuer, const ASN1_INTEGER *serial, mtls_span_t der,
                                 apr_time_t now, mtls_ocsp_proof_t *proof)
{
    static const mtls_ocsp_proof_t nothing;
    const mtls_ocsp_subject_t subject = {
        .serial = serial, .issuer = issuer, .responders = world.responders};
    const mtls_ocsp_terms_t terms = {.now = now};
    const char *detail = NULL;
    mtls_ocsp_outcome_t outcome = mtls_ocsp_prove(&subject, der, &terms, proof, &detail);

    CHECK(ERR_peek_error() == 0);
    CHECK((outcome == MTLS_OCSP_PROVED) == (detail == NULL));
    CHECK(outcome == MTLS_OCSP_PROVED || memcmp(proof, &nothing, sizeof(nothing)) == 0);
    return outcome;
}

/* ---- what must hold of a proof ---- */

static void check_dates(const mtls_ocsp_proof_t *proof)
{
    const mtls_ocsp_limits_t none = {0, apr_time_from_sec(3600)},
                             skewed = {apr_time_from_sec(300), apr_time_from_sec(3600)};
    const char *stale = mtls_ocsp_stale(proof, &none, OCSP_WORLD_NOW);

    CHECK(proof->status == MTLS_STATUS_GOOD || proof->status == MTLS_STATUS_REVOKED ||
          proof->status == MTLS_STATUS_UNKNOWN);
    CHECK(!proof->next_update || proof->next_update >= proof->this_update);
    CHECK(proof->signer_from <= proof->produced_at && proof->signer_until > 0);
    CHECK(stale || OCSP_WORLD_NOW <= mtls_ocsp_ends(proof, &none));
    CHECK(stale || !mtls_ocsp_stale(proof, &skewed, OCSP_WORLD_NOW));
    CHECK(!mtls_ocsp_newer(proof, proof));
}

/* Proved once is proved again, also later; cut or longer it is not; nor for a twin of the CA. */
static void check_neighbours(mtls_span_t der, const mtls_ocsp_proof_t *proof)
{
    char *longer = malloc(der.len + 1);
    mtls_ocsp_proof_t again;

    CHECK(longer);
    memcpy(longer, der.data, der.len);
    longer[der.len] = '\0';
    CHECK(prove(world.ca, world.serial, der, OCSP_WORLD_NOW, &again) == MTLS_OCSP_PROVED);
    CHECK(memcmp(&again, proof, sizeof(again)) == 0);
    CHECK(prove(world.ca, world.serial, der, OCSP_WORLD_NOW * 2, &again) == MTLS_OCSP_PROVED);
    CHECK(memcmp(&again, proof, sizeof(again)) == 0);
    CHECK(prove(world.ca, world.serial, mtls_span(longer, der.len + 1), OCSP_WORLD_NOW, &again) !=
          MTLS_OCSP_PROVED);
    CHECK(prove(world.ca, world.serial, mtls_span(longer, der.len - 1), OCSP_WORLD_NOW, &again) !=
          MTLS_OCSP_PROVED);
    CHECK(prove(world.twin, world.serial, der, OCSP_WORLD_NOW, &again) != MTLS_OCSP_PROVED);
    free(longer);
}

/* Whoever asks for more gets no other proof. */
static void check_nonce(mtls_span_t der, mtls_ocsp_outcome_t outcome,
                        const mtls_ocsp_proof_t *proof)
{
    const mtls_ocsp_subject_t subject = {
        .serial = world.serial, .issuer = world.ca, .responders = world.responders};
    mtls_ocsp_terms_t terms = {.now = OCSP_WORLD_NOW, .sent_nonce = {OCSP_WORLD_NONCE, 16}};
    mtls_ocsp_outcome_t with, must;
    mtls_ocsp_proof_t again;
    const char *detail;

    with = mtls_ocsp_prove(&subject, der, &terms, &again, &detail);
    CHECK(with == outcome || with == MTLS_OCSP_NOT_PROVED);
    CHECK(with != MTLS_OCSP_PROVED || memcmp(&again, proof, sizeof(again)) == 0);
    terms.need_nonce = 1;
    must = mtls_ocsp_prove(&subject, der, &terms, &again, &detail);
    CHECK(must == with || must == MTLS_OCSP_NOT_PROVED);
}

/* ---- keys ---- */

typedef struct wanted_t {
    mtls_span_t key[2];
    int found;
} wanted_t;

static void look(void *baton, mtls_span_t key)
{
    wanted_t *wanted = baton;

    CHECK(key.len > 40);
    wanted->found += mtls_span_equal(key, wanted->key[0]) || mtls_span_equal(key, wanted->key[1]);
}

/* Whoever looks a response up by its CertIDs finds each that proves something, and no proof comes
 * from one that has no such CertID. */
static void check_keys(apr_pool_t *p, mtls_span_t der, const ASN1_INTEGER *serial,
                       mtls_ocsp_outcome_t outcome)
{
    const mtls_ocsp_subject_t subject = {.serial = serial, .issuer = world.ca};
    wanted_t wanted = {.found = 0};
    const char *error;

    wanted.key[0] = mtls_ocsp_certid_key(p, &subject, MTLS_OCSP_SHA256);
    wanted.key[1] = mtls_ocsp_certid_key(p, &subject, MTLS_OCSP_SHA1);
    error = mtls_ocsp_response_keys(p, der, look, &wanted);
    CHECK(ERR_peek_error() == 0);
    CHECK(!error || wanted.found == 0);
    CHECK(outcome != MTLS_OCSP_PROVED || wanted.found > 0);
    CHECK(outcome != MTLS_OCSP_NOT_ANSWERED || error);
    CHECK(outcome != MTLS_OCSP_OTHER_CERTID || (!error && wanted.found == 0));
}

static void check(apr_pool_t *p, mtls_span_t der)
{
    mtls_ocsp_proof_t proof;
    mtls_ocsp_outcome_t outcome = prove(world.ca, world.serial, der, OCSP_WORLD_NOW, &proof);

    check_keys(p, der, world.serial, outcome);
    check_nonce(der, outcome, &proof);
    if (outcome == MTLS_OCSP_PROVED) {
        check_dates(&proof);
        check_neighbours(der, &proof);
    }
    outcome = prove(world.ca, world.other_serial, der, OCSP_WORLD_NOW, &proof);
    check_keys(p, der, world.other_serial, outcome);
    if (outcome == MTLS_OCSP_PROVED)
        check_dates(&proof);
}

/* ---- signed anew ---- */

static OCSP_BASICRESP *read_basic(mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;

    OCSP_RESPONSE_free(response);
    return basic;
}

/* `tag`, the length in two bytes or one, and both contents. */
static mtls_span_t element(apr_pool_t *p, int tag, mtls_span_t a, mtls_span_t b)
{
    apr_size_t len = a.len + b.len, head = len < 0x80 ? 2 : len < 0x100 ? 3 : 4;
    char *bytes = apr_palloc(p, head + len);

    bytes[0] = (char)tag;
    bytes[1] = (char)(head == 2 ? len : 0x80 + head - 2);
    if (head > 2)
        bytes[head - 1] = (char)len;
    if (head > 3)
        bytes[2] = (char)(len >> 8);
    memcpy(bytes + head, a.data, a.len);
    memcpy(bytes + head + a.len, b.data, b.len);
    return mtls_span(bytes, head + len);
}

#define SEQUENCE     0x30
#define OCTET_STRING 0x04
#define BIT_STRING   0x03
#define CONTEXT_0    0xa0

static const mtls_span_t successful = {"\x0a\x01\x00", 3}, no_unused_bits = {"", 1},
                         ed25519 = {"\x30\x05\x06\x03\x2b\x65\x70", 7}, nothing = {"", 0},
                         basic_type = {"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01", 11};

static mtls_span_t sign(apr_pool_t *p, mtls_span_t data)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *bytes = apr_palloc(p, 64);
    size_t len = 64;

    CHECK(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, world.key) == 1);
    CHECK(EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)data.data, data.len) == 1);
    EVP_MD_CTX_free(ctx);
    return mtls_span((const char *)bytes, len);
}

/* A response around its ResponseData. OCSP_basic_sign() would set the responder's name, and mistake
 * a key that stands there for one. */
static mtls_span_t response_of(apr_pool_t *p, mtls_span_t data)
{
    mtls_span_t signature = element(p, BIT_STRING, no_unused_bits, sign(p, data));
    char *body = apr_palloc(p, data.len + ed25519.len);
    mtls_span_t basic, bytes;

    memcpy(body, data.data, data.len);
    memcpy(body + data.len, ed25519.data, ed25519.len);
    basic = element(p, SEQUENCE, mtls_span(body, data.len + ed25519.len), signature);
    bytes = element(p, SEQUENCE, basic_type, element(p, OCTET_STRING, basic, nothing));
    return element(p, SEQUENCE, successful, element(p, CONTEXT_0, bytes, nothing));
}

static void check_signed(apr_pool_t *p, mtls_span_t der)
{
    OCSP_BASICRESP *basic = read_basic(der);
    unsigned char *data = NULL;
    int len = basic ? i2d_OCSP_RESPDATA(OCSP_resp_get0_respdata(basic), &data) : -1;

    ERR_clear_error();
    if (len > 0 && len < 0xff00)
        check(p, response_of(p, mtls_span((const char *)data, (apr_size_t)len)));
    OPENSSL_free(data);
    OCSP_BASICRESP_free(basic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    mtls_span_t der = mtls_span((const char *)data, size);

    world_begin();
    check(p, der);
    check_signed(p, der);
    fuzz_end(p);
    return 0;
}
