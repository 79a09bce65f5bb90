/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/fetch against responders on sockets: what is sent, what is taken for a response, who is
 * contacted, and that nothing outlives its deadline. Names are looked up, and addresses outside of
 * this machine connected to, by functions of this file. */

#include "suite.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "certificates.h"
#include "ocsp/fetch.h"
#include "policy/limits.h"
#include "responder.h"

/* Where a fault would make it hang, and where it must have ended, however slow the machine is. */
#define FOR_EVER apr_time_from_sec(120)
#define SOON     apr_time_from_sec(60)
#define SHORT    apr_time_from_msec(600)
#define LONGER   apr_time_from_sec(4) /* enough for a first exchange */

#define EXPORTED __attribute__((visibility("default")))

/* ---- the system, as libcurl sees it ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int look_ups, hanging, may_hang, term_reaches_look_up;
static const char *ca_file;

typedef int (*getaddrinfo_fn)(const char *, const char *, const struct addrinfo *,
                              struct addrinfo **);
typedef int (*connect_fn)(int, const struct sockaddr *, socklen_t);
typedef CURL *(*duphandle_fn)(CURL *);

/* NAME.test: what a name stands for in these tests. 198.51.100.x is this machine, by connect(). */
static const char *addresses_of(const char *name)
{
    static const char *const known[][2] = {
        {"inside.test", "127.0.0.1"},
        {"metadata.test", "169.254.169.254"},
        {"outside.test", "198.51.100.1"},
        {"both.test", "127.0.0.1 198.51.100.1"},
        {"many.test", "127.0.0.1 127.0.0.2 0.0.0.0 169.254.169.254"},
    };
    size_t i;

    for (i = 0; i < ROWS(known); i++) {
        if (strncasecmp(name, known[i][0], strlen(known[i][0])) == 0)
            return known[i][1];
    }
    return NULL;
}

static void hang(void)
{
    pthread_mutex_lock(&lock);
    hanging++;
    pthread_cond_broadcast(&changed);
    while (may_hang)
        pthread_cond_wait(&changed, &lock);
    hanging--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void count_look_up(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pthread_mutex_lock(&lock);
    look_ups++;
    term_reaches_look_up |= !sigismember(&mask, SIGTERM);
    pthread_mutex_unlock(&lock);
}

EXPORTED int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                         struct addrinfo **found)
{
    const getaddrinfo_fn real = (getaddrinfo_fn)dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo only = *hints, **end = found;
    char text[100], *rest = text, *one;
    const char *known = addresses_of(name);

    count_look_up();
    *found = NULL;
    if (strcmp(name, "hangs.test") == 0)
        hang();
    if (!known)
        return EAI_NONAME;
    only.ai_flags = AI_NUMERICHOST;
    snprintf(text, sizeof(text), "%s", known);
    while ((one = strtok_r(rest, " ", &rest)) != NULL) {
        if (real(one, service, &only, end) != 0)
            return EAI_NONAME;
        while (*end)
            end = &(*end)->ai_next;
    }
    return 0;
}

EXPORTED int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    const connect_fn real = (connect_fn)dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in in;

    if (to->sa_family == AF_INET) {
        memcpy(&in, to, sizeof(in));
        if (ntohl(in.sin_addr.s_addr) >> 8 == 0xC63364) {
            in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return real(fd, (const struct sockaddr *)&in, sizeof(in));
        }
    }
    return real(fd, to, len);
}

/* The system's roots, for a test: what curl_easy_duphandle() gives has them. */
EXPORTED CURL *curl_easy_duphandle(CURL *model)
{
    const duphandle_fn real = (duphandle_fn)dlsym(RTLD_NEXT, "curl_easy_duphandle");
    CURL *easy = real(model);

    if (ca_file)
        assert_int_equal(curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file), CURLE_OK);
    return easy;
}

static void hang_look_ups(void)
{
    pthread_mutex_lock(&lock);
    may_hang = 1;
    pthread_mutex_unlock(&lock);
}

/* Threads that were left behind come to their end. */
static void release_look_ups(void)
{
    pthread_mutex_lock(&lock);
    may_hang = 0;
    pthread_cond_broadcast(&changed);
    while (hanging > 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- a fetch ---- */

typedef struct asked_t {
    mtls_fetch_t fetch;
    int calls;
    mtls_fetch_outcome_t outcome;
    mtls_span_t body;
    const char *error;
    mtls_fetcher_t *then_by; /* start `then` when done */
    struct asked_t *then;
} asked_t;

static apr_int64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}

static void on_done(void *baton, mtls_fetch_outcome_t outcome, mtls_span_t body, const char *error)
{
    asked_t *asked = baton;

    asked->calls++;
    asked->outcome = outcome;
    asked->body = mtls_span_copy(pool, body);
    asked->error = error ? apr_pstrdup(pool, error) : NULL;
    if (asked->then)
        mtls_fetcher_start(asked->then_by, &asked->then->fetch);
}

static asked_t *ask_for(const char *url, int configured, apr_interval_time_t most)
{
    static const char request[] = "0\x03\x00\x01\xff>?~\xfb"; /* base64: MAMAAf8+P377 */
    asked_t *asked = apr_pcalloc(pool, sizeof(*asked));

    asked->fetch.url = url;
    asked->fetch.configured = configured;
    asked->fetch.request = mtls_span(request, sizeof(request) - 1);
    asked->fetch.deadline = apr_time_now() + most;
    asked->fetch.done = on_done;
    asked->fetch.baton = asked;
    return asked;
}

static mtls_fetch_rules_t rules;

static mtls_fetcher_t *make_in(apr_pool_t *p)
{
    mtls_fetcher_t *f = mtls_fetcher_make(p, &rules);

    assert_non_null(f);
    return f;
}

static mtls_fetcher_t *make(void)
{
    return make_in(pool);
}

static apr_pool_t *pool_make(void)
{
    apr_pool_t *p = NULL;

    assert_int_equal(apr_pool_create(&p, pool), APR_SUCCESS);
    return p;
}

static void settle(mtls_fetcher_t *f)
{
    const apr_int64_t until = clock_now() + SOON;

    while (mtls_fetcher_count(f) > 0 && clock_now() < until)
        mtls_fetcher_run(f, -1, apr_time_from_sec(1));
    assert_int_equal(mtls_fetcher_count(f), 0);
}

static void expect(const asked_t *asked, mtls_fetch_outcome_t outcome, const char *words)
{
    assert_int_equal(asked->calls, 1);
    assert_message(asked->error, words);
    assert_int_equal(asked->outcome, outcome);
    if (outcome != MTLS_FETCH_DONE)
        assert_int_equal(asked->body.len, 0);
    if (words && !strstr(asked->error, asked->fetch.url))
        fail_msg("does not name the URL: %s", asked->error);
}

static asked_t *fetch_from(const char *url)
{
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(url, 1, FOR_EVER);

    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    return asked;
}

#define OK   "HTTP/1.1 200 OK\r\n"
#define TYPE "Content-Type: application/ocsp-response\r\n"
#define GOOD OK TYPE "Content-Length: 5\r\n\r\n0\x03\x0a\x01\x06"
#define BODY "0\x03\x0a\x01\x06"

static responder_t *responder(manner_t manner, const char *answer)
{
    responder_t *r = apr_pcalloc(pool, sizeof(*r));

    r->manner = manner;
    r->answer = mtls_span_of(answer);
    responder_start(r);
    return r;
}

static const char *at(const responder_t *r, const char *host, const char *path)
{
    return apr_psprintf(pool, "http://%s:%d%s", host, r->port, path);
}

/* ---- what is sent ---- */

static void has_field(const request_t *asked, const char *field, int expected)
{
    const char *line = apr_psprintf(pool, "\r\n%s", field);

    if ((strcasestr(asked->head.data, line) != NULL) != expected)
        fail_msg("%s: %s", field, asked->head.data);
}

static void expect_get(const request_t *asked, const char *path)
{
    const char *line = apr_psprintf(pool, "GET %s HTTP/1.1\r\n", path);

    if (!mtls_span_starts(asked->head, mtls_span_of(line)))
        fail_msg("expected %s, got %s", line, asked->head.data);
    assert_int_equal(asked->body.len, 0);
}

static void test_get(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    asked_t *asked = fetch_from(at(r, "127.0.0.1", "/a/../b"));

    (void)state;
    expect(asked, MTLS_FETCH_DONE, NULL);
    assert_span_text(asked->body, BODY);
    assert_int_equal(r->requests, 1);
    expect_get(&r->asked[0], "/a/../b/MAMAAf8%2BP377");
    has_field(&r->asked[0], apr_psprintf(pool, "Host: 127.0.0.1:%d\r\n", r->port), 1);
    has_field(&r->asked[0], "Connection: close\r\n", 1);
    has_field(&r->asked[0], "Accept-Encoding:", 0);
    has_field(&r->asked[0], "Authorization:", 0);
    has_field(&r->asked[0], "Cookie:", 0);
    has_field(&r->asked[0], "Expect:", 0);
    has_field(&r->asked[0], "Upgrade:", 0);
    responder_stop(r);
}

static void test_get_encodes_what_a_path_may_not_hold(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(at(r, "127.0.0.1", "/"), 1, FOR_EVER);

    (void)state;
    asked->fetch.request = mtls_span("\xff\xff\xfe\xfb\xff", 5);
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_DONE, NULL);
    expect_get(&r->asked[0], "/%2F%2F%2F%2B%2B%2F8%3D");
    responder_stop(r);
}

