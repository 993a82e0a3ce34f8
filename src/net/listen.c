/* SPDX-License-Identifier: MIT */
/* The listening socket for an address text, chosen as Go does: dual-stack wildcard, backlog from somaxconn. */
#include "net/listen.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/conn.h"

#include <errno.h>
#include <stdio.h>

/* The kernel's limit for queued connections, read once. */
static int backlog(void)
{
    static int cached; /* atomic */
    int limit = cori_load_relaxed(&cached);
    if (limit == 0) {
        FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
        if (file == NULL || fscanf(file, "%d", &limit) != 1 || limit <= 0) {
            limit = CORI_BACKLOG_DEFAULT;
        }
        if (file != NULL) {
            (void)fclose(file);
        }
        cori_store_relaxed(&cached, limit);
    }
    return limit;
}

/* Notes the failed system call in the error and closes the socket. */
static int fail(int fd, const char *call, int code, cor_error *error)
{
    (void)snprintf(error->where, sizeof(error->where), "%s", call);
    if (fd >= 0) {
        cori_sys_close(fd);
    }
    return code;
}

static int bind_and_listen(int fd, const cori_sockaddr *local, socklen_t len, cor_error *error)
{
    (void)cori_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    int rc = cori_sys_bind(fd, &local->any, len);
    if (rc < 0) {
        return fail(fd, "bind", rc, error);
    }
    rc = cori_sys_listen(fd, backlog());
    return rc < 0 ? fail(fd, "listen", rc, error) : fd;
}

/* The address to listen on: Go prefers the first IPv4 one; an empty host is the wildcard. */
static cori_addr choose(const cori_network *network, const cori_candidates *candidates)
{
    for (int i = 0; i < candidates->count; i++) {
        if (candidates->list[i].family == AF_INET) {
            return candidates->list[i];
        }
    }
    if (candidates->count > 0) {
        return candidates->list[0];
    }
    return (cori_addr){.family = network->v6 ? AF_INET6 : AF_INET, .port = candidates->port};
}

static int listen_tcp(const cori_network *network, const char *address, cor_error *error)
{
    cori_candidates candidates;
    cori_sockaddr local;
    int rc = cori_resolve(network, address, &candidates, error);
    if (rc < 0) {
        return rc;
    }
    cori_addr addr = choose(network, &candidates);
    bool dual = network->v4 && network->v6 && cori_addr_is_wildcard(&addr);
    cori_addr_text(&addr, error->address, sizeof(error->address));
    if (candidates.any) {
        (void)snprintf(error->address, sizeof(error->address), ":%u", candidates.port);
    }
    int family = dual ? AF_INET6 : addr.family;
    int fd = cori_sys_socket(family, SOCK_STREAM, 0);
    if (fd == -EAFNOSUPPORT && dual) { /* a host without IPv6 */
        family = AF_INET;
        addr = (cori_addr){.family = AF_INET, .port = addr.port};
        fd = cori_sys_socket(family, SOCK_STREAM, 0);
    }
    if (fd < 0) {
        return fail(-1, "socket", fd, error);
    }
    if (family == AF_INET6) {
        (void)cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, !network->v4);
    }
    cori_tcp_defaults(fd);
    socklen_t len = cori_addr_to_sockaddr(&addr, family, &local);
    return bind_and_listen(fd, &local, len, error);
}

static int listen_unix(const char *path, cor_error *error)
{
    cori_sockaddr local;
    socklen_t len;
    (void)snprintf(error->address, sizeof(error->address), "%s", path);
    int rc = cori_unix_sockaddr(path, &local, &len);
    if (rc < 0) {
        return fail(-1, "bind", rc, error);
    }
    int fd = cori_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) {
        return fail(-1, "socket", fd, error);
    }
    return bind_and_listen(fd, &local, len, error);
}

int cori_listen_socket(const cori_network *network, const char *address, cor_error *error)
{
    return network->unix_stream ? listen_unix(address, error) : listen_tcp(network, address, error);
}
