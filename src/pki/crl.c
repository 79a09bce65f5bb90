/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/crl.h"

#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki/pem_files.h"
#include "policy/limits.h"
#include "policy/value_list.h"

/* Keys a list is remembered to be signed by, or not. One is usual, two while a CA changes its key;
 * others are made up by clients. */
#define REMEMBERED_KEYS 8

/* From so many entries on the C library is asked to return what parsing them took. */
#define MANY_ENTRIES 4096

typedef struct remembered_key_t {
    EVP_PKEY *key;
    int good;
} remembered_key_t;

/* What a list has instead of a stack of entries. Only `lock`, `keys` and `next` ever change. */
typedef struct index_t {
    apr_pool_t *p; /* this lives in it */
    mtls_value_list_t *positive, *negative;
    const EVP_MD *md; /* NULL: the signature is not one of a digest */
    int key_nid;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len;
    pthread_rwlock_t lock;
    remembered_key_t keys[REMEMBERED_KEYS];
    unsigned int next;
} index_t;

/* The answer of every look-up that finds something: an entry without a reason, so that none can say
 * removeFromCRL. Made with the method, and before a list can have that. */
static X509_REVOKED *revoked;

/* ---- DER ---- */

/* What a list is made of (RFC 5280 5.1), as it was signed. */
typedef struct outline_t {
    mtls_span_t tbs, algorithm, inner_algorithm, signature;
} outline_t;

/* Take the next element off `in`; 0 when it is not one of `tag` with a definite length. */
static int take(mtls_span_t *in, int tag, mtls_span_t *whole, mtls_span_t *content)
{
    const unsigned char *begin = (const unsigned char *)in->data, *at = begin;
    int form, found = 0, class = 0;
    long len = 0;

    if (in->len == 0 || in->len > INT_MAX)
        return 0;
    form = ASN1_get_object(&at, &len, &found, &class, (long)in->len);
    if ((form & 0x81) != 0 || found != tag || class != V_ASN1_UNIVERSAL)
        return 0;
    *content = mtls_span((const char *)at, (apr_size_t)len);
    *whole = mtls_span(in->data, (apr_size_t)(at - begin) + (apr_size_t)len);
    *in = mtls_span(in->data + whole->len, in->len - whole->len);
    return 1;
}

static int take_outline(mtls_span_t der, outline_t *out)
{
    mtls_span_t whole, in, tbs, unused;

    if (!take(&der, V_ASN1_SEQUENCE, &whole, &in) || der.len > 0 ||
        !take(&in, V_ASN1_SEQUENCE, &out->tbs, &tbs) ||
        !take(&in, V_ASN1_SEQUENCE, &out->algorithm, &unused) ||
        !take(&in, V_ASN1_BIT_STRING, &whole, &out->signature) || in.len > 0)
        return 0;
    (void)take(&tbs, V_ASN1_INTEGER, &whole, &unused); /* the version may be missing */
    return take(&tbs, V_ASN1_SEQUENCE, &out->inner_algorithm, &unused);
}

/* ---- signatures ---- */

/* The whole list is encoded and hashed: for signatures that are not made of a digest, and for lists
 * that have no index. */
static int verify_list(X509_CRL *crl, EVP_PKEY *key)
{
    const ASN1_BIT_STRING *signature = NULL;
    const X509_ALGOR *algorithm = NULL;
    unsigned char *der = NULL;
    int rc = -1, len = i2d_X509_CRL(crl, &der);
    ASN1_STRING *tbs = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    ASN1_TYPE *any = ASN1_TYPE_new();
    outline_t outline;

    X509_CRL_get0_signature(crl, &signature, &algorithm);
    if (tbs && any && len > 0 &&
        take_outline(mtls_span((const char *)der, (apr_size_t)len), &outline) &&
        ASN1_STRING_set(tbs, outline.tbs.data, (int)outline.tbs.len) == 1) {
        ASN1_TYPE_set(any, V_ASN1_SEQUENCE, tbs);
        tbs = NULL;
        OPENSSL_free(der);
        der = NULL;
        rc = ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), algorithm, signature, any, key);
    }
    OPENSSL_free(der);
    ASN1_STRING_free(tbs);
    ASN1_TYPE_free(any);
    return rc;
}

