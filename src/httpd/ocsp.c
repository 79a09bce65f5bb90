/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/ocsp.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <http_log.h>
#include <openssl/err.h>

#include "httpd/cache.h"
#include "httpd/ocsp_directives.h"
#include "httpd/ocsp_process.h"
#include "httpd/site.h"
#include "ocsp/ask.h"
#include "ocsp/lookup.h"
#include "ocsp/offer.h"
#include "ocsp/revocations.h"
#include "policy/limits.h"
#include "policy/value.h"

APLOG_USE_MODULE(mtls_policy);

/* Milliseconds until an ask whose process has died is sent to the next one. */
#define ASK_AGAIN 20

static struct {
    mtls_proofs_t *proofs;
    const mtls_revocations_t *revocations; /* NULL: they are not kept */
    int waiting;                           /* requests of this child; atomic */
    int most_waiting;
} here;

/* A status that is worth waiting for. */
typedef struct wanted_t {
    mtls_span_t ask;  /* encoded: what is asked is the same exactly when this is */
    mtls_span_t sent; /* the same, and what the peer has brought */
    int fd;           /* where the answer comes; -1: it has come, or cannot */
    int failed;       /* it was asked for, and not to be had */
    mtls_answer_t answer;
} wanted_t;

/* ---- what is asked ---- */

static apr_interval_time_t setting(int value, int or)
{
    return apr_time_from_sec(value == MTLS_UNSET ? or : value);
}

static mtls_ocsp_limits_t limits_of(const mtls_ocsp_settings_t *settings)
{
    mtls_ocsp_limits_t limits = {.skew = setting(settings->skew, MTLS_DEFAULT_OCSP_SKEW),
                                 .max_age = setting(settings->max_age, MTLS_DEFAULT_OCSP_MAX_AGE)};

    return limits;
}

static void add_url(apr_array_header_t *urls, const char *url, int configured)
{
    mtls_ask_url_t *added = apr_array_push(urls);

    added->url = url;
    added->configured = configured;
}

/* Those the certificate names, unless its store says otherwise. */
static apr_array_header_t *urls_of(apr_pool_t *p, const mtls_trust_spec_t *spec, X509 *x)
{
    apr_array_header_t *urls = apr_array_make(p, MTLS_ASK_MAX_URLS, sizeof(mtls_ask_url_t)), *named;
    int i;

    if (!spec->responder_overrides) {
        named = mtls_ocsp_urls(p, x);
        for (i = 0; i < named->nelts && i < MTLS_ASK_MAX_URLS; i++)
            add_url(urls, APR_ARRAY_IDX(named, i, const char *), 0);
    }
    if (urls->nelts == 0 && spec->responder)
        add_url(urls, spec->responder, 1);
    return urls;
}

static mtls_span_t der_of(apr_pool_t *p, X509 *x)
{
    unsigned char *data = NULL, *at;
    int len = i2d_X509(x, NULL);

    if (len <= 0)
        return mtls_span(NULL, 0);
    data = at = apr_palloc(p, (apr_size_t)len);
    return i2d_X509(x, &at) == len ? mtls_span((const char *)data, (apr_size_t)len)
                                   : mtls_span(NULL, 0);
}

static mtls_span_t serial_of(apr_pool_t *p, X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    unsigned char *data, *at;
    int len = i2d_ASN1_INTEGER((ASN1_INTEGER *)(apr_uintptr_t)serial, NULL);

    if (len <= 0)
        return mtls_span(NULL, 0);
    data = at = apr_palloc(p, (apr_size_t)len);
    i2d_ASN1_INTEGER((ASN1_INTEGER *)(apr_uintptr_t)serial, &at);
    return mtls_span((const char *)data, (apr_size_t)len);
}

static apr_array_header_t *responders_of(apr_pool_t *p, const STACK_OF(X509) * responders)
{
    int i, n = responders ? sk_X509_num(responders) : 0;
    apr_array_header_t *ders = apr_array_make(p, n > 0 ? n : 1, sizeof(mtls_span_t));

    for (i = 0; i < n; i++)
        APR_ARRAY_PUSH(ders, mtls_span_t) = der_of(p, sk_X509_value(responders, i));
    return ders;
}

/* One certificate of the path. */
typedef struct asked_t {
    X509 *x;
    mtls_ocsp_subject_t subject;
    unsigned char key[MTLS_OCSP_KEY_BYTES];
    apr_array_header_t *urls;
    mtls_span_t offered; /* what the peer has stapled; empty: nothing that nobody knows */
} asked_t;

