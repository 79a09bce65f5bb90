/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/trust_store.h"

#include <apr_hash.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/chain_cache.h"
#include "pki/crl.h"
#include "pki/pem_files.h"
#include "pki/x509_facts.h"
#include "policy/limits.h"

/* What one file gave. A new version takes over the pieces of files that have not changed: their
 * certificates and lists are OpenSSL's, and counted. */
typedef struct piece_t {
    mtls_store_part_t part;
    const char *path;
    apr_uint64_t state; /* of the file when it was read; 0: it was not read from there */
    STACK_OF(X509) * certificates;
    STACK_OF(X509_CRL) * crls;
} piece_t;

/* A version; the first member is what everybody else sees. */
typedef struct store_data_t {
    mtls_trust_store_t store;
    apr_array_header_t *pieces; /* piece_t * */
    STACK_OF(X509) * cas;
    int anchors; /* the first of them */
} store_data_t;

/* A load under way. */
typedef struct loading_t {
    mtls_parse_env_t *env;
    const mtls_trust_spec_t *spec;
    const store_data_t *before; /* NULL: the first */
    store_data_t *made;
    const store_data_t *tried;   /* made in this load, and no good as a whole; NULL */
    int stays[MTLS_STORE_PARTS]; /* parts that are bad as a whole stay as they were */
    int changed;                 /* some piece is new, or one has gone */
    int certificates;
    int listed; /* the file at hand was found by a pattern, and not named */
} loading_t;

const char *mtls_store_directive(mtls_store_part_t part)
{
    static const char *const names[MTLS_STORE_PARTS] = {"MTLSAnchor", "MTLSIntermediate",
                                                        "MTLSAllowCertificate",
                                                        "MTLSOCSPResponderCertificate", "MTLSCRL"};

    return names[part];
}

/* ---- pieces ---- */

static apr_status_t free_piece(void *piece_)
{
    piece_t *piece = piece_;

    sk_X509_pop_free(piece->certificates, X509_free);
    sk_X509_CRL_pop_free(piece->crls, X509_CRL_free);
    return APR_SUCCESS;
}

static piece_t *make_piece(apr_pool_t *p, mtls_store_part_t part, const char *path)
{
    piece_t *piece = apr_pcalloc(p, sizeof(*piece));

    piece->part = part;
    piece->path = apr_pstrdup(p, path);
    piece->certificates = sk_X509_new_null();
    piece->crls = sk_X509_CRL_new_null();
    apr_pool_cleanup_register(p, piece, free_piece, apr_pool_cleanup_null);
    return piece;
}

/* References of its own; 0: out of memory. */
static int fill_piece(piece_t *piece, const STACK_OF(X509) * certificates,
                      const STACK_OF(X509_CRL) * crls)
{
    int i;

    if (!piece->certificates || !piece->crls)
        return 0;
    for (i = 0; certificates && i < sk_X509_num(certificates); i++) {
        X509 *x = sk_X509_value(certificates, i);
        if (!sk_X509_push(piece->certificates, x))
            return 0;
        X509_up_ref(x);
    }
    for (i = 0; crls && i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        if (!sk_X509_CRL_push(piece->crls, crl))
            return 0;
        X509_CRL_up_ref(crl);
    }
    return 1;
}

static int fill_from_arrays(piece_t *piece, const apr_array_header_t *certificates,
                            const apr_array_header_t *crls)
{
    STACK_OF(X509) *x = sk_X509_new_null();
    STACK_OF(X509_CRL) *c = sk_X509_CRL_new_null();
    int i, ok = x && c;

    for (i = 0; i < certificates->nelts && ok; i++)
        ok = sk_X509_push(x, APR_ARRAY_IDX(certificates, i, X509 *)) > 0;
    for (i = 0; i < crls->nelts && ok; i++)
        ok = sk_X509_CRL_push(c, APR_ARRAY_IDX(crls, i, X509_CRL *)) > 0;
    ok = ok && fill_piece(piece, x, c);
    sk_X509_free(x); /* the arrays' own references end with their pool */
    sk_X509_CRL_free(c);
    return ok;
}