/* The same without hashing the list: a client may send certificates with any key, each of which
 * would otherwise cost some ten milliseconds. */
static int verify_digest(const index_t *index, const X509_CRL *crl, EVP_PKEY *key)
{
    const char *type = index->key_nid == NID_rsaEncryption ? "RSA" : "EC";
    const ASN1_BIT_STRING *signature = NULL;
    EVP_PKEY_CTX *ctx;
    int rc = -1;

    if (!EVP_PKEY_is_a(key, type))
        return -1;
    X509_CRL_get0_signature(crl, &signature, NULL);
    ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, index->md) == 1)
        rc = EVP_PKEY_verify(ctx, ASN1_STRING_get0_data(signature),
                             (size_t)ASN1_STRING_length(signature), index->digest,
                             index->digest_len);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

/* 1 and 0 as remembered, -1 when nothing is. To be called with the lock. */
static int recall_key(const index_t *index, const EVP_PKEY *key)
{
    int i;

    for (i = 0; i < REMEMBERED_KEYS; i++) {
        if (index->keys[i].key && EVP_PKEY_eq(index->keys[i].key, key) == 1)
            return index->keys[i].good;
    }
    return -1;
}

/* A place for another key: none for a bad one when all are taken by good ones. */
static remembered_key_t *place_for(index_t *index, int good)
{
    int i;

    for (i = 0; i < REMEMBERED_KEYS; i++) {
        if (!index->keys[i].key)
            return &index->keys[i];
    }
    for (i = 0; i < REMEMBERED_KEYS; i++) {
        remembered_key_t *place = &index->keys[index->next++ % REMEMBERED_KEYS];
        if (!place->good)
            return place;
    }
    return good ? &index->keys[index->next++ % REMEMBERED_KEYS] : NULL;
}

static void remember_key(index_t *index, EVP_PKEY *key, int good)
{
    remembered_key_t *place;

    if (pthread_rwlock_wrlock(&index->lock) != 0)
        return;
    if (recall_key(index, key) < 0 && (place = place_for(index, good)) != NULL &&
        EVP_PKEY_up_ref(key) == 1) {
        EVP_PKEY_free(place->key);
        place->key = key;
        place->good = good;
    }
    pthread_rwlock_unlock(&index->lock);
}

/* X509_CRL_METHOD: crl_verify. A list of somebody else that got our method has no index. */
static int verify_with(X509_CRL *crl, EVP_PKEY *key)
{
    index_t *index = X509_CRL_get_meth_data(crl);
    int rc = -1;

    if (!index)
        return verify_list(crl, key);
    if (pthread_rwlock_rdlock(&index->lock) == 0) {
        rc = recall_key(index, key);
        pthread_rwlock_unlock(&index->lock);
    }
    if (rc >= 0)
        return rc;
    rc = index->md ? verify_digest(index, crl, key) : verify_list(crl, key);
    if (rc == 0 || rc == 1) /* what is less may be for want of memory */
        remember_key(index, key, rc);
    return rc;
}

/* ---- look-ups ---- */

static mtls_span_t magnitude(const ASN1_INTEGER *serial)
{
    const char *data = (const char *)ASN1_STRING_get0_data(serial);
    int len = ASN1_STRING_length(serial);

    while (len > 0 && *data == 0) {
        data++;
        len--;
    }
    return mtls_span(data, len > 0 ? (apr_size_t)len : 0);
}

static mtls_value_list_t *list_for(const index_t *index, const ASN1_INTEGER *serial)
{
    return ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? index->negative : index->positive;
}

/* In a list of somebody else: whatever has the serial number counts. */
static int has_entry(X509_CRL *crl, const ASN1_INTEGER *serial)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    int i;

    for (i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        if (ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(entry), serial) == 0)
            return 1;
    }
    return 0;
}

