/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain: a chain is built, verified at a given moment, and its answer holds until a given one.
 */

#include "suite.h"

#include <pthread.h>

#include <apr_hash.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "pki/chain.h"
#include "pki/chain_cache.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

/* Seconds relative to WORLD_NOW. */
#define DAY        86400
#define ROOT_DAYS  1000
#define INTER_DAYS 500
#define LEAF_DAYS  100
#define FOREVER    APR_INT64_MAX /* as a row's `until` */

/* What differs from the usual: NULL and 0 take the default, "-" leaves an extension out. */
typedef struct part_t {
    long from, to; /* days from WORLD_NOW */
    const char *constraints, *usage, *eku, *san;
    const char *extra[2];
    key_kind_t key_kind;
    int key;
    int sha1;
    int version1;
} part_t;

typedef enum setting_t {
    USUAL = 0,        /* the root is the anchor, the client sends the intermediate */
    CONFIGURED,       /* root and intermediate are in the store */
    NOTHING_SENT,     /* the client sends its own certificate only */
    LOOKALIKE_ISSUER, /* the store has the intermediate's twin: same name, another key */
    LOOKALIKE_SENT,   /* the client sends the twin instead */
    LOOKALIKE_ROOT,   /* the anchor is the root's twin */
    STRANGER,         /* the store knows another root only */
    EMPTY_STORE,
    UNDER_ROOT,       /* the root signs the leaf */
    LEAF_IS_ANCHOR,   /* the store has the leaf itself, self-signed */
    LEAF_IS_PARTIAL,  /* the store has only the leaf, and lets any certificate be an anchor */
    INTER_IS_PARTIAL, /* the store has only the intermediate, and lets it be an anchor */
    INTER_NO_PARTIAL, /* the same, but it does not */
    SELF_SIGNED,      /* the leaf is self-signed and not in the store */
    SENT_LEAF_TOO,    /* the client's list starts with its own certificate */
    SENT_17,
    SENT_18,
    CRL_GOOD,
    CRL_REVOKED,
    CRL_MISSING,
    CRL_EXPIRED,
    CRL_FUTURE,
    CRL_LEAF_ONLY
} setting_t;

