/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Runs the cases of a limbo.json (C2SP's x509-limbo) through the code that judges clients and
 * prints where our verdict differs. Not part of `make check`: the file is not ours and is not
 * committed.
 *
 *     limbo FILE [PREFIX]      all cases, or those whose name begins with PREFIX
 *
 * Each case is judged as a client's certificate and, where it is about a server's, once more as
 * that of a backend, with the name the case asks for. Our verdict is the latter. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/chain.h"
#include "pki/pem_files.h"
#include "pki/trust_store.h"
#include "pki/x509_facts.h"
#include "policy/server_name.h"

typedef enum class_t { SAME = 0, STRICTER, LOOSER, CLASSES } class_t;

static const char *const class_names[CLASSES] = {"same", "STRICTER", "LOOSER"};

typedef struct verdict_t {
    const char *reason; /* token */
    const char *detail;
} verdict_t;

typedef struct case_t {
    apr_pool_t *p;
    const char *id;
    json_t *json;
    int expected; /* success */
    int server;   /* about a server's certificate */
} case_t;

typedef struct tally_t {
    int n[CLASSES];
    int client_ok;
} tally_t;

/* ---- reading ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* The certificates of a list, or of one string; an error is what our own loader says. */
static const char *read_certificates(case_t *c, const char *name, apr_array_header_t *out)
{
    json_t *value = json_object_get(c->json, name), *item;
    const char *error;
    size_t i;

    if (json_is_string(value))
        return mtls_pem_certificates(c->p, mtls_span_of(json_string_value(value)), out);
    json_array_foreach(value, i, item)
    {
        error = mtls_pem_certificates(c->p, mtls_span_of(json_string_value(item)), out);
        if (error)
            return error;
    }
    return NULL;
}

/* "2024-03-01T00:00:00.999+00:00"; always UTC. */
static apr_time_t time_of(const char *text)
{
    apr_time_exp_t at = {0};
    int read = 0, ms = 0;
    apr_time_t out = 0;

    if (sscanf(text, "%d-%d-%dT%d:%d:%d%n", &at.tm_year, &at.tm_mon, &at.tm_mday, &at.tm_hour,
               &at.tm_min, &at.tm_sec, &read) < 6)
        return apr_time_now();
    at.tm_year -= 1900;
    at.tm_mon -= 1;
    if (text[read] == '.' && sscanf(text + read + 1, "%3d", &ms) == 1)
        at.tm_usec = ms * 1000;
    apr_time_exp_gmt_get(&out, &at);
    return out;
}

/* ---- the trust store, loaded as a configured one is ---- */

/* All texts of a list in one. */
static const char *join(case_t *c, const char *name)
{
    json_t *all = json_object_get(c->json, name), *item;
    const char *text = "";
    size_t i;

    json_array_foreach(all, i, item) text = apr_pstrcat(c->p, text, json_string_value(item), NULL);
    return text;
}

/* The name of a list of the case is the name of a file. */
static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    *text = mtls_span_of(join(env->baton, path));
    return NULL;
}

static const char *expand(mtls_parse_env_t *env, const char *pattern, apr_array_header_t *paths,
                          int *listed)
{
    (void)env;
    *listed = 0;
    APR_ARRAY_PUSH(paths, const char *) = pattern;
    return NULL;
}

static apr_uint64_t state(mtls_parse_env_t *env, const char *path)
{
    (void)env;
    (void)path;
    return 1;
}

static int is_bad(mtls_parse_env_t *env, const char *path)
{
    (void)env;
    (void)path;
    return 0;
}

static void found(mtls_parse_env_t *env, const char *path, const char *error)
{
    (void)env;
    (void)path;
    (void)error;
}

static int last_good(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    (void)env;
    (void)path;
    (void)text;
    return 0;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    (void)env;
    (void)text;
}

