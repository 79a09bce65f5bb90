/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* MTLSOCSPResponses: a folder of responses made beforehand (NAME.der), found by the CertIDs they
 * speak of. Files that come, go or change are noticed by looking again. One thread. */

#ifndef MTLS_OCSP_FOLDER_H
#define MTLS_OCSP_FOLDER_H

#include "pki/ocsp_message.h"

typedef struct mtls_folder_t mtls_folder_t;

/* Tell of a file that is no good, or of the folder, once for each change. `file` is a path whose
 * bytes are anybody's; `error` is static text, as in "... holds no response". */
typedef void (*mtls_folder_tell_fn)(void *baton, const char *file, const char *error);

/* `path` must last. The folder need not be there yet. Nothing is read before the first look. */
mtls_folder_t *mtls_folder_make(apr_pool_t *p, const char *path, mtls_folder_tell_fn tell,
                                void *baton);

/* Read what is new. 1: something is other than before. A file that was touched less than 250 ms ago
 * is left for the next look: it may still be written to. A file that is no good any more stays as
 * it was; one that is gone is forgotten, but when the folder cannot be read all of it stays. Of
 * very many new files some are left for the next look, except by the first one; a folder of very
 * many files is looked through less often than asked for, to take no more than a twentieth of the
 * time. */
int mtls_folder_look(mtls_folder_t *folder, apr_time_t now);

/* The responses that speak of the subject (mtls_span_t, OCSPResponse), in `p`, the latest file
 * first, at most MTLS_MAX_FOLDER_RESPONSES. Not proved. */
apr_array_header_t *mtls_folder_find(const mtls_folder_t *folder, apr_pool_t *p,
                                     const mtls_ocsp_subject_t *subject);

#endif