static const struct chain_row {
    const char *name;
    setting_t setting;
    part_t root, inter, leaf;
    long now;  /* seconds from WORLD_NOW */
    int depth; /* 0: the default; -1: none */
    const char *reason;
    apr_int64_t until; /* seconds from WORLD_NOW; 0: not looked at */
} chains[] = {
    {.name = "good", .reason = "ok", .until = LEAF_DAYS * DAY},
    {.name = "good with a configured intermediate",
     .setting = CONFIGURED,
     .reason = "ok",
     .until = LEAF_DAYS * DAY},
    {.name = "good directly under the root",
     .setting = UNDER_ROOT,
     .reason = "ok",
     .until = LEAF_DAYS * DAY},
    {.name = "good when the client's list starts with its own",
     .setting = SENT_LEAF_TOO,
     .reason = "ok",
     .until = LEAF_DAYS * DAY},
    {.name = "good: an intermediate that ends first",
     .inter = {.to = 50},
     .reason = "ok",
     .until = 50 * DAY},
    {.name = "good: an anchor that ends first",
     .root = {.to = 20},
     .reason = "ok",
     .until = 20 * DAY},
    {.name = "good: no extended key usage at all", .leaf = {.eku = "-"}, .reason = "ok"},
    {.name = "good: several usages", .leaf = {.eku = "serverAuth,clientAuth"}, .reason = "ok"},
    {.name = "good: RSA 2048 intermediate", .inter = {.key_kind = KEY_RSA2048}, .reason = "ok"},
    {.name = "good: Ed25519 leaf", .leaf = {.key_kind = KEY_ED25519}, .reason = "ok"},

    {.name = "leaf expired", .leaf = {.to = -1}, .reason = "expired", .until = 60},
    {.name = "leaf at its notAfter",
     .now = LEAF_DAYS * DAY,
     .reason = "expired",
     .until = LEAF_DAYS * DAY + 60},
    {.name = "leaf a second before its notAfter",
     .now = LEAF_DAYS * DAY - 1,
     .reason = "ok",
     .until = LEAF_DAYS * DAY},
    {.name = "leaf not yet valid", .leaf = {.from = 1}, .reason = "not_yet_valid", .until = 60},
    {.name = "leaf a second before its notBefore",
     .leaf = {.from = 1},
     .now = DAY - 1,
     .reason = "not_yet_valid",
     .until = DAY},
    {.name = "leaf at its notBefore", .leaf = {.from = 1}, .now = DAY, .reason = "ok"},
    {.name = "intermediate expired", .inter = {.to = -1}, .reason = "expired"},
    {.name = "intermediate at its notAfter",
     .inter = {.to = 50},
     .now = 50 * DAY,
     .reason = "expired"},
    {.name = "intermediate a second before its notAfter",
     .inter = {.to = 50},
     .now = 50 * DAY - 1,
     .reason = "ok",
     .until = 50 * DAY},
    {.name = "intermediate not yet valid", .inter = {.from = 1}, .reason = "not_yet_valid"},
    {.name = "configured intermediate expired",
     .setting = CONFIGURED,
     .inter = {.to = -1},
     .reason = "expired"},
    {.name = "anchor expired", .root = {.to = -1}, .reason = "expired"},
    {.name = "anchor at its notAfter", .root = {.to = 20}, .now = 20 * DAY, .reason = "expired"},
    {.name = "anchor not yet valid", .root = {.from = 1}, .reason = "not_yet_valid"},

    {.name = "purpose: server only", .leaf = {.eku = "serverAuth"}, .reason = "purpose_mismatch"},
    {.name = "purpose: email only",
     .leaf = {.eku = "emailProtection"},
     .reason = "purpose_mismatch"},
    {.name = "purpose: any is not client",
     .leaf = {.eku = "anyExtendedKeyUsage"},
     .reason = "purpose_mismatch"},
    {.name = "purpose: intermediate for servers",
     .inter = {.eku = "serverAuth"},
     .reason = "purpose_mismatch"},
    {.name = "purpose: intermediate for clients", .inter = {.eku = "clientAuth"}, .reason = "ok"},
    {.name = "purpose: key usage without signature",
     .leaf = {.usage = "critical,keyEncipherment"},
     .reason = "purpose_mismatch"},
    {.name = "purpose: key agreement is enough",
     .leaf = {.usage = "critical,keyAgreement"},
     .reason = "ok"},
    {.name = "purpose: leaf is a CA",
     .leaf = {.constraints = "critical,CA:TRUE", .usage = "critical,digitalSignature,keyCertSign"},
     .reason = "purpose_mismatch"},

    {.name = "the leaf as anchor", .setting = LEAF_IS_ANCHOR, .reason = "chain_invalid"},
    {.name = "the leaf as anchor, a CA",
     .setting = LEAF_IS_ANCHOR,
     .leaf = {.constraints = "critical,CA:TRUE", .usage = "-"},
     .reason = "chain_invalid"},
    {.name = "the leaf as anchor of a partial chain",
     .setting = LEAF_IS_PARTIAL,
     .reason = "chain_invalid"},
    {.name = "the intermediate as anchor of a partial chain",
     .setting = INTER_IS_PARTIAL,
     .reason = "ok",
     .until = LEAF_DAYS * DAY},
    {.name = "the intermediate is no anchor by itself",
     .setting = INTER_NO_PARTIAL,
     .reason = "chain_incomplete"},
    {.name = "self-signed", .setting = SELF_SIGNED, .reason = "chain_untrusted"},
    {.name = "unknown root", .setting = STRANGER, .reason = "chain_incomplete", .until = 60},
    {.name = "empty store", .setting = EMPTY_STORE, .reason = "chain_incomplete", .until = 60},
    {.name = "intermediate missing",
     .setting = NOTHING_SENT,
     .reason = "chain_incomplete",
     .until = 2},
    {.name = "look-alike of the intermediate configured",
     .setting = LOOKALIKE_ISSUER,
     .reason = "chain_untrusted"},
    {.name = "look-alike of the intermediate configured, no key identifiers",
     .setting = LOOKALIKE_ISSUER,
     .inter = {.extra = {"-skid", "-akid"}},
     .leaf = {.extra = {"-akid", NULL}},
     .reason = "chain_untrusted"},
    {.name = "look-alike of the intermediate sent",
     .setting = LOOKALIKE_SENT,
     .reason = "chain_untrusted"},
    {.name = "look-alike of the intermediate sent, no key identifiers",
     .setting = LOOKALIKE_SENT,
     .inter = {.extra = {"-skid", "-akid"}},
     .leaf = {.extra = {"-akid", NULL}},
     .reason = "chain_untrusted"},
    {.name = "look-alike of the root", .setting = LOOKALIKE_ROOT, .reason = "chain_untrusted"},
    {.name = "look-alike of the root, no key identifiers",
     .setting = LOOKALIKE_ROOT,
     .root = {.extra = {"-skid", NULL}},
     .inter = {.extra = {"-akid", NULL}},
     .reason = "chain_untrusted"},

    {.name = "intermediate that is no CA",
     .inter = {.constraints = "CA:FALSE"},
     .reason = "chain_invalid"},
    {.name = "intermediate without basic constraints",
     .inter = {.constraints = "-"},
     .reason = "chain_invalid"},
    {.name = "intermediate that may not sign",
     .inter = {.usage = "critical,digitalSignature"},
     .reason = "chain_invalid"},
    {.name = "path length of the root",
     .root = {.constraints = "critical,CA:TRUE,pathlen:0"},
     .reason = "chain_invalid"},
    {.name = "path length that suffices",
     .root = {.constraints = "critical,CA:TRUE,pathlen:1"},
     .inter = {.constraints = "critical,CA:TRUE,pathlen:0"},
     .reason = "ok"},
    {.name = "depth of one", .depth = 1, .reason = "ok"},
    {.name = "depth of none", .depth = -1, .reason = "chain_invalid"},
    {.name = "depth of none, directly under the root",
     .setting = UNDER_ROOT,
     .depth = -1,
     .reason = "ok"},
    {.name = "unknown critical extension in the leaf",
     .leaf = {.extra = {"1.3.6.1.4.1.99999.2=critical,ASN1:UTF8:x"}},
     .reason = "chain_invalid"},
    {.name = "unknown extension in the leaf",
     .leaf = {.extra = {"1.3.6.1.4.1.99999.2=ASN1:UTF8:x"}},
     .reason = "ok"},
    {.name = "unknown critical extension in the intermediate",
     .inter = {.extra = {"1.3.6.1.4.1.99999.2=critical,ASN1:UTF8:x"}},
     .reason = "chain_invalid"},
    {.name = "unknown critical extension in the root",
     .root = {.extra = {"1.3.6.1.4.1.99999.2=critical,ASN1:UTF8:x"}},
     .reason = "chain_invalid"},
    {.name = "name constraint permits",
     .inter = {.extra = {"nameConstraints=critical,permitted;DNS:"
                         "partner.example"}},
     .leaf = {.san = "DNS:a.partner.example"},
     .reason = "ok"},
    {.name = "name constraint does not permit",
     .inter = {.extra = {"nameConstraints=critical,permitted;DNS:partner.example"}},
     .leaf = {.san = "DNS:a.other.example"},
     .reason = "chain_invalid"},
    {.name = "name constraint excludes",
     .inter = {.extra = {"nameConstraints=critical,excluded;email:.other.example"}},
     .leaf = {.san = "email:ops@a.other.example"},
     .reason = "chain_invalid"},
    {.name = "name constraint on a directory name",
     .inter = {.extra = {"nameConstraints=critical,excluded;IP:192.0.2.0/255.255.255.0"}},
     .leaf = {.san = "IP:192.0.2.10"},
     .reason = "chain_invalid"},

    {.name = "weak: RSA 1024 leaf", .leaf = {.key_kind = KEY_RSA1024}, .reason = "chain_weak"},
    {.name = "weak: RSA 1024 intermediate",
     .inter = {.key_kind = KEY_RSA1024},
     .reason = "chain_weak"},
    {.name = "weak: P-192 leaf", .leaf = {.key_kind = KEY_P192}, .reason = "chain_weak"},
    {.name = "weak: SHA-1 on the leaf", .leaf = {.sha1 = 1}, .reason = "chain_weak"},
    {.name = "weak: SHA-1 on the intermediate", .inter = {.sha1 = 1}, .reason = "chain_weak"},
    {.name = "SHA-1 on the anchor proves nothing and hurts nothing",
     .root = {.sha1 = 1},
     .reason = "ok"},

    {.name = "seventeen certificates from the client", .setting = SENT_17, .reason = "ok"},
    {.name = "eighteen certificates from the client",
     .setting = SENT_18,
     .reason = "chain_invalid",
     .until = FOREVER},

    {.name = "CRLs of the whole chain", .setting = CRL_GOOD, .reason = "ok", .until = 7 * DAY},
    {.name = "CRLs of the whole chain, a second before nextUpdate",
     .setting = CRL_GOOD,
     .now = 7 * DAY - 1,
     .reason = "ok",
     .until = 7 * DAY},
    {.name = "CRLs of the whole chain at nextUpdate",
     .setting = CRL_GOOD,
     .now = 7 * DAY,
     .reason = "crl_unavailable"},
    {.name = "CRL that revokes the leaf", .setting = CRL_REVOKED, .reason = "revoked_crl"},
    {.name = "CRL missing", .setting = CRL_MISSING, .reason = "crl_unavailable"},
    {.name = "CRL expired", .setting = CRL_EXPIRED, .reason = "crl_unavailable"},
    {.name = "CRL of the future", .setting = CRL_FUTURE, .reason = "crl_unavailable"},
    {.name = "CRL of the leaf's issuer only, and only that asked for",
     .setting = CRL_LEAF_ONLY,
     .reason = "ok",
     .until = 7 * DAY},
};

