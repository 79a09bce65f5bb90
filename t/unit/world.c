/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "world.h"

#include "policy/limits.h"

/* ---- parsing ---- */

static const struct {
    const char *name;
    const char *oid;
} oids[] = {
    {"CN", "2.5.4.3"},
    {"commonName", "2.5.4.3"},
    {"serialNumber", "2.5.4.5"},
    {"C", "2.5.4.6"},
    {"L", "2.5.4.7"},
    {"ST", "2.5.4.8"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"emailAddress", "1.2.840.113549.1.9.1"},
    {"clientAuth", "1.3.6.1.5.5.7.3.2"},
    {"serverAuth", "1.3.6.1.5.5.7.3.1"},
};

const char *world_oid(apr_pool_t *p, const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(oids) / sizeof(oids[0]); i++) {
        if (strcmp(oids[i].name, name) == 0)
            return oids[i].oid;
    }
    if (*name >= '0' && *name <= '9' && strchr(name, '.') &&
        strspn(name, "0123456789.") == strlen(name))
        return apr_pstrdup(p, name);
    return NULL;
}

static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    world_t *world = env->baton;
    const world_file_t *f;

    for (f = world->files; f && f->path; f++) {
        if (strcmp(f->path, path) == 0) {
            world->files_read++;
            *text = mtls_span(f->text, f->len ? f->len : strlen(f->text));
            return NULL;
        }
    }
    return apr_psprintf(env->p, "%s cannot be read", path);
}

/* Certificates are known by one byte, repeated. */
static mtls_span_t digest_of(apr_pool_t *p, int byte)
{
    char *out = apr_palloc(p, MTLS_DIGEST_BYTES);

    memset(out, byte, MTLS_DIGEST_BYTES);
    return mtls_span(out, MTLS_DIGEST_BYTES);
}

static const char *read_certificates(mtls_parse_env_t *env, const char *path,
                                     apr_array_header_t *digests)
{
    if (strcmp(path, "ca.pem") == 0 || strcmp(path, "two.pem") == 0)
        APR_ARRAY_PUSH(digests, mtls_span_t) = digest_of(env->p, 0x11);
    if (strcmp(path, "root.pem") == 0 || strcmp(path, "two.pem") == 0)
        APR_ARRAY_PUSH(digests, mtls_span_t) = digest_of(env->p, 0x33);
    if (strcmp(path, "other.pem") == 0)
        APR_ARRAY_PUSH(digests, mtls_span_t) = digest_of(env->p, 0x44);
    return digests->nelts ? NULL : apr_psprintf(env->p, "%s holds no certificate", path);
}

static const char *compile_expr(mtls_parse_env_t *env, const char *text, const void **expr)
{
    *expr = apr_pstrdup(env->p, text);
    return strncmp(text, "bad", 3) == 0 ? "syntax error in the expression" : NULL;
}

int world_eval(void *baton, const void *expr)
{
    int *calls = baton;

    if (calls)
        (*calls)++;
    if (strncmp(expr, "error", 5) == 0)
        return -1;
    return strncmp(expr, "true", 4) == 0;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    world_t *world = env->baton;

    world->warning = text;
}

void world_init(world_t *world, apr_pool_t *p, const world_file_t *files)
{
    memset(world, 0, sizeof(*world));
    world->files = files;
    world->env.p = p;
    world->env.where = "test.conf:7";
    world->env.baton = world;
    world->env.oid_of = world_oid;
    world->env.read_file = read_file;
    world->env.read_certificates = read_certificates;
    world->env.compile_expr = compile_expr;
    world->env.warn = warn;
}

/* ---- lists that are loaded again ---- */

typedef struct source_t {
    mtls_load_fn load;
    const void *what;
    mtls_live_t *live;
} source_t;

/* Into a pool of its own, as the server does it. */
static const char *load_source(world_t *world, const source_t *source)
{
    const mtls_version_t *before = mtls_live_take(source->live);
    mtls_parse_env_t env = world->env;
    const void *data = NULL;
    const char *error;

    if (apr_pool_create(&env.p, NULL) != APR_SUCCESS)
        return "out of memory";
    env.before = before ? before->data : NULL;
    env.again = world->env.again || before != NULL;
    error = source->load(&env, source->what, &data);
    mtls_live_give_back(source->live, before);
    error = error ? apr_pstrdup(world->env.p, error) : NULL;
    if (error || !data)
        apr_pool_destroy(env.p);
    else
        mtls_live_replace(source->live, env.p, data);
    return error;
}

