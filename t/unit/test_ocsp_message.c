/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/ocsp_message and ocsp_response: what a response says and of whom, how it is written, how old
 * it may be. Who may sign one is tested in test_ocsp_signer.c, bytes that are wrong in
 * test_ocsp_bytes.c. */

#include "suite.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "ocsp.h"
#include "pki/ocsp_message.h"
#include "policy/limits.h"

#define DAY    WORLD_DAYS
#define HOUR   apr_time_from_sec(3600)
#define SECOND apr_time_from_sec(1)

/* ---- CAs and the certificate in question ---- */

static issuer_t ca_named(const char *name, int key)
{
    const certificate_t spec = {.subject = {{"CN", 0, name, 0, 0}},
                                .key = key,
                                .serial = "CA1",
                                .extensions = {"basicConstraints=critical,CA:TRUE"}};
    issuer_t issuer = {certificate_make(pool, &spec, NULL), key_get(KEY_P256, key)};

    return issuer;
}

static mtls_ocsp_subject_t subject_of(X509 *issuer, const char *serial)
{
    const certificate_t leaf = {.subject = {{"CN", 0, "leaf", 0, 0}}, .serial = serial, .key = 7};
    const mtls_ocsp_subject_t subject = {
        .serial = X509_get0_serialNumber(certificate_make(pool, &leaf, NULL)), .issuer = issuer};

    return subject;
}

static mtls_ocsp_outcome_t prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                 mtls_ocsp_proof_t *proof, const char **detail)
{
    static const mtls_ocsp_proof_t nothing;
    const mtls_ocsp_terms_t terms = {.now = WORLD_NOW};
    mtls_ocsp_outcome_t outcome = mtls_ocsp_prove(subject, der, &terms, proof, detail);

    assert_int_equal(ERR_peek_error(), 0);
    if (outcome != MTLS_OCSP_PROVED)
        assert_memory_equal(proof, &nothing, sizeof(nothing));
    return outcome;
}

/* ---- statements ---- */

typedef enum of_t {
    OF_CA = 0,
    OF_SAME_NAME, /* the CA's name, another key */
    OF_SAME_KEY,  /* the CA's key, another name */
    OF_MANY       /* as many statements about others as `serial` says, in decimal */
} of_t;

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN
#define OLDER   .from = WORLD_NOW - 5 * HOUR, .to = WORLD_NOW + HOUR

typedef struct statement_row_t {
    const char *name;
    ocsp_statement_t said[3];
    int n;
    of_t of; /* of the first; the others are of the CA */
    mtls_ocsp_outcome_t outcome;
    mtls_status_t status;
    const char *words;
} statement_row_t;

#define PROVES(what) MTLS_OCSP_PROVED, MTLS_STATUS_##what, NULL
#define OTHER        MTLS_OCSP_OTHER_CERTID, MTLS_STATUS_UNAVAILABLE, "does not speak"
#define REFUSED(why) MTLS_OCSP_NOT_PROVED, MTLS_STATUS_UNAVAILABLE, why

#define EXTENSION(critical, twice) .extension = {"1.3.6.1.4.1.99999.5", critical, twice}

