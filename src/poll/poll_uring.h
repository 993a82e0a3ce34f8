/* SPDX-License-Identifier: MIT */
/* The poller on io_uring. */
#ifndef CORI_POLL_POLL_URING_H
#define CORI_POLL_POLL_URING_H

#include "poll/poll.h"

extern const cori_poll_ops cori_poll_uring;

#endif
