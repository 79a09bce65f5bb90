/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/crl: what is read and what is refused, and what X509_verify_cert() makes of a list with an
 * index. Where it can, a case asks OpenSSL's own form of the same list as well. */

#include "suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "pki/crl.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 50000
#else
#define MANY 500000
#endif

/* ---- a world: a root and its leaves ---- */

#define DAY   WORLD_DAYS
#define FROM  (WORLD_NOW - DAY)
#define TO    (WORLD_NOW + DAY)
#define TAKEN "01020304050607"
#define FREE  "01020304050608"

#define CA_EXTENSIONS                                                                              \
    "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",                  \
        "subjectKeyIdentifier=hash"

static const certificate_t root_spec = {
    .subject = {{"CN", 0, "Root", 0, 0}}, .key = 0, .extensions = {CA_EXTENSIONS}};

static issuer_t root(void)
{
    issuer_t issuer = {certificate_make(pool, &root_spec, NULL), key_get(KEY_P256, 0)};
    return issuer;
}

static issuer_t ca(const char *name, int key, const char *usage, const issuer_t *by)
{
    certificate_t spec = {.subject = {{"CN", 0, name, 0, 0}},
                          .key = key,
                          .serial = "77",
                          .extensions = {"basicConstraints=critical,CA:TRUE", usage}};
    issuer_t issuer = {certificate_make(pool, &spec, by), key_get(KEY_P256, key)};
    return issuer;
}

static X509 *leaf(const issuer_t *issuer, const char *serial)
{
    const certificate_t spec = {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 1, .serial = serial};

    return certificate_make(pool, &spec, issuer);
}

static const char *read_crls(mtls_span_t bytes, apr_array_header_t **out)
{
    char *copy = malloc(bytes.len ? bytes.len : 1); /* of its own size, and soon gone */
    const char *error;

    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    *out = apr_array_make(pool, 1, sizeof(X509_CRL *));
    error = mtls_crls_read(pool, mtls_span(copy, bytes.len), *out);
    free(copy);
    assert_int_equal(ERR_peek_error(), 0);
    return error;
}

static X509_CRL *read_one(mtls_span_t bytes)
{
    apr_array_header_t *out;

    assert_message(read_crls(bytes, &out), NULL);
    assert_int_equal(out->nelts, 1);
    return APR_ARRAY_IDX(out, 0, X509_CRL *);
}

static apr_status_t drop(void *crl)
{
    X509_CRL_free(crl);
    return APR_SUCCESS;
}

static X509_CRL *read_plainly(mtls_span_t der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);

    assert_non_null(crl);
    apr_pool_cleanup_register(pool, crl, drop, apr_pool_cleanup_null);
    return crl;
}

/* A store gives the lists of the certificate's issuer only; indirect ones come with the context. */
static STACK_OF(X509_CRL) * stack_of_lists(X509_CRL *const *lists)
{
    STACK_OF(X509_CRL) *all = sk_X509_CRL_new_null();

    assert_non_null(all);
    for (; *lists; lists++)
        assert_true(sk_X509_CRL_push(all, *lists) > 0);
    return all;
}

/* `lists` is ended by NULL. Returns an X509_V_... */
static int verify(X509 *anchor, STACK_OF(X509) * untrusted, X509_CRL *const *lists, X509 *x,
                  unsigned long flags)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509_CRL) *all = stack_of_lists(lists);
    int answer, error;

    assert_true(store && ctx && X509_STORE_add_cert(store, anchor));
    for (; *lists; lists++)
        assert_int_equal(X509_STORE_add_crl(store, *lists), 1);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | flags);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, x, untrusted), 1);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)apr_time_sec(WORLD_NOW));
    if (flags & X509_V_FLAG_EXTENDED_CRL_SUPPORT)
        X509_STORE_CTX_set0_crls(ctx, all);
    answer = X509_verify_cert(ctx);
    error = X509_STORE_CTX_get_error(ctx);
    assert_int_equal(answer == 1, error == X509_V_OK);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_CRL_free(all);
    ERR_clear_error();
    return error;
}

/* ---- serial numbers ---- */

static const struct serial_row {
    const char *name;
    const char *listed; /* ended by blanks: several */
    const char *serial;
    int found;
} serials[] = {
    {"listed", TAKEN, TAKEN, 1},
    {"not listed", TAKEN, FREE, 0},
    {"an empty list", "", TAKEN, 0},
    {"one of several", "01 02 03 " TAKEN, TAKEN, 1},
    {"none of several", "01 02 03 " TAKEN, FREE, 0},
    {"the same twice", "05 05", "05", 1},
    {"zero", "0", "0", 1},
    {"zero not listed", "01", "0", 0},
    {"zero is no other", "0", "01", 0},
    {"negative", "-80", "-80", 1},
    {"negative is not positive", "80", "-80", 0},
    {"positive is not negative", "-80", "80", 0},
    {"minus one and 255", "FF", "-1", 0},
    {"minus one", "-1", "-1", 1},
    {"with a leading zero octet", "80", "80", 1},
    {"a multiple of 256", "0100", "0100", 1},
    {"a multiple of 256 is not its part", "0100", "01", 0},
    {"trailing zero octets count", "010000", "0100", 0},
    {"20 octets", "7F000102030405060708090A0B0C0D0E0F101112",
     "7F000102030405060708090A0B0C0D0E0F101112", 1},
    {"20 octets, another last bit", "7F000102030405060708090A0B0C0D0E0F101112",
     "7F000102030405060708090A0B0C0D0E0F101113", 0},
    {"21 octets", "FF000102030405060708090A0B0C0D0E0F101112",
     "FF000102030405060708090A0B0C0D0E0F101112", 1},
    {"21 octets, another first bit", "FF000102030405060708090A0B0C0D0E0F101112",
     "7F000102030405060708090A0B0C0D0E0F101112", 0},
    {"30 octets", "112233445566778899AABBCCDDEEFF112233445566778899AABBCCDDEEFF",
     "112233445566778899AABBCCDDEEFF112233445566778899AABBCCDDEEFF", 1},
    {"30 octets listed, a part asked for",
     "112233445566778899AABBCCDDEEFF112233445566778899AABBCCDDEEFF",
     "112233445566778899AABBCCDDEEFF112233445566778899AABBCCDDEE", 0},
};

