/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/matcher.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "policy/glob.h"
#include "policy/limits.h"
#include "policy/server_name.h"
#include "policy/spiffe.h"

typedef enum form_t {
    FORM_NONE = 0,
    FORM_EXACT,
    FORM_EQI,
    FORM_HOST, /* a server's: the text, or the wildcard that is for it */
    FORM_PREFIX,
    FORM_SUFFIX,
    FORM_GLOB,
    FORM_REGEX,
    FORM_NETWORK,
    FORM_SPIFFE_CHILD,       /* text is "spiffe://td/path/", one more segment */
    FORM_SPIFFE_DESCENDANTS, /* one or more segments */
    FORM_LIST,
    FORM_PATTERNS
} form_t;

struct mtls_matcher_t {
    form_t form;
    mtls_span_t text;
    mtls_span_t reversed; /* FORM_EXACT of a name */
    mtls_span_t wildcard; /* FORM_HOST */
    const mtls_glob_t *glob;
    pcre2_code *regex;
    pcre2_match_context *few;  /* for nothing */
    pcre2_match_context *most; /* out of the budget */
    mtls_live_t *live;         /* FORM_LIST: mtls_value_list_t; FORM_PATTERNS: mtls_matcher_t * */
};

/* ---- regular expressions ---- */

/* malloc, not the pool: matching allocates with what compiling was given, in any thread. */
static apr_status_t free_regex(void *matcher)
{
    mtls_matcher_t *m = matcher;

    pcre2_code_free(m->regex);
    pcre2_match_context_free(m->few);
    pcre2_match_context_free(m->most);
    return APR_SUCCESS;
}

static pcre2_match_context *limits(uint32_t steps)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);

    if (context) {
        pcre2_set_match_limit(context, steps);
        pcre2_set_depth_limit(context, MTLS_REGEX_DEPTH_LIMIT);
        pcre2_set_heap_limit(context, MTLS_REGEX_HEAP_KIB);
    }
    return context;
}

static const char *parse_regex(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                               mtls_matcher_t *m)
{
    /* ENDANCHORED and ANCHORED hold over all alternatives, whatever parentheses the pattern has;
     * wrapping it into text would not. */
    uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                       PCRE2_NEVER_BACKSLASH_C;
    PCRE2_UCHAR message[256] = "out of memory";
    PCRE2_SIZE at = 0;
    int error = 0;

    apr_pool_cleanup_register(env->p, m, free_regex, apr_pool_cleanup_null);
    m->few = limits(MTLS_PATTERN_FREE_STEPS);
    m->most = limits(MTLS_PATTERN_MOST_STEPS);
    if (!m->few || !m->most)
        return "out of memory";
    if (kind == MTLS_KIND_DNS)
        options |= PCRE2_CASELESS;
    m->regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &at, NULL);
    if (!m->regex) {
        pcre2_get_error_message(error, message, sizeof(message));
        return apr_psprintf(env->p, "regular expression: %s at character %d", (char *)message,
                            (int)at + 1);
    }
    m->form = FORM_REGEX;
    return NULL;
}

/* Take the most a pattern may cost from the budget; 0 when it is used up. */
static int take_steps(int *steps)
{
    if (*steps < MTLS_PATTERN_MOST_STEPS)
        return 0;
    *steps -= MTLS_PATTERN_MOST_STEPS;
    return 1;
}

static mtls_match_t test_regex(const mtls_matcher_t *m, mtls_span_t value, int *steps)
{
    pcre2_match_data *found = pcre2_match_data_create(1, NULL);
    PCRE2_SPTR data = (PCRE2_SPTR)value.data;
    int rc;

    if (!found)
        return MTLS_MATCHED_UNKNOWN;
    rc = pcre2_match(m->regex, data, value.len, 0, 0, found, m->few);
    if ((rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT) && take_steps(steps))
        rc = pcre2_match(m->regex, data, value.len, 0, 0, found, m->most);
    pcre2_match_data_free(found);
    if (rc >= 0)
        return MTLS_MATCHED_YES;
    return rc == PCRE2_ERROR_NOMATCH ? MTLS_MATCHED_NO : MTLS_MATCHED_UNKNOWN;
}

/* ---- forms of text ---- */

