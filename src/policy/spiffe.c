/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/spiffe.h"

#define SCHEME           "spiffe://"
#define MAX_ID_BYTES     2048 /* SPIFFE-ID 2.3 */
#define MAX_DOMAIN_BYTES 255

static int domain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static int path_char(char c)
{
    return mtls_ascii_alnum(c) || c == '.' || c == '-' || c == '_';
}

const char *mtls_spiffe_domain_parse(mtls_span_t domain)
{
    apr_size_t i;

    if (domain.len == 0)
        return "the trust domain is empty";
    if (domain.len > MAX_DOMAIN_BYTES)
        return "the trust domain is longer than 255 bytes";
    for (i = 0; i < domain.len; i++) {
        if (!domain_char(domain.data[i]))
            return "a trust domain holds only lower-case letters, digits, \".\", \"-\" and \"_\"";
    }
    return NULL;
}

static int is_wildcard(mtls_span_t segment)
{
    return mtls_span_equal(segment, mtls_span_of("*")) ||
           mtls_span_equal(segment, mtls_span_of("**"));
}

static const char *segment_parse(mtls_span_t segment, int pattern, int last)
{
    apr_size_t i;

    if (segment.len == 0)
        return "the path has an empty segment or ends with a slash";
    if (mtls_span_equal(segment, mtls_span_of(".")) || mtls_span_equal(segment, mtls_span_of("..")))
        return "the path has a \".\" or \"..\" segment";
    if (pattern && is_wildcard(segment))
        return last ? NULL : "only the last segment may be a wildcard";
    for (i = 0; i < segment.len; i++) {
        if (!path_char(segment.data[i]))
            return "a path segment holds only letters, digits, \".\", \"-\" and \"_\"";
    }
    return NULL;
}

static const char *path_parse(const char *at, const char *end, int pattern)
{
    while (at < end) { /* at a slash */
        const char *begin = ++at;
        const char *error;
        while (at < end && *at != '/')
            at++;
        error = segment_parse(mtls_span(begin, (apr_size_t)(at - begin)), pattern, at == end);
        if (error)
            return error;
    }
    return NULL;
}

const char *mtls_spiffe_parse(mtls_span_t id, int pattern, mtls_span_t *domain)
{
    mtls_span_t scheme = mtls_span_of(SCHEME);
    const char *begin, *at, *end;
    const char *error;

    if (!mtls_span_starts(id, scheme))
        return "a SPIFFE ID starts with " SCHEME;
    if (id.len > MAX_ID_BYTES)
        return "a SPIFFE ID is at most 2048 bytes long";
    begin = at = id.data + scheme.len;
    end = id.data + id.len;
    while (at < end && *at != '/')
        at++;
    *domain = mtls_span(begin, (apr_size_t)(at - begin));
    if ((error = mtls_spiffe_domain_parse(*domain)) != NULL)
        return error;
    if (at == end)
        return "a workload's SPIFFE ID has a path";
    return path_parse(at, end, pattern);
}

static int claims_spiffe(mtls_span_t uri)
{
    static const char scheme[] = "spiffe:";
    apr_size_t i;

    if (uri.len < sizeof(scheme) - 1)
        return 0;
    for (i = 0; i < sizeof(scheme) - 1; i++) {
        if (mtls_ascii_lower(uri.data[i]) != scheme[i])
            return 0;
    }
    return 1;
}

mtls_svid_t mtls_spiffe_of(const mtls_facts_t *facts, mtls_span_t *id, mtls_span_t *domain)
{
    const mtls_values_t *uris = &facts->san[MTLS_SAN_URI];
    int i, claims = 0;

    for (i = 0; i < uris->n; i++)
        claims |= claims_spiffe(uris->v[i]);
    if (!claims)
        return MTLS_SVID_NONE;
    if (uris->n != 1 || facts->is_ca || facts->signs_certificates)
        return MTLS_SVID_INVALID;
    if (mtls_spiffe_parse(uris->v[0], 0, domain) != NULL)
        return MTLS_SVID_INVALID;
    *id = uris->v[0];
    return MTLS_SVID_VALID;
}

int mtls_spiffe_domain_trusted(const mtls_chain_t *chain, mtls_span_t domain)
{
    const char *const *d;

    for (d = chain ? chain->trust_domains : NULL; d && *d; d++) {
        if (mtls_span_equal(mtls_span_of(*d), domain))
            return 1;
    }
    return 0;
}
