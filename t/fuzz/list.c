/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* List files. The first byte chooses the kind of value; the rest is the file. Whatever was read
 * from it must be found in it. */

#include "fuzz.h"

#include <apr_tables.h>

#include "../unit/world.h"
#include "policy/value_list.h"

static const mtls_kind_t kinds[] = {MTLS_KIND_TEXT,   MTLS_KIND_DNS,    MTLS_KIND_EMAIL,
                                    MTLS_KIND_URI,    MTLS_KIND_IP,     MTLS_KIND_NAME,
                                    MTLS_KIND_SHA256, MTLS_KIND_PIN,    MTLS_KIND_SERIAL,
                                    MTLS_KIND_OID,    MTLS_KIND_SPIFFE, MTLS_KIND_TRUST};

typedef struct reader_t {
    apr_pool_t *p;
    mtls_kind_t kind;
    mtls_value_list_t *list;
    apr_array_header_t *values;
} reader_t;

static const char *add(void *baton, apr_pool_t *scratch, const char *line)
{
    reader_t *in = baton;
    mtls_span_t value = {NULL, 0};
    const char *error = mtls_value_parse(scratch, in->kind, line, world_oid, &value, NULL);

    CHECK(*line && *line != '#' && !strchr(line, '\n'));
    if (error)
        return error;
    CHECK(mtls_value_list_add(in->list, value) == NULL);
    APR_ARRAY_PUSH(in->values, mtls_span_t) = mtls_span_copy(in->p, value);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    reader_t in = {p, MTLS_KIND_TEXT, NULL, apr_array_make(p, 4, sizeof(mtls_span_t))};
    char *text;
    int i;

    if (size > 0) {
        in.kind = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))];
        in.list = mtls_value_list_make(p, in.kind);
        text = apr_pstrmemdup(p, (const char *)data + 1, size - 1);
        (void)mtls_lines_walk(p, text, size - 1, add, &in);
        CHECK(memcmp(text, data + 1, size - 1) == 0);
        CHECK(mtls_value_list_count(in.list) <= in.values->nelts);
        if (data[0] & 128)
            mtls_value_list_seal(in.list);
        for (i = 0; i < in.values->nelts; i++) {
            mtls_span_t value = APR_ARRAY_IDX(in.values, i, mtls_span_t);
            if (in.kind == MTLS_KIND_IP) /* a network holds its own first address */
                value = mtls_span(value.data + 2, value.len - 2);
            CHECK(mtls_value_list_has(in.list, value));
        }
    }
    fuzz_end(p);
    return 0;
}
