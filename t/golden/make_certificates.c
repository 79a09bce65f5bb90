/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Makes the certificates of t/golden: `make_certificates DIRECTORY` writes DIRECTORY/partner.pem
 * and the others. The keys are new each time and kept nowhere; the committed files are one run's.
 * Run by hand (`make t/golden/make_certificates`) when what they hold changes; then `make check
 * TESTS=t/golden/golden.t GOLDEN_ACCEPT=1` writes anew what is expected of them. */

#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <openssl/x509v3.h>

#include "../unit/certificates.h"
#include "../unit/world.h"

static apr_pool_t *pool;
static const char *base;

static void write_chain(const char *name, X509 *leaf, X509 *ca, X509 *root)
{
    X509 *all[] = {leaf, ca, root};
    FILE *out = fopen(apr_pstrcat(pool, base, "/", name, NULL), "w");
    size_t i;

    for (i = 0; out && i < 3 && all[i]; i++)
        fputs(certificate_pem(pool, all[i]).data, out);
    if (!out || fclose(out) != 0) {
        perror(name);
        exit(1);
    }
}

#define FROM apr_time_from_sec(APR_TIME_C(1767225600)) /* 2026-01-01T00:00:00Z */
#define TO   apr_time_from_sec(APR_TIME_C(2082758399)) /* 2035-12-31T23:59:59Z */

static issuer_t make_root(void)
{
    static const certificate_t spec = {.subject = {{"C", V_ASN1_PRINTABLESTRING, "CH", 0, 0},
                                                   {"O", 0, "Carcano", 0, 0},
                                                   {"CN", 0, "Golden Root", 0, 0}},
                                       .serial = "01",
                                       .from = FROM,
                                       .to = TO,
                                       .key = 0,
                                       .extensions = {"basicConstraints=critical,CA:TRUE",
                                                      "keyUsage=critical,keyCertSign,cRLSign",
                                                      "subjectKeyIdentifier=hash"}};
    issuer_t root = {certificate_make(pool, &spec, NULL), key_get(KEY_P256, 0)};

    return root;
}

static issuer_t make_intermediate(const issuer_t *root)
{
    static const certificate_t spec = {.subject = {{"DC", V_ASN1_IA5STRING, "corp", 0, 0},
                                                   {"DC", V_ASN1_IA5STRING, "carcano", 0, 0},
                                                   {"OU", 0, "Trust, Inc.", 0, 0},
                                                   {"CN", 0, "Golden I1", 0, 0}},
                                       .serial = "02",
                                       .from = FROM,
                                       .to = TO,
                                       .key = 1,
                                       .extensions = {"basicConstraints=critical,CA:TRUE,pathlen:0",
                                                      "keyUsage=critical,keyCertSign,cRLSign",
                                                      "subjectKeyIdentifier=hash",
                                                      "authorityKeyIdentifier=keyid"}};
    issuer_t ca = {certificate_make(pool, &spec, root), key_get(KEY_P256, 1)};

    return ca;
}

/* A workload of a partner: a SPIFFE ID, a name with all that needs an escape. */
static X509 *make_partner(const issuer_t *ca)
{
    static const certificate_t spec = {
        .subject = {{"C", V_ASN1_PRINTABLESTRING, "CH", 0, 0},
                    {"ST", 0, "Z\xc3\xbcrich", 0, 0},
                    {"O", 0, "Big Partner \"Foo\", SA; a=b+c \\ <#> ", 0, 0},
                    {"OU", 0, "API", 0, 0},
                    {"OU", 0, "Ops", 0, 1},
                    {"serialNumber", V_ASN1_PRINTABLESTRING, "CHE-123.456.789", 0, 0},
                    {"1.3.6.1.4.1.99999.7", 0, "seven", 0, 0},
                    {"CN", 0, "client.bigpartner.example", 0, 0}},
        .serial = "03A5B1",
        .from = FROM,
        .to = TO,
        .key = 2,
        .extensions = {"basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature",
                       "extendedKeyUsage=clientAuth"}};
    static const san_t names[] = {{GEN_URI, "spiffe://lab.carcano.corp/ns/prod/sa/orders", 0, 0},
                                  {GEN_DNS, "client.bigpartner.example", 0, 0},
                                  {GEN_DNS, "*.api.bigpartner.example", 0, 0},
                                  {GEN_DNS, "192.0.2.1", 0, 0},
                                  {GEN_EMAIL, "ops@bigpartner.example", 0, 0},
                                  {GEN_IPADD, "\xc0\0\2\x0a", 4, 0},
                                  {GEN_IPADD, " \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x10", 16, 0},
                                  {GEN_OTHERNAME, "orders@bigpartner.example", 0, 0}};
    X509 *x = certificate_make(pool, &spec, ca);

    certificate_add_san(x, names, sizeof(names) / sizeof(names[0]), ca->key);
    return x;
}

/* A device without a name of its own, with alternative names that look like something else. */
static X509 *make_device(const issuer_t *root)
{
    static const certificate_t spec = {.serial = "00FEDCBA98765432100123456789ABCDEF",
                                       .from = FROM,
                                       .to = TO,
                                       .key = 3,
                                       .extensions = {"extendedKeyUsage=clientAuth"}};
    static const san_t names[] = {{GEN_URI, "urn:dev:mac:0024befffe804ff1", 0, 0},
                                  {GEN_URI, "https://x.example/?a=b,Hash=00;Cert=\"c\"", 0, 0},
                                  {GEN_URI, "https://x.example/?a=b;c=d,e", 0, 0},
                                  {GEN_URI, "fe80::1", 0, 0},
                                  {GEN_DNS, "a.example,admin.example", 0, 0},
                                  {GEN_DNS, "a.example\", URI:spiffe://lab/admin", 0, 0},
                                  {GEN_EMAIL, "a@x.example,admin@x.example", 0, 0}};
    X509 *x = certificate_make(pool, &spec, root);

    certificate_add_san(x, names, sizeof(names) / sizeof(names[0]), root->key);
    return x;
}