/* ---- making the three ---- */

static int wants(const part_t *part, const char *what)
{
    return !(part->extra[0] && strcmp(part->extra[0], what) == 0) &&
           !(part->extra[1] && strcmp(part->extra[1], what) == 0);
}

static void extend(certificate_t *spec, const char *name, const char *usual, const char *changed)
{
    int n = 0;

    if (!usual || (changed && strcmp(changed, "-") == 0))
        return;
    while (spec->extensions[n])
        n++;
    spec->extensions[n] = apr_pstrcat(pool, name, changed ? changed : usual, NULL);
}

static X509 *make(const part_t *part, const char *cn, int ca, long days, int key,
                  const issuer_t *issuer)
{
    certificate_t spec = {.subject = {{"O", 0, "Carcano", 0, 0}, {"CN", 0, cn, 0, 0}}};
    int i;

    spec.from = WORLD_NOW + (part->from ? part->from : -days) * WORLD_DAYS;
    spec.to = WORLD_NOW + (part->to ? part->to : days) * WORLD_DAYS;
    spec.key_kind = part->key_kind;
    spec.key = key;
    spec.sha1 = part->sha1;
    extend(&spec, "basicConstraints=", ca ? "critical,CA:TRUE" : "CA:FALSE", part->constraints);
    extend(&spec, "keyUsage=", ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature",
           part->usage);
    extend(&spec, "extendedKeyUsage=", ca && !part->eku ? NULL : "clientAuth", part->eku);
    extend(&spec, "subjectAltName=", part->san, NULL);
    if (ca && wants(part, "-skid"))
        extend(&spec, "subjectKeyIdentifier=", "hash", NULL);
    if (issuer && wants(part, "-akid") && X509_get0_subject_key_id(issuer->x))
        extend(&spec, "authorityKeyIdentifier=", "keyid:always", NULL);
    for (i = 0; i < 2; i++) {
        if (part->extra[i] && part->extra[i][0] != '-')
            extend(&spec, "", part->extra[i], NULL);
    }
    return certificate_make(pool, &spec, issuer);
}

typedef struct three_t {
    issuer_t root, inter;
    X509 *leaf;
    X509_STORE *store;
    STACK_OF(X509) * sent;
    mtls_purpose_t purpose;
} three_t;

static apr_status_t drop_store(void *store)
{
    X509_STORE_free(store);
    return APR_SUCCESS;
}

static void trust(three_t *t, X509 *x)
{
    assert_int_equal(X509_STORE_add_cert(t->store, x), 1);
}

/* The same name and attributes as another CA, but a key of its own. */
static X509 *twin(const part_t *part, const char *cn, const issuer_t *issuer)
{
    return make(part, cn, 1, ROOT_DAYS, 5, issuer);
}

static void add_crl(three_t *t, const issuer_t *issuer, const char *serial, long from, long to)
{
    X509_CRL *crl =
        crl_make(pool, issuer, serial, WORLD_NOW + from * WORLD_DAYS, WORLD_NOW + to * WORLD_DAYS);

    assert_int_equal(X509_STORE_add_crl(t->store, crl), 1);
}

static void set_crls(three_t *t, setting_t setting)
{
    unsigned long flags = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;

    if (setting == CRL_LEAF_ONLY)
        flags = X509_V_FLAG_CRL_CHECK;
    else
        add_crl(t, &t->root, NULL, -1, 30);
    X509_STORE_set_flags(t->store, flags);
    if (setting == CRL_GOOD || setting == CRL_LEAF_ONLY)
        add_crl(t, &t->inter, "77", -1, 7);
    else if (setting == CRL_REVOKED)
        add_crl(t, &t->inter, "1001", -1, 7);
    else if (setting == CRL_EXPIRED)
        add_crl(t, &t->inter, NULL, -9, -1);
    else if (setting == CRL_FUTURE)
        add_crl(t, &t->inter, NULL, 1, 7);
}

static void send_many(three_t *t, int n)
{
    while (sk_X509_num(t->sent) < n) {
        assert_int_equal(X509_up_ref(t->leaf), 1);
        assert_true(sk_X509_push(t->sent, t->leaf) > 0);
    }
}

static void set_scene(three_t *t, const struct chain_row *row)
{
    static const part_t stranger = {0};
    const issuer_t other_root = {twin(&row->root, "Root R1", NULL), key_get(KEY_P256, 5)};

    t->sent = stack_of(pool, t->inter.x, NULL);
    trust(t, row->setting == LOOKALIKE_ROOT ? other_root.x
             : row->setting == STRANGER     ? make(&stranger, "Other", 1, ROOT_DAYS, 6, NULL)
                                            : t->root.x);
    switch (row->setting) {
    case CONFIGURED:
        trust(t, t->inter.x);
        t->sent = NULL;
        break;
    case NOTHING_SENT:
    case UNDER_ROOT:
    case SELF_SIGNED:
        t->sent = NULL;
        break;
    case LOOKALIKE_ISSUER:
        trust(t, twin(&row->inter, "CARC I101L", &t->root));
        t->sent = NULL;
        break;
    case LOOKALIKE_SENT:
        t->sent = stack_of(pool, twin(&row->inter, "CARC I101L", &other_root), NULL);
        break;
    case LEAF_IS_ANCHOR:
        trust(t, t->leaf);
        t->sent = NULL;
        break;
    case SENT_LEAF_TOO:
        t->sent = stack_of(pool, t->leaf, t->inter.x, NULL);
        break;
    case SENT_17:
        send_many(t, MTLS_MAX_CLIENT_CHAIN + 1);
        break;
    case SENT_18:
        send_many(t, MTLS_MAX_CLIENT_CHAIN + 2);
        break;
    case CRL_GOOD:
    case CRL_REVOKED:
    case CRL_MISSING:
    case CRL_EXPIRED:
    case CRL_FUTURE:
    case CRL_LEAF_ONLY:
        set_crls(t, row->setting);
        break;
    default:
        break;
    }
}

