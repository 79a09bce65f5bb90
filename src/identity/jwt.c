/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "identity/jwt.h"

#include <stdlib.h>

#include <jansson.h>

#include "identity/text.h"
#include "identity/vouched.h"

/* ---- the words of a line ---- */

static const char allowed[] = "aud=WHO [aud=WHO ...] [header=NAME] [iss=WHO] [sub=ATTRIBUTE] "
                              "[ttl=SECONDS]";

/* What stands in a token for somebody: a name or a URI. */
static const char *check_name(apr_pool_t *p, const char *option, const char *value)
{
    const char *at = value;

    while (*at >= 0x20 && *at < 0x7f)
        at++;
    if (*value && !*at)
        return NULL;
    return apr_psprintf(p, "%s=\"%s\"; allowed: printable ASCII text", option, value);
}

static const char *add_audience(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value)
{
    int i;

    for (i = 0; i < spec->audiences->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(spec->audiences, i, const char *), value) == 0)
            return apr_psprintf(p, "aud=%s is given twice", value);
    }
    APR_ARRAY_PUSH(spec->audiences, const char *) = apr_pstrdup(p, value);
    return check_name(p, "aud", value);
}

static const char *set_header(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value)
{
    spec->header = apr_pstrdup(p, value);
    return check_name(p, "header", value);
}

static const char *set_issuer(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value)
{
    spec->issuer = apr_pstrdup(p, value);
    return check_name(p, "iss", value);
}

/* What many clients have in common names none of them. */
static int names_somebody(const mtls_field_t *field)
{
    switch (field->attribute.source) {
    case MTLS_SOURCE_SUBJECT_ATTRIBUTE:
    case MTLS_SOURCE_SUBJECT:
    case MTLS_SOURCE_SPKI:
    case MTLS_SOURCE_SHA256:
    case MTLS_SOURCE_SERIAL:
    case MTLS_SOURCE_SAN_DNS:
    case MTLS_SOURCE_SAN_URI:
    case MTLS_SOURCE_SAN_EMAIL:
    case MTLS_SOURCE_SAN_IP:
    case MTLS_SOURCE_SAN_UPN:
    case MTLS_SOURCE_SPIFFE:
    case MTLS_SOURCE_EXTENSION:
        return field->kind == MTLS_FIELD_ATTRIBUTE;
    default:
        return 0;
    }
}

static const char *set_subject(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value)
{
    const char *error = mtls_field_parse(p, value, &spec->sub);

    if (error)
        return apr_psprintf(p, "sub=%s: %s", value, error);
    return names_somebody(&spec->sub)
               ? NULL
               : apr_psprintf(p,
                              "sub=%s names nobody; allowed: subject, subject.ATTR, san.dns, "
                              "san.uri, san.email, san.ip, san.upn, spiffe, serial, sha256, spki, "
                              "ext.OID",
                              value);
}

static const char *set_ttl(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value)
{
    apr_size_t digits = strspn(value, "0123456789");

    spec->ttl = digits > 0 && digits <= 5 && !value[digits] ? atoi(value) : 0;
    if (spec->ttl >= 1 && spec->ttl <= MTLS_JWT_MAX_TTL)
        return NULL;
    return apr_psprintf(p, "ttl=%s; allowed: seconds from 1 to %d", value, MTLS_JWT_MAX_TTL);
}

