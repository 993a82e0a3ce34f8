/* SPDX-License-Identifier: MIT */
/* Deadlines of connections: never early, movable while a call waits, sticky, and weaker than close. */
/* test: simulated */
#include "net/fd.h"
#include "net/netcase.h"
#include "sched/state.h"

enum { FLEET = 300, RACE_CHANGES = 1000, SETTERS = 8, SET_CONNS = 10, SETS = 100, MANY_WAITS = 100 };

static const cor_options one_worker = {.workers = 1};
static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

/* A call that waits, and when it came back. */
typedef struct waiting {
    cor_conn *conn;
    bool writes;
    int64_t returned; /* atomic; 0: still waits */
    ssize_t result;
} waiting;

static void wait_in_call(void *arg)
{
    static char zeros[4096];
    waiting *of = arg;
    char byte;
    do {
        of->result = of->writes ? cor_write(of->conn, zeros, sizeof(zeros)) : cor_read(of->conn, &byte, 1);
    } while (of->result > 0);
    __atomic_store_n(&of->returned, cor_now(), __ATOMIC_RELEASE);
}

static int64_t returned(const waiting *of)
{
    return __atomic_load_n(&of->returned, __ATOMIC_ACQUIRE);
}

static int set_deadline(const waiting *of, int64_t deadline)
{
    return of->writes ? cor_set_write_deadline(of->conn, deadline) : cor_set_read_deadline(of->conn, deadline);
}

/* Runs `scenario` for a waiting read and a waiting write of every kind, on the same worker and on another one. */
static void for_all_waits(void (*scenario)(waiting *of, cor_group *task))
{
    for (size_t i = 0; i < 3 * 4; i++) {
        cor_conn *peer;
        cor_group task = {0};
        waiting of = {.writes = i % 2 == 1};
        make_pair(kinds[i / 4], &of.conn, &peer);
        if (of.writes && kinds[i / 4] != KIND_PIPE) {
            (void)fill_up(of.conn);
        }
        go_on((int)(i / 2), &task, wait_in_call, &of);
        scenario(&of, &task);
        (void)cor_close(of.conn);
        wait_for(&task);
        T_CODE(cor_close(peer), 0);
    }
}

/* N153: 10 ms, moved to 60 ms when 3 ms have passed. */
static void moved_on(waiting *of, cor_group *task)
{
    int64_t start = cor_now();
    T_CODE(set_deadline(of, start + 10 * COR_MILLISECOND), 0);
    T_CODE(cor_sleep(3 * COR_MILLISECOND), 0);
    T_CODE(set_deadline(of, start + 60 * COR_MILLISECOND), 0);
    bool in_time = cor_now() < start + 10 * COR_MILLISECOND && returned(of) == 0;
    wait_for(task);
    T_CODE(of->result, COR_ETIMEOUT);
    if (in_time) { /* else this machine was too busy for the test to mean anything */
        T_REQUIRE(returned(of) >= start + 60 * COR_MILLISECOND, "after %jd ns", (intmax_t)(returned(of) - start));
    }
}

TASK_TEST(deadline_moved_later)
{
    for_all_waits(moved_on);
}

/* N152 */
static void moved_back(waiting *of, cor_group *task)
{
    T_CODE(set_deadline(of, cor_after(FAR_AWAY)), 0);
    T_CODE(cor_sleep(BRIEFLY), 0);
    T_EQ(returned(of), 0);
    T_CODE(set_deadline(of, cor_now()), 0);
    wait_for(task);
    T_CODE(of->result, COR_ETIMEOUT);
}

TASK_TEST(deadline_moved_to_the_past)
{
    for_all_waits(moved_back);
}

static void moved_closer(waiting *of, cor_group *task)
{
    T_CODE(set_deadline(of, cor_after(FAR_AWAY)), 0);
    T_CODE(cor_sleep(BRIEFLY), 0);
    int64_t deadline = cor_after(10 * COR_MILLISECOND);
    T_CODE(set_deadline(of, deadline), 0);
    wait_for(task);
    T_CODE(of->result, COR_ETIMEOUT);
    T_ASSERT(returned(of) >= deadline);
}

/* N149, N157 */
TASK_TEST(deadline_moved_closer)
{
    for_all_waits(moved_closer);
}

