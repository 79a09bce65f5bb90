/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/path_checks.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "policy/span.h"

/* ---- keys ---- */

/* A modulus of whole bytes, as everybody makes them; an exponent with which there is a secret. */
static int is_usual_rsa(const EVP_PKEY *key)
{
    BIGNUM *n = NULL, *e = NULL;
    int usual = EVP_PKEY_get_bits(key) % 8 == 0 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(n) &&
                BN_is_odd(e) && !BN_is_one(e);

    BN_free(n);
    BN_free(e);
    return usual;
}

/* RSA, curves with a name and Ed25519. DSA has left FIPS 186-5 and TLS; the rest nobody uses, and
 * what nobody uses is tried by attackers only. How strong a key is OpenSSL has looked at. */
static int is_usual_key(const EVP_PKEY *key)
{
    if (!key)
        return 0;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        return is_usual_rsa(key);
    case EVP_PKEY_EC:
    case EVP_PKEY_ED25519:
        return 1;
    default:
        return 0;
    }
}

static const char *check_keys(const STACK_OF(X509) * verified)
{
    int i;

    for (i = 0; i < sk_X509_num(verified); i++) {
        if (!is_usual_key(X509_get0_pubkey(sk_X509_value(verified, i))))
            return "a certificate of the path has a key of a kind that is not accepted";
    }
    return NULL;
}

/* ---- names under constraints ---- */

#define UNREADABLE "a name cannot be compared with the name constraints above it"
#define EXCLUDED   "a name reaches what the name constraints above it exclude"
#define FORBIDDEN  "a name is not among those the name constraints above it permit"

static mtls_span_t bytes_of(const ASN1_STRING *string)
{
    const unsigned char *data = ASN1_STRING_get0_data(string); /* of an empty one perhaps NULL */

    return mtls_span(data ? (const char *)data : "", (apr_size_t)ASN1_STRING_length(string));
}

static int ends_with(mtls_span_t name, mtls_span_t end)
{
    apr_size_t i;

    if (name.len < end.len)
        return 0;
    for (i = 0; i < end.len; i++) {
        if (mtls_ascii_lower(name.data[name.len - end.len + i]) != mtls_ascii_lower(end.data[i]))
            return 0;
    }
    return 1;
}

/* No empty label: a dot in front or behind makes another name of it for a comparison of bytes, and
 * the same one for a resolver. */
static int has_empty_label(mtls_span_t host)
{
    apr_size_t i;

    for (i = 0; i < host.len; i++) {
        if (host.data[i] == '.' && (i == 0 || i + 1 == host.len || host.data[i - 1] == '.'))
            return 1;
    }
    return host.len == 0;
}

/* The host of a URI (RFC 3986 3.2), where it is one beyond doubt: no user before it, no address in
 * brackets. 0 otherwise, which RFC 5280 wants refused. */
static int host_of(mtls_span_t uri, mtls_span_t *host)
{
    const char *end = uri.data + uri.len, *at = memchr(uri.data, ':', uri.len), *from;

    if (!at || end - at < 3 || at[1] != '/' || at[2] != '/')
        return 0;
    from = at += 3;
    while (at < end && (mtls_ascii_alnum(*at) || memchr("-._~", *at, 4)))
        at++;
    *host = mtls_span(from, (apr_size_t)(at - from));
    if (at < end && *at == ':') {
        for (at++; at < end && *at >= '0' && *at <= '9'; at++)
            ;
    }
    return (at == end || memchr("/?#", *at, 3)) && !has_empty_label(*host);
}

/* ".x" stands for every host below x, "x" for itself. */
static int uri_is_below(mtls_span_t uri, mtls_span_t base)
{
    mtls_span_t host;

    if (!host_of(uri, &host) || base.len == 0)
        return base.len == 0;
    return (host.len == base.len || base.data[0] == '.') && ends_with(host, base);
}

/* Whether "*.x" stands for a host that is excluded, or for the parent of one. */
static int wildcard_reaches(mtls_span_t name, mtls_span_t base)
{
    return name.len > 2 && name.data[0] == '*' && name.data[1] == '.' &&
           ends_with(base, mtls_span(name.data + 1, name.len - 1));
}

static mtls_span_t base_of(const STACK_OF(GENERAL_SUBTREE) * subtrees, int i, int type)
{
    const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(subtrees, i)->base;
    mtls_span_t none = {NULL, 0};

    return base->type == type ? bytes_of(base->d.ia5) : none;
}

/* How many subtrees are of `type`; in `matched`, how many of those `name` matches. */
static int count_subtrees(const STACK_OF(GENERAL_SUBTREE) * subtrees, int type, mtls_span_t name,
                          int (*match)(mtls_span_t name, mtls_span_t base), int *matched)
{
    int i, of_type = 0, n = subtrees ? sk_GENERAL_SUBTREE_num(subtrees) : 0;

    for (i = *matched = 0; i < n; i++) {
        if (sk_GENERAL_SUBTREE_value(subtrees, i)->base->type != type)
            continue;
        of_type++;
        *matched += match(name, base_of(subtrees, i, type));
    }
    return of_type;
}