typedef struct path_t {
    const char *name, *path, *target;
} path_t;

static const path_t paths[] = {
    {"get: no path", "", "/MAMAAf8%2BP377"},
    {"get: a path of nothing", "/", "/MAMAAf8%2BP377"},
    {"get: a path", "/ocsp", "/ocsp/MAMAAf8%2BP377"},
    {"get: a path that ends in a slash", "/ocsp/", "/ocsp/MAMAAf8%2BP377"},
    {"get: two slashes stay", "/ocsp//", "/ocsp//MAMAAf8%2BP377"},
    {"get: encoded bytes stay", "/%2e%2E/%41", "/%2e%2E/%41/MAMAAf8%2BP377"},
    {"get: marks stay", "/a;b=c,d", "/a;b=c,d/MAMAAf8%2BP377"},
};

static void test_path(void **state)
{
    const path_t *row = *state;
    responder_t *r = responder(SAYS, GOOD);

    expect(fetch_from(at(r, "127.0.0.1", row->path)), MTLS_FETCH_DONE, NULL);
    expect_get(&r->asked[0], row->target);
    responder_stop(r);
}

static void test_post(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    char request[3000];
    asked_t *asked = ask_for(at(r, "127.0.0.1", "/p/"), 1, FOR_EVER);

    (void)state;
    memset(request, '\0', sizeof(request));
    request[2999] = '\xff';
    asked->fetch.request = mtls_span(request, sizeof(request));
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_DONE, NULL);
    assert_span_text(asked->body, BODY);
    assert_int_equal(r->requests, 1);
    assert_true(mtls_span_starts(r->asked[0].head, mtls_span_of("POST /p/ HTTP/1.1\r\n")));
    assert_span_equal(r->asked[0].body, asked->fetch.request);
    has_field(&r->asked[0], "Content-Type: application/ocsp-request\r\n", 1);
    has_field(&r->asked[0], "Content-Length: 3000\r\n", 1);
    has_field(&r->asked[0], "Transfer-Encoding:", 0);
    has_field(&r->asked[0], "Expect:", 0);
    has_field(&r->asked[0], "Connection: close\r\n", 1);
    responder_stop(r);
}

static void test_post_where_the_url_has_a_query(void **state)
{
    responder_t *r = responder(SAYS, GOOD);

    (void)state;
    expect(fetch_from(at(r, "127.0.0.1", "/p?q=1")), MTLS_FETCH_DONE, NULL);
    assert_true(mtls_span_starts(r->asked[0].head, mtls_span_of("POST /p?q=1 HTTP/1.1\r\n")));
    assert_int_equal(r->asked[0].body.len, 9);
    responder_stop(r);
}

/* 255 bytes with GET, one more with POST. The request is encoded in 14 bytes. */
static void test_get_of_at_most_255_bytes(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    const size_t head = strlen(r->url) + 1;
    char path[256];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[255 - head - 1 - 14 + 1] = '\0';
    expect(fetch_from(apr_pstrcat(pool, r->url, path, NULL)), MTLS_FETCH_DONE, NULL);
    assert_true(mtls_span_starts(r->asked[0].head, mtls_span_of("GET ")));
    expect(fetch_from(apr_pstrcat(pool, r->url, path, "x", NULL)), MTLS_FETCH_DONE, NULL);
    assert_true(mtls_span_starts(r->asked[1].head, mtls_span_of("POST ")));
    expect(fetch_from(apr_pstrcat(pool, r->url, path, "/", NULL)), MTLS_FETCH_DONE, NULL);
    assert_true(mtls_span_starts(r->asked[2].head, mtls_span_of("GET ")));
    responder_stop(r);
}

/* ---- what is taken for a response ---- */

typedef struct answer_t {
    const char *name, *answer;
    const char *body;  /* NULL: none is taken */
    const char *words; /* of the error */
} answer_t;

