/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Rules and policies judged: what holds, what refuses, with which reason. Every refusal stands next
 * to an allowed twin that differs in one thing. */

#include "suite.h"

#include <apr_thread_proc.h>

#include "policy/limits.h"

static const world_file_t files[] = {
    {"empty", "# nothing\n", 0},
    {"blocked", "evil.example\n*.bigpartner.example\n", 0},
    {"partners", "client.bigpartner.example\nother.example\n", 0},
    {"names", "CN=client.bigpartner.example,OU=Ops+OU=API,OU=Sales,O=Big Partner Foo SA,C=CH\n", 0},
    {NULL, NULL, 0},
};

/* ---- one thing changed ---- */

static void no_ou(peer_t *peer)
{
    peer->subject[2] = peer->subject[5];
    peer->subject[2].rdn = 2;
    peer->facts.subject.n = 3;
}

static void no_subject(peer_t *peer)
{
    peer->facts.subject.n = 0;
}

static void empty_o(peer_t *peer)
{
    peer->subject[1].value = mtls_span_of("");
}

static void two_cns(peer_t *peer)
{
    peer->subject[6] = peer->subject[5];
    peer->subject[6].rdn = 5;
    peer->facts.subject.n = 7;
}

static void two_issuer_cns(peer_t *peer)
{
    peer->issuer[2] = peer->issuer[1];
    peer->issuer[2].rdn = 2;
    peer->facts.issuer.n = 3;
}

static void reversed_subject(peer_t *peer)
{
    int i;
    mtls_name_attribute_t was[6];

    memcpy(was, peer->subject, sizeof(was));
    for (i = 0; i < 6; i++) {
        peer->subject[i] = was[5 - i];
        peer->subject[i].rdn = 4 - was[5 - i].rdn;
    }
}

static void cn_inside_l(peer_t *peer)
{
    peer->subject[5].oid = "2.5.4.7";
    peer->subject[5].value = mtls_span_of("Somewhere, CN = client.bigpartner.example");
}

static void no_sans(peer_t *peer)
{
    memset(peer->facts.san, 0, sizeof(peer->facts.san));
    memset(peer->facts.san_folded, 0, sizeof(peer->facts.san_folded));
}

/* The same text in every other SAN type. */
static void dns_elsewhere(peer_t *peer)
{
    mtls_span_t text = mtls_span_of("client.bigpartner.example");

    no_sans(peer);
    peer_add_san(peer, pool, MTLS_SAN_URI, text);
    peer_add_san(peer, pool, MTLS_SAN_EMAIL, text);
    peer_add_san(peer, pool, MTLS_SAN_UPN, text);
}

static void dns_with_nul(peer_t *peer)
{
    no_sans(peer);
    peer_add_san(peer, pool, MTLS_SAN_DNS, mtls_span("client.bigpartner.example\0.evil", 31));
}

static void dns_list_as_text(peer_t *peer)
{
    no_sans(peer);
    peer_add_san(peer, pool, MTLS_SAN_URI,
                 mtls_span_of("http://x/, DNS:client.bigpartner.example"));
    peer_add_san(peer, pool, MTLS_SAN_DNS, mtls_span_of("x, DNS:client.bigpartner.example"));
}

static void no_email_san_but_in_dn(peer_t *peer)
{
    peer->facts.san[MTLS_SAN_EMAIL].n = peer->facts.san_folded[MTLS_SAN_EMAIL].n = 0;
    peer->subject[5].oid = "1.2.840.113549.1.9.1";
    peer->subject[5].value = mtls_span_of("Ops@BigPartner.example");
}

static void two_uris(peer_t *peer)
{
    peer_add_san(peer, pool, MTLS_SAN_URI, mtls_span_of("https://a.example/"));
}

static void plain_uri(peer_t *peer)
{
    peer->san[MTLS_SAN_URI][0] = peer->folded[MTLS_SAN_URI][0] =
        mtls_span_of("https://a.example/orders");
}

static void foreign_domain(peer_t *peer)
{
    peer->domains[0] = "other.example";
}

static void no_domains(peer_t *peer)
{
    peer->chain.trust_domains = NULL;
}

static void dotdot_id(peer_t *peer)
{
    peer->san[MTLS_SAN_URI][0] = peer->folded[MTLS_SAN_URI][0] =
        mtls_span_of("spiffe://lab.carcano.corp/ns/prod/x/../sa/orders");
}

static void ca_leaf(peer_t *peer)
{
    peer->facts.is_ca = 1;
}

static void no_eku(peer_t *peer)
{
    peer->facts.eku.n = 0;
}

static void no_extension(peer_t *peer)
{
    peer->facts.extension_count = 0;
}

static void unknown_key(peer_t *peer)
{
    peer->facts.key.type = "unknown";
    peer->facts.key.curve = "";
    peer->facts.key.bits = 0;
}

static void other_chain(peer_t *peer)
{
    memset(peer->links, 0x77, sizeof(peer->links));
}

static void newline_cn(peer_t *peer)
{
    peer->subject[5].value = mtls_span_of("client.bigpartner.example\nx");
}

