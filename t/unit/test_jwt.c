/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* identity/jwt: the words of MTLSExport jwt, when a token ends, what it says. */

#include "suite.h"

#include <stdlib.h>

#include <jansson.h>

#include "identity/jwt.h"

/* ---- words ---- */

static const char *parse(const char *line, mtls_jwt_spec_t *spec)
{
    char *words[16], *rest = apr_pstrdup(pool, line), *word;
    int n = 0;

    while ((word = apr_strtok(rest, " ", &rest)) != NULL)
        words[n++] = word;
    return mtls_jwt_parse(pool, n, words, spec);
}

static mtls_jwt_spec_t spec_of(const char *line)
{
    mtls_jwt_spec_t spec;

    assert_message(parse(line, &spec), NULL);
    return spec;
}

static void what_is_not_said_has_a_default(void **state)
{
    mtls_jwt_spec_t spec = spec_of("aud=orders");

    (void)state;
    assert_string_equal(spec.header, "X-Client-Identity");
    assert_int_equal(spec.audiences->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(spec.audiences, 0, const char *), "orders");
    assert_null(spec.issuer);
    assert_int_equal(spec.sub.attribute.source, MTLS_SOURCE_SUBJECT);
    assert_int_equal(spec.ttl, 60);
}

static void everything_can_be_said(void **state)
{
    mtls_jwt_spec_t spec = spec_of("ttl=86400 sub=san.uri iss=https://gw.test header=X-Who "
                                   "aud=orders aud=https://orders.internal/?a=b");

    (void)state;
    assert_string_equal(spec.header, "X-Who");
    assert_int_equal(spec.audiences->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(spec.audiences, 0, const char *), "orders");
    assert_string_equal(APR_ARRAY_IDX(spec.audiences, 1, const char *),
                        "https://orders.internal/?a=b");
    assert_string_equal(spec.issuer, "https://gw.test");
    assert_int_equal(spec.sub.attribute.source, MTLS_SOURCE_SAN_URI);
    assert_int_equal(spec.ttl, 86400);
}

static const struct bad_row {
    const char *name; /* the words */
    const char *message;
} bad_lines[] = {
    {"", "aud is missing|allowed: aud="},
    {"ttl=60", "aud is missing"},
    {"aud=", "aud=\"\"|allowed"},
    {"aud=a aud=a", "aud=a is given twice"},
    {"aud=caf\xc3\xa9", "allowed: printable ASCII"},
    {"aud", "unknown option \"aud\"|allowed: aud="},
    {"audience=x", "unknown option \"audience=x\"|allowed: aud="},
    {"AUD=x", "unknown option"},
    {"aud=a header=", "header=\"\"|allowed"},
    {"aud=a header=X header=Y", "header= is given twice"},
    {"aud=a iss=", "iss=\"\"|allowed"},
    {"aud=a iss=x iss=x", "iss= is given twice"},
    {"aud=a sub=subjct", "sub=subjct|unknown"},
    {"aud=a sub=", "sub="},
    {"aud=a sub=expr", "expr has no value"},
    {"aud=a sub=verdict", "sub=verdict names nobody"},
    {"aud=a sub=policy", "names nobody"},
    {"aud=a sub=remaining", "names nobody"},
    {"aud=a sub=ocsp", "sub=ocsp names nobody|allowed: subject"},
    {"aud=a sub=trust", "names nobody"},
    {"aud=a sub=not_after", "names nobody"},
    {"aud=a sub=cert.pem", "names nobody"},
    {"aud=a sub=issuer.CN", "names nobody"},
    {"aud=a sub=anchor.spki", "names nobody"},
    {"aud=a sub=key", "names nobody"},
    {"aud=a ttl=0", "ttl=0|allowed: seconds from 1 to 86400"},
    {"aud=a ttl=86401", "ttl=86401|allowed"},
    {"aud=a ttl=-1", "ttl=-1|allowed"},
    {"aud=a ttl=60s", "ttl=60s|allowed"},
    {"aud=a ttl=", "ttl=|allowed"},
    {"aud=a ttl=99999999999999999999", "allowed: seconds"},
    {"aud=a ttl=60 ttl=60", "ttl= is given twice"},
};

static void bad_case(void **state)
{
    const struct bad_row *row = *state;
    mtls_jwt_spec_t spec;

    assert_message(parse(row->name, &spec), row->message);
}

/* ---- times ---- */

