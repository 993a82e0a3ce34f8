/* SPDX-License-Identifier: MIT */
/*
 * Datagrams: the public calls. A packet socket is a slot of the kind of conn_udp.c, and each call is one turn of the
 * loops of fd.c around a system call that also carries addresses. Addresses are values all the way: nothing is
 * allocated and no text is made or read.
 *
 * Readers take turns by the slot's read lock, writers by its write lock, as on streams. For a datagram the kernel would
 * not need that, but only a reader that holds the lock may be in the wait word; and Go does the same.
 *
 * Several datagrams go with one system call, CORI_PACKETS_MAX at most, because the kernel's form of a message is big
 * (a header, a vector, an address: 108 bytes) and lies on the task's stack. When the call has found fewer than it had
 * room for, the socket was empty, and the next read waits without asking once more (a single read has to ask). An
 * error that the kernel meets after the first datagram it keeps for the next call, and has made its event before.
 *
 * Datagrams of one size that follow each other to one address leave as a train: one message of many parts, which the
 * kernel takes through its layers once and cuts at the end (UDP_SEGMENT). The receiver sees no difference. The last one
 * of a train may be shorter. What the kernel does not take as a train, because a datagram is larger than the path or
 * the socket has no checksums, it takes one by one, and then says of each what is wrong with it. (Reads take no trains:
 * ADR 0019.)
 *
 * Most sockets have one datagram at a time, and to prepare room for 32 on a stack that has gone cold costs a quarter of
 * what the kernel needs to deliver one. A read therefore asks for CORI_PACKETS_FEW until that has not been enough, and
 * for all that the caller has room for as long as so many come.
 */
#include "base/sys.h"
#include "base/sys_other.h"
#include "net/conn.h"
#include "net/listen.h"

#include <coracle/packet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

enum { CORI_PACKETS_MAX = 32, CORI_PACKETS_FEW = 4, TRAIN_BYTES_MAX = 65507 };

/* One datagram under way. */
typedef struct transfer {
    void *into;
    const void *from;
    size_t size;
    cor_addr addr;
} transfer;

/* A batch under way. */
typedef struct batch {
    cor_packet *packets;
    int count; /* 1 to CORI_PACKETS_MAX */
} batch;

/* The size of a train's datagrams as the kernel has it. */
typedef union segment {
    size_t aligned; /* as struct cmsghdr is, which may not lie within another */
    unsigned char bytes[CMSG_SPACE(sizeof(uint16_t))];
} segment;

/* The kernel's form of a batch, in memory of the caller's. */
typedef struct messages {
    struct mmsghdr *headers;
    struct iovec *parts;
    cori_sockaddr *names;
    segment *segments; /* for writes */
} messages;

/* The memory for so many, on the stack of a function that needs no more, and `kernel` around it. */
#define CORI_MESSAGES(kernel, count)                                                                                   \
    struct mmsghdr headers_[count];                                                                                    \
    struct iovec parts_[count];                                                                                        \
    cori_sockaddr names_[count];                                                                                       \
    segment segments_[count];                                                                                          \
    const messages kernel = {headers_, parts_, names_, segments_}

/* Begins a call on a packet socket; ended with cori_slot_leave. */
static int enter(cor_conn *conn, enum cori_access access, cori_slot **out)
{
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, out);
    return rc == 0 && !cori_is_datagram(*out) ? cori_slot_refuse(*out, access) : rc;
}

/* Waits for something to read and takes it; with the read lock. */
static ssize_t take(cori_slot *slot, cori_fd_try *try_it, void *arg, size_t asked)
{
    ssize_t count;
    do {
        int rc = slot->ops->wait_readable(slot, NULL);
        count = rc < 0 ? rc : cori_fd_take(slot, try_it, arg, asked);
    } while (count == -EAGAIN);
    return count;
}

/*
 * Takes off the header that the kernel leaves on packets of bare IPv4, as far as it is one: the bytes that remain.
 * Go's rule; cor_read and cor_read_message leave it on.
 */
