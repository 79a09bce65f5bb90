/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What differs for the certificate of a server: the name it was asked for, and host names in rules.
 */

#include "suite.h"

#include <stdlib.h>

#include "policy/matcher.h"
#include "policy/server_name.h"

/* ---- names ---- */

#define BYTES(text) text, sizeof(text) - 1

#define L63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define N253 L63 "." L63 "." L63 "." L61

static const char ipv6[] = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
static const char mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07";

/* One entry of the certificate, and the name that is asked for. */
static const struct name_row {
    const char *name;
    mtls_san_type_t type;
    const char *entry;
    apr_size_t entry_len;
    const char *asked;
    apr_size_t asked_len;
    int matches;
} names[] = {
#define DNS MTLS_SAN_DNS
#define IP  MTLS_SAN_IP
    {"DNS", DNS, BYTES("a.example"), BYTES("a.example"), 1},
    {"DNS: another one", DNS, BYTES("a.example"), BYTES("b.example"), 0},
    {"DNS: case of the entry", DNS, BYTES("A.eXample"), BYTES("a.example"), 1},
    {"DNS: case of the name", DNS, BYTES("a.example"), BYTES("A.EXAMPLE"), 1},
    {"DNS: only ASCII has case", DNS, BYTES("\xc3\xa4.example"), BYTES("\xc3\x84.example"), 0},
    {"DNS: a dot behind the name", DNS, BYTES("a.example"), BYTES("a.example."), 1},
    {"DNS: two dots behind the name", DNS, BYTES("a.example"), BYTES("a.example.."), 0},
    {"DNS: a dot behind the entry", DNS, BYTES("a.example."), BYTES("a.example"), 0},
    {"DNS: a dot behind both", DNS, BYTES("a.example."), BYTES("a.example."), 0},
    {"DNS: a dot before both", DNS, BYTES(".a.example"), BYTES(".a.example"), 0},
    {"DNS: an empty label in both", DNS, BYTES("a..example"), BYTES("a..example"), 0},
    {"DNS: a dot alone", DNS, BYTES("."), BYTES("."), 0},
    {"DNS: an empty name and entry", DNS, BYTES(""), BYTES(""), 0},
    {"DNS: an empty name", DNS, BYTES("a.example"), BYTES(""), 0},
    {"DNS: a dot for an empty entry", DNS, BYTES(""), BYTES("."), 0},
    {"DNS: one label", DNS, BYTES("backend"), BYTES("backend"), 1},
    {"DNS: the name begins with the entry", DNS, BYTES("a.example"), BYTES("a.example.evil"), 0},
    {"DNS: the name ends with the entry", DNS, BYTES("a.example"), BYTES("evil.a.example"), 0},
    {"DNS: the name ends with the entry's text", DNS, BYTES("a.example"), BYTES("xa.example"), 0},
    {"DNS: underscore and hyphen", DNS, BYTES("a_b-c.example"), BYTES("a_b-c.example"), 1},
    {"DNS: NUL in the entry", DNS, BYTES("a.example\0.evil"), BYTES("a.example"), 0},
    {"DNS: NUL in both", DNS, BYTES("a.example\0.evil"), BYTES("a.example\0.evil"), 0},
    {"DNS: NUL behind the name", DNS, BYTES("a.example"), BYTES("a.example\0"), 0},
    {"DNS: blank in both", DNS, BYTES("a .example"), BYTES("a .example"), 0},
    {"DNS: newline behind the entry", DNS, BYTES("a.example\n"), BYTES("a.example"), 0},
    {"DNS: UTF-8 in both", DNS, BYTES("b\xc3\xbc.example"), BYTES("b\xc3\xbc.example"), 0},
    {"DNS: A-labels", DNS, BYTES("xn--bcher-kva.example"), BYTES("XN--bcher-KVA.example"), 1},
    {"DNS: a port is no part of it", DNS, BYTES("a.example:443"), BYTES("a.example:443"), 0},
    {"DNS: the longest", DNS, BYTES(N253), BYTES(N253), 1},
    {"DNS: the longest and a dot", DNS, BYTES(N253), BYTES(N253 "."), 1},
    {"DNS: too long", DNS, BYTES(N253 "b"), BYTES(N253 "b"), 0},
    {"DNS: a label too long", DNS, BYTES(L63 "a.example"), BYTES(L63 "a.example"), 0},
    {"DNS: of a URI", MTLS_SAN_URI, BYTES("a.example"), BYTES("a.example"), 0},
    {"DNS: of an email address", MTLS_SAN_EMAIL, BYTES("a.example"), BYTES("a.example"), 0},
    {"DNS: the bytes of an address", IP, BYTES("a.ex"), BYTES("a.ex"), 0},

    {"wildcard", DNS, BYTES("*.b.example"), BYTES("a.b.example"), 1},
    {"wildcard: case", DNS, BYTES("*.B.example"), BYTES("A.b.EXAMPLE"), 1},
    {"wildcard: a dot behind the name", DNS, BYTES("*.b.example"), BYTES("a.b.example."), 1},
    {"wildcard: two labels", DNS, BYTES("*.b.example"), BYTES("x.a.b.example"), 0},
    {"wildcard: no label", DNS, BYTES("*.b.example"), BYTES("b.example"), 0},
    {"wildcard: an empty label", DNS, BYTES("*.b.example"), BYTES(".b.example"), 0},
    {"wildcard: a letter is none", DNS, BYTES("x.b.example"), BYTES("a.b.example"), 0},
    {"wildcard: another domain", DNS, BYTES("*.b.example"), BYTES("a.c.example"), 0},
    {"wildcard: the domain's end only", DNS, BYTES("*.b.example"), BYTES("a.xb.example"), 0},
    {"wildcard: of a top-level domain", DNS, BYTES("*.example"), BYTES("a.example"), 0},
    {"wildcard: of everything", DNS, BYTES("*"), BYTES("backend"), 0},
    {"wildcard: and a dot", DNS, BYTES("*."), BYTES("a."), 0},
    {"wildcard: of three labels behind it", DNS, BYTES("*.c.b.example"), BYTES("a.c.b.example"), 1},
    {"wildcard: part of a label", DNS, BYTES("a*.b.example"), BYTES("ab.b.example"), 0},
    {"wildcard: end of a label", DNS, BYTES("*a.b.example"), BYTES("xa.b.example"), 0},
    {"wildcard: of an A-label's part", DNS, BYTES("xn--*.b.example"), BYTES("xn--a.b.example"), 0},
    {"wildcard: an A-label", DNS, BYTES("*.b.example"), BYTES("xn--bcher-kva.b.example"), 1},
    {"wildcard: below an A-label", DNS, BYTES("*.xn--bcher-kva.example"),
     BYTES("a.xn--bcher-kva.example"), 1},
    {"wildcard: not the first label", DNS, BYTES("a.*.example"), BYTES("a.b.example"), 0},
    {"wildcard: two of them", DNS, BYTES("*.*.example"), BYTES("a.b.example"), 0},
    {"wildcard: asked for", DNS, BYTES("*.b.example"), BYTES("*.b.example"), 0},
    {"wildcard: asked for, the entry a name", DNS, BYTES("a.b.example"), BYTES("*.b.example"), 0},
    {"wildcard: a dot behind it", DNS, BYTES("*.b.example."), BYTES("a.b.example"), 0},
    {"wildcard: NUL behind it", DNS, BYTES("*.b.example\0"), BYTES("a.b.example"), 0},
    {"wildcard: an underscore", DNS, BYTES("*.b.example"), BYTES("a_1.b.example"), 1},
    {"wildcard: no address", DNS, BYTES("*.0.2.7"), BYTES("192.0.2.7"), 0},

    {"IPv4", IP, BYTES("\xc0\x00\x02\x07"), BYTES("192.0.2.7"), 1},
    {"IPv4: another one", IP, BYTES("\xc0\x00\x02\x08"), BYTES("192.0.2.7"), 0},
    {"IPv4: as a DNS entry", DNS, BYTES("192.0.2.7"), BYTES("192.0.2.7"), 0},
    {"IPv4: text as an IP entry", IP, BYTES("192.0.2.7"), BYTES("192.0.2.7"), 0},
    {"IPv4: mapped into IPv6", IP, mapped, 16, BYTES("192.0.2.7"), 0},
    {"IPv4: in brackets", IP, BYTES("\xc0\x00\x02\x07"), BYTES("[192.0.2.7]"), 0},
    {"IPv4: a dot behind it", IP, BYTES("\xc0\x00\x02\x07"), BYTES("192.0.2.7."), 0},
    {"IPv4: a dot behind it, DNS", DNS, BYTES("192.0.2.7"), BYTES("192.0.2.7."), 0},
    {"IPv4: a zero in front", IP, BYTES("\xc0\x00\x02\x07"), BYTES("192.0.2.07"), 0},
    {"IPv4: a zero in front, DNS", DNS, BYTES("192.0.2.07"), BYTES("192.0.2.07"), 0},
    {"IPv4: short form, DNS", DNS, BYTES("127.1"), BYTES("127.1"), 0},
    {"IPv4: a number, DNS", DNS, BYTES("2130706433"), BYTES("2130706433"), 0},
    {"IPv4: hex, DNS", DNS, BYTES("0x7f.0.0.0X1"), BYTES("0x7f.0.0.0x1"), 0},
    {"IPv4: hex without digits, DNS", DNS, BYTES("127.0x"), BYTES("127.0x"), 0},
    {"DNS: digits in front are a name", DNS, BYTES("1.2.3.example"), BYTES("1.2.3.example"), 1},
    {"DNS: not quite hex is a name", DNS, BYTES("a.0xg"), BYTES("a.0xg"), 1},
    {"IPv4: a port", IP, BYTES("\xc0\x00\x02\x07"), BYTES("192.0.2.7:443"), 0},
    {"IPv4: NUL behind it", IP, BYTES("\xc0\x00\x02\x07"), BYTES("192.0.2.7\0"), 0},
    {"IPv4: a network with its mask", IP, BYTES("\xc0\0\x02\x07\xff\xff\xff\xff"),
     BYTES("192.0.2.7"), 0},
    {"IPv6", IP, ipv6, 16, BYTES("2001:db8::1"), 1},
    {"IPv6: in brackets", IP, ipv6, 16, BYTES("[2001:db8::1]"), 1},
    {"IPv6: written in full", IP, ipv6, 16, BYTES("2001:0DB8:0:0:0:0:0:1"), 1},
    {"IPv6: another one", IP, ipv6, 16, BYTES("2001:db8::2"), 0},
    {"IPv6: half a bracket", IP, ipv6, 16, BYTES("[2001:db8::1"), 0},
    {"IPv6: brackets twice", IP, ipv6, 16, BYTES("[[2001:db8::1]]"), 0},
    {"IPv6: brackets of nothing", IP, ipv6, 16, BYTES("[]"), 0},
    {"IPv6: a zone", IP, ipv6, 16, BYTES("2001:db8::1%1"), 0},
    {"IPv6: a port", IP, ipv6, 16, BYTES("[2001:db8::1]:443"), 0},
    {"IPv6: as a DNS entry", DNS, BYTES("2001:db8::1"), BYTES("2001:db8::1"), 0},
    {"IPv6: as a DNS entry in brackets", DNS, BYTES("[2001:db8::1]"), BYTES("[2001:db8::1]"), 0},
    {"IPv6: mapped", IP, mapped, 16, BYTES("::ffff:192.0.2.7"), 1},
    {"IPv6: mapped is not IPv4", IP, BYTES("\xc0\x00\x02\x07"), BYTES("::ffff:192.0.2.7"), 0},
};

