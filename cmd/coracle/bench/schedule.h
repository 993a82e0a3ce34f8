/* SPDX-License-Identifier: MIT */
/*
 * When messages are due. In an open loop they are spread evenly over time at a rate, whatever the server does, and a
 * latency counts from the moment at which its message was due: a server that stops for a while is charged for all that
 * would have been sent meanwhile ("coordinated omission" is what leaving those out is called). In a closed loop a
 * message is due as soon as there is room for it.
 */
#ifndef CORACLE_CMD_BENCH_SCHEDULE_H
#define CORACLE_CMD_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    int64_t start_ns;   /* when message 0 is due, on the clock of cor_now() */
    double interval_ns; /* between messages; 0: all at once */
    bool open;          /* latency counts from when a message was due, not from when it was sent */
};

/* When message `number`, counted over all connections, is due. */
static inline int64_t schedule_due(const struct schedule *by, uint64_t number)
{
    return by->start_ns + (int64_t)((double)number * by->interval_ns);
}

#endif
