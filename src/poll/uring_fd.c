/* SPDX-License-Identifier: MIT */
/*
 * The states of descriptors: the owner keeps a few to use again. A state is freed by the owner when it is removed,
 * which is posted last of all, or, once the owner has stopped, by whoever removes it; if it lies in the mail then, by
 * close.
 */
#include "poll/uring_fd.h"

#include "base/atomic.h"
#include "base/memory.h"

#include <stdlib.h>

cori_uring_fd *cori_uring_fd_new(cori_uring *poller)
{
    cori_uring_fd *state = cori_uring_own == poller ? poller->spare : NULL;
    if (state == NULL) {
        return cori_calloc(1, sizeof(*state));
    }
    poller->spare = state->next;
    poller->spare_count--;
    *state = (cori_uring_fd){0};
    return state;
}

void cori_uring_fd_free(cori_uring *poller, cori_uring_fd *state)
{
    if (cori_uring_own != poller || poller->spare_count >= CORI_URING_STATES_KEPT) {
        free(state);
        return;
    }
    state->next = poller->spare;
    poller->spare = state;
    poller->spare_count++;
}

bool cori_uring_enough(cori_uring *poller, cori_uring_fd *state, enum cori_uring_op op)
{
    struct io_uring_sqe *sqe = state->stopping ? NULL : cori_uring_sqe(poller);
    if (sqe != NULL) {
        io_uring_prep_cancel64(sqe, cori_uring_tag(state, op), 0);
        io_uring_sqe_set_data64(sqe, CORI_URING_NONE);
        state->stopping = true;
    }
    return state->stopping;
}
