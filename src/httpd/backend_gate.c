/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/backend_gate.h"

#include <http_connection.h>
#include <http_log.h>
#include <util_filter.h>

#include "httpd/backend.h"
#include "httpd/ocsp.h"
#include "httpd/peer.h"
#include "httpd/reload.h"
#include "httpd/request.h"

APLOG_USE_MODULE(mtls_policy);

/* mod_ssl's filter, which makes the handshake, comes next. */
#define FILTER_TYPE ((ap_filter_type)(AP_FTYPE_CONNECTION + 4))

/* The note by which mod_proxy tells mod_ssl whom to ask for. */
#define HOSTNAME_NOTE "proxy-request-hostname"

/* A connection to a backend. It belongs to one thread at a time. */
typedef struct gate_t {
    request_rec *r;                /* that holds it; NULL: none */
    int open;                      /* for that */
    int pooled;                    /* it has served, or was to serve, another request before */
    int refused;                   /* in the handshake, by us */
    int settled;                   /* while it is open nothing of it can change */
    mtls_peer_t *peer;             /* NULL: no handshake has begun */
    const mtls_backend_t *backend; /* it was made for; NULL: nothing was asked of it */
    mtls_span_t tls_sections;      /* and by what mod_ssl was set up */
    int lost;                      /* what it was made for is gone */
    const server_rec *server;      /* which made it, */
    mtls_span_t authority;         /* and to where */
    mtls_span_t name;              /* the certificate is to bear; ended by a NUL, too */
    mtls_backend_verdict_t verdict;
} gate_t;

static ap_filter_rec_t *gate_in, *gate_out;

static int judges(const gate_t *gate)
{
    return gate->backend && gate->backend->policy;
}

static gate_t *gate_of(const conn_rec *c)
{
    const ap_filter_t *f;

    for (f = c->output_filters; f; f = f->next) {
        if (f->frec == gate_out)
            return f->ctx;
    }
    return NULL;
}

/* ---- judging ---- */

static void judge_once(gate_t *gate, mtls_ocsp_round_t *round)
{
    mtls_backend_verdict_t *v = &gate->verdict;
    mtls_judge_t judge = {.server_name = &v->name, .status_of = mtls_ocsp_status, .baton = round};
    mtls_verdict_t verdict;

    round->now = judge.now = v->from = apr_time_now();
    mtls_peer_enter(gate->peer, round->r);
    mtls_peer_evidence(gate->peer, round->r, gate->backend->policy->trust, v->from, &v->evidence);
    mtls_policy_judge(gate->backend->policy, &v->evidence, &judge, &verdict);
    mtls_peer_leave(gate->peer, round->r);
    v->reason = verdict.result.reason;
    v->rule = verdict.result.rule;
    v->hint = verdict.result.hint;
    v->until = verdict.result.valid_until;
}

/* Nobody waits for a status that is only reported. */
static void judge(gate_t *gate, request_rec *r)
{
    mtls_ocsp_round_t round = {.r = r,
                               .peer = gate->peer,
                               .may_wait = gate->backend->mode != MTLS_MODE_REPORT,
                               .waited = &mtls_request_of(r)->backend_waited};

    memset(&gate->verdict, 0, sizeof(gate->verdict));
    gate->verdict.reason = MTLS_INTERNAL_ERROR;
    gate->verdict.generation = mtls_reload_now(); /* before anything is looked at */
    gate->verdict.name = gate->name;
    judge_once(gate, &round);
    if (mtls_ocsp_wait(&round))
        judge_once(gate, &round);
}

static int has_same_certificate(const gate_t *gate)
{
    return SSL_get0_peer_certificate(gate->peer->ssl) == gate->peer->leaf;
}

static int still_holds(const gate_t *gate)
{
    apr_time_t now = apr_time_now();

    return gate->verdict.generation == mtls_reload_now() && gate->verdict.from <= now &&
           now < gate->verdict.until && has_same_certificate(gate);
}

/* Whether a pooled connection is the errand's: made for just this, and by the same server. */
static int is_made_for(const gate_t *gate, const mtls_errand_t *errand)
{
    if (!gate->backend && !errand->backend)
        return 1;
    return !gate->lost && gate->backend == errand->backend && gate->server == errand->r->server &&
           mtls_span_equal(gate->tls_sections, errand->tls_sections) &&
           mtls_span_equal(gate->authority, errand->authority);
}

/* Whether it is still good for it, finding out where that is not known. */
static int is_good(gate_t *gate, request_rec *r)
{
    if (!judges(gate))
        return 1;
    if (!gate->peer)
        return 0; /* there was no handshake */
    if (!still_holds(gate))
        judge(gate, r);
    return gate->verdict.reason == MTLS_OK ||
           (gate->backend->mode == MTLS_MODE_REPORT && gate->verdict.reason != MTLS_INTERNAL_ERROR);
}

/* ---- filters ---- */

/* A handshake is under way: the first one, or a renegotiation, which may bring another certificate
 * and until then shows none. */
