/* SPDX-License-Identifier: MIT */
/*
 * What a poller that receives and accepts ahead of the calls must get right: bytes and connections that come while
 * nobody asks, closing what is armed, one connection beside another that does not read, and the end of cor_run.
 */
#include "net/netcase.h"
#include "support/faults.h"

#include <limits.h>

enum { ROUNDS = 200, HOARDERS = 40, AHEAD = 150 };

typedef struct pair {
    cor_conn *a, *b;
} pair;

/* Waits in a read that the deadline ends. */
static void read_in_vain(void *arg)
{
    char byte;
    T_CODE(cor_set_read_deadline(arg, cor_after(COR_MILLISECOND)), 0);
    T_CODE(cor_read(arg, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(arg, 0), 0);
}

static void read_three(void *arg)
{
    char buf[3];
    read_all(arg, buf, sizeof(buf));
    T_MEM(buf, "abc", 3);
}

TASK_TEST(bytes_after_a_deadline_are_for_the_next_read)
{
    for (int round = 0; round < ROUNDS / 10; round++) {
        pair p;
        cor_group tasks = {0};
        make_pair(KIND_TCP, &p.a, &p.b);
        go_on(round % 3, &tasks, read_in_vain, p.b);
        wait_for(&tasks);
        write_all(p.a, "a", 1);
        write_all(p.a, "bc", 2);
        go_on(round / 3, &tasks, read_three, p.b);
        wait_for(&tasks);
        close_pair(p.a, p.b);
    }
}

/* Reads numbers in turn from whichever worker: their order shows whether two receivers were at work. */
static void read_some(void *arg)
{
    struct {
        cor_conn *conn;
        uint32_t next;
    } *from = arg;
    uint32_t buf[64];
    for (int i = 0; i < 20; i++) {
        T_CODE(cor_set_read_deadline(from->conn, cor_after(20 * COR_MICROSECOND)), 0);
        ssize_t count = cor_read(from->conn, buf, sizeof(buf));
        if (count == COR_ETIMEOUT) {
            continue;
        }
        T_ASSERT(count > 0 && count % 4 == 0);
        for (ssize_t j = 0; j < count / 4; j++) {
            T_EQ(buf[j], from->next++);
        }
    }
}

static void write_numbers(void *arg)
{
    for (uint32_t i = 0; i < 20000; i++) {
        write_all(arg, &i, sizeof(i));
    }
}

TASK_TEST(order_survives_readers_that_give_up)
{
    pair p;
    cor_group writer = {0}, reader = {0};
    make_pair(KIND_TCP, &p.a, &p.b);
    struct {
        cor_conn *conn;
        uint32_t next;
    } from = {p.b, 0};
    go_on(1, &writer, write_numbers, p.a);
    for (int turn = 0; from.next < 20000; turn++) {
        go_on(turn, &reader, read_some, &from);
        wait_for(&reader);
    }
    wait_for(&writer);
    close_pair(p.a, p.b);
}

static void close_it(void *arg)
{
    T_CODE(cor_close(arg), 0);
}

static void read_until_closed(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ECLOSED);
}

/* A close under an armed receive sends FIN, or RST with linger 0, at once; from the owner's worker and from another. */
TASK_TEST(closing_what_is_armed)
{
    for (int round = 0; round < ROUNDS; round++) {
        pair p;
        char byte;
        bool reset = round % 2 == 0;
        cor_group reader = {0}, closer = {0};
        make_pair(KIND_TCP, &p.a, &p.b);
        go_on(round / 2, &reader, read_until_closed, p.b);
        T_PARKED(p.b, CORI_READ);
        if (reset) {
            T_CODE(cor_set_linger(p.b, 0), 0);
        }
        go_on(round / 4, &closer, close_it, p.b);
        T_CODE(cor_read(p.a, &byte, 1), reset ? -ECONNRESET : 0);
        wait_for(&closer);
        wait_for(&reader);
        T_CODE(cor_close(p.a), 0);
    }
}

static void read_first(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), 1);
}