static const statement_row_t statements[] = {
    {"good", {{.status = GOOD}}, 1, OF_CA, PROVES(GOOD)},
    {"revoked", {{.status = REVOKED}}, 1, OF_CA, PROVES(REVOKED)},
    {"unknown", {{.status = UNKNOWN}}, 1, OF_CA, PROVES(UNKNOWN)},
    {"SHA-1 good", {{.hash = NID_sha1}}, 1, OF_CA, PROVES(GOOD)},
    {"SHA-1 revoked", {{.hash = NID_sha1, .status = REVOKED}}, 1, OF_CA, PROVES(REVOKED)},
    {"O7: SHA-384", {{.hash = NID_sha384}}, 1, OF_CA, OTHER},
    {"O7: SHA-512", {{.hash = NID_sha512, .status = REVOKED}}, 1, OF_CA, OTHER},
    {"O7: MD5", {{.hash = NID_md5}}, 1, OF_CA, OTHER},
    {"O7: the serial of another certificate", {{.serial = "1002"}}, 1, OF_CA, OTHER},
    {"O7: a serial that begins like it", {{.serial = "100101"}}, 1, OF_CA, OTHER},
    {"O7: a serial that ends like it", {{.serial = "011001"}}, 1, OF_CA, OTHER},
    {"O7: the negative of its serial", {{.serial = "-1001"}}, 1, OF_CA, OTHER},
    {"O7: leading zeros make no other serial", {{.serial = "00001001"}}, 1, OF_CA, PROVES(GOOD)},
    {"O7: issuer name right, key wrong", {{.serial = NULL}}, 1, OF_SAME_NAME, OTHER},
    {"O7: issuer name right, key wrong, SHA-1", {{.hash = NID_sha1}}, 1, OF_SAME_NAME, OTHER},
    {"O7: issuer key right, name wrong", {{.serial = NULL}}, 1, OF_SAME_KEY, OTHER},
    {"O7: a revoked one of the same name and another key",
     {{.status = REVOKED}},
     1,
     OF_SAME_NAME,
     OTHER},
    {"O7: another certificate's before ours",
     {{.serial = "1002", .status = REVOKED}, {.status = GOOD}},
     2,
     OF_CA,
     PROVES(GOOD)},
    {"O7: another certificate's behind ours",
     {{.status = REVOKED}, {.serial = "1002"}},
     2,
     OF_CA,
     PROVES(REVOKED)},
    {"O7: another issuer's beside ours",
     {{.serial = "1002"}, {.status = GOOD}},
     2,
     OF_SAME_NAME,
     REFUSED("not signed by the issuer")},
    {"both hashes", {{.status = GOOD}, {.hash = NID_sha1}}, 2, OF_CA, PROVES(GOOD)},
    {"a CertID of a hash of no interest beside ours",
     {{.hash = NID_sha512, .status = REVOKED}, {.status = GOOD}},
     2,
     OF_CA,
     PROVES(GOOD)},
    {"revoked before good", {{.status = REVOKED}, {.status = GOOD}}, 2, OF_CA, PROVES(REVOKED)},
    {"good before revoked", {{.status = GOOD}, {.status = REVOKED}}, 2, OF_CA, PROVES(REVOKED)},
    {"older and revoked by SHA-1, newer and good by SHA-256",
     {{.status = GOOD}, {.hash = NID_sha1, .status = REVOKED, OLDER}},
     2,
     OF_CA,
     PROVES(REVOKED)},
    {"older and unknown, newer and good",
     {{.status = UNKNOWN, OLDER}, {.status = GOOD}},
     2,
     OF_CA,
     PROVES(UNKNOWN)},
    {"older and good, newer and unknown",
     {{.status = GOOD, OLDER}, {.status = UNKNOWN}},
     2,
     OF_CA,
     PROVES(UNKNOWN)},
    {"unknown, good and revoked",
     {{.status = UNKNOWN}, {.status = GOOD}, {.status = REVOKED, OLDER}},
     3,
     OF_CA,
     PROVES(REVOKED)},
    {"older and good, newer and good",
     {{.status = GOOD, OLDER}, {.status = GOOD}},
     2,
     OF_CA,
     PROVES(GOOD)},
    {"O15: on hold", {{.status = REVOKED, .reason = "certificateHold"}}, 1, OF_CA, PROVES(REVOKED)},
    {"O15: removeFromCRL",
     {{.status = REVOKED, .reason = "removeFromCRL"}},
     1,
     OF_CA,
     PROVES(REVOKED)},
    {"O15: keyCompromise",
     {{.status = REVOKED, .reason = "keyCompromise"}},
     1,
     OF_CA,
     PROVES(REVOKED)},
    {"revoked in the future",
     {{.status = REVOKED, .revoked_at = WORLD_NOW + 99 * DAY}},
     1,
     OF_CA,
     PROVES(REVOKED)},
    {"revoked at no time", {{.status = REVOKED, .revoked_text = "x"}}, 1, OF_CA, PROVES(REVOKED)},
    {"an unknown extension", {{EXTENSION(0, 0)}}, 1, OF_CA, PROVES(GOOD)},
    {"an unknown critical extension", {{EXTENSION(1, 0)}}, 1, OF_CA, REFUSED("critical extension")},
    {"an unknown critical extension of a revoked one",
     {{.status = REVOKED, EXTENSION(1, 0)}},
     1,
     OF_CA,
     REFUSED("critical extension")},
    {"an unknown critical extension of another's statement",
     {{.serial = "1002", EXTENSION(1, 0)}, {.status = GOOD}},
     2,
     OF_CA,
     REFUSED("critical extension")},
    {"a critical nonce in a statement",
     {{.extension = {"1.3.6.1.5.5.7.48.1.2", 1, 0}}},
     1,
     OF_CA,
     REFUSED("critical extension")},
    {"an extension twice", {{EXTENSION(0, 1)}}, 1, OF_CA, REFUSED("extension twice")},
    {"64 statements", {{.serial = "63"}, {.status = GOOD}}, 2, OF_MANY, PROVES(GOOD)},
    {"65 statements", {{.serial = "64"}, {.status = GOOD}}, 2, OF_MANY, REFUSED("too many")},
};

/* The statements of a row, as many as it asks for. */
static int spread(const statement_row_t *row, ocsp_statement_t *said)
{
    int i, many = row->of == OF_MANY ? atoi(row->said[0].serial) : 0;

    for (i = 0; i < many; i++) {
        memset(&said[i], 0, sizeof(*said));
        said[i].serial = apr_psprintf(pool, "%04X", 0x2000 + i);
    }
    if (many > 0) {
        said[many] = row->said[1];
        return many + 1;
    }
    memcpy(said, row->said, sizeof(row->said));
    if (row->of == OF_SAME_NAME)
        said[0].issuer = ca_named("CA", 2).x;
    else if (row->of == OF_SAME_KEY)
        said[0].issuer = ca_named("Other", 0).x;
    return row->n;
}