static void without_names(peer_t *peer)
{
    peer_init(peer, pool);
    memset(peer->facts.san, 0, sizeof(peer->facts.san));
    memset(peer->facts.san_folded, 0, sizeof(peer->facts.san_folded));
}

/* In memory of its own size. */
static mtls_span_t exact_copy(const char *data, apr_size_t len)
{
    char *out = malloc(len ? len : 1);

    assert_non_null(out);
    memcpy(out, data, len);
    return mtls_span(out, len);
}

static void name_case(void **state)
{
    const struct name_row *row = *state;
    mtls_span_t entry = exact_copy(row->entry, row->entry_len);
    mtls_span_t asked = exact_copy(row->asked, row->asked_len);
    peer_t peer;

    without_names(&peer);
    assert_false(mtls_server_name_matches(&peer.facts, asked)); /* nor by the common name */
    peer_add_san(&peer, pool, MTLS_SAN_DNS, mtls_span_of("first.example"));
    peer_add_san(&peer, pool, row->type, entry);
    assert_int_equal(mtls_server_name_matches(&peer.facts, asked), row->matches);
    free((char *)entry.data);
    free((char *)asked.data);
}

static void the_common_name_is_no_name(void **state)
{
    peer_t peer;

    (void)state;
    peer_init(&peer, pool);
    assert_true(mtls_server_name_matches(&peer.facts, mtls_span_of("client.bigpartner.example")));
    without_names(&peer);
    assert_false(mtls_server_name_matches(&peer.facts, mtls_span_of("client.bigpartner.example")));
}

