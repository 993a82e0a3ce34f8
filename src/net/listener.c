/* SPDX-License-Identifier: MIT */
/*
 * Listening: choosing the socket for an address text as Go does (dual-stack wildcard, backlog from somaxconn),
 * accepting, and closing.
 *
 * A listener may have clones: handles of their own on dup'ed descriptors, through which cor_serve accepts on the
 * other workers. The first handle's `extra` lists them; cor_listener_close takes the list (and refuses later
 * additions by setting `closing`), closes the first handle, then the clones, so that the port is free when it
 * returns.
 */
#include "base/atomic.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "net/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a listener has beside its descriptor; guard: the slot's spin lock. */
typedef struct extra {
    char *path; /* socket file to remove; NULL: none */
    bool closing;
    int clone_count;
    cor_listener *clones[CORI_WORKERS_MAX];
    cori_on_pause on_pause;
} extra;

static void listener_local_text(cori_slot *slot, char *text, size_t size)
{
    if (cori_networks[slot->network].unix_stream) {
        cori_unix_local_text(slot, text, size);
    } else {
        cori_tcp_local_text(slot, text, size);
    }
}

static void listener_destroy(cori_slot *slot)
{
    extra *own = slot->is.impl;
    if (own != NULL && own->path != NULL) {
        (void)unlink(own->path);
        free(own->path);
    }
    free(own);
    cori_fd_close(slot);
}

const cori_conn_ops cori_listener_ops = {
    .deadline_moved = cori_fd_deadline_moved,
    .evict = cori_fd_evict,
    .destroy = listener_destroy,
    .local_text = listener_local_text,
};

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
    if (error != NULL) {
        (void)snprintf(error->where, sizeof(error->where), "%s", call);
    }
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
    if (error != NULL) {
        bool any = candidates.any;
        cori_addr_text(&addr, error->address, sizeof(error->address));
        if (any) {
            (void)snprintf(error->address, sizeof(error->address), ":%u", candidates.port);
        }
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

static int listen_unix(const char *path, extra *own, cor_error *error)
{
    cori_sockaddr local;
    socklen_t len;
    if (error != NULL) {
        (void)snprintf(error->address, sizeof(error->address), "%s", path);
    }
    int rc = cori_unix_sockaddr(path, &local, &len);
    if (rc < 0) {
        return fail(-1, "bind", rc, error);
    }
    int fd = cori_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) {
        return fail(-1, "socket", fd, error);
    }
    fd = bind_and_listen(fd, &local, len, error);
    if (fd >= 0 && path[0] != '@' && path[0] != '\0') {
        own->path = strdup(path);
    }
    return fd;
}

static int open_listener(cor_listener **out, const cori_network *network, const char *address, cor_error *error)
{
    extra *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return -ENOMEM;
    }
    int fd = network->unix_stream ? listen_unix(address, own, error) : listen_tcp(network, address, error);
    cori_slot *slot = fd >= 0 ? cori_slot_new(CORI_KIND_LISTENER, &cori_listener_ops) : NULL;
    if (slot == NULL) {
        if (own->path != NULL) {
            (void)unlink(own->path);
            free(own->path);
        }
        free(own);
        if (fd >= 0) {
            cori_sys_close(fd);
        }
        return fd >= 0 ? -ENOMEM : fd;
    }
    slot->network = (uint8_t)(network - cori_networks);
    slot->is.impl = own;
    cori_fd_open(slot, fd, cori_solo() && !network->unix_stream ? CORI_FD_ACCEPTS : CORI_FD_PLAIN);
    *out = cori_slot_publish(slot);
    return 0;
}

int cor_listen(cor_listener **out, const char *network, const char *address, cor_error *error)
{
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    if (cori_self() == NULL) {
        return cori_error_fill(error, "listen", network, address, COR_ENOT_TASK);
    }
    const cori_network *known = cori_network_find(network);
    if (known == NULL) {
        (void)snprintf(error->where, sizeof(error->where), "%s", network);
        return cori_error_fill(error, "listen", network, "", COR_EUNKNOWN_NETWORK);
    }
    int rc = open_listener(out, known, address, error);
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        (void)cori_error_fill(error, "listen", network, shown, rc);
    }
    return rc;
}

