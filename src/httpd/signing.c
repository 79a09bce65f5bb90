/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/signing.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <apr_file_info.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "httpd/config.h"
#include "httpd/site.h"
#include "httpd/watched.h"
#include "identity/text.h"

#define HANDLER      "mtls-jwks"
#define CONTENT_TYPE "application/jwk-set+json"

/* Seconds a key set may be kept by whoever reads it: a key has to be published for longer than that
 * before it signs (docs/directives.md). */
#define MAX_AGE "300"

static const mtls_signer_t *signer_at(const apr_array_header_t *signers, int i)
{
    return APR_ARRAY_IDX(signers, i, const mtls_signer_t *);
}

/* ---- SetHandler mtls-jwks ---- */

/* While keys change places, two lines can have the same one. */
static int is_among(const apr_array_header_t *jwks, const char *jwk)
{
    int i;

    for (i = 0; i < jwks->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(jwks, i, const char *), jwk) == 0)
            return 1;
    }
    return 0;
}

static void push_jwk(apr_pool_t *p, const mtls_signer_t *signer, apr_array_header_t *jwks)
{
    const mtls_version_t *version = mtls_live_take(signer->live);
    const mtls_signing_key_t *key = version ? version->data : NULL;

    if (key && !is_among(jwks, key->jwk))
        APR_ARRAY_PUSH(jwks, const char *) = apr_pstrdup(p, key->jwk);
    mtls_live_give_back(signer->live, version);
}

static const char *key_set(request_rec *r)
{
    const apr_array_header_t *signers = mtls_server_of(r->server)->signers;
    apr_array_header_t *jwks = apr_array_make(r->pool, 4, sizeof(const char *));
    int i;

    for (i = 0; signers && i < signers->nelts; i++)
        push_jwk(r->pool, signer_at(signers, i), jwks);
    return apr_pstrcat(r->pool, "{\"keys\":[", apr_array_pstrcat(r->pool, jwks, ','), "]}", NULL);
}

static void set_etag(request_rec *r, const char *text)
{
    unsigned char sha256[SHA256_DIGEST_LENGTH];

    if (EVP_Digest(text, strlen(text), sha256, NULL, EVP_sha256(), NULL) == 1)
        apr_table_setn(r->headers_out, "ETag",
                       apr_pstrcat(r->pool, "\"",
                                   mtls_text_base64url(r->pool, mtls_span((char *)sha256, 12)),
                                   "\"", NULL));
}

static int publish_keys(request_rec *r)
{
    const char *text;
    int rc;

    /* Asked for every request. */
    if (!r->handler || *r->handler != *HANDLER || strcmp(r->handler, HANDLER) != 0)
        return DECLINED;
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1); /* and HEAD, the same to httpd */
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    if ((rc = ap_discard_request_body(r)) != OK)
        return rc;
    text = key_set(r);
    ap_set_content_type(r, CONTENT_TYPE);
    apr_table_setn(r->headers_out, "Cache-Control", "public, max-age=" MAX_AGE);
    set_etag(r, text);
    if ((rc = ap_meets_conditions(r)) != OK)
        return rc;
    ap_set_content_length(r, (apr_off_t)strlen(text));
    if (!r->header_only)
        ap_rputs(text, r);
    return OK;
}

/* ---- MTLSSigningKey ---- */

static const char *check_new(cmd_parms *cmd, const apr_array_header_t *signers, const char *file,
                             const char *kid)
{
    int i;

    for (i = 0; i < signers->nelts; i++) {
        const mtls_signer_t *other = signer_at(signers, i);
        if (strcmp(other->spec.file, file) == 0)
            return apr_psprintf(cmd->pool, "%s is named already at %s", file, other->where);
        if (kid && other->spec.kid && strcmp(other->spec.kid, kid) == 0)
            return apr_psprintf(cmd->pool, "the kid \"%s\" is that of another key already, at %s",
                                kid, other->where);
    }
    return kid ? mtls_signing_kid_check(cmd->pool, kid) : NULL;
}

/* Whoever reads the key is everybody the tokens are about. */
static void warn_of_readers(cmd_parms *cmd, const char *file)
{
    apr_finfo_t info;

    if (apr_stat(&info, file, APR_FINFO_PROT, cmd->temp_pool) == APR_SUCCESS &&
        (info.protection & (APR_FPROT_WREAD | APR_FPROT_WWRITE)))
        APR_ARRAY_PUSH(mtls_site()->warnings, const char *) = apr_psprintf(
            cmd->pool,
            "%s: MTLSSigningKey: everybody on this machine may read or write %s, and be whoever "
            "the tokens name",
            mtls_where(cmd->pool, cmd->directive), file);
}

static mtls_signer_t *make_signer(cmd_parms *cmd, const char *file, const char *kid)
{
    mtls_signer_t *signer = apr_pcalloc(cmd->pool, sizeof(*signer));

    signer->where = mtls_where(cmd->pool, cmd->directive);
    signer->spec.file = file;
    signer->spec.kid = kid ? apr_pstrdup(cmd->pool, kid) : NULL;
    return signer;
}

static const char *load_signer(cmd_parms *cmd, mtls_signer_t *signer)
{
    mtls_parse_env_t env = mtls_watched_env(cmd, cmd->directive);

    env.where = apr_pstrcat(cmd->pool, signer->where, ": MTLSSigningKey", NULL);
    env.secret = 1;
    return env.watch(&env, mtls_signing_key_load, &signer->spec, &signer->live);
}

static void add_handler(void)
{
    ap_hook_handler(publish_keys, NULL, NULL, APR_HOOK_MIDDLE);
}

const char *mtls_set_signing_key(cmd_parms *cmd, void *dir, const char *name, const char *kid)
{
    mtls_server_t *server = mtls_server_of(cmd->server);
    const char *file = *name ? ap_server_root_relative(cmd->pool, name) : NULL;
    mtls_signer_t *signer;
    const char *error;

    (void)dir;
    if (!file)
        return apr_psprintf(cmd->pool, "MTLSSigningKey: \"%s\" is not the name of a file", name);
    if (!server->signers)
        server->signers = apr_array_make(cmd->pool, 2, sizeof(const mtls_signer_t *));
    signer = make_signer(cmd, file, kid);
    if ((error = check_new(cmd, server->signers, file, kid)) != NULL ||
        (error = load_signer(cmd, signer)) != NULL)
        return apr_psprintf(cmd->pool, "MTLSSigningKey: %s", error);
    warn_of_readers(cmd, file);
    APR_ARRAY_PUSH(server->signers, const mtls_signer_t *) = signer;
    if (!mtls_site()->signs)
        mtls_site_add_hooks(add_handler);
    mtls_site()->signs = 1;
    return NULL;
}

const mtls_signer_t *mtls_signing_first(const server_rec *s)
{
    const apr_array_header_t *signers = mtls_server_of(s)->signers;

    return signers && signers->nelts > 0 ? signer_at(signers, 0) : NULL;
}
