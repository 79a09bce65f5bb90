/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The policy in force where sections have merged: computed once for each sequence of sections,
 * then shared by all requests that meet it. */

#ifndef MTLS_HTTPD_MERGED_H
#define MTLS_HTTPD_MERGED_H

#include "httpd/config.h"

/* Policies of which all must allow, or with `any` the first that does is enough. */
typedef struct mtls_group_t {
    int any;
    int first; /* index into mtls_merged_t.policies */
    int n;
} mtls_group_t;

/* What backends are judged by. The same pointer means the same, whatever else sections say. */
typedef struct mtls_backend_t {
    const mtls_policy_t *policy; /* NULL: none; only a name may be asked for */
    const char *sni;             /* MTLSBackendSNI; NULL: as mod_proxy does */
    mtls_mode_t mode;            /* enforce or report */
} mtls_backend_t;

typedef struct mtls_merged_t {
    mtls_section_t *const *sections;
    int n;
    int ordinal; /* a small number of its own; MTLS_UNSET: not kept, gone with the request */
    const mtls_policy_t *const *policies; /* all groups', then the reports' */
    int decisive;                         /* how many of them decide */
    int total;                            /* with those of MTLSReportPolicy */
    const mtls_group_t *groups;
    int group_count;
    int decided_per_request; /* an expr, an `any` or a report: only verdicts are remembered */
    int under_policy;
    int only_vhost;    /* no policy that decides names another trust store */
    const char *names; /* of the named policies that decide, blank between; NULL: none */
    mtls_mode_t mode;
    int deny_status;
    int unavailable_status;
    const mtls_user_t *user;
    const apr_array_header_t *formats; /* mtls_format_t; NULL: none */
    int exports_env;
    int exports_tokens;
    int exports_chain;                 /* some format needs the chain's certificates */
    const apr_array_header_t *proxies; /* apr_ipsubnet_t *; NULL: none is trusted */
    const mtls_export_header_t *const *headers;
    int header_count;
    int exports_headers; /* some format, or MTLSExportHeader, sets headers */
    int header_limit;
    const mtls_backend_t *backend; /* NULL: nothing is said of backends */
    struct mtls_merged_t *next;    /* in the same bucket */
} mtls_merged_t;

/* After the configuration was read; names of policies are resolved. */
void mtls_merged_prepare(apr_pool_t *pconf);

/* A named policy alone (Require mtls-policy), kept from the start. */
const mtls_merged_t *mtls_merged_single(const mtls_policy_t *policy);

/* The policy that asks for nothing but a certificate the vhost's CAs vouch for. */
const mtls_merged_t *mtls_merged_chain_alone(void);

/* The same for a sequence that is not known yet, or has several sections. */
const mtls_merged_t *mtls_merged_look_up(request_rec *r, const mtls_dir_t *dir);

/* Whether an MTLSExportHeader writes that header, in whatever spelling: what the administrator
 * wrote out wins over a format. */
int mtls_merged_writes(const mtls_merged_t *merged, const char *header);

/* What applies to the request; NULL when no section of ours does. */
static inline const mtls_merged_t *mtls_merged_of(request_rec *r, const mtls_dir_t *dir)
{
    const mtls_merged_t *m = NULL;

    if (dir->n == 0)
        return NULL;
    if (dir->n == 1) /* by far the most frequent: no hash */
        m = __atomic_load_n(&dir->sections[0]->alone, __ATOMIC_ACQUIRE);
    return m ? m : mtls_merged_look_up(r, dir);
}

#endif
