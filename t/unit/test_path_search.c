/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain: how a path is found among many certificates, when the search is given up, and what it
 * may cost. */

#include "paths.h"

#include <errno.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "pki/x509_facts.h"
#include "policy/limits.h"

/* ---- how paths are found ---- */

#define EXPIRED "U260101000000Z"

static issuer_t ca(const char *cn, int key, const issuer_t *issuer, const part_t *more)
{
    part_t part = more ? *more : (part_t){0};

    part.cn = cn;
    part.key = key;
    return path_make(&part, issuer ? INTER : ROOT, issuer);
}

static X509 *client(const issuer_t *issuer, const part_t *more)
{
    static const part_t usual = {0};

    return path_make(more ? more : &usual, LEAF, issuer).x;
}

static const part_t no_ids = {.no_key_ids = 1};
static const part_t expired = {.to = EXPIRED};

/* In this order; a letter stands for one of `all`, which is sent, a capital for one that is
 * configured, a digit for one that stands in mod_ssl's CA file without being a root. */
static void offer_in_order(scene_t *scene, const char *order, const issuer_t *all)
{
    for (; *order; order++) {
        if (*order >= 'a')
            scene_offer(scene, all[*order - 'a'].x);
        else if (*order >= 'A')
            scene_configure(scene, all[*order - 'A'].x);
        else
            scene_trust(scene, all[*order - '1'].x);
    }
}

/* a: the intermediate that ran out; b: its successor with the same name and key. */
static void renewed(scene_t *scene, const char *order)
{
    issuer_t root = ca("Root R1", 1, NULL, NULL);
    issuer_t both[] = {ca("I", 2, &root, &expired), ca("I", 2, &root, NULL)};

    scene_trust(scene, root.x);
    scene->leaf = client(&both[0], NULL);
    offer_in_order(scene, order, both);
}

/* a: the issuer; b: the same name, another key. */
static void rekeyed(scene_t *scene, const char *order, const part_t *ids)
{
    issuer_t root = ca("Root R1", 1, NULL, NULL);
    issuer_t both[] = {ca("I", 2, &root, ids), ca("I", 3, &root, ids)};

    scene_trust(scene, root.x);
    scene->leaf = client(&both[0], ids);
    offer_in_order(scene, order, both);
}

static void rekeyed_with_ids(scene_t *scene, const char *order)
{
    rekeyed(scene, order, NULL);
}

static void rekeyed_without_ids(scene_t *scene, const char *order)
{
    rekeyed(scene, order, &no_ids);
}

/* a, b: one intermediate, signed by the root that is trusted and by one that is not; c: that other
 * root, signed by the trusted one; d: that other root itself. */
static void cross_signed(scene_t *scene, const char *order)
{
    issuer_t root = ca("Root R1", 1, NULL, NULL), other = ca("Root R2", 2, NULL, NULL);
    issuer_t all[] = {ca("I", 3, &root, NULL), ca("I", 3, &other, NULL),
                      ca("Root R2", 2, &root, NULL), other};

    scene_trust(scene, root.x);
    scene->leaf = client(&all[0], NULL);
    offer_in_order(scene, order, all);
}

/* a: A signed by B; b: B signed by A; c: A signed by the root. */
static void cycle(scene_t *scene, const char *order)
{
    issuer_t root = ca("Root R1", 1, NULL, NULL), a = ca("A", 2, NULL, NULL);
    issuer_t b = ca("B", 3, NULL, NULL);
    issuer_t all[] = {ca("A", 2, &b, NULL), ca("B", 3, &a, NULL), ca("A", 2, &root, NULL)};

    scene_trust(scene, root.x);
    scene->leaf = client(&a, NULL);
    offer_in_order(scene, order, all);
}

/* a: the intermediate; b: one of the same name that signed itself. */
static void signed_by_itself(scene_t *scene, const char *order)
{
    issuer_t root = ca("Root R1", 1, NULL, NULL);
    issuer_t all[] = {ca("I", 2, &root, NULL), ca("I", 2, NULL, NULL)};

    scene_trust(scene, root.x);
    scene->leaf = client(&all[0], NULL);
    offer_in_order(scene, order, all);
}

