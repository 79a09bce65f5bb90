/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/number.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/err.h>

#include "policy/limits.h"

const char *mtls_number_decimal(apr_pool_t *p, const char *hex)
{
    size_t len = strlen(hex);
    BIGNUM *number = NULL;
    char *decimal = NULL;
    const char *out = NULL;

    if (len == 0 || len > MTLS_MAX_DECIMAL_DIGITS)
        return NULL;
    if (BN_hex2bn(&number, hex) == (int)len) /* it stops at what is no digit */
        decimal = BN_bn2dec(number);
    if (decimal)
        out = apr_pstrdup(p, decimal);
    else
        ERR_clear_error();
    OPENSSL_free(decimal);
    BN_free(number);
    return out;
}