static void revoke_all(X509_CRL *crl, const char *serials_text)
{
    char *rest = apr_pstrdup(pool, serials_text), *word;

    while ((word = apr_strtok(rest, " ", &rest)) != NULL)
        crl_revoke(crl, word);
}

static void serial_case(void **state)
{
    const struct serial_row *row = *state;
    issuer_t by = root();
    X509 *x = leaf(&by, row->serial);
    X509_CRL *made = crl_begin(pool, &by, FROM, TO), *lists[2] = {NULL, NULL};
    int expected = row->found ? X509_V_ERR_CERT_REVOKED : X509_V_OK;
    X509_REVOKED *found = NULL;

    revoke_all(made, row->listed);
    crl_sign(made, by.key);
    lists[0] = read_plainly(crl_der(pool, made));
    assert_int_equal(verify(by.x, NULL, lists, x, 0), expected);
    lists[0] = read_one(crl_der(pool, made));
    assert_int_equal(verify(by.x, NULL, lists, x, 0), expected);
    assert_int_equal(verify(by.x, NULL, lists, x, X509_V_FLAG_CRL_CHECK_ALL), expected);
    assert_int_equal(X509_CRL_get0_by_cert(lists[0], &found, x), row->found);
    assert_int_equal(found != NULL, row->found);
    assert_int_equal(X509_CRL_get0_by_serial(lists[0], NULL, X509_get0_serialNumber(x)),
                     row->found);
}

/* ---- whole verifications ---- */

typedef struct case_t {
    issuer_t root, other, ca; /* `other` has the root's name and another key; `ca` is the root's */
    X509 *x;                  /* the certificate in question, the root's */
    STACK_OF(X509) * untrusted;
    X509_CRL *made[3]; /* ended by NULL */
} case_t;

static X509_CRL *begin(case_t *c, const issuer_t *by)
{
    X509_CRL *crl = crl_begin(pool, by, FROM, TO);
    int i = 0;

    while (c->made[i])
        i++;
    c->made[i] = crl;
    return crl;
}

static void plain(case_t *c)
{
    X509_CRL *crl = begin(c, &c->root);

    crl_revoke(crl, FREE);
    crl_sign(crl, c->root.key);
}

static void revoked(case_t *c)
{
    X509_CRL *crl = begin(c, &c->root);

    crl_revoke(crl, TAKEN);
    crl_sign(crl, c->root.key);
}

static void no_list(case_t *c)
{
    (void)c;
}

static void list_of_another_ca(case_t *c)
{
    X509_CRL *crl = begin(c, &c->ca);

    crl_revoke(crl, TAKEN);
    crl_sign(crl, c->ca.key);
}

/* The leaf is the root's; the CA's list has an equal serial number. */
static void equal_serial_of_another_ca(case_t *c)
{
    list_of_another_ca(c);
    plain(c);
}

static void expired(case_t *c)
{
    c->made[0] = crl_begin(pool, &c->root, WORLD_NOW - 2 * DAY, WORLD_NOW - DAY);
    crl_sign(c->made[0], c->root.key);
}

static void not_yet_valid(case_t *c)
{
    c->made[0] = crl_begin(pool, &c->root, WORLD_NOW + DAY, WORLD_NOW + 2 * DAY);
    crl_sign(c->made[0], c->root.key);
}

static void wrong_key(case_t *c)
{
    crl_sign(begin(c, &c->root), c->other.key);
}

static void wrong_kind_of_key(case_t *c)
{
    crl_sign(begin(c, &c->root), key_get(KEY_RSA2048, 0));
}

static void newer_revokes(case_t *c)
{
    plain(c);
    c->made[1] = crl_begin(pool, &c->root, FROM + 1000000, TO);
    crl_revoke(c->made[1], TAKEN);
    crl_sign(c->made[1], c->root.key);
}

static void reason(case_t *c, int why)
{
    X509_CRL *crl = begin(c, &c->root);

    crl_revoke_for(crl, TAKEN, why);
    crl_sign(crl, c->root.key);
}

static void key_compromise(case_t *c)
{
    reason(c, CRL_REASON_KEY_COMPROMISE);
}

static void on_hold(case_t *c)
{
    reason(c, CRL_REASON_CERTIFICATE_HOLD);
}

static void removed(case_t *c)
{
    reason(c, CRL_REASON_REMOVE_FROM_CRL);
}

static void point(case_t *c, const char *sections)
{
    X509_CRL *crl = begin(c, &c->root);

    crl_revoke(crl, TAKEN);
    crl_add_extension(crl, c->root.x, "issuingDistributionPoint", "critical,@idp", sections);
    crl_sign(crl, c->root.key);
}

static void only_users(case_t *c)
{
    point(c, "[idp]\nonlyuser=TRUE\n");
}

static void only_cas(case_t *c)
{
    point(c, "[idp]\nonlyCA=TRUE\n");
}

static void only_attributes(case_t *c)
{
    point(c, "[idp]\nonlyAA=TRUE\n");
}

static void some_reasons(case_t *c)
{
    point(c, "[idp]\nonlysomereasons=keyCompromise\n");
}

static void another_point(case_t *c)
{
    point(c, "[idp]\nfullname=URI:http://crl.example/1\n");
}

/* A base that calls for deltas, and a delta with one entry. */
static void base_and_delta(case_t *c, int listed_in_base, const char *serial, int why)
{
    X509_CRL *base = begin(c, &c->root), *delta = begin(c, &c->root);

    if (listed_in_base)
        crl_revoke_for(base, TAKEN, CRL_REASON_CERTIFICATE_HOLD);
    crl_add_number(base, NID_crl_number, "05", 0);
    crl_add_extension(base, c->root.x, "freshestCRL", "URI:http://crl.example/d", "");
    crl_sign(base, c->root.key);
    crl_revoke_for(delta, serial, why);
    crl_add_number(delta, NID_crl_number, "06", 0);
    crl_add_number(delta, NID_delta_crl, "05", 1);
    crl_sign(delta, c->root.key);
}

