/* SPDX-License-Identifier: MIT */
/*
 * cor_serve: the accept loop every server needs. One acceptor task per worker, each with a handle of its own on the
 * listening socket, so that a worker held by a computing task delays no connection: another accepts it. The handlers
 * are spread by the scheduler's placement (sched/placement.c), wherever they were accepted.
 *
 * cor_serve_until_signal's end: the listener is closed; `closing` is set, for handlers that ask; all connections that
 * were accepted are told, and each handler's next read that would wait gives COR_ECLOSING. serve() returns when no
 * acceptor is left, so no connection is accepted after the telling.
 */
#include "base/atomic.h"
#include "base/limits.h"
#include "net/conn.h"
#include "net/listener.h"
#include "sched/here.h"
#include "sync/group.h"

#include <coracle/task.h>
#include <coracle/time.h>
#include <errno.h>
#include <signal.h>

/* One cor_serve under way; on its caller's stack. */
typedef struct service {
    cor_listener *listener;
    cor_group *handlers;
    void (*handler)(cor_conn *conn, void *arg);
    void *arg;
    const void *site; /* where handlers are said to be spawned */
    cori_serve_hooks hooks;
    enum cori_ending ending; /* what the connections hear of */
} service;

static uint32_t closing; /* atomic: cor_serve_until_signal is ending */

/* What a handler's task begins with; the handler is the task's `function`. */
static void handler_entry(void *conn, void *arg)
{
    void (*handler)(cor_conn *, void *) = (void (*)(cor_conn *, void *))(uintptr_t)cori_self()->function;
    handler(conn, arg);
}

static int start_handler(const service *serving, cor_conn *conn)
{
    cori_spawn spawn = {.entry = handler_entry,
                        .arg_a = conn,
                        .arg_b = serving->arg,
                        .function = (void (*)(void *))(uintptr_t)serving->handler,
                        .site = serving->site,
                        .worker = -1,
                        .stack_now = true};
    return cori_group_start(serving->handlers, &spawn);
}

/*
 * True for errors after which the next accept can work: what was pending on the new connection, a rule that forbids it,
 * a lack of something (accept(2)). Others mean the listener itself.
 */
static bool is_passing(int code)
{
    switch (code) {
    case -ECONNABORTED:
    case -ECONNRESET:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -EOPNOTSUPP:
    case -ESOCKTNOSUPPORT:
    case -EPROTONOSUPPORT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENONET:
    case -EPERM:
    case -ENOMEM:
    case -ENOSPC: /* epoll_ctl(2): fs.epoll.max_user_watches */
    case -ENOBUFS:
    case -ENOSR:
        return true;
    default:
        return cor_is_temporary(code);
    }
}

static void tell(const service *serving, int code, int64_t pause_ns)
{
    const cori_pause_hook *hook = &serving->hooks.on_pause;
    if (hook->told != NULL) {
        hook->told(code, pause_ns, hook->arg);
    }
}

/* A connection from `peer` was accepted, and is closed before any handler has seen it. */
static void tell_loss(const service *serving, int code, cor_addr peer)
{
    const cori_loss_hook *hook = &serving->hooks.on_loss;
    if (hook->told != NULL) {
        hook->told(code, peer, hook->arg);
    }
}

/* Accepts one connection and starts its handler. Returns 0 or an error code; none is accepted and forgotten. */
static int accept_one(const service *serving, cor_listener *listener)
{
    cor_conn *conn;
    cor_addr peer;
    bool lost;
    int rc = cori_listener_accept(listener, serving->ending, &conn, &lost, &peer);
    if (rc == 0) {
        rc = start_handler(serving, conn);
        if (rc == 0) {
            return 0;
        }
        lost = true;
        peer = cor_remote_endpoint(conn);
        (void)cor_close(conn);
    }
    if (lost) {
        tell_loss(serving, rc, peer);
    }
    return rc;
}

/* Accepts until the listener is closed or the task interrupted. */
static int accept_loop(const service *serving, cor_listener *listener)
{
    int64_t pause_ns = 0;
    for (;;) {
        int rc = accept_one(serving, listener);
        if (rc == 0) {
            pause_ns = 0;
            continue;
        }
        if (rc == COR_ECLOSED) {
            return 0;
        }
        int interrupted = cor_cancelled();
        if (interrupted != 0 || !is_passing(rc)) {
            return interrupted != 0 ? interrupted : rc;
        }
        pause_ns = pause_ns == 0 ? CORI_ACCEPT_PAUSE_MIN_NS : pause_ns * 2;
        pause_ns = pause_ns > CORI_ACCEPT_PAUSE_MAX_NS ? CORI_ACCEPT_PAUSE_MAX_NS : pause_ns;
        int64_t deadline = cori_listener_deadline(listener); /* who is told may move it */
        tell(serving, rc, pause_ns);
        cori_listener_pause(listener, pause_ns, deadline);
    }
}

