/* SPDX-License-Identifier: MIT */
/* Waiting on a ring, and turning its completions into events. Owner only. */
#ifndef CORI_POLL_URING_WAIT_H
#define CORI_POLL_URING_WAIT_H

#include "poll/uring_fd.h"

/* See cori_poll_ops.wait. */
int cori_uring_wait(cori_poller *base, int64_t timeout_ns, cori_event *events, int max);

/* Cancels whatever is armed and sees all completions through. */
void cori_uring_drain(cori_uring *poller);

#endif
