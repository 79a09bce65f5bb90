/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/held.h"

/* Whether `proof` is to take the place of `held`, where there is one. */
static int is_newer(const mtls_ocsp_proof_t *proof, const mtls_ocsp_proof_t *held)
{
    return held->status == MTLS_STATUS_UNAVAILABLE || mtls_ocsp_newer(proof, held);
}

static void add_by_status(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof)
{
    if (proof->status == MTLS_STATUS_GOOD && is_newer(proof, &held->good))
        held->good = *proof;
    if (proof->status == MTLS_STATUS_REVOKED && is_newer(proof, &held->revoked)) {
        held->revoked = *proof;
        held->revocation = der;
    }
}

void mtls_held_add(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof,
                   apr_time_t fetched_at)
{
    add_by_status(held, der, proof);
    if (is_newer(proof, &held->proof)) {
        held->response = der;
        held->proof = *proof;
        held->fetched_at = fetched_at;
    } else if (mtls_span_equal(der, held->response) && fetched_at > held->fetched_at) {
        held->fetched_at = fetched_at;
    }
}

void mtls_held_renew(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof,
                     apr_time_t now)
{
    add_by_status(held, der, proof);
    held->response = der;
    held->proof = *proof;
    held->fetched_at = held->checked_at = now;
}

static int is_revoked(const mtls_held_t *held)
{
    if (held->revoked.status != MTLS_STATUS_REVOKED)
        return 0;
    return held->good.status != MTLS_STATUS_GOOD || !mtls_ocsp_newer(&held->good, &held->revoked);
}

mtls_status_t mtls_held_status(const mtls_held_t *held)
{
    return is_revoked(held) ? MTLS_STATUS_REVOKED : held->proof.status;
}

mtls_ocsp_record_t mtls_held_record(const mtls_held_t *held)
{
    mtls_ocsp_record_t record = {
        .response = held->response, .fetched_at = held->fetched_at, .checked_at = held->checked_at};

    if (is_revoked(held))
        record.revocation = held->revocation;
    return record;
}

void mtls_held_keep(mtls_held_t *held, apr_pool_t *p)
{
    int same = mtls_span_equal(held->response, held->revocation);

    held->response = mtls_span_copy(p, held->response);
    held->revocation = same ? held->response : mtls_span_copy(p, held->revocation);
}
