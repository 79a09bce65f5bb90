/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Trust stores as they are configured, and how a version of one is made out of its files. */

#ifndef MTLS_PKI_TRUST_STORE_H
#define MTLS_PKI_TRUST_STORE_H

#include "pki/chain.h"
#include "policy/parse_env.h"

/* What a file is listed under. The order is that of loading: CRLs are proved by the CAs before. */
typedef enum mtls_store_part_t {
    MTLS_STORE_ANCHOR = 0,
    MTLS_STORE_INTERMEDIATE,
    MTLS_STORE_ALLOWED,
    MTLS_STORE_RESPONDER, /* certificates of OCSP responders that are trusted as they are */
    MTLS_STORE_CRL,
    MTLS_STORE_PARTS
} mtls_store_part_t;

typedef enum mtls_crl_check_t {
    MTLS_CRL_CHECK_UNSET = 0, /* chain where a CRL is given, else off */
    MTLS_CRL_CHECK_CHAIN,
    MTLS_CRL_CHECK_LEAF,
    MTLS_CRL_CHECK_OFF
} mtls_crl_check_t;

/* A store as configured; immutable then. */
typedef struct mtls_trust_spec_t {
    const char *name;
    const char *where;
    apr_array_header_t *files[MTLS_STORE_PARTS]; /* const char *: files, globs, directories */
    apr_array_header_t *domains;                 /* const char *, and a NULL at the end */
    int depth;
    int partial_chain;
    mtls_crl_check_t crl_check;
    int crl_missing_ok;
    const char *responder; /* URL of its OCSP responder; NULL: the certificates name theirs */
    const char *responder_where;
    int responder_overrides; /* it is asked whatever the certificates name */
    int only_responders;     /* of a virtual host: the CAs are mod_ssl's */
} mtls_trust_spec_t;

/* A store and the version of it in force (mtls_trust_store_t). */
typedef struct mtls_trust_handle_t {
    const mtls_trust_spec_t *spec;
    mtls_live_t *live;
    mtls_live_t
        *responders; /* a store with the responders' certificates; NULL: they are in `live` */
} mtls_trust_handle_t;

/* The stores a policy believes, in order: the first that verifies a certificate counts. NULL among
 * them stands for the store of the request's virtual host. */
typedef struct mtls_trust_t {
    const char *directive;
    const char *where;
    apr_array_header_t *names; /* const char * */
    const mtls_trust_handle_t **stores;
    int n;
} mtls_trust_t;

/* The directive that lists files of a part. */
const char *mtls_store_directive(mtls_store_part_t part);

/* mtls_load_fn: make a version (mtls_trust_store_t) of the store `what` (mtls_trust_spec_t). `data`
 * stays NULL when nothing has changed. */
const char *mtls_trust_store_load(mtls_parse_env_t *env, const void *what, const void **data);

/* The CAs of a version that mtls_trust_store_load() made: anchors, then intermediates. */
const STACK_OF(X509) * mtls_trust_store_cas(const mtls_trust_store_t *store);

#endif
