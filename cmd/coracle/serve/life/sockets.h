/* SPDX-License-Identifier: MIT */
/* The sockets that the program was started with; inherit.h finds and uses them. */
#ifndef CORACLE_CMD_SERVE_LIFE_SOCKETS_H
#define CORACLE_CMD_SERVE_LIFE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

/* One socket; `fd` 0: it has been given to somebody. */
struct inherited {
    int fd;
    bool owns_file;   /* a unix socket whose file is to be removed in the end */
    const char *name; /* borrowed from `names` */
};

/* All that there are. All-zero: none. */
struct inheritance {
    bool restarted; /* from a process that this one takes over from */
    int ready_fd;   /* then: where it is told that this one serves */
    int admin;      /* the status server's; 0: none */
    size_t count;
    struct inherited *sockets;
    char **names;
};

#endif
