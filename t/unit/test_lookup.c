/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/lookup: which of a record's responses counts, until when, and when a newer one is due. */

#include "suite.h"

#include <apr_thread_proc.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "certificates.h"
#include "ocsp.h"
#include "ocsp/lookup.h"
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

/* ---- who proves ---- */

/* Linked in place of mtls_ocsp_prove(): counts, and can pretend, for floods. */
static apr_uint32_t proved;
static int pretending;

mtls_ocsp_outcome_t __real_mtls_ocsp_prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                           const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                           const char **detail);
mtls_ocsp_outcome_t __wrap_mtls_ocsp_prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                           const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                           const char **detail);

mtls_ocsp_outcome_t __wrap_mtls_ocsp_prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                           const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                           const char **detail)
{
    __atomic_add_fetch(&proved, 1, __ATOMIC_RELAXED);
    if (!pretending)
        return __real_mtls_ocsp_prove(subject, der, terms, proof, detail);
    memset(proof, 0, sizeof(*proof));
    if (!mtls_span_starts(der, mtls_span_of("good"))) {
        proof->status = MTLS_STATUS_GOOD; /* what a failure leaves is nobody's to read */
        *detail = "pretended";
        return MTLS_OCSP_NOT_PROVED;
    }
    proof->status = MTLS_STATUS_GOOD;
    proof->this_update = proof->produced_at = terms->now;
    proof->next_update = terms->now + (apr_time_t)der.len;
    proof->signer_until = MTLS_FOREVER;
    return MTLS_OCSP_PROVED;
}

/* ---- the scene ---- */

typedef struct scene_t {
    issuer_t ca;
    mtls_ocsp_subject_t subject;
    mtls_proofs_t *proofs;
} scene_t;

static void begin(scene_t *scene)
{
    static const certificate_t ca = {.subject = {{"CN", 0, "CA", 0, 0}},
                                     .serial = "CA1",
                                     .extensions = {"basicConstraints=critical,CA:TRUE",
                                                    "keyUsage=critical,keyCertSign,cRLSign",
                                                    "subjectKeyIdentifier=hash"}};
    static const certificate_t leaf = {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 1};

    memset(scene, 0, sizeof(*scene));
    scene->ca.x = certificate_make(pool, &ca, NULL);
    scene->ca.key = key_get(KEY_P256, 0);
    scene->subject.issuer = scene->ca.x;
    scene->subject.serial = X509_get_serialNumber(certificate_make(pool, &leaf, &scene->ca));
    scene->proofs = mtls_proofs_make(pool, NULL);
    assert_non_null(scene->proofs);
    pretending = 0;
    proved = 0;
}

/* One response of a row; without `from` and `to` there is none. */
typedef struct said_t {
    int status;
    long from, to;   /* NO_END: no nextUpdate */
    const char *der; /* instead: these bytes */
} said_t;

#define NO_END (-999999999L)

static mtls_span_t response_of(const scene_t *scene, const said_t *said)
{
    ocsp_statement_t statement = {.status = said->status,
                                  .from = AT(said->from),
                                  .to = said->to == NO_END ? OCSP_NONE : AT(said->to)};
    ocsp_t spec = {.signer = &scene->ca, .statements = &statement, .n = 1, .produced_at = 0};

    if (said->der)
        return mtls_span_of(said->der);
    if (!said->from && !said->to)
        return mtls_span(NULL, 0);
    spec.produced_at = statement.from;
    return ocsp_make(pool, &spec);
}

/* ---- judging ---- */

#define NEVER 123456789L /* a time of a record that is not known */

typedef struct judge_row_t {
    const char *name;
    said_t response, revocation;
    long fetched, checked, recheck;
    long stale;
    int asked;
    mtls_status_t status;
    mtls_lookup_due_t due;
    long valid; /* 0: at once */
} judge_row_t;

#define S(name) MTLS_STATUS_##name
#define D(name) MTLS_DUE_##name
/* Usual responses: of an hour ago, for two days from then on, and so half over tomorrow. */
#define FRESH(status)                                                                              \
    {                                                                                              \
        status, -HOUR, 2 * DAY - HOUR, NULL                                                        \
    }