static void cleared(waiting *of, cor_group *task)
{
    int64_t deadline = cor_after(50 * COR_MILLISECOND);
    T_CODE(set_deadline(of, deadline), 0);
    T_CODE(set_deadline(of, 0), 0);
    bool in_time = cor_now() < deadline; /* else this machine was too busy for the test to mean anything */
    T_CODE(cor_sleep(65 * COR_MILLISECOND), 0);
    T_ASSERT(returned(of) == 0 || !in_time);
    T_CODE(cor_close(of->conn), 0);
    wait_for(task);
    T_ASSERT(of->result == COR_ECLOSED || !in_time);
}

/* N153 */
TASK_TEST(cleared_deadline_does_not_fire)
{
    for_all_waits(cleared);
}

/* N154: the other direction's deadline changes nothing. */
static void other_direction(waiting *of, cor_group *task)
{
    (void)task;
    T_CODE(of->writes ? cor_set_read_deadline(of->conn, LONG_AGO) : cor_set_write_deadline(of->conn, LONG_AGO), 0);
    T_CODE(cor_sleep(BRIEFLY), 0);
    T_EQ(returned(of), 0);
}

TASK_TEST(directions_are_independent)
{
    for_all_waits(other_direction);
}

/* In a round that a tick will end the worker's clock stands still: what has passed by the real one has passed. */
TASK_TEST(past_deadline_by_the_real_clock)
{
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    write_all(a, "x", 1);
    T_OK(cor_wait_readable(b));
    cori_store(&cori_self_worker->switches_most, CORI_ROUND_SWITCHES);
    int64_t now = cori_self_worker->now;
    while (cor_now() <= now) {}
    T_CODE(cor_set_read_deadline(b, cor_now()), 0);
    T_CODE(cor_read(b, &byte, 1), COR_ETIMEOUT);
    close_pair(a, b);
}

/* N267, N150, N151, N155, N159 */
TASK_TEST(past_deadline_wins_over_ready_data)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char buf[8] = "";
        make_pair(kinds[i], &a, &b);
        write_all(a, "data", 4);
        T_OK(cor_wait_readable(b));
        T_CODE(cor_set_read_deadline(b, cor_now()), 0);
        for (int again = 0; again < 3; again++) {
            T_CODE(cor_read(b, buf, sizeof(buf)), COR_ETIMEOUT);
            T_CODE(cor_wait_readable(b), COR_ETIMEOUT);
        }
        T_CODE(cor_set_write_deadline(b, cor_now() - 1), 0);
        T_CODE(cor_write(b, "x", 1), COR_ETIMEOUT);
        T_CODE(cor_set_deadline(b, 0), 0);
        T_EQ(cor_read(b, buf, sizeof(buf)), 4);
        T_STR(buf, "data");
        write_all(b, "y", 1);
        T_EQ(cor_read(a, buf, sizeof(buf)), 1); /* the timed out write sent nothing */
        T_EQ(buf[0], 'y');
        close_pair(a, b);
    }
}

static size_t write_for_20_ms(cor_conn *conn, const char *bytes, size_t size)
{
    size_t written = 0;
    T_CODE(cor_set_write_deadline(conn, cor_after(20 * COR_MILLISECOND)), 0);
    T_CODE(cor_write_counted(conn, bytes, size, &written), COR_ETIMEOUT);
    return written;
}

/* N156, N131 */
TASK_TEST(timed_out_write_tells_its_count)
{
    enum { BYTES = 32 << 20 };
    char *bytes = calloc(1, BYTES);
    T_ASSERT(bytes != NULL);
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        size_t written = 0, received = 0;
        char buf[4096];
        make_pair(kinds[i], &a, &b);
        T_ATTEMPT(written = write_for_20_ms(a, bytes, BYTES), written > 0 || kinds[i] == KIND_PIPE);
        T_REQUIRE(kinds[i] == KIND_PIPE ? written == 0 : written > 0 && written < BYTES, "%zu bytes", written);
        T_CODE(cor_close(a), 0);
        for (ssize_t count; (count = cor_read(b, buf, sizeof(buf))) > 0;) {
            received += (size_t)count;
        }
        T_EQ(received, written);
        T_CODE(cor_close(b), 0);
    }
    free(bytes);
}

typedef struct cut_write {
    cor_conn *conn;
    int rc;
    size_t written;
} cut_write;

