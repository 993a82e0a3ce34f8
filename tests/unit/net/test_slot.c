/* SPDX-License-Identifier: MIT */
/* The slot table: growth, reuse in turn, the lock queues, and the limit of calls on one connection. */
#include "net/netcase.h"
#include "sched/state.h"
#include "support/child.h"

#include <malloc.h>
#include <signal.h>

enum { PAIRS = 800, TAKERS = 40 };

static uint64_t connections(void)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    return stats.connections;
}

/* More than one chunk of slots; every handle stays itself. */
TASK_TEST(many_handles)
{
    static cor_conn *a[PAIRS], *b[PAIRS];
    uint64_t before = connections();
    for (int i = 0; i < PAIRS; i++) {
        T_CODE(cor_pipe(&a[i], &b[i]), 0);
        T_ASSERT(a[i] != b[i] && (i == 0 || (a[i] != a[i - 1] && a[i] != b[i - 1])));
    }
    T_EQ(connections(), before + 2 * PAIRS);
    for (int i = 0; i < PAIRS; i += 2) {
        close_pair(a[i], b[i]);
    }
    for (int i = 0; i < PAIRS; i++) {
        T_CODE(cor_set_deadline(a[i], LONG_AGO), i % 2 == 0 ? COR_ECLOSED : 0);
    }
    for (int i = 1; i < PAIRS; i += 2) {
        close_pair(a[i], b[i]);
    }
    T_EQ(connections(), before);
}

static void write_one(void *conn)
{
    write_all(conn, "x", 1);
}

/* A slot that is used again gives a different handle. */
TASK_TEST(handles_are_not_repeated)
{
    cor_conn *first_a, *first_b, *a, *b;
    T_CODE(cor_pipe(&first_a, &first_b), 0);
    close_pair(first_a, first_b);
    for (int i = 0; i < 1000; i++) {
        T_CODE(cor_pipe(&a, &b), 0);
        T_ASSERT(a != first_a && b != first_a && a != first_b && b != first_b);
        close_pair(a, b);
    }
}

/* The half of a handle that says which slot it is. */
static uint32_t place_of(const cor_conn *conn)
{
    return (uint32_t)(uintptr_t)conn;
}

/* The handle of an earlier connection does nothing to the one that has its slot now. */
TASK_TEST(old_handles_reach_nobody)
{
    cor_conn *old_a, *old_b, *a, *b;
    char byte;
    T_CODE(cor_pipe(&old_a, &old_b), 0);
    close_pair(old_a, old_b);
    T_CODE(cor_pipe(&a, &b), 0);
    T_ASSERT((place_of(a) == place_of(old_a) && place_of(b) == place_of(old_b)) ||
             (place_of(a) == place_of(old_b) && place_of(b) == place_of(old_a)));
    cor_conn *const old[] = {old_a, old_b};
    for (int i = 0; i < 2; i++) {
        T_CODE(cor_set_deadline(old[i], LONG_AGO), COR_ECLOSED);
        T_CODE(cor_read(old[i], &byte, 1), COR_ECLOSED);
        T_CODE(cor_write(old[i], "x", 1), COR_ECLOSED);
        T_CODE(cor_close(old[i]), COR_ECLOSED);
    }
    cor_group writer = {0};
    go_in(&writer, write_one, a);
    read_all(b, &byte, 1);
    wait_for(&writer);
    close_pair(a, b);
}

/* What was left open by an earlier cor_run is closed for a later one. */
static cor_conn *left_open[2];

static int leave_open(void *arg)
{
    (void)arg;
    return cor_pipe(&left_open[0], &left_open[1]);
}

static int use_left_over(void *arg)
{
    (void)arg;
    char byte;
    cor_conn *a, *b;
    int rc = cor_pipe(&a, &b); /* in the same slots */
    if (rc < 0 || cor_close(a) < 0 || cor_close(b) < 0) {
        return 1;
    }
    return cor_read(left_open[0], &byte, 1) == COR_ECLOSED && cor_close(left_open[1]) == COR_ECLOSED ? 0 : 2;
}

static void handles_of_an_earlier_run(void **state)
{
    (void)state;
    assert_int_equal(cor_run(leave_open, NULL, NULL), 0);
    assert_int_equal(cor_run(use_left_over, NULL, NULL), 0);
}

/*
 * Closes that wait for another worker's poller are abandoned when cor_run ends: what the connections kept is freed all
 * the same. Over io_uring they wait; over epoll nobody does, and nothing is left either.
 */
enum { ABANDONED = 64, RUNS = 12, WARM_RUNS = 3, PATH_BYTES = 90 };
static cor_conn *abandoned[ABANDONED];
static int registered, closing; /* atomic */

