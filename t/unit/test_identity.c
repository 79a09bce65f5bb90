/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* identity/: values as text, fields, and the identity as variables. */

#include "suite.h"

#include <stdlib.h>

#include <openssl/x509v3.h>

#include "certificates.h"
#include "identity/field.h"
#include "identity/text.h"
#include "identity/variables.h"
#include "pki/oid.h"
#include "pki/x509_facts.h"

#define BYTES(text) text, sizeof(text) - 1

/* ---- encoding ---- */

static const struct encode_row {
    const char *name;
    const char *value;
    apr_size_t len;
    const char *alone;
    const char *joined;
} encodings[] = {
    {"plain text stays", BYTES("Big Partner \"Foo\" SA; x=y"), "Big Partner \"Foo\" SA; x=y",
     "Big Partner \"Foo\" SA; x=y"},
    {"empty", BYTES(""), "", ""},
    {"percent", BYTES("100%"), "100%25", "100%25"},
    {"comma only where values are joined", BYTES("a,b"), "a,b", "a%2Cb"},
    {"CR and LF", BYTES("a\r\nX: b"), "a%0D%0AX: b", "a%0D%0AX: b"},
    {"NUL", BYTES("a\0b"), "a%00b", "a%00b"},
    {"escape and delete", BYTES("\x1b[0m\x7f\t"), "%1B[0m%7F%09", "%1B[0m%7F%09"},
    {"UTF-8", BYTES("J\xc3\xbcrgen"), "J%C3%BCrgen", "J%C3%BCrgen"},
    {"right-to-left override", BYTES("\xe2\x80\xae"), "%E2%80%AE", "%E2%80%AE"},
    {"blanks at the ends", BYTES(" a b "), "%20a b%20", "%20a b%20"},
    {"a blank alone", BYTES(" "), "%20", "%20"},
    {"all ones", BYTES("\xff"), "%FF", "%FF"},
};

static mtls_span_t decode(const char *text)
{
    char *out = apr_palloc(pool, strlen(text) + 1), *at = out;

    while (*text) {
        if (*text == '%') {
            char pair[3] = {text[1], text[2], '\0'};
            *at++ = (char)strtol(pair, NULL, 16);
            text += 3;
        } else {
            *at++ = *text++;
        }
    }
    return mtls_span(out, (apr_size_t)(at - out));
}

static void encode_case(void **state)
{
    const struct encode_row *row = *state;
    mtls_span_t value = mtls_span(row->value, row->len);

    assert_string_equal(mtls_text_encode(pool, value, 0), row->alone);
    assert_string_equal(mtls_text_encode(pool, value, 1), row->joined);
    assert_span_equal(decode(mtls_text_encode(pool, value, 0)), value);
    assert_span_equal(decode(mtls_text_encode(pool, value, 1)), value);
}