/* ---- rules ---- */

static const world_file_t files[] = {
    {"empty", "# nothing\n", 0},
    {"hosts", "A.orders.internal\nb.orders.internal\nshop.example\n", 0},
    {"patterns", "file:hosts\neqi:c.pay.internal\nd.pay.internal\nprefix:gw-\n", 0},
    {"texts", "*.stars.internal\n10.0.0.1\nx.y.z.internal.\n", 0},
    {NULL, NULL, 0},
};

/* What a rule says of a server and of a client that have these DNS names in their certificates. */
static const struct rule_row {
    const char *name;
    const char *rule;
    const char *entries; /* blanks between */
    const char *server, *client;
} rules[] = {
#define OK       "ok"
#define MISMATCH "san_mismatch"
#define EXCLUDED "excluded"
    {"exact", "san.dns a.orders.internal", "a.orders.internal", OK, OK},
    {"exact: wildcard", "san.dns a.orders.internal", "*.orders.internal", OK, MISMATCH},
    {"exact: wildcard, case", "san.dns A.Orders.internal", "*.ORDERS.internal", OK, MISMATCH},
    {"exact: eq: says the same", "san.dns eq:a.orders.internal", "*.orders.internal", OK, MISMATCH},
    {"exact: second value", "san.dns x.example a.orders.internal", "*.orders.internal", OK,
     MISMATCH},
    {"exact: second name", "san.dns a.orders.internal", "x.example *.orders.internal", OK,
     MISMATCH},
    {"exact: wildcard one level up", "san.dns a.b.orders.internal", "*.orders.internal", MISMATCH,
     MISMATCH},
    {"exact: wildcard of the domain itself", "san.dns orders.internal", "*.orders.internal",
     MISMATCH, MISMATCH},
    {"exact: wildcard of a top-level domain", "san.dns orders.internal", "*.internal", MISMATCH,
     MISMATCH},
    {"exact: part of a label", "san.dns ab.orders.internal", "a*.orders.internal", MISMATCH,
     MISMATCH},
    {"exact: the rule's wildcard is text", "san.dns *.orders.internal", "*.orders.internal", OK,
     OK},
    {"exact: the rule's wildcard does not expand", "san.dns *.orders.internal", "a.orders.internal",
     MISMATCH, MISMATCH},
    {"exact: the rule's wildcard and another", "san.dns *.b.orders.internal", "*.orders.internal",
     MISMATCH, MISMATCH},
    {"exact: A-label", "san.dns xn--bcher-kva.orders.internal", "*.orders.internal", OK, MISMATCH},
    {"exact: UTF-8 is no host name", "san.dns b\xc3\xbc.orders.internal", "*.orders.internal",
     MISMATCH, MISMATCH},
    {"exact: an address is no host name", "san.dns 192.0.2.7", "*.0.2.7", MISMATCH, MISMATCH},
    {"exact: a dot behind the value", "san.dns a.orders.internal.", "*.orders.internal", MISMATCH,
     MISMATCH},
    {"eqi:", "san.dns eqi:A.Orders.internal", "*.orders.internal", OK, MISMATCH},
    {"eqi: itself", "san.dns eqi:A.Orders.internal", "a.ORDERS.internal", OK, OK},
    {"eqi: another one", "san.dns eqi:a.pay.internal", "*.orders.internal", MISMATCH, MISMATCH},
    {"file:", "san.dns file:hosts", "*.orders.internal", OK, MISMATCH},
    {"file: itself", "san.dns file:hosts", "a.ORDERS.internal", OK, OK},
    {"file: another one", "san.dns file:hosts", "c.orders.internal *.pay.internal", MISMATCH,
     MISMATCH},
    {"file: one level up", "san.dns file:hosts", "*.internal *.example", MISMATCH, MISMATCH},
    {"file: texts", "san.dns file:texts", "*.stars.internal", OK, OK},
    {"file: texts are no hosts", "san.dns file:texts",
     "a.stars.internal *.0.0.1 *.internal *.*.stars.internal", MISMATCH, MISMATCH},
    {"file: a dot behind the value", "san.dns file:texts", "*.y.z.internal *.y.z.internal.",
     MISMATCH, MISMATCH},
    {"patterns: exact line", "san.dns patterns:patterns", "*.pay.internal", OK, MISMATCH},
    {"patterns: file: line", "san.dns patterns:patterns", "*.orders.internal", OK, MISMATCH},
    {"patterns: prefix line", "san.dns patterns:patterns", "gw-1.a.internal", OK, OK},
    {"patterns: another one", "san.dns patterns:patterns", "*.gw.internal", MISMATCH, MISMATCH},
    {"prefix: sees the text", "san.dns prefix:a.", "*.orders.internal", MISMATCH, MISMATCH},
    {"suffix: sees the text", "san.dns suffix:.orders.internal", "*.orders.internal", OK, OK},
    {"glob: sees the text", "san.dns glob:a.*.internal", "*.orders.internal", MISMATCH, MISMATCH},
    {"regex: sees the text", "san.dns regex:[a-z.]+", "*.orders.internal", MISMATCH, MISMATCH},
    {"not: wildcard", "not san.dns a.orders.internal", "*.orders.internal", EXCLUDED, OK},
    {"not: another wildcard", "not san.dns a.orders.internal", "*.pay.internal", OK, OK},
    {"not: itself", "not san.dns a.orders.internal", "a.orders.internal", EXCLUDED, EXCLUDED},
    {"not: another one", "not san.dns a.orders.internal", "b.orders.internal", OK, OK},
    {"not: file:", "not san.dns file:hosts", "*.orders.internal", EXCLUDED, OK},
    {"not: file:, another one", "not san.dns file:hosts", "*.pay.internal", OK, OK},
    {"not: file: that is empty", "not san.dns file:empty", "*.pay.internal", OK, OK},
    {"not: patterns:", "not san.dns patterns:patterns", "*.pay.internal", EXCLUDED, OK},
    {"uri: a star is text", "san.uri a.orders.internal", "*.orders.internal", MISMATCH, MISMATCH},
    {"subject.CN: a star is text", "subject.CN a.orders.internal", "*.orders.internal",
     "subject_mismatch", "subject_mismatch"},
};