/* Two roots of one name are trusted, in this order; the second letter says who signs. */
static void twin_roots(scene_t *scene, const char *order, const part_t *ids)
{
    issuer_t both[] = {ca("Root R1", 1, NULL, ids), ca("Root R1", 2, NULL, ids)};

    scene_trust(scene, both[order[0] - 'a'].x);
    scene_trust(scene, both[!(order[0] - 'a')].x);
    scene->leaf = client(&both[order[1] - 'a'], ids);
}

static void twin_roots_with_ids(scene_t *scene, const char *order)
{
    twin_roots(scene, order, NULL);
}

static void twin_roots_without_ids(scene_t *scene, const char *order)
{
    twin_roots(scene, order, &no_ids);
}

/* A letter for each intermediate between root and leaf. */
static void long_path(scene_t *scene, const char *letters)
{
    issuer_t issuer = ca("Root R1", 1, NULL, NULL);
    char name[] = "?";

    scene_trust(scene, issuer.x);
    for (; *letters; letters++) {
        name[0] = *letters;
        issuer = ca(apr_pstrdup(pool, name), 1 + *letters % 7, &issuer, NULL);
        scene_offer(scene, issuer.x);
    }
    scene->leaf = client(&issuer, NULL);
}

static const struct graph_row {
    const char *name;
    void (*build)(scene_t *scene, const char *order);
    const char *order;
    const char *reason;
} graphs[] = {
    {"renewed: the old one is sent", renewed, "a", "expired"},
    {"renewed: the new one is sent", renewed, "b", "ok"},
    {"renewed: both are sent, the old one first", renewed, "ab", "ok"},
    {"renewed: both are sent, the new one first", renewed, "ba", "ok"},
    {"renewed: the old one is configured", renewed, "A", "expired"},
    {"renewed: the old one is configured, the new one is sent", renewed, "Ab", "ok"},
    {"renewed: the new one is configured, the old one is sent", renewed, "Ba", "ok"},
    {"renewed: both are configured", renewed, "AB", "ok"},
    {"renewed: the old one is mod_ssl's, the new one is sent", renewed, "1b", "expired"},
    {"renewed: both are mod_ssl's", renewed, "12", "ok"},

    {"same name, other key: only that", rekeyed_with_ids, "b", "chain_untrusted"},
    {"same name, other key: first of two", rekeyed_with_ids, "ba", "ok"},
    {"same name, other key: last of two", rekeyed_with_ids, "ab", "ok"},
    {"same name, other key, no key identifiers: only that", rekeyed_without_ids, "b",
     "chain_untrusted"},
    {"same name, other key, no key identifiers: first of two", rekeyed_without_ids, "ba", "ok"},
    {"same name, other key, no key identifiers: last of two", rekeyed_without_ids, "ab", "ok"},
    {"same name, other key: configured, the issuer is sent", rekeyed_with_ids, "Ba", "ok"},
    {"same name, other key, no key identifiers: configured, the issuer is sent",
     rekeyed_without_ids, "Ba", "ok"},
    {"same name, other key, no key identifiers: sent, the issuer is configured",
     rekeyed_without_ids, "Ab", "ok"},

    {"cross-signed: by the trusted root", cross_signed, "a", "ok"},
    {"cross-signed: by the other root", cross_signed, "b", "chain_incomplete"},
    {"cross-signed: by both, the trusted one first", cross_signed, "ab", "ok"},
    {"cross-signed: by both, the other one first", cross_signed, "ba", "ok"},
    {"cross-signed: by the other root, the trusted one is configured", cross_signed, "Ab", "ok"},
    {"cross-signed: the other root is signed by the trusted one", cross_signed, "bc", "ok"},
    {"cross-signed: the same, and the other root itself is sent last", cross_signed, "bcd", "ok"},
    {"cross-signed: the same, and the other root itself is sent before", cross_signed, "bdc", "ok"},
    {"cross-signed: the other root is not trusted for being sent", cross_signed, "bd",
     "chain_untrusted"},

    {"cycle: no way out", cycle, "ab", "chain_untrusted"},
    {"cycle: the way out is sent first", cycle, "cab", "ok"},
    {"cycle: the way out is sent last, once round is allowed", cycle, "abc", "ok"},
    {"cycle: the way out alone", cycle, "c", "ok"},
    {"cycle: everything many times", cycle, "abababababababab", "chain_untrusted"},

    {"signed by itself: only that", signed_by_itself, "b", "chain_untrusted"},
    {"signed by itself: behind the one the root signed", signed_by_itself, "ab", "ok"},

    {"two roots of one name: signed by the first", twin_roots_with_ids, "aa", "ok"},
    {"two roots of one name: signed by the second", twin_roots_with_ids, "ab", "ok"},
    {"two roots of one name, no key identifiers: signed by the first", twin_roots_without_ids, "aa",
     "ok"},
    {"two roots of one name, no key identifiers: signed by the second", twin_roots_without_ids,
     "ab", "chain_untrusted"},

    {"length: ten intermediates", long_path, "abcdefghij", "ok"},
    {"length: eleven intermediates", long_path, "abcdefghijk", "chain_invalid"},
    {"length: sixteen intermediates", long_path, "abcdefghijklmnop", "chain_invalid"},
};

