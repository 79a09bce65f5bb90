/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/measure.h"

#include <stdlib.h>

static const char key_usage[] = "a key is written as rsa, rsa>=3072, ec>=256, ec:prime256v1, "
                                "ed25519, ed448 or dsa";
static const char duration_usage[] = "a duration is written as <=90d or >=12h: one of <= >= < >, "
                                     "a number and one of s m h d w";

static const char *read_compare(const char *text, mtls_compare_t *compare)
{
    int equal = text[0] && text[1] == '=';

    *compare = MTLS_COMPARE_NONE;
    if (text[0] == '<')
        *compare = equal ? MTLS_COMPARE_AT_MOST : MTLS_COMPARE_LESS;
    else if (text[0] == '>')
        *compare = equal ? MTLS_COMPARE_AT_LEAST : MTLS_COMPARE_MORE;
    return text + (equal ? 2 : 1);
}

/* Up to nine digits, so that no multiplication by a unit can overflow. */
static const char *read_number(const char *text, apr_int64_t *number)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9)
        return NULL;
    *number = (apr_int64_t)strtol(text, NULL, 10);
    return text + digits;
}

static int known_key_type(const char *type)
{
    static const char *const types[] = {"rsa", "ec", "ed25519", "ed448", "dsa"};
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i], type) == 0)
            return 1;
    }
    return 0;
}

const char *mtls_measure_parse_key(apr_pool_t *p, const char *text, mtls_measure_t *m)
{
    size_t i, len = strcspn(text, "<>=:");
    char *type = apr_pstrmemdup(p, text, len);

    for (i = 0; i < len; i++)
        type[i] = mtls_ascii_lower(type[i]);
    m->type = type;
    m->curve = NULL;
    m->compare = MTLS_COMPARE_ANY;
    m->amount = 0;
    if (!known_key_type(type))
        return key_usage;
    if (text[len] == '\0')
        return NULL;
    if (text[len] == ':') {
        m->curve = apr_pstrdup(p, text + len + 1);
        return *m->curve && strcmp(type, "ec") == 0 ? NULL : key_usage;
    }
    text = read_number(read_compare(text + len, &m->compare), &m->amount);
    return m->compare != MTLS_COMPARE_NONE && text && !*text ? NULL : key_usage;
}

static apr_int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 7 * 86400;
    default:
        return 0;
    }
}

const char *mtls_measure_parse_duration(apr_pool_t *p, const char *text, mtls_measure_t *m)
{
    apr_int64_t unit;

    (void)p;
    m->type = m->curve = NULL;
    text = read_compare(text, &m->compare);
    if (m->compare == MTLS_COMPARE_NONE)
        return duration_usage;
    text = read_number(text, &m->amount);
    unit = text ? unit_seconds(*text) : 0;
    if (unit == 0 || text[1])
        return duration_usage;
    m->amount *= unit;
    return NULL;
}

static int holds(const mtls_measure_t *m, apr_int64_t value)
{
    switch (m->compare) {
    case MTLS_COMPARE_ANY:
        return 1;
    case MTLS_COMPARE_LESS:
        return value < m->amount;
    case MTLS_COMPARE_AT_MOST:
        return value <= m->amount;
    case MTLS_COMPARE_AT_LEAST:
        return value >= m->amount;
    case MTLS_COMPARE_MORE:
        return value > m->amount;
    default:
        return 0;
    }
}

int mtls_measure_key(const mtls_measure_t *m, const mtls_key_t *key)
{
    if (strcmp(m->type, key->type) != 0)
        return 0;
    if (m->curve)
        return strcmp(m->curve, key->curve) == 0;
    return holds(m, key->bits);
}

int mtls_measure_seconds(const mtls_measure_t *m, apr_int64_t seconds)
{
    return m->compare != MTLS_COMPARE_ANY && holds(m, seconds);
}

apr_time_t mtls_measure_turns(const mtls_measure_t *m, apr_time_t end, apr_time_t now)
{
    /* The time left is counted in whole seconds and only shrinks: just after end - amount - 1 it
     * becomes `amount`, just after end - amount it becomes less. */
    apr_time_t becomes_amount = end - apr_time_from_sec(m->amount + 1) + 1;
    apr_time_t becomes_less = end - apr_time_from_sec(m->amount) + 1;

    if (becomes_amount > now)
        return becomes_amount;
    return becomes_less > now ? becomes_less : MTLS_FOREVER;
}
