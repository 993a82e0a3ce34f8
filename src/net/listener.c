/* SPDX-License-Identifier: MIT */
/*
 * Listeners: opening, accepting, closing.
 *
 * A listener may have clones: slots of their own on dup'ed descriptors, through which cor_serve accepts on the other
 * workers. The first slot's listener_state lists them; cor_listener_close takes the list (and refuses later additions
 * by setting `closing`), closes the first slot, then the clones, so that the port is free when it returns.
 */
#include "net/listener.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/sys.h"
#include "net/conn.h"
#include "net/listen.h"
#include "net/raw.h"
#include "sched/here.h"
#include "sched/leaks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct twin {
    cor_listener *listener;
    cori_slot *slot;
} twin;

/* What a listener has beside its descriptor; guard: the slot's spin lock. */
typedef struct listener_state {
    char *path;        /* of the socket file to remove; NULL: none */
    cori_file_id file; /* which it is: the path may lead to a successor's by now */
    bool closing;
    int clone_count;
    twin clones[CORI_WORKERS_MAX];
    cori_serve_hooks hooks;
} listener_state;

static void listener_local_text(cori_slot *slot, char *text, size_t size)
{
    if (cori_networks[slot->network].local) {
        cori_unix_local_text(slot, text, size);
    } else {
        cori_tcp_local_text(slot, text, size);
    }
}

/* What `slot` has beside its descriptor; NULL for a clone. */
static listener_state *state_of(const cori_slot *slot)
{
    return slot->is.impl;
}

static void free_state(listener_state *listening)
{
    if (listening != NULL) {
        free(listening->path);
        free(listening);
    }
}

static void listener_destroy(cori_slot *slot)
{
    listener_state *listening = state_of(slot);
    if (listening != NULL && listening->path != NULL) {
        cori_sys_remove_socket_file(listening->path, listening->file);
    }
    free_state(listening);
    cori_fd_destroy(slot);
}

static const cori_conn_ops listener_ops = {
    .deadline_moved = cori_fd_deadline_moved,
    .evict = cori_fd_evict,
    .detach = cori_fd_detach,
    .destroy = listener_destroy,
    .local_text = listener_local_text,
};

/* The state of a new listener; NULL: no memory. */
static listener_state *state_new(const char *path, cori_file_id file)
{
    listener_state *listening = cori_calloc(1, sizeof(*listening));
    if (listening != NULL && file.inode != 0) {
        listening->file = file;
        listening->path = cori_strdup(path);
        if (listening->path == NULL) {
            free(listening);
            return NULL;
        }
    }
    return listening;
}

/* Opens a listener on `fd`, taken in every case, and on the socket file that was made for it. */
static int open_on(cor_listener **out, const cori_network *network, int fd, enum cori_fd_kind kind, const char *path,
                   cori_file_id file)
{
    listener_state *listening = state_new(path, file);
    cori_slot *slot = listening != NULL ? cori_slot_new(CORI_KIND_LISTENER, &listener_ops) : NULL;
    if (slot == NULL) {
        free_state(listening);
        cori_sys_remove_socket_file(path, file);
        cori_sys_close(fd);
        return -ENOMEM;
    }
    slot->network = (uint8_t)(network - cori_networks);
    slot->is.impl = listening;
    cori_fd_open(slot, fd, kind);
    *out = cori_slot_publish(slot);
    return 0;
}

static int open_listener(cor_listener **out, const cori_network *network, const char *address,
                         const cor_listen_options *with, cor_error *error)
{
    cori_file_id file;
    int fd = cori_listen_socket(network, address, with, &file, error);
    enum cori_fd_kind kind = cori_solo() && !network->local ? CORI_FD_ACCEPTS : CORI_FD_PLAIN;
    return fd < 0 ? fd : open_on(out, network, fd, kind, address, file);
}

