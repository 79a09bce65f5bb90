/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Paths for the tests of pki/chain: certificates that differ from the usual in what a row says, and
 * the verdict on them. A part made of zeros is the usual one. */

#ifndef MTLS_UNIT_PATHS_H
#define MTLS_UNIT_PATHS_H

#include "suite.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certificates.h"
#include "pki/chain.h"

typedef struct raw_t {
    const char *oid;
    int critical;
    const char *der;
    int len;
} raw_t;
#define RAW(bytes) bytes, sizeof(bytes) - 1

/* What differs from the usual: NULL and 0 take the default, "-" leaves an extension out. */
typedef struct part_t {
    const char *cn, *serial;
    const char *constraints, *usage, *eku, *san;
    const char *extra[3];
    const char *from, *to; /* "U" or "G" (UTCTime, GeneralizedTime) and the text as it is */
    raw_t raw[2];
    key_kind_t kind;
    EVP_PKEY *(*own_key)(void); /* in place of `kind` */
    const char *md;             /* it is signed with */
    int key;                    /* which of its kind; 0: one for each place */
    int no_key_ids;
    int version1;
} part_t;

typedef enum place_t { ROOT = 0, INTER, LEAF } place_t;

/* As it comes off the wire, with nothing of how it was made left in memory. */
X509 *path_read_again(X509 *x);

void path_sign(X509 *x, EVP_PKEY *key, const char *md);

/* A certificate and its key; `issuer` NULL: signed by itself. */
issuer_t path_make(const part_t *part, place_t place, const issuer_t *issuer);

/* Keys that are no everyday ones, for part_t.own_key. */
EVP_PKEY *path_key_ed448(void);
EVP_PKEY *path_key_p224(void);
EVP_PKEY *path_key_secp256k1(void);
EVP_PKEY *path_key_rsa2052(void);
EVP_PKEY *path_key_explicit_p256(void);
EVP_PKEY *path_key_dsa2048(void);
EVP_PKEY *path_key_rsa_of_exponent_1(void);

/* What is trusted, what a client sends, and when. */
typedef struct scene_t {
    X509_STORE *anchors;
    STACK_OF(X509) * configured; /* intermediates */
    STACK_OF(X509) * sent;
    X509 *leaf;
    apr_time_t now;
    int depth;
} scene_t;

void scene_init(scene_t *scene);
void scene_trust(scene_t *scene, X509 *x);
void scene_configure(scene_t *scene, X509 *x);
void scene_offer(scene_t *scene, X509 *x);

/* The verdict of facts and chain, as a request gets it. */
mtls_chain_result_t scene_judge(const scene_t *scene);

/* `words`: of the detail; NULL: not looked at. */
void scene_expect(const scene_t *scene, const char *reason, const char *words);

/* A root, an intermediate and a leaf. */
struct path_row {
    const char *name;
    part_t root, inter, leaf;
    const char *reason;
    const char *detail; /* words of OpenSSL's or ours; NULL: not looked at */
    apr_time_t now;     /* seconds since 1970; 0: WORLD_NOW */
    int partial;        /* MTLSPartialChain On, and the intermediate is the anchor */
};

/* For SUITE_TABLE over struct path_row. */
void path_case(void **state);

#endif
