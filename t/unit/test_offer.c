/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/offer: what a stapled response is worth, beside what is known and alone. */

#include "suite.h"

#include <openssl/ocsp.h>

#include "certificates.h"
#include "ocsp.h"
#include "ocsp/offer.h"
#include "policy/limits.h"

/* Times of rows are seconds from WORLD_NOW. */
#define AT(seconds) (WORLD_NOW + apr_time_from_sec(seconds))
#define SKEW        300
#define MAX_AGE     3600
#define HOUR        3600
#define DAY         86400

#define GOOD    V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

typedef struct scene_t {
    issuer_t ca, other; /* of the same name */
    mtls_ocsp_subject_t subject;
    mtls_proofs_t *proofs;
    mtls_offer_terms_t terms;
} scene_t;

static issuer_t make_ca(int key)
{
    certificate_t spec = {.subject = {{"CN", 0, "CA", 0, 0}},
                          .key = key,
                          .serial = "CA1",
                          .extensions = {"basicConstraints=critical,CA:TRUE",
                                         "keyUsage=critical,keyCertSign,cRLSign",
                                         "subjectKeyIdentifier=hash"}};
    issuer_t ca = {certificate_make(pool, &spec, NULL), key_get(KEY_P256, key)};

    return ca;
}

static void begin(scene_t *scene)
{
    static const certificate_t leaf = {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 1};

    memset(scene, 0, sizeof(*scene));
    scene->ca = make_ca(0);
    scene->other = make_ca(2);
    scene->subject.issuer = scene->ca.x;
    scene->subject.serial = X509_get_serialNumber(certificate_make(pool, &leaf, &scene->ca));
    scene->proofs = mtls_proofs_make(pool, NULL);
    assert_non_null(scene->proofs);
    scene->terms.now = WORLD_NOW;
    scene->terms.limits.skew = apr_time_from_sec(SKEW);
    scene->terms.limits.max_age = apr_time_from_sec(MAX_AGE);
}

/* A response; without `from` and `to` there is none. */
typedef struct said_t {
    int status;
    long from, to;
} said_t;

static mtls_span_t response_of(const scene_t *scene, const said_t *said)
{
    if (!said->from && !said->to)
        return mtls_span(NULL, 0);
    return ocsp_simple(pool, &scene->ca, "1001", said->status, AT(said->from), AT(said->to));
}

/* ---- what does not count ---- */

typedef struct refusal_row_t {
    const char *name;
    mtls_span_t (*make)(const scene_t *scene);
    const char *words;
} refusal_row_t;

static mtls_span_t said(const scene_t *scene, int status, long from, long to)
{
    said_t spec = {status, from, to};

    return response_of(scene, &spec);
}

static mtls_span_t none(const scene_t *scene)
{
    (void)scene;
    return mtls_span("", 0);
}

static mtls_span_t garbage(const scene_t *scene)
{
    (void)scene;
    return mtls_span_of("garbage");
}

static mtls_span_t huge(const scene_t *scene)
{
    char *bytes = apr_palloc(pool, MTLS_MAX_OCSP_BYTES + 1);
    mtls_span_t good = said(scene, GOOD, -60, DAY);

    memset(bytes, 0, MTLS_MAX_OCSP_BYTES + 1);
    memcpy(bytes, good.data, good.len);
    return mtls_span(bytes, MTLS_MAX_OCSP_BYTES + 1);
}

static mtls_span_t followed(const scene_t *scene)
{
    mtls_span_t good = said(scene, GOOD, -60, DAY);

    return mtls_span(memcpy(apr_pcalloc(pool, good.len + 1), good.data, good.len), good.len + 1);
}

static mtls_span_t try_later(const scene_t *scene)
{
    (void)scene;
    return ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER);
}

static mtls_span_t foreign(const scene_t *scene)
{
    return ocsp_simple(pool, &scene->ca, "1002", GOOD, AT(-60), AT(DAY));
}

