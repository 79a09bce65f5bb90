/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/attribute.h"

#include <arpa/inet.h>

#include "policy/spiffe.h"

/* A name that ends in "." is followed by the name of a DN attribute or the OID of an extension. */
static const struct {
    const char *name;
    mtls_source_t source;
    mtls_kind_t kind;
    mtls_reason_t mismatch;
} table[] = {
    {"subject.", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH},
    {"issuer.cert", MTLS_SOURCE_ISSUER_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH},
    {"issuer.spki", MTLS_SOURCE_ISSUER_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH},
    {"issuer.", MTLS_SOURCE_ISSUER_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_ISSUER_MISMATCH},
    {"subject", MTLS_SOURCE_SUBJECT, MTLS_KIND_NAME, MTLS_SUBJECT_MISMATCH},
    {"issuer", MTLS_SOURCE_ISSUER, MTLS_KIND_NAME, MTLS_ISSUER_MISMATCH},
    {"chain.cert", MTLS_SOURCE_CHAIN_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH},
    {"anchor.cert", MTLS_SOURCE_ANCHOR_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH},
    {"chain.spki", MTLS_SOURCE_CHAIN_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH},
    {"anchor.spki", MTLS_SOURCE_ANCHOR_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH},
    {"spki", MTLS_SOURCE_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH},
    {"trust", MTLS_SOURCE_TRUST, MTLS_KIND_TRUST, MTLS_TRUST_MISMATCH},
    {"sha256", MTLS_SOURCE_SHA256, MTLS_KIND_SHA256, MTLS_FINGERPRINT_MISMATCH},
    {"serial", MTLS_SOURCE_SERIAL, MTLS_KIND_SERIAL, MTLS_SERIAL_MISMATCH},
    {"san.dns", MTLS_SOURCE_SAN_DNS, MTLS_KIND_DNS, MTLS_SAN_MISMATCH},
    {"san.uri", MTLS_SOURCE_SAN_URI, MTLS_KIND_URI, MTLS_SAN_MISMATCH},
    {"san.email", MTLS_SOURCE_SAN_EMAIL, MTLS_KIND_EMAIL, MTLS_SAN_MISMATCH},
    {"san.ip", MTLS_SOURCE_SAN_IP, MTLS_KIND_IP, MTLS_SAN_MISMATCH},
    {"san.upn", MTLS_SOURCE_SAN_UPN, MTLS_KIND_TEXT, MTLS_SAN_MISMATCH},
    {"spiffe", MTLS_SOURCE_SPIFFE, MTLS_KIND_SPIFFE, MTLS_SPIFFE_MISMATCH},
    {"eku", MTLS_SOURCE_EKU, MTLS_KIND_OID, MTLS_EKU_MISMATCH},
    {"policy", MTLS_SOURCE_POLICY, MTLS_KIND_OID, MTLS_POLICY_OID_MISMATCH},
    {"ext.", MTLS_SOURCE_EXTENSION, MTLS_KIND_TEXT, MTLS_EXTENSION_MISMATCH},
    {"key", MTLS_SOURCE_KEY, MTLS_KIND_KEY, MTLS_KEY_MISMATCH},
    {"lifetime", MTLS_SOURCE_LIFETIME, MTLS_KIND_DURATION, MTLS_LIFETIME_MISMATCH},
    {"remaining", MTLS_SOURCE_REMAINING, MTLS_KIND_DURATION, MTLS_LIFETIME_MISMATCH},
    {"expr", MTLS_SOURCE_EXPR, MTLS_KIND_EXPR, MTLS_EXPR_FALSE},
};

#define TABLE_ROWS (sizeof(table) / sizeof(table[0]))

