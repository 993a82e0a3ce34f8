/* SPDX-License-Identifier: MIT */
/*
 * The listening socket for an address text, or the bound one for packets, chosen as Go does: dual-stack wildcard,
 * backlog from somaxconn.
 *
 * An address in use may be about to become free: the kernel takes a few ms to end what a killed server has held. So
 * listening tries again for a moment before it says so.
 */
#include "net/listen.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/conn.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The kernel's limit for queued connections, read once. */
static int backlog(void)
{
    static int cached; /* atomic */
    int limit = cori_load_relaxed(&cached);
    if (limit == 0) {
        int before = cori_errno_keep();
        FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
        if (file == NULL || fscanf(file, "%d", &limit) != 1 || limit <= 0) {
            limit = CORI_BACKLOG_DEFAULT;
        }
        if (file != NULL) {
            (void)fclose(file);
        }
        cori_errno_restore(before);
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

/*
 * Removes a socket file that a server has left behind: no socket is bound to it. Asked with a socket of another type,
 * which a living one refuses with an error of its own and never hears of. Under the folder's lock, because between the
 * question and the removal another server might do the same, and then be removed itself; nobody can bind meanwhile, as
 * the file is there.
 */
static void remove_stale(const char *path, const cori_sockaddr *local, socklen_t len)
{
    int lock = cori_sys_lock_folder(path);
    int asking = lock >= 0 ? cori_sys_socket(AF_UNIX, SOCK_DGRAM, 0) : -1;
    cori_file_id file = cori_sys_socket_file(path);
    if (asking >= 0 && cori_sys_connect(asking, &local->any, len) == -ECONNREFUSED) {
        cori_sys_remove_socket_file(path, file);
    }
    if (asking >= 0) {
        cori_sys_close(asking);
    }
    if (lock >= 0) {
        cori_sys_close(lock);
    }
}

/* A socket about to listen. */
typedef struct opening {
    const cori_network *network;
    const cor_listen_options *with;
    int fd;
    cori_sockaddr local;
    socklen_t len;
    const char *path; /* of a socket file, or NULL */
    bool bound;
    const char *call; /* the system call that failed; NULL: none */
} opening;

/* Binds, unless that is done, and listens, but not for packets. */
static int try_to_listen(opening *opened)
{
    opened->call = "bind";
    int rc = opened->bound ? 0 : cori_sys_bind(opened->fd, &opened->local.any, opened->len);
    opened->bound = rc == 0;
    if (rc == 0 && !opened->network->datagram) {
        opened->call = "listen";
        rc = cori_sys_listen(opened->fd, opened->with->backlog > 0 ? opened->with->backlog : backlog());
    }
    return rc;
}

static int control(const opening *opened, const char *address)
{
    const char *network = cori_network_exact(opened->network, opened->local.any.sa_family);
    int rc = opened->with->control(opened->fd, network, address, opened->with->control_arg);
    return rc < 0 ? rc : 0;
}

/* What is set before the socket is bound. */
static int prepare(opening *opened, const char *address)
{
    const cori_network *network = opened->network;
    opened->call = "";
    if (!network->datagram) { /* for UDP it would share the port, as in no call of Go's but one for groups */
        (void)cori_sys_setsockopt(opened->fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (opened->with->reuse_port && (network->local || network->raw)) {
        return -EOPNOTSUPP; /* some kernels take it without a meaning */
    }
    int rc = opened->with->reuse_port ? cori_sys_setsockopt(opened->fd, SOL_SOCKET, SO_REUSEPORT, 1) : 0;
    opened->call = rc < 0 ? "setsockopt" : "";
    return rc == 0 && opened->with->control != NULL ? control(opened, address) : rc;
}

/* Makes the socket listen (or binds it, for packets), or closes it. */
static int bind_and_listen(opening *opened, cor_error *error)
{
    int rc = prepare(opened, error->address);
    rc = rc < 0 ? rc : try_to_listen(opened);
    for (int64_t pause_ns = CORI_LISTEN_PAUSE_MIN_NS; rc == -EADDRINUSE; pause_ns *= 2) {
        if (opened->path != NULL) {
            remove_stale(opened->path, &opened->local, opened->len);
            rc = try_to_listen(opened);
        }
        if (rc != -EADDRINUSE || pause_ns > CORI_LISTEN_PAUSE_MAX_NS) {
            break;
        }
        rc = cor_sleep(pause_ns);
        rc = rc < 0 ? rc : try_to_listen(opened);
    }
    return rc < 0 ? fail(opened->fd, opened->call, rc, error) : opened->fd;
}

/* The address to listen on: Go prefers the first IPv4 one; an empty host is the wildcard. */
static cor_addr choose(const cori_network *network, const cori_candidates *candidates)
{
    for (int i = 0; i < candidates->count; i++) {
        if (candidates->list[i].ip.family == AF_INET) {
            return candidates->list[i];
        }
    }
    if (candidates->count > 0) {
        return candidates->list[0];
    }
    return (cor_addr){.ip.family = network->v6 ? AF_INET6 : AF_INET, .port = candidates->port};
}

/* The address as errors show it. */
static void show_address(const cori_network *network, cor_addr addr, const cori_candidates *candidates,
                         cor_error *error)
{
    (void)cori_network_text(network, addr, error->address, sizeof(error->address));
    if (candidates->any && !network->raw) {
        (void)snprintf(error->address, sizeof(error->address), ":%u", candidates->port);
    }
}

/* Binds a datagram socket, or closes it: its descriptor, or an error. */
static int bind_packet(opening *opened, cor_error *error)
{
    cori_udp_defaults(opened->fd);
    int rc = prepare(opened, error->address);
    rc = rc < 0 ? rc : try_to_listen(opened);
    return rc < 0 ? fail(opened->fd, opened->call, rc, error) : opened->fd;
}

static int listen_ip(const cori_network *network, int protocol, const char *address, const cor_listen_options *with,
                     cor_error *error)
{
    cori_candidates candidates;
    opening opened = {.network = network, .with = with};
    int rc = cori_resolve(network, address, &candidates, error);
    if (rc < 0) {
        return rc;
    }
    cor_addr addr = choose(network, &candidates);
    bool dual = !network->raw && network->v4 && network->v6 && cori_addr_is_wildcard(&addr);
    show_address(network, addr, &candidates, error);
    int family = dual ? AF_INET6 : addr.ip.family;
    int type = cori_network_type(network);
    int fd = cori_sys_socket(family, type, protocol);
    if (fd == -EAFNOSUPPORT && dual) { /* a host without IPv6 */
        family = AF_INET;
        addr = (cor_addr){.ip.family = AF_INET, .port = addr.port};
        fd = cori_sys_socket(family, type, protocol);
    }
    if (fd < 0) {
        return fail(-1, "socket", fd, error);
    }
    if (family == AF_INET6) {
        (void)cori_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, !network->v4);
    }
    opened.fd = fd;
    opened.len = cori_addr_to_sockaddr(&addr, family, &opened.local);
    if (network->datagram) {
        return bind_packet(&opened, error);
    }
    cori_tcp_set_up(fd, &with->keep_alive);
    return bind_and_listen(&opened, error);
}

/* Go finds out only after it has resolved the address that the network is not one for this call. */
static int refuse_type(const cori_network *network, const char *address, cor_error *error)
{
    cori_candidates candidates = {0};
    int rc = network->local ? 0 : cori_resolve(network, address, &candidates, error);
    if (rc < 0) {
        return rc;
    }
    if (network->local) {
        (void)snprintf(error->address, sizeof(error->address), "%s", address);
    } else if (address[0] != '\0') {
        show_address(network, choose(network, &candidates), &candidates, error);
    }
    if (address[0] != '\0') {
        (void)snprintf(error->where, sizeof(error->where), "address %s", error->address);
    }
    return COR_EUNEXPECTED_TYPE;
}

static int listen_unix(const cori_network *network, const char *path, const cor_listen_options *with,
                       cori_file_id *file, cor_error *error)
{
    bool on_file = path[0] != '@' && path[0] != '\0';
    opening opened = {.network = network, .with = with, .path = on_file ? path : NULL};
    (void)snprintf(error->address, sizeof(error->address), "%s", path);
    int rc = cori_unix_sockaddr(path, &opened.local, &opened.len);
    if (rc < 0) {
        return fail(-1, "bind", rc, error);
    }
    opened.fd = cori_sys_socket(AF_UNIX, cori_network_type(network), 0);
    if (opened.fd < 0) {
        return fail(-1, "socket", opened.fd, error);
    }
    int fd = bind_and_listen(&opened, error);
    if (fd >= 0 && on_file) {
        *file = cori_sys_socket_file(path);
    }
    return fd;
}

int cori_listen_socket(const cori_network *network, const char *address, const cor_listen_options *with,
                       cori_file_id *file, cor_error *error)
{
    *file = (cori_file_id){0, 0};
    if (network->datagram) {
        return refuse_type(network, address, error);
    }
    return network->local ? listen_unix(network, address, with, file, error)
                          : listen_ip(network, 0, address, with, error);
}

int cori_packet_socket(const cori_network *network, int protocol, const char *address, const cor_listen_options *with,
                       cor_error *error)
{
    cori_file_id left_behind; /* as Go does: the file stays when the socket is closed */
    if (!network->datagram) {
        return refuse_type(network, address, error);
    }
    return network->local ? listen_unix(network, address, with, &left_behind, error)
                          : listen_ip(network, protocol, address, with, error);
}

int cori_listen_options_of(const cor_listen_options *given, cor_listen_options *complete)
{
    *complete = (cor_listen_options){0};
    if (given->size == 0 || given->size > sizeof(*complete)) {
        return -EINVAL;
    }
    memcpy(complete, given, given->size);
    return complete->backlog < 0 ? -EINVAL : 0;
}
