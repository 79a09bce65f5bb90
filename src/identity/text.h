/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Values of certificates as text that may stand in a header, a variable or a log. */

#ifndef MTLS_IDENTITY_TEXT_H
#define MTLS_IDENTITY_TEXT_H

#include <apr_time.h>

#include "policy/span.h"

/* `value` with "%", control and non-ASCII bytes, a blank at its ends - and commas where values are
 * joined by them - percent-encoded (upper-case hex). Reversible, and never ends or splits a header,
 * nor loses anything in one. In `p`. */
const char *mtls_text_encode(apr_pool_t *p, mtls_span_t value, int joined);

/* The same for a value that will stand between double quotes, with those and backslashes encoded:
 * httpd escapes what it logs once more, so no other escape survives as itself. */
const char *mtls_text_encode_quoted(apr_pool_t *p, mtls_span_t value);

/* `text` with only control and non-ASCII bytes percent-encoded: the last look at a finished value,
 * whose parts are encoded already. `text` itself where there is nothing to do. */
const char *mtls_text_encode_control(apr_pool_t *p, const char *text);

/* `value` with every byte but ASCII letters, digits and those of `kept` percent-encoded (upper-case
 * hex), in `p`. */
const char *mtls_text_percent(apr_pool_t *p, mtls_span_t value, const char *kept);

/* base64 of bytes on one line, in `p`. */
const char *mtls_text_base64(apr_pool_t *p, mtls_span_t bytes);

/* base64url without padding (RFC 7515 2), in `p`. */
const char *mtls_text_base64url(apr_pool_t *p, mtls_span_t bytes);

/* A certificate's DER as PEM, in `p`. */
const char *mtls_text_pem(apr_pool_t *p, mtls_span_t der);

/* RFC 3339 in UTC, whole seconds, in `p`. */
const char *mtls_text_time(apr_pool_t *p, apr_time_t at);

#endif
