/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Which addresses a certificate may make this server connect to. An address that only an
 * administrator may mean is refused in every form that reaches it: IPv4 inside IPv6 counts as what
 * is inside. Any thread. */

#ifndef MTLS_OCSP_ADDRESS_H
#define MTLS_OCSP_ADDRESS_H

#include <apr_network_io.h>
#include <apr_tables.h>

/* Why nobody connects to this IPv4 or IPv6 address and port: loopback, link-local, no single
 * host's, or one of this server's own `listeners` (apr_sockaddr_t *, NULL: none; the wildcard
 * stands for all addresses this machine has now). NULL: it is allowed. Static text. */
const char *mtls_address_refused(const struct sockaddr *address,
                                 const apr_array_header_t *listeners);

/* The same of the host of a URL (mtls_fetch_parse_url), where it says without being looked up. */
const char *mtls_address_host_refused(const char *host, int port,
                                      const apr_array_header_t *listeners);

#endif
