/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/socache_entry.h"

#include <stdlib.h>

/* What an operation on the network may take. */
#define WITHIN apr_time_from_msec(500)

/* ---- directly ---- */

static apr_status_t get_here(const mtls_entries_t *entries, mtls_span_t key, unsigned char *data,
                             unsigned int *len, apr_pool_t *p)
{
    return entries->provider->retrieve(entries->instance, entries->server,
                                       (const unsigned char *)key.data, (unsigned int)key.len, data,
                                       len, p);
}

static apr_status_t put_here(const mtls_entries_t *entries, mtls_span_t key, mtls_span_t data,
                             apr_time_t expires, apr_pool_t *p)
{
    return entries->provider->store(entries->instance, entries->server,
                                    (const unsigned char *)key.data, (unsigned int)key.len, expires,
                                    (unsigned char *)data.data, (unsigned int)data.len, p);
}

static apr_status_t remove_here(const mtls_entries_t *entries, mtls_span_t key, apr_pool_t *p)
{
    return entries->provider->remove(entries->instance, entries->server,
                                     (const unsigned char *)key.data, (unsigned int)key.len, p);
}

/* ---- by the courier ---- */

typedef struct trip_t {
    mtls_errand_t job;
    const mtls_entries_t *entries;
    enum { GET, PUT, REMOVE } what;
    apr_status_t rv;
    apr_time_t expires;
    apr_size_t key_len;
    unsigned int data_len;
    char bytes[]; /* the key, then the data or the room for it */
} trip_t;

static void travel(mtls_errand_t *job)
{
    trip_t *trip = (trip_t *)job;
    mtls_span_t key = mtls_span(trip->bytes, trip->key_len);
    char *data = trip->bytes + trip->key_len;
    apr_pool_t *p;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS)
        return;
    if (trip->what == GET)
        trip->rv = get_here(trip->entries, key, (unsigned char *)data, &trip->data_len, p);
    else if (trip->what == PUT)
        trip->rv = put_here(trip->entries, key, mtls_span(data, trip->data_len), trip->expires, p);
    else
        trip->rv = remove_here(trip->entries, key, p);
    apr_pool_destroy(p);
}

/* NULL: out of memory. */
static trip_t *prepare(const mtls_entries_t *entries, mtls_span_t key, apr_size_t data_len)
{
    trip_t *trip = malloc(sizeof(*trip) + key.len + data_len);

    if (!trip)
        return NULL;
    memset(trip, 0, sizeof(*trip));
    trip->job.work = travel;
    trip->entries = entries;
    trip->rv = APR_ENOMEM;
    trip->key_len = key.len;
    trip->data_len = (unsigned int)data_len;
    memcpy(trip->bytes, key.data, key.len);
    return trip;
}

static apr_status_t send_off(const mtls_entries_t *entries, trip_t *trip)
{
    apr_status_t rv;

    if (!mtls_courier_run(entries->courier, &trip->job, WITHIN))
        return APR_TIMEUP;
    rv = trip->rv;
    free(trip);
    return rv;
}

apr_status_t mtls_entry_get(const mtls_entries_t *entries, mtls_span_t key, unsigned char *data,
                            unsigned int *len, apr_pool_t *p)
{
    apr_status_t rv;
    trip_t *trip;

    if (!entries->courier)
        return get_here(entries, key, data, len, p);
    if ((trip = prepare(entries, key, *len)) == NULL)
        return APR_ENOMEM;
    if (!mtls_courier_run(entries->courier, &trip->job, WITHIN))
        return APR_TIMEUP;
    rv = trip->rv;
    if (rv == APR_SUCCESS && trip->data_len > *len)
        rv = APR_EGENERAL;
    if (rv == APR_SUCCESS) {
        memcpy(data, trip->bytes + trip->key_len, trip->data_len);
        *len = trip->data_len;
    }
    free(trip);
    return rv;
}

apr_status_t mtls_entry_put(const mtls_entries_t *entries, mtls_span_t key, mtls_span_t data,
                            apr_time_t expires, apr_pool_t *p)
{
    trip_t *trip;

    if (!entries->courier)
        return put_here(entries, key, data, expires, p);
    if ((trip = prepare(entries, key, data.len)) == NULL)
        return APR_ENOMEM;
    trip->what = PUT;
    trip->expires = expires;
    memcpy(trip->bytes + key.len, data.data, data.len);
    return send_off(entries, trip);
}

apr_status_t mtls_entry_remove(const mtls_entries_t *entries, mtls_span_t key, apr_pool_t *p)
{
    trip_t *trip;

    if (!entries->courier)
        return remove_here(entries, key, p);
    if ((trip = prepare(entries, key, 0)) == NULL)
        return APR_ENOMEM;
    trip->what = REMOVE;
    return send_off(entries, trip);
}
