/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/request_target.h"

/* One byte of the path as httpd will read it. */
typedef struct octet_t {
    unsigned char value;
    int encoded;
    apr_size_t len; /* of its text: 1 or 3; 0: no byte, the encoding is bad or the text has ended */
} octet_t;

/* The segment that is being read. */
typedef struct segment_t {
    apr_size_t bytes; /* decoded */
    int all_dots;
    unsigned char last;
} segment_t;

typedef struct scan_t {
    mtls_span_t text; /* the whole target; the path ends where it ends */
    apr_size_t at;
    int how;
    segment_t segment;
} scan_t;

const char *mtls_target_token(mtls_target_flaw_t flaw)
{
    switch (flaw) {
#define MTLS_TARGET_FLAW(name, token)                                                              \
    case name:                                                                                     \
        return token;
        MTLS_TARGET_FLAWS(MTLS_TARGET_FLAW)
#undef MTLS_TARGET_FLAW
    case MTLS_TARGET_UNJUDGED:
    case MTLS_TARGET_FINE:
    default:
        return "unjudged";
    }
}

static int hex_of(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static octet_t octet_at(mtls_span_t text, apr_size_t at)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    octet_t octet = {0, 0, 0};
    int high, low;

    if (at >= text.len)
        return octet;
    if (bytes[at] != '%') {
        octet.value = bytes[at];
        octet.len = 1;
        return octet;
    }
    octet.encoded = 1;
    if (text.len - at < 3)
        return octet;
    high = hex_of(bytes[at + 1]);
    low = hex_of(bytes[at + 2]);
    if (high < 0 || low < 0)
        return octet;
    octet.value = (unsigned char)(high << 4 | low);
    octet.len = 3;
    return octet;
}

/* ---- single bytes, with a look at what follows ---- */

/* Behind an encoded "%": what a second decoding would take for an escape. "%u" and four digits is
 * how IIS writes one; its first digit is enough. */
static int is_double(const scan_t *s, const octet_t *percent)
{
    octet_t first = octet_at(s->text, s->at + percent->len);
    octet_t second = octet_at(s->text, s->at + percent->len + first.len);

    if (first.len == 0 || second.len == 0)
        return 0;
    return (hex_of(first.value) >= 0 || (first.value | 0x20) == 'u') && hex_of(second.value) >= 0;
}

/* C0 and C1 begin nothing but an overlong form, and decoders that do not look at the next byte have
 * made "/" out of it; the longer forms are told by their second byte (RFC 3629 3). */
static int is_overlong(const scan_t *s, const octet_t *lead)
{
    octet_t next = octet_at(s->text, s->at + lead->len);

    switch (lead->value) {
    case 0xc0:
    case 0xc1:
        return 1;
    case 0xe0:
        return next.value >= 0x80 && next.value < 0xa0;
    case 0xf0:
        return next.value >= 0x80 && next.value < 0x90;
    case 0xf8:
        return next.value >= 0x80 && next.value < 0x88;
    case 0xfc:
        return next.value >= 0x80 && next.value < 0x84;
    default:
        return 0;
    }
}

static mtls_target_flaw_t flaw_of_segment(const segment_t *segment)
{
    if (segment->bytes == 0)
        return MTLS_TARGET_FINE;
    if (segment->all_dots && segment->bytes <= 2)
        return MTLS_TARGET_DOT_SEGMENT;
    if (segment->last == '.')
        return MTLS_TARGET_TRAILING_DOT;
    return segment->last == ' ' ? MTLS_TARGET_TRAILING_SPACE : MTLS_TARGET_FINE;
}

/* Where parameters are allowed, they stand behind a name that means itself: "..;" never. */
static mtls_target_flaw_t flaw_of_semicolon(const scan_t *s, const octet_t *octet)
{
    if (octet->encoded)
        return MTLS_TARGET_ENCODED_SEMICOLON;
    if (!(s->how & MTLS_TARGET_MAY_HAVE_PARAMS) || s->segment.bytes == 0 ||
        flaw_of_segment(&s->segment) != MTLS_TARGET_FINE)
        return MTLS_TARGET_PARAMETER;
    return MTLS_TARGET_FINE;
}

static mtls_target_flaw_t flaw_of_high(const scan_t *s, const octet_t *octet)
{
    if (is_overlong(s, octet))
        return MTLS_TARGET_OVERLONG;
    return !octet->encoded && (s->how & MTLS_TARGET_SENT_RAW) ? MTLS_TARGET_NON_ASCII
                                                              : MTLS_TARGET_FINE;
}

