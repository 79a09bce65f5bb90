/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/x509_facts and pki/oid: certificates read strictly. */

#include "suite.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "pki/oid.h"
#include "pki/x509_facts.h"
#include "policy/attribute.h"
#include "policy/limits.h"

#define BYTES(text) text, sizeof(text) - 1

/* ---- makers ---- */

static const certificate_t plain = {
    .subject = {{"O", 0, "Foo SA", 0, 0}, {"CN", 0, "admin", 0, 0}}};

static X509 *with_cn(int tag, const char *value, int len)
{
    certificate_t spec = {.subject = {{"CN", tag, value, len, 0}}};

    return certificate_make(pool, &spec, NULL);
}

static X509 *with_san(const san_t *names, int n)
{
    X509 *x = certificate_make(pool, &plain, NULL);

    certificate_add_san(x, names, n, key_get(KEY_P256, 0));
    return x;
}

static X509 *with_extension(const char *text)
{
    certificate_t spec = plain;

    spec.extensions[0] = text;
    return certificate_make(pool, &spec, NULL);
}

static const mtls_facts_t *facts_of(X509 *x)
{
    const char *error = NULL;
    const mtls_facts_t *facts = mtls_x509_facts(pool, x, &error);

    if (!facts)
        fail_msg("refused: %s", error);
    assert_null(error);
    assert_int_equal(ERR_peek_error(), 0);
    return facts;
}

static mtls_values_t values_of(X509 *x, const char *name)
{
    mtls_evidence_t evidence = {.facts = facts_of(x)};
    mtls_attribute_t a;
    mtls_values_t out = {NULL, 0};
    mtls_span_t *v;
    int i;

    assert_message(mtls_attribute_parse(pool, name, mtls_oid_of_name, &a), NULL);
    out.n = mtls_attribute_text_count(&a, &evidence);
    out.v = v = apr_palloc(pool, sizeof(*v) * (apr_size_t)(out.n + 1));
    for (i = 0; i < out.n; i++)
        v[i] = mtls_attribute_text(pool, &a, &evidence, i, WORLD_NOW);
    return out;
}

static void assert_one(X509 *x, const char *name, const char *text)
{
    mtls_values_t values = values_of(x, name);

    assert_int_equal(values.n, 1);
    assert_span_text(values.v[0], text);
}

/* ---- encodings of names ---- */

static const struct string_row {
    const char *name;
    int tag;
    const char *value;
    int len;
    const char *text; /* NULL: refused */
    const char *words;
} strings[] = {
    {"UTF8String", V_ASN1_UTF8STRING, BYTES("J\xc3\xbcrgen"), "J\xc3\xbcrgen", NULL},
    {"PrintableString", V_ASN1_PRINTABLESTRING, BYTES("admin"), "admin", NULL},
    {"IA5String", V_ASN1_IA5STRING, BYTES("admin@x"), "admin@x", NULL},
    {"BMPString", V_ASN1_BMPSTRING, BYTES("\0J\0\xfc\0r\0g\0e\0n"), "J\xc3\xbcrgen", NULL},
    {"UniversalString", V_ASN1_UNIVERSALSTRING,
     BYTES("\0\0\0J\0\0\0\xfc\0\0\0r\0\0\0g\0\0\0e\0\0\0n"), "J\xc3\xbcrgen", NULL},
    {"T61String is read as Latin-1", V_ASN1_T61STRING, BYTES("J\xfcrgen"), "J\xc3\xbcrgen", NULL},
    {"NFD stays NFD", V_ASN1_UTF8STRING, BYTES("Ju\xcc\x88rgen"), "Ju\xcc\x88rgen", NULL},
    {"case and blanks stay", V_ASN1_UTF8STRING, BYTES(" A  b "), " A  b ", NULL},
    {"newline stays", V_ASN1_UTF8STRING, BYTES("admin\nx"), "admin\nx", NULL},
    {"BMPString with a NUL character", V_ASN1_BMPSTRING, BYTES("\0a\0\0\0b"), NULL, "NUL"},
    {"UTF8String with a NUL", V_ASN1_UTF8STRING, BYTES("admin\0.evil"), NULL, "NUL"},
    {"UTF8String that ends with a NUL", V_ASN1_UTF8STRING, BYTES("admin\0"), NULL, "NUL"},
    {"PrintableString with a NUL", V_ASN1_PRINTABLESTRING, BYTES("a\0b"), NULL, "NUL"},
    {"T61String with a NUL", V_ASN1_T61STRING, BYTES("a\0b"), NULL, "NUL"},
    {"PrintableString with high bytes", V_ASN1_PRINTABLESTRING, BYTES("J\xfcrgen"), NULL,
     "ASCII string"},
    {"IA5String with high bytes", V_ASN1_IA5STRING, BYTES("J\xc3\xbcrgen"), NULL, "ASCII string"},
};

