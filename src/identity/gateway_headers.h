/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* The sets of headers that other gateways give their backends, one table a set. */

#ifndef MTLS_IDENTITY_GATEWAY_HEADERS_H
#define MTLS_IDENTITY_GATEWAY_HEADERS_H

#include "identity/field.h"
#include "identity/header.h"

/* The value of one header, in `p`; NULL or empty: the certificate has none. */
typedef const char *(*mtls_gateway_value_fn)(apr_pool_t *p, const mtls_identity_t *identity);

typedef struct mtls_gateway_header_t {
    const char *name;
    mtls_gateway_value_fn value; /* NULL: never set by us, and never let through */
} mtls_gateway_header_t;

typedef struct mtls_gateway_t {
    const mtls_gateway_header_t *headers;
    int n;
} mtls_gateway_t;

extern const mtls_gateway_t mtls_gateway_google;
extern const mtls_gateway_t mtls_gateway_aws_alb;
extern const mtls_gateway_t mtls_gateway_ingress_nginx;
extern const mtls_gateway_t mtls_gateway_traefik;

/* All names of a set, ended by NULL, in `p`. */
const char *const *mtls_gateway_names(apr_pool_t *p, const mtls_gateway_t *gateway);

/* Push the headers (mtls_header_t) of an identity whose certificate is there. */
void mtls_gateway_headers(apr_pool_t *p, const mtls_gateway_t *gateway,
                          const mtls_identity_t *identity, apr_array_header_t *out);

#endif
