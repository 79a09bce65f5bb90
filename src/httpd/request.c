/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/request.h"

mtls_request_t *mtls_request_of(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    if (!rq) {
        rq = apr_pcalloc(r->pool, sizeof(*rq));
        ap_set_module_config(r->request_config, &mtls_policy_module, rq);
    }
    return rq;
}

const mtls_request_t *mtls_request_refused(const request_rec *r)
{
    const mtls_request_t *refused = NULL;

    for (; r; r = r->prev) { /* the first of all wins */
        const mtls_request_t *rq = mtls_request_peek(r);
        if (rq && rq->refused)
            refused = rq;
    }
    return refused;
}

mtls_identity_t mtls_request_identity(const mtls_request_t *rq)
{
    mtls_identity_t identity = {.evidence = NULL};

    if (!rq)
        return identity;
    identity.verdict = rq->verdict;
    identity.reason = rq->verdict ? mtls_reason_token(rq->reason) : NULL;
    if (rq->granted) {
        identity.evidence = &rq->granted->evidence;
        identity.now = rq->granted->now;
        identity.policies = rq->granted_names;
    }
    return identity;
}

void mtls_request_remove_variables(request_rec *r, int (*goes)(const char *name))
{
    const apr_array_header_t *elements = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)(const void *)elements->elts;
    int i;

    for (i = 0; i < elements->nelts; i++) {
        if (goes(e[i].key)) {
            apr_table_unset(r->subprocess_env, e[i].key);
            i = -1; /* the table was shifted */
        }
    }
}

static int may_be_ajp(const char *url)
{
    return url && strncmp(url, "proxy:", 6) == 0 && strncmp(url + 6, "http", 4) != 0 &&
           (strstr(url, "ajp:") || strstr(url, "balancer:"));
}

/* ProxyPass and RewriteRule leave the URL in the name of the file, SetHandler in the handler's. */
int mtls_request_for_ajp(const request_rec *r)
{
    return may_be_ajp(r->filename) || may_be_ajp(r->handler);
}
