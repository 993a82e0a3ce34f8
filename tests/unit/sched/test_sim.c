/* SPDX-License-Identifier: MIT */
/* One worker on the fake clock and the fake poller: exact times, no real waiting, the same run for the same seed. */
/* test: workers=1 */
#include "support/fake.h"
#include "support/taskcase.h"

#include "base/clock.h"
#include "base/rand.h"
#include "sched/park.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* What happened, as a running checksum and a count. */
static uint64_t trace;
static uint32_t steps;

static void note(uint64_t what)
{
    trace = (trace ^ what) * 0x100000001b3u;
    trace ^= (uint64_t)cor_now();
    steps++;
}

static uint32_t alive, made;

static void wander(void *arg)
{
    uint64_t id = (uint64_t)(uintptr_t)arg;
    cori_rand *rand = &cori_self()->worker->rand;
    for (int i = 0; i < 20; i++) {
        note(id);
        switch (cori_rand_below(rand, 3)) {
        case 0:
            cor_yield();
            break;
        case 1:
            T_CODE(cor_sleep(cori_rand_below(rand, 5000)), 0);
            break;
        default:
            if (made < 300) {
                made++;
                alive++;
                T_CODE(cor_go(wander, (void *)(uintptr_t)(id * 31 + (uint64_t)i)), 0);
            }
        }
    }
    alive--;
}

static int wander_main(void *arg)
{
    (void)arg;
    alive = made = 1;
    T_CODE(cor_go(wander, (void *)1), 0);
    while (alive > 0) {
        T_CODE(cor_sleep(COR_SECOND), 0);
    }
    return 0;
}

static uint64_t traced_run(uint64_t seed)
{
    trace = 0xcbf29ce484222325u;
    steps = 0;
    fake_install();
    cor_options options = fake_options(seed);
    assert_int_equal(cor_run(wander_main, NULL, &options), 0);
    fake_uninstall();
    assert_true(steps > 20);
    return trace;
}

static void equal_seeds_give_equal_runs(void **state)
{
    (void)state;
    int different = 0;
    uint64_t seeds = taskcase_is_slow() ? 3 : 20;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t first = traced_run(seed);
        assert_true(first == traced_run(seed));
        different += first != traced_run(seed + 1000);
    }
    assert_true(different >= (int)seeds - 1);
}

static int sleep_a_year(void *arg)
{
    (void)arg;
    int64_t before = cor_now();
    for (int day = 0; day < 365; day++) {
        T_CODE(cor_sleep(24 * 60 * COR_MINUTE), 0);
    }
    T_ASSERT(cor_now() - before == 365 * 24 * 60 * COR_MINUTE);
    return 0;
}

static void a_year_takes_no_time(void **state)
{
    (void)state;
    struct timespec from, to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    fake_install();
    cor_options options = fake_options(1);
    assert_int_equal(cor_run(sleep_a_year, NULL, &options), 0);
    assert_true(fake_count().jumps >= 365);
    assert_int_equal(fake_count().opens, 1);
    fake_uninstall();
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 10);
}

/* Scripted events come at their times, between the timers. */
static int order[16];
static uint32_t order_count;

static void from_script(void *arg)
{
    order[order_count++] = (int)(intptr_t)arg;
}

static int script_main(void *arg)
{
    (void)arg;
    fake_at(fake_now() + 1500, from_script, (void *)2);
    fake_at(fake_now() + 500, from_script, (void *)1);
    fake_at(fake_now() + 1500, from_script, (void *)3);
    T_CODE(cor_sleep(1000), 0);
    order[order_count++] = 10;
    T_CODE(cor_sleep(1000), 0);
    order[order_count++] = 20;
    return 0;
}

static void script_and_timers_interleave(void **state)
{
    (void)state;
    static const int expected[] = {1, 10, 2, 3, 20};
    fake_install();
    cor_options options = fake_options(1);
    assert_int_equal(cor_run(script_main, NULL, &options), 0);
    fake_uninstall();
    assert_int_equal(order_count, 5);
    assert_memory_equal(order, expected, sizeof(expected));
}

