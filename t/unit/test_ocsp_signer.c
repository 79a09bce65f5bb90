/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* pki/ocsp_signer: who may speak for an issuer. Each row changes one thing of a scene that is
 * right; the rows that allow stand beside those that refuse. */

#include "suite.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificates.h"
#include "ocsp.h"
#include "pki/ocsp_message.h"

#define DAY  WORLD_DAYS
#define HOUR apr_time_from_sec(3600)

#define CA_EXTENSIONS                                                                              \
    "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",                  \
        "subjectKeyIdentifier=hash"

/* ---- the scene: a CA has issued serial 1001, and somebody speaks of it ---- */

typedef struct scene_t {
    issuer_t ca;
    issuer_t by; /* whoever signs */
    ocsp_t spec;
    mtls_ocsp_subject_t subject;
    mtls_ocsp_terms_t terms;
} scene_t;

static issuer_t ca_named(const char *name, key_kind_t kind, int key, const issuer_t *by)
{
    const certificate_t spec = {.subject = {{"CN", 0, name, 0, 0}},
                                .key_kind = kind,
                                .key = key,
                                .serial = by ? "CA2" : "CA1",
                                .extensions = {CA_EXTENSIONS}};
    issuer_t issuer = {certificate_make(pool, &spec, by), key_get(kind, key)};

    return issuer;
}

static ASN1_INTEGER *serial_1001(void)
{
    static const certificate_t leaf = {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 7};

    return X509_get_serialNumber(certificate_make(pool, &leaf, NULL));
}

static void scene_begin(scene_t *scene)
{
    memset(scene, 0, sizeof(*scene));
    scene->ca = ca_named("CA", KEY_P256, 0, NULL);
    scene->by = scene->ca;
    scene->subject.serial = serial_1001();
    scene->subject.issuer = scene->ca.x;
    scene->terms.now = WORLD_NOW;
}

static mtls_ocsp_outcome_t scene_prove(scene_t *scene, mtls_ocsp_proof_t *proof,
                                       const char **detail)
{
    static const mtls_ocsp_proof_t nothing;
    mtls_ocsp_outcome_t outcome;

    scene->spec.signer = &scene->by;
    scene->spec.issuer = scene->ca.x;
    outcome = mtls_ocsp_prove(&scene->subject, ocsp_make(pool, &scene->spec), &scene->terms, proof,
                              detail);
    assert_int_equal(ERR_peek_error(), 0);
    if (outcome != MTLS_OCSP_PROVED)
        assert_memory_equal(proof, &nothing, sizeof(nothing));
    return outcome;
}

/* NULL words: it proves that the certificate is good. */
static void assert_scene(scene_t *scene, const char *words)
{
    mtls_ocsp_proof_t proof;
    const char *detail = NULL;
    mtls_ocsp_outcome_t outcome = scene_prove(scene, &proof, &detail);

    if (words) {
        assert_int_equal(outcome, MTLS_OCSP_NOT_PROVED);
        assert_message(detail, words);
        return;
    }
    assert_message(outcome == MTLS_OCSP_PROVED ? NULL : detail, NULL);
    assert_int_equal(proof.status, MTLS_STATUS_GOOD);
}

/* ---- delegates ---- */

typedef enum by_t {
    BY_CA = 0,
    BY_OTHER_CA,  /* another name, another key */
    BY_SAME_NAME, /* the CA's name and another key */
    BY_SAME_KEY,  /* the CA's key and another name */
    BY_SUB_CA,    /* one the CA has issued */
    BY_ITSELF,
    BY_ITSELF_AS_CA /* self-signed, and says the CA has issued it */
} by_t;

typedef struct delegate_row_t {
    const char *name;
    certificate_t spec;
    by_t by;
    const char *words; /* NULL: it may sign */
} delegate_row_t;

#define RESPONDER .subject = {{"CN", 0, "Responder", 0, 0}}, .serial = "D1", .key = 1
#define SIGNING   "extendedKeyUsage=OCSPSigning"
#define NOT_OURS  "not of the same issuer"

