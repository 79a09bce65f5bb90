/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Responses in memory, found by the CertIDs they speak of. What is removed is given back to the
 * system. One thread. */

#ifndef MTLS_OCSP_FOLDER_INDEX_H
#define MTLS_OCSP_FOLDER_INDEX_H

#include "pki/ocsp_message.h"

typedef struct mtls_folder_index_t mtls_folder_index_t;

/* A response of the index. */
typedef struct mtls_indexed_t mtls_indexed_t;

/* Ends with `p`. */
mtls_folder_index_t *mtls_folder_index_make(apr_pool_t *p);

/* Add an OCSPResponse, of which a copy is kept; `touched` says how late it is among others. NULL
 * and `added`, or what is wrong with it; static text. */
const char *mtls_folder_index_add(mtls_folder_index_t *index, mtls_span_t der, apr_time_t touched,
                                  mtls_indexed_t **added);

/* NULL is nothing. */
void mtls_folder_index_remove(mtls_folder_index_t *index, mtls_indexed_t *indexed);

/* Its bytes; none for NULL. */
mtls_span_t mtls_folder_index_bytes(const mtls_indexed_t *indexed);

/* How many bytes all responses have. */
apr_size_t mtls_folder_index_size(const mtls_folder_index_t *index);

/* As mtls_folder_find(). */
apr_array_header_t *mtls_folder_index_find(const mtls_folder_index_t *index, apr_pool_t *p,
                                           const mtls_ocsp_subject_t *subject);

#endif
