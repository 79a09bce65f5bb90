/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* identity/: the formats MTLSExport knows: their options, their headers, and values that could be
 * misread. What readers make of the finished texts is in t/golden. */

#include "suite.h"

#include <openssl/x509v3.h>

#include "certificates.h"
#include "identity/format.h"
#include "identity/text.h"
#include "identity/xfcc.h"
#include "pki/number.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

#define BYTES(text) text, sizeof(text) - 1

/* ---- options ---- */

#define BY      MTLS_XFCC_BY
#define HASH    MTLS_XFCC_HASH
#define CERT    MTLS_XFCC_CERT
#define CHAIN   MTLS_XFCC_CHAIN
#define SUBJECT MTLS_XFCC_SUBJECT
#define URI     MTLS_XFCC_URI
#define DNS     MTLS_XFCC_DNS

static const struct line_row {
    const char *name; /* the words of the line */
    const char *wrong;
    mtls_format_kind_t kind;
    int chain, append;
    unsigned int pairs;
    int needs_chain;
    const char *headers;
} lines[] = {
    {"none", NULL, MTLS_FORMAT_NONE, 0, 0, 0, 0, ""},
    {"env", NULL, MTLS_FORMAT_ENV, 0, 0, 0, 0, ""},
    {"ENV", NULL, MTLS_FORMAT_ENV, 0, 0, 0, 0, ""},
    {"rfc9440", NULL, MTLS_FORMAT_RFC9440, 0, 0, 0, 0, "Client-Cert Client-Cert-Chain"},
    {"rfc9440 chain", NULL, MTLS_FORMAT_RFC9440, 1, 0, 0, 1, "Client-Cert Client-Cert-Chain"},
    {"xfcc", NULL, MTLS_FORMAT_XFCC, 0, 0, BY | HASH | SUBJECT | URI | DNS, 0,
     "X-Forwarded-Client-Cert"},
    {"xfcc set", NULL, MTLS_FORMAT_XFCC, 0, 0, MTLS_XFCC_DEFAULT, 0, "X-Forwarded-Client-Cert"},
    {"xfcc append", NULL, MTLS_FORMAT_XFCC, 0, 1, MTLS_XFCC_DEFAULT, 0, "X-Forwarded-Client-Cert"},
    {"xfcc uri", NULL, MTLS_FORMAT_XFCC, 0, 0, URI, 0, "X-Forwarded-Client-Cert"},
    {"xfcc append uri", NULL, MTLS_FORMAT_XFCC, 0, 1, HASH | URI, 0, "X-Forwarded-Client-Cert"},
    {"xfcc set by,hash,cert,chain,subject,uri,dns", NULL, MTLS_FORMAT_XFCC, 0, 0,
     BY | HASH | CERT | CHAIN | SUBJECT | URI | DNS, 1, "X-Forwarded-Client-Cert"},
    {"xfcc Hash,URI", NULL, MTLS_FORMAT_XFCC, 0, 0, HASH | URI, 0, "X-Forwarded-Client-Cert"},
    {"google", NULL, MTLS_FORMAT_GOOGLE, 0, 0, 0, 1,
     "X-Client-Cert-Present X-Client-Cert-Chain-Verified X-Client-Cert-Error X-Client-Cert-Hash "
     "X-Client-Cert-Serial-Number X-Client-Cert-SPIFFE X-Client-Cert-URI-SANs "
     "X-Client-Cert-DNSName-SANs X-Client-Cert-Valid-Not-Before X-Client-Cert-Valid-Not-After "
     "X-Client-Cert-Issuer-Dn X-Client-Cert-Subject-Dn X-Client-Cert-Leaf X-Client-Cert-Chain"},
    {"aws-alb", NULL, MTLS_FORMAT_AWS_ALB, 0, 0, 0, 0,
     "X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Serial-Number X-Amzn-Mtls-Clientcert-Issuer "
     "X-Amzn-Mtls-Clientcert-Subject X-Amzn-Mtls-Clientcert-Validity X-Amzn-Mtls-Clientcert-Leaf"},
    {"ingress-nginx", NULL, MTLS_FORMAT_INGRESS_NGINX, 0, 0, 0, 0,
     "ssl-client-verify ssl-client-subject-dn ssl-client-issuer-dn ssl-client-cert"},
    {"traefik", NULL, MTLS_FORMAT_TRAEFIK, 0, 0, 0, 1,
     "X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info"},
    {"jwt aud=orders", NULL, MTLS_FORMAT_JWT, 0, 0, 0, 0, "X-Client-Identity"},
    {"jwt aud=orders header=X-Who", NULL, MTLS_FORMAT_JWT, 0, 0, 0, 0, "X-Who"},
    {"", "unknown format|\"\"|none, env, rfc9440", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"rfc9441", "rfc9441|xfcc, google, aws-alb, ingress-nginx, traefik and jwt", MTLS_FORMAT_NONE,
     0, 0, 0, 0, NULL},
    {"none env", "\"env\"|no option of none", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"google chain", "\"chain\"|no option of google", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"rfc9440 leaf", "\"leaf\"|no option of rfc9440|chain", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"rfc9440 chain chain", "no option of rfc9440", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"xfcc add", "\"add\"|set, append|hash, cert", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"xfcc hash,", "\"\" is no part", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"xfcc hash,uri,hash", "twice", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"xfcc set hash uri", "\"uri\"|one list", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"xfcc set append", "\"append\"", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
    {"jwt", "aud", MTLS_FORMAT_NONE, 0, 0, 0, 0, NULL},
};

static const char *parse(const char *line, mtls_format_t *format)
{
    char **words = NULL;
    int n = 0;

    assert_int_equal(apr_tokenize_to_argv(line, &words, pool), APR_SUCCESS);
    while (words[n])
        n++;
    return mtls_format_parse(pool, n, words, format);
}

static void line_case(void **state)
{
    const struct line_row *row = *state;
    const char *const *names;
    const char *all = "";
    mtls_format_t format;

    assert_message(parse(row->name, &format), row->wrong);
    if (row->wrong)
        return;
    assert_int_equal(format.kind, row->kind);
    assert_int_equal(format.chain, row->chain);
    assert_int_equal(format.append, row->append);
    assert_int_equal(format.pairs, row->pairs);
    assert_int_equal(mtls_format_needs_chain(&format), row->needs_chain);
    for (names = mtls_format_names(pool, &format); *names; names++)
        all = apr_pstrcat(pool, all, *all ? " " : "", *names, NULL);
    assert_string_equal(all, row->headers);
}

/* ---- headers ---- */

static void assert_text(const char *got, const char *expected)
{
    if (!expected) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, expected);
}

