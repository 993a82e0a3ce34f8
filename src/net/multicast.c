/* SPDX-License-Identifier: MIT */
/*
 * Multicast groups of UDP sockets. A socket of both families has the options of both; a group is joined by the calls of
 * its own family, whatever the socket's.
 */
#include "base/sys.h"
#include "net/conn.h"

#include <coracle/multicast.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Begins a call on a UDP socket; ended with cori_slot_leave. */
static int enter(cor_conn *conn, cori_slot **out)
{
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, out);
    return rc == 0 && (*out)->ops != &cori_udp_ops ? cori_slot_refuse(*out, CORI_SHARED) : rc;
}

static int change(int fd, cor_ip group, unsigned interface, bool joins)
{
    struct group_req request = {.gr_interface = interface};
    cori_sockaddr kernel;
    const cor_addr addr = {.ip = group};
    if (group.family == AF_UNSPEC) {
        return -EINVAL;
    }
    socklen_t len = cori_addr_to_sockaddr(&addr, group.family, &kernel);
    memcpy(&request.gr_group, &kernel, len);
    int level = group.family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    return cori_sys_setsockopt_bytes(fd, level, joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request,
                                     sizeof(request));
}

static int change_group(cor_conn *conn, cor_ip group, unsigned interface, bool joins)
{
    cori_slot *slot;
    int rc = enter(conn, &slot);
    if (rc == 0) {
        rc = change(slot->pollfd.fd, group, interface, joins);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_join_group(cor_conn *conn, cor_ip group, unsigned interface)
{
    return change_group(conn, group, interface, true);
}

int cor_leave_group(cor_conn *conn, cor_ip group, unsigned interface)
{
    return change_group(conn, group, interface, false);
}

static int set_interface(int fd, int family, unsigned interface)
{
    const struct ip_mreqn request = {.imr_ifindex = (int)interface};
    int rc = cori_sys_setsockopt_bytes(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request));
    bool both = family == AF_INET6 && rc == 0;
    return both ? cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface) : rc;
}

static int set_loop(int fd, int family, bool on)
{
    int rc = cori_sys_setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, on);
    bool both = family == AF_INET6 && rc == 0;
    return both ? cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on) : rc;
}

int cor_set_multicast_interface(cor_conn *conn, unsigned interface)
{
    cori_slot *slot;
    int rc = enter(conn, &slot);
    if (rc == 0) {
        rc = set_interface(slot->pollfd.fd, slot->family, interface);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_set_multicast_loop(cor_conn *conn, bool on)
{
    cori_slot *slot;
    int rc = enter(conn, &slot);
    if (rc == 0) {
        rc = set_loop(slot->pollfd.fd, slot->family, on);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

/* Sets a new socket up for the group and binds it; *call is the system call that failed. */
static int set_up(int fd, const cori_network *network, const cor_addr *group, unsigned interface, const char **call)
{
    int family = group->ip.family;
    cori_sockaddr local;
    cori_udp_defaults(fd);
    *call = "setsockopt";
    int rc = cori_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && family == AF_INET6) {
        rc = cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, !network->v4);
    }
    if (rc == 0) {
        *call = "bind";
        const cor_addr any = {.ip.family = (uint8_t)family, .port = group->port};
        socklen_t len = cori_addr_to_sockaddr(&any, family, &local);
        rc = cori_sys_bind(fd, &local.any, len);
        *call = rc == 0 ? "setsockopt" : "bind";
    }
    rc = rc == 0 && interface != 0 ? set_interface(fd, family, interface) : rc;
    rc = rc == 0 ? set_loop(fd, family, false) : rc;
    return rc == 0 ? change(fd, group->ip, interface, true) : rc;
}

/* The bound socket that has joined; its descriptor, or an error with the parts of *error filled. */
static int make_socket(const cori_network *network, unsigned interface, const cor_addr *group, cor_error *error)
{
    const char *call = "socket";
    cor_addr_text(*group, error->address, sizeof(error->address));
    int fd = cori_sys_socket(group->ip.family, SOCK_DGRAM, 0);
    int rc = fd < 0 ? fd : set_up(fd, network, group, interface, &call);
    if (rc < 0) {
        (void)snprintf(error->where, sizeof(error->where), "%s", call);
        if (fd >= 0) {
            cori_sys_close(fd);
        }
    }
    return rc < 0 ? rc : fd;
}

static int listen_on(cor_conn **out, const cori_network *network, unsigned interface, const char *group,
                     cor_error *error)
{
    cori_candidates candidates;
    if (group[0] == '\0') {
        return COR_EMISSING_ADDRESS;
    }
    int rc = cori_resolve(network, group, &candidates, error);
    if (rc < 0) {
        return rc;
    }
    if (candidates.count == 0) { /* ":port": the wildcard is no group */
        candidates.list[0] = (cor_addr){.ip.family = network->v4 ? AF_INET : AF_INET6, .port = candidates.port};
    }
    int fd = make_socket(network, interface, &candidates.list[0], error);
    if (fd < 0) {
        return fd;
    }
    const cori_sockaddr none = {.any.sa_family = candidates.list[0].ip.family};
    cori_slot *slot = cori_conn_slot(network, fd, &none, sizeof(none));
    if (slot == NULL) {
        return -ENOMEM;
    }
    slot->is.peer = (cor_addr){.port = 0};
    *out = cori_slot_publish(slot);
    return 0;
}

int cor_listen_multicast(cor_conn **out, const char *network, unsigned interface, const char *group, cor_error *error)
{
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    const cori_network *found = cori_network_find(network);
    if (cori_self() == NULL) {
        return cori_error_fill(error, "listen", network, group, COR_ENOT_TASK);
    }
    if (found == NULL || !found->datagram || found->local) { /* and none of bare IP: see cori_network_find */
        (void)snprintf(error->where, sizeof(error->where), "%s", network);
        return cori_error_fill(error, "listen", network, group, COR_EUNKNOWN_NETWORK);
    }
    int rc = listen_on(out, found, interface, group, error);
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        return cori_in_vain(cori_error_fill(error, "listen", network, shown, rc));
    }
    return 0;
}
