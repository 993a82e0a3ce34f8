/* SPDX-License-Identifier: MIT */
/*
 * Who is connected to the status server, and its one thread: it accepts, has libmicrohttpd answer, and sleeps in
 * poll(2). What is here is that thread's own, but for beginning and end.
 *
 * It accepts itself, since libmicrohttpd looks for a client in a busy loop when there is no descriptor for it. Here a
 * failed accept is followed by a pause of CLIENTS_PAUSE_NS, doubled each time up to CLIENTS_PAUSE_MOST_NS, in which the
 * listener is not looked at; the other connections go on.
 *
 * Who gives way: when most of CLIENTS_MOST are there a new one ends the oldest that has had its second, and the one
 * that takes the last place ends the oldest at once: nobody is accepted any more until there is one, so there would be
 * no later moment. A client for whom there is no descriptor ends the oldest that has had its second, too.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_CLIENTS_H
#define CORACLE_CMD_SERVE_ADMIN_CLIENTS_H

#include <stdint.h>

enum { CLIENTS_MOST = 32 };
/* The first pause and the longest, those of cor_serve. */
enum { CLIENTS_PAUSE_NS = 5000000, CLIENTS_PAUSE_MOST_NS = 1000000000 };

/* Hears of each pause, and of what there was none of; on the status server's thread. */
typedef void clients_pause(void *arg, int code, int64_t pause_ns);

#if COR_HAVE_ADMIN

#include "serve/admin/mhd.h"

#include <pthread.h>
#include <stdbool.h>

/* An open connection. */
struct client {
    struct MHD_Connection *connection; /* NULL: this entry is free */
    int64_t since;                     /* cor_now() */
    bool ended;                        /* by us; libmicrohttpd has still to notice */
};

typedef struct clients {
    struct MHD_Daemon *daemon;
    int listener;
    int bell; /* an eventfd: the thread is to end */
    pthread_t thread;
    clients_pause *on_pause;
    void *arg;
    int64_t pause_ns;     /* the last one's; 0: the last accept was good */
    int64_t paused_until; /* cor_now() */
    struct client open[CLIENTS_MOST];
    int count;
} clients;

/* libmicrohttpd's MHD_NotifyConnectionCallback; `arg` is the struct clients. */
void clients_notice(void *arg, struct MHD_Connection *connection, void **socket_context,
                    enum MHD_ConnectionNotificationCode code);

/*
 * Begins to accept. `daemon`, `listener`, `on_pause` and `arg` are set, the rest is 0. Takes daemon and listener.
 * Returns 0 or a negative errno; then they are the caller's.
 */
int clients_start(clients *of);

/* Ends the thread, the connections, the daemon and the listener. */
void clients_stop(clients *of);

#endif

#endif
