/* SPDX-License-Identifier: MIT */
/*
 * The poller on epoll: edge-triggered, each descriptor registered once for both directions, so a request costs no
 * epoll_ctl. The event's 64 bits carry the pollfd's address (48 bits) and its generation (16 bits): an event fetched
 * before a close and looked at after it names an old generation and is dropped. kick writes to an eventfd that is
 * registered edge-triggered too, so it never needs to be read.
 *
 * Where the kernel has no epoll_pwait2 (before Linux 5.11), or a filter refuses it, timeouts are rounded up to
 * milliseconds: never down, which would make the last part of each wait a busy loop. This is remembered for the
 * process.
 *
 * Of a listener's clones, one per worker, a connection wakes one whose worker waits (EPOLLEXCLUSIVE; the kernel passes
 * over those that do not), and the first handle's worker besides. Two, so that it is enough if one of them has other
 * tasks to run first; and not all, because waking 64 workers for each connection costs more than serving it.
 *
 * EPOLLRDHUP, EPOLLHUP, EPOLLERR and EPOLLPRI make reads sticky: "fewer bytes than asked for" then no longer means
 * drained (end of stream, an error or the bytes after urgent data can follow without another edge).
 */
#include "poll/poll_epoll.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { POINTER_BITS = 48 };

typedef struct epoll_poller {
    cori_poller base;
    int epoll_fd;
    int kick_fd;
    struct epoll_event fetched[CORI_POLL_EVENTS];
} epoll_poller;

/* No epoll_pwait2; atomic. TSan runs signal handlers only in calls it knows, and it does not know that one. */
static bool coarse = CORI_TSAN != 0;

static uint64_t tag_of(const cori_pollfd *pollfd)
{
    return (uint64_t)(uintptr_t)pollfd | (uint64_t)pollfd->generation << POINTER_BITS;
}

static int epoll_add_kick(epoll_poller *poller)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0};
    poller->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poller->kick_fd < 0 || epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, poller->kick_fd, &event) < 0) {
        return -errno;
    }
    return 0;
}

static void poll_epoll_close(cori_poller *base)
{
    epoll_poller *poller = (epoll_poller *)base;
    if (poller->kick_fd >= 0) {
        (void)close(poller->kick_fd);
    }
    if (poller->epoll_fd >= 0) {
        (void)close(poller->epoll_fd);
    }
    free(poller);
}

static int poll_epoll_open(cori_poller **out)
{
    epoll_poller *poller = cori_malloc(sizeof(*poller));
    if (poller == NULL) {
        return -ENOMEM;
    }
    poller->base = (cori_poller){.ops = &cori_poll_epoll};
    poller->kick_fd = -1;
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = poller->epoll_fd < 0 ? -errno : epoll_add_kick(poller);
    if (rc < 0) {
        poll_epoll_close(&poller->base);
        return rc;
    }
    *out = &poller->base;
    return 0;
}

static int poll_epoll_add(cori_poller *base, cori_pollfd *pollfd)
{
    epoll_poller *poller = (epoll_poller *)base;
    int fault = cori_sys_faulted(CORI_SYS_EPOLL_CTL);
    if (fault != 0) {
        return fault;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                                .data.u64 = tag_of(pollfd)};
    if (pollfd->kind == CORI_FD_CLONE) {
        event.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE; /* the others do not go with it; errors are always told */
    }
    return epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, pollfd->fd, &event) == 0 ? 0 : -errno;
}

static bool poll_epoll_remove(cori_poller *base, cori_pollfd *pollfd, bool closing)
{
    if (closing && (pollfd->kind == CORI_FD_STREAM || pollfd->kind == CORI_FD_SOCKET)) {
        return true; /* close(2) does it; were a forked child to keep the socket open, its events would be old ones */
    }
    /* close(2) would leave the registration behind when the descriptor is also open elsewhere, as a terminal is. */
    (void)epoll_ctl(((epoll_poller *)base)->epoll_fd, EPOLL_CTL_DEL, pollfd->fd, NULL);
    return true;
}

/* True for the answers of a kernel without the call, and of filters. */
static bool is_refused(int error)
{
    return error == ENOSYS || error == EPERM || error == EACCES;
}

/* Events fetched, or -errno. */
static int fetch(epoll_poller *poller, int64_t timeout_ns, int max)
{
    if (timeout_ns > 0 && !cori_load_relaxed(&coarse)) {
        struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000), .tv_nsec = timeout_ns % 1000000000};
        int count = epoll_pwait2(poller->epoll_fd, poller->fetched, max, &timeout, NULL);
        if (count >= 0 || !is_refused(errno)) {
            return count >= 0 ? count : -errno;
        }
        cori_store_relaxed(&coarse, true);
    }
    int64_t timeout_ms = timeout_ns <= 0 ? timeout_ns : (timeout_ns - 1) / 1000000 + 1;
    timeout_ms = timeout_ms > INT32_MAX ? INT32_MAX : timeout_ms;
    int count = epoll_wait(poller->epoll_fd, poller->fetched, max, timeout_ms < 0 ? -1 : (int)timeout_ms);
    return count >= 0 ? count : -errno;
}

static int poll_epoll_wait(cori_poller *base, int64_t timeout_ns, cori_event *events, int max)
{
    epoll_poller *poller = (epoll_poller *)base;
    int fetched = cori_sys_faulted(CORI_SYS_EPOLL_WAIT);
    int count = 0;
    if (fetched == 0) {
        fetched = fetch(poller, timeout_ns, max < CORI_POLL_EVENTS ? max : CORI_POLL_EVENTS);
    }
    if (fetched < 0) {
        return fetched == -EINTR ? 0 : fetched;
    }
    for (int i = 0; i < fetched; i++) {
        uint64_t tag = poller->fetched[i].data.u64;
        uint32_t bits = poller->fetched[i].events;
        cori_pollfd *pollfd = (cori_pollfd *)(uintptr_t)(tag & ((UINT64_C(1) << POINTER_BITS) - 1));
        if (pollfd == NULL || cori_load_acquire(&pollfd->generation) != (uint16_t)(tag >> POINTER_BITS)) {
            continue;
        }
        __builtin_prefetch((void *)cori_load_relaxed(&pollfd->wait[CORI_READ])); /* will be woken */
        if ((bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) {
            cori_store(&pollfd->sticky, 1);
        }
        events[count].pollfd = pollfd;
        events[count].mask = ((bits & ~(uint32_t)EPOLLOUT) != 0 ? 1u << CORI_READ : 0) |
                             ((bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 ? 1u << CORI_WRITE : 0);
        count++;
    }
    return count;
}

static void poll_epoll_kick(cori_poller *base)
{
    uint64_t one = 1;
    ssize_t ignored = write(((epoll_poller *)base)->kick_fd, &one, sizeof(one));
    (void)ignored; /* fails only when the counter is full, and then the edge is there already */
}

const cori_poll_ops cori_poll_epoll = {
    .name = "epoll",
    .open = poll_epoll_open,
    .close = poll_epoll_close,
    .add = poll_epoll_add,
    .remove = poll_epoll_remove,
    .wait = poll_epoll_wait,
    .kick = poll_epoll_kick,
};
