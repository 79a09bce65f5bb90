/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/value_list.h"

#include <apr_hash.h>

#include "policy/limits.h"

struct mtls_value_list_t {
    mtls_kind_t kind;
    apr_hash_t *values;
    /* MTLS_KIND_IP: which prefix lengths occur, so that a look-up tries only those. */
    unsigned char prefixes_v4[33];
    unsigned char prefixes_v6[129];
};

static char *trim(char *line, char *end)
{
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    return line;
}

const char *mtls_lines_walk(apr_pool_t *p, char *text, apr_size_t len, mtls_line_fn fn, void *baton)
{
    char *at = text, *end = text + len;
    const char *error;
    int number = 0;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return "line 1: starts with a byte order mark; save the file as plain UTF-8";
    if (memchr(text, '\0', len))
        return "holds a NUL byte: not a text file";
    for (; at < end; at++) {
        char *line = at;
        char *newline = memchr(at, '\n', (apr_size_t)(end - at));
        number++;
        at = newline ? newline : end;
        if (at - line > MTLS_MAX_LIST_LINE)
            return apr_psprintf(p, "line %d: longer than %d bytes", number, MTLS_MAX_LIST_LINE);
        line = trim(line, at > line && at[-1] == '\r' ? at - 1 : at);
        if (*line == '\0' || *line == '#')
            continue;
        if ((error = fn(baton, line)) != NULL)
            return apr_psprintf(p, "line %d: %s", number, error);
    }
    return NULL;
}

mtls_value_list_t *mtls_value_list_make(apr_pool_t *p, mtls_kind_t kind)
{
    mtls_value_list_t *list = apr_pcalloc(p, sizeof(*list));

    list->kind = kind;
    list->values = apr_hash_make(p);
    return list;
}

static unsigned char *prefixes(mtls_value_list_t *list, int address_bytes)
{
    return address_bytes == 4 ? list->prefixes_v4 : list->prefixes_v6;
}

void mtls_value_list_add(mtls_value_list_t *list, mtls_span_t value)
{
    if (list->kind == MTLS_KIND_IP)
        prefixes(list, value.data[0])[(unsigned char)value.data[1]] = 1;
    apr_hash_set(list->values, value.data, (apr_ssize_t)value.len, "");
}

int mtls_value_list_count(const mtls_value_list_t *list)
{
    return (int)apr_hash_count(list->values);
}

static int has_network(const mtls_value_list_t *list, mtls_span_t address)
{
    const unsigned char *in_use = address.len == 4 ? list->prefixes_v4 : list->prefixes_v6;
    char network[MTLS_NETWORK_BYTES];
    int bits;

    if (address.len != 4 && address.len != 16)
        return 0;
    for (bits = 0; bits <= (int)address.len * 8; bits++) {
        if (in_use[bits]) {
            apr_size_t len = mtls_value_network(address, bits, network);
            if (apr_hash_get(list->values, network, (apr_ssize_t)len))
                return 1;
        }
    }
    return 0;
}

int mtls_value_list_has(const mtls_value_list_t *list, mtls_span_t value)
{
    if (list->kind == MTLS_KIND_IP)
        return has_network(list, value);
    return apr_hash_get(list->values, value.data, (apr_ssize_t)value.len) != NULL;
}