/* A list with an index says nothing of other issuers' certificates. */
static int has_serial(X509_CRL *crl, const ASN1_INTEGER *serial, const X509_NAME *issuer)
{
    const index_t *index = X509_CRL_get_meth_data(crl);

    if (!index)
        return has_entry(crl, serial);
    if (issuer && X509_NAME_cmp(issuer, X509_CRL_get_issuer(crl)) != 0)
        return 0;
    return mtls_value_list_has(list_for(index, serial), magnitude(serial));
}

/* X509_CRL_METHOD: crl_lookup. Every entry revokes, also one "on hold", and also a removeFromCRL,
 * which belongs into a delta only. */
static int look_up(X509_CRL *crl, X509_REVOKED **found, const ASN1_INTEGER *serial,
                   const X509_NAME *issuer)
{
    if (!has_serial(crl, serial, issuer))
        return 0;
    if (found)
        *found = revoked;
    return 1;
}

/* ---- the index ---- */

static void index_free(index_t *index)
{
    int i;

    if (!index)
        return;
    for (i = 0; i < REMEMBERED_KEYS; i++)
        EVP_PKEY_free(index->keys[i].key);
    pthread_rwlock_destroy(&index->lock);
    apr_pool_destroy(index->p);
}

/* A pool that belongs to no other: a list lives as long as somebody holds a reference to it. */
static index_t *index_make(void)
{
    apr_pool_t *p = NULL;
    index_t *index;

    if (apr_pool_create_unmanaged(&p) != APR_SUCCESS)
        return NULL;
    index = apr_pcalloc(p, sizeof(*index));
    index->p = p;
    if (pthread_rwlock_init(&index->lock, NULL) != 0) {
        apr_pool_destroy(p);
        return NULL;
    }
    index->positive = mtls_value_list_make(p, MTLS_KIND_TEXT);
    index->negative = mtls_value_list_make(p, MTLS_KIND_TEXT);
    return index;
}

static const char *index_serials(index_t *index, STACK_OF(X509_REVOKED) * entries)
{
    const char *error = NULL;
    int i;

    for (i = 0; i < sk_X509_REVOKED_num(entries) && !error; i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(entry);
        error = mtls_value_list_add(list_for(index, serial), magnitude(serial));
    }
    mtls_value_list_seal(index->positive);
    mtls_value_list_seal(index->negative);
    return error;
}

static const char *index_digest(index_t *index, const X509_CRL *crl, mtls_span_t tbs)
{
    int md_nid = NID_undef;

    if (OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &md_nid, &index->key_nid) != 1 ||
        (index->key_nid != NID_rsaEncryption && index->key_nid != NID_X9_62_id_ecPublicKey) ||
        (index->md = EVP_get_digestbynid(md_nid)) == NULL)
        return NULL;
    return EVP_Digest(tbs.data, tbs.len, index->digest, &index->digest_len, index->md, NULL) == 1
               ? NULL
               : "cannot be hashed";
}

static void drop_entries(STACK_OF(X509_REVOKED) * entries)
{
    int n = sk_X509_REVOKED_num(entries);

    if (n <= 0)
        return;
    while (sk_X509_REVOKED_num(entries) > 0)
        X509_REVOKED_free(sk_X509_REVOKED_pop(entries));
    (void)sk_X509_REVOKED_reserve(entries, 0); /* gives back the array */
#ifdef __GLIBC__
    if (n >= MANY_ENTRIES)
        (void)malloc_trim(0);
#endif
}

/* Put an index in the place of the entries. They are gone then from the structure, not from its
 * saved encoding, which is what was signed. */
static const char *index_entries(X509_CRL *crl, mtls_span_t tbs)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    index_t *index = index_make();
    const char *error = "out of memory";

    if (!index || (error = index_serials(index, entries)) != NULL ||
        (error = index_digest(index, crl, tbs)) != NULL) {
        index_free(index);
        return error;
    }
    X509_CRL_set_meth_data(crl, index);
    drop_entries(entries);
    return NULL;
}

/* ---- parsing with a method of ours ---- */

