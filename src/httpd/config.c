/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/config.h"

#include "httpd/proxy_sections.h"
#include "httpd/site.h"

const char *mtls_where(apr_pool_t *p, const ap_directive_t *directive)
{
    return apr_psprintf(p, "%s:%d", directive->filename ? directive->filename : "(command line)",
                        directive->line_num);
}

void *mtls_dir_create(apr_pool_t *p, char *path)
{
    (void)path;
    return apr_pcalloc(p, sizeof(mtls_dir_t));
}

/* Concatenation is associative, and so is forgetting what comes before a section that drops it:
 * httpd may merge sections among themselves first. */
static __attribute__((noinline)) mtls_dir_t *concatenate(apr_pool_t *p, const mtls_dir_t *base,
                                                         const mtls_dir_t *add)
{
    mtls_section_t **sections;
    mtls_dir_t *out;

    sections = apr_palloc(p, sizeof(*sections) * (apr_size_t)(base->n + add->n));
    memcpy(sections, base->sections, sizeof(*sections) * (apr_size_t)base->n);
    memcpy(sections + base->n, add->sections, sizeof(*sections) * (apr_size_t)add->n);
    out = apr_palloc(p, sizeof(*out));
    out->sections = sections;
    out->n = base->n + add->n;
    out->of_clients = base->of_clients | add->of_clients;
    out->own = NULL;
    return out;
}

/* Called a few times for every request; what most calls do saves no register. */
void *mtls_dir_merge(apr_pool_t *p, void *base_, void *add_)
{
    mtls_dir_t *base = base_, *add = add_;

    if (add->n == 0)
        return base;
    if (base->n == 0 || add->sections[0]->drops_inherited)
        return add;
    return concatenate(p, base, add);
}

mtls_section_t *mtls_section_of(cmd_parms *cmd, void *dir)
{
    mtls_section_t *section = mtls_section_of_backends(cmd, dir);

    ((mtls_dir_t *)dir)->of_clients = 1;
    section->lost = mtls_proxy_sections_lost(cmd);
    return section;
}

mtls_section_t *mtls_section_of_backends(cmd_parms *cmd, void *dir_)
{
    mtls_dir_t *dir = dir_;
    mtls_section_t *section = dir->own;
    mtls_section_t **sections;

    if (section)
        return section;
    section = apr_pcalloc(cmd->pool, sizeof(*section));
    section->server = cmd->server;
    section->where = mtls_where(cmd->pool, cmd->directive);
    section->is_top = cmd->path == NULL;
    section->rules = apr_array_make(cmd->pool, 4, sizeof(const mtls_rule_t *));
    section->uses = apr_array_make(cmd->pool, 1, sizeof(mtls_use_t *));
    section->reports = apr_array_make(cmd->pool, 1, sizeof(mtls_use_t *));
    section->headers = apr_array_make(cmd->pool, 1, sizeof(mtls_export_header_t *));
    sections = apr_palloc(cmd->pool, sizeof(*sections));
    sections[0] = section;
    dir->own = section;
    dir->sections = sections;
    dir->n = 1;
    mtls_site_add_section(section);
    return section;
}

void *mtls_server_create(apr_pool_t *p, server_rec *s)
{
    mtls_server_t *server = apr_pcalloc(p, sizeof(*server));

    (void)s;
    server->advertise = MTLS_UNSET;
    server->ocsp = (mtls_ocsp_settings_t){MTLS_UNSET, MTLS_UNSET, MTLS_UNSET,
                                          MTLS_UNSET, MTLS_UNSET, MTLS_UNSET};
    return server;
}

static void inherit(int *value, int base)
{
    if (*value == MTLS_UNSET)
        *value = base;
}

static void merge_ocsp(mtls_ocsp_settings_t *out, const mtls_ocsp_settings_t *base)
{
    inherit(&out->timeout, base->timeout);
    inherit(&out->wait, base->wait);
    inherit(&out->max_age, base->max_age);
    inherit(&out->stale, base->stale);
    inherit(&out->skew, base->skew);
    inherit(&out->nonce, base->nonce);
}

void *mtls_server_merge(apr_pool_t *p, void *base_, void *add_)
{
    const mtls_server_t *base = base_, *add = add_;
    mtls_server_t *out = apr_pmemdup(p, add, sizeof(*add));

    if (out->handshake == MTLS_HANDSHAKE_UNSET) {
        out->handshake = base->handshake;
        out->handshake_where = base->handshake_where;
    }
    if (!out->trust_domains)
        out->trust_domains = base->trust_domains;
    if (out->advertise == MTLS_UNSET)
        out->advertise = base->advertise;
    if (out->strict_path == MTLS_STRICT_PATH_UNSET)
        out->strict_path = base->strict_path;
    if (!out->responder) {
        out->responder = base->responder;
        out->responders = base->responders;
    }
    if (!out->signers)
        out->signers = base->signers;
    merge_ocsp(&out->ocsp, &base->ocsp);
    return out;
}