static void set_store(three_t *t, const struct chain_row *row)
{
    t->store = X509_STORE_new();
    assert_non_null(t->store);
    apr_pool_cleanup_register(pool, t->store, drop_store, apr_pool_cleanup_null);
    if (row->setting == LEAF_IS_PARTIAL || row->setting == INTER_IS_PARTIAL ||
        row->setting == INTER_NO_PARTIAL) {
        trust(t, row->setting == LEAF_IS_PARTIAL ? t->leaf : t->inter.x);
        if (row->setting != INTER_NO_PARTIAL)
            X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN);
    } else if (row->setting == EMPTY_STORE) {
        t->sent = stack_of(pool, t->inter.x, NULL);
    } else {
        set_scene(t, row);
    }
}

static void make_three(three_t *t, const struct chain_row *row)
{
    memset(t, 0, sizeof(*t));
    t->root.key = key_get(row->root.key_kind, 0);
    t->root.x = make(&row->root, "Root R1", 1, ROOT_DAYS, 0, NULL);
    t->inter.key = key_get(row->inter.key_kind, 1);
    t->inter.x = make(&row->inter, "CARC I101L", 1, INTER_DAYS, 1, &t->root);
    t->leaf = make(&row->leaf, "client", 0, LEAF_DAYS, 2,
                   row->setting == UNDER_ROOT                                      ? &t->root
                   : row->setting == LEAF_IS_ANCHOR || row->setting == SELF_SIGNED ? NULL
                                                                                   : &t->inter);
    set_store(t, row);
}

static mtls_trust_store_t store_of(const three_t *t, int depth)
{
    mtls_trust_store_t store = {.name = "vhost",
                                .certificates = t->store,
                                .depth = depth > 0   ? depth
                                         : depth < 0 ? 0
                                                     : MTLS_DEFAULT_VERIFY_DEPTH};

    return store;
}

static mtls_chain_result_t verify(const three_t *t, const mtls_trust_store_t *store, X509 *leaf,
                                  apr_time_t now)
{
    mtls_chain_result_t result;

    memset(&result, 0x55, sizeof(result));
    mtls_chain_verify(pool, store, &(mtls_chain_ask_t){leaf, t->sent, t->purpose, now}, &result);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

static void chain_case(void **state)
{
    const struct chain_row *row = *state;
    apr_time_t now = WORLD_NOW + apr_time_from_sec(row->now);
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;
    int good = strcmp(row->reason, "ok") == 0;

    make_three(&t, row);
    store = store_of(&t, row->depth);
    result = verify(&t, &store, t.leaf, now);
    assert_string_equal(mtls_reason_token(result.reason), row->reason);
    assert_int_equal(result.openssl_error == X509_V_OK, good);
    assert_int_equal(result.chain != NULL, good);
    assert_int_equal(result.detail == NULL, good);
    assert_true(result.valid_until > now);
    if (row->until == FOREVER)
        assert_true(result.valid_until == MTLS_FOREVER);
    else if (row->until)
        assert_int_equal((result.valid_until - WORLD_NOW) / APR_USEC_PER_SEC, row->until);
}

/* ---- what a good chain says ---- */

static const struct chain_row usual = {.name = "usual", .setting = USUAL};

static void the_links_are_those_above_the_leaf(void **state)
{
    unsigned char certificate[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    static const char *const domains[] = {"lab.carcano.corp", NULL};
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = store_of(&t, 0);
    store.domains = domains;
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_int_equal(result.chain->n, 2);
    assert_string_equal(result.chain->trust_store, "vhost");
    assert_ptr_equal(result.chain->trust_domains, domains);
    assert_int_equal(mtls_x509_digests(t.inter.x, certificate, spki), 1);
    assert_memory_equal(result.chain->links[0].sha256, certificate, MTLS_DIGEST_BYTES);
    assert_memory_equal(result.chain->links[0].spki_sha256, spki, MTLS_DIGEST_BYTES);
    assert_int_equal(mtls_x509_digests(t.root.x, certificate, spki), 1);
    assert_memory_equal(result.chain->links[1].sha256, certificate, MTLS_DIGEST_BYTES);
}

static void an_intermediate_renewed_with_its_key_keeps_its_pin(void **state)
{
    static const struct chain_row renewed = {.name = "renewed", .inter = {.to = 600}};
    mtls_chain_result_t first, second;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = store_of(&t, 0);
    first = verify(&t, &store, t.leaf, WORLD_NOW);
    make_three(&t, &renewed);
    store = store_of(&t, 0);
    second = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_int_equal(first.reason, MTLS_OK);
    assert_int_equal(second.reason, MTLS_OK);
    assert_memory_equal(first.chain->links[0].spki_sha256, second.chain->links[0].spki_sha256,
                        MTLS_DIGEST_BYTES);
    assert_memory_not_equal(first.chain->links[0].sha256, second.chain->links[0].sha256,
                            MTLS_DIGEST_BYTES);
}

/* A signature that is wrong, and a key nobody knows. */
static void a_patched_leaf_is_refused(void **state)
{
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;
    X509 *patched;

    (void)state;
    make_three(&t, &usual);
    store = store_of(&t, 0);
    patched = certificate_patched(pool, t.leaf, "client", "admins", 6);
    assert_non_null(patched);
    result = verify(&t, &store, patched, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "chain_untrusted");
    patched = certificate_patched(pool, t.leaf, "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
                                  "\x06\x07\x2a\x86\x48\xce\x3d\x02\x63", 9);
    assert_non_null(patched);
    result = verify(&t, &store, patched, WORLD_NOW);
    assert_int_not_equal(result.reason, MTLS_OK);
    assert_int_not_equal(result.reason, MTLS_INTERNAL_ERROR);
}

static void flags_that_look_away_are_not_obeyed(void **state)
{
    static const struct chain_row expired = {.name = "expired", .leaf = {.to = -1}};
    static const struct chain_row critical = {
        .name = "critical", .leaf = {.extra = {"1.3.6.1.4.1.99999.2=critical,ASN1:UTF8:x"}}};
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &expired);
    X509_STORE_set_flags(t.store, X509_V_FLAG_NO_CHECK_TIME);
    store = store_of(&t, 0);
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "expired");
    make_three(&t, &critical);
    X509_STORE_set_flags(t.store, X509_V_FLAG_IGNORE_CRITICAL);
    store = store_of(&t, 0);
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "chain_invalid");
}

