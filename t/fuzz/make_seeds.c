/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Makes the binary seeds: `make_seeds DIRECTORY` fills DIRECTORY/certificate, DIRECTORY/crl,
 * DIRECTORY/remembered and DIRECTORY/ocsp. The keys are new each time, but for that of
 * ocsp_world.h; the committed files are one run's. Run by hand (`make t/fuzz/make_seeds`) when what
 * the seeds hold changes. */

#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <openssl/x509v3.h>

#include "../unit/certificates.h"
#include "../unit/ocsp.h"
#include "../unit/world.h"
#include "ocsp_world.h"

static apr_pool_t *pool;
static const char *base;

static void write_seed(const char *folder, const char *name, const void *data, size_t len)
{
    FILE *out = fopen(apr_pstrcat(pool, base, "/", folder, "/", name, NULL), "wb");

    if (!out || fwrite(data, 1, len, out) != len || fclose(out) != 0) {
        perror(name);
        exit(1);
    }
}

static void write_certificate(const char *name, X509 *x)
{
    mtls_span_t der = certificate_der(pool, x);

    write_seed("certificate", name, der.data, der.len);
}

static X509 *make(const certificate_t *spec)
{
    return certificate_make(pool, spec, NULL);
}

static void plain_certificates(void)
{
    static const certificate_t usual = {
        .subject = {{"C", V_ASN1_PRINTABLESTRING, "CH", 0, 0},
                    {"O", 0, "Foo SA", 0, 0},
                    {"OU", 0, "a", 0, 0},
                    {"OU", 0, "b", 0, 1},
                    {"CN", 0, "x.example", 0, 0}},
        .extensions = {"basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature",
                       "extendedKeyUsage=clientAuth", "certificatePolicies=1.3.6.1.4.1.99999.1",
                       "subjectAltName=DNS:a.example,URI:spiffe://td/a,email:a@b,IP:192.0.2.1,"
                       "IP:2001:db8::1,RID:1.2.3,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:u@d",
                       "1.3.6.1.4.1.99999.2=ASN1:UTF8:blue"}};
    static const certificate_t encodings = {
        .subject = {{"CN", V_ASN1_BMPSTRING, "\0J\0\xfc", 4, 0},
                    {"CN", V_ASN1_T61STRING, "\xfc", 1, 0},
                    {"L", V_ASN1_UNIVERSALSTRING, "\0\0\0J", 4, 0},
                    {"x500UniqueIdentifier", V_ASN1_BIT_STRING, "\x01\x02", 2, 0},
                    {"1.3.6.1.4.1.99999.7", 0, "a,b", 0, 0}},
        .serial = "-80"};
    static const certificate_t ca = {.subject = {{"CN", 0, "CA", 0, 0}},
                                     .serial = "0",
                                     .extensions = {"basicConstraints=critical,CA:TRUE,pathlen:0",
                                                    "keyUsage=critical,keyCertSign,cRLSign",
                                                    "subjectKeyIdentifier=hash",
                                                    "nameConstraints=permitted;DNS:.example"}};
    static const certificate_t ed25519 = {.subject = {{"CN", 0, "e", 0, 0}},
                                          .key_kind = KEY_ED25519};
    static const certificate_t rsa = {.subject = {{"CN", 0, "r", 0, 0}}, .key_kind = KEY_RSA1024};
    static const certificate_t empty = {.subject = {{NULL, 0, NULL, 0, 0}}, .version1 = 1};

    write_certificate("usual", make(&usual));
    write_certificate("encodings", make(&encodings));
    write_certificate("ca", make(&ca));
    write_certificate("ed25519", make(&ed25519));
    write_certificate("rsa1024", make(&rsa));
    write_certificate("empty_subject_v1", make(&empty));
}

