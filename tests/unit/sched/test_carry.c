/* SPDX-License-Identifier: MIT */
/* errno is the task's: it survives every way of giving way, whatever others do meanwhile. */
#include "support/taskcase.h"

#include "sched/park.h"

#include <errno.h>

enum { TASKS = 8, ROUNDS = 100 };

static uint32_t ended; /* atomic */

static void give_way(int how)
{
    switch (how) {
    case 0:
        cor_yield();
        break;
    case 1:
        T_CODE(cor_sleep(10 * COR_MICROSECOND), 0);
        break;
    default:
        cori_park(cori_self(), cor_after(COR_MICROSECOND), "nothing");
    }
}

static void keep_errno(void *arg)
{
    int own = (int)(intptr_t)arg;
    T_EQ(errno, 0); /* a task begins with none, whatever the one before has left */
    for (int i = 0; i < ROUNDS; i++) {
        errno = i % 5 == 0 ? 0 : own; /* sometimes equal to others', which is the quick way */
        int before = errno;
        give_way((i + own) % 3);
        T_EQ(errno, before);
    }
    errno = own;
    __atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
}

TASK_TEST(errno_is_the_tasks)
{
    errno = ENOTTY;
    for (intptr_t i = 1; i <= TASKS; i++) {
        T_CODE(cor_go(keep_errno, (void *)i), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == TASKS, 20 * COR_SECOND);
    T_EQ(errno, ENOTTY);
}

static const cor_options one_worker = {.workers = 1};

static void leave_errno(void *unused)
{
    (void)unused;
    errno = EXDEV;
}

/* An ended task goes straight to the next one: to its parent here, and to one that never ran. */
TASK_TEST_WITH(not_an_ended_tasks, &one_worker)
{
    errno = 0;
    T_CODE(cor_go(leave_errno, NULL), 0);
    cor_yield();
    T_EQ(errno, 0);
    T_CODE(cor_go(leave_errno, NULL), 0);
    T_CODE(cor_go(keep_errno, (void *)1), 0);
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 1, 20 * COR_SECOND);
}

static void serve_one(void *arg)
{
    cor_conn *conn = NULL;
    char byte;
    errno = EXDEV;
    T_CODE(cor_accept(arg, &conn), 0);
    T_CODE(cor_read(conn, &byte, 1), 1);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    T_CODE(cor_write(conn, &byte, 1), 1);
    T_CODE(cor_close(conn), 0);
    T_EQ(errno, EXDEV);
}

/* The library's own system calls fail all the time, with EAGAIN: that is no business of the task's. */
TASK_TEST(connections_leave_errno_alone)
{
    cor_listener *listener = NULL;
    cor_conn *conn = NULL;
    char address[COR_ADDR_TEXT], byte = 'x';
    T_CODE(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), 0);
    errno = ENOTTY;
    T_CODE(cor_go(serve_one, listener), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0); /* the accept waits: it fails first */
    T_CODE(cor_dial(&conn, "tcp", cor_listener_addr(listener, address, sizeof(address)), NULL), 0);
    T_CODE(cor_write(conn, &byte, 1), 1);
    T_CODE(cor_read(conn, &byte, 1), 1); /* the answer takes a while */
    T_CODE(cor_read(conn, &byte, 1), 0);
    T_EQ(errno, ENOTTY);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_listener_close(listener), 0);
}

static int give(void *arg)
{
    return *(int *)arg + errno;
}

/* The caller's own errno is not a task's. */
static void main_task_begins_without(void **state)
{
    (void)state;
    int value = 3;
    errno = ENOTTY;
    assert_int_equal(cor_run(give, &value, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_is_the_tasks),
        cmocka_unit_test(not_an_ended_tasks),
        cmocka_unit_test(connections_leave_errno_alone),
        cmocka_unit_test(main_task_begins_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