static int say_yes(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

/* mod_ssl's contexts carry callbacks that let errors pass; the error left behind must still count.
 */
static void a_callback_that_lets_pass_does_not_grant(void **state)
{
    static const struct chain_row expired = {.name = "expired", .leaf = {.to = -1}};
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &expired);
    X509_STORE_set_verify_cb(t.store, say_yes);
    store = store_of(&t, 0);
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "expired");
}

static void fractions_of_a_second_count_as_passed(void **state)
{
    apr_time_t end = WORLD_NOW + LEAF_DAYS * WORLD_DAYS;
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = store_of(&t, 0);
    result = verify(&t, &store, t.leaf, end - 1);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_true(result.valid_until == end);
    result = verify(&t, &store, t.leaf, end);
    assert_string_equal(mtls_reason_token(result.reason), "expired");
}

static void self_signed_certificates_count_as_anchors(void **state)
{
    static const struct chain_row configured = {.name = "configured", .setting = CONFIGURED};
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &configured);
    store = store_of(&t, 0);
    assert_int_equal(mtls_trust_store_anchors(&store), 1);
    trust(&t, twin(&configured.root, "Root R1", NULL));
    assert_int_equal(mtls_trust_store_anchors(&store), 2);
}

/* ---- signatures before revocation ---- */

static int lookups, verifications;

static int count_lookup(X509_CRL *crl, X509_REVOKED **found, const ASN1_INTEGER *serial,
                        const X509_NAME *issuer)
{
    (void)crl;
    (void)found;
    (void)serial;
    (void)issuer;
    lookups++;
    return 0;
}

static int count_verification(X509_CRL *crl, EVP_PKEY *key)
{
    (void)crl;
    (void)key;
    verifications++;
    return 1;
}

static apr_status_t drop_method(void *method)
{
    X509_CRL_METHOD_free(method);
    return APR_SUCCESS;
}

/* A list that counts whenever it is asked. */
static void add_counting_crl(three_t *t, const issuer_t *issuer)
{
    X509_CRL_METHOD *method = X509_CRL_METHOD_new(NULL, NULL, count_lookup, count_verification);
    mtls_span_t der =
        crl_der(pool, crl_make(pool, issuer, "77", WORLD_NOW - WORLD_DAYS, WORLD_NOW + WORLD_DAYS));
    const unsigned char *at = (const unsigned char *)der.data;
    X509_CRL *crl;

    assert_non_null(method);
    apr_pool_cleanup_register(pool, method, drop_method, apr_pool_cleanup_null);
    X509_CRL_set_default_method(method);
    crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    X509_CRL_set_default_method(NULL);
    assert_non_null(crl);
    assert_int_equal(X509_STORE_add_crl(t->store, crl), 1);
    X509_CRL_free(crl);
}

/* What is wrong with a certificate that asks for a list. */
typedef enum forgery_t {
    NOT_FORGED = 0,
    LEAF_RENAMED,       /* the issuer's signature is under another name */
    LEAF_OF_ANOTHER,    /* anybody's key, under the issuer's name */
    INTER_RENAMED,      /* the intermediate's signature is of no use */
    BEHIND_A_LOOKALIKE, /* good by the second path only */
    FORGED_FOR_BOTH     /* by neither path */
} forgery_t;

static const struct forgery_row {
    const char *name;
    struct chain_row chain;
    forgery_t forgery;
    const char *reason;
    int asked; /* whether a list has been */
} forgeries[] = {
    {"lists: a good certificate", {.name = ""}, NOT_FORGED, "ok", 1},
    {"lists: a leaf that was changed", {.name = ""}, LEAF_RENAMED, "chain_untrusted", 0},
    {"lists: a leaf of an impostor", {.name = ""}, LEAF_OF_ANOTHER, "chain_untrusted", 0},
    {"lists: an intermediate that was changed", {.name = ""}, INTER_RENAMED, "chain_untrusted", 0},
    {"lists: a good certificate behind a dead end",
     {.inter = {.extra = {"-skid", "-akid"}}, .leaf = {.extra = {"-akid", NULL}}},
     BEHIND_A_LOOKALIKE,
     "ok",
     1},
    {"lists: a leaf of an impostor, by several paths",
     {.inter = {.extra = {"-skid", "-akid"}}, .leaf = {.extra = {"-akid", NULL}}},
     FORGED_FOR_BOTH,
     "chain_untrusted",
     0},
    {"lists: one that has expired", {.leaf = {.to = -1}}, NOT_FORGED, "expired", 0},
    {"lists: one for servers", {.leaf = {.eku = "serverAuth"}}, NOT_FORGED, "purpose_mismatch", 0},
    {"lists: one of a weak key", {.leaf = {.key_kind = KEY_RSA1024}}, NOT_FORGED, "chain_weak", 0},
};

static X509 *forge(three_t *t, forgery_t forgery, const struct chain_row *row)
{
    issuer_t impostor = {t->inter.x, key_get(KEY_P256, 6)};
    X509 *x;

    switch (forgery) {
    case LEAF_RENAMED:
        return certificate_patched(pool, t->leaf, "client", "admins", 6);
    case LEAF_OF_ANOTHER:
        return make(&row->leaf, "client", 0, LEAF_DAYS, 2, &impostor);
    case INTER_RENAMED:
        x = X509_dup(t->inter.x);
        certificate_sign(x, key_get(KEY_P256, 6));
        t->sent = stack_of(pool, x, NULL);
        X509_free(x);
        return t->leaf;
    case BEHIND_A_LOOKALIKE:
    case FORGED_FOR_BOTH:
        t->sent = stack_of(pool, twin(&row->inter, "CARC I101L", &t->root), t->inter.x, NULL);
        return forgery == BEHIND_A_LOOKALIKE ? t->leaf : forge(t, LEAF_OF_ANOTHER, row);
    default:
        return t->leaf;
    }
}

