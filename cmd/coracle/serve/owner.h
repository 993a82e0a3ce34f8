/* SPDX-License-Identifier: MIT */
/* Whose the files of unix sockets are: --unix-owner. */
#ifndef CORACLE_CMD_SERVE_OWNER_H
#define CORACLE_CMD_SERVE_OWNER_H

#include "address.h"

#include <coracle.h>
#include <sys/types.h>

/* All-zero: whose they are by themselves. */
struct owner {
    bool given;
    uid_t user;  /* (uid_t)-1: it stays */
    gid_t group; /* (gid_t)-1: it stays */
};

/*
 * Reads USER, USER:GROUP or :GROUP, names or numbers. NULL is none. Reads files, so it stops its thread. Returns an
 * exit code, after one line on stderr.
 */
int owner_read(struct owner *owner, const char *text);

/* Gives the socket file of a listener at `at` away, if it has one. Returns 0, or a negative errno and *error. */
int owner_give(const struct owner *owner, const address *at, cor_error *error);

#endif