/* Of yesterday. */
#define OLD(status)                                                                                \
    {                                                                                              \
        status, -DAY, 2 * DAY, NULL                                                                \
    }
/* Over since an hour. */
#define OVER(status)                                                                               \
    {                                                                                              \
        status, -2 * DAY, -HOUR, NULL                                                              \
    }
#define NONE                                                                                       \
    {                                                                                              \
        0, 0, 0, NULL                                                                              \
    }
#define JUNK                                                                                       \
    {                                                                                              \
        0, 0, 0, "junk"                                                                            \
    }

static const judge_row_t rows[] = {
    {"nothing: worth waiting for", NONE, NONE, NEVER, NEVER, NEVER, 0, 0, S(UNAVAILABLE), D(WAIT),
     1},
    {"nothing, asked: no more to do", NONE, NONE, NEVER, NEVER, NEVER, 0, 1, S(UNAVAILABLE), D(NOT),
     1},
    {"nothing but junk", JUNK, JUNK, -10, -10, NEVER, 0, 0, S(UNAVAILABLE), D(WAIT), 1},
    {"junk, and a good one in the wrong place", JUNK, FRESH(GOOD), -10, -10, NEVER, 0, 0,
     S(UNAVAILABLE), D(WAIT), 1},

    /* one response */
    {"good: MaxAge after it was fetched", FRESH(GOOD), NONE, -10, -10, NEVER, 0, 0, S(GOOD), D(NOT),
     MAX_AGE - 10},
    {"good: half of what was left",
     {GOOD, -HOUR, HOUR, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     -10 + (HOUR + 10) / 2},
    {"good: fetched late in its life",
     {GOOD, -DAY, 1000, NULL},
     NONE,
     -100,
     -100,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     -100 + 1100 / 2},
    {"good: past half",
     {GOOD, -HOUR, 100, NULL},
     NONE,
     -110,
     -110,
     NEVER,
     0,
     0,
     S(GOOD),
     D(BEHIND),
     1},
    {"good: MaxAge over", OLD(GOOD), NONE, -MAX_AGE, -MAX_AGE, NEVER, 0, 0, S(GOOD), D(BEHIND), 1},
    {"good: MaxAge nearly over", FRESH(GOOD), NONE, 1 - MAX_AGE, 1 - MAX_AGE, NEVER, 0, 0, S(GOOD),
     D(NOT), 1},
    {"good: nobody has looked for long", OLD(GOOD), NONE, -2 * MAX_AGE, -2 * MAX_AGE, NEVER, 0, 0,
     S(GOOD), D(WAIT), 1},
    {"good: not quite as long", OLD(GOOD), NONE, 1 - 2 * MAX_AGE, 1 - 2 * MAX_AGE, NEVER, 0, 0,
     S(GOOD), D(BEHIND), 1},
    {"good: looked for in vain not long ago", OLD(GOOD), NONE, -9 * MAX_AGE, -10, NEVER, 0, 0,
     S(GOOD), D(BEHIND), 1},
    {"good: nobody has looked, asked in vain", OLD(GOOD), NONE, -9 * MAX_AGE, -9 * MAX_AGE, NEVER,
     0, 1, S(GOOD), D(NOT), 1},
    {"good: stored by mod_ssl lately",
     {GOOD, -10, DAY, NULL},
     NONE,
     NEVER,
     NEVER,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     MAX_AGE - 10},
    {"good: stored by mod_ssl, old",
     {GOOD, -2 * MAX_AGE, DAY, NULL},
     NONE,
     NEVER,
     NEVER,
     NEVER,
     0,
     0,
     S(GOOD),
     D(WAIT),
     1},
    {"good: no nextUpdate",
     {GOOD, -600, NO_END, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     -10 + 1505},
    {"good: no nextUpdate, too old whenever it was fetched",
     {GOOD, -4000, NO_END, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(UNAVAILABLE),
     D(WAIT),
     1},
    {"good: over", OVER(GOOD), NONE, -10, -10, NEVER, 0, 0, S(UNAVAILABLE), D(WAIT), 1},
    {"good: over by less than the skew",
     {GOOD, -HOUR, 1 - SKEW, NULL},
     NONE,
     -400,
     -400,
     NEVER,
     0,
     0,
     S(GOOD),
     D(BEHIND),
     1},
    {"good: over by more than the skew",
     {GOOD, -HOUR, -1 - SKEW, NULL},
     NONE,
     -400,
     -400,
     NEVER,
     0,
     0,
     S(UNAVAILABLE),
     D(WAIT),
     1},
    {"good: ahead by less than the skew",
     {GOOD, SKEW - 1, DAY, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     MAX_AGE - 10},
    {"good: ahead by more",
     {GOOD, SKEW + 1, DAY, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(UNAVAILABLE),
     D(WAIT),
     1},
    {"unknown: asked for again after a minute", FRESH(UNKNOWN), NONE, -10, -10, NEVER, 0, 0,
     S(UNKNOWN), D(NOT), 50},
    {"unknown: a minute over", FRESH(UNKNOWN), NONE, -60, -60, NEVER, 0, 0, S(UNKNOWN), D(BEHIND),
     1},
    {"unknown: longer over", FRESH(UNKNOWN), NONE, -120, -120, NEVER, 0, 0, S(UNKNOWN), D(WAIT), 1},
    {"unknown: run out", OVER(UNKNOWN), NONE, -10, -10, NEVER, DAY, 1, S(UNAVAILABLE), D(NOT), 1},
    {"revoked", FRESH(REVOKED), NONE, -10, -10, NEVER, 0, 0, S(REVOKED), D(NOT), MAX_AGE - 10},
    {"revoked: MaxAge over", FRESH(REVOKED), NONE, -MAX_AGE, -10, NEVER, 0, 0, S(REVOKED),
     D(BEHIND), 1},
    {"revoked: run out, and a denial waits for nobody", OVER(REVOKED), NONE, -DAY, -DAY, NEVER, 0,
     0, S(REVOKED), D(BEHIND), 1},
    {"revoked: run out, asked", OVER(REVOKED), NONE, -DAY, -DAY, NEVER, 0, 1, S(REVOKED), D(NOT),
     1},
    {"revoked: ahead",
     {REVOKED, SKEW + 10, DAY, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(NOT),
     MAX_AGE - 10},

    /* with a revocation that is kept */
    {"kept: no response any more", NONE, FRESH(REVOKED), -10, -10, NEVER, 0, 0, S(REVOKED), D(NOT),
     MAX_AGE - 10},
    {"kept: run out years ago",
     NONE,
     {REVOKED, -900 * DAY, -800 * DAY, NULL},
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(BEHIND),
     1},
    {"kept: an older good one",
     {GOOD, -2 * HOUR, DAY, NULL},
     FRESH(REVOKED),
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(NOT),
     MAX_AGE - 10},
    {"kept: a good one of the same second", FRESH(GOOD), FRESH(REVOKED), -10, -10, NEVER, 0, 0,
     S(REVOKED), D(NOT), MAX_AGE - 10},
    {"kept: a newer good one",
     {GOOD, 1 - HOUR, DAY, NULL},
     FRESH(REVOKED),
     -10,
     -10,
     NEVER,
     0,
     0,
     S(GOOD),
     D(NOT),
     MAX_AGE - 10},
    {"kept: a newer good one that has run out",
     OVER(GOOD),
     {REVOKED, -3 * DAY, DAY, NULL},
     -10,
     -10,
     NEVER,
     0,
     0,
     S(UNAVAILABLE),
     D(WAIT),
     1},
    {"kept: a good one from the future",
     {GOOD, SKEW + 1, DAY, NULL},
     FRESH(REVOKED),
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(NOT),
     MAX_AGE - 10},
    {"kept: a newer one of a responder that has forgotten",
     {UNKNOWN, -60, DAY, NULL},
     FRESH(REVOKED),
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(NOT),
     MAX_AGE - 10},
    {"kept: an older revocation",
     FRESH(REVOKED),
     {REVOKED, -DAY, -HOUR, NULL},
     -10,
     -10,
     NEVER,
     0,
     0,
     S(REVOKED),
     D(NOT),
     MAX_AGE - 10},
    {"kept: junk", FRESH(GOOD), JUNK, -10, -10, NEVER, 0, 0, S(GOOD), D(NOT), MAX_AGE - 10},
    {"kept: no revocation", OVER(GOOD), FRESH(GOOD), -10, -10, NEVER, 0, 0, S(UNAVAILABLE), D(WAIT),
     1},

    /* MTLSOCSPStale */
    {"stale: not before it was asked for", OVER(GOOD), NONE, -DAY, -DAY, NEVER, DAY, 0,
     S(UNAVAILABLE), D(WAIT), 1},
    {"stale: asked in vain", OVER(GOOD), NONE, -DAY, -DAY, NEVER, DAY, 1, S(GOOD), D(NOT), 1},
    {"stale: counted from its end", OVER(GOOD), NONE, -DAY, -DAY, NEVER, HOUR + 1, 1, S(GOOD),
     D(NOT), 1},
    {"stale: too long past its end", OVER(GOOD), NONE, -DAY, -DAY, NEVER, HOUR, 1, S(UNAVAILABLE),
     D(NOT), 1},
    {"stale: off", OVER(GOOD), NONE, -DAY, -DAY, NEVER, 0, 1, S(UNAVAILABLE), D(NOT), 1},
    {"stale: not one from the future",
     {GOOD, SKEW + 1, DAY, NULL},
     NONE,
     -10,
     -10,
     NEVER,
     DAY,
     1,
     S(UNAVAILABLE),
     D(NOT),
     1},
    {"stale: no help against a revocation",
     {GOOD, -2 * DAY, -HOUR, NULL},
     {REVOKED, -DAY, -HOUR, NULL},
     -DAY,
     -DAY,
     NEVER,
     DAY,
     1,
     S(REVOKED),
     D(NOT),
     1},

    /* times that a cache somebody else writes could hold */
    {"clock: fetched in the future", FRESH(GOOD), NONE, 100 * DAY, -10, NEVER, 0, 0, S(GOOD),
     D(BEHIND), 1},
    {"clock: all in the future",
     {GOOD, -3 * HOUR, DAY, NULL},
     NONE,
     100 * DAY,
     100 * DAY,
     NEVER,
     0,
     0,
     S(GOOD),
     D(WAIT),
     1},
    {"clock: a little ahead", FRESH(GOOD), NONE, SKEW, SKEW, NEVER, 0, 0, S(GOOD), D(NOT),
     SKEW + MAX_AGE},

    /* records from before a moment are to be looked for again */
    {"recheck: before", FRESH(GOOD), NONE, -10, -10, -5, 0, 0, S(GOOD), D(WAIT), 1},
    {"recheck: since", FRESH(GOOD), NONE, -10, -10, -10, 0, 0, S(GOOD), D(NOT), MAX_AGE - 10},
    {"recheck: looked for in vain since", FRESH(GOOD), NONE, -20, -5, -10, 0, 0, S(GOOD), D(NOT),
     MAX_AGE - 20},
    {"recheck: nobody knows",
     {GOOD, -5, DAY, NULL},
     NONE,
     NEVER,
     NEVER,
     -10,
     0,
     0,
     S(GOOD),
     D(WAIT),
     1},
    {"recheck: in the future", FRESH(GOOD), NONE, 100 * DAY, 100 * DAY, -10, 0, 0, S(GOOD),
     D(WAIT), 1},
    {"recheck: revoked", FRESH(REVOKED), NONE, -10, -10, -5, 0, 0, S(REVOKED), D(BEHIND), 1},
    {"recheck: asked", FRESH(GOOD), NONE, -10, -10, -5, 0, 1, S(GOOD), D(NOT), 1},
};

static mtls_lookup_terms_t usual_terms(void)
{
    mtls_lookup_terms_t terms = {.now = WORLD_NOW,
                                 .limits = {apr_time_from_sec(SKEW), apr_time_from_sec(MAX_AGE)}};

    return terms;
}

static apr_time_t time_of(long seconds)
{
    return seconds == NEVER ? 0 : AT(seconds);
}

static void judge_case(void **state)
{
    const judge_row_t *row = *state;
    mtls_lookup_terms_t terms = usual_terms();
    mtls_ocsp_record_t record;
    mtls_lookup_t got;
    scene_t scene;
    int again;

    begin(&scene);
    record.response = response_of(&scene, &row->response);
    record.revocation = response_of(&scene, &row->revocation);
    record.fetched_at = time_of(row->fetched);
    record.checked_at = time_of(row->checked);
    terms.recheck_from = time_of(row->recheck);
    terms.stale = apr_time_from_sec(row->stale);
    terms.asked = row->asked;
    for (again = 0; again < 2; again++) { /* out of the memory it is the same */
        memset(&got, 0x55, sizeof(got));
        mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &got);
        assert_int_equal(got.status, row->status);
        assert_int_equal(got.due, row->due);
        assert_int_equal(apr_time_sec(got.valid_until - WORLD_NOW), row->valid);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void without_a_record_nothing_is_known(void **state)
{
    mtls_lookup_terms_t terms = usual_terms();
    mtls_lookup_t got;
    scene_t scene;

    (void)state;
    begin(&scene);
    mtls_lookup_judge(scene.proofs, &scene.subject, NULL, &terms, &got);
    assert_int_equal(got.status, MTLS_STATUS_UNAVAILABLE);
    assert_int_equal(got.due, MTLS_DUE_WAIT);
    assert_true(got.valid_until == AT(1));
}

/* Whatever moment it is: a status never serves past the response's end, and always a little. */
static void a_status_never_outlives_its_response(void **state)
{
    static const said_t said = {GOOD, -HOUR, 100, NULL};
    mtls_lookup_terms_t terms = usual_terms();
    mtls_ocsp_record_t record = {.fetched_at = AT(-HOUR), .checked_at = AT(99)};
    int good = 0, over = 0;
    mtls_lookup_t got;
    scene_t scene;
    long step;

    (void)state;
    begin(&scene);
    record.response = response_of(&scene, &said);
    for (step = 0; step < 5000; step++) {
        terms.now = WORLD_NOW + step * apr_time_from_msec(100);
        mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &got);
        assert_true(got.valid_until > terms.now);
        if (got.status != MTLS_STATUS_GOOD) {
            over++;
            continue;
        }
        good++;
        assert_true(terms.now <= AT(100 + SKEW));
        assert_true(got.valid_until <= AT(100 + SKEW) + 1);
    }
    assert_int_equal(good, 4001);
    assert_int_equal(over, 999);
}

/* ---- the signer's certificate ---- */

static mtls_span_t response_by_delegate(const scene_t *scene, const issuer_t *delegate, int status)
{
    ocsp_statement_t statement = {.status = status, .from = AT(-HOUR), .to = AT(DAY)};
    ocsp_t spec = {.signer = delegate,
                   .issuer = scene->ca.x,
                   .statements = &statement,
                   .n = 1,
                   .produced_at = AT(-HOUR),
                   .certificates = {delegate->x}};

    return ocsp_make(pool, &spec);
}

static issuer_t short_delegate(const scene_t *scene, long until)
{
    const certificate_t spec = {.subject = {{"CN", 0, "responder", 0, 0}},
                                .serial = "0D1E",
                                .key = 3,
                                .from = AT(-DAY),
                                .to = AT(until),
                                .extensions = {"extendedKeyUsage=OCSPSigning"}};
    issuer_t delegate = {certificate_make(pool, &spec, &scene->ca), key_get(KEY_P256, 3)};

    return delegate;
}

static void a_good_one_ends_with_its_signer_and_a_revocation_does_not(void **state)
{
    mtls_lookup_terms_t terms = usual_terms();
    mtls_ocsp_record_t record = {.fetched_at = AT(-10), .checked_at = AT(-10)};
    mtls_lookup_t got;
    scene_t scene;
    issuer_t delegate;

    (void)state;
    begin(&scene);
    delegate = short_delegate(&scene, 600);
    record.response = response_by_delegate(&scene, &delegate, GOOD);
    mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &got);
    assert_int_equal(got.status, MTLS_STATUS_GOOD);
    assert_int_equal(apr_time_sec(got.valid_until - WORLD_NOW), 295);
    terms.now = AT(602);
    mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &got);
    assert_int_equal(got.status, MTLS_STATUS_UNAVAILABLE);
    record.response = response_by_delegate(&scene, &delegate, REVOKED);
    mtls_lookup_judge(scene.proofs, &scene.subject, &record, &terms, &got);
    assert_int_equal(got.status, MTLS_STATUS_REVOKED);
    terms.now = AT(100 * DAY);
    mtls_lookup_judge(NULL, &scene.subject, &record, &terms, &got);
    assert_int_equal(got.status, MTLS_STATUS_REVOKED);
}

/* ---- when a newer one is due ---- */

static void renewals_of_a_response_that_is_fetched_again_come_to_an_end(void **state)
{
    const mtls_ocsp_limits_t limits = {apr_time_from_sec(SKEW), apr_time_from_sec(MAX_AGE)};
    mtls_ocsp_proof_t proof = {.status = MTLS_STATUS_GOOD,
                               .this_update = AT(-DAY),
                               .next_update = AT(1000),
                               .signer_until = MTLS_FOREVER};
    mtls_ocsp_record_t record = {.fetched_at = WORLD_NOW};
    apr_time_t now = WORLD_NOW;
    int fetches;

    (void)state;
    assert_true(mtls_lookup_renew_at(&proof, NULL, &limits, now) == AT(MAX_AGE - DAY));
    for (fetches = 0; now < AT(990); fetches++) {
        now = mtls_lookup_renew_at(&proof, &record, &limits, now);
        assert_true(now > record.fetched_at && now <= AT(1000));
        record.fetched_at = now;
    }
    assert_int_equal(fetches, 7);
    proof.status = MTLS_STATUS_UNKNOWN;
    record.fetched_at = WORLD_NOW;
    assert_true(mtls_lookup_renew_at(&proof, &record, &limits, WORLD_NOW) == AT(60));
}

/* ---- proofs that are remembered ---- */

static int ask(const scene_t *scene, mtls_span_t der)
{
    mtls_ocsp_proof_t proof;
    int found;

    memset(&proof, 0x55, sizeof(proof));
    found = mtls_proofs_ask(scene->proofs, &scene->subject, der, WORLD_NOW, &proof);
    assert_int_equal(proof.status, found ? MTLS_STATUS_GOOD : MTLS_STATUS_UNAVAILABLE);
    assert_true(found || (proof.this_update == 0 && proof.signer_until == 0));
    return found;
}

static void a_signature_is_verified_once(void **state)
{
    static const said_t said = FRESH(GOOD);
    scene_t scene;
    mtls_span_t der;

    (void)state;
    begin(&scene);
    der = response_of(&scene, &said);
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(ask(&scene, mtls_span_copy(pool, der)), 1);
    assert_int_equal(proved, 1);
    scene.proofs = NULL;
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(proved, 3);
}

/* O8: another CA of the same name, the same serial. */
static void a_proof_is_for_one_subject_only(void **state)
{
    static const said_t said = FRESH(GOOD);
    static const certificate_t other_leaf = {
        .subject = {{"CN", 0, "leaf", 0, 0}}, .serial = "1002", .key = 1};
    static const certificate_t same_name = {
        .subject = {{"CN", 0, "CA", 0, 0}}, .serial = "CA1", .key = 5};
    const ASN1_INTEGER *serial;
    scene_t scene;
    mtls_span_t der;

    (void)state;
    begin(&scene);
    serial = scene.subject.serial;
    der = response_of(&scene, &said);
    assert_int_equal(ask(&scene, der), 1);
    scene.subject.serial = X509_get_serialNumber(certificate_make(pool, &other_leaf, NULL));
    assert_int_equal(ask(&scene, der), 0);
    scene.subject.serial = serial;
    scene.subject.issuer = certificate_make(pool, &same_name, NULL);
    assert_int_equal(ask(&scene, der), 0);
    scene.subject.issuer = scene.ca.x;
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(
        ask(&scene, ocsp_patched(pool, der, mtls_span("\x30", 1), mtls_span("\x31", 1))), 0);
    assert_int_equal(proved, 4);
}

/* A responder that is trusted no longer. */
static void a_proof_is_for_its_responders_only(void **state)
{
    static const certificate_t local = {.subject = {{"CN", 0, "local", 0, 0}}, .key = 6};
    scene_t scene;
    issuer_t responder;
    mtls_span_t der;

    (void)state;
    begin(&scene);
    responder.x = certificate_make(pool, &local, NULL);
    responder.key = key_get(KEY_P256, 6);
    der = response_by_delegate(&scene, &responder, GOOD);
    assert_int_equal(ask(&scene, der), 0);
    scene.subject.responders = stack_of(pool, responder.x, NULL);
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(ask(&scene, der), 1);
    assert_int_equal(proved, 2);
    scene.subject.responders = stack_of(pool, scene.ca.x, NULL);
    assert_int_equal(ask(&scene, der), 0);
    scene.subject.responders = NULL;
    assert_int_equal(ask(&scene, der), 0);
}

/* ---- between processes ---- */

static void what_one_process_has_proved_the_others_know(void **state)
{
    void *memory = apr_palloc(pool, mtls_proofs_bytes());
    static const said_t good = FRESH(GOOD);
    mtls_ocsp_proof_t first, second;
    mtls_proofs_t *other;
    mtls_span_t der;
    scene_t scene;

    (void)state;
    begin(&scene);
    assert_int_equal(mtls_proofs_begin(memory), 1);
    scene.proofs = mtls_proofs_make(pool, memory);
    other = mtls_proofs_make(pool, memory);
    der = response_of(&scene, &good);
    assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, WORLD_NOW, &first), 1);
    assert_int_equal(proved, 1);
    assert_int_equal(mtls_proofs_ask(other, &scene.subject, der, WORLD_NOW, &second), 1);
    assert_int_equal(proved, 1);
    assert_memory_equal(&first, &second, sizeof(first));
}

/* A process can be killed while it writes: whatever is left there says nothing else than what was
 * proved. */
static void an_entry_that_is_half_written_is_none(void **state)
{
    apr_size_t i, size = mtls_proofs_bytes(), flips = 0;
    unsigned char *memory = apr_palloc(pool, size), *whole = apr_palloc(pool, size);
    static const said_t good = FRESH(GOOD);
    mtls_ocsp_proof_t first, second;
    mtls_span_t der;
    scene_t scene;

    (void)state;
    begin(&scene);
    assert_int_equal(mtls_proofs_begin(memory), 1);
    scene.proofs = mtls_proofs_make(pool, memory);
    der = response_of(&scene, &good);
    assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, WORLD_NOW, &first), 1);
    memcpy(whole, memory, size);
    for (i = 0; i < size; i++) {
        if (!whole[i])
            continue;
        memory[i] ^= 0xff;
        assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, WORLD_NOW, &second), 1);
        assert_memory_equal(&first, &second, sizeof(first));
        memcpy(memory, whole, size);
        flips++;
    }
    assert_true(flips > 100); /* seed, key, proof, seal */
    assert_true(proved > 90); /* mostly it had to be proved anew */
}

