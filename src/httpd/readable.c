/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/readable.h"

#include <grp.h>
#include <unistd.h>

#include <httpd.h>
#include <unixd.h>

#define MAX_GROUPS 256

typedef struct rights_t {
    gid_t groups[MAX_GROUPS];
    int group_count;
    gid_t group;
} rights_t;

static void take_back(const rights_t *rights)
{
    if (seteuid(0) != 0 || setegid(rights->group) != 0 ||
        setgroups((size_t)rights->group_count, rights->groups) != 0)
        abort(); /* a parent that cannot become root again could not open its ports either */
}

/* 0: nothing was changed. */
static int become_child(rights_t *rights)
{
    if (geteuid() != 0 || ap_unixd_config.user_id == 0 || !ap_unixd_config.user_name)
        return 0;
    rights->group = getegid();
    rights->group_count = getgroups(MAX_GROUPS, rights->groups);
    if (rights->group_count < 0 ||
        initgroups(ap_unixd_config.user_name, ap_unixd_config.group_id) != 0)
        return 0;
    if (setegid(ap_unixd_config.group_id) == 0 && seteuid(ap_unixd_config.user_id) == 0)
        return 1;
    take_back(rights);
    return 0;
}

apr_array_header_t *mtls_unreadable_by_children(apr_pool_t *p, const apr_array_header_t *paths)
{
    apr_array_header_t *unreadable = apr_array_make(p, 2, sizeof(const char *));
    rights_t rights;
    int i;

    if (!become_child(&rights))
        return unreadable;
    for (i = 0; i < paths->nelts; i++) {
        const char *path = APR_ARRAY_IDX(paths, i, const char *);
        if (eaccess(path, R_OK) != 0 && errno == EACCES)
            APR_ARRAY_PUSH(unreadable, const char *) = path;
    }
    take_back(&rights);
    return unreadable;
}
