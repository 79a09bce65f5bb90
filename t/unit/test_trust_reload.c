/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/trust_store: the next version, when files have changed, and the first one after a restart. */

#include "shelf.h"

/* ---- the next version ---- */

/* What is in force, so that a case can tell whether something else is. */
static apr_uint64_t serial(void)
{
    return mtls_live_serial(shelf_live());
}

/* A load that goes well and brings a new version, or none. */
static void load_new(void)
{
    apr_uint64_t before = serial();

    assert_message(shelf_load(), NULL);
    assert_true(serial() > before);
}

static void load_nothing(void)
{
    apr_uint64_t before = serial();

    assert_message(shelf_load(), NULL);
    assert_int_equal(serial(), before);
}

static X509 *ca_at(const X509 *like)
{
    const STACK_OF(X509) *cas = mtls_trust_store_cas(shelf_store());
    int i;

    for (i = 0; i < sk_X509_num(cas); i++) {
        if (X509_cmp(sk_X509_value(cas, i), like) == 0)
            return sk_X509_value(cas, i);
    }
    return NULL;
}

static X509_CRL *crl_at(const issuer_t *issuer)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(shelf_store()->certificates);
    int i;

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
        if (crl && X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer->x)) == 0)
            return crl;
    }
    return NULL;
}

static void what_has_not_changed_is_not_read_again(void **state)
{
    int i, reads;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\nallow device.pem\ncrl root.crl inter.crl");
    reads = shelf_reads("root.pem") + shelf_reads("inter.crl") + shelf_reads("device.pem");
    assert_int_equal(reads, 3);
    for (i = 0; i < 3; i++)
        load_nothing();
    assert_int_equal(shelf_reads("root.pem") + shelf_reads("inter.crl") + shelf_reads("device.pem"),
                     reads);
    assert_verdicts("leaf: ok, revoked: revoked_crl, device: ok");
}

static void a_change_reads_one_file_and_shares_the_rest(void **state)
{
    X509 *root, *inter;
    X509_CRL *crl, *of_root;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\nallow device.pem\ncrl root.crl inter.crl");
    root = ca_at(pki.root.x);
    inter = ca_at(pki.inter.x);
    crl = crl_at(&pki.inter);
    of_root = crl_at(&pki.root);
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    load_new();
    assert_int_equal(shelf_reads("inter.crl"), 2);
    assert_int_equal(shelf_reads("root.crl") + shelf_reads("root.pem") + shelf_reads("inter.pem") +
                         shelf_reads("device.pem"),
                     4);
    assert_ptr_equal(ca_at(pki.root.x), root);
    assert_ptr_equal(ca_at(pki.inter.x), inter);
    assert_ptr_equal(crl_at(&pki.root), of_root);
    assert_ptr_not_equal(crl_at(&pki.inter), crl);
    assert_verdicts("leaf: revoked_crl, revoked: ok, device: ok");
    shelf_put("root.crl", list_of(&pki.root, NULL));
    load_new(); /* also what was taken over before is not read again */
    assert_int_equal(shelf_reads("inter.crl") + shelf_reads("root.crl"), 4);
    assert_int_equal(shelf_reads("root.pem") + shelf_reads("inter.pem") + shelf_reads("device.pem"),
                     3);
    assert_ptr_equal(ca_at(pki.inter.x), inter);
}

/* The result was cached, and is the old version's. */
static void a_new_version_begins_with_an_empty_cache(void **state)
{
    int i;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    for (i = 0; i < 3; i++)
        assert_verdicts("leaf: ok, revoked: revoked_crl");
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    load_new();
    for (i = 0; i < 3; i++)
        assert_verdicts("leaf: revoked_crl, revoked: ok");
}