static void every_byte_is_safe_and_comes_back(void **state)
{
    char all[256];
    const char *text, *c;
    int i;

    (void)state;
    for (i = 0; i < 256; i++)
        all[i] = (char)i;
    text = mtls_text_encode(pool, mtls_span(all, 256), 1);
    for (c = text; *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f && *c != ',');
    assert_span_equal(decode(text), mtls_span(all, 256));
    text = mtls_text_encode_quoted(pool, mtls_span(all, 256));
    for (c = text; *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
    assert_span_equal(decode(text), mtls_span(all, 256));
}

static void a_finished_value_is_not_encoded_twice(void **state)
{
    const char *clean = "CN=a%2Cb, x";

    (void)state;
    assert_ptr_equal(mtls_text_encode_control(pool, clean), clean);
    assert_string_equal(mtls_text_encode_control(pool, "a%2C\r\nb\xc3\xbc\x7f"),
                        "a%2C%0D%0Ab%C3%BC%7F");
    assert_string_equal(mtls_text_encode_control(pool, ""), "");
}

static const struct time_row {
    const char *name; /* as text */
    apr_int64_t seconds;
} times[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2027-01-15T08:00:00Z", APR_INT64_C(1800000000)},
    {"2050-01-01T00:00:00Z", APR_INT64_C(2524608000)},
    {"2100-03-01T00:00:00Z", APR_INT64_C(4107542400)},
    {"9999-12-31T23:59:59Z", APR_INT64_C(253402300799)},
};

static void time_case(void **state)
{
    const struct time_row *row = *state;

    assert_string_equal(mtls_text_time(pool, apr_time_from_sec(row->seconds)), row->name);
    assert_string_equal(mtls_text_time(pool, apr_time_from_sec(row->seconds) + 999999), row->name);
}

/* ---- PEM and base64 ---- */

static void pem_is_that_of_openssl(void **state)
{
    int extra;

    (void)state;
    for (extra = 1; extra < 60; extra++) { /* every length of the last line */
        certificate_t spec = {.subject = {{"CN", 0, "x", 0, 0}}};
        X509 *x = certificate_make(pool, &spec, NULL);
        mtls_span_t pem;
        certificate_add_raw(x, "1.3.6.1.4.1.99999.2", 0, apr_pcalloc(pool, 64), extra,
                            key_get(KEY_P256, 0));
        pem = certificate_pem(pool, x);
        assert_string_equal(mtls_text_pem(pool, certificate_der(pool, x)), pem.data);
    }
}

static void base64_is_one_line(void **state)
{
    (void)state;
    assert_string_equal(mtls_text_base64(pool, mtls_span("", 0)), "");
    assert_string_equal(mtls_text_base64(pool, mtls_span("\0", 1)), "AA==");
    assert_string_equal(mtls_text_base64(pool, mtls_span("\xff\xfe", 2)), "//4=");
    assert_null(strchr(mtls_text_base64(pool, mtls_span(apr_pcalloc(pool, 5000), 5000)), '\n'));
}

/* ---- fields ---- */

static const struct field_row {
    const char *name;  /* of the field */
    const char *value; /* NULL: none */
    const char *raw;   /* NULL: the same */
    int count;
} fields[] = {
    {"subject.CN", "client.bigpartner.example", NULL, 1},
    {"subject.commonName", "client.bigpartner.example", NULL, 1},
    {"subject.OU", "Sales,API,Ops", NULL, 3},
    {"subject.L", NULL, NULL, 0},
    {"subject", "CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH",
     NULL, 1},
    {"issuer.CN", "CARC I101L", NULL, 1},
    {"serial", "1f00a3", NULL, 1},
    {"sha256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, 1},
    {"san.dns", "Client.BigPartner.example,*.bigpartner.example", NULL, 2},
    {"san.uri", "spiffe://lab.carcano.corp/ns/prod/sa/orders", NULL, 1},
    {"san.ip", "192.0.2.10", NULL, 1},
    {"spiffe", "spiffe://lab.carcano.corp/ns/prod/sa/orders", NULL, 1},
    {"eku", "1.3.6.1.5.5.7.3.2", NULL, 1},
    {"ext.1.3.6.1.4.1.99999.2", "blue", NULL, 1},
    {"ext.1.3.6.1.4.1.99999.3", NULL, NULL, 0},
    {"key", "ec:prime256v1", NULL, 1},
    {"lifetime", "7776000", NULL, 1},
    {"remaining", "6912000", NULL, 1},
    {"trust", "vhost", NULL, 1},
    {"not_before", "2027-01-05T08:00:00Z", NULL, 1},
    {"not_after", "2027-04-05T08:00:00Z", NULL, 1},
    {"cert", "bm90IHJlYWxseSBERVI=", NULL, 1},
    {"cert.pem",
     "-----BEGIN CERTIFICATE-----%0Abm90IHJlYWxseSBERVI=%0A-----END CERTIFICATE-----%0A",
     "-----BEGIN CERTIFICATE-----\nbm90IHJlYWxseSBERVI=\n-----END CERTIFICATE-----\n", 1},
    {"verdict", "allow", NULL, 1},
    {"reason", "ok", NULL, 1},
    {"policy", "1.3.6.1.4.1.99999.1", NULL, 1},
};

static mtls_identity_t identity_of(const peer_t *peer)
{
    mtls_identity_t identity = {.evidence = &peer->evidence,
                                .now = WORLD_NOW,
                                .verdict = "allow",
                                .reason = "ok",
                                .policies = "partner-api"};

    return identity;
}

static void assert_text(const char *got, const char *expected)
{
    if (!expected) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, expected);
}

static void field_case(void **state)
{
    const struct field_row *row = *state;
    mtls_identity_t identity;
    mtls_field_t field;
    peer_t peer;

    peer_init(&peer, pool);
    identity = identity_of(&peer);
    assert_message(mtls_field_parse(pool, row->name, &field), NULL);
    if (strcmp(row->name, "policy") == 0) {
        /* of the verdict, not the certificate's policy OIDs */
        assert_text(mtls_field_value(pool, &field, &identity, MTLS_ENCODED), "partner-api");
        return;
    }
    assert_int_equal(mtls_field_count(&field, &identity), row->count);
    assert_text(mtls_field_value(pool, &field, &identity, MTLS_ENCODED), row->value);
    assert_text(mtls_field_value(pool, &field, &identity, MTLS_RAW),
                row->raw ? row->raw : row->value);
}

static void nobody_has_no_value(void **state)
{
    mtls_identity_t nobody = {.now = WORLD_NOW, .verdict = "deny", .reason = "no_certificate"};
    mtls_field_t field;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(fields); i++) {
        const char *expected = strcmp(fields[i].name, "verdict") == 0  ? "deny"
                               : strcmp(fields[i].name, "reason") == 0 ? "no_certificate"
                                                                       : NULL;
        assert_message(mtls_field_parse(pool, fields[i].name, &field), NULL);
        assert_text(mtls_field_value(pool, &field, &nobody, MTLS_ENCODED), expected);
    }
}

