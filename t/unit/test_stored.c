/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/remembered and pki/pem_files. */

#include "suite.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "cache.h"
#include "certificates.h"
#include "pki/chain.h"
#include "pki/pem_files.h"
#include "pki/remembered.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

/* Live records of leaves. */
static int records(const cache_t *cache)
{
    return cache_count(cache, mtls_span_of(":mtls:leaf"));
}

/* ---- certificates: contents do not matter here, only bytes ---- */

static X509 *named(const char *cn, int extra)
{
    certificate_t spec = {.subject = {{"CN", 0, cn, 0, 0}}};
    X509 *x = certificate_make(pool, &spec, NULL);

    if (extra)
        certificate_add_raw(x, "1.3.6.1.4.1.99999.2", 0, apr_pcalloc(pool, (apr_size_t)extra),
                            extra, key_get(KEY_P256, 0));
    return x;
}

static const unsigned char *sha256_of(X509 *x)
{
    unsigned char *out = apr_palloc(pool, MTLS_DIGEST_BYTES);
    unsigned char spki[MTLS_DIGEST_BYTES];

    assert_int_equal(mtls_x509_digests(x, out, spki), 1);
    return out;
}

static int recalled(const cache_t *cache, X509 *leaf)
{
    STACK_OF(X509) *found = mtls_recall(&cache->store, pool, sha256_of(leaf));
    int n = found ? sk_X509_num(found) : -1;

    sk_X509_pop_free(found, X509_free);
    assert_int_equal(ERR_peek_error(), 0);
    return n;
}

/* `verified` is a chain from the leaf to its anchor. */
static void remember(cache_t *cache, STACK_OF(X509) * verified, STACK_OF(X509) * sent,
                     apr_time_t now)
{
    mtls_chain_t chain = {.trust_store = "vhost", .n = sk_X509_num(verified) - 1};
    mtls_chain_link_t *links = apr_pcalloc(pool, sizeof(*links) * (size_t)sk_X509_num(verified));
    int i;

    for (i = 0; i < chain.n; i++)
        assert_int_equal(mtls_x509_digests(sk_X509_value(verified, i + 1), links[i].sha256,
                                           links[i].spki_sha256),
                         1);
    chain.links = links;
    mtls_remember(&cache->store, pool, sha256_of(sk_X509_value(verified, 0)), &chain, sent, now);
}

static void intermediates_come_back_for_their_leaf_only(void **state)
{
    X509 *leaf = named("leaf", 0), *a = named("a", 0), *b = named("b", 0), *root = named("r", 0);
    STACK_OF(X509) * found;
    cache_t cache;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, a, b, root, NULL), stack_of(pool, a, b, NULL), WORLD_NOW);
    found = mtls_recall(&cache.store, pool, sha256_of(leaf));
    assert_non_null(found);
    assert_int_equal(sk_X509_num(found), 2);
    assert_int_equal(X509_cmp(sk_X509_value(found, 0), a), 0);
    assert_int_equal(X509_cmp(sk_X509_value(found, 1), b), 0);
    sk_X509_pop_free(found, X509_free);
    assert_int_equal(recalled(&cache, a), -1);
}

static void only_what_the_client_alone_had_is_remembered(void **state)
{
    X509 *leaf = named("leaf", 0), *a = named("a", 0), *b = named("b", 0), *root = named("r", 0);
    cache_t cache;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, a, b, root, NULL), stack_of(pool, b, root, leaf, NULL),
             WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), 1); /* neither the configured a, nor root or leaf */
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, a, root, NULL), stack_of(pool, leaf, root, b, NULL),
             WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, a, root, NULL), NULL, WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, NULL), stack_of(pool, leaf, NULL), WORLD_NOW);
    assert_int_equal(cache.puts, 0);
}

static X509 *chain_of(int intermediates, int extra, STACK_OF(X509) * *verified,
                      STACK_OF(X509) * *sent)
{
    X509 *leaf = named("leaf", 0);
    int i;

    *verified = stack_of(pool, leaf, NULL);
    *sent = stack_of(pool, NULL);
    for (i = 0; i < intermediates; i++) {
        X509 *x = named("i", extra);
        X509_up_ref(x);
        assert_true(sk_X509_push(*verified, x) > 0);
        X509_up_ref(x);
        assert_true(sk_X509_push(*sent, x) > 0);
    }
    X509_up_ref(leaf);
    assert_true(sk_X509_push(*verified, leaf) > 0);
    return leaf;
}

