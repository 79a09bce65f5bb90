/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Who has signed an OCSP response, and whether that one may (RFC 6960 4.2.2.2). */

#ifndef MTLS_PKI_OCSP_SIGNER_H
#define MTLS_PKI_OCSP_SIGNER_H

#include <openssl/ocsp.h>

#include "pki/ocsp_message.h"

/* NULL when the response is signed by one who may speak of the subject and whose certificate was
 * valid at proof->produced_at: the subject's issuer itself, one of its responders, or a delegate
 * whose certificate is in the response. Then proof->signer_from and signer_until are set. Else why
 * not, static text. At least one statement of the response is about the subject. Any thread; what
 * goes wrong is left in OpenSSL's queue of errors. */
const char *mtls_ocsp_signer_refusal(OCSP_BASICRESP *basic, const mtls_ocsp_subject_t *subject,
                                     mtls_ocsp_proof_t *proof);

#endif
