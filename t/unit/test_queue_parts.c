/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The parts of ocsp/queue by themselves: ocsp/backoff, ocsp/responders, ocsp/revocations,
 * ocsp/held.
 */

#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.h"
#include "ocsp/backoff.h"
#include "ocsp/held.h"
#include "ocsp/responders.h"
#include "ocsp/revocations.h"
#include "policy/limits.h"
#include "policy/value.h"

#define SECOND apr_time_from_sec(1)
#define START  (1000 * SECOND)

/* ---- backoff ---- */

static void delays_grow_to_a_limit_and_stay_there(void **state)
{
    int i;

    (void)state;
    assert_int_equal(mtls_backoff(1, 60 * SECOND), SECOND);
    assert_int_equal(mtls_backoff(2, 60 * SECOND), 2 * SECOND);
    assert_int_equal(mtls_backoff(6, 60 * SECOND), 32 * SECOND);
    for (i = 7; i < 100; i++)
        assert_int_equal(mtls_backoff(i, 60 * SECOND), 60 * SECOND);
    assert_int_equal(mtls_backoff(0x7fffffff, 60 * SECOND), 60 * SECOND);
    assert_int_equal(mtls_backoff(0, 60 * SECOND), SECOND);
    assert_int_equal(mtls_backoff(-0x7fffffff - 1, 60 * SECOND), SECOND);
}

/* ---- responders ---- */

static mtls_responder_news_t exchange(mtls_responder_t *responder, apr_time_t at,
                                      mtls_responder_end_t how)
{
    mtls_responder_begin(responder);
    return mtls_responder_end(responder, at, how, at);
}

static void one_failure_is_none(void **state)
{
    mtls_responders_t *all = mtls_responders_make(pool);
    mtls_responder_t *one = mtls_responders_get(all, "http://one/");

    (void)state;
    assert_int_equal(exchange(one, START, MTLS_RESPONDER_NOT_REACHED), MTLS_RESPONDER_FAILS);
    assert_int_equal(mtls_responder_is_down(one, START), 0);
    assert_int_equal(exchange(one, START + 1, MTLS_RESPONDER_ANSWERED), MTLS_RESPONDER_IS_BACK);
    assert_int_equal(exchange(one, START + 2, MTLS_RESPONDER_NOT_REACHED), MTLS_RESPONDER_NO_NEWS);
    assert_int_equal(mtls_responder_is_down(one, START + 2), 0);
    assert_int_equal(exchange(one, START + 3, MTLS_RESPONDER_NOT_REACHED), MTLS_RESPONDER_NO_NEWS);
    assert_int_equal(mtls_responder_is_down(one, START + 3), 1);
    assert_int_equal(mtls_responder_is_down(mtls_responders_get(all, "http://two/"), START + 3), 0);
    assert_int_equal(mtls_responder_is_down(one, START + 3 + SECOND), 0);
}

static void a_probe_that_contacted_nobody_gives_its_place_back(void **state)
{
    mtls_responder_t *one = mtls_responders_get(mtls_responders_make(pool), "http://one/");

    (void)state;
    exchange(one, START, MTLS_RESPONDER_NOT_REACHED);
    exchange(one, START + 1, MTLS_RESPONDER_NOT_REACHED);
    mtls_responder_begin(one);
    assert_int_equal(mtls_responder_is_down(one, START + 10 * SECOND), 1);
    mtls_responder_end(one, START + 10 * SECOND, MTLS_RESPONDER_NOT_ASKED, START + 10 * SECOND);
    assert_int_equal(mtls_responder_is_down(one, START + 10 * SECOND), 0);
}

static void a_success_that_began_earlier_counts_a_failure_does_not(void **state)
{
    mtls_responder_t *one = mtls_responders_get(mtls_responders_make(pool), "http://one/");
    int i;

    (void)state;
    for (i = 0; i < 10; i++)
        mtls_responder_begin(one);
    for (i = 0; i < 9; i++)
        mtls_responder_end(one, START, MTLS_RESPONDER_NOT_REACHED, START + SECOND + i);
    assert_int_equal(mtls_responder_is_down(one, START + 2 * SECOND), 1);
    assert_int_equal(mtls_responder_is_down(one, START + 2 * SECOND + 1), 0);
    mtls_responder_end(one, START, MTLS_RESPONDER_ANSWERED, START + 2 * SECOND);
    assert_int_equal(mtls_responder_is_down(one, START + 2 * SECOND), 0);
}

