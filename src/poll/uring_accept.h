/* SPDX-License-Identifier: MIT */
/* Accepting ahead of the calls. All of it is the owner's. */
#ifndef CORI_POLL_URING_ACCEPT_H
#define CORI_POLL_URING_ACCEPT_H

#include "poll/uring_fd.h"

int cori_uring_accepts_new(cori_uring_fd *state); /* 0 or -ENOMEM */
void cori_uring_accepts_free(cori_uring_fd *state);
/* Asks the kernel for connections, or only for news of them if the listener is not ours alone. As `arm`. */
int cori_uring_arm_accept(cori_uring *poller, cori_uring_fd *state);
/* True if what is armed only tells of connections. */
bool cori_uring_accept_polls(const cori_uring_fd *state);
void cori_uring_accepted(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe);
/* Ends an accepted connection that nobody will take: the peer gets a reset, as from a closed listener's queue. */
void cori_uring_refuse(int fd);
int cori_uring_accept(cori_poller *base, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len);

#endif