#define NOW  APR_INT64_C(1800000000) /* seconds */
#define HALF 500000                  /* microseconds */

static const struct exp_row {
    const char *name;
    apr_time_t now, until;
    apr_int64_t exp;
} ends[] = {
    {"the ttl", apr_time_from_sec(NOW), MTLS_FOREVER, NOW + 60},
    {"the ttl, within a second", apr_time_from_sec(NOW) + HALF, MTLS_FOREVER, NOW + 60},
    {"the verdict", apr_time_from_sec(NOW), apr_time_from_sec(NOW + 10), NOW + 10},
    {"the verdict, in whole seconds", apr_time_from_sec(NOW), apr_time_from_sec(NOW + 10) + 999999,
     NOW + 10},
    {"the same moment", apr_time_from_sec(NOW), apr_time_from_sec(NOW + 60), NOW + 60},
    {"one second is the least", apr_time_from_sec(NOW), apr_time_from_sec(NOW) + HALF, NOW + 1},
    {"a second and a half", apr_time_from_sec(NOW) + HALF, apr_time_from_sec(NOW + 2), NOW + 2},
    {"a verdict that is over", apr_time_from_sec(NOW), 0, NOW + 1},
};

static void exp_case(void **state)
{
    const struct exp_row *row = *state;
    mtls_jwt_spec_t spec = spec_of("aud=a");

    assert_int_equal(mtls_jwt_exp(&spec, row->now, row->until), row->exp);
}

/* ---- claims ---- */

static mtls_identity_t identity_of(const peer_t *peer)
{
    mtls_identity_t identity = {.evidence = &peer->evidence, .now = WORLD_NOW};

    identity.policies = "partner-api";
    return identity;
}

