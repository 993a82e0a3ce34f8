/* SPDX-License-Identifier: MIT */
/*
 * What ends a call on a socket of packets, as a matrix: each call, each end, before the call and while it waits, by a
 * task of its own worker and of another. After each end the same call is made again: it ends in the same way at once,
 * and where the end can be taken back the socket is as good as new.
 *
 * On the loopback a UDP socket always has room, because the kernel drops what its receiver has none for. So a write
 * that waits is one of unixgram.
 */
#include "net/netcase.h"

#include <coracle/packet.h>

enum { WAITERS = 3 };

typedef enum operation { READ, READ_FROM, READ_PACKETS, WRITE, WRITE_TO, OPERATIONS } operation;
typedef enum ending { BY_DEADLINE, BY_TIME, BY_CLOSE, BY_CANCEL, ENDINGS } ending;

/* A call, and who makes it. */
typedef struct caller {
    operation operation;
    cor_conn *conn, *other; /* other: where packets go and come from */
    int begins;             /* atomic: the call may be made */
    ssize_t first, second;  /* results: of the call, and of the same once more */
    int64_t ended;          /* when the first returned */
} caller;

static bool writes(operation what)
{
    return what >= WRITE;
}

static ssize_t call(const caller *by)
{
    char buf[64] = {0};
    cor_addr from;
    cor_packet packet = {.data = buf, .room_bytes = sizeof(buf)};
    switch (by->operation) {
    case READ:
        return cor_read(by->conn, buf, sizeof(buf));
    case READ_FROM:
        return cor_read_from(by->conn, buf, sizeof(buf), &from);
    case READ_PACKETS:
        return cor_read_packets(by->conn, &packet, 1);
    case WRITE:
        return cor_write(by->conn, buf, sizeof(buf));
    default:
        return cor_write_to(by->conn, buf, sizeof(buf), cor_local_endpoint(by->other));
    }
}

static void call_twice(void *arg)
{
    caller *by = arg;
    while (get(&by->begins) == 0) {
        cor_yield();
    }
    (void)cor_sleep(1); /* its worker looks at the clock: calls know the time of their worker's round */
    do {                /* a write waits when there is no room any more */
        by->first = call(by);
    } while (by->operation == WRITE && by->first > 0);
    by->ended = cor_now();
    by->second = call(by);
}

/* Two sockets; packets of `other` reach `conn`, and those of `conn` reach `other`. */
static void make_sockets(caller *by)
{
    char name[64], address[COR_ADDR_TEXT];
    if (by->operation == WRITE) {
        T_CODE(cor_listen_packet(&by->other, "unixgram", abstract_name(name, sizeof(name)), NULL), 0);
        T_CODE(cor_dial(&by->conn, "unixgram", name, NULL), 0);
    } else if (by->operation == READ) {
        make_pair(KIND_UDP, &by->conn, &by->other);
    } else {
        T_CODE(cor_listen_packet(&by->conn, "udp4", "127.0.0.1:0", NULL), 0);
        T_CODE(cor_dial(&by->other, "udp4", cor_local_addr(by->conn, address, sizeof(address)), NULL), 0);
    }
}

static int set_deadline(cor_conn *conn, int direction)
{
    return direction == CORI_WRITE ? cor_set_write_deadline(conn, LONG_AGO) : cor_set_read_deadline(conn, LONG_AGO);
}

static void end_call(caller *by, ending how, bool waits, cor_group *group)
{
    int direction = writes(by->operation) ? CORI_WRITE : CORI_READ;
    if (how == BY_DEADLINE) {
        T_CODE(set_deadline(by->conn, 1 - direction), 0); /* the other direction's is none of the call's business */
        T_ASSERT(!waits || somebody_waits(by->conn, CORI_KIND_CONN, direction));
        T_CODE(set_deadline(by->conn, direction), 0);
    } else if (how == BY_TIME) {
        T_CODE(cor_set_deadline(by->conn, cor_after(BRIEFLY)), 0);
    } else if (how == BY_CLOSE) {
        T_CODE(cor_close(by->conn), 0);
    } else {
        cor_group_cancel(group);
    }
}

/* Takes what a filled receiver holds. */
static void empty(cor_conn *conn)
{
    char buf[64];
    ssize_t count;
    do {
        T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
        count = cor_read(conn, buf, sizeof(buf));
    } while (count > 0);
    T_CODE(count, COR_ETIMEOUT);
}

/* What was taken back ended nothing else: a packet goes and comes as if nothing had been, or was kept meanwhile. */
static void works_again(caller *by, bool ready)
{
    T_CODE(cor_set_deadline(by->conn, cor_after(SOON * taskcase_patience())), 0);
    if (by->operation == WRITE) {
        empty(by->other);
    } else if (!writes(by->operation) && !ready) {
        write_all(by->other, "again", 5);
    }
    ssize_t result = call(by);
    T_ASSERT(writes(by->operation) ? result == 64 : by->operation == READ_PACKETS ? result == 1 : result == 5);
}

