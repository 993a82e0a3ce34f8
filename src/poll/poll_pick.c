/* SPDX-License-Identifier: MIT */
/*
 * Choosing a poller at run time. Whether io_uring can be used is tried once per process;
 * where it is not available its name means epoll, and cor_poller_info says why.
 */
#include "poll/poll_pick.h"

#include "base/atomic.h"
#include "poll/poll_epoll.h"
#if COR_HAVE_URING
#include "poll/poll_uring.h"
#include "poll/uring_probe.h"
#endif

#include <coracle/task.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a name led to. */
enum outcome {
    NOT_PICKED,
    UNKNOWN,
    EPOLL,
    URING,
    URING_NOT_BUILT,
    URING_ABSENT,
    URING_FORBIDDEN,
    URING_REFUSED,
    URING_TOO_OLD,
    URING_NO_MEMORY
};

static const char *const texts[] = {
    [UNKNOWN] = "none (COR_POLLER or the options name an unknown one; known: auto, epoll, io_uring)",
    [EPOLL] = COR_HAVE_URING ? "epoll (io_uring is available on request)" : "epoll (the only one built in)",
    [URING] = "io_uring",
    [URING_NOT_BUILT] = "epoll (io_uring was asked for, but is not built in)",
    [URING_ABSENT] = "epoll (io_uring was asked for, but the kernel has none or a filter hides it: ENOSYS)",
    [URING_FORBIDDEN] = "epoll (io_uring was asked for, but a filter or kernel.io_uring_disabled forbids it: EPERM)",
    [URING_REFUSED] = "epoll (io_uring was asked for, but a sandbox refuses it: EACCES)",
    [URING_TOO_OLD] = "epoll (io_uring was asked for, but the kernel lacks what is needed, Linux 6.0: EINVAL)",
    [URING_NO_MEMORY] = "epoll (io_uring was asked for, but there is no memory for its rings: ENOMEM)",
};

static const cori_poll_ops *override_ops;
static uint32_t picked; /* atomic: the last outcome */

#if COR_HAVE_URING
/* What it means that a ring could not be had. URING for what is an error: opening will tell. */
static enum outcome meaning(int code)
{
    switch (code) {
    case -ENOSYS:
        return URING_ABSENT;
    case -EPERM:
        return URING_FORBIDDEN;
    case -EACCES:
        return URING_REFUSED;
    case -EINVAL:
        return URING_TOO_OLD;
    case -ENOMEM:
        return URING_NO_MEMORY;
    default:
        return URING;
    }
}

/* Tried once, unless it fails for a passing reason. */
static enum outcome try_uring(void)
{
    static uint32_t tried; /* atomic: the outcome, NOT_PICKED before */
    uint32_t outcome = cori_load_relaxed(&tried);
    if (outcome == NOT_PICKED) {
        int rc = cori_uring_probe();
        outcome = meaning(rc);
        if (rc == 0 || (outcome != URING && outcome != URING_NO_MEMORY)) {
            cori_store_relaxed(&tried, outcome);
        }
    }
    return outcome;
}

const cori_poll_ops *cori_poll_instead(const cori_poll_ops *ops, int code)
{
    enum outcome outcome = ops == &cori_poll_uring ? meaning(code) : URING;
    if (outcome == URING) {
        return NULL;
    }
    cori_store_relaxed(&picked, outcome);
    return &cori_poll_epoll;
}
#else
static enum outcome try_uring(void)
{
    return URING_NOT_BUILT;
}

const cori_poll_ops *cori_poll_instead(const cori_poll_ops *ops, int code)
{
    (void)ops;
    (void)code;
    return NULL;
}
#endif

static enum outcome choose(const char *name)
{
    if (name == NULL) {
        name = getenv("COR_POLLER");
    }
    if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0 || strcmp(name, "epoll") == 0) {
        return EPOLL;
    }
    return strcmp(name, "io_uring") == 0 ? try_uring() : UNKNOWN;
}

const cori_poll_ops *cori_poll_pick(const char *name)
{
    if (override_ops != NULL) {
        return override_ops;
    }
    enum outcome outcome = choose(name);
    cori_store_relaxed(&picked, outcome);
    if (outcome == UNKNOWN) {
        return NULL;
    }
#if COR_HAVE_URING
    if (outcome == URING) {
        return &cori_poll_uring;
    }
#endif
    return &cori_poll_epoll;
}

void cori_poll_override(const cori_poll_ops *ops)
{
    override_ops = ops;
}

const char *cor_poller_info(void)
{
    if (override_ops != NULL) {
        return override_ops->name;
    }
    uint32_t outcome = cori_load_relaxed(&picked);
    return texts[outcome != NOT_PICKED ? outcome : choose(NULL)];
}
