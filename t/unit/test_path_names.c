/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain and pki/path_checks: name constraints, and how much work names may make. Every refusal
 * stands beside the same path with one thing changed that is allowed. */

#include "paths.h"

#include <openssl/x509v3.h>

#include "policy/limits.h"

/* OpenSSL's: names of a certificate times subtrees of a CA above it. */
#define MOST_NAME_COMPARISONS (1 << 20)

#define CONSTRAINED(x) "nameConstraints=critical," x
/* Behind it stand the seven bytes of an organisation's name. */
#define PERMITTED_SUBJECT                                                                          \
    "\x30\x1a\xa0\x18\x30\x16\xa4\x14\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x0a\x0c\x07"
#define MAILBOX "1.3.6.1.5.5.7.8.9;UTF8:"

static const struct path_row constrained[] = {
    /* name constraints (RFC 5280 4.2.1.10) */
    {.name = "names: permitted",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:a.partner.example"},
     .reason = "ok"},
    {.name = "names: permitted in another case",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:Partner.Example")}},
     .leaf = {.san = "DNS:a.PARTNER.example"},
     .reason = "ok"},
    {.name = "names: ends alike but is no subdomain",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:apartner.example"},
     .reason = "chain_invalid",
     .detail = "permitted subtree violation"},
    {.name = "names: one of two is not permitted",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:a.partner.example,DNS:a.other.example"},
     .reason = "chain_invalid"},
    {.name = "names: excluded",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:partner.example")}},
     .leaf = {.san = "DNS:a.partner.example"},
     .reason = "chain_invalid",
     .detail = "excluded subtree violation"},
    {.name = "names: constraints of the root bind, too",
     .root = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:a.other.example"},
     .reason = "chain_invalid"},
    {.name = "names: constraints that are not critical bind, too",
     .inter = {.extra = {"nameConstraints=permitted;DNS:partner.example"}},
     .leaf = {.san = "DNS:a.other.example"},
     .reason = "chain_invalid"},
    {.name = "names: of an anchor that is an intermediate",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:a.other.example"},
     .partial = 1,
     .reason = "chain_invalid"},
    {.name = "names: the root permits one, the intermediate another",
     .root = {.extra = {CONSTRAINED("permitted;DNS:one.example")}},
     .inter = {.extra = {CONSTRAINED("permitted;DNS:two.example")}},
     .leaf = {.san = "DNS:a.two.example"},
     .reason = "chain_invalid"},
    {.name = "names: of another type are free",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "URI:https://other.example/,email:a@other.example"},
     .reason = "ok"},
    {.name = "names: a common name that is a host, where no alternative name is one",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.cn = "a.other.example"},
     .reason = "chain_invalid"},
    {.name = "names: a common name that is a permitted host",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.cn = "a.partner.example"},
     .reason = "ok"},
    {.name = "names: a common name that is a host, beside a permitted alternative name",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.cn = "a.other.example", .san = "DNS:a.partner.example"},
     .reason = "chain_invalid"},
    {.name = "names: a common name that is no host",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.cn = "Gateway of the partner"},
     .reason = "ok"},
    {.name = "names: the subject is permitted",
     .inter = {.raw = {{"2.5.29.30", 1, RAW(PERMITTED_SUBJECT "Carcano")}}},
     .reason = "ok"},
    {.name = "names: the subject is permitted in another case",
     .inter = {.raw = {{"2.5.29.30", 1, RAW(PERMITTED_SUBJECT "CARCANO")}}},
     .reason = "ok"},
    {.name = "names: the subject is not permitted",
     .inter = {.raw = {{"2.5.29.30", 1, RAW(PERMITTED_SUBJECT "Carcana")}}},
     .reason = "chain_invalid"},
    {.name = "names: the intermediate's own subject is not permitted",
     .root = {.raw = {{"2.5.29.30", 1, RAW(PERMITTED_SUBJECT "Carcana")}}},
     .reason = "chain_invalid"},
    {.name = "names: a wildcard that reaches an excluded host",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:bar.example.com")}},
     .leaf = {.san = "DNS:*.example.com"},
     .reason = "chain_invalid",
     .detail = "exclude"},
    {.name = "names: a wildcard below an excluded host",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:bar.example.com")}},
     .leaf = {.san = "DNS:*.bar.example.com"},
     .reason = "chain_invalid"},
    {.name = "names: a wildcard beside an excluded host",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:bar.example.com")}},
     .leaf = {.san = "DNS:*.example.org"},
     .reason = "ok"},
    {.name = "names: an email of a permitted domain",
     .inter = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .leaf = {.san = "email:a@partner.example"},
     .reason = "ok"},
    {.name = "names: an email of a subdomain",
     .inter = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .leaf = {.san = "email:a@b.partner.example"},
     .reason = "chain_invalid"},
    {.name = "names: an email without a domain",
     .inter = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .leaf = {.san = "email:partner.example"},
     .reason = "chain_invalid"},
    {.name = "names: an email of two domains",
     .inter = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .leaf = {.san = "email:a@other.example@partner.example"},
     .reason = "chain_invalid",
     .detail = "cannot be compared"},
    {.name = "names: a URI of a permitted host",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:spiffe://a.partner.example/x"},
     .reason = "ok"},
    {.name = "names: a URI of another host",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:spiffe://a.other.example/x"},
     .reason = "chain_invalid"},
    {.name = "names: a URI without a host",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:urn:x:y"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose permitted host stands in its path",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:https://other.example/.partner.example:"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose permitted host stands in its query",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:https://other.example?.partner.example/"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose excluded host has a user before it",
     .inter = {.extra = {CONSTRAINED("excluded;URI:other.example")}},
     .leaf = {.san = "URI:https://a@other.example/"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose excluded host has a query behind it",
     .inter = {.extra = {CONSTRAINED("excluded;URI:other.example")}},
     .leaf = {.san = "URI:https://other.example?x"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose excluded host has a colon in its path",
     .inter = {.extra = {CONSTRAINED("excluded;URI:other.example")}},
     .leaf = {.san = "URI:https://other.example/x:y"},
     .reason = "chain_invalid"},
    {.name = "names: an excluded host with a dot behind it",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:other.example")}},
     .leaf = {.san = "DNS:a.other.example."},
     .reason = "chain_invalid"},
    {.name = "names: a dot behind a host where hosts are free",
     .inter = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .leaf = {.san = "DNS:a.other.example."},
     .reason = "ok"},
    {.name = "names: a host with a dot in front that is permitted by its bytes",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "DNS:.partner.example"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose host is not excluded, with a colon in its path",
     .inter = {.extra = {CONSTRAINED("excluded;URI:other.example")}},
     .leaf = {.san = "URI:https://a.example/x:y"},
     .reason = "ok"},
    {.name = "names: a URI with a port",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:https://A.PARTNER.example:8443/x"},
     .reason = "ok"},
    {.name = "names: a URI of the host itself where those below it are permitted",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:https://partner.example/"},
     .reason = "chain_invalid"},
    {.name = "names: a URI where URIs are free",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "URI:https://a@other.example:x"},
     .reason = "ok"},
    {.name = "names: an email of two domains where emails are free",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.san = "email:a@other.example@partner.example"},
     .reason = "ok"},
    {.name = "names: an email of two domains in the intermediate itself",
     .root = {.extra = {CONSTRAINED("permitted;email:partner.example")}},
     .inter = {.san = "email:a@other.example@partner.example"},
     .reason = "chain_invalid"},
    {.name = "names: a URI whose permitted host is a user",
     .inter = {.extra = {CONSTRAINED("permitted;URI:.partner.example")}},
     .leaf = {.san = "URI:https://a.partner.example:x@other.example/"},
     .reason = "chain_invalid",
     .detail = "cannot be compared"},
    {.name = "names: an address inside",
     .inter = {.extra = {CONSTRAINED("permitted;IP:192.0.2.0/255.255.255.0")}},
     .leaf = {.san = "IP:192.0.2.255"},
     .reason = "ok"},
    {.name = "names: an address outside",
     .inter = {.extra = {CONSTRAINED("permitted;IP:192.0.2.0/255.255.255.0")}},
     .leaf = {.san = "IP:192.0.3.0"},
     .reason = "chain_invalid"},
    {.name = "names: an IPv6 address where IPv4 is permitted",
     .inter = {.extra = {CONSTRAINED("permitted;IP:192.0.2.0/255.255.255.0")}},
     .leaf = {.san = "IP:::ffff:c000:0201"},
     .reason = "chain_invalid"},
    {.name = "names: a constraint on a type nobody can compare, and a name of it",
     .inter = {.extra = {CONSTRAINED("excluded;otherName:1.3.6.1.4.1.311.20.2.3;UTF8:x")}},
     .leaf = {.san = "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@b"},
     .reason = "chain_invalid",
     .detail = "unsupported name constraint type"},
    {.name = "names: a constraint on a type nobody can compare, and no name of it",
     .inter = {.extra = {CONSTRAINED("excluded;otherName:1.3.6.1.4.1.311.20.2.3;UTF8:x")}},
     .leaf = {.san = "DNS:a.example"},
     .reason = "ok"},
    {.name = "names: a mailbox in Unicode, its domain longer in Punycode than anything",
     .inter = {.extra = {CONSTRAINED(
                   "permitted;email:xn--ls8haaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")}},
     .leaf = {.san = "otherName:" MAILBOX "a@b.example"},
     .reason = "chain_invalid"},
    {.name = "names: a mailbox in Unicode, permitted",
     .inter = {.extra = {CONSTRAINED("permitted;email:b.example")}},
     .leaf = {.san = "otherName:" MAILBOX "a@b.example"},
     .reason = "ok"},
    {.name = "names: an X.400 address under constraints on another type",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x04\xa3\x02\x30\x00")}}},
     .reason = "ok"},
    {.name = "names: an X.400 address under constraints on X.400 addresses",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x08\xa1\x06\x30\x04\xa3\x02\x30\x00")}}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x04\xa3\x02\x30\x00")}}},
     .reason = "chain_invalid"},
    {.name = "names: an EDI party under constraints on EDI parties",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x0b\xa1\x09\x30\x07\xa5\x05\xa1\x03\x13\x01x")}}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x07\xa5\x05\xa1\x03\x13\x01x")}}},
     .reason = "chain_invalid"},
    {.name = "names: a registered ID under constraints on registered IDs",
     .inter = {.extra = {CONSTRAINED("permitted;RID:1.2.3")}},
     .leaf = {.san = "RID:1.2.3"},
     .reason = "chain_invalid"},
    {.name = "names: none in the list of alternative names",
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x00")}}},
     .reason = "ok"},
    {.name = "names: none in the list, under constraints",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x00")}}},
     .reason = "ok"},
    {.name = "names: an empty one, where one is permitted",
     .inter = {.extra = {CONSTRAINED("permitted;DNS:partner.example")}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x02\x82\x00")}}},
     .reason = "chain_invalid"},
    {.name = "names: an empty one, where one is excluded",
     .inter = {.extra = {CONSTRAINED("excluded;DNS:partner.example")}},
     .leaf = {.raw = {{"2.5.29.17", 0, RAW("\x30\x02\x82\x00")}}},
     .reason = "chain_invalid",
     .detail = "cannot be compared"},
    {.name = "names: constraints that list nothing",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x00")}}},
     .leaf = {.san = "DNS:a.example"},
     .reason = "ok"},
    {.name = "names: constraints with bytes behind them",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x00\x30\x00")}}},
     .leaf = {.san = "DNS:a.example"},
     .reason = "chain_invalid"},
    {.name = "names: constraints that cannot be read",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x03\x02\x01\x00")}}},
     .reason = "chain_untrusted"},
    {.name = "names: a constraint with a minimum distance",
     .inter = {.raw = {{"2.5.29.30", 1, RAW("\x30\x0b\xa1\x09\x30\x07\x82\x02zz\x80\x01\x01")}}},
     .leaf = {.san = "DNS:a.example"},
     .reason = "chain_invalid"},
};