static void one_case(operation what, ending how, bool waits, int worker)
{
    static const int codes[] = {COR_ETIMEOUT, COR_ETIMEOUT, COR_ECLOSED, COR_ECANCELED};
    caller by = {.operation = what, .begins = waits};
    cor_group group = {0};
    bool ready = !waits && !writes(what); /* a packet that does not help */
    make_sockets(&by);
    if (ready) {
        write_all(by.other, "again", 5);
    }
    go_on(worker, &group, call_twice, &by);
    if (waits) {
        T_PARKED(by.conn, writes(what) ? CORI_WRITE : CORI_READ);
    }
    int64_t set = cor_now();
    end_call(&by, how, waits, &group);
    if (how == BY_TIME && !waits) {
        T_CODE(cor_sleep(2 * BRIEFLY), 0); /* it passes before the call */
    }
    (void)add(&by.begins, 1);
    wait_for(&group);
    T_CODE(by.first, codes[how]);
    T_CODE(by.second, codes[how]);
    T_ASSERT(how != BY_TIME || by.ended >= set + BRIEFLY);
    if (how != BY_CLOSE) {
        works_again(&by, ready);
        T_CODE(cor_close(by.conn), 0);
    }
    T_CODE(call(&by), COR_ECLOSED);
    T_CODE(cor_close(by.conn), COR_ECLOSED);
    T_CODE(cor_close(by.other), 0);
}

/*
 * N149, N150, N151, N152, N154, N155, N157, N167, N170, and the end of a group as a context's (N347): before the call,
 * and while it waits.
 */
TASK_TEST(each_end_of_each_call)
{
    for (operation what = READ; what < OPERATIONS; what++) {
        for (ending how = BY_DEADLINE; how < ENDINGS; how++) {
            for (int worker = 0; worker < 2; worker++) {
                one_case(what, how, false, worker);
                if (what != WRITE_TO) {
                    one_case(what, how, true, worker);
                }
            }
        }
    }
}

/* N153: a deadline that is moved away while a call waits does not end it at the old time. */
TASK_TEST(deadlines_moved_away)
{
    for (operation what = READ; what <= WRITE; what++) {
        caller by = {.operation = what, .begins = 1};
        cor_group group = {0};
        int direction = writes(what) ? CORI_WRITE : CORI_READ;
        make_sockets(&by);
        go_on((int)what, &group, call_twice, &by);
        T_PARKED(by.conn, direction);
        int64_t early = cor_after(4 * BRIEFLY);
        T_CODE(cor_set_deadline(by.conn, early), 0);
        T_CODE(cor_set_deadline(by.conn, cor_after(FAR_AWAY)), 0);
        bool in_time = cor_now() < early; /* else it may have ended the call before it was moved */
        T_CODE(cor_sleep(5 * BRIEFLY), 0);
        T_ASSERT(!in_time || somebody_waits(by.conn, CORI_KIND_CONN, direction));
        T_CODE(cor_set_deadline(by.conn, LONG_AGO), 0);
        wait_for(&group);
        T_CODE(by.first, COR_ETIMEOUT);
        T_ASSERT(!in_time || by.ended > early);
        works_again(&by, false);
        close_pair(by.conn, by.other);
    }
}

/* N167: all that wait for one socket are told, whichever of them is first. */
TASK_TEST(all_waiters_end)
{
    static const int codes[] = {COR_ETIMEOUT, COR_ETIMEOUT, COR_ECLOSED, COR_ECANCELED};
    for (operation what = READ; what <= WRITE; what++) {
        for (ending how = BY_DEADLINE; how < ENDINGS; how++) {
            caller by[WAITERS] = {{.operation = what, .begins = 1}};
            cor_group group = {0};
            make_sockets(&by[0]);
            for (int i = 0; i < WAITERS; i++) {
                by[i] = by[0];
                go_on(i, &group, call_twice, &by[i]);
            }
            T_PARKED(by[0].conn, writes(what) ? CORI_WRITE : CORI_READ);
            end_call(&by[0], how, false, &group);
            wait_for(&group);
            for (int i = 0; i < WAITERS; i++) {
                T_CODE(by[i].first, codes[how]);
                T_CODE(by[i].second, codes[how]);
            }
            T_CODE(cor_close(by[0].conn), how == BY_CLOSE ? COR_ECLOSED : 0);
            T_CODE(cor_close(by[0].other), 0);
        }
    }
}

/* N162: of a deadline that has passed and a close, the close is told. */
TASK_TEST(close_beats_a_deadline)
{
    for (operation what = READ; what < OPERATIONS; what++) {
        caller by = {.operation = what};
        make_sockets(&by);
        T_CODE(cor_set_deadline(by.conn, LONG_AGO), 0);
        T_CODE(call(&by), COR_ETIMEOUT);
        T_CODE(cor_close(by.conn), 0);
        T_CODE(call(&by), COR_ECLOSED);
        T_CODE(cor_set_deadline(by.conn, 0), COR_ECLOSED);
        T_CODE(cor_close(by.other), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_of_each_call),
        cmocka_unit_test(deadlines_moved_away),
        cmocka_unit_test(all_waiters_end),
        cmocka_unit_test(close_beats_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
