/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/x509_facts.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <apr_hash.h>
#include <apr_tables.h>

#include "pki/name_text.h"
#include "pki/oid.h"
#include "policy/limits.h"
#include "policy/value.h"

typedef struct reader_t {
    apr_pool_t *p;
    X509 *x;
    mtls_facts_t *facts;
    const char *error;
} reader_t;

static int fail(reader_t *in, const char *what)
{
    if (!in->error)
        in->error = what;
    return 0;
}

/* ---- digests, times, numbers ---- */

/* Fetched once: EVP_sha256() is looked up anew by every use, at some 15,000 instructions. */
static const EVP_MD *sha256(void)
{
    static EVP_MD *fetched;
    EVP_MD *md = __atomic_load_n(&fetched, __ATOMIC_ACQUIRE), *none = NULL;

    if (md)
        return md;
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!__atomic_compare_exchange_n(&fetched, &none, md, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        EVP_MD_free(md); /* another thread was first */
        md = none;
    }
    return md ? md : EVP_sha256();
}

int mtls_x509_der(apr_pool_t *p, X509 *x, mtls_span_t *der)
{
    int len = i2d_X509(x, NULL);
    unsigned char *bytes, *at;

    if (len <= 0)
        return 0;
    at = bytes = apr_palloc(p, (apr_size_t)len);
    i2d_X509(x, &at);
    *der = mtls_span((const char *)bytes, (apr_size_t)len);
    return 1;
}

int mtls_x509_digests(X509 *x, unsigned char *certificate, unsigned char *spki)
{
    unsigned char *der = NULL;
    unsigned int len = 0;
    int n, done = 0;

    if (X509_digest(x, sha256(), certificate, &len) != 1 || len != MTLS_DIGEST_BYTES)
        return 0;
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (n > 0)
        done =
            EVP_Digest(der, (size_t)n, spki, &len, sha256(), NULL) == 1 && len == MTLS_DIGEST_BYTES;
    OPENSSL_free(der);
    return done;
}

int mtls_x509_time(const ASN1_TIME *at, apr_time_t *out)
{
    apr_time_exp_t exploded = {0};
    struct tm tm;

    if (!at || ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    exploded.tm_sec = tm.tm_sec;
    exploded.tm_min = tm.tm_min;
    exploded.tm_hour = tm.tm_hour;
    exploded.tm_mday = tm.tm_mday;
    exploded.tm_mon = tm.tm_mon;
    exploded.tm_year = tm.tm_year;
    return apr_time_exp_gmt_get(out, &exploded) == APR_SUCCESS;
}

static int read_digests(reader_t *in)
{
    mtls_facts_t *f = in->facts;

    if (i2d_X509(in->x, NULL) > MTLS_MAX_CERTIFICATE_BYTES || !mtls_x509_der(in->p, in->x, &f->der))
        return fail(in, "the certificate is too large");
    if (!mtls_x509_digests(in->x, f->sha256, f->spki_sha256))
        return fail(in, "the certificate cannot be hashed");
    return 1;
}

static int read_validity(reader_t *in)
{
    if (!mtls_x509_time(X509_get0_notBefore(in->x), &in->facts->not_before) ||
        !mtls_x509_time(X509_get0_notAfter(in->x), &in->facts->not_after))
        return fail(in, "a date of the certificate cannot be read");
    return 1;
}

/* "-" before a negative number, no leading zeros: lists compare by value (RFC 5280 4.1.2.2). */
static int read_serial(reader_t *in)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(in->x), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    const char *digits = hex ? hex + (*hex == '-') : "";
    char *out;

    while (digits[0] == '0' && digits[1])
        digits++;
    out = apr_pstrcat(in->p, hex && *hex == '-' ? "-" : "", digits, NULL);
    in->facts->serial = out;
    for (; *out; out++)
        *out = mtls_ascii_lower(*out);
    OPENSSL_free(hex);
    BN_free(number);
    return *in->facts->serial ? 1 : fail(in, "the serial number cannot be read");
}

/* ---- strings ---- */

