/* SPDX-License-Identifier: MIT */
/* The tables of descriptors and sockets: who is found by number, by address; queues; edges. */
#include "sim/socket.h"

#include "base/fatal.h"
#include "base/list.h"
#include "base/platform.h"
#include "base/sys_other.h"
#include "sim/report.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FDS_MAX = 1 << 16, PORT_FIRST = 32768, PORT_COUNT = 28232 };

_Static_assert(offsetof(cori_sim_socket, answer) == 2 * CORI_CACHE_LINE && sizeof(cori_sim_fd) <= CORI_CACHE_LINE,
               "what each packet touches is no longer in two lines and one");

static cori_sim_fd *fds[FDS_MAX];
static int fd_least; /* none below it is free */
static int fd_end;   /* none from it on was used in this run */
static cori_sim_socket *all;
static uint16_t next_port[CORI_SIM_HOSTS_MAX];

static void *zeroed(size_t size)
{
    size = (size + CORI_CACHE_LINE - 1) / CORI_CACHE_LINE * CORI_CACHE_LINE;
    void *memory = aligned_alloc(CORI_CACHE_LINE, size);
    if (memory == NULL) {
        cori_fatal("simulation: no memory");
    }
    return memset(memory, 0, size);
}

void cori_sim_sockets_begin(void)
{
    memset(next_port, 0, sizeof(next_port));
    fd_least = fd_end = 0;
    all = NULL;
}

cori_sim_socket *cori_sim_sockets(void)
{
    return all;
}

void cori_sim_queue_put(cori_sim_queue *queue, cori_sim_segment *segment)
{
    segment->next = NULL;
    if (queue->head == NULL) {
        queue->head = segment;
    } else {
        queue->tail->next = segment;
    }
    queue->tail = segment;
}

cori_sim_segment *cori_sim_queue_take(cori_sim_queue *queue)
{
    cori_sim_segment *first = queue->head;
    if (first != NULL) {
        queue->head = first->next;
    }
    return first;
}

void cori_sim_queue_drop(cori_sim_queue *queue)
{
    cori_sim_segment *segment;
    while ((segment = cori_sim_queue_take(queue)) != NULL) {
        cori_sim_segment_free(segment);
    }
}

static void free_socket(cori_sim_socket *socket)
{
    cori_sim_queue_drop(&socket->wire);
    cori_sim_queue_drop(&socket->inbox);
    cori_list_remove(&all, socket, all_next, all_prev);
    free(socket);
}

void cori_sim_sockets_end(void)
{
    for (int i = 0; i < fd_end; i++) {
        free(fds[i]);
        fds[i] = NULL;
    }
    while (all != NULL) {
        free_socket(all);
    }
    cori_sim_segments_end();
}

cori_sim_fd *cori_sim_fd_find(int number)
{
    int index = number - CORI_SYS_OTHER_FD;
    return index >= 0 && index < FDS_MAX ? fds[index] : NULL;
}

int cori_sim_fd_new(cori_sim_socket *to)
{
    int index = fd_least;
    while (index < FDS_MAX && fds[index] != NULL) {
        index++;
    }
    if (index == FDS_MAX) {
        return -EMFILE;
    }
    fd_least = index + 1;
    fd_end = fd_least > fd_end ? fd_least : fd_end;
    cori_sim_fd *made = zeroed(sizeof(*made));
    *made = (cori_sim_fd){.number = CORI_SYS_OTHER_FD + index, .to = to, .fd_next = to->fds};
    to->fds = made;
    fds[index] = made;
    return made->number;
}

/* True if reads are to be tried whatever the edges say: an end or an error is there. */
static bool is_sticky(const cori_sim_socket *socket)
{
    return socket->error != 0 || socket->state == CORI_SIM_DEAD || socket->got_fin;
}

void cori_sim_fd_edge(cori_sim_fd *fd, unsigned mask)
{
    if (fd->pollfd == NULL) {
        return;
    }
    if (mask != 0 && cori_sim_happens(CORI_SIM_SPURIOUS)) {
        mask = 1u << CORI_READ | 1u << CORI_WRITE;
    }
    if (is_sticky(fd->to)) {
        cori_store_release(&fd->pollfd->sticky, 1);
    }
    if (fd->pending == 0 && mask != 0) {
        cori_list_add(fd->ready_list, fd, ready_next, ready_prev);
    }
    fd->pending |= mask;
}

void cori_sim_fd_forget(cori_sim_fd *fd)
{
    if (fd->pending != 0) {
        cori_list_remove(fd->ready_list, fd, ready_next, ready_prev);
        fd->pending = 0;
    }
    fd->pollfd = NULL;
}

void cori_sim_fd_close(cori_sim_fd *fd)
{
    cori_sim_socket *socket = fd->to;
    cori_sim_fd **link = &socket->fds;
    while (*link != fd) {
        link = &(*link)->fd_next;
    }
    *link = fd->fd_next;
    cori_sim_fd_forget(fd);
    int index = fd->number - CORI_SYS_OTHER_FD;
    fds[index] = NULL;
    fd_least = index < fd_least ? index : fd_least;
    free(fd);
    if (socket->fds == NULL) {
        cori_sim_socket_closed(socket);
    }
}