/* O26: what was proved may lie too far ahead of a clock that was set back. */
static void a_clock_that_is_set_back_is_noticed(void **state)
{
    static const said_t said = FRESH(GOOD);
    mtls_ocsp_proof_t proof;
    scene_t scene;
    mtls_span_t der;

    (void)state;
    begin(&scene);
    der = response_of(&scene, &said);
    assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, WORLD_NOW, &proof), 1);
    assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, AT(-3 * HOUR), &proof), 0);
    assert_int_equal(proof.status, MTLS_STATUS_UNAVAILABLE);
    assert_int_equal(mtls_proofs_ask(scene.proofs, &scene.subject, der, WORLD_NOW, &proof), 1);
    assert_int_equal(proved, 2);
}

static mtls_span_t numbered(const char *head, int i)
{
    return mtls_span_of(apr_psprintf(pool, "%s %d", head, i));
}

#define FEW 100

static void failures_push_out_nothing(void **state)
{
    scene_t scene;
    int i;

    (void)state;
    begin(&scene);
    pretending = 1;
    for (i = 0; i < FEW; i++)
        assert_int_equal(ask(&scene, numbered("good", i)), 1);
    for (i = 0; i < 4 * MTLS_OCSP_PROOFS; i++)
        assert_int_equal(ask(&scene, numbered("bad", i)), 0);
    proved = 0;
    for (i = 0; i < FEW; i++)
        assert_int_equal(ask(&scene, numbered("good", i)), 1);
    assert_int_equal(proved, 0);
    assert_int_equal(ask(&scene, numbered("bad", 1)), 0);
    assert_int_equal(proved, 1); /* not remembered */
}