static void what_it_understands_is_forgotten_after_a_day(void **state)
{
    mtls_responder_t *one = mtls_responders_get(mtls_responders_make(pool), "http://one/");
    int known = 1;

    (void)state;
    assert_int_equal(mtls_responder_hash(one, START, &known), MTLS_OCSP_SHA256);
    assert_int_equal(known, 0);
    mtls_responder_learn(one, MTLS_OCSP_SHA1, START);
    assert_int_equal(mtls_responder_hash(one, START + 86399 * SECOND, &known), MTLS_OCSP_SHA1);
    assert_int_equal(known, 1);
    assert_int_equal(mtls_responder_hash(one, START + 86400 * SECOND, &known), MTLS_OCSP_SHA256);
    assert_int_equal(known, 0);
}

static void the_one_asked_longest_ago_is_forgotten(void **state)
{
    mtls_responders_t *all = mtls_responders_make(pool);
    mtls_responder_t *busy = mtls_responders_get(all, "http://busy/");
    int i, known;

    (void)state;
    mtls_responder_begin(busy);
    mtls_responder_learn(mtls_responders_get(all, "http://old/"), MTLS_OCSP_SHA1, START);
    mtls_responder_learn(mtls_responders_get(all, "http://used/"), MTLS_OCSP_SHA1, START);
    mtls_responder_learn(busy, MTLS_OCSP_SHA1, START);
    for (i = 0; i < MTLS_MAX_OCSP_RESPONDERS - 2; i++) {
        (void)mtls_responders_get(all, apr_psprintf(pool, "http://%d/", i));
        (void)mtls_responders_get(all, "http://used/");
    }
    assert_int_equal(mtls_responder_hash(mtls_responders_get(all, "http://used/"), START, &known),
                     MTLS_OCSP_SHA1);
    assert_int_equal(mtls_responder_hash(mtls_responders_get(all, "http://old/"), START, &known),
                     MTLS_OCSP_SHA256);
    for (i = 0; i < 2 * MTLS_MAX_OCSP_RESPONDERS; i++)
        (void)mtls_responders_get(all, apr_psprintf(pool, "http://more/%d", i));
    assert_int_equal(mtls_responder_hash(busy, START, &known), MTLS_OCSP_SHA1);
    mtls_responder_end(busy, START, MTLS_RESPONDER_ANSWERED, START);
}

/* ---- revocations ---- */

typedef struct folder_t {
    const char *path;
    mtls_revocations_t *revocations;
} folder_t;

static apr_status_t free_serial(void *serial)
{
    ASN1_INTEGER_free(serial);
    return APR_SUCCESS;
}

static folder_t folder_make(void)
{
    folder_t folder = {apr_pstrdup(pool, "/tmp/mtls_test_parts_XXXXXX"), NULL};

    assert_non_null(mkdtemp((char *)(uintptr_t)folder.path));
    folder.revocations = mtls_revocations_make(pool, folder.path, apr_time_now());
    return folder;
}

/* Certificates of one issuer, by their serials. */
static const mtls_ocsp_subject_t *subject_of(unsigned int n)
{
    static apr_pool_t *all_cases;
    static X509 *issuer;
    certificate_t spec = {.subject = {{"CN", 0, "CA", 0, 0}}};
    mtls_ocsp_subject_t *subject = apr_pcalloc(pool, sizeof(*subject));
    ASN1_INTEGER *serial = ASN1_INTEGER_new();

    if (!all_cases) {
        assert_int_equal(apr_pool_create(&all_cases, NULL), APR_SUCCESS);
        issuer = certificate_make(all_cases, &spec, NULL);
    }
    assert_int_equal(ASN1_INTEGER_set(serial, (long)n + 1), 1);
    apr_pool_cleanup_register(pool, serial, free_serial, apr_pool_cleanup_null);
    subject->serial = serial;
    subject->issuer = issuer;
    return subject;
}

static const unsigned char *key(const mtls_ocsp_subject_t *subject)
{
    unsigned char *made = apr_palloc(pool, MTLS_DIGEST_BYTES);

    assert_int_equal(mtls_revocations_key(pool, subject, subject->responders ? 0 : -1, made), 1);
    return made;
}

static const unsigned char *key_of(unsigned int n)
{
    return key(subject_of(n));
}

