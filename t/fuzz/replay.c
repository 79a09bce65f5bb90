/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Feeds every file of a corpus to a fuzz target: `replay [DIRECTORY]`, without one the target's
 * own in $srcdir. Fails when there was nothing to feed. */

#include "fuzz.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#ifndef FUZZ_CORPUS
#define FUZZ_CORPUS "."
#endif
#define FLOOR 5

static int feed(apr_pool_t *p, const char *path)
{
    apr_file_t *file = NULL;
    apr_finfo_t info;
    unsigned char *data;
    apr_size_t len;

    if (apr_file_open(&file, path, APR_READ | APR_BINARY, 0, p) != APR_SUCCESS ||
        apr_file_info_get(&info, APR_FINFO_SIZE, file) != APR_SUCCESS)
        return 0;
    len = (apr_size_t)info.size;
    data = malloc(len ? len : 1); /* of its own size, for AddressSanitizer */
    if (!data || apr_file_read_full(file, data, len, NULL) != APR_SUCCESS) {
        free(data);
        return len == 0;
    }
    apr_file_close(file);
    (void)LLVMFuzzerTestOneInput(data, len);
    free(data);
    return 1;
}

static int feed_directory(apr_pool_t *p, const char *path)
{
    apr_dir_t *dir = NULL;
    apr_finfo_t info;
    int fed = 0;

    if (apr_dir_open(&dir, path, p) != APR_SUCCESS)
        return -1;
    while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE, dir) == APR_SUCCESS) {
        if (info.filetype != APR_REG)
            continue;
        if (!feed(p, apr_pstrcat(p, path, "/", info.name, NULL))) {
            fprintf(stderr, "%s/%s cannot be read\n", path, info.name);
            return -1;
        }
        fed++;
    }
    apr_dir_close(dir);
    return fed;
}

int main(int argc, char **argv)
{
    const char *srcdir = getenv("srcdir");
    const char *path;
    apr_pool_t *p;
    int fed;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&p, NULL) != APR_SUCCESS)
        return 1;
    path = argc > 1 ? argv[1] : apr_pstrcat(p, srcdir ? srcdir : ".", "/", FUZZ_CORPUS, NULL);
    fed = feed_directory(p, path);
    if (fed < FLOOR)
        fprintf(stderr, "%s: %d files were fed, at least %d expected\n", path, fed, FLOOR);
    else
        printf("%s: %d files\n", path, fed);
    apr_pool_destroy(p);
    apr_terminate();
    return fed < FLOOR;
}