static void long_cn(peer_t *peer)
{
    char *cn = apr_palloc(pool, 65536);

    memset(cn, 'a', 65536);
    cn[65535] = '!';
    peer->subject[5].value = mtls_span(cn, 65536);
}

static void other_sha256(peer_t *peer)
{
    peer->facts.sha256[31] ^= 1;
}

static void other_spki(peer_t *peer)
{
    peer->facts.spki_sha256[0] ^= 1;
}

static void negative_serial(peer_t *peer)
{
    peer->facts.serial = "-5";
}

/* ---- rules ---- */

#define SUBJECT "CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH"
#define AA32    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BB32    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define X91     "9191919191919191919191919191919191919191919191919191919191919191"
#define X92     "9292929292929292929292929292929292929292929292929292929292929292"
#define X93     "9393939393939393939393939393939393939393939393939393939393939393"

static const struct rule_row {
    const char *name;
    const char *rules;
    void (*change)(peer_t *peer);
    const char *reason;
} rules[] = {
    {"no rules: the chain is enough", "", NULL, "ok"},
    {"subject attribute", "subject.O 'Big Partner Foo SA'", NULL, "ok"},
    {"subject attribute, other value", "subject.O 'Big Partner Foo S'", NULL, "subject_mismatch"},
    {"subject attribute, alternatives", "subject.O x 'Big Partner Foo SA'", NULL, "ok"},
    {"subject attribute, absent", "subject.L x", NULL, "subject_mismatch"},
    {"subject attribute, CN= inside another", "subject.CN client.bigpartner.example", cn_inside_l,
     "subject_mismatch"},
    {"subject attribute, empty", "subject.O ''", empty_o, "ok"},
    {"subject attribute, empty is not any value", "subject.O 'Big Partner Foo SA'", empty_o,
     "subject_mismatch"},
    {"OU: any occurrence", "subject.OU Ops", NULL, "ok"},
    {"OU: all lines may take different occurrences", "subject.OU Ops\nsubject.OU Sales", NULL,
     "ok"},
    {"OU: none", "subject.OU Marketing", NULL, "subject_mismatch"},
    {"OU: absent", "subject.OU Ops", no_ou, "subject_mismatch"},
    {"CN twice is ambiguous", "subject.CN client.bigpartner.example", two_cns, "subject_ambiguous"},
    {"CN twice is ambiguous in a not rule", "not subject.CN other", two_cns, "subject_ambiguous"},
    {"CN twice does not matter to O", "subject.O 'Big Partner Foo SA'", two_cns, "ok"},
    {"CN once", "subject.CN client.bigpartner.example", NULL, "ok"},
    {"issuer's CN", "issuer.CN 'CARC I101L'", NULL, "ok"},
    {"issuer's CN, other", "issuer.CN 'CARC I102L'", NULL, "issuer_mismatch"},
    {"issuer's CN twice is ambiguous", "issuer.CN 'CARC I101L'", two_issuer_cns,
     "subject_ambiguous"},
    {"regex does not stop at a newline", "subject.CN regex:^client[.a-z]+$", newline_cn,
     "subject_mismatch"},
    {"regex, twin", "subject.CN regex:^client[.a-z]+$", NULL, "ok"},

    {"whole subject", "subject \"" SUBJECT "\"", NULL, "ok"},
    {"whole subject, set in another order",
     "subject 'CN=client.bigpartner.example,OU=Ops+OU=API,OU=Sales,O=Big Partner Foo SA,C=CH'",
     NULL, "ok"},
    {"whole subject, RDNs in another order",
     "subject 'CN=client.bigpartner.example,OU=Sales,OU=API+OU=Ops,O=Big Partner Foo SA,C=CH'",
     NULL, "subject_mismatch"},
    {"whole subject, not a part of it", "subject 'CN=client.bigpartner.example'", NULL,
     "subject_mismatch"},
    {"whole subject, reversed", "subject \"" SUBJECT "\"", reversed_subject, "subject_mismatch"},
    {"whole subject, none in the certificate", "subject \"" SUBJECT "\"", no_subject,
     "subject_mismatch"},
    {"whole subject of a list", "subject file:names", NULL, "ok"},
    {"whole issuer", "issuer 'CN=CARC I101L,O=Carcano'", NULL, "ok"},
    {"whole issuer, other", "issuer 'CN=CARC I101L,O=Carcan'", NULL, "issuer_mismatch"},

    {"issuer certificate", "issuer.cert ca.pem", NULL, "ok"},
    {"issuer certificate is the first link only", "issuer.cert root.pem", NULL, "pin_mismatch"},
    {"issuer certificate, file of several", "issuer.cert two.pem", NULL, "ok"},
    {"issuer certificate, alternatives", "issuer.cert other.pem ca.pem", NULL, "ok"},
    {"issuer certificate, same names other keys", "issuer.cert ca.pem", other_chain,
     "pin_mismatch"},
    {"anchor certificate", "anchor.cert root.pem", NULL, "ok"},
    {"anchor certificate is the last link only", "anchor.cert ca.pem", NULL, "pin_mismatch"},
    {"chain certificate", "chain.cert ca.pem\nchain.cert root.pem", NULL, "ok"},
    {"chain certificate, another", "chain.cert other.pem", NULL, "pin_mismatch"},
    {"issuer key", "issuer.spki " X91, NULL, "ok"},
    {"issuer key, that of the next", "issuer.spki " X92, NULL, "pin_mismatch"},
    {"chain key", "chain.spki " X92, NULL, "ok"},
    {"anchor key", "anchor.spki " X93, NULL, "ok"},
    {"anchor key, another", "anchor.spki " X91, NULL, "pin_mismatch"},
    {"own key", "spki " BB32, NULL, "ok"},
    {"own key, a bit", "spki " BB32, other_spki, "pin_mismatch"},
    {"own key excluded", "not spki " BB32, NULL, "excluded"},
    {"own key excluded, another's", "not spki " BB32, other_spki, "ok"},
    {"trust store", "trust vhost", NULL, "ok"},
    {"trust store, another", "trust partners", NULL, "trust_mismatch"},
    {"fingerprint", "sha256 " AA32, NULL, "ok"},
    {"fingerprint, a bit", "sha256 " AA32, other_sha256, "fingerprint_mismatch"},
    {"serial", "serial 00:1F:00:A3", NULL, "ok"},
    {"serial, another", "serial 1f00a4", NULL, "serial_mismatch"},
    {"serial, negative", "serial -05", negative_serial, "ok"},
    {"serial, negative is not positive", "serial 5", negative_serial, "serial_mismatch"},
    {"serial excluded", "not serial 1f00a3", NULL, "excluded"},

    {"DNS", "san.dns client.bigpartner.EXAMPLE", NULL, "ok"},
    {"DNS, second entry", "san.dns *.bigpartner.example", NULL, "ok"},
    {"DNS, client's wildcard does not expand", "san.dns x.bigpartner.example", NULL,
     "san_mismatch"},
    {"DNS, the same text in other SAN types", "san.dns client.bigpartner.example", dns_elsewhere,
     "san_mismatch"},
    {"URI, the same text", "san.uri client.bigpartner.example", dns_elsewhere, "ok"},
    {"email, the same text", "san.email client.bigpartner.example", dns_elsewhere, "ok"},
    {"UPN, the same text", "san.upn client.bigpartner.example", dns_elsewhere, "ok"},
    {"DNS, NUL", "san.dns client.bigpartner.example", dns_with_nul, "san_mismatch"},
    {"DNS, a list printed as text", "san.dns client.bigpartner.example", dns_list_as_text,
     "san_mismatch"},
    {"DNS, the CN does not count", "san.dns client.bigpartner.example", no_sans, "san_mismatch"},
    {"DNS list", "san.dns file:partners", NULL, "ok"},
    {"DNS list, none", "san.dns file:empty other.example", NULL, "san_mismatch"},
    {"email", "san.email Ops@bigpartner.example", NULL, "ok"},
    {"email, local part's case", "san.email ops@bigpartner.example", NULL, "san_mismatch"},
    {"email, that of the DN does not count", "san.email Ops@bigpartner.example",
     no_email_san_but_in_dn, "san_mismatch"},
    {"email of the DN", "subject.emailAddress Ops@BigPartner.example", no_email_san_but_in_dn,
     "ok"},
    {"address", "san.ip 192.0.2.0/28", NULL, "ok"},
    {"address, another network", "san.ip 192.0.3.0/24", NULL, "san_mismatch"},
    {"UPN", "san.upn ops@corp.example", NULL, "ok"},
    {"UPN, case", "san.upn OPS@corp.example", NULL, "san_mismatch"},
    {"UPN, eqi", "san.upn eqi:OPS@corp.example", NULL, "ok"},

    {"SPIFFE", "spiffe spiffe://lab.carcano.corp/ns/prod/sa/orders", NULL, "ok"},
    {"SPIFFE, segment", "spiffe spiffe://lab.carcano.corp/ns/prod/sa/*", NULL, "ok"},
    {"SPIFFE, one star for two segments", "spiffe spiffe://lab.carcano.corp/ns/prod/*", NULL,
     "spiffe_mismatch"},
    {"SPIFFE, two stars", "spiffe spiffe://lab.carcano.corp/ns/**", NULL, "ok"},
    {"SPIFFE, two URIs", "spiffe spiffe://lab.carcano.corp/ns/**", two_uris, "spiffe_invalid"},
    {"SPIFFE, CA", "spiffe spiffe://lab.carcano.corp/ns/**", ca_leaf, "spiffe_invalid"},
    {"SPIFFE, dot-dot", "spiffe spiffe://lab.carcano.corp/ns/**", dotdot_id, "spiffe_invalid"},
    {"SPIFFE, no ID at all", "spiffe spiffe://lab.carcano.corp/ns/**", plain_uri,
     "spiffe_mismatch"},
    {"SPIFFE, anchors may not vouch", "spiffe spiffe://lab.carcano.corp/ns/**", foreign_domain,
     "spiffe_mismatch"},
    {"SPIFFE, store without domains", "spiffe spiffe://lab.carcano.corp/ns/**", no_domains,
     "spiffe_mismatch"},
    {"not SPIFFE, another", "not spiffe spiffe://lab.carcano.corp/ns/test/**", NULL, "ok"},
    {"not SPIFFE, this", "not spiffe spiffe://lab.carcano.corp/ns/prod/**", NULL, "excluded"},
    {"not SPIFFE, no ID", "not spiffe spiffe://lab.carcano.corp/ns/prod/**", plain_uri, "ok"},
    {"not SPIFFE, invalid is no way round", "not spiffe spiffe://lab.carcano.corp/ns/prod/**",
     two_uris, "spiffe_invalid"},
    {"not SPIFFE, foreign domain is no way round",
     "not spiffe spiffe://lab.carcano.corp/ns/prod/**", foreign_domain, "spiffe_mismatch"},

    {"extended key usage", "eku clientAuth", NULL, "ok"},
    {"extended key usage, another", "eku serverAuth", NULL, "eku_mismatch"},
    {"extended key usage, absent", "eku clientAuth", no_eku, "eku_mismatch"},
    {"not extended key usage, absent", "not eku serverAuth", no_eku, "ok"},
    {"certificate policy", "policy 1.3.6.1.4.1.99999.1", NULL, "ok"},
    {"certificate policy, a longer OID", "policy 1.3.6.1.4.1.99999.11", NULL,
     "policy_oid_mismatch"},
    {"extension", "ext.1.3.6.1.4.1.99999.2 blue", NULL, "ok"},
    {"extension, another value", "ext.1.3.6.1.4.1.99999.2 blu", NULL, "extension_mismatch"},
    {"extension, absent", "ext.1.3.6.1.4.1.99999.2 blue", no_extension, "extension_mismatch"},
    {"key", "key ec>=256", NULL, "ok"},
    {"key, alternatives", "key rsa>=3072 ec:prime256v1", NULL, "ok"},
    {"key, too small", "key ec>256 rsa>=3072", NULL, "key_mismatch"},
    {"key, unknown", "key rsa ec ed25519 ed448 dsa", unknown_key, "key_mismatch"},
    {"not key", "not key ec", NULL, "excluded"},
    {"lifetime", "lifetime <=90d", NULL, "ok"},
    {"lifetime, too long", "lifetime <90d", NULL, "lifetime_mismatch"},
    {"time left", "remaining >=80d", NULL, "ok"},
    {"time left, too short", "remaining >80d", NULL, "lifetime_mismatch"},
    {"not time left", "not remaining <=80d", NULL, "excluded"},

    {"not, another value", "not subject.O x", NULL, "ok"},
    {"not, this value", "not subject.O 'Big Partner Foo SA'", NULL, "excluded"},
    {"not, one of several OUs", "not subject.OU x Ops", NULL, "excluded"},
    {"not, absent attribute", "not subject.OU Ops", no_ou, "ok"},
    {"exclude and require, absent", "subject.OU glob:**\nnot subject.OU Ops", no_ou,
     "subject_mismatch"},
    {"not, list", "not san.dns file:blocked", NULL, "excluded"},
    {"not, empty list", "not san.dns file:empty", NULL, "ok"},
    {"not, absent subject", "not subject \"" SUBJECT "\"", no_subject, "ok"},
    {"give-up refuses", "subject.CN regex:(a+)+$", long_cn, "match_limit"},
    {"give-up refuses in a not rule too", "not subject.CN regex:(a+)+$", long_cn, "match_limit"},
    {"give-up, another alternative matches", "subject.CN regex:(a+)+$ regex:a+!", long_cn, "ok"},
    {"give-up in a not rule, another alternative matches", "not subject.CN regex:(a+)+$ prefix:aaa",
     long_cn, "excluded"},

    {"order: the first failure is told", "subject.O x\nissuer.CN y", NULL, "subject_mismatch"},
    {"order: the other way round", "issuer.CN y\nsubject.O x", NULL, "issuer_mismatch"},
    {"all lines must hold", "subject.O 'Big Partner Foo SA'\nsan.dns x", NULL, "san_mismatch"},
    {"any: first line", "any {\nsubject.C CH\nsubject.C DE\n}", NULL, "ok"},
    {"any: last line", "any {\nsubject.C DE\nsubject.C CH\n}", NULL, "ok"},
    {"any: none", "any {\nsubject.C DE\nsan.dns x\n}", NULL, "none_matched"},
    {"any: empty group", "any {\n}", NULL, "none_matched"},
    {"all: empty group proves nothing", "all {\n}", NULL, "internal_error"},
    {"any: a not line holds", "any {\nsubject.C DE\nnot subject.O x\n}", NULL, "ok"},
    {"any: give-up is told when nothing holds", "any {\nsubject.CN regex:(a+)+$\nsubject.C DE\n}",
     long_cn, "match_limit"},
    {"any: give-up does not hurt what holds", "any {\nsubject.CN regex:(a+)+$\nsubject.C CH\n}",
     long_cn, "ok"},
    {"any: all inside holds", "any {\nsubject.C DE\nall {\nsubject.C CH\nsubject.OU Ops\n}\n}",
     NULL, "ok"},
    {"any: all inside fails in one", "any {\nsubject.C DE\nall {\nsubject.C CH\nsubject.OU x\n}\n}",
     NULL, "none_matched"},
    {"any: empty all inside", "any {\nall {\n}\n}", NULL, "internal_error"},
    {"two groups must both hold", "any {\nsubject.C CH\n}\nany {\nsubject.C DE\n}", NULL,
     "none_matched"},
    {"any inside all inside any",
     "any {\nall {\nany {\nsubject.C DE\nsubject.C CH\n}\nsubject.OU Ops\n}\n}", NULL, "ok"},

    {"expr true", "expr true", NULL, "ok"},
    {"expr false", "expr false", NULL, "expr_false"},
    {"expr fails", "expr error", NULL, "internal_error"},
    {"not expr true", "not expr true", NULL, "excluded"},
    {"not expr false", "not expr false", NULL, "ok"},
    {"not expr that fails", "not expr error", NULL, "internal_error"},
    {"expr in any", "any {\nsubject.C DE\nexpr true\n}", NULL, "ok"},
    {"expr in any, fails", "any {\nexpr error\nsubject.C DE\n}", NULL, "internal_error"},
    {"expr before a failing rule is told first", "expr false\nsubject.C DE", NULL, "expr_false"},
    {"expr behind a failing rule is not", "subject.C DE\nexpr false", NULL, "subject_mismatch"},
    {"second expr", "expr true\nsubject.C CH\nexpr false", NULL, "expr_false"},
};

