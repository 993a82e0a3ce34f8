/* SPDX-License-Identifier: MIT */
/* From names of users and groups to numbers. */
#include "serve/account.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* A number that is all of `text`; false: it is a name. The highest one means nobody, to chown(2). */
static bool is_number(const char *text, uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool good = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && value < UINT32_MAX;
    *number = good ? (uint32_t)value : 0;
    return good;
}

static bool found(const char *option, const char *kind, const char *name, bool good)
{
    if (!good) {
        fprintf(stderr, "coracle serve: %s: there is no %s '%s'\n", option, kind, name);
    }
    return good;
}

bool account_user(const char *option, const char *name, uid_t *user, const struct passwd **entry)
{
    bool number = is_number(name, user);
    *entry = number ? getpwuid(*user) : getpwnam(name);
    *user = *entry != NULL ? (*entry)->pw_uid : *user;
    return found(option, "user", name, number || *entry != NULL);
}

bool account_group(const char *option, const char *name, gid_t *group)
{
    bool number = is_number(name, group);
    const struct group *entry = number ? NULL : getgrnam(name);
    *group = entry != NULL ? entry->gr_gid : *group;
    return found(option, "group", name, number || entry != NULL);
}
