/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/revocations.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_tables.h>
#include <openssl/evp.h>

#include "policy/limits.h"
#include "policy/value.h"

#define NAME ".der"
#define PART ".tmp"

/* What is written takes no time; a part this old has lost its writer. */
#define LOST_AFTER  apr_time_from_sec(600)
#define TOUCH_AFTER apr_time_from_sec(24 * 3600)

struct mtls_revocations_t {
    apr_pool_t *p;
    const char *path;
    int count; /* as far as this process knows */
};

static int add_certificate(EVP_MD_CTX *ctx, X509 *x)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    int added = len > 0 && EVP_DigestUpdate(ctx, der, (size_t)len) == 1;

    OPENSSL_free(der);
    return added;
}

int mtls_revocations_key(apr_pool_t *p, const mtls_ocsp_subject_t *subject, int responder,
                         unsigned char *key)
{
    mtls_span_t certid = mtls_ocsp_certid_key(p, subject, MTLS_OCSP_SHA256);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int made = ctx && certid.len && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
               EVP_DigestUpdate(ctx, certid.data, certid.len) == 1;

    if (made && responder >= 0)
        made = add_certificate(ctx, sk_X509_value(subject->responders, responder));
    made = made && EVP_DigestFinal_ex(ctx, key, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return made;
}

static const char *name_of(const mtls_revocations_t *revocations, apr_pool_t *p,
                           const unsigned char *key)
{
    return apr_pstrcat(p, revocations->path, "/", mtls_value_hex(p, key, MTLS_DIGEST_BYTES), NAME,
                       NULL);
}

static const char *error_of(apr_pool_t *p, const char *doing, const char *name)
{
    char text[128];

    return apr_psprintf(p, "%s %s: %s", doing, name, strerror_r(errno, text, sizeof(text)));
}

/* ---- all files ---- */

typedef struct file_t {
    const char *path;
    struct timespec changed;
} file_t;

static int ends_with(const char *name, const char *tail)
{
    return mtls_span_ends(mtls_span_of(name), mtls_span_of(tail));
}

/* Ours are regular files, and hidden ones are never. */
static int is_file(const char *path, struct stat *st)
{
    return lstat(path, st) == 0 && S_ISREG(st->st_mode);
}

/* Those of the folder that are ours, in `p`; parts that were left behind are removed. */
static apr_array_header_t *list(const mtls_revocations_t *revocations, apr_pool_t *p,
                                apr_time_t now)
{
    apr_array_header_t *files = apr_array_make(p, 64, sizeof(file_t));
    DIR *dir = opendir(revocations->path);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        const char *path;
        struct stat st;
        if (!ends_with(entry->d_name, NAME) && !ends_with(entry->d_name, PART))
            continue;
        path = apr_pstrcat(p, revocations->path, "/", entry->d_name, NULL);
        if (!is_file(path, &st))
            continue;
        if (ends_with(entry->d_name, NAME))
            APR_ARRAY_PUSH(files, file_t) = (file_t){path, st.st_mtim};
        else if (apr_time_from_sec(st.st_mtime) + LOST_AFTER < now)
            (void)unlink(path);
    }
    if (dir)
        closedir(dir);
    return files;
}

static int older_first(const void *a_, const void *b_)
{
    const file_t *a = a_, *b = b_;

    if (a->changed.tv_sec != b->changed.tv_sec)
        return a->changed.tv_sec < b->changed.tv_sec ? -1 : 1;
    if (a->changed.tv_nsec != b->changed.tv_nsec)
        return a->changed.tv_nsec < b->changed.tv_nsec ? -1 : 1;
    return strcmp(a->path, b->path);
}

/* Some more than needed go at a time, so that not every new file looks at all the others. */
static void remove_oldest(mtls_revocations_t *revocations)
{
    const int most = MTLS_MAX_OCSP_REVOCATIONS - MTLS_MAX_OCSP_REVOCATIONS / 100;
    apr_array_header_t *files;
    apr_pool_t *scratch;
    int i;

    apr_pool_create(&scratch, revocations->p);
    files = list(revocations, scratch, 0);
    revocations->count = files->nelts;
    qsort(files->elts, (size_t)files->nelts, sizeof(file_t), older_first);
    for (i = 0; i < files->nelts && revocations->count > most; i++) {
        if (unlink(APR_ARRAY_IDX(files, i, file_t).path) == 0)
            revocations->count--;
    }
    apr_pool_destroy(scratch);
}