static json_t *claims_of(const char *line, const mtls_identity_t *identity)
{
    mtls_jwt_spec_t spec = spec_of(line);
    mtls_jwt_terms_t terms = {.spec = &spec, .issuer = "gateway.test", .iat = NOW, .exp = NOW + 60};
    const char *text;

    memcpy(terms.jti, "\xff\xef\xbe\xad\xde\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 16);
    text = mtls_jwt_claims(pool, &terms, identity);
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

/* The claims of the usual peer, after a change. */
static json_t *usual(const char *line, const peer_t *peer)
{
    mtls_identity_t identity = identity_of(peer);
    json_t *claims = claims_of(line, &identity);

    assert_non_null(claims);
    return claims;
}

static void assert_json(const json_t *got, const char *expected)
{
    json_t *value = json_loads(expected, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);

    assert_non_null(value);
    if (!json_equal(got, value))
        fail_msg("got %s, expected %s", text ? text : "nothing", expected);
    free(text);
    json_decref(value);
}

static void a_token_says_who_called(void **state)
{
    json_t *claims;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.evidence.status = MTLS_STATUS_GOOD;
    claims = usual("aud=orders", &peer);
    assert_json(
        claims,
        "{\"iss\":\"gateway.test\",\"sub\":\"CN=client.bigpartner.example,OU=API+OU=Ops,OU=Sales,"
        "O=Big Partner Foo SA,C=CH\",\"aud\":\"orders\",\"iat\":1800000000,\"exp\":1800000060,"
        "\"jti\":\"_---rd4AAQIDBAUGBwgJCg\","
        "\"cnf\":{\"x5t#S256\":\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo\"},"
        "\"san\":{\"dns\":[\"Client.BigPartner.example\",\"*.bigpartner.example\"],"
        "\"uri\":[\"spiffe://lab.carcano.corp/ns/prod/sa/orders\"],"
        "\"email\":[\"Ops@BigPartner.example\"],\"ip\":[\"192.0.2.10\"],"
        "\"upn\":[\"ops@corp.example\"]},"
        "\"spiffe_id\":\"spiffe://lab.carcano.corp/ns/prod/sa/orders\","
        "\"policy\":\"partner-api\",\"trust_store\":\"vhost\",\"ocsp\":\"good\"}");
    json_decref(claims);
}

static void several_audiences_are_an_array(void **state)
{
    json_t *claims;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    claims = usual("aud=orders aud=stock", &peer);
    assert_json(json_object_get(claims, "aud"), "[\"orders\",\"stock\"]");
    json_decref(claims);
}

/* RFC 9440's example certificate, whose SHA-256 RFC 8705 writes like this. */
static void the_certificate_is_bound(void **state)
{
    static const unsigned char sha256[] = {0xbf, 0xaf, 0x1f, 0x7e, 0x07, 0x0f, 0x9f, 0xa8,
                                           0xdd, 0x62, 0x90, 0x5f, 0x15, 0x8d, 0xa7, 0x3f,
                                           0x84, 0xa1, 0x13, 0x66, 0x24, 0xfb, 0xaf, 0xcc,
                                           0x93, 0x93, 0xc8, 0xf7, 0x28, 0x7a, 0x69, 0xeb};
    json_t *claims;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    memcpy(peer.facts.sha256, sha256, sizeof(sha256));
    claims = usual("aud=a", &peer);
    assert_json(json_object_get(claims, "cnf"),
                "{\"x5t#S256\":\"v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes\"}");
    json_decref(claims);
}

static void what_is_absent_has_no_claim(void **state)
{
    mtls_identity_t identity;
    json_t *claims;
    peer_t peer;
    int type;

    (void)state;
    peer_init(&peer, pool);
    peer.evidence.status = MTLS_STATUS_NOT_ASKED;
    for (type = 0; type < MTLS_SAN_TYPES; type++)
        peer.facts.san[type].n = peer.facts.san_folded[type].n = 0;
    identity = identity_of(&peer);
    identity.policies = NULL;
    claims = claims_of("aud=a", &identity);
    assert_non_null(claims);
    assert_null(json_object_get(claims, "san"));
    assert_null(json_object_get(claims, "spiffe_id"));
    assert_null(json_object_get(claims, "policy"));
    assert_null(json_object_get(claims, "ocsp"));
    assert_int_equal(json_object_size(claims), 8);
    json_decref(claims);
}

static void the_status_is_told_where_somebody_asked(void **state)
{
    json_t *claims;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.evidence.status = MTLS_STATUS_GOOD;
    claims = usual("aud=a", &peer);
    assert_json(json_object_get(claims, "ocsp"), "\"good\"");
    json_decref(claims);
}

/* Quotes, commas and the like are JSON's to escape; a value is one entry whatever it holds. */
static void values_come_back_as_they_are(void **state)
{
    static const char nasty[] = "a\",\"sub\":\"admin\\,b\r\n\x01 \xc3\xbc\xe2\x80\xae";
    const json_t *values;
    json_t *claims;
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    peer.facts.san[MTLS_SAN_URI].n = 0;
    peer.san[MTLS_SAN_DNS][0] = mtls_span_of(nasty);
    claims = usual("aud=a", &peer);
    values = json_object_get(json_object_get(claims, "san"), "dns");
    assert_int_equal(json_array_size(values), 2);
    assert_string_equal(json_string_value(json_array_get(values, 0)), nasty);
    assert_null(json_object_get(json_object_get(claims, "san"), "uri"));
    json_decref(claims);
}

static const struct text_row {
    const char *name;
    const char *bytes;
    apr_size_t len;
} no_texts[] = {
    {"Latin-1 is no UTF-8", "J\xfcrgen", 6},
    {"half a character", "a\xc3", 2},
    {"an overlong slash", "a\xc0\xaf", 3},
    {"a surrogate", "\xed\xa0\x80", 3},
    {"beyond Unicode", "\xf4\x90\x80\x80", 4},
    {"a NUL inside", "admin\0.evil", 11},
    {"nothing", "", 0},
};

/* It is left out, not mended: what is mended could be somebody else's. */
static void no_text_case(void **state)
{
    const struct text_row *row = *state;
    mtls_identity_t identity;
    mtls_jwt_spec_t spec = spec_of("aud=a sub=san.email");
    json_t *claims;
    peer_t peer;

    peer_init(&peer, pool);
    peer.san[MTLS_SAN_DNS][0] = mtls_span(row->bytes, row->len);
    claims = usual("aud=a", &peer);
    assert_json(json_object_get(json_object_get(claims, "san"), "dns"),
                "[\"*.bigpartner.example\"]");
    json_decref(claims);

    peer.san[MTLS_SAN_EMAIL][0] = mtls_span(row->bytes, row->len);
    identity = identity_of(&peer);
    assert_null(mtls_jwt_subject(pool, &spec, &identity).data);
    assert_null(claims_of("aud=a sub=san.email", &identity));
}

/* What no trust store may vouch for is not passed on as a URI either. */
static const struct foreign_row {
    const char *name;
    const char *uri;
    int passes;
} foreign[] = {
    {"an ID of a domain the store does not list", "spiffe://other.example/ns/prod/sa/orders", 0},
    {"the scheme in capitals", "SPIFFE://lab.carcano.corp/ns/prod/sa/orders", 0},
    {"no ID at all", "spiffe:", 0},
    {"a path that is none", "spiffe://lab.carcano.corp/a/../b", 0},
    {"another scheme", "https://lab.carcano.corp/ns/prod/sa/orders", 1},
    {"a scheme that begins like it", "spiffer://lab.carcano.corp/x", 1},
    {"the store's own", "spiffe://lab.carcano.corp/ns/prod/sa/stock", 1},
};

static void foreign_case(void **state)
{
    const struct foreign_row *row = *state;
    mtls_identity_t identity;
    json_t *claims;
    peer_t peer;

    peer_init(&peer, pool);
    peer.san[MTLS_SAN_URI][0] = peer.folded[MTLS_SAN_URI][0] = mtls_span_of(row->uri);
    identity = identity_of(&peer);
    claims = claims_of("aud=a sub=san.uri", &identity);
    assert_int_equal(claims != NULL, row->passes);
    json_decref(claims);
    claims = usual("aud=a", &peer);
    assert_int_equal(json_object_get(json_object_get(claims, "san"), "uri") != NULL, row->passes);
    assert_int_equal(json_object_get(claims, "spiffe_id") != NULL,
                     row->passes && strncmp(row->uri, "spiffe:", 7) == 0);
    json_decref(claims);
}

/* ---- the subject ---- */

static const struct subject_row {
    const char *name;  /* of the attribute */
    const char *value; /* NULL: not exactly one */
} subjects[] = {
    {"subject.CN", "client.bigpartner.example"},
    {"subject.OU", NULL},
    {"subject.L", NULL},
    {"san.uri", "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"san.dns", NULL},
    {"san.ip", "192.0.2.10"},
    {"spiffe", "spiffe://lab.carcano.corp/ns/prod/sa/orders"},
    {"serial", "1f00a3"},
    {"sha256", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"spki", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
    {"ext.1.3.6.1.4.1.99999.2", "blue"},
    {"ext.1.3.6.1.4.1.99999.3", NULL},
};

static void subject_case(void **state)
{
    const struct subject_row *row = *state;
    const char *line = apr_pstrcat(pool, "aud=a sub=", row->name, NULL);
    mtls_jwt_spec_t spec = spec_of(line);
    mtls_identity_t identity;
    json_t *claims;
    peer_t peer;

    peer_init(&peer, pool);
    identity = identity_of(&peer);
    if (!row->value) {
        assert_null(mtls_jwt_subject(pool, &spec, &identity).data);
        assert_null(claims_of(line, &identity));
        return;
    }
    assert_span_text(mtls_jwt_subject(pool, &spec, &identity), row->value);
    claims = usual(line, &peer);
    assert_string_equal(json_string_value(json_object_get(claims, "sub")), row->value);
    json_decref(claims);
}

static void nobody_has_no_token(void **state)
{
    mtls_identity_t nobody = {.evidence = NULL, .now = WORLD_NOW};
    mtls_jwt_spec_t spec = spec_of("aud=a");
    mtls_evidence_t nothing = {.tls = 1};

    (void)state;
    assert_null(mtls_jwt_subject(pool, &spec, &nobody).data);
    assert_null(claims_of("aud=a", &nobody));
    nobody.evidence = &nothing;
    assert_null(mtls_jwt_subject(pool, &spec, &nobody).data);
    assert_null(claims_of("aud=a", &nobody));
}

int main(void)
{
    SUITE_CASE(what_is_not_said_has_a_default);
    SUITE_CASE(everything_can_be_said);
    SUITE_TABLE(bad_case, bad_lines);
    SUITE_TABLE(exp_case, ends);
    SUITE_CASE(a_token_says_who_called);
    SUITE_CASE(several_audiences_are_an_array);
    SUITE_CASE(the_certificate_is_bound);
    SUITE_CASE(what_is_absent_has_no_claim);
    SUITE_CASE(the_status_is_told_where_somebody_asked);
    SUITE_CASE(values_come_back_as_they_are);
    SUITE_TABLE(no_text_case, no_texts);
    SUITE_TABLE(foreign_case, foreign);
    SUITE_TABLE(subject_case, subjects);
    SUITE_CASE(nobody_has_no_token);
    return suite_run("jwt", 55);
}
