/* SPDX-License-Identifier: MIT */
/*
 * What the tests of connections share: connected pairs of every kind, groups of tasks, exact reads, and a look at the
 * descriptor behind a handle.
 */
#ifndef TEST_NET_NETCASE_H
#define TEST_NET_NETCASE_H

#include "support/taskcase.h"

#include "base/lock.h"
#include "net/slot.h"
#include "sync/group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Long enough for anything that must come to pass. */
#define SOON (20 * COR_SECOND)
/* Short, for what must not come to pass. */
#define BRIEFLY (5 * COR_MILLISECOND)
/* A deadline that is not reached in a test. */
#define FAR_AWAY (3600 * COR_SECOND)
/* A deadline that has passed. */
#define LONG_AGO ((int64_t)1)

typedef enum conn_kind { KIND_TCP, KIND_TCP6, KIND_UNIX, KIND_PIPE, KIND_UDP, KIND_RECORDS } conn_kind;

/* The descriptor of an open handle. */
static inline int raw_fd_of(const void *handle, enum cori_kind kind)
{
    cori_slot *slot = NULL;
    T_CODE(cori_slot_enter(handle, kind, CORI_SHARED, &slot), 0);
    int fd = slot->pollfd.fd;
    cori_slot_leave(slot, CORI_SHARED);
    return fd;
}

static inline int raw_fd(cor_conn *conn)
{
    return raw_fd_of(conn, CORI_KIND_CONN);
}

static inline int listener_fd(cor_listener *listener)
{
    return raw_fd_of(listener, CORI_KIND_LISTENER);
}

/* A unix address that nobody else uses. */
static inline char *abstract_name(char *text, size_t size)
{
    static unsigned number;
    (void)snprintf(text, size, "@cor-test-%d-%u", (int)getpid(), __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED));
    return text;
}

/* True if this machine has an IPv6 loopback. */
static inline bool has_ipv6(void)
{
    cor_listener *listener;
    bool works = cor_listen(&listener, "tcp6", "[::1]:0", NULL) == 0;
    return works && cor_listener_close(listener) == 0;
}

/* Listens on a free port or name of the kind's loopback; the network's name in *network, the address in `text`. */
static inline cor_listener *listen_kind(conn_kind kind, const char **network, char text[COR_ADDR_TEXT])
{
    static const char *const networks[] = {
        [KIND_TCP] = "tcp", [KIND_TCP6] = "tcp6", [KIND_UNIX] = "unix", [KIND_RECORDS] = "unixpacket"};
    char name[64];
    const char *address = kind == KIND_TCP    ? "127.0.0.1:0"
                          : kind == KIND_TCP6 ? "[::1]:0"
                                              : abstract_name(name, sizeof(name));
    cor_listener *listener = NULL;
    *network = networks[kind];
    T_CODE(cor_listen(&listener, *network, address, NULL), 0);
    (void)cor_listener_addr(listener, text, COR_ADDR_TEXT);
    return listener;
}

/* Two UDP sockets, each of which has the other for its peer. */
static inline void make_datagram_pair(cor_conn **a, cor_conn **b)
{
    char address[COR_ADDR_TEXT];
    cor_conn *reserved;
    int rc;
    do { /* between the close and the dial from its port somebody else may get that */
        cor_dialer dialer = COR_DIALER_INIT;
        T_CODE(cor_listen_packet(&reserved, "udp4", "127.0.0.1:0", NULL), 0);
        dialer.local = cor_local_endpoint(reserved);
        T_CODE(cor_dial(a, "udp4", cor_local_addr(reserved, address, sizeof(address)), NULL), 0);
        T_CODE(cor_close(reserved), 0);
        rc = cor_dial_with(b, &dialer, "udp4", cor_local_addr(*a, address, sizeof(address)), NULL);
        T_CODE(rc == 0 ? 0 : cor_close(*a), 0);
    } while (rc == -EADDRINUSE);
    T_CODE(rc, 0);
}

/* Two connected connections; *a is the one that dialed. */
static inline void make_pair(conn_kind kind, cor_conn **a, cor_conn **b)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    if (kind == KIND_PIPE) {
        T_CODE(cor_pipe(a, b), 0);
        return;
    }
    if (kind == KIND_UDP) {
        make_datagram_pair(a, b);
        return;
    }
    if (kind == KIND_TCP6 && !has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    if (kind == KIND_RECORDS && getenv("COR_TEST_SIM") != NULL) {
        T_SKIP("the simulated kernel has no unixpacket");
    }
    cor_listener *listener = listen_kind(kind, &network, address);
    T_CODE(cor_dial(a, network, address, NULL), 0);
    T_CODE(cor_accept(listener, b), 0);
    T_CODE(cor_listener_close(listener), 0);
}

