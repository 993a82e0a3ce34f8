/* SPDX-License-Identifier: MIT */
/* Spinning before sleep: only after short waits, bounded, one worker at a time; off unless asked for. */
/* test: workers=1 no-uring */
#include "support/fake.h"
#include "support/taskcase.h"

#include "sched/park.h"

#include <errno.h>
#include <stdlib.h>

enum { SPIN_NS = 1000, SHORT_NS = 500, LONG_NS = 100000 };
/* Looks at the poller in a spin during which the clock stands still, and the wait that follows. */
enum { SPUN = SPIN_NS / CORI_SPIN_LOOK_NS + 2, SLEPT = 1 };

/* How often the poller is asked while this task, the only one, sleeps. */
static unsigned looks_in(int64_t duration_ns)
{
    unsigned before = fake_count().waits;
    T_CODE(cor_sleep(duration_ns), 0);
    return fake_count().waits - before;
}

static void run_faked(int (*body)(void *arg), int64_t spin_ns)
{
    fake_install();
    cor_options options = fake_options(1);
    options.spin_ns = spin_ns;
    assert_int_equal(cor_run(body, NULL, &options), 0);
    fake_uninstall();
}

static int wait_short_and_long(void *arg)
{
    (void)arg;
    T_EQ(looks_in(LONG_NS), SLEPT);
    T_EQ(looks_in(SHORT_NS), SLEPT);
    T_EQ(looks_in(SHORT_NS), SPUN);
    T_EQ(looks_in(SHORT_NS), SPUN);
    T_EQ(looks_in(LONG_NS), SPUN); /* in vain, once */
    T_EQ(looks_in(SHORT_NS), SLEPT);
    T_EQ(looks_in(SHORT_NS), SPUN);
    T_EQ(looks_in(CORI_SPIN_SHORT * SPIN_NS), SPUN); /* just short */
    T_EQ(looks_in(CORI_SPIN_SHORT * SPIN_NS + 1), SPUN);
    T_EQ(looks_in(SHORT_NS), SLEPT);
    return 0;
}

static void only_after_short_waits(void **state)
{
    (void)state;
    run_faked(wait_short_and_long, SPIN_NS);
}

static int wait_short(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        T_EQ(looks_in(SHORT_NS), SLEPT);
    }
    return 0;
}

static void off_by_default(void **state)
{
    (void)state;
    run_faked(wait_short, 0);
}

static int while_another_spins(void *arg)
{
    T_EQ(looks_in(SHORT_NS), SLEPT);
    T_EQ(looks_in(SHORT_NS), SPUN);
    T_EQ(__atomic_load_n(&cori_rt.spinning, __ATOMIC_RELAXED), 0);
    __atomic_store_n(&cori_rt.spinning, 1, __ATOMIC_RELAXED);
    wait_short(arg);
    __atomic_store_n(&cori_rt.spinning, 0, __ATOMIC_RELAXED);
    T_EQ(looks_in(SHORT_NS), SPUN);
    return 0;
}

static void one_at_a_time(void **state)
{
    (void)state;
    run_faked(while_another_spins, SPIN_NS);
}

static bool woken;

static void wake_task(void *arg)
{
    woken = true;
    cori_wake(arg);
}

/* The event comes while the worker looks: it need not sleep. */
static int find_while_spinning(void *arg)
{
    (void)arg;
    (void)looks_in(SHORT_NS);
    unsigned jumps = fake_count().jumps;
    fake_at(fake_now(), wake_task, cori_self());
    while (!woken) {
        cori_park(cori_self(), 0, "the script");
    }
    T_EQ(fake_count().jumps, jumps);
    T_EQ(__atomic_load_n(&cori_rt.spinning, __ATOMIC_RELAXED), 0);
    T_EQ(looks_in(SHORT_NS), SPUN);
    return 0;
}

static void an_event_ends_the_spin(void **state)
{
    (void)state;
    woken = false;
    run_faked(find_while_spinning, SPIN_NS);
}

static int tell_spin(void *arg)
{
    *(int64_t *)arg = cori_rt.spin_ns;
    return 0;
}

static int spin_of(int64_t spin_ns, const char *environment, int64_t *found)
{
    cor_options options = {.workers = 1, .spin_ns = spin_ns};
    assert_int_equal(setenv("COR_SPIN_US", environment, 1), 0);
    int rc = cor_run(tell_spin, found, &options);
    assert_int_equal(unsetenv("COR_SPIN_US"), 0);
    return rc;
}

static void option_and_environment(void **state)
{
    (void)state;
    int64_t found = -1;
    assert_int_equal(spin_of(0, "", &found), 0);
    assert_int_equal(found, 0);
    assert_int_equal(spin_of(0, "50", &found), 0);
    assert_int_equal(found, 50000);
    assert_int_equal(spin_of(7, "50", &found), 0);
    assert_int_equal(found, 7);
    assert_int_equal(spin_of(0, "1000001", &found), -EINVAL);
    assert_int_equal(spin_of(0, "-1", &found), -EINVAL);
    assert_int_equal(spin_of(0, "5us", &found), -EINVAL);
    assert_int_equal(spin_of(-1, "", &found), -EINVAL);
    assert_int_equal(spin_of(CORI_SPIN_MAX_NS + 1, "", &found), -EINVAL);
}

int main(void)
{
    (void)unsetenv("COR_SPIN_US"); /* which would turn it on */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_after_short_waits), cmocka_unit_test(off_by_default),
        cmocka_unit_test(one_at_a_time),          cmocka_unit_test(an_event_ends_the_spin),
        cmocka_unit_test(option_and_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