static const char *watch(mtls_parse_env_t *env, mtls_load_fn load, const void *what,
                         mtls_live_t **live)
{
    world_t *world = env->baton;
    source_t source = {load, what, mtls_live_make(env->p)};
    const char *error;

    *live = source.live;
    if (!source.live)
        return "out of memory";
    if ((error = load_source(world, &source)) == NULL)
        APR_ARRAY_PUSH(world->sources, source_t) = source;
    return error;
}

void world_watch(world_t *world)
{
    world->sources = apr_array_make(world->env.p, 4, sizeof(source_t));
    world->env.watch = watch;
}

const char *world_reload(world_t *world)
{
    const char *error = NULL, *each;
    int i;

    for (i = 0; i < world->sources->nelts; i++) {
        each = load_source(world, &APR_ARRAY_IDX(world->sources, i, source_t));
        error = error ? error : each;
    }
    return error;
}

/* ---- the peer ---- */

static void set(mtls_name_attribute_t *a, const char *oid, const char *value, int rdn)
{
    memset(a, 0, sizeof(*a));
    a->oid = oid;
    a->value = mtls_span_of(value);
    a->rdn = rdn;
}

void peer_rename(peer_t *peer, apr_pool_t *p)
{
    peer->facts.subject.attributes = peer->subject;
    peer->facts.subject.canonical = mtls_name_canonical(p, peer->subject, peer->facts.subject.n);
    peer->facts.issuer.attributes = peer->issuer;
    peer->facts.issuer.canonical = mtls_name_canonical(p, peer->issuer, peer->facts.issuer.n);
}

static void init_names(peer_t *peer, apr_pool_t *p)
{
    set(&peer->subject[0], "2.5.4.6", "CH", 0);
    set(&peer->subject[1], "2.5.4.10", "Big Partner Foo SA", 1);
    set(&peer->subject[2], "2.5.4.11", "Sales", 2);
    set(&peer->subject[3], "2.5.4.11", "API", 3);
    set(&peer->subject[4], "2.5.4.11", "Ops", 3);
    set(&peer->subject[5], "2.5.4.3", "client.bigpartner.example", 4);
    peer->facts.subject.n = 6;
    peer->facts.subject.rfc4514 =
        "CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH";
    set(&peer->issuer[0], "2.5.4.10", "Carcano", 0);
    set(&peer->issuer[1], "2.5.4.3", "CARC I101L", 1);
    peer->facts.issuer.n = 2;
    peer->facts.issuer.rfc4514 = "CN=CARC I101L,O=Carcano";
    peer->facts.subject.rfc2253 = peer->facts.subject.rfc4514;
    peer->facts.issuer.rfc2253 = peer->facts.issuer.rfc4514;
    peer_rename(peer, p);
}

void peer_add_san(peer_t *peer, apr_pool_t *p, mtls_san_type_t type, mtls_span_t value)
{
    static const mtls_kind_t kinds[MTLS_SAN_TYPES] = {
        [MTLS_SAN_DNS] = MTLS_KIND_DNS,     [MTLS_SAN_URI] = MTLS_KIND_URI,
        [MTLS_SAN_EMAIL] = MTLS_KIND_EMAIL, [MTLS_SAN_IP] = MTLS_KIND_IP,
        [MTLS_SAN_UPN] = MTLS_KIND_TEXT,
    };
    int n = peer->facts.san[type].n++;

    peer->facts.san_folded[type].n = n + 1;
    peer->facts.san[type].v = peer->san[type];
    peer->facts.san_folded[type].v = peer->folded[type];
    peer->san[type][n] = value;
    peer->folded[type][n] = mtls_value_fold(p, kinds[type], value);
}

static void init_chain(peer_t *peer)
{
    int i;

    for (i = 0; i < 3; i++) {
        memset(peer->links[i].sha256, 0x11 * (i + 1), MTLS_DIGEST_BYTES);
        memset(peer->links[i].spki_sha256, 0x91 + i, MTLS_DIGEST_BYTES);
    }
    peer->domains[0] = "lab.carcano.corp";
    peer->chain.trust_store = "vhost";
    peer->chain.trust_domains = peer->domains;
    peer->chain.links = peer->links;
    peer->chain.n = 3;
}