static mtls_span_t other_issuer(const scene_t *scene)
{
    return ocsp_simple(pool, &scene->other, "1001", GOOD, AT(-60), AT(DAY));
}

static mtls_span_t other_key(const scene_t *scene)
{
    ocsp_statement_t statement = {.status = GOOD};
    ocsp_t spec = {
        .signer = &scene->other, .issuer = scene->ca.x, .statements = &statement, .n = 1};

    return ocsp_make(pool, &spec);
}

static mtls_span_t other_key_revoked(const scene_t *scene)
{
    ocsp_statement_t statement = {.status = REVOKED};
    ocsp_t spec = {
        .signer = &scene->other, .issuer = scene->ca.x, .statements = &statement, .n = 1};

    return ocsp_make(pool, &spec);
}

static mtls_span_t run_out(const scene_t *scene)
{
    return said(scene, GOOD, -DAY, -SKEW - 1);
}

static mtls_span_t ahead(const scene_t *scene)
{
    return said(scene, GOOD, SKEW + 1, DAY);
}

static mtls_span_t revoked_ahead(const scene_t *scene)
{
    return said(scene, REVOKED, SKEW + 1, DAY);
}

static mtls_span_t unknown(const scene_t *scene)
{
    return said(scene, UNKNOWN, -60, DAY);
}

static const refusal_row_t refusals[] = {
    {"none", none, ""},
    {"garbage", garbage, ""},
    {"one that is too large", huge, ""},
    {"one with a byte behind it", followed, ""},
    {"tryLater", try_later, ""},
    {"another certificate's", foreign, "does not speak of this certificate"},
    {"one of another issuer of that name", other_issuer, "does not speak of this certificate"},
    {"one that another key has signed", other_key, ""},
    {"a revocation that another key has signed", other_key_revoked, ""},
    {"one that has run out", run_out, "its nextUpdate has passed"},
    {"one that is not in force yet", ahead, "lies in the future"},
    {"a revocation that is not in force yet", revoked_ahead, "lies in the future"},
    {"one that does not know the certificate", unknown, "does not know the certificate"},
};

static void refusal_case(void **state)
{
    const refusal_row_t *row = *state;
    static const mtls_ocsp_record_t nothing;
    mtls_ocsp_record_t record = nothing, before;
    mtls_ocsp_proof_t proof;
    mtls_span_t der;
    scene_t scene;

    begin(&scene);
    der = row->make(&scene);
    assert_int_equal(mtls_offer_counts(scene.proofs, &scene.subject, der, &scene.terms, &proof), 0);
    assert_message(mtls_offer_refusal(&scene.subject, der, &scene.terms), row->words);
    assert_int_equal(mtls_offer_add(scene.proofs, &scene.subject, der, &scene.terms, &record), 0);
    assert_memory_equal(&record, &nothing, sizeof(record));
    record.response = said(&scene, GOOD, -DAY, DAY);
    record.fetched_at = AT(-10);
    before = record;
    assert_int_equal(mtls_offer_add(scene.proofs, &scene.subject, der, &scene.terms, &record), 0);
    assert_memory_equal(&record, &before, sizeof(record));
}

/* ---- what does ---- */

#define NEVER 123456789L /* a time of a record that is not known */

typedef struct add_row_t {
    const char *name;
    said_t response, revocation;
    long fetched, checked;
    said_t offered;
    int counts, revokes; /* it is the record's response then, its revocation */
    mtls_status_t status;
    mtls_lookup_due_t due;
    long valid;
} add_row_t;

#define S(name) MTLS_STATUS_##name
#define D(name) MTLS_DUE_##name
#define NONE                                                                                       \
    {                                                                                              \
        0, 0, 0                                                                                    \
    }