/* Judge and finish; the reason of the whole. */
static mtls_result_t judged(const mtls_policy_t *policy, const peer_t *peer, apr_time_t now)
{
    mtls_judge_t judge = {.now = now, .eval_expr = world_eval};
    mtls_verdict_t verdict;
    mtls_result_t result;

    memset(&verdict, 0x55, sizeof(verdict));
    memset(&result, 0x55, sizeof(result));
    mtls_policy_judge(policy, &peer->evidence, &judge, &verdict);
    mtls_policy_finish(policy, &peer->evidence, &judge, &verdict, &result);
    return result;
}

static mtls_policy_t *policy_of(const char *text)
{
    world_t *world = apr_palloc(pool, sizeof(*world));
    mtls_policy_t *policy = NULL;

    world_init(world, pool, files);
    assert_message(world_policy(world, text, &policy), NULL);
    return policy;
}

static mtls_result_t result_of(const struct rule_row *row)
{
    mtls_policy_t *policy = policy_of(row->rules);
    mtls_result_t result;
    peer_t peer;

    peer_init(&peer, pool);
    if (row->change)
        row->change(&peer);
    peer_rename(&peer, pool);
    result = judged(policy, &peer, WORLD_NOW);
    assert_string_equal(mtls_reason_token(result.reason), row->reason);
    return result;
}