const mtls_revocations_t *mtls_revocations_reader(apr_pool_t *p, const char *path)
{
    mtls_revocations_t *revocations = apr_pcalloc(p, sizeof(*revocations));

    revocations->p = p;
    revocations->path = apr_pstrdup(p, path);
    return revocations;
}

mtls_revocations_t *mtls_revocations_make(apr_pool_t *p, const char *path, apr_time_t now)
{
    mtls_revocations_t *revocations = apr_pcalloc(p, sizeof(*revocations));
    apr_pool_t *scratch;

    revocations->p = p;
    revocations->path = apr_pstrdup(p, path);
    apr_pool_create(&scratch, p);
    revocations->count = list(revocations, scratch, now)->nelts;
    apr_pool_destroy(scratch);
    if (revocations->count > MTLS_MAX_OCSP_REVOCATIONS)
        remove_oldest(revocations);
    return revocations;
}

/* ---- one file ---- */

/* As many as are there, `size` at most. */
static apr_size_t read_all(int fd, char *data, apr_size_t size)
{
    apr_size_t used = 0;
    ssize_t n;

    while (used < size) {
        n = read(fd, data + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (apr_size_t)n;
    }
    return used;
}

mtls_span_t mtls_revocations_get(const mtls_revocations_t *revocations, apr_pool_t *p,
                                 const unsigned char *key)
{
    /* A FIFO under this name must not hold us up, nor a link lead elsewhere. */
    int fd = open(name_of(revocations, p, key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    mtls_span_t found = {NULL, 0};
    struct stat st;

    if (fd < 0)
        return found;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        st.st_size <= MTLS_MAX_OCSP_BYTES) {
        apr_size_t size = (apr_size_t)st.st_size;
        char *data = apr_palloc(p, size);
        if (read_all(fd, data, size) == size)
            found = mtls_span(data, size);
        /* One that is asked for is not the first to go when there are too many. */
        if (apr_time_from_sec(st.st_mtime) + TOUCH_AFTER < apr_time_now())
            (void)futimens(fd, NULL);
    }
    close(fd);
    return found;
}

static int write_all(int fd, mtls_span_t data)
{
    ssize_t n;

    while (data.len) {
        n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        data.data += n;
        data.len -= (apr_size_t)n;
    }
    return 1;
}

/* NULL or what went wrong. Nobody else makes a file of this name: it is our process's own. */
static const char *write_part(apr_pool_t *p, const char *part, mtls_span_t der)
{
    const char *error = NULL;
    int fd;

    (void)unlink(part);
    fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_of(p, "cannot create", part);
    if (!write_all(fd, der))
        error = error_of(p, "cannot write", part);
    if (close(fd) != 0 && !error)
        error = error_of(p, "cannot write", part);
    return error;
}

const char *mtls_revocations_put(mtls_revocations_t *revocations, apr_pool_t *p,
                                 const unsigned char *key, mtls_span_t der)
{
    const char *name = name_of(revocations, p, key);
    const char *part = apr_psprintf(p, "%s.%ld" PART, name, (long)getpid());
    const char *error = write_part(p, part, der);
    struct stat st;
    int is_new = !is_file(name, &st);

    if (!error && rename(part, name) != 0)
        error = error_of(p, "cannot rename to", name);
    if (error) {
        (void)unlink(part);
        return error;
    }
    revocations->count += is_new;
    if (revocations->count > MTLS_MAX_OCSP_REVOCATIONS)
        remove_oldest(revocations);
    return NULL;
}

void mtls_revocations_remove(mtls_revocations_t *revocations, apr_pool_t *p,
                             const unsigned char *key)
{
    if (unlink(name_of(revocations, p, key)) == 0)
        revocations->count--;
}