static void string_case(void **state)
{
    const struct string_row *row = *state;
    X509 *x = with_cn(row->tag, row->value, row->len);
    const char *error = NULL;

    if (row->text) {
        assert_one(x, "subject.CN", row->text);
        return;
    }
    assert_null(mtls_x509_facts(pool, x, &error));
    assert_message(error, row->words);
}

static void five_encodings_are_one_name(void **state)
{
    const mtls_facts_t *first = facts_of(with_cn(strings[0].tag, strings[0].value, strings[0].len));
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(strings); i++) {
        if (strings[i].text && strcmp(strings[i].text, strings[0].text) == 0)
            assert_span_equal(facts_of(with_cn(strings[i].tag, strings[i].value, strings[i].len))
                                  ->subject.canonical,
                              first->subject.canonical);
    }
}

static void invalid_utf8_is_no_certificate_or_refused(void **state)
{
    static const char *const wrong[] = {"\xff\xfe\xfd", "\xc0\x80x", "\xed\xa0\x80", "\xe2\x82x"};
    const char *error = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(wrong); i++) {
        X509 *x =
            certificate_patched(pool, with_cn(V_ASN1_UTF8STRING, "QzX", 3), "QzX", wrong[i], 3);
        assert_true(x == NULL || mtls_x509_facts(pool, x, &error) == NULL);
    }
}

static void an_odd_bmp_string_is_no_certificate_or_refused(void **state)
{
    X509 *odd = certificate_patched(pool, with_cn(V_ASN1_UTF8STRING, "QzX", 3), "\x0c\x03QzX",
                                    "\x1e\x03QzX", 5);
    const char *error = NULL;

    (void)state;
    assert_true(odd == NULL || mtls_x509_facts(pool, odd, &error) == NULL);
}

/* ---- names ---- */

static void a_name_has_rdns_in_order(void **state)
{
    certificate_t spec = {.subject = {{"C", V_ASN1_PRINTABLESTRING, "CH", 0, 0},
                                      {"O", 0, "a, b", 0, 0},
                                      {"OU", 0, "one", 0, 0},
                                      {"OU", 0, "two", 0, 1},
                                      {"CN", 0, "x", 0, 0}}};
    const mtls_facts_t *facts = facts_of(certificate_make(pool, &spec, NULL));
    mtls_span_t canonical, reversed;

    (void)state;
    assert_int_equal(facts->subject.n, 5);
    assert_int_equal(facts->subject.attributes[3].rdn, 2);
    assert_int_equal(facts->subject.attributes[4].rdn, 3);
    assert_null(mtls_name_parse(pool, "CN=x,OU=two+OU=one,O=a\\, b,C=CH", mtls_oid_of_name,
                                &canonical, &reversed));
    assert_span_equal(facts->subject.canonical, canonical);
    assert_span_equal(facts->issuer.canonical, canonical);
}

static void an_empty_name_is_empty(void **state)
{
    certificate_t spec = {.subject = {{NULL, 0, NULL, 0, 0}}};
    const mtls_facts_t *facts = facts_of(certificate_make(pool, &spec, NULL));

    (void)state;
    assert_int_equal(facts->subject.n, 0);
    assert_int_equal(facts->subject.canonical.len, 0);
    assert_string_equal(facts->subject.rfc4514, "");
}

