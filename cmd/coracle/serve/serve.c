/* SPDX-License-Identifier: MIT */
/*
 * Listens on everything or on nothing, says where, accepts until a signal, ends idle sessions, lets the others finish
 * for the grace period, then cancels them. Each service accepts in a task of its own; all sessions are in one group.
 * A service for datagrams has that one task and no sessions: see packets.h.
 */
#include "serve/serve.h"

#include "exits.h"
#include "serve/admin/admin.h"
#include "serve/exec/exec.h"
#include "serve/life/inherit.h"
#include "serve/life/manager.h"
#include "serve/life/privileges.h"
#include "serve/life/restart.h"
#include "serve/limits.h"
#include "serve/memory.h"
#include "serve/packets.h"
#include "serve/sandbox/sandbox.h"
#include "serve/session.h"
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* When a client that has vanished is noticed: after 15 s of silence it is probed each second, and given up at 40 s. */
#define ASK_AFTER_NS (15 * COR_SECOND)
#define ASK_EVERY_NS COR_SECOND
#define GIVE_UP_NS (40 * COR_SECOND)

/* Lists being read again. */
struct reload {
    struct serve *serve;
    char trouble[ACCESS_TROUBLE];
};

/* The handles stay: an accept task that has not begun yet must find its own closed, not none. */
static void close_listeners(struct serve *serve)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].listener != NULL) {
            cor_listener_close(serve->services[i].listener);
        }
    }
}

static void close_packets(struct serve *serve)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].packets != NULL) {
            cor_close(serve->services[i].packets);
        }
    }
}

/* After a start that failed nothing listens. */
static void close_all(struct serve *serve)
{
    close_listeners(serve);
    close_packets(serve);
    admin_stop(serve);
}

/*
 * Has connections end whose peers have vanished without a word. Keep-alive does it while nothing is in flight; the user
 * timeout does it while something is, and also ends a client that takes nothing: never sooner than the write limit.
 * Clients that came together are probed together, and no queue on the way holds ten thousand probes at once: so those
 * that have not answered are probed again each second, and a few lost probes end nobody.
 */
static void end_vanished(const struct service *service)
{
    int64_t limit = service->serve->options.write_timeout;
    int count = (int)((GIVE_UP_NS - ASK_AFTER_NS) / ASK_EVERY_NS);
    int code = cor_listener_set_keep_alive(service->listener, ASK_AFTER_NS, ASK_EVERY_NS, count);
    if (code == 0 && limit > 0) {
        code = cor_listener_set_user_timeout(service->listener, limit > GIVE_UP_NS ? limit : GIVE_UP_NS);
    }
    if (code < 0 && code != -EOPNOTSUPP) { /* a unix socket's peers do not vanish */
        LOG(LEVEL_WARN, "keep_alive_failed", {"service", service->def->name, 0}, {"error", cor_strerror(code), 0});
    }
}

static int listen_on(struct service *service, cor_error *error)
{
    const address *at = &service->address;
    const struct owner *owner = &service->serve->owner;
    bool inherits = service->inherited != 0; /* then the file is whose it was made */
    if (address_is_packets(at)) {
        int code = inherits ? inherit_listen(NULL, &service->packets, service->inherited, at, error)
                            : cor_listen_packet(&service->packets, at->network, at->text, error);
        code = code == 0 && !inherits ? owner_give(owner, at, error) : code;
        if (code == 0) {
            cor_local_addr(service->packets, service->bound, sizeof(service->bound));
        }
        return code;
    }
    int code = inherits ? inherit_listen(&service->listener, NULL, service->inherited, at, error)
                        : cor_listen(&service->listener, at->network, at->text, error);
    code = code == 0 && !inherits ? owner_give(owner, at, error) : code;
    if (code == 0) {
        end_vanished(service);
        service->owns_file = inherits ? service->owns_file : strcmp(at->network, "unix") == 0;
        cor_listener_addr(service->listener, service->bound, sizeof(service->bound));
        if (service->def == &exec_service && address_is_public(service->listener)) {
            LOG(LEVEL_WARN, "exec_public", {"local", service->bound, 0});
        }
    }
    return code;
}

