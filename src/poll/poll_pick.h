/* SPDX-License-Identifier: MIT */
/* Choosing a poller by name. */
#ifndef CORI_POLL_POLL_PICK_H
#define CORI_POLL_POLL_PICK_H

#include "poll/poll.h"

/*
 * Chooses the backend: `name` ("epoll", "io_uring", "auto", NULL for $COR_POLLER, else auto). NULL for a name that does
 * not exist; epoll for io_uring where that is not available.
 * A test's backend set by cori_poll_override comes before everything.
 */
const cori_poll_ops *cori_poll_pick(const char *name);
/* What to use when `ops` could not open a poller, for `code`, if that means "not available here"; else NULL. */
const cori_poll_ops *cori_poll_instead(const cori_poll_ops *ops, int code);
void cori_poll_override(const cori_poll_ops *ops);

#endif