static void statement(void **state)
{
    const statement_row_t *row = *state;
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    ocsp_statement_t said[MTLS_MAX_OCSP_STATEMENTS + 1];
    ocsp_t spec = {.signer = &ca, .statements = said};
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    mtls_ocsp_outcome_t outcome;

    spec.n = spread(row, said);
    outcome = prove(&subject, ocsp_make(pool, &spec), &proof, &detail);
    assert_message(outcome == MTLS_OCSP_PROVED ? NULL : detail, row->words);
    assert_int_equal(outcome, row->outcome);
    assert_int_equal(proof.status, row->status);
    if (outcome == MTLS_OCSP_PROVED) { /* the latest thisUpdate's */
        assert_true(proof.this_update == WORLD_NOW - HOUR);
        assert_true(proof.next_update == WORLD_NOW + DAY);
        assert_true(proof.produced_at == WORLD_NOW - HOUR);
    }
}

static void response_extensions(void **state)
{
    static const struct {
        ocsp_extension_t extension;
        const char *words;
    } rows[] = {{{"1.3.6.1.4.1.99999.5", 0, 0}, NULL},
                {{"1.3.6.1.4.1.99999.5", 1, 0}, "critical extension"},
                {{"1.3.6.1.4.1.99999.5", 0, 1}, "extension twice"},
                {{"1.3.6.1.5.5.7.48.1.2", 1, 0}, NULL}, /* a nonce nobody asked for */
                {{"1.3.6.1.5.5.7.48.1.2", 0, 1}, "extension twice"}};
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    mtls_ocsp_proof_t proof;
    const char *detail;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(rows); i++) {
        ocsp_t spec = {.signer = &ca, .extension = rows[i].extension};
        int proved = prove(&subject, ocsp_make(pool, &spec), &proof, &detail) == MTLS_OCSP_PROVED;
        assert_message(proved ? NULL : detail, rows[i].words);
    }
}

/* ---- times ---- */

typedef struct time_row_t {
    const char *name;
    const char *from, *to, *produced; /* NULL: the usual */
    const char *words;
} time_row_t;

#define USUAL  "20270115070000Z" /* an hour before WORLD_NOW */
#define NOTIME "thisUpdate is no time"

static const time_row_t times[] = {
    {"as everybody writes them", USUAL, "20270116080000Z", USUAL, NULL},
    {"O12: until the year 9999", USUAL, "99991231235959Z", NULL, NULL},
    {"valid for one moment", USUAL, USUAL, NULL, NULL},
    {"O12: nextUpdate before thisUpdate", USUAL, "20270115065959Z", NULL, "before its thisUpdate"},
    {"O12: thisUpdate an hour ahead", "20270115090000Z", NULL, NULL, NULL},
    {"O12: thisUpdate more than an hour ahead", "20270115090001Z", NULL, NULL,
     "thisUpdate lies far in the future"},
    {"O12: thisUpdate in the year 9999", "99991231235959Z", "99991231235959Z", NULL,
     "thisUpdate lies far in the future"},
    {"O12: producedAt an hour ahead", NULL, NULL, "20270115090000Z", NULL},
    {"O12: producedAt more than an hour ahead", NULL, NULL, "20270115090001Z",
     "producedAt lies far in the future"},
    {"O12: producedAt long before", NULL, NULL, "19990101000000Z", NULL},
    {"tenths of a second", "20270115070000.5Z", NULL, NULL, NOTIME},
    {"no seconds", "202701150700Z", NULL, NULL, NOTIME},
    {"an offset", "20270115070000+0000", NULL, NULL, NOTIME},
    {"local time", "20270115070000", NULL, NULL, NOTIME},
    {"a small z", "20270115070000z", NULL, NULL, NOTIME},
    {"a sign", "2027011507000-Z", NULL, NULL, NOTIME},
    {"a blank", " 2027011507000Z", NULL, NULL, NOTIME},
    {"month 13", "20271315070000Z", NULL, NULL, NOTIME},
    {"30 February", "20260230070000Z", NULL, NULL, NOTIME},
    {"29 February", "20240229070000Z", NULL, NULL, NULL},
    {"hour 24", "20260115240000Z", NULL, NULL, NOTIME},
    {"before 1970", "19691231235959Z", NULL, NULL, NOTIME},
    {"the first second", "19700101000000Z", NULL, NULL, NOTIME},
    {"nothing", "", NULL, NULL, NOTIME},
    {"nextUpdate is none", NULL, "2028", NULL, "nextUpdate is no time"},
    {"nextUpdate in 1970 is not \"none\"", "19700101000001Z", "19700101000000Z", NULL,
     "nextUpdate is no time"},
    {"producedAt is none", NULL, NULL, "now", "producedAt is no time"},
};

static void time_of_response(void **state)
{
    const time_row_t *row = *state;
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    const ocsp_statement_t said = {.from_text = row->from, .to_text = row->to};
    const ocsp_t spec = {
        .signer = &ca, .statements = &said, .n = 1, .produced_text = row->produced};
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    int proved = prove(&subject, ocsp_make(pool, &spec), &proof, &detail) == MTLS_OCSP_PROVED;

    assert_message(proved ? NULL : detail, row->words);
}

