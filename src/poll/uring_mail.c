/* SPDX-License-Identifier: MIT */
/*
 * Only the owner enters its ring, so others post what they want done, with a kick. A state is in the list once, however
 * much is wanted of it: `mail` in it has a bit each, and whoever finds it 0 links it. If the ring takes no entry, what
 * was asked for is posted again; nothing is forgotten.
 */
#include "poll/uring_mail.h"

#include "base/atomic.h"
#include "base/list.h"
#include "poll/uring_arm.h"

#include <unistd.h>

void cori_uring_kick(cori_poller *base)
{
    uint64_t one = 1;
    ssize_t ignored = write(((cori_uring *)base)->kick_fd, &one, sizeof(one));
    (void)ignored; /* fails only when the counter is full, and then the kick is under way already */
}

void cori_uring_post(cori_uring *poller, cori_uring_fd *state, unsigned what)
{
    if (cori_fetch_or(&state->mail, (uint8_t)what) != 0) {
        return; /* it is in the list already, and its poster kicks */
    }
    cori_stack_push(&poller->mail, state, next);
    cori_uring_kick(&poller->base);
}

cori_uring_fd *cori_uring_find_mail(const cori_uring *poller, uint64_t tag)
{
    cori_uring_fd *state = cori_load_acquire(&poller->mail);
    while (state != NULL && state->tag != tag) {
        state = state->next;
    }
    return state;
}

/* Does what other threads asked of one state. */
static cori_event *answer(cori_uring *poller, cori_uring_fd *state, cori_event *event, const cori_event *end)
{
    cori_pollfd *pollfd = state->pollfd;
    unsigned what = cori_swap(&state->mail, 0);
    unsigned later = 0;
    bool told = false;
    if (pollfd == NULL) {
        cori_uring_fd_free(poller, state);
        return event;
    }
    unsigned ends = what & (CORI_URING_MAIL_REMOVE | CORI_URING_MAIL_CLOSE);
    if (event == end) {
        cori_uring_post(poller, state, what);
        return event;
    }
    if ((ends & CORI_URING_MAIL_CLOSE) != 0) {
        return cori_uring_close_now(poller, state) ? cori_uring_event(event, pollfd, CORI_READ) : event;
    }
    if (ends != 0) {
        cori_uring_remove_now(poller, state);
        return cori_uring_event(event, pollfd, CORI_READ);
    }
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        unsigned bit = direction == CORI_READ ? CORI_URING_MAIL_ARM_READ : CORI_URING_MAIL_ARM_WRITE;
        int rc = (what & bit) != 0 ? cori_uring_arm_own(poller, state, direction) : 0;
        later |= rc < 0 ? bit : 0;
        told = told || rc == CORI_URING_GIVEN_BACK;
    }
    if ((what & CORI_URING_MAIL_WATCH) != 0 && cori_uring_watch_own(poller, state) < 0) {
        later |= CORI_URING_MAIL_WATCH;
    }
    if (later != 0) {
        cori_uring_post(poller, state, later);
    }
    return told ? cori_uring_event(event, pollfd, CORI_READ) : event;
}

cori_event *cori_uring_read_mail(cori_uring *poller, cori_event *event, const cori_event *end)
{
    if (cori_load_relaxed(&poller->mail) == NULL) {
        return event;
    }
    cori_uring_fd *state = cori_swap_acquire(&poller->mail, NULL);
    while (state != NULL) {
        cori_uring_fd *next = state->next;
        event = answer(poller, state, event, end);
        state = next;
    }
    return event;
}
