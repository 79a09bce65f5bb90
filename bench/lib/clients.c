/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* TLS clients with certificates, each a thread, that make full handshakes with 127.0.0.1:PORT. PKI
 * is the folder of certificates; leaves are issued by its carc-i101l, whose certificate goes along.
 * The server's certificate is not verified: what a client costs is not measured.
 *
 * clients rate PORT,... PKI SECONDS JOBS LEAF...
 *
 * One handshake and one request after the other, each port and each leaf in turn. Prints for each
 * port how many got 200, how many did not, and the mean and the lower decile of the ms they took.
 *
 * clients fresh PORT PKI COUNT JOBS
 *
 * COUNT leaves that nobody has seen, made on the spot, with two connections each. For each a line:
 * status and ms of the first answer, from connecting on; ms of the next request; ms of the other
 * connection's first answer.
 *
 * clients together PORT PKI COUNT after|before
 *
 * COUNT clients with one such leaf. All begin at once: after their handshakes, or before. For each
 * a line: ms until the first answer, its status (0: none), ms until it was allowed, attempts. */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)
#define PATIENCE    60.0   /* seconds until a client has to be allowed */
#define AGAIN       100000 /* us */
#define MOST_PORTS  16
#define MOST_TIMES  100000

typedef struct job_t {
    pthread_t thread;
    int number;
} job_t;

/* One port's connections. */
typedef struct times_t {
    int port, good, bad, n;
    double took[MOST_TIMES]; /* ms */
} times_t;