static void no_next_update(void **state)
{
    const ocsp_statement_t said = {.to = OCSP_NONE};
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    const ocsp_t spec = {.signer = &ca, .statements = &said, .n = 1};
    const mtls_ocsp_limits_t limits = {.skew = 0, .max_age = HOUR};
    mtls_ocsp_proof_t proof;
    const char *detail;

    (void)state;
    assert_int_equal(prove(&subject, ocsp_make(pool, &spec), &proof, &detail), MTLS_OCSP_PROVED);
    assert_true(proof.next_update == 0);
    assert_null(mtls_ocsp_stale(&proof, &limits, WORLD_NOW));
    assert_message(mtls_ocsp_stale(&proof, &limits, WORLD_NOW + 1), "too old"); /* O11 */
}

/* ---- nonces ---- */

typedef struct nonce_row_t {
    const char *name;
    const char *sent, *got; /* NULL: none */
    int needed;
    const char *words;
} nonce_row_t;

#define N32  "0123456789abcdef0123456789abcdef"
#define N128 N32 N32 N32 N32

static const nonce_row_t nonces[] = {
    {"none", NULL, NULL, 0, NULL},
    {"not sent, but there", NULL, N32, 0, NULL},
    {"sent and there", N32, N32, 0, NULL},
    {"sent, needed and there", N32, N32, 1, NULL},
    {"sent and not there", N32, NULL, 0, NULL},
    {"sent, needed and not there", N32, NULL, 1, "has no nonce"},
    {"another", N32, "x123456789abcdef0123456789abcdef", 0, "not the one that was sent"},
    {"another, needed", N32, "x123456789abcdef0123456789abcdef", 1, "not the one that was sent"},
    {"cut off", N32, "0123456789abcdef", 0, "not the one that was sent"},
    {"longer", N32, N32 "0", 0, "not the one that was sent"},
    {"too long for anybody", N128, N128, 0, "not the one that was sent"},
};

static void nonce(void **state)
{
    const nonce_row_t *row = *state;
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    ocsp_t spec = {.signer = &ca};
    mtls_ocsp_terms_t terms = {.now = WORLD_NOW, .need_nonce = row->needed};
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    int proved;

    if (row->sent)
        terms.sent_nonce = mtls_span_of(row->sent);
    if (row->got)
        spec.nonce = mtls_span_of(row->got);
    proved = mtls_ocsp_prove(&subject, ocsp_make(pool, &spec), &terms, &proof, &detail) ==
             MTLS_OCSP_PROVED;
    assert_message(proved ? NULL : detail, row->words);
}

/* Its extension's value is an OCTET STRING and nothing else. */
static void nonces_in_other_words(void **state)
{
    static const struct {
        mtls_span_t der;
        const char *words;
    } rows[] = {{{"\x04\x20" N32, 34}, NULL},          {{"\x04\x20" N32 "0", 35}, "not the one"},
                {{"\x04\x20" N32, 33}, "not the one"}, {{"\x04\x20", 2}, "not the one"},
                {{"\x04", 1}, "not the one"},          {{N32, 32}, "not the one"},
                {{"\x16\x20" N32, 34}, "not the one"}, {{"\x04\x81\x20" N32, 35}, "not the one"}};
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    const mtls_ocsp_terms_t terms = {.now = WORLD_NOW, .sent_nonce = {N32, 32}};
    mtls_ocsp_proof_t proof;
    const char *detail;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(rows); i++) {
        const ocsp_t spec = {.signer = &ca, .nonce_der = rows[i].der};
        int proved = mtls_ocsp_prove(&subject, ocsp_make(pool, &spec), &terms, &proof, &detail) ==
                     MTLS_OCSP_PROVED;
        assert_message(proved ? NULL : detail, rows[i].words);
    }
}

/* ---- requests ---- */

static OCSP_REQUEST *read_request(mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data, *end = at + der.len;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)der.len);

    assert_non_null(request);
    assert_ptr_equal(at, end);
    return request;
}

static void assert_request(const mtls_ocsp_subject_t *subject, mtls_ocsp_hash_t hash, int nonced)
{
    const EVP_MD *md = hash == MTLS_OCSP_SHA1 ? EVP_sha1() : EVP_sha256();
    OCSP_CERTID *expected =
        OCSP_cert_id_new(md, X509_get_subject_name(subject->issuer),
                         X509_get0_pubkey_bitstr(subject->issuer), subject->serial);
    mtls_ocsp_request_t made;
    OCSP_REQUEST *request;

    assert_int_equal(mtls_ocsp_request(pool, subject, hash, nonced, &made), 1);
    request = read_request(made.der);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    assert_int_equal(
        OCSP_id_cmp(expected, OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0))), 0);
    assert_int_equal(OCSP_REQUEST_get_ext_count(request), nonced);
    assert_int_equal(made.nonce.len, nonced ? 32 : 0);
    if (nonced) {
        X509_EXTENSION *extension = OCSP_REQUEST_get_ext(request, 0);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
        assert_int_equal(OBJ_obj2nid(X509_EXTENSION_get_object(extension)), NID_id_pkix_OCSP_Nonce);
        assert_int_equal(ASN1_STRING_length(value), 34);
        assert_memory_equal(ASN1_STRING_get0_data(value), "\x04\x20", 2);
        assert_memory_equal(ASN1_STRING_get0_data(value) + 2, made.nonce.data, 32);
    }
    OCSP_REQUEST_free(request);
    OCSP_CERTID_free(expected);
}