static void write_much(void *arg)
{
    static char bytes[32 << 20];
    cut_write *writing = arg;
    writing->rc = cor_write_counted(writing->conn, bytes, sizeof(bytes), &writing->written);
    T_ASSERT(writing->written > 0 && writing->written < sizeof(bytes));
}

/* N131: the count is told as well of a write that a close or a reset has ended. */
TASK_TEST(ended_write_tells_its_count)
{
    for (int i = 0; i < 4; i++) {
        bool resets = i % 2 != 0;
        cut_write writing = {.rc = 0};
        cor_conn *peer;
        cor_group writer = {0};
        make_pair(i < 2 ? KIND_TCP : KIND_UNIX, &writing.conn, &peer);
        go_in(&writer, write_much, &writing);
        T_PARKED(writing.conn, CORI_WRITE);
        T_CODE(i == 1 ? cor_set_linger(peer, 0) : 0, 0);
        T_CODE(cor_close(resets ? peer : writing.conn), 0);
        wait_for(&writer);
        T_REQUIRE(resets ? writing.rc == -ECONNRESET || writing.rc == -EPIPE : writing.rc == COR_ECLOSED, "%d: %d", i,
                  writing.rc);
        T_CODE(cor_close(resets ? writing.conn : peer), 0);
    }
}

