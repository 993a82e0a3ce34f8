/* SPDX-License-Identifier: MIT */
/* Streams: what travels between two ends, and what its arrival does. See socket.h. */
#include "sim/socket.h"
#include "sim/trace.h"

#include <coracle/time.h>
#include <errno.h>

enum { SYN_TRIES = 6 };
#define RETRY_NS (200 * COR_MILLISECOND)
#define SYN_RETRY_NS COR_SECOND

#define READABLE (1u << CORI_READ)
#define WRITABLE (1u << CORI_WRITE)

static void arrives(cori_sim_socket *from, cori_sim_segment *segment);
static void head_is_due(cori_sim_event *event);
static void give_up(cori_sim_socket *socket);
static void part_if_done(cori_sim_socket *one);

static bool is_local(const cori_sim_socket *socket)
{
    return socket->family == AF_UNIX;
}

/* Arms the event of the wire's head. */
static void arm(cori_sim_socket *from)
{
    from->arrival.happens = head_is_due;
    cori_sim_event_at(&from->arrival, from->wire.head->when);
}

/* Puts it on the wire. */
static void send_off(cori_sim_socket *from, cori_sim_segment *segment)
{
    if (is_local(from)) {
        arrives(from, segment);
        return;
    }
    uint16_t to = from->other != NULL ? from->other_host : from->host;
    int64_t when =
        segment->kind == CORI_SIM_SYN ? cori_sim_now() : cori_sim_link_arrival(from->host, to, segment->size);
    when += segment->kind != CORI_SIM_SYN ? cori_sim_link_stall(from->host, to) : 0;
    segment->when = from->last_when = when > from->last_when ? when : from->last_when + 1;
    bool first = from->wire.head == NULL;
    cori_sim_queue_put(&from->wire, segment);
    if (first) {
        arm(from);
    }
}

void cori_sim_send_segment(cori_sim_socket *from, enum cori_sim_kind kind)
{
    send_off(from, cori_sim_segment_new(kind, NULL, 0, 0));
}

void cori_sim_send_bytes(cori_sim_socket *from, const struct msghdr *message, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        size_t part = size - sent;
        part = cori_sim_happens(CORI_SIM_SPLIT) ? 1 + cori_sim_below(part) : part;
        send_off(from, cori_sim_segment_new(CORI_SIM_DATA, message, sent, part));
        sent += part;
    }
}

static void head_is_due(cori_sim_event *event)
{
    cori_sim_socket *from = (cori_sim_socket *)event;
    const cori_sim_socket *to = from->other;
    cori_sim_segment *head = from->wire.head;
    bool cut = to != NULL && cori_sim_is_cut(from->host, from->other_host);
    if (cut && head->kind != CORI_SIM_RST) { /* sent again and again, until it is healed or given up */
        if (cori_sim_is_stuck_for_good(from)) {
            give_up(from);
            cori_sim_socket_release(from);
        } else {
            head->when = cori_sim_now() + RETRY_NS;
            arm(from);
        }
        return;
    }
    from->stuck = false;
    (void)cori_sim_queue_take(&from->wire);
    if (from->wire.head != NULL) {
        arm(from);
    }
    if (cut) {
        cori_sim_segment_free(head); /* a reset is sent once */
        part_if_done(from);
    } else {
        arrives(from, head);
    }
    cori_sim_socket_release(from);
}

void cori_sim_die(cori_sim_socket *socket, int error)
{
    socket->state = CORI_SIM_DEAD;
    socket->error = error;
    socket->outstanding = 0;
    socket->got_fin = true;
    if (socket->wire.head != NULL) {
        cori_sim_event_cancel(&socket->arrival);
        cori_sim_queue_drop(&socket->wire);
    }
    cori_sim_edge(socket, READABLE | WRITABLE);
}

/* A server's end that was not accepted yet never will be. */
static void leave_listener(cori_sim_socket *child)
{
    if (child->listener != NULL && !child->queued_for_accept) {
        child->listener->queued--;
        child->listener = NULL;
        child->closed = true;
    }
}