/* What an operator can do about a failed listen. NULL: the error says it. */
static const char *advice(const cor_error *error)
{
    bool local = strncmp(error->network, "unix", 4) == 0;
    switch (error->code) {
    case -EADDRINUSE:
        return local ? "a server listens there, or the path is another kind of file"
                     : "another socket has this address (ss -lp shows whose)";
    case -EACCES:
    case -EPERM:
        if (strcmp(error->where, "bind") != 0) {
            return NULL;
        }
        return local ? "its folder must be writable"
                     : "ports below 1024 need root (see --user) or CAP_NET_BIND_SERVICE";
    case -EMFILE:
        return "raise the limit of descriptors (ulimit -n)";
    case -ENOENT:
        return local ? "the folder of the socket must exist" : NULL;
    case -EADDRNOTAVAIL:
        return "no interface here has this address; without a host, as in :7000, it listens on all";
    case COR_EINVALID_PORT:
    case COR_EUNKNOWN_PORT:
        return "a port is a number up to 65535, or a name in /etc/services";
    case COR_EMISSING_PORT:
    case COR_EMISSING_BRACKET:
    case COR_ETOO_MANY_COLONS:
    case COR_EUNKNOWN_NETWORK:
        return "addresses are host:port, :port, [v6]:port or NETWORK://..., see coracle serve --help";
    default:
        return NULL;
    }
}

/*
 * Listens for all services and for operators. Returns an exit code; on failure stderr says why in Go's words, and for
 * whom it was.
 */
static int listen_all(struct serve *serve)
{
    cor_error error;
    const char *whose = "--admin";
    int code = admin_listen(serve, &error);
    for (size_t i = 0; i < serve->service_count && code == 0; i++) {
        whose = serve->services[i].def->name;
        code = listen_on(&serve->services[i], &error);
    }
    if (code == 0) {
        return EXIT_OK;
    }
    char text[COR_ERROR_TEXT];
    const char *what = advice(&error);
    fprintf(stderr, "%s\n", cor_error_text(&error, text, sizeof(text)));
    fprintf(stderr, "coracle serve: %s cannot listen%s%s\n", whose, what != NULL ? ": " : "", what != NULL ? what : "");
    close_all(serve);
    int exit_code = exit_code_of(code);
    return exit_code == EXIT_UNREACHABLE ? EXIT_BAD_CONFIG : exit_code;
}

/* Tells where the services are, for programs on stdout and for people on stderr, before anybody is accepted. */
static void announce(struct serve *serve)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        struct service *service = &serve->services[i];
        log_announce("listening %s%s%s %s %s", service->def->name, *service->room != '\0' ? "/" : "", service->room,
                     service_network(service), service->bound);
    }
    admin_announce(serve);
    log_flush();
    for (size_t i = 0; i < serve->service_count; i++) {
        struct service *service = &serve->services[i];
        char target[COR_ADDR_TEXT + 16], plain[COR_ADDR_TEXT + 16];
        address_to_dial(service->address.network, service->bound, target, sizeof(target));
        if (service->websocket) {
            log_hint("try: http://%s/ in a browser", target);
            continue;
        }
        address_for_nc(service->address.network, service->bound, plain, sizeof(plain));
        log_hint("try: %s dial %s%s   or: nc %s", program_invocation_name,
                 service->packets != NULL ? "" : service->def->dial, target, plain);
    }
    admin_hint(serve);
    log_flush();
}

/* Ends the program as a signal would when no service can accept any more. */
static void accept_ended(struct service *service, const char *event, int code)
{
    struct serve *serve = service->serve;
    int left = atomic_fetch_sub(&serve->accepting, 1) - 1;
    if (code < 0 && code != COR_ECANCELED) {
        LOG(LEVEL_ERROR, event, {"service", service->def->name, 0}, {"error", cor_strerror(code), 0});
        atomic_store(&serve->failed, true);
        if (left == 0 && !atomic_load(&serve->stopping)) {
            kill(getpid(), SIGTERM);
        }
    }
}

/*
 * Descriptors or memory have run out: new clients wait until there is some again. Without a pause one worker accepts no
 * more; the others do.
 */
static void accept_paused(int code, int64_t pause_ns, void *arg)
{
    const struct service *service = arg;
    if (pause_ns == 0) {
        LOG(LEVEL_ERROR, "acceptor_lost", {"service", service->def->name, 0}, {"error", cor_strerror(code), 0});
        return;
    }
    atomic_fetch_add(&service->serve->accept_pauses, 1);
    LOG(LEVEL_WARN, "accept_paused", {"service", service->def->name, 0}, {"error", cor_strerror(code), 0},
        {"ms", NULL, pause_ns / COR_MILLISECOND});
}

