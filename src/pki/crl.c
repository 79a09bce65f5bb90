#include "pki/crl.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
static apr_status_t fr(void *c)
{
    X509_CRL_free(c);
    return 0;
}
const char *mtls_crls_read(apr_pool_t *p, mtls_span_t bytes, apr_array_header_t *out)
{
    BIO *in = BIO_new_mem_buf(bytes.data, (int)bytes.len);
    X509_CRL *c;
    if (bytes.data[0] == 0x30) {
        c = d2i_X509_CRL_bio(in, NULL);
        if (c) {
            APR_ARRAY_PUSH(out, X509_CRL *) = c;
            apr_pool_cleanup_register(p, c, fr, apr_pool_cleanup_null);
        }
    } else
        while ((c = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL))) {
            APR_ARRAY_PUSH(out, X509_CRL *) = c;
            apr_pool_cleanup_register(p, c, fr, apr_pool_cleanup_null);
        }
    BIO_free(in);
    return out->nelts ? NULL : "holds no CRL";
}
mtls_crl_signed_t mtls_crl_signed_by(X509_CRL *crl, X509 *issuer)
{
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)))
        return MTLS_CRL_NOT_ITS_ISSUER;
    if ((X509_get_extension_flags(issuer) & EXFLAG_KUSAGE) &&
        !(X509_get_key_usage(issuer) & KU_CRL_SIGN))
        return MTLS_CRL_MAY_NOT_SIGN;
    return X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1 ? MTLS_CRL_SIGNED
                                                               : MTLS_CRL_BAD_SIGNATURE;
}