static const char *unknown_attribute(apr_pool_t *p, const char *text)
{
    const char *names = "";
    apr_size_t i;

    for (i = 0; i < TABLE_ROWS; i++) {
        const char *tail = "";
        if (table[i].name[strlen(table[i].name) - 1] == '.')
            tail = table[i].source == MTLS_SOURCE_EXTENSION ? "OID" : "ATTR";
        names = apr_pstrcat(p, names, i ? ", " : "", table[i].name, tail, NULL);
    }
    return apr_psprintf(p, "unknown attribute \"%s\"; there are: %s", text, names);
}

/* OU and DC are levels of a hierarchy; any other attribute says one thing or is ambiguous. */
static int attribute_may_repeat(const char *oid)
{
    return strcmp(oid, "2.5.4.11") == 0 || strcmp(oid, "0.9.2342.19200300.100.1.25") == 0;
}

static const char *resolve_oid(apr_pool_t *p, const char *text, apr_size_t row,
                               mtls_oid_lookup_t oid_of, mtls_attribute_t *attribute)
{
    const char *name = text + strlen(table[row].name);

    if (*name)
        attribute->oid = oid_of(p, name);
    if (!attribute->oid) {
        return apr_psprintf(p, "\"%s\" in \"%s\" is neither a known name nor a dotted OID", name,
                            text);
    }
    attribute->may_repeat =
        attribute->source != MTLS_SOURCE_EXTENSION ? attribute_may_repeat(attribute->oid) : 1;
    return NULL;
}

const char *mtls_attribute_parse(apr_pool_t *p, const char *text, mtls_oid_lookup_t oid_of,
                                 mtls_attribute_t *attribute)
{
    apr_size_t i;

    for (i = 0; i < TABLE_ROWS; i++) {
        apr_size_t len = strlen(table[i].name);
        int open = table[i].name[len - 1] == '.';
        if (open ? strncmp(text, table[i].name, len) != 0 : strcmp(text, table[i].name) != 0)
            continue;
        attribute->source = table[i].source;
        attribute->kind = table[i].kind;
        attribute->mismatch = table[i].mismatch;
        attribute->name = apr_pstrdup(p, text);
        attribute->oid = NULL;
        attribute->may_repeat = 1;
        return open ? resolve_oid(p, text, i, oid_of, attribute) : NULL;
    }
    return unknown_attribute(p, text);
}

/* ---- values ---- */

static int count_name(const mtls_name_t *name, const char *oid)
{
    int i, n = 0;

    for (i = 0; i < name->n; i++)
        n += strcmp(name->attributes[i].oid, oid) == 0;
    return n;
}

static mtls_span_t name_value(const mtls_name_t *name, const char *oid, int index)
{
    int i;

    for (i = 0; i < name->n; i++) {
        if (strcmp(name->attributes[i].oid, oid) == 0 && index-- == 0)
            return name->attributes[i].value;
    }
    return mtls_span("", 0);
}

static const mtls_extension_t *find_extension(const mtls_facts_t *facts, const char *oid)
{
    int i;

    for (i = 0; i < facts->extension_count; i++) {
        if (strcmp(facts->extensions[i].oid, oid) == 0)
            return &facts->extensions[i];
    }
    return NULL;
}

/* An ID of a domain these anchors may not vouch for is nobody's. */
static mtls_span_t spiffe_value(const mtls_evidence_t *e)
{
    mtls_span_t id = {"", 0}, domain = {"", 0};

    if (mtls_spiffe_of(e->facts, &id, &domain) != MTLS_SVID_VALID ||
        !mtls_spiffe_domain_trusted(e->chain, domain))
        return mtls_span("", 0);
    return id;
}

static mtls_san_type_t san_type(mtls_source_t source)
{
    return (mtls_san_type_t)(source - MTLS_SOURCE_SAN_DNS + MTLS_SAN_DNS);
}

/* What a certificate that is allowed as it is says of its issuer, nobody has signed. */
static int issuer_is_proved(const mtls_evidence_t *e)
{
    return !e->chain || !e->chain->exempt;
}