/* Bytes that the poller has and nobody has read are unread: the close is a reset. */
TASK_TEST(closing_with_bytes_unread)
{
    for (int round = 0; round < ROUNDS / 10; round++) {
        pair p;
        char byte;
        cor_group reader = {0};
        make_pair(KIND_TCP, &p.a, &p.b);
        go_on(round, &reader, read_first, p.b);
        T_PARKED(p.b, CORI_READ);
        write_all(p.a, "xyz", 3);
        wait_for(&reader);
        T_CODE(cor_close(p.b), 0);
        T_CODE(cor_read(p.a, &byte, 1), -ECONNRESET);
        T_CODE(cor_close(p.a), 0);
    }
}

static void hold_a_byte(void *arg)
{
    pair *p = arg;
    cor_group reader = {0};
    make_pair(KIND_TCP, &p->a, &p->b);
    go_in(&reader, read_first, p->b);
    T_PARKED(p->b, CORI_READ);
    (void)fill_up(p->a);
    wait_for(&reader);
}

/* Connections that do not read cannot stop one that does, whatever they hold; and theirs is all there afterwards. */
TASK_TEST(hoarders_starve_nobody)
{
    static pair hoarders[HOARDERS];
    pair p;
    cor_group tasks = {0};
    char text[3];
    for (int i = 0; i < HOARDERS; i++) {
        go_on(i, &tasks, hold_a_byte, &hoarders[i]);
    }
    wait_for(&tasks);
    make_pair(KIND_TCP, &p.a, &p.b);
    for (int round = 0; round < ROUNDS; round++) {
        go_on(round, &tasks, read_three, p.b);
        write_all(p.a, "abc", 3);
        wait_for(&tasks);
        write_all(p.b, "def", 3);
        read_all(p.a, text, sizeof(text));
    }
    close_pair(p.a, p.b);
    for (int i = 0; i < HOARDERS; i++) {
        static char buf[65536];
        size_t total = 0;
        ssize_t count;
        T_CODE(cor_close_write(hoarders[i].a), 0);
        while ((count = cor_read(hoarders[i].b, buf, sizeof(buf))) > 0) {
            total += (size_t)count;
        }
        T_EQ(count, 0);
        T_ASSERT(total > 65536);
        close_pair(hoarders[i].a, hoarders[i].b);
    }
}

/* Looking whether there is something to read, with bytes that the kernel no longer has. */
TASK_TEST(readable_with_bytes_held)
{
    pair p;
    char buf[2];
    cor_group reader = {0};
    make_pair(KIND_TCP, &p.a, &p.b);
    go_on(1, &reader, read_first, p.b);
    T_PARKED(p.b, CORI_READ);
    write_all(p.a, "xyz", 3);
    wait_for(&reader);
    T_CODE(cor_wait_readable(p.b), 0);
    read_all(p.b, buf, sizeof(buf));
    T_MEM(buf, "yz", 2);
    T_CODE(cor_set_read_deadline(p.b, cor_after(BRIEFLY)), 0);
    T_CODE(cor_wait_readable(p.b), COR_ETIMEOUT);
    close_pair(p.a, p.b);
}

static void read_whatever(void *arg)
{
    char byte;
    T_ASSERT(cor_read(arg, &byte, 1) <= 0);
}

/* Owns the connection's registration, and computes until told to stop. */
typedef struct busy_owner {
    cor_conn *conn;
    int computing, told;
} busy_owner;

static void own_and_compute(void *arg)
{
    busy_owner *of = arg;
    read_in_vain(of->conn);
    (void)add(&of->computing, 1);
    for (int64_t end = cor_now() + SOON; get(&of->told) == 0 && cor_now() < end;) {}
    T_EQ(get(&of->told), 1);
}

/* A close does not wait for the worker that owns the connection, however long that computes. */
TASK_TEST(closing_while_the_owner_computes)
{
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    for (int unread = 0; unread <= 1 && stats.workers > 1; unread++) {
        pair p;
        char byte;
        cor_group owner = {0};
        make_pair(KIND_TCP, &p.a, &p.b);
        busy_owner of = {.conn = p.b};
        go_on(1, &owner, own_and_compute, &of);
        T_EVENTUALLY(get(&of.computing) == 1, SOON);
        if (unread != 0) {
            write_all(p.a, "unread", 6);
        }
        T_CODE(cor_close(p.b), 0);
        (void)add(&of.told, 1);
        wait_for(&owner);
        T_CODE(cor_read(p.a, &byte, 1), unread != 0 ? -ECONNRESET : 0);
        T_CODE(cor_close(p.a), 0);
    }
}