static const delegate_row_t delegates[] = {
    {"a delegate", {RESPONDER, .extensions = {SIGNING}}, BY_CA, NULL},
    {"a delegate with the key usage that belongs to it",
     {RESPONDER, .extensions = {SIGNING, "keyUsage=critical,digitalSignature"}},
     BY_CA,
     NULL},
    {"a delegate with critical extended key usage, nocheck and CA:FALSE",
     {RESPONDER, .extensions = {"extendedKeyUsage=critical,OCSPSigning",
                                "basicConstraints=CA:FALSE", "1.3.6.1.5.5.7.48.1.5=DER:0500"}},
     BY_CA,
     NULL},
    {"a delegate that may do other things as well",
     {RESPONDER, .extensions = {"extendedKeyUsage=clientAuth,OCSPSigning"}},
     BY_CA,
     NULL},
    {"O5: no extended key usage", {RESPONDER}, BY_CA, "not for OCSPSigning"},
    {"O5: a client's certificate (a leaf) as signer",
     {RESPONDER, .extensions = {"extendedKeyUsage=clientAuth"}},
     BY_CA,
     "not for OCSPSigning"},
    {"O5: anyExtendedKeyUsage is not OCSPSigning",
     {RESPONDER, .extensions = {"extendedKeyUsage=anyExtendedKeyUsage"}},
     BY_CA,
     "not for OCSPSigning"},
    {"key usage without digitalSignature",
     {RESPONDER, .extensions = {SIGNING, "keyUsage=keyEncipherment,cRLSign"}},
     BY_CA,
     "not for digital signatures"},
    {"a CA below the issuer with OCSPSigning among its extended key usages",
     {RESPONDER, .extensions = {SIGNING, "basicConstraints=critical,CA:TRUE",
                                "keyUsage=digitalSignature,keyCertSign"}},
     BY_CA,
     "is a CA's"},
    {"the subject's own certificate",
     {.subject = {{"CN", 0, "leaf", 0, 0}}, .key = 1, .extensions = {SIGNING}},
     BY_CA,
     "speaks for itself"},
    {"an unknown critical extension",
     {RESPONDER, .extensions = {SIGNING, "1.3.6.1.4.1.99999.3=critical,DER:0500"}},
     BY_CA,
     "cannot be verified"},
    {"the same extension, not critical",
     {RESPONDER, .extensions = {SIGNING, "1.3.6.1.4.1.99999.3=DER:0500"}},
     BY_CA,
     NULL},
    {"an extension that cannot be read",
     {RESPONDER, .extensions = {SIGNING, "2.5.29.19=DER:30030101"}},
     BY_CA,
     NOT_OURS},
    {"O4: expired when it signed",
     {RESPONDER, .from = WORLD_NOW - 9 * DAY, .to = WORLD_NOW - 2 * HOUR, .extensions = {SIGNING}},
     BY_CA,
     "had expired"},
    {"O4: expired one second before it signed",
     {RESPONDER, .from = WORLD_NOW - 9 * DAY, .to = WORLD_NOW - HOUR - apr_time_from_sec(1),
      .extensions = {SIGNING}},
     BY_CA,
     "had expired"},
    {"O4: in its last second when it signed",
     {RESPONDER, .from = WORLD_NOW - 9 * DAY, .to = WORLD_NOW - HOUR, .extensions = {SIGNING}},
     BY_CA,
     NULL},
    {"valid from the second in which it signed",
     {RESPONDER, .from = WORLD_NOW - HOUR, .extensions = {SIGNING}},
     BY_CA,
     NULL},
    {"not yet valid when it signed",
     {RESPONDER, .from = WORLD_NOW - HOUR + apr_time_from_sec(1), .extensions = {SIGNING}},
     BY_CA,
     "not yet valid"},
    {"an RSA key of 1024 bits",
     {RESPONDER, .key_kind = KEY_RSA1024, .extensions = {SIGNING}},
     BY_CA,
     "cannot be verified"},
    {"a curve of 192 bits",
     {RESPONDER, .key_kind = KEY_P192, .extensions = {SIGNING}},
     BY_CA,
     "cannot be verified"},
    {"an RSA key of 2048 bits",
     {RESPONDER, .key_kind = KEY_RSA2048, .extensions = {SIGNING}},
     BY_CA,
     NULL},
    {"an Ed25519 key", {RESPONDER, .key_kind = KEY_ED25519, .extensions = {SIGNING}}, BY_CA, NULL},
    {"a certificate that is signed with SHA-1",
     {RESPONDER, .extensions = {SIGNING}, .sha1 = 1},
     BY_CA,
     "cannot be verified"},
    {"O3: self-signed, and names the CA as its issuer",
     {RESPONDER, .extensions = {SIGNING}},
     BY_ITSELF_AS_CA,
     NOT_OURS},
    {"O3: self-signed", {RESPONDER, .extensions = {SIGNING}}, BY_ITSELF, NOT_OURS},
    {"O5: of another CA", {RESPONDER, .extensions = {SIGNING}}, BY_OTHER_CA, NOT_OURS},
    {"O5: of a CA with the same name and another key",
     {RESPONDER, .extensions = {SIGNING}},
     BY_SAME_NAME,
     NOT_OURS},
    {"of a CA with the same key and another name",
     {RESPONDER, .extensions = {SIGNING}},
     BY_SAME_KEY,
     NOT_OURS},
    {"O5: of a CA below the issuer, which is in the response",
     {RESPONDER, .extensions = {SIGNING}},
     BY_SUB_CA,
     NOT_OURS},
};