static int is_shaking_hands(const gate_t *gate)
{
    return gate->peer && !SSL_is_init_finished(gate->peer->ssl);
}

/* What a renegotiation has brought is judged like the first. */
static int may_pass(gate_t *gate)
{
    if (!gate->open || gate->settled)
        return gate->open;
    if (is_shaking_hands(gate))
        return 0;
    if (!has_same_certificate(gate)) {
        gate->open = gate->r && is_good(gate, gate->r);
        if (gate->r && !mtls_backend_admit(gate->r, gate->backend, &gate->verdict, gate->authority))
            gate->open = 0;
    }
    return gate->open;
}

/* Have mod_ssl make the handshake, and with it our judgement, before a byte of the request is
 * handed to it. */
static apr_status_t shake_hands(ap_filter_t *f)
{
    apr_bucket_brigade *empty = apr_brigade_create(f->c->pool, f->c->bucket_alloc);
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(empty, apr_bucket_flush_create(f->c->bucket_alloc));
    rv = ap_pass_brigade(f->next, empty);
    apr_brigade_destroy(empty);
    return rv;
}

/* mod_proxy answers 502 for an aborted connection, but 500 where mod_ssl notes that the handshake
 * failed, and then takes a balancer's member out of service: what one section refuses another may
 * well allow. */
static apr_status_t refuse(ap_filter_t *f, gate_t *gate, apr_status_t rv)
{
    gate->open = 0;
    if (gate->refused)
        apr_table_unset(f->c->notes, "SSL_connect_rv");
    f->c->aborted = 1;
    return rv == APR_SUCCESS ? APR_ECONNABORTED : rv;
}

static int holds_bytes(const apr_bucket_brigade *bb)
{
    const apr_bucket *e;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
        if (!APR_BUCKET_IS_METADATA(e))
            return 1;
    }
    return 0;
}

static apr_status_t filter_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    gate_t *gate = f->ctx;
    apr_status_t rv = APR_SUCCESS;

    if (may_pass(gate) || !holds_bytes(bb)) /* the end of a connection, too, is said to it */
        return ap_pass_brigade(f->next, bb);
    if (is_shaking_hands(gate))
        rv = shake_hands(f);
    if (rv == APR_SUCCESS && may_pass(gate))
        return ap_pass_brigade(f->next, bb);
    if (rv != APR_SUCCESS && !gate->refused)
        return rv; /* mod_ssl's own affair */
    return refuse(f, gate, rv);
}

/* Between two requests mod_proxy looks whether a pooled connection is alive. One that is not this
 * request's is not: mod_proxy then makes a new one. */
static int is_useless(gate_t *gate)
{
    const mtls_errand_t *errand = mtls_backend_errand();

    return errand && (!is_made_for(gate, errand) || !is_good(gate, errand->r));
}

static __attribute__((noinline)) apr_status_t get_checked(ap_filter_t *f, apr_bucket_brigade *bb,
                                                          ap_input_mode_t mode,
                                                          apr_read_type_e block, apr_off_t bytes)
{
    gate_t *gate = f->ctx;
    apr_status_t rv;

    if (gate->pooled && !gate->open && is_useless(gate))
        return APR_ECONNABORTED;
    rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    /* In the middle of a renegotiation what comes is still the old peer's. */
    if (gate->refused || (gate->open && !is_shaking_hands(gate) && !may_pass(gate))) {
        apr_brigade_cleanup(bb);
        return refuse(f, gate, APR_SUCCESS);
    }
    return rv;
}

/* Called some twenty times for a response: mostly there is nothing to find out. */
static apr_status_t filter_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                              apr_read_type_e block, apr_off_t bytes)
{
    const gate_t *gate = f->ctx;

    if (gate->open && gate->settled)
        return ap_get_brigade(f->next, bb, mode, block, bytes);
    return get_checked(f, bb, mode, block, bytes);
}

void mtls_backend_gate_register(void)
{
    gate_in = ap_register_input_filter("MTLS_BACKEND", filter_in, NULL, FILTER_TYPE);
    gate_out = ap_register_output_filter("MTLS_BACKEND", filter_out, NULL, FILTER_TYPE);
}

/* ---- connections ---- */

/* What a health check's request would say, which nobody shows us. */
static request_rec *make_up_request(conn_rec *c, ap_conf_vector_t *dir_conf)
{
    request_rec *r = apr_pcalloc(c->pool, sizeof(*r));

    r->pool = c->pool;
    r->connection = c;
    r->server = c->base_server;
    r->per_dir_config = dir_conf;
    r->request_config = ap_create_request_config(r->pool);
    r->headers_in = apr_table_make(r->pool, 1);
    r->headers_out = apr_table_make(r->pool, 1);
    r->err_headers_out = apr_table_make(r->pool, 1);
    r->subprocess_env = apr_table_make(r->pool, 1);
    r->notes = apr_table_make(r->pool, 1);
    r->method = "(health check)";
    r->uri = r->unparsed_uri = apr_pstrdup(r->pool, "");
    r->useragent_addr = c->client_addr;
    r->useragent_ip = c->client_ip;
    r->request_time = apr_time_now();
    return r;
}