/* Anybody can write an issuer's name into a certificate: nobody works through that issuer's list
 * before the signature is proved. */
static void forgery_case(void **state)
{
    const struct forgery_row *row = *state;
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;
    X509 *x;

    make_three(&t, &row->chain);
    add_counting_crl(&t, &t.root);
    add_counting_crl(&t, &t.inter);
    X509_STORE_set_flags(t.store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    x = forge(&t, row->forgery, &row->chain);
    assert_non_null(x);
    store = store_of(&t, 0);
    lookups = verifications = 0;
    result = verify(&t, &store, x, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), row->reason);
    assert_int_equal(lookups > 0, row->asked);
    assert_int_equal(verifications > 0, row->asked);
}

/* ---- configured intermediates ---- */

static void configured_intermediates_help_and_are_not_trusted(void **state)
{
    mtls_trust_store_t store, none;
    mtls_chain_result_t result;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = store_of(&t, 0);
    store.helpers = stack_of(pool, t.inter.x, NULL);
    t.sent = NULL;
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    none = store;
    none.certificates = X509_STORE_new();
    assert_non_null(none.certificates);
    apr_pool_cleanup_register(pool, none.certificates, drop_store, apr_pool_cleanup_null);
    none.helpers = stack_of(pool, t.inter.x, t.root.x, NULL);
    result = verify(&t, &none, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "chain_untrusted");
    assert_int_equal(sk_X509_num(none.helpers), 2); /* also after the ways that led nowhere */
}

static void what_is_sent_is_not_changed(void **state)
{
    static const struct chain_row bare = {
        .name = "bare", .inter = {.extra = {"-skid", "-akid"}}, .leaf = {.extra = {"-akid", NULL}}};
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;
    X509 *other;

    (void)state;
    make_three(&t, &bare);
    store = store_of(&t, 0);
    other = twin(&bare.inter, "CARC I101L", &t.root);
    t.sent = stack_of(pool, other, t.inter.x, NULL);
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_int_equal(sk_X509_num(t.sent), 2);
    assert_ptr_equal(sk_X509_value(t.sent, 0), other);
    assert_ptr_equal(sk_X509_value(t.sent, 1), t.inter.x);
}

/* ---- what is known already ---- */

/* The same store with its cache, but without an anchor: only what is known already is good. */
static mtls_trust_store_t emptied(const mtls_trust_store_t *store)
{
    mtls_trust_store_t empty = *store;

    empty.certificates = X509_STORE_new();
    assert_non_null(empty.certificates);
    apr_pool_cleanup_register(pool, empty.certificates, drop_store, apr_pool_cleanup_null);
    return empty;
}

static mtls_trust_store_t cached(const three_t *t)
{
    mtls_trust_store_t store = store_of(t, 0);

    store.cache = mtls_chain_cache_make(pool);
    assert_non_null(store.cache);
    return store;
}

static const char *reason_with(const mtls_trust_store_t *store, X509 *leaf, STACK_OF(X509) * sent,
                               apr_time_t now)
{
    mtls_chain_ask_t ask = {leaf, sent, MTLS_PURPOSE_CLIENT, now};
    mtls_chain_result_t result;

    mtls_chain_verify(pool, store, &ask, &result);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(result.chain != NULL, result.reason == MTLS_OK);
    return mtls_reason_token(result.reason);
}

static void a_good_result_is_not_found_out_again(void **state)
{
    mtls_chain_result_t first, second;
    mtls_trust_store_t store, empty;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = cached(&t);
    empty = emptied(&store);
    first = verify(&t, &store, t.leaf, WORLD_NOW);
    second = verify(&t, &empty, t.leaf, WORLD_NOW + WORLD_DAYS);
    assert_string_equal(mtls_reason_token(first.reason), "ok");
    assert_string_equal(mtls_reason_token(second.reason), "ok");
    assert_true(mtls_chain_equal(first.chain, second.chain));
    assert_true(second.from == WORLD_NOW && second.valid_until == first.valid_until);
    assert_ptr_not_equal(first.chain, second.chain);
}

/* Everything that could make another result is part of the key. */
static void another_leaf_or_help_is_another_question(void **state)
{
    mtls_trust_store_t store, empty;
    X509 *other;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = cached(&t);
    empty = emptied(&store);
    other = make(&usual.leaf, "other", 0, LEAF_DAYS, 3, &t.inter);
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW), "ok");
    assert_string_equal(reason_with(&empty, t.leaf, t.sent, WORLD_NOW), "ok");
    assert_string_equal(reason_with(&empty, other, t.sent, WORLD_NOW), "chain_incomplete");
    assert_string_equal(reason_with(&empty, t.leaf, NULL, WORLD_NOW), "chain_incomplete");
    assert_string_equal(
        reason_with(&empty, t.leaf, stack_of(pool, t.inter.x, other, NULL), WORLD_NOW),
        "chain_incomplete");
    assert_string_equal(reason_with(&empty, t.leaf, stack_of(pool, t.root.x, NULL), WORLD_NOW),
                        "chain_incomplete");
    empty.cache = mtls_chain_cache_make(pool);
    assert_string_equal(reason_with(&empty, t.leaf, t.sent, WORLD_NOW), "chain_incomplete");
}

static void a_cached_result_ends_when_it_would_change(void **state)
{
    apr_time_t end = WORLD_NOW + LEAF_DAYS * WORLD_DAYS;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &usual);
    store = cached(&t);
    assert_string_equal(reason_with(&store, t.leaf, t.sent, end - 1), "ok");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, end), "expired");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, end + 1), "expired");
    /* The clock is set right. */
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW), "ok");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW - 2 * LEAF_DAYS * WORLD_DAYS),
                        "not_yet_valid");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, end), "expired");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, end - 1), "ok");
}

static void a_cached_refusal_is_looked_at_again(void **state)
{
    static const struct chain_row stranger = {.name = "stranger", .setting = STRANGER};
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &stranger);
    store = cached(&t);
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW), "chain_incomplete");
    trust(&t, t.root.x); /* no version changes, but who would know without asking? */
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW + apr_time_from_sec(60) - 1),
                        "chain_incomplete");
    assert_string_equal(reason_with(&store, t.leaf, t.sent, WORLD_NOW + apr_time_from_sec(60)),
                        "ok");
}

/* ---- clients and servers ---- */