static void rule_case(void **state)
{
    mtls_result_t result = result_of(*state);

    assert_int_equal(result.rule == NULL, result.reason == MTLS_OK);
}

/* What the certificate itself is refused for is no rule's fault. */
static void certificate_case(void **state)
{
    mtls_result_t result = result_of(*state);

    assert_null(result.rule);
}

/* ---- certificate before rules ---- */

static void not_tls(peer_t *peer)
{
    peer->evidence.tls = 0;
}

static void not_presented(peer_t *peer)
{
    peer->evidence.presented = 0;
}

static void malformed(peer_t *peer)
{
    peer->evidence.facts = NULL;
}

static void chain_expired(peer_t *peer)
{
    peer->evidence.chain_reason = MTLS_EXPIRED;
    peer->evidence.chain = NULL;
}

static void chain_expired_with_links(peer_t *peer)
{
    peer->evidence.chain_reason = MTLS_EXPIRED;
}

static void chain_unjudged(peer_t *peer)
{
    peer->evidence.chain_reason = MTLS_INTERNAL_ERROR;
}

static void chain_missing(peer_t *peer)
{
    peer->evidence.chain = NULL;
}

static void chain_odd(peer_t *peer)
{
    peer->evidence.chain_reason = (mtls_reason_t)4711;
}