static const char *header_of(const apr_array_header_t *all, const char *name)
{
    const char *found = NULL;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const mtls_header_t *header = &APR_ARRAY_IDX(all, i, mtls_header_t);
        if (strcmp(header->name, name) == 0) {
            assert_null(found); /* no name twice */
            found = header->value;
        }
    }
    return found;
}

static apr_array_header_t *headers_of(const char *line, const mtls_identity_t *identity)
{
    apr_array_header_t *out = apr_array_make(pool, 4, sizeof(mtls_header_t));
    mtls_format_t format;

    assert_null(parse(line, &format));
    mtls_format_headers(pool, &format, identity, out);
    return out;
}

static void nobody_has_no_headers(void **state)
{
    mtls_identity_t nobody = {.now = WORLD_NOW};
    mtls_evidence_t zero;
    size_t i;

    (void)state;
    memset(&zero, 0, sizeof(zero));
    for (i = 0; i < ROWS(lines); i++) {
        if (lines[i].wrong)
            continue;
        nobody.evidence = NULL;
        assert_int_equal(headers_of(lines[i].name, &nobody)->nelts, 0);
        nobody.evidence = &zero;
        assert_int_equal(headers_of(lines[i].name, &nobody)->nelts, 0);
    }
}

/* What is set was announced: the server strips those names. */
static void no_header_but_the_announced(void **state)
{
    mtls_identity_t identity = {.now = WORLD_NOW};
    mtls_span_t cas[2] = {mtls_span_of("one"), mtls_span_of("two")};
    mtls_format_t format;
    peer_t peer;
    size_t i;
    int n, set = 0;

    (void)state;
    peer_init(&peer, pool);
    identity.evidence = &peer.evidence;
    identity.cas = cas;
    identity.ca_count = 2;
    for (i = 0; i < ROWS(lines); i++) {
        apr_array_header_t *all;
        if (lines[i].wrong)
            continue;
        assert_null(parse(lines[i].name, &format));
        all = headers_of(lines[i].name, &identity);
        for (n = 0; n < all->nelts; n++) {
            const char *const *names = mtls_format_names(pool, &format);
            while (*names && strcmp(*names, APR_ARRAY_IDX(all, n, mtls_header_t).name) != 0)
                names++;
            assert_non_null(*names);
            set++;
        }
    }
    assert_true(set > 30);
}

static void an_absent_value_is_no_header(void **state)
{
    apr_array_header_t *out = apr_array_make(pool, 1, sizeof(mtls_header_t));

    (void)state;
    mtls_header_push(out, "X-A", NULL);
    mtls_header_push(out, "X-A", "");
    assert_int_equal(out->nelts, 0);
    mtls_header_push(out, "X-A", "a");
    assert_int_equal(out->nelts, 1);
}

/* ---- what a certificate without much exports ---- */