static const answer_t answers[] = {
    {"answer: good", GOOD, BODY, NULL},
    {"answer: ended by closing", OK TYPE "\r\n" BODY, BODY, NULL},
    {"answer: chunked",
     OK TYPE "Transfer-Encoding: chunked\r\n\r\n2\r\n0\x03\r\n3;x=y\r\n\x0a\x01\x06\r\n0\r\n\r\n",
     BODY, NULL},
    {"answer: chunked, trailers",
     OK TYPE "Transfer-Encoding: Chunked\r\n\r\n5\r\n" BODY "\r\n0\r\nX: y\r\n\r\n", BODY, NULL},
    {"answer: HTTP/1.0", "HTTP/1.0 200 OK\r\n" TYPE "\r\n" BODY, BODY, NULL},
    {"answer: type with parameters and capitals",
     OK "content-TYPE: Application/OCSP-Response; charset=x\r\n\r\n" BODY, BODY, NULL},
    {"answer: after 100", "HTTP/1.1 100 Continue\r\n\r\n" GOOD, BODY, NULL},
    {"answer: after 103", "HTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\n\r\n" GOOD, BODY,
     NULL},
    {"answer: identity", OK TYPE "Content-Encoding: identity\r\n\r\n" BODY, BODY, NULL},
    {"answer: cookies are not our business", OK TYPE "Set-Cookie: a=b\r\n\r\n" BODY, BODY, NULL},
    {"answer: longer than it says", OK TYPE "Content-Length: 5\r\n\r\n" BODY "more", BODY, NULL},

    {"answer: shorter than it says", OK TYPE "Content-Length: 6\r\n\r\n" BODY, NULL, "closed"},
    {"answer: no length", OK TYPE "Content-Length: -1\r\n\r\n" BODY, NULL, "Content-Length"},
    {"answer: a length of 1 GB", OK TYPE "Content-Length: 1073741824\r\n\r\n" BODY, NULL,
     "more than 65536 bytes"},
    {"answer: cut off in a chunk", OK TYPE "Transfer-Encoding: chunked\r\n\r\n5\r\n0\x03", NULL,
     "closed"},
    {"answer: cut off between chunks",
     OK TYPE "Transfer-Encoding: chunked\r\n\r\n5\r\n" BODY "\r\n", NULL, "closed"},
    {"answer: no chunk", OK TYPE "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", NULL, "chunk"},
    {"answer: cut off in the head", "HTTP/1.1 200 OK\r\nContent-Ty", NULL, ""},
    {"answer: nothing", "", NULL, "Empty reply"},
    {"answer: empty", OK TYPE "Content-Length: 0\r\n\r\n", NULL, "empty"},
    {"answer: empty until closing", OK TYPE "\r\n", NULL, "empty"},
    {"answer: HTML", OK "Content-Type: text/html\r\n\r\n<html>", NULL,
     "Content-Type \"text/html\""},
    {"answer: a longer type", OK "Content-Type: application/ocsp-responses\r\n\r\n" BODY, NULL,
     "Content-Type \"application/ocsp-responses\""},
    {"answer: a type that is not printable", OK "Content-Type: \x1b[31m\xff\r\n\r\n" BODY, NULL,
     "Content-Type \"?[31m?\""},
    {"answer: no type", OK "\r\n" BODY, NULL, "no Content-Type"},
    {"answer: only the trailer has a type",
     OK "Transfer-Encoding: chunked\r\n\r\n5\r\n" BODY "\r\n0\r\n" TYPE "\r\n", NULL,
     "no Content-Type"},
    {"answer: 201", "HTTP/1.1 201 Created\r\n" TYPE "\r\n" BODY, NULL, "HTTP status 201"},
    {"answer: 204", "HTTP/1.1 204 No Content\r\n" TYPE "\r\n", NULL, "HTTP status 204"},
    {"answer: 206", "HTTP/1.1 206 Partial Content\r\n" TYPE "\r\n" BODY, NULL, "HTTP status 206"},
    {"answer: 304", "HTTP/1.1 304 Not Modified\r\n" TYPE "\r\n", NULL, "HTTP status 304"},
    {"answer: 401",
     "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n" TYPE "\r\n" BODY, NULL,
     "HTTP status 401"},
    {"answer: 404", "HTTP/1.1 404 Not Found\r\n" TYPE "\r\n" BODY, NULL, "HTTP status 404"},
    {"answer: 500", "HTTP/1.1 500 Internal Server Error\r\n" TYPE "\r\n" BODY, NULL,
     "HTTP status 500"},
    {"answer: 503", "HTTP/1.1 503 Service Unavailable\r\n" TYPE "\r\n" BODY, NULL,
     "HTTP status 503"},
    {"answer: 999", "HTTP/1.1 999 Ha\r\n" TYPE "\r\n" BODY, NULL, "HTTP status 999"},
    {"answer: 100 and nothing", "HTTP/1.1 100 Continue\r\n\r\n", NULL, ""},
    {"answer: 101",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", NULL, ""},
    {"answer: gzip", OK TYPE "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08", NULL,
     "Content-Encoding"},
    {"answer: transferred as gzip",
     OK TYPE "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\n\x1f\x8b\x08\r\n0\r\n\r\n", NULL,
     "Transfer-Encoding"},
    {"answer: HTTP/0.9", BODY, NULL, "HTTP/0.9"},
    {"answer: HTTP/2 in HTTP/1", "HTTP/2 200 OK\r\n" TYPE "\r\n" BODY, NULL, ""},
    {"answer: HTTP/9", "HTTP/9.9 200 OK\r\n" TYPE "\r\n" BODY, NULL, ""},
    {"answer: another protocol", "220 ready\r\n", NULL, "HTTP/0.9"},
};

static void test_answer(void **state)
{
    const answer_t *row = *state;
    responder_t *r = responder(SAYS, row->answer);
    asked_t *asked = fetch_from(r->url);

    expect(asked, row->body ? MTLS_FETCH_DONE : MTLS_FETCH_FAILED, row->words);
    if (row->body)
        assert_span_text(asked->body, row->body);
    responder_stop(r);
}

/* Bytes after an answer has ended, or before it has begun, never end. */
static void test_end(const char *answer, const char *again, const char *words)
{
    responder_t *r = apr_pcalloc(pool, sizeof(*r));

    r->manner = REPEATS;
    r->answer = mtls_span_of(answer);
    r->again = mtls_span_of(again);
    responder_start(r);
    expect(fetch_from(r->url), MTLS_FETCH_FAILED, words);
    responder_stop(r);
    assert_in_range(r->sent, 1, 64 * 1024 * 1024); /* what sockets buffer at most */
}

static char *many(char c, size_t n)
{
    char *text = apr_palloc(pool, n + 1);

    memset(text, c, n);
    text[n] = '\0';
    return text;
}

static void test_body_without_end(void **state)
{
    (void)state;
    test_end(OK TYPE "\r\n", many('x', 8192), "more than 65536 bytes");
}

static void test_chunks_without_end(void **state)
{
    (void)state;
    test_end(OK TYPE "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "more than 65536 bytes");
}

static void test_page_without_end(void **state)
{
    (void)state;
    test_end(OK "Content-Type: text/html\r\n\r\n", many('x', 8192), "Content-Type");
}

static void test_fields_without_end(void **state)
{
    (void)state;
    test_end(OK TYPE, "X-Field: y\r\n", "header fields");
}

static void test_line_without_end(void **state)
{
    (void)state;
    test_end(OK TYPE "X-Field: ", many('x', 8192), "header field");
}

static void test_interim_answers_without_end(void **state)
{
    (void)state;
    test_end("", "HTTP/1.1 100 Continue\r\n\r\n", "header fields");
}

static void test_trailers_without_end(void **state)
{
    (void)state;
    test_end(OK TYPE "Transfer-Encoding: chunked\r\n\r\n5\r\n" BODY "\r\n0\r\n", "X: y\r\n",
             "header fields");
}

/* To the byte. */
static void test_largest_body(void **state)
{
    const char *const head = OK TYPE "\r\n";
    char *body = many('x', MTLS_MAX_OCSP_BYTES);
    responder_t *r = responder(SAYS, apr_pstrcat(pool, head, body, NULL));
    asked_t *asked = fetch_from(r->url);

    (void)state;
    expect(asked, MTLS_FETCH_DONE, NULL);
    assert_span_text(asked->body, body);
    responder_stop(r);
    r = responder(SAYS, apr_pstrcat(pool, head, body, "x", NULL));
    expect(fetch_from(r->url), MTLS_FETCH_FAILED, "more than 65536 bytes");
    responder_stop(r);
}

static void test_largest_head(void **state)
{
    const size_t room = MTLS_MAX_OCSP_HEADER_BYTES - strlen(OK TYPE "X: \r\n\r\n");
    responder_t *r =
        responder(SAYS, apr_pstrcat(pool, OK TYPE "X: ", many('x', room), "\r\n\r\n" BODY, NULL));

    (void)state;
    expect(fetch_from(r->url), MTLS_FETCH_DONE, NULL);
    responder_stop(r);
    r = responder(SAYS,
                  apr_pstrcat(pool, OK TYPE "X: ", many('x', room + 1), "\r\n\r\n" BODY, NULL));
    expect(fetch_from(r->url), MTLS_FETCH_FAILED, "header fields");
    responder_stop(r);
}

static void test_redirect_is_not_followed(void **state)
{
    responder_t *other = responder(SAYS, GOOD);
    responder_t *r = responder(SAYS, apr_psprintf(pool,
                                                  "HTTP/1.1 302 Found\r\nLocation: %s/\r\n" TYPE
                                                  "Content-Length: 5\r\n\r\n" BODY,
                                                  other->url));

    (void)state;
    expect(fetch_from(r->url), MTLS_FETCH_FAILED, "HTTP status 302");
    assert_int_equal(responder_connections(other), 0);
    expect(fetch_from(other->url), MTLS_FETCH_DONE, NULL);
    responder_stop(r);
    responder_stop(other);
}

static void test_refused(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* has a port, and does not listen */

    (void)state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    expect(fetch_from(apr_psprintf(pool, "http://127.0.0.1:%d", ntohs(in.sin_port))),
           MTLS_FETCH_FAILED, "connect");
    close(fd);
}

static void test_no_such_name(void **state)
{
    (void)state;
    expect(fetch_from("http://nobody.test/"), MTLS_FETCH_FAILED, "resolve");
}

/* ---- methods ---- */

static const char *methods(const responder_t *r)
{
    char *text = apr_pcalloc(pool, MAX_CONNECTIONS + 1);
    int i;

    for (i = 0; i < r->requests; i++)
        text[i] = r->asked[i].head.data[0];
    return text;
}

static void fetch_again(mtls_fetcher_t *f, const char *url, mtls_fetch_outcome_t outcome)
{
    asked_t *asked = ask_for(url, 1, FOR_EVER);

    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, outcome, outcome == MTLS_FETCH_DONE ? NULL : "HTTP status");
}

static void test_post_after_get(void **state)
{
    responder_t *r = responder(REFUSES_GET, GOOD);
    mtls_fetcher_t *f = make();

    (void)state;
    fetch_again(f, r->url, MTLS_FETCH_DONE);
    assert_string_equal(methods(r), "GP");
    assert_span_equal(r->asked[1].body, ask_for("", 0, 0)->fetch.request);
    fetch_again(f, r->url, MTLS_FETCH_DONE);
    assert_string_equal(methods(r), "GPP");
    fetch_again(f, at(r, "127.0.0.1", "/other"), MTLS_FETCH_DONE);
    assert_string_equal(methods(r), "GPPGP");
    responder_stop(r);
}

static void test_get_again_where_post_has_become_wrong(void **state)
{
    responder_t *r = responder(REFUSES_GET, GOOD);
    mtls_fetcher_t *f = make();

    (void)state;
    fetch_again(f, r->url, MTLS_FETCH_DONE);
    r->manner = REFUSES_POST;
    fetch_again(f, r->url, MTLS_FETCH_FAILED);
    fetch_again(f, r->url, MTLS_FETCH_DONE);
    assert_string_equal(methods(r), "GPPG");
    responder_stop(r);
}

typedef struct blame_t {
    const char *name, *answer, *methods;
} blame_t;

static const blame_t blames[] = {
    {"method: 301", "HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", "GP"},
    {"method: 400", "HTTP/1.1 400 Bad\r\n\r\n", "GP"},
    {"method: 404", "HTTP/1.1 404 Not Found\r\n\r\npage", "GP"},
    {"method: 405", "HTTP/1.1 405 Not Allowed\r\n\r\n", "GP"},
    {"method: 501", "HTTP/1.1 501 Not Implemented\r\n\r\n", "GP"},
    {"method: a page", OK "Content-Type: text/html\r\n\r\npage", "GP"},
    {"method: busy", "HTTP/1.1 429 Too Many\r\n\r\n", "G"},
    {"method: broken", "HTTP/1.1 500 Error\r\n\r\n", "G"},
    {"method: away", "HTTP/1.1 503 Unavailable\r\n\r\n", "G"},
    {"method: empty", OK TYPE "Content-Length: 0\r\n\r\n", "G"},
    {"method: no answer", "", "G"},
    {"method: none of HTTP", "hello\r\n\r\n", "G"},
    {"method: a coding", OK TYPE "Content-Encoding: br\r\n\r\nx", "G"},
};

static void test_method(void **state)
{
    const blame_t *row = *state;
    responder_t *r = responder(SAYS, row->answer);

    assert_int_equal(fetch_from(r->url)->outcome, MTLS_FETCH_FAILED);
    assert_string_equal(methods(r), row->methods);
    responder_stop(r);
}

/* ---- deadlines ---- */

typedef struct slow_t {
    const char *name;
    manner_t manner;
    const char *answer;
    const char *words;
} slow_t;

static const slow_t slow[] = {
    {"slow: hangs", HANGS, "", "timed out waiting for the answer"},
    {"slow: a byte at a time", DRIPS, GOOD, "timed out"},
    {"slow: a head, and no more", KEEPS, OK TYPE "Content-Length: 5\r\n", "timed out receiving"},
    {"slow: half a body", KEEPS, OK TYPE "Content-Length: 5\r\n\r\n0", "timed out receiving"},
    {"slow: does not say it is over", KEEPS, OK TYPE "\r\n" BODY, "timed out receiving"},
    {"slow: interim", KEEPS, "HTTP/1.1 100 Continue\r\n\r\n", "timed out"},
};

/* Those beside it go on. */
static asked_t *fetch_slowly(const slow_t *row, apr_interval_time_t most)
{
    responder_t *r = responder(row->manner, row->answer), *quick = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(r->url, 1, most), *beside = ask_for(quick->url, 1, FOR_EVER);

    mtls_fetcher_start(f, &asked->fetch);
    mtls_fetcher_start(f, &beside->fetch);
    settle(f);
    expect(beside, MTLS_FETCH_DONE, NULL);
    responder_stop(r);
    responder_stop(quick);
    return asked;
}

/* On a busy machine time may run out before the responder has come so far: then it gets more. */
static void test_slow(void **state)
{
    const slow_t *row = *state;
    apr_interval_time_t most = SHORT;
    asked_t *asked = fetch_slowly(row, most);

    while (asked->error && !strstr(asked->error, row->words) && (most *= 4) < FOR_EVER)
        asked = fetch_slowly(row, most);
    expect(asked, MTLS_FETCH_FAILED, row->words);
}

/* The second try has no time of its own. */
static void test_one_deadline_for_both_methods(void **state)
{
    responder_t *r = responder(REFUSES_GET_THEN_HANGS, "");
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(r->url, 1, LONGER);

    (void)state;
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_FAILED, "timed out waiting for the answer");
    assert_string_equal(methods(r), "GP");
    responder_stop(r);
}

