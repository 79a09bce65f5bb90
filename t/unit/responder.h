/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A responder on a free port of 127.0.0.1, in threads of the test: says what it is told to say, and
 * remembers what it was asked. */

#ifndef MTLS_UNIT_RESPONDER_H
#define MTLS_UNIT_RESPONDER_H

#include <pthread.h>

#include <openssl/ssl.h>

#include "policy/span.h"

typedef enum manner_t {
    SAYS = 0,               /* `answer`, then closes */
    HANGS,                  /* reads, and says nothing */
    DRIPS,                  /* `answer`, a byte at a time, one in 200 ms */
    REPEATS,                /* `answer`, then `again` without end */
    KEEPS,                  /* `answer`, then keeps the connection open */
    REFUSES_GET,            /* 400 to GET; `answer` to POST */
    REFUSES_GET_THEN_HANGS, /* 400 to GET; nothing to POST */
    REFUSES_POST,           /* 405 to POST; `answer` to GET */
    LINGERS                 /* `answer` after 100 ms */
} manner_t;

#define MAX_CONNECTIONS 128

typedef struct request_t {
    mtls_span_t head; /* request line and fields */
    mtls_span_t body;
} request_t;

typedef struct responder_t {
    /* to be set before responder_start() */
    manner_t manner;
    mtls_span_t answer; /* status line, fields and body as on the wire */
    mtls_span_t again;
    SSL_CTX *tls; /* NULL: http */

    int port;
    char url[64]; /* "http://127.0.0.1:PORT" */

    /* under `lock` until responder_stop() */
    pthread_mutex_t lock;
    int connections;           /* accepted so far */
    int waiting, most_waiting; /* connections that have got nothing yet */
    int requests;              /* that came to their end */
    request_t asked[MAX_CONNECTIONS];
    apr_size_t sent; /* bytes, all in all */

    int listener, stop[2];
    pthread_t acceptor, server[MAX_CONNECTIONS];
} responder_t;

/* Abort the test program when the system has no socket left. */
void responder_start(responder_t *r);

/* Also frees what it was asked. */
void responder_stop(responder_t *r);

int responder_connections(responder_t *r);

#endif
