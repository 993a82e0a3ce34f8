/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand tasks that go 32 KiB deep once, on the real clock: while they wait each comes down to a page, and once
 * they have ended the process is as small as before. unit.sched.reclaim looks at how; this at both workers and pollers.
 */
/* test: workers=2 */
#include "support/taskcase.h"

#include "base/limits.h"

enum { TASKS = 10000, DEEP_BYTES = 32 * 1024, BYTES_EACH = 4300, LEFT_BYTES = 8 << 20 };

static cor_chan *gate;
static uint32_t waiting; /* atomic */

/* Uses about `bytes` of its stack. */
static __attribute__((noinline)) int dig(size_t bytes)
{
    volatile char hole[1024];
    hole[0] = (char)bytes;
    hole[1023] = hole[0];
    return bytes > sizeof(hole) ? dig(bytes - sizeof(hole)) + hole[1023] : hole[0];
}

static void dig_and_wait(void *arg)
{
    (void)arg;
    (void)dig(DEEP_BYTES);
    __atomic_add_fetch(&waiting, 1, __ATOMIC_ACQ_REL);
    T_CODE(cor_chan_recv(gate, NULL, 0), 0);
    (void)dig(DEEP_BYTES);
}

/* Looks now and then: reading the figure keeps the worker awake. */
static void expect_at_most(size_t bytes, const char *when)
{
    int64_t deadline = cor_after(6 * CORI_RECLAIM_NS);
    size_t now;
    while ((now = taskcase_private_bytes()) > bytes) {
        T_REQUIRE(cor_now() < deadline, "%s: %zu KiB, not %zu", when, now / 1024, bytes / 1024);
        T_CODE(cor_sleep(CORI_RECLAIM_NS / 8), 0);
    }
}

TASK_TEST(deep_tasks_give_their_memory_back)
{
    if (taskcase_is_slow()) {
        T_SKIP("a tool uses memory of its own");
    }
    cor_group group = {0};
    gate = cor_chan_new(0, 0);
    size_t before = taskcase_private_bytes();
    for (int i = 0; i < TASKS; i++) {
        T_CODE(cor_group_go(&group, dig_and_wait, NULL), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&waiting, __ATOMIC_ACQUIRE) == TASKS, 30 * COR_SECOND);
    T_ASSERT(taskcase_private_bytes() - before > (size_t)TASKS * DEEP_BYTES);
    expect_at_most(before + (size_t)TASKS * BYTES_EACH, "parked for long");
    T_CODE(cor_chan_close(gate), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    expect_at_most(before + LEFT_BYTES, "all ended");
    cor_chan_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_tasks_give_their_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