static void test_name_that_hangs(void **state)
{
    responder_t *quick = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for("http://hangs.test/", 1, LONGER);
    asked_t *beside = ask_for(at(quick, "inside.test", "/"), 1, FOR_EVER);

    (void)state;
    hang_look_ups();
    mtls_fetcher_start(f, &asked->fetch);
    mtls_fetcher_start(f, &beside->fetch);
    settle(f);
    release_look_ups();
    expect(asked, MTLS_FETCH_FAILED, "timed out looking up the name");
    expect(beside, MTLS_FETCH_DONE, NULL);
    responder_stop(quick);
}

/* The end of the process waits for no look-up either. */
static void test_end_while_a_name_hangs(void **state)
{
    apr_pool_t *p = pool_make();
    mtls_fetcher_t *f = make_in(p);
    asked_t *asked = ask_for("http://hangs.test/", 1, FOR_EVER);
    const apr_int64_t begun = clock_now();
    int until;

    (void)state;
    hang_look_ups();
    mtls_fetcher_start(f, &asked->fetch);
    for (until = 0; until == 0 && clock_now() - begun < SOON;) {
        mtls_fetcher_run(f, -1, apr_time_from_msec(10));
        pthread_mutex_lock(&lock);
        until = hanging;
        pthread_mutex_unlock(&lock);
    }
    assert_int_equal(until, 1);
    apr_pool_destroy(p);
    release_look_ups();
    assert_int_equal(asked->calls, 0);
    assert_true(clock_now() - begun < SOON);
}