static const struct {
    const char *name;
    const char *(*set)(apr_pool_t *p, mtls_jwt_spec_t *spec, const char *value);
    int may_repeat;
} options[] = {
    {"aud", add_audience, 1}, {"header", set_header, 0}, {"iss", set_issuer, 0},
    {"sub", set_subject, 0},  {"ttl", set_ttl, 0},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* `seen` has a bit for each option. */
static const char *set_option(apr_pool_t *p, const char *word, mtls_jwt_spec_t *spec,
                              unsigned int *seen)
{
    apr_size_t i, len = strcspn(word, "=");

    for (i = 0; i < OPTIONS; i++) {
        if (strlen(options[i].name) != len || strncmp(options[i].name, word, len) != 0 ||
            !word[len])
            continue;
        if ((*seen & 1u << i) && !options[i].may_repeat)
            return apr_psprintf(p, "%s= is given twice", options[i].name);
        *seen |= 1u << i;
        return options[i].set(p, spec, word + len + 1);
    }
    return apr_psprintf(p, "unknown option \"%s\"; allowed: %s", word, allowed);
}

const char *mtls_jwt_parse(apr_pool_t *p, int argc, char *const argv[], mtls_jwt_spec_t *spec)
{
    const char *error;
    unsigned int seen = 0;
    int i;

    memset(spec, 0, sizeof(*spec));
    spec->header = MTLS_JWT_DEFAULT_HEADER;
    spec->ttl = MTLS_JWT_DEFAULT_TTL;
    spec->audiences = apr_array_make(p, 1, sizeof(const char *));
    if ((error = mtls_field_parse(p, "subject", &spec->sub)) != NULL)
        return error;
    for (i = 0; i < argc; i++) {
        if ((error = set_option(p, argv[i], spec, &seen)) != NULL)
            return error;
    }
    /* A token for nobody in particular is good for everybody it is shown to. */
    return spec->audiences->nelts > 0
               ? NULL
               : apr_psprintf(p, "aud is missing: whom the token is for; allowed: %s", allowed);
}

/* ---- times ---- */

apr_int64_t mtls_jwt_exp(const mtls_jwt_spec_t *spec, apr_time_t now, apr_time_t until)
{
    apr_time_t end = now + apr_time_from_sec(spec->ttl);
    apr_int64_t exp = apr_time_sec(until < end ? until : end);

    return exp > apr_time_sec(now) ? exp : apr_time_sec(now) + 1;
}

/* ---- claims ---- */

/* NULL: no text. RFC 8259 8.1: JSON is UTF-8, and bytes that are not must not become others. A NUL
 * would end the value for some readers. */
static json_t *text_of(mtls_span_t value)
{
    if (!value.data || memchr(value.data, '\0', value.len))
        return NULL;
    return json_stringn(value.data, value.len);
}

static mtls_span_t only_value(apr_pool_t *p, const mtls_field_t *field,
                              const mtls_identity_t *identity)
{
    const char *value;

    if (!identity->evidence || !identity->evidence->facts || mtls_field_count(field, identity) != 1)
        return mtls_span(NULL, 0);
    if (field->kind == MTLS_FIELD_ATTRIBUTE)
        return mtls_attribute_text(p, &field->attribute, identity->evidence, 0, identity->now);
    value = mtls_field_value(p, field, identity, MTLS_RAW);
    return value ? mtls_span_of(value) : mtls_span(NULL, 0);
}

mtls_span_t mtls_jwt_subject(apr_pool_t *p, const mtls_jwt_spec_t *spec,
                             const mtls_identity_t *identity)
{
    mtls_span_t value = only_value(p, &spec->sub, identity);
    json_t *text = value.len > 0 ? text_of(value) : NULL;

    if (text && spec->sub.attribute.source == MTLS_SOURCE_SAN_URI &&
        !mtls_vouched_uri(identity, value)) {
        json_decref(text);
        text = NULL;
    }
    if (!text)
        return mtls_span(NULL, 0);
    json_decref(text);
    return mtls_span_copy(p, value);
}

/* One audience is a string, several are an array (RFC 7519 4.1.3). */
static json_t *audience(const apr_array_header_t *audiences)
{
    json_t *list;
    int i;

    if (audiences->nelts == 1)
        return json_string(APR_ARRAY_IDX(audiences, 0, const char *));
    list = json_array();
    for (i = 0; i < audiences->nelts; i++)
        json_array_append_new(list, json_string(APR_ARRAY_IDX(audiences, i, const char *)));
    return list;
}

/* RFC 8705 3.1: the SHA-256 of the certificate's DER, in base64url. */
static json_t *confirmation(apr_pool_t *p, const mtls_facts_t *facts)
{
    mtls_span_t digest = mtls_span((const char *)facts->sha256, sizeof(facts->sha256));

    return json_pack("{s:s}", "x5t#S256", mtls_text_base64url(p, digest));
}

static const struct {
    const char *name;
    mtls_san_type_t type;
    mtls_source_t source;
    mtls_kind_t kind;
} sans[] = {
    {"dns", MTLS_SAN_DNS, MTLS_SOURCE_SAN_DNS, MTLS_KIND_TEXT},
    {"uri", MTLS_SAN_URI, MTLS_SOURCE_SAN_URI, MTLS_KIND_TEXT},
    {"email", MTLS_SAN_EMAIL, MTLS_SOURCE_SAN_EMAIL, MTLS_KIND_TEXT},
    {"ip", MTLS_SAN_IP, MTLS_SOURCE_SAN_IP, MTLS_KIND_IP},
    {"upn", MTLS_SAN_UPN, MTLS_SOURCE_SAN_UPN, MTLS_KIND_TEXT},
};

/* An entry of an array is the whole value, or is not there. */
static json_t *san_values(apr_pool_t *p, const mtls_identity_t *identity, apr_size_t row)
{
    mtls_attribute_t attribute = {.source = sans[row].source, .kind = sans[row].kind};
    json_t *values = json_array(), *text;
    int i;

    for (i = 0; i < identity->evidence->facts->san[sans[row].type].n; i++) {
        mtls_span_t value = mtls_attribute_text(p, &attribute, identity->evidence, i, 0);
        if (sans[row].type == MTLS_SAN_URI && !mtls_vouched_uri(identity, value))
            continue;
        if (value.len > 0 && (text = text_of(value)) != NULL)
            json_array_append_new(values, text);
    }
    return values;
}

/* What is absent is left out, never empty. */
static void set_if_any(json_t *object, const char *name, json_t *value)
{
    if (json_array_size(value) > 0 || json_object_size(value) > 0 || json_string_length(value) > 0)
        json_object_set_new(object, name, value);
    else
        json_decref(value);
}

static json_t *alternative_names(apr_pool_t *p, const mtls_identity_t *identity)
{
    json_t *names = json_object();
    apr_size_t i;

    for (i = 0; i < sizeof(sans) / sizeof(sans[0]); i++)
        set_if_any(names, sans[i].name, san_values(p, identity, i));
    return names;
}

static json_t *string_if(const char *text)
{
    return text ? json_string(text) : NULL;
}

static void set_identity(apr_pool_t *p, json_t *claims, const mtls_identity_t *identity)
{
    const mtls_evidence_t *evidence = identity->evidence;
    mtls_span_t id = mtls_span(NULL, 0);

    set_if_any(claims, "san", alternative_names(p, identity));
    if (mtls_vouched_id(identity, &id))
        set_if_any(claims, "spiffe_id", text_of(id));
    set_if_any(claims, "policy", string_if(identity->policies));
    set_if_any(claims, "trust_store",
               string_if(evidence->chain ? evidence->chain->trust_store : NULL));
    set_if_any(claims, "ocsp", string_if(mtls_field_status(evidence)));
}

/* What no token may lack. */
static json_t *required(apr_pool_t *p, const mtls_jwt_terms_t *terms,
                        const mtls_identity_t *identity)
{
    mtls_span_t subject = mtls_jwt_subject(p, terms->spec, identity);
    mtls_span_t jti = mtls_span((const char *)terms->jti, sizeof(terms->jti));

    if (!subject.data || !terms->issuer)
        return NULL;
    return json_pack("{s:s, s:s%, s:o, s:I, s:I, s:s, s:o}", "iss", terms->issuer, "sub",
                     subject.data, subject.len, "aud", audience(terms->spec->audiences), "iat",
                     (json_int_t)terms->iat, "exp", (json_int_t)terms->exp, "jti",
                     mtls_text_base64url(p, jti), "cnf",
                     confirmation(p, identity->evidence->facts));
}

const char *mtls_jwt_claims(apr_pool_t *p, const mtls_jwt_terms_t *terms,
                            const mtls_identity_t *identity)
{
    json_t *claims = required(p, terms, identity);
    const char *out = NULL;
    char *text;

    if (!claims)
        return NULL;
    set_identity(p, claims, identity);
    if ((text = json_dumps(claims, JSON_COMPACT)) != NULL)
        out = apr_pstrdup(p, text);
    free(text);
    json_decref(claims);
    return out;
}
