/* SPDX-License-Identifier: MIT */
/* What one descriptor has in the ring. All of it is the owner's thread's. */
#ifndef CORI_POLL_URING_ARM_H
#define CORI_POLL_URING_ARM_H

#include "poll/uring_fd.h"

enum { CORI_URING_GIVEN_BACK = 1 };

/*
 * Arms what a waiter in `direction` needs, unless it is armed. 0 or -EBUSY; or CORI_URING_GIVEN_BACK: the reader may
 * receive again, which one on another thread has to be told.
 */
int cori_uring_arm_own(cori_uring *poller, cori_uring_fd *state, int direction);

/* Arms the watch beside a receive, or does what it has told. 0 or -EBUSY. */
int cori_uring_watch_own(cori_uring *poller, cori_uring_fd *state);

/*
 * Makes the kernel let go of the descriptor and frees its state, which nobody else can reach any more. Or any thread's
 * once the owner has stopped.
 */
void cori_uring_remove_now(cori_uring *poller, cori_uring_fd *state);

/* The same for a descriptor that was given to the owner, who closes it. True if somebody may wait for that. */
bool cori_uring_close_now(cori_uring *poller, cori_uring_fd *state);

#endif
