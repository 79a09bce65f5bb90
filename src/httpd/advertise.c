/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/advertise.h"

#include <apr_thread_mutex.h>
#include <http_log.h>

#include "httpd/reload.h"
#include "httpd/site.h"
#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

/* The names of one server, made anew when a file has changed. */
typedef struct names_t {
    server_rec *s;
    SSL_CTX *ctx;
    apr_array_header_t *stores; /* const mtls_trust_handle_t * */
    apr_thread_mutex_t *lock;
    apr_uint32_t generation;
    STACK_OF(X509_NAME) * list;
    int bytes;
} names_t;

static void free_list(names_t *names)
{
    sk_X509_NAME_pop_free(names->list, X509_NAME_free);
    names->list = NULL;
    names->bytes = 0;
}

static apr_status_t end(void *names)
{
    free_list(names);
    return APR_SUCCESS;
}

/* ---- making the list ---- */

static int is_listed(const names_t *names, const X509_NAME *name)
{
    int i;

    for (i = 0; i < sk_X509_NAME_num(names->list); i++) {
        if (X509_NAME_cmp(sk_X509_NAME_value(names->list, i), name) == 0)
            return 1;
    }
    return 0;
}

/* 0: there is no room for it in the request. */
static int add(names_t *names, const X509_NAME *name)
{
    int bytes = i2d_X509_NAME(name, NULL) + 2;
    X509_NAME *copy;

    if (is_listed(names, name))
        return 1;
    if (bytes <= 2 || names->bytes + bytes > MTLS_MAX_ADVERTISED_BYTES ||
        (copy = X509_NAME_dup(name)) == NULL)
        return 0;
    names->bytes += bytes;
    if (sk_X509_NAME_push(names->list, copy) > 0)
        return 1;
    X509_NAME_free(copy);
    return 0;
}

static int add_store(names_t *names, const mtls_trust_handle_t *store)
{
    const mtls_version_t *version = mtls_live_take(store->live);
    const STACK_OF(X509) *cas = version ? mtls_trust_store_cas(version->data) : NULL;
    int i, complete = 1;

    for (i = 0; cas && i < sk_X509_num(cas); i++)
        complete &= add(names, X509_get_subject_name(sk_X509_value(cas, i)));
    mtls_live_give_back(store->live, version);
    return complete;
}

static void make_list(names_t *names)
{
    const STACK_OF(X509_NAME) *by_mod_ssl = SSL_CTX_get_client_CA_list(names->ctx);
    int i, complete = 1;

    free_list(names);
    names->generation = mtls_reload_now();
    if ((names->list = sk_X509_NAME_new_null()) == NULL)
        return;
    for (i = 0; by_mod_ssl && i < sk_X509_NAME_num(by_mod_ssl); i++)
        complete &= add(names, sk_X509_NAME_value(by_mod_ssl, i));
    for (i = 0; i < names->stores->nelts; i++)
        complete &= add_store(names, APR_ARRAY_IDX(names->stores, i, const mtls_trust_handle_t *));
    if (!complete)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, names->s,
                     "mtls_policy: MTLSAdvertiseCAs: the names of all CAs take more than the %d "
                     "bytes a certificate request has room for: not all are sent",
                     MTLS_MAX_ADVERTISED_BYTES);
}

/* ---- in the handshake ---- */

/* The callback in which OpenSSL lets a server choose its certificate: the client has said its name
 * for us by then, and the certificate request is still to be written. */
static int choose(SSL *ssl, void *names_)
{
    names_t *names = names_;

    apr_thread_mutex_lock(names->lock);
    if (names->generation != mtls_reload_now())
        make_list(names);
    if (names->list)
        SSL_set_client_CA_list(ssl, SSL_dup_CA_list(names->list));
    apr_thread_mutex_unlock(names->lock);
    return 1;
}

/* ---- at start ---- */

int mtls_advertise_init(server_rec *s, apr_pool_t *p, SSL_CTX *ctx)
{
    names_t *names;

    if (mtls_server_of(s)->advertise != 1)
        return OK;
    names = apr_pcalloc(p, sizeof(*names));
    names->s = s;
    names->ctx = ctx;
    names->stores = mtls_server_of(s)->stores;
    if (apr_thread_mutex_create(&names->lock, APR_THREAD_MUTEX_DEFAULT, p) != APR_SUCCESS)
        return HTTP_INTERNAL_SERVER_ERROR;
    apr_pool_cleanup_register(p, names, end, apr_pool_cleanup_null);
    make_list(names);
    SSL_CTX_set_cert_cb(ctx, choose, names);
    return OK;
}