static void delta_adds(case_t *c)
{
    base_and_delta(c, 0, TAKEN, CRL_REASON_KEY_COMPROMISE);
}

static void delta_adds_another(case_t *c)
{
    base_and_delta(c, 0, FREE, CRL_REASON_KEY_COMPROMISE);
}

static void delta_removes(case_t *c)
{
    base_and_delta(c, 1, TAKEN, CRL_REASON_REMOVE_FROM_CRL);
}

static void delta_removes_another(case_t *c)
{
    base_and_delta(c, 1, FREE, CRL_REASON_REMOVE_FROM_CRL);
}

/* The CA's list speaks of the root's certificates, entry by entry. */
static void indirect(case_t *c, X509 *issuer)
{
    X509_CRL *crl = begin(c, &c->ca);

    crl_revoke_of(crl, TAKEN, issuer);
    crl_add_extension(crl, c->ca.x, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nindirectCRL=TRUE\n");
    crl_sign(crl, c->ca.key);
}

static const char cdp[] = "\x30\x14\x30\x12\xa2\x10\xa4\x0e\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04"
                          "\x03\x0c\x01"
                          "C"; /* a distribution point whose cRLIssuer is CN=C */

static void name_the_indirect_issuer(case_t *c)
{
    certificate_add_raw(c->x, "2.5.29.31", 0, cdp, sizeof(cdp) - 1, c->root.key);
    c->untrusted = stack_of(pool, c->ca.x, NULL);
}

static void indirect_revokes(case_t *c)
{
    name_the_indirect_issuer(c);
    indirect(c, c->root.x);
}

static void indirect_of_other_issuer(case_t *c)
{
    name_the_indirect_issuer(c);
    indirect(c, c->ca.x);
}

#define EXTENDED X509_V_FLAG_EXTENDED_CRL_SUPPORT
#define DELTAS   X509_V_FLAG_USE_DELTAS
#define ALL      X509_V_FLAG_CRL_CHECK_ALL

static const struct case_row {
    const char *name;
    void (*build)(case_t *c);
    unsigned long flags;
    int expected;
    int differs; /* what OpenSSL's own form says, where that is another; else 0 */
} cases[] = {
    {"good", plain, 0, X509_V_OK, 0},
    {"good, whole chain", plain, ALL, X509_V_OK, 0},
    {"good, with all that is supported", plain, ALL | EXTENDED | DELTAS, X509_V_OK, 0},
    {"revoked", revoked, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"revoked, whole chain", revoked, ALL, X509_V_ERR_CERT_REVOKED, 0},
    {"revoked, with all that is supported", revoked, ALL | EXTENDED | DELTAS,
     X509_V_ERR_CERT_REVOKED, 0},
    {"no list", no_list, 0, X509_V_ERR_UNABLE_TO_GET_CRL, 0},
    {"only a list of another CA", list_of_another_ca, 0, X509_V_ERR_UNABLE_TO_GET_CRL, 0},
    {"equal serial numbers of two issuers", equal_serial_of_another_ca, 0, X509_V_OK, 0},
    {"expired", expired, 0, X509_V_ERR_CRL_HAS_EXPIRED, 0},
    {"not yet valid", not_yet_valid, 0, X509_V_ERR_CRL_NOT_YET_VALID, 0},
    {"signed by another key", wrong_key, 0, X509_V_ERR_CRL_SIGNATURE_FAILURE, 0},
    {"signed by another kind of key", wrong_kind_of_key, 0, X509_V_ERR_CRL_SIGNATURE_FAILURE, 0},
    {"the newer of two counts", newer_revokes, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"reason: key compromise", key_compromise, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"reason: on hold", on_hold, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"reason: removed, in no delta", removed, 0, X509_V_ERR_CERT_REVOKED, -1},
    {"scope: users", only_users, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"scope: CAs", only_cas, 0, X509_V_ERR_DIFFERENT_CRL_SCOPE, 0},
    {"scope: attributes", only_attributes, 0, X509_V_ERR_DIFFERENT_CRL_SCOPE, 0},
    {"scope: another distribution point", another_point, 0, X509_V_ERR_DIFFERENT_CRL_SCOPE, 0},
    {"scope: some reasons", some_reasons, 0, X509_V_ERR_UNABLE_TO_GET_CRL, 0},
    {"scope: some reasons, extended", some_reasons, EXTENDED, X509_V_ERR_CERT_REVOKED, 0},
    {"delta adds", delta_adds, DELTAS, X509_V_ERR_CERT_REVOKED, 0},
    {"delta adds, deltas not used", delta_adds, 0, X509_V_OK, 0},
    {"delta adds another", delta_adds_another, DELTAS, X509_V_OK, 0},
    {"delta removes", delta_removes, DELTAS, X509_V_OK, 0},
    {"delta removes, deltas not used", delta_removes, 0, X509_V_ERR_CERT_REVOKED, 0},
    {"delta removes another", delta_removes_another, DELTAS, X509_V_ERR_CERT_REVOKED, 0},
    {"indirect", indirect_revokes, EXTENDED, X509_V_ERR_CERT_REVOKED, 0},
    {"indirect, not supported", indirect_revokes, 0, X509_V_ERR_UNABLE_TO_GET_CRL, 0},
    {"indirect, equal serial of another issuer", indirect_of_other_issuer, EXTENDED, X509_V_OK, 0},
};

static int verify_case(case_t *c, X509_CRL *(*read)(mtls_span_t der), unsigned long flags)
{
    X509_CRL *lists[4] = {NULL, NULL, NULL, NULL};
    int i;

    for (i = 0; c->made[i]; i++)
        lists[i] = read(crl_der(pool, c->made[i]));
    return verify(c->root.x, c->untrusted, lists, c->x, flags);
}

static void begin_case(case_t *c)
{
    memset(c, 0, sizeof(*c));
    c->root = root();
    c->other.x = c->root.x;
    c->other.key = key_get(KEY_P256, 2);
    c->ca = ca("C", 3, "keyUsage=critical,keyCertSign,cRLSign", &c->root);
    c->x = leaf(&c->root, TAKEN);
}

static void case_case(void **state)
{
    const struct case_row *row = *state;
    case_t c;

    begin_case(&c);
    row->build(&c);
    assert_int_equal(verify_case(&c, read_one, row->flags), row->expected);
    assert_int_equal(verify_case(&c, read_plainly, row->flags),
                     row->differs ? X509_V_OK : row->expected);
}

static void an_issuer_without_crl_sign(void **state)
{
    issuer_t by = root(), sub = ca("Sub", 3, "keyUsage=critical,keyCertSign", &by);
    X509 *x = leaf(&sub, FREE);
    X509_CRL *lists[2] = {NULL, NULL};
    mtls_span_t der = crl_der(pool, crl_make(pool, &sub, TAKEN, FROM, TO));

    (void)state;
    lists[0] = read_one(der);
    assert_int_equal(verify(by.x, stack_of(pool, sub.x, NULL), lists, x, 0),
                     X509_V_ERR_KEYUSAGE_NO_CRL_SIGN);
    sub = ca("Sub", 3, "keyUsage=critical,keyCertSign,cRLSign", &by);
    assert_int_equal(verify(by.x, stack_of(pool, sub.x, NULL), lists, x, 0), X509_V_OK);
    assert_int_equal(verify(by.x, stack_of(pool, sub.x, NULL), lists, leaf(&sub, TAKEN), 0),
                     X509_V_ERR_CERT_REVOKED);
}

/* ---- what is refused ---- */

static void an_unknown_extension(X509_CRL *crl)
{
    crl_add_raw(crl, "1.2.3.4", 0, mtls_span("\5\0", 2));
}

static void a_critical_unknown_extension(X509_CRL *crl)
{
    crl_add_raw(crl, "1.2.3.4", 1, mtls_span("\5\0", 2));
}

static void a_critical_number(X509_CRL *crl)
{
    crl_add_number(crl, NID_crl_number, "01", 1);
}

static void a_number(X509_CRL *crl)
{
    crl_add_number(crl, NID_crl_number, "01", 0);
}

static void two_numbers(X509_CRL *crl)
{
    a_number(crl);
    a_number(crl);
}

static void two_unknown_extensions(X509_CRL *crl)
{
    an_unknown_extension(crl);
    an_unknown_extension(crl);
}

static void too_many_extensions(X509_CRL *crl)
{
    int i;

    for (i = 0; i < 257; i++)
        crl_add_raw(crl, apr_psprintf(pool, "1.2.3.4.%d", i), 0, mtls_span("\5\0", 2));
}

static void a_point_that_is_none(X509_CRL *crl)
{
    crl_add_raw(crl, "2.5.29.28", 1, mtls_span("\5\0", 2));
}

static void a_number_that_is_none(X509_CRL *crl)
{
    crl_add_raw(crl, "2.5.29.20", 0, mtls_span("\5\0", 2));
}

static void a_key_identifier_that_is_none(X509_CRL *crl)
{
    crl_add_raw(crl, "2.5.29.35", 0, mtls_span("\5\0", 2));
}

static void a_delta_that_is_none(X509_CRL *crl)
{
    a_number(crl);
    crl_add_raw(crl, "2.5.29.27", 1, mtls_span("\5\0", 2));
}

static void a_delta_without_number(X509_CRL *crl)
{
    crl_add_number(crl, NID_delta_crl, "01", 1);
}

static void a_delta_with_number(X509_CRL *crl)
{
    a_number(crl);
    crl_add_number(crl, NID_delta_crl, "01", 1);
}

static void users_and_cas_only(X509_CRL *crl)
{
    crl_add_extension(crl, NULL, "issuingDistributionPoint", "critical,@idp",
                      "[idp]\nonlyuser=TRUE\nonlyCA=TRUE\n");
}

static void an_entry_extension(X509_CRL *crl)
{
    crl_entry_add_raw(crl_revoke(crl, "09"), "1.2.3.4", 0, mtls_span("\5\0", 2));
}

static void a_critical_entry_extension(X509_CRL *crl)
{
    crl_revoke(crl, "08");
    crl_entry_add_raw(crl_revoke(crl, "09"), "1.2.3.4", 1, mtls_span("\5\0", 2));
    crl_revoke(crl, "0A");
}

static void a_critical_reason(X509_CRL *crl)
{
    crl_entry_add_raw(crl_revoke(crl, "09"), "2.5.29.21", 1, mtls_span("\x0a\1\1", 3));
}

static void a_reason(X509_CRL *crl)
{
    crl_entry_add_raw(crl_revoke(crl, "09"), "2.5.29.21", 0, mtls_span("\x0a\1\1", 3));
}

static void a_reason_that_is_none(X509_CRL *crl)
{
    crl_entry_add_raw(crl_revoke(crl, "09"), "2.5.29.21", 0, mtls_span("\5\0", 2));
}

static void two_reasons(X509_CRL *crl)
{
    X509_REVOKED *entry = crl_revoke(crl, "09");

    crl_entry_add_raw(entry, "2.5.29.21", 0, mtls_span("\x0a\1\1", 3));
    crl_entry_add_raw(entry, "2.5.29.21", 0, mtls_span("\x0a\1\x08", 3));
}

static void an_entry_of_another_issuer(X509_CRL *crl)
{
    crl_revoke_of(crl, "09", root().x);
}

static void of_version_1(X509_CRL *crl)
{
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_1), 1);
}