/* D7: what is asked for all the time stays, the flood goes. */
static void a_flood_pushes_out_what_is_not_used(void **state)
{
    scene_t scene;
    int i, n;

    (void)state;
    begin(&scene);
    pretending = 1;
    for (i = 0; i < 4 * MTLS_OCSP_PROOFS; i++) {
        assert_int_equal(ask(&scene, numbered("good", i)), 1);
        assert_int_equal(ask(&scene, mtls_span_of("good and wanted")), 1);
    }
    n = (int)proved;
    assert_int_equal(n, 4 * MTLS_OCSP_PROOFS + 1);
    for (i = 0; i < 4 * MTLS_OCSP_PROOFS; i++)
        assert_int_equal(ask(&scene, numbered("good", i)), 1);
    assert_true((int)proved - n > 3 * MTLS_OCSP_PROOFS - 1);
}

#define THREADS 4

/* Whether the answer was right. Not inlined: what a thread leaves on its stack ASan takes amiss. */
static __attribute__((noinline)) int ask_numbered(const scene_t *scene, int i)
{
    mtls_ocsp_proof_t proof;
    char text[32];
    int len = apr_snprintf(text, sizeof(text), "good %.*s", i % 17, "................");

    return mtls_proofs_ask(scene->proofs, &scene->subject, mtls_span(text, (apr_size_t)len),
                           WORLD_NOW, &proof) &&
           proof.next_update == WORLD_NOW + len;
}