static void test_look_ups_take_no_signals(void **state)
{
    sigset_t before, after;

    (void)state;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    term_reaches_look_up = 0;
    look_ups = 0;
    expect(fetch_from("http://nobody.test/"), MTLS_FETCH_FAILED, "resolve");
    assert_int_equal(look_ups, 1);
    assert_int_equal(term_reaches_look_up, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGUSR2), 1);
    assert_int_equal(sigismember(&after, SIGTERM), 0);
    sigemptyset(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void test_no_time_is_left(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(r->url, 1, 0);

    (void)state;
    mtls_fetcher_start(f, &asked->fetch);
    expect(asked, MTLS_FETCH_FAILED, "no time");
    assert_int_equal(mtls_fetcher_count(f), 0);
    asked = ask_for(r->url, 1, -FOR_EVER);
    mtls_fetcher_start(f, &asked->fetch);
    expect(asked, MTLS_FETCH_FAILED, "no time");
    mtls_fetcher_run(f, -1, 0);
    responder_stop(r);
    assert_int_equal(r->connections, 0);
}

static void test_deadline_of_years(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(r->url, 1, apr_time_from_sec(APR_INT64_C(10000000000)));

    (void)state;
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_DONE, NULL);
    responder_stop(r);
}

/* ---- who is contacted ---- */