static int listen_complete(cor_listener **out, const cor_listen_options *with, const char *network, const char *address,
                           cor_error *error)
{
    if (cori_self() == NULL) {
        return cori_error_fill(error, "listen", network, address, COR_ENOT_TASK);
    }
    const cori_network *known;
    int protocol, rc = cori_network_parse(network, &known, &protocol, error);
    if (rc < 0) {
        return cori_error_fill(error, "listen", network, "", rc);
    }
    rc = open_listener(out, known, address, with, error);
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        return cori_in_vain(cori_error_fill(error, "listen", network, shown, rc));
    }
    return 0;
}

int cor_listen_with(cor_listener **out, const cor_listen_options *options, const char *network, const char *address,
                    cor_error *error)
{
    cor_listen_options complete;
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    int rc = cori_listen_options_of(options, &complete);
    if (rc < 0) {
        return cori_error_fill(error, "listen", network, address, rc);
    }
    return listen_complete(out, &complete, network, address, error);
}

int cor_listen(cor_listener **out, const char *network, const char *address, cor_error *error)
{
    const cor_listen_options plain = COR_LISTEN_INIT;
    return cor_listen_with(out, &plain, network, address, error);
}

int cor_listener_of_fd(cor_listener **out, int fd)
{
    const cori_network *network;
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    int listens = 0;
    int rc = cori_fd_network(fd, &network);
    rc = rc < 0 ? rc : cori_sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
    if (rc < 0 || listens == 0) {
        return rc < 0 ? rc : -EINVAL;
    }
    int own = cori_sys_dup(fd);
    if (own < 0) {
        return own;
    }
    rc = cori_sys_never_wait(own);
    if (rc < 0) {
        cori_sys_close(own);
        return rc;
    }
    return open_on(out, network, own, CORI_FD_PLAIN, NULL, (cori_file_id){0, 0});
}

/* Of this listener alone the kernel's queue is not any more: nothing is taken out of it before a call asks. */
static void end_accepting_ahead(cori_slot *slot)
{
    if (cori_load(&slot->pollfd.kind) != CORI_FD_ACCEPTS) {
        return;
    }
    cori_store(&slot->pollfd.kind, CORI_FD_PLAIN);
    cori_poller *poller = cori_load_acquire(&slot->pollfd.poller);
    if (poller != NULL && poller->ops->ahead != NULL) { /* else at the next wait */
        (void)poller->ops->ahead->arm(poller, &slot->pollfd, CORI_READ);
    }
}

int cor_listener_fd(cor_listener *listener)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc == 0) {
        rc = cori_sys_dup(slot->pollfd.fd);
        if (rc >= 0) {
            end_accepting_ahead(slot);
        }
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

ssize_t cor_listener_raw_control(cor_listener *listener, cor_raw_call *call, void *arg)
{
    cori_slot *slot;
    ssize_t result = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (result == 0) {
        result = call(slot->pollfd.fd, arg);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return result;
}

/* The listener's socket file is `path` from now on; NULL: it has none. Taken. */
static void change_file(cori_slot *slot, char *path, cori_file_id file)
{
    listener_state *listening = state_of(slot);
    cori_spin_lock(&slot->spin);
    char *before = listening->path;
    listening->path = path;
    listening->file = file;
    cori_spin_unlock(&slot->spin);
    free(before);
}

int cor_listener_unlink_on_close(cor_listener *listener, bool unlink)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    char text[COR_ADDR_TEXT], *path = NULL;
    listener_local_text(slot, text, sizeof(text));
    cori_file_id file = {0, 0};
    if (unlink && cori_networks[slot->network].local && text[0] != '@') {
        file = cori_sys_socket_file(text);
        path = file.inode != 0 ? cori_strdup(text) : NULL;
    }
    if (file.inode != 0 && path == NULL) {
        rc = -ENOMEM;
    } else {
        change_file(slot, path, file);
    }
    cori_slot_leave(slot, CORI_SHARED);
    return rc;
}

cor_addr cor_listener_endpoint(cor_listener *listener)
{
    cor_addr addr = {.port = 0};
    cori_slot *slot;
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        addr = cori_networks[slot->network].local ? addr : cori_tcp_local(slot);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return addr;
}

int cori_listener_accept(cor_listener *listener, enum cori_ending ending, cor_conn **out, bool *lost, cor_addr *from)
{
    cori_slot *slot;
    *lost = false;
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
        *lost = true;
        *from = network->local ? (cor_addr){.port = 0} : cori_addr_of(&peer);
        return -ENOMEM;
    }
    conn->ending = (uint8_t)ending;
    if (cori_here_is_busy()) { /* an event for what the client has sent would come after the turns of all these */
        cori_store_relaxed(&conn->pollfd.wait[CORI_READ], CORI_READY);
    }
    *out = cori_slot_publish(conn);
    return 0;
}