static void zeroed(peer_t *peer)
{
    memset(&peer->evidence, 0, sizeof(peer->evidence));
}

static const struct rule_row certificates[] = {
    {"certificate: good", "expr true\nsubject.C CH", NULL, "ok"},
    {"certificate: no TLS", "expr true\nsubject.C CH", not_tls, "no_tls"},
    {"certificate: not proved", "expr true\nsubject.C CH", not_presented, "no_certificate"},
    {"certificate: malformed", "expr true\nsubject.C CH", malformed, "certificate_malformed"},
    {"certificate: chain expired", "expr true\nsubject.C CH", chain_expired, "expired"},
    {"certificate: chain expired comes before rules", "subject.C DE", chain_expired, "expired"},
    {"certificate: links do not help a bad chain", "", chain_expired_with_links, "expired"},
    {"certificate: chain not judged", "", chain_unjudged, "internal_error"},
    {"certificate: good without links", "", chain_missing, "internal_error"},
    {"certificate: odd chain reason", "", chain_odd, "internal_error"},
    {"certificate: zeroed evidence is nobody", "", zeroed, "no_tls"},
    {"certificate: zeroed evidence with rules", "expr true\nsubject.C CH", zeroed, "no_tls"},
};

/* ---- refusal until proven ---- */

static void zeroed_verdicts_and_rules_refuse(void **state)
{
    mtls_policy_t *policy = policy_of("expr true\nsubject.C CH");
    mtls_judge_t judge = {.now = WORLD_NOW, .eval_expr = world_eval};
    mtls_verdict_t verdict;
    mtls_result_t result;
    peer_t peer;
    mtls_rule_t *group;
    world_t world;

    (void)state;
    peer_init(&peer, pool);
    memset(&verdict, 0, sizeof(verdict));
    mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
    assert_string_equal(mtls_reason_token(result.reason), "internal_error");
    world_init(&world, pool, files);
    group = mtls_rule_group(&world.env, (mtls_rule_kind_t)42);
    memset(&result, 0, sizeof(result));
    result.reason = MTLS_OK;
    mtls_rule_test(group, &peer.evidence, &judge, &result);
    assert_string_equal(mtls_reason_token(result.reason), "internal_error");
}

