/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/folder_index.h"

#include <stdlib.h>

#include <apr_hash.h>
#include <openssl/asn1.h>

#include "policy/limits.h"

/* A CertID, and who speaks of it. */
typedef struct slot_t {
    struct ref_t *first;
    apr_size_t len;
    char key[];
} slot_t;

typedef struct ref_t {
    slot_t *slot;
    mtls_indexed_t *owner;
    struct ref_t *next, **link;
} ref_t;

struct mtls_indexed_t {
    struct mtls_indexed_t *next, **link; /* of the index */
    char *der;
    apr_size_t len;
    apr_time_t touched;
    int n;
    ref_t refs[];
};

struct mtls_folder_index_t {
    apr_hash_t *slots; /* key -> slot_t *, whose own bytes the key is */
    apr_pool_t *scratch;
    mtls_indexed_t *first;
    apr_size_t size;
};

/* ---- slots ---- */

static slot_t *slot_for(mtls_folder_index_t *index, mtls_span_t key)
{
    slot_t *slot = apr_hash_get(index->slots, key.data, (apr_ssize_t)key.len);

    if (slot || (slot = malloc(sizeof(*slot) + key.len)) == NULL)
        return slot;
    slot->first = NULL;
    slot->len = key.len;
    memcpy(slot->key, key.data, key.len);
    apr_hash_set(index->slots, slot->key, (apr_ssize_t)slot->len, slot);
    return slot;
}

static int refer(mtls_folder_index_t *index, mtls_indexed_t *owner, mtls_span_t key)
{
    ref_t *ref = &owner->refs[owner->n];
    slot_t *slot = slot_for(index, key);

    if (!slot)
        return 0;
    owner->n++;
    ref->slot = slot;
    ref->owner = owner;
    ref->link = &slot->first;
    ref->next = slot->first;
    if (ref->next)
        ref->next->link = &ref->next;
    slot->first = ref;
    return 1;
}

static void unrefer(mtls_folder_index_t *index, ref_t *ref)
{
    slot_t *slot = ref->slot;

    *ref->link = ref->next;
    if (ref->next)
        ref->next->link = ref->link;
    if (!slot->first) {
        apr_hash_set(index->slots, slot->key, (apr_ssize_t)slot->len, NULL);
        free(slot);
    }
}

/* ---- a response without its certificates ---- */

/* Reading a certificate costs thirty times what all the rest does (its key is decoded), and there
 * can be a hundred thousand files: certificates are left to whoever proves a response. */

/* One element. 0: there is none. */
static int read_element(mtls_span_t from, mtls_span_t *content, int *tag)
{
    const unsigned char *begin = (const unsigned char *)from.data, *at = begin;
    long len = 0;
    int number, class,
        form = from.len > 0 && from.len <= MTLS_MAX_OCSP_BYTES
                   ? ASN1_get_object(&at, &len, &number, &class, (long)from.len)
                   : 0x80;

    if ((form & 0x80) || form == (V_ASN1_CONSTRUCTED | 1))
        return 0;
    *tag = class | (form & V_ASN1_CONSTRUCTED) | number;
    *content = mtls_span((const char *)at, (apr_size_t)len);
    return 1;
}

/* What is in an element that is all there is. */
static int enter(mtls_span_t *s, int tag)
{
    const char *const end = s->data + s->len;
    mtls_span_t content;
    int found;

    if (!read_element(*s, &content, &found) || found != tag || content.data + content.len != end)
        return 0;
    *s = content;
    return 1;
}

/* The next element, whatever it is, with its head. */
static int next(mtls_span_t *s, mtls_span_t *whole)
{
    mtls_span_t content;
    int tag;

    if (!read_element(*s, &content, &tag))
        return 0;
    *whole = mtls_span(s->data, (apr_size_t)(content.data + content.len - s->data));
    *s = mtls_span(s->data + whole->len, s->len - whole->len);
    return 1;
}

#define SEQUENCE (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)
#define EXPLICIT (V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED) /* [0] */

/* The parts of OCSPResponse and BasicOCSPResponse (RFC 6960 4.2.1) but the certificates. 0: it is
 * something else. */
static int read_parts(mtls_span_t der, mtls_span_t *status, mtls_span_t *type, mtls_span_t *basic)
{
    mtls_span_t part, rest;
    int i;

    if (!enter(&der, SEQUENCE) || !next(&der, status) || !enter(&der, EXPLICIT) ||
        !enter(&der, SEQUENCE) || !next(&der, type) || !enter(&der, V_ASN1_OCTET_STRING) ||
        !enter(&der, SEQUENCE))
        return 0;
    for (i = 0, rest = der; i < 3; i++) {
        if (!next(&rest, &part))
            return 0;
    }
    *basic = mtls_span(der.data, der.len - rest.len);
    return rest.len == 0 || enter(&rest, EXPLICIT);
}

static unsigned char *put_head(unsigned char *to, int tag, apr_size_t len)
{
    ASN1_put_object(&to, (tag & V_ASN1_CONSTRUCTED) != 0, (int)len, tag & 0x1f, tag & 0xc0);
    return to;
}