static void requests(void **state)
{
    mtls_ocsp_subject_t subject = subject_of(ca_named("CA", 0).x, "1001");
    mtls_ocsp_request_t one, two;

    (void)state;
    assert_request(&subject, MTLS_OCSP_SHA256, 0);
    assert_request(&subject, MTLS_OCSP_SHA1, 0);
    assert_request(&subject, MTLS_OCSP_SHA256, 1);
    assert_request(&subject, MTLS_OCSP_SHA1, 1);
    assert_int_equal(mtls_ocsp_request(pool, &subject, MTLS_OCSP_SHA256, 1, &one), 1);
    assert_int_equal(mtls_ocsp_request(pool, &subject, MTLS_OCSP_SHA256, 1, &two), 1);
    assert_false(mtls_span_equal(one.nonce, two.nonce));
    assert_int_equal(ERR_peek_error(), 0);
}

/* The nonce that was asked with is the one that is looked for. */
static void request_and_answer(void **state)
{
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    ocsp_t spec = {.signer = &ca};
    mtls_ocsp_terms_t terms = {.now = WORLD_NOW, .need_nonce = 1};
    mtls_ocsp_request_t request;
    mtls_ocsp_proof_t proof;
    const char *detail;

    (void)state;
    assert_int_equal(mtls_ocsp_request(pool, &subject, MTLS_OCSP_SHA256, 1, &request), 1);
    spec.nonce = terms.sent_nonce = request.nonce;
    assert_int_equal(mtls_ocsp_prove(&subject, ocsp_make(pool, &spec), &terms, &proof, &detail),
                     MTLS_OCSP_PROVED);
}

/* ---- keys ---- */

typedef struct keys_t {
    mtls_span_t v[8];
    int n;
} keys_t;

static void collect(void *baton, mtls_span_t key)
{
    keys_t *keys = baton;

    assert_true(keys->n < 8);
    keys->v[keys->n++] = key;
}

