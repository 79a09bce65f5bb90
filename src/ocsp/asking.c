/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/asking.h"

#include <openssl/err.h>

#include "policy/limits.h"
#include "policy/value.h"

#define BOTH_HASHES (1 << MTLS_OCSP_SHA256 | 1 << MTLS_OCSP_SHA1)

/* Of a URL in the log. */
#define URL_SHOWN 300

static apr_time_t ticks(const mtls_round_t *round)
{
    return round->env->ticks();
}

static int url_count(const mtls_round_t *round)
{
    return round->ask.urls->nelts;
}

static const mtls_ask_url_t *url_at(const mtls_round_t *round, int i)
{
    return &APR_ARRAY_IDX(round->ask.urls, i, mtls_ask_url_t);
}

/* What is remembered of a responder is remembered for one issuer: whose certificates name a slow
 * address before another CA's, or ask that one for what it never knew, must not have it left alone
 * for everybody. */
static mtls_responder_t *responder_of(const mtls_round_t *round, const char *url)
{
    return mtls_responders_get(round->env->responders,
                               apr_pstrcat(round->p, round->issuer, " ", url, NULL));
}

static int is_allowed(const mtls_round_t *round, const mtls_ask_url_t *url)
{
    return mtls_fetch_allows(round->env->env->rules, url->url);
}

/* Whoever has written the list, or the certificate, wants to know; and once is enough. */
static int level_of_forbidden(const mtls_round_t *round, const char *url)
{
    mtls_responder_t *responder = responder_of(round, url);

    return responder && mtls_responder_warn(responder, ticks(round)) ? 4 : 7;
}

static void tell_not_named(const mtls_round_t *round, const char *url)
{
    mtls_round_log(round, level_of_forbidden(round, url),
                   "%.*s: MTLSOCSPResponderAllow does not name it", URL_SHOWN, url);
}

static int is_down(const mtls_round_t *round, const mtls_ask_url_t *url)
{
    const mtls_responder_t *responder = responder_of(round, url->url);

    return !responder || mtls_responder_is_down(responder, ticks(round));
}

mtls_asking_t mtls_asking_begins(const mtls_round_t *round)
{
    mtls_asking_t found = MTLS_ASKING_NOBODY;
    int i;

    for (i = 0; i < url_count(round); i++) {
        if (!is_allowed(round, url_at(round, i))) {
            tell_not_named(round, url_at(round, i)->url);
            continue;
        }
        if (!is_down(round, url_at(round, i)))
            return MTLS_ASKING_NOW;
        found = MTLS_ASKING_LATER;
    }
    return found;
}

mtls_asking_t mtls_asking_result(const mtls_round_t *round)
{
    if (round->contacted)
        return MTLS_ASKING_NOW;
    return round->left_alone || !round->forbidden ? MTLS_ASKING_LATER : MTLS_ASKING_NOBODY;
}

/* ---- the next exchange ---- */

static void next_url(mtls_round_t *round)
{
    round->url++;
    round->tried = 0;
    round->unknown = mtls_span(NULL, 0);
}

static int may_begin(mtls_round_t *round, const mtls_ask_url_t *url)
{
    if (!is_allowed(round, url)) {
        round->forbidden++;
        tell_not_named(round, url->url);
        return 0;
    }
    if (is_down(round, url)) {
        round->left_alone++;
        return 0;
    }
    return 1;
}

static mtls_ocsp_hash_t choose_hash(const mtls_round_t *round)
{
    int known;

    if (round->tried)
        return round->hash == MTLS_OCSP_SHA1 ? MTLS_OCSP_SHA256 : MTLS_OCSP_SHA1;
    return mtls_responder_hash(round->responder, ticks(round), &known);
}

static int prepare(mtls_round_t *round, const mtls_ask_url_t *url)
{
    apr_time_t now = ticks(round);

    round->responder = responder_of(round, url->url);
    if (!round->responder)
        return 0;
    round->hash = choose_hash(round);
    round->tried |= 1 << round->hash;
    if (!mtls_ocsp_request(round->p, &round->subject, round->hash, round->ask.nonce != 0,
                           &round->request) ||
        (round->ask.nonce && !round->request.nonce.len))
        return 0;
    mtls_responder_begin(round->responder);
    round->begun = now;
    round->fetch.url = url->url;
    round->fetch.configured = url->configured;
    round->fetch.request = round->request.der;
    round->fetch.deadline = round->env->env->now() + (round->deadline - now);
    round->outcome = MTLS_FETCH_FAILED;
    round->body = mtls_span(NULL, 0);
    round->error = NULL;
    return 1;
}

int mtls_asking_next(mtls_round_t *round)
{
    for (; round->url < url_count(round); next_url(round)) {
        const mtls_ask_url_t *url = url_at(round, round->url);
        if (ticks(round) >= round->deadline)
            return 0;
        if ((round->tried || may_begin(round, url)) && prepare(round, url))
            return 1;
    }
    return 0;
}

/* ---- what came of it ---- */

/* Each URL says so at most once a minute; all of it is in the log at level debug. */
static void complain(mtls_round_t *round, const char *detail)
{
    int level = mtls_responder_warn(round->responder, ticks(round)) ? 4 : 7;

    mtls_round_log(round, level, "%.*s: no status of the certificate with SHA-1 %s: %s", URL_SHOWN,
                   round->fetch.url, mtls_value_hex(round->p, round->ask.key, MTLS_OCSP_KEY_BYTES),
                   detail);
}