/* The delegate's certificate, and whatever leads to it, into the response. */
static X509 *issue(scene_t *scene, const delegate_row_t *row, X509 **above)
{
    issuer_t other = scene->ca, *by = row->by == BY_ITSELF ? NULL : &other;

    *above = NULL;
    if (row->by == BY_OTHER_CA)
        other = ca_named("Other CA", KEY_P256, 2, NULL);
    else if (row->by == BY_SAME_NAME)
        other = ca_named("CA", KEY_P256, 2, NULL);
    else if (row->by == BY_SAME_KEY)
        other = ca_named("Other CA", KEY_P256, 0, NULL);
    else if (row->by == BY_SUB_CA)
        other = ca_named("Sub CA", KEY_P256, 2, &scene->ca);
    else if (row->by == BY_ITSELF_AS_CA)
        other.key = key_get(row->spec.key_kind, row->spec.key);
    if (row->by != BY_CA && by)
        *above = other.x;
    return certificate_make(pool, &row->spec, by);
}

static void delegate(void **state)
{
    const delegate_row_t *row = *state;
    scene_t scene;

    scene_begin(&scene);
    scene.by.x = issue(&scene, row, &scene.spec.certificates[1]);
    scene.by.key = key_get(row->spec.key_kind, row->spec.key);
    scene.spec.certificates[0] = scene.by.x;
    assert_scene(&scene, row->words);
    scene.spec.by_key = 1;
    assert_scene(&scene, row->words);
}

static void delegate_of_a_sub_ca_speaks_for_that_one(void **state)
{
    scene_t scene;

    (void)state;
    scene_begin(&scene);
    scene.ca = ca_named("Sub CA", KEY_P256, 2, &scene.ca);
    scene.subject.issuer = scene.ca.x;
    scene.by = ocsp_delegate(pool, &scene.ca, 1);
    scene.spec.certificates[0] = scene.by.x;
    assert_scene(&scene, NULL);
    scene.by = scene.ca; /* and so does the CA itself, whose own issuer is not at hand */
    assert_scene(&scene, NULL);
}

/* A new certificate for the CA, of the same key. */
static void ca_with_other_dates(void **state)
{
    const certificate_t spec = {.subject = {{"CN", 0, "CA", 0, 0}},
                                .from = WORLD_NOW,
                                .serial = "CA3",
                                .extensions = {CA_EXTENSIONS}};
    scene_t scene;

    (void)state;
    scene_begin(&scene);
    scene.spec.certificates[0] = certificate_make(pool, &spec, NULL);
    assert_scene(&scene, NULL); /* the new one in the response, the old one in the chain */
    scene.subject.issuer = scene.spec.certificates[0];
    assert_scene(&scene, NULL);
    scene.by = ocsp_delegate(pool, &scene.ca, 1); /* of the same CA whichever certificate it has */
    scene.spec.certificates[0] = scene.by.x;
    assert_scene(&scene, NULL);
}

static void dates_of_the_signer_are_told(void **state)
{
    mtls_ocsp_proof_t proof;
    const char *detail;
    scene_t scene;

    (void)state;
    scene_begin(&scene);
    assert_int_equal(scene_prove(&scene, &proof, &detail), MTLS_OCSP_PROVED);
    assert_true(proof.signer_from == 0 && proof.signer_until == MTLS_FOREVER);
    scene.by = ocsp_delegate(pool, &scene.ca, 1);
    scene.spec.certificates[0] = scene.by.x;
    assert_int_equal(scene_prove(&scene, &proof, &detail), MTLS_OCSP_PROVED);
    assert_true(proof.signer_from == WORLD_NOW - 365 * DAY);
    assert_true(proof.signer_until == WORLD_NOW + 365 * DAY);
    scene.terms.now = WORLD_NOW + 999 * DAY; /* proved for ever, though it does not last */
    assert_int_equal(scene_prove(&scene, &proof, &detail), MTLS_OCSP_PROVED);
}

