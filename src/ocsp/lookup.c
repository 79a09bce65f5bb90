/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/lookup.h"

#include <stdlib.h>

#include <apr_thread_mutex.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "policy/limits.h"

/* How long a verdict counts while a newer response is being asked for. */
#define SOON apr_time_from_sec(1)
/* What has proved a revocation once was in force then: a clock that was set back since does not
 * undo it. */
#define ANY_CLOCK apr_time_from_sec(APR_TIME_C(100) * 366 * 86400)
/* How soon a certificate that its responder does not know is asked for again: it may be new. */
#define UNKNOWN_FOR apr_time_from_sec(60)

/* ---- responses that are proved already ---- */

/* Sets of a few entries, of which the one used longest ago is given up. The set is chosen by a hash
 * no client can foresee. */
#define WAYS 8
#define SETS (MTLS_OCSP_PROOFS / WAYS)

typedef struct entry_t {
    unsigned char key[MTLS_DIGEST_BYTES];
    apr_uint64_t used; /* 0: never */
    mtls_ocsp_proof_t proof;
    unsigned char seal[MTLS_DIGEST_BYTES];
} entry_t;

/* In memory that processes share no lock guards it, since whoever holds one can be killed: an entry
 * that another process has left half written, or writes now, breaks its seal. */
typedef struct table_t {
    unsigned char seed[MTLS_DIGEST_BYTES];
    apr_uint64_t uses;
    entry_t entries[SETS][WAYS];
} table_t;

struct mtls_proofs_t {
    apr_thread_mutex_t *lock; /* of this process */
    EVP_MD *sha256;
    table_t *table;
    table_t *own; /* NULL: it is not this process's alone */
};

static apr_status_t free_proofs(void *proofs_)
{
    mtls_proofs_t *proofs = proofs_;

    EVP_MD_free(proofs->sha256);
    free(proofs->own);
    free(proofs);
    return APR_SUCCESS;
}

apr_size_t mtls_proofs_bytes(void)
{
    return sizeof(table_t);
}

int mtls_proofs_begin(void *memory)
{
    table_t *table = memory;

    memset(table, 0, sizeof(*table));
    return RAND_bytes(table->seed, sizeof(table->seed)) == 1;
}

mtls_proofs_t *mtls_proofs_make(apr_pool_t *p, void *memory)
{
    mtls_proofs_t *proofs = calloc(1, sizeof(*proofs));

    if (!proofs)
        return NULL;
    /* Before the mutex, so that it is done after the mutex has gone. */
    apr_pool_cleanup_register(p, proofs, free_proofs, apr_pool_cleanup_null);
    proofs->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    proofs->own = memory ? NULL : malloc(sizeof(table_t));
    proofs->table = memory ? memory : proofs->own;
    if (!proofs->sha256 || !proofs->table || (proofs->own && !mtls_proofs_begin(proofs->own)) ||
        apr_thread_mutex_create(&proofs->lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS)
        return NULL;
    return proofs;
}

/* Each part with its length before it: no two lists of parts are the same bytes. */
static int add(EVP_MD_CTX *ctx, const void *data, apr_size_t len)
{
    apr_uint64_t n = len;

    return EVP_DigestUpdate(ctx, &n, sizeof(n)) == 1 && EVP_DigestUpdate(ctx, data, len) == 1;
}

static int add_certificate(EVP_MD_CTX *ctx, X509 *x)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    int added = len > 0 && add(ctx, der, (apr_size_t)len);

    OPENSSL_free(der);
    return added;
}

static int add_subject(EVP_MD_CTX *ctx, const mtls_ocsp_subject_t *subject)
{
    int sign = ASN1_STRING_type(subject->serial);
    int i, n = subject->responders ? sk_X509_num(subject->responders) : 0;

    if (!add(ctx, &sign, sizeof(sign)) ||
        !add(ctx, ASN1_STRING_get0_data(subject->serial),
             (apr_size_t)ASN1_STRING_length(subject->serial)) ||
        !add_certificate(ctx, subject->issuer))
        return 0;
    for (i = 0; i < n; i++) {
        if (!add_certificate(ctx, sk_X509_value(subject->responders, i)))
            return 0;
    }
    return 1;
}

