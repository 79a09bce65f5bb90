/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What a child asks of the process that fetches statuses, and what it gets back: bytes on a socket
 * between processes of one server and one build. Still each length is checked. Any thread. */

#ifndef MTLS_OCSP_ASK_H
#define MTLS_OCSP_ASK_H

#include <apr_tables.h>

#include "pki/ocsp_message.h"
#include "ocsp/record.h"

/* Of an ask or an answer, as bytes: one message of a socket. */
#define MTLS_ASK_MAX_BYTES      (96 * 1024)
#define MTLS_ASK_MAX_URLS       5 /* a configured one, and what a certificate may name */
#define MTLS_ASK_MAX_RESPONDERS 32
/* Nothing an administrator may say lasts longer: sums of these and of dates stay numbers. */
#define MTLS_ASK_MAX_INTERVAL apr_time_from_sec(APR_TIME_C(100) * 366 * 86400)

typedef struct mtls_ask_url_t {
    const char *url;
    int configured; /* by the administrator */
} mtls_ask_url_t;

/* For the status of one certificate. */
typedef struct mtls_ask_t {
    unsigned char key[MTLS_OCSP_KEY_BYTES]; /* SHA-1 of the certificate's DER */
    mtls_span_t serial;                     /* ASN.1 INTEGER, DER */
    mtls_span_t issuer;                     /* Certificate, DER */
    apr_array_header_t *responders;         /* mtls_span_t: Certificate, DER; NULL: none */
    apr_array_header_t *urls; /* mtls_ask_url_t, to be tried in this order; NULL: none */
    mtls_span_t offered;      /* a response that came without asking (ocsp/offer.h); empty: none */
    mtls_ocsp_limits_t limits;
    apr_interval_time_t
        stale; /* MTLSOCSPStale: so much longer than usual the cache is to keep it */
    apr_interval_time_t timeout; /* of all exchanges for this ask together */
    int nonce;                   /* 0 off, 1 sent, 2 required */
    int wait;                    /* somebody waits for the answer; else it is only to be renewed */
} mtls_ask_t;

typedef enum mtls_answer_kind_t {
    MTLS_ANSWER_FAILED = 0,   /* nothing newer is to be had now */
    MTLS_ANSWER_STATUS,       /* the record holds a status that is fresh */
    MTLS_ANSWER_NO_RESPONDER, /* nothing newer is to be had: nobody may be asked */
    MTLS_ANSWER_BUSY          /* too much is asked for */
} mtls_answer_kind_t;

/* Whatever the kind, the record is the best there is: what was proved before when nothing newer is
 * to be had - a revocation stays one -, empty when nothing ever was. Who gets it proves it again
 * and judges its dates. */
typedef struct mtls_answer_t {
    mtls_answer_kind_t kind;
    mtls_ocsp_record_t record;
} mtls_answer_t;

/* In `p`; empty: it would be larger than MTLS_ASK_MAX_BYTES, or holds too much of something. Of a
 * record whose response and revocation do not both fit the revocation goes. */
mtls_span_t mtls_ask_encode(apr_pool_t *p, const mtls_ask_t *ask);
mtls_span_t mtls_answer_encode(apr_pool_t *p, const mtls_answer_t *answer);

/* 0: these bytes are none, and what they were to fill is zeroed. Spans point into `bytes`, texts
 * and arrays (never NULL then) live in `p`. */
int mtls_ask_decode(apr_pool_t *p, mtls_span_t bytes, mtls_ask_t *ask);
int mtls_answer_decode(mtls_span_t bytes, mtls_answer_t *answer);

/* The certificates and the serial of an ask, read; freed with `p`. 0: they are none. */
int mtls_ask_subject(apr_pool_t *p, const mtls_ask_t *ask, mtls_ocsp_subject_t *subject);

#endif
