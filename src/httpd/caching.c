/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/caching.h"

#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "httpd/site.h"
#include "httpd/strip.h"

#define VARY_FILTER     "MTLS_POLICY_VARY"
#define UNCACHED_FILTER "MTLS_POLICY_UNCACHED"

static ap_filter_rec_t *vary_handle, *uncached_handle;
static int has_mod_cache, exports; /* of the configuration that is read, then in force */

/* ---- mod_cache ---- */

static int is_judged(const mtls_request_t *rq)
{
    return rq && (rq->verdict || rq->granted || (rq->merged && rq->merged->under_policy));
}

/* mod_cache's handler answers from the cache, or arranges for the answer to be stored, where it
 * sees a GET. Between this and the next hook there is only that handler. */
static int hide_get(request_rec *r)
{
    mtls_request_t *rq;

    if (r->method_number != M_GET)
        return DECLINED;
    rq = mtls_request_peek(r);
    if (is_judged(rq)) {
        rq->hides_get = 1;
        r->method_number = M_INVALID;
    }
    return DECLINED;
}

static int show_get(request_rec *r)
{
    mtls_request_t *rq = mtls_request_peek(r);

    if (rq && rq->hides_get) {
        rq->hides_get = 0;
        r->method_number = M_GET;
    }
    return DECLINED;
}

/* ---- pages that include what is under policy ---- */

/* A filter of mod_cache that stores, in whose place ours stands. */
typedef struct uncached_t {
    ap_filter_rec_t *frec;
    void *ctx;
} uncached_t;

/* Call what stood here before. */
static apr_status_t pass_to_cache(ap_filter_t *f, uncached_t *stored, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    f->frec = stored->frec;
    f->ctx = stored->ctx;
    rv = f->frec->filter_func.out_func(f, bb);
    if (f->frec == stored->frec) {
        stored->ctx = f->ctx;
        f->frec = uncached_handle;
        f->ctx = stored;
    }
    return rv;
}

/* The page may be half stored, and mod_cache may hold some of it back: it gets all but the end, by
 * which it would know the page to be whole. */
static apr_status_t keep_uncached(ap_filter_t *f, apr_bucket_brigade *bb)
{
    uncached_t *stored = f->ctx;
    apr_bucket_brigade *end;
    apr_status_t rv;
    apr_bucket *e;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
        if (APR_BUCKET_IS_EOS(e))
            break;
    }
    if (e == APR_BRIGADE_SENTINEL(bb))
        return pass_to_cache(f, stored, bb);
    end = apr_brigade_split(bb, e);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    rv = pass_to_cache(f, stored, bb);
    ap_remove_output_filter(f);
    return rv == APR_SUCCESS ? ap_pass_brigade(f->next, end) : rv;
}

static int stores(const ap_filter_t *f)
{
    return ap_cstr_casecmp(f->frec->name, "CACHE_SAVE") == 0 ||
           ap_cstr_casecmp(f->frec->name, "CACHE_SAVE_SUBREQ") == 0;
}

void mtls_caching_sub_judged(request_rec *r)
{
    uncached_t *stored;
    ap_filter_t *f;

    for (r = has_mod_cache ? r->main : NULL; r; r = r->main) {
        for (f = r->output_filters; f; f = f->next) {
            if (!stores(f))
                continue;
            stored = apr_palloc(f->r->pool, sizeof(*stored));
            stored->frec = f->frec;
            stored->ctx = f->ctx;
            f->frec = uncached_handle;
            f->ctx = stored;
        }
    }
}

/* ---- Vary ---- */

static int names_ours(apr_pool_t *p, const char *list)
{
    char *last, *name, *copy = apr_pstrdup(p, list);

    for (name = apr_strtok(copy, ", \t", &last); name; name = apr_strtok(NULL, ", \t", &last)) {
        if (mtls_strip_is_ours(name))
            return 1;
    }
    return 0;
}

static int find_ours(void *p, const char *name, const char *value)
{
    (void)name;
    return !names_ours(p, value); /* 0 ends the search */
}

static int varies_by_ours(apr_pool_t *p, const apr_table_t *headers)
{
    return apr_table_get(headers, "Vary") && !apr_table_do(find_ours, p, headers, "Vary", NULL);
}

/* Where a client, or a cache on its side, cannot send the header that made the difference, nobody
 * but us can tell two answers apart. */
static apr_status_t answer_varies(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;

    if (varies_by_ours(r->pool, r->headers_out) || varies_by_ours(r->pool, r->err_headers_out)) {
        apr_table_unset(r->err_headers_out, "Vary");
        apr_table_setn(r->headers_out, "Vary", "*");
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

static void insert_filter(request_rec *r)
{
    const mtls_request_t *rq = mtls_request_peek(r);

    if (!r->main && rq && rq->merged && rq->merged->exports_headers)
        ap_add_output_filter_handle(vary_handle, NULL, r, r->connection);
}

/* ---- set-up ---- */

/* Ours comes after whoever sets headers, and just before they are written. */
void mtls_caching_register(void)
{
    vary_handle =
        ap_register_output_filter(VARY_FILTER, answer_varies, NULL, AP_FTYPE_PROTOCOL - 1);
    uncached_handle =
        ap_register_output_filter(UNCACHED_FILTER, keep_uncached, NULL, AP_FTYPE_CONTENT_SET + 1);
}

static void add_hooks_around_cache(void)
{
    static const char *const mod_cache[] = {"mod_cache.c", NULL};

    ap_hook_handler(hide_get, NULL, mod_cache, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(show_get, mod_cache, NULL, APR_HOOK_REALLY_FIRST);
}

static void add_hooks_for_vary(void)
{
    ap_hook_insert_filter(insert_filter, NULL, NULL, APR_HOOK_LAST);
    ap_hook_insert_error_filter(insert_filter, NULL, NULL, APR_HOOK_LAST);
}

void mtls_caching_begin(void)
{
    exports = 0;
    has_mod_cache = ap_find_linked_module("mod_cache.c") != NULL;
    if (has_mod_cache)
        mtls_site_add_hooks(add_hooks_around_cache);
}

void mtls_caching_exports(void)
{
    if (!exports)
        mtls_site_add_hooks(add_hooks_for_vary);
    exports = 1;
}