/* Everything a proof depends on but the time. */
static int make_key(const mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject,
                    mtls_span_t der, unsigned char *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int made = ctx && EVP_DigestInit_ex(ctx, proofs->sha256, NULL) == 1 &&
               add(ctx, proofs->table->seed, sizeof(proofs->table->seed)) &&
               add(ctx, der.data, der.len) && add_subject(ctx, subject) &&
               EVP_DigestFinal_ex(ctx, key, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return made;
}

static int seal(const mtls_proofs_t *proofs, const entry_t *entry, unsigned char *digest)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int made = ctx && EVP_DigestInit_ex(ctx, proofs->sha256, NULL) == 1 &&
               EVP_DigestUpdate(ctx, proofs->table->seed, sizeof(proofs->table->seed)) == 1 &&
               EVP_DigestUpdate(ctx, entry->key, sizeof(entry->key)) == 1 &&
               EVP_DigestUpdate(ctx, &entry->proof, sizeof(entry->proof)) == 1 &&
               EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return made;
}

static int is_whole(const mtls_proofs_t *proofs, const entry_t *entry)
{
    unsigned char digest[MTLS_DIGEST_BYTES];

    return seal(proofs, entry, digest) && memcmp(digest, entry->seal, sizeof(digest)) == 0;
}

static entry_t *set_of(const mtls_proofs_t *proofs, const unsigned char *key)
{
    return proofs->table->entries[((unsigned int)key[0] << 8 | key[1]) % SETS];
}

static apr_uint64_t next_use(const mtls_proofs_t *proofs)
{
    return __atomic_add_fetch(&proofs->table->uses, 1, __ATOMIC_RELAXED);
}

static int recall(mtls_proofs_t *proofs, const unsigned char *key, mtls_ocsp_proof_t *proof)
{
    entry_t *set = set_of(proofs, key), copy;
    int i, found = 0;

    apr_thread_mutex_lock(proofs->lock);
    for (i = 0; i < WAYS && !found; i++) {
        memcpy(&copy, &set[i], sizeof(copy));
        found = copy.used && memcmp(copy.key, key, sizeof(copy.key)) == 0;
        if (found)
            __atomic_store_n(&set[i].used, next_use(proofs), __ATOMIC_RELAXED);
    }
    apr_thread_mutex_unlock(proofs->lock);
    if (!found || !is_whole(proofs, &copy))
        return 0;
    *proof = copy.proof;
    return 1;
}

static void remember(mtls_proofs_t *proofs, const unsigned char *key,
                     const mtls_ocsp_proof_t *proof)
{
    entry_t *set = set_of(proofs, key), *at = set, made;
    int i;

    memset(&made, 0, sizeof(made));
    memcpy(made.key, key, sizeof(made.key));
    memcpy(&made.proof, proof, sizeof(made.proof));
    made.used = next_use(proofs);
    if (!seal(proofs, &made, made.seal))
        return;
    apr_thread_mutex_lock(proofs->lock);
    for (i = 0; i < WAYS; i++) {
        if (set[i].used && memcmp(set[i].key, key, sizeof(set[i].key)) == 0) {
            at = &set[i]; /* somebody else has proved it meanwhile */
            break;
        }
        if (set[i].used < at->used)
            at = &set[i];
    }
    memcpy(at, &made, sizeof(made));
    apr_thread_mutex_unlock(proofs->lock);
}

static int prove(const mtls_ocsp_subject_t *subject, mtls_span_t der, apr_time_t now,
                 mtls_ocsp_proof_t *proof)
{
    mtls_ocsp_terms_t terms = {.now = now};
    const char *detail;
    int proved = mtls_ocsp_prove(subject, der, &terms, proof, &detail) == MTLS_OCSP_PROVED;

    ERR_clear_error();
    if (!proved)
        memset(proof, 0, sizeof(*proof));
    return proved;
}