static void keys_of_responses(void **state)
{
    issuer_t ca = ca_named("CA", 0), twin = ca_named("CA", 2);
    mtls_ocsp_subject_t ours = subject_of(ca.x, "1001"), negative = subject_of(ca.x, "-80"),
                        others = subject_of(twin.x, "1001");
    const ocsp_statement_t said[] = {{.hash = NID_sha1},
                                     {.hash = NID_sha512},
                                     {.serial = "-80", .status = REVOKED},
                                     {.serial = NULL},
                                     {.issuer = twin.x, .status = UNKNOWN}};
    const ocsp_t spec = {.signer = &ca, .statements = said, .n = 5};
    keys_t keys = {.n = 0};
    int i, j;

    (void)state;
    assert_null(mtls_ocsp_response_keys(pool, ocsp_make(pool, &spec), collect, &keys));
    assert_int_equal(keys.n, 4);
    assert_span_equal(keys.v[0], mtls_ocsp_certid_key(pool, &ours, MTLS_OCSP_SHA1));
    assert_span_equal(keys.v[1], mtls_ocsp_certid_key(pool, &negative, MTLS_OCSP_SHA256));
    assert_span_equal(keys.v[2], mtls_ocsp_certid_key(pool, &ours, MTLS_OCSP_SHA256));
    assert_span_equal(keys.v[3], mtls_ocsp_certid_key(pool, &others, MTLS_OCSP_SHA256));
    for (i = 0; i < keys.n; i++) {
        assert_true(keys.v[i].len > 40);
        for (j = 0; j < i; j++)
            assert_false(mtls_span_equal(keys.v[i], keys.v[j]));
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static char *put(char *at, int tag, const char *data, int len)
{
    at[0] = (char)tag;
    at[1] = (char)len;
    memcpy(at + 2, data, (size_t)len);
    return at + 2 + len;
}

/* Hashes of a length that is not theirs: a byte moved from one to the other, so that both together
 * are the same; one that is too short, and a longer serial. */
static void keys_of_odd_hashes(void **state)
{
    const ocsp_statement_t said = {.hash = NID_sha1};
    issuer_t ca = ca_named("CA", 0);
    mtls_ocsp_subject_t subject = subject_of(ca.x, "1001");
    const ocsp_t spec = {.signer = &ca, .statements = &said, .n = 1};
    mtls_span_t der = ocsp_make(pool, &spec), patched,
                key = mtls_ocsp_certid_key(pool, &subject, MTLS_OCSP_SHA1);
    const char *name = apr_pstrmemdup(pool, key.data + strlen("sha1"), 20),
               *by = apr_pstrmemdup(pool, key.data + strlen("sha1") + 20, 20);
    char right[48], moved[48], cut[48];
    keys_t keys = {.n = 0};

    (void)state;
    assert_null(mtls_ocsp_response_keys(pool, der, collect, &keys));
    assert_int_equal(keys.n, 1);
    assert_span_equal(keys.v[0], key);
    put(put(put(right, 4, name, 20), 4, by, 20), 2, "\x10\x01", 2);
    put(put(put(moved, 4, name, 19), 4, key.data + strlen("sha1") + 19, 21), 2, "\x10\x01", 2);
    put(put(put(cut, 4, name, 19), 4, by, 20), 2, "\x01\x10\x01", 3);
    patched = ocsp_patched(pool, der, mtls_span(right, 48), mtls_span(moved, 48));
    assert_null(mtls_ocsp_response_keys(pool, patched, collect, &keys));
    patched = ocsp_patched(pool, der, mtls_span(right, 48), mtls_span(cut, 48));
    assert_null(mtls_ocsp_response_keys(pool, patched, collect, &keys));
    assert_int_equal(keys.n, 1);
}

static void keys_of_what_is_none(void **state)
{
    keys_t keys = {.n = 0};
    mtls_span_t der = ocsp_simple(pool, &(issuer_t){ca_named("CA", 0).x, key_get(KEY_P256, 0)},
                                  "1001", GOOD, WORLD_NOW, WORLD_NOW + DAY);

    (void)state;
    assert_message(mtls_ocsp_response_keys(pool, mtls_span_of("x"), collect, &keys), "no OCSP");
    assert_message(mtls_ocsp_response_keys(pool, mtls_span(NULL, 0), collect, &keys), "no OCSP");
    assert_message(mtls_ocsp_response_keys(pool, ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER),
                                           collect, &keys),
                   "tryLater");
    assert_message(mtls_ocsp_response_keys(pool, mtls_span(der.data, der.len - 1), collect, &keys),
                   "no OCSP");
    assert_int_equal(keys.n, 0);
    assert_null(mtls_ocsp_response_keys(pool, der, collect, &keys));
    assert_int_equal(keys.n, 1);
}

/* ---- age ---- */

/* Seconds from WORLD_NOW on; 0 for `next`: none; for the signer: the issuer itself. */
typedef struct age_row_t {
    const char *name;
    int this_update, next, produced, signer_from, signer_until;
    const char *words;
    int ends;
} age_row_t;

#define SKEW    300
#define MAX_AGE 3600
#define D       86400

static const age_row_t ages[] = {
    {"fresh", -60, D, -60, 0, 0, NULL, D},
    {"made now, for one moment", 0, 1, 0, 0, 0, NULL, 1},
    {"of a clock that is ahead, within the skew", SKEW, D, SKEW, 0, 0, NULL, D},
    {"O12: of the future", SKEW + 1, D, 0, 0, 0, "thisUpdate|future", D},
    {"O12: produced in the future", -60, D, SKEW + 1, 0, 0, "producedAt|future", D},
    {"past nextUpdate, within the skew", -D, -SKEW, -D, 0, 0, NULL, -SKEW},
    {"O1: past nextUpdate", -D, -SKEW - 1, -D, 0, 0, "nextUpdate has passed", -SKEW - 1},
    {"older than the greatest age, but with nextUpdate", -9 * D, D, -9 * D, 0, 0, NULL, D},
    {"O11: no nextUpdate", -60, 0, -60, 0, 0, NULL, MAX_AGE - 60},
    {"O11: no nextUpdate, at the greatest age and skew", -MAX_AGE - SKEW, 0, 0, 0, 0, NULL, -SKEW},
    {"O11: no nextUpdate, older", -MAX_AGE - SKEW - 1, 0, 0, 0, 0, "no nextUpdate|too old",
     -SKEW - 1},
    {"a delegate in force", -60, D, -60, -D, 2 * D, NULL, D},
    {"a delegate that ends sooner", -60, D, -60, -D, 60, NULL, 61},
    {"a delegate in its last second", -60, D, -60, -D, 0, NULL, 1},
    {"a delegate's last second has passed", -60, D, -60, -D, -1, "signer|expired", 0},
    {"O4: a delegate that has expired: no skew", -60, D, -60, -D, -2, "signer|expired", -1},
    {"a delegate from now on", -60, D, -60, 1, D, "signer|not yet valid", D},
};

static apr_time_t from_now(int seconds)
{
    return WORLD_NOW + seconds * SECOND;
}

static void age(void **state)
{
    const age_row_t *row = *state;
    const mtls_ocsp_limits_t limits = {SKEW * SECOND, MAX_AGE * SECOND};
    mtls_status_t status;

    for (status = MTLS_STATUS_GOOD; status <= MTLS_STATUS_UNKNOWN; status++) {
        mtls_ocsp_proof_t proof = {.status = status,
                                   .this_update = from_now(row->this_update),
                                   .produced_at = from_now(row->produced),
                                   .signer_until = MTLS_FOREVER};
        if (row->next)
            proof.next_update = from_now(row->next);
        if (row->signer_from) {
            proof.signer_from = from_now(row->signer_from);
            proof.signer_until = from_now(row->signer_until);
        }
        assert_message(mtls_ocsp_stale(&proof, &limits, WORLD_NOW), row->words);
        assert_true(mtls_ocsp_ends(&proof, &limits) == from_now(row->ends));
    }
}

static void age_at_the_ends_of_time(void **state)
{
    const mtls_ocsp_limits_t limits = {MTLS_FOREVER, MTLS_FOREVER}, none = {0, 0};
    mtls_ocsp_proof_t proof = {
        .status = MTLS_STATUS_GOOD, .this_update = WORLD_NOW, .signer_until = MTLS_FOREVER};
    const mtls_ocsp_proof_t nothing = {.status = MTLS_STATUS_UNAVAILABLE};

    (void)state;
    assert_null(mtls_ocsp_stale(&proof, &limits, WORLD_NOW));
    assert_true(mtls_ocsp_ends(&proof, &limits) == MTLS_FOREVER);
    assert_null(mtls_ocsp_stale(&proof, &none, WORLD_NOW));
    assert_non_null(mtls_ocsp_stale(&proof, &none, WORLD_NOW + 1));
    assert_non_null(mtls_ocsp_stale(&proof, &none, WORLD_NOW - 1));
    assert_message(mtls_ocsp_stale(&nothing, &limits, WORLD_NOW), "nothing is proved");
    for (proof.status = MTLS_STATUS_NO_RESPONDER; proof.status <= MTLS_STATUS_NOT_ASKED + 1;
         proof.status++)
        assert_message(mtls_ocsp_stale(&proof, &limits, WORLD_NOW), "nothing is proved");
}

static void newer(void **state)
{
    static const struct {
        int this_a, produced_a, this_b, produced_b;
        mtls_status_t a, b;
        int newer;
    } rows[] = {
        {2, 0, 1, 9, MTLS_STATUS_GOOD, MTLS_STATUS_REVOKED, 1}, /* off hold again */
        {1, 9, 2, 0, MTLS_STATUS_REVOKED, MTLS_STATUS_GOOD, 0},
        {1, 2, 1, 1, MTLS_STATUS_GOOD, MTLS_STATUS_REVOKED, 1},
        {1, 1, 1, 2, MTLS_STATUS_REVOKED, MTLS_STATUS_GOOD, 0},
        {1, 1, 1, 1, MTLS_STATUS_REVOKED, MTLS_STATUS_GOOD, 1},
        {1, 1, 1, 1, MTLS_STATUS_REVOKED, MTLS_STATUS_UNKNOWN, 1},
        {1, 1, 1, 1, MTLS_STATUS_GOOD, MTLS_STATUS_REVOKED, 0},
        {1, 1, 1, 1, MTLS_STATUS_GOOD, MTLS_STATUS_GOOD, 0},
        {1, 1, 1, 1, MTLS_STATUS_REVOKED, MTLS_STATUS_REVOKED, 0},
        {1, 1, 1, 1, MTLS_STATUS_UNKNOWN, MTLS_STATUS_GOOD, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(rows); i++) {
        const mtls_ocsp_proof_t a = {.status = rows[i].a,
                                     .this_update = from_now(rows[i].this_a),
                                     .produced_at = from_now(rows[i].produced_a)},
                                b = {.status = rows[i].b,
                                     .this_update = from_now(rows[i].this_b),
                                     .produced_at = from_now(rows[i].produced_b)};
        assert_int_equal(mtls_ocsp_newer(&a, &b), rows[i].newer);
    }
}

/* ---- responders of a certificate ---- */

typedef struct access_t {
    int method, type;
    const char *data;
    int len; /* 0: up to the NUL */
} access_t;

static X509 *with_access(const access_t *all)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "leaf", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);
    AUTHORITY_INFO_ACCESS *aia = AUTHORITY_INFO_ACCESS_new();

    for (; all->data; all++) {
        ACCESS_DESCRIPTION *one = ACCESS_DESCRIPTION_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        int len = all->len ? all->len : (int)strlen(all->data);
        assert_true(one && text && ASN1_STRING_set(text, all->data, len));
        ASN1_OBJECT_free(one->method);
        one->method = OBJ_nid2obj(all->method);
        GENERAL_NAME_set0_value(one->location, all->type, text);
        assert_true(sk_ACCESS_DESCRIPTION_push(aia, one) > 0);
    }
    assert_int_equal(X509_add1_ext_i2d(x, NID_info_access, aia, 0, 0), 1);
    AUTHORITY_INFO_ACCESS_free(aia);
    return x;
}

