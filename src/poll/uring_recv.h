/* SPDX-License-Identifier: MIT */
/* Receiving ahead of the reads. */
#ifndef CORI_POLL_URING_RECV_H
#define CORI_POLL_URING_RECV_H

#include "poll/uring_fd.h"

void cori_uring_prepare_recv(struct io_uring_sqe *sqe, const cori_uring_fd *state);
void cori_uring_prepare_watch(struct io_uring_sqe *sqe, const cori_uring_fd *state);
void cori_uring_received(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe);
/* Gives back the buffer of a completion that nobody is left to look at. */
void cori_uring_drop_received(cori_uring *poller, const struct io_uring_cqe *cqe);
/* Forgets what is queued; true if there was something. */
bool cori_uring_drop_queue(cori_uring *poller, cori_uring_fd *state);
/*
 * Tells whether bytes have come that no read has taken, by any thread. It looks where they pass, in their direction:
 * the socket, the ring, the queue. So those that had come before are found.
 */
bool cori_uring_has_unread(cori_uring *poller, cori_uring_fd *state);
ssize_t cori_uring_receive(cori_poller *base, cori_pollfd *pollfd, void *buf, size_t size);
bool cori_uring_holds(cori_pollfd *pollfd);

#endif
