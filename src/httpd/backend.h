/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The other side: what the backends of proxied requests are judged by, and what is said of it. */

#ifndef MTLS_HTTPD_BACKEND_H
#define MTLS_HTTPD_BACKEND_H

#include <mod_proxy.h>

#include "httpd/verdict.h"

/* A request on its way to a backend, while mod_proxy's handler of the URL's scheme runs: all of it
 * runs in one thread. */
typedef struct mtls_errand_t {
    request_rec *r;
    const ap_conf_vector_t *dir_conf; /* by which mod_proxy tells the request's connections */
    const mtls_backend_t *backend;    /* NULL: nothing of ours applies */
    int kept;                         /* `backend` outlives the request */
    mtls_span_t tls_sections;         /* by which mod_ssl is set up (proxy_sections.h) */
    mtls_span_t authority;            /* of the URL that is contacted: "host:port" */
    proxy_worker *worker;
    int was_in_error; /* the worker, before this */
} mtls_errand_t;

/* The errand this thread is on; NULL: none. */
mtls_errand_t *mtls_backend_errand(void);

/* What a request (or a health check) for that URL is about. */
mtls_errand_t mtls_backend_errand_of(request_rec *r, const char *url);

/* What the backend's verdict means for the request, said in its environment and in the log. 1: it
 * may be used. */
int mtls_backend_admit(request_rec *r, const mtls_backend_t *backend,
                       const mtls_backend_verdict_t *verdict, mtls_span_t authority);

/* "%{VAR}e" reads the last request of an internal redirect: give it what the log must tell. */
void mtls_backend_tell_last(request_rec *first, request_rec *last);

/* Hooks of mod_proxy, around the scheme's own handler. */
int mtls_backend_scheme_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                                char *url, const char *proxyhost, apr_port_t proxyport);
int mtls_backend_request_status(int *status, request_rec *r);

#endif