static void a_reader_keeps_the_version_it_began_with(void **state)
{
    const mtls_version_t *old;
    mtls_chain_result_t result;
    int i;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    old = mtls_live_take(shelf_live());
    for (i = 0; i < 3; i++) { /* the pieces go from version to version */
        shelf_put("inter.crl", list_of(&pki.inter, i % 2 ? "2002" : "1001"));
        shelf_put("root.pem", pem_of(pki.root.x));
        load_new();
    }
    assert_verdicts("leaf: revoked_crl, revoked: ok");
    mtls_chain_verify(pool, old->data, &(mtls_chain_ask_t){.leaf = pki.leaf, .now = WORLD_NOW},
                      &result);
    assert_string_equal(mtls_reason_token(result.reason), "ok");
    mtls_chain_verify(pool, old->data, &(mtls_chain_ask_t){.leaf = pki.revoked, .now = WORLD_NOW},
                      &result);
    assert_string_equal(mtls_reason_token(result.reason), "revoked_crl");
    mtls_live_give_back(shelf_live(), old);
    assert_verdicts("leaf: revoked_crl, revoked: ok");
}

/* What a file can be while it is written, or by mistake. NULL: it is not there. */
static const struct broken_row {
    const char *name;
    const char *file; /* of the shelf, which takes its place; NULL: none */
    const char *words;
} brokens[] = {
    {"broken: missing", NULL, "No such file"},        {"broken: empty", "empty.pem", "is empty"},
    {"broken: words", "words.pem", "no certificate"}, {"broken: cut off", "cut.pem", "PEM"},
    {"broken: half a bundle", "half.pem", "PEM"},     {"broken: a key", "key.pem", "PRIVATE KEY"},
};

static void put_broken(const char *path, const struct broken_row *row)
{
    mtls_span_t bundle = shelf_text("bundle.pem");

    shelf_put("half.pem", mtls_span(bundle.data, bundle.len / 2));
    if (row->file)
        shelf_put(path, shelf_text(row->file));
    else
        shelf_take_away(path);
}

/* Each file keeps its own last good version, while another one's change counts. */
static void broken_case(void **state)
{
    static const char *const paths[] = {"other.pem", "other-inter.pem", "device.pem", "inter.crl"};
    const struct broken_row *row = *state;
    apr_uint64_t before;
    size_t i;

    for (i = 0; i < ROWS(paths); i++) {
        shelf_begin_loaded(
            "anchor other.pem root.pem inter.pem\nintermediate other-inter.pem\n"
            "allow device.pem\ncrl root.crl inter.crl other.crl\ncheck leaf missing-ok");
        put_broken(paths[i], row);
        before = serial();
        load_nothing();
        assert_int_equal(serial(), before);
        assert_message(shelf_error(paths[i]), i == 3 ? paths[i] : row->words);
        assert_null(shelf_error("root.pem"));
        assert_verdicts("leaf: ok, revoked: revoked_crl, stranger: ok, device: ok, direct: ok");
        shelf_put("root.crl", list_of(&pki.root, "3003"));
        load_new();
        assert_int_equal(serial(), before + 1);
        assert_message(shelf_error(paths[i]), paths[i]); /* and it is still told */
        assert_verdicts("leaf: ok, revoked: revoked_crl, stranger: ok, device: ok, "
                        "direct: revoked_crl");
    }
}

static void a_file_that_is_good_again_counts(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    shelf_put_text("inter.crl", "");
    load_nothing();
    load_nothing(); /* told, and not read again and again */
    assert_int_equal(shelf_reads("inter.crl"), 2);
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    load_new();
    assert_null(shelf_error("inter.crl"));
    assert_verdicts("leaf: revoked_crl, revoked: ok");
}

/* Also when it is the same again as what is in force. */
static void a_file_that_comes_back_as_it_was_is_no_longer_told(void **state)
{
    mtls_span_t text;

    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    text = shelf_text("inter.crl");
    shelf_take_away("inter.crl");
    load_nothing();
    assert_message(shelf_error("inter.crl"), "inter.crl|No such file");
    shelf_put("inter.crl", text);
    assert_message(shelf_load(), NULL);
    assert_null(shelf_error("inter.crl"));
    assert_verdicts("leaf: ok, revoked: revoked_crl");
}

static void a_leaf_in_place_of_a_root_changes_nothing(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem other.pem\nintermediate other-inter.pem");
    shelf_put("other.pem", pem_of(pki.leaf));
    load_nothing();
    assert_message(shelf_error("other.pem"), "other.pem|no CA");
    assert_verdicts("leaf: ok, stranger: ok");
}

/* ---- folders ---- */

