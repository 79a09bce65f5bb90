/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/conceal.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "httpd/peer.h"
#include "httpd/strip.h"

#define REDIRECT     "REDIRECT_"
#define OURS         "MTLS_"
#define OURS_FOR_AJP "AJP_MTLS_"
#define HEADER       "HTTP_"
#define CLIENT_CERT  "SSL_CLIENT_CERT"

static int begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* An error page is as its request was. */
static int is_nobodys(const request_rec *r, const mtls_request_t *rq)
{
    return !rq->granted && (rq->verdict || mtls_request_refused(r));
}

/* ---- variables ---- */

static int tells_of_certificate(const char *name)
{
    while (begins(name, REDIRECT))
        name += sizeof(REDIRECT) - 1;
    return mtls_peer_is_told_by(name);
}

/* Our variables of the request this one was redirected from, and our headers, if it was a CGI. */
static int ours_of_before(const char *name)
{
    if (!begins(name, REDIRECT))
        return 0;
    while (begins(name, REDIRECT))
        name += sizeof(REDIRECT) - 1;
    return begins(name, OURS) || begins(name, OURS_FOR_AJP) ||
           (begins(name, HEADER) && mtls_strip_is_ours(name + sizeof(HEADER) - 1));
}

/* ---- headers ---- */

/* FakeBasicAuth makes a login of the subject ("/C=CH/CN=x" with the password "password"), which
 * mod_ssl lets no client send. */
static int is_fake_login(apr_pool_t *p, const char *authorization)
{
    const char *rest = authorization;
    const char *user;

    if (ap_cstr_casecmp(ap_getword_white(p, &rest), "Basic") != 0)
        return 0;
    rest = ap_pbase64decode(p, rest);
    user = ap_getword_nulls(p, &rest, ':');
    return user[0] == '/' && strcmp(rest, "password") == 0;
}

/* ---- hooks ---- */

void mtls_conceal_user(request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    if (rq && rq->verdict && !rq->granted)
        r->user = NULL;
}

void mtls_conceal_rest(request_rec *r, const mtls_request_t *rq)
{
    const char *authorization;

    if (r->prev)
        mtls_request_remove_variables(r, ours_of_before);
    if (!is_nobodys(r, rq))
        return;
    mtls_request_remove_variables(r, tells_of_certificate);
    authorization = apr_table_get(r->headers_in, "Authorization");
    if (authorization && is_fake_login(r->pool, authorization))
        apr_table_unset(r->headers_in, "Authorization");
}

int mtls_conceal_ssl_var(const request_rec *r, const mtls_request_t *rq, const char *name)
{
    if (!mtls_peer_is_told_by(name) || !mtls_request_proxied(r))
        return 0;
    if (is_nobodys(r, rq))
        return 1;
    /* Where certificates do not matter nobody has verified this one either. */
    return rq->merged && rq->merged->mode == MTLS_MODE_OFF && begins(name, CLIENT_CERT);
}
