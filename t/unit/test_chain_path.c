/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/chain_path: the certificates of a verified chain, found again. */

#include "shelf.h"

#include "pki/chain_path.h"

static apr_status_t free_stack(void *stack)
{
    sk_X509_pop_free(stack, X509_free);
    return APR_SUCCESS;
}

static STACK_OF(X509) * path_of(X509 *leaf, STACK_OF(X509) * sent, const mtls_chain_t *chain)
{
    STACK_OF(X509) *path = mtls_chain_path(shelf_store(), leaf, sent, chain);

    if (path)
        apr_pool_cleanup_register(pool, path, free_stack, apr_pool_cleanup_null);
    return path;
}

static void assert_path(const STACK_OF(X509) * path, X509 *leaf, X509 *issuer, X509 *anchor)
{
    X509 *expected[] = {leaf, issuer, anchor};
    int i, n = anchor ? 3 : 2;

    assert_non_null(path);
    assert_int_equal(sk_X509_num(path), n);
    for (i = 0; i < n; i++)
        assert_int_equal(X509_cmp(sk_X509_value(path, i), expected[i]), 0);
}

static void configured_certificates_are_found(void **state)
{
    mtls_chain_result_t result;

    (void)state;
    shelf_begin_loaded("anchor root.pem other.pem\nintermediate other-inter.pem inter.pem");
    result = shelf_verify(pki.leaf);
    assert_path(path_of(pki.leaf, NULL, result.chain), pki.leaf, pki.inter.x, pki.root.x);
    result = shelf_verify(pki.direct);
    assert_path(path_of(pki.direct, NULL, result.chain), pki.direct, pki.root.x, NULL);
}

static void what_a_client_sent_is_found_only_there(void **state)
{
    mtls_chain_result_t result;
    STACK_OF(X509) * sent;

    (void)state;
    shelf_begin_loaded("anchor root.pem");
    sent = stack_of(pool, pki.other_inter.x, pki.inter.x, NULL);
    result = shelf_verify_with(pki.leaf, pki.inter.x, WORLD_NOW);
    assert_int_equal(result.reason, MTLS_OK);
    assert_path(path_of(pki.leaf, sent, result.chain), pki.leaf, pki.inter.x, pki.root.x);
    assert_null(path_of(pki.leaf, NULL, result.chain));
    assert_null(path_of(pki.leaf, stack_of(pool, pki.other_inter.x, NULL), result.chain));
}

/* The renewed CA has the same name and another key: only the digest tells them apart. */
static void a_certificate_of_the_same_name_is_another(void **state)
{
    mtls_chain_result_t result;

    (void)state;
    shelf_begin_loaded("anchor root.pem\nintermediate renewed.pem inter.pem");
    result = shelf_verify(pki.leaf);
    assert_int_equal(result.reason, MTLS_OK);
    assert_path(path_of(pki.leaf, NULL, result.chain), pki.leaf, pki.inter.x, pki.root.x);
    result = shelf_verify(pki.renewed_leaf);
    assert_path(path_of(pki.renewed_leaf, NULL, result.chain), pki.renewed_leaf, pki.renewed.x,
                pki.root.x);
}

static void one_that_has_gone_meanwhile_leaves_nothing(void **state)
{
    const mtls_chain_t *chain;

    (void)state;
    shelf_begin_loaded("anchor root.pem other.pem\nintermediate inter.pem");
    chain = mtls_chain_copy(pool, shelf_verify(pki.leaf).chain);
    assert_non_null(path_of(pki.leaf, NULL, chain));
    shelf_begin_loaded("anchor other.pem\nintermediate inter.pem");
    assert_null(path_of(pki.leaf, NULL, chain));
    shelf_begin_loaded("anchor root.pem\nintermediate other-inter.pem");
    assert_null(path_of(pki.leaf, NULL, chain));
}

static void an_allowed_certificate_has_a_path_of_itself(void **state)
{
    mtls_chain_result_t result;
    STACK_OF(X509) * path;

    (void)state;
    shelf_begin_loaded("allow device.pem");
    result = shelf_verify(pki.device);
    path = path_of(pki.device, NULL, result.chain);
    assert_non_null(path);
    assert_int_equal(sk_X509_num(path), 1);
}

/* ---- certificates of responders ---- */

static void responders_are_no_part_of_chains(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem\nresponder inter.pem leaf.pem");
    assert_int_equal(sk_X509_num(shelf_store()->responders), 2);
    assert_verdicts("leaf: chain_incomplete, leaf+: ok, direct: ok");
    shelf_begin_loaded("anchor other.pem\nresponder root.pem");
    assert_verdicts("direct: chain_incomplete");
    shelf_begin_loaded("anchor root.pem");
    assert_int_equal(sk_X509_num(shelf_store()->responders), 0);
}

static void responders_alone_make_no_store(void **state)
{
    (void)state;
    shelf_begin("responder root.pem");
    assert_message(shelf_load(), "no trust anchor");
}

static void responders_are_read_again(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem\nresponder inter.pem");
    shelf_put("inter.pem", pem_of(pki.leaf));
    assert_null(shelf_load());
    assert_int_equal(X509_cmp(sk_X509_value(shelf_store()->responders, 0), pki.leaf), 0);
    shelf_put_text("inter.pem", "nothing");
    shelf_load();
    assert_int_equal(X509_cmp(sk_X509_value(shelf_store()->responders, 0), pki.leaf), 0);
}

int main(void)
{
    SUITE_CASE(configured_certificates_are_found);
    SUITE_CASE(what_a_client_sent_is_found_only_there);
    SUITE_CASE(a_certificate_of_the_same_name_is_another);
    SUITE_CASE(one_that_has_gone_meanwhile_leaves_nothing);
    SUITE_CASE(an_allowed_certificate_has_a_path_of_itself);
    SUITE_CASE(responders_are_no_part_of_chains);
    SUITE_CASE(responders_alone_make_no_store);
    SUITE_CASE(responders_are_read_again);
    return suite_run("chain path", 8);
}
