/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Distinguished names in RFC 4514. */

#include "fuzz.h"

#include "../unit/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_begin();
    char *text = apr_pstrmemdup(p, (const char *)data, size);
    mtls_span_t canonical = {NULL, 0}, reversed = {NULL, 0}, again = {NULL, 0}, back = {NULL, 0};
    const char *error = mtls_name_parse(p, text, world_oid, &canonical, &reversed);

    if (error) {
        CHECK(*error);
    } else {
        CHECK(canonical.len > 0 && canonical.len == reversed.len);
        CHECK(mtls_name_parse(p, apr_pstrcat(p, " ", text, NULL), world_oid, &again, &back) ==
              NULL);
        CHECK(mtls_span_equal(canonical, again) && mtls_span_equal(reversed, back));
    }
    fuzz_end(p);
    return 0;
}