/* ---- floods of names ---- */

static void flood_san(X509 *x, int n, EVP_PKEY *signer)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    int i;

    for (i = 0; i < n; i++) {
        GENERAL_NAME *name =
            a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, apr_psprintf(pool, "h%d.example", i), 0);
        assert_true(sk_GENERAL_NAME_push(names, name) > 0);
    }
    assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND), 1);
    GENERAL_NAMES_free(names);
    path_sign(x, signer, NULL);
}

/* Subtrees that exclude other hosts than flood_san() makes. */
static void flood_constraints(X509 *x, int n, EVP_PKEY *signer)
{
    NAME_CONSTRAINTS *nc = NAME_CONSTRAINTS_new();
    int i;

    nc->excludedSubtrees = sk_GENERAL_SUBTREE_new_null();
    for (i = 0; i < n; i++) {
        GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
        GENERAL_NAME_free(subtree->base);
        subtree->base =
            a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, apr_psprintf(pool, "x%d.example", i), 0);
        assert_true(sk_GENERAL_SUBTREE_push(nc->excludedSubtrees, subtree) > 0);
    }
    assert_int_equal(X509_add1_ext_i2d(x, NID_name_constraints, nc, 1, X509V3_ADD_APPEND), 1);
    NAME_CONSTRAINTS_free(nc);
    path_sign(x, signer, NULL);
}

