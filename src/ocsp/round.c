/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/round.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "ocsp/offer.h"

#include "policy/value.h"

/* How long the cache keeps a record past its end: that a good one was there is of use while nothing
 * newer can be had, a revocation counts all the same. */
#define KEEP_GOOD    apr_time_from_sec(24 * 3600)
#define KEEP_REVOKED apr_time_from_sec(30 * 24 * 3600)
/* Nobody's nextUpdate keeps it longer. It is renewed much earlier. */
#define KEEP_AT_MOST apr_time_from_sec(30 * 24 * 3600)

#define LINE_BYTES 640

void mtls_round_log(const mtls_round_t *round, int level, const char *format, ...)
{
    const mtls_queue_env_t *env = round->env->env;
    char line[LINE_BYTES], *at;
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    for (at = line; *at; at++) {
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
    env->log(env->baton, level, line);
}

/* ---- beginning and end ---- */

void mtls_round_urls(const mtls_ask_t *ask, unsigned char *digest)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int i, n = ask->urls ? ask->urls->nelts : 0;
    /* Whoever insists on a nonce fails where others do not. */
    int good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
               EVP_DigestUpdate(ctx, &ask->nonce, sizeof(ask->nonce)) == 1;

    for (i = 0; i < n && good; i++) {
        const mtls_ask_url_t *url = &APR_ARRAY_IDX(ask->urls, i, mtls_ask_url_t);
        char configured = (char)url->configured;
        good = EVP_DigestUpdate(ctx, url->url, strlen(url->url) + 1) == 1 &&
               EVP_DigestUpdate(ctx, &configured, 1) == 1;
    }
    if (!good || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        memset(digest, 0, MTLS_DIGEST_BYTES);
    EVP_MD_CTX_free(ctx);
}

/* Two issuers of one name differ, and so do two of one key. NULL: OpenSSL could not. */
static const char *issuer_of(apr_pool_t *p, const mtls_ask_t *ask)
{
    unsigned char digest[MTLS_DIGEST_BYTES];

    if (EVP_Digest(ask->issuer.data, ask->issuer.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    return mtls_value_hex(p, digest, sizeof(digest));
}

mtls_round_t *mtls_round_make(apr_pool_t *parent, const mtls_round_env_t *env,
                              const mtls_ask_t *ask)
{
    mtls_round_t *round;
    apr_pool_t *p;

    apr_pool_create(&p, parent);
    round = apr_pcalloc(p, sizeof(*round));
    round->env = env;
    round->p = p;
    mtls_round_urls(ask, round->urls);
    /* By way of its bytes: a copy of all of it. */
    if (mtls_ask_decode(p, mtls_ask_encode(p, ask), &round->ask) &&
        mtls_ask_subject(p, &round->ask, &round->subject) &&
        (round->issuer = issuer_of(p, &round->ask)) != NULL)
        return round;
    apr_pool_destroy(p);
    return NULL;
}

void mtls_round_end(mtls_round_t *round)
{
    apr_pool_destroy(round->p);
}

/* ---- looking ---- */

/* What lies ahead of the clock was not written by it: it would put off renewals. */
static apr_time_t not_ahead(const mtls_round_t *round, apr_time_t at, apr_time_t now)
{
    return at <= now + round->ask.limits.skew ? at : 0;
}

/* 1: it counts. */
static int add_response(mtls_round_t *round, mtls_span_t der, apr_time_t fetched_at)
{
    apr_time_t now = round->env->env->now();
    mtls_ocsp_proof_t proof;

    if (!der.len || !mtls_proofs_ask(round->env->proofs, &round->subject, der, now, &proof))
        return 0;
    /* One that is not in force yet must not stand above those that are. */
    if (proof.status != MTLS_STATUS_REVOKED && proof.this_update > now + round->ask.limits.skew)
        return 0;
    mtls_held_add(&round->held, der, &proof, not_ahead(round, fetched_at, now));
    return 1;
}

/* The same where only revocations lie, and only such as counted when they were put there: a clock
 * that was set back since does not undo them. */
static int add_revocation(mtls_round_t *round, mtls_span_t der)
{
    apr_time_t now = round->env->env->now() + MTLS_ASK_MAX_INTERVAL;
    mtls_ocsp_proof_t proof;

    if (!der.len || !mtls_proofs_ask(round->env->proofs, &round->subject, der, now, &proof) ||
        proof.status != MTLS_STATUS_REVOKED)
        return 0;
    mtls_held_add(&round->held, der, &proof, 0);
    return 1;
}

static int responder_count(const mtls_round_t *round)
{
    return round->subject.responders ? sk_X509_num(round->subject.responders) : 0;
}

/* The files of revocations that are proved for this subject: who has signed one is in its name. */
static void add_files(mtls_round_t *round, apr_pool_t *scratch)
{
    const mtls_revocations_t *revocations = round->env->revocations;
    unsigned char key[MTLS_DIGEST_BYTES];
    mtls_span_t file;
    int i, n = responder_count(round);

    round->file_counts = 0;
    for (i = -1; revocations && i < n; i++) {
        if (!mtls_revocations_key(scratch, &round->subject, i, key))
            continue;
        file = mtls_revocations_get(revocations, scratch, key);
        if (!add_revocation(round, file))
            continue;
        round->file_counts = 1;
        round->file = mtls_span_copy(round->p, file);
    }
}

static void add_record(mtls_round_t *round, const mtls_ocsp_record_t *record)
{
    apr_time_t checked = not_ahead(round, record->checked_at, round->env->env->now());

    add_revocation(round, record->revocation);
    if (add_response(round, record->response, record->fetched_at) &&
        checked > round->held.checked_at)
        round->held.checked_at = checked;
}

static int is_held(const mtls_round_t *round, mtls_span_t der)
{
    return round->held.response.len && mtls_span_equal(der, round->held.response);
}

/* A response of the folder is fetched when it is first seen. */
static void add_folder(mtls_round_t *round, apr_pool_t *scratch)
{
    const mtls_folder_t *folder = round->env->env->folder;
    apr_array_header_t *found = folder ? mtls_folder_find(folder, scratch, &round->subject) : NULL;
    int i;

    round->from_folder = 0;
    for (i = 0; found && i < found->nelts; i++)
        add_response(round, APR_ARRAY_IDX(found, i, mtls_span_t), 0);
    for (i = 0; found && i < found->nelts; i++) {
        if (is_held(round, APR_ARRAY_IDX(found, i, mtls_span_t)))
            round->from_folder = 1;
    }
    if (round->from_folder && !round->held.fetched_at)
        round->held.fetched_at = round->env->env->now();
}

/* 1: something else is held now. */
static int add_offered(mtls_round_t *round, mtls_span_t der)
{
    mtls_offer_terms_t terms = {.now = round->env->env->now(),
                                .limits = round->ask.limits,
                                .need_nonce = round->ask.nonce == 2};
    mtls_ocsp_proof_t proof;

    return mtls_offer_counts(round->env->proofs, &round->subject, der, &terms, &proof) &&
           mtls_offer_hold(&round->held, der, &proof);
}

void mtls_round_offer(mtls_round_t *round, mtls_span_t der)
{
    if (!add_offered(round, der))
        return;
    round->ask.offered = mtls_span_copy(round->p, der); /* for looks that are still to come */
    mtls_held_keep(&round->held, round->p);
    round->cache_is_right = round->file_is_right = 0;
    if (mtls_span_equal(round->held.response, der))
        round->from_folder = 0;
}

void mtls_round_look(mtls_round_t *round, const mtls_ocsp_record_t *remembered)
{
    const mtls_round_env_t *env = round->env;
    mtls_ocsp_record_t cached = {{NULL, 0}, {NULL, 0}, 0, 0}, record;
    apr_pool_clear(env->scratch);
    memset(&round->held, 0, sizeof(round->held));
    if (env->env->store)
        (void)mtls_ocsp_record_get(env->env->store, env->scratch, round->ask.key, &cached);
    add_record(round, &cached);
    round->before = mtls_held_status(&round->held);
    add_record(round, remembered);
    add_files(round, env->scratch);
    (void)add_offered(round, round->ask.offered);
    add_folder(round, env->scratch);

    record = mtls_held_record(&round->held);
    round->cache_is_right = mtls_span_equal(record.response, cached.response) &&
                            mtls_span_equal(record.revocation, cached.revocation);
    round->file_is_right = round->file_counts && mtls_span_equal(record.revocation, round->file);
    round->cached.fetched_at = cached.fetched_at;
    round->cached.checked_at = cached.checked_at;
    mtls_held_keep(&round->held, round->p);
}

int mtls_round_is_fresh(const mtls_round_t *round)
{
    return round->held.response.len > 0 &&
           !mtls_ocsp_stale(&round->held.proof, &round->ask.limits, round->env->env->now());
}

int mtls_round_is_served(const mtls_round_t *round)
{
    apr_time_t now = round->env->env->now();
    mtls_ocsp_record_t record;

    if (!mtls_round_is_fresh(round))
        return 0;
    record = mtls_held_record(&round->held);
    return now < mtls_lookup_renew_at(&round->held.proof, &record, &round->ask.limits, now);
}

/* ---- settling ---- */

static apr_time_t expires(const mtls_round_t *round, const mtls_ocsp_record_t *record,
                          apr_time_t now)
{
    apr_time_t ends = mtls_ocsp_ends(&round->held.proof, &round->ask.limits);

    if (ends > now + KEEP_AT_MOST)
        ends = now + KEEP_AT_MOST;
    if (!record->revocation.len)
        return ends + KEEP_GOOD + round->ask.stale;
    return (ends > now ? ends : now) + KEEP_REVOKED; /* it counts however old it is */
}

static void write_cache(mtls_round_t *round, const mtls_ocsp_record_t *record, apr_time_t now)
{
    const mtls_store_t *store = round->env->env->store;
    apr_time_t until = expires(round, record, now);

    if (!store || until <= now ||
        (round->cache_is_right && record->fetched_at == round->cached.fetched_at &&
         record->checked_at == round->cached.checked_at))
        return;
    if (!mtls_ocsp_record_put(store, round->p, round->ask.key, record, until))
        mtls_round_log(round, 7, "the cache did not take a record");
}

/* Who has signed it: one of the responders, or with -1 somebody whom every store believes. */
static int signer_of(const mtls_round_t *round, mtls_span_t der)
{
    apr_time_t now = round->env->env->now() + MTLS_ASK_MAX_INTERVAL;
    mtls_ocsp_subject_t alone = round->subject;
    STACK_OF(X509) *one = sk_X509_new_null();
    mtls_ocsp_proof_t proof;
    int i, n = responder_count(round), proved;

    alone.responders = NULL;
    proved = mtls_proofs_ask(round->env->proofs, &alone, der, now, &proof);
    for (i = -1; one && !proved && ++i < n;) {
        sk_X509_zero(one);
        if (sk_X509_push(one, sk_X509_value(round->subject.responders, i)) < 1)
            break;
        alone.responders = one;
        proved = mtls_proofs_ask(round->env->proofs, &alone, der, now, &proof);
    }
    sk_X509_free(one);
    return i;
}

/* A newer good has done away with it: with what its own signer has said before, and where every
 * store believes that one with all of it. */
static void remove_files(mtls_round_t *round)
{
    unsigned char key[MTLS_DIGEST_BYTES];
    int i, signer, n = responder_count(round);

    if (round->held.proof.status != MTLS_STATUS_GOOD)
        return;
    signer = signer_of(round, round->held.response);
    for (i = -1; i < n; i++) {
        if ((signer < 0 || signer == i) && mtls_revocations_key(round->p, &round->subject, i, key))
            mtls_revocations_remove(round->env->revocations, round->p, key);
    }
}

static void write_file(mtls_round_t *round, const mtls_ocsp_record_t *record)
{
    mtls_revocations_t *revocations = round->env->revocations;
    unsigned char key[MTLS_DIGEST_BYTES];
    const char *error = NULL;

    if (!revocations)
        return;
    if (!record->revocation.len) {
        if (round->file_counts)
            remove_files(round);
    } else if (!round->file_is_right) {
        error = "out of memory";
        if (mtls_revocations_key(round->p, &round->subject, signer_of(round, record->revocation),
                                 key))
            error = mtls_revocations_put(revocations, round->p, key, record->revocation);
    }
    if (error)
        mtls_round_log(round, 4, "a revocation may be forgotten in a restart: %s", error);
}

/* Before others see it, so that none of them has to. */
static void prove_for_all(const mtls_round_t *round, const mtls_ocsp_record_t *record)
{
    mtls_ocsp_proof_t proof;

    if (record->response.len)
        (void)mtls_proofs_ask(round->env->proofs, &round->subject, record->response,
                              round->env->env->now(), &proof);
}

mtls_status_t mtls_round_settle(mtls_round_t *round, mtls_status_t known)
{
    const mtls_queue_env_t *env = round->env->env;
    mtls_status_t status = mtls_held_status(&round->held);
    mtls_ocsp_record_t record;

    if (status == MTLS_STATUS_UNAVAILABLE)
        return known;
    record = mtls_held_record(&round->held);
    write_file(round, &record);
    prove_for_all(round, &record);
    write_cache(round, &record, env->now());
    if (known == MTLS_STATUS_UNAVAILABLE)
        known = round->before;
    /* After the cache has it: everybody will look there. */
    if (status != known && (known != MTLS_STATUS_UNAVAILABLE || status == MTLS_STATUS_REVOKED))
        env->changed(env->baton);
    return status;
}