/* Both ends are closed and nothing is under way: they no longer need each other. */
static void part_if_done(cori_sim_socket *one)
{
    cori_sim_socket *two = one->other;
    if (two == NULL || two->other != one) {
        return;
    }
    bool done = one->closed && two->closed && one->wire.head == NULL && two->wire.head == NULL;
    if (done) {
        one->other = two->other = NULL;
        cori_sim_socket_release(two);
    }
}

/* Nothing has come back for too long. */
static void give_up(cori_sim_socket *socket)
{
    cori_sim_socket *dialing = socket->other;
    cori_sim_die(socket, ETIMEDOUT);
    leave_listener(socket);
    if (dialing != NULL && dialing->state == CORI_SIM_CONNECTING) {
        cori_sim_die(dialing, ETIMEDOUT);
    }
    part_if_done(socket);
}

/* What is under way is lost, but for the last packet of the handshake: a connection that was made can be accepted. */
static void lose_wire(cori_sim_socket *socket)
{
    bool made = socket->wire.head != NULL && socket->wire.head->kind == CORI_SIM_ACK;
    cori_sim_segment *ack = made ? cori_sim_queue_take(&socket->wire) : NULL;
    cori_sim_queue_drop(&socket->wire);
    if (ack != NULL) {
        cori_sim_queue_put(&socket->wire, ack);
    } else {
        cori_sim_event_cancel(&socket->arrival);
    }
}

/* Ends the connection from this side at once. */
static void reset(cori_sim_socket *socket)
{
    if (socket->wire.head != NULL) {
        lose_wire(socket);
    }
    socket->state = CORI_SIM_DEAD;
    socket->sent_fin = true;
    if (socket->other != NULL) {
        cori_sim_send_segment(socket, CORI_SIM_RST);
    }
}

void cori_sim_break(cori_sim_socket *socket)
{
    reset(socket);
    socket->got_fin = true;
    cori_sim_edge(socket, READABLE | WRITABLE);
}

/* The server's end of a connection that a SYN asks for. */
static cori_sim_socket *child_of(cori_sim_socket *listener, cori_sim_socket *client)
{
    cori_sim_socket *child = cori_sim_socket_new(listener->family, listener->type, listener->host);
    child->state = CORI_SIM_CONNECTED;
    child->local = client->peer;
    child->peer = client->local;
    child->bound = false; /* it shares the listener's port */
    child->other = client;
    child->other_host = client->host;
    child->listener = listener;
    child->patience = listener->patience;
    client->other = child;
    client->other_host = child->host;
    listener->queued++;
    return child;
}

static void refuse(cori_sim_event *event)
{
    cori_sim_socket *client = (cori_sim_socket *)((char *)event - offsetof(cori_sim_socket, answer));
    if (client->state == CORI_SIM_CONNECTING) {
        cori_sim_die(client, ECONNREFUSED);
    }
    cori_sim_socket_release(client);
}

static void send_syn_again(cori_sim_event *event)
{
    cori_sim_socket *client = (cori_sim_socket *)((char *)event - offsetof(cori_sim_socket, answer));
    if (client->state == CORI_SIM_CONNECTING && !client->closed) {
        if (client->tries < SYN_TRIES) {
            client->tries++;
            cori_sim_send_segment(client, CORI_SIM_SYN);
        } else {
            cori_sim_die(client, ETIMEDOUT);
        }
    }
    cori_sim_socket_release(client);
}

static void syn_arrives(cori_sim_socket *client)
{
    if (client->closed || client->state != CORI_SIM_CONNECTING) {
        return;
    }
    int host = cori_sim_host_of(client->host, &client->peer);
    bool lost = host < 0 || cori_sim_happens(CORI_SIM_LOST) || cori_sim_is_cut(client->host, (uint16_t)host) ||
                cori_sim_link_stall(client->host, (uint16_t)host) > 0;
    cori_sim_socket *listener = lost ? NULL : cori_sim_socket_at((uint16_t)host, &client->peer, client->type, true);
    if (listener != NULL && listener->queued <= listener->backlog) {
        cori_sim_socket *child = child_of(listener, client);
        cori_sim_send_segment(child, CORI_SIM_SYN_ACK);
    } else if (lost || listener != NULL) {
        client->answer.happens = send_syn_again;
        cori_sim_event_at(&client->answer, cori_sim_now() + (SYN_RETRY_NS << client->tries));
    } else {
        client->answer.happens = refuse;
        cori_sim_event_at(&client->answer, cori_sim_link_arrival((uint16_t)host, client->host, 0));
    }
}

