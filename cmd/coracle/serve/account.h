/* SPDX-License-Identifier: MIT */
/* Users and groups of the command line, by name or number. A number needs no entry in the system's lists. */
#ifndef CORACLE_CMD_SERVE_ACCOUNT_H
#define CORACLE_CMD_SERVE_ACCOUNT_H

#include <pwd.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Finds a user. *entry is what the system knows of it, valid until the next call, or NULL. On failure stderr says that
 * there is none, and for which option.
 */
bool account_user(const char *option, const char *name, uid_t *user, const struct passwd **entry);

/* Finds a group, as account_user does a user. */
bool account_group(const char *option, const char *name, gid_t *group);

#endif