static void graph_case(void **state)
{
    const struct graph_row *row = *state;
    scene_t scene;

    scene_init(&scene);
    row->build(&scene, row->order);
    scene_expect(&scene, row->reason, NULL);
}

/* ---- the work a path may take ---- */

static X509_STORE_CTX_check_issued_fn check_issued;
static X509_STORE_CTX_verify_fn verify;
static int looks;      /* whether this one may have issued that one */
static int signatures; /* paths whose signatures were verified */

static int count_look(X509_STORE_CTX *ctx, X509 *x, X509 *issuer)
{
    looks++;
    return check_issued(ctx, x, issuer);
}

static int count_signatures(X509_STORE_CTX *ctx)
{
    signatures++;
    return verify(ctx);
}

/* OpenSSL's own are private: ask a context that has them. */
static void count(scene_t *scene)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    assert_int_equal(X509_STORE_CTX_init(ctx, scene->anchors, scene->leaf, NULL), 1);
    check_issued = X509_STORE_CTX_get_check_issued(ctx);
    verify = X509_STORE_CTX_get_verify(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_set_check_issued(scene->anchors, count_look);
    X509_STORE_set_verify(scene->anchors, count_signatures);
    looks = signatures = 0;
}

/* In each path every certificate may ask every other one, and once more itself. */
static void expect_bounded(const scene_t *scene, int roots)
{
    int others = roots + sk_X509_num(scene->configured) + sk_X509_num(scene->sent) + 3;

    assert_in_range(looks, 1, MTLS_MAX_PATHS * (MTLS_DEFAULT_VERIFY_DEPTH + 2) * others);
    assert_in_range(signatures, 0, MTLS_MAX_PATHS);
}

static const struct crowd_row {
    const char *name;
    int decoys; /* of the intermediate's name, sent before it */
    int roots;  /* of the root's name, trusted before it */
    int ids;    /* with key identifiers, which tell them apart */
    int last;   /* the intermediate itself is sent, too */
    const char *reason;
} crowds[] = {
    {"crowd: the intermediate behind sixteen of its name", 16, 0, 1, 1, "ok"},
    {"crowd: seventeen of its name, but not the intermediate", 17, 0, 1, 0, "chain_untrusted"},
    {"crowd: the root behind two hundred of its name", 0, 200, 1, 1, "ok"},
    {"crowd: both", 16, 200, 1, 1, "ok"},
    {"crowd: as many without key identifiers as are tried", MTLS_MAX_PATHS - 1, 0, 0, 1, "ok"},
    {"crowd: one more without key identifiers", MTLS_MAX_PATHS, 0, 0, 1, "chain_untrusted"},
    {"crowd: seventeen without key identifiers", 17, 0, 0, 0, "chain_untrusted"},
    {"crowd: two hundred roots without key identifiers", 0, 200, 0, 1, "chain_untrusted"},
};