static const char *pki;
static int port, count, jobs, leaf_count, first_leaf, late;
static int taken; /* atomic */
static int port_count;
static times_t times[MOST_PORTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double until;
static SSL_CTX *ctx;
static X509 *issuer, *pattern, *shared;
static X509 **leaves;
static EVP_PKEY **keys;
static EVP_PKEY *key, *issuer_key;
static STACK_OF(X509) * chain;
static pthread_barrier_t barrier;

static void fail(const char *what)
{
    fprintf(stderr, "clients: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- certificates ---- */

static FILE *open_pem(const char *name, const char *what)
{
    char path[4096];
    FILE *in;

    snprintf(path, sizeof(path), "%s/%s.%s", pki, name, what);
    if ((in = fopen(path, "r")) == NULL)
        fail(path);
    return in;
}

static X509 *read_certificate(const char *name)
{
    FILE *in = open_pem(name, "crt");
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);

    fclose(in);
    if (!x)
        fail(name);
    return x;
}

static EVP_PKEY *read_key(const char *name)
{
    FILE *in = open_pem(name, "key");
    EVP_PKEY *read = PEM_read_PrivateKey(in, NULL, NULL, NULL);

    fclose(in);
    if (!read)
        fail(name);
    return read;
}

/* The partner's certificate with another serial. */
static X509 *make_leaf(void)
{
    X509 *x = X509_dup(pattern);
    unsigned char bytes[16];
    BIGNUM *number;

    RAND_bytes(bytes, sizeof(bytes));
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    if (X509_sign(x, issuer_key, EVP_sha256()) <= 0)
        fail("cannot sign a certificate");
    return x;
}

/* ---- connections ---- */

/* NULL: no handshake. */
static SSL *dial(int to, X509 *leaf, EVP_PKEY *leaf_key)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(ctx);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("cannot connect");
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "gateway.test");
    if (SSL_use_cert_and_key(ssl, leaf, leaf_key, chain, 1) != 1)
        fail("a certificate and its key do not match");
    if (SSL_connect(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void hang_up(SSL *ssl)
{
    int fd;

    if (!ssl)
        return;
    fd = SSL_get_fd(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

/* Sends a request and reads the whole answer. Its status; 0: none came. */
static int get_path(SSL *ssl, const char *path)
{
    char request[256], answer[8192], *body = NULL, *length;
    size_t have = 0, body_len = 0;
    int n = snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: gateway.test\r\nUser-Agent: bench\r\n"
                     "Accept: */*\r\n\r\n",
                     path);

    if (SSL_write(ssl, request, n) <= 0)
        return 0;
    while (!body || have < (size_t)(body - answer) + body_len) {
        n = SSL_read(ssl, answer + have, (int)(sizeof(answer) - 1 - have));
        if (n <= 0)
            return 0;
        have += (size_t)n;
        answer[have] = '\0';
        if (!body && (body = strstr(answer, "\r\n\r\n")) != NULL) {
            body += 4;
            length = strcasestr(answer, "\r\nContent-Length:");
            body_len = length ? (size_t)atol(length + 17) : 0;
        }
    }
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static int get(SSL *ssl)
{
    return get_path(ssl, "/api/f.txt");
}

/* ---- rate ---- */

static void note(times_t *all, int status, double ms)
{
    pthread_mutex_lock(&lock);
    if (status == 200)
        all->good++;
    else
        all->bad++;
    if (all->n < MOST_TIMES)
        all->took[all->n++] = ms;
    pthread_mutex_unlock(&lock);
}

static void *rate(void *job_)
{
    const job_t *job = job_;
    int next = first_leaf + job->number, at = job->number;
    double began;
    SSL *ssl;

    while (now() < until) {
        times_t *all = &times[at++ % port_count];
        began = now();
        ssl = dial(all->port, leaves[next % leaf_count], keys[next % leaf_count]);
        note(all, ssl ? get(ssl) : 0, 1000 * (now() - began));
        hang_up(ssl);
        if (at % port_count == 0)
            next += jobs;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print_times(times_t *all)
{
    double sum = 0;
    int i;

    for (i = 0; i < all->n; i++)
        sum += all->took[i];
    qsort(all->took, (size_t)all->n, sizeof(all->took[0]), compare);
    printf("%d %d %.4f %.4f\n", all->good, all->bad, all->n ? sum / all->n : 0,
           all->n ? all->took[all->n / 10] : 0);
}

/* ---- fresh leaves ---- */

/* From connecting to the answer, in ms. */
static double first_answer(X509 *leaf, SSL **ssl, int *status)
{
    double began = now();

    *ssl = dial(port, leaf, key);
    *status = *ssl ? get(*ssl) : 0;
    return 1000 * (now() - began);
}

static void *fresh(void *job)
{
    double first, next = 0, other, began;
    int status, ignored;
    X509 *leaf;
    SSL *ssl;

    (void)job;
    while (__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED) <= count) {
        leaf = make_leaf();
        first = first_answer(leaf, &ssl, &status);
        if (status == 200) {
            began = now();
            get(ssl);
            next = 1000 * (now() - began);
        }
        hang_up(ssl);
        other = first_answer(leaf, &ssl, &ignored);
        hang_up(ssl);
        X509_free(leaf);
        printf("%d %.3f %.3f %.3f\n", status, first, next, other);
    }
    return NULL;
}

/* ---- all at once ---- */

static void *together(void *job)
{
    SSL *ssl = late ? dial(port, shared, key) : NULL;
    double began, first = 0, allowed = 0;
    int status, first_status = 0, attempts = 0;

    (void)job;
    if (ssl)
        get_path(ssl, "/marker.txt"); /* else the server would still be busy with the handshake */
    pthread_barrier_wait(&barrier);
    began = now();
    do {
        if (attempts++)
            usleep(AGAIN);
        if (!ssl)
            ssl = dial(port, shared, key);
        status = ssl ? get(ssl) : 0;
        if (attempts == 1) {
            first = now() - began;
            first_status = status;
        }
        if (status == 0) {
            hang_up(ssl);
            ssl = NULL;
        }
        allowed = now() - began;
    } while (status != 200 && allowed < PATIENCE);
    hang_up(ssl);
    printf("%.1f %d %.1f %d\n", 1000 * first, first_status, status == 200 ? 1000 * allowed : -1.0,
           attempts);
    return NULL;
}

/* ---- threads ---- */

static job_t *run(int threads, void *(*work)(void *))
{
    job_t *all = calloc((size_t)threads, sizeof(*all));
    pthread_attr_t attributes;
    int i;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (i = 0; i < threads; i++) {
        all[i].number = i;
        if (pthread_create(&all[i].thread, &attributes, work, &all[i]) != 0)
            fail("no thread");
    }
    for (i = 0; i < threads; i++)
        pthread_join(all[i].thread, NULL);
    return all;
}

static void prepare(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        fail("no TLS");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    pattern = read_certificate("partner");
    key = read_key("partner");
    issuer = read_certificate("carc-i101l");
    issuer_key = read_key("carc-i101l");
    chain = sk_X509_new_null();
    sk_X509_push(chain, issuer);
}

static void read_ports(char *text)
{
    char *last, *one;

    for (one = strtok_r(text, ",", &last); one; one = strtok_r(NULL, ",", &last)) {
        if (port_count == MOST_PORTS)
            fail("too many ports");
        times[port_count++].port = atoi(one);
    }
}

static void run_rate(double seconds, int n, char **names)
{
    int i;

    leaf_count = n;
    leaves = calloc((size_t)n, sizeof(*leaves));
    keys = calloc((size_t)n, sizeof(*keys));
    for (i = 0; i < n; i++) {
        leaves[i] = read_certificate(names[i]);
        keys[i] = read_key(names[i]);
    }
    first_leaf = (int)getpid() % n; /* the first ones are not to have more than the others */
    until = now() + seconds;
    run(jobs, rate);
    for (i = 0; i < port_count; i++)
        print_times(&times[i]);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 6)
        fail("usage: clients rate|fresh|together PORT PKI ...");
    port = atoi(argv[2]);
    pki = argv[3];
    prepare();
    if (strcmp(argv[1], "rate") == 0 && argc > 6) {
        read_ports(argv[2]);
        jobs = atoi(argv[5]);
        run_rate(atof(argv[4]), argc - 6, argv + 6);
        return 0;
    }
    count = atoi(argv[4]);
    if (strcmp(argv[1], "fresh") == 0) {
        run(atoi(argv[5]), fresh);
        return 0;
    }
    shared = make_leaf();
    late = strcmp(argv[5], "after") == 0;
    pthread_barrier_init(&barrier, NULL, (unsigned int)count);
    run(count, together);
    return 0;
}