static const struct flood_row {
    const char *name;
    int names, constraints;
    const char *reason;
} floods[] = {
    /* The subject has two attributes, which count as names, too. */
    {"flood: as many comparisons as there may be", MOST_NAME_COMPARISONS / 1024 - 2, 1024, "ok"},
    {"flood: one name more", MOST_NAME_COMPARISONS / 1024 - 1, 1024, "chain_invalid"},
    {"flood: one constraint more", MOST_NAME_COMPARISONS / 1024 - 2, 1025, "chain_invalid"},
    {"flood: many names, few constraints", MTLS_MAX_SAN_ENTRIES, 63, "ok"},
    {"flood: many names, too many constraints", MTLS_MAX_SAN_ENTRIES, 64, "chain_invalid"},
    {"flood: too many names", MTLS_MAX_SAN_ENTRIES + 1, 1, "certificate_malformed"},
    {"flood: few names, many constraints", 1, 16384, "ok"},
};

static void flood_case(void **state)
{
    static const part_t usual = {0};
    const struct flood_row *row = *state;
    issuer_t root = path_make(&usual, ROOT, NULL), inter = path_make(&usual, INTER, &root);
    scene_t scene;

    scene_init(&scene);
    scene_trust(&scene, root.x);
    flood_constraints(inter.x, row->constraints, root.key);
    scene_offer(&scene, inter.x);
    scene.leaf = path_make(&usual, LEAF, &inter).x;
    flood_san(scene.leaf, row->names, inter.key);
    scene.leaf = path_read_again(scene.leaf);
    scene_expect(&scene, row->reason, NULL);
}

int main(void)
{
    SUITE_TABLE(path_case, constrained);
    SUITE_TABLE(flood_case, floods);
    return suite_run("path names", 68);
}