static void crowd_case(void **state)
{
    const struct crowd_row *row = *state;
    const part_t *ids = row->ids ? NULL : &no_ids;
    issuer_t root = ca("Root R1", 7, NULL, ids), inter = ca("I", 7, &root, ids);
    scene_t scene;
    int i;

    scene_init(&scene);
    for (i = 0; i < row->roots; i++)
        scene_trust(&scene, ca("Root R1", 1 + i % 6, NULL, ids).x);
    scene_trust(&scene, root.x);
    for (i = 0; i < row->decoys; i++)
        scene_offer(&scene, ca("I", 1 + i % 6, &root, ids).x);
    if (row->last)
        scene_offer(&scene, inter.x);
    scene.leaf = client(&inter, ids);
    count(&scene);
    scene_expect(&scene, row->reason, NULL);
    expect_bounded(&scene, row->roots + 1);
}

/* Each certificate of a cycle is taken once, however often it is sent. */
static void a_cycle_ends(void **state)
{
    scene_t scene;

    (void)state;
    scene_init(&scene);
    cycle(&scene, "ababababababababa");
    count(&scene);
    scene_expect(&scene, "chain_untrusted", NULL);
    expect_bounded(&scene, 1);
}

/* Each I could have issued each J and each J each I: as many ways as there are orders. */
static void a_crowd_that_could_issue_each_other_ends(void **state)
{
    issuer_t i = ca("I", 1, NULL, &no_ids), j = ca("J", 2, NULL, &no_ids);
    scene_t scene;
    int n;

    (void)state;
    scene_init(&scene);
    scene_trust(&scene, ca("Root R1", 7, NULL, &no_ids).x);
    for (n = 0; n <= MTLS_MAX_CLIENT_CHAIN; n++)
        scene_offer(&scene,
                    n % 2 ? ca("I", 1 + n % 6, &j, &no_ids).x : ca("J", 1 + n % 6, &i, &no_ids).x);
    scene.leaf = client(&i, &no_ids);
    count(&scene);
    scene_expect(&scene, "chain_invalid", "too long");
    expect_bounded(&scene, 1);
    assert_int_equal(signatures, 0);
}

/* More than a client may send is not looked at. */
static void eighteen_certificates_are_not_looked_at(void **state)
{
    scene_t scene;

    (void)state;
    scene_init(&scene);
    cycle(&scene, "ababababababababac");
    count(&scene);
    scene_expect(&scene, "chain_invalid", "too many");
    assert_int_equal(looks, 0);
    assert_int_equal(signatures, 0);
}

/* ---- revocation on another path ---- */

static void add_crl(scene_t *scene, const issuer_t *issuer, const char *serial)
{
    X509_CRL *crl = crl_make(pool, issuer, serial, WORLD_NOW - WORLD_DAYS, WORLD_NOW + WORLD_DAYS);

    assert_int_equal(X509_STORE_add_crl(scene->anchors, crl), 1);
}

/* a: not the issuer, but of its name; b, c: the issuer, twice, with serial numbers of their own. */
static const struct revoked_row {
    const char *name;
    const char *order;
    const char *by_root, *by_inter; /* serials */
    const char *reason;
} revocations[] = {
    {"revocation: none", "b", NULL, NULL, "ok"},
    {"revocation: none, behind a dead end", "ab", NULL, NULL, "ok"},
    {"revocation: of the leaf", "b", NULL, "1001", "revoked_crl"},
    {"revocation: of the leaf, behind a dead end", "ab", NULL, "1001", "revoked_crl"},
    {"revocation: of the intermediate, behind a dead end", "ab", "2b", NULL, "revoked_crl"},
    {"revocation: of the intermediate, which is no reason to take the other one", "bc", "2b", NULL,
     "revoked_crl"},
    {"revocation: of the other intermediate", "bc", "2c", NULL, "ok"},
};

