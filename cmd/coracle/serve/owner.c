/* SPDX-License-Identifier: MIT */
/* Names of users and groups to numbers, and from there to the file. */
#include "serve/owner.h"

#include "exits.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 256 };

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

static bool find_user(const char *name, uid_t *user)
{
    const struct passwd *found = is_number(name, user) ? NULL : getpwnam(name);
    *user = found != NULL ? found->pw_uid : *user;
    return found != NULL || is_number(name, user);
}

static bool find_group(const char *name, gid_t *group)
{
    const struct group *found = is_number(name, group) ? NULL : getgrnam(name);
    *group = found != NULL ? found->gr_gid : *group;
    return found != NULL || is_number(name, group);
}

int owner_read(struct owner *owner, const char *text)
{
    char user[NAME_MAX_BYTES];
    *owner = (struct owner){.given = text != NULL, .user = (uid_t)-1, .group = (gid_t)-1};
    if (text == NULL) {
        return EXIT_OK;
    }
    size_t size = strcspn(text, ":");
    const char *group = text[size] == ':' ? text + size + 1 : NULL;
    snprintf(user, sizeof(user), "%.*s", (int)size, text);
    if ((size == 0 && group == NULL) || size >= sizeof(user) || (group != NULL && *group == '\0')) {
        fprintf(stderr, "coracle serve: --unix-owner: '%s' is not USER, USER:GROUP or :GROUP\n", text);
        return EXIT_USAGE;
    }
    if (size > 0 && !find_user(user, &owner->user)) {
        fprintf(stderr, "coracle serve: --unix-owner: there is no user '%s'\n", user);
        return EXIT_BAD_CONFIG;
    }
    if (group != NULL && !find_group(group, &owner->group)) {
        fprintf(stderr, "coracle serve: --unix-owner: there is no group '%s'\n", group);
        return EXIT_BAD_CONFIG;
    }
    return EXIT_OK;
}

int owner_give(const struct owner *owner, const address *at, cor_error *error)
{
    bool has_file = strncmp(at->network, "unix", 4) == 0 && at->text[0] != '@' && at->text[0] != '\0';
    if (!owner->given || !has_file || lchown(at->text, owner->user, owner->group) == 0) {
        return 0;
    }
    *error = (cor_error){.code = -errno, .op = "listen"};
    snprintf(error->network, sizeof(error->network), "%s", at->network);
    snprintf(error->address, sizeof(error->address), "%s", at->text);
    snprintf(error->where, sizeof(error->where), "chown");
    return error->code;
}
