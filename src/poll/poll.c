/* SPDX-License-Identifier: MIT */
/* What all pollers share. */
#include "poll/poll.h"

#include "base/atomic.h"

void cori_pollfd_open(cori_pollfd *pollfd, int fd, enum cori_fd_kind kind)
{
    cori_store_relaxed(&pollfd->wait[CORI_READ], kind == CORI_FD_STREAM ? CORI_IDLE : CORI_READY);
    cori_store_relaxed(&pollfd->wait[CORI_WRITE], CORI_READY);
    cori_store_relaxed(&pollfd->poller, NULL);
    cori_store_relaxed(&pollfd->sticky, 0);
    cori_store_relaxed(&pollfd->kind, (uint8_t)kind);
    cori_store_relaxed(&pollfd->backend, NULL);
    pollfd->fd = fd;
    cori_store_release(&pollfd->generation, (uint16_t)(pollfd->generation + 1));
}