/* "https://a.example" would also begin "https://a.example.evil/". */
static const char *check_uri_prefix(const char *text)
{
    const char *authority = strstr(text, "://");
    const char *colon = strchr(text, ':');

    if (authority && authority + 1 == colon + 1) {
        const char *slash = strchr(authority + 3, '/');
        return slash && slash > authority + 3
                   ? NULL
                   : "a prefix of a URI must reach past the \"/\" that ends its authority";
    }
    if (colon && colon[1] && colon[1] != '/')
        return NULL;
    return "a prefix of a URI must reach past the \"/\" that ends its authority";
}

static const char *parse_prefix(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                                mtls_matcher_t *m)
{
    m->form = FORM_PREFIX;
    m->text = mtls_value_fold(env->p, kind, mtls_span_of(text));
    if (!*text)
        return "the prefix is empty";
    return kind == MTLS_KIND_URI ? check_uri_prefix(text) : NULL;
}

static const char *parse_suffix(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                                mtls_matcher_t *m)
{
    int domain_only = kind == MTLS_KIND_EMAIL && !strchr(text, '@');

    m->form = FORM_SUFFIX;
    m->text = mtls_value_fold(env->p, domain_only ? MTLS_KIND_DNS : kind, mtls_span_of(text));
    if (!*text)
        return "the suffix is empty";
    if (kind == MTLS_KIND_DNS && *text != '.')
        return "a suffix of a DNS name starts with \".\"";
    if (kind == MTLS_KIND_EMAIL && *text != '.' && *text != '@')
        return "a suffix of an email address starts with \"@\" or \".\"";
    return NULL;
}

static const char *parse_eqi(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                             mtls_matcher_t *m)
{
    (void)kind;
    m->form = FORM_EQI;
    m->text = mtls_value_fold(env->p, MTLS_KIND_DNS, mtls_span_of(text));
    return NULL;
}

static const char *parse_glob(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                              mtls_matcher_t *m)
{
    mtls_glob_t *glob = NULL;
    const char *error =
        mtls_glob_parse(env->p, mtls_value_fold(env->p, kind, mtls_span_of(text)), &glob);

    m->form = FORM_GLOB;
    m->glob = glob;
    return error;
}

/* ---- lists ---- */

/* What a load function needs to read a file once more. */
typedef struct file_t {
    const char *path;
    mtls_matcher_spec_t spec;
} file_t;

typedef struct list_reader_t {
    mtls_parse_env_t *env;
    mtls_matcher_spec_t spec;
    mtls_value_list_t *list;
    apr_array_header_t *patterns;
} list_reader_t;

static int has_wildcards(mtls_matcher_spec_t spec)
{
    return spec.kind == MTLS_KIND_DNS && spec.purpose == MTLS_PURPOSE_SERVER;
}

/* A server's host is found by the wildcard that is for it, too: one entry for all hosts of a
 * domain, and one look-up for a wildcard as for any other name. */
static const char *add_wildcard(list_reader_t *in, apr_pool_t *scratch, mtls_span_t host)
{
    mtls_span_t wildcard = mtls_server_name_wildcard(scratch, host);

    return wildcard.len > 0 ? mtls_value_list_add(in->list, wildcard) : NULL;
}

static const char *add_value(void *baton, apr_pool_t *scratch, const char *line)
{
    list_reader_t *in = baton;
    mtls_span_t value;
    const char *error =
        mtls_value_parse(scratch, in->spec.kind, line, in->env->oid_of, &value, NULL);

    if (!error)
        error = mtls_value_list_add(in->list, value);
    if (!error && has_wildcards(in->spec))
        error = add_wildcard(in, scratch, value);
    return error ? apr_psprintf(scratch, "\"%s\": %s", line, error) : NULL;
}

/* A file of comments alone was emptied on purpose, one of nothing at all was not. */
static const char *check_length(const mtls_parse_env_t *env, mtls_span_t text)
{
    return env->again && !env->kept && text.len == 0 ? "is empty" : NULL;
}

static const char *check_count(const mtls_parse_env_t *env, const file_t *file, int count)
{
    return env->again && !env->kept && count == 0 && !file->spec.may_become_empty ? "holds no value"
                                                                                  : NULL;
}

