/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/ocsp_response: bytes. What is cut, longer, flipped or written in another way than DER proves
 * nothing, and never anything else than before. */

#include "suite.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "ocsp.h"
#include "pki/ocsp_message.h"
#include "policy/limits.h"

/* ---- a CA, the certificate in question, and two who speak of it ---- */

typedef struct scene_t {
    issuer_t ca, delegate;
    mtls_ocsp_subject_t subject;
} scene_t;

static scene_t scene_begin(void)
{
    static const certificate_t ca = {.subject = {{"CN", 0, "CA", 0, 0}},
                                     .serial = "CA1",
                                     .extensions = {"basicConstraints=critical,CA:TRUE"}},
                               leaf = {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 7},
                               delegate = {.subject = {{"CN", 0, "Responder", 0, 0}},
                                           .serial = "D1",
                                           .key_kind = KEY_ED25519,
                                           .extensions = {"extendedKeyUsage=OCSPSigning"}};
    scene_t scene;

    memset(&scene, 0, sizeof(scene));
    scene.ca.x = certificate_make(pool, &ca, NULL);
    scene.ca.key = key_get(KEY_P256, 0);
    scene.delegate.x = certificate_make(pool, &delegate, &scene.ca);
    scene.delegate.key = key_get(KEY_ED25519, 0);
    scene.subject.issuer = scene.ca.x;
    scene.subject.serial = X509_get0_serialNumber(certificate_make(pool, &leaf, NULL));
    return scene;
}

/* By the CA itself: the smallest there is. */
static mtls_span_t by_ca(const scene_t *scene)
{
    const ocsp_t spec = {.signer = &scene->ca};

    return ocsp_make(pool, &spec);
}

/* By the delegate, about two certificates, with all that may be in a response. */
static mtls_span_t by_delegate(const scene_t *scene)
{
    const ocsp_statement_t said[] = {{.status = V_OCSP_CERTSTATUS_REVOKED,
                                      .reason = "keyCompromise",
                                      .extension = {"1.3.6.1.4.1.99999.5", 0, 0}},
                                     {.serial = "1002", .hash = NID_sha1, .to = OCSP_NONE}};
    const ocsp_t spec = {.signer = &scene->delegate,
                         .issuer = scene->ca.x,
                         .statements = said,
                         .n = 2,
                         .by_key = 1,
                         .nonce = {"0123456789", 10},
                         .certificates = {scene->delegate.x, scene->ca.x}};

    return ocsp_make(pool, &spec);
}

static const mtls_ocsp_terms_t terms = {.now = WORLD_NOW};

/* The bytes at the end of an allocation of their own, where a sanitizer sees one that is read
 * behind them. */
static mtls_ocsp_outcome_t prove(const scene_t *scene, mtls_span_t der, mtls_ocsp_proof_t *proof,
                                 const char **detail)
{
    char *copy = malloc(der.len ? der.len : 1);
    mtls_ocsp_outcome_t outcome;

    assert_non_null(copy);
    if (der.len > 0)
        memcpy(copy, der.data, der.len);
    outcome = mtls_ocsp_prove(&scene->subject, mtls_span(copy, der.len), &terms, proof, detail);
    free(copy);
    assert_int_equal(ERR_peek_error(), 0);
    return outcome;
}

static void assert_good(const scene_t *scene, mtls_span_t der)
{
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    mtls_ocsp_outcome_t outcome = prove(scene, der, &proof, &detail);

    assert_message(outcome == MTLS_OCSP_PROVED ? NULL : detail, NULL);
    assert_int_equal(proof.status, MTLS_STATUS_GOOD);
}

static void assert_refused(const scene_t *scene, mtls_span_t der, const char *words)
{
    static const mtls_ocsp_proof_t nothing;
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;

    assert_int_equal(prove(scene, der, &proof, &detail), MTLS_OCSP_NOT_PROVED);
    assert_message(detail, words);
    assert_memory_equal(&proof, &nothing, sizeof(nothing));
}

/* ---- O13: what is no answer ---- */

typedef struct error_row_t {
    const char *name;
    int status;
    mtls_ocsp_outcome_t outcome;
    const char *words;
} error_row_t;