static void revoked_case(void **state)
{
    static const part_t parts[] = {{.serial = "2a", .no_key_ids = 1},
                                   {.serial = "2b", .no_key_ids = 1},
                                   {.serial = "2c", .no_key_ids = 1}};
    const struct revoked_row *row = *state;
    issuer_t root = ca("Root R1", 1, NULL, &no_ids);
    issuer_t all[] = {ca("I", 2, &root, &parts[0]), ca("I", 3, &root, &parts[1]),
                      ca("I", 3, &root, &parts[2])};
    scene_t scene;

    scene_init(&scene);
    scene_trust(&scene, root.x);
    scene.leaf = client(&all[1], &no_ids);
    offer_in_order(&scene, row->order, all);
    add_crl(&scene, &root, row->by_root);
    add_crl(&scene, &all[1], row->by_inter);
    X509_STORE_set_flags(scene.anchors, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    scene_expect(&scene, row->reason, NULL);
}

/* ---- nothing is fetched ---- */

static int listen_on_loopback(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

/* Neither a missing issuer nor a missing CRL is asked for where the certificate says (a client
 * would have us connect to whom it likes). */
static void what_a_certificate_points_to_is_not_fetched(void **state)
{
    int port, fd = listen_on_loopback(&port);
    const char *base = apr_psprintf(pool, "URI:http://127.0.0.1:%d/", port);
    part_t pointing = {
        .extra = {apr_pstrcat(pool, "authorityInfoAccess=caIssuers;", base, "ca.cer", NULL),
                  apr_pstrcat(pool, "crlDistributionPoints=", base, "ca.crl", NULL)}};
    issuer_t root = ca("Root R1", 1, NULL, NULL), inter = ca("I", 2, &root, &pointing);
    scene_t scene;

    (void)state;
    scene_init(&scene);
    scene_trust(&scene, root.x);
    scene.leaf = client(&inter, &pointing);
    scene_expect(&scene, "chain_incomplete", NULL);
    scene_offer(&scene, inter.x);
    scene_expect(&scene, "ok", NULL);
    X509_STORE_set_flags(scene.anchors, X509_V_FLAG_CRL_CHECK);
    scene_expect(&scene, "crl_unavailable", NULL);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
    close(fd);
}

/* ---- which path it was ---- */

/* With two roots of one name the pins see the one that really signed. */
static void the_root_that_signed_is_the_one_reported(void **state)
{
    unsigned char certificate[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    issuer_t first = ca("Root R1", 1, NULL, NULL), second = ca("Root R1", 2, NULL, NULL);
    mtls_chain_result_t result;
    scene_t scene;

    (void)state;
    scene_init(&scene);
    scene_trust(&scene, first.x);
    scene_trust(&scene, second.x);
    scene.leaf = client(&second, NULL);
    result = scene_judge(&scene);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_int_equal(result.chain->n, 1);
    assert_int_equal(mtls_x509_digests(second.x, certificate, spki), 1);
    assert_memory_equal(result.chain->links[0].sha256, certificate, MTLS_DIGEST_BYTES);
    assert_memory_equal(result.chain->links[0].spki_sha256, spki, MTLS_DIGEST_BYTES);
    assert_int_equal(mtls_x509_digests(first.x, certificate, spki), 1);
    assert_memory_not_equal(result.chain->links[0].spki_sha256, spki, MTLS_DIGEST_BYTES);
}

int main(void)
{
    SUITE_TABLE(graph_case, graphs);
    SUITE_TABLE(crowd_case, crowds);
    SUITE_CASE(a_cycle_ends);
    SUITE_CASE(a_crowd_that_could_issue_each_other_ends);
    SUITE_CASE(eighteen_certificates_are_not_looked_at);
    SUITE_TABLE(revoked_case, revocations);
    SUITE_CASE(what_a_certificate_points_to_is_not_fetched);
    SUITE_CASE(the_root_that_signed_is_the_one_reported);
    return suite_run("path search", 60);
}