static void an_expression_nobody_evaluates_proves_nothing(void **state)
{
    static const char *const texts[] = {"expr true", "not expr true", "not expr false"};
    mtls_judge_t judge = {.now = WORLD_NOW};
    mtls_verdict_t verdict;
    mtls_result_t result;
    peer_t peer;
    size_t i;

    (void)state;
    peer_init(&peer, pool);
    for (i = 0; i < ROWS(texts); i++) {
        mtls_policy_t *policy = policy_of(texts[i]);
        mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
        mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
        assert_string_equal(mtls_reason_token(result.reason), "internal_error");
    }
}

static void the_rule_that_refused_is_told(void **state)
{
    peer_t peer;
    mtls_result_t result;

    (void)state;
    peer_init(&peer, pool);
    result = judged(policy_of("subject.C CH\nsan.dns a.example\nsubject.O x"), &peer, WORLD_NOW);
    assert_string_equal(mtls_rule_text(result.rule), "san.dns a.example");
    assert_string_equal(mtls_rule_where(result.rule), "test.conf:7");
    result = judged(policy_of("any {\nsan.dns a.example\nsubject.O x\n}"), &peer, WORLD_NOW);
    assert_string_equal(mtls_rule_text(result.rule), "<MTLSRequireAny>");
    result = judged(policy_of("all {\nsubject.C CH\nsan.dns a.example\n}"), &peer, WORLD_NOW);
    assert_string_equal(mtls_rule_text(result.rule), "san.dns a.example");
    result = judged(policy_of("subject.C CH\nexpr false and more"), &peer, WORLD_NOW);
    assert_string_equal(mtls_rule_text(result.rule), "expr false and more");
}

static void a_hint_belongs_to_the_rule_that_refused(void **state)
{
    static const char reversed[] = "subject 'C=CH,O=Big Partner Foo SA,OU=Sales,OU=API+OU=Ops,"
                                   "CN=client.bigpartner.example'";
    peer_t peer;
    mtls_result_t result;

    (void)state;
    peer_init(&peer, pool);
    result = judged(policy_of(reversed), &peer, WORLD_NOW);
    assert_message(result.hint, "reverse");
    result = judged(policy_of(apr_pstrcat(pool, "any {\n", reversed, "\nsubject.C CH\n}", NULL)),
                    &peer, WORLD_NOW);
    assert_int_equal(result.reason, MTLS_OK);
    assert_null(result.hint);
    result = judged(
        policy_of(apr_pstrcat(pool, "any {\n", reversed, "\nsubject.C CH\n}\nsubject.O x", NULL)),
        &peer, WORLD_NOW);
    assert_int_equal(result.reason, MTLS_SUBJECT_MISMATCH);
    assert_null(result.hint);
    foreign_domain(&peer);
    result = judged(policy_of("spiffe spiffe://lab.carcano.corp/ns/**"), &peer, WORLD_NOW);
    assert_message(result.hint, "MTLSTrustDomain");
}

/* ---- requests ---- */

static void only_expressions_are_evaluated_for_every_request(void **state)
{
    mtls_policy_t *policy = policy_of("subject.C CH\nexpr true\nany {\nexpr false\nexpr true\n}");
    int calls = 0;
    mtls_judge_t judge = {.now = WORLD_NOW, .eval_expr = world_eval, .baton = &calls};
    mtls_verdict_t verdict;
    mtls_result_t result;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    assert_int_equal(calls, 0);
    assert_int_equal(verdict.result.reason, MTLS_OK);
    mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
    assert_int_equal(calls, 3);
    mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
    assert_int_equal(calls, 6);
    assert_int_equal(result.reason, MTLS_OK);
}

static void no_expression_is_evaluated_behind_the_first_failure(void **state)
{
    mtls_policy_t *policy = policy_of("expr true\nsubject.C DE\nexpr error");
    int calls = 0;
    mtls_judge_t judge = {.now = WORLD_NOW, .eval_expr = world_eval, .baton = &calls};
    mtls_verdict_t verdict;
    mtls_result_t result;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    assert_int_equal(verdict.failed_at, 1);
    mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
    assert_int_equal(calls, 1);
    assert_string_equal(mtls_reason_token(result.reason), "subject_mismatch");
    peer.evidence.facts = NULL;
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    mtls_policy_finish(policy, &peer.evidence, &judge, &verdict, &result);
    assert_int_equal(calls, 1); /* an expression never sees a certificate that is not there */
    assert_string_equal(mtls_reason_token(result.reason), "certificate_malformed");
}

