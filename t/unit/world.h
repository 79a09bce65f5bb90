/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A small world for tests of policy/, without OpenSSL and without cmocka (the fuzz targets live in
 * it too): files in memory, a table of OIDs, expressions that answer by their text, and a peer of
 * whom everything is known. */

#ifndef MTLS_UNIT_WORLD_H
#define MTLS_UNIT_WORLD_H

#include "policy/policy.h"

/* The moment all tests take for now: 2027-01-15T08:00:00Z. */
#define WORLD_NOW  apr_time_from_sec(APR_TIME_C(1800000000))
#define WORLD_DAYS apr_time_from_sec(APR_TIME_C(86400))

/* What stands in a file of the world. `len` 0: `text` ends at its NUL. */
typedef struct world_file_t {
    const char *path;
    const char *text;
    apr_size_t len;
} world_file_t;

typedef struct world_t {
    mtls_parse_env_t env;
    const world_file_t *files; /* ended by a NULL path; may be NULL */
    int files_read;
    const char *warning; /* the last one */
    apr_array_header_t *sources;
} world_t;

/* A world whose parsed things live in `p`. The file "ca.pem" holds the certificate of the peer's
 * issuer, "root.pem" its anchor, "two.pem" both and "other.pem" a third. Expressions: those that
 * start with "bad" do not compile. */
void world_init(world_t *world, apr_pool_t *p, const world_file_t *files);

/* From now on every list that is parsed is a source that can be loaded again. Set env.again first
 * for what a restart would make of it. */
void world_watch(world_t *world);

/* Load all sources from what stands in world->files now. NULL or the first error; what could not be
 * loaded stays as it was. */
const char *world_reload(world_t *world);

/* mtls_oid_lookup_t over a small table; dotted OIDs stand for themselves. */
const char *world_oid(apr_pool_t *p, const char *name);

/* mtls_expr_fn: "true..." 1, "error..." -1, anything else 0. `baton` is an int that counts calls,
 * or NULL. */
int world_eval(void *baton, const void *expr);

/* The peer most cases look at:
 * subject CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH, issuer
 * CN=CARC I101L,O=Carcano, a chain of three, all kinds of SAN. Valid from 10 days before WORLD_NOW
 * to 80 days after. */
typedef struct peer_t {
    mtls_name_attribute_t subject[8];
    mtls_name_attribute_t issuer[4];
    mtls_span_t san[MTLS_SAN_TYPES][4];
    mtls_span_t folded[MTLS_SAN_TYPES][4];
    mtls_span_t eku[4];
    mtls_span_t policies[2];
    mtls_extension_t extensions[2];
    mtls_chain_link_t links[3];
    const char *domains[2];
    mtls_facts_t facts;
    mtls_chain_t chain;
    mtls_evidence_t evidence;
} peer_t;

void peer_init(peer_t *peer, apr_pool_t *p);

/* To be called after a change of peer->subject and facts.subject.n. */
void peer_rename(peer_t *peer, apr_pool_t *p);

/* One SAN more (or the first), of a type. */
void peer_add_san(peer_t *peer, apr_pool_t *p, mtls_san_type_t type, mtls_span_t value);

/* Parse rules, one a line; the lines "any {", "all {" and "}" make groups. NULL or what is wrong.
 */
const char *world_policy(world_t *world, const char *text, mtls_policy_t **policy);

#endif
