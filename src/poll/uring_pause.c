/* SPDX-License-Identifier: MIT */
/*
 * Receiving ahead is stopped for a user that wants a stream's socket itself, to splice from it or to lend it, and may
 * go on later.
 *
 * Two words decide. The kind of the pollfd is a wish: DIRECT, when the reader (there is one at a time: calls hold the
 * read lock) wants the socket, STREAM again when anybody says so. `receiving` in the state is the right to receive: the
 * poller's while it is set, the reader's while it is not. The reader alone sets it, in `arm` of a STREAM, and the
 * owner's thread alone clears it. So whoever has the right knows that the other side does not receive:
 *
 *      the owner arms a receive        only while it has the right, whatever old mail asks for
 *      the owner gives the right back  when a receive has ended, or if none is in the ring and the wish is DIRECT;
 *                                      an event follows in either case, and makes a reader that waits arm again
 *      the owner arms a poll           when it is asked for bytes and does not have the right, whatever the wish
 *      the reader takes from the socket, or gives that away, when it has the right and the queue is empty
 *
 * Ending a receive is asked of the kernel by a cancel, which goes into the ring with the owner's next turn, and is over
 * with the receive's last completion. Whatever the receive has taken is in that one or in those before it, and goes to
 * the queue in order: the cancel finds it waiting, and then it takes nothing more, or finds it done. So each end of
 * stream or a reset is met by one side only. If the receive met a reset, it is in the state (`error`), and `pause` says
 * -EAGAIN until a read has had it; an end of stream the socket tells once more. If not, the socket tells it, and the
 * poll makes the event, since it looks at the state when it is armed.
 *
 * Nobody has to wait for the cancel: the user reads what comes, through `receive`, and asks again. One that waits for
 * it is woken by the event. A deadline, a cancelled task or a close change nothing here: the wish stays, with the next
 * reader the right is where it was, and removing cancels receive and poll alike.
 *
 * A wish may change while an older one is on its way to the owner. STREAM to DIRECT to STREAM: a receive that is being
 * cancelled ends, its event makes the reader arm once more; one that is not goes on. DIRECT to STREAM to DIRECT: the
 * reader parked on the poll, which the owner arms in either case. The poll that is left when a receive begins reports
 * the next bytes once too often, and is cancelled then.
 */
#include "poll/uring_pause.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "poll/uring_arm.h"
#include "poll/uring_mail.h"

#include <errno.h>

int cori_uring_pause(cori_poller *base, cori_pollfd *pollfd)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = base != NULL ? cori_uring_state(pollfd) : NULL;
    uint8_t expected = CORI_FD_STREAM; /* another kind, of a socket that is shared by now, stays */
    bool asked = !cori_cas(&pollfd->kind, &expected, (uint8_t)CORI_FD_DIRECT);
    if (state == NULL) {
        return 0;
    }
    if (!asked && cori_load_acquire(&state->receiving)) {
        if (cori_uring_own == poller) {
            (void)cori_uring_arm_own(poller, state, CORI_READ); /* if the ring is full, at the next wait */
        } else {
            cori_uring_post(poller, state, CORI_URING_MAIL_ARM_READ);
        }
    }
    cori_spin_lock(&state->spin);
    bool held = state->head != CORI_URING_NO_BUFFER || state->receiving || state->error != 0;
    cori_spin_unlock(&state->spin);
    return held ? -EAGAIN : 0;
}

void cori_uring_resume(cori_pollfd *pollfd)
{
    uint8_t expected = CORI_FD_DIRECT;
    (void)cori_cas(&pollfd->kind, &expected, (uint8_t)CORI_FD_STREAM);
}

void cori_uring_polled(cori_uring *poller, cori_uring_fd *state, bool more)
{
    cori_store(&state->armed_poll, more);
    struct io_uring_sqe *sqe = more && state->armed_read ? cori_uring_sqe(poller) : NULL; /* none: next time */
    if (sqe != NULL) {
        io_uring_prep_cancel64(sqe, cori_uring_tag(state, CORI_URING_POLL_IN), 0);
        io_uring_sqe_set_data64(sqe, CORI_URING_NONE);
    }
}
