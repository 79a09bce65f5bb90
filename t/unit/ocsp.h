/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* OCSP responses made in memory, right ones and wrong ones. Zeroed members stand for what is usual.
 * Like certificates.h: a mistake of the test aborts. */

#ifndef MTLS_UNIT_OCSP_H
#define MTLS_UNIT_OCSP_H

#include <openssl/ocsp.h>

#include "certificates.h"

#define OCSP_NONE (-1) /* no time: leave it out */

/* An extension whose value is a NULL. */
typedef struct ocsp_extension_t {
    const char *oid; /* NULL: none */
    int critical;
    int twice;
} ocsp_extension_t;

typedef struct ocsp_statement_t {
    const char *serial;    /* hex; NULL: "1001", as of certificate_t */
    X509 *issuer;          /* NULL: ocsp_t.issuer */
    int hash;              /* NID of the CertID's digest; 0: SHA-256 */
    int status;            /* V_OCSP_CERTSTATUS_... (0: good) */
    apr_time_t revoked_at; /* 0: a day before WORLD_NOW */
    const char *reason;    /* "certificateHold", ...; NULL: none */
    apr_time_t from, to;   /* 0: an hour before, a day after WORLD_NOW; `to` may be OCSP_NONE */
    /* The bytes of a time as they are. */
    const char *from_text, *to_text, *revoked_text;
    ocsp_extension_t extension;
} ocsp_statement_t;

#define OCSP_MAX_CERTIFICATES 10

typedef struct ocsp_t {
    const issuer_t *signer; /* whose name or key the response gives */
    X509 *issuer;           /* of the CertIDs; NULL: the signer */
    const ocsp_statement_t *statements;
    int n;                  /* 0: one that is all zeroes */
    apr_time_t produced_at; /* 0: an hour before WORLD_NOW */
    const char *produced_text;
    int by_key;                                /* else by name */
    X509 *certificates[OCSP_MAX_CERTIFICATES]; /* ended by NULL */
    int digest;            /* NID of the signature's; 0: SHA-256, or none where the key has none */
    int pss;               /* RSASSA-PSS */
    mtls_span_t nonce;     /* empty: none */
    mtls_span_t nonce_der; /* the value of a nonce's extension as it is; empty: none */
    ocsp_extension_t extension;
} ocsp_t;

/* A DER OCSPResponse in `p`. */
mtls_span_t ocsp_make(apr_pool_t *p, const ocsp_t *spec);

/* One that gives an OCSP_RESPONSE_STATUS_... and nothing else. */
mtls_span_t ocsp_error(apr_pool_t *p, int status);

/* The usual one: `issuer` says `status` of `serial`. */
mtls_span_t ocsp_simple(apr_pool_t *p, const issuer_t *issuer, const char *serial, int status,
                        apr_time_t from, apr_time_t to);

/* A delegate of `issuer` for OCSPSigning, with the key KEY_P256 `key`. */
issuer_t ocsp_delegate(apr_pool_t *p, const issuer_t *issuer, int key);

/* A copy with the first occurrence of `find` replaced; not signed anew. */
mtls_span_t ocsp_patched(apr_pool_t *p, mtls_span_t der, mtls_span_t find, mtls_span_t replace);

#endif