static mtls_span_t encode(const mtls_ocsp_round_t *round, const asked_t *asked, mtls_span_t offered)
{
    const mtls_ocsp_settings_t *settings = &mtls_server_of(round->r->server)->ocsp;
    apr_pool_t *p = round->r->pool;
    mtls_ask_t ask = {.serial = serial_of(p, asked->x),
                      .issuer = der_of(p, asked->subject.issuer),
                      .responders = responders_of(p, asked->subject.responders),
                      .urls = asked->urls,
                      .offered = offered,
                      .limits = limits_of(settings),
                      .stale = setting(settings->stale, MTLS_DEFAULT_OCSP_STALE),
                      .timeout = setting(settings->timeout, MTLS_DEFAULT_OCSP_TIMEOUT),
                      .nonce = settings->nonce == MTLS_UNSET ? 0 : settings->nonce};

    memcpy(ask.key, asked->key, sizeof(ask.key));
    return mtls_ask_encode(p, &ask);
}

static mtls_span_t encode_ask(const mtls_ocsp_round_t *round, const asked_t *asked)
{
    return encode(round, asked, mtls_span(NULL, 0));
}

/* With what the peer has brought, where all of it fits. */
static mtls_span_t encode_all(const mtls_ocsp_round_t *round, const asked_t *asked)
{
    mtls_span_t all = encode(round, asked, asked->offered);

    return all.len ? all : encode_ask(round, asked);
}

/* ---- one status ---- */

/* What a status is judged by, and what came of it. */
typedef struct judging_t {
    mtls_lookup_terms_t terms;
    mtls_ocsp_record_t record;
    mtls_lookup_t found;
} judging_t;

static const wanted_t *find_wanted(const mtls_ocsp_round_t *round, mtls_span_t ask)
{
    int i;

    for (i = 0; round->wanted && i < round->wanted->nelts; i++) {
        const wanted_t *wanted = &APR_ARRAY_IDX(round->wanted, i, wanted_t);
        if (mtls_span_equal(wanted->ask, ask))
            return wanted;
    }
    return NULL;
}

static void want(mtls_ocsp_round_t *round, const asked_t *asked)
{
    mtls_span_t ask = encode_ask(round, asked);
    wanted_t *wanted;

    if (ask.len == 0)
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, round->r,
                      "mtls_policy: the certificates of this chain and of its responders are too "
                      "large to ask for a status");
    if (ask.len == 0 || find_wanted(round, ask))
        return;
    if (!round->wanted)
        round->wanted = apr_array_make(round->r->pool, 2, sizeof(wanted_t));
    wanted = apr_array_push(round->wanted);
    memset(wanted, 0, sizeof(*wanted));
    wanted->ask = ask;
    wanted->sent = asked->offered.len ? encode_all(round, asked) : ask;
    wanted->fd = -1;
}

/* What a file says of a revocation, `signer` (mtls_revocations_key) having signed it. */
static void look_into_file(mtls_ocsp_round_t *round, const asked_t *asked, int signer,
                           judging_t *judging)
{
    unsigned char key[MTLS_DIGEST_BYTES];

    if (!mtls_revocations_key(round->r->pool, &asked->subject, signer, key))
        return;
    judging->record.revocation = mtls_revocations_get(here.revocations, round->r->pool, key);
    if (judging->record.revocation.len)
        mtls_lookup_judge(here.proofs, &asked->subject, &judging->record, &judging->terms,
                          &judging->found);
}

/* What this server has proved once counts whatever a cache says that has lost it in a restart, did
 * not take it, or is somebody else's to write. */
static void look_up(mtls_ocsp_round_t *round, const asked_t *asked, judging_t *judging)
{
    const STACK_OF(X509) *responders = asked->subject.responders;
    int i, n = responders ? sk_X509_num(responders) : 0;

    mtls_lookup_judge(here.proofs, &asked->subject, &judging->record, &judging->terms,
                      &judging->found);
    for (i = -1; here.revocations && judging->found.status != MTLS_STATUS_REVOKED && i < n; i++)
        look_into_file(round, asked, i, judging);
}

