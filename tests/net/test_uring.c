/* SPDX-License-Identifier: MIT */
/*
 * The io_uring poller where things are short: a ring too small for what goes on, too few buffers, entries refused, and
 * the set-ups of older kernels. Whatever happens, every byte arrives once and in order, and nobody is forgotten. The
 * poller is asked for by name, so there is no need to run this once more over it.
 */
/* test: workers=1,2 no-uring */
#include "net/netcase.h"
#include "support/faults.h"
#include "support/uring_main.h"

#if COR_HAVE_URING
#include "poll/uring_ring.h"

enum { CLIENTS = 40, ROUNDS = 5, MESSAGE_BYTES = 3000, FLOOD_BYTES = 1 << 20, FLOODS = 4, TURNS = 8 };
/* Entries in the ring that a little traffic takes at least, and at most. */
enum { ENTRIES_LEAST = 10, ENTRIES_MOST = 60 };

static const cor_options over_uring = {.poller = "io_uring"};
static char address[COR_ADDR_TEXT];

static void echo(cor_conn *conn, void *arg)
{
    (void)arg;
    char buf[1000];
    ssize_t count;
    while ((count = cor_read(conn, buf, sizeof(buf))) > 0) {
        write_all(conn, buf, (size_t)count);
    }
    T_CODE(count, 0);
    T_CODE(cor_close(conn), 0);
}

static cor_conn *dial(void)
{
    cor_conn *conn = NULL;
    T_CODE(cor_dial(&conn, "tcp", address, NULL), 0);
    return conn;
}

static void fill(char *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (char)(seed >> 24);
    }
}

static void talk(void *seed)
{
    char sent[MESSAGE_BYTES], got[MESSAGE_BYTES];
    cor_conn *conn = dial();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        fill(sent, sizeof(sent), (uint32_t)(uintptr_t)seed + round);
        write_all(conn, sent, sizeof(sent));
        read_all(conn, got, sizeof(got));
        T_MEM(got, sent, sizeof(got));
    }
    T_CODE(cor_close(conn), 0);
}

static void send_flood(void *conn)
{
    static char zeros[FLOOD_BYTES];
    write_all(conn, zeros, sizeof(zeros));
    T_CODE(cor_close_write(conn), 0);
}

/* More at once than all buffers hold. */
static void flood(void *arg)
{
    (void)arg;
    char got[5000];
    size_t total = 0;
    ssize_t count;
    cor_conn *conn = dial();
    cor_group sender = {0};
    go_in(&sender, send_flood, conn);
    while ((count = cor_read(conn, got, sizeof(got))) > 0) {
        total += (size_t)count;
    }
    T_EQ(total, FLOOD_BYTES);
    wait_for(&sender);
    T_CODE(cor_close(conn), 0);
}

static void serve(void *listener)
{
    T_CODE(cor_serve(listener, NULL, echo, NULL), 0);
}

static void traffic(int clients, int floods)
{
    const char *network;
    cor_group server = {0}, all = {0};
    cor_listener *listener = listen_kind(KIND_TCP, &network, address);
    T_STR(cor_poller_info(), "io_uring");
    go_in(&server, serve, listener);
    for (int i = 0; i < clients; i++) {
        go_in(&all, talk, (void *)(intptr_t)i);
    }
    for (int i = 0; i < floods; i++) {
        go_in(&all, flood, NULL);
    }
    wait_for(&all);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&server);
}

TASK_TEST_WITH(much_traffic, &over_uring)
{
    cor_runtime_stats stats;
    traffic(CLIENTS, FLOODS);
    T_CODE(cor_stats(&stats), 0);
    T_EQ(stats.ring_overflows > 0, cori_uring_size_now.completions < CLIENTS);
}

static void read_one(void *conn)
{
    char byte;
    read_all(conn, &byte, 1);
}

/* A reader on this worker, then one on the next: who does not own the registration asks its owner to arm. */
static void read_in_turns(void)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    for (int i = 0; i < TURNS; i++) {
        cor_group reader = {0};
        go_on(i, &reader, read_one, b);
        T_PARKED(b, CORI_READ);
        write_all(a, "x", 1);
        wait_for(&reader);
    }
    close_pair(a, b);
}

static unsigned refused_entry;

/* In a process of its own, where the fault is counted. */
TASK_TEST_WITH(a_little_traffic, &over_uring)
{
    read_in_turns();
    traffic(4, 1);
    T_ASSERT(faults_hit() || refused_entry > ENTRIES_LEAST);
}

static void small_rings(void **state)
{
    cori_uring_size usual = cori_uring_size_now;
    cori_uring_size_now = (cori_uring_size){.entries = 2, .completions = 4, .buffers = 2};
    much_traffic(state);
    cori_uring_size_now = usual;
}

static void no_buffers(void **state)
{
    cori_uring_size usual = cori_uring_size_now;
    cori_uring_size_now.buffers = 0;
    much_traffic(state);
    cori_uring_size_now = usual;
}

/* The 1st, the 2nd, ... time that an entry is wanted there is none, and none the next three times either. */
static void entries_refused(void **state)
{
    cori_uring_size usual = cori_uring_size_now;
    for (refused_entry = 1; refused_entry <= ENTRIES_MOST; refused_entry++) {
        cori_uring_size_now.buffers = refused_entry % 2; /* without one, each wait needs an entry */
        faults_set_run(CORI_SYS_URING_ENTRY, refused_entry, 4, -EBUSY);
        a_little_traffic(state);
        faults_clear();
    }
    cori_uring_size_now = usual;
}

static int refused_set_ups;

static int refuse_first_set_ups(enum cori_sys_call call)
{
    static unsigned tries; /* atomic */
    if (call != CORI_SYS_URING_SETUP) {
        return 0;
    }
    unsigned number = __atomic_fetch_add(&tries, 1, __ATOMIC_RELAXED) % (unsigned)(refused_set_ups + 1);
    return number < (unsigned)refused_set_ups ? -EINVAL : 0;
}

/* As on kernels that lack what the best set-up needs. */
static void older_set_ups(void **state)
{
    for (refused_set_ups = 1; refused_set_ups <= 2; refused_set_ups++) {
        cori_sys_fault = refuse_first_set_ups;
        much_traffic(state);
        cori_sys_fault = NULL;
    }
}

#endif

URING_MAIN(cmocka_unit_test(much_traffic), cmocka_unit_test(small_rings), cmocka_unit_test(no_buffers),
           cmocka_unit_test(entries_refused), cmocka_unit_test(older_set_ups))
