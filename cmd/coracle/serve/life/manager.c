/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told. The sign of life follows a roll call: each worker has come round since the last one, or there
 * is none, and systemd ends the service after its WatchdogSec=.
 */
#include "serve/life/manager.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if COR_HAVE_SYSTEMD

#include <systemd/sd-daemon.h>

/* Signs of life in the time after which the manager misses them. */
enum { SIGNS = 3 };

int manager_sockets(char ***names)
{
    return sd_listen_fds_with_names(1, names);
}

const char *manager_missing(void)
{
    return NULL;
}

static int tell_now(void *state)
{
    return sd_notify(0, state);
}

void manager_tell(const char *format, ...)
{
    char state[256];
    va_list values;
    if (getenv("NOTIFY_SOCKET") == NULL) {
        return;
    }
    va_start(values, format);
    vsnprintf(state, sizeof(state), format, values);
    va_end(values);
    int code = cor_blocking(tell_now, state);
    if (code < 0) {
        LOG(LEVEL_WARN, "notify_failed", {"error", cor_strerror(code), 0});
    }
}

/* Roll calls without end, three in the time that the manager waits. */
static void watch(void *arg)
{
    int64_t every = *(int64_t *)arg / SIGNS;
    free(arg);
    for (;;) {
        int64_t next = cor_after(every);
        int code = cor_roll_call(next);
        if (code == 0) {
            manager_tell("WATCHDOG=1");
        } else if (code == COR_ETIMEOUT) {
            LOG(LEVEL_ERROR, "worker_stalled", {"ms", NULL, every / COR_MILLISECOND});
        }
        if (code == COR_ECANCELED || cor_sleep(next - cor_now()) == COR_ECANCELED) {
            return;
        }
    }
}

int manager_watch(struct serve *serve)
{
    uint64_t period = 0;
    if (getenv("NOTIFY_SOCKET") == NULL || sd_watchdog_enabled(0, &period) <= 0) {
        return 0;
    }
    int64_t *within = malloc(sizeof(*within));
    if (within == NULL) {
        return -ENOMEM;
    }
    *within = (int64_t)period * COR_MICROSECOND;
    int code = cor_group_go(&serve->helpers, watch, within);
    if (code < 0) {
        free(within);
    }
    return code;
}

#else

int manager_sockets(char ***names)
{
    (void)names;
    return 0;
}

const char *manager_missing(void)
{
    const char *pid = getenv("LISTEN_PID");
    return pid != NULL && atoi(pid) == getpid() ? "LISTEN_FDS" : NULL;
}

void manager_tell(const char *format, ...)
{
    (void)format;
}

int manager_watch(struct serve *serve)
{
    (void)serve;
    return 0;
}

#endif

void manager_reloading(void)
{
    manager_tell("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(cor_now() / COR_MICROSECOND));
}

void manager_ready(const struct serve *serve)
{
    manager_tell("READY=1\nSTATUS=Serving on %zu address%s", serve->service_count,
                 serve->service_count == 1 ? "" : "es");
}