/* At most four entries; the common name and a URI are the first one, too. */
static void name_peer(peer_t *peer, const char *entries)
{
    char *at = apr_pstrdup(pool, entries), *word, *rest;

    without_names(peer);
    for (; (word = apr_strtok(at, " ", &rest)) != NULL; at = NULL)
        peer_add_san(peer, pool, MTLS_SAN_DNS, mtls_span_of(word));
    peer->subject[5].value = peer->san[MTLS_SAN_DNS][0];
    peer_rename(peer, pool);
    peer_add_san(peer, pool, MTLS_SAN_URI, peer->san[MTLS_SAN_DNS][0]);
}

static mtls_policy_t *policy_for(mtls_purpose_t purpose, const char *text)
{
    world_t *world = apr_palloc(pool, sizeof(*world));
    mtls_policy_t *policy = NULL;

    world_init(world, pool, files);
    world->env.purpose = purpose;
    assert_message(world_policy(world, text, &policy), NULL);
    return policy;
}

static mtls_result_t judged(const mtls_policy_t *policy, const peer_t *peer, const char *asked)
{
    mtls_span_t name = mtls_span_of(asked ? asked : "");
    mtls_judge_t judge = {.now = WORLD_NOW, .server_name = asked ? &name : NULL};
    mtls_verdict_t verdict;
    mtls_result_t result;

    memset(&verdict, 0x55, sizeof(verdict));
    memset(&result, 0x55, sizeof(result));
    mtls_policy_judge(policy, &peer->evidence, &judge, &verdict);
    mtls_policy_finish(policy, &peer->evidence, &judge, &verdict, &result);
    return result;
}