static void of_version_3(X509_CRL *crl)
{
    assert_int_equal(X509_CRL_set_version(crl, 2), 1);
}

static void of_version_1_with_extension(X509_CRL *crl)
{
    of_version_1(crl);
    an_unknown_extension(crl);
}

static void of_version_1_with_entry_extension(X509_CRL *crl)
{
    of_version_1(crl);
    a_reason(crl);
}

static void nothing(X509_CRL *crl)
{
    (void)crl;
}

static const struct refused_row {
    const char *name;
    void (*change)(X509_CRL *crl);
    apr_time_t from, to;
    const char *words;
} contents[] = {
    {"read: nothing", nothing, FROM, TO, NULL},
    {"no nextUpdate", nothing, FROM, 0, "CRL 1|no nextUpdate"},
    {"nextUpdate is thisUpdate", nothing, FROM, FROM, "not after"},
    {"nextUpdate before thisUpdate", nothing, TO, FROM, "not after"},
    {"read: nextUpdate a second after thisUpdate", nothing, FROM, FROM + 1000000, NULL},
    {"read: version 1", of_version_1, FROM, TO, NULL},
    {"version 3", of_version_3, FROM, TO, "version"},
    {"version 1 with an extension", of_version_1_with_extension, FROM, TO, "version 1"},
    {"version 1 with an entry's extension", of_version_1_with_entry_extension, FROM, TO,
     "version 1"},
    {"read: an unknown extension", an_unknown_extension, FROM, TO, NULL},
    {"an unknown critical extension", a_critical_unknown_extension, FROM, TO, "1.2.3.4|critical"},
    {"read: a CRL number", a_number, FROM, TO, NULL},
    {"a critical CRL number", a_critical_number, FROM, TO, "CRL Number|critical"},
    {"two CRL numbers", two_numbers, FROM, TO, "CRL Number|twice"},
    {"an unknown extension twice", two_unknown_extensions, FROM, TO, "1.2.3.4|twice"},
    {"too many extensions", too_many_extensions, FROM, TO, "too many"},
    {"unreadable distribution point", a_point_that_is_none, FROM, TO, "cannot be read"},
    {"unreadable CRL number", a_number_that_is_none, FROM, TO, "CRL Number|cannot be read"},
    {"unreadable key identifier", a_key_identifier_that_is_none, FROM, TO, "cannot be read"},
    {"unreadable delta", a_delta_that_is_none, FROM, TO, "cannot be read"},
    {"a delta without CRL number", a_delta_without_number, FROM, TO, "delta without"},
    {"read: a delta with CRL number", a_delta_with_number, FROM, TO, NULL},
    {"for users only and for CAs only", users_and_cas_only, FROM, TO, "contradicts"},
    {"read: an entry's extension", an_entry_extension, FROM, TO, NULL},
    {"an entry's critical extension", a_critical_entry_extension, FROM, TO, "1.2.3.4|critical"},
    {"read: a reason", a_reason, FROM, TO, NULL},
    {"a critical reason", a_critical_reason, FROM, TO, "entry|critical"},
    {"an unreadable reason", a_reason_that_is_none, FROM, TO, "entry|cannot be read"},
    {"two reasons", two_reasons, FROM, TO, "entry|twice"},
    {"an entry of another issuer", an_entry_of_another_issuer, FROM, TO, "indirect"},
};

