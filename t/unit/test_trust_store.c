/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/trust_store: a version made out of files, and what it verifies. */

#include "shelf.h"

#include <openssl/x509v3.h>

#include "pki/x509_facts.h"
#include "policy/limits.h"

/* ---- stores that load, and what they verify ---- */

static const struct store_row {
    const char *name;
    const char *text;
    const char *verdicts;
    const char *warning; /* NULL: there must be none */
} stores[] = {
    {"a root and its intermediate", "anchor root.pem\nintermediate inter.pem",
     "leaf: ok, direct: ok, stranger: chain_incomplete, inter: purpose_mismatch", NULL},
    {"a root alone", "anchor root.pem", "leaf: chain_incomplete, leaf+: ok, direct: ok", NULL},
    {"a bundle sorts itself", "anchor bundle.pem",
     "leaf: ok, direct: ok, stranger: chain_incomplete, stranger+: ok", NULL},
    {"a bundle in another order", "anchor reversed.pem", "leaf: ok, direct: ok, stranger+: ok",
     NULL},
    {"files of several lines add up", "anchor root.pem\nanchor other.pem\nintermediate inter.pem",
     "leaf: ok, stranger+: ok", NULL},
    {"several files on one line", "anchor root.pem other.pem inter.pem other-inter.pem",
     "leaf: ok, stranger: ok", NULL},
    {"an intermediate's issuer counts, not its place",
     "anchor root.pem\nintermediate inter.pem other-inter.pem",
     "leaf: ok, stranger: chain_incomplete", NULL},
    {"a root among the intermediates is no anchor",
     "anchor root.pem\nintermediate other.pem other-inter.pem inter.pem",
     "leaf: ok, stranger: chain_untrusted", NULL},
    {"partial chain: an intermediate as anchor", "anchor inter.pem\npartial on",
     "leaf: ok, direct: chain_incomplete", NULL},
    {"partial chain: what is no anchor is none",
     "anchor other.pem\nintermediate inter.pem\n"
     "partial on",
     "leaf: chain_incomplete, stranger+: ok", NULL},
    {"partial chain: both", "anchor bundle.pem\npartial on", "leaf: ok, direct: ok", NULL},
    {"the same file twice", "anchor root.pem root.pem inter.pem inter.pem", "leaf: ok", NULL},
    {"the same certificate twice in a file", "anchor twice.pem inter.pem", "leaf: ok", NULL},
    {"the same certificate in several parts",
     "anchor bundle.pem root.pem\nintermediate inter.pem root.pem", "leaf: ok", NULL},
    {"a root of version 1", "anchor v1.pem root.pem inter.pem", "leaf: ok", NULL},
    {"an anchor that is over is warned about", "anchor over.pem root.pem", "direct: ok",
     "over.pem|Root R0|expired"},
    {"a depth of none", "anchor root.pem inter.pem\ndepth 0", "leaf: chain_invalid, direct: ok",
     NULL},
    {"a depth of one", "anchor root.pem inter.pem\ndepth 1", "leaf: ok, direct: ok", NULL},
    {"all that a pattern stands for", "anchor folder/", "leaf: ok, direct: ok, stranger+: ok",
     NULL},
    {"a pattern and a file of it", "anchor folder/ folder/root.pem folder/i*", "leaf: ok", NULL},

    {"allowed: nothing but that", "allow device.pem",
     "device: ok, device-twin: chain_weak, leaf: chain_incomplete", NULL},
    {"allowed: beside anchors", "anchor root.pem inter.pem\nallow device.pem",
     "device: ok, device-twin: chain_weak, leaf: ok", NULL},
    {"allowed: not its issuer's others", "allow leaf.pem",
     "leaf: ok, leaf+: ok, revoked: chain_incomplete", NULL},
    {"allowed: a CA, and no anchor by that", "allow inter.pem", "inter: ok, leaf: chain_incomplete",
     NULL},
    {"allowed: whatever the lists say",
     "anchor root.pem inter.pem\nallow revoked.pem\ncrl root.crl inter.crl", "revoked: ok", NULL},
    {"allowed: whether there is a list or not",
     "anchor root.pem inter.pem\nallow leaf.pem\ncrl root.crl",
     "leaf: ok, revoked: crl_unavailable", NULL},
    {"allowed: two in a file", "allow device.pem leaf.pem", "device: ok, leaf: ok", NULL},

    {"CRLs: of the whole chain", "anchor root.pem inter.pem\ncrl root.crl inter.crl",
     "leaf: ok, revoked: revoked_crl, direct: ok", NULL},
    {"CRLs: DER", "anchor root.pem inter.pem\ncrl root.crl inter.der",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"CRLs: two in a file", "anchor root.pem inter.pem\ncrl both.crl",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"CRLs: the same twice", "anchor root.pem inter.pem\ncrl both.crl both.crl inter.crl",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"CRLs: one is missing", "anchor root.pem inter.pem\ncrl root.crl",
     "leaf: crl_unavailable, revoked: crl_unavailable, direct: ok", NULL},
    {"CRLs: that of the intermediate's issuer is missing",
     "anchor root.pem inter.pem\ncrl inter.crl",
     "leaf: crl_unavailable, direct: crl_unavailable, revoked: revoked_crl", NULL},
    {"CRLs: a revoked intermediate", "anchor root.pem inter.pem\ncrl root-inter.crl inter.crl",
     "leaf: revoked_crl, direct: ok", NULL},
    {"CRLs: the leaf's only", "anchor root.pem inter.pem\ncrl inter.crl\ncheck leaf",
     "leaf: ok, revoked: revoked_crl, direct: crl_unavailable", NULL},
    {"CRLs: the leaf's only, a revoked intermediate",
     "anchor root.pem inter.pem\ncrl root-inter.crl inter.crl\ncheck leaf",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"CRLs: off", "anchor root.pem inter.pem\ncrl root-inter.crl inter.crl\ncheck off",
     "leaf: ok, revoked: ok", NULL},
    {"CRLs: asked for, and none is given", "anchor root.pem inter.pem\ncheck chain",
     "leaf: crl_unavailable, direct: crl_unavailable", NULL},
    {"CRLs: one that has run out", "anchor root.pem inter.pem\ncrl root.crl over.crl",
     "leaf: crl_unavailable, revoked: crl_unavailable", "over.crl|I101L|run out"},
    {"CRLs: one that has run out, and a newer one",
     "anchor root.pem inter.pem\ncrl root.crl over.crl inter.crl", "leaf: ok, revoked: revoked_crl",
     "over.crl|I101L|run out"},
    {"CRLs: one that has not begun", "anchor root.pem inter.pem\ncrl root.crl ahead.crl",
     "leaf: crl_unavailable", NULL},
    {"CRLs: one of a stranger is warned about", "anchor root.pem inter.pem\ncrl both.crl other.crl",
     "leaf: ok, revoked: revoked_crl", "other.crl|no CA|Root R2"},
    {"CRLs: of an intermediate that is sent", "anchor root.pem\ncrl both.crl",
     "leaf+: ok, revoked+: revoked_crl", "both.crl|no CA|I101L"},
    {"CRLs: a forged one of an intermediate that is sent",
     "anchor root.pem\ncrl root.crl forged.crl",
     "leaf+: crl_unavailable, revoked+: crl_unavailable", "forged.crl|no CA|I101L"},
    {"CRLs: of either key of a CA",
     "anchor root.pem inter.pem renewed.pem\ncrl root.crl inter.crl renewed.crl",
     "revoked: revoked_crl", NULL},

    {"missing-ok: no list of the issuer",
     "anchor root.pem inter.pem\ncrl root.crl\ncheck chain missing-ok", "leaf: ok, direct: ok",
     NULL},
    {"missing-ok: no list at all", "anchor root.pem inter.pem\ncheck chain missing-ok",
     "leaf: ok, direct: ok", NULL},
    {"missing-ok: the leaf's issuer has one, the intermediate's none",
     "anchor root.pem inter.pem\ncrl inter.crl\ncheck chain missing-ok",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"missing-ok: a revoked intermediate",
     "anchor root.pem inter.pem\ncrl root-inter.crl\ncheck chain missing-ok", "leaf: revoked_crl",
     NULL},
    {"missing-ok: one that has run out is not missing",
     "anchor root.pem inter.pem\ncrl root.crl over.crl\ncheck chain missing-ok",
     "leaf: crl_unavailable", "run out"},
    {"missing-ok: one that has not begun is not missing",
     "anchor root.pem inter.pem\ncrl root.crl ahead.crl\ncheck chain missing-ok",
     "leaf: crl_unavailable", NULL},
    {"missing-ok: one that is not proved is not missing",
     "anchor root.pem\ncrl root.crl forged.crl\ncheck chain missing-ok", "leaf+: crl_unavailable",
     "forged.crl"},
    {"missing-ok: the leaf's only",
     "anchor root.pem inter.pem\ncrl root.crl\n"
     "check leaf missing-ok",
     "leaf: ok, direct: ok", NULL},

    {"an anchor's own status: a list that names it",
     "anchor root.pem inter.pem\ncrl root-self.crl inter.crl",
     "leaf: revoked_crl, direct: revoked_crl", NULL},
    {"an anchor's own status: the leaf's only",
     "anchor root.pem inter.pem\ncrl root-self.crl inter.crl\ncheck leaf", "leaf: ok, direct: ok",
     NULL},
    {"an anchor's own status: a partial chain needs no list",
     "anchor inter.pem\npartial on\ncrl inter.crl", "leaf: ok, revoked: revoked_crl", NULL},
    {"an anchor's own status: a partial chain, and the root among the helpers",
     "anchor inter.pem\nintermediate root.pem\npartial on\ncrl inter.crl root.crl",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"an anchor's own status: a partial chain, and the root is an anchor",
     "anchor inter.pem root.pem\npartial on\ncrl inter.crl root.crl",
     "leaf: ok, revoked: revoked_crl, direct: ok", NULL},
    {"an anchor's own status: a partial chain and a list of a helper that names it",
     "anchor inter.pem\nintermediate root.pem\npartial on\ncrl inter.crl root-inter.crl",
     "leaf: revoked_crl, revoked: revoked_crl", NULL},
    {"an anchor's own status: a partial chain and a list of an anchor that names it",
     "anchor inter.pem root.pem\npartial on\ncrl inter.crl root-inter.crl",
     "leaf: revoked_crl, revoked: revoked_crl, direct: ok", NULL},
};

