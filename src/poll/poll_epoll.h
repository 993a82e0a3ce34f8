/* SPDX-License-Identifier: MIT */
/* The poller on epoll. */
#ifndef CORI_POLL_POLL_EPOLL_H
#define CORI_POLL_POLL_EPOLL_H

#include "poll/poll.h"

extern const cori_poll_ops cori_poll_epoll;

#endif
