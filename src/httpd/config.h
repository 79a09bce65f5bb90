/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What the configuration says: sections as they were written, and how httpd merges them. Everything
 * here is made while the configuration is read and never changes afterwards. */

#ifndef MTLS_HTTPD_CONFIG_H
#define MTLS_HTTPD_CONFIG_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>
#include <apr_hash.h>

#include "identity/format.h"
#include "pki/trust_store.h"
#include "policy/policy.h"

/* The one symbol httpd looks for; all others are hidden. */
extern module AP_MODULE_DECLARE_DATA mtls_policy_module __attribute__((visibility("default")));

#define MTLS_UNSET (-1)

typedef enum mtls_mode_t {
    MTLS_MODE_UNSET = 0,
    MTLS_MODE_ENFORCE,
    MTLS_MODE_OPTIONAL,
    MTLS_MODE_REPORT,
    MTLS_MODE_AUTHZ,
    MTLS_MODE_OFF
} mtls_mode_t;

typedef enum mtls_handshake_t {
    MTLS_HANDSHAKE_UNSET = 0,
    MTLS_HANDSHAKE_MOD_SSL,
    MTLS_HANDSHAKE_DEFER
} mtls_handshake_t;

/* MTLSStrictPath. */
typedef enum mtls_strict_path_t {
    MTLS_STRICT_PATH_UNSET = 0,
    MTLS_STRICT_PATH_OFF,
    MTLS_STRICT_PATH_PROXIED, /* not written: what goes to a backend, where there is a policy */
    MTLS_STRICT_PATH_ON,
    MTLS_STRICT_PATH_PARAMS
} mtls_strict_path_t;

/* One line of MTLSUsePolicy or MTLSReportPolicy. */
typedef struct mtls_use_t {
    int any;
    const char *directive;
    const char *where;
    apr_array_header_t *names;    /* const char * */
    apr_array_header_t *policies; /* const mtls_policy_t *, once the names are resolved */
} mtls_use_t;

typedef struct mtls_user_t {
    mtls_field_t field;
    const char *prefix;
} mtls_user_t;

/* A part of a header's text that depends on nothing but the identity. */
typedef struct mtls_piece_t {
    const char *literal; /* NULL: the field */
    mtls_field_t field;
} mtls_piece_t;

typedef struct mtls_export_header_t {
    const char *name;
    const char *where;
    apr_array_header_t *pieces; /* mtls_piece_t; NULL: ask `expr` for every request */
    const ap_expr_info_t *expr;
} mtls_export_header_t;

struct mtls_merged_t;

/* What a section says of the backends its requests go to. */
typedef struct mtls_backend_section_t {
    apr_array_header_t *rules; /* const mtls_rule_t * */
    const mtls_trust_t *trust; /* NULL: not said */
    mtls_ocsp_demand_t ocsp;
    const char *sni;  /* NULL: not said */
    mtls_mode_t mode; /* enforce, report, or unset */
} mtls_backend_section_t;

/* What one written section (or a server's top level, or a <MTLSPolicy>) says. */
typedef struct mtls_section_t {
    server_rec *server;
    const char *where;           /* its first directive */
    int is_top;                  /* of a server itself, not of a section in it */
    int is_of_proxy;             /* of a <Proxy> or <ProxyMatch> */
    const char *lost;            /* this <Proxy>, where what it says of clients cannot hold; NULL */
    apr_array_header_t *rules;   /* const mtls_rule_t * */
    apr_array_header_t *uses;    /* mtls_use_t * */
    apr_array_header_t *reports; /* mtls_use_t * */
    apr_array_header_t *headers; /* mtls_export_header_t * */
    const mtls_trust_t *trust;   /* MTLSTrust; NULL: not said */
    mtls_ocsp_demand_t ocsp;     /* MTLSOCSP */
    const mtls_user_t *user;     /* NULL: not said */
    mtls_mode_t mode;
    apr_array_header_t *formats;     /* mtls_format_t: MTLSExport; NULL: not said */
    apr_array_header_t *proxies;     /* apr_ipsubnet_t *: MTLSTrustedProxy; NULL: not said */
    int deny_status;                 /* 0: not said */
    int unavailable_status;          /* 0: not said */
    int header_limit;                /* bytes; 0: not said */
    int drops_inherited;             /* MTLSInherit Off */
    mtls_backend_section_t *backend; /* NULL: nothing is said of backends */
    /* The merged policy of this section alone, once a request has met it (merged.c). */
    const struct mtls_merged_t *alone;
} mtls_section_t;

