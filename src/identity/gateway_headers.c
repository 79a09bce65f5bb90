/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/gateway_headers.h"

#include "identity/client_cert.h"
#include "identity/text.h"
#include "identity/traefik.h"
#include "identity/vouched.h"

static const mtls_facts_t *facts_of(const mtls_identity_t *identity)
{
    return identity->evidence->facts;
}

/* Hex with an even number of digits: whole bytes, as those read it who decode it. */
static const char *serial_bytes(apr_pool_t *p, const mtls_identity_t *identity)
{
    const char *serial = facts_of(identity)->serial;
    int negative = *serial == '-';
    const char *digits = serial + negative;

    return apr_pstrcat(p, negative ? "-" : "", strlen(digits) % 2 ? "0" : "", digits, NULL);
}

/* A store allows exactly this certificate: nobody has asked who issued it. */
static int is_exempt(const mtls_identity_t *identity)
{
    return identity->evidence->chain && identity->evidence->chain->exempt;
}

static const char *yes(apr_pool_t *p, const mtls_identity_t *identity)
{
    (void)p;
    (void)identity;
    return "true";
}

/* ---- Google Cloud: custom headers of its application load balancers ---- */

static const char *chain_verified(apr_pool_t *p, const mtls_identity_t *identity)
{
    (void)p;
    return is_exempt(identity) ? "false" : "true";
}

static const char *fingerprint(apr_pool_t *p, const mtls_identity_t *identity)
{
    return mtls_text_base64(p,
                            mtls_span((const char *)facts_of(identity)->sha256, MTLS_DIGEST_BYTES));
}

static const char *spiffe(apr_pool_t *p, const mtls_identity_t *identity)
{
    mtls_span_t id;

    return mtls_vouched_id(identity, &id) ? apr_pstrmemdup(p, id.data, id.len) : NULL;
}

static void push_base64(apr_array_header_t *out, mtls_span_t value)
{
    if (value.len > 0)
        APR_ARRAY_PUSH(out, const char *) = mtls_text_base64(out->pool, value);
}

/* Items in base64, joined with commas; without the SPIFFE ID, vouched for or not. */
static const char *uri_sans(apr_pool_t *p, const mtls_identity_t *identity)
{
    const mtls_values_t *uris = &facts_of(identity)->san[MTLS_SAN_URI];
    apr_array_header_t *items = apr_array_make(p, uris->n + 1, sizeof(const char *));
    mtls_span_t id;
    int i;

    for (i = 0; i < uris->n && !mtls_vouched_id(identity, &id); i++) {
        if (mtls_vouched_uri(identity, uris->v[i]))
            push_base64(items, uris->v[i]);
    }
    return apr_array_pstrcat(p, items, ',');
}

static const char *dns_sans(apr_pool_t *p, const mtls_identity_t *identity)
{
    const mtls_values_t *names = &facts_of(identity)->san[MTLS_SAN_DNS];
    apr_array_header_t *items = apr_array_make(p, names->n + 1, sizeof(const char *));
    int i;

    for (i = 0; i < names->n; i++)
        push_base64(items, names->v[i]);
    return apr_array_pstrcat(p, items, ',');
}

/* Google writes the offset in digits. */
static const char *with_offset(apr_pool_t *p, apr_time_t at)
{
    const char *text = mtls_text_time(p, at);

    return apr_psprintf(p, "%.*s+00:00", (int)strlen(text) - 1, text);
}

static const char *not_before(apr_pool_t *p, const mtls_identity_t *identity)
{
    return with_offset(p, facts_of(identity)->not_before);
}

static const char *not_after(apr_pool_t *p, const mtls_identity_t *identity)
{
    return with_offset(p, facts_of(identity)->not_after);
}

static const char *name_der(apr_pool_t *p, const mtls_name_t *name)
{
    return name->n > 0 ? mtls_text_base64(p, name->der) : NULL;
}

static const char *issuer_der(apr_pool_t *p, const mtls_identity_t *identity)
{
    return is_exempt(identity) ? NULL : name_der(p, &facts_of(identity)->issuer);
}

static const char *subject_der(apr_pool_t *p, const mtls_identity_t *identity)
{
    return name_der(p, &facts_of(identity)->subject);
}

static const mtls_gateway_header_t google[] = {
    {"X-Client-Cert-Present", yes},
    {"X-Client-Cert-Chain-Verified", chain_verified},
    {"X-Client-Cert-Error", NULL},
    {"X-Client-Cert-Hash", fingerprint},
    {"X-Client-Cert-Serial-Number", serial_bytes},
    {"X-Client-Cert-SPIFFE", spiffe},
    {"X-Client-Cert-URI-SANs", uri_sans},
    {"X-Client-Cert-DNSName-SANs", dns_sans},
    {"X-Client-Cert-Valid-Not-Before", not_before},
    {"X-Client-Cert-Valid-Not-After", not_after},
    {"X-Client-Cert-Issuer-Dn", issuer_der},
    {"X-Client-Cert-Subject-Dn", subject_der},
    {"X-Client-Cert-Leaf", mtls_client_cert},
    {"X-Client-Cert-Chain", mtls_client_cert_chain},
};

