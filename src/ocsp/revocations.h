/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* A folder of OCSPResponses that have proved revocations, one file a CertID (and the
 * responder, where one has signed that is trusted as it is): they outlive restarts
 * and caches. The certificate's own bytes are not its name here, as they are in the cache: of an
 * ECDSA signature anybody can make another one that is as good, and what is revoked is a serial
 * number of an issuer. A file proves nothing by being there; whoever reads it proves it again. At
 * most MTLS_MAX_OCSP_REVOCATIONS: the oldest go. One thread of a process; several processes may
 * share the folder. */

#ifndef MTLS_OCSP_REVOCATIONS_H
#define MTLS_OCSP_REVOCATIONS_H

#include "pki/ocsp_message.h"

typedef struct mtls_revocations_t mtls_revocations_t;

/* The key of a file, MTLS_DIGEST_BYTES: what is revoked, and where it is one of subject->responders
 * that has said so its number, else -1: a proof for one trust store may be none for another, which
 * must not write over it. 0: out of memory. */
int mtls_revocations_key(apr_pool_t *p, const mtls_ocsp_subject_t *subject, int responder,
                         unsigned char *key);

/* In `p`; what writers that died have left is removed. `now` is the wall clock. */
mtls_revocations_t *mtls_revocations_make(apr_pool_t *p, const char *path, apr_time_t now);

/* The same for a process that only reads: any thread may use it. */
const mtls_revocations_t *mtls_revocations_reader(apr_pool_t *p, const char *path);

/* A response, in `p`, not proved. Empty: there is none that can be read. */
mtls_span_t mtls_revocations_get(const mtls_revocations_t *revocations, apr_pool_t *p,
                                 const unsigned char *key);

/* NULL or what went wrong, in `p`. There is the old file or the whole new one, never a part. It is
 * as durable as what the system has not written yet. */
const char *mtls_revocations_put(mtls_revocations_t *revocations, apr_pool_t *p,
                                 const unsigned char *key, mtls_span_t der);

void mtls_revocations_remove(mtls_revocations_t *revocations, apr_pool_t *p,
                             const unsigned char *key);

#endif