static void queue_for_accept(cori_sim_socket *child)
{
    cori_sim_socket *listener = child->listener;
    child->accept_next = NULL;
    if (listener->accept_head == NULL) {
        listener->accept_head = child;
    } else {
        listener->accept_tail->accept_next = child;
    }
    listener->accept_tail = child;
    child->queued_for_accept = true;
    cori_sim_edge(listener, READABLE);
}

static void data_arrives(cori_sim_socket *to, cori_sim_segment *segment)
{
    if (to->closed) { /* nobody will read it */
        cori_sim_segment_free(segment);
        if (to->state != CORI_SIM_DEAD) {
            reset(to);
        }
        return;
    }
    cori_sim_queue_put(&to->inbox, segment);
    cori_sim_edge(to, READABLE);
}

static void trace_segment(const cori_sim_socket *from, const cori_sim_segment *segment)
{
    static const char *const names[] = {"SYN", "SYN ACK", "ACK", "DATA", "FIN", "RST", "WINDOW"};
    char local[128], peer[128];
    cori_sim_address_text(&from->local, local, sizeof(local));
    cori_sim_address_text(&from->peer, peer, sizeof(peer));
    cori_sim_trace("%s %zu arrives, %s -> %s", names[segment->kind], segment->size, local, peer);
}

/* `segment`, which `from` has sent, is there. */
static void arrives(cori_sim_socket *from, cori_sim_segment *segment)
{
    cori_sim_socket *to = from->other;
    enum cori_sim_kind kind = segment->kind;
    if (cori_sim_traces) {
        trace_segment(from, segment);
    }
    if (to != NULL) {
        from->heard = cori_sim_now();
    }
    if (kind == CORI_SIM_DATA && to != NULL && to->state == CORI_SIM_CONNECTED) {
        data_arrives(to, segment);
        part_if_done(from);
        return;
    }
    cori_sim_segment_free(segment);
    if (kind == CORI_SIM_SYN) {
        syn_arrives(from);
        return;
    }
    if (to == NULL) {
        return;
    }
    bool unknown = to->state == CORI_SIM_DEAD && kind != CORI_SIM_RST; /* there is no such connection any more */
    if (unknown && from->state != CORI_SIM_DEAD) {
        if (to->wire.head == NULL) {
            cori_sim_send_segment(to, CORI_SIM_RST);
        }
    } else if (kind == CORI_SIM_SYN_ACK && to->closed) {
        reset(to);
    } else if (kind == CORI_SIM_SYN_ACK && to->state == CORI_SIM_CONNECTING) {
        to->state = CORI_SIM_CONNECTED;
        cori_sim_edge(to, WRITABLE);
        cori_sim_send_segment(to, CORI_SIM_ACK);
    } else if (kind == CORI_SIM_ACK && to->listener != NULL) {
        queue_for_accept(to);
    } else if (kind == CORI_SIM_FIN) {
        to->got_fin = true;
        cori_sim_edge(to, READABLE);
    } else if (kind == CORI_SIM_RST && to->state != CORI_SIM_DEAD) {
        cori_sim_die(to, to->state == CORI_SIM_CONNECTING ? ECONNREFUSED : ECONNRESET);
        leave_listener(to);
    } else if (kind == CORI_SIM_WINDOW && to->state == CORI_SIM_CONNECTED) {
        cori_sim_edge(to, WRITABLE);
    }
    part_if_done(from);
}

