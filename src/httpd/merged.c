/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/merged.h"

#include <apr_thread_mutex.h>
#include <http_log.h>

#include "httpd/strip.h"
#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

#define BUCKETS 1024 /* a power of two */

/* Readers take no lock: an entry is complete before it is linked in and never changes then. */
static struct {
    apr_pool_t *p;
    apr_thread_mutex_t *lock; /* of writers */
    mtls_merged_t *buckets[BUCKETS];
    const mtls_merged_t *chain_alone;
    apr_array_header_t *backends; /* const mtls_backend_t *; writers' */
    int count;
} known;

/* ---- computing ---- */

typedef struct builder_t {
    apr_pool_t *p;
    mtls_merged_t *out;
    apr_array_header_t *policies;
    apr_array_header_t *groups;
} builder_t;

static void add_policy(builder_t *b, const mtls_policy_t *policy)
{
    APR_ARRAY_PUSH(b->policies, const mtls_policy_t *) = policy;
    b->out->decided_per_request |= policy->depends_on_request;
    b->out->only_vhost &= !policy->trust;
}

static void add_group(builder_t *b, int any, int n)
{
    mtls_group_t *group = apr_array_push(b->groups);

    group->any = any;
    b->out->decided_per_request |= any;
    group->first = b->policies->nelts - n;
    group->n = n;
}

/* What the sections say directly: one policy without a name. A later MTLSOCSP off takes the
 * question back, not the policy: what an outer section protects stays protected. */
static void build_anonymous(builder_t *b)
{
    mtls_policy_t *policy = mtls_policy_make(b->p, NULL);
    int i, k, judges = 0;

    for (i = 0; i < b->out->n; i++) {
        const apr_array_header_t *rules = b->out->sections[i]->rules;
        for (k = 0; k < rules->nelts; k++)
            mtls_policy_add(policy, APR_ARRAY_IDX(rules, k, const mtls_rule_t *));
        if (b->out->sections[i]->trust)
            policy->trust = b->out->sections[i]->trust;
        if (b->out->sections[i]->ocsp.level != MTLS_DEMAND_UNSET)
            policy->ocsp = b->out->sections[i]->ocsp;
        judges |= mtls_section_judges(b->out->sections[i]);
    }
    if (judges) {
        add_policy(b, policy);
        add_group(b, 0, 1);
    }
}

static void build_use(builder_t *b, const mtls_use_t *use)
{
    int i;

    for (i = 0; i < use->policies->nelts; i++) {
        const mtls_policy_t *policy = APR_ARRAY_IDX(use->policies, i, const mtls_policy_t *);
        add_policy(b, policy);
        b->out->names = b->out->names ? apr_pstrcat(b->p, b->out->names, " ", policy->name, NULL)
                                      : policy->name;
        if (!use->any)
            add_group(b, 0, 1);
    }
    if (use->any)
        add_group(b, 1, use->policies->nelts);
}

static void build_named(builder_t *b)
{
    int i, k, n;

    for (i = 0; i < b->out->n; i++) {
        const apr_array_header_t *uses = b->out->sections[i]->uses;
        for (k = 0; k < uses->nelts; k++)
            build_use(b, APR_ARRAY_IDX(uses, k, const mtls_use_t *));
    }
    b->out->decisive = b->policies->nelts;
    for (i = 0; i < b->out->n; i++) {
        const apr_array_header_t *reports = b->out->sections[i]->reports;
        for (k = 0; k < reports->nelts; k++) {
            const mtls_use_t *use = APR_ARRAY_IDX(reports, k, const mtls_use_t *);
            for (n = 0; n < use->policies->nelts; n++)
                add_policy(b, APR_ARRAY_IDX(use->policies, n, const mtls_policy_t *));
        }
    }
    b->out->total = b->policies->nelts;
    b->out->decided_per_request |= b->out->total > b->out->decisive;
}

/* Like the anonymous policy, of the other side. */
static void build_backend(builder_t *b)
{
    mtls_backend_t *backend = apr_pcalloc(b->p, sizeof(*backend));
    mtls_policy_t *policy = mtls_policy_make(b->p, NULL);
    int i, k;

    backend->mode = MTLS_MODE_ENFORCE;
    for (i = 0; i < b->out->n; i++) {
        const mtls_backend_section_t *s = b->out->sections[i]->backend;
        if (!s)
            continue;
        b->out->backend = backend;
        for (k = 0; k < s->rules->nelts; k++)
            mtls_policy_add(policy, APR_ARRAY_IDX(s->rules, k, const mtls_rule_t *));
        policy->trust = s->trust ? s->trust : policy->trust;
        policy->ocsp = s->ocsp.level != MTLS_DEMAND_UNSET ? s->ocsp : policy->ocsp;
        backend->sni = s->sni ? s->sni : backend->sni;
        backend->mode = s->mode != MTLS_MODE_UNSET ? s->mode : backend->mode;
        if (s->rules->nelts > 0 || s->trust || mtls_policy_asks(&s->ocsp))
            backend->policy = policy;
    }
}

