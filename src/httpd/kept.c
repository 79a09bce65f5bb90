/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/kept.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <unixd.h>

#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

/* A file of the folder has the number of its source for a name: MAGIC, the state in eight bytes,
 * then for each text the length of its name, its own, the name and the text. It is written beside
 * and renamed, so that a reader always has a whole one. */
#define MAGIC       "MTLSKEPT"
#define HEADER      16
#define RECORD_HEAD 16
#define FOLDER      "mtls_policy.%" APR_PID_T_FMT ".%d"

/* What survives a restart, of which the module itself does not. */
typedef struct retained_t {
    int runs; /* how often this server has started and restarted */
} retained_t;

static struct {
    const char *folder; /* of this run */
    pid_t parent;
    server_rec *server;
    apr_pool_t *before_p;
    apr_hash_t *before; /* name -> mtls_span_t *, of the run before; NULL: not looked at yet */
} kept;

static retained_t *retained(void)
{
    static const char key[] = "mtls_policy_kept_1";
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

/* Read a file of the folder; what it holds lives as long as `p`. */
static mtls_text_t *read_file(apr_pool_t *p, const char *path, apr_hash_t *texts)
{
    mtls_text_t *text = read_whole(path);

    if (!text)
        return NULL;
    apr_pool_cleanup_register(p, text, release, apr_pool_cleanup_null);
    return take_records(p, text, texts) ? text : NULL;
}

static const char *path_of(apr_pool_t *p, int index)
{
    return apr_psprintf(p, "%s/%d", kept.folder, index);
}

const mtls_kept_t *mtls_kept_read(apr_pool_t *p, int index)
{
    mtls_kept_t *found = apr_pcalloc(p, sizeof(*found));

    if (!kept.folder)
        return NULL;
    found->texts = apr_hash_make(p);
    if ((found->owner = read_file(p, path_of(p, index), found->texts)) == NULL)
        return NULL;
    found->state = number_at(found->owner->data + 8);
    return found;
}

const mtls_span_t *mtls_kept_before(apr_pool_t *p, const char *name)
{
    const char *folder;
    mtls_text_t *text;
    int i;

    if (!mtls_kept_is_restart())
        return NULL;
    if (!kept.before && apr_pool_create(&kept.before_p, p) == APR_SUCCESS) {
        p = kept.before_p;
        kept.before = apr_hash_make(p);
        folder = folder_of(p, retained()->runs);
        for (i = 0; (text = read_file(p, apr_psprintf(p, "%s/%d", folder, i), kept.before)) != NULL;
             i++)
            ;
    }
    if (!kept.before)
        return NULL;
    return apr_hash_get(kept.before, name, APR_HASH_KEY_STRING);
}

/* ---- writing ---- */

static int put(FILE *out, const void *bytes, apr_size_t len)
{
    return len == 0 || fwrite(bytes, 1, len, out) == len;
}

static int put_record(FILE *out, const char *name, const mtls_span_t *text)
{
    apr_uint64_t lengths[2] = {strlen(name), text->len};

    return put(out, lengths, sizeof(lengths)) && put(out, name, (apr_size_t)lengths[0]) &&
           put(out, text->data, text->len);
}

/* Every name in `names`, with its text in `texts`, else the one from before. */
static int put_all(FILE *out, apr_uint64_t state, apr_hash_t *texts, const apr_hash_t *names,
                   const mtls_kept_t *old)
{
    int ok = put(out, MAGIC, 8) && put(out, &state, sizeof(state));
    apr_pool_t *p = apr_hash_pool_get(texts);
    apr_hash_index_t *i;

    for (i = apr_hash_first(p, (apr_hash_t *)names); i && ok; i = apr_hash_next(i)) {
        const char *name = apr_hash_this_key(i);
        const mtls_span_t *text = apr_hash_get(texts, name, APR_HASH_KEY_STRING);
        if (!text && old)
            text = apr_hash_get(old->texts, name, APR_HASH_KEY_STRING);
        ok = !text || put_record(out, name, text);
    }
    return ok;
}

static int write_file(const char *path, const char *beside, apr_uint64_t state, apr_hash_t *texts,
                      const apr_hash_t *names, const mtls_kept_t *old)
{
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    int ok = out && fchmod(fd, 0644) == 0 && put_all(out, state, texts, names, old);

    if (out)
        ok = fclose(out) == 0 && ok;
    else if (fd >= 0)
        close(fd);
    if (ok && rename(beside, path) == 0)
        return 1;
    unlink(beside);
    return 0;
}

int mtls_kept_write(int index, apr_uint64_t state, apr_hash_t *texts, const apr_hash_t *names)
{
    apr_pool_t *p = apr_hash_pool_get(texts);
    const char *path, *beside;

    if (!kept.folder)
        return 0;
    path = path_of(p, index);
    beside = apr_psprintf(p, "%s.%" APR_PID_T_FMT, path, getpid());
    unlink(beside); /* of a process of the same number that died over it */
    if (write_file(path, beside, state, texts, names, mtls_kept_read(p, index)))
        return 1;
    ap_log_error(APLOG_MARK, APLOG_ERR, errno, kept.server,
                 "mtls_policy: %s cannot be written: what is in force cannot be kept for a restart",
                 path);
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

/* The server ends; at a restart the texts are still needed, and its children leave them alone. */
static apr_status_t remove_at_end(void *pconf)
{
    int run = retained()->runs;

    if (kept.folder && kept.parent == getpid() &&
        ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        remove_folder(folder_of(pconf, run));
        remove_folder(folder_of(pconf, run - 1));
    }
    memset(&kept, 0, sizeof(kept));
    return APR_SUCCESS;
}

void mtls_kept_forget_before(void)
{
    if (kept.before)
        apr_pool_destroy(kept.before_p);
    kept.before = NULL;
}

int mtls_kept_start(apr_pool_t *pconf, server_rec *s)
{
    int run = ++retained()->runs;
    const char *folder = folder_of(pconf, run);

    kept.server = s;
    kept.parent = getpid();
    if (run > 2) /* nobody is left who writes there but what a graceful restart leaves behind */
        remove_folder(folder_of(pconf, run - 2));
    remove_folder(folder); /* of a server that had our number and died */
    if (mkdir(folder, 0700) != 0 ||
        (geteuid() == 0 && chown(folder, ap_unixd_config.user_id, ap_unixd_config.group_id) != 0)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, errno, s,
                     "mtls_policy: %s cannot be made: what is in force is not kept for a restart, "
                     "nor for children that look too late",
                     folder);
        return 0;
    }
    kept.folder = folder;
    apr_pool_cleanup_register(pconf, pconf, remove_at_end, apr_pool_cleanup_null);
    return 1;
}
