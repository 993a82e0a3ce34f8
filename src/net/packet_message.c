/* SPDX-License-Identifier: MIT */
/*
 * Messages: one recvmsg or sendmsg with control data, in the loops of fd.c. The kernel's form of control data lies on
 * the stack and is big enough for all that a socket may have been asked for, so that only descriptors can be too many
 * (for the limit of the process, or for the caller's room). Whatever descriptor the kernel has opened here is either in
 * the caller's room or closed before the call returns.
 *
 * A unixgram socket without a peer cannot wait for room at a receiver: its own socket is writable all the time, and the
 * kernel makes no event when another one's queue has room. (Connected, it does: sendmsg that finds the queue full
 * leaves word.) So it tries again after a pause of 1 ms, doubling to 16 ms. It waits in the wait word nevertheless,
 * where close, a moved deadline and events of its own find it.
 */
#include "base/atomic.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/conn.h"

#include <coracle/message.h>
#include <coracle/time.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

enum { CONTROL_BYTES = CMSG_SPACE(COR_FDS_MAX * sizeof(int)) + 512 };

typedef union control_data {
    size_t aligned; /* as struct cmsghdr is, which may not lie within another */
    unsigned char bytes[CONTROL_BYTES];
} control_data;

static bool is_local(const cori_slot *slot)
{
    return slot->ops == &cori_unix_ops || slot->ops == &cori_unixpacket_ops || slot->ops == &cori_unixgram_ops;
}

/* Begins a call on a socket that has messages; ended with cori_slot_leave. */
static int enter(cor_conn *conn, enum cori_access access, cori_slot **out)
{
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, out);
    return rc == 0 && !cori_is_datagram(*out) && !is_local(*out) ? cori_slot_refuse(*out, access) : rc;
}

/* Takes descriptors over: as many as there is room for; the others are closed. */
static void take_fds(cor_message *message, const struct cmsghdr *part)
{
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
        if (message->fd_count < message->fd_room) {
            message->fds[message->fd_count++] = fd;
        } else {
            message->fds_lost = true;
            cori_sys_close(fd);
        }
    }
}

static int int_of(const struct cmsghdr *part)
{
    int value = 0;
    size_t size = part->cmsg_len - CMSG_LEN(0);
    memcpy(&value, CMSG_DATA(part), size < sizeof(value) ? size : sizeof(value)); /* IP_TOS comes as one byte */
    return value;
}

static void take_local(cor_message *message, cor_ip local, unsigned interface)
{
    message->local = local;
    message->interface = interface;
    message->with |= COR_WITH_LOCAL;
}

static void take_ip_part(cor_message *message, const struct cmsghdr *part)
{
    bool v4 = part->cmsg_level == IPPROTO_IP;
    if (part->cmsg_type == (v4 ? IP_PKTINFO : IPV6_PKTINFO)) {
        struct in_pktinfo four;
        struct in6_pktinfo six;
        if (v4) {
            memcpy(&four, CMSG_DATA(part), sizeof(four));
            take_local(message, cor_ip_of(&four.ipi_addr, 4), (unsigned)four.ipi_ifindex);
        } else {
            memcpy(&six, CMSG_DATA(part), sizeof(six));
            take_local(message, cor_ip_of(&six.ipi6_addr, 16), six.ipi6_ifindex);
        }
    } else if (part->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT)) {
        message->hops = int_of(part);
        message->with |= COR_WITH_HOPS;
    } else if (part->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS)) {
        message->tos = int_of(part);
        message->with |= COR_WITH_TOS;
    }
}

static void take_part(cor_message *message, const struct cmsghdr *part)
{
    if (part->cmsg_level == IPPROTO_IP || part->cmsg_level == IPPROTO_IPV6) {
        take_ip_part(message, part);
    } else if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
        take_fds(message, part);
    } else if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec time;
        memcpy(&time, CMSG_DATA(part), sizeof(time));
        message->time_ns = (int64_t)time.tv_sec * COR_SECOND + time.tv_nsec;
        message->with |= COR_WITH_TIME;
    }
}

/* Makes what the kernel gave the caller's. */
static void take_all(cor_message *message, struct msghdr *header)
{
    const cori_sockaddr *name = header->msg_name;
    message->cut = (header->msg_flags & MSG_TRUNC) != 0;
    message->addr = cori_addr_of(name);
    message->path[0] = '\0';
    if (name->any.sa_family == AF_UNIX && header->msg_namelen > offsetof(struct sockaddr_un, sun_path)) {
        cori_unix_text(name, header->msg_namelen, message->path, sizeof(message->path));
    }
    message->with = 0;
    message->fd_count = 0;
    message->fds_lost = (header->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
        take_part(message, part);
    }
}

