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

/* One under way. What a value is put together from goes with `scratch`: a connection would keep
 * several times what it needs. */
typedef struct making_t {
    apr_pool_t *p, *scratch;
    mtls_peer_t *peer;
    const mtls_merged_t *merged;
    mtls_identity_t identity;
    mtls_exports_t *out;
} making_t;

/* The value to keep. */
static const char *keep(making_t *m, const char *name, const char *value)
{
    apr_size_t bytes = strlen(value);

    m->out->bytes += bytes + sizeof(mtls_header_t);
    if (bytes > (apr_size_t)m->merged->header_limit)
        m->out->too_large = name;
    return apr_pstrmemdup(m->p, value, bytes);
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

static void write_headers(making_t *m)
{
    const mtls_merged_t *merged = m->merged;
    const char *text;
    int i;

    m->out->headers =
        apr_pcalloc(m->p, sizeof(*m->out->headers) * (apr_size_t)(merged->header_count + 1));
    for (i = 0; i < merged->header_count; i++) {
        const mtls_export_header_t *header = merged->headers[i];
        text = header->pieces ? header_text(m->scratch, header, &m->identity) : NULL;
        m->out->headers[i] = text ? keep(m, header->name, text) : NULL;
    }
}

/* ---- formats ---- */

/* The certificates of the verified chain above the leaf. 0: they are not to be had. */
static int take_chain(making_t *m)
{
    mtls_identity_t *identity = &m->identity;
    mtls_peer_path_t path;
    mtls_span_t *cas;
    int i, n;

    if (identity->evidence->chain->exempt)
        return 1;
    if (!mtls_peer_path(m->peer, identity->evidence, &path))
        return 0;
    n = sk_X509_num(path.certificates) - 1;
    cas = apr_pcalloc(m->scratch, sizeof(*cas) * (apr_size_t)(n > 0 ? n : 1));
    for (i = 0; i < n; i++) {
        if (!mtls_x509_der(m->scratch, sk_X509_value(path.certificates, i + 1), &cas[i]))
            break;
    }
    mtls_peer_path_done(&path);
    identity->cas = cas;
    identity->ca_count = i;
    return n > 0 && i == n;
}

/* Those that no MTLSExportHeader replaces. */
static void keep_formats(making_t *m, const apr_array_header_t *headers)
{
    apr_array_header_t *kept = apr_array_make(m->p, headers->nelts, sizeof(mtls_header_t));
    int i;

    for (i = 0; i < headers->nelts; i++) {
        const mtls_header_t *header = &APR_ARRAY_IDX(headers, i, const mtls_header_t);
        if (!mtls_merged_writes(m->merged, header->name))
            mtls_header_push(kept, header->name, keep(m, header->name, header->value));
    }
    m->out->formats = kept;
}

/* An element that is appended to an upstream's list is no header of its own yet. */
static void write_format(making_t *m, const mtls_format_t *format, apr_array_header_t *headers)
{
    if (format->kind == MTLS_FORMAT_XFCC && (format->pairs & MTLS_XFCC_BY))
        m->identity.gateway_uris = mtls_peer_gateway_uris(m->peer);
    if (format->kind == MTLS_FORMAT_JWT &&
        !mtls_jwt_subject(m->scratch, format->jwt, &m->identity).data)
        m->out->ambiguous = 1;
    if (!format->append)
        mtls_format_headers(m->scratch, format, &m->identity, headers);
    else if (!mtls_merged_writes(m->merged, MTLS_XFCC_HEADER))
        m->out->xfcc =
            keep(m, MTLS_XFCC_HEADER, mtls_xfcc_element(m->scratch, format->pairs, &m->identity));
}

static void write_formats(making_t *m)
{
    apr_array_header_t *headers = apr_array_make(m->scratch, 8, sizeof(mtls_header_t));
    const apr_array_header_t *formats = m->merged->formats;
    int i;

    if (m->merged->exports_chain && !take_chain(m)) {
        m->out->incomplete = 1;
        return;
    }
    for (i = 0; i < formats->nelts; i++)
        write_format(m, &APR_ARRAY_IDX(formats, i, const mtls_format_t), headers);
    keep_formats(m, headers);
}

mtls_exports_t *mtls_exports_make(apr_pool_t *p, mtls_peer_t *peer, const mtls_merged_t *merged,
                                  const mtls_evidence_t *evidence, apr_time_t now)
{
    making_t m = {.p = p,
                  .peer = peer,
                  .merged = merged,
                  .identity = {.evidence = evidence, .now = now},
                  .out = apr_pcalloc(p, sizeof(mtls_exports_t))};

    apr_pool_create(&m.scratch, p);
    if (merged->user && (m.out->user = mtls_exports_user(p, merged->user, &m.identity)) == NULL)
        m.out->ambiguous = 1;
    write_headers(&m);
    if (merged->formats)
        write_formats(&m);
    if (merged->exports_env)
        m.out->env = identity_env(p, peer, &m.identity);
    apr_pool_destroy(m.scratch);
    return m.out;
}
