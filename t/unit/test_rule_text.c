/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/attribute and the parsing side of policy/rule. */

#include "suite.h"

#include "policy/limits.h"
#include "policy/rule.h"

static const world_file_t files[] = {
    {"empty", "# nothing\n", 0},
    {"hosts", "a.example\n", 0},
    {NULL, NULL, 0},
};

/* ---- attributes ---- */

static const struct attribute_row {
    const char *name; /* as written */
    mtls_source_t source;
    mtls_kind_t kind;
    mtls_reason_t mismatch;
    int may_repeat;
    const char *oid;
} attributes[] = {
    {"subject", MTLS_SOURCE_SUBJECT, MTLS_KIND_NAME, MTLS_SUBJECT_MISMATCH, 1, NULL},
    {"issuer", MTLS_SOURCE_ISSUER, MTLS_KIND_NAME, MTLS_ISSUER_MISMATCH, 1, NULL},
    {"subject.CN", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH, 0,
     "2.5.4.3"},
    {"subject.commonName", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH, 0,
     "2.5.4.3"},
    {"subject.2.5.4.97", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH, 0,
     "2.5.4.97"},
    {"subject.OU", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH, 1,
     "2.5.4.11"},
    {"subject.DC", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH, 1,
     "0.9.2342.19200300.100.1.25"},
    {"subject.emailAddress", MTLS_SOURCE_SUBJECT_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_SUBJECT_MISMATCH,
     0, "1.2.840.113549.1.9.1"},
    {"issuer.CN", MTLS_SOURCE_ISSUER_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_ISSUER_MISMATCH, 0, "2.5.4.3"},
    {"issuer.OU", MTLS_SOURCE_ISSUER_ATTRIBUTE, MTLS_KIND_TEXT, MTLS_ISSUER_MISMATCH, 1,
     "2.5.4.11"},
    {"issuer.cert", MTLS_SOURCE_ISSUER_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH, 1, NULL},
    {"chain.cert", MTLS_SOURCE_CHAIN_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH, 1, NULL},
    {"anchor.cert", MTLS_SOURCE_ANCHOR_CERT, MTLS_KIND_CERTIFICATE, MTLS_PIN_MISMATCH, 1, NULL},
    {"issuer.spki", MTLS_SOURCE_ISSUER_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH, 1, NULL},
    {"chain.spki", MTLS_SOURCE_CHAIN_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH, 1, NULL},
    {"anchor.spki", MTLS_SOURCE_ANCHOR_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH, 1, NULL},
    {"spki", MTLS_SOURCE_SPKI, MTLS_KIND_PIN, MTLS_PIN_MISMATCH, 1, NULL},
    {"trust", MTLS_SOURCE_TRUST, MTLS_KIND_TRUST, MTLS_TRUST_MISMATCH, 1, NULL},
    {"sha256", MTLS_SOURCE_SHA256, MTLS_KIND_SHA256, MTLS_FINGERPRINT_MISMATCH, 1, NULL},
    {"serial", MTLS_SOURCE_SERIAL, MTLS_KIND_SERIAL, MTLS_SERIAL_MISMATCH, 1, NULL},
    {"san.dns", MTLS_SOURCE_SAN_DNS, MTLS_KIND_DNS, MTLS_SAN_MISMATCH, 1, NULL},
    {"san.uri", MTLS_SOURCE_SAN_URI, MTLS_KIND_URI, MTLS_SAN_MISMATCH, 1, NULL},
    {"san.email", MTLS_SOURCE_SAN_EMAIL, MTLS_KIND_EMAIL, MTLS_SAN_MISMATCH, 1, NULL},
    {"san.ip", MTLS_SOURCE_SAN_IP, MTLS_KIND_IP, MTLS_SAN_MISMATCH, 1, NULL},
    {"san.upn", MTLS_SOURCE_SAN_UPN, MTLS_KIND_TEXT, MTLS_SAN_MISMATCH, 1, NULL},
    {"spiffe", MTLS_SOURCE_SPIFFE, MTLS_KIND_SPIFFE, MTLS_SPIFFE_MISMATCH, 1, NULL},
    {"eku", MTLS_SOURCE_EKU, MTLS_KIND_OID, MTLS_EKU_MISMATCH, 1, NULL},
    {"policy", MTLS_SOURCE_POLICY, MTLS_KIND_OID, MTLS_POLICY_OID_MISMATCH, 1, NULL},
    {"ext.1.3.6.1.4.1.99999.2", MTLS_SOURCE_EXTENSION, MTLS_KIND_TEXT, MTLS_EXTENSION_MISMATCH, 1,
     "1.3.6.1.4.1.99999.2"},
    {"key", MTLS_SOURCE_KEY, MTLS_KIND_KEY, MTLS_KEY_MISMATCH, 1, NULL},
    {"lifetime", MTLS_SOURCE_LIFETIME, MTLS_KIND_DURATION, MTLS_LIFETIME_MISMATCH, 1, NULL},
    {"remaining", MTLS_SOURCE_REMAINING, MTLS_KIND_DURATION, MTLS_LIFETIME_MISMATCH, 1, NULL},
    {"expr", MTLS_SOURCE_EXPR, MTLS_KIND_EXPR, MTLS_EXPR_FALSE, 1, NULL},
};

