/* SPDX-License-Identifier: MIT */
/*
 * What a poller that receives ahead of the reads must get right: bytes that come while nobody reads, closing what is
 * armed, one connection beside another that does not read, and the end of cor_run.
 */
#include "net/netcase.h"

enum { ROUNDS = 200, HOARDERS = 40 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_after_a_deadline_are_for_the_next_read),
        cmocka_unit_test(order_survives_readers_that_give_up),
        cmocka_unit_test(closing_what_is_armed),
        cmocka_unit_test(closing_with_bytes_unread),
        cmocka_unit_test(hoarders_starve_nobody),
        cmocka_unit_test(readable_with_bytes_held),
        cmocka_unit_test(ending_with_everything_armed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