static const piece_t *find_piece(const store_data_t *data, mtls_store_part_t part, const char *path)
{
    int i;

    for (i = 0; data && i < data->pieces->nelts; i++) {
        const piece_t *piece = APR_ARRAY_IDX(data->pieces, i, const piece_t *);
        if (piece->part == part && strcmp(piece->path, path) == 0)
            return piece;
    }
    return NULL;
}

/* ---- what may stand in a file ---- */

/* RFC 4514, for messages; httpd escapes what it logs. */
static const char *name_text(apr_pool_t *p, const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    const char *text = "?";
    char *data;
    long len;

    if (out && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0) {
        len = BIO_get_mem_data(out, &data);
        text = apr_pstrmemdup(p, data, len > 0 ? (apr_size_t)len : 0);
    }
    BIO_free(out);
    return text;
}

static const char *subject_of(apr_pool_t *p, const X509 *x)
{
    return name_text(p, X509_get_subject_name(x));
}

static const char *check_ca(loading_t *l, X509 *x, mtls_store_part_t part)
{
    apr_pool_t *p = l->env->p;

    if (X509_check_ca(x) == 0)
        return apr_psprintf(p, "holds \"%s\", which is no CA%s", subject_of(p, x),
                            part == MTLS_STORE_ANCHOR
                                ? ": to accept exactly this certificate, use MTLSAllowCertificate"
                                : "");
    if ((X509_get_extension_flags(x) & EXFLAG_SS) && X509_self_signed(x, 1) != 1)
        return apr_psprintf(p, "holds \"%s\", which claims to be self-signed and is not",
                            subject_of(p, x));
    return NULL;
}

/* One that can never pass would only look as if it were allowed. */
static const char *check_allowed(loading_t *l, X509 *x)
{
    apr_pool_t *p = l->env->p;
    const char *error = NULL;

    if (mtls_x509_facts(p, x, &error))
        return NULL;
    return apr_psprintf(p, "holds \"%s\", which every policy refuses: %s", subject_of(p, x),
                        error ? error : "out of memory");
}

