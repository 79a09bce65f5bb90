/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/remembered.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "policy/limits.h"

/* A record: FORMAT, four bytes of when it was written (seconds since 1970, big-endian), then for
 * each certificate three bytes of length and its DER.
 *
 * The quota: an anchor has MTLS_REMEMBERED_PER_ANCHOR numbered places, a leaf's place is given by
 * its hash. Under the place's key lies which leaf holds it; a new holder removes the old one's
 * record. So an anchor never has more records than places, whatever its clients do. */
#define FORMAT       'i'
#define HEADER_BYTES 5
#define LEAF         ":mtls:leaf"
#define PLACE        ":mtls:place"
#define KEEP_FOR     apr_time_from_sec(24 * 3600)
#define RENEW_AFTER  apr_time_from_sec(12 * 3600)

static mtls_span_t bytes(const unsigned char *data, apr_size_t len)
{
    return mtls_span((const char *)data, len);
}

/* The hash, or the place, stands first: mod_socache_shmcb chooses one of its parts by a key's first
 * byte. */
static mtls_span_t leaf_key(apr_pool_t *p, const unsigned char *sha256)
{
    unsigned char *key = apr_palloc(p, MTLS_DIGEST_BYTES + sizeof(LEAF));

    memcpy(key, sha256, MTLS_DIGEST_BYTES);
    memcpy(key + MTLS_DIGEST_BYTES, LEAF, sizeof(LEAF));
    return bytes(key, MTLS_DIGEST_BYTES + sizeof(LEAF) - 1);
}

static mtls_span_t place_key(apr_pool_t *p, const unsigned char *anchor, const unsigned char *leaf)
{
    unsigned int place = ((unsigned int)leaf[0] << 8 | leaf[1]) % MTLS_REMEMBERED_PER_ANCHOR;
    unsigned char *key = apr_palloc(p, 2 + MTLS_DIGEST_BYTES + sizeof(PLACE));

    key[0] = (unsigned char)place;
    key[1] = (unsigned char)(place >> 8);
    memcpy(key + 2, anchor, MTLS_DIGEST_BYTES);
    memcpy(key + 2 + MTLS_DIGEST_BYTES, PLACE, sizeof(PLACE));
    return bytes(key, 2 + MTLS_DIGEST_BYTES + sizeof(PLACE) - 1);
}

static int take_place(const mtls_store_t *store, apr_pool_t *p, const unsigned char *anchor,
                      const unsigned char *leaf, apr_time_t expires)
{
    mtls_span_t key = place_key(p, anchor, leaf);
    unsigned char holder[MTLS_DIGEST_BYTES];
    unsigned int len = sizeof(holder);

    if (store->get(store->baton, key, holder, &len) && len == sizeof(holder)) {
        if (memcmp(holder, leaf, sizeof(holder)) != 0)
            store->remove(store->baton, leaf_key(p, holder));
    }
    return store->put(store->baton, key, bytes(leaf, MTLS_DIGEST_BYTES), expires);
}

/* Append one certificate; 0 when the record would become too large. */
static int append(unsigned char *record, unsigned int *used, X509 *x)
{
    int len = i2d_X509(x, NULL);
    unsigned char *at = record + *used + 3;

    if (len <= 0 || (unsigned int)len > MTLS_MAX_REMEMBERED_BYTES - *used - 3)
        return 0;
    at[-3] = (unsigned char)(len >> 16);
    at[-2] = (unsigned char)(len >> 8);
    at[-1] = (unsigned char)len;
    i2d_X509(x, &at);
    *used += 3 + (unsigned int)len;
    return *used + 3 <= MTLS_MAX_REMEMBERED_BYTES;
}

static void write_header(unsigned char *record, apr_time_t now)
{
    apr_uint32_t seconds = (apr_uint32_t)apr_time_sec(now);

    record[0] = FORMAT;
    record[1] = (unsigned char)(seconds >> 24);
    record[2] = (unsigned char)(seconds >> 16);
    record[3] = (unsigned char)(seconds >> 8);
    record[4] = (unsigned char)seconds;
}

