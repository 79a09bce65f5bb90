/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/format.h"

#include <apr_cstr.h>

#include "identity/client_cert.h"
#include "identity/gateway_headers.h"
#include "identity/jwt.h"
#include "identity/xfcc.h"

typedef const char *(*options_fn)(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *out);

typedef struct row_t {
    const char *word;
    mtls_format_kind_t kind;
    options_fn options;            /* NULL: takes none */
    const mtls_gateway_t *gateway; /* of a set of headers */
} row_t;

static const char *no_option(apr_pool_t *p, const char *format, const char *word,
                             const char *allowed)
{
    return apr_psprintf(p, "\"%s\" is no option of %s, which takes %s", word, format, allowed);
}

static const char *rfc9440_options(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *out)
{
    if (argc > 0 && apr_cstr_casecmp(argv[0], "chain") != 0)
        return no_option(p, "rfc9440", argv[0], "chain or nothing");
    out->chain = argc > 0;
    return argc > 1 ? no_option(p, "rfc9440", argv[1], "one word at most") : NULL;
}

static const char *xfcc_options(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *out)
{
    const char *error = NULL;
    int at = 0;

    out->pairs = MTLS_XFCC_DEFAULT;
    if (argc > 0 && apr_cstr_casecmp(argv[0], "append") == 0)
        out->append = at = 1;
    else if (argc > 0 && apr_cstr_casecmp(argv[0], "set") == 0)
        at = 1;
    if (argc > at)
        error = mtls_xfcc_parse_pairs(p, argv[at++], &out->pairs);
    if (!error && argc > at)
        error = no_option(p, "xfcc", argv[at], "set or append, and then one list of parts");
    /* Without anything of ours behind it, the last hop's element would pass for ours. */
    if (out->append)
        out->pairs |= MTLS_XFCC_HASH;
    return error;
}

static const char *jwt_options(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *out)
{
    mtls_jwt_spec_t *spec = apr_pcalloc(p, sizeof(*spec));

    out->jwt = spec;
    return mtls_jwt_parse(p, argc, argv, spec);
}

static const row_t table[] = {
    {"none", MTLS_FORMAT_NONE, NULL, NULL},
    {"env", MTLS_FORMAT_ENV, NULL, NULL},
    {"rfc9440", MTLS_FORMAT_RFC9440, rfc9440_options, NULL},
    {"xfcc", MTLS_FORMAT_XFCC, xfcc_options, NULL},
    {"google", MTLS_FORMAT_GOOGLE, NULL, &mtls_gateway_google},
    {"aws-alb", MTLS_FORMAT_AWS_ALB, NULL, &mtls_gateway_aws_alb},
    {"ingress-nginx", MTLS_FORMAT_INGRESS_NGINX, NULL, &mtls_gateway_ingress_nginx},
    {"traefik", MTLS_FORMAT_TRAEFIK, NULL, &mtls_gateway_traefik},
    {"jwt", MTLS_FORMAT_JWT, jwt_options, NULL},
};
#define ROWS (sizeof(table) / sizeof(table[0]))

static const char *unknown(apr_pool_t *p, const char *word)
{
    const char *words = table[0].word;
    apr_size_t i;

    for (i = 1; i < ROWS; i++)
        words = apr_pstrcat(p, words, i + 1 < ROWS ? ", " : " and ", table[i].word, NULL);
    return apr_psprintf(p, "unknown format \"%s\"; allowed are %s", word, words);
}

const char *mtls_format_parse(apr_pool_t *p, int argc, char *const argv[], mtls_format_t *format)
{
    const char *word = argc > 0 ? argv[0] : "";
    apr_size_t i;

    memset(format, 0, sizeof(*format));
    for (i = 0; i < ROWS; i++) {
        if (apr_cstr_casecmp(word, table[i].word) != 0)
            continue;
        format->kind = table[i].kind;
        if (table[i].options)
            return table[i].options(p, argc - 1, argv + 1, format);
        return argc > 1 ? no_option(p, table[i].word, argv[1], "none") : NULL;
    }
    return unknown(p, word);
}

static const mtls_gateway_t *gateway_of(mtls_format_kind_t kind)
{
    apr_size_t i;

    for (i = 0; i < ROWS; i++) {
        if (table[i].kind == kind)
            return table[i].gateway;
    }
    return NULL;
}

const char *const *mtls_format_names(apr_pool_t *p, const mtls_format_t *format)
{
    static const char *const none[] = {NULL};
    static const char *const rfc9440[] = {MTLS_CLIENT_CERT_HEADER, MTLS_CLIENT_CERT_CHAIN_HEADER,
                                          NULL};
    static const char *const xfcc[] = {MTLS_XFCC_HEADER, NULL};
    const mtls_gateway_t *gateway = gateway_of(format->kind);
    const char **one;

    switch (format->kind) {
    case MTLS_FORMAT_RFC9440:
        return rfc9440;
    case MTLS_FORMAT_XFCC:
        return xfcc;
    case MTLS_FORMAT_JWT:
        one = apr_pcalloc(p, 2 * sizeof(*one));
        one[0] = format->jwt->header;
        return one;
    default:
        return gateway ? mtls_gateway_names(p, gateway) : none;
    }
}

int mtls_format_needs_chain(const mtls_format_t *format)
{
    switch (format->kind) {
    case MTLS_FORMAT_RFC9440:
        return format->chain;
    case MTLS_FORMAT_XFCC:
        return (format->pairs & MTLS_XFCC_CHAIN) != 0;
    case MTLS_FORMAT_GOOGLE:
    case MTLS_FORMAT_TRAEFIK:
        return 1;
    default:
        return 0;
    }
}

static void rfc9440_headers(apr_pool_t *p, const mtls_format_t *format,
                            const mtls_identity_t *identity, apr_array_header_t *out)
{
    mtls_header_push(out, MTLS_CLIENT_CERT_HEADER, mtls_client_cert(p, identity));
    if (format->chain)
        mtls_header_push(out, MTLS_CLIENT_CERT_CHAIN_HEADER, mtls_client_cert_chain(p, identity));
}

void mtls_format_headers(apr_pool_t *p, const mtls_format_t *format,
                         const mtls_identity_t *identity, apr_array_header_t *out)
{
    const mtls_gateway_t *gateway = gateway_of(format->kind);

    if (!identity->evidence || !identity->evidence->facts)
        return;
    if (format->kind == MTLS_FORMAT_RFC9440)
        rfc9440_headers(p, format, identity, out);
    else if (format->kind == MTLS_FORMAT_XFCC)
        mtls_header_push(out, MTLS_XFCC_HEADER, mtls_xfcc_element(p, format->pairs, identity));
    else if (gateway)
        mtls_gateway_headers(p, gateway, identity, out);
}
