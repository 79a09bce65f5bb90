/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/kept.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_shm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <unixd.h>

#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

/* The parent writes what it starts with into the folder, the children what they load later into the
 * folder NEWER below, which is theirs. A file has the number of its source for a name: MAGIC, the
 * state in eight bytes, then for each text the length of its name, its own, the name and the text.
 * It is written beside and renamed, so that a reader always has a whole one.
 *
 * Other programs may run as the children's user. A file is only believed when it has the SHA-256
 * that its writer has put into memory that httpd's processes alone share. */
#define MAGIC       "kept-v01"
#define HEADER      16
#define RECORD_HEAD 16
#define FOLDER      "mtls_policy.%" APR_PID_T_FMT ".%d"
#define NEWER       "newer"

/* The SHA-256 of the files of a source; zero: there is none. */
typedef struct digests_t {
    unsigned char first[SHA256_DIGEST_LENGTH];
    unsigned char newer[SHA256_DIGEST_LENGTH];
} digests_t;

/* A text that is on no disk but its own: a private key. */
typedef struct secret_t {
    struct secret_t *next;
    int run; /* in which it was last put into force */
    char *name;
    mtls_span_t text; /* behind the name */
} secret_t;

/* What survives a restart, of which the module itself does not. */
typedef struct retained_t {
    int runs;           /* how often this server has started and restarted */
    digests_t *digests; /* of the run before */
    int count;
    secret_t *secrets; /* malloc() */
} retained_t;

static struct {
    const char *folder; /* of this run */
    digests_t *digests; /* shared by all processes */
    int count;
    pid_t parent;
    server_rec *server;
    int settled; /* the configuration is read: nothing uses texts of the run before */
    apr_pool_t *before_p;
    apr_hash_t *before; /* name -> mtls_span_t *, of the run before; NULL: not looked at yet */
} kept;

static retained_t *retained(void)
{
    static const char key[] = "mtls_policy_kept_3";
    retained_t *r = ap_retained_data_get(key);

    return r ? r : ap_retained_data_create(key, sizeof(*r));
}

int mtls_kept_is_restart(void)
{
    return retained()->runs > 0;
}

static const char *folder_of(apr_pool_t *p, int run)
{
    return ap_runtime_dir_relative(p, apr_psprintf(p, FOLDER, getpid(), run));
}

/* ---- secrets ---- */

static secret_t *find_secret(const char *name)
{
    secret_t *secret = retained()->secrets;

    while (secret && strcmp(secret->name, name) != 0)
        secret = secret->next;
    return secret;
}

static void free_secret(secret_t *secret)
{
    OPENSSL_cleanse((void *)secret->text.data, secret->text.len);
    free(secret);
}

/* Those of the runs before `run`. */
static void forget_secrets(int run)
{
    secret_t **at = &retained()->secrets;

    while (*at) {
        secret_t *secret = *at;
        if (secret->run >= run) {
            at = &secret->next;
            continue;
        }
        *at = secret->next;
        free_secret(secret);
    }
}

static secret_t *make_secret(const char *name, mtls_span_t text)
{
    apr_size_t len = strlen(name) + 1;
    secret_t *secret = malloc(sizeof(*secret) + len + text.len);

    if (!secret)
        return NULL;
    secret->name = (char *)(secret + 1);
    memcpy(secret->name, name, len);
    memcpy(secret->name + len, text.data, text.len);
    secret->text = mtls_span(secret->name + len, text.len);
    return secret;
}

void mtls_kept_secret(const char *name, mtls_span_t text)
{
    secret_t *before = find_secret(name), *secret;
    retained_t *r = retained();

    if (kept.parent != getpid())
        return;
    if (before && mtls_span_equal(before->text, text)) { /* or is it the same memory */
        before->run = r->runs;
        return;
    }
    if ((secret = make_secret(name, text)) == NULL)
        return;
    if (before)
        before->run = 0;
    secret->run = r->runs;
    secret->next = r->secrets;
    r->secrets = secret;
    if (kept.settled)
        forget_secrets(1); /* the one it replaces */
}

/* ---- reading ---- */

static apr_status_t release(void *text)
{
    mtls_text_release(text);
    return APR_SUCCESS;
}

/* The children write here, so nothing is taken for granted: no link, no device, no endless file. */
static mtls_text_t *read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    mtls_text_t *text = NULL;
    struct stat info;
    ssize_t got;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= HEADER &&
        info.st_size <= MTLS_MAX_KEPT_BYTES)
        text = malloc(sizeof(*text) + (size_t)info.st_size + 1);
    if (text) {
        text->holders = 1;
        text->secret = 0;
        for (text->len = 0; text->len < (apr_size_t)info.st_size; text->len += (apr_size_t)got) {
            got = read(fd, text->data + text->len, (size_t)info.st_size - text->len);
            if (got <= 0)
                break;
        }
        text->data[text->len] = '\0';
    }
    close(fd);
    return text;
}

static apr_uint64_t number_at(const char *at)
{
    apr_uint64_t n;

    memcpy(&n, at, sizeof(n)); /* written and read by the same machine */
    return n;
}

