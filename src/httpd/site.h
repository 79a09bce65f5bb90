/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What is server-wide: named policies, every section that says something, the names only we may
 * send to a backend. Made anew each time the configuration is read; read-only afterwards. */

#ifndef MTLS_HTTPD_SITE_H
#define MTLS_HTTPD_SITE_H

#include <apr_hash.h>

#include "httpd/config.h"

typedef struct mtls_named_policy_t {
    mtls_policy_t *policy;
    const char *where;
} mtls_named_policy_t;

/* A name in a `Require mtls-policy` line. */
typedef struct mtls_require_t {
    const char *where;
    const char *name;
    server_rec *server;
    const struct mtls_merged_t *merged; /* the policy alone, once the name is resolved */
} mtls_require_t;

/* What is server-wide of asking responders. */
typedef struct mtls_site_ocsp_t {
    apr_array_header_t *allow; /* mtls_fetch_host_t: MTLSOCSPResponderAllow; NULL: not said */
    const char *allow_where;
    const char *proxy;     /* MTLSOCSPProxy; NULL */
    const char *responses; /* MTLSOCSPResponses; NULL */
} mtls_site_ocsp_t;

typedef struct mtls_site_t {
    apr_pool_t *p;
    apr_hash_t *policies;         /* name -> mtls_named_policy_t * */
    apr_hash_t *stores;           /* name -> const mtls_trust_handle_t * */
    apr_array_header_t *trusts;   /* mtls_trust_t *: every MTLSTrust, sections' and policies' */
    const char *interval_where;   /* MTLSReloadInterval; NULL: the default */
    apr_array_header_t *sections; /* mtls_section_t * */
    apr_array_header_t *requires; /* mtls_require_t * */
    apr_array_header_t *headers;  /* const char *: names that are stripped from requests */
    apr_array_header_t *warnings; /* const char *: said when there is a log to say it in */
    const char *cache_where;      /* MTLSCache; NULL: the default */
    int defers;                   /* some server defers its handshake */
    int asks_status;              /* some MTLSOCSP asks for statuses */
    int signs;                    /* some server has an MTLSSigningKey */
    int judges_targets;           /* some server has MTLSStrictPath On or params */
    int balances_fastcgi;         /* some BalancerMember speaks FastCGI */
    int merges_trailers;          /* some server has MergeTrailers, and headers are exported */
    int appends;                  /* some section has MTLSExport xfcc append */
    int judges_backends;          /* some section has a directive about backends */
    mtls_site_ocsp_t ocsp;
} mtls_site_t;

/* The site that is in force in this process; only site.c sets it. */
extern mtls_site_t *mtls_site_in_force;

static inline mtls_site_t *mtls_site(void)
{
    return mtls_site_in_force;
}

/* Whether no directive asks anything of this module. */
int mtls_site_is_idle(void);

/* Begin a new one, in pre_config. */
void mtls_site_begin(apr_pool_t *pconf);

void mtls_site_add_section(mtls_section_t *section);

/* A name to strip from every request; NULL or why it cannot be. */
const char *mtls_site_strip(apr_pool_t *p, const char *header);

/* Register hooks that cost every request something only where they have something to do, while the
 * configuration is read: httpd sorts all hooks when that is done. */
void mtls_site_add_hooks(void (*add)(void));

const mtls_policy_t *mtls_site_policy(const char *name);
const mtls_trust_handle_t *mtls_site_store(const char *name);

#endif