static int is_ascii(const ASN1_STRING *s)
{
    const unsigned char *data = ASN1_STRING_get0_data(s);
    int i, len = ASN1_STRING_length(s);

    for (i = 0; i < len; i++) {
        if (data[i] >= 0x80)
            return 0;
    }
    return 1;
}

static int is_string_type(int type)
{
    switch (type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_T61STRING: /* read as Latin-1, as everybody does */
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
        return 1;
    default:
        return 0;
    }
}

/* The UTF-8 of a string of any ASN.1 string type; NULL or why it has none. */
static const char *string_text(apr_pool_t *p, const ASN1_STRING *s, mtls_span_t *out)
{
    unsigned char *utf8 = NULL;
    int len, type = ASN1_STRING_type(s);

    if (!is_string_type(type))
        return "a string has the wrong ASN.1 type";
    if (type != V_ASN1_UTF8STRING && type != V_ASN1_T61STRING && type != V_ASN1_BMPSTRING &&
        type != V_ASN1_UNIVERSALSTRING && !is_ascii(s))
        return "an ASCII string holds other bytes";
    len = ASN1_STRING_to_UTF8(&utf8, s);
    if (len < 0) {
        ERR_clear_error();
        return "a string is not valid in its encoding";
    }
    *out = mtls_span_copy(p, mtls_span(utf8 ? (char *)utf8 : "", (apr_size_t)len));
    OPENSSL_free(utf8);
    /* A NUL ends the value for some readers and not for others (CVE-2009-2408). */
    return memchr(out->data, '\0', out->len) ? "a string holds a NUL" : NULL;
}

static mtls_span_t der_text(apr_pool_t *p, const char *prefix, const void *der, apr_size_t len)
{
    return mtls_span_of(apr_pstrcat(p, prefix, mtls_value_hex(p, der, len), NULL));
}

/* ---- distinguished names ---- */

static int read_der_attribute(reader_t *in, const ASN1_STRING *value, mtls_span_t *out)
{
    ASN1_TYPE any = {ASN1_STRING_type(value), {NULL}};
    unsigned char *der = NULL;
    int len;

    any.value.asn1_string = (ASN1_STRING *)value;
    len = i2d_ASN1_TYPE(&any, &der);
    if (len <= 0)
        return fail(in, "a name has a value that cannot be read");
    *out = der_text(in->p, "#", der, (apr_size_t)len);
    OPENSSL_free(der);
    return 1;
}

static int read_attribute(reader_t *in, const X509_NAME_ENTRY *entry, mtls_name_attribute_t *out)
{
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    const char *error;

    out->rdn = X509_NAME_ENTRY_set(entry);
    out->oid = mtls_oid_text(in->p, X509_NAME_ENTRY_get_object(entry));
    if (!out->oid)
        return fail(in, "a name has an attribute type that cannot be read");
    if (is_string_type(ASN1_STRING_type(value))) {
        if ((error = string_text(in->p, value, &out->value)) != NULL)
            return fail(in, error);
        return 1;
    }
    out->is_der = 1; /* x500UniqueIdentifier is a BIT STRING; RFC 4514 2.4 writes such as #hex */
    return read_der_attribute(in, value, &out->value);
}

static int print_name(reader_t *in, const X509_NAME *name, mtls_name_t *out)
{
    out->rfc4514 = mtls_name_text(in->p, name, &out->rfc2253);
    return out->rfc4514 ? 1 : fail(in, "a name cannot be printed");
}

static int read_name_der(reader_t *in, const X509_NAME *name, mtls_name_t *out)
{
    const unsigned char *der = NULL;
    size_t len = 0;

    if (X509_NAME_get0_der(name, &der, &len) != 1)
        return fail(in, "a name cannot be read");
    out->der = mtls_span_copy(in->p, mtls_span((const char *)der, len));
    return 1;
}

