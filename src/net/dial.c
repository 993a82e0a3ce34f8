/* SPDX-License-Identifier: MIT */
/*
 * Dialing: candidates in order, the first that connects wins, the error of the first is reported (Go's serial dial).
 * With a deadline each candidate has a share of the time, so that one which does not answer does not use up all of it.
 *
 * A connect is issued without waiting. EINPROGRESS, EALREADY and EINTR mean "wait until writable", then SO_ERROR
 * tells; a 0 there is confirmed with getpeername, because a wake-up can be spurious, and else waited for again.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SELF_CONNECT_RETRIES = 2 };

/* A dial under way. */
typedef struct attempt {
    const cori_network *network;
    int64_t deadline;
    cori_sockaddr target;
    socklen_t target_len;
    char text[COR_ADDR_TEXT]; /* the target as shown in errors */
    const char *call;         /* the system call that failed; NULL: none */
} attempt;

/* Waits until the connect under way on `slot` has ended. 0 or the error. */
static int await_connected(cori_slot *slot)
{
    for (;;) {
        (void)cori_swap(&slot->pollfd.wait[CORI_WRITE], CORI_IDLE);
        int error = 0;
        int rc = cori_sys_getsockopt(slot->pollfd.fd, SOL_SOCKET, SO_ERROR, &error);
        if (rc < 0 || error != 0) {
            return rc < 0 ? rc : -error;
        }
        cori_sockaddr peer;
        socklen_t len = sizeof(peer);
        if (cori_sys_getpeername(slot->pollfd.fd, &peer.any, &len) == 0) {
            if (peer.any.sa_family != AF_UNIX) {
                slot->is.peer = cori_addr_of(&peer);
            }
            return 0;
        }
        rc = cori_fd_wait(slot, CORI_WRITE, "IO wait (connect)");
        if (rc != 0) {
            return rc;
        }
    }
}

static int connect_slot(attempt *dialing, cori_slot *slot)
{
    int rc = cori_fd_check(slot, CORI_WRITE);
    if (rc != 0) {
        return rc;
    }
    rc = cori_sys_connect(slot->pollfd.fd, &dialing->target.any, dialing->target_len);
    if (dialing->network->datagram) { /* nothing is sent: it only fixes the peer */
        cori_sockaddr peer;
        socklen_t len = sizeof(peer);
        dialing->call = rc < 0 ? "connect" : NULL;
        if (rc == 0 && cori_sys_getpeername(slot->pollfd.fd, &peer.any, &len) == 0) { /* none with port 0 */
            slot->is.peer = cori_addr_of(&peer);
        }
        return rc;
    }
    if (rc == -EAGAIN && dialing->network->unix_stream) { /* a full backlog: not something to wait for */
        dialing->call = "connect";
        return rc;
    }
    if (rc == 0 || rc == -EINPROGRESS || rc == -EALREADY || rc == -EINTR || rc == -EISCONN) {
        rc = await_connected(slot);
        rc = rc == 0 ? cori_fd_check(slot, CORI_WRITE) : rc; /* cancelled at that very moment: not a success */
    }
    if (rc < 0 && rc > COR_ECLOSED) {
        dialing->call = "connect";
    }
    return rc;
}