/* Where OpenSSL takes the method of a new list from is one place for the whole process. We use it
 * one at a time, and only while we parse; what another thread makes meanwhile (mod_ssl looking into
 * a directory of lists) works with our method as well, without an index. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;
static X509_CRL_METHOD *method; /* never freed: nobody knows who has it */

/* Set while this thread parses: whether the method was taken. */
static __thread int *method_taken;

static int init_list(X509_CRL *crl)
{
    (void)crl;
    if (method_taken)
        *method_taken = 1;
    return 1;
}

static int free_list(X509_CRL *crl)
{
    index_free(X509_CRL_get_meth_data(crl));
    X509_CRL_set_meth_data(crl, NULL);
    return 1;
}

static X509_CRL *parse_der(mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data;

    return d2i_X509_CRL(NULL, &at, (long)der.len);
}

/* *taken: whether the list has our method. It may not when memory is short, or when somebody else
 * sets methods; then it is one of OpenSSL's. */
static X509_CRL *parse_with_method(mtls_span_t der, int *taken)
{
    X509_CRL *crl;

    *taken = 0;
    pthread_mutex_lock(&parsing);
    if (!revoked)
        revoked = X509_REVOKED_new();
    if (!method && revoked)
        method = X509_CRL_METHOD_new(init_list, free_list, look_up, verify_with);
    X509_CRL_set_default_method(method);
    method_taken = taken;
    crl = parse_der(der);
    method_taken = NULL;
    X509_CRL_set_default_method(NULL);
    pthread_mutex_unlock(&parsing);
    return crl;
}

static X509_CRL *parse_without_method(mtls_span_t der)
{
    X509_CRL *crl;

    pthread_mutex_lock(&parsing);
    crl = parse_der(der);
    pthread_mutex_unlock(&parsing);
    return crl;
}

/* ---- what is refused ---- */

typedef struct scope_t {
    int version2;
    int delta;
    int indirect;
} scope_t;

static const char *name_of(apr_pool_t *p, X509_EXTENSION *extension)
{
    char text[80];

    OBJ_obj2txt(text, sizeof(text), X509_EXTENSION_get_object(extension), 0);
    return apr_pstrdup(p, text);
}

/* OpenSSL takes an extension that it cannot read for one that is not there. */
static int is_readable(X509_EXTENSION *extension)
{
    const X509V3_EXT_METHOD *form = X509V3_EXT_get(extension);
    void *value = form ? X509V3_EXT_d2i(extension) : NULL;

    if (value)
        ASN1_item_free(value, ASN1_ITEM_ptr(form->it));
    return value != NULL;
}

static const char *check_extension(apr_pool_t *p, const X509_CRL *crl, int at)
{
    X509_EXTENSION *extension = X509_CRL_get_ext(crl, at);
    int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    int handled = nid == NID_issuing_distribution_point || nid == NID_authority_key_identifier ||
                  nid == NID_delta_crl;
    const char *wrong = NULL;

    if (X509_CRL_get_ext_by_OBJ(crl, X509_EXTENSION_get_object(extension), at) >= 0)
        wrong = "is there twice";
    else if (!handled && X509_EXTENSION_get_critical(extension))
        wrong = "is critical and not known here";
    else if ((handled || nid == NID_crl_number) && !is_readable(extension))
        wrong = "cannot be read";
    return wrong ? apr_psprintf(p, "its extension %s %s", name_of(p, extension), wrong) : NULL;
}

static const char *check_point(const X509_CRL *crl, scope_t *scope)
{
    ISSUING_DIST_POINT *point =
        X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, NULL, NULL);
    const char *error = NULL;

    if (point) {
        scope->indirect = point->indirectCRL > 0;
        if ((point->onlyuser > 0) + (point->onlyCA > 0) + (point->onlyattr > 0) > 1)
            error = "its issuing distribution point contradicts itself";
    }
    ISSUING_DIST_POINT_free(point);
    return error;
}