/* What is printed (log, MTLS_SUBJECT) may be pasted into a rule. */
static const struct round_row {
    const char *name;
    name_part_t part[3];
} rounds[] = {
    {"round trip: plain", {{"O", 0, "Foo SA", 0, 0}, {"CN", 0, "admin", 0, 0}}},
    {"round trip: specials", {{"CN", 0, "a,b+c\"d\\e<f>g;h=i#j", 0, 0}}},
    {"round trip: hash in front", {{"CN", 0, "#0c0161", 0, 0}}},
    {"round trip: blanks at both ends", {{"CN", 0, " a b ", 0, 0}}},
    {"round trip: one blank", {{"CN", 0, " ", 0, 0}}},
    {"round trip: two blanks", {{"CN", 0, "  ", 0, 0}}},
    {"round trip: UTF-8", {{"CN", 0, "Lu\xc4\x8di\xc4\x87 \xf0\x9f\x98\x80", 0, 0}}},
    {"round trip: Latin-1", {{"CN", V_ASN1_T61STRING, "J\xfcrgen", 0, 0}}},
    {"round trip: BMP", {{"CN", V_ASN1_BMPSTRING, "\0J\0\xfc", 4, 0}}},
    {"round trip: control bytes", {{"CN", 0, "a\r\nb\x1b[0m\x7f", 0, 0}}},
    {"round trip: multi-valued", {{"CN", 0, "x", 0, 0}, {"UID", 0, "y", 0, 1}}},
    {"round trip: unknown type", {{"1.3.6.1.4.1.99999.7", 0, "x", 0, 0}, {"CN", 0, "y", 0, 0}}},
    {"round trip: unknown type, special text", {{"1.3.6.1.4.1.99999.7", 0, "a,b\xc3\xbc", 0, 0}}},
    {"round trip: organizationIdentifier", {{"2.5.4.97", 0, "NTRCH-1", 0, 0}}},
    {"round trip: bit string", {{"x500UniqueIdentifier", V_ASN1_BIT_STRING, "\x01\x02", 2, 0}}},
    {"round trip: email", {{"emailAddress", V_ASN1_IA5STRING, "a@b.example", 0, 0}}},
    {"round trip: empty value", {{"CN", 0, "", 0, 0}, {"O", 0, "y", 0, 0}}},
};

static void round_case(void **state)
{
    const struct round_row *row = *state;
    certificate_t spec = plain;
    mtls_span_t canonical = {NULL, 0}, reversed;
    const mtls_facts_t *facts;
    const char *c;

    memset(spec.subject, 0, sizeof(spec.subject));
    memcpy(spec.subject, row->part, sizeof(row->part));
    facts = facts_of(certificate_make(pool, &spec, NULL));
    for (c = facts->subject.rfc4514; *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f);
    assert_message(
        mtls_name_parse(pool, facts->subject.rfc4514, mtls_oid_of_name, &canonical, &reversed),
        NULL);
    assert_span_equal(canonical, facts->subject.canonical);
}

static void a_name_of_64_kb_is_read_whole(void **state)
{
    char *cn = apr_palloc(pool, 65536);
    mtls_values_t values;

    (void)state;
    memset(cn, 'a', 65536);
    values = values_of(with_cn(V_ASN1_UTF8STRING, cn, 65536), "subject.CN");
    assert_int_equal(values.n, 1);
    assert_int_equal(values.v[0].len, 65536);
}

static X509 *with_attributes(int n)
{
    X509 *x = certificate_make(pool, &plain, NULL);
    X509_NAME *name = X509_NAME_new();
    int i;

    for (i = 0; i < n; i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, "OU", V_ASN1_UTF8STRING,
                                                    (const unsigned char *)"x", 1, -1, 0),
                         1);
    assert_int_equal(X509_set_subject_name(x, name), 1);
    X509_NAME_free(name);
    certificate_sign(x, key_get(KEY_P256, 0));
    return x;
}

static void attributes_are_bounded(void **state)
{
    const char *error = NULL;

    (void)state;
    assert_int_equal(facts_of(with_attributes(MTLS_MAX_NAME_ATTRIBUTES))->subject.n,
                     MTLS_MAX_NAME_ATTRIBUTES);
    assert_null(mtls_x509_facts(pool, with_attributes(MTLS_MAX_NAME_ATTRIBUTES + 1), &error));
    assert_message(error, "too many attributes");
}

static void certificates_are_bounded(void **state)
{
    char *bytes = apr_pcalloc(pool, MTLS_MAX_CERTIFICATE_BYTES);
    X509 *x = certificate_make(pool, &plain, NULL);
    const char *error = NULL;

    (void)state;
    certificate_add_raw(x, "1.3.6.1.4.1.99999.2", 0, bytes, MTLS_MAX_CERTIFICATE_BYTES - 1000,
                        key_get(KEY_P256, 0));
    assert_non_null(mtls_x509_facts(pool, x, &error));
    certificate_add_raw(x, "1.3.6.1.4.1.99999.3", 0, bytes, 1000, key_get(KEY_P256, 0));
    assert_null(mtls_x509_facts(pool, x, &error));
    assert_message(error, "too large");
}

/* ---- subject alternative names ---- */