static const char *read_lines(mtls_parse_env_t *env, const file_t *file, mtls_line_fn fn,
                              list_reader_t *in)
{
    mtls_span_t text = {"", 0};
    const char *error = env->read_file(env, file->path, &text);

    if (error)
        return error;
    if ((error = check_length(env, text)) == NULL)
        error = mtls_lines_walk(env->p, text.data, text.len, fn, in);
    if (!error)
        error = check_count(env, file,
                            in->list ? mtls_value_list_count(in->list) : in->patterns->nelts);
    return error ? apr_psprintf(env->p, "%s %s", file->path, error) : NULL;
}

static const char *load_list(mtls_parse_env_t *env, const void *what, const void **data)
{
    const file_t *file = what;
    list_reader_t in = {env, file->spec, mtls_value_list_make(env->p, file->spec.kind), NULL};
    const char *error = read_lines(env, file, add_value, &in);

    mtls_value_list_seal(in.list);
    *data = error ? NULL : in.list;
    return error;
}

static const char *add_pattern(void *baton, apr_pool_t *scratch, const char *line)
{
    list_reader_t *in = baton;
    mtls_matcher_t *m = NULL;
    const char *error;
    int empty = 0;

    if (strncmp(line, "patterns:", 9) == 0)
        return "a patterns: file cannot name another one";
    if (in->patterns->nelts >= MTLS_MAX_PATTERN_LINES)
        return apr_psprintf(scratch, "more than %d patterns; use file: for exact values",
                            MTLS_MAX_PATTERN_LINES);
    error = mtls_matcher_parse(in->env, in->spec, apr_pstrdup(in->env->p, line), &m, &empty);
    if (error)
        return apr_psprintf(scratch, "\"%s\": %s", line, error);
    if (!empty)
        APR_ARRAY_PUSH(in->patterns, mtls_matcher_t *) = m;
    return NULL;
}

/* Files that the lines name are part of this load. */
static const char *load_patterns(mtls_parse_env_t *env, const void *what, const void **data)
{
    const file_t *file = what;
    mtls_parse_env_t inner = *env;
    list_reader_t in = {&inner, file->spec, NULL,
                        apr_array_make(env->p, 16, sizeof(mtls_matcher_t *))};
    const char *error;

    inner.watch = NULL;
    error = read_lines(env, file, add_pattern, &in);
    *data = error ? NULL : in.patterns;
    return error;
}

static const char *load_certificates(mtls_parse_env_t *env, const void *what, const void **data)
{
    const file_t *file = what;
    apr_array_header_t *digests = apr_array_make(env->p, 4, sizeof(mtls_span_t));
    mtls_value_list_t *list = mtls_value_list_make(env->p, MTLS_KIND_CERTIFICATE);
    const char *error = env->read_certificates(env, file->path, digests);
    int i;

    for (i = 0; i < digests->nelts && !error; i++)
        error = mtls_value_list_add(list, APR_ARRAY_IDX(digests, i, mtls_span_t));
    mtls_value_list_seal(list);
    *data = error ? NULL : list;
    return error;
}

static const char *load_or_watch(mtls_parse_env_t *env, mtls_load_fn load, const file_t *file,
                                 mtls_live_t **live)
{
    const void *data = NULL;
    const char *error;

    if (env->watch)
        return env->watch(env, load, file, live);
    if ((error = load(env, file, &data)) != NULL)
        return error;
    *live = mtls_live_fixed(env->p, data);
    return *live ? NULL : "out of memory";
}

static int is_empty(const mtls_matcher_t *m)
{
    const mtls_version_t *version = mtls_live_take(m->live);
    int count = 0;

    if (version && m->form == FORM_LIST)
        count = mtls_value_list_count(version->data);
    else if (version)
        count = ((const apr_array_header_t *)version->data)->nelts;
    mtls_live_give_back(m->live, version);
    return count == 0;
}

static const char *parse_file(mtls_parse_env_t *env, mtls_load_fn load, const char *path,
                              mtls_matcher_spec_t spec, mtls_matcher_t *m)
{
    file_t *file = apr_pcalloc(env->p, sizeof(*file));

    file->path = path;
    file->spec = spec;
    m->form = load == load_patterns ? FORM_PATTERNS : FORM_LIST;
    return load_or_watch(env, load, file, &m->live);
}