static const char *check_extensions(apr_pool_t *p, const X509_CRL *crl, scope_t *scope)
{
    int i, n = X509_CRL_get_ext_count(crl);
    const char *error = NULL;

    if (n > 0 && !scope->version2)
        return "is of version 1 and has extensions";
    if (n > MTLS_MAX_EXTENSIONS)
        return "has too many extensions";
    for (i = 0; i < n && !error; i++)
        error = check_extension(p, crl, i);
    if (error)
        return error;
    scope->delta = X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
    if (scope->delta && X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1) < 0)
        return "is a delta without a CRL number";
    return check_point(crl, scope);
}

/* ENUMERATED of one byte. By hand: there may be a million. */
static int is_reason(X509_EXTENSION *extension)
{
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);

    return ASN1_STRING_length(value) == 3 &&
           memcmp(ASN1_STRING_get0_data(value), "\x0a\x01", 2) == 0;
}

static const char *check_entry_extension(apr_pool_t *p, X509_EXTENSION *extension,
                                         const scope_t *scope)
{
    int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    const char *wrong = NULL;

    if (!scope->version2)
        return "is of version 1 and has extensions";
    if (nid == NID_certificate_issuer && !scope->indirect) /* RFC 5280 5.3.3 */
        wrong = "belongs into an indirect list";
    else if (nid != NID_certificate_issuer && X509_EXTENSION_get_critical(extension))
        wrong = "is critical and not known here";
    else if ((nid == NID_certificate_issuer && !is_readable(extension)) ||
             (nid == NID_crl_reason && !is_reason(extension)))
        wrong = "cannot be read";
    return wrong ? apr_psprintf(p, "an entry's extension %s %s", name_of(p, extension), wrong)
                 : NULL;
}

static const char *check_entry(apr_pool_t *p, const X509_REVOKED *entry, const scope_t *scope)
{
    const STACK_OF(X509_EXTENSION) *all = X509_REVOKED_get0_extensions(entry);
    int i, n = sk_X509_EXTENSION_num(all);
    const char *error = NULL;

    if (n > MTLS_MAX_EXTENSIONS)
        return "an entry has too many extensions";
    for (i = 0; i < n && !error; i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(all, i);
        error = check_entry_extension(p, extension, scope);
        /* OpenSSL would take neither of two. */
        if (i + 1 < n && X509v3_get_ext_by_OBJ(all, X509_EXTENSION_get_object(extension), i) >= 0)
            error = "an entry has an extension twice";
    }
    return error;
}

static const char *check_entries(apr_pool_t *p, X509_CRL *crl, const scope_t *scope)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    const char *error = NULL;
    int i;

    for (i = 0; i < sk_X509_REVOKED_num(entries) && !error; i++)
        error = check_entry(p, sk_X509_REVOKED_value(entries, i), scope);
    return error;
}

/* The form X509_verify_cert() compares; it says 0 only of what it cannot read. */
static int is_time(const ASN1_TIME *time)
{
    time_t any = 0;

    return X509_cmp_time(time, &any) != 0;
}

static const char *check_times(const X509_CRL *crl)
{
    const ASN1_TIME *from = X509_CRL_get0_lastUpdate(crl);
    const ASN1_TIME *to = X509_CRL_get0_nextUpdate(crl);

    if (!to) /* RFC 5280 5.1.2.5; nobody could tell when it is too old */
        return "has no nextUpdate";
    if (!from || !is_time(from) || !is_time(to))
        return "has a date that cannot be read";
    if (ASN1_TIME_compare(to, from) != 1)
        return "has a nextUpdate that is not after its thisUpdate";
    return NULL;
}

static const char *check_list(apr_pool_t *p, X509_CRL *crl, const outline_t *outline,
                              scope_t *scope)
{
    long version = X509_CRL_get_version(crl);
    const char *error;

    scope->version2 = version == X509_CRL_VERSION_2;
    if (version != X509_CRL_VERSION_1 && version != X509_CRL_VERSION_2)
        return "is of an unknown version";
    if (!mtls_span_equal(outline->algorithm, outline->inner_algorithm)) /* RFC 5280 5.1.1.2 */
        return "names two signature algorithms";
    if (outline->signature.len < 2 || outline->signature.data[0] != 0)
        return "has a signature that is not whole bytes";
    if ((error = check_times(crl)) != NULL || (error = check_extensions(p, crl, scope)) != NULL)
        return error;
    return check_entries(p, crl, scope);
}