static const error_row_t errors[] = {
    {"malformedRequest", 1, MTLS_OCSP_NOT_ANSWERED, "says malformedRequest"},
    {"internalError", 2, MTLS_OCSP_NOT_ANSWERED, "says internalError"},
    {"tryLater", 3, MTLS_OCSP_NOT_ANSWERED, "says tryLater"},
    {"sigRequired", 5, MTLS_OCSP_NOT_ANSWERED, "says sigRequired"},
    {"unauthorized", 6, MTLS_OCSP_NOT_ANSWERED, "says unauthorized"},
    {"4 is not used", 4, MTLS_OCSP_NOT_PROVED, "responseStatus is unknown"},
    {"7 is not used", 7, MTLS_OCSP_NOT_PROVED, "responseStatus is unknown"},
    {"256 is not successful", 256, MTLS_OCSP_NOT_PROVED, "responseStatus is unknown"},
    {"-1", -1, MTLS_OCSP_NOT_PROVED, "responseStatus is unknown"},
    {"successful, and nothing else", 0, MTLS_OCSP_NOT_PROVED, "no basic response"},
};

static void error_status(void **state)
{
    const error_row_t *row = *state;
    scene_t scene = scene_begin();
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    mtls_span_t der = ocsp_error(pool, row->status);

    assert_int_equal(prove(&scene, der, &proof, &detail), row->outcome);
    assert_message(detail, row->words);
    assert_int_equal(proof.status, MTLS_STATUS_UNAVAILABLE);
    der = mtls_span(apr_pstrcat(pool, "", NULL), 0);
    assert_refused(&scene, der, "no OCSP response");
}

/* A status that is written as no DER is, or that something follows, says nothing either. */
static void error_status_in_other_words(void **state)
{
    static const struct {
        const char *name;
        mtls_span_t der;
    } rows[] = {{"tryLater and a byte", {"\x30\x03\x0a\x01\x03\x00", 6}},
                {"a long length", {"\x30\x81\x03\x0a\x01\x03", 6}},
                {"a long length inside", {"\x30\x04\x0a\x81\x01\x03", 6}},
                {"no end", {"\x30\x80\x0a\x01\x03\x00\x00", 7}},
                {"a leading zero", {"\x30\x04\x0a\x02\x00\x03", 6}},
                {"an INTEGER", {"\x30\x03\x02\x01\x03", 5}},
                {"cut off", {"\x30\x03\x0a\x01", 4}}};
    const mtls_span_t right = {"\x30\x03\x0a\x01\x03", 5};
    scene_t scene = scene_begin();
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(rows); i++)
        assert_refused(&scene, rows[i].der, "");
    assert_int_equal(prove(&scene, right, &proof, &detail), MTLS_OCSP_NOT_ANSWERED);
}

/* ---- cut, longer, flipped ---- */

static void cut_at_every_byte(void **state)
{
    scene_t scene = scene_begin();
    mtls_span_t all[2];
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    apr_size_t at;
    int i;

    (void)state;
    all[0] = by_ca(&scene);
    all[1] = by_delegate(&scene);
    for (i = 0; i < 2; i++) {
        assert_int_equal(prove(&scene, all[i], &proof, &detail), MTLS_OCSP_PROVED);
        for (at = 0; at < all[i].len; at++)
            assert_refused(&scene, mtls_span(all[i].data, at), "");
    }
}

static mtls_span_t joined(mtls_span_t a, mtls_span_t b)
{
    char *bytes = apr_palloc(pool, a.len + b.len + 1);

    memcpy(bytes, a.data, a.len);
    memcpy(bytes + a.len, b.data, b.len);
    return mtls_span(bytes, a.len + b.len);
}

static void something_behind(void **state)
{
    scene_t scene = scene_begin();
    mtls_span_t der = by_ca(&scene);

    (void)state;
    assert_good(&scene, der);
    assert_refused(&scene, joined(der, mtls_span("", 1)), "something follows");
    assert_refused(&scene, joined(der, mtls_span("\5\0", 2)), "something follows");
    assert_refused(&scene, joined(der, der), "something follows");
    assert_refused(&scene, joined(mtls_span("", 1), der), "no OCSP response");
}

