/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <apr_hash.h>

#include "ocsp/folder_index.h"
#include "policy/limits.h"

/* A file that was touched less than this ago may still be written to, within one tick of the file
 * system's clock. */
#define QUIET apr_time_from_msec(250)

/* After this time of a look, except for the first one, files are left for the next. */
#define MOST_READING apr_time_from_msec(200)

/* Looks that take longer than this (CPU time) become fewer. */
#define LONG_LOOK apr_time_from_msec(20)
#define SHARE     20

/* What another content has another one of. */
typedef struct state_t {
    apr_uint64_t device, inode, size, mtime, mtime_ns, ctime, ctime_ns;
} state_t;

typedef struct file_t {
    mtls_indexed_t *good; /* what counts; NULL: there was no good content yet */
    state_t settled;      /* as it was when it was found good or bad; zeroes: it was not */
    state_t pending;      /* as it was when it might still have been written to ... */
    apr_time_t pending_at;
    const char *told; /* what was told last, NULL: nothing ... */
    state_t told_of;  /* ... and of which state */
    unsigned int seen;
    char name[];
} file_t;

struct mtls_folder_t {
    const char *path;
    mtls_folder_tell_fn tell;
    void *baton;
    apr_hash_t *files; /* name -> file_t *, whose name the key is */
    mtls_folder_index_t *index;
    char *buffer; /* of MTLS_MAX_OCSP_BYTES */
    unsigned int looks;
    const char *told;       /* of the folder */
    apr_int64_t rest_until; /* monotonic */
};

/* One look. */
typedef struct look_t {
    mtls_folder_t *folder;
    int dir;
    apr_time_t now;
    apr_int64_t read_until; /* monotonic */
    int changed;
    int left;            /* files for the next look */
    apr_int64_t reading; /* CPU time */
    const char *trouble; /* of the folder */
} look_t;

