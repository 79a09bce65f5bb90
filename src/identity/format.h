/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The formats MTLSExport knows, as one table: names, options, headers, who writes them. */

#ifndef MTLS_IDENTITY_FORMAT_H
#define MTLS_IDENTITY_FORMAT_H

#include "identity/field.h"
#include "identity/header.h"

struct mtls_jwt_spec_t;

typedef enum mtls_format_kind_t {
    MTLS_FORMAT_NONE = 0, /* nothing is exported */
    MTLS_FORMAT_ENV,      /* variables (variables.h) */
    MTLS_FORMAT_RFC9440,
    MTLS_FORMAT_XFCC,
    MTLS_FORMAT_GOOGLE,
    MTLS_FORMAT_AWS_ALB,
    MTLS_FORMAT_INGRESS_NGINX,
    MTLS_FORMAT_TRAEFIK,
    MTLS_FORMAT_JWT
} mtls_format_kind_t;

/* One line of MTLSExport. */
typedef struct mtls_format_t {
    mtls_format_kind_t kind;
    int chain;                         /* rfc9440 chain */
    int append;                        /* xfcc append; MTLS_XFCC_HASH is then among the pairs */
    unsigned int pairs;                /* of xfcc (xfcc.h) */
    const struct mtls_jwt_spec_t *jwt; /* of jwt (jwt.h), in the pool of the parser */
} mtls_format_t;

/* Parse the words of a line: a format and its options. NULL or, in `p`, what is wrong and what is
 * allowed. */
const char *mtls_format_parse(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *format);

/* The headers the format may set, and what its readers would believe beside: names a client may
 * never send. Ended by NULL; static or in `p`. */
const char *const *mtls_format_names(apr_pool_t *p, const mtls_format_t *format);

/* Whether the identity's `cas` are needed. */
int mtls_format_needs_chain(const mtls_format_t *format);

/* Push the headers (mtls_header_t) of an identity that was granted. Nothing for the kinds none, env
 * and jwt, and nothing for nobody. In `p`; any thread. */
void mtls_format_headers(apr_pool_t *p, const mtls_format_t *format,
                         const mtls_identity_t *identity, apr_array_header_t *out);

#endif
