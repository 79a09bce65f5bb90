/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* responder CA.crt CA.key REVOKED: an OCSP responder on a free port of 127.0.0.1, as fast as one
 * can be: it signs an answer once and gives it again. Every certificate of the CA is good, but for
 * the one with the serial REVOKED (hex). It prints its port and ends when its standard input does.
 *
 * The path says how: http://127.0.0.1:PORT/DELAY/LIFE/ answers after DELAY milliseconds, and the
 * answer ends after LIFE seconds. /count is the number of answers so far, and of connections. */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS    4096
#define IN_BYTES   8192
#define SLOTS      (1u << 19)
#define SHORT_LIFE 600 /* seconds; such answers are signed anew each time */

typedef struct client_t {
    int fd; /* 0: none */
    char in[IN_BYTES + 1];
    size_t in_len, out_len, out_sent;
    unsigned char *out;
    long long due; /* ms */
    int closes;
} client_t;

typedef struct answer_t {
    unsigned char *id, *der;
    int id_len, der_len;
} answer_t;

static client_t clients[CLIENTS];
static int top;                           /* none beyond */
static struct pollfd polled[CLIENTS + 2]; /* listener, standard input, clients */
static answer_t answers[SLOTS];
static X509 *ca;
static EVP_PKEY *key;
static BIGNUM *revoked;
static long answered, connections;

static void fail(const char *what)
{
    fprintf(stderr, "responder: %s\n", what);
    exit(1);
}

static long long milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *read_pem(const char *path, int certificate)
{
    FILE *in = fopen(path, "r");
    void *read = NULL;

    if (in && certificate)
        read = PEM_read_X509(in, NULL, NULL, NULL);
    else if (in)
        read = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    if (!read)
        fail(path);
    fclose(in);
    return read;
}

/* ---- answers ---- */

static int is_revoked(OCSP_CERTID *id)
{
    ASN1_INTEGER *serial = NULL;
    BIGNUM *number;
    int same;

    OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
    number = ASN1_INTEGER_to_BN(serial, NULL);
    same = number && BN_cmp(number, revoked) == 0;
    BN_free(number);
    return same;
}

static int sign(OCSP_CERTID *id, int life, unsigned char **der)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, 0), *to = X509_gmtime_adj(NULL, life);
    int bad = is_revoked(id), len = 0;
    OCSP_RESPONSE *response = NULL;

    *der = NULL;
    if (OCSP_basic_add1_status(basic, id, bad ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
                               bad ? OCSP_REVOKED_STATUS_KEYCOMPROMISE : 0, bad ? from : NULL, from,
                               to) &&
        OCSP_basic_sign(basic, ca, key, EVP_sha256(), NULL, 0))
        response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    if (response)
        len = i2d_OCSP_RESPONSE(response, der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return len;
}

/* The slot of a CertID, or the free one where it belongs. */
static answer_t *slot_of(const unsigned char *id, int len)
{
    unsigned int at = 2166136261u;
    int i;

    for (i = 0; i < len; i++)
        at = (at ^ id[i]) * 16777619u;
    for (at %= SLOTS; answers[at].id; at = (at + 1) % SLOTS) {
        if (answers[at].id_len == len && memcmp(answers[at].id, id, (size_t)len) == 0)
            break;
    }
    return &answers[at];
}

static int answer(OCSP_CERTID *id, int life, unsigned char **der)
{
    unsigned char *bytes = NULL;
    int len = i2d_OCSP_CERTID(id, &bytes);
    answer_t *slot = slot_of(bytes, len);

    if (!slot->id && life >= SHORT_LIFE) {
        slot->id = bytes;
        slot->id_len = len;
        slot->der_len = sign(id, life, &slot->der);
        bytes = NULL;
    }
    OPENSSL_free(bytes);
    if (!slot->id)
        return sign(id, life, der);
    *der = OPENSSL_memdup(slot->der, (size_t)slot->der_len);
    return slot->der_len;
}

/* ---- HTTP ---- */

static int unescape(const char *from, size_t len, char *to)
{
    int n = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        unsigned int c = (unsigned char)from[i];
        if (c == '%' && i + 2 < len && sscanf(from + i + 1, "%2x", &c) == 1)
            i += 2;
        to[n++] = (char)c;
    }
    return n;
}

/* What follows the path of ours in a GET, base64. */
static OCSP_REQUEST *request_of_path(const char *path, size_t len)
{
    char text[IN_BYTES];
    unsigned char der[IN_BYTES];
    const unsigned char *at = der;
    int n = unescape(path, len, text);

    n = EVP_DecodeBlock(der, (unsigned char *)text, n);
    return n > 0 ? d2i_OCSP_REQUEST(NULL, &at, n) : NULL;
}

static void reply(client_t *c, const char *status, const void *body, int len)
{
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nContent-Type: application/ocsp-response\r\n"
                     "Content-Length: %d\r\n%s\r\n",
                     status, len, c->closes ? "Connection: close\r\n" : "");

    c->out = malloc((size_t)(n + len));
    memcpy(c->out, head, (size_t)n);
    memcpy(c->out + n, body, (size_t)len);
    c->out_len = (size_t)(n + len);
    c->out_sent = 0;
}