static const char *path_of(const folder_t *folder, unsigned int n)
{
    const char *name = mtls_value_hex(pool, key_of(n), MTLS_DIGEST_BYTES);

    return apr_pstrcat(pool, folder->path, "/", name, ".der", NULL);
}

static void folder_remove(const folder_t *folder)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf '%s'", folder->path);
    assert_int_equal(system(command), 0);
}

static int entries(const folder_t *folder)
{
    char command[256];
    FILE *in;
    int n = -1;

    snprintf(command, sizeof(command), "ls -A '%s' | wc -l", folder->path);
    in = popen(command, "r");
    assert_non_null(in);
    assert_int_equal(fscanf(in, "%d", &n), 1);
    pclose(in);
    return n;
}

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void a_file_comes_back_as_it_went(void **state)
{
    folder_t folder = folder_make();
    mtls_span_t text = mtls_span("a\0b", 3);
    struct stat st;

    (void)state;
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(1)).len, 0);
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), text));
    assert_span_equal(mtls_revocations_get(folder.revocations, pool, key_of(1)), text);
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("new")));
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(1)), "new");
    assert_int_equal(stat(path_of(&folder, 1), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(entries(&folder), 1);
    mtls_revocations_remove(folder.revocations, pool, key_of(1));
    mtls_revocations_remove(folder.revocations, pool, key_of(2));
    assert_int_equal(entries(&folder), 0);
    folder_remove(&folder);
}

/* Not by the certificate's bytes, and by whoever may say so. */
static void a_file_belongs_to_an_issuer_a_serial_and_their_responders(void **state)
{
    folder_t folder = folder_make();
    certificate_t spec = {.subject = {{"CN", 0, "CA", 0, 0}}, .key = 1};
    mtls_ocsp_subject_t other_issuer = *subject_of(1), other_responder = *subject_of(1);

    (void)state;
    other_issuer.issuer = certificate_make(pool, &spec, NULL);
    other_responder.responders = stack_of(pool, other_issuer.issuer, NULL);
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("1")));
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(2), mtls_span_of("2")));
    assert_null(
        mtls_revocations_put(folder.revocations, pool, key(&other_issuer), mtls_span_of("3")));
    assert_null(
        mtls_revocations_put(folder.revocations, pool, key(&other_responder), mtls_span_of("4")));
    assert_int_equal(entries(&folder), 4);
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(1)), "1");
    mtls_revocations_remove(folder.revocations, pool, key_of(1));
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(1)).len, 0);
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key(&other_issuer)), "3");
    assert_span_text(mtls_revocations_get(mtls_revocations_reader(pool, folder.path), pool,
                                          key(&other_responder)),
                     "4");
    folder_remove(&folder);
}

static void what_is_no_plain_file_of_a_size_is_none(void **state)
{
    folder_t folder = folder_make();
    const char *elsewhere = apr_pstrcat(pool, folder.path, "/elsewhere", NULL);
    char *large = apr_pcalloc(pool, MTLS_MAX_OCSP_BYTES + 2);

    (void)state;
    write_file(elsewhere, "secret");
    assert_int_equal(symlink(elsewhere, path_of(&folder, 1)), 0);
    assert_int_equal(mkfifo(path_of(&folder, 2), 0600), 0);
    assert_int_equal(mkdir(path_of(&folder, 3), 0700), 0);
    write_file(path_of(&folder, 4), "");
    memset(large, 'x', MTLS_MAX_OCSP_BYTES + 1);
    write_file(path_of(&folder, 5), large);
    large[MTLS_MAX_OCSP_BYTES] = '\0';
    write_file(path_of(&folder, 6), large);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(1)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(2)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(3)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(4)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(5)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(6)).len,
                     MTLS_MAX_OCSP_BYTES);
    /* A link is replaced, and what it leads to is not written to. */
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("x")));
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(1)), "x");
    assert_int_equal(access(elsewhere, R_OK), 0);
    assert_message(mtls_revocations_put(folder.revocations, pool, key_of(3), mtls_span_of("x")),
                   "cannot rename to|.der");
    folder_remove(&folder);
}

