/* SPDX-License-Identifier: MIT */
/*
 * Simulated sockets. One object per end of a connection, listener or datagram socket; descriptors (several, after a
 * dup) lead to it.
 *
 * What an end sends lies on its `wire`, a queue in order of sending, until it arrives: the head has its event armed,
 * the others wait behind it. So nothing overtakes within a connection, whatever the link does, and a link that is cut
 * keeps the head, and with it all, until it is healed. Over unix sockets the wire is empty: what is sent has arrived.
 *
 *      SYN       from a dialing end, to an address; makes the server's end, if there is a listener with room
 *      SYN_ACK   back: the dialing end is connected
 *      ACK       the server's end may be accepted
 *      DATA      bytes; FIN, RST: the end of them
 *      WINDOW    the reader has taken enough for a blocked writer to go on
 *
 * Two connected ends point to each other until both are closed and both wires are empty; then both are freed. An end
 * that no descriptor leads to any more is `closed`: what still arrives there is answered with RST, as the kernel does.
 */
#ifndef CORI_SIM_SOCKET_H
#define CORI_SIM_SOCKET_H

#include "poll/poll.h"
#include "sim/address.h"
#include "sim/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { CORI_SIM_WINDOW_BYTES = 128 * 1024, CORI_SIM_DATAGRAM_QUEUE_BYTES = 208 * 1024 };

enum cori_sim_kind {
    CORI_SIM_SYN,
    CORI_SIM_SYN_ACK,
    CORI_SIM_ACK,
    CORI_SIM_DATA,
    CORI_SIM_FIN,
    CORI_SIM_RST,
    CORI_SIM_WINDOW
};

enum cori_sim_state { CORI_SIM_NEW, CORI_SIM_LISTENING, CORI_SIM_CONNECTING, CORI_SIM_CONNECTED, CORI_SIM_DEAD };

/* Made and freed in segment.c. */
typedef struct cori_sim_segment {
    struct cori_sim_segment *next;
    cori_sim_address *from; /* of a datagram, after its bytes; else NULL */
    int64_t when;           /* it arrives, if nothing holds it up */
    size_t size, taken;     /* bytes, and how many of them have been read */
    enum cori_sim_kind kind;
    bool pooled;
    char bytes[];
} cori_sim_segment;

typedef struct cori_sim_queue {
    cori_sim_segment *head, *tail;
} cori_sim_queue;

/* What a descriptor number leads to: one cache line. */
typedef struct cori_sim_fd {
    int number;       /* -1: free */
    unsigned pending; /* edges not reported yet */
    struct cori_sim_socket *to;
    struct cori_sim_fd *fd_next;                 /* of the same socket */
    cori_pollfd *pollfd;                         /* registered; NULL: not */
    struct cori_sim_fd **ready_list;             /* its poller's */
    struct cori_sim_fd *ready_next, *ready_prev; /* in its poller's list, while pending != 0 */
} cori_sim_fd;

/* How long an end bears that nothing comes back. As Linux has it: a silent way ends what waits for an answer. */
typedef struct cori_sim_patience {
    bool keep_alive;
    int64_t user_ns;              /* TCP_USER_TIMEOUT; 0: 924.6 s, the kernel's fifteen tries */
    int64_t idle_ns, interval_ns; /* of keep-alive */
    int probes;
} cori_sim_patience;

/*
 * A room of a thousand members is two thousand of these, each looked at for a moment and next time no longer in a
 * cache. So what each packet touches comes first, in two cache lines.
 */
typedef struct cori_sim_socket {
    cori_sim_event arrival; /* first: of the wire's head */
    struct cori_sim_socket *other;
    cori_sim_queue wire;
    int64_t heard; /* when what it sent arrived last: then both ends have heard of each other */
    uint16_t family, type, host, other_host;
    /* the second line */
    cori_sim_queue inbox;
    size_t outstanding; /* bytes sent and not read yet */
    int64_t last_when;  /* of the wire's tail */
    cori_sim_fd *fds;
    enum cori_sim_state state;
    int error; /* errno's value, told once */
    bool bound : 1, closed : 1, sent_fin : 1, got_fin : 1, shut_read : 1, lingers_not : 1, v6_only : 1, blocked : 1;
    bool queued_for_accept : 1, crashed : 1, stuck : 1;
    /* what is rarely needed */
    size_t queued_bytes;   /* of datagrams in `inbox` */
    cori_sim_event answer; /* to a SYN that nobody took, or the time to send it again */
    cori_sim_event probe;  /* the next keep-alive probe, while the way is cut: alive.c */
    cori_sim_patience patience;
    int64_t stuck_since; /* if `stuck`: the wire's head cannot arrive since then */
    int64_t silent_from; /* the last answer to a probe before those that get none */
    struct cori_sim_socket *all_next, *all_prev;
    cori_sim_address local, peer;
    unsigned tries;                   /* SYNs sent again */
    struct cori_sim_socket *listener; /* of a server's end that has not been accepted */
    struct cori_sim_socket *accept_head, *accept_tail, *accept_next;
    int backlog, queued; /* limit; ends that wait to be accepted, or for their ACK */
} cori_sim_socket;

