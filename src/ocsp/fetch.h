/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* HTTP exchanges with responders: any number of certificates at a time, one thread, one deadline
 * over each whole exchange (name look-up, connect, send, receive). libcurl does HTTP.
 *
 * A host gets at most MTLS_OCSP_HOST_CONNECTIONS connections at a time (with a proxy, who is one
 * host for all, as many as there are exchanges); others wait, and their deadline runs. A look-up
 * that hangs is left behind in a thread of its own until the system's resolver gives up. */

#ifndef MTLS_OCSP_FETCH_H
#define MTLS_OCSP_FETCH_H

#include <apr_network_io.h>
#include <apr_tables.h>

#include "policy/span.h"

typedef struct mtls_fetcher_t mtls_fetcher_t;

/* One of MTLSOCSPResponderAllow. */
typedef struct mtls_fetch_host_t {
    const char *host; /* lower case; an IPv6 address without brackets */
    int port;         /* 0: any */
} mtls_fetch_host_t;

/* Who may be contacted. A listener is an address and port this server itself listens on; the
 * address may be the wildcard, which stands for all of this machine's. Behind a proxy the addresses
 * of names cannot be known here: "localhost" and literal addresses are judged; for the rest the
 * proxy has to have rules of its own, or `allow` is given. */
typedef struct mtls_fetch_rules_t {
    const apr_array_header_t *allow; /* mtls_fetch_host_t; NULL: MTLSOCSPResponderAllow not said */
    const apr_array_header_t *listeners; /* apr_sockaddr_t *: of this server */
    const char *proxy;                   /* MTLSOCSPProxy; NULL: none. Never from the environment */
} mtls_fetch_rules_t;

typedef enum mtls_fetch_outcome_t {
    MTLS_FETCH_FAILED = 0, /* not reached, not in time, too large, no 200, another content type */
    MTLS_FETCH_DONE,
    MTLS_FETCH_FORBIDDEN /* nobody was contacted: the rules do not allow the address */
} mtls_fetch_outcome_t;

typedef struct mtls_fetch_t {
    const char *url;
    int configured; /* by the administrator, not by a certificate: any address will do that
                       MTLSOCSPResponderAllow does not exclude */
    mtls_span_t request;
    apr_time_t deadline; /* by the wall clock when it begins; kept by the monotonic one */
    /* Called once, from mtls_fetcher_run() or, without a connection, from mtls_fetcher_start(); it
     * may start others, and the pool of the fetcher must outlive it.
     * `body` and `error` (text for the log, with the responder's URL in it; NULL: none) last until
     * it returns. */
    void (*done)(void *baton, mtls_fetch_outcome_t outcome, mtls_span_t body, const char *error);
    void *baton;
} mtls_fetch_t;

/* "http://HOST[:PORT][/PATH]" or https: NULL, or what is wrong with it ("has a fragment": static
 * text). For configuration and certificates alike: no user, no fragment, only bytes of a URL, an
 * IPv4 address in its usual form only. `host` (lower case, without a trailing dot or brackets, an
 * IPv6 address in one spelling) and `port` may be NULL. Any thread. */
const char *mtls_fetch_parse_url(apr_pool_t *p, const char *url, const char **host, int *port);

/* Parse "HOST[:PORT]". NULL or what is wrong, as above. Any thread. */
const char *mtls_fetch_parse_host(apr_pool_t *p, const char *text, mtls_fetch_host_t *host);

/* Whether the URL is one, and MTLSOCSPResponderAllow, where it is given, names it. Any thread. */
int mtls_fetch_allows(const mtls_fetch_rules_t *rules, const char *url);

/* In the process that runs it, after any fork; it initializes libcurl. `rules` must last, and
 * rules->proxy be what mtls_fetch_parse_url() takes. SIGPIPE must be ignored. NULL: libcurl could
 * not, or it is one whose look-ups of names stop everything else. Ends what is under way, without
 * calling `done`, when `p` does. */
mtls_fetcher_t *mtls_fetcher_make(apr_pool_t *p, const mtls_fetch_rules_t *rules);

/* GET where the address with the request stays within 255 bytes, else POST (RFC 9919 5). POST after
 * GET, within the same deadline, when the answer blames the method: a status of 2xx to 4xx or 501
 * that is no response; a responder that wants POST is asked with it from then on. `fetch` is
 * copied; what it points to must last until `done`. */
void mtls_fetcher_start(mtls_fetcher_t *fetcher, const mtls_fetch_t *fetch);

/* How many are under way. */
int mtls_fetcher_count(const mtls_fetcher_t *fetcher);

/* Work for at most `most`, or until `fd` (-1: none) can be read or has been closed: then 1. It
 * returns as soon as something has happened, a signal also: call it again. */
int mtls_fetcher_run(mtls_fetcher_t *fetcher, int fd, apr_interval_time_t most);

#endif