static void reply_count(client_t *c)
{
    char text[64];

    reply(c, "200 OK", text, snprintf(text, sizeof(text), "%ld %ld\n", answered, connections));
}

static void reply_ocsp(client_t *c, OCSP_REQUEST *request, int delay, int life)
{
    OCSP_ONEREQ *one = request ? OCSP_request_onereq_get0(request, 0) : NULL;
    unsigned char *der = NULL;
    int len = one ? answer(OCSP_onereq_get0_id(one), life, &der) : 0;

    answered++;
    c->due = milliseconds() + delay;
    reply(c, len > 0 ? "200 OK" : "400 Bad Request", der ? (char *)der : "", len > 0 ? len : 0);
    OPENSSL_free(der);
    OCSP_REQUEST_free(request);
}

/* A whole request, if there is one in what has come. */
static void respond(client_t *c)
{
    char *end = strstr(c->in, "\r\n\r\n"), *line, *length;
    size_t head = end ? (size_t)(end - c->in) + 4 : 0, body;
    const unsigned char *der = (unsigned char *)c->in + head;
    int delay = 0, life = 86400, used = 0, get = strncmp(c->in, "GET ", 4) == 0;

    if (!end || c->out)
        return;
    length = strcasestr(c->in, "\r\nContent-Length:");
    body = length && length < end ? (size_t)atol(length + 17) : 0;
    if (c->in_len < head + body)
        return;
    c->due = 0;
    c->closes = strstr(c->in, " HTTP/1.0\r\n") != NULL;
    line = c->in + (get ? 4 : 5);
    if (strncmp(line, "/count ", 7) == 0) {
        reply_count(c);
    } else {
        sscanf(line, "/%d/%d%n", &delay, &life, &used);
        line += used + (line[used] == '/');
        reply_ocsp(c,
                   get ? request_of_path(line, strcspn(line, " "))
                       : d2i_OCSP_REQUEST(NULL, &der, (long)body),
                   delay, life);
    }
    c->in_len -= head + body;
    memmove(c->in, c->in + head + body, c->in_len + 1);
}

/* ---- connections ---- */

static void forget(client_t *c)
{
    close(c->fd);
    free(c->out);
    memset(c, 0, sizeof(*c));
    while (top > 0 && !clients[top - 1].fd)
        top--;
}

static void welcome(int listener)
{
    int i, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    connections++;
    for (i = 0; i < top && clients[i].fd; i++)
        ;
    if (i == CLIENTS)
        fail("too many connections");
    clients[i].fd = fd;
    if (i == top)
        top++;
}

static void hear(client_t *c)
{
    ssize_t n = read(c->fd, c->in + c->in_len, IN_BYTES - c->in_len);

    if (n <= 0) {
        forget(c);
        return;
    }
    c->in_len += (size_t)n;
    c->in[c->in_len] = '\0';
    respond(c);
}

static void say(client_t *c)
{
    ssize_t n = write(c->fd, c->out + c->out_sent, c->out_len - c->out_sent);

    if (n > 0)
        c->out_sent += (size_t)n;
    if (n > 0 && c->out_sent < c->out_len)
        return;
    if (n <= 0 || c->closes) {
        forget(c);
        return;
    }
    free(c->out);
    c->out = NULL;
    respond(c);
}

/* Returns how long to wait, in ms. */
static int await(void)
{
    long long now = milliseconds(), next = now + 60000;
    int i;

    for (i = 0; i < top; i++) {
        client_t *c = &clients[i];
        polled[i + 2].fd = c->fd ? c->fd : -1;
        polled[i + 2].events = c->out ? 0 : POLLIN;
        if (c->out && c->due <= now)
            polled[i + 2].events = POLLOUT;
        else if (c->out && c->due < next)
            next = c->due;
    }
    return (int)(next - now);
}

static void serve(int listener)
{
    int i, n;

    polled[0].fd = listener;
    polled[0].events = polled[1].events = POLLIN;
    polled[1].fd = 0;
    for (;;) {
        int wait = await();
        n = top;
        if (poll(polled, (nfds_t)n + 2, wait) < 0)
            continue;
        if (polled[1].revents)
            return;
        for (i = 0; i < n; i++) {
            if (polled[i + 2].fd < 0 || !polled[i + 2].revents)
                continue;
            if (polled[i + 2].revents & POLLOUT)
                say(&clients[i]);
            else
                hear(&clients[i]);
        }
        if (polled[0].revents)
            welcome(listener);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    signal(SIGPIPE, SIG_IGN);
    if (argc != 4)
        fail("usage: responder CA.crt CA.key REVOKED");
    ca = read_pem(argv[1], 1);
    key = read_pem(argv[2], 0);
    BN_hex2bn(&revoked, argv[3]);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!revoked || bind(listener, (struct sockaddr *)&address, len) != 0 ||
        listen(listener, CLIENTS) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        fail("cannot listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    serve(listener);
    return 0;
}