static void content_case(void **state)
{
    const struct refused_row *row = *state;
    issuer_t by = root();
    X509_CRL *crl = crl_begin(pool, &by, row->from, row->to);
    apr_array_header_t *out;

    row->change(crl);
    crl_sign(crl, by.key);
    assert_message(read_crls(crl_der(pool, crl), &out), row->words);
    assert_int_equal(out->nelts, row->words ? 0 : 1);
}

/* ---- files ---- */

static mtls_span_t joined(mtls_span_t a, mtls_span_t b)
{
    char *out = apr_palloc(pool, a.len + b.len + 1);

    memcpy(out, a.data, a.len);
    memcpy(out + a.len, b.data, b.len);
    return mtls_span(out, a.len + b.len);
}

static void files_hold_what_they_hold(void **state)
{
    issuer_t by = root();
    X509_CRL *crl = crl_make(pool, &by, TAKEN, FROM, TO);
    mtls_span_t der = crl_der(pool, crl), pem = crl_pem(pool, crl);
    mtls_span_t text = mtls_span_of("0 words before\n");
    apr_array_header_t *out;

    (void)state;
    assert_message(read_crls(pem, &out), NULL);
    assert_int_equal(out->nelts, 1);
    assert_message(read_crls(joined(pem, joined(text, pem)), &out), NULL);
    assert_int_equal(out->nelts, 2);
    assert_int_equal(mtls_crl_count(APR_ARRAY_IDX(out, 1, X509_CRL *)), 1);
    assert_message(read_crls(joined(text, pem), &out), NULL);
    assert_message(read_crls(joined(der, mtls_span("\0", 1)), &out), "CRL 1|followed");
    assert_message(read_crls(joined(der, mtls_span_of("\n")), &out), "CRL 1|followed");
    assert_message(read_crls(joined(der, der), &out), "CRL 1|followed");
    assert_message(read_crls(mtls_span(NULL, 0), &out), "no CRL");
    assert_message(read_crls(text, &out), "no CRL");
    assert_message(read_crls(certificate_pem(pool, by.x), &out), "\"CERTIFICATE\"");
    assert_message(read_crls(joined(pem, certificate_pem(pool, by.x)), &out), "\"CERTIFICATE\"");
    assert_message(read_crls(certificate_der(pool, by.x), &out), "CRL 1");
    assert_message(mtls_crls_read(pool, mtls_span("0", INT32_MAX), out), "too large");
}

static void a_wrong_list_of_a_file_is_named_by_its_number(void **state)
{
    issuer_t by = root();
    X509_CRL *bad = crl_begin(pool, &by, FROM, 0);
    apr_array_header_t *out;

    (void)state;
    crl_sign(bad, by.key);
    assert_message(
        read_crls(joined(crl_pem(pool, crl_make(pool, &by, TAKEN, FROM, TO)), crl_pem(pool, bad)),
                  &out),
        "CRL 2|no nextUpdate");
}