/* clang-format off */
static const add_row_t added[] = {
    /* alone: as if it had been fetched at its thisUpdate */
    {"good", NONE, NONE, NEVER, NEVER, {GOOD, -60, DAY},
     1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"good, half of its life to come", NONE, NONE, NEVER, NEVER, {GOOD, -60, 240},
     1, 0, S(GOOD), D(NOT), 90},
    {"good, MaxAge nearly over", NONE, NONE, NEVER, NEVER, {GOOD, 1 - MAX_AGE, DAY},
     1, 0, S(GOOD), D(NOT), 1},
    {"good, MaxAge over: asked for behind it", NONE, NONE, NEVER, NEVER, {GOOD, -MAX_AGE, DAY},
     1, 0, S(GOOD), D(BEHIND), 1},
    {"good, twice MaxAge over: waited for", NONE, NONE, NEVER, NEVER, {GOOD, -2 * MAX_AGE, DAY},
     1, 0, S(GOOD), D(WAIT), 1},
    {"good, over by less than the skew", NONE, NONE, NEVER, NEVER, {GOOD, -HOUR, 1 - SKEW},
     1, 0, S(GOOD), D(BEHIND), 1},
    {"good, ahead by less than the skew", NONE, NONE, NEVER, NEVER, {GOOD, SKEW - 1, DAY},
     1, 0, S(GOOD), D(NOT), SKEW - 1 + MAX_AGE},
    {"revoked", NONE, NONE, NEVER, NEVER, {REVOKED, -60, DAY},
     1, 1, S(REVOKED), D(NOT), MAX_AGE - 60},
    {"revoked, run out years ago", NONE, NONE, NEVER, NEVER, {REVOKED, -900 * DAY, -800 * DAY},
     1, 1, S(REVOKED), D(BEHIND), 1},

    /* beside a response */
    {"newer, both good: as old as it is", {GOOD, -HOUR, DAY}, NONE, -10, -10, {GOOD, -60, DAY},
     1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"newer, and still too old: somebody has looked lately",
     {GOOD, -DAY, DAY}, NONE, -10, -10, {GOOD, -2 * MAX_AGE, DAY},
     1, 0, S(GOOD), D(BEHIND), 1},
    {"older, both good", {GOOD, -60, DAY}, NONE, -10, -10, {GOOD, -HOUR, 2 * DAY},
     0, 0, S(GOOD), D(NOT), MAX_AGE - 10},
    {"newer than one that has run out", {GOOD, -2 * DAY, -DAY}, NONE, -DAY, -DAY,
     {GOOD, -60, DAY}, 1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"newer than one that did not know", {UNKNOWN, -HOUR, DAY}, NONE, -10, -10, {GOOD, -60, DAY},
     1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"older than one that did not know", {UNKNOWN, -60, DAY}, NONE, -10, -10, {GOOD, -HOUR, DAY},
     0, 0, S(UNKNOWN), D(NOT), 50},
    {"a record that lies ahead", {GOOD, SKEW + 10, DAY}, NONE, -10, -10, {GOOD, -60, DAY},
     1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"revoked, newer", {GOOD, -HOUR, DAY}, NONE, -10, -10, {REVOKED, -60, DAY},
     1, 1, S(REVOKED), D(NOT), MAX_AGE - 60},
    {"revoked, older than a good", {GOOD, -60, DAY}, NONE, -10, -10, {REVOKED, -HOUR, DAY},
     0, 0, S(GOOD), D(NOT), MAX_AGE - 10},
    {"revoked, older than one that does not know", {UNKNOWN, -60, DAY}, NONE, -10, -10,
     {REVOKED, -HOUR, DAY}, 0, 1, S(REVOKED), D(NOT), MAX_AGE - 10},

    /* beside a revocation: an old good one that is shown again does not undo it */
    {"good, older than a revocation", {REVOKED, -60, DAY}, {REVOKED, -60, DAY}, -10, -10,
     {GOOD, -HOUR, DAY}, 0, 0, S(REVOKED), D(NOT), MAX_AGE - 10},
    {"good, of the revocation's second", {REVOKED, -60, DAY}, {REVOKED, -60, DAY}, -10, -10,
     {GOOD, -60, DAY}, 0, 0, S(REVOKED), D(NOT), MAX_AGE - 10},
    {"good, newer than the response and older than the revocation",
     {GOOD, -2 * HOUR, DAY}, {REVOKED, -60, DAY}, -10, -10, {GOOD, -HOUR, DAY},
     0, 0, S(REVOKED), D(NOT), MAX_AGE - 10},
    {"good, newer than the revocation", {REVOKED, -HOUR, DAY}, {REVOKED, -HOUR, DAY}, -10, -10,
     {GOOD, -60, DAY}, 1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"good, newer than a revocation that nobody has put aside", {REVOKED, -HOUR, DAY}, NONE, -10,
     -10, {GOOD, -60, DAY}, 1, 0, S(GOOD), D(NOT), MAX_AGE - 60},
    {"good, older than a revocation that only the response tells", {REVOKED, -60, DAY}, NONE, -10,
     -10, {GOOD, -HOUR, DAY}, 0, 0, S(REVOKED), D(NOT), MAX_AGE - 10},
};
/* clang-format on */