static void broken_certificates(void)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "QzX", 0, 0}}};
    static const san_t nul = {GEN_DNS, "a\0b", 3, 0}, ip5 = {GEN_IPADD, "\1\2\3\4\5", 5, 0},
                       upn = {GEN_OTHERNAME, "u", 0, V_ASN1_INTEGER};
    EVP_PKEY *key = key_get(KEY_P256, 0);
    X509 *x = make(&spec);

    write_certificate("unknown_key_algorithm",
                      certificate_patched(pool, x, "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
                                          "\x06\x07\x2a\x86\x48\xce\x3d\x02\x63", 9));
    certificate_add_san(x = make(&spec), &nul, 1, key);
    write_certificate("san_dns_nul", x);
    certificate_add_san(x = make(&spec), &ip5, 1, key);
    write_certificate("san_ip_5_bytes", x);
    certificate_add_san(x = make(&spec), &upn, 1, key);
    write_certificate("san_upn_integer", x);
    certificate_add_raw(x = make(&spec), "2.5.29.17", 0, "\x30\x7f", 2, key);
    write_certificate("san_no_der", x);
    certificate_add_raw(x = make(&spec), "1.2.3.4", 1, "\5\0", 2, key);
    certificate_add_raw(x, "1.2.3.4", 1, "\5\0", 2, key);
    write_certificate("extension_twice", x);
}

static size_t add(char *record, size_t used, mtls_span_t der)
{
    record[used] = (char)(der.len >> 16);
    record[used + 1] = (char)(der.len >> 8);
    record[used + 2] = (char)der.len;
    memcpy(record + used + 3, der.data, der.len);
    return used + 3 + der.len;
}

static void records(void)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "i", 0, 0}}, .key_kind = KEY_ED25519};
    mtls_span_t der = certificate_der(pool, make(&spec));
    char record[4096] = "i\0\0\0\0";
    size_t one = add(record, 5, der);
    size_t two = add(record, one, der);

    write_seed("remembered", "one", record, one);
    write_seed("remembered", "two", record, two);
    write_seed("remembered", "cut", record, one - 1);
    write_seed("remembered", "cut_in_length", record, one + 2);
    write_seed("remembered", "header_only", record, 5);
    write_seed("remembered", "other_format", "x\0\0\0\0", 5);
    write_seed("remembered", "length_beyond", "i\0\0\0\0\xff\xff\xff\x30", 9);
}

static issuer_t list_issuer(void)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "i", 0, 0}}, .key_kind = KEY_ED25519};
    issuer_t by = {make(&spec), key_get(KEY_ED25519, 0)};
    return by;
}

static void write_list(const char *name, X509_CRL *crl)
{
    mtls_span_t der;

    crl_sign(crl, key_get(KEY_ED25519, 0));
    der = crl_der(pool, crl);
    write_seed("crl", name, der.data, der.len);
}

static X509_CRL *some_list(const issuer_t *by)
{
    X509_CRL *crl = crl_begin(pool, by, WORLD_NOW - WORLD_DAYS, WORLD_NOW + WORLD_DAYS);

    crl_revoke(crl, "0102030405060708");
    crl_revoke(crl, "0");
    crl_revoke(crl, "-80");
    crl_revoke(crl, "0102030405060708");
    return crl;
}

static void plain_lists(const issuer_t *by)
{
    X509_CRL *crl = some_list(by);
    mtls_span_t pem;

    write_list("plain", crl);
    pem = crl_pem(pool, crl);
    write_seed("crl", "pem", pem.data, pem.len);
    pem = mtls_span_of(apr_pstrcat(pool, pem.data, "text\n", pem.data, NULL));
    write_seed("crl", "pem_two", pem.data, pem.len);
    crl = crl_begin(pool, by, WORLD_NOW, WORLD_NOW + WORLD_DAYS);
    write_list("empty", crl);
    X509_CRL_set_version(crl, X509_CRL_VERSION_1);
    write_list("version_1", crl);
    write_list("no_next_update", crl_begin(pool, by, WORLD_NOW, 0));
    crl_sign(crl = some_list(by), key_get(KEY_P256, 0));
    write_seed("crl", "ecdsa", crl_der(pool, crl).data, crl_der(pool, crl).len);
}