static void accept_in_vain(void *listener)
{
    cor_conn *conn;
    T_CODE(cor_listener_set_deadline(listener, cor_after(COR_MILLISECOND)), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
}

/* When the close of a listener has returned its address is free, also if another worker had to do it. */
TASK_TEST(closing_a_listener_of_another_worker)
{
    for (int round = 0; round < ROUNDS / 4; round++) {
        const char *network;
        char address[COR_ADDR_TEXT];
        cor_group owner = {0};
        cor_listener *listener = listen_kind(round % 2 == 0 ? KIND_TCP : KIND_UNIX, &network, address);
        go_on(round / 2, &owner, accept_in_vain, listener);
        wait_for(&owner);
        T_CODE(cor_listener_close(listener), 0);
        T_CODE(cor_listen(&listener, network, address, NULL), 0);
        T_CODE(cor_listener_close(listener), 0);
    }
}

static void write_in_vain(void *arg)
{
    static const char zeros[65536];
    ssize_t count;
    do {
        count = cor_write(arg, zeros, sizeof(zeros));
    } while (count > 0);
    T_CODE((int)count, -EPIPE);
}

static void read_the_end(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), 0);
}

/* A direction that another task shuts down ends the wait in it, though the kernel makes no event of it everywhere. */
TASK_TEST(shut_down_while_waiting)
{
    static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        pair p;
        cor_group writer = {0}, reader = {0};
        make_pair(kinds[i], &p.a, &p.b);
        go_on(1, &writer, write_in_vain, p.a);
        go_on(1, &reader, read_the_end, p.a);
        T_PARKED(p.a, CORI_WRITE);
        T_PARKED(p.a, CORI_READ);
        T_CODE(cor_close_write(p.a), 0);
        wait_for(&writer);
        T_CODE(cor_close_read(p.a), 0);
        wait_for(&reader);
        close_pair(p.a, p.b);
    }
}

static void close_after_main(void *arg)
{
    T_CODE(cor_close(arg), 0);
}

/* cor_run ends under armed reads, and under closes that wait for another worker: no descriptor is left. */
TASK_TEST(ending_with_everything_armed)
{
    taskcase_leaves_tasks();
    static cor_group tasks;
    for (int i = 0; i < 30; i++) {
        pair p;
        make_pair(i % 2 == 0 ? KIND_TCP : KIND_UNIX, &p.a, &p.b);
        go_on(i, &tasks, read_whatever, p.a);
        go_on(i + 1, &tasks, read_whatever, p.b);
        T_PARKED(p.a, CORI_READ);
        T_PARKED(p.b, CORI_READ);
        if (i % 3 == 0) {
            go_on(i + 1, &tasks, close_after_main, p.a);
            go_on(i, &tasks, close_after_main, p.b);
        }
    }
}

static void accept_first(void *listener)
{
    cor_conn *conn;
    T_CODE(cor_accept(listener, &conn), 0);
    T_CODE(cor_close(conn), 0);
}

/* A listener that somebody has waited on, and `count` connections to it since. */
static cor_listener *dial_ahead(cor_conn **clients, int count)
{
    cor_listener *listener;
    cor_group acceptor = {0};
    const char *network;
    char address[COR_ADDR_TEXT];
    listener = listen_kind(KIND_TCP, &network, address);
    go_in(&acceptor, accept_first, listener);
    T_ACCEPTING(listener);
    T_CODE(cor_dial(&clients[0], network, address, NULL), 0);
    wait_for(&acceptor);
    T_CODE(cor_close(clients[0]), 0);
    for (int i = 0; i < count; i++) {
        T_CODE(cor_dial(&clients[i], network, address, NULL), 0);
        for (int yields = 0; yields < 2 * CORI_ROUND_SWITCHES && i % 7 == 0; yields++) {
            cor_yield(); /* the worker's round ends, and the poller has its turn */
        }
    }
    return listener;
}

