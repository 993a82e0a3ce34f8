/* SPDX-License-Identifier: MIT */
/*
 * Datagrams, for the networks udp udp4 udp6, unixgram, and bare IP: ip ip4 ip6 with a protocol after a colon,
 * "ip4:icmp" or "ip6:58", which needs CAP_NET_RAW and has no ports. (There cor_read and cor_read_message leave the
 * header of IPv4 on; the calls below take it off.) A packet socket is a cor_conn: cor_close, deadlines, addresses and
 * cancelling are those of net.h. It comes from cor_listen_packet, bound and without a peer, or from cor_dial with a
 * peer; then cor_read and cor_write are for it too, a datagram each. What else comes with a datagram, and the names of
 * unixgram's senders, are in message.h.
 *
 * Datagrams have boundaries. A read takes one whole; what does not fit is lost (cor_packet.cut tells). 0 bytes are an
 * empty datagram and not an end: these sockets have none, and no half-close. cor_writev sends its parts as one
 * datagram. Readers and cor_copy take the datagrams' bytes as a stream without an end; they skip empty ones, and one
 * that is too long for their buffer (16 KiB for a copy) is lost and gives -EMSGSIZE. On a socket that cor_dial has
 * connected, if the kernel learns that nobody listens there, the next read or write returns -ECONNREFUSED, once.
 *
 * Addresses are values (addr.h); only the calls that listen take texts. SO_BROADCAST is on, as in Go.
 *
 * Unless a call says otherwise: Threads: tasks only; any number at once, readers take turns and so do writers.
 */
#ifndef CORACLE_PACKET_H
#define CORACLE_PACKET_H

#include <coracle/net.h>

COR_BEGIN

/* One datagram of several. */
typedef struct cor_packet {
    void *data;        /* its bytes, in memory of the caller's */
    size_t room_bytes; /* reads: how many there is room for */
    size_t size_bytes; /* how many there are; set by reads */
    cor_addr addr;     /* the sender, set by reads; writes: to whom, none on a connected socket */
    bool cut;          /* set by reads: it was longer, the rest is lost */
} cor_packet;

/*
 * Makes a socket for datagrams to and from anybody, bound to `address` ("host:port", ":port"; port 0 picks one, which
 * cor_local_endpoint tells; bare IP: "host"; unixgram: a path or "@abstract", "" for one that the kernel chooses).
 * "udp" with a wildcard takes both families. The file of a unixgram socket stays after cor_close, and the next one to
 * bind there replaces it.
 * Returns: 0 and *out; or a negative code, with *error filled if error is not NULL: COR_EUNKNOWN_NETWORK,
 * COR_EUNKNOWN_PROTOCOL, COR_EUNEXPECTED_TYPE (a network of streams), the address errors of coracle/error.h,
 * COR_ENO_SUCH_HOST, -EADDRINUSE, -EACCES, -EPERM, -EMFILE and other errnos; COR_ENOT_TASK.
 * Parks: for a name or a path, as cor_listen. Owns: returns owned; end with cor_close. Go: net.ListenPacket,
 * net.ListenUDP.
 */
COR_API COR_CHECK int cor_listen_packet(cor_conn **out, const char *network, const char *address, cor_error *error);

/*
 * The same as `options` say: `reuse_port` for udp, where the kernel shares senders out, and `control`, called before
 * the socket is bound. A backlog and keep-alive mean nothing here.
 * Returns: as cor_listen_packet; -EINVAL (size, or a negative backlog), -EOPNOTSUPP (reuse_port of others than udp);
 * what `control` returned.
 * Parks, Owns: as cor_listen_packet. Go: (*net.ListenConfig).ListenPacket.
 */
COR_API COR_CHECK int cor_listen_packet_with(cor_conn **out, const cor_listen_options *options, const char *network,
                                             const char *address, cor_error *error);

/*
 * Takes the next datagram: its first `size_bytes` bytes, and who has sent it. With size 0 it takes one as well.
 * Returns: the count, 0 for an empty datagram, and *from; COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, -ECONNREFUSED
 * (connected), -EOPNOTSUPP if it is no packet socket, other errnos. Parks: until the read deadline.
 * Owns: borrows all until return. Go: (*net.UDPConn).ReadFromUDPAddrPort.
 */
COR_API COR_CHECK ssize_t cor_read_from(cor_conn *conn, void *buf, size_t size_bytes, cor_addr *from);

/*
 * Sends one datagram to `to`. An IPv4 address is right for sockets of both families; without an IP but with a port it
 * goes to this host.
 * Returns: `size_bytes`; COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, COR_EMISSING_ADDRESS (`to` is none),
 * COR_EWRITE_TO_CONNECTED, COR_ENOT_IPV4 (an IPv6 address on an IPv4 socket), -EMSGSIZE (more than 65,507 bytes),
 * -EOPNOTSUPP if it is no packet socket, other errnos. Parks: until the write deadline, while the kernel has no room.
 * Owns: borrows `buf` until return. Go: (*net.UDPConn).WriteToUDPAddrPort.
 */
COR_API COR_CHECK ssize_t cor_write_to(cor_conn *conn, const void *buf, size_t size_bytes, cor_addr to);

/*
 * Takes the datagrams that are there with one system call: at least one, at most `count`, and no more than 4, or 32
 * while that many keep coming. Set `data` and `room_bytes` of each before.
 * Returns: how many; -EINVAL if count is not positive; the errors of cor_read_from. Parks: until the read deadline.
 * Owns: borrows all until return. Go: (*net.UDPConn).ReadMsgUDPAddrPort; ReadBatch of golang.org/x/net/ipv4.
 */
COR_API COR_CHECK int cor_read_packets(cor_conn *conn, cor_packet *packets, int count);

/*
 * Sends datagrams, 32 per system call; runs of one size to one address cost less. On a connected socket they must have
 * no address.
 * Returns: how many were sent, fewer than `count` if the next one failed (it begins the next call, which tells why);
 * -EINVAL if count is not positive; the errors of cor_write_to. Parks: until the write deadline.
 * Owns: borrows all until return. Go: (*net.UDPConn).WriteMsgUDPAddrPort; WriteBatch of golang.org/x/net/ipv4.
 */
COR_API COR_CHECK int cor_write_packets(cor_conn *conn, const cor_packet *packets, int count);

/*
 * As cor_conn_error, for the calls above: `addr` is to whom it was sent, or all zero. It prints as in Go:
 * "write udp 127.0.0.1:40150->127.0.0.1:44655: sendto: message too long".
 * Parks: never. Owns: borrows all until return. Go: net.OpError of these calls.
 */
COR_API void cor_packet_error(cor_conn *conn, const char *op, cor_addr addr, int code, cor_error *error);

COR_END

#endif