/* What a chain is good for. */
static const struct purpose_row {
    const char *name;
    part_t root, inter, leaf;
    const char *client, *server;
} purposes[] = {
#define MISMATCH "purpose_mismatch"
    {.name = "purposes: client", .client = "ok", .server = MISMATCH},
    {.name = "purposes: server", .leaf = {.eku = "serverAuth"}, .client = MISMATCH, .server = "ok"},
    {.name = "purposes: both",
     .leaf = {.eku = "clientAuth,serverAuth"},
     .client = "ok",
     .server = "ok"},
    {.name = "purposes: no extension", .leaf = {.eku = "-"}, .client = "ok", .server = "ok"},
    {.name = "purposes: any",
     .leaf = {.eku = "anyExtendedKeyUsage"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: any and server",
     .leaf = {.eku = "anyExtendedKeyUsage,serverAuth"},
     .client = MISMATCH,
     .server = "ok"},
    {.name = "purposes: another one",
     .leaf = {.eku = "OCSPSigning"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: server gated crypto, Netscape's",
     .leaf = {.eku = "nsSGC"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: server gated crypto, Microsoft's",
     .leaf = {.eku = "msSGC"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: server gated crypto beside a server's",
     .leaf = {.eku = "msSGC,serverAuth"},
     .client = MISMATCH,
     .server = "ok"},
    {.name = "purposes: intermediate for clients",
     .inter = {.eku = "clientAuth"},
     .leaf = {.eku = "clientAuth,serverAuth"},
     .client = "ok",
     .server = MISMATCH},
    {.name = "purposes: intermediate for servers",
     .inter = {.eku = "serverAuth"},
     .leaf = {.eku = "clientAuth,serverAuth"},
     .client = MISMATCH,
     .server = "ok"},
    {.name = "purposes: intermediate for any",
     .inter = {.eku = "anyExtendedKeyUsage"},
     .leaf = {.eku = "clientAuth,serverAuth"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: intermediate for server gated crypto",
     .inter = {.eku = "nsSGC"},
     .leaf = {.eku = "serverAuth"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: root for clients",
     .root = {.eku = "clientAuth"},
     .leaf = {.eku = "-"},
     .client = "ok",
     .server = MISMATCH},
    {.name = "purposes: root for servers",
     .root = {.eku = "serverAuth"},
     .leaf = {.eku = "-"},
     .client = MISMATCH,
     .server = "ok"},
    {.name = "purposes: key encipherment",
     .leaf = {.eku = "-", .usage = "critical,keyEncipherment"},
     .client = MISMATCH,
     .server = "ok"},
    {.name = "purposes: only certificates are signed",
     .leaf = {.eku = "-", .usage = "critical,keyCertSign"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: a CA",
     .leaf = {.eku = "-",
              .constraints = "critical,CA:TRUE",
              .usage = "critical,digitalSignature,keyCertSign"},
     .client = MISMATCH,
     .server = MISMATCH},
    {.name = "purposes: a server's that has expired",
     .leaf = {.eku = "serverAuth", .to = -1},
     .client = "purpose_mismatch",
     .server = "expired"},
    {.name = "purposes: names under constraints",
     .inter = {.extra = {"nameConstraints=critical,permitted;DNS:partner.example"}},
     .leaf = {.eku = "-", .san = "DNS:*.other.example"},
     .client = "chain_invalid",
     .server = "chain_invalid"},
    {.name = "purposes: a wildcard that reaches what is excluded",
     .inter = {.extra = {"nameConstraints=critical,excluded;DNS:a.other.example"}},
     .leaf = {.eku = "-", .san = "DNS:*.other.example"},
     .client = "chain_invalid",
     .server = "chain_invalid"},
    {.name = "purposes: a weak key",
     .leaf = {.eku = "serverAuth", .key_kind = KEY_RSA1024},
     .client = "chain_weak",
     .server = "chain_weak"},
};

static const char *reason_for(three_t *t, const mtls_trust_store_t *store, mtls_purpose_t purpose)
{
    t->purpose = purpose;
    return mtls_reason_token(verify(t, store, t->leaf, WORLD_NOW).reason);
}

/* Asked without a cache; then with one, which is asked in either order and twice. */
static void purpose_case(void **state)
{
    const struct purpose_row *row = *state;
    struct chain_row chain = {.root = row->root, .inter = row->inter, .leaf = row->leaf};
    mtls_trust_store_t store;
    three_t t;
    int i;

    make_three(&t, &chain);
    store = store_of(&t, 0);
    for (i = 0; i < 3; i++) {
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), row->client);
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), row->server);
        store = i == 0 ? cached(&t) : store;
    }
    store = cached(&t);
    for (i = 0; i < 2; i++) {
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), row->server);
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), row->client);
    }
}

/* The result of a server is remembered as that of a client is, and for nobody else. */
static void results_are_remembered_for_one_purpose(void **state)
{
    static const struct chain_row both = {.leaf = {.eku = "-"}};
    mtls_trust_store_t store, empty;
    three_t t;

    (void)state;
    make_three(&t, &both);
    store = cached(&t);
    empty = emptied(&store);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), "ok");
    assert_string_equal(reason_for(&t, &empty, MTLS_PURPOSE_SERVER), "ok");
    assert_string_equal(reason_for(&t, &empty, MTLS_PURPOSE_CLIENT), "chain_incomplete");
    store = cached(&t);
    empty = emptied(&store);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), "ok");
    assert_string_equal(reason_for(&t, &empty, MTLS_PURPOSE_SERVER), "chain_incomplete");
}

/* Stores that mod_ssl has made bring parameters of their own. */
static void what_a_store_says_of_its_purpose_does_not_count(void **state)
{
    static const struct chain_row client = {.name = "client"};
    static const struct chain_row server = {.name = "server", .leaf = {.eku = "serverAuth"}};
    static const int ids[] = {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER, X509_PURPOSE_ANY};
    mtls_trust_store_t store;
    three_t t;
    size_t i;

    (void)state;
    for (i = 0; i < 2 * ROWS(ids); i++) {
        int is_server = i % 2;
        make_three(&t, is_server ? &server : &client);
        assert_int_equal(X509_STORE_set_purpose(t.store, ids[i / 2]), 1);
        assert_int_equal(X509_STORE_set_trust(t.store, X509_TRUST_EMAIL), 1);
        store = store_of(&t, 0);
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT),
                            is_server ? MISMATCH : "ok");
        assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER),
                            is_server ? "ok" : MISMATCH);
    }
}