/* The one thing about a proof that time can undo: the clock was set back. */
static int is_ahead(const mtls_ocsp_proof_t *proof, apr_time_t now)
{
    return proof->this_update > now + MTLS_MAX_OCSP_SKEW ||
           proof->produced_at > now + MTLS_MAX_OCSP_SKEW;
}

int mtls_proofs_ask(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                    apr_time_t now, mtls_ocsp_proof_t *proof)
{
    unsigned char key[MTLS_DIGEST_BYTES];
    int has_key = proofs && make_key(proofs, subject, der, key);

    memset(proof, 0, sizeof(*proof));
    if (has_key && recall(proofs, key, proof) && !is_ahead(proof, now))
        return 1;
    if (!prove(subject, der, now, proof))
        return 0;
    if (has_key)
        remember(proofs, key, proof);
    return 1;
}

/* ---- what a record says ---- */

/* 0 for what lies ahead of the clock: a cache that somebody else writes could put off renewals for
 * ever. */
static apr_time_t not_ahead(apr_time_t time, const mtls_ocsp_limits_t *limits, apr_time_t now)
{
    return time <= now + limits->skew ? time : 0;
}

static apr_time_t later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

static apr_time_t sooner(apr_time_t a, apr_time_t b)
{
    return a < b ? a : b;
}

/* How long a response serves after it was fetched until a newer one is asked for. */
static apr_interval_time_t renewal_of(const mtls_ocsp_proof_t *proof,
                                      const mtls_ocsp_limits_t *limits)
{
    return proof->status == MTLS_STATUS_UNKNOWN ? sooner(UNKNOWN_FOR, limits->max_age)
                                                : limits->max_age;
}

static apr_time_t fetched_at(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                             const mtls_ocsp_limits_t *limits, apr_time_t now)
{
    apr_time_t at = record ? not_ahead(record->fetched_at, limits, now) : 0;

    return at ? at : proof->this_update;
}

/* Half of what was left of its life: of a response that was made long ago and fetched just now half
 * of the whole may be over, and it would be asked for without end. */
apr_time_t mtls_lookup_renew_at(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                                const mtls_ocsp_limits_t *limits, apr_time_t now)
{
    apr_time_t from = fetched_at(proof, record, limits, now);
    apr_time_t ends = mtls_ocsp_ends(proof, limits);
    apr_time_t half = ends > from ? from + (ends - from) / 2 : from;

    return sooner(half, from + renewal_of(proof, limits));
}

static apr_time_t looked_at(const mtls_ocsp_record_t *record, const mtls_lookup_terms_t *terms)
{
    return later(not_ahead(record->fetched_at, &terms->limits, terms->now),
                 not_ahead(record->checked_at, &terms->limits, terms->now));
}

/* Whether nobody has looked for a newer one for so long that there were no requests: then the first
 * one waits for it. */
static int is_idle(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                   const mtls_lookup_terms_t *terms)
{
    apr_time_t looked = later(looked_at(record, terms), proof->this_update);

    return terms->now - looked >= 2 * renewal_of(proof, &terms->limits);
}

static int is_future(const mtls_ocsp_proof_t *proof, const mtls_lookup_terms_t *terms)
{
    return later(proof->this_update, proof->produced_at) > terms->now + terms->limits.skew;
}

/* A good one past its end, within MTLSOCSPStale. */
static int may_serve_stale(const mtls_ocsp_proof_t *proof, const mtls_lookup_terms_t *terms)
{
    apr_time_t ends = mtls_ocsp_ends(proof, &terms->limits);

    return terms->asked && proof->status == MTLS_STATUS_GOOD && !is_future(proof, terms) &&
           terms->now >= ends && terms->now - ends < terms->stale;
}

/* Which of the two counts. Only a newer good does away with a revocation: a responder that has
 * forgotten the certificate does not, nor one whose clock is ahead of ours. */