static const char *reason_for(mtls_purpose_t purpose, const char *rule, const char *entries)
{
    peer_t peer;

    name_peer(&peer, entries);
    return mtls_reason_token(judged(policy_for(purpose, rule), &peer, NULL).reason);
}

static void rule_case(void **state)
{
    const struct rule_row *row = *state;

    assert_string_equal(reason_for(MTLS_PURPOSE_SERVER, row->rule, row->entries), row->server);
    assert_string_equal(reason_for(MTLS_PURPOSE_CLIENT, row->rule, row->entries), row->client);
}

/* The whole grammar but for expr is there for servers. */
static void what_rules_a_server_may_have(void **state)
{
    static const struct {
        const char *rule, *words;
    } table[] = {
        {"spiffe spiffe://lab.carcano.corp/ns/**", NULL},
        {"eku serverAuth", NULL},
        {"key rsa>=2048 ec", NULL},
        {"lifetime <=90d", NULL},
        {"remaining >=1d", NULL},
        {"spki 0000000000000000000000000000000000000000000000000000000000000000", NULL},
        {"issuer.cert ca.pem", NULL},
        {"ext.1.3.6.1.4.1.99999.2 blue", NULL},
        {"trust vhost", NULL},
        {"san.ip 192.0.2.0/24", NULL},
        {"expr true", "expr|one request|serves many"},
        {"not expr true", "expr|one request|serves many"},
    };
    mtls_policy_t *policy = NULL;
    world_t world;
    size_t i;

    (void)state;
    for (i = 0; i < ROWS(table); i++) {
        world_init(&world, pool, files);
        assert_message(world_policy(&world, table[i].rule, &policy), NULL);
        world.env.purpose = MTLS_PURPOSE_SERVER;
        assert_message(world_policy(&world, table[i].rule, &policy), table[i].words);
    }
}

