/* SPDX-License-Identifier: MIT */
/*
 * Datagrams: each is an event of its own, so they may overtake each other, and a link that is cut or loses some drops
 * them. A socket that is connected hears its peer only. Where nobody listens a connected sender is told so, as by ICMP.
 */
#include "base/fatal.h"
#include "sim/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DATAGRAM_MOST = 65507 };

typedef struct datagram {
    cori_sim_event event; /* first */
    cori_sim_address to;
    uint16_t from_host, to_host;
    cori_sim_segment *segment; /* its `from` is the sender */
} datagram;

static bool same_end(const cori_sim_address *a, const cori_sim_address *b)
{
    return a->port == b->port && cori_sim_address_same_ip(a, b);
}

static void refuse(const datagram *sent)
{
    cori_sim_socket *sender = cori_sim_socket_at(sent->from_host, sent->segment->from, SOCK_DGRAM, false);
    if (sender != NULL && sender->peer.family != 0 && same_end(&sender->peer, &sent->to)) {
        sender->error = ECONNREFUSED;
        cori_sim_edge(sender, 1u << CORI_READ | 1u << CORI_WRITE);
    }
}

static void datagram_arrives(cori_sim_event *event)
{
    datagram *sent = (datagram *)event;
    cori_sim_segment *segment = sent->segment;
    cori_sim_socket *to = cori_sim_socket_at(sent->to_host, &sent->to, SOCK_DGRAM, false);
    bool heard = to != NULL && (to->peer.family == 0 || same_end(&to->peer, segment->from));
    if (heard && to->queued_bytes + segment->size <= CORI_SIM_DATAGRAM_QUEUE_BYTES) {
        to->queued_bytes += segment->size;
        cori_sim_queue_put(&to->inbox, segment);
        cori_sim_edge(to, 1u << CORI_READ);
    } else {
        if (!heard && !cori_sim_host_is_down(sent->to_host)) {
            refuse(sent);
        }
        cori_sim_segment_free(segment);
    }
    free(sent);
}

void cori_sim_datagram_drop(cori_sim_event *event)
{
    if (event->happens == datagram_arrives) {
        datagram *sent = (datagram *)event;
        cori_sim_segment_free(sent->segment);
        free(sent);
    }
}

static bool is_lost(uint16_t from, uint16_t to)
{
    return cori_sim_is_cut(from, to) || cori_sim_happens(CORI_SIM_LOST) || cori_sim_link_loses(from, to);
}

static void put_on_the_way(cori_sim_socket *from, const cori_sim_address *to, uint16_t host,
                           const struct msghdr *message, size_t size)
{
    datagram *sent = calloc(1, sizeof(*sent));
    cori_sim_segment *segment = cori_sim_segment_datagram(message, size);
    if (sent == NULL) {
        cori_fatal("simulation: no memory");
    }
    *segment->from = cori_sim_host_address(from->host, to);
    if (!cori_sim_address_is_any(&from->local)) {
        segment->from->ip = from->local.ip;
    }
    segment->from->port = from->local.port;
    *sent = (datagram){.to = *to, .from_host = from->host, .to_host = host, .segment = segment};
    sent->event.happens = datagram_arrives;
    cori_sim_event_at(&sent->event, cori_sim_link_arrival(from->host, host, size));
}

ssize_t cori_sim_datagram_send(cori_sim_socket *from, const struct msghdr *message, size_t size)
{
    cori_sim_address to = from->peer;
    if (message->msg_name != NULL && !cori_sim_address_from(&to, message->msg_name, message->msg_namelen)) {
        return -EINVAL;
    }
    if (to.family == 0 || to.port == 0 || size > DATAGRAM_MOST) {
        return to.family == 0 ? -EDESTADDRREQ : size > DATAGRAM_MOST ? -EMSGSIZE : -EINVAL;
    }
    if (from->family == AF_INET && to.family == AF_INET6) {
        return -EAFNOSUPPORT;
    }
    if (!from->bound) {
        from->local = (cori_sim_address){.family = from->family, .port = cori_sim_port(from->host, from->type)};
        from->bound = true;
    }
    if (cori_sim_address_is_any(&to)) { /* this host */
        to.ip = cori_sim_host_address(from->host, &to).ip;
    }
    int host = cori_sim_host_of(from->host, &to);
    if (host >= 0 && !is_lost(from->host, (uint16_t)host)) {
        put_on_the_way(from, &to, (uint16_t)host, message, size);
    }
    return (ssize_t)size;
}

ssize_t cori_sim_datagram_take(cori_sim_socket *at, struct msghdr *message)
{
    cori_sim_segment *first = cori_sim_queue_take(&at->inbox);
    if (first == NULL) {
        return at->shut_read ? 0 : -EAGAIN;
    }
    size_t size = first->size, done = 0;
    at->queued_bytes -= size;
    for (size_t i = 0; i < message->msg_iovlen && done < size; i++) {
        size_t part = message->msg_iov[i].iov_len < size - done ? message->msg_iov[i].iov_len : size - done;
        memcpy(message->msg_iov[i].iov_base, first->bytes + done, part);
        done += part;
    }
    message->msg_flags = done < size ? MSG_TRUNC : 0;
    message->msg_controllen = 0;
    if (message->msg_name != NULL) {
        cori_sim_address_to(first->from, at->family, message->msg_name, &message->msg_namelen);
    }
    cori_sim_segment_free(first);
    return (ssize_t)done;
}