static void warn_of_dates(loading_t *l, const piece_t *piece)
{
    apr_pool_t *p = l->env->p;
    int i;

    for (i = 0; piece->part != MTLS_STORE_ALLOWED && i < sk_X509_num(piece->certificates); i++) {
        X509 *x = sk_X509_value(piece->certificates, i);
        if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
            l->env->warn(l->env,
                         apr_psprintf(p, "%s: \"%s\" has expired", piece->path, subject_of(p, x)));
    }
    for (i = 0; i < sk_X509_CRL_num(piece->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(piece->crls, i);
        if (X509_cmp_current_time(X509_CRL_get0_nextUpdate(crl)) < 0)
            l->env->warn(l->env,
                         apr_psprintf(p,
                                      "%s: the list of \"%s\" has run out: its certificates are "
                                      "crl_unavailable until there is a newer one",
                                      piece->path, name_text(p, X509_CRL_get_issuer(crl))));
    }
}

/* A list counts when a CA of its issuer's name has signed it and may. Where no such CA is
 * configured a client may still send it. */
static const char *check_crl(loading_t *l, const char *path, X509_CRL *crl)
{
    const STACK_OF(X509) *cas = l->made->cas;
    const char *name = name_text(l->env->p, X509_CRL_get_issuer(crl)), *error = NULL;
    int i, known = 0;

    for (i = 0; i < sk_X509_num(cas); i++) {
        switch (mtls_crl_signed_by(crl, sk_X509_value(cas, i))) {
        case MTLS_CRL_SIGNED:
            return NULL;
        case MTLS_CRL_NOT_ITS_ISSUER:
            break;
        case MTLS_CRL_MAY_NOT_SIGN:
            known = 1;
            error = "may not sign CRLs (keyUsage without cRLSign)";
            break;
        default:
            known = 1;
            error = error ? error : "has not signed it: the signature is not of the key configured";
        }
    }
    if (known)
        return apr_psprintf(l->env->p, "the list of \"%s\": its issuer %s", name, error);
    l->env->warn(l->env, apr_psprintf(l->env->p,
                                      "%s: no CA \"%s\" is configured: its list only counts where "
                                      "a client sends that CA",
                                      path, name));
    return NULL;
}

static const char *check_certificate(loading_t *l, X509 *x, mtls_store_part_t part)
{
    switch (part) {
    case MTLS_STORE_ALLOWED:
        return check_allowed(l, x);
    case MTLS_STORE_RESPONDER: /* what it has signed says what it is good for */
        return X509_get0_pubkey(x) ? NULL : "holds a certificate whose key cannot be read";
    default:
        return check_ca(l, x, part);
    }
}

static const char *check_piece(loading_t *l, const piece_t *piece)
{
    const char *error = NULL;
    int i;

    for (i = 0; i < sk_X509_num(piece->certificates) && !error; i++) {
        X509 *x = sk_X509_value(piece->certificates, i);
        error = check_certificate(l, x, piece->part);
    }
    for (i = 0; i < sk_X509_CRL_num(piece->crls) && !error; i++)
        error = check_crl(l, piece->path, sk_X509_CRL_value(piece->crls, i));
    if (!error)
        warn_of_dates(l, piece);
    return error;
}

static const char *parse_piece(loading_t *l, mtls_span_t text, piece_t *piece)
{
    apr_array_header_t *certificates = apr_array_make(l->env->p, 4, sizeof(X509 *));
    apr_array_header_t *crls = apr_array_make(l->env->p, 1, sizeof(X509_CRL *));
    const char *error;

    if (text.len == 0)
        return "is empty";
    if (piece->part == MTLS_STORE_CRL)
        error = mtls_crls_read(l->env->p, text, crls);
    else
        error = mtls_pem_certificates(l->env->p, text, certificates);
    if (!error && !fill_from_arrays(piece, certificates, crls))
        error = "out of memory";
    return error ? error : check_piece(l, piece);
}

/* ---- files ---- */

static int too_many(const loading_t *l, const piece_t *piece)
{
    return l->made->pieces->nelts >= MTLS_MAX_STORE_FILES ||
           l->certificates + sk_X509_num(piece->certificates) > MTLS_MAX_STORE_CERTIFICATES;
}

/* Whether an anchor by itself, or a helper in building chains. */
static int is_anchor(const loading_t *l, mtls_store_part_t part, X509 *x)
{
    return part == MTLS_STORE_ANCHOR &&
           (l->spec->partial_chain || (X509_get_extension_flags(x) & EXFLAG_SS));
}

static int add_certificate(loading_t *l, mtls_store_part_t part, X509 *x)
{
    store_data_t *made = l->made;
    unsigned char *sha256, spki[MTLS_DIGEST_BYTES];

    if (part == MTLS_STORE_ALLOWED) {
        sha256 = apr_palloc(l->env->p, MTLS_DIGEST_BYTES);
        if (!mtls_x509_digests(x, sha256, spki))
            return 0;
        apr_hash_set((apr_hash_t *)made->store.allowed, sha256, MTLS_DIGEST_BYTES, "");
        return 1;
    }
    if (part == MTLS_STORE_RESPONDER)
        return sk_X509_push(made->store.responders, x) > 0;
    if (is_anchor(l, part, x)) {
        made->anchors++;
        return X509_STORE_add_cert(made->store.certificates, x) == 1 &&
               sk_X509_unshift(made->cas, x) > 0;
    }
    return sk_X509_push(made->store.helpers, x) > 0 && sk_X509_push(made->cas, x) > 0;
}

/* One that OpenSSL does not find, or not use, by the name of a certificate's issuer alone. */
static int is_special(X509_CRL *crl)
{
    ISSUING_DIST_POINT *point =
        X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, NULL, NULL);
    int indirect = point && point->indirectCRL > 0;

    ISSUING_DIST_POINT_free(point);
    return indirect || X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
}

