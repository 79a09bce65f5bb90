/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain: a chain is built, verified at a given moment, and its answer holds until a given one.
 */

#include "suite.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "pki/chain.h"
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
    {.name = "unknown root", .setting = STRANGER, .reason = "chain_incomplete", .until = 2},
    {.name = "empty store", .setting = EMPTY_STORE, .reason = "chain_incomplete", .until = 2},
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
    mtls_chain_verify(pool, store, leaf, t->sent, now, &result);
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
    return suite_run("chain", 85);
}
