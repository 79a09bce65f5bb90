/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/export_directives.h"

#include <apr_network_io.h>
#include <arpa/inet.h>
#include <http_log.h>

#include "httpd/caching.h"
#include "httpd/expr.h"
#include "httpd/site.h"
#include "httpd/strip.h"
#include "identity/jwt.h"

APLOG_USE_MODULE(mtls_policy);

static const char *wrong_section(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_LIMIT | NOT_IN_HTACCESS);
}

/* ---- MTLSExport ---- */

/* Clients may never send what the format's readers believe. */
static const char *strip_names(apr_pool_t *p, const mtls_format_t *format)
{
    const char *const *name = mtls_format_names(p, format);
    const char *error = NULL;

    if (*name)
        mtls_caching_exports();
    for (; *name && !error; name++)
        error = mtls_site_strip(p, *name);
    return error;
}

static const char *common_header(apr_pool_t *p, const mtls_format_t *a, const mtls_format_t *b)
{
    const char *const *x, *const *y;

    for (x = mtls_format_names(p, a); *x; x++) {
        for (y = mtls_format_names(p, b); *y; y++) {
            if (mtls_strip_same_name(*x, *y))
                return *x;
        }
    }
    return NULL;
}

/* Two lines may not set the same header, as CGI compares names. */
static const char *check_set(apr_pool_t *p, const apr_array_header_t *formats,
                             const mtls_format_t *format)
{
    const char *common;
    int i;

    for (i = 0; i < formats->nelts; i++) {
        const mtls_format_t *before = &APR_ARRAY_IDX(formats, i, const mtls_format_t);
        if (before->kind == MTLS_FORMAT_NONE || format->kind == MTLS_FORMAT_NONE)
            return "none stands alone in a section";
        if (before->kind == format->kind && format->kind != MTLS_FORMAT_JWT)
            return "the section exports that already";
        if ((common = common_header(p, format, before)) != NULL)
            return apr_psprintf(p, "the section exports %s already", common);
    }
    return NULL;
}

const char *mtls_set_export(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mtls_section_t *section;
    mtls_format_t format;
    const char *error = wrong_section(cmd);

    if (error)
        return error;
    section = mtls_section_of(cmd, dir);
    if (!section->formats)
        section->formats = apr_array_make(cmd->pool, 2, sizeof(mtls_format_t));
    memset(&format, 0, sizeof(format));
    error = mtls_format_parse(cmd->pool, argc, argv, &format);
    if (!error)
        error = check_set(cmd->temp_pool, section->formats, &format);
    if (!error)
        error = strip_names(cmd->pool, &format);
    if (error)
        return apr_psprintf(cmd->pool, "MTLSExport%s%s: %s", argc > 0 ? " " : "",
                            argc > 0 ? argv[0] : "", error);
    mtls_site()->appends |= format.append;
    APR_ARRAY_PUSH(section->formats, mtls_format_t) = format;
    return NULL;
}

/* ---- headers ---- */

const char *mtls_set_export_header(cmd_parms *cmd, void *dir, const char *name, const char *text)
{
    mtls_export_header_t *header = apr_pcalloc(cmd->pool, sizeof(*header));
    const char *error = wrong_section(cmd);

    if (error)
        return error;
    if ((error = mtls_site_strip(cmd->pool, name)) != NULL)
        return apr_psprintf(cmd->pool, "MTLSExportHeader: %s", error);
    mtls_caching_exports();
    if (!*text)
        return "MTLSExportHeader: the text is empty; without the directive there is no header";
    header->name = apr_pstrdup(cmd->pool, name);
    header->where = mtls_where(cmd->pool, cmd->directive);
    header->expr = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_STRING_RESULT, &error, NULL);
    if (error)
        return apr_psprintf(cmd->pool, "MTLSExportHeader %s \"%s\": %s", name, text, error);
    header->pieces = mtls_expr_pieces(cmd->pool, text);
    APR_ARRAY_PUSH(mtls_section_of(cmd, dir)->headers, mtls_export_header_t *) = header;
    return NULL;
}

const char *mtls_set_header_limit(cmd_parms *cmd, void *dir, const char *value)
{
    int limit = strlen(value) <= 7 && value[strspn(value, "0123456789")] == '\0' ? atoi(value) : 0;
    const char *error = wrong_section(cmd);

    if (error)
        return error;
    if (limit < 256 || limit > 1048576)
        return apr_psprintf(cmd->pool,
                            "MTLSHeaderLimit: unknown value \"%s\"; allowed: a number of bytes "
                            "from 256 to 1048576",
                            value);
    mtls_section_of(cmd, dir)->header_limit = limit;
    return NULL;
}

/* ---- MTLSTrustedProxy ---- */

/* APR alone would take "10" for 10.0.0.0/8, and masks with holes. Everybody is nobody to trust. */
static int parse_network(apr_pool_t *p, const char *address, apr_ipsubnet_t **subnet)
{
    char *ip = apr_pstrdup(p, address), *mask = strchr(ip, '/');
    unsigned char bytes[sizeof(struct in6_addr)];

    if (mask)
        *mask++ = '\0';
    return inet_pton(strchr(ip, ':') ? AF_INET6 : AF_INET, ip, bytes) == 1 &&
           (!mask || (*mask >= '1' && *mask <= '9' && !mask[strspn(mask, "0123456789")])) &&
           apr_ipsubnet_create(subnet, ip, mask, p) == APR_SUCCESS;
}

const char *mtls_set_trusted_proxy(cmd_parms *cmd, void *dir, const char *address)
{
    const char *error = wrong_section(cmd);
    mtls_section_t *section;
    apr_ipsubnet_t *subnet;

    if (error)
        return error;
    if (!parse_network(cmd->pool, address, &subnet))
        return apr_psprintf(cmd->pool,
                            "MTLSTrustedProxy: \"%s\" is neither an IP address nor a network like "
                            "192.0.2.0/24 or 2001:db8::/32",
                            address);
    section = mtls_section_of(cmd, dir);
    if (!section->proxies)
        section->proxies = apr_array_make(cmd->pool, 2, sizeof(apr_ipsubnet_t *));
    APR_ARRAY_PUSH(section->proxies, apr_ipsubnet_t *) = subnet;
    return NULL;
}