/* With all that follows a success: a task that has read may be abandoned in its next step, at the end of cor_run. */
static ssize_t try_read(cori_slot *slot, void *arg)
{
    cor_message *message = arg;
    control_data control;
    cori_sockaddr name = {.any.sa_family = AF_UNSPEC};
    char dropped;
    bool padded = message->room_bytes == 0 && !slot->ops->fd->endless;
    struct iovec part = {.iov_base = padded ? &dropped : message->data, .iov_len = padded ? 1 : message->room_bytes};
    struct msghdr header = {
        .msg_name = &name,
        .msg_namelen = sizeof(name),
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t count = cori_sys_recvmsg(slot->pollfd.fd, &header);
    if (count >= 0) {
        take_all(message, &header);
        message->size_bytes = padded ? 0 : (size_t)count;
    }
    return count;
}

ssize_t cor_read_message(cor_conn *conn, cor_message *message)
{
    cori_slot *slot;
    ssize_t count;
    int rc = enter(conn, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    do {
        rc = slot->ops->wait_readable(slot, NULL);
        count = rc < 0 ? rc : cori_fd_take(slot, try_read, message, 0);
    } while (count == -EAGAIN);
    cori_slot_leave(slot, CORI_LOCK_READ);
    return count < 0 ? count : (ssize_t)message->size_bytes;
}

/* A write under way. */
typedef struct writing {
    const cor_message *message;
    cori_sockaddr name;
    socklen_t name_len; /* 0: to the peer */
    control_data control;
    size_t control_len;
} writing;

/* Adds a part to the control data, in which there is room for all. */
static void add_part(writing *of, int level, int type, const void *data, size_t size)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    unsigned char *at = of->control.bytes + of->control_len;
    memcpy(at, &header, sizeof(header));
    memcpy(at + CMSG_LEN(0), data, size);
    of->control_len += CMSG_SPACE(size);
}

/* The control data of a datagram that goes to an address of this family. */
static int add_ip_parts(writing *of, int family)
{
    const cor_message *message = of->message;
    bool v4 = family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    if ((message->with & COR_WITH_LOCAL) != 0) {
        struct in_pktinfo four = {.ipi_ifindex = (int)message->interface};
        struct in6_pktinfo six = {.ipi6_ifindex = message->interface};
        if (message->local.family != AF_UNSPEC && message->local.family != family) {
            return -EINVAL;
        }
        memcpy(&four.ipi_spec_dst, message->local.bytes, sizeof(four.ipi_spec_dst));
        memcpy(&six.ipi6_addr, message->local.bytes, sizeof(six.ipi6_addr));
        add_part(of, level, v4 ? IP_PKTINFO : IPV6_PKTINFO, v4 ? (void *)&four : &six, v4 ? sizeof(four) : sizeof(six));
    }
    if ((message->with & COR_WITH_HOPS) != 0) {
        add_part(of, level, v4 ? IP_TTL : IPV6_HOPLIMIT, &message->hops, sizeof(int));
    }
    if ((message->with & COR_WITH_TOS) != 0) {
        add_part(of, level, v4 ? IP_TOS : IPV6_TCLASS, &message->tos, sizeof(int));
    }
    return 0;
}

static int prepare_ip(const cori_slot *slot, writing *of)
{
    const cor_message *message = of->message;
    int rc = cori_datagram_name(slot, &message->addr, &of->name, &of->name_len);
    if (rc < 0 || message->fd_count > 0) {
        return rc < 0 ? rc : -EOPNOTSUPP;
    }
    int family = of->name_len > 0 ? message->addr.ip.family : slot->is.peer.ip.family;
    return add_ip_parts(of, family != AF_UNSPEC ? family : slot->family);
}

static int prepare_local(const cori_slot *slot, writing *of)
{
    const cor_message *message = of->message;
    bool named = message->path[0] != '\0';
    bool unconnected = slot->ops == &cori_unixgram_ops && !cori_datagram_connected(slot);
    if ((message->with & ~(unsigned)COR_WITH_TIME) != 0) {
        return -EOPNOTSUPP;
    }
    if (message->fd_count > COR_FDS_MAX) {
        return -EINVAL;
    }
    if (message->fd_count > 0) {
        add_part(of, SOL_SOCKET, SCM_RIGHTS, message->fds, message->fd_count * sizeof(int));
    }
    if (named != unconnected) {
        return named ? COR_EWRITE_TO_CONNECTED : COR_EMISSING_ADDRESS;
    }
    return named ? cori_unix_sockaddr(message->path, &of->name, &of->name_len) : 0;
}

static ssize_t try_write(cori_slot *slot, void *arg)
{
    writing *of = arg;
    struct iovec part = {.iov_base = of->message->data, .iov_len = of->message->size_bytes};
    bool padded = part.iov_len == 0 && of->message->fd_count > 0 && !slot->ops->fd->endless;
    if (padded) {
        part = (struct iovec){.iov_base = "", .iov_len = 1};
    }
    struct msghdr header = {
        .msg_name = of->name_len > 0 ? &of->name.any : NULL,
        .msg_namelen = of->name_len,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = of->control_len > 0 ? of->control.bytes : NULL,
        .msg_controllen = of->control_len,
    };
    ssize_t count = cori_sys_sendmsg(slot->pollfd.fd, &header);
    return padded && count > 0 ? 0 : count;
}

/* Sends to a name: see the head of this file. */
static ssize_t put_patiently(cori_slot *slot, writing *of)
{
    for (int64_t pause_ns = CORI_UNIXGRAM_PAUSE_MIN_NS;; pause_ns *= 2) {
        (void)cori_swap(&slot->pollfd.wait[CORI_WRITE], CORI_IDLE);
        int rc = cori_fd_check(slot, CORI_WRITE);
        ssize_t count = rc < 0 ? rc : try_write(slot, of);
        if (count != -EAGAIN) {
            cori_charge_bytes(cori_here_task(), count > 0 ? (size_t)count : 0);
            return count;
        }
        pause_ns = pause_ns < CORI_UNIXGRAM_PAUSE_MAX_NS ? pause_ns : CORI_UNIXGRAM_PAUSE_MAX_NS;
        const cori_limit pause = {.until = cor_after(pause_ns)};
        cori_fd_wait_any(&slot, 1, CORI_WRITE, &pause, "IO wait (write)");
    }
}

/* Writes the message whole: a stream may take it in parts, and the descriptors go with the first. */
static ssize_t put(cori_slot *slot, writing *of)
{
    const cor_message *message = of->message;
    if (of->name_len > 0 && is_local(slot)) {
        return put_patiently(slot, of);
    }
    ssize_t count = cori_fd_put(slot, try_write, of);
    if (count >= 0 && (size_t)count < message->size_bytes) {
        size_t more;
        const char *rest = (const char *)message->data + count;
        int rc = slot->ops->write(slot, rest, message->size_bytes - (size_t)count, &more);
        count = rc < 0 ? rc : (ssize_t)message->size_bytes;
    }
    return count;
}

ssize_t cor_write_message(cor_conn *conn, const cor_message *message)
{
    writing of = {.message = message};
    cori_slot *slot;
    int rc = enter(conn, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = is_local(slot) ? prepare_local(slot, &of) : prepare_ip(slot, &of);
    ssize_t count = rc < 0 ? cori_in_vain(rc) : put(slot, &of);
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return count;
}

void cor_message_error(cor_conn *conn, const char *op, const cor_message *message, int code, cor_error *error)
{
    bool reads = strcmp(op, "read") == 0;
    cor_conn_error(conn, op, code, error);
    if (!reads && message->path[0] != '\0') {
        (void)snprintf(error->address, sizeof(error->address), "%s", message->path);
    } else if (!reads && (message->addr.ip.family != AF_UNSPEC || message->addr.port != 0)) {
        cori_error_to(error, message->addr);
    }
    if (error->where[0] != '\0') {
        (void)snprintf(error->where, sizeof(error->where), "%s", reads ? "recvmsg" : "sendmsg");
    }
}

/* Switches an option on or off for the family of the socket; IPv4 comes to sockets of IPv6 too. */
static int set_ip_option(const cori_slot *slot, int v4_option, int v6_option, bool on)
{
    int rc = cori_sys_setsockopt(slot->pollfd.fd, IPPROTO_IP, v4_option, on);
    return slot->family == AF_INET ? rc : cori_sys_setsockopt(slot->pollfd.fd, IPPROTO_IPV6, v6_option, on);
}

static int set_control(const cori_slot *slot, unsigned with)
{
    int rc = 0;
    if (!is_local(slot)) {
        rc = set_ip_option(slot, IP_PKTINFO, IPV6_RECVPKTINFO, (with & COR_WITH_LOCAL) != 0);
        rc = rc < 0 ? rc : set_ip_option(slot, IP_RECVTTL, IPV6_RECVHOPLIMIT, (with & COR_WITH_HOPS) != 0);
        rc = rc < 0 ? rc : set_ip_option(slot, IP_RECVTOS, IPV6_RECVTCLASS, (with & COR_WITH_TOS) != 0);
    } else if ((with & ~(unsigned)COR_WITH_TIME) != 0) {
        return -EOPNOTSUPP;
    }
    bool timed = (with & COR_WITH_TIME) != 0;
    return rc < 0 ? rc : cori_sys_setsockopt(slot->pollfd.fd, SOL_SOCKET, SO_TIMESTAMPNS, timed);
}

int cor_set_control(cor_conn *conn, unsigned with)
{
    cori_slot *slot;
    int rc = enter(conn, CORI_SHARED, &slot);
    if (rc == 0) {
        rc = set_control(slot, with);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_peer_credentials(cor_conn *conn, cor_credentials *out)
{
    cori_slot *slot;
    int rc = enter(conn, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    bool streams = slot->ops == &cori_unix_ops || slot->ops == &cori_unixpacket_ops;
    cori_peer peer;
    rc = streams ? cori_sys_peer(slot->pollfd.fd, &peer) : -EOPNOTSUPP;
    cori_slot_leave(slot, CORI_SHARED);
    if (rc == 0) {
        *out = (cor_credentials){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
    }
    return rc;
}
