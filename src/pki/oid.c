/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/oid.h"

#include <openssl/err.h>

const char *mtls_oid_text(apr_pool_t *p, const ASN1_OBJECT *object)
{
    char text[256];
    int len = OBJ_obj2txt(text, sizeof(text), object, 1);

    return len > 0 && (size_t)len < sizeof(text) ? apr_pstrdup(p, text) : NULL;
}

const char *mtls_oid_of_name(apr_pool_t *p, const char *name)
{
    ASN1_OBJECT *object;
    const char *oid;

    object = OBJ_txt2obj(name, 0);
    if (!object) {
        ERR_clear_error();
        return NULL;
    }
    oid = mtls_oid_text(p, object);
    ASN1_OBJECT_free(object);
    /* "1..2" and "1.2 3" are read as some OID nobody meant. */
    if (oid && *name >= '0' && *name <= '9' && strcmp(oid, name) != 0)
        return NULL;
    return oid;
}

const char *mtls_oid_short_name(const char *oid)
{
    int nid = OBJ_txt2nid(oid);
    const char *name = nid != NID_undef ? OBJ_nid2sn(nid) : NULL;

    return name && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789_")] == '\0'
               ? name
               : NULL;
}