static void note_signer(loading_t *l, X509_CRL *crl)
{
    X509_CRL **key = apr_pmemdup(l->env->p, &crl, sizeof(crl));
    int i;

    for (i = 0; i < sk_X509_num(l->made->cas); i++) {
        X509 *ca = sk_X509_value(l->made->cas, i);
        if (mtls_crl_signed_by(crl, ca) == MTLS_CRL_SIGNED) {
            apr_hash_set((apr_hash_t *)l->made->store.signers, key, sizeof(crl), ca);
            return;
        }
    }
}

static int add_crl(loading_t *l, X509_CRL *crl)
{
    apr_array_header_t *moments = (apr_array_header_t *)l->made->store.crl_moments;
    apr_time_t at;

    if (mtls_x509_time(X509_CRL_get0_lastUpdate(crl), &at))
        APR_ARRAY_PUSH(moments, apr_time_t) = at;
    if (mtls_x509_time(X509_CRL_get0_nextUpdate(crl), &at))
        APR_ARRAY_PUSH(moments, apr_time_t) = at;
    if ((is_special(crl) && sk_X509_CRL_push(l->made->store.special, crl) <= 0) ||
        sk_X509_CRL_push(l->made->store.crls, crl) <= 0)
        return 0;
    note_signer(l, crl);
    return 1;
}

/* ---- the latest lists ---- */

/* What two complete lists have in common when the later one has all that the other has: issuer,
 * scope and key. */
static const char *kind_of(const loading_t *l, X509_CRL *crl, apr_size_t *len)
{
    unsigned char certificate[MTLS_DIGEST_BYTES], spki[MTLS_DIGEST_BYTES] = {0}, *name = NULL;
    int scope = X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1);
    X509 *signer = apr_hash_get((apr_hash_t *)l->made->store.signers, &crl, sizeof(crl));
    int name_len = i2d_X509_NAME(X509_CRL_get_issuer(crl), &name);
    const ASN1_OCTET_STRING *point =
        scope >= 0 ? X509_EXTENSION_get_data(X509_CRL_get_ext(crl, scope)) : NULL;
    apr_size_t point_len = point ? (apr_size_t)ASN1_STRING_length(point) : 0;
    char *kind;

    if (name_len < 0 || (signer && !mtls_x509_digests(signer, certificate, spki))) {
        OPENSSL_free(name);
        return NULL;
    }
    *len = sizeof(spki) + (apr_size_t)name_len + point_len;
    kind = apr_palloc(l->env->p, *len);
    memcpy(kind, spki, sizeof(spki));
    memcpy(kind + sizeof(spki), name, (apr_size_t)name_len);
    if (point_len)
        memcpy(kind + sizeof(spki) + name_len, ASN1_STRING_get0_data(point), point_len);
    OPENSSL_free(name);
    return kind;
}

static int has_begun(const loading_t *l, const X509_CRL *crl)
{
    apr_time_t from;

    return mtls_x509_time(X509_CRL_get0_lastUpdate(crl), &from) && from <= l->env->now;
}

static int note_latest(const loading_t *l, apr_hash_t *latest, X509_CRL *crl)
{
    apr_size_t len = 0;
    const char *kind = kind_of(l, crl, &len);
    const X509_CRL *other = kind ? apr_hash_get(latest, kind, (apr_ssize_t)len) : NULL;

    if (kind && (!other || ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl),
                                             X509_CRL_get0_lastUpdate(other)) > 0))
        apr_hash_set(latest, kind, (apr_ssize_t)len, crl);
    return kind != NULL;
}

/* OpenSSL prefers an older list that is still current to a newer one that has run out, and so would
 * forget what the newer one revokes: it only gets the latest of those that have begun. */
