/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "shelf.h"

#include <stdlib.h>

#include <apr_hash.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/x509_facts.h"

/* ---- a shelf of files, and the environment the server makes of its own ---- */

typedef struct file_t {
    const char *path;
    mtls_span_t text;   /* NULL: it cannot be read */
    apr_uint64_t state; /* another one whenever something is put there */
    int reads;
} file_t;

/* How a load has found a file. */
typedef struct entry_t {
    apr_uint64_t state;
    const char *error;
} entry_t;

typedef struct shelf_t {
    mtls_parse_env_t env;
    apr_hash_t *files;         /* path -> file_t */
    apr_hash_t *seen, *look;   /* path -> entry_t: by the last load, by this one */
    apr_hash_t *kept;          /* path -> mtls_span_t: what was good before a restart */
    apr_array_header_t *names; /* paths */
    apr_array_header_t *warnings;
    mtls_trust_spec_t spec;
    mtls_live_t *live;
    apr_uint64_t states;
    int again; /* the server has run before */
} shelf_t;

static shelf_t shelf;

static file_t *file_at(const char *path)
{
    return apr_hash_get(shelf.files, path, APR_HASH_KEY_STRING);
}

mtls_span_t shelf_text(const char *path)
{
    return file_at(path)->text;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void shelf_put(const char *path, mtls_span_t text)
{
    file_t *file = file_at(path);

    if (!file) {
        file = apr_pcalloc(pool, sizeof(*file));
        file->path = apr_pstrdup(pool, path);
        apr_hash_set(shelf.files, file->path, APR_HASH_KEY_STRING, file);
        APR_ARRAY_PUSH(shelf.names, const char *) = file->path;
    }
    file->text = text;
    file->state = ++shelf.states;
}

void shelf_put_text(const char *path, const char *text)
{
    shelf_put(path, mtls_span_of(text));
}

void shelf_take_away(const char *path)
{
    static const mtls_span_t nothing;

    shelf_put(path, nothing);
}

int shelf_reads(const char *path)
{
    return file_at(path)->reads;
}

static apr_uint64_t state_now(const char *path)
{
    const file_t *file = file_at(path);

    return file && file->text.data ? file->state : 0;
}

static entry_t *note(const char *path)
{
    entry_t *entry = apr_hash_get(shelf.look, path, APR_HASH_KEY_STRING);

    if (entry)
        return entry;
    entry = apr_pcalloc(pool, sizeof(*entry));
    entry->state = state_now(path);
    apr_hash_set(shelf.look, apr_pstrdup(pool, path), APR_HASH_KEY_STRING, entry);
    return entry;
}

/* A text of its own size, so that a sanitizer sees whoever reads past it or keeps it. */
static const char *read_file(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    file_t *file = file_at(path);

    (void)note(path);
    if (!file || !file->text.data)
        return apr_psprintf(env->p, "%s: No such file", path);
    file->reads++;
    *text = mtls_span_copy(env->p, file->text);
    return NULL;
}

/* A name that ends in a slash or a star is a pattern. */
static const char *expand(mtls_parse_env_t *env, const char *pattern, apr_array_header_t *paths,
                          int *listed)
{
    size_t len = strlen(pattern) - (pattern[strlen(pattern) - 1] == '*');
    int i, before = paths->nelts;

    *listed = strchr("*/", pattern[strlen(pattern) - 1]) != NULL;
    if (!*listed) {
        APR_ARRAY_PUSH(paths, const char *) = pattern;
        return NULL;
    }
    qsort(shelf.names->elts, (size_t)shelf.names->nelts, sizeof(char *), compare_names);
    for (i = 0; i < shelf.names->nelts; i++) {
        const char *path = APR_ARRAY_IDX(shelf.names, i, const char *);
        if (strncmp(path, pattern, len) == 0 && state_now(path))
            APR_ARRAY_PUSH(paths, const char *) = path;
    }
    return paths->nelts > before ? NULL : apr_psprintf(env->p, "%s matches no file", pattern);
}

static apr_uint64_t state(mtls_parse_env_t *env, const char *path)
{
    (void)env;
    return note(path)->state;
}

/* What was told of a file stays until it changes. */
static int is_bad(mtls_parse_env_t *env, const char *path)
{
    const entry_t *before = apr_hash_get(shelf.seen, path, APR_HASH_KEY_STRING);

    (void)env;
    if (!before || !before->error || before->state != note(path)->state)
        return 0;
    note(path)->error = before->error;
    return 1;
}

static void found(mtls_parse_env_t *env, const char *path, const char *error)
{
    (void)env;
    note(path)->error = error ? apr_pstrdup(pool, error) : NULL;
}

static int last_good(mtls_parse_env_t *env, const char *path, mtls_span_t *text)
{
    const mtls_span_t *kept = apr_hash_get(shelf.kept, path, APR_HASH_KEY_STRING);

    (void)env;
    if (kept)
        *text = *kept;
    return kept != NULL;
}

static void warn(mtls_parse_env_t *env, const char *text)
{
    (void)env;
    APR_ARRAY_PUSH(shelf.warnings, const char *) = apr_pstrdup(pool, text);
}

void shelf_keep(const char *path)
{
    mtls_span_t *text = apr_pmemdup(pool, &file_at(path)->text, sizeof(*text));

    apr_hash_set(shelf.kept, apr_pstrdup(pool, path), APR_HASH_KEY_STRING, text);
}

void shelf_restart(void)
{
    shelf.again = shelf.live != NULL;
    shelf.live = mtls_live_make(pool);
    assert_non_null(shelf.live);
    shelf.seen = apr_hash_make(pool);
}

mtls_live_t *shelf_live(void)
{
    return shelf.live;
}

const mtls_trust_store_t *shelf_store(void)
{
    const mtls_version_t *version = mtls_live_take(shelf.live);
    const mtls_trust_store_t *store;

    assert_non_null(version);
    store = version->data;
    mtls_live_give_back(shelf.live, version); /* it stays until something else is put in force */
    return store;
}

/* As the server does it. `drop`: what was read is thrown away. */
static const char *load(int drop)
{
    const mtls_version_t *before = mtls_live_take(shelf.live);
    const void *data = NULL;
    const char *error;

    shelf.look = apr_hash_make(pool);
    shelf.warnings->nelts = 0;
    assert_int_equal(apr_pool_create(&shelf.env.p, NULL), APR_SUCCESS);
    shelf.env.before = before ? before->data : NULL;
    shelf.env.again = before != NULL || shelf.again;
    error = mtls_trust_store_load(&shelf.env, &shelf.spec, &data);
    assert_int_equal(ERR_peek_error(), 0);
    mtls_live_give_back(shelf.live, before);
    error = error ? apr_pstrdup(pool, error) : NULL;
    assert_true(!error || before || !data); /* the first load is good as a whole or not at all */
    if (!data || drop)
        apr_pool_destroy(shelf.env.p);
    else
        mtls_live_replace(shelf.live, shelf.env.p, data);
    shelf.seen = shelf.look;
    return error;
}

const char *shelf_load(void)
{
    return load(0);
}

void shelf_load_in_vain(void)
{
    assert_message(load(1), NULL);
}

const char *shelf_error(const char *path)
{
    const entry_t *entry = apr_hash_get(shelf.seen, path, APR_HASH_KEY_STRING);

    assert_non_null(entry);
    return entry->error;
}

const char *shelf_warnings(void)
{
    return shelf.warnings->nelts ? apr_array_pstrcat(pool, shelf.warnings, '\n') : NULL;
}

/* ---- a store as configured: lines of a word and what it says ---- */

static void set_check(const char *value)
{
    shelf.spec.crl_check = strcmp(value, "chain") == 0  ? MTLS_CRL_CHECK_CHAIN
                           : strcmp(value, "leaf") == 0 ? MTLS_CRL_CHECK_LEAF
                                                        : MTLS_CRL_CHECK_OFF;
}

static void set_word(const char *word, const char *value)
{
    static const char *const parts[MTLS_STORE_PARTS] = {"anchor", "intermediate", "allow",
                                                        "responder", "crl"};
    int part;

    for (part = 0; part < MTLS_STORE_PARTS; part++) {
        if (strcmp(word, parts[part]) == 0)
            APR_ARRAY_PUSH(shelf.spec.files[part], const char *) = value;
    }
    if (strcmp(word, "check") == 0 && strcmp(value, "missing-ok") == 0)
        shelf.spec.crl_missing_ok = 1;
    else if (strcmp(word, "check") == 0)
        set_check(value);
    else if (strcmp(word, "partial") == 0)
        shelf.spec.partial_chain = 1;
    else if (strcmp(word, "depth") == 0)
        shelf.spec.depth = atoi(value);
    else if (strcmp(word, "domain") == 0)
        APR_ARRAY_PUSH(shelf.spec.domains, const char *) = value;
}

void shelf_configure(const char *text)
{
    char *line, *lines = apr_pstrdup(pool, text);
    int part;

    memset(&shelf.spec, 0, sizeof(shelf.spec));
    shelf.spec.name = "partners";
    shelf.spec.where = "test.conf:7";
    shelf.spec.depth = MTLS_DEFAULT_VERIFY_DEPTH;
    shelf.spec.domains = apr_array_make(pool, 2, sizeof(const char *));
    for (part = 0; part < MTLS_STORE_PARTS; part++)
        shelf.spec.files[part] = apr_array_make(pool, 2, sizeof(const char *));
    while ((line = apr_strtok(lines, "\n", &lines)) != NULL) {
        char *rest = line, *word = apr_strtok(line, " ", &rest), *value;
        while ((value = apr_strtok(rest, " ", &rest)) != NULL)
            set_word(word, value);
    }
    APR_ARRAY_PUSH(shelf.spec.domains, const char *) = NULL;
}

/* ---- what stands on the shelf ---- */

pki_t pki;

#define CA "basicConstraints=critical,CA:TRUE"

static issuer_t ca(const char *name, int key, const char *usage, const issuer_t *by)
{
    certificate_t spec = {.subject = {{"O", 0, "Carcano", 0, 0}, {"CN", 0, name, 0, 0}},
                          .serial = by ? "77" : "7",
                          .from = LONG_AGO,
                          .to = FAR_AHEAD,
                          .key = key,
                          .extensions = {CA, usage}};
    issuer_t made = {certificate_make(pool, &spec, by), key_get(KEY_P256, key)};

    return made;
}

#define SIGNS "keyUsage=critical,keyCertSign,cRLSign"

static X509 *leaf(const char *name, const char *serial, const issuer_t *by)
{
    certificate_t spec = {.subject = {{"O", 0, "Carcano", 0, 0}, {"CN", 0, name, 0, 0}},
                          .serial = serial,
                          .key = 7,
                          .extensions = {"basicConstraints=CA:FALSE",
                                         "keyUsage=critical,digitalSignature",
                                         "extendedKeyUsage=clientAuth",
                                         "subjectAltName=URI:spiffe://lab.carcano.corp/device"}};

    return certificate_make(pool, &spec, by);
}

/* Wrong in every respect: self-signed, long over, for servers, a weak key. */
static X509 *device(const char *serial)
{
    certificate_t spec = {.subject = {{"O", 0, "Carcano", 0, 0}, {"CN", 0, "device", 0, 0}},
                          .serial = serial,
                          .from = LONG_AGO,
                          .to = AGO,
                          .key_kind = KEY_RSA1024,
                          .extensions = {"extendedKeyUsage=serverAuth"}};

    return certificate_make(pool, &spec, NULL);
}

mtls_span_t pem_of(X509 *x)
{
    return certificate_pem(pool, x);
}

static mtls_span_t joined(mtls_span_t a, mtls_span_t b)
{
    char *out = apr_palloc(pool, a.len + b.len);

    memcpy(out, a.data, a.len);
    memcpy(out + a.len, b.data, b.len);
    return mtls_span(out, a.len + b.len);
}

mtls_span_t list_between(const issuer_t *issuer, const char *serial, apr_time_t from, apr_time_t to)
{
    return crl_pem(pool, crl_make(pool, issuer, serial, from, to));
}

mtls_span_t list_of(const issuer_t *issuer, const char *serial)
{
    return list_between(issuer, serial, WORLD_NOW - HOUR, FAR_AHEAD);
}

static void make_pki(void)
{
    pki.root = ca("Root R1", 0, SIGNS, NULL);
    pki.inter = ca("CARC I101L", 1, SIGNS, &pki.root);
    pki.renewed = ca("CARC I101L", 4, SIGNS, &pki.root);
    pki.other = ca("Root R2", 2, SIGNS, NULL);
    pki.other_inter = ca("CARC I102L", 3, SIGNS, &pki.other);
    pki.mute = ca("Mute CA", 5, "keyUsage=critical,keyCertSign", &pki.root);
    pki.leaf = leaf("client", "1001", &pki.inter);
    pki.revoked = leaf("revoked", "2002", &pki.inter);
    pki.direct = leaf("direct", "3003", &pki.root);
    pki.stranger = leaf("stranger", "1001", &pki.other_inter);
    pki.mute_leaf = leaf("mute", "1001", &pki.mute);
    pki.renewed_leaf = leaf("renewed", "3003", &pki.renewed);
    pki.renewed_revoked = leaf("renewed", "4004", &pki.renewed);
    pki.device = device("01");
    pki.device_twin = device("02");
}

static void put_certificates(void)
{
    X509 *fake = ca("Root R1", 6, SIGNS, NULL).x, *malformed = leaf("x", "66", &pki.inter);
    static const san_t nul = {GEN_DNS, "a\0b", 3, 0};

    certificate_sign(fake, key_get(KEY_P256, 0));
    X509_EXTENSION_free(
        X509_delete_ext(malformed, X509_get_ext_by_NID(malformed, NID_subject_alt_name, -1)));
    certificate_add_san(malformed, &nul, 1, pki.inter.key);
    shelf_put("root.pem", pem_of(pki.root.x));
    shelf_put("inter.pem", pem_of(pki.inter.x));
    shelf_put("renewed.pem", pem_of(pki.renewed.x));
    shelf_put("other.pem", pem_of(pki.other.x));
    shelf_put("other-inter.pem", pem_of(pki.other_inter.x));
    shelf_put("mute.pem", pem_of(pki.mute.x));
    shelf_put("bundle.pem",
              joined(pem_of(pki.inter.x), joined(pem_of(pki.other.x), pem_of(pki.root.x))));
    shelf_put("reversed.pem",
              joined(pem_of(pki.root.x), joined(pem_of(pki.other.x), pem_of(pki.inter.x))));
    shelf_put("folder/inter.pem", pem_of(pki.inter.x));
    shelf_put("folder/other.pem", pem_of(pki.other.x));
    shelf_put("folder/root.pem", pem_of(pki.root.x));
    shelf_put("twice.pem", joined(pem_of(pki.root.x), pem_of(pki.root.x)));
    shelf_put("fake.pem", pem_of(fake));
    shelf_put("leaf.pem", pem_of(pki.leaf));
    shelf_put("revoked.pem", pem_of(pki.revoked));
    shelf_put("device.pem", pem_of(pki.device));
    shelf_put("malformed.pem", pem_of(malformed));
    shelf_put("root-and-leaf.pem", joined(pem_of(pki.root.x), pem_of(pki.leaf)));
}

static void put_odd_files(void)
{
    certificate_t over = {.subject = {{"CN", 0, "Root R0", 0, 0}},
                          .from = LONG_AGO,
                          .to = AGO,
                          .extensions = {CA, SIGNS}};
    certificate_t old = {.subject = {{"CN", 0, "Root V1", 0, 0}}, .to = FAR_AHEAD, .version1 = 1};
    mtls_span_t root = pem_of(pki.root.x);

    shelf_put("over.pem", pem_of(certificate_make(pool, &over, NULL)));
    shelf_put("v1.pem", pem_of(certificate_make(pool, &old, NULL)));
    shelf_put_text("empty.pem", "");
    shelf_put_text("words.pem", "# nothing yet\n");
    shelf_put("cut.pem", mtls_span(root.data, root.len / 2));
    shelf_put("der.pem", certificate_der(pool, pki.root.x));
    shelf_put_text("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
}

static X509_CRL *revoking_both(void)
{
    X509_CRL *crl = crl_begin(pool, &pki.root, WORLD_NOW - HOUR, FAR_AHEAD);

    crl_revoke(crl, "7");
    crl_revoke(crl, "77");
    crl_sign(crl, pki.root.key);
    return crl;
}

static void put_lists(void)
{
    X509_CRL *forged = crl_begin(pool, &pki.inter, WORLD_NOW - HOUR, FAR_AHEAD);

    crl_sign(forged, pki.other.key);
    shelf_put("root.crl", list_of(&pki.root, NULL));
    shelf_put("root-self.crl", list_of(&pki.root, "7"));
    shelf_put("root-inter.crl", list_of(&pki.root, "77"));
    shelf_put("root-both.crl", crl_pem(pool, revoking_both()));
    shelf_put("inter.crl", list_of(&pki.inter, "2002"));
    shelf_put("inter.der",
              crl_der(pool, crl_make(pool, &pki.inter, "2002", WORLD_NOW - HOUR, FAR_AHEAD)));
    shelf_put("both.crl", joined(list_of(&pki.root, NULL), list_of(&pki.inter, "2002")));
    shelf_put("over.crl", list_between(&pki.inter, "2002", LONG_AGO, AGO));
    shelf_put("ahead.crl", list_between(&pki.inter, "2002", WORLD_NOW + HOUR, FAR_AHEAD));
    shelf_put("endless.crl", list_between(&pki.inter, NULL, WORLD_NOW - HOUR, 0));
    shelf_put("renewed.crl", list_of(&pki.renewed, "1001"));
    shelf_put("forged.crl", crl_pem(pool, forged));
    shelf_put("mute.crl", list_of(&pki.mute, NULL));
    shelf_put("other.crl", list_of(&pki.other, NULL));
}

void shelf_begin(const char *text)
{
    memset(&shelf, 0, sizeof(shelf));
    shelf.files = apr_hash_make(pool);
    shelf.kept = apr_hash_make(pool);
    shelf.names = apr_array_make(pool, 8, sizeof(const char *));
    shelf.warnings = apr_array_make(pool, 2, sizeof(const char *));
    shelf.env.where = "test.conf:7";
    shelf.env.read_file = read_file;
    shelf.env.expand = expand;
    shelf.env.state = state;
    shelf.env.is_bad = is_bad;
    shelf.env.found = found;
    shelf.env.last_good = last_good;
    shelf.env.warn = warn;
    make_pki();
    put_certificates();
    put_odd_files();
    put_lists();
    shelf_configure(text);
    shelf_restart();
}

void shelf_begin_loaded(const char *text)
{
    shelf_begin(text);
    assert_message(shelf_load(), NULL);
}

/* ---- verifying ---- */

mtls_chain_result_t shelf_verify_with(X509 *x, X509 *sent, apr_time_t now)
{
    mtls_chain_ask_t ask = {x, sent ? stack_of(pool, sent, NULL) : NULL, MTLS_PURPOSE_CLIENT, now};
    mtls_chain_result_t result;

    memset(&result, 0x55, sizeof(result));
    mtls_chain_verify(pool, shelf_store(), &ask, &result);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

mtls_chain_result_t shelf_verify(X509 *x)
{
    return shelf_verify_with(x, NULL, WORLD_NOW);
}

const char *shelf_reason(X509 *x)
{
    return mtls_reason_token(shelf_verify(x).reason);
}

/* Who is verified, by a word; "+" behind it: its issuer is sent, too. */
static const char *reason_of_word(const char *word)
{
    const struct {
        const char *word;
        X509 *x, *issuer;
    } all[] = {
        {"leaf", pki.leaf, pki.inter.x},
        {"revoked", pki.revoked, pki.inter.x},
        {"direct", pki.direct, NULL},
        {"stranger", pki.stranger, pki.other_inter.x},
        {"mute", pki.mute_leaf, pki.mute.x},
        {"renewed", pki.renewed_leaf, pki.renewed.x},
        {"renewed-revoked", pki.renewed_revoked, pki.renewed.x},
        {"device", pki.device, NULL},
        {"device-twin", pki.device_twin, NULL},
        {"inter", pki.inter.x, NULL},
        {"root", pki.root.x, NULL},
    };
    size_t i, len = strcspn(word, "+");

    for (i = 0; i < ROWS(all); i++) {
        if (strlen(all[i].word) == len && strncmp(all[i].word, word, len) == 0)
            return mtls_reason_token(
                shelf_verify_with(all[i].x, word[len] ? all[i].issuer : NULL, WORLD_NOW).reason);
    }
    fail_msg("nobody is called %s", word);
    return NULL;
}

void assert_verdicts(const char *expected)
{
    char *each, *rest = apr_pstrdup(pool, expected);

    while ((each = apr_strtok(rest, ",", &rest)) != NULL) {
        char *word = apr_strtok(each, ": ", &each), *token = apr_strtok(each, ": ", &each);
        const char *got = reason_of_word(word);
        if (strcmp(got, token) != 0)
            fail_msg("%s is %s, expected %s", word, got, token);
    }
}