static void store_case(void **state)
{
    const struct store_row *row = *state;

    shelf_begin_loaded(row->text);
    assert_message(shelf_warnings(), row->warning);
    if (row->verdicts)
        assert_verdicts(row->verdicts);
}

/* ---- stores that do not load ---- */

static const struct error_row {
    const char *name;
    const char *text;
    const char *words;
} errors[] = {
    {"nothing", "", "no trust anchor and no allowed certificate|MTLSAnchor|MTLSAllowCertificate"},
    {"intermediates only", "intermediate inter.pem", "no trust anchor|MTLSPartialChain"},
    {"an intermediate as anchor", "anchor inter.pem", "no trust anchor|MTLSPartialChain"},
    {"a root among the intermediates only", "intermediate root.pem", "no trust anchor"},
    {"partial chain makes no anchors of intermediates", "intermediate inter.pem\npartial on",
     "no trust anchor"},
    {"lists only", "crl other.crl", "no trust anchor and no allowed certificate"},
    {"a leaf as anchor", "anchor leaf.pem",
     "MTLSAnchor|leaf.pem|CN=client|no CA|MTLSAllowCertificate"},
    {"a leaf beside a root", "anchor root-and-leaf.pem", "root-and-leaf.pem|CN=client|no CA"},
    {"a leaf as anchor of partial chains", "anchor leaf.pem\npartial on",
     "leaf.pem|no CA|MTLSAllowCertificate"},
    {"a self-signed device as anchor", "anchor device.pem", "CN=device|no CA|MTLSAllowCertificate"},
    {"a leaf as intermediate", "anchor root.pem\nintermediate leaf.pem",
     "MTLSIntermediate|leaf.pem|no CA"},
    {"an anchor that did not sign itself", "anchor fake.pem", "fake.pem|Root R1|self-signed"},
    {"an intermediate that claims to have signed itself", "anchor root.pem\nintermediate fake.pem",
     "MTLSIntermediate fake.pem|self-signed"},
    {"an anchor of partial chains that did not sign itself", "anchor fake.pem\npartial on",
     "fake.pem|self-signed"},
    {"no file", "anchor nowhere.pem", "MTLSAnchor|nowhere.pem|No such file"},
    {"no file among others", "anchor root.pem\nintermediate nowhere.pem",
     "MTLSIntermediate|nowhere.pem|No such file"},
    {"a pattern of none", "anchor nowhere/", "MTLSAnchor|nowhere/|no file"},
    {"an empty file", "anchor root.pem empty.pem", "empty.pem|empty"},
    {"an empty list", "anchor root.pem\ncrl empty.pem", "MTLSCRL empty.pem|empty"},
    {"words only", "anchor root.pem words.pem", "words.pem|no certificate"},
    {"a file that is cut off", "anchor cut.pem", "MTLSAnchor cut.pem|PEM"},
    {"DER", "anchor der.pem", "der.pem|no certificate in PEM"},
    {"a private key", "anchor root.pem key.pem", "key.pem|PRIVATE KEY|only certificates"},
    {"a list as anchor", "anchor root.crl", "root.crl|X509 CRL|only certificates"},
    {"a certificate as list", "anchor root.pem\ncrl root.pem", "MTLSCRL root.pem"},
    {"an allowed certificate that cannot be judged", "allow malformed.pem",
     "MTLSAllowCertificate malformed.pem|every policy refuses"},
    {"an allowed file of words", "anchor root.pem\nallow words.pem",
     "MTLSAllowCertificate words.pem|no certificate"},
    {"a list that its issuer has not signed", "anchor root.pem inter.pem\ncrl forged.crl",
     "MTLSCRL forged.crl|I101L|signature"},
    {"a list of a CA's other key", "anchor root.pem inter.pem\ncrl renewed.crl",
     "renewed.crl|I101L|signature"},
    {"a list of a CA that may sign none", "anchor root.pem mute.pem\ncrl mute.crl",
     "mute.crl|Mute CA|cRLSign"},
    {"a list without end", "anchor root.pem inter.pem\ncrl endless.crl", "endless.crl|nextUpdate"},
};