static void what_appears_in_a_folder_counts(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor folder/");
    assert_verdicts("leaf: ok, mute+: ok, stranger: chain_incomplete");
    shelf_put("folder/other-inter.pem", pem_of(pki.other_inter.x));
    load_new();
    assert_int_equal(shelf_reads("folder/root.pem"), 1);
    assert_verdicts("leaf: ok, stranger: ok");
}

static void a_folder_loses_an_anchor(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor folder/\nintermediate other-inter.pem");
    assert_verdicts("leaf: ok, direct: ok, stranger: ok");
    shelf_take_away("folder/other.pem");
    load_new();
    assert_int_equal(shelf_reads("folder/root.pem"), 1);
    assert_verdicts("leaf: ok, direct: ok, stranger: chain_incomplete");
    shelf_put("folder/other.pem", pem_of(pki.other.x));
    load_new();
    assert_verdicts("leaf: ok, direct: ok, stranger: ok");
}

static void a_folder_loses_an_allowed_certificate(void **state)
{
    (void)state;
    shelf_begin("anchor root.pem\nallow devices/");
    shelf_put("devices/1.pem", pem_of(pki.device));
    shelf_put("devices/2.pem", pem_of(pki.device_twin));
    assert_message(shelf_load(), NULL);
    assert_verdicts("device: ok, device-twin: ok");
    shelf_take_away("devices/1.pem");
    load_new();
    assert_verdicts("device: chain_weak, device-twin: ok");
}

/* One comes as another goes, and the number of files stays the same. */
static void a_folder_loses_one_and_gets_another(void **state)
{
    (void)state;
    shelf_begin("anchor root.pem\nallow devices/");
    shelf_put("devices/1.pem", pem_of(pki.device));
    assert_message(shelf_load(), NULL);
    shelf_take_away("devices/1.pem");
    shelf_put("devices/2.pem", pem_of(pki.device_twin));
    load_new();
    assert_verdicts("device: chain_weak, device-twin: ok");
}

/* One goes as a broken one comes: the number of names stays the same. */
static void a_folder_loses_one_and_gets_a_broken_one(void **state)
{
    (void)state;
    shelf_begin("anchor root.pem\nallow devices/");
    shelf_put("devices/1.pem", pem_of(pki.device));
    shelf_put("devices/2.pem", pem_of(pki.device_twin));
    assert_message(shelf_load(), NULL);
    shelf_take_away("devices/1.pem");
    shelf_put_text("devices/3.pem", "");
    load_new();
    assert_message(shelf_error("devices/3.pem"), "devices/3.pem|is empty");
    assert_verdicts("device: chain_weak, device-twin: ok");
}

static void the_last_anchor_does_not_go(void **state)
{
    apr_uint64_t before;

    (void)state;
    shelf_begin("anchor anchors/");
    shelf_put("anchors/inter.pem", pem_of(pki.inter.x));
    shelf_put("anchors/root.pem", pem_of(pki.root.x));
    assert_message(shelf_load(), NULL);
    before = serial();
    shelf_take_away("anchors/root.pem");
    assert_message(shelf_load(), "no trust anchor");
    assert_int_equal(serial(), before);
    assert_verdicts("leaf: ok, direct: ok");
}

static void a_new_broken_file_is_skipped_while_the_server_runs(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor folder/\ncrl root.crl inter.crl");
    shelf_put_text("folder/new.pem", "garbage");
    load_nothing();
    assert_message(shelf_error("folder/new.pem"), "MTLSAnchor|folder/new.pem|no certificate");
    load_nothing();
    assert_int_equal(shelf_reads("folder/new.pem"), 1); /* told, and not read again */
    assert_verdicts("leaf: ok, revoked: revoked_crl");
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    load_new();
    assert_int_equal(shelf_reads("folder/new.pem"), 1);
    assert_message(shelf_error("folder/new.pem"), "folder/new.pem");
    assert_verdicts("leaf: revoked_crl, revoked: ok, stranger: chain_incomplete");
    shelf_put("folder/new.pem", pem_of(pki.other_inter.x));
    load_new();
    assert_null(shelf_error("folder/new.pem"));
    assert_verdicts("leaf: revoked_crl, stranger+: crl_unavailable");
}

