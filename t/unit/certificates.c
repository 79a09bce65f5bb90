/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "certificates.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/conf.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "world.h"

/* A test that cannot make its certificate tests nothing: stop. */
#define MUST(condition) must((condition) ? 1 : 0, #condition, __LINE__)

static void must(int ok, const char *what, int line)
{
    if (!ok) {
        fprintf(stderr, "certificates.c:%d: %s\n", line, what);
        ERR_print_errors_fp(stderr);
        abort();
    }
}

/* ---- keys ---- */

static EVP_PKEY *keys[KEY_KINDS][KEYS_OF_A_KIND];

static void free_keys(void)
{
    int i, j;

    for (i = 0; i < KEY_KINDS; i++) {
        for (j = 0; j < KEYS_OF_A_KIND; j++)
            EVP_PKEY_free(keys[i][j]);
    }
}

static EVP_PKEY *key_make(key_kind_t kind)
{
    switch (kind) {
    case KEY_P256:
        return EVP_EC_gen("P-256");
    case KEY_P192:
        return EVP_EC_gen("prime192v1");
    case KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case KEY_RSA1024:
        return EVP_RSA_gen(1024);
    case KEY_RSA2048:
        return EVP_RSA_gen(2048);
    default:
        return NULL;
    }
}

EVP_PKEY *key_get(key_kind_t kind, int number)
{
    static int registered;

    if (!registered)
        registered = atexit(free_keys) == 0;
    if (!keys[kind][number])
        keys[kind][number] = key_make(kind);
    MUST(keys[kind][number]);
    return keys[kind][number];
}

/* ---- pools ---- */

static apr_status_t drop_certificate(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

static apr_status_t drop_crl(void *crl)
{
    X509_CRL_free(crl);
    return APR_SUCCESS;
}

static apr_status_t drop_stack(void *stack)
{
    sk_X509_pop_free((STACK_OF(X509) *)stack, X509_free);
    return APR_SUCCESS;
}

static X509 *kept(apr_pool_t *p, X509 *x)
{
    if (x)
        apr_pool_cleanup_register(p, x, drop_certificate, apr_pool_cleanup_null);
    return x;
}

/* ---- certificates ---- */

static void set_name(X509_NAME *name, const name_part_t *part)
{
    int i;

    for (i = 0; i < MAX_NAME_PARTS && part[i].type; i++) {
        int len = part[i].len ? part[i].len : (int)strlen(part[i].value);
        MUST(X509_NAME_add_entry_by_txt(
            name, part[i].type, part[i].tag ? part[i].tag : V_ASN1_UTF8STRING,
            (const unsigned char *)part[i].value, len, -1, part[i].joined ? -1 : 0));
    }
}

static void set_serial(X509 *x, const char *hex)
{
    BIGNUM *number = NULL;

    MUST(BN_hex2bn(&number, hex));
    MUST(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)));
    BN_free(number);
}

static void set_time(ASN1_TIME *at, apr_time_t time)
{
    MUST(ASN1_TIME_set(at, (time_t)apr_time_sec(time)));
}

static void add_extension(X509 *x, X509 *issuer, const char *text)
{
    char name[128];
    const char *value = strchr(text, '=');
    CONF *conf = NCONF_new(NULL); /* empty, but some extensions insist on one */
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    MUST(value && (size_t)(value - text) < sizeof(name));
    memcpy(name, text, (size_t)(value - text));
    name[value - text] = '\0';
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    MUST(conf);
    X509V3_set_nconf(&ctx, conf);
    extension = X509V3_EXT_nconf(conf, &ctx, name, value + 1);
    NCONF_free(conf);
    MUST(extension);
    MUST(X509_add_ext(x, extension, -1));
    X509_EXTENSION_free(extension);
}

static void sign(X509 *x, EVP_PKEY *key, int sha1)
{
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL
                       : sha1                                        ? EVP_sha1()
                                                                     : EVP_sha256();
    MUST(X509_sign(x, key, md) > 0);
}

void certificate_sign(X509 *x, EVP_PKEY *signer)
{
    sign(x, signer, 0);
}

X509 *certificate_make(apr_pool_t *p, const certificate_t *spec, const issuer_t *issuer)
{
    X509 *x = kept(p, X509_new());
    EVP_PKEY *key = key_get(spec->key_kind, spec->key);
    X509_NAME *name = X509_NAME_new();
    int i;

    MUST(x && name);
    MUST(X509_set_version(x, spec->version1 ? X509_VERSION_1 : X509_VERSION_3));
    set_serial(x, spec->serial ? spec->serial : "1001");
    set_name(name, spec->subject);
    MUST(X509_set_subject_name(x, name));
    MUST(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x) : name));
    X509_NAME_free(name);
    set_time(X509_getm_notBefore(x), spec->from ? spec->from : WORLD_NOW - 365 * WORLD_DAYS);
    set_time(X509_getm_notAfter(x), spec->to ? spec->to : WORLD_NOW + 365 * WORLD_DAYS);
    MUST(X509_set_pubkey(x, key));
    for (i = 0; i < MAX_EXTENSIONS && spec->extensions[i]; i++)
        add_extension(x, issuer ? issuer->x : x, spec->extensions[i]);
    sign(x, issuer ? issuer->key : key, spec->sha1);
    return x;
}

