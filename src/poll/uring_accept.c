/* SPDX-License-Identifier: MIT */
/*
 * Accepting ahead of the calls, for the io_uring poller: a multishot accept, and the queue of what it brought. Only
 * where one worker serves the listener: the kernel wakes one ring per connection, also one whose worker is computing,
 * and what is accepted no other worker can take. So all of this is the owner's thread's.
 *
 * The kernel accepts until the backlog is empty, so the queue grows as needed; from CORI_URING_ACCEPTED_MAX on the
 * request is cancelled until somebody waits again. An error ends it, too: the next call is then a plain accept4(2),
 * which finds the error itself, and the acceptor pauses as it always does. A connection that comes after the
 * listener was closed, or that nobody has taken by then, is reset, as those in the kernel's queue are.
 *
 * A listener that another process may have too (cor_listener_fd) accepts ahead no more: what it takes out of the
 * kernel's queue it could not give back when it is closed. Its request is cancelled, what that has brought is taken
 * first, and then a poll waits in its place.
 *
 * Peers' addresses: all accepts of a request write to one place. What stands there is the last one's, and the kernel
 * accepts only inside our calls (`deferred`): it belongs to a completion after which there is no other. The others
 * ask for theirs with SO_PEERNAME, which tells it as accept4(2) does also after a reset; getpeername(2) does not.
 */
#include "poll/uring_accept.h"

#include "base/atomic.h"
#include "base/memory.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 16 };

/* One connection accepted, and not yet taken. */
typedef struct accepted {
    int fd;
    struct sockaddr_in6 peer; /* any TCP address; family 0: unknown */
} accepted;

typedef struct cori_uring_accepts {
    struct sockaddr_in6 peer; /* of the last connection; written by the kernel */
    socklen_t peer_len;
    bool polls; /* the request in the ring is a poll */
    uint32_t first, count, room;
    accepted *queue; /* a ring of `room` */
} accepts;

int cori_uring_accepts_new(cori_uring_fd *state)
{
    state->accepts = cori_calloc(1, sizeof(*state->accepts));
    if (state->accepts == NULL) {
        return -ENOMEM;
    }
    state->accepts_ahead = true;
    state->accepts->peer_len = sizeof(state->accepts->peer);
    return 0;
}

void cori_uring_refuse(int fd)
{
    (void)cori_sys_setlinger(fd, 0);
    cori_sys_close(fd);
}

static accepted take_first(accepts *of)
{
    accepted first = of->queue[of->first];
    of->first = (of->first + 1) % of->room;
    of->count--;
    return first;
}

void cori_uring_accepts_free(cori_uring_fd *state)
{
    accepts *of = state->accepts;
    if (!state->accepts_ahead) {
        return;
    }
    while (of->count > 0) {
        cori_uring_refuse(take_first(of).fd);
    }
    free(of->queue);
    free(of);
    state->accepts = NULL;
    state->accepts_ahead = false;
}

static bool make_room(accepts *of)
{
    if (of->count < of->room) {
        return true;
    }
    uint32_t room = of->room == 0 ? FIRST_ROOM : 2 * of->room;
    accepted *queue = cori_malloc(room * sizeof(*queue));
    if (queue == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        queue[i] = of->queue[(of->first + i) % of->room];
    }
    free(of->queue);
    of->queue = queue;
    of->first = 0;
    of->room = room;
    return true;
}

static void prepare_accept(struct io_uring_sqe *sqe, const cori_uring_fd *state)
{
    io_uring_prep_multishot_accept(sqe, state->fd, (struct sockaddr *)&state->accepts->peer, &state->accepts->peer_len,
                                   SOCK_CLOEXEC | SOCK_NONBLOCK);
    io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_ACCEPT));
}

int cori_uring_arm_accept(cori_uring *poller, cori_uring_fd *state)
{
    accepts *of = state->accepts;
    bool polls = cori_load_acquire(&state->pollfd->kind) != CORI_FD_ACCEPTS;
    if (state->armed_read) {
        return polls == of->polls || cori_uring_enough(poller, state, CORI_URING_ACCEPT) ? 0 : -EBUSY;
    }
    struct io_uring_sqe *sqe = cori_uring_sqe(poller);
    if (sqe == NULL) {
        return -EBUSY;
    }
    if (polls) {
        io_uring_prep_poll_multishot(sqe, state->fd, POLLIN);
        io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_POLL_IN));
    } else {
        prepare_accept(sqe, state);
    }
    of->polls = polls;
    state->armed_read = true;
    return 0;
}

bool cori_uring_accept_polls(const cori_uring_fd *state)
{
    return state->accepts->polls;
}

static struct sockaddr_in6 peer_of(const cori_uring *poller, const accepts *of, int fd)
{
    struct sockaddr_in6 peer = of->peer;
    bool last = poller->deferred && io_uring_cq_ready(&poller->ring) == 0 && !io_uring_cq_has_overflow(&poller->ring);
    if (!last && cori_sys_accepted_from(fd, (struct sockaddr *)&peer, of->peer_len) < 0) {
        peer.sin6_family = AF_UNSPEC;
    }
    return peer;
}

void cori_uring_accepted(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe)
{
    accepts *of = state->accepts;
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    state->armed_read = more;
    if (cqe->res >= 0 && !make_room(of)) {
        cori_uring_refuse(cqe->res);
    } else if (cqe->res >= 0) {
        of->queue[(of->first + of->count) % of->room] = (accepted){cqe->res, peer_of(poller, of, cqe->res)};
        of->count++;
    }
    if (!more) {
        state->stopping = false;
    } else if (of->count >= CORI_URING_ACCEPTED_MAX) {
        (void)cori_uring_enough(poller, state, CORI_URING_ACCEPT); /* or at the next completion */
    }
}

int cori_uring_accept(cori_poller *base, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len)
{
    cori_uring_fd *state = base != NULL ? cori_uring_state(pollfd) : NULL;
    accepts *of = state != NULL && state->accepts_ahead ? state->accepts : NULL;
    if (of == NULL || (of->count == 0 && (!state->armed_read || of->polls))) {
        return cori_sys_accept(pollfd->fd, addr, len);
    }
    int fault = cori_sys_faulted(CORI_SYS_ACCEPT);
    if (of->count == 0 || (fault != 0 && fault != -EINTR)) {
        return fault != 0 && fault != -EINTR ? fault : -EAGAIN;
    }
    accepted first = take_first(of);
    *len = *len < sizeof(first.peer) ? *len : (socklen_t)sizeof(first.peer);
    memcpy(addr, &first.peer, *len);
    return first.fd;
}