static const char *add_latest(const loading_t *l)
{
    const STACK_OF(X509_CRL) *crls = l->made->store.crls;
    apr_hash_t *latest = apr_hash_make(l->env->p);
    apr_size_t len;
    int i, ok = 1;

    for (i = 0; i < sk_X509_CRL_num(crls) && ok; i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        if (!is_special(crl) && has_begun(l, crl))
            ok = note_latest(l, latest, crl);
    }
    for (i = 0; i < sk_X509_CRL_num(crls) && ok; i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        const char *kind = is_special(crl) || !has_begun(l, crl) ? NULL : kind_of(l, crl, &len);
        if (!kind || apr_hash_get(latest, kind, (apr_ssize_t)len) == crl)
            ok = X509_STORE_add_crl(l->made->store.certificates, crl) == 1;
    }
    return ok ? NULL : "out of memory";
}

/* ---- pieces into a version ---- */

/* Everything of a piece into the version. */
static const char *add_piece(loading_t *l, const piece_t *piece)
{
    int i, ok = 1;

    if (too_many(l, piece))
        return apr_psprintf(l->env->p, "%s: more than %d files or %d certificates in one store",
                            piece->path, MTLS_MAX_STORE_FILES, MTLS_MAX_STORE_CERTIFICATES);
    l->certificates += sk_X509_num(piece->certificates);
    APR_ARRAY_PUSH(l->made->pieces, const piece_t *) = piece;
    for (i = 0; i < sk_X509_num(piece->certificates) && ok; i++)
        ok = add_certificate(l, piece->part, sk_X509_value(piece->certificates, i));
    for (i = 0; i < sk_X509_CRL_num(piece->crls) && ok; i++)
        ok = add_crl(l, sk_X509_CRL_value(piece->crls, i));
    return ok ? NULL : "out of memory";
}

static const char *keep_piece(loading_t *l, const piece_t *before)
{
    piece_t *piece = make_piece(l->env->p, before->part, before->path);

    piece->state = before->state;
    if (!fill_piece(piece, before->certificates, before->crls))
        return "out of memory";
    return add_piece(l, piece);
}

/* A file that cannot be used: its last good version, if there is one, stays in force. One that is
 * new and broken does not keep the others from counting, once the server runs. */
static const char *fall_back(loading_t *l, piece_t *piece, const piece_t *before, const char *error)
{
    mtls_span_t text = {"", 0};

    error = apr_pstrcat(l->env->p, mtls_store_directive(piece->part), " ", error, NULL);
    if (before) {
        l->env->found(l->env, piece->path, error);
        return keep_piece(l, before);
    }
    if (l->env->last_good(l->env, piece->path, &text)) {
        piece = make_piece(l->env->p, piece->part, piece->path);
        if (parse_piece(l, text, piece) == NULL) {
            l->env->found(l->env, piece->path, error);
            return add_piece(l, piece);
        }
    }
    if (!l->before && !l->env->again)
        return error;
    if (!l->before && !l->listed)
        return error; /* the configuration names this very file, and never had it */
    l->env->found(l->env, piece->path, error);
    return NULL;
}

/* Found bad, and not changed since. What was wrong with a list may have been its CA's. */
static int stays_bad(const loading_t *l, mtls_store_part_t part, const char *path)
{
    return l->env->is_bad(l->env, path) && !(part == MTLS_STORE_CRL && l->changed);
}

static const char *take_file(loading_t *l, mtls_store_part_t part, const char *path)
{
    const piece_t *before = find_piece(l->before, part, path);
    apr_uint64_t state = l->env->state(l->env, path);
    piece_t *piece;
    const piece_t *tried = find_piece(l->tried, part, path);
    mtls_span_t text = {"", 0};
    const char *error;

    if (tried)
        return add_piece(l, tried);
    if (before && ((before->state == state && state) || stays_bad(l, part, path)))
        return keep_piece(l, before);
    if (l->before && stays_bad(l, part, path))
        return NULL; /* new, and told to be broken */
    piece = make_piece(l->env->p, part, path);
    piece->state = state;
    error = l->env->read_file(l->env, path, &text);
    if (!error && (error = parse_piece(l, text, piece)) != NULL)
        error = apr_pstrcat(l->env->p, path, ": ", error, NULL);
    if (error)
        return fall_back(l, piece, before, error);
    l->env->found(l->env, path, NULL);
    l->changed = 1;
    return add_piece(l, piece);
}