static void error_case(void **state)
{
    const struct error_row *row = *state;

    shelf_begin(row->text);
    assert_message(shelf_load(), row->words);
    assert_int_equal(mtls_live_serial(shelf_live()), 0);
}

/* ---- what a store says of itself ---- */

static int cas_of(const mtls_trust_store_t *store)
{
    return sk_X509_num(mtls_trust_store_cas(store));
}

static int has_ca(const mtls_trust_store_t *store, const X509 *x, int from, int to)
{
    int i, n = 0;

    for (i = from; i < to; i++)
        n += X509_cmp(sk_X509_value(mtls_trust_store_cas(store), i), x) == 0;
    return n;
}

static void anchors_come_before_intermediates(void **state)
{
    const mtls_trust_store_t *store;

    (void)state;
    shelf_begin_loaded("intermediate other-inter.pem\nanchor bundle.pem");
    store = shelf_store();
    assert_int_equal(cas_of(store), 4);
    assert_int_equal(has_ca(store, pki.root.x, 0, 2), 1);
    assert_int_equal(has_ca(store, pki.other.x, 0, 2), 1);
    assert_int_equal(has_ca(store, pki.inter.x, 2, 4), 1);
    assert_int_equal(has_ca(store, pki.other_inter.x, 2, 4), 1);
}

