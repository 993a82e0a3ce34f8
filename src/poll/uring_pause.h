/* SPDX-License-Identifier: MIT */
/* Ending and beginning to receive ahead of the reads. */
#ifndef CORI_POLL_URING_PAUSE_H
#define CORI_POLL_URING_PAUSE_H

#include "poll/uring_fd.h"

/* See cori_poll_ahead. */
int cori_uring_pause(cori_poller *base, cori_pollfd *pollfd);
void cori_uring_resume(cori_pollfd *pollfd);

/* True for a stream whose reader may receive, with a poll in the ring that will tell it of bytes. Its reader only. */
static inline bool cori_uring_is_polled(const cori_uring_fd *state)
{
    return cori_load(&state->armed_poll) && !cori_load_acquire(&state->receiving);
}

/* After a completion of a stream's poll. Owner only. */
void cori_uring_polled(cori_uring *poller, cori_uring_fd *state, bool more);

#endif