static apr_time_t time_of(long seconds)
{
    return seconds == NEVER ? 0 : AT(seconds);
}

/* Whether the record is what the row says. */
static void assert_record(const mtls_ocsp_record_t *record, const mtls_ocsp_record_t *before,
                          const add_row_t *row, mtls_span_t offered)
{
    static const mtls_span_t nothing = {"", 0};

    if (!row->counts && !row->revokes) {
        assert_memory_equal(record, before, sizeof(*record));
        return;
    }
    assert_span_equal(record->response, row->counts ? offered : before->response);
    assert_span_equal(record->revocation, row->revokes ? offered : nothing);
    assert_int_equal(record->fetched_at, row->counts ? 0 : before->fetched_at);
    assert_int_equal(record->checked_at, before->checked_at);
}

static void add_case(void **state)
{
    const add_row_t *row = *state;
    mtls_ocsp_record_t record = {.fetched_at = time_of(row->fetched),
                                 .checked_at = time_of(row->checked)},
                       before;
    mtls_span_t offered;
    mtls_lookup_terms_t terms;
    mtls_lookup_t found;
    scene_t scene;

    begin(&scene);
    terms = (mtls_lookup_terms_t){.now = scene.terms.now, .limits = scene.terms.limits};
    record.response = response_of(&scene, &row->response);
    record.revocation = response_of(&scene, &row->revocation);
    offered = response_of(&scene, &row->offered);
    before = record;
    assert_int_equal(mtls_offer_add(scene.proofs, &scene.subject, offered, &scene.terms, &record),
                     row->counts || row->revokes);
    assert_record(&record, &before, row, offered);
    mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &found);
    assert_int_equal(found.status, row->status);
    assert_int_equal(found.due, row->due);
    assert_int_equal((found.valid_until - WORLD_NOW) / APR_USEC_PER_SEC, row->valid);
}

static void where_a_nonce_is_required_only_a_revocation_counts(void **state)
{
    mtls_ocsp_proof_t proof;
    mtls_span_t good;
    scene_t scene;

    (void)state;
    begin(&scene);
    scene.terms.need_nonce = 1;
    good = said(&scene, GOOD, -60, DAY);
    assert_int_equal(mtls_offer_counts(scene.proofs, &scene.subject, good, &scene.terms, &proof),
                     0);
    assert_message(mtls_offer_refusal(&scene.subject, good, &scene.terms), "nonce");
    assert_int_equal(mtls_offer_counts(scene.proofs, &scene.subject,
                                       said(&scene, REVOKED, -60, DAY), &scene.terms, &proof),
                     1);
    scene.terms.need_nonce = 0;
    assert_int_equal(mtls_offer_counts(scene.proofs, &scene.subject, good, &scene.terms, &proof),
                     1);
}

int main(void)
{
    SUITE_CASE(where_a_nonce_is_required_only_a_revocation_counts);
    SUITE_TABLE(refusal_case, refusals);
    SUITE_TABLE(add_case, added);
    return suite_run("offer", 39);
}
