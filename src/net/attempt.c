/* SPDX-License-Identifier: MIT */
/*
 * A connect is issued without waiting. EINPROGRESS, EALREADY and EINTR mean "wait until writable", then SO_ERROR
 * tells; a 0 there is confirmed with getpeername, because a wake-up can be spurious, and else waited for again.
 */
#include "net/attempt.h"

#include "base/atomic.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>

bool cori_attempt_suits(const cori_dialing *dialing, const cor_addr *target)
{
    const cor_addr *local = &dialing->with->local;
    if (local->ip.family == AF_UNSPEC || local->ip.family == target->ip.family) {
        return true;
    }
    /* "::" has IPv4 too where both are allowed; 0.0.0.0 becomes "::". */
    return cori_addr_is_wildcard(local) && (local->ip.family == AF_INET || dialing->network->v6);
}

/* An IPv4 target is reached from "::" by a socket of both families. */
static int family_for(const cori_dialing *dialing, const cor_addr *target)
{
    return dialing->with->local.ip.family == AF_INET6 ? AF_INET6 : target->ip.family;
}

static int control(const cori_dialing *dialing, int fd, const cori_sockaddr *target, socklen_t len)
{
    char address[COR_ADDR_TEXT];
    const char *network = cori_network_exact(dialing->network, target->any.sa_family);
    if (dialing->network->local) {
        cori_unix_text(target, len, address, sizeof(address));
    } else {
        (void)cori_network_text(dialing->network, cori_addr_of(target), address, sizeof(address));
    }
    int rc = dialing->with->control(fd, network, address, dialing->with->control_arg);
    return rc < 0 ? rc : 0;
}

/* The kernel's form of the local address; 0: there is none. */
static int local_sockaddr(const cori_dialing *dialing, int family, cori_sockaddr *local, socklen_t *len)
{
    const cor_dialer *with = dialing->with;
    *len = 0;
    if (family == AF_UNIX) {
        return with->local_path != NULL ? cori_unix_sockaddr(with->local_path, local, len) : 0;
    }
    if (cori_has_local(with)) {
        *len = cori_addr_to_sockaddr(&with->local, family, local);
    }
    return 0;
}

static int bind_local(cori_attempt *attempt, const cori_dialing *dialing, int fd, int family)
{
    cori_sockaddr local;
    socklen_t len;
    int rc = local_sockaddr(dialing, family, &local, &len);
    rc = rc == 0 && len > 0 ? cori_sys_bind(fd, &local.any, len) : rc;
    attempt->call = rc < 0 ? "bind" : NULL;
    return rc;
}

static int set_up(cori_attempt *attempt, const cori_dialing *dialing, const cori_sockaddr *target, socklen_t len)
{
    int fd = attempt->slot->pollfd.fd;
    int family = target->any.sa_family;
    if (dialing->network->datagram && family != AF_UNIX) {
        cori_udp_defaults(fd);
    } else if (family != AF_UNIX) {
        cori_tcp_set_up(fd, &dialing->with->keep_alive);
    }
    if (family == AF_INET6 && cori_has_local(dialing->with)) {
        (void)cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dialing->network->v4);
    }
    int rc = dialing->with->control != NULL ? control(dialing, fd, target, len) : 0;
    return rc < 0 ? rc : bind_local(attempt, dialing, fd, family);
}

/* The kernel has chosen a TCP connection's local port, and may choose a better one. */
static bool port_is_free(const cori_dialing *dialing)
{
    return !dialing->network->local && !dialing->network->datagram && dialing->with->local.port == 0;
}

/* Two ends that are one socket: the kernel's simultaneous open with itself, on a port that nobody listens on. */
static bool is_self_connect(cori_attempt *attempt, const cori_dialing *dialing)
{
    return port_is_free(dialing) && cor_addr_compare(cori_tcp_local(attempt->slot), attempt->slot->is.peer) == 0;
}

/* The connect has failed. */
static int failed(cori_attempt *attempt, const cori_dialing *dialing, int rc)
{
    attempt->call = "connect";
    attempt->again = rc == -EADDRNOTAVAIL && port_is_free(dialing);
    cori_attempt_drop(attempt);
    return rc;
}

