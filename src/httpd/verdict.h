/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The verdict of a request, and what a connection remembers of verdicts. */

#ifndef MTLS_HTTPD_VERDICT_H
#define MTLS_HTTPD_VERDICT_H

#include "httpd/exports.h"

/* What happens to a request, and why. Zeroed, it is a refusal. */
typedef struct mtls_decision_t {
    mtls_reason_t reason;
    const mtls_rule_t *rule; /* NULL: none was to blame */
    const char *hint;        /* for the log, static; or NULL */
    const char *names;       /* of the policies applied; NULL: none has a name */
    int which;               /* the policy whose evidence counts */
} mtls_decision_t;

/* The values of MTLS_VERDICT; compared by address. */
extern const char mtls_verdict_allow[];
extern const char mtls_verdict_deny[];
extern const char mtls_verdict_report[];

/* A request as it was judged under one merged policy. Never changed once made, but for `until`,
 * which moves on as long as the same comes out (mtls_verdict_until): a connection hands the same
 * one to all its requests until something has to be judged anew. */
typedef struct mtls_judged_t {
    mtls_decision_t decision;
    mtls_evidence_t evidence;
    const char *report;                  /* MTLS_REPORT; NULL: no policy reports */
    int report_refuses;                  /* one of them would have refused */
    const mtls_exports_t *exports;       /* NULL: nobody was verified */
    const apr_array_header_t *variables; /* of a request that is allowed (mtls_verdict_variables) */
    apr_time_t now;
    apr_time_t until;
} mtls_judged_t;

/* How the certificate of a backend was judged. Zeroed, it is a refusal. */
typedef struct mtls_backend_verdict_t {
    mtls_reason_t reason;
    const mtls_rule_t *rule; /* NULL: none was to blame */
    const char *hint;        /* for the log, static; or NULL */
    mtls_evidence_t evidence;
    apr_time_t from, until;
    apr_uint32_t generation; /* of what is read from files (reload.h) */
    mtls_span_t name;        /* it was to bear; ended by a NUL, too */
} mtls_backend_verdict_t;

/* Until when a judgement holds at most. Any thread. */
static inline apr_time_t mtls_verdict_until(const mtls_judged_t *judged)
{
    return __atomic_load_n(&judged->until, __ATOMIC_RELAXED);
}

/* Judge the request. Never NULL: what cannot be found out is a refusal. Lives as long as the
 * request. */
const mtls_judged_t *mtls_verdict_judge(request_rec *r, const mtls_merged_t *merged);

/* MTLS_VERDICT and those beside it, then the identity's where `env` says so (mtls_variable_t); a
 * NULL verdict has a report at most. In `p`. */
const apr_array_header_t *mtls_verdict_variables(apr_pool_t *p, const mtls_judged_t *judged,
                                                 const char *verdict, mtls_reason_t reason,
                                                 const apr_array_header_t *env);

/* What `merged` exports of the identity another policy has granted; NULL: nothing. In r->pool. */
const mtls_exports_t *mtls_verdict_exports(request_rec *r, const mtls_merged_t *merged,
                                           const mtls_judged_t *judged);

#endif