/* An anchor that OpenSSL was told to trust for one purpose is none for the other. */
static void an_anchor_is_trusted_for_its_purpose(void **state)
{
    static const struct chain_row both = {.leaf = {.eku = "-"}};
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &both);
    store = store_of(&t, 0);
    assert_int_equal(X509_add1_trust_object(t.root.x, OBJ_nid2obj(NID_server_auth)), 1);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), "ok");
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), "chain_untrusted");
    X509_trust_clear(t.root.x);
    assert_int_equal(X509_add1_trust_object(t.root.x, OBJ_nid2obj(NID_client_auth)), 1);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), "chain_untrusted");
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), "ok");
}

static void an_unknown_purpose_proves_nothing(void **state)
{
    static const struct chain_row both = {.leaf = {.eku = "-"}};
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &both);
    store = store_of(&t, 0);
    assert_string_equal(reason_for(&t, &store, (mtls_purpose_t)42), "internal_error");
}

/* A certificate that is allowed as it is needs no purpose. */
static void an_allowed_certificate_is_good_for_both(void **state)
{
    static const struct chain_row client = {.name = "client", .setting = STRANGER};
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    apr_hash_t *allowed = apr_hash_make(pool);
    mtls_chain_result_t result;
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &client);
    store = cached(&t);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_SERVER), "chain_incomplete");
    assert_true(mtls_x509_digests(t.leaf, sha256, spki));
    apr_hash_set(allowed, sha256, sizeof(sha256), "");
    store.allowed = allowed;
    t.purpose = MTLS_PURPOSE_SERVER;
    result = verify(&t, &store, t.leaf, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_true(result.chain->exempt);
    assert_string_equal(reason_for(&t, &store, MTLS_PURPOSE_CLIENT), "ok");
}

static void who_sent_too_many_is_told(void **state)
{
    static const struct chain_row many = {.name = "many", .setting = SENT_18};
    mtls_trust_store_t store;
    three_t t;

    (void)state;
    make_three(&t, &many);
    store = store_of(&t, 0);
    assert_string_equal(verify(&t, &store, t.leaf, WORLD_NOW).detail,
                        "the client sent too many certificates");
    t.purpose = MTLS_PURPOSE_SERVER;
    assert_string_equal(verify(&t, &store, t.leaf, WORLD_NOW).detail,
                        "the server sent too many certificates");
}

/* ---- threads ---- */

typedef struct asker_t {
    pthread_t thread;
    const mtls_trust_store_t *store;
    STACK_OF(X509) * sent;
    X509 *const *leaves;
    const char *const *reasons;
    apr_pool_t *p;
    int wrong;
} asker_t;

#define LEAVES 6

static void *ask_often(void *asker)
{
    asker_t *a = asker;
    mtls_chain_result_t result;
    int i;

    for (i = 0; i < 600; i++) {
        mtls_chain_ask_t ask = {a->leaves[i % LEAVES], a->sent, MTLS_PURPOSE_CLIENT, WORLD_NOW + i};
        mtls_chain_verify(a->p, a->store, &ask, &result);
        a->wrong += strcmp(mtls_reason_token(result.reason), a->reasons[i % LEAVES]) != 0;
        a->wrong += result.reason == MTLS_OK && result.chain->n != 2;
        if (i % 50 == 0)
            apr_pool_clear(a->p);
    }
    return NULL;
}

static void threads_share_a_store(void **state)
{
    static const char *const reasons[LEAVES] = {"ok", "chain_untrusted", "ok", "expired",
                                                "ok", "revoked_crl"};
    static const part_t good, expired = {.to = -1};
    mtls_trust_store_t store;
    X509 *leaves[LEAVES];
    asker_t askers[4];
    void *result;
    three_t t;
    size_t i;

    (void)state;
    make_three(&t, &usual);
    set_crls(&t, CRL_REVOKED);
    store = cached(&t);
    for (i = 0; i < LEAVES; i++)
        leaves[i] = make(i == 3 ? &expired : &good, apr_psprintf(pool, "client%d", (int)i), 0,
                         LEAF_DAYS, 2, &t.inter);
    for (i = 0; i < LEAVES - 1; i++) { /* all but the last have a serial of their own */
        ASN1_INTEGER_set(X509_get_serialNumber(leaves[i]), 5000 + (long)i);
        certificate_sign(leaves[i], i == 1 ? key_get(KEY_P256, 6) : t.inter.key);
    }
    memset(askers, 0, sizeof(askers));
    for (i = 0; i < ROWS(askers); i++) {
        askers[i].store = &store;
        askers[i].sent = t.sent;
        askers[i].leaves = leaves;
        askers[i].reasons = reasons;
        assert_int_equal(apr_pool_create(&askers[i].p, NULL), APR_SUCCESS);
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]), 0);
    }
    for (i = 0; i < ROWS(askers); i++) {
        assert_int_equal(pthread_join(askers[i].thread, &result), 0);
        assert_int_equal(askers[i].wrong, 0);
        apr_pool_destroy(askers[i].p);
    }
}

int main(void)
{
    SUITE_TABLE(chain_case, chains);
    SUITE_CASE(the_links_are_those_above_the_leaf);
    SUITE_CASE(an_intermediate_renewed_with_its_key_keeps_its_pin);
    SUITE_CASE(a_patched_leaf_is_refused);
    SUITE_CASE(flags_that_look_away_are_not_obeyed);
    SUITE_CASE(a_callback_that_lets_pass_does_not_grant);
    SUITE_CASE(fractions_of_a_second_count_as_passed);
    SUITE_CASE(self_signed_certificates_count_as_anchors);
    SUITE_TABLE(forgery_case, forgeries);
    SUITE_CASE(configured_intermediates_help_and_are_not_trusted);
    SUITE_CASE(what_is_sent_is_not_changed);
    SUITE_CASE(a_good_result_is_not_found_out_again);
    SUITE_CASE(another_leaf_or_help_is_another_question);
    SUITE_CASE(a_cached_result_ends_when_it_would_change);
    SUITE_CASE(a_cached_refusal_is_looked_at_again);
    SUITE_TABLE(purpose_case, purposes);
    SUITE_CASE(results_are_remembered_for_one_purpose);
    SUITE_CASE(what_a_store_says_of_its_purpose_does_not_count);
    SUITE_CASE(an_anchor_is_trusted_for_its_purpose);
    SUITE_CASE(an_unknown_purpose_proves_nothing);
    SUITE_CASE(an_allowed_certificate_is_good_for_both);
    SUITE_CASE(who_sent_too_many_is_told);
    SUITE_CASE(threads_share_a_store);
    return suite_run("chain", 130);
}
