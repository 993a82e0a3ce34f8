/* SPDX-License-Identifier: MIT */
/*
 * Silence: how an end learns that its peer is out of reach. What was sent and gets no answer ends the connection after
 * the user timeout, or as long as the kernel tries. An end that sends nothing learns by keep-alive only: when `idle`
 * has passed since it heard of the other, it asks, and then each `interval`; an answer is as good as data, a reset is
 * the end, and after so many questions without an answer, or the user timeout, it is over.
 *
 * While the way is open all questions are answered, which nobody sees: so there are events for them only while it is
 * cut or the peer's host is down. They begin where the last answered question was. An open, idle connection has no
 * events to come, and a program that waits for it in vain is a deadlock still.
 */
#include "sim/socket.h"

#include <coracle/time.h>
#include <errno.h>
#include <stddef.h>

#define TRIES_NS (924600 * COR_MILLISECOND) /* net.ipv4.tcp_retries2 = 15 */
#define SYN_ACK_TRIES_NS (63 * COR_SECOND)  /* net.ipv4.tcp_synack_retries = 5 */

bool cori_sim_is_stuck_for_good(cori_sim_socket *socket)
{
    int64_t usual = socket->wire.head->kind == CORI_SIM_SYN_ACK ? SYN_ACK_TRIES_NS : TRIES_NS;
    int64_t most = socket->patience.user_ns != 0 ? socket->patience.user_ns : usual;
    if (!socket->stuck) {
        socket->stuck = true;
        socket->stuck_since = cori_sim_now();
    }
    return cori_sim_now() - socket->stuck_since >= most;
}

static bool is_cut(const cori_sim_socket *socket)
{
    return cori_sim_is_cut(socket->host, socket->other->host) || cori_sim_is_cut(socket->other->host, socket->host);
}

/* One more question without an answer. */
static void ask_again(cori_sim_socket *socket)
{
    const cori_sim_patience *patience = &socket->patience;
    int64_t now = cori_sim_now(), first = socket->silent_from + patience->idle_ns;
    int64_t until = patience->user_ns != 0 ? socket->silent_from + patience->user_ns
                                           : first + patience->probes * patience->interval_ns;
    until = until > first ? until : first;
    if (now >= until && socket->wire.head == NULL) {
        cori_sim_die(socket, ETIMEDOUT);
    } else { /* what waits for its own answer is not asked about */
        int64_t next = now + patience->interval_ns;
        cori_sim_event_at(&socket->probe, now < until && until < next ? until : next);
    }
}

static void probe_is_due(cori_sim_event *event)
{
    cori_sim_socket *socket = (cori_sim_socket *)((char *)event - offsetof(cori_sim_socket, probe));
    bool alive = socket->state == CORI_SIM_CONNECTED && socket->other != NULL && !socket->closed;
    if (alive && is_cut(socket)) {
        ask_again(socket);
    } else if (alive && socket->other->state == CORI_SIM_DEAD) { /* it knows no such connection any more */
        cori_sim_die(socket, ECONNRESET);
    } else {
        socket->heard = cori_sim_now();
    }
    cori_sim_socket_release(socket);
}

void cori_sim_probe_if_cut(cori_sim_socket *socket)
{
    const cori_sim_patience *patience = &socket->patience;
    bool asks = patience->keep_alive && patience->idle_ns > 0 && patience->interval_ns > 0;
    if (!asks || socket->state != CORI_SIM_CONNECTED || socket->family == AF_UNIX || socket->other == NULL ||
        socket->closed || socket->probe.timer.slot != 0 || !is_cut(socket)) {
        return;
    }
    int64_t heard = socket->heard > socket->other->heard ? socket->heard : socket->other->heard;
    int64_t silence = cori_sim_now() - heard;
    socket->silent_from = heard + silence / patience->idle_ns * patience->idle_ns;
    socket->probe.happens = probe_is_due;
    cori_sim_event_at(&socket->probe, socket->silent_from + patience->idle_ns);
}

void cori_sim_probe_all(void)
{
    for (cori_sim_socket *socket = cori_sim_sockets(); socket != NULL; socket = socket->all_next) {
        cori_sim_probe_if_cut(socket);
    }
}
