/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

/* Every address as IPv6; IPv4 in the form ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
typedef struct address_t {
    unsigned char bytes[16];
} address_t;

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static address_t of_ipv4(const void *four)
{
    address_t address;

    memcpy(address.bytes, mapped, sizeof(mapped));
    memcpy(address.bytes + sizeof(mapped), four, 4);
    return address;
}

/* 0: neither IPv4 nor IPv6. */
static int read_address(const struct sockaddr *from, address_t *address, int *port)
{
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;
        *address = of_ipv4(&in->sin_addr);
        *port = ntohs(in->sin_port);
        return 1;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)from;
        memcpy(address->bytes, &in->sin6_addr, sizeof(address->bytes));
        *port = ntohs(in->sin6_port);
        return 1;
    }
    return 0;
}

/* ---- IPv4 inside IPv6 ---- */

typedef struct carrier_t {
    unsigned char prefix[12];
    size_t bytes; /* of the prefix */
    size_t at;    /* where the IPv4 address stands */
} carrier_t;

static const carrier_t carriers[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12, 12}, /* mapped */
    {{0}, 12, 12},                                        /* compatible, RFC 4291 2.5.5.1 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 12, 12}, /* translated, RFC 2765 2.1 */
    {{0, 0x64, 0xff, 0x9b}, 12, 12},                      /* NAT64, RFC 6052 2.1 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 6, 12},                 /* NAT64 of a site, RFC 8215 */
    {{0x20, 0x02}, 2, 2},                                 /* 6to4, RFC 3056 2 */
};

/* 0: there is none inside. */
static int inner(const address_t *address, address_t *in)
{
    size_t i;

    for (i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++) {
        if (memcmp(address->bytes, carriers[i].prefix, carriers[i].bytes) == 0) {
            *in = of_ipv4(address->bytes + carriers[i].at);
            return 1;
        }
    }
    return 0;
}

/* ---- kinds ---- */

/* RFC 6890 2.2.2. */
static const char *refused_ipv4(const unsigned char *a)
{
    if (a[0] == 0)
        return "is this host";
    if (a[0] == 127)
        return "is loopback";
    if (a[0] == 169 && a[1] == 254)
        return "is link-local";
    if (a[0] >= 224 && a[0] <= 239)
        return "is multicast";
    if (a[0] == 255 && a[1] == 255 && a[2] == 255 && a[3] == 255)
        return "is broadcast";
    return NULL;
}

/* RFC 6890 2.2.3. :: and ::1 are IPv4-compatible, of 0.0.0.0/8. */
static const char *refused_kind(const address_t *address)
{
    const unsigned char *a = address->bytes;

    if (memcmp(a, mapped, sizeof(mapped)) == 0)
        return refused_ipv4(a + sizeof(mapped));
    if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
        return "is link-local";
    if (a[0] == 0xff)
        return "is multicast";
    return NULL;
}

/* ---- this server's own ---- */

/* Asked at the moment of use: addresses come and go while a server runs. */
static int of_this_machine(const address_t *address)
{
    struct ifaddrs *all, *one;
    address_t own;
    int found = 0, port;

    if (getifaddrs(&all) != 0)
        return 1;
    for (one = all; one && !found; one = one->ifa_next) {
        found = one->ifa_addr && read_address(one->ifa_addr, &own, &port) &&
                memcmp(&own, address, sizeof(own)) == 0;
    }
    freeifaddrs(all);
    return found;
}

static int is_wildcard(const address_t *address)
{
    static const unsigned char zero[16];
    const unsigned char *a = address->bytes;

    return memcmp(a, zero, sizeof(zero)) == 0 ||
           (memcmp(a, mapped, sizeof(mapped)) == 0 && memcmp(a + sizeof(mapped), zero, 4) == 0);
}

static int is_listener(const address_t *address, int port, const apr_array_header_t *listeners)
{
    int i, wildcard = 0;

    for (i = 0; listeners && i < listeners->nelts; i++) {
        const apr_sockaddr_t *one = APR_ARRAY_IDX(listeners, i, const apr_sockaddr_t *);
        for (; one; one = one->next) {
            address_t at;
            int its_port;
            if (!read_address((const struct sockaddr *)&one->sa, &at, &its_port) ||
                its_port != port)
                continue;
            if (memcmp(&at, address, sizeof(at)) == 0)
                return 1;
            wildcard |= is_wildcard(&at);
        }
    }
    return wildcard && of_this_machine(address);
}

static const char *refused(const address_t *address, int port, const apr_array_header_t *listeners)
{
    const char *why = refused_kind(address);

    return why || !is_listener(address, port, listeners) ? why : "is this server's own";
}

/* ---- public ---- */

const char *mtls_address_refused(const struct sockaddr *address,
                                 const apr_array_header_t *listeners)
{
    const char *why = "is neither IPv4 nor IPv6";
    address_t whole, in;
    int port;

    if (read_address(address, &whole, &port)) {
        why = refused(&whole, port, listeners);
        if (!why && inner(&whole, &in))
            why = refused(&in, port, listeners);
    }
    return why;
}

/* RFC 6761 6.3: resolvers, ours or a proxy's, take it for loopback. */
static int is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t len = strlen(host), n = sizeof(name) - 1;

    return len >= n && strcasecmp(host + len - n, name) == 0 &&
           (len == n || host[len - n - 1] == '.');
}

const char *mtls_address_host_refused(const char *host, int port,
                                      const apr_array_header_t *listeners)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(&v4, 0, sizeof(v4));
    memset(&v6, 0, sizeof(v6));
    if (is_localhost(host))
        return "is loopback";
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons((in_port_t)port);
        return mtls_address_refused((const struct sockaddr *)&v4, listeners);
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons((in_port_t)port);
        return mtls_address_refused((const struct sockaddr *)&v6, listeners);
    }
    return NULL;
}