static void unknown_fields_are_named(void **state)
{
    mtls_field_t field;

    (void)state;
    assert_message(mtls_field_parse(pool, "subjct.CN", &field), "unknown|subjct.CN|cert.pem");
    assert_message(mtls_field_parse(pool, "subject.CNN", &field), "CNN");
    assert_message(mtls_field_parse(pool, "", &field), "unknown");
    assert_message(mtls_field_parse(pool, "Cert", &field), "unknown");
    assert_message(mtls_field_parse(pool, "expr", &field), "expr has no value");
}

static void only_some_fields_change_between_requests(void **state)
{
    static const char *const changing[] = {"verdict", "reason", "policy", "remaining"};
    static const char *const staying[] = {"subject.CN", "cert", "not_after", "lifetime", "spiffe"};
    mtls_field_t field;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(changing); i++) {
        assert_null(mtls_field_parse(pool, changing[i], &field));
        assert_true(mtls_field_depends_on_request(&field));
    }
    for (i = 0; i < ROWS(staying); i++) {
        assert_null(mtls_field_parse(pool, staying[i], &field));
        assert_false(mtls_field_depends_on_request(&field));
    }
}

/* A value cannot pretend to be two, nor two to be one. */
static void joined_values_split_back(void **state)
{
    mtls_identity_t identity;
    mtls_field_t field;
    char *text, *first;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.san[MTLS_SAN_DNS][0] = mtls_span_of("a,admin");
    peer.san[MTLS_SAN_DNS][1] = mtls_span_of("b%2Cc");
    identity = identity_of(&peer);
    assert_null(mtls_field_parse(pool, "san.dns", &field));
    text = apr_pstrdup(pool, mtls_field_value(pool, &field, &identity, MTLS_ENCODED));
    assert_string_equal(text, "a%2Cadmin,b%252Cc");
    first = apr_strtok(text, ",", &text);
    assert_span_text(decode(first), "a,admin");
    assert_span_text(decode(apr_strtok(NULL, ",", &text)), "b%2Cc");
    assert_null(apr_strtok(NULL, ",", &text));
}

/* ---- variables ---- */

static const char *variable(const apr_array_header_t *all, const char *name)
{
    const char *found = NULL;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const mtls_variable_t *v = &APR_ARRAY_IDX(all, i, mtls_variable_t);
        if (strcmp(v->name, name) == 0) {
            assert_null(found); /* no name twice */
            found = v->value;
        }
    }
    return found;
}

static apr_array_header_t *variables_of(const mtls_identity_t *identity)
{
    apr_array_header_t *out = apr_array_make(pool, 20, sizeof(mtls_variable_t));

    mtls_identity_variables(pool, identity, out);
    return out;
}