static void too_many_or_too_large_ones_are_not_remembered(void **state)
{
    STACK_OF(X509) * verified, *sent;
    cache_t cache;
    X509 *leaf;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    leaf = chain_of(MTLS_MAX_REMEMBERED_CERTIFICATES, 0, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), MTLS_MAX_REMEMBERED_CERTIFICATES);
    leaf = chain_of(MTLS_MAX_REMEMBERED_CERTIFICATES + 1, 0, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), -1);
    leaf = chain_of(1, MTLS_MAX_REMEMBERED_BYTES - 1000, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), 1);
    leaf = chain_of(2, MTLS_MAX_REMEMBERED_BYTES - 1000, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), -1);
    leaf = chain_of(1, MTLS_MAX_REMEMBERED_BYTES, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), -1);
}

static void a_record_of_any_size_up_to_the_limit_fits(void **state)
{
    STACK_OF(X509) * verified, *sent;
    cache_t cache;
    X509 *leaf;
    int extra;

    (void)state;
    for (extra = MTLS_MAX_REMEMBERED_BYTES - 420; extra < MTLS_MAX_REMEMBERED_BYTES - 240;
         extra++) {
        cache_init(&cache, pool, WORLD_NOW);
        leaf = chain_of(1, extra, &verified, &sent);
        remember(&cache, verified, sent, WORLD_NOW);
        assert_true(recalled(&cache, leaf) == (cache.puts ? 1 : -1));
    }
}

static void a_record_is_kept_a_day(void **state)
{
    STACK_OF(X509) * verified, *sent;
    cache_t cache;
    X509 *leaf = chain_of(1, 0, &verified, &sent);

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, verified, sent, WORLD_NOW);
    cache.now = WORLD_NOW + WORLD_DAYS - 1;
    assert_int_equal(recalled(&cache, leaf), 1);
    cache.now = WORLD_NOW + WORLD_DAYS;
    assert_int_equal(recalled(&cache, leaf), -1);
}

static void a_fresh_record_is_not_written_again(void **state)
{
    STACK_OF(X509) * verified, *sent;
    apr_time_t hour = apr_time_from_sec(3600);
    cache_t cache;
    int puts;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    (void)chain_of(1, 0, &verified, &sent);
    remember(&cache, verified, sent, WORLD_NOW);
    puts = cache.puts;
    cache.now = WORLD_NOW + 11 * hour;
    remember(&cache, verified, sent, cache.now);
    assert_int_equal(cache.puts, puts);
    cache.now = WORLD_NOW + 13 * hour;
    remember(&cache, verified, sent, cache.now);
    assert_true(cache.puts > puts);
}

static void a_record_of_other_certificates_is_replaced(void **state)
{
    X509 *leaf = named("leaf", 0), *a = named("a", 0), *b = named("b", 0), *root = named("r", 0);
    STACK_OF(X509) * found;
    cache_t cache;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, a, root, NULL), stack_of(pool, a, NULL), WORLD_NOW);
    remember(&cache, stack_of(pool, leaf, b, root, NULL), stack_of(pool, b, NULL), WORLD_NOW);
    found = mtls_recall(&cache.store, pool, sha256_of(leaf));
    assert_non_null(found);
    assert_int_equal(X509_cmp(sk_X509_value(found, 0), b), 0);
    sk_X509_pop_free(found, X509_free);
}

/* ---- the quota ---- */

static void an_anchor_has_no_more_records_than_places(void **state)
{
    X509 *inter = named("i", 0), *root = named("r", 0), *other = named("o", 0);
    STACK_OF(X509) *sent = stack_of(pool, inter, NULL);
    cache_t cache;
    X509 *first = named("first", 0);
    int i;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, first, inter, other, NULL), sent, WORLD_NOW);
    for (i = 0; i < 3 * MTLS_REMEMBERED_PER_ANCHOR; i++)
        remember(&cache, stack_of(pool, named("leaf", 0), inter, root, NULL), sent, WORLD_NOW);
    assert_true(records(&cache) <= MTLS_REMEMBERED_PER_ANCHOR + 1);
    assert_true(records(&cache) > MTLS_REMEMBERED_PER_ANCHOR / 2);
    assert_int_equal(recalled(&cache, first), 1); /* one CA's clients do not push out another's */
}