static void lists_with_extensions(const issuer_t *by)
{
    X509_CRL *crl = some_list(by);

    crl_revoke_for(crl, "09", CRL_REASON_CERTIFICATE_HOLD);
    crl_revoke_for(crl, "0A", CRL_REASON_REMOVE_FROM_CRL);
    crl_add_number(crl, NID_crl_number, "06", 0);
    crl_add_extension(crl, by->x, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nonlyuser=TRUE\nfullname=URI:http://c.example/\n");
    write_list("extensions", crl);
    crl_add_number(crl, NID_delta_crl, "05", 1);
    write_list("delta", crl);
    crl = some_list(by);
    crl_revoke_of(crl, "0B", by->x);
    write_list("issuer_in_direct", crl);
    crl_add_extension(crl, by->x, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nindirectCRL=TRUE\nonlysomereasons=keyCompromise\n");
    write_list("indirect", crl);
    crl = some_list(by);
    crl_entry_add_raw(crl_revoke(crl, "0C"), "1.2.3.4", 1, mtls_span("\5\0", 2));
    write_list("critical_entry_extension", crl);
    crl = some_list(by);
    crl_add_raw(crl, "2.5.29.28", 1, mtls_span("\5\0", 2));
    write_list("unreadable_point", crl);
}

static void write_response(const char *name, const ocsp_t *spec)
{
    mtls_span_t der = ocsp_make(pool, spec);

    write_seed("ocsp", name, der.data, der.len);
}

static void responses(const issuer_t *ca)
{
    static const ocsp_statement_t many[] = {
        {.status = V_OCSP_CERTSTATUS_REVOKED, .reason = "certificateHold"},
        {.hash = NID_sha1},
        {.serial = "1002", .status = V_OCSP_CERTSTATUS_UNKNOWN, .to = OCSP_NONE},
        {.hash = NID_sha512}};
    static const ocsp_statement_t extended = {.hash = NID_sha1,
                                              .extension = {"1.3.6.1.4.1.99999.5", 0, 0}};
    static const ocsp_statement_t critical = {.extension = {"1.3.6.1.4.1.99999.5", 1, 0}};
    issuer_t delegate = ocsp_delegate(pool, ca, 1);
    mtls_span_t later;

    write_response("good", &(ocsp_t){.signer = ca});
    write_response("by_key", &(ocsp_t){.signer = ca, .by_key = 1});
    write_response("many", &(ocsp_t){.signer = ca, .statements = many, .n = 4});
    write_response("extended", &(ocsp_t){.signer = ca,
                                         .statements = &extended,
                                         .n = 1,
                                         .nonce = {OCSP_WORLD_NONCE, 16},
                                         .extension = {"1.3.6.1.5.5.7.48.1.9", 0, 0}});
    write_response("critical", &(ocsp_t){.signer = ca, .statements = &critical, .n = 1});
    write_response(
        "delegate",
        &(ocsp_t){.signer = &delegate, .issuer = ca->x, .certificates = {ca->x, delegate.x}});
    write_response("delegate_missing", &(ocsp_t){.signer = &delegate, .issuer = ca->x});
    later = ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER);
    write_seed("ocsp", "try_later", later.data, later.len);
}

/* Those of other keys are refused for their signature, but read until then. */
static void responses_of_others(const issuer_t *ca)
{
    static const certificate_t rsa = {.subject = {{"CN", 0, "CA", 0, 0}}, .key_kind = KEY_RSA2048};
    issuer_t other = {certificate_make(pool, &rsa, NULL), key_get(KEY_RSA2048, 0)};
    issuer_t local = {ocsp_world_certificate(OCSP_WORLD_LOCAL), ocsp_world_key(2)};

    write_response("pss", &(ocsp_t){.signer = &other, .issuer = ca->x, .pss = 1});
    write_response("local", &(ocsp_t){.signer = &local, .issuer = ca->x});
    X509_free(local.x);
    EVP_PKEY_free(local.key);
}

static void all_responses(void)
{
    issuer_t ca = {ocsp_world_certificate(OCSP_WORLD_CA), ocsp_world_key(0)};

    responses(&ca);
    responses_of_others(&ca);
    X509_free(ca.x);
    EVP_PKEY_free(ca.key);
}

int main(int argc, char **argv)
{
    issuer_t by;

    if (argc != 2 || apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 1;
    base = argv[1];
    plain_certificates();
    broken_certificates();
    records();
    by = list_issuer();
    plain_lists(&by);
    lists_with_extensions(&by);
    all_responses();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
