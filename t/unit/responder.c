/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "responder.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MUST(condition) must((condition) ? 1 : 0, #condition, __LINE__)

static void must(int ok, const char *what, int line)
{
    if (!ok) {
        fprintf(stderr, "responder.c:%d: %s\n", line, what);
        abort();
    }
}

typedef struct connection_t {
    responder_t *r;
    int index, fd, waiting;
    SSL *ssl;
} connection_t;

/* 0: the test is over. */
static int sleep_ms(const responder_t *r, int ms)
{
    struct pollfd stop = {r->stop[0], POLLIN, 0};

    return poll(&stop, 1, ms) == 0;
}

/* 0: it cannot be read, and never will. */
static int wait_for(const connection_t *c, short events)
{
    struct pollfd fds[2] = {{c->r->stop[0], POLLIN, 0}, {c->fd, events, 0}};

    return poll(fds, 2, -1) > 0 && fds[0].revents == 0;
}

static int receive(connection_t *c, char *to, int room)
{
    if (c->ssl)
        return SSL_read(c->ssl, to, room);
    return wait_for(c, POLLIN) ? (int)recv(c->fd, to, (size_t)room, 0) : 0;
}

/* Before the other side can know. */
static void waits_no_more(connection_t *c)
{
    pthread_mutex_lock(&c->r->lock);
    c->r->waiting -= c->waiting;
    c->waiting = 0;
    pthread_mutex_unlock(&c->r->lock);
}

static int say(connection_t *c, mtls_span_t bytes)
{
    waits_no_more(c);
    while (bytes.len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, bytes.data, (int)bytes.len)
                    : wait_for(c, POLLOUT)
                        ? send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT)
                        : 0;
        if (n <= 0)
            return 0;
        bytes = mtls_span(bytes.data + n, bytes.len - (apr_size_t)n);
        pthread_mutex_lock(&c->r->lock);
        c->r->sent += (apr_size_t)n;
        pthread_mutex_unlock(&c->r->lock);
    }
    return 1;
}

/* How long the request is, once its head is there. */
static long whole(const char *text, long len)
{
    const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");

    if (!end)
        return len + 1;
    return end + 4 - text + (length && length < end ? atol(length + 16) : 0);
}

/* NULL: it did not come to an end. */
static const request_t *read_request(connection_t *c)
{
    const int room = 16384;
    char *text = calloc(1, (size_t)room + 1);
    const char *end;
    long len = 0;
    int n = 1;
    request_t *asked;

    MUST(text);
    while (whole(text, len) > len && (n = receive(c, text + len, room - (int)len)) > 0)
        len += n;
    if (n <= 0) {
        free(text);
        return NULL;
    }
    pthread_mutex_lock(&c->r->lock);
    asked = &c->r->asked[c->r->requests++];
    end = strstr(text, "\r\n\r\n");
    asked->head = mtls_span(text, end ? (apr_size_t)(end - text) + 2 : (apr_size_t)len);
    if (end)
        asked->body = mtls_span(end + 4, (apr_size_t)(len - (end + 4 - text)));
    pthread_mutex_unlock(&c->r->lock);
    return asked;
}

static void drip(connection_t *c)
{
    mtls_span_t rest = c->r->answer;

    for (; rest.len > 0; rest = mtls_span(rest.data + 1, rest.len - 1)) {
        if (!say(c, mtls_span(rest.data, 1)) || !sleep_ms(c->r, 200))
            return;
    }
}

static void serve(connection_t *c)
{
    static const char refused[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    const responder_t *r = c->r;
    const request_t *asked = read_request(c);
    int get;

    if (!asked)
        return;
    get = mtls_span_starts(asked->head, mtls_span_of("GET "));
    if (r->manner == HANGS || (r->manner == REFUSES_GET_THEN_HANGS && !get)) {
        sleep_ms(r, -1);
    } else if (r->manner == DRIPS) {
        drip(c);
    } else if ((get && (r->manner == REFUSES_GET || r->manner == REFUSES_GET_THEN_HANGS)) ||
               (!get && r->manner == REFUSES_POST)) {
        say(c, mtls_span_of(refused));
    } else if (r->manner != LINGERS || sleep_ms(r, 100)) {
        say(c, r->answer);
        while (r->manner == REPEATS && say(c, r->again))
            ;
        if (r->manner == KEEPS)
            sleep_ms(r, -1);
    }
}

/* Until the other side has closed: bytes it had not read would make its reset overtake ours. */
static void hang_up(connection_t *c)
{
    char rest[4096];

    if (c->ssl)
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    shutdown(c->fd, SHUT_WR);
    while (wait_for(c, POLLIN) && recv(c->fd, rest, sizeof(rest), 0) > 0)
        ;
    close(c->fd);
}

static void *run_connection(void *baton)
{
    connection_t *c = baton;

    if (c->r->tls) {
        c->ssl = SSL_new(c->r->tls);
        MUST(c->ssl && SSL_set_fd(c->ssl, c->fd) == 1);
    }
    if (!c->ssl || SSL_accept(c->ssl) == 1)
        serve(c);
    waits_no_more(c);
    hang_up(c);
    free(c);
    return NULL;
}

static void *run_acceptor(void *baton)
{
    responder_t *r = baton;
    struct pollfd fds[2] = {{r->stop[0], POLLIN, 0}, {r->listener, POLLIN, 0}};

    while (poll(fds, 2, -1) > 0 && fds[0].revents == 0) {
        int fd = accept(r->listener, NULL, NULL);
        connection_t *c = calloc(1, sizeof(*c));
        MUST(fd >= 0 && c && r->connections < MAX_CONNECTIONS);
        pthread_mutex_lock(&r->lock);
        c->r = r;
        c->fd = fd;
        c->index = r->connections++;
        c->waiting = 1;
        if (++r->waiting > r->most_waiting)
            r->most_waiting = r->waiting;
        MUST(pthread_create(&r->server[c->index], NULL, run_connection, c) == 0);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

void responder_start(responder_t *r)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    memset(&at, 0, sizeof(at));
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(r->listener >= 0 && bind(r->listener, (struct sockaddr *)&at, len) == 0);
    MUST(listen(r->listener, MAX_CONNECTIONS) == 0);
    MUST(getsockname(r->listener, (struct sockaddr *)&at, &len) == 0);
    r->port = ntohs(at.sin_port);
    apr_snprintf(r->url, sizeof(r->url), "http%s://127.0.0.1:%d", r->tls ? "s" : "", r->port);
    MUST(pipe(r->stop) == 0 && pthread_mutex_init(&r->lock, NULL) == 0);
    MUST(pthread_create(&r->acceptor, NULL, run_acceptor, r) == 0);
}

void responder_stop(responder_t *r)
{
    int i;

    MUST(write(r->stop[1], "", 1) == 1); /* never read: it stays readable for all */
    pthread_join(r->acceptor, NULL);
    for (i = 0; i < r->connections; i++)
        pthread_join(r->server[i], NULL);
    for (i = 0; i < r->requests; i++)
        free((void *)(uintptr_t)r->asked[i].head.data);
    close(r->listener);
    close(r->stop[0]);
    close(r->stop[1]);
    pthread_mutex_destroy(&r->lock);
}

int responder_connections(responder_t *r)
{
    int n;

    pthread_mutex_lock(&r->lock);
    n = r->connections;
    pthread_mutex_unlock(&r->lock);
    return n;
}