/* ---- who else may sign, and who may not ---- */

typedef struct scene_row_t {
    const char *name;
    void (*change)(scene_t *scene);
    const char *words;
} scene_row_t;

static void no_change(scene_t *scene)
{
    (void)scene;
}

static void ca_by_key(scene_t *scene)
{
    scene->spec.by_key = 1;
}

static void ca_of_kind(scene_t *scene, key_kind_t kind)
{
    scene->ca = scene->by = ca_named("CA", kind, 0, NULL);
    scene->subject.issuer = scene->ca.x;
}

static void ca_rsa(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA2048);
}

static void ca_rsa_pss(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA2048);
    scene->spec.pss = 1;
}

static void ca_rsa_pss_sha1(scene_t *scene)
{
    ca_rsa_pss(scene);
    scene->spec.digest = NID_sha1;
}

static void ca_rsa_sha1(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA2048);
    scene->spec.digest = NID_sha1;
}

static void ca_rsa_md5(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA2048);
    scene->spec.digest = NID_md5;
}

static void ca_rsa_sha512(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA2048);
    scene->spec.digest = NID_sha512;
}

static void ca_rsa_1024(scene_t *scene)
{
    ca_of_kind(scene, KEY_RSA1024);
}

static void ca_p192(scene_t *scene)
{
    ca_of_kind(scene, KEY_P192);
}

static void ca_ed25519(scene_t *scene)
{
    ca_of_kind(scene, KEY_ED25519);
}

static void ca_sha1(scene_t *scene)
{
    scene->spec.digest = NID_sha1;
}

/* A CA that may issue for one domain only, and whose own names are of none. */
static void constrained_ca(scene_t *scene)
{
    const certificate_t spec = {
        .subject = {{"CN", 0, "CA", 0, 0}},
        .serial = "CA1",
        .extensions = {CA_EXTENSIONS,
                       "nameConstraints=critical,permitted;DNS:.example,permitted;URI:.example",
                       "subjectAltName=DNS:ca.test,URI:urn:ca"}};

    scene->ca.x = scene->by.x = certificate_make(pool, &spec, NULL);
    scene->subject.issuer = scene->ca.x;
}

static void delegate_with_name(scene_t *scene, const char *name)
{
    const certificate_t spec = {.subject = {{"CN", 0, "Responder", 0, 0}},
                                .serial = "D1",
                                .key = 1,
                                .extensions = {"extendedKeyUsage=OCSPSigning", name}};

    constrained_ca(scene);
    scene->by.x = certificate_make(pool, &spec, &scene->ca);
    scene->by.key = key_get(KEY_P256, 1);
    scene->spec.certificates[0] = scene->by.x;
}

static void delegate_within_constraints(scene_t *scene)
{
    delegate_with_name(scene, "subjectAltName=DNS:ocsp.example");
}

static void delegate_outside_constraints(scene_t *scene)
{
    delegate_with_name(scene, "subjectAltName=DNS:ocsp.test");
}

static void delegate_with_odd_name(scene_t *scene)
{
    delegate_with_name(scene, "subjectAltName=URI:urn:ocsp");
}

/* Somebody with the CA's name and a key of his own. */
static void imposter(scene_t *scene)
{
    scene->by = ca_named("CA", KEY_P256, 2, NULL);
}

static void imposter_in_response(scene_t *scene)
{
    imposter(scene);
    scene->spec.certificates[0] = scene->by.x;
}

/* The response gives the CA's name and holds the CA's certificate, and is signed by another key. */
static void wrong_key(scene_t *scene)
{
    imposter(scene);
    scene->spec.certificates[0] = scene->ca.x;
}

static void missing_delegate(scene_t *scene)
{
    scene->by = ocsp_delegate(pool, &scene->ca, 1);
}