/* Put the records of a file into `texts`; 0 when it is not whole. */
static int take_records(apr_pool_t *p, const mtls_text_t *text, apr_hash_t *texts)
{
    const char *at = text->data + HEADER, *end = text->data + text->len;

    if (text->len < HEADER || memcmp(text->data, MAGIC, 8) != 0)
        return 0;
    while (end - at >= RECORD_HEAD) {
        apr_uint64_t name_len = number_at(at), len = number_at(at + 8);
        apr_uint64_t left = (apr_uint64_t)(end - at) - RECORD_HEAD;
        mtls_span_t *span = apr_palloc(p, sizeof(*span));
        if (name_len > left || len > left - name_len)
            return 0;
        *span = mtls_span(at + RECORD_HEAD + name_len, (apr_size_t)len);
        apr_hash_set(texts, apr_pstrmemdup(p, at + RECORD_HEAD, (apr_size_t)name_len),
                     APR_HASH_KEY_STRING, span);
        at = span->data + len;
    }
    return at == end;
}

static int is_none(const unsigned char *sha256)
{
    static const unsigned char none[SHA256_DIGEST_LENGTH];

    return memcmp(sha256, none, sizeof(none)) == 0;
}

/* Read a file of the folder, if it is the one that was written; what it holds lives as long as `p`.
 */
static mtls_text_t *read_file(apr_pool_t *p, const char *path, const unsigned char *expected,
                              apr_hash_t *texts)
{
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    mtls_text_t *text = is_none(expected) ? NULL : read_whole(path);

    if (!text)
        return NULL;
    apr_pool_cleanup_register(p, text, release, apr_pool_cleanup_null);
    if (EVP_Digest(text->data, text->len, sha256, NULL, EVP_sha256(), NULL) != 1 ||
        memcmp(sha256, expected, sizeof(sha256)) != 0)
        return NULL;
    return take_records(p, text, texts) ? text : NULL;
}

static const char *path_of(apr_pool_t *p, const char *folder, int index, int newer)
{
    return apr_psprintf(p, newer ? "%s/" NEWER "/%d" : "%s/%d", folder, index);
}

const mtls_kept_t *mtls_kept_read(apr_pool_t *p, int index)
{
    mtls_kept_t *found = apr_pcalloc(p, sizeof(*found));

    if (!kept.folder || index >= kept.count)
        return NULL;
    found->texts = apr_hash_make(p);
    found->owner =
        read_file(p, path_of(p, kept.folder, index, 1), kept.digests[index].newer, found->texts);
    if (!found->owner)
        return NULL;
    found->state = number_at(found->owner->data + 8);
    return found;
}

/* All texts of the run before; what was loaded later counts. */
static void read_before(apr_pool_t *p)
{
    const retained_t *r = retained();
    const char *folder = folder_of(p, r->runs);
    int i;

    for (i = 0; i < r->count; i++) {
        apr_hash_t *newer = apr_hash_make(p);
        if (!is_none(r->digests[i].newer) &&
            !read_file(p, path_of(p, folder, i, 1), r->digests[i].newer, newer)) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, ap_server_conf,
                         "mtls_policy: %s is not what was written there: no last good version of "
                         "these files is left",
                         path_of(p, folder, i, 1));
            continue; /* what the server began with is older: it must not come back */
        }
        read_file(p, path_of(p, folder, i, 0), r->digests[i].first, kept.before);
        kept.before = apr_hash_overlay(p, newer, kept.before);
    }
}

const mtls_span_t *mtls_kept_before(apr_pool_t *p, const char *name)
{
    const secret_t *secret = find_secret(name);

    if (!mtls_kept_is_restart())
        return NULL;
    if (secret)
        return &secret->text;
    if (!kept.before && apr_pool_create(&kept.before_p, p) == APR_SUCCESS) {
        kept.before = apr_hash_make(kept.before_p);
        read_before(kept.before_p);
    }
    return kept.before ? apr_hash_get(kept.before, name, APR_HASH_KEY_STRING) : NULL;
}

/* ---- writing ---- */

typedef struct writer_t {
    FILE *out;
    EVP_MD_CTX *md;
} writer_t;

static int put(const writer_t *w, const void *bytes, apr_size_t len)
{
    return len == 0 ||
           (fwrite(bytes, 1, len, w->out) == len && EVP_DigestUpdate(w->md, bytes, len) == 1);
}

static int put_record(const writer_t *w, const char *name, const mtls_span_t *text)
{
    apr_uint64_t lengths[2] = {strlen(name), text->len};

    return put(w, lengths, sizeof(lengths)) && put(w, name, (apr_size_t)lengths[0]) &&
           put(w, text->data, text->len);
}

