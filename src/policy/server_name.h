/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Whether a server's certificate is for the name the server was contacted by (RFC 9525). */

#ifndef MTLS_POLICY_SERVER_NAME_H
#define MTLS_POLICY_SERVER_NAME_H

#include "policy/facts.h"

/* 1 when a subjectAltName proves it. `name` is a DNS name (ASCII; its case and one dot at its end
 * do not count) or an IP address (an IPv6 one with or without brackets), without a port. A DNS name
 * may be matched by a wildcard that is the whole first label of an entry and has two labels behind
 * it; an address only by the same bytes; the common name is never looked at. Anything that is
 * neither a name nor an address matches nothing. Any thread; allocates nothing. */
int mtls_server_name_matches(const mtls_facts_t *facts, mtls_span_t name);

/* The wildcard entry that stands for a DNS name in lower case: "*.b.example" of "a.b.example", in
 * `p`. Empty: there is none. */
mtls_span_t mtls_server_name_wildcard(apr_pool_t *p, mtls_span_t name);

#endif