static void delegate_among_others(scene_t *scene)
{
    missing_delegate(scene);
    scene->spec.certificates[0] = scene->ca.x;
    scene->spec.certificates[1] = ocsp_delegate(pool, &scene->ca, 3).x; /* the same name */
    scene->spec.certificates[2] = scene->by.x;
}

static void seven_others_and_the_delegate(scene_t *scene)
{
    int i;

    missing_delegate(scene);
    for (i = 0; i < 7; i++)
        scene->spec.certificates[i] = scene->ca.x;
    scene->spec.certificates[7] = scene->by.x;
}

static void eight_others_and_the_delegate(scene_t *scene)
{
    seven_others_and_the_delegate(scene);
    scene->spec.certificates[8] = scene->spec.certificates[7];
}

/* ---- responders the administrator trusts ---- */

static const certificate_t local_spec = {.subject = {{"CN", 0, "Local", 0, 0}}, .key = 4};

static void trust(scene_t *scene, X509 *x)
{
    scene->subject.responders = stack_of(pool, ocsp_delegate(pool, &scene->ca, 5).x, x, NULL);
}

static void local_of(scene_t *scene, const certificate_t *spec, int trusted)
{
    scene->by.x = certificate_make(pool, spec, NULL);
    scene->by.key = key_get(spec->key_kind, spec->key);
    if (trusted)
        trust(scene, scene->by.x);
}

static void local(scene_t *scene)
{
    local_of(scene, &local_spec, 1);
}

static void local_by_key(scene_t *scene)
{
    local(scene);
    scene->spec.by_key = 1;
}

static void local_in_response(scene_t *scene)
{
    local(scene);
    scene->spec.certificates[0] = scene->by.x;
}

static void local_not_trusted(scene_t *scene)
{
    local_of(scene, &local_spec, 0);
    scene->spec.certificates[0] = scene->by.x;
}

/* The name is trusted, the key is not. */
static void local_imposter(scene_t *scene)
{
    certificate_t other = local_spec;

    local(scene);
    other.key = 6;
    local_of(scene, &other, 0);
    scene->spec.certificates[0] = scene->by.x;
}

/* Trust in a CA's certificate is not trust in what that CA has issued. */
static void local_is_issuer_of_signer(scene_t *scene)
{
    issuer_t other = ca_named("Other CA", KEY_P256, 2, NULL);

    trust(scene, other.x);
    scene->by = ocsp_delegate(pool, &other, 1);
    scene->spec.certificates[0] = scene->by.x;
}

static void local_new_key(scene_t *scene)
{
    certificate_t other = local_spec;

    other.key = 6;
    local(scene);
    scene->subject.responders =
        stack_of(pool, certificate_make(pool, &other, NULL), scene->by.x, NULL);
}

static void local_expired(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.to = WORLD_NOW - 2 * HOUR;
    local_of(scene, &spec, 1);
}

static void local_still_valid(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.to = WORLD_NOW - HOUR;
    local_of(scene, &spec, 1);
}

static void local_not_yet(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.from = WORLD_NOW;
    local_of(scene, &spec, 1);
}

static void local_weak(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.key_kind = KEY_RSA1024;
    local_of(scene, &spec, 1);
}

static void local_weak_signature(scene_t *scene)
{
    local(scene);
    scene->spec.digest = NID_sha1;
}

static void local_ed25519(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.key_kind = KEY_ED25519;
    local_of(scene, &spec, 1);
}

static void local_critical(scene_t *scene)
{
    certificate_t spec = local_spec;

    spec.extensions[0] = "1.3.6.1.4.1.99999.3=critical,DER:0500";
    local_of(scene, &spec, 1);
}

/* Trusted for another issuer, which is another subject's stack. */
static void delegate_is_trusted_too(scene_t *scene)
{
    missing_delegate(scene);
    trust(scene, scene->by.x);
}

