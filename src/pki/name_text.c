/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "pki/name_text.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/bio.h>

static int has_unknown_type(const X509_NAME *name)
{
    int i, n = X509_NAME_entry_count(name);

    for (i = 0; i < n; i++) {
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(name, i))) == NID_undef)
            return 1;
    }
    return 0;
}

static int ends_value(char c)
{
    return c == '\0' || c == ',' || c == '+';
}

/* OpenSSL escapes a leading "#", but not one that is the whole value: that would read as the hex of
 * nothing (RFC 4514 2.4). `out` has room for twice the text. */
static void escape_lone_hashes(const char *text, char *out)
{
    int in_value = 0;

    for (; *text; text++) {
        int first = !in_value && *text == '=';
        if (*text == '\\' && text[1])
            *out++ = *text++;
        else if (ends_value(*text))
            in_value = 0;
        *out++ = *text;
        if (first) {
            in_value = 1;
            if (text[1] == '#' && ends_value(text[2]))
                *out++ = '\\';
        }
    }
    *out = '\0';
}

/* A blank at the end is escaped, but HTTP takes it away all the same (RFC 9110 5.5). `text` has
 * room for one byte more. */
static void escape_last_blank(char *text)
{
    size_t len = strlen(text);

    if (len >= 2 && text[len - 1] == ' ')
        memcpy(text + len - 1, "20", 3);
}

static const char *print(apr_pool_t *p, const X509_NAME *name, unsigned long flags)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL, *out = NULL;
    const char *text;
    long len;

    if (bio && X509_NAME_print_ex(bio, name, 0, flags) >= 0) {
        len = BIO_get_mem_data(bio, &data);
        text = apr_pstrmemdup(p, data ? data : "", len > 0 ? (apr_size_t)len : 0);
        out = apr_palloc(p, 2 * strlen(text) + 2);
        escape_lone_hashes(text, out);
        escape_last_blank(out);
    }
    BIO_free(bio);
    return out;
}

const char *mtls_name_text(apr_pool_t *p, const X509_NAME *name, const char **rfc2253)
{
    /* Strings stay strings also under types OpenSSL has no name for: a rule reads them so, too. */
    const unsigned long as_rules = XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_DUMP_UNKNOWN_FIELDS;
    const char *text = print(p, name, as_rules);

    *rfc2253 = text && has_unknown_type(name) ? print(p, name, XN_FLAG_RFC2253) : text;
    return *rfc2253 ? text : NULL;
}
