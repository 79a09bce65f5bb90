/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What we know of a request between its phases. */

#ifndef MTLS_HTTPD_REQUEST_H
#define MTLS_HTTPD_REQUEST_H

#include "httpd/verdict.h"

typedef struct mtls_request_t {
    const mtls_dir_t *dir;        /* the configuration `here` was judged by; NULL: not yet */
    const mtls_merged_t *merged;  /* NULL: no section of ours applies */
    const mtls_judged_t *here;    /* under this location's policies; NULL: there are none, or off */
    const mtls_dir_t *settled;    /* the configuration under which it was allowed to go on */
    const char *verdict;          /* MTLS_VERDICT; NULL: no verdict */
    mtls_reason_t reason;         /* MTLS_REASON */
    const mtls_judged_t *told;    /* what verdict and reason are of */
    const mtls_judged_t *granted; /* whose identity is exported and seen; NULL: nobody's */
    const char *granted_names;    /* the policies that granted it */
    const mtls_exports_t *exports; /* of that identity, as this location exports it; NULL */
    /* The configuration under which Require mtls or mtls-policy was evaluated, for this request and
     * for its last sub-request. */
    const ap_conf_vector_t *consulted_for;
    const ap_conf_vector_t *consulted_for_sub;
    int refused; /* we answered with an error */
    int passed;  /* fixups are done: whatever comes now is no refusal of ours */
    int logged;
    const char *walked; /* the URL mod_proxy found <Proxy> sections by; NULL: not asked */
    apr_interval_time_t backend_waited; /* for statuses of backends */
    int backend_refused;                /* the backend's certificate was */
    int concealed;                      /* its certificate is nobody's business any more */
    int hides_get;                      /* r->method_number is not M_GET, for mod_cache's handler */
    const char *incoming_xfcc; /* X-Forwarded-Client-Cert as it came; NULL: none, or of no use */
    int deferred_error;        /* OpenSSL's, of the chain on a connection that defers */
    /* mtls_variable_t: MTLS_VERDICT and the like; NULL: none. */
    const apr_array_header_t *variables;
    /* What mtls_export_variables() has put where: the table, the variables, our first entry. */
    const apr_table_t *env;
    const apr_array_header_t *env_variables;
    int env_first;

    /* While an expression is evaluated: */
    const mtls_evidence_t *rule_evidence; /* inside a policy's own rules */
    int absent;                           /* a %{mtls:...} had no value */
} mtls_request_t;

/* The state of a request, NULL when there is none yet. */
static inline mtls_request_t *mtls_request_peek(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &mtls_policy_module);
}

/* The state of a request, made when there is none. */
mtls_request_t *mtls_request_of(request_rec *r);

/* The request, itself or one it was redirected from, whose refusal the log and an error page tell;
 * NULL: none was refused. */
const mtls_request_t *mtls_request_refused(const request_rec *r);

/* Whether the request may go to an AJP backend: a balancer's members can be of any kind. */
int mtls_request_for_ajp(const request_rec *r);

/* Remove the variables (subprocess_env) whose names the function wants gone. */
void mtls_request_remove_variables(request_rec *r, int (*goes)(const char *name));

/* Whether mod_proxy will handle the request; told by SetHandler it does not say so before. */
static inline int mtls_request_proxied(const request_rec *r)
{
    return r->proxyreq ||
           (r->handler && *r->handler == 'p' && strncmp(r->handler, "proxy:", 6) == 0);
}

/* Who called, as far as `r` has proved it. */
mtls_identity_t mtls_request_identity(const mtls_request_t *rq);

#endif