void peer_init(peer_t *peer, apr_pool_t *p)
{
    mtls_facts_t *f = &peer->facts;

    memset(peer, 0, sizeof(*peer));
    init_names(peer, p);
    peer_add_san(peer, p, MTLS_SAN_DNS, mtls_span_of("Client.BigPartner.example"));
    peer_add_san(peer, p, MTLS_SAN_DNS, mtls_span_of("*.bigpartner.example"));
    peer_add_san(peer, p, MTLS_SAN_URI,
                 mtls_span_of("spiffe://lab.carcano.corp/ns/prod/sa/orders"));
    peer_add_san(peer, p, MTLS_SAN_EMAIL, mtls_span_of("Ops@BigPartner.example"));
    peer_add_san(peer, p, MTLS_SAN_IP, mtls_span("\xc0\x00\x02\x0a", 4));
    peer_add_san(peer, p, MTLS_SAN_UPN, mtls_span_of("ops@corp.example"));
    peer->eku[0] = mtls_span_of("1.3.6.1.5.5.7.3.2");
    f->eku.v = peer->eku;
    f->eku.n = 1;
    peer->policies[0] = mtls_span_of("1.3.6.1.4.1.99999.1");
    f->policies.v = peer->policies;
    f->policies.n = 1;
    peer->extensions[0].oid = "1.3.6.1.4.1.99999.2";
    peer->extensions[0].text = mtls_span_of("blue");
    f->extensions = peer->extensions;
    f->extension_count = 1;
    f->der = mtls_span_of("not really DER");
    memset(f->sha256, 0xaa, MTLS_DIGEST_BYTES);
    memset(f->spki_sha256, 0xbb, MTLS_DIGEST_BYTES);
    f->serial = "1f00a3";
    f->not_before = WORLD_NOW - 10 * WORLD_DAYS;
    f->not_after = WORLD_NOW + 80 * WORLD_DAYS;
    f->key.type = "ec";
    f->key.curve = "prime256v1";
    f->key.bits = 256;
    init_chain(peer);
    peer->evidence.tls = 1;
    peer->evidence.presented = 1;
    peer->evidence.facts = f;
    peer->evidence.chain_reason = MTLS_OK;
    peer->evidence.chain = &peer->chain;
    peer->evidence.valid_until = f->not_after;
}

/* ---- policies as text ---- */

static const char *add_line(world_t *world, const char *line, mtls_rule_t **open, int *depth,
                            mtls_policy_t *policy)
{
    mtls_rule_t *rule = NULL;
    const char *error = NULL;

    if (strcmp(line, "any {") == 0 || strcmp(line, "all {") == 0) {
        if (*depth + 1 >= MTLS_MAX_RULE_DEPTH)
            return "too deep";
        open[++*depth] =
            mtls_rule_group(&world->env, line[1] == 'n' ? MTLS_RULE_ANY : MTLS_RULE_ALL);
        return NULL;
    }
    if (strcmp(line, "}") == 0) {
        if (*depth == 0)
            return "no group is open";
        rule = open[(*depth)--];
    } else {
        error = mtls_rule_parse(&world->env, line, &rule);
    }
    if (error)
        return error;
    if (*depth > 0)
        mtls_rule_group_add(open[*depth], rule);
    else
        mtls_policy_add(policy, rule);
    return NULL;
}

const char *world_policy(world_t *world, const char *text, mtls_policy_t **policy)
{
    mtls_rule_t *open[MTLS_MAX_RULE_DEPTH] = {NULL};
    char *copy = apr_pstrdup(world->env.p, text), *end;
    const char *error = NULL;
    int depth = 0;

    *policy = mtls_policy_make(world->env.p, "test");
    while (copy && !error) {
        if ((end = strchr(copy, '\n')) != NULL)
            *end++ = '\0';
        copy += strspn(copy, " ");
        if (*copy)
            error = add_line(world, copy, open, &depth, *policy);
        copy = end;
    }
    return error ? error : depth > 0 ? "a group is not closed" : NULL;
}