/* Reads a descriptor as net/ does: consume READY, try, else publish and park. */
static ssize_t read_parked(cori_pollfd *pollfd, void *buf, size_t size, int64_t deadline)
{
    cori_task *self = cori_self();
    cori_poller *poller = self->worker->poller;
    uintptr_t *word = &pollfd->wait[CORI_READ];
    for (;;) {
        uintptr_t old = __atomic_exchange_n(word, CORI_IDLE, __ATOMIC_SEQ_CST);
        if (old == CORI_READY) {
            ssize_t count = poller->ops->ahead->receive(poller, pollfd, buf, size);
            if (count != -EAGAIN) {
                __atomic_store_n(word, CORI_READY, __ATOMIC_SEQ_CST); /* there may be more */
                return count;
            }
        }
        int rc = cori_interrupted(self, deadline);
        if (rc != 0) {
            return rc;
        }
        old = CORI_IDLE;
        if (__atomic_compare_exchange_n(word, &old, (uintptr_t)self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            cori_park_external(self, deadline, "IO wait");
            old = (uintptr_t)self;
            (void)__atomic_compare_exchange_n(word, &old, CORI_IDLE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
    }
}

static int scripted_fd;

static void feed_some(void *arg)
{
    fake_feed(scripted_fd, arg, strlen(arg));
}

static void feed_end(void *arg)
{
    (void)arg;
    fake_feed_end(scripted_fd);
}

static int reader_main(void *arg)
{
    char buf[8];
    cori_pollfd pollfd = {.fd = -1};
    cori_poller *poller = cori_self()->worker->poller;
    int64_t start = cor_now();
    (void)arg;
    scripted_fd = fake_open();
    cori_pollfd_open(&pollfd, scripted_fd, CORI_FD_PLAIN);
    T_CODE(poller->ops->add(poller, &pollfd), 0);
    fake_at(start + 1000, feed_some, "hello ");
    fake_at(start + 5000, feed_some, "wonderful world");
    fake_at(start + 9000, feed_end, NULL);
    T_CODE(read_parked(&pollfd, buf, sizeof(buf), start + 999), COR_ETIMEOUT);
    T_EQ(cor_now(), start + 999);
    T_EQ(read_parked(&pollfd, buf, sizeof(buf), 0), 6);
    T_MEM(buf, "hello ", 6);
    T_EQ(cor_now(), start + 1000);
    T_EQ(read_parked(&pollfd, buf, sizeof(buf), 0), 8);
    T_EQ(read_parked(&pollfd, buf, sizeof(buf), start + 1), 7); /* data wins over a passed deadline */
    T_MEM(buf, "l world", 7);
    T_EQ(read_parked(&pollfd, buf, sizeof(buf), 0), 0);
    T_EQ(cor_now(), start + 9000);
    poller->ops->remove(poller, &pollfd, true);
    (void)close(scripted_fd);
    return 0;
}

static void scripted_bytes_arrive_on_time(void **state)
{
    (void)state;
    fake_install();
    cor_options options = fake_options(1);
    assert_int_equal(cor_run(reader_main, NULL, &options), 0);
    assert_int_equal(fake_count().adds, 1);
    assert_int_equal(fake_count().removes, 1);
    fake_uninstall();
}

static uint32_t foreign_ran;

static void foreign_task(void *arg)
{
    foreign_ran = 1;
    cori_wake(arg);
}

static void *foreign_thread(void *arg)
{
    while (fake_count().waits == 0) { /* then the worker is asleep, or about to be and has said so */
        sched_yield();
    }
    T_CODE(cor_go_foreign(foreign_task, arg), 0);
    return NULL;
}

static int kicked_main(void *arg)
{
    pthread_t thread;
    (void)arg;
    T_EQ(pthread_create(&thread, NULL, foreign_thread, cori_self()), 0);
    while (foreign_ran == 0) {
        cori_park(cori_self(), 0, "the thread");
    }
    T_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

/* With nothing to jump to, the fake poller waits for a kick in real time, and gets it. */
static void a_kick_ends_an_endless_wait(void **state)
{
    (void)state;
    fake_install();
    cor_options options = fake_options(1);
    options.foreign_wakeups = true;
    assert_int_equal(cor_run(kicked_main, NULL, &options), 0);
    assert_true(fake_count().kicks >= 1);
    fake_uninstall();
}

/* How often the poller is asked while a task yields for `rounds` rounds of which each takes `round_ns`. */
static unsigned polls_while_busy(unsigned rounds, int64_t round_ns)
{
    unsigned before = fake_count().waits;
    for (unsigned i = 0; i < rounds; i++) {
        fake_advance(round_ns);
        for (int j = 0; j < CORI_ROUND_SWITCHES; j++) {
            cor_yield();
        }
    }
    return fake_count().waits - before;
}

static int busy_main(void *arg)
{
    (void)arg;
    unsigned often = polls_while_busy(100, CORI_POLL_INTERVAL_NS);
    T_ASSERT(often >= 99 && often <= 101);
    unsigned sometimes = polls_while_busy(100, CORI_POLL_INTERVAL_NS / 10);
    T_ASSERT(sometimes >= 9 && sometimes <= 11);
    unsigned seldom = polls_while_busy(10 * CORI_POLL_ROUNDS, 0); /* even if time stands still */
    T_ASSERT(seldom >= 9 && seldom <= 11);
    return 0;
}

/* The kernel is asked by the clock: often while rounds are long, seldom while they are short. */
static void a_busy_worker_polls_by_time(void **state)
{
    (void)state;
    fake_install();
    cor_options options = fake_options(1);
    assert_int_equal(cor_run(busy_main, NULL, &options), 0);
    fake_uninstall();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_give_equal_runs),  cmocka_unit_test(a_year_takes_no_time),
        cmocka_unit_test(script_and_timers_interleave), cmocka_unit_test(scripted_bytes_arrive_on_time),
        cmocka_unit_test(a_kick_ends_an_endless_wait),  cmocka_unit_test(a_busy_worker_polls_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