static void same_or_nothing(const scene_t *scene, mtls_span_t der, int *proved)
{
    mtls_ocsp_proof_t right, proof;
    const char *detail = NULL;
    char *bytes = apr_pmemdup(pool, der.data, der.len);
    apr_size_t i;
    int bit;

    assert_int_equal(prove(scene, der, &right, &detail), MTLS_OCSP_PROVED);
    for (*proved = 0, i = 0; i < der.len; i++) {
        for (bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            if (prove(scene, mtls_span(bytes, der.len), &proof, &detail) == MTLS_OCSP_PROVED) {
                assert_memory_equal(&proof, &right, sizeof(right));
                ++*proved;
            }
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
    }
}

static void every_bit_flipped(void **state)
{
    scene_t scene = scene_begin();
    apr_size_t spare = certificate_der(pool, scene.ca.x).len;
    int proved;

    (void)state;
    same_or_nothing(&scene, by_ca(&scene), &proved);
    assert_int_equal(proved, 0);
    /* The second certificate in the response has no part in the proof. */
    same_or_nothing(&scene, by_delegate(&scene), &proved);
    assert_true(proved > 0 && proved < (int)spare * 8);
}

/* ---- other encodings of the same ---- */

static mtls_span_t element(int tag, mtls_span_t content)
{
    char head[4] = {(char)tag, (char)0x82, (char)(content.len >> 8), (char)content.len};

    if (content.len >= 0x100)
        return joined(mtls_span(apr_pmemdup(pool, head, 4), 4), content);
    if (content.len < 0x80) {
        head[1] = (char)content.len;
        return joined(mtls_span(apr_pmemdup(pool, head, 2), 2), content);
    }
    head[1] = (char)0x81;
    head[2] = (char)content.len;
    return joined(mtls_span(apr_pmemdup(pool, head, 3), 3), content);
}

#define SEQUENCE     0x30
#define OCTET_STRING 0x04
#define BIT_STRING   0x03
#define CONTEXT_0    0xa0
#define BASIC        mtls_span("\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01", 11)
#define SUCCESSFUL   mtls_span("\x0a\x01\x00", 3)

/* An OCSPResponse around the bytes of a BasicOCSPResponse. */
static mtls_span_t response_of(mtls_span_t type, mtls_span_t basic)
{
    mtls_span_t bytes = element(SEQUENCE, joined(type, element(OCTET_STRING, basic)));

    return element(SEQUENCE, joined(SUCCESSFUL, element(CONTEXT_0, bytes)));
}

static mtls_span_t basic_of(mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    unsigned char *bytes = NULL;
    int len = i2d_OCSP_BASICRESP(basic, &bytes);
    mtls_span_t out;

    assert_true(len > 0);
    out = mtls_span_copy(pool, mtls_span((char *)bytes, (apr_size_t)len));
    OPENSSL_free(bytes);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return out;
}

static void around_the_basic_response(void **state)
{
    scene_t scene = scene_begin();
    mtls_span_t der = by_ca(&scene), basic = basic_of(der), long_form;

    (void)state;
    assert_span_equal(response_of(BASIC, basic), der);
    assert_good(&scene, response_of(BASIC, basic));
    assert_refused(&scene, response_of(BASIC, joined(basic, mtls_span("", 1))), "not DER");
    assert_refused(&scene, response_of(BASIC, joined(basic, basic)), "not DER");
    assert_refused(
        &scene, response_of(mtls_span("\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02", 11), basic),
        "no basic response");
    assert_int_equal((unsigned char)der.data[1], 0x82);
    long_form = joined(mtls_span("\x30\x83\x00", 3), mtls_span(der.data + 2, der.len - 2));
    assert_refused(&scene, long_form, "not DER");
    long_form = joined(mtls_span("\x30\x80", 2), mtls_span(der.data + 4, der.len - 4));
    assert_refused(&scene, joined(long_form, mtls_span("\0\0", 2)), "not DER");
}

static mtls_span_t signature_over(mtls_span_t tbs, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char bytes[129] = {0}; /* no unused bits */
    size_t len = sizeof(bytes) - 1;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, bytes + 1, &len, (const unsigned char *)tbs.data, tbs.len),
                     1);
    EVP_MD_CTX_free(ctx);
    return element(BIT_STRING, mtls_span(apr_pmemdup(pool, bytes, len + 1), len + 1));
}