static const struct variable_row {
    const char *name;
    const char *value;
} variables[] = {
    {"MTLS_SUBJECT",
     "CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH"},
    {"MTLS_ISSUER", "CN=CARC I101L,O=Carcano"},
    {"MTLS_SUBJECT_CN", "client.bigpartner.example"},
    {"MTLS_SUBJECT_O", "Big Partner Foo SA"},
    {"MTLS_SUBJECT_OU", "Sales,API,Ops"},
    {"MTLS_SUBJECT_C", "CH"},
    {"MTLS_SUBJECT_L", NULL},
    {"MTLS_SERIAL", "1f00a3"},
    {"MTLS_SHA256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"MTLS_SPKI_SHA256", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
    {"MTLS_SAN_DNS_0", "Client.BigPartner.example"},
    {"MTLS_SAN_DNS_1", "*.bigpartner.example"},
    {"MTLS_SAN_DNS_2", NULL},
    {"MTLS_SAN_URI_0", "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"MTLS_SAN_EMAIL_0", "Ops@BigPartner.example"},
    {"MTLS_SAN_IP_0", "192.0.2.10"},
    {"MTLS_SPIFFE_ID", "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"MTLS_NOT_BEFORE", "2027-01-05T08:00:00Z"},
    {"MTLS_NOT_AFTER", "2027-04-05T08:00:00Z"},
    {"MTLS_TRUST_STORE", "vhost"},
    {"MTLS_CERT", "-----BEGIN CERTIFICATE-----\nbm90IHJlYWxseSBERVI=\n"
                  "-----END CERTIFICATE-----\n"},
};

static void variable_case(void **state)
{
    const struct variable_row *row = *state;
    mtls_identity_t identity;
    peer_t peer;

    peer_init(&peer, pool);
    identity = identity_of(&peer);
    assert_text(variable(variables_of(&identity), row->name), row->value);
}

static void nobody_has_no_variables(void **state)
{
    mtls_identity_t nobody = {.now = WORLD_NOW, .verdict = "deny", .reason = "no_certificate"};
    mtls_evidence_t zero;

    (void)state;
    assert_int_equal(variables_of(&nobody)->nelts, 0);
    memset(&zero, 0, sizeof(zero));
    nobody.evidence = &zero;
    assert_int_equal(variables_of(&nobody)->nelts, 0);
}

static void an_id_the_anchors_may_not_vouch_for_is_not_exported(void **state)
{
    mtls_identity_t identity;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.domains[0] = "other.example";
    identity = identity_of(&peer);
    assert_null(variable(variables_of(&identity), "MTLS_SPIFFE_ID"));
    assert_non_null(variable(variables_of(&identity), "MTLS_SAN_URI_0"));
    peer.chain.trust_domains = NULL;
    assert_null(variable(variables_of(&identity), "MTLS_SPIFFE_ID"));
}

static void every_value_but_the_certificate_is_one_safe_line(void **state)
{
    static const san_t nasty[] = {{GEN_DNS, "a\r\nX-Admin: 1", 0, 0},
                                  {GEN_URI, "https://x/\x1b[0m,%0d", 0, 0},
                                  {GEN_EMAIL, "\x7f@x", 0, 0}};
    certificate_t spec = {.subject = {{"CN", 0, "a\r\nb,%00\xc3\xbc", 0, 0},
                                      {"OU", 0, "<script>", 0, 1},
                                      {"1.3.6.1.4.1.99999.7", 0, "x\ny", 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);
    mtls_evidence_t evidence;
    mtls_identity_t identity = {.evidence = &evidence, .now = WORLD_NOW};
    apr_array_header_t *all;
    const char *error, *c;
    int i;

    (void)state;
    certificate_add_san(x, nasty, 3, key_get(KEY_P256, 0));
    memset(&evidence, 0, sizeof(evidence));
    evidence.facts = mtls_x509_facts(pool, x, &error);
    assert_non_null(evidence.facts);
    all = variables_of(&identity);
    assert_true(all->nelts > 10);
    for (i = 0; i < all->nelts; i++) {
        const mtls_variable_t *v = &APR_ARRAY_IDX(all, i, mtls_variable_t);
        for (c = v->value; strcmp(v->name, "MTLS_CERT") != 0 && *c; c++)
            assert_true(*c >= 0x20 && *c < 0x7f);
        assert_int_equal(strspn(v->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789_"),
                         strlen(v->name));
    }
    assert_text(variable(all, "MTLS_SUBJECT_CN"), "a%0D%0Ab,%2500%C3%BC");
    assert_text(variable(all, "MTLS_SAN_DNS_0"), "a%0D%0AX-Admin: 1");
    assert_text(variable(all, "MTLS_CERT"), certificate_pem(pool, x).data);
}

static void ten_thousand_sans_are_ten_thousand_variables(void **state)
{
    mtls_span_t *names = apr_palloc(pool, 10000 * sizeof(*names));
    mtls_identity_t identity;
    apr_array_header_t *all;
    peer_t peer;
    int i;

    (void)state;
    peer_init(&peer, pool);
    for (i = 0; i < 10000; i++)
        names[i] = mtls_span_of(apr_psprintf(pool, "h%d.example", i));
    peer.facts.san[MTLS_SAN_DNS].v = names;
    peer.facts.san[MTLS_SAN_DNS].n = 10000;
    identity = identity_of(&peer);
    all = variables_of(&identity);
    assert_true(all->nelts > 10000);
    assert_text(variable(all, "MTLS_SAN_DNS_9999"), "h9999.example");
}

int main(void)
{
    SUITE_TABLE(encode_case, encodings);
    SUITE_CASE(every_byte_is_safe_and_comes_back);
    SUITE_CASE(a_finished_value_is_not_encoded_twice);
    SUITE_TABLE(time_case, times);
    SUITE_CASE(pem_is_that_of_openssl);
    SUITE_CASE(base64_is_one_line);
    SUITE_TABLE(field_case, fields);
    SUITE_CASE(nobody_has_no_value);
    SUITE_CASE(unknown_fields_are_named);
    SUITE_CASE(only_some_fields_change_between_requests);
    SUITE_CASE(joined_values_split_back);
    SUITE_TABLE(variable_case, variables);
    SUITE_CASE(nobody_has_no_variables);
    SUITE_CASE(an_id_the_anchors_may_not_vouch_for_is_not_exported);
    SUITE_CASE(every_value_but_the_certificate_is_one_safe_line);
    SUITE_CASE(ten_thousand_sans_are_ten_thousand_variables);
    return suite_run("identity", 70);
}
