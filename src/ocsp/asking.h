/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The exchanges of a round: URLs in their order, for each of them the CertID with SHA-256 and the
 * one with SHA-1, until an answer is proved that is of use. One thread. */

#ifndef MTLS_OCSP_ASKING_H
#define MTLS_OCSP_ASKING_H

#include "ocsp/round.h"

typedef enum mtls_asking_t {
    MTLS_ASKING_NOBODY = 0, /* there is no responder that may be asked */
    MTLS_ASKING_LATER,      /* all of them are to be left alone for a while */
    MTLS_ASKING_NOW
} mtls_asking_t;

/* Whether to begin. */
mtls_asking_t mtls_asking_begins(const mtls_round_t *round);

/* 1: round->fetch is the next exchange; all but its `done` and `baton` is filled in. 0: there is
 * none any more, within round->deadline. */
int mtls_asking_next(mtls_round_t *round);

/* The exchange has ended, and round->outcome, body and error are set. 1: what is held is fresh now;
 * 0: go on with mtls_asking_next(). */
int mtls_asking_take(mtls_round_t *round);

/* When nothing came of it: how to put it. */
mtls_asking_t mtls_asking_result(const mtls_round_t *round);

#endif
