/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/site.h"

#include <apr_hooks.h>

#include "httpd/strip.h"

mtls_site_t *mtls_site_in_force;

int mtls_site_is_idle(void)
{
    return mtls_site_in_force->sections->nelts == 0 && mtls_site_in_force->requires->nelts == 0 &&
           !mtls_site_in_force->defers && !mtls_site_in_force->signs;
}

void mtls_site_begin(apr_pool_t *pconf)
{
    mtls_site_in_force = apr_pcalloc(pconf, sizeof(*mtls_site_in_force));
    mtls_site_in_force->p = pconf;
    mtls_site_in_force->policies = apr_hash_make(pconf);
    mtls_site_in_force->stores = apr_hash_make(pconf);
    mtls_site_in_force->trusts = apr_array_make(pconf, 4, sizeof(mtls_trust_t *));
    mtls_site_in_force->sections = apr_array_make(pconf, 16, sizeof(mtls_section_t *));
    mtls_site_in_force->requires = apr_array_make(pconf, 4, sizeof(mtls_require_t *));
    mtls_site_in_force->headers = apr_array_make(pconf, 8, sizeof(const char *));
    mtls_site_in_force->warnings = apr_array_make(pconf, 2, sizeof(const char *));
}

void mtls_site_add_section(mtls_section_t *section)
{
    APR_ARRAY_PUSH(mtls_site_in_force->sections, mtls_section_t *) = section;
}

const char *mtls_site_strip(apr_pool_t *p, const char *header)
{
    const char *error = mtls_strip_check_name(p, header);
    int i;

    if (error)
        return error;
    for (i = 0; i < mtls_site_in_force->headers->nelts; i++) {
        if (mtls_strip_same_name(APR_ARRAY_IDX(mtls_site_in_force->headers, i, const char *),
                                 header))
            return NULL;
    }
    APR_ARRAY_PUSH(mtls_site_in_force->headers, const char *) =
        apr_pstrdup(mtls_site_in_force->p, header);
    return NULL;
}

const mtls_trust_handle_t *mtls_site_store(const char *name)
{
    return apr_hash_get(mtls_site_in_force->stores, name, APR_HASH_KEY_STRING);
}

const mtls_policy_t *mtls_site_policy(const char *name)
{
    const mtls_named_policy_t *named =
        apr_hash_get(mtls_site_in_force->policies, name, APR_HASH_KEY_STRING);

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
