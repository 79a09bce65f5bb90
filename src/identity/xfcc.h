/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* X-Forwarded-Client-Cert, as Envoy defines it: elements joined with ",", one a hop and the newest
 * last; of pairs joined with ";". */

#ifndef MTLS_IDENTITY_XFCC_H
#define MTLS_IDENTITY_XFCC_H

#include "identity/field.h"

#define MTLS_XFCC_HEADER "X-Forwarded-Client-Cert"

/* Pairs of an element, as bits. */
#define MTLS_XFCC_BY      0x01u
#define MTLS_XFCC_HASH    0x02u
#define MTLS_XFCC_CERT    0x04u
#define MTLS_XFCC_CHAIN   0x08u
#define MTLS_XFCC_SUBJECT 0x10u
#define MTLS_XFCC_URI     0x20u
#define MTLS_XFCC_DNS     0x40u
#define MTLS_XFCC_DEFAULT                                                                          \
    (MTLS_XFCC_BY | MTLS_XFCC_HASH | MTLS_XFCC_SUBJECT | MTLS_XFCC_URI | MTLS_XFCC_DNS)

/* Parse "hash,subject,..."; NULL or, in `p`, what is wrong. */
const char *mtls_xfcc_parse_pairs(apr_pool_t *p, const char *text, unsigned int *pairs);

/* The element of one certificate, in `p`: printable ASCII that every reader of the grammar splits
 * alike. What the certificate does not have has no pair, and neither has a URI or DNS name that
 * holds a quote, a backslash, a blank or a byte that is no printable ASCII. Empty when nothing is
 * left, which MTLS_XFCC_HASH prevents. */
const char *mtls_xfcc_element(apr_pool_t *p, unsigned int pairs, const mtls_identity_t *identity);

/* Whether `value` is nothing but elements by the grammar, so that one may be appended to it with a
 * comma. Empty is not. */
int mtls_xfcc_is_list(mtls_span_t value);

#endif