int cor_accept(cor_listener *listener, cor_conn **out)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    cori_sockaddr peer;
    socklen_t len;
    int fd = cori_fd_accept(slot, &peer, &len);
    const cori_network *network = &cori_networks[slot->network];
    cori_slot_leave(slot, CORI_LOCK_READ);
    if (fd < 0) {
        return fd;
    }
    cori_slot *conn = cori_conn_slot(network, fd, &peer, len);
    if (conn == NULL) {
        return -ENOMEM;
    }
    *out = cori_slot_publish(conn);
    return 0;
}

/* Opens the clone's slot; inside a call on the first handle's slot. */
static int clone_slot(cori_slot *first, cor_listener **out)
{
    int fd = cori_sys_dup(first->pollfd.fd);
    if (fd < 0) {
        return fd;
    }
    cori_slot *slot = cori_slot_new(CORI_KIND_LISTENER, &cori_listener_ops);
    if (slot == NULL) {
        cori_sys_close(fd);
        return -ENOMEM;
    }
    slot->network = first->network;
    slot->is.impl = NULL;
    cori_fd_open(slot, fd, CORI_FD_PLAIN);
    *out = cori_slot_publish(slot);
    return 0;
}

int cor_listener_on_pause(cor_listener *listener, void (*told)(int code, int64_t pause_ns, void *arg), void *arg)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc == 0) {
        ((extra *)slot->is.impl)->on_pause = (cori_on_pause){told, arg};
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

cori_on_pause cori_listener_on_pause(cor_listener *listener)
{
    cori_slot *slot;
    cori_on_pause found = {NULL, NULL};
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        found = ((extra *)slot->is.impl)->on_pause;
        cori_slot_leave(slot, CORI_SHARED);
    }
    return found;
}

int cori_listener_clone(cor_listener *listener, cor_listener **out)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    cor_listener *clone = NULL;
    extra *own = slot->is.impl;
    rc = clone_slot(slot, &clone);
    if (rc == 0) {
        cori_spin_lock(&slot->spin);
        bool refused = own->closing || own->clone_count == CORI_WORKERS_MAX;
        if (!refused) {
            own->clones[own->clone_count++] = clone;
        }
        cori_spin_unlock(&slot->spin);
        if (refused) {
            (void)cori_slot_close(clone, CORI_KIND_LISTENER);
            rc = COR_ECLOSED;
        }
    }
    cori_slot_leave(slot, CORI_SHARED);
    *out = clone;
    return rc;
}

void cori_listener_drop_clone(cor_listener *listener, cor_listener *clone)
{
    cori_slot *slot;
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        extra *own = slot->is.impl;
        cori_spin_lock(&slot->spin);
        for (int i = 0; i < own->clone_count; i++) {
            if (own->clones[i] == clone) {
                own->clones[i] = own->clones[--own->clone_count];
                break;
            }
        }
        cori_spin_unlock(&slot->spin);
        (void)cori_slot_close(clone, CORI_KIND_LISTENER); /* inside the call: who closes the first waits for this */
        cori_slot_leave(slot, CORI_SHARED);
    }
}

int cor_listener_close(cor_listener *listener)
{
    cor_listener *clones[CORI_WORKERS_MAX];
    int count = 0;
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    extra *own = slot->is.impl;
    cori_spin_lock(&slot->spin);
    bool first = own == NULL || !own->closing; /* one closer has all the clones, and returns when they are closed */
    if (own != NULL && first) {
        own->closing = true;
        count = own->clone_count;
        memcpy(clones, own->clones, (size_t)count * sizeof(clones[0]));
        own->clone_count = 0;
    }
    cori_spin_unlock(&slot->spin);
    cori_slot_leave(slot, CORI_SHARED);
    rc = first ? cori_slot_close(listener, CORI_KIND_LISTENER) : COR_ECLOSED;
    for (int i = 0; i < count; i++) {
        (void)cori_slot_close(clones[i], CORI_KIND_LISTENER);
    }
    return rc;
}
