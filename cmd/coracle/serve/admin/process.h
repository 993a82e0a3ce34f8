/* SPDX-License-Identifier: MIT */
/* What the kernel knows of this process. */
#ifndef CORACLE_CMD_SERVE_ADMIN_PROCESS_H
#define CORACLE_CMD_SERVE_ADMIN_PROCESS_H

#include <stdint.h>

struct process_facts {
    int64_t cpu_ns;          /* user and system */
    uint64_t resident_bytes; /* */
    uint64_t open_fds;       /* */
    uint64_t max_fds;        /* the soft limit */
};

/* Reads /proc; what cannot be read is 0. Stops the calling thread: not for tasks. */
void process_look(struct process_facts *facts);

#endif