static GENERAL_NAME *upn(const san_t *san, int len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    ASN1_STRING *string = ASN1_STRING_type_new(san->tag ? san->tag : V_ASN1_UTF8STRING);

    MUST(name && value && string && ASN1_STRING_set(string, san->data, len));
    ASN1_TYPE_set(value, san->tag ? san->tag : V_ASN1_UTF8STRING, string);
    MUST(GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_ms_upn), value));
    return name;
}

static GENERAL_NAME *general_name(const san_t *san)
{
    int len = san->len ? san->len : (int)strlen(san->data);
    GENERAL_NAME *name;
    ASN1_STRING *string;

    if (san->type == GEN_OTHERNAME)
        return upn(san, len);
    name = GENERAL_NAME_new();
    string = ASN1_STRING_type_new(san->type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    MUST(name && string && ASN1_STRING_set(string, san->data, len));
    GENERAL_NAME_set0_value(name, san->type, string);
    return name;
}

void certificate_add_san(X509 *x, const san_t *names, int n, EVP_PKEY *signer)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    int i;

    for (i = 0; i < n; i++)
        MUST(sk_GENERAL_NAME_push(all, general_name(&names[i])));
    MUST(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_APPEND) == 1);
    GENERAL_NAMES_free(all);
    certificate_sign(x, signer);
}

static X509_EXTENSION *raw_extension(const char *oid, int critical, const void *der, int len)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 0);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    MUST(object && value && ASN1_OCTET_STRING_set(value, der, len));
    extension = X509_EXTENSION_create_by_OBJ(NULL, object, critical, value);
    MUST(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return extension;
}

void certificate_add_raw(X509 *x, const char *oid, int critical, const void *der, int len,
                         EVP_PKEY *signer)
{
    X509_EXTENSION *extension = raw_extension(oid, critical, der, len);

    MUST(X509_add_ext(x, extension, -1));
    X509_EXTENSION_free(extension);
    certificate_sign(x, signer);
}

mtls_span_t certificate_der(apr_pool_t *p, X509 *x)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    mtls_span_t out;

    MUST(len > 0);
    out = mtls_span_copy(p, mtls_span((char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    return out;
}

mtls_span_t certificate_pem(apr_pool_t *p, X509 *x)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL;
    long len;
    mtls_span_t pem;

    MUST(out && PEM_write_bio_X509(out, x) == 1);
    len = BIO_get_mem_data(out, &data);
    pem = mtls_span_copy(p, mtls_span(data, (apr_size_t)len));
    BIO_free(out);
    return pem;
}

X509 *certificate_patched(apr_pool_t *p, X509 *x, const void *find, const void *replace, size_t n)
{
    mtls_span_t der = certificate_der(p, x);
    char *bytes = (char *)(uintptr_t)der.data;
    const unsigned char *at = (const unsigned char *)der.data;
    apr_size_t i;
    int found = 0;
    X509 *out;

    for (i = 0; i + n <= der.len; i++) {
        if (memcmp(bytes + i, find, n) == 0) {
            memcpy(bytes + i, replace, n);
            found++;
        }
    }
    MUST(found > 0);
    out = d2i_X509(NULL, &at, (long)der.len);
    ERR_clear_error();
    return kept(p, out);
}

/* ---- CRLs ---- */

X509_CRL *crl_begin(apr_pool_t *p, const issuer_t *issuer, apr_time_t from, apr_time_t to)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *at = ASN1_TIME_new();

    MUST(crl && at);
    apr_pool_cleanup_register(p, crl, drop_crl, apr_pool_cleanup_null);
    MUST(X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x)));
    set_time(at, from);
    MUST(X509_CRL_set1_lastUpdate(crl, at));
    if (to) {
        set_time(at, to);
        MUST(X509_CRL_set1_nextUpdate(crl, at));
    }
    ASN1_TIME_free(at);
    return crl;
}

static ASN1_INTEGER *integer_of(const char *hex)
{
    BIGNUM *value = NULL;
    ASN1_INTEGER *number;

    MUST(BN_hex2bn(&value, hex));
    number = BN_to_ASN1_INTEGER(value, NULL);
    BN_free(value);
    MUST(number);
    return number;
}

