/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificates and CRLs made in memory, for tests of pki/ and identity/ and for the seeds of the
 * fuzz targets. Everything lives as long as the pool it is made with. */

#ifndef MTLS_UNIT_CERTIFICATES_H
#define MTLS_UNIT_CERTIFICATES_H

#include <apr_pools.h>
#include <apr_time.h>
#include <openssl/x509.h>

#include "policy/span.h"

/* A key: what kind, and which of that kind. Keys are made once a process. */
typedef enum key_kind_t {
    KEY_P256 = 0,
    KEY_P192,
    KEY_ED25519,
    KEY_RSA1024,
    KEY_RSA2048,
    KEY_KINDS
} key_kind_t;
#define KEYS_OF_A_KIND 8

EVP_PKEY *key_get(key_kind_t kind, int number);

/* One attribute of a name, an RDN of its own unless `joined` (then in the RDN of the last one). */
typedef struct name_part_t {
    const char *type; /* short name or OID */
    int tag;          /* V_ASN1_...; 0: UTF8String */
    const char *value;
    int len; /* 0: `value` ends at its NUL */
    int joined;
} name_part_t;

typedef struct issuer_t {
    X509 *x;
    EVP_PKEY *key;
} issuer_t;

#define MAX_NAME_PARTS 16
#define MAX_EXTENSIONS 10

typedef struct certificate_t {
    name_part_t subject[MAX_NAME_PARTS]; /* ended by a NULL type */
    const char *serial;                  /* hex; NULL: "1001" */
    apr_time_t from, to;                 /* 0: a year before and after WORLD_NOW */
    key_kind_t key_kind;
    int key;
    const char *extensions[MAX_EXTENSIONS]; /* "name=value" as in openssl.cnf; ended by NULL */
    int sha1;                               /* signed with SHA-1 */
    int version1;
} certificate_t;

/* Make it, signed by `issuer` (NULL: by itself). Aborts on a mistake of the test. */
X509 *certificate_make(apr_pool_t *p, const certificate_t *spec, const issuer_t *issuer);

/* A subjectAltName extension with these names; each is a type, its bytes and length. `type` is
 * GEN_DNS, GEN_URI, GEN_EMAIL, GEN_IPADD, or GEN_OTHERNAME for a UPN of ASN.1 type `tag`. */
typedef struct san_t {
    int type;
    const char *data;
    int len; /* 0: `data` ends at its NUL */
    int tag;
} san_t;
void certificate_add_san(X509 *x, const san_t *names, int n, EVP_PKEY *signer);

/* Add an extension with any DER, once more if it is there. */
void certificate_add_raw(X509 *x, const char *oid, int critical, const void *der, int len,
                         EVP_PKEY *signer);

/* Sign anew after a change. */
void certificate_sign(X509 *x, EVP_PKEY *signer);

/* The certificate's DER with every occurrence of `find` replaced, n bytes by n others; read again.
 * NULL when OpenSSL cannot read the result. Its signature is no longer good. */
X509 *certificate_patched(apr_pool_t *p, X509 *x, const void *find, const void *replace, size_t n);

mtls_span_t certificate_der(apr_pool_t *p, X509 *x);
mtls_span_t certificate_pem(apr_pool_t *p, X509 *x);

/* A CRL of `issuer` with one revoked serial (hex, NULL: none). */
X509_CRL *crl_make(apr_pool_t *p, const issuer_t *issuer, const char *serial, apr_time_t from,
                   apr_time_t to);

/* The same in steps: begun (`to` 0: without nextUpdate), filled, signed. crl_revoke returns the
 * entry, which stays the list's; crl_revoke_for gives it a reason (CRL_REASON_...), crl_revoke_of
 * another issuer. crl_add_number is for crlNumber and deltaCRL. crl_add_extension takes name and
 * value as in openssl.cnf, and its other sections. */
X509_CRL *crl_begin(apr_pool_t *p, const issuer_t *issuer, apr_time_t from, apr_time_t to);
X509_REVOKED *crl_revoke(X509_CRL *crl, const char *serial);
void crl_revoke_for(X509_CRL *crl, const char *serial, int reason);
void crl_revoke_of(X509_CRL *crl, const char *serial, X509 *issuer);
void crl_add_number(X509_CRL *crl, int nid, const char *hex, int critical);
void crl_add_extension(X509_CRL *crl, X509 *issuer, const char *name, const char *value,
                       const char *sections);
void crl_sign(X509_CRL *crl, EVP_PKEY *key);

/* An extension with any DER, of a list or of an entry. */
void crl_add_raw(X509_CRL *crl, const char *oid, int critical, mtls_span_t der);
void crl_entry_add_raw(X509_REVOKED *entry, const char *oid, int critical, mtls_span_t der);

mtls_span_t crl_der(apr_pool_t *p, X509_CRL *crl);
mtls_span_t crl_pem(apr_pool_t *p, X509_CRL *crl);

/* A stack of certificates that owns its references; ended by NULL. */
STACK_OF(X509) * stack_of(apr_pool_t *p, ...);

#endif