static const struct anchors_row {
    const char *name;
    const char *text;
    int anchors;
} anchors[] = {
    {"anchors: one", "anchor root.pem inter.pem", 1},
    {"anchors: one, however often", "anchor root.pem twice.pem root.pem inter.pem", 1},
    {"anchors: two", "anchor bundle.pem", 2},
    {"anchors: a root among the intermediates is none", "anchor root.pem\nintermediate other.pem",
     1},
    {"anchors: partial chains", "anchor bundle.pem\npartial on", 3},
    {"anchors: partial chains, no intermediates",
     "anchor root.pem\nintermediate inter.pem\npartial on", 1},
    {"anchors: none", "allow device.pem", 0},
};

static void anchors_case(void **state)
{
    const struct anchors_row *row = *state;

    shelf_begin_loaded(row->text);
    assert_int_equal(mtls_trust_store_anchors(shelf_store()), row->anchors);
}

static void a_store_has_its_name_and_domains(void **state)
{
    const mtls_trust_store_t *store;

    (void)state;
    shelf_begin_loaded("anchor root.pem\ndomain lab.carcano.corp td.example\ndepth 4");
    store = shelf_store();
    assert_string_equal(store->name, "partners");
    assert_string_equal(store->domains[0], "lab.carcano.corp");
    assert_string_equal(store->domains[1], "td.example");
    assert_null(store->domains[2]);
    assert_int_equal(store->depth, 4);
    shelf_begin_loaded("anchor root.pem");
    assert_null(shelf_store()->domains);
}