/* Two leaves of one place: their SHA-256 begin with the same byte, found by trying. */
static void place_mates(X509 **one, X509 **two)
{
    const unsigned char *first;

    *one = named("leaf", 0);
    first = sha256_of(*one);
    do
        *two = named("leaf", 0);
    while (((first[0] << 8 | first[1]) - (sha256_of(*two)[0] << 8 | sha256_of(*two)[1])) %
               MTLS_REMEMBERED_PER_ANCHOR !=
           0);
}

static void a_renewed_record_keeps_its_place(void **state)
{
    X509 *inter = named("i", 0), *root = named("r", 0), *one, *two;
    STACK_OF(X509) *sent = stack_of(pool, inter, NULL);
    apr_time_t hour = apr_time_from_sec(3600);
    cache_t cache;

    (void)state;
    place_mates(&one, &two);
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, stack_of(pool, one, inter, root, NULL), sent, cache.now);
    cache.now += 20 * hour;
    remember(&cache, stack_of(pool, one, inter, root, NULL), sent, cache.now);
    cache.now += 10 * hour;
    assert_int_equal(recalled(&cache, one), 1);
    remember(&cache, stack_of(pool, two, inter, root, NULL), sent, cache.now);
    assert_int_equal(recalled(&cache, two), 1);
    assert_int_equal(recalled(&cache, one), -1);
    assert_int_equal(records(&cache), 1);
}

/* A record nobody would ever push out. */
static void without_its_place_a_record_is_not_written(void **state)
{
    STACK_OF(X509) * verified, *sent;
    cache_t cache;
    X509 *leaf = chain_of(1, 0, &verified, &sent);

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    cache.full = 1;
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), -1);
    assert_int_equal(cache.puts, 1);
    cache.full = 0;
    remember(&cache, verified, sent, WORLD_NOW);
    assert_int_equal(recalled(&cache, leaf), 1);
}

/* ---- what somebody else wrote ---- */

static mtls_span_t key_of(X509 *leaf)
{
    static const char name[] = ":mtls:leaf";
    char *key = apr_palloc(pool, MTLS_DIGEST_BYTES + sizeof(name));

    memcpy(key, sha256_of(leaf), MTLS_DIGEST_BYTES);
    memcpy(key + MTLS_DIGEST_BYTES, name, sizeof(name));
    return mtls_span(key, MTLS_DIGEST_BYTES + sizeof(name) - 1);
}

static void write_record(cache_t *cache, X509 *leaf, const void *data, unsigned int len)
{
    assert_int_equal(
        cache->store.put(cache, key_of(leaf), mtls_span(data, len), WORLD_NOW + WORLD_DAYS), 1);
}

static void a_record_cut_anywhere_is_no_record(void **state)
{
    STACK_OF(X509) * verified, *sent;
    X509 *leaf = chain_of(2, 0, &verified, &sent);
    mtls_span_t whole;
    unsigned int len, ok = 0;
    cache_t cache;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    remember(&cache, verified, sent, WORLD_NOW);
    whole = cache_entry(&cache, key_of(leaf));
    assert_true(whole.len > 0);
    for (len = 0; len < whole.len; len++) {
        int n;
        write_record(&cache, leaf, whole.data, len);
        n = recalled(&cache, leaf);
        ok += n > 0;
        assert_true(n == -1 || n == 0 || n == 1); /* 1: cut between the two */
    }
    assert_int_equal(ok, 1);
}

static const struct record_row {
    const char *name;
    const char *data;
    unsigned int len;
} bad_records[] = {
    {"record: empty", "", 0},
    {"record: another format", "x\0\0\0\0", 5},
    {"record: half a header", "i\0\0", 3},
    {"record: half a length", "i\0\0\0\0\0\0", 7},
    {"record: length beyond the end", "i\0\0\0\0\0\0\5\x30\x03", 10},
    {"record: largest length", "i\0\0\0\0\xff\xff\xff\x30\x03", 10},
    {"record: length of nothing", "i\0\0\0\0\0\0\0", 8},
    {"record: no DER", "i\0\0\0\0\0\0\2\xff\xff", 10},
    {"record: DER of something else", "i\0\0\0\0\0\0\3\x02\x01\x05", 11},
};

static void record_case(void **state)
{
    const struct record_row *row = *state;
    X509 *leaf = named("leaf", 0);
    cache_t cache;

    cache_init(&cache, pool, WORLD_NOW);
    write_record(&cache, leaf, row->data, row->len);
    assert_int_equal(recalled(&cache, leaf), -1);
}

