/* SPDX-License-Identifier: MIT */
/*
 * Options of TCP sockets. What decides is the socket, not how the library came by it: they work on an adopted TCP
 * socket (cor_open_fd), and say -EOPNOTSUPP on whatever is none.
 */
#include "base/lock.h"
#include "base/sys.h"
#include "net/conn.h"

#include <coracle/time.h>
#include <errno.h>
#include <netinet/tcp.h>

/* 0 if the slot's descriptor is a TCP socket, -EOPNOTSUPP if not. */
static int check_tcp(const cori_slot *slot)
{
    int protocol = 0;
    if (slot->kind == CORI_KIND_CONN && slot->ops->fd == NULL) {
        return -EOPNOTSUPP;
    }
    int rc = cori_sys_getsockopt(slot->pollfd.fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
    return rc == -ENOTSOCK || (rc == 0 && protocol != IPPROTO_TCP) ? -EOPNOTSUPP : rc;
}

/* Begins a call that sets an option of a TCP socket; ended with cori_slot_leave. */
static int enter_tcp(const void *handle, enum cori_kind kind, cori_slot **out)
{
    int rc = cori_slot_enter(handle, kind, CORI_SHARED, out);
    if (rc < 0) {
        return rc;
    }
    rc = check_tcp(*out);
    if (rc < 0) {
        cori_slot_leave(*out, CORI_SHARED);
    }
    return rc;
}

int cor_set_no_delay(cor_conn *conn, bool on)
{
    cori_slot *slot;
    int rc = enter_tcp(conn, CORI_KIND_CONN, &slot);
    if (rc == 0) {
        rc = cori_sys_setsockopt(slot->pollfd.fd, IPPROTO_TCP, TCP_NODELAY, on);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_set_linger(cor_conn *conn, int seconds)
{
    cori_slot *slot;
    int rc = enter_tcp(conn, CORI_KIND_CONN, &slot);
    if (rc == 0) {
        cori_spin_lock(&slot->spin); /* of two setters' wishes one holds, in the kernel and here */
        rc = cori_sys_setlinger(slot->pollfd.fd, seconds);
        slot->lingers = seconds > 0;
        cori_spin_unlock(&slot->spin);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

/* Whole units of `unit_ns`, at least one for what is more than nothing; the kernel refuses what is too much. */
static int units(int64_t time_ns, int64_t unit_ns)
{
    int64_t count = time_ns / unit_ns + (time_ns % unit_ns != 0);
    return count < INT32_MAX ? (int)count : INT32_MAX;
}

/* The wish in whole seconds; 0: the default; < 0: to be left as it is. */
static int keep_alive_s(int64_t wish_ns)
{
    return wish_ns == 0 ? CORI_KEEPALIVE_S : wish_ns < 0 ? -1 : units(wish_ns, COR_SECOND);
}

static void prefer(int fd, int option, int value)
{
    if (value >= 0) {
        (void)cori_sys_setsockopt(fd, IPPROTO_TCP, option, value);
    }
}

void cori_tcp_set_up(int fd, const cor_keep_alive *keep_alive)
{
    (void)cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!keep_alive->off) {
        (void)cori_sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        prefer(fd, TCP_KEEPIDLE, keep_alive_s(keep_alive->idle_ns));
        prefer(fd, TCP_KEEPINTVL, keep_alive_s(keep_alive->interval_ns));
        prefer(fd, TCP_KEEPCNT, keep_alive->count == 0 ? CORI_KEEPALIVE_COUNT : keep_alive->count);
    }
}

static int set_keep_alive(const void *handle, enum cori_kind kind, int64_t idle_ns, int64_t interval_ns, int count)
{
    cori_slot *slot;
    bool on = idle_ns != 0;
    if (idle_ns < 0 || (on && (interval_ns <= 0 || count <= 0))) {
        return -EINVAL;
    }
    int rc = enter_tcp(handle, kind, &slot);
    if (rc < 0) {
        return rc;
    }
    int fd = slot->pollfd.fd;
    if (on) {
        rc = cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, units(idle_ns, COR_SECOND));
        rc = rc < 0 ? rc : cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, units(interval_ns, COR_SECOND));
        rc = rc < 0 ? rc : cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
    }
    rc = rc < 0 ? rc : cori_sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, on);
    cori_slot_leave(slot, CORI_SHARED);
    return rc;
}

int cor_set_keep_alive(cor_conn *conn, int64_t idle_ns, int64_t interval_ns, int count)
{
    return set_keep_alive(conn, CORI_KIND_CONN, idle_ns, interval_ns, count);
}

int cor_listener_set_keep_alive(cor_listener *listener, int64_t idle_ns, int64_t interval_ns, int count)
{
    return set_keep_alive(listener, CORI_KIND_LISTENER, idle_ns, interval_ns, count);
}

static int set_user_timeout(const void *handle, enum cori_kind kind, int64_t timeout_ns)
{
    cori_slot *slot;
    if (timeout_ns < 0) {
        return -EINVAL;
    }
    int rc = enter_tcp(handle, kind, &slot);
    if (rc == 0) {
        rc = cori_sys_setsockopt(slot->pollfd.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, units(timeout_ns, COR_MILLISECOND));
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_set_user_timeout(cor_conn *conn, int64_t timeout_ns)
{
    return set_user_timeout(conn, CORI_KIND_CONN, timeout_ns);
}

int cor_listener_set_user_timeout(cor_listener *listener, int64_t timeout_ns)
{
    return set_user_timeout(listener, CORI_KIND_LISTENER, timeout_ns);
}