static void every_part_has_its_directive(void **state)
{
    static const char *const names[MTLS_STORE_PARTS] = {"MTLSAnchor", "MTLSIntermediate",
                                                        "MTLSAllowCertificate",
                                                        "MTLSOCSPResponderCertificate", "MTLSCRL"};
    int part;

    (void)state;
    for (part = 0; part < MTLS_STORE_PARTS; part++)
        assert_string_equal(mtls_store_directive((mtls_store_part_t)part), names[part]);
}

/* ---- allowed certificates ---- */

static void an_allowed_certificate_has_a_chain_of_none(void **state)
{
    mtls_chain_result_t result;

    (void)state;
    shelf_begin_loaded("allow device.pem\ndomain lab.carcano.corp");
    result = shelf_verify(pki.device);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_int_equal(result.openssl_error, X509_V_OK);
    assert_null(result.detail);
    assert_int_equal(result.chain->n, 0);
    assert_true(result.chain->exempt);
    assert_string_equal(result.chain->trust_store, "partners");
    assert_string_equal(result.chain->trust_domains[0], "lab.carcano.corp");
    assert_true(result.valid_until == MTLS_FOREVER);
}

/* Its anchors would do, too: it is exempt all the same, with nothing known of its issuer. */
static void an_allowed_certificate_is_exempt_where_its_chain_is_good(void **state)
{
    mtls_chain_result_t result;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\nallow leaf.pem");
    result = shelf_verify_with(pki.leaf, pki.inter.x, WORLD_NOW);
    assert_true(result.chain->exempt);
    assert_int_equal(result.chain->n, 0);
    result = shelf_verify(pki.revoked);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_false(result.chain->exempt);
    assert_int_equal(result.chain->n, 2);
}

static void an_allowed_certificate_knows_no_time(void **state)
{
    static const apr_time_t moments[] = {0, LONG_AGO, AGO, WORLD_NOW, FAR_AHEAD, FAR_AHEAD * 2};
    size_t i;

    (void)state;
    shelf_begin_loaded("allow device.pem leaf.pem");
    for (i = 0; i < ROWS(moments); i++) {
        assert_int_equal(shelf_verify_with(pki.device, NULL, moments[i]).reason, MTLS_OK);
        assert_int_equal(shelf_verify_with(pki.leaf, pki.inter.x, moments[i]).reason, MTLS_OK);
    }
}

static void one_byte_more_is_another_certificate(void **state)
{
    X509 *renamed;

    (void)state;
    shelf_begin_loaded("allow leaf.pem");
    renamed = certificate_patched(pool, pki.leaf, "client", "cliens", 6);
    assert_non_null(renamed);
    assert_string_equal(shelf_reason(pki.leaf), "ok");
    assert_string_equal(shelf_reason(renamed), "chain_incomplete");
}

/* An allowed certificate is judged by all rules but knows no issuer, chain and anchor: what asks
 * for them fails for its usual reason, what excludes them is not triggered. */
static const struct exempt_row {
    const char *name;
    const char *rules;
    const char *reason; /* of the certificate that is allowed */
    const char *twin;   /* of the same where its chain counts */
} exempts[] = {
    {"exempt: no rule", "", "ok", "ok"},
    {"exempt: subject", "subject.CN client", "ok", "ok"},
    {"exempt: another subject", "subject.CN other", "subject_mismatch", "subject_mismatch"},
    {"exempt: not its subject", "not subject.CN client", "excluded", "excluded"},
    {"exempt: trust", "trust partners", "ok", "ok"},
    {"exempt: another trust", "trust others", "trust_mismatch", "trust_mismatch"},
    {"exempt: not its trust", "not trust partners", "excluded", "excluded"},
    {"exempt: spiffe", "spiffe spiffe://lab.carcano.corp/device", "ok", "ok"},
    {"exempt: issuer's attribute", "issuer.CN \"CARC I101L\"", "issuer_mismatch", "ok"},
    {"exempt: not its issuer's attribute", "not issuer.CN \"CARC I101L\"", "ok", "excluded"},
    {"exempt: issuer", "issuer \"CN=CARC I101L,O=Carcano\"", "issuer_mismatch", "ok"},
    {"exempt: not its issuer", "not issuer \"CN=CARC I101L,O=Carcano\"", "ok", "excluded"},
    {"exempt: issuer's key", "issuer.spki @1", "pin_mismatch", "ok"},
    {"exempt: not its issuer's key", "not issuer.spki @1", "ok", "excluded"},
    {"exempt: chain's key", "chain.spki @1", "pin_mismatch", "ok"},
    {"exempt: not its chain's key", "not chain.spki @1", "ok", "excluded"},
    {"exempt: anchor's key", "anchor.spki @0", "pin_mismatch", "ok"},
    {"exempt: not its anchor's key", "not anchor.spki @0", "ok", "excluded"},
    {"exempt: its own key is no issuer's", "issuer.spki @7", "pin_mismatch", "pin_mismatch"},
    {"exempt: its own key", "spki @7", "ok", "ok"},
    {"exempt: issuer and the rest", "subject.CN client\nnot issuer.CN x\nserial 1001", "ok", "ok"},
};