static void start_over(void)
{
    memset(&rules, 0, sizeof(rules));
    unsetenv("http_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("ALL_PROXY");
    unsetenv("NO_PROXY");
    ca_file = NULL;
    look_ups = 0;
}

typedef struct contact_t {
    const char *name, *host;
    const char *allow; /* MTLSOCSPResponderAllow; NULL: not said */
    int configured;
    mtls_fetch_outcome_t outcome;
    const char *words;
} contact_t;

static const contact_t contacts[] = {
    {"contact: loopback", "127.0.0.1", NULL, 0, MTLS_FETCH_FORBIDDEN, "127.0.0.1 is loopback"},
    {"contact: loopback, configured", "127.0.0.1", NULL, 1, MTLS_FETCH_DONE, NULL},
    {"contact: loopback, allowed", "127.0.0.1", "127.0.0.1", 0, MTLS_FETCH_DONE, NULL},
    {"contact: other loopback", "127.8.9.1", NULL, 0, MTLS_FETCH_FORBIDDEN, "is loopback"},
    {"contact: mapped", "[::ffff:127.0.0.1]", NULL, 0, MTLS_FETCH_FORBIDDEN, "is loopback"},
    {"contact: mapped, configured", "[::ffff:127.0.0.1]", NULL, 1, MTLS_FETCH_DONE, NULL},
    {"contact: 0.0.0.0", "0.0.0.0", NULL, 0, MTLS_FETCH_FORBIDDEN, "is this host"},
    {"contact: ::", "[::]", NULL, 0, MTLS_FETCH_FORBIDDEN, "is this host"},
    {"contact: odd IPv4", "127.1", NULL, 0, MTLS_FETCH_FORBIDDEN, "number"},
    {"contact: odd IPv4, configured", "127.1", NULL, 1, MTLS_FETCH_FORBIDDEN, "number"},
    {"contact: user", "outside.test@127.0.0.1", NULL, 0, MTLS_FETCH_FORBIDDEN, "user"},
    {"contact: localhost", "localhost", NULL, 0, MTLS_FETCH_FORBIDDEN, "localhost is loopback"},
    {"contact: localhost, configured", "localhost", NULL, 1, MTLS_FETCH_DONE, NULL},
    {"contact: name of loopback", "inside.test", NULL, 0, MTLS_FETCH_FORBIDDEN,
     "127.0.0.1 is loop"},
    {"contact: name of loopback, configured", "inside.test", NULL, 1, MTLS_FETCH_DONE, NULL},
    {"contact: name of loopback, allowed", "INSIDE.test.", "inside.test", 0, MTLS_FETCH_DONE, NULL},
    {"contact: name of link-local", "metadata.test", NULL, 0, MTLS_FETCH_FORBIDDEN, "link-local"},
    {"contact: name of many that are refused", "many.test", NULL, 0, MTLS_FETCH_FORBIDDEN, "is "},
    {"contact: name of outside", "outside.test", NULL, 0, MTLS_FETCH_DONE, NULL},
    {"contact: outside", "198.51.100.9", NULL, 0, MTLS_FETCH_DONE, NULL},
    {"contact: name of both", "both.test", NULL, 0, MTLS_FETCH_DONE, NULL},
    {"contact: nobody is allowed", "outside.test", "", 0, MTLS_FETCH_FORBIDDEN, "ResponderAllow"},
    {"contact: not allowed", "outside.test", "inside.test", 0, MTLS_FETCH_FORBIDDEN,
     "ResponderAllow"},
    {"contact: not allowed, configured", "127.0.0.1", "outside.test", 1, MTLS_FETCH_FORBIDDEN,
     "ResponderAllow"},
    {"contact: allowed by name, not by address", "127.0.0.1", "inside.test", 0,
     MTLS_FETCH_FORBIDDEN, "ResponderAllow"},
    {"contact: another port", "127.0.0.1", "127.0.0.1:1", 0, MTLS_FETCH_FORBIDDEN,
     "ResponderAllow"},
};

static void test_contact(void **state)
{
    const contact_t *row = *state;
    responder_t *r = responder(SAYS, GOOD);
    apr_array_header_t *allow = apr_array_make(pool, 1, sizeof(mtls_fetch_host_t));
    mtls_fetcher_t *f;
    asked_t *asked = ask_for(at(r, row->host, "/"), row->configured, FOR_EVER);

    start_over();
    if (row->allow && *row->allow)
        assert_message(mtls_fetch_parse_host(pool, row->allow, apr_array_push(allow)), NULL);
    rules.allow = row->allow ? allow : NULL;
    f = make();
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    start_over();
    responder_stop(r);
    expect(asked, row->outcome, row->words);
    assert_int_equal(r->connections, row->outcome == MTLS_FETCH_DONE);
}

static void test_own_listener(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    apr_array_header_t *listeners = apr_array_make(pool, 1, sizeof(apr_sockaddr_t *));
    apr_sockaddr_t *own = apr_pcalloc(pool, sizeof(*own));
    asked_t *asked = ask_for(at(r, "outside.test", "/"), 0, FOR_EVER);
    asked_t *configured = ask_for(at(r, "outside.test", "/"), 1, FOR_EVER);
    mtls_fetcher_t *f;

    (void)state;
    start_over();
    own->sa.sin.sin_family = AF_INET;
    own->sa.sin.sin_port = htons((in_port_t)r->port);
    assert_int_equal(inet_pton(AF_INET, "198.51.100.1", &own->sa.sin.sin_addr), 1);
    APR_ARRAY_PUSH(listeners, apr_sockaddr_t *) = own;
    rules.listeners = listeners;
    f = make();
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_FORBIDDEN, "198.51.100.1 is this server's own");
    assert_int_equal(responder_connections(r), 0);
    mtls_fetcher_start(f, &configured->fetch);
    settle(f);
    expect(configured, MTLS_FETCH_DONE, NULL);
    own->sa.sin.sin_port = htons((in_port_t)(r->port ^ 1));
    asked = ask_for(at(r, "outside.test", "/"), 0, FOR_EVER);
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_DONE, NULL);
    start_over();
    responder_stop(r);
}

/* A connection an administrator's URL has opened serves no certificate's. */
static void test_connections_are_not_shared(void **state)
{
    responder_t *r = responder(KEEPS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *configured = ask_for(at(r, "inside.test", "/"), 1, FOR_EVER);
    asked_t *asked = ask_for(at(r, "inside.test", "/"), 0, FOR_EVER);

    (void)state;
    mtls_fetcher_start(f, &configured->fetch);
    settle(f);
    expect(configured, MTLS_FETCH_DONE, NULL);
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_FORBIDDEN, "is loopback");
    assert_int_equal(responder_connections(r), 1);
    responder_stop(r);
}

static void test_text_of_a_url_that_is_none(void **state)
{
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for("http://a/\r\n\x1b[1m", 1, FOR_EVER);

    (void)state;
    mtls_fetcher_start(f, &asked->fetch);
    assert_int_equal(asked->outcome, MTLS_FETCH_FORBIDDEN);
    assert_message(asked->error, "http://a/???[1m: |byte");
}

static void test_environment_is_ignored(void **state)
{
    responder_t *r = responder(SAYS, GOOD), *proxy = responder(SAYS, GOOD);

    (void)state;
    start_over();
    setenv("http_proxy", proxy->url, 1);
    setenv("HTTPS_PROXY", proxy->url, 1);
    setenv("ALL_PROXY", proxy->url, 1);
    expect(fetch_from(r->url), MTLS_FETCH_DONE, NULL);
    expect(fetch_from(at(r, "outside.test", "/")), MTLS_FETCH_DONE, NULL);
    start_over();
    responder_stop(proxy);
    responder_stop(r);
    assert_int_equal(proxy->connections, 0);
    assert_int_equal(r->connections, 2);
}

/* ---- a proxy ---- */

static void test_proxy(void **state)
{
    responder_t *proxy = responder(SAYS, GOOD);
    mtls_fetcher_t *f;
    asked_t *asked = ask_for("http://responder.test:8080/x", 0, FOR_EVER);

    (void)state;
    start_over();
    setenv("NO_PROXY", "*", 1);
    rules.proxy = proxy->url;
    f = make();
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    start_over();
    responder_stop(proxy);
    expect(asked, MTLS_FETCH_DONE, NULL);
    assert_int_equal(look_ups, 0);
    assert_int_equal(proxy->connections, 1);
}

static void test_proxy_is_asked_for_the_url(void **state)
{
    responder_t *proxy = responder(SAYS, GOOD);

    (void)state;
    start_over();
    rules.proxy = proxy->url;
    expect(fetch_from("http://responder.test:8080/x"), MTLS_FETCH_DONE, NULL);
    expect_get(&proxy->asked[0], "http://responder.test:8080/x/MAMAAf8%2BP377");
    has_field(&proxy->asked[0], "Host: responder.test:8080\r\n", 1);
    start_over();
    responder_stop(proxy);
}