static unsigned char *put_bytes(unsigned char *to, mtls_span_t bytes)
{
    memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

static apr_size_t with_head(apr_size_t len)
{
    return (apr_size_t)ASN1_object_size(1, (int)len, V_ASN1_SEQUENCE);
}

static mtls_span_t without_certificates(apr_pool_t *p, mtls_span_t der)
{
    mtls_span_t status, type, basic;
    apr_size_t octets, bytes, whole;
    unsigned char *begin, *to;

    if (!read_parts(der, &status, &type, &basic))
        return der;
    octets = with_head(basic.len);
    bytes = type.len + with_head(octets);
    whole = status.len + with_head(with_head(bytes));
    begin = to = apr_palloc(p, with_head(whole));
    to = put_bytes(put_head(to, SEQUENCE, whole), status);
    to = put_head(put_head(to, EXPLICIT, with_head(bytes)), SEQUENCE, bytes);
    to = put_head(put_bytes(to, type), V_ASN1_OCTET_STRING, octets);
    to = put_bytes(put_head(to, SEQUENCE, basic.len), basic);
    return mtls_span((const char *)begin, (apr_size_t)(to - begin));
}

/* ---- responses ---- */

static void note_key(void *baton, mtls_span_t key)
{
    apr_array_header_t *keys = baton;

    APR_ARRAY_PUSH(keys, mtls_span_t) = key;
}

static mtls_indexed_t *make(mtls_folder_index_t *index, mtls_span_t der, int refs)
{
    mtls_indexed_t *indexed = calloc(1, sizeof(*indexed) + (size_t)refs * sizeof(ref_t));

    if (!indexed || (indexed->der = malloc(der.len)) == NULL) {
        free(indexed);
        return NULL;
    }
    memcpy(indexed->der, der.data, der.len);
    indexed->len = der.len;
    indexed->link = &index->first;
    indexed->next = index->first;
    if (indexed->next)
        indexed->next->link = &indexed->next;
    index->first = indexed;
    index->size += der.len;
    return indexed;
}

const char *mtls_folder_index_add(mtls_folder_index_t *index, mtls_span_t der, apr_time_t touched,
                                  mtls_indexed_t **added)
{
    apr_array_header_t *keys;
    const char *error;
    int i, whole = 1;

    *added = NULL;
    apr_pool_clear(index->scratch);
    keys = apr_array_make(index->scratch, 2, sizeof(mtls_span_t));
    error = mtls_ocsp_response_keys(index->scratch, without_certificates(index->scratch, der),
                                    note_key, keys);
    if (error || keys->nelts == 0)
        return error ? error : "speaks of no certificate by SHA-256 or SHA-1";
    *added = make(index, der, keys->nelts);
    if (*added) {
        (*added)->touched = touched;
        for (i = 0; i < keys->nelts && whole; i++)
            whole = refer(index, *added, APR_ARRAY_IDX(keys, i, mtls_span_t));
    }
    if (*added && whole)
        return NULL;
    mtls_folder_index_remove(index, *added);
    *added = NULL;
    return "does not fit into memory";
}

void mtls_folder_index_remove(mtls_folder_index_t *index, mtls_indexed_t *indexed)
{
    if (!indexed)
        return;
    while (indexed->n > 0)
        unrefer(index, &indexed->refs[--indexed->n]);
    *indexed->link = indexed->next;
    if (indexed->next)
        indexed->next->link = indexed->link;
    index->size -= indexed->len;
    free(indexed->der);
    free(indexed);
}

mtls_span_t mtls_folder_index_bytes(const mtls_indexed_t *indexed)
{
    return indexed ? mtls_span(indexed->der, indexed->len) : mtls_span("", 0);
}

apr_size_t mtls_folder_index_size(const mtls_folder_index_t *index)
{
    return index->size;
}

/* ---- looking up ---- */

/* The latest first; the same one twice side by side. */
static int compare(const void *a, const void *b)
{
    const mtls_indexed_t *x = *(const mtls_indexed_t *const *)a;
    const mtls_indexed_t *y = *(const mtls_indexed_t *const *)b;

    if (x->touched != y->touched)
        return x->touched > y->touched ? -1 : 1;
    return (x > y) - (x < y);
}

static void gather(const mtls_folder_index_t *index, mtls_span_t key, apr_array_header_t *all)
{
    const slot_t *slot =
        key.len ? apr_hash_get(index->slots, key.data, (apr_ssize_t)key.len) : NULL;
    const ref_t *ref;

    for (ref = slot ? slot->first : NULL; ref; ref = ref->next)
        APR_ARRAY_PUSH(all, const mtls_indexed_t *) = ref->owner;
}

apr_array_header_t *mtls_folder_index_find(const mtls_folder_index_t *index, apr_pool_t *p,
                                           const mtls_ocsp_subject_t *subject)
{
    apr_array_header_t *all = apr_array_make(p, 4, sizeof(const mtls_indexed_t *));
    apr_array_header_t *found = apr_array_make(p, 4, sizeof(mtls_span_t));
    const mtls_indexed_t *last = NULL;
    int i;

    gather(index, mtls_ocsp_certid_key(p, subject, MTLS_OCSP_SHA256), all);
    gather(index, mtls_ocsp_certid_key(p, subject, MTLS_OCSP_SHA1), all);
    qsort(all->elts, (size_t)all->nelts, sizeof(const mtls_indexed_t *), compare);
    for (i = 0; i < all->nelts && found->nelts < MTLS_MAX_FOLDER_RESPONSES; i++) {
        const mtls_indexed_t *one = APR_ARRAY_IDX(all, i, const mtls_indexed_t *);
        if (one != last)
            APR_ARRAY_PUSH(found, mtls_span_t) = mtls_span_copy(p, mtls_span(one->der, one->len));
        last = one;
    }
    return found;
}

/* ---- the index ---- */

static apr_status_t end(void *baton)
{
    mtls_folder_index_t *index = baton;

    while (index->first)
        mtls_folder_index_remove(index, index->first);
    return APR_SUCCESS;
}

mtls_folder_index_t *mtls_folder_index_make(apr_pool_t *p)
{
    mtls_folder_index_t *index = apr_pcalloc(p, sizeof(*index));

    apr_pool_create(&index->scratch, p);
    index->slots = apr_hash_make(p);
    apr_pool_cleanup_register(p, index, end, apr_pool_cleanup_null);
    return index;
}
