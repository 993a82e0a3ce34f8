/* SPDX-License-Identifier: MIT */
/*
 * The kernel's Landlock, as far as this program uses it. It has versions, and each brought rights that can be taken
 * away: what an older kernel does not know is left as it was. The C library has no calls for it.
 */
#ifndef CORACLE_CMD_SERVE_SANDBOX_LANDLOCK_H
#define CORACLE_CMD_SERVE_SANDBOX_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* The version that brought the last of the rights below; the bits of newer ones are not in Debian 12's header. */
enum { LANDLOCK_FULL = 6 };

/* What may be done with files of a folder and those below; for landlock_allow. */
enum landlock_use {
    LANDLOCK_READ = 1 << 0,   /* open for reading, list */
    LANDLOCK_WRITE = 1 << 1,  /* open for writing, make regular files */
    LANDLOCK_SOCKET = 1 << 2, /* make sockets, remove files, list */
};

/* A set of rules, to be filled and then enforced. */
struct landlock {
    int version;    /* the kernel's, 0: none */
    int fd;         /* the set; -1: none */
    uint64_t files; /* rights over files that the set denies unless a rule allows */
};

/* The kernel's version; 0: it has no Landlock, or it is off. */
int landlock_version(void);

/* Names what a version does not take away, "" if that is nothing. */
const char *landlock_missing(int version);

/*
 * Begins a set that denies all use of files and of TCP; with signals to other processes, and with `abstract` unix
 * sockets by name of others. All return 0 or -errno.
 */
int landlock_begin(struct landlock *set, bool abstract);

/* Allows uses of the file or folder at `path`, which need not be there. */
int landlock_allow(const struct landlock *set, const char *path, unsigned uses);
int landlock_allow_fd(const struct landlock *set, int fd, unsigned uses);

/* Allows to listen on a TCP port; 0 is one of the kernel's choice. */
int landlock_allow_port(const struct landlock *set, uint16_t port);

/* Restricts this thread and all that it starts from now on, for good; and ends the set. */
int landlock_enforce(struct landlock *set);

#endif