static int read_name(reader_t *in, const X509_NAME *name, mtls_name_t *out)
{
    int i, n = X509_NAME_entry_count(name);
    mtls_name_attribute_t *attributes;

    if (n > MTLS_MAX_NAME_ATTRIBUTES)
        return fail(in, "a name has too many attributes");
    attributes = apr_pcalloc(in->p, sizeof(*attributes) * (apr_size_t)(n + 1));
    for (i = 0; i < n; i++) {
        if (!read_attribute(in, X509_NAME_get_entry(name, i), &attributes[i]))
            return 0;
    }
    out->attributes = attributes;
    out->n = n;
    out->canonical = mtls_name_canonical(in->p, attributes, n);
    return print_name(in, name, out) && read_name_der(in, name, out);
}

/* ---- extensions ---- */

/* The text of an extension that is one simple string, else "hex:" and its DER. */
static mtls_span_t extension_text(apr_pool_t *p, const ASN1_OCTET_STRING *value)
{
    const unsigned char *at = ASN1_STRING_get0_data(value);
    long len = ASN1_STRING_length(value);
    const unsigned char *end = at + len;
    ASN1_TYPE *any = d2i_ASN1_TYPE(NULL, &at, len);
    mtls_span_t text = {NULL, 0};
    int simple = 0;

    if (any && at == end && is_string_type(ASN1_TYPE_get(any)))
        simple = string_text(p, any->value.asn1_string, &text) == NULL;
    ASN1_TYPE_free(any);
    ERR_clear_error();
    if (simple)
        return text;
    return der_text(p, "hex:", ASN1_STRING_get0_data(value), (apr_size_t)len);
}

static int read_extensions(reader_t *in)
{
    int i, n = X509_get_ext_count(in->x);
    mtls_extension_t *out;
    apr_hash_t *seen = apr_hash_make(in->p);

    if (n > MTLS_MAX_EXTENSIONS)
        return fail(in, "the certificate has too many extensions");
    out = apr_pcalloc(in->p, sizeof(*out) * (apr_size_t)(n + 1));
    for (i = 0; i < n; i++) {
        X509_EXTENSION *extension = X509_get_ext(in->x, i);
        out[i].oid = mtls_oid_text(in->p, X509_EXTENSION_get_object(extension));
        if (!out[i].oid)
            return fail(in, "an extension has an OID that cannot be read");
        if (apr_hash_get(seen, out[i].oid, APR_HASH_KEY_STRING))
            return fail(in, "an extension occurs twice"); /* RFC 5280 4.2 */
        apr_hash_set(seen, out[i].oid, APR_HASH_KEY_STRING, "");
        out[i].text = extension_text(in->p, X509_EXTENSION_get_data(extension));
    }
    in->facts->extensions = out;
    in->facts->extension_count = n;
    return 1;
}

/* The parsed extension `nid`, whose DER must be one value and nothing behind it. *present tells a
 * missing one (returns NULL, no error) from a bad one. */
static void *read_extension(reader_t *in, int nid, const ASN1_ITEM *type, int *present)
{
    int index = X509_get_ext_by_NID(in->x, nid, -1);
    const ASN1_OCTET_STRING *value;
    const unsigned char *at;
    long len;
    void *parsed;

    *present = index >= 0;
    if (index < 0)
        return NULL;
    value = X509_EXTENSION_get_data(X509_get_ext(in->x, index));
    at = ASN1_STRING_get0_data(value);
    len = ASN1_STRING_length(value);
    parsed = ASN1_item_d2i(NULL, &at, len, type);
    if (parsed && at != ASN1_STRING_get0_data(value) + len) {
        ASN1_item_free(parsed, type);
        parsed = NULL;
    }
    if (!parsed) {
        ERR_clear_error();
        fail(in, "an extension cannot be read");
    }
    return parsed;
}

typedef struct san_reader_t {
    apr_array_header_t *values[MTLS_SAN_TYPES];
    apr_array_header_t *folded[MTLS_SAN_TYPES];
} san_reader_t;

static void push_san(reader_t *in, san_reader_t *san, mtls_san_type_t type, mtls_span_t value)
{
    static const mtls_kind_t kinds[MTLS_SAN_TYPES] = {
        [MTLS_SAN_DNS] = MTLS_KIND_DNS,     [MTLS_SAN_URI] = MTLS_KIND_URI,
        [MTLS_SAN_EMAIL] = MTLS_KIND_EMAIL, [MTLS_SAN_IP] = MTLS_KIND_IP,
        [MTLS_SAN_UPN] = MTLS_KIND_TEXT,
    };

    APR_ARRAY_PUSH(san->values[type], mtls_span_t) = value;
    APR_ARRAY_PUSH(san->folded[type], mtls_span_t) = mtls_value_fold(in->p, kinds[type], value);
}

