/* SPDX-License-Identifier: MIT */
/* Choosing a poller at run time, and what all of them share. */
#include "poll/poll.h"

#include <coracle/task.h>
#include <stdlib.h>
#include <string.h>

static const cori_poll_ops *override_ops;

const cori_poll_ops *cori_poll_pick(const char *name)
{
    if (override_ops != NULL) {
        return override_ops;
    }
    if (name == NULL) {
        name = getenv("COR_POLLER");
    }
    if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0 || strcmp(name, "epoll") == 0) {
        return &cori_poll_epoll;
    }
    return NULL;
}

void cori_poll_override(const cori_poll_ops *ops)
{
    override_ops = ops;
}

const char *cor_poller_info(void)
{
    const cori_poll_ops *ops = cori_poll_pick(NULL);
    if (ops == NULL) {
        return "none (COR_POLLER names a poller that is not built in; known: epoll)";
    }
    return ops == &cori_poll_epoll ? "epoll (the only one built in)" : ops->name;
}

void cori_pollfd_open(cori_pollfd *pollfd, int fd)
{
    __atomic_store_n(&pollfd->wait[CORI_READ], CORI_READY, __ATOMIC_RELAXED);
    __atomic_store_n(&pollfd->wait[CORI_WRITE], CORI_READY, __ATOMIC_RELAXED);
    __atomic_store_n(&pollfd->poller, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&pollfd->sticky, 0, __ATOMIC_RELAXED);
    pollfd->always_ready = 0;
    pollfd->fd = fd;
    __atomic_store_n(&pollfd->generation, (uint16_t)(pollfd->generation + 1), __ATOMIC_RELEASE);
}
