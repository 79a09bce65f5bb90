/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/site.h"

#include <apr_hooks.h>

#include "httpd/strip.h"

static mtls_site_t *current;

mtls_site_t *mtls_site(void)
{
    return current;
}

int mtls_site_is_idle(void)
{
    return current->sections->nelts == 0 && current->requires->nelts == 0 && !current->defers &&
           !current->signs;
}

void mtls_site_begin(apr_pool_t *pconf)
{
    current = apr_pcalloc(pconf, sizeof(*current));
    current->p = pconf;
    current->policies = apr_hash_make(pconf);
    current->stores = apr_hash_make(pconf);
    current->trusts = apr_array_make(pconf, 4, sizeof(mtls_trust_t *));
    current->sections = apr_array_make(pconf, 16, sizeof(mtls_section_t *));
    current->requires = apr_array_make(pconf, 4, sizeof(mtls_require_t *));
    current->headers = apr_array_make(pconf, 8, sizeof(const char *));
    current->warnings = apr_array_make(pconf, 2, sizeof(const char *));
}

void mtls_site_add_section(mtls_section_t *section)
{
    APR_ARRAY_PUSH(current->sections, mtls_section_t *) = section;
}

const char *mtls_site_strip(apr_pool_t *p, const char *header)
{
    const char *error = mtls_strip_check_name(p, header);
    int i;

    if (error)
        return error;
    for (i = 0; i < current->headers->nelts; i++) {
        if (mtls_strip_same_name(APR_ARRAY_IDX(current->headers, i, const char *), header))
            return NULL;
    }
    APR_ARRAY_PUSH(current->headers, const char *) = apr_pstrdup(current->p, header);
    return NULL;
}

const mtls_trust_handle_t *mtls_site_store(const char *name)
{
    return apr_hash_get(current->stores, name, APR_HASH_KEY_STRING);
}

const mtls_policy_t *mtls_site_policy(const char *name)
{
    const mtls_named_policy_t *named = apr_hash_get(current->policies, name, APR_HASH_KEY_STRING);

    return named ? named->policy : NULL;
}

/* A hook bears the name of the module that was loaded last, by which others are sorted. */
void mtls_site_add_hooks(void (*add)(void))
{
    const char *before = apr_hook_debug_current;

    apr_hook_debug_current = "mod_mtls_policy.c";
    add();
    apr_hook_debug_current = before;
}