static void accept_task(void *arg)
{
    struct service *service = arg;
    cor_listener_on_pause(service->listener, accept_paused, service);
    cor_listener_on_loss(service->listener, session_lost, service);
    int code = cor_serve(service->listener, &service->serve->sessions, session_main, service);
    accept_ended(service, "accept_failed", code);
    cor_waitgroup_done(&service->serve->acceptors);
}

static void packets_task(void *arg)
{
    struct service *service = arg;
    accept_ended(service, "read_failed", packets_serve(service));
    cor_waitgroup_done(&service->serve->acceptors);
}

static int start_all(struct serve *serve)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        struct service *service = &serve->services[i];
        if (service->def->start != NULL && service->def->start(service) < 0) {
            return -ENOMEM;
        }
    }
    log_flush();
    if (serve->options.max_memory > 0 && cor_group_go(&serve->helpers, memory_watch, serve) < 0) {
        return -ENOMEM;
    }
    atomic_store(&serve->accepting, (int)serve->service_count);
    for (size_t i = 0; i < serve->service_count; i++) {
        cor_waitgroup_add(&serve->acceptors, 1);
        int code = cor_go(serve->services[i].packets != NULL ? packets_task : accept_task, &serve->services[i]);
        if (code < 0) {
            cor_waitgroup_done(&serve->acceptors);
            return code;
        }
    }
    return 0;
}

static int64_t open_now(struct serve *serve)
{
    conns_counts counts;
    conns_count(&serve->conns, &counts);
    return (int64_t)counts.open;
}

/* The last words: how many connections ended for each reason, and that they add up. */
static void log_counts(struct serve *serve)
{
    conns_counts counts;
    conns_count(&serve->conns, &counts);
    log_field fields[REASON_COUNT];
    size_t used = 0;
    for (int i = 0; i < REASON_COUNT; i++) {
        if (counts.by_reason[i] > 0) {
            fields[used++] = (log_field){reason_names[i], NULL, (int64_t)counts.by_reason[i]};
        }
    }
    log_event(LEVEL_INFO, "reasons", fields, used);
    LOG(LEVEL_INFO, "stopped", {"accepted", NULL, (int64_t)counts.accepted}, {"closed", NULL, (int64_t)counts.closed},
        {"open", NULL, (int64_t)counts.open});
}

/*
 * Plans the end of idle sessions: at once, or over --lame-duck. After a takeover nobody waits for this process to end:
 * the first half of its time nobody is ended. Returns until when sessions may last.
 */
static int64_t plan_ends(struct serve *serve, bool taken_over)
{
    int64_t grace = serve->options.grace, now = cor_now(), spread = serve->options.lame_duck;
    int64_t until = cor_after(spread + grace);
    if (taken_over && spread == 0) {
        spread = grace / 4 * 3;
        grace -= spread;
    }
    int64_t quiet = taken_over ? spread / 3 * 2 : 0;
    serve->ends_from = now + quiet;
    serve->ends_over = spread - quiet;
    atomic_store(&serve->served_until, now + spread + grace / 2);
    return until;
}

/* Says how it ends, to the log and to the manager: with a takeover that is another process's business. */
static void tell_the_end(struct serve *serve, int signal_number, int successor)
{
    if (successor != 0) {
        LOG(LEVEL_INFO, "taken_over", {"pid", NULL, successor}, {"open", NULL, open_now(serve)});
        return;
    }
    LOG(LEVEL_INFO, "stopping", {"signal", NULL, signal_number}, {"open", NULL, open_now(serve)});
    manager_tell("STOPPING=1\nSTATUS=Ending %lld connections", (long long)open_now(serve));
}

/*
 * Lets nobody in any more, and then says so, if a signal is why: whoever has read it finds it true. With a takeover all
 * that is asked from here on the successor answers, never that this one ends. Returns until when sessions may last.
 */
static int64_t stop_accepting(struct serve *serve, int signal_number)
{
    int successor = restart_end(serve);
    if (successor != 0) {
        restart_leave_files(serve);
        admin_end_answers(serve);
    }
    int64_t until = plan_ends(serve, successor != 0);
    atomic_store(&serve->stopping, true);
    close_listeners(serve);
    if (signal_number != 0) {
        tell_the_end(serve, signal_number, successor);
    }
    return until;
}