/* One that only a trust store's MTLSAllowCertificate takes. */
static X509 *make_legacy(void)
{
    static const certificate_t spec = {.subject = {{"CN", V_ASN1_T61STRING, "J\xfcrg", 0, 0}},
                                       .serial = "-80",
                                       .from = FROM,
                                       .to = TO,
                                       .key = 4};

    return certificate_make(pool, &spec, NULL);
}

/* The names and dates of the example in the documentation of AWS. */
static void write_seattle(void)
{
    static const certificate_t ca_spec = {.subject = {{"C", V_ASN1_PRINTABLESTRING, "US", 0, 0},
                                                      {"ST", 0, "Washington", 0, 0},
                                                      {"L", 0, "Seattle", 0, 0},
                                                      {"O", 0, "mTLS", 0, 0},
                                                      {"OU", 0, "rootCA", 0, 0},
                                                      {"CN", 0, "rootcamtls.com", 0, 0}},
                                          .from = FROM,
                                          .to = TO,
                                          .key = 5,
                                          .extensions = {"basicConstraints=critical,CA:TRUE"}};
    static const certificate_t spec = {
        .subject = {{"C", V_ASN1_PRINTABLESTRING, "US", 0, 0},
                    {"ST", 0, "Washington", 0, 0},
                    {"O", 0, "mTLS", 0, 0},
                    {"OU", 0, "client-3", 0, 0},
                    {"CN", 0, "client_.com", 0, 0}},
        .serial = "03A5B1",
        .from = apr_time_from_sec(APR_TIME_C(1695261017)), /* 2023-09-21T01:50:17Z */
        .to = apr_time_from_sec(APR_TIME_C(1726797017)),   /* 2024-09-20T01:50:17Z */
        .key = 2};
    issuer_t ca = {certificate_make(pool, &ca_spec, NULL), key_get(KEY_P256, 5)};

    write_chain("seattle.pem", certificate_make(pool, &spec, &ca), ca.x, NULL);
}

/* Those of the example in the documentation of Traefik, with one common name. */
static void write_cheese(void)
{
    static const certificate_t ca_spec = {.subject = {{"DC", V_ASN1_IA5STRING, "org", 0, 0},
                                                      {"DC", V_ASN1_IA5STRING, "cheese", 0, 0},
                                                      {"O", 0, "Cheese", 0, 0},
                                                      {"O", 0, "Cheese 2", 0, 0},
                                                      {"OU", 0, "Simple Signing Section", 0, 0},
                                                      {"CN", 0, "Simple Signing CA 2", 0, 0},
                                                      {"C", V_ASN1_PRINTABLESTRING, "FR", 0, 0},
                                                      {"C", V_ASN1_PRINTABLESTRING, "US", 0, 0}},
                                          .from = FROM,
                                          .to = TO,
                                          .key = 6,
                                          .extensions = {"basicConstraints=critical,CA:TRUE"}};
    static const certificate_t spec = {.subject = {{"DC", V_ASN1_IA5STRING, "org", 0, 0},
                                                   {"DC", V_ASN1_IA5STRING, "cheese", 0, 0},
                                                   {"O", 0, "Cheese", 0, 0},
                                                   {"O", 0, "Cheese 2", 0, 0},
                                                   {"OU", 0, "Simple Signing Section", 0, 0},
                                                   {"OU", 0, "Simple Signing Section 2", 0, 0},
                                                   {"CN", 0, "*.cheese.com", 0, 0},
                                                   {"C", V_ASN1_PRINTABLESTRING, "FR", 0, 0},
                                                   {"C", V_ASN1_PRINTABLESTRING, "US", 0, 0},
                                                   {"L", 0, "TOULOUSE", 0, 0},
                                                   {"L", 0, "LYON", 0, 0},
                                                   {"ST", 0, "Cheese org state", 0, 0},
                                                   {"ST", 0, "Cheese com state", 0, 0}},
                                       .serial = "01",
                                       .from = apr_time_from_sec(APR_TIME_C(1544094616)),
                                       .to = apr_time_from_sec(APR_TIME_C(1607166616)),
                                       .key = 2};
    static const san_t names[] = {
        {GEN_DNS, "*.cheese.org", 0, 0},     {GEN_DNS, "*.cheese.net", 0, 0},
        {GEN_DNS, "*.cheese.com", 0, 0},     {GEN_IPADD, "\x0a\0\1\0", 4, 0},
        {GEN_IPADD, "\x0a\0\1\2", 4, 0},     {GEN_EMAIL, "test@cheese.org", 0, 0},
        {GEN_EMAIL, "test@cheese.net", 0, 0}};
    issuer_t ca = {certificate_make(pool, &ca_spec, NULL), key_get(KEY_P256, 6)};
    X509 *x = certificate_make(pool, &spec, &ca);

    certificate_add_san(x, names, sizeof(names) / sizeof(names[0]), ca.key);
    write_chain("cheese.pem", x, ca.x, NULL);
}

int main(int argc, char **argv)
{
    issuer_t root, ca;

    if (argc != 2 || apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 2;
    base = argv[1];
    root = make_root();
    ca = make_intermediate(&root);
    write_chain("partner.pem", make_partner(&ca), ca.x, root.x);
    write_chain("device.pem", make_device(&root), root.x, NULL);
    write_chain("legacy.pem", make_legacy(), NULL, NULL);
    write_seattle();
    write_cheese();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
