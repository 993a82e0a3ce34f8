/* SPDX-License-Identifier: MIT */
/* Landlock's three system calls. Debian 12's header knows version 2 (Linux 5.19); the rest is the kernel's ABI. */
#include "serve/sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Version 1 has all rights below that of version 2. */
#define FILES_FIRST (LANDLOCK_ACCESS_FS_REFER - 1)
#define FILES_TRUNCATE (UINT64_C(1) << 14)
#define FILES_DEVICES (UINT64_C(1) << 15)
#define TCP_BIND (UINT64_C(1) << 0)
#define TCP_CONNECT (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT (UINT64_C(1) << 0)
#define SCOPE_SIGNALS (UINT64_C(1) << 1)
enum { RULE_PORT = 2 };

/* Of these an older kernel knows the beginning, and takes the rest if it is 0. */
struct ruleset {
    uint64_t files, tcp, scopes;
};

struct port_rule {
    uint64_t allowed, port;
};

/* What each version brought, by what a person calls it. */
static const struct {
    int version;
    const char *missing;
} steps[] = {
    {1, "files, tcp, signals"},   {3, "truncating files, tcp, devices, signals"},
    {4, "tcp, devices, signals"}, {5, "devices, signals"},
    {LANDLOCK_FULL, "signals"},
};

int landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? (int)version : 0;
}

const char *landlock_missing(int version)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (version < steps[i].version) {
            return steps[i].missing;
        }
    }
    return "";
}

int landlock_begin(struct landlock *set, bool abstract)
{
    int version = set->version;
    struct ruleset rules = {
        .files = FILES_FIRST | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (version >= 3 ? FILES_TRUNCATE : 0) |
                 (version >= 5 ? FILES_DEVICES : 0),
        .tcp = version >= 4 ? TCP_BIND | TCP_CONNECT : 0,
        .scopes = version >= 6 ? SCOPE_SIGNALS | (abstract ? SCOPE_ABSTRACT : 0) : 0,
    };
    set->files = rules.files;
    set->fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    return set->fd < 0 ? -errno : 0;
}

int landlock_allow_fd(const struct landlock *set, int fd, unsigned uses)
{
    struct stat is;
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    if (fstat(fd, &is) != 0) {
        return -errno;
    }
    if ((uses & LANDLOCK_READ) != 0) {
        rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    }
    if ((uses & LANDLOCK_WRITE) != 0) {
        rule.allowed_access |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;
    }
    if ((uses & LANDLOCK_SOCKET) != 0) {
        rule.allowed_access |=
            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    }
    if (!S_ISDIR(is.st_mode)) { /* of a file only these mean anything */
        rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
    }
    rule.allowed_access &= set->files;
    long done = syscall(SYS_landlock_add_rule, set->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    return done != 0 ? -errno : 0;
}

int landlock_allow(const struct landlock *set, const char *path, unsigned uses)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return 0; /* whoever opens it hears of that */
    }
    int code = landlock_allow_fd(set, fd, uses);
    close(fd);
    return code;
}

int landlock_allow_port(const struct landlock *set, uint16_t port)
{
    struct port_rule rule = {.allowed = TCP_BIND, .port = port};
    if (set->version < 4) {
        return 0;
    }
    return syscall(SYS_landlock_add_rule, set->fd, RULE_PORT, &rule, 0) != 0 ? -errno : 0;
}

int landlock_enforce(struct landlock *set)
{
    int code = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? -errno : 0;
    if (code == 0 && syscall(SYS_landlock_restrict_self, set->fd, 0) != 0) {
        code = -errno;
    }
    close(set->fd);
    set->fd = -1;
    return code;
}