static const struct san_row {
    const char *name;
    san_t san;
    const char *attribute; /* that has it */
    const char *text;
    const char *words; /* of the refusal */
} sans[] = {
    {"SAN: DNS", {GEN_DNS, "A.example", 0, 0}, "san.dns", "A.example", NULL},
    {"SAN: DNS wildcard is text", {GEN_DNS, "*.example", 0, 0}, "san.dns", "*.example", NULL},
    {"SAN: DNS empty", {GEN_DNS, "", 0, 0}, "san.dns", "", NULL},
    {"SAN: DNS with NUL", {GEN_DNS, BYTES("a.example\0.evil"), 0}, NULL, NULL, "NUL"},
    {"SAN: DNS with high bytes", {GEN_DNS, "\xc3\xbc.example", 0, 0}, NULL, NULL, "ASCII string"},
    {"SAN: URI", {GEN_URI, "spiffe://td/a", 0, 0}, "san.uri", "spiffe://td/a", NULL},
    {"SAN: URI with NUL", {GEN_URI, BYTES("spiffe://td/a\0"), 0}, NULL, NULL, "NUL"},
    {"SAN: URI with a comma and DNS:",
     {GEN_URI, "http://x/, DNS:a.example", 0, 0},
     "san.uri",
     "http://x/, DNS:a.example",
     NULL},
    {"SAN: email", {GEN_EMAIL, "Ops@A.example", 0, 0}, "san.email", "Ops@A.example", NULL},
    {"SAN: email with NUL", {GEN_EMAIL, BYTES("a\0@b"), 0}, NULL, NULL, "NUL"},
    {"SAN: IPv4", {GEN_IPADD, BYTES("\xc0\x00\x02\x0a"), 0}, "san.ip", "192.0.2.10", NULL},
    {"SAN: IPv6",
     {GEN_IPADD, BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), 0},
     "san.ip",
     "2001:db8::1",
     NULL},
    {"SAN: IP of no bytes", {GEN_IPADD, "", 0, 0}, NULL, NULL, "neither 4 nor 16"},
    {"SAN: IP of 5 bytes",
     {GEN_IPADD, BYTES("\xc0\x00\x02\x0a\x0a"), 0},
     NULL,
     NULL,
     "neither 4 nor 16"},
    {"SAN: IP of 8 bytes, a network",
     {GEN_IPADD, BYTES("\xc0\x00\x02\0\xff\xff\xff\0"), 0},
     NULL,
     NULL,
     "neither 4 nor 16"},
    {"SAN: UPN", {GEN_OTHERNAME, "ops@corp.example", 0, 0}, "san.upn", "ops@corp.example", NULL},
    {"SAN: UPN in UTF-8",
     {GEN_OTHERNAME, "j\xc3\xbcrgen@corp", 0, 0},
     "san.upn",
     "j\xc3\xbcrgen@corp",
     NULL},
    {"SAN: UPN as IA5String",
     {GEN_OTHERNAME, "ops@corp", 0, V_ASN1_IA5STRING},
     NULL,
     NULL,
     "no UTF8String"},
    {"SAN: UPN as OCTET STRING",
     {GEN_OTHERNAME, "ops@corp", 0, V_ASN1_OCTET_STRING},
     NULL,
     NULL,
     "no UTF8String"},
    {"SAN: UPN as INTEGER",
     {GEN_OTHERNAME, "\x01", 0, V_ASN1_INTEGER},
     NULL,
     NULL,
     "no UTF8String"},
    {"SAN: UPN with NUL", {GEN_OTHERNAME, BYTES("ops\0@corp"), 0}, NULL, NULL, "NUL"},
    {"SAN: UPN of invalid UTF-8",
     {GEN_OTHERNAME, "ops\xff", 0, 0},
     NULL,
     NULL,
     "not valid in its encoding"},
};

static void san_case(void **state)
{
    static const char *const all[] = {"san.dns", "san.uri", "san.email", "san.ip", "san.upn"};
    const struct san_row *row = *state;
    X509 *x = with_san(&row->san, 1);
    const char *error = NULL;
    size_t i;

    if (row->words) {
        assert_null(mtls_x509_facts(pool, x, &error));
        assert_message(error, row->words);
        return;
    }
    for (i = 0; i < ROWS(all); i++) {
        if (strcmp(all[i], row->attribute) == 0)
            assert_one(x, all[i], row->text);
        else
            assert_int_equal(values_of(x, all[i]).n, 0);
    }
}

