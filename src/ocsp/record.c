/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/record.h"

#include <openssl/evp.h>

#include "policy/facts.h"
#include "policy/limits.h"

/* Beside the response: FORMAT; fetched_at and checked_at in eight bytes each, big-endian
 * (microseconds since 1970); SHA-256 of the response that was fetched then, since mod_ssl may have
 * stored another one; the revocation, to the end. */
#define FORMAT       1
#define TIME_BYTES   8
#define FETCHED_AT   1
#define CHECKED_AT   (FETCHED_AT + TIME_BYTES)
#define RESPONSE_AT  (CHECKED_AT + TIME_BYTES)
#define HEADER_BYTES (RESPONSE_AT + MTLS_DIGEST_BYTES)

/* mod_ssl's flag of a response that was good when it was stored; others are errors, which it
 * remembers for itself. */
#define FLAG_BYTES 1
#define FLAG_GOOD  1

/* The hash stands first: mod_socache_shmcb chooses one of its parts by a key's first byte. */
#define BESIDE  ":mtls:ocsp"
#define CLAIM   ":mtls:asks"
#define KEY_MAX (MTLS_OCSP_KEY_BYTES + sizeof(BESIDE))

static mtls_span_t bytes(const unsigned char *data, apr_size_t len)
{
    return mtls_span((const char *)data, len);
}

static mtls_span_t main_key(const unsigned char *key)
{
    return bytes(key, MTLS_OCSP_KEY_BYTES);
}

static mtls_span_t named_key(unsigned char *out, const unsigned char *key, const char *name)
{
    apr_size_t len = strlen(name);

    memcpy(out, key, MTLS_OCSP_KEY_BYTES);
    memcpy(out + MTLS_OCSP_KEY_BYTES, name, len);
    return bytes(out, MTLS_OCSP_KEY_BYTES + len);
}

static void write_time(unsigned char *out, apr_time_t time)
{
    int i;

    for (i = 0; i < TIME_BYTES; i++)
        out[i] = (unsigned char)((apr_uint64_t)time >> (8 * (TIME_BYTES - 1 - i)));
}

/* 0 for what is no time. */
static apr_time_t read_time(const unsigned char *in)
{
    apr_uint64_t time = 0;
    int i;

    for (i = 0; i < TIME_BYTES; i++)
        time = time << 8 | in[i];
    return time <= (apr_uint64_t)MTLS_FOREVER ? (apr_time_t)time : 0;
}

static int digest(mtls_span_t of, unsigned char *sha256)
{
    return EVP_Digest(of.data, of.len, sha256, NULL, EVP_sha256(), NULL) == 1;
}

/* What lies under the key, in `p`; empty: nothing, or less than `least` bytes, or too much. */
static mtls_span_t read_entry(const mtls_store_t *store, apr_pool_t *p, mtls_span_t key,
                              apr_size_t least)
{
    const unsigned int most = HEADER_BYTES + MTLS_MAX_OCSP_BYTES;
    unsigned char *data = apr_palloc(p, most);
    unsigned int len = most;

    if (!store->get(store->baton, key, data, &len) || len > most || len < least)
        return mtls_span(NULL, 0);
    return bytes(data, len);
}

static mtls_span_t behind(mtls_span_t entry, apr_size_t header)
{
    apr_size_t len = entry.len > header ? entry.len - header : 0;

    return len && len <= MTLS_MAX_OCSP_BYTES ? mtls_span(entry.data + header, len)
                                             : mtls_span(NULL, 0);
}

static void read_beside(mtls_ocsp_record_t *record, mtls_span_t entry)
{
    const unsigned char *data = (const unsigned char *)entry.data;
    unsigned char sha256[MTLS_DIGEST_BYTES];

    if (!entry.len || data[0] != FORMAT)
        return;
    record->checked_at = read_time(data + CHECKED_AT);
    record->revocation = behind(entry, HEADER_BYTES);
    if (record->response.len && digest(record->response, sha256) &&
        memcmp(sha256, data + RESPONSE_AT, sizeof(sha256)) == 0)
        record->fetched_at = read_time(data + FETCHED_AT);
}

int mtls_ocsp_record_get(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                         mtls_ocsp_record_t *record)
{
    unsigned char name[KEY_MAX];
    mtls_span_t entry;

    memset(record, 0, sizeof(*record));
    entry = read_entry(store, p, main_key(key), FLAG_BYTES + 1);
    if (entry.len && entry.data[0] == FLAG_GOOD)
        record->response = behind(entry, FLAG_BYTES);
    read_beside(record, read_entry(store, p, named_key(name, key, BESIDE), HEADER_BYTES));
    return record->response.len || record->revocation.len || record->checked_at;
}

static int put_beside(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                      const mtls_ocsp_record_t *record, apr_time_t expires)
{
    unsigned char *data = apr_palloc(p, HEADER_BYTES + record->revocation.len);
    unsigned char name[KEY_MAX];

    data[0] = FORMAT;
    write_time(data + FETCHED_AT, record->fetched_at);
    write_time(data + CHECKED_AT, record->checked_at);
    if (!digest(record->response, data + RESPONSE_AT))
        return 0;
    if (record->revocation.len)
        memcpy(data + HEADER_BYTES, record->revocation.data, record->revocation.len);
    return store->put(store->baton, named_key(name, key, BESIDE),
                      bytes(data, HEADER_BYTES + record->revocation.len), expires);
}

static int put_response(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                        mtls_span_t response, apr_time_t expires)
{
    unsigned char *data = apr_palloc(p, FLAG_BYTES + response.len);

    data[0] = FLAG_GOOD;
    memcpy(data + FLAG_BYTES, response.data, response.len);
    return store->put(store->baton, main_key(key), bytes(data, FLAG_BYTES + response.len), expires);
}

/* A revocation is written first: whoever looks between the two sees it. */
int mtls_ocsp_record_put(const mtls_store_t *store, apr_pool_t *p, const unsigned char *key,
                         const mtls_ocsp_record_t *record, apr_time_t expires)
{
    if (record->response.len > MTLS_MAX_OCSP_BYTES || record->revocation.len > MTLS_MAX_OCSP_BYTES)
        return 0;
    if (!put_beside(store, p, key, record, expires))
        return 0;
    return !record->response.len || put_response(store, p, key, record->response, expires);
}

int mtls_ocsp_record_claim(const mtls_store_t *store, const unsigned char *key,
                           const unsigned char *who, apr_time_t expires)
{
    unsigned char name[KEY_MAX];

    if (mtls_ocsp_record_claimed_by_other(store, key, who))
        return 0;
    (void)store->put(store->baton, named_key(name, key, CLAIM),
                     bytes(who, MTLS_OCSP_CLAIMANT_BYTES), expires);
    return 1;
}

int mtls_ocsp_record_claimed_by_other(const mtls_store_t *store, const unsigned char *key,
                                      const unsigned char *who)
{
    unsigned char name[KEY_MAX], holder[MTLS_OCSP_CLAIMANT_BYTES];
    unsigned int len = sizeof(holder);

    return store->get(store->baton, named_key(name, key, CLAIM), holder, &len) &&
           len == sizeof(holder) && memcmp(holder, who, sizeof(holder)) != 0;
}

void mtls_ocsp_record_release(const mtls_store_t *store, const unsigned char *key)
{
    unsigned char name[KEY_MAX];

    store->remove(store->baton, named_key(name, key, CLAIM));
}