static const char *make_store(case_t *c, const mtls_trust_store_t **store)
{
    mtls_parse_env_t env = {.p = c->p,
                            .where = "limbo",
                            .baton = c,
                            .read_file = read_file,
                            .warn = warn,
                            .expand = expand,
                            .state = state,
                            .is_bad = is_bad,
                            .found = found,
                            .last_good = last_good};
    json_t *depth = json_object_get(c->json, "max_chain_depth");
    mtls_trust_spec_t spec = {
        .name = "limbo", .where = "limbo", .depth = MTLS_DEFAULT_VERIFY_DEPTH};
    const void *data = NULL;
    const char *error;
    int i;

    for (i = 0; i < MTLS_STORE_PARTS; i++)
        spec.files[i] = apr_array_make(c->p, 1, sizeof(const char *));
    spec.domains = apr_array_make(c->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(spec.files[MTLS_STORE_ANCHOR], const char *) = "trusted_certs";
    if (json_array_size(json_object_get(c->json, "crls")) > 0)
        APR_ARRAY_PUSH(spec.files[MTLS_STORE_CRL], const char *) = "crls";
    spec.partial_chain = 1; /* what a case trusts it trusts, self-signed or not */
    if (json_is_integer(depth))
        spec.depth = (int)json_integer_value(depth);
    error = mtls_trust_store_load(&env, &spec, &data);
    *store = data;
    return error;
}

/* ---- judging ---- */

static verdict_t refused(const char *reason, const char *detail)
{
    verdict_t v = {reason, detail};

    return v;
}

static verdict_t judge_chain(case_t *c, mtls_purpose_t purpose, X509 *leaf)
{
    mtls_chain_ask_t ask = {.purpose = purpose};
    apr_array_header_t *sent = apr_array_make(c->p, 4, sizeof(X509 *));
    STACK_OF(X509) *untrusted = sk_X509_new_null();
    const mtls_trust_store_t *store;
    mtls_chain_result_t result;
    const char *error;
    verdict_t v;
    int i;

    if ((error = read_certificates(c, "untrusted_intermediates", sent)) != NULL) {
        v = refused("(handshake)", error);
    } else if ((error = make_store(c, &store)) != NULL) {
        v = refused("(configuration)", error);
    } else {
        for (i = 0; i < sent->nelts; i++)
            sk_X509_push(untrusted, APR_ARRAY_IDX(sent, i, X509 *));
        ask.leaf = leaf;
        ask.untrusted = untrusted;
        ask.now = time_of(text_of(c->json, "validation_time"));
        mtls_chain_verify(c->p, store, &ask, &result);
        v = refused(mtls_reason_token(result.reason), result.detail ? result.detail : "");
    }
    sk_X509_free(untrusted);
    ERR_clear_error();
    return v;
}

/* Where a case says which server is asked for: whether the certificate is for another one. */
static int name_differs(case_t *c, const mtls_facts_t *facts)
{
    json_t *peer = json_object_get(c->json, "expected_peer_name");

    return json_is_object(peer) && strcmp(text_of(peer, "kind"), "RFC822") != 0 &&
           !mtls_server_name_matches(facts, mtls_span_of(text_of(peer, "value")));
}

static verdict_t judge(case_t *c, mtls_purpose_t purpose)
{
    apr_array_header_t *leaves = apr_array_make(c->p, 1, sizeof(X509 *));
    const char *error = read_certificates(c, "peer_certificate", leaves);
    const mtls_facts_t *facts = NULL;
    verdict_t v;

    if (!error)
        facts = mtls_x509_facts(c->p, APR_ARRAY_IDX(leaves, 0, X509 *), &error);
    if (!facts)
        return refused("certificate_malformed", error);
    v = judge_chain(c, purpose, APR_ARRAY_IDX(leaves, 0, X509 *));
    if (purpose == MTLS_PURPOSE_SERVER && strcmp(v.reason, "ok") == 0 && name_differs(c, facts))
        v = refused("san_mismatch", "");
    return v;
}

static class_t class_of(const case_t *c, const verdict_t *v)
{
    int ok = strcmp(v->reason, "ok") == 0;

    if (ok == c->expected)
        return SAME;
    return ok ? LOOSER : STRICTER;
}

/* ---- the whole file ---- */

/* "rfc5280::nc::case" is of the category "rfc5280::nc". */
static const char *category_of(apr_pool_t *p, const char *id)
{
    const char *at, *last = id + strlen(id);

    for (at = strstr(id, "::"); at; at = strstr(at + 2, "::"))
        last = at;
    return apr_pstrmemdup(p, id, (apr_size_t)(last - id));
}

static tally_t *tally_of(apr_hash_t *tallies, apr_array_header_t *order, const char *category)
{
    apr_pool_t *p = apr_hash_pool_get(tallies);
    tally_t *t = apr_hash_get(tallies, category, APR_HASH_KEY_STRING);

    if (!t) {
        t = apr_pcalloc(p, sizeof(*t));
        category = apr_pstrdup(p, category);
        apr_hash_set(tallies, category, APR_HASH_KEY_STRING, t);
        APR_ARRAY_PUSH(order, const char *) = category;
    }
    return t;
}

static void run_case(case_t *c, apr_hash_t *tallies, apr_array_header_t *order)
{
    verdict_t client = judge(c, MTLS_PURPOSE_CLIENT);
    verdict_t path = c->server ? judge(c, MTLS_PURPOSE_SERVER) : client;
    class_t class = class_of(c, &path);
    tally_t *t = tally_of(tallies, order, category_of(c->p, c->id));

    t->n[class]++;
    t->client_ok += strcmp(client.reason, "ok") == 0;
    printf("%-8s %-66s expected %s ours %-21s as client %-21s %s\n", class_names[class], c->id,
           c->expected ? "ok  " : "fail", path.reason, client.reason, path.detail);
}

static void summary(apr_hash_t *tallies, const apr_array_header_t *order)
{
    tally_t all = {{0}, 0};
    int i, j, k;

    printf("\n%-16s %6s %6s %9s %7s\n", "category", "cases", "same", "stricter", "looser");
    for (i = 0; i <= order->nelts; i++) {
        const char *category = i < order->nelts ? APR_ARRAY_IDX(order, i, const char *) : "all";
        const tally_t *t =
            i < order->nelts ? apr_hash_get(tallies, category, APR_HASH_KEY_STRING) : &all;
        for (j = 0, k = 0; j < CLASSES; j++) {
            k += t->n[j];
            if (t != &all)
                all.n[j] += t->n[j];
        }
        printf("%-16s %6d %6d %9d %7d\n", category, k, t->n[SAME], t->n[STRICTER], t->n[LOOSER]);
    }
}

static void run_all(apr_pool_t *p, const json_t *cases, const char *prefix)
{
    apr_hash_t *tallies = apr_hash_make(p);
    apr_array_header_t *order = apr_array_make(p, 16, sizeof(const char *));
    case_t c;
    size_t i;

    for (i = 0; i < json_array_size(cases); i++) {
        c.json = json_array_get(cases, i);
        c.id = text_of(c.json, "id");
        c.expected = strcmp(text_of(c.json, "expected_result"), "SUCCESS") == 0;
        c.server = strcmp(text_of(c.json, "validation_kind"), "SERVER") == 0;
        if (strncmp(c.id, prefix, strlen(prefix)) != 0)
            continue;
        apr_pool_create(&c.p, p);
        run_case(&c, tallies, order);
        apr_pool_destroy(c.p);
    }
    summary(tallies, order);
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *limbo;
    apr_pool_t *p;

    if (argc < 2 || apr_initialize() != APR_SUCCESS || apr_pool_create(&p, NULL) != APR_SUCCESS) {
        fprintf(stderr, "usage: limbo FILE [PREFIX]\n");
        return 2;
    }
    limbo = json_load_file(argv[1], 0, &error);
    if (!limbo || json_array_size(json_object_get(limbo, "testcases")) == 0) {
        fprintf(stderr, "%s: %s\n", argv[1], limbo ? "no test cases" : error.text);
        return 1;
    }
    run_all(p, json_object_get(limbo, "testcases"), argc > 2 ? argv[2] : "");
    json_decref(limbo);
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