static void nothing_that_is_cut_off_is_read(void **state)
{
    issuer_t by = root();
    X509_CRL *crl = crl_make(pool, &by, TAKEN, FROM, TO);
    mtls_span_t der = crl_der(pool, crl), pem = crl_pem(pool, crl);
    apr_array_header_t *out;
    apr_size_t len;

    (void)state;
    for (len = 0; len < der.len; len++)
        assert_non_null(read_crls(mtls_span(der.data, len), &out));
    for (len = 0; len < pem.len - 1; len++) /* only the last LF may be missing */
        assert_non_null(read_crls(mtls_span(pem.data, len), &out));
    assert_null(read_crls(mtls_span(pem.data, len), &out));
}

/* No byte of a list can be changed and its signature hold. */
static void nothing_that_was_changed_is_signed(void **state)
{
    issuer_t by = root();
    mtls_span_t der = crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO));
    char *bytes = (char *)(uintptr_t)der.data;
    apr_array_header_t *out;
    apr_size_t i;
    int read = 0;

    (void)state;
    for (i = 0; i < der.len; i++) {
        bytes[i] ^= 1;
        if (read_crls(der, &out) == NULL) {
            read++;
            assert_int_not_equal(mtls_crl_signed_by(APR_ARRAY_IDX(out, 0, X509_CRL *), by.x),
                                 MTLS_CRL_SIGNED);
        }
        bytes[i] ^= 1;
    }
    assert_true(read > 50);
    assert_int_equal(mtls_crl_signed_by(read_one(der), by.x), MTLS_CRL_SIGNED);
}

static mtls_span_t patched(mtls_span_t der, const char *find, const char *replace, apr_size_t n,
                           int which)
{
    char *bytes = apr_pstrmemdup(pool, der.data, der.len);
    apr_size_t i;

    for (i = 0; i + n <= der.len; i++) {
        if (memcmp(bytes + i, find, n) == 0 && which-- == 0) {
            memcpy(bytes + i, replace, n);
            return mtls_span(bytes, der.len);
        }
    }
    fail_msg("nothing to be patched");
    return der;
}

static void bytes_that_are_not_der(void **state)
{
    static const char sha256[] = "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
                      sha384[] = "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
    issuer_t by = root();
    mtls_span_t der = crl_der(pool, crl_make(pool, &by, "7102030405060708", FROM, TO));
    apr_array_header_t *out;

    (void)state;
    assert_message(read_crls(patched(der, "\x02\x08\x71\x02", "\x02\x08\x00\x02", 4, 0), &out),
                   "cannot be read"); /* a serial number with a zero octet too many */
    assert_message(read_crls(patched(der, "\x02\x08\x71\x02", "\x02\x08\xff\x82", 4, 0), &out),
                   "cannot be read"); /* and one of the negative ones */
    assert_message(read_crls(patched(der, sha256, sha384, sizeof(sha256) - 1, 0), &out),
                   "two signature algorithms");
    assert_message(read_crls(patched(der, sha256, sha384, sizeof(sha256) - 1, 1), &out),
                   "two signature algorithms");
}

static void a_date_that_cannot_be_compared(void **state)
{
    issuer_t by = root();
    mtls_span_t der = crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO));
    apr_array_header_t *out;

    (void)state; /* 2027-01-14 and -16, 08:00:00 */
    assert_message(read_crls(patched(der, "270114080000Z", "270114080000z", 13, 0), &out),
                   "CRL 1"); /* thisUpdate */
    assert_message(read_crls(patched(der, "270116080000Z", "271316080000Z", 13, 0), &out), "CRL 1");
    assert_null(read_crls(patched(der, "270116080000Z", "270117080000Z", 13, 0), &out));
}

/* ---- who signed ---- */

static const struct key_row {
    const char *name;
    key_kind_t kind;
    int pss;
} kinds[] = {
    {"signed with ECDSA", KEY_P256, 0},
    {"signed with RSA", KEY_RSA2048, 0},
    {"signed with Ed25519", KEY_ED25519, 0},
    {"signed with RSA-PSS", KEY_RSA2048, 1},
};

static issuer_t any_ca(key_kind_t kind, int key, const char *name)
{
    const certificate_t spec = {.subject = {{"CN", 0, name, 0, 0}},
                                .key_kind = kind,
                                .key = key,
                                .extensions = {CA_EXTENSIONS}};
    issuer_t issuer = {certificate_make(pool, &spec, NULL), key_get(kind, key)};
    return issuer;
}

static void sign_pss(X509_CRL *crl, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *params = NULL;

    assert_true(ctx && EVP_DigestSignInit(ctx, &params, EVP_sha256(), NULL, key) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING) == 1 &&
                X509_CRL_sign_ctx(crl, ctx) > 0);
    EVP_MD_CTX_free(ctx);
}

static void kind_case(void **state)
{
    const struct key_row *row = *state;
    issuer_t by = any_ca(row->kind, 0, "Root"), same_name = any_ca(row->kind, 1, "Root");
    issuer_t other_kind = any_ca(row->kind == KEY_P256 ? KEY_ED25519 : KEY_P256, 2, "Root");
    X509_CRL *crl = crl_begin(pool, &by, FROM, TO);
    int again;

    crl_revoke(crl, TAKEN);
    if (row->pss)
        sign_pss(crl, by.key);
    else
        crl_sign(crl, by.key);
    crl = read_one(crl_der(pool, crl));
    for (again = 0; again < 3; again++) { /* also what is remembered */
        assert_int_equal(mtls_crl_signed_by(crl, same_name.x), MTLS_CRL_BAD_SIGNATURE);
        assert_int_equal(mtls_crl_signed_by(crl, by.x), MTLS_CRL_SIGNED);
        assert_int_equal(mtls_crl_signed_by(crl, other_kind.x), MTLS_CRL_BAD_SIGNATURE);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void who_is_asked_matters(void **state)
{
    issuer_t by = root(), other = any_ca(KEY_P256, 0, "Other");
    issuer_t may_not = ca("Root", 0, "keyUsage=critical,keyCertSign", NULL);
    issuer_t no_usage = ca("Root", 0, NULL, NULL);
    X509_CRL *crl = read_one(crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO)));

    (void)state;
    assert_int_equal(mtls_crl_signed_by(crl, other.x), MTLS_CRL_NOT_ITS_ISSUER);
    assert_int_equal(mtls_crl_signed_by(crl, may_not.x), MTLS_CRL_MAY_NOT_SIGN);
    assert_int_equal(mtls_crl_signed_by(crl, no_usage.x), MTLS_CRL_SIGNED);
    assert_int_equal(mtls_crl_signed_by(crl, by.x), MTLS_CRL_SIGNED);
}