/* Ends the sessions: idle ones as planned, the others when they have finished or the time is over. */
static void wind_down(struct serve *serve, int signal_number)
{
    int64_t until = stop_accepting(serve, signal_number);
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].def->stopping != NULL) {
            serve->services[i].def->stopping(&serve->services[i]);
        }
    }
    packets_end_all(serve);
    cor_waitgroup_wait(&serve->acceptors, 0);
    close_packets(serve);
    session_end_all_idle(serve);
    if (cor_group_wait(&serve->sessions, until) == COR_ETIMEOUT) {
        LOG(LEVEL_INFO, "grace_over", {"open", NULL, open_now(serve)});
        cor_group_cancel(&serve->sessions);
        cor_group_wait(&serve->sessions, 0);
    }
    cor_group_cancel(&serve->helpers);
    cor_group_wait(&serve->helpers, 0);
    admin_stop(serve); /* it looks at what services have */
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].def->stop != NULL) {
            serve->services[i].def->stop(&serve->services[i]);
        }
    }
    log_flush(); /* the other workers' last events come first */
    log_counts(serve);
}

/* Reads the lists of addresses; may stop its thread. */
static int read_lists(void *arg)
{
    struct reload *reload = arg;
    const serve_options *options = &reload->serve->options;
    return access_read(&reload->serve->access, options->allow, options->deny, reload->trouble);
}

/* SIGHUP: reads again what is in files. All of it is good, or nothing changes. */
static void reload_files(struct serve *serve)
{
    struct reload reload = {.serve = serve};
    manager_reloading();
    bool has_lists = serve->options.allow != NULL || serve->options.deny != NULL;
    bool done = !has_lists || cor_blocking(read_lists, &reload) > 0;
    atomic_store(&serve->reloaded, cor_now());
    atomic_fetch_add(&serve->reloads[done ? RELOAD_DONE : RELOAD_FAILED], 1);
    if (done) {
        LOG(LEVEL_INFO, "reloaded", {"blocks", NULL, has_lists ? (int64_t)access_count(&serve->access) : 0});
    } else {
        LOG(LEVEL_ERROR, "reload_failed", {"error", reload.trouble, 0});
    }
    manager_ready(serve);
}

/* Waits for the signal that ends the program, and obeys others meanwhile. Returns its number. */
static int wait_for_the_end(struct serve *serve)
{
    for (;;) {
        int number = signals_wait();
        if (number == SIGHUP) {
            restart_pass_on(serve, number);
            reload_files(serve);
        } else if (number == SIGUSR1) {
            restart_pass_on(serve, number);
            signals_reopen_log();
        } else if (number == SIGUSR2 && atomic_load(&serve->restart.successor) == 0) {
            restart_begin(serve);
        } else {
            return number;
        }
    }
}

/* A second signal ends the process at once: nothing that it has started stays. */
static void last_words(void)
{
    exec_kill_all();
    log_last_words();
}

int serve_main(void *arg)
{
    struct serve *serve = arg;
    int exit_code = listen_all(serve);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    exit_code = privileges_drop(serve);
    exit_code = exit_code == EXIT_OK ? sandbox_calls(serve) : exit_code;
    if (exit_code != EXIT_OK) {
        close_all(serve);
        cor_group_cancel(&serve->helpers);
        cor_group_wait(&serve->helpers, 0);
        return exit_code;
    }
    int code = signals_catch();
    if (code < 0) {
        fprintf(stderr, "coracle serve: signals: %s\n", cor_strerror(code));
        close_all(serve);
        return EXIT_FAILED;
    }
    int number = 0;
    announce(serve);
    code = start_all(serve);
    code = code < 0 ? code : admin_start(serve);
    code = code < 0 ? code : manager_watch(serve);
    if (code < 0) {
        LOG(LEVEL_ERROR, "start_failed", {"error", cor_strerror(code), 0});
        atomic_store(&serve->failed, true);
    } else {
        restart_serves(serve);
        manager_ready(serve);
        number = wait_for_the_end(serve);
    }
    signals_end_at_once(last_words);
    wind_down(serve, number);
    return atomic_load(&serve->failed) ? EXIT_FAILED : EXIT_OK;
}
