/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What a backend would get of a certificate, in every format of MTLSExport:
 *
 *     formats [--by URI]... [--domain SPIFFE-DOMAIN]... FILE...
 *
 * A FILE holds a certificate and its verified chain in PEM, the anchor last; one that holds a
 * single certificate stands for one that a trust store allows as it is. Nothing is verified here.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "identity/format.h"
#include "identity/variables.h"
#include "pki/x509_facts.h"

#define MOST 16

static const char *const lines[] = {
    "rfc9440", "rfc9440 chain", "xfcc",          "xfcc set by,hash,cert,chain,subject,uri,dns",
    "google",  "aws-alb",       "ingress-nginx", "traefik",
};

typedef struct known_t {
    const char *domains[MOST + 1];
    mtls_span_t by[MOST];
    mtls_values_t gateway;
} known_t;

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "formats: %s: %s\n", name, what);
    exit(2);
}

static mtls_span_t der_of(apr_pool_t *p, X509 *x)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    mtls_span_t out = mtls_span_copy(p, mtls_span((char *)der, len > 0 ? (apr_size_t)len : 0));

    OPENSSL_free(der);
    return out;
}

/* The facts of the first certificate of a file; the DER of the others. */
static const mtls_facts_t *load(apr_pool_t *p, const char *path, mtls_span_t *cas, int *n)
{
    BIO *in = BIO_new_file(path, "r");
    const mtls_facts_t *facts = NULL;
    const char *error = "no certificate";
    X509 *x;

    if (!in)
        fail("cannot be read", path);
    *n = 0;
    if ((x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
        facts = mtls_x509_facts(p, x, &error);
    X509_free(x);
    while ((x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        if (*n == MOST)
            fail("too many certificates", path);
        cas[(*n)++] = der_of(p, x);
        X509_free(x);
    }
    ERR_clear_error();
    BIO_free(in);
    if (!facts)
        printf("refused: %s\n", error);
    return facts;
}

static void show_format(apr_pool_t *p, const char *line, const mtls_identity_t *identity)
{
    apr_array_header_t *all = apr_array_make(p, 16, sizeof(mtls_header_t));
    mtls_format_t format;
    const char *error;
    char **words;
    int i, n = 0;

    if (apr_tokenize_to_argv(line, &words, p) != APR_SUCCESS)
        fail("no memory", line);
    while (words[n])
        n++;
    if ((error = mtls_format_parse(p, n, words, &format)) != NULL)
        fail(error, line);
    mtls_format_headers(p, &format, identity, all);
    printf("== %s\n", line);
    for (i = 0; i < all->nelts; i++) {
        const mtls_header_t *header = &APR_ARRAY_IDX(all, i, mtls_header_t);
        printf("%s: %s\n", header->name, header->value);
    }
}

static void show_variables(apr_pool_t *p, const mtls_identity_t *identity)
{
    apr_array_header_t *all = apr_array_make(p, 20, sizeof(mtls_variable_t));
    int i;

    mtls_identity_variables(p, identity, all);
    printf("== env\n");
    for (i = 0; i < all->nelts; i++) {
        const mtls_variable_t *v = &APR_ARRAY_IDX(all, i, mtls_variable_t);
        printf("%s=%s\n", v->name, v->value);
    }
}

static void show(apr_pool_t *p, const char *path, const known_t *known)
{
    mtls_span_t cas[MOST];
    mtls_chain_t chain = {.trust_store = "golden", .trust_domains = known->domains};
    mtls_evidence_t evidence;
    mtls_identity_t identity = {.evidence = &evidence, .cas = cas, .gateway_uris = &known->gateway};
    const char *name = strrchr(path, '/');
    size_t i;

    memset(&evidence, 0, sizeof(evidence));
    printf("# %s\n", name ? name + 1 : path);
    evidence.facts = load(p, path, cas, &identity.ca_count);
    evidence.chain = &chain;
    chain.exempt = identity.ca_count == 0;
    if (!evidence.facts)
        return;
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        show_format(p, lines[i], &identity);
    show_variables(p, &identity);
}

int main(int argc, char **argv)
{
    known_t known = {.gateway = {known.by, 0}};
    apr_pool_t *p = NULL;
    int i, domains = 0;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&p, NULL) != APR_SUCCESS)
        return 2;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--by") == 0 && i + 1 < argc && known.gateway.n < MOST)
            known.by[known.gateway.n++] = mtls_span_of(argv[++i]);
        else if (strcmp(argv[i], "--domain") == 0 && i + 1 < argc && domains < MOST)
            known.domains[domains++] = argv[++i];
        else
            show(p, argv[i], &known);
    }
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
