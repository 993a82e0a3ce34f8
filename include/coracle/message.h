/* SPDX-License-Identifier: MIT */
/*
 * Messages: reads and writes that carry more than bytes. On udp and ip: the address and interface that a datagram came
 * to, its hop limit and type of service, and when it came. On unix, unixpacket and unixgram: open descriptors; on
 * unixgram also the names of sender and receiver, which are paths or "@abstract" and not cor_addrs.
 *
 * A message is one datagram, one record of unixpacket, or what a read of a unix stream gives. Fields that a call does
 * not set keep what they had.
 *
 * Unless a call says otherwise: Threads: tasks only; any number at once, readers take turns and so do writers.
 */
#ifndef CORACLE_MESSAGE_H
#define CORACLE_MESSAGE_H

#include <coracle/net.h>
#include <sys/types.h>

COR_BEGIN

/* What may come with a datagram: bits. Go: ipv4.ControlFlags of golang.org/x/net. */
enum cor_with {
    COR_WITH_LOCAL = 1 << 0, /* `local` and `interface` */
    COR_WITH_HOPS = 1 << 1,  /* `hops` */
    COR_WITH_TOS = 1 << 2,   /* `tos` */
    COR_WITH_TIME = 1 << 3,  /* `time_ns`; writes do not look at it */
};

/* The most descriptors that the kernel passes with one message. */
#define COR_FDS_MAX 253

typedef struct cor_message {
    void *data;               /* its bytes, in memory of the caller's */
    size_t room_bytes;        /* reads: how many there is room for */
    size_t size_bytes;        /* how many there are; set by reads */
    bool cut;                 /* set by reads: it was longer, the rest is lost */
    cor_addr addr;            /* udp, ip: the sender, set by reads; writes: to whom, none on a connected socket */
    char path[COR_ADDR_TEXT]; /* unixgram: the same as a name; "": none */
    unsigned with;            /* which of the next five count: bits of enum cor_with; set by reads */
    cor_ip local;             /* reads: to which address it was sent; writes: from which of this host's, none: any */
    unsigned interface;       /* its index; writes: 0 for any */
    int hops;                 /* TTL, hop limit */
    int tos;                  /* type of service, traffic class */
    int64_t time_ns;          /* when the kernel received it, since 1970 */
    int *fds;                 /* unix kinds: descriptors; reads: room for them, which the caller then owns */
    size_t fd_room;           /* reads: how many there is room for */
    size_t fd_count;          /* how many there are, COR_FDS_MAX at most; set by reads */
    bool fds_lost;            /* set by reads: there were more, for which there was no room; they are closed */
} cor_message;

/*
 * Takes the next message with all that came with it. What does not fit `data` is lost and `cut` is set; on a unix
 * stream it is left for the next read. Descriptors are close-on-exec; those without room are closed. On streams and
 * records 0 bytes are the end; without room for bytes one is taken and dropped, because descriptors come with a byte.
 * Returns: the count (also in size_bytes); COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, -ECONNREFUSED (connected),
 * -EOPNOTSUPP (tcp, pipes, other descriptors), other errnos. Parks: until the read deadline.
 * Owns: borrows all until return; returns owned (descriptors). Go: (*net.UnixConn).ReadMsgUnix,
 * (*net.UDPConn).ReadMsgUDP.
 */
COR_API COR_CHECK ssize_t cor_read_message(cor_conn *conn, cor_message *message);

/*
 * Sends a message: `size_bytes` of `data` with the descriptors and what `with` names. The descriptors stay open here,
 * and the kernel closes its copies if nobody takes them. On streams and records descriptors travel with a byte: if
 * there is no data, a zero byte is sent. A unixgram socket with a peer has no `path` to send to.
 * Returns: `size_bytes`; the errors of cor_write_to, COR_EMISSING_ADDRESS and COR_EWRITE_TO_CONNECTED also for paths;
 * -EINVAL (too many descriptors, a `local` or `hops` that cannot be), -EBADF, -EOPNOTSUPP (`with` or descriptors on
 * sockets that have no such thing), -ENOENT, -ECONNREFUSED (nobody at `path`), other errnos.
 * Parks: until the write deadline, while the kernel or the receiver has no room. Owns: borrows all until return.
 * Go: (*net.UnixConn).WriteMsgUnix, (*net.UDPConn).WriteMsgUDP.
 */
COR_API COR_CHECK ssize_t cor_write_message(cor_conn *conn, const cor_message *message);

/*
 * As cor_packet_error, for the two calls above: the message says with whom.
 * Parks: never. Owns: borrows all until return. Go: net.OpError of these calls.
 */
COR_API void cor_message_error(cor_conn *conn, const char *op, const cor_message *message, int code, cor_error *error);

/*
 * Makes messages read from now on come with exactly what the bits of enum cor_with name; 0: with nothing.
 * Returns: 0, COR_ECLOSED, -EOPNOTSUPP (tcp, pipes; other bits than COR_WITH_TIME on unix kinds), other errnos.
 * Parks: never. Go: (*ipv4.PacketConn).SetControlMessage of golang.org/x/net.
 */
COR_API int cor_set_control(cor_conn *conn, unsigned with);

/* Which process was at the other end when it connected, listened or made the pair. Go: syscall.Ucred. */
typedef struct cor_credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
} cor_credentials;

/*
 * Asks the kernel for the peer's credentials.
 * Returns: 0 and *out; COR_ECLOSED, -EOPNOTSUPP if it is no connection of unix or unixpacket, other errnos.
 * Parks: never. Owns: borrows until return. Go: syscall.GetsockoptUcred by (*net.UnixConn).SyscallConn.
 */
COR_API COR_CHECK int cor_peer_credentials(cor_conn *conn, cor_credentials *out);

COR_END

#endif