/* More keys than there are places, good and bad ones mixed. */
static void any_number_of_keys_is_told_apart(void **state)
{
    issuer_t by = root();
    X509_CRL *crl = read_one(crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO)));
    int i, round;

    (void)state;
    for (round = 0; round < 30; round++) {
        EVP_PKEY *other = EVP_EC_gen("P-256");
        assert_int_equal(X509_CRL_verify(crl, by.key), 1);
        assert_int_equal(X509_CRL_verify(crl, other), 0);
        assert_int_equal(X509_CRL_verify(crl, other), 0);
        for (i = 1; i < KEYS_OF_A_KIND; i++)
            assert_int_equal(X509_CRL_verify(crl, key_get(KEY_P256, i)), 0);
        EVP_PKEY_free(other);
    }
    ERR_clear_error();
}

/* ---- what else OpenSSL does with a list ---- */

static void a_list_outlives_its_pool(void **state)
{
    apr_pool_t *p = NULL;
    issuer_t by = root();
    mtls_span_t der = crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO));
    apr_array_header_t *out;
    X509_CRL *lists[2] = {NULL, NULL};

    (void)state;
    assert_int_equal(apr_pool_create(&p, pool), APR_SUCCESS);
    out = apr_array_make(p, 1, sizeof(X509_CRL *));
    assert_null(mtls_crls_read(p, der, out));
    lists[0] = APR_ARRAY_IDX(out, 0, X509_CRL *);
    assert_int_equal(X509_CRL_up_ref(lists[0]), 1);
    apr_pool_destroy(p);
    assert_int_equal(verify(by.x, NULL, lists, leaf(&by, TAKEN), 0), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(by.x, NULL, lists, leaf(&by, FREE), 0), X509_V_OK);
    X509_CRL_free(lists[0]);
}

static void a_list_keeps_its_encoding(void **state)
{
    issuer_t by = root();
    mtls_span_t der = crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO));
    X509_CRL *crl = read_one(der), *copy = X509_CRL_dup(crl);
    X509_REVOKED *found = NULL;

    (void)state;
    assert_span_equal(crl_der(pool, crl), der);
    assert_non_null(copy);
    assert_int_equal(X509_CRL_match(crl, copy), 0);
    assert_int_equal(X509_CRL_verify(copy, by.key), 1);
    assert_int_equal(X509_CRL_get0_by_cert(copy, &found, leaf(&by, TAKEN)), 1);
    X509_CRL_free(copy);
}

static void entries_are_counted(void **state)
{
    issuer_t by = root();
    X509_CRL *crl = crl_begin(pool, &by, FROM, TO);

    (void)state;
    crl_sign(crl, by.key);
    assert_int_equal(mtls_crl_count(crl), 0);
    assert_int_equal(mtls_crl_count(read_one(crl_der(pool, crl))), 0);
    revoke_all(crl, "01 -01 0 0100");
    crl_sign(crl, by.key);
    assert_int_equal(mtls_crl_count(crl), 4);
    assert_int_equal(mtls_crl_count(read_one(crl_der(pool, crl))), 4);
}

/* ---- many entries, many threads ---- */

static void serial_of(int i, ASN1_INTEGER *out)
{
    /* 8 bytes that look like chance, the first bit not set */
    uint64_t x = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);

    assert_int_equal(ASN1_INTEGER_set_uint64(out, (x ^ (x >> 31)) & INT64_MAX), 1);
}

static mtls_span_t large_list(const issuer_t *by, int n)
{
    X509_CRL *crl = crl_begin(pool, by, FROM, TO);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)apr_time_sec(FROM));
    int i;

    for (i = 0; i < n; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        serial_of(i, serial);
        assert_true(X509_REVOKED_set_serialNumber(entry, serial) &&
                    X509_REVOKED_set_revocationDate(entry, at) &&
                    X509_CRL_add0_revoked(crl, entry));
    }
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(at);
    crl_sign(crl, by->key);
    return crl_der(pool, crl);
}

static void a_large_list_is_found_in_whole(void **state)
{
    issuer_t by = root();
    X509_CRL *crl = read_one(large_list(&by, MANY)), *lists[2] = {NULL, NULL};
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    int i;

    (void)state;
    assert_int_equal(mtls_crl_count(crl), MANY);
    for (i = 0; i < 2 * MANY; i++) {
        serial_of(i, serial);
        if (X509_CRL_get0_by_serial(crl, NULL, serial) != (i < MANY))
            fail_msg("entry %d", i);
    }
    ASN1_INTEGER_free(serial);
    lists[0] = crl;
    assert_int_equal(verify(by.x, NULL, lists, leaf(&by, FREE), X509_V_FLAG_CRL_CHECK_ALL),
                     X509_V_OK);
}

typedef struct shared_t {
    X509_STORE *store;
    X509 *good, *bad;
    X509_CRL *crl;
} shared_t;

static int verify_in(const shared_t *all, X509 *x)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int error = X509_V_ERR_UNSPECIFIED;

    if (ctx && X509_STORE_CTX_init(ctx, all->store, x, NULL) == 1) {
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)apr_time_sec(WORLD_NOW));
        (void)X509_verify_cert(ctx);
        error = X509_STORE_CTX_get_error(ctx);
    }
    X509_STORE_CTX_free(ctx);
    return error;
}