static void add_header(apr_array_header_t *headers, const mtls_export_header_t *header)
{
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mtls_export_header_t **there =
            &APR_ARRAY_IDX(headers, i, const mtls_export_header_t *);
        if (mtls_strip_same_name((*there)->name, header->name)) {
            *there = header;
            return;
        }
    }
    APR_ARRAY_PUSH(headers, const mtls_export_header_t *) = header;
}

/* What the set of MTLSExport lines in force asks for. */
static void build_formats(mtls_merged_t *m)
{
    int i;

    m->exports_headers = m->header_count > 0;
    for (i = 0; m->formats && i < m->formats->nelts; i++) {
        const mtls_format_t *format = &APR_ARRAY_IDX(m->formats, i, mtls_format_t);
        if (format->kind == MTLS_FORMAT_ENV)
            m->exports_env = 1;
        else
            m->exports_headers = 1;
        m->exports_tokens |= format->kind == MTLS_FORMAT_JWT;
        m->exports_chain |= mtls_format_needs_chain(format);
    }
}

/* Settings: the later section replaces. Headers add up, a later one of the same name replaces. */
static void build_settings(builder_t *b)
{
    mtls_merged_t *m = b->out;
    apr_array_header_t *headers = apr_array_make(b->p, 4, sizeof(const mtls_export_header_t *));
    int i, k;

    m->mode = MTLS_MODE_ENFORCE;
    m->deny_status = HTTP_FORBIDDEN;
    m->unavailable_status = HTTP_SERVICE_UNAVAILABLE;
    m->header_limit = MTLS_DEFAULT_HEADER_LIMIT;
    for (i = 0; i < m->n; i++) {
        const mtls_section_t *s = m->sections[i];
        m->mode = s->mode != MTLS_MODE_UNSET ? s->mode : m->mode;
        m->formats = s->formats ? s->formats : m->formats;
        m->proxies = s->proxies ? s->proxies : m->proxies;
        m->deny_status = s->deny_status ? s->deny_status : m->deny_status;
        m->unavailable_status =
            s->unavailable_status ? s->unavailable_status : m->unavailable_status;
        m->header_limit = s->header_limit ? s->header_limit : m->header_limit;
        m->user = s->user ? s->user : m->user;
        for (k = 0; k < s->headers->nelts; k++)
            add_header(headers, APR_ARRAY_IDX(s->headers, k, const mtls_export_header_t *));
    }
    m->headers = (const mtls_export_header_t *const *)(void *)headers->elts;
    m->header_count = headers->nelts;
    build_formats(m);
    m->under_policy = m->decisive > 0 && m->mode != MTLS_MODE_OFF;
}

static builder_t begin(apr_pool_t *p)
{
    builder_t b = {p, apr_pcalloc(p, sizeof(mtls_merged_t)),
                   apr_array_make(p, 4, sizeof(const mtls_policy_t *)),
                   apr_array_make(p, 4, sizeof(mtls_group_t))};

    b.out->ordinal = MTLS_UNSET;
    b.out->only_vhost = 1;
    return b;
}

static mtls_merged_t *end(builder_t *b)
{
    mtls_merged_t *m = b->out;

    m->policies = (const mtls_policy_t *const *)(void *)b->policies->elts;
    m->groups = (const mtls_group_t *)(void *)b->groups->elts;
    m->group_count = b->groups->nelts;
    build_settings(b);
    return m;
}

static mtls_merged_t *build(apr_pool_t *p, const mtls_dir_t *dir)
{
    builder_t b = begin(p);

    b.out->sections = apr_pmemdup(p, dir->sections, sizeof(*dir->sections) * (apr_size_t)dir->n);
    b.out->n = dir->n;
    build_anonymous(&b);
    build_named(&b);
    build_backend(&b);
    return end(&b);
}

/* ---- keeping ---- */

static int same_rules(const apr_array_header_t *a, const apr_array_header_t *b)
{
    return a->nelts == b->nelts &&
           memcmp(a->elts, b->elts, (apr_size_t)a->elt_size * (apr_size_t)a->nelts) == 0;
}