static inline void close_pair(cor_conn *a, cor_conn *b)
{
    T_CODE(cor_close(a), 0);
    T_CODE(cor_close(b), 0);
}

/* Reads exactly `size` bytes. */
static inline void read_all(cor_conn *conn, void *buf, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t count = cor_read(conn, (char *)buf + have, size - have);
        T_REQUIRE(count > 0, "read gave %zd (%s) after %zu of %zu bytes", count, taskcase_text((int)count), have, size);
        have += (size_t)count;
    }
}

static inline void write_all(cor_conn *conn, const void *buf, size_t size)
{
    T_EQ(cor_write(conn, buf, size), size);
}

/*
 * Writes until the kernel (or the pipe) has taken nothing for a while, twice: a deadline that passes while this thread
 * has no processor ends a write before it is tried. The bytes written.
 */
static inline size_t fill_up(cor_conn *conn)
{
    static const char zeros[65536];
    size_t total = 0, written = 0;
    int rc = 0;
    for (int in_vain = 0; in_vain < 2; in_vain = rc == 0 || written > 0 ? 0 : in_vain + 1) {
        T_CODE(cor_set_write_deadline(conn, cor_after(5 * COR_MILLISECOND)), 0);
        rc = cor_write_counted(conn, zeros, sizeof(zeros), &written);
        total += written;
    }
    T_CODE(rc, COR_ETIMEOUT);
    T_CODE(cor_set_write_deadline(conn, 0), 0);
    return total;
}

/*
 * Makes an attempt whose deadline passes, again until `done` says that there was one: a deadline that passes while this
 * thread has no processor ends a call before it is tried.
 */
#define T_ATTEMPT(attempt, done)                                                                                       \
    do {                                                                                                               \
        for (int t_tries = 0; t_tries == 0 || !(done); t_tries++) {                                                    \
            T_REQUIRE(t_tries < 100, "%s never", #done);                                                               \
            attempt;                                                                                                   \
        }                                                                                                              \
    } while (0)

/* How long this thread was runnable without a CPU, because of other programs; 0 if the kernel does not tell. */
static inline int64_t stolen_ns(void)
{
    long long ran_ns, waited_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file != NULL) {
        waited_ns = fscanf(file, "%lld %lld", &ran_ns, &waited_ns) == 2 ? waited_ns : 0;
        T_EQ(fclose(file), 0);
    }
    return waited_ns;
}

static inline void go_in(cor_group *group, void (*task)(void *arg), void *arg)
{
    T_CODE(cor_group_go(group, task, arg), 0);
}

static inline void call_task(void *task, void *arg)
{
    ((void (*)(void *))(uintptr_t)task)(arg);
}

/* Starts a task of the group on the worker of this number (of as many as there are). */
static inline void go_on(int worker, cor_group *group, void (*task)(void *arg), void *arg)
{
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    cori_spawn spawn = {.entry = call_task,
                        .arg_a = (void *)(uintptr_t)task,
                        .arg_b = arg,
                        .function = task,
                        .worker = worker % stats.workers};
    T_CODE(cori_group_start(group, &spawn), 0);
}

static inline void wait_for(cor_group *group)
{
    T_CODE(cor_group_wait(group, cor_after(SOON * taskcase_patience())), 0);
}

/* True while a task is parked in a call on the connection in this direction. */
static inline bool somebody_waits(const void *handle, enum cori_kind kind, int direction)
{
    cori_slot *slot = NULL;
    if (cori_slot_enter(handle, kind, CORI_SHARED, &slot) != 0) {
        return false;
    }
    bool waits = __atomic_load_n(&slot->pollfd.wait[direction], __ATOMIC_SEQ_CST) > CORI_READY;
    cori_slot_leave(slot, CORI_SHARED);
    return waits;
}

/* True while a call on the connection waits for its turn to read or to write. */
static inline bool somebody_queues(cor_conn *conn)
{
    cori_slot *slot = NULL;
    T_CODE(cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot), 0);
    cori_spin_lock(&slot->spin);
    bool queued = slot->queue != NULL;
    cori_spin_unlock(&slot->spin);
    cori_slot_leave(slot, CORI_SHARED);
    return queued;
}

#define T_PARKED(conn, direction) T_EVENTUALLY(somebody_waits((conn), CORI_KIND_CONN, (direction)), SOON)
#define T_ACCEPTING(listener) T_EVENTUALLY(somebody_waits((listener), CORI_KIND_LISTENER, CORI_READ), SOON)

/* A number that several tasks change. */
static inline int add(int *number, int delta)
{
    return __atomic_add_fetch(number, delta, __ATOMIC_ACQ_REL);
}

static inline int get(const int *number)
{
    return __atomic_load_n(number, __ATOMIC_ACQUIRE);
}

#endif