static void a_new_broken_file_fails_at_the_first_start(void **state)
{
    (void)state;
    shelf_begin("anchor folder/");
    shelf_put_text("folder/new.pem", "garbage");
    assert_message(shelf_load(), "MTLSAnchor|folder/new.pem|no certificate");
    assert_int_equal(serial(), 0);
}

/* ---- a CA and its list change, one after the other ---- */

static void a_ca_and_its_list_change_in_this_order(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    shelf_put("inter.pem", pem_of(pki.renewed.x));
    load_new(); /* what the old key has signed is not proved by the new one */
    assert_verdicts("renewed: crl_unavailable, leaf: chain_untrusted");
    shelf_put("inter.crl", list_of(&pki.renewed, "4004"));
    load_new();
    assert_verdicts("renewed: ok, renewed-revoked: revoked_crl, leaf: chain_untrusted");
}

/* The list was refused for want of the key that has signed it. Now that key is there, and the list
 * has not changed since. */
static void a_list_and_its_ca_change_in_this_order(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    shelf_put("inter.crl", list_of(&pki.renewed, "4004"));
    load_nothing();
    assert_message(shelf_error("inter.crl"), "inter.crl|I101L|signature");
    assert_verdicts("leaf: ok, revoked: revoked_crl");
    shelf_put("inter.pem", pem_of(pki.renewed.x));
    load_new();
    assert_null(shelf_error("inter.crl"));
    assert_verdicts("renewed: ok, renewed-revoked: revoked_crl, leaf: chain_untrusted");
}

static void a_ca_and_its_list_change_at_once(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    shelf_put("inter.crl", list_of(&pki.renewed, "4004"));
    shelf_put("inter.pem", pem_of(pki.renewed.x));
    load_new();
    assert_verdicts("renewed: ok, renewed-revoked: revoked_crl, leaf: chain_untrusted");
}

/* ---- loads that come to nothing ---- */

/* A part that is bad as a whole stays as it was, and does not hold up the others. */
static void a_list_counts_while_the_anchors_are_no_good(void **state)
{
    (void)state;
    shelf_begin(
        "anchor anchors/\nintermediate inter.pem\nallow device.pem\ncrl root.crl inter.crl");
    shelf_put("anchors/root.pem", pem_of(pki.root.x));
    assert_message(shelf_load(), NULL);
    shelf_put("anchors/root.pem", pem_of(pki.inter.x));
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    shelf_configure("anchor anchors/\nintermediate inter.pem\ncrl root.crl inter.crl");
    assert_message(shelf_load(), "no trust anchor");
    assert_verdicts("leaf: revoked_crl, revoked: ok");
    assert_message(shelf_load(), "no trust anchor"); /* and nothing is lost by looking again */
    assert_verdicts("leaf: revoked_crl, revoked: ok");
    shelf_put("inter.crl", list_of(&pki.inter, NULL));
    assert_message(shelf_load(), "no trust anchor");
    assert_verdicts("leaf: ok, revoked: ok");
    shelf_put("anchors/root.pem", pem_of(pki.root.x));
    load_new();
    assert_verdicts("leaf: ok, revoked: ok");
}

static void a_load_that_was_dropped_has_read_nothing(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\nallow device.pem\ncrl root.crl inter.crl");
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    shelf_put("device.pem", pem_of(pki.device_twin));
    shelf_load_in_vain();
    assert_verdicts("leaf: ok, revoked: revoked_crl, device: ok");
    load_new();
    assert_verdicts("leaf: revoked_crl, revoked: ok, device: chain_weak, device-twin: ok");
}

/* A new file, which the version in force does not have. */
static void a_new_file_counts_after_a_load_that_was_dropped(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor folder/");
    shelf_put("folder/other-inter.pem", pem_of(pki.other_inter.x));
    shelf_load_in_vain();
    assert_verdicts("stranger: chain_incomplete");
    load_new();
    assert_verdicts("stranger: ok, leaf: ok");
}

/* ---- a restart ---- */