static int record_of(const mtls_ocsp_round_t *round, const asked_t *asked, const wanted_t *wanted,
                     mtls_ocsp_record_t *record)
{
    if (wanted && (wanted->answer.record.response.len || wanted->answer.record.revocation.len)) {
        *record = wanted->answer.record;
        return 1;
    }
    return mtls_cache() && mtls_ocsp_record_get(mtls_cache(), round->r->pool, asked->key, record);
}

static void tell_of_no_use(const mtls_ocsp_round_t *round, const asked_t *asked,
                           const char *refusal)
{
    round->peer->staple_told = 1;
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, round->r,
        "mtls_policy: the OCSP response stapled to the certificate with SHA-1 %s is of no "
        "use: %s",
        mtls_value_hex(round->r->pool, asked->key, sizeof(asked->key)), refusal);
}

/* What the peer has brought counts beside what is known. Only what then is news stays in `asked`,
 * for the process that keeps statuses. */
static void take_offered(const mtls_ocsp_round_t *round, asked_t *asked, judging_t *judging)
{
    mtls_offer_terms_t terms = {.now = judging->terms.now,
                                .limits = judging->terms.limits,
                                .need_nonce = mtls_server_of(round->r->server)->ocsp.nonce == 2};
    mtls_span_t offered = asked->offered;
    mtls_ocsp_proof_t proof;

    asked->offered = mtls_span(NULL, 0);
    if (!offered.len)
        return;
    if (mtls_offer_add(here.proofs, &asked->subject, offered, &terms, &judging->record))
        asked->offered = offered;
    else if (!round->peer->staple_told &&
             !mtls_offer_counts(here.proofs, &asked->subject, offered, &terms, &proof))
        tell_of_no_use(round, asked, mtls_offer_refusal(&asked->subject, offered, &terms));
}

/* Whether there is anything that could be asked: a responder, or a folder of responses. */
static int can_be_asked(const asked_t *asked)
{
    return asked->urls->nelts > 0 || mtls_site()->ocsp.responses;
}

/* Where there is a folder a file may still come. */
static int has_no_responder(const asked_t *asked, const wanted_t *wanted)
{
    if (asked->urls->nelts == 0)
        return !mtls_site()->ocsp.responses;
    return wanted && wanted->answer.kind == MTLS_ANSWER_NO_RESPONDER;
}

/* What only a cache knows that others share would be forgotten with it. */
static int is_kept(mtls_ocsp_round_t *round, const asked_t *asked)
{
    const STACK_OF(X509) *responders = asked->subject.responders;
    int i, n = responders ? sk_X509_num(responders) : 0, kept = !here.revocations;
    unsigned char key[MTLS_DIGEST_BYTES];

    for (i = -1; !kept && i < n; i++)
        kept = mtls_revocations_key(round->r->pool, &asked->subject, i, key) &&
               mtls_revocations_get(here.revocations, round->r->pool, key).len > 0;
    return kept;
}

/* Whether the process has to be told, though nobody waits for it. */
static int is_to_be_sent(mtls_ocsp_round_t *round, const asked_t *asked, const mtls_lookup_t *found,
                         const wanted_t *wanted)
{
    if (!wanted && (asked->offered.len || (found->due != MTLS_DUE_NOT && can_be_asked(asked))))
        return 1;
    return found->status == MTLS_STATUS_REVOKED && !is_kept(round, asked);
}

static mtls_status_t judge_one(mtls_ocsp_round_t *round, asked_t *asked, apr_time_t *valid_until)
{
    const mtls_ocsp_settings_t *settings = &mtls_server_of(round->r->server)->ocsp;
    const wanted_t *wanted = round->asked ? find_wanted(round, encode_ask(round, asked)) : NULL;
    int askable = can_be_asked(asked), tried = round->asked || !askable;
    judging_t judging = {.terms = {.now = round->now,
                                   .limits = limits_of(settings),
                                   .recheck_from = mtls_ocsp_process_recheck_from(),
                                   .asked = tried}};
    mtls_lookup_t *found = &judging.found;

    /* One past its end only serves where nobody can be reached, not where nobody has tried. */
    if (!askable || (wanted && wanted->failed))
        judging.terms.stale = setting(settings->stale, MTLS_DEFAULT_OCSP_STALE);
    if (!record_of(round, asked, wanted, &judging.record))
        memset(&judging.record, 0, sizeof(judging.record));
    take_offered(round, asked, &judging);
    look_up(round, asked, &judging);
    if (found->due == MTLS_DUE_WAIT && !tried && round->may_wait) {
        want(round, asked);
        found->valid_until = round->now; /* the next request looks, and waits, itself */
    } else if (is_to_be_sent(round, asked, found, wanted)) {
        mtls_ocsp_process_send(encode_all(round, asked), -1, 0);
    }
    if (found->valid_until < *valid_until)
        *valid_until = found->valid_until;
    if (found->status == MTLS_STATUS_UNAVAILABLE && has_no_responder(asked, wanted))
        return MTLS_STATUS_NO_RESPONDER;
    return found->status;
}