/* "@1": the hash of the first CA's key, and so on. */
static const char *with_pins(const char *rules)
{
    const char *at = strchr(rules, '@');
    unsigned char sha256[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES];
    const char *hex = "";
    size_t i;

    if (!at)
        return rules;
    assert_true(mtls_x509_digests(at[1] == '0'   ? pki.root.x
                                  : at[1] == '1' ? pki.inter.x
                                                 : pki.leaf,
                                  sha256, spki));
    for (i = 0; i < sizeof(spki); i++)
        hex = apr_psprintf(pool, "%s%02x", hex, spki[i]);
    return apr_pstrcat(pool, apr_pstrndup(pool, rules, (apr_size_t)(at - rules)), hex, at + 2,
                       NULL);
}

static const char *judged(const char *rules, X509 *x)
{
    mtls_chain_result_t result = shelf_verify(x);
    mtls_judge_t judge = {.now = WORLD_NOW, .eval_expr = world_eval};
    mtls_evidence_t evidence = {.tls = 1, .presented = 1};
    const char *error = NULL;
    mtls_policy_t *policy;
    mtls_verdict_t verdict;
    world_t world;

    evidence.facts = mtls_x509_facts(pool, x, &error);
    assert_message(error, NULL);
    evidence.chain_reason = result.reason;
    evidence.chain = result.chain;
    evidence.valid_until = result.valid_until;
    world_init(&world, pool, NULL);
    assert_message(world_policy(&world, with_pins(rules), &policy), NULL);
    mtls_policy_judge(policy, &evidence, &judge, &verdict);
    return mtls_reason_token(verdict.result.reason);
}

static void exempt_case(void **state)
{
    const struct exempt_row *row = *state;

    shelf_begin_loaded("anchor root.pem inter.pem\nallow leaf.pem\ndomain lab.carcano.corp");
    assert_string_equal(judged(row->rules, pki.leaf), row->reason);
    shelf_begin_loaded("anchor root.pem inter.pem\nallow device.pem\ndomain lab.carcano.corp");
    assert_string_equal(judged(row->rules, pki.leaf), row->twin);
}

/* ---- deltas and indirect lists ---- */

/* A list of the intermediate; `base` makes it a delta. It is signed later. */
static X509_CRL *numbered(const char *number, const char *base, long hours, const char *serial)
{
    X509_CRL *crl = crl_begin(pool, &pki.inter, WORLD_NOW + hours * HOUR, FAR_AHEAD);

    crl_add_number(crl, NID_crl_number, number, 0);
    if (base)
        crl_add_number(crl, NID_delta_crl, base, 1);
    if (serial)
        crl_revoke(crl, serial);
    return crl;
}

static void put_list(const char *path, X509_CRL *crl)
{
    crl_sign(crl, pki.inter.key);
    shelf_put(path, crl_pem(pool, crl));
}