int cor_accept(cor_listener *listener, cor_conn **out)
{
    bool lost; /* the caller has the error */
    cor_addr from;
    return cori_listener_accept(listener, CORI_ENDS_UNHEARD, out, &lost, &from);
}

char *cor_listener_addr(cor_listener *listener, char *text, size_t size)
{
    cori_slot *slot;
    if (size > 0) {
        text[0] = '\0';
        if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
            listener_local_text(slot, text, size);
            cori_slot_leave(slot, CORI_SHARED);
        }
    }
    return text;
}

int cor_listener_set_deadline(cor_listener *listener, int64_t deadline)
{
    cori_slot *slots[CORI_WORKERS_MAX + 1], *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    listener_state *listening = state_of(slot);
    int count = 1;
    slots[0] = slot;
    deadline = cori_slot_deadline(deadline);
    cori_spin_lock(
        &slot->spin); /* all of them, or a later change would be overtaken; a clone stays while it is listed */
    cori_store(&slot->deadline[CORI_READ], deadline);
    for (int i = 0; i < listening->clone_count; i++) {
        slots[count] = listening->clones[i].slot;
        cori_store(&slots[count++]->deadline[CORI_READ], deadline);
    }
    cori_spin_unlock(&slot->spin);
    for (int i = 0; i < count; i++) { /* one that is closed by now: a wake for no reason */
        cori_fd_deadline_moved(slots[i], CORI_READ);
        cori_fd_deadline_moved(slots[i], CORI_WRITE); /* a pause */
    }
    cori_slot_leave(slot, CORI_SHARED);
    return 0;
}

/* Waits in the word and with the lock of writes, of which a listener has none, so that accepts go on meanwhile. */
static void pause_until(cori_slot *slot, int64_t until, int64_t deadline)
{
    cori_task *self = cori_here_task();
    uintptr_t *word = &slot->pollfd.wait[CORI_WRITE];
    for (;;) {
        cori_store(word, (uintptr_t)self);
        bool moved = cori_load(&slot->deadline[CORI_READ]) != deadline;
        if (moved || cori_slot_closed(slot) || cori_interrupted(self, until) != 0) {
            break;
        }
        cori_park_external(self, until, "accept pause");
    }
    cori_store(word, CORI_IDLE);
}

int64_t cori_listener_deadline(cor_listener *listener)
{
    cori_slot *slot;
    int64_t deadline = 0;
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        deadline = cori_load(&slot->deadline[CORI_READ]);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return deadline;
}

void cori_listener_pause(cor_listener *listener, int64_t pause_ns, int64_t deadline)
{
    int64_t until = cor_after(pause_ns);
    cori_slot *slot;
    if (cori_slot_enter_until(listener, CORI_KIND_LISTENER, CORI_LOCK_WRITE, until, &slot) == 0) {
        pause_until(slot, until, deadline);
        cori_slot_leave(slot, CORI_LOCK_WRITE);
    }
}