/* ---- the status of a chain ---- */

/* The worst of several, and of two that are no better the first: the leaf's. */
static int badness(mtls_status_t status)
{
    switch (status) {
    case MTLS_STATUS_GOOD:
        return 0;
    case MTLS_STATUS_UNKNOWN:
    case MTLS_STATUS_NO_RESPONDER:
        return 1;
    case MTLS_STATUS_REVOKED:
        return 3;
    default:
        return 2;
    }
}

/* `worst` gets whose status it is: 0 is the leaf. */
static mtls_status_t judge_path(mtls_ocsp_round_t *round, const mtls_peer_path_t *path, int chain,
                                apr_time_t *valid_until, int *worst)
{
    int i, last = chain ? sk_X509_num(path->certificates) - 1 : 1;
    mtls_status_t status = MTLS_STATUS_UNAVAILABLE, one;

    if (sk_X509_num(path->certificates) < 2)
        return status; /* an anchor has nobody to speak for it */
    for (i = 0; i < last; i++) {
        asked_t asked = {.x = sk_X509_value(path->certificates, i)};
        asked.subject.serial = X509_get0_serialNumber(asked.x);
        asked.subject.issuer = sk_X509_value(path->certificates, i + 1);
        asked.subject.responders = path->responders;
        if (i == 0)
            asked.offered = round->peer->staple;
        asked.urls = urls_of(round->r->pool, path->spec, asked.x);
        if (X509_digest(asked.x, EVP_sha1(), asked.key, NULL) != 1)
            return MTLS_STATUS_UNAVAILABLE;
        one = judge_one(round, &asked, valid_until);
        if (i == 0 || badness(one) > badness(status)) {
            status = one;
            *worst = i;
        }
    }
    return status;
}

mtls_status_t mtls_ocsp_status(void *round_, const mtls_evidence_t *evidence, int chain,
                               apr_time_t *valid_until, const char **hint)
{
    static const char *const above[] = {NULL, "it is the issuer's status",
                                        "it is the status of a CA above the issuer"};
    mtls_ocsp_round_t *round = round_;
    mtls_status_t status = MTLS_STATUS_UNAVAILABLE;
    mtls_peer_path_t path;
    int worst = 0;

    *valid_until = MTLS_FOREVER;
    if (evidence->chain && evidence->chain->exempt)
        return MTLS_STATUS_EXEMPT;
    if (!round->peer || !here.proofs || !mtls_peer_path(round->peer, evidence, &path)) {
        *valid_until = round->now;
        return status;
    }
    status = judge_path(round, &path, chain, valid_until, &worst);
    *hint = above[worst < 2 ? worst : 2];
    mtls_peer_path_done(&path);
    ERR_clear_error();
    return status;
}

void mtls_ocsp_offer(mtls_peer_t *peer, mtls_span_t response)
{
    /* Of one that is too large enough is kept to say so. */
    if (response.len > MTLS_MAX_OCSP_BYTES)
        response.len = MTLS_MAX_OCSP_BYTES + 1;
    if (mtls_span_equal(response, peer->staple))
        return;
    peer->staple = mtls_span_copy(peer->p, response);
    peer->staple_told = 0;
}

/* ---- waiting ---- */

/* Milliseconds of a clock nobody sets. */
static apr_int64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (apr_int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int left(apr_int64_t deadline)
{
    apr_int64_t ms = deadline - monotonic();

    return ms > 0 ? (int)ms : 0;
}

static void send_wanted(wanted_t *wanted, apr_int64_t deadline)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return;
    if (mtls_ocsp_process_send(wanted->sent, fds[1], left(deadline)))
        wanted->fd = fds[0];
    else
        close(fds[0]);
    close(fds[1]);
}

static void stop_waiting_for(wanted_t *wanted)
{
    if (wanted->fd >= 0)
        close(wanted->fd);
    wanted->fd = -1;
}