/* ---- the other kinds ---- */

static const char *parse_spiffe(mtls_parse_env_t *env, const char *text, mtls_matcher_t *m)
{
    mtls_span_t domain, id = mtls_span_of(text);
    const char *error = mtls_spiffe_parse(id, 1, &domain);

    (void)env;
    m->form = FORM_EXACT;
    m->text = id;
    if (error == NULL && mtls_span_ends(id, mtls_span_of("/**"))) {
        m->form = FORM_SPIFFE_DESCENDANTS;
        m->text.len -= 2;
    } else if (error == NULL && mtls_span_ends(id, mtls_span_of("/*"))) {
        m->form = FORM_SPIFFE_CHILD;
        m->text.len -= 1;
    }
    return error;
}

static const char *parse_exact(mtls_parse_env_t *env, mtls_matcher_spec_t spec, const char *text,
                               mtls_matcher_t *m)
{
    mtls_kind_t kind = spec.kind;

    if (kind == MTLS_KIND_SPIFFE)
        return parse_spiffe(env, text, m);
    if (kind == MTLS_KIND_CERTIFICATE)
        return parse_file(env, load_certificates, text, spec, m);
    m->form = kind == MTLS_KIND_IP ? FORM_NETWORK : FORM_EXACT;
    return mtls_value_parse(env->p, kind, text, env->oid_of, &m->text, &m->reversed);
}

static const struct {
    const char *name;
    const char *(*parse)(mtls_parse_env_t *env, mtls_kind_t kind, const char *text,
                         mtls_matcher_t *m);
} text_forms[] = {
    {"eqi:", parse_eqi},   {"prefix:", parse_prefix}, {"suffix:", parse_suffix},
    {"glob:", parse_glob}, {"regex:", parse_regex},
};

static const char *parse_form(mtls_parse_env_t *env, mtls_matcher_spec_t spec, const char *text,
                              mtls_matcher_t *m)
{
    apr_size_t i;

    if (strncmp(text, "eq:", 3) == 0)
        return parse_exact(env, spec, text + 3, m);
    if (spec.kind != MTLS_KIND_CERTIFICATE && strncmp(text, "file:", 5) == 0)
        return parse_file(env, load_list, text + 5, spec, m);
    if (spec.kind != MTLS_KIND_CERTIFICATE && strncmp(text, "patterns:", 9) == 0)
        return parse_file(env, load_patterns, text + 9, spec, m);
    for (i = 0; i < sizeof(text_forms) / sizeof(text_forms[0]); i++) {
        apr_size_t n = strlen(text_forms[i].name);
        if (strncmp(text, text_forms[i].name, n) != 0)
            continue;
        if (!mtls_kind_is_text(spec.kind))
            return apr_psprintf(env->p, "this attribute is compared exactly and takes no %s",
                                text_forms[i].name);
        return text_forms[i].parse(env, spec.kind, text + n, m);
    }
    return parse_exact(env, spec, text, m);
}

/* As it stands in a list, see add_wildcard(). */
static void expect_wildcard(mtls_parse_env_t *env, mtls_matcher_spec_t spec, mtls_matcher_t *m)
{
    if (!has_wildcards(spec) || (m->form != FORM_EXACT && m->form != FORM_EQI))
        return;
    m->wildcard = mtls_server_name_wildcard(env->p, m->text);
    if (m->wildcard.len > 0)
        m->form = FORM_HOST;
}

const char *mtls_matcher_parse(mtls_parse_env_t *env, mtls_matcher_spec_t spec, const char *text,
                               mtls_matcher_t **matcher, int *empty)
{
    const char *error;

    *matcher = apr_pcalloc(env->p, sizeof(**matcher));
    error = parse_form(env, spec, text, *matcher);
    if (!error)
        expect_wildcard(env, spec, *matcher);
    *empty = !error && (*matcher)->live && is_empty(*matcher);
    return error;
}

/* ---- testing ---- */

static int equal_ignoring_case(mtls_span_t value, mtls_span_t lower)
{
    apr_size_t i;

    if (value.len != lower.len)
        return 0;
    for (i = 0; i < value.len; i++) {
        if (mtls_ascii_lower(value.data[i]) != lower.data[i])
            return 0;
    }
    return 1;
}

