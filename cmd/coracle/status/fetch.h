/* SPDX-License-Identifier: MIT */
/* One GET of HTTP/1.1 on a connection of its own: enough to ask `coracle serve --admin`, and nothing else. */
#ifndef CORACLE_CMD_STATUS_FETCH_H
#define CORACLE_CMD_STATUS_FETCH_H

#include "address.h"

/* What was answered. */
typedef struct fetched {
    int status;       /* of HTTP */
    char *bytes;      /* all that came, with a NUL; to be freed */
    const char *body; /* in it */
    size_t size;      /* of the body */
} fetched;

/*
 * Asks for `path` and reads the whole answer until `deadline`. Returns 0; or a code, and `error` says more. An answer
 * that is none, is cut short or longer than FETCH_BYTES is -EPROTO. For a task.
 */
int fetch(const address *from, const char *path, int64_t deadline, fetched *out, cor_error *error);

/* The most that an answer may have. */
enum { FETCH_BYTES = 64 << 20 };

#endif