/* ---- AWS: application load balancers in verify mode ---- */

static const char *upper_serial(apr_pool_t *p, const mtls_identity_t *identity)
{
    char *text = apr_pstrdup(p, serial_bytes(p, identity)), *at;

    for (at = text; *at; at++) {
        if (*at >= 'a' && *at <= 'f')
            *at = (char)(*at - 'a' + 'A');
    }
    return text;
}

static const char *issuer(apr_pool_t *p, const mtls_identity_t *identity)
{
    (void)p;
    return is_exempt(identity) ? NULL : facts_of(identity)->issuer.rfc2253;
}

static const char *subject(apr_pool_t *p, const mtls_identity_t *identity)
{
    (void)p;
    return facts_of(identity)->subject.rfc2253;
}

static const char *validity(apr_pool_t *p, const mtls_identity_t *identity)
{
    return apr_pstrcat(p, "NotBefore=", mtls_text_time(p, facts_of(identity)->not_before),
                       ";NotAfter=", mtls_text_time(p, facts_of(identity)->not_after), NULL);
}

static const char *pem_for_aws(apr_pool_t *p, const mtls_identity_t *identity)
{
    const char *pem = mtls_text_pem(p, facts_of(identity)->der);

    return mtls_text_percent(p, mtls_span_of(pem), "-._~+=/");
}

static const mtls_gateway_header_t aws_alb[] = {
    {"X-Amzn-Mtls-Clientcert", NULL}, /* of its passthrough mode: nobody has verified it */
    {"X-Amzn-Mtls-Clientcert-Serial-Number", upper_serial},
    {"X-Amzn-Mtls-Clientcert-Issuer", issuer},
    {"X-Amzn-Mtls-Clientcert-Subject", subject},
    {"X-Amzn-Mtls-Clientcert-Validity", validity},
    {"X-Amzn-Mtls-Clientcert-Leaf", pem_for_aws},
};

/* ---- ingress-nginx: what nginx calls $ssl_client_verify, _s_dn, _i_dn and _escaped_cert ---- */

static const char *success(apr_pool_t *p, const mtls_identity_t *identity)
{
    (void)p;
    (void)identity;
    return "SUCCESS";
}

static const char *pem_for_nginx(apr_pool_t *p, const mtls_identity_t *identity)
{
    const char *pem = mtls_text_pem(p, facts_of(identity)->der);

    return mtls_text_percent(p, mtls_span_of(pem), "-._~");
}

static const mtls_gateway_header_t ingress_nginx[] = {
    {"ssl-client-verify", success},
    {"ssl-client-subject-dn", subject},
    {"ssl-client-issuer-dn", issuer},
    {"ssl-client-cert", pem_for_nginx},
};

/* ---- Traefik: its middleware PassTLSClientCert ---- */

static const mtls_gateway_header_t traefik[] = {
    {"X-Forwarded-Tls-Client-Cert", mtls_traefik_certificates},
    {"X-Forwarded-Tls-Client-Cert-Info", mtls_traefik_info},
};

/* ---- the sets ---- */

#define GATEWAY(set)                                                                               \
    {                                                                                              \
        (set), (int)(sizeof(set) / sizeof((set)[0]))                                               \
    }
const mtls_gateway_t mtls_gateway_google = GATEWAY(google);
const mtls_gateway_t mtls_gateway_aws_alb = GATEWAY(aws_alb);
const mtls_gateway_t mtls_gateway_ingress_nginx = GATEWAY(ingress_nginx);
const mtls_gateway_t mtls_gateway_traefik = GATEWAY(traefik);

const char *const *mtls_gateway_names(apr_pool_t *p, const mtls_gateway_t *gateway)
{
    const char **names = apr_pcalloc(p, ((apr_size_t)gateway->n + 1) * sizeof(*names));
    int i;

    for (i = 0; i < gateway->n; i++)
        names[i] = gateway->headers[i].name;
    return names;
}

void mtls_gateway_headers(apr_pool_t *p, const mtls_gateway_t *gateway,
                          const mtls_identity_t *identity, apr_array_header_t *out)
{
    int i;

    for (i = 0; i < gateway->n; i++) {
        const mtls_gateway_header_t *header = &gateway->headers[i];
        if (header->value)
            mtls_header_push(out, header->name, header->value(p, identity));
    }
}
