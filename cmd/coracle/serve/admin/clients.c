/* SPDX-License-Identifier: MIT */
/* The status server's thread. */
#include "serve/admin/clients.h"

#if COR_HAVE_ADMIN

#include "hold_signals.h"

#include <coracle.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWDED = CLIENTS_MOST * 3 / 4 };
/* For how long a connection is left alone while there is room for others. */
#define TURN_NS COR_SECOND

/* What the thread waits for. */
enum { BELL, ANSWERS, LISTENER, WAITS };

static struct client *oldest_of(clients *of)
{
    struct client *oldest = NULL;
    for (int i = 0; i < CLIENTS_MOST; i++) {
        struct client *client = &of->open[i];
        if (client->connection != NULL && !client->ended && (oldest == NULL || client->since < oldest->since)) {
            oldest = client;
        }
    }
    return oldest;
}

/* Ends the oldest connection; if it has not had its turn yet, only `at_once`. */
static void make_room(clients *of, bool at_once)
{
    struct client *oldest = oldest_of(of);
    if (oldest != NULL && (at_once || cor_now() - oldest->since > TURN_NS)) {
        const union MHD_ConnectionInfo *info =
            mhd.get_connection_info(oldest->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        oldest->ended = true;
        (void)shutdown(info->connect_fd, SHUT_RDWR);
    }
}

void clients_notice(void *arg, struct MHD_Connection *connection, void **socket_context,
                    enum MHD_ConnectionNotificationCode code)
{
    clients *of = arg;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct client *client = *socket_context;
        if (client != NULL) {
            client->connection = NULL;
            of->count--;
        }
        return;
    }
    *socket_context = NULL;
    for (int i = 0; i < CLIENTS_MOST && *socket_context == NULL; i++) {
        if (of->open[i].connection == NULL) {
            of->open[i] = (struct client){.connection = connection, .since = cor_now()};
            of->count++;
            *socket_context = &of->open[i];
        }
    }
    if (of->count > CROWDED) {
        make_room(of, of->count == CLIENTS_MOST);
    }
}

/* The next accept could work: not at once. */
static void pause_accepting(clients *of, int code)
{
    int64_t pause_ns = of->pause_ns == 0 ? CLIENTS_PAUSE_NS : of->pause_ns * 2;
    of->pause_ns = pause_ns < CLIENTS_PAUSE_MOST_NS ? pause_ns : CLIENTS_PAUSE_MOST_NS;
    of->paused_until = cor_now() + of->pause_ns;
    of->on_pause(of->arg, code, of->pause_ns);
}

/* Accepts a client. Another process that has the socket may have been quicker. */
static void accept_client(clients *of)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(peer);
    int fd = accept4(of->listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        of->pause_ns = 0;
        (void)mhd.add_connection(of->daemon, fd, (struct sockaddr *)&peer, size); /* closes it if there is no memory */
    } else if (errno != EAGAIN && errno != EINTR) {
        int code = -errno;
        if (code == -EMFILE || code == -ENFILE) {
            make_room(of, false);
        }
        pause_accepting(of, code);
    }
}

/* For how long the thread may sleep, in milliseconds; -1: until something happens. */
static int sleep_ms(const clients *of, int64_t paused_ns)
{
    MHD_UNSIGNED_LONG_LONG most_ms = INT_MAX;
    bool ends = mhd.get_timeout(of->daemon, &most_ms) == MHD_YES;
    if (paused_ns > 0) {
        MHD_UNSIGNED_LONG_LONG ms = (MHD_UNSIGNED_LONG_LONG)(paused_ns / COR_MILLISECOND) + 1;
        most_ms = ends && most_ms < ms ? most_ms : ms;
        ends = true;
    }
    return !ends ? -1 : most_ms < INT_MAX ? (int)most_ms : INT_MAX;
}

static void *run(void *arg)
{
    clients *of = arg;
    struct pollfd waits[WAITS] = {
        [BELL] = {.fd = of->bell, .events = POLLIN},
        [ANSWERS] = {.fd = mhd.get_daemon_info(of->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN},
        [LISTENER] = {.events = POLLIN},
    };
    while (waits[BELL].revents == 0) {
        int64_t paused_ns = of->pause_ns == 0 ? 0 : of->paused_until - cor_now();
        waits[LISTENER].fd = paused_ns <= 0 && of->count < CLIENTS_MOST ? of->listener : -1;
        if (poll(waits, WAITS, sleep_ms(of, paused_ns)) > 0 && waits[LISTENER].revents != 0) {
            accept_client(of);
        }
        (void)mhd.run(of->daemon);
    }
    return NULL;
}

int clients_start(clients *of)
{
    of->bell = eventfd(0, EFD_CLOEXEC);
    if (of->bell < 0) {
        return -errno;
    }
    sigset_t before;
    hold_signals(&before);
    int failed = pthread_create(&of->thread, NULL, run, of);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        close(of->bell);
    }
    return -failed;
}

void clients_stop(clients *of)
{
    (void)eventfd_write(of->bell, 1);
    (void)pthread_join(of->thread, NULL);
    mhd.stop_daemon(of->daemon);
    close(of->listener);
    close(of->bell);
}

#endif