/* ---- size and threads ---- */

static void fifty_rules_over_ten_thousand_names_are_judged(void **state)
{
    mtls_span_t *names = apr_palloc(pool, 10000 * sizeof(*names));
    const char *text = "san.dns h9999.example";
    mtls_policy_t *policy;
    peer_t peer;
    int i;

    (void)state;
    for (i = 0; i < 10000; i++)
        names[i] = mtls_span_of(apr_psprintf(pool, "h%d.example", i));
    for (i = 0; i < 49; i++)
        text =
            apr_psprintf(pool, "not san.dns x%d.example suffix:.other%d.example\n%s", i, i, text);
    peer_init(&peer, pool);
    peer.facts.san[MTLS_SAN_DNS].v = peer.facts.san_folded[MTLS_SAN_DNS].v = names;
    peer.facts.san[MTLS_SAN_DNS].n = peer.facts.san_folded[MTLS_SAN_DNS].n = 10000;
    policy = policy_of(text);
    assert_int_equal(policy->rules->nelts, 50);
    assert_int_equal(judged(policy, &peer, WORLD_NOW).reason, MTLS_OK);
    names[9999] = mtls_span_of("h10000.example");
    assert_string_equal(mtls_reason_token(judged(policy, &peer, WORLD_NOW).reason), "san_mismatch");
}

/* Patterns are tried on a bounded number of values; exact ones on all. */
static void patterns_over_many_names_give_up(void **state)
{
    mtls_span_t *names = apr_palloc(pool, (MTLS_MAX_PATTERN_VALUES + 1) * sizeof(*names));
    static const char *const texts[] = {"san.dns glob:*.other", "not san.dns glob:*.other",
                                        "san.dns regex:h.*", "san.dns x.example"};
    static const char *const few[] = {"san_mismatch", "ok", "ok", "san_mismatch"};
    static const char *const many[] = {"match_limit", "match_limit", "match_limit", "san_mismatch"};
    peer_t peer;
    size_t i;

    (void)state;
    for (i = 0; i <= MTLS_MAX_PATTERN_VALUES; i++)
        names[i] = mtls_span_of(apr_psprintf(pool, "h%d.example", (int)i));
    peer_init(&peer, pool);
    peer.facts.san[MTLS_SAN_DNS].v = peer.facts.san_folded[MTLS_SAN_DNS].v = names;
    for (i = 0; i < ROWS(texts); i++) {
        mtls_policy_t *policy = policy_of(texts[i]);
        peer.facts.san[MTLS_SAN_DNS].n = MTLS_MAX_PATTERN_VALUES;
        assert_string_equal(mtls_reason_token(judged(policy, &peer, WORLD_NOW).reason), few[i]);
        peer.facts.san[MTLS_SAN_DNS].n = MTLS_MAX_PATTERN_VALUES + 1;
        assert_string_equal(mtls_reason_token(judged(policy, &peer, WORLD_NOW).reason), many[i]);
    }
}

/* The budget is one for all rules of a judgement, and a new one for the next. */
static void rules_share_one_budget(void **state)
{
    const char *text = "subject.C CH";
    mtls_policy_t *policy;
    peer_t peer;
    int i;

    (void)state;
    for (i = 0; i <= MTLS_PATTERN_BUDGET / MTLS_PATTERN_MOST_STEPS; i++)
        text = apr_pstrcat(pool, text, "\nsubject.CN regex:(?:[a-z!]-?)+", NULL);
    peer_init(&peer, pool);
    long_cn(&peer);
    peer.subject[5].value.len = 4096;
    policy = policy_of(text);
    for (i = 0; i < 3; i++)
        assert_string_equal(mtls_reason_token(judged(policy, &peer, WORLD_NOW).reason),
                            "match_limit");
    (void)apr_array_pop(policy->rules);
    for (i = 0; i < 3; i++)
        assert_string_equal(mtls_reason_token(judged(policy, &peer, WORLD_NOW).reason), "ok");
}

#define THREADS 4

typedef struct worker_t {
    apr_thread_t *thread;
    const mtls_policy_t *policy;
    const peer_t *peer;
    const char *expected;
    int wrong;
} worker_t;