/* ---- reading ---- */

typedef struct reader_t {
    apr_pool_t *p;
    apr_array_header_t *out;
} reader_t;

static apr_status_t drop_list(void *crl)
{
    X509_CRL_free(crl);
    return APR_SUCCESS;
}

/* Deltas and indirect lists mean more than a set of serial numbers: they stay OpenSSL's. */
static const char *finish_list(X509_CRL **crl, mtls_span_t der, mtls_span_t tbs,
                               const scope_t *scope)
{
    if (!scope->delta && !scope->indirect)
        return index_entries(*crl, tbs);
    X509_CRL_free(*crl);
    *crl = parse_without_method(der);
    return *crl ? NULL : "out of memory";
}

static const char *read_list(apr_pool_t *p, mtls_span_t der, X509_CRL **crl)
{
    outline_t outline;
    scope_t scope = {0, 0, 0};
    const char *error;
    int taken = 0;

    if (!take_outline(der, &outline))
        return "is cut off, or followed by something, or not DER";
    *crl = parse_with_method(der, &taken);
    if (!*crl)
        return "cannot be read";
    if ((error = check_list(p, *crl, &outline, &scope)) != NULL)
        return error;
    return taken ? finish_list(crl, der, outline.tbs, &scope) : NULL;
}

static const char *take_list(const reader_t *in, int number, mtls_span_t der)
{
    X509_CRL *crl = NULL;
    const char *error = read_list(in->p, der, &crl);

    ERR_clear_error();
    if (error) {
        X509_CRL_free(crl);
        return apr_psprintf(in->p, "CRL %d %s", number, error);
    }
    apr_pool_cleanup_register(in->p, crl, drop_list, apr_pool_cleanup_null);
    APR_ARRAY_PUSH(in->out, X509_CRL *) = crl;
    return NULL;
}

static const char *take_block(void *baton, int number, const char *type, mtls_span_t der)
{
    const reader_t *in = baton;

    if (strcmp(type, PEM_STRING_X509_CRL) != 0)
        return apr_psprintf(in->p, "holds a \"%s\" where only CRLs belong", type);
    return take_list(in, number, der);
}

/* A list is longer than 127 bytes: its length begins with a byte that is no text. */
static int is_der(mtls_span_t bytes)
{
    return bytes.len >= 2 && bytes.data[0] == 0x30 && (bytes.data[1] & 0x80) != 0;
}

const char *mtls_crls_read(apr_pool_t *p, mtls_span_t bytes, apr_array_header_t *out)
{
    reader_t in = {p, out};
    const int before = out->nelts;
    const char *error;

    if (bytes.len >= INT_MAX)
        return "is too large";
    if (is_der(bytes))
        return take_list(&in, 1, bytes);
    error = mtls_pem_walk(p, bytes, take_block, &in);
    return !error && out->nelts == before ? "holds no CRL" : error;
}

/* ---- asking ---- */

mtls_crl_signed_t mtls_crl_signed_by(X509_CRL *crl, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    mtls_crl_signed_t answer = MTLS_CRL_BAD_SIGNATURE;

    if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_CRL_get_issuer(crl)) != 0)
        return MTLS_CRL_NOT_ITS_ISSUER;
    if ((X509_get_key_usage(issuer) & KU_CRL_SIGN) == 0)
        return MTLS_CRL_MAY_NOT_SIGN;
    if (key && X509_CRL_verify(crl, key) == 1)
        answer = MTLS_CRL_SIGNED;
    ERR_clear_error();
    return answer;
}

apr_size_t mtls_crl_count(const X509_CRL *crl)
{
    X509_CRL *list = (X509_CRL *)(uintptr_t)crl; /* OpenSSL asks for one it may change */
    const index_t *index = X509_CRL_get_meth_data(list);
    int entries = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(list));

    if (index)
        return (apr_size_t)mtls_value_list_count(index->positive) +
               (apr_size_t)mtls_value_list_count(index->negative);
    return entries > 0 ? (apr_size_t)entries : 0;
}
