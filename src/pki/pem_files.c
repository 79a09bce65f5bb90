/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/pem_files.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

/* OpenSSL takes a BEGIN line that is cut off for text between blocks. */
static int begins(mtls_span_t pem)
{
    static const char begin[] = "-----BEGIN ";
    const char *at = pem.data, *end = pem.data + pem.len;
    int n = 0;

    for (; at < end; at++) {
        mtls_span_t rest = mtls_span(at, (apr_size_t)(end - at));
        /* Also where the file ends within those words. */
        apr_size_t len = rest.len < sizeof(begin) - 1 ? rest.len : sizeof(begin) - 1;
        n += len > 5 && memcmp(at, begin, len) == 0;
        at = memchr(at, '\n', rest.len);
        if (!at)
            break;
    }
    return n;
}

const char *mtls_pem_walk(apr_pool_t *p, mtls_span_t pem, mtls_pem_block_fn fn, void *baton)
{
    BIO *in = pem.len < INT_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    const char *error = in ? NULL : "is too large";
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    unsigned long why;
    long len = 0;
    int n = 0;

    ERR_clear_error();
    while (!error && PEM_read_bio(in, &name, &header, &der, &len) == 1) {
        error = fn(baton, ++n, name, mtls_span((const char *)der, (apr_size_t)len));
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    why = ERR_peek_last_error();
    if (!error && ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
        error = apr_psprintf(p, "PEM block %d is damaged: %s", n + 1, ERR_reason_error_string(why));
    if (!error && begins(pem) > n)
        error = apr_psprintf(p, "PEM block %d is cut off", n + 1);
    BIO_free(in);
    ERR_clear_error();
    return error;
}

/* ---- certificates ---- */

typedef struct reader_t {
    apr_pool_t *p;
    apr_array_header_t *out;
} reader_t;

static apr_status_t free_certificate(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

static const char *take_certificate(void *baton, int number, const char *type, mtls_span_t der)
{
    const reader_t *in = baton;
    const unsigned char *begin = (const unsigned char *)der.data, *at = begin;
    X509 *x;

    if (strcmp(type, PEM_STRING_X509) != 0 && strcmp(type, PEM_STRING_X509_OLD) != 0)
        return apr_psprintf(in->p, "holds a \"%s\" where only certificates belong", type);
    x = d2i_X509(NULL, &at, (long)der.len);
    if (!x || at != begin + der.len) {
        X509_free(x);
        return apr_psprintf(in->p, "certificate %d cannot be read", number);
    }
    apr_pool_cleanup_register(in->p, x, free_certificate, apr_pool_cleanup_null);
    APR_ARRAY_PUSH(in->out, X509 *) = x;
    return NULL;
}

const char *mtls_pem_certificates(apr_pool_t *p, mtls_span_t pem, apr_array_header_t *out)
{
    reader_t in = {p, out};
    const int before = out->nelts;
    const char *error = mtls_pem_walk(p, pem, take_certificate, &in);

    return !error && out->nelts == before ? "holds no certificate in PEM" : error;
}