static unsigned int add_record(unsigned char *record, unsigned int used, mtls_span_t der, int more)
{
    unsigned int len = (unsigned int)der.len + (unsigned int)more;

    record[used] = (unsigned char)(len >> 16);
    record[used + 1] = (unsigned char)(len >> 8);
    record[used + 2] = (unsigned char)len;
    memcpy(record + used + 3, der.data, der.len);
    return used + 3 + len;
}

static void bytes_behind_a_certificate_or_too_many_are_refused(void **state)
{
    X509 *leaf = named("leaf", 0), *inter = named("i", 0);
    mtls_span_t der = certificate_der(pool, inter);
    unsigned char *record = apr_pcalloc(pool, MTLS_MAX_REMEMBERED_BYTES);
    unsigned int used = 5;
    cache_t cache;
    int i;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    record[0] = 'i';
    write_record(&cache, leaf, record, add_record(record, 5, der, 0));
    assert_int_equal(recalled(&cache, leaf), 1);
    write_record(&cache, leaf, record, add_record(record, 5, der, 1));
    assert_int_equal(recalled(&cache, leaf), -1);
    for (i = 0; i <= MTLS_MAX_REMEMBERED_CERTIFICATES; i++)
        used = add_record(record, used, der, 0);
    write_record(&cache, leaf, record, used);
    assert_int_equal(recalled(&cache, leaf), -1);
}

static int claims_more(void *baton, mtls_span_t key, unsigned char *data, unsigned int *len)
{
    (void)baton;
    (void)key;
    memset(data, 'i', *len);
    *len += 1;
    return 1;
}

static void a_cache_that_claims_more_than_fits_is_not_believed(void **state)
{
    cache_t cache;

    (void)state;
    cache_init(&cache, pool, WORLD_NOW);
    cache.store.get = claims_more;
    assert_int_equal(recalled(&cache, named("leaf", 0)), -1);
}

/* ---- PEM files ---- */

static const char *read_pem(const char *text, apr_size_t len, int *n)
{
    apr_array_header_t *out = apr_array_make(pool, 2, sizeof(X509 *));
    const char *error = mtls_pem_certificates(pool, mtls_span(text, len), out);

    *n = out->nelts;
    assert_int_equal(ERR_peek_error(), 0);
    return error;
}

static const char *pem_of(const char *cn)
{
    return certificate_pem(pool, named(cn, 0)).data;
}

#define BEGIN(type) "-----BEGIN " type "-----\n"
#define END(type)   "-----END " type "-----\n"

static const struct pem_row {
    const char *name;
    const char *before; /* a certificate */
    const char *behind; /* it, and then the text behind */
    int n;
    const char *words;
} pems[] = {
    {"PEM: one", "", "", 1, NULL},
    {"PEM: text around", "Subject: x\n\n", "\nthe end\n", 1, NULL},
    {"PEM: private key before", BEGIN("PRIVATE KEY") "MAA=\n" END("PRIVATE KEY"), "", 0,
     "PRIVATE KEY|only certificates"},
    {"PEM: private key behind", "", BEGIN("EC PRIVATE KEY") "MAA=\n" END("EC PRIVATE KEY"), 0,
     "EC PRIVATE KEY"},
    {"PEM: CRL behind", "", BEGIN("X509 CRL") "MAA=\n" END("X509 CRL"), 0, "X509 CRL"},
    {"PEM: trusted certificate", "",
     BEGIN("TRUSTED CERTIFICATE") "MAA=\n" END("TRUSTED CERTIFICATE"), 0, "TRUSTED CERTIFICATE"},
    {"PEM: DER that is none", "", BEGIN("CERTIFICATE") "MAA=\n" END("CERTIFICATE"), 0,
     "certificate 2 cannot be read"},
    {"PEM: empty block", "", BEGIN("CERTIFICATE") END("CERTIFICATE"), 0, "2"},
    {"PEM: no base64", "", BEGIN("CERTIFICATE") "????\n" END("CERTIFICATE"), 0,
     "block 2 is damaged"},
    {"PEM: no end", "", BEGIN("CERTIFICATE") "MAA=\n", 0, "block 2 is damaged"},
    {"PEM: another end", "", BEGIN("CERTIFICATE") "MAA=\n" END("X509 CRL"), 0,
     "block 2 is damaged"},
    {"PEM: begin only", "", BEGIN("CERTIFICATE"), 0, "block 2 is damaged"},
};

static void pem_case(void **state)
{
    const struct pem_row *row = *state;
    const char *text = apr_pstrcat(pool, row->before, pem_of("x"), row->behind, NULL);
    int n;

    assert_message(read_pem(text, strlen(text), &n), row->words);
    if (!row->words)
        assert_int_equal(n, row->n);
}

