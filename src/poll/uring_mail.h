/* SPDX-License-Identifier: MIT */
/* What other threads want done by the owner of a ring. */
#ifndef CORI_POLL_URING_MAIL_H
#define CORI_POLL_URING_MAIL_H

#include "poll/uring_fd.h"

/* Bits. */
enum cori_uring_mail {
    CORI_URING_MAIL_ARM_READ = 1,
    CORI_URING_MAIL_ARM_WRITE = 2,
    CORI_URING_MAIL_REMOVE = 4,
    CORI_URING_MAIL_WATCH = 8,
    CORI_URING_MAIL_CLOSE = 16,
};

/* Makes the owner's wait return early. Any thread, also a signal handler. */
void cori_uring_kick(cori_poller *base);

/* Leaves word for the owner. Any thread. */
void cori_uring_post(cori_uring *poller, cori_uring_fd *state, unsigned what);

/* The state in the mail whose requests have this tag; NULL: none. Owner only. */
cori_uring_fd *cori_uring_find_mail(const cori_uring *poller, uint64_t tag);

/* Does what others asked for; events are added from `event` on. Owner only. */
cori_event *cori_uring_read_mail(cori_uring *poller, cori_event *event, const cori_event *end);

#endif