static const char *take_pattern(loading_t *l, mtls_store_part_t part, const char *pattern)
{
    apr_array_header_t *paths = apr_array_make(l->env->p, 8, sizeof(const char *));
    const char *error = l->env->expand(l->env, pattern, paths, &l->listed);
    int i;

    if (error)
        return apr_psprintf(l->env->p, "%s %s", mtls_store_directive(part), error);
    for (i = 0; i < paths->nelts && !error; i++)
        error = take_file(l, part, APR_ARRAY_IDX(paths, i, const char *));
    return error;
}

static const char *keep_part(loading_t *l, mtls_store_part_t part)
{
    const char *error = NULL;
    int i;

    for (i = 0; i < l->before->pieces->nelts && !error; i++) {
        const piece_t *piece = APR_ARRAY_IDX(l->before->pieces, i, const piece_t *);
        if (piece->part == part)
            error = keep_piece(l, piece);
    }
    return error;
}

static const char *take_part(loading_t *l, mtls_store_part_t part)
{
    const apr_array_header_t *patterns = l->spec->files[part];
    const char *error = NULL;
    int i;

    if (l->stays[part])
        return keep_part(l, part);
    for (i = 0; i < patterns->nelts && !error; i++)
        error = take_pattern(l, part, APR_ARRAY_IDX(patterns, i, const char *));
    return error;
}

/* ---- a version ---- */

static apr_status_t free_data(void *data_)
{
    store_data_t *data = data_;

    X509_STORE_free(data->store.certificates);
    sk_X509_free(data->store.helpers); /* the pieces' */
    sk_X509_free(data->cas);
    sk_X509_free(data->store.responders);
    sk_X509_CRL_free(data->store.special);
    sk_X509_CRL_free(data->store.crls);
    return APR_SUCCESS;
}

static unsigned long flags_of(const mtls_trust_spec_t *spec)
{
    mtls_crl_check_t check = spec->crl_check;
    unsigned long flags = spec->partial_chain ? X509_V_FLAG_PARTIAL_CHAIN : 0;

    if (check == MTLS_CRL_CHECK_UNSET)
        check = spec->files[MTLS_STORE_CRL]->nelts ? MTLS_CRL_CHECK_CHAIN : MTLS_CRL_CHECK_OFF;
    if (check == MTLS_CRL_CHECK_OFF)
        return flags;
    flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_EXTENDED_CRL_SUPPORT | X509_V_FLAG_USE_DELTAS;
    return check == MTLS_CRL_CHECK_CHAIN ? flags | X509_V_FLAG_CRL_CHECK_ALL : flags;
}

static store_data_t *make_data(apr_pool_t *p, const mtls_trust_spec_t *spec)
{
    store_data_t *data = apr_pcalloc(p, sizeof(*data));
    mtls_trust_store_t *store = &data->store;

    store->cache = mtls_chain_cache_make(p);
    store->name = spec->name;
    store->domains =
        spec->domains->nelts > 1 ? (const char *const *)(void *)spec->domains->elts : NULL;
    store->depth = spec->depth;
    store->crl_missing_ok = spec->crl_missing_ok;
    store->allowed = apr_hash_make(p);
    store->crl_moments = apr_array_make(p, 4, sizeof(apr_time_t));
    data->pieces = apr_array_make(p, 8, sizeof(const piece_t *));
    store->certificates = X509_STORE_new();
    store->helpers = sk_X509_new_null();
    data->cas = sk_X509_new_null();
    store->responders = sk_X509_new_null();
    store->special = sk_X509_CRL_new_null();
    store->crls = sk_X509_CRL_new_null();
    store->signers = apr_hash_make(p);
    apr_pool_cleanup_register(p, data, free_data, apr_pool_cleanup_null);
    if (!store->cache || !store->certificates || !store->helpers || !data->cas ||
        !store->responders || !store->special || !store->crls ||
        X509_STORE_set_flags(store->certificates, flags_of(spec)) != 1)
        return NULL;
    return data;
}

