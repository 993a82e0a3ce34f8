/* SPDX-License-Identifier: MIT */
/*
 * Fifty thousand tasks at once, each on its end of an in-memory pipe: all answer, all wake together, and each costs a
 * page. bench/scale_tasks.c does the same with a million.
 */
/* test: workers=1,2 serial */
#include "support/taskcase.h"

#include <stdlib.h>

enum { TASKS = 50000, TELLERS = 100, BYTES_EACH = 4700, SPARE_BYTES = 4 << 20 };

static cor_conn **ends;
static cor_chan *gate;
static uint32_t woken; /* atomic */

/* Echoes numbers; waits at the gate for 0. */
static void serve(void *arg)
{
    cor_conn *conn = arg;
    uint32_t number;
    ssize_t count;
    while ((count = cor_read(conn, &number, sizeof(number))) > 0) {
        T_EQ(count, sizeof(number));
        if (number == 0) {
            T_CODE(cor_chan_recv(gate, NULL, 0), 0);
            __atomic_add_fetch(&woken, 1, __ATOMIC_ACQ_REL);
        } else {
            T_EQ(cor_write(conn, &number, sizeof(number)), sizeof(number));
        }
    }
    T_CODE(count, 0);
    T_CODE(cor_close(conn), 0);
}

static struct {
    uint32_t count;
    bool to_the_gate;
} tell;

static void tell_some(void *first)
{
    for (uint32_t i = (uint32_t)(uintptr_t)first; i < tell.count; i += TELLERS) {
        uint32_t number = tell.to_the_gate ? 0 : i + 1, back = 0;
        T_EQ(cor_write(ends[i], &number, sizeof(number)), sizeof(number));
        if (!tell.to_the_gate) {
            T_EQ(cor_read(ends[i], &back, sizeof(back)), sizeof(back));
            T_EQ(back, number);
        }
    }
}

/* Many at a time: where other processes use the core of the worker that is to answer, an answer takes milliseconds. */
static void tell_all(uint32_t count, bool to_the_gate)
{
    cor_group tellers = {0};
    tell.count = count;
    tell.to_the_gate = to_the_gate;
    for (uintptr_t i = 0; i < TELLERS; i++) {
        T_CODE(cor_group_go(&tellers, tell_some, (void *)i), 0);
    }
    T_CODE(cor_group_wait(&tellers, 0), 0);
}

TASK_TEST(fifty_thousand_tasks)
{
    uint32_t count = taskcase_scale(TASKS);
    size_t before = taskcase_private_bytes();
    cor_group group = {0};
    ends = calloc(count, sizeof(cor_conn *));
    gate = cor_chan_new(0, 0);
    T_ASSERT(ends != NULL && gate != NULL);
    for (uint32_t i = 0; i < count; i++) {
        cor_conn *other;
        T_CODE(cor_pipe(&ends[i], &other), 0);
        T_CODE(cor_group_go(&group, serve, other), 0);
    }
    tell_all(count, false);
    size_t used = taskcase_private_bytes() - before;
    tell_all(count, true);
    T_CODE(cor_chan_close(gate), 0);
    T_EVENTUALLY(__atomic_load_n(&woken, __ATOMIC_ACQUIRE) == count, 30 * COR_SECOND);
    for (uint32_t i = 0; i < count; i++) {
        T_CODE(cor_close(ends[i]), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    if (!taskcase_is_slow()) {
        T_REQUIRE(used < (size_t)count * BYTES_EACH + SPARE_BYTES, "%zu bytes for each task", used / count);
    }
    cor_chan_free(gate);
    free(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_thousand_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
