/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/pem_files.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

static apr_status_t free_certificate(void *x)
{
    X509_free(x);
    return APR_SUCCESS;
}

static const char *take_block(apr_pool_t *p, const char *type, const unsigned char *der, long len,
                              apr_array_header_t *out)
{
    const unsigned char *at = der;
    X509 *x;

    if (strcmp(type, PEM_STRING_X509) != 0 && strcmp(type, PEM_STRING_X509_OLD) != 0)
        return apr_psprintf(p, "holds a \"%s\" where only certificates belong", type);
    x = d2i_X509(NULL, &at, len);
    if (!x || at != der + len) {
        X509_free(x);
        return apr_psprintf(p, "certificate %d cannot be read", out->nelts + 1);
    }
    apr_pool_cleanup_register(p, x, free_certificate, apr_pool_cleanup_null);
    APR_ARRAY_PUSH(out, X509 *) = x;
    return NULL;
}

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

const char *mtls_pem_certificates(apr_pool_t *p, mtls_span_t pem, apr_array_header_t *out)
{
    BIO *in = pem.len < INT_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    const char *error = in ? NULL : "is too large";
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    unsigned long why;
    long len = 0;

    ERR_clear_error();
    while (!error && PEM_read_bio(in, &name, &header, &der, &len) == 1) {
        error = take_block(p, name, der, len, out);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    why = ERR_peek_last_error();
    if (!error && ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
        error = apr_psprintf(p, "PEM block %d is damaged: %s", out->nelts + 1,
                             ERR_reason_error_string(why));
    if (!error && begins(pem) > out->nelts)
        error = apr_psprintf(p, "PEM block %d is cut off", out->nelts + 1);
    if (!error && out->nelts == 0)
        error = "holds no certificate in PEM";
    BIO_free(in);
    ERR_clear_error();
    return error;
}
