/* SPDX-License-Identifier: MIT */
/*
 * The interfaces of this host, their addresses, and their multicast groups. Each call asks the kernel anew and caches
 * nothing: it sees interfaces that have come or gone, and an index may belong to another interface by then.
 *
 * Unless a call says otherwise: Threads: any thread, which stops while the kernel looks. Parks: never.
 */
#ifndef CORACLE_INTERFACE_H
#define CORACLE_INTERFACE_H

#include <coracle/addr.h>
#include <coracle/error.h>

COR_BEGIN

/* What an interface is and can do: bits, in the order in which they are printed. */
enum cor_interface_flag {
    COR_INTERFACE_UP = 1 << 0,
    COR_INTERFACE_BROADCAST = 1 << 1,
    COR_INTERFACE_LOOPBACK = 1 << 2,
    COR_INTERFACE_POINT_TO_POINT = 1 << 3,
    COR_INTERFACE_MULTICAST = 1 << 4,
    COR_INTERFACE_RUNNING = 1 << 5,
};

/* A network interface. Go: net.Interface. */
typedef struct cor_interface {
    int index; /* from 1 */
    int mtu;   /* the largest packet, bytes */
    unsigned flags;
    char name[16];
    cor_mac mac; /* of no bytes if it has none */
} cor_interface;

/*
 * Lists the interfaces.
 * Returns: how many there are, the first `max` of them in `out`; -EMFILE, -ENOMEM, other errnos.
 * Owns: borrows until return. Go: net.Interfaces.
 */
COR_API COR_CHECK int cor_interfaces(cor_interface *out, int max);

/*
 * Finds an interface by its number.
 * Returns: 0 and *out; or a negative code, with *error filled if error is not NULL: COR_EINVALID_INTERFACE_INDEX (not
 * positive), COR_ENO_SUCH_INTERFACE ("route ip+net: no such network interface"), the errors of cor_interfaces.
 * Owns: borrows all until return. Go: net.InterfaceByIndex.
 */
COR_API COR_CHECK int cor_interface_by_index(cor_interface *out, int index, cor_error *error);

/*
 * Finds an interface by its name.
 * Returns: as cor_interface_by_index; COR_EINVALID_INTERFACE_NAME for an empty name.
 * Owns: borrows all until return. Go: net.InterfaceByName.
 */
COR_API COR_CHECK int cor_interface_by_name(cor_interface *out, const char *name, cor_error *error);

/*
 * Lists the unicast addresses of an interface, or of all for index 0, each with its network: "192.0.2.7/24". On
 * point-to-point interfaces it is the address of this end.
 * Returns: how many there are, the first `max` of them in `out`: 0 if there is no such interface; -EMFILE, -ENOMEM,
 * other errnos. Owns: borrows until return. Go: (*net.Interface).Addrs, net.InterfaceAddrs.
 */
COR_API COR_CHECK int cor_interface_addrs(int index, cor_prefix *out, int max);

/*
 * Lists the multicast groups that an interface is in, or all are in for index 0: those of /proc/net.
 * Returns: how many there are, the first `max` of them in `out`; -EMFILE, -ENOMEM, other errnos.
 * Owns: borrows until return. Go: (*net.Interface).MulticastAddrs.
 */
COR_API COR_CHECK int cor_interface_groups(int index, cor_ip *out, int max);

/*
 * Writes flags as Go does: "up|loopback|running"; "0" if there are none.
 * Returns: `text`, cut at `size`. Owns: borrows until return. Go: (net.Flags).String.
 */
COR_API char *cor_interface_flags_text(unsigned flags, char *text, size_t size);

COR_END

#endif