/* ---- lists ---- */

static mtls_match_t look_up(const mtls_matcher_t *matcher, const char *name)
{
    int none = 0;

    return mtls_matcher_test(matcher, mtls_span_of(name), &none);
}

static mtls_matcher_t *list_in(world_t *world, mtls_purpose_t purpose)
{
    mtls_matcher_t *matcher = NULL;
    int empty = 0;

    assert_message(mtls_matcher_parse(&world->env, (mtls_matcher_spec_t){MTLS_KIND_DNS, 0, purpose},
                                      "file:list", &matcher, &empty),
                   NULL);
    assert_false(empty);
    return matcher;
}

static void a_list_is_loaded_again_for_whom_it_was(void **state)
{
    world_file_t list[] = {{"list", "a.orders.internal\n", 0}, {NULL, NULL, 0}};
    mtls_matcher_t *server, *client;
    world_t world;

    (void)state;
    world_init(&world, pool, list);
    world_watch(&world);
    server = list_in(&world, MTLS_PURPOSE_SERVER);
    client = list_in(&world, MTLS_PURPOSE_CLIENT);
    assert_int_equal(look_up(server, "*.orders.internal"), MTLS_MATCHED_YES);
    assert_int_equal(look_up(server, "*.pay.internal"), MTLS_MATCHED_NO);
    assert_int_equal(look_up(client, "*.orders.internal"), MTLS_MATCHED_NO);
    list[0].text = "a.pay.internal\n";
    assert_message(world_reload(&world), NULL);
    assert_int_equal(look_up(server, "*.orders.internal"), MTLS_MATCHED_NO);
    assert_int_equal(look_up(server, "*.pay.internal"), MTLS_MATCHED_YES);
    assert_int_equal(look_up(client, "*.pay.internal"), MTLS_MATCHED_NO);
    assert_int_equal(look_up(client, "a.pay.internal"), MTLS_MATCHED_YES);
}