static void *verify_often(void *baton)
{
    const shared_t *all = baton;
    int i;

    for (i = 0; i < 200; i++) {
        EVP_PKEY *other = EVP_EC_gen("P-256");
        int wrong = verify_in(all, all->good) != X509_V_OK ||
                    verify_in(all, all->bad) != X509_V_ERR_CERT_REVOKED ||
                    X509_CRL_verify(all->crl, other) != 0;
        EVP_PKEY_free(other);
        ERR_clear_error();
        if (wrong)
            return "wrong";
    }
    return NULL;
}

static void threads_verify_at_once(void **state)
{
    issuer_t by = root();
    shared_t all = {X509_STORE_new(), leaf(&by, FREE), leaf(&by, TAKEN), NULL};
    pthread_t threads[4];
    void *result;
    size_t i;

    (void)state;
    all.crl = read_one(crl_der(pool, crl_make(pool, &by, TAKEN, FROM, TO)));
    assert_true(all.store && X509_STORE_add_cert(all.store, by.x) == 1 &&
                X509_STORE_add_crl(all.store, all.crl) == 1);
    X509_STORE_set_flags(all.store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    for (i = 0; i < ROWS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &all), 0);
    for (i = 0; i < ROWS(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    X509_STORE_free(all.store);
}

/* ---- lists of somebody else, made while we parse ---- */

typedef struct reading_t {
    mtls_span_t der;
    atomic_int stop, done;
} reading_t;

static void *read_often(void *baton)
{
    reading_t *r = baton;

    while (!atomic_load(&r->stop)) {
        apr_pool_t *p = NULL;
        apr_array_header_t *out;
        const char *error;
        if (apr_pool_create_unmanaged(&p) != APR_SUCCESS)
            return "no pool";
        out = apr_array_make(p, 1, sizeof(X509_CRL *));
        error = mtls_crls_read(p, r->der, out);
        apr_pool_destroy(p);
        if (error)
            return "refused";
        atomic_fetch_add(&r->done, 1);
    }
    return NULL;
}

/* OpenSSL's own method says 2 of an entry that says removeFromCRL, ours says 1. */
static X509_CRL *catch_one(mtls_span_t der, X509 *x, const reading_t *r)
{
    do {
        const unsigned char *at = (const unsigned char *)der.data;
        X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
        assert_non_null(crl);
        if (X509_CRL_get0_by_cert(crl, NULL, x) == 1)
            return crl;
        X509_CRL_free(crl);
        sched_yield();
    } while (atomic_load(&r->done) < 300);
    return NULL;
}

static void somebody_elses_list_with_our_method_is_right(void **state)
{
    issuer_t by = root();
    X509 *removed_one = leaf(&by, TAKEN), *listed = leaf(&by, "05");
    X509_CRL *made = crl_begin(pool, &by, FROM, TO), *lists[2] = {NULL, NULL};
    reading_t reading = {large_list(&by, 5000), 0, 0};
    pthread_t thread;
    void *result;

    (void)state;
    crl_revoke_for(made, TAKEN, CRL_REASON_REMOVE_FROM_CRL);
    crl_revoke(made, "05");
    crl_sign(made, by.key);
    assert_int_equal(pthread_create(&thread, NULL, read_often, &reading), 0);
    lists[0] = catch_one(crl_der(pool, made), removed_one, &reading);
    atomic_store(&reading.stop, 1);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_non_null(lists[0]);
    assert_int_equal(mtls_crl_count(lists[0]), 2);
    assert_int_equal(X509_CRL_verify(lists[0], by.key), 1);
    assert_int_equal(X509_CRL_verify(lists[0], key_get(KEY_P256, 1)), 0);
    assert_int_equal(verify(by.x, NULL, lists, removed_one, 0), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(by.x, NULL, lists, listed, 0), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(verify(by.x, NULL, lists, leaf(&by, FREE), 0), X509_V_OK);
    X509_CRL_free(lists[0]);
}

static void the_usual_method_is_back_after_reading(void **state)
{
    issuer_t by = root();
    X509_CRL *made = crl_begin(pool, &by, FROM, TO);
    apr_array_header_t *out;
    mtls_span_t der;

    (void)state;
    crl_revoke_for(made, TAKEN, CRL_REASON_REMOVE_FROM_CRL);
    crl_sign(made, by.key);
    der = crl_der(pool, made);
    assert_int_equal(X509_CRL_get0_by_cert(read_one(der), NULL, leaf(&by, TAKEN)), 1);
    assert_int_equal(X509_CRL_get0_by_cert(read_plainly(der), NULL, leaf(&by, TAKEN)), 2);
    assert_non_null(read_crls(mtls_span(der.data, der.len - 1), &out));
    assert_int_equal(X509_CRL_get0_by_cert(read_plainly(der), NULL, leaf(&by, TAKEN)), 2);
}

int main(void)
{
    SUITE_TABLE(serial_case, serials);
    SUITE_TABLE(case_case, cases);
    SUITE_CASE(an_issuer_without_crl_sign);
    SUITE_TABLE(content_case, contents);
    SUITE_CASE(files_hold_what_they_hold);
    SUITE_CASE(a_wrong_list_of_a_file_is_named_by_its_number);
    SUITE_CASE(nothing_that_is_cut_off_is_read);
    SUITE_CASE(nothing_that_was_changed_is_signed);
    SUITE_CASE(bytes_that_are_not_der);
    SUITE_CASE(a_date_that_cannot_be_compared);
    SUITE_TABLE(kind_case, kinds);
    SUITE_CASE(who_is_asked_matters);
    SUITE_CASE(any_number_of_keys_is_told_apart);
    SUITE_CASE(a_list_outlives_its_pool);
    SUITE_CASE(a_list_keeps_its_encoding);
    SUITE_CASE(entries_are_counted);
    SUITE_CASE(a_large_list_is_found_in_whole);
    SUITE_CASE(threads_verify_at_once);
    SUITE_CASE(somebody_elses_list_with_our_method_is_right);
    SUITE_CASE(the_usual_method_is_back_after_reading);
    return suite_run("crl", 100);
}