static void attribute_case(void **state)
{
    const struct attribute_row *row = *state;
    mtls_attribute_t a;

    assert_message(mtls_attribute_parse(pool, row->name, world_oid, &a), NULL);
    assert_string_equal(a.name, row->name);
    assert_int_equal(a.source, row->source);
    assert_int_equal(a.kind, row->kind);
    assert_int_equal(a.mismatch, row->mismatch);
    assert_int_equal(a.may_repeat, row->may_repeat);
    if (row->oid)
        assert_string_equal(a.oid, row->oid);
    else
        assert_null(a.oid);
}

static void every_source_has_a_name(void **state)
{
    int seen[MTLS_SOURCE_EXPR + 1] = {0};
    size_t i;
    int s;

    (void)state;
    for (i = 0; i < ROWS(attributes); i++)
        seen[attributes[i].source] = 1;
    for (s = MTLS_SOURCE_NONE + 1; s <= MTLS_SOURCE_EXPR; s++)
        assert_true(seen[s]);
}

static mtls_span_t value_of(const char *name, const mtls_evidence_t *evidence, int index)
{
    mtls_attribute_t a;

    assert_message(mtls_attribute_parse(pool, name, world_oid, &a), NULL);
    assert_true(index < mtls_attribute_text_count(&a, evidence));
    return mtls_attribute_text(pool, &a, evidence, index, WORLD_NOW);
}

static int count_of(const char *name, const mtls_evidence_t *evidence)
{
    mtls_attribute_t a;

    assert_message(mtls_attribute_parse(pool, name, world_oid, &a), NULL);
    return mtls_attribute_text_count(&a, evidence);
}