/* The sections that apply, in httpd's order of merging. That sequence is the identity of a merged
 * policy; httpd merges anew for every request, so a merge copies pointers and nothing else. */
typedef struct mtls_dir_t {
    mtls_section_t *const *sections;
    int n;
    int of_clients;      /* some section says something beside what it says of backends */
    mtls_section_t *own; /* the section itself, where nothing is merged yet */
} mtls_dir_t;

/* How statuses are asked for and judged; seconds. MTLS_UNSET: not said. */
typedef struct mtls_ocsp_settings_t {
    int timeout;
    int wait;
    int max_age;
    int stale;
    int skew;
    int nonce; /* 0 off, 1 sent, 2 required */
} mtls_ocsp_settings_t;

typedef struct mtls_server_t {
    mtls_handshake_t handshake;
    const char *handshake_where;
    apr_array_header_t *trust_domains; /* const char *; NULL: not said */
    int advertise;                     /* MTLSAdvertiseCAs; MTLS_UNSET */
    mtls_strict_path_t strict_path;    /* MTLSStrictPath, as written */
    mtls_strict_path_t paths;          /* what follows from it and the policies */
    mtls_ocsp_settings_t ocsp;
    mtls_trust_spec_t *responder;          /* MTLSOCSPResponder...: for mod_ssl's CAs; NULL */
    const mtls_trust_handle_t *responders; /* its certificates, where there are any; NULL */
    apr_array_header_t *signers; /* const mtls_signer_t *: MTLSSigningKey; NULL: not said */
    /* From mod_ssl, while it starts (peer.c): */
    const mtls_trust_handle_t *vhost; /* the CAs mod_ssl loaded; NULL: no TLS here */
    int asks_for_certificate;         /* SSLVerifyClient is not "none" for the whole vhost */
    int believes_vhost;               /* some policy may be judged by those CAs */
    apr_array_header_t *stores;       /* const mtls_trust_handle_t *: what policies name beside */
    /* mtls_proxy_section_t (proxy_sections.c): about backends, and with directives of mod_ssl. */
    apr_array_header_t *proxies;
    apr_array_header_t *tls_proxies;
    apr_hash_t *proxies_by_host; /* apr_array_header_t *: of `proxies` what a host's may be */
    apr_array_header_t *proxies_anywhere; /* those that are not about one host */
} mtls_server_t;

#define MTLS_DEFAULT_HEADER_LIMIT 16384

static inline mtls_server_t *mtls_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &mtls_policy_module);
}

static inline const mtls_dir_t *mtls_dir_of(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &mtls_policy_module);
}

/* Whether a section says anything that makes a policy without a name. */
static inline int mtls_section_judges(const mtls_section_t *section)
{
    return section->rules->nelts > 0 || section->trust || mtls_policy_asks(&section->ocsp);
}

/* Whether a section puts requests under policy. */
static inline int mtls_section_is_policy(const mtls_section_t *section)
{
    return (mtls_section_judges(section) || section->uses->nelts > 0) &&
           section->mode != MTLS_MODE_OFF;
}

/* The section a directive is in, made when it is the first one there; and for directives that say
 * nothing of clients. */
mtls_section_t *mtls_section_of(cmd_parms *cmd, void *dir);
mtls_section_t *mtls_section_of_backends(cmd_parms *cmd, void *dir);

/* "file:line" of a directive. */
const char *mtls_where(apr_pool_t *p, const ap_directive_t *directive);

/* Hooks of the module record. */
void *mtls_dir_create(apr_pool_t *p, char *path);
void *mtls_dir_merge(apr_pool_t *p, void *base, void *add);
void *mtls_server_create(apr_pool_t *p, server_rec *s);
void *mtls_server_merge(apr_pool_t *p, void *base, void *add);

#endif