/* Opens the clone's slot; inside a call on the first slot. */
static int open_clone(cori_slot *first, twin *out)
{
    int fd = cori_sys_dup(first->pollfd.fd);
    if (fd < 0) {
        return fd;
    }
    cori_slot *slot = cori_slot_new(CORI_KIND_LISTENER, &listener_ops);
    if (slot == NULL) {
        cori_sys_close(fd);
        return -ENOMEM;
    }
    slot->network = first->network;
    slot->is.impl = NULL;
    cori_fd_open(slot, fd, CORI_FD_CLONE);
    *out = (twin){.listener = cori_slot_publish(slot), .slot = slot};
    cori_leaks_drop(slot); /* the first one stands for all */
    return 0;
}

int cor_listener_on_pause(cor_listener *listener, void (*told)(int code, int64_t pause_ns, void *arg), void *arg)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc == 0) {
        cori_spin_lock(&slot->spin);
        state_of(slot)->hooks.on_pause = (cori_pause_hook){told, arg};
        cori_spin_unlock(&slot->spin);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int cor_listener_on_loss(cor_listener *listener, void (*told)(int code, cor_addr peer, void *arg), void *arg)
{
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc == 0) {
        cori_spin_lock(&slot->spin);
        state_of(slot)->hooks.on_loss = (cori_loss_hook){told, arg};
        cori_spin_unlock(&slot->spin);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

cori_serve_hooks cori_listener_hooks(cor_listener *listener)
{
    cori_slot *slot;
    cori_serve_hooks found = {.on_pause = {NULL, NULL}};
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        cori_spin_lock(&slot->spin);
        found = state_of(slot)->hooks;
        cori_spin_unlock(&slot->spin);
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
    twin added = {NULL, NULL};
    listener_state *listening = state_of(slot);
    rc = open_clone(slot, &added);
    if (rc == 0) {
        cori_spin_lock(&slot->spin);
        bool refused = listening->closing || listening->clone_count == CORI_WORKERS_MAX;
        if (!refused) {
            cori_store(&added.slot->deadline[CORI_READ], cori_load(&slot->deadline[CORI_READ]));
            listening->clones[listening->clone_count++] = added;
        }
        cori_spin_unlock(&slot->spin);
        if (refused) {
            (void)cori_slot_close(added.listener, CORI_KIND_LISTENER);
            rc = COR_ECLOSED;
        }
    }
    cori_slot_leave(slot, CORI_SHARED);
    *out = added.listener;
    return rc;
}

void cori_listener_drop_clone(cor_listener *listener, cor_listener *dropped)
{
    cori_slot *slot;
    if (cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot) == 0) {
        listener_state *listening = state_of(slot);
        cori_spin_lock(&slot->spin);
        for (int i = 0; i < listening->clone_count; i++) {
            if (listening->clones[i].listener == dropped) {
                listening->clones[i] = listening->clones[--listening->clone_count];
                break;
            }
        }
        cori_spin_unlock(&slot->spin);
        (void)cori_slot_close(dropped, CORI_KIND_LISTENER); /* inside the call: closing the first waits for this */
        cori_slot_leave(slot, CORI_SHARED);
    }
}

int cor_listener_close(cor_listener *listener)
{
    twin clones[CORI_WORKERS_MAX];
    int count = 0;
    cori_slot *slot;
    int rc = cori_slot_enter(listener, CORI_KIND_LISTENER, CORI_SHARED, &slot);
    if (rc < 0) {
        return cori_in_vain(rc);
    }
    listener_state *listening = state_of(slot);
    cori_spin_lock(&slot->spin);
    bool first =
        listening == NULL || !listening->closing; /* one closer has all the clones, and returns when they are closed */
    if (listening != NULL && first) {
        listening->closing = true;
        count = listening->clone_count;
        memcpy(clones, listening->clones, (size_t)count * sizeof(clones[0]));
        listening->clone_count = 0;
    }
    cori_spin_unlock(&slot->spin);
    cori_slot_leave(slot, CORI_SHARED);
    rc = first ? cori_slot_close(listener, CORI_KIND_LISTENER) : COR_ECLOSED;
    for (int i = 0; i < count; i++) {
        (void)cori_slot_close(clones[i].listener, CORI_KIND_LISTENER);
    }
    return rc;
}