static void a_restart_falls_back_on_the_last_good_version(void **state)
{
    const struct broken_row *row = *state;

    shelf_begin_loaded("anchor root.pem inter.pem\nallow device.pem\ncrl root.crl inter.crl");
    shelf_keep("inter.pem");
    shelf_keep("device.pem");
    shelf_keep("inter.crl");
    put_broken("inter.pem", row);
    put_broken("device.pem", row);
    put_broken("inter.crl", row);
    shelf_restart();
    load_new();
    assert_message(shelf_error("inter.pem"), "inter.pem");
    assert_message(shelf_error("device.pem"), "device.pem");
    assert_message(shelf_error("inter.crl"), "inter.crl");
    assert_null(shelf_error("root.pem"));
    assert_verdicts("leaf: ok, revoked: revoked_crl, device: ok");
    load_nothing();
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    load_new();
    assert_verdicts("leaf: revoked_crl, revoked: ok, device: ok");
}

static void a_restart_reads_what_is_good(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem\ncrl root.crl inter.crl");
    shelf_keep("inter.crl");
    shelf_put("inter.crl", list_of(&pki.inter, "1001"));
    shelf_restart();
    load_new();
    assert_null(shelf_error("inter.crl"));
    assert_verdicts("leaf: revoked_crl, revoked: ok");
}

static void a_restart_fails_without_a_last_good_version(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem");
    shelf_put_text("inter.pem", "");
    shelf_restart();
    assert_message(shelf_load(), "MTLSAnchor|inter.pem|is empty");
    assert_int_equal(serial(), 0);
}

/* It was good for another configuration: as a CA, not as a list; or its issuer is another now. */
static void a_last_good_version_that_does_not_fit_is_none(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor root.pem inter.pem");
    shelf_keep("inter.pem");
    shelf_configure("anchor root.pem\ncrl inter.pem");
    shelf_put_text("inter.pem", "");
    shelf_restart();
    assert_message(shelf_load(), "MTLSCRL|inter.pem|is empty");
    assert_int_equal(serial(), 0);
}

static void a_restart_skips_a_new_broken_file_of_a_folder(void **state)
{
    (void)state;
    shelf_begin_loaded("anchor folder/");
    shelf_put_text("folder/new.pem", "garbage");
    shelf_restart();
    load_new();
    assert_message(shelf_error("folder/new.pem"), "folder/new.pem|no certificate");
    assert_verdicts("leaf: ok, direct: ok");
}

int main(void)
{
    SUITE_CASE(what_has_not_changed_is_not_read_again);
    SUITE_CASE(a_change_reads_one_file_and_shares_the_rest);
    SUITE_CASE(a_new_version_begins_with_an_empty_cache);
    SUITE_CASE(a_reader_keeps_the_version_it_began_with);
    SUITE_TABLE(broken_case, brokens);
    SUITE_CASE(a_file_that_is_good_again_counts);
    SUITE_CASE(a_file_that_comes_back_as_it_was_is_no_longer_told);
    SUITE_CASE(a_leaf_in_place_of_a_root_changes_nothing);
    SUITE_CASE(what_appears_in_a_folder_counts);
    SUITE_CASE(a_folder_loses_an_anchor);
    SUITE_CASE(a_folder_loses_an_allowed_certificate);
    SUITE_CASE(a_folder_loses_one_and_gets_another);
    SUITE_CASE(a_folder_loses_one_and_gets_a_broken_one);
    SUITE_CASE(the_last_anchor_does_not_go);
    SUITE_CASE(a_new_broken_file_is_skipped_while_the_server_runs);
    SUITE_CASE(a_new_broken_file_fails_at_the_first_start);
    SUITE_CASE(a_ca_and_its_list_change_in_this_order);
    SUITE_CASE(a_list_and_its_ca_change_in_this_order);
    SUITE_CASE(a_ca_and_its_list_change_at_once);
    SUITE_CASE(a_list_counts_while_the_anchors_are_no_good);
    SUITE_CASE(a_load_that_was_dropped_has_read_nothing);
    SUITE_CASE(a_new_file_counts_after_a_load_that_was_dropped);
    SUITE_TABLE(a_restart_falls_back_on_the_last_good_version, brokens);
    SUITE_CASE(a_restart_reads_what_is_good);
    SUITE_CASE(a_restart_fails_without_a_last_good_version);
    SUITE_CASE(a_last_good_version_that_does_not_fit_is_none);
    SUITE_CASE(a_restart_skips_a_new_broken_file_of_a_folder);
    return suite_run("trust_reload", 37);
}