static void compute_to_the_end(void *arg)
{
    (void)arg;
    for (int i = 0; i < ABANDONED; i++) {
        T_CODE(cor_set_read_deadline(abandoned[i], cor_after(COR_MILLISECOND)), 0);
        T_CODE(cor_wait_readable(abandoned[i]), COR_ETIMEOUT); /* registers it here */
    }
    (void)add(&registered, 1);
    while (cori_load(&cori_rt.stop) == 0) {}
}

static void close_one(void *conn)
{
    (void)add(&closing, 1);
    (void)cor_close(conn);
}

static int abandon_closes(void *arg)
{
    (void)arg;
    cor_listener *listener;
    cor_conn *peer;
    char path[PATH_BYTES + 1], name[64];
    memset(path, 'p', PATH_BYTES);
    (void)snprintf(path, sizeof(path), "%s", abstract_name(name, sizeof(name)));
    path[strlen(path)] = '-'; /* the name goes on: a long text to keep */
    path[PATH_BYTES] = '\0';
    if (cor_listen(&listener, "unix", path, NULL) != 0) {
        return 1;
    }
    for (int i = 0; i < ABANDONED; i++) {
        if (cor_dial(&abandoned[i], "unix", path, NULL) != 0 || cor_accept(listener, &peer) != 0) {
            return 2;
        }
    }
    registered = closing = 0;
    go_on(1, NULL, compute_to_the_end, NULL);
    T_EVENTUALLY(get(&registered) == 1, SOON);
    for (int i = 0; i < ABANDONED; i++) {
        go_on(0, NULL, close_one, abandoned[i]);
    }
    T_EVENTUALLY(get(&closing) == ABANDONED, SOON);
    return 0;
}

static void abandoned_closes_leave_nothing(void **state)
{
    (void)state;
    cor_options two = {.workers = 2};
    size_t warm = 0;
    for (int i = 0; i < RUNS; i++) {
        assert_int_equal(cor_run(abandon_closes, NULL, &two), 0);
        warm = i == WARM_RUNS - 1 ? mallinfo2().uordblks : warm;
    }
    size_t now = mallinfo2().uordblks; /* nothing under a sanitizer, which looks for leaks itself */
    assert_true(now < warm + (RUNS - WARM_RUNS) * ABANDONED * PATH_BYTES / 2);
}

/* N137: first come, first served. */
static int order[TAKERS], taken; /* atomic */

typedef struct turn {
    cor_conn *conn;
    int number;
} turn;

static void read_in_turn(void *arg)
{
    turn *of = arg;
    char byte;
    read_all(of->conn, &byte, 1);
    order[add(&taken, 1) - 1] = of->number;
}

static const cor_options one_worker = {.workers = 1};

/* N265 */
TASK_TEST_WITH(readers_are_served_in_order, &one_worker)
{
    cor_conn *a, *b;
    cor_group readers = {0};
    turn turns[TAKERS];
    make_pair(KIND_TCP, &a, &b);
    for (int i = 0; i < TAKERS; i++) {
        turns[i] = (turn){.conn = b, .number = i};
        go_in(&readers, read_in_turn, &turns[i]);
    }
    T_PARKED(b, CORI_READ);
    for (int i = 0; i < TAKERS; i++) {
        write_all(a, "x", 1);
        T_EVENTUALLY(get(&taken) == i + 1, SOON);
    }
    wait_for(&readers);
    for (int i = 0; i < TAKERS; i++) {
        T_EQ(order[i], i);
    }
    close_pair(a, b);
}

/* A waiter in the middle of the queue leaves; the others keep their places. */
static void read_is_cancelled(void *arg)
{
    turn *of = arg;
    char byte;
    T_CODE(cor_read(of->conn, &byte, 1), COR_ECANCELED);
}

/* N265 */
TASK_TEST_WITH(leaving_the_queue, &one_worker)
{
    cor_conn *a, *b;
    cor_group staying = {0}, leaving = {0};
    turn turns[9];
    make_pair(KIND_TCP, &a, &b);
    for (int i = 0; i < 9; i++) {
        turns[i] = (turn){.conn = b, .number = i};
        go_in(i % 3 == 1 ? &leaving : &staying, i % 3 == 1 ? read_is_cancelled : read_in_turn, &turns[i]);
    }
    T_PARKED(b, CORI_READ);
    cor_group_cancel(&leaving);
    wait_for(&leaving);
    write_all(a, "xxxxxx", 6);
    wait_for(&staying);
    for (int i = 1; i < 6; i++) {
        T_ASSERT(order[i - 1] < order[i]);
    }
    close_pair(a, b);
}

/*
 * Very many wait for the lock of one connection; it is closed. Each costs a few steps: with a queue that is walked this
 * took ten seconds and more for each half.
 */
enum { CROWD = 20000, CROWD_SECONDS = 3 };
static int begun, ended; /* atomic */

