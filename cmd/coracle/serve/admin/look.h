/* SPDX-License-Identifier: MIT */
/* What the kernel knows of a connection. */
#ifndef CORACLE_CMD_SERVE_ADMIN_LOOK_H
#define CORACLE_CMD_SERVE_ADMIN_LOOK_H

#include <coracle.h>
#include <stdbool.h>
#include <stdint.h>

struct look {
    uint32_t unsent; /* bytes that the peer has not acknowledged */
    bool has_tcp;
    uint32_t rtt_us, retransmits, idle_ms; /* of TCP; idle: since data came last */
};

/* Looks. Returns 0 or an error code: it is closed. For a task; never parks. */
int look_at(cor_conn *conn, struct look *out);

#endif