/* Every name in `names`, with its text in `texts`, else the one from before. */
static int put_all(const writer_t *w, apr_uint64_t state, apr_hash_t *texts,
                   const apr_hash_t *names, const mtls_kept_t *old)
{
    int ok = put(w, MAGIC, 8) && put(w, &state, sizeof(state));
    apr_hash_index_t *i = apr_hash_first(apr_hash_pool_get(texts), (apr_hash_t *)names);

    for (; i && ok; i = apr_hash_next(i)) {
        const char *name = apr_hash_this_key(i);
        const mtls_span_t *text = apr_hash_get(texts, name, APR_HASH_KEY_STRING);
        if (!text && old)
            text = apr_hash_get(old->texts, name, APR_HASH_KEY_STRING);
        ok = !text || put_record(w, name, text);
    }
    return ok;
}

/* Only for the one who writes: a list may be secret from other programs of the children's user. */
static FILE *create(const char *path)
{
    int fd;

    unlink(path); /* of a process of the same number that died over it */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

int mtls_kept_write(int index, apr_uint64_t state, apr_hash_t *texts, const apr_hash_t *names)
{
    apr_pool_t *p = apr_hash_pool_get(texts);
    int newer = kept.parent != getpid(), ok;
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    const char *path, *beside;
    writer_t w = {NULL, NULL};

    if (!kept.folder || index >= kept.count)
        return 0;
    path = path_of(p, kept.folder, index, newer);
    beside = apr_psprintf(p, "%s.%" APR_PID_T_FMT, path, getpid());
    w.out = create(beside);
    w.md = EVP_MD_CTX_new();
    ok = w.out && w.md && EVP_DigestInit_ex(w.md, EVP_sha256(), NULL) == 1 &&
         put_all(&w, state, texts, names, newer ? mtls_kept_read(p, index) : NULL) &&
         EVP_DigestFinal_ex(w.md, sha256, NULL) == 1;
    EVP_MD_CTX_free(w.md);
    if (w.out)
        ok = fclose(w.out) == 0 && ok;
    if (ok && rename(beside, path) == 0) {
        memcpy(newer ? kept.digests[index].newer : kept.digests[index].first, sha256,
               sizeof(sha256));
        return 1;
    }
    if (!newer || errno != ENOENT) /* else a run that is over, of which this is a last child */
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, kept.server,
                     "mtls_policy: %s cannot be written: what is in force cannot be kept for a "
                     "restart",
                     path);
    unlink(beside);
    return 0;
}

/* ---- folders ---- */

/* As root, in a folder others may have written to: no link is followed. */
static void remove_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(dir);
    rmdir(folder);
}

static void remove_run(apr_pool_t *p, int run)
{
    const char *folder = folder_of(p, run);

    remove_folder(apr_pstrcat(p, folder, "/" NEWER, NULL));
    remove_folder(folder);
}

/* What the next run needs to believe this one's files. */
static void hand_over(void)
{
    retained_t *r = retained();

    free(r->digests);
    r->count = 0;
    r->digests = calloc((size_t)kept.count + 1, sizeof(*r->digests));
    if (!r->digests)
        return;
    memcpy(r->digests, kept.digests, (size_t)kept.count * sizeof(*r->digests));
    r->count = kept.count;
}

/* The server ends; at a restart the texts are still needed, and its children leave them alone. */
static apr_status_t end(void *pconf)
{
    int run = retained()->runs;

    if (kept.folder && kept.parent == getpid()) {
        hand_over();
        if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
            for (; run > 0; run--)
                remove_run(pconf, run);
            forget_secrets(retained()->runs + 1);
        }
    }
    memset(&kept, 0, sizeof(kept));
    return APR_SUCCESS;
}

void mtls_kept_forget_before(void)
{
    forget_secrets(retained()->runs);
    kept.settled = 1;
    if (kept.before)
        apr_pool_destroy(kept.before_p);
    kept.before = NULL;
}

/* Nobody else may write into the one, children may write into the other. */
static int make_folders(apr_pool_t *p, const char *folder)
{
    const char *newer = apr_pstrcat(p, folder, "/" NEWER, NULL);

    return mkdir(folder, 0711) == 0 && chmod(folder, 0711) == 0 && mkdir(newer, 0700) == 0 &&
           (geteuid() != 0 || chown(newer, ap_unixd_config.user_id, ap_unixd_config.group_id) == 0);
}

int mtls_kept_start(apr_pool_t *pconf, server_rec *s, int count)
{
    int run = ++retained()->runs;
    const char *folder = folder_of(pconf, run);
    apr_shm_t *shm;

    kept.server = s;
    kept.parent = getpid();
    if (run > 2) /* nobody is left who writes there but what a graceful restart leaves behind */
        remove_run(pconf, run - 2);
    remove_run(pconf, run); /* of a server that had our number and died */
    if (!make_folders(pconf, folder) ||
        apr_shm_create(&shm, sizeof(digests_t) * (apr_size_t)(count + 1), NULL, pconf) !=
            APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, errno, s,
                     "mtls_policy: %s cannot be made: what is in force is not kept for a restart, "
                     "nor for children that look too late",
                     folder);
        return 0;
    }
    kept.digests = apr_shm_baseaddr_get(shm);
    memset(kept.digests, 0, sizeof(digests_t) * (size_t)(count + 1));
    kept.count = count;
    kept.folder = folder;
    apr_pool_cleanup_register(pconf, pconf, end, apr_pool_cleanup_null);
    return 1;
}