typedef struct url_row_t {
    const char *name;
    access_t all[7];
    const char *expected; /* joined by blanks */
} url_row_t;

#define OCSP_URI  NID_ad_OCSP, GEN_URI
#define TEN(text) text text text text text text text text text text
#define U2000     TEN(TEN("12345678901234567890"))

static const url_row_t urls[] = {
    {"one", {{OCSP_URI, "http://o.example/x", 0}}, "http://o.example/x"},
    {"http and https in any case",
     {{OCSP_URI, "HTTP://A/", 0}, {OCSP_URI, "hTTps://b", 0}},
     "HTTP://A/ hTTps://b"},
    {"caIssuers is none", {{NID_ad_ca_issuers, GEN_URI, "http://c/", 0}}, ""},
    {"another kind of name", {{NID_ad_OCSP, GEN_DNS, "http://c/", 0}}, ""},
    {"an email address", {{NID_ad_OCSP, GEN_EMAIL, "http://c/", 0}}, ""},
    {"O20: file", {{OCSP_URI, "file:///etc/passwd", 0}}, ""},
    {"O20: gopher", {{OCSP_URI, "gopher://127.0.0.1/", 0}}, ""},
    {"O20: ldap", {{OCSP_URI, "ldap://a/", 0}}, ""},
    {"O20: httpx, http:/, http",
     {{OCSP_URI, "httpx://a", 0}, {OCSP_URI, "http:/a", 0}, {OCSP_URI, "http", 0}},
     ""},
    {"nothing behind the scheme", {{OCSP_URI, "http://", 0}, {OCSP_URI, "https://", 0}}, ""},
    {"O20: a line end", {{OCSP_URI, "http://a/\r\nHost: b", 0}}, ""},
    {"O20: a NUL", {{OCSP_URI, "http://a/\0.b", 12}}, ""},
    {"a blank", {{OCSP_URI, "http://a/ b", 0}, {OCSP_URI, " http://a/", 0}}, ""},
    {"a DEL, a byte above ASCII",
     {{OCSP_URI, "http://a/\x7f", 0}, {OCSP_URI, "http://\xc3\xa4/", 0}},
     ""},
    {"a bad one among good ones",
     {{OCSP_URI, "http://a/", 0}, {OCSP_URI, "ftp://b/", 0}, {OCSP_URI, "http://c/", 0}},
     "http://a/ http://c/"},
    {"the first four",
     {{OCSP_URI, "http://1", 0},
      {OCSP_URI, "http://2", 0},
      {OCSP_URI, "http://3", 0},
      {OCSP_URI, "http://4", 0},
      {OCSP_URI, "http://5", 0}},
     "http://1 http://2 http://3 http://4"},
    {"2048 bytes",
     {{OCSP_URI, "http://a/" U2000 "123456789012345678901234567890123456789", 0}},
     "http://a/" U2000 "123456789012345678901234567890123456789"},
    {"2049 bytes",
     {{OCSP_URI, "http://a/" U2000 "1234567890123456789012345678901234567890", 0}},
     ""},
};

