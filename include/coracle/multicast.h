/* SPDX-License-Identifier: MIT */
/*
 * Multicast on udp sockets. A socket receives what is sent to its port and to a group that it has joined on some
 * interface; the kernel also gives it what comes for groups that other sockets of this host have joined (as in Go).
 * Interfaces are named by their index (if_nametoindex(3)); 0 is the kernel's choice. Broadcast needs no setting: any
 * udp socket may send to such an address.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_MULTICAST_H
#define CORACLE_MULTICAST_H

#include <coracle/net.h>

COR_BEGIN

/*
 * Makes a packet socket (packet.h) bound to the port of `group` ("224.0.0.251:5353") on the wildcard address, which
 * several sockets of this host may do at once, and joins the group. What it sends itself to groups does not come back;
 * with an `interface` it is sent from there.
 * Returns: 0 and *out; or a negative code, with *error filled if error is not NULL: COR_EUNKNOWN_NETWORK (other than
 * udp udp4 udp6), COR_EMISSING_ADDRESS, -EINVAL (no multicast address), -ENODEV, the errors of cor_listen_packet.
 * Parks: for a name, as cor_listen. Owns: returns owned; end with cor_close. Go: net.ListenMulticastUDP.
 */
COR_API COR_CHECK int cor_listen_multicast(cor_conn **out, const char *network, unsigned interface, const char *group,
                                           cor_error *error);

/*
 * Joins a group on an interface. A socket may join many.
 * Returns: 0, COR_ECLOSED, -EINVAL (no multicast address), -EADDRINUSE (joined already), -ENODEV, -EOPNOTSUPP if it is
 * no udp socket, other errnos. Go: (*ipv4.PacketConn).JoinGroup of golang.org/x/net.
 */
COR_API COR_CHECK int cor_join_group(cor_conn *conn, cor_ip group, unsigned interface);

/*
 * Leaves a group that was joined on this interface.
 * Returns: as cor_join_group; -EADDRNOTAVAIL if it was not. Go: (*ipv4.PacketConn).LeaveGroup of golang.org/x/net.
 */
COR_API COR_CHECK int cor_leave_group(cor_conn *conn, cor_ip group, unsigned interface);

/*
 * Sets from which interface datagrams to groups are sent.
 * Returns: 0, COR_ECLOSED, -EADDRNOTAVAIL or -ENODEV (no such interface), -EOPNOTSUPP if it is no udp socket.
 * Go: (*ipv4.PacketConn).SetMulticastInterface of golang.org/x/net.
 */
COR_API COR_CHECK int cor_set_multicast_interface(cor_conn *conn, unsigned interface);

/*
 * Sets whether what this socket sends to groups also comes to sockets of this host, as it does by default.
 * Returns: 0, COR_ECLOSED, -EOPNOTSUPP if it is no udp socket.
 * Go: (*ipv4.PacketConn).SetMulticastLoopback of golang.org/x/net.
 */
COR_API COR_CHECK int cor_set_multicast_loop(cor_conn *conn, bool on);

COR_END

#endif