/* Begins with no sockets; frees all. */
void cori_sim_sockets_begin(void);
void cori_sim_sockets_end(void);

/* The descriptor's entry; NULL: none. */
cori_sim_fd *cori_sim_fd_find(int number);
/* Makes a descriptor that leads to `to`: its number. */
int cori_sim_fd_new(cori_sim_socket *to);
/* Closes it. */
void cori_sim_fd_close(cori_sim_fd *fd);

/* How many descriptors there are; a line of the report for each. */
int cori_sim_fds_open(void);
void cori_sim_fds_print(void);

cori_sim_socket *cori_sim_socket_new(int family, int type, uint16_t host);
/* The socket bound to the address, of `type`, in this state or any that is not LISTENING; NULL: none. */
cori_sim_socket *cori_sim_socket_at(uint16_t host, const cori_sim_address *address, int type, bool listening);
/* One that `listener` has made and nobody has accepted; NULL: none. */
cori_sim_socket *cori_sim_socket_child_of(const cori_sim_socket *listener);
/* Takes a port that is free; 0: there is none. */
uint16_t cori_sim_port(uint16_t host, int type);

/* Reports an edge on a registered descriptor to its poller; ends its registration. */
void cori_sim_fd_edge(cori_sim_fd *fd, unsigned mask);
void cori_sim_fd_forget(cori_sim_fd *fd);

/* Tells whoever waits on the socket's descriptors: a mask of bits CORI_READ and CORI_WRITE. */
void cori_sim_edge(cori_sim_socket *socket, unsigned mask);
/* What a socket is ready for now; as above. */
unsigned cori_sim_readiness(const cori_sim_socket *socket);

void cori_sim_queue_put(cori_sim_queue *queue, cori_sim_segment *segment);
cori_sim_segment *cori_sim_queue_take(cori_sim_queue *queue);
void cori_sim_queue_drop(cori_sim_queue *queue);

/* Streams: stream.c. */
void cori_sim_send_segment(cori_sim_socket *from, enum cori_sim_kind kind);
void cori_sim_send_bytes(cori_sim_socket *from, const struct msghdr *message, size_t size);
/* It is over, with `error`: what is under way or waits is lost. */
void cori_sim_die(cori_sim_socket *socket, int error);
/* All that is open on the host is gone, and nobody is told. */
void cori_sim_sockets_crash(uint16_t host);
/* Breaks a connection, as a reset from both sides does. */
void cori_sim_break(cori_sim_socket *socket);
int cori_sim_connect(cori_sim_socket *from, const cori_sim_address *to);
/* No descriptor leads to it any more. */
void cori_sim_socket_closed(cori_sim_socket *socket);
/* Frees it, if nothing needs it any more. */
void cori_sim_socket_release(cori_sim_socket *socket);

/* Segments: segment.c. A new one that has `size` bytes of a message, from its byte `from` on. */
cori_sim_segment *cori_sim_segment_new(enum cori_sim_kind kind, const struct msghdr *message, size_t from, size_t size);
/* A datagram, with room for its sender's address. */
cori_sim_segment *cori_sim_segment_datagram(const struct msghdr *message, size_t size);
void cori_sim_segment_free(cori_sim_segment *segment);
/* Frees those that are kept for later. */
void cori_sim_segments_end(void);

/* Silence: alive.c. True if the way from the socket to its peer, which is stuck, has been so for too long. */
bool cori_sim_is_stuck_for_good(cori_sim_socket *socket);
/* Keep-alive begins to ask, if nothing comes through; of all sockets, after a cut or a crash. */
void cori_sim_probe_if_cut(cori_sim_socket *socket);
void cori_sim_probe_all(void);
/* The first socket; the others follow by all_next. */
cori_sim_socket *cori_sim_sockets(void);

/* Datagrams: datagram.c. As sendmsg and recvmsg. */
ssize_t cori_sim_datagram_send(cori_sim_socket *from, const struct msghdr *message, size_t size);
ssize_t cori_sim_datagram_take(cori_sim_socket *at, struct msghdr *message);
/* Frees what the event is about, if that is a datagram under way. */
void cori_sim_datagram_drop(cori_sim_event *event);

#endif