static const contact_t proxied[] = {
    {"proxy: loopback", "127.0.0.1", NULL, 0, MTLS_FETCH_FORBIDDEN, "is loopback"},
    {"proxy: loopback, configured", "127.0.0.1", NULL, 1, MTLS_FETCH_DONE, NULL},
    {"proxy: link-local", "169.254.169.254", NULL, 0, MTLS_FETCH_FORBIDDEN, "link-local"},
    {"proxy: in IPv6", "[64:ff9b::7f00:1]", NULL, 0, MTLS_FETCH_FORBIDDEN, "is loopback"},
    {"proxy: localhost", "localhost", NULL, 0, MTLS_FETCH_FORBIDDEN, "is loopback"},
    {"proxy: odd IPv4", "0x7f000001", NULL, 0, MTLS_FETCH_FORBIDDEN, "number"},
    {"proxy: outside", "198.51.100.1", NULL, 0, MTLS_FETCH_DONE, NULL},
    {"proxy: not allowed", "198.51.100.1", "outside.test", 0, MTLS_FETCH_FORBIDDEN, "Allow"},
    {"proxy: allowed", "127.0.0.1", "127.0.0.1", 0, MTLS_FETCH_DONE, NULL},
};

static void test_proxied(void **state)
{
    const contact_t *row = *state;
    responder_t *proxy = responder(SAYS, GOOD);
    apr_array_header_t *allow = apr_array_make(pool, 1, sizeof(mtls_fetch_host_t));
    mtls_fetcher_t *f;
    asked_t *asked =
        ask_for(apr_psprintf(pool, "http://%s/", row->host), row->configured, FOR_EVER);

    start_over();
    rules.proxy = proxy->url;
    if (row->allow)
        assert_message(mtls_fetch_parse_host(pool, row->allow, apr_array_push(allow)), NULL);
    rules.allow = row->allow ? allow : NULL;
    f = make();
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    start_over();
    responder_stop(proxy);
    expect(asked, row->outcome, row->words);
    assert_int_equal(proxy->connections, row->outcome == MTLS_FETCH_DONE);
}

static void test_proxy_that_refuses_a_tunnel(void **state)
{
    responder_t *proxy = responder(SAYS, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");

    (void)state;
    start_over();
    rules.proxy = proxy->url;
    expect(fetch_from("https://responder.test/"), MTLS_FETCH_FAILED, "403");
    assert_true(mtls_span_starts(proxy->asked[0].head,
                                 mtls_span_of("CONNECT responder.test:443 HTTP/1.1\r\n")));
    start_over();
    responder_stop(proxy);
}

static void test_proxy_whose_fields_have_no_end(void **state)
{
    responder_t *proxy = apr_pcalloc(pool, sizeof(*proxy));

    (void)state;
    start_over();
    proxy->manner = REPEATS;
    proxy->answer = mtls_span_of(OK);
    proxy->again = mtls_span_of("X-Field: y\r\n");
    responder_start(proxy);
    rules.proxy = proxy->url;
    expect(fetch_from("https://responder.test/"), MTLS_FETCH_FAILED, "header fields");
    start_over();
    responder_stop(proxy);
}

/* ---- https ---- */

static apr_status_t remove_file(void *path)
{
    return unlink(path) == 0 ? APR_SUCCESS : APR_EGENERAL;
}

static SSL_CTX *tls_of(const char *san)
{
    const apr_time_t now = apr_time_now(), day = apr_time_from_sec(86400);
    const certificate_t spec = {.subject = {{"CN", 0, "Responder", 0, 0}},
                                .from = now - day,
                                .to = now + day,
                                .extensions = {"basicConstraints=critical,CA:TRUE", san}};
    X509 *x = certificate_make(pool, &spec, NULL);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    const char *dir = getenv("TMPDIR");
    const mtls_span_t pem = certificate_pem(pool, x);
    char *path = apr_psprintf(pool, "%s/mtls-ca-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);

    assert_non_null(tls);
    assert_true(fd >= 0 && write(fd, pem.data, pem.len) == (ssize_t)pem.len && close(fd) == 0);
    apr_pool_cleanup_register(pool, path, remove_file, apr_pool_cleanup_null);
    ca_file = path;
    assert_int_equal(SSL_CTX_use_certificate(tls, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, key_get(KEY_P256, 0)), 1);
    return tls;
}

/* Fetch with the responder's certificate among the roots, or not. */
static void test_tls_of(const char *san, int rooted, mtls_fetch_outcome_t outcome,
                        const char *words)
{
    responder_t *r = apr_pcalloc(pool, sizeof(*r));

    start_over();
    r->tls = tls_of(san);
    r->answer = mtls_span_of(GOOD);
    if (!rooted)
        ca_file = NULL;
    responder_start(r);
    expect(fetch_from(r->url), outcome, words);
    responder_stop(r);
    SSL_CTX_free(r->tls);
    assert_int_equal(r->requests, outcome == MTLS_FETCH_DONE);
    start_over();
}

static void test_tls(void **state)
{
    (void)state;
    test_tls_of("subjectAltName=IP:127.0.0.1", 1, MTLS_FETCH_DONE, NULL);
}

static void test_tls_of_nobody(void **state)
{
    (void)state;
    test_tls_of("subjectAltName=IP:127.0.0.1", 0, MTLS_FETCH_FAILED, "certificate");
}

static void test_tls_of_another_host(void **state)
{
    (void)state;
    test_tls_of("subjectAltName=IP:127.0.0.2", 1, MTLS_FETCH_FAILED, "name");
}

static void test_tls_that_hangs(void **state)
{
    responder_t *r = responder(HANGS, "");
    mtls_fetcher_t *f = make();
    asked_t *asked = ask_for(apr_psprintf(pool, "https://127.0.0.1:%d", r->port), 1, LONGER);

    (void)state;
    mtls_fetcher_start(f, &asked->fetch);
    settle(f);
    expect(asked, MTLS_FETCH_FAILED, "timed out connecting, or agreeing on TLS");
    responder_stop(r);
}

/* ---- many ---- */

static void test_connections_to_a_host_are_few(void **state)
{
    responder_t *r = responder(LINGERS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *asked[60];
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(asked); i++) {
        asked[i] = ask_for(r->url, 1, FOR_EVER);
        mtls_fetcher_start(f, &asked[i]->fetch);
    }
    settle(f);
    for (i = 0; i < ROWS(asked); i++)
        expect(asked[i], MTLS_FETCH_DONE, NULL);
    responder_stop(r);
    assert_int_equal(r->connections, ROWS(asked));
    assert_in_range(r->most_waiting, 2, MTLS_OCSP_HOST_CONNECTIONS);
}

static void test_those_who_wait_have_their_deadline(void **state)
{
    responder_t *r = responder(HANGS, "");
    apr_pool_t *p = pool_make();
    mtls_fetcher_t *f = make_in(p);
    asked_t *asked[MTLS_OCSP_HOST_CONNECTIONS + 3];
    const apr_int64_t until = clock_now() + SOON;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(asked); i++) {
        const int waits = i >= MTLS_OCSP_HOST_CONNECTIONS;
        asked[i] = ask_for(r->url, 1, waits ? LONGER : FOR_EVER);
        mtls_fetcher_start(f, &asked[i]->fetch);
    }
    while ((mtls_fetcher_count(f) > MTLS_OCSP_HOST_CONNECTIONS ||
            responder_connections(r) < MTLS_OCSP_HOST_CONNECTIONS) &&
           clock_now() < until)
        mtls_fetcher_run(f, -1, SHORT);
    for (i = 0; i < MTLS_OCSP_HOST_CONNECTIONS; i++)
        assert_int_equal(asked[i]->calls, 0);
    for (; i < ROWS(asked); i++)
        expect(asked[i], MTLS_FETCH_FAILED, "timed out waiting for other exchanges");
    assert_int_equal(responder_connections(r), MTLS_OCSP_HOST_CONNECTIONS);
    apr_pool_destroy(p);
    responder_stop(r);
}

/* The URLs of a certificate, one after the other, from `done`. */
static void test_done_may_start_another(void **state)
{
    responder_t *r = responder(SAYS, GOOD);
    mtls_fetcher_t *f = make();
    asked_t *first = ask_for(at(r, "127.0.0.1", "/1"), 0, FOR_EVER);
    asked_t *second = ask_for("http://nobody.test/", 0, FOR_EVER);
    asked_t *third = ask_for(at(r, "outside.test", "/3"), 0, FOR_EVER);

    (void)state;
    first->then = second;
    second->then = third;
    first->then_by = second->then_by = f;
    mtls_fetcher_start(f, &first->fetch);
    assert_int_equal(mtls_fetcher_count(f), 1);
    settle(f);
    expect(first, MTLS_FETCH_FORBIDDEN, "is loopback");
    expect(second, MTLS_FETCH_FAILED, "resolve");
    expect(third, MTLS_FETCH_DONE, NULL);
    responder_stop(r);
    assert_int_equal(r->connections, 1);
}

static void test_pool_ends_all(void **state)
{
    responder_t *r = responder(HANGS, "");
    asked_t *asked[5];
    apr_pool_t *p = pool_make();
    mtls_fetcher_t *f = make_in(p);
    const apr_int64_t until = clock_now() + SOON;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(asked); i++) {
        asked[i] = ask_for(r->url, 1, FOR_EVER);
        mtls_fetcher_start(f, &asked[i]->fetch);
    }
    while (responder_connections(r) < (int)ROWS(asked) && clock_now() < until)
        mtls_fetcher_run(f, -1, apr_time_from_msec(50));
    assert_int_equal(responder_connections(r), ROWS(asked));
    apr_pool_destroy(p);
    for (i = 0; i < ROWS(asked); i++)
        assert_int_equal(asked[i]->calls, 0);
    responder_stop(r);
}

