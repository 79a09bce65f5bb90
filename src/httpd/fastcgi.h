/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* mod_proxy_fcgi leaves out a variable that does not fit into one record of its own (16 KB) and
 * sends the rest of the request. An identity must not get lost that way. */

#ifndef MTLS_HTTPD_FASTCGI_H
#define MTLS_HTTPD_FASTCGI_H

#include "httpd/request.h"

/* After the headers and variables of a request were set: the name of the first of ours that a
 * FastCGI backend would not get; NULL: all fit, or it goes elsewhere. */
const char *mtls_fastcgi_loses(const request_rec *r, const mtls_request_t *rq);

#endif
