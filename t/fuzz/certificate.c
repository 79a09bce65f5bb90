/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificates: DER to facts, then everything that can be told of them, as it would be exported. */

#include "fuzz.h"

#include <limits.h>

#include <apr_tables.h>
#include <openssl/err.h>

#include "identity/format.h"
#include "identity/variables.h"
#include "identity/xfcc.h"
#include "pki/oid.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"
#include "policy/policy.h"
#include "policy/spiffe.h"

static const char *const fields[] = {
    "subject",
    "issuer",
    "subject.CN",
    "subject.OU",
    "subject.emailAddress",
    "issuer.CN",
    "spki",
    "sha256",
    "serial",
    "san.dns",
    "san.uri",
    "san.email",
    "san.ip",
    "san.upn",
    "spiffe",
    "eku",
    "policy",
    "ext.basicConstraints",
    "ext.1.3.6.1.4.1.99999.2",
    "key",
    "lifetime",
    "remaining",
    "trust",
    "issuer.cert",
    "not_before",
    "not_after",
    "cert",
    "cert.pem",
};

static void check_text(const char *text)
{
    for (; text && *text; text++)
        CHECK(*text >= 0x20 && *text < 0x7f);
}

static void show_fields(apr_pool_t *p, const mtls_identity_t *identity)
{
    mtls_field_t field;
    size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        CHECK(mtls_field_parse(p, fields[i], &field) == NULL);
        check_text(mtls_field_value(p, &field, identity, MTLS_ENCODED));
        (void)mtls_field_value(p, &field, identity, MTLS_RAW);
    }
}

static void show_variables(apr_pool_t *p, const mtls_identity_t *identity)
{
    apr_array_header_t *all = apr_array_make(p, 20, sizeof(mtls_variable_t));
    int i;

    mtls_identity_variables(p, identity, all);
    for (i = 0; i < all->nelts; i++) {
        const mtls_variable_t *v = &APR_ARRAY_IDX(all, i, mtls_variable_t);
        check_text(v->name);
        if (strcmp(v->name, "MTLS_CERT") != 0)
            check_text(v->value);
    }
}

/* No value holds what the invariants of facts.h exclude, and a printed name is the same name. */
static void check_facts(apr_pool_t *p, const mtls_facts_t *f)
{
    mtls_span_t canonical = {NULL, 0}, reversed = {NULL, 0};
    int i, type;

    for (i = 0; i < f->subject.n; i++)
        CHECK(
            !memchr(f->subject.attributes[i].value.data, '\0', f->subject.attributes[i].value.len));
    for (type = 0; type < MTLS_SAN_TYPES; type++) {
        CHECK(f->san[type].n == f->san_folded[type].n);
        for (i = 0; i < f->san[type].n; i++) {
            mtls_span_t v = f->san[type].v[i];
            CHECK(v.len == f->san_folded[type].v[i].len);
            CHECK(type == MTLS_SAN_IP ? v.len == 4 || v.len == 16 : !memchr(v.data, '\0', v.len));
        }
    }
    check_text(f->subject.rfc4514);
    if (f->subject.n > 0) {
        CHECK(mtls_name_parse(p, f->subject.rfc4514, mtls_oid_of_name, &canonical, &reversed) ==
              NULL);
        CHECK(mtls_span_equal(canonical, f->subject.canonical));
    }
}

/* A header's value goes over the wire as it is: HTTP takes blanks at its ends away. */
static void check_header(const mtls_header_t *header)
{
    size_t len = strlen(header->value);

    check_text(header->value);
    CHECK(len > 0 && header->value[0] != ' ' && header->value[len - 1] != ' ');
    if (strcmp(header->name, MTLS_XFCC_HEADER) == 0)
        CHECK(len > MTLS_MAX_XFCC_BYTES || mtls_xfcc_is_list(mtls_span(header->value, len)));
}

static void show_formats(apr_pool_t *p, mtls_identity_t *identity)
{
    static const mtls_format_t formats[] = {
        {.kind = MTLS_FORMAT_RFC9440, .chain = 1},
        {.kind = MTLS_FORMAT_XFCC, .pairs = 0x7f},
        {.kind = MTLS_FORMAT_XFCC, .pairs = MTLS_XFCC_SUBJECT},
        {.kind = MTLS_FORMAT_GOOGLE},
        {.kind = MTLS_FORMAT_AWS_ALB},
        {.kind = MTLS_FORMAT_INGRESS_NGINX},
        {.kind = MTLS_FORMAT_TRAEFIK},
    };
    mtls_span_t cas[2] = {identity->evidence->facts->der, identity->evidence->facts->der};
    apr_array_header_t *all = apr_array_make(p, 40, sizeof(mtls_header_t));
    size_t i;
    int n;

    identity->cas = cas;
    identity->ca_count = 2;
    identity->gateway_uris = &identity->evidence->facts->san[MTLS_SAN_URI];
    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        mtls_format_headers(p, &formats[i], identity, all);
    for (n = 0; n < all->nelts; n++)
        check_header(&APR_ARRAY_IDX(all, n, mtls_header_t));
    CHECK(all->nelts >= 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    const unsigned char *at = data;
    X509 *x = size < LONG_MAX ? d2i_X509(NULL, &at, (long)size) : NULL;
    const char *error = NULL;
    mtls_evidence_t evidence;
    mtls_identity_t identity = {
        .evidence = &evidence, .now = apr_time_from_sec(1800000000), .verdict = "allow"};

    memset(&evidence, 0, sizeof(evidence));
    if (x && (evidence.facts = mtls_x509_facts(p, x, &error)) != NULL) {
        check_facts(p, evidence.facts);
        show_fields(p, &identity);
        show_variables(p, &identity);
        show_formats(p, &identity);
    }
    CHECK(!x || !evidence.facts == !!error);
    X509_free(x);
    ERR_clear_error();
    fuzz_end(p);
    return 0;
}