static const struct text_row {
    const char *name;
    int count;
    int index;
    const char *text;
} texts[] = {
    {"subject", 1, 0,
     "CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,O=Big Partner Foo SA,C=CH"},
    {"issuer", 1, 0, "CN=CARC I101L,O=Carcano"},
    {"subject.CN", 1, 0, "client.bigpartner.example"},
    {"subject.OU", 3, 2, "Ops"},
    {"subject.L", 0, 0, NULL},
    {"issuer.O", 1, 0, "Carcano"},
    {"issuer.cert", 1, 0, "1111111111111111111111111111111111111111111111111111111111111111"},
    {"chain.cert", 3, 1, "2222222222222222222222222222222222222222222222222222222222222222"},
    {"anchor.cert", 1, 0, "3333333333333333333333333333333333333333333333333333333333333333"},
    {"issuer.spki", 1, 0, "9191919191919191919191919191919191919191919191919191919191919191"},
    {"chain.spki", 3, 2, "9393939393939393939393939393939393939393939393939393939393939393"},
    {"anchor.spki", 1, 0, "9393939393939393939393939393939393939393939393939393939393939393"},
    {"spki", 1, 0, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
    {"sha256", 1, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"trust", 1, 0, "vhost"},
    {"serial", 1, 0, "1f00a3"},
    {"san.dns", 2, 0, "Client.BigPartner.example"},
    {"san.uri", 1, 0, "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"san.email", 1, 0, "Ops@BigPartner.example"},
    {"san.ip", 1, 0, "192.0.2.10"},
    {"san.upn", 1, 0, "ops@corp.example"},
    {"spiffe", 1, 0, "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"eku", 1, 0, "1.3.6.1.5.5.7.3.2"},
    {"policy", 1, 0, "1.3.6.1.4.1.99999.1"},
    {"ext.1.3.6.1.4.1.99999.2", 1, 0, "blue"},
    {"ext.1.3.6.1.4.1.99999.3", 0, 0, NULL},
    {"key", 1, 0, "ec:prime256v1"},
    {"lifetime", 1, 0, "7776000"},
    {"remaining", 1, 0, "6912000"},
    {"expr", 0, 0, NULL},
};

static void text_case(void **state)
{
    const struct text_row *row = *state;
    peer_t peer;

    peer_init(&peer, pool);
    assert_int_equal(count_of(row->name, &peer.evidence), row->count);
    if (row->text)
        assert_span_text(value_of(row->name, &peer.evidence, row->index), row->text);
}

static void without_a_chain_its_attributes_are_absent(void **state)
{
    static const char *const names[] = {"issuer.cert", "chain.cert",  "anchor.cert", "issuer.spki",
                                        "chain.spki",  "anchor.spki", "trust"};
    peer_t peer;
    size_t i;

    (void)state;
    peer_init(&peer, pool);
    peer.evidence.chain = NULL;
    for (i = 0; i < ROWS(names); i++)
        assert_int_equal(count_of(names[i], &peer.evidence), 0);
    assert_int_equal(count_of("subject.CN", &peer.evidence), 1);
}

static void an_rsa_key_is_told_by_its_bits_and_an_ipv6_address_shortened(void **state)
{
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.facts.key.type = "rsa";
    peer.facts.key.curve = "";
    peer.facts.key.bits = 3072;
    assert_span_text(value_of("key", &peer.evidence, 0), "rsa:3072");
    peer_add_san(&peer, pool, MTLS_SAN_IP,
                 mtls_span("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16));
    assert_span_text(value_of("san.ip", &peer.evidence, 1), "2001:db8::1");
}

/* ---- rules: what is wrong ---- */

static const struct error_row {
    const char *name;
    const char *text;
    const char *words; /* NULL: accepted */
} errors[] = {
    {"empty", "", "attribute and a value are missing"},
    {"only blanks", " \t ", "attribute and a value are missing"},
    {"only not", "not", "attribute and a value are missing"},
    {"not twice", "not not subject.O x", "unknown attribute \"not\""},
    {"not in upper case", "NOT subject.O x", "unknown attribute \"NOT\""},
    {"attribute without value", "subject.O", "subject.O needs at least one value"},
    {"negated attribute without value", "not subject.O", "needs at least one value"},
    {"unknown attribute", "subjct.O x",
     "unknown attribute \"subjct.O\"|subject.ATTR|san.dns|ext.OID"},
    {"attribute in upper case", "Subject.O x", "unknown attribute"},
    {"attribute cut", "san.dn x", "unknown attribute \"san.dn\""},
    {"attribute with more behind", "san.dnsx x", "unknown attribute"},
    {"DN attribute misspelt", "subject.OUU x", "\"OUU\"|subject.OUU|known name|dotted OID"},
    {"DN attribute missing", "subject. x", "known name|dotted OID"},
    {"issuer attribute misspelt", "issuer.certs ca.pem", "\"certs\""},
    {"extension without OID", "ext. x", "known name|dotted OID"},
    {"extension misspelt", "ext.1.2.x y", "\"1.2.x\""},
    {"quote never closed", "subject.O \"Big Partner", "quote|never closed"},
    {"single quote never closed", "subject.O 'Big", "quote|never closed"},
    {"quote closed by an escaped one", "subject.O \"Big\\\"", "never closed"},
    {"attribute in an open quote", "\"subject.O x", "never closed"},
    {"text behind a quote", "subject.O \"Big\"Partner", "blank must follow"},
    {"empty value is a value", "subject.O \"\"", NULL},
    {"quotes inside a word are text", "subject.O a\"b'c", NULL},
    {"not sha256", "not sha256 aa", "not sha256|spki|serial"},
    {"list empty", "san.dns file:empty", "list is empty"},
    {"pattern list empty", "san.dns patterns:empty", "list is empty"},
    {"two lists empty", "san.dns file:empty patterns:empty", "list is empty"},
    {"list empty beside a value", "san.dns file:empty a.example", NULL},
    {"list empty in a not rule", "not san.dns file:empty", NULL},
    {"list missing in a not rule", "not san.dns file:nowhere", "nowhere"},
    {"value named in the message", "san.ip 192.0.2.0/24 192.0.2.1/24", "\"192.0.2.1/24\""},
    {"regex named in the message", "subject.CN regex:(a", "\"regex:(a\"|regular expression"},
    {"DN with slashes", "subject /C=CH/CN=x", "RFC 4514"},
    {"DN unquoted and with blanks", "subject CN=x, O=y", "\"CN=x,\"|missing"},
    {"DN quoted", "subject \"CN=x, O=y\"", NULL},
    {"pattern on a DN", "subject regex:CN=.*", "compared exactly"},
    {"key misspelt", "key rsa>3072bits", "rsa>=3072"},
    {"lifetime without comparison", "lifetime 90d", "a duration is written as"},
    {"list of keys", "key file:hosts", "a key is written as"},
    {"list of durations", "remaining file:hosts", "a duration is written as"},
    {"expr without expression", "expr", "needs an expression"},
    {"expr only blanks", "expr   ", "needs an expression"},
    {"expr wrong", "expr bad(", "syntax error"},
    {"expr takes the raw rest", "expr true 'x\" y", NULL},
    {"not expr", "not expr true", NULL},
    {"certificate missing", "issuer.cert nowhere.pem", "nowhere.pem"},
    {"newline is no separator", "subject.O\nx", "\"O\nx\""},
};

static void rule_error_case(void **state)
{
    const struct error_row *row = *state;
    world_t world;
    mtls_rule_t *rule = NULL;
    const char *error;

    world_init(&world, pool, files);
    error = mtls_rule_parse(&world.env, row->text, &rule);
    assert_message(error, row->words);
    if (!error) {
        assert_string_equal(mtls_rule_text(rule), row->text);
        assert_string_equal(mtls_rule_where(rule), "test.conf:7");
    }
}

static void a_rule_is_bounded(void **state)
{
    char *text = apr_palloc(pool, MTLS_MAX_RULE_BYTES + 2);
    world_t world;
    mtls_rule_t *rule;

    (void)state;
    world_init(&world, pool, files);
    memset(text, 'a', MTLS_MAX_RULE_BYTES + 1);
    memcpy(text, "subject.O ", 10);
    text[MTLS_MAX_RULE_BYTES] = '\0';
    assert_message(mtls_rule_parse(&world.env, text, &rule), NULL);
    text[MTLS_MAX_RULE_BYTES] = 'a';
    text[MTLS_MAX_RULE_BYTES + 1] = '\0';
    assert_message(mtls_rule_parse(&world.env, text, &rule), "at most 65536 bytes|file:");
}

static void expressions_are_refused_where_there_are_none(void **state)
{
    world_t world;
    mtls_rule_t *rule;

    (void)state;
    world_init(&world, pool, files);
    world.env.compile_expr = NULL;
    assert_message(mtls_rule_parse(&world.env, "expr true", &rule), "cannot be used here");
}

/* ---- words ---- */

static const struct word_row {
    const char *name;
    const char *text;
    const char *organisation;
    int holds;
} words[] = {
    {"bare word", "subject.O x", "x", 1},
    {"tabs and blanks separate", "subject.O\t  y\tx ", "x", 1},
    {"double quotes keep blanks", "subject.O \"a  b\"", "a  b", 1},
    {"single quotes keep blanks", "subject.O 'a b'", "a b", 1},
    {"escaped quote", "subject.O \"a \\\"b\\\"\"", "a \"b\"", 1},
    {"other quote inside", "subject.O \"it's\"", "it's", 1},
    {"escaped backslash", "subject.O \"a\\\\b\"", "a\\b", 1},
    {"backslash before another character stays", "subject.O \"a\\,b\"", "a\\,b", 1},
    {"empty value equals the empty attribute", "subject.O \"\"", "", 1},
    {"empty value equals no other", "subject.O \"\"", "x", 0},
    {"quoted attribute", "\"subject.O\" x", "x", 1},
};

static void word_case(void **state)
{
    const struct word_row *row = *state;
    mtls_result_t result = {.valid_until = MTLS_FOREVER};
    mtls_judge_t judge = {.now = WORLD_NOW};
    world_t world;
    peer_t peer;
    mtls_rule_t *rule;

    world_init(&world, pool, files);
    peer_init(&peer, pool);
    peer.subject[1].value = mtls_span_of(row->organisation);
    assert_message(mtls_rule_parse(&world.env, row->text, &rule), NULL);
    mtls_rule_test(rule, &peer.evidence, &judge, &result);
    assert_string_equal(mtls_reason_token(result.reason), row->holds ? "ok" : "subject_mismatch");
}

/* ---- what configuration checks ask ---- */

static void a_reversed_name_is_warned_about(void **state)
{
    static const char *const usual[] = {"subject CN=x,O=y,C=CH", "subject O=y,C=CH", "subject CN=x",
                                        "issuer \"CN=x, OU=z, DC=y\"", "subject.O C=CH,CN=x"};
    world_t world;
    mtls_rule_t *rule;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(usual); i++) {
        world_init(&world, pool, files);
        assert_message(mtls_rule_parse(&world.env, usual[i], &rule), NULL);
        assert_null(world.warning);
    }
    world_init(&world, pool, files);
    assert_message(mtls_rule_parse(&world.env, "subject C=CH,O=y,CN=x", &rule), NULL);
    assert_message(world.warning, "subject|C=CH,O=y,CN=x|reversed");
    world_init(&world, pool, files);
    assert_message(mtls_rule_parse(&world.env, "issuer \"DC=corp, CN=x\"", &rule), NULL);
    assert_message(world.warning, "issuer|reversed");
}

static const struct binds_row {
    const char *name;
    const char *rules;
    int binds;
    int depends;
} binding[] = {
    {"issuer CN=x", "issuer CN=x", 1, 0},
    {"issuer.CN x", "issuer.CN x", 1, 0},
    {"issuer.cert ca.pem", "issuer.cert ca.pem", 1, 0},
    {"chain.cert ca.pem", "chain.cert ca.pem", 1, 0},
    {"anchor.cert root.pem", "anchor.cert root.pem", 1, 0},
    {"trust vhost", "trust vhost", 1, 0},
    {"spiffe spiffe://lab.carcano.corp/x", "spiffe spiffe://lab.carcano.corp/x", 1, 0},
    {"subject.O x", "subject.O x", 0, 0},
    {"serial 1f", "serial 1f", 0, 0},
    {"not issuer.CN x", "not issuer.CN x", 0, 0},
    {"expr true", "expr true", 0, 1},
    {"subject.O x; issuer.CN x", "subject.O x\nissuer.CN x", 1, 0},
    {"any { issuer.CN x; issuer.CN y }", "any {\nissuer.CN x\nissuer.CN y\n}", 1, 0},
    {"any { issuer.CN x; subject.O y }", "any {\nissuer.CN x\nsubject.O y\n}", 0, 0},
    {"any { all { issuer.CN x; subject.O y }; issuer.CN z }",
     "any {\nall {\nissuer.CN x\nsubject.O y\n}\nissuer.CN z\n}", 1, 0},
    {"any { all { subject.O y }; issuer.CN z }", "any {\nall {\nsubject.O y\n}\nissuer.CN z\n}", 0,
     0},
    {"any { all { subject.O y; expr true }; issuer.CN z }",
     "any {\nall {\nsubject.O y\nexpr true\n}\nissuer.CN z\n}", 0, 1},
};

static void binds_case(void **state)
{
    const struct binds_row *row = *state;
    world_t world;
    mtls_policy_t *policy;

    world_init(&world, pool, files);
    assert_message(world_policy(&world, row->rules, &policy), NULL);
    assert_int_equal(mtls_policy_binds_issuer(policy), row->binds);
    assert_int_equal(!!policy->depends_on_request, row->depends);
}

static const char *join_domain(void *baton, mtls_span_t domain)
{
    const char **joined = baton;

    *joined = apr_pstrcat(pool, *joined, apr_pstrmemdup(pool, domain.data, domain.len), "|", NULL);
    return NULL;
}

static const char *join_store(void *baton, const char *name)
{
    const char **joined = baton;

    *joined = apr_pstrcat(pool, *joined, name, "|", NULL);
    return strcmp(name, "stop") == 0 ? "stopped" : NULL;
}

static void rules_tell_the_domains_and_stores_they_name(void **state)
{
    const char *domains = "", *stores = "", *first = "";
    world_t world;
    mtls_policy_t *policy;
    int i;

    (void)state;
    world_init(&world, pool, files);
    assert_message(world_policy(&world,
                                "spiffe spiffe://a.example/x spiffe://b.example/y/**\n"
                                "any {\nspiffe eq:spiffe://c.example/z\ntrust one eq:two\n}\n"
                                "trust stop never",
                                &policy),
                   NULL);
    for (i = 0; i < policy->rules->nelts; i++) {
        const mtls_rule_t *rule = APR_ARRAY_IDX(policy->rules, i, const mtls_rule_t *);
        assert_null(mtls_rule_spiffe_domains(rule, join_domain, &domains));
        (void)mtls_rule_trust_names(rule, join_store, i < 2 ? &stores : &first);
    }
    assert_string_equal(domains, "a.example|b.example|c.example|");
    assert_string_equal(stores, "one|two|");
    assert_string_equal(first, "stop|");
}

int main(void)
{
    SUITE_TABLE(attribute_case, attributes);
    SUITE_CASE(every_source_has_a_name);
    SUITE_TABLE(text_case, texts);
    SUITE_CASE(without_a_chain_its_attributes_are_absent);
    SUITE_CASE(an_rsa_key_is_told_by_its_bits_and_an_ipv6_address_shortened);
    SUITE_TABLE(rule_error_case, errors);
    SUITE_CASE(a_rule_is_bounded);
    SUITE_CASE(expressions_are_refused_where_there_are_none);
    SUITE_TABLE(word_case, words);
    SUITE_CASE(a_reversed_name_is_warned_about);
    SUITE_TABLE(binds_case, binding);
    SUITE_CASE(rules_tell_the_domains_and_stores_they_name);
    return suite_run("rule_text", 140);
}
