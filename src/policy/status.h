/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* What OCSP says of a certificate, or of a whole chain. */

#ifndef MTLS_POLICY_STATUS_H
#define MTLS_POLICY_STATUS_H

typedef enum mtls_status_t {
    MTLS_STATUS_UNAVAILABLE = 0, /* nothing is proved, for now */
    MTLS_STATUS_GOOD,
    MTLS_STATUS_REVOKED,
    MTLS_STATUS_UNKNOWN,      /* the responder does not know the certificate, and proves it */
    MTLS_STATUS_NO_RESPONDER, /* there is none that may be asked */
    MTLS_STATUS_EXEMPT,       /* the trust store allows exactly this certificate */
    MTLS_STATUS_NOT_ASKED     /* no policy asked */
} mtls_status_t;

/* "good", "revoked", ...; NULL for MTLS_STATUS_NOT_ASKED and outside the table. Static text. */
const char *mtls_status_token(mtls_status_t status);

#endif