static const char *check_data(const loading_t *l)
{
    const store_data_t *made = l->made;

    if (made->anchors || apr_hash_count((apr_hash_t *)made->store.allowed) ||
        l->spec->only_responders)
        return NULL;
    if (sk_X509_num(made->cas) > 0)
        return "no trust anchor: every CA given is an intermediate; add the root that issued it, "
               "or make intermediates anchors with MTLSPartialChain On";
    return "no trust anchor and no allowed certificate: name some with MTLSAnchor or "
           "MTLSAllowCertificate";
}

static const char *check_responders(const loading_t *l)
{
    const STACK_OF(X509) *responders = l->made->store.responders;
    int i, n = sk_X509_num(responders), bytes = 0;

    for (i = 0; i < n; i++)
        bytes += i2d_X509(sk_X509_value(responders, i), NULL);
    if (n <= MTLS_MAX_STORE_RESPONDERS && bytes <= MTLS_MAX_STORE_RESPONDER_BYTES)
        return NULL;
    return apr_psprintf(l->env->p,
                        "MTLSOCSPResponderCertificate: %d certificates of %d bytes; allowed: %d of "
                        "%d bytes together",
                        n, bytes, MTLS_MAX_STORE_RESPONDERS, MTLS_MAX_STORE_RESPONDER_BYTES);
}

/* Make a version; `bad` gets the part that is to blame where there is an error, or
 * MTLS_STORE_PARTS. */
static const char *build(loading_t *l, mtls_store_part_t *bad)
{
    const char *error = NULL;
    int part;

    *bad = MTLS_STORE_PARTS;
    if ((l->made = make_data(l->env->p, l->spec)) == NULL)
        return "out of memory";
    for (part = 0; part < MTLS_STORE_PARTS && !error; part++) {
        if ((error = take_part(l, (mtls_store_part_t)part)) != NULL)
            *bad = (mtls_store_part_t)part;
    }
    if (!error)
        error = add_latest(l);
    if (!error && (error = check_responders(l)) != NULL)
        *bad = MTLS_STORE_RESPONDER;
    if (!error && (error = check_data(l)) != NULL)
        *bad = MTLS_STORE_ANCHOR;
    return error;
}

/* Let the parts that are bad stay as they were, so that the others count: whoever spoils an
 * anchor's file must not hold up a list. Parts are few, and each is let stay once. */
static const char *build_around(loading_t *l, mtls_store_part_t bad)
{
    const char *error = NULL;

    do {
        l->tried = l->made;
        l->stays[bad] = 1;
        l->stays[MTLS_STORE_ALLOWED] |= bad == MTLS_STORE_ANCHOR; /* either makes a store usable */
        error = build(l, &bad);
    } while (error && bad < MTLS_STORE_PARTS && !l->stays[bad]);
    return error;
}

const char *mtls_trust_store_load(mtls_parse_env_t *env, const void *what, const void **data)
{
    loading_t l = {.env = env, .spec = what, .before = env->before};
    mtls_store_part_t bad;
    const char *error = build(&l, &bad);
    int good = !error;

    if (error && l.before && bad < MTLS_STORE_PARTS)
        good = build_around(&l, bad) == NULL;
    ERR_clear_error();
    if (good && (l.changed || !l.before || l.made->pieces->nelts != l.before->pieces->nelts))
        *data = l.made;
    return error;
}

const STACK_OF(X509) * mtls_trust_store_cas(const mtls_trust_store_t *store)
{
    return ((const store_data_t *)(const void *)store)->cas;
}