int mtls_attribute_count(const mtls_attribute_t *a, const mtls_evidence_t *e)
{
    const mtls_facts_t *f = e->facts;
    int links = e->chain ? e->chain->n : 0;

    switch (a->source) {
    case MTLS_SOURCE_SUBJECT_ATTRIBUTE:
        return count_name(&f->subject, a->oid);
    case MTLS_SOURCE_ISSUER_ATTRIBUTE:
        return issuer_is_proved(e) ? count_name(&f->issuer, a->oid) : 0;
    case MTLS_SOURCE_SUBJECT:
        return f->subject.n > 0;
    case MTLS_SOURCE_ISSUER:
        return issuer_is_proved(e) && f->issuer.n > 0;
    case MTLS_SOURCE_ISSUER_CERT:
    case MTLS_SOURCE_ISSUER_SPKI:
    case MTLS_SOURCE_ANCHOR_CERT:
    case MTLS_SOURCE_ANCHOR_SPKI:
        return links > 0;
    case MTLS_SOURCE_CHAIN_CERT:
    case MTLS_SOURCE_CHAIN_SPKI:
        return links;
    case MTLS_SOURCE_TRUST:
        return e->chain != NULL;
    case MTLS_SOURCE_SPKI:
    case MTLS_SOURCE_SHA256:
    case MTLS_SOURCE_SERIAL:
        return 1;
    case MTLS_SOURCE_SAN_DNS:
    case MTLS_SOURCE_SAN_URI:
    case MTLS_SOURCE_SAN_EMAIL:
    case MTLS_SOURCE_SAN_IP:
    case MTLS_SOURCE_SAN_UPN:
        return f->san[san_type(a->source)].n;
    case MTLS_SOURCE_SPIFFE:
        return spiffe_value(e).len > 0;
    case MTLS_SOURCE_EKU:
        return f->eku.n;
    case MTLS_SOURCE_POLICY:
        return f->policies.n;
    case MTLS_SOURCE_EXTENSION:
        return find_extension(f, a->oid) != NULL;
    default:
        return 0;
    }
}

static mtls_span_t digest(const unsigned char *bytes)
{
    return mtls_span((const char *)bytes, MTLS_DIGEST_BYTES);
}

static mtls_span_t chain_value(mtls_source_t source, const mtls_chain_t *chain, int index)
{
    switch (source) {
    case MTLS_SOURCE_ISSUER_CERT:
        return digest(chain->links[0].sha256);
    case MTLS_SOURCE_CHAIN_CERT:
        return digest(chain->links[index].sha256);
    case MTLS_SOURCE_ANCHOR_CERT:
        return digest(chain->links[chain->n - 1].sha256);
    case MTLS_SOURCE_ISSUER_SPKI:
        return digest(chain->links[0].spki_sha256);
    case MTLS_SOURCE_CHAIN_SPKI:
        return digest(chain->links[index].spki_sha256);
    case MTLS_SOURCE_ANCHOR_SPKI:
        return digest(chain->links[chain->n - 1].spki_sha256);
    case MTLS_SOURCE_TRUST:
        return mtls_span_of(chain->trust_store);
    default:
        return mtls_span("", 0);
    }
}

