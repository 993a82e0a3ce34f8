/* SPDX-License-Identifier: MIT */
/* What cor_serve needs of a listener beside the public calls. */
#ifndef CORI_NET_LISTENER_H
#define CORI_NET_LISTENER_H

#include "net/slot.h"

#include <coracle/net.h>

/* Whom cor_listener_on_pause has said to tell. */
typedef struct cori_pause_hook {
    void (*told)(int code, int64_t pause_ns, void *arg); /* NULL: nobody */
    void *arg;
} cori_pause_hook;
/* Whom cor_listener_on_loss has said to tell. */
typedef struct cori_loss_hook {
    void (*told)(int code, cor_addr peer, void *arg); /* NULL: nobody */
    void *arg;
} cori_loss_hook;

typedef struct cori_serve_hooks {
    cori_pause_hook on_pause;
    cori_loss_hook on_loss;
} cori_serve_hooks;
cori_serve_hooks cori_listener_hooks(cor_listener *listener);

/*
 * As cor_accept; `ending` says what the connection hears of the end of its server. -ENOMEM with *lost: a connection was
 * accepted, there was no slot for it, and it is closed; its peer was *peer.
 */
int cori_listener_accept(cor_listener *listener, enum cori_ending ending, cor_conn **out, bool *lost, cor_addr *peer);

/*
 * Waits after an error of accept: for `pause_ns`, or until the listener is closed, its deadline is not `deadline` any
 * more, or the task's group ends.
 */
void cori_listener_pause(cor_listener *listener, int64_t pause_ns, int64_t deadline);
int64_t cori_listener_deadline(cor_listener *listener);

/*
 * Opens a second handle on the same listening socket, closed together with the first; for accepting on another worker.
 */
int cori_listener_clone(cor_listener *listener, cor_listener **out);
/* Closes such a handle alone; nothing to do if the listener is closed, whose closer closes all. */
void cori_listener_drop_clone(cor_listener *listener, cor_listener *dropped);

#endif