static void acceptor_entry(void *serving, void *listener)
{
    int rc = accept_loop(serving, listener);
    if (rc < 0 && cor_cancelled() == 0) {
        tell(serving, rc, 0);
    }
}

/* Starts an acceptor on worker number `worker`, on a clone of the listener: 0 and *clone, or why there is none. */
static int start_acceptor(service *serving, cor_group *acceptors, int worker, cor_listener **clone)
{
    int rc = cori_listener_clone(serving->listener, clone);
    if (rc < 0) {
        return rc;
    }
    cori_spawn spawn = {.entry = acceptor_entry,
                        .arg_a = serving,
                        .arg_b = *clone,
                        .name = "acceptor",
                        .site = serving->site,
                        .worker = worker};
    rc = cori_group_start(acceptors, &spawn);
    if (rc < 0) {
        cori_listener_drop_clone(serving->listener, *clone);
    }
    return rc;
}

/* Starts an acceptor on each worker but this one; as many as descriptors and memory allow. The clones opened. */
static int start_acceptors(service *serving, cor_group *acceptors, cor_listener **clones)
{
    int count = 0, here = cori_here_id(); /* once: the task may float */
    for (int worker = 0; worker < cori_worker_count(); worker++) {
        int rc = worker != here ? start_acceptor(serving, acceptors, worker, &clones[count]) : COR_ECLOSED;
        if (rc == 0) {
            count++;
        } else if (rc != COR_ECLOSED) {
            tell(serving, rc, 0);
        }
    }
    return count;
}

static int serve(service *serving)
{
    cor_listener *clones[CORI_WORKERS_MAX];
    cor_group acceptors = {0};
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    cori_group_decide(serving->handlers);
    serving->hooks = cori_listener_hooks(serving->listener);
    int count = start_acceptors(serving, &acceptors, clones);
    int rc = accept_loop(serving, serving->listener);
    for (int i = 0; i < count; i++) { /* closed already if the listener was */
        cori_listener_drop_clone(serving->listener, clones[i]);
    }
    (void)cor_group_wait(&acceptors, 0);
    return rc;
}

int cor_serve(cor_listener *listener, cor_group *group, void (*handler)(cor_conn *conn, void *arg), void *arg)
{
    service serving = {
        .listener = listener, .handlers = group, .handler = handler, .arg = arg, .site = __builtin_return_address(0)};
    return serve(&serving);
}

bool cor_closing(void)
{
    return cori_load(&closing) != 0;
}

/* Closes the listener at the first signal; from then on signals have their earlier effect. */
typedef struct watch {
    cor_listener *listener;
    int error; /* why the signals cannot be waited for */
} watch;

static void close_on_signal(void *arg)
{
    watch *watching = arg;
    int number = cor_signal_wait(0);
    if (number == COR_ECANCELED) {
        return;
    }
    watching->error = number < 0 ? number : 0;
    if (number >= 0) {
        cori_store(&closing, 1);
    }
    (void)cor_signal_reset(SIGINT);
    (void)cor_signal_reset(SIGTERM);
    (void)cor_listener_close(watching->listener);
}

static int serve_watched(service *serving)
{
    cor_group watchers = {0};
    watch signals = {.listener = serving->listener};
    int rc = cor_signal_catch(SIGINT);
    rc = rc < 0 ? rc : cor_signal_catch(SIGTERM);
    rc = rc < 0 ? rc : cor_group_go(&watchers, close_on_signal, &signals);
    if (rc == 0) {
        rc = serve(serving);
        cor_group_cancel(&watchers);
        (void)cor_group_wait(&watchers, 0);
    }
    return rc == 0 ? signals.error : rc;
}

int cor_serve_until_signal(cor_listener *listener, void (*handler)(cor_conn *conn, void *arg), void *arg,
                           int64_t grace_ns)
{
    cor_group handlers = {0};
    service serving = {.listener = listener,
                       .handlers = &handlers,
                       .handler = handler,
                       .arg = arg,
                       .site = __builtin_return_address(0),
                       .ending = CORI_HEARS_OF_END};
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    cori_store(&closing, 0); /* an earlier cor_run may have ended in between */
    int rc = serve_watched(&serving);
    (void)cor_listener_close(listener); /* or it is already */
    if (rc != -EBUSY) {                 /* else the signals, and the connections told, are another server's */
        cori_store(&closing, 1);
        cori_conn_begin_end();
    }
    if (cor_group_wait(&handlers, cor_after(grace_ns)) == COR_ETIMEOUT) {
        cor_group_cancel(&handlers);
        (void)cor_group_wait(&handlers, 0);
    }
    cori_store(&closing, 0);
    return rc;
}