/* ---- the loop ---- */

static void test_run_waits_for_a_descriptor(void **state)
{
    responder_t *r = responder(HANGS, "");
    apr_pool_t *p = pool_make();
    mtls_fetcher_t *f = make_in(p);
    asked_t *asked = ask_for(r->url, 1, FOR_EVER);
    const apr_int64_t begun = clock_now();
    int fds[2];
    char byte;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    assert_int_equal(mtls_fetcher_run(f, fds[0], apr_time_from_msec(20)), 0);
    assert_true(clock_now() - begun >= apr_time_from_msec(20));
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(mtls_fetcher_run(f, fds[0], FOR_EVER), 1);
    mtls_fetcher_start(f, &asked->fetch);
    assert_int_equal(mtls_fetcher_run(f, fds[0], FOR_EVER), 1);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(mtls_fetcher_run(f, fds[0], 0), 0);
    close(fds[1]); /* whoever held the other end has died */
    while (!mtls_fetcher_run(f, fds[0], FOR_EVER))
        ;
    close(fds[0]);
    assert_true(clock_now() - begun < SOON);
    assert_int_equal(mtls_fetcher_count(f), 1);
    apr_pool_destroy(p);
    responder_stop(r);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

static void test_run_is_woken_by_a_signal(void **state)
{
    const struct sigaction wake = {.sa_handler = on_alarm};
    /* Again and again: the first ones may come before it waits. */
    const struct itimerspec soon = {.it_value = {0, 50000000}, .it_interval = {0, 50000000}};
    struct sigevent by = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    const apr_int64_t begun = clock_now();
    mtls_fetcher_t *f = make();
    timer_t timer;

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &wake, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &by, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
    assert_int_equal(mtls_fetcher_run(f, -1, FOR_EVER), 0);
    assert_true(clock_now() - begun < SOON);
    timer_delete(timer);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    SUITE_CASE(test_get);
    SUITE_CASE(test_get_encodes_what_a_path_may_not_hold);
    SUITE_TABLE(test_path, paths);
    SUITE_CASE(test_post);
    SUITE_CASE(test_post_where_the_url_has_a_query);
    SUITE_CASE(test_get_of_at_most_255_bytes);
    SUITE_TABLE(test_answer, answers);
    SUITE_CASE(test_body_without_end);
    SUITE_CASE(test_chunks_without_end);
    SUITE_CASE(test_page_without_end);
    SUITE_CASE(test_fields_without_end);
    SUITE_CASE(test_line_without_end);
    SUITE_CASE(test_interim_answers_without_end);
    SUITE_CASE(test_trailers_without_end);
    SUITE_CASE(test_largest_body);
    SUITE_CASE(test_largest_head);
    SUITE_CASE(test_redirect_is_not_followed);
    SUITE_CASE(test_refused);
    SUITE_CASE(test_no_such_name);
    SUITE_CASE(test_post_after_get);
    SUITE_CASE(test_get_again_where_post_has_become_wrong);
    SUITE_TABLE(test_method, blames);
    SUITE_TABLE(test_slow, slow);
    SUITE_CASE(test_one_deadline_for_both_methods);
    SUITE_CASE(test_name_that_hangs);
    SUITE_CASE(test_end_while_a_name_hangs);
    SUITE_CASE(test_look_ups_take_no_signals);
    SUITE_CASE(test_no_time_is_left);
    SUITE_CASE(test_deadline_of_years);
    SUITE_TABLE(test_contact, contacts);
    SUITE_CASE(test_own_listener);
    SUITE_CASE(test_connections_are_not_shared);
    SUITE_CASE(test_text_of_a_url_that_is_none);
    SUITE_CASE(test_environment_is_ignored);
    SUITE_CASE(test_proxy);
    SUITE_CASE(test_proxy_is_asked_for_the_url);
    SUITE_TABLE(test_proxied, proxied);
    SUITE_CASE(test_proxy_that_refuses_a_tunnel);
    SUITE_CASE(test_proxy_whose_fields_have_no_end);
    SUITE_CASE(test_tls);
    SUITE_CASE(test_tls_of_nobody);
    SUITE_CASE(test_tls_of_another_host);
    SUITE_CASE(test_tls_that_hangs);
    SUITE_CASE(test_connections_to_a_host_are_few);
    SUITE_CASE(test_those_who_wait_have_their_deadline);
    SUITE_CASE(test_done_may_start_another);
    SUITE_CASE(test_pool_ends_all);
    SUITE_CASE(test_run_waits_for_a_descriptor);
    SUITE_CASE(test_run_is_woken_by_a_signal);
    return suite_run("fetch", 140);
}