static void write_in_crowd(void *conn)
{
    static const char bytes[1 << 20];
    (void)add(&begun, 1);
    T_CODE((int)cor_write(conn, bytes, sizeof(bytes)), COR_ECLOSED);
    (void)add(&ended, 1);
}

TASK_TEST(a_crowd_at_one_lock)
{
    cor_conn *a, *b;
    cor_group crowd = {0};
    int count = (int)taskcase_scale(CROWD);
    int64_t limit_ns = CROWD_SECONDS * COR_SECOND * taskcase_patience();
    make_pair(KIND_TCP, &a, &b);
    (void)fill_up(b);
    int64_t start_ns = cor_now();
    for (int i = 0; i < count; i++) {
        go_in(&crowd, write_in_crowd, b);
    }
    T_EVENTUALLY(get(&begun) == count, SOON);
    T_PARKED(b, CORI_WRITE);
    int64_t queued_ns = cor_now();
    T_CODE(cor_close(b), 0);
    wait_for(&crowd);
    int64_t ended_ns = cor_now();
    T_EQ(get(&ended), count);
    T_REQUIRE(queued_ns - start_ns < limit_ns && ended_ns - queued_ns < limit_ns, "queueing %lld ms, closing %lld ms",
              (long long)(queued_ns - start_ns) / 1000000, (long long)(ended_ns - queued_ns) / 1000000);
    T_CODE(cor_close(a), 0);
}

/* Both queues at once, with waiters that leave from the front, the middle and the end. */
static int readers_left, writers_left; /* atomic */

static void read_until_closed(void *conn)
{
    char byte;
    T_CODE((int)cor_read(conn, &byte, 1), COR_ECLOSED);
    (void)add(&readers_left, -1);
}

static void write_until_closed(void *conn)
{
    static const char bytes[1 << 20];
    T_CODE((int)cor_write(conn, bytes, sizeof(bytes)), COR_ECLOSED);
    (void)add(&writers_left, -1);
}

static void call_cancelled(void *conn)
{
    static const char bytes[1 << 20];
    char byte;
    int rc = (int)(add(&begun, 1) % 2 == 0 ? cor_read(conn, &byte, 1) : cor_write(conn, bytes, sizeof(bytes)));
    T_CODE(rc, COR_ECANCELED);
}

TASK_TEST(both_queues)
{
    cor_conn *a, *b;
    cor_group staying = {0}, leaving = {0};
    make_pair(KIND_TCP, &a, &b);
    (void)fill_up(b);
    readers_left = writers_left = TAKERS;
    begun = 0;
    for (int i = 0; i < TAKERS; i++) {
        go_in(&leaving, call_cancelled, b);
        go_in(&staying, read_until_closed, b);
        go_in(&staying, write_until_closed, b);
        go_in(&leaving, call_cancelled, b);
    }
    T_EVENTUALLY(get(&begun) == 2 * TAKERS, SOON);
    cor_group_cancel(&leaving);
    wait_for(&leaving);
    T_PARKED(b, CORI_READ);
    T_PARKED(b, CORI_WRITE);
    T_CODE(cor_close(b), 0);
    wait_for(&staying);
    T_EQ(get(&readers_left) + get(&writers_left), 0);
    T_CODE(cor_close(a), 0);
}

/* N138 */
static int too_many_calls(void *arg)
{
    (void)arg;
    cor_conn *a, *b;
    cori_slot *slot;
    if (cor_pipe(&a, &b) != 0 || cori_slot_enter(a, CORI_KIND_CONN, CORI_SHARED, &slot) != 0) {
        return 1;
    }
    (void)__atomic_fetch_add(&slot->state, UINT64_C(1048574) << 8, __ATOMIC_RELAXED); /* as many calls under way */
    return cor_set_deadline(a, 0);
}

static int run_too_many_calls(void *arg)
{
    return cor_run(too_many_calls, arg, NULL);
}

static void limit_of_calls(void **state)
{
    static child_result result;
    (void)state;
    assert_true(child_run(run_too_many_calls, NULL, &result));
    assert_int_equal(result.signal_number, SIGABRT);
    assert_non_null(strstr(result.output, "too many concurrent operations on a single file or socket (max 1048575)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_handles),
        cmocka_unit_test(handles_are_not_repeated),
        cmocka_unit_test(old_handles_reach_nobody),
        cmocka_unit_test(readers_are_served_in_order),
        cmocka_unit_test(leaving_the_queue),
        cmocka_unit_test(a_crowd_at_one_lock),
        cmocka_unit_test(both_queues),
        cmocka_unit_test(limit_of_calls),
        cmocka_unit_test(handles_of_an_earlier_run),
        cmocka_unit_test(abandoned_closes_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