#define MANY 200000

/* Hosts of many domains, the wildcard of each of which is found; nothing else is. */
static void a_large_list_finds_wildcards(void **state)
{
    world_file_t list[] = {{"list", NULL, 0}, {NULL, NULL, 0}};
    char *text = apr_palloc(pool, MANY * 40), *at = text;
    mtls_matcher_t *server;
    apr_time_t begin;
    world_t world;
    int i;

    (void)state;
    for (i = 0; i < MANY; i++)
        at += apr_snprintf(at, 40, "h%d.d%d.internal\n", i, i / 2);
    list[0].text = text;
    world_init(&world, pool, list);
    server = list_in(&world, MTLS_PURPOSE_SERVER);
    begin = apr_time_now();
    for (i = 0; i < MANY; i++) {
        char name[40];
        apr_snprintf(name, sizeof(name), "*.d%d.internal", i);
        assert_int_equal(look_up(server, name), i < MANY / 2 ? MTLS_MATCHED_YES : MTLS_MATCHED_NO);
        apr_snprintf(name, sizeof(name), "h%d.d%d.internal", i, i / 2);
        assert_int_equal(look_up(server, name), MTLS_MATCHED_YES);
    }
    /* Each of them through the list would take hours. */
    assert_true(apr_time_now() - begin < apr_time_from_sec(600));
}

/* ---- the name that was asked for ---- */

static const struct naming_row {
    const char *name;
    const char *rules;
    int names;
} naming[] = {
    {"naming: no rule", "", 0},
    {"naming: san.dns", "san.dns a.example", 1},
    {"naming: san.uri", "san.uri https://a.example/", 1},
    {"naming: san.ip", "san.ip 192.0.2.0/24", 1},
    {"naming: san.email", "san.email ops@a.example", 1},
    {"naming: san.upn", "san.upn ops@a.example", 1},
    {"naming: a list", "san.dns file:hosts", 1},
    {"naming: spiffe", "spiffe spiffe://lab.carcano.corp/a", 1},
    {"naming: sha256", "sha256 " L63 "a", 1},
    {"naming: spki", "spki " L63 "a", 1},
    {"naming: issuer.spki", "issuer.spki " L63 "a", 0},
    {"naming: anchor.spki", "anchor.spki " L63 "a", 0},
    {"naming: chain.spki", "chain.spki " L63 "a", 0},
    {"naming: issuer.cert", "issuer.cert ca.pem", 0},
    {"naming: subject.CN", "subject.CN a.example", 0},
    {"naming: subject", "subject CN=a.example", 0},
    {"naming: serial", "serial 01", 0},
    {"naming: trust", "trust vhost", 0},
    {"naming: eku, key", "eku serverAuth\nkey ec", 0},
    {"naming: not san.dns", "not san.dns a.example", 0},
    {"naming: not spki", "not spki " L63 "a", 0},
    {"naming: one of two rules", "key ec\nsan.dns a.example", 1},
    {"naming: beside a not", "not san.dns b.example\nsan.dns a.example", 1},
    {"naming: any of names", "any {\nsan.dns a.example\nspki " L63 "a\n}", 1},
    {"naming: any, one is no name", "any {\nsan.dns a.example\nkey ec\n}", 0},
    {"naming: any, one is a not", "any {\nsan.dns a.example\nnot san.dns b.example\n}", 0},
    {"naming: all, one is a name", "all {\nkey ec\nsan.dns a.example\n}", 1},
    {"naming: all, none is", "all {\nkey ec\nnot san.dns b.example\n}", 0},
    {"naming: any of all", "any {\nall {\nkey ec\nsan.dns a.example\n}\nspki " L63 "a\n}", 1},
    {"naming: empty any", "any {\n}", 0},
    {"naming: empty all", "all {\n}", 0},
};