static void *APR_THREAD_FUNC ask_a_lot(apr_thread_t *thread, void *scene)
{
    apr_status_t wrong = 0;
    int i;

    for (i = 0; i < 20000; i++)
        wrong += !ask_numbered(scene, i);
    apr_thread_exit(thread, wrong);
    return NULL;
}

static void any_thread_may_ask(void **state)
{
    apr_thread_t *threads[THREADS];
    apr_status_t wrong;
    scene_t scene;
    int i;

    (void)state;
    begin(&scene);
    pretending = 1;
    for (i = 0; i < THREADS; i++)
        assert_int_equal(apr_thread_create(&threads[i], NULL, ask_a_lot, &scene, pool), 0);
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(apr_thread_join(&wrong, threads[i]), 0);
        assert_int_equal(wrong, 0);
    }
    assert_true(proved >= 17 && proved <= 17 * THREADS);
}

int main(void)
{
    SUITE_TABLE(judge_case, rows);
    SUITE_CASE(without_a_record_nothing_is_known);
    SUITE_CASE(a_status_never_outlives_its_response);
    SUITE_CASE(a_good_one_ends_with_its_signer_and_a_revocation_does_not);
    SUITE_CASE(renewals_of_a_response_that_is_fetched_again_come_to_an_end);
    SUITE_CASE(a_signature_is_verified_once);
    SUITE_CASE(a_proof_is_for_one_subject_only);
    SUITE_CASE(a_proof_is_for_its_responders_only);
    SUITE_CASE(a_clock_that_is_set_back_is_noticed);
    SUITE_CASE(what_one_process_has_proved_the_others_know);
    SUITE_CASE(an_entry_that_is_half_written_is_none);
    SUITE_CASE(failures_push_out_nothing);
    SUITE_CASE(a_flood_pushes_out_what_is_not_used);
    SUITE_CASE(any_thread_may_ask);
    return suite_run("lookup", 60);
}