static mtls_target_flaw_t flaw_of_octet(const scan_t *s, const octet_t *octet)
{
    if (octet->len == 0)
        return MTLS_TARGET_BAD_ENCODING;
    if (octet->value < 0x20 || octet->value == 0x7f)
        return MTLS_TARGET_CONTROL;
    if (octet->value >= 0x80)
        return flaw_of_high(s, octet);
    switch (octet->value) {
    case '/': /* a raw one ends its segment and does not come here */
        return MTLS_TARGET_ENCODED_SLASH;
    case '\\':
        return MTLS_TARGET_BACKSLASH;
    case '#':
        return octet->encoded ? MTLS_TARGET_ENCODED_DELIMITER : MTLS_TARGET_FRAGMENT;
    case '?':
        return MTLS_TARGET_ENCODED_DELIMITER;
    case ';':
        return flaw_of_semicolon(s, octet);
    case '%':
        return is_double(s, octet) ? MTLS_TARGET_DOUBLE_ENCODING : MTLS_TARGET_FINE;
    case ':':
        return octet_at(s->text, s->at + octet->len).value == '$' ? MTLS_TARGET_STREAM
                                                                  : MTLS_TARGET_FINE;
    default:
        return MTLS_TARGET_FINE;
    }
}

/* ---- the path ---- */

/* Where the path of a target begins: behind the authority of an absolute-form. */
static apr_size_t path_begin(mtls_span_t target)
{
    apr_size_t i;

    if (target.len == 0 || target.data[0] == '/')
        return 0;
    for (i = 0; i < target.len &&
                (mtls_ascii_alnum(target.data[i]) || memchr("+-.", target.data[i], 3) != NULL);
         i++)
        ;
    if (target.len - i < 3 || memcmp(target.data + i, "://", 3) != 0)
        return 0;
    for (i += 3; i < target.len && memchr("/?#", target.data[i], 3) == NULL; i++)
        ;
    return i;
}

static void add_octet(segment_t *segment, unsigned char value)
{
    segment->all_dots = value == '.' && (segment->all_dots || segment->bytes == 0);
    segment->last = value;
    segment->bytes++;
}

/* A "/" or the end of the path. The first slash and one at the end leave no segment empty. */
static mtls_target_flaw_t end_segment(scan_t *s, apr_size_t begin, int slash)
{
    mtls_target_flaw_t flaw = flaw_of_segment(&s->segment);

    if (slash && s->segment.bytes == 0 && s->at > begin &&
        (s->how & (MTLS_TARGET_UNMERGED | MTLS_TARGET_SENT_RAW)))
        flaw = MTLS_TARGET_EMPTY_SEGMENT;
    memset(&s->segment, 0, sizeof(s->segment));
    return flaw;
}

mtls_target_flaw_t mtls_target_judge(mtls_span_t target, int how, apr_size_t *at)
{
    const char *query = target.len ? memchr(target.data, '?', target.len) : NULL;
    mtls_target_flaw_t flaw = MTLS_TARGET_UNJUDGED;
    scan_t s = {target, 0, how, {0, 0, 0}};
    apr_size_t begin;

    if (query)
        s.text.len = (apr_size_t)(query - target.data);
    begin = path_begin(s.text);
    for (s.at = begin; s.at < s.text.len;) {
        octet_t octet;
        int slash;
        if (mtls_ascii_alnum(s.text.data[s.at])) { /* nearly all bytes are */
            add_octet(&s.segment, (unsigned char)s.text.data[s.at++]);
            continue;
        }
        octet = octet_at(s.text, s.at);
        slash = octet.value == '/' && !octet.encoded;
        flaw = slash ? end_segment(&s, begin, 1) : flaw_of_octet(&s, &octet);
        if (flaw != MTLS_TARGET_FINE)
            break;
        if (!slash)
            add_octet(&s.segment, octet.value);
        s.at += octet.len;
    }
    if (s.at >= s.text.len)
        flaw = end_segment(&s, begin, 0);
    *at = s.at;
    return flaw;
}

const char *mtls_target_without_params(apr_pool_t *p, const char *path)
{
    char *out = apr_palloc(p, strlen(path) + 1), *end = out;

    while (*path) {
        if (*path == ';')
            path += strcspn(path, "/");
        else
            *end++ = *path++;
    }
    *end = '\0';
    return out;
}