static void url(void **state)
{
    const url_row_t *row = *state;

    assert_string_equal(apr_array_pstrcat(pool, mtls_ocsp_urls(pool, with_access(row->all)), ' '),
                        row->expected);
    assert_int_equal(ERR_peek_error(), 0);
}

static void no_urls(void **state)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "leaf", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);

    (void)state;
    assert_int_equal(mtls_ocsp_urls(pool, x)->nelts, 0);
    certificate_add_raw(x, "1.3.6.1.5.5.7.1.1", 0, "\x30\x7f", 2, key_get(KEY_P256, 0));
    assert_int_equal(mtls_ocsp_urls(pool, x)->nelts, 0);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- tokens ---- */

static void tokens(void **state)
{
    (void)state;
    assert_string_equal(mtls_status_token(MTLS_STATUS_UNAVAILABLE), "unavailable");
    assert_string_equal(mtls_status_token(MTLS_STATUS_GOOD), "good");
    assert_string_equal(mtls_status_token(MTLS_STATUS_REVOKED), "revoked");
    assert_string_equal(mtls_status_token(MTLS_STATUS_UNKNOWN), "unknown");
    assert_string_equal(mtls_status_token(MTLS_STATUS_NO_RESPONDER), "no_responder");
    assert_string_equal(mtls_status_token(MTLS_STATUS_EXEMPT), "exempt");
    assert_null(mtls_status_token(MTLS_STATUS_NOT_ASKED));
    assert_null(mtls_status_token((mtls_status_t)77));
}

int main(void)
{
    SUITE_CASE(tokens);
    SUITE_TABLE(statement, statements);
    SUITE_CASE(response_extensions);
    SUITE_TABLE(time_of_response, times);
    SUITE_CASE(no_next_update);
    SUITE_TABLE(nonce, nonces);
    SUITE_CASE(nonces_in_other_words);
    SUITE_CASE(requests);
    SUITE_CASE(request_and_answer);
    SUITE_CASE(keys_of_responses);
    SUITE_CASE(keys_of_odd_hashes);
    SUITE_CASE(keys_of_what_is_none);
    SUITE_TABLE(age, ages);
    SUITE_CASE(age_at_the_ends_of_time);
    SUITE_CASE(newer);
    SUITE_TABLE(url, urls);
    SUITE_CASE(no_urls);
    return suite_run("ocsp_message", 126);
}