static const scene_row_t signers[] = {
    {"the CA, by name", no_change, NULL},
    {"the CA, by key", ca_by_key, NULL},
    {"the CA with RSA", ca_rsa, NULL},
    {"the CA with RSA and SHA-512", ca_rsa_sha512, NULL},
    {"the CA with RSASSA-PSS", ca_rsa_pss, NULL},
    {"the CA with Ed25519", ca_ed25519, NULL},
    {"signed with RSA and SHA-1", ca_rsa_sha1, "weak or unknown algorithm"},
    {"signed with RSASSA-PSS and SHA-1", ca_rsa_pss_sha1, "weak or unknown algorithm"},
    {"signed with RSA and MD5", ca_rsa_md5, "weak or unknown algorithm"},
    {"signed with ECDSA and SHA-1", ca_sha1, "weak or unknown algorithm"},
    {"the CA with RSA of 1024 bits", ca_rsa_1024, "not signed by the issuer"},
    {"the CA with a curve of 192 bits", ca_p192, "not signed by the issuer"},
    {"a CA whose own names are not those it may issue for", constrained_ca, NULL},
    {"a delegate within the CA's name constraints", delegate_within_constraints, NULL},
    {"a delegate outside the CA's name constraints", delegate_outside_constraints,
     "cannot be verified"},
    {"a delegate whose name cannot be held against them", delegate_with_odd_name,
     "cannot be verified"},
    {"O1: signed by another key in the CA's name", imposter, "not signed by the issuer"},
    {"O3: another CA certificate of the same name is in the response", imposter_in_response,
     NOT_OURS},
    {"O1: signed by another key beside the CA's certificate", wrong_key, "not"},
    {"the delegate's certificate is not in the response", missing_delegate, "signer is not known"},
    {"the delegate's certificate is among others of its name", delegate_among_others, NULL},
    {"eight certificates", seven_others_and_the_delegate, NULL},
    {"nine certificates", eight_others_and_the_delegate, "too many certificates"},
    {"a responder of the administrator's", local, NULL},
    {"a responder of the administrator's, by key", local_by_key, NULL},
    {"a responder of the administrator's that sends its certificate", local_in_response, NULL},
    {"a responder of the administrator's with Ed25519", local_ed25519, NULL},
    {"a delegate the administrator trusts does not send its certificate", delegate_is_trusted_too,
     NULL},
    {"the second of two that have the name", local_new_key, NULL},
    {"the same responder, not trusted", local_not_trusted, NOT_OURS},
    {"another key in the name of the administrator's responder", local_imposter, NOT_OURS},
    {"issued by the administrator's responder", local_is_issuer_of_signer, NOT_OURS},
    {"the administrator's responder has expired", local_expired, "had expired"},
    {"the administrator's responder was valid when it signed", local_still_valid, NULL},
    {"the administrator's responder is not yet valid", local_not_yet, "not yet valid"},
    {"the administrator's responder has a weak key", local_weak, "weak key"},
    {"the administrator's responder signs with SHA-1", local_weak_signature,
     "weak or unknown algorithm"},
    {"the administrator's responder has an unknown critical extension", local_critical,
     "critical extension"},
};

static void signer(void **state)
{
    const scene_row_t *row = *state;
    scene_t scene;

    scene_begin(&scene);
    row->change(&scene);
    assert_scene(&scene, row->words);
}

/* ---- O8: two CAs of one name ---- */

static void two_cas_of_one_name(void **state)
{
    const ocsp_statement_t revoked = {.status = V_OCSP_CERTSTATUS_REVOKED};
    scene_t one, two;
    mtls_ocsp_proof_t proof;
    const char *detail;
    int swap, by_key;

    (void)state;
    for (swap = 0; swap < 2; swap++) {
        for (by_key = 0; by_key < 2; by_key++) {
            scene_begin(&one);
            one.ca = one.by = ca_named("CA", KEY_P256, swap ? 2 : 0, NULL);
            one.subject.issuer = one.ca.x;
            one.spec.by_key = by_key;
            two = one;
            two.ca = ca_named("CA", KEY_P256, swap ? 0 : 2, NULL);
            one.spec.statements = &revoked;
            one.spec.n = 1;
            assert_int_equal(scene_prove(&one, &proof, &detail), MTLS_OCSP_PROVED);
            assert_int_equal(proof.status, MTLS_STATUS_REVOKED);
            one.subject.issuer = two.ca.x; /* the same response, asked of the other's 1001 */
            assert_int_equal(scene_prove(&one, &proof, &detail), MTLS_OCSP_OTHER_CERTID);
        }
    }
}

int main(void)
{
    SUITE_TABLE(delegate, delegates);
    SUITE_TABLE(signer, signers);
    SUITE_CASE(delegate_of_a_sub_ca_speaks_for_that_one);
    SUITE_CASE(ca_with_other_dates);
    SUITE_CASE(dates_of_the_signer_are_told);
    SUITE_CASE(two_cas_of_one_name);
    return suite_run("ocsp_signer", 70);
}