/* The answer; 0: the end of whoever was to give it. */
static int receive(mtls_ocsp_round_t *round, wanted_t *wanted)
{
    ssize_t n = recv(wanted->fd, NULL, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
    char *bytes =
        n > 0 && n <= MTLS_ASK_MAX_BYTES ? apr_palloc(round->r->pool, (apr_size_t)n) : NULL;

    if (bytes && recv(wanted->fd, bytes, (size_t)n, MSG_DONTWAIT) == n &&
        !mtls_answer_decode(mtls_span(bytes, (apr_size_t)n), &wanted->answer))
        memset(&wanted->answer, 0, sizeof(wanted->answer));
    wanted->failed = bytes && wanted->answer.kind != MTLS_ANSWER_STATUS &&
                     wanted->answer.kind != MTLS_ANSWER_BUSY;
    stop_waiting_for(wanted);
    return n != 0;
}

static wanted_t *first_open(const mtls_ocsp_round_t *round)
{
    int i;

    for (i = 0; i < round->wanted->nelts; i++) {
        wanted_t *wanted = &APR_ARRAY_IDX(round->wanted, i, wanted_t);
        if (wanted->fd >= 0)
            return wanted;
    }
    return NULL;
}

static void ask_and_wait(mtls_ocsp_round_t *round, apr_interval_time_t most)
{
    apr_int64_t deadline = monotonic() + apr_time_as_msec(most);
    wanted_t *wanted;
    int i, ms;

    for (i = 0; i < round->wanted->nelts; i++)
        send_wanted(&APR_ARRAY_IDX(round->wanted, i, wanted_t), deadline);
    /* All are under way, so one after the other will do. */
    while ((wanted = first_open(round)) != NULL) {
        struct pollfd answered = {.fd = wanted->fd, .events = POLLIN};
        ms = left(deadline);
        if (poll(&answered, 1, ms) == 1) {
            if (!receive(round, wanted) && left(deadline) > ASK_AGAIN) {
                poll(NULL, 0, ASK_AGAIN); /* a restart: another process is on its way */
                send_wanted(wanted, deadline);
            }
        } else if (ms == 0) {
            wanted->failed = 1;
            stop_waiting_for(wanted);
        }
    }
}

static void ask_without_waiting(const mtls_ocsp_round_t *round)
{
    int i;

    for (i = 0; i < round->wanted->nelts; i++)
        mtls_ocsp_process_send(APR_ARRAY_IDX(round->wanted, i, wanted_t).sent, -1, 0);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, round->r,
                  "mtls_policy: %d requests wait for OCSP statuses already: this one does not",
                  here.most_waiting);
}

/* As long as a request may wait: another connection to the backend, or another member of a
 * balancer, gives it no time anew. */
static apr_interval_time_t time_left(const mtls_ocsp_round_t *round)
{
    apr_interval_time_t most =
        setting(mtls_server_of(round->r->server)->ocsp.wait, MTLS_DEFAULT_OCSP_WAIT);

    if (!round->waited)
        return most;
    return *round->waited < most ? most - *round->waited : 0;
}

int mtls_ocsp_wait(mtls_ocsp_round_t *round)
{
    apr_interval_time_t most;
    apr_int64_t begun = monotonic();

    if (!round->wanted || round->asked)
        return 0;
    round->asked = 1;
    most = time_left(round);
    if (__atomic_add_fetch(&here.waiting, 1, __ATOMIC_ACQ_REL) <= here.most_waiting)
        ask_and_wait(round, most);
    else
        ask_without_waiting(round);
    __atomic_sub_fetch(&here.waiting, 1, __ATOMIC_ACQ_REL);
    if (round->waited)
        *round->waited += apr_time_from_msec(monotonic() - begun);
    return 1;
}

void mtls_ocsp_child(apr_pool_t *pchild, server_rec *s)
{
    int threads = 1;

    memset(&here, 0, sizeof(here));
    if (!mtls_site()->asks_status)
        return;
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    here.most_waiting = threads / 4 > 0 ? threads / 4 : 1;
    if (mtls_ocsp_process_revocations())
        here.revocations = mtls_revocations_reader(pchild, mtls_ocsp_process_revocations());
    here.proofs = mtls_proofs_make(pchild, mtls_ocsp_process_proofs());
    if (!here.proofs)
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "mtls_policy: out of memory: this child knows no OCSP status");
}
