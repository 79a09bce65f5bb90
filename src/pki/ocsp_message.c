/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/ocsp_message.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "pki/ocsp_response.h"
#include "pki/ocsp_signer.h"
#include "policy/limits.h"

/* ---- CertIDs ---- */

static OCSP_CERTID *certid_of(const mtls_ocsp_subject_t *subject, mtls_ocsp_hash_t hash)
{
    return OCSP_cert_id_new(hash == MTLS_OCSP_SHA1 ? EVP_sha1() : EVP_sha256(),
                            X509_get_subject_name(subject->issuer),
                            X509_get0_pubkey_bitstr(subject->issuer), subject->serial);
}

/* The hash's name; empty: none of ours, or what should be made with it has another length. */
static mtls_span_t hash_name(const ASN1_OBJECT *hash, const ASN1_OCTET_STRING *name,
                             const ASN1_OCTET_STRING *key)
{
    int nid = OBJ_obj2nid(hash), size = nid == NID_sha1 ? 20 : 32;

    if ((nid != NID_sha1 && nid != NID_sha256) || ASN1_STRING_length(name) != size ||
        ASN1_STRING_length(key) != size)
        return mtls_span("", 0);
    return mtls_span_of(nid == NID_sha1 ? "sha1" : "sha256");
}

static char *append(char *at, const void *data, int len)
{
    memcpy(at, data, (size_t)len);
    return at + len;
}

/* Empty: of another hash, or OpenSSL could not. */
static mtls_span_t key_of(apr_pool_t *p, const OCSP_CERTID *certid)
{
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)certid; /* asked for, and not changed */
    ASN1_OCTET_STRING *name = NULL, *key = NULL;
    ASN1_OBJECT *hash = NULL;
    ASN1_INTEGER *serial = NULL;
    unsigned char *der = NULL;
    mtls_span_t prefix;
    char *bytes, *at;
    int len;

    if (!id || OCSP_id_get0_info(&name, &hash, &key, &serial, id) != 1 ||
        (prefix = hash_name(hash, name, key)).len == 0 ||
        (len = i2d_ASN1_INTEGER(serial, &der)) < 1)
        return mtls_span("", 0);
    bytes = at =
        apr_palloc(p, prefix.len + 2 * (apr_size_t)ASN1_STRING_length(name) + (apr_size_t)len);
    at = append(at, prefix.data, (int)prefix.len);
    at = append(at, ASN1_STRING_get0_data(name), ASN1_STRING_length(name));
    at = append(at, ASN1_STRING_get0_data(key), ASN1_STRING_length(key));
    at = append(at, der, len);
    OPENSSL_free(der);
    return mtls_span(bytes, (apr_size_t)(at - bytes));
}

mtls_span_t mtls_ocsp_certid_key(apr_pool_t *p, const mtls_ocsp_subject_t *subject,
                                 mtls_ocsp_hash_t hash)
{
    OCSP_CERTID *certid = certid_of(subject, hash);
    mtls_span_t key = key_of(p, certid);

    OCSP_CERTID_free(certid);
    ERR_clear_error();
    return key;
}

const char *mtls_ocsp_response_keys(apr_pool_t *p, mtls_span_t der,
                                    void (*found)(void *baton, mtls_span_t key), void *baton)
{
    OCSP_BASICRESP *basic = NULL;
    const char *detail = NULL;
    int i, opened = mtls_ocsp_response_open(der, &basic, &detail) == MTLS_OCSP_PROVED;

    for (i = 0; opened && i < OCSP_resp_count(basic); i++) {
        mtls_span_t key = key_of(p, OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, i)));
        if (key.len > 0)
            found(baton, key);
    }
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return opened ? NULL : detail;
}

/* ---- requests ---- */

static int encode(apr_pool_t *p, const OCSP_REQUEST *request, mtls_span_t *out)
{
    unsigned char *der = NULL;
    int len = i2d_OCSP_REQUEST(request, &der);

    if (len > 0)
        *out = mtls_span_copy(p, mtls_span((const char *)der, (apr_size_t)len));
    OPENSSL_free(der);
    return len > 0;
}