/* What is sent, and what was signed. */
static mtls_span_t signed_response(const scene_t *scene, mtls_span_t tbs, mtls_span_t signed_tbs)
{
    const mtls_span_t ecdsa_sha256 = {"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12};
    mtls_span_t basic =
        joined(tbs, joined(ecdsa_sha256, signature_over(signed_tbs, scene->ca.key)));

    return response_of(BASIC, element(SEQUENCE, basic));
}

/* The content of a basic response's ResponseData, which is longer than 127 bytes. */
static mtls_span_t content_of_data(mtls_span_t basic)
{
    const unsigned char *at = (const unsigned char *)basic.data;
    int tag, class;
    long len;

    (void)ASN1_get_object(&at, &len, &tag, &class, (long)basic.len);
    (void)ASN1_get_object(&at, &len, &tag, &class, len);
    return mtls_span((const char *)at, (apr_size_t)len);
}

static void inside_the_basic_response(void **state)
{
    scene_t scene = scene_begin();
    mtls_span_t content = content_of_data(basic_of(by_ca(&scene))),
                tbs = element(SEQUENCE, content),
                ber = joined(mtls_span("\x30\x80", 2), joined(content, mtls_span("\0\0", 2)));
    const mtls_span_t v1 = {"\xa0\x03\x02\x01\x00", 5}, v2 = {"\xa0\x03\x02\x01\x01", 5};

    (void)state;
    assert_good(&scene, signed_response(&scene, tbs, tbs));
    /* OpenSSL verifies what it would have written, not what was sent. */
    assert_refused(&scene, signed_response(&scene, ber, tbs), "not DER");
    assert_refused(&scene, signed_response(&scene, ber, ber), "not DER");
    tbs = element(SEQUENCE, joined(v1, content));
    assert_refused(&scene, signed_response(&scene, tbs, tbs), "unknown version");
    tbs = element(SEQUENCE, joined(v2, content));
    assert_refused(&scene, signed_response(&scene, tbs, tbs), "unknown version");
}

/* O1: a signature over something else, or none. */
static void signatures(void **state)
{
    scene_t scene = scene_begin();
    mtls_span_t basic = basic_of(by_ca(&scene)), tbs = element(SEQUENCE, content_of_data(basic)),
                der;
    const mtls_span_t ecdsa_sha256 = {"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12};

    (void)state;
    assert_refused(&scene, signed_response(&scene, tbs, mtls_span_of("something else")),
                   "not signed");
    der = response_of(BASIC, element(SEQUENCE, joined(tbs, joined(ecdsa_sha256, //
                                                                  mtls_span("\x03\x01\x00", 3)))));
    assert_refused(&scene, der, "not signed");
    der = response_of(BASIC, element(SEQUENCE, joined(tbs, ecdsa_sha256)));
    assert_refused(&scene, der, "no basic response");
    der = response_of(BASIC, element(SEQUENCE, joined(tbs, mtls_span("\x30\x00\x03\x01\x00", 5))));
    assert_refused(&scene, der, "no basic response");
}

/* ---- size ---- */

static mtls_span_t of_size(const scene_t *scene, apr_size_t nonce)
{
    const ocsp_t spec = {.signer = &scene->ca, .nonce = {apr_pcalloc(pool, nonce), nonce}};

    return ocsp_make(pool, &spec);
}

static void largest(void **state)
{
    scene_t scene = scene_begin();
    apr_size_t nonce = 60000;
    mtls_span_t der;

    (void)state;
    do { /* a signature has 70 to 72 bytes */
        der = of_size(&scene, nonce);
        nonce += MTLS_MAX_OCSP_BYTES - der.len;
    } while (der.len != MTLS_MAX_OCSP_BYTES);
    assert_good(&scene, der);
    while ((der = of_size(&scene, nonce)).len <= MTLS_MAX_OCSP_BYTES)
        nonce++;
    assert_refused(&scene, der, "too large");
}

/* ---- threads ---- */

#define THREADS 4

typedef struct worker_t {
    const scene_t *scene;
    mtls_span_t der;
    int proved;
} worker_t;

static void *work(void *baton)
{
    worker_t *worker = baton;
    mtls_ocsp_proof_t proof;
    const char *detail;
    int i;

    for (i = 0; i < 50; i++)
        worker->proved += mtls_ocsp_prove(&worker->scene->subject, worker->der, &terms, &proof,
                                          &detail) == MTLS_OCSP_PROVED;
    return NULL;
}

static void threads(void **state)
{
    scene_t scene = scene_begin();
    worker_t workers[THREADS];
    pthread_t threads[THREADS];
    int i;

    (void)state;
    for (i = 0; i < THREADS; i++) {
        workers[i] = (worker_t){&scene, i % 2 ? by_ca(&scene) : by_delegate(&scene), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].proved, 50);
    }
}

int main(void)
{
    SUITE_TABLE(error_status, errors);
    SUITE_CASE(error_status_in_other_words);
    SUITE_CASE(cut_at_every_byte);
    SUITE_CASE(something_behind);
    SUITE_CASE(every_bit_flipped);
    SUITE_CASE(around_the_basic_response);
    SUITE_CASE(inside_the_basic_response);
    SUITE_CASE(signatures);
    SUITE_CASE(largest);
    SUITE_CASE(threads);
    return suite_run("ocsp_bytes", 19);
}
