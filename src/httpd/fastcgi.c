/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/fastcgi.h"

#include "httpd/site.h"
#include "httpd/strip.h"
#include "identity/variables.h"

/* mod_proxy_fcgi's own limit, whatever ProxyIOBufferSize says. */
#define RECORD_BYTES (16 * 1024)

/* Two lengths of four bytes each, and what CGI writes before a header's name. */
#define OVERHEAD (8 + sizeof("HTTP_") - 1)

static int is_fastcgi(const char *url)
{
    return url && strncmp(url, "proxy:", sizeof("proxy:") - 1) == 0 &&
           (strstr(url, "fcgi:") || (mtls_site()->balances_fastcgi && strstr(url, "balancer:")));
}

static int fits(const char *name, const char *value)
{
    return strlen(name) + strlen(value) + OVERHEAD <= RECORD_BYTES;
}

const char *mtls_fastcgi_loses(const request_rec *r, const mtls_request_t *rq)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    const apr_array_header_t *variables = rq->variables;
    int i;

    if (!rq->granted || (!is_fastcgi(r->filename) && !is_fastcgi(r->handler)))
        return NULL;
    for (i = 0; i < headers->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(headers, i, apr_table_entry_t);
        if (!fits(e->key, e->val) && mtls_strip_is_ours(e->key))
            return e->key;
    }
    for (i = 0; variables && i < variables->nelts; i++) {
        const mtls_variable_t *v = &APR_ARRAY_IDX(variables, i, mtls_variable_t);
        if (!fits(v->name, v->value))
            return v->name;
    }
    return NULL;
}