static int read_ia5_name(reader_t *in, san_reader_t *san, mtls_san_type_t type,
                         const ASN1_IA5STRING *string)
{
    mtls_span_t value;
    const char *error = ASN1_STRING_type(string) == V_ASN1_IA5STRING
                            ? string_text(in->p, string, &value)
                            : "a subject alternative name has the wrong ASN.1 type";

    if (error)
        return fail(in, error);
    push_san(in, san, type, value);
    return 1;
}

static int read_address(reader_t *in, san_reader_t *san, const ASN1_OCTET_STRING *string)
{
    mtls_span_t value = mtls_span((const char *)ASN1_STRING_get0_data(string),
                                  (apr_size_t)ASN1_STRING_length(string));

    if (value.len != 4 && value.len != 16)
        return fail(in, "an IP address has neither 4 nor 16 bytes");
    push_san(in, san, MTLS_SAN_IP, mtls_span_copy(in->p, value));
    return 1;
}

/* Of the other names only the Microsoft user principal name is read; the rest match nothing. */
static int read_other_name(reader_t *in, san_reader_t *san, const OTHERNAME *other)
{
    mtls_span_t value;
    const char *error;

    if (OBJ_obj2nid(other->type_id) != NID_ms_upn)
        return 1;
    if (!other->value || ASN1_TYPE_get(other->value) != V_ASN1_UTF8STRING)
        return fail(in, "a user principal name is no UTF8String");
    if ((error = string_text(in->p, other->value->value.utf8string, &value)) != NULL)
        return fail(in, error);
    push_san(in, san, MTLS_SAN_UPN, value);
    return 1;
}

static int read_general_name(reader_t *in, san_reader_t *san, const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_DNS:
        return read_ia5_name(in, san, MTLS_SAN_DNS, name->d.dNSName);
    case GEN_URI:
        return read_ia5_name(in, san, MTLS_SAN_URI, name->d.uniformResourceIdentifier);
    case GEN_EMAIL:
        return read_ia5_name(in, san, MTLS_SAN_EMAIL, name->d.rfc822Name);
    case GEN_IPADD:
        return read_address(in, san, name->d.iPAddress);
    case GEN_OTHERNAME:
        return read_other_name(in, san, name->d.otherName);
    default:
        return 1; /* directoryName, x400Address, ediPartyName, registeredID: no rule reads them */
    }
}

