/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/ocsp_response.h"

#include <string.h>

#include <openssl/x509v3.h>

#include "pki/x509_facts.h"
#include "policy/limits.h"

/* ---- DER ---- */

/* Whether an encoding OpenSSL has made is the input, byte for byte. It reads BER; signatures are
 * verified over what it encodes anew, so that other bytes than the signer's could pass. */
static int is_input(mtls_span_t der, unsigned char *encoded, int len)
{
    int same = len > 0 && mtls_span_equal(der, mtls_span((const char *)encoded, (apr_size_t)len));

    OPENSSL_free(encoded);
    return same;
}

static int is_strict(mtls_span_t der, const OCSP_RESPONSE *response)
{
    unsigned char *encoded = NULL;
    int len = i2d_OCSP_RESPONSE(response, &encoded);

    return is_input(der, encoded, len);
}

/* The same of a successful one down to its last byte: its BasicOCSPResponse, which stands in an
 * octet string, is part of the comparison. */
static int is_strict_inside(mtls_span_t der, OCSP_BASICRESP *basic)
{
    OCSP_RESPONSE *again = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int strict = again && is_strict(der, again);

    OCSP_RESPONSE_free(again);
    return strict;
}

/* Version 1 is the default, which DER leaves out; there is no other. */
static int is_version_1(const OCSP_BASICRESP *basic)
{
    const OCSP_RESPDATA *data = OCSP_resp_get0_respdata(basic);
    const unsigned char *at;
    unsigned char *encoded = NULL;
    int tag = 0, class = 0, plain = 0, len = i2d_OCSP_RESPDATA(data, &encoded);
    long content = 0;

    at = encoded;
    if (len > 0 && (ASN1_get_object(&at, &content, &tag, &class, len) & 0x80) == 0 && content > 0)
        plain = *at != (V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED | 0);
    OPENSSL_free(encoded);
    return plain;
}

/* ---- opening ---- */

static const char *status_text(int status)
{
    switch (status) {
    case OCSP_RESPONSE_STATUS_MALFORMEDREQUEST:
        return "the responder says malformedRequest";
    case OCSP_RESPONSE_STATUS_INTERNALERROR:
        return "the responder says internalError";
    case OCSP_RESPONSE_STATUS_TRYLATER:
        return "the responder says tryLater";
    case OCSP_RESPONSE_STATUS_SIGREQUIRED:
        return "the responder says sigRequired";
    case OCSP_RESPONSE_STATUS_UNAUTHORIZED:
        return "the responder says unauthorized";
    default:
        return NULL;
    }
}

static const char *check_basic(mtls_span_t der, OCSP_BASICRESP *basic)
{
    if (!basic)
        return "it holds no basic response that can be read";
    if (!is_strict_inside(der, basic))
        return "it is not DER, or something follows it";
    if (!is_version_1(basic))
        return "it is of an unknown version";
    if (OCSP_resp_count(basic) < 1)
        return "it says nothing";
    if (OCSP_resp_count(basic) > MTLS_MAX_OCSP_STATEMENTS)
        return "it speaks of too many certificates";
    if (sk_X509_num(OCSP_resp_get0_certs(basic)) > MTLS_MAX_OCSP_CERTIFICATES)
        return "it holds too many certificates";
    return NULL;
}

static mtls_ocsp_outcome_t open_answer(mtls_span_t der, OCSP_RESPONSE *response,
                                       OCSP_BASICRESP **basic, const char **detail)
{
    int status = OCSP_response_status(response);

    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        const char *text = is_strict(der, response) ? status_text(status) : NULL;
        *detail = text ? text : "its responseStatus is unknown, or it is not DER";
        return text ? MTLS_OCSP_NOT_ANSWERED : MTLS_OCSP_NOT_PROVED;
    }
    *basic = OCSP_response_get1_basic(response);
    *detail = check_basic(der, *basic);
    if (!*detail)
        return MTLS_OCSP_PROVED;
    OCSP_BASICRESP_free(*basic);
    *basic = NULL;
    return MTLS_OCSP_NOT_PROVED;
}

mtls_ocsp_outcome_t mtls_ocsp_response_open(mtls_span_t der, OCSP_BASICRESP **basic,
                                            const char **detail)
{
    const unsigned char *at = (const unsigned char *)der.data;
    mtls_ocsp_outcome_t outcome = MTLS_OCSP_NOT_PROVED;
    OCSP_RESPONSE *response;

    *basic = NULL;
    *detail = "it is too large";
    if (der.len > MTLS_MAX_OCSP_BYTES)
        return outcome;
    *detail = "it is no OCSP response";
    response = der.len > 0 ? d2i_OCSP_RESPONSE(NULL, &at, (long)der.len) : NULL;
    if (response)
        outcome = open_answer(der, response, basic, detail);
    OCSP_RESPONSE_free(response);
    return outcome;
}