/* A connection that no request's handler makes is a health check's: it goes where its address says.
 */
static mtls_errand_t check_of(conn_rec *c, ap_conf_vector_t *dir_conf)
{
    request_rec *r = make_up_request(c, dir_conf ? dir_conf : c->base_server->lookup_defaults);
    const char *host = c->client_addr->hostname ? c->client_addr->hostname : c->client_ip;

    return mtls_backend_errand_of(
        r, apr_psprintf(c->pool, strchr(host, ':') ? "https://[%s]:%u/" : "https://%s:%u/", host,
                        (unsigned int)c->client_addr->port));
}

/* Whom the certificate is to name: what the administrator has written, else where we connect to.
 * Never what mod_proxy takes from a client's Host header (ProxyPreserveHost). */
static mtls_span_t name_of(apr_pool_t *p, const mtls_errand_t *errand)
{
    const char *authority = apr_pstrmemdup(p, errand->authority.data, errand->authority.len);
    apr_uri_t uri;

    if (errand->backend->sni)
        return mtls_span_of(errand->backend->sni);
    if (apr_uri_parse(p, apr_pstrcat(p, "https://", authority, "/", NULL), &uri) != APR_SUCCESS ||
        !uri.hostname)
        return mtls_span_of("");
    return mtls_span_of(uri.hostname);
}

/* Without TLS only what needs none may pass; mod_proxy's handlers are not even asked then. */
static void bind_new(conn_rec *c, ap_conf_vector_t *dir_conf, const mtls_errand_t *errand, int tls)
{
    mtls_errand_t made = errand ? *errand : check_of(c, dir_conf);
    int is_judged = made.backend && made.backend->policy;
    gate_t *gate;

    if (!tls && (!is_judged || made.backend->mode == MTLS_MODE_REPORT))
        return;
    gate = apr_pcalloc(c->pool, sizeof(*gate));
    gate->r = made.r;
    gate->backend = made.backend;
    gate->tls_sections = mtls_span_copy(c->pool, made.tls_sections);
    gate->lost = !made.kept;
    gate->server = made.r->server;
    gate->authority = mtls_span_copy(c->pool, made.authority);
    gate->open = gate->settled = !is_judged;
    if (is_judged)
        gate->name = name_of(c->pool, &made);
    ap_add_output_filter_handle(gate_out, gate, NULL, c);
    ap_add_input_filter_handle(gate_in, gate, NULL, c);
}

/* mod_proxy has looked through filter_in() before, so that what is not for this request is not
 * here: but for what is not looked at, nothing passes. */
static void take(gate_t *gate, const mtls_errand_t *errand)
{
    if (!is_made_for(gate, errand)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, errand->r,
                      "mtls_policy: a connection to a backend was made for another policy");
        return;
    }
    gate->open = is_good(gate, errand->r);
    if (judges(gate))
        gate->open &= mtls_backend_admit(errand->r, gate->backend, &gate->verdict, gate->authority);
}

int mtls_backend_bind(conn_rec *c, ap_conf_vector_t *dir_conf, int tls)
{
    const mtls_errand_t *errand = mtls_backend_errand();
    gate_t *gate = gate_of(c);

    if (errand && errand->dir_conf != dir_conf)
        errand = NULL;
    if (!gate) {
        bind_new(c, dir_conf, errand, tls);
        return DECLINED;
    }
    gate->pooled = 1;
    gate->open = 0;
    gate->r = errand ? errand->r : NULL; /* taken, or given back */
    if (errand)
        take(gate, errand);
    return DECLINED;
}

int mtls_backend_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    gate_t *gate = is_proxy ? gate_of(c) : NULL;

    if (!gate)
        return DECLINED;
    if (judges(gate))
        gate->peer = mtls_peer_make_backend(c, ssl);
    if (gate->peer && mtls_policy_asks(&gate->backend->policy->ocsp))
        SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    if (gate->backend && gate->backend->sni)
        apr_table_setn(c->notes, HOSTNAME_NOTE, gate->backend->sni);
    return DECLINED;
}

/* What a backend says of itself counts as far as its CA has signed it. */
static void take_staple(gate_t *gate, SSL *ssl)
{
    unsigned char *response = NULL;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &response);

    if (len > 0 && response)
        mtls_ocsp_offer(gate->peer, mtls_span((const char *)response, (apr_size_t)len));
}

int mtls_backend_post_handshake(conn_rec *c, SSL *ssl)
{
    gate_t *gate = gate_of(c);

    if (!gate || !judges(gate))
        return DECLINED;
    if (gate->peer && gate->r) {
        take_staple(gate, ssl);
        judge(gate, gate->r);
        gate->open = mtls_backend_admit(gate->r, gate->backend, &gate->verdict, gate->authority);
    }
    gate->settled = SSL_version(ssl) == TLS1_3_VERSION; /* which knows no renegotiation */
    gate->refused = !gate->open;
    return gate->open ? DECLINED : HTTP_BAD_GATEWAY;
}