/* One connect to one target: the connected slot, unpublished, in *out. */
static int dial_once(attempt *dialing, cori_slot **out)
{
    bool local = dialing->network->unix_stream, datagram = dialing->network->datagram;
    int fd = cori_sys_socket(dialing->target.any.sa_family, datagram ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (fd < 0) {
        dialing->call = "socket";
        return fd;
    }
    if (datagram) {
        cori_udp_defaults(fd);
    } else if (!local) {
        cori_tcp_defaults(fd);
    }
    cori_slot *slot = cori_conn_slot(dialing->network, fd, &dialing->target, dialing->target_len);
    if (slot == NULL) {
        return -ENOMEM;
    }
    slot->deadline[CORI_WRITE] = dialing->deadline;
    int rc = connect_slot(dialing, slot);
    if (rc < 0) {
        cori_slot_discard(slot);
        return rc;
    }
    slot->deadline[CORI_WRITE] = 0;
    *out = slot;
    return 0;
}

/* Two ends that are one socket: the kernel's simultaneous open with itself, on a port that nobody listens on. */
static bool is_self_connect(cori_slot *slot)
{
    char local[COR_ADDR_TEXT], remote[COR_ADDR_TEXT];
    slot->ops->local_text(slot, local, sizeof(local));
    slot->ops->remote_text(slot, remote, sizeof(remote));
    return strcmp(local, remote) == 0;
}

static int dial_target(attempt *dialing, cori_slot **out)
{
    int rc = dial_once(dialing, out);
    bool tcp = !dialing->network->unix_stream && !dialing->network->datagram;
    for (int i = 0; i < SELF_CONNECT_RETRIES && tcp; i++) {
        bool self_connect = rc == 0 && is_self_connect(*out);
        if (!self_connect && rc != -EADDRNOTAVAIL) {
            break;
        }
        if (self_connect) {
            cori_slot_discard(*out);
        }
        rc = dial_once(dialing, out);
    }
    return rc;
}

/*
 * When the next of `left` candidates must have answered: an even share of what remains, but 2 s at least (Go's rule).
 */
static int64_t slice_end(int64_t deadline, int left)
{
    int64_t now = cori_clock_now();
    if (deadline <= now || left == 1) {
        return deadline; /* none, past, or all of it for the last */
    }
    int64_t rest_ns = deadline - now;
    int64_t least_ns = rest_ns < CORI_DIAL_SLICE_MIN_NS ? rest_ns : CORI_DIAL_SLICE_MIN_NS;
    return now + (rest_ns / left > least_ns ? rest_ns / left : least_ns);
}

static int dial_tcp(attempt *dialing, const char *address, cori_slot **out, cor_error *error)
{
    int64_t deadline = dialing->deadline;
    cori_candidates candidates;
    int first_rc = cori_resolve_until(dialing->network, address, deadline, &candidates, error);
    if (first_rc < 0) {
        return first_rc;
    }
    if (candidates.any) {
        candidates.list[0] =
            (cor_addr){.ip.family = dialing->network->v4 ? AF_INET : AF_INET6, .port = candidates.port};
        candidates.count = 1;
    }
    for (int i = 0; i < candidates.count; i++) {
        const cor_addr *addr = &candidates.list[i];
        dialing->call = NULL;
        dialing->deadline = slice_end(deadline, candidates.count - i);
        dialing->target_len = cori_addr_to_sockaddr(addr, addr->ip.family, &dialing->target);
        int rc = dial_target(dialing, out);
        if (rc == 0) {
            return 0;
        }
        if (i == 0) {
            first_rc = rc;
            cor_addr_text(*addr, error->address, sizeof(error->address));
            if (candidates.any) {
                (void)snprintf(error->address, sizeof(error->address), ":%u", addr->port);
            }
            (void)snprintf(error->where, sizeof(error->where), "%s", dialing->call != NULL ? dialing->call : "");
        }
        if (cori_interrupted(cori_self(), deadline) != 0) {
            break;
        }
    }
    return first_rc;
}

static int dial_unix(attempt *dialing, const char *path, cori_slot **out, cor_error *error)
{
    (void)snprintf(error->address, sizeof(error->address), "%s", path);
    int rc = cori_unix_sockaddr(path, &dialing->target, &dialing->target_len);
    dialing->call = rc < 0 ? "connect" : NULL;
    rc = rc < 0 ? rc : dial_target(dialing, out);
    if (rc < 0) {
        (void)snprintf(error->where, sizeof(error->where), "%s", dialing->call != NULL ? dialing->call : "");
    }
    return rc;
}

static int dial(attempt *dialing, const char *address, cori_slot **out, cor_error *error)
{
    if (address[0] == '\0') {
        return COR_EMISSING_ADDRESS;
    }
    if (dialing->deadline != 0 && dialing->deadline <= cori_clock_now()) {
        dialing->deadline = 1; /* past: fails at the first check, whatever the coarse clock says */
    }
    return dialing->network->unix_stream ? dial_unix(dialing, address, out, error)
                                         : dial_tcp(dialing, address, out, error);
}

int cor_dial_until(cor_conn **out, const char *network, const char *address, int64_t deadline, cor_error *error)
{
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    if (cori_self() == NULL) {
        return cori_error_fill(error, "dial", network, address, COR_ENOT_TASK);
    }
    attempt dialing = {.network = cori_network_find(network), .deadline = deadline};
    if (dialing.network == NULL) {
        (void)snprintf(error->where, sizeof(error->where), "%s", network);
        return cori_error_fill(error, "dial", network, "", COR_EUNKNOWN_NETWORK);
    }
    cori_slot *slot = NULL;
    int rc = dial(&dialing, address, &slot, error);
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        return cori_error_fill(error, "dial", network, shown, rc);
    }
    *out = cori_slot_publish(slot);
    return 0;
}

int cor_dial(cor_conn **out, const char *network, const char *address, cor_error *error)
{
    return cor_dial_until(out, network, address, 0, error);
}