int cori_sim_connect(cori_sim_socket *from, const cori_sim_address *to)
{
    if (from->state == CORI_SIM_CONNECTED) {
        return -EISCONN;
    }
    if (from->state != CORI_SIM_NEW) {
        return from->state == CORI_SIM_CONNECTING ? -EALREADY : -ECONNABORTED;
    }
    from->peer = *to;
    if (!is_local(from)) {
        if (!from->bound) {
            from->local = cori_sim_host_address(from->host, to);
            from->local.port = cori_sim_port(from->host, from->type);
            from->bound = true;
        }
        if (cori_sim_address_is_any(&from->peer)) { /* this host */
            from->peer.ip = cori_sim_host_address(from->host, to).ip;
        }
        from->state = CORI_SIM_CONNECTING;
        int host = cori_sim_host_of(from->host, &from->peer);
        from->last_when = host < 0 ? cori_sim_now() : cori_sim_link_arrival(from->host, (uint16_t)host, 0);
        cori_sim_send_segment(from, CORI_SIM_SYN);
        return -EINPROGRESS;
    }
    cori_sim_socket *listener = cori_sim_socket_at(from->host, to, from->type, true);
    if (listener == NULL) {
        bool bound = cori_sim_socket_at(from->host, to, from->type, false) != NULL;
        return bound || (to->path_len > 0 && to->path[0] == '\0') ? -ECONNREFUSED : -ENOENT;
    }
    if (listener->queued > listener->backlog) {
        return -EAGAIN;
    }
    cori_sim_socket *child = child_of(listener, from);
    from->state = CORI_SIM_CONNECTED;
    queue_for_accept(child);
    return 0;
}

/* Those that were never accepted are reset. */
static void stop_listening(cori_sim_socket *listener)
{
    cori_sim_socket *child;
    listener->accept_head = NULL;
    listener->state = CORI_SIM_DEAD;
    while ((child = cori_sim_socket_child_of(listener)) != NULL) {
        child->listener = NULL;
        child->closed = true;
        if (child->state != CORI_SIM_DEAD) {
            reset(child);
        }
        part_if_done(child);
        cori_sim_socket_release(child);
    }
}

void cori_sim_socket_closed(cori_sim_socket *socket)
{
    socket->closed = true;
    socket->bound = false;
    if (socket->state == CORI_SIM_LISTENING) {
        stop_listening(socket);
    } else if (socket->state == CORI_SIM_CONNECTED) {
        if (socket->inbox.head != NULL || socket->lingers_not) {
            reset(socket);
        } else if (!socket->sent_fin) {
            socket->sent_fin = true;
            cori_sim_send_segment(socket, CORI_SIM_FIN);
        }
    } else if (socket->state == CORI_SIM_CONNECTING && socket->other == NULL && socket->wire.head != NULL) {
        cori_sim_event_cancel(&socket->arrival);
        cori_sim_queue_drop(&socket->wire);
    }
    cori_sim_queue_drop(&socket->inbox);
    part_if_done(socket);
    cori_sim_socket_release(socket);
}

/* What it had is gone; a dial under way to it tries again. */
static void crash(cori_sim_socket *socket)
{
    cori_sim_socket *other = socket->other;
    cori_sim_die(socket, ECONNRESET);
    cori_sim_queue_drop(&socket->inbox);
    if (socket->answer.timer.slot != 0) {
        cori_sim_event_cancel(&socket->answer);
    }
    socket->crashed = socket->sent_fin = true;
    socket->bound = false;
    socket->accept_head = NULL;
    if (socket->listener != NULL) {
        socket->listener = NULL;
        socket->closed = true;
    }
    if (other != NULL && other->state == CORI_SIM_CONNECTING) {
        socket->other = other->other = NULL;
        other->answer.happens = send_syn_again;
        cori_sim_event_at(&other->answer, cori_sim_now() + (SYN_RETRY_NS << other->tries));
    }
}

void cori_sim_sockets_crash(uint16_t host)
{
    for (cori_sim_socket *socket = cori_sim_sockets(); socket != NULL; socket = socket->all_next) {
        if (socket->host == host && !socket->crashed) {
            crash(socket); /* frees none: those that nothing leads to are freed with their peer, or at the end */
        }
    }
}