/* In order, each with its own peer's address, however many came at once. */
TASK_TEST(connections_before_their_accept)
{
    static cor_conn *clients[AHEAD];
    cor_listener *listener = dial_ahead(clients, AHEAD);
    for (int i = 0; i < AHEAD; i++) {
        char near[COR_ADDR_TEXT], far[COR_ADDR_TEXT], byte;
        cor_conn *server;
        T_CODE(cor_accept(listener, &server), 0);
        T_STR(cor_remote_addr(server, near, sizeof(near)), cor_local_addr(clients[i], far, sizeof(far)));
        write_all(server, "x", 1);
        read_all(clients[i], &byte, 1);
        close_pair(server, clients[i]);
    }
    T_CODE(cor_listener_close(listener), 0);
}

/* As accept4(2): a peer that has reset already is known by its address still, however many came at once. */
TASK_TEST(reset_before_their_accept)
{
    static char nears[AHEAD][COR_ADDR_TEXT];
    const char *network;
    char address[COR_ADDR_TEXT], far[COR_ADDR_TEXT];
    cor_conn *first;
    cor_group acceptor = {0};
    cor_listener *listener = listen_kind(KIND_TCP, &network, address);
    go_in(&acceptor, accept_first, listener);
    T_ACCEPTING(listener);
    T_CODE(cor_dial(&first, network, address, NULL), 0);
    wait_for(&acceptor);
    T_CODE(cor_close(first), 0);
    for (int i = 0; i < AHEAD; i++) {
        cor_conn *conn;
        T_CODE(cor_dial(&conn, network, address, NULL), 0);
        (void)cor_local_addr(conn, nears[i], sizeof(nears[i]));
        T_CODE(cor_set_linger(conn, 0), 0);
        T_CODE(cor_close(conn), 0);
    }
    for (int i = 0; i < AHEAD; i++) {
        cor_conn *conn;
        T_CODE(cor_accept(listener, &conn), 0);
        T_STR(cor_remote_addr(conn, far, sizeof(far)), nears[i]);
        T_CODE(cor_close(conn), 0);
    }
    T_CODE(cor_listener_close(listener), 0);
}

/* They are no different from those in the kernel's queue: reset. And no descriptor is left: the frame counts them. */
TASK_TEST(closing_before_their_accept)
{
    cor_conn *clients[10];
    char byte;
    cor_listener *listener = dial_ahead(clients, 10);
    T_CODE(cor_listener_close(listener), 0);
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_read(clients[i], &byte, 1), -ECONNRESET);
        T_CODE(cor_close(clients[i]), 0);
    }
}

/* Nothing comes together with a connection, so its first read asks the kernel when there is something. */
TASK_TEST(first_read)
{
    pair p;
    cor_group reader = {0};
    make_pair(KIND_TCP, &p.a, &p.b);
    unsigned before = faults_seen();
    go_in(&reader, read_first, p.b);
    T_PARKED(p.b, CORI_READ);
    T_EQ(faults_seen(), before);
    write_all(p.a, "x", 1);
    wait_for(&reader);
    T_ASSERT(faults_seen() <= before + 1);
    close_pair(p.a, p.b);
}

static void first_read_waits(void **state)
{
    faults_set(CORI_SYS_RECV, UINT_MAX, -EINVAL); /* only counts the calls */
    first_read(state);
    faults_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_after_a_deadline_are_for_the_next_read),
        cmocka_unit_test(order_survives_readers_that_give_up),
        cmocka_unit_test(closing_what_is_armed),
        cmocka_unit_test(closing_with_bytes_unread),
        cmocka_unit_test(hoarders_starve_nobody),
        cmocka_unit_test(readable_with_bytes_held),
        cmocka_unit_test(closing_while_the_owner_computes),
        cmocka_unit_test(closing_a_listener_of_another_worker),
        cmocka_unit_test(shut_down_while_waiting),
        cmocka_unit_test(ending_with_everything_armed),
        cmocka_unit_test(connections_before_their_accept),
        cmocka_unit_test(reset_before_their_accept),
        cmocka_unit_test(closing_before_their_accept),
        cmocka_unit_test(first_read_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