static void other_names_match_nothing_and_refuse_nothing(void **state)
{
    X509 *x = with_extension("subjectAltName=RID:1.2.3.4,otherName:1.3.6.1.4.1.99999.5;UTF8:x,"
                             "DNS:a.example");

    (void)state;
    assert_one(x, "san.dns", "a.example");
    assert_int_equal(values_of(x, "san.upn").n, 0);
}

static void a_smtp_utf8_mailbox_is_no_email(void **state)
{
    X509 *x = with_extension("subjectAltName=otherName:1.3.6.1.5.5.7.8.9;UTF8:ops@a.example");

    (void)state;
    assert_int_equal(values_of(x, "san.email").n, 0);
}

static void folded_values_are_lower_case_where_it_does_not_matter(void **state)
{
    static const san_t names[] = {{GEN_DNS, "A.Example", 0, 0},
                                  {GEN_EMAIL, "Ops@A.Example", 0, 0},
                                  {GEN_URI, "HTTPS://A.Example/", 0, 0}};
    const mtls_facts_t *facts = facts_of(with_san(names, 3));

    (void)state;
    assert_span_text(facts->san_folded[MTLS_SAN_DNS].v[0], "a.example");
    assert_span_text(facts->san_folded[MTLS_SAN_EMAIL].v[0], "Ops@a.example");
    assert_span_text(facts->san_folded[MTLS_SAN_URI].v[0], "HTTPS://A.Example/");
    assert_span_text(facts->san[MTLS_SAN_DNS].v[0], "A.Example");
}

static const san_t *many_sans(int n)
{
    san_t *names = apr_pcalloc(pool, sizeof(*names) * (apr_size_t)n);
    int i;

    for (i = 0; i < n; i++) {
        names[i].type = GEN_DNS;
        names[i].data = apr_psprintf(pool, "h%d.x", i);
    }
    return names;
}

static void ten_thousand_sans_are_read(void **state)
{
    mtls_values_t values = values_of(with_san(many_sans(10000), 10000), "san.dns");

    (void)state;
    assert_int_equal(values.n, 10000);
    assert_span_text(values.v[9999], "h9999.x");
}

static void sans_are_bounded(void **state)
{
    const char *error = NULL;

    (void)state;
    assert_null(mtls_x509_facts(
        pool, with_san(many_sans(MTLS_MAX_SAN_ENTRIES + 1), MTLS_MAX_SAN_ENTRIES + 1), &error));
    assert_message(error, "too many subject alternative names");
}

/* ---- extensions ---- */

static const struct extension_row {
    const char *name;
    const char *oid;
    const char *der;
    int len;
    const char *text; /* of ext.OID; NULL: refused */
    const char *words;
} extensions[] = {
    {"extension: UTF8String", "1.3.6.1.4.1.99999.2",
     BYTES("\x0c\x04"
           "blue"),
     "blue", NULL},
    {"extension: BMPString", "1.3.6.1.4.1.99999.2", BYTES("\x1e\x04\0b\0l"), "bl", NULL},
    {"extension: INTEGER", "1.3.6.1.4.1.99999.2", BYTES("\x02\x01\x05"), "hex:020105", NULL},
    {"extension: string with bytes behind", "1.3.6.1.4.1.99999.2",
     BYTES("\x0c\x01"
           "ab"),
     "hex:0c016162", NULL},
    {"extension: string with NUL", "1.3.6.1.4.1.99999.2",
     BYTES("\x0c\x03"
           "a\0b"),
     "hex:0c03610062", NULL},
    {"extension: string that claims more", "1.3.6.1.4.1.99999.2",
     BYTES("\x0c\x7f"
           "ab"),
     "hex:0c7f6162", NULL},
    {"extension: no DER", "1.3.6.1.4.1.99999.2", BYTES("\xff\xff\xff"), "hex:ffffff", NULL},
    {"extension: empty", "1.3.6.1.4.1.99999.2", "", 0, "hex:", NULL},
    {"extension: SAN that is no DER", "2.5.29.17", BYTES("\x30\x7f"), NULL, "cannot be read"},
    {"extension: SAN with bytes behind", "2.5.29.17",
     BYTES("\x30\x03\x82\x01"
           "a"
           "\0"),
     NULL, "cannot be read"},
    {"extension: SAN of a string", "2.5.29.17",
     BYTES("\x0c\x01"
           "a"),
     NULL, "cannot be read"},
    {"extension: EKU with bytes behind", "2.5.29.37",
     BYTES("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02\0"), NULL, "cannot be read"},
    {"extension: EKU that is no DER", "2.5.29.37", BYTES("\x30\x0a\x06"), NULL, "cannot be read"},
    {"extension: policies that are no DER", "2.5.29.32", BYTES("\x30\x0a\x06"), NULL,
     "cannot be read"},
    {"extension: basicConstraints that are no DER", "2.5.29.19", BYTES("\x30\x05\x01"), NULL,
     "extension"},
    {"extension: keyUsage that is no DER", "2.5.29.15", BYTES("\x30\x05\x01"), NULL, "extension"},
};

