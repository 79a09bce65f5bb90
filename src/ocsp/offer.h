/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A response that nobody has asked for: what a server staples to its own certificate (RFC 6066 8).
 * Whoever brings it would like it to count, and may hold the key of a certificate that is revoked.
 * So it proves what any other does and is judged as any other is; and:
 *
 * - It says nothing about today. Until its nextUpdate an old good one can be shown again and again,
 *   so it counts as fetched at its thisUpdate, not now. Once that is longer ago than MTLSOCSPMaxAge
 *   (or half of its life) the responder is asked behind it, and after twice that time waited for,
 *   as for a record of the cache that nobody has looked after. Where no responder can be had it
 *   serves until its nextUpdate, like that record.
 * - It is of use or it changes nothing. One that has run out when it is brought (also within
 *   MTLSOCSPStale), is not in force yet, or does not know the certificate, is none at all; but a
 *   revocation denies however old it is.
 * - Nobody's nonce is in it. Where one is required, so that nobody shows an old good one, only a
 *   revocation counts.
 *
 * Any thread. */

#ifndef MTLS_OCSP_OFFER_H
#define MTLS_OCSP_OFFER_H

#include "ocsp/held.h"
#include "ocsp/lookup.h"

/* What it is judged by. */
typedef struct mtls_offer_terms_t {
    apr_time_t now;
    mtls_ocsp_limits_t limits;
    int need_nonce; /* MTLSOCSPNonce require */
} mtls_offer_terms_t;

/* Whether it counts, by the terms' time and limits, and then what it proves. */
int mtls_offer_counts(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                      const mtls_offer_terms_t *terms, mtls_ocsp_proof_t *proof);

/* Why it does not, for the log; static text. It proves all of it once more. */
const char *mtls_offer_refusal(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                               const mtls_offer_terms_t *terms);

/* One that counts, beside what is held. 1: something else is held now. */
int mtls_offer_hold(mtls_held_t *held, mtls_span_t der, const mtls_ocsp_proof_t *proof);

/* The same for a record, which may be empty: what of it counts together with one that does. Its
 * spans are those of `record` and `der`. */
int mtls_offer_add(mtls_proofs_t *proofs, const mtls_ocsp_subject_t *subject, mtls_span_t der,
                   const mtls_offer_terms_t *terms, mtls_ocsp_record_t *record);

#endif
