/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/status.h"

#include <stddef.h>

const char *mtls_status_token(mtls_status_t status)
{
    switch (status) {
    case MTLS_STATUS_UNAVAILABLE:
        return "unavailable";
    case MTLS_STATUS_GOOD:
        return "good";
    case MTLS_STATUS_REVOKED:
        return "revoked";
    case MTLS_STATUS_UNKNOWN:
        return "unknown";
    case MTLS_STATUS_NO_RESPONDER:
        return "no_responder";
    case MTLS_STATUS_EXEMPT:
        return "exempt";
    case MTLS_STATUS_NOT_ASKED:
    default:
        return NULL;
    }
}