/* What the kernel says about the connect, as cori_attempt_look. */
static int ask(cori_attempt *attempt)
{
    cori_slot *slot = attempt->slot;
    int error = 0;
    (void)cori_swap(&slot->pollfd.wait[CORI_WRITE], CORI_IDLE);
    int rc = cori_sys_getsockopt(slot->pollfd.fd, SOL_SOCKET, SO_ERROR, &error);
    if (rc < 0 || error != 0) {
        return rc < 0 ? rc : -error;
    }
    cori_sockaddr peer;
    socklen_t len = sizeof(peer);
    if (cori_sys_getpeername(slot->pollfd.fd, &peer.any, &len) < 0) {
        return CORI_CONNECTING;
    }
    if (peer.any.sa_family != AF_UNIX) {
        slot->is.peer = cori_addr_of(&peer);
    }
    return CORI_CONNECTED;
}

int cori_attempt_look(cori_attempt *attempt, const cori_dialing *dialing)
{
    int rc, armed;
    do {
        rc = ask(attempt);
        armed = rc == CORI_CONNECTING ? cori_fd_arm(attempt->slot, CORI_WRITE) : 0;
    } while (armed > 0);
    rc = armed < 0 ? armed : rc;
    attempt->again = rc == CORI_CONNECTED && is_self_connect(attempt, dialing);
    return rc < 0 ? failed(attempt, dialing, rc) : rc;
}

/* A datagram socket sends nothing when it connects, and has no peer if the port was 0. */
static int connect_datagram(cori_attempt *attempt, const cori_dialing *dialing, const cori_sockaddr *target,
                            socklen_t len)
{
    cori_slot *slot = attempt->slot;
    cori_sockaddr peer;
    socklen_t peer_len = sizeof(peer);
    int rc = cori_sys_connect(slot->pollfd.fd, &target->any, len);
    if (rc < 0) {
        return failed(attempt, dialing, rc);
    }
    if (!dialing->network->local && cori_sys_getpeername(slot->pollfd.fd, &peer.any, &peer_len) == 0) {
        slot->is.peer = cori_addr_of(&peer);
    }
    return CORI_CONNECTED;
}

/* Begins with `attempt` empty. */
static int begin(cori_attempt *attempt, const cori_dialing *dialing, const cori_sockaddr *target, socklen_t len)
{
    int fd = cori_sys_socket(target->any.sa_family, cori_network_type(dialing->network), dialing->protocol);
    if (fd < 0) {
        attempt->call = "socket";
        return fd;
    }
    attempt->slot = cori_conn_slot(dialing->network, fd, target, len);
    if (attempt->slot == NULL) {
        return -ENOMEM;
    }
    int rc = set_up(attempt, dialing, target, len);
    if (rc < 0) {
        cori_attempt_drop(attempt);
        return rc;
    }
    if (dialing->network->datagram) {
        return connect_datagram(attempt, dialing, target, len);
    }
    rc = cori_sys_connect(fd, &target->any, len);
    if (rc == 0 || rc == -EINPROGRESS || rc == -EALREADY || rc == -EINTR || rc == -EISCONN) {
        return cori_attempt_look(attempt, dialing);
    }
    return failed(attempt, dialing, rc); /* -EAGAIN of a unix socket, a full backlog, is nothing to wait for */
}

int cori_attempt_ip(cori_attempt *attempt, const cori_dialing *dialing, const cor_addr *target)
{
    cori_sockaddr to;
    socklen_t len = cori_addr_to_sockaddr(target, family_for(dialing, target), &to);
    *attempt = (cori_attempt){.slot = NULL};
    return begin(attempt, dialing, &to, len);
}

int cori_attempt_unix(cori_attempt *attempt, const cori_dialing *dialing, const char *path)
{
    cori_sockaddr to;
    socklen_t len;
    *attempt = (cori_attempt){.slot = NULL};
    int rc = cori_unix_sockaddr(path, &to, &len);
    if (rc < 0) {
        attempt->call = "connect";
        return rc;
    }
    return begin(attempt, dialing, &to, len);
}

void cori_attempt_drop(cori_attempt *attempt)
{
    if (attempt->slot != NULL) {
        cori_slot_discard(attempt->slot);
        attempt->slot = NULL;
    }
}