/* ---- extensions ---- */

/* Of a statement, or with none of the response. NULL behind the last. */
static X509_EXTENSION *extension_at(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single, int i)
{
    return single ? OCSP_SINGLERESP_get_ext(single, i) : OCSP_BASICRESP_get_ext(basic, i);
}

static int stands_before(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single, int i)
{
    const ASN1_OBJECT *name = X509_EXTENSION_get_object(extension_at(basic, single, i));
    int before = i;

    while (--before >= 0) {
        if (OBJ_cmp(name, X509_EXTENSION_get_object(extension_at(basic, single, before))) == 0)
            return 1;
    }
    return 0;
}

static const char *check_extensions(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single)
{
    X509_EXTENSION *extension;
    int i;

    for (i = 0; (extension = extension_at(basic, single, i)) != NULL; i++) {
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (i >= MTLS_MAX_EXTENSIONS)
            return "it has too many extensions";
        if (X509_EXTENSION_get_critical(extension) && (single || nid != NID_id_pkix_OCSP_Nonce))
            return "it has a critical extension that is not known here";
        if (stands_before(basic, single, i))
            return "it has an extension twice";
    }
    return NULL;
}

const char *mtls_ocsp_response_nonce(OCSP_BASICRESP *basic, mtls_span_t sent, int needed)
{
    int index = OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1);
    const ASN1_OCTET_STRING *value;
    const unsigned char *der;

    if (sent.len == 0) /* RFC 9919 4: then a nonce means nothing */
        return NULL;
    if (index < 0)
        return needed ? "it has no nonce" : NULL;
    value = X509_EXTENSION_get_data(OCSP_BASICRESP_get_ext(basic, index));
    der = ASN1_STRING_get0_data(value);
    /* RFC 9654 2.1: an OCTET STRING, here with a length of one byte */
    if (sent.len < 0x80 && ASN1_STRING_length(value) == (int)sent.len + 2 &&
        der[0] == V_ASN1_OCTET_STRING && der[1] == sent.len &&
        memcmp(der + 2, sent.data, sent.len) == 0)
        return NULL;
    return "its nonce is not the one that was sent";
}

/* ---- times and statements ---- */

/* YYYYMMDDHHMMSSZ and nothing else (RFC 5280 4.1.2.5.2, RFC 9919 3.2.1). */
static int read_time(const ASN1_GENERALIZEDTIME *at, apr_time_t *out)
{
    const unsigned char *text = at ? ASN1_STRING_get0_data(at) : NULL;
    int i;

    *out = 0;
    if (!text || ASN1_STRING_type(at) != V_ASN1_GENERALIZEDTIME || ASN1_STRING_length(at) != 15 ||
        text[14] != 'Z')
        return 0;
    for (i = 0; i < 14; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
    }
    return mtls_x509_time(at, out) && *out > 0;
}

const char *mtls_ocsp_response_read(OCSP_BASICRESP *basic, apr_time_t *produced_at)
{
    if (!read_time(OCSP_resp_get0_produced_at(basic), produced_at))
        return "its producedAt is no time";
    return check_extensions(basic, NULL);
}

/* A certificate on hold is revoked, and one that is to be revoked, or was taken off a CRL for
 * another reason than being good again: reason and date are not looked at. */
static mtls_status_t status_of(int status)
{
    switch (status) {
    case V_OCSP_CERTSTATUS_GOOD:
        return MTLS_STATUS_GOOD;
    case V_OCSP_CERTSTATUS_REVOKED:
        return MTLS_STATUS_REVOKED;
    case V_OCSP_CERTSTATUS_UNKNOWN:
        return MTLS_STATUS_UNKNOWN;
    default:
        return MTLS_STATUS_UNAVAILABLE;
    }
}

const char *mtls_ocsp_response_statement(OCSP_BASICRESP *basic, int i,
                                         mtls_ocsp_statement_t *statement)
{
    OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *to = NULL;
    int reason = 0;

    memset(statement, 0, sizeof(*statement));
    if (!single || (statement->certid = OCSP_SINGLERESP_get0_id(single)) == NULL)
        return "it cannot be read";
    statement->status = status_of(OCSP_single_get0_status(single, &reason, &revoked, &from, &to));
    if (statement->status == MTLS_STATUS_UNAVAILABLE)
        return "it gives a status that is not known here";
    if (!read_time(from, &statement->this_update))
        return "a thisUpdate is no time";
    if (to && !read_time(to, &statement->next_update))
        return "a nextUpdate is no time";
    if (to && statement->next_update < statement->this_update)
        return "a nextUpdate is before its thisUpdate";
    return check_extensions(basic, single);
}