static void extension_case(void **state)
{
    const struct extension_row *row = *state;
    X509 *x = certificate_make(pool, &plain, NULL);
    const char *error = NULL;

    certificate_add_raw(x, row->oid, 0, row->der, row->len, key_get(KEY_P256, 0));
    if (row->text) {
        assert_one(x, apr_pstrcat(pool, "ext.", row->oid, NULL), row->text);
        return;
    }
    assert_null(mtls_x509_facts(pool, x, &error));
    assert_message(error, row->words);
}

static void an_extension_that_occurs_twice_refuses(void **state)
{
    static const char *const oids[] = {"1.3.6.1.4.1.99999.2", "2.5.29.17", "2.5.29.37"};
    const char *error;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(oids); i++) {
        X509 *x = certificate_make(pool, &plain, NULL);
        static const char der[] = "\x30\x03\x82\x01"
                                  "a";
        certificate_add_raw(x, oids[i], 0, der, 5, key_get(KEY_P256, 0));
        certificate_add_raw(x, oids[i], 0, der, 5, key_get(KEY_P256, 0));
        assert_null(mtls_x509_facts(pool, x, &error));
        assert_message(error, "occurs twice");
    }
}

static void extensions_are_bounded(void **state)
{
    X509 *x = certificate_make(pool, &plain, NULL);
    const char *error = NULL;
    int i;

    (void)state;
    for (i = 0; i < MTLS_MAX_EXTENSIONS; i++)
        certificate_add_raw(x, apr_psprintf(pool, "1.3.6.1.4.1.99999.%d", i), 0, "\5\0", 2,
                            key_get(KEY_P256, 0));
    assert_int_equal(facts_of(x)->extension_count, MTLS_MAX_EXTENSIONS);
    certificate_add_raw(x, "1.3.6.1.4.1.99998", 0, "\5\0", 2, key_get(KEY_P256, 0));
    assert_null(mtls_x509_facts(pool, x, &error));
    assert_message(error, "too many extensions");
}

static void usages_and_policies_are_oids(void **state)
{
    X509 *x = with_extension("extendedKeyUsage=clientAuth,1.3.6.1.4.1.99999.4");
    mtls_values_t values = values_of(x, "eku");

    (void)state;
    assert_int_equal(values.n, 2);
    assert_span_text(values.v[0], "1.3.6.1.5.5.7.3.2");
    assert_span_text(values.v[1], "1.3.6.1.4.1.99999.4");
    assert_one(with_extension("certificatePolicies=1.3.6.1.4.1.99999.1"), "policy",
               "1.3.6.1.4.1.99999.1");
}

static const struct usage_row {
    const char *name;
    const char *extension;
    int is_ca;
    int signs;
} usages[] = {
    {"usage: leaf", "basicConstraints=CA:FALSE", 0, 0},
    {"usage: CA", "basicConstraints=critical,CA:TRUE", 1, 0},
    {"usage: signs certificates", "keyUsage=keyCertSign", 0, 1},
    {"usage: signs CRLs", "keyUsage=cRLSign,digitalSignature", 0, 1},
    {"usage: signs neither", "keyUsage=digitalSignature,keyAgreement", 0, 0},
};

static void usage_case(void **state)
{
    const struct usage_row *row = *state;
    const mtls_facts_t *facts = facts_of(with_extension(row->extension));

    assert_int_equal(facts->is_ca, row->is_ca);
    assert_int_equal(facts->signs_certificates, row->signs);
}

/* ---- serial, dates, key, digests ---- */

static const struct serial_row {
    const char *name;
    const char *serial;
    const char *text;
} serials[] = {
    {"serial: usual", "1F00A3", "1f00a3"},
    {"serial: high bit", "FF", "ff"},
    {"serial: odd digits", "100", "100"},
    {"serial: zero", "0", "0"},
    {"serial: one", "1", "1"},
    {"serial: negative", "-5", "-5"},
    {"serial: negative and long", "-8000000000", "-8000000000"},
    {"serial: 20 bytes", "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
     "7fffffffffffffffffffffffffffffffffffffff"},
    {"serial: 33 bytes", "800000000000000000000000000000000000000000000000000000000000000001",
     "800000000000000000000000000000000000000000000000000000000000000001"},
};