static mtls_evidence_t evidence_of(X509 *x)
{
    mtls_evidence_t evidence;
    const char *error;

    memset(&evidence, 0, sizeof(evidence));
    evidence.facts = mtls_x509_facts(pool, x, &error);
    assert_non_null(evidence.facts);
    return evidence;
}

static void a_name_that_is_empty_is_left_out(void **state)
{
    static const char *const all[] = {"xfcc", "google", "aws-alb", "ingress-nginx"};
    static const char *const absent[] = {"X-Client-Cert-Subject-Dn",
                                         "X-Client-Cert-Issuer-Dn",
                                         "X-Client-Cert-SPIFFE",
                                         "X-Client-Cert-URI-SANs",
                                         "X-Client-Cert-DNSName-SANs",
                                         "X-Client-Cert-Chain",
                                         "X-Client-Cert-Error",
                                         "X-Amzn-Mtls-Clientcert",
                                         "X-Amzn-Mtls-Clientcert-Subject",
                                         "X-Amzn-Mtls-Clientcert-Issuer",
                                         "ssl-client-subject-dn",
                                         "ssl-client-issuer-dn"};
    certificate_t spec = {.serial = "0"};
    mtls_evidence_t evidence = evidence_of(certificate_make(pool, &spec, NULL));
    mtls_identity_t identity = {.evidence = &evidence};
    size_t i, j;

    (void)state;
    for (i = 0; i < ROWS(all); i++) {
        for (j = 0; j < ROWS(absent); j++)
            assert_null(header_of(headers_of(all[i], &identity), absent[j]));
    }
    assert_int_equal(headers_of("xfcc subject,uri,dns,by", &identity)->nelts, 0);
    assert_null(strchr(header_of(headers_of("xfcc", &identity), MTLS_XFCC_HEADER), ';'));
    assert_string_equal(header_of(headers_of("google", &identity), "X-Client-Cert-Serial-Number"),
                        "00");
    assert_string_equal(
        header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info"),
        "SerialNumber%3D%220%22%3BNB%3D%221768464000%22%3BNA%3D%221831536000%22");
}

static void a_certificate_that_is_allowed_has_no_chain(void **state)
{
    mtls_identity_t identity = {.now = WORLD_NOW};
    const char *leaf, *info;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.chain.exempt = 1;
    identity.evidence = &peer.evidence;
    assert_null(header_of(headers_of("rfc9440 chain", &identity), "Client-Cert-Chain"));
    assert_text(header_of(headers_of("google", &identity), "X-Client-Cert-Chain-Verified"),
                "false");
    assert_null(header_of(headers_of("google", &identity), "X-Client-Cert-Issuer-Dn"));
    assert_null(header_of(headers_of("aws-alb", &identity), "X-Amzn-Mtls-Clientcert-Issuer"));
    assert_null(header_of(headers_of("ingress-nginx", &identity), "ssl-client-issuer-dn"));
    info = header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info");
    assert_null(strstr(info, "Issuer"));
    assert_null(header_of(headers_of("google", &identity), "X-Client-Cert-Chain"));
    leaf = header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert");
    assert_string_equal(leaf, "bm90IHJlYWxseSBERVI=");
    assert_string_equal(header_of(headers_of("xfcc chain", &identity), MTLS_XFCC_HEADER),
                        "Chain=\"-----BEGIN%20CERTIFICATE-----%0Abm90IHJlYWxseSBERVI%3D%0A"
                        "-----END%20CERTIFICATE-----%0A\"");
}

static const struct chain_row {
    const char *name;
    int n;
    const char *rfc9440;
    const char *traefik;
} chains[] = {
    {"none", 0, NULL, "bm90IHJlYWxseSBERVI="},
    {"the anchor alone", 1, ":b25l:", "bm90IHJlYWxseSBERVI="},
    {"one between", 2, ":b25l:, :dHdv:", "bm90IHJlYWxseSBERVI=,b25l"},
    {"two between", 3, ":b25l:, :dHdv:, :dGhyZWU=:", "bm90IHJlYWxseSBERVI=,b25l,dHdv"},
};

static void chain_case(void **state)
{
    const struct chain_row *row = *state;
    mtls_span_t cas[] = {mtls_span_of("one"), mtls_span_of("two"), mtls_span_of("three")};
    mtls_identity_t identity = {.now = WORLD_NOW, .cas = cas, .ca_count = row->n};
    peer_t peer;

    peer_init(&peer, pool);
    identity.evidence = &peer.evidence;
    assert_text(header_of(headers_of("rfc9440 chain", &identity), "Client-Cert-Chain"),
                row->rfc9440);
    assert_null(header_of(headers_of("rfc9440", &identity), "Client-Cert-Chain"));
    assert_text(header_of(headers_of("google", &identity), "X-Client-Cert-Chain"), row->rfc9440);
    assert_text(header_of(headers_of("google", &identity), "X-Client-Cert-Chain-Verified"), "true");
    assert_text(header_of(headers_of("aws-alb", &identity), "X-Amzn-Mtls-Clientcert-Issuer"),
                "CN=CARC I101L,O=Carcano");
    assert_text(header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert"),
                row->traefik);
}