static void put_deltas(void)
{
    X509_CRL *over = crl_begin(pool, &pki.inter, WORLD_NOW - 5 * HOUR, WORLD_NOW - HOUR);
    X509_CRL *linked = numbered("05", NULL, -10, "2002"), *removes = numbered("06", "05", -5, NULL);
    X509_CRL *scoped = numbered("07", NULL, -1, NULL);

    crl_add_extension(linked, pki.inter.x, "freshestCRL", "URI:http://crl.example/d", "");
    crl_add_number(over, NID_crl_number, "06", 0);
    crl_add_number(over, NID_delta_crl, "05", 1);
    crl_revoke_for(removes, "2002", CRL_REASON_REMOVE_FROM_CRL);
    crl_add_extension(scoped, pki.inter.x, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nonlyuser=TRUE\n");
    put_list("base.crl", numbered("05", NULL, -10, NULL));
    put_list("linked.crl", linked);
    put_list("delta.crl", numbered("06", "05", -5, "1001"));
    put_list("delta-over.crl", over);
    put_list("delta-removes.crl", removes);
    put_list("complete.crl", numbered("07", NULL, -1, NULL));
    put_list("complete-same.crl", numbered("07", NULL, -5, NULL));
    put_list("complete-ahead.crl", numbered("07", NULL, 1, NULL));
    put_list("complete-scoped.crl", scoped);
}

/* A list of another CA that speaks of certificates of `issuer`. */
static void put_indirect(const char *path, X509 *issuer, long hours)
{
    X509_CRL *crl = crl_begin(pool, &pki.other_inter, WORLD_NOW + hours * HOUR, FAR_AHEAD);

    crl_add_number(crl, NID_crl_number, "01", 0);
    crl_add_extension(crl, pki.other_inter.x, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nindirectCRL=TRUE\n");
    if (issuer)
        crl_revoke_of(crl, "1001", issuer);
    crl_sign(crl, pki.other_inter.key);
    shelf_put(path, crl_pem(pool, crl));
}

#define LEAF_ONLY                                                                                  \
    "anchor root.pem inter.pem other.pem other-inter.pem\n"                                        \
    "check leaf\ncrl "
#define MISSING_OK                                                                                 \
    "anchor root.pem inter.pem other.pem other-inter.pem\n"                                        \
    "check leaf missing-ok\ncrl "

static const struct store_row specials[] = {
    {"delta: the base alone", LEAF_ONLY "base.crl", "leaf: ok", NULL},
    {"delta: what it names is revoked", LEAF_ONLY "linked.crl delta.crl",
     "leaf: revoked_crl, revoked: revoked_crl", NULL},
    {"delta: what it names is revoked, whether the base calls for it or not",
     LEAF_ONLY "base.crl delta.crl", "leaf: revoked_crl, revoked: ok", NULL},
    {"delta: no base", LEAF_ONLY "delta.crl", "leaf: crl_unavailable, revoked: crl_unavailable",
     NULL},
    {"delta: no base is not missing", MISSING_OK "delta.crl",
     "leaf: crl_unavailable, revoked: crl_unavailable", NULL},
    {"delta: one that has run out", LEAF_ONLY "base.crl delta-over.crl",
     "leaf: crl_unavailable, revoked: crl_unavailable", NULL},
    {"delta: one that has run out, and the base calls for it",
     LEAF_ONLY "linked.crl delta-over.crl", "leaf: crl_unavailable, revoked: revoked_crl", NULL},
    {"delta: a complete list made later has it all", LEAF_ONLY "base.crl delta.crl complete.crl",
     "leaf: ok, revoked: ok", NULL},
    {"delta: one that has run out, and a complete list made later",
     LEAF_ONLY "base.crl delta-over.crl complete.crl", "leaf: ok", NULL},
    {"delta: a complete list made at the same time",
     LEAF_ONLY "base.crl delta.crl complete-same.crl", "leaf: revoked_crl", NULL},
    {"delta: a complete list of another scope", LEAF_ONLY "base.crl delta.crl complete-scoped.crl",
     "leaf: revoked_crl", NULL},
    {"delta: a complete list that has not begun", LEAF_ONLY "base.crl delta.crl complete-ahead.crl",
     "leaf: revoked_crl", NULL},
    {"delta: removes what the base names", LEAF_ONLY "linked.crl delta-removes.crl", "revoked: ok",
     NULL},
    {"delta: removes nothing where the base does not call for it",
     LEAF_ONLY "inter.crl base.crl delta-removes.crl", "leaf: ok", NULL},
    {"indirect: names the leaf", LEAF_ONLY "inter.crl indirect.crl",
     "leaf: revoked_crl, revoked: revoked_crl", NULL},
    {"indirect: names another's of the same serial", LEAF_ONLY "inter.crl indirect-other.crl",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"indirect: names nobody", LEAF_ONLY "inter.crl indirect-none.crl",
     "leaf: ok, revoked: revoked_crl", NULL},
    {"indirect: a newer one does not name it any more",
     LEAF_ONLY "inter.crl indirect.crl indirect-none.crl", "leaf: ok", NULL},
    {"indirect: alone proves nothing of others", LEAF_ONLY "indirect-none.crl",
     "leaf: crl_unavailable", NULL},
    {"indirect: may be the list of anybody", MISSING_OK "indirect-none.crl",
     "leaf: crl_unavailable", NULL},
};

static void special_case(void **state)
{
    const struct store_row *row = *state;

    shelf_begin(row->text);
    put_deltas();
    put_indirect("indirect.crl", pki.inter.x, -5);
    put_indirect("indirect-other.crl", pki.root.x, -5);
    put_indirect("indirect-none.crl", NULL, -1);
    assert_message(shelf_load(), NULL);
    assert_verdicts(row->verdicts);
}

/* ---- until when an answer holds ---- */

static void an_answer_holds_until_the_next_moment_of_a_list(void **state)
{
    mtls_chain_result_t result;

    (void)state;
    shelf_begin("anchor root.pem inter.pem\ncrl root.crl week.crl next.crl");
    shelf_put("week.crl",
              list_between(&pki.inter, NULL, WORLD_NOW - HOUR, WORLD_NOW + 7 * WORLD_DAYS));
    shelf_put("next.crl", list_between(&pki.inter, NULL, WORLD_NOW + 6 * WORLD_DAYS,
                                       WORLD_NOW + 14 * WORLD_DAYS));
    assert_message(shelf_load(), NULL);
    result = shelf_verify(pki.leaf);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_true(result.valid_until == WORLD_NOW + 6 * WORLD_DAYS);
    result = shelf_verify_with(pki.leaf, NULL, WORLD_NOW + 13 * WORLD_DAYS);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    assert_true(result.valid_until == WORLD_NOW + 14 * WORLD_DAYS);
}

/* ---- bounds ---- */

/* A text that holds `n` CAs. Keys nobody knows: they are read many times faster. */
static mtls_span_t many(size_t n)
{
    static const char ec[] = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    static const char unknown[] = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x63";
    X509 *x = certificate_patched(pool, pki.other_inter.x, ec, unknown, sizeof(ec) - 1);
    mtls_span_t one = pem_of(x);
    char *all = apr_palloc(pool, one.len * n);
    size_t i;

    for (i = 0; i < n; i++)
        memcpy(all + i * one.len, one.data, one.len);
    return mtls_span(all, one.len * n);
}

/* Wherever they stand; lists are none. Sanitizers would read them for minutes. */
static void a_store_has_so_many_certificates(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#endif
    shelf_begin("anchor root.pem\nintermediate inter.pem many.pem\ncrl root.crl inter.crl");
    shelf_put("many.pem", many(MTLS_MAX_STORE_CERTIFICATES - 2));
    assert_message(shelf_load(), NULL);
    assert_verdicts("leaf: ok, revoked: revoked_crl");
    shelf_put("many.pem", many(MTLS_MAX_STORE_CERTIFICATES - 1));
    assert_message(shelf_load(), "many.pem|more than|16384 certificates");
    assert_verdicts("leaf: ok, revoked: revoked_crl");
}

static void a_store_has_so_many_files(void **state)
{
    int i;

    (void)state;
    shelf_begin("anchor root.pem\ncrl many/\ncheck off");
    for (i = 0; i < MTLS_MAX_STORE_FILES - 1; i++)
        shelf_put(apr_psprintf(pool, "many/%d.crl", i), shelf_text("other.crl"));
    assert_message(shelf_load(), NULL);
    assert_verdicts("direct: ok");
    shelf_put("many/x.crl", shelf_text("other.crl"));
    assert_message(shelf_load(), "more than 4096 files");
    assert_verdicts("direct: ok");
}

int main(void)
{
    SUITE_TABLE(store_case, stores);
    SUITE_TABLE(error_case, errors);
    SUITE_CASE(anchors_come_before_intermediates);
    SUITE_TABLE(anchors_case, anchors);
    SUITE_CASE(a_store_has_its_name_and_domains);
    SUITE_CASE(every_part_has_its_directive);
    SUITE_CASE(an_allowed_certificate_has_a_chain_of_none);
    SUITE_CASE(an_allowed_certificate_is_exempt_where_its_chain_is_good);
    SUITE_CASE(an_allowed_certificate_knows_no_time);
    SUITE_CASE(one_byte_more_is_another_certificate);
    SUITE_TABLE(exempt_case, exempts);
    SUITE_TABLE(special_case, specials);
    SUITE_CASE(an_answer_holds_until_the_next_moment_of_a_list);
    SUITE_CASE(a_store_has_so_many_certificates);
    SUITE_CASE(a_store_has_so_many_files);
    return suite_run("trust_store", 145);
}