int mtls_ocsp_request(apr_pool_t *p, const mtls_ocsp_subject_t *subject, mtls_ocsp_hash_t hash,
                      int with_nonce, mtls_ocsp_request_t *request)
{
    unsigned char nonce[MTLS_OCSP_NONCE_BYTES];
    OCSP_REQUEST *message = OCSP_REQUEST_new();
    OCSP_CERTID *certid = certid_of(subject, hash);
    int done = 0;

    memset(request, 0, sizeof(*request));
    if (message && certid && OCSP_request_add0_id(message, certid)) {
        certid = NULL; /* the message's now */
        done = !with_nonce || (RAND_bytes(nonce, sizeof(nonce)) == 1 &&
                               OCSP_request_add1_nonce(message, nonce, sizeof(nonce)) == 1);
    }
    if (done && with_nonce)
        request->nonce = mtls_span_copy(p, mtls_span((const char *)nonce, sizeof(nonce)));
    done = done && encode(p, message, &request->der);
    OCSP_CERTID_free(certid);
    OCSP_REQUEST_free(message);
    ERR_clear_error();
    return done;
}

/* ---- proofs ---- */

/* The CertIDs a response may name the subject by (RFC 6960 4.1.1, RFC 9919 3.1.1). */
typedef struct wanted_t {
    OCSP_CERTID *certid[2];
} wanted_t;

static int is_wanted(const wanted_t *wanted, const OCSP_CERTID *certid)
{
    return OCSP_id_cmp(wanted->certid[0], certid) == 0 ||
           OCSP_id_cmp(wanted->certid[1], certid) == 0;
}

static int badness(mtls_status_t status)
{
    return status == MTLS_STATUS_REVOKED ? 3 : status == MTLS_STATUS_UNKNOWN ? 2 : 1;
}

static void take_statement(mtls_ocsp_proof_t *proof, const mtls_ocsp_statement_t *statement)
{
    int first = proof->status == MTLS_STATUS_UNAVAILABLE;

    if (first || statement->this_update > proof->this_update) {
        proof->this_update = statement->this_update;
        proof->next_update = statement->next_update;
    }
    if (first || badness(statement->status) > badness(proof->status))
        proof->status = statement->status;
}

/* All that the response says of the subject, and that all it says can be read. */
static mtls_ocsp_outcome_t take_statements(OCSP_BASICRESP *basic, const wanted_t *wanted,
                                           mtls_ocsp_proof_t *proof, const char **detail)
{
    mtls_ocsp_statement_t statement;
    int i;

    for (i = 0; i < OCSP_resp_count(basic); i++) {
        *detail = mtls_ocsp_response_statement(basic, i, &statement);
        if (*detail)
            return MTLS_OCSP_NOT_PROVED;
        if (is_wanted(wanted, statement.certid))
            take_statement(proof, &statement);
    }
    if (proof->status != MTLS_STATUS_UNAVAILABLE)
        return MTLS_OCSP_PROVED;
    *detail = "it does not speak of this certificate";
    return MTLS_OCSP_OTHER_CERTID;
}

static const char *check_future(const mtls_ocsp_proof_t *proof, apr_time_t now)
{
    if (proof->produced_at - now > MTLS_MAX_OCSP_SKEW)
        return "its producedAt lies far in the future";
    if (proof->this_update - now > MTLS_MAX_OCSP_SKEW)
        return "its thisUpdate lies far in the future";
    return NULL;
}

/* In the order of their price: one who sends nonsense gets no signature verified. */
static mtls_ocsp_outcome_t judge(OCSP_BASICRESP *basic, const mtls_ocsp_subject_t *subject,
                                 const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                 const char **detail)
{
    wanted_t wanted = {{certid_of(subject, MTLS_OCSP_SHA256), certid_of(subject, MTLS_OCSP_SHA1)}};
    mtls_ocsp_outcome_t outcome = MTLS_OCSP_NOT_PROVED;

    *detail = "out of memory";
    if (wanted.certid[0] && wanted.certid[1] &&
        (*detail = mtls_ocsp_response_read(basic, &proof->produced_at)) == NULL &&
        (*detail = mtls_ocsp_response_nonce(basic, terms->sent_nonce, terms->need_nonce)) == NULL)
        outcome = take_statements(basic, &wanted, proof, detail);
    if (outcome == MTLS_OCSP_PROVED &&
        ((*detail = check_future(proof, terms->now)) != NULL ||
         (*detail = mtls_ocsp_signer_refusal(basic, subject, proof)) != NULL))
        outcome = MTLS_OCSP_NOT_PROVED;
    OCSP_CERTID_free(wanted.certid[0]);
    OCSP_CERTID_free(wanted.certid[1]);
    return outcome;
}

mtls_ocsp_outcome_t mtls_ocsp_prove(const mtls_ocsp_subject_t *subject, mtls_span_t der,
                                    const mtls_ocsp_terms_t *terms, mtls_ocsp_proof_t *proof,
                                    const char **detail)
{
    OCSP_BASICRESP *basic = NULL;
    mtls_ocsp_outcome_t outcome;

    memset(proof, 0, sizeof(*proof));
    outcome = mtls_ocsp_response_open(der, &basic, detail);
    if (outcome == MTLS_OCSP_PROVED) /* that it can be read */
        outcome = judge(basic, subject, terms, proof, detail);
    if (outcome != MTLS_OCSP_PROVED)
        memset(proof, 0, sizeof(*proof));
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return outcome;
}