static void a_failed_write_leaves_the_old_file_and_nothing_else(void **state)
{
    folder_t folder = folder_make();
    struct stat st;
    char part[300];

    (void)state;
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("old")));
    /* A part that somebody made before us is not written to, whatever it leads to. */
    snprintf(part, sizeof(part), "%s.%ld.tmp", path_of(&folder, 1), (long)getpid());
    assert_int_equal(mkdir(part, 0700), 0);
    assert_message(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("new")),
                   "cannot create|File exists");
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(1)), "old");
    assert_int_equal(rmdir(part), 0);
    assert_int_equal(symlink("/nonexistent", part), 0);
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(1), mtls_span_of("new")));
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(1)), "new");
    assert_int_equal(lstat(part, &st), -1);
    assert_int_equal(entries(&folder), 1);
    folder_remove(&folder);
}

static void set_age(const char *path, apr_interval_time_t age)
{
    apr_time_t then = apr_time_now() - age;
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = apr_time_sec(then), .tv_nsec = (long)apr_time_usec(then) * 1000}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void parts_of_writers_that_died_are_removed(void **state)
{
    folder_t folder = folder_make();
    const char *old = apr_pstrcat(pool, path_of(&folder, 1), ".77.tmp", NULL);
    const char *new = apr_pstrcat(pool, path_of(&folder, 2), ".77.tmp", NULL);
    const char *other = apr_pstrcat(pool, folder.path, "/README", NULL);

    (void)state;
    write_file(old, "x");
    write_file(new, "x");
    write_file(other, "x");
    set_age(old, 601 * SECOND);
    set_age(other, 100000 * SECOND);
    (void)mtls_revocations_make(pool, folder.path, apr_time_now());
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(new, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    folder_remove(&folder);
}

static void too_many_files_push_out_the_oldest(void **state)
{
    folder_t folder = folder_make();
    unsigned int i, kept = MTLS_MAX_OCSP_REVOCATIONS - MTLS_MAX_OCSP_REVOCATIONS / 100;

    (void)state;
    for (i = 0; i < MTLS_MAX_OCSP_REVOCATIONS; i++)
        assert_null(mtls_revocations_put(folder.revocations, pool, key_of(i), mtls_span_of("x")));
    for (i = 0; i < 200; i++)
        set_age(path_of(&folder, i), (1000 - i) * SECOND);
    folder.revocations = mtls_revocations_make(pool, folder.path, apr_time_now());
    assert_int_equal(entries(&folder), MTLS_MAX_OCSP_REVOCATIONS);
    assert_null(mtls_revocations_put(folder.revocations, pool, key_of(5), mtls_span_of("again")));
    assert_int_equal(entries(&folder), MTLS_MAX_OCSP_REVOCATIONS);
    assert_null(
        mtls_revocations_put(folder.revocations, pool, key_of(i = 2000000), mtls_span_of("new")));
    assert_int_equal(entries(&folder), kept);
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(i)), "new");
    assert_span_text(mtls_revocations_get(folder.revocations, pool, key_of(5)), "again");
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(0)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(101)).len, 0);
    assert_int_equal(mtls_revocations_get(folder.revocations, pool, key_of(102)).len, 1);
    folder_remove(&folder);
}

static void a_folder_that_is_not_there_holds_nothing(void **state)
{
    mtls_revocations_t *none = mtls_revocations_make(pool, "/nonexistent/folder", apr_time_now());

    (void)state;
    assert_int_equal(mtls_revocations_get(none, pool, key_of(1)).len, 0);
    assert_message(mtls_revocations_put(none, pool, key_of(1), mtls_span_of("x")),
                   "cannot create|/nonexistent/folder/");
    mtls_revocations_remove(none, pool, key_of(1));
}

/* ---- what is held ---- */

#define MAX_STEPS 4

typedef struct held_t {
    const char *name;
    struct {
        mtls_status_t status;
        int at; /* thisUpdate in seconds */
    } steps[MAX_STEPS];
    mtls_status_t status;
    int response;   /* which step's; -1: none */
    int revocation; /* the same */
} held_t;