static void files_without_a_certificate_are_refused(void **state)
{
    int n;

    (void)state;
    assert_message(read_pem("", 0, &n), "holds no certificate");
    assert_message(read_pem("hello\n", 6, &n), "holds no certificate");
    assert_message(read_pem("\0\0\0\0", 4, &n), "holds no certificate");
    assert_message(read_pem("\x30\x82\x01\x01", 4, &n), "holds no certificate");
}

static void bytes_behind_the_der_are_refused(void **state)
{
    mtls_span_t der = certificate_der(pool, named("x", 0));
    unsigned char *more = apr_pcalloc(pool, der.len + 1);
    char *text = apr_palloc(pool, 2 * der.len);
    int n;

    (void)state;
    memcpy(more, der.data, der.len);
    (void)EVP_EncodeBlock((unsigned char *)text, more, (int)der.len + 1);
    text = apr_pstrcat(pool, BEGIN("CERTIFICATE"), text, "\n", END("CERTIFICATE"), NULL);
    assert_message(read_pem(text, strlen(text), &n), "certificate 1 cannot be read");
}

static void several_certificates_come_in_order(void **state)
{
    const char *text = apr_pstrcat(pool, pem_of("x"), pem_of("y"), pem_of("z"), NULL);
    apr_array_header_t *out = apr_array_make(pool, 2, sizeof(X509 *));
    char cn[16];

    (void)state;
    assert_null(mtls_pem_certificates(pool, mtls_span_of(text), out));
    assert_int_equal(out->nelts, 3);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(APR_ARRAY_IDX(out, 2, X509 *)),
                                          NID_commonName, cn, sizeof(cn)) == 1);
    assert_string_equal(cn, "z");
}

static void crlf_is_a_line_end_too(void **state)
{
    const char *from = pem_of("x");
    char *text = apr_palloc(pool, 2 * strlen(from) + 1), *at = text;
    int n;

    (void)state;
    for (; *from; from++) {
        if (*from == '\n')
            *at++ = '\r';
        *at++ = *from;
    }
    assert_message(read_pem(text, (apr_size_t)(at - text), &n), NULL);
    assert_int_equal(n, 1);
}

/* A file that is being written: whatever of the second certificate is missing, it is no file of
 * one. */
static void a_half_written_file_is_refused(void **state)
{
    const char *first = pem_of("x");
    const char *text = apr_pstrcat(pool, first, pem_of("y"), NULL);
    apr_size_t len, whole = strlen(text), one = strlen(first);
    int n;

    (void)state;
    for (len = 0; len < one - 1; len++)
        assert_non_null(read_pem(text, len, &n));
    for (len = one + strlen("-----BEGIN "); len < whole - 1; len++) {
        if (!read_pem(text, len, &n))
            fail_msg("%lu of %lu bytes were taken for a whole file of %d", (unsigned long)len,
                     (unsigned long)whole, n);
    }
    assert_null(read_pem(text, whole, &n));
    assert_int_equal(n, 2);
}

int main(void)
{
    SUITE_CASE(intermediates_come_back_for_their_leaf_only);
    SUITE_CASE(only_what_the_client_alone_had_is_remembered);
    SUITE_CASE(too_many_or_too_large_ones_are_not_remembered);
    SUITE_CASE(a_record_of_any_size_up_to_the_limit_fits);
    SUITE_CASE(a_record_is_kept_a_day);
    SUITE_CASE(a_fresh_record_is_not_written_again);
    SUITE_CASE(a_record_of_other_certificates_is_replaced);
    SUITE_CASE(an_anchor_has_no_more_records_than_places);
    SUITE_CASE(a_renewed_record_keeps_its_place);
    SUITE_CASE(without_its_place_a_record_is_not_written);
    SUITE_CASE(a_record_cut_anywhere_is_no_record);
    SUITE_TABLE(record_case, bad_records);
    SUITE_CASE(bytes_behind_a_certificate_or_too_many_are_refused);
    SUITE_CASE(a_cache_that_claims_more_than_fits_is_not_believed);
    SUITE_TABLE(pem_case, pems);
    SUITE_CASE(files_without_a_certificate_are_refused);
    SUITE_CASE(bytes_behind_the_der_are_refused);
    SUITE_CASE(several_certificates_come_in_order);
    SUITE_CASE(crlf_is_a_line_end_too);
    SUITE_CASE(a_half_written_file_is_refused);
    return suite_run("stored", 37);
}