mtls_span_t mtls_attribute_value(const mtls_attribute_t *a, const mtls_evidence_t *e, int index,
                                 int folded)
{
    const mtls_facts_t *f = e->facts;

    switch (a->source) {
    case MTLS_SOURCE_SUBJECT_ATTRIBUTE:
        return name_value(&f->subject, a->oid, index);
    case MTLS_SOURCE_ISSUER_ATTRIBUTE:
        return name_value(&f->issuer, a->oid, index);
    case MTLS_SOURCE_SUBJECT:
        return folded ? f->subject.canonical : mtls_span_of(f->subject.rfc4514);
    case MTLS_SOURCE_ISSUER:
        return folded ? f->issuer.canonical : mtls_span_of(f->issuer.rfc4514);
    case MTLS_SOURCE_SPKI:
        return digest(f->spki_sha256);
    case MTLS_SOURCE_SHA256:
        return digest(f->sha256);
    case MTLS_SOURCE_SERIAL:
        return mtls_span_of(f->serial);
    case MTLS_SOURCE_SAN_DNS:
    case MTLS_SOURCE_SAN_URI:
    case MTLS_SOURCE_SAN_EMAIL:
    case MTLS_SOURCE_SAN_IP:
    case MTLS_SOURCE_SAN_UPN:
        return (folded ? f->san_folded : f->san)[san_type(a->source)].v[index];
    case MTLS_SOURCE_SPIFFE:
        return spiffe_value(e);
    case MTLS_SOURCE_EKU:
        return f->eku.v[index];
    case MTLS_SOURCE_POLICY:
        return f->policies.v[index];
    case MTLS_SOURCE_EXTENSION:
        return find_extension(f, a->oid)->text;
    default:
        return e->chain ? chain_value(a->source, e->chain, index) : mtls_span("", 0);
    }
}

int mtls_attribute_is_list(const mtls_attribute_t *a)
{
    switch (a->source) {
    case MTLS_SOURCE_SUBJECT_ATTRIBUTE:
    case MTLS_SOURCE_ISSUER_ATTRIBUTE:
        return a->may_repeat;
    case MTLS_SOURCE_SAN_DNS:
    case MTLS_SOURCE_SAN_URI:
    case MTLS_SOURCE_SAN_EMAIL:
    case MTLS_SOURCE_SAN_IP:
    case MTLS_SOURCE_SAN_UPN:
    case MTLS_SOURCE_EKU:
    case MTLS_SOURCE_POLICY:
        return 1;
    default:
        return 0;
    }
}

int mtls_attribute_text_count(const mtls_attribute_t *a, const mtls_evidence_t *e)
{
    switch (a->kind) {
    case MTLS_KIND_KEY:
    case MTLS_KIND_DURATION:
        return 1;
    default:
        return mtls_attribute_count(a, e);
    }
}

static mtls_span_t key_text(apr_pool_t *p, const mtls_key_t *key)
{
    if (*key->curve)
        return mtls_span_of(apr_pstrcat(p, key->type, ":", key->curve, NULL));
    return mtls_span_of(apr_psprintf(p, "%s:%d", key->type, key->bits));
}

static mtls_span_t duration_text(apr_pool_t *p, const mtls_attribute_t *a, const mtls_facts_t *f,
                                 apr_time_t now)
{
    apr_time_t from = a->source == MTLS_SOURCE_REMAINING ? now : f->not_before;

    return mtls_span_of(apr_psprintf(p, "%" APR_TIME_T_FMT, apr_time_sec(f->not_after - from)));
}

static mtls_span_t address_text(apr_pool_t *p, mtls_span_t address)
{
    char out[INET6_ADDRSTRLEN];
    int family = address.len == 4 ? AF_INET : AF_INET6;

    if (!inet_ntop(family, address.data, out, sizeof(out)))
        return mtls_span("", 0);
    return mtls_span_of(apr_pstrdup(p, out));
}

mtls_span_t mtls_attribute_text(apr_pool_t *p, const mtls_attribute_t *a, const mtls_evidence_t *e,
                                int index, apr_time_t now)
{
    mtls_span_t value;

    if (a->kind == MTLS_KIND_KEY)
        return key_text(p, &e->facts->key);
    if (a->kind == MTLS_KIND_DURATION)
        return duration_text(p, a, e->facts, now);
    value = mtls_attribute_value(a, e, index, 0);
    switch (a->kind) {
    case MTLS_KIND_IP:
        return address_text(p, value);
    case MTLS_KIND_PIN:
    case MTLS_KIND_SHA256:
    case MTLS_KIND_CERTIFICATE:
        return mtls_span_of(mtls_value_hex(p, value.data, value.len));
    default:
        return value;
    }
}
