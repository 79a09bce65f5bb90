/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Certificates: DER to facts, then everything that can be told of them, as it would be exported. */

#include "fuzz.h"

#include <limits.h>

#include <apr_tables.h>
#include <openssl/err.h>

#include "identity/variables.h"
#include "pki/oid.h"
#include "pki/x509_facts.h"
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
    }
    CHECK(!x || !evidence.facts == !!error);
    X509_free(x);
    ERR_clear_error();
    fuzz_end(p);
    return 0;
}