static const held_t helds[] = {
    {"nothing", {{0, 0}}, MTLS_STATUS_UNAVAILABLE, -1, -1},
    {"a good", {{MTLS_STATUS_GOOD, 1}}, MTLS_STATUS_GOOD, 0, -1},
    {"a newer good", {{MTLS_STATUS_GOOD, 1}, {MTLS_STATUS_GOOD, 2}}, MTLS_STATUS_GOOD, 1, -1},
    {"an older good", {{MTLS_STATUS_GOOD, 2}, {MTLS_STATUS_GOOD, 1}}, MTLS_STATUS_GOOD, 0, -1},
    {"a revocation", {{MTLS_STATUS_REVOKED, 1}}, MTLS_STATUS_REVOKED, 0, 0},
    {"a revocation after a good",
     {{MTLS_STATUS_GOOD, 1}, {MTLS_STATUS_REVOKED, 2}},
     MTLS_STATUS_REVOKED,
     1,
     1},
    {"a good after a revocation",
     {{MTLS_STATUS_REVOKED, 1}, {MTLS_STATUS_GOOD, 2}},
     MTLS_STATUS_GOOD,
     1,
     -1},
    {"a revocation that was before the good",
     {{MTLS_STATUS_GOOD, 2}, {MTLS_STATUS_REVOKED, 1}},
     MTLS_STATUS_GOOD,
     0,
     -1},
    {"a good that was before the revocation",
     {{MTLS_STATUS_REVOKED, 2}, {MTLS_STATUS_GOOD, 1}},
     MTLS_STATUS_REVOKED,
     0,
     0},
    {"both at the same time",
     {{MTLS_STATUS_GOOD, 1}, {MTLS_STATUS_REVOKED, 1}},
     MTLS_STATUS_REVOKED,
     1,
     1},
    {"both at the same time, the other way round",
     {{MTLS_STATUS_REVOKED, 1}, {MTLS_STATUS_GOOD, 1}},
     MTLS_STATUS_REVOKED,
     0,
     0},
    {"unknown after a revocation",
     {{MTLS_STATUS_REVOKED, 1}, {MTLS_STATUS_UNKNOWN, 2}},
     MTLS_STATUS_REVOKED,
     1,
     0},
    {"good, revoked, unknown, in any order",
     {{MTLS_STATUS_UNKNOWN, 3}, {MTLS_STATUS_GOOD, 1}, {MTLS_STATUS_REVOKED, 2}},
     MTLS_STATUS_REVOKED,
     0,
     2},
    {"revoked, good, unknown, in any order",
     {{MTLS_STATUS_UNKNOWN, 3}, {MTLS_STATUS_REVOKED, 1}, {MTLS_STATUS_GOOD, 2}},
     MTLS_STATUS_UNKNOWN,
     0,
     -1},
    {"revoked again",
     {{MTLS_STATUS_REVOKED, 1}, {MTLS_STATUS_GOOD, 2}, {MTLS_STATUS_REVOKED, 3}},
     MTLS_STATUS_REVOKED,
     2,
     2},
};

static void held_case(void **state)
{
    const held_t *row = *state;
    mtls_held_t held = {.fetched_at = 0};
    mtls_ocsp_record_t record;
    int i;

    for (i = 0; i < MAX_STEPS && row->steps[i].status; i++) {
        mtls_ocsp_proof_t proof = {.status = row->steps[i].status,
                                   .this_update = row->steps[i].at * SECOND};
        mtls_held_add(&held, mtls_span_of(apr_itoa(pool, i)), &proof, 100 + i);
    }
    mtls_held_keep(&held, pool);
    record = mtls_held_record(&held);
    assert_int_equal(mtls_held_status(&held), row->status);
    assert_span_text(record.response, row->response < 0 ? "" : apr_itoa(pool, row->response));
    assert_span_text(record.revocation, row->revocation < 0 ? "" : apr_itoa(pool, row->revocation));
    if (row->response >= 0)
        assert_int_equal(record.fetched_at, 100 + row->response);
}

int main(void)
{
    SUITE_CASE(delays_grow_to_a_limit_and_stay_there);
    SUITE_CASE(one_failure_is_none);
    SUITE_CASE(a_probe_that_contacted_nobody_gives_its_place_back);
    SUITE_CASE(a_success_that_began_earlier_counts_a_failure_does_not);
    SUITE_CASE(what_it_understands_is_forgotten_after_a_day);
    SUITE_CASE(the_one_asked_longest_ago_is_forgotten);
    SUITE_CASE(a_file_comes_back_as_it_went);
    SUITE_CASE(a_file_belongs_to_an_issuer_a_serial_and_their_responders);
    SUITE_CASE(what_is_no_plain_file_of_a_size_is_none);
    SUITE_CASE(a_failed_write_leaves_the_old_file_and_nothing_else);
    SUITE_CASE(parts_of_writers_that_died_are_removed);
    SUITE_CASE(too_many_files_push_out_the_oldest);
    SUITE_CASE(a_folder_that_is_not_there_holds_nothing);
    SUITE_TABLE(held_case, helds);
    return suite_run("queue_parts", 28);
}
