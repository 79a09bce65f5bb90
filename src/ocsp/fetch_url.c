/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Addresses of responders as text. What is read here goes to libcurl and to the system's resolver
 * afterwards, so only what all of them read alike is let through: one spelling of an IPv4 address,
 * nothing before an "@", no byte that is none of a URL's. */

#include "ocsp/fetch.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/limits.h"

#define MAX_HOST_BYTES  253 /* RFC 1035 2.3.4, as text */
#define MAX_LABEL_BYTES 63

typedef struct host_t {
    char name[MAX_HOST_BYTES + 1]; /* lower case, without a trailing dot; IPv6 as inet_ntop() */
    int port;
} host_t;

/* ---- hosts ---- */

static int all_digits(mtls_span_t s)
{
    apr_size_t i;

    for (i = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
        ;
    return s.len > 0 && i == s.len;
}

/* inet_aton(), and so getaddrinfo(), takes 127.1, 0177.0.0.1, 0x7f.1 and 2130706433 for addresses:
 * whatever ends in a number. */
static int ends_in_number(mtls_span_t name)
{
    apr_size_t from = name.len;

    while (from > 0 && name.data[from - 1] != '.')
        from--;
    name = mtls_span(name.data + from, name.len - from);
    return all_digits(name) || mtls_span_starts(name, mtls_span_of("0x"));
}

/* RFC 952, RFC 1123 2.1; "_" as some name their hosts. */
static int is_name(mtls_span_t name)
{
    apr_size_t i, label = 0;

    for (i = 0; i < name.len; i++) {
        const char c = name.data[i];
        if (c == '.') {
            if (label == 0)
                return 0;
            label = 0;
        } else if ((!mtls_ascii_alnum(c) && c != '-' && c != '_') || ++label > MAX_LABEL_BYTES) {
            return 0;
        }
    }
    return label > 0;
}

static const char *read_ipv6(mtls_span_t text, host_t *host)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.len >= sizeof(copy))
        return "names no IPv6 address in its brackets";
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET6, copy, &address) != 1 ||
        !inet_ntop(AF_INET6, &address, host->name, sizeof(host->name)))
        return "names no IPv6 address in its brackets";
    return NULL;
}

static const char *read_name(mtls_span_t text, host_t *host)
{
    struct in_addr address;
    apr_size_t i;
    int dot = text.len > 0 && text.data[text.len - 1] == '.';

    if (dot)
        text.len--;
    if (text.len == 0)
        return "names no host";
    if (text.len > MAX_HOST_BYTES || !is_name(text))
        return "has a host that is neither a DNS name nor an address";
    for (i = 0; i < text.len; i++)
        host->name[i] = mtls_ascii_lower(text.data[i]);
    host->name[text.len] = '\0';
    if (ends_in_number(mtls_span_of(host->name)) &&
        (dot || inet_pton(AF_INET, host->name, &address) != 1))
        return "has a number for a host that is no IPv4 address of the form 192.0.2.1";
    return NULL;
}

static const char *read_port(mtls_span_t text, host_t *host)
{
    apr_size_t i;
    int port = 0;

    for (i = 0; i < text.len && i < 6; i++)
        port = port * 10 + (text.data[i] - '0');
    if (!all_digits(text) || text.len > 5 || port < 1 || port > 65535)
        return "has a port that is none";
    host->port = port;
    return NULL;
}

/* "HOST[:PORT]"; host->port is left alone without one. */
static const char *read_host(mtls_span_t text, host_t *host)
{
    const char *end = NULL, *error;
    apr_size_t used = text.len;

    if (text.len > 0 && text.data[0] == '[') {
        end = memchr(text.data, ']', text.len);
        if (!end)
            return "lacks a \"]\"";
        used = (apr_size_t)(end - text.data) + 1;
        error = read_ipv6(mtls_span(text.data + 1, used - 2), host);
    } else {
        end = memchr(text.data, ':', text.len);
        used = end ? (apr_size_t)(end - text.data) : text.len;
        error = read_name(mtls_span(text.data, used), host);
    }
    if (error || used == text.len)
        return error;
    if (text.data[used] != ':')
        return "has something between host and port";
    return read_port(mtls_span(text.data + used + 1, text.len - used - 1), host);
}

/* ---- URLs ---- */

/* RFC 3986 2. */
static const char *refused_byte(const char *url)
{
    for (; *url; url++) {
        if (*url == '#')
            return "has a fragment";
        if (!mtls_ascii_alnum(*url) && !strchr("-._~:/?[]@!$&'()*+,;=%", *url))
            return "holds a byte that is none of a URL's";
    }
    return NULL;
}

static const char *read_url(const char *url, host_t *host)
{
    const char *error, *at;
    mtls_span_t authority;

    if (strlen(url) > MTLS_MAX_OCSP_URL_BYTES)
        return "is too long";
    if (strncasecmp(url, "http://", 7) == 0) {
        at = url + 7;
        host->port = 80;
    } else if (strncasecmp(url, "https://", 8) == 0) {
        at = url + 8;
        host->port = 443;
    } else {
        return "does not begin with http:// or https://";
    }
    if ((error = refused_byte(url)) != NULL)
        return error;
    authority = mtls_span(at, strcspn(at, "/?"));
    if (memchr(authority.data, '@', authority.len))
        return "names a user";
    return read_host(authority, host);
}

/* ---- public ---- */

const char *mtls_fetch_parse_url(apr_pool_t *p, const char *url, const char **host, int *port)
{
    host_t found;
    const char *error = read_url(url, &found);

    if (!error && host)
        *host = apr_pstrdup(p, found.name);
    if (!error && port)
        *port = found.port;
    return error;
}

const char *mtls_fetch_parse_host(apr_pool_t *p, const char *text, mtls_fetch_host_t *host)
{
    const char *colon = strchr(text, ':');
    host_t found;
    const char *error;

    found.port = 0;
    if (*text != '[' && colon && strchr(colon + 1, ':'))
        error = read_ipv6(mtls_span_of(text), &found) ? "is neither HOST nor HOST:PORT" : NULL;
    else
        error = read_host(mtls_span_of(text), &found);
    if (!error) {
        host->host = apr_pstrdup(p, found.name);
        host->port = found.port;
    }
    return error;
}

int mtls_fetch_allows(const mtls_fetch_rules_t *rules, const char *url)
{
    host_t host;
    int i;

    if (read_url(url, &host) != NULL)
        return 0;
    if (!rules->allow)
        return 1;
    for (i = 0; i < rules->allow->nelts; i++) {
        const mtls_fetch_host_t *one = &APR_ARRAY_IDX(rules->allow, i, mtls_fetch_host_t);
        if (strcmp(one->host, host.name) == 0 && (one->port == 0 || one->port == host.port))
            return 1;
    }
    return 0;
}