static void end(mtls_round_t *round, mtls_responder_end_t how)
{
    mtls_responder_news_t news =
        mtls_responder_end(round->responder, round->begun, how, ticks(round));

    if (how == MTLS_RESPONDER_NOT_REACHED)
        mtls_round_log(round, news == MTLS_RESPONDER_FAILS ? 4 : 7, "%s",
                       round->error ? round->error : "a responder was not reached");
    else if (news == MTLS_RESPONDER_IS_BACK)
        mtls_round_log(round, 6, "%.*s: answers again", URL_SHOWN, round->fetch.url);
}

/* Whether this responder can be asked with the other CertID. */
static int has_other_hash(const mtls_round_t *round)
{
    return round->tried != BOTH_HASHES && ticks(round) < round->deadline;
}

static int take_proof(mtls_round_t *round, mtls_span_t der, const mtls_ocsp_proof_t *proof)
{
    apr_time_t now = round->env->env->now();

    if (proof->status != MTLS_STATUS_UNKNOWN)
        mtls_responder_learn(round->responder, round->hash, ticks(round));
    if (round->held.response.len == 0 || !mtls_ocsp_newer(&round->held.proof, proof)) {
        mtls_held_renew(&round->held, mtls_span_copy(round->p, der), proof, now);
        round->cache_is_right = round->file_is_right = 0;
        return 1;
    }
    /* Responders behind one name may differ, and an attacker can replay: neither undoes what is
     * known. */
    if (mtls_round_is_fresh(round)) {
        round->held.fetched_at = round->held.checked_at = now;
        return 1;
    }
    complain(round, "the answer is older than the one that is known");
    next_url(round);
    return 0;
}

/* No answer to either CertID that says good or revoked. That the certificate is unknown counts only
 * when SHA-1 was understood: else it may be the CertID that is. */
static int give_up(mtls_round_t *round, const char *detail)
{
    if (round->unknown.len)
        return take_proof(round, round->unknown, &round->unknown_proof);
    if (detail)
        complain(round, detail);
    next_url(round);
    return 0;
}

/* One that was given the last moments of a round has not failed by not answering in them. */
static int had_its_time(const mtls_round_t *round)
{
    return round->deadline - round->begun >= round->ask.timeout / 2;
}

/* A responder that never proved anything yet may have refused the CertID over HTTP: it is asked
 * with the other one while there is time. */
static int take_failure(mtls_round_t *round)
{
    int known, again;

    mtls_responder_hash(round->responder, ticks(round), &known);
    again =
        !known && has_other_hash(round) && round->deadline - ticks(round) >= round->ask.timeout / 2;
    end(round,
        again || !had_its_time(round) ? MTLS_RESPONDER_NOT_ASKED : MTLS_RESPONDER_NOT_REACHED);
    return again ? 0 : give_up(round, NULL);
}

/* A revocation denies past its nextUpdate, also one that a responder has not signed anew. */
static int is_old_revocation(const mtls_round_t *round, const mtls_ocsp_proof_t *proof,
                             apr_time_t now)
{
    apr_time_t latest = now + round->ask.limits.skew;

    return proof->status == MTLS_STATUS_REVOKED && proof->this_update <= latest &&
           proof->produced_at <= latest;
}

static mtls_ocsp_outcome_t prove(const mtls_round_t *round, mtls_ocsp_proof_t *proof,
                                 const char **detail)
{
    mtls_ocsp_terms_t terms = {.now = round->env->env->now(),
                               .sent_nonce = round->request.nonce,
                               .need_nonce = round->ask.nonce == 2};
    mtls_ocsp_outcome_t outcome;

    *detail = NULL;
    outcome = mtls_ocsp_prove(&round->subject, round->body, &terms, proof, detail);
    ERR_clear_error();
    if (outcome == MTLS_OCSP_PROVED)
        *detail = is_old_revocation(round, proof, terms.now)
                      ? NULL
                      : mtls_ocsp_stale(proof, &round->ask.limits, terms.now);
    else if (!*detail)
        *detail = "it proves nothing";
    return outcome;
}

static int take_answer(mtls_round_t *round)
{
    mtls_ocsp_proof_t proof;
    const char *detail;
    mtls_ocsp_outcome_t outcome = prove(round, &proof, &detail);

    end(round, MTLS_RESPONDER_ANSWERED);
    if (outcome == MTLS_OCSP_PROVED && !detail) {
        if (proof.status == MTLS_STATUS_GOOD || proof.status == MTLS_STATUS_REVOKED)
            return take_proof(round, round->body, &proof);
        detail = "it does not know the certificate";
        if (round->hash == MTLS_OCSP_SHA1) {
            round->unknown = mtls_span_copy(round->p, round->body);
            round->unknown_proof = proof;
        }
    }
    if (has_other_hash(round)) {
        mtls_round_log(round, 7, "%.*s: %s; it is asked with the other CertID", URL_SHOWN,
                       round->fetch.url, detail);
        return 0;
    }
    return give_up(round, detail);
}

int mtls_asking_take(mtls_round_t *round)
{
    if (round->outcome == MTLS_FETCH_FORBIDDEN) {
        mtls_round_log(round, level_of_forbidden(round, round->fetch.url), "%s",
                       round->error ? round->error : "a responder is forbidden");
        end(round, MTLS_RESPONDER_NOT_ASKED);
        round->forbidden++;
        next_url(round);
        return 0;
    }
    round->contacted++;
    return round->outcome == MTLS_FETCH_DONE ? take_answer(round) : take_failure(round);
}
