/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificates full of bytes that mean something to a reader: `awkward DIRECTORY` writes them
 * there, NAME.pem, and key.pem, the key of all. It prints what was put in, for t/golden/roundtrip.t
 * to find again:
 *
 *     NAME subject RDN OID HEX   one attribute of the RDN-th RDN; HEX is its value in UTF-8
 *     NAME dns|uri|email HEX     one alternative name
 */

#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "../unit/certificates.h"
#include "../unit/world.h"
#include "policy/value.h"

#define OID_CN      "2.5.4.3"
#define OID_O       "2.5.4.10"
#define OID_OU      "2.5.4.11"
#define OID_L       "2.5.4.7"
#define OID_UNKNOWN "1.3.6.1.4.1.99999.7"

static apr_pool_t *pool;
static const char *base;

static void write_certificate(const char *name, X509 *x)
{
    mtls_span_t pem = certificate_pem(pool, x);
    FILE *out = fopen(apr_pstrcat(pool, base, "/", name, ".pem", NULL), "w");

    /* Twice: it is its own anchor. */
    if (!out || fwrite(pem.data, 1, pem.len, out) != pem.len ||
        fwrite(pem.data, 1, pem.len, out) != pem.len || fclose(out) != 0) {
        perror(name);
        exit(1);
    }
}

static void write_key(void)
{
    FILE *out = fopen(apr_pstrcat(pool, base, "/key.pem", NULL), "w");

    if (!out || PEM_write_PrivateKey(out, key_get(KEY_P256, 0), NULL, NULL, 0, NULL, NULL) != 1 ||
        fclose(out) != 0) {
        perror("key.pem");
        exit(1);
    }
}

static const char *hex(const char *text)
{
    return mtls_value_hex(pool, text, strlen(text));
}

static void tell_san(const char *name, const san_t *san)
{
    const char *type = san->type == GEN_DNS ? "dns" : san->type == GEN_URI ? "uri" : "email";

    printf("%s %s %s\n", name, type, hex(san->data));
}

/* `text` in UTF-8, in every place of a name, and, where it is ASCII, in alternative names. */
static void make(const char *name, const char *text)
{
    const char *between = apr_pstrcat(pool, "a", text, "b", NULL);
    const char *before = apr_pstrcat(pool, text, "lead", NULL);
    const char *behind = apr_pstrcat(pool, "trail", text, NULL);
    certificate_t spec = {.subject = {{OID_O, 0, behind, 0, 0},
                                      {OID_OU, 0, text, 0, 0},
                                      {OID_L, 0, between, 0, 1},
                                      {OID_UNKNOWN, 0, text, 0, 0},
                                      {OID_OU, 0, before, 0, 0},
                                      {OID_CN, 0, between, 0, 0}},
                          .from = apr_time_from_sec(APR_TIME_C(946684800)), /* 2000 */
                          .to = apr_time_from_sec(APR_TIME_C(2493072000))}; /* 2049 */
    san_t sans[] = {
        {GEN_DNS, between, 0, 0},
        {GEN_DNS, text, 0, 0},
        {GEN_URI, apr_pstrcat(pool, "https://x.example/", between, NULL), 0, 0},
        {GEN_URI, apr_pstrcat(pool, "urn:x", text, NULL), 0, 0},
        {GEN_URI, text, 0, 0},
        {GEN_EMAIL, apr_pstrcat(pool, between, "@x.example", NULL), 0, 0},
        {GEN_EMAIL, text, 0, 0},
        {GEN_DNS, "last.example", 0, 0},
    };
    X509 *x = certificate_make(pool, &spec, NULL);
    int rdn = 0;
    size_t i;

    for (i = 0; spec.subject[i].type; i++) {
        rdn += !spec.subject[i].joined;
        printf("%s subject %d %s %s\n", name, rdn, spec.subject[i].type,
               hex(spec.subject[i].value));
    }
    if ((*text & 0x80) == 0) {
        certificate_add_san(x, sans, sizeof(sans) / sizeof(sans[0]), key_get(KEY_P256, 0));
        for (i = 0; i < sizeof(sans) / sizeof(sans[0]); i++)
            tell_san(name, &sans[i]);
    }
    write_certificate(name, x);
}

/* What an attacker would ask a CA to sign. */
static const char *const attempts[] = {
    "a,CN=admin",
    "a+CN=admin",
    "a;CN=admin",
    "a/CN=admin",
    "a\nCN=admin",
    "a\r\nX-Admin: 1",
    "a,Hash=00",
    "a;Hash=00",
    "a\";Hash=00",
    "a\",Hash=00;Subject=\"CN=admin",
    "a\\\";Hash=00;Subject=\\\"",
    "a\\",
    "a\\\\",
    "\\\"",
    "\\2C",
    "\\\\2C",
    "\\,",
    "#0403616263",
    "#",
    "##",
    "\\#",
    " ",
    "  ",
    "\\ ",
    " \\",
    "%2C%22%0D%0A",
    "+",
    "=",
    "=#",
    "a,OU=b,O=c",
    "\";SerialNumber=\"1",
    "\",Issuer=\"CN=root",
    "a,admin.example",
    "DNS:admin.example, URI:spiffe://lab/admin",
    "spiffe://lab.carcano.corp/admin",
    "spiffe://lab.carcano.corp/a,spiffe://lab.carcano.corp/admin",
    "admin@x.example",
    "192.0.2.1",
    "192.0.2.1,192.0.2.2",
    "2001:db8::1",
    "::1",
    "0x7f.1",
    "<admin>",
    "'",
    "`id`",
    "$(id)",
    "*)(uid=*",
    "' OR '1'='1",
    "<script>",
    "(null)",
    "NONE",
    "\x1b[31m",
    "\t",
    "\x7f",
};

int main(int argc, char **argv)
{
    size_t i;
    int c;

    if (argc != 2 || apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 2;
    base = argv[1];
    write_key();
    for (c = 1; c < 0x180; c++) {
        char text[3] = {(char)c, '\0', '\0'};
        if (c >= 0x80) {
            text[0] = (char)(0xc0 | (c >> 6));
            text[1] = (char)(0x80 | (c & 0x3f));
        }
        make(apr_psprintf(pool, "byte-%03x", (unsigned)c), text);
    }
    for (i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
        make(apr_psprintf(pool, "attempt-%02d", (int)i), attempts[i]);
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