/* N157: one attempt of several is at most 10 % late, not counting waits for a CPU; none is early. */
TASK_TEST(deadlines_are_punctual)
{
    enum { LENGTH_NS = 50000000 };
    int64_t best_ns = INT64_MAX;
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    for (int i = 0; i < 10 && best_ns > LENGTH_NS / 10 * 11; i++) {
        int64_t stolen_before_ns = stolen_ns(), start = cor_now();
        T_CODE(cor_set_read_deadline(a, start + LENGTH_NS), 0);
        T_CODE(cor_read(a, &byte, 1), COR_ETIMEOUT);
        int64_t took_ns = cor_now() - start;
        T_REQUIRE(took_ns >= LENGTH_NS, "after %jd ns", (intmax_t)took_ns);
        took_ns -= stolen_ns() - stolen_before_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    T_REQUIRE(taskcase_is_slow() || best_ns <= LENGTH_NS / 10 * 11, "at best after %jd ns", (intmax_t)best_ns);
    close_pair(a, b);
}

/* N158 */
static void time_out_after(void *arg)
{
    int64_t duration_ns = (int64_t)(intptr_t)arg;
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    int64_t deadline = cor_after(duration_ns);
    T_CODE(cor_set_deadline(a, deadline), 0);
    T_CODE(cor_read(a, &byte, 1), COR_ETIMEOUT);
    T_REQUIRE(cor_now() >= deadline, "%jd ns: early", (intmax_t)duration_ns);
    T_CODE(cor_write(a, "x", 1), COR_ETIMEOUT);
    close_pair(a, b);
}

TASK_TEST(deadlines_of_every_length)
{
    static const int64_t lengths_ns[] = {1,       2,         5,         50,        100,       200,    500,
                                         750,     1000,      5000,      25000,     250000,    500000, 1000000,
                                         5000000, 100000000, 250000000, 500000000, 1000000000};
    cor_group tasks = {0};
    for (size_t i = 0; i < sizeof(lengths_ns) / sizeof(lengths_ns[0]); i++) {
        go_in(&tasks, time_out_after, (void *)(intptr_t)lengths_ns[i]);
    }
    wait_for(&tasks);
}

/* N157, N269: many timers that are set, moved and fire side by side. */
static void time_out_twice(void *arg)
{
    int number = (int)(intptr_t)arg;
    cor_conn *a, *b;
    char byte;
    T_CODE(cor_pipe(&a, &b), 0);
    for (int round = 0; round < 2; round++) {
        int64_t deadline = cor_after((number * 37 % 50 + 1) * COR_MILLISECOND);
        T_CODE(cor_set_read_deadline(a, cor_after(FAR_AWAY)), 0);
        T_CODE(cor_set_read_deadline(a, deadline), 0);
        T_CODE(cor_read(a, &byte, 1), COR_ETIMEOUT);
        T_ASSERT(cor_now() >= deadline);
    }
    close_pair(a, b);
}

TASK_TEST(many_deadlines)
{
    cor_group tasks = {0};
    for (intptr_t i = 0; i < FLEET; i++) {
        go_in(&tasks, time_out_twice, (void *)i);
    }
    wait_for(&tasks);
}

/* N161 */
TASK_TEST(absurd_deadlines)
{
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_deadline(a, INT64_MAX), 0);
    write_all(a, "x", 1);
    read_all(b, &byte, 1);
    write_all(b, "x", 1);
    read_all(a, &byte, 1);
    T_CODE(cor_set_deadline(a, cor_after(INT64_MAX)), 0);
    write_all(b, "x", 1);
    read_all(a, &byte, 1);
    T_CODE(cor_set_deadline(a, INT64_MIN), 0);
    T_CODE(cor_read(a, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_deadline(a, cor_after(INT64_MIN)), 0);
    T_CODE(cor_read(a, &byte, 1), COR_ETIMEOUT);
    close_pair(a, b);
}

/* N267, N162, N163 */
TASK_TEST_WITH(close_beats_the_deadline, &one_worker)
{
    for (size_t i = 0; i < 3; i++) {
        cor_group task = {0};
        cor_conn *b;
        waiting of = {0};
        make_pair(kinds[i], &of.conn, &b);
        go_in(&task, wait_in_call, &of);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
        T_CODE(cor_set_deadline(of.conn, LONG_AGO), 0); /* the reader is made runnable but has not run */
        T_CODE(cor_close(of.conn), 0);
        wait_for(&task);
        T_CODE(of.result, COR_ECLOSED);
        T_CODE(cor_set_deadline(of.conn, LONG_AGO), COR_ECLOSED);
        T_CODE(cor_set_read_deadline(of.conn, 0), COR_ECLOSED);
        T_CODE(cor_set_write_deadline(of.conn, 0), COR_ECLOSED);
        T_CODE(cor_close(b), 0);
    }
}

/* N164 */
static void write_slowly(void *arg)
{
    for (int i = 0; i < 36; i++) {
        T_CODE(cor_sleep(10 * COR_MILLISECOND), 0);
        write_all(arg, "x", 1);
    }
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(idle_timeout_that_is_extended)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    char byte;
    ssize_t count;
    int64_t start = cor_now(), deadline;
    make_pair(KIND_TCP, &a, &b);
    go_in(&writer, write_slowly, a);
    do {
        deadline = cor_after(300 * COR_MILLISECOND);
        T_CODE(cor_set_read_deadline(b, deadline), 0);
        count = cor_read(b, &byte, 1);
        T_ASSERT(count != COR_ETIMEOUT || cor_now() >= deadline); /* this machine stood still for so long */
    } while (count == 1 || count == COR_ETIMEOUT);
    T_CODE(count, 0);
    T_ASSERT(cor_now() - start >= 360 * COR_MILLISECOND);
    wait_for(&writer);
    T_CODE(cor_close(b), 0);
}

/* N160: deadlines that change all the time, under a reader and a writer. */
static int stop; /* atomic */

static void read_on(void *arg)
{
    char buf[512];
    ssize_t count;
    while ((count = cor_read(arg, buf, sizeof(buf))) != 0) {
        T_REQUIRE(count > 0 || count == COR_ETIMEOUT, "read gave %zd", count);
        if (count < 0) {
            cor_yield();
        }
    }
}

static void write_on(void *arg)
{
    static char zeros[512];
    while (get(&stop) == 0) {
        ssize_t count = cor_write(arg, zeros, sizeof(zeros));
        T_REQUIRE(count == sizeof(zeros) || count == COR_ETIMEOUT, "write gave %zd", count);
        if (count < 0) {
            cor_yield();
        }
    }
    T_CODE(cor_set_write_deadline(arg, 0), 0);
    T_CODE(cor_close_write(arg), 0);
}

TASK_TEST(deadline_race)
{
    cor_conn *a, *b;
    cor_group tasks = {0};
    make_pair(KIND_TCP, &a, &b);
    go_on(1, &tasks, write_on, a);
    go_on(2, &tasks, read_on, b);
    for (int i = 0; i < RACE_CHANGES; i++) {
        int64_t deadline = cor_after((i % 7) * COR_MICROSECOND);
        T_CODE(cor_set_write_deadline(a, deadline), 0);
        T_CODE(cor_set_read_deadline(b, deadline), 0);
        cor_yield();
    }
    (void)add(&stop, 1);
    T_CODE(cor_set_write_deadline(a, 0), 0);
    T_CODE(cor_set_read_deadline(b, 0), 0);
    wait_for(&tasks);
    close_pair(a, b);
}

/* N160 */
static cor_conn *set_conns[SET_CONNS];

static void set_deadlines(void *arg)
{
    (void)arg;
    for (int i = 0; i < SETS * SET_CONNS; i++) {
        T_CODE(cor_set_deadline(set_conns[i % SET_CONNS], cor_after(COR_SECOND + i)), 0);
        if (i % 16 == 0) {
            cor_yield();
        }
    }
}

TASK_TEST(concurrent_setters)
{
    cor_conn *peers[SET_CONNS];
    cor_group setters = {0}, readers = {0};
    for (int i = 0; i < SET_CONNS; i++) {
        make_pair(KIND_TCP, &set_conns[i], &peers[i]);
        go_on(i, &readers, read_on, set_conns[i]);
    }
    for (int i = 0; i < SETTERS; i++) {
        go_on(i, &setters, set_deadlines, NULL);
    }
    wait_for(&setters);
    for (int i = 0; i < SET_CONNS; i++) {
        T_CODE(cor_close(peers[i]), 0);
    }
    wait_for(&readers);
    for (int i = 0; i < SET_CONNS; i++) {
        T_CODE(cor_close(set_conns[i]), 0);
    }
}

/* A wait in the word alone, as that of a raw read for a poller. */
typedef struct bare_wait {
    cor_conn *conn;
    const cori_limit *limit;
    int waits, interrupted;
} bare_wait;

static void wait_barely(void *arg)
{
    bare_wait *of = arg;
    cori_slot *slot;
    T_CODE(cori_slot_enter(of->conn, CORI_KIND_CONN, CORI_LOCK_READ, &slot), 0);
    do { /* it may end for no reason */
        __atomic_store_n(&slot->pollfd.wait[CORI_READ], CORI_IDLE, __ATOMIC_SEQ_CST);
        cori_fd_wait_any(&slot, 1, CORI_READ, of->limit, "test");
    } while (++of->waits < MANY_WAITS && of->limit != NULL && cor_now() < of->limit->until);
    of->interrupted = cor_cancelled();
    cori_slot_leave(slot, CORI_LOCK_READ);
}

/* A deadline that is moved after its caller has looked, and before it is in the word, ends a wait; if it counts. */
TASK_TEST(waits_look_at_the_deadline_themselves)
{
    cor_conn *peer;
    cor_group first = {0}, second = {0};
    bare_wait of = {.waits = 0};
    make_pair(KIND_TCP, &of.conn, &peer);
    T_CODE(cor_set_read_deadline(of.conn, LONG_AGO), 0);
    cor_group_set_deadline(&first, cor_after(SOON / 2 * taskcase_patience()));
    go_in(&first, wait_barely, &of);
    wait_for(&first);
    T_CODE(of.interrupted, 0);
    cori_limit limit = {.until = cor_after(BRIEFLY), .left_out = LONG_AGO};
    of = (bare_wait){.conn = of.conn, .limit = &limit};
    go_in(&second, wait_barely, &of);
    wait_for(&second);
    T_ASSERT(of.waits < MANY_WAITS);
    close_pair(of.conn, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_moved_later),
        cmocka_unit_test(deadline_moved_to_the_past),
        cmocka_unit_test(deadline_moved_closer),
        cmocka_unit_test(cleared_deadline_does_not_fire),
        cmocka_unit_test(directions_are_independent),
        cmocka_unit_test(past_deadline_by_the_real_clock),
        cmocka_unit_test(past_deadline_wins_over_ready_data),
        cmocka_unit_test(timed_out_write_tells_its_count),
        cmocka_unit_test(ended_write_tells_its_count),
        cmocka_unit_test(deadlines_are_punctual),
        cmocka_unit_test(deadlines_of_every_length),
        cmocka_unit_test(many_deadlines),
        cmocka_unit_test(absurd_deadlines),
        cmocka_unit_test(close_beats_the_deadline),
        cmocka_unit_test(idle_timeout_that_is_extended),
        cmocka_unit_test(deadline_race),
        cmocka_unit_test(concurrent_setters),
        cmocka_unit_test(waits_look_at_the_deadline_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