static void serial_case(void **state)
{
    const struct serial_row *row = *state;
    certificate_t spec = plain;

    spec.serial = row->serial;
    assert_one(certificate_make(pool, &spec, NULL), "serial", row->text);
}

static const struct date_row {
    const char *name;
    apr_int64_t seconds; /* since 1970 */
} dates[] = {
    {"date: last second of UTCTime", APR_INT64_C(2524607999)},
    {"date: first second of GeneralizedTime", APR_INT64_C(2524608000)},
    {"date: leap day", APR_INT64_C(1835395200)},
    {"date: day behind no leap day", APR_INT64_C(4107542400)},
    {"date: year 2400", APR_INT64_C(13574563200)},
    {"date: end of time", APR_INT64_C(253402300799)},
};

static void date_case(void **state)
{
    const struct date_row *row = *state;
    certificate_t spec = plain;

    spec.to = apr_time_from_sec(row->seconds);
    assert_true(facts_of(certificate_make(pool, &spec, NULL))->not_after == spec.to);
}

static void the_first_date_is_the_epoch(void **state)
{
    certificate_t spec = plain;
    const mtls_facts_t *facts;

    (void)state;
    spec.from = apr_time_from_sec(1); /* 0 means the default */
    facts = facts_of(certificate_make(pool, &spec, NULL));
    assert_true(facts->not_before == apr_time_from_sec(1));
    assert_one(
        certificate_make(pool, &spec, NULL), "lifetime",
        apr_psprintf(pool, "%" APR_TIME_T_FMT, apr_time_sec(facts->not_after - facts->not_before)));
}

static void a_date_that_is_none_refuses(void **state)
{
    /* YYMMDDhhmmssZ of WORLD_NOW + 365 days: 2028-01-15. Month 13, and a month of letters. */
    X509 *x = certificate_make(pool, &plain, NULL);
    X509 *month13 = certificate_patched(pool, x, "280115", "281315", 6);
    X509 *letters = certificate_patched(pool, x, "280115", "28ab15", 6);
    const char *error = NULL;

    (void)state;
    assert_true(month13 == NULL || mtls_x509_facts(pool, month13, &error) == NULL);
    assert_true(letters == NULL || mtls_x509_facts(pool, letters, &error) == NULL);
}

static const struct key_row {
    const char *name;
    key_kind_t kind;
    const char *text;
} keys[] = {
    {"key: P-256", KEY_P256, "ec:prime256v1"},    {"key: P-192", KEY_P192, "ec:prime192v1"},
    {"key: Ed25519", KEY_ED25519, "ed25519:256"}, {"key: RSA 1024", KEY_RSA1024, "rsa:1024"},
    {"key: RSA 2048", KEY_RSA2048, "rsa:2048"},
};

static void key_case(void **state)
{
    const struct key_row *row = *state;
    certificate_t spec = plain;

    spec.key_kind = row->kind;
    assert_one(certificate_make(pool, &spec, NULL), "key", row->text);
}

static void an_unknown_key_algorithm_is_told_and_crashes_nothing(void **state)
{
    /* id-ecPublicKey 1.2.840.10045.2.1 becomes 1.2.840.10045.2.99 */
    X509 *x = certificate_patched(pool, certificate_make(pool, &plain, NULL),
                                  "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
                                  "\x06\x07\x2a\x86\x48\xce\x3d\x02\x63", 9);

    (void)state;
    assert_non_null(x);
    assert_one(x, "key", "unknown:0");
}

static void an_unknown_curve_is_told_and_crashes_nothing(void **state)
{
    X509 *x = certificate_patched(pool, certificate_make(pool, &plain, NULL),
                                  "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
                                  "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x63", 10);

    (void)state;
    assert_non_null(x);
    assert_one(x, "key", "unknown:0");
}

static void digests_are_of_the_certificate_and_of_its_key(void **state)
{
    X509 *first = certificate_make(pool, &plain, NULL), *other;
    certificate_t spec = plain;
    const mtls_facts_t *facts = facts_of(first);
    unsigned char expected[MTLS_DIGEST_BYTES], certificate[MTLS_DIGEST_BYTES],
        spki[MTLS_DIGEST_BYTES];
    unsigned int len;

    (void)state;
    assert_int_equal(
        EVP_Digest(facts->der.data, facts->der.len, expected, &len, EVP_sha256(), NULL), 1);
    assert_memory_equal(facts->sha256, expected, MTLS_DIGEST_BYTES);
    assert_span_equal(facts->der, certificate_der(pool, first));
    spec.serial = "77";
    other = certificate_make(pool, &spec, NULL);
    assert_int_equal(mtls_x509_digests(other, certificate, spki), 1);
    assert_memory_not_equal(certificate, facts->sha256, MTLS_DIGEST_BYTES);
    assert_memory_equal(spki, facts->spki_sha256, MTLS_DIGEST_BYTES);
}