static void *APR_THREAD_FUNC judge_often(apr_thread_t *thread, void *baton)
{
    worker_t *w = baton;
    int i;

    for (i = 0; i < 500; i++)
        w->wrong += strcmp(mtls_reason_token(judged(w->policy, w->peer, WORLD_NOW).reason),
                           w->expected) != 0;
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

/* One policy, two peers, several threads: nobody gets another's answer. */
static void threads_share_a_policy(void **state)
{
    mtls_policy_t *policy = policy_of("subject.CN regex:client[.](big|small)partner[.]example\n"
                                      "san.dns file:partners glob:*.other.example\nexpr true");
    worker_t workers[THREADS];
    apr_status_t status;
    peer_t good, bad;
    int i;

    (void)state;
    peer_init(&good, pool);
    peer_init(&bad, pool);
    bad.subject[5].value = mtls_span_of("client.badpartner.example");
    for (i = 0; i < THREADS; i++) {
        worker_t w = {NULL, policy, i % 2 ? &bad : &good, i % 2 ? "subject_mismatch" : "ok", 0};
        workers[i] = w;
        assert_int_equal(
            apr_thread_create(&workers[i].thread, NULL, judge_often, &workers[i], pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(apr_thread_join(&status, workers[i].thread), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
}

/* ---- time ---- */

static void the_verdict_holds_as_long_as_the_chain(void **state)
{
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.evidence.valid_until = WORLD_NOW + 4711;
    assert_true(judged(policy_of("subject.C CH"), &peer, WORLD_NOW).valid_until ==
                WORLD_NOW + 4711);
    assert_true(judged(policy_of("subject.C DE"), &peer, WORLD_NOW).valid_until ==
                WORLD_NOW + 4711);
    peer.evidence.chain_reason = MTLS_CHAIN_INCOMPLETE;
    assert_true(judged(policy_of("remaining >=7d"), &peer, WORLD_NOW).valid_until ==
                WORLD_NOW + 4711);
}

static const struct turn_row {
    const char *name;
    const char *rules;
    int until_days; /* from WORLD_NOW; the certificate has 80 left */
} turns[] = {
    {"holds until the chain expires", "lifetime <=90d", 80},
    {"remaining at least", "remaining >=7d", 73},
    {"remaining more", "remaining >7d", 73},
    {"remaining, two rules: the first to turn", "remaining >=7d\nremaining >=30d", 50},
    {"remaining, two values: the first to turn", "remaining >=7d >=30d", 50},
    {"remaining inside any", "any {\nsubject.C DE\nremaining >=7d\n}", 73},
    {"remaining that fails turns too", "remaining <=7d", 73},
    {"not remaining", "not remaining <=7d", 73},
    {"remaining behind a rule that fails does not matter", "subject.C DE\nremaining >=7d", 80},
};

static void turn_case(void **state)
{
    const struct turn_row *row = *state;
    mtls_policy_t *policy = policy_of(row->rules);
    apr_time_t until, at;
    mtls_reason_t first;
    peer_t peer;

    peer_init(&peer, pool);
    first = judged(policy, &peer, WORLD_NOW).reason;
    until = judged(policy, &peer, WORLD_NOW).valid_until;
    at = WORLD_NOW + row->until_days * WORLD_DAYS;
    assert_true(until <= at + 1);
    assert_true(until >= at - apr_time_from_sec(2));
    for (at = WORLD_NOW; at < until; at += WORLD_DAYS)
        assert_int_equal(judged(policy, &peer, at).reason, first);
    for (at = until - 3; at < until; at++)
        assert_int_equal(judged(policy, &peer, at).reason, first);
}

static void remaining_turns_in_the_microsecond_it_says(void **state)
{
    static const char *const texts[] = {"remaining >=7d", "remaining >7d", "remaining <=7d",
                                        "remaining <7d", "not remaining <7d"};
    apr_time_t now, until, end = WORLD_NOW + 80 * WORLD_DAYS;
    peer_t peer;
    size_t i;
    int turned;

    (void)state;
    peer_init(&peer, pool);
    for (i = 0; i < ROWS(texts); i++) {
        mtls_policy_t *policy = policy_of(texts[i]);
        mtls_reason_t before = judged(policy, &peer, WORLD_NOW).reason;
        turned = 0;
        for (now = WORLD_NOW; now < end; now = until) {
            until = judged(policy, &peer, now).valid_until;
            assert_true(until > now);
            assert_int_equal(judged(policy, &peer, until - 1).reason,
                             judged(policy, &peer, now).reason);
            turned += judged(policy, &peer, now).reason != before;
        }
        assert_int_equal(turned > 0, 1);
    }
}

int main(void)
{
    SUITE_TABLE(rule_case, rules);
    SUITE_TABLE(certificate_case, certificates);
    SUITE_CASE(zeroed_verdicts_and_rules_refuse);
    SUITE_CASE(an_expression_nobody_evaluates_proves_nothing);
    SUITE_CASE(the_rule_that_refused_is_told);
    SUITE_CASE(a_hint_belongs_to_the_rule_that_refused);
    SUITE_CASE(only_expressions_are_evaluated_for_every_request);
    SUITE_CASE(no_expression_is_evaluated_behind_the_first_failure);
    SUITE_CASE(fifty_rules_over_ten_thousand_names_are_judged);
    SUITE_CASE(patterns_over_many_names_give_up);
    SUITE_CASE(rules_share_one_budget);
    SUITE_CASE(threads_share_a_policy);
    SUITE_CASE(the_verdict_holds_as_long_as_the_chain);
    SUITE_TABLE(turn_case, turns);
    SUITE_CASE(remaining_turns_in_the_microsecond_it_says);
    return suite_run("policy", 170);
}