static const char *check_uri(const NAME_CONSTRAINTS *nc, mtls_span_t uri)
{
    mtls_span_t host;
    int permitted, excluded;
    int constrained = count_subtrees(nc->permittedSubtrees, GEN_URI, uri, uri_is_below, &permitted);
    int forbidden = count_subtrees(nc->excludedSubtrees, GEN_URI, uri, uri_is_below, &excluded);

    if ((constrained || forbidden) && !host_of(uri, &host))
        return UNREADABLE;
    if (constrained && !permitted)
        return FORBIDDEN;
    return excluded ? EXCLUDED : NULL;
}

static int any(mtls_span_t name, mtls_span_t base)
{
    (void)name;
    (void)base;
    return 1;
}

static const char *check_host(const NAME_CONSTRAINTS *nc, mtls_span_t name)
{
    int reached, n;

    if (count_subtrees(nc->excludedSubtrees, GEN_DNS, name, wildcard_reaches, &reached) && reached)
        return EXCLUDED;
    if (!has_empty_label(name))
        return NULL;
    return count_subtrees(nc->excludedSubtrees, GEN_DNS, name, any, &n) ||
                   count_subtrees(nc->permittedSubtrees, GEN_DNS, name, any, &n)
               ? UNREADABLE
               : NULL;
}

/* "a@x@y" is of x for some readers and of y for others. */
static const char *check_mailbox(const NAME_CONSTRAINTS *nc, mtls_span_t name)
{
    const char *at = memchr(name.data, '@', name.len);
    int n;

    if (at && !memchr(at + 1, '@', (apr_size_t)(name.data + name.len - at - 1)))
        return NULL;
    return count_subtrees(nc->excludedSubtrees, GEN_EMAIL, name, any, &n) ||
                   count_subtrees(nc->permittedSubtrees, GEN_EMAIL, name, any, &n)
               ? UNREADABLE
               : NULL;
}

static const char *check_subject(const NAME_CONSTRAINTS *nc, const X509_NAME *subject)
{
    const char *refusal = NULL;
    int i = -1;

    while (!refusal && (i = X509_NAME_get_index_by_NID(subject, NID_pkcs9_emailAddress, i)) >= 0) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        refusal = check_mailbox(nc, bytes_of(X509_NAME_ENTRY_get_data(entry)));
    }
    return refusal;
}

static const char *check_name(const NAME_CONSTRAINTS *nc, const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_DNS:
        return check_host(nc, bytes_of(name->d.dNSName));
    case GEN_URI:
        return check_uri(nc, bytes_of(name->d.uniformResourceIdentifier));
    case GEN_EMAIL:
        return check_mailbox(nc, bytes_of(name->d.rfc822Name));
    default:
        return NULL; /* OpenSSL compares those it knows, and refuses what it cannot compare */
    }
}

static const char *check_certificate(const NAME_CONSTRAINTS *nc, const X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    const char *refusal = check_subject(nc, X509_get_subject_name(x));
    int i;

    for (i = 0; !refusal && names && i < sk_GENERAL_NAME_num(names); i++)
        refusal = check_name(nc, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    return refusal;
}

/* The name constraints of a CA; NULL with `present` set where they cannot be read to the end. */
static NAME_CONSTRAINTS *constraints_of(const X509 *ca, int *present)
{
    int index = X509_get_ext_by_NID(ca, NID_name_constraints, -1);
    const unsigned char *at, *end;
    mtls_span_t der;
    NAME_CONSTRAINTS *nc;

    *present = index >= 0;
    if (index < 0)
        return NULL;
    der = bytes_of(X509_EXTENSION_get_data(X509_get_ext(ca, index)));
    at = (const unsigned char *)der.data;
    end = at + der.len;
    nc = (NAME_CONSTRAINTS *)ASN1_item_d2i(NULL, &at, (long)der.len,
                                           ASN1_ITEM_rptr(NAME_CONSTRAINTS));
    if (at == end)
        return nc;
    NAME_CONSTRAINTS_free(nc);
    return NULL;
}

/* All certificates below the one at `depth`. */
static const char *check_below(const STACK_OF(X509) * verified, int depth)
{
    int i, constrained;
    NAME_CONSTRAINTS *nc = constraints_of(sk_X509_value(verified, depth), &constrained);
    const char *refusal = constrained && !nc ? UNREADABLE : NULL;

    for (i = 0; nc && !refusal && i < depth; i++)
        refusal = check_certificate(nc, sk_X509_value(verified, i));
    NAME_CONSTRAINTS_free(nc);
    return refusal;
}

const char *mtls_path_refusal(const STACK_OF(X509) * verified, mtls_reason_t *reason)
{
    const char *refusal = check_keys(verified);
    int i;

    *reason = MTLS_CHAIN_WEAK;
    if (refusal)
        return refusal;
    *reason = MTLS_CHAIN_INVALID;
    for (i = 1; !refusal && i < sk_X509_num(verified); i++)
        refusal = check_below(verified, i);
    ERR_clear_error();
    return refusal;
}