static int same_backend(const mtls_backend_t *a, const mtls_backend_t *b)
{
    if (a->mode != b->mode || !a->policy != !b->policy || !a->sni != !b->sni ||
        (a->sni && strcmp(a->sni, b->sni) != 0))
        return 0;
    return !a->policy || (a->policy->trust == b->policy->trust &&
                          a->policy->ocsp.level == b->policy->ocsp.level &&
                          a->policy->ocsp.chain == b->policy->ocsp.chain &&
                          same_rules(a->policy->rules, b->policy->rules));
}

/* The one of the same content, so that pooled connections serve wherever the same is asked. */
static const mtls_backend_t *only_backend(const mtls_backend_t *backend)
{
    int i;

    if (!backend)
        return NULL;
    for (i = 0; i < known.backends->nelts; i++) {
        const mtls_backend_t *there = APR_ARRAY_IDX(known.backends, i, const mtls_backend_t *);
        if (same_backend(there, backend))
            return there;
    }
    APR_ARRAY_PUSH(known.backends, const mtls_backend_t *) = backend;
    return backend;
}

static unsigned int bucket_of(const mtls_dir_t *dir)
{
    apr_uint64_t h = 0;
    int i;

    for (i = 0; i < dir->n; i++)
        h = (h ^ (apr_uint64_t)(apr_uintptr_t)dir->sections[i]) * APR_UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned int)(h >> 40) & (BUCKETS - 1);
}

static mtls_merged_t *find(unsigned int bucket, const mtls_dir_t *dir)
{
    mtls_merged_t *m = __atomic_load_n(&known.buckets[bucket], __ATOMIC_ACQUIRE);

    for (; m; m = m->next) {
        if (m->n == dir->n &&
            memcmp(m->sections, dir->sections, sizeof(*dir->sections) * (apr_size_t)m->n) == 0)
            return m;
    }
    return NULL;
}

/* Rules that a section wrote after an outer one had said `off`, and did not take back: they hold
 * nobody off. Said once for each merged policy. */
static void warn_of_idle_rules(request_rec *r, const mtls_merged_t *m)
{
    const char *off = NULL;
    int i;

    for (i = 0; i < m->n; i++) {
        const mtls_section_t *s = m->sections[i];
        if (s->mode != MTLS_MODE_UNSET)
            off = s->mode == MTLS_MODE_OFF ? s->where : NULL;
        else if (off && (mtls_section_judges(s) || s->uses->nelts))
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                          "mtls_policy: %s: these rules are "
                          "idle: MTLSMode off is inherited from %s; write MTLSMode enforce to have "
                          "them judged",
                          s->where, off);
    }
}

static mtls_merged_t *find_or_keep(request_rec *r, const mtls_dir_t *dir)
{
    unsigned int bucket = bucket_of(dir);
    mtls_merged_t *m = find(bucket, dir);

    if (m)
        return m;
    apr_thread_mutex_lock(known.lock);
    m = find(bucket, dir);
    if (!m && known.count < MTLS_MAX_MERGED_POLICIES) {
        m = build(known.p, dir);
        m->ordinal = known.count++;
        m->backend = only_backend(m->backend);
        warn_of_idle_rules(r, m);
        m->next = known.buckets[bucket];
        __atomic_store_n(&known.buckets[bucket], m, __ATOMIC_RELEASE);
    }
    apr_thread_mutex_unlock(known.lock);
    return m;
}

const mtls_merged_t *mtls_merged_single(const mtls_policy_t *policy)
{
    builder_t b = begin(known.p);

    add_policy(&b, policy);
    add_group(&b, 0, 1);
    b.out->decisive = b.out->total = 1;
    b.out->names = policy->name;
    b.out->ordinal = known.count++;
    return end(&b);
}

void mtls_merged_prepare(apr_pool_t *pconf)
{
    memset(&known, 0, sizeof(known));
    apr_pool_create(&known.p, pconf);
    apr_thread_mutex_create(&known.lock, APR_THREAD_MUTEX_DEFAULT, known.p);
    known.backends = apr_array_make(known.p, 4, sizeof(const mtls_backend_t *));
    known.chain_alone = mtls_merged_single(mtls_policy_make(known.p, NULL));
}

int mtls_merged_writes(const mtls_merged_t *merged, const char *header)
{
    int i;

    for (i = 0; i < merged->header_count; i++) {
        if (mtls_strip_same_name(merged->headers[i]->name, header))
            return 1;
    }
    return 0;
}

const mtls_merged_t *mtls_merged_chain_alone(void)
{
    return known.chain_alone;
}

const mtls_merged_t *mtls_merged_look_up(request_rec *r, const mtls_dir_t *dir)
{
    const mtls_merged_t *m = find_or_keep(r, dir);

    if (!m)
        return build(r->pool, dir);
    if (dir->n == 1)
        __atomic_store_n(&dir->sections[0]->alone, m, __ATOMIC_RELEASE);
    return m;
}