static int read_san(reader_t *in)
{
    san_reader_t san;
    GENERAL_NAMES *names;
    int i, present, done;

    for (i = 0; i < MTLS_SAN_TYPES; i++) {
        san.values[i] = apr_array_make(in->p, 2, sizeof(mtls_span_t));
        san.folded[i] = apr_array_make(in->p, 2, sizeof(mtls_span_t));
    }
    names = read_extension(in, NID_subject_alt_name, ASN1_ITEM_rptr(GENERAL_NAMES), &present);
    done = names || !present;
    if (names && sk_GENERAL_NAME_num(names) > MTLS_MAX_SAN_ENTRIES)
        done = fail(in, "the certificate has too many subject alternative names");
    for (i = 0; done && names && i < sk_GENERAL_NAME_num(names); i++)
        done = read_general_name(in, &san, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    for (i = 0; i < MTLS_SAN_TYPES; i++) {
        in->facts->san[i].v = (const mtls_span_t *)(void *)san.values[i]->elts;
        in->facts->san[i].n = san.values[i]->nelts;
        in->facts->san_folded[i].v = (const mtls_span_t *)(void *)san.folded[i]->elts;
        in->facts->san_folded[i].n = san.folded[i]->nelts;
    }
    return done;
}

static int push_oid(reader_t *in, apr_array_header_t *out, const ASN1_OBJECT *object)
{
    const char *oid = mtls_oid_text(in->p, object);

    if (!oid)
        return fail(in, "an OID cannot be read");
    APR_ARRAY_PUSH(out, mtls_span_t) = mtls_span_of(oid);
    return 1;
}

static void keep(mtls_values_t *out, const apr_array_header_t *values)
{
    out->v = (const mtls_span_t *)(void *)values->elts;
    out->n = values->nelts;
}

static int read_eku(reader_t *in)
{
    apr_array_header_t *out = apr_array_make(in->p, 2, sizeof(mtls_span_t));
    int i, present, done;
    EXTENDED_KEY_USAGE *usages =
        read_extension(in, NID_ext_key_usage, ASN1_ITEM_rptr(EXTENDED_KEY_USAGE), &present);

    done = usages || !present;
    for (i = 0; done && usages && i < sk_ASN1_OBJECT_num(usages); i++)
        done = push_oid(in, out, sk_ASN1_OBJECT_value(usages, i));
    sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
    keep(&in->facts->eku, out);
    return done;
}

static int read_policies(reader_t *in)
{
    apr_array_header_t *out = apr_array_make(in->p, 2, sizeof(mtls_span_t));
    int i, present, done;
    CERTIFICATEPOLICIES *policies =
        read_extension(in, NID_certificate_policies, ASN1_ITEM_rptr(CERTIFICATEPOLICIES), &present);

    done = policies || !present;
    for (i = 0; done && policies && i < sk_POLICYINFO_num(policies); i++)
        done = push_oid(in, out, sk_POLICYINFO_value(policies, i)->policyid);
    CERTIFICATEPOLICIES_free(policies);
    keep(&in->facts->policies, out);
    return done;
}

/* ---- key and usage ---- */

static void read_key(reader_t *in)
{
    mtls_key_t *key = &in->facts->key;
    EVP_PKEY *pkey = X509_get0_pubkey(in->x);
    char curve[80] = "";
    size_t len = 0;

    key->type = "unknown";
    key->curve = "";
    if (!pkey) {
        ERR_clear_error(); /* an algorithm OpenSSL does not know: the chain check refuses it */
        return;
    }
    key->bits = EVP_PKEY_get_bits(pkey);
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        key->type = "rsa";
        break;
    case EVP_PKEY_EC:
        key->type = "ec";
        if (EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), &len) == 1)
            key->curve = apr_pstrdup(in->p, curve);
        break;
    case EVP_PKEY_ED25519:
        key->type = "ed25519";
        break;
    case EVP_PKEY_ED448:
        key->type = "ed448";
        break;
    case EVP_PKEY_DSA:
        key->type = "dsa";
        break;
    default:
        break;
    }
}

static int read_usage(reader_t *in)
{
    uint32_t flags, usage;

    /* Makes OpenSSL look at every extension it knows; -1 means one of them is broken. */
    if (X509_check_purpose(in->x, -1, 0) != 1)
        return fail(in, "an extension cannot be read");
    flags = X509_get_extension_flags(in->x);
    if (flags & EXFLAG_INVALID)
        return fail(in, "an extension is not valid");
    in->facts->is_ca = (flags & EXFLAG_CA) != 0;
    if (flags & EXFLAG_KUSAGE) {
        usage = X509_get_key_usage(in->x);
        in->facts->signs_certificates = (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0;
    }
    return 1;
}

const mtls_facts_t *mtls_x509_facts(apr_pool_t *p, X509 *x, const char **error)
{
    reader_t in = {p, x, apr_pcalloc(p, sizeof(mtls_facts_t)), NULL};
    int done = read_digests(&in) && read_validity(&in) && read_serial(&in) &&
               read_name(&in, X509_get_subject_name(x), &in.facts->subject) &&
               read_name(&in, X509_get_issuer_name(x), &in.facts->issuer) && read_extensions(&in) &&
               read_san(&in) && read_eku(&in) && read_policies(&in) && read_usage(&in);

    if (done)
        read_key(&in);
    ERR_clear_error();
    *error = in.error;
    return done ? in.facts : NULL;
}
