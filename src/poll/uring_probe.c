/* SPDX-License-Identifier: MIT */
/* The trial that poll_pick.c relies on: it receives one byte through a poller of its own. */
#include "poll/uring_probe.h"

#include "base/sys.h"
#include "poll/poll_uring.h"
#include "poll/uring_fd.h"
#include "poll/uring_recv.h"

#include <errno.h>
#include <sys/socket.h>

/* Receives one byte through a multishot receive: the youngest of the abilities this poller needs. */
static int try_receive(cori_poller *poller, const int *pair)
{
    cori_pollfd pollfd = {.fd = -1};
    cori_event event;
    char byte = 'c';
    cori_pollfd_open(&pollfd, pair[0], CORI_FD_STREAM);
    int rc = cori_poll_uring.add(poller, &pollfd);
    if (rc < 0) {
        return rc;
    }
    pollfd.poller = poller;
    cori_poll_uring.start(poller);
    rc = cori_poll_uring.ahead->arm(poller, &pollfd, CORI_READ) == 0 && cori_sys_send(pair[1], &byte, 1) == 1 ? 0
                                                                                                              : -EINVAL;
    for (int i = 0; i < 3 && rc == 0 && !cori_uring_holds(&pollfd) && cori_uring_state(&pollfd)->armed_read; i++) {
        int count = cori_poll_uring.wait(poller, 1000000000, &event, 1);
        rc = count < 0 ? count : 0;
    }
    bool lasts = rc == 0 && cori_uring_holds(&pollfd) && cori_uring_state(&pollfd)->armed_read;
    (void)cori_poll_uring.remove(poller, &pollfd, true);
    cori_poll_uring.stop(poller);
    return lasts || rc < 0 ? rc : -EINVAL;
}

int cori_uring_probe(void)
{
    cori_poller *poller = NULL;
    int pair[2];
    int rc = cori_poll_uring.open(&poller);
    if (rc < 0) {
        return rc;
    }
    rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0 ? 0 : -errno;
    if (rc == 0) {
        rc = try_receive(poller, pair);
        cori_sys_close(pair[0]);
        cori_sys_close(pair[1]);
    }
    cori_poll_uring.close(poller);
    return rc;
}