/* Whether the cache holds the same certificates, written not long ago. */
static int is_fresh(const mtls_store_t *store, apr_pool_t *p, mtls_span_t key,
                    const unsigned char *record, unsigned int used, apr_time_t now)
{
    unsigned char *old = apr_palloc(p, MTLS_MAX_REMEMBERED_BYTES);
    unsigned int len = MTLS_MAX_REMEMBERED_BYTES;
    apr_time_t written;

    if (!store->get(store->baton, key, old, &len) || len != used || old[0] != FORMAT)
        return 0;
    written = apr_time_from_sec((apr_time_t)old[1] << 24 | (apr_time_t)old[2] << 16 |
                                (apr_time_t)old[3] << 8 | (apr_time_t)old[4]);
    return written <= now && now - written < RENEW_AFTER &&
           memcmp(old + HEADER_BYTES, record + HEADER_BYTES, used - HEADER_BYTES) == 0;
}

static X509 *sent_link(const STACK_OF(X509) * sent, const mtls_chain_link_t *link)
{
    unsigned char sha256[MTLS_DIGEST_BYTES];
    int i;

    for (i = 0; i < sk_X509_num(sent); i++) {
        if (X509_digest(sk_X509_value(sent, i), EVP_sha256(), sha256, NULL) == 1 &&
            memcmp(sha256, link->sha256, sizeof(sha256)) == 0)
            return sk_X509_value(sent, i);
    }
    return NULL;
}

void mtls_remember(const mtls_store_t *store, apr_pool_t *p, const unsigned char *leaf_sha256,
                   const mtls_chain_t *chain, const STACK_OF(X509) * sent, apr_time_t now)
{
    unsigned char *record = apr_palloc(p, MTLS_MAX_REMEMBERED_BYTES);
    unsigned int used = HEADER_BYTES;
    mtls_span_t key;
    X509 *x;
    int i, kept = 0;

    write_header(record, now);
    for (i = 0; i < chain->n - 1; i++) {
        if ((x = sent_link(sent, &chain->links[i])) == NULL)
            continue;
        if (++kept > MTLS_MAX_REMEMBERED_CERTIFICATES || !append(record, &used, x))
            return;
    }
    if (!kept)
        return;
    key = leaf_key(p, leaf_sha256);
    if (is_fresh(store, p, key, record, used, now))
        return;
    /* Without its place the record would not count towards the anchor's quota. */
    if (take_place(store, p, chain->links[chain->n - 1].sha256, leaf_sha256, now + KEEP_FOR))
        (void)store->put(store->baton, key, bytes(record, used), now + KEEP_FOR);
}

static X509 *read_certificate(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *der;
    long len;
    X509 *x;

    if (end - *at < 3)
        return NULL;
    len = (long)(*at)[0] << 16 | (long)(*at)[1] << 8 | (long)(*at)[2];
    der = *at + 3;
    if (len > end - der)
        return NULL;
    *at = der + len;
    x = d2i_X509(NULL, &der, len);
    if (x && der != *at) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

STACK_OF(X509) * mtls_recall(const mtls_store_t *store, apr_pool_t *p, const unsigned char *sha256)
{
    unsigned char *record = apr_palloc(p, MTLS_MAX_REMEMBERED_BYTES);
    unsigned int len = MTLS_MAX_REMEMBERED_BYTES;
    const unsigned char *at = record + HEADER_BYTES;
    STACK_OF(X509) * found;
    X509 *x = NULL;

    if (!store->get(store->baton, leaf_key(p, sha256), record, &len) || len < HEADER_BYTES ||
        len > MTLS_MAX_REMEMBERED_BYTES || record[0] != FORMAT)
        return NULL;
    found = sk_X509_new_null();
    while (found && at < record + len) {
        x = read_certificate(&at, record + len);
        if (!x || sk_X509_num(found) >= MTLS_MAX_REMEMBERED_CERTIFICATES ||
            !sk_X509_push(found, x)) {
            X509_free(x);
            sk_X509_pop_free(found, X509_free);
            found = NULL;
        }
    }
    ERR_clear_error();
    return found;
}