/* ---- age ---- */

static apr_time_t later(apr_time_t at, apr_interval_time_t by)
{
    apr_time_t sum;

    return __builtin_add_overflow(at, by, &sum) ? MTLS_FOREVER : sum;
}

static apr_time_t own_end(const mtls_ocsp_proof_t *proof, const mtls_ocsp_limits_t *limits)
{
    return proof->next_update ? proof->next_update : later(proof->this_update, limits->max_age);
}

/* A certificate is good through the second it names. */
static apr_time_t signer_end(const mtls_ocsp_proof_t *proof)
{
    return later(proof->signer_until, apr_time_from_sec(1));
}

const char *mtls_ocsp_stale(const mtls_ocsp_proof_t *proof, const mtls_ocsp_limits_t *limits,
                            apr_time_t now)
{
    apr_time_t latest = later(now, limits->skew);

    if (proof->status != MTLS_STATUS_GOOD && proof->status != MTLS_STATUS_REVOKED &&
        proof->status != MTLS_STATUS_UNKNOWN)
        return "nothing is proved";
    if (proof->this_update > latest)
        return "its thisUpdate lies in the future";
    if (proof->produced_at > latest)
        return "its producedAt lies in the future";
    if (later(own_end(proof, limits), limits->skew) < now)
        return proof->next_update ? "its nextUpdate has passed"
                                  : "it has no nextUpdate and is too old";
    if (now < proof->signer_from)
        return "its signer's certificate is not yet valid";
    if (now >= signer_end(proof))
        return "its signer's certificate has expired";
    return NULL;
}

apr_time_t mtls_ocsp_ends(const mtls_ocsp_proof_t *proof, const mtls_ocsp_limits_t *limits)
{
    apr_time_t own = own_end(proof, limits), signer = signer_end(proof);

    return own < signer ? own : signer;
}

int mtls_ocsp_newer(const mtls_ocsp_proof_t *a, const mtls_ocsp_proof_t *b)
{
    if (a->this_update != b->this_update)
        return a->this_update > b->this_update;
    if (a->produced_at != b->produced_at)
        return a->produced_at > b->produced_at;
    return a->status == MTLS_STATUS_REVOKED && b->status != MTLS_STATUS_REVOKED;
}

/* ---- responders ---- */

static int has_scheme(mtls_span_t url, const char *scheme)
{
    apr_size_t i = 0;

    while (scheme[i] && i < url.len && mtls_ascii_lower(url.data[i]) == scheme[i])
        i++;
    return !scheme[i] && url.len > i;
}

/* Printable ASCII without blanks: what goes into a request and a log can end neither. */
static int is_url(mtls_span_t url)
{
    apr_size_t i;

    if (url.len > MTLS_MAX_OCSP_URL_BYTES ||
        (!has_scheme(url, "http://") && !has_scheme(url, "https://")))
        return 0;
    for (i = 0; i < url.len; i++) {
        if (url.data[i] <= ' ' || url.data[i] > '~')
            return 0;
    }
    return 1;
}

static const char *url_of(apr_pool_t *p, const ACCESS_DESCRIPTION *access)
{
    const ASN1_IA5STRING *text;
    mtls_span_t url;

    if (OBJ_obj2nid(access->method) != NID_ad_OCSP || access->location->type != GEN_URI)
        return NULL;
    text = access->location->d.uniformResourceIdentifier;
    url =
        mtls_span((const char *)ASN1_STRING_get0_data(text), (apr_size_t)ASN1_STRING_length(text));
    return is_url(url) ? mtls_span_copy(p, url).data : NULL;
}

apr_array_header_t *mtls_ocsp_urls(apr_pool_t *p, X509 *x)
{
    apr_array_header_t *urls = apr_array_make(p, 2, sizeof(const char *));
    AUTHORITY_INFO_ACCESS *all = X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
    int i;

    for (i = 0; i < sk_ACCESS_DESCRIPTION_num(all) && urls->nelts < MTLS_MAX_OCSP_URLS; i++) {
        const char *url = url_of(p, sk_ACCESS_DESCRIPTION_value(all, i));
        if (url)
            APR_ARRAY_PUSH(urls, const char *) = url;
    }
    AUTHORITY_INFO_ACCESS_free(all);
    ERR_clear_error();
    return urls;
}
