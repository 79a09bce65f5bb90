/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/offer.h"

#include "ocsp/ask.h"

/* ---- whether it counts ---- */

static int is_future(const mtls_ocsp_proof_t *proof, const mtls_offer_terms_t *terms)
{
    apr_time_t latest = terms->now + terms->limits.skew;

    return proof->this_update > latest || proof->produced_at > latest;
}

/* NULL, or why what was proved is of no use. */
static const char *use_of(const mtls_ocsp_proof_t *proof, const mtls_offer_terms_t *terms)
{
    if (proof->status == MTLS_STATUS_REVOKED && !is_future(proof, terms))
        return NULL;
    if (proof->status == MTLS_STATUS_UNKNOWN)
        return "it does not know the certificate";
    if (terms->need_nonce)
        return "it has no nonce of ours, and MTLSOCSPNonce requires one";
    return mtls_ocsp_stale(proof, &terms->limits, terms->now);
}

int mtls_offer_counts(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                      const mtls_offer_terms_t *terms, mtls_ocsp_proof_t *proof)
{
    return der.len > 0 && mtls_proofs_ask(proofs, subject, der, terms->now, proof) &&
           use_of(proof, terms) == NULL;
}

const char *mtls_offer_refusal(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                               const mtls_offer_terms_t *terms)
{
    mtls_ocsp_terms_t when = {.now = terms->now};
    const char *detail = NULL;
    mtls_ocsp_proof_t proof;

    if (mtls_ocsp_prove(subject, der, &when, &proof, &detail) == MTLS_OCSP_PROVED)
        detail = use_of(&proof, terms);
    return detail ? detail : "it proves nothing";
}

/* ---- beside what is known ---- */

int mtls_offer_hold(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof)
{
    mtls_ocsp_record_t before = mtls_held_record(held), after;

    mtls_held_add(held, der, proof, 0);
    after = mtls_held_record(held);
    return !mtls_span_equal(before.response, after.response) ||
           !mtls_span_equal(before.revocation, after.revocation);
}

/* What counts of a record. As where it was written, one that is not in force yet must not stand
 * above those that are, and a revocation was in force whatever the clock says now. */
static mtls_held_t held_of(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject,
                           const mtls_offer_terms_t *terms, const mtls_ocsp_record_t *record)
{
    mtls_held_t held = {.checked_at = record->checked_at};
    mtls_ocsp_proof_t proof;

    if (record->response.len &&
        mtls_proofs_ask(proofs, subject, record->response, terms->now, &proof) &&
        (proof.status == MTLS_STATUS_REVOKED || !is_future(&proof, terms)))
        mtls_held_add(&held, record->response, &proof, record->fetched_at);
    if (record->revocation.len &&
        mtls_proofs_ask(proofs, subject, record->revocation, terms->now + MTLS_ASK_MAX_INTERVAL,
                        &proof) &&
        proof.status == MTLS_STATUS_REVOKED)
        mtls_held_add(&held, record->revocation, &proof, 0);
    return held;
}

int mtls_offer_add(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                   const mtls_offer_terms_t *terms, mtls_ocsp_record_t *record)
{
    mtls_ocsp_proof_t proof;
    mtls_held_t held;

    if (!mtls_offer_counts(proofs, subject, der, terms, &proof))
        return 0;
    held = held_of(proofs, subject, terms, record);
    if (!mtls_offer_hold(&held, der, &proof))
        return 0;
    *record = mtls_held_record(&held);
    return 1;
}
