/* SPDX-License-Identifier: MIT */
/* From the text of --unix-owner to the files. */
#include "serve/owner.h"

#include "exits.h"
#include "serve/account.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 256 };

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
    const struct passwd *entry;
    bool good = (size == 0 || account_user("--unix-owner", user, &owner->user, &entry)) &&
                (group == NULL || account_group("--unix-owner", group, &owner->group));
    return good ? EXIT_OK : EXIT_BAD_CONFIG;
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
