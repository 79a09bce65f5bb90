/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/reason.h"

static const struct {
    const char *token;
    mtls_outcome_t outcome;
    int closes;
} table[MTLS_REASON_COUNT] = {
#define MTLS_REASON_ROW(name, token, outcome, closes) {token, MTLS_OUTCOME_##outcome, closes},
    MTLS_REASON_TABLE(MTLS_REASON_ROW)
#undef MTLS_REASON_ROW
};

static int row(mtls_reason_t reason)
{
    return (int)reason > 0 && reason < MTLS_REASON_COUNT ? (int)reason : MTLS_INTERNAL_ERROR;
}

const char *mtls_reason_token(mtls_reason_t reason)
{
    return table[row(reason)].token;
}

mtls_outcome_t mtls_reason_outcome(mtls_reason_t reason)
{
    return table[row(reason)].outcome;
}

int mtls_reason_closes(mtls_reason_t reason)
{
    return table[row(reason)].closes;
}