static int in_network(mtls_span_t network, mtls_span_t address)
{
    char masked[MTLS_NETWORK_BYTES];

    if (address.len + 2 != network.len)
        return 0;
    mtls_value_network(address, (unsigned char)network.data[1], masked);
    return memcmp(masked, network.data, network.len) == 0;
}

static int below_path(mtls_span_t parent, mtls_span_t id, int one_segment)
{
    if (id.len <= parent.len || !mtls_span_starts(id, parent))
        return 0;
    return !one_segment || !memchr(id.data + parent.len, '/', id.len - parent.len);
}

static mtls_match_t test_patterns(const apr_array_header_t *patterns, mtls_span_t value, int *steps)
{
    mtls_match_t found = MTLS_MATCHED_NO;
    int i;

    for (i = 0; i < patterns->nelts; i++) {
        switch (mtls_matcher_test(APR_ARRAY_IDX(patterns, i, mtls_matcher_t *), value, steps)) {
        case MTLS_MATCHED_YES:
            return MTLS_MATCHED_YES;
        case MTLS_MATCHED_NO:
            break;
        default:
            found = MTLS_MATCHED_UNKNOWN;
        }
    }
    return found;
}

static mtls_match_t answer(int yes)
{
    return yes ? MTLS_MATCHED_YES : MTLS_MATCHED_NO;
}

static mtls_match_t test_glob(const mtls_matcher_t *m, mtls_span_t value, int *steps)
{
    apr_size_t cost = mtls_glob_steps(m->glob, value);

    if (cost > MTLS_PATTERN_MOST_STEPS || (cost > MTLS_PATTERN_FREE_STEPS && !take_steps(steps)))
        return MTLS_MATCHED_UNKNOWN;
    switch (mtls_glob_test(m->glob, value)) {
    case 1:
        return MTLS_MATCHED_YES;
    case 0:
        return MTLS_MATCHED_NO;
    default:
        return MTLS_MATCHED_UNKNOWN;
    }
}

/* The version in force stays while it is looked at. */
static mtls_match_t test_live(const mtls_matcher_t *m, mtls_span_t value, int *steps)
{
    const mtls_version_t *version = mtls_live_take(m->live);
    mtls_match_t found = MTLS_MATCHED_UNKNOWN;

    if (version && m->form == FORM_PATTERNS)
        found = test_patterns(version->data, value, steps);
    else if (version)
        found = answer(mtls_value_list_has(version->data, value));
    mtls_live_give_back(m->live, version);
    return found;
}

int mtls_matcher_is_pattern(const mtls_matcher_t *m)
{
    return m->form == FORM_REGEX || m->form == FORM_GLOB || m->form == FORM_PATTERNS;
}

mtls_match_t mtls_matcher_test(const mtls_matcher_t *m, mtls_span_t value, int *steps)
{
    switch (m->form) {
    case FORM_EXACT:
        return answer(mtls_span_equal(value, m->text));
    case FORM_EQI:
        return answer(equal_ignoring_case(value, m->text));
    case FORM_HOST:
        return answer(mtls_span_equal(value, m->text) || mtls_span_equal(value, m->wildcard));
    case FORM_PREFIX:
        return answer(mtls_span_starts(value, m->text));
    case FORM_SUFFIX:
        return answer(value.len > m->text.len && mtls_span_ends(value, m->text));
    case FORM_GLOB:
        return test_glob(m, value, steps);
    case FORM_REGEX:
        return test_regex(m, value, steps);
    case FORM_NETWORK:
        return answer(in_network(m->text, value));
    case FORM_SPIFFE_CHILD:
        return answer(below_path(m->text, value, 1));
    case FORM_SPIFFE_DESCENDANTS:
        return answer(below_path(m->text, value, 0));
    case FORM_LIST:
    case FORM_PATTERNS:
        return test_live(m, value, steps);
    default:
        return MTLS_MATCHED_UNKNOWN;
    }
}

int mtls_matcher_is_reversed(const mtls_matcher_t *m, mtls_span_t value)
{
    return m->form == FORM_EXACT && m->reversed.len > 0 && mtls_span_equal(m->reversed, value);
}