/* ---- OIDs ---- */

static const struct oid_row {
    const char *name; /* given */
    const char *oid;  /* NULL: unknown */
} oids[] = {
    {"CN", "2.5.4.3"},
    {"commonName", "2.5.4.3"},
    {"2.5.4.3", "2.5.4.3"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"serialNumber", "2.5.4.5"},
    {"clientAuth", "1.3.6.1.5.5.7.3.2"},
    {"1.3.6.1.4.1.99999.7", "1.3.6.1.4.1.99999.7"},
    {"cn", NULL},
    {"CNN", NULL},
    {"", NULL},
    {"1", NULL},
    {"1.2.x", NULL},
    {"1..2", NULL},
    {"1.2 3", NULL},
    {"1.2.", NULL},
    {"9.1.1", NULL},
    {"CN ", NULL},
};

static void oid_case(void **state)
{
    const struct oid_row *row = *state;
    const char *oid = mtls_oid_of_name(pool, row->name);

    assert_int_equal(ERR_peek_error(), 0);
    if (row->oid) {
        assert_non_null(oid);
        assert_string_equal(oid, row->oid);
    } else {
        assert_null(oid);
    }
}

static void an_absurd_oid_is_refused(void **state)
{
    char *text = apr_palloc(pool, 1024);

    (void)state;
    memset(text, '1', 1023);
    memcpy(text, "1.2.", 4);
    text[1023] = '\0';
    assert_null(mtls_oid_of_name(pool, text));
}

static void short_names_are_words(void **state)
{
    (void)state;
    assert_string_equal(mtls_oid_short_name("2.5.4.3"), "CN");
    assert_string_equal(mtls_oid_short_name("2.5.4.97"), "organizationIdentifier");
    assert_null(mtls_oid_short_name("1.3.6.1.4.1.99999.7"));
    assert_null(mtls_oid_short_name("2.5.29.37.0.1.2"));
}

int main(void)
{
    SUITE_TABLE(string_case, strings);
    SUITE_CASE(five_encodings_are_one_name);
    SUITE_CASE(invalid_utf8_is_no_certificate_or_refused);
    SUITE_CASE(an_odd_bmp_string_is_no_certificate_or_refused);
    SUITE_CASE(a_name_has_rdns_in_order);
    SUITE_CASE(an_empty_name_is_empty);
    SUITE_TABLE(round_case, rounds);
    SUITE_CASE(a_name_of_64_kb_is_read_whole);
    SUITE_CASE(attributes_are_bounded);
    SUITE_CASE(certificates_are_bounded);
    SUITE_TABLE(san_case, sans);
    SUITE_CASE(other_names_match_nothing_and_refuse_nothing);
    SUITE_CASE(a_smtp_utf8_mailbox_is_no_email);
    SUITE_CASE(folded_values_are_lower_case_where_it_does_not_matter);
    SUITE_CASE(ten_thousand_sans_are_read);
    SUITE_CASE(sans_are_bounded);
    SUITE_TABLE(extension_case, extensions);
    SUITE_CASE(an_extension_that_occurs_twice_refuses);
    SUITE_CASE(extensions_are_bounded);
    SUITE_CASE(usages_and_policies_are_oids);
    SUITE_TABLE(usage_case, usages);
    SUITE_TABLE(serial_case, serials);
    SUITE_TABLE(date_case, dates);
    SUITE_CASE(the_first_date_is_the_epoch);
    SUITE_CASE(a_date_that_is_none_refuses);
    SUITE_TABLE(key_case, keys);
    SUITE_CASE(an_unknown_key_algorithm_is_told_and_crashes_nothing);
    SUITE_CASE(an_unknown_curve_is_told_and_crashes_nothing);
    SUITE_CASE(digests_are_of_the_certificate_and_of_its_key);
    SUITE_TABLE(oid_case, oids);
    SUITE_CASE(an_absurd_oid_is_refused);
    SUITE_CASE(short_names_are_words);
    return suite_run("x509_facts", 130);
}