static const mtls_ocsp_proof_t *decide(const mtls_ocsp_proof_t *main,
                                       const mtls_ocsp_proof_t *revocation,
                                       const mtls_lookup_terms_t *terms)
{
    if (revocation->status != MTLS_STATUS_REVOKED)
        return main;
    if (main->status == MTLS_STATUS_REVOKED)
        return mtls_ocsp_newer(main, revocation) ? main : revocation;
    if (main->status == MTLS_STATUS_GOOD && mtls_ocsp_newer(main, revocation) &&
        !is_future(main, terms))
        return main;
    return revocation;
}

static mtls_status_t status_of(const mtls_ocsp_proof_t *proof, const mtls_lookup_terms_t *terms)
{
    if (proof->status == MTLS_STATUS_REVOKED)
        return MTLS_STATUS_REVOKED;
    if (mtls_ocsp_stale(proof, &terms->limits, terms->now) && !may_serve_stale(proof, terms))
        return MTLS_STATUS_UNAVAILABLE;
    return proof->status;
}

static mtls_lookup_due_t due_of(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                                const mtls_lookup_terms_t *terms, mtls_status_t status)
{
    if (terms->asked)
        return MTLS_DUE_NOT;
    if (status == MTLS_STATUS_UNAVAILABLE)
        return MTLS_DUE_WAIT;
    if (status != MTLS_STATUS_REVOKED &&
        (is_idle(proof, record, terms) || looked_at(record, terms) < terms->recheck_from))
        return MTLS_DUE_WAIT;
    if (looked_at(record, terms) < terms->recheck_from ||
        terms->now >= mtls_lookup_renew_at(proof, record, &terms->limits, terms->now))
        return MTLS_DUE_BEHIND;
    return MTLS_DUE_NOT;
}

/* `until`, or the moment before when a good or unknown one no longer serves. */
static apr_time_t within_life(const mtls_ocsp_proof_t *proof, const mtls_lookup_terms_t *terms,
                              apr_time_t until)
{
    apr_time_t ends = mtls_ocsp_ends(proof, &terms->limits);

    if (mtls_ocsp_stale(proof, &terms->limits, terms->now))
        return sooner(until, ends + terms->stale);
    if (mtls_ocsp_stale(proof, &terms->limits, until - 1))
        return sooner(until, ends);
    return until;
}

static apr_time_t valid_until(const mtls_ocsp_proof_t *proof, const mtls_ocsp_record_t *record,
                              const mtls_lookup_terms_t *terms, const mtls_lookup_t *lookup)
{
    apr_time_t until = terms->now + SOON;

    if (lookup->status == MTLS_STATUS_UNAVAILABLE)
        return until;
    if (lookup->due == MTLS_DUE_NOT && !terms->asked)
        until = mtls_lookup_renew_at(proof, record, &terms->limits, terms->now);
    if (lookup->status != MTLS_STATUS_REVOKED)
        until = within_life(proof, terms, until);
    return later(until, terms->now + 1);
}

void mtls_lookup_judge(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject,
                       const mtls_ocsp_record_t *record, const mtls_lookup_terms_t *terms,
                       mtls_lookup_t *lookup)
{
    static const mtls_ocsp_record_t nothing;
    mtls_ocsp_proof_t main = {0}, revocation = {0};
    const mtls_ocsp_proof_t *proof;

    if (!record)
        record = &nothing;
    if (record->response.len)
        (void)mtls_proofs_ask(proofs, subject, record->response, terms->now, &main);
    if (record->revocation.len)
        (void)mtls_proofs_ask(proofs, subject, record->revocation, terms->now + ANY_CLOCK,
                              &revocation);
    proof = decide(&main, &revocation, terms);
    lookup->status = status_of(proof, terms);
    lookup->due = due_of(proof, record, terms, lookup->status);
    lookup->valid_until = valid_until(proof, record, terms, lookup);
}