/* ---- the SPIFFE ID of google ---- */

static void an_id_is_told_once_and_only_when_it_is_vouched_for(void **state)
{
    mtls_identity_t identity = {.now = WORLD_NOW};
    apr_array_header_t *all;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    identity.evidence = &peer.evidence;
    all = headers_of("google", &identity);
    assert_text(header_of(all, "X-Client-Cert-SPIFFE"),
                "spiffe://lab.carcano.corp/ns/prod/sa/orders");
    assert_null(header_of(all, "X-Client-Cert-URI-SANs"));
    peer.domains[0] = "other.example";
    all = headers_of("google", &identity);
    assert_null(header_of(all, "X-Client-Cert-SPIFFE"));
    assert_null(header_of(all, "X-Client-Cert-URI-SANs"));
    peer.evidence.chain = NULL;
    assert_null(header_of(headers_of("google", &identity), "X-Client-Cert-SPIFFE"));
}

/* A mesh takes it for the caller's, wherever it stands. */
static const struct vouched_row {
    const char *name; /* of the alternative name */
    int vouched, told;
} vouched[] = {
    {"spiffe://lab.carcano.corp/a", 1, 1},
    {"spiffe://lab.carcano.corp/a", 0, 0},
    {"spiffe://other.example/a", 1, 0},
    {"SPIFFE://lab.carcano.corp/a", 1, 0},
    {"Spiffe:a", 1, 0},
    {"spiffe:", 0, 0},
    {"spiffe", 0, 1},
    {"https://x/spiffe://lab.carcano.corp/a", 0, 1},
    {"spiffes://lab.carcano.corp/a", 0, 1},
};