static void naming_case(void **state)
{
    const struct naming_row *row = *state;

    assert_int_equal(mtls_policy_names_peer(policy_for(MTLS_PURPOSE_SERVER, row->rules)),
                     row->names);
}

/* A certificate for a.example, and what is asked of it. */
static const struct asked_row {
    const char *name;
    const char *rules;
    const char *asked; /* NULL: nothing */
    const char *reason;
    int by_rule;
} asked_names[] = {
    {"asked: the name", "", "a.example", "ok", 0},
    {"asked: another one", "", "b.example", "san_mismatch", 0},
    {"asked: nothing that is known", "", "", "san_mismatch", 0},
    {"asked: no name, of a client", "", NULL, "ok", 0},
    {"asked: another one, a rule of no name", "key ec", "b.example", "san_mismatch", 0},
    {"asked: another one, a not", "not san.dns c.example", "b.example", "san_mismatch", 0},
    {"asked: another one, a rule names it", "san.dns a.example", "b.example", "ok", 0},
    {"asked: the name, a rule names another", "san.dns b.example", "a.example", "san_mismatch", 1},
    {"asked: another one, told before rules", "key rsa", "b.example", "san_mismatch", 0},
    {"asked: the name, then rules", "key rsa", "a.example", "key_mismatch", 1},
    {"asked: the name, not excluded", "not san.dns b.example", "a.example", "ok", 0},
    {"asked: the name, excluded", "not san.dns a.example", "a.example", "excluded", 1},
};

static void asked_case(void **state)
{
    const struct asked_row *row = *state;
    mtls_policy_t *policy = policy_for(MTLS_PURPOSE_SERVER, row->rules);
    mtls_result_t result;
    peer_t peer;

    name_peer(&peer, "a.example");
    result = judged(policy, &peer, row->asked);
    assert_string_equal(mtls_reason_token(result.reason), row->reason);
    assert_int_equal(result.rule != NULL, row->by_rule);
    if (result.reason == MTLS_SAN_MISMATCH && !row->by_rule)
        assert_message(result.hint, "not for the name");
    peer.evidence.chain_reason = MTLS_EXPIRED; /* comes before any name */
    assert_string_equal(mtls_reason_token(judged(policy, &peer, row->asked).reason), "expired");
}

static int calls;

static mtls_status_t count_status(void *baton, const mtls_evidence_t *evidence, int chain,
                                  apr_time_t *valid_until, const char **hint)
{
    (void)baton;
    (void)evidence;
    (void)chain;
    (void)hint;
    calls++;
    *valid_until = MTLS_FOREVER;
    return MTLS_STATUS_GOOD;
}

static void no_status_is_asked_for_another_server(void **state)
{
    mtls_policy_t *policy = policy_for(MTLS_PURPOSE_SERVER, "");
    mtls_span_t name = mtls_span_of("b.example");
    mtls_judge_t judge = {.now = WORLD_NOW, .status_of = count_status, .server_name = &name};
    mtls_verdict_t verdict;
    peer_t peer;

    (void)state;
    name_peer(&peer, "a.example");
    policy->ocsp.level = MTLS_DEMAND_REQUIRE;
    calls = 0;
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    assert_string_equal(mtls_reason_token(verdict.result.reason), "san_mismatch");
    assert_int_equal(verdict.status, MTLS_STATUS_NOT_ASKED);
    assert_int_equal(calls, 0);
    name = mtls_span_of("a.example");
    mtls_policy_judge(policy, &peer.evidence, &judge, &verdict);
    assert_string_equal(mtls_reason_token(verdict.result.reason), "ok");
    assert_int_equal(calls, 1);
}

int main(void)
{
    SUITE_TABLE(name_case, names);
    SUITE_TABLE(rule_case, rules);
    SUITE_TABLE(naming_case, naming);
    SUITE_TABLE(asked_case, asked_names);
    SUITE_CASE(the_common_name_is_no_name);
    SUITE_CASE(what_rules_a_server_may_have);
    SUITE_CASE(a_list_is_loaded_again_for_whom_it_was);
    SUITE_CASE(a_large_list_finds_wildcards);
    SUITE_CASE(no_status_is_asked_for_another_server);
    return suite_run("server_name", 185);
}
