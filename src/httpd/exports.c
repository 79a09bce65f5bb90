/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/exports.h"

#include <openssl/x509.h>

#include "identity/jwt.h"
#include "identity/text.h"
#include "identity/xfcc.h"
#include "pki/x509_facts.h"

const char *mtls_exports_user(apr_pool_t *p, const mtls_user_t *user,
                              const mtls_identity_t *identity)
{
    const char *value;

    if (mtls_field_count(&user->field, identity) != 1)
        return NULL;
    value = mtls_field_value(p, &user->field, identity, MTLS_ENCODED);
    if (!value || !*value)
        return NULL;
    return user->prefix ? apr_pstrcat(p, user->prefix, value, NULL) : value;
}

/* ---- variables ---- */

static apr_size_t bytes_of(const apr_array_header_t *env)
{
    apr_size_t bytes = (apr_size_t)env->nelts * sizeof(mtls_variable_t);
    int i;

    for (i = 0; i < env->nelts; i++)
        bytes += strlen(APR_ARRAY_IDX(env, i, mtls_variable_t).value);
    return bytes;
}

/* The same for every policy with the same chain and status. The connection keeps them only where it
 * keeps the verdict: those that take turns would fill its memory. */
static const apr_array_header_t *identity_env(apr_pool_t *p, mtls_peer_t *peer,
                                              const mtls_identity_t *identity)
{
    apr_array_header_t *env;

    if (peer->env && peer->env_chain == identity->evidence->chain &&
        peer->env_status == identity->evidence->status)
        return peer->env;
    env = apr_array_make(p, 24, sizeof(mtls_variable_t));
    mtls_identity_variables(p, identity, env);
    if (p == peer->p) {
        peer->env = env;
        peer->env_chain = identity->evidence->chain;
        peer->env_status = identity->evidence->status;
        peer->kept_exports += bytes_of(env);
    }
    return env;
}

/* ---- headers ---- */

static void count(mtls_exports_t *e, const mtls_merged_t *merged, const char *name,
                  const char *value)
{
    apr_size_t bytes = strlen(value);

    e->bytes += bytes;
    if (bytes > (apr_size_t)merged->header_limit)
        e->too_large = name;
}

/* The header's text, or NULL when one of its attributes is absent. */
static const char *header_text(apr_pool_t *p, const mtls_export_header_t *header,
                               const mtls_identity_t *identity)
{
    const char *text = "", *part;
    int i;

    for (i = 0; i < header->pieces->nelts; i++) {
        const mtls_piece_t *piece = &APR_ARRAY_IDX(header->pieces, i, mtls_piece_t);
        part = piece->literal ? piece->literal
                              : mtls_field_value(p, &piece->field, identity, MTLS_ENCODED);
        if (!part)
            return NULL;
        text = *text ? apr_pstrcat(p, text, part, NULL) : part;
    }
    return *text ? mtls_text_encode_control(p, text) : NULL;
}

static void write_headers(apr_pool_t *p, const mtls_merged_t *merged,
                          const mtls_identity_t *identity, mtls_exports_t *e)
{
    int i;

    e->headers = apr_pcalloc(p, sizeof(*e->headers) * (apr_size_t)(merged->header_count + 1));
    for (i = 0; i < merged->header_count; i++) {
        if (!merged->headers[i]->pieces)
            continue;
        e->headers[i] = header_text(p, merged->headers[i], identity);
        if (e->headers[i])
            count(e, merged, merged->headers[i]->name, e->headers[i]);
    }
}

/* ---- formats ---- */

/* The certificates of the verified chain above the leaf. 0: they are not to be had. */
static int take_chain(apr_pool_t *p, mtls_peer_t *peer, mtls_identity_t *identity)
{
    mtls_peer_path_t path;
    mtls_span_t *cas;
    int i, n;

    if (identity->evidence->chain->exempt)
        return 1;
    if (!mtls_peer_path(peer, identity->evidence, &path))
        return 0;
    n = sk_X509_num(path.certificates) - 1;
    cas = apr_pcalloc(p, sizeof(*cas) * (apr_size_t)(n > 0 ? n : 1));
    for (i = 0; i < n; i++) {
        if (!mtls_x509_der(p, sk_X509_value(path.certificates, i + 1), &cas[i]))
            break;
    }
    mtls_peer_path_done(&path);
    identity->cas = cas;
    identity->ca_count = i;
    return n > 0 && i == n;
}

/* Those that no MTLSExportHeader replaces. */
static const apr_array_header_t *keep_own(const mtls_merged_t *merged, apr_array_header_t *headers,
                                          mtls_exports_t *e)
{
    int i, n = 0;

    for (i = 0; i < headers->nelts; i++) {
        mtls_header_t header = APR_ARRAY_IDX(headers, i, mtls_header_t);
        if (mtls_merged_writes(merged, header.name))
            continue;
        count(e, merged, header.name, header.value);
        APR_ARRAY_IDX(headers, n++, mtls_header_t) = header;
    }
    headers->nelts = n;
    return headers;
}

static void write_formats(apr_pool_t *p, mtls_peer_t *peer, const mtls_merged_t *merged,
                          mtls_identity_t *identity, mtls_exports_t *e)
{
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(mtls_header_t));
    int i;

    if (merged->exports_chain && !take_chain(p, peer, identity)) {
        e->incomplete = 1;
        return;
    }
    for (i = 0; i < merged->formats->nelts; i++) {
        const mtls_format_t *format = &APR_ARRAY_IDX(merged->formats, i, mtls_format_t);
        if (format->kind == MTLS_FORMAT_XFCC && (format->pairs & MTLS_XFCC_BY))
            identity->gateway_uris = mtls_peer_gateway_uris(peer);
        if (format->kind == MTLS_FORMAT_JWT && !mtls_jwt_subject(p, format->jwt, identity).data)
            e->ambiguous = 1;
        if (format->append && !mtls_merged_writes(merged, MTLS_XFCC_HEADER))
            e->xfcc = mtls_xfcc_element(p, format->pairs, identity);
        else if (!format->append)
            mtls_format_headers(p, format, identity, out);
    }
    e->formats = keep_own(merged, out, e);
}

mtls_exports_t *mtls_exports_make(apr_pool_t *p, mtls_peer_t *peer, const mtls_merged_t *merged,
                                  const mtls_evidence_t *evidence, apr_time_t now)
{
    mtls_exports_t *e = apr_pcalloc(p, sizeof(*e));
    mtls_identity_t identity = {.evidence = evidence, .now = now};

    if (merged->user && (e->user = mtls_exports_user(p, merged->user, &identity)) == NULL)
        e->ambiguous = 1;
    write_headers(p, merged, &identity, e);
    if (merged->formats)
        write_formats(p, peer, merged, &identity, e);
    if (merged->exports_env)
        e->env = identity_env(p, peer, &identity);
    return e;
}