static const char *kind_of(const cori_sim_socket *socket)
{
    const char *stream = socket->state == CORI_SIM_LISTENING ? "listener" : "connection";
    return socket->type == SOCK_STREAM ? stream : "packet socket";
}

static void print_socket(const cori_sim_socket *socket)
{
    char local[128], peer[128];
    cori_sim_address_text(&socket->local, local, sizeof(local));
    cori_sim_address_text(&socket->peer, peer, sizeof(peer));
    bool has_peer = socket->peer.family != 0;
    cori_sim_print("%s of host %s: %s%s%s\n", kind_of(socket), cori_sim_host_name(socket->host), local,
                   has_peer ? " -> " : "", has_peer ? peer : "");
}

void cori_sim_fds_print(void)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i] != NULL) {
            print_socket(fds[i]->to);
        }
    }
}

int cori_sim_fds_open(void)
{
    int count = 0;
    for (int i = 0; i < FDS_MAX; i++) {
        count += fds[i] != NULL;
    }
    return count;
}

cori_sim_socket *cori_sim_socket_new(int family, int type, uint16_t host)
{
    cori_sim_socket *made = zeroed(sizeof(*made));
    made->family = (uint16_t)family;
    made->type = (uint16_t)type;
    made->host = host;
    made->heard = cori_sim_now();
    made->patience = (cori_sim_patience){.idle_ns = 7200 * COR_SECOND, .interval_ns = 75 * COR_SECOND, .probes = 9};
    cori_list_add(&all, made, all_next, all_prev);
    return made;
}

void cori_sim_socket_release(cori_sim_socket *socket)
{
    bool needed = socket->fds != NULL || socket->other != NULL || socket->wire.head != NULL ||
                  socket->listener != NULL || socket->answer.timer.slot != 0 || socket->probe.timer.slot != 0 ||
                  !socket->closed;
    if (!needed) {
        free_socket(socket);
    }
}

/* IPv4 reaches a socket bound to IPv6's wildcard unless that is IPv6 only. */
static bool hears(const cori_sim_socket *socket, const cori_sim_address *address)
{
    if (address->family == AF_UNIX || socket->family == AF_UNIX) {
        return socket->family == address->family && cori_sim_address_same_ip(&socket->local, address);
    }
    if (socket->local.port != address->port) {
        return false;
    }
    bool ipv4 = IN6_IS_ADDR_V4MAPPED(&address->ip);
    if (!cori_sim_address_is_any(&socket->local)) {
        return cori_sim_address_same_ip(&socket->local, address);
    }
    return ipv4 ? socket->family == AF_INET || !socket->v6_only : socket->family == AF_INET6;
}

cori_sim_socket *cori_sim_socket_at(uint16_t host, const cori_sim_address *address, int type, bool listening)
{
    for (cori_sim_socket *socket = all; socket != NULL; socket = socket->all_next) {
        bool right = listening ? socket->state == CORI_SIM_LISTENING : socket->state == CORI_SIM_NEW;
        if (socket->bound && right && !socket->closed && socket->host == host && socket->type == type &&
            hears(socket, address)) {
            return socket;
        }
    }
    return NULL;
}

cori_sim_socket *cori_sim_socket_child_of(const cori_sim_socket *listener)
{
    cori_sim_socket *child = all;
    while (child != NULL && child->listener != listener) {
        child = child->all_next;
    }
    return child;
}

static bool port_is_used(uint16_t host, int type, uint16_t port)
{
    for (const cori_sim_socket *socket = all; socket != NULL; socket = socket->all_next) {
        if (socket->bound && socket->host == host && socket->type == type && socket->family != AF_UNIX &&
            socket->local.port == port) {
            return true;
        }
    }
    return false;
}

uint16_t cori_sim_port(uint16_t host, int type)
{
    for (unsigned tries = 0; tries < PORT_COUNT; tries++) {
        uint16_t port = (uint16_t)(PORT_FIRST + next_port[host]);
        next_port[host] = (uint16_t)((next_port[host] + 1) % PORT_COUNT);
        if (tries > 64 || !port_is_used(host, type, port)) {
            return port;
        }
    }
    return 0;
}

unsigned cori_sim_readiness(const cori_sim_socket *socket)
{
    bool stream = socket->type == SOCK_STREAM;
    bool failed = socket->error != 0 || socket->state == CORI_SIM_DEAD;
    bool read =
        socket->inbox.head != NULL || socket->accept_head != NULL || failed || socket->got_fin || socket->shut_read;
    bool connected = socket->state == CORI_SIM_CONNECTED;
    bool write = failed || socket->sent_fin || (connected && socket->outstanding < CORI_SIM_WINDOW_BYTES) ||
                 (!stream && socket->state == CORI_SIM_NEW);
    return (read ? 1u << CORI_READ : 0) | (write ? 1u << CORI_WRITE : 0);
}

void cori_sim_edge(cori_sim_socket *socket, unsigned mask)
{
    for (cori_sim_fd *fd = socket->fds; fd != NULL; fd = fd->fd_next) {
        cori_sim_fd_edge(fd, mask);
    }
}