static inline size_t without_header(const cori_slot *slot, void *data, size_t size)
{
    enum { LEAST = 20, LENGTH_BITS = 0x0f, VERSION_SHIFT = 4 };
    unsigned char *bytes = data;
    if (cori_likely(slot->ops != &cori_raw_ops) || slot->family != AF_INET || size < LEAST) {
        return size;
    }
    size_t header = 4 * (size_t)(bytes[0] & LENGTH_BITS);
    if (bytes[0] >> VERSION_SHIFT != 4 || header < LEAST || header > size) {
        return size;
    }
    memmove(bytes, bytes + header, size - header);
    return size - header;
}

static ssize_t try_read_from(cori_slot *slot, void *arg)
{
    transfer *one = arg;
    cori_sockaddr name;
    socklen_t len = sizeof(name);
    name.any.sa_family = AF_UNSPEC; /* of a unix socket without a name none comes */
    ssize_t count = cori_sys_recvfrom(slot->pollfd.fd, one->into, one->size, &name.any, &len);
    if (count >= 0) {
        one->addr = cori_addr_of(&name);
        count = (ssize_t)without_header(slot, one->into, (size_t)count < one->size ? (size_t)count : one->size);
    }
    return count;
}

ssize_t cor_read_from(cor_conn *conn, void *buf, size_t size_bytes, cor_addr *from)
{
    cori_slot *slot;
    transfer one = {.into = buf, .size = size_bytes};
    int rc = enter(conn, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = take(slot, try_read_from, &one, 0);
    cori_slot_leave(slot, CORI_LOCK_READ);
    if (count >= 0) {
        *from = one.addr;
    }
    return count;
}

static ssize_t try_write_to(cori_slot *slot, void *arg)
{
    const transfer *one = arg;
    cori_sockaddr name;
    socklen_t len;
    int rc = cori_datagram_name(slot, &one->addr, &name, &len);
    return rc < 0 ? rc : cori_sys_sendto(slot->pollfd.fd, one->from, one->size, len > 0 ? &name.any : NULL, len);
}

ssize_t cor_write_to(cor_conn *conn, const void *buf, size_t size_bytes, cor_addr to)
{
    cori_slot *slot;
    transfer one = {.from = buf, .size = size_bytes, .addr = to};
    int rc = enter(conn, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        return rc;
    }
    bool refused = cori_datagram_connected(slot);
    ssize_t count = refused ? cori_in_vain(COR_EWRITE_TO_CONNECTED) : cori_fd_put(slot, try_write_to, &one);
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return count;
}

/* Prepares message `i` with one part, the `part`-th, and an address of `name_len` bytes. */
static inline void put_message(const messages *kernel, int i, int part, socklen_t name_len)
{
    kernel->headers[i].msg_hdr = (struct msghdr){
        .msg_name = name_len > 0 ? &kernel->names[i].any : NULL,
        .msg_namelen = name_len,
        .msg_iov = &kernel->parts[part],
        .msg_iovlen = 1,
    };
}

/* A batch may be as much work as that many calls. */
static ssize_t charged(int count)
{
    *cori_here_budget() -= count > 1 ? count - 1 : 0;
    return count;
}

static inline ssize_t read_batch(cori_slot *slot, const batch *asked, const messages *kernel)
{
    for (int i = 0; i < asked->count; i++) {
        const cor_packet *packet = &asked->packets[i];
        kernel->names[i].any.sa_family = AF_UNSPEC;
        kernel->parts[i] = (struct iovec){.iov_base = packet->data, .iov_len = packet->room_bytes};
        put_message(kernel, i, i, sizeof(kernel->names[i]));
    }
    int count = cori_sys_recvmmsg(slot->pollfd.fd, kernel->headers, (unsigned)asked->count);
    for (int i = 0; i < count; i++) {
        cor_packet *packet = &asked->packets[i];
        packet->size_bytes = without_header(slot, packet->data, kernel->headers[i].msg_len);
        packet->cut = (kernel->headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        packet->addr = cori_addr_of(&kernel->names[i]);
    }
    return charged(count);
}

static ssize_t try_read_few(cori_slot *slot, void *arg)
{
    CORI_MESSAGES(kernel, CORI_PACKETS_FEW);
    return read_batch(slot, arg, &kernel);
}

static ssize_t try_read_many(cori_slot *slot, void *arg)
{
    CORI_MESSAGES(kernel, CORI_PACKETS_MAX);
    return read_batch(slot, arg, &kernel);
}

/* Takes what is there, with the read lock. */
static ssize_t take_batch(cori_slot *slot, cor_packet *packets, int count)
{
    int most = slot->many ? CORI_PACKETS_MAX : CORI_PACKETS_FEW;
    batch asked = {.packets = packets, .count = count < most ? count : most};
    bool few = asked.count <= CORI_PACKETS_FEW;
    ssize_t taken = take(slot, few ? try_read_few : try_read_many, &asked, (size_t)asked.count);
    slot->many = taken == asked.count;
    return taken;
}

int cor_read_packets(cor_conn *conn, cor_packet *packets, int count)
{
    cori_slot *slot;
    if (count <= 0) {
        return -EINVAL;
    }
    int rc = enter(conn, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = (int)take_batch(slot, packets, count);
    cori_slot_leave(slot, CORI_LOCK_READ);
    return rc;
}

/* Whether a packet goes with the `count` before it, which are one message. */
static inline bool joins(const cor_packet *packet, size_t count)
{
    const cor_packet *first = packet - count, *last = packet - 1;
    return packet->size_bytes <= first->size_bytes && packet->size_bytes > 0 && last->size_bytes == first->size_bytes &&
           (count + 1) * first->size_bytes <= TRAIN_BYTES_MAX && packet->addr.port == first->addr.port &&
           cor_addr_compare(packet->addr, first->addr) == 0;
}

/* Has the kernel cut message `i` into datagrams of this size. */
static void set_segment(const messages *kernel, int i, size_t size)
{
    uint16_t bytes = (uint16_t)size;
    segment *control = &kernel->segments[i];
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(sizeof(bytes)), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
    memset(control, 0, sizeof(*control));
    memcpy(control->bytes, &header, sizeof(header));
    memcpy(control->bytes + CMSG_LEN(0), &bytes, sizeof(bytes));
    kernel->headers[i].msg_hdr.msg_control = control->bytes;
    kernel->headers[i].msg_hdr.msg_controllen = sizeof(control->bytes);
}

/* Prepares messages for the packets, as far as their addresses are right. Returns how many, or the first's error. */
static inline int make_messages(const cori_slot *slot, const batch *given, const messages *kernel, bool trains)
{
    int made = 0;
    for (int i = 0; i < given->count; i++) {
        const cor_packet *packet = &given->packets[i];
        struct msghdr *before = &kernel->headers[made - (made > 0)].msg_hdr;
        kernel->parts[i] = (struct iovec){.iov_base = packet->data, .iov_len = packet->size_bytes};
        if (trains && made > 0 && joins(packet, before->msg_iovlen)) {
            if (before->msg_iovlen++ == 1) {
                set_segment(kernel, made - 1, packet[-1].size_bytes);
            }
            continue;
        }
        socklen_t len;
        int rc = cori_datagram_name(slot, &packet->addr, &kernel->names[made], &len);
        if (rc < 0) {
            return made > 0 ? made : rc;
        }
        put_message(kernel, made++, i, len);
    }
    return made;
}

/* Whether an error of a train may have been no error of its datagrams. */
static bool may_go_singly(int code)
{
    return code == -EINVAL || code == -EMSGSIZE || code == -EIO || code == -EOPNOTSUPP || code == -ENOBUFS;
}

static inline ssize_t write_batch(cori_slot *slot, const batch *given, const messages *kernel)
{
    bool trains = slot->ops == &cori_udp_ops && !cori_sys_is_other(slot->pollfd.fd);
    for (;; trains = false) {
        int made = make_messages(slot, given, kernel, trains);
        int sent = made < 0 ? made : cori_sys_sendmmsg(slot->pollfd.fd, kernel->headers, (unsigned)made);
        if (sent >= 0 || made < 0 || kernel->headers[0].msg_hdr.msg_iovlen == 1 || !may_go_singly(sent)) {
            int packets = sent < 0 ? sent : 0;
            for (int i = 0; i < sent; i++) {
                packets += (int)kernel->headers[i].msg_hdr.msg_iovlen;
            }
            return charged(packets);
        }
    }
}

static ssize_t try_write_few(cori_slot *slot, void *arg)
{
    CORI_MESSAGES(kernel, CORI_PACKETS_FEW);
    return write_batch(slot, arg, &kernel);
}

static ssize_t try_write_many(cori_slot *slot, void *arg)
{
    CORI_MESSAGES(kernel, CORI_PACKETS_MAX);
    return write_batch(slot, arg, &kernel);
}

int cor_write_packets(cor_conn *conn, const cor_packet *packets, int count)
{
    cori_slot *slot;
    int sent = 0;
    int rc = count > 0 ? enter(conn, CORI_LOCK_WRITE, &slot) : -EINVAL;
    if (rc < 0) {
        return rc;
    }
    while (sent < count && rc >= 0) {
        int left = count - sent;
        batch given = {.packets = (cor_packet *)(uintptr_t)(packets + sent),
                       .count = left < CORI_PACKETS_MAX ? left : CORI_PACKETS_MAX};
        rc = (int)cori_fd_put(slot, given.count <= CORI_PACKETS_FEW ? try_write_few : try_write_many, &given);
        sent += rc > 0 ? rc : 0;
    }
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return sent > 0 ? sent : rc;
}

int cor_listen_packet_with(cor_conn **out, const cor_listen_options *options, const char *network, const char *address,
                           cor_error *error)
{
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    const cori_network *found;
    cor_listen_options with;
    int protocol, rc = cori_self() == NULL ? COR_ENOT_TASK : cori_listen_options_of(options, &with);
    if (rc < 0) {
        return cori_error_fill(error, "listen", network, address, rc);
    }
    rc = cori_network_parse(network, &found, &protocol, error);
    if (rc < 0) {
        return cori_error_fill(error, "listen", network, "", rc);
    }
    rc = cori_packet_socket(found, protocol, address, &with, error);
    if (rc >= 0) {
        cori_sockaddr local = {0};
        socklen_t len = found->local ? 0 : sizeof(local);
        if (!found->local) { /* for its family */
            (void)cori_sys_getsockname(rc, &local.any, &len);
        }
        cori_slot *slot = cori_conn_slot(found, rc, &local, len);
        rc = slot != NULL ? 0 : -ENOMEM;
        if (slot != NULL) {
            slot->is.peer = found->local ? slot->is.peer : (cor_addr){0};
            *out = cori_slot_publish(slot);
        }
    }
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        return cori_in_vain(cori_error_fill(error, "listen", network, shown, rc));
    }
    return 0;
}

int cor_listen_packet(cor_conn **out, const char *network, const char *address, cor_error *error)
{
    const cor_listen_options plain = COR_LISTEN_INIT;
    return cor_listen_packet_with(out, &plain, network, address, error);
}

void cor_packet_error(cor_conn *conn, const char *op, cor_addr addr, int code, cor_error *error)
{
    cor_conn_error(conn, op, code, error);
    if (addr.ip.family != AF_UNSPEC || addr.port != 0) {
        cori_error_to(error, addr);
    }
    if (error->where[0] != '\0') {
        (void)snprintf(error->where, sizeof(error->where), "%s", strcmp(op, "read") == 0 ? "recvfrom" : "sendto");
    }
    if (code == COR_ENOT_IPV4) {
        char ip[COR_ADDR_TEXT];
        (void)snprintf(error->where, sizeof(error->where), "address %s", cor_ip_text(addr.ip, ip, sizeof(ip)));
    }
}