static apr_int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (apr_int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* ---- states ---- */

static state_t state_of(const struct stat *info)
{
    const state_t state = {(apr_uint64_t)info->st_dev,          (apr_uint64_t)info->st_ino,
                           (apr_uint64_t)info->st_size,         (apr_uint64_t)info->st_mtim.tv_sec,
                           (apr_uint64_t)info->st_mtim.tv_nsec, (apr_uint64_t)info->st_ctim.tv_sec,
                           (apr_uint64_t)info->st_ctim.tv_nsec};

    return state;
}

static int same(const state_t *a, const state_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static apr_time_t microseconds(const struct timespec *time)
{
    return apr_time_from_sec((apr_time_t)time->tv_sec) + time->tv_nsec / 1000;
}

/* By its own times; or, where these lie ahead of the clock, as far as we have watched it. */
static int is_quiet(file_t *file, const struct stat *info, const state_t *state, apr_time_t now)
{
    const apr_time_t m = microseconds(&info->st_mtim), c = microseconds(&info->st_ctim);
    const apr_time_t touched = m > c ? m : c;

    if (touched <= now - QUIET)
        return 1;
    if (same(&file->pending, state) && file->pending_at <= now - QUIET)
        return 1;
    if (!same(&file->pending, state) || file->pending_at > now)
        file->pending_at = now;
    file->pending = *state;
    return 0;
}

/* ---- telling ---- */

static void tell(const look_t *look, file_t *file, const state_t *state, const char *error)
{
    const mtls_folder_t *folder = look->folder;
    char *path;

    if (file->told && strcmp(file->told, error) == 0 && same(&file->told_of, state))
        return;
    file->told = error;
    file->told_of = *state;
    path = malloc(strlen(folder->path) + strlen(file->name) + 2);
    if (!path)
        return;
    strcpy(path, folder->path);
    strcat(path, "/");
    strcat(path, file->name);
    folder->tell(folder->baton, path, error);
    free(path);
}

/* ---- one file ---- */

typedef enum fate_t {
    BAD = 0, /* until it changes */
    PASSING, /* for no fault of its own: to be read again */
    MOVING,  /* it is changing right now, which is nothing to tell */
    GOOD
} fate_t;

static fate_t read_bytes(int fd, char *buffer, apr_size_t len)
{
    apr_size_t got = 0;
    ssize_t n;

    while (got < len) {
        n = read(fd, buffer + got, len - got);
        if (n == 0)
            return MOVING;
        if (n < 0 && errno != EINTR)
            return PASSING;
        got += n > 0 ? (apr_size_t)n : 0;
    }
    return GOOD;
}

/* The file in `state`, from its beginning to its end. */
static fate_t read_open(int fd, char *buffer, const state_t *state)
{
    struct stat info;
    state_t now;
    fate_t fate;
    int i;

    for (i = 0, fate = GOOD; i < 2 && fate == GOOD; i++) {
        if (fstat(fd, &info) != 0)
            return PASSING;
        now = state_of(&info);
        if (!same(&now, state))
            return MOVING;
        if (i == 0)
            fate = read_bytes(fd, buffer, (apr_size_t)info.st_size);
    }
    return fate;
}

static fate_t read_file(const look_t *look, const file_t *file, const state_t *state)
{
    /* Should it have become a pipe by now, nobody waits for its other end. */
    int fd = openat(look->dir, file->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    fate_t fate;

    if (fd < 0 && errno == ENOENT)
        return MOVING;
    if (fd < 0)
        return errno == EACCES || errno == ELOOP || errno == ENXIO ? BAD : PASSING;
    fate = read_open(fd, look->folder->buffer, state);
    close(fd);
    return fate;
}

/* Put what was read in the place of what counts. */
static const char *replace(look_t *look, file_t *file, const struct stat *info)
{
    mtls_folder_index_t *index = look->folder->index;
    const mtls_span_t bytes = mtls_span(look->folder->buffer, (apr_size_t)info->st_size);
    mtls_indexed_t *added;
    const char *error;

    if (file->good && mtls_span_equal(mtls_folder_index_bytes(file->good), bytes))
        return NULL;
    error = mtls_folder_index_add(index, bytes, microseconds(&info->st_mtim), &added);
    if (error)
        return error;
    mtls_folder_index_remove(index, file->good);
    file->good = added;
    look->changed = 1;
    return NULL;
}

static void read_anew(look_t *look, file_t *file, const struct stat *info)
{
    const apr_int64_t begun = clock_us(CLOCK_THREAD_CPUTIME_ID);
    const state_t state = state_of(info);
    const fate_t fate = read_file(look, file, &state);
    const char *error = fate == GOOD ? replace(look, file, info) : "cannot be read";

    if (fate == GOOD || fate == BAD)
        file->settled = state;
    else
        look->left = 1;
    if (!error)
        file->told = NULL;
    else if (fate != MOVING)
        tell(look, file, &state, error);
    look->reading += clock_us(CLOCK_THREAD_CPUTIME_ID) - begun;
}

/* Why a file is not read at all; NULL: it is. */
static const char *unfit(const look_t *look, const file_t *file, const struct stat *info)
{
    const mtls_folder_index_t *index = look->folder->index;

    if (!S_ISREG(info->st_mode))
        return "is not a regular file";
    if (info->st_size > MTLS_MAX_OCSP_BYTES)
        return "is larger than a response may be";
    if (mtls_folder_index_size(index) - mtls_folder_index_bytes(file->good).len +
            (apr_size_t)info->st_size >
        MTLS_MAX_FOLDER_BYTES)
        return "is left out: the folder holds too many bytes";
    return NULL;
}

static void look_into(look_t *look, file_t *file, const struct stat *info)
{
    const state_t state = state_of(info);
    const char *error;

    if (same(&file->settled, &state))
        file->told = NULL;
    else if ((error = unfit(look, file, info)) != NULL)
        tell(look, file, &state, error);
    else if (is_quiet(file, info, &state, look->now) &&
             clock_us(CLOCK_MONOTONIC) < look->read_until)
        read_anew(look, file, info);
    else
        look->left = 1;
}

/* 0: it is gone since the folder named it. */
static int look_at(look_t *look, file_t *file)
{
    const state_t none = {0};
    struct stat info;

    if (fstatat(look->dir, file->name, &info, 0) == 0)
        look_into(look, file, &info);
    else if (errno != ENOENT || fstatat(look->dir, file->name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        tell(look, file, &none, "cannot be looked at"); /* a link that leads nowhere, for one */
    else
        return 0;
    return 1;
}

/* ---- the folder ---- */

static int is_response_name(const char *name)
{
    const size_t len = strlen(name);

    return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".der") == 0;
}

static file_t *file_of(look_t *look, const char *name)
{
    mtls_folder_t *folder = look->folder;
    const size_t len = strlen(name);
    file_t *file = apr_hash_get(folder->files, name, (apr_ssize_t)len);

    if (file)
        return file;
    if (apr_hash_count(folder->files) >= MTLS_MAX_FOLDER_FILES) {
        look->trouble = "holds too many files, of which some are left out";
        return NULL;
    }
    file = calloc(1, sizeof(*file) + len + 1);
    if (file) {
        memcpy(file->name, name, len + 1);
        apr_hash_set(folder->files, file->name, (apr_ssize_t)len, file);
    } else {
        look->trouble = "does not fit into memory";
    }
    return file;
}

static void forget(mtls_folder_t *folder, file_t *file)
{
    apr_hash_set(folder->files, file->name, (apr_ssize_t)strlen(file->name), NULL);
    mtls_folder_index_remove(folder->index, file->good);
    free(file);
}

static void forget_what_is_gone(look_t *look)
{
    mtls_folder_t *folder = look->folder;
    apr_hash_index_t *hi = apr_hash_first(NULL, folder->files);
    void *value;

    while (hi) {
        file_t *file;
        apr_hash_this(hi, NULL, NULL, &value);
        file = value;
        hi = apr_hash_next(hi); /* before its entry goes */
        if (file->seen == folder->looks)
            continue;
        look->changed |= file->good != NULL;
        forget(folder, file);
    }
}

/* 0: the folder could not be read to its end. */
static int look_through(look_t *look, DIR *dir)
{
    const struct dirent *entry;
    file_t *file;

    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (!is_response_name(entry->d_name) || (file = file_of(look, entry->d_name)) == NULL)
            continue;
        if (look_at(look, file))
            file->seen = look->folder->looks;
    }
    return errno == 0;
}

static void tell_of_folder(mtls_folder_t *folder, const char *error)
{
    if (error && (!folder->told || strcmp(error, folder->told) != 0))
        folder->tell(folder->baton, folder->path, error);
    folder->told = error;
}

static void look_now(look_t *look)
{
    mtls_folder_t *folder = look->folder;
    DIR *dir = opendir(folder->path);

    if (!dir) {
        tell_of_folder(folder, "cannot be opened");
        return;
    }
    look->dir = dirfd(dir);
    folder->looks++;
    if (look_through(look, dir))
        forget_what_is_gone(look);
    else
        look->trouble = "cannot be read to its end";
    closedir(dir);
    tell_of_folder(folder, look->trouble);
}

int mtls_folder_look(mtls_folder_t *folder, apr_time_t now)
{
    look_t look = {.folder = folder, .now = now};
    const apr_int64_t begun = clock_us(CLOCK_MONOTONIC);
    apr_int64_t took;

    if (begun < folder->rest_until)
        return 0;
    took = -clock_us(CLOCK_THREAD_CPUTIME_ID);
    look.read_until = folder->looks == 0 ? APR_INT64_MAX : begun + MOST_READING;
    look_now(&look);
    took += clock_us(CLOCK_THREAD_CPUTIME_ID) - look.reading;
    if (took > LONG_LOOK && !look.left)
        folder->rest_until = clock_us(CLOCK_MONOTONIC) + SHARE * took;
    return look.changed;
}

apr_array_header_t *mtls_folder_find(const mtls_folder_t *folder, apr_pool_t *p,
                                     const mtls_ocsp_subject_t *subject)
{
    return mtls_folder_index_find(folder->index, p, subject);
}

static apr_status_t end(void *baton)
{
    mtls_folder_t *folder = baton;
    apr_hash_index_t *hi = apr_hash_first(NULL, folder->files);
    void *value;

    while (hi) {
        apr_hash_this(hi, NULL, NULL, &value);
        hi = apr_hash_next(hi);
        forget(folder, value);
    }
    return APR_SUCCESS;
}

mtls_folder_t *mtls_folder_make(apr_pool_t *p, const char *path, mtls_folder_tell_fn tell_fn,
                                void *baton)
{
    mtls_folder_t *folder = apr_pcalloc(p, sizeof(*folder));

    folder->path = path;
    folder->tell = tell_fn;
    folder->baton = baton;
    folder->files = apr_hash_make(p);
    folder->index = mtls_folder_index_make(p);
    folder->buffer = apr_palloc(p, MTLS_MAX_OCSP_BYTES);
    /* Runs before that of the index, which was made earlier. */
    apr_pool_cleanup_register(p, folder, end, apr_pool_cleanup_null);
    return folder;
}
