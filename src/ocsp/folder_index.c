/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/folder_index.h"

#include <stdlib.h>

#include <apr_hash.h>

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
    error = mtls_ocsp_response_keys(index->scratch, der, note_key, keys);
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