X509_REVOKED *crl_revoke(X509_CRL *crl, const char *serial)
{
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_INTEGER *number = integer_of(serial);

    MUST(revoked && X509_REVOKED_set_serialNumber(revoked, number));
    MUST(X509_REVOKED_set_revocationDate(revoked,
                                         (ASN1_TIME *)(uintptr_t)X509_CRL_get0_lastUpdate(crl)));
    MUST(X509_CRL_add0_revoked(crl, revoked));
    ASN1_INTEGER_free(number);
    return revoked;
}

void crl_revoke_for(X509_CRL *crl, const char *serial, int reason)
{
    ASN1_ENUMERATED *value = ASN1_ENUMERATED_new();

    MUST(value && ASN1_ENUMERATED_set(value, reason));
    MUST(X509_REVOKED_add1_ext_i2d(crl_revoke(crl, serial), NID_crl_reason, value, 0, 0) == 1);
    ASN1_ENUMERATED_free(value);
}

void crl_revoke_of(X509_CRL *crl, const char *serial, X509 *issuer)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();

    MUST(names && name);
    GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(X509_get_subject_name(issuer)));
    MUST(sk_GENERAL_NAME_push(names, name));
    MUST(X509_REVOKED_add1_ext_i2d(crl_revoke(crl, serial), NID_certificate_issuer, names, 1, 0) ==
         1);
    GENERAL_NAMES_free(names);
}

void crl_add_number(X509_CRL *crl, int nid, const char *hex, int critical)
{
    ASN1_INTEGER *number = integer_of(hex);

    MUST(X509_CRL_add1_ext_i2d(crl, nid, number, critical, X509V3_ADD_APPEND) == 1);
    ASN1_INTEGER_free(number);
}

/* The part of an openssl.cnf that `text` stands for. */
static CONF *conf_of(const char *text)
{
    CONF *conf = NCONF_new(NULL);
    BIO *in = BIO_new_mem_buf(text, -1);
    long line = 0;

    MUST(conf && in && NCONF_load_bio(conf, in, &line) == 1);
    BIO_free(in);
    return conf;
}

void crl_add_extension(X509_CRL *crl, X509 *issuer, const char *name, const char *value,
                       const char *sections)
{
    CONF *conf = conf_of(sections);
    X509_EXTENSION *extension;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    X509V3_set_nconf(&ctx, conf);
    extension = X509V3_EXT_nconf(conf, &ctx, name, value);
    NCONF_free(conf);
    MUST(extension);
    MUST(X509_CRL_add_ext(crl, extension, -1));
    X509_EXTENSION_free(extension);
}

void crl_add_raw(X509_CRL *crl, const char *oid, int critical, mtls_span_t der)
{
    X509_EXTENSION *extension = raw_extension(oid, critical, der.data, (int)der.len);

    MUST(X509_CRL_add_ext(crl, extension, -1));
    X509_EXTENSION_free(extension);
}

void crl_entry_add_raw(X509_REVOKED *entry, const char *oid, int critical, mtls_span_t der)
{
    X509_EXTENSION *extension = raw_extension(oid, critical, der.data, (int)der.len);

    MUST(X509_REVOKED_add_ext(entry, extension, -1));
    X509_EXTENSION_free(extension);
}

void crl_sign(X509_CRL *crl, EVP_PKEY *key)
{
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

    MUST(X509_CRL_sign(crl, key, md) > 0);
}

mtls_span_t crl_der(apr_pool_t *p, X509_CRL *crl)
{
    unsigned char *der = NULL;
    int len = i2d_X509_CRL(crl, &der);
    mtls_span_t out;

    MUST(len > 0);
    out = mtls_span_copy(p, mtls_span((char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    return out;
}

mtls_span_t crl_pem(apr_pool_t *p, X509_CRL *crl)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL;
    long len;
    mtls_span_t pem;

    MUST(out && PEM_write_bio_X509_CRL(out, crl) == 1);
    len = BIO_get_mem_data(out, &data);
    pem = mtls_span_copy(p, mtls_span(data, (apr_size_t)len));
    BIO_free(out);
    return pem;
}

X509_CRL *crl_make(apr_pool_t *p, const issuer_t *issuer, const char *serial, apr_time_t from,
                   apr_time_t to)
{
    X509_CRL *crl = crl_begin(p, issuer, from, to);

    if (serial)
        crl_revoke(crl, serial);
    crl_sign(crl, issuer->key);
    return crl;
}

/* ---- the rest ---- */

STACK_OF(X509) * stack_of(apr_pool_t *p, ...)
{
    STACK_OF(X509) *out = sk_X509_new_null();
    va_list all;
    X509 *x;

    MUST(out);
    apr_pool_cleanup_register(p, out, drop_stack, apr_pool_cleanup_null);
    va_start(all, p);
    while ((x = va_arg(all, X509 *)) != NULL) {
        MUST(X509_up_ref(x));
        MUST(sk_X509_push(out, x));
    }
    va_end(all);
    return out;
}