static void vouched_case(void **state)
{
    const struct vouched_row *row = *state;
    const char *const domains[] = {row->vouched ? "lab.carcano.corp" : NULL, NULL};
    mtls_chain_t chain = {.trust_domains = domains};
    san_t san = {GEN_URI, row->name, 0, 0};
    certificate_t spec = {.subject = {{"CN", 0, "x", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);
    mtls_evidence_t evidence;
    mtls_identity_t identity = {.evidence = &evidence};
    const apr_array_header_t *google;
    const char *info;
    int is_id = row->told && strncmp(row->name, "spiffe://", 9) == 0;

    certificate_add_san(x, &san, 1, key_get(KEY_P256, 0));
    evidence = evidence_of(x);
    evidence.chain = &chain;
    assert_text(header_of(headers_of("xfcc uri", &identity), MTLS_XFCC_HEADER),
                row->told ? apr_pstrcat(pool, "URI=", row->name, NULL) : NULL);
    google = headers_of("google", &identity);
    assert_text(header_of(google, "X-Client-Cert-SPIFFE"), is_id ? row->name : NULL);
    assert_text(header_of(google, "X-Client-Cert-URI-SANs"),
                row->told && !is_id ? mtls_text_base64(pool, mtls_span_of(row->name)) : NULL);
    info = header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info");
    assert_int_equal(strstr(info, "SAN%3D") != NULL, row->told && strchr(row->name, ':'));
}

/* ---- serial numbers ---- */

static const struct serial_row {
    const char *name; /* as the certificate has it */
    const char *google, *aws, *decimal;
} serials[] = {
    {"1", "01", "01", "1"},
    {"80", "80", "80", "128"},
    {"03a5b1", "03a5b1", "03A5B1", "239025"},
    {"abc", "0abc", "0ABC", "2748"},
    {"-80", "-80", "-80", "-128"},
    {"-1", "-01", "-01", "-1"},
    {"ffffffffffffffffffffffffffffffffffffffff", "ffffffffffffffffffffffffffffffffffffffff",
     "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
     "1461501637330902918203684832716283019655932542975"},
};

static void serial_case(void **state)
{
    const struct serial_row *row = *state;
    certificate_t spec = {.serial = row->name, .subject = {{"CN", 0, "x", 0, 0}}};
    mtls_evidence_t evidence = evidence_of(certificate_make(pool, &spec, NULL));
    mtls_identity_t identity = {.evidence = &evidence};
    const char *info =
        header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info");

    assert_text(header_of(headers_of("google", &identity), "X-Client-Cert-Serial-Number"),
                row->google);
    assert_text(header_of(headers_of("aws-alb", &identity), "X-Amzn-Mtls-Clientcert-Serial-Number"),
                row->aws);
    assert_non_null(
        strstr(info, apr_psprintf(pool, "%%3BSerialNumber%%3D%%22%s%%22%%3B", row->decimal)));
}

static void decimal_numbers_are_bounded(void **state)
{
    char *digits = apr_pcalloc(pool, MTLS_MAX_DECIMAL_DIGITS + 2);

    (void)state;
    assert_string_equal(mtls_number_decimal(pool, "0"), "0");
    assert_null(mtls_number_decimal(pool, ""));
    assert_null(mtls_number_decimal(pool, "-"));
    assert_null(mtls_number_decimal(pool, "12x"));
    memset(digits, 'f', MTLS_MAX_DECIMAL_DIGITS);
    assert_non_null(mtls_number_decimal(pool, digits));
    digits[MTLS_MAX_DECIMAL_DIGITS] = 'f';
    assert_null(mtls_number_decimal(pool, digits));
}

/* ---- names ---- */

static const struct name_row {
    const char *name; /* the value of the one RDN, O */
    int len;
    const char *nginx;
    const char *xfcc;
} names[] = {
    {BYTES("Foo SA"), "O=Foo SA", "Subject=\"O=Foo SA\""},
    {BYTES("a,CN=admin"), "O=a\\,CN=admin", "Subject=\"O=a\\2CCN\\3Dadmin\""},
    {BYTES("a+CN=admin"), "O=a\\+CN=admin", "Subject=\"O=a\\2BCN\\3Dadmin\""},
    {BYTES("a\";Hash=00"), "O=a\\\"\\;Hash=00", "Subject=\"O=a\\22\\3BHash\\3D00\""},
    {BYTES("ends\\"), "O=ends\\\\", "Subject=\"O=ends\\5C\""},
    {BYTES("\\"), "O=\\\\", "Subject=\"O=\\5C\""},
    {BYTES("\\\""), "O=\\\\\\\"", "Subject=\"O=\\5C\\22\""},
    {BYTES("\\2C"), "O=\\\\2C", "Subject=\"O=\\5C2C\""},
    {BYTES("<x>"), "O=\\<x\\>", "Subject=\"O=\\3Cx\\3E\""},
    {BYTES("#04"), "O=\\#04", "Subject=\"O=\\2304\""},
    {BYTES(" lead"), "O=\\ lead", "Subject=\"O=\\20lead\""},
    {BYTES("trail "), "O=trail\\20", "Subject=\"O=trail\\20\""},
    {BYTES(" "), "O=\\20", "Subject=\"O=\\20\""},
    {BYTES("  "), "O=\\ \\20", "Subject=\"O=\\20\\20\""},
    {BYTES("a\\ "), "O=a\\\\\\20", "Subject=\"O=a\\5C\\20\""},
    {BYTES("a\r\nX: y"), "O=a\\0D\\0AX: y", "Subject=\"O=a\\0D\\0AX: y\""},
    {BYTES("J\xc3\xbc"), "O=J\\C3\\BC", "Subject=\"O=J\\C3\\BC\""},
    {BYTES("\x7f"), "O=\\7F", "Subject=\"O=\\7F\""},
    {BYTES("x=y%2C"), "O=x=y%2C", "Subject=\"O=x\\3Dy%2C\""},
};

static void name_case(void **state)
{
    const struct name_row *row = *state;
    certificate_t spec = {.subject = {{"O", 0, row->name, row->len, 0}}};
    mtls_evidence_t evidence = evidence_of(certificate_make(pool, &spec, NULL));
    mtls_identity_t identity = {.evidence = &evidence};

    assert_text(header_of(headers_of("ingress-nginx", &identity), "ssl-client-subject-dn"),
                row->nginx);
    assert_text(header_of(headers_of("ingress-nginx", &identity), "ssl-client-issuer-dn"),
                row->nginx);
    assert_text(header_of(headers_of("aws-alb", &identity), "X-Amzn-Mtls-Clientcert-Subject"),
                row->nginx);
    assert_text(header_of(headers_of("xfcc subject", &identity), MTLS_XFCC_HEADER), row->xfcc);
}

/* ---- XFCC: URI and DNS ---- */

static const struct uri_row {
    const char *name;
    const char *xfcc; /* NULL: left out */
} uris[] = {
    {"https://x/a", "URI=https://x/a"},
    {"https://x/?a", "URI=https://x/?a"},
    {"https://x/?a=b", "URI=\"https://x/?a=b\""},
    {"https://x/a,Hash=00", "URI=\"https://x/a,Hash=00\""},
    {"https://x/a;Cert=00", "URI=\"https://x/a;Cert=00\""},
    {"https://x/%22%2C", "URI=https://x/%22%2C"},
    {"https://x/a\"", NULL},
    {"https://x/a\";Hash=00", NULL},
    {"https://x/a\\", NULL},
    {"https://x/a b", NULL},
    {"https://x/a\tb", NULL},
    {"https://x/a\r\nX: y", NULL},
    {"https://x/\x7f", NULL},
    {" ", NULL},
};

static void uri_case(void **state)
{
    const struct uri_row *row = *state;
    san_t san[2] = {{GEN_URI, row->name, 0, 0}, {GEN_DNS, row->name, 0, 0}};
    certificate_t spec = {.subject = {{"CN", 0, "x", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);
    mtls_evidence_t evidence;
    mtls_identity_t identity = {.evidence = &evidence};

    certificate_add_san(x, san, 2, key_get(KEY_P256, 0));
    evidence = evidence_of(x);
    identity.gateway_uris = &evidence.facts->san[MTLS_SAN_URI];
    assert_text(header_of(headers_of("xfcc uri", &identity), MTLS_XFCC_HEADER), row->xfcc);
    assert_text(header_of(headers_of("xfcc dns", &identity), MTLS_XFCC_HEADER),
                row->xfcc ? apr_pstrcat(pool, "DNS", row->xfcc + 3, NULL) : NULL);
    assert_text(header_of(headers_of("xfcc by", &identity), MTLS_XFCC_HEADER),
                row->xfcc ? apr_pstrcat(pool, "By", row->xfcc + 3, NULL) : NULL);
}

static void pairs_stand_in_envoys_order(void **state)
{
    mtls_span_t by[2] = {mtls_span_of("spiffe://td/gw"), mtls_span_of("https://gw")};
    mtls_values_t gateway = {by, 2};
    mtls_identity_t identity = {.now = WORLD_NOW, .gateway_uris = &gateway};
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    identity.evidence = &peer.evidence;
    assert_string_equal(
        header_of(headers_of("xfcc dns,uri,subject,cert,hash,by", &identity), MTLS_XFCC_HEADER),
        "By=spiffe://td/gw;By=https://gw;"
        "Hash=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;"
        "Cert=\"-----BEGIN%20CERTIFICATE-----%0Abm90IHJlYWxseSBERVI%3D%0A"
        "-----END%20CERTIFICATE-----%0A\";"
        "Subject=\"CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH\";"
        "URI=spiffe://lab.carcano.corp/ns/prod/sa/orders;"
        "DNS=Client.BigPartner.example;DNS=*.bigpartner.example");
}

/* ---- Traefik: alternative names only in a shape that is their own ---- */

static const struct san_row {
    const char *name;
    int type;
    int kept;
} sans[] = {
    {"a.example", GEN_DNS, 1},
    {"*.a.example.", GEN_DNS, 1},
    {"_x.a-b.example", GEN_DNS, 1},
    {"1.2.3.4.example", GEN_DNS, 1},
    {"localhost", GEN_DNS, 1},
    {"192.0.2.1", GEN_DNS, 0},
    {"3221225985", GEN_DNS, 0},
    {"192.0.2.0x1", GEN_DNS, 0},
    {"192.0.2.1.", GEN_DNS, 0},
    {"fe80::1", GEN_DNS, 0},
    {"a@b.example", GEN_DNS, 0},
    {"https://a", GEN_DNS, 0},
    {"a,b", GEN_DNS, 0},
    {"a;b", GEN_DNS, 0},
    {"a\"b", GEN_DNS, 0},
    {"a\\b", GEN_DNS, 0},
    {"a b", GEN_DNS, 0},
    {"a\r\nb", GEN_DNS, 0},
    {".", GEN_DNS, 0},
    {"..", GEN_DNS, 0},
    {"o@x.example", GEN_EMAIL, 1},
    {"o.p+q@x.example", GEN_EMAIL, 1},
    {"x.example", GEN_EMAIL, 0},
    {"@x.example", GEN_EMAIL, 0},
    {"o@", GEN_EMAIL, 0},
    {"o@@x", GEN_EMAIL, 0},
    {"mailto:o@x", GEN_EMAIL, 0},
    {"\"o,p\"@x", GEN_EMAIL, 0},
    {"o@x,admin@x", GEN_EMAIL, 0},
    {"spiffe://td/a", GEN_URI, 0},
    {"https://x/a?b=c#d", GEN_URI, 1},
    {"urn:uuid:1", GEN_URI, 1},
    {"x.example", GEN_URI, 0},
    {"//x.example", GEN_URI, 0},
    {"fe80::1", GEN_URI, 0},
    {"abcd:ef01:2345:6789:abcd:ef01:2345:6789", GEN_URI, 0},
    {"mailto:o@x.example", GEN_URI, 0},
    {"https://u@x/", GEN_URI, 0},
    {":a", GEN_URI, 0},
    {"https://x/a,b", GEN_URI, 0},
    {"https://x/a;b", GEN_URI, 0},
    {"https://x/a\"b", GEN_URI, 0},
    {"https://x/a\nb", GEN_URI, 0},
};

static void san_case(void **state)
{
    const struct san_row *row = *state;
    san_t san[2] = {{row->type, row->name, 0, 0}, {GEN_IPADD, "\xc0\0\2\x09", 4, 0}};
    certificate_t spec = {.subject = {{"CN", 0, "x", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);
    mtls_evidence_t evidence;
    mtls_identity_t identity = {.evidence = &evidence};
    const char *info, *at;

    certificate_add_san(x, san, 2, key_get(KEY_P256, 0));
    evidence = evidence_of(x);
    info = header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info");
    assert_non_null(at = strstr(info, "%3BSAN%3D%22"));
    if (row->kept)
        assert_string_not_equal(at, "%3BSAN%3D%22192.0.2.9%22");
    else
        assert_string_equal(at, "%3BSAN%3D%22192.0.2.9%22");
}

static void traefiks_own_order_and_names(void **state)
{
    certificate_t spec = {.subject = {{"CN", 0, "*.a.example", 0, 0},
                                      {"serialNumber", 0, "7", 0, 0},
                                      {"OU", 0, "p", 0, 0},
                                      {"OU", 0, "q", 0, 1},
                                      {"O", 0, "Foo & Bar", 0, 0},
                                      {"L", 0, "Bern", 0, 0},
                                      {"ST", 0, "BE", 0, 0},
                                      {"C", 0, "CH", 0, 0},
                                      {"DC", 0, "corp", 0, 0},
                                      {"UID", 0, "u", 0, 0}}};
    mtls_evidence_t evidence = evidence_of(certificate_make(pool, &spec, NULL));
    mtls_identity_t identity = {.evidence = &evidence};

    (void)state;
    assert_string_equal(
        header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info"),
        "Subject%3D%22DC%3Dcorp%2CC%3DCH%2CST%3DBE%2CL%3DBern%2CO%3DFoo+%26+Bar%2COU%3Dp%2COU%3Dq"
        "%2CSN%3D7%2CCN%3D%2A.a.example%22%3B"
        "Issuer%3D%22DC%3Dcorp%2CC%3DCH%2CST%3DBE%2CL%3DBern%2CO%3DFoo+%26+Bar%2CSN%3D7%2CCN%3D"
        "%2A.a.example%22%3B"
        "SerialNumber%3D%224097%22%3BNB%3D%221768464000%22%3BNA%3D%221831536000%22");
}

static void parts_that_could_be_misread_are_left_out(void **state)
{
    certificate_t spec = {.subject = {{"CN", 0, "a", 0, 0},
                                      {"O", 0, "x\"", 0, 0},
                                      {"x500UniqueIdentifier", V_ASN1_BIT_STRING, "\1", 1, 0},
                                      {"ST", 0, " BE", 0, 0},
                                      {"L", 0, "Bern ", 0, 0},
                                      {"OU", 0, "CN=admin", 0, 0},
                                      {"CN", 0, "b", 0, 0}}};
    mtls_evidence_t evidence = evidence_of(certificate_make(pool, &spec, NULL));
    mtls_identity_t identity = {.evidence = &evidence};
    const char *info =
        header_of(headers_of("traefik", &identity), "X-Forwarded-Tls-Client-Cert-Info");

    (void)state;
    assert_ptr_equal(strstr(info, "SerialNumber"), info);
}

/* ---- lists that may be appended to ---- */

static const struct list_row {
    const char *name;
    int good;
} lists[] = {
    {"Hash=00", 1},
    {"By=spiffe://a/b;Hash=00;Subject=\"CN=a,O=b\";URI=spiffe://c/d;DNS=x.example", 1},
    {"hash=00;SUBJECT=\"\";uri=;dns=x", 1},
    {"By=test://foo.com/be;By=http://backend.foo.com;Hash=abcdefg;URI=test://foo.com/fe;"
     "URI=http://frontend.foo.com;Cert=\"%3D%3Dabc%0Ade%3D\";"
     "Chain=\"%3D%3Dabc%0Ade%3D%3D%3Dlmn%0Aop%3D\";DNS=www.example.com",
     1},
    {"Hash=00,Hash=11", 1},
    {"Hash=00, Hash=11", 1},
    {"URI=https://x/?a=b", 1},
    {"Subject=\"a, b; c=d\"", 1},
    {"Subject=\"CN=a \\\"b\\\"\"", 1},
    {"Subject=\"CN=a\\, b\\C3\\BC\"", 1},
    {"Subject=\"\\\"\"", 1},
    {"", 0},
    {" ", 0},
    {",", 0},
    {"Hash=00,", 0},
    {"Hash=00, ", 0},
    {",Hash=00", 0},
    {"Hash=00,,Hash=11", 0},
    {"Hash=00;", 0},
    {"Hash=00;;DNS=x", 0},
    {";Hash=00", 0},
    {" Hash=00", 0},
    {"Hash=00 ", 0},
    {"Hash=00 ,Hash=11", 0},
    {"Hash=00; DNS=x", 0},
    {"Hash =00", 0},
    {"Hash", 0},
    {"Hash;DNS=x", 0},
    {"=00", 0},
    {"Issuer=x", 0},
    {"Hashes=00", 0},
    {"Subject=CN=a b", 0},
    {"Subject=a\"b", 0},
    {"Subject=a\\b", 0},
    {"Subject=\"a", 0},
    {"Subject=\"a\"b", 0},
    {"Subject=\"a\"\"b\"", 0},
    {"Subject=\"a\\\"", 0},
    {"Subject=\"a\\\\\"", 0},
    {"Subject=\"a\\\\\";Hash=00\"", 0},
    {"Subject=\"a\\", 0},
    {"Subject=\"a\tb\"", 0},
    {"Subject=\"a\\\tb\"", 0},
    {"Subject=\"a\x7f\"", 0},
    {"Subject=\"J\xc3\xbc\"", 0},
    {"Subject=\"J\\\xc3\"", 0},
    {"URI=J\xc3\xbc", 0},
    {"URI=a\r\nb", 0},
    {"Hash=00\nHash=11", 0},
};

static void list_case(void **state)
{
    const struct list_row *row = *state;

    assert_int_equal(mtls_xfcc_is_list(mtls_span_of(row->name)), row->good);
}

static void a_list_ends_at_its_length(void **state)
{
    char *text = apr_palloc(pool, MTLS_MAX_XFCC_BYTES + 1);

    (void)state;
    assert_false(mtls_xfcc_is_list(mtls_span(BYTES("Hash=00\0"))));
    assert_false(mtls_xfcc_is_list(mtls_span(BYTES("Subject=\"\0\""))));
    assert_true(mtls_xfcc_is_list(mtls_span("Hash=00,,", 7)));
    memset(text, 'a', MTLS_MAX_XFCC_BYTES + 1);
    memcpy(text, "URI=", 4);
    assert_true(mtls_xfcc_is_list(mtls_span(text, MTLS_MAX_XFCC_BYTES)));
    assert_false(mtls_xfcc_is_list(mtls_span(text, MTLS_MAX_XFCC_BYTES + 1)));
}

/* An element of ours, whatever is in the certificate, can be appended to and appended. */
static void our_own_elements_are_lists(void **state)
{
    mtls_identity_t identity = {.now = WORLD_NOW};
    int c, elements = 0;

    (void)state;
    for (c = 1; c < 256; c++) {
        char text[4] = {'x', (char)c, 'y', '\0'};
        san_t san[2] = {{GEN_URI, text, 0, 0}, {GEN_DNS, text, 0, 0}};
        certificate_t spec = {.subject = {{"CN", V_ASN1_T61STRING, text, 0, 0}}};
        X509 *x = certificate_make(pool, &spec, NULL);
        mtls_evidence_t evidence;
        const char *element;

        if (c < 0x80)
            certificate_add_san(x, san, 2, key_get(KEY_P256, 0));
        evidence = evidence_of(x);
        identity.evidence = &evidence;
        element = header_of(headers_of("xfcc by,hash,cert,chain,subject,uri,dns", &identity),
                            MTLS_XFCC_HEADER);
        assert_true(mtls_xfcc_is_list(mtls_span_of(element)));
        assert_true(
            mtls_xfcc_is_list(mtls_span_of(apr_pstrcat(pool, element, ",", element, NULL))));
        elements++;
    }
    assert_int_equal(elements, 255);
}

int main(void)
{
    SUITE_TABLE(line_case, lines);
    SUITE_CASE(nobody_has_no_headers);
    SUITE_CASE(no_header_but_the_announced);
    SUITE_CASE(an_absent_value_is_no_header);
    SUITE_CASE(a_name_that_is_empty_is_left_out);
    SUITE_CASE(a_certificate_that_is_allowed_has_no_chain);
    SUITE_TABLE(chain_case, chains);
    SUITE_CASE(an_id_is_told_once_and_only_when_it_is_vouched_for);
    SUITE_TABLE(vouched_case, vouched);
    SUITE_TABLE(serial_case, serials);
    SUITE_CASE(decimal_numbers_are_bounded);
    SUITE_TABLE(name_case, names);
    SUITE_TABLE(uri_case, uris);
    SUITE_CASE(pairs_stand_in_envoys_order);
    SUITE_TABLE(san_case, sans);
    SUITE_CASE(traefiks_own_order_and_names);
    SUITE_CASE(parts_that_could_be_misread_are_left_out);
    SUITE_TABLE(list_case, lists);
    SUITE_CASE(a_list_ends_at_its_length);
    SUITE_CASE(our_own_elements_are_lists);
    return suite_run("identity formats", 150);
}
